//! CopyObject: the bytes are written anew, because a blob has exactly one owner.

use strongroom_types::ETag;

use crate::api::{
    Content, CopyObject, CopyObjectOutput, DeclaredChecksum, Digests, MetadataDirective,
    ObjectHeaders, PUT_SIZE_BYTES_MAX, TaggingDirective,
};
use crate::decide::{self, BucketRef, PutCommit};
use crate::error::{Error, Result};
use crate::ingest;
use crate::objects::Objects;
use crate::put_object::check_metadata;
use crate::read::{Found, READ_ATTEMPTS_MAX};
use crate::records::CreationRecord;
use crate::tags::Tags;

/// Asks for a copy that has nothing its source has not.
const COPY_NOTHING_NEW: MetadataDirective = MetadataDirective::Copy {
    website_redirect_location: None,
};

impl Objects {
    /// Stores a version of one key as a new version of another, or of itself.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`, `NoSuchVersion`, `InvalidRequest` (VE22, VE24, too large),
    /// `PreconditionFailed`, and those of a put.
    pub async fn copy_object(&self, request: CopyObject) -> Result<CopyObjectOutput> {
        let (source, source_name) = self.bucket(&request.source_bucket).await?;
        let (bucket, _) = self.bucket(&request.bucket).await?;
        self.check_lock_asked(&bucket, request.lock).await?;
        if let MetadataDirective::Replace { headers, metadata } = &request.metadata {
            check_metadata(headers, metadata)?;
        }
        let (found, content) = self
            .open_source(&source, source_name.versioned, &bucket, &request)
            .await?;
        let now = self.clock.now();
        let creation = CreationRecord {
            blob: self.new_blob_id(now),
            bucket: bucket.id,
            bucket_name: bucket.name.clone(),
            key: request.key.clone(),
            part: None,
            created: now,
        };
        let kept = ingest::algorithm_kept(&content.digests);
        let ingested = self.ingest(content, kept, &creation).await?;
        let (headers, metadata) = match request.metadata {
            MetadataDirective::Copy {
                website_redirect_location,
            } => {
                // It belongs to one object and is never copied.
                let headers = ObjectHeaders {
                    website_redirect_location,
                    ..found.object.headers
                };
                (headers, found.object.metadata)
            }
            MetadataDirective::Replace { headers, metadata } => (headers, metadata),
        };
        let tags = match request.tags {
            TaggingDirective::Copy => Tags::stored(found.object.tags),
            TaggingDirective::Replace(tags) => tags,
        };
        let commit = PutCommit {
            bucket,
            key: request.key,
            content: ingested.content.clone(),
            headers,
            metadata,
            tags,
            conditions: request.conditions,
            lock: request.lock,
            now: self.clock.now(),
        };
        let last_modified = commit.now;
        let (content, done) = self.commit_put(commit, ingested).await?;
        Ok(CopyObjectOutput {
            etag: ETag::Md5(content.md5),
            last_modified,
            version_id: done.version_id,
            source_version_id: found.version_id,
            checksum: content.checksum,
        })
    }

    async fn open_source(
        &self,
        source: &BucketRef,
        versioned: bool,
        bucket: &BucketRef,
        request: &CopyObject,
    ) -> Result<(Found, Content)> {
        let (key, id) = (&request.source_key, request.source_version_id);
        for _ in 0..READ_ATTEMPTS_MAX {
            let found =
                self.find(source, versioned, key, id)
                    .await
                    .map_err(|error| match error {
                        // VE22
                        Error::MethodNotAllowed { .. } => Error::invalid_request(
                            "the source of a copy may not be a delete marker by id",
                        ),
                        error => error,
                    })?;
            let conditions = &request.source_conditions;
            decide::check_copy_source(conditions, found.object.etag, found.last_modified)?;
            let is_self = source.id == bucket.id && *key == request.key;
            if is_self && found.is_current && request.metadata == COPY_NOTHING_NEW {
                // VE24
                return Err(Error::invalid_request(
                    "this copy request is illegal because it is trying to copy an object to \
                     itself without changing the object's metadata, storage class, website \
                     redirect location or encryption attributes",
                ));
            }
            let size = found.object.size;
            if size > PUT_SIZE_BYTES_MAX {
                return Err(Error::invalid_request(format!(
                    "the source has {size} bytes, a copy takes at most {PUT_SIZE_BYTES_MAX}"
                )));
            }
            // IN09
            let kept = found.object.checksum.map(|checksum| checksum.algorithm());
            let algorithm = request.checksum_algorithm.or(kept);
            if let Some(stream) = self.open(&found, 0..size).await? {
                let checksum = algorithm.map_or(DeclaredChecksum::None, DeclaredChecksum::Compute);
                let digests = Digests {
                    checksum,
                    ..Digests::default()
                };
                return Ok((
                    found,
                    Content {
                        stream,
                        size,
                        digests,
                    },
                ));
            }
        }
        Err(Error::Corrupt {
            message: format!("a blob of {key} has no record"),
        })
    }
}
