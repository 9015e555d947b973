//! ListObjectVersions of a bucket that was never versioned: each object is its own null version
//! (VE28), so the list is that of the objects.

use s3s::S3Response;
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, ListObjectVersionsInput, ListObjectVersionsOutput,
    ObjectVersion, ObjectVersionStorageClass,
};
use strongroom_objects::{ListObjects, ListStart, ListedObject};

use super::list_objects::{prefixes, shown_max};
use super::{Answer, KeyEncoding, wire_owner};
use crate::context::{ContextRef, RequestContext};
use crate::convert::{bucket_name, page_size, version_id, wire_etag, wire_size};
use crate::error::FrontError;
use crate::front::S3Front;
use crate::time_format::wire;

/// The one version id of such a bucket.
const NULL: &str = "null";

/// ListObjectVersions.
pub async fn run(
    front: &S3Front,
    context: &ContextRef,
    input: ListObjectVersionsInput,
) -> Answer<ListObjectVersionsOutput> {
    let encoding = KeyEncoding::new(input.encoding_type.as_ref())?;
    let keys_max = page_size("max-keys", input.max_keys)?;
    let key_marker = input.key_marker.clone().unwrap_or_default();
    if let Some(marker) = &input.version_id_marker {
        check_version_id_marker(marker, &key_marker)?;
    }
    let start = if key_marker.is_empty() {
        ListStart::Beginning
    } else {
        // A key has one version, so after it and after its version is the same.
        ListStart::After(key_marker.clone())
    };
    let request = ListObjects {
        bucket: bucket_name(input.bucket.clone())?,
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone(),
        start,
        keys_max,
    };
    let page = front.objects.list_objects(request).await?;
    let truncated = page.truncated();
    let last = page.objects.last().map(|object| object.key.as_str());
    let next_version = page
        .next_marker
        .as_deref()
        .filter(|next| last == Some(next));
    let next_version = next_version.map(|_| NULL.to_owned());
    let text = |text: Option<String>| text.map(|text| encoding.write(&text));
    let versions = page.objects.into_iter();
    Ok(S3Response::new(ListObjectVersionsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.write(&input.prefix.unwrap_or_default())),
        key_marker: Some(encoding.write(&key_marker)),
        version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
        max_keys: Some(shown_max(keys_max)),
        is_truncated: Some(truncated),
        next_key_marker: text(page.next_marker),
        next_version_id_marker: next_version,
        versions: Some(
            versions
                .map(|object| version(context, object, encoding))
                .collect(),
        ),
        common_prefixes: Some(prefixes(page.common_prefixes, encoding)),
        delimiter: text(input.delimiter),
        encoding_type: encoding.wire(),
        ..ListObjectVersionsOutput::default()
    }))
}

/// VE27.
fn check_version_id_marker(marker: &str, key_marker: &str) -> Result<(), FrontError> {
    let name = "version-id-marker";
    let invalid = |message: &str| Err(FrontError::invalid_argument(name, marker, message));
    if key_marker.is_empty() {
        return invalid("a version-id marker cannot be specified without a key marker");
    }
    if !marker.is_empty() && version_id(Some(marker)).is_err() {
        return invalid("invalid version id specified");
    }
    Ok(())
}

fn version(context: &RequestContext, object: ListedObject, encoding: KeyEncoding) -> ObjectVersion {
    ObjectVersion {
        checksum_algorithm: object
            .checksum_algorithm
            .map(|algorithm| vec![ChecksumAlgorithm::from_static(algorithm.name())]),
        checksum_type: object
            .checksum_type
            .map(|kind| ChecksumType::from_static(kind.name())),
        e_tag: Some(wire_etag(object.etag)),
        is_latest: Some(true),
        key: Some(encoding.write(object.key.as_str())),
        last_modified: Some(wire(object.last_modified)),
        owner: Some(wire_owner(context, &object.owner)),
        restore_status: None,
        size: Some(wire_size(object.size)),
        storage_class: Some(ObjectVersionStorageClass::from(object.storage_class)),
        version_id: Some(NULL.to_owned()),
    }
}
