//! A disk as the engine sees it: a folder of files with explicit durability.
//!
//! The trait says no more than a file system promises: written bytes survive a power cut only after
//! [`DiskFile::sync`], a name only after [`Disk::sync_dir`]. The engine above relies on nothing
//! else, which is what lets a simulated disk take every liberty a real one may take.

use std::io;
use std::sync::Arc;

/// A disk shared between threads.
pub type DiskRef = Arc<dyn Disk>;
/// An open file shared between threads.
pub type FileRef = Arc<dyn DiskFile>;

/// How a file is created.
#[derive(Clone, Copy, Debug, Default)]
pub struct CreateOptions {
    /// Bypass the page cache where the file system can. Offsets, lengths and memory of reads and
    /// writes must then be multiples of [`crate::ALIGNMENT`].
    pub direct: bool,
    /// Bytes to reserve ahead of the first write; a hint. Does not change the file's length.
    pub reserve: u64,
}

/// A folder on one disk. Paths are relative, with `/` between parts, and never come from outside.
pub trait Disk: Send + Sync + 'static {
    /// The names in `dir`, unordered. An absent folder is `NotFound`.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Creates `dir` and its parents. Names are durable once each parent was synced.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Creates a file that must not exist (`AlreadyExists` otherwise).
    fn create(&self, path: &str, options: CreateOptions) -> io::Result<FileRef>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &str, direct: bool) -> io::Result<FileRef>;
    /// Atomically gives `from` the name `to`, replacing what had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Removes a folder with all it holds. Absent is fine.
    fn remove_dir_all(&self, dir: &str) -> io::Result<()>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Bytes that can still be written, and bytes in all.
    fn space(&self) -> io::Result<(u64, u64)>;
    /// The folder in the host's file system, for an embedded library that opens its own files.
    /// `None` on a simulated disk.
    fn host_path(&self) -> Option<std::path::PathBuf>;
}

/// An open file. All calls take `&self` and may run at once from several threads.
pub trait DiskFile: Send + Sync + 'static {
    /// Reads up to `out.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;
    /// Fills `out` from `offset` when that takes no wait: all of it is in the memory of the host.
    /// `false` when it is not, or nobody can tell; `out` holds anything then.
    fn read_at_once(&self, _offset: u64, _out: &mut [u8]) -> bool {
        false
    }
    /// Writes all of `data` at `offset`. Not durable before [`DiskFile::sync`].
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Makes all completed writes and the length durable. After an error the content of every
    /// write since the last good sync is unknown, and a later success means nothing: the caller
    /// must stop using the file.
    fn sync(&self) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reserves space for `[offset, offset+len)`; a hint that may do nothing.
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Gives the space of `[offset, offset+len)` back: it reads as zeros from here on, and the
    /// length stays. Not durable by itself: after a power cut it may have happened, in part or not.
    /// Offset and length are multiples of [`crate::ALIGNMENT`]. `Unsupported` where the file system
    /// makes no holes; nothing happened then.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()>;
}

/// Reads exactly `out.len()` bytes or fails with `UnexpectedEof`.
///
/// # Errors
/// What the disk says, or `UnexpectedEof`.
pub fn read_exact_at(file: &dyn DiskFile, offset: u64, out: &mut [u8]) -> io::Result<()> {
    let read = file.read_at(offset, out)?;
    if read < out.len() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("read {read} of {} bytes at {offset}", out.len()),
        ));
    }
    Ok(())
}
