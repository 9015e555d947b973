//! Repair: walk over all blobs, say how they stand, and mend what can be mended, worst first.
//!
//! A disk that lost its segments, or a segment that is gone, leaves millions of blobs with less than
//! they should have. The next loss may come at any time, so those that would not survive it are mended first;
//! and nobody is told that it is over before every shard was read back (RFC 0009).
//!
//! Invariants
//! - A round ends with a verification; marks of refills go by it alone.
//! - Where a round is, is durable after each batch: a stop or a crash repeats a batch.
//! - What becomes worse during a round ends it, so that order holds for what is worst now.
//! - What fails is named and does not keep the rest from being mended (AZ24).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use strongroom_base::{Clock, Timestamp, tasks};
use strongroom_objects::records::BlobId;
use strongroom_objects::{
    BLOBS_PAGE_MAX, Filling, Job, Level, Objects, Redundancy, Result, StoredBlob, Survey,
};

use crate::upkeep::{
    Clients, Count, FAILED_MAX, Inspected, Pace, Phase, RepairState, Standing, Upkeep, batches,
    inspect, is_mendable, no_rate, smoothed, sum,
};

/// How long repair rests, by how long it worked, while clients are served.
const REST_SHARE: f64 = 1.0;
/// The same for blobs that the next loss would take.
const REST_SHARE_CRITICAL: f64 = 0.5;
/// How long a walk rests: it reads the index alone.
const REST_SHARE_WALK: f64 = 1.0;

/// Times of the loop.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often the disks are listed.
    pub survey_interval: Duration,
    /// How often all blobs are walked over when no survey saw a change.
    pub walk_interval: Duration,
    /// First wait after a round that mended nothing; doubles up to `retry_after_max`.
    pub retry_after: Duration,
    pub retry_after_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            survey_interval: Duration::from_secs(5),
            walk_interval: Duration::from_secs(600),
            retry_after: Duration::from_secs(5),
            retry_after_max: Duration::from_secs(300),
        }
    }
}

/// The worker.
pub struct Mender {
    objects: Objects,
    upkeep: Arc<Upkeep>,
    pace: Pace,
    settings: Settings,
}

/// What the last walk knew.
struct Walked {
    /// Of the disks.
    change: u64,
    at: Duration,
    /// How long until the next one, when that may show something else with the same disks.
    again: Option<Duration>,
}

/// How a part of a round ended.
enum Ended {
    Done,
    /// Something went worse: walk again.
    Changed,
}

impl Mender {
    /// A worker over `objects`.
    #[must_use]
    pub fn new(
        objects: Objects,
        upkeep: Arc<Upkeep>,
        clients: Arc<dyn Clients>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        Self {
            objects,
            upkeep,
            pace: Pace { clock, clients },
            settings,
        }
    }

    /// Runs until dropped.
    pub async fn run(self) {
        let mut walked: Option<Walked> = None;
        let mut retry_after = self.settings.retry_after;
        self.restore_rate().await;
        loop {
            let disks = self.upkeep.disks();
            let survey = self.objects.survey().await;
            match walked.as_mut().filter(|last| last.change == survey.change) {
                None => retry_after = self.settings.retry_after,
                Some(last) => {
                    self.upkeep.walked(disks);
                    if self.rests(last).await {
                        continue;
                    }
                }
            }
            let at = self.pace.clock.monotonic();
            match self.walk_and_mend(&survey, disks).await {
                Ok(true) => walked = None,
                Ok(false) => {
                    let again = self.is_unfinished().then_some(retry_after);
                    if again.is_some() {
                        retry_after = (retry_after * 2).min(self.settings.retry_after_max);
                    }
                    let change = survey.change;
                    walked = Some(Walked { change, at, again });
                }
                Err(error) => {
                    tracing::debug!(%error, "repair waits: records can not be read");
                    tasks::sleep(self.settings.survey_interval).await;
                }
            }
        }
    }

    /// Whether another walk may show something though no disk changed: what failed is tried again, and
    /// what others write anew becomes full.
    fn is_unfinished(&self) -> bool {
        let full = self.upkeep.standing().is_some_and(|now| now.is_full());
        !full || !self.upkeep.repair().failed.is_empty()
    }

