//! What would be left if disks were lost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LevelCount;

/// Most blobs of a page: a second or so of reading the index.
pub const SIMULATE_PAGE_MAX: u32 = 20_000;

/// Which losses, and which page of the contents.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulateRequest {
    /// What is lost at once: `zone=NAME` and `disk=FOLDER` or `disk=ID`, apart by commas.
    pub lose: String,
    /// Only contents after this one: `next` of the page before.
    #[serde(default)]
    pub after: Option<String>,
    /// Most contents of the page.
    #[serde(default)]
    #[schemars(range(min = 1, max = SIMULATE_PAGE_MAX))]
    pub limit: Option<u32>,
}

/// What would be left: the whole, and a page of the contents.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Simulated {
    /// The disks that would be lost.
    pub disks: Vec<LostDisk>,
    /// Whether reads and lists would go on, as far as what they need is left.
    pub readable: bool,
    /// Whether writes would go on.
    pub writable: bool,
    /// Why not, when either is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Members (zones, or the disks of a store of one zone) that would be left in service.
    pub members_left: u32,
    /// And how many writes need.
    pub members_needed: u32,
    /// Copies of the commit log that would be left. Small objects that are not in packs, and all
    /// records, are in it.
    pub log_copies_left: u32,
    /// And how many there are in service now.
    pub log_copies: u32,
    /// The contents of this page, each an object or a part of one, by how they would stand; best first.
    pub levels: Vec<LevelCount>,
    /// Where the next page starts; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A disk that is thought to be lost.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct LostDisk {
    /// Its zone.
    pub zone: String,
    /// Its folder.
    pub folder: String,
    /// Its identity.
    pub id: String,
}
