//! A tiny S3 in memory: what every operation should do, written to be right by inspection.

use std::collections::BTreeMap;

use strongroom_base::Timestamp;
use strongroom_types::{ETag, UploadId, VersionId};

use super::MODEL_PART_SIZE_BYTES_MIN;
use super::op::{Conditional, LOCKED_BUCKET};
use crate::api::UserMetadata;
use crate::decide::Bypass;
use crate::error::{Condition, Error};
use crate::hash::md5_of;
use crate::lock::{LegalHold, Lock, LockMode, LockedBy, Retention};
use crate::records::Versioning;
use crate::tags::Tags;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RefObject {
    pub content: Vec<u8>,
    pub etag: ETag,
    pub metadata: UserMetadata,
    pub tags: Tags,
    /// Sizes of its parts, when it was made of parts.
    pub parts: Option<Vec<u64>>,
    pub upload: Option<UploadId>,
    pub lock: Lock,
}

#[derive(Clone, Debug, Default)]
pub(super) struct RefUpload {
    pub lock: Lock,
    pub metadata: UserMetadata,
    pub tags: Tags,
    pub parts: BTreeMap<u16, Vec<u8>>,
}

/// A version: an object, or a delete marker when there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RefVersion {
    pub id: VersionId,
    pub object: Option<RefObject>,
}

#[derive(Clone, Debug)]
pub(super) struct RefBucket {
    pub versioning: Versioning,
    /// Of each key, newest first; no key is without.
    pub versions: BTreeMap<String, Vec<RefVersion>>,
    pub uploads: BTreeMap<(String, UploadId), RefUpload>,
    /// Its own.
    pub tags: Option<Tags>,
    pub has_locks: bool,
    /// Mode and days.
    pub default_lock: Option<(LockMode, u32)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Reference {
    pub buckets: BTreeMap<String, RefBucket>,
    /// What locks expire by, in seconds.
    pub lock_clock: u64,
}

/// One page of a list: keys and common prefixes, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct RefPage {
    pub keys: Vec<String>,
    pub common_prefixes: Vec<String>,
    pub next: Option<String>,
}

/// An entry of a list of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RefEntry {
    Version {
        key: String,
        id: VersionId,
        is_latest: bool,
        /// None for a delete marker.
        content: Option<(ETag, u64)>,
    },
    Group(String),
}

fn group_of(key: &str, prefix: &str, delimiter: Option<&str>) -> Option<String> {
    let delimiter = delimiter?;
    let at = key[prefix.len()..].find(delimiter)?;
    Some(key[..prefix.len() + at + delimiter.len()].to_owned())
}

type Outcome<T> = Result<T, Error>;

impl Reference {
    pub fn bucket(&mut self, name: &str) -> Outcome<&mut RefBucket> {
        self.buckets.get_mut(name).ok_or(Error::NoSuchBucket)
    }

    pub fn create_bucket(&mut self, name: &str) -> Outcome<()> {
        if self.buckets.contains_key(name) {
            return Err(Error::BucketAlreadyOwnedByYou);
        }
        let bucket = RefBucket {
            versioning: if name == LOCKED_BUCKET {
                Versioning::Enabled
            } else {
                Versioning::Never
            },
            versions: BTreeMap::new(),
            uploads: BTreeMap::new(),
            tags: None,
            has_locks: name == LOCKED_BUCKET,
            default_lock: None,
        };
        self.buckets.insert(name.to_owned(), bucket);
        Ok(())
    }

    pub fn delete_bucket(&mut self, name: &str) -> Outcome<()> {
        if !self.bucket(name)?.versions.is_empty() {
            return Err(Error::BucketNotEmpty);
        }
        self.buckets.remove(name);
        Ok(())
    }

    pub fn set_versioning(&mut self, name: &str, versioning: Versioning) -> Outcome<()> {
        let bucket = self.bucket(name)?;
        if bucket.has_locks && versioning != Versioning::Enabled {
            return Err(Error::InvalidBucketState { message: "" });
        }
        bucket.versioning = versioning;
        Ok(())
    }

