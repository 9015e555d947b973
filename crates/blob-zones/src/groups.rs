//! Choosing disks for new groups, creating them, and finding room for an upload.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use strongroom_base::{CreateOptions, DiskRef, FileRef, is_process_limit, planted, tasks};
use strongroom_blob::{Error, ErrorKind, Result};
use strongroom_zones::{DiskHandle, DiskId, Disks, MemberIndex, OutReason, StoreId, Superblock};

use crate::code::{Code, choose_code};
use crate::geometry::Geometry;
use crate::group::{Extent, OpenGroup};
use crate::lane::{Lane, Served};
use crate::segment::{GroupId, SEGMENT_DIR, SegmentFile, SegmentHeader, segment_path};
use crate::settings::GROUP_ATTEMPTS_MAX;
use crate::store::Store;

/// Most groups open at once: more spreads load over more disks, and shares fewer syncs.
const GROUPS_OPEN_MAX: usize = 4;
/// How long a disk that had no space is left out before it is tried again.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The groups that take new stripes.
#[derive(Default)]
pub(crate) struct Groups {
    open: Mutex<Vec<Arc<OpenGroup>>>,
    /// Disks that had no space, and when they said so.
    full: Mutex<HashMap<DiskId, Duration>>,
    /// Grows with each group and each extent, so that disks and groups take turns.
    turn: AtomicUsize,
    creating: tokio::sync::Mutex<()>,
    /// Every group this process created, from before its first file is there.
    born: Mutex<HashMap<GroupId, Birth>>,
}

/// A group of this process.
enum Birth {
    /// Its files are being made.
    Making,
    /// It is in use for as long as anybody holds it.
    Made(Weak<OpenGroup>),
}

/// Disks that may take a new group, by member.
type Candidates = BTreeMap<MemberIndex, Vec<Arc<Lane>>>;

impl Groups {
    fn open(&self) -> MutexGuard<'_, Vec<Arc<OpenGroup>>> {
        self.open.lock().expect("no holder panics")
    }

    fn full(&self) -> MutexGuard<'_, HashMap<DiskId, Duration>> {
        self.full.lock().expect("no holder panics")
    }

    fn born(&self, group: GroupId, birth: Birth) {
        let mut born = self.born.lock().expect("no holder panics");
        born.insert(group, birth);
    }

    /// Closes groups that can take no more, so that those who wait for their end see it.
    pub(crate) fn close_unusable(&self, disks: &Disks) {
        self.open().retain(|group| group.is_usable(disks));
    }

    /// Whether nothing is written to the group any more, and no place in it waits for its commit.
    /// Groups of earlier processes are not written to by anybody.
    pub(crate) fn is_ended(&self, group: GroupId) -> bool {
        let born = self.born.lock().expect("no holder panics");
        match born.get(&group) {
            None => true,
            Some(Birth::Making) => false,
            Some(Birth::Made(group)) => group.strong_count() == 0,
        }
    }

    /// Whether the disk said lately that it has no space.
    pub(crate) fn is_full(&self, disk: DiskId, now: Duration) -> bool {
        let since = self.full().get(&disk).copied();
        since.is_some_and(|since| now.saturating_sub(since) < FULL_RETRY_AFTER)
    }

    fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }
}

impl Store {
    /// Closes a group one of whose files vanished: what is appended to a file without a name would
    /// be gone with the process.
    pub(crate) fn fail_group(&self, group: GroupId) {
        for open in self.groups.open().iter().filter(|open| open.id == group) {
            open.fail();
        }
    }
}

/// What a disk must hold for a group to be used: made in a blocking thread, and durable.
struct Creation {
    disk: DiskRef,
    header: SegmentHeader,
    reserve: u64,
    free_space_min: u64,
    direct: bool,
}

impl Creation {
    fn run(&self) -> io::Result<FileRef> {
        check_identity(&self.disk, self.header.store, &self.header)?;
        check_space(&self.disk, self.reserve + self.free_space_min)?;
        self.disk.create_dir(SEGMENT_DIR)?;
        let path = segment_path(self.header.group, usize::from(self.header.shard_index));
        let options = CreateOptions {
            direct: self.direct,
            reserve: self.reserve,
        };
        let made = self.disk.create(&path, options).and_then(|file| {
            file.write_at(0, &self.header.encode())?;
            file.sync()?;
            sync_segment_dir(&self.disk)?;
            Ok(file)
        });
        if made.is_err() {
            // Nobody knows this group yet: its name may go, and if it can not, it stays unused.
            let _ = self.disk.remove(&path);
        }
        made
    }
}

