//! What is known of the redundancy of blobs without reading them (RFC 0009).
//!
//! The names on the disks tell which shards there are, except of a segment that was made anew: its name is
//! there long before its shards are. Such a segment has a mark, a file beside it, from before it was made
//! until every blob in it was verified.
//!
//! Invariants
//! - A shard in a marked segment counts as missing, on every start (hazard H70).
//! - A survey takes no group out of the map that was made while it ran (hazard H71).
//! - Nothing here reads or writes a shard.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use strongroom_base::{CreateOptions, DiskRef, tasks};
use strongroom_blob::{Filling, Level, Place, Redundancy, Survey};
use strongroom_zones::{DiskHandle, DiskId, Incarnation};

use crate::groups::sync_segment_dir;
use crate::place::{BlobPlace, PlaceRun, Stripe};
use crate::segment::{GroupId, SEGMENT_DIR, parse_segment_name, segment_path};
use crate::store::Store;

/// End of the name of a mark.
const MARK_SUFFIX: &str = ".filling";

/// A shard of a group on a disk.
pub(crate) type SegmentAt = (GroupId, usize, DiskId);

/// Shards of groups, as names on a disk tell them.
type Names = HashSet<(GroupId, usize)>;

/// What surveys found.
#[derive(Default)]
pub(crate) struct Standing {
    /// Segments with a mark, and which refill it is.
    filling: RwLock<HashMap<SegmentAt, u64>>,
    refills: AtomicU64,
    /// Where the shards of incomplete groups belong; `None` when no header of the group is left.
    homes: RwLock<HashMap<GroupId, Option<Vec<DiskId>>>>,
    seen: Mutex<Seen>,
}

/// What the last survey saw, to tell changes.
#[derive(Default)]
struct Seen {
    change: u64,
    losses: u64,
    /// Number of the layout.
    layout: u64,
    service: Vec<(DiskId, Option<Incarnation>)>,
    filling: BTreeSet<Filling>,
}

impl Standing {
    /// Notes that a segment was made anew, with its mark.
    pub(crate) fn add_filling(&self, at: SegmentAt) {
        let refill = self.next_refill();
        let mut filling = self.filling.write().expect("no holder panics");
        filling.insert(at, refill);
    }

