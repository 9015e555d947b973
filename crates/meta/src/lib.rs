//! The metadata store: an ordered key-value map with atomic, durable transactions.
//!
//! Every change of state in Strongroom is one transaction: a *decision* (a pure function from the
//! records it reads to the writes it wants) that the store runs and commits. The store guarantees
//! that nothing the decision read through [`Reads::get`] changed before its writes took effect, so
//! the domain needs no guard of its own: what it looked at is what it is guarded by.
//!
//! A backend on one machine runs decisions in log order on its commit thread, against the state at
//! the head of the log; they never conflict. A distributed backend runs them optimistically and
//! repeats them when a guard fails. Either way a decision may run more than once and must not have
//! effects of its own.
//!
//! Invariants
//! - Writes of one transaction happen together or not at all, also across a crash.
//! - When [`MetaStore::transact`] returns `Ok`, they are durable in every zone in service and
//!   visible to every later read.
//! - A reader never sees a write that could still be lost.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use strongroom_base::Timestamp;
use twox_hash::XxHash3_64;

pub mod contract;
pub mod lock_clock;
pub mod memory;
pub mod resolve;
pub mod stamp;

/// Largest key of one record, in bytes. An S3 key of 1,024 bytes may double when it is escaped; ids,
/// stamps and the sequence of a queue follow it.
pub const KEY_SIZE_BYTES_MAX: usize = 4 * 1024;
/// Largest value of one record, in bytes. A version record with the largest user metadata, tags
/// and checksums stays below 16 KiB; an upload's list of parts is one record per part.
pub const VALUE_SIZE_BYTES_MAX: usize = 256 * 1024;
/// Largest inline content of one record, in bytes.
pub const INLINE_SIZE_BYTES_MAX: usize = 64 * 1024;
/// Most records one transaction may write. CompleteMultipartUpload of 10,000 parts moves one blob
/// record and deletes one part record each.
pub const TRANSACTION_WRITES_MAX: usize = 25_000;
/// Most bytes of keys, values and inline content one transaction may write: twice what the largest
/// CompleteMultipartUpload needs (10,000 parts with records of about 1.5 KiB), and a log append of
/// a few tens of milliseconds, which every commit behind it waits for.
pub const TRANSACTION_SIZE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most records one scan page may return.
pub const SCAN_LIMIT_MAX: usize = 10_000;

/// Compare-and-swap number of one record: larger than that of any record written earlier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Revision(pub u64);

/// A value in version order: from the clock, above everything issued before it (hazards H16-H18).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Stamp(pub u64);

/// One value under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub value: Bytes,
    pub revision: Revision,
    /// Where the record's inline content is, when it was written with some. Opaque; handed back to
    /// [`MetaStore::inline_bytes`].
    pub inline: Option<InlinePlace>,
}

/// The place of inline content: the batch that holds it and where in the batch's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlinePlace {
    pub batch: u64,
    pub offset: u32,
    pub size: u32,
    /// XXH3-64 of the content, seeded with `batch`: verified at each read.
    pub checksum: u64,
}

impl InlinePlace {
    /// The place of `content` at `offset` in the body of `batch`.
    ///
    /// # Panics
    /// When the content is larger than [`INLINE_SIZE_BYTES_MAX`].
    #[must_use]
    pub fn of(batch: u64, offset: u32, content: &[u8]) -> Self {
        assert!(
            content.len() <= INLINE_SIZE_BYTES_MAX,
            "checked when the writes were resolved"
        );
        let size = u32::try_from(content.len()).expect("far below 4 GiB");
        let checksum = XxHash3_64::oneshot_with_seed(batch, content);
        Self {
            batch,
            offset,
            size,
            checksum,
        }
    }

    /// Whether `content` is what was written here.
    ///
    /// # Errors
    /// `Corrupt` when it is not.
    pub fn check(&self, content: &[u8]) -> Result<()> {
        let is_good = content.len() == self.size as usize
            && XxHash3_64::oneshot_with_seed(self.batch, content) == self.checksum;
        if is_good {
            return Ok(());
        }
        let message = format!(
            "inline content at {}:{} is damaged",
            self.batch, self.offset
        );
        Err(Error::new(ErrorKind::Corrupt, message))
    }
}

