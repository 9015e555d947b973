//! Which disk holds which shard of which group: learned from the names on the disks.
//!
//! Names are enough to read, because every block proves itself; so a start lists folders and does
//! not seek to each of thousands of segments. A disk that came late or came back is listed again.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use strongroom_base::{DiskRef, FileRef};
use strongroom_zones::{DiskHandle, DiskId, Incarnation};

use crate::segment::{GroupId, SEGMENT_DIR, parse_segment_name, segment_path};
use crate::settings::FILES_OPEN_MAX;

/// How often at most all disks are listed because a group is unknown: a damaged record must not
/// turn every read of it into a scan.
pub(crate) const SCAN_ALL_INTERVAL: Duration = Duration::from_secs(1);

/// The map, and the open files of segments.
#[derive(Default)]
pub(crate) struct SegmentMap {
    groups: RwLock<HashMap<GroupId, Vec<(usize, DiskId)>>>,
    /// The service of each disk when it was last listed.
    scanned: Mutex<HashMap<DiskId, Option<Incarnation>>>,
    scanned_all: Mutex<Option<Duration>>,
    /// By segment, and whether reads of the file pass by the page cache.
    files: Mutex<HashMap<(GroupId, usize, DiskId, bool), OpenFile>>,
}

struct OpenFile {
    incarnation: Option<Incarnation>,
    file: FileRef,
}

impl SegmentMap {
    /// Adds a group just created.
    pub(crate) fn add_group(&self, group: GroupId, disks: &[DiskId]) {
        let places = disks.iter().copied().enumerate().collect();
        self.groups
            .write()
            .expect("no holder panics")
            .insert(group, places);
    }

    /// Adds a segment just created.
    pub(crate) fn add(&self, group: GroupId, shard: usize, disk: DiskId) {
        let mut groups = self.groups.write().expect("no holder panics");
        let places = groups.entry(group).or_default();
        if !places.contains(&(shard, disk)) {
            places.push((shard, disk));
        }
    }

    /// Forgets a segment that is gone from its disk, and the file kept open for it.
    pub(crate) fn remove(&self, group: GroupId, shard: usize, disk: DiskId) {
        let mut groups = self.groups.write().expect("no holder panics");
        if let Some(places) = groups.get_mut(&group) {
            places.retain(|place| *place != (shard, disk));
        }
        drop(groups);
        self.close(group, shard, disk);
    }

    /// The segments known to be on a disk.
    pub(crate) fn segments_on(&self, disk: DiskId) -> HashSet<(GroupId, usize)> {
        let groups = self.groups.read().expect("no holder panics");
        let on_disk = groups.iter().flat_map(|(group, places)| {
            let places = places.iter().filter(|(_, at)| *at == disk);
            places.map(|(shard, _)| (*group, *shard))
        });
        on_disk.collect()
    }

    /// Shards with a segment on more than one disk, at most `count`.
    pub(crate) fn doubled(&self, count: usize) -> Vec<(GroupId, usize, DiskId)> {
        let groups = self.groups.read().expect("no holder panics");
        let of_group = |(group, places): (&GroupId, &Vec<(usize, DiskId)>)| {
            let many = |shard| places.iter().filter(|(at, _)| *at == shard).count() > 1;
            let doubled = places.iter().filter(|(shard, _)| many(*shard));
            let named = doubled.map(|(shard, disk)| (*group, *shard, *disk));
            named.collect::<Vec<_>>()
        };
        groups.iter().flat_map(of_group).take(count).collect()
    }

    /// Lists the segments of a disk. Names that are gone stay in the map: reading finds out.
    pub(crate) fn scan(&self, handle: &DiskHandle) -> io::Result<()> {
        let Some(disk) = &handle.disk else {
            return Ok(());
        };
        let incarnation = handle.in_service();
        let names = match disk.list(SEGMENT_DIR) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        for (group, shard) in names.iter().filter_map(|name| parse_segment_name(name)) {
            self.add(group, shard, handle.id);
        }
        self.scanned
            .lock()
            .expect("no holder panics")
            .insert(handle.id, incarnation);
        Ok(())
    }

    /// Whether the disk left or came back since it was last listed.
    pub(crate) fn is_stale(&self, handle: &DiskHandle) -> bool {
        let scanned = self.scanned.lock().expect("no holder panics");
        scanned.get(&handle.id) != Some(&handle.in_service())
    }

