//! The commit log over all members in service.
//!
//! [`CommitLog`] belongs to the one thread that commits. It appends a batch to every member in
//! service at once, and a batch counts when all of them have synced it. A member that fails or
//! hangs is fenced off by a new generation before anything that it lacks is acknowledged; below a
//! majority nothing is acknowledged at all. [`LogReader`] is shared and reads from any member.

mod reader;

use std::io;
use strongroom_base::sync::atomic::{AtomicU64, Ordering};
use strongroom_base::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use strongroom_base::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use strongroom_base::{AlignedBuf, FileRef, tasks};

use crate::batch::{Batch, BatchHeader, BatchKind, Generation};
use crate::counters::Counters;
use crate::disks::{DiskHandle, DiskId, Disks, MEMBER_COUNT_MAX, MemberIndex, OutReason};
use crate::member_log::{MemberLog, Tail};
use crate::open::{OpenStore, service_of_all};
use crate::recovery::Base;
use crate::superblock::{DiskState, Promise, StoreId, Superblock};
use crate::work::Works;

pub use reader::LogReader;

/// Bytes reserved ahead in a log file at a time. Each generation begins a file and keeps what it
/// reserved: more would fill disks with the reserves of short generations.
const RESERVE_STEP_BYTES: u64 = 8 * 1024 * 1024;

/// What one member is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// The zone, or in a store of one zone, the disk.
    pub name: String,
    pub in_service: bool,
    /// A zone that left the store: its place in the list is never used again (RFC 0012).
    pub is_removed: bool,
}

/// Where the log stands.
#[derive(Clone, Debug, Default)]
pub struct LogStatus {
    pub generation: u64,
    pub acknowledged: u64,
    pub members: Vec<MemberStatus>,
    /// Why nothing can be committed, when nothing can.
    pub stalled: Option<String>,
}

/// No majority: the outcome of what was being appended is unknown until recovery.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Stalled(pub String);

/// The disks of a member, as the layout has them when one asks.
pub(crate) struct MemberDisks {
    all: Arc<Disks>,
    member: MemberIndex,
}

impl MemberDisks {
    pub fn iter(&self) -> impl Iterator<Item = &Arc<DiskHandle>> + Clone {
        let member = self.member;
        self.all
            .all()
            .iter()
            .filter(move |disk| disk.member == member)
    }
}

/// A member's log and the disk it is on.
pub(crate) type LogOnDisk = (DiskId, Arc<MemberLog>);

/// What the committer and the readers share.
pub(crate) struct Shared {
    pub store: StoreId,
    pub open: OpenStore,
    /// Whether zones are the members, or the disks of the one zone.
    by_zone: bool,
    /// The log of each member that has one in reach, and the disk it is on. Has room for members
    /// that join later.
    pub logs: RwLock<Vec<Option<LogOnDisk>>>,
    pub status: Mutex<LogStatus>,
    pub truth: RwLock<Truth>,
    pub works: Arc<Works>,
    /// The promise of the generation in force, and the disk of each member's log in it.
    pub in_force: Mutex<Option<(Promise, Vec<Option<DiskId>>)>>,
}

impl Shared {
    pub fn new(open: OpenStore) -> Arc<Self> {
        let by_zone = open.disks.layout().zones.len() > 1;
        let logs = RwLock::new((0..MEMBER_COUNT_MAX).map(|_| None).collect());
        let works = Works::new(MEMBER_COUNT_MAX);
        Arc::new(Self {
            store: open.store,
            open,
            by_zone,
            logs,
            status: Mutex::default(),
            truth: RwLock::default(),
            works,
            in_force: Mutex::default(),
        })
    }

    pub fn disks(&self) -> &Arc<Disks> {
        &self.open.disks
    }

    /// Length of the member list, those included that left.
    pub fn list_len(&self) -> usize {
        let layout = self.disks().layout();
        match self.by_zone {
            true => layout.zones.len(),
            false => layout.zones.first().map_or(0, |only| only.disks.len()),
        }
    }

    /// The members there are now.
    pub fn members(&self) -> u64 {
        let layout = self.disks().layout();
        match self.by_zone {
            true => layout.members(),
            false => service_of_all(layout.zones.first().map_or(0, |only| only.disks.len())),
        }
    }

    pub fn member_count(&self) -> usize {
        self.members().count_ones() as usize
    }

