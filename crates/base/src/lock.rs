//! One process per disk, also after a crash with a hung disk.
//!
//! A lock on a file is held until the last descriptor table that holds it is gone. A thread stuck
//! in the kernel on one disk keeps the table it shares alive after `kill -9`, and with it the locks
//! of every other disk. So each lock lives in a thread with a descriptor table of its own, which
//! touches nothing but the lock file.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::mpsc;

use nix::sched::{CloneFlags, unshare};

/// Why a disk could not be locked.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds it.
    Held,
    /// The file system refused.
    Io(io::Error),
}

/// Holds a disk's lock until dropped.
pub struct DiskLock {
    release: Option<mpsc::Sender<()>>,
    thread: Option<crate::tasks::JoinHandle<()>>,
}

impl DiskLock {
    /// Locks the file `lock` in `folder`, creating it.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it.
    pub fn acquire(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join("lock");
        let (release, released) = mpsc::channel::<()>();
        let (answer, answered) = mpsc::channel();
        let thread = crate::tasks::spawn_thread("disk-lock", move || {
            let file = match lock_file(&path) {
                Ok(file) => file,
                Err(error) => {
                    let _ = answer.send(Err(error));
                    return;
                }
            };
            let _ = answer.send(Ok(()));
            let _ = released.recv();
            drop(file);
        });
        match answered.recv() {
            Ok(Ok(())) => Ok(Self {
                release: Some(release),
                thread: Some(thread),
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(LockError::Io(io::Error::other("the lock thread stopped"))),
        }
    }
}

impl Drop for DiskLock {
    fn drop(&mut self) {
        self.release.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock_file(path: &Path) -> Result<std::fs::File, LockError> {
    unshare(CloneFlags::CLONE_FILES).map_err(|e| LockError::Io(e.into()))?;
    // The private table starts as a duplicate of the process's: it must not keep other files open.
    // Descriptors opened before this thread (listeners, other disks) would outlive their owners
    // only as long as this thread, which touches no disk after this function.
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(LockError::Io)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(LockError::Held),
        Err(error) => Err(LockError::Io(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_lock_on_one_disk_is_refused_until_the_first_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let first = DiskLock::acquire(folder.path()).unwrap();
        assert!(matches!(
            DiskLock::acquire(folder.path()),
            Err(LockError::Held)
        ));
        drop(first);
        assert!(DiskLock::acquire(folder.path()).is_ok());
    }
}
