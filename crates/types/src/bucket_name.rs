//! Bucket names: S3's naming rules (BK04) and the names the server itself answers under.

use std::fmt;
use std::str::FromStr;

/// Names no bucket may have, because `/NAME/...` is a path of the server: the health aliases.
pub const BUCKET_NAMES_RESERVED: [&str; 4] = ["minio", "healthz", "readyz", "metrics"];

const SIZE_MIN: usize = 3;
const SIZE_MAX: usize = 63;
const PREFIXES_REFUSED: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const SUFFIXES_REFUSED: [&str; 4] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3"];

/// The name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens.
///
/// ```
/// use strongroom_types::BucketName;
/// assert!(BucketName::new("photos-2026").is_ok());
/// assert!(BucketName::new("Photos").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BucketName(String);

/// Why a text is no bucket name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BucketNameError {
    #[error("a bucket name has 3 to 63 characters")]
    Size,
    #[error("a bucket name has lower-case letters, digits, dots and hyphens only")]
    Character,
    #[error("a bucket name begins and ends with a letter or a digit")]
    Edge,
    #[error("a bucket name has no two dots in a row")]
    Dots,
    #[error("a bucket name is not formatted as an IP address")]
    Address,
    #[error("the bucket name is reserved")]
    Reserved,
}

impl BucketName {
    /// Checks `text` against the rules.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, BucketNameError> {
        let text = text.into();
        check(&text)?;
        Ok(Self(text))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(text: &str) -> Result<(), BucketNameError> {
    let bytes = text.as_bytes();
    if !(SIZE_MIN..=SIZE_MAX).contains(&bytes.len()) {
        return Err(BucketNameError::Size);
    }
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !bytes
        .iter()
        .all(|byte| alphanumeric(byte) || matches!(byte, b'.' | b'-'))
    {
        return Err(BucketNameError::Character);
    }
    let edges = [bytes.first(), bytes.last()];
    if !edges.into_iter().flatten().all(alphanumeric) {
        return Err(BucketNameError::Edge);
    }
    if text.contains("..") {
        return Err(BucketNameError::Dots);
    }
    if text.parse::<std::net::Ipv4Addr>().is_ok() || looks_like_address(text) {
        return Err(BucketNameError::Address);
    }
    let reserved = BUCKET_NAMES_RESERVED.contains(&text)
        || PREFIXES_REFUSED
            .iter()
            .any(|prefix| text.starts_with(prefix))
        || SUFFIXES_REFUSED.iter().any(|suffix| text.ends_with(suffix));
    if reserved {
        return Err(BucketNameError::Reserved);
    }
    Ok(())
}

/// Four groups of digits, also when a group is above 255 or has leading zeros.
fn looks_like_address(text: &str) -> bool {
    text.split('.').count() == 4
        && text
            .split('.')
            .all(|group| group.bytes().all(|byte| byte.is_ascii_digit()))
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for BucketName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for BucketName {
    type Err = BucketNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_the_rules_are_accepted() {
        // BK04
        for name in [
            "abc",
            "a.b-c",
            "0numbers9",
            &"a".repeat(63),
            "1.2.3.a",
            "my.bucket.name",
        ] {
            assert!(BucketName::new(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_against_the_rules_are_refused_with_the_rule() {
        // BK04
        for (name, error) in [
            ("ab", BucketNameError::Size),
            ("", BucketNameError::Size),
            (&*"a".repeat(64), BucketNameError::Size),
            ("Upper", BucketNameError::Character),
            ("under_score", BucketNameError::Character),
            ("sl/ash", BucketNameError::Character),
            ("ünï", BucketNameError::Character),
            ("-abc", BucketNameError::Edge),
            ("abc.", BucketNameError::Edge),
            ("a..b", BucketNameError::Dots),
            ("192.168.0.1", BucketNameError::Address),
            ("999.999.999.999", BucketNameError::Address),
            ("xn--abc", BucketNameError::Reserved),
            ("abc-s3alias", BucketNameError::Reserved),
        ] {
            assert_eq!(BucketName::new(name).unwrap_err(), error, "{name}");
        }
    }

    #[test]
    fn names_of_the_servers_own_paths_are_refused() {
        for name in BUCKET_NAMES_RESERVED {
            assert_eq!(
                BucketName::new(name).unwrap_err(),
                BucketNameError::Reserved,
                "{name}"
            );
        }
    }
}
