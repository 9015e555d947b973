//! How the store is: the whole, its zones, its disks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LockClock;

/// The whole answer.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Version of the running binary.
    pub version: String,
    /// Seconds since the process started.
    pub uptime_seconds: u64,
    /// Whether reads are served.
    pub readable: bool,
    /// Whether writes are acknowledged.
    pub writable: bool,
    /// Why not, when either is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What this configuration survives and what it does not, in one sentence.
    pub survives: String,
    /// The store; absent while it is being opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<EngineStatus>,
}

/// The engine's part of the answer.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct EngineStatus {
    /// Drawn when the store was created.
    pub store_id: String,
    /// The generation in force.
    pub generation: u64,
    /// Number of this start of the process, among all starts of the store.
    pub run: u64,
    /// Number of the last acknowledged batch.
    pub log_position: u64,
    /// Metadata transactions since the process started.
    pub commits: u64,
    /// Batches since the process started.
    pub batches: u64,
    /// Syncs of log files since the process started, over all zones.
    pub log_syncs: u64,
    /// Syncs of segment files since the process started, over all disks.
    pub segment_syncs: u64,
    /// Blobs known to have less redundancy than asked for; absent while the index does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blobs_reduced: Option<u64>,
    /// Bytes of the commit log that are kept, of the largest member; absent while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,
    /// From how many on small objects move out of it, so that it can be given back.
    #[serde(default)]
    pub log_bytes_wanted: u64,
    /// Seconds since the oldest deletion whose space was not given back yet; absent when there is none,
    /// or while the index does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buried_seconds: Option<u64>,
    /// How long deleted bytes are held back.
    #[serde(default)]
    pub hold_back_seconds: u64,
    /// What locks expire by; absent before the log was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_clock: Option<LockClock>,
    /// Zones in configured order.
    pub zones: Vec<ZoneStatus>,
}

/// One zone.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ZoneStatus {
    /// Its name.
    pub name: String,
    /// Whether commits are acknowledged by it.
    pub in_service: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its disks.
    pub disks: Vec<DiskStatus>,
    /// Whether it is drained: it takes no new shards, and is to leave the store.
    #[serde(default)]
    pub draining: bool,
}

/// One disk.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DiskStatus {
    /// The folder.
    pub folder: String,
    /// Identity drawn when it was formatted.
    pub id: String,
    /// Whether it is written to.
    pub in_service: bool,
    /// Whether the commit log of its member is on it, in service.
    #[serde(default)]
    pub log: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bytes that can still be written; absent when the disk does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_free: Option<u64>,
    /// Bytes in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
    /// How far it is emptied; absent when it is not being drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainStatus>,
}

/// A disk that is being emptied.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DrainStatus {
    /// Segment files still on it, as the last look found; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments_left: Option<u64>,
    /// Their bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_left: Option<u64>,
    /// Bytes moved off it since the server started.
    pub bytes_moved: u64,
    /// Why what is left can not be moved now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

/// The request of a call that takes none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParameters {}

/// All zones.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Zones {
    /// In configured order.
    pub zones: Vec<ZoneSummary>,
}

/// One zone, its disks added up.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ZoneSummary {
    /// Its name.
    pub name: String,
    /// Whether commits are acknowledged by it.
    pub in_service: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many disks it has.
    pub disks: u64,
    /// How many of them are written to.
    pub disks_in_service: u64,
    /// Bytes that can still be written to those that answer.
    pub bytes_free: u64,
    /// Bytes in all of those that answer.
    pub bytes_total: u64,
    /// Whether it is drained: it takes no new shards, and is to leave the store.
    #[serde(default)]
    pub draining: bool,
    /// While it is drained: blobs of the store that are known to be written anew still. The walk that
    /// finds them begins within seconds of the drain or of a start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blobs_left: Option<u64>,
}

impl From<&ZoneStatus> for ZoneSummary {
    fn from(zone: &ZoneStatus) -> Self {
        let sum = |bytes: fn(&DiskStatus) -> Option<u64>| zone.disks.iter().filter_map(bytes).sum();
        Self {
            name: zone.name.clone(),
            in_service: zone.in_service,
            reason: zone.reason.clone(),
            disks: zone.disks.len() as u64,
            disks_in_service: zone.disks.iter().filter(|disk| disk.in_service).count() as u64,
            bytes_free: sum(|disk| disk.bytes_free),
            bytes_total: sum(|disk| disk.bytes_total),
            draining: zone.draining,
            blobs_left: None,
        }
    }
}

/// All disks.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Disks {
    /// Zone by zone, in configured order.
    pub disks: Vec<DiskInZone>,
}

/// A disk and its zone.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DiskInZone {
    /// Name of the zone.
    pub zone: String,
    #[serde(flatten)]
    pub disk: DiskStatus,
}
