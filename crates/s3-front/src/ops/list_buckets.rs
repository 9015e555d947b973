//! ListBuckets (BK07).

use s3s::S3Response;
use s3s::dto::{Bucket, ListBucketsInput, ListBucketsOutput};
use strongroom_objects::{LIST_BUCKETS_PAGE_MAX, ListBuckets, ListBucketsOutput as Page};

use super::{Answer, wire_owner};
use crate::context::ContextRef;
use crate::error::FrontError;
use crate::front::S3Front;
use crate::time_format::wire;

/// ListBuckets.
pub async fn run(
    front: &S3Front,
    context: &ContextRef,
    input: ListBucketsInput,
) -> Answer<ListBucketsOutput> {
    let any_parameter = input.bucket_region.is_some()
        || input.continuation_token.is_some()
        || input.max_buckets.is_some()
        || input.prefix.is_some();
    let elsewhere = input
        .bucket_region
        .as_ref()
        .is_some_and(|region| *region != front.region);
    let request = ListBuckets {
        prefix: input.prefix.clone().unwrap_or_default(),
        continuation_token: input.continuation_token,
        buckets_max: buckets_max(input.max_buckets)?,
    };
    let page = if elsewhere {
        Page::default()
    } else {
        front.objects.list_buckets(request).await?
    };
    let buckets = page.buckets.into_iter().map(|bucket| Bucket {
        bucket_region: any_parameter.then(|| front.region.clone()),
        creation_date: Some(wire(bucket.created)),
        name: Some(bucket.name.to_string()),
    });
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(buckets.collect()),
        continuation_token: page.continuation_token,
        owner: Some(wire_owner(context, &context.caller.owner())),
        prefix: input.prefix,
    }))
}

fn buckets_max(given: Option<i32>) -> Result<u32, FrontError> {
    let Some(number) = given else {
        return Ok(LIST_BUCKETS_PAGE_MAX);
    };
    u32::try_from(number).map_err(|_| {
        let message = format!("max-buckets must be between 1 and {LIST_BUCKETS_PAGE_MAX}");
        FrontError::invalid_argument("max-buckets", number.to_string(), message)
    })
}
