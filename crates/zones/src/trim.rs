//! Removing the oldest files of the log, once nothing needs them.
//!
//! The log would grow for ever. What lies below a batch that every index has, on its disk and read
//! back from there, is needed by nobody but a reader of inline content, and whoever calls this has
//! seen to it that there is none (RFC 0006).
//!
//! Invariants
//! - What is left of a log on its disk is always its newest files, also after a power cut: files go
//!   oldest first, and the removal of each is durable before the next. A superseded batch whose
//!   superseding file is gone can therefore never come to light.
//! - The file that holds the batch behind the last one trimmed, and every later one, stays.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use strongroom_base::tasks;

use crate::disks::OutReason;
use crate::log::{LogReader, bits};
use crate::member_log::{LOG_DIR, LogFile, MemberLog};
use crate::recover::Store;

/// How often work on a member that is under way is looked at.
const POLL: Duration = Duration::from_millis(2);

/// Why a trim ended early. The text is for people.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct TrimError(pub String);

impl MemberLog {
    /// The files that hold nothing but superseded batches and batches up to `through`, oldest
    /// first, and the first batch of the file that stays. None when the batch behind `through` is
    /// not there, or damaged.
    fn files_through(&self, through: u64) -> io::Result<(Vec<Arc<LogFile>>, u64)> {
        let Some((kept, _)) = self.locate(through + 1)? else {
            return Ok((Vec::new(), 0));
        };
        let files = self.files.read().expect("no holder panics");
        // A later file supersedes the earlier ones from its first batch on, and the first of the
        // one that is kept is not above `through + 1`.
        let older = files.iter().take_while(|file| file.name != kept.name);
        Ok((older.cloned().collect(), kept.name.first))
    }

    /// Bytes that [`MemberLog::trim`] would give back.
    ///
    /// # Errors
    /// What the disk says.
    pub fn bytes_through(&self, through: u64) -> io::Result<u64> {
        let (files, _) = self.files_through(through)?;
        files.iter().map(|file| file.file.len()).sum()
    }

    /// Removes the files that hold nothing above `through`, oldest first, each durably before the
    /// next; `each` is asked before every one. Bytes given back.
    ///
    /// # Errors
    /// What the disk says, or `each`. After an error of the disk the log must be opened anew.
    pub fn trim(&self, through: u64, each: &dyn Fn() -> io::Result<()>) -> io::Result<u64> {
        let mut freed = 0;
        let (files, first) = self.files_through(through)?;
        if !files.is_empty() {
            // Before anything goes: what still reaches further back is not to be relied on.
            *self.first.lock().expect("no holder panics") = Some(first);
        }
        for file in files {
            each()?;
            freed += file.file.len()?;
            self.disk.remove(&file.name.path())?;
            self.disk.sync_dir(LOG_DIR)?;
            let mut kept = self.files.write().expect("no holder panics");
            kept.retain(|other| other.name != file.name);
        }
        Ok(freed)
    }
}

impl LogReader {
    /// Bytes that a trim up to `through` would give back on the member where it is most.
    #[must_use]
    pub fn bytes_through(&self, through: u64) -> u64 {
        let members = bits(self.0.members());
        let logs = members.filter_map(|member| self.0.log(member));
        logs.filter_map(|log| log.bytes_through(through).ok())
            .max()
            .unwrap_or(0)
    }
}

impl Store {
    /// Removes what lies below batch `through + 1` from the log of every member in service, as far
    /// as whole files go. Bytes given back on the member where it was most. The caller has made
    /// sure that nobody needs it.
    ///
    /// # Errors
    /// That members are busy, a recovery began, or a disk failed, which then is out. Some may be
    /// trimmed and others not.
    pub fn trim(&self, through: u64) -> Result<u64, TrimError> {
        let shared = self.shared();
        let status = shared.status.lock().expect("no holder panics").clone();
        if let Some(why) = status.stalled {
            return Err(TrimError(why));
        }
        // The end of the log always stays.
        let through = through.min(status.acknowledged.saturating_sub(1));
        let served = status.members.iter().enumerate();
        let served = served.filter(|(_, member)| member.in_service);
        let served = served.fold(0u64, |set, (index, _)| set | 1 << index);
        let mut most = 0;
        for member in bits(served) {
            most = most.max(self.trim_member(member, through)?);
        }
        Ok(most)
    }

    fn trim_member(&self, member: usize, through: u64) -> Result<u64, TrimError> {
        let shared = self.shared();
        let name = shared.name(member);
        let failed = |why: &str| TrimError(format!("the log of {name} was not trimmed: {why}"));
        let (Some(log), Some(disk)) = (shared.log(member), shared.log_disk(member)) else {
            return Err(failed("it has none"));
        };
        // A recovery waits for this, and nobody opens a log whose files are being removed.
        let mut working = shared.works.begin_copy(member);
        let mut waited = Duration::ZERO;
        while working.is_none() && waited < shared.open.options.hang_limit {
            tasks::sleep_thread(POLL);
            waited += POLL;
            working = shared.works.begin_copy(member);
        }
        let working = working.ok_or_else(|| failed("other work on it is under way"))?;
        let job = move |progress: &strongroom_base::sync::atomic::AtomicU64| {
            let each = || {
                progress.fetch_add(1, strongroom_base::sync::atomic::Ordering::Relaxed);
                let ended = || io::Error::from(io::ErrorKind::Interrupted);
                working.is_current().then_some(()).ok_or_else(ended)
            };
            log.trim(through, &each)
        };
        match shared.watched(member, job) {
            Some(Ok(freed)) => Ok(freed),
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                Err(failed("a recovery began"))
            }
            Some(Err(error)) => {
                // Whether its folder holds a file or not is unknown: it must be listed anew.
                let reason = OutReason::Failed(error.to_string());
                shared.disks().take_out(disk, reason);
                Err(failed(&error.to_string()))
            }
            None => {
                shared.disks().take_out(disk, OutReason::Hung);
                Err(failed("its disk hung"))
            }
        }
    }
}
