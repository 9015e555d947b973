//! Disks that neither answer nor fail.
//!
//! A disk that hangs reports no error, so whoever waits for it waits for ever: a large upload, a
//! read of the index, the look of its own health thread. The health threads therefore say when a look
//! begins and ends, and one thread that touches no disk watches them. What has not ended a look
//! after the hang limit, while enough others have, goes out of service like a disk that failed. So
//! does a disk on which any change lasts that long: one folder of it may hang alone.
//!
//! Invariants
//! - This thread does no I/O, so nothing can hang it.
//! - What is judged is measured against the others: when so many hang that no majority of the
//!   members would be left, the machine is at fault (suspended, starved) and nothing goes out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use strongroom_base::sync::atomic::{AtomicU64, Ordering};

use strongroom_zones::{DiskHandle, OutReason, Store};

/// Tells whether a thread is in the middle of a look. Odd while it is.
#[derive(Default)]
pub struct Pulse(AtomicU64);

impl Pulse {
    /// A look begins.
    pub fn begin(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// It ended.
    pub fn end(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// The pulse of one disk as it was seen last.
struct Patient {
    disk: Arc<DiskHandle>,
    pulse: Arc<Pulse>,
    seen: u64,
    /// How long the look that was seen has lasted.
    stood: Duration,
    /// The oldest call on it as it was seen last, and how long it has lasted.
    call_seen: Option<u64>,
    call_stood: Duration,
}

impl Patient {
    /// Notes what lasts on, `elapsed` after the last time.
    fn observe(&mut self, elapsed: Duration) {
        let now = self.pulse.0.load(Ordering::Acquire);
        let looks_on = now % 2 == 1 && now == self.seen;
        self.stood = match looks_on {
            true => self.stood + elapsed,
            false => Duration::ZERO,
        };
        self.seen = now;
        let call = self.disk.oldest_call();
        self.call_stood = match call.is_some() && call == self.call_seen {
            true => self.call_stood + elapsed,
            false => Duration::ZERO,
        };
        self.call_seen = call;
    }
}

/// Judges all disks.
pub struct HungWatch {
    store: Store,
    patients: Vec<Patient>,
    limit: Duration,
}

impl HungWatch {
    /// Nothing seen yet.
    pub fn new(store: Store, limit: Duration) -> Self {
        Self {
            store,
            patients: Vec::new(),
            limit,
        }
    }

    /// The pulse that the health thread of `disk` has to keep.
    pub fn attend(&mut self, disk: &Arc<DiskHandle>) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse::default());
        self.patients.push(Patient {
            disk: Arc::clone(disk),
            pulse: Arc::clone(&pulse),
            seen: 0,
            stood: Duration::ZERO,
            call_seen: None,
            call_stood: Duration::ZERO,
        });
        pulse
    }

    /// Takes out what hangs, `elapsed` after the last call.
    pub fn check(&mut self, elapsed: Duration) {
        for patient in &mut self.patients {
            patient.observe(elapsed);
        }
        let (hung, well): (Vec<&Patient>, Vec<&Patient>) = self
            .patients
            .iter()
            .filter(|patient| patient.disk.in_service().is_some())
            .partition(|patient| patient.stood.max(patient.call_stood) >= self.limit);
        let members: BTreeSet<u16> = well.iter().map(|patient| patient.disk.member.0).collect();
        if members.len() < self.store.reader().majority() {
            return;
        }
        for patient in hung {
            let disks = &self.store.opened().disks;
            disks.take_out(patient.disk.id, OutReason::Hung);
        }
    }
}
