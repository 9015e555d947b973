//! The look at one disk: whether it is still the disk it was, can be written, and has room.
//!
//! A disk that is out is probed at growing intervals and admitted when it is well. A disk in service
//! is written to now and then: one whose reads are cached, or that nobody uses, would else be found
//! hung or failing by the first upload that needs it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use strongroom_base::{CreateOptions, Disk, is_process_limit};
use strongroom_zones::{DiskHandle, DiskId, OutReason, Store, Superblock, SuperblockError};

use crate::hung::Pulse;
use crate::space::{ADMIT_SPACE_MIN_BYTES, CONTENT_SPACE_MIN_BYTES};
use crate::state::State;

/// A disk that failed is probed again after this long, twice as long each time it fails again.
const PROBE_AFTER: Duration = Duration::from_secs(1);
/// A disk that was in service for this long without failing has a clean record again.
const STEADY_AFTER: Duration = Duration::from_secs(60);
/// After so many looks in a row a disk that alone is full goes out: by then the others, which may fill
/// at the same time, were measured too.
const CROWDED_LOOKS: u32 = 3;
/// Longest time between two probes.
const PROBE_AFTER_MAX: Duration = Duration::from_secs(60);
/// How often a disk in service is written to.
const PULSE_INTERVAL: Duration = Duration::from_secs(5);
/// File a probe writes, syncs and removes.
const PROBE_FILE: &str = "probe";

/// Called with a disk that came back into service.
pub type AdmitHook = Arc<dyn Fn(&DiskHandle) + Send + Sync>;

/// The look at one disk.
pub struct Watch {
    store: Store,
    disk: Arc<DiskHandle>,
    state: Arc<State>,
    probe_in: Duration,
    backoff: Duration,
    /// How long it has been in service without a failure.
    steady: Duration,
    /// How many looks in a row it alone had no room for the log.
    crowded_looks: u32,
    /// How long ago it was written to.
    unwritten: Duration,
    pulse: Arc<Pulse>,
}

/// What is wrong with a disk in service.
enum Fault {
    Absent(io::Error),
    Failed(io::Error),
}

impl Watch {
    /// Nothing known yet of `disk`.
    pub fn new(store: Store, disk: Arc<DiskHandle>, state: Arc<State>, pulse: Arc<Pulse>) -> Self {
        Self {
            store,
            disk,
            state,
            probe_in: Duration::ZERO,
            backoff: PROBE_AFTER,
            steady: Duration::ZERO,
            crowded_looks: 0,
            unwritten: Duration::ZERO,
            pulse,
        }
    }

    /// Looks once: a second call belongs one `interval` later. May hang with the disk.
    pub fn look(&mut self, interval: Duration, hook: &AdmitHook) {
        let pulse = Arc::clone(&self.pulse);
        pulse.begin();
        self.look_once(interval, hook);
        pulse.end();
    }

    fn look_once(&mut self, interval: Duration, hook: &AdmitHook) {
        let store = self.store.clone();
        let disks = &store.opened().disks;
        let id = self.disk.id;
        match self.disk.out_reason() {
            None => match self.look_at_served(interval) {
                Ok(()) => self.served_on(interval),
                // That we have no descriptor left says nothing about the disk.
                Err(Fault::Absent(error) | Fault::Failed(error)) if is_process_limit(&error) => {
                    tracing::warn!(disk = %self.disk.name, %error, "a disk could not be looked at");
                }
                Err(Fault::Absent(error)) => {
                    disks.take_out(id, OutReason::Absent(error.to_string()));
                }
                Err(Fault::Failed(error)) => {
                    disks.take_out(id, OutReason::Failed(error.to_string()));
                }
            },
            Some(reason) => {
                let absent = matches!(reason, OutReason::Absent(_));
                self.steady = Duration::ZERO;
                if !absent && self.probe_in > Duration::ZERO {
                    self.probe_in = self.probe_in.saturating_sub(interval);
                    return;
                }
                // What hangs on it costs nothing to wait for, and no look would hurry it.
                if !self.disk.is_settled() {
                    return;
                }
                if self.identify().is_ok() && self.probe().is_ok() {
                    hook(&self.disk);
                    disks.admit(id);
                }
                // Also after it was admitted: each time it fails again costs a generation.
                self.probe_in = self.backoff;
                self.backoff = (self.backoff * 2).min(PROBE_AFTER_MAX);
            }
        }
    }

