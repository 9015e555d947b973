//! Records of blobs: owned, buried and reduced.

use bytes::Bytes;
use strongroom_base::Timestamp;
use strongroom_blob::Place;
use strongroom_meta::Stamp;
use strongroom_types::{BucketName, ObjectKey, UploadId};

use super::codec::{
    Decoded, FieldsReader, FieldsWriter, Reader, RecordError, RecordFormat, Writer,
};
use super::keys::{BlobId, BucketId};
use super::pack::Packed;

const FORMAT: u8 = 1;

/// What a blob belongs to: exactly one thing, moved in the same commit as that (H26).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BlobOwner {
    Version {
        bucket: BucketId,
        key: ObjectKey,
        stamp: Stamp,
    },
    Part {
        bucket: BucketId,
        key: ObjectKey,
        upload: UploadId,
        number: u16,
    },
    /// Itself: it is a pack, and lives as long as one of its contents (H37).
    Pack,
}

impl BlobOwner {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Version { bucket, key, stamp } => {
                out.u8(1)
                    .u64(bucket.0)
                    .bytes(key.as_str().as_bytes())
                    .u64(stamp.0);
            }
            Self::Part {
                bucket,
                key,
                upload,
                number,
            } => {
                out.u8(2)
                    .u64(bucket.0)
                    .bytes(key.as_str().as_bytes())
                    .raw(&upload.0)
                    .u16(*number);
            }
            Self::Pack => _ = out.u8(3),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Decoded<Self> {
        let kind = reader.u8()?;
        if kind == 3 {
            return Ok(Self::Pack);
        }
        let bucket = BucketId(reader.u64()?);
        let key = ObjectKey::new(reader.text()?).map_err(|_| RecordError::Invalid("key"))?;
        match kind {
            1 => Ok(Self::Version {
                bucket,
                key,
                stamp: Stamp(reader.u64()?),
            }),
            2 => {
                let upload = UploadId(reader.id()?);
                Ok(Self::Part {
                    bucket,
                    key,
                    upload,
                    number: reader.u16()?,
                })
            }
            _ => Err(RecordError::Invalid("owner of a blob")),
        }
    }
}

/// A blob that something owns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlobRecord {
    pub owner: BlobOwner,
    pub size: u64,
    /// None: the content is in a pack, or inline, with this record.
    pub place: Option<Place>,
    /// Whether a record in the reduced family names it.
    pub reduced: bool,
    /// Where the content is, if it is in a pack.
    pub packed: Option<Packed>,
}

impl RecordFormat for BlobRecord {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        fields
            .nested(1, |out| self.owner.write(out))
            .u64(2, self.size)
            .optional(3, self.place.as_ref(), |out, place| _ = out.raw(&place.0))
            .optional(4, self.reduced.then_some(1), |out, flag| _ = out.u8(flag))
            .optional(5, self.packed.as_ref(), |out, packed| packed.write(out));
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let record = Self {
            owner: fields
                .nested(1, BlobOwner::read)?
                .ok_or(RecordError::MissingField(1))?,
            size: fields.u64(2)?,
            place: fields
                .optional(3)
                .map(|bytes| Place(Bytes::copy_from_slice(bytes))),
            reduced: fields.flag(4)?,
            packed: fields.nested(5, Packed::read)?,
        };
        fields.finish()?;
        if record.place.is_some() && record.packed.is_some() {
            return Err(RecordError::Invalid("place of a blob"));
        }
        Ok(record)
    }
}

/// Bytes that nothing refers to any more, held back before they are swept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GraveyardRecord {
    /// One blob, whose record is gone. With neither place nor pack its content is inline, with this
    /// record.
    Blob {
        size: u64,
        place: Option<Place>,
        packed: Option<Packed>,
    },
    /// Blobs whose records are still there: the parts of a version or upload that is gone. They
    /// are buried by name because a commit that moved 10,000 records would be too large.
    Parts { blobs: Vec<BlobId> },
}

impl RecordFormat for GraveyardRecord {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        match self {
            Self::Blob {
                size,
                place,
                packed,
            } => {
                fields.u64(1, *size);
                fields.optional(2, place.as_ref(), |out, place| _ = out.raw(&place.0));
                fields.optional(4, packed.as_ref(), |out, packed| packed.write(out));
            }
            Self::Parts { blobs } => {
                fields.nested(3, |out| blobs.iter().for_each(|blob| _ = out.raw(&blob.0)));
            }
        }
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let blobs = fields.nested(3, |reader| {
            let mut blobs = Vec::new();
            while !reader.is_empty() {
                blobs.push(BlobId(reader.id()?));
            }
            Ok(blobs)
        })?;
        let record = match blobs {
            Some(blobs) => Self::Parts { blobs },
            None => Self::Blob {
                size: fields.u64(1)?,
                place: fields
                    .optional(2)
                    .map(|bytes| Place(Bytes::copy_from_slice(bytes))),
                packed: fields.nested(4, Packed::read)?,
            },
        };
        fields.finish()?;
        if let Self::Blob {
            place: Some(_),
            packed: Some(_),
            ..
        } = record
        {
            return Err(RecordError::Invalid("place of a buried blob"));
        }
        Ok(record)
    }
}

/// Stored with a blob's bytes when they are written: what they were written for, so that a catalogue
/// can be rebuilt from the disks alone. Never updated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreationRecord {
    pub blob: BlobId,
    pub bucket: BucketId,
    pub bucket_name: BucketName,
    pub key: ObjectKey,
    /// Upload and number, for a part.
    pub part: Option<(UploadId, u16)>,
    pub created: Timestamp,
}

impl RecordFormat for CreationRecord {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        fields
            .bytes(1, &self.blob.0)
            .u64(2, self.bucket.0)
            .bytes(3, self.bucket_name.as_str().as_bytes())
            .bytes(4, self.key.as_str().as_bytes())
            .optional(5, self.part, |out, (upload, number)| {
                out.raw(&upload.0).u16(number);
            })
            .u64(6, self.created.0);
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let id = fields
            .bytes(1)?
            .try_into()
            .map_err(|_| RecordError::Invalid("blob"))?;
        let bucket = BucketId(fields.u64(2)?);
        let name = BucketName::new(fields.text(3)?);
        let key = ObjectKey::new(fields.text(4)?);
        let record = Self {
            blob: BlobId(id),
            bucket,
            bucket_name: name.map_err(|_| RecordError::Invalid("bucket name"))?,
            key: key.map_err(|_| RecordError::Invalid("key"))?,
            part: fields.nested(5, |reader| Ok((UploadId(reader.id()?), reader.u16()?)))?,
            created: fields.timestamp(6)?,
        };
        fields.finish()?;
        Ok(record)
    }
}

/// That a blob has less redundancy than asked. The key says which.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReducedRecord;

impl RecordFormat for ReducedRecord {
    fn encode(&self) -> Vec<u8> {
        FieldsWriter::new(FORMAT).finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        FieldsReader::new(bytes, FORMAT)?.finish()?;
        Ok(Self)
    }
}
