//! A folder of the host's file system as a [`Disk`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::buffer::ALIGNMENT;
use crate::disk::{CreateOptions, Disk, DiskFile, FileRef};

/// A folder on a real disk.
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// The folder need not exist yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, relative: &str) -> PathBuf {
        debug_assert!(!relative.starts_with('/') && !relative.contains(".."));
        if relative.is_empty() {
            self.root.clone()
        } else {
            self.root.join(relative)
        }
    }
}

struct RealFile {
    file: File,
    direct: bool,
}

/// Opens with direct I/O where the file system offers it (tmpfs, for one, does not).
fn open_file(path: &Path, create: bool, direct: bool) -> io::Result<RealFile> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(create);
    if direct {
        let flag = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).expect("a small flag");
        match options.clone().custom_flags(flag).open(path) {
            Ok(file) => return Ok(RealFile { file, direct: true }),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                // Some file systems create the name before they refuse the flag.
                if create && path.exists() {
                    std::fs::remove_file(path)?;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(RealFile {
        file: options.open(path)?,
        direct: false,
    })
}

impl Disk for RealDisk {
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.path(dir))? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        std::fs::create_dir_all(self.path(dir))
    }

    fn create(&self, path: &str, options: CreateOptions) -> io::Result<FileRef> {
        let file = open_file(&self.path(path), true, options.direct)?;
        if options.reserve > 0 {
            file.reserve(0, options.reserve)?;
        }
        Ok(Arc::new(file))
    }

    fn open(&self, path: &str, direct: bool) -> io::Result<FileRef> {
        Ok(Arc::new(open_file(&self.path(path), false, direct)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(path))
    }

    fn remove_dir_all(&self, dir: &str) -> io::Result<()> {
        match std::fs::remove_dir_all(self.path(dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.path(dir))?.sync_all()
    }

    fn space(&self) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok((stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize))
    }

    fn host_path(&self) -> Option<PathBuf> {
        Some(self.root.clone())
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        debug_assert!(!self.direct || is_aligned(offset, out));
        let mut done = 0;
        while done < out.len() {
            match self.file.read_at(&mut out[done..], offset + done as u64) {
                Ok(0) => break,
                // A direct read of the last, partly filled block ends off the alignment.
                Ok(n) if self.direct && !n.is_multiple_of(ALIGNMENT) => return Ok(done + n),
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn read_at_once(&self, offset: u64, out: &mut [u8]) -> bool {
        if self.direct {
            return false;
        }
        let mut done = 0;
        while done < out.len() {
            let rest = &mut [io::IoSliceMut::new(&mut out[done..])];
            let at = offset + done as u64;
            // What is not in the page cache, and file systems that do not know, answer an error.
            match rustix::io::preadv2(&self.file, rest, at, rustix::io::ReadWriteFlags::NOWAIT) {
                Ok(0) => return false,
                Ok(n) => done += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        debug_assert!(!self.direct || is_aligned(offset, data));
        self.file.write_all_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(
            &self.file,
            rustix::fs::FallocateFlags::KEEP_SIZE,
            offset,
            len,
        ) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.file, flags, offset, len) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            other => Ok(other?),
        }
    }
}

fn is_aligned(offset: u64, data: &[u8]) -> bool {
    offset.is_multiple_of(ALIGNMENT as u64)
        && data.len().is_multiple_of(ALIGNMENT)
        && (data.as_ptr() as usize).is_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AlignedBuf;

    #[test]
    fn direct_files_write_and_read_back_aligned_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(folder.path());
        disk.create_dir("a/b").unwrap();
        let options = CreateOptions {
            direct: true,
            reserve: 1 << 20,
        };
        let file = disk.create("a/b/f", options).unwrap();
        let mut data = AlignedBuf::zeroed(8192);
        data[5000] = 7;
        file.write_at(4096, &data).unwrap();
        file.sync().unwrap();
        disk.sync_dir("a/b").unwrap();
        assert_eq!(file.len().unwrap(), 12288);
        let mut back = AlignedBuf::zeroed(16384);
        assert_eq!(file.read_at(4096, &mut back).unwrap(), 8192);
        assert_eq!(back[5000], 7);
        assert!(disk.create("a/b/f", options).is_err());
    }

    #[test]
    fn what_is_in_memory_is_read_at_once_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(folder.path());
        let file = disk.create("f", CreateOptions::default()).unwrap();
        file.write_at(0, &[7; 10_000]).unwrap();
        let mut back = [0; 5000];
        if !file.read_at_once(4000, &mut back) {
            println!("skipped: the file system of the temporary folder can not tell");
            return;
        }
        assert_eq!(back, [7; 5000]);
        assert!(!file.read_at_once(6000, &mut back), "it ends before");
    }

    #[test]
    fn a_punched_range_reads_as_zeros_keeps_the_length_and_gives_its_space_back() {
        use std::os::unix::fs::MetadataExt;
        const MIB: u64 = 1 << 20;
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(folder.path());
        let file = disk.create("f", CreateOptions::default()).unwrap();
        file.write_at(0, &vec![7; 3 << 20]).unwrap();
        file.sync().unwrap();
        let blocks = || std::fs::metadata(folder.path().join("f")).unwrap().blocks();
        let before = blocks();
        match file.punch(MIB, MIB) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                println!("skipped: the file system of the temporary folder makes no holes");
                return;
            }
            other => other.unwrap(),
        }
        file.sync().unwrap();
        assert!(blocks() < before, "{} blocks of {before}", blocks());
        assert_eq!(file.len().unwrap(), 3 * MIB);
        let mut back = vec![1; 3 << 20];
        assert_eq!(file.read_at(0, &mut back).unwrap(), 3 << 20);
        let expected = [7, 0, 7].map(|byte| vec![byte; 1 << 20]).concat();
        assert!(back == expected);
        // Again, and past the end: nothing changes.
        file.punch(MIB, MIB).unwrap();
        file.punch(4 * MIB, MIB).unwrap();
        assert_eq!(file.len().unwrap(), 3 * MIB);
    }
}
