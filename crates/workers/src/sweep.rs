//! The sweeper: gives the space of deleted objects back, once they were held back for long enough.
//!
//! A delete answers when its commit is durable, and the bytes stay for a day: for readers that are in
//! the middle, and for people who deleted the wrong thing. When disks fill up the oldest go early. Once
//! a day all records are read, and what no record names goes too.
//!
//! Invariants
//! - What is left to do is in durable records only: a crash, a stop or an error repeats work.
//! - One page of graves at a time, and at most half of the time is spent, unless disks are nearly full.
//! - A grave that can not be ended keeps no other from its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use strongroom_base::{Clock, tasks};
use strongroom_objects::{Objects, SweepLimits};

/// Graves looked at between two rests: a commit, and a few requests to each disk for each.
pub const STEP_GRAVES_MAX: usize = 64;
/// How often the log says that disks are nearly full.
const PRESSED_SAID_EVERY: Duration = Duration::from_secs(600);
/// Of the smallest disk, this part is what is held back at most when nothing else is set.
const HOLD_BACK_PART: u64 = 10;

/// How full disks are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpaceNow {
    /// A disk in service is so full that nothing should be held back.
    pub pressed: bool,
    /// Size of the smallest disk in service; 0 when none is known.
    pub disk_bytes_min: u64,
}

/// Asked before each page of work. May block for a bounded time.
pub trait Space: Send + Sync + 'static {
    /// How full disks are now.
    fn look(&self) -> SpaceNow;
}

/// Times and bounds of the loop.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long deleted bytes are kept.
    pub hold_back: Duration,
    /// How many are kept at most; a tenth of the smallest disk when it is not said.
    pub hold_back_bytes_max: Option<u64>,
    /// How often an idle sweeper looks whether there is work: three records are read.
    pub poll_interval: Duration,
    /// Longest rest after a page; otherwise as long as the page took.
    pub rest_max: Duration,
    /// When the first search for bytes that no record names begins.
    pub mark_after: Duration,
    /// How long after the end of one the next begins.
    pub mark_interval: Duration,
    /// The same while disks are nearly full, after one that failed, and after one that left segments
    /// to the next.
    pub mark_interval_short: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hold_back: Duration::from_secs(24 * 3600),
            hold_back_bytes_max: None,
            poll_interval: Duration::from_secs(5),
            rest_max: Duration::from_secs(10),
            mark_after: Duration::from_secs(600),
            mark_interval: Duration::from_secs(24 * 3600),
            mark_interval_short: Duration::from_secs(3600),
        }
    }
}

/// What the sweeper did since the process started.
#[derive(Debug, Default)]
pub struct Figures {
    pub blobs_swept: AtomicU64,
    /// On disks, over all shards.
    pub bytes_swept: AtomicU64,
    pub kept: AtomicU64,
    pub marks_done: AtomicU64,
    pub marks_failed: AtomicU64,
    pub pressed: AtomicBool,
}

/// The worker.
pub struct Sweeper {
    objects: Objects,
    space: Arc<dyn Space>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    figures: Arc<Figures>,
    pressed_said: Option<Duration>,
}

impl Sweeper {
    /// A sweeper over `objects`.
    #[must_use]
    pub fn new(
        objects: Objects,
        space: Arc<dyn Space>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        Self {
            objects,
            space,
            clock,
            settings,
            figures: Arc::default(),
            pressed_said: None,
        }
    }

    /// What it did, for metrics.
    #[must_use]
    pub fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// Runs until dropped.
    pub async fn run(mut self) {
        let mut mark_at = self.clock.monotonic() + self.settings.mark_after;
        loop {
            let space = self.look().await;
            self.walk(space).await;
            let now = self.clock.monotonic();
            if now >= mark_at {
                let done = self.mark().await;
                let interval = match done {
                    true => self.settings.mark_interval,
                    false => self.settings.mark_interval_short,
                };
                mark_at = self.clock.monotonic() + interval;
            } else if space.pressed {
                mark_at = mark_at.min(now + self.settings.mark_interval_short);
            }
            let poll = self.settings.hold_back / 2;
            let poll = poll.clamp(POLL_MIN, self.settings.poll_interval.max(POLL_MIN));
            tasks::sleep(poll).await;
        }
    }

    async fn look(&mut self) -> SpaceNow {
        let space = Arc::clone(&self.space);
        let now = tasks::blocking(move || space.look()).await;
        self.figures.pressed.store(now.pressed, Ordering::Relaxed);
        let at = self.clock.monotonic();
        let said_lately = |said: Duration| at.saturating_sub(said) < PRESSED_SAID_EVERY;
        if now.pressed && !self.pressed_said.is_some_and(said_lately) {
            self.pressed_said = Some(at);
            tracing::warn!(
                "a disk is nearly full: what is deleted is not held back any more; delete objects, \
                 or give the disks more space"
            );
        }
        now
    }

    fn limits(&self, space: SpaceNow) -> SweepLimits {
        let bytes_max = match (self.settings.hold_back_bytes_max, space.disk_bytes_min) {
            (Some(bytes), _) => bytes,
            (None, 0) => u64::MAX,
            (None, smallest) => smallest / HOLD_BACK_PART,
        };
        SweepLimits {
            hold_back: self.settings.hold_back,
            bytes_max,
            pressed: space.pressed,
        }
    }

    /// Once over all graves that are released.
    async fn walk(&mut self, mut space: SpaceNow) {
        let mut after = None;
        let (mut blobs, mut bytes, mut kept) = (0, 0, 0);
        loop {
            let begun = self.clock.monotonic();
            let limits = self.limits(space);
            let page = self.objects.sweep_page(&limits, after, STEP_GRAVES_MAX);
            match page.await {
                Ok(page) => {
                    blobs += page.blobs;
                    bytes += page.freed.bytes;
                    kept += page.kept;
                    self.count(page.blobs, page.freed.bytes, page.kept);
                    after = page.last;
                }
                Err(error) => {
                    tracing::debug!(%error, "sweep: put off");
                    break;
                }
            }
            if after.is_none() {
                break;
            }
            let took = self.clock.monotonic().saturating_sub(begun);
            if !space.pressed {
                tasks::sleep(took.min(self.settings.rest_max)).await;
            }
            space = self.look().await;
        }
        if blobs > 0 || kept > 0 {
            tracing::info!(blobs, bytes, kept, "swept deleted blobs");
        }
    }

    fn count(&self, blobs: u64, bytes: u64, kept: u64) {
        let figures = &self.figures;
        figures.blobs_swept.fetch_add(blobs, Ordering::Relaxed);
        figures.bytes_swept.fetch_add(bytes, Ordering::Relaxed);
        figures.kept.fetch_add(kept, Ordering::Relaxed);
    }

    /// Whether everything that no record names was searched for.
    async fn mark(&self) -> bool {
        match self.objects.mark_scan().await {
            Ok(scan) => {
                let (skipped, has_more) = (scan.freed.skipped, scan.has_more);
                tracing::info!(skipped, has_more, "searched for bytes that no record names");
                self.figures.marks_done.fetch_add(1, Ordering::Relaxed);
                !scan.has_more
            }
            Err(error) => {
                tracing::warn!(%error, "bytes that no record names were not searched for");
                self.figures.marks_failed.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }
}

/// Shortest rest of an idle sweeper, for hold-backs of a second.
const POLL_MIN: Duration = Duration::from_millis(100);
