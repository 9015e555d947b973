//! The sweep: the bytes of buried blobs go, and then their records.
//!
//! Nothing here decides that a blob is garbage: a commit did, and buried it. This only waits long
//! enough, looks once more, frees and forgets, in that order, so that a crash repeats work and
//! never forgets bytes that are still there. RFC 0007 argues each step.
//!
//! Invariants
//! - Bytes are freed on the word of a grave alone, older than the hold-back or released early.
//! - Nothing is freed that a blob record, a version or a part still names (H26).
//! - Ages are differences of stamps: a clock that jumps further than it is believed releases nothing.

use std::time::Duration;

use futures::StreamExt;
use strongroom_base::Timestamp;
use strongroom_base::planted;
use strongroom_blob::{Freed, Place};
use strongroom_meta::{Record, Stamp};

use crate::decide::{self, Grave};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::{
    BlobId, BlobOwner, BlobRecord, GraveyardRecord, PartPage, PartRecord, RecordFormat,
    VersionContent, VersionRecord, keys,
};

/// What is younger is not released, however full disks are: readers that began just before the
/// delete get to their end, most of them.
pub const HOLD_BACK_MIN: Duration = Duration::from_secs(10);
/// Graves whose bytes are freed at once. Each keeps a request to every disk in flight.
const FREES_MAX: usize = 8;
/// Blobs that end in one commit: each deletes two records at most, far below what a commit may hold.
const BLOBS_PER_COMMIT_MAX: usize = 2_000;

/// What is released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SweepLimits {
    /// How long buried bytes are kept.
    pub hold_back: Duration,
    /// How many are kept at most: the oldest go early.
    pub bytes_max: u64,
    /// Whether disks are so full that the oldest go early.
    pub pressed: bool,
}

/// The graveyard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Buried {
    pub blobs: u64,
    /// Of content, as clients saw it.
    pub bytes: u64,
}

/// What one call of [`Objects::sweep_page`] did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SweepPage {
    /// Blobs that ended.
    pub blobs: u64,
    /// What disks gave back.
    pub freed: Freed,
    /// Graves that could not be ended, and stay.
    pub kept: u64,
    /// The last grave looked at, to go on after. `None` when none that may be released follows.
    pub last: Option<Vec<u8>>,
    /// What kept the first of them.
    pub error: Option<Error>,
}

/// What one call of [`Objects::mark_scan`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MarkScan {
    pub freed: Freed,
    /// Whether segments are left to the next scan, because they are too many for one.
    pub has_more: bool,
}

