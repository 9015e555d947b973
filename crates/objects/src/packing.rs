//! Packing: small contents leave the commit log for packs, so that the log can be trimmed.
//!
//! Inline content keeps the log that it lies in. A round of packing walks the records that have
//! some, gathers contents to a pack of several MiB, writes it like any blob, and moves each record
//! on its own (RFC 0008). Then the log below can go.
//!
//! Invariants
//! - A record moves only once the pack's bytes are durable, and only if its content is where it
//!   was when it was read: what changed meanwhile stays as it is.
//! - A round keeps nothing that matters in memory: one that is dropped leaves contents where they
//!   were, and at most a pack that the search for orphans frees.

use bytes::Bytes;
use futures::StreamExt;
use strongroom_base::planted;
use strongroom_blob::PutOptions;
use strongroom_meta::{LogExtent, Record, Trimmed, resolve};

use crate::commit::CommitError;
use crate::decide::{self, Holder, NewPack, PackCommit, PackMove, PackMoved, PackedFrom};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::pack::{PackBuilder, PackCreationRecord};
use crate::records::{BlobId, RecordFormat, keys};

/// Contents read at once: at most 64 KiB each, so a MiB.
const CONTENT_READS_MAX: usize = 16;
/// Records with inline content taken in one step. Their contents are a few MiB at most.
const STEP_RECORDS_MAX: usize = 256;
/// Contents a round passes by although they may be readable later. With more of them the disks are
/// away rather than a few sectors bad, and each look would wait for them in vain.
const UNAVAILABLE_MAX: u64 = 64;

/// How large packs and commits are.
#[derive(Clone, Copy, Debug)]
pub struct PackLimits {
    /// A pack is written when its contents have so many bytes.
    pub content_bytes_max: u64,
    /// Or when they are so many, so that its directory stays below 300 KiB.
    pub content_count_max: usize,
    /// Records moved in one commit: about 400 KiB with the longest keys, so that no client waits
    /// behind a large batch.
    pub moves_max: usize,
}

impl Default for PackLimits {
    fn default() -> Self {
        Self {
            content_bytes_max: 8 * 1024 * 1024,
            content_count_max: 8192,
            moves_max: 256,
        }
    }
}

/// What packing did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PackTally {
    /// Packs written.
    pub packs: u64,
    /// Contents that moved into them.
    pub contents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Contents that were overwritten, deleted or moved meanwhile.
    pub superseded: u64,
    /// Contents that could not be read: they stay where they are.
    pub unreadable: u64,
}

impl PackTally {
    /// Takes over everything from `other`.
    pub const fn add(&mut self, other: &Self) {
        self.packs += other.packs;
        self.contents += other.contents;
        self.bytes += other.bytes;
        self.superseded += other.superseded;
        self.unreadable += other.unreadable;
    }
}

/// A pack that is being gathered, with where its contents are now.
#[derive(Default)]
pub(crate) struct Gathered {
    pack: Option<BlobId>,
    builder: PackBuilder,
    moves: Vec<PackMove>,
}

impl Gathered {
    pub(crate) const fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }

    pub(crate) const fn is_full(&self, limits: &PackLimits) -> bool {
        self.builder.content_bytes() >= limits.content_bytes_max
            || self.builder.content_count() >= limits.content_count_max
    }

    pub(crate) fn add(
        &mut self,
        objects: &Objects,
        blob: BlobId,
        holder: Holder,
        from: PackedFrom,
        content: Bytes,
    ) {
        let now = objects.clock.now();
        let pack = *self.pack.get_or_insert_with(|| objects.new_blob_id(now));
        let size = content.len() as u64;
        let to = self.builder.add(pack, blob, content);
        self.moves.push(PackMove {
            blob,
            holder,
            size,
            from,
            to,
        });
    }
}

/// A round of packing: everything inline in batches up to `through`.
pub struct Packing {
    through: u64,
    limits: PackLimits,
    /// The family that is walked, and where to go on; none when all was seen.
    walk: Option<(Family, Option<Vec<u8>>)>,
    gathered: Gathered,
    /// The lowest batch with content that could not be read.
    unreadable_batch: Option<u64>,
    /// What was done so far.
    pub tally: PackTally,
}

