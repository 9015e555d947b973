//! DeleteBucket: close, look, then remove or reopen (H13).

use strongroom_meta::Stamp;
use strongroom_types::{BucketName, UploadId};

use crate::decide::{self, BucketRef};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::keys;

/// Uploads of one page while a bucket is emptied of them.
const UPLOADS_PAGE: usize = 100;

impl Objects {
    /// Deletes an empty bucket. Uploads in progress do not block it; they are aborted (BK05).
    ///
    /// # Errors
    /// `NoSuchBucket`, `BucketNotEmpty`, `OperationAborted`. When it fails with `Unavailable` the
    /// bucket may stay closed to writers for a minute.
    pub async fn delete_bucket(&self, bucket: &BucketName) -> Result<()> {
        let (bucket, _) = self.bucket(bucket).await?;
        let now = self.clock.now();
        let closing = bucket.clone();
        let token = self
            .decide(move |reads| decide::close_bucket(reads, &closing, now))
            .await?;
        let removed = self.delete_closed_bucket(&bucket, token).await;
        if removed.is_err() {
            // What failed already has an answer; a bucket left closed reopens by itself.
            let reopen = move |reads: &mut dyn strongroom_meta::Reads| {
                decide::reopen_bucket(reads, &bucket, token)
            };
            if let Err(error) = self.decide(reopen).await {
                tracing::warn!(%error, "a bucket that could not be deleted stays closed for now");
            }
        }
        removed
    }

    async fn delete_closed_bucket(&self, bucket: &BucketRef, token: Stamp) -> Result<()> {
        let heads = self.meta.scan(&keys::heads(bucket.id, ""), None, 1).await?;
        if !heads.records.is_empty() {
            return Err(Error::BucketNotEmpty);
        }
        self.abort_uploads(bucket).await?;
        let bucket = bucket.clone();
        self.decide(move |reads| decide::remove_bucket(reads, &bucket, token))
            .await
    }

    async fn abort_uploads(&self, bucket: &BucketRef) -> Result<()> {
        let prefix = keys::uploads(bucket.id, "");
        loop {
            let page = self.meta.scan(&prefix, None, UPLOADS_PAGE).await?;
            if page.records.is_empty() {
                return Ok(());
            }
            for (record_key, _) in &page.records {
                let (key, id) = keys::object_key_of(record_key)
                    .and_then(|(key, id)| Some((key, UploadId(id.try_into().ok()?))))
                    .ok_or_else(|| Error::Corrupt {
                        message: "bad key of an upload".into(),
                    })?;
                match self.abort(bucket, &key, id).await {
                    Ok(()) | Err(Error::NoSuchUpload) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}
