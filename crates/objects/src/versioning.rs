//! GetBucketVersioning and PutBucketVersioning.

use strongroom_types::BucketName;

use crate::decide;
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::{BucketRecord, Versioning, keys};

impl Objects {
    /// The versioning of a bucket.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub async fn bucket_versioning(&self, bucket: &BucketName) -> Result<Versioning> {
        let (bucket, _) = self.bucket(bucket).await?;
        let state: Option<BucketRecord> = self.record(&keys::bucket(bucket.id)).await?;
        // Between the two looks the bucket may have been deleted.
        Ok(state.ok_or(Error::NoSuchBucket)?.versioning)
    }

    /// Enables or suspends versioning. Whatever is committed after this goes by it, also what was
    /// begun before (H12, VE34); no version that is there changes (VE04, VE33).
    ///
    /// # Errors
    /// `NoSuchBucket`, `OperationAborted`, `InvalidRequest`, `InvalidBucketState` (VE32).
    pub async fn put_bucket_versioning(
        &self,
        bucket: &BucketName,
        versioning: Versioning,
    ) -> Result<()> {
        let (bucket, _) = self.bucket(bucket).await?;
        let now = self.clock.now();
        self.decide(move |reads| decide::set_versioning(reads, &bucket, versioning, now))
            .await
    }
}