    /// Whether all disks may be listed again at `now`; notes that they are.
    pub(crate) fn may_scan_all(&self, now: Duration) -> bool {
        let mut last = self.scanned_all.lock().expect("no holder panics");
        if last.is_some_and(|last| now.saturating_sub(last) < SCAN_ALL_INTERVAL) {
            return false;
        }
        *last = Some(now);
        true
    }

    /// The disks on which each shard of the group was seen.
    pub(crate) fn disks_of(&self, group: GroupId, shard_count: usize) -> Vec<Vec<DiskId>> {
        let mut disks = vec![Vec::new(); shard_count];
        let groups = self.groups.read().expect("no holder panics");
        for (shard, disk) in groups.get(&group).into_iter().flatten() {
            if let Some(places) = disks.get_mut(*shard) {
                places.push(*disk);
            }
        }
        disks
    }

    /// Every group known, in order.
    pub(crate) fn groups(&self) -> Vec<GroupId> {
        let groups = self.groups.read().expect("no holder panics");
        let mut groups: Vec<GroupId> = groups.keys().copied().collect();
        groups.sort_unstable();
        groups
    }

    /// The files of a group: shard and disk.
    pub(crate) fn files_of(&self, group: GroupId) -> Vec<(usize, DiskId)> {
        let groups = self.groups.read().expect("no holder panics");
        groups.get(&group).cloned().unwrap_or_default()
    }

    /// Forgets a file that was removed, and closes it.
    pub(crate) fn forget(&self, group: GroupId, shard: usize, disk: DiskId) {
        let mut groups = self.groups.write().expect("no holder panics");
        if let Some(places) = groups.get_mut(&group) {
            places.retain(|place| *place != (shard, disk));
            if places.is_empty() {
                groups.remove(&group);
            }
        }
        drop(groups);
        self.close(group, shard, disk);
    }

    /// The segment, when it is kept open. A disk that is out may have been replaced or unmounted: what
    /// is there now is to be looked at.
    pub(crate) fn kept(
        &self,
        handle: &DiskHandle,
        group: GroupId,
        shard: usize,
        direct: bool,
    ) -> Option<FileRef> {
        let incarnation = handle.in_service();
        incarnation?;
        let files = self.files.lock().expect("no holder panics");
        let kept = files.get(&(group, shard, handle.id, direct))?;
        (kept.incarnation == incarnation).then(|| Arc::clone(&kept.file))
    }

    /// Closes the files kept open of a segment.
    fn close(&self, group: GroupId, shard: usize, disk: DiskId) {
        let mut files = self.files.lock().expect("no holder panics");
        for direct in [false, true] {
            files.remove(&(group, shard, disk, direct));
        }
    }

    /// The segment open for reading; from the files kept open unless `fresh`.
    pub(crate) fn open(
        &self,
        handle: &Arc<DiskHandle>,
        disk: &DiskRef,
        group: GroupId,
        shard: usize,
        how: OpenHow,
    ) -> io::Result<FileRef> {
        if !how.fresh
            && let Some(kept) = self.kept(handle, group, shard, how.direct)
        {
            return Ok(kept);
        }
        if how.fresh {
            // The name may be another file's by now: clients are not to go on with the old one.
            self.close(group, shard, handle.id);
        }
        let key = (group, shard, handle.id, how.direct);
        let incarnation = handle.in_service();
        let file = disk.open(&segment_path(group, shard), how.direct)?;
        if incarnation.is_none() {
            return Ok(file);
        }
        let mut files = self.files.lock().expect("no holder panics");
        if files.len() >= FILES_OPEN_MAX {
            // Any will do: those in use are opened again, and there are few misses below the limit.
            let victim = files.keys().next().copied();
            victim.and_then(|victim| files.remove(&victim));
        }
        files.insert(
            key,
            OpenFile {
                incarnation,
                file: Arc::clone(&file),
            },
        );
        Ok(file)
    }
}

/// How a segment is opened for reading.
#[derive(Clone, Copy)]
pub(crate) struct OpenHow {
    pub direct: bool,
    /// Look at the name on the disk, even if the file is open already.
    pub fresh: bool,
}
