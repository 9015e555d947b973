//! Dropping what the system keeps in memory of files, so that the next read comes from the disk.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Advice, fadvise};

/// Drops the pages of every file below `folder` that the system keeps in memory and that are synced.
///
/// A read of what was written a moment ago says nothing about the disk. It is advice: a page that
/// somebody maps or has not synced stays.
///
/// # Errors
/// What the disk says.
pub fn forget_cached(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            forget_cached(&entry.path())?;
        } else if kind.is_file() {
            let file = File::open(entry.path())?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_read_the_same_after_their_pages_were_dropped() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("below")).unwrap();
        let path = folder.path().join("below/file");
        std::fs::write(&path, [7; 10_000]).unwrap();
        File::open(&path).unwrap().sync_all().unwrap();
        forget_cached(folder.path()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [7; 10_000]);
        assert!(forget_cached(&folder.path().join("absent")).is_err());
    }
}