/// Makes the names of segments durable, and the name of their folder (hazard H38).
pub(crate) fn sync_segment_dir(disk: &DiskRef) -> io::Result<()> {
    if planted("blob_skip_dir_sync") {
        return Ok(());
    }
    disk.sync_dir(SEGMENT_DIR)?;
    disk.sync_dir("")
}

/// A folder whose disk was unmounted is an empty folder of another file system: nothing may be
/// created in it (hazard H41).
pub(crate) fn check_identity(
    disk: &DiskRef,
    store: StoreId,
    header: &SegmentHeader,
) -> io::Result<()> {
    let expected = header.disks[usize::from(header.shard_index)];
    match Superblock::read(&**disk) {
        Ok(block) if block.store == store && block.disk == expected => Ok(()),
        Ok(block) => Err(io::Error::other(format!(
            "its folder holds disk {}",
            block.disk
        ))),
        Err(error) => Err(io::Error::other(format!(
            "its superblock can not be read: {error}"
        ))),
    }
}

pub(crate) fn check_space(disk: &DiskRef, needed: u64) -> io::Result<()> {
    let (free, _) = disk.space()?;
    if free < needed {
        let text = format!("{free} bytes free, {needed} needed");
        return Err(io::Error::new(io::ErrorKind::StorageFull, text));
    }
    Ok(())
}

impl Store {
    /// The code a store with all its disks in service would use.
    pub(crate) fn full_code(&self) -> Option<Code> {
        let mut counts: BTreeMap<MemberIndex, usize> = BTreeMap::new();
        let layout = self.disks.layout();
        let takes = |disk: &&Arc<DiskHandle>| !layout.is_drained(disk.id);
        for disk in self.disks.all().iter().filter(takes) {
            *counts.entry(disk.member).or_default() += 1;
        }
        choose_code(&counts.into_values().collect::<Vec<_>>())
    }

    /// The disks that may take stripes now, and the code for them.
    pub(crate) fn candidates(&self) -> Result<(Candidates, Code)> {
        let now = self.clock.monotonic();
        let mut full = self.groups.full();
        full.retain(|_, since| now.saturating_sub(*since) < FULL_RETRY_AFTER);
        let mut candidates = Candidates::new();
        let layout = self.disks.layout();
        let takes = |disk: &&Arc<DiskHandle>| !layout.is_drained(disk.id);
        for disk in self.disks.all().iter().filter(takes) {
            if let Some(lane) = self.lanes.lane(disk) {
                let member = candidates.entry(disk.member).or_default();
                if !full.contains_key(&disk.id) {
                    member.push(lane);
                }
            }
        }
        drop(full);
        if candidates.values().any(Vec::is_empty) {
            // Going on without that member would hide that the store is full behind less redundancy.
            return Err(Error::new(
                ErrorKind::Full,
                "every disk of a member is full",
            ));
        }
        let counts: Vec<usize> = candidates.values().map(Vec::len).collect();
        match choose_code(&counts) {
            Some(code) => Ok((candidates, code)),
            None => Err(Error::new(ErrorKind::Unavailable, "no disk is in service")),
        }
    }

