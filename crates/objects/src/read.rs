//! From a key to the bytes of one of its versions.
//!
//! A read takes no part in transactions: it looks up head, version and blob one after the other,
//! and begins again at the head when one of them is gone, because then the key has changed. What
//! is buried stays readable until the sweep, so a stream that has begun can go on.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use strongroom_base::Timestamp;
use strongroom_blob::{ByteStream, Error as BlobError, ErrorKind, Place};
use strongroom_meta::{InlinePlace, Stamp};
use strongroom_types::{ObjectKey, VersionId};

use crate::decide::BucketRef;
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::{
    BlobId, BlobRecord, HeadRecord, ObjectRecord, Packed, PartEntry, PartPage, RecordFormat,
    VersionContent, VersionRecord, keys,
};

/// How often a read begins again because the key changed under it. Each time another write was
/// acknowledged in between; more than this and something is wrong.
pub(crate) const READ_ATTEMPTS_MAX: u32 = 32;

/// A version that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub bucket: BucketRef,
    pub stamp: Stamp,
    pub is_current: bool,
    pub version_id: Option<VersionId>,
    pub last_modified: Timestamp,
    pub object: ObjectRecord,
}

/// A range of one blob.
#[derive(Clone, Debug)]
struct Piece {
    blob: BlobId,
    range: Range<u64>,
}

impl Objects {
    /// The current version, or the one with this id. `versioned` is what the bucket's name said when
    /// the request came.
    ///
    /// # Errors
    /// `NoSuchKey`, `NoSuchVersion`, `MethodNotAllowed` for a delete marker by id, and
    /// `InvalidArgument` (VE16).
    pub(crate) async fn find(
        &self,
        bucket: &BucketRef,
        versioned: bool,
        key: &ObjectKey,
        version_id: Option<VersionId>,
    ) -> Result<Found> {
        if let (false, Some(id @ VersionId::Stamp(_))) = (versioned, version_id) {
            return Err(Error::only_null_versions(id));
        }
        for _ in 0..READ_ATTEMPTS_MAX {
            let head: Option<HeadRecord> = self.record(&keys::head(bucket.id, key)).await?;
            let stamp = match (&head, version_id) {
                (None, None) => return Err(Error::no_such_key()),
                (Some(head), None) => head.current,
                (
                    Some(HeadRecord {
                        null: Some(stamp), ..
                    }),
                    Some(VersionId::Null),
                ) => *stamp,
                (_, Some(VersionId::Stamp(stamp))) => Stamp(stamp),
                (_, Some(VersionId::Null)) => return Err(Error::NoSuchVersion),
            };
            let version_key = keys::version(bucket.id, key, stamp);
            if let Some(version) = self.record::<VersionRecord>(&version_key).await? {
                let is_current = head.is_some_and(|head| head.current == stamp);
                if version.is_null && matches!(version_id, Some(VersionId::Stamp(_))) {
                    // The stamp of the null version is nobody's id.
                    return Err(Error::NoSuchVersion);
                }
                let version = AskedVersion {
                    stamp,
                    is_current,
                    version,
                    asked: version_id,
                    versioned,
                };
                return found(bucket, version);
            }
            if matches!(version_id, Some(VersionId::Stamp(_))) {
                return Err(Error::NoSuchVersion);
            }
        }
        Err(Error::Corrupt {
            message: format!("the head of {key} names a version not there"),
        })
    }

    /// The parts of a version, when it was made of parts.
    pub(crate) async fn parts_of(
        &self,
        bucket: &BucketRef,
        stamp: Stamp,
        content: &VersionContent,
    ) -> Result<Option<Vec<PartEntry>>> {
        match content {
            VersionContent::Empty | VersionContent::Blob(_) => Ok(None),
            VersionContent::Parts(parts) => Ok(Some(parts.clone())),
            VersionContent::Pages(pages) => {
                let mut parts = Vec::new();
                for index in 0..pages.len() {
                    let index = u16::try_from(index).unwrap_or(u16::MAX);
                    let key = keys::part_page(bucket.id, stamp, index);
                    let page: Option<PartPage> = self.record(&key).await?;
                    let Some(page) = page else { return Ok(None) };
                    parts.extend(page.parts);
                }
                Ok(Some(parts))
            }
        }
    }

    /// Opens `range` of the version. `None` when it is gone: find it again.
    ///
    /// The first bytes are read before this returns, so that what can not be read is an error of
    /// the request rather than of its stream.
    pub(crate) async fn open(
        &self,
        found: &Found,
        range: Range<u64>,
    ) -> Result<Option<ByteStream>> {
        let pieces = match &found.object.content {
            VersionContent::Empty => VecDeque::new(),
            VersionContent::Blob(blob) => VecDeque::from([Piece { blob: *blob, range }]),
            content => match self.parts_of(&found.bucket, found.stamp, content).await? {
                None => return Ok(None),
                Some(parts) => pieces_of(&parts, range),
            },
        };
        self.open_pieces(pieces).await
    }

