//! The committer's part of the lock clock (RFC 0014): it is looked at for each batch, which keeps it, and an
//! operator may confirm it.

use strongroom_base::Timestamp;
use strongroom_meta::lock_clock::{LockClock, LockTime};
use strongroom_zones::{CommitLog, Stalled};

use crate::committer::{ChangeError, Committer};

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// How far the lock clock in the log of a store without writes is behind: an hour, of the day that a start
/// may step.
const MARK_BEHIND_NANOS_MAX: u64 = 60 * 60 * NANOS_PER_SECOND;
/// How far the time an operator read may be from the clock that is confirmed: a minute, in which one types.
const CONFIRM_APART_NANOS_MAX: u64 = 60 * NANOS_PER_SECOND;

/// The time that an operator read, and whoever waits for it to be believed.
pub struct ClockOrder {
    pub read: Timestamp,
    pub answer: strongroom_base::sync::mpsc::Sender<std::result::Result<LockTime, ChangeError>>,
}

impl Committer {
    /// What locks expire by now, for the next batch.
    pub fn look_at_lock_clock(&mut self) -> u64 {
        let (now, passed) = (self.clock.now(), self.clock.monotonic());
        let Some(lock_clock) = &mut self.lock_clock else {
            return 0;
        };
        // As it was told, and not as it was: a decision may have looked before.
        let was_held = self.state.lock_time().is_some_and(|told| told.is_held);
        let time = lock_clock.look(now, passed);
        self.state.note_lock_time(lock_clock.last());
        if lock_clock.last().is_held && !was_held {
            tracing::error!(
                clock = %now.0, locks_expire_by = %time.0,
                "the clock is ahead of the time that can have passed: locks do not expire by it \
                 until it is confirmed (strongroom lock confirm-clock)"
            );
        }
        time.0
    }

    /// Begins or goes on with the lock clock of the log that is served now.
    pub fn begin_lock_clock(&mut self, log: &CommitLog) {
        let (now, passed) = (self.clock.now(), self.clock.monotonic());
        if self.lock_clock.is_none() {
            // Every batch of a commit has a mark: without one there is nothing that could be locked.
            let mark = Some(Timestamp(log.marks().1)).filter(|mark| mark.0 > 0);
            let clock = LockClock::new(mark, now, passed);
            self.lock_clock = Some(clock);
        }
        self.look_at_lock_clock();
    }

    pub fn confirm_clock(&mut self, order: ClockOrder) {
        let outcome = self.believe_clock(order.read);
        let _ = order.answer.send(outcome);
    }

    fn believe_clock(&mut self, read: Timestamp) -> std::result::Result<LockTime, ChangeError> {
        let (now, passed) = (self.clock.now(), self.clock.monotonic());
        if now.0.abs_diff(read.0) > CONFIRM_APART_NANOS_MAX {
            let apart = now.0.abs_diff(read.0) / NANOS_PER_SECOND;
            return Err(ChangeError::Refused(format!(
                "the server's clock is {apart} s from that time: set the clock, and confirm it then"
            )));
        }
        let (Some(log), Some(lock_clock)) = (&mut self.log, &mut self.lock_clock) else {
            return Err(ChangeError::Refused(self.refused.clone()));
        };
        let behind = lock_clock.look(now, passed).0.saturating_sub(now.0);
        if behind > CONFIRM_APART_NANOS_MAX {
            let behind = behind / NANOS_PER_SECOND;
            return Err(ChangeError::Refused(format!(
                "the server's clock is {behind} s behind the time that locks expire by, which never goes \
                 back: there is nothing to confirm"
            )));
        }
        lock_clock.confirm(now, passed);
        let time = lock_clock.last();
        self.state.note_lock_time(time);
        // Durable before it is answered: a restart must not hold again what was confirmed.
        match log.note_time(time.time.0) {
            Ok(()) => {
                self.state.acknowledge_position(log.acknowledged());
                tracing::warn!(clock = %now.0, "the clock was confirmed: locks expire by it");
                Ok(time)
            }
            Err(stalled) => {
                self.stalled(&stalled.0);
                Err(ChangeError::Unknown(stalled.0))
            }
        }
    }

    /// Records the acknowledged position of a store without writes, and the time when the log is behind: a
    /// later start is then a small step.
    ///
    /// # Errors
    /// Too few members are left.
    pub fn note_idle(&mut self) -> Result<(), Stalled> {
        let lock_clock = self.look_at_lock_clock();
        match &mut self.log {
            None => Ok(()),
            Some(log) if lock_clock.saturating_sub(log.marks().1) >= MARK_BEHIND_NANOS_MAX => {
                log.note_time(lock_clock)
            }
            Some(log) => log.note_idle(),
        }
    }
}
