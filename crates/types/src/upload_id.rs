//! Upload ids.

use std::fmt;
use std::str::FromStr;

/// The id of a multipart upload: 16 bytes, the first eight of which order the uploads of one key by
/// their start. Opaque outside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UploadId(pub [u8; 16]);

/// The text is no upload id of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed upload id")]
pub struct UploadIdError;

impl UploadId {
    /// An id that sorts by `started` and is told apart by `random`.
    #[must_use]
    pub const fn new(started: u64, random: u64) -> Self {
        Self((((started as u128) << 64) | random as u128).to_be_bytes())
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for UploadId {
    type Err = UploadIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(lower_hex) {
            return Err(UploadIdError);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| UploadIdError)?;
        Ok(Self(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_id_is_read_back_and_sorts_by_its_start() {
        let early = UploadId::new(1, u64::MAX);
        let late = UploadId::new(2, 0);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
        for text in ["", "x", &"A".repeat(32), &"+".repeat(32), &"0".repeat(33)] {
            assert!(text.parse::<UploadId>().is_err(), "{text}");
        }
    }
}
