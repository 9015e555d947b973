//! The move of one segment to another disk of its zone, in steps that any crash may end (RFC 0011).
//!
//! Invariants
//! - A file is removed only when everything in it that proves itself was read back from the disk where
//!   the shard belongs, and that disk stayed in service meanwhile.
//! - Between the first file and the last there are one or two files of the shard, each right.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use strongroom_base::{CreateOptions, DiskRef, FileRef, planted, tasks};
use strongroom_blob::Rest;
use strongroom_zones::{DiskHandle, DiskId, StoreId, Superblock};

use crate::groups::{check_identity, check_space, sync_segment_dir};
use crate::home::Home;
use crate::lane::Lane;
use crate::map::OpenHow;
use crate::segment::{GroupId, SEGMENT_DIR, SegmentFile, SegmentHeader, segment_path};
use crate::standing::{has_mark, mark_filling, mark_path};
use crate::store::Store;
use crate::transfer::Transfer;

/// How long a move waits for repairs that began before it: one batch of them takes seconds.
const REPAIRS_WAIT: Duration = Duration::from_secs(120);
/// How often it looks.
const REPAIRS_POLL: Duration = Duration::from_millis(10);
/// Comparisons of the two files until one finds nothing new. Each stretch is written once, so a second
/// finds nothing unless a disk failed.
const COMPARISONS_MAX: usize = 4;

/// End of the name of a file that is being made.
const MOVING_SUFFIX: &str = ".moving";

/// Name of a file that is being made.
fn moving_path(group: GroupId, shard: usize) -> String {
    format!(
        "{}{MOVING_SUFFIX}",
        segment_path(group, shard).trim_end_matches(".seg")
    )
}

impl Store {
    /// Moves a segment away from `from`, or ends a move that was begun. Gives the bytes that were
    /// written. The error is the reason why it stays for now.
    pub(crate) async fn move_segment(
        self: &Arc<Self>,
        group: GroupId,
        shard: usize,
        from: &Arc<DiskHandle>,
        rest: &dyn Rest,
    ) -> Result<u64, String> {
        self.move_segment_to(group, shard, from, None, rest).await
    }

    /// As [`Store::move_segment`], to a disk that the caller chose.
    pub(crate) async fn move_segment_to(
        self: &Arc<Self>,
        group: GroupId,
        shard: usize,
        from: &Arc<DiskHandle>,
        wanted: Option<&Arc<DiskHandle>>,
        rest: &dyn Rest,
    ) -> Result<u64, String> {
        if !self.groups.is_ended(group) {
            return Err("it is still written to".to_owned());
        }
        let source_lane = self.lane_of(from)?;
        if self.is_marked(&source_lane, group, shard).await? {
            return Err("it is being refilled: repair comes first".to_owned());
        }
        let home = self.home_now(group).await?;
        let header = home.header.as_ref().ok_or("no header of it can be read")?;
        let belongs = *header.disks.get(shard).ok_or("its header is another's")?;
        let mut written = 0;
        let to = if belongs == from.id {
            let to = self.target(header, from, wanted).await?;
            written += self
                .copy_to(header, shard, (&source_lane, &to), rest)
                .await?;
            to
        } else {
            self.disks
                .find(belongs)
                .cloned()
                .ok_or("its disk is gone")?
        };
        if to.zone != from.zone {
            return Err(format!("it belongs in zone {}", to.zone));
        }
        let target_lane = self.lane_of(&to)?;
        self.wait_for_repairs().await?;
        written += self
            .compare((group, shard), (&source_lane, &target_lane), rest)
            .await?;
        self.tell_group(group, shard, &to).await?;
        self.remove_source((group, shard), &source_lane, &target_lane)
            .await?;
        Ok(written)
    }

    fn lane_of(&self, disk: &Arc<DiskHandle>) -> Result<Arc<Lane>, String> {
        let lane = self.lanes.lane(disk);
        lane.ok_or_else(|| format!("{} is out of service", disk.name))
    }

