//! Changing the disks and zones of a store that serves (RFC 0010, RFC 0011, RFC 0012).
//!
//! Disks die and fill up while the store must go on. A change is prepared beside the commit thread,
//! because the new disk may hang; then the commit thread begins a generation whose promises carry
//! the new layout. It is in force when that generation is.
//!
//! Invariants
//! - A disk is formatted only when its folder is blank, or it is one of ours that never joined.
//! - Nothing is erased on a disk that leaves.
//! - A disk is removed only when it was drained and holds no segment; a zone when it was drained.
//! - Nothing begins that would leave fewer than a majority of members in service.
//! - The member list changes by one at a time, and only while every member that stays is in service:
//!   so each of them has promised the new list before it counts, and has all that was acknowledged.

use std::io;
use std::sync::Arc;

use strongroom_base::DiskRef;

use crate::disks::{DiskHandle, DiskId, MemberIndex, OutReason};
use crate::layout::Layout;
use crate::log::{CommitLog, Stalled, bits};
use crate::open::{DiskSpec, Found, look_at};
use crate::recover::Store;
use crate::superblock::{DiskState, Promise, Superblock};

/// A folder that an operator named for a new disk.
#[derive(Clone)]
pub struct NewDisk {
    /// For messages, and recorded in the layout.
    pub folder: String,
    pub disk: DiskRef,
}

/// What an operator wants.
#[derive(Clone)]
pub enum DiskChange {
    /// `new` gets the place of `old`, which is out of service.
    Replace {
        old: DiskId,
        new: NewDisk,
        /// Although a disk of another zone is out of service as well.
        force: bool,
    },
    /// `new` is one more disk of `zone`.
    Add { zone: String, new: NewDisk },
    /// `disk` takes no new shards; those it has move to others of its zone (RFC 0011).
    Drain { disk: DiskId },
    /// `disk` is not drained any more.
    Keep { disk: DiskId },
    /// `disk`, which is drained and empty, leaves the store. Its folder is not erased.
    Remove { disk: DiskId },
    /// One more zone with these disks.
    AddZone { zone: String, new: Vec<NewDisk> },
    /// The zone takes no new shards; blobs that have some in it are written anew elsewhere.
    DrainZone { zone: String },
    /// The zone is not drained any more.
    KeepZone { zone: String },
    /// The zone, which is drained, leaves the store. Its folders are not erased.
    /// The caller has made sure that no blob has a shard in it: its segments go on to hold what was
    /// written anew elsewhere.
    RemoveZone { zone: String },
}

/// Folder of what the blob store keeps on a disk, and the end of the names of its segments: whoever
/// has them can not be removed, so they are looked for where the layout is changed.
const SEGMENT_DIR: &str = "segments";
const SEGMENT_SUFFIX: &str = ".seg";

/// A change that was checked, and whose new disk, if it has one, is formatted.
pub struct PreparedChange {
    /// Number of the layout it changes.
    base: u64,
    layout: Layout,
    new: Vec<Arc<DiskHandle>>,
    gone: Vec<Arc<DiskHandle>>,
}

impl PreparedChange {
    /// The disks it brings in.
    #[must_use]
    pub fn new_disks(&self) -> Vec<Arc<DiskHandle>> {
        self.new.clone()
    }

    /// The disks that leave.
    #[must_use]
    pub fn gone(&self) -> Vec<Arc<DiskHandle>> {
        self.gone.clone()
    }
}

impl Store {
    /// Checks a change and formats its new disk. Nothing of the store changes yet. May hang with
    /// the new disk.
    ///
    /// # Errors
    /// One sentence: what stands against it.
    pub fn prepare_change(&self, change: DiskChange) -> Result<PreparedChange, String> {
        let disks = &self.opened().disks;
        let layout = disks.layout();
        let fresh = |new: &NewDisk| (DiskId(self.opened().random.next_16()), new.clone());
        let (next, new, gone) = match change {
            DiskChange::Replace { old, new, force } => {
                self.check_replaceable(old, force)?;
                let new = fresh(&new);
                let next = layout.replace(old, new.0, &new.1.folder)?;
                (next, vec![new], Vec::from_iter(disks.find(old).cloned()))
            }
            DiskChange::Add { zone, new } => {
                let new = fresh(&new);
                let next = layout.add(&zone, new.0, &new.1.folder)?;
                (next, vec![new], Vec::new())
            }
            DiskChange::Drain { disk } => (self.drained(&layout, disk)?, Vec::new(), Vec::new()),
            DiskChange::Keep { disk } => (layout.keep(disk)?, Vec::new(), Vec::new()),
            DiskChange::Remove { disk } => {
                let next = layout.remove(disk)?;
                let gone = disks.find(disk).cloned();
                self.check_removable(gone.as_deref())?;
                (next, Vec::new(), Vec::from_iter(gone))
            }
            DiskChange::AddZone { zone, new } => {
                let new: Vec<_> = new.iter().map(fresh).collect();
                let listed = new.iter().map(|(id, new)| (*id, new.folder.as_str()));
                let next = layout.add_zone(&zone, &listed.collect::<Vec<_>>())?;
                (next, new, Vec::new())
            }
            DiskChange::DrainZone { zone } => (layout.drain_zone(&zone)?, Vec::new(), Vec::new()),
            DiskChange::KeepZone { zone } => (layout.keep_zone(&zone)?, Vec::new(), Vec::new()),
            DiskChange::RemoveZone { zone } => {
                let next = layout.remove_zone(&zone)?;
                let gone = disks.all().iter().filter(|disk| disk.zone == zone);
                (next, Vec::new(), gone.cloned().collect())
            }
        };
        self.check_members(&layout, &next)?;
        let new = new
            .iter()
            .map(|(id, new)| self.format_joining(*id, new, &next));
        Ok(PreparedChange {
            base: layout.changes.number,
            new: new.collect::<Result<_, _>>()?,
            layout: next,
            gone,
        })
    }

