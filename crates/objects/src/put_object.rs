//! PutObject.

use strongroom_types::ObjectKey;

use crate::api::{
    HEADERS_SIZE_BYTES_MAX, METADATA_SIZE_BYTES_MAX, ObjectHeaders, PutObject, PutObjectOutput,
    UserMetadata, WriteConditions,
};
use crate::commit::{BLOB_REWRITES_MAX, CommitError};
use crate::decide::{self, BucketRef, PutCommit, PutDone};
use crate::error::{Error, Result};
use crate::ingest::{self, Ingested};
use crate::objects::Objects;
use crate::records::{CreationRecord, HeadRecord, keys};

impl Objects {
    /// Stores an object. Durable and visible once this returns; nothing is visible before.
    ///
    /// # Errors
    /// `NoSuchBucket`, `OperationAborted`, `PreconditionFailed`, `BadDigest`, `IncompleteBody`,
    /// `ContentSha256Mismatch`, `EntityTooLarge`, `MetadataTooLarge`, `StorageFull`,
    /// `Unavailable` (then the outcome is unknown).
    pub async fn put_object(&self, request: PutObject) -> Result<PutObjectOutput> {
        let (bucket, _) = self.bucket(&request.bucket).await?;
        check_metadata(&request.headers, &request.metadata)?;
        self.check_lock_asked(&bucket, request.lock).await?;
        self.check_early(&bucket, &request.key, &request.conditions)
            .await?;
        let now = self.clock.now();
        let creation = CreationRecord {
            blob: self.new_blob_id(now),
            bucket: bucket.id,
            bucket_name: bucket.name.clone(),
            key: request.key.clone(),
            part: None,
            created: now,
        };
        let kept = ingest::algorithm_kept(&request.content.digests);
        let ingested = self.ingest(request.content, kept, &creation).await?;
        let commit = PutCommit {
            bucket,
            key: request.key,
            content: ingested.content.clone(),
            headers: request.headers,
            metadata: request.metadata,
            tags: request.tags,
            conditions: request.conditions,
            lock: request.lock,
            // The version is as old as its commit, not as the request.
            now: self.clock.now(),
        };
        let last_modified = commit.now;
        let (content, done) = self.commit_put(commit, ingested).await?;
        Ok(PutObjectOutput {
            etag: strongroom_types::ETag::Md5(content.md5),
            version_id: done.version_id,
            checksum: content.checksum,
            size: content.size,
            last_modified,
        })
    }

    /// Refuses before the content is read what the commit would refuse after it. The commit
    /// decides.
    ///
    /// It takes no reference to the request: content is not `Sync`, and the future must be `Send`.
    async fn check_early(
        &self,
        bucket: &BucketRef,
        key: &ObjectKey,
        conditions: &WriteConditions,
    ) -> Result<()> {
        if *conditions == WriteConditions::default() {
            return Ok(());
        }
        let head: Option<HeadRecord> = self.record(&keys::head(bucket.id, key)).await?;
        let listed = head.and_then(|head| head.listed);
        decide::check_write(conditions, listed.as_ref().map(|listed| &listed.etag))
    }

    /// Commits a put, writing its bytes anew when disks went out since they were synced (H10).
    pub(crate) async fn commit_put(
        &self,
        mut commit: PutCommit,
        mut ingested: Ingested,
    ) -> Result<(decide::NewContent, PutDone)> {
        for _ in 0..=BLOB_REWRITES_MAX {
            commit.content = ingested.content.clone();
            let durable = ingested.durable.clone().into_iter().collect();
            let attempt = commit.clone();
            match self
                .commit(durable, move |reads| decide::put(reads, &attempt))
                .await
            {
                Ok(done) => return Ok((ingested.content, done)),
                Err(CommitError::BlobLost) => self.rewrite(&mut ingested).await?,
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(CommitError::BlobLost.into())
    }
}

/// LI01.
pub(crate) fn check_metadata(headers: &ObjectHeaders, metadata: &UserMetadata) -> Result<()> {
    let size: usize = metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size > METADATA_SIZE_BYTES_MAX {
        return Err(Error::MetadataTooLarge {
            size,
            size_max: METADATA_SIZE_BYTES_MAX,
        });
    }
    let headers = [
        &headers.content_type,
        &headers.content_encoding,
        &headers.content_language,
        &headers.content_disposition,
        &headers.cache_control,
        &headers.expires,
        &headers.website_redirect_location,
    ];
    let size: usize = headers.into_iter().flatten().map(String::len).sum();
    if size > HEADERS_SIZE_BYTES_MAX {
        return Err(Error::MetadataTooLarge {
            size,
            size_max: HEADERS_SIZE_BYTES_MAX,
        });
    }
    Ok(())
}