    /// Rests for a moment, unless the next walk is due.
    async fn rests(&self, last: &mut Walked) -> bool {
        let moment = self.settings.survey_interval;
        if let Some(again) = &mut last.again {
            let moment = moment.min(*again);
            *again -= moment;
            tasks::sleep(moment).await;
            return !again.is_zero();
        }
        let since = self.pace.clock.monotonic().saturating_sub(last.at);
        if since >= self.settings.walk_interval {
            return false;
        }
        tasks::sleep(moment).await;
        true
    }

    async fn restore_rate(&self) {
        loop {
            match self.objects.job(Job::Repair).await {
                Ok(job) => return self.upkeep.set_rate_max(job.rate),
                Err(_) => tasks::sleep(self.settings.survey_interval).await,
            }
        }
    }

    /// Whether something was mended, so that another walk shows the outcome.
    async fn walk_and_mend(&self, survey: &Survey, disks: u64) -> Result<bool> {
        let standing = self.walk().await?;
        self.upkeep.walked(disks);
        if standing.mendable.is_empty() && survey.filling.is_empty() {
            self.upkeep.change_repair(|repair| repair.failed.clear());
            return Ok(false);
        }
        let before = self.upkeep.repair().failed;
        let work = sum(standing.mendable.values());
        tracing::info!(blobs = work.blobs, bytes = work.bytes, "repair begins");
        // Everything is written once and read back once.
        let total = Count {
            blobs: work.blobs * 2,
            bytes: work.bytes * 2,
        };
        self.upkeep.change_repair(|repair| {
            repair.phase = Phase::Repairing;
            repair.done = Count::default();
            repair.total = total;
            repair.failed.clear();
        });
        let ended = self.round(&standing, survey.losses).await;
        let failed = self.upkeep.repair().failed;
        self.upkeep
            .change_repair(|repair| repair.phase = Phase::Idle);
        match ended? {
            Ended::Changed => tracing::info!("repair begins anew: something went worse"),
            Ended::Done if failed.is_empty() => tracing::info!("repair done: all was read back"),
            Ended::Done => {
                tracing::warn!(
                    failed = failed.len(),
                    "repair done but for some: see `strongroom repair status`"
                );
                // The same again, or all of it: waiting is better than trying at once.
                if failed == before {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Classifies every blob.
    async fn walk(&self) -> Result<Standing> {
        let mut standing = Standing::new();
        let mut after = None;
        loop {
            let begun = self.pace.begin();
            let page = self.objects.blobs_page(after, BLOBS_PAGE_MAX).await?;
            let found = self.objects.redundancy(&page.blobs).await;
            standing.add(&page, &found);
            self.objects.mark_reduced(&page.blobs).await?;
            for (blob, one) in page.blobs.iter().zip(&found) {
                if one.level == Level::Lost {
                    self.objects.set_lost(blob, true).await?;
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
            self.pace.rest(&begun, 0, REST_SHARE_WALK, no_rate()).await;
        }
        self.objects.review_lost().await?;
        standing.walked = self.pace.clock.now();
        if let Some((written, blob)) = standing.oldest {
            standing.oldest_object = self.objects.object_of(blob, written).await?;
        }
        self.note_since(&standing).await?;
        self.upkeep.set_standing(standing.clone());
        Ok(standing)
    }

    /// Keeps since when not all is full, over restarts.
    async fn note_since(&self, standing: &Standing) -> Result<()> {
        let (full, now) = (standing.is_full(), standing.walked);
        let job = self
            .objects
            .change_job(Job::Repair, move |job| match (full, job.begun.0) {
                (true, _) => job.begun = Timestamp(0),
                (false, 0) => job.begun = now,
                (false, _) => {}
            })
            .await?;
        self.upkeep.change_repair(|repair| repair.since = job.begun);
        Ok(())
    }

    async fn round(&self, standing: &Standing, losses: u64) -> Result<Ended> {
        let job = self.objects.job(Job::Repair).await?;
        let mut resume = job.cursor.map(|cursor| (job.level, cursor));
        for margin in standing.mendable.keys().copied() {
            let cursor = match resume {
                // A level that an earlier process finished, or a change has added since.
                Some((level, cursor)) if level == u64::from(margin) => {
                    resume = None;
                    Some(cursor)
                }
                _ => None,
            };
            if let Ended::Changed = self.mend_level(margin, cursor, losses).await? {
                self.set_cursor(0, None).await?;
                return Ok(Ended::Changed);
            }
        }
        self.set_cursor(0, None).await?;
        self.verify().await
    }

    async fn set_cursor(&self, margin: u32, cursor: Option<BlobId>) -> Result<()> {
        let change = self.objects.change_job(Job::Repair, move |job| {
            job.level = u64::from(margin);
            job.cursor = cursor;
        });
        change.await.map(|_| ())
    }

    /// Mends the blobs that survive at most `margin` losses.
    async fn mend_level(
        &self,
        margin: u32,
        mut after: Option<BlobId>,
        losses: u64,
    ) -> Result<Ended> {
        let share = match margin {
            0 => REST_SHARE_CRITICAL,
            _ => REST_SHARE,
        };
        loop {
            let page = self.objects.blobs_page(after, BLOBS_PAGE_MAX).await?;
            let found = self.objects.redundancy(&page.blobs).await;
            let wanted = page.blobs.into_iter().zip(found);
            let wanted = wanted.filter(|(_, one)| is_mendable(one) && one.margin <= margin);
            let wanted: Vec<StoredBlob> = wanted.map(|(blob, _)| blob).collect();
            for batch in batches(wanted) {
                self.mend_batch(&batch, share).await;
                let last = batch.last().map(|blob| blob.blob);
                self.set_cursor(margin, last).await?;
                if self.objects.survey().await.losses != losses {
                    return Ok(Ended::Changed);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(Ended::Done);
            }
        }
    }

    async fn mend_batch(&self, batch: &[StoredBlob], share: f64) -> Inspected {
        let begun = self.pace.begin();
        let done = inspect(&self.objects, batch).await;
        self.upkeep.change_repair(|repair| add_done(repair, &done));
        let bound = self.upkeep.rates();
        let rate = self.pace.rest(&begun, done.count.bytes, share, bound).await;
        self.upkeep
            .change_repair(|repair| repair.rate = smoothed(repair.rate, rate));
        done
    }

    /// Reads every blob in a segment that is being refilled, and takes the marks of those in which all
    /// is good.
    async fn verify(&self) -> Result<Ended> {
        // Marks from before the walk begins.
        let survey = self.objects.survey().await;
        let mut good: BTreeSet<Filling> = survey.filling.into_iter().collect();
        if good.is_empty() {
            return Ok(Ended::Done);
        }
        self.upkeep
            .change_repair(|repair| repair.phase = Phase::Verifying);
        let mut after = None;
        loop {
            let page = self.objects.blobs_page(after, BLOBS_PAGE_MAX).await?;
            let found = self.objects.redundancy(&page.blobs).await;
            let (wanted, found): (Vec<StoredBlob>, Vec<Redundancy>) = page
                .blobs
                .into_iter()
                .zip(found)
                .filter(|(_, one)| !one.filling.is_empty())
                .unzip();
            let mut standing = wanted.iter().map(|blob| blob.blob).zip(found);
            let standing: std::collections::HashMap<_, _> = standing.by_ref().collect();
            for batch in batches(wanted) {
                let done = self.mend_batch(&batch, REST_SHARE).await;
                for blob in &done.failed {
                    for filling in &standing[blob].filling {
                        good.remove(filling);
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        self.objects
            .filled(&good.into_iter().collect::<Vec<_>>())
            .await;
        Ok(Ended::Done)
    }
}

fn add_done(repair: &mut RepairState, done: &Inspected) {
    repair.done.blobs += done.count.blobs;
    repair.done.bytes += done.count.bytes;
    for blob in &done.failed {
        if repair.failed.len() < FAILED_MAX {
            repair.failed.insert(*blob);
        }
    }
}
