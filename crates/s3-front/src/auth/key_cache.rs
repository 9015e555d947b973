//! Signing keys that were derived before.
//!
//! A key is the same for all requests of an access key on one day, and deriving it costs four HMACs,
//! where the signature itself costs one.
//!
//! Invariants
//! - A key is used only for the secret it was derived from: a changed secret takes effect at once.
//! - Only a key that verified a signature is kept, so nobody without a secret can fill the cache.
//! - When credentials change all keys are forgotten, so none outlives the access key it was for.
//! - At most [`KEYS_MAX`] keys are kept; the one kept longest makes room.

use std::sync::{LazyLock, RwLock};

use aws_lc_rs::hmac;

use super::credentials::SecretKey;
use super::scope::Scope;
use super::signing::derive_key;

/// Most keys. Each access key in use needs one, and two around midnight; looking through this many
/// is cheaper than deriving one.
pub const KEYS_MAX: usize = 64;

/// Keeps keys.
#[derive(Default)]
pub struct KeyCache(RwLock<Kept>);

#[derive(Default)]
struct Kept {
    /// The change of the credentials that the entries are from.
    changes: u64,
    entries: Vec<Entry>,
    /// What stands in for access keys we do not know; see [`KeyCache::decoy`].
    decoy: Option<Entry>,
    /// Index of the next entry to give way, once all are in use.
    oldest: usize,
}

struct Entry {
    scope: Scope,
    secret: SecretKey,
    key: hmac::Key,
}

/// A key for one request.
pub struct ScopeKey {
    pub key: hmac::Key,
    is_new: bool,
}

/// The secret of access keys we do not know. What it signs is refused like everything else.
static DECOY_SECRET: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::new("no-secret-at-all"));

impl KeyCache {
    /// Forgets all keys if the credentials were changed since they were derived.
    pub fn follow(&self, changes: u64) {
        let same = self.0.read().expect("no holder panics").changes == changes;
        if !same {
            *self.0.write().expect("no holder panics") = Kept {
                changes,
                ..Kept::default()
            };
        }
    }

    /// A key for an access key we do not know, so that its signature is checked at the same cost as
    /// that of a key in use: time must not tell which access keys there are. It has a slot of its
    /// own, in which nobody can crowd out the keys of others.
    #[must_use]
    pub fn decoy(&self, scope: &Scope) -> hmac::Key {
        let scope = Scope {
            access_key: String::new(),
            ..scope.clone()
        };
        let kept = self.0.read().expect("no holder panics");
        let found = kept.decoy.as_ref().filter(|entry| entry.scope == scope);
        if let Some(entry) = found {
            return entry.key.clone();
        }
        drop(kept);
        let key = derive_key(&DECOY_SECRET, &scope);
        self.0.write().expect("no holder panics").decoy = Some(Entry {
            scope,
            secret: DECOY_SECRET.clone(),
            key: key.clone(),
        });
        key
    }

    /// The key of `scope` for `secret`, kept or derived.
    #[must_use]
    pub fn key(&self, secret: &SecretKey, scope: &Scope) -> ScopeKey {
        let kept = self.0.read().expect("no holder panics");
        let found = kept
            .entries
            .iter()
            .find(|entry| entry.scope == *scope && entry.secret == *secret);
        ScopeKey {
            key: found.map_or_else(|| derive_key(secret, scope), |entry| entry.key.clone()),
            is_new: found.is_none(),
        }
    }

