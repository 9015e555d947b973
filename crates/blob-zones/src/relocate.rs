//! Which segment moves next: off disks that are drained, off disks that a move was cut short on, and
//! from the fullest disk of a zone to the emptiest.
//!
//! Invariants
//! - One move at a time in a process.
//! - A target has no other shard of the group: the store survives after a move what it survived before.
//! - Nothing is remembered of a move: where files lie says how far it is (RFC 0011).

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use strongroom_base::tasks;
use strongroom_blob::{Drain, Moves, Rest};
use strongroom_zones::{DiskHandle, DiskId};

use crate::lane::Served;
use crate::map::OpenHow;
use crate::segment::GroupId;
use crate::store::Store;

/// Moves tried in a round that fail before it ends: what can not be moved now must not keep a disk busy.
const ATTEMPTS_MAX: usize = 4;
/// Segments of the fullest disk looked at for the largest: opening each costs a seek.
const CANDIDATES_MAX: usize = 256;
/// The sizes of a drained disk's segments are looked at each time so many have gone: a look opens all.
const SIZES_EVERY: u64 = 64;
/// Segments on two disks looked at in a round.
const DOUBLED_MAX: usize = 64;
/// Rebalance begins when the fullest disk of a zone is so many parts of a hundred above the emptiest.
const DIFFERENCE_PERCENT: u64 = 10;

/// What moves, and what is known of it.
#[derive(Default)]
pub(crate) struct Relocation {
    /// Held during a round: the disks that were rid of what is half made, since when in service.
    round: tokio::sync::Mutex<HashSet<Served>>,
    /// Where the next round begins among the segments of a disk.
    turn: AtomicUsize,
    state: Mutex<Moves>,
}

impl Relocation {
    pub(crate) fn moves(&self) -> Moves {
        self.state.lock().expect("no holder panics").clone()
    }

    fn change(&self, change: impl FnOnce(&mut Moves)) {
        change(&mut self.state.lock().expect("no holder panics"));
    }

    fn moved(&self, disk: DiskId, bytes: u64) {
        self.change(|moves| {
            moves.bytes_moved += bytes;
            moves.segments_moved += 1;
            if let Some(drain) = moves.drains.iter_mut().find(|drain| drain.disk == disk.0) {
                drain.bytes_moved += bytes;
                drain.segments_moved += 1;
                // Until the next look: what is left is as large as what was there, by the segment.
                let left = drain.segments_left.saturating_sub(1);
                drain.bytes_left = drain.bytes_left / drain.segments_left.max(1) * left;
                drain.segments_left = left;
            }
        });
    }
}

/// How full a disk is.
struct Fill {
    disk: Arc<DiskHandle>,
    used: u64,
    total: u64,
}

impl Fill {
    fn percent(&self) -> u64 {
        percent(self.used, self.total)
    }
}

fn percent(used: u64, total: u64) -> u64 {
    let percent = u128::from(used) * 100 / u128::from(total.max(1));
    u64::try_from(percent).unwrap_or(100)
}

impl Store {
    /// Moves one segment, if there is one to move. Whether it did.
    pub(crate) async fn relocate(self: &Arc<Self>, rest: &dyn Rest) -> bool {
        let Ok(mut cleaned) = self.relocation.round.try_lock() else {
            return false;
        };
        self.clean(&mut cleaned).await;
        self.groups.close_unusable(&self.disks);
        let drained = self.drained_disks();
        self.look_at_drains(&drained).await;
        for disk in &drained {
            let segments = self.map.segments_on(disk.id);
            if self.move_one(disk, segments, rest).await {
                return true;
            }
        }
        if self.end_doubled(rest).await {
            return true;
        }
        drained.is_empty() && self.rebalance(rest).await
    }

    async fn clean(&self, cleaned: &mut HashSet<Served>) {
        for disk in self.disks.all() {
            if let Some(lane) = self.lanes.lane(disk)
                && !cleaned.contains(&lane.served())
                && self.remove_half_made(&lane).await
            {
                cleaned.insert(lane.served());
            }
        }
    }

