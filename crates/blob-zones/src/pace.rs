//! How long reads take, disk by disk: which wait is unusual, and which disk is set aside (AZ17).
//!
//! A disk that crawls fails nothing, and yet every read that needs it waits for it. A fixed limit
//! helps little: one second is a thousand times what a fast disk takes, and a slow one may need it
//! every time. So the limit follows what reads took lately on the disks of this store. A wait beyond
//! it makes the reader ask other disks as well (a *hedge*); a disk that keeps readers waiting again
//! and again is *set aside*: others are asked first, for ever longer times while it stays slow.
//!
//! Invariants
//! - Only the order and the time of questions depend on this, never which bytes are believed.
//! - Slow is relative: the limit grows when all disks are slow (hazard H32).
//! - Hedges are paid for by reads that needed none, so that an overload is not made worse by them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use strongroom_base::planted;
use strongroom_zones::{DiskHandle, DiskId};

/// Reads of a disk before its figures count: fewer say nothing.
const SAMPLE_COUNT_MIN: u32 = 16;
/// A wait is unusual beyond the mean and so many deviations: as TCP takes a packet for lost. Higher
/// misses crawling disks, lower asks twice in every burst.
const DEVIATIONS: u32 = 4;
/// How much a new sample counts: one part in so many, of the mean and of the deviation.
const MEAN_PARTS: u32 = 8;
const DEVIATION_PARTS: u32 = 4;
/// Unusual waits, each less a usual one, after which a disk is set aside: one is a pause that any disk
/// may have.
const STRIKE_COUNT_MAX: u32 = 3;
/// How long a disk is set aside first, and at most. Each time doubles while it stays slow. When the
/// time is over it is asked again, so that a slow disk delays one read now and then.
const ASIDE_FIRST: Duration = Duration::from_secs(10);
const ASIDE_MAX: Duration = Duration::from_secs(300);
/// So many reads of stripes pay for one hedge: together they cost at most a tenth more.
const READS_PER_HEDGE: u32 = 10;
/// Most hedges paid for in advance: a disk that begins to crawl meets a burst of readers.
const HEDGES_SAVED_MAX: u32 = 32;

/// How long a reader waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// Longer than reads take lately.
    Unusual,
    /// Longer than anybody should wait, whatever the others do.
    Long,
}

/// The pace of all disks.
pub(crate) struct Pace {
    disks: Mutex<HashMap<DiskId, DiskPace>>,
    /// Hedges paid for, in reads.
    saved: Mutex<u32>,
}

#[derive(Default)]
struct DiskPace {
    sample_count: u32,
    mean: Duration,
    deviation: Duration,
    strikes: u32,
    aside_until: Duration,
    /// How long it was set aside the last time; zero when it has been well since.
    aside_for: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            disks: Mutex::default(),
            saved: Mutex::new(HEDGES_SAVED_MAX * READS_PER_HEDGE),
        }
    }
}

impl Pace {
    /// Notes that a read of `disk` was answered after `took`, whether or not anybody still waited.
    pub(crate) fn answered(&self, disk: DiskId, took: Duration, limit: Duration) {
        let mut disks = self.disks.lock().expect("no holder panics");
        let pace = disks.entry(disk).or_default();
        pace.sample(took);
        if took <= limit {
            pace.strikes = pace.strikes.saturating_sub(1);
            if pace.strikes == 0 {
                pace.aside_for = Duration::ZERO;
            }
        }
    }

    /// The wait that is unusual now, between `least` and `most`: what the disk in the middle needs.
    /// `most` while too little is known.
    pub(crate) fn limit(&self, least: Duration, most: Duration) -> Duration {
        let disks = self.disks.lock().expect("no holder panics");
        let known = disks
            .values()
            .filter(|pace| pace.sample_count >= SAMPLE_COUNT_MIN);
        let mut limits: Vec<Duration> = known.map(DiskPace::limit).collect();
        if limits.is_empty() {
            return most;
        }
        // Of two in the middle the quicker: one of two zones may be the slow one.
        limits.sort_unstable();
        limits[(limits.len() - 1) / 2].min(most).max(least)
    }

