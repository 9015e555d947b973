//! The blob store: immutable bytes that survive the loss of disks and zones.
//!
//! A blob store knows nothing of S3. It is handed a stream and an opaque owner, and gives back a
//! *place*: bytes that the caller keeps in the blob's record and hands in again to read. Bytes are
//! durable before a place is returned; whether the blob exists is decided by the metadata commit
//! that stores the place.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;

pub mod contract;
mod location;
pub mod memory;
mod moves;
mod redundancy;

pub use location::{Location, RunLocation, ShardLocation, ShardState};
pub use moves::{Drain, Moves, NoRest, Rest};
pub use redundancy::{Filling, Level, Redundancy, Survey};

/// A stream of content. An error ends it and fails the operation that consumes it.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Whether a blob's bytes are still on disks in service as they were when it was written.
pub type Durability = Arc<dyn Fn() -> bool + Send + Sync>;

/// Where a blob's bytes are. Opaque to the caller, versioned by the store, a few hundred bytes at
/// most for 5 GiB.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Place(pub Bytes);

/// What to write.
#[derive(Clone, Debug)]
pub struct PutOptions {
    /// Exact number of bytes the stream will give. More or fewer fails the put with `Invalid`.
    pub size: u64,
    /// Stored with the bytes, so that a catalogue can be rebuilt from the disks alone.
    pub owner: Bytes,
}

/// A blob written and synced, not yet referenced by any record.
#[derive(Clone)]
pub struct Written {
    pub place: Place,
    /// Whether it has less redundancy than the placement asks for, because disks are out.
    pub reduced: bool,
    /// Handed to the metadata transaction that stores the place.
    pub durable: Durability,
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written")
            .field("place", &self.place)
            .field("reduced", &self.reduced)
            .finish_non_exhaustive()
    }
}

/// What [`BlobStore::verify`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Health {
    /// Shards of the blob that are present and pass their checksums.
    pub shards_good: u64,
    /// Shards that are missing or damaged.
    pub shards_bad: u64,
    /// Stripes that can not be decoded any more.
    pub stripes_lost: u64,
    /// Shards that were missing or damaged and were written anew; they are counted as good.
    pub shards_repaired: u64,
}

/// What [`BlobStore::free`] and [`BlobMark::sweep`] gave back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Freed {
    /// Bytes on disks, over all shards. A repeat counts them again.
    pub bytes: u64,
    /// Shards, or files, that could not be reached: their disks are out of service. A mark scan
    /// finds what lies there once they are back.
    pub skipped: u64,
}

impl std::ops::AddAssign for Freed {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.skipped += other.skipped;
    }
}

/// A search for bytes that nobody names. It covers what was there, complete and not in use, when it
/// began; whatever is written later is not looked at.
#[async_trait]
pub trait BlobMark: Send {
    /// Keeps the bytes of a place.
    ///
    /// # Errors
    /// `Corrupt` when the place does not parse: then nothing may be swept.
    fn keep(&mut self, place: &Place) -> Result<()>;

    /// Whether some of what was there is left to the next search, because it is too much for one.
    fn has_more(&self) -> bool;

    /// Frees what was not kept. Only when every place of every record was kept. May fail half way.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn sweep(self: Box<Self>) -> Result<Freed>;
}

