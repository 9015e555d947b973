//! What scrub and repair share: their state as others see it, and their pace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use strongroom_base::{Clock, Timestamp, tasks};
use strongroom_objects::records::{BlobId, JobRecord};
use strongroom_objects::{BlobsPage, Level, LostObject, Objects, Redundancy, StoredBlob};
use tokio::sync::watch;

/// Content of one batch. Enough that disks read in long pieces; little enough that a stop, a new rate
/// or a disk that goes out is heeded within seconds.
pub const BATCH_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Most blobs that failed which the state names.
pub const FAILED_MAX: usize = 100;

/// Whether clients are served now.
pub trait Clients: Send + Sync + 'static {
    /// A number that grows with each request that is answered or begun.
    fn requests(&self) -> u64;
}

/// Blobs and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Count {
    pub blobs: u64,
    pub bytes: u64,
}

impl Count {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes += bytes;
    }
}

/// How all blobs stand, by one walk over them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// When the walk ended.
    pub walked: Timestamp,
    /// By level, best first; those of no blob as well.
    pub levels: BTreeMap<Level, Count>,
    /// Blobs with shards missing in a zone, by its name.
    pub zones: BTreeMap<String, Count>,
    /// How those blobs stand.
    pub zone_levels: BTreeMap<String, BTreeMap<Level, Count>>,
    /// Contents in the commit log or in packs.
    pub elsewhere: Count,
    /// What repair can mend, by how many losses it survives.
    pub mendable: BTreeMap<u32, Count>,
    /// Whether segments are being refilled.
    pub filling: bool,
    /// Of the objects that are not full, the one written first: when, and its blob.
    pub oldest: Option<(Timestamp, BlobId)>,
    /// The same by name, when it is still there.
    pub oldest_object: Option<LostObject>,
}

impl Standing {
    pub(crate) fn new() -> Self {
        let levels = Level::ALL.map(|level| (level, Count::default()));
        Self {
            levels: levels.into(),
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, page: &BlobsPage, found: &[Redundancy]) {
        self.elsewhere.blobs += page.elsewhere.0;
        self.elsewhere.bytes += page.elsewhere.1;
        for (blob, one) in page.blobs.iter().zip(found) {
            self.levels.entry(one.level).or_default().add(blob.size);
            for zone in &one.zones {
                self.zones
                    .entry(zone.to_string())
                    .or_default()
                    .add(blob.size);
                let levels = self.zone_levels.entry(zone.to_string()).or_default();
                levels.entry(one.level).or_default().add(blob.size);
            }
            if is_mendable(one) {
                self.mendable.entry(one.margin).or_default().add(blob.size);
            }
            self.filling |= !one.filling.is_empty();
            if let (Some(written), true) = (blob.written, one.level > Level::Full) {
                let this = (written, blob.blob);
                self.oldest = Some(self.oldest.map_or(this, |oldest| oldest.min(this)));
            }
        }
    }

    /// Blobs and bytes in the blob store.
    #[must_use]
    pub fn total(&self) -> Count {
        sum(self.levels.values())
    }

    /// Whether every blob is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let mut levels = self.levels.iter();
        levels.all(|(level, count)| *level == Level::Full || count.blobs == 0)
    }
}

pub(crate) fn sum<'a>(counts: impl Iterator<Item = &'a Count>) -> Count {
    counts.fold(Count::default(), |sum, count| Count {
        blobs: sum.blobs + count.blobs,
        bytes: sum.bytes + count.bytes,
    })
}

/// Whether repair can bring shards of it back and the blob be read.
pub(crate) fn is_mendable(one: &Redundancy) -> bool {
    one.mendable && one.level < Level::Unreachable
}

/// What repair is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phase {
    /// Nothing to do, or nothing that can be done now.
    #[default]
    Idle,
    /// Missing shards are made.
    Repairing,
    /// What was made is read back.
    Verifying,
}

/// How far repair is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RepairState {
    pub phase: Phase,
    /// Of this round: repaired and verified, and in all.
    pub done: Count,
    pub total: Count,
    /// Bytes of content in a second, of the last minute or so; of the last round when none is under
    /// way.
    pub rate: u64,
    /// Bound on that; 0 for none.
    pub rate_max: u64,
    /// Since when there are blobs that are not full; 0 when there are none.
    pub since: Timestamp,
    /// Blobs that could not be mended in the last round; the first of them.
    pub failed: BTreeSet<BlobId>,
}

impl RepairState {
    /// Seconds until the round ends, by the rate so far.
    #[must_use]
    pub fn seconds_left(&self) -> Option<u64> {
        let left = self.total.bytes.saturating_sub(self.done.bytes);
        (self.phase != Phase::Idle && self.rate > 0).then(|| left.div_ceil(self.rate))
    }
}