    async fn home_now(self: &Arc<Self>, group: GroupId) -> Result<Home, String> {
        let shape = self.shape_of(group).await;
        let shape = shape.ok_or("no header of its group can be read")?;
        self.home_of(shape).await.map_err(|error| error.message)
    }

    /// The disk of the same zone with the most space that holds nothing of the group.
    async fn target(
        self: &Arc<Self>,
        header: &SegmentHeader,
        from: &Arc<DiskHandle>,
        wanted: Option<&Arc<DiskHandle>>,
    ) -> Result<Arc<DiskHandle>, String> {
        let layout = self.disks.layout();
        let now = self.clock.monotonic();
        let held = self.map.files_of(header.group);
        let holds =
            |id: DiskId| header.disks.contains(&id) || held.iter().any(|(_, disk)| *disk == id);
        let may = |disk: &&Arc<DiskHandle>| {
            disk.zone == from.zone
                && disk.in_service().is_some()
                && !layout.is_drained(disk.id)
                && !holds(disk.id)
                && !self.groups.is_full(disk.id, now)
                && wanted.is_none_or(|wanted| wanted.id == disk.id)
        };
        let mut best: Option<(u64, Arc<DiskHandle>)> = None;
        for disk in self.disks.all().iter().filter(may) {
            let Some(folder) = disk.disk.clone() else {
                continue;
            };
            let lane = self.lane_of(disk)?;
            let space = tasks::blocking(move || folder.space());
            let space = self.lanes.while_served(lane.served(), space);
            let space = tasks::timeout(self.settings.read_limit, space).await;
            if let Ok(Some(Ok((free, _)))) = space
                && best.as_ref().is_none_or(|(most, _)| free > *most)
            {
                best = Some((free, Arc::clone(disk)));
            }
        }
        best.map(|(_, disk)| disk).ok_or_else(|| {
            format!(
                "no other disk of zone {} in service is without a shard of its group: add a disk",
                from.zone
            )
        })
    }

    /// Makes the second file of the shard.
    async fn copy_to(
        self: &Arc<Self>,
        header: &SegmentHeader,
        shard: usize,
        (from, to): (&Arc<Lane>, &Arc<DiskHandle>),
        rest: &dyn Rest,
    ) -> Result<u64, String> {
        let to = self.lane_of(to)?;
        let group = header.group;
        let mut header = header.of_shard(shard);
        header.disks[shard] = to.disk.id;
        header.sequence += 1;
        let (source, len) = self.open_source(from, group, shard).await?;
        let making = Making {
            disk: to.disk.disk.clone().ok_or("it has no folder")?,
            header,
            len,
            free_space_min: self.settings.free_space_min,
            direct: self.settings.direct,
        };
        let made = self.on_disk(&to, move || making.run()).await;
        let target = made.ok_or_else(|| format!("{} could not take it", to.disk.name))?;
        let transfer = Arc::new(Transfer {
            group,
            shard: index_of(shard),
            from: Arc::clone(from),
            to: Arc::clone(&to),
            source,
            target,
            len,
        });
        let passed = self.transfer(&transfer, true, rest).await?;
        self.show(&to, group, shard, passed.dubious).await?;
        Ok(passed.written)
    }

