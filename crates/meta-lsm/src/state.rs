//! What readers, followers and the committer share.

use std::collections::VecDeque;
use std::time::Duration;
use strongroom_base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use strongroom_base::sync::{Arc, Condvar, Mutex, RwLock};

use bytes::Bytes;
use strongroom_meta::lock_clock::LockTime;
use strongroom_meta::{Error, ErrorKind, Record, Result};
use strongroom_zones::{Counters, DiskId};

use crate::body::decode_record;
use crate::hot_records::HotRecords;
use crate::overlay::Overlay;
use crate::space::Space;
use crate::view::{IndexView, ViewChange, ViewSnapshot};

/// Most bytes of recent batches kept for followers; one that is further behind reads the log.
const RECENT_SIZE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most bytes of acknowledged changes the overlay holds before commits wait for the views.
pub const OVERLAY_SIZE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Overlay size at which a view that lags is no longer waited for; it must catch up before it may
/// answer reads.
pub const OVERLAY_SIZE_BYTES_LAG: usize = 64 * 1024 * 1024;

/// An acknowledged batch in the form views apply.
#[derive(Clone)]
pub struct Applied {
    pub number: u64,
    pub checksum: [u8; 16],
    pub changes: Arc<Vec<ViewChange>>,
}

/// Which view: the disk it is on, and which of its member's views it is, from 0.
pub type ViewKey = (DiskId, usize);

/// One view with how far it got.
pub struct ViewSlot {
    pub disk: DiskId,
    /// Which of its member's views it is.
    pub copy: usize,
    pub name: String,
    pub view: Box<dyn IndexView>,
    pub applied: AtomicU64,
    /// It is no longer used; another is opened in its place.
    pub broken: AtomicBool,
    /// It failed: what is on disk is to be discarded.
    pub damaged: AtomicBool,
    /// It fell behind further than the overlay waits for.
    pub lagging: AtomicBool,
    /// Its follower goes no further than this batch.
    pub hold: AtomicU64,
    /// Its follower has stopped there.
    pub resting: AtomicBool,
}

impl ViewSlot {
    pub const fn key(&self) -> ViewKey {
        (self.disk, self.copy)
    }

    pub fn is_usable(&self) -> bool {
        !self.broken.load(Ordering::Acquire)
    }
}

/// What may be read now.
#[derive(Default)]
pub struct Visible {
    pub overlay: Overlay,
    /// The last acknowledged batch.
    pub acknowledged: u64,
    /// The view that answers reads. `None` while there is none: reads are unavailable.
    pub primary: Option<Arc<ViewSlot>>,
    pub views: Vec<Arc<ViewSlot>>,
    /// Why reads are refused, when they are.
    pub refused: Option<String>,
}

impl Visible {
    /// The view that answers reads.
    fn answering(&self) -> Result<Arc<ViewSlot>> {
        let unavailable = |why: &str| Error::new(ErrorKind::Unavailable, why);
        match (&self.refused, &self.primary) {
            (Some(why), _) => Err(unavailable(why)),
            (None, Some(primary)) => Ok(Arc::clone(primary)),
            (None, None) => Err(unavailable("the index is being rebuilt")),
        }
    }

    /// What a view must have applied to answer reads together with the overlay.
    fn needed(&self) -> u64 {
        let oldest = self.overlay.oldest();
        oldest.map_or(self.acknowledged, |oldest| oldest - 1)
    }
}

/// Recent batches, for the followers.
#[derive(Default)]
struct Recent {
    batches: VecDeque<Applied>,
    size_bytes: usize,
    /// The last acknowledged batch.
    head: u64,
}

/// The shared state.
pub struct State {
    pub visible: RwLock<Visible>,
    /// Changed under `visible`.
    hot: HotRecords,
    recent: Mutex<Recent>,
    grown: Condvar,
    pub stopping: AtomicBool,
    pub counters: Arc<Counters>,
    pub space: Space,
    lock_time: Mutex<Option<LockTime>>,
}

pub fn size_of(changes: &[ViewChange]) -> usize {
    changes
        .iter()
        .map(|c| c.key.len() + c.value.as_ref().map_or(0, Bytes::len) + 64)
        .sum()
}

