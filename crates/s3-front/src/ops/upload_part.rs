//! UploadPart.

use s3s::S3Response;
use s3s::dto::{UploadPartInput, UploadPartOutput};
use strongroom_objects::UploadPart;

use super::Answer;
use crate::context::ContextRef;
use crate::convert::{
    bucket_name, content, object_key, part_number, set_checksum, upload_id, wire_etag,
};
use crate::front::S3Front;

/// UploadPart.
pub async fn run(
    front: &S3Front,
    context: &ContextRef,
    input: UploadPartInput,
) -> Answer<UploadPartOutput> {
    let request = UploadPart {
        bucket: bucket_name(input.bucket)?,
        key: object_key(input.key)?,
        part_number: part_number(input.part_number)?,
        upload_id: upload_id(&input.upload_id)?,
        content: content(context, input.body)?,
    };
    let part = front.objects.upload_part(request).await?;
    let mut output = UploadPartOutput {
        e_tag: Some(wire_etag(part.etag)),
        ..UploadPartOutput::default()
    };
    set_checksum!(output, &part.checksum);
    Ok(S3Response::new(output))
}
