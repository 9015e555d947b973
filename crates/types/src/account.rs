//! Accounts: who a request is made for, and by whose name a bucket is owned.
//!
//! An account is known by three names: twelve digits, which policies and
//! `x-amz-expected-bucket-owner` use; a canonical id, which records and answers use ([`Owner`]); and
//! a display name for people. The canonical id is what is stored, so it never changes.

use std::fmt;

use crate::owner::Owner;

/// Digits of an account id.
const ACCOUNT_ID_DIGITS: usize = 12;
/// Hexadecimal digits of a canonical id.
const CANONICAL_ID_DIGITS: usize = 64;
/// Most bytes of a display name: it stands in every entry of a list that shows owners.
const DISPLAY_NAME_SIZE_BYTES_MAX: usize = 128;
/// Most bytes of an e-mail address (RFC 5321, section 4.5.3.1.3, without the brackets).
const EMAIL_SIZE_BYTES_MAX: usize = 254;

/// An account's number: exactly twelve digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AccountId(String);

/// An account's canonical id: exactly 64 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CanonicalId(String);

/// What people call an account: one line of text, without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DisplayName(String);

/// An e-mail address, by form alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EmailAddress(String);

/// The text is no such name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AccountError {
    #[error("an account id has exactly 12 digits")]
    Id,
    #[error("a canonical id has exactly 64 lower-case hexadecimal digits")]
    CanonicalId,
    #[error("a display name has 1 to 128 bytes without control characters")]
    DisplayName,
    #[error("an e-mail address has at most 254 characters in the form name@domain")]
    Email,
}

/// An account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    pub id: AccountId,
    pub canonical_id: CanonicalId,
    pub display_name: Option<DisplayName>,
    pub email: Option<EmailAddress>,
}

impl Account {
    /// The account as the owner of what it creates.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::from(&self.canonical_id)
    }
}

impl AccountId {
    /// Checks the form.
    ///
    /// # Errors
    /// When it is not twelve digits.
    pub fn new(text: impl Into<String>) -> Result<Self, AccountError> {
        let text = text.into();
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        (text.len() == ACCOUNT_ID_DIGITS && digits)
            .then_some(Self(text))
            .ok_or(AccountError::Id)
    }
}

impl CanonicalId {
    /// Checks the form.
    ///
    /// # Errors
    /// When it is not 64 lower-case hexadecimal digits.
    pub fn new(text: impl Into<String>) -> Result<Self, AccountError> {
        let text = text.into();
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == CANONICAL_ID_DIGITS && text.bytes().all(hex))
            .then_some(Self(text))
            .ok_or(AccountError::CanonicalId)
    }
}

impl DisplayName {
    /// Checks the form.
    ///
    /// # Errors
    /// When it is empty, too long or has control characters.
    pub fn new(text: impl Into<String>) -> Result<Self, AccountError> {
        let text = text.into();
        let fits = (1..=DISPLAY_NAME_SIZE_BYTES_MAX).contains(&text.len());
        // XML has no form for these two either.
        let shown = |c: char| !c.is_control() && !matches!(c, '\u{FFFE}' | '\u{FFFF}');
        (fits && text.chars().all(shown))
            .then_some(Self(text))
            .ok_or(AccountError::DisplayName)
    }
}

impl EmailAddress {
    /// Checks the form.
    ///
    /// # Errors
    /// When it is too long or not `name@domain`.
    pub fn new(text: impl Into<String>) -> Result<Self, AccountError> {
        let text = text.into();
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        let parts = text.split_once('@').is_some_and(|(name, domain)| {
            !name.is_empty() && !domain.is_empty() && !domain.contains('@')
        });
        (text.len() <= EMAIL_SIZE_BYTES_MAX && plain && parts)
            .then_some(Self(text))
            .ok_or(AccountError::Email)
    }
}

impl From<&CanonicalId> for Owner {
    fn from(id: &CanonicalId) -> Self {
        Self::new(id.0.as_str()).expect("64 hexadecimal digits are an owner")
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

as_text!(AccountId, CanonicalId, DisplayName, EmailAddress);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_id_is_twelve_digits() {
        assert_eq!(
            AccountId::new("123456789012").unwrap().as_str(),
            "123456789012"
        );
        for text in ["", "12345678901", "1234567890123", "12345678901a", "١٢٣٤٥٦"] {
            assert_eq!(AccountId::new(text), Err(AccountError::Id), "{text}");
        }
    }

    #[test]
    fn a_canonical_id_is_sixty_four_hexadecimal_digits() {
        let text = "0123456789abcdef".repeat(4);
        let id = CanonicalId::new(text.clone()).unwrap();
        assert_eq!(Owner::from(&id).as_str(), text);
        for text in [
            &text[1..],
            &text.to_uppercase(),
            &text.replace('a', "g"),
            "",
        ] {
            assert_eq!(
                CanonicalId::new(text),
                Err(AccountError::CanonicalId),
                "{text}"
            );
        }
    }

    #[test]
    fn names_and_addresses_are_one_line_of_text() {
        assert!(DisplayName::new("Böckchen & Söhne").is_ok());
        for text in ["", "a\nb", "a\u{0}", &"x".repeat(129)] {
            assert_eq!(
                DisplayName::new(text),
                Err(AccountError::DisplayName),
                "{text}"
            );
        }
        assert!(EmailAddress::new("a.b+c@example.com").is_ok());
        for text in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b\n",
            &"x".repeat(255),
        ] {
            assert_eq!(EmailAddress::new(text), Err(AccountError::Email), "{text}");
        }
    }
}
