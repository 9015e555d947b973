//! CompleteMultipartUpload: which parts make the object, and the commit that makes it.

use std::collections::BTreeMap;

use strongroom_base::Timestamp;
use strongroom_base::planted;
use strongroom_meta::{Reads, Stamp};
use strongroom_types::{Checksum, ChecksumType, ETag, ObjectKey, UploadId, VersionId};

use super::bury::bury_parts;
use super::lock::lock_of_new;
use super::put::{KeyState, current_etag, current_object};
use super::{
    BucketRef, Decided, Halt, Writes, check_write, load, writable_bucket, written_version_id,
};
use crate::api::{CompletedPart, OBJECT_SIZE_BYTES_MAX, WriteConditions};
use crate::error::{Condition, Error, Result};
use crate::hash;
use crate::records::usage::{PART_BYTES, PARTS, UPLOADS};
use crate::records::{
    BlobId, BlobOwner, BlobRecord, HeadRecord, ObjectRecord, PARTS_IN_PAGE_MAX,
    PARTS_IN_VERSION_MAX, PageRef, PartEntry, PartPage, PartRecord, RecordFormat, STANDARD,
    UploadRecord, VersionContent, keys,
};

/// A part as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredPart {
    pub number: u16,
    pub record: PartRecord,
}

/// What the client asked of a Complete.
#[derive(Clone, Debug)]
pub struct CompleteRequest {
    pub parts: Vec<CompletedPart>,
    pub checksum: Option<Checksum>,
    pub checksum_type: Option<ChecksumType>,
    pub object_size: Option<u64>,
}

/// The object the parts make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assembled {
    pub etag: ETag,
    pub checksum: Checksum,
    pub size: u64,
    pub parts: Vec<PartEntry>,
}

/// What a Complete made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completed {
    pub etag: ETag,
    pub checksum: Checksum,
    pub size: u64,
    pub version_id: Option<VersionId>,
}

/// Checks the client's list against the stored parts of a closed upload. Pure.
///
/// # Errors
/// `InvalidRequest`, `InvalidPart`, `InvalidPartOrder`, `EntityTooSmall`, `EntityTooLarge`,
/// `BadDigest` (IN05, IN06, IN07).
pub fn assemble(
    request: &CompleteRequest,
    upload: &UploadRecord,
    stored: &[StoredPart],
    part_size_bytes_min: u64,
) -> Result<Assembled> {
    let (algorithm, kind) = upload.checksum_kept();
    if request.parts.is_empty() {
        return Err(Error::invalid_request("you must specify at least one part"));
    }
    if request.checksum_type.is_some_and(|asked| asked != kind) {
        let message = format!("the upload was created with checksum type {}", kind.name());
        return Err(Error::invalid_request(message));
    }
    let stored: BTreeMap<u16, &PartRecord> = stored
        .iter()
        .map(|part| (part.number, &part.record))
        .collect();
    let chosen = choose(request, upload, &stored)?;
    let size = check_sizes(request, &chosen, part_size_bytes_min)?;

    let part_count = u32::try_from(chosen.len()).expect("at most 10,000 parts");
    let md5s: Vec<u8> = chosen.iter().flat_map(|(_, part)| part.md5).collect();
    let etag = ETag::Multipart {
        md5: hash::md5_of(&md5s),
        part_count,
    };
    let checksums = chosen.iter().map(|(_, part)| (part.checksum, part.size));
    let checksum = match kind {
        ChecksumType::Composite => hash::composite(algorithm, checksums.map(|(sum, _)| sum))?,
        ChecksumType::FullObject => hash::combine(algorithm, checksums)?,
    };
    check_declared(request.checksum, checksum)?;
    let parts = chosen
        .iter()
        .map(|(number, part)| PartEntry {
            number: *number,
            size: part.size,
            blob: part.blob,
            checksum: part.checksum,
        })
        .collect();
    Ok(Assembled {
        etag,
        checksum,
        size,
        parts,
    })
}

/// The stored parts the client lists, each checked.
fn choose<'a>(
    request: &CompleteRequest,
    upload: &UploadRecord,
    stored: &BTreeMap<u16, &'a PartRecord>,
) -> Result<Vec<(u16, &'a PartRecord)>> {
    let mut chosen: Vec<(u16, &PartRecord)> = Vec::with_capacity(request.parts.len());
    for (index, listed) in request.parts.iter().enumerate() {
        let number = listed.part_number.get();
        if chosen.last().is_some_and(|(last, _)| *last >= number) {
            return Err(Error::InvalidPartOrder);
        }
        // IN07
        if upload.checksum.is_some() && usize::from(number) != index + 1 {
            return Err(Error::InvalidPartOrder);
        }
        let part = stored.get(&number).copied();
        let part = part.ok_or(Error::InvalidPart {
            part_number: number,
        })?;
        if listed.etag.trim().parse() != Ok(ETag::Md5(part.md5)) {
            return Err(Error::InvalidPart {
                part_number: number,
            });
        }
        check_part_checksum(number, listed.checksum, upload, part)?;
        chosen.push((number, part));
    }
    Ok(chosen)
}