    /// Notes at `now` that a disk kept a reader waiting.
    pub(crate) fn kept_waiting(&self, disk: &DiskHandle, wait: Wait, now: Duration) {
        if planted("blob_slow_never_set_aside") {
            return;
        }
        let mut disks = self.disks.lock().expect("no holder panics");
        let pace = disks.entry(disk.id).or_default();
        pace.strikes = match wait {
            Wait::Unusual => (pace.strikes + 1).min(STRIKE_COUNT_MAX),
            Wait::Long => STRIKE_COUNT_MAX,
        };
        if pace.strikes < STRIKE_COUNT_MAX || now < pace.aside_until {
            return;
        }
        pace.aside_for = (pace.aside_for * 2).clamp(ASIDE_FIRST, ASIDE_MAX);
        pace.aside_until = now + pace.aside_for;
        let seconds = pace.aside_for.as_secs();
        tracing::warn!(
            disk = %disk.name, zone = %disk.zone, seconds,
            "disk is slow: reads ask others first"
        );
    }

    /// Whether others are asked first at `now`.
    pub(crate) fn is_aside(&self, disk: DiskId, now: Duration) -> bool {
        let disks = self.disks.lock().expect("no holder panics");
        disks.get(&disk).is_some_and(|pace| now < pace.aside_until)
    }

    /// Notes that a stripe is read: so many pay for a hedge.
    pub(crate) fn read_begun(&self) {
        let mut saved = self.saved.lock().expect("no holder panics");
        *saved = (*saved + 1).min(HEDGES_SAVED_MAX * READS_PER_HEDGE);
    }

    /// Takes the price of one hedge; false when it is not there.
    pub(crate) fn pay_hedge(&self) -> bool {
        let mut saved = self.saved.lock().expect("no holder panics");
        let left = saved.checked_sub(READS_PER_HEDGE);
        *saved = left.unwrap_or(*saved);
        left.is_some()
    }
}

impl DiskPace {
    fn sample(&mut self, took: Duration) {
        self.sample_count = self.sample_count.saturating_add(1);
        if self.sample_count == 1 {
            (self.mean, self.deviation) = (took, took / 2);
            return;
        }
        let off = self.mean.abs_diff(took);
        self.deviation = self.deviation - self.deviation / DEVIATION_PARTS + off / DEVIATION_PARTS;
        self.mean = self.mean - self.mean / MEAN_PARTS + took / MEAN_PARTS;
    }

    fn limit(&self) -> Duration {
        self.mean + self.deviation * DEVIATIONS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_millis(25);
    const MOST: Duration = Duration::from_secs(1);

    fn id(number: u8) -> DiskId {
        DiskId([number; 16])
    }

    fn answered(pace: &Pace, disk: u8, millis: u64, count: u32) {
        for _ in 0..count {
            pace.answered(id(disk), Duration::from_millis(millis), LEAST);
        }
    }

    #[test]
    fn while_little_is_known_the_longest_wait_is_allowed() {
        let pace = Pace::default();
        assert_eq!(pace.limit(LEAST, MOST), MOST);
        answered(&pace, 1, 1, SAMPLE_COUNT_MIN - 1);
        assert_eq!(pace.limit(LEAST, MOST), MOST);
        answered(&pace, 1, 1, 1);
        assert_eq!(pace.limit(LEAST, MOST), LEAST);
    }

    #[test]
    fn one_slow_disk_of_three_does_not_move_the_limit() {
        let pace = Pace::default();
        answered(&pace, 1, 2, 100);
        answered(&pace, 2, 2, 100);
        answered(&pace, 3, 5000, 100);
        assert_eq!(pace.limit(LEAST, MOST), LEAST);
    }

    /// H32: disks that share a device stall together, and none is to blame.
    #[test]
    fn h32_the_limit_grows_when_all_disks_are_slow() {
        let pace = Pace::default();
        for disk in 1..=3 {
            answered(&pace, disk, 1, 100);
            answered(&pace, disk, 200, 100);
        }
        let limit = pace.limit(LEAST, MOST);
        assert!(limit >= Duration::from_millis(190), "{limit:?}");
        assert!(limit < MOST, "{limit:?}");
    }

    #[test]
    fn hedges_are_paid_for_by_reads() {
        let pace = Pace::default();
        let burst = (0..1000).filter(|_| pace.pay_hedge()).count();
        assert_eq!(burst, HEDGES_SAVED_MAX as usize);
        let later = (0..1000).filter(|_| {
            pace.read_begun();
            pace.pay_hedge()
        });
        assert_eq!(later.count(), 1000 / READS_PER_HEDGE as usize);
    }
}
