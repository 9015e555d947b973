//! ListBuckets.

use strongroom_types::BucketName;

use crate::api::{BucketInfo, LIST_BUCKETS_PAGE_MAX, ListBuckets, ListBucketsOutput};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::{BucketNameRecord, RecordFormat, keys};
use crate::token;

impl Objects {
    /// A page of the buckets this handle reaches, in order of their names. Buckets of others are
    /// read and passed over: there is no index of buckets by owner.
    ///
    /// # Errors
    /// `InvalidArgument` (BK07).
    pub async fn list_buckets(&self, request: ListBuckets) -> Result<ListBucketsOutput> {
        if !(1..=LIST_BUCKETS_PAGE_MAX).contains(&request.buckets_max) {
            let message = "must be between 1 and 10000";
            let value = request.buckets_max.to_string();
            return Err(Error::invalid_argument("max-buckets", value, message));
        }
        let mut after = match &request.continuation_token {
            None => None,
            Some(token) => {
                let name =
                    BucketName::new(token::read(token)?).map_err(|_| token::invalid(token))?;
                Some(keys::bucket_name(&name))
            }
        };
        let prefix = keys::bucket_names(&request.prefix);
        let buckets_max = request.buckets_max as usize;
        let mut output = ListBucketsOutput::default();
        loop {
            let page = self
                .meta
                .scan(&prefix, after.as_deref(), SCAN_RECORDS_MAX)
                .await?;
            for (key, record) in &page.records {
                let record = BucketNameRecord::decode(&record.value)?;
                if !self.reaches(&record) {
                    continue;
                }
                if output.buckets.len() == buckets_max {
                    let last = output.buckets.last();
                    output.continuation_token =
                        last.map(|bucket| token::write(bucket.name.as_str()));
                    return Ok(output);
                }
                output.buckets.push(info(key, record)?);
            }
            match page.records.last() {
                Some((key, _)) if page.more => after = Some(key.clone()),
                _ => return Ok(output),
            }
        }
    }
}

/// Names read at once: bounds the memory of a list among many buckets of others.
const SCAN_RECORDS_MAX: usize = 1000;

fn info(key: &[u8], record: BucketNameRecord) -> Result<BucketInfo> {
    let name = keys::bucket_name_of(key).ok_or_else(|| Error::Corrupt {
        message: "a bucket has a name that is none".into(),
    })?;
    Ok(BucketInfo {
        name,
        owner: record.owner,
        created: record.created,
    })
}
