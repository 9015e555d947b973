//! Calls on a disk that were begun and not answered.
//!
//! A health thread looks at its disk now and then, and a look that hangs tells that the disk does. But
//! a folder may hang alone: a damaged directory, one file whose blocks lie in a bad place. The looks
//! then go well and an upload waits for its segment for ever. So every call that changes something
//! notes when it begins and when it ends, and who watches the disks sees one that lasts.
//!
//! Invariants
//! - A call is noted before the disk is asked and until it answered, whatever it answered.
//! - A disk that went out while a call hung is not settled before that call ended: what it does late
//!   it does while the disk is out (hazard H50).
//!
//! Reads are not noted: they are hedged, and a drive may spend half a minute on one bad sector whose
//! bytes other disks have. Nor is the removal of a whole folder, which may honestly take long.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use strongroom_base::sync::{Arc, Mutex};

use strongroom_base::{CreateOptions, Disk, DiskFile, DiskRef, FileRef};

/// The calls under way on one disk.
#[derive(Default)]
pub(crate) struct Calls(Mutex<UnderWay>);

#[derive(Default)]
struct UnderWay {
    /// Calls begun so far.
    begun: u64,
    numbers: BTreeSet<u64>,
    /// Calls begun when the disk went out last.
    begun_when_out: u64,
}

impl Calls {
    fn with<T>(&self, act: impl FnOnce(&mut UnderWay) -> T) -> T {
        act(&mut self.0.lock().expect("no holder panics"))
    }

    /// The number of the call that lasts longest.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.with(|calls| calls.numbers.first().copied())
    }

    pub(crate) fn went_out(&self) {
        self.with(|calls| calls.begun_when_out = calls.begun);
    }

    /// Whether every call from before the disk went out has ended.
    pub(crate) fn are_settled(&self) -> bool {
        self.with(|calls| {
            let oldest = calls.numbers.first();
            oldest.is_none_or(|oldest| *oldest >= calls.begun_when_out)
        })
    }
}

/// A call under way: until it is dropped.
struct Call<'a>(&'a Calls, u64);

impl<'a> Call<'a> {
    fn begin(calls: &'a Calls) -> Self {
        let number = calls.with(|calls| {
            let number = calls.begun;
            calls.begun += 1;
            calls.numbers.insert(number);
            number
        });
        Self(calls, number)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.with(|calls| calls.numbers.remove(&self.1));
    }
}

/// `disk`, whose calls are noted in `calls`.
pub(crate) fn noted(disk: DiskRef, calls: &Arc<Calls>) -> DiskRef {
    let calls = Arc::clone(calls);
    Arc::new(Noted { inner: disk, calls })
}

struct Noted<T> {
    inner: T,
    calls: Arc<Calls>,
}

impl<T> Noted<T> {
    fn call(&self) -> Call<'_> {
        Call::begin(&self.calls)
    }
}

impl Noted<DiskRef> {
    fn file(&self, inner: FileRef) -> FileRef {
        let calls = Arc::clone(&self.calls);
        Arc::new(Noted { inner, calls })
    }
}

impl Disk for Noted<DiskRef> {
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.inner.list(dir)
    }
    fn create_dir(&self, dir: &str) -> io::Result<()> {
        let _call = self.call();
        self.inner.create_dir(dir)
    }
    fn create(&self, path: &str, options: CreateOptions) -> io::Result<FileRef> {
        let _call = self.call();
        self.inner
            .create(path, options)
            .map(|inner| self.file(inner))
    }
    fn open(&self, path: &str, direct: bool) -> io::Result<FileRef> {
        let _call = self.call();
        self.inner.open(path, direct).map(|inner| self.file(inner))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let _call = self.call();
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        let _call = self.call();
        self.inner.remove(path)
    }
    fn remove_dir_all(&self, dir: &str) -> io::Result<()> {
        self.inner.remove_dir_all(dir)
    }
    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let _call = self.call();
        self.inner.sync_dir(dir)
    }
    fn space(&self) -> io::Result<(u64, u64)> {
        self.inner.space()
    }
    fn host_path(&self) -> Option<PathBuf> {
        self.inner.host_path()
    }
}

impl DiskFile for Noted<FileRef> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.inner.read_at(offset, out)
    }
    fn read_at_once(&self, offset: u64, out: &mut [u8]) -> bool {
        self.inner.read_at_once(offset, out)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let _call = self.call();
        self.inner.write_at(offset, data)
    }
    fn sync(&self) -> io::Result<()> {
        let _call = self.call();
        self.inner.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        let _call = self.call();
        self.inner.reserve(offset, len)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        let _call = self.call();
        self.inner.set_len(len)
    }
    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let _call = self.call();
        self.inner.punch(offset, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H50.
    #[test]
    fn a_disk_is_settled_once_the_calls_from_before_it_went_out_have_ended() {
        let calls = Calls::default();
        let ended = Call::begin(&calls);
        let hangs = Call::begin(&calls);
        assert_eq!(calls.oldest(), Some(0));
        drop(ended);
        assert_eq!(calls.oldest(), Some(1));
        calls.went_out();
        assert!(!calls.are_settled());
        let later = Call::begin(&calls);
        assert!(!calls.are_settled());
        drop(hangs);
        assert!(calls.are_settled(), "a later call is no obstacle");
        drop(later);
        assert_eq!(calls.oldest(), None);
    }
}
