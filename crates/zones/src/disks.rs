//! The disks in use, which of them are in service, and the failure domain each belongs to.
//!
//! A disk is *in service* or *out*. It goes out when a write or sync on it fails, when its folder
//! vanishes, or when it is judged hung; it comes back only through the health worker, which checks
//! that it is the same disk. Each time it goes out its *incarnation* grows, so that a blob written
//! before can tell that its bytes may not be where it left them (hazard H10).

use std::fmt;
use strongroom_base::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use strongroom_base::sync::{Arc, Mutex, OnceLock};

use strongroom_base::DiskRef;

use crate::calls::{Calls, noted};
use crate::counters::Counters;
use crate::io::DiskWriter;
use crate::layout::Layout;

/// Most members of a store: the members in service are a 64-bit set in each batch header.
pub const MEMBER_COUNT_MAX: usize = 64;

/// Identity of a disk, drawn when it is formatted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskId(pub [u8; 16]);

impl fmt::Debug for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..6] {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Position of a member in the store's member list; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MemberIndex(pub u16);

/// Counts how often a disk went out of service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Incarnation(u64);

/// Why a disk is out of service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OutReason {
    /// Its folder is absent, blank or another disk's.
    Absent(String),
    /// A write or sync failed.
    Failed(String),
    /// It did not answer in time while others did.
    Hung,
    /// Its zone is catching up.
    CatchingUp,
}

impl fmt::Display for OutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(why) => write!(f, "absent: {why}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Hung => f.write_str("hung"),
            Self::CatchingUp => f.write_str("catching up"),
        }
    }
}

/// One disk of the store. Present in [`Disks`] also while it is out.
pub struct DiskHandle {
    pub id: DiskId,
    pub member: MemberIndex,
    pub zone: String,
    /// The folder as configured, for messages; or a word for a disk that was not configured.
    pub name: String,
    /// The disk. `None` when no folder was configured for it in this run.
    pub disk: Option<DiskRef>,
    /// Held while the superblock is replaced: a disk whose replacement hangs is not admitted again
    /// before the late rename happened.
    pub(crate) superblock: Mutex<()>,
    /// The calls on `disk` under way.
    calls: Arc<Calls>,
    state: Mutex<State>,
    /// Even: in service; odd: out. Half of it is the incarnation.
    turns: AtomicU64,
}

struct State {
    out: Option<OutReason>,
    writer: Option<Arc<DiskWriter>>,
}

impl DiskHandle {
    pub(crate) fn new(
        id: DiskId,
        member: MemberIndex,
        zone: String,
        name: String,
        disk: Option<DiskRef>,
        out: Option<OutReason>,
    ) -> Self {
        let turns = AtomicU64::new(u64::from(out.is_some()));
        let calls = Arc::new(Calls::default());
        let disk = disk.map(|disk| noted(disk, &calls));
        Self {
            id,
            member,
            zone,
            name,
            disk,
            superblock: Mutex::new(()),
            calls,
            state: Mutex::new(State { out, writer: None }),
            turns,
        }
    }

    /// The incarnation when the disk is in service.
    #[must_use]
    pub fn in_service(&self) -> Option<Incarnation> {
        let turns = self.turns.load(Ordering::Acquire);
        turns.is_multiple_of(2).then_some(Incarnation(turns))
    }

    /// Whether no replacement of its superblock is under way or hangs, and no call hangs that was
    /// begun before the disk went out.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.superblock.try_lock().is_ok() && self.calls.are_settled()
    }

    /// The number of the change of the disk that has been under way longest: who sees the same number
    /// again and again sees a call that hangs.
    #[must_use]
    pub fn oldest_call(&self) -> Option<u64> {
        self.calls.oldest()
    }

    /// Why the disk is out, if it is.
    #[must_use]
    pub fn out_reason(&self) -> Option<OutReason> {
        self.state.lock().expect("no holder panics").out.clone()
    }

    /// The thread that writes segments on this disk; `None` while it is out.
    #[must_use]
    pub fn writer(&self, counters: &Arc<Counters>) -> Option<Arc<DiskWriter>> {
        let mut state = self.state.lock().expect("no holder panics");
        if state.out.is_some() {
            return None;
        }
        let make = || Arc::new(DiskWriter::start(&self.name, Arc::clone(counters)));
        Some(Arc::clone(state.writer.get_or_insert_with(make)))
    }
}

