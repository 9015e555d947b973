//! Records of multipart uploads.

use std::collections::BTreeMap;

use strongroom_base::Timestamp;
use strongroom_meta::Stamp;
use strongroom_types::{Checksum, ChecksumAlgorithm, ChecksumType};

use super::bucket::Closing;
use super::codec::{Decoded, FieldsReader, FieldsWriter, RecordError, RecordFormat};
use super::fields::{
    Encryption, read_blob, read_checksum, read_checksum_kind, read_encryption, read_headers,
    read_lock, read_pairs, write_blob, write_checksum, write_checksum_kind, write_encryption,
    write_headers, write_lock, write_pairs,
};
use super::keys::BlobId;
use crate::api::{ObjectHeaders, UserMetadata};
use crate::lock::Lock;

const FORMAT: u8 = 1;

/// A multipart upload in progress.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UploadRecord {
    pub initiated: Timestamp,
    /// CompleteMultipartUpload is reading the parts (H27).
    pub closing: Option<Closing>,
    /// What the client asked for; none means CRC64NVME of the full object.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
    pub storage_class: String,
    pub headers: ObjectHeaders,
    pub metadata: UserMetadata,
    pub tags: BTreeMap<String, String>,
    pub lock: Option<Lock>,
    pub encryption: Option<Encryption>,
    /// The current version of the key when the upload was started, `Stamp(0)` when there was no
    /// object: a conditional Complete conflicts with whatever changed it since (CO05). None in
    /// uploads that were started before this was kept.
    pub found: Option<Stamp>,
}

impl UploadRecord {
    /// What is computed of each part and kept of the whole.
    #[must_use]
    pub fn checksum_kept(&self) -> (ChecksumAlgorithm, ChecksumType) {
        self.checksum
            .unwrap_or((ChecksumAlgorithm::Crc64Nvme, ChecksumType::FullObject))
    }
}

impl RecordFormat for UploadRecord {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        fields
            .u64(1, self.initiated.0)
            .optional(2, self.closing, |out, closing| {
                out.u64(closing.token.0).u64(closing.since.0);
            })
            .optional(3, self.checksum, write_checksum_kind)
            .bytes(4, self.storage_class.as_bytes())
            .nested(5, |out| write_headers(out, &self.headers))
            .nested(6, |out| write_pairs(out, &self.metadata))
            .nested(7, |out| write_pairs(out, &self.tags))
            .optional(8, self.lock.as_ref(), write_lock)
            .optional(9, self.encryption.as_ref(), write_encryption)
            .optional(10, self.found, |out, stamp| {
                out.u64(stamp.0);
            });
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let record = Self {
            initiated: fields.timestamp(1)?,
            closing: fields.nested(2, |reader| {
                Ok(Closing {
                    token: Stamp(reader.u64()?),
                    since: Timestamp(reader.u64()?),
                })
            })?,
            checksum: fields.nested(3, read_checksum_kind)?,
            storage_class: fields.text(4)?,
            headers: fields
                .nested(5, read_headers)?
                .ok_or(RecordError::MissingField(5))?,
            metadata: fields
                .nested(6, read_pairs)?
                .ok_or(RecordError::MissingField(6))?,
            tags: fields
                .nested(7, read_pairs)?
                .ok_or(RecordError::MissingField(7))?,
            lock: fields.nested(8, read_lock)?,
            encryption: fields.nested(9, read_encryption)?,
            found: fields.nested(10, |reader| reader.u64().map(Stamp))?,
        };
        fields.finish()?;
        Ok(record)
    }
}

/// One part of an upload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartRecord {
    pub md5: [u8; 16],
    pub size: u64,
    pub last_modified: Timestamp,
    /// Of the algorithm the upload keeps.
    pub checksum: Checksum,
    /// What the client declared, when that is another algorithm.
    pub checksum_declared: Option<Checksum>,
    /// None when it has no bytes.
    pub blob: Option<BlobId>,
    pub encryption: Option<Encryption>,
}

impl RecordFormat for PartRecord {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        fields
            .bytes(1, &self.md5)
            .u64(2, self.size)
            .u64(3, self.last_modified.0)
            .nested(4, |out| write_checksum(out, self.checksum))
            .optional(5, self.checksum_declared, write_checksum)
            .nested(6, |out| write_blob(out, self.blob))
            .optional(7, self.encryption.as_ref(), write_encryption);
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let md5 = fields
            .bytes(1)?
            .try_into()
            .map_err(|_| RecordError::Invalid("md5"))?;
        let record = Self {
            md5,
            size: fields.u64(2)?,
            last_modified: fields.timestamp(3)?,
            checksum: fields
                .nested(4, read_checksum)?
                .ok_or(RecordError::MissingField(4))?,
            checksum_declared: fields.nested(5, read_checksum)?,
            blob: fields
                .nested(6, read_blob)?
                .ok_or(RecordError::MissingField(6))?,
            encryption: fields.nested(7, read_encryption)?,
        };
        fields.finish()?;
        Ok(record)
    }
}
