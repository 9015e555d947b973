//! What would be left of the objects if disks were lost: asked before it happens.
//!
//! An operator who takes a zone down, or looks at a disk that ticks, wants to know what goes with it. The
//! answer is made from records and the map of segments: no blob is read.
//!
//! Invariants
//! - Every object, and every part of an upload, is counted once: where its bytes are, be that in a
//!   pack with others. Packs are not counted beside what is in them.
//! - Nothing is changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use strongroom_blob::{Level, Place};

use crate::error::Result;
use crate::objects::Objects;
use crate::records::{BlobId, BlobOwner, BlobRecord, RecordFormat, keys};
use crate::upkeep::{BLOBS_PAGE_MAX, blob_of};

/// Most blobs of a page of [`Objects::simulate`]: a second or so of reading the index.
pub const SIMULATE_PAGE_MAX: usize = 20_000;

/// Identities of disks.
pub type DiskIds = BTreeSet<[u8; 16]>;

/// Contents: how many, and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Contents {
    pub count: u64,
    pub bytes: u64,
}

impl Contents {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// A page of what would be left.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SimulatedPage {
    /// Contents in shards, by how they would stand; in packs as their pack.
    pub levels: BTreeMap<Level, Contents>,
    /// Contents in the commit log: as many copies as the log has.
    pub in_log: Contents,
    /// Where the next page begins; none at the end.
    pub next: Option<BlobId>,
}

impl Objects {
    /// How a page of all contents, those of blobs after `after`, would stand if the disks `lost` were lost for
    /// ever at once.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn simulate(
        &self,
        after: Option<BlobId>,
        limit: usize,
        lost: &DiskIds,
    ) -> Result<SimulatedPage> {
        let mut page = SimulatedPage {
            next: after,
            ..SimulatedPage::default()
        };
        let mut packs = HashMap::new();
        let mut left = limit.min(SIMULATE_PAGE_MAX);
        loop {
            let asked = left.min(BLOBS_PAGE_MAX);
            let from = page.next.map(keys::blob);
            let found = self
                .meta
                .scan(&keys::blobs(), from.as_deref(), asked)
                .await?;
            let mut blobs = Vec::new();
            for (key, record) in &found.records {
                blobs.push((blob_of(key)?, BlobRecord::decode(&record.value)?));
            }
            self.simulate_records(&blobs, lost, &mut packs, &mut page)
                .await?;
            left -= blobs.len().min(left);
            page.next = blobs.last().map(|(blob, _)| *blob).filter(|_| found.more);
            if page.next.is_none() || left == 0 {
                return Ok(page);
            }
        }
    }

    async fn simulate_records(
        &self,
        blobs: &[(BlobId, BlobRecord)],
        lost: &DiskIds,
        packs: &mut HashMap<BlobId, Level>,
        page: &mut SimulatedPage,
    ) -> Result<()> {
        let (mut places, mut sizes) = (Vec::new(), Vec::new());
        for (_, record) in blobs {
            match (&record.owner, &record.place, record.packed) {
                (BlobOwner::Pack, ..) => {}
                (_, Some(place), _) => {
                    places.push(place.clone());
                    sizes.push(record.size);
                }
                (_, None, Some(packed)) => {
                    let level = match packs.get(&packed.pack) {
                        Some(level) => *level,
                        None => self.simulate_pack(packed.pack, lost).await?,
                    };
                    packs.insert(packed.pack, level);
                    page.levels.entry(level).or_default().add(record.size);
                }
                (_, None, None) => page.in_log.add(record.size),
            }
        }
        let found = self.blobs.redundancy_without(&places, lost).await;
        for (one, size) in found.iter().zip(sizes) {
            page.levels.entry(one.level).or_default().add(size);
        }
        Ok(())
    }

    /// A pack that is gone was replaced while its content was looked at: it is whole elsewhere, and how
    /// it stands there is not known, so it is not called better than one that the next loss takes.
    async fn simulate_pack(&self, pack: BlobId, lost: &DiskIds) -> Result<Level> {
        let record: Option<BlobRecord> = self.record(&keys::blob(pack)).await?;
        let places: Vec<Place> = record.and_then(|pack| pack.place).into_iter().collect();
        let found = self.blobs.redundancy_without(&places, lost).await;
        Ok(found.first().map_or(Level::Critical, |found| found.level))
    }
}
