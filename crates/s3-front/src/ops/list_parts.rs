//! ListParts.

use s3s::S3Response;
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, ListPartsInput, ListPartsOutput, Part, StorageClass,
};
use strongroom_objects::{LIST_PAGE_MAX, ListParts, ListedPart};

use super::{Answer, wire_initiator, wire_owner};
use crate::context::ContextRef;
use crate::convert::{
    bucket_name, object_key, page_size, set_checksum, upload_id, wire_etag, wire_size,
};
use crate::error::FrontError;
use crate::front::S3Front;
use crate::time_format::wire;

/// ListParts.
pub async fn run(
    front: &S3Front,
    context: &ContextRef,
    input: ListPartsInput,
) -> Answer<ListPartsOutput> {
    let parts_max = page_size("max-parts", input.max_parts)?;
    let marker = input.part_number_marker.unwrap_or(0);
    let request = ListParts {
        bucket: bucket_name(input.bucket.clone())?,
        key: object_key(input.key.clone())?,
        upload_id: upload_id(&input.upload_id)?,
        part_number_marker: u32::try_from(marker).map_err(|_| {
            FrontError::invalid_argument(
                "part-number-marker",
                marker.to_string(),
                "not a part number",
            )
        })?,
        parts_max,
    };
    let page = front.objects.list_parts(request).await?;
    let next = page
        .next_part_number_marker
        .map(|number| i32::from(number.get()));
    // S3 names the last part of a page also when it is the last of all.
    let last = page.parts.last();
    let last = last.map_or(0, |part| i32::from(part.part_number.get()));
    let checksum = page.checksum;
    Ok(S3Response::new(ListPartsOutput {
        bucket: Some(input.bucket),
        checksum_algorithm: checksum
            .map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
        checksum_type: checksum.map(|(_, kind)| ChecksumType::from_static(kind.name())),
        initiator: Some(wire_initiator(context, &page.owner)),
        is_truncated: Some(next.is_some()),
        key: Some(input.key),
        max_parts: i32::try_from(parts_max.min(LIST_PAGE_MAX)).ok(),
        next_part_number_marker: Some(last),
        owner: Some(wire_owner(context, &page.owner)),
        part_number_marker: Some(marker),
        parts: Some(page.parts.into_iter().map(wire_part).collect()),
        storage_class: Some(StorageClass::from(page.storage_class)),
        upload_id: Some(input.upload_id),
        ..ListPartsOutput::default()
    }))
}

fn wire_part(part: ListedPart) -> Part {
    let mut output = Part {
        e_tag: Some(wire_etag(part.etag)),
        last_modified: Some(wire(part.last_modified)),
        part_number: Some(i32::from(part.part_number.get())),
        size: Some(wire_size(part.size)),
        ..Part::default()
    };
    set_checksum!(output, &part.checksum);
    output
}