    pub fn put(
        &mut self,
        (bucket, key): (&str, &str),
        content: Vec<u8>,
        metadata: UserMetadata,
        tags: Tags,
        (conditional, lock): (Conditional, Lock),
        shown: Option<VersionId>,
    ) -> Outcome<()> {
        let now = self.lock_clock;
        let bucket = self.bucket(bucket)?;
        bucket.check_lock_asked(lock)?;
        bucket.check(key, conditional)?;
        let lock = bucket.lock_of_new(lock, now);
        let etag = ETag::Md5(md5_of(&content));
        let object = RefObject {
            content,
            etag,
            metadata,
            tags,
            parts: None,
            upload: None,
            lock,
        };
        bucket.install(key, Some(object), shown);
        Ok(())
    }

    /// What is shown of the delete marker that was made, if one was.
    pub fn delete(
        &mut self,
        bucket: &str,
        key: &str,
        conditional: Conditional,
        shown: Option<VersionId>,
    ) -> Outcome<Option<VersionId>> {
        let bucket = self.bucket(bucket)?;
        bucket.check_delete(key, conditional)?;
        if bucket.versioning == Versioning::Never {
            bucket.versions.remove(key);
            return Ok(None);
        }
        Ok(Some(bucket.install(key, None, shown)))
    }

    /// Whether it was a delete marker; none when there was no such version.
    pub fn delete_version(
        &mut self,
        bucket: &str,
        key: &str,
        id: VersionId,
        bypass: Bypass,
    ) -> Outcome<Option<bool>> {
        let now = self.lock_clock;
        let bucket = self.bucket(bucket)?;
        if bypass.is_named && !bucket.has_locks {
            return Err(Error::invalid_argument("", "", ""));
        }
        bucket.check_id(id)?;
        let Some(versions) = bucket.versions.get_mut(key) else {
            return Ok(None);
        };
        let Some(at) = versions.iter().position(|version| version.id == id) else {
            return Ok(None);
        };
        if let Some(object) = &versions[at].object {
            refuse_locked(object.lock, now, bypass)?;
        }
        let removed = versions.remove(at);
        if versions.is_empty() {
            bucket.versions.remove(key);
        }
        Ok(Some(removed.object.is_none()))
    }

    /// The object a read finds.
    pub fn read(&mut self, bucket: &str, key: &str, id: Option<VersionId>) -> Outcome<&RefObject> {
        match self.bucket(bucket)?.find(key, id)? {
            RefVersion {
                object: Some(object),
                ..
            } => Ok(object),
            _ if id.is_some() => Err(marker_refused()),
            _ => Err(Error::no_such_key()),
        }
    }

    pub fn put_tags(
        &mut self,
        bucket: &str,
        key: &str,
        id: Option<VersionId>,
        tags: Tags,
    ) -> Outcome<()> {
        let version = self.bucket(bucket)?.find(key, id)?;
        version.object.as_mut().ok_or_else(marker_refused)?.tags = tags;
        Ok(())
    }

    pub fn configure(&mut self, bucket: &str, tags: Option<Tags>) -> Outcome<()> {
        self.bucket(bucket)?.tags = tags;
        Ok(())
    }

    pub fn copy(
        &mut self,
        source: (&str, &str, Option<VersionId>),
        target: (&str, &str),
        (replace, tags): (Option<UserMetadata>, Option<Tags>),
        lock: Lock,
        shown: Option<VersionId>,
    ) -> Outcome<()> {
        self.bucket(source.0)?;
        self.bucket(target.0)?.check_lock_asked(lock)?;
        let from = match self.read(source.0, source.1, source.2) {
            Err(Error::MethodNotAllowed { .. }) => return Err(Error::invalid_request("")),
            from => from?.clone(),
        };
        let is_current = self.bucket(source.0)?.current(source.1) == Some(&from);
        let is_self = (source.0, source.1) == target;
        if is_self && is_current && replace.is_none() {
            return Err(Error::invalid_request(""));
        }
        let metadata = replace.unwrap_or(from.metadata);
        let tags = tags.unwrap_or(from.tags);
        let plain = (Conditional::No, lock);
        self.put(target, from.content, metadata, tags, plain, shown)
    }

