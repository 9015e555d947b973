//! Version ids: a stamp as opaque, URL-safe text.

use std::fmt;
use std::str::FromStr;

/// The text of the null version.
const NULL: &str = "null";
/// First character of every other id: the form of the text, so that it can change.
const FORM: u8 = b'1';
const TEXT_SIZE: usize = 1 + 16 + 4;

/// Which version of a key: the null version or one by its stamp.
///
/// The text of a stamp carries four check digits, so that a mistyped id is malformed (VE15) and
/// not merely unknown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum VersionId {
    /// The version that never-versioned and suspended buckets write.
    Null,
    /// The version with this stamp.
    Stamp(u64),
}

/// The text is no version id of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid version id specified")]
pub struct VersionIdError;

fn check_digits(stamp: u64) -> u16 {
    let mixed = (stamp ^ 0x5172_6f6e_6772_6f6f).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 48) as u16
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str(NULL),
            Self::Stamp(stamp) => {
                write!(
                    f,
                    "{}{stamp:016x}{:04x}",
                    FORM as char,
                    check_digits(*stamp)
                )
            }
        }
    }
}

impl FromStr for VersionId {
    type Err = VersionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == NULL {
            return Ok(Self::Null);
        }
        let bytes = text.as_bytes();
        let lower_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if bytes.len() != TEXT_SIZE || bytes[0] != FORM || !bytes[1..].iter().all(lower_hex) {
            return Err(VersionIdError);
        }
        let stamp = u64::from_str_radix(&text[1..17], 16).map_err(|_| VersionIdError)?;
        let check = u16::from_str_radix(&text[17..], 16).map_err(|_| VersionIdError)?;
        if check != check_digits(stamp) {
            return Err(VersionIdError);
        }
        Ok(Self::Stamp(stamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_id_is_read_back_from_its_text() {
        for id in [
            VersionId::Null,
            VersionId::Stamp(0),
            VersionId::Stamp(u64::MAX),
        ] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        // VE05: URL-safe.
        let text = VersionId::Stamp(1_700_000_000_000_000_000).to_string();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }

    #[test]
    fn a_malformed_version_id_is_refused() {
        // VE15
        let good = VersionId::Stamp(42).to_string();
        let typo = good.replace('a', "b").replace("2a", "2b");
        for text in [
            "",
            "NULL",
            "1",
            "zz",
            &good.to_uppercase(),
            &good[..20],
            &typo,
            "é",
        ] {
            if text != good {
                assert_eq!(text.parse::<VersionId>(), Err(VersionIdError), "{text}");
            }
        }
        let mut changed = good.into_bytes();
        changed[16] ^= 1;
        assert!(
            String::from_utf8(changed)
                .unwrap()
                .parse::<VersionId>()
                .is_err()
        );
    }
}