    /// The zone, or in a store of one zone, the disk.
    pub fn name(&self, member: usize) -> String {
        if self.by_zone {
            let layout = self.disks().layout();
            let zone = layout.zones.get(member);
            return zone.map_or_else(String::new, |zone| zone.name.clone());
        }
        let own = self.disks_of(member);
        let disk = own.iter().next();
        disk.map_or_else(String::new, |disk| disk.name.clone())
    }

    /// The disks of a member.
    pub fn disks_of(&self, member: usize) -> MemberDisks {
        MemberDisks {
            all: Arc::clone(self.disks()),
            member: MemberIndex(u16::try_from(member).expect("at most 64 members")),
        }
    }

    pub fn majority(&self) -> usize {
        self.member_count() / 2 + 1
    }

    pub fn log(&self, member: usize) -> Option<Arc<MemberLog>> {
        let logs = self.logs.read().expect("no holder panics");
        logs[member].as_ref().map(|(_, log)| Arc::clone(log))
    }

    pub fn log_disk(&self, member: usize) -> Option<DiskId> {
        self.logs.read().expect("no holder panics")[member]
            .as_ref()
            .map(|(disk, _)| *disk)
    }

    pub fn set_log(&self, member: usize, log: Option<(DiskId, Arc<MemberLog>)>) {
        self.logs.write().expect("no holder panics")[member] = log;
    }

    /// Writes a promise to the log disk of each of `members`, then to their other disks in service;
    /// returns the members whose log disk has it. A disk that fails or hangs goes out.
    pub fn promise(
        self: &Arc<Self>,
        members: u64,
        promise: Promise,
        log_disks: &[Option<DiskId>],
    ) -> u64 {
        let log_disks = log_disks.to_vec();
        let (shared, homes) = (Arc::clone(self), log_disks.clone());
        let answers = self.on_members(members, move |member| {
            let log_disk = homes[member].ok_or_else(|| io::Error::other("no log disk"))?;
            let own = shared.disks_of(member);
            let handle = own.iter().find(|disk| disk.id == log_disk);
            let handle = handle.ok_or_else(|| io::Error::other("no log disk"))?;
            shared.promise_disk(handle, promise, log_disk)
        });
        let promised = answers
            .into_iter()
            .fold(0u64, |set, (member, answer)| match answer {
                Some(Ok(())) => set | 1 << member,
                _ => set,
            });
        let mut others = Vec::new();
        for member in bits(promised) {
            let log_disk = log_disks[member].expect("it was promised there");
            let disks = self.disks_of(member);
            others.extend(
                disks
                    .iter()
                    .filter(|disk| disk.id != log_disk && disk.in_service().is_some())
                    .map(|disk| (Arc::clone(disk), log_disk)),
            );
        }
        let shared = Arc::clone(self);
        // One that can not be written is out; its answer is not needed.
        let _ = self.on_disks(others, move |disk, log_disk| {
            shared.promise_disk(disk, promise, log_disk)
        });
        promised
    }

    /// Writes a promise to one disk.
    pub(crate) fn promise_disk(
        &self,
        handle: &DiskHandle,
        promise: Promise,
        log_disk: DiskId,
    ) -> io::Result<()> {
        let (Some(disk), Some(_)) = (&handle.disk, handle.in_service()) else {
            return Err(io::Error::other("the disk is out of service"));
        };
        let layout = self.disks().layout();
        let block = Superblock {
            store: self.store,
            disk: handle.id,
            zone: handle.zone.clone(),
            state: DiskState::Formed,
            run: self.open.run,
            promise,
            log_disk,
            zones: layout.zones.clone(),
            changes: layout.changes.clone(),
        };
        let _replacing = handle.superblock.lock().expect("no holder panics");
        block.write(&**disk).inspect_err(|error| {
            self.disks()
                .take_out(handle.id, OutReason::Failed(error.to_string()));
        })
    }