    /// Room for up to `bytes` of a stream, in a group under the code for the disks in service.
    ///
    /// # Errors
    /// `Unavailable` or `Full` when no group can be made.
    pub(crate) async fn extent(self: &Arc<Self>, bytes: u64) -> Result<Extent> {
        let mut last = None;
        for _ in 0..GROUP_ATTEMPTS_MAX {
            match self.extent_try(bytes).await {
                Ok(Some(extent)) => return Ok(extent),
                Ok(None) => {}
                Err(error) if error.kind == ErrorKind::Full => {
                    // Space may be back since the disks were last asked.
                    self.groups.full().clear();
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        let text = "segment groups could not be created: disks keep failing";
        Err(last.unwrap_or_else(|| Error::new(ErrorKind::Unavailable, text)))
    }

    async fn extent_try(self: &Arc<Self>, bytes: u64) -> Result<Option<Extent>> {
        let extent = match self.take_open(bytes)? {
            Some(extent) => Some(extent),
            None => {
                // A task of its own: an upload that is given up must not leave a group half made.
                let store = Arc::clone(self);
                let made =
                    tasks::spawn(async move { store.extent_in_new_group(bytes).await }).await;
                made.map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))??
            }
        };
        match extent {
            Some(extent) => Ok(self.reserve(extent).await),
            None => Ok(None),
        }
    }

    async fn extent_in_new_group(&self, bytes: u64) -> Result<Option<Extent>> {
        let _one_at_a_time = self.groups.creating.lock().await;
        if let Some(extent) = self.take_open(bytes)? {
            return Ok(Some(extent));
        }
        let (candidates, code) = self.candidates()?;
        let Some(group) = self.create_group(&candidates, code).await else {
            return Ok(None);
        };
        self.groups.open().push(Arc::clone(&group));
        Ok(group.take(bytes, self.geometry(code)))
    }

    fn geometry(&self, code: Code) -> Geometry {
        Geometry::new(
            code.data_count,
            self.settings.shard_block_count(code.data_count),
        )
    }

    /// Room in an open group. `None` when one has to be created first.
    fn take_open(&self, bytes: u64) -> Result<Option<Extent>> {
        let (candidates, code) = self.candidates()?;
        let disk_count: usize = candidates.values().map(Vec::len).sum();
        let wanted = (disk_count / code.shard_count()).clamp(1, GROUPS_OPEN_MAX);
        let geometry = self.geometry(code);
        let turn = self.groups.next_turn();
        let mut open = self.groups.open();
        open.retain(|group| group.code == code && group.is_usable(&self.disks));
        if open.len() < wanted {
            return Ok(None);
        }
        let count = open.len();
        let extent = (0..count).find_map(|i| open[(turn + i) % count].take(bytes, geometry));
        Ok(extent)
    }

    /// Creates a group on disks chosen in turn. `None` when a disk failed or was full: it is out, or
    /// known to be full, and the caller chooses anew.
    async fn create_group(&self, candidates: &Candidates, code: Code) -> Option<Arc<OpenGroup>> {
        let lanes = place(candidates, code, self.groups.next_turn());
        let id = GroupId(self.random.next_16());
        let header = SegmentHeader {
            store: self.id,
            group: id,
            shard_index: 0,
            data_count: u8::try_from(code.data_count).expect("at most 12"),
            parity_count: u8::try_from(code.parity_count).expect("at most 12"),
            run: self.run,
            sequence: 0,
            disks: lanes.iter().map(|lane| lane.disk.id).collect(),
        };
        let reserve = self.settings.reserve_step.min(self.settings.segment_size);
        // Before its first file: a listing of a disk must not take it for a group of the past.
        self.groups.born(id, Birth::Making);
        let made = lanes.iter().enumerate().map(|(index, lane)| {
            let creation = Creation {
                disk: lane
                    .disk
                    .disk
                    .clone()
                    .expect("a disk in service has a folder"),
                header: header.of_shard(index),
                reserve,
                free_space_min: self.settings.free_space_min,
                direct: self.settings.direct,
            };
            self.on_disk(lane, move || creation.run())
        });
        let made = futures::future::join_all(made).await;
        let files: Option<Vec<FileRef>> = made
            .into_iter()
            .map(|file| Some(Arc::new(SegmentFile::new(file?)) as FileRef))
            .collect();
        let Some(files) = files else {
            self.remove_unused(&lanes, id).await;
            self.groups.born(id, Birth::Made(Weak::new()));
            return None;
        };
        let size = self.settings.segment_size;
        let group = Arc::new(OpenGroup::new(id, code, lanes, files, size, reserve));
        self.groups.born(id, Birth::Made(Arc::downgrade(&group)));
        self.map.add_group(id, &header.disks);
        Some(group)
    }

    /// Runs `work` on a blocking thread for as long as the disk is in service. A failure takes the
    /// disk out, or notes that it is full.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        lane: &Arc<Lane>,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Option<T> {
        match self
            .lanes
            .while_served(lane.served(), tasks::blocking(work))
            .await?
        {
            Ok(value) => Some(value),
            Err(error) if is_process_limit(&error) => {
                tracing::error!(disk = %lane.disk.name, %error, "segment can not be opened");
                None
            }
            Err(error) => {
                self.disk_failed(lane.served(), &error.to_string(), is_full(&error));
                None
            }
        }
    }

