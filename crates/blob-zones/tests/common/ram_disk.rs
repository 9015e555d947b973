//! A disk in memory that keeps exactly what was synced over a power cut, and fails when told to.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use strongroom_base::{CreateOptions, Disk, DiskFile, FileRef};

#[derive(Default)]
pub struct RamDisk {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Arc<Mutex<Content>>>,
    files_durable: BTreeMap<String, Arc<Mutex<Content>>>,
    dirs: BTreeSet<String>,
    dirs_durable: BTreeSet<String>,
    faults: Faults,
    created: usize,
    reads: usize,
    writes: usize,
}

#[derive(Default, Clone)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
}

/// What goes wrong. Reads and writes mean those of segment files only.
#[derive(Default, Clone)]
pub struct Faults {
    /// Writes of segments fail after this many more.
    pub writes_good: Option<usize>,
    pub syncs_fail: bool,
    pub writes_full: bool,
    pub reads_fail: bool,
    pub reads_hang: bool,
    pub writes_hang: bool,
    pub punches_fail: bool,
    /// Every call fails as on an unmounted folder.
    pub offline: bool,
    pub space_free: Option<u64>,
    /// Reads that must not wait are answered: all is in the memory of the host.
    pub in_memory: bool,
    /// The disk is so large, and what is free on it follows from its files.
    pub space_total: Option<u64>,
}

struct RamFile {
    path: String,
    content: Arc<Mutex<Content>>,
    shared: Arc<Shared>,
}

impl RamDisk {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    pub fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.lock().faults);
        self.shared.changed.notify_all();
    }

    /// Keeps what was synced, and nothing else.
    pub fn power_cut(&self) {
        let mut state = self.lock();
        let dirs = state.dirs_durable.clone();
        let folder = |path: &str| {
            path.rsplit_once('/')
                .map_or(String::new(), |(dir, _)| dir.into())
        };
        let files = state.files_durable.iter();
        let kept =
            files.filter(|(path, _)| folder(path).is_empty() || dirs.contains(&folder(path)));
        let kept: BTreeMap<_, _> = kept
            .map(|(path, content)| {
                let durable = content.lock().unwrap().durable.clone();
                let content = Content {
                    now: durable.clone(),
                    durable,
                };
                (path.clone(), Arc::new(Mutex::new(content)))
            })
            .collect();
        state.files = kept.clone();
        state.files_durable = kept;
        state.dirs = dirs;
    }

    /// Forgets everything, as a disk replaced by a blank one.
    pub fn wipe(&self) {
        let mut state = self.lock();
        *state = State {
            faults: state.faults.clone(),
            ..State::default()
        };
    }

    /// All segment files with their bytes.
    pub fn segments(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.lock();
        let files = state
            .files
            .iter()
            .filter(|(path, _)| path.starts_with("segments/") && path.ends_with(".seg"));
        files
            .map(|(path, file)| (path.clone(), file.lock().unwrap().now.clone()))
            .collect()
    }

    /// Changes a file behind the store's back. `None` removes it.
    pub fn tamper(&self, path: &str, bytes: Option<Vec<u8>>) {
        let mut state = self.lock();
        match bytes {
            Some(bytes) => {
                let file = Arc::clone(state.files.entry(path.into()).or_default());
                *file.lock().unwrap() = Content {
                    now: bytes.clone(),
                    durable: bytes,
                };
                state.files_durable.insert(path.into(), file);
            }
            None => {
                state.files.remove(path);
                state.files_durable.remove(path);
            }
        }
    }

    /// A file whose name and bytes were not synced yet, though they are seen.
    pub fn forget_durable(&self, path: &str) {
        let mut state = self.lock();
        state.files_durable.remove(path);
        if let Some(file) = state.files.get(path) {
            file.lock().unwrap().durable.clear();
        }
    }

    /// Files created since the disk was made.
    pub fn created(&self) -> usize {
        self.lock().created
    }

    /// Reads of segments asked for since the disk was made, those that hang included.
    pub fn reads(&self) -> usize {
        self.lock().reads
    }

    /// Writes of segments asked for since the disk was made, those that hang included.
    pub fn writes(&self) -> usize {
        self.lock().writes
    }

    fn online(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.faults.offline {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(state)
    }
}

fn in_dir<'a>(path: &'a str, dir: &str) -> Option<&'a str> {
    let rest = if dir.is_empty() {
        path
    } else {
        path.strip_prefix(dir)?.strip_prefix('/')?
    };
    (!rest.contains('/')).then_some(rest)
}

