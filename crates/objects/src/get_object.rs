//! GetObject.

use crate::api::{GetObject, GetObjectOutput};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::read::READ_ATTEMPTS_MAX;

impl Objects {
    /// Metadata and bytes of the current version, or of one by id.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`, `NoSuchVersion`, `MethodNotAllowed`, `PreconditionFailed`,
    /// `NotModified`, `InvalidRange`, `InvalidPartNumber`, `InvalidRequest`, `InvalidArgument`,
    /// `Unavailable`, `Corrupt`.
    pub async fn get_object(&self, request: GetObject) -> Result<GetObjectOutput> {
        let (bucket, name) = self.bucket(&request.bucket).await?;
        for _ in 0..READ_ATTEMPTS_MAX {
            let id = request.version_id;
            let found = self.find(&bucket, name.versioned, &request.key, id).await?;
            let Some(head) = self.describe(&request, &found).await? else {
                continue;
            };
            if let Some(content) = self.open(&found, head.range.clone()).await? {
                return Ok(GetObjectOutput { head, content });
            }
        }
        Err(Error::Corrupt {
            message: format!("a blob of {} has no record", request.key),
        })
    }
}
