//! Index views that keep, over a power cut, what a view promises to keep: some applied prefix, or
//! nothing; but never less than what was made durable.
//!
//! Each application is a mark in the trace that carries the whole view, so that a crash state can
//! pick any of those before the cut for each disk on its own.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Bound;
use strongroom_base::sync::{Arc, Mutex};

use bytes::Bytes;
use strongroom_meta_lsm::{IndexView, Mark, ViewChange, ViewError, ViewFactory, ViewSnapshot};
use strongroom_zones::{DiskHandle, DiskId};

use crate::state::mix;
use crate::trace::Event;
use crate::world::SimWorld;

type Records = BTreeMap<Vec<u8>, Bytes>;

/// A view at some moment.
#[derive(Clone, Default)]
struct Applied {
    records: Arc<Records>,
    mark: Option<Mark>,
}

/// The mark of one application, or of a discard.
pub(crate) struct ViewEvent {
    disk: DiskId,
    applied: Applied,
    /// No later power cut takes it back.
    is_durable: bool,
}

impl fmt::Debug for ViewEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.applied.mark.map_or(0, |mark| mark.number);
        write!(f, "view of disk {:?} at batch {number}", self.disk)
    }
}

type Shared = Arc<Mutex<HashMap<DiskId, Applied>>>;

/// The views of a world's disks.
pub struct SimViews {
    world: SimWorld,
    views: Shared,
    /// Whether these are the second ones of disks.
    is_second: bool,
}

/// The name under which the second view of a disk is kept here: for [`SimViews::spoil`] and others.
#[must_use]
pub fn second_view_of(disk: DiskId) -> DiskId {
    DiskId(disk.0.map(|byte| !byte))
}

impl SimViews {
    /// No disk has a view.
    #[must_use]
    pub fn new(world: &SimWorld) -> Self {
        Self {
            world: world.clone(),
            views: Shared::default(),
            is_second: false,
        }
    }

    /// The views a power cut after `events` may leave: for each disk, by a coin from `draw`, the
    /// newest, an older one, or none.
    #[must_use]
    pub fn after_power_cut(world: &SimWorld, events: &[Event], draw: u64) -> Self {
        let mut states: BTreeMap<DiskId, (bool, Vec<&Applied>)> = BTreeMap::new();
        for event in events.iter().filter_map(Event::mark::<ViewEvent>) {
            let (has_floor, of_disk) = states.entry(event.disk).or_default();
            if event.applied.mark.is_none() || event.is_durable {
                of_disk.clear();
                *has_floor = event.is_durable;
            }
            of_disk.push(&event.applied);
        }
        let mut views = HashMap::new();
        for (number, (disk, (has_floor, states))) in states.into_iter().enumerate() {
            let coin = mix(draw, number as u64);
            let chosen = match coin % 4 {
                0 if has_floor => states.first(),
                0 => None,
                1 => states.last(),
                _ => states.get((coin >> 8) as usize % states.len()),
            };
            if let Some(applied) = chosen {
                views.insert(disk, Applied::clone(applied));
            }
        }
        Self {
            world: world.clone(),
            views: Arc::new(Mutex::new(views)),
            is_second: false,
        }
    }

    /// The name of the view of `disk` that this opens.
    fn name(&self, disk: &DiskHandle) -> DiskId {
        match self.is_second {
            true => second_view_of(disk.id),
            false => disk.id,
        }
    }
}

impl SimViews {
    /// Flips a bit in every record of the view on a disk, as if it had rotted. Nobody may have it
    /// open.
    pub fn spoil(&self, disk: DiskId) {
        let mut views = self.views.lock().expect("no holder panics");
        let applied = views.entry(disk).or_default();
        for stored in Arc::make_mut(&mut applied.records).values_mut() {
            let mut bytes = stored.to_vec();
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            *stored = Bytes::from(bytes);
        }
    }

    /// Removes one record of the view on a disk: damage that no checksum of a record shows.
    pub fn lose_record(&self, disk: DiskId, key: &[u8]) {
        let mut views = self.views.lock().expect("no holder panics");
        let applied = views.entry(disk).or_default();
        Arc::make_mut(&mut applied.records).remove(key);
    }

    /// The number of the last batch in the view on a disk.
    #[must_use]
    pub fn mark_of(&self, disk: DiskId) -> Option<u64> {
        let views = self.views.lock().expect("no holder panics");
        Some(views.get(&disk)?.mark?.number)
    }

    /// The views as they are now, over another world; its trace begins with them.
    #[must_use]
    pub fn carried_to(&self, world: &SimWorld) -> Self {
        let views = self.views.lock().expect("no holder panics").clone();
        let mut in_order: Vec<_> = views.iter().collect();
        in_order.sort_by_key(|(disk, _)| **disk);
        for (disk, applied) in in_order {
            let (disk, applied) = (*disk, applied.clone());
            world.mark(ViewEvent {
                disk,
                applied,
                is_durable: true,
            });
        }
        Self {
            world: world.clone(),
            views: Arc::new(Mutex::new(views)),
            is_second: false,
        }
    }
}

