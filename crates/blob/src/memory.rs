//! The blob store in memory: the model of what every backend does, with faults a test may ask for.
//!
//! Tests of the domain need a store whose bytes are right by inspection, and which loses the
//! durability of a blob, or writes with reduced redundancy, when told to. Nothing is durable.
//!
//! Invariants
//! - A blob is in the map only once its stream gave exactly the bytes announced.
//! - A blob never changes; it ends by [`MemoryBlobs::lose`], or when it is freed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use crate::{
    BlobMark, BlobStore, ByteStream, Error, ErrorKind, Freed, Health, Location, Place, PutOptions,
    Result, RunLocation, ShardLocation, ShardState, Written,
};

/// Most bytes of one item of a read stream: small enough that tests see several items.
const READ_SIZE_BYTES_MAX: usize = 64 * 1024;

/// A blob store that forgets everything when dropped.
#[derive(Default)]
pub struct MemoryBlobs {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    blobs: BTreeMap<u64, Blob>,
    id_last: u64,
    lose_next_durability: bool,
    reduced: bool,
}

#[derive(Clone)]
struct Blob {
    content: Bytes,
    owner: Bytes,
    reduced: bool,
    durable: Arc<AtomicBool>,
}

impl MemoryBlobs {
    /// An empty store.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How many blobs are kept.
    #[must_use]
    pub fn blob_count(&self) -> usize {
        self.lock().blobs.len()
    }

    /// The next blob written is no longer durable by the time its record is committed, as when a
    /// disk is taken out in between. Its bytes stay readable, so that a rewrite helps.
    pub fn lose_next_durability(&self) {
        self.lock().lose_next_durability = true;
    }

    /// Takes a blob's durability back: every closure handed out for it answers `false` from here.
    pub fn lose_durability(&self, place: &Place) {
        if let Ok(blob) = self.blob(place) {
            blob.durable.store(false, Ordering::SeqCst);
        }
    }

    /// Whether blobs written from here on have reduced redundancy. Those written before stay as
    /// they are.
    pub fn mark_reduced(&self, reduced: bool) {
        self.lock().reduced = reduced;
    }

    /// Makes a blob unreadable, as when more shards are lost than the code can decode.
    pub fn lose(&self, place: &Place) {
        if let Ok(id) = parse(place) {
            self.lock().blobs.remove(&id);
        }
    }

