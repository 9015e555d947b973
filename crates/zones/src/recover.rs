//! From what is on the disks to a log that can be appended to.
//!
//! The same path serves a start and a process that lost its majority: read promises and logs,
//! decide which chain is the truth, reserve a generation, bring members up to date, begin it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use strongroom_base::sync::atomic::{AtomicU64, Ordering};
use strongroom_base::sync::mpsc::channel;

use strongroom_base::tasks;

use crate::disks::{DiskHandle, DiskId, OutReason};
use crate::layout::Layout;
use crate::log::{CommitLog, LogReader, Shared, bits};
use crate::member_log::{MemberLog, Tail};
use crate::open::OpenStore;
use crate::recovery::{Base, Refusal, Voter, decide, is_in_force};
use crate::superblock::{DiskState, Promise, Superblock, SuperblockError};
use crate::work::{Waiting, Working};

/// Most batches a member may lack and still be caught up before the start is over; one that lacks
/// more comes in later, unless it is needed for a majority.
const CATCH_UP_BATCHES_MAX: u64 = 4096;

/// Bytes copied into a log between two syncs: each shows that the disk goes on.
const COPY_SYNC_BYTES: u64 = 16 * 1024 * 1024;
/// A copy is handed over for admission when at most so many batches are left for the commit
/// thread, or after so many rounds.
const ADMIT_BATCHES_MAX: u64 = 64;
const CATCH_UP_ROUNDS_MAX: usize = 16;

/// The disk that is none.
const NO_DISK: DiskId = DiskId([0; 16]);

