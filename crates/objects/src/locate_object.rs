//! Where the bytes of an object lie.

use strongroom_base::Timestamp;
use strongroom_blob::Location;
use strongroom_types::{BucketName, ObjectKey, VersionId};

use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::read::READ_ATTEMPTS_MAX;
use crate::records::{BlobId, BlobRecord, Packed, RecordFormat, VersionContent, keys};

/// Most parts of one page: each costs a read of every segment header of its blob.
pub const LOCATE_PARTS_MAX: u32 = 100;

/// Which object, and which of its parts.
#[derive(Clone, Debug)]
pub struct LocateObject {
    pub bucket: BucketName,
    pub key: ObjectKey,
    /// The current one when none.
    pub version_id: Option<VersionId>,
    /// Parts with a greater number only.
    pub part_number_marker: u16,
    /// Capped at [`LOCATE_PARTS_MAX`].
    pub parts_max: u32,
    /// Whether every shard is read and checked.
    pub verify: bool,
}

/// The blobs of a version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocateObjectOutput {
    /// Of the whole object.
    pub size: u64,
    pub last_modified: Timestamp,
    /// None in a bucket that was never versioned.
    pub version_id: Option<VersionId>,
    pub parts: Vec<LocatedPart>,
    /// Number of the last part told of, when there are more.
    pub next_part_number_marker: Option<u16>,
}

/// One part, or all of an object that has none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocatedPart {
    /// None when the object was not made of parts.
    pub number: Option<u16>,
    pub size: u64,
    pub content: LocatedContent,
}

/// Where the bytes of a part are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LocatedContent {
    /// There are none.
    Empty,
    /// In the commit log of every member in service, with the record.
    Log { blob: BlobId },
    /// In a pack, with the contents of other small blobs.
    Pack {
        blob: BlobId,
        pack: BlobId,
        /// Of the content in the pack.
        offset: u64,
        /// Whether the pack has less redundancy than asked for.
        reduced: bool,
        /// Of the whole pack.
        location: Location,
    },
    /// In shards.
    Shards {
        blob: BlobId,
        /// Whether it has less redundancy than asked for.
        reduced: bool,
        location: Location,
    },
}

/// Number, size and blob of a part.
type PartBlob = (Option<u16>, u64, Option<BlobId>);

impl Objects {
    /// Where the bytes of a version lie: a page of its parts.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`, `NoSuchVersion`, `MethodNotAllowed` for a delete marker.
    pub async fn locate_object(&self, request: LocateObject) -> Result<LocateObjectOutput> {
        let (bucket, name) = self.bucket(&request.bucket).await?;
        for _ in 0..READ_ATTEMPTS_MAX {
            let id = request.version_id;
            let found = self.find(&bucket, name.versioned, &request.key, id).await?;
            let parts = self
                .parts_of(&bucket, found.stamp, &found.object.content)
                .await?;
            let whole = |blob| vec![(None, found.object.size, blob)];
            let parts: Vec<PartBlob> = match (&found.object.content, parts) {
                (VersionContent::Empty, _) => whole(None),
                (VersionContent::Blob(blob), _) => whole(Some(*blob)),
                (_, Some(parts)) => parts
                    .iter()
                    .map(|part| (Some(part.number), part.size, part.blob))
                    .collect(),
                // The version went while its pages were read.
                (_, None) => continue,
            };
            let marker = request.part_number_marker;
            let mut wanted = parts
                .into_iter()
                .filter(|(number, ..)| number.is_none_or(|number| number > marker));
            let max = request.parts_max.clamp(1, LOCATE_PARTS_MAX) as usize;
            let page: Vec<_> = wanted.by_ref().take(max).collect();
            let more = wanted.next().is_some();
            let last = page.last().and_then(|(number, ..)| *number);
            let Some(parts) = self.locate_parts(page, request.verify).await? else {
                continue;
            };
            return Ok(LocateObjectOutput {
                size: found.object.size,
                last_modified: found.last_modified,
                version_id: found.version_id,
                parts,
                next_part_number_marker: last.filter(|_| more),
            });
        }
        Err(Error::Unavailable {
            message: "the object changed again and again while it was looked for".to_owned(),
        })
    }

    /// `None` when a blob is gone: its object changed.
    async fn locate_parts(
        &self,
        page: Vec<PartBlob>,
        verify: bool,
    ) -> Result<Option<Vec<LocatedPart>>> {
        let mut parts = Vec::new();
        for (number, size, blob) in page {
            let Some(content) = self.locate_content(blob, verify).await? else {
                return Ok(None);
            };
            parts.push(LocatedPart {
                number,
                size,
                content,
            });
        }
        Ok(Some(parts))
    }

    async fn locate_content(
        &self,
        blob: Option<BlobId>,
        verify: bool,
    ) -> Result<Option<LocatedContent>> {
        let Some(blob) = blob else {
            return Ok(Some(LocatedContent::Empty));
        };
        let Some(found) = self.meta.get(&keys::blob(blob)).await? else {
            return Ok(None);
        };
        let record = BlobRecord::decode(&found.value)?;
        if let Some(packed) = record.packed {
            return self.locate_packed(blob, packed, verify).await;
        }
        let Some(place) = record.place else {
            return Ok(Some(LocatedContent::Log { blob }));
        };
        Ok(Some(LocatedContent::Shards {
            blob,
            reduced: record.reduced,
            location: self.blobs.locate(&place, verify).await?,
        }))
    }

    async fn locate_packed(
        &self,
        blob: BlobId,
        packed: Packed,
        verify: bool,
    ) -> Result<Option<LocatedContent>> {
        let pack: Option<BlobRecord> = self.record(&keys::blob(packed.pack)).await?;
        let Some((place, reduced)) = pack.and_then(|pack| Some((pack.place?, pack.reduced))) else {
            // It ended: the content moved or is gone.
            return Ok(None);
        };
        Ok(Some(LocatedContent::Pack {
            blob,
            pack: packed.pack,
            offset: packed.offset,
            reduced,
            location: self.blobs.locate(&place, verify).await?,
        }))
    }
}