    fn look_at_served(&mut self, interval: Duration) -> Result<(), Fault> {
        self.identify().map_err(Fault::Absent)?;
        self.store
            .renew_promise(&self.disk)
            .and_then(|()| self.write_now_and_then(interval))
            .map_err(Fault::Failed)
    }

    /// Writes to it once in [`PULSE_INTERVAL`]. That it is full is no failure: see the space limits.
    fn write_now_and_then(&mut self, interval: Duration) -> io::Result<()> {
        self.unwritten += interval;
        if self.unwritten < PULSE_INTERVAL {
            return Ok(());
        }
        self.unwritten = Duration::ZERO;
        let disk = self.disk.disk.as_ref().expect("it was identified");
        match probe(&**disk) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            outcome => outcome,
        }
    }

    /// Notes that nothing was wrong with it, and how full it is.
    fn served_on(&mut self, interval: Duration) {
        self.steady += interval;
        if self.steady >= STEADY_AFTER {
            self.backoff = PROBE_AFTER;
            self.probe_in = Duration::ZERO;
        }
        if let Some(Ok((free, _))) = self.disk.disk.as_ref().map(|disk| disk.space()) {
            self.note_space(free);
        }
    }

    /// Notes how full it is; when it alone keeps the log from growing it goes out.
    fn note_space(&mut self, free: u64) {
        let (log_disks, majority) = self.log_disks();
        let (space, id) = (&self.state.space, self.disk.id);
        space.measured(id, free);
        if !self.is_needed_by_log(&log_disks) || !space.is_crowded(id, &log_disks, majority) {
            self.crowded_looks = 0;
            return;
        }
        self.crowded_looks += 1;
        if self.crowded_looks >= CROWDED_LOOKS {
            self.crowded_looks = 0;
            let why = format!("{free} bytes are free, too few for the log");
            let disks = &self.store.opened().disks;
            disks.take_out(id, OutReason::Failed(why));
        }
    }

    /// Whether its member has its log on it, or on no disk yet.
    fn is_needed_by_log(&self, log_disks: &[DiskId]) -> bool {
        let disks = &self.store.opened().disks;
        let member = |id: &DiskId| disks.find(*id).map(|disk| disk.member);
        let others = log_disks.iter().filter(|id| **id != self.disk.id);
        !others.map(member).any(|of| of == Some(self.disk.member))
    }

    /// The disks the log is on, and how many make a majority.
    fn log_disks(&self) -> (Vec<DiskId>, usize) {
        let log = self.store.reader();
        (log.log_disks(), log.majority())
    }

    /// Whether the folder still holds this disk.
    fn identify(&self) -> io::Result<()> {
        let none = || io::Error::other("no folder is configured");
        let disk = self.disk.disk.as_ref().ok_or_else(none)?;
        let block = Superblock::read(&**disk).map_err(|error| match error {
            SuperblockError::Io(error) => error,
            other => io::Error::other(other),
        })?;
        if block.disk != self.disk.id || block.store != self.store.opened().store {
            return Err(io::Error::other("another disk is in its folder"));
        }
        Ok(())
    }

    /// Whether it can be written.
    fn probe(&self) -> io::Result<()> {
        let disk = self.disk.disk.as_ref().expect("it was identified");
        let (free, _) = disk.space()?;
        let (log_disks, majority) = self.log_disks();
        let space = &self.state.space;
        let needed = match space.have_room(self.disk.id, &log_disks, majority) {
            true => CONTENT_SPACE_MIN_BYTES,
            false => ADMIT_SPACE_MIN_BYTES,
        };
        if free < needed {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.state.space.measured(self.disk.id, free);
        probe(&**disk)
    }
}

fn probe(disk: &dyn Disk) -> io::Result<()> {
    let _ = disk.remove(PROBE_FILE);
    let file = disk.create(PROBE_FILE, CreateOptions::default())?;
    file.write_at(0, &[7; 512])?;
    file.sync()?;
    disk.remove(PROBE_FILE)
}
