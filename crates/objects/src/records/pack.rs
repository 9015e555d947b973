//! Packs: blobs that hold the contents of many small blobs, and a directory of them (RFC 0008).
//!
//! The formats only: contents one after the other, the directory, a trailer that says how long the
//! directory is and proves it. Everything is checked before it is believed.

use bytes::{BufMut, Bytes, BytesMut};
use strongroom_base::Timestamp;
use twox_hash::XxHash3_64;

use super::codec::{
    Decoded, FieldsReader, FieldsWriter, Reader, RecordError, RecordFormat, Writer,
};
use super::keys::BlobId;

const FORMAT: u8 = 1;
const PACK_FORMAT: u16 = 1;
const MAGIC: &[u8; 8] = b"STRGRMPK";
/// Bytes of one entry of the directory.
pub const PACK_ENTRY_BYTES: usize = 36;
/// Bytes of the trailer.
pub const PACK_TRAILER_BYTES: usize = 40;

/// Counters of a pack: bytes of its live contents.
pub const LIVE_BYTES: usize = 0;
/// How many contents live.
pub const LIVE_CONTENTS: usize = 1;
/// Bytes of all its contents.
pub const ALL_BYTES: usize = 2;
/// How many there were.
pub const ALL_CONTENTS: usize = 3;

/// Where the content of a small blob is: in a pack. Its length is the size in its record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Packed {
    /// The pack's blob.
    pub pack: BlobId,
    pub offset: u64,
    pub checksum: u64,
}

impl Packed {
    /// The checksum of `content`, bound to the blob it belongs to and to nothing else, so that it
    /// stays when the content moves to another pack.
    #[must_use]
    pub fn checksum(blob: BlobId, content: &[u8]) -> u64 {
        let seed = blob.0.last_chunk().expect("an id has sixteen bytes");
        XxHash3_64::oneshot_with_seed(u64::from_be_bytes(*seed), content)
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.raw(&self.pack.0).u64(self.offset).u64(self.checksum);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Decoded<Self> {
        Ok(Self {
            pack: BlobId(reader.id()?),
            offset: reader.u64()?,
            checksum: reader.u64()?,
        })
    }
}

/// A content in the directory of a pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackEntry {
    pub blob: BlobId,
    pub offset: u64,
    pub length: u32,
    pub checksum: u64,
}

/// Gathers contents into a pack.
#[derive(Default)]
pub struct PackBuilder {
    contents: Vec<Bytes>,
    entries: Vec<PackEntry>,
    size: u64,
}

impl PackBuilder {
    /// Adds a content and gives its place in the pack with this id.
    ///
    /// # Panics
    /// When the content is larger than 4 GiB; contents are at most what is kept inline.
    pub fn add(&mut self, pack: BlobId, blob: BlobId, content: Bytes) -> Packed {
        let length = u32::try_from(content.len()).expect("contents are small");
        let (offset, checksum) = (self.size, Packed::checksum(blob, &content));
        self.entries.push(PackEntry {
            blob,
            offset,
            length,
            checksum,
        });
        self.size += u64::from(length);
        self.contents.push(content);
        Packed {
            pack,
            offset,
            checksum,
        }
    }

    /// Bytes of the contents so far.
    #[must_use]
    pub const fn content_bytes(&self) -> u64 {
        self.size
    }

    /// How many there are.
    #[must_use]
    pub const fn content_count(&self) -> usize {
        self.entries.len()
    }

    /// The pack, in pieces.
    #[must_use]
    pub fn finish(self, pack: BlobId) -> Vec<Bytes> {
        let count = u32::try_from(self.entries.len()).expect("contents are few");
        let mut directory = BytesMut::new();
        for entry in &self.entries {
            directory.put_slice(&entry.blob.0);
            directory.put_u64(entry.offset);
            directory.put_u32(entry.length);
            directory.put_u64(entry.checksum);
        }
        directory.put_slice(MAGIC);
        directory.put_u16(PACK_FORMAT);
        directory.put_u16(0);
        directory.put_u32(count);
        directory.put_slice(&pack.0);
        let checksum = XxHash3_64::oneshot(&directory);
        directory.put_u64(checksum);
        let mut pieces = self.contents;
        pieces.push(directory.freeze());
        pieces
    }
}

/// Reads the directory at the end of `bytes`, which are all of the pack with this id. Every entry
/// lies within the contents.
///
/// # Errors
/// When it is not the pack, or damaged.
pub fn pack_directory(pack: BlobId, bytes: &[u8]) -> Decoded<Vec<PackEntry>> {
    let trailer_at = bytes.len().checked_sub(PACK_TRAILER_BYTES);
    let trailer_at = trailer_at.ok_or(RecordError::Truncated)?;
    let mut trailer = Reader::new(&bytes[trailer_at..]);
    if trailer.raw(MAGIC.len())? != MAGIC {
        return Err(RecordError::Invalid("pack"));
    }
    let format = trailer.u16()?;
    if format != PACK_FORMAT {
        return Err(RecordError::NewerFormat {
            found: u8::try_from(format).unwrap_or(u8::MAX),
            known: FORMAT,
        });
    }
    trailer.u16()?;
    let count = trailer.u32()? as usize;
    if BlobId(trailer.id()?) != pack {
        return Err(RecordError::Invalid("pack id"));
    }
    let checksum = trailer.u64()?;
    let size = count.checked_mul(PACK_ENTRY_BYTES);
    let start = size.and_then(|size| trailer_at.checked_sub(size));
    let start = start.ok_or(RecordError::Truncated)?;
    if XxHash3_64::oneshot(&bytes[start..bytes.len() - 8]) != checksum {
        return Err(RecordError::Invalid("checksum of a pack's directory"));
    }
    let mut reader = Reader::new(&bytes[start..trailer_at]);
    let mut entries = Vec::with_capacity(count);
    while !reader.is_empty() {
        let entry = PackEntry {
            blob: BlobId(reader.id()?),
            offset: reader.u64()?,
            length: reader.u32()?,
            checksum: reader.u64()?,
        };
        let end = entry.offset.checked_add(u64::from(entry.length));
        if end.is_none_or(|end| end > start as u64) {
            return Err(RecordError::Invalid("entry of a pack"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Stored with a pack's bytes, as [`super::CreationRecord`] is with those of other blobs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PackCreationRecord {
    pub pack: BlobId,
    pub created: Timestamp,
    pub content_count: u64,
}

impl RecordFormat for PackCreationRecord {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        fields
            .bytes(1, &self.pack.0)
            .u64(6, self.created.0)
            .u64(7, self.content_count);
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let id = fields.bytes(1)?;
        let id = id.try_into().map_err(|_| RecordError::Invalid("pack"))?;
        let record = Self {
            pack: BlobId(id),
            created: fields.timestamp(6)?,
            content_count: fields.u64(7)?,
        };
        fields.finish()?;
        Ok(record)
    }
}
