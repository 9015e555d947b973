//! CompleteMultipartUpload and AbortMultipartUpload.

use s3s::S3Response;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CompletedPart as WirePart,
};
use strongroom_objects::{AbortUpload, CompleteUpload, CompletedPart};
use strongroom_types::{Checksum, ChecksumAlgorithm};

use super::Answer;
use crate::context::ContextRef;
use crate::convert::{
    bucket_name, object_key, part_number, set_checksum, upload_id, wire_checksum_type, wire_etag,
    write_conditions,
};
use crate::digests::parse_type;
use crate::error::{FrontError, Result};
use crate::front::S3Front;
use crate::target::percent_encode;

/// CompleteMultipartUpload.
pub async fn run(
    front: &S3Front,
    context: &ContextRef,
    input: CompleteMultipartUploadInput,
) -> Answer<CompleteMultipartUploadOutput> {
    let listed = input.multipart_upload.and_then(|upload| upload.parts);
    let listed = listed
        .filter(|parts| !parts.is_empty())
        .ok_or_else(FrontError::malformed_xml)?;
    let object_checksum = one_checksum([
        (ChecksumAlgorithm::Crc32, input.checksum_crc32),
        (ChecksumAlgorithm::Crc32c, input.checksum_crc32c),
        (ChecksumAlgorithm::Crc64Nvme, input.checksum_crc64nvme),
        (ChecksumAlgorithm::Sha1, input.checksum_sha1),
        (ChecksumAlgorithm::Sha256, input.checksum_sha256),
    ])?;
    let request = CompleteUpload {
        bucket: bucket_name(input.bucket.clone())?,
        key: object_key(input.key.clone())?,
        upload_id: upload_id(&input.upload_id)?,
        parts: listed.into_iter().map(part).collect::<Result<_>>()?,
        conditions: write_conditions(context),
        checksum: object_checksum,
        checksum_type: context
            .header("x-amz-checksum-type")
            .map(parse_type)
            .transpose()?,
        object_size: object_size(context)?,
    };
    let completed = front.objects.complete_upload(request).await?;
    let location = format!("/{}/{}", input.bucket, percent_encode(&input.key, true));
    let mut output = CompleteMultipartUploadOutput {
        bucket: Some(input.bucket),
        checksum_type: Some(wire_checksum_type(&completed.checksum)),
        e_tag: Some(wire_etag(completed.etag)),
        key: Some(input.key),
        location: Some(location),
        version_id: completed.version_id.map(|id| id.to_string()),
        ..CompleteMultipartUploadOutput::default()
    };
    set_checksum!(output, &completed.checksum);
    Ok(S3Response::new(output))
}

/// AbortMultipartUpload.
pub async fn abort(
    front: &S3Front,
    _context: &ContextRef,
    input: AbortMultipartUploadInput,
) -> Answer<AbortMultipartUploadOutput> {
    let request = AbortUpload {
        bucket: bucket_name(input.bucket)?,
        key: object_key(input.key)?,
        upload_id: upload_id(&input.upload_id)?,
    };
    front.objects.abort_upload(request).await?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}

fn part(part: WirePart) -> Result<CompletedPart> {
    let checksum = one_checksum([
        (ChecksumAlgorithm::Crc32, part.checksum_crc32),
        (ChecksumAlgorithm::Crc32c, part.checksum_crc32c),
        (ChecksumAlgorithm::Crc64Nvme, part.checksum_crc64nvme),
        (ChecksumAlgorithm::Sha1, part.checksum_sha1),
        (ChecksumAlgorithm::Sha256, part.checksum_sha256),
    ])?;
    Ok(CompletedPart {
        part_number: part_number(part.part_number.ok_or_else(FrontError::malformed_xml)?)?,
        etag: part
            .e_tag
            .ok_or_else(FrontError::malformed_xml)?
            .into_value(),
        checksum,
    })
}

fn one_checksum(given: [(ChecksumAlgorithm, Option<String>); 5]) -> Result<Option<Checksum>> {
    let mut found = None;
    for (algorithm, text) in given {
        let Some(text) = text else { continue };
        let checksum = Checksum::parse(algorithm, &text).map_err(|_| {
            FrontError::invalid_request(format!("the {} checksum is invalid", algorithm.name()))
        })?;
        if found.replace(checksum).is_some() {
            return Err(FrontError::invalid_request("expecting a single checksum"));
        }
    }
    Ok(found)
}

fn object_size(context: &ContextRef) -> Result<Option<u64>> {
    let name = "x-amz-mp-object-size";
    let parse = |text: &str| {
        text.parse()
            .map_err(|_| FrontError::invalid_argument(name, text, "not a number of bytes"))
    };
    context.header(name).map(parse).transpose()
}
