//! Object Lock as plain data: what a version is locked by, and what a bucket locks new ones by.

use strongroom_base::Timestamp;
use time::{Duration, OffsetDateTime};

/// Longest default retention, in days (OL06).
pub const DEFAULT_RETENTION_DAYS_MAX: u32 = 36_500;
/// Longest default retention, in years (OL06).
pub const DEFAULT_RETENTION_YEARS_MAX: u32 = 100;

/// How strict a retention is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LockMode {
    /// Who is allowed to, and says so in the request, may end it early.
    Governance,
    /// Nobody ends it early.
    Compliance,
}

/// Until when a version may not be removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    pub mode: LockMode,
    /// Seconds since the Unix epoch; what a client asks for with a fraction is rounded up.
    pub until: u64,
}

impl Retention {
    /// Whether it is in force at this time of the lock clock.
    #[must_use]
    pub const fn holds(&self, at: Timestamp) -> bool {
        self.until > at.seconds()
    }
}

/// A hold without an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LegalHold {
    On,
    /// It was on once, or was set so: what was never set is no hold at all (OL28).
    Off,
}

/// Object lock of one version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lock {
    pub retention: Option<Retention>,
    pub legal_hold: Option<LegalHold>,
}

impl Lock {
    /// Whether nothing of it was ever set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.retention.is_none() && self.legal_hold.is_none()
    }
}

/// How long a bucket locks new versions that ask for nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetentionPeriod {
    Days(u32),
    /// Of the calendar.
    Years(u32),
}

impl RetentionPeriod {
    /// When a period that begins at `at` is over: seconds since the Unix epoch.
    #[must_use]
    pub fn end(self, at: Timestamp) -> u64 {
        let start = at.0.div_ceil(NANOS_PER_SECOND);
        let calendar = i64::try_from(start).ok().and_then(|start| {
            let start = OffsetDateTime::from_unix_timestamp(start).ok()?;
            match self {
                Self::Days(days) => start.checked_add(Duration::days(i64::from(days))),
                Self::Years(years) => later_year(start, i32::try_from(years).ok()?),
            }
        });
        // A date beyond the calendar: a lock that never ends rather than none.
        calendar.map_or(u64::MAX, |end| end.unix_timestamp().unsigned_abs())
    }
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The same day of a later year; the first of March where there is no 29 February.
fn later_year(start: OffsetDateTime, years: i32) -> Option<OffsetDateTime> {
    let year = start.year().checked_add(years)?;
    start.replace_year(year).ok().or_else(|| {
        let day_after = start.checked_add(Duration::days(1))?;
        day_after.replace_year(year).ok()
    })
}

/// What a bucket locks new versions by (OL07).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DefaultRetention {
    pub mode: LockMode,
    pub period: RetentionPeriod,
}

/// Why a version is not removed, or its lock not changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockedBy {
    LegalHold,
    Compliance,
    Governance,
}

impl LockedBy {
    /// As records of a refusal name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LegalHold => "legal hold",
            Self::Compliance => "compliance",
            Self::Governance => "governance",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-02-29T12:00:00Z.
    const LEAP_DAY: u64 = 1_709_208_000;

    fn end(period: RetentionPeriod, seconds: u64) -> u64 {
        period.end(Timestamp(seconds * NANOS_PER_SECOND))
    }

    #[test]
    fn a_period_is_of_days_or_of_calendar_years() {
        assert_eq!(end(RetentionPeriod::Days(1), LEAP_DAY), LEAP_DAY + 86_400);
        // 2028-02-29 and 2025-03-01.
        assert_eq!(end(RetentionPeriod::Years(4), LEAP_DAY), 1_835_438_400);
        assert_eq!(end(RetentionPeriod::Years(1), LEAP_DAY), 1_740_830_400);
    }

    #[test]
    fn a_fraction_of_a_second_is_never_cut_from_a_lock() {
        let end = RetentionPeriod::Days(1).end(Timestamp(LEAP_DAY * NANOS_PER_SECOND + 1));
        assert_eq!(end, LEAP_DAY + 86_401);
    }

    #[test]
    fn a_date_beyond_the_calendar_never_ends() {
        let last_year = Timestamp(u64::MAX);
        assert!(RetentionPeriod::Years(100).end(last_year) > last_year.seconds());
        assert_eq!(RetentionPeriod::Days(u32::MAX).end(last_year), u64::MAX);
    }
}
