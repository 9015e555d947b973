//! Stamps: the order of versions, taken from the clock but never given up to it.
//!
//! A clock may step back, and two writers may ask in one instant: a stamp is therefore above every
//! stamp of the store before it (its *mark*), which is kept durably by the backend. A clock may
//! also jump a year ahead: were it believed, every later stamp would be latched to that year. So
//! a clock that is further above the mark than [`CLOCK_AHEAD_MAX_NANOS`] is not believed; stamps
//! then go on from the mark by the time that passes, and the store reports it.
//!
//! Invariants
//! - Stamps of one issuer strictly grow, and each is above the floor it was asked for.
//! - The mark is never below a stamp that was issued.
//! - While the clock is too far ahead, two stamps are no further apart than the clock readings
//!   they were issued at, unless a floor asks for it.

use strongroom_base::Timestamp;

use crate::Stamp;

/// How far above the mark, in nanoseconds, a clock is believed: one day. Long enough for a store
/// that was stopped over night, short enough that a wrong year, month or time zone is caught.
pub const CLOCK_AHEAD_MAX_NANOS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// Issues the stamps of one store.
#[derive(Clone, Debug)]
pub struct StampIssuer {
    mark: Stamp,
    clock_last: Timestamp,
    clock_ahead: bool,
}

impl StampIssuer {
    /// An issuer that goes on from `mark`: the highest stamp this store ever issued, zero for a
    /// store that never issued one.
    #[must_use]
    pub fn new(mark: Stamp, clock_at_start: Timestamp) -> Self {
        let clock_ahead = is_too_far_ahead(mark, clock_at_start);
        Self {
            mark,
            clock_last: clock_at_start,
            clock_ahead,
        }
    }

    /// A stamp above `floor` and above every stamp before, not below `now` unless the clock is too
    /// far ahead to be believed.
    pub fn issue(&mut self, now: Timestamp, floor: Stamp) -> Stamp {
        let believed = self.believe(now);
        let stamp = believed
            .max(floor.0.saturating_add(1))
            .max(self.mark.0.saturating_add(1));
        self.mark = Stamp(stamp);
        self.mark
    }

    /// Lets the mark follow the clock while nothing is issued, so that a store that was idle for
    /// long is not taken for one whose clock jumped. Called before the mark is made durable.
    pub fn observe(&mut self, now: Timestamp) {
        self.mark = self.mark.max(Stamp(self.believe(now)));
    }

    /// Believes the clock from here on although it is far ahead: an operator said that it is right.
    pub fn confirm_clock(&mut self, now: Timestamp) {
        self.mark = self.mark.max(Stamp(now.0));
        self.clock_last = now;
        self.clock_ahead = false;
    }

    /// The highest stamp issued or observed. The backend keeps it durably with what it covers.
    #[must_use]
    pub fn mark(&self) -> Stamp {
        self.mark
    }

    /// Whether the clock, when last looked at, was too far above the mark to be believed.
    #[must_use]
    pub fn is_clock_ahead(&self) -> bool {
        self.clock_ahead
    }

    /// The time to take for `now`: the clock, or the mark plus what passed since the last look.
    fn believe(&mut self, now: Timestamp) -> u64 {
        let elapsed = now.0.saturating_sub(self.clock_last.0);
        self.clock_last = now;
        self.clock_ahead = is_too_far_ahead(self.mark, now);
        if !self.clock_ahead {
            return now.0;
        }
        // More than the bound in one step is the jump itself, not time that passed.
        let passed = if elapsed > CLOCK_AHEAD_MAX_NANOS {
            0
        } else {
            elapsed
        };
        self.mark.0.saturating_add(passed)
    }
}

