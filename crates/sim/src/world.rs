//! A set of simulated disks with one trace, one set of faults and one power supply.

use std::any::Any;
use std::fmt;
use std::io;
use std::time::Duration;
use strongroom_base::sync::{Arc, Condvar, Mutex, MutexGuard};

use strongroom_base::{DiskRef, tasks};

use crate::content::Content;
use crate::crash::CrashStates;
use crate::disk::SimDisk;
use crate::fault::{Fault, FaultId, FaultKind, OpKind, Rule, eio, no_space};
use crate::state::{DiskState, NodeId, ROOT, mix};
use crate::trace::{Event, Mark, Op, Trace};

/// Size of a disk unless [`SimWorld::set_capacity`] says otherwise: never in the way.
const CAPACITY_DEFAULT_BYTES: u64 = 1 << 44;

/// The world. Cheap to clone; clones are the same world.
#[derive(Clone)]
pub struct SimWorld {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<World>,
    /// Signalled when a fault is lifted or the power goes.
    changed: Condvar,
}

/// A disk as it was at some moment.
#[derive(Clone)]
pub struct DiskImage(DiskState);

pub(crate) struct World {
    seed: u64,
    disks: Vec<DiskState>,
    capacities: Vec<u64>,
    next_node: NodeId,
    next_seq: u64,
    /// Drawn numbers so far.
    draws: u64,
    recording: Option<Recording>,
    rules: Vec<Rule>,
    next_fault: u64,
    /// Changes still allowed before the power goes.
    changes_left: Option<u64>,
    is_off: bool,
    /// Calls that a fault holds now.
    frozen_count: usize,
}

struct Recording {
    base: Vec<DiskState>,
    events: Vec<Event>,
}

