//! What the store stands on: its code, and which folders share a device.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The whole answer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Topology {
    /// The clock of the server, in seconds since 1970.
    pub time_unix_seconds: u64,
    /// Whether a time service says that it keeps the clock; absent when none that is known runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_synchronized: Option<bool>,
    /// Data shards of new blobs with every disk in service: k. 0 when there is no disk.
    pub data_shards: u32,
    /// Parity shards of them: m.
    pub parity_shards: u32,
    /// Most shards of one stripe in a zone.
    pub shards_per_zone: u32,
    /// In configured order.
    pub zones: Vec<ZoneTopology>,
}

/// One zone.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ZoneTopology {
    /// Its name.
    pub name: String,
    pub disks: Vec<DiskTopology>,
}

/// One disk.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DiskTopology {
    /// The folder.
    pub folder: String,
    /// The file system, as `major:minor`; absent when the folder is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system: Option<String>,
    /// The devices below it that fail by themselves, through partitions, volumes and loops: names
    /// of the system. Empty when the folder is not there.
    pub devices: Vec<String>,
}
