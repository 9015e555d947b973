//! AbortMultipartUpload.

use strongroom_types::{ObjectKey, UploadId};

use crate::api::AbortUpload;
use crate::decide::{self, BucketRef, ClosedUpload};
use crate::error::{Error, Result};
use crate::objects::Objects;

/// How often an abort begins again because a Complete that failed reopened the upload under it.
const ABORT_ATTEMPTS_MAX: u32 = 4;

impl Objects {
    /// Removes an upload and all its parts.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchUpload`, `OperationAborted`.
    pub async fn abort_upload(&self, request: AbortUpload) -> Result<()> {
        let (bucket, _) = self.bucket(&request.bucket).await?;
        self.abort(&bucket, &request.key, request.upload_id).await
    }

    pub(crate) async fn abort(
        &self,
        bucket: &BucketRef,
        key: &ObjectKey,
        id: UploadId,
    ) -> Result<()> {
        for _ in 0..ABORT_ATTEMPTS_MAX {
            let token = match self.close_upload(bucket, key, id).await? {
                ClosedUpload::Done(_) => return Err(Error::NoSuchUpload),
                ClosedUpload::Closed { token, .. } => token,
            };
            let parts = self.stored_parts(bucket, id).await?;
            let (bucket, key) = (bucket.clone(), key.clone());
            let aborted = self
                .decide(move |reads| decide::abort_upload(reads, &bucket, &key, id, token, &parts))
                .await;
            match aborted {
                Err(Error::OperationAborted) => {}
                aborted => return aborted,
            }
        }
        Err(Error::OperationAborted)
    }
}
