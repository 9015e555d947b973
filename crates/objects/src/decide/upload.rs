//! Multipart uploads until they are completed: create, put a part, close, reopen, abort.

use strongroom_base::Timestamp;
use strongroom_base::planted;
use strongroom_meta::{Reads, Stamp};
use strongroom_types::{Checksum, ObjectKey, UploadId};

use super::bury::{bury_blob, bury_parts};
use super::lock::{check_has_locks, check_not_over};
use super::put::current_object;
use super::{
    BucketRef, Completed, Decided, Halt, NewContent, StoredPart, Writes, bucket_state, is_believed,
    load, writable_bucket,
};
use crate::error::Error;
use crate::records::usage::{PART_BYTES, PARTS, UPLOADS};
use crate::records::{
    BlobOwner, Closing, HeadRecord, PartRecord, STANDARD, UploadRecord, VersionRecord, keys,
};

/// Starts an upload, and notes what it would replace (CO05).
///
/// # Errors
/// `NoSuchBucket`, `OperationAborted`, `InvalidRequest` (OL15).
pub fn create_upload(
    reads: &mut dyn Reads,
    bucket: &BucketRef,
    key: &ObjectKey,
    id: UploadId,
    record: &UploadRecord,
) -> Decided<()> {
    let mut writes = Writes::default();
    let state = writable_bucket(reads, &mut writes, bucket, record.initiated)?;
    if let Some(lock) = record.lock {
        check_has_locks(&state)?;
        check_not_over(reads, lock.retention, record.initiated)?;
    }
    let upload_key = keys::upload(bucket.id, key, id);
    if reads.get(&upload_key)?.is_some() {
        let message = format!("upload id {id} was given before");
        return Err(Error::Internal { message }.into());
    }
    let head: Option<HeadRecord> = load(reads, &keys::head(bucket.id, key))?;
    let record = UploadRecord {
        found: Some(current_object(head.as_ref())),
        ..record.clone()
    };
    writes.put(upload_key, &record);
    writes.usage.0[UPLOADS] += 1;
    Ok((writes.finish(bucket.id, STANDARD), ()))
}

/// A part, once its bytes are durable.
#[derive(Clone, Debug)]
pub struct PartCommit {
    pub bucket: BucketRef,
    pub key: ObjectKey,
    pub upload: UploadId,
    pub number: u16,
    pub content: NewContent,
    /// What the client declared, when that is another algorithm than the one kept.
    pub checksum_declared: Option<Checksum>,
    pub now: Timestamp,
}

/// Puts a part in its place; one that was there before is buried. Guarded on the upload being open
/// (H27).
///
/// # Errors
/// `NoSuchBucket`, `NoSuchUpload`, `OperationAborted` while the upload is being completed.
pub fn put_part(reads: &mut dyn Reads, commit: &PartCommit) -> Decided<()> {
    let mut writes = Writes::default();
    writable_bucket(reads, &mut writes, &commit.bucket, commit.now)?;
    let upload_key = keys::upload(commit.bucket.id, &commit.key, commit.upload);
    let mut upload: UploadRecord = load(reads, &upload_key)?.ok_or(Error::NoSuchUpload)?;
    if let Some(closing) = upload.closing {
        if is_believed(closing, commit.now) && !planted("objects-part-into-closed-upload") {
            return Err(Error::OperationAborted.into());
        }
        upload.closing = None;
        writes.put(upload_key, &upload);
    }
    let part_key = keys::part(commit.bucket.id, commit.upload, commit.number);
    if let Some(old) = load::<PartRecord>(reads, &part_key)? {
        writes.usage.count(PARTS, PART_BYTES, old.size, -1);
        if let Some(blob) = old.blob {
            let when = reads.issue_stamp(Stamp(0));
            bury_blob(reads, &mut writes, blob, when)?;
        }
    }
    let content = &commit.content;
    writes.usage.count(PARTS, PART_BYTES, content.size, 1);
    let part = PartRecord {
        md5: content.md5,
        size: content.size,
        last_modified: commit.now,
        checksum: content.checksum,
        checksum_declared: commit.checksum_declared,
        blob: content.blob(),
        encryption: None,
    };
    writes.put(part_key, &part);
    let owner = BlobOwner::Part {
        bucket: commit.bucket.id,
        key: commit.key.clone(),
        upload: commit.upload,
        number: commit.number,
    };
    content.write_blob(reads, &mut writes, owner)?;
    Ok((writes.finish(commit.bucket.id, STANDARD), ()))
}

/// What closing an upload found.
#[derive(Clone, Debug)]
pub enum ClosedUpload {
    /// It is closed, by this call or by one before it.
    Closed {
        record: Box<UploadRecord>,
        token: Stamp,
    },
    /// It is gone, and the current version was completed from it: a repeated Complete.
    Done(Completed),
}

