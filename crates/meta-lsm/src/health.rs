//! Watching disks, bringing zones back, keeping a view per member.
//!
//! One thread per disk looks whether it is still the disk it was, and probes it while it is out: a
//! disk that hangs holds up only its own thread. One more thread copies the log to members whose
//! disk is back, and makes views for members that have none.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use strongroom_base::{CreateOptions, Disk, tasks};
use strongroom_zones::{DiskHandle, OutReason, Store, Superblock};

use crate::committer::Message;
use crate::follower;
use crate::state::{State, ViewSlot};
use crate::view::ViewFactory;

/// A disk that failed is probed again after this long, twice as long each time it fails again.
const PROBE_AFTER: Duration = Duration::from_secs(1);
/// Longest time between two probes.
const PROBE_AFTER_MAX: Duration = Duration::from_secs(60);
/// File a probe writes, syncs and removes.
const PROBE_FILE: &str = "probe";

/// Called with a disk that came back into service.
pub type AdmitHook = Arc<dyn Fn(&DiskHandle) + Send + Sync>;

/// The views of the members.
pub struct Views {
    factory: Arc<dyn ViewFactory>,
    /// Opened and not yet followed.
    opened: Mutex<Vec<Arc<ViewSlot>>>,
    /// Followed.
    followed: Mutex<Vec<Arc<ViewSlot>>>,
}