    pub fn complete(
        &mut self,
        bucket: &str,
        key: &str,
        id: UploadId,
        numbers: &[u16],
        shown: Option<VersionId>,
    ) -> Outcome<ETag> {
        let now = self.lock_clock;
        let bucket = self.bucket(bucket)?;
        let upload_key = (key.to_owned(), id);
        let Some(upload) = bucket.uploads.get(&upload_key) else {
            let current = bucket
                .current(key)
                .filter(|object| object.upload == Some(id));
            return current.map(|object| object.etag).ok_or(Error::NoSuchUpload);
        };
        if numbers.is_empty() {
            return Err(Error::invalid_request(""));
        }
        let mut md5s = Vec::new();
        let mut content = Vec::new();
        let mut sizes = Vec::new();
        for number in numbers {
            let part = upload.parts.get(number);
            let part = part.ok_or(Error::InvalidPart {
                part_number: *number,
            })?;
            md5s.extend(md5_of(part));
            content.extend_from_slice(part);
            sizes.push(part.len() as u64);
        }
        let all_but_last = &sizes[..sizes.len() - 1];
        if let Some(size) = all_but_last
            .iter()
            .find(|size| **size < MODEL_PART_SIZE_BYTES_MIN)
        {
            let size_min = MODEL_PART_SIZE_BYTES_MIN;
            return Err(Error::EntityTooSmall {
                part_number: 0,
                size: *size,
                size_min,
            });
        }
        let part_count = u32::try_from(numbers.len()).expect("few parts");
        let etag = ETag::Multipart {
            md5: md5_of(&md5s),
            part_count,
        };
        let metadata = upload.metadata.clone();
        let tags = upload.tags.clone();
        let lock = bucket.lock_of_new(upload.lock, now);
        let (parts, upload) = (Some(sizes), Some(id));
        let object = RefObject {
            content,
            etag,
            metadata,
            tags,
            parts,
            upload,
            lock,
        };
        bucket.uploads.remove(&upload_key);
        bucket.install(key, Some(object), shown);
        Ok(etag)
    }
}

/// What holds at this second: a legal hold always, a retention until its end.
fn refuse_locked(lock: Lock, now: u64, bypass: Bypass) -> Outcome<()> {
    let by = match lock {
        Lock {
            legal_hold: Some(LegalHold::On),
            ..
        } => LockedBy::LegalHold,
        Lock {
            retention: Some(Retention { mode, until }),
            ..
        } if until > now => match mode {
            LockMode::Compliance => LockedBy::Compliance,
            LockMode::Governance if bypass.is_granted => return Ok(()),
            LockMode::Governance => LockedBy::Governance,
        },
        _ => return Ok(()),
    };
    Err(Error::ObjectLocked { by })
}

pub(super) fn marker_refused() -> Error {
    Error::MethodNotAllowed {
        version_id: VersionId::Null,
        last_modified: Timestamp(0),
    }
}

impl RefBucket {
    pub fn check_lock_asked(&self, lock: Lock) -> Outcome<()> {
        if lock.is_empty() || self.has_locks {
            return Ok(());
        }
        Err(Error::invalid_request(""))
    }

    fn lock_of_new(&self, asked: Lock, now: u64) -> Lock {
        let by_default = self.default_lock.map(|(mode, days)| Retention {
            mode,
            until: now + u64::from(days) * 86_400,
        });
        Lock {
            retention: asked.retention.or(by_default),
            ..asked
        }
    }

    pub fn current(&self, key: &str) -> Option<&RefObject> {
        self.versions.get(key)?.first()?.object.as_ref()
    }

    /// Keys whose current version is an object.
    pub fn objects(&self) -> impl Iterator<Item = (&String, &RefObject)> {
        let keys = self.versions.keys();
        keys.filter_map(|key| Some((key, self.current(key)?)))
    }

    /// Makes a version current, under the id that was `shown` where versions have ids of their own.
    fn install(
        &mut self,
        key: &str,
        object: Option<RefObject>,
        shown: Option<VersionId>,
    ) -> VersionId {
        let versions = self.versions.entry(key.to_owned()).or_default();
        let id = match self.versioning {
            Versioning::Enabled => shown.unwrap_or(VersionId::Null),
            Versioning::Never | Versioning::Suspended => VersionId::Null,
        };
        versions.retain(|version| version.id != id);
        versions.insert(0, RefVersion { id, object });
        id
    }

