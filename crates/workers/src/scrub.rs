//! Scrub: read every byte of every blob within a period, and repair what is bad.
//!
//! Disks lose sectors silently, and a shard nobody reads stays lost until a second fault makes the stripe
//! undecodable. The scrubber walks over all blobs, reads each shard and has what is bad written anew.
//!
//! Invariants
//! - A pass visits every blob whose record was there for the whole pass. Newer ones may wait: ids begin
//!   with the time at which an upload began, and its record may come to lie behind the cursor.
//! - So only a pass that began after it was asked for answers an ask.
//! - The cursor is durable after each batch: a crash repeats a batch, never skips one. So it is in the
//!   commit log, which comes after the blobs.
//! - A pass that was begun is finished, over restarts; its end is what the age is counted from.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use strongroom_base::{Clock, Timestamp, tasks};
use strongroom_objects::records::{BlobId, JobRecord};
use strongroom_objects::{BLOBS_PAGE_MAX, Job, Objects, Result, StoredBlob};

use crate::upkeep::{Clients, Pace, ScrubState, Upkeep, batches, inspect, smoothed};

/// How long scrub rests, by how long it worked, while clients are served.
const REST_SHARE: f64 = 3.0;
/// Part of the period in which a pass is to end, in tenths: a busy week must not make it late.
const PERIOD_TENTHS: u64 = 7;
/// Slowest pace in bytes per second: a store that grew since it was measured is not late either.
const RATE_MIN: u64 = 1024 * 1024;

/// What a look at the commit log and the superblocks found: copies, of batches and of superblocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogChecked {
    pub bad: u64,
    /// Of them, those written anew.
    pub repaired: u64,
    /// Batches without any good copy.
    pub lost: u64,
}

/// The commit log and the superblocks, as scrub sees them. Calls may wait for disks.
pub trait LogCheck: Send + Sync + 'static {
    /// The batches that are kept.
    fn kept(&self) -> Range<u64>;
    /// Reads these batches of each member, and mends them.
    fn check(&self, batches: Range<u64>) -> LogChecked;
    /// Reads the superblocks, and mends them.
    fn check_superblocks(&self) -> LogChecked;
}

/// Batches of the log read between two rests: at 4 KiB each, a second on a slow disk.
const LOG_BATCHES_MAX: u64 = 1000;

/// Times of the loop.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Time in which everything is to be read once.
    pub period: Duration,
    /// How often an idle worker looks whether a pass is due or asked for.
    pub poll_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(14 * 24 * 60 * 60),
            poll_interval: Duration::from_secs(1),
        }
    }
}

/// The worker.
pub struct Scrubber {
    objects: Objects,
    upkeep: Arc<Upkeep>,
    log: Arc<dyn LogCheck>,
    pace: Pace,
    settings: Settings,
}

impl Scrubber {
    /// A worker over `objects`.
    #[must_use]
    pub fn new(
        objects: Objects,
        upkeep: Arc<Upkeep>,
        log: Arc<dyn LogCheck>,
        clients: Arc<dyn Clients>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        upkeep.change_scrub(|scrub| scrub.period = settings.period);
        Self {
            objects,
            upkeep,
            log,
            pace: Pace { clock, clients },
            settings,
        }
    }

    /// Runs until dropped.
    pub async fn run(self) {
        loop {
            match self.step().await {
                Ok(true) => {}
                Ok(false) => {
                    let (_, asked) = self.upkeep.scrub_wanted();
                    tokio::select! {
                        () = tasks::sleep(self.settings.poll_interval) => {}
                        () = asked => {}
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "scrub waits: records can not be read");
                    tasks::sleep(self.settings.poll_interval).await;
                }
            }
        }
    }

    /// A page of a pass, if one is under way or due. Whether there was something to do.
    async fn step(&self) -> Result<bool> {
        let mut job = self.objects.job(Job::Scrub).await?;
        self.upkeep.change_scrub(|scrub| scrub.job = job);
        let asks = self.upkeep.scrub_asks();
        let answers = self.upkeep.scrub().answers;
        // One that nobody asked for may have read what is asked for long ago.
        let begins_anew = self.upkeep.is_scrub_asked() && answers <= self.upkeep.scrub_answers();
        if job.begun == Timestamp(0) || begins_anew {
            if !self.is_due(&job) {
                return Ok(false);
            }
            job = self.begin().await?;
            self.upkeep.change_scrub(|scrub| scrub.answers = asks);
        }
        if job.level > 0 {
            self.log(job.level).await?;
            self.end().await?;
            return Ok(true);
        }
        let page = self.objects.blobs_page(job.cursor, BLOBS_PAGE_MAX).await?;
        for batch in batches(page.blobs) {
            self.batch(&batch).await?;
            if self.upkeep.scrub_asks() > asks {
                // Where the page says that blobs are may be long ago.
                return Ok(true);
            }
        }
        match page.next {
            Some(next) => self.set_cursor(next).await?,
            None => self.begin_log().await?,
        }
        Ok(true)
    }

