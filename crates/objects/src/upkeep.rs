//! What scrub and repair need of the domain: pages of blobs, what is lost, and where jobs are.
//!
//! Invariants
//! - A page gives every blob whose record was there before the page was read, in the order of ids.
//! - A blob is called lost in a commit that sees its record, and no longer once that is gone.

use strongroom_base::Timestamp;
use strongroom_blob::{Filling, Health, Level, Moves, Place, Redundancy, Rest, Survey};
use strongroom_types::{BucketName, ObjectKey, UploadId, VersionId};

use crate::decide::{Decided, Writes, load};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::{
    BlobId, BlobOwner, BlobRecord, BucketId, BucketRecord, JobRecord, LostRecord, RecordFormat,
    STANDARD, VersionRecord, keys,
};

/// Most blobs of a page of [`Objects::blobs_page`].
pub const BLOBS_PAGE_MAX: usize = 1000;
/// Most entries of a page of [`Objects::list_lost`].
pub const LOST_PAGE_MAX: usize = 1000;

/// The jobs that have a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Job {
    Scrub,
    Repair,
}

impl Job {
    const fn name(self) -> &'static str {
        match self {
            Self::Scrub => "scrub",
            Self::Repair => "repair",
        }
    }
}

/// A blob in the blob store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredBlob {
    pub blob: BlobId,
    pub size: u64,
    pub place: Place,
    /// When the version was written that it belongs to; none for a part of an upload and for a pack.
    pub written: Option<Timestamp>,
}

/// A page of all blobs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BlobsPage {
    pub blobs: Vec<StoredBlob>,
    /// Blobs whose content is with their record or in a pack: how many, and their bytes.
    pub elsewhere: (u64, u64),
    /// Where the next page begins; none at the end.
    pub next: Option<BlobId>,
}

/// What of an object is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LostObject {
    pub blob: BlobId,
    /// When it was found.
    pub since: Timestamp,
    /// Of the blob.
    pub size: u64,
    /// Of the object; none when the bucket is gone, or when it is a pack of small objects.
    pub bucket: Option<BucketName>,
    pub key: Option<ObjectKey>,
    pub version_id: Option<VersionId>,
    /// Of the part of an upload.
    pub upload_id: Option<UploadId>,
}

/// A page of what is lost.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LostPage {
    pub lost: Vec<LostObject>,
    pub next: Option<BlobId>,
}