/// How often the disks may be changed in one run. The lists are kept until the process ends, so that
/// whoever walks one neither waits nor copies.
const LIST_COUNT_MAX: usize = 1001;

/// All disks of the store.
pub struct Disks {
    /// Every list there was in this run.
    lists: Box<[OnceLock<Vec<Arc<DiskHandle>>>]>,
    /// Index of the list that counts.
    current: AtomicUsize,
    layout: Mutex<Arc<Layout>>,
    pub counters: Arc<Counters>,
}

impl Disks {
    pub(crate) fn new(
        disks: Vec<Arc<DiskHandle>>,
        layout: Layout,
        counters: Arc<Counters>,
    ) -> Self {
        let lists: Vec<_> = (0..LIST_COUNT_MAX).map(|_| OnceLock::new()).collect();
        let _ = lists[0].set(disks);
        Self {
            lists: lists.into_boxed_slice(),
            current: AtomicUsize::new(0),
            layout: Mutex::new(Arc::new(layout)),
            counters,
        }
    }

    /// Every disk of the layout, in service or not. Later calls may give another list.
    #[must_use]
    pub fn all(&self) -> &[Arc<DiskHandle>] {
        let current = self.current.load(Ordering::Acquire);
        self.lists[current].get().expect("set before it counts")
    }

    /// The disk with `id`.
    #[must_use]
    pub fn find(&self, id: DiskId) -> Option<&Arc<DiskHandle>> {
        self.all().iter().find(|disk| disk.id == id)
    }

    /// The disk with `id`, or the one that has its place since it was replaced.
    #[must_use]
    pub fn find_home(&self, id: DiskId) -> Option<&Arc<DiskHandle>> {
        let found = self.find(id);
        found.or_else(|| self.find(self.layout().successor_of(id)))
    }

    /// The layout that superblocks are written with.
    #[must_use]
    pub fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.layout.lock().expect("no holder panics"))
    }

    /// Whether the disk gives its shards away and takes no new ones (RFC 0011).
    #[must_use]
    pub fn is_drained(&self, id: DiskId) -> bool {
        self.layout().is_drained(id)
    }

    /// Makes `layout` the one that counts, with the disks `new` where it lists them. False, and
    /// nothing changed, when there were too many changes in this run. For the commit thread alone.
    pub(crate) fn install(&self, layout: Layout, new: &[Arc<DiskHandle>]) -> bool {
        let known: Vec<&Arc<DiskHandle>> = self.all().iter().chain(new).collect();
        let ids = layout.zones.iter().flat_map(|zone| &zone.disks);
        let handle = |id: &DiskId| known.iter().find(|disk| disk.id == *id).copied().cloned();
        let list = ids.filter_map(handle).collect();
        let next = self.current.load(Ordering::Acquire) + 1;
        let Some(Ok(())) = self.lists.get(next).map(|slot| slot.set(list)) else {
            return false;
        };
        *self.layout.lock().expect("no holder panics") = Arc::new(layout);
        self.current.store(next, Ordering::Release);
        true
    }

    /// Takes a disk out of service. Repeating is fine; the first reason is kept.
    pub fn take_out(&self, id: DiskId, reason: OutReason) {
        let Some(disk) = self.find(id) else { return };
        let mut state = disk.state.lock().expect("no holder panics");
        if state.out.is_some() {
            return;
        }
        tracing::warn!(disk = %disk.name, zone = %disk.zone, %reason, "disk taken out of service");
        state.out = Some(reason);
        state.writer = None;
        disk.calls.went_out();
        disk.turns.fetch_add(1, Ordering::AcqRel);
        Counters::add(&self.counters.disks_taken_out, 1);
    }

    /// Puts a disk back into service: for the health worker, after it verified the disk.
    pub fn admit(&self, id: DiskId) {
        let Some(disk) = self.find(id) else { return };
        let mut state = disk.state.lock().expect("no holder panics");
        if state.out.take().is_some() {
            disk.turns.fetch_add(1, Ordering::AcqRel);
            Counters::add(&self.counters.disks_admitted, 1);
            tracing::info!(disk = %disk.name, zone = %disk.zone, "disk in service");
        }
    }

    /// Whether every one of `disks` has been in service without a break since it had the given
    /// incarnation.
    #[must_use]
    pub fn unbroken(&self, disks: &[(DiskId, Incarnation)]) -> bool {
        disks.iter().all(|(id, seen)| {
            self.find(*id)
                .is_some_and(|disk| disk.in_service() == Some(*seen))
        })
    }
}
