//! A view in memory, for simulated disks: exactly the contract after a crash, "some applied
//! prefix, or gone", here always gone. The store itself never uses it.

use std::collections::BTreeMap;
use std::ops::Bound;
use strongroom_base::sync::{Arc, Mutex};

use bytes::Bytes;
use strongroom_zones::DiskHandle;

use crate::view::{IndexView, Mark, ViewChange, ViewError, ViewFactory, ViewSnapshot};

type Map = BTreeMap<Vec<u8>, Bytes>;

/// Opens empty views in memory.
#[derive(Default)]
pub struct MemoryViews;

impl ViewFactory for MemoryViews {
    fn open(&self, _disk: &DiskHandle) -> Result<Box<dyn IndexView>, ViewError> {
        Ok(Box::new(MemoryView::default()))
    }

    fn discard(&self, _disk: &DiskHandle) -> Result<(), ViewError> {
        Ok(())
    }
}

#[derive(Default)]
struct MemoryView {
    state: Mutex<(Arc<Map>, Option<Mark>)>,
}

impl IndexView for MemoryView {
    fn mark(&self) -> Result<Option<Mark>, ViewError> {
        Ok(self.state.lock().expect("no holder panics").1)
    }

    fn apply(&self, changes: &[ViewChange], mark: Mark) -> Result<(), ViewError> {
        let mut state = self.state.lock().expect("no holder panics");
        let map = Arc::make_mut(&mut state.0);
        for change in changes {
            match &change.value {
                Some(value) => map.insert(change.key.clone(), value.clone()),
                None => map.remove(&change.key),
            };
        }
        state.1 = Some(mark);
        Ok(())
    }

    fn snapshot(&self) -> Box<dyn ViewSnapshot> {
        Box::new(MemorySnapshot(Arc::clone(
            &self.state.lock().expect("no holder panics").0,
        )))
    }
}

struct MemorySnapshot(Arc<Map>);

impl ViewSnapshot for MemorySnapshot {
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