/// Burying moves content from the first to the second, nothing moves it back: so in this order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Blobs,
    Graves,
}

impl Packing {
    /// A round over all content in batches up to `through`.
    #[must_use]
    pub fn new(through: u64, limits: PackLimits) -> Self {
        Self {
            through,
            limits,
            walk: Some((Family::Blobs, None)),
            gathered: Gathered::default(),
            unreadable_batch: None,
            tally: PackTally::default(),
        }
    }

    /// Whether content that failed to be read so stays where it is while the round goes on.
    const fn passes_by(&self, kind: strongroom_meta::ErrorKind) -> bool {
        match kind {
            strongroom_meta::ErrorKind::Corrupt => true,
            strongroom_meta::ErrorKind::Unavailable => self.tally.unreadable < UNAVAILABLE_MAX,
            _ => false,
        }
    }

    /// Up to which batch the log can go once the round is done, as far as it knows.
    #[must_use]
    pub fn trimmable(&self) -> u64 {
        match self.unreadable_batch {
            Some(batch) => self.through.min(batch.saturating_sub(1)),
            None => self.through,
        }
    }
}

/// What all packs hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PackCounts {
    pub packs: u64,
    pub live_bytes: u64,
    pub live_contents: u64,
    /// Bytes of all contents that packs still there were written with.
    pub all_bytes: u64,
}

impl Objects {
    /// One step of a round: looks at a bounded number of records, and writes a pack when enough
    /// contents are gathered. False when the round is done. After an error the step may be taken
    /// again. Safe beside anything else and safe to drop.
    ///
    /// # Errors
    /// `Unavailable`, `StorageFull`, `Corrupt` when records can not be read.
    pub async fn pack_step(&self, packing: &mut Packing) -> Result<bool> {
        let Some((family, after)) = packing.walk.clone() else {
            if !packing.gathered.is_empty() {
                self.write_gathered(packing).await?;
            }
            return Ok(false);
        };
        if packing.gathered.is_full(&packing.limits) {
            self.write_gathered(packing).await?;
        }
        let prefix = match family {
            Family::Blobs => keys::blobs(),
            Family::Graves => keys::graveyards(),
        };
        let (through, limit) = (packing.through, STEP_RECORDS_MAX);
        let page = self
            .meta
            .inline_records(&prefix, through, after.as_deref(), limit)
            .await?;
        self.gather(packing, family, page.records).await?;
        packing.walk = match (page.next, family) {
            (Some(next), family) => Some((family, Some(next))),
            (None, Family::Blobs) if planted("objects-grave-not-packed") => None,
            (None, Family::Blobs) => Some((Family::Graves, None)),
            (None, Family::Graves) => None,
        };
        Ok(true)
    }

