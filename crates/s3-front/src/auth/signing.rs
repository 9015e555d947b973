//! Signatures: the key of a scope, and the two kinds of text it signs.
//!
//! HMAC and SHA-256 are aws-lc's, and so is the comparison, which takes the same time whatever the
//! signatures have in common.

use aws_lc_rs::{digest, hmac};

use super::credentials::SecretKey;
use super::scope::{AmzDate, Scope};

/// Name of the one signature algorithm accepted.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Hex SHA-256 of nothing.
pub const SHA256_OF_NOTHING: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A signature: 32 bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 32]);

impl Signature {
    /// Reads lower-case digits only, so that a signature has one form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if !text.bytes().all(lower) {
            return None;
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Its 64 digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

/// The key of one scope, with what every text it signs contains.
#[derive(Clone)]
pub struct SigningKey {
    key: hmac::Key,
    date: String,
    scope: String,
}

impl SigningKey {
    /// The key of `scope`, which [`derive_key`] derived, for a request of this date.
    #[must_use]
    pub fn new(key: hmac::Key, scope: &Scope, date: &AmzDate) -> Self {
        Self {
            key,
            date: date.as_str().to_owned(),
            scope: scope.signed(),
        }
    }

    /// Whether `signature` is that of the request.
    #[must_use]
    pub fn verifies_request(&self, canonical_request: &str, signature: Signature) -> bool {
        let hash = sha256_hex(canonical_request.as_bytes());
        let text = format!("{ALGORITHM}\n{}\n{}\n{hash}", self.date, self.scope);
        self.verifies(&text, signature)
    }

    /// Whether `signature` is that of a chunk with this hash, after a chunk signed `previous`.
    #[must_use]
    pub fn verifies_chunk(&self, previous: Signature, hash: &str, signature: Signature) -> bool {
        let text = format!(
            "{ALGORITHM}-PAYLOAD\n{}\n{}\n{}\n{SHA256_OF_NOTHING}\n{hash}",
            self.date,
            self.scope,
            previous.to_hex()
        );
        self.verifies(&text, signature)
    }

    /// Whether `signature` is that of the trailers (`name:value\n` each), after the last chunk.
    #[must_use]
    pub fn verifies_trailers(
        &self,
        previous: Signature,
        trailers: &str,
        signature: Signature,
    ) -> bool {
        let text = format!(
            "{ALGORITHM}-TRAILER\n{}\n{}\n{}\n{}",
            self.date,
            self.scope,
            previous.to_hex(),
            sha256_hex(trailers.as_bytes())
        );
        self.verifies(&text, signature)
    }

    /// Whether `signature` is that of the policy of a form, as it was sent.
    #[must_use]
    pub fn verifies_policy(&self, policy: &str, signature: Signature) -> bool {
        self.verifies(policy, signature)
    }

    fn verifies(&self, text: &str, signature: Signature) -> bool {
        hmac::verify(&self.key, text.as_bytes(), &signature.0).is_ok()
    }
}

/// Derives the key of `scope` from `secret`.
#[must_use]
pub fn derive_key(secret: &SecretKey, scope: &Scope) -> hmac::Key {
    let mut seed = Vec::with_capacity(4 + secret.as_bytes().len());
    seed.extend_from_slice(b"AWS4");
    seed.extend_from_slice(secret.as_bytes());
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, &seed);
    for text in [&scope.day, &scope.region, &scope.service, "aws4_request"] {
        let tag = hmac::sign(&key, text.as_bytes());
        key = hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref());
    }
    key
}

/// What the next chunk's signature is checked with.
#[derive(Clone)]
pub struct ChunkSigning {
    pub key: SigningKey,
    /// The signature before: of the request, then of each chunk.
    pub previous: Signature,
}

/// Lower-case hexadecimal SHA-256.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}
