//! The store that the rest of the program holds.

use std::time::Duration;
use strongroom_base::sync::atomic::Ordering;
use strongroom_base::sync::mpsc::{Sender, channel};
use strongroom_base::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::oneshot;
use strongroom_base::{Clock, Timestamp, tasks};
use strongroom_meta::lock_clock::LockTime;
use strongroom_meta::stamp::StampIssuer;
use strongroom_meta::{
    Error, ErrorKind, InlinePlace, LogExtent, MetaStore, Page, Record, Result, SCAN_LIMIT_MAX,
    Stamp, Transaction, Trimmed,
};
use strongroom_zones::{DiskChange, DiskHandle, LogReader, LogStatus, Store, checksum64};

use crate::committer::{ChangeError, ChangeOrder, Committer, Message, Submission};
use crate::health::{self, Views};
use crate::lock_clock::ClockOrder;
use crate::slow_batch::SlowBatches;
use crate::state::State;
use crate::trim::TrimRound;
use crate::view::{MARK_KEY, ViewFactory};
use crate::watch::AdmitHook;

/// Most transactions that wait for the commit thread; the next caller waits for a place.
const SUBMISSION_COUNT_MAX: usize = 8192;

/// How long one member may take to read inline content before the next is asked.
const INLINE_READ_LIMIT: Duration = Duration::from_secs(2);

/// How the store behaves.
#[derive(Clone, Debug)]
pub struct LsmSettings {
    /// Time between two looks at a disk.
    pub health_interval: Duration,
    /// How long a transaction may take before its caller is told the outcome is unknown.
    pub transaction_deadline: Duration,
}

impl Default for LsmSettings {
    fn default() -> Self {
        Self {
            health_interval: Duration::from_secs(1),
            transaction_deadline: Duration::from_secs(30),
        }
    }
}

/// `MetaStore` on the commit log.
pub struct LsmMeta {
    state: Arc<State>,
    views: Arc<Views>,
    /// Held by the one round of trimming there may be.
    trimming: Arc<Mutex<()>>,
    log: LogReader,
    store: Store,
    messages: Sender<Message>,
    places: tokio::sync::Semaphore,
    thread: Mutex<Option<tasks::JoinHandle<()>>>,
    deadline: Duration,
}

impl LsmMeta {
    /// Starts the commit thread, the followers and the health threads. Returns at once: until
    /// recovery is over, every call answers `Unavailable` with the reason. `hook` is called with a
    /// disk right before it is admitted back into service.
    #[must_use]
    pub fn start(
        store: &Store,
        views: Arc<dyn ViewFactory>,
        clock: Arc<dyn Clock>,
        settings: &LsmSettings,
        hook: AdmitHook,
    ) -> Arc<Self> {
        let state = State::new(Arc::clone(&store.opened().disks.counters));
        state.visible.write().expect("not shared yet").refused =
            Some("the store is starting".into());
        let views = Views::new(views);
        views.open_missing(store);
        let (messages, received) = channel();
        let committer = Committer {
            store: store.clone(),
            state: Arc::clone(&state),
            views: Arc::clone(&views),
            stamps: StampIssuer::new(Stamp(0), clock.now()),
            lock_clock: None,
            clock,
            messages: received,
            log: None,
            refused: "the store is starting".into(),
            shown: None,
            tried: None,
            slow: SlowBatches::default(),
        };
        let thread = tasks::spawn_thread("committer", move || committer.run());
        health::start(
            store,
            &state,
            &views,
            messages.clone(),
            settings.health_interval,
            hook,
        );
        Arc::new(Self {
            state,
            views,
            trimming: Arc::default(),
            log: store.reader(),
            store: store.clone(),
            messages,
            places: tokio::sync::Semaphore::new(SUBMISSION_COUNT_MAX),
            thread: Mutex::new(Some(thread)),
            deadline: settings.transaction_deadline,
        })
    }