    fn next_refill(&self) -> u64 {
        self.refills.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Which refill of a segment is going on, if one is.
    pub(crate) fn refill(&self, at: &SegmentAt) -> Option<u64> {
        let filling = self.filling.read().expect("no holder panics");
        filling.get(at).copied()
    }
}

/// Path of the mark of a segment.
pub(crate) fn mark_path(group: GroupId, shard: usize) -> String {
    format!(
        "{}{MARK_SUFFIX}",
        segment_path(group, shard).trim_end_matches(".seg")
    )
}

fn parse_mark_name(name: &str) -> Option<(GroupId, usize)> {
    parse_segment_name(&format!("{}.seg", name.strip_suffix(MARK_SUFFIX)?))
}

/// Makes the mark of a segment durable. To be called before the segment is made anew.
pub(crate) fn mark_filling(disk: &DiskRef, group: GroupId, shard: usize) -> io::Result<()> {
    if strongroom_base::planted("blob_refill_without_mark") {
        return Ok(());
    }
    match disk.create(&mark_path(group, shard), CreateOptions::default()) {
        Ok(file) => file.sync()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    sync_segment_dir(disk)
}

/// Whether a segment has a mark, by what is on the disk.
pub(crate) fn has_mark(disk: &DiskRef, group: GroupId, shard: usize) -> io::Result<bool> {
    match disk.open(&mark_path(group, shard), false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        file => file.map(|_| true),
    }
}

/// The segments and the marks on a disk.
fn list(disk: &DiskRef) -> io::Result<(Names, Names)> {
    let names = match disk.list(SEGMENT_DIR) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let segments = names.iter().filter_map(|name| parse_segment_name(name));
    let marks = names.iter().filter_map(|name| parse_mark_name(name));
    Ok((segments.collect(), marks.collect()))
}

impl Store {
    /// Lists every disk in service again.
    pub(crate) async fn survey_disks(self: &Arc<Self>) -> Survey {
        let mut gone = 0;
        for disk in self.disks.all() {
            let Some(incarnation) = disk.in_service() else {
                continue;
            };
            let (store, handle) = (Arc::clone(self), Arc::clone(disk));
            let listing = tasks::blocking(move || store.survey_disk(&handle));
            let served = self.lanes.while_served((disk.id, incarnation), listing);
            match tasks::timeout(self.settings.read_limit, served).await {
                Ok(Some(Ok(count))) => gone += count,
                Ok(Some(Err(error))) => {
                    tracing::warn!(disk = %disk.name, %error, "segments can not be listed");
                }
                Ok(None) | Err(_) => {}
            }
        }
        self.survey_seen(gone > 0)
    }

    /// How many segments known before are gone. Blocks.
    fn survey_disk(&self, handle: &DiskHandle) -> io::Result<usize> {
        let Some(disk) = &handle.disk else {
            return Ok(0);
        };
        // First what is known, then what is there: what is made in between is in neither.
        let known = self.map.segments_on(handle.id);
        let (segments, marks) = list(disk)?;
        for (group, shard) in &segments {
            self.map.add(*group, *shard, handle.id);
        }
        let gone: Vec<_> = known.difference(&segments).copied().collect();
        for (group, shard) in &gone {
            self.map.remove(*group, *shard, handle.id);
            // What is appended to a file without a name is gone with the process.
            self.fail_group(*group);
        }
        let mut filling = self.standing.filling.write().expect("no holder panics");
        for (group, shard) in marks {
            let at = (group, shard, handle.id);
            filling
                .entry(at)
                .or_insert_with(|| self.standing.next_refill());
        }
        Ok(gone.len())
    }

    fn survey_seen(&self, gone: bool) -> Survey {
        let disks = self.disks.all().iter();
        let service: Vec<_> = disks.map(|disk| (disk.id, disk.in_service())).collect();
        let filling = self.standing.filling.read().expect("no holder panics");
        let filling: BTreeSet<Filling> = filling
            .iter()
            .map(|(at, refill)| filling_of(at, *refill))
            .collect();
        let mut seen = self.standing.seen.lock().expect("no holder panics");
        let losses = gone || seen.service != service;
        // With another layout blobs may be due to be written anew.
        let layout = self.disks.layout().changes.number;
        if losses {
            seen.losses += 1;
        }
        if losses || seen.filling != filling || seen.layout != layout {
            seen.change += 1;
            seen.layout = layout;
            seen.service = service;
            seen.filling.clone_from(&filling);
            self.standing
                .homes
                .write()
                .expect("no holder panics")
                .clear();
        }
        Survey {
            change: seen.change,
            losses: seen.losses,
            filling: filling.into_iter().collect(),
        }
    }

    /// How a blob stands without the disks `lost`, which never come back. A place that does not decode
    /// is lost.
    pub(crate) async fn redundancy_of(
        self: &Arc<Self>,
        place: &Place,
        lost: &HashSet<DiskId>,
    ) -> Redundancy {
        let Ok(place) = BlobPlace::decode(place) else {
            return Redundancy {
                level: Level::Lost,
                margin: 0,
                ..Redundancy::full()
            };
        };
        let mut found = Redundancy::full();
        for run in &place.runs {
            self.learn_homes(&place, run).await;
            self.add_run(run, lost, &mut found);
        }
        if found.level == Level::Full && self.is_reduced_place(&place) {
            found.level = level_of(found.margin);
        }
        found
    }

    fn add_run(&self, run: &PlaceRun, lost: &HashSet<DiskId>, found: &mut Redundancy) {
        let (data, parity) = (u32::from(run.data_count), u32::from(run.parity_count));
        let missing = self.missing_shards(run, lost);
        for shard in &missing {
            found.mendable |= shard.in_service;
            found.away |= shard.is_away();
            if let Some(zone) = &shard.zone
                && !found.zones.contains(zone)
            {
                found.zones.push(Arc::clone(zone));
            }
            found.filling.extend(shard.filling.clone());
        }
        let good = data + parity - u32::try_from(missing.len()).expect("a group has few shards");
        found.margin = found.margin.min(good.saturating_sub(data));
        let away = missing.iter().filter(|shard| shard.is_away()).count();
        let away = u32::try_from(away).expect("a group has few shards");
        let level = if missing.is_empty() {
            Level::Full
        } else if good >= data {
            level_of(good - data)
        } else if good + away >= data {
            Level::Unreachable
        } else {
            Level::Lost
        };
        found.level = found.level.max(level);
    }

    fn missing_shards(&self, run: &PlaceRun, lost: &HashSet<DiskId>) -> Vec<MissingShard> {
        let shards = usize::from(run.data_count) + usize::from(run.parity_count);
        let homes = self.standing.homes.read().expect("no holder panics");
        let homes = homes.get(&run.group).and_then(Option::as_ref);
        let mut missing = Vec::new();
        for (shard, disks) in self.map.disks_of(run.group, shards).iter().enumerate() {
            let in_service = |id: &&DiskId| {
                let handle = self.disks.find(**id);
                !lost.contains(*id) && handle.is_some_and(|disk| disk.in_service().is_some())
            };
            let present = disks.iter().filter(in_service);
            let at = |id: &DiskId| (run.group, shard, *id);
            let refills: Vec<_> = present
                .map(|id| (at(id), self.standing.refill(&at(id))))
                .collect();
            if refills.iter().any(|(_, refill)| refill.is_none()) {
                continue;
            }
            let home = homes.and_then(|homes| homes.get(shard));
            let home = home.or(disks.first()).and_then(|id| self.disks.find(*id));
            let filling = refills.iter();
            let filling = filling.filter_map(|(at, refill)| Some(filling_of(at, (*refill)?)));
            let gone = home.is_some_and(|disk| lost.contains(&disk.id));
            missing.push(MissingShard {
                gone,
                zone: home.map(|disk| Arc::from(disk.zone.as_str())),
                // A shard whose home nobody knows may be on a disk that is out.
                in_service: match home {
                    Some(disk) => !gone && disk.in_service().is_some(),
                    None => self.all_in_service(),
                },
                filling: filling.collect(),
            });
        }
        missing
    }

    /// Reads where the shards of an incomplete group belong, once until the next change.
    async fn learn_homes(self: &Arc<Self>, place: &BlobPlace, run: &PlaceRun) {
        let shards = usize::from(run.data_count) + usize::from(run.parity_count);
        let known = self.map.disks_of(run.group, shards);
        let is_known = |homes: &HashMap<GroupId, _>| homes.contains_key(&run.group);
        let layout = self.disks.layout();
        // A drained disk that is out is the home of nothing.
        let stays = |id: &DiskId| {
            let disk = self.disks.find(*id);
            !layout.is_drained(*id) || disk.is_some_and(|disk| disk.in_service().is_some())
        };
        if known.iter().all(|disks| disks.iter().any(stays))
            || is_known(&self.standing.homes.read().expect("no holder panics"))
        {
            return;
        }
        let stripe = Stripe {
            group: run.group,
            data_count: usize::from(run.data_count),
            parity_count: usize::from(run.parity_count),
            offset: run.offset,
            index: 0,
            start: 0,
            bytes: run.bytes,
            shard_payload: 0,
            run: place.run,
            nonce: place.nonce,
        };
        let homes = match self.home(&stripe).await {
            Ok(home) => home.header.map(|header| header.disks),
            Err(_) => None,
        };
        let mut known = self.standing.homes.write().expect("no holder panics");
        known.insert(run.group, homes);
    }

    /// Removes the marks of segments all of whose blobs were verified.
    pub(crate) async fn unmark(self: &Arc<Self>, segments: &[Filling]) {
        for filling in segments {
            let Some((group, shard)) = filling
                .segment
                .strip_prefix(SEGMENT_DIR)
                .and_then(|name| parse_segment_name(name.trim_start_matches('/')))
            else {
                continue;
            };
            let id = DiskId(filling.disk);
            let lane = self.disks.find(id).and_then(|disk| self.lanes.lane(disk));
            let Some(lane) = lane else { continue };
            let Some(disk) = lane.disk.disk.clone() else {
                continue;
            };
            // No refill begins meanwhile; one that began since the walk keeps its mark.
            let _one_at_a_time = self.repairing.lock().await;
            if self.standing.refill(&(group, shard, id)) != Some(filling.refill) {
                continue;
            }
            let remove = move || match disk.remove(&mark_path(group, shard)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => sync_segment_dir(&disk),
            };
            if self.on_disk(&lane, remove).await.is_some() {
                let mut filling = self.standing.filling.write().expect("no holder panics");
                filling.remove(&(group, shard, id));
            }
        }
    }
}

struct MissingShard {
    /// Where it belongs, when that is known.
    zone: Option<Arc<str>>,
    in_service: bool,
    /// Its disk is thought to be lost for ever.
    gone: bool,
    filling: Vec<Filling>,
}

impl MissingShard {
    /// Whether it may come back with its disk.
    const fn is_away(&self) -> bool {
        !self.in_service && !self.gone
    }
}

const fn level_of(margin: u32) -> Level {
    match margin {
        0 => Level::Critical,
        _ => Level::Reduced,
    }
}

fn filling_of((group, shard, disk): &SegmentAt, refill: u64) -> Filling {
    Filling {
        disk: disk.0,
        segment: segment_path(*group, *shard),
        refill,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_a_segment_is_no_segment_and_says_which() {
        let path = mark_path(GroupId([0xab; 16]), 11);
        let name = path.strip_prefix("segments/").unwrap();
        assert_eq!(parse_segment_name(name), None);
        assert_eq!(parse_mark_name(name), Some((GroupId([0xab; 16]), 11)));
        assert_eq!(parse_mark_name("x.filling"), None);
    }
}
