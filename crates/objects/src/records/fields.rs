//! Parts of records that several of them share.

use std::collections::BTreeMap;

use strongroom_types::{Checksum, ChecksumAlgorithm, ChecksumType, ETag};

use super::codec::{Decoded, Reader, RecordError, Writer, text};
use super::keys::BlobId;
use crate::api::{ObjectHeaders, UserMetadata};
use crate::lock::{LegalHold, Lock, LockMode, Retention};

/// The only storage class for now.
pub const STANDARD: &str = "STANDARD";

pub fn write_etag(out: &mut Writer, etag: ETag) {
    out.raw(etag.md5());
    if let ETag::Multipart { part_count, .. } = etag {
        out.u32(part_count);
    }
}

pub fn read_etag(reader: &mut Reader<'_>) -> Decoded<ETag> {
    let md5 = reader.id()?;
    if reader.is_empty() {
        return Ok(ETag::Md5(md5));
    }
    Ok(ETag::Multipart {
        md5,
        part_count: reader.u32()?,
    })
}

const fn algorithm_code(algorithm: ChecksumAlgorithm) -> u8 {
    match algorithm {
        ChecksumAlgorithm::Crc32 => 1,
        ChecksumAlgorithm::Crc32c => 2,
        ChecksumAlgorithm::Crc64Nvme => 3,
        ChecksumAlgorithm::Sha1 => 4,
        ChecksumAlgorithm::Sha256 => 5,
    }
}

fn algorithm_of(code: u8) -> Decoded<ChecksumAlgorithm> {
    ChecksumAlgorithm::ALL
        .into_iter()
        .find(|algorithm| algorithm_code(*algorithm) == code)
        .ok_or(RecordError::Invalid("checksum algorithm"))
}

pub fn write_checksum(out: &mut Writer, checksum: Checksum) {
    out.u8(algorithm_code(checksum.algorithm()))
        .u32(checksum.part_count())
        .raw(checksum.value());
}

pub fn read_checksum(reader: &mut Reader<'_>) -> Decoded<Checksum> {
    let algorithm = algorithm_of(reader.u8()?)?;
    let part_count = reader.u32()?;
    let value = reader.raw(algorithm.size())?;
    let checksum = match part_count {
        0 => Checksum::full_object(algorithm, value),
        count => Checksum::composite(algorithm, value, count),
    };
    checksum.map_err(|_| RecordError::Invalid("checksum"))
}

pub fn write_checksum_kind(out: &mut Writer, kind: (ChecksumAlgorithm, ChecksumType)) {
    out.u8(algorithm_code(kind.0)).u8(match kind.1 {
        ChecksumType::FullObject => 0,
        ChecksumType::Composite => 1,
    });
}

pub fn read_checksum_kind(reader: &mut Reader<'_>) -> Decoded<(ChecksumAlgorithm, ChecksumType)> {
    let algorithm = algorithm_of(reader.u8()?)?;
    match reader.u8()? {
        0 => Ok((algorithm, ChecksumType::FullObject)),
        1 => Ok((algorithm, ChecksumType::Composite)),
        _ => Err(RecordError::Invalid("checksum type")),
    }
}

/// Headers as pairs of a code and a text.
pub fn write_headers(out: &mut Writer, headers: &ObjectHeaders) {
    let fields = [
        (1, &headers.content_type),
        (2, &headers.content_encoding),
        (3, &headers.content_language),
        (4, &headers.content_disposition),
        (5, &headers.cache_control),
        (6, &headers.expires),
        (7, &headers.website_redirect_location),
    ];
    for (code, value) in fields {
        if let Some(value) = value {
            out.u8(code).bytes(value.as_bytes());
        }
    }
}

pub fn read_headers(reader: &mut Reader<'_>) -> Decoded<ObjectHeaders> {
    let mut headers = ObjectHeaders::default();
    while !reader.is_empty() {
        let slot = match reader.u8()? {
            1 => &mut headers.content_type,
            2 => &mut headers.content_encoding,
            3 => &mut headers.content_language,
            4 => &mut headers.content_disposition,
            5 => &mut headers.cache_control,
            6 => &mut headers.expires,
            7 => &mut headers.website_redirect_location,
            _ => return Err(RecordError::Invalid("header")),
        };
        *slot = Some(reader.text()?);
    }
    Ok(headers)
}