    /// Waits until reads are answered, or the limit passed. The error is the reason.
    ///
    /// # Errors
    /// Why the store does not serve.
    pub fn wait_ready(&self, limit: Duration) -> std::result::Result<(), String> {
        let step = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        loop {
            match self.ready() {
                Ok(()) => return Ok(()),
                Err(why) if waited >= limit => return Err(why),
                Err(_) => tasks::sleep_thread(step),
            }
            waited += step;
        }
    }

    /// Whether reads are answered.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> std::result::Result<(), String> {
        let visible = self.state.visible.read().expect("no holder panics");
        match (&visible.refused, &visible.primary) {
            (Some(why), _) => Err(why.clone()),
            (None, None) => Err("the index is being rebuilt".into()),
            (None, Some(_)) => Ok(()),
        }
    }

    /// Whether writes are accepted.
    ///
    /// # Errors
    /// Why not.
    pub fn ready_write(&self) -> std::result::Result<(), String> {
        self.ready()?;
        match self.log.status().stalled {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }

    /// Where the log stands.
    #[must_use]
    pub fn status(&self) -> LogStatus {
        self.log.status()
    }

    /// Changes the disks or zones of the store, and gives the disks that came in (RFC 0010, RFC 0011,
    /// RFC 0012). Blocks until the change is in force or refused; may hang with the new disk.
    ///
    /// # Errors
    /// One sentence.
    pub fn change_disks(
        &self,
        change: DiskChange,
    ) -> std::result::Result<Vec<Arc<DiskHandle>>, ChangeError> {
        let change = self.store.prepare_change(change);
        let change = change.map_err(ChangeError::Refused)?;
        let (new, gone) = (change.new_disks(), change.gone());
        let (answer, answered) = channel();
        let stopped = || ChangeError::Unknown("the store is stopping".to_owned());
        self.messages
            .send(Message::Change(ChangeOrder { change, answer }))
            .map_err(|_| stopped())?;
        answered.recv().map_err(|_| stopped())??;
        for gone in gone {
            // In a thread of its own: it may have left because it is dead, and hang.
            let store = self.store.clone();
            tasks::spawn_thread(&format!("retire {}", gone.name), move || {
                if let Err(error) = store.retire(&gone) {
                    tracing::info!(disk = %gone.name, %error, "the disk that left could not be told");
                }
            });
        }
        Ok(new)
    }

    /// How locks expire now; nothing before the log was read.
    #[must_use]
    pub fn lock_time(&self) -> Option<LockTime> {
        self.state.lock_time()
    }

    /// Believes the clock although it is ahead of the time that can have passed: an operator `read` the
    /// time elsewhere, and it agrees with the clock to a minute. Durable once it returns.
    ///
    /// # Errors
    /// One sentence.
    pub fn confirm_clock(&self, read: Timestamp) -> std::result::Result<LockTime, ChangeError> {
        let (answer, answered) = channel();
        let stopped = || ChangeError::Unknown("the store is stopping".to_owned());
        self.messages
            .send(Message::ConfirmClock(ClockOrder { read, answer }))
            .map_err(|_| stopped())?;
        answered.recv().map_err(|_| stopped())?
    }

    /// Finishes what was submitted, records the acknowledged position and stops all threads.
    pub fn stop(&self) {
        let _ = self.messages.send(Message::Stop);
        // Before the join: the commit thread may be waiting for a view that makes no progress.
        self.state.stopping.store(true, Ordering::Release);
        self.state.wake_all();
        if let Some(thread) = self.thread.lock().expect("no holder panics").take() {
            let _ = thread.join();
        }
        self.store.end_copies();
    }
}

impl Drop for LsmMeta {
    fn drop(&mut self) {
        self.stop();
    }
}