/// How far scrub is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScrubState {
    pub job: JobRecord,
    /// Time in which all is to be read once.
    pub period: Duration,
    /// Bytes of content in a second, of the last batches.
    pub rate: u64,
    /// Shards found bad and written anew since the process started.
    pub bad: u64,
    pub repaired: u64,
    /// How many passes had been asked for when the one under way began: it answers them.
    pub(crate) answers: u64,
}

/// What the workers tell others, and what others tell them.
pub struct Upkeep {
    state: Mutex<State>,
    disks: Box<dyn Fn() -> u64 + Send + Sync>,
    /// How many passes were asked for.
    scrub_asked: watch::Sender<u64>,
    /// How many of them were answered.
    scrub_answered: AtomicU64,
    rate_max: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    standing: Option<Standing>,
    repair: RepairState,
    scrub: ScrubState,
    /// The disks that `standing` is true of.
    disks: Option<u64>,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self::new(|| 0)
    }
}

impl Upkeep {
    /// Of a store whose `disks` give another number when one comes, goes, or is to hold something
    /// else. It is asked often and must not wait.
    #[must_use]
    pub fn new(disks: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            state: Mutex::default(),
            disks: Box::new(disks),
            scrub_asked: watch::Sender::default(),
            scrub_answered: AtomicU64::new(0),
            rate_max: watch::Sender::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// How blobs stand; none before the first walk.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        self.lock().standing.clone()
    }

