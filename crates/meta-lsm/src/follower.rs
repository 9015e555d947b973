//! A follower keeps one view up with the log.
//!
//! It applies acknowledged batches in order, from memory when they are recent and from the log
//! when they are not, several at a time. When it cannot, its view is given up and made anew.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use strongroom_base::sync::atomic::Ordering;

use strongroom_base::tasks;
use strongroom_zones::{BatchKind, Counters, LogReader};

use crate::body::decode_body;
use crate::state::{Applied, State, ViewSlot, size_of};
use crate::view::{Mark, ViewError};

/// Most batches applied to a view in one write.
const APPLY_BATCHES_MAX: usize = 64;
/// How long a follower sleeps when nothing happens, before it looks whether the store stops.
const IDLE: Duration = Duration::from_millis(500);

/// How often a follower that is held looks whether it may go on.
const HOLD_POLL: Duration = Duration::from_millis(2);

/// How often in a row a batch may have no good copy in reach, each an [`IDLE`] apart: disks come
/// and go, and a view is dear to make anew.
const LOAD_ATTEMPTS_MAX: usize = 20;
/// Bytes of log batches loaded before they are applied.
const LOAD_SIZE_BYTES_TARGET: usize = 16 * 1024 * 1024;

/// Why a step failed.
enum StepError {
    /// The log has no good copy of the next batch in reach.
    Log(ViewError),
    View(ViewError),
}

impl From<ViewError> for StepError {
    fn from(error: ViewError) -> Self {
        Self::View(error)
    }
}

/// Starts the follower of `slot`.
pub fn start(state: Arc<State>, slot: Arc<ViewSlot>, log: LogReader) {
    let name = format!("view {}", slot.name);
    tasks::spawn_thread(&name, move || {
        // What panics in here must not leave a view that looks alive and stands still.
        let followed = AssertUnwindSafe(|| follow(&state, &slot, &log));
        if std::panic::catch_unwind(followed).is_err() {
            state.view_broke(&slot, "its follower panicked");
        }
    });
}

fn follow(state: &State, slot: &Arc<ViewSlot>, log: &LogReader) {
    let mut failures = 0;
    while !state.is_stopping() && slot.is_usable() {
        let next = slot.applied.load(Ordering::Acquire) + 1;
        let held = || next > slot.hold.load(Ordering::Acquire);
        let is_held = held();
        slot.resting.store(is_held, Ordering::Release);
        if is_held {
            tasks::sleep_thread(HOLD_POLL);
            continue;
        }
        let (recent, head) = state.wait_for(next, IDLE, held);
        match step(state, slot, log, next, recent, head) {
            Ok(()) => failures = 0,
            Err(StepError::View(error)) => state.view_broke(slot, &error.0),
            Err(StepError::Log(error)) => {
                failures += 1;
                if failures >= LOAD_ATTEMPTS_MAX {
                    tracing::warn!(view = %slot.name, %error, "an index view can not follow");
                    state.view_gone(slot);
                }
                tasks::sleep_thread(IDLE);
            }
        }
    }
}

/// Applies what is there from batch `next` on.
fn step(
    state: &State,
    slot: &Arc<ViewSlot>,
    log: &LogReader,
    next: u64,
    mut recent: Vec<Applied>,
    head: u64,
) -> Result<(), StepError> {
    let hold = slot.hold.load(Ordering::Acquire);
    if head < next {
        slot.lagging.store(false, Ordering::Release);
    }
    if head.min(hold) < next {
        return Ok(());
    }
    recent.retain(|batch| batch.number <= hold);
    let batches = if recent.is_empty() {
        from_log(log, next, head.min(hold)).map_err(StepError::Log)?
    } else {
        recent
    };
    for group in batches.chunks(APPLY_BATCHES_MAX) {
        let last = group.last().expect("chunks are not empty");
        let mark = Mark {
            number: last.number,
            checksum: last.checksum,
        };
        let mut changes = Vec::new();
        for batch in group {
            changes.extend(batch.changes.iter().cloned());
        }
        if strongroom_base::planted("view_mark_in_another_tree") {
            slot.view.apply(&[], mark)?;
        }
        slot.view.apply(&changes, mark)?;
        slot.applied.store(last.number, Ordering::Release);
    }
    let applied = slot.applied.load(Ordering::Acquire);
    if applied >= head {
        slot.lagging.store(false, Ordering::Release);
    }
    state.prune();
    let visible = state.visible.read().expect("no holder panics");
    let is_primary = visible
        .primary
        .as_ref()
        .is_some_and(|primary| Arc::ptr_eq(primary, slot));
    let vacant = visible.primary.is_none();
    drop(visible);
    if is_primary {
        Counters::set(&state.counters.view_applied, applied);
    } else if vacant {
        state.choose_primary();
    }
    Ok(())
}

/// Reads batches from the log: a few, so that memory stays bounded.
fn from_log(log: &LogReader, next: u64, head: u64) -> Result<Vec<Applied>, ViewError> {
    let upto = head.min(next + APPLY_BATCHES_MAX as u64 - 1);
    let (mut loaded, mut size) = (Vec::new(), 0);
    for number in next..=upto {
        let batch = match load(log, number) {
            Ok(batch) => batch,
            // What there is goes first.
            Err(_) if !loaded.is_empty() => break,
            Err(error) => return Err(error),
        };
        size += size_of(&batch.changes);
        loaded.push(batch);
        if size >= LOAD_SIZE_BYTES_TARGET {
            break;
        }
    }
    Ok(loaded)
}

/// Reads one batch of the log in the form views apply.
///
/// # Errors
/// When no good copy is left, or it does not decode.
pub fn load(log: &LogReader, number: u64) -> Result<Applied, ViewError> {
    let missing = || ViewError(format!("log batch {number} has no good copy"));
    let batch = log.read(number).ok_or_else(missing)?;
    let changes = match batch.header.kind {
        BatchKind::Commits => decode_body(number, &batch.body)
            .map_err(|_| ViewError(format!("log batch {number} does not decode")))?,
        BatchKind::Membership | BatchKind::Idle => Vec::new(),
    };
    Ok(Applied {
        number,
        checksum: batch.header.checksum(),
        changes: Arc::new(changes),
    })
}
