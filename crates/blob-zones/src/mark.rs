//! The mark scan of the segments: which bytes does no record name?
//!
//! Puts that died before their commit, disks that were away when something was freed and holes lost
//! in a power cut leave bytes that nobody will ever free by name. So the caller reads all records and
//! keeps their places here; what is left over in a segment group that has ended goes.
//!
//! Invariants
//! - A group is looked at only if it had ended when the scan began: nothing is written to it and no
//!   place in it waits for its commit (hazard H28).
//! - A range that was kept is never touched; a place that does not lie within reason ends the scan.
//! - The files of a group are removed only when two scans, [`crate::Settings::unlink_after`] apart,
//!   found no live byte in it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use strongroom_base::ALIGNMENT;
use strongroom_blob::{BlobMark, Freed, Place, Result};
use strongroom_zones::{DiskHandle, DiskId};

use crate::place::BlobPlace;
use crate::segment::{GroupId, SEGMENT_DIR, SEGMENT_HEADER_SIZE_BYTES, segment_path};
use crate::settings::MARK_GROUPS_MAX;
use crate::store::Store;

/// Bytes of a segment that one bit stands for: what shards are padded to.
const UNIT_BYTES: u64 = ALIGNMENT as u64;

/// What scans remember from one to the next, in memory only.
#[derive(Default)]
pub(crate) struct Marking {
    /// The last group looked at: the next scan goes on after it.
    after: Option<GroupId>,
    /// Groups found without a live byte, and when first.
    empty_since: HashMap<GroupId, Duration>,
}

/// The live units of one group.
#[derive(Default)]
struct Units(Vec<u64>);

impl Units {
    fn keep(&mut self, range: Range<u64>) {
        for unit in range.start / UNIT_BYTES..range.end.div_ceil(UNIT_BYTES) {
            let (word, bit) = ((unit / 64) as usize, unit % 64);
            if self.0.len() <= word {
                self.0.resize(word + 1, 0);
            }
            self.0[word] |= 1 << bit;
        }
    }

    fn is_live(&self, unit: u64) -> bool {
        let word = self.0.get((unit / 64) as usize).copied().unwrap_or(0);
        word & (1 << (unit % 64)) != 0
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// What is not live between the header and `end`.
    fn dead(&self, end: u64) -> Vec<Range<u64>> {
        let mut dead: Vec<Range<u64>> = Vec::new();
        for unit in SEGMENT_HEADER_SIZE_BYTES / UNIT_BYTES..end.div_ceil(UNIT_BYTES) {
            if self.is_live(unit) {
                continue;
            }
            let (start, end) = (unit * UNIT_BYTES, (unit + 1) * UNIT_BYTES);
            match dead.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => dead.push(start..end),
            }
        }
        dead
    }
}

/// One scan.
pub(crate) struct ZoneMark {
    store: Arc<Store>,
    groups: BTreeMap<GroupId, Units>,
    has_more: bool,
}

impl ZoneMark {
    /// Notes the groups that have ended, up to a number; the next scan goes on where this one ends.
    pub(crate) fn begin(store: &Arc<Store>) -> Self {
        store.groups.close_unusable(&store.disks);
        let ended = |group: &GroupId| store.groups.is_ended(*group);
        let known: Vec<GroupId> = store.map.groups().into_iter().filter(ended).collect();
        let mut marking = store.marking.lock().expect("no holder panics");
        let first = marking
            .after
            .map_or(0, |after| known.partition_point(|group| *group <= after));
        let chosen = known[first..].iter().take(MARK_GROUPS_MAX);
        let groups: BTreeMap<GroupId, Units> =
            chosen.map(|group| (*group, Units::default())).collect();
        let has_more = first + groups.len() < known.len();
        marking.after = match has_more {
            true => groups.keys().next_back().copied(),
            false => None,
        };
        drop(marking);
        Self {
            store: Arc::clone(store),
            groups,
            has_more,
        }
    }

    /// Whether the group has been without a live byte for long enough to go.
    fn may_unlink(&self, group: GroupId, units: &Units) -> bool {
        let mut marking = self.store.marking.lock().expect("no holder panics");
        if !units.is_empty() {
            marking.empty_since.remove(&group);
            return false;
        }
        let now = self.store.clock.monotonic();
        match marking.empty_since.get(&group) {
            None => {
                marking.empty_since.insert(group, now);
                false
            }
            Some(since) => now.saturating_sub(*since) >= self.store.settings.unlink_after,
        }
    }

    async fn sweep_group(&self, group: GroupId, units: &Units) -> Result<Freed> {
        let files = self.store.map.files_of(group);
        let unlink = self.may_unlink(group, units);
        // A group of which nothing lives keeps its bytes until it is certain.
        if units.is_empty() && !unlink {
            return Ok(Freed::default());
        }
        let mut freed = Freed::default();
        for (shard, disk) in files {
            let Some(disk) = self.store.disks.find(disk) else {
                continue;
            };
            freed += match unlink {
                true => self.unlink(disk, group, shard).await,
                false => {
                    let dead = units.dead(self.store.settings.segment_size);
                    self.store.punch(disk, group, shard, dead).await?
                }
            };
        }
        Ok(freed)
    }

    /// Removes a segment file. One that can not be removed stays known, for the next scan.
    async fn unlink(&self, disk: &Arc<DiskHandle>, group: GroupId, shard: usize) -> Freed {
        let skipped = Freed {
            bytes: 0,
            skipped: 1,
        };
        let lane = self.store.lanes.lane(disk);
        let Some((lane, folder)) = lane.zip(disk.disk.clone()) else {
            return skipped;
        };
        let work = move || {
            let path = segment_path(group, shard);
            let bytes = match folder.open(&path, false) {
                Ok(file) => file.len()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
                Err(error) => return Err(error),
            };
            folder.remove(&path)?;
            folder.sync_dir(SEGMENT_DIR)?;
            Ok(bytes)
        };
        match self.store.on_disk(&lane, work).await {
            Some(bytes) => {
                self.forget(group, shard, disk.id);
                Freed { bytes, skipped: 0 }
            }
            None => skipped,
        }
    }

    fn forget(&self, group: GroupId, shard: usize, disk: DiskId) {
        self.store.map.forget(group, shard, disk);
        if self.store.map.files_of(group).is_empty() {
            let mut marking = self.store.marking.lock().expect("no holder panics");
            marking.empty_since.remove(&group);
        }
    }
}

#[async_trait]
impl BlobMark for ZoneMark {
    fn keep(&mut self, place: &Place) -> Result<()> {
        let place = BlobPlace::decode(place)?;
        for run in &place.runs {
            if let Some(units) = self.groups.get_mut(&run.group) {
                units.keep(run.offset..run.offset + run.geometry().run_size(run.bytes));
            }
        }
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.has_more
    }

    async fn sweep(self: Box<Self>) -> Result<Freed> {
        let mut freed = Freed::default();
        for (group, units) in &self.groups {
            freed += self.sweep_group(*group, units).await?;
        }
        Ok(freed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dead_is_all_but_the_header_and_what_was_kept() {
        let mut units = Units::default();
        assert!(units.is_empty());
        assert_eq!(units.dead(40_960), vec![4096..40_960]);
        units.keep(8192..16_384);
        units.keep(20_480..20_481);
        let expected = vec![4096..8192, 16_384..20_480, 24_576..40_960];
        assert_eq!(units.dead(40_960), expected);
        assert!(!units.is_empty());
        assert_eq!(units.dead(4096), vec![]);
    }
}
