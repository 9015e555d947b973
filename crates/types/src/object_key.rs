//! Object keys (LI01).

use std::fmt;
use std::str::FromStr;

/// Most bytes of a key: S3's limit, and the reason record keys stay small.
pub const KEY_SIZE_BYTES_MAX: usize = 1024;

/// The key of an object: 1 to 1024 bytes of UTF-8. Ordered by its bytes, as lists are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectKey(String);

/// Why a text is no object key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ObjectKeyError {
    #[error("a key is not empty")]
    Empty,
    #[error("a key has at most 1024 bytes, this one has {0}")]
    TooLong(usize),
}

impl ObjectKey {
    /// Checks the size of `text`.
    ///
    /// # Errors
    /// When it is empty or too long.
    pub fn new(text: impl Into<String>) -> Result<Self, ObjectKeyError> {
        let text = text.into();
        match text.len() {
            0 => Err(ObjectKeyError::Empty),
            size if size > KEY_SIZE_BYTES_MAX => Err(ObjectKeyError::TooLong(size)),
            _ => Ok(Self(text)),
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ObjectKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectKey {
    type Err = ObjectKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_1024_bytes() {
        // LI01
        assert_eq!(ObjectKey::new("").unwrap_err(), ObjectKeyError::Empty);
        assert!(ObjectKey::new("a".repeat(1024)).is_ok());
        assert_eq!(
            ObjectKey::new("a".repeat(1025)).unwrap_err(),
            ObjectKeyError::TooLong(1025)
        );
        assert_eq!(
            ObjectKey::new("é".repeat(513)).unwrap_err(),
            ObjectKeyError::TooLong(1026)
        );
    }
}