impl Disk for RamDisk {
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.online()?;
        if !dir.is_empty() && !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let names = state.files.keys().chain(state.dirs.iter());
        Ok(names
            .filter_map(|path| in_dir(path, dir))
            .map(str::to_owned)
            .collect())
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        if !dir.is_empty() {
            self.online()?.dirs.insert(dir.into());
        }
        Ok(())
    }

    fn create(&self, path: &str, _: CreateOptions) -> io::Result<FileRef> {
        let mut state = self.online()?;
        if state.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.created += 1;
        let content = Arc::<Mutex<Content>>::default();
        state.files.insert(path.into(), Arc::clone(&content));
        Ok(Arc::new(RamFile {
            path: path.into(),
            content,
            shared: Arc::clone(&self.shared),
        }))
    }

    fn open(&self, path: &str, _: bool) -> io::Result<FileRef> {
        let content = self
            .online()?
            .files
            .get(path)
            .cloned()
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(RamFile {
            path: path.into(),
            content,
            shared: Arc::clone(&self.shared),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.online()?;
        let file = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.into(), file);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.online()?
            .files
            .remove(path)
            .map(drop)
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn remove_dir_all(&self, dir: &str) -> io::Result<()> {
        let mut state = self.online()?;
        state
            .files
            .retain(|path, _| !path.starts_with(&format!("{dir}/")));
        state
            .dirs
            .retain(|path| path != dir && !path.starts_with(&format!("{dir}/")));
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.online()?;
        let here: Vec<_> = state
            .files
            .iter()
            .filter(|(path, _)| in_dir(path, dir).is_some())
            .collect();
        let here: Vec<_> = here
            .into_iter()
            .map(|(path, file)| (path.clone(), file.clone()))
            .collect();
        state
            .files_durable
            .retain(|path, _| in_dir(path, dir).is_none());
        state.files_durable.extend(here);
        let dirs: Vec<String> = state
            .dirs
            .iter()
            .filter(|path| in_dir(path, dir).is_some())
            .cloned()
            .collect();
        state.dirs_durable.extend(dirs);
        Ok(())
    }

    fn space(&self) -> io::Result<(u64, u64)> {
        let state = self.online()?;
        if let Some(total) = state.faults.space_total {
            let files = state.files.values();
            let used: usize = files.map(|file| file.lock().unwrap().now.len()).sum();
            return Ok((total.saturating_sub(used as u64), total));
        }
        Ok((state.faults.space_free.unwrap_or(1 << 40), 1 << 41))
    }

    fn host_path(&self) -> Option<std::path::PathBuf> {
        None
    }
}

impl RamFile {
    fn is_segment(&self) -> bool {
        self.path.starts_with("segments/")
    }

    /// Waits while `hangs`.
    fn wait(&self, hangs: impl Fn(&Faults) -> bool) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock().unwrap();
        let segment = self.is_segment();
        self.shared
            .changed
            .wait_while(state, |state| segment && hangs(&state.faults))
            .unwrap()
    }

    fn write_fault(&self) -> io::Result<()> {
        self.shared.state.lock().unwrap().writes += usize::from(self.is_segment());
        let mut state = self.wait(|faults| faults.writes_hang);
        if !self.is_segment() {
            return Ok(());
        }
        if state.faults.writes_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match &mut state.faults.writes_good {
            Some(0) => Err(io::Error::other("medium error")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl DiskFile for RamFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.shared.state.lock().unwrap().reads += usize::from(self.is_segment());
        let state = self.wait(|faults| faults.reads_hang);
        if (state.faults.reads_fail && self.is_segment()) || state.faults.offline {
            return Err(io::Error::other("medium error"));
        }
        drop(state);
        let content = self.content.lock().unwrap();
        let offset = (offset as usize).min(content.now.len());
        let size = out.len().min(content.now.len() - offset);
        out[..size].copy_from_slice(&content.now[offset..offset + size]);
        Ok(size)
    }

    fn read_at_once(&self, offset: u64, out: &mut [u8]) -> bool {
        if !self.shared.state.lock().unwrap().faults.in_memory {
            return false;
        }
        let content = self.content.lock().unwrap();
        let range = offset as usize..offset as usize + out.len();
        let found = content.now.get(range);
        found.map(|bytes| out.copy_from_slice(bytes)).is_some()
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write_fault()?;
        let mut content = self.content.lock().unwrap();
        let end = offset as usize + data.len();
        if content.now.len() < end {
            content.now.resize(end, 0);
        }
        content.now[offset as usize..end].copy_from_slice(data);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let state = self.wait(|faults| faults.writes_hang);
        if state.faults.syncs_fail && self.is_segment() {
            // What was not synced is gone, and the next sync says that all is well.
            let mut content = self.content.lock().unwrap();
            content.now = content.durable.clone();
            return Err(io::Error::other("medium error"));
        }
        drop(state);
        let mut content = self.content.lock().unwrap();
        content.durable = content.now.clone();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().now.len() as u64)
    }

    fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.content.lock().unwrap().now.resize(len as usize, 0);
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let state = self.wait(|faults| faults.writes_hang);
        if state.faults.punches_fail && self.is_segment() {
            return Err(io::Error::other("medium error"));
        }
        drop(state);
        let mut content = self.content.lock().unwrap();
        let end = content.now.len().min((offset + len) as usize);
        if let Some(hole) = content.now.get_mut(offset as usize..end) {
            hole.fill(0);
        }
        Ok(())
    }
}
