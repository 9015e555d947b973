//! CreateBucket.

use crate::api::CreateBucket;
use crate::decide;
use crate::error::Result;
use crate::objects::Objects;

impl Objects {
    /// Makes an empty bucket that was never versioned.
    ///
    /// # Errors
    /// `BucketAlreadyOwnedByYou`, `BucketAlreadyExists` (BK03), `OperationAborted`.
    pub async fn create_bucket(&self, request: CreateBucket) -> Result<()> {
        let now = self.clock.now();
        self.decide(move |reads| {
            decide::create_bucket(reads, &request.bucket, &request.owner, &request.tags, now)
        })
        .await
    }
}