impl ViewFactory for SimViews {
    fn open(&self, disk: &DiskHandle) -> Result<Box<dyn IndexView>, ViewError> {
        Ok(Box::new(SimView {
            disk: self.name(disk),
            world: self.world.clone(),
            views: Arc::clone(&self.views),
        }))
    }

    fn discard(&self, disk: &DiskHandle) -> Result<(), ViewError> {
        self.views
            .lock()
            .expect("no holder panics")
            .remove(&self.name(disk));
        self.world.mark(ViewEvent {
            disk: self.name(disk),
            applied: Applied::default(),
            is_durable: false,
        });
        Ok(())
    }

    fn begin_anew(&self, disk: &DiskHandle) -> Result<Box<dyn IndexView>, ViewError> {
        Ok(Box::new(SimCopy {
            view: SimView {
                disk: self.name(disk),
                world: self.world.clone(),
                views: Arc::clone(&self.views),
            },
            records: Mutex::default(),
        }))
    }

    fn second(&self) -> Option<Arc<dyn ViewFactory>> {
        Some(Arc::new(Self {
            world: self.world.clone(),
            views: Arc::clone(&self.views),
            is_second: true,
        }))
    }
}

/// A view that is being copied: the disk's view once it has a mark.
struct SimCopy {
    view: SimView,
    records: Mutex<Arc<Records>>,
}

impl IndexView for SimCopy {
    fn mark(&self) -> Result<Option<Mark>, ViewError> {
        Err(ViewError("it is asked of the view that is opened".into()))
    }

    fn apply(&self, changes: &[ViewChange], mark: Mark) -> Result<(), ViewError> {
        self.fill(changes)?;
        let records = Arc::clone(&self.records.lock().expect("no holder panics"));
        let mut views = self.view.views.lock().expect("no holder panics");
        let applied = views.entry(self.view.disk).or_default();
        applied.records = records;
        applied.mark = Some(mark);
        let applied = applied.clone();
        self.view.tell(applied, false);
        Ok(())
    }

    fn fill(&self, changes: &[ViewChange]) -> Result<(), ViewError> {
        let mut records = self.records.lock().expect("no holder panics");
        change(Arc::make_mut(&mut records), changes);
        Ok(())
    }

    fn persist(&self) -> Result<(), ViewError> {
        // Before it has a mark a crash leaves what it replaces.
        let applied = self.view.applied();
        let records = self.records.lock().expect("no holder panics");
        if Arc::ptr_eq(&applied.records, &records) {
            self.view.tell(applied, true);
        }
        Ok(())
    }

    fn snapshot(&self) -> Box<dyn ViewSnapshot> {
        let records = self.records.lock().expect("no holder panics");
        Box::new(SimSnapshot(Arc::clone(&records), None))
    }
}

fn change(records: &mut Records, changes: &[ViewChange]) {
    for change in changes {
        match &change.value {
            Some(value) => records.insert(change.key.clone(), value.clone()),
            None => records.remove(&change.key),
        };
    }
}

struct SimView {
    disk: DiskId,
    world: SimWorld,
    views: Shared,
}

impl SimView {
    fn applied(&self) -> Applied {
        let views = self.views.lock().expect("no holder panics");
        views.get(&self.disk).cloned().unwrap_or_default()
    }

    fn tell(&self, applied: Applied, is_durable: bool) {
        self.world.mark(ViewEvent {
            disk: self.disk,
            applied,
            is_durable,
        });
    }
}

impl IndexView for SimView {
    fn mark(&self) -> Result<Option<Mark>, ViewError> {
        Ok(self.applied().mark)
    }

    fn apply(&self, changes: &[ViewChange], mark: Mark) -> Result<(), ViewError> {
        let mut views = self.views.lock().expect("no holder panics");
        let applied = views.entry(self.disk).or_default();
        change(Arc::make_mut(&mut applied.records), changes);
        applied.mark = Some(mark);
        let applied = applied.clone();
        self.tell(applied, false);
        Ok(())
    }

    fn persist(&self) -> Result<(), ViewError> {
        let views = self.views.lock().expect("no holder panics");
        let applied = views.get(&self.disk).cloned().unwrap_or_default();
        self.tell(applied, true);
        Ok(())
    }

    fn snapshot(&self) -> Box<dyn ViewSnapshot> {
        let applied = self.applied();
        Box::new(SimSnapshot(applied.records, applied.mark))
    }
}

struct SimSnapshot(Arc<Records>, Option<Mark>);

impl ViewSnapshot for SimSnapshot {
    fn mark(&self) -> Result<Option<Mark>, ViewError> {
        Ok(self.1)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: &mut dyn FnMut(Bytes, Bytes) -> bool,
    ) -> Result<(), ViewError> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        for (key, value) in self.0.range::<[u8], _>((start, Bound::Unbounded)) {
            if !key.starts_with(prefix) || !each(Bytes::copy_from_slice(key), value.clone()) {
                break;
            }
        }
        Ok(())
    }
}
