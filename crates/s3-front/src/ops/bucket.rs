//! HeadBucket, DeleteBucket, GetBucketLocation.

use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::S3Response;
use s3s::dto::*;

use super::Answer;
use crate::context::ContextRef;
use crate::convert::bucket_name;
use crate::front::S3Front;

/// HeadBucket: whether it is there, and where (BK08).
pub async fn head(
    front: &S3Front,
    _context: &ContextRef,
    input: HeadBucketInput,
) -> Answer<HeadBucketOutput> {
    let bucket = bucket_name(input.bucket)?;
    front.objects.head_bucket(&bucket).await?;
    let output = HeadBucketOutput {
        bucket_region: Some(front.region.clone()),
        ..HeadBucketOutput::default()
    };
    let mut headers = HeaderMap::new();
    if let Ok(arn) = HeaderValue::from_str(&format!("arn:aws:s3:::{bucket}")) {
        headers.insert(HeaderName::from_static("x-amz-bucket-arn"), arn);
    }
    Ok(S3Response::with_headers(output, headers))
}

/// DeleteBucket.
pub async fn delete(
    front: &S3Front,
    _context: &ContextRef,
    input: DeleteBucketInput,
) -> Answer<DeleteBucketOutput> {
    front
        .objects
        .delete_bucket(&bucket_name(input.bucket)?)
        .await?;
    Ok(S3Response::new(DeleteBucketOutput::default()))
}

/// GetBucketLocation: empty for `us-east-1`, as S3 has it.
pub async fn location(
    front: &S3Front,
    _context: &ContextRef,
    input: GetBucketLocationInput,
) -> Answer<GetBucketLocationOutput> {
    front
        .objects
        .head_bucket(&bucket_name(input.bucket)?)
        .await?;
    let region = Some(front.region.clone()).filter(|region| region != "us-east-1");
    Ok(S3Response::new(GetBucketLocationOutput {
        location_constraint: region.map(BucketLocationConstraint::from),
    }))
}
