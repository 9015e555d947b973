//! Records of keys and their versions.

use std::collections::BTreeMap;

use strongroom_base::Timestamp;
use strongroom_meta::Stamp;
use strongroom_types::{Checksum, ChecksumAlgorithm, ChecksumType, ETag, UploadId, VersionId};

use super::codec::{
    Decoded, FieldsReader, FieldsWriter, Reader, RecordError, RecordFormat, Writer,
};
use super::fields::{
    Encryption, ReplicationStatus, read_blob, read_checksum, read_checksum_kind, read_encryption,
    read_etag, read_headers, read_lock, read_pairs, replication_code, replication_of, write_blob,
    write_checksum, write_checksum_kind, write_encryption, write_etag, write_headers, write_lock,
    write_pairs,
};
use super::keys::BlobId;
use crate::api::{ObjectHeaders, UserMetadata};
use crate::lock::Lock;

const FORMAT: u8 = 1;

/// Most parts listed in the version record itself: the record of a usual multipart object is read
/// in one look-up, and stays below 8 KiB.
pub const PARTS_IN_VERSION_MAX: usize = 100;
/// Parts of one page: at most 67 bytes each, so a page stays well below the store's largest value.
pub const PARTS_IN_PAGE_MAX: usize = 1000;
const _: () = assert!(PARTS_IN_PAGE_MAX * 96 < strongroom_meta::VALUE_SIZE_BYTES_MAX);

/// Exists while any version of the key does. Every change of the key reads it (H15).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeadRecord {
    /// Stamp of the current version.
    pub current: Stamp,
    /// Newest stamp the key ever had while this record existed (H16).
    pub newest: Stamp,
    /// Stamp of the null version, when there is one.
    pub null: Option<Stamp>,
    /// What a list shows; none when the current version is a delete marker.
    pub listed: Option<Listed>,
}

/// What a list shows of a version, so that it reads nothing else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    pub etag: ETag,
    pub size: u64,
    pub last_modified: Timestamp,
    pub storage_class: String,
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
}

impl RecordFormat for HeadRecord {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        fields
            .u64(1, self.current.0)
            .u64(2, self.newest.0)
            .optional(3, self.null, |out, stamp| {
                out.u64(stamp.0);
            });
        if let Some(listed) = &self.listed {
            fields
                .nested(4, |out| write_etag(out, listed.etag))
                .u64(5, listed.size)
                .u64(6, listed.last_modified.0)
                .bytes(7, listed.storage_class.as_bytes())
                .optional(8, listed.checksum, write_checksum_kind);
        }
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let current = fields.stamp(1)?;
        let newest = fields.stamp(2)?;
        let null = fields.nested(3, |reader| reader.u64().map(Stamp))?;
        let listed = match fields.nested(4, read_etag)? {
            None => None,
            Some(etag) => Some(Listed {
                etag,
                size: fields.u64(5)?,
                last_modified: fields.timestamp(6)?,
                storage_class: fields.text(7)?,
                checksum: fields.nested(8, read_checksum_kind)?,
            }),
        };
        fields.finish()?;
        Ok(Self {
            current,
            newest,
            null,
            listed,
        })
    }
}

/// One part of a version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartEntry {
    pub number: u16,
    pub size: u64,
    /// None when it has no bytes.
    pub blob: Option<BlobId>,
    pub checksum: Checksum,
}

fn write_parts(out: &mut Writer, parts: &[PartEntry]) {
    for part in parts {
        let mut entry = Writer::default();
        entry.u16(part.number).u64(part.size);
        write_blob(&mut entry, part.blob);
        write_checksum(&mut entry, part.checksum);
        out.bytes(&entry.finish());
    }
}

fn read_parts(reader: &mut Reader<'_>) -> Decoded<Vec<PartEntry>> {
    let mut parts = Vec::new();
    while !reader.is_empty() {
        let mut entry = Reader::new(reader.bytes()?);
        parts.push(PartEntry {
            number: entry.u16()?,
            size: entry.u64()?,
            blob: read_blob(&mut entry)?,
            checksum: read_checksum(&mut entry)?,
        });
        entry.end()?;
    }
    Ok(parts)
}

/// A page of the parts of a version with many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartPage {
    pub parts: Vec<PartEntry>,
}

impl RecordFormat for PartPage {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        fields.nested(1, |out| write_parts(out, &self.parts));
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let parts = fields.nested(1, read_parts)?.unwrap_or_default();
        fields.finish()?;
        Ok(Self { parts })
    }
}

/// What a page holds, kept in the version record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRef {
    pub part_count: u16,
    pub size: u64,
}

/// Where the bytes of a version are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VersionContent {
    /// There are none.
    Empty,
    /// In one blob.
    Blob(BlobId),
    /// In the blobs of these parts, in order.
    Parts(Vec<PartEntry>),
    /// As `Parts`, in pages of their own.
    Pages(Vec<PageRef>),
}