/// The store. Shared; every method may be called at once from many tasks.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Writes and syncs a blob. Memory is a few stripes, whatever the size. Nothing refers to the
    /// bytes until the caller commits a record with the place; a dropped future leaves garbage only.
    ///
    /// # Errors
    /// What the stream gave; `Invalid` when it gave more or fewer bytes than announced;
    /// `Unavailable` when too few disks are in service; `Full`.
    async fn put(&self, options: PutOptions, content: ByteStream) -> Result<Written>;

    /// Reads `range` of the blob (`range.end` at most its size). Every byte was verified against
    /// checksums bound to the blob and to its place on disk. Missing and damaged shards are decoded
    /// around; damaged ones in service are rewritten in the background.
    ///
    /// What is found only while reading ends the stream.
    ///
    /// # Errors
    /// `Invalid` when the range is not within the blob, `Corrupt` when the place does not parse or
    /// when a stripe can not be decoded although all its disks answered, `Unavailable`
    /// when it can not because disks are out.
    async fn read(&self, place: &Place, range: Range<u64>) -> Result<ByteStream>;

    /// Reads and checks every shard. Repairs nothing.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt` when the place does not parse.
    async fn verify(&self, place: &Place) -> Result<Health>;

    /// Rewrites damaged and missing shards where they belong. Idempotent.
    ///
    /// # Errors
    /// `Corrupt` when a stripe is lost, `Unavailable`.
    async fn repair(&self, place: &Place) -> Result<Health>;

    /// Writes the blob anew under the current placement, with its owner, and returns the new place.
    /// The old bytes stay.
    ///
    /// # Errors
    /// As `read` and `put`.
    async fn rewrite(&self, place: &Place) -> Result<Written>;

    /// Where the blob's shards lie and what is known of each. With `verify` every shard is read
    /// and checked, at the cost of reading the blob with its parity; without, what is read does not
    /// grow with the blob's stripes. Repairs nothing. An answer may be out of date when it comes.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt` when the place does not parse.
    async fn locate(&self, place: &Place, verify: bool) -> Result<Location>;

    /// Gives the space of a blob back. The caller has made sure that no record names the place and
    /// that none will. Idempotent; may fail or be dropped half way and be repeated. Not durable: what
    /// a power cut brings back is found by a mark scan.
    ///
    /// # Errors
    /// `Corrupt` when the place does not parse, `Unavailable`.
    async fn free(&self, place: &Place) -> Result<Freed>;

    /// Begins a search for bytes that no record names. A place handed out by [`BlobStore::put`] is
    /// left alone for as long as its [`Written::durable`] is held, so the caller first makes a commit
    /// after this call and then reads all records.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn begin_mark(&self) -> Result<Box<dyn BlobMark>>;

    /// Whether the place has less redundancy than the current placement asks for.
    fn is_reduced(&self, place: &Place) -> bool;

    /// Verifies, or with `repair` repairs, many blobs at once, each byte read once and in the order
    /// of the disks. Answers in the order asked. Idempotent; a dropped future leaves a part done.
    ///
    /// A blob of which stripes are lost is no error here: its health says so.
    async fn inspect(&self, places: &[Place], repair: bool) -> Vec<Result<Health>> {
        let mut answers = Vec::with_capacity(places.len());
        for place in places {
            answers.push(if repair {
                self.repair(place).await
            } else {
                self.verify(place).await
            });
        }
        answers
    }

    /// Looks which shards the disks in service hold. Costs a listing of each disk, whatever the
    /// blobs are.
    async fn survey(&self) -> Survey {
        Survey::default()
    }

    /// How each blob stands by the last survey. Reads no blob.
    async fn redundancy(&self, places: &[Place]) -> Vec<Redundancy> {
        let one = |place| match self.is_reduced(place) {
            false => Redundancy::full(),
            true => Redundancy {
                level: Level::Reduced,
                margin: 1,
                ..Redundancy::full()
            },
        };
        places.iter().map(one).collect()
    }

    /// How each blob would stand if the disks with these identities were lost for ever, at once. Reads
    /// no blob. A store that knows no disks answers as `redundancy`.
    async fn redundancy_without(
        &self,
        places: &[Place],
        lost: &BTreeSet<[u8; 16]>,
    ) -> Vec<Redundancy> {
        let _ = lost;
        self.redundancy(places).await
    }

    /// Says that every blob with shards in these segments was verified, in a walk that began when
    /// they were being refilled already.
    async fn filled(&self, segments: &[Filling]) {
        let _ = segments;
    }

    /// A round of moves: empties disks that are drained, else evens full and empty disks of a zone.
    /// Whether something was moved. Idempotent; a dropped future leaves a part done, which the next
    /// round goes on with.
    async fn relocate(&self, rest: &dyn Rest) -> bool {
        let _ = rest;
        false
    }

    /// What is moved, as the last round saw it.
    fn moves(&self) -> Moves {
        Moves::default()
    }
}

/// What the caller should do about an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// The request must change (size mismatch, range out of bounds).
    Invalid,
    /// The content stream failed; the message is the stream's.
    Content,
    /// Too few disks in service: retry later.
    Unavailable,
    /// No space.
    Full,
    /// Verification failed beyond what the code can decode.
    Corrupt,
    /// Our bug.
    Internal,
}

/// An error of a blob store.
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

/// Result of a blob store.
pub type Result<T> = std::result::Result<T, Error>;
