//! Compaction: the live contents of packs that are mostly dead move to new packs.
//!
//! A pack ends with its last content, and one object that stays would keep MiBs for ever. So packs
//! that are less than half live are written anew without what is dead: their directory names the
//! blobs, and the blobs' own records say which still are in this pack. Contents that are held back
//! stay: their graves are not found by the blob, and end by themselves.

use std::collections::HashMap;

use bytes::Bytes;
use futures::TryStreamExt;

use crate::decide::{self, Holder, PackedFrom};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::packing::{Gathered, PackLimits, PackTally};
use crate::records::pack::{ALL_BYTES, LIVE_BYTES, LIVE_CONTENTS, PackEntry, pack_directory};
use crate::records::{BlobId, BlobRecord, Packed, keys};

/// Counters of packs read in one step.
const STEP_PACKS_MAX: usize = 1000;
/// Packs written anew in one step: each is a few MiB to read.
const STEP_COMPACTED_MAX: usize = 4;
/// Packs remembered for having nothing to move; beyond it all are forgotten and looked at again.
const NOTHING_TO_MOVE_MAX: usize = 10_000;

/// A walk over all packs, again and again.
#[derive(Default)]
pub struct Compaction {
    after: Option<Vec<u8>>,
    /// Packs that had nothing to move, with the live bytes they had then: held-back contents.
    nothing_to_move: HashMap<BlobId, i64>,
    /// What was done so far.
    pub tally: PackTally,
}

impl Objects {
    /// One step of compaction: looks at some packs and moves the live contents of those that are
    /// less than half live. False when the walk is at its end; the next step begins it anew. Safe
    /// beside anything else and safe to drop.
    ///
    /// # Errors
    /// `Unavailable`, `StorageFull`, `Corrupt` when counters can not be read.
    pub async fn compact_step(
        &self,
        compaction: &mut Compaction,
        limits: &PackLimits,
    ) -> Result<bool> {
        let after = compaction.after.take();
        let page = self
            .meta
            .scan(&keys::packs(), after.as_deref(), STEP_PACKS_MAX)
            .await?;
        let mut gathered = Gathered::default();
        let (mut compacted, mut last) = (0, None);
        let mut more = page.more;
        for (key, record) in page.records {
            if compacted == STEP_COMPACTED_MAX {
                more = true;
                break;
            }
            let pack = keys::pack_of(&key).ok_or_else(|| Error::Corrupt {
                message: "bad key of a pack".to_owned(),
            })?;
            let counters = decide::decode_counters(&record.value)?;
            last = Some(key);
            if counters[LIVE_CONTENTS] == 0 {
                self.decide(move |reads| decide::bury_empty_pack(reads, pack))
                    .await?;
                continue;
            }
            let is_sparse = counters[LIVE_BYTES].saturating_mul(2) < counters[ALL_BYTES];
            let seen = compaction.nothing_to_move.get(&pack);
            if !is_sparse || seen == Some(&counters[LIVE_BYTES]) {
                continue;
            }
            compacted += 1;
            if self.gather_pack(pack, &mut gathered).await? == 0 {
                compaction.remember(pack, counters[LIVE_BYTES]);
            }
            if gathered.is_full(limits) {
                let full = std::mem::take(&mut gathered);
                compaction.tally.add(&self.write_pack(full, limits).await?);
            }
        }
        if !gathered.is_empty() {
            let tally = self.write_pack(gathered, limits).await?;
            compaction.tally.add(&tally);
        }
        compaction.after = last.filter(|_| more);
        Ok(compaction.after.is_some())
    }

    /// Adds what blob records still have in this pack, and says how much that was. A pack that can
    /// not be read is left for repair.
    async fn gather_pack(&self, pack: BlobId, gathered: &mut Gathered) -> Result<usize> {
        let (bytes, directory) = match self.read_pack(pack).await {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(0),
            Err(error) => {
                tracing::warn!(%pack, %error, "a pack can not be read, and is not compacted");
                return Ok(0);
            }
        };
        let mut moved = 0;
        for entry in directory {
            let record: Option<BlobRecord> = self.record(&keys::blob(entry.blob)).await?;
            let packed = Packed {
                pack,
                offset: entry.offset,
                checksum: entry.checksum,
            };
            let is_live = |record: &BlobRecord| {
                record.packed == Some(packed) && record.size == u64::from(entry.length)
            };
            if !record.as_ref().is_some_and(is_live) {
                continue;
            }
            let Some(content) = content_of(&bytes, &entry) else {
                tracing::warn!(%pack, blob = %entry.blob, "a content of a pack is damaged");
                continue;
            };
            let from = PackedFrom::Pack(packed);
            gathered.add(self, entry.blob, Holder::Blob, from, content);
            moved += 1;
        }
        Ok(moved)
    }

    /// All bytes of a pack and its directory; none when it is gone.
    async fn read_pack(&self, pack: BlobId) -> Result<Option<(Bytes, Vec<PackEntry>)>> {
        let record: Option<BlobRecord> = self.record(&keys::blob(pack)).await?;
        let Some((place, size)) = record.and_then(|record| Some((record.place?, record.size)))
        else {
            return Ok(None);
        };
        let chunks: Vec<Bytes> = self
            .blobs
            .read(&place, 0..size)
            .await?
            .try_collect()
            .await?;
        let bytes = Bytes::from(chunks.concat());
        let directory = pack_directory(pack, &bytes)?;
        Ok(Some((bytes, directory)))
    }
}

impl Compaction {
    fn remember(&mut self, pack: BlobId, live: i64) {
        if self.nothing_to_move.len() >= NOTHING_TO_MOVE_MAX {
            self.nothing_to_move.clear();
        }
        self.nothing_to_move.insert(pack, live);
    }
}

/// The content, if it is what its checksum says.
fn content_of(bytes: &Bytes, entry: &PackEntry) -> Option<Bytes> {
    let start = usize::try_from(entry.offset).ok()?;
    let end = start.checked_add(entry.length as usize)?;
    let content = (end <= bytes.len()).then(|| bytes.slice(start..end))?;
    (Packed::checksum(entry.blob, &content) == entry.checksum).then_some(content)
}