    async fn open_pieces(&self, mut pieces: VecDeque<Piece>) -> Result<Option<ByteStream>> {
        pieces.retain(|piece| !piece.range.is_empty());
        let Some(first) = pieces.pop_front() else {
            return Ok(Some(Box::pin(futures::stream::empty())));
        };
        let Some(begun) = self.open_piece(&first).await? else {
            return Ok(None);
        };
        let objects = self.clone();
        let rest = futures::stream::iter(pieces)
            .then(move |piece| {
                let objects = objects.clone();
                async move { objects.open_piece_later(piece).await }
            })
            .flat_map(|opened| match opened {
                Ok(stream) => stream,
                Err(error) => Box::pin(futures::stream::once(async move { Err(error) })),
            });
        Ok(Some(Box::pin(begun.chain(rest))))
    }

    /// Opens a piece in the middle of a stream.
    async fn open_piece_later(&self, piece: Piece) -> strongroom_blob::Result<ByteStream> {
        match self.open_piece(&piece).await {
            Ok(Some(stream)) => Ok(stream),
            Ok(None) => {
                let message = "the object was deleted and swept while it was read";
                Err(BlobError::new(ErrorKind::Unavailable, message))
            }
            Err(Error::Unavailable { message }) => {
                Err(BlobError::new(ErrorKind::Unavailable, message))
            }
            Err(error) => Err(BlobError::new(ErrorKind::Corrupt, error.to_string())),
        }
    }

    /// Opens a range of one blob, up to its first bytes. `None` when the blob has no record any more.
    async fn open_piece(&self, piece: &Piece) -> Result<Option<ByteStream>> {
        let mut failed: Option<(_, Error)> = None;
        for _ in 0..READ_ATTEMPTS_MAX {
            let Some(found) = self.meta.get(&keys::blob(piece.blob)).await? else {
                return Ok(None);
            };
            let record = BlobRecord::decode(&found.value)?;
            let at = self.whereabouts(&record, found.inline).await?;
            // Content that is not where its record said may have moved, and the old place been swept:
            // the record says where to (H25). If the record is as it was, the error is the answer.
            if let Some((before, error)) = failed.take()
                && before == at
            {
                return Err(error);
            }
            let opened = match &at {
                Whereabouts::Blob(place) => self.open_blob(place, piece.range.clone()).await,
                Whereabouts::Pack(packed, pack) => self
                    .packed_content(piece.blob, *packed, pack.as_ref(), record.size)
                    .await
                    .and_then(|content| one_piece(&content, &piece.range)),
                Whereabouts::Inline(inline) => match self.meta.inline_bytes(*inline).await {
                    Ok(content) => one_piece(&content, &piece.range),
                    Err(error) => Err(error.into()),
                },
            };
            match opened {
                Ok(stream) => return Ok(Some(stream)),
                Err(error) => failed = Some((at, error)),
            }
        }
        Err(Error::Corrupt {
            message: "content is not where its record says".into(),
        })
    }

    async fn whereabouts(
        &self,
        record: &BlobRecord,
        inline: Option<InlinePlace>,
    ) -> Result<Whereabouts> {
        match (&record.place, record.packed, inline) {
            (Some(place), _, _) => Ok(Whereabouts::Blob(place.clone())),
            (None, Some(packed), _) => {
                let place = self.place_of_pack(packed).await?;
                Ok(Whereabouts::Pack(packed, place))
            }
            (None, None, Some(inline)) => Ok(Whereabouts::Inline(inline)),
            (None, None, None) => {
                let message = "a blob has neither place nor content".to_owned();
                Err(Error::Corrupt { message })
            }
        }
    }

    /// Opens a range of what the blob store keeps. The first bytes are read before this returns.
    async fn open_blob(&self, place: &Place, range: Range<u64>) -> Result<ByteStream> {
        let mut stream = self.blobs.read(place, range).await?;
        let Some(begun) = stream.next().await else {
            let message = "a blob gave no bytes".to_owned();
            return Err(Error::Corrupt { message });
        };
        let begun = begun?;
        Ok(Box::pin(
            futures::stream::once(async move { Ok(begun) }).chain(stream),
        ))
    }

    /// Where the pack of a content is. `None` when there is no such pack any more.
    pub(crate) async fn place_of_pack(&self, packed: Packed) -> Result<Option<Place>> {
        let pack: Option<BlobRecord> = self.record(&keys::blob(packed.pack)).await?;
        Ok(pack.and_then(|pack| pack.place))
    }