/// Metadata, and tags.
pub fn write_pairs(out: &mut Writer, pairs: &BTreeMap<String, String>) {
    for (name, value) in pairs {
        out.bytes(name.as_bytes()).bytes(value.as_bytes());
    }
}

pub fn read_pairs(reader: &mut Reader<'_>) -> Decoded<UserMetadata> {
    let mut pairs = BTreeMap::new();
    while !reader.is_empty() {
        let name = reader.text()?;
        pairs.insert(name, reader.text()?);
    }
    Ok(pairs)
}

/// A blob, or none for content of no bytes.
pub fn write_blob(out: &mut Writer, blob: Option<BlobId>) {
    match blob {
        None => out.u8(0),
        Some(blob) => out.u8(1).raw(&blob.0),
    };
}

pub fn read_blob(reader: &mut Reader<'_>) -> Decoded<Option<BlobId>> {
    match reader.u8()? {
        0 => Ok(None),
        1 => Ok(Some(BlobId(reader.id()?))),
        _ => Err(RecordError::Invalid("blob")),
    }
}

pub fn write_lock(out: &mut Writer, lock: &Lock) {
    let (mode, until) = match lock.retention {
        None => (0, 0),
        Some(Retention { mode, until }) => (mode_number(mode), until),
    };
    let hold = match lock.legal_hold {
        None => 0,
        Some(LegalHold::On) => 1,
        Some(LegalHold::Off) => 2,
    };
    out.u8(mode).u64(until).u8(hold);
}

/// What is not understood is an error and never no lock (OL44).
pub fn read_lock(reader: &mut Reader<'_>) -> Decoded<Lock> {
    let mode = reader.u8()?;
    let until = reader.u64()?;
    let retention = match mode {
        0 => None,
        mode => Some(Retention {
            mode: read_mode(mode)?,
            until,
        }),
    };
    let legal_hold = match reader.u8()? {
        0 => None,
        1 => Some(LegalHold::On),
        2 => Some(LegalHold::Off),
        _ => return Err(RecordError::Invalid("legal hold")),
    };
    Ok(Lock {
        retention,
        legal_hold,
    })
}

pub const fn mode_number(mode: LockMode) -> u8 {
    match mode {
        LockMode::Governance => 1,
        LockMode::Compliance => 2,
    }
}

pub const fn read_mode(number: u8) -> Decoded<LockMode> {
    match number {
        1 => Ok(LockMode::Governance),
        2 => Ok(LockMode::Compliance),
        _ => Err(RecordError::Invalid("retention mode")),
    }
}

/// How content is sealed: room for it from the first format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encryption {
    /// Frame format and cipher.
    pub algorithm: u8,
    /// Name of the key that sealed the data key.
    pub key_name: String,
    pub data_key_sealed: Vec<u8>,
}

pub fn write_encryption(out: &mut Writer, encryption: &Encryption) {
    out.u8(encryption.algorithm)
        .bytes(encryption.key_name.as_bytes())
        .bytes(&encryption.data_key_sealed);
}

pub fn read_encryption(reader: &mut Reader<'_>) -> Decoded<Encryption> {
    Ok(Encryption {
        algorithm: reader.u8()?,
        key_name: text(reader.bytes()?)?,
        data_key_sealed: reader.bytes()?.to_vec(),
    })
}

/// Replication status of one version: room for it from the first format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplicationStatus {
    Pending,
    Completed,
    Failed,
    Replica,
}

pub const fn replication_code(status: ReplicationStatus) -> u8 {
    match status {
        ReplicationStatus::Pending => 1,
        ReplicationStatus::Completed => 2,
        ReplicationStatus::Failed => 3,
        ReplicationStatus::Replica => 4,
    }
}

pub fn replication_of(code: u8) -> Decoded<ReplicationStatus> {
    match code {
        1 => Ok(ReplicationStatus::Pending),
        2 => Ok(ReplicationStatus::Completed),
        3 => Ok(ReplicationStatus::Failed),
        4 => Ok(ReplicationStatus::Replica),
        _ => Err(RecordError::Invalid("replication status")),
    }
}
