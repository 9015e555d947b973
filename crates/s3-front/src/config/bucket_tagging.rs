//! GetBucketTagging and PutBucketTagging.

use http::StatusCode;
use strongroom_objects::Tags;

use super::{Answer, Call, empty, read_tagging, tagging};

/// GetBucketTagging.
pub async fn get(call: &Call<'_>) -> Answer {
    let bucket = call.bucket()?;
    let tags = call.front.objects.bucket_config::<Tags>(&bucket).await?;
    Ok(tagging(&tags))
}

/// PutBucketTagging: takes the place of all tags there were.
pub async fn put(call: &Call<'_>) -> Answer {
    let bucket = call.bucket()?;
    let tags = Tags::of_bucket(read_tagging(call)?)?;
    call.front.objects.put_bucket_config(&bucket, tags).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
