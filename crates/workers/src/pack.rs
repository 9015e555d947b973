//! The packer: keeps the commit log below a size, whatever is written.
//!
//! Small objects live in the log until they are packed; the log can go only below the oldest that
//! is left. When it has grown past a size, the packer moves what is inline into packs, in a round
//! over all of it, and asks for the log below to be given back. Between rounds it writes packs anew
//! that are mostly dead (RFC 0008).
//!
//! Invariants
//! - What is left to do is in durable records only: a crash, a stop or an error repeats work and
//!   never skips it.
//! - Rounds are paid for: the next begins only when the log has grown by half of the size since
//!   the last one ended, and by twice as much after each that could give nothing back.
//! - Clients come first while there is room: at most half of the time is spent packing, until the
//!   log is twice as large as it should be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strongroom_base::{Clock, tasks};
use strongroom_objects::{Compaction, Objects, PackLimits, Packing, Result};

/// Sizes and times of the loop.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Size of the log that starts a round.
    pub log_size_bytes: u64,
    /// How large packs and commits are.
    pub limits: PackLimits,
    /// How often an idle worker looks at the size of the log.
    pub poll_interval: Duration,
    /// How often it looks for packs that are mostly dead: a step reads the counters of a thousand.
    pub compact_interval: Duration,
    /// Longest rest after a step; otherwise as long as the step took.
    pub rest_max: Duration,
    /// First wait after a round that failed; doubles up to `retry_after_max`.
    pub retry_after: Duration,
    /// Longest such wait.
    pub retry_after_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            log_size_bytes: LOG_SIZE_BYTES_DEFAULT,
            limits: PackLimits::default(),
            poll_interval: Duration::from_secs(1),
            compact_interval: Duration::from_secs(10),
            rest_max: Duration::from_secs(1),
            retry_after: Duration::from_secs(2),
            retry_after_max: Duration::from_secs(300),
        }
    }
}

/// Four log files: a start reads no more, and a round, which reads the whole index, is worth it.
pub const LOG_SIZE_BYTES_DEFAULT: u64 = 256 * 1024 * 1024;
/// Least log size that may be set: a round below it costs more than it gives back.
pub const LOG_SIZE_BYTES_MIN: u64 = 1024 * 1024;

/// What the packer did since the process started.
#[derive(Default)]
pub struct PackerCounters {
    contents: AtomicU64,
    bytes: AtomicU64,
    packs: AtomicU64,
    unreadable: AtomicU64,
    rounds_failed: AtomicU64,
    trims: AtomicU64,
    trims_refused: AtomicU64,
    trimmed_bytes: AtomicU64,
}

/// A counter: name, help, value.
pub type PackerSample = (&'static str, &'static str, u64);

impl PackerCounters {
    /// Every counter.
    #[must_use]
    pub fn samples(&self) -> [PackerSample; 8] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            (
                "strongroom_packed_contents_total",
                "Contents of small objects moved into packs.",
                read(&self.contents),
            ),
            (
                "strongroom_packed_bytes_total",
                "Bytes of contents moved into packs.",
                read(&self.bytes),
            ),
            (
                "strongroom_packs_written_total",
                "Packs written.",
                read(&self.packs),
            ),
            (
                "strongroom_pack_contents_unreadable_total",
                "Contents met in the log of which no good copy is left; they keep the log.",
                read(&self.unreadable),
            ),
            (
                "strongroom_pack_rounds_failed_total",
                "Rounds of packing that an error ended.",
                read(&self.rounds_failed),
            ),
            (
                "strongroom_log_trims_total",
                "Times log was given back.",
                read(&self.trims),
            ),
            (
                "strongroom_log_trims_refused_total",
                "Times log could not be given back yet.",
                read(&self.trims_refused),
            ),
            (
                "strongroom_log_trimmed_bytes_total",
                "Bytes of log given back, of one member.",
                read(&self.trimmed_bytes),
            ),
        ]
    }

    fn count(&self, packing: &strongroom_objects::PackTally) {
        self.contents.fetch_add(packing.contents, Ordering::Relaxed);
        self.bytes.fetch_add(packing.bytes, Ordering::Relaxed);
        self.packs.fetch_add(packing.packs, Ordering::Relaxed);
        self.unreadable
            .fetch_add(packing.unreadable, Ordering::Relaxed);
    }
}

/// The worker.
pub struct Packer {
    objects: Objects,
    clock: Arc<dyn Clock>,
    settings: Settings,
    counters: Arc<PackerCounters>,
}

impl Packer {
    /// A worker over `objects`.
    #[must_use]
    pub fn new(objects: Objects, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        Self {
            objects,
            clock,
            settings,
            counters: Arc::default(),
        }
    }

    /// What it does, counted.
    #[must_use]
    pub fn counters(&self) -> Arc<PackerCounters> {
        Arc::clone(&self.counters)
    }

