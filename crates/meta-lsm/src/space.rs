//! Space for the log, and what may use the last of it.
//!
//! A log that can not grow can not record a delete either, and the disk under it goes out of service:
//! a store filled to the brim would end itself. So new content is refused while there is still room
//! for deletes, and everything is while there is still room for what recovery writes.
//!
//! One disk that is full while a majority has room (another program filled it) is another matter: it
//! goes out of service, and the store goes on as it does without any other disk.
//!
//! Free space is measured by the thread that watches a disk, and what was appended since is taken off.

use std::collections::HashMap;
use strongroom_base::sync::Mutex;

use strongroom_meta::{Error, ErrorKind, Result};
use strongroom_zones::DiskId;

/// Free bytes of a log disk below which transactions that carry content are refused. The blob store
/// stops above it; the rest is a hundred thousand deletes of one object, or more of many at once.
pub const CONTENT_SPACE_MIN_BYTES: u64 = 128 * 1024 * 1024;
/// Free bytes of a log disk below which every transaction is refused: room for one batch of the
/// largest size, for the flush of an index view, and for superblocks and files of new generations.
pub const LOG_SPACE_MIN_BYTES: u64 = 64 * 1024 * 1024;
/// Free bytes a disk that is out must have to be admitted: it would fail at its next file. Below what
/// the store leaves by itself, or a full store could not recover. While a majority has room it takes
/// [`CONTENT_SPACE_MIN_BYTES`], so that a full disk does not go out and in.
pub const ADMIT_SPACE_MIN_BYTES: u64 = 16 * 1024 * 1024;

const _: () = assert!(ADMIT_SPACE_MIN_BYTES < LOG_SPACE_MIN_BYTES);
const _: () = assert!(LOG_SPACE_MIN_BYTES < CONTENT_SPACE_MIN_BYTES);

/// The free space of the disks, as far as it is known.
#[derive(Default)]
pub struct Space {
    free: Mutex<HashMap<DiskId, u64>>,
}

impl Space {
    /// Notes what a disk said.
    pub fn measured(&self, disk: DiskId, free: u64) {
        self.free
            .lock()
            .expect("no holder panics")
            .insert(disk, free);
    }

    /// Notes that `bytes` were appended to the log on each of `disks`.
    pub fn appended(&self, disks: &[DiskId], bytes: u64) {
        let mut free = self.free.lock().expect("no holder panics");
        for disk in disks {
            if let Some(free) = free.get_mut(disk) {
                *free = free.saturating_sub(bytes);
            }
        }
    }

    /// The free bytes that count for an append to `disks`: those of the fullest, disks that are
    /// [crowded](Self::is_crowded) not counted. One that was not measured yet is not the fullest.
    pub fn least(&self, disks: &[DiskId], majority: usize) -> u64 {
        let counted = |disk: &&DiskId| !self.is_crowded(**disk, disks, majority);
        let counted: Vec<DiskId> = disks.iter().filter(counted).copied().collect();
        let known = counted.iter().filter_map(|disk| self.free_of(*disk));
        known.min().unwrap_or(u64::MAX)
    }

    /// Whether `disk` alone keeps the log from growing: it is too full for any transaction, and a
    /// majority of members has room without it. The store goes on better without such a disk.
    pub fn is_crowded(&self, disk: DiskId, log_disks: &[DiskId], majority: usize) -> bool {
        let is_low = |free: u64| free < LOG_SPACE_MIN_BYTES;
        self.free_of(disk).is_some_and(is_low) && self.have_room(disk, log_disks, majority)
    }

    /// Whether a majority of members has room without `disk`.
    pub fn have_room(&self, disk: DiskId, log_disks: &[DiskId], majority: usize) -> bool {
        let others = log_disks.iter().filter(|other| **other != disk);
        let roomy =
            |other: &&DiskId| self.free_of(**other).unwrap_or(u64::MAX) >= CONTENT_SPACE_MIN_BYTES;
        others.filter(roomy).count() >= majority
    }

    fn free_of(&self, disk: DiskId) -> Option<u64> {
        self.free
            .lock()
            .expect("no holder panics")
            .get(&disk)
            .copied()
    }
}

/// Whether a transaction may be appended when `free` bytes are left.
///
/// # Errors
/// `Full`.
pub fn check(free: u64, has_content: bool) -> Result<()> {
    let needed = match has_content {
        true => CONTENT_SPACE_MIN_BYTES,
        false => LOG_SPACE_MIN_BYTES,
    };
    if free >= needed {
        return Ok(());
    }
    let message = format!("{free} bytes are free for the log, {needed} are needed");
    Err(Error::new(ErrorKind::Full, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;
    const DISKS: [DiskId; 3] = [DiskId([1; 16]), DiskId([2; 16]), DiskId([3; 16])];

    fn space(free: [u64; 3]) -> Space {
        let space = Space::default();
        for (disk, free) in DISKS.into_iter().zip(free) {
            space.measured(disk, free);
        }
        space
    }

    fn accepts(space: &Space) -> (bool, bool) {
        let free = space.least(&DISKS, 2);
        (check(free, true).is_ok(), check(free, false).is_ok())
    }

    /// H34.
    #[test]
    fn h34_deletes_go_on_when_content_is_refused_and_end_before_the_disks_are_full() {
        assert_eq!(accepts(&Space::default()), (true, true), "nothing known");
        let space = space([CONTENT_SPACE_MIN_BYTES; 3]);
        assert_eq!(accepts(&space), (true, true));
        space.appended(&DISKS, 4096);
        assert_eq!(accepts(&space), (false, true));
        space.appended(&DISKS, CONTENT_SPACE_MIN_BYTES - LOG_SPACE_MIN_BYTES);
        assert_eq!(accepts(&space), (false, false));
        space.appended(&DISKS, u64::MAX);
        assert_eq!(space.least(&DISKS, 2), 0);
    }

    #[test]
    fn one_disk_without_room_does_not_decide_for_a_majority_that_has_it() {
        let one = space([500 * MIB, MIB, 500 * MIB]);
        assert_eq!(accepts(&one), (true, true));
        assert!(one.is_crowded(DISKS[1], &DISKS, 2));
        assert!(!one.is_crowded(DISKS[0], &DISKS, 2));
        // Smaller, and filled by us: what is promised decides.
        let smaller = space([500 * MIB, 100 * MIB, 500 * MIB]);
        assert_eq!(accepts(&smaller), (false, true));
        assert!(!smaller.is_crowded(DISKS[1], &DISKS, 2));
        let two = space([500 * MIB, MIB, MIB]);
        assert_eq!(accepts(&two), (false, false));
        assert!(!two.is_crowded(DISKS[1], &DISKS, 2));
    }
}
