//! DeleteObject, and a group of the keys of a DeleteObjects.
//!
//! Without an id a versioned bucket gets a delete marker and keeps the data; with one, that version
//! goes for good. Which version is current after that is looked up under the guard of the head
//! (H15), where no put can come in between.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_base::{Timestamp, planted};
use strongroom_meta::{Reads, Stamp};
use strongroom_types::{ObjectKey, VersionId};

use super::bury::{Removed, remove_version};
use super::conditions::check_delete;
use super::lock::{Bypass, Passage, check_bypass_named, check_unlocked};
use super::put::KeyState;
use super::versions::{HEAD_SCAN, check_version_id};
use super::{BucketRef, Decided, Halt, Writes, load, writable_bucket};
use crate::api::{DeleteKey, DeleteObjectOutput};
use crate::error::{Error, Result};
use crate::records::{
    BucketId, HeadRecord, RecordFormat, STANDARD, VersionRecord, Versioning, keys,
};

/// What became of one of the keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deletion {
    pub output: DeleteObjectOutput,
    /// The id is well-formed, and there is no such version: nothing changed.
    pub unknown_version: bool,
    /// Whether a lock was passed by.
    pub passage: Passage,
}

/// Deletes each of `keys`, one after the other; a refusal concerns its key only. A key may be named
/// more than once if each time by a version id.
///
/// # Errors
/// `NoSuchBucket`, `OperationAborted`, `InvalidArgument` (OL38).
pub fn delete(
    reads: &mut dyn Reads,
    bucket: &BucketRef,
    keys: &[DeleteKey],
    bypass: Bypass,
    now: Timestamp,
) -> Decided<Vec<Result<Deletion>>> {
    let mut writes = Writes::default();
    let state = writable_bucket(reads, &mut writes, bucket, now)?;
    check_bypass_named(&state, bypass)?;
    let mut answers = Vec::with_capacity(keys.len());
    let mut open: BTreeMap<&ObjectKey, OpenKey<'_>> = BTreeMap::new();
    for request in keys {
        let key = match open.entry(&request.key) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(OpenKey {
                bucket: bucket.id,
                key: &request.key,
                head: load(reads, &keys::head(bucket.id, &request.key))?,
                removed: BTreeSet::new(),
                changed: false,
                bypass,
            }),
        };
        let mut writes_of_key = Writes::default();
        match key.delete(reads, &mut writes_of_key, state.versioning, request, now) {
            Ok(deletion) => {
                writes.append(writes_of_key);
                answers.push(Ok(deletion));
            }
            Err(Halt::Refused(error)) => answers.push(Err(error)),
            Err(halt) => return Err(halt),
        }
    }
    for key in open.into_values() {
        key.finish(&mut writes);
    }
    Ok((writes.finish(bucket.id, STANDARD), answers))
}

/// A key while versions of it are removed: a decision does not see its own writes.
struct OpenKey<'a> {
    bucket: BucketId,
    key: &'a ObjectKey,
    head: Option<HeadRecord>,
    removed: BTreeSet<Stamp>,
    /// Whether the head is other than it was.
    changed: bool,
    bypass: Bypass,
}

