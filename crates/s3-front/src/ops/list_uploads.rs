//! ListMultipartUploads.

use s3s::S3Response;
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, MultipartUpload, StorageClass,
};
use strongroom_objects::{LIST_PAGE_MAX, ListUploads, ListedUpload};
use strongroom_types::UploadId;

use super::{Answer, KeyEncoding, given, wire_initiator, wire_owner};
use crate::context::{ContextRef, RequestContext};
use crate::convert::{bucket_name, page_size};
use crate::error::{FrontError, Result};
use crate::front::S3Front;
use crate::time_format::wire;

/// ListMultipartUploads.
pub async fn run(
    front: &S3Front,
    context: &ContextRef,
    mut input: ListMultipartUploadsInput,
) -> Answer<ListMultipartUploadsOutput> {
    input.delimiter = given(input.delimiter);
    let encoding = KeyEncoding::new(input.encoding_type.as_ref())?;
    let uploads_max = page_size("max-uploads", input.max_uploads)?;
    let key_marker = input.key_marker.clone().unwrap_or_default();
    let request = ListUploads {
        bucket: bucket_name(input.bucket.clone())?,
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone(),
        upload_id_marker: upload_id_marker(&key_marker, input.upload_id_marker.as_deref())?,
        key_marker: key_marker.clone(),
        uploads_max,
    };
    let page = front.objects.list_uploads(request).await?;
    let truncated = page.next.is_some();
    // S3 names the last upload of a page also when it is the last of all.
    let last = page.uploads.last();
    let last = last.map(|upload| (upload.key.to_string(), Some(upload.upload_id)));
    let (next_key, next_id) = page.next.or(last).unwrap_or_default();
    let text = |text: Option<String>| text.map(|text| encoding.write(&text));
    let prefixes = page.common_prefixes.iter().map(|prefix| CommonPrefix {
        prefix: Some(encoding.write(prefix)),
    });
    let uploads = page
        .uploads
        .iter()
        .map(|upload| wire_upload(context, upload, encoding));
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        common_prefixes: Some(prefixes.collect()),
        delimiter: text(input.delimiter),
        encoding_type: encoding.wire(),
        is_truncated: Some(truncated),
        key_marker: Some(encoding.write(&key_marker)),
        max_uploads: i32::try_from(uploads_max.min(LIST_PAGE_MAX)).ok(),
        next_key_marker: Some(encoding.write(&next_key)),
        next_upload_id_marker: Some(next_id.map_or_else(String::new, |id| id.to_string())),
        prefix: text(input.prefix),
        upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
        uploads: Some(uploads.collect()),
        ..ListMultipartUploadsOutput::default()
    }))
}

/// Without a key marker an id marker is ignored, as S3 does.
fn upload_id_marker(key_marker: &str, text: Option<&str>) -> Result<Option<UploadId>> {
    let text = text.filter(|text| !text.is_empty() && !key_marker.is_empty());
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            FrontError::invalid_argument("upload-id-marker", text, "invalid upload id marker")
        })
    };
    text.map(parse).transpose()
}

fn wire_upload(
    context: &RequestContext,
    upload: &ListedUpload,
    encoding: KeyEncoding,
) -> MultipartUpload {
    MultipartUpload {
        checksum_algorithm: upload
            .checksum
            .map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
        checksum_type: upload
            .checksum
            .map(|(_, kind)| ChecksumType::from_static(kind.name())),
        initiated: Some(wire(upload.initiated)),
        initiator: Some(wire_initiator(context, &upload.owner)),
        key: Some(encoding.write(upload.key.as_str())),
        owner: Some(wire_owner(context, &upload.owner)),
        storage_class: Some(StorageClass::from(upload.storage_class.clone())),
        upload_id: Some(upload.upload_id.to_string()),
    }
}
