//! Operations that are not there yet, with their final signatures.

use crate::api::*;
use crate::error::{Error, Result};
use crate::objects::Objects;

const NOT_YET: Error = Error::NotImplemented {
    header: "operation",
};

#[allow(clippy::missing_errors_doc, clippy::unused_async, missing_docs)]
impl Objects {
    pub async fn create_bucket(&self, _request: CreateBucket) -> Result<()> {
        Err(NOT_YET)
    }
    pub async fn head_bucket(&self, _bucket: &strongroom_types::BucketName) -> Result<BucketInfo> {
        Err(NOT_YET)
    }
    pub async fn list_buckets(&self, _request: ListBuckets) -> Result<ListBucketsOutput> {
        Err(NOT_YET)
    }
    pub async fn delete_bucket(&self, _bucket: &strongroom_types::BucketName) -> Result<()> {
        Err(NOT_YET)
    }
    pub async fn put_object(&self, _request: PutObject) -> Result<PutObjectOutput> {
        Err(NOT_YET)
    }
    pub async fn get_object(&self, _request: GetObject) -> Result<GetObjectOutput> {
        Err(NOT_YET)
    }
    pub async fn head_object(&self, _request: GetObject) -> Result<HeadObjectOutput> {
        Err(NOT_YET)
    }
    pub async fn delete_object(&self, _request: DeleteObject) -> Result<DeleteObjectOutput> {
        Err(NOT_YET)
    }
    pub async fn delete_objects(&self, _request: DeleteObjects) -> Result<DeleteObjectsOutput> {
        Err(NOT_YET)
    }
    pub async fn copy_object(&self, _request: CopyObject) -> Result<CopyObjectOutput> {
        Err(NOT_YET)
    }
    pub async fn list_objects(&self, _request: ListObjects) -> Result<ListObjectsOutput> {
        Err(NOT_YET)
    }
    pub async fn create_upload(&self, _request: CreateUpload) -> Result<CreateUploadOutput> {
        Err(NOT_YET)
    }
    pub async fn upload_part(&self, _request: UploadPart) -> Result<UploadPartOutput> {
        Err(NOT_YET)
    }
    pub async fn complete_upload(&self, _request: CompleteUpload) -> Result<CompleteUploadOutput> {
        Err(NOT_YET)
    }
    pub async fn abort_upload(&self, _request: AbortUpload) -> Result<()> {
        Err(NOT_YET)
    }
    pub async fn list_parts(&self, _request: ListParts) -> Result<ListPartsOutput> {
        Err(NOT_YET)
    }
    pub async fn list_uploads(&self, _request: ListUploads) -> Result<ListUploadsOutput> {
        Err(NOT_YET)
    }
    /// Looks at up to `limit` blobs with reduced redundancy and writes them anew.
    pub async fn respread_once(&self, _limit: usize) -> Result<Respread> {
        Err(NOT_YET)
    }
}
