//! The metadata store in memory: the model of what every backend does.
//!
//! Tests of the domain need a store that is right by inspection. This one is a map under a mutex:
//! a decision runs, its writes are resolved and applied, all while the lock is held. Nothing is
//! durable.
//!
//! Invariants
//! - Records change in `State::apply` only, which cannot fail: a decision that is refused or
//!   panics leaves nothing.
//! - Inline content exists exactly while one record holds its place.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use strongroom_base::{Clock, Timestamp};

use crate::resolve::{Change, resolve};
use crate::stamp::StampIssuer;
use crate::{
    Error, ErrorKind, InlinePlace, LogExtent, MetaStore, Page, Reads, Record, Result, Revision,
    SCAN_LIMIT_MAX, Stamp, Transaction, Trimmed,
};

/// A metadata store that forgets everything when dropped.
pub struct MemoryMeta {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl MemoryMeta {
    /// An empty store that takes stamps from `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let state = State {
            records: BTreeMap::new(),
            contents: HashMap::new(),
            revision_last: Revision(0),
            first: 1,
            stamps: StampIssuer::new(Stamp(0), clock.now()),
            lock_clock: Timestamp(0),
        };
        Arc::new(Self {
            clock,
            state: Mutex::new(state),
        })
    }

    /// How many records there are.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.lock().records.len()
    }

    /// How many inline contents are kept.
    #[must_use]
    pub fn inline_count(&self) -> usize {
        self.lock().contents.len()
    }

    /// Whether the clock is too far ahead for stamps to follow it.
    #[must_use]
    pub fn is_clock_ahead(&self) -> bool {
        self.lock().stamps.is_clock_ahead()
    }

    /// A decision that panicked has changed no record, so the state behind a poisoned lock is good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl MetaStore for MemoryMeta {
    async fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        Ok(self.lock().records.get(key).cloned())
    }

    async fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Page> {
        let limit = limit.min(SCAN_LIMIT_MAX);
        let mut records = self.lock().scan(prefix, after, limit + 1);
        let more = records.len() > limit;
        records.truncate(limit);
        Ok(Page { records, more })
    }

    async fn inline_bytes(&self, place: InlinePlace) -> Result<Bytes> {
        let content = self
            .lock()
            .contents
            .get(&(place.batch, place.offset))
            .cloned();
        let content = content.ok_or_else(|| {
            let message = format!("inline content at {}:{} is gone", place.batch, place.offset);
            Error::new(ErrorKind::NotFound, message)
        })?;
        place.check(&content)?;
        Ok(content)
    }

    async fn transact(&self, mut transaction: Transaction) -> Result<()> {
        let mut state = self.lock();
        let mut reads = HeadReads {
            state: &mut state,
            clock: &*self.clock,
        };
        let Some(writes) = (transaction.decide)(&mut reads)? else {
            return Ok(());
        };
        let revision = Revision(reads.state.revision_last.0 + 1);
        let changes = resolve(writes, revision, &mut reads)?;
        if !transaction.durable.iter().all(|is_durable| is_durable()) {
            let message = "a blob of the transaction is no longer on disks in service";
            return Err(Error::new(ErrorKind::BlobLost, message));
        }
        state.apply(changes, revision);
        Ok(())
    }

    async fn log_extent(&self) -> Result<LogExtent> {
        let state = self.lock();
        Ok(LogExtent {
            first: state.first,
            newest: state.revision_last.0,
            bytes: state.contents.values().map(|c| c.len() as u64).sum(),
        })
    }

    async fn trim(&self, through: u64) -> Result<Trimmed> {
        let mut state = self.lock();
        let through = through.min(state.revision_last.0);
        let holds = |record: &Record| record.inline.is_some_and(|place| place.batch <= through);
        if let Some((_, record)) = state.records.iter().find(|(_, record)| holds(record)) {
            let batch = record.inline.map_or(0, |place| place.batch);
            let message = format!("a record holds inline content in batch {batch}");
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        state.first = state.first.max(through + 1);
        let first = state.first;
        Ok(Trimmed { first, bytes: 0 })
    }
}

struct State {
    records: BTreeMap<Vec<u8>, Record>,
    /// Inline content by the batch and offset of its place.
    contents: HashMap<(u64, u32), Bytes>,
    revision_last: Revision,
    /// The first batch that was not trimmed.
    first: u64,
    stamps: StampIssuer,
    lock_clock: Timestamp,
}

impl State {
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Record)> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.records
            .range::<[u8], _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, record)| (key.clone(), record.clone()))
            .collect()
    }

    fn apply(&mut self, changes: Vec<Change>, revision: Revision) {
        self.revision_last = revision;
        // Moved content first leaves its old record, whatever else happens to that record.
        for change in &changes {
            if let Change::MoveInline { from, .. } = change
                && let Some(record) = self.records.get_mut(from)
            {
                record.inline = None;
            }
        }
        let mut offset = 0u32;
        for change in changes {
            let (key, record) = match change {
                Change::Put { key, value } => (key, Some((value, None))),
                Change::MoveInline {
                    key, value, inline, ..
                } => (key, Some((value, Some(inline)))),
                Change::PutInline {
                    key,
                    value,
                    content,
                } => {
                    let place = InlinePlace::of(revision.0, offset, &content);
                    // One more, so that two empty contents have two places.
                    offset += place.size + 1;
                    self.contents.insert((place.batch, place.offset), content);
                    (key, Some((value, Some(place))))
                }
                Change::Delete { key } => (key, None),
            };
            self.set(
                key,
                record.map(|(value, inline)| Record {
                    value,
                    revision,
                    inline,
                }),
            );
        }
    }

    /// Replaces the record under `key` and forgets the content that the old one held.
    fn set(&mut self, key: Vec<u8>, record: Option<Record>) {
        let old = match record {
            Some(record) => self.records.insert(key, record),
            None => self.records.remove(&key),
        };
        if let Some(place) = old.and_then(|record| record.inline) {
            self.contents.remove(&(place.batch, place.offset));
        }
    }
}

/// What a decision sees: the state under the lock it runs in.
struct HeadReads<'a> {
    state: &'a mut State,
    clock: &'a dyn Clock,
}

impl Reads for HeadReads<'_> {
    fn get(&mut self, key: &[u8]) -> Result<Option<Record>> {
        Ok(self.state.records.get(key).cloned())
    }

    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Record)>> {
        Ok(self.state.scan(prefix, after, limit))
    }

    fn issue_stamp(&mut self, floor: Stamp) -> Stamp {
        self.state.stamps.issue(self.clock.now(), floor)
    }

    fn lock_clock(&mut self) -> Timestamp {
        self.state.lock_clock = self.state.lock_clock.max(self.clock.now());
        self.state.lock_clock
    }
}
