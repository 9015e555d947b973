//! Locks as they travel.

use strongroom_admin_api::{ApiError, LockedVersions, LocksPage, Result};
use strongroom_base::Timestamp;
use strongroom_objects::{LockMode, LockedCount, LockedPage, LockedUntil};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The time an operator wrote.
pub(crate) fn time_of(text: &str) -> Result<Timestamp> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok();
    let seconds = time.and_then(|time| u64::try_from(time.unix_timestamp()).ok());
    let nanos = seconds.and_then(|seconds| seconds.checked_mul(NANOS_PER_SECOND));
    nanos
        .map(Timestamp)
        .ok_or_else(|| ApiError::invalid("the time is not of the form 2026-11-23T12:00:00Z"))
}

/// A place in the versions of a bucket, from its text.
pub(crate) fn place(text: &str) -> Result<Vec<u8>> {
    hex::decode(text).map_err(|_| ApiError::invalid("after is not the next of a page"))
}

pub(crate) fn wire_page(page: LockedPage) -> LocksPage {
    LocksPage {
        locks: page.locked.into_iter().map(wire_locked).collect(),
        versions_examined: page.examined,
        time_unix_seconds: page.time.seconds(),
        next: page.next.map(hex::encode),
    }
}

fn wire_locked((until, count): (LockedUntil, LockedCount)) -> LockedVersions {
    let (mode, month) = match until {
        LockedUntil::Month(mode, year, month) => {
            (mode_name(mode), Some(format!("{year:04}-{month:02}")))
        }
        LockedUntil::Never(mode) => (mode_name(mode), None),
        LockedUntil::LegalHold => ("legal hold", None),
    };
    LockedVersions {
        mode: mode.to_owned(),
        month,
        versions: count.versions,
        bytes: count.bytes,
    }
}

const fn mode_name(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Governance => "governance",
        LockMode::Compliance => "compliance",
    }
}
