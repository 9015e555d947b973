//! Index views that keep, over a power cut, what a view promises to keep: some applied prefix, or
//! nothing.
//!
//! Each application is a mark in the trace that carries the whole view, so that a crash state can
//! pick any of those before the cut for each disk on its own.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

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
}

impl SimViews {
    /// No disk has a view.
    #[must_use]
    pub fn new(world: &SimWorld) -> Self {
        Self {
            world: world.clone(),
            views: Shared::default(),
        }
    }

    /// The views a power cut after `events` may leave: for each disk, by a coin from `draw`, the
    /// newest, an older one, or none.
    #[must_use]
    pub fn after_power_cut(world: &SimWorld, events: &[Event], draw: u64) -> Self {
        let mut states: BTreeMap<DiskId, Vec<&Applied>> = BTreeMap::new();
        for event in events.iter().filter_map(Event::mark::<ViewEvent>) {
            let of_disk = states.entry(event.disk).or_default();
            if event.applied.mark.is_none() {
                of_disk.clear();
            }
            of_disk.push(&event.applied);
        }
        let mut views = HashMap::new();
        for (number, (disk, states)) in states.into_iter().enumerate() {
            let coin = mix(draw, number as u64);
            let chosen = match coin % 4 {
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
        }
    }
}

impl SimViews {
    /// The views as they are now, over another world; its trace begins with them.
    #[must_use]
    pub fn carried_to(&self, world: &SimWorld) -> Self {
        let views = self.views.lock().expect("no holder panics").clone();
        let mut in_order: Vec<_> = views.iter().collect();
        in_order.sort_by_key(|(disk, _)| **disk);
        for (disk, applied) in in_order {
            let (disk, applied) = (*disk, applied.clone());
            world.mark(ViewEvent { disk, applied });
        }
        Self {
            world: world.clone(),
            views: Arc::new(Mutex::new(views)),
        }
    }
}

impl ViewFactory for SimViews {
    fn open(&self, disk: &DiskHandle) -> Result<Box<dyn IndexView>, ViewError> {
        Ok(Box::new(SimView {
            disk: disk.id,
            world: self.world.clone(),
            views: Arc::clone(&self.views),
        }))
    }

    fn discard(&self, disk: &DiskHandle) -> Result<(), ViewError> {
        self.views
            .lock()
            .expect("no holder panics")
            .remove(&disk.id);
        let (disk, applied) = (disk.id, Applied::default());
        self.world.mark(ViewEvent { disk, applied });
        Ok(())
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
}

impl IndexView for SimView {
    fn mark(&self) -> Result<Option<Mark>, ViewError> {
        Ok(self.applied().mark)
    }

    fn apply(&self, changes: &[ViewChange], mark: Mark) -> Result<(), ViewError> {
        let mut views = self.views.lock().expect("no holder panics");
        let applied = views.entry(self.disk).or_default();
        let records = Arc::make_mut(&mut applied.records);
        for change in changes {
            match &change.value {
                Some(value) => records.insert(change.key.clone(), value.clone()),
                None => records.remove(&change.key),
            };
        }
        applied.mark = Some(mark);
        let (disk, applied) = (self.disk, applied.clone());
        self.world.mark(ViewEvent { disk, applied });
        Ok(())
    }

    fn snapshot(&self) -> Box<dyn ViewSnapshot> {
        Box::new(SimSnapshot(self.applied().records))
    }
}

struct SimSnapshot(Arc<Records>);

impl ViewSnapshot for SimSnapshot {
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
