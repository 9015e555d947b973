//! Files that hold secrets: only their owner reads them, and a crash leaves no half of one.
//!
//! The text is written and synced under another name first. What differs is what happens to a file
//! that is there already: generated credentials must not replace any, a certificate of this start
//! replaces that of the last.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Creates `path`, which must not exist, and its folder. Durable when this returns.
///
/// # Errors
/// `AlreadyExists`, or what the file system says.
pub fn create(path: &Path, text: &str) -> io::Result<()> {
    std::fs::create_dir_all(folder_of(path))?;
    let new = write_beside(path, text)?;
    // A second process that got here first keeps its file: a link does not replace.
    std::fs::hard_link(&new, path)?;
    std::fs::remove_file(&new)?;
    File::open(folder_of(path))?.sync_all()
}

/// Writes `path`, replacing what is there. Durable when this returns.
///
/// # Errors
/// What the file system says.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = write_beside(path, text)?;
    std::fs::rename(&new, path)?;
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The whole text under another name in the same folder, synced.
fn write_beside(path: &Path, text: &str) -> io::Result<PathBuf> {
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(".new");
    let new = folder_of(path).join(name);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn create_keeps_what_is_there_and_replace_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/secret");
        create(&path, "first").unwrap();
        let refused = create(&path, "second").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
        replace(&path, "third").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "third");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
