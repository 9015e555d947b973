//! Watching disks, bringing zones back, keeping a view per member.
//!
//! One thread per disk looks whether it is still the disk it was, and probes it while it is out: a
//! disk that hangs holds up only its own thread. One more thread copies the log to members whose
//! disk is back, and makes views for members that have none. A third (`hung`) looks at no disk and
//! puts out those whose thread is stuck.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;
use strongroom_base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use strongroom_base::sync::mpsc::Sender;
use strongroom_base::sync::{Arc, Mutex, MutexGuard};

use strongroom_base::tasks;
use strongroom_zones::{DiskHandle, DiskId, Store};

use crate::committer::Message;
use crate::copy_view::copy_view;
use crate::follower;
use crate::hung::HungWatch;
use crate::state::{State, ViewKey, ViewSlot};
use crate::view::{Mark, ViewFactory, ViewSnapshot};
use crate::watch::{AdmitHook, Watch};

/// How long one thread waits for another that opens views, and how often it looks.
const OPENING_LIMIT: Duration = Duration::from_secs(10);
const OPENING_POLL: Duration = Duration::from_millis(5);
/// How long after a copy of a view that failed the next begins.
const COPY_RETRY: Duration = Duration::from_secs(10);
/// How long no view may get further before recovery gives up for now, and how often it looks.
const PRIMARY_LIMIT: Duration = Duration::from_secs(30);
const PRIMARY_POLL: Duration = Duration::from_millis(5);

/// Fewest members of a store of which each keeps one view. With fewer each keeps two, or the log could
/// not be trimmed: one view that rots would be the last but one, or the last (RFC 0006).
pub const SINGLE_VIEW_MEMBERS_MIN: usize = 3;

/// The views of the members.
pub struct Views {
    /// Of the first view of a member, and of the second where it keeps two.
    factories: Vec<Arc<dyn ViewFactory>>,
    /// Opened and not yet followed.
    opened: Mutex<Vec<Arc<ViewSlot>>>,
    /// Followed, and those given up that somebody may still use.
    followed: Mutex<Vec<Arc<ViewSlot>>>,
    /// Held while views are opened: two that open one folder would each find the other's lock in
    /// it, and discard what the other has open.
    opening: Mutex<()>,
    /// Views that can not be used and can not be made from the log, as that was trimmed. What is there
    /// stays until a copy of another has taken its place.
    unfit: Mutex<BTreeSet<ViewKey>>,
    /// Whether a view is being copied.
    copying: AtomicBool,
}

/// What a view that was opened again shows: the view, a look at it, and its mark.
pub type Reopened = (Arc<ViewSlot>, Box<dyn ViewSnapshot>, Option<Mark>);

impl Views {
    pub fn new(factory: Arc<dyn ViewFactory>) -> Arc<Self> {
        let second = factory.second();
        Arc::new(Self {
            factories: std::iter::once(factory).chain(second).collect(),
            opened: Mutex::default(),
            followed: Mutex::default(),
            opening: Mutex::default(),
            unfit: Mutex::default(),
            copying: AtomicBool::new(false),
        })
    }

    /// How many views each member of a store of `member_count` keeps.
    pub fn copies(&self, member_count: usize) -> usize {
        match member_count < SINGLE_VIEW_MEMBERS_MIN {
            true => self.factories.len(),
            false => 1,
        }
    }

    /// The furthest mark among the views there are, opening them when none is.
    pub fn mark(&self) -> u64 {
        let slots = self.all();
        slots
            .iter()
            .map(|slot| slot.applied.load(Ordering::Acquire))
            .max()
            .unwrap_or(0)
    }

    /// The views that are usable.
    pub fn all(&self) -> Vec<Arc<ViewSlot>> {
        let mut all = self.opened.lock().expect("no holder panics").clone();
        all.extend(
            self.followed
                .lock()
                .expect("no holder panics")
                .iter()
                .cloned(),
        );
        all.retain(|slot| slot.is_usable());
        all
    }

    /// Whether views can be made from the log; `None` while nobody knows.
    fn is_whole(store: &Store) -> Option<bool> {
        let log = store.reader();
        log.first().map(|_| log.is_whole())
    }

