//! From what is on the disks to a log that can be appended to.
//!
//! The same path serves a start and a process that lost its majority: read promises and logs,
//! decide which chain is the truth, reserve a generation, bring members up to date, begin it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::disks::{DiskId, OutReason};
use crate::log::{CommitLog, LogReader, Shared, bits};
use crate::member_log::{MemberLog, Tail};
use crate::open::OpenStore;
use crate::recovery::{Base, Refusal, Voter, decide};
use crate::superblock::{Promise, Superblock};

/// Most batches a member may lack and still be caught up before the start is over; one that lacks
/// more comes in later, unless it is needed for a majority.
const CATCH_UP_BATCHES_MAX: u64 = 4096;

/// The disk that is none.
const NO_DISK: DiskId = DiskId([0; 16]);

/// Why recovery gave no log. The text is a sentence for the operator.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct RecoverError(pub String);

/// A store after recovery.
pub enum Recovered {
    /// Commits are possible. Everything in the log is acknowledged.
    Serving(CommitLog),
    /// Enough members to know the truth, too few to go on: reads only. Number of the last batch,
    /// and why.
    ReadOnly(LogReader, u64, String),
}

/// The engine's handle on the log across recoveries.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

impl Store {
    /// Takes the opened store.
    #[must_use]
    pub fn new(open: OpenStore) -> Self {
        Self(Shared::new(open))
    }

    /// The store as it was opened: identity, run, disks.
    #[must_use]
    pub fn opened(&self) -> &OpenStore {
        &self.0.open
    }

