//! CreateMultipartUpload.

use s3s::S3Response;
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CreateMultipartUploadInput, CreateMultipartUploadOutput,
};
use strongroom_objects::CreateUpload;

use super::Answer;
use crate::context::ContextRef;
use crate::convert::{bucket_name, object_headers, object_key, tags_header, user_metadata};
use crate::digests::{parse_algorithm, parse_type};
use crate::front::S3Front;
use crate::lock_headers::lock_asked;

/// CreateMultipartUpload.
pub async fn run(
    front: &S3Front,
    context: &ContextRef,
    input: CreateMultipartUploadInput,
) -> Answer<CreateMultipartUploadOutput> {
    let algorithm = context.header("x-amz-checksum-algorithm");
    let kind = context.header("x-amz-checksum-type");
    let request = CreateUpload {
        bucket: bucket_name(input.bucket.clone())?,
        key: object_key(input.key.clone())?,
        headers: object_headers(context)?,
        metadata: user_metadata(input.metadata),
        tags: tags_header(context)?,
        checksum_algorithm: algorithm
            .map(|text| parse_algorithm("x-amz-checksum-algorithm", text))
            .transpose()?,
        checksum_type: kind.map(parse_type).transpose()?,
        lock: lock_asked(context)?,
    };
    let created = front.objects.create_upload(request).await?;
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        checksum_algorithm: created
            .checksum
            .map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
        checksum_type: created
            .checksum
            .map(|(_, kind)| ChecksumType::from_static(kind.name())),
        key: Some(input.key),
        upload_id: Some(created.upload_id.to_string()),
        ..CreateMultipartUploadOutput::default()
    }))
}
