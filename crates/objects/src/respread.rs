//! Re-spread: give blobs that were written while disks were out the redundancy asked for.
//!
//! Such blobs are named by records of their own, so that finding them scans nothing else. A blob
//! is written anew first and its record moved after; the old place is buried like any other bytes.

use strongroom_blob::Place;

use crate::api::Respread;
use crate::commit::{BLOB_REWRITES_MAX, CommitError};
use crate::decide::{self, RespreadOutcome};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::{BlobId, BlobRecord, keys};

impl Objects {
    /// Looks at up to `limit` blobs with less redundancy than asked for and writes them anew under
    /// the current placement. Safe beside anything else, and safe to repeat.
    ///
    /// # Errors
    /// `Unavailable`, `StorageFull`, `Corrupt`.
    pub async fn respread_once(&self, limit: usize) -> Result<Respread> {
        let page = self.meta.scan(&keys::reduceds(), None, limit).await?;
        let mut done = Respread::default();
        for (key, _) in &page.records {
            let blob = keys::reduced_of(key).ok_or_else(|| Error::Corrupt {
                message: "bad key of a reduced blob".into(),
            })?;
            done.examined += 1;
            if !self.respread_blob(blob).await? {
                // The disks for it are not back: no other blob fares better now.
                done.remaining = page.records.len() as u64 - done.moved;
                break;
            }
            done.moved += 1;
        }
        Ok(done)
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