    /// Removes the files of a group that was never used.
    async fn remove_unused(&self, lanes: &[Arc<Lane>], group: GroupId) {
        let removals = lanes.iter().enumerate().map(|(index, lane)| {
            let disk = lane.disk.disk.clone();
            let remove = move || disk.map(|disk| disk.remove(&segment_path(group, index)));
            self.lanes
                .while_served(lane.served(), tasks::blocking(remove))
        });
        futures::future::join_all(removals).await;
    }

    /// Reserves the extent's bytes on all disks. `None`, and a closed group, when one has no space.
    async fn reserve(&self, extent: Extent) -> Option<Extent> {
        let reserved = extent.group.reserved();
        if extent.end <= reserved {
            return Some(extent);
        }
        let target = extent.end.next_multiple_of(self.settings.reserve_step);
        let target = target.min(self.settings.segment_size).max(extent.end);
        let lanes = extent.group.lanes.iter().zip(&extent.group.files);
        let free_space_min = self.settings.free_space_min;
        let done = lanes.map(|(lane, file)| {
            let disk = lane
                .disk
                .disk
                .clone()
                .expect("a disk in service has a folder");
            let file = Arc::clone(file);
            self.on_disk(lane, move || {
                check_space(&disk, free_space_min + (target - reserved))?;
                file.reserve(reserved, target - reserved)
            })
        });
        if futures::future::join_all(done)
            .await
            .iter()
            .any(Option::is_none)
        {
            extent.group.fail();
            return None;
        }
        extent.group.set_reserved(target);
        Some(extent)
    }

    /// Handles a failed request to a disk: a full disk takes no new groups, any other is taken out.
    /// An answer from before the disk last left service says nothing about it now.
    pub(crate) fn disk_failed(&self, served: Served, message: &str, full: bool) {
        if full {
            tracing::warn!(disk = %served.0, message, "disk is full");
            self.groups.full().insert(served.0, self.clock.monotonic());
        } else if self.disks.unbroken(&[served]) {
            self.disks
                .take_out(served.0, OutReason::Failed(message.to_owned()));
        }
    }
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StorageFull
}

/// The disk of each shard: members in turn, and the disks of a member in turn.
///
/// Invariant AZ02: with two members or more, none holds more than m shards.
fn place(candidates: &Candidates, code: Code, turn: usize) -> Vec<Arc<Lane>> {
    let members: Vec<&Vec<Arc<Lane>>> = candidates.values().collect();
    let member_count = code.shard_count() / code.shards_per_member;
    let mut lanes = Vec::new();
    for i in 0..code.shard_count() {
        let member = members[(turn + i % member_count) % members.len()];
        let disk = turn * code.shards_per_member + i / member_count;
        lanes.push(Arc::clone(&member[disk % member.len()]));
    }
    let handles: Vec<&Arc<DiskHandle>> = lanes.iter().map(|lane| &lane.disk).collect();
    let distinct: HashSet<_> = handles.iter().map(|disk| disk.id).collect();
    assert_eq!(distinct.len(), lanes.len(), "one shard of a group per disk");
    for member in candidates.keys() {
        let held = handles.iter().filter(|disk| disk.member == *member).count();
        assert!(
            held <= code.parity_count || candidates.len() == 1,
            "AZ02: {held} shards"
        );
    }
    if planted("blob_two_shards_one_zone") && lanes.len() > 1 {
        // One more than the parity can lose, in the first member.
        let first = Arc::clone(&lanes[0]);
        for lane in lanes.iter_mut().take(code.parity_count + 1) {
            *lane = Arc::clone(&first);
        }
    }
    lanes
}
