//! DeleteObject.

use crate::api::{DeleteKey, DeleteObject, DeleteObjectOutput, ObjectVersion};
use crate::decide;
use crate::error::{Error, Result};
use crate::objects::Objects;

impl Objects {
    /// Deletes a key, or one version of it. A key or a version that is not there is a success (VE12, VE15);
    /// in a versioned bucket a key without version id gets a delete marker (VE09).
    ///
    /// # Errors
    /// `NoSuchBucket`, `OperationAborted`, `InvalidArgument` (VE16, OL38), `ObjectLocked` (OL35),
    /// `AccessDenied` (MF02), and those of `if_match`.
    pub async fn delete_object(&self, request: DeleteObject) -> Result<DeleteObjectOutput> {
        let (bucket, _) = self.bucket(&request.bucket).await?;
        let DeleteObject {
            bucket: name,
            key,
            version_id,
            if_match,
            bypass,
        } = request;
        let of = ObjectVersion {
            bucket: name,
            key: key.clone(),
            version_id,
        };
        let keys = [DeleteKey {
            key,
            version_id,
            if_match,
        }];
        let (now, proof) = (self.clock.now(), self.second_factor_of.clone());
        let answers = self
            .decide(move |reads| {
                if version_id.is_some() {
                    decide::demand_for_versions(reads, &bucket, proof.as_ref())?;
                }
                decide::delete(reads, &bucket, &keys, bypass, now)
            })
            .await?;
        let answer = answers.into_iter().next().unwrap_or_else(|| {
            Err(Error::Internal {
                message: "a delete of one key gave no answer".into(),
            })
        });
        let passage = answer.as_ref().map(|deletion| deletion.passage);
        self.record_lock("DeleteObject", &of, passage);
        answer.map(|deletion| deletion.output)
    }
}