    /// A reader of whatever logs are in reach.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        LogReader(Arc::clone(&self.0))
    }

    /// Notes why the store cannot serve, for the status page.
    pub fn note_stalled(&self, why: &str) {
        self.0.status.lock().expect("no holder panics").stalled = Some(why.to_owned());
    }

    /// Finds the truth and puts a new generation in force. `mark` is the number of the last batch
    /// the index has (0 for none): older damage does not stop the start.
    ///
    /// # Errors
    /// A sentence: too few members, members that are needed, damage without a good copy.
    pub fn recover(&self, mark: u64) -> Result<Recovered, RecoverError> {
        let shared = &self.0;
        let voters = self.voters(mark);
        // Members that meet every majority know; a majority is needed to go on.
        let knowing = shared.members.len() - shared.majority() + 1;
        let base = decide(&voters, knowing, mark).map_err(|refusal| self.explain(&refusal))?;
        self.check_mark(&base, mark)?;
        shared.trust(1 << base.owner, Some(base.links.clone()));
        let mut log = CommitLog::new(Arc::clone(shared), &base);
        if let Some(batch) = shared.chain_batch(base.tip) {
            log.stamp_mark = batch.header.stamp_mark;
            log.lock_clock = batch.header.lock_clock;
        }
        let service = self.bring_up(&voters, &base);
        if (service.count_ones() as usize) < shared.majority() {
            return Ok(self.read_only(&base, service));
        }
        log.begin_generation(service)
            .map_err(|stalled| RecoverError(stalled.0))?;
        shared.trust(log.service, None);
        self.mend(&voters, &base);
        for number in &base.damaged {
            tracing::error!(
                batch = number,
                "a log batch is damaged and no good copy is left"
            );
        }
        Ok(Recovered::Serving(log))
    }

    /// The index only ever holds what was acknowledged: a log that ends before it lost something.
    fn check_mark(&self, base: &Base, mark: u64) -> Result<(), RecoverError> {
        if base.tip < mark {
            return Err(RecoverError(format!(
                "the logs present end at batch {} and the index has batch {mark}: bring back the \
                 zones that are missing",
                base.tip
            )));
        }
        Ok(())
    }

    /// Enough members are there to know the truth and too few to go on.
    fn read_only(&self, base: &Base, service: u64) -> Recovered {
        let why = format!(
            "{} of {} zones are usable and {} are needed to write: reads only, bring back the others",
            service.count_ones(),
            self.0.members.len(),
            self.0.majority()
        );
        let mut status = self.0.status.lock().expect("no holder panics");
        status.stalled = Some(why.clone());
        status.acknowledged = base.tip;
        Recovered::ReadOnly(self.reader(), base.tip, why)
    }

    /// What each member in reach says. Opens its log.
    fn voters(&self, mark: u64) -> Vec<Voter> {
        let shared = &self.0;
        let mut voters = Vec::new();
        for member in 0..shared.members.len() {
            shared.set_log(member, None);
            let Some((promise, log_disk)) = self.promise_of(member) else {
                continue;
            };
            let Ok(log) = self.open_log(member, log_disk) else {
                continue;
            };
            let mut voter = Voter {
                member,
                promise,
                newest_file: None,
                chain: None,
            };
            if let Some(log) = log {
                match log.chain_from(mark.max(1)) {
                    Ok(chain) => {
                        voter.newest_file = log.newest();
                        voter.chain = (!chain.1.is_empty()).then_some(chain);
                    }
                    Err(error) => {
                        // It cannot be read now: that is no vote, and not a lost log.
                        shared
                            .disks()
                            .take_out(log_disk, OutReason::Failed(error.to_string()));
                        shared.set_log(member, None);
                        continue;
                    }
                }
            }
            voters.push(voter);
        }
        voters
    }

    /// The highest promise among the disks of a member, and the disk its log is on. The disk is
    /// zero when the log is lost: also when the log disk itself remembers less than the other disks
    /// of the member, which shows that it is an old image.
    fn promise_of(&self, member: usize) -> Option<(Promise, DiskId)> {
        let shared = &self.0;
        let mut blocks: Vec<Superblock> = Vec::new();
        for handle in &shared.members[member].disks {
            let (Some(disk), Some(_)) = (&handle.disk, handle.in_service()) else {
                continue;
            };
            match Superblock::read(&**disk) {
                Ok(block) if block.disk == handle.id => blocks.push(block),
                Ok(_) => {
                    let why = "another disk is in its folder".to_owned();
                    shared.disks().take_out(handle.id, OutReason::Absent(why));
                }
                Err(error) => {
                    shared
                        .disks()
                        .take_out(handle.id, OutReason::Absent(error.to_string()));
                }
            }
        }
        let best = blocks
            .iter()
            .max_by_key(|block| (block.promise.generation, block.run))?;
        let own = blocks.iter().find(|block| block.disk == best.log_disk);
        // The log disk's own word counts: one that was out while its log was disowned, or that was
        // set back, says something else than the others.
        let current = own.is_some_and(|own| {
            own.promise.generation == best.promise.generation && own.log_disk == own.disk
        });
        Some((best.promise, if current { best.log_disk } else { NO_DISK }))
    }

    /// Opens the log a superblock names; `None` when it is lost.
    fn open_log(&self, member: usize, log_disk: DiskId) -> io::Result<Option<Arc<MemberLog>>> {
        let shared = &self.0;
        let handle = shared.members[member]
            .disks
            .iter()
            .find(|d| d.id == log_disk);
        let Some(handle) = handle.filter(|handle| handle.in_service().is_some()) else {
            return Ok(None);
        };
        let Some(disk) = &handle.disk else {
            return Ok(None);
        };
        match MemberLog::open(Arc::clone(disk), shared.store) {
            Ok(log) => {
                let log = Arc::new(log);
                shared.set_log(member, Some((log_disk, Arc::clone(&log))));
                Ok(Some(log))
            }
            Err(error) => {
                shared
                    .disks()
                    .take_out(log_disk, OutReason::Failed(error.to_string()));
                Err(error)
            }
        }
    }

    /// Copies what members lack, those that lack least first; returns those that have it all.
    fn bring_up(&self, voters: &[Voter], base: &Base) -> u64 {
        let shared = &self.0;
        let mut ready = 0u64;
        let mut lacking = BTreeMap::new();
        for voter in voters {
            let agreed = match shared.log(voter.member) {
                Some(log) if voter.chain.is_some() => agreement(shared, &log, base.tip),
                _ => 0,
            };
            // One that forgot had no vote; copied anew it counts as any other.
            let forgot = base.forgot.contains(&voter.member);
            lacking.insert((forgot, base.tip - agreed, voter.member), agreed);
        }
        for ((forgot, missing, member), agreed) in lacking {
            let needed = (ready.count_ones() as usize) < shared.majority();
            if (forgot || missing > CATCH_UP_BATCHES_MAX) && !needed {
                continue;
            }
            match self.catch_up_now(member, agreed, base) {
                Ok(()) => ready |= 1 << member,
                Err(error) => {
                    let name = &shared.members[member].name;
                    tracing::warn!(%name, %error, "a member could not be brought up to date");
                }
            }
        }
        ready
    }

    fn catch_up_now(&self, member: usize, agreed: u64, base: &Base) -> io::Result<()> {
        let shared = &self.0;
        if shared.log(member).is_none() || (agreed == 0 && base.tip > 0) {
            let (disk, log) = self.fresh_log(member)?;
            shared.set_log(member, Some((disk, log)));
        }
        if agreed == base.tip {
            return Ok(());
        }
        let log = shared
            .log(member)
            .ok_or_else(|| io::Error::other("no log"))?;
        copy(shared, &log, base.counter, agreed + 1, base.tip).map(|_| ())
    }

    /// Makes an empty log for a member on a disk in service. First its superblocks say that it has
    /// none: neither the stale log this removes nor the half-made copy it begins may ever look
    /// like an intact log.
    fn fresh_log(&self, member: usize) -> io::Result<(DiskId, Arc<MemberLog>)> {
        let shared = &self.0;
        let previous = shared.log_disk(member);
        let disks = &shared.members[member].disks;
        let usable =
            |d: &&Arc<crate::disks::DiskHandle>| d.disk.is_some() && d.in_service().is_some();
        let handle = (disks.iter().filter(usable).find(|d| Some(d.id) == previous))
            .or_else(|| disks.iter().find(usable))
            .ok_or_else(|| io::Error::other("no disk of it is in service"))?;
        let disk = handle.disk.clone().expect("it is usable");
        if let Some((promise, _)) = self.promise_of(member) {
            self.disown_log(member, promise)?;
        }
        disk.remove_dir_all(crate::member_log::LOG_DIR)?;
        MemberLog::create_dir(&disk)?;
        Ok((handle.id, Arc::new(MemberLog::open(disk, shared.store)?)))
    }

    /// Writes to every disk in service of a member that it has no log.
    fn disown_log(&self, member: usize, promise: Promise) -> io::Result<()> {
        for handle in &self.0.members[member].disks {
            let (Some(disk), Some(_)) = (&handle.disk, handle.in_service()) else {
                continue;
            };
            let mut block = Superblock::read(&**disk).map_err(io::Error::other)?;
            block.promise = promise;
            block.log_disk = NO_DISK;
            let _replacing = handle.superblock.lock().expect("no holder panics");
            block.write(&**disk)?;
        }
        Ok(())
    }

    /// Rewrites damaged batches that have a good copy elsewhere.
    fn mend(&self, voters: &[Voter], base: &Base) {
        let reader = self.reader();
        for voter in voters {
            let Some((first, entries)) = &voter.chain else {
                continue;
            };
            for (index, entry) in entries.iter().enumerate() {
                let number = first + index as u64;
                if number <= base.tip && !entry.as_ref().is_some_and(|entry| entry.good) {
                    let _ = reader.read(number);
                }
            }
        }
    }

    fn explain(&self, refusal: &Refusal) -> RecoverError {
        let shared = &self.0;
        let named = |set: u64| -> Vec<&str> {
            bits(set)
                .filter_map(|i| shared.members.get(i))
                .map(|m| m.name.as_str())
                .collect()
        };
        RecoverError(match refusal {
            Refusal::TooFew { votes, needed } => format!(
                "{votes} of {} zones are usable and {needed} are needed: bring back the others",
                shared.members.len()
            ),
            Refusal::NeedsOneOf { service } => format!(
                "the logs present may miss acknowledged writes: bring back one of the zones {}",
                named(*service).join(", ")
            ),
            Refusal::Damaged { number } => format!(
                "batch {number} of the commit log is damaged on every zone present: bring back the \
                 zones that are missing"
            ),
        })
    }
}

