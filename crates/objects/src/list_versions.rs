//! ListObjectVersions.
//!
//! A list reads version records in their order, by key and newest first, and goes on from a place in
//! that order. So a page costs what it answers, however many versions a key has. Which version is
//! current shows from the order alone: it is the newest of its key.

use strongroom_meta::Stamp;
use strongroom_types::{ObjectKey, Owner, VersionId};

use crate::api::{LIST_PAGE_MAX, ListVersions, ListVersionsOutput, ListedContent, ListedVersion};
use crate::decide::BucketRef;
use crate::error::{Error, Result};
use crate::listing::{Grouping, SCAN_PAGE, cut};
use crate::objects::Objects;
use crate::records::{HeadRecord, RecordFormat, VersionRecord, keys};

impl Objects {
    /// A page of the versions and delete markers of a bucket.
    ///
    /// Each scan the page is made of is one snapshot, taken after the request came.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub async fn list_versions(&self, request: ListVersions) -> Result<ListVersionsOutput> {
        let (bucket, record) = self.bucket(&request.bucket).await?;
        let max = request.keys_max.min(LIST_PAGE_MAX) as usize;
        let mut page = Page {
            grouping: Grouping::new(request.prefix, request.delimiter),
            max,
            owner: record.owner,
            versioned: record.versioned,
            last: None,
            position: None,
            output: ListVersionsOutput::default(),
        };
        if max == 0 || page.grouping.is_hopeless() {
            return Ok(page.output);
        }
        let marker = request.key_marker;
        let start = self
            .start(&bucket, &page.grouping, &marker, request.version_id_marker)
            .await?;
        page.last = start.inside;
        self.fill_versions(&bucket, page, start.after).await
    }

    /// Where a list begins.
    async fn start(
        &self,
        bucket: &BucketRef,
        grouping: &Grouping,
        marker: &str,
        version: Option<VersionId>,
    ) -> Result<Start> {
        if marker.is_empty() {
            return Ok(Start::default());
        }
        let at = |after| Start {
            after: Some(after),
            inside: None,
        };
        if grouping.is_common_prefix(marker) {
            return Ok(at(keys::versions_past(bucket.id, cut(marker))));
        }
        let (Some(version), Ok(key)) = (version, ObjectKey::new(marker)) else {
            return Ok(at(keys::versions_after(bucket.id, cut(marker), None)));
        };
        let head: Option<HeadRecord> = self.record(&keys::head(bucket.id, &key)).await?;
        let after = match version {
            VersionId::Stamp(stamp) => Some(Stamp(stamp)),
            VersionId::Null => head.as_ref().and_then(|head| head.null),
        };
        let after = match after {
            Some(stamp) => keys::versions_after(bucket.id, marker, Some(stamp)),
            // The null version is gone, and with it its place: rather twice than not at all.
            None => keys::versions_of(bucket.id, &key),
        };
        Ok(Start {
            after: Some(after),
            inside: head.map(|head| (key, head.current)),
        })
    }

    async fn fill_versions(
        &self,
        bucket: &BucketRef,
        mut page: Page,
        mut after: Option<Vec<u8>>,
    ) -> Result<ListVersionsOutput> {
        let prefix = keys::versions(bucket.id, &page.grouping.prefix);
        loop {
            let limit = match page.grouping.groups() {
                true => SCAN_PAGE,
                false => page.room() + 1,
            };
            let scanned = self.meta.scan(&prefix, after.as_deref(), limit).await?;
            for (record_key, record) in &scanned.records {
                if !page.add(record_key, &record.value)? {
                    return Ok(page.truncated());
                }
                after = Some(record_key.clone());
            }
            if !scanned.more {
                return Ok(page.output);
            }
            if let Some(common) = page.inside(after.as_deref()) {
                after = Some(keys::versions_past(bucket.id, &common));
            }
        }
    }
}

/// Where a list begins, and in the middle of which key: with its current version.
#[derive(Default)]
struct Start {
    after: Option<Vec<u8>>,
    inside: Option<(ObjectKey, Stamp)>,
}

/// A page while it fills.
struct Page {
    grouping: Grouping,
    max: usize,
    owner: Owner,
    versioned: bool,
    /// The key seen last, and its current version.
    last: Option<(ObjectKey, Stamp)>,
    /// The version listed last.
    position: Option<(String, Option<VersionId>)>,
    output: ListVersionsOutput,
}

impl Page {
    fn room(&self) -> usize {
        self.max - self.output.versions.len() - self.output.common_prefixes.len()
    }

    /// Adds a version, or the common prefix it is under. False when there is no room for it.
    fn add(&mut self, record_key: &[u8], value: &[u8]) -> Result<bool> {
        let corrupt = || Error::Corrupt {
            message: "bad key of a version".into(),
        };
        let (key, _) = keys::object_key_of(record_key).ok_or_else(corrupt)?;
        let stamp = keys::version_stamp_of(record_key).ok_or_else(corrupt)?;
        match self.grouping.common_prefix(key.as_str()) {
            Some(common) if self.is_last_prefix(common) => return Ok(true),
            _ if self.room() == 0 => return Ok(false),
            Some(common) => {
                self.output.common_prefixes.push(common.to_owned());
                return Ok(true);
            }
            None => {}
        }
        let current = match &self.last {
            Some((last, current)) if *last == key => *current,
            _ => stamp,
        };
        let version = VersionRecord::decode(value)?;
        self.output.versions.push(ListedVersion {
            version_id: version.id(stamp),
            is_latest: stamp == current,
            last_modified: version.last_modified,
            owner: self.owner.clone(),
            object: version.object.map(|object| {
                let listed = object.listed(version.last_modified);
                ListedContent {
                    etag: listed.etag,
                    size: listed.size,
                    storage_class: listed.storage_class,
                    checksum_algorithm: listed.checksum.map(|(algorithm, _)| algorithm),
                    checksum_type: listed.checksum.map(|(_, kind)| kind),
                }
            }),
            key: key.clone(),
        });
        self.position = Some((key.as_str().to_owned(), Some(self.marker(stamp))));
        self.last = Some((key, current));
        Ok(true)
    }

    fn marker(&self, stamp: Stamp) -> VersionId {
        match self.versioned {
            true => VersionId::Stamp(stamp.0),
            false => VersionId::Null,
        }
    }

    fn is_last_prefix(&self, common: &str) -> bool {
        let last = self.output.common_prefixes.last();
        last.is_some_and(|last| last == common)
    }

    /// The common prefix listed last, if the record under `key` is inside it.
    fn inside(&self, key: Option<&[u8]>) -> Option<String> {
        let (key, _) = keys::object_key_of(key?)?;
        let common = self.grouping.common_prefix(key.as_str())?;
        self.is_last_prefix(common).then(|| common.to_owned())
    }

    /// The page, with where the next one starts: after the larger of the last version's key and the
    /// last common prefix.
    fn truncated(mut self) -> ListVersionsOutput {
        let common = self.output.common_prefixes.last();
        self.output.next = match (self.position, common) {
            (Some((key, version)), Some(common)) if key > *common => Some((key, version)),
            (_, Some(common)) => Some((common.clone(), None)),
            (next, None) => next,
        };
        self.output
    }
}
