//! PutObject and CopyObject: one new version of a key.

use bytes::Bytes;
use strongroom_base::Timestamp;
use strongroom_blob::Place;
use strongroom_meta::{Reads, Stamp};
use strongroom_types::{Checksum, ETag, ObjectKey, VersionId};

use super::bury::remove_version;
use super::lock::{Bypass, check_not_over, lock_of_new};
use super::{
    BucketRef, Decided, Halt, Writes, check_write, load, writable_bucket, written_version_id,
};
use crate::api::{ObjectHeaders, UserMetadata, WriteConditions};
use crate::error::Error;
use crate::lock::Lock;
use crate::records::usage::{BYTES, MARKERS, OBJECTS};
use crate::records::{
    BlobId, BlobOwner, BlobRecord, BucketId, HeadRecord, ObjectRecord, STANDARD, VersionContent,
    VersionRecord, Versioning, keys,
};
use crate::tags::Tags;

/// Bytes on their way into a record.
#[derive(Clone, Debug)]
pub enum Body {
    /// There are none.
    Empty,
    /// Committed with the blob record.
    Inline(Bytes),
    /// Synced by the blob store.
    Placed { place: Place, reduced: bool },
}

/// Content that was received whole and verified.
#[derive(Clone, Debug)]
pub struct NewContent {
    pub blob: BlobId,
    pub body: Body,
    pub size: u64,
    pub md5: [u8; 16],
    /// Of the algorithm that is kept.
    pub checksum: Checksum,
}

impl NewContent {
    /// The blob's id, unless there are no bytes.
    #[must_use]
    pub const fn blob(&self) -> Option<BlobId> {
        match self.body {
            Body::Empty => None,
            Body::Inline(_) | Body::Placed { .. } => Some(self.blob),
        }
    }

    /// Writes the blob's record. An id that was given before is refused rather than believed: its
    /// record may be the only way to another's bytes.
    pub(super) fn write_blob(
        &self,
        reads: &mut dyn Reads,
        writes: &mut Writes,
        owner: BlobOwner,
    ) -> Result<(), Halt> {
        let key = keys::blob(self.blob);
        if reads.get(&key)?.is_some() {
            let message = format!("blob id {} was given before", hex::encode(self.blob.0));
            return Err(Error::Internal { message }.into());
        }
        let size = self.size;
        match &self.body {
            Body::Empty => {}
            Body::Inline(content) => {
                let record = BlobRecord {
                    owner,
                    size,
                    place: None,
                    reduced: false,
                    packed: None,
                };
                writes.put_inline(key, &record, content.clone());
            }
            Body::Placed { place, reduced } => {
                let place = Some(place.clone());
                writes.put(
                    key,
                    &BlobRecord {
                        owner,
                        size,
                        place,
                        reduced: *reduced,
                        packed: None,
                    },
                );
                if *reduced {
                    writes.mark_reduced(self.blob);
                }
            }
        }
        Ok(())
    }
}

/// A put, once its bytes are durable.
#[derive(Clone, Debug)]
pub struct PutCommit {
    pub bucket: BucketRef,
    pub key: ObjectKey,
    pub content: NewContent,
    pub headers: ObjectHeaders,
    pub metadata: UserMetadata,
    pub tags: Tags,
    pub conditions: WriteConditions,
    /// What was asked for; the bucket's default is found at the commit.
    pub lock: Lock,
    pub now: Timestamp,
}

/// What a put made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PutDone {
    pub version_id: Option<VersionId>,
    pub stamp: Stamp,
}

