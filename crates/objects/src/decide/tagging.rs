//! PutObjectTagging and DeleteObjectTagging: the tags of one version (VE30).

use strongroom_base::Timestamp;
use strongroom_meta::Reads;
use strongroom_types::{ObjectKey, VersionId};

use super::versions::find_version;
use super::{BucketRef, Decided, Writes, writable_bucket};
use crate::error::Error;
use crate::records::{STANDARD, Versioning, keys};
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
    let (stamp, mut version) = find_version(reads, bucket.id, key, state.versioning, version_id)?;
    let id = version.id(stamp);
    let Some(object) = &mut version.object else {
        return Err(Error::MethodNotAllowed {
            version_id: id,
            last_modified: version.last_modified,
        }
        .into());
    };
    if object.tags != *tags.as_map() {
        object.tags.clone_from(tags.as_map());
        writes.put(keys::version(bucket.id, key, stamp), &version);
    }
    let shown = (state.versioning != Versioning::Never || version_id.is_some()).then_some(id);
    Ok((writes.finish(bucket.id, STANDARD), shown))
}
