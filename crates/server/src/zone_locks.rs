//! One process for a store: the folders are locked before anything else is opened.
//!
//! Locks are taken before the ports are bound, because the thread that holds a lock keeps a copy of
//! every descriptor that was open when it began (see [`DiskLock`]): a listener among them would go
//! on listening after a drain closed it.
//!
//! Absent folders are made only for a store that does not exist yet. Beside formatted disks an
//! absent folder is a disk that is not mounted, and stays as it is (hazard H5).
//!
//! Invariant
//! - At least one folder is locked. Two processes with one configuration then never both start.

use std::path::Path;

use strongroom_base::{DiskLock, LockError};

use crate::settings::Zone;

/// What a formatted disk holds.
const SUPERBLOCK: &str = "superblock";

/// Locks the folders of all zones until the answer is dropped.
///
/// # Errors
/// One sentence: a folder is in use by another process, or none can be used.
pub fn lock(zones: &[Zone]) -> Result<Vec<DiskLock>, String> {
    let folders = || zones.iter().flat_map(|zone| &zone.folders);
    let is_new = !folders().any(|folder| folder.join(SUPERBLOCK).exists());
    let mut locks = Vec::new();
    let mut failure = None;
    for folder in folders() {
        match lock_folder(folder, is_new) {
            Ok(lock) => locks.push(lock),
            Err(LockError::Held) => {
                return Err(format!(
                    "{} is in use by another process: stop it, or give this one other folders",
                    folder.display()
                ));
            }
            // A broken or absent disk is the engine's to judge, as long as another is locked.
            Err(LockError::Io(error)) => {
                let text = format!("cannot use the folder {}: {error}", folder.display());
                tracing::warn!(folder = %folder.display(), %error, "cannot lock a disk");
                failure.get_or_insert(text);
            }
        }
    }
    match failure {
        Some(failure) if is_new || locks.is_empty() => {
            Err(format!("{failure}; make it writable or name another"))
        }
        _ => Ok(locks),
    }
}

fn lock_folder(folder: &Path, create: bool) -> Result<DiskLock, LockError> {
    if create {
        std::fs::create_dir_all(folder).map_err(LockError::Io)?;
    }
    DiskLock::acquire(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(root: &Path, names: &[&str]) -> Vec<Zone> {
        let zone = |name: &&str| Zone {
            name: (*name).to_owned(),
            folders: vec![root.join(name)],
        };
        names.iter().map(zone).collect()
    }

    #[test]
    fn a_second_start_that_shares_one_folder_is_refused_by_name() {
        let root = tempfile::tempdir().unwrap();
        let first = lock(&zones(root.path(), &["a", "b"])).unwrap();
        let refusal = lock(&zones(root.path(), &["c", "b"])).err().unwrap();
        assert!(
            refusal.contains("/b is in use by another process"),
            "{refusal}"
        );
        drop(first);
        assert_eq!(lock(&zones(root.path(), &["b", "c"])).unwrap().len(), 2);
    }

    #[test]
    fn h5_an_absent_folder_beside_a_formatted_one_is_not_made() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("a")).unwrap();
        std::fs::write(root.path().join("a").join(SUPERBLOCK), b"").unwrap();
        assert_eq!(lock(&zones(root.path(), &["a", "b"])).unwrap().len(), 1);
        assert!(!root.path().join("b").exists());
    }

    #[test]
    fn a_new_store_is_refused_when_one_folder_cannot_be_made() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("b"), b"a file").unwrap();
        let refusal = lock(&zones(root.path(), &["a", "b"])).err().unwrap();
        assert!(refusal.contains("cannot use the folder"), "{refusal}");
    }
}