impl Objects {
    /// A page of all blobs, those after `after`.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn blobs_page(&self, after: Option<BlobId>, limit: usize) -> Result<BlobsPage> {
        let after = after.map(keys::blob);
        let limit = limit.min(BLOBS_PAGE_MAX);
        let found = self
            .meta
            .scan(&keys::blobs(), after.as_deref(), limit)
            .await?;
        let mut page = BlobsPage::default();
        let mut last = None;
        for (key, record) in &found.records {
            let blob = blob_of(key)?;
            last = Some(blob);
            let record = BlobRecord::decode(&record.value)?;
            match record.place {
                Some(place) => page.blobs.push(StoredBlob {
                    blob,
                    size: record.size,
                    place,
                    written: match record.owner {
                        BlobOwner::Version { stamp, .. } => Some(Timestamp(stamp.0)),
                        _ => None,
                    },
                }),
                None => {
                    page.elsewhere.0 += 1;
                    page.elsewhere.1 += record.size;
                }
            }
        }
        page.next = last.filter(|_| found.more);
        Ok(page)
    }

    /// How blobs stand, without reading them.
    pub async fn redundancy(&self, blobs: &[StoredBlob]) -> Vec<Redundancy> {
        let places: Vec<Place> = blobs.iter().map(|blob| blob.place.clone()).collect();
        self.blobs.redundancy(&places).await
    }

    /// Reads every shard of these blobs and, with `repair`, rewrites the bad ones.
    pub async fn inspect(&self, blobs: &[StoredBlob], repair: bool) -> Vec<Result<Health>> {
        let places: Vec<Place> = blobs.iter().map(|blob| blob.place.clone()).collect();
        let found = self.blobs.inspect(&places, repair).await;
        found
            .into_iter()
            .map(|one| one.map_err(Error::from))
            .collect()
    }

    /// Looks which shards the disks hold.
    pub async fn survey(&self) -> Survey {
        self.blobs.survey().await
    }

    /// Says that all blobs in these segments were verified.
    pub async fn filled(&self, segments: &[Filling]) {
        self.blobs.filled(segments).await;
    }

    /// Moves shards from disks that are drained or full; whether there was something to move.
    pub async fn relocate(&self, rest: &dyn Rest) -> bool {
        self.blobs.relocate(rest).await
    }

    /// What is moved.
    #[must_use]
    pub fn moves(&self) -> Moves {
        self.blobs.moves()
    }

    /// Records that a blob is lost, or that it is not. Nothing when its record is not at `place`.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn set_lost(&self, blob: &StoredBlob, lost: bool) -> Result<()> {
        let (id, place, since) = (blob.blob, blob.place.clone(), self.clock.now());
        self.decide(move |reads| {
            let record = load::<BlobRecord>(reads, &keys::blob(id))?;
            let known = load::<LostRecord>(reads, &keys::lost(id))?;
            let size = match record {
                Some(record) if record.place.as_ref() == Some(&place) => Some(record.size),
                _ => None,
            };
            let mut writes = Writes::default();
            match (size.filter(|_| lost), known) {
                (Some(size), None) => writes.put(keys::lost(id), &LostRecord { since, size }),
                (None, Some(_)) => writes.delete(keys::lost(id)),
                _ => {}
            }
            Ok((writes.finish(BucketId(0), STANDARD), ()))
        })
        .await
    }

    /// Looks again at what is called lost: takes away the records of what is gone or readable.
    /// How many are left.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn review_lost(&self) -> Result<u64> {
        let (mut after, mut left) = (None, 0);
        loop {
            let page = self.lost_page(after, LOST_PAGE_MAX).await?;
            for (blob, known) in page.0 {
                let record: Option<BlobRecord> = self.record(&keys::blob(blob)).await?;
                let place = record.and_then(|record| record.place);
                let stored = StoredBlob {
                    blob,
                    size: known.size,
                    // A blob without place is not at this one: its record is taken away.
                    place: place.unwrap_or(Place(bytes::Bytes::new())),
                    written: None,
                };
                if stored.place.0.is_empty() || self.is_readable(&stored).await {
                    self.set_lost(&stored, false).await?;
                } else {
                    left += 1;
                }
            }
            after = page.1;
            if after.is_none() {
                return Ok(left);
            }
        }
    }

    /// By what is known, and by its bytes when that says it may be.
    async fn is_readable(&self, blob: &StoredBlob) -> bool {
        let one = std::slice::from_ref(blob);
        let known = self.redundancy(one).await;
        if known.iter().any(|known| known.level >= Level::Unreachable) {
            return false;
        }
        let found = self.inspect(one, true).await;
        found
            .iter()
            .all(|health| health.as_ref().is_ok_and(|health| health.stripes_lost == 0))
    }

    /// A page of what is lost, after the blob `after`.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn list_lost(&self, after: Option<BlobId>, limit: usize) -> Result<LostPage> {
        let (records, next) = self.lost_page(after, limit.min(LOST_PAGE_MAX)).await?;
        let mut page = LostPage {
            lost: Vec::new(),
            next,
        };
        for (blob, known) in records {
            let record: Option<BlobRecord> = self.record(&keys::blob(blob)).await?;
            // Deleted since: the next review takes the record away.
            let Some(record) = record else { continue };
            page.lost
                .extend(self.lost_object(blob, known, record.owner).await?);
        }
        Ok(page)
    }

    /// The object that a blob belongs to, with its bytes; none when it is gone.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn object_of(&self, blob: BlobId, since: Timestamp) -> Result<Option<LostObject>> {
        let record: Option<BlobRecord> = self.record(&keys::blob(blob)).await?;
        let Some(record) = record else {
            return Ok(None);
        };
        let size = record.size;
        self.lost_object(blob, LostRecord { since, size }, record.owner)
            .await
    }

    pub(crate) async fn lost_object(
        &self,
        blob: BlobId,
        known: LostRecord,
        owner: BlobOwner,
    ) -> Result<Option<LostObject>> {
        let mut lost = LostObject {
            blob,
            since: known.since,
            size: known.size,
            bucket: None,
            key: None,
            version_id: None,
            upload_id: None,
        };
        let bucket = match owner {
            BlobOwner::Version { bucket, key, stamp } => {
                let version = keys::version(bucket, &key, stamp);
                let version: Option<VersionRecord> = self.record(&version).await?;
                // A part of a version that is gone: buried by name, and swept.
                let Some(version) = version else {
                    return Ok(None);
                };
                lost.version_id = Some(match version.is_null {
                    true => VersionId::Null,
                    false => VersionId::Stamp(stamp.0),
                });
                lost.key = Some(key);
                bucket
            }
            BlobOwner::Part {
                bucket,
                key,
                upload,
                ..
            } => {
                lost.key = Some(key);
                lost.upload_id = Some(upload);
                bucket
            }
            // The small objects in it are not told one by one.
            BlobOwner::Pack => return Ok(Some(lost)),
        };
        let record: Option<BucketRecord> = self.record(&keys::bucket(bucket)).await?;
        lost.bucket = record.map(|record| record.name);
        Ok(Some(lost))
    }

    pub(crate) async fn lost_page(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<(Vec<(BlobId, LostRecord)>, Option<BlobId>)> {
        let after = after.map(keys::lost);
        let found = self
            .meta
            .scan(&keys::losts(), after.as_deref(), limit)
            .await?;
        let mut lost = Vec::new();
        for (key, record) in &found.records {
            lost.push((blob_of(key)?, LostRecord::decode(&record.value)?));
        }
        let next = lost.last().map(|(blob, _)| *blob).filter(|_| found.more);
        Ok((lost, next))
    }

    /// Where a job is.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn job(&self, job: Job) -> Result<JobRecord> {
        let record = self.record(&keys::job(job.name())).await?;
        Ok(record.unwrap_or_default())
    }

    /// Changes where a job is.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn change_job<F>(&self, job: Job, change: F) -> Result<JobRecord>
    where
        F: Fn(&mut JobRecord) + Send + 'static,
    {
        self.decide(move |reads| -> Decided<JobRecord> {
            let key = keys::job(job.name());
            let before: Option<JobRecord> = load(reads, &key)?;
            let mut record = before.unwrap_or_default();
            change(&mut record);
            let mut writes = Writes::default();
            if before != Some(record) {
                writes.put(key, &record);
            }
            Ok((writes.finish(BucketId(0), STANDARD), record))
        })
        .await
    }
}

impl Objects {
    /// A commit that changes nothing: what was committed before it is visible after it.
    pub(crate) async fn touch_job(&self, job: Job) -> Result<()> {
        self.decide(move |reads| -> Decided<()> {
            let key = keys::job(job.name());
            let record: JobRecord = load(reads, &key)?.unwrap_or_default();
            let mut writes = Writes::default();
            writes.put(key, &record);
            Ok((writes.finish(BucketId(0), STANDARD), ()))
        })
        .await
    }
}

pub(crate) fn blob_of(key: &[u8]) -> Result<BlobId> {
    keys::reduced_of(key).ok_or_else(|| Error::Corrupt {
        message: "bad key of a blob".into(),
    })
}
