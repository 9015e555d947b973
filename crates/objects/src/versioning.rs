//! GetBucketVersioning and PutBucketVersioning.

use strongroom_types::BucketName;

use crate::decide::{self, VersioningChange};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::{BucketRecord, Versioning, keys};

impl Objects {
    /// The versioning of a bucket.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub async fn bucket_versioning(&self, bucket: &BucketName) -> Result<Versioning> {
        Ok(self.bucket_versioning_state(bucket).await?.0)
    }

    /// The versioning of a bucket, and whether MFA delete is on, if it was ever set (MF01).
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub async fn bucket_versioning_state(
        &self,
        bucket: &BucketName,
    ) -> Result<(Versioning, Option<bool>)> {
        let (bucket, _) = self.bucket(bucket).await?;
        let state: Option<BucketRecord> = self.record(&keys::bucket(bucket.id)).await?;
        // Between the two looks the bucket may have been deleted.
        let state = state.ok_or(Error::NoSuchBucket)?;
        Ok((state.versioning, state.mfa_delete))
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
        let change = VersioningChange {
            versioning,
            mfa_delete: None,
        };
        self.change_bucket_versioning(bucket, change).await
    }

    /// As [`Self::put_bucket_versioning`], and sets MFA delete.
    ///
    /// # Errors
    /// Those, and `AccessDenied` without the second factor that is needed (MF01, MF02).
    pub async fn change_bucket_versioning(
        &self,
        bucket: &BucketName,
        change: VersioningChange,
    ) -> Result<()> {
        let (bucket, _) = self.bucket(bucket).await?;
        let (now, proof) = (self.clock.now(), self.second_factor_of.clone());
        self.decide(move |reads| {
            decide::set_versioning(reads, &bucket, change, proof.as_ref(), now)
        })
        .await
    }
}