    /// Does `job` for each disk in a thread of its own; a disk that has not answered when the hang
    /// limit is over goes out, and its thread is abandoned.
    pub fn on_disks<A: Send + 'static, T: Send + 'static>(
        &self,
        disks: Vec<(Arc<DiskHandle>, A)>,
        job: impl Fn(&DiskHandle, A) -> T + Send + Sync + 'static,
    ) -> Vec<(DiskId, T)> {
        let (answer, answered) = channel();
        let job = Arc::new(job);
        let mut waiting: Vec<DiskId> = disks.iter().map(|(disk, _)| disk.id).collect();
        for (disk, argument) in disks {
            let (job, answer) = (Arc::clone(&job), answer.clone());
            tasks::spawn_thread(&format!("disk {}", disk.name), move || {
                let _ = answer.send((disk.id, job(&disk, argument)));
            });
        }
        drop(answer);
        let mut answers = Vec::new();
        while !waiting.is_empty() {
            let Ok((disk, result)) = answered.recv_timeout(self.open.options.hang_limit) else {
                break;
            };
            waiting.retain(|other| *other != disk);
            answers.push((disk, result));
        }
        for disk in waiting {
            self.disks().take_out(disk, OutReason::Hung);
        }
        answers
    }

    /// Does a long `job` on a member's log in a thread of its own. `None` when it showed no
    /// progress for the hang limit: its thread is abandoned, and the member stays busy.
    pub fn watched<T: Send + 'static>(
        self: &Arc<Self>,
        member: usize,
        job: impl FnOnce(&AtomicU64) -> io::Result<T> + Send + 'static,
    ) -> Option<io::Result<T>> {
        let (answer, answered) = channel();
        let progress = Arc::new(AtomicU64::new(0));
        let (working, counted) = (self.works.begin(member), Arc::clone(&progress));
        let name = format!("member {}", self.name(member));
        tasks::spawn_thread(&name, move || {
            let result = job(&counted);
            drop(working);
            let _ = answer.send(result);
        });
        let mut seen = 0;
        loop {
            match answered.recv_timeout(self.open.options.hang_limit) {
                Ok(result) => return Some(result),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    let now = progress.load(Ordering::Relaxed);
                    if now == seen {
                        return None;
                    }
                    seen = now;
                }
            }
        }
    }

    /// Does `job` for each member in a thread of its own. A member that has not answered when the
    /// hang limit is over has `None`, and its log disk goes out; its thread is abandoned.
    pub fn on_members<T: Send + 'static>(
        &self,
        members: u64,
        job: impl Fn(usize) -> io::Result<T> + Send + Sync + 'static,
    ) -> Vec<(usize, Option<io::Result<T>>)> {
        let (answer, answered) = channel();
        let job = Arc::new(job);
        for member in bits(members) {
            let (job, answer) = (Arc::clone(&job), answer.clone());
            let working = self.works.begin(member);
            let name = format!("member {}", self.name(member));
            tasks::spawn_thread(&name, move || {
                let result = job(member);
                drop(working);
                let _ = answer.send((member, result));
            });
        }
        drop(answer);
        let mut answers: Vec<(usize, Option<io::Result<T>>)> = Vec::new();
        let mut waiting = members;
        while waiting != 0 {
            let Ok((member, result)) = answered.recv_timeout(self.open.options.hang_limit) else {
                break;
            };
            waiting &= !(1 << member);
            answers.push((member, Some(result)));
        }
        for member in bits(waiting) {
            if let Some(disk) = self.log_disk(member) {
                self.disks().take_out(disk, OutReason::Hung);
            }
            answers.push((member, None));
        }
        answers
    }

    /// Notes whose logs are the truth: the members in service, or during recovery the owner of the
    /// chain with the header checksums of the part that was read.
    pub fn trust(&self, members: u64, links: Option<(u64, Vec<[u8; 16]>)>) {
        *self.truth.write().expect("no holder panics") = Truth { members, links };
    }

    /// The header checksum of batch `number` on the chain that is the truth.
    pub fn chain_checksum(&self, number: u64) -> Option<[u8; 16]> {
        let truth = self.truth.read().expect("no holder panics");
        if let Some((first, links)) = &truth.links
            && let Some(index) = number.checked_sub(*first)
            && let Some(sum) = links.get(usize::try_from(index).ok()?)
        {
            return Some(*sum);
        }
        bits(truth.members)
            .filter_map(|member| self.log(member))
            .find_map(|log| {
                let own = log
                    .header(number)
                    .ok()
                    .flatten()
                    .map(|(_, checksum)| checksum);
                own.or_else(|| Some(log.header(number + 1).ok().flatten()?.0.previous))
            })
    }

    /// Batch `number` of that chain, verified, from whichever log has a good copy.
    pub fn chain_batch(&self, number: u64) -> Option<Batch> {
        let wanted = self.chain_checksum(number)?;
        let trusted = self.truth.read().expect("no holder panics").members;
        self.preferred(trusted)
            .filter_map(|member| self.log(member))
            .find_map(|log| {
                let batch = log.read(number).ok().flatten()?;
                (batch.header.checksum() == wanted).then_some(batch)
            })
    }

    /// Number of the first batch that a log which is the truth still holds.
    pub fn first(&self) -> Option<u64> {
        self.firsts().into_iter().flatten().min()
    }

    /// The first batch of each log that is the truth; `None` for one that holds none or can not
    /// be read.
    pub fn firsts(&self) -> Vec<Option<u64>> {
        let trusted = self.truth.read().expect("no holder panics").members;
        let logs = bits(trusted).map(|member| self.log(member));
        logs.map(|log| log.and_then(|log| log.first().ok().flatten()))
            .collect()
    }

    /// Members in `first`, then the others: an old copy that verifies is as good.
    fn preferred(&self, first: u64) -> impl Iterator<Item = usize> + use<> {
        let count = self.list_len();
        let of = move |wanted: bool| (0..count).filter(move |i| (first >> i & 1 == 1) == wanted);
        of(true).chain(of(false))
    }
}

