//! The root credentials: given by the operator, or drawn at the first start.
//!
//! Stores have been taken over through default passwords more often than through any other hole, so
//! there is no default: what the operator does not give is drawn at random and kept in a file only
//! its owner can read. The file lies outside the zones (a lost or sold disk must not carry the key),
//! and has the form that the AWS tools read, so that a client can use it without anyone seeing it.
//!
//! Invariants
//! - A secret that is known, empty or short is refused whatever its source.
//! - The file is mode 0600 from its first byte, and durable before the secret is used.
//! - A generated secret is shown once, by the caller, and only on a terminal. It is never logged.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use strongroom_admin_server::RootCredentials;
use strongroom_base::Random;

use crate::private_file;
use crate::settings::{BadSettings, Environment, Settings};

/// Section of the file, and the profile that clients name.
pub const PROFILE: &str = "strongroom";
/// Shortest secret that is accepted. Shorter ones are guessed.
const SECRET_LENGTH_MIN: usize = 8;
/// Longest access key or secret: both travel in headers.
const LENGTH_MAX: usize = 128;
/// Shortest access key; it is a name, not a secret.
const ACCESS_KEY_LENGTH_MIN: usize = 3;
/// Largest credentials file that is read.
const FILE_SIZE_BYTES_MAX: u64 = 4096;
/// Secrets that documentation and images of object stores made known to everyone.
const SECRETS_KNOWN: [&str; 12] = [
    "minioadmin",
    "minio123",
    "rustfsadmin",
    "password",
    "password1",
    "changeme",
    "change-me",
    "strongroom",
    "secretkey",
    "12345678",
    "adminadmin",
    "miniostorage",
];

/// Where the credentials in use come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// Drawn at this start and written to the file.
    Generated(PathBuf),
    /// Read from the file an earlier start wrote.
    File(PathBuf),
    /// Given by the operator; says how a shell gets each.
    Given {
        /// Shell text that expands to the access key.
        access_key: String,
        /// Shell text that expands to the secret key.
        secret_key: String,
    },
}

/// The credentials the operator gave, or those of the file, or, with `random`, new ones.
///
/// # Errors
/// When a part is missing, unreadable or unsafe.
pub fn load(
    settings: &Settings,
    environment: &Environment,
    random: Option<&dyn Random>,
) -> Result<(RootCredentials, Source), BadSettings> {
    if let Some(given) = load_given(settings, environment)? {
        return Ok(given);
    }
    let path = &settings.credentials;
    match load_file(path)? {
        Some(credentials) => Ok((credentials, Source::File(path.clone()))),
        None => match random {
            Some(random) => generate(path, random),
            None => Err(BadSettings(format!(
                "there is no credentials file {}: name it with --credentials or --data, or set \
                 STRONGROOM_ACCESS_KEY and STRONGROOM_SECRET_KEY",
                path.display()
            ))),
        },
    }
}

/// Checks what the operator gave, before anything is touched, and gives it back.
///
/// # Errors
/// As [`load`].
pub fn check_given(
    settings: &Settings,
    environment: &Environment,
) -> Result<Option<RootCredentials>, BadSettings> {
    Ok(load_given(settings, environment)?.map(|(root, _)| root))
}

fn load_given(
    settings: &Settings,
    environment: &Environment,
) -> Result<Option<(RootCredentials, Source)>, BadSettings> {
    let access = given(
        "access_key",
        "MINIO_ROOT_USER",
        &settings.access_key_file,
        environment,
    )?;
    let secret = given(
        "secret_key",
        "MINIO_ROOT_PASSWORD",
        &settings.secret_key_file,
        environment,
    )?;
    let ((access_key, access_shell), (secret_key, secret_shell)) = match (access, secret) {
        (None, None) => return Ok(None),
        (Some(access), Some(secret)) => (access, secret),
        (Some(_), None) => {
            return Err(BadSettings(
                "there is an access key without a secret key: set STRONGROOM_SECRET_KEY too"
                    .to_owned(),
            ));
        }
        (None, Some(_)) => {
            return Err(BadSettings(
                "there is a secret key without an access key: set STRONGROOM_ACCESS_KEY too"
                    .to_owned(),
            ));
        }
    };
    let credentials = RootCredentials {
        access_key,
        secret_key,
    };
    check(&credentials)?;
    let source = Source::Given {
        access_key: access_shell,
        secret_key: secret_shell,
    };
    Ok(Some((credentials, source)))
}

