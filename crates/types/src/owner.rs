//! Canonical owners.

use std::fmt;

/// Most bytes of a canonical id: S3's have 64 hexadecimal digits.
const SIZE_BYTES_MAX: usize = 64;

/// Who owns a bucket, by canonical id: 1 to 64 letters and digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Owner(String);

/// The text is no canonical id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a canonical id has 1 to 64 letters and digits")]
pub struct OwnerError;

impl Owner {
    /// Checks the form.
    ///
    /// # Errors
    /// When it is empty, too long or has other characters.
    pub fn new(text: impl Into<String>) -> Result<Self, OwnerError> {
        let text = text.into();
        let fits = (1..=SIZE_BYTES_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Ok(Self(text))
        } else {
            Err(OwnerError)
        }
    }

    /// The canonical id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_letters_and_digits() {
        assert!(Owner::new("0123456789abcdef").is_ok());
        for text in ["", "a b", "a/b", &"a".repeat(65)] {
            assert!(Owner::new(text).is_err(), "{text}");
        }
    }
}