    fn unfit(&self) -> MutexGuard<'_, BTreeSet<ViewKey>> {
        self.unfit.lock().expect("no holder panics")
    }

    /// Opens the views that are missing of every member that has a disk in service.
    pub fn open_missing(&self, store: &Store) {
        let whole = Self::is_whole(store);
        let disks = store.opened().disks.all();
        let members: BTreeSet<u16> = disks.iter().map(|disk| disk.member.0).collect();
        for member in &members {
            let own = disks.iter().filter(|disk| disk.member.0 == *member);
            let own: Vec<_> = own.collect();
            for copy in 0..self.copies(members.len()) {
                self.open_of_member(&own, copy, whole);
            }
        }
    }

    /// Opens view `copy` of the member that has the disks `own`, if it is missing.
    fn open_of_member(&self, own: &[&Arc<DiskHandle>], copy: usize, whole: Option<bool>) {
        let all = self.all();
        let has = |disk: &&Arc<DiskHandle>| all.iter().any(|slot| slot.key() == (disk.id, copy));
        if own.iter().any(has) {
            return;
        }
        let usable = |disk: &&&Arc<DiskHandle>| disk.disk.is_some() && disk.in_service().is_some();
        // A second one is on another disk than the first where there is one.
        let disk = match copy {
            0 => own.iter().find(usable),
            _ => own.iter().rfind(usable),
        };
        let Some(disk) = disk else {
            return;
        };
        if !self.is_free(disk, copy, whole) || !self.is_fit(disk, copy, whole) {
            return;
        }
        match self.open_one(disk, copy, whole == Some(true)) {
            Ok(slot) => self.opened.lock().expect("no holder panics").push(slot),
            Err(error) => {
                tracing::warn!(disk = %disk.name, copy, %error, "no index view here");
                if whole == Some(false) {
                    self.unfit().insert((disk.id, copy));
                }
            }
        }
    }

    /// Whether what is on `disk` may be opened. What could not be used is discarded once the log can
    /// make it anew, and not before.
    fn is_fit(&self, disk: &DiskHandle, copy: usize, whole: Option<bool>) -> bool {
        let mut unfit = self.unfit();
        if !unfit.contains(&(disk.id, copy)) {
            return true;
        }
        if whole != Some(true) || self.copying.load(Ordering::Acquire) {
            return false;
        }
        let discarded = self.factories[copy].discard(disk).is_ok();
        discarded && unfit.remove(&(disk.id, copy))
    }

    /// Opens a view; one that does not open is discarded and begun anew, if the log can make it.
    fn open_one(
        &self,
        disk: &DiskHandle,
        copy: usize,
        is_whole: bool,
    ) -> Result<Arc<ViewSlot>, crate::ViewError> {
        let open = || {
            let view = self.factories[copy].open(disk)?;
            let mark = view.mark()?;
            Ok((view, mark))
        };
        let (view, mark) = match open() {
            Ok(opened) => opened,
            Err(error) => {
                let error: crate::ViewError = error;
                if !is_whole {
                    return Err(error);
                }
                tracing::warn!(disk = %disk.name, %error, "index view discarded");
                self.factories[copy].discard(disk)?;
                open()?
            }
        };
        Ok(Arc::new(ViewSlot {
            disk: disk.id,
            copy,
            name: match copy {
                0 => disk.name.clone(),
                _ => format!("{} (second)", disk.name),
            },
            view,
            applied: AtomicU64::new(mark.map_or(0, |mark| mark.number)),
            broken: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            lagging: AtomicBool::new(false),
            hold: AtomicU64::new(u64::MAX),
            resting: AtomicBool::new(false),
        }))
    }

    /// Whether the folder of a view on `disk` may be opened: nobody uses the one given up there.
    /// What is damaged is discarded, if the log can make it.
    fn is_free(&self, disk: &DiskHandle, copy: usize, whole: Option<bool>) -> bool {
        let mut followed = self.followed.lock().expect("no holder panics");
        let gone = |slot: &Arc<ViewSlot>| slot.key() == (disk.id, copy) && !slot.is_usable();
        // The list holds one; readers and the follower hold the others.
        if (followed.iter().filter(|slot| gone(slot))).any(|slot| Arc::strong_count(slot) > 1) {
            return false;
        }
        let damaged = |slot: &Arc<ViewSlot>| gone(slot) && slot.damaged.load(Ordering::Acquire);
        let discard = followed.iter().any(damaged);
        followed.retain(|slot| !gone(slot));
        drop(followed);
        if discard {
            self.unfit().insert((disk.id, copy));
        }
        self.is_fit(disk, copy, whole)
    }

    /// Keeps everybody else from opening and discarding views; `None` when somebody does for long.
    pub fn opening(&self) -> Option<MutexGuard<'_, ()>> {
        let mut waited = Duration::ZERO;
        loop {
            if let Ok(opening) = self.opening.try_lock() {
                return Some(opening);
            }
            // The other opens them too; a disk that hangs it must not hang this one.
            if waited >= OPENING_LIMIT {
                return None;
            }
            tasks::sleep_thread(OPENING_POLL);
            waited += OPENING_POLL;
        }
    }

    /// Opens a view again, from the disk and not from memory, after `close` gave up the
    /// one that is open.
    ///
    /// # Errors
    /// Why there is none: it is opened again as soon as it can be.
    pub fn reopen(
        &self,
        store: &Store,
        state: &Arc<State>,
        (disk, copy): ViewKey,
        close: impl FnOnce(),
    ) -> Result<Reopened, String> {
        let _opening = self.opening().ok_or("others are being opened")?;
        let disk = store.opened().disks.find(disk).ok_or("its disk is gone")?;
        close();
        let mut waited = Duration::ZERO;
        while !self.is_free(disk, copy, Some(false)) {
            if waited >= OPENING_LIMIT {
                return Err("it stays in use".into());
            }
            tasks::sleep_thread(OPENING_POLL);
            waited += OPENING_POLL;
        }
        let text = |error: crate::ViewError| error.to_string();
        self.factories[copy].forget_cached(disk).map_err(text)?;
        let slot = self.open_one(disk, copy, false).map_err(text)?;
        let mark = slot.view.mark().map_err(text)?;
        let snapshot = slot.view.snapshot();
        let mut opened = self.opened.lock().expect("no holder panics");
        opened.push(Arc::clone(&slot));
        drop(opened);
        self.follow(store, state);
        Ok((slot, snapshot, mark))
    }

    /// Copies a view to a disk that has none which can be used, in a thread of its own: one at a
    /// time.
    pub fn copy_missing(self: &Arc<Self>, store: &Store, state: &Arc<State>) {
        let Some(first) = store.reader().first() else {
            return;
        };
        let disks = &store.opened().disks;
        let used = self.all();
        let member = |id: DiskId| disks.find(id).map(|disk| disk.member);
        let unfit = self.unfit().clone();
        let found = |(id, copy): &ViewKey| Some((disks.find(*id)?, *copy));
        let wanted = unfit.iter().filter_map(found).find(|(disk, copy)| {
            let is_it =
                |slot: &Arc<ViewSlot>| slot.copy == *copy && member(slot.disk) == Some(disk.member);
            let has = used.iter().any(is_it);
            !has && disk.in_service().is_some() && disk.disk.is_some()
        });
        let wanted = wanted.map(|(disk, copy)| (Arc::clone(disk), copy));
        let reaches = |slot: &&Arc<ViewSlot>| slot.applied.load(Ordering::Acquire) + 1 >= first;
        // Rather not from the one that answers reads.
        let source = (used.iter().filter(reaches)).min_by_key(|slot| state.is_primary(slot));
        let (Some((disk, number)), Some(source)) = (wanted, source.cloned()) else {
            return;
        };
        drop(used);
        if self.copying.swap(true, Ordering::AcqRel) {
            return;
        }
        let (views, state) = (Arc::clone(self), Arc::clone(state));
        tasks::spawn_thread(&format!("copy view {}", disk.name), move || {
            let copy = || copy_view(&state, &*views.factories[number], &source, &disk);
            let copied = std::panic::catch_unwind(std::panic::AssertUnwindSafe(copy));
            drop(source);
            match copied {
                Ok(Ok(())) => drop(views.unfit().remove(&(disk.id, number))),
                Ok(Err(error)) => {
                    tracing::warn!(disk = %disk.name, %error, "an index view was not copied");
                    state.pause(COPY_RETRY);
                }
                Err(_) => state.pause(COPY_RETRY),
            }
            views.copying.store(false, Ordering::Release);
        });
    }

    /// Opens the views that are missing, discards those whose mark is not on the chain that ends at
    /// `tip`, and starts their followers; they answer reads when caught up.
    ///
    /// # Errors
    /// When there is no view at all.
    pub fn refresh(&self, store: &Store, state: &Arc<State>, tip: u64) -> Result<(), String> {
        let opening = self.opening();
        let mut waited = Duration::ZERO;
        while opening.is_some() {
            self.open_missing(store);
            self.check_opened(store, tip);
            self.follow(store, state);
            // Those given up a moment ago are free once their followers noticed.
            let in_use = !self.followed.lock().expect("no holder panics").is_empty();
            if !self.all().is_empty() || !in_use || waited >= OPENING_LIMIT {
                break;
            }
            tasks::sleep_thread(OPENING_POLL);
            waited += OPENING_POLL;
        }
        if !self.all().is_empty() {
            return Ok(());
        }
        if self.unfit().is_empty() {
            return Err("no disk in service can hold an index".into());
        }
        let first = store.reader().first().unwrap_or(0);
        Err(format!(
            "the log begins at batch {first} and every index present is damaged or ends before it: \
             bring back the zones that are missing"
        ))
    }

    /// Discards the views just opened whose mark is not on the chain that ends at `tip`.
    fn check_opened(&self, store: &Store, tip: u64) {
        let opened = std::mem::take(&mut *self.opened.lock().expect("no holder panics"));
        let mut kept = Vec::new();
        let first = store.reader().first().unwrap_or(1);
        for slot in opened {
            let is_on_chain = Self::is_on_chain(store, &slot, tip);
            let reaches = slot.applied.load(Ordering::Acquire) + 1 >= first;
            if is_on_chain && reaches {
                kept.push(slot);
                continue;
            }
            if is_on_chain {
                tracing::info!(view = %slot.name, first, "index view ends before the log begins");
            } else {
                // A view holds only what was acknowledged: that it left the chain is evidence of loss.
                tracing::error!(view = %slot.name, "index view is not on the log's chain: made anew");
            }
            let (id, copy) = slot.key();
            drop(slot);
            let Some(disk) = store.opened().disks.find(id) else {
                continue;
            };
            if Self::is_whole(store) != Some(true) {
                self.unfit().insert((id, copy));
                continue;
            }
            let anew = self.factories[copy].discard(disk);
            let anew = anew.and_then(|()| self.open_one(disk, copy, true));
            match anew {
                Ok(slot) => kept.push(slot),
                Err(error) => tracing::warn!(disk = %disk.name, %error, "no index view here"),
            }
        }
        *self.opened.lock().expect("no holder panics") = kept;
    }

    fn is_on_chain(store: &Store, slot: &ViewSlot, tip: u64) -> bool {
        let Ok(mark) = slot.view.mark() else {
            return false;
        };
        let Some(mark) = mark else { return true };
        // Where the log cannot tell any more, the view is what is left of the truth.
        let truth = store.reader().checksum(mark.number);
        mark.number <= tip && truth.is_none_or(|truth| truth == mark.checksum)
    }

    /// Starts followers for views that have none, and lets them answer reads when caught up.
    fn follow(&self, store: &Store, state: &Arc<State>) {
        let mut followed = self.followed.lock().expect("no holder panics");
        for slot in self.opened.lock().expect("no holder panics").drain(..) {
            // Until it has caught up the overlay does not wait for it.
            slot.lagging.store(true, Ordering::Release);
            state
                .visible
                .write()
                .expect("no holder panics")
                .views
                .push(Arc::clone(&slot));
            follower::start(Arc::clone(state), Arc::clone(&slot), store.reader());
            followed.push(slot);
        }
    }

    /// Waits until a view has everything up to `tip` and answers reads.
    pub fn wait_for_primary(&self, state: &Arc<State>, tip: u64) -> Result<(), String> {
        let (mut furthest, mut stood) = (0, Duration::ZERO);
        loop {
            state.choose_primary();
            if state
                .visible
                .read()
                .expect("no holder panics")
                .primary
                .is_some()
            {
                return Ok(());
            }
            if state.is_stopping() {
                return Err("stopping".into());
            }
            let mark = self.mark();
            stood = match mark > furthest {
                true => Duration::ZERO,
                false => stood + PRIMARY_POLL,
            };
            furthest = furthest.max(mark);
            if self.all().is_empty() || stood >= PRIMARY_LIMIT {
                return Err(format!(
                    "the index could not be rolled forward to batch {tip}"
                ));
            }
            tasks::sleep_thread(PRIMARY_POLL);
        }
    }
}