/// One half and the shell text for it: our variable, our file, then the alias.
fn given(
    name: &str,
    alias: &str,
    file: &Option<PathBuf>,
    environment: &Environment,
) -> Result<Option<(String, String)>, BadSettings> {
    let variable = format!("STRONGROOM_{}", name.to_ascii_uppercase());
    let own = environment.get(&variable);
    if own.is_some() && file.is_some() {
        return Err(BadSettings(format!(
            "both {variable} and {name}_file are set: unset one of them"
        )));
    }
    if let Some(path) = file {
        let line = first_line(path).map_err(|error| {
            BadSettings(format!(
                "cannot read {name}_file {}: {error}",
                path.display()
            ))
        })?;
        return Ok(Some((
            line,
            format!("\"$(head -n1 {})\"", shell_word(path)),
        )));
    }
    let (variable, value) = match own {
        Some(value) => (variable.as_str(), value),
        None => match environment.get(alias) {
            Some(value) => (alias, value),
            None => return Ok(None),
        },
    };
    let value = value
        .to_str()
        .ok_or_else(|| BadSettings(format!("{variable} is not text: use ASCII characters")))?;
    Ok(Some((value.to_owned(), format!("\"${variable}\""))))
}

/// Whether the credentials are safe to start with.
///
/// # Errors
/// When a part is unusable, or the secret is known or short.
pub fn check(credentials: &RootCredentials) -> Result<(), BadSettings> {
    let RootCredentials {
        access_key,
        secret_key,
    } = credentials;
    let bad = |text: String| Err(BadSettings(text));
    let is_word = |c: char| c.is_ascii_alphanumeric() || "._-@+".contains(c);
    if access_key.len() < ACCESS_KEY_LENGTH_MIN
        || access_key.len() > LENGTH_MAX
        || !access_key.chars().all(is_word)
    {
        return bad(format!(
            "the access key is not usable: use {ACCESS_KEY_LENGTH_MIN} to {LENGTH_MAX} letters, \
             digits and ._-@+"
        ));
    }
    if secret_key.len() < SECRET_LENGTH_MIN {
        return bad(format!(
            "the secret key is shorter than {SECRET_LENGTH_MIN} characters: use a longer one, or \
             none at all and one is drawn at random"
        ));
    }
    if secret_key.len() > LENGTH_MAX || !secret_key.chars().all(|c| c.is_ascii_graphic()) {
        return bad(format!(
            "the secret key is not usable: use at most {LENGTH_MAX} printable ASCII characters \
             without spaces"
        ));
    }
    let lower = secret_key.to_ascii_lowercase();
    if SECRETS_KNOWN.contains(&lower.as_str()) || lower == access_key.to_ascii_lowercase() {
        return bad(
            "the secret key is one that everybody knows: choose another, or give none and one is \
             drawn at random"
                .to_owned(),
        );
    }
    Ok(())
}

/// Reads the file of an earlier start; `None` when there is none.
fn load_file(path: &Path) -> Result<Option<RootCredentials>, BadSettings> {
    let shown = path.display();
    let mode = match std::fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(BadSettings(format!(
                "cannot read the credentials file {shown}: {error}"
            )));
        }
    };
    if mode & 0o077 != 0 {
        return Err(BadSettings(format!(
            "the credentials file {shown} can be read by others: run `chmod 600` on it, and change \
             the secret if someone may have seen it"
        )));
    }
    let text = read_small(path).map_err(|error| {
        BadSettings(format!("cannot read the credentials file {shown}: {error}"))
    })?;
    let value = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim().to_owned())
    };
    match (value("aws_access_key_id"), value("aws_secret_access_key")) {
        (Some(access_key), Some(secret_key)) => {
            let credentials = RootCredentials {
                access_key,
                secret_key,
            };
            check(&credentials).map_err(|error| BadSettings(format!("in {shown}: {}", error.0)))?;
            Ok(Some(credentials))
        }
        _ => Err(BadSettings(format!(
            "the credentials file {shown} lacks aws_access_key_id or aws_secret_access_key: \
             restore it, or remove it and new ones are drawn"
        ))),
    }
}

