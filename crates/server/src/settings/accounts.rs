//! Accounts: the `[[account]]` tables of the settings file.
//!
//! They stand in the file alone: a table has no form on a command line, and a secret must not be in
//! one. The root credentials stand beside them, as an account of their own; a table with
//! `root = true` gives that account a name and more keys.
//!
//! Invariants
//! - No two accounts share an id, a canonical id or an address, and no two keys an access key.
//! - No secret that is known, short, or readable by others is ever in force.
//! - The canonical id of an account follows from its id for ever: buckets are owned by it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use strongroom_admin_server::RootCredentials;
use strongroom_s3_front::{Credential, CredentialSource, Credentials, SecretKey, root_account};
use strongroom_types::{Account, AccountId, CanonicalId, DisplayName, EmailAddress};

use super::BadSettings;
use crate::credentials;

/// The table's name in the file.
pub const TABLE: &str = "account";
/// What a canonical id is the hash of, before the account id. Never changed: buckets would be lost
/// to their owners.
const CANONICAL_ID_CONTEXT: &str = "strongroom canonical id of account ";

/// The accounts of a settings file, checked.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    accounts: Vec<Keyed>,
}

/// An account and its keys.
#[derive(Clone, Debug)]
struct Keyed {
    account: Arc<Account>,
    keys: Vec<(String, SecretKey)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountTable {
    id: Option<String>,
    canonical_id: Option<String>,
    display_name: Option<String>,
    email: Option<String>,
    #[serde(default)]
    root: bool,
    #[serde(default)]
    key: Vec<KeyTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    access_key: String,
    secret_key: Option<String>,
    secret_key_file: Option<PathBuf>,
}

impl Accounts {
    /// Reads the accounts of a settings file.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(path: &Path) -> Result<Self, BadSettings> {
        let table = super::sources::table_from_file(path)?;
        Self::from_table(&table, path)
            .map_err(|error| BadSettings(format!("in {}: {}", path.display(), error.0)))
    }

    fn from_table(table: &toml::Table, file: &Path) -> Result<Self, BadSettings> {
        let Some(value) = table.get(TABLE) else {
            return Ok(Self::default());
        };
        let Some(tables) = value.as_array() else {
            return bad("account is a list: begin each account with [[account]]");
        };
        let mut accounts = Self::default();
        for (index, table) in tables.iter().enumerate() {
            let which = format!("account {}", index + 1);
            let table: AccountTable = table.clone().try_into().map_err(|error| {
                let error: toml::de::Error = error;
                BadSettings(format!(
                    "{which}: {}",
                    super::sources::one_line(error.message())
                ))
            })?;
            let account = read_account(table, file).map_err(|error| in_account(&which, &error))?;
            accounts
                .add(account)
                .map_err(|error| in_account(&which, &error))?;
        }
        Ok(accounts)
    }

    fn add(&mut self, new: Keyed) -> Result<(), BadSettings> {
        for Keyed { account, .. } in &self.accounts {
            if account.id == new.account.id {
                return bad(format!("the id {} is another account's too", account.id));
            }
            if account.canonical_id == new.account.canonical_id {
                return bad(format!(
                    "the canonical_id {} is another account's too",
                    account.canonical_id
                ));
            }
            if account.email.is_some() && account.email == new.account.email {
                return bad("the email is another account's too: give each its own, or none");
            }
        }
        self.accounts.push(new);
        Ok(())
    }

    /// Those of the settings file, or none without one.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of(config: Option<&Path>) -> Result<Self, BadSettings> {
        config.map_or_else(|| Ok(Self::default()), Self::read)
    }

    /// How many tables there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// All access keys, with that of the root credentials.
    ///
    /// # Errors
    /// When an access key is there twice.
    pub fn credentials(&self, root: &RootCredentials) -> Result<Credentials, BadSettings> {
        let mut credentials = Credentials::default();
        let canonical_id = root_account().canonical_id;
        let named = self
            .accounts
            .iter()
            .find(|keyed| keyed.account.canonical_id == canonical_id);
        let account =
            named.map_or_else(|| root_account().into(), |keyed| Arc::clone(&keyed.account));
        let secret_key = SecretKey::new(root.secret_key.as_str());
        credentials.insert(
            root.access_key.as_str(),
            Credential {
                secret_key,
                account,
            },
        );
        for Keyed { account, keys } in &self.accounts {
            for (access_key, secret_key) in keys {
                if credentials.look_up(access_key).is_some() {
                    return bad(format!(
                        "the access key {access_key} of account {} is there twice: give each key \
                         one of its own",
                        account.id
                    ));
                }
                let credential = Credential {
                    secret_key: secret_key.clone(),
                    account: Arc::clone(account),
                };
                credentials.insert(access_key.as_str(), credential);
            }
        }
        Ok(credentials)
    }
}