    /// Gives the file that was made its name.
    async fn show(
        &self,
        to: &Arc<Lane>,
        group: GroupId,
        shard: usize,
        dubious: bool,
    ) -> Result<(), String> {
        // No repair makes the same file meanwhile.
        let _one_at_a_time = self.repairing.lock().await;
        let disk = to.disk.disk.clone().ok_or("it has no folder")?;
        let (direct, path) = (self.settings.direct, segment_path(group, shard));
        let show = move || {
            match disk.open(&path, direct) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(_) => return Ok(false),
            }
            if dubious {
                mark_filling(&disk, group, shard)?;
            }
            disk.rename(&moving_path(group, shard), &path)?;
            sync_segment_dir(&disk)?;
            Ok(true)
        };
        match self.on_disk(to, show).await {
            Some(true) => {}
            Some(false) => return Err("repair made it meanwhile".to_owned()),
            None => return Err(format!("{} could not take it", to.disk.name)),
        }
        if dubious {
            self.standing.add_filling((group, shard, to.disk.id));
        }
        self.map.add(group, shard, to.disk.id);
        Ok(())
    }

    /// Whether the segment is being refilled. A start does not know the marks before a survey: the
    /// disk does.
    async fn is_marked(
        &self,
        lane: &Arc<Lane>,
        group: GroupId,
        shard: usize,
    ) -> Result<bool, String> {
        let disk = lane.disk.disk.clone().ok_or("it has no folder")?;
        let look = move || has_mark(&disk, group, shard);
        let found = self.on_disk(lane, look).await;
        found.ok_or_else(|| format!("{} can not be looked at", lane.disk.name))
    }

    /// Removes what moves that were cut short left half made on a disk.
    pub(crate) async fn remove_half_made(&self, lane: &Arc<Lane>) -> bool {
        let Some(disk) = lane.disk.disk.clone() else {
            return false;
        };
        let remove = move || {
            let names = match disk.list(SEGMENT_DIR) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                names => names?,
            };
            for name in names.iter().filter(|name| name.ends_with(MOVING_SUFFIX)) {
                disk.remove(&format!("{SEGMENT_DIR}/{name}"))?;
            }
            Ok(())
        };
        self.on_disk(lane, remove).await.is_some()
    }

    async fn open_source(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        group: GroupId,
        shard: usize,
    ) -> Result<(FileRef, u64), String> {
        let (store, handle) = (Arc::clone(self), Arc::clone(&lane.disk));
        let how = OpenHow {
            direct: self.settings.direct,
            fresh: true,
        };
        let open = tasks::blocking(move || {
            let disk = handle.disk.as_ref().ok_or(io::ErrorKind::NotFound)?;
            let file = store.map.open(&handle, disk, group, shard, how)?;
            let len = file.len()?;
            io::Result::Ok((file, len))
        });
        let open = self.lanes.while_served(lane.served(), open);
        match tasks::timeout(self.settings.read_limit, open).await {
            Ok(Some(Ok(opened))) => Ok(opened),
            Ok(Some(Err(error))) => Err(format!("{}: {error}", lane.disk.name)),
            Ok(None) | Err(_) => Err(format!("{} does not answer", lane.disk.name)),
        }
    }

    /// Waits for the repairs that may still take the old disk for the home.
    async fn wait_for_repairs(&self) -> Result<(), String> {
        if planted("blob_move_waits_for_no_repair") {
            return Ok(());
        }
        let mark = self.gate.mark();
        let begun = self.clock.monotonic();
        while !self.gate.passed(mark) {
            if self.clock.monotonic().saturating_sub(begun) > REPAIRS_WAIT {
                return Err("a repair that began before goes on".to_owned());
            }
            tasks::sleep(REPAIRS_POLL).await;
        }
        Ok(())
    }

    /// Writes to the target what only the source has, until nothing is found.
    async fn compare(
        self: &Arc<Self>,
        (group, shard): (GroupId, usize),
        (from, to): (&Arc<Lane>, &Arc<Lane>),
        rest: &dyn Rest,
    ) -> Result<u64, String> {
        if planted("blob_move_is_not_compared") {
            return Ok(0);
        }
        let (source, len) = self.open_source(from, group, shard).await?;
        let (target, _) = self.open_source(to, group, shard).await?;
        let transfer = Arc::new(Transfer {
            group,
            shard: index_of(shard),
            from: Arc::clone(from),
            to: Arc::clone(to),
            source,
            target: Arc::new(SegmentFile::new(target)),
            len,
        });
        let mut written = 0;
        for _ in 0..COMPARISONS_MAX {
            let passed = self.transfer(&transfer, false, rest).await?;
            if passed.written == 0 {
                self.settle(to, &transfer.target).await?;
                return Ok(written);
            }
            written += passed.written;
        }
        Err(format!("{} does not keep what it is given", to.disk.name))
    }

    /// Makes the target and its name durable. A process that died right after it gave the file its
    /// name leaves both to be seen, and to be lost with the power.
    async fn settle(&self, to: &Arc<Lane>, target: &FileRef) -> Result<(), String> {
        let disk = to.disk.disk.clone().ok_or("it has no folder")?;
        let target = Arc::clone(target);
        let settle = move || {
            target.sync()?;
            sync_segment_dir(&disk)
        };
        let settled = self.on_disk(to, settle).await;
        settled.ok_or_else(|| format!("{} failed", to.disk.name))
    }

    /// Writes the list of now into the headers of the group.
    async fn tell_group(
        self: &Arc<Self>,
        group: GroupId,
        shard: usize,
        to: &Arc<DiskHandle>,
    ) -> Result<(), String> {
        let home = self.home_now(group).await?;
        let header = home.header.as_ref().ok_or("no header of it can be read")?;
        if header.disks[shard] != to.id {
            return Err(format!("{} is not its home any more", to.name));
        }
        for (other, disk) in home.disks.iter().enumerate() {
            let Some(disk) = disk else { continue };
            let is_there =
                home.headers_good.contains(&(other, disk.id)) || home.headers_bad.contains(&other);
            if !is_there {
                continue;
            }
            let lane = self.lane_of(disk)?;
            let (file, _) = self.open_source(&lane, group, other).await?;
            let bytes = header.of_shard(other).encode();
            if !self.write_synced(&lane, &file, 0, bytes).await {
                return Err(format!("{} could not be told", disk.name));
            }
        }
        Ok(())
    }

    async fn remove_source(
        &self,
        (group, shard): (GroupId, usize),
        from: &Arc<Lane>,
        to: &Arc<Lane>,
    ) -> Result<(), String> {
        if self.is_marked(to, group, shard).await? {
            return Err("repair has to verify the copy first".to_owned());
        }
        if !self.disks.unbroken(&[to.served()]) {
            return Err(format!("{} left service", to.disk.name));
        }
        let disk = from.disk.disk.clone().ok_or("it has no folder")?;
        let (store, id) = (self.id, from.disk.id);
        let remove = move || {
            check_disk(&disk, store, id)?;
            match disk.remove(&segment_path(group, shard)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            match disk.remove(&mark_path(group, shard)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            sync_segment_dir(&disk)
        };
        let removed = self.on_disk(from, remove).await;
        removed.ok_or_else(|| format!("{} failed", from.disk.name))?;
        self.map.remove(group, shard, id);
        tracing::info!(from = %from.disk.name, to = %to.disk.name, %group, shard, "segment moved");
        Ok(())
    }
}

fn index_of(shard: usize) -> u8 {
    u8::try_from(shard).expect("a group has few shards")
}

/// The folder is still the one of that disk (hazard H41).
fn check_disk(disk: &DiskRef, store: StoreId, id: DiskId) -> io::Result<()> {
    match Superblock::read(&**disk) {
        Ok(block) if block.store == store && block.disk == id => Ok(()),
        Ok(block) => Err(io::Error::other(format!(
            "its folder holds disk {}",
            block.disk
        ))),
        Err(error) => Err(io::Error::other(format!(
            "its superblock can not be read: {error}"
        ))),
    }
}

/// The file that is being made: a header, and room.
struct Making {
    disk: DiskRef,
    header: SegmentHeader,
    len: u64,
    free_space_min: u64,
    direct: bool,
}

impl Making {
    fn run(&self) -> io::Result<FileRef> {
        check_identity(&self.disk, self.header.store, &self.header)?;
        check_space(&self.disk, self.len + self.free_space_min)?;
        self.disk.create_dir(SEGMENT_DIR)?;
        let path = moving_path(self.header.group, usize::from(self.header.shard_index));
        match self.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let options = CreateOptions {
            direct: self.direct,
            reserve: 0,
        };
        let file = self.disk.create(&path, options)?;
        file.write_at(0, &self.header.encode())?;
        Ok(Arc::new(SegmentFile::new(file)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::parse_segment_name;

    #[test]
    fn a_file_that_is_being_made_is_no_segment() {
        let path = moving_path(GroupId([7; 16]), 3);
        let name = path.strip_prefix("segments/").unwrap();
        assert!(name.ends_with(".3.moving"));
        assert_eq!(parse_segment_name(name), None);
    }
}
