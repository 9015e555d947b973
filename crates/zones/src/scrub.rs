//! Scrub of the commit log and of superblocks: read what nobody reads before it is needed.
//!
//! A batch is read again when a view is made anew, and a superblock at the next start: late to learn that a
//! copy rotted. Here each member's copy is read from its disk, past the page cache, and mended from
//! another member's (AZ25, AZ26).
//!
//! Invariants
//! - A batch is rewritten where it was, with what was there, from a copy that verifies and is on the chain.
//! - A superblock is written anew only on a disk that has stayed in service and whose own is there and does not
//!   decode: an absent one may be another folder (hazard H41), another one is another disk.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use strongroom_base::AlignedBuf;

use crate::batch::{BATCH_HEADER_SIZE_BYTES, BatchHeader};
use crate::disks::DiskHandle;
use crate::log::{LogReader, bits};
use crate::member_log::MemberLog;
use crate::superblock::{Superblock, SuperblockError};

/// What a scrub found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogScrubbed {
    /// Copies looked at.
    pub read: u64,
    /// Copies that were missing or damaged.
    pub bad: u64,
    /// Of them, those written anew.
    pub repaired: u64,
    /// Batches of which no copy is good.
    pub lost: u64,
}

impl LogScrubbed {
    /// Adds what another scrub found.
    pub fn add(&mut self, more: Self) {
        self.read += more.read;
        self.bad += more.bad;
        self.repaired += more.repaired;
        self.lost += more.lost;
    }
}

impl LogReader {
    /// The batches that are kept and acknowledged. Empty while no log is in reach. Blocks.
    #[must_use]
    pub fn kept(&self) -> Range<u64> {
        let end = self.status().acknowledged + 1;
        self.first().unwrap_or(end).min(end)..end
    }

    /// Reads these batches from the log of each member in service and mends what is bad. Those that
    /// are trimmed meanwhile are left out. Blocks.
    #[must_use]
    pub fn scrub(&self, batches: Range<u64>) -> LogScrubbed {
        let mut found = LogScrubbed::default();
        let mut unreadable = Vec::new();
        for member in bits(self.trusted()) {
            let Some(log) = self.0.log(member) else {
                continue;
            };
            found.read += batches.end - batches.start;
            for number in log.damaged(batches.clone()) {
                if number < self.kept().start {
                    continue;
                }
                found.bad += 1;
                match self.0.chain_batch(number) {
                    Some(batch) => found.repaired += u64::from(self.repair(&log, &batch)),
                    None => unreadable.push(number),
                }
            }
        }
        unreadable.sort_unstable();
        unreadable.dedup();
        // A trim may have taken them since.
        let first = self.kept().start;
        for number in unreadable.into_iter().filter(|number| *number >= first) {
            tracing::error!(batch = number, "no good copy of a log batch is left");
            found.lost += 1;
        }
        found
    }

    /// Reads the superblock of each disk in service and mends what is damaged. Blocks.
    #[must_use]
    pub fn scrub_superblocks(&self) -> LogScrubbed {
        let mut found = LogScrubbed::default();
        for handle in self.0.disks().all() {
            let (Some(disk), Some(_)) = (&handle.disk, handle.in_service()) else {
                continue;
            };
            found.read += 1;
            let why = match Superblock::read(&**disk) {
                Ok(block) if block.disk == handle.id && block.store == self.0.store => continue,
                Ok(block) => format!("its folder holds disk {}", block.disk),
                Err(error) => error.to_string(),
            };
            found.bad += 1;
            let is_mended = self.mend_superblock(handle);
            found.repaired += u64::from(is_mended);
            tracing::warn!(disk = %handle.name, why, is_mended, "a superblock is bad");
        }
        found
    }

    fn mend_superblock(&self, handle: &Arc<DiskHandle>) -> bool {
        let Some(disk) = &handle.disk else {
            return false;
        };
        let in_force = self.0.in_force.lock().expect("no holder panics").clone();
        let Some((promise, log_disks)) = in_force else {
            return false;
        };
        let member = usize::from(handle.member.0);
        let log_disk = log_disks.get(member).copied().flatten();
        let (Some(log_disk), true) = (log_disk, promise.service >> member & 1 == 1) else {
            return false;
        };
        // Looked at again, so that nothing but damage is ever replaced.
        matches!(Superblock::read(&**disk), Err(SuperblockError::Damaged))
            && self.0.promise_disk(handle, promise, log_disk).is_ok()
    }
}

impl MemberLog {
    /// The numbers of `batches` whose copy on the disk is missing or does not verify.
    fn damaged(&self, batches: Range<u64>) -> Vec<u64> {
        let mut open = None;
        let mut is_bad = |number: &u64| !self.verify_on_disk(*number, &mut open).unwrap_or(false);
        batches.filter(|number| is_bad(number)).collect()
    }

    /// Reads a batch past the page cache. `open` keeps the file for the next.
    fn verify_on_disk(
        &self,
        number: u64,
        open: &mut Option<(String, strongroom_base::FileRef)>,
    ) -> io::Result<bool> {
        let Some((path, offset, size)) = self.place(number)? else {
            return Ok(false);
        };
        let file = match open.take().filter(|(opened, _)| *opened == path) {
            Some((_, file)) => file,
            None => self.disk().open(&path, true)?,
        };
        let mut bytes = AlignedBuf::zeroed(size);
        let read = file.read_at(offset, &mut bytes);
        *open = Some((path, file));
        let bytes = &bytes[..read?];
        let Ok(header) = BatchHeader::decode(bytes) else {
            return Ok(false);
        };
        let body = bytes.get(BATCH_HEADER_SIZE_BYTES..);
        let body = body.and_then(|body| body.get(..header.body_len as usize));
        Ok(header.number == number && body.is_some_and(|body| header.matches(body)))
    }
}
