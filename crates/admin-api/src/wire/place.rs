//! Where the bytes of an object are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most parts of one page: each costs a read of every segment header of it.
pub const PARTS_PAGE_MAX: u32 = 100;
/// Most parts of one page that is verified: a part may have 5 GiB, and all of it is read.
pub const VERIFY_PARTS_MAX: u32 = 1;

/// Which object.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhereRequest {
    pub bucket: String,
    pub key: String,
    /// The current version when none is given.
    #[serde(default)]
    pub version_id: Option<String>,
    /// Whether every shard is read and checked.
    #[serde(default)]
    pub verify: Option<bool>,
    /// Only parts after this number: `next` of the page before.
    #[serde(default)]
    pub after: Option<u16>,
    /// Most parts of the page; 1 with `verify`.
    #[serde(default)]
    #[schemars(range(min = 1, max = PARTS_PAGE_MAX))]
    pub limit: Option<u32>,
}

/// A page of the parts of an object.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ObjectPlaces {
    pub bucket: String,
    pub key: String,
    /// Absent in a bucket that was never versioned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Of the whole object.
    pub bytes: u64,
    pub last_modified: String,
    /// One for an object that was not uploaded in parts.
    pub parts: Vec<PartPlaces>,
    /// Where the next page starts; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u16>,
}

/// A part, or an object that has none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PartPlaces {
    /// Absent for an object that was not uploaded in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u16>,
    pub bytes: u64,
    pub stored: Stored,
    /// Identity of its blob; absent when it has no bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
    /// Identity of the pack that holds it with other small blobs, when it is stored in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<String>,
    /// Where it begins in the pack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack_offset: Option<u64>,
    /// Whether it has less redundancy than asked for, because disks were out.
    pub reduced: bool,
    /// Its stripes, or those of its pack, in the order of the bytes; none when it is stored in the
    /// log.
    pub runs: Vec<RunPlaces>,
}

/// How bytes are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stored {
    /// There are none.
    Empty,
    /// In the commit log of every zone in service, with the record.
    Log,
    /// In shards, spread over zones and disks.
    Shards,
    /// As `shards`, together with the bytes of other small objects.
    Pack,
}

/// Stripes that follow each other in the same segments.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunPlaces {
    /// Data shards of each stripe: k.
    pub data_shards: u32,
    /// Parity shards of each stripe: m. Any k of the k + m shards give the stripe.
    pub parity_shards: u32,
    pub stripes: u64,
    /// Where the run starts in each segment.
    pub offset: u64,
    /// Bytes it takes of each segment.
    pub bytes: u64,
    pub shards: Vec<ShardPlace>,
}

/// One shard of every stripe of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShardPlace {
    pub index: u32,
    pub role: ShardRole,
    /// Absent when nothing that can be read says where the shard belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The folder of its disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// The file, relative to the folder.
    pub segment: String,
    pub state: ShardState,
}

/// What a shard holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShardRole {
    /// Bytes of the object.
    Data,
    /// What lost bytes are computed from.
    Parity,
}

/// What is known of a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShardState {
    /// Its segment is where it belongs, on a disk in service. Its bytes were not read.
    Present,
    /// Its bytes were read and every checksum holds.
    Verified,
    /// Its segment or some of its bytes are damaged.
    Damaged,
    /// Its disk is in service and has no such segment.
    Missing,
    /// Its disk is out of service, or none is known.
    Out,
}
