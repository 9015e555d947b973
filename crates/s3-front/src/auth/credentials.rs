//! Who may sign: access keys and their secrets.

use std::collections::HashMap;
use std::fmt;

use strongroom_types::Owner;

/// A secret access key. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(String);

impl SecretKey {
    /// Wraps `secret`.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// What an access key stands for.
#[derive(Clone, Debug)]
pub struct Credential {
    pub secret_key: SecretKey,
    /// The account the key acts for: owns the buckets it creates.
    pub owner: Owner,
    /// The account's twelve digits, as `x-amz-expected-bucket-owner` names it.
    pub account_id: String,
}

/// Where credentials come from.
pub trait CredentialSource: Send + Sync + 'static {
    /// The credential of `access_key`, if there is one.
    fn look_up(&self, access_key: &str) -> Option<Credential>;
}

/// A fixed set of access keys.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    by_access_key: HashMap<String, Credential>,
}

/// The account of the root credentials.
pub const ROOT_ACCOUNT_ID: &str = "000000000000";
/// Canonical id of the root account.
pub const ROOT_OWNER_ID: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl Credentials {
    /// The root account with one access key.
    ///
    /// # Panics
    /// Never: the root owner's id is well formed.
    pub fn root(access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        let owner = Owner::new(ROOT_OWNER_ID).expect("sixty-four digits are an owner");
        let credential = Credential {
            secret_key: SecretKey::new(secret_key),
            owner,
            account_id: ROOT_ACCOUNT_ID.to_owned(),
        };
        let mut credentials = Self::default();
        credentials.insert(access_key, credential);
        credentials
    }

    /// Adds or replaces an access key.
    pub fn insert(&mut self, access_key: impl Into<String>, credential: Credential) {
        self.by_access_key.insert(access_key.into(), credential);
    }
}

impl CredentialSource for Credentials {
    fn look_up(&self, access_key: &str) -> Option<Credential> {
        self.by_access_key.get(access_key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let credentials = Credentials::root("root", "very-secret");
        assert!(!format!("{credentials:?}").contains("very-secret"));
    }
}