impl OpenKey<'_> {
    fn delete(
        &mut self,
        reads: &mut dyn Reads,
        writes: &mut Writes,
        versioning: Versioning,
        request: &DeleteKey,
        now: Timestamp,
    ) -> std::result::Result<Deletion, Halt> {
        if let Some(id) = request.version_id {
            check_version_id(versioning, id)?;
        }
        if let Some(condition) = &request.if_match {
            if let Some(id) = request.version_id {
                self.check_lock(reads, id)?;
            }
            check_delete(condition, self.head.as_ref())?;
        }
        match (versioning, request.version_id) {
            (_, Some(id)) => self.delete_version(reads, writes, id),
            // VE12: there is the null version or nothing, and it goes.
            (Versioning::Never, None) => {
                self.delete_version(reads, writes, VersionId::Null)?;
                Ok(deletion(None, false))
            }
            (Versioning::Enabled | Versioning::Suspended, None) => {
                self.add_marker(reads, writes, versioning, now)
            }
        }
    }

    /// VE09, VE10, VE11.
    fn add_marker(
        &mut self,
        reads: &mut dyn Reads,
        writes: &mut Writes,
        versioning: Versioning,
        now: Timestamp,
    ) -> std::result::Result<Deletion, Halt> {
        let at = KeyState {
            bucket: self.bucket,
            key: self.key,
            versioning,
            head: self.head.take(),
        };
        let stamp = at.issue_stamp(reads);
        self.head = Some(at.install_version(reads, writes, stamp, now, None)?);
        self.changed = true;
        let id = match versioning {
            Versioning::Enabled => VersionId::Stamp(stamp.0),
            Versioning::Never | Versioning::Suspended => VersionId::Null,
        };
        Ok(deletion(Some(id), true))
    }

    /// VE13, VE14, VE15: that version goes, and the next newest becomes current if it was.
    fn delete_version(
        &mut self,
        reads: &mut dyn Reads,
        writes: &mut Writes,
        id: VersionId,
    ) -> std::result::Result<Deletion, Halt> {
        let unknown = Deletion {
            unknown_version: true,
            ..deletion(Some(id), false)
        };
        let (Some(head), Some(stamp)) = (self.head.clone(), self.stamp_of(reads, id)?) else {
            return Ok(unknown);
        };
        let when = reads.issue_stamp(head.newest);
        let Removed { version, passage } = remove_version(
            reads,
            writes,
            self.bucket,
            self.key,
            stamp,
            when,
            self.bypass,
        )?;
        self.removed.insert(stamp);
        self.changed = true;
        let null = head.null.filter(|null| *null != stamp);
        self.head = if stamp == head.current {
            self.next_after(reads, stamp)?
                .map(|(current, version)| HeadRecord {
                    current,
                    newest: head.newest,
                    null,
                    listed: version
                        .object
                        .map(|object| object.listed(version.last_modified)),
                })
        } else {
            Some(HeadRecord { null, ..head })
        };
        Ok(Deletion {
            passage,
            ..deletion(Some(id), version.object.is_none())
        })
    }

    /// IX06: that a version is locked is answered before that a condition does not hold.
    fn check_lock(&self, reads: &mut dyn Reads, id: VersionId) -> std::result::Result<(), Halt> {
        let Some(stamp) = self.stamp_of(reads, id)? else {
            return Ok(());
        };
        let version: Option<VersionRecord> =
            load(reads, &keys::version(self.bucket, self.key, stamp))?;
        if let Some(lock) = version.and_then(|version| version.object?.lock) {
            check_unlocked(&lock, reads.lock_clock(), self.bypass)?;
        }
        Ok(())
    }

    /// The stamp of the version with this id, if there is one.
    fn stamp_of(
        &self,
        reads: &mut dyn Reads,
        id: VersionId,
    ) -> std::result::Result<Option<Stamp>, Halt> {
        match (id, &self.head) {
            (_, None) => Ok(None),
            (VersionId::Null, Some(head)) => Ok(head.null),
            (VersionId::Stamp(stamp), Some(_)) => {
                let is_there = self.has_version(reads, Stamp(stamp))?;
                Ok(is_there.then_some(Stamp(stamp)))
            }
        }
    }

    /// Whether the key has a version whose id has this stamp. The null version has one too, which
    /// is nobody's id.
    fn has_version(&self, reads: &mut dyn Reads, stamp: Stamp) -> std::result::Result<bool, Halt> {
        if self.removed.contains(&stamp) {
            return Ok(false);
        }
        let version: Option<VersionRecord> =
            load(reads, &keys::version(self.bucket, self.key, stamp))?;
        Ok(version.is_some_and(|version| !version.is_null))
    }

    /// The newest version older than `stamp` that this decision does not remove.
    fn next_after(
        &self,
        reads: &mut dyn Reads,
        stamp: Stamp,
    ) -> std::result::Result<Option<(Stamp, VersionRecord)>, Halt> {
        let prefix = keys::versions_of(self.bucket, self.key);
        let mut after = keys::version(self.bucket, self.key, stamp);
        loop {
            let found = reads.scan(&prefix, Some(&after), HEAD_SCAN)?;
            let full = found.len() >= HEAD_SCAN;
            for (record_key, record) in found {
                let stamp = keys::version_stamp_of(&record_key).ok_or_else(|| Error::Corrupt {
                    message: "bad key of a version".into(),
                })?;
                if !self.removed.contains(&stamp) {
                    let version = VersionRecord::decode(&record.value).map_err(Error::from)?;
                    return Ok(Some((stamp, version)));
                }
                after = record_key;
            }
            if !full {
                return Ok(None);
            }
        }
    }

    fn finish(self, writes: &mut Writes) {
        let key = keys::head(self.bucket, self.key);
        match self.head {
            _ if !self.changed => {}
            Some(head) => writes.put(key, &head),
            None if planted("objects-head-left-behind") => {}
            None => writes.delete(key),
        }
    }
}

const fn deletion(version_id: Option<VersionId>, delete_marker: bool) -> Deletion {
    Deletion {
        output: DeleteObjectOutput {
            version_id,
            delete_marker,
        },
        unknown_version: false,
        passage: Passage::Unlocked,
    }
}
