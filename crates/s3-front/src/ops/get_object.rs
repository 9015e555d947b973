//! GetObject and HeadObject: they differ in the bytes only.

use futures::TryStreamExt as _;
use http::{HeaderMap, HeaderValue};
use http_body_util::StreamBody;
use s3s::S3Response;
use s3s::dto::{
    ChecksumType, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, StorageClass,
    StreamingBlob,
};
use strongroom_objects::{ByteStream, GetObject, HeadObjectOutput as Head, ObjectInfo};

use super::Answer;
use crate::context::{ContextRef, RequestContext};
use crate::convert::{
    bucket_name, byte_range, expires_header, object_key, part_number, read_conditions,
    set_checksum, version_id, wire_etag, wire_metadata, wire_size,
};
use crate::error::Result;
use crate::front::S3Front;
use crate::lock_headers;
use crate::time_format::wire_seconds;

fn request(
    context: &RequestContext,
    bucket: String,
    key: String,
    version: Option<&str>,
    part: Option<i32>,
    with_checksum: bool,
) -> Result<GetObject> {
    Ok(GetObject {
        bucket: bucket_name(bucket)?,
        key: object_key(key)?,
        version_id: version_id(version)?,
        range: byte_range(context),
        part_number: part.map(part_number).transpose()?,
        conditions: read_conditions(context, ""),
        with_checksum,
    })
}

/// Fills the fields that both answers have.
macro_rules! describe {
    ($head:expr, $with_checksum:expr) => {{
        let head: Head = $head;
        let info = head.info;
        let size = head.range.end - head.range.start;
        let content_range = head.partial.then(|| {
            let last = head.range.end.saturating_sub(1);
            format!("bytes {}-{last}/{}", head.range.start, info.size)
        });
        let mut output = describe!(@new info, size, content_range);
        if let (true, Some(checksum)) = ($with_checksum, &info.checksum) {
            set_checksum!(output, checksum);
            output.checksum_type = info
                .checksum_type
                .map(|kind| ChecksumType::from_static(kind.name()));
        }
        output
    }};
    (@new $info:ident, $size:ident, $content_range:ident) => {
        Wire {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: $info.headers.cache_control,
            content_disposition: $info.headers.content_disposition,
            content_encoding: $info.headers.content_encoding,
            content_language: $info.headers.content_language,
            content_length: Some(wire_size($size)),
            content_range: $content_range,
            content_type: Some(
                $info.headers.content_type.unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned()),
            ),
            e_tag: Some(wire_etag($info.etag)),
            last_modified: Some(wire_seconds($info.last_modified)),
            metadata: wire_metadata($info.metadata),
            parts_count: $info.part_count.and_then(|count| i32::try_from(count).ok()),
            // S3 names every class but the usual one (HD03).
            storage_class: Some($info.storage_class)
                .filter(|class| class != "STANDARD")
                .map(StorageClass::from),
            version_id: $info.version_id.map(|id| id.to_string()),
            website_redirect_location: $info.headers.website_redirect_location,
            ..Wire::default()
        }
    };
}

/// What S3 answers for an object that was stored without a type.
const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// Headers that `s3s` has no field for, or reads otherwise than S3.
fn extra_headers(info: &ObjectInfo) -> HeaderMap {
    let mut headers = expires_header(&info.headers);
    // HD03: an object without tags does not say so.
    if info.tag_count > 0 {
        headers.insert("x-amz-tagging-count", HeaderValue::from(info.tag_count));
    }
    lock_headers::show(info.lock, &mut headers);
    headers
}

/// GetObject.
pub async fn get(
    front: &S3Front,
    context: &ContextRef,
    input: GetObjectInput,
) -> Answer<GetObjectOutput> {
    type Wire = GetObjectOutput;
    let version = input.version_id.as_deref();
    let with_checksum = input.checksum_mode.is_some();
    let (bucket, key, part) = (input.bucket, input.key, input.part_number);
    let request = request(context, bucket, key, version, part, with_checksum)?;
    let got = front.objects.get_object(request).await?;
    let headers = extra_headers(&got.head.info);
    let mut output = describe!(got.head, with_checksum);
    output.body = Some(wire_content(got.content));
    Ok(S3Response::with_headers(output, headers))
}

/// HeadObject.
pub async fn head(
    front: &S3Front,
    context: &ContextRef,
    input: HeadObjectInput,
) -> Answer<HeadObjectOutput> {
    type Wire = HeadObjectOutput;
    let version = input.version_id.as_deref();
    let with_checksum = input.checksum_mode.is_some();
    let (bucket, key, part) = (input.bucket, input.key, input.part_number);
    let request = request(context, bucket, key, version, part, with_checksum)?;
    let head = front.objects.head_object(request).await?;
    let headers = extra_headers(&head.info);
    let output = describe!(head, with_checksum);
    Ok(S3Response::with_headers(output, headers))
}

/// Content as an answer's body. An error after the first byte can only cut the answer short, which
/// the client sees by its length.
fn wire_content(content: ByteStream) -> StreamingBlob {
    let frames = content.map_ok(http_body::Frame::data).inspect_err(|error| {
        tracing::warn!(%error, "an answer was cut short");
    });
    StreamingBlob::from(s3s::Body::http_body_unsync(StreamBody::new(frames)))
}