impl State {
    pub fn new(counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            visible: RwLock::default(),
            hot: HotRecords::default(),
            recent: Mutex::default(),
            grown: Condvar::new(),
            stopping: AtomicBool::new(false),
            counters,
            space: Space::default(),
            lock_time: Mutex::default(),
        })
    }

    pub fn note_lock_time(&self, time: LockTime) {
        *self.lock_time.lock().expect("no holder panics") = Some(time);
    }

    pub fn lock_time(&self) -> Option<LockTime> {
        *self.lock_time.lock().expect("no holder panics")
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Makes an acknowledged batch visible, and hands it to the followers. In this order: a view
    /// may be ahead of the overlay's keys only by what the overlay already holds.
    pub fn acknowledge(&self, batch: Applied) {
        let mut visible = self.visible.write().expect("no holder panics");
        visible.overlay.add(batch.number, &batch.changes);
        self.hot.forget(&batch.changes);
        visible.acknowledged = batch.number;
        Counters::set(
            &self.counters.overlay_bytes,
            visible.overlay.size_bytes() as u64,
        );
        drop(visible);
        let mut recent = self.recent.lock().expect("no holder panics");
        recent.head = batch.number;
        recent.size_bytes += size_of(&batch.changes);
        recent.batches.push_back(batch);
        while recent.size_bytes > RECENT_SIZE_BYTES_MAX && recent.batches.len() > 1 {
            let dropped = recent.batches.pop_front().expect("more than one");
            recent.size_bytes -= size_of(&dropped.changes);
        }
        drop(recent);
        self.grown.notify_all();
    }

    /// Notes that everything up to `number` is acknowledged, for batches without changes.
    pub fn acknowledge_position(&self, number: u64) {
        let mut visible = self.visible.write().expect("no holder panics");
        visible.acknowledged = visible.acknowledged.max(number);
        drop(visible);
        let mut recent = self.recent.lock().expect("no holder panics");
        recent.head = recent.head.max(number);
        drop(recent);
        self.grown.notify_all();
    }

    /// Waits until batch `number` is acknowledged, `is_over` (whoever makes it so calls
    /// [`Self::wake_all`]), or a moment passed. What there is then: the recent batches from it on, or
    /// the head when they must be read from the log.
    pub fn wait_for(
        &self,
        number: u64,
        limit: Duration,
        is_over: impl Fn() -> bool,
    ) -> (Vec<Applied>, u64) {
        let recent = self.recent.lock().expect("no holder panics");
        let waiting =
            |recent: &mut Recent| recent.head < number && !self.is_stopping() && !is_over();
        let (recent, _) =
            (self.grown.wait_timeout_while(recent, limit, waiting)).expect("no holder panics");
        let mut next = number;
        let mut found = Vec::new();
        for batch in &recent.batches {
            if batch.number == next {
                found.push(batch.clone());
                next += 1;
            }
        }
        (found, recent.head)
    }

    /// Sleeps, but not when the store stops.
    pub fn pause(&self, time: Duration) {
        let step = Duration::from_millis(50);
        let mut waited = Duration::ZERO;
        while waited < time && !self.is_stopping() {
            strongroom_base::tasks::sleep_thread(step);
            waited += step;
        }
    }

    pub fn wake_all(&self) {
        self.grown.notify_all();
    }

    /// Drops from the overlay what every view that counts has applied.
    pub fn prune(&self) {
        let mut visible = self.visible.write().expect("no holder panics");
        let size = visible.overlay.size_bytes();
        let primary = visible.primary.as_ref().map(|slot| slot.key());
        for slot in &visible.views {
            if size > OVERLAY_SIZE_BYTES_LAG && Some(slot.key()) != primary {
                slot.lagging.store(true, Ordering::Release);
            }
        }
        let counted = visible.views.iter().filter(|slot| {
            Some(slot.key()) == primary
                || (slot.is_usable() && !slot.lagging.load(Ordering::Acquire))
        });
        let applied = counted
            .map(|slot| slot.applied.load(Ordering::Acquire))
            .min();
        if let Some(applied) = applied
            && visible
                .overlay
                .oldest()
                .is_some_and(|oldest| oldest <= applied)
        {
            visible.overlay.prune(applied);
            Counters::set(
                &self.counters.overlay_bytes,
                visible.overlay.size_bytes() as u64,
            );
        }
    }

    /// Whether commits must wait for the views.
    pub fn overlay_is_full(&self) -> bool {
        let visible = self.visible.read().expect("no holder panics");
        visible.overlay.size_bytes() > OVERLAY_SIZE_BYTES_MAX
    }

    /// Gives up a view whose content failed: it is made anew.
    pub fn view_broke(&self, slot: &Arc<ViewSlot>, why: &str) {
        slot.damaged.store(true, Ordering::Release);
        tracing::warn!(view = %slot.name, why, "an index view failed and will be made anew");
        self.view_gone(slot);
    }

    /// Gives up a view; when it was the primary, another takes its place as soon as one has applied
    /// all that the overlay no longer holds.
    pub fn view_gone(&self, slot: &Arc<ViewSlot>) {
        if slot.broken.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut visible = self.visible.write().expect("no holder panics");
        visible.views.retain(|other| !Arc::ptr_eq(other, slot));
        if visible
            .primary
            .as_ref()
            .is_some_and(|primary| Arc::ptr_eq(primary, slot))
        {
            visible.primary = None;
        }
        drop(visible);
        self.choose_primary();
    }

    /// Whether `slot` answers reads.
    pub fn is_primary(&self, slot: &Arc<ViewSlot>) -> bool {
        let visible = self.visible.read().expect("no holder panics");
        (visible.primary.as_ref()).is_some_and(|primary| Arc::ptr_eq(primary, slot))
    }

    /// Number of the last acknowledged batch.
    pub fn acknowledged(&self) -> u64 {
        self.visible.read().expect("no holder panics").acknowledged
    }

    /// Gives the place of the primary, when it is free, to a view that has applied all the overlay
    /// does not hold.
    pub fn choose_primary(&self) {
        let mut visible = self.visible.write().expect("no holder panics");
        if visible.primary.is_some() {
            return;
        }
        let needed = visible.needed();
        let best = (visible.views.iter().filter(|slot| slot.is_usable()))
            .max_by_key(|slot| slot.applied.load(Ordering::Acquire))
            .filter(|slot| slot.applied.load(Ordering::Acquire) >= needed)
            .cloned();
        if let Some(best) = best {
            tracing::info!(view = %best.name, "index view answers reads");
            visible.primary = Some(best);
        }
    }

    /// Moves the place of the primary from a view that `is_well` denies to one it does not, when
    /// there is one: nothing is read from a disk that hangs while another can answer.
    pub fn leave_primary(&self, is_well: impl Fn(&ViewSlot) -> bool) {
        let mut visible = self.visible.write().expect("no holder panics");
        let Some(old) = visible.primary.clone().filter(|old| !is_well(old)) else {
            return;
        };
        let needed = visible.needed();
        let other = (visible.views.iter())
            .filter(|slot| slot.is_usable() && is_well(slot))
            .find(|slot| slot.applied.load(Ordering::Acquire) >= needed)
            .cloned();
        if let Some(other) = other {
            tracing::warn!(from = %old.name, to = %other.name, "another index view answers reads");
            old.lagging.store(true, Ordering::Release);
            visible.primary = Some(other);
        }
    }

    /// Begins anew at `tip` when no view answers reads: what the overlay holds may end before it.
    /// `false`, and nothing changed, when one does.
    pub fn begin_at(&self, tip: u64) -> bool {
        let mut visible = self.visible.write().expect("no holder panics");
        if visible.primary.is_some() {
            return false;
        }
        visible.overlay = Overlay::default();
        self.hot.clear();
        visible.acknowledged = tip;
        true
    }

    /// A consistent look at everything acknowledged: the overlay's part for a key or range, and a
    /// snapshot of the primary.
    fn look<T>(&self, overlay: impl FnOnce(&Overlay) -> T) -> Result<Look<T>> {
        let visible = self.visible.read().expect("no holder panics");
        let primary = visible.answering()?;
        // Under the lock: nothing is pruned between the look at the overlay and the snapshot.
        let snapshot = primary.view.snapshot();
        Ok((overlay(&visible.overlay), primary, snapshot))
    }

    /// The record under `key`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        loop {
            let visible = self.visible.read().expect("no holder panics");
            let slot = visible.answering()?;
            let known = visible.overlay.get(key);
            if known.is_none()
                && let Some(record) = self.hot.get(key)
            {
                return Ok(Some(record));
            }
            let snapshot = known.is_none().then(|| slot.view.snapshot());
            let acknowledged = visible.acknowledged;
            drop(visible);
            let stored = match (known, &snapshot) {
                (Some(value), _) => Ok(value),
                (None, Some(snapshot)) => snapshot.get(key),
                (None, None) => Ok(None),
            };
            let stored = match stored {
                Ok(None) => return Ok(None),
                Ok(Some(stored)) => {
                    decode_record(key, &stored).map_err(|_| "a record does not verify".to_owned())
                }
                Err(error) => Err(error.to_string()),
            };
            match stored {
                Ok(record) => {
                    if snapshot.is_some() {
                        self.keep_hot(key, &record, acknowledged);
                    }
                    return Ok(Some(record));
                }
                // Another view takes over, or the read is refused.
                Err(why) => self.view_broke(&slot, &why),
            }
        }
    }

    /// Keeps a record that a view gave when `acknowledged` was the last batch, unless there were others.
    fn keep_hot(&self, key: &[u8], record: &Record, acknowledged: u64) {
        let visible = self.visible.read().expect("no holder panics");
        if visible.acknowledged == acknowledged {
            self.hot.keep(key, record);
        }
    }

    /// Records with `prefix` after `after`, with `over` laid over them, at most `limit`, and
    /// whether more may follow.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
        over: Vec<(Vec<u8>, Option<Bytes>)>,
    ) -> Result<Found> {
        loop {
            let (mut upper, slot, snapshot) = self.look(|overlay| overlay.range(prefix, after))?;
            if !over.is_empty() {
                let mut merged: std::collections::BTreeMap<_, _> = upper.into_iter().collect();
                merged.extend(over.iter().cloned());
                upper = merged.into_iter().collect();
            }
            match merge(&*snapshot, prefix, after, limit, upper) {
                Ok(found) => return Ok(found),
                Err(why) => self.view_broke(&slot, &why),
            }
        }
    }
}