fn is_too_far_ahead(mark: Stamp, clock: Timestamp) -> bool {
    mark.0 > 0 && clock.0.saturating_sub(mark.0) > CLOCK_AHEAD_MAX_NANOS
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = CLOCK_AHEAD_MAX_NANOS;
    const NOW: u64 = 20_000 * DAY;

    #[test]
    fn first_stamp_of_a_new_store_is_the_clock() {
        let mut issuer = StampIssuer::new(Stamp(0), Timestamp(NOW));
        assert!(!issuer.is_clock_ahead());
        assert_eq!(issuer.issue(Timestamp(NOW), Stamp(0)), Stamp(NOW));
        assert_eq!(issuer.mark(), Stamp(NOW));
    }

    #[test]
    fn stamps_grow_in_one_instant_above_the_floor_and_when_the_clock_steps_back_h16_h17() {
        let mut issuer = StampIssuer::new(Stamp(0), Timestamp(NOW));
        assert_eq!(issuer.issue(Timestamp(NOW), Stamp(0)), Stamp(NOW));
        assert_eq!(issuer.issue(Timestamp(NOW), Stamp(0)), Stamp(NOW + 1));
        assert_eq!(issuer.issue(Timestamp(NOW), Stamp(NOW + 7)), Stamp(NOW + 8));
        assert_eq!(issuer.issue(Timestamp(NOW - DAY), Stamp(0)), Stamp(NOW + 9));
        assert_eq!(issuer.issue(Timestamp(0), Stamp(3)), Stamp(NOW + 10));
    }

    #[test]
    fn clock_that_jumps_a_year_while_running_does_not_latch_stamps_h18() {
        let mut issuer = StampIssuer::new(Stamp(0), Timestamp(NOW));
        issuer.issue(Timestamp(NOW), Stamp(0));
        let year = NOW + 365 * DAY;
        assert_eq!(issuer.issue(Timestamp(year), Stamp(0)), Stamp(NOW + 1));
        assert!(issuer.is_clock_ahead());
        assert_eq!(
            issuer.issue(Timestamp(year + 50), Stamp(0)),
            Stamp(NOW + 51)
        );
        assert_eq!(issuer.issue(Timestamp(2 * year), Stamp(0)), Stamp(NOW + 52));
        // Set right again: stamps are the clock again.
        assert_eq!(
            issuer.issue(Timestamp(NOW + 100), Stamp(0)),
            Stamp(NOW + 100)
        );
        assert!(!issuer.is_clock_ahead());
    }

    #[test]
    fn clock_too_far_ahead_at_start_is_reported_and_stamps_go_on_by_elapsed_time_h18() {
        let start = NOW + 2 * DAY;
        let mut issuer = StampIssuer::new(Stamp(NOW), Timestamp(start));
        assert!(issuer.is_clock_ahead());
        assert_eq!(
            issuer.issue(Timestamp(start + 1000), Stamp(0)),
            Stamp(NOW + 1000)
        );
        assert_eq!(
            issuer.issue(Timestamp(start + 1500), Stamp(0)),
            Stamp(NOW + 1500)
        );
        issuer.confirm_clock(Timestamp(start + 1600));
        assert!(!issuer.is_clock_ahead());
        assert_eq!(
            issuer.issue(Timestamp(start + 1700), Stamp(0)),
            Stamp(start + 1700)
        );
    }

    #[test]
    fn clock_exactly_at_the_bound_is_believed() {
        let mut issuer = StampIssuer::new(Stamp(NOW), Timestamp(NOW + DAY));
        assert!(!issuer.is_clock_ahead());
        assert_eq!(
            issuer.issue(Timestamp(NOW + DAY), Stamp(0)),
            Stamp(NOW + DAY)
        );
    }

    #[test]
    fn idle_store_that_observes_the_clock_believes_it_after_a_week() {
        let mut issuer = StampIssuer::new(Stamp(NOW), Timestamp(NOW));
        for hour in 1..=7 * 24 {
            issuer.observe(Timestamp(NOW + hour * DAY / 24));
        }
        let now = NOW + 7 * DAY + 5;
        assert_eq!(issuer.issue(Timestamp(now), Stamp(0)), Stamp(now));
        assert!(!issuer.is_clock_ahead());
    }

    #[test]
    fn floor_at_the_end_of_numbers_does_not_overflow() {
        let mut issuer = StampIssuer::new(Stamp(5), Timestamp(5));
        assert_eq!(issuer.issue(Timestamp(5), Stamp(u64::MAX)), Stamp(u64::MAX));
    }
}
