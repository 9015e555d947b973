//! Decisions: pure functions from the records they read to the writes they want, and an answer.
//!
//! Two requests for one key meet here and nowhere else. A decision is run by the metadata store,
//! against the head of the log and perhaps more than once; what it reads with `get` guards its
//! writes. So a rule is kept by reading the record it depends on: the bucket's name and state
//! (H12, H13, H14), the head of the key (H15), and a stamp issued anew at every run (H16, H17).
//!
//! Invariants
//! - No effects but the writes: no clock (the time is part of the request), no randomness.
//! - A blob record is written or deleted in the same commit as the record that owns it (H26).

mod bucket;
mod bury;
mod complete;
mod conditions;
mod config;
mod delete;
mod lock;
mod mfa;
mod pack;
mod put;
mod range;
mod respread;
mod sweep;
mod tagging;
mod upload;
mod versions;
mod writes;

use strongroom_base::Timestamp;
use strongroom_base::planted;
use strongroom_meta::{Reads, Stamp, Write};
use strongroom_types::{BucketName, VersionId};

use crate::error::Error;
use crate::records::{
    BucketId, BucketNameRecord, BucketRecord, Closing, RecordError, RecordFormat, Versioning, keys,
};

pub use bucket::{close_bucket, create_bucket, remove_bucket, reopen_bucket};
pub use complete::{
    Assembled, CompleteCommit, CompleteRequest, Completed, StoredPart, assemble, finish_complete,
};
pub use conditions::{check_copy_source, check_read, check_write};
pub use config::{CONFIGS_MAX, delete_config, put_config};
pub use delete::{Deletion, delete};
pub use lock::{
    Bypass, LockChanged, LockTarget, Passage, check_change, check_unlocked, set_legal_hold,
    set_lock_config, set_retention,
};
pub use mfa::{
    CodePurpose, CodeUse, MFA_DEVICES_MAX, SILENCE_NANOS_MAX, SILENCE_NANOS_MIN, WRONG_CODES_FREE,
    demand_for_versions, enroll_device, remove_device, use_code,
};
pub use pack::{
    Holder, NewPack, PackCommit, PackMove, PackMoved, PackedFrom, Releases, bury_empty_pack,
    bury_unused_pack, decode_counters, move_into_pack,
};
pub use put::{Body, NewContent, PutCommit, PutDone, put};
pub use range::{resolve_part, resolve_range};
pub use respread::{RespreadOutcome, clear_reduced, mark_reduced, respread};
pub use sweep::{Grave, end_graves, settle_buried, touch_buried};
pub use tagging::set_tags;
pub use upload::{
    ClosedUpload, PartCommit, abort_upload, close_upload, create_upload, put_part, reopen_upload,
};
pub use versions::{VersioningChange, set_versioning};
pub use writes::Writes;

/// How long a closed bucket or upload is believed to have someone working on it. A crash leaves it
/// closed; the next writer after this time reopens it. The last step of whoever closed it checks
/// its token, so reopening early costs that operation a retry and nothing else.
pub const CLOSING_BELIEVED_NANOS: u64 = 60 * 1_000_000_000;

/// Why a decision gives no writes.
#[derive(Debug)]
pub enum Halt {
    /// The store failed.
    Store(strongroom_meta::Error),
    /// The domain refuses.
    Refused(Error),
}

impl From<strongroom_meta::Error> for Halt {
    fn from(error: strongroom_meta::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        Self::Corrupt {
            message: error.to_string(),
        }
    }
}

/// What a decision gives.
pub type Decided<T> = Result<(Vec<Write>, T), Halt>;

/// A bucket as it was when the operation began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BucketRef {
    pub name: BucketName,
    pub id: BucketId,
}

/// Reads and decodes one record.
pub(crate) fn load<R: RecordFormat>(reads: &mut dyn Reads, key: &[u8]) -> Result<Option<R>, Halt> {
    match reads.get(key)? {
        None => Ok(None),
        Some(record) => Ok(Some(R::decode(&record.value).map_err(Error::from)?)),
    }
}

/// The bucket's state, if the name still means that bucket (H14). Guards the commit on both.
pub(crate) fn bucket_state(
    reads: &mut dyn Reads,
    bucket: &BucketRef,
) -> Result<BucketRecord, Halt> {
    let name: Option<BucketNameRecord> = load(reads, &keys::bucket_name(&bucket.name))?;
    let is_other =
        |name: BucketNameRecord| name.id != bucket.id && !planted("objects-bucket-id-not-checked");
    if name.is_none_or(is_other) {
        return Err(Error::NoSuchBucket.into());
    }
    let state = load(reads, &keys::bucket(bucket.id))?;
    state.ok_or_else(|| {
        Error::Corrupt {
            message: format!("bucket {} has a name and no state", bucket.name),
        }
        .into()
    })
}

/// As [`bucket_state`], for a writer: refuses a bucket that is being deleted (H13), and reopens one
/// that was left closed.
pub(crate) fn writable_bucket(
    reads: &mut dyn Reads,
    writes: &mut Writes,
    bucket: &BucketRef,
    now: Timestamp,
) -> Result<BucketRecord, Halt> {
    let mut state = bucket_state(reads, bucket)?;
    if let Some(closing) = state.closing {
        if is_believed(closing, now) && !planted("objects-closing-bucket-not-checked") {
            return Err(Error::OperationAborted.into());
        }
        state.closing = None;
        writes.put(keys::bucket(bucket.id), &state);
    }
    Ok(state)
}

/// Whether someone is still at work behind `closing`.
pub(crate) const fn is_believed(closing: Closing, now: Timestamp) -> bool {
    now.0.abs_diff(closing.since.0) < CLOSING_BELIEVED_NANOS
}

/// The version id an answer shows (VE05, VE06, VE07).
pub(crate) const fn written_version_id(versioning: Versioning, stamp: Stamp) -> Option<VersionId> {
    match versioning {
        Versioning::Enabled => Some(VersionId::Stamp(stamp.0)),
        Versioning::Never | Versioning::Suspended => None,
    }
}
