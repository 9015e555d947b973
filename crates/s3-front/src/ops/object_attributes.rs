//! GetObjectAttributes (IN08).

use s3s::S3Response;
use s3s::dto::{
    Checksum as WireChecksum, GetObjectAttributesInput, GetObjectAttributesOutput,
    GetObjectAttributesParts, ObjectPart, StorageClass,
};
use strongroom_objects::{AttributeParts, GetAttributes, LIST_PAGE_MAX};
use strongroom_types::{Checksum, ChecksumType};

use super::Answer;
use crate::context::{ContextRef, RequestContext};
use crate::convert::{
    bucket_name, object_key, set_checksum, version_id, wire_checksum_type, wire_etag, wire_size,
};
use crate::error::{FrontError, Result};
use crate::front::S3Front;
use crate::time_format::wire_seconds;

const ATTRIBUTES: &str = "x-amz-object-attributes";

/// What of an object is asked for.
#[derive(Clone, Copy, Default)]
struct Wanted {
    etag: bool,
    checksum: bool,
    parts: bool,
    storage_class: bool,
    size: bool,
}

/// GetObjectAttributes. The entity tag of this one answer has no quotes; `s3s` writes them, and
/// [`crate::xml_answer`] takes them away.
pub async fn run(
    front: &S3Front,
    context: &ContextRef,
    input: GetObjectAttributesInput,
) -> Answer<GetObjectAttributesOutput> {
    let wanted = wanted(context)?;
    let marker = number(context, "x-amz-part-number-marker", 0)?;
    let parts_max = number(context, "x-amz-max-parts", LIST_PAGE_MAX)?;
    let request = GetAttributes {
        bucket: bucket_name(input.bucket)?,
        key: object_key(input.key)?,
        version_id: version_id(input.version_id.as_deref())?,
        part_number_marker: marker,
        parts_max,
    };
    let attributes = front.objects.object_attributes(request).await?;
    let info = attributes.info;
    let checksum = info.checksum.filter(|_| wanted.checksum);
    let parts = attributes.parts.filter(|_| wanted.parts);
    Ok(S3Response::new(GetObjectAttributesOutput {
        checksum: checksum.as_ref().map(wire_checksum),
        e_tag: wanted.etag.then(|| wire_etag(info.etag)),
        last_modified: Some(wire_seconds(info.last_modified)),
        object_parts: parts.map(|parts| wire_parts(parts, info.checksum_type, marker, parts_max)),
        object_size: wanted.size.then(|| wire_size(info.size)),
        storage_class: Some(StorageClass::from(info.storage_class))
            .filter(|_| wanted.storage_class),
        version_id: info.version_id.map(|id| id.to_string()),
        ..GetObjectAttributesOutput::default()
    }))
}

fn wanted(context: &RequestContext) -> Result<Wanted> {
    let mut wanted = Wanted::default();
    let mut any = false;
    for value in context.headers.get_all(ATTRIBUTES) {
        for name in value.to_str().unwrap_or("?").split(',').map(str::trim) {
            match name {
                "" => continue,
                "ETag" => wanted.etag = true,
                "Checksum" => wanted.checksum = true,
                "ObjectParts" => wanted.parts = true,
                "StorageClass" => wanted.storage_class = true,
                "ObjectSize" => wanted.size = true,
                name => {
                    let message = "invalid attribute name specified";
                    return Err(FrontError::invalid_argument(ATTRIBUTES, name, message));
                }
            }
            any = true;
        }
    }
    if any {
        return Ok(wanted);
    }
    Err(FrontError::invalid_request(
        "the x-amz-object-attributes header specifying the attributes to be retrieved is either \
         missing or empty",
    ))
}

fn number(context: &RequestContext, name: &str, default: u32) -> Result<u32> {
    let Some(value) = context.headers.get(name) else {
        return Ok(default);
    };
    let text = value.to_str().unwrap_or("");
    let number = text.parse::<i32>().ok();
    number
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| {
            let message = "provided value is not an integer or not within integer range";
            FrontError::invalid_argument(name, text, message)
        })
}

/// Without the number of parts, which stands elsewhere in this answer.
fn wire_checksum(checksum: &Checksum) -> WireChecksum {
    let mut output = WireChecksum {
        checksum_type: Some(wire_checksum_type(checksum)),
        ..WireChecksum::default()
    };
    let bare = Checksum::full_object(checksum.algorithm(), checksum.value())
        .expect("the value has the algorithm's size");
    set_checksum!(output, &bare);
    output
}

/// S3 lists the parts only where their checksums make that of the object.
fn wire_parts(
    parts: AttributeParts,
    kind: Option<ChecksumType>,
    marker: u32,
    parts_max: u32,
) -> GetObjectAttributesParts {
    let total = GetObjectAttributesParts {
        total_parts_count: i32::try_from(parts.count).ok(),
        ..GetObjectAttributesParts::default()
    };
    if kind != Some(ChecksumType::Composite) {
        return total;
    }
    let last = parts.parts.last().map_or(0, |part| part.part_number);
    let listed = parts.parts.iter().map(|part| {
        let mut output = ObjectPart {
            part_number: Some(i32::from(part.part_number)),
            size: Some(wire_size(part.size)),
            ..ObjectPart::default()
        };
        set_checksum!(output, &part.checksum);
        output
    });
    GetObjectAttributesParts {
        is_truncated: Some(parts.next_part_number_marker.is_some()),
        max_parts: i32::try_from(parts_max.min(LIST_PAGE_MAX)).ok(),
        next_part_number_marker: Some(i32::from(last)),
        part_number_marker: i32::try_from(marker).ok(),
        parts: Some(listed.collect()),
        ..total
    }
}
