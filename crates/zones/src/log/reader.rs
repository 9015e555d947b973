//! Reading the log: any thread, from whichever member has a good copy.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::{LogStatus, Shared, bits};
use crate::batch::Batch;
use crate::counters::Counters;
use crate::disks::DiskId;
use crate::member_log::MemberLog;

/// Reads the log; cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct LogReader(pub(crate) Arc<Shared>);

impl LogReader {
    /// Batch `number`, verified and on the chain, from whichever member has a good copy. Damaged
    /// copies of members in service are rewritten.
    #[must_use]
    pub fn read(&self, number: u64) -> Option<Batch> {
        let batch = self.0.chain_batch(number)?;
        let trusted = self.0.truth.read().expect("no holder panics").members;
        for log in bits(trusted).filter_map(|member| self.0.log(member)) {
            if !matches!(log.read(number), Ok(Some(_))) {
                self.repair(&log, &batch);
            }
        }
        Some(batch)
    }

    /// Members whose log is in reach, those in service first.
    #[must_use]
    pub fn holders(&self) -> Vec<usize> {
        let trusted = self.0.truth.read().expect("no holder panics").members;
        let logs = self.0.logs.read().expect("no holder panics");
        let holds = |member: &usize| logs[*member].is_some();
        self.0.preferred(trusted).filter(holds).collect()
    }

    /// Part of the body of batch `number` that passes `verify`, as `member` has it. When its copy
    /// is damaged, it is rewritten from another. `None` when no member has a good copy.
    ///
    /// # Errors
    /// What the member's disk says, when no other has a good copy: its own may be good.
    pub fn read_part(
        &self,
        member: usize,
        number: u64,
        offset: u32,
        len: u32,
        verify: &dyn Fn(&[u8]) -> bool,
    ) -> io::Result<Option<Bytes>> {
        let Some(log) = self.0.log(member) else {
            return Ok(None);
        };
        let own = log.read_part(number, offset, len);
        if let Ok(Some(part)) = &own
            && verify(part)
        {
            return own;
        }
        // A verified read of the whole batch mends what it meets.
        if let Some(batch) = self.read(number) {
            let (from, to) = (offset as usize, offset as usize + len as usize);
            if let Some(part) = batch.body.get(from..to).filter(|part| verify(part)) {
                return Ok(Some(batch.body.slice_ref(part)));
            }
        }
        own.map(|_| None)
    }

    /// As [`LogReader::read_part`], when that takes no wait and the copy of `member` is good.
    #[must_use]
    pub fn read_part_at_once(
        &self,
        member: usize,
        number: u64,
        offset: u32,
        len: u32,
        verify: &dyn Fn(&[u8]) -> bool,
    ) -> Option<Bytes> {
        let log = self.0.log(member)?;
        log.read_part_at_once(number, offset, len)
            .filter(|part| verify(part))
    }

    /// Rewrites a copy; whether that was possible.
    pub(crate) fn repair(&self, log: &MemberLog, batch: &Batch) -> bool {
        match log.repair(batch) {
            Ok(true) => {
                Counters::add(&self.0.disks().counters.log_repairs, 1);
                tracing::warn!(batch = batch.header.number, "damaged log batch rewritten");
                true
            }
            Ok(false) => false,
            Err(error) => {
                tracing::warn!(%error, "a damaged log batch could not be rewritten");
                false
            }
        }
    }

    /// The members whose logs are the truth.
    pub(crate) fn trusted(&self) -> u64 {
        self.0.truth.read().expect("no holder panics").members
    }

    /// The header checksum of batch `number`, when a log that is the truth still tells it.
    #[must_use]
    pub fn checksum(&self, number: u64) -> Option<[u8; 16]> {
        self.0.chain_checksum(number)
    }

    /// Number of the first batch that a log which is the truth still holds; `None` while no such
    /// log is in reach, or it holds none.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.0.first()
    }

    /// Whether every log that is the truth still begins with the first batch there ever was: then
    /// what is made from the log can be made anew from any of them.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let firsts = self.0.firsts();
        !firsts.is_empty() && firsts.iter().all(|first| *first == Some(1))
    }

    /// Bytes of the largest log in service.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let trusted = self.0.truth.read().expect("no holder panics").members;
        let logs = bits(trusted).filter_map(|member| self.0.log(member));
        logs.filter_map(|log| log.size_bytes().ok())
            .max()
            .unwrap_or(0)
    }

    /// How many members are a majority.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.0.majority()
    }

    /// The disk of each member in service that its log is written to.
    #[must_use]
    pub fn log_disks(&self) -> Vec<DiskId> {
        let status = self.0.status.lock().expect("no holder panics");
        let served = status.members.iter().enumerate();
        let served: Vec<usize> = served
            .filter(|(_, m)| m.in_service)
            .map(|(i, _)| i)
            .collect();
        drop(status);
        served
            .into_iter()
            .filter_map(|i| self.0.log_disk(i))
            .collect()
    }

    /// Where the log stands.
    #[must_use]
    pub fn status(&self) -> LogStatus {
        self.0.status.lock().expect("no holder panics").clone()
    }
}
