//! PutObject.

use s3s::S3Response;
use s3s::dto::{PutObjectInput, PutObjectOutput};
use strongroom_objects::{Lock, PutObject};
use strongroom_types::{BucketName, ChecksumType};

use super::Answer;
use crate::context::ContextRef;
use crate::convert::{
    bucket_name, content, object_headers, object_key, set_checksum, tags_header, user_metadata,
    wire_checksum_type, wire_etag, write_conditions,
};
use crate::digests::{self, parse_type};
use crate::error::{FrontError, Result};
use crate::front::S3Front;
use crate::lock_headers::lock_asked;

/// PutObject: streams the content to the domain, which commits it once all digests hold.
pub async fn run(
    front: &S3Front,
    context: &ContextRef,
    input: PutObjectInput,
) -> Answer<PutObjectOutput> {
    let kind = context.header("x-amz-checksum-type").map(parse_type);
    if kind.transpose()? == Some(ChecksumType::Composite) {
        let message = "an object that is not made of parts has a checksum of type FULL_OBJECT";
        return Err(FrontError::invalid_request(message));
    }
    let request = PutObject {
        bucket: bucket_name(input.bucket)?,
        key: object_key(input.key)?,
        content: content(context, input.body)?,
        headers: object_headers(context)?,
        metadata: user_metadata(input.metadata),
        tags: tags_header(context)?,
        conditions: write_conditions(context),
        lock: lock_asked(context)?,
    };
    demand_digest(front, context, &request.bucket, request.lock).await?;
    let put = front.objects.put_object(request).await?;
    let mut output = PutObjectOutput {
        e_tag: Some(wire_etag(put.etag)),
        version_id: put.version_id.map(|id| id.to_string()),
        checksum_type: Some(wire_checksum_type(&put.checksum)),
        ..PutObjectOutput::default()
    };
    set_checksum!(output, &put.checksum);
    Ok(S3Response::new(output))
}

/// OL16: what is locked at once must not be damaged on its way. A form is exempt: it can compute
/// nothing.
async fn demand_digest(
    front: &S3Front,
    context: &ContextRef,
    bucket: &BucketName,
    lock: Lock,
) -> Result<()> {
    let Err(missing) = digests::demand(&context.headers) else {
        return Ok(());
    };
    if !lock.is_empty() || front.objects.locks_new_versions(bucket).await? {
        return Err(missing);
    }
    Ok(())
}
