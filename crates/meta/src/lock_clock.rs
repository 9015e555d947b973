//! The lock clock: the time that locks expire by (RFC 0014, hazard H60).
//!
//! A wrong clock must end no lock. So locks do not expire by the clock but by a mark that is durable,
//! never goes back, and goes ahead of what it was at the start by no more than the time that passed
//! since, and one step of [`LOCK_CLOCK_STEP_MAX_NANOS`], for the time the store was stopped and for what a
//! time service corrects. A clock that says more is not believed: expiry is *held*, and time goes on by
//! what passes, until an operator confirms the clock. A lock is shorter by that step at most.
//!
//! Invariants
//! - What [`LockClock::look`] gives never goes back, and is never below the mark it began with.
//! - Unless it is confirmed, it gives at most the mark at the start, plus the time that passed since, plus
//!   the step.

use std::time::Duration;

use strongroom_base::Timestamp;

/// How far, beyond the time that passed since the start, the clock is believed to be ahead of the mark:
/// one day. A store that was stopped for longer needs a confirmation once; a wrong year, month or week never
/// goes through.
pub const LOCK_CLOCK_STEP_MAX_NANOS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// The lock clock of one run of a store.
#[derive(Clone, Debug)]
pub struct LockClock {
    /// The mark at the start, or the time that was confirmed since.
    base: u64,
    /// When that was, by the clock that only runs.
    base_at: Duration,
    mark: u64,
    clock: u64,
    is_held: bool,
}

/// How locks expire now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LockTime {
    /// What locks expire by.
    pub time: Timestamp,
    /// The clock, when it was last looked at.
    pub clock: Timestamp,
    /// Whether the clock is ahead of what can have passed, so that expiry waits for a confirmation.
    pub is_held: bool,
}

impl LockClock {
    /// The clock of a store whose log ends with this `mark`; of a new store, which has none, the clock is
    /// taken as it is. `monotonic` only runs, and stands for the time that passes.
    #[must_use]
    pub fn new(mark: Option<Timestamp>, clock: Timestamp, monotonic: Duration) -> Self {
        let base = mark.unwrap_or(clock).0;
        let mut made = Self {
            base,
            base_at: monotonic,
            mark: base,
            clock: clock.0,
            is_held: false,
        };
        made.look(clock, monotonic);
        made
    }

    /// What locks expire by now.
    pub fn look(&mut self, clock: Timestamp, monotonic: Duration) -> Timestamp {
        let passed = monotonic.saturating_sub(self.base_at).as_nanos();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let by_passing = self.base.saturating_add(passed);
        self.clock = clock.0;
        self.is_held = clock.0 > by_passing.saturating_add(LOCK_CLOCK_STEP_MAX_NANOS)
            && !strongroom_base::planted("lock_clock_believes_any_jump");
        let time = if self.is_held { by_passing } else { clock.0 };
        self.mark = self.mark.max(time);
        Timestamp(self.mark)
    }

    /// Believes the clock from here on: an operator read the time elsewhere.
    pub fn confirm(&mut self, clock: Timestamp, monotonic: Duration) {
        self.base = self.mark.max(clock.0);
        self.base_at = monotonic;
        self.look(clock, monotonic);
    }

    /// What it was when last looked at.
    #[must_use]
    pub const fn last(&self) -> LockTime {
        LockTime {
            time: Timestamp(self.mark),
            clock: Timestamp(self.clock),
            is_held: self.is_held,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const DAY: u64 = LOCK_CLOCK_STEP_MAX_NANOS;
    const MARK: u64 = 20_000 * DAY;
    const START: Duration = Duration::from_secs(77);

    fn at(nanos: u64) -> Timestamp {
        Timestamp(nanos)
    }

    fn after(nanos: u64) -> Duration {
        START + Duration::from_nanos(nanos)
    }

    #[test]
    fn a_new_store_takes_the_clock_as_it_is() {
        let clock = LockClock::new(None, at(MARK), START);
        assert_eq!(clock.last().time, at(MARK));
        assert!(!clock.last().is_held);
    }

    #[test]
    fn a_clock_that_runs_is_followed_and_one_that_goes_back_is_not() {
        // OL43
        let mut clock = LockClock::new(Some(at(MARK)), at(MARK + SECOND), START);
        assert_eq!(clock.last().time, at(MARK + SECOND));
        assert_eq!(
            clock.look(at(MARK + 5 * SECOND), after(4 * SECOND)),
            at(MARK + 5 * SECOND)
        );
        assert_eq!(
            clock.look(at(MARK - DAY), after(5 * SECOND)),
            at(MARK + 5 * SECOND)
        );
        assert_eq!(
            clock.look(at(MARK + 7 * SECOND), after(6 * SECOND)),
            at(MARK + 7 * SECOND)
        );
        assert!(!clock.last().is_held);
    }

    #[test]
    fn a_jump_beyond_a_day_is_held_while_running_and_at_a_start() {
        // H60
        let year = MARK + 365 * DAY;
        let mut running = LockClock::new(Some(at(MARK)), at(MARK), START);
        assert_eq!(running.look(at(year), after(SECOND)), at(MARK + SECOND));
        assert!(running.last().is_held);
        // Time that passes counts, and nothing else.
        assert_eq!(
            running.look(at(year), after(60 * SECOND)),
            at(MARK + 60 * SECOND)
        );
        let restarted = LockClock::new(Some(at(MARK)), at(year), START);
        assert!(restarted.last().is_held);
        assert_eq!(restarted.last().time, at(MARK));
    }

    #[test]
    fn a_clock_that_comes_back_ends_the_hold_by_itself() {
        let mut clock = LockClock::new(Some(at(MARK)), at(MARK + 30 * DAY), START);
        assert!(clock.last().is_held);
        assert_eq!(
            clock.look(at(MARK + SECOND), after(SECOND)),
            at(MARK + SECOND)
        );
        assert!(!clock.last().is_held);
    }

    #[test]
    fn many_small_jumps_add_up_to_one_step() {
        let mut clock = LockClock::new(Some(at(MARK)), at(MARK), START);
        let mut given = 0;
        for hours in 1..1000 {
            let ahead = MARK + hours * DAY / 24;
            given = clock.look(at(ahead), after(hours)).0;
        }
        assert!(given <= MARK + DAY + 1000, "{given}");
        assert!(clock.last().is_held);
    }

    #[test]
    fn a_confirmed_clock_is_believed_and_followed() {
        let mut clock = LockClock::new(Some(at(MARK)), at(MARK + 9 * DAY), START);
        clock.confirm(at(MARK + 9 * DAY), after(SECOND));
        assert_eq!(clock.last().time, at(MARK + 9 * DAY));
        assert!(!clock.last().is_held);
        assert_eq!(
            clock.look(at(MARK + 9 * DAY + SECOND), after(2 * SECOND)),
            at(MARK + 9 * DAY + SECOND)
        );
        assert_eq!(
            clock.look(at(MARK + 20 * DAY), after(3 * SECOND)),
            at(MARK + 9 * DAY + 2 * SECOND)
        );
        // What was confirmed can not be taken back by a clock that is behind.
        clock.confirm(at(MARK), after(4 * SECOND));
        assert_eq!(clock.last().time, at(MARK + 9 * DAY + 2 * SECOND));
    }

    #[test]
    fn a_store_that_runs_for_long_follows_its_clock() {
        let mut clock = LockClock::new(Some(at(MARK)), at(MARK), START);
        for day in 1..400 {
            let time = clock.look(at(MARK + day * DAY), after(day * DAY));
            assert_eq!(time, at(MARK + day * DAY));
        }
    }
}