/// Starts the thread of every disk, and the one that brings members back.
pub fn start(
    store: &Store,
    state: &Arc<State>,
    views: &Arc<Views>,
    messages: Sender<Message>,
    interval: Duration,
    hook: AdmitHook,
) {
    let mut attendance = Attendance {
        hung: HungWatch::new(store.clone(), store.opened().options.hang_limit),
        attended: HashSet::new(),
        store: store.clone(),
        state: Arc::clone(state),
        interval,
        hook,
    };
    attendance.attend_new();
    tasks::spawn_thread("hung disks", move || {
        while !attendance.state.is_stopping() {
            attendance.hung.check(interval);
            attendance.attend_new();
            tasks::sleep_thread(interval);
        }
    });
    let (store, state, views) = (store.clone(), Arc::clone(state), Arc::clone(views));
    tasks::spawn_thread("rejoin", move || {
        while !state.is_stopping() {
            rejoin(&store, &state, &views, &messages);
            tasks::sleep_thread(interval);
        }
    });
}

/// Which disks have a health thread.
struct Attendance {
    hung: HungWatch,
    attended: HashSet<DiskId>,
    store: Store,
    state: Arc<State>,
    interval: Duration,
    hook: AdmitHook,
}

impl Attendance {
    /// Starts the thread of every disk that has none: at the start all, later those that came in.
    /// It ends when its disk is none of the store's any more.
    fn attend_new(&mut self) {
        let store = self.store.clone();
        for disk in store.opened().disks.all() {
            if disk.disk.is_none() || !self.attended.insert(disk.id) {
                continue;
            }
            let (state, hook) = (Arc::clone(&self.state), Arc::clone(&self.hook));
            let (pulse, interval, id) = (self.hung.attend(disk), self.interval, disk.id);
            let mut watch = Watch::new(store.clone(), Arc::clone(disk), Arc::clone(&state), pulse);
            let store = store.clone();
            tasks::spawn_thread(&format!("health {}", disk.name), move || {
                while !state.is_stopping() && store.opened().disks.find(id).is_some() {
                    watch.look(interval, &hook);
                    tasks::sleep_thread(interval);
                }
            });
        }
    }
}

