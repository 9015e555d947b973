//! CreateMultipartUpload.

use strongroom_types::{ChecksumAlgorithm, ChecksumType, UploadId};

use crate::api::{CreateUpload, CreateUploadOutput};
use crate::decide;
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::put_object::check_metadata;
use crate::records::{STANDARD, UploadRecord};

impl Objects {
    /// Starts a multipart upload.
    ///
    /// # Errors
    /// `NoSuchBucket`, `OperationAborted`, `InvalidRequest` (IN05), `MetadataTooLarge`.
    pub async fn create_upload(&self, request: CreateUpload) -> Result<CreateUploadOutput> {
        let (bucket, _) = self.bucket(&request.bucket).await?;
        check_metadata(&request.headers, &request.metadata)?;
        self.check_lock_asked(&bucket, request.lock).await?;
        let checksum = checksum_kind(request.checksum_algorithm, request.checksum_type)?;
        let initiated = self.clock.now();
        let upload_id = UploadId::new(initiated.0, self.random.next_u64());
        let record = UploadRecord {
            initiated,
            closing: None,
            checksum,
            storage_class: STANDARD.to_owned(),
            headers: request.headers,
            metadata: request.metadata,
            tags: request.tags.into_map(),
            lock: (!request.lock.is_empty()).then_some(request.lock),
            encryption: None,
            found: None,
        };
        let key = request.key;
        self.decide(move |reads| decide::create_upload(reads, &bucket, &key, upload_id, &record))
            .await?;
        Ok(CreateUploadOutput {
            upload_id,
            checksum,
        })
    }
}

/// IN05.
fn checksum_kind(
    algorithm: Option<ChecksumAlgorithm>,
    kind: Option<ChecksumType>,
) -> Result<Option<(ChecksumAlgorithm, ChecksumType)>> {
    let Some(algorithm) = algorithm else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(Error::invalid_request(
                "the x-amz-checksum-type header can only be used with the \
                 x-amz-checksum-algorithm header",
            )),
        };
    };
    let kind = kind.unwrap_or_else(|| algorithm.default_type());
    if !algorithm.allows(kind) {
        return Err(Error::invalid_request(format!(
            "the {} checksum type cannot be used with the {} checksum algorithm",
            kind.name(),
            algorithm.name().to_lowercase()
        )));
    }
    Ok(Some((algorithm, kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_needs_an_algorithm_that_allows_it() {
        // IN05
        use ChecksumAlgorithm::{Crc64Nvme, Sha256};
        use ChecksumType::{Composite, FullObject};
        assert_eq!(checksum_kind(None, None), Ok(None));
        assert!(checksum_kind(None, Some(Composite)).is_err());
        assert!(checksum_kind(Some(Sha256), Some(FullObject)).is_err());
        assert!(checksum_kind(Some(Crc64Nvme), Some(Composite)).is_err());
        assert_eq!(
            checksum_kind(Some(Sha256), None),
            Ok(Some((Sha256, Composite)))
        );
        assert_eq!(
            checksum_kind(Some(Crc64Nvme), None),
            Ok(Some((Crc64Nvme, FullObject)))
        );
    }
}