/// What a look at the state gives: the overlay's part, the view that answered and its snapshot.
type Look<T> = (T, Arc<ViewSlot>, Box<dyn ViewSnapshot>);

type Found = (Vec<(Vec<u8>, Record)>, bool);

/// Merges the sorted `upper` over a snapshot; one record more than `limit` tells whether more
/// follow.
fn merge(
    snapshot: &dyn ViewSnapshot,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
    upper: Vec<(Vec<u8>, Option<Bytes>)>,
) -> std::result::Result<Found, String> {
    let mut upper = upper.into_iter().peekable();
    let mut found: Vec<(Vec<u8>, Bytes)> = Vec::new();
    let wanted = limit.saturating_add(1);
    snapshot
        .scan(prefix, after, &mut |key, value| {
            while let Some((over, stored)) = upper.next_if(|(over, _)| over.as_slice() < &key[..]) {
                found.extend(stored.map(|stored| (over, stored)));
                if found.len() >= wanted {
                    return false;
                }
            }
            match upper.next_if(|(over, _)| over.as_slice() == &key[..]) {
                Some((over, stored)) => found.extend(stored.map(|stored| (over, stored))),
                None => found.push((key.to_vec(), value)),
            }
            found.len() < wanted
        })
        .map_err(|error| error.to_string())?;
    for (over, stored) in upper {
        if found.len() >= wanted {
            break;
        }
        found.extend(stored.map(|stored| (over, stored)));
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let decode = |(key, stored): (Vec<u8>, Bytes)| {
        let record =
            decode_record(&key, &stored).map_err(|_| "a record does not verify".to_owned());
        record.map(|record| (key, record))
    };
    Ok((
        found
            .into_iter()
            .map(decode)
            .collect::<std::result::Result<_, _>>()?,
        more,
    ))
}