impl Views {
    pub fn new(factory: Arc<dyn ViewFactory>) -> Arc<Self> {
        Arc::new(Self {
            factory,
            opened: Mutex::default(),
            followed: Mutex::default(),
        })
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

    fn all(&self) -> Vec<Arc<ViewSlot>> {
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

    /// Opens the view of every member that has a disk in service and no view yet.
    pub fn open_missing(&self, store: &Store) {
        let disks = store.opened().disks.all();
        let members = disks
            .iter()
            .map(|disk| disk.member.0)
            .max()
            .map_or(0, |last| last + 1);
        for member in 0..members {
            let mut own = disks.iter().filter(|disk| disk.member.0 == member);
            let has = |disk: &Arc<DiskHandle>| self.all().iter().any(|slot| slot.disk == disk.id);
            if own.clone().any(has) {
                continue;
            }
            let usable =
                |disk: &&Arc<DiskHandle>| disk.disk.is_some() && disk.in_service().is_some();
            let Some(disk) = own.find(usable) else {
                continue;
            };
            match self.open_one(disk) {
                Ok(slot) => self.opened.lock().expect("no holder panics").push(slot),
                Err(error) => tracing::warn!(disk = %disk.name, %error, "no index view here"),
            }
        }
    }

    /// Opens a view; one that does not open is discarded and begun anew.
    fn open_one(&self, disk: &DiskHandle) -> Result<Arc<ViewSlot>, crate::ViewError> {
        let open = || {
            let view = self.factory.open(disk)?;
            let mark = view.mark()?;
            Ok((view, mark))
        };
        let (view, mark) = match open() {
            Ok(opened) => opened,
            Err(error) => {
                let error: crate::ViewError = error;
                tracing::warn!(disk = %disk.name, %error, "index view discarded");
                self.factory.discard(disk)?;
                open()?
            }
        };
        Ok(Arc::new(ViewSlot {
            disk: disk.id,
            name: disk.name.clone(),
            view,
            applied: AtomicU64::new(mark.map_or(0, |mark| mark.number)),
            broken: AtomicBool::new(false),
            lagging: AtomicBool::new(false),
        }))
    }

    /// Opens views and discards those whose mark is not on the chain that ends at `tip`.
    pub fn open_all(&self, store: &Store, tip: u64) -> Result<(), String> {
        self.open_missing(store);
        let opened = std::mem::take(&mut *self.opened.lock().expect("no holder panics"));
        let mut kept = Vec::new();
        for slot in opened {
            if Self::is_on_chain(store, &slot, tip) {
                kept.push(slot);
                continue;
            }
            // A view holds only what was acknowledged: that it left the chain is evidence of loss.
            tracing::error!(view = %slot.name, "index view is not on the log's chain: made anew");
            let id = slot.disk;
            drop(slot);
            let Some(disk) = store.opened().disks.find(id) else {
                continue;
            };
            let anew = self
                .factory
                .discard(disk)
                .and_then(|()| self.open_one(disk));
            match anew {
                Ok(slot) => kept.push(slot),
                Err(error) => tracing::warn!(disk = %disk.name, %error, "no index view here"),
            }
        }
        *self.opened.lock().expect("no holder panics") = kept;
        if self.all().is_empty() {
            return Err("no disk in service can hold an index".into());
        }
        Ok(())
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
    pub fn follow(&self, store: &Store, state: &Arc<State>) {
        let mut followed = self.followed.lock().expect("no holder panics");
        followed.retain(|slot| slot.is_usable());
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
            if self.all().is_empty() {
                return Err(format!(
                    "the index could not be rolled forward to batch {tip}"
                ));
            }
            tasks::sleep_thread(Duration::from_millis(5));
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
    for disk in store.opened().disks.all() {
        if disk.disk.is_none() {
            continue;
        }
        let (store, state, disk) = (store.clone(), Arc::clone(state), Arc::clone(disk));
        let hook = Arc::clone(&hook);
        tasks::spawn_thread(&format!("health {}", disk.name), move || {
            let mut watch = Watch {
                store,
                disk,
                probe_in: Duration::ZERO,
                backoff: PROBE_AFTER,
            };
            while !state.is_stopping() {
                watch.look(interval, &hook);
                tasks::sleep_thread(interval);
            }
        });
    }
    let (store, state, views) = (store.clone(), Arc::clone(state), Arc::clone(views));
    tasks::spawn_thread("rejoin", move || {
        while !state.is_stopping() {
            rejoin(&store, &state, &views, &messages);
            tasks::sleep_thread(interval);
        }
    });
}

/// The look at one disk.
struct Watch {
    store: Store,
    disk: Arc<DiskHandle>,
    probe_in: Duration,
    backoff: Duration,
}

impl Watch {
    fn look(&mut self, interval: Duration, hook: &AdmitHook) {
        let disks = &self.store.opened().disks;
        let id = self.disk.id;
        match self.disk.out_reason() {
            None => {
                let identified = self.identify();
                if let Err(why) = identified {
                    disks.take_out(id, OutReason::Absent(why));
                } else if let Err(error) = self.store.renew_promise(&self.disk) {
                    disks.take_out(id, OutReason::Failed(error.to_string()));
                }
            }
            Some(reason) => {
                let absent = matches!(reason, OutReason::Absent(_));
                if !absent && self.probe_in > Duration::ZERO {
                    self.probe_in = self.probe_in.saturating_sub(interval);
                    return;
                }
                if self.disk.is_settled() && self.identify().is_ok() && self.probe().is_ok() {
                    hook(&self.disk);
                    disks.admit(id);
                    self.probe_in = self.backoff;
                } else {
                    self.probe_in = self.backoff;
                    self.backoff = (self.backoff * 2).min(PROBE_AFTER_MAX);
                }
            }
        }
    }

    /// Whether the folder still holds this disk.
    fn identify(&self) -> Result<(), String> {
        let disk = self.disk.disk.as_ref().ok_or("no folder is configured")?;
        let block = Superblock::read(&**disk).map_err(|error| error.to_string())?;
        if block.disk != self.disk.id || block.store != self.store.opened().store {
            return Err("another disk is in its folder".into());
        }
        Ok(())
    }

    /// Whether it can be written.
    fn probe(&self) -> std::io::Result<()> {
        let disk = self.disk.disk.as_ref().expect("it was identified");
        probe(&**disk)
    }
}

fn probe(disk: &dyn Disk) -> std::io::Result<()> {
    let _ = disk.remove(PROBE_FILE);
    let file = disk.create(PROBE_FILE, CreateOptions::default())?;
    file.write_at(0, &[7; 512])?;
    file.sync()?;
    disk.remove(PROBE_FILE)
}

/// Copies the log to members that can come back, and makes missing views.
fn rejoin(store: &Store, state: &Arc<State>, views: &Arc<Views>, messages: &Sender<Message>) {
    let status = store.reader().status();
    if status.stalled.is_some() || status.members.is_empty() {
        return;
    }
    for member in store.returning() {
        match store.catch_up(member) {
            Ok(prepared) => {
                let _ = messages.send(Message::Admit(prepared));
            }
            Err(error) => {
                let name = &status.members[member].name;
                tracing::warn!(%name, %error, "catching up failed");
            }
        }
    }
    if state
        .visible
        .read()
        .expect("no holder panics")
        .primary
        .is_some()
    {
        let acknowledged = state.visible.read().expect("no holder panics").acknowledged;
        if views.open_all(store, acknowledged).is_ok() {
            views.follow(store, state);
        }
    }
}