/// Whose logs are the truth.
#[derive(Default)]
pub(crate) struct Truth {
    members: u64,
    links: Option<(u64, Vec<[u8; 16]>)>,
}

struct Job {
    file: FileRef,
    offset: u64,
    data: Arc<AlignedBuf>,
    answer: Sender<(usize, io::Result<()>)>,
    member: usize,
}

/// The thread that writes and syncs the log of one member. A hung one is abandoned: the file it
/// may still write to is never used again.
struct LogWriter(Sender<Job>);

impl LogWriter {
    fn start(name: &str) -> Self {
        let (queue, jobs) = channel::<Job>();
        tasks::spawn_thread(&format!("log {name}"), move || {
            while let Ok(job) = jobs.recv() {
                let _ = job.answer.send((job.member, write_synced(&job)));
            }
        });
        Self(queue)
    }
}

/// Writes a batch and syncs it. Space is reserved ahead, so that most syncs need not record where new
/// blocks are; a step at a time, because what a fenced file has reserved it keeps.
fn write_synced(job: &Job) -> io::Result<()> {
    let end = job.offset + job.data.len() as u64;
    let reserved = (job.offset / RESERVE_STEP_BYTES + 1) * RESERVE_STEP_BYTES;
    if end > reserved {
        let wanted = (end / RESERVE_STEP_BYTES + 1) * RESERVE_STEP_BYTES;
        // A hint: a disk that is full says so when it is written to.
        let _ = job.file.reserve(reserved, wanted - reserved);
    }
    job.file.write_at(job.offset, &job.data)?;
    job.file.sync()
}

/// What to append.
pub struct Append {
    pub kind: BatchKind,
    pub body: Bytes,
    pub stamp_mark: u64,
    pub lock_clock: u64,
}

/// The log, for the one thread that commits.
pub struct CommitLog {
    pub(crate) shared: Arc<Shared>,
    pub(crate) generation: Generation,
    /// Highest counter seen or tried.
    pub(crate) counter: u64,
    pub(crate) service: u64,
    /// The last batch written.
    pub(crate) number: u64,
    pub(crate) checksum: [u8; 16],
    pub(crate) acknowledged: u64,
    pub(crate) stamp_mark: u64,
    pub(crate) lock_clock: u64,
    pub(crate) last_kind: BatchKind,
    pub(crate) tails: Vec<Option<Tail>>,
    /// The member whose answer to the last batch came last.
    last_to_sync: Option<usize>,
    writers: Vec<Option<LogWriter>>,
}

impl CommitLog {
    pub(crate) fn new(shared: Arc<Shared>, base: &Base) -> Self {
        let places = || 0..MEMBER_COUNT_MAX;
        Self {
            shared,
            generation: Generation::default(),
            counter: base.counter,
            service: 0,
            number: base.tip,
            checksum: base.tip_checksum,
            // What the chain itself records: the rest counts once the new generation is in force.
            acknowledged: base.acknowledged,
            stamp_mark: 0,
            lock_clock: 0,
            last_kind: BatchKind::Membership,
            tails: places().map(|_| None).collect(),
            last_to_sync: None,
            writers: places().map(|_| None).collect(),
        }
    }

