//! What `/v1/status` answers. Versioned by its path: fields are added, never renamed or removed.

use serde::{Deserialize, Serialize};

/// The whole answer.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
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
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
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
    /// Zones in configured order.
    pub zones: Vec<ZoneStatus>,
}

/// One zone.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
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
}

/// One disk.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct DiskStatus {
    /// The folder.
    pub folder: String,
    /// Identity drawn when it was formatted.
    pub id: String,
    /// Whether it is written to.
    pub in_service: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bytes that can still be written; absent when the disk does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_free: Option<u64>,
    /// Bytes in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
}

/// Where the answer comes from. May touch disks (free space): called off the request threads.
pub trait StatusSource: Send + Sync + 'static {
    /// The status as it is now.
    fn status(&self) -> Status;
}
