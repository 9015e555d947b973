//! GetObjectTagging, PutObjectTagging, DeleteObjectTagging.

use http::header::HeaderValue;
use http::{Response, StatusCode};
use strongroom_objects::{ObjectVersion, Tags};
use strongroom_types::VersionId;

use super::{Answer, Call, empty, read_tagging, tagging};
use crate::convert::{object_key, version_id};
use crate::error::Result;
use crate::response::FrontBody;

fn version(call: &Call<'_>) -> Result<ObjectVersion> {
    Ok(ObjectVersion {
        bucket: call.bucket()?,
        key: object_key(call.target.key.clone().unwrap_or_default())?,
        version_id: version_id(call.target.parameter("versionId"))?,
    })
}

fn with_version(mut response: Response<FrontBody>, id: Option<VersionId>) -> Response<FrontBody> {
    if let Some(value) = id.and_then(|id| HeaderValue::from_str(&id.to_string()).ok()) {
        response.headers_mut().insert("x-amz-version-id", value);
    }
    response
}

/// GetObjectTagging: an object without tags has an empty set.
pub async fn get(call: &Call<'_>) -> Answer {
    let found = call.front.objects.object_tags(version(call)?).await?;
    Ok(with_version(tagging(&found.tags), found.version_id))
}

/// PutObjectTagging: takes the place of all tags there were.
pub async fn put(call: &Call<'_>) -> Answer {
    let of = version(call)?;
    let tags = Tags::of_object(read_tagging(call)?)?;
    let id = call.front.objects.put_object_tags(of, tags).await?;
    Ok(with_version(empty(StatusCode::OK), id))
}

/// DeleteObjectTagging.
pub async fn delete(call: &Call<'_>) -> Answer {
    let objects = &call.front.objects;
    let id = objects
        .put_object_tags(version(call)?, Tags::default())
        .await?;
    Ok(with_version(empty(StatusCode::NO_CONTENT), id))
}