    fn is_due(&self, job: &JobRecord) -> bool {
        if self.upkeep.is_scrub_asked() || job.ended == Timestamp(0) {
            return true;
        }
        let age = self.pace.clock.now().0.saturating_sub(job.ended.0);
        // The next pass begins early enough to end within the period.
        let rest = self.settings.period / 10 * (10 - PERIOD_TENTHS as u32);
        u128::from(age) >= rest.as_nanos()
    }

    async fn begin(&self) -> Result<JobRecord> {
        let now = self.pace.clock.now();
        tracing::info!("scrub begins");
        let begun = self.objects.change_job(Job::Scrub, move |job| {
            *job = JobRecord {
                begun: now,
                ended: job.ended,
                rate: job.rate,
                ..JobRecord::default()
            };
        });
        begun.await
    }

    async fn batch(&self, batch: &[StoredBlob]) -> Result<()> {
        let begun = self.pace.begin();
        let done = inspect(&self.objects, batch).await;
        let (count, lost, bad, repaired) = (done.count, done.lost, done.bad, done.repaired);
        let last = batch.last().map(|blob| blob.blob);
        let job = self.objects.change_job(Job::Scrub, move |job| {
            job.cursor = last;
            job.blobs += count.blobs;
            job.bytes += count.bytes;
            job.bad += bad;
            job.repaired += repaired;
            job.lost += lost;
        });
        let job = job.await?;
        let (is_asked, asked) = self.upkeep.scrub_wanted();
        let rate_wanted = match is_asked {
            true => 0,
            false => self.rate_wanted(),
        };
        let rate = self
            .pace
            .rest(&begun, count.bytes, REST_SHARE, (rate_wanted, asked))
            .await;
        self.upkeep.change_scrub(|scrub: &mut ScrubState| {
            scrub.job = job;
            scrub.bad += bad;
            scrub.repaired += repaired;
            scrub.rate = smoothed(scrub.rate, rate);
        });
        Ok(())
    }

    /// Bytes per second with which a pass ends in time.
    fn rate_wanted(&self) -> u64 {
        let bytes = self
            .upkeep
            .standing()
            .map_or(0, |standing| standing.total().bytes);
        let seconds = (self.settings.period.as_secs() * PERIOD_TENTHS / 10).max(1);
        (bytes / seconds).max(RATE_MIN)
    }

    /// Reads the superblocks, and notes that the log is next.
    async fn begin_log(&self) -> Result<()> {
        let log = Arc::clone(&self.log);
        let (kept, superblocks) =
            tasks::blocking(move || (log.kept(), log.check_superblocks())).await;
        self.note_log(superblocks, kept.start.max(1)).await
    }

    /// Reads the log from batch `at` to where it ends now: what is committed meanwhile may wait.
    async fn log(&self, at: u64) -> Result<()> {
        let log = Arc::clone(&self.log);
        let kept = tasks::blocking(move || log.kept()).await;
        let mut at = at.max(kept.start);
        while at < kept.end {
            let batches = at..(at + LOG_BATCHES_MAX).min(kept.end);
            at = batches.end;
            let (log, begun) = (Arc::clone(&self.log), self.pace.begin());
            let found = tasks::blocking(move || log.check(batches)).await;
            self.note_log(found, at).await?;
            let (_, asked) = self.upkeep.scrub_wanted();
            self.pace.rest(&begun, 0, REST_SHARE, (0, asked)).await;
        }
        Ok(())
    }

    /// Adds what was found and where the log goes on, in one commit: a crash counts nothing twice.
    async fn note_log(&self, found: LogChecked, next: u64) -> Result<()> {
        let job = self.objects.change_job(Job::Scrub, move |job| {
            job.level = next;
            job.bad += found.bad;
            job.repaired += found.repaired;
            job.lost += found.lost;
        });
        let job = job.await?;
        self.upkeep.change_scrub(|scrub| scrub.job = job);
        Ok(())
    }

    async fn set_cursor(&self, cursor: BlobId) -> Result<()> {
        let change = self
            .objects
            .change_job(Job::Scrub, move |job| job.cursor = Some(cursor));
        change.await.map(|_| ())
    }

    async fn end(&self) -> Result<()> {
        let now = self.pace.clock.now();
        let job = self.objects.change_job(Job::Scrub, move |job| {
            job.begun = Timestamp(0);
            job.ended = now;
            job.cursor = None;
            job.level = 0;
        });
        let job = job.await?;
        self.upkeep.change_scrub(|scrub| scrub.job = job);
        // What was asked for since it began, another pass answers.
        self.upkeep.scrub_done(self.upkeep.scrub().answers);
        tracing::info!(
            blobs = job.blobs,
            bytes = job.bytes,
            bad = job.bad,
            repaired = job.repaired,
            lost = job.lost,
            "scrub done: all was read"
        );
        Ok(())
    }
}