    /// Whether the disks are as they were when the last walk began, so that what it found holds.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let now = self.disks();
        self.lock().disks == Some(now)
    }

    pub(crate) fn disks(&self) -> u64 {
        (self.disks)()
    }

    /// Notes that what the last walk found is true of the disks when they gave `disks`.
    pub(crate) fn walked(&self, disks: u64) {
        self.lock().disks = Some(disks);
    }

    pub(crate) fn set_standing(&self, standing: Standing) {
        self.lock().standing = Some(standing);
    }

    /// How far repair is.
    #[must_use]
    pub fn repair(&self) -> RepairState {
        let mut repair = self.lock().repair.clone();
        repair.rate_max = self.rate_max();
        repair
    }

    pub(crate) fn change_repair(&self, change: impl FnOnce(&mut RepairState)) {
        change(&mut self.lock().repair);
    }

    /// How far scrub is.
    #[must_use]
    pub fn scrub(&self) -> ScrubState {
        self.lock().scrub.clone()
    }

    pub(crate) fn change_scrub(&self, change: impl FnOnce(&mut ScrubState)) {
        change(&mut self.lock().scrub);
    }

    /// Has everything stored now read without pacing. A pass that nobody asked for begins anew; one that
    /// was asked for before is followed by another.
    pub fn start_scrub(&self) {
        self.scrub_asked.send_modify(|asked| *asked += 1);
    }

    /// Whether a pass was asked for and has not ended.
    #[must_use]
    pub fn is_scrub_asked(&self) -> bool {
        self.scrub_asks() > self.scrub_answers()
    }

    /// How many passes were asked for.
    pub(crate) fn scrub_asks(&self) -> u64 {
        *self.scrub_asked.borrow()
    }

    /// How many of them were answered.
    pub(crate) fn scrub_answers(&self) -> u64 {
        self.scrub_answered.load(Ordering::SeqCst)
    }

    /// The first so many asks are answered.
    pub(crate) fn scrub_done(&self, asks: u64) {
        self.scrub_answered.fetch_max(asks, Ordering::SeqCst);
    }

    /// Whether a pass is asked for now, and what ends when that changes from no to yes.
    pub(crate) fn scrub_wanted(&self) -> (bool, impl Future<Output = ()> + use<>) {
        let mut asks = self.scrub_asked.subscribe();
        let (known, answered) = (*asks.borrow_and_update(), self.scrub_answers());
        let is_asked = known > answered;
        let cut = async move {
            if is_asked || asks.wait_for(|asks| *asks > known).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        (is_asked, cut)
    }

    /// Bounds the bytes of content that repair reads in a second; 0 for no bound. Ends a rest for the
    /// bound before.
    pub fn set_rate_max(&self, rate: u64) {
        self.rate_max
            .send_if_modified(|known| std::mem::replace(known, rate) != rate);
    }

    pub(crate) fn rate_max(&self) -> u64 {
        *self.rate_max.borrow()
    }

    /// The bound now, and what ends when it changes.
    pub(crate) fn rates(&self) -> (u64, impl Future<Output = ()> + use<>) {
        let mut rates = self.rate_max.subscribe();
        let rate = *rates.borrow_and_update();
        let cut = async move {
            if rates.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        (rate, cut)
    }
}

/// How work yields.
pub(crate) struct Pace {
    pub clock: Arc<dyn Clock>,
    pub clients: Arc<dyn Clients>,
}

/// No rate to keep, and nothing that ends a rest.
pub(crate) fn no_rate() -> (u64, impl Future<Output = ()>) {
    (0, std::future::pending())
}

/// A batch under way.
pub(crate) struct Begun {
    at: Duration,
    requests: u64,
}

impl Pace {
    pub fn begin(&self) -> Begun {
        Begun {
            at: self.clock.monotonic(),
            requests: self.clients.requests(),
        }
    }

    /// Rests after a batch of `bytes`: `share` times as long as it took when clients were served
    /// meanwhile, and as long as `rate` (0 for none) asks for, but not beyond the end of `cut`. Gives the
    /// bytes in a second.
    pub async fn rest(
        &self,
        begun: &Begun,
        bytes: u64,
        share: f64,
        (rate, cut): (u64, impl Future<Output = ()>),
    ) -> u64 {
        let took = self.clock.monotonic().saturating_sub(begun.at);
        let mut rest = Duration::ZERO;
        if self.clients.requests() != begun.requests {
            rest = took.mul_f64(share).min(REST_MAX);
        }
        if rate > 0 {
            #[allow(clippy::cast_precision_loss)]
            let due = Duration::from_secs_f64(bytes as f64 / rate as f64);
            rest = rest.max(due.saturating_sub(took)).min(RATE_REST_MAX);
        }
        if !rest.is_zero() {
            tokio::select! {
                () = tasks::sleep(rest) => {}
                () = cut => {}
            }
        }
        let took = self.clock.monotonic().saturating_sub(begun.at);
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        bytes.saturating_mul(1000) / millis
    }
}

/// Longest rest for clients: a disk that hung for a minute must not stop the work for another.
const REST_MAX: Duration = Duration::from_secs(10);
/// Longest rest for a rate, so that a bound that is lifted is heeded. A batch at 64 KiB a second.
const RATE_REST_MAX: Duration = Duration::from_secs(1024);

/// A rate over time: new figures count a quarter.
pub(crate) const fn smoothed(before: u64, now: u64) -> u64 {
    if before == 0 {
        now
    } else {
        before - before / 4 + now / 4
    }
}

/// Cuts blobs into batches, in order.
pub(crate) fn batches(blobs: Vec<StoredBlob>) -> Vec<Vec<StoredBlob>> {
    let mut batches: Vec<Vec<StoredBlob>> = Vec::new();
    let mut size = 0;
    for blob in blobs {
        size += blob.size;
        match batches.last_mut() {
            Some(batch) if size <= BATCH_BYTES_MAX => batch.push(blob),
            _ => {
                size = blob.size;
                batches.push(vec![blob]);
            }
        }
    }
    batches
}

/// What became of a batch.
#[derive(Default)]
pub(crate) struct Inspected {
    pub count: Count,
    /// Shards found missing or damaged.
    pub bad: u64,
    /// Of them, those written anew.
    pub repaired: u64,
    pub lost: u64,
    /// Blobs that are not wholly good now.
    pub failed: Vec<BlobId>,
}

/// Reads every shard of the blobs, repairs what is bad, and records what is lost.
pub(crate) async fn inspect(objects: &Objects, blobs: &[StoredBlob]) -> Inspected {
    let mut done = Inspected::default();
    for (blob, health) in blobs.iter().zip(objects.inspect(blobs, true).await) {
        done.count.add(blob.size);
        match health {
            Ok(health) => {
                done.bad += health.shards_bad + health.shards_repaired;
                done.repaired += health.shards_repaired;
                if health.shards_bad == 0 && health.stripes_lost == 0 {
                    continue;
                }
                done.failed.push(blob.blob);
                if health.stripes_lost > 0 && record_lost(objects, blob).await {
                    done.lost += 1;
                }
            }
            Err(error) => {
                tracing::warn!(blob = %blob.blob, %error, "a blob can not be looked at");
                done.failed.push(blob.blob);
            }
        }
    }
    done
}

/// Whether no disk that is out can help, so that the blob is lost.
async fn record_lost(objects: &Objects, blob: &StoredBlob) -> bool {
    let known = objects.redundancy(std::slice::from_ref(blob)).await;
    if known.iter().any(|known| known.away) {
        return false;
    }
    tracing::error!(blob = %blob.blob, bytes = blob.size, "a blob is lost: see `strongroom repair lost`");
    if let Err(error) = objects.set_lost(blob, true).await {
        tracing::warn!(blob = %blob.blob, %error, "a lost blob is not recorded");
    }
    true
}