    /// The owner a blob was written with.
    #[must_use]
    pub fn owner_of(&self, place: &Place) -> Option<Bytes> {
        self.blob(place).ok().map(|blob| blob.owner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    fn blob(&self, place: &Place) -> Result<Blob> {
        let id = parse(place)?;
        let blob = self.lock().blobs.get(&id).cloned();
        blob.ok_or_else(|| Error::new(ErrorKind::Corrupt, format!("blob {id} is lost")))
    }

    fn insert(&self, content: Bytes, owner: Bytes) -> Written {
        let mut state = self.lock();
        state.id_last += 1;
        let id = state.id_last;
        let durable = Arc::new(AtomicBool::new(!std::mem::take(
            &mut state.lose_next_durability,
        )));
        let reduced = state.reduced;
        let asked = Arc::clone(&durable);
        state.blobs.insert(
            id,
            Blob {
                content,
                owner,
                reduced,
                durable,
            },
        );
        Written {
            place: Place(Bytes::copy_from_slice(&id.to_be_bytes())),
            reduced,
            durable: Arc::new(move || asked.load(Ordering::SeqCst)),
        }
    }
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn put(&self, options: PutOptions, mut content: ByteStream) -> Result<Written> {
        let mut bytes = BytesMut::new();
        while let Some(item) = content.next().await {
            bytes.extend_from_slice(&item?);
            if bytes.len() as u64 > options.size {
                return Err(size_mismatch(&options, "more"));
            }
        }
        if (bytes.len() as u64) < options.size {
            return Err(size_mismatch(&options, "fewer"));
        }
        Ok(self.insert(bytes.freeze(), options.owner))
    }

    async fn read(&self, place: &Place, range: Range<u64>) -> Result<ByteStream> {
        let content = self.blob(place)?.content;
        let size = content.len() as u64;
        if range.start > range.end || range.end > size {
            let message = format!("range {}..{} of {size} bytes", range.start, range.end);
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let bound = |at| usize::try_from(at).expect("at most the size of what is in memory");
        let wanted = content.slice(bound(range.start)..bound(range.end));
        Ok(in_items(wanted))
    }

    async fn verify(&self, place: &Place) -> Result<Health> {
        let id = parse(place)?;
        Ok(match self.lock().blobs.contains_key(&id) {
            true => Health {
                shards_good: 1,
                ..Health::default()
            },
            false => Health {
                shards_bad: 1,
                stripes_lost: 1,
                ..Health::default()
            },
        })
    }

    async fn repair(&self, place: &Place) -> Result<Health> {
        self.blob(place)?;
        self.verify(place).await
    }

    async fn rewrite(&self, place: &Place) -> Result<Written> {
        let blob = self.blob(place)?;
        Ok(self.insert(blob.content, blob.owner))
    }

    async fn locate(&self, place: &Place, verify: bool) -> Result<Location> {
        let id = parse(place)?;
        let size = self
            .lock()
            .blobs
            .get(&id)
            .map(|blob| blob.content.len() as u64);
        let state = match (size, verify) {
            (None, _) => ShardState::Missing,
            (Some(_), false) => ShardState::Present,
            (Some(_), true) => ShardState::Verified,
        };
        let shard = ShardLocation {
            zone: Some("memory".to_owned()),
            disk: Some("memory".to_owned()),
            segment: id.to_string(),
            state,
        };
        let size = size.unwrap_or(0);
        let run = RunLocation {
            data_shards: 1,
            parity_shards: 0,
            stripes: 1,
            offset: 0,
            size,
            shards: vec![shard],
        };
        Ok(Location {
            size,
            runs: vec![run],
        })
    }

    async fn free(&self, place: &Place) -> Result<Freed> {
        let id = parse(place)?;
        Ok(free(&mut self.lock(), id))
    }

    async fn begin_mark(&self) -> Result<Box<dyn BlobMark>> {
        let state = self.lock();
        // A blob whose durability somebody still holds waits for its commit.
        let is_settled = |blob: &Blob| Arc::strong_count(&blob.durable) == 1;
        let settled = state.blobs.iter().filter(|(_, blob)| is_settled(blob));
        Ok(Box::new(MemoryMark {
            state: Arc::clone(&self.state),
            unmarked: settled.map(|(id, _)| *id).collect(),
        }))
    }

    fn is_reduced(&self, place: &Place) -> bool {
        self.blob(place).is_ok_and(|blob| blob.reduced)
    }
}

fn free(state: &mut State, id: u64) -> Freed {
    let blob = state.blobs.remove(&id);
    Freed {
        bytes: blob.map_or(0, |blob| blob.content.len() as u64),
        skipped: 0,
    }
}

struct MemoryMark {
    state: Arc<Mutex<State>>,
    unmarked: BTreeSet<u64>,
}

#[async_trait]
impl BlobMark for MemoryMark {
    fn keep(&mut self, place: &Place) -> Result<()> {
        self.unmarked.remove(&parse(place)?);
        Ok(())
    }

    fn has_more(&self) -> bool {
        false
    }

    async fn sweep(self: Box<Self>) -> Result<Freed> {
        let mut state = self.state.lock().expect("no holder panics");
        let mut freed = Freed::default();
        for id in &self.unmarked {
            freed += free(&mut state, *id);
        }
        Ok(freed)
    }
}

fn parse(place: &Place) -> Result<u64> {
    let bytes: [u8; 8] = place.0.as_ref().try_into().map_err(|_| {
        Error::new(
            ErrorKind::Corrupt,
            format!("place of {} bytes does not parse", place.0.len()),
        )
    })?;
    Ok(u64::from_be_bytes(bytes))
}

fn size_mismatch(options: &PutOptions, what: &str) -> Error {
    let message = format!(
        "content has {what} than the {} bytes announced",
        options.size
    );
    Error::new(ErrorKind::Invalid, message)
}

fn in_items(mut content: Bytes) -> ByteStream {
    let items = std::iter::from_fn(move || {
        let size = content.len().min(READ_SIZE_BYTES_MAX);
        (size > 0).then(|| Ok(content.split_to(size)))
    });
    Box::pin(futures::stream::iter(items))
}