/// IN06: a composite upload lists every part's checksum, and each listed one must be right.
fn check_part_checksum(
    number: u16,
    listed: Option<Checksum>,
    upload: &UploadRecord,
    part: &PartRecord,
) -> Result<()> {
    match listed {
        Some(listed) if listed == part.checksum => Ok(()),
        Some(listed) if Some(listed) == part.checksum_declared => Ok(()),
        Some(_) => Err(Error::InvalidPart {
            part_number: number,
        }),
        None if matches!(upload.checksum, Some((_, ChecksumType::Composite))) => {
            let name = part.checksum.algorithm().name().to_lowercase();
            Err(Error::invalid_request(format!(
                "the upload was created using a {name} checksum; the complete request must \
                 include the checksum for each part; it was missing for part {number}"
            )))
        }
        None => Ok(()),
    }
}

fn check_sizes(
    request: &CompleteRequest,
    chosen: &[(u16, &PartRecord)],
    size_min: u64,
) -> Result<u64> {
    let mut size = 0u64;
    for (index, (number, part)) in chosen.iter().enumerate() {
        if index + 1 < chosen.len() && part.size < size_min {
            return Err(Error::EntityTooSmall {
                part_number: *number,
                size: part.size,
                size_min,
            });
        }
        size = size.saturating_add(part.size);
    }
    if size > OBJECT_SIZE_BYTES_MAX {
        return Err(Error::EntityTooLarge {
            size,
            size_max: OBJECT_SIZE_BYTES_MAX,
        });
    }
    if request.object_size.is_some_and(|declared| declared != size) {
        return Err(Error::invalid_request(format!(
            "the parts have {size} bytes, which is not the object size declared"
        )));
    }
    Ok(size)
}

fn check_declared(declared: Option<Checksum>, computed: Checksum) -> Result<()> {
    match declared {
        None => Ok(()),
        Some(declared) if declared.algorithm() != computed.algorithm() => Err(
            Error::invalid_request("the upload was created with another checksum algorithm"),
        ),
        // A composite value may be written without its count.
        Some(declared) if declared.value() == computed.value() => Ok(()),
        Some(declared) => Err(Error::BadDigest {
            digest: declared.algorithm().name(),
        }),
    }
}

/// A Complete, once its parts are read.
#[derive(Clone, Debug)]
pub struct CompleteCommit {
    pub bucket: BucketRef,
    pub key: ObjectKey,
    pub upload: UploadId,
    pub token: Stamp,
    pub assembled: Assembled,
    /// Every part the closed upload has, chosen or not.
    pub stored: Vec<StoredPart>,
    pub conditions: WriteConditions,
    pub now: Timestamp,
}

/// Last step of CompleteMultipartUpload: the parts' blobs become the version's, in one commit with
/// the version and the end of the upload (H26). Parts that were not chosen are buried.
///
/// # Errors
/// `NoSuchBucket`, `NoSuchUpload`, `OperationAborted` when the upload was reopened since it was
/// closed with this token, those of the conditions.
pub fn finish_complete(reads: &mut dyn Reads, commit: &CompleteCommit) -> Decided<Completed> {
    let bucket = commit.bucket.id;
    let mut writes = Writes::default();
    let state = writable_bucket(reads, &mut writes, &commit.bucket, commit.now)?;
    let upload_key = keys::upload(bucket, &commit.key, commit.upload);
    let upload: UploadRecord = load(reads, &upload_key)?.ok_or(Error::NoSuchUpload)?;
    if upload
        .closing
        .is_none_or(|closing| closing.token != commit.token)
    {
        return Err(Error::OperationAborted.into());
    }
    let head: Option<HeadRecord> = load(reads, &keys::head(bucket, &commit.key))?;
    check_write(&commit.conditions, current_etag(head.as_ref()))?;
    check_unchanged(
        &commit.conditions,
        upload.found,
        current_object(head.as_ref()),
    )?;

    let asked = upload.lock.unwrap_or_default();
    let lock = lock_of_new(reads, bucket, &state, asked, commit.now)?;
    let at = KeyState {
        bucket,
        key: &commit.key,
        versioning: state.versioning,
        head,
    };
    let stamp = at.issue_stamp(reads);
    let assembled = &commit.assembled;
    for part in &assembled.parts {
        if let Some(blob) = part.blob {
            move_blob(reads, &mut writes, blob, commit, stamp)?;
        }
    }
    end_upload(&mut writes, upload_key, commit, stamp);
    let object = ObjectRecord {
        etag: assembled.etag,
        size: assembled.size,
        checksum: Some(assembled.checksum),
        storage_class: upload.storage_class,
        content: write_parts(&mut writes, commit, stamp),
        headers: upload.headers,
        metadata: upload.metadata,
        tags: upload.tags,
        lock,
        encryption: upload.encryption,
        upload: Some(commit.upload),
    };
    at.install(reads, &mut writes, stamp, commit.now, object)?;
    let completed = Completed {
        etag: assembled.etag,
        checksum: assembled.checksum,
        size: assembled.size,
        version_id: written_version_id(state.versioning, stamp),
    };
    Ok((writes.finish(bucket, STANDARD), completed))
}