/// First step of CompleteMultipartUpload and AbortMultipartUpload: closes the upload, so that its
/// parts stand still while they are read (H27). One that is closed already keeps its token: a
/// crash may have left it so.
///
/// # Errors
/// `NoSuchBucket`, `NoSuchUpload`.
pub fn close_upload(
    reads: &mut dyn Reads,
    bucket: &BucketRef,
    key: &ObjectKey,
    id: UploadId,
    now: Timestamp,
) -> Decided<ClosedUpload> {
    bucket_state(reads, bucket)?;
    let upload_key = keys::upload(bucket.id, key, id);
    let Some(mut record) = load::<UploadRecord>(reads, &upload_key)? else {
        let done = completed_from(reads, bucket, key, id)?;
        return Ok((Vec::new(), ClosedUpload::Done(done)));
    };
    if let Some(closing) = record.closing {
        let (record, token) = (Box::new(record), closing.token);
        return Ok((Vec::new(), ClosedUpload::Closed { record, token }));
    }
    let token = reads.issue_stamp(Stamp(0));
    record.closing = Some(Closing { token, since: now });
    let mut writes = Writes::default();
    writes.put(upload_key, &record);
    let record = Box::new(record);
    Ok((
        writes.finish(bucket.id, STANDARD),
        ClosedUpload::Closed { record, token },
    ))
}

/// The current version, if it was completed from this upload.
fn completed_from(
    reads: &mut dyn Reads,
    bucket: &BucketRef,
    key: &ObjectKey,
    id: UploadId,
) -> Result<Completed, Halt> {
    let head: HeadRecord = load(reads, &keys::head(bucket.id, key))?.ok_or(Error::NoSuchUpload)?;
    let version: Option<VersionRecord> = load(reads, &keys::version(bucket.id, key, head.current))?;
    let version = version.ok_or(Error::NoSuchUpload)?;
    // As the commit showed it, whatever the bucket's versioning is by now (VE34).
    let version_id = (!version.is_null).then(|| version.id(head.current));
    let object = version.object.ok_or(Error::NoSuchUpload)?;
    match (object.upload, object.checksum) {
        (Some(upload), Some(checksum)) if upload == id => Ok(Completed {
            etag: object.etag,
            checksum,
            size: object.size,
            version_id,
        }),
        _ => Err(Error::NoSuchUpload.into()),
    }
}

/// Opens the upload again after a Complete that failed, if it is still closed by this token, and
/// says whether it was: its parts stood still until now only if so.
///
/// # Errors
/// `NoSuchBucket`.
pub fn reopen_upload(
    reads: &mut dyn Reads,
    bucket: &BucketRef,
    key: &ObjectKey,
    id: UploadId,
    token: Stamp,
) -> Decided<bool> {
    bucket_state(reads, bucket)?;
    let upload_key = keys::upload(bucket.id, key, id);
    let mut writes = Writes::default();
    let mut held = false;
    if let Some(mut record) = load::<UploadRecord>(reads, &upload_key)?
        && record.closing.is_some_and(|closing| closing.token == token)
    {
        held = true;
        record.closing = None;
        writes.put(upload_key, &record);
    }
    Ok((writes.finish(bucket.id, STANDARD), held))
}

/// Last step of AbortMultipartUpload: removes the closed upload and `parts`, which are all it has.
/// Works in a bucket that is being deleted too, since that is who asks for it.
///
/// # Errors
/// `NoSuchBucket`, `NoSuchUpload`, `OperationAborted` when the upload was reopened since.
pub fn abort_upload(
    reads: &mut dyn Reads,
    bucket: &BucketRef,
    key: &ObjectKey,
    id: UploadId,
    token: Stamp,
    parts: &[StoredPart],
) -> Decided<()> {
    bucket_state(reads, bucket)?;
    let upload_key = keys::upload(bucket.id, key, id);
    let record: UploadRecord = load(reads, &upload_key)?.ok_or(Error::NoSuchUpload)?;
    let is_other = |closing: Closing| closing.token != token;
    if record.closing.is_none_or(is_other) && !planted("objects-token-not-checked") {
        return Err(Error::OperationAborted.into());
    }
    let when = reads.issue_stamp(Stamp(0));
    let mut writes = Writes::default();
    writes.delete(upload_key);
    writes.usage.0[UPLOADS] -= 1;
    for part in parts {
        writes.usage.count(PARTS, PART_BYTES, part.record.size, -1);
        writes.delete(keys::part(bucket.id, id, part.number));
    }
    let sized = |part: &StoredPart| Some((part.record.blob?, part.record.size));
    let blobs = parts.iter().filter_map(sized).collect();
    bury_parts(&mut writes, blobs, when);
    Ok((writes.finish(bucket.id, STANDARD), ()))
}
