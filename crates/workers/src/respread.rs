//! Re-spread: after a zone or disk is back, give what was written without it full redundancy.
//!
//! While a zone is out, new blobs get a code for the disks that are left, and a record says so. That
//! code survives one more loss, but takes more space than the full one, and once the zone is back
//! the next loss may be of two disks. Nobody should have to ask for the difference to be made up.
//!
//! Invariants
//! - What is left to do is in durable records only: a crash, a stop or an error repeats work and
//!   never skips it.
//! - One blob is moved at a time, and at most half of the time is spent moving: when the disks are
//!   busy with clients a step takes longer, and so does the rest after it.
//! - A blob that can not be moved does not keep the others from it.
//! - Nothing is moved while disks are out or full: it would be reduced again.

use std::sync::Arc;
use std::time::Duration;

use strongroom_base::{Clock, tasks};
use strongroom_objects::Objects;

/// Whether what is written now gets the redundancy asked for. Asked once per step: must be cheap
/// and must not block.
pub trait Redundancy: Send + Sync + 'static {
    /// Every disk that the full code needs is in service and takes blobs.
    fn is_whole(&self) -> bool;
}

/// Blobs moved between two rests. A step is bounded by their sizes; more would make a stop of all
/// disks, and a client that comes meanwhile, wait longer.
pub const STEP_BLOBS_MAX: usize = 4;

/// Times of the loop.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often an idle worker looks whether there is work: one record is read.
    pub poll_interval: Duration,
    /// Longest rest after a step; otherwise as long as the step took.
    pub rest_max: Duration,
    /// First wait after a walk that left something behind; doubles up to `retry_after_max`.
    pub retry_after: Duration,
    /// Longest such wait.
    pub retry_after_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(1),
            rest_max: Duration::from_secs(10),
            retry_after: Duration::from_secs(2),
            retry_after_max: Duration::from_secs(300),
        }
    }
}

/// The worker.
pub struct Respreader {
    objects: Objects,
    redundancy: Arc<dyn Redundancy>,
    clock: Arc<dyn Clock>,
    settings: Settings,
}

/// What a walk over the reduced blobs left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Walk {
    /// Every blob it met has what is asked for.
    Done,
    /// Some have not: too few disks, or errors.
    Left { moved: u64 },
}

impl Respreader {
    /// A worker over `objects`, for as long as `redundancy` says that moving helps.
    #[must_use]
    pub fn new(
        objects: Objects,
        redundancy: Arc<dyn Redundancy>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        Self {
            objects,
            redundancy,
            clock,
            settings,
        }
    }

    /// Runs until dropped.
    pub async fn run(self) {
        let mut retry_after = self.settings.retry_after;
        // The first walk, and the first after disks are back, asks the records and not the count.
        let mut must_walk = true;
        loop {
            if !self.redundancy.is_whole() {
                must_walk = true;
                retry_after = self.settings.retry_after;
                tasks::sleep(self.settings.poll_interval).await;
                continue;
            }
            if !must_walk && self.nothing_reduced().await {
                tasks::sleep(self.settings.poll_interval).await;
                continue;
            }
            must_walk = false;
            match self.walk().await {
                Walk::Done => {
                    retry_after = self.settings.retry_after;
                    tasks::sleep(self.settings.poll_interval).await;
                }
                Walk::Left { moved } => {
                    if moved > 0 {
                        retry_after = self.settings.retry_after;
                    }
                    must_walk = true;
                    tasks::sleep(retry_after).await;
                    retry_after = (retry_after * 2).min(self.settings.retry_after_max);
                }
            }
        }
    }

    /// Whether the count says so; a count that can not be read says nothing.
    async fn nothing_reduced(&self) -> bool {
        matches!(self.objects.blobs_reduced().await, Ok(0) | Err(_))
    }

    /// Once over all reduced blobs.
    async fn walk(&self) -> Walk {
        let (mut after, mut moved, mut left) = (None, 0, 0);
        if let Ok(reduced) = self.objects.blobs_reduced().await
            && reduced > 0
        {
            tracing::info!(reduced, "re-spread begins");
        }
        loop {
            if !self.redundancy.is_whole() {
                tracing::info!(moved, "re-spread waits: disks are out or full");
                return Walk::Left { moved };
            }
            let begun = self.clock.monotonic();
            let page = match self.objects.respread_page(after, STEP_BLOBS_MAX).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(moved, %error, "re-spread: blobs can not be listed");
                    return Walk::Left { moved };
                }
            };
            moved += page.done.moved;
            left += page.done.remaining;
            after = page.last;
            if after.is_none() {
                break;
            }
            let took = self.clock.monotonic().saturating_sub(begun);
            tasks::sleep(took.min(self.settings.rest_max)).await;
        }
        match left {
            0 => {
                if moved > 0 {
                    tracing::info!(moved, "re-spread done: no blob is reduced");
                }
                Walk::Done
            }
            left => {
                tracing::warn!(moved, left, "re-spread: blobs are still reduced");
                Walk::Left { moved }
            }
        }
    }
}
