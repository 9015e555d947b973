//! GetObjectAttributes: what is known of an object, and of the parts it was made of.

use crate::api::{
    AttributePart, AttributeParts, GetAttributes, GetObject, LIST_PAGE_MAX, ObjectAttributes,
};
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::read::READ_ATTEMPTS_MAX;
use crate::records::{PartEntry, VersionContent};

impl Objects {
    /// Metadata of the current version or of one by id, with a page of its parts.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`, `NoSuchVersion`, `MethodNotAllowed`, `InvalidArgument`,
    /// `Unavailable`, `Corrupt`.
    pub async fn object_attributes(&self, request: GetAttributes) -> Result<ObjectAttributes> {
        let (bucket, name) = self.bucket(&request.bucket).await?;
        let mut head = GetObject::new(request.bucket.clone(), request.key.clone());
        head.version_id = request.version_id;
        for _ in 0..READ_ATTEMPTS_MAX {
            let id = request.version_id;
            let found = self.find(&bucket, name.versioned, &request.key, id).await?;
            let Some(described) = self.describe(&head, &found).await? else {
                continue;
            };
            let content = &found.object.content;
            let is_multipart =
                matches!(content, VersionContent::Parts(_) | VersionContent::Pages(_));
            let parts = self.parts_of(&bucket, found.stamp, content).await?;
            if is_multipart && parts.is_none() {
                continue;
            }
            return Ok(ObjectAttributes {
                info: described.info,
                parts: parts.map(|parts| page(&parts, &request)),
            });
        }
        Err(Error::Corrupt {
            message: format!("parts of {} are missing", request.key),
        })
    }
}

fn page(parts: &[PartEntry], request: &GetAttributes) -> AttributeParts {
    let max = request.parts_max.min(LIST_PAGE_MAX) as usize;
    let after: Vec<&PartEntry> = parts
        .iter()
        .filter(|part| u32::from(part.number) > request.part_number_marker)
        .collect();
    let listed: Vec<AttributePart> = after
        .iter()
        .take(max)
        .map(|part| AttributePart {
            part_number: part.number,
            size: part.size,
            checksum: part.checksum,
        })
        .collect();
    let more = !listed.is_empty() && listed.len() < after.len();
    let last = listed.last().map(|part| part.part_number);
    AttributeParts {
        count: u32::try_from(parts.len()).unwrap_or(u32::MAX),
        next_part_number_marker: last.filter(|_| more),
        parts: listed,
    }
}