impl Objects {
    /// How much is buried, as the commits that bury and end counted it.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn buried(&self) -> Result<Buried> {
        let counters = self.buried_counters().await?;
        let count = |index: usize| {
            let count = counters.get(index).copied().unwrap_or(0);
            u64::try_from(count).unwrap_or(0)
        };
        Ok(Buried {
            blobs: count(0),
            bytes: count(1),
        })
    }

    /// When what is held back longest was buried; none when nothing is.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn buried_first(&self) -> Result<Option<Timestamp>> {
        let found = self.meta.scan(&keys::graveyards(), None, 1).await?;
        let first = found.records.first();
        let first = first.and_then(|(key, _)| keys::graveyard_of(key));
        Ok(first.map(|(when, _)| Timestamp(when.0)))
    }

    async fn buried_counters(&self) -> Result<Vec<i64>> {
        let record = self.meta.get(&keys::buried_count()).await?;
        let value = record.map(|record| record.value).unwrap_or_default();
        Ok(strongroom_meta::resolve::counters(&value)?)
    }

    /// Ends up to `limit` graves after `after`, oldest first, as far as `limits` release them. A
    /// grave that can not be ended does not keep the next from it. One caller at a time; safe beside
    /// anything else, safe to repeat and to drop.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt` when the records can not be read.
    pub async fn sweep_page(
        &self,
        limits: &SweepLimits,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<SweepPage> {
        let now = self
            .decide(|reads| Ok((Vec::new(), reads.issue_stamp(Stamp(0)))))
            .await?;
        let buried = self.buried().await?;
        let prefix = keys::graveyards();
        let records = self.meta.scan(&prefix, after.as_deref(), limit).await?;
        if records.records.is_empty() && after.is_none() {
            if self
                .buried_counters()
                .await?
                .iter()
                .any(|count| *count != 0)
            {
                self.decide(decide::settle_buried).await?;
            }
            return Ok(SweepPage::default());
        }
        let mut page = SweepPage::default();
        let mut excess = buried.bytes.saturating_sub(limits.bytes_max);
        let mut due = Vec::new();
        let mut more = records.more;
        for (key, record) in records.records {
            let Some((when, _)) = keys::graveyard_of(&key) else {
                return Err(bad_key());
            };
            let age = Duration::from_nanos(now.0.saturating_sub(when.0));
            if !is_released(limits, age, excess) {
                more = false;
                break;
            }
            page.last = Some(key.clone());
            match GraveyardRecord::decode(&record.value) {
                Ok(grave) => {
                    if let GraveyardRecord::Blob { size, .. } = &grave {
                        excess = excess.saturating_sub(*size);
                    }
                    due.push((key, grave));
                }
                Err(error) => page.keep(error.into()),
            }
        }
        self.end(due, &mut page).await?;
        if !more {
            page.last = None;
        }
        Ok(page)
    }

    async fn end(&self, due: Vec<(Vec<u8>, GraveyardRecord)>, page: &mut SweepPage) -> Result<()> {
        let frees = due.into_iter().map(|(key, grave)| self.free(key, grave));
        let mut frees = futures::stream::iter(frees).buffered(FREES_MAX);
        let mut graves: Vec<Grave> = Vec::new();
        while let Some(freed) = frees.next().await {
            match freed {
                Ok((grave, freed)) => {
                    page.freed += freed;
                    graves.push(grave);
                }
                Err(error) => page.keep(error),
            }
        }
        let weight = |grave: &Grave| grave.parts.len().max(1);
        while !graves.is_empty() {
            let mut sum = 0;
            let fits = graves.iter().take_while(|grave| {
                sum += weight(grave);
                sum <= BLOBS_PER_COMMIT_MAX
            });
            let count = fits.count().max(1);
            let rest = graves.split_off(count);
            let now = std::mem::replace(&mut graves, rest);
            let ended = self.decide(move |reads| decide::end_graves(reads, &now));
            match ended.await {
                Ok(blobs) => page.blobs += blobs,
                // No room even for this: the bytes are back, and those of the next graves help more.
                Err(error @ Error::StorageFull) => page.keep(error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Looks once more, and frees the bytes of one grave. What kinds of content there are is known
    /// here and in [`decide::end_graves`] only.
    async fn free(&self, key: Vec<u8>, record: GraveyardRecord) -> Result<(Grave, Freed)> {
        let mut grave = Grave {
            key,
            record,
            parts: Vec::new(),
        };
        let mut freed = Freed::default();
        match &grave.record {
            GraveyardRecord::Blob { place, .. } => {
                let (_, blob) = keys::graveyard_of(&grave.key).ok_or_else(bad_key)?;
                if let Some(place) = place {
                    self.check_place_unowned(blob, place).await?;
                    freed += self.blobs.free(place).await?;
                }
            }
            GraveyardRecord::Parts { blobs } => {
                for blob in blobs {
                    let found: Option<BlobRecord> = self.record(&keys::blob(*blob)).await?;
                    let Some(record) = found else { continue };
                    self.check_blob_unowned(*blob, &record).await?;
                    if let Some(place) = &record.place {
                        freed += self.blobs.free(place).await?;
                    }
                    grave.parts.push((*blob, record));
                }
            }
        }
        Ok((grave, freed))
    }

    async fn check_place_unowned(&self, blob: BlobId, place: &Place) -> Result<()> {
        let record: Option<BlobRecord> = self.record(&keys::blob(blob)).await?;
        if record.is_some_and(|record| record.place.as_ref() == Some(place)) {
            return Err(still_owned(blob));
        }
        Ok(())
    }

    /// The owner's record has the last word, not the grave (H26).
    async fn check_blob_unowned(&self, blob: BlobId, record: &BlobRecord) -> Result<()> {
        if planted("sweep-skips-owner-check") {
            return Ok(());
        }
        let is_owned = match &record.owner {
            BlobOwner::Version { bucket, key, stamp } => {
                let version: Option<VersionRecord> =
                    self.record(&keys::version(*bucket, key, *stamp)).await?;
                // A version that is there keeps all its parts; in which page this one is does not matter.
                version.is_some_and(|version| version.object.is_some())
            }
            BlobOwner::Part {
                bucket,
                upload,
                number,
                ..
            } => {
                let part: Option<PartRecord> =
                    self.record(&keys::part(*bucket, *upload, *number)).await?;
                part.is_some_and(|part| part.blob == Some(blob))
            }
            // No version and no part is one.
            BlobOwner::Pack => true,
        };
        if is_owned {
            return Err(still_owned(blob));
        }
        Ok(())
    }

    /// Gives back what no record names: bytes of puts that never committed, of disks that were away
    /// when something was freed, of holes that a power cut undid. Reads all records of blobs, and
    /// everything that names one; on any doubt it frees nothing (H28, H29). One caller at a time.
    ///
    /// # Errors
    /// `Corrupt` when records contradict each other or do not parse, `Unavailable`.
    pub async fn mark_scan(&self) -> Result<MarkScan> {
        let mut mark = self.blobs.begin_mark().await?;
        // Whatever was in flight before this commit is visible after it, or will never be.
        self.decide(|_| Ok((decide::touch_buried(), ()))).await?;
        // In this order: a place only ever moves from the first to the second.
        for prefix in [keys::blobs(), keys::graveyards()] {
            let is_grave = prefix == keys::graveyards();
            let mut pages = Pages::of(prefix);
            while let Some(records) = pages.next(self).await? {
                for (_, record) in records {
                    let place = match is_grave {
                        false => BlobRecord::decode(&record.value)?.place,
                        true => match GraveyardRecord::decode(&record.value)? {
                            GraveyardRecord::Blob { place, .. } => place,
                            GraveyardRecord::Parts { .. } => None,
                        },
                    };
                    if let Some(place) = place {
                        mark.keep(&place)?;
                    }
                }
            }
        }
        self.check_named().await?;
        let has_more = mark.has_more();
        let freed = mark.sweep().await?;
        Ok(MarkScan { freed, has_more })
    }

    /// Whether every blob that is named has a record: an index that lost some of one family does not
    /// lose the same of another (H29).
    async fn check_named(&self) -> Result<()> {
        for prefix in keys::namers() {
            let mut pages = Pages::of(prefix);
            while let Some(records) = pages.next(self).await? {
                for (key, record) in records {
                    for blob in named(&key, &record.value)? {
                        self.check_named_blob(&key, blob).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn check_named_blob(&self, namer: &[u8], blob: BlobId) -> Result<()> {
        if self.meta.get(&keys::blob(blob)).await?.is_some() {
            return Ok(());
        }
        // It may have ended since the page was read, and with it what named it.
        let again = self.meta.get(namer).await?;
        let names_it = match again {
            None => false,
            Some(record) => named(namer, &record.value)?.contains(&blob),
        };
        match names_it && self.meta.get(&keys::blob(blob)).await?.is_none() {
            false => Ok(()),
            true => Err(Error::Corrupt {
                message: format!(
                    "blob {blob} is named by {} and has no record: nothing is swept",
                    namer.escape_ascii()
                ),
            }),
        }
    }
}

impl SweepPage {
    fn keep(&mut self, error: Error) {
        tracing::warn!(%error, "a deleted blob keeps its space for now");
        self.kept += 1;
        self.error.get_or_insert(error);
    }
}

fn is_released(limits: &SweepLimits, age: Duration, excess: u64) -> bool {
    if planted("sweep-frees-before-hold-back") || age >= limits.hold_back {
        return true;
    }
    age >= HOLD_BACK_MIN && (limits.pressed || excess > 0)
}

/// The blobs that a record of one of [`keys::namers`] names.
fn named(key: &[u8], value: &[u8]) -> Result<Vec<BlobId>> {
    let [versions, pages, _] = keys::namers();
    if key.starts_with(&pages) {
        let page = PartPage::decode(value)?;
        return Ok(page.parts.iter().filter_map(|part| part.blob).collect());
    }
    if !key.starts_with(&versions) {
        return Ok(PartRecord::decode(value)?.blob.into_iter().collect());
    }
    let object = VersionRecord::decode(value)?.object;
    Ok(match object.map(|object| object.content) {
        Some(VersionContent::Blob(blob)) => vec![blob],
        Some(VersionContent::Parts(parts)) => parts.iter().filter_map(|part| part.blob).collect(),
        Some(VersionContent::Pages(_) | VersionContent::Empty) | None => Vec::new(),
    })
}

/// All records of a family, page by page.
struct Pages {
    prefix: Vec<u8>,
    after: Option<Vec<u8>>,
    done: bool,
}

/// Records read in one go by a mark scan.
const SCAN_PAGE: usize = 1_000;

impl Pages {
    fn of(prefix: Vec<u8>) -> Self {
        Self {
            prefix,
            after: None,
            done: false,
        }
    }

    async fn next(&mut self, objects: &Objects) -> Result<Option<Vec<(Vec<u8>, Record)>>> {
        if self.done {
            return Ok(None);
        }
        let after = self.after.as_deref();
        let page = objects.meta.scan(&self.prefix, after, SCAN_PAGE).await?;
        self.done = !page.more;
        self.after = page.records.last().map(|(key, _)| key.clone());
        if page.more && self.after.is_none() {
            return Err(Error::Internal {
                message: "a page is empty and says that more follows".into(),
            });
        }
        Ok(Some(page.records))
    }
}

fn bad_key() -> Error {
    Error::Corrupt {
        message: "bad key of a grave".into(),
    }
}

fn still_owned(blob: BlobId) -> Error {
    tracing::error!(%blob, "a blob is buried and owned: its bytes are kept; this is a bug, please report it");
    Error::Internal {
        message: format!("blob {blob} is buried and owned"),
    }
}