    /// Whether the member list may change so now: looked at again by the commit thread.
    fn check_members(&self, layout: &Layout, next: &Layout) -> Result<(), String> {
        let status = self.reader().status();
        let served = status.members.iter().enumerate();
        let served = served.filter(|(_, member)| member.in_service);
        let service = served.fold(0, |set, (index, _)| set | 1 << index);
        check_all_served(layout, next, service)
    }

    fn drained(&self, layout: &Layout, disk: DiskId) -> Result<Layout, String> {
        let next = layout.drain(disk)?;
        let disks = &self.opened().disks;
        let zone = layout.zone_of(disk).unwrap_or_default();
        let takes = |other: &&Arc<DiskHandle>| {
            other.zone == zone && other.in_service().is_some() && !next.is_drained(other.id)
        };
        match disks.all().iter().any(|other| takes(&other)) {
            true => Ok(next),
            false => Err(format!(
                "no other disk of zone {zone} is in service to take what is on it: bring one back \
                 or add one first"
            )),
        }
    }

    /// Whether nothing is on the disk that is nowhere else.
    fn check_removable(&self, gone: Option<&DiskHandle>) -> Result<(), String> {
        let Some(gone) = gone else {
            return Err("no disk of the store has this id".to_owned());
        };
        let folder = match (&gone.disk, gone.in_service()) {
            (Some(folder), Some(_)) => folder,
            _ => {
                return Err(format!(
                    "{} is out of service, so that nobody can tell whether it is empty: bring it \
                     back, or put another disk in its place with `disk replace`",
                    gone.name
                ));
            }
        };
        let names = match folder.list(SEGMENT_DIR) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            names => names.map_err(|error| format!("cannot look at {}: {error}", gone.name))?,
        };
        let segments = names.iter().filter(|name| name.ends_with(SEGMENT_SUFFIX));
        match segments.count() {
            0 => Ok(()),
            count => Err(format!(
                "{} still holds {count} segments: wait until it is drained",
                gone.name
            )),
        }
    }

    fn check_replaceable(&self, old: DiskId, force: bool) -> Result<(), String> {
        let disks = &self.opened().disks;
        let Some(old) = disks.find(old) else {
            return Err(format!("no disk of the store has the id {old}"));
        };
        if old.in_service().is_some() {
            return Err(format!(
                "{} is in service: a disk is replaced when it is dead, take it out of the machine \
                 first",
                old.name
            ));
        }
        let mut others = disks.all().iter();
        let other = others.find(|disk| disk.zone != old.zone && disk.in_service().is_none());
        match other {
            Some(other) if !force => Err(format!(
                "{} of zone {} is out of service as well, and {} may hold the only copy of \
                 something: bring that disk back first, or give up what is on {} with --force",
                other.name, other.zone, old.name, old.name
            )),
            _ => Ok(()),
        }
    }

    /// Makes a blank disk one that joins, durably.
    fn format_joining(
        &self,
        id: DiskId,
        new: &NewDisk,
        layout: &Layout,
    ) -> Result<Arc<DiskHandle>, String> {
        let zone = layout
            .zone_of(id)
            .expect("it was listed just now")
            .to_owned();
        let spec = DiskSpec {
            zone: zone.clone(),
            name: new.folder.clone(),
            disk: Arc::clone(&new.disk),
        };
        self.check_blank(&spec)?;
        let block = Superblock {
            store: self.opened().store,
            disk: id,
            zone: zone.clone(),
            state: DiskState::Joining,
            run: self.opened().run,
            promise: Promise::default(),
            log_disk: DiskId([0; 16]),
            zones: layout.zones.clone(),
            changes: layout.changes.clone(),
        };
        let made = new
            .disk
            .create_dir("")
            .and_then(|()| block.write(&*new.disk));
        made.map_err(|error| format!("cannot use {}: {error}", new.folder))?;
        let index = layout.zones.iter().position(|listed| listed.name == zone);
        let index = index.expect("the zone lists it");
        let member = MemberIndex(u16::try_from(index).expect("at most 64 members"));
        let name = new.folder.clone();
        let disk = Some(Arc::clone(&new.disk));
        Ok(Arc::new(DiskHandle::new(
            id, member, zone, name, disk, None,
        )))
    }

    /// Whether the folder may be formatted: blank, or one of ours that never joined.
    fn check_blank(&self, spec: &DiskSpec) -> Result<(), String> {
        let disks = &self.opened().disks;
        match look_at(spec).map_err(|error| error.to_string())? {
            Found::Blank => Ok(()),
            Found::Superblock(block) if block.store != self.opened().store => Err(format!(
                "{} is a disk of another store ({}): name an empty folder",
                spec.name, block.store
            )),
            Found::Superblock(block) if disks.find(block.disk).is_some() => Err(format!(
                "{} is a disk of zone {} already: name an empty folder",
                spec.name, block.zone
            )),
            Found::Superblock(block) if block.state == DiskState::Joining => Ok(()),
            Found::Superblock(block) => Err(format!(
                "{} was a disk of zone {} of this store and may hold what is nowhere else: name an \
                 empty folder",
                spec.name, block.zone
            )),
            Found::Bad(why) => Err(format!(
                "{} can not be a new disk ({why}): name an empty folder on the new disk",
                spec.name
            )),
        }
    }

    /// Notes on a disk that left that it did, so that it says so itself wherever it turns up. May
    /// hang with it; that it fails does no harm, since the layout does not list it.
    pub fn retire(&self, gone: &DiskHandle) -> io::Result<()> {
        let Some(disk) = &gone.disk else {
            return Ok(());
        };
        let mut block = Superblock::read(&**disk).map_err(io::Error::other)?;
        // The new disk may be mounted where the old one was.
        if block.disk != gone.id || block.store != self.opened().store {
            return Ok(());
        }
        block.state = DiskState::Replaced;
        let _replacing = gone.superblock.lock().expect("no holder panics");
        block.write(&**disk)
    }
}

