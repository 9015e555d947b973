//! GetObjectTagging, PutObjectTagging, DeleteObjectTagging.

use strongroom_types::VersionId;

use crate::api::{ObjectVersion, TaggingOutput};
use crate::decide;
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::tags::Tags;

impl Objects {
    /// The tags of the current version, or of one by id.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`, `NoSuchVersion`, `MethodNotAllowed` for a delete marker (VE21).
    pub async fn object_tags(&self, of: ObjectVersion) -> Result<TaggingOutput> {
        let (bucket, name) = self.bucket(&of.bucket).await?;
        let find = |id| self.find(&bucket, name.versioned, &of.key, id);
        let found = match find(of.version_id).await {
            // By its id a marker is answered as VE21 wants it; a read of it says NoSuchKey.
            Err(Error::NoSuchKey {
                delete_marker: Some(marker),
            }) => find(Some(marker)).await?,
            found => found?,
        };
        Ok(TaggingOutput {
            tags: Tags::stored(found.object.tags),
            version_id: found.version_id,
        })
    }

    /// Gives a version these tags and no others; none takes them away. Neither its ETag nor its
    /// Last-Modified changes.
    ///
    /// # Errors
    /// As [`Self::object_tags`], and `OperationAborted`.
    pub async fn put_object_tags(
        &self,
        of: ObjectVersion,
        tags: Tags,
    ) -> Result<Option<VersionId>> {
        let (bucket, _) = self.bucket(&of.bucket).await?;
        let now = self.clock.now();
        self.decide(move |reads| {
            decide::set_tags(reads, &bucket, &of.key, of.version_id, &tags, now)
        })
        .await
    }
}