#[async_trait]
impl MetaStore for LsmMeta {
    async fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        debug_assert_ne!(key, MARK_KEY);
        self.state.get(key)
    }

    async fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Page> {
        // The mark is below every record.
        let after = after.or(prefix.is_empty().then_some(MARK_KEY));
        let limit = limit.min(SCAN_LIMIT_MAX);
        let (records, more) = self.state.scan(prefix, after, limit, Vec::new())?;
        Ok(Page { records, more })
    }

    async fn inline_bytes(&self, place: InlinePlace) -> Result<Bytes> {
        let InlinePlace {
            batch,
            offset,
            size,
            checksum,
        } = place;
        let verify = move |bytes: &[u8]| checksum64(batch, bytes) == checksum;
        let holders = self.log.holders();
        // What is in memory costs no switch to another thread and back.
        let at_once = |member: &usize| {
            self.log
                .read_part_at_once(*member, batch, offset, size, &verify)
        };
        if let Some(bytes) = holders.first().and_then(at_once) {
            return Ok(bytes);
        }
        // A disk that hangs must hold up neither the runtime nor the read: the next is asked.
        let mut all_answered = true;
        for member in holders {
            let log = self.log.clone();
            let read = tasks::blocking(move || log.read_part(member, batch, offset, size, &verify));
            match tasks::timeout(INLINE_READ_LIMIT, read).await {
                Ok(Ok(Some(bytes))) => return Ok(bytes),
                Ok(Ok(None)) => {}
                // What it has is not known: it may be good.
                Ok(Err(_)) | Err(_) => all_answered = false,
            }
        }
        if self.log.first().is_some_and(|first| place.batch < first) {
            let message = format!("batch {} was trimmed: its content moved", place.batch);
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        // What is on no member is damaged, but only when all were asked and answered.
        let status = self.log.status();
        let all = all_answered
            && status.stalled.is_none()
            && status.members.iter().all(|m| m.in_service || m.is_removed);
        let kind = match all {
            true => ErrorKind::Corrupt,
            false => ErrorKind::Unavailable,
        };
        let message = format!("no good copy of inline content in batch {}", place.batch);
        Err(Error::new(kind, message))
    }

    async fn transact(&self, transaction: Transaction) -> Result<()> {
        let stopped = || Error::new(ErrorKind::Unavailable, "the store is stopping");
        let late = || Error::new(ErrorKind::Unavailable, "the commit did not finish in time");
        let wait = async {
            let _place = self.places.acquire().await.map_err(|_| stopped())?;
            let (answer, answered) = oneshot::channel();
            let submission = Submission {
                transaction,
                answer,
            };
            self.messages
                .send(Message::Commit(submission))
                .map_err(|_| stopped())?;
            answered.await.unwrap_or_else(|_| Err(stopped()))
        };
        tasks::timeout(self.deadline, wait)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    async fn log_extent(&self) -> Result<LogExtent> {
        if let Err(why) = self.ready() {
            return Err(Error::new(ErrorKind::Unavailable, why));
        }
        let log = self.log.clone();
        let measured = tasks::blocking(move || (log.first(), log.size_bytes())).await;
        let newest = self.log.status().acknowledged;
        match measured {
            (Some(first), bytes) => Ok(LogExtent {
                first,
                newest,
                bytes,
            }),
            _ => Err(Error::new(ErrorKind::Unavailable, "no log is in reach")),
        }
    }

    async fn trim(&self, through: u64) -> Result<Trimmed> {
        if let Err(why) = self.ready_write() {
            return Err(Error::new(ErrorKind::Unavailable, why));
        }
        let (store, state) = (self.store.clone(), Arc::clone(&self.state));
        let (views, trimming) = (Arc::clone(&self.views), Arc::clone(&self.trimming));
        tasks::blocking(move || {
            let Ok(_one) = trimming.try_lock() else {
                let why = "the log is being trimmed already";
                return Err(Error::new(ErrorKind::Unavailable, why));
            };
            let round = TrimRound {
                store: &store,
                state: &state,
                views: &views,
                through,
            };
            round.run()
        })
        .await
    }
}
