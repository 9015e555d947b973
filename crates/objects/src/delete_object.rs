//! DeleteObject.

use crate::api::{DeleteKey, DeleteObject, DeleteObjectOutput};
use crate::decide;
use crate::error::{Error, Result};
use crate::objects::Objects;

impl Objects {
    /// Deletes a key, or one version of it. A key or a version that is not there is a success (VE12, VE15);
    /// in a versioned bucket a key without version id gets a delete marker (VE09).
    ///
    /// # Errors
    /// `NoSuchBucket`, `OperationAborted`, `InvalidArgument` (VE16), and those of `if_match`.
    pub async fn delete_object(&self, request: DeleteObject) -> Result<DeleteObjectOutput> {
        let (bucket, _) = self.bucket(&request.bucket).await?;
        let DeleteObject {
            key,
            version_id,
            if_match,
            ..
        } = request;
        let keys = [DeleteKey {
            key,
            version_id,
            if_match,
        }];
        let now = self.clock.now();
        let answers = self
            .decide(move |reads| decide::delete(reads, &bucket, &keys, now))
            .await?;
        let answer = answers
            .into_iter()
            .next()
            .map(|answer| answer.map(|deletion| deletion.output));
        answer.unwrap_or_else(|| {
            Err(Error::Internal {
                message: "a delete of one key gave no answer".into(),
            })
        })
    }
}
