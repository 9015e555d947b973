//! Who may read status and metrics: the root credentials, as HTTP basic authentication.
//!
//! The port listens on loopback unless the operator says otherwise, and basic authentication is
//! what every scraper speaks. The comparison takes the same time whatever was sent: a wrong name, a
//! wrong secret and a secret of another length cost and answer the same.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

/// Room for a name and a secret with the colon between them: settings keep each to 128 bytes.
const PAIR_SIZE_BYTES_MAX: usize = 512;

/// The access key and secret that own the store.
#[derive(Clone)]
pub struct RootCredentials {
    /// The name.
    pub access_key: String,
    /// Never logged, never shown but once at its creation on a terminal.
    pub secret_key: String,
}

impl std::fmt::Debug for RootCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RootCredentials")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

impl RootCredentials {
    /// Whether an `Authorization` header carries these credentials.
    #[must_use]
    pub fn accepts(&self, authorization: Option<&str>) -> bool {
        let Some(given) = authorization.and_then(decode_basic) else {
            return false;
        };
        let own = format!("{}:{}", self.access_key, self.secret_key);
        let (Some(given), Some(own)) = (padded(&given), padded(own.as_bytes())) else {
            return false;
        };
        given.ct_eq(&own).into()
    }
}

/// The `Authorization` header that [`RootCredentials::accepts`].
#[must_use]
pub fn basic_authorization(credentials: &RootCredentials) -> String {
    let pair = format!("{}:{}", credentials.access_key, credentials.secret_key);
    format!("Basic {}", STANDARD.encode(pair))
}

/// The pair in a room of fixed size, with its length, so that comparing tells nothing of it.
fn padded(pair: &[u8]) -> Option<[u8; PAIR_SIZE_BYTES_MAX]> {
    let mut room = [0; PAIR_SIZE_BYTES_MAX];
    let (length, bytes) = room.split_at_mut(2);
    length.copy_from_slice(&u16::try_from(pair.len()).ok()?.to_le_bytes());
    bytes.get_mut(..pair.len())?.copy_from_slice(pair);
    Some(room)
}

fn decode_basic(header: &str) -> Option<Vec<u8>> {
    let (scheme, token) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    STANDARD.decode(token.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> RootCredentials {
        RootCredentials {
            access_key: "root".to_owned(),
            secret_key: "s3cret-s3cret".to_owned(),
        }
    }

    #[test]
    fn only_the_exact_pair_is_accepted() {
        let root = root();
        assert!(root.accepts(Some(&basic_authorization(&root))));
        let other = RootCredentials {
            secret_key: "s3cret-s3creT".to_owned(),
            ..root.clone()
        };
        assert!(!root.accepts(Some(&basic_authorization(&other))));
        let shorter = RootCredentials {
            secret_key: String::new(),
            ..root.clone()
        };
        assert!(!root.accepts(Some(&basic_authorization(&shorter))));
        for header in [
            None,
            Some(""),
            Some("Basic"),
            Some("Basic !!!"),
            Some("Bearer cm9vdA=="),
            Some(&format!("Basic {}", STANDARD.encode([b'a'; 4000]))),
            Some(&format!(
                "Basic {}",
                STANDARD.encode("root:s3cret-s3cret\0")
            )),
        ] {
            assert!(!root.accepts(header), "{header:?}");
        }
    }

    #[test]
    fn debug_output_hides_the_secret() {
        assert!(!format!("{:?}", root()).contains("s3cret"));
    }
}
