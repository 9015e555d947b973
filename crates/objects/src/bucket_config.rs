//! Configurations of a bucket: put, read and delete one by its kind.
//!
//! A configuration is a record of its own and not part of the bucket's, so that the record every
//! commit reads stays small (RFC 0005). It belongs to the bucket's id: a bucket made again under the
//! same name begins without (BK06).

use strongroom_types::BucketName;

use crate::decide;
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::{BucketConfig, keys};

impl Objects {
    /// Reads a configuration.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchConfiguration`.
    pub async fn bucket_config<C: BucketConfig>(&self, bucket: &BucketName) -> Result<C> {
        let (bucket, _) = self.bucket(bucket).await?;
        let config = self.record(&keys::config(bucket.id, C::KIND)).await?;
        config.ok_or(Error::NoSuchConfiguration { kind: C::KIND })
    }

    /// Stores a configuration in place of the one before. Durable and in force once this returns.
    ///
    /// # Errors
    /// `NoSuchBucket`, `OperationAborted`, and what the configuration's own check says.
    pub async fn put_bucket_config<C>(&self, bucket: &BucketName, config: C) -> Result<()>
    where
        C: BucketConfig + Send + 'static,
    {
        config.check()?;
        let (bucket, _) = self.bucket(bucket).await?;
        let now = self.clock.now();
        self.decide(move |reads| decide::put_config(reads, &bucket, &config, now))
            .await
    }

    /// Deletes a configuration. One that is not there is no error.
    ///
    /// # Errors
    /// `NoSuchBucket`, `OperationAborted`.
    pub async fn delete_bucket_config<C: BucketConfig>(&self, bucket: &BucketName) -> Result<()> {
        let (bucket, _) = self.bucket(bucket).await?;
        let now = self.clock.now();
        self.decide(move |reads| decide::delete_config(reads, &bucket, C::KIND, now))
            .await
    }
}