    /// A reader of this log.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        LogReader(Arc::clone(&self.shared))
    }

    /// Number of the last acknowledged batch.
    #[must_use]
    pub const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Number the next batch will have, unless a change of generation comes first.
    #[must_use]
    pub const fn next_number(&self) -> u64 {
        self.number + 1
    }

    /// Highest stamp recorded in the log, and the lock clock.
    #[must_use]
    pub const fn marks(&self) -> (u64, u64) {
        (self.stamp_mark, self.lock_clock)
    }

    /// The zone, or in a store of one zone the disk, that synced the last batch after all others.
    #[must_use]
    pub fn last_to_sync(&self) -> Option<String> {
        self.last_to_sync.map(|member| self.shared.name(member))
    }

    /// Fences members whose disk went out and begins new files when the current ones are full.
    /// After it, [`CommitLog::next_number`] is the number of the batch appended next.
    ///
    /// # Errors
    /// [`Stalled`].
    pub fn settle(&mut self) -> Result<(), Stalled> {
        self.fence_lost()?;
        self.rotate()
    }

    /// Appends one batch to every member in service and waits until all have synced it; members
    /// that fail are fenced first. On `Ok` the batch and all before it are acknowledged.
    ///
    /// # Errors
    /// [`Stalled`]: fewer than a majority are left, and the outcome of this batch is unknown.
    pub fn append(&mut self, append: Append) -> Result<BatchHeader, Stalled> {
        let header = BatchHeader {
            kind: append.kind,
            store: self.shared.store,
            generation: self.generation,
            number: self.number + 1,
            previous: self.checksum,
            acknowledged: self.acknowledged,
            service: self.service,
            stamp_mark: append.stamp_mark.max(self.stamp_mark),
            lock_clock: append.lock_clock.max(self.lock_clock),
            run: self.shared.open.run,
            body_len: 0,
            body_checksum: [0; 16],
        };
        let batch = Batch {
            header: header.seal(&append.body),
            body: append.body,
        };
        let synced = self.write_all(&batch)?;
        self.wrote(&batch.header);
        if synced != self.service && !strongroom_base::planted("log_ack_without_generation") {
            self.begin_generation(synced)?;
        }
        self.acknowledged = self.number;
        self.publish(None);
        Counters::add(&self.shared.disks().counters.batches, 1);
        Ok(batch.header)
    }

    /// Records the acknowledged position, if the log does not end with such a record.
    ///
    /// # Errors
    /// As [`CommitLog::append`].
    pub fn note_idle(&mut self) -> Result<(), Stalled> {
        self.settle()?;
        if self.last_kind == BatchKind::Commits {
            let (stamp_mark, lock_clock) = self.marks();
            self.append(Append {
                kind: BatchKind::Idle,
                body: Bytes::new(),
                stamp_mark,
                lock_clock,
            })?;
        }
        Ok(())
    }

    /// Records the lock clock in a batch of its own, durable once this returns.
    ///
    /// # Errors
    /// As [`CommitLog::append`].
    pub fn note_time(&mut self, lock_clock: u64) -> Result<(), Stalled> {
        self.settle()?;
        let (stamp_mark, _) = self.marks();
        let append = Append {
            kind: BatchKind::Idle,
            body: Bytes::new(),
            stamp_mark,
            lock_clock,
        };
        self.append(append).map(drop)
    }

    fn wrote(&mut self, header: &BatchHeader) {
        self.number = header.number;
        self.checksum = header.checksum();
        self.stamp_mark = header.stamp_mark;
        self.lock_clock = header.lock_clock;
        self.last_kind = header.kind;
    }

    /// Writes a batch to all members in service; returns those that synced it. The others are out.
    fn write_all(&mut self, batch: &Batch) -> Result<u64, Stalled> {
        let data = Arc::new(batch.encode());
        let (answer, answers) = channel();
        for member in bits(self.service) {
            let tail = self.tails[member]
                .as_ref()
                .expect("a member in service has a tail");
            let job = Job {
                file: Arc::clone(&tail.file),
                offset: tail.offset,
                data: Arc::clone(&data),
                answer: answer.clone(),
                member,
            };
            let shared = &self.shared;
            let writer =
                self.writers[member].get_or_insert_with(|| LogWriter::start(&shared.name(member)));
            let _ = writer.0.send(job);
        }
        drop(answer);
        let synced = self.gather(&answers)?;
        let counters = &self.shared.disks().counters;
        Counters::add(&counters.log_syncs, u64::from(synced.count_ones()));
        Counters::add(
            &counters.log_bytes,
            data.len() as u64 * u64::from(synced.count_ones()),
        );
        for member in bits(synced) {
            let log = self
                .shared
                .log(member)
                .expect("a member in service has a log");
            log.wrote(
                self.tails[member].as_mut().expect("it was written"),
                &batch.header,
            );
        }
        Ok(synced)
    }

    /// Waits for the answers. Once a majority has synced, the rest have the hang limit; before
    /// that, they have the commit deadline.
    fn gather(&mut self, answers: &Receiver<(usize, io::Result<()>)>) -> Result<u64, Stalled> {
        let (mut synced, mut waiting) = (0u64, self.service);
        if strongroom_base::planted("log_ack_after_one") {
            let _ = answers.recv();
            return Ok(self.service);
        }
        while waiting != 0 {
            let enough = synced.count_ones() as usize >= self.shared.majority();
            let options = &self.shared.open.options;
            let limit = if enough {
                options.hang_limit
            } else {
                options.commit_deadline
            };
            match answers.recv_timeout(limit) {
                Ok((member, result)) => {
                    waiting &= !(1 << member);
                    self.last_to_sync = Some(member);
                    match result {
                        Ok(()) => synced |= 1 << member,
                        Err(error) => {
                            self.member_failed(member, OutReason::Failed(error.to_string()))
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) if enough => {
                    for member in bits(waiting) {
                        self.member_failed(member, OutReason::Hung);
                    }
                    break;
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.stall("the disks did not sync a batch before the deadline"));
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(synced)
    }

    /// Takes the disk of a member's log out, and abandons its thread.
    fn member_failed(&mut self, member: usize, reason: OutReason) {
        if let Some(disk) = self.shared.log_disk(member) {
            self.shared.disks().take_out(disk, reason);
        }
        self.tails[member] = None;
        self.writers[member] = None;
    }

    /// Fences members whose log disk was taken out by someone else.
    fn fence_lost(&mut self) -> Result<(), Stalled> {
        let lost = bits(self.service).filter(|member| {
            let disk = self
                .shared
                .log_disk(*member)
                .and_then(|id| self.shared.disks().find(id).cloned());
            disk.is_none_or(|disk| disk.in_service().is_none())
        });
        let lost = lost.fold(0u64, |set, member| set | 1 << member);
        if lost == 0 {
            return Ok(());
        }
        self.leave(lost);
        self.begin_generation(self.service & !lost)
    }

    /// Writes to the logs of `lost` no more.
    pub(crate) fn leave(&mut self, lost: u64) {
        for member in bits(lost) {
            self.tails[member] = None;
            self.writers[member] = None;
        }
    }

    /// Begins new files when the current ones are full.
    fn rotate(&mut self) -> Result<(), Stalled> {
        let size = self.shared.open.options.log_file_size;
        let full = self.tails.iter().flatten().any(|tail| tail.offset >= size);
        if !full {
            return Ok(());
        }
        let (shared, generation, first) =
            (Arc::clone(&self.shared), self.generation, self.number + 1);
        let begun = self.shared.on_members(self.service, move |member| {
            begin_file(&shared, member, generation, first)
        });
        let mut kept = self.service;
        for (member, answer) in begun {
            let reason = match answer {
                Some(Ok(tail)) => {
                    self.tails[member] = Some(tail);
                    continue;
                }
                Some(Err(error)) => OutReason::Failed(error.to_string()),
                None => OutReason::Hung,
            };
            self.member_failed(member, reason);
            kept &= !(1 << member);
        }
        if kept == self.service {
            Ok(())
        } else {
            self.begin_generation(kept)
        }
    }

    /// Puts a new generation with the members `service` in force: promised on all of them, then
    /// its membership batch synced on all of them. Members that fail on the way are left out and
    /// the next counter is tried.
    pub(crate) fn begin_generation(&mut self, mut service: u64) -> Result<(), Stalled> {
        loop {
            if (service.count_ones() as usize) < self.shared.majority() {
                let out = bits(self.shared.members() & !service);
                let names: Vec<String> = out.map(|member| self.shared.name(member)).collect();
                return Err(self.stall(&format!(
                    "too few zones are in service (out: {})",
                    names.join(", ")
                )));
            }
            self.counter += 1;
            let tag = self.shared.open.random.next_u64();
            let generation = Generation {
                counter: self.counter,
                tag,
            };
            match self.try_generation(generation, service) {
                Ok(()) => {
                    self.service = service;
                    self.acknowledged = self.number;
                    let promise = Promise {
                        generation,
                        service,
                    };
                    let log_disks = self.log_disks();
                    *self.shared.in_force.lock().expect("no holder panics") =
                        Some((promise, log_disks));
                    Counters::add(&self.shared.disks().counters.generations, 1);
                    tracing::info!(
                        generation = generation.counter,
                        service,
                        "generation in force"
                    );
                    self.publish(None);
                    return Ok(());
                }
                Err(failed) => service &= !failed,
            }
        }
    }

    fn log_disks(&self) -> Vec<Option<DiskId>> {
        (0..MEMBER_COUNT_MAX)
            .map(|member| self.shared.log_disk(member))
            .collect()
    }

    /// One attempt; the error is the set of members that failed.
    fn try_generation(&mut self, generation: Generation, service: u64) -> Result<(), u64> {
        let log_disks = self.log_disks();
        let promised = self.shared.promise(
            service,
            Promise {
                generation,
                service,
            },
            &log_disks,
        );
        if promised & service != service {
            return Err(service & !promised);
        }
        let header = BatchHeader {
            kind: BatchKind::Membership,
            store: self.shared.store,
            generation,
            number: self.number + 1,
            previous: self.checksum,
            acknowledged: self.acknowledged,
            service,
            stamp_mark: self.stamp_mark,
            lock_clock: self.lock_clock,
            run: self.shared.open.run,
            body_len: 0,
            body_checksum: [0; 16],
        };
        let batch = Batch {
            header: header.seal(&[]),
            body: Bytes::new(),
        };
        let mut failed = 0;
        let shared = Arc::clone(&self.shared);
        let first = batch.clone();
        let answers = self.shared.on_members(service, move |member| {
            let mut tail = begin_file(&shared, member, generation, first.header.number)?;
            let log = shared
                .log(member)
                .ok_or_else(|| io::Error::other("no log"))?;
            log.append(&mut tail, &first)?;
            Ok(tail)
        });
        for (member, answer) in answers {
            match answer {
                Some(Ok(tail)) => self.tails[member] = Some(tail),
                Some(Err(error)) => {
                    self.member_failed(member, OutReason::Failed(error.to_string()));
                    failed |= 1 << member;
                }
                None => {
                    self.member_failed(member, OutReason::Hung);
                    failed |= 1 << member;
                }
            }
        }
        if failed != 0 {
            return Err(failed);
        }
        self.generation = generation;
        self.wrote(&batch.header);
        Ok(())
    }

    fn stall(&mut self, why: &str) -> Stalled {
        tracing::error!(why, "commits are stalled");
        self.service = 0;
        self.publish(Some(why.to_owned()));
        Stalled(why.to_owned())
    }

    pub(crate) fn publish(&self, stalled: Option<String>) {
        let mut status = self.shared.status.lock().expect("no holder panics");
        status.generation = self.generation.counter;
        status.acknowledged = self.acknowledged;
        status.stalled = stalled;
        let members = self.shared.members();
        status.members = (0..self.shared.list_len())
            .map(|member| MemberStatus {
                name: self.shared.name(member),
                in_service: self.service >> member & 1 == 1,
                is_removed: members >> member & 1 == 0,
            })
            .collect();
        drop(status);
        if self.service != 0 {
            self.shared.trust(self.service, None);
        }
        Counters::set(
            &self.shared.disks().counters.log_position,
            self.acknowledged,
        );
    }
}

fn begin_file(
    shared: &Shared,
    member: usize,
    generation: Generation,
    first: u64,
) -> io::Result<Tail> {
    let log = shared
        .log(member)
        .ok_or_else(|| io::Error::other("no log"))?;
    log.begin(
        generation.counter,
        first,
        generation.tag,
        RESERVE_STEP_BYTES.min(shared.open.options.log_file_size),
    )
}

/// The members in a set.
pub(crate) fn bits(set: u64) -> impl Iterator<Item = usize> {
    (0..64).filter(move |i| set >> i & 1 == 1)
}
