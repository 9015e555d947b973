//! What buckets hold: read from the counters their commits keep, so that asking costs one record a
//! bucket, whatever it holds.

use strongroom_types::BucketName;

use crate::api::{BucketInfo, LIST_PAGE_MAX, ListBuckets};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::usage::{BYTES, COUNT, MARKERS, OBJECTS, PART_BYTES, PARTS, UPLOADS};
use crate::records::{BucketId, STANDARD, keys};
use crate::token;

/// A bucket and its counters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BucketUsage {
    pub info: BucketInfo,
    /// Versions that are objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    pub delete_markers: u64,
    /// Multipart uploads in progress.
    pub uploads: u64,
    /// Their parts.
    pub upload_parts: u64,
    /// Bytes of their parts.
    pub upload_bytes: u64,
}

/// Which buckets to tell of.
#[derive(Clone, Debug, Default)]
pub struct ListBucketUsage {
    pub prefix: String,
    /// Buckets with a greater name only.
    pub after: Option<BucketName>,
    /// Capped at [`LIST_PAGE_MAX`].
    pub buckets_max: u32,
}

/// A page of buckets in the order of their names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListBucketUsageOutput {
    pub buckets: Vec<BucketUsage>,
    /// The last bucket looked at, when there are more.
    pub next: Option<BucketName>,
}

impl Objects {
    /// The counters of one bucket: what a recount would give at one moment of the call.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub async fn bucket_usage(&self, name: &BucketName) -> Result<BucketUsage> {
        let (bucket, record) = self.bucket(name).await?;
        let info = BucketInfo {
            name: bucket.name,
            owner: record.owner,
            created: record.created,
        };
        self.usage_of(info, bucket.id).await
    }

    /// A page of all buckets with their counters. Each bucket's counters are exact; those of two
    /// buckets may be of two moments.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn list_bucket_usage(
        &self,
        request: ListBucketUsage,
    ) -> Result<ListBucketUsageOutput> {
        let list = ListBuckets {
            prefix: request.prefix,
            continuation_token: request.after.map(|name| token::write(name.as_str())),
            buckets_max: request.buckets_max.clamp(1, LIST_PAGE_MAX),
        };
        let page = self.list_buckets(list).await?;
        let mut output = ListBucketUsageOutput {
            buckets: Vec::new(),
            next: None,
        };
        if page.continuation_token.is_some() {
            output.next = page.buckets.last().map(|info| info.name.clone());
        }
        for info in page.buckets {
            match self.bucket(&info.name).await {
                Ok((bucket, _)) => output.buckets.push(self.usage_of(info, bucket.id).await?),
                // Deleted since the page was read.
                Err(Error::NoSuchBucket) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(output)
    }

    async fn usage_of(&self, info: BucketInfo, id: BucketId) -> Result<BucketUsage> {
        let record = self.meta.get(&keys::usage(id, STANDARD)).await?;
        let value = record.map(|record| record.value).unwrap_or_default();
        let mut counters = strongroom_meta::resolve::counters(&value)?;
        counters.resize(COUNT, 0);
        let counter = |index: usize| u64::try_from(counters[index]).unwrap_or(0);
        Ok(BucketUsage {
            info,
            objects: counter(OBJECTS),
            bytes: counter(BYTES),
            delete_markers: counter(MARKERS),
            uploads: counter(UPLOADS),
            upload_parts: counter(PARTS),
            upload_bytes: counter(PART_BYTES),
        })
    }
}
