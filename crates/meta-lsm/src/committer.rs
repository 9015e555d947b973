//! The commit thread: the one place where state changes.
//!
//! It takes the transactions that are waiting, runs their decisions one after the other against
//! the state at the head of the log, appends what they wrote as one batch, and lets the answers
//! go. While a batch is being synced the next transactions gather, so one sync carries as many as
//! came in time. When the majority is lost it tries recovery until it is back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use strongroom_base::sync::mpsc::{Receiver, RecvTimeoutError};

use bytes::Bytes;
use futures::channel::oneshot;
use strongroom_base::{Clock, Timestamp, tasks};
use strongroom_meta::lock_clock::LockClock;
use strongroom_meta::resolve::{Change, resolve};
use strongroom_meta::stamp::StampIssuer;
use strongroom_meta::{Error, ErrorKind, Reads, Record, Result, Stamp, Transaction};
use strongroom_zones::{
    Append, BatchKind, CommitLog, Counters, Incarnation, Prepared, PreparedChange, Recovered, Store,
};

use crate::body::{BodyWriter, TRANSACTION_COUNT_MAX, decode_record};
use crate::follower::load;
use crate::health::Views;
use crate::lock_clock::ClockOrder;
use crate::slow_batch::{SlowBatches, Step, Times};
use crate::space;
use crate::state::{Applied, State};

/// Body size at which a batch takes no further transaction: larger ones sync no faster per byte
/// and make the first of them wait.
const BATCH_BODY_SIZE_BYTES_TARGET: usize = 4 * 1024 * 1024;
/// After this long without work the acknowledged position is recorded (hazard H4).
const IDLE_AFTER: Duration = Duration::from_millis(250);
/// How long between attempts to recover.
const RECOVER_INTERVAL: Duration = Duration::from_millis(500);
/// After this long recovery is tried again although no disk came or went.
const RECOVER_ANYWAY: Duration = Duration::from_secs(30);
/// How long the committer sleeps while the overlay is full.
const OVERLAY_WAIT: Duration = Duration::from_millis(2);

/// A transaction on its way.
pub struct Submission {
    pub transaction: Transaction,
    pub answer: oneshot::Sender<Result<()>>,
}

/// What the commit thread is asked.
pub enum Message {
    Commit(Submission),
    /// A returning member is caught up.
    Admit(Prepared),
    /// An operator changes the disks.
    Change(ChangeOrder),
    /// An operator read the time elsewhere.
    ConfirmClock(ClockOrder),
    Stop,
}

/// A change of disks, and whoever waits for it.
pub struct ChangeOrder {
    pub change: PreparedChange,
    pub answer: strongroom_base::sync::mpsc::Sender<std::result::Result<(), ChangeError>>,
}

/// Why a change of disks, or of the lock clock, was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// Nothing changed.
    #[error("{0}")]
    Refused(String),
    /// It was begun, and recovery decides.
    #[error("{0}")]
    Unknown(String),
}

/// The state of the commit thread.
pub struct Committer {
    pub store: Store,
    pub state: Arc<State>,
    pub views: Arc<Views>,
    pub clock: Arc<dyn Clock>,
    pub messages: Receiver<Message>,
    pub log: Option<CommitLog>,
    pub stamps: StampIssuer,
    /// Once the log was read.
    pub lock_clock: Option<LockClock>,
    /// Why there is no log.
    pub refused: String,
    /// The last batch shown while the store was read only, and the checksum of its header.
    pub shown: Option<(u64, [u8; 16])>,
    /// Which disks were in service when recovery was tried last: until that changes, or a while
    /// passed, trying again would only disturb readers.
    pub tried: Option<(Vec<Option<Incarnation>>, Duration)>,
    pub slow: SlowBatches,
}

/// A decision's look at the head of the log: this batch, then what is acknowledged.
struct HeadReads<'a> {
    pending: &'a BTreeMap<Vec<u8>, Option<Bytes>>,
    state: &'a State,
    stamps: &'a mut StampIssuer,
    clock: &'a dyn Clock,
    lock_clock: &'a mut LockClock,
}