/// What a member says, and its log with the disk it is on.
type Asked = io::Result<(Voter, Option<(DiskId, Arc<MemberLog>)>)>;

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

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
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
        let busy = shared.works.recover(shared.open.options.hang_limit);
        let voters = self.voters(mark, busy);
        // Members that meet every majority know; a majority is needed to go on.
        let knowing = shared.member_count() - shared.majority() + 1;
        let base = decide(&voters, knowing, mark).map_err(|refusal| self.explain(&refusal))?;
        self.check_mark(&base, mark)?;
        self.check_reach(&voters, &base, mark)?;
        shared.trust(1 << base.owner, Some(base.links.clone()));
        let mut log = CommitLog::new(Arc::clone(shared), &base);
        if base.tip > 0 {
            // Without its marks new versions would be stamped below old ones.
            let newest = shared.chain_batch(base.tip).ok_or_else(|| {
                RecoverError(format!(
                    "the newest batch, {}, cannot be read now",
                    base.tip
                ))
            })?;
            log.stamp_mark = newest.header.stamp_mark;
            log.lock_clock = newest.header.lock_clock;
        }
        let service = self.bring_up(&voters, &base);
        if (service.count_ones() as usize) < shared.majority() {
            self.check_knows(&voters, &base, knowing)?;
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

    /// A log that was trimmed is worth nothing without an index that has what it no longer holds:
    /// nothing may begin, and nothing be erased, before one is there.
    fn check_reach(&self, voters: &[Voter], base: &Base, mark: u64) -> Result<(), RecoverError> {
        let unreadable = |error: io::Error| RecoverError(format!("a log can not be read: {error}"));
        let extent = |member: usize| -> io::Result<Option<(u64, u64)>> {
            let Some(log) = self.0.log(member) else {
                return Ok(None);
            };
            let (first, last) = (log.first()?, log.last()?);
            Ok(first.map(|first| (first, first.max(last))))
        };
        let Some((mut first, _)) = extent(base.owner).map_err(unreadable)? else {
            return Ok(());
        };
        // Another log may reach further back and up to where the first begins.
        let mut reached = true;
        while reached && first > 1 {
            reached = false;
            for voter in voters {
                let other = extent(voter.member).map_err(unreadable)?;
                if let Some((from, _)) = other.filter(|(from, to)| *from < first && to + 1 >= first)
                {
                    (first, reached) = (from, true);
                }
            }
        }
        if mark + 1 >= first {
            return Ok(());
        }
        Err(RecoverError(format!(
            "the log begins at batch {first} and the index that got furthest ends at batch {mark}: \
             bring back the zones that are missing"
        )))
    }

    /// Whether few members may show what they have although the list of zones changed (RFC 0012 rules
    /// 11 and 12): others may have gone on by the list before.
    fn check_knows(
        &self,
        voters: &[Voter],
        base: &Base,
        needed: usize,
    ) -> Result<(), RecoverError> {
        let layout = self.0.disks().layout();
        let votes = voters
            .iter()
            .filter(|voter| !base.forgot.contains(&voter.member));
        let votes: Vec<&Voter> = votes.collect();
        let leaves = |member: usize| {
            let zone = layout.zones.get(member);
            layout.zones.len() > 1 && zone.is_some_and(|zone| layout.is_zone_drained(zone))
        };
        let knowing = votes.iter().filter(|voter| !leaves(voter.member)).count();
        if knowing < needed {
            let votes = knowing;
            return Err(self.explain(&Refusal::TooFew { votes, needed }));
        }
        match !layout.is_list_changed() || is_in_force(&votes) {
            true => Ok(()),
            false => Err(RecoverError(
                "the store was stopped in the middle of a change, and the zones that are there can \
                 not tell what it became: bring back the others"
                    .to_owned(),
            )),
        }
    }

    /// Enough members are there to know the truth and too few to go on.
    fn read_only(&self, base: &Base, service: u64) -> Recovered {
        let why = format!(
            "{} of {} zones are usable and {} are needed to write: reads only, bring back the others",
            service.count_ones(),
            self.0.member_count(),
            self.0.majority()
        );
        let mut status = self.0.status.lock().expect("no holder panics");
        status.stalled = Some(why.clone());
        status.acknowledged = base.tip;
        Recovered::ReadOnly(self.reader(), base.tip, why)
    }

    /// What each member in reach says, all asked at once. Opens their logs: readers keep the old
    /// ones until the new ones are there. Members in `busy` have work that hangs: no vote.
    fn voters(&self, mark: u64, busy: u64) -> Vec<Voter> {
        let shared = &self.0;
        let blocks = self.superblocks();
        let (answer, answered) = channel();
        let mut waiting = BTreeMap::new();
        for member in bits(shared.members()) {
            let found = (busy >> member & 1 == 0).then(|| self.promise_among(member, &blocks));
            let Some((promise, log_disk)) = found.flatten() else {
                shared.set_log(member, None);
                continue;
            };
            waiting.insert(member, log_disk);
            let (store, answer) = (self.clone(), answer.clone());
            let name = format!("member {}", shared.name(member));
            tasks::spawn_thread(&name, move || {
                let said = store.ask(member, promise, log_disk, mark);
                let _ = answer.send((member, said));
            });
        }
        drop(answer);
        // Scans take as long as they take; once a majority is there, the others have as long
        // again: slow is relative.
        let (mut voters, mut turns) = (Vec::new(), 1);
        while !waiting.is_empty() {
            let enough = voters.len() >= shared.majority();
            let limit = shared.open.options.hang_limit * if enough { turns } else { 1 };
            match answered.recv_timeout(limit) {
                Ok((member, said)) => {
                    waiting.remove(&member);
                    match said {
                        Ok((voter, log)) => {
                            shared.set_log(member, log);
                            voters.push(voter);
                        }
                        Err(_) => shared.set_log(member, None),
                    }
                }
                Err(_) if enough => break,
                Err(_) => turns += 1,
            }
        }
        for (member, log_disk) in waiting {
            shared.disks().take_out(log_disk, OutReason::Hung);
            shared.set_log(member, None);
        }
        voters.sort_by_key(|voter| voter.member);
        voters
    }

    /// Opens and scans the log of a member. An error is no vote, and not a lost log.
    fn ask(&self, member: usize, promise: Promise, log_disk: DiskId, mark: u64) -> Asked {
        let mut voter = Voter {
            member,
            promise,
            newest_file: None,
            chain: None,
        };
        let Some(log) = self.open_log(member, log_disk)? else {
            return Ok((voter, None));
        };
        let chain = log.chain_from(mark.max(1)).inspect_err(|error| {
            let reason = OutReason::Failed(error.to_string());
            self.0.disks().take_out(log_disk, reason);
        })?;
        voter.newest_file = log.newest();
        voter.chain = (!chain.1.is_empty()).then_some(chain);
        Ok((voter, Some((log_disk, log))))
    }

    /// The superblocks of all disks in service, read at once. A disk that can not be read, hangs
    /// or is another one goes out.
    fn superblocks(&self) -> HashMap<DiskId, Superblock> {
        let shared = &self.0;
        let usable = |disk: &&Arc<DiskHandle>| disk.disk.is_some() && disk.in_service().is_some();
        let disks = shared.disks().all().iter().filter(usable);
        let asked = disks.map(|disk| (Arc::clone(disk), ())).collect();
        let read = shared.on_disks(asked, |handle, ()| match &handle.disk {
            Some(disk) => Superblock::read(&**disk),
            None => Err(SuperblockError::Absent),
        });
        let mut blocks = HashMap::new();
        for (id, block) in read {
            let why = match block {
                Ok(block) if block.disk == id => {
                    blocks.insert(id, block);
                    continue;
                }
                Ok(_) => "another disk is in its folder".to_owned(),
                Err(error) => error.to_string(),
            };
            shared.disks().take_out(id, OutReason::Absent(why));
        }
        blocks
    }

    /// The superblock with the highest promise among the disks of a member. A joining disk has
    /// none to give: it is blank, whatever it lists (hazard H3).
    fn best_of<'a>(
        &self,
        member: usize,
        blocks: &'a HashMap<DiskId, Superblock>,
    ) -> Option<&'a Superblock> {
        let disks = self.0.disks_of(member);
        let blocks = disks.iter().filter_map(|disk| blocks.get(&disk.id));
        let blocks = blocks.filter(|block| block.state != DiskState::Joining);
        blocks.max_by_key(|block| (block.promise.generation, block.changes.number, block.run))
    }

    /// The highest promise among the disks of a member, and the disk its log is on. The disk is
    /// zero when the log is lost: also when the log disk itself remembers less than the other disks
    /// of the member, which shows that it is an old image, or says that it has none.
    fn promise_among(
        &self,
        member: usize,
        blocks: &HashMap<DiskId, Superblock>,
    ) -> Option<(Promise, DiskId)> {
        let best = self.best_of(member, blocks)?;
        let disks = self.0.disks_of(member);
        let mut own = disks.iter().filter_map(|disk| blocks.get(&disk.id));
        let own = own.find(|block| block.disk == best.log_disk);
        let current = own.is_some_and(|own| {
            own.promise.generation == best.promise.generation && own.log_disk == own.disk
        });
        Some((best.promise, if current { best.log_disk } else { NO_DISK }))
    }

    fn promise_of(&self, member: usize) -> Option<(Promise, DiskId)> {
        self.promise_among(member, &self.superblocks())
    }

    /// Opens the log a superblock names; `None` when it is lost.
    fn open_log(&self, member: usize, log_disk: DiskId) -> io::Result<Option<Arc<MemberLog>>> {
        let shared = &self.0;
        let own = shared.disks_of(member);
        let handle = own.iter().find(|d| d.id == log_disk);
        let Some(handle) = handle.filter(|handle| handle.in_service().is_some()) else {
            return Ok(None);
        };
        let Some(disk) = &handle.disk else {
            return Ok(None);
        };
        let opened = MemberLog::open(Arc::clone(disk), shared.store).and_then(|log| {
            // A superblock too may have been renamed and not synced.
            disk.sync_dir("")?;
            if !strongroom_base::planted("recovery_believes_the_page_cache") {
                log.sync_newest()?;
            }
            Ok(log)
        });
        let opened = opened.inspect_err(|error| {
            let reason = OutReason::Failed(error.to_string());
            shared.disks().take_out(log_disk, reason);
        });
        Ok(Some(Arc::new(opened?)))
    }

    /// Copies what members lack, those that lack least first; returns those that have it all.
    fn bring_up(&self, voters: &[Voter], base: &Base) -> u64 {
        let shared = &self.0;
        let mut ready = 0u64;
        let mut lacking = BTreeMap::new();
        // What was trimmed nobody lacks: the index has it.
        let trimmed = shared.first().map_or(0, |first| first - 1);
        for voter in voters {
            let agreed = match shared.log(voter.member) {
                Some(log) if voter.chain.is_some() => agreement(shared, &log, base.tip),
                _ => 0,
            };
            // One that forgot had no vote; copied anew it counts as any other.
            let forgot = base.forgot.contains(&voter.member);
            let missing = base.tip.saturating_sub(agreed.max(trimmed));
            lacking.insert((forgot, missing, voter.member), agreed);
        }
        for member in self.joining(voters) {
            lacking.insert((true, u64::MAX, member), 0);
        }
        for ((forgot, missing, member), agreed) in lacking {
            let needed = (ready.count_ones() as usize) < shared.majority();
            if (forgot || missing > CATCH_UP_BATCHES_MAX) && !needed {
                continue;
            }
            let (store, counter, tip) = (self.clone(), base.counter, base.tip);
            let done = shared.watched(member, move |progress| {
                store.catch_up_now(member, agreed, counter, tip, progress)
            });
            let name = shared.name(member);
            match done {
                Some(Ok(())) => ready |= 1 << member,
                Some(Err(error)) => {
                    tracing::warn!(%name, %error, "a member could not be brought up to date");
                }
                None => {
                    tracing::warn!(%name, "a member hung while it was brought up to date");
                    self.member_hung(member);
                }
            }
        }
        ready
    }

    /// Members that the list took in and that have no promise yet. They may make up a majority when
    /// the voters are one of the list without them: who goes on by that list then meets these (RFC
    /// 0012 rule 6).
    fn joining(&self, voters: &[Voter]) -> Vec<usize> {
        let shared = &self.0;
        let voting = voters
            .iter()
            .fold(0u64, |set, voter| set | 1 << voter.member);
        let blocks = self.superblocks();
        let is_joining = |member: &usize| {
            let disks = shared.disks_of(*member);
            let mut own = disks
                .iter()
                .filter_map(|disk| blocks.get(&disk.id))
                .peekable();
            own.peek().is_some() && own.all(|block| block.state == DiskState::Joining)
        };
        let joining: Vec<usize> = bits(shared.members() & !voting)
            .filter(is_joining)
            .collect();
        let before = shared.member_count() - joining.len();
        let is_majority = voters.len() > before / 2;
        match is_majority && !strongroom_base::planted("recovery_leaves_joining_out") {
            true => joining,
            false => Vec::new(),
        }
    }

    fn catch_up_now(
        &self,
        member: usize,
        agreed: u64,
        counter: u64,
        tip: u64,
        progress: &AtomicU64,
    ) -> io::Result<()> {
        let shared = &self.0;
        // Nothing agrees: it is made anew, from where the logs of the others begin.
        if shared.log(member).is_none() || (agreed == 0 && tip > 0) {
            let (disk, log) = self.fresh_log(member)?;
            shared.set_log(member, Some((disk, log)));
            progress.fetch_add(1, Ordering::Relaxed);
        }
        let log = shared
            .log(member)
            .ok_or_else(|| io::Error::other("no log"))?;
        let each = || {
            progress.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        let from = shared.first().unwrap_or(1).max(agreed + 1);
        copy(shared, &log, &mut None, counter, from..tip + 1, &each)
    }

    /// Takes the disk of a member's log out, or while it has none, the disk a log would be on.
    fn member_hung(&self, member: usize) {
        let shared = &self.0;
        let usable = |d: &&Arc<DiskHandle>| d.disk.is_some() && d.in_service().is_some();
        let own = shared.disks_of(member);
        let first = own.iter().find(usable);
        let disk = shared.log_disk(member).or(first.map(|disk| disk.id));
        if let Some(disk) = disk {
            shared.disks().take_out(disk, OutReason::Hung);
        }
    }

    /// Makes an empty log for a member on a disk in service. First its superblocks say that it has
    /// none: neither the stale log this removes nor the half-made copy it begins may ever look
    /// like an intact log.
    fn fresh_log(&self, member: usize) -> io::Result<(DiskId, Arc<MemberLog>)> {
        let shared = &self.0;
        let previous = shared.log_disk(member);
        let disks = shared.disks_of(member);
        let usable = |d: &&Arc<DiskHandle>| d.disk.is_some() && d.in_service().is_some();
        let layout = shared.disks().layout();
        let stays = |d: &&Arc<DiskHandle>| usable(d) && !layout.is_drained(d.id);
        let handle = (disks.iter().filter(stays).find(|d| Some(d.id) == previous))
            .or_else(|| disks.iter().find(stays))
            .or_else(|| disks.iter().find(usable))
            .ok_or_else(|| io::Error::other("no disk of it is in service"))?;
        let disk = handle.disk.clone().expect("it is usable");
        let blocks = self.superblocks();
        if let Some(best) = self.best_of(member, &blocks) {
            self.disown_log(member, best)?;
        }
        disk.remove_dir_all(crate::member_log::LOG_DIR)?;
        MemberLog::create_dir(&disk)?;
        Ok((handle.id, Arc::new(MemberLog::open(disk, shared.store)?)))
    }

    /// Writes to every disk in service of a member that it has no log. Promise and layout stay
    /// together, as `best` has them (hazard H81).
    fn disown_log(&self, member: usize, best: &Superblock) -> io::Result<()> {
        for handle in self.0.disks_of(member).iter() {
            let (Some(disk), Some(_)) = (&handle.disk, handle.in_service()) else {
                continue;
            };
            let mut block = Superblock::read(&**disk).map_err(io::Error::other)?;
            block.promise = best.promise;
            block.set_layout(best.layout());
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
        let named = |set: u64| -> Vec<String> {
            let members = bits(set & shared.members());
            members.map(|member| shared.name(member)).collect()
        };
        RecoverError(match refusal {
            Refusal::TooFew { votes, needed } => format!(
                "{votes} of {} zones are usable and {needed} are needed: bring back the others",
                shared.member_count()
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
    let Ok(last) = log.last() else {
        return 0;
    };
    let mut number = tip.min(last);
    // What was trimmed tells nothing, but for the header that the first batch kept names.
    let floor = shared.first().map_or(0, |first| first - 1);
    while number > 0 && number >= floor {
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

/// Copies a range of batches of the chain to the end of `log`, synced: behind `tail`, or into a new
/// file. The headers stay as they are. `each` is called after every batch, and may end it.
fn copy(
    shared: &Shared,
    log: &MemberLog,
    tail: &mut Option<Tail>,
    counter: u64,
    range: std::ops::Range<u64>,
    each: &dyn Fn() -> io::Result<()>,
) -> io::Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let tail = match tail {
        Some(tail) => tail,
        None => tail.insert(log.begin(counter, range.start, shared.open.random.next_u64(), 0)?),
    };
    let mut synced = tail.offset;
    for number in range {
        let batch = shared.chain_batch(number).ok_or_else(|| {
            io::Error::other(format!("batch {number} has no good copy to catch up from"))
        })?;
        log.write(tail, &batch)?;
        if tail.offset - synced >= COPY_SYNC_BYTES {
            tail.file.sync()?;
            synced = tail.offset;
        }
        each()?;
    }
    tail.file.sync()
}

/// A member's log, copied while commits went on.
pub struct Prepared {
    pub(crate) member: usize,
    pub(crate) disk: DiskId,
    pub(crate) log: Arc<MemberLog>,
    /// Copied up to this number.
    pub(crate) copied: u64,
    /// Until it is dropped no other copy into this member begins.
    waiting: Waiting,
}

impl Store {
    /// Members that are not in service in the log, have a disk that is, and no copy under way.
    #[must_use]
    pub fn returning(&self) -> Vec<usize> {
        let status = self.0.status.lock().expect("no holder panics").clone();
        let out = |i: &usize| status.members.get(*i).is_some_and(|m| !m.in_service);
        let usable = |i: &usize| {
            self.0
                .disks_of(*i)
                .iter()
                .any(|d| d.disk.is_some() && d.in_service().is_some())
        };
        bits(self.0.members())
            .filter(out)
            .filter(usable)
            .filter(|member| !self.0.works.is_busy(*member))
            .collect()
    }

    /// Copies the log to a returning member while commits go on, until little is left.
    ///
    /// # Errors
    /// What its disk says; that it is no longer returning, or a recovery began.
    pub fn catch_up(&self, member: usize) -> io::Result<Prepared> {
        let works = &self.0.works;
        let busy = || io::Error::other("a copy into it is under way");
        let working = works.begin_copy(member).ok_or_else(busy)?;
        // Looked at again under the claim: another copy, or a recovery, may have ended just now.
        let status = self.0.status.lock().expect("no holder panics").clone();
        let out = status.members.get(member).is_some_and(|m| !m.in_service);
        if !out || status.stalled.is_some() {
            return Err(io::Error::other("it is not returning any more"));
        }
        let (disk, log, copied) = self.catch_up_as(member, status.generation, &working)?;
        let waiting = working
            .finish()
            .ok_or_else(|| io::Error::other(RECOVERY_BEGAN))?;
        Ok(Prepared {
            member,
            disk,
            log,
            copied,
            waiting,
        })
    }

    fn catch_up_as(
        &self,
        member: usize,
        counter: u64,
        working: &Working,
    ) -> io::Result<(DiskId, Arc<MemberLog>, u64)> {
        let shared = &self.0;
        let goes_on = || match working.is_current() {
            true => Ok(()),
            false => Err(io::Error::other(RECOVERY_BEGAN)),
        };
        let acknowledged = || shared.status.lock().expect("no holder panics").acknowledged;
        let mut target = acknowledged();
        goes_on()?;
        // A member whose only disk is joining has no promise, and no log either.
        let log_disk = self.promise_of(member).map_or(NO_DISK, |(_, disk)| disk);
        // An error is not a lost log: nothing is removed for it.
        let reopened = self.open_log(member, log_disk)?;
        // Without a log that is the truth nothing is known of where it begins.
        let first = shared
            .first()
            .ok_or_else(|| io::Error::other("no log to copy"))?;
        let found = reopened.filter(|log| !log.is_empty());
        let agreed = found.map(|log| (agreement(shared, &log, target), log));
        let (disk, log, mut copied) = match agreed {
            // One that ends before the logs of the others begin would have a gap: it is made anew.
            Some((agreed, log)) if agreed + 1 >= first => (log_disk, log, agreed),
            _ => {
                goes_on()?;
                let (disk, log) = self.fresh_log(member)?;
                (disk, log, first - 1)
            }
        };
        let mut tail = None;
        for _ in 0..CATCH_UP_ROUNDS_MAX {
            goes_on()?;
            copy(
                shared,
                &log,
                &mut tail,
                counter,
                copied + 1..target + 1,
                &goes_on,
            )?;
            copied = copied.max(target);
            target = acknowledged();
            if target <= copied + ADMIT_BATCHES_MAX {
                break;
            }
        }
        goes_on()?;
        Ok((disk, log, copied))
    }

    /// Ends the copies that are under way: the store stops.
    pub fn end_copies(&self) {
        let _ = self.0.works.recover(std::time::Duration::ZERO);
    }

    /// Writes the promise in force to a disk of a member in service that missed it, because it was
    /// out then: should the log disk be lost, it is what the member still knows.
    ///
    /// # Errors
    /// What the disk says.
    pub fn renew_promise(&self, handle: &DiskHandle) -> io::Result<()> {
        let in_force = self.0.in_force.lock().expect("no holder panics").clone();
        let (Some((promise, log_disks)), Some(disk)) = (in_force, &handle.disk) else {
            return Ok(());
        };
        let member = usize::from(handle.member.0);
        let Some(log_disk) = log_disks.get(member).copied().flatten() else {
            return Ok(());
        };
        // The log disk that remembers less is an old image: nothing may make it look current.
        if promise.service >> member & 1 == 0 || log_disk == handle.id {
            return Ok(());
        }
        let Ok(_replacing) = handle.superblock.try_lock() else {
            return Ok(());
        };
        let mut block = Superblock::read(&**disk).map_err(io::Error::other)?;
        if block.disk != handle.id || block.promise.generation >= promise.generation {
            return Ok(());
        }
        block.state = DiskState::Formed;
        block.promise = promise;
        block.set_layout(Layout::clone(&self.0.disks().layout()));
        block.log_disk = log_disk;
        block.run = self.0.open.run;
        block.write(&**disk)
    }
}

const RECOVERY_BEGAN: &str = "a recovery began";

impl CommitLog {
    /// Brings a caught-up member into service: copies what came since, then begins a generation
    /// with it. When it fails on the way, or a recovery came between, the store goes on without it.
    ///
    /// # Errors
    /// [`crate::log::Stalled`] when the members that were in service fail meanwhile.
    pub fn admit(&mut self, prepared: Prepared) -> Result<(), crate::log::Stalled> {
        let (member, disk) = (prepared.member, prepared.disk);
        let still_usable = self
            .shared
            .disks()
            .find(disk)
            .is_some_and(|disk| disk.in_service().is_some());
        let is_current = prepared.waiting.is_current();
        if self.service >> member & 1 == 1 || !still_usable || !is_current {
            return Ok(());
        }
        let (shared, log) = (Arc::clone(&self.shared), Arc::clone(&prepared.log));
        let (counter, rest) = (self.counter, prepared.copied + 1..self.number + 1);
        let copied = self.shared.watched(member, move |progress| {
            let each = || {
                progress.fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            copy(&shared, &log, &mut None, counter, rest, &each)
        });
        let error = match copied {
            Some(Ok(())) => {
                let log = Arc::clone(&prepared.log);
                self.shared.set_log(member, Some((disk, log)));
                return self.begin_generation(self.service | 1 << member);
            }
            Some(Err(error)) => error,
            None => {
                self.shared.disks().take_out(disk, OutReason::Hung);
                io::Error::other("it hung")
            }
        };
        let name = self.shared.name(member);
        tracing::warn!(%name, %error, "a member failed while it caught up");
        Ok(())
    }
}
