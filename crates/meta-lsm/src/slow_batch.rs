//! Which step of a slow batch took the time.
//!
//! Whoever waits for a commit waits for the batch it is in, and one that takes a quarter of a second is
//! felt by all that are in it and behind it. Whether the disks were slow or this process, and in which step,
//! can not be told afterwards: so the steps of each batch are timed, and those of a slow one are told.

use std::sync::Arc;
use std::time::Duration;

use strongroom_base::Clock;
use strongroom_zones::Counters;

/// From here on a batch is slow: what an operator would notice.
pub const SLOW_AFTER: Duration = Duration::from_millis(250);
/// Between two lines in the log: disks that are slow for an hour are not news each time.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// The steps of a batch, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Waiting until views have room for more.
    Index,
    /// Fencing disks that went out, and beginning new log files.
    Files,
    /// Running the decisions of transactions, with their reads.
    Decide,
    /// Writing to all zones and waiting for their syncs.
    Disks,
    /// Making it visible.
    Show,
}

const STEPS: [(Step, &str); 5] = [
    (Step::Index, "waiting for the index"),
    (Step::Files, "beginning log files"),
    (Step::Decide, "decisions"),
    (Step::Disks, "disks"),
    (Step::Show, "making it visible"),
];

/// The times of one batch.
pub struct Times {
    clock: Arc<dyn Clock>,
    last: Duration,
    steps: [Duration; STEPS.len()],
}

impl Times {
    pub fn begin(clock: &Arc<dyn Clock>) -> Self {
        Self {
            last: clock.monotonic(),
            clock: Arc::clone(clock),
            steps: [Duration::ZERO; STEPS.len()],
        }
    }

    /// What passed since the step before was `step`.
    pub fn done(&mut self, step: Step) {
        let now = self.clock.monotonic();
        self.steps[step as usize] += now.saturating_sub(self.last);
        self.last = now;
    }

    fn total(&self) -> Duration {
        self.steps.iter().sum()
    }

    /// The step that took most.
    fn longest(&self) -> Step {
        let longest = STEPS
            .iter()
            .max_by_key(|(step, _)| self.steps[*step as usize]);
        longest.expect("there are steps").0
    }

    fn text(&self) -> String {
        let steps = STEPS.iter().filter_map(|(step, name)| {
            let time = self.steps[*step as usize].as_millis();
            (time > 0).then(|| format!("{name} {time} ms"))
        });
        steps.collect::<Vec<_>>().join(", ")
    }
}

/// Counts slow batches and tells of them.
#[derive(Default)]
pub struct SlowBatches {
    told: Option<Duration>,
    untold: u64,
}

impl SlowBatches {
    /// Notes a batch of `transactions` that is over; `zone` tells which synced last.
    pub fn note(
        &mut self,
        times: &Times,
        counters: &Counters,
        transactions: u64,
        zone: impl FnOnce() -> Option<String>,
    ) {
        if times.total() < SLOW_AFTER {
            return;
        }
        Counters::add(&counters.slow_batches, 1);
        if times.longest() == Step::Disks {
            Counters::add(&counters.slow_batches_disks, 1);
        }
        if self
            .told
            .is_some_and(|told| times.last < told + TELL_INTERVAL)
        {
            self.untold += 1;
            return;
        }
        tracing::warn!(
            total_ms = u64::try_from(times.total().as_millis()).unwrap_or(u64::MAX),
            steps = times.text(),
            transactions,
            zone_last = zone().unwrap_or_default(),
            slow_before = self.untold,
            "a batch of commits was slow"
        );
        (self.told, self.untold) = (Some(times.last), 0);
    }
}

#[cfg(test)]
mod tests {
    use strongroom_base::sync::atomic::Ordering;

    use strongroom_base::{ManualClock, Timestamp};

    use super::*;

    /// The times of a batch whose steps took these milliseconds.
    fn times(clock: &Arc<ManualClock>, steps: &[(Step, u64)]) -> Times {
        let shared: Arc<dyn Clock> = clock.clone();
        let mut times = Times::begin(&shared);
        for (step, millis) in steps {
            clock.advance(Duration::from_millis(*millis));
            times.done(*step);
        }
        times
    }

    #[test]
    fn the_step_that_took_the_time_is_named() {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let batch = times(
            &clock,
            &[(Step::Files, 3), (Step::Decide, 40), (Step::Disks, 300)],
        );
        assert_eq!(batch.longest(), Step::Disks);
        assert_eq!(
            batch.text(),
            "beginning log files 3 ms, decisions 40 ms, disks 300 ms"
        );
        for (index, (step, _)) in STEPS.iter().enumerate() {
            assert_eq!(*step as usize, index);
        }
    }

    #[test]
    fn every_slow_batch_is_counted_and_one_in_ten_seconds_is_told() {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let (counters, mut slow) = (Counters::default(), SlowBatches::default());
        for (step, millis) in [
            (Step::Disks, 249),
            (Step::Disks, 250),
            (Step::Decide, 900),
            (Step::Index, 9_500),
        ] {
            slow.note(&times(&clock, &[(step, millis)]), &counters, 1, || {
                Some("a".into())
            });
            let untold = match step {
                Step::Decide => 1,
                _ => 0,
            };
            assert_eq!(slow.untold, untold, "after {step:?}");
        }
        let [all, disks] = [&counters.slow_batches, &counters.slow_batches_disks]
            .map(|one| one.load(Ordering::Relaxed));
        assert_eq!((all, disks), (3, 1));
    }
}
