//! Object Lock: the clock that locks expire by, and what is locked until when.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Versions looked at for a page of locks when no limit is given.
pub const LOCKS_PAGE_DEFAULT: u32 = 1000;
/// Most versions looked at for a page of locks.
pub const LOCKS_PAGE_MAX: u32 = 10_000;

/// What locks expire by.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct LockClock {
    /// The time that locks expire by, in seconds since 1970.
    pub time_unix_seconds: u64,
    /// The server's clock when it was last looked at, in seconds since 1970.
    pub clock_unix_seconds: u64,
    /// Whether the clock is ahead of the time that can have passed: locks expire by the time that passes
    /// until the clock is confirmed.
    pub held: bool,
}

/// The time an operator read elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmClockRequest {
    /// RFC 3339, such as `2026-11-23T12:00:00Z`. It must agree with the server's clock to a minute.
    pub time: String,
}

/// Which locks.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocksRequest {
    /// Of this bucket.
    pub bucket: String,
    /// Only what follows this place: `next` of the page before.
    #[serde(default)]
    pub after: Option<String>,
    /// Most versions to look at.
    #[serde(default)]
    #[schemars(range(min = 1, max = LOCKS_PAGE_MAX))]
    pub limit: Option<u32>,
}

/// What is locked among the versions that were looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct LocksPage {
    /// Added up by mode and month of expiry.
    pub locks: Vec<LockedVersions>,
    /// Versions and delete markers looked at.
    pub versions_examined: u64,
    /// The lock clock it was made by, in seconds since 1970: what is over by it is not counted.
    pub time_unix_seconds: u64,
    /// Where the next page starts; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Locked versions of one mode that expire in one month. A version with retention and a legal hold is
/// counted under both.
#[derive(
    Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize, JsonSchema,
)]
pub struct LockedVersions {
    /// `governance`, `compliance` or `legal hold`.
    pub mode: String,
    /// Such as `2026-12`; absent for legal holds, which have no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month: Option<String>,
    pub versions: u64,
    pub bytes: u64,
}
