//! DeleteObject, and a group of the keys of a DeleteObjects.

use strongroom_base::Timestamp;
use strongroom_base::planted;
use strongroom_meta::Reads;
use strongroom_types::VersionId;

use super::bury::remove_version;
use super::conditions::check_match;
use super::put::current_etag;
use super::{BucketRef, Decided, Halt, Writes, check_never_versioned, load, writable_bucket};
use crate::api::{DeleteKey, DeleteObjectOutput};
use crate::error::{Error, Result};
use crate::records::{BucketId, HeadRecord, STANDARD, keys};

/// Deletes each of `keys`, which are all different; a refusal concerns its key only.
///
/// # Errors
/// `NoSuchBucket`, `OperationAborted`.
pub fn delete(
    reads: &mut dyn Reads,
    bucket: &BucketRef,
    keys: &[DeleteKey],
    now: Timestamp,
) -> Decided<Vec<Result<DeleteObjectOutput>>> {
    let mut writes = Writes::default();
    let state = writable_bucket(reads, &mut writes, bucket, now)?;
    check_never_versioned(&state)?;
    let mut answers = Vec::with_capacity(keys.len());
    for key in keys {
        let mut writes_of_key = Writes::default();
        match delete_key(reads, &mut writes_of_key, bucket.id, key) {
            Ok(output) => {
                writes.append(writes_of_key);
                answers.push(Ok(output));
            }
            Err(Halt::Refused(error)) => answers.push(Err(error)),
            Err(halt) => return Err(halt),
        }
    }
    Ok((writes.finish(bucket.id, STANDARD), answers))
}

/// In a bucket that was never versioned there is the null version or nothing (VE12).
fn delete_key(
    reads: &mut dyn Reads,
    writes: &mut Writes,
    bucket: BucketId,
    request: &DeleteKey,
) -> std::result::Result<DeleteObjectOutput, Halt> {
    if let Some(id @ VersionId::Stamp(_)) = request.version_id {
        // VE16
        let message = "version ids of this bucket are null only";
        return Err(Error::invalid_argument("versionId", id.to_string(), message).into());
    }
    let head_key = keys::head(bucket, &request.key);
    let head: Option<HeadRecord> = load(reads, &head_key)?;
    if let Some(condition) = &request.if_match {
        check_match(condition, current_etag(head.as_ref()))?;
    }
    if let Some(head) = head {
        let when = reads.issue_stamp(head.newest);
        remove_version(reads, writes, bucket, &request.key, head.current, when)?;
        if !planted("objects-head-left-behind") {
            writes.delete(head_key);
        }
    }
    Ok(DeleteObjectOutput {
        version_id: request.version_id,
        delete_marker: false,
    })
}
