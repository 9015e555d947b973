//! Uploads in progress with what their parts hold, and the abort of those that were forgotten.
//!
//! Clients that die leave uploads behind, and their parts take space for ever. What one call does
//! is bounded by the records it looks at, not by what is stored.

use strongroom_base::Timestamp;
use strongroom_types::{BucketName, ObjectKey, UploadId};

use crate::api::{AbortUpload, LIST_PAGE_MAX, ListUploads, ListedUpload};
use crate::decide::BucketRef;
use crate::error::{Error, Result};
use crate::listing::SCAN_PAGE;
use crate::objects::Objects;
use crate::records::{PartRecord, RecordFormat, UploadRecord, keys};

/// Part records one call reads before it ends its page: as many as one upload may have. An upload
/// is never told of in half, so a call reads fewer than twice as many.
const PARTS_SCANNED_MAX: u64 = 10_000;

/// An upload and what it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UploadUsage {
    pub key: ObjectKey,
    pub upload_id: UploadId,
    pub initiated: Timestamp,
    pub parts: u64,
    pub bytes: u64,
}

/// Which uploads to tell of, or to abort.
#[derive(Clone, Debug)]
pub struct ListUploadUsage {
    pub bucket: BucketName,
    pub prefix: String,
    /// Only what follows this place.
    pub after: Option<(ObjectKey, UploadId)>,
    /// Capped at [`LIST_PAGE_MAX`].
    pub uploads_max: u32,
}

/// A page of uploads, in the order of their keys and then of their start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListUploadUsageOutput {
    pub uploads: Vec<UploadUsage>,
    /// Where the next page starts, when there are more.
    pub next: Option<(ObjectKey, UploadId)>,
}

/// What one call of [`Objects::abort_uploads_older`] did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AbortedUploads {
    /// Uploads looked at.
    pub examined: u64,
    /// Uploads aborted.
    pub aborted: u64,
    /// Their parts.
    pub parts: u64,
    /// Bytes of their parts.
    pub bytes: u64,
    /// Where to go on, when there are more to look at.
    pub next: Option<(ObjectKey, UploadId)>,
}

impl Objects {
    /// A page of the uploads in progress with the number and bytes of their parts.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub async fn list_upload_usage(
        &self,
        request: ListUploadUsage,
    ) -> Result<ListUploadUsageOutput> {
        let (bucket, _) = self.bucket(&request.bucket).await?;
        let page = self.uploads_page(request).await?;
        let mut output = ListUploadUsageOutput::default();
        let mut scanned = 0;
        for upload in page.uploads {
            if scanned >= PARTS_SCANNED_MAX {
                output.next = place_of(&output.uploads);
                return Ok(output);
            }
            let usage = self.upload_usage(&bucket, upload).await?;
            scanned += usage.parts;
            output.uploads.push(usage);
        }
        output.next = page.more.then(|| place_of(&output.uploads)).flatten();
        Ok(output)
    }

    /// As [`Objects::abort_upload`], and says what it removed.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchUpload`, `OperationAborted`.
    pub async fn abort_upload_counted(&self, request: AbortUpload) -> Result<AbortedUploads> {
        let (bucket, _) = self.bucket(&request.bucket).await?;
        let upload_key = keys::upload(bucket.id, &request.key, request.upload_id);
        let record: Option<UploadRecord> = self.record(&upload_key).await?;
        record.ok_or(Error::NoSuchUpload)?;
        let (parts, bytes) = self.parts_usage(&bucket, request.upload_id).await?;
        self.abort(&bucket, &request.key, request.upload_id).await?;
        Ok(AbortedUploads {
            examined: 1,
            aborted: 1,
            parts,
            bytes,
            next: None,
        })
    }

    /// Aborts the uploads of a page that were started before `before`.
    ///
    /// # Errors
    /// `NoSuchBucket`. What was aborted before an error stays aborted.
    pub async fn abort_uploads_older(
        &self,
        request: ListUploadUsage,
        before: Timestamp,
    ) -> Result<AbortedUploads> {
        let (bucket, _) = self.bucket(&request.bucket).await?;
        let page = self.uploads_page(request).await?;
        let mut done = AbortedUploads::default();
        let mut last = None;
        let mut more = page.more;
        for upload in page.uploads {
            if done.parts >= PARTS_SCANNED_MAX {
                more = true;
                break;
            }
            done.examined += 1;
            last = Some((upload.key.clone(), upload.upload_id));
            if upload.initiated >= before {
                continue;
            }
            let usage = self.upload_usage(&bucket, upload).await?;
            match self.abort(&bucket, &usage.key, usage.upload_id).await {
                Ok(()) => {
                    done.aborted += 1;
                    done.parts += usage.parts;
                    done.bytes += usage.bytes;
                }
                // Its client completed or aborted it first, or is completing it now.
                Err(Error::NoSuchUpload | Error::OperationAborted) => {}
                Err(error) => return Err(error),
            }
        }
        done.next = last.filter(|_| more);
        Ok(done)
    }

    async fn uploads_page(&self, request: ListUploadUsage) -> Result<UploadsPage> {
        let (key_marker, upload_id_marker) = match request.after {
            Some((key, id)) => (key.as_str().to_owned(), Some(id)),
            None => (String::new(), None),
        };
        let page = self
            .list_uploads(ListUploads {
                bucket: request.bucket,
                prefix: request.prefix,
                delimiter: None,
                key_marker,
                upload_id_marker,
                uploads_max: request.uploads_max.clamp(1, LIST_PAGE_MAX),
            })
            .await?;
        Ok(UploadsPage {
            more: page.next.is_some(),
            uploads: page.uploads,
        })
    }

    async fn upload_usage(&self, bucket: &BucketRef, upload: ListedUpload) -> Result<UploadUsage> {
        let (parts, bytes) = self.parts_usage(bucket, upload.upload_id).await?;
        Ok(UploadUsage {
            key: upload.key,
            upload_id: upload.upload_id,
            initiated: upload.initiated,
            parts,
            bytes,
        })
    }

    /// How many parts an upload has, and their bytes.
    async fn parts_usage(&self, bucket: &BucketRef, upload: UploadId) -> Result<(u64, u64)> {
        let prefix = keys::parts(bucket.id, upload);
        let (mut parts, mut bytes) = (0, 0);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.meta.scan(&prefix, after.as_deref(), SCAN_PAGE).await?;
            for (_, record) in &page.records {
                parts += 1;
                bytes += PartRecord::decode(&record.value)?.size;
            }
            after = page.records.last().map(|(key, _)| key.clone());
            if !page.more {
                return Ok((parts, bytes));
            }
        }
    }
}

struct UploadsPage {
    uploads: Vec<ListedUpload>,
    more: bool,
}

fn place_of(uploads: &[UploadUsage]) -> Option<(ObjectKey, UploadId)> {
    let last = uploads.last()?;
    Some((last.key.clone(), last.upload_id))
}
