//! ListObjects and ListObjectsV2: one list, two ways to write where it starts and ends.

use s3s::S3Response;
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass,
};
use strongroom_objects::{ListObjects, ListStart, ListedObject};

use super::{Answer, KeyEncoding, given, wire_owner};
use crate::context::{ContextRef, RequestContext};
use crate::convert::{bucket_name, page_size, wire_etag, wire_size};
use crate::front::S3Front;
use crate::time_format::wire;

/// ListObjects.
pub async fn v1(
    front: &S3Front,
    context: &ContextRef,
    mut input: ListObjectsInput,
) -> Answer<ListObjectsOutput> {
    input.delimiter = given(input.delimiter);
    let encoding = KeyEncoding::new(input.encoding_type.as_ref())?;
    let keys_max = page_size("max-keys", input.max_keys)?;
    let marker = input.marker.clone().filter(|marker| !marker.is_empty());
    let request = ListObjects {
        bucket: bucket_name(input.bucket.clone())?,
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone(),
        start: marker.map_or(ListStart::Beginning, ListStart::After),
        keys_max,
    };
    let page = front.objects.list_objects(request).await?;
    let truncated = page.truncated();
    // S3 gives the next marker only with a delimiter; otherwise it is the last key.
    let next_marker = page.next_marker.filter(|_| input.delimiter.is_some());
    let text = |text: Option<String>| text.map(|text| encoding.write(&text));
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.write(&input.prefix.unwrap_or_default())),
        marker: Some(encoding.write(&input.marker.unwrap_or_default())),
        max_keys: Some(shown_max(keys_max)),
        is_truncated: Some(truncated),
        contents: Some(objects(page.objects, encoding, Some(context))),
        common_prefixes: Some(prefixes(page.common_prefixes, encoding)),
        delimiter: text(input.delimiter),
        next_marker: text(next_marker),
        encoding_type: encoding.wire(),
        ..ListObjectsOutput::default()
    }))
}

/// ListObjectsV2.
pub async fn v2(
    front: &S3Front,
    context: &ContextRef,
    mut input: ListObjectsV2Input,
) -> Answer<ListObjectsV2Output> {
    input.delimiter = given(input.delimiter);
    let encoding = KeyEncoding::new(input.encoding_type.as_ref())?;
    let keys_max = page_size("max-keys", input.max_keys)?;
    let start = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => ListStart::Token(token.clone()),
        (None, Some(after)) if !after.is_empty() => ListStart::After(after.clone()),
        _ => ListStart::Beginning,
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
    let count = page.objects.len() + page.common_prefixes.len();
    let owner_for = (input.fetch_owner == Some(true)).then_some(&**context);
    let text = |text: Option<String>| text.map(|text| encoding.write(&text));
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encoding.write(&input.prefix.unwrap_or_default())),
        max_keys: Some(shown_max(keys_max)),
        key_count: i32::try_from(count).ok(),
        continuation_token: input.continuation_token,
        is_truncated: Some(truncated),
        next_continuation_token: page.continuation_token.filter(|_| truncated),
        contents: Some(objects(page.objects, encoding, owner_for)),
        common_prefixes: Some(prefixes(page.common_prefixes, encoding)),
        delimiter: text(input.delimiter),
        encoding_type: encoding.wire(),
        start_after: text(input.start_after),
        ..ListObjectsV2Output::default()
    }))
}

/// S3 answers with the page size it used, which is never above a thousand.
pub(super) fn shown_max(keys_max: u32) -> i32 {
    i32::try_from(keys_max.min(strongroom_objects::LIST_PAGE_MAX)).unwrap_or(i32::MAX)
}

fn objects(
    listed: Vec<ListedObject>,
    encoding: KeyEncoding,
    owner_for: Option<&RequestContext>,
) -> Vec<Object> {
    let wire_object = |object: ListedObject| Object {
        checksum_algorithm: object
            .checksum_algorithm
            .map(|algorithm| vec![ChecksumAlgorithm::from_static(algorithm.name())]),
        checksum_type: object
            .checksum_type
            .map(|kind| ChecksumType::from_static(kind.name())),
        e_tag: Some(wire_etag(object.etag)),
        key: Some(encoding.write(object.key.as_str())),
        last_modified: Some(wire(object.last_modified)),
        owner: owner_for.map(|context| wire_owner(context, &object.owner)),
        restore_status: None,
        size: Some(wire_size(object.size)),
        storage_class: Some(ObjectStorageClass::from(object.storage_class)),
    };
    listed.into_iter().map(wire_object).collect()
}

pub(super) fn prefixes(listed: Vec<String>, encoding: KeyEncoding) -> Vec<CommonPrefix> {
    let wire_prefix = |prefix: String| CommonPrefix {
        prefix: Some(encoding.write(&prefix)),
    };
    listed.into_iter().map(wire_prefix).collect()
}