/// Copies the log to members that can come back, and makes missing views.
fn rejoin(store: &Store, state: &Arc<State>, views: &Arc<Views>, messages: &Sender<Message>) {
    let status = store.reader().status();
    if status.stalled.is_none() {
        for member in store.returning() {
            // The status may be of before the first recovery: the next look has a newer one.
            let Some(name) = status.members.get(member).map(|m| m.name.clone()) else {
                continue;
            };
            // In a thread of its own: a copy may take long, or hang.
            let (store, messages) = (store.clone(), messages.clone());
            tasks::spawn_thread(&format!("copy {name}"), move || {
                match store.catch_up(member) {
                    Ok(prepared) => drop(messages.send(Message::Admit(prepared))),
                    Err(error) => tracing::warn!(%name, %error, "catching up failed"),
                }
            });
        }
    }
    let disks = &store.opened().disks;
    for slot in views.all() {
        if disks.find(slot.disk).is_none() {
            state.view_gone(&slot);
        }
    }
    state.leave_primary(|slot| {
        let disk = disks.find(slot.disk);
        disk.is_some_and(|disk| disk.in_service().is_some())
    });
    let (serving, acknowledged) = {
        let visible = state.visible.read().expect("no holder panics");
        (visible.refused.is_none(), visible.acknowledged)
    };
    // Before the first recovery is over nobody knows where the chain ends.
    if serving {
        let _ = views.refresh(store, state, acknowledged);
        views.copy_missing(store, state);
    }
}
