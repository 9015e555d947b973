//! Where a blob lies, for people who look at disks.

/// What [`crate::BlobStore::locate`] found. Runs stand in the order of the blob's bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Location {
    /// Bytes of the blob. What the store keeps beside them is counted in the runs.
    pub size: u64,
    pub runs: Vec<RunLocation>,
}

/// Stripes that follow each other in the same segments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunLocation {
    /// Data shards of each stripe: k.
    pub data_shards: u32,
    /// Parity shards of each stripe: m.
    pub parity_shards: u32,
    pub stripes: u64,
    /// Bytes of each segment that the run takes, from `offset` on.
    pub offset: u64,
    pub size: u64,
    /// One for each shard of a stripe, by shard index: k + m.
    pub shards: Vec<ShardLocation>,
}

/// One shard of every stripe of a run: they lie one after the other in one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardLocation {
    /// None when nothing that can be read says where the shard belongs.
    pub zone: Option<String>,
    /// The folder, as the operator named it.
    pub disk: Option<String>,
    /// The segment, relative to the disk.
    pub segment: String,
    pub state: ShardState,
}

/// What is known of a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShardState {
    /// Its segment is where it belongs, on a disk in service. Its bytes were not read.
    Present,
    /// Its bytes were read and every checksum holds.
    Verified,
    /// Its segment or some of its bytes are damaged, or were damaged when they were read.
    Damaged,
    /// Its disk is in service and has no such segment.
    Missing,
    /// Its disk is out of service, or none is known.
    Out,
}

impl ShardState {
    /// Whether a read can count on the shard, as far as is known.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Present | Self::Verified)
    }
}