impl CommitLog {
    /// Puts a prepared change in force. The inner error refuses it, and nothing changed.
    ///
    /// # Errors
    /// [`Stalled`]: the change was begun, and whether it is in force is decided by recovery.
    pub fn change_disks(&mut self, change: PreparedChange) -> Result<Result<(), String>, Stalled> {
        self.settle()?;
        let disks = Arc::clone(self.shared.disks());
        let number = disks.layout().changes.number;
        if number != change.base {
            return Ok(Err(
                "the disks were changed by another command just now: look at them and repeat"
                    .to_owned(),
            ));
        }
        if let Err(why) = check_all_served(&disks.layout(), &change.layout, self.service) {
            return Ok(Err(why));
        }
        let gone: Vec<DiskId> = change.gone.iter().map(|disk| disk.id).collect();
        let homes = bits(self.service).filter(|member| {
            let home = self.shared.log_disk(*member);
            home.is_some_and(|home| gone.contains(&home))
        });
        let lost = homes.fold(0u64, |set, member| set | 1 << member);
        let kept = self.service & !lost;
        let majority = change.layout.members().count_ones() as usize / 2 + 1;
        if (kept.count_ones() as usize) < majority {
            return Ok(Err(
                "the log of its zone is on it, and without that zone too few would be in service: \
                 bring back the other zones first"
                    .to_owned(),
            ));
        }
        for gone in gone {
            disks.take_out(gone, OutReason::Failed("it leaves the store".to_owned()));
        }
        if !disks.install(change.layout, &change.new) {
            return Ok(Err(
                "the disks were changed too often since the server started: restart it".to_owned(),
            ));
        }
        self.leave(lost);
        self.begin_generation(kept)?;
        tracing::info!(number = disks.layout().changes.number, "disks changed");
        Ok(Ok(()))
    }
}

/// Whether the member list stays as it is, or every member that stays is in `service`. Each of them
/// then promises the new list before it counts, and whoever is away does not decide by the old one.
fn check_all_served(layout: &Layout, next: &Layout, service: u64) -> Result<(), String> {
    let (old, new) = (layout.members(), next.members());
    let missing = bits(old & new & !service).next();
    let Some(missing) = missing.filter(|_| old != new) else {
        return Ok(());
    };
    let name = layout.zones.get(missing).map_or("", |zone| &zone.name);
    Err(format!(
        "zone {name} is out of service, and the list of zones changes only while all that stay are \
         in: bring it back first"
    ))
}
