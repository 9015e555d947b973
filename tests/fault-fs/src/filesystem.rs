//! The calls of the kernel: each meets the rules, then does what it was asked in the folder behind.
//!
//! Nothing is cached: files are opened for direct I/O and attributes are valid for no time, so that
//! every call of the program under test comes through here. A call that waits does so in a thread of
//! its own; the others go on.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::{FallocateFlags, OFlags};

use crate::nodes::{Entry, Nodes, Opened, attributes};
use crate::rules::{Fault, Operation, Rules};

/// Nothing the kernel was told stays valid.
const TTL: Duration = Duration::ZERO;

/// An answer that may be an error.
trait Answer: Send + 'static {
    fn fail(self, errno: Errno);
}

macro_rules! answers {
    ($($name:ident)*) => {
        $(impl Answer for $name {
            fn fail(self, errno: Errno) {
                self.error(errno);
            }
        })*
    };
}
answers!(ReplyAttr ReplyCreate ReplyData ReplyDirectory ReplyEmpty ReplyEntry ReplyOpen ReplyStatfs ReplyWrite);

/// The file system.
pub struct FaultFs {
    nodes: Arc<Nodes>,
    rules: Arc<Rules>,
}

impl FaultFs {
    pub fn new(root: PathBuf, rules: Arc<Rules>) -> Self {
        Self {
            nodes: Arc::new(Nodes::new(root)),
            rules,
        }
    }

    /// Lets a call meet the rules and does it, now or later. `work` gets the path behind and a fault
    /// that changes what is done; what it returns is given to `answer`.
    #[allow(clippy::disallowed_methods)] // no simulation runs this program
    fn call<R: Answer, T>(
        &self,
        operation: Operation,
        path: Option<PathBuf>,
        reply: R,
        work: impl FnOnce(&Nodes, &Path, Option<Fault>) -> io::Result<T> + Send + 'static,
        answer: impl FnOnce(R, T) + Send + 'static,
    ) {
        let Some(path) = path else {
            return reply.fail(Errno::ENOENT);
        };
        let met = self.rules.meet(operation, &path.to_string_lossy());
        let (nodes, rules) = (Arc::clone(&self.nodes), Arc::clone(&self.rules));
        let later = match met {
            Some((_, Fault::Error(errno))) => return reply.fail(Errno::from_i32(errno)),
            Some((_, Fault::Hang | Fault::Slow(_))) => true,
            _ => false,
        };
        let run = move || {
            let fault = match met {
                Some((number, Fault::Hang)) => {
                    rules.wait_gone(number);
                    None
                }
                Some((_, Fault::Slow(delay))) => {
                    std::thread::sleep(delay);
                    None
                }
                Some((_, fault)) => Some(fault),
                None => None,
            };
            match work(&nodes, &path, fault) {
                Ok(done) => answer(reply, done),
                Err(error) => reply.fail(Errno::from(error)),
            }
        };
        if later {
            std::thread::spawn(run);
        } else {
            run();
        }
    }

    /// The path that rules are asked about for an open file: a removed one has its own word.
    fn path_of(&self, handle: FileHandle) -> Option<PathBuf> {
        let opened = self.nodes.opened(handle)?;
        Some(
            self.nodes
                .path(opened.node)
                .unwrap_or_else(|| PathBuf::from("(removed)")),
        )
    }
}

fn opened(nodes: &Nodes, handle: FileHandle) -> io::Result<Arc<Opened>> {
    nodes
        .opened(handle)
        .ok_or_else(|| io::Error::from(rustix::io::Errno::BADF))
}

/// Up to `size` bytes, bent as the fault says.
fn read(file: &File, offset: u64, size: usize, fault: Option<Fault>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![
        0;
        if fault == Some(Fault::Short) {
            size / 2
        } else {
            size
        }
    ];
    let mut have = 0;
    while have < bytes.len() {
        match file.read_at(&mut bytes[have..], offset + have as u64)? {
            0 => break,
            count => have += count,
        }
    }
    bytes.truncate(have);
    if fault == Some(Fault::Flip)
        && let Some(byte) = bytes.get_mut(have / 2)
    {
        *byte ^= 0x10;
    }
    Ok(bytes)
}