/// CO05: a condition that holds now says nothing about the object the client saw when it started the
/// upload, if another write or delete came in between.
fn check_unchanged(
    conditions: &WriteConditions,
    found: Option<Stamp>,
    current: Stamp,
) -> Result<()> {
    let condition = match conditions {
        WriteConditions {
            if_match: Some(_), ..
        } => Condition::IfMatch,
        WriteConditions {
            if_none_match: Some(_),
            ..
        } => Condition::IfNoneMatch,
        _ => return Ok(()),
    };
    match found {
        Some(found) if found != current => Err(Error::ConditionalRequestConflict { condition }),
        _ => Ok(()),
    }
}

/// Makes the version the owner of a part's blob (H26). The record is read because its place may
/// have moved since the part was uploaded.
fn move_blob(
    reads: &mut dyn Reads,
    writes: &mut Writes,
    blob: BlobId,
    commit: &CompleteCommit,
    stamp: Stamp,
) -> std::result::Result<(), Halt> {
    let key = keys::blob(blob);
    let Some(found) = reads.get(&key)? else {
        let message = format!("a part of upload {} has no blob record", commit.upload);
        return Err(Error::Corrupt { message }.into());
    };
    let mut record = BlobRecord::decode(&found.value).map_err(Error::from)?;
    if !planted("objects-blob-owner-not-moved") {
        record.owner = BlobOwner::Version {
            bucket: commit.bucket.id,
            key: commit.key.clone(),
            stamp,
        };
    }
    if found.inline.is_some() {
        writes.move_inline(key.clone(), key, &record);
    } else {
        writes.put(key, &record);
    }
    Ok(())
}

/// Deletes the upload and its part records; buries the parts that were not chosen.
fn end_upload(writes: &mut Writes, upload_key: Vec<u8>, commit: &CompleteCommit, when: Stamp) {
    writes.delete(upload_key);
    writes.usage.0[UPLOADS] -= 1;
    let mut chosen = commit
        .assembled
        .parts
        .iter()
        .map(|part| part.number)
        .peekable();
    let mut left_over = Vec::new();
    for part in &commit.stored {
        writes.usage.count(PARTS, PART_BYTES, part.record.size, -1);
        writes.delete(keys::part(commit.bucket.id, commit.upload, part.number));
        match chosen.next_if_eq(&part.number) {
            Some(_) => {}
            None => {
                let size = part.record.size;
                left_over.extend(part.record.blob.map(|blob| (blob, size)));
            }
        }
    }
    bury_parts(writes, left_over, when);
}

/// The parts in the version record, or in pages beside it when they are many.
fn write_parts(writes: &mut Writes, commit: &CompleteCommit, stamp: Stamp) -> VersionContent {
    let parts = &commit.assembled.parts;
    if parts.len() <= PARTS_IN_VERSION_MAX {
        return VersionContent::Parts(parts.clone());
    }
    let mut pages = Vec::new();
    for (index, page) in parts.chunks(PARTS_IN_PAGE_MAX).enumerate() {
        let index = u16::try_from(index).expect("ten pages at most");
        let key = keys::part_page(commit.bucket.id, stamp, index);
        writes.put(
            key,
            &PartPage {
                parts: page.to_vec(),
            },
        );
        pages.push(PageRef {
            part_count: u16::try_from(page.len()).expect("a page has at most 1000 parts"),
            size: page.iter().map(|part| part.size).sum(),
        });
    }
    VersionContent::Pages(pages)
}