    /// The content of a blob in the pack at `place`, verified.
    pub(crate) async fn packed_content(
        &self,
        blob: BlobId,
        packed: Packed,
        place: Option<&Place>,
        size: u64,
    ) -> Result<Bytes> {
        let Some(place) = place else {
            let message = format!("pack {} is gone", packed.pack);
            return Err(Error::Corrupt { message });
        };
        let range = packed.offset..packed.offset.saturating_add(size);
        let chunks: Vec<Bytes> = self.blobs.read(place, range).await?.try_collect().await?;
        let content = match <[Bytes; 1]>::try_from(chunks) {
            Ok([content]) => content,
            Err(chunks) => chunks.concat().into(),
        };
        if content.len() as u64 != size || Packed::checksum(blob, &content) != packed.checksum {
            let message = format!(
                "the content of blob {blob} in pack {} is damaged",
                packed.pack
            );
            return Err(Error::Corrupt { message });
        }
        Ok(content)
    }
}

/// Where the content of a blob is, as its records say.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Whereabouts {
    Blob(Place),
    /// In a pack, and where that is.
    Pack(Packed, Option<Place>),
    Inline(InlinePlace),
}

/// A range of content that is there as a whole.
fn one_piece(content: &Bytes, range: &Range<u64>) -> Result<ByteStream> {
    let bounds = usize::try_from(range.start)
        .ok()
        .zip(usize::try_from(range.end).ok());
    match bounds {
        Some((start, end)) if start <= end && end <= content.len() => {
            let slice = content.slice(start..end);
            Ok(Box::pin(futures::stream::once(async move { Ok(slice) })))
        }
        _ => {
            let message = format!("content of {} bytes is too short", content.len());
            Err(Error::Corrupt { message })
        }
    }
}

/// A version as it was asked for.
struct AskedVersion {
    stamp: Stamp,
    is_current: bool,
    version: VersionRecord,
    asked: Option<VersionId>,
    versioned: bool,
}

fn found(bucket: &BucketRef, of: AskedVersion) -> Result<Found> {
    let id = of.version.id(of.stamp);
    let last_modified = of.version.last_modified;
    let Some(object) = of.version.object else {
        return Err(match of.asked {
            None => Error::NoSuchKey {
                delete_marker: Some(id),
            },
            Some(_) => Error::MethodNotAllowed {
                version_id: id,
                last_modified,
            },
        });
    };
    // Sealed bytes are no content: nothing of this program opens them, so nothing may serve them.
    if object.encryption.is_some() {
        let message = "the object is encrypted, which this program can not open".to_owned();
        return Err(Error::Corrupt { message });
    }
    // VE06, VE07: the null version of a bucket that was never versioned has no id to show.
    let version_id = match (id, of.asked) {
        (VersionId::Null, None) if !of.versioned => None,
        (id, _) => Some(id),
    };
    Ok(Found {
        bucket: bucket.clone(),
        stamp: of.stamp,
        is_current: of.is_current,
        version_id,
        last_modified,
        object,
    })
}

/// The pieces of parts that cover `range` of the whole.
fn pieces_of(parts: &[PartEntry], range: Range<u64>) -> VecDeque<Piece> {
    let mut pieces = VecDeque::new();
    let mut start = 0;
    for part in parts {
        let end = start + part.size;
        let from = range.start.clamp(start, end) - start;
        let to = range.end.clamp(start, end) - start;
        if let (Some(blob), true) = (part.blob, from < to) {
            pieces.push_back(Piece {
                blob,
                range: from..to,
            });
        }
        start = end;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use strongroom_types::{Checksum, ChecksumAlgorithm};

    use super::*;

    #[test]
    fn a_range_takes_the_part_of_each_part_that_it_covers() {
        let checksum = Checksum::full_object(ChecksumAlgorithm::Crc32, &[0; 4]).unwrap();
        let part = |number: u16, size| PartEntry {
            number,
            size,
            blob: (size > 0).then_some(BlobId([number as u8; 16])),
            checksum,
        };
        let parts = [part(1, 10), part(2, 0), part(3, 10), part(4, 5)];
        let pieces = |range| -> Vec<_> {
            let pieces = pieces_of(&parts, range).into_iter();
            pieces.map(|piece| (piece.blob.0[0], piece.range)).collect()
        };
        assert_eq!(pieces(0..25), [(1, 0..10), (3, 0..10), (4, 0..5)]);
        assert_eq!(pieces(9..11), [(1, 9..10), (3, 0..1)]);
        assert_eq!(pieces(10..20), [(3, 0..10)]);
        assert_eq!(pieces(24..25), [(4, 4..5)]);
        assert_eq!(pieces(5..5), []);
    }
}
