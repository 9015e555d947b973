//! Scrub, repair and the redundancy of what is stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Entries of a page of lost objects when no limit is given.
pub const LOST_PAGE_DEFAULT: u32 = 100;
/// Most entries of a page of lost objects.
pub const LOST_PAGE_MAX: u32 = 1000;
/// Slowest rate repair may be bound to, in bytes per second: slower would take years.
pub const REPAIR_RATE_MIN: u64 = 64 * 1024;

/// How many blobs (an object, or a part of one) stand so.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct LevelCount {
    /// `full`, `reduced`, `critical` (the next loss of a disk takes it), `unreachable` (its disks are
    /// out), `lost`.
    pub level: String,
    pub blobs: u64,
    pub bytes: u64,
}

/// How many blobs have shards missing in a zone.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ZoneMissing {
    /// Its name.
    pub zone: String,
    pub blobs: u64,
    pub bytes: u64,
    /// Of them, how many stand how; best first.
    #[serde(default)]
    pub levels: Vec<LevelCount>,
}

/// An object that is not full.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Unprotected {
    /// When it was written.
    pub written: String,
    /// Absent when the bucket is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Identity of its blob.
    pub blob: String,
}

/// What repair is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RepairPhase {
    /// Nothing to do, or nothing that can be done now.
    #[default]
    Idle,
    /// Missing shards are made.
    Repairing,
    /// What was made is read back.
    Verifying,
}

/// How what is stored stands, and how far repair is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RepairStatus {
    /// When the blobs were last walked over; absent before the first walk of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub walked: Option<String>,
    /// Whether the disks are as they were at that walk. When not, the next walk begins within seconds,
    /// and what is said here is of before.
    #[serde(default)]
    pub current: bool,
    /// Whether everything is full and was verified after it was made. Never when not `current`.
    pub whole: bool,
    /// Storage class of what is counted: the only one there is.
    #[serde(default)]
    pub storage_class: String,
    /// Every level, best first.
    pub levels: Vec<LevelCount>,
    /// Zones in which shards are missing.
    pub zones: Vec<ZoneMissing>,
    /// Small contents, in the commit log of each zone in service or in packs, which are blobs: how
    /// many.
    pub small: u64,
    /// Their bytes.
    pub small_bytes: u64,
    /// Since when there are blobs that are not full; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// How long that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_seconds: Option<u64>,
    /// Of the objects that are not full, the one that was written first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Unprotected>,
    pub phase: RepairPhase,
    /// Of this round: blobs repaired, and blobs verified.
    pub blobs_done: u64,
    pub bytes_done: u64,
    /// Both together, at the round's begin.
    pub blobs_total: u64,
    pub bytes_total: u64,
    /// Bytes of content in a second: of the round under way, or of the last since the process started.
    pub bytes_per_second: u64,
    /// Bound on that; 0 when there is none.
    pub bytes_per_second_max: u64,
    /// Until the round ends, by the rate so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// Blobs that the last round could not make whole; the first 100.
    pub failed: Vec<String>,
}

/// What is changed about repair.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepairSetRequest {
    /// Most bytes of content in a second, from the next batch on and over restarts; 0 for no bound.
    pub bytes_per_second_max: u64,
}

/// Which page of the lost objects.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LostRequest {
    /// Only those after this one: `next` of the page before.
    #[serde(default)]
    pub after: Option<String>,
    /// Most entries of the page.
    #[serde(default)]
    #[schemars(range(min = 1, max = LOST_PAGE_MAX))]
    pub limit: Option<u32>,
}

/// Something lost.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Lost {
    /// Absent for a pack of small objects, and when the bucket is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// Absent for a pack of small objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Absent for a part of an upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Of a part of an upload that is not completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,
    /// Identity of the blob.
    pub blob: String,
    /// Identity of the pack it was lost with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<String>,
    /// Bytes of the blob.
    pub bytes: u64,
    /// When it was found.
    pub since: String,
}

/// A page of what is lost.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct LostPage {
    pub lost: Vec<Lost>,
    /// Where the next page starts; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which page of the contents of lost packs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LostPackedRequest {
    /// Only those after this one: `next` of the page before.
    #[serde(default)]
    pub after: Option<String>,
}

/// A page of what is lost with packs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct LostPackedPage {
    pub lost: Vec<Lost>,
    /// Contents of lost packs, met on this page, that can still be read.
    pub readable: u64,
    /// Where the next page starts; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How far scrub is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ScrubStatus {
    /// Whether a pass is under way.
    pub running: bool,
    /// Whether a pass was asked for and has not ended.
    #[serde(default)]
    pub asked: bool,
    /// When it began; absent when none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<String>,
    /// When the last whole pass ended; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    /// Time in which all is to be read once.
    pub period_seconds: u64,
    /// Of the pass that is under way, or of the last.
    pub blobs: u64,
    pub bytes: u64,
    /// Shards that were missing or damaged.
    pub shards_bad: u64,
    /// Of them, those written anew.
    pub shards_repaired: u64,
    /// Blobs that can not be read any more.
    pub blobs_lost: u64,
    /// Bytes of all blobs, by the last walk; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
    /// Bytes of content in a second.
    pub bytes_per_second: u64,
}