    /// Runs until dropped.
    pub async fn run(self) {
        let settings = self.settings;
        let mut retry_after = settings.retry_after;
        let mut pace = Pace::new(settings.log_size_bytes);
        let mut compaction = Compaction::default();
        let mut compacted_at = self.clock.monotonic();
        loop {
            match self.turn(&mut pace).await {
                Ok(()) => retry_after = settings.retry_after,
                Err(error) => {
                    self.counters.rounds_failed.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "packing stopped, and will be tried again");
                    tasks::sleep(retry_after).await;
                    retry_after = (retry_after * 2).min(settings.retry_after_max);
                    continue;
                }
            }
            let now = self.clock.monotonic();
            if now.saturating_sub(compacted_at) >= settings.compact_interval {
                compacted_at = now;
                self.compact(&mut compaction).await;
            }
            tasks::sleep(settings.poll_interval).await;
        }
    }

    /// A round, if the log is large enough for one.
    async fn turn(&self, pace: &mut Pace) -> Result<()> {
        let extent = match self.objects.log_extent().await {
            Ok(extent) => extent,
            Err(error) => {
                // The store is starting, or away: no round has begun that could fail.
                tracing::debug!(%error, "the size of the log is not known");
                return Ok(());
            }
        };
        if !pace.is_due(extent.bytes) || extent.newest < extent.first {
            return Ok(());
        }
        let mut packing = Packing::new(extent.newest, self.settings.limits);
        let packed = self.pack(&mut packing, extent.bytes).await;
        self.counters.count(&packing.tally);
        packed?;
        let freed = self.trim(&packing, extent.first).await;
        pace.ended(self.objects.log_extent().await?.bytes, freed);
        Ok(())
    }

    async fn pack(&self, packing: &mut Packing, log_bytes: u64) -> Result<()> {
        let hurry = log_bytes >= self.settings.log_size_bytes.saturating_mul(2);
        loop {
            let begun = self.clock.monotonic();
            if !self.objects.pack_step(packing).await? {
                return Ok(());
            }
            if !hurry {
                let took = self.clock.monotonic().saturating_sub(begun);
                tasks::sleep(took.min(self.settings.rest_max)).await;
            }
        }
    }

    /// Asks for the log below what was packed. A refusal is no error: something was written or
    /// buried while the round walked, or a member is away; the next round meets it.
    async fn trim(&self, packing: &Packing, first: u64) -> bool {
        let (through, tally) = (packing.trimmable(), &packing.tally);
        if through < first {
            return false;
        }
        match self.objects.trim_log(through).await {
            Ok(trimmed) => {
                self.counters.trims.fetch_add(1, Ordering::Relaxed);
                self.counters
                    .trimmed_bytes
                    .fetch_add(trimmed.bytes, Ordering::Relaxed);
                tracing::info!(
                    contents = tally.contents,
                    bytes = tally.bytes,
                    packs = tally.packs,
                    log_first = trimmed.first,
                    log_bytes_freed = trimmed.bytes,
                    "small objects packed and log given back"
                );
                trimmed.bytes > 0
            }
            Err(error) => {
                self.counters.trims_refused.fetch_add(1, Ordering::Relaxed);
                tracing::info!(
                    contents = tally.contents,
                    bytes = tally.bytes,
                    %error,
                    "small objects packed; the log is kept for now"
                );
                false
            }
        }
    }

    /// One step of the walk over all packs.
    async fn compact(&self, compaction: &mut Compaction) {
        compaction.tally = strongroom_objects::PackTally::default();
        let step = self
            .objects
            .compact_step(compaction, &self.settings.limits)
            .await;
        self.counters.count(&compaction.tally);
        match step {
            Ok(_) if compaction.tally.contents > 0 => tracing::info!(
                contents = compaction.tally.contents,
                bytes = compaction.tally.bytes,
                "mostly dead packs written anew"
            ),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "compaction of packs stopped"),
        }
    }
}

/// When the next round is due.
struct Pace {
    size: u64,
    /// How much the log grows between two rounds.
    growth: u64,
    next: u64,
}

impl Pace {
    const fn new(size: u64) -> Self {
        Self {
            size,
            growth: size / 2,
            next: size,
        }
    }

    fn is_due(&mut self, log_bytes: u64) -> bool {
        // What was given back by others counts as well.
        let grown = log_bytes.saturating_add(self.growth);
        self.next = self.next.min(grown).max(self.size);
        log_bytes >= self.next
    }

    /// A round ended and left so much log.
    fn ended(&mut self, log_bytes: u64, freed: bool) {
        self.growth = match freed {
            true => self.size / 2,
            false => self.growth.saturating_mul(2),
        };
        self.next = log_bytes.saturating_add(self.growth).max(self.size);
    }
}
