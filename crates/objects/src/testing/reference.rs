//! A tiny S3 in memory: what every operation should do, written to be right by inspection.

use std::collections::BTreeMap;

use strongroom_types::{ETag, UploadId};

use super::MODEL_PART_SIZE_BYTES_MIN;
use super::op::Conditional;
use crate::api::UserMetadata;
use crate::error::{Condition, Error};
use crate::hash::md5_of;
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
}

#[derive(Clone, Debug, Default)]
pub(super) struct RefUpload {
    pub metadata: UserMetadata,
    pub tags: Tags,
    pub parts: BTreeMap<u16, Vec<u8>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct RefBucket {
    pub objects: BTreeMap<String, RefObject>,
    pub uploads: BTreeMap<(String, UploadId), RefUpload>,
    /// Its own.
    pub tags: Option<Tags>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Reference {
    pub buckets: BTreeMap<String, RefBucket>,
}

/// One page of a list: keys and common prefixes, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct RefPage {
    pub keys: Vec<String>,
    pub common_prefixes: Vec<String>,
    pub next: Option<String>,
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
        self.buckets.insert(name.to_owned(), RefBucket::default());
        Ok(())
    }

    pub fn delete_bucket(&mut self, name: &str) -> Outcome<()> {
        if !self.bucket(name)?.objects.is_empty() {
            return Err(Error::BucketNotEmpty);
        }
        self.buckets.remove(name);
        Ok(())
    }

    pub fn put(
        &mut self,
        bucket: &str,
        key: &str,
        content: Vec<u8>,
        metadata: UserMetadata,
        tags: Tags,
        conditional: Conditional,
    ) -> Outcome<()> {
        let bucket = self.bucket(bucket)?;
        bucket.check(key, conditional)?;
        let etag = ETag::Md5(md5_of(&content));
        let object = RefObject {
            content,
            etag,
            metadata,
            tags,
            parts: None,
            upload: None,
        };
        bucket.objects.insert(key.to_owned(), object);
        Ok(())
    }

    pub fn delete(&mut self, bucket: &str, key: &str, conditional: Conditional) -> Outcome<()> {
        let bucket = self.bucket(bucket)?;
        bucket.check(key, conditional)?;
        bucket.objects.remove(key);
        Ok(())
    }

    pub fn put_tags(&mut self, bucket: &str, key: &str, tags: Tags) -> Outcome<()> {
        let object = self.bucket(bucket)?.objects.get_mut(key);
        object.ok_or_else(Error::no_such_key)?.tags = tags;
        Ok(())
    }

    pub fn configure(&mut self, bucket: &str, tags: Option<Tags>) -> Outcome<()> {
        self.bucket(bucket)?.tags = tags;
        Ok(())
    }

    pub fn copy(
        &mut self,
        source: (&str, &str),
        target: (&str, &str),
        replace: Option<UserMetadata>,
        tags: Option<Tags>,
    ) -> Outcome<()> {
        let from = self.bucket(source.0)?.objects.get(source.1).cloned();
        self.bucket(target.0)?;
        let from = from.ok_or_else(Error::no_such_key)?;
        if source == target && replace.is_none() {
            return Err(Error::invalid_request(""));
        }
        let metadata = replace.unwrap_or(from.metadata);
        let tags = tags.unwrap_or(from.tags);
        self.put(
            target.0,
            target.1,
            from.content,
            metadata,
            tags,
            Conditional::No,
        )
    }

    pub fn complete(
        &mut self,
        bucket: &str,
        key: &str,
        id: UploadId,
        numbers: &[u16],
    ) -> Outcome<ETag> {
        let bucket = self.bucket(bucket)?;
        let upload_key = (key.to_owned(), id);
        let Some(upload) = bucket.uploads.get(&upload_key) else {
            let current = bucket
                .objects
                .get(key)
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
        let (parts, upload) = (Some(sizes), Some(id));
        let object = RefObject {
            content,
            etag,
            metadata,
            tags,
            parts,
            upload,
        };
        bucket.uploads.remove(&upload_key);
        bucket.objects.insert(key.to_owned(), object);
        Ok(etag)
    }
}

impl RefBucket {
    fn check(&self, key: &str, conditional: Conditional) -> Outcome<()> {
        let exists = self.objects.contains_key(key);
        let failed = |condition| Err(Error::PreconditionFailed { condition });
        match (conditional, exists) {
            (Conditional::IfAbsent, true) => failed(Condition::IfNoneMatch),
            (Conditional::IfOther, true) => failed(Condition::IfMatch),
            (Conditional::IfCurrent | Conditional::IfOther, false) => Err(Error::no_such_key()),
            _ => Ok(()),
        }
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
        for key in self.objects.keys().filter(|key| key.starts_with(prefix)) {
            let rest = &key[prefix.len()..];
            let group = delimiter.and_then(|d| rest.find(d).map(|at| prefix.len() + at + d.len()));
            let entry = match group {
                Some(end) => (key[..end].to_owned(), true),
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