    /// Reads the contents of these records and adds them to the pack.
    async fn gather(
        &self,
        packing: &mut Packing,
        family: Family,
        records: Vec<(Vec<u8>, Record)>,
    ) -> Result<()> {
        let mut read = futures::stream::iter(records)
            .map(|(key, record)| async move {
                let Some(place) = record.inline else {
                    return (key, None);
                };
                (key, Some((place, self.meta.inline_bytes(place).await)))
            })
            .buffered(CONTENT_READS_MAX);
        while let Some((key, content)) = read.next().await {
            let (blob, holder) = holder_of(family, &key)?;
            let Some((place, content)) = content else {
                continue;
            };
            match content {
                Ok(content) => {
                    let from = PackedFrom::Inline(place);
                    packing.gathered.add(self, blob, holder, from, content);
                }
                // It moved since the page was read.
                Err(error) if error.kind == strongroom_meta::ErrorKind::NotFound => {
                    packing.tally.superseded += 1;
                }
                Err(error) if packing.passes_by(error.kind) => {
                    packing.tally.unreadable += 1;
                    let lowest = packing.unreadable_batch.unwrap_or(place.batch);
                    packing.unreadable_batch = Some(lowest.min(place.batch));
                    tracing::warn!(
                        %blob, batch = place.batch, %error,
                        "content in the log can not be read and keeps the log from there on: \
                         overwrite or delete its object"
                    );
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn write_gathered(&self, packing: &mut Packing) -> Result<()> {
        let gathered = std::mem::take(&mut packing.gathered);
        let tally = self.write_pack(gathered, &packing.limits).await?;
        packing.tally.add(&tally);
        Ok(())
    }

    /// Writes a pack and moves its contents into it.
    pub(crate) async fn write_pack(
        &self,
        gathered: Gathered,
        limits: &PackLimits,
    ) -> Result<PackTally> {
        let mut tally = PackTally::default();
        let Some(pack) = gathered.pack else {
            return Ok(tally);
        };
        let content_bytes = gathered.builder.content_bytes();
        let content_count = gathered.builder.content_count() as u64;
        let pieces = gathered.builder.finish(pack);
        let size = pieces.iter().map(|piece| piece.len() as u64).sum();
        let owner = PackCreationRecord {
            pack,
            created: self.clock.now(),
            content_count,
        };
        let options = PutOptions {
            size,
            owner: owner.encode().into(),
        };
        let stream = futures::stream::iter(pieces.into_iter().map(Ok));
        let written = self.blobs.put(options, Box::pin(stream)).await?;
        let mut commit = PackCommit {
            new: NewPack {
                pack,
                place: written.place,
                reduced: written.reduced,
                size,
                content_bytes,
                content_count,
            },
            made: false,
            moves: Vec::new(),
        };
        tally.packs += 1;
        for moves in gathered.moves.chunks(limits.moves_max.max(1)) {
            commit.moves = moves.to_vec();
            let attempt = commit.clone();
            let durable = vec![written.durable.clone()];
            let moved = self
                .commit(durable, move |reads| {
                    decide::move_into_pack(reads, &attempt)
                })
                .await;
            match moved {
                Ok(PackMoved { gone: true, .. }) => break,
                Ok(moved) => {
                    commit.made |= moved.moved > 0;
                    tally.contents += moved.moved;
                    tally.bytes += moved.bytes;
                }
                // Disks went out since its bytes were synced: the rest is for another pack (H10).
                Err(CommitError::BlobLost) => break,
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        tally.superseded += content_count - tally.contents;
        if !commit.made {
            let new = commit.new;
            self.decide(move |reads| decide::bury_unused_pack(reads, &new))
                .await?;
        }
        Ok(tally)
    }

    /// Where the commit log begins and ends, and how large it is.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn log_extent(&self) -> Result<LogExtent> {
        Ok(self.meta.log_extent().await?)
    }

    /// Gives back log that holds nothing but batches up to `through`.
    ///
    /// # Errors
    /// `Unavailable` with the reason; then nothing was given back.
    pub async fn trim_log(&self, through: u64) -> Result<Trimmed> {
        Ok(self.meta.trim(through).await?)
    }

    /// What all packs hold: counters kept by the commits that change them.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn pack_counts(&self) -> Result<PackCounts> {
        let record = self.meta.get(&keys::packs_count()).await?;
        let value = record.map(|record| record.value).unwrap_or_default();
        let counters = resolve::counters(&value)?;
        let count = |index: usize| {
            let count = counters.get(index).copied().unwrap_or(0);
            u64::try_from(count).unwrap_or(0)
        };
        Ok(PackCounts {
            packs: count(0),
            live_bytes: count(1),
            live_contents: count(2),
            all_bytes: count(3),
        })
    }
}

/// The blob in the key of a record with inline content, and which record that is.
fn holder_of(family: Family, key: &[u8]) -> Result<(BlobId, Holder)> {
    let found = match family {
        Family::Blobs => keys::blob_of(key).map(|blob| (blob, Holder::Blob)),
        Family::Graves => keys::graveyard_of(key).map(|(when, blob)| (blob, Holder::Grave(when))),
    };
    found.ok_or_else(|| Error::Corrupt {
        message: "bad key of a record with inline content".to_owned(),
    })
}