/// The last number up to which `log` has a good copy of the chain the other logs have at `tip`.
fn agreement(shared: &Shared, log: &MemberLog, tip: u64) -> u64 {
    let Ok((first, entries)) = log.chain_from(u64::MAX) else {
        return 0;
    };
    let mut number = tip.min((first + entries.len() as u64).saturating_sub(1));
    while number > 0 {
        let Some((_, theirs)) = log.header(number).ok().flatten() else {
            number -= 1;
            continue;
        };
        if shared.chain_checksum(number) == Some(theirs)
            && log.read(number).ok().flatten().is_some()
        {
            return number;
        }
        number -= 1;
    }
    0
}

/// Copies batches `from..=to` of the chain into a new file of `log`, synced. The headers stay as
/// they are.
fn copy(
    shared: &Shared,
    log: &MemberLog,
    counter: u64,
    from: u64,
    to: u64,
) -> io::Result<Option<Tail>> {
    if from > to {
        return Ok(None);
    }
    let mut tail = log.begin(counter, from, shared.open.random.next_u64(), 0)?;
    for number in from..=to {
        let batch = shared.chain_batch(number).ok_or_else(|| {
            io::Error::other(format!("batch {number} has no good copy to catch up from"))
        })?;
        log.write(&mut tail, &batch)?;
    }
    tail.file.sync()?;
    Ok(Some(tail))
}

