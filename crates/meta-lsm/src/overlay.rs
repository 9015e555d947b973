//! Acknowledged changes that not every view has applied yet.
//!
//! The overlay is what makes a commit visible at once while views follow at their own pace. It
//! holds the newest acknowledged value of each key it covers; a key leaves once every view that
//! may answer reads has applied the batch that wrote it last.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;

use crate::view::ViewChange;

/// The overlay. Guarded by the lock of [`crate::state::Visible`].
#[derive(Default)]
pub struct Overlay {
    records: BTreeMap<Vec<u8>, (u64, Option<Bytes>)>,
    /// The keys each batch wrote, oldest first.
    batches: VecDeque<(u64, Vec<Vec<u8>>)>,
    size_bytes: usize,
}

impl Overlay {
    /// Adds the changes of an acknowledged batch.
    pub fn add(&mut self, number: u64, changes: &[ViewChange]) {
        let mut keys = Vec::with_capacity(changes.len());
        for change in changes {
            self.size_bytes += cost(&change.key, change.value.as_ref());
            let old = self
                .records
                .insert(change.key.clone(), (number, change.value.clone()));
            if let Some((_, value)) = old {
                self.size_bytes -= cost(&change.key, value.as_ref());
            }
            keys.push(change.key.clone());
        }
        self.batches.push_back((number, keys));
    }

    /// Drops what batches up to `number` wrote and nothing newer wrote over.
    pub fn prune(&mut self, number: u64) {
        while self
            .batches
            .front()
            .is_some_and(|(first, _)| *first <= number)
        {
            let (_, keys) = self.batches.pop_front().expect("looked at");
            for key in keys {
                if self
                    .records
                    .get(&key)
                    .is_some_and(|(written, _)| *written <= number)
                    && let Some((_, value)) = self.records.remove(&key)
                {
                    self.size_bytes -= cost(&key, value.as_ref());
                }
            }
        }
    }

    /// The newest value of `key`: `None` when the overlay does not know, `Some(None)` when it was
    /// deleted.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Option<Bytes>> {
        self.records.get(key).map(|(_, value)| value.clone())
    }

    /// The keys with `prefix` after `after`, with their values.
    pub fn range(&self, prefix: &[u8], after: Option<&[u8]>) -> Vec<(Vec<u8>, Option<Bytes>)> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.records
            .range::<[u8], _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, (_, value))| (key.clone(), value.clone()))
            .collect()
    }

    /// Memory held, in bytes.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Number of the oldest batch held.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.batches.front().map(|(number, _)| *number)
    }
}

/// What an entry costs: key (held twice), value, and the nodes around them.
fn cost(key: &[u8], value: Option<&Bytes>) -> usize {
    2 * key.len() + value.map_or(0, Bytes::len) + 128
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &str, value: Option<&'static str>) -> ViewChange {
        let value = value.map(|v| Bytes::from_static(v.as_bytes()));
        ViewChange {
            key: key.into(),
            value,
        }
    }

    #[test]
    fn prune_keeps_a_key_that_a_newer_batch_wrote_again() {
        let mut overlay = Overlay::default();
        overlay.add(1, &[change("a", Some("1")), change("b", Some("1"))]);
        overlay.add(2, &[change("a", None)]);
        overlay.prune(1);
        assert_eq!(overlay.get(b"a"), Some(None));
        assert_eq!(overlay.get(b"b"), None);
        overlay.prune(2);
        assert_eq!(overlay.get(b"a"), None);
        assert_eq!(overlay.size_bytes(), 0);
    }
}
