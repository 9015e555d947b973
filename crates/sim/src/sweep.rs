//! A sweep visits the crash points of a trace: every event, every variant, or an even sample.
//!
//! The points are dealt to a few threads. A check answers with a sentence when the point lost
//! something; a panic counts as one. All bad points are collected, each under the name by which it
//! can be built again.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::crash::{CrashStates, Replay, Variant};
use crate::state::mix;
use crate::trace::{Event, Trace};
use crate::views::ViewEvent;
use crate::world::SimWorld;

/// Points dealt ahead of the threads that check them. Each holds the lists of all disks.
const QUEUE_LEN_MAX: usize = 64;
/// Bad points after which a sweep stops: enough to see the pattern.
const FAILURE_COUNT_MAX: usize = 20;
/// Threads that check: more than the two cores tests count on, as a starting store also waits.
const THREAD_COUNT: usize = 4;

/// One instant and one way the power cut left the disks.
pub struct CrashPoint {
    trace: Trace,
    states: CrashStates,
    /// Events before the power cut.
    pub event_count: usize,
    pub variant: Variant,
    /// A number of this point's own, for choices of the check.
    pub draw: u64,
}

impl CrashPoint {
    /// What happened before the power cut, marks included.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.trace.events()[..self.event_count]
    }

    /// The disks.
    #[must_use]
    pub fn world(&self) -> SimWorld {
        self.states.build(self.variant)
    }
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} events, {}", self.event_count, self.variant)?;
        match self.events().last() {
            Some(event) => write!(f, " (last: {event})"),
            None => Ok(()),
        }
    }
}

/// What a sweep found.
#[derive(Debug, Default)]
pub struct SweepReport {
    /// Points checked.
    pub points: u64,
    /// Each bad point with what the check said.
    pub failures: Vec<String>,
}

/// Checks at most about `limit` crash points of `trace`, spread evenly over all of them. The
/// harshest at each event, with nothing but what was synced, is always among them.
pub fn sweep(
    trace: &Trace,
    limit: u64,
    check: impl Fn(&CrashPoint) -> Result<(), String> + Sync,
) -> SweepReport {
    let total = count_points(trace);
    let points = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let (sender, receiver) = sync_channel::<CrashPoint>(QUEUE_LEN_MAX);
    let receiver = Mutex::new(receiver);
    std::thread::scope(|scope| {
        for _ in 0..THREAD_COUNT {
            scope.spawn(|| check_points(&receiver, &check, &points, &failures));
        }
        deal(trace, limit, total, sender, &failures);
    });
    SweepReport {
        points: points.into_inner(),
        failures: failures.into_inner().expect("no holder panics"),
    }
}

fn count_points(trace: &Trace) -> u64 {
    let mut replay = Replay::new(trace);
    let mut total = 0;
    while replay.advance().is_some() {
        total += replay.crash_states().variants().len() as u64;
    }
    total
}

fn deal(
    trace: &Trace,
    limit: u64,
    total: u64,
    sender: SyncSender<CrashPoint>,
    failures: &Mutex<Vec<String>>,
) {
    let mut replay = Replay::new(trace);
    while replay.advance().is_some() {
        let states = replay.crash_states();
        let event_count = replay.position();
        let is_of_view = trace.events()[event_count - 1]
            .mark::<ViewEvent>()
            .is_some();
        let harshest = match states.pending_count() {
            0 => Variant::Prefix,
            _ => Variant::OnlySynced,
        };
        for (index, variant) in states.variants().into_iter().enumerate() {
            let draw = mix(mix(trace.seed, event_count as u64), index as u64 | 1 << 40);
            let is_forced = variant == harshest && !is_of_view;
            let is_chosen = is_forced || total <= limit || draw % total < limit;
            if !is_chosen {
                continue;
            }
            let point = CrashPoint {
                trace: trace.clone(),
                states: states.clone(),
                event_count,
                variant,
                draw: mix(draw, 1),
            };
            let is_over = failures.lock().expect("no holder panics").len() >= FAILURE_COUNT_MAX;
            if is_over || sender.send(point).is_err() {
                return;
            }
        }
    }
}

fn check_points(
    receiver: &Mutex<Receiver<CrashPoint>>,
    check: &impl Fn(&CrashPoint) -> Result<(), String>,
    points: &AtomicU64,
    failures: &Mutex<Vec<String>>,
) {
    loop {
        let next = receiver.lock().expect("no holder panics").recv();
        let Ok(point) = next else { return };
        points.fetch_add(1, Ordering::Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&point)))
            .unwrap_or_else(|panic| Err(format!("panic: {}", panic_text(&*panic))));
        if let Err(text) = outcome {
            let failure = format!("{point}: {text}");
            failures.lock().expect("no holder panics").push(failure);
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a text".into())
}

/// The first seed when none is given: any would do.
const SEED_FIRST: u64 = 20;

/// The seeds of a workload that is swept: as many as the environment's STRONGROOM_TEST_SCALE says (one
/// when unset), from STRONGROOM_TEST_SEED on (20 when unset). Each is another schedule of the same clients.
#[must_use]
pub fn seeds() -> std::ops::Range<u64> {
    let first = std::env::var("STRONGROOM_TEST_SEED").ok();
    let first = first
        .and_then(|text| text.parse().ok())
        .unwrap_or(SEED_FIRST);
    first..first + scaled(1)
}

/// `count`, times the environment's STRONGROOM_TEST_SCALE (1 when unset).
#[must_use]
pub fn scaled(count: u64) -> u64 {
    let scale = std::env::var("STRONGROOM_TEST_SCALE").ok();
    let scale: f64 = scale.and_then(|text| text.parse().ok()).unwrap_or(1.0);
    ((count as f64 * scale) as u64).max(1)
}