    /// The disks that give their segments to others of their zone. Of a zone that is to leave as a
    /// whole the blobs are written anew in the others (RFC 0012).
    fn drained_disks(&self) -> Vec<Arc<DiskHandle>> {
        let layout = self.disks.layout();
        let leaves = |disk: &Arc<DiskHandle>| {
            let zone = layout.zones.iter().find(|zone| zone.name == disk.zone);
            zone.is_some_and(|zone| layout.is_zone_drained(zone))
        };
        let drained = |disk: &&Arc<DiskHandle>| layout.is_drained(disk.id) && !leaves(disk);
        self.disks.all().iter().filter(drained).cloned().collect()
    }

    /// Lists what is on the disks that are drained.
    async fn look_at_drains(self: &Arc<Self>, drained: &[Arc<DiskHandle>]) {
        let before = self.relocation.moves().drains;
        let mut drains = Vec::new();
        for disk in drained {
            let known = before.iter().find(|drain| drain.disk == disk.id.0);
            let mut drain = Drain {
                disk: disk.id.0,
                ..known.cloned().unwrap_or_default()
            };
            if disk.in_service().is_none() {
                drain.waits_for = format!("{} is out of service", disk.name);
            }
            let segments: Vec<_> = self.map.segments_on(disk.id).into_iter().collect();
            let count = segments.len() as u64;
            let is_new = drain.segments_left != count || count.is_multiple_of(SIZES_EVERY);
            drain.segments_left = count;
            if !is_new {
                // Looked at lately.
            } else if let Some(sizes) = self.sizes(disk, segments).await {
                drain.bytes_left = sizes.iter().map(|(size, ..)| size).sum();
            }
            drains.push(drain);
        }
        self.relocation.change(|moves| {
            moves.drains = drains;
            moves.rebalancing.clear();
        });
    }

    /// The sizes of segments of a disk, those that are not there left out.
    async fn sizes(
        self: &Arc<Self>,
        disk: &Arc<DiskHandle>,
        segments: Vec<(GroupId, usize)>,
    ) -> Option<Vec<(u64, GroupId, usize)>> {
        let lane = self.lanes.lane(disk)?;
        let (store, handle) = (Arc::clone(self), Arc::clone(disk));
        let how = OpenHow {
            direct: self.settings.direct,
            fresh: false,
        };
        let look = tasks::blocking(move || {
            let folder = handle.disk.as_ref()?;
            let size = |(group, shard): (GroupId, usize)| {
                let file = store.map.open(&handle, folder, group, shard, how).ok()?;
                Some((file.len().ok()?, group, shard))
            };
            Some(segments.into_iter().filter_map(size).collect())
        });
        let look = self.lanes.while_served(lane.served(), look);
        tasks::timeout(self.settings.read_limit, look)
            .await
            .ok()??
    }

    /// Moves the first of the segments that can be moved.
    async fn move_one(
        self: &Arc<Self>,
        disk: &Arc<DiskHandle>,
        segments: impl IntoIterator<Item = (GroupId, usize)>,
        rest: &dyn Rest,
    ) -> bool {
        if disk.in_service().is_none() {
            return false;
        }
        let mut segments: Vec<_> = segments.into_iter().collect();
        segments.sort_unstable();
        let turn = self.relocation.turn.load(Ordering::Relaxed);
        if !segments.is_empty() {
            let count = segments.len();
            segments.rotate_left(turn % count);
        }
        let mut why = String::new();
        for (group, shard) in segments.into_iter().take(ATTEMPTS_MAX) {
            match self.move_segment(group, shard, disk, rest).await {
                Ok(bytes) => {
                    self.relocation.moved(disk.id, bytes);
                    self.told(disk.id, String::new());
                    return true;
                }
                Err(error) => {
                    tracing::debug!(disk = %disk.name, %group, shard, error, "a segment stays for now");
                    self.relocation.turn.fetch_add(1, Ordering::Relaxed);
                    why = error;
                }
            }
        }
        self.told(disk.id, why);
        false
    }

