//! Entity tags.

use std::fmt;
use std::str::FromStr;

/// The entity tag of an object: the MD5 of its content, or of its parts' MD5s and their count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ETag {
    /// An object written in one piece.
    Md5([u8; 16]),
    /// A multipart object: MD5 over the parts' MD5s, then `-N`.
    Multipart {
        /// MD5 of the concatenated MD5s of the parts.
        md5: [u8; 16],
        /// How many parts.
        part_count: u32,
    },
}

/// The text is no entity tag of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed entity tag")]
pub struct ETagError;

impl ETag {
    /// The MD5 part.
    #[must_use]
    pub const fn md5(&self) -> &[u8; 16] {
        match self {
            Self::Md5(md5) | Self::Multipart { md5, .. } => md5,
        }
    }

    /// The text with the quotes S3 puts around it.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("\"{self}\"")
    }
}

/// Without quotes.
impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(text(&self.hex()))?;
        match self {
            Self::Md5(_) => Ok(()),
            Self::Multipart { part_count, .. } => write!(f, "-{part_count}"),
        }
    }
}

/// With or without quotes.
impl FromStr for ETag {
    type Err = ETagError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(text);
        let (digits, count) = match bare.split_once('-') {
            Some((digits, count)) => (digits, Some(count)),
            None => (bare, None),
        };
        if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ETagError);
        }
        let mut md5 = [0; 16];
        for (index, byte) in md5.iter_mut().enumerate() {
            *byte =
                u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).map_err(|_| ETagError)?;
        }
        match count {
            None => Ok(Self::Md5(md5)),
            Some(count) => {
                let part_count = count.parse().map_err(|_| ETagError)?;
                Ok(Self::Multipart { md5, part_count })
            }
        }
    }
}

impl ETag {
    /// Lower-case hexadecimal digits of the MD5 part alone.
    #[must_use]
    pub fn md5_hex(&self) -> String {
        text(&self.hex()).to_owned()
    }

    /// The digits by table: a list writes a thousand entity tags, and formatting each byte was a fifth
    /// of its cost.
    fn hex(&self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 32];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.md5()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0x0F)];
        }
        hex
    }
}

fn text(hex: &[u8; 32]) -> &str {
    std::str::from_utf8(hex).expect("digits are text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_read_back_with_and_without_quotes() {
        let plain = ETag::Md5([0xAB; 16]);
        let multipart = ETag::Multipart {
            md5: [1; 16],
            part_count: 7,
        };
        for etag in [plain, multipart] {
            assert_eq!(etag.to_string().parse(), Ok(etag));
            assert_eq!(etag.quoted().parse(), Ok(etag));
        }
        assert_eq!(multipart.to_string(), format!("{}-7", "01".repeat(16)));
        let md5 = std::array::from_fn(|index| index as u8 * 0x11);
        assert_eq!(
            ETag::Md5(md5).to_string(),
            "00112233445566778899aabbccddeeff"
        );
        assert_eq!(ETag::Md5(md5).md5_hex(), "00112233445566778899aabbccddeeff");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "\"",
            "*",
            "abc",
            &"g".repeat(32),
            &format!("{}-x", "0".repeat(32)),
        ] {
            assert!(text.parse::<ETag>().is_err(), "{text}");
        }
    }
}