/// One version: an object or a delete marker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VersionRecord {
    pub is_null: bool,
    pub last_modified: Timestamp,
    /// None for a delete marker.
    pub object: Option<ObjectRecord>,
    pub replication: Option<ReplicationStatus>,
}

/// What a version has that is no delete marker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectRecord {
    pub etag: ETag,
    pub size: u64,
    pub checksum: Option<Checksum>,
    pub storage_class: String,
    pub content: VersionContent,
    pub headers: ObjectHeaders,
    pub metadata: UserMetadata,
    pub tags: BTreeMap<String, String>,
    pub lock: Option<Lock>,
    pub encryption: Option<Encryption>,
    /// The upload it was completed from: a repeated Complete is recognised by it.
    pub upload: Option<UploadId>,
}

impl ObjectRecord {
    /// What a list shows of it.
    #[must_use]
    pub fn listed(&self, last_modified: Timestamp) -> Listed {
        Listed {
            etag: self.etag,
            size: self.size,
            last_modified,
            storage_class: self.storage_class.clone(),
            checksum: self
                .checksum
                .map(|checksum| (checksum.algorithm(), checksum.kind())),
        }
    }

    fn write(&self, fields: &mut FieldsWriter) {
        fields
            .nested(10, |out| write_etag(out, self.etag))
            .u64(11, self.size)
            .optional(12, self.checksum, write_checksum)
            .bytes(13, self.storage_class.as_bytes())
            .nested(14, |out| write_content(out, &self.content))
            .nested(15, |out| write_headers(out, &self.headers))
            .nested(16, |out| write_pairs(out, &self.metadata))
            .nested(17, |out| write_pairs(out, &self.tags))
            .optional(18, self.lock.as_ref(), write_lock)
            .optional(19, self.encryption.as_ref(), write_encryption)
            .optional(20, self.upload, |out, upload| _ = out.raw(&upload.0));
    }

    fn read(etag: ETag, fields: &mut FieldsReader<'_>) -> Decoded<Self> {
        Ok(Self {
            etag,
            size: fields.u64(11)?,
            checksum: fields.nested(12, read_checksum)?,
            storage_class: fields.text(13)?,
            content: fields
                .nested(14, read_content)?
                .ok_or(RecordError::MissingField(14))?,
            headers: fields
                .nested(15, read_headers)?
                .ok_or(RecordError::MissingField(15))?,
            metadata: fields
                .nested(16, read_pairs)?
                .ok_or(RecordError::MissingField(16))?,
            tags: fields
                .nested(17, read_pairs)?
                .ok_or(RecordError::MissingField(17))?,
            lock: fields.nested(18, read_lock)?,
            encryption: fields.nested(19, read_encryption)?,
            upload: fields.nested(20, |reader| reader.id().map(UploadId))?,
        })
    }
}

fn write_content(out: &mut Writer, content: &VersionContent) {
    match content {
        VersionContent::Empty => _ = out.u8(0),
        VersionContent::Blob(blob) => _ = out.u8(1).raw(&blob.0),
        VersionContent::Parts(parts) => {
            out.u8(2);
            write_parts(out, parts);
        }
        VersionContent::Pages(pages) => {
            out.u8(3);
            for page in pages {
                out.u16(page.part_count).u64(page.size);
            }
        }
    }
}

fn read_content(reader: &mut Reader<'_>) -> Decoded<VersionContent> {
    match reader.u8()? {
        0 => Ok(VersionContent::Empty),
        1 => Ok(VersionContent::Blob(BlobId(reader.id()?))),
        2 => Ok(VersionContent::Parts(read_parts(reader)?)),
        3 => {
            let mut pages = Vec::new();
            while !reader.is_empty() {
                pages.push(PageRef {
                    part_count: reader.u16()?,
                    size: reader.u64()?,
                });
            }
            Ok(VersionContent::Pages(pages))
        }
        _ => Err(RecordError::Invalid("content")),
    }
}

impl VersionRecord {
    /// The id of the version that is kept under `stamp`.
    #[must_use]
    pub const fn id(&self, stamp: Stamp) -> VersionId {
        if self.is_null {
            VersionId::Null
        } else {
            VersionId::Stamp(stamp.0)
        }
    }
}

impl RecordFormat for VersionRecord {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        fields
            .u64(1, self.last_modified.0)
            .optional(2, self.is_null.then_some(1), |out, flag| _ = out.u8(flag))
            .optional(3, self.replication, |out, status| {
                _ = out.u8(replication_code(status))
            });
        if let Some(object) = &self.object {
            object.write(&mut fields);
        }
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let last_modified = fields.timestamp(1)?;
        let is_null = fields.flag(2)?;
        let replication = fields.nested(3, |reader| replication_of(reader.u8()?))?;
        let object = match fields.nested(10, read_etag)? {
            None => None,
            Some(etag) => Some(ObjectRecord::read(etag, &mut fields)?),
        };
        fields.finish()?;
        Ok(Self {
            is_null,
            last_modified,
            object,
            replication,
        })
    }
}