    fn told(&self, disk: DiskId, why: String) {
        self.relocation.change(|moves| {
            if let Some(drain) = moves.drains.iter_mut().find(|drain| drain.disk == disk.0) {
                drain.waits_for = why;
            }
        });
    }

    /// Ends moves that were cut short between disks that are not drained.
    async fn end_doubled(self: &Arc<Self>, rest: &dyn Rest) -> bool {
        for (group, shard, id) in self.map.doubled(DOUBLED_MAX) {
            let Some(disk) = self.disks.find(id).cloned() else {
                continue;
            };
            let Some(shape) = self.shape_of(group).await else {
                continue;
            };
            let Ok(home) = self.home_of(shape).await else {
                continue;
            };
            let is_home = home.disks.get(shard).and_then(Option::as_ref);
            let moves_on = is_home.is_some_and(|home| home.id != id && home.zone == disk.zone);
            if moves_on && self.move_one(&disk, [(group, shard)], rest).await {
                return true;
            }
        }
        false
    }

    /// Moves one segment from the fullest disk of a zone to its emptiest.
    async fn rebalance(self: &Arc<Self>, rest: &dyn Rest) -> bool {
        if !self.all_in_service() {
            return false;
        }
        let mut zones: Vec<&str> = self.disks.all().iter().map(|d| d.zone.as_str()).collect();
        zones.sort_unstable();
        zones.dedup();
        for zone in zones {
            let mut fills = self.fills(zone).await;
            fills.sort_by_key(Fill::percent);
            let (Some(low), Some(high)) = (fills.first(), fills.last()) else {
                continue;
            };
            if high.percent() <= low.percent() + DIFFERENCE_PERCENT {
                continue;
            }
            self.relocation
                .change(|moves| moves.rebalancing.push(zone.to_owned()));
            if self.even_out(high, low, rest).await {
                return true;
            }
        }
        false
    }

    async fn fills(self: &Arc<Self>, zone: &str) -> Vec<Fill> {
        let mut fills = Vec::new();
        for disk in self.disks.all().iter().filter(|disk| disk.zone == zone) {
            let (Some(lane), Some(folder)) = (self.lanes.lane(disk), disk.disk.clone()) else {
                continue;
            };
            let space = tasks::blocking(move || folder.space());
            let space = self.lanes.while_served(lane.served(), space);
            let space = tasks::timeout(self.settings.read_limit, space).await;
            if let Ok(Some(Ok((free, total)))) = space {
                fills.push(Fill {
                    disk: Arc::clone(disk),
                    used: total.saturating_sub(free),
                    total,
                });
            }
        }
        fills
    }

    async fn even_out(self: &Arc<Self>, high: &Fill, low: &Fill, rest: &dyn Rest) -> bool {
        let ended = |(group, _): &(GroupId, usize)| self.groups.is_ended(*group);
        let segments = self.map.segments_on(high.disk.id).into_iter();
        let segments: Vec<_> = segments.filter(ended).take(CANDIDATES_MAX).collect();
        let Some(mut sizes) = self.sizes(&high.disk, segments).await else {
            return false;
        };
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        let evens = |(size, ..): &(u64, GroupId, usize)| {
            let after = percent(low.used + size, low.total);
            after <= percent(high.used.saturating_sub(*size), high.total)
        };
        let mut tries = 0;
        for (_, group, shard) in sizes.into_iter().filter(evens) {
            match self
                .move_segment_to(group, shard, &high.disk, Some(&low.disk), rest)
                .await
            {
                Ok(bytes) => {
                    self.relocation.moved(high.disk.id, bytes);
                    return true;
                }
                Err(error) => {
                    tracing::debug!(%group, shard, error, "a segment is not moved");
                    tries += 1;
                    if tries >= ATTEMPTS_MAX {
                        return false;
                    }
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_of_a_disk_that_is_used_is_right_for_disks_of_any_size() {
        assert_eq!(percent(0, 0), 0);
        assert_eq!(percent(1 << 60, 1 << 61), 50);
        assert_eq!(percent(99, 100), 99);
        assert_eq!(percent(100, 100), 100);
    }
}