impl SimWorld {
    /// A world of blank disks, tracing from the start. Disks appear when they are first named.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let world = Self::with_disks(seed, Vec::new(), ROOT + 1);
        world.start_trace();
        world
    }

    /// A world of given disks, not tracing. `next_node` is above every node id in them.
    pub(crate) fn with_disks(seed: u64, disks: Vec<DiskState>, next_node: NodeId) -> Self {
        let state = World {
            seed,
            capacities: vec![CAPACITY_DEFAULT_BYTES; disks.len()],
            disks,
            next_node,
            next_seq: 0,
            draws: 0,
            recording: None,
            rules: Vec::new(),
            next_fault: 0,
            changes_left: None,
            is_off: false,
            frozen_count: 0,
        };
        let changed = Condvar::new();
        let state = Mutex::new(state);
        Self {
            shared: Arc::new(Shared { state, changed }),
        }
    }

    /// The seed it was made with.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.lock().seed
    }

    /// Disk `index`.
    #[must_use]
    pub fn disk(&self, index: usize) -> DiskRef {
        self.lock().disk(index);
        Arc::new(SimDisk::new(self.clone(), index))
    }

    /// Disks so far.
    #[must_use]
    pub fn disk_count(&self) -> usize {
        self.lock().disks.len()
    }

    /// Writes `value` into the trace at this moment. Without a trace it is forgotten.
    pub fn mark(&self, value: impl Any + fmt::Debug + Send + Sync) {
        let mut world = self.lock();
        if !world.is_off {
            world.record(None, "", Op::Mark(Mark::new(value)));
        }
    }

    /// Starts a new trace from the disks as they are, pending changes included.
    pub fn start_trace(&self) {
        let mut world = self.lock();
        world.recording = Some(Recording {
            base: world.disks.clone(),
            events: Vec::new(),
        });
    }

    /// Stops tracing and hands out the trace; an empty one when there was none.
    #[must_use]
    pub fn take_trace(&self) -> Trace {
        let mut world = self.lock();
        let (base, events) = match world.recording.take() {
            Some(recording) => (recording.base, recording.events),
            None => (world.disks.clone(), Vec::new()),
        };
        Trace::new(world.seed, base, world.next_node, events)
    }

    /// The states a power cut at this moment may leave.
    #[must_use]
    pub fn crash_states(&self, seed: u64) -> CrashStates {
        let world = self.lock();
        CrashStates::of_disks(world.disks.clone(), world.next_node, None, seed)
    }

    /// Cuts the power: from now on every call on every disk fails, frozen ones too. What the disks
    /// hold stays as it is, for [`SimWorld::crash_states`].
    pub fn power_off(&self) {
        self.lock().is_off = true;
        self.shared.changed.notify_all();
    }

    /// Cuts the power right after `count` more changes.
    pub fn power_off_after(&self, count: u64) {
        let mut world = self.lock();
        world.changes_left = Some(count);
        world.is_off |= count == 0;
        self.shared.changed.notify_all();
    }

    /// Whether the power is cut.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.lock().is_off
    }

    /// The same disks under a new world with power, as after `kill -9`: the page cache survives,
    /// and so does what is pending. Faults do not.
    #[must_use]
    pub fn after_kill(&self) -> SimWorld {
        let world = self.lock();
        let copy = Self::with_disks(world.seed, world.disks.clone(), world.next_node);
        let mut state = copy.lock();
        state.next_seq = world.next_seq;
        state.capacities.clone_from(&world.capacities);
        drop(state);
        copy
    }

    /// Adds a rule.
    pub fn fault(&self, fault: Fault) -> FaultId {
        let mut world = self.lock();
        let id = FaultId(world.next_fault);
        world.next_fault += 1;
        world.rules.push(Rule::new(id, fault));
        id
    }

    /// Calls that [`FaultKind::Frozen`] holds at this moment.
    #[must_use]
    pub fn frozen_count(&self) -> usize {
        self.lock().frozen_count
    }

    /// Calls that went wrong by this rule so far; 0 when it ended.
    #[must_use]
    pub fn strike_count(&self, id: FaultId) -> u64 {
        let world = self.lock();
        let rule = world.rules.iter().find(|rule| rule.id == id);
        rule.map_or(0, Rule::strike_count)
    }

    /// Ends a rule. Frozen calls go on.
    pub fn lift(&self, id: FaultId) {
        self.lock().rules.retain(|rule| rule.id != id);
        self.shared.changed.notify_all();
    }

    /// Ends all rules.
    pub fn lift_all(&self) {
        self.lock().rules.clear();
        self.shared.changed.notify_all();
    }

    /// Sets the size of a disk: growing files beyond it fails with ENOSPC.
    pub fn set_capacity(&self, disk: usize, bytes: u64) {
        let mut world = self.lock();
        world.disk(disk);
        world.capacities[disk] = bytes;
    }

    /// Makes a disk blank, as a new one in its slot or an unmounted folder (hazard H5).
    pub fn wipe_disk(&self, disk: usize) {
        self.replace(disk, |state| *state = DiskState::new());
    }

    /// What is on a disk now, to be brought back by [`SimWorld::restore`] (hazard H7).
    #[must_use]
    pub fn snapshot(&self, disk: usize) -> DiskImage {
        DiskImage(self.lock().disk(disk).settled())
    }

    /// Puts an old image, or another disk's, on a disk.
    pub fn restore(&self, disk: usize, image: &DiskImage) {
        self.replace(disk, |state| *state = image.0.clone());
    }

    /// Exchanges two disks in their slots.
    pub fn swap_disks(&self, a: usize, b: usize) {
        let (image_a, image_b) = (self.snapshot(a), self.snapshot(b));
        self.restore(a, &image_b);
        self.restore(b, &image_a);
    }

    /// Every file of a disk with its length.
    #[must_use]
    pub fn list_files(&self, disk: usize) -> Vec<(String, u64)> {
        let mut world = self.lock();
        let state = world.disk(disk);
        let len = |node: &NodeId| state.content(*node).map_or(0, |content| content.len());
        let files = state.files();
        files
            .into_iter()
            .map(|(path, node)| (path, len(&node)))
            .collect()
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn read_file(&self, disk: usize, path: &str) -> io::Result<Vec<u8>> {
        let mut world = self.lock();
        let state = world.disk(disk);
        Ok(state.content(state.resolve(path)?)?.to_vec())
    }

    /// Writes a file anew, durable at once; its folder must exist.
    ///
    /// # Errors
    /// When the folder is absent.
    pub fn write_file(&self, disk: usize, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.lock();
        let (dir, name) = world.disk(disk).resolve_parent(path)?;
        if world.disk(disk).child(dir, &name)?.is_none() {
            let node = world.issue_node();
            world.commit(disk, path, Op::Create { dir, name, node })?;
        }
        drop(world);
        self.tamper(disk, path, |content| {
            content.set_len(0);
            content.write_at(0, bytes);
        })?;
        self.replace(disk, |state| *state = state.settled());
        Ok(())
    }

    /// Changes one bit of the byte at `offset`.
    ///
    /// # Errors
    /// When there is no such file or it is shorter.
    pub fn flip_bit(&self, disk: usize, path: &str, offset: u64) -> io::Result<()> {
        let len = self.read_file(disk, path)?.len() as u64;
        if offset >= len {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("no byte {offset} of {len}"),
            ));
        }
        let bit = 1 << (mix(self.seed(), offset) % 8);
        self.tamper(disk, path, |content| {
            let mut byte = [0];
            content.read_at(offset, &mut byte);
            content.write_at(offset, &[byte[0] ^ bit]);
        })
    }

    /// Puts `bytes` at `offset`.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn overwrite(&self, disk: usize, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.tamper(disk, path, |content| content.write_at(offset, bytes))
    }

    /// Puts zeros at `[offset, offset+len)`, within the file.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn zero_range(&self, disk: usize, path: &str, offset: u64, len: u64) -> io::Result<()> {
        self.tamper(disk, path, |content| {
            let end = offset.saturating_add(len).min(content.len());
            let size = usize::try_from(end.saturating_sub(offset)).expect("fits in memory");
            content.write_at(offset, &vec![0; size]);
        })
    }

    /// Cuts a file to `len` bytes, or grows it over zeros.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn truncate(&self, disk: usize, path: &str, len: u64) -> io::Result<()> {
        self.tamper(disk, path, |content| content.set_len(len))
    }

    /// Exchanges the bytes of two files, which may be on two disks.
    ///
    /// # Errors
    /// When one is absent.
    pub fn swap_files(&self, a: (usize, &str), b: (usize, &str)) -> io::Result<()> {
        let (bytes_a, bytes_b) = (self.read_file(a.0, a.1)?, self.read_file(b.0, b.1)?);
        self.write_file(a.0, a.1, &bytes_b)?;
        self.write_file(b.0, b.1, &bytes_a)
    }

    /// Removes a file, or a folder with all it holds, durably.
    ///
    /// # Errors
    /// When it is absent.
    pub fn remove_file(&self, disk: usize, path: &str) -> io::Result<()> {
        let mut world = self.lock();
        let (dir, name) = world.disk(disk).resolve_parent(path)?;
        world.disk(disk).resolve(path)?;
        world.commit(disk, path, Op::Remove { dir, name })?;
        drop(world);
        self.replace(disk, |state| *state = state.settled());
        Ok(())
    }

    fn tamper(&self, disk: usize, path: &str, change: impl Fn(&mut Content)) -> io::Result<()> {
        let node = self.lock().disk(disk).resolve(path)?;
        self.lock().disk(disk).content(node)?;
        self.replace(disk, |state| state.tamper(node, &change));
        Ok(())
    }

    /// An act of the test on a whole disk. Works without power: people have screwdrivers.
    fn replace(&self, disk: usize, change: impl FnOnce(&mut DiskState)) {
        let mut world = self.lock();
        change(world.disk(disk));
        let above = world.disk(disk).node_above();
        world.next_node = world.next_node.max(above);
        if world.recording.is_some() {
            let state = Arc::new(world.disk(disk).clone());
            world.record(Some(disk), "", Op::Replace(state));
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.shared.state.lock().expect("no holder panics")
    }

    /// Lets a call pass, late or not at all, or says how it will go wrong.
    pub(crate) fn admit(
        &self,
        disk: usize,
        path: &str,
        op: OpKind,
        is_file_call: bool,
    ) -> io::Result<Option<FaultKind>> {
        let mut world = self.lock();
        let mut strikes = Vec::new();
        for rule in &mut world.rules {
            if let Some(kind) = rule.strikes(disk, path, op) {
                strikes.push((rule.id, kind));
            }
        }
        let mut effect = None;
        let mut delay = Duration::ZERO;
        for (id, kind) in strikes {
            match kind {
                FaultKind::Frozen => {
                    let is_frozen = |world: &mut World| {
                        !world.is_off && world.rules.iter().any(|rule| rule.id == id)
                    };
                    world.frozen_count += 1;
                    let wait = self.shared.changed.wait_while(world, is_frozen);
                    world = wait.expect("no holder panics");
                    world.frozen_count -= 1;
                }
                FaultKind::Slow(by) => delay += by,
                kind => effect = Some(kind),
            }
        }
        world.check_power()?;
        drop(world);
        if !delay.is_zero() {
            tasks::sleep_thread(delay);
        }
        match effect.and_then(|kind: FaultKind| kind.error(is_file_call)) {
            Some(error) => Err(error),
            None => Ok(effect),
        }
    }
}

