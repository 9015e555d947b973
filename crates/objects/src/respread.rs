//! Re-spread: give blobs that were written while disks were out the redundancy asked for.
//!
//! Such blobs are named by records of their own, so that finding them scans nothing else. A blob
//! is written anew first and its record moved after; the old place is buried like any other bytes.

use strongroom_blob::Place;

use crate::api::{Respread, RespreadPage};
use crate::commit::{BLOB_REWRITES_MAX, CommitError};
use crate::decide::{self, RespreadOutcome};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::{BlobId, BlobRecord, keys};
use crate::upkeep::{BLOBS_PAGE_MAX, Job, StoredBlob};

/// Blobs marked in one commit: some 20 KiB, so that no client waits behind it.
const MARKS_MAX: usize = 128;

impl Objects {
    /// As [`Self::respread_page`], from the first blob on.
    ///
    /// # Errors
    /// What kept the first blob that failed from being written anew.
    pub async fn respread_once(&self, limit: usize) -> Result<Respread> {
        let page = self.respread_page(None, limit).await?;
        match page.error {
            Some(error) => Err(error),
            None => Ok(page.done),
        }
    }

    /// Looks at up to `limit` blobs with less redundancy than asked for, those after `after`, and
    /// writes them anew under the current placement. A blob that can not be written anew does not
    /// keep the next from it. Safe beside anything else, safe to repeat and to drop.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt` when the records can not be read.
    pub async fn respread_page(&self, after: Option<BlobId>, limit: usize) -> Result<RespreadPage> {
        let after = after.map(keys::reduced);
        let prefix = keys::reduceds();
        let records = self.meta.scan(&prefix, after.as_deref(), limit).await?;
        let count = records.records.len() as u64;
        let mut page = RespreadPage::default();
        for (key, _) in &records.records {
            let blob = keys::reduced_of(key).ok_or_else(|| Error::Corrupt {
                message: "bad key of a reduced blob".into(),
            })?;
            page.done.examined += 1;
            page.last = Some(blob);
            match self.respread_blob(blob).await {
                Ok(true) => page.done.moved += 1,
                Ok(false) => {
                    // The disks for it are not back: no other blob fares better now.
                    page.last = None;
                    break;
                }
                Err(error) => {
                    tracing::warn!(blob = %hex::encode(blob.0), %error, "a blob was not re-spread");
                    page.error.get_or_insert(error);
                }
            }
        }
        if !records.more {
            page.last = None;
        }
        page.done.remaining = count - page.done.moved;
        Ok(page)
    }

    /// Marks those of `blobs` that have less redundancy than asked for now and no mark yet: more may be
    /// asked for since they were written, and a zone with a shard of them may be about to leave. How
    /// many it marked. Safe beside anything else and to repeat.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn mark_reduced(&self, blobs: &[StoredBlob]) -> Result<u64> {
        let mut marked = 0;
        let reduced = blobs
            .iter()
            .filter(|blob| self.blobs.is_reduced(&blob.place));
        let reduced: Vec<&StoredBlob> = reduced.collect();
        for some in reduced.chunks(MARKS_MAX) {
            let mut missing = Vec::new();
            for blob in some {
                if self.meta.get(&keys::reduced(blob.blob)).await?.is_none() {
                    missing.push((blob.blob, blob.place.clone()));
                }
            }
            if !missing.is_empty() {
                let marks = self.decide(move |reads| decide::mark_reduced(reads, &missing));
                marked += marks.await?;
            }
        }
        Ok(marked)
    }

    /// How many blobs have less redundancy than asked for now, marked or not: looks at every record.
    /// What was committed before the call is counted.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn count_reduced(&self) -> Result<u64> {
        // Behind every commit that was checked before: one is written at a time.
        self.touch_job(Job::Repair).await?;
        let (mut count, mut after) = (0, None);
        loop {
            let page = self.blobs_page(after, BLOBS_PAGE_MAX).await?;
            let reduced = page
                .blobs
                .iter()
                .filter(|blob| self.blobs.is_reduced(&blob.place));
            count += reduced.count() as u64;
            after = page.next;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    /// How many blobs have less redundancy than asked for: a counter kept by the commits that
    /// mark them, so that asking reads one record.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn blobs_reduced(&self) -> Result<u64> {
        let record = self.meta.get(&keys::reduced_count()).await?;
        let value = record.map(|record| record.value).unwrap_or_default();
        let counters = strongroom_meta::resolve::counters(&value)?;
        Ok(counters
            .first()
            .map_or(0, |count| u64::try_from(*count).unwrap_or(0)))
    }

    /// Whether the blob has what is asked for now, or is gone.
    async fn respread_blob(&self, blob: BlobId) -> Result<bool> {
        for _ in 0..=BLOB_REWRITES_MAX {
            let record: Option<BlobRecord> = self.record(&keys::blob(blob)).await?;
            let Some(old) = record.and_then(|record| record.place) else {
                self.decide(move |reads| decide::clear_reduced(reads, blob, None))
                    .await?;
                return Ok(true);
            };
            if !self.blobs.is_reduced(&old) {
                let place = Some(old);
                self.decide(move |reads| decide::clear_reduced(reads, blob, place.as_ref()))
                    .await?;
                return Ok(true);
            }
            match self.move_blob(blob, old).await? {
                Moved::Whole => return Ok(true),
                Moved::StillReduced => return Ok(false),
                Moved::Again => {}
            }
        }
        Ok(false)
    }

    async fn move_blob(&self, blob: BlobId, old: Place) -> Result<Moved> {
        let written = self.blobs.rewrite(&old).await?;
        if written.reduced {
            // No better than before: leave it, its new bytes are garbage.
            return Ok(Moved::StillReduced);
        }
        let (new, durable) = (written.place, vec![written.durable]);
        let moved = self
            .commit(durable, move |reads| {
                decide::respread(reads, blob, &old, &new, false)
            })
            .await;
        match moved {
            Ok(RespreadOutcome::Moved) => Ok(Moved::Whole),
            Ok(RespreadOutcome::Superseded) | Err(CommitError::BlobLost) => Ok(Moved::Again),
            Err(CommitError::Failed(error)) => Err(error),
        }
    }
}

enum Moved {
    Whole,
    StillReduced,
    /// The blob changed, or disks went out meanwhile: look again.
    Again,
}