/// Draws credentials and writes them down before anyone uses them.
fn generate(path: &Path, random: &dyn Random) -> Result<(RootCredentials, Source), BadSettings> {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mixed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let credentials = RootCredentials {
        access_key: draw(random, letters, 20),
        secret_key: draw(random, mixed, 40),
    };
    let text = format!(
        "# Root credentials of Strongroom. Keep this file to yourself, outside the zones.\n\
         [{PROFILE}]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        credentials.access_key, credentials.secret_key
    );
    private_file::create(path, &text).map_err(|error| {
        BadSettings(format!(
            "cannot write the credentials file {}: {error}; set credentials to a path that can be \
             written",
            path.display()
        ))
    })?;
    Ok((credentials, Source::Generated(path.to_path_buf())))
}

/// `count` characters of an alphabet whose size is a power of two, so that each is equally likely.
fn draw(random: &dyn Random, alphabet: &[u8], count: usize) -> String {
    assert!(
        alphabet.len().is_power_of_two(),
        "a remainder would favour the first letters"
    );
    let mut bytes = vec![0; count];
    random.fill(&mut bytes);
    bytes
        .iter()
        .map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()]))
        .collect()
}

/// The first line of a file, without what ends it.
///
/// # Errors
/// When it cannot be read.
pub fn first_line(path: &Path) -> io::Result<String> {
    let text = read_small(path)?;
    Ok(text.lines().next().unwrap_or("").trim_end().to_owned())
}