fn read_account(table: AccountTable, file: &Path) -> Result<Keyed, BadSettings> {
    let (id, canonical_id) = read_ids(&table)?;
    let display_name = table.display_name.map(DisplayName::new).transpose();
    let email = table.email.map(EmailAddress::new).transpose();
    if table.key.is_empty() && !table.root {
        return bad("it has no key: add [[account.key]] with access_key and secret_key_file");
    }
    let mut keys: Vec<(String, SecretKey)> = Vec::new();
    for key in table.key {
        let (access_key, secret_key) = read_key(key, file)?;
        if keys.iter().any(|(other, _)| *other == access_key) {
            return bad(format!(
                "the access key {access_key} is there twice: leave one out"
            ));
        }
        keys.push((access_key, secret_key));
    }
    let account = Account {
        id,
        canonical_id,
        display_name: display_name.map_err(|error| wrong("display_name", error))?,
        email: email.map_err(|error| wrong("email", error))?,
    };
    Ok(Keyed {
        account: account.into(),
        keys,
    })
}

/// Root's canonical id is in the records of its buckets and can not be chosen; its number is in none.
fn read_ids(table: &AccountTable) -> Result<(AccountId, CanonicalId), BadSettings> {
    let id = table.id.as_deref().map(AccountId::new).transpose();
    let id = id.map_err(|error| wrong("id", error))?;
    let root = root_account();
    if table.root {
        if table.canonical_id.is_some() {
            return bad("root has a canonical_id already: leave it out");
        }
        return Ok((id.unwrap_or(root.id), root.canonical_id));
    }
    let Some(id) = id else {
        return bad("it has no id: give it 12 digits");
    };
    if id == root.id {
        return bad(format!(
            "the id {id} is root's: choose another, or set root = true"
        ));
    }
    let canonical_id = match table.canonical_id.as_deref() {
        Some(text) => CanonicalId::new(text).map_err(|error| wrong("canonical_id", error))?,
        None => derive_canonical_id(&id),
    };
    if canonical_id == root.canonical_id {
        return bad("the canonical_id is root's: choose another, or set root = true");
    }
    Ok((id, canonical_id))
}

fn derive_canonical_id(id: &AccountId) -> CanonicalId {
    let text = format!("{CANONICAL_ID_CONTEXT}{id}");
    let hash = strongroom_s3_front::digests::sha256_hex(text.as_bytes());
    CanonicalId::new(hash).expect("a SHA-256 has 64 hexadecimal digits")
}

fn read_key(key: KeyTable, file: &Path) -> Result<(String, SecretKey), BadSettings> {
    let access_key = key.access_key;
    let secret_key = match (key.secret_key, key.secret_key_file) {
        (Some(secret), None) => {
            check_private(file, "holds secrets and")?;
            secret
        }
        (None, Some(path)) => {
            check_private(&path, "is a secret_key_file and")?;
            credentials::first_line(&path).map_err(|error| {
                BadSettings(format!(
                    "cannot read the secret_key_file {} of the key {access_key}: {error}",
                    path.display()
                ))
            })?
        }
        _ => {
            return bad(format!(
                "the key {access_key} needs one of secret_key and secret_key_file: set one"
            ));
        }
    };
    let pair = RootCredentials {
        access_key,
        secret_key,
    };
    credentials::check(&pair)
        .map_err(|error| BadSettings(format!("the key {}: {}", pair.access_key, error.0)))?;
    Ok((pair.access_key, SecretKey::new(pair.secret_key)))
}

/// A secret that others can read is everybody's.
fn check_private(path: &Path, what: &str) -> Result<(), BadSettings> {
    let shown = path.display();
    let metadata = std::fs::metadata(path)
        .map_err(|error| BadSettings(format!("cannot read the file {shown}: {error}")))?;
    if metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    bad(format!(
        "the file {shown} {what} can be read by others: run `chmod 600` on it, and change the \
         secret if someone may have seen it"
    ))
}

