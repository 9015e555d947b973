//! The operations as `s3s` calls them. Each is a file in `ops`; this table only connects them.
//!
//! Operations that are missing here are answered `501 NotImplemented` by `s3s`, but no request gets
//! that far: [`crate::route`] knows the same table.

use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result};
use strongroom_base::Clock;
use strongroom_objects::Objects;

use crate::auth::credentials::Caller;
use crate::context::ContextRef;
use crate::error::FrontError;
use crate::ops;

/// S3 over the domain.
#[derive(Clone)]
pub struct S3Front {
    /// The domain as the caller of one request reaches it.
    pub(crate) objects: Objects,
    pub(crate) region: String,
    pub(crate) clock: Arc<dyn Clock>,
}

impl S3Front {
    /// S3 over `objects`, in one region. Each request acts for its caller.
    #[must_use]
    pub fn new(objects: Arc<Objects>, region: String, clock: Arc<dyn Clock>) -> Self {
        Self {
            objects: Objects::clone(&objects),
            region,
            clock,
        }
    }

    /// The same for the account that sent a request: the only way to an operation.
    pub(crate) fn acting_for(&self, caller: &Caller) -> Self {
        Self {
            objects: self.objects.acting_for(caller.owner()),
            ..self.clone()
        }
    }
}

macro_rules! connect {
    ($($method:ident: $input:ident => $output:ident in $run:path;)*) => {
        #[async_trait::async_trait]
        impl S3 for S3Front {
            $(
                async fn $method(
                    &self,
                    request: S3Request<$input>,
                ) -> S3Result<S3Response<$output>> {
                    let context = request.extensions.get::<ContextRef>().cloned();
                    let Some(context) = context else {
                        let error = FrontError::internal();
                        tracing::error!("a request came without its context");
                        return Err(s3s::S3Error::with_message(
                            s3s::S3ErrorCode::InternalError,
                            error.message,
                        ));
                    };
                    let front = self.acting_for(&context.caller);
                    context.answer($run(&front, &context, request.input).await)
                }
            )*
        }
    };
}

connect! {
    list_buckets: ListBucketsInput => ListBucketsOutput in ops::list_buckets::run;
    create_bucket: CreateBucketInput => CreateBucketOutput in ops::create_bucket::run;
    head_bucket: HeadBucketInput => HeadBucketOutput in ops::bucket::head;
    delete_bucket: DeleteBucketInput => DeleteBucketOutput in ops::bucket::delete;
    get_bucket_acl: GetBucketAclInput => GetBucketAclOutput in ops::acl::get_bucket;
    put_bucket_acl: PutBucketAclInput => PutBucketAclOutput in ops::acl::put_bucket;
    get_object_acl: GetObjectAclInput => GetObjectAclOutput in ops::acl::get_object;
    put_object_acl: PutObjectAclInput => PutObjectAclOutput in ops::acl::put_object;
    get_bucket_location: GetBucketLocationInput => GetBucketLocationOutput in ops::bucket::location;
    get_object_attributes: GetObjectAttributesInput => GetObjectAttributesOutput
        in ops::object_attributes::run;
    list_objects: ListObjectsInput => ListObjectsOutput in ops::list_objects::v1;
    list_objects_v2: ListObjectsV2Input => ListObjectsV2Output in ops::list_objects::v2;
    put_object: PutObjectInput => PutObjectOutput in ops::put_object::run;
    get_object: GetObjectInput => GetObjectOutput in ops::get_object::get;
    head_object: HeadObjectInput => HeadObjectOutput in ops::get_object::head;
    delete_object: DeleteObjectInput => DeleteObjectOutput in ops::delete_object::one;
    delete_objects: DeleteObjectsInput => DeleteObjectsOutput in ops::delete_object::many;
    copy_object: CopyObjectInput => CopyObjectOutput in ops::copy_object::run;
    create_multipart_upload: CreateMultipartUploadInput => CreateMultipartUploadOutput
        in ops::create_upload::run;
    upload_part_copy: UploadPartCopyInput => UploadPartCopyOutput in ops::upload_part_copy::run;
    upload_part: UploadPartInput => UploadPartOutput in ops::upload_part::run;
    complete_multipart_upload: CompleteMultipartUploadInput => CompleteMultipartUploadOutput
        in ops::complete_upload::run;
    abort_multipart_upload: AbortMultipartUploadInput => AbortMultipartUploadOutput
        in ops::complete_upload::abort;
    list_parts: ListPartsInput => ListPartsOutput in ops::list_parts::run;
    list_multipart_uploads: ListMultipartUploadsInput => ListMultipartUploadsOutput
        in ops::list_uploads::run;
}