impl World {
    pub fn disk(&mut self, index: usize) -> &mut DiskState {
        while self.disks.len() <= index {
            self.disks.push(DiskState::new());
            self.capacities.push(CAPACITY_DEFAULT_BYTES);
        }
        &mut self.disks[index]
    }

    pub fn issue_node(&mut self) -> NodeId {
        self.next_node += 1;
        self.next_node - 1
    }

    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The next number of the world's own sequence.
    pub fn draw(&mut self) -> u64 {
        self.draws += 1;
        mix(self.seed, self.draws)
    }

    pub fn has_faults(&self) -> bool {
        !self.rules.is_empty()
    }

    pub fn check_power(&self) -> io::Result<()> {
        if self.is_off { Err(eio()) } else { Ok(()) }
    }

    /// Bytes free, and in all.
    pub fn space(&mut self, disk: usize) -> (u64, u64) {
        let used = self.disk(disk).size_bytes();
        let capacity = self.capacities[disk];
        (capacity.saturating_sub(used), capacity)
    }

    /// Fails when a file would grow from `len` to `end` beyond the disk's size.
    pub fn check_space(&mut self, disk: usize, len: u64, end: u64) -> io::Result<()> {
        let has_limit = self.capacities[disk] != CAPACITY_DEFAULT_BYTES;
        if has_limit && end > len && end - len > self.space(disk).0 {
            return Err(no_space());
        }
        Ok(())
    }

    /// Carries out a change and writes it into the trace.
    pub fn commit(&mut self, disk: usize, path: &str, op: Op) -> io::Result<()> {
        self.check_power()?;
        let seq = self.next_seq;
        self.disk(disk).apply(seq, &op);
        self.record(Some(disk), path, op);
        if let Some(left) = &mut self.changes_left {
            *left = left.saturating_sub(1);
            self.is_off |= *left == 0;
        }
        Ok(())
    }

    fn record(&mut self, disk: Option<usize>, path: &str, op: Op) {
        let seq = self.next_seq;
        self.next_seq += 1;
        if let Some(recording) = &mut self.recording {
            let path = path.into();
            recording.events.push(Event {
                seq,
                disk,
                path,
                op,
            });
        }
    }
}
