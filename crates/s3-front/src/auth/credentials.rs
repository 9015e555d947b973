//! Who may sign: access keys, their secrets, and the accounts they act for.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, RwLock};

use strongroom_types::{Account, AccountId, CanonicalId, Owner};

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
    /// The account the key acts for: reaches its buckets, and owns those it creates.
    pub account: Arc<Account>,
}

/// Who makes a request: found by its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub account: Arc<Account>,
    pub access_key: String,
}

impl Caller {
    /// The account as the owner of what it creates.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.account.owner()
    }
}

/// Where credentials come from.
pub trait CredentialSource: Send + Sync + 'static {
    /// The credential of `access_key`, if there is one.
    fn look_up(&self, access_key: &str) -> Option<Credential>;

    /// How often the credentials were changed: what was derived from others is forgotten.
    fn changes(&self) -> u64 {
        0
    }
}

/// A fixed set of access keys.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    by_access_key: HashMap<String, Credential>,
}

/// The account of the root credentials.
pub const ROOT_ACCOUNT_ID: &str = "000000000000";
/// Canonical id of the root account: it is in the record of every bucket root owns.
pub const ROOT_OWNER_ID: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The account of the root credentials, without names for people.
///
/// # Panics
/// Never: both ids are well formed.
#[must_use]
pub fn root_account() -> Account {
    Account {
        id: AccountId::new(ROOT_ACCOUNT_ID).expect("twelve digits are an account id"),
        canonical_id: CanonicalId::new(ROOT_OWNER_ID).expect("64 digits are a canonical id"),
        display_name: None,
        email: None,
    }
}

impl Credentials {
    /// The root account with one access key.
    pub fn root(access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        let credential = Credential {
            secret_key: SecretKey::new(secret_key),
            account: Arc::new(root_account()),
        };
        let mut credentials = Self::default();
        credentials.insert(access_key, credential);
        credentials
    }

    /// Adds or replaces an access key; gives back what was replaced.
    pub fn insert(
        &mut self,
        access_key: impl Into<String>,
        credential: Credential,
    ) -> Option<Credential> {
        self.by_access_key.insert(access_key.into(), credential)
    }

    /// How many access keys there are.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.by_access_key.len()
    }
}

impl CredentialSource for Credentials {
    fn look_up(&self, access_key: &str) -> Option<Credential> {
        self.by_access_key.get(access_key).cloned()
    }
}

/// Credentials that can be replaced while requests are served.
#[derive(Debug, Default)]
pub struct SharedCredentials(RwLock<(u64, Credentials)>);

impl SharedCredentials {
    /// Begins with `credentials`.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self(RwLock::new((0, credentials)))
    }

    /// From now on requests are checked against `credentials` alone. A request whose signature was
    /// accepted before goes on.
    ///
    /// # Panics
    /// Never: no holder of the lock panics.
    pub fn replace(&self, credentials: Credentials) {
        let held = &mut *self.0.write().expect("no holder panics");
        *held = (held.0 + 1, credentials);
    }
}

impl CredentialSource for SharedCredentials {
    fn look_up(&self, access_key: &str) -> Option<Credential> {
        let held = self.0.read().expect("no holder panics");
        held.1.look_up(access_key)
    }

    fn changes(&self) -> u64 {
        self.0.read().expect("no holder panics").0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let credentials = Credentials::root("root", "very-secret");
        assert!(!format!("{credentials:?}").contains("very-secret"));
        let shared = SharedCredentials::new(credentials);
        assert!(!format!("{shared:?}").contains("very-secret"));
    }

    #[test]
    fn replaced_credentials_are_in_force_at_once() {
        let shared = SharedCredentials::new(Credentials::root("old", "secret-of-old"));
        assert!(shared.look_up("old").is_some());
        let before = shared.changes();
        shared.replace(Credentials::root("new", "secret-of-new"));
        assert!(shared.look_up("old").is_none() && shared.look_up("new").is_some());
        assert_ne!(shared.changes(), before);
    }
}
