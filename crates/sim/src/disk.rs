//! [`Disk`] and [`DiskFile`] over a [`SimWorld`].

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use strongroom_base::{ALIGNMENT, CreateOptions, Disk, DiskFile, FileRef};

use crate::fault::{FaultKind, OpKind, eio};
use crate::state::{NodeId, mix};
use crate::trace::Op;
use crate::world::SimWorld;

/// One read in so many is of what the host has not in memory.
const KEPT_OF: u64 = 4;

/// One disk of a world.
pub(crate) struct SimDisk {
    world: SimWorld,
    index: usize,
}

/// An open file. Keeps working when its name is gone, as on Linux.
struct SimFile {
    world: SimWorld,
    disk: usize,
    node: NodeId,
    /// The path it was opened with, for faults and for the trace.
    path: Arc<str>,
    is_direct: bool,
}

impl SimDisk {
    pub fn new(world: SimWorld, index: usize) -> Self {
        Self { world, index }
    }

    fn admit(&self, path: &str, op: OpKind) -> io::Result<()> {
        self.world.admit(self.index, path, op, false).map(drop)
    }

    fn file(&self, node: NodeId, path: &str, is_direct: bool) -> FileRef {
        Arc::new(SimFile {
            world: self.world.clone(),
            disk: self.index,
            node,
            path: path.into(),
            is_direct,
        })
    }
}

impl Disk for SimDisk {
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.admit(dir, OpKind::List)?;
        let mut world = self.world.lock();
        let state = world.disk(self.index);
        let node = state.resolve(dir)?;
        Ok(state.names(node)?.keys().cloned().collect())
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.admit(dir, OpKind::CreateDir)?;
        let mut world = self.world.lock();
        let mut path = String::new();
        for part in dir.split('/').filter(|part| !part.is_empty()) {
            let parent = world.disk(self.index).resolve(&path)?;
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part);
            match world.disk(self.index).child(parent, part)? {
                Some(node) if world.disk(self.index).is_dir(node) => {}
                Some(_) => return Err(io::ErrorKind::AlreadyExists.into()),
                None => {
                    let (dir, name, node) = (parent, part.to_owned(), world.issue_node());
                    world.commit(self.index, &path, Op::CreateDir { dir, name, node })?;
                }
            }
        }
        Ok(())
    }

    fn create(&self, path: &str, options: CreateOptions) -> io::Result<FileRef> {
        self.admit(path, OpKind::Create)?;
        let mut world = self.world.lock();
        let (dir, name) = world.disk(self.index).resolve_parent(path)?;
        if world.disk(self.index).child(dir, &name)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = world.issue_node();
        world.commit(self.index, path, Op::Create { dir, name, node })?;
        Ok(self.file(node, path, options.direct))
    }

    fn open(&self, path: &str, direct: bool) -> io::Result<FileRef> {
        self.admit(path, OpKind::Open)?;
        let mut world = self.world.lock();
        let node = world.disk(self.index).resolve(path)?;
        world.disk(self.index).content(node)?;
        Ok(self.file(node, path, direct))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.admit(from, OpKind::Rename)?;
        let mut world = self.world.lock();
        let state = world.disk(self.index);
        let node = state.resolve(from)?;
        let (from_place, to_place) = (state.resolve_parent(from)?, state.resolve_parent(to)?);
        if let Some(replaced) = state.child(to_place.0, &to_place.1)? {
            if replaced == node {
                return Ok(());
            }
            // Replacing a folder is allowed when it is empty and a folder takes its place.
            let is_fine = match state.names(replaced) {
                Ok(names) => names.is_empty() && state.is_dir(node),
                Err(_) => !state.is_dir(node),
            };
            if !is_fine {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
        }
        let (from_path, from, to) = (from, from_place, to_place);
        world.commit(self.index, from_path, Op::Rename { from, to, node })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.admit(path, OpKind::Remove)?;
        let mut world = self.world.lock();
        let state = world.disk(self.index);
        let node = state.resolve(path)?;
        state.content(node)?;
        let (dir, name) = state.resolve_parent(path)?;
        world.commit(self.index, path, Op::Remove { dir, name })
    }

    /// One event per name: a power cut may come between any two.
    fn remove_dir_all(&self, dir: &str) -> io::Result<()> {
        match self.admit(dir, OpKind::Remove) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        }
        let mut world = self.world.lock();
        let state = world.disk(self.index);
        if let Err(error) = state.resolve(dir) {
            let is_absent = error.kind() == io::ErrorKind::NotFound;
            return if is_absent { Ok(()) } else { Err(error) };
        }
        let (parent, name) = state.resolve_parent(dir)?;
        let mut names = Vec::new();
        state.names_below(parent, &name, &mut names);
        for (parent, name) in names {
            let path = format!("{dir} ({name})");
            world.commit(self.index, &path, Op::Remove { dir: parent, name })?;
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.admit(dir, OpKind::SyncDir)?;
        let mut world = self.world.lock();
        let node = world.disk(self.index).resolve(dir)?;
        world.disk(self.index).names(node)?;
        world.commit(self.index, dir, Op::SyncDir { dir: node })
    }

    fn space(&self) -> io::Result<(u64, u64)> {
        self.admit("", OpKind::Stat)?;
        Ok(self.world.lock().space(self.index))
    }

    fn host_path(&self) -> Option<PathBuf> {
        None
    }
}