/// One change of one record.
#[derive(Clone, Debug)]
pub enum Write {
    Put {
        key: Vec<u8>,
        value: Bytes,
    },
    /// As `Put`, with content that is kept out of the index and read by
    /// [`MetaStore::inline_bytes`]. At most [`INLINE_SIZE_BYTES_MAX`].
    PutInline {
        key: Vec<u8>,
        value: Bytes,
        content: Bytes,
    },
    /// As `Put`, taking over the inline content the record under `from` had before the
    /// transaction. Content has one owner: `from` is deleted in the same transaction or loses it.
    MoveInline {
        from: Vec<u8>,
        key: Vec<u8>,
        value: Bytes,
    },
    Delete {
        key: Vec<u8>,
    },
    /// Adds to a record of eight-byte little-endian signed counters, created as zeros. Never
    /// conflicts with another `Add` (hazard H36).
    Add {
        key: Vec<u8>,
        deltas: Vec<i64>,
    },
    /// Puts `value` under `queue` followed by a big-endian sequence that only grows.
    Append {
        queue: Vec<u8>,
        value: Bytes,
    },
}

/// What a decision may look at.
pub trait Reads {
    /// The record under `key` at the head of the log. Guarded: the writes take effect only if it
    /// is still so.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    fn get(&mut self, key: &[u8]) -> Result<Option<Record>>;

    /// Records whose key starts with `prefix` and is greater than `after` (when given), in key
    /// order, at most `limit`. Not guarded by itself: a decision scans only what a record it also
    /// reads with `get` guards (the versions of a key are guarded by its head).
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Record)>>;

    /// A stamp above `floor`, above every stamp issued before by this store, and not below the
    /// clock unless the clock is too far ahead to be believed.
    fn issue_stamp(&mut self, floor: Stamp) -> Stamp;

    /// The time that locks expire by: never behind what it was in an acknowledged transaction, and
    /// durable with the writes. What is locked until a later time is locked. It may be behind the
    /// clock: a lock then lasts longer (hazard H60).
    fn lock_clock(&mut self) -> Timestamp;
}

/// A page of a scan: one consistent snapshot.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub records: Vec<(Vec<u8>, Record)>,
    /// Whether records may follow the last one.
    pub more: bool,
}

/// Whether bytes that were synced before the transaction are still on disks in service. Asked by
/// the store at the head of the log, right before the append (hazard H10).
pub type Durability = Arc<dyn Fn() -> bool + Send + Sync>;

/// What the store runs: may be called several times. `Ok(None)` commits nothing and is a success.
pub type Decision = Box<dyn FnMut(&mut dyn Reads) -> Result<Option<Vec<Write>>> + Send>;

/// One transaction.
pub struct Transaction {
    pub decide: Decision,
    /// Blobs whose records the transaction writes. If one answers `false` the transaction fails
    /// with [`ErrorKind::BlobLost`] and nothing happens.
    pub durable: Vec<Durability>,
}

/// Where the log that holds inline content begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogExtent {
    /// Number of the first batch kept; 1 while nothing was trimmed.
    pub first: u64,
    /// Number of the last batch; 0 when there is none.
    pub newest: u64,
    /// Bytes of the largest copy of the log.
    pub bytes: u64,
}

/// A page of records with inline content.
#[derive(Clone, Debug, Default)]
pub struct InlinePage {
    pub records: Vec<(Vec<u8>, Record)>,
    /// The key to go on after; `None` when the last record was looked at.
    pub next: Option<Vec<u8>>,
}

/// What a trim left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Number of the first batch kept.
    pub first: u64,
    /// Bytes given back, of the copy of the log that gave back most.
    pub bytes: u64,
}

