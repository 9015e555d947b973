//! CompleteMultipartUpload, in two steps: close the upload so that its parts stand still, then
//! read them and make the version (H27).
//!
//! What fails in between reopens the upload. A crash leaves it closed: the client's next Complete
//! finds it so and goes on, its Abort too, and an UploadPart reopens it after a minute.

use strongroom_meta::{Reads, Stamp};
use strongroom_types::{ObjectKey, UploadId};

use crate::api::{CompleteUpload, CompleteUploadOutput};
use crate::decide::{
    self, BucketRef, ClosedUpload, CompleteCommit, CompleteRequest, Completed, StoredPart,
};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::{PartRecord, RecordFormat, UploadRecord, keys};

/// How often a Complete begins again because another reopened the upload under it.
const COMPLETE_ATTEMPTS_MAX: u32 = 4;

impl Objects {
    /// Makes an object of the listed parts. Repeating it after it succeeded gives the same answer,
    /// as long as the object is current.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchUpload`, `InvalidPart`, `InvalidPartOrder`, `EntityTooSmall`,
    /// `EntityTooLarge`, `InvalidRequest`, `BadDigest`, `PreconditionFailed`, `OperationAborted`.
    pub async fn complete_upload(&self, request: CompleteUpload) -> Result<CompleteUploadOutput> {
        let (bucket, _) = self.bucket(&request.bucket).await?;
        let asked = CompleteRequest {
            parts: request.parts,
            checksum: request.checksum,
            checksum_type: request.checksum_type,
            object_size: request.object_size,
        };
        let (key, id) = (request.key, request.upload_id);
        for _ in 0..COMPLETE_ATTEMPTS_MAX {
            let (record, token) = match self.close_upload(&bucket, &key, id).await? {
                ClosedUpload::Done(completed) => return Ok(output(completed)),
                ClosedUpload::Closed { record, token } => (record, token),
            };
            let commit = CompleteCommitBase {
                bucket: &bucket,
                key: &key,
                id,
                token,
            };
            match self
                .complete_closed(&commit, &asked, &record, &request.conditions)
                .await
            {
                Ok(completed) => return Ok(output(completed)),
                Err(Error::OperationAborted | Error::NoSuchUpload) => {}
                Err(error) => {
                    if self.reopen_upload(&commit, &error).await {
                        return Err(error);
                    }
                }
            }
        }
        Err(Error::OperationAborted)
    }

    pub(crate) async fn close_upload(
        &self,
        bucket: &BucketRef,
        key: &ObjectKey,
        id: UploadId,
    ) -> Result<ClosedUpload> {
        let (bucket, key, now) = (bucket.clone(), key.clone(), self.clock.now());
        self.decide(move |reads| decide::close_upload(reads, &bucket, &key, id, now))
            .await
    }

    async fn complete_closed(
        &self,
        base: &CompleteCommitBase<'_>,
        asked: &CompleteRequest,
        record: &UploadRecord,
        conditions: &crate::api::WriteConditions,
    ) -> Result<Completed> {
        let stored = self.stored_parts(base.bucket, base.id).await?;
        let size_min = self.settings.part_size_bytes_min;
        let assembled = decide::assemble(asked, record, &stored, size_min)?;
        let commit = CompleteCommit {
            bucket: base.bucket.clone(),
            key: base.key.clone(),
            upload: base.id,
            token: base.token,
            assembled,
            stored,
            conditions: conditions.clone(),
            now: self.clock.now(),
        };
        self.decide(move |reads| decide::finish_complete(reads, &commit))
            .await
    }

    /// Reopens after a failure. When the outcome is unknown the upload stays closed: it may be
    /// completed. Answers whether the failure stands: one that was judged by parts which another
    /// Complete or an Abort was taking away says nothing.
    async fn reopen_upload(&self, base: &CompleteCommitBase<'_>, why: &Error) -> bool {
        if matches!(why, Error::Unavailable { .. }) {
            return true;
        }
        let (bucket, key, id, token) = (base.bucket.clone(), base.key.clone(), base.id, base.token);
        let reopen =
            move |reads: &mut dyn Reads| decide::reopen_upload(reads, &bucket, &key, id, token);
        match self.decide(reopen).await {
            Ok(held) => held,
            Err(error) => {
                tracing::warn!(%error, "an upload that could not be completed stays closed for now");
                true
            }
        }
    }

    /// All parts of an upload, in order. Only of a closed one do they stand still.
    pub(crate) async fn stored_parts(
        &self,
        bucket: &BucketRef,
        id: UploadId,
    ) -> Result<Vec<StoredPart>> {
        let prefix = keys::parts(bucket.id, id);
        let mut parts = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self
                .meta
                .scan(&prefix, after.as_deref(), strongroom_meta::SCAN_LIMIT_MAX)
                .await?;
            for (key, record) in &page.records {
                let number = keys::part_number_of(key).ok_or_else(|| Error::Corrupt {
                    message: "bad key of a part".into(),
                })?;
                parts.push(StoredPart {
                    number,
                    record: PartRecord::decode(&record.value)?,
                });
            }
            after = page.records.last().map(|(key, _)| key.clone());
            if !page.more || after.is_none() {
                return Ok(parts);
            }
        }
    }
}

/// The upload a Complete is about, closed with `token`.
struct CompleteCommitBase<'a> {
    bucket: &'a BucketRef,
    key: &'a ObjectKey,
    id: UploadId,
    token: Stamp,
}

fn output(completed: Completed) -> CompleteUploadOutput {
    let Completed {
        etag,
        checksum,
        size,
        version_id,
    } = completed;
    CompleteUploadOutput {
        etag,
        version_id,
        checksum,
        size,
    }
}
