//! PutObjectTagging and DeleteObjectTagging: the tags of one version (VE30).

use strongroom_base::Timestamp;
use strongroom_meta::{Reads, Stamp};
use strongroom_types::{ObjectKey, VersionId};

use super::{BucketRef, Decided, Writes, load, writable_bucket};
use crate::error::Error;
use crate::records::{HeadRecord, STANDARD, VersionRecord, Versioning, keys};
use crate::tags::Tags;

/// Gives a version these tags and no others. Nothing else of it changes, neither its ETag nor when
/// it was last modified. Answers the version's id where a read would show it.
///
/// # Errors
/// `NoSuchBucket`, `OperationAborted`, `NoSuchKey`, `NoSuchVersion`, `MethodNotAllowed` for a delete
/// marker, by id or because it is current (VE21), `InvalidArgument` (VE16).
pub fn set_tags(
    reads: &mut dyn Reads,
    bucket: &BucketRef,
    key: &ObjectKey,
    version_id: Option<VersionId>,
    tags: &Tags,
    now: Timestamp,
) -> Decided<Option<VersionId>> {
    let mut writes = Writes::default();
    let state = writable_bucket(reads, &mut writes, bucket, now)?;
    let head: Option<HeadRecord> = load(reads, &keys::head(bucket.id, key))?;
    let stamp = match (version_id, head) {
        (Some(id @ VersionId::Stamp(_)), _) if state.versioning == Versioning::Never => {
            let message = "version ids of this bucket are null only";
            return Err(Error::invalid_argument("versionId", id.to_string(), message).into());
        }
        (Some(VersionId::Stamp(stamp)), _) => Stamp(stamp),
        (Some(VersionId::Null), head) => {
            let null = head.and_then(|head| head.null);
            null.ok_or(Error::NoSuchVersion)?
        }
        (None, head) => head.ok_or_else(Error::no_such_key)?.current,
    };
    let version_key = keys::version(bucket.id, key, stamp);
    let version: Option<VersionRecord> = load(reads, &version_key)?;
    let mut version = version.ok_or(Error::NoSuchVersion)?;
    let id = if version.is_null {
        VersionId::Null
    } else {
        VersionId::Stamp(stamp.0)
    };
    let Some(object) = &mut version.object else {
        return Err(Error::MethodNotAllowed {
            version_id: id,
            last_modified: version.last_modified,
        }
        .into());
    };
    if object.tags != *tags.as_map() {
        object.tags.clone_from(tags.as_map());
        writes.put(version_key, &version);
    }
    let shown = (state.versioning != Versioning::Never || version_id.is_some()).then_some(id);
    Ok((writes.finish(bucket.id, STANDARD), shown))
}
