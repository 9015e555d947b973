//! Numbers of files and folders, what is open, and what a refused sync takes back.
//!
//! The kernel speaks of numbers, the folder behind us of paths: this is the map between them.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use fuser::{FileAttr, FileHandle, FileType, INodeNo};

/// One write since the last sync: how long the file was, and what stood there.
struct Undo {
    len: u64,
    offset: u64,
    bytes: Vec<u8>,
}

/// A file that is open.
pub struct Opened {
    pub node: INodeNo,
    pub file: File,
    undo: Mutex<Vec<Undo>>,
}

impl Opened {
    /// Notes what a write will replace.
    pub fn note(&self, offset: u64, len: usize) -> io::Result<()> {
        let mut bytes = vec![0; len];
        let mut have = 0;
        while have < len {
            match self
                .file
                .read_at(&mut bytes[have..], offset + have as u64)?
            {
                0 => break,
                count => have += count,
            }
        }
        bytes.truncate(have);
        let len = self.file.metadata()?.len();
        self.undo
            .lock()
            .expect("no holder panics")
            .push(Undo { len, offset, bytes });
        Ok(())
    }

    /// What was written is safe.
    pub fn synced(&self) {
        self.undo.lock().expect("no holder panics").clear();
    }

    /// Takes back what was noted, last first.
    pub fn lose(&self) -> io::Result<()> {
        let undone = std::mem::take(&mut *self.undo.lock().expect("no holder panics"));
        for undo in undone.into_iter().rev() {
            self.file.write_all_at(&undo.bytes, undo.offset)?;
            self.file.set_len(undo.len)?;
        }
        Ok(())
    }
}

/// An entry of a folder that is being listed.
#[derive(Clone)]
pub struct Entry {
    pub node: INodeNo,
    pub kind: FileType,
    pub name: OsString,
}

#[derive(Default)]
struct Table {
    paths: HashMap<u64, PathBuf>,
    numbers: HashMap<PathBuf, u64>,
    next: u64,
    files: HashMap<u64, Arc<Opened>>,
    lists: HashMap<u64, Arc<Vec<Entry>>>,
}

/// The map. Paths are relative to the folder behind us; the root is the empty one.
pub struct Nodes {
    pub root: PathBuf,
    table: Mutex<Table>,
}

impl Nodes {
    pub fn new(root: PathBuf) -> Self {
        let mut table = Table {
            next: INodeNo::ROOT.0 + 1,
            ..Table::default()
        };
        table.paths.insert(INodeNo::ROOT.0, PathBuf::new());
        table.numbers.insert(PathBuf::new(), INodeNo::ROOT.0);
        Self {
            root,
            table: Mutex::new(table),
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().expect("no holder panics")
    }

    /// The path of a number; that of a removed file is not found.
    pub fn path(&self, node: INodeNo) -> Option<PathBuf> {
        self.table().paths.get(&node.0).cloned()
    }

    pub fn child(&self, parent: INodeNo, name: &OsStr) -> Option<PathBuf> {
        Some(self.path(parent)?.join(name))
    }

    /// The number of a path, given when it is first seen.
    pub fn number(&self, path: &Path) -> INodeNo {
        let mut table = self.table();
        if let Some(number) = table.numbers.get(path) {
            return INodeNo(*number);
        }
        let number = table.next;
        table.next += 1;
        table.paths.insert(number, path.to_owned());
        table.numbers.insert(path.to_owned(), number);
        INodeNo(number)
    }

    /// A path is gone; what is open stays so.
    pub fn forget(&self, path: &Path) {
        let mut table = self.table();
        if let Some(number) = table.numbers.remove(path) {
            table.paths.remove(&number);
        }
    }

    /// A path has another name, and everything below it.
    pub fn rename(&self, from: &Path, to: &Path) {
        self.forget(to);
        let mut table = self.table();
        let moved: Vec<PathBuf> = table
            .numbers
            .keys()
            .filter(|path| path.starts_with(from))
            .cloned()
            .collect();
        for path in moved {
            let rest = path
                .strip_prefix(from)
                .expect("it was chosen by this prefix");
            let renamed = if rest.as_os_str().is_empty() {
                to.to_owned()
            } else {
                to.join(rest)
            };
            let number = table.numbers.remove(&path).expect("it was listed");
            table.paths.insert(number, renamed.clone());
            table.numbers.insert(renamed, number);
        }
    }

    pub fn open(&self, node: INodeNo, file: File) -> FileHandle {
        let mut table = self.table();
        let handle = table.next;
        table.next += 1;
        table.files.insert(
            handle,
            Arc::new(Opened {
                node,
                file,
                undo: Mutex::default(),
            }),
        );
        FileHandle(handle)
    }

    pub fn opened(&self, handle: FileHandle) -> Option<Arc<Opened>> {
        self.table().files.get(&handle.0).cloned()
    }

    /// Some open file of a number: what a removed file is still asked by.
    pub fn opened_of(&self, node: INodeNo) -> Option<Arc<Opened>> {
        self.table()
            .files
            .values()
            .find(|opened| opened.node == node)
            .cloned()
    }

    pub fn open_list(&self, entries: Vec<Entry>) -> FileHandle {
        let mut table = self.table();
        let handle = table.next;
        table.next += 1;
        table.lists.insert(handle, Arc::new(entries));
        FileHandle(handle)
    }

    pub fn list(&self, handle: FileHandle) -> Option<Arc<Vec<Entry>>> {
        self.table().lists.get(&handle.0).cloned()
    }

    pub fn close(&self, handle: FileHandle) {
        let mut table = self.table();
        table.files.remove(&handle.0);
        table.lists.remove(&handle.0);
    }
}

/// What the kernel wants to know of a file.
pub fn attributes(node: INodeNo, metadata: &Metadata) -> FileAttr {
    FileAttr {
        ino: node,
        size: metadata.len(),
        blocks: metadata.blocks(),
        atime: metadata.accessed().unwrap_or(UNIX_EPOCH),
        mtime: metadata.modified().unwrap_or(UNIX_EPOCH),
        ctime: metadata.modified().unwrap_or(UNIX_EPOCH),
        crtime: UNIX_EPOCH,
        kind: FileType::from_std(metadata.file_type()).unwrap_or(FileType::RegularFile),
        perm: u16::try_from(metadata.permissions().mode() & 0o7777).unwrap_or(0o600),
        nlink: u32::try_from(metadata.nlink()).unwrap_or(1),
        uid: metadata.uid(),
        gid: metadata.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}
