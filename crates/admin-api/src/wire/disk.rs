//! Changes of the disks and zones.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A new disk in the place of one that is dead.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceDiskRequest {
    /// The dead one: its id, or its folder as the list of disks shows it.
    pub disk: String,
    /// Absolute path of an empty folder on the new disk, on the machine of the server.
    pub folder: String,
    /// Although a disk of another zone is out of service as well.
    #[serde(default)]
    pub force: Option<bool>,
}

/// One more disk in a zone.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddDiskRequest {
    /// Name of the zone.
    pub zone: String,
    /// Absolute path of an empty folder on the new disk, on the machine of the server.
    pub folder: String,
}

/// A disk of the store.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskRequest {
    /// Its id, or its folder as the list of disks shows it.
    pub disk: String,
}

/// The disk that was changed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DiskChanged {
    /// Its identity.
    pub id: String,
    /// Its zone.
    pub zone: String,
    /// Where it is.
    pub folder: String,
}

/// The disk that came in.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DiskJoined {
    /// Identity drawn for it.
    pub id: String,
    /// Its zone.
    pub zone: String,
    /// Where it is: what the next start must be given.
    pub folder: String,
}

/// One more zone.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddZoneRequest {
    /// Its name, one that no zone of the store has or had.
    pub zone: String,
    /// Absolute paths of empty folders, one for each disk, on the machine of the server, with commas
    /// between them.
    pub folders: String,
}

/// A zone of the store.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneRequest {
    /// Its name.
    pub zone: String,
}

/// The zone that was changed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ZoneChanged {
    /// Its name.
    pub zone: String,
    /// The folders of its disks.
    pub folders: Vec<String>,
}