fn list(nodes: &Nodes, path: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(nodes.root.join(path))? {
        let entry = entry?;
        let kind = FileType::from_std(entry.file_type()?).unwrap_or(FileType::RegularFile);
        let node = nodes.number(&path.join(entry.file_name()));
        entries.push(Entry {
            node,
            kind,
            name: entry.file_name(),
        });
    }
    Ok(entries)
}

impl Filesystem for FaultFs {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let path = self.nodes.child(parent, name);
        self.call(
            Operation::Stat,
            path,
            reply,
            |nodes, path, _| {
                let metadata = fs::symlink_metadata(nodes.root.join(path))?;
                Ok(attributes(nodes.number(path), &metadata))
            },
            |reply, attr| reply.entry(&TTL, &attr, Generation(0)),
        );
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        let path = self
            .nodes
            .path(ino)
            .or_else(|| Some(PathBuf::from("(removed)")));
        self.call(
            Operation::Stat,
            path,
            reply,
            move |nodes, path, _| {
                let open = fh
                    .and_then(|fh| nodes.opened(fh))
                    .or_else(|| nodes.opened_of(ino));
                let metadata = match open {
                    Some(opened) => opened.file.metadata()?,
                    None => fs::symlink_metadata(nodes.root.join(path))?,
                };
                Ok(attributes(ino, &metadata))
            },
            |reply, attr| reply.attr(&TTL, &attr),
        );
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let path = self.nodes.path(ino);
        self.call(
            Operation::Write,
            path,
            reply,
            move |nodes, path, _| {
                let behind = nodes.root.join(path);
                if let Some(size) = size {
                    match fh.and_then(|fh| nodes.opened(fh)) {
                        Some(opened) => opened.file.set_len(size)?,
                        None => OpenOptions::new()
                            .write(true)
                            .open(&behind)?
                            .set_len(size)?,
                    }
                }
                if let Some(mode) = mode {
                    fs::set_permissions(&behind, Permissions::from_mode(mode))?;
                }
                Ok(attributes(ino, &fs::symlink_metadata(&behind)?))
            },
            |reply, attr| reply.attr(&TTL, &attr),
        );
    }

    fn mkdir(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let path = self.nodes.child(parent, name);
        self.call(
            Operation::Create,
            path,
            reply,
            move |nodes, path, _| {
                let behind = nodes.root.join(path);
                DirBuilder::new().mode(mode & !umask).create(&behind)?;
                Ok(attributes(
                    nodes.number(path),
                    &fs::symlink_metadata(&behind)?,
                ))
            },
            |reply, attr| reply.entry(&TTL, &attr, Generation(0)),
        );
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let path = self.nodes.child(parent, name);
        self.call(
            Operation::Remove,
            path,
            reply,
            |nodes, path, _| {
                fs::remove_file(nodes.root.join(path))?;
                nodes.forget(path);
                Ok(())
            },
            |reply, ()| reply.ok(),
        );
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let path = self.nodes.child(parent, name);
        self.call(
            Operation::Remove,
            path,
            reply,
            |nodes, path, _| {
                fs::remove_dir(nodes.root.join(path))?;
                nodes.forget(path);
                Ok(())
            },
            |reply, ()| reply.ok(),
        );
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        // What exchanges two names or refuses to replace one is not offered, and says so.
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let Some(to) = self.nodes.child(newparent, newname) else {
            return reply.error(Errno::ENOENT);
        };
        let path = self.nodes.child(parent, name);
        self.call(
            Operation::Rename,
            path,
            reply,
            move |nodes, path, _| {
                fs::rename(nodes.root.join(path), nodes.root.join(&to))?;
                nodes.rename(path, &to);
                Ok(())
            },
            |reply, ()| reply.ok(),
        );
    }

    fn open(&self, _req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let truncate = flags.0.cast_unsigned() & OFlags::TRUNC.bits() != 0;
        let path = self.nodes.path(ino);
        self.call(
            Operation::Open,
            path,
            reply,
            move |nodes, path, _| {
                let mut options = OpenOptions::new();
                let file = options
                    .read(true)
                    .write(true)
                    .truncate(truncate)
                    .open(nodes.root.join(path))?;
                Ok(nodes.open(ino, file))
            },
            |reply, handle| reply.opened(handle, FopenFlags::FOPEN_DIRECT_IO),
        );
    }

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let flags = OFlags::from_bits_retain(flags.cast_unsigned());
        let path = self.nodes.child(parent, name);
        self.call(
            Operation::Create,
            path,
            reply,
            move |nodes, path, _| {
                let mut options = OpenOptions::new();
                options
                    .read(true)
                    .write(true)
                    .mode(mode & !umask)
                    .create(true);
                options
                    .create_new(flags.contains(OFlags::EXCL))
                    .truncate(flags.contains(OFlags::TRUNC));
                let file = options.open(nodes.root.join(path))?;
                let node = nodes.number(path);
                let attr = attributes(node, &file.metadata()?);
                Ok((attr, nodes.open(node, file)))
            },
            |reply, (attr, handle)| {
                reply.created(
                    &TTL,
                    &attr,
                    Generation(0),
                    handle,
                    FopenFlags::FOPEN_DIRECT_IO,
                )
            },
        );
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let path = self.path_of(fh);
        self.call(
            Operation::Read,
            path,
            reply,
            move |nodes, _, fault| read(&opened(nodes, fh)?.file, offset, size as usize, fault),
            |reply, bytes| reply.data(&bytes),
        );
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let path = self.path_of(fh);
        let loses = path
            .as_ref()
            .is_some_and(|path| self.rules.loses(&path.to_string_lossy()));
        let data = data.to_vec();
        self.call(
            Operation::Write,
            path,
            reply,
            move |nodes, _, fault| {
                let opened = opened(nodes, fh)?;
                if loses {
                    opened.note(offset, data.len())?;
                }
                if fault != Some(Fault::Drop) {
                    opened.file.write_all_at(&data, offset)?;
                }
                Ok(u32::try_from(data.len()).expect("the kernel writes less at once"))
            },
            |reply, count| reply.written(count),
        );
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.nodes.close(fh);
        reply.ok();
    }

    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        let path = self.path_of(fh);
        self.call(
            Operation::Sync,
            path,
            reply,
            move |nodes, _, fault| {
                let opened = opened(nodes, fh)?;
                if fault == Some(Fault::Lose) {
                    opened.lose()?;
                    return Err(rustix::io::Errno::IO.into());
                }
                opened.synced();
                if datasync {
                    opened.file.sync_data()
                } else {
                    opened.file.sync_all()
                }
            },
            |reply, ()| reply.ok(),
        );
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let path = self.nodes.path(ino);
        self.call(
            Operation::List,
            path,
            reply,
            |nodes, path, _| Ok(nodes.open_list(list(nodes, path)?)),
            |reply, handle| reply.opened(handle, FopenFlags::empty()),
        );
    }

    fn readdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Some(entries) = self.nodes.list(fh) else {
            return reply.error(Errno::EBADF);
        };
        let first = usize::try_from(offset).unwrap_or(usize::MAX);
        for (index, entry) in entries.iter().enumerate().skip(first) {
            if reply.add(entry.node, index as u64 + 1, entry.kind, &entry.name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.nodes.close(fh);
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let path = self.nodes.path(ino);
        self.call(
            Operation::Sync,
            path,
            reply,
            |nodes, path, _| File::open(nodes.root.join(path))?.sync_all(),
            |reply, ()| reply.ok(),
        );
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        self.call(
            Operation::Space,
            Some(PathBuf::new()),
            reply,
            |nodes, _, _| Ok(rustix::fs::statvfs(&nodes.root)?),
            |reply, stat| {
                let size = |value: u64| u32::try_from(value).unwrap_or(4096);
                reply.statfs(
                    stat.f_blocks,
                    stat.f_bfree,
                    stat.f_bavail,
                    stat.f_files,
                    stat.f_ffree,
                    size(stat.f_bsize),
                    size(stat.f_namemax),
                    size(stat.f_frsize),
                );
            },
        );
    }

    fn fallocate(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let path = self.path_of(fh);
        self.call(
            Operation::Allocate,
            path,
            reply,
            move |nodes, _, _| {
                let flags = FallocateFlags::from_bits_retain(mode.cast_unsigned());
                Ok(rustix::fs::fallocate(
                    &opened(nodes, fh)?.file,
                    flags,
                    offset,
                    length,
                )?)
            },
            |reply, ()| reply.ok(),
        );
    }
}