/// The store. Shared; every method may be called at once from many tasks.
#[async_trait]
pub trait MetaStore: Send + Sync + 'static {
    /// The record under `key` as of now: sees everything acknowledged before the call.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn get(&self, key: &[u8]) -> Result<Option<Record>>;

    /// Records whose key starts with `prefix` and is greater than `after` (when given), in key
    /// order, at most `limit` of them (capped at [`SCAN_LIMIT_MAX`]). One snapshot.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Page>;

    /// The inline content of `record`, verified against its checksum. A bad copy is read around
    /// and repaired.
    ///
    /// # Errors
    /// `NotFound` when the place is gone (read the record again: it moved or was deleted; a place
    /// that a record holds is never gone, one that none holds may stay readable for a while),
    /// `Corrupt` when no good copy is left, `Unavailable`.
    async fn inline_bytes(&self, place: InlinePlace) -> Result<Bytes>;

    /// Runs the decision and commits its writes. Atomic. Durable and visible once `Ok`. If the
    /// future is dropped or fails with `Unavailable`, the outcome is unknown.
    ///
    /// # Errors
    /// `BlobLost` when a blob's bytes are no longer durable enough, `TooLarge`, `Full`, `Unavailable`,
    /// `Corrupt`, or whatever the decision returned.
    async fn transact(&self, transaction: Transaction) -> Result<()>;

    /// Where the log begins and ends, and how large it is.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn log_extent(&self) -> Result<LogExtent>;

    /// Records whose key starts with `prefix` and is greater than `after` (when given) and whose
    /// inline content lies in batches up to `through`: at most `limit` of them, and at most
    /// [`SCAN_LIMIT_MAX`] records looked at, in one snapshot. Records that move meanwhile may be
    /// missed by a walk over pages: only [`MetaStore::trim`] decides that none is left.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn inline_records(
        &self,
        prefix: &[u8],
        through: u64,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<InlinePage> {
        let page = self.scan(prefix, after, SCAN_LIMIT_MAX).await?;
        Ok(inline_page(page, through, limit))
    }

    /// Gives back log that holds nothing but batches up to `through`, as far as it goes: some of it
    /// may be kept. Afterwards inline content there is gone. May take minutes; dropping the future
    /// does not end it. Doing it again is fine.
    ///
    /// # Errors
    /// `Unavailable` with the reason, and nothing is given back: a record holds inline content
    /// there, or what would replace the log is not whole in every place it must be.
    async fn trim(&self, through: u64) -> Result<Trimmed>;
}

/// The records of `page` with inline content in batches up to `through`, at most `limit`.
fn inline_page(page: Page, through: u64, limit: usize) -> InlinePage {
    let last = page.records.last().map(|(key, _)| key.clone());
    let next = last.filter(|_| page.more);
    let holds = |record: &Record| record.inline.is_some_and(|place| place.batch <= through);
    let mut found = page.records.into_iter().filter(|(_, record)| holds(record));
    let records: Vec<_> = found.by_ref().take(limit.max(1)).collect();
    let next = match found.next() {
        Some(_) => records.last().map(|(key, _)| key.clone()),
        None => next,
    };
    InlinePage { records, next }
}

/// Runs `decide` as a transaction and hands back what its last run answered.
///
/// `decide` returns the writes and the answer, or an error of the domain; the latter commits
/// nothing. The outer error is the store's.
///
/// # Errors
/// As [`MetaStore::transact`].
pub async fn transact<T, E, F>(
    store: &dyn MetaStore,
    durable: Vec<Durability>,
    mut decide: F,
) -> Result<std::result::Result<T, E>>
where
    T: Send + 'static,
    E: Send + 'static,
    F: FnMut(&mut dyn Reads) -> Result<std::result::Result<(Vec<Write>, T), E>> + Send + 'static,
{
    let slot: Arc<Mutex<Option<std::result::Result<T, E>>>> = Arc::default();
    let fill = Arc::clone(&slot);
    let decision: Decision = Box::new(move |reads| {
        let (writes, answer) = match decide(reads)? {
            Ok((writes, answer)) => (Some(writes), Ok(answer)),
            Err(refusal) => (None, Err(refusal)),
        };
        *fill.lock().expect("no holder panics") = Some(answer);
        Ok(writes)
    });
    store
        .transact(Transaction {
            decide: decision,
            durable,
        })
        .await?;
    let answer = slot.lock().expect("no holder panics").take();
    Ok(answer.expect("a transaction that succeeded ran its decision"))
}

/// What the caller should do about an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// What was addressed is gone.
    NotFound,
    /// A blob's bytes are no longer on enough disks in service: write them again, then retry.
    BlobLost,
    /// The transaction exceeds a named limit.
    TooLarge,
    /// Too few zones, or the deadline passed: retry later; the outcome of a transaction is unknown.
    Unavailable,
    /// Nothing happened: no space for it. What is smaller, or carries no content, may still fit.
    Full,
    /// No copy passed verification.
    Corrupt,
    /// Our bug.
    Internal,
}

/// An error of a metadata store.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
}

impl Error {
    /// An error of `kind`; `message` is lowercase, no full stop, with values.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Result of a metadata store.
pub type Result<T> = std::result::Result<T, Error>;
