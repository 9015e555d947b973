//! The view on fjall: one keyspace, so that data and mark flush together (hazard H22).
//!
//! Its journal is not synced: what is lost with it is rolled forward from the log.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use strongroom_base::DiskRef;
use strongroom_zones::{DiskHandle, DiskId};

use crate::view::{
    IndexView, MARK_KEY, Mark, ViewChange, ViewError, ViewFactory, ViewSnapshot, decode_mark,
    encode_mark,
};

/// The folder of the view on a disk, and of a second one.
const VIEW_DIR: &str = "view";
const SECOND_VIEW_DIR: &str = "view-second";
/// Bytes of a view in memory before they are flushed. What is not flushed is applied from the journal when
/// the view is opened, about a second for this much: a start takes that long for each view.
const MEMTABLE_SIZE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Threads that flush and compact, per view: a view in the background must not starve clients.
const WORKER_THREADS: usize = 1;

/// Opens fjall views in a folder of a disk: `view`, or `view-second` for a member's second one.
///
/// Each view made anew gets a folder of its own, numbered: the one it replaces may still be open in
/// this process and must not find its files under the old names.
pub struct FjallViews {
    cache_size_bytes: u64,
    /// The folder of these views on a disk.
    folder: &'static str,
    /// The number the next view of a disk gets, where one was discarded by this process.
    next: Mutex<HashMap<DiskId, u64>>,
}

impl FjallViews {
    /// `cache_size_bytes` is the block cache of one view.
    #[must_use]
    pub fn new(cache_size_bytes: u64) -> Self {
        Self {
            cache_size_bytes,
            folder: VIEW_DIR,
            next: Mutex::default(),
        }
    }

    /// The numbers of the views on a disk.
    fn numbers(&self, disk: &DiskHandle) -> Vec<u64> {
        let list = |disk: &DiskRef| disk.list(self.folder).ok();
        let names = disk.disk.as_ref().and_then(list);
        names
            .unwrap_or_default()
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect()
    }

    /// The least number a view of `disk` may have.
    fn least(&self, disk: &DiskHandle) -> u64 {
        let next = self.next.lock().expect("no holder panics");
        next.get(&disk.id).copied().unwrap_or(1)
    }

    fn disk_of(disk: &DiskHandle) -> Result<&DiskRef, ViewError> {
        let none = || ViewError("no folder".into());
        disk.disk.as_ref().ok_or_else(none)
    }

    fn open_number(&self, disk: &DiskHandle, number: u64) -> Result<FjallView, ViewError> {
        let disk = Arc::clone(Self::disk_of(disk)?);
        let root = disk.host_path();
        let root = root.ok_or_else(|| ViewError("no folder".into()))?;
        let (dir, cache) = (self.folder, self.cache_size_bytes);
        let folder = root.join(dir).join(number.to_string());
        // A damaged folder must not be able to take the process down.
        let opened =
            std::panic::catch_unwind(AssertUnwindSafe(move || open(disk, dir, &folder, cache)));
        opened.map_err(|_| ViewError("opening it panicked".into()))?
    }

    /// Removes the views with these numbers, none of which is open.
    fn remove(&self, disk: &DiskHandle, numbers: &[u64]) -> Result<(), ViewError> {
        let disk = Self::disk_of(disk)?;
        let failed = |error: std::io::Error| ViewError(error.to_string());
        for number in numbers {
            let folder = format!("{}/{number}", self.folder);
            disk.remove_dir_all(&folder).map_err(failed)?;
        }
        disk.sync_dir(self.folder).map_err(failed)
    }
}