fn wrong(name: &str, error: strongroom_types::AccountError) -> BadSettings {
    BadSettings(format!("{name}: {error}"))
}

fn in_account(which: &str, error: &BadSettings) -> BadSettings {
    BadSettings(format!("{which}: {}", error.0))
}

fn bad<T>(text: impl Into<String>) -> Result<T, BadSettings> {
    Err(BadSettings(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a-secret-of-some-length";

    struct File {
        folder: tempfile::TempDir,
    }

    impl File {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            path
        }

        fn read(&self, text: &str) -> Result<Accounts, String> {
            Accounts::read(&self.write("settings.toml", text, 0o600)).map_err(|error| error.0)
        }
    }

    fn account(id: &str, more: &str, access_key: &str, secret: &str) -> String {
        format!(
            "[[account]]\nid = \"{id}\"\n{more}\n[[account.key]]\naccess_key = \"{access_key}\"\n\
             secret_key = \"{secret}\"\n"
        )
    }

    fn root() -> RootCredentials {
        RootCredentials {
            access_key: "the-root".to_owned(),
            secret_key: "the-secret-of-root".to_owned(),
        }
    }

    #[test]
    fn an_account_has_its_names_and_all_its_keys() {
        let file = File::new();
        let secret = file.write("secret", "the-second-secret\nnot this line\n", 0o600);
        let text = account(
            "111122223333",
            "display_name = \"Backups\"\nemail = \"b@example.com\"",
            "first",
            SECRET,
        ) + &format!(
            "[[account.key]]\naccess_key = \"second\"\nsecret_key_file = \"{}\"\n",
            secret.display()
        );
        let credentials = file.read(&text).unwrap().credentials(&root()).unwrap();
        assert_eq!(credentials.key_count(), 3);
        let (first, second) = (
            credentials.look_up("first").unwrap(),
            credentials.look_up("second").unwrap(),
        );
        assert_eq!(first.account, second.account);
        assert!(second.secret_key == SecretKey::new("the-second-secret"));
        assert_eq!(
            first.account.display_name.as_ref().unwrap().as_str(),
            "Backups"
        );
        let of_root = credentials.look_up("the-root").unwrap().account;
        assert_eq!(*of_root, root_account());
    }

    #[test]
    fn the_canonical_id_follows_from_the_id_for_ever() {
        let id = AccountId::new("111122223333").unwrap();
        assert_eq!(
            derive_canonical_id(&id).as_str(),
            "3e121c0ea18cee26ef0130e132bdf2d990d9f6dab3ac89cacd3f9f37822862f9"
        );
        let given = "ab".repeat(32);
        let file = File::new();
        let more = format!("canonical_id = \"{given}\"");
        let accounts = file
            .read(&account("111122223333", &more, "first", SECRET))
            .unwrap();
        assert_eq!(accounts.accounts[0].account.canonical_id.as_str(), given);
    }

    #[test]
    fn root_can_be_named_and_given_more_keys() {
        let file = File::new();
        let text = "[[account]]\nroot = true\nid = \"999988887777\"\ndisplay_name = \"Root\"\n\
                    [[account.key]]\naccess_key = \"more\"\nsecret_key = \"a-secret-of-some-length\"";
        let credentials = file.read(text).unwrap().credentials(&root()).unwrap();
        let (first, more) = (
            credentials.look_up("the-root").unwrap().account,
            credentials.look_up("more").unwrap().account,
        );
        assert_eq!(first, more);
        assert_eq!(first.canonical_id, root_account().canonical_id);
        assert_eq!(first.id.as_str(), "999988887777");
        let named = file
            .read("[[account]]\nroot = true\ndisplay_name = \"Root\"")
            .unwrap();
        assert_eq!(named.credentials(&root()).unwrap().key_count(), 1);
    }

    #[test]
    fn what_is_wrong_stops_the_start_with_one_sentence() {
        let file = File::new();
        let one = || account("111122223333", "email = \"a@b\"", "first", SECRET);
        let two = |id: &str, more: &str, key: &str| one() + &account(id, more, key, SECRET);
        let canonical = derive_canonical_id(&AccountId::new("111122223333").unwrap());
        let same = format!("canonical_id = \"{canonical}\"");
        let zeros = format!("canonical_id = \"{}\"", "0".repeat(64));
        let (short, known) = ("seven77", "minioadmin");
        for (text, expected) in [
            (
                account("11112222333", "", "first", SECRET),
                "account 1: id: an account id has",
            ),
            (
                account("11112222333x", "", "first", SECRET),
                "account 1: id: an account id has",
            ),
            (
                account("000000000000", "", "first", SECRET),
                "account 1: the id 000000000000 is root's",
            ),
            (
                account("111122223333", "canonical_id = \"AB\"", "first", SECRET),
                "account 1: canonical_id: ",
            ),
            (
                account("111122223333", &zeros, "first", SECRET),
                "account 1: the canonical_id is root's",
            ),
            (
                account("111122223333", "email = \"a\"", "first", SECRET),
                "account 1: email: ",
            ),
            (
                account("111122223333", "display_name = \"\"", "first", SECRET),
                "account 1: display_name: ",
            ),
            (
                account("111122223333", "colour = \"red\"", "first", SECRET),
                "account 1: unknown field `colour`",
            ),
            (
                account("111122223333", "", "first", short),
                "account 1: the key first: the secret key is shorter",
            ),
            (
                account("111122223333", "", "first", known),
                "account 1: the key first: the secret key is one that everybody knows",
            ),
            (
                account("111122223333", "", "first-key", "first-key"),
                "account 1: the key first-key: the secret key is one that everybody knows",
            ),
            (
                account("111122223333", "", "a b", SECRET),
                "account 1: the key a b: the access key is not usable",
            ),
            (
                two("111122223333", "", "second"),
                "account 2: the id 111122223333 is another account's too",
            ),
            (
                two("444455556666", &same, "second"),
                "account 2: the canonical_id ",
            ),
            (
                two("444455556666", "email = \"a@b\"", "second"),
                "account 2: the email is another",
            ),
            (
                "[[account]]\nid = \"111122223333\"".to_owned(),
                "account 1: it has no key: ",
            ),
            (
                "[[account]]\nroot = true\ncanonical_id = \"x\"".to_owned(),
                "account 1: root has a canonical_id",
            ),
            (
                "[account]\nid = \"111122223333\"".to_owned(),
                "account is a list: ",
            ),
            ("account = 3".to_owned(), "account is a list: "),
            (
                one()
                    + "[[account.key]]\naccess_key = \"first\"\nsecret_key = \"a-secret-of-some-length\"",
                "account 1: the access key first is there twice",
            ),
            (
                one() + "[[account.key]]\naccess_key = \"second\"",
                "account 1: the key second needs one of",
            ),
        ] {
            let error = file.read(&text).unwrap_err();
            assert!(error.contains(&format!(": {expected}")), "{error}\n{text}");
            assert!(!error.contains('\n') && !error.contains(SECRET), "{error}");
        }
        let twice = file.read(&two("444455556666", "", "first")).unwrap();
        let error = twice.credentials(&root()).unwrap_err().0;
        assert!(error.starts_with("the access key first of account 444455556666 is there twice"));
        let of_root = file
            .read(&account("111122223333", "", "the-root", SECRET))
            .unwrap();
        assert!(of_root.credentials(&root()).is_err());
    }

    #[test]
    fn a_file_with_secrets_that_others_can_read_is_refused() {
        let file = File::new();
        let path = file.write(
            "s.toml",
            &account("111122223333", "", "first", SECRET),
            0o640,
        );
        let error = Accounts::read(&path).unwrap_err().0;
        assert!(
            error.contains("can be read by others: run `chmod 600`"),
            "{error}"
        );
        let secret = file.write("secret", SECRET, 0o604);
        let text = format!(
            "[[account]]\nid = \"111122223333\"\n[[account.key]]\naccess_key = \"first\"\n\
             secret_key_file = \"{}\"",
            secret.display()
        );
        // The settings file holds no secret now, and may be shown around.
        let path = file.write("s.toml", &text, 0o644);
        let error = Accounts::read(&path).unwrap_err().0;
        assert!(
            error.contains("is a secret_key_file and can be read by others"),
            "{error}"
        );
        file.write("secret", SECRET, 0o400);
        assert_eq!(Accounts::read(&path).unwrap().len(), 1);
    }
}
