//! ListBuckets.

use strongroom_types::BucketName;

use crate::api::{BucketInfo, LIST_BUCKETS_PAGE_MAX, ListBuckets, ListBucketsOutput};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::{BucketNameRecord, RecordFormat, keys};
use crate::token;

impl Objects {
    /// A page of all buckets, in order of their names.
    ///
    /// # Errors
    /// `InvalidArgument` (BK07).
    pub async fn list_buckets(&self, request: ListBuckets) -> Result<ListBucketsOutput> {
        if !(1..=LIST_BUCKETS_PAGE_MAX).contains(&request.buckets_max) {
            let message = "must be between 1 and 10000";
            let value = request.buckets_max.to_string();
            return Err(Error::invalid_argument("max-buckets", value, message));
        }
        let after = match &request.continuation_token {
            None => None,
            Some(token) => {
                let name =
                    BucketName::new(token::read(token)?).map_err(|_| token::invalid(token))?;
                Some(keys::bucket_name(&name))
            }
        };
        let prefix = keys::bucket_names(&request.prefix);
        let limit = request.buckets_max as usize;
        let page = self.meta.scan(&prefix, after.as_deref(), limit).await?;
        let mut output = ListBucketsOutput::default();
        for (key, record) in &page.records {
            let name = keys::bucket_name_of(key).ok_or_else(|| Error::Corrupt {
                message: "a bucket has a name that is none".into(),
            })?;
            let record = BucketNameRecord::decode(&record.value)?;
            output.buckets.push(BucketInfo {
                name,
                owner: record.owner,
                created: record.created,
            });
        }
        if page.more {
            let last = output.buckets.last();
            output.continuation_token = last.map(|bucket| token::write(bucket.name.as_str()));
        }
        Ok(output)
    }
}
