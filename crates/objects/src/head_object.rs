//! HeadObject, and what GetObject answers beside the bytes.

use strongroom_types::Checksum;

use crate::api::{GetObject, HeadObjectOutput, ObjectInfo};
use crate::decide;
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::read::{Found, READ_ATTEMPTS_MAX};

impl Objects {
    /// Metadata of the current version, or of one by id.
    ///
    /// # Errors
    /// As [`Self::get_object`].
    pub async fn head_object(&self, request: GetObject) -> Result<HeadObjectOutput> {
        let (bucket, name) = self.bucket(&request.bucket).await?;
        for _ in 0..READ_ATTEMPTS_MAX {
            let id = request.version_id;
            let found = self.find(&bucket, name.versioned, &request.key, id).await?;
            if let Some(output) = self.describe(&request, &found).await? {
                return Ok(output);
            }
        }
        Err(Error::Corrupt {
            message: format!("parts of {} are missing", request.key),
        })
    }

    /// Checks the conditions and resolves range and part number. `None` when the version is gone.
    pub(crate) async fn describe(
        &self,
        request: &GetObject,
        found: &Found,
    ) -> Result<Option<HeadObjectOutput>> {
        let object = &found.object;
        let (etag, modified) = (object.etag, found.last_modified);
        decide::check_read(&request.conditions, etag, modified, found.version_id)?;
        let mut info = ObjectInfo {
            etag,
            size: object.size,
            last_modified: modified,
            version_id: found.version_id,
            headers: object.headers.clone(),
            metadata: object.metadata.clone(),
            checksum: object.checksum,
            checksum_type: object.checksum.map(|checksum| checksum.kind()),
            storage_class: object.storage_class.clone(),
            part_count: None,
            tag_count: object.tags.len(),
            lock: object.lock,
        };
        let (range, partial) = match (request.range, request.part_number) {
            (Some(_), Some(_)) => {
                let message = "cannot specify both range header and part number";
                return Err(Error::invalid_request(message));
            }
            (None, None) => (0..object.size, false),
            (Some(range), None) => {
                let range = decide::resolve_range(range, object.size)?;
                if range != (0..object.size) {
                    info.checksum = match request.with_checksum {
                        true => self.checksum_of_part(found, &range).await?,
                        false => None,
                    };
                }
                (range, true)
            }
            (None, Some(number)) => {
                use crate::records::VersionContent::{Pages, Parts};
                let is_multipart = matches!(object.content, Parts(_) | Pages(_));
                if is_multipart {
                    let parts = self
                        .parts_of(&found.bucket, found.stamp, &object.content)
                        .await?;
                    let Some(parts) = parts else { return Ok(None) };
                    info.part_count = u32::try_from(parts.len()).ok();
                    let index = usize::from(number.get()) - 1;
                    info.checksum = parts.get(index).map(|part| part.checksum);
                    let sizes = parts.iter().map(|part| part.size);
                    (decide::resolve_part(number, sizes)?, true)
                } else {
                    (decide::resolve_part(number, [object.size])?, true)
                }
            }
        };
        Ok(Some(HeadObjectOutput {
            info,
            range,
            partial,
        }))
    }

    /// The checksum of the part that has exactly these bytes.
    async fn checksum_of_part(
        &self,
        found: &Found,
        range: &std::ops::Range<u64>,
    ) -> Result<Option<Checksum>> {
        let content = &found.object.content;
        let parts = self.parts_of(&found.bucket, found.stamp, content).await?;
        let mut start = 0;
        for part in parts.unwrap_or_default() {
            if *range == (start..start + part.size) {
                return Ok(Some(part.checksum));
            }
            start += part.size;
        }
        Ok(None)
    }
}