impl SimFile {
    fn admit(&self, op: OpKind) -> io::Result<Option<FaultKind>> {
        self.world.admit(self.disk, &self.path, op, true)
    }

    /// The rules of direct I/O, which a drive enforces with EINVAL.
    fn check_alignment(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let is_aligned = offset.is_multiple_of(ALIGNMENT as u64)
            && data.len().is_multiple_of(ALIGNMENT)
            && (data.as_ptr() as usize).is_multiple_of(ALIGNMENT);
        if self.is_direct && !is_aligned {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "{}: direct I/O of {} bytes at {offset} is not aligned",
                    self.path,
                    data.len()
                ),
            ));
        }
        Ok(())
    }
}

/// A handle whose file was wiped from the disk behaves as a failing drive, not as an absent name.
fn gone(_: io::Error) -> io::Error {
    eio()
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.check_alignment(offset, out)?;
        let effect = self.admit(OpKind::Read)?;
        let (content, draw) = {
            let mut world = self.world.lock();
            world.check_power()?;
            let draw = if effect.is_some() { world.draw() } else { 0 };
            let content = world.disk(self.disk).content(self.node).map_err(gone)?;
            (Arc::clone(content), draw)
        };
        let size = content.read_at(offset, out);
        spoil(&mut out[..size], effect, draw);
        Ok(size)
    }

    /// Most of the file is in memory, as far as no fault is set: then everything is read as from the
    /// disk, where faults strike.
    fn read_at_once(&self, offset: u64, out: &mut [u8]) -> bool {
        let mut world = self.world.lock();
        let is_kept = !mix(self.node, offset).is_multiple_of(KEPT_OF);
        if !is_kept || world.has_faults() || world.check_power().is_err() {
            return false;
        }
        let Ok(content) = world.disk(self.disk).content(self.node).map(Arc::clone) else {
            return false;
        };
        drop(world);
        content.read_at(offset, out) == out.len()
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check_alignment(offset, data)?;
        let offset = match self.admit(OpKind::Write)? {
            Some(FaultKind::LostWrite) => return Ok(()),
            Some(FaultKind::Misdirected(by)) => offset + by,
            _ => offset,
        };
        let data: Arc<[u8]> = data.into();
        let mut world = self.world.lock();
        let content = world.disk(self.disk).content(self.node).map_err(gone)?;
        let (len, end) = (content.len(), offset + data.len() as u64);
        world.check_space(self.disk, len, end)?;
        let node = self.node;
        world.commit(self.disk, &self.path, Op::Write { node, offset, data })
    }

    fn sync(&self) -> io::Result<()> {
        // Covers what was complete when it began, and no more: it may take long.
        let upto = self.world.lock().next_seq();
        let effect = self.admit(OpKind::Sync)?;
        let mut world = self.world.lock();
        world.disk(self.disk).content(self.node).map_err(gone)?;
        let node = self.node;
        if effect == Some(FaultKind::TornSync) {
            world.commit(self.disk, &self.path, Op::SyncFailed { node })?;
            return Err(eio());
        }
        world.commit(self.disk, &self.path, Op::Sync { node, upto })
    }

    fn len(&self) -> io::Result<u64> {
        self.admit(OpKind::Stat)?;
        let mut world = self.world.lock();
        Ok(world
            .disk(self.disk)
            .content(self.node)
            .map_err(gone)?
            .len())
    }

    fn reserve(&self, _offset: u64, _len: u64) -> io::Result<()> {
        self.admit(OpKind::Stat).map(drop)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.admit(OpKind::SetLen)?;
        let mut world = self.world.lock();
        let content = world.disk(self.disk).content(self.node).map_err(gone)?;
        let before = content.len();
        world.check_space(self.disk, before, len)?;
        let node = self.node;
        world.commit(self.disk, &self.path, Op::SetLen { node, len })
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let unit = ALIGNMENT as u64;
        if !offset.is_multiple_of(unit) || !len.is_multiple_of(unit) || len == 0 {
            let text = format!(
                "{}: hole of {len} bytes at {offset} is not aligned",
                self.path
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.admit(OpKind::Punch)?;
        let mut world = self.world.lock();
        world.disk(self.disk).content(self.node).map_err(gone)?;
        let node = self.node;
        world.commit(self.disk, &self.path, Op::Punch { node, offset, len })
    }
}

/// Spoils what a read gives, as the fault says.
fn spoil(out: &mut [u8], effect: Option<FaultKind>, draw: u64) {
    const BLOCK_SIZE_BYTES: usize = 4096;
    if out.is_empty() {
        return;
    }
    match effect {
        Some(FaultKind::BitFlip) => {
            let at = (draw >> 3) as usize % out.len();
            out[at] ^= 1 << (draw & 7);
        }
        Some(FaultKind::Garbage) => {
            let start = draw as usize % out.len() / BLOCK_SIZE_BYTES * BLOCK_SIZE_BYTES;
            let end = (start + BLOCK_SIZE_BYTES).min(out.len());
            for (index, byte) in out[start..end].iter_mut().enumerate() {
                *byte = mix(draw, index as u64) as u8;
            }
        }
        _ => {}
    }
}
