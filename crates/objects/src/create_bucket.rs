//! CreateBucket.

use crate::api::CreateBucket;
use crate::decide;
use crate::error::Result;
use crate::objects::Objects;

impl Objects {
    /// Makes an empty bucket, never versioned; or with Object Lock, and then versioned for good (BK02).
    ///
    /// # Errors
    /// `BucketAlreadyOwnedByYou`, `BucketAlreadyExists` (BK03), `OperationAborted`.
    pub async fn create_bucket(&self, request: CreateBucket) -> Result<()> {
        let now = self.clock.now();
        self.decide(move |reads| {
            let (bucket, owner, tags) = (&request.bucket, &request.owner, &request.tags);
            decide::create_bucket(reads, bucket, owner, tags, request.lock_enabled, now)
        })
        .await
    }
}
