//! Records that were read lately, in memory.
//!
//! A request reads several records one after the other, those of its bucket each time, and a point read
//! of a view searches every level of a tree. What is here saves that search and nothing else: it is never
//! more than a copy of what the primary view holds.
//!
//! Invariants
//! - A record is here only if the overlay did not hold its key when it was read from the view, and no batch
//!   was acknowledged between that look and its coming here.
//! - An acknowledged batch removes the keys it wrote before it lets go of [`State::visible`].
//! - Both happen under that lock, so what is here is the newest acknowledged value, or is covered by the
//!   overlay, which readers ask first.
//!
//! [`State::visible`]: crate::state::State::visible

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use strongroom_meta::Record;

use crate::view::ViewChange;

/// Bytes of records kept: some 100,000 of ordinary size.
const HOT_SIZE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// What an entry costs beside its bytes: the record, key, and two allocations.
const ENTRY_SIZE_BYTES: u64 = 192;
/// Records of ordinary size that fit.
const ENTRY_COUNT: usize = 100_000;

#[derive(Clone)]
struct Weigh;

impl Weighter<Vec<u8>, Record> for Weigh {
    fn weight(&self, key: &Vec<u8>, record: &Record) -> u64 {
        ENTRY_SIZE_BYTES + key.len() as u64 + record.value.len() as u64
    }
}

/// The records.
pub struct HotRecords(Cache<Vec<u8>, Record, Weigh>);

impl Default for HotRecords {
    fn default() -> Self {
        Self(Cache::with_weighter(ENTRY_COUNT, HOT_SIZE_BYTES_MAX, Weigh))
    }
}

impl HotRecords {
    pub fn get(&self, key: &[u8]) -> Option<Record> {
        self.0.get(key)
    }

    /// The caller holds the lock, and nothing was acknowledged since the record was read.
    pub fn keep(&self, key: &[u8], record: &Record) {
        self.0.insert(key.to_vec(), record.clone());
    }

    /// The caller holds the lock for writing.
    pub fn forget(&self, changes: &[ViewChange]) {
        if strongroom_base::planted("meta_hot_record_kept") {
            return;
        }
        for change in changes {
            self.0.remove(change.key.as_slice());
        }
    }

    pub fn clear(&self) {
        self.0.clear();
    }
}