/// Makes the content the current version of the key.
///
/// # Errors
/// `NoSuchBucket`, `OperationAborted`, `InvalidRequest` (OL15), those of the conditions.
pub fn put(reads: &mut dyn Reads, commit: &PutCommit) -> Decided<PutDone> {
    let mut writes = Writes::default();
    let state = writable_bucket(reads, &mut writes, &commit.bucket, commit.now)?;
    let head: Option<HeadRecord> = load(reads, &keys::head(commit.bucket.id, &commit.key))?;
    check_write(&commit.conditions, current_etag(head.as_ref()))?;
    let lock = lock_of_new(reads, commit.bucket.id, &state, commit.lock, commit.now)?;
    check_not_over(reads, commit.lock.retention, commit.now)?;

    let content = &commit.content;
    let object = ObjectRecord {
        etag: ETag::Md5(content.md5),
        size: content.size,
        checksum: Some(content.checksum),
        storage_class: STANDARD.to_owned(),
        content: content
            .blob()
            .map_or(VersionContent::Empty, VersionContent::Blob),
        headers: commit.headers.clone(),
        metadata: commit.metadata.clone(),
        tags: commit.tags.as_map().clone(),
        lock,
        encryption: None,
        upload: None,
    };
    let at = KeyState {
        bucket: commit.bucket.id,
        key: &commit.key,
        versioning: state.versioning,
        head,
    };
    let stamp = at.issue_stamp(reads);
    at.install(reads, &mut writes, stamp, commit.now, object)?;
    let owner = BlobOwner::Version {
        bucket: commit.bucket.id,
        key: commit.key.clone(),
        stamp,
    };
    content.write_blob(reads, &mut writes, owner)?;
    let version_id = written_version_id(state.versioning, stamp);
    Ok((
        writes.finish(commit.bucket.id, STANDARD),
        PutDone { version_id, stamp },
    ))
}

/// Tag of the current version, unless that is a delete marker.
pub(super) fn current_etag(head: Option<&HeadRecord>) -> Option<&ETag> {
    head?.listed.as_ref().map(|listed| &listed.etag)
}

/// Stamp of the current version, or `Stamp(0)` when there is none or it is a delete marker.
pub(super) fn current_object(head: Option<&HeadRecord>) -> Stamp {
    head.filter(|head| head.listed.is_some())
        .map_or(Stamp(0), |head| head.current)
}

/// A key as a decision found it.
pub(super) struct KeyState<'a> {
    pub bucket: BucketId,
    pub key: &'a ObjectKey,
    pub versioning: Versioning,
    pub head: Option<HeadRecord>,
}

impl KeyState<'_> {
    /// A stamp above all of the key's, for this run of the decision (H16).
    pub fn issue_stamp(&self, reads: &mut dyn Reads) -> Stamp {
        reads.issue_stamp(self.head.as_ref().map_or(Stamp(0), |head| head.newest))
    }

    /// Writes `object` as the version with `stamp`, and the head that makes it current.
    pub fn install(
        &self,
        reads: &mut dyn Reads,
        writes: &mut Writes,
        stamp: Stamp,
        now: Timestamp,
        object: ObjectRecord,
    ) -> Result<(), Halt> {
        let head = self.install_version(reads, writes, stamp, now, Some(object))?;
        writes.put(keys::head(self.bucket, self.key), &head);
        Ok(())
    }

    /// Writes the version with `stamp`, a delete marker without `object`, and gives the head that
    /// makes it current. Where versions are not kept it is the null version and takes the place of
    /// the one before, current or not (VE08, VE11).
    pub fn install_version(
        &self,
        reads: &mut dyn Reads,
        writes: &mut Writes,
        stamp: Stamp,
        now: Timestamp,
        object: Option<ObjectRecord>,
    ) -> Result<HeadRecord, Halt> {
        let version_key = keys::version(self.bucket, self.key, stamp);
        if reads.get(&version_key)?.is_some() {
            let message = format!("stamp {} of {} was issued before", stamp.0, self.key);
            return Err(Error::Internal { message }.into());
        }
        let is_null = self.versioning != Versioning::Enabled;
        let null_old = self.head.as_ref().and_then(|head| head.null);
        if let (true, Some(old)) = (is_null, null_old) {
            // No write ends a lock, whoever it is from.
            let bypass = Bypass::default();
            remove_version(reads, writes, self.bucket, self.key, old, stamp, bypass)?;
        }
        match &object {
            Some(object) => writes.usage.count(OBJECTS, BYTES, object.size, 1),
            None => writes.usage.0[MARKERS] += 1,
        }
        let head = HeadRecord {
            current: stamp,
            newest: stamp,
            null: if is_null { Some(stamp) } else { null_old },
            listed: object.as_ref().map(|object| object.listed(now)),
        };
        let version = VersionRecord {
            is_null,
            last_modified: now,
            object,
            replication: None,
        };
        writes.put(version_key, &version);
        Ok(head)
    }
}