    /// Keeps a key that verified a signature, unless the credentials were changed meanwhile:
    /// `changes` is what [`KeyCache::follow`] was told before the secret was looked up.
    pub fn keep(&self, key: &ScopeKey, secret: &SecretKey, scope: &Scope, changes: u64) {
        if !key.is_new {
            return;
        }
        let entry = Entry {
            scope: scope.clone(),
            secret: secret.clone(),
            key: key.key.clone(),
        };
        let kept = &mut *self.0.write().expect("no holder panics");
        if kept.changes != changes {
            return;
        }
        // Of one scope only the newest secret is of use; another request may have been faster.
        let same = kept
            .entries
            .iter()
            .position(|other| other.scope == entry.scope);
        if let Some(index) = same {
            kept.entries[index] = entry;
        } else if kept.entries.len() < KEYS_MAX {
            kept.entries.push(entry);
        } else {
            kept.entries[kept.oldest] = entry;
            kept.oldest = (kept.oldest + 1) % KEYS_MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(access_key: &str) -> Scope {
        Scope::parse(&format!("{access_key}/20130524/us-east-1/s3/aws4_request")).unwrap()
    }

    fn tag(key: &ScopeKey) -> Vec<u8> {
        hmac::sign(&key.key, b"text").as_ref().to_vec()
    }

    fn derived(secret: &SecretKey, scope: &Scope) -> Vec<u8> {
        hmac::sign(&derive_key(secret, scope), b"text")
            .as_ref()
            .to_vec()
    }

    #[test]
    fn a_kept_key_is_that_of_its_scope_and_secret_only() {
        let cache = KeyCache::default();
        let (secret, changed) = (SecretKey::new("secret"), SecretKey::new("changed"));
        let first = cache.key(&secret, &scope("a"));
        assert!(first.is_new);
        assert!(cache.key(&secret, &scope("a")).is_new, "not kept yet");
        cache.keep(&first, &secret, &scope("a"), 0);
        let again = cache.key(&secret, &scope("a"));
        assert!(!again.is_new);
        assert_eq!(tag(&again), derived(&secret, &scope("a")));
        let other = cache.key(&changed, &scope("a"));
        assert!(other.is_new);
        assert_eq!(tag(&other), derived(&changed, &scope("a")));
        cache.keep(&other, &changed, &scope("a"), 0);
        assert_eq!(cache.0.read().unwrap().entries.len(), 1);
        let mut next_day = scope("a");
        next_day.day = "20130525".to_owned();
        assert!(cache.key(&changed, &next_day).is_new);
    }

    #[test]
    fn keys_are_forgotten_when_the_credentials_change() {
        let cache = KeyCache::default();
        let secret = SecretKey::new("secret");
        let key = cache.key(&secret, &scope("a"));
        cache.keep(&key, &secret, &scope("a"), 0);
        cache.follow(0);
        assert!(!cache.key(&secret, &scope("a")).is_new);
        cache.follow(1);
        assert!(cache.key(&secret, &scope("a")).is_new);
        // A request that looked its secret up before the change keeps nothing after it.
        cache.keep(&key, &secret, &scope("a"), 0);
        assert!(cache.0.read().unwrap().entries.is_empty());
    }

    #[test]
    fn unknown_access_keys_share_one_key_and_crowd_nobody_out() {
        // attack 2
        let cache = KeyCache::default();
        let secret = SecretKey::new("secret");
        let key = cache.key(&secret, &scope("a"));
        cache.keep(&key, &secret, &scope("a"), 0);
        for number in 0..=KEYS_MAX {
            let _ = cache.decoy(&scope(&format!("unknown-{number}")));
        }
        let held = cache.0.read().unwrap();
        assert_eq!((held.entries.len(), held.decoy.iter().len()), (1, 1));
    }

    #[test]
    fn the_cache_is_bounded_and_the_oldest_key_makes_room() {
        let cache = KeyCache::default();
        let secret = SecretKey::new("secret");
        for number in 0..=KEYS_MAX {
            let scope = scope(&number.to_string());
            let key = cache.key(&secret, &scope);
            cache.keep(&key, &secret, &scope, 0);
        }
        assert_eq!(cache.0.read().unwrap().entries.len(), KEYS_MAX);
        assert!(cache.key(&secret, &scope("0")).is_new);
        assert!(!cache.key(&secret, &scope("1")).is_new);
        assert!(!cache.key(&secret, &scope(&KEYS_MAX.to_string())).is_new);
    }
}