    fn check_id(&self, id: VersionId) -> Outcome<()> {
        match (self.versioning, id) {
            (Versioning::Never, VersionId::Stamp(_)) => Err(Error::only_null_versions(id)),
            _ => Ok(()),
        }
    }

    pub fn find(&mut self, key: &str, id: Option<VersionId>) -> Outcome<&mut RefVersion> {
        if let Some(id) = id {
            self.check_id(id)?;
        }
        let missing = || id.map_or_else(Error::no_such_key, |_| Error::NoSuchVersion);
        let mut versions = self.versions.get_mut(key).into_iter().flatten();
        let found = versions.find(|version| id.is_none_or(|id| version.id == id));
        found.ok_or_else(missing)
    }

    fn check(&self, key: &str, conditional: Conditional) -> Outcome<()> {
        let exists = self.current(key).is_some();
        let failed = |condition| Err(Error::PreconditionFailed { condition });
        match (conditional, exists) {
            (Conditional::IfAbsent, true) => failed(Condition::IfNoneMatch),
            (Conditional::IfOther, true) => failed(Condition::IfMatch),
            (Conditional::IfCurrent | Conditional::IfOther, false) => Err(Error::no_such_key()),
            _ => Ok(()),
        }
    }

    /// CO08: a delete marker is no object that matches, and no absent key either.
    fn check_delete(&self, key: &str, conditional: Conditional) -> Outcome<()> {
        let is_marker = self.versions.contains_key(key) && self.current(key).is_none();
        let condition = Condition::IfMatch;
        match conditional {
            Conditional::IfCurrent | Conditional::IfOther if is_marker => {
                Err(Error::PreconditionFailed { condition })
            }
            conditional => self.check(key, conditional),
        }
    }

    /// Every version after the marker, by the definition: grouped, with whether it is current.
    pub fn list_versions(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        marker: (&str, Option<VersionId>),
    ) -> Vec<RefEntry> {
        let mut entries: Vec<RefEntry> = Vec::new();
        for (key, versions) in &self.versions {
            if !key.starts_with(prefix) || key.as_str() < marker.0 {
                continue;
            }
            let skipped = match marker.1 {
                _ if key != marker.0 => 0,
                None => versions.len(),
                Some(id) => versions
                    .iter()
                    .position(|version| version.id == id)
                    .map_or(0, |at| at + 1),
            };
            let group = group_of(key, prefix, delimiter);
            for (index, version) in versions.iter().enumerate().skip(skipped) {
                let entry = match &group {
                    Some(group) if *group == marker.0 => continue,
                    Some(group) => RefEntry::Group(group.clone()),
                    None => RefEntry::Version {
                        key: key.clone(),
                        id: version.id,
                        is_latest: index == 0,
                        content: version
                            .object
                            .as_ref()
                            .map(|object| (object.etag, object.content.len() as u64)),
                    },
                };
                if entries.last() != Some(&entry) {
                    entries.push(entry);
                }
            }
        }
        entries
    }

    /// A page, by the definition: every key after the marker, grouped, until there are enough.
    pub fn list(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        marker: Option<&str>,
        max: usize,
    ) -> RefPage {
        let mut entries: Vec<(String, bool)> = Vec::new();
        let keys = self.objects().map(|(key, _)| key);
        for key in keys.filter(|key| key.starts_with(prefix)) {
            let entry = match group_of(key, prefix, delimiter) {
                Some(group) => (group, true),
                None => (key.clone(), false),
            };
            let after = marker.is_none_or(|marker| key.as_str() > marker && entry.0 != marker);
            if after && entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        let more = entries.len() > max;
        entries.truncate(max);
        let mut page = RefPage::default();
        if more {
            page.next = entries.last().map(|(text, _)| text.clone());
        }
        for (text, is_group) in entries {
            if is_group {
                page.common_prefixes.push(text)
            } else {
                page.keys.push(text)
            }
        }
        page
    }
}
