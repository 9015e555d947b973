//! The versioning of a bucket, and what every decision about a version goes by.

use strongroom_base::Timestamp;
use strongroom_meta::{Reads, Stamp};
use strongroom_types::{ObjectKey, Owner, VersionId};

use super::mfa::demand;
use super::{BucketRef, Decided, Halt, Writes, load, writable_bucket};
use crate::error::Error;
use crate::records::{
    BucketId, BucketNameRecord, HeadRecord, STANDARD, VersionRecord, Versioning, keys,
};

/// Records a decision reads at once when it looks for the next version: the first one is nearly
/// always it.
pub(super) const HEAD_SCAN: usize = 2;

/// What PutBucketVersioning asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VersioningChange {
    pub versioning: Versioning,
    /// None leaves it as it is.
    pub mfa_delete: Option<bool>,
}

/// Sets the versioning of a bucket. No version changes by it (VE04, VE33). `proof` is whose second
/// factor came with the request: nothing changes without it where MFA delete is on or is to be (MF01,
/// MF02).
///
/// # Errors
/// `AccessDenied`, `NoSuchBucket`, `OperationAborted`, `InvalidRequest` for `Never`, to which nothing leads back, and
/// `InvalidBucketState` when the bucket has Object Lock and versioning would be suspended (VE32).
pub fn set_versioning(
    reads: &mut dyn Reads,
    bucket: &BucketRef,
    change: VersioningChange,
    proof: Option<&Owner>,
    now: Timestamp,
) -> Decided<()> {
    let mut writes = Writes::default();
    let mut state = writable_bucket(reads, &mut writes, bucket, now)?;
    if state.mfa_delete == Some(true) || change.mfa_delete == Some(true) {
        demand(&state, proof)?;
    }
    let versioning = change.versioning;
    // Disabled where it is not on asks for nothing: without a factor it is not even noted.
    let mfa_delete = change
        .mfa_delete
        .filter(|is_on| *is_on || proof.is_some())
        .or(state.mfa_delete);
    match versioning {
        Versioning::Enabled => {}
        Versioning::Suspended if state.lock_enabled => {
            let message = "versioning can not be suspended in a bucket with Object Lock";
            return Err(Error::InvalidBucketState { message }.into());
        }
        Versioning::Suspended => {}
        Versioning::Never => {
            let message = "versioning can be suspended, not taken back";
            return Err(Error::invalid_request(message).into());
        }
    }
    if state.versioning == versioning && state.mfa_delete == mfa_delete {
        return Ok((writes.finish(bucket.id, STANDARD), ()));
    }
    state.versioning = versioning;
    state.mfa_delete = mfa_delete;
    let mut writes = Writes::default();
    writes.put(keys::bucket(bucket.id), &state);
    let name_key = keys::bucket_name(&bucket.name);
    let name: Option<BucketNameRecord> = load(reads, &name_key)?;
    let name = name.ok_or(Error::NoSuchBucket)?;
    if !name.versioned {
        writes.put(
            name_key,
            &BucketNameRecord {
                versioned: true,
                ..name
            },
        );
    }
    Ok((writes.finish(bucket.id, STANDARD), ()))
}

/// VE16: a bucket that was never versioned has the null version only.
pub(super) fn check_version_id(versioning: Versioning, id: VersionId) -> Result<(), Error> {
    match (versioning, id) {
        (Versioning::Never, VersionId::Stamp(_)) => Err(Error::only_null_versions(id)),
        _ => Ok(()),
    }
}

/// The version with this id, or the current one, under the guard of the head (H15).
///
/// # Errors
/// `NoSuchKey`, `NoSuchVersion`, and `InvalidArgument` (VE16).
pub(super) fn find_version(
    reads: &mut dyn Reads,
    bucket: BucketId,
    key: &ObjectKey,
    versioning: Versioning,
    id: Option<VersionId>,
) -> Result<(Stamp, VersionRecord), Halt> {
    if let Some(id) = id {
        check_version_id(versioning, id)?;
    }
    let head: Option<HeadRecord> = load(reads, &keys::head(bucket, key))?;
    let stamp = match (id, head) {
        (None, head) => head.ok_or_else(Error::no_such_key)?.current,
        (Some(VersionId::Stamp(stamp)), _) => Stamp(stamp),
        (Some(VersionId::Null), head) => {
            let null = head.and_then(|head| head.null);
            null.ok_or(Error::NoSuchVersion)?
        }
    };
    let version: Option<VersionRecord> = load(reads, &keys::version(bucket, key, stamp))?;
    let version = version.ok_or(Error::NoSuchVersion)?;
    // The stamp of the null version is nobody's id.
    if version.is_null && matches!(id, Some(VersionId::Stamp(_))) {
        return Err(Error::NoSuchVersion.into());
    }
    Ok((stamp, version))
}