fn read_small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(FILE_SIZE_BYTES_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// The path as one word of a shell.
#[must_use]
pub fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Layer;
    use std::ffi::OsString;
    use strongroom_base::SeededRandom;

    struct Fixture {
        folder: tempfile::TempDir,
        environment: Environment,
    }

    impl Fixture {
        fn new(variables: &[(&str, &str)]) -> Self {
            let environment = variables
                .iter()
                .map(|(k, v)| ((*k).to_owned(), OsString::from(v)))
                .collect();
            Self {
                folder: tempfile::tempdir().unwrap(),
                environment,
            }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("data/credentials")
        }

        fn load(&self) -> Result<(RootCredentials, Source), String> {
            self.load_with(Some(&SeededRandom::new(7)))
        }

        fn load_with(
            &self,
            random: Option<&dyn Random>,
        ) -> Result<(RootCredentials, Source), String> {
            let layer = Layer {
                data: Some(self.folder.path().join("data")),
                ..Layer::default()
            };
            let settings = Settings::resolve(layer, None, &self.environment).unwrap();
            load(&settings, &self.environment, random).map_err(|error| error.0)
        }
    }

    #[test]
    fn the_first_start_draws_credentials_into_a_private_file_and_the_second_reads_them() {
        let fixture = Fixture::new(&[]);
        let (first, source) = fixture.load().unwrap();
        assert_eq!(source, Source::Generated(fixture.path()));
        assert_eq!((first.access_key.len(), first.secret_key.len()), (20, 40));
        let mode = std::fs::metadata(fixture.path())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let (second, source) = fixture.load_with(Some(&SeededRandom::new(8))).unwrap();
        assert_eq!(source, Source::File(fixture.path()));
        assert_eq!(second.secret_key, first.secret_key);
        let others: Vec<_> = std::fs::read_dir(fixture.path().parent().unwrap())
            .unwrap()
            .collect();
        assert_eq!(others.len(), 1);
    }

    #[test]
    fn a_credentials_file_that_others_can_read_is_refused() {
        let fixture = Fixture::new(&[]);
        fixture.load().unwrap();
        std::fs::set_permissions(fixture.path(), PermissionsExt::from_mode(0o640)).unwrap();
        assert!(fixture.load().unwrap_err().contains("chmod 600"));
    }

    #[test]
    fn a_damaged_credentials_file_is_refused_and_kept() {
        let fixture = Fixture::new(&[]);
        fixture.load().unwrap();
        std::fs::write(fixture.path(), "[strongroom]\naws_access_key_id = ABC\n").unwrap();
        assert!(
            fixture
                .load()
                .unwrap_err()
                .contains("lacks aws_access_key_id or")
        );
        assert!(fixture.path().exists());
    }

    #[test]
    fn nothing_is_drawn_for_a_client() {
        let fixture = Fixture::new(&[]);
        assert!(
            fixture
                .load_with(None)
                .unwrap_err()
                .contains("no credentials file")
        );
        assert!(!fixture.path().exists());
    }

    #[test]
    fn given_credentials_win_over_the_file_and_write_none() {
        let fixture = Fixture::new(&[
            ("STRONGROOM_ACCESS_KEY", "root"),
            ("STRONGROOM_SECRET_KEY", "correct-horse"),
            ("MINIO_ROOT_USER", "other"),
            ("MINIO_ROOT_PASSWORD", "other-horse"),
        ]);
        let (credentials, source) = fixture.load().unwrap();
        assert_eq!(credentials.access_key, "root");
        assert_eq!(credentials.secret_key, "correct-horse");
        assert!(matches!(source, Source::Given { .. }));
        assert!(!fixture.path().exists());
    }

    #[test]
    fn the_minio_names_are_aliases() {
        let fixture = Fixture::new(&[
            ("MINIO_ROOT_USER", "root"),
            ("MINIO_ROOT_PASSWORD", "battery-staple"),
        ]);
        assert_eq!(fixture.load().unwrap().0.secret_key, "battery-staple");
    }

    #[test]
    fn a_secret_file_gives_its_first_line() {
        let mut fixture = Fixture::new(&[("STRONGROOM_ACCESS_KEY", "root")]);
        let path = fixture.folder.path().join("secret");
        std::fs::write(&path, "correct-horse\n\n").unwrap();
        let variable = "STRONGROOM_SECRET_KEY_FILE".to_owned();
        fixture.environment.insert(variable, path.clone().into());
        assert_eq!(fixture.load().unwrap().0.secret_key, "correct-horse");
        std::fs::remove_file(path).unwrap();
        assert!(fixture.load().unwrap_err().contains("secret_key_file"));
    }

    #[test]
    fn known_empty_and_short_secrets_are_refused() {
        for secret in [
            "",
            "1234567",
            "minioadmin",
            "MinioAdmin",
            "root-root",
            "with space!",
        ] {
            let fixture = Fixture::new(&[
                ("STRONGROOM_ACCESS_KEY", "root-root"),
                ("STRONGROOM_SECRET_KEY", secret),
            ]);
            let error = fixture.load().unwrap_err();
            assert!(error.starts_with("the secret key is"), "{secret}: {error}");
        }
        for access in ["", "ab", "a/b/c", "a b c", "a=b", "a,b,c"] {
            let fixture = Fixture::new(&[
                ("STRONGROOM_ACCESS_KEY", access),
                ("STRONGROOM_SECRET_KEY", "correct-horse"),
            ]);
            let error = fixture.load().unwrap_err();
            assert!(error.starts_with("the access key is"), "{access}: {error}");
        }
    }

    #[test]
    fn one_half_alone_is_refused() {
        let fixture = Fixture::new(&[("STRONGROOM_ACCESS_KEY", "root")]);
        assert!(
            fixture
                .load()
                .unwrap_err()
                .contains("STRONGROOM_SECRET_KEY")
        );
        let fixture = Fixture::new(&[("MINIO_ROOT_PASSWORD", "correct-horse")]);
        assert!(
            fixture
                .load()
                .unwrap_err()
                .contains("STRONGROOM_ACCESS_KEY")
        );
    }

    #[test]
    fn paths_become_one_shell_word() {
        assert_eq!(shell_word(Path::new("./a/b-1")), "./a/b-1");
        assert_eq!(shell_word(Path::new("a b'c")), r"'a b'\''c'");
    }
}