/// A member's log being copied while commits go on.
pub struct Prepared {
    pub(crate) member: usize,
    pub(crate) disk: DiskId,
    pub(crate) log: Arc<MemberLog>,
    /// Copied up to this number.
    pub(crate) copied: u64,
}

impl Store {
    /// Members that are not in service in the log and have a disk that is.
    #[must_use]
    pub fn returning(&self) -> Vec<usize> {
        let status = self.0.status.lock().expect("no holder panics").clone();
        let out = |i: &usize| status.members.get(*i).is_some_and(|m| !m.in_service);
        let usable = |i: &usize| {
            self.0.members[*i]
                .disks
                .iter()
                .any(|d| d.disk.is_some() && d.in_service().is_some())
        };
        (0..self.0.members.len())
            .filter(out)
            .filter(usable)
            .collect()
    }

    /// Copies the log to a returning member while commits go on, up to what was acknowledged when
    /// it began.
    ///
    /// # Errors
    /// What its disk says.
    pub fn catch_up(&self, member: usize) -> io::Result<Prepared> {
        let shared = &self.0;
        let target = shared.status.lock().expect("no holder panics").acknowledged;
        let counter = shared.status.lock().expect("no holder panics").generation;
        let named = self.promise_of(member).map_or(NO_DISK, |(_, disk)| disk);
        let handle = shared.members[member].disks.iter().find(|d| d.id == named);
        let reopened =
            match handle.and_then(|handle| Some((handle.in_service()?, handle.disk.clone()?))) {
                // A log that cannot be read now is not a lost log: nothing is erased.
                Some((_, disk)) => Some(Arc::new(MemberLog::open(disk, shared.store)?)),
                None => None,
            };
        let reopened = reopened
            .filter(|log| !log.is_empty())
            .map(|log| (named, log));
        let (disk, log, agreed) = match reopened {
            Some((disk, log)) => {
                let agreed = agreement(shared, &log, target);
                (disk, log, agreed)
            }
            None => {
                let (disk, log) = self.fresh_log(member)?;
                (disk, log, 0)
            }
        };
        copy(shared, &log, counter, agreed + 1, target)?;
        Ok(Prepared {
            member,
            disk,
            log,
            copied: target,
        })
    }
}

impl CommitLog {
    /// Brings a caught-up member into service: copies what came since, then begins a generation
    /// with it. When it fails on the way, the store goes on without it.
    ///
    /// # Errors
    /// [`crate::log::Stalled`] when the members that were in service fail meanwhile.
    pub fn admit(&mut self, prepared: Prepared) -> Result<(), crate::log::Stalled> {
        let Prepared {
            member,
            disk,
            log,
            copied,
        } = prepared;
        let still_usable = self
            .shared
            .disks()
            .find(disk)
            .is_some_and(|disk| disk.in_service().is_some());
        if self.service >> member & 1 == 1 || !still_usable {
            return Ok(());
        }
        if let Err(error) = copy(&self.shared, &log, self.counter, copied + 1, self.number) {
            let name = &self.shared.members[member].name;
            tracing::warn!(%name, %error, "a member failed while it caught up");
            return Ok(());
        }
        self.shared.set_log(member, Some((disk, log)));
        self.begin_generation(self.service | 1 << member)
    }
}
