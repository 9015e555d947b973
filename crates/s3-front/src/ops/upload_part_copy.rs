//! UploadPartCopy: a part whose content is a range of another object.
//!
//! The domain reads one object and stores one part; here the one's content becomes the other's.

use s3s::S3Response;
use s3s::dto::{CopyPartResult, UploadPartCopyInput, UploadPartCopyOutput};
use strongroom_objects::{
    ByteRange, Condition, Content, Error, GetObject, GetObjectOutput, Objects, UploadPart,
};
use strongroom_types::BucketName;

use super::Answer;
use crate::context::{ContextRef, RequestContext};
use crate::convert::{
    bucket_name, object_key, part_number, read_conditions, set_checksum, upload_id, wire_etag,
};
use crate::copy_source::CopySource;
use crate::error::{FrontError, Result};
use crate::front::S3Front;
use crate::time_format::wire;

/// UploadPartCopy.
pub async fn run(
    front: &S3Front,
    context: &ContextRef,
    input: UploadPartCopyInput,
) -> Answer<UploadPartCopyOutput> {
    let source = CopySource::of(context)?;
    let mut request = GetObject::new(source.bucket.clone(), source.key.clone());
    request.version_id = source.version_id;
    request.conditions = read_conditions(context, "x-amz-copy-source-");
    let range = source_range(context)?;
    request.range = range.map(|(first, last)| ByteRange::From {
        first,
        last: Some(last),
    });
    let (bucket, key) = (bucket_name(input.bucket)?, object_key(input.key)?);
    let (upload_id, part_number) = (
        upload_id(&input.upload_id)?,
        part_number(input.part_number)?,
    );
    let GetObjectOutput { head, content } = match front.objects.get_object(request).await {
        Ok(got) => got,
        Err(error) => {
            return Err(of_source(&source, error, &front.objects, &bucket).await);
        }
    };
    if range.is_some_and(|(_, last)| last >= head.info.size) {
        return Err(bad_range(context, "the range ends after the source object"));
    }
    let size = head.range.end - head.range.start;
    let part = UploadPart {
        bucket,
        key,
        upload_id,
        part_number,
        content: Content::new(content, size),
    };
    let part = front.objects.upload_part(part).await?;
    let mut result = CopyPartResult {
        e_tag: Some(wire_etag(part.etag)),
        last_modified: Some(wire(front.clock.now())),
        ..CopyPartResult::default()
    };
    set_checksum!(result, &part.checksum);
    Ok(S3Response::new(UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: head.info.version_id.map(|id| id.to_string()),
        ..UploadPartCopyOutput::default()
    }))
}

/// `bytes=first-last`, the one form a copy takes; another is an error here and not ignored.
fn source_range(context: &RequestContext) -> Result<Option<(u64, u64)>> {
    let Some(text) = context.header(SOURCE_RANGE) else {
        return Ok(None);
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| digits(text));
    let ends = text
        .strip_prefix("bytes=")
        .and_then(|ends| ends.split_once('-'));
    let range = ends.and_then(|(first, last)| Some((number(first)?, number(last)?)));
    range
        .filter(|(first, last)| first <= last)
        .map(Some)
        .ok_or_else(|| bad_range(context, "the range must be of the form bytes=first-last"))
}

const SOURCE_RANGE: &str = "x-amz-copy-source-range";

fn bad_range(context: &RequestContext, message: &str) -> FrontError {
    let value = context.header(SOURCE_RANGE).unwrap_or_default();
    FrontError::invalid_argument(SOURCE_RANGE, value, message)
}

/// A condition on the source that fails is a failed precondition, whichever it is (CO11).
async fn of_source(
    source: &CopySource,
    error: Error,
    objects: &Objects,
    bucket: &BucketName,
) -> FrontError {
    let condition = match error {
        Error::NotModified { .. } => Condition::CopySourceIfNoneMatch,
        Error::PreconditionFailed { condition } => match condition {
            Condition::IfUnmodifiedSince => Condition::CopySourceIfUnmodifiedSince,
            _ => Condition::CopySourceIfMatch,
        },
        Error::MethodNotAllowed { .. } => {
            return FrontError::invalid_request("the source of a copy may not be a delete marker");
        }
        error => return source.blamed(error, objects, bucket).await,
    };
    Error::PreconditionFailed { condition }.into()
}
