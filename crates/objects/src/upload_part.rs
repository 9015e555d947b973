//! UploadPart.

use strongroom_types::ETag;

use crate::api::{UploadPart, UploadPartOutput};
use crate::commit::{BLOB_REWRITES_MAX, CommitError};
use crate::decide::{self, PartCommit};
use crate::error::{Error, Result};
use crate::ingest::{self, Ingested};
use crate::objects::Objects;
use crate::records::{CreationRecord, UploadRecord, keys};

impl Objects {
    /// Stores one part; a part of the same number before it is replaced.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchUpload`, `OperationAborted` while the upload is being completed,
    /// `InvalidRequest` (another checksum algorithm than the upload's), and those of a put.
    pub async fn upload_part(&self, request: UploadPart) -> Result<UploadPartOutput> {
        let (bucket, _) = self.bucket(&request.bucket).await?;
        let upload_key = keys::upload(bucket.id, &request.key, request.upload_id);
        let upload: Option<UploadRecord> = self.record(&upload_key).await?;
        let upload = upload.ok_or(Error::NoSuchUpload)?;
        let declared = ingest::algorithm_declared(&request.content.digests);
        if let (Some((asked, _)), Some(declared)) = (upload.checksum, declared)
            && asked != declared
        {
            return Err(Error::invalid_request(format!(
                "checksum type mismatch occurred, expected checksum type: {}, actual checksum \
                 type: {}",
                asked.name().to_lowercase(),
                declared.name().to_lowercase()
            )));
        }
        let now = self.clock.now();
        let number = request.part_number.get();
        let creation = CreationRecord {
            blob: self.new_blob_id(now),
            bucket: bucket.id,
            bucket_name: bucket.name.clone(),
            key: request.key.clone(),
            part: Some((request.upload_id, number)),
            created: now,
        };
        let (kept, _) = upload.checksum_kept();
        let ingested = self.ingest(request.content, kept, &creation).await?;
        let declared = ingested.checksum_declared;
        let commit = PartCommit {
            bucket,
            key: request.key,
            upload: request.upload_id,
            number,
            content: ingested.content.clone(),
            checksum_declared: declared.filter(|checksum| checksum.algorithm() != kept),
            now: self.clock.now(),
        };
        let output = UploadPartOutput {
            etag: ETag::Md5(ingested.content.md5),
            checksum: declared.unwrap_or(ingested.content.checksum),
        };
        self.commit_part(commit, ingested).await?;
        Ok(output)
    }

    async fn commit_part(&self, mut commit: PartCommit, mut ingested: Ingested) -> Result<()> {
        for _ in 0..=BLOB_REWRITES_MAX {
            commit.content = ingested.content.clone();
            let durable = ingested.durable.clone().into_iter().collect();
            let attempt = commit.clone();
            match self
                .commit(durable, move |reads| decide::put_part(reads, &attempt))
                .await
            {
                Ok(()) => return Ok(()),
                Err(CommitError::BlobLost) => self.rewrite(&mut ingested).await?,
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(CommitError::BlobLost.into())
    }
}