impl ViewFactory for FjallViews {
    fn open(&self, disk: &DiskHandle) -> Result<Box<dyn IndexView>, ViewError> {
        let least = self.least(disk);
        let mut numbers = self.numbers(disk);
        numbers.retain(|number| *number >= least);
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        let (mut empty, mut half_made, mut failed) = (None, Vec::new(), None);
        for number in numbers {
            let opened = self.open_number(disk, number).and_then(|view| {
                let mark = view.mark()?;
                Ok((view, mark))
            });
            match opened {
                Ok((view, Some(_))) => {
                    // Copies that were not finished.
                    drop(empty);
                    self.remove(disk, &half_made)?;
                    return Ok(Box::new(view));
                }
                Ok((view, None)) => {
                    half_made.push(number);
                    empty.get_or_insert(view);
                }
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        match (failed, empty) {
            (Some(error), _) => Err(error),
            (None, Some(view)) => Ok(Box::new(view)),
            (None, None) => Ok(Box::new(self.open_number(disk, least)?)),
        }
    }

    fn discard(&self, disk: &DiskHandle) -> Result<(), ViewError> {
        // Whoever still has the old one open must not find its files under the old names.
        let next = self.numbers(disk).into_iter().max().unwrap_or(0) + 1;
        let mut numbers = self.next.lock().expect("no holder panics");
        let known = numbers.entry(disk.id).or_default();
        *known = next.max(*known);
        drop(numbers);
        let removed = disk
            .disk
            .as_ref()
            .map_or(Ok(()), |disk| disk.remove_dir_all(self.folder));
        removed.map_err(|error| ViewError(error.to_string()))
    }

    fn begin_anew(&self, disk: &DiskHandle) -> Result<Box<dyn IndexView>, ViewError> {
        let newest = self.numbers(disk).into_iter().max().unwrap_or(0);
        let number = self.least(disk).max(newest + 1);
        Ok(Box::new(self.open_number(disk, number)?))
    }

    fn settle(&self, disk: &DiskHandle) -> Result<(), ViewError> {
        let mut numbers = self.numbers(disk);
        numbers.sort_unstable();
        let newest = numbers.pop();
        let newest = newest.ok_or_else(|| ViewError("the copy is gone".into()))?;
        // Whoever closes an old one late must not bring it back.
        let mut next = self.next.lock().expect("no holder panics");
        next.insert(disk.id, newest);
        drop(next);
        self.remove(disk, &numbers)
    }

    fn second(&self) -> Option<Arc<dyn ViewFactory>> {
        Some(Arc::new(Self {
            folder: SECOND_VIEW_DIR,
            ..Self::new(self.cache_size_bytes)
        }))
    }

    fn forget_cached(&self, disk: &DiskHandle) -> Result<(), ViewError> {
        let root = Self::disk_of(disk)?.host_path();
        let forgotten = root.map_or(Ok(()), |root| {
            strongroom_base::forget_cached(&root.join(self.folder))
        });
        forgotten.map_err(|error| ViewError(error.to_string()))
    }
}

fn open(
    disk: DiskRef,
    dir: &'static str,
    folder: &Path,
    cache_size_bytes: u64,
) -> Result<FjallView, ViewError> {
    std::fs::create_dir_all(folder).map_err(|error| ViewError(error.to_string()))?;
    let database = Database::builder(folder)
        .cache_size(cache_size_bytes)
        .worker_threads(WORKER_THREADS)
        .open()
        .map_err(failed)?;
    let keyspace = database
        .keyspace("view", || {
            KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_SIZE_BYTES_MAX)
        })
        .map_err(failed)?;
    Ok(FjallView {
        disk,
        dir,
        database,
        keyspace,
    })
}

#[allow(clippy::needless_pass_by_value)]
fn failed(error: fjall::Error) -> ViewError {
    ViewError(error.to_string())
}

struct FjallView {
    disk: DiskRef,
    /// The folder that holds its own.
    dir: &'static str,
    database: Database,
    keyspace: Keyspace,
}

impl FjallView {
    fn write(&self, changes: &[ViewChange], mark: Option<Mark>) -> Result<(), ViewError> {
        let mut batch = self.database.batch();
        for change in changes {
            match &change.value {
                Some(value) => batch.insert(&self.keyspace, change.key.as_slice(), &value[..]),
                None => batch.remove(&self.keyspace, change.key.as_slice()),
            }
        }
        if let Some(mark) = mark {
            batch.insert(&self.keyspace, MARK_KEY, encode_mark(mark));
        }
        batch.commit().map_err(failed)
    }
}

impl IndexView for FjallView {
    fn mark(&self) -> Result<Option<Mark>, ViewError> {
        let stored = self.keyspace.get(MARK_KEY).map_err(failed)?;
        let damaged = || ViewError("its mark does not decode".into());
        stored
            .map(|bytes| decode_mark(&bytes).ok_or_else(damaged))
            .transpose()
    }

    fn apply(&self, changes: &[ViewChange], mark: Mark) -> Result<(), ViewError> {
        self.write(changes, Some(mark))
    }

    fn fill(&self, changes: &[ViewChange]) -> Result<(), ViewError> {
        self.write(changes, None)
    }

    fn persist(&self) -> Result<(), ViewError> {
        self.database
            .persist(PersistMode::SyncAll)
            .map_err(failed)?;
        // The library syncs what is in its folder; the names of the folder and of the one above
        // are ours.
        for dir in [self.dir, ""] {
            let synced = self.disk.sync_dir(dir);
            synced.map_err(|error| ViewError(error.to_string()))?;
        }
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        // Not the journals: they are reserved ahead.
        self.keyspace.disk_space()
    }

    fn snapshot(&self) -> Box<dyn ViewSnapshot> {
        Box::new(FjallSnapshot {
            snapshot: self.database.snapshot(),
            keyspace: self.keyspace.clone(),
        })
    }
}

struct FjallSnapshot {
    snapshot: Snapshot,
    keyspace: Keyspace,
}

impl ViewSnapshot for FjallSnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        let stored = self.snapshot.get(&self.keyspace, key).map_err(failed)?;
        Ok(stored.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: &mut dyn FnMut(Bytes, Bytes) -> bool,
    ) -> Result<(), ViewError> {
        use std::ops::Bound;
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.to_vec()),
            _ => Bound::Included(prefix.to_vec()),
        };
        let range = (start, Bound::<Vec<u8>>::Unbounded);
        for guard in self.snapshot.range(&self.keyspace, range) {
            let (key, value) = guard.into_inner().map_err(failed)?;
            let inside = key.starts_with(prefix);
            if !inside || !each(Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)) {
                break;
            }
        }
        Ok(())
    }
}
