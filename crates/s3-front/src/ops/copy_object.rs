//! CopyObject.

use s3s::S3Response;
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, MetadataDirective as WireDirective,
};
use strongroom_objects::{CopyObject, MetadataDirective, TaggingDirective};

use super::Answer;
use crate::context::ContextRef;
use crate::convert::{
    bucket_name, object_headers, object_key, read_conditions, set_checksum, tags_header,
    user_metadata, wire_checksum_type, wire_etag, write_conditions,
};
use crate::copy_source::CopySource;
use crate::digests::parse_algorithm;
use crate::error::{FrontError, Result};
use crate::front::S3Front;
use crate::lock_headers::lock_asked;
use crate::time_format::wire;

/// CopyObject.
pub async fn run(
    front: &S3Front,
    context: &ContextRef,
    input: CopyObjectInput,
) -> Answer<CopyObjectOutput> {
    let source = CopySource::of(context)?;
    let bucket = bucket_name(input.bucket.clone())?;
    let algorithm = context.header("x-amz-checksum-algorithm");
    let request = CopyObject {
        source_bucket: source.bucket.clone(),
        source_key: source.key.clone(),
        source_version_id: source.version_id,
        source_conditions: read_conditions(context, "x-amz-copy-source-"),
        metadata: metadata(context, &input)?,
        tags: tags(context)?,
        bucket: bucket.clone(),
        key: object_key(input.key)?,
        checksum_algorithm: algorithm
            .map(|text| parse_algorithm("x-amz-checksum-algorithm", text))
            .transpose()?,
        conditions: write_conditions(context),
        lock: lock_asked(context)?,
    };
    let copied = match front.objects.copy_object(request).await {
        Ok(copied) => copied,
        Err(error) => return Err(source.blamed(error, &front.objects, &bucket).await),
    };
    let mut result = CopyObjectResult {
        checksum_type: Some(wire_checksum_type(&copied.checksum)),
        e_tag: Some(wire_etag(copied.etag)),
        last_modified: Some(wire(copied.last_modified)),
        ..CopyObjectResult::default()
    };
    set_checksum!(result, &copied.checksum);
    Ok(S3Response::new(CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id: copied.source_version_id.map(|id| id.to_string()),
        version_id: copied.version_id.map(|id| id.to_string()),
        ..CopyObjectOutput::default()
    }))
}

/// HD06.
fn tags(context: &ContextRef) -> Result<TaggingDirective> {
    match context.header("x-amz-tagging-directive") {
        None | Some("COPY") => Ok(TaggingDirective::Copy),
        Some("REPLACE") => Ok(TaggingDirective::Replace(tags_header(context)?)),
        Some(other) => Err(FrontError::invalid_argument(
            "x-amz-tagging-directive",
            other,
            "unknown tagging directive",
        )),
    }
}

fn metadata(context: &ContextRef, input: &CopyObjectInput) -> Result<MetadataDirective> {
    let directive = input.metadata_directive.as_ref().map(WireDirective::as_str);
    match directive {
        None | Some("COPY") => Ok(MetadataDirective::Copy {
            website_redirect_location: object_headers(context)?.website_redirect_location,
        }),
        Some("REPLACE") => Ok(MetadataDirective::Replace {
            headers: object_headers(context)?,
            metadata: user_metadata(input.metadata.clone()),
        }),
        Some(other) => Err(FrontError::invalid_argument(
            "x-amz-metadata-directive",
            other,
            "unknown metadata directive",
        )),
    }
}
