//! Sizes and times an operator or a test may choose, and the limits nobody may.

use std::time::Duration;

use strongroom_blob::{Error, ErrorKind, Result};

use crate::block::BLOCK_SIZE_BYTES;
use crate::geometry::Geometry;
use crate::segment::SEGMENT_HEADER_SIZE_BYTES;

/// Most blocks of one shard of a stripe: 1 MiB on disk, which with the queue length bounds the
/// memory waiting for one disk.
pub const SHARD_BLOCK_COUNT_MAX: usize = 16;
/// Most stripes of one upload that wait for disks: one is written while the next is filled.
pub const STRIPES_IN_FLIGHT_MAX: usize = 2;
/// Stripes a read fetches ahead of its reader, the one being read included.
pub const STRIPES_READ_AHEAD: usize = 2;
/// Most requests this store keeps in the queue of one disk's writing thread. Below that thread's own
/// limit, so that queueing never blocks a thread of the runtime.
pub const WRITES_PER_DISK_MAX: usize = 48;
/// Most reads in flight on one disk: a hung disk can hold no more threads than that.
pub const READS_PER_DISK_MAX: usize = 32;
/// How often a blob may be written anew because disks failed while it was written. Each failure takes
/// a disk out, so more would mean that the machine is failing.
pub const REWRITE_ATTEMPTS_MAX: usize = 3;
/// How many groups may fail to be created before a put gives up: each failure takes a disk out.
pub const GROUP_ATTEMPTS_MAX: usize = 8;
/// Repair jobs waiting. What finds no room is found again by a scrub.
pub const REPAIR_JOBS_MAX: usize = 1024;
/// Most bytes of an owner: the footer is read into memory.
pub const OWNER_SIZE_BYTES_MAX: usize = 64 * 1024;
/// Groups one mark scan looks at: a bitmap of 8 KiB for each, 32 MiB in all, and 1 TiB a shard.
pub const MARK_GROUPS_MAX: usize = 4096;
/// Open segment files kept for reading: half of what a process may open by default.
pub const FILES_OPEN_MAX: usize = 512;
/// Largest blob. Far above what a client may send in one request, and below what a place can count.
pub const BLOB_SIZE_BYTES_MAX: u64 = 1 << 44;
/// How often a wait for a disk asks whether that disk is still in service.
pub const SERVICE_POLL: Duration = Duration::from_millis(100);

/// Sizes and times of the store.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of a segment file, header included.
    pub segment_size: u64,
    /// Content bytes a full stripe has at most; a stripe has at least one block per data shard.
    pub stripe_size: usize,
    /// Bytes of a segment file reserved on disk ahead of its writes.
    pub reserve_step: u64,
    /// Bytes kept free on each disk, for the log and for deletes.
    pub free_space_min: u64,
    /// Bypass the page cache where the file system can.
    pub direct: bool,
    /// How long a read waits at most for the shards it asked first before it asks others as well. In
    /// practice as long as reads take lately (see `pace`).
    pub hedge_after: Duration,
    /// How long a segment group must have been without any live byte before its files are removed,
    /// and at least two mark scans.
    pub unlink_after: Duration,
    /// How long it waits at least: disks that answer in microseconds may pause for milliseconds.
    pub hedge_after_min: Duration,
    /// How long the read of a stripe may take before it answers `Unavailable`.
    pub read_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_size: 256 * 1024 * 1024,
            stripe_size: 2 * 1024 * 1024,
            reserve_step: 16 * 1024 * 1024,
            free_space_min: 256 * 1024 * 1024,
            direct: true,
            hedge_after: Duration::from_secs(1),
            unlink_after: Duration::from_secs(3600),
            hedge_after_min: Duration::from_millis(25),
            read_limit: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// # Errors
    /// `Invalid` when a segment can not hold one stripe of the narrowest code.
    pub(crate) fn check(&self) -> Result<()> {
        let widest = Geometry::new(1, self.shard_block_count(1)).shard_size_full();
        let least = SEGMENT_HEADER_SIZE_BYTES + widest;
        if self.segment_size < least || !self.segment_size.is_multiple_of(4096) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "segment_size {} is below {least} or no multiple of 4096",
                    self.segment_size
                ),
            ));
        }
        if self.segment_size > u64::from(u32::MAX) || self.reserve_step == 0 {
            return Err(Error::new(
                ErrorKind::Invalid,
                "segment_size is 4 GiB or more, or reserve_step is 0",
            ));
        }
        Ok(())
    }

    /// Blocks of a shard of a full stripe under a code with `data_count` data shards.
    pub(crate) fn shard_block_count(&self, data_count: usize) -> usize {
        (self.stripe_size / data_count / BLOCK_SIZE_BYTES).clamp(1, SHARD_BLOCK_COUNT_MAX)
    }
}
