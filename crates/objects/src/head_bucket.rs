//! HeadBucket.

use strongroom_types::BucketName;

use crate::api::BucketInfo;
use crate::error::Result;
use crate::objects::Objects;

impl Objects {
    /// What is known of a bucket.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub async fn head_bucket(&self, bucket: &BucketName) -> Result<BucketInfo> {
        let (_, record) = self.bucket(bucket).await?;
        Ok(BucketInfo {
            name: bucket.clone(),
            owner: record.owner,
            created: record.created,
        })
    }
}