impl Reads for HeadReads<'_> {
    fn get(&mut self, key: &[u8]) -> Result<Option<Record>> {
        if strongroom_base::planted("commit_guard_skips_batch") {
            return self.state.get(key);
        }
        match self.pending.get(key) {
            Some(None) => Ok(None),
            Some(Some(stored)) => decode_record(key, stored)
                .map(Some)
                .map_err(|_| Error::new(ErrorKind::Internal, "a pending record does not decode")),
            None => self.state.get(key),
        }
    }

    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Record)>> {
        let from = after.filter(|after| *after >= prefix).unwrap_or(prefix);
        let over = (self.pending.range(from.to_vec()..))
            .skip_while(|(key, _)| after == Some(key.as_slice()))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        Ok(self.state.scan(prefix, after, limit, over)?.0)
    }

    fn issue_stamp(&mut self, floor: Stamp) -> Stamp {
        self.stamps.issue(self.clock.now(), floor)
    }

    fn lock_clock(&mut self) -> Timestamp {
        let (now, passed) = (self.clock.now(), self.clock.monotonic());
        self.lock_clock.look(now, passed)
    }
}

impl Committer {
    /// Serves until stopped.
    pub fn run(mut self) {
        loop {
            if self.log.is_none() && !self.try_recover() {
                if self.refuse_for(RECOVER_INTERVAL) {
                    return;
                }
                continue;
            }
            match self.messages.recv_timeout(IDLE_AFTER) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.idle();
                    return;
                }
                Ok(Message::Admit(prepared)) => self.admit(prepared),
                Ok(Message::Change(order)) => self.change_disks(order),
                Ok(Message::ConfirmClock(order)) => self.confirm_clock(order),
                Ok(Message::Commit(first)) => {
                    if self.commit_round(first) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.idle(),
            }
        }
    }

    /// Answers everything that comes with the reason; true when asked to stop.
    fn refuse_for(&self, time: Duration) -> bool {
        let deadline = self.clock.monotonic() + time;
        loop {
            let left = deadline.saturating_sub(self.clock.monotonic()).min(time);
            if left.is_zero() {
                return false;
            }
            match self.messages.recv_timeout(left) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
                Ok(Message::Admit(_)) => {}
                Ok(Message::Change(order)) => {
                    let refused = ChangeError::Refused(self.refused.clone());
                    let _ = order.answer.send(Err(refused));
                }
                Ok(Message::ConfirmClock(order)) => {
                    let refused = ChangeError::Refused(self.refused.clone());
                    let _ = order.answer.send(Err(refused));
                }
                Ok(Message::Commit(submission)) => {
                    let error = Error::new(ErrorKind::Unavailable, self.refused.clone());
                    let _ = submission.answer.send(Err(error));
                }
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }

    fn idle(&mut self) {
        self.stamps.observe(self.clock.now());
        let noted = self.note_idle();
        if let Some(log) = &mut self.log {
            match noted {
                Ok(()) => self.state.acknowledge_position(log.acknowledged()),
                Err(stalled) => self.stalled(&stalled.0),
            }
        }
    }

    fn admit(&mut self, prepared: Prepared) {
        if let Some(log) = &mut self.log {
            match log.admit(prepared) {
                Ok(()) => self.state.acknowledge_position(log.acknowledged()),
                Err(stalled) => self.stalled(&stalled.0),
            }
        }
    }

    fn change_disks(&mut self, order: ChangeOrder) {
        let outcome = match &mut self.log {
            None => Err(ChangeError::Refused(self.refused.clone())),
            Some(log) => match log.change_disks(order.change) {
                Ok(outcome) => {
                    self.state.acknowledge_position(log.acknowledged());
                    outcome.map_err(ChangeError::Refused)
                }
                Err(stalled) => {
                    self.stalled(&stalled.0);
                    Err(ChangeError::Unknown(format!(
                        "whether the change took effect is decided when enough zones are back: {}",
                        stalled.0
                    )))
                }
            },
        };
        let _ = order.answer.send(outcome);
    }

    pub(crate) fn stalled(&mut self, why: &str) {
        self.log = None;
        self.tried = None;
        why.clone_into(&mut self.refused);
    }

    /// Gathers what is waiting and commits it; true when asked to stop.
    fn commit_round(&mut self, first: Submission) -> bool {
        let mut times = Times::begin(&self.clock);
        while self.state.overlay_is_full() && !self.state.is_stopping() {
            tasks::sleep_thread(OVERLAY_WAIT);
            self.state.prune();
        }
        times.done(Step::Index);
        let mut after = None;
        if let Some(log) = &mut self.log
            && let Err(stalled) = log.settle()
        {
            self.stalled(&stalled.0);
            let _ = first.answer.send(Err(Error::new(
                ErrorKind::Unavailable,
                self.refused.clone(),
            )));
            return false;
        }
        times.done(Step::Files);
        let log = self.log.as_ref().expect("it is serving");
        let reader = log.reader();
        let free = (self.state.space).least(&reader.log_disks(), reader.majority());
        let mut round = Round::new(log.next_number(), free);
        round.run(first, self);
        while round.body.len() < BATCH_BODY_SIZE_BYTES_TARGET
            && round.body.transactions() < TRANSACTION_COUNT_MAX
        {
            match self.messages.try_recv() {
                Ok(Message::Commit(submission)) => round.run(submission, self),
                Ok(other) => {
                    after = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        times.done(Step::Decide);
        self.append(round, times);
        match after {
            Some(Message::Admit(prepared)) => self.admit(prepared),
            Some(Message::Change(order)) => self.change_disks(order),
            Some(Message::ConfirmClock(order)) => self.confirm_clock(order),
            Some(Message::Stop) => {
                self.idle();
                return true;
            }
            _ => {}
        }
        false
    }

    fn append(&mut self, round: Round, mut times: Times) {
        if round.changes.is_empty() && round.body.transactions() == 0 {
            round.answer(&Ok(()));
            return;
        }
        let lock_clock = self.look_at_lock_clock();
        let Some(log) = &mut self.log else { return };
        let count = round.body.transactions() as u64;
        let Round {
            body,
            changes,
            pending: _,
            answers,
            free: _,
        } = round;
        let size = body.len() as u64;
        let append = Append {
            kind: BatchKind::Commits,
            body: body.finish(),
            stamp_mark: self.stamps.mark().0,
            lock_clock,
        };
        let appended = log.append(append);
        times.done(Step::Disks);
        let result = match appended {
            Ok(header) => {
                let (number, checksum) = (header.number, header.checksum());
                let changes = Arc::new(changes);
                let disks = log.reader().log_disks();
                self.state.space.appended(&disks, size);
                self.state.acknowledge(Applied {
                    number,
                    checksum,
                    changes,
                });
                self.state.acknowledge_position(log.acknowledged());
                Counters::add(&self.state.counters.commits, count);
                times.done(Step::Show);
                let zone = || log.last_to_sync();
                (self.slow).note(&times, &self.state.counters, count, zone);
                Ok(())
            }
            Err(stalled) => {
                self.stalled(&stalled.0);
                Err(Error::new(ErrorKind::Unavailable, stalled.0))
            }
        };
        for answer in answers {
            let _ = answer.send(result.clone());
        }
    }

    /// Tries to get a log; true when there is one.
    fn try_recover(&mut self) -> bool {
        let disks = self.store.opened().disks.all().iter();
        let disks: Vec<Option<Incarnation>> = disks.map(|disk| disk.in_service()).collect();
        let now = self.clock.monotonic();
        if let Some((tried, when)) = &self.tried
            && *tried == disks
            && now < *when + RECOVER_ANYWAY
        {
            return false;
        }
        self.tried = Some((disks, now));
        let mark = self.views.mark();
        match self.store.recover(mark) {
            Ok(Recovered::Serving(log)) => {
                let tip = log.acknowledged();
                if let Err(why) = self.replay(tip) {
                    return self.refuse(&why);
                }
                self.stamps = StampIssuer::new(Stamp(log.marks().0), self.clock.now());
                self.begin_lock_clock(&log);
                self.log = Some(log);
                self.visible(None);
                tracing::info!(position = tip, "serving");
                true
            }
            Ok(Recovered::ReadOnly(_, tip, why)) => {
                if let Err(why) = self.replay(tip) {
                    return self.refuse(&why);
                }
                let checksum = self.store.reader().checksum(tip);
                self.shown = checksum.map(|checksum| (tip, checksum));
                self.visible(None);
                self.refused = why;
                false
            }
            Err(error) => self.refuse(&error.0),
        }
    }

    fn refuse(&mut self, why: &str) -> bool {
        if self.refused != why {
            tracing::warn!(why, "not serving");
        }
        self.store.note_stalled(why);
        why.clone_into(&mut self.refused);
        // After a restart nothing is known to be current; in a running process what was
        // acknowledged stays readable.
        if self
            .state
            .visible
            .read()
            .expect("no holder panics")
            .primary
            .is_none()
        {
            self.visible(Some(why.to_owned()));
        }
        false
    }

    fn visible(&self, refused: Option<String>) {
        self.state
            .visible
            .write()
            .expect("no holder panics")
            .refused = refused;
    }

    /// Makes everything up to `tip` visible: views are opened, those that are not on the chain are
    /// discarded, and one is rolled forward.
    fn replay(&mut self, tip: u64) -> std::result::Result<(), String> {
        // What was shown while too few members were there to write may be on no other's log.
        if let Some((number, checksum)) = self.shown.take() {
            let now = self.store.reader().checksum(number);
            if tip < number || now.is_some_and(|now| now != checksum) {
                for slot in self.views.all() {
                    self.state.view_broke(&slot, "it holds what was not kept");
                }
            }
        }
        // What a running process had not acknowledged and recovery kept is acknowledged now: in the
        // overlay behind what is there, or where no view answers reads, in all views to come.
        if !self.state.begin_at(tip) {
            let from = self
                .state
                .visible
                .read()
                .expect("no holder panics")
                .acknowledged;
            let log = self.store.reader();
            for number in from + 1..=tip {
                let batch = load(&log, number).map_err(|error| error.0)?;
                self.state.acknowledge(batch);
            }
        }
        self.state.acknowledge_position(tip);
        self.views.refresh(&self.store, &self.state, tip)?;
        self.views.wait_for_primary(&self.state, tip)
    }
}

/// Content has one owner: a record that it moved away from and that stays no longer has it.
fn clear_moved(changes: &mut Vec<Change>, reads: &mut dyn Reads) -> Result<()> {
    let mut cleared = Vec::new();
    for change in changes.iter() {
        if let Change::MoveInline { from, .. } = change
            && !changes.iter().any(|other| other.key() == from)
            && let Some(record) = reads.get(from)?
        {
            cleared.push(Change::Put {
                key: from.clone(),
                value: record.value,
            });
        }
    }
    changes.extend(cleared);
    Ok(())
}

/// A batch being made.
struct Round {
    body: BodyWriter,
    changes: Vec<crate::view::ViewChange>,
    pending: BTreeMap<Vec<u8>, Option<Bytes>>,
    answers: Vec<oneshot::Sender<Result<()>>>,
    /// Free bytes of the fullest log disk before it.
    free: u64,
}

impl Round {
    fn new(number: u64, free: u64) -> Self {
        Self {
            free,
            body: BodyWriter::new(number),
            changes: Vec::new(),
            pending: BTreeMap::new(),
            answers: Vec::new(),
        }
    }

    /// Runs one decision. Its answer waits for the batch: it may rest on what this batch writes.
    fn run(&mut self, submission: Submission, committer: &mut Committer) {
        let Submission {
            mut transaction,
            answer,
        } = submission;
        match self.decide(&mut transaction, committer) {
            Ok(()) => self.answers.push(answer),
            Err(error) => {
                let _ = answer.send(Err(error));
            }
        }
    }

    fn decide(&mut self, transaction: &mut Transaction, committer: &mut Committer) -> Result<()> {
        let Some(lock_clock) = &mut committer.lock_clock else {
            return Err(Error::new(
                ErrorKind::Internal,
                "a log is served and has no clock",
            ));
        };
        let mut reads = HeadReads {
            pending: &self.pending,
            state: &committer.state,
            stamps: &mut committer.stamps,
            clock: &*committer.clock,
            lock_clock,
        };
        let Some(writes) = (transaction.decide)(&mut reads)? else {
            return Ok(());
        };
        if !transaction.durable.iter().all(|durable| durable()) {
            return Err(Error::new(
                ErrorKind::BlobLost,
                "a disk went out of service since its sync",
            ));
        }
        let mut changes = resolve(writes, self.body.next_revision(), &mut reads)?;
        clear_moved(&mut changes, &mut reads)?;
        let has_content = |change: &Change| matches!(change, Change::PutInline { .. });
        let free = self.free.saturating_sub(self.body.len() as u64);
        space::check(free, changes.iter().any(has_content))?;
        for change in self.body.add(&changes) {
            self.pending
                .insert(change.key.clone(), change.value.clone());
            self.changes.push(change);
        }
        Ok(())
    }

    fn answer(self, result: &Result<()>) {
        for answer in self.answers {
            let _ = answer.send(result.clone());
        }
    }
}
