//! ListObjects and ListObjectsV2.
//!
//! A list reads head records only. Under a delimiter it reads a page at a time and, when a page
//! ends inside a common prefix, seeks past all of it, so that its cost follows what it answers and
//! not what the prefixes hold.

use strongroom_types::Owner;

use crate::api::{LIST_PAGE_MAX, ListObjects, ListObjectsOutput, ListStart, ListedObject};
use crate::decide::BucketRef;
use crate::error::{Error, Result};
use crate::listing::{Grouping, SCAN_PAGE, cut};
use crate::objects::Objects;
use crate::records::{HeadRecord, RecordFormat, keys};
use crate::token;

impl Objects {
    /// A page of the current objects of a bucket, in the order of their keys' bytes.
    ///
    /// Each scan the page is made of is one snapshot, taken after the request came.
    ///
    /// # Errors
    /// `NoSuchBucket`, `InvalidArgument`.
    pub async fn list_objects(&self, request: ListObjects) -> Result<ListObjectsOutput> {
        let (bucket, record) = self.bucket(&request.bucket).await?;
        let marker = match request.start {
            ListStart::Beginning => None,
            ListStart::After(text) => Some(text).filter(|text| !text.is_empty()),
            ListStart::Token(token) => Some(token::read(&token)?),
        };
        let max = request.keys_max.min(LIST_PAGE_MAX) as usize;
        let grouping = Grouping::new(request.prefix, request.delimiter);
        let page = Page {
            grouping,
            max,
            owner: record.owner,
            output: Default::default(),
        };
        if max == 0 || page.grouping.is_hopeless() {
            return Ok(page.output);
        }
        self.fill(&bucket, page, marker.as_deref()).await
    }

    async fn fill(
        &self,
        bucket: &BucketRef,
        mut page: Page,
        marker: Option<&str>,
    ) -> Result<ListObjectsOutput> {
        let prefix = keys::heads(bucket.id, &page.grouping.prefix);
        let mut after = marker.map(|marker| {
            if page.grouping.is_common_prefix(marker) {
                keys::heads_past(bucket.id, cut(marker))
            } else {
                keys::heads_at(bucket.id, cut(marker))
            }
        });
        loop {
            let limit = if page.grouping.groups() {
                SCAN_PAGE
            } else {
                page.room() + 1
            };
            let scanned = self.meta.scan(&prefix, after.as_deref(), limit).await?;
            for (record_key, record) in &scanned.records {
                let (key, _) = keys::object_key_of(record_key).ok_or_else(|| Error::Corrupt {
                    message: "bad key of a head".into(),
                })?;
                let head = HeadRecord::decode(&record.value)?;
                if let Some(listed) = head.listed
                    && !page.add(key.as_str(), |owner| ListedObject {
                        key: key.clone(),
                        etag: listed.etag,
                        size: listed.size,
                        last_modified: listed.last_modified,
                        storage_class: listed.storage_class,
                        checksum_algorithm: listed.checksum.map(|(algorithm, _)| algorithm),
                        checksum_type: listed.checksum.map(|(_, kind)| kind),
                        owner,
                    })
                {
                    return Ok(page.truncated());
                }
            }
            if !scanned.more {
                return Ok(page.output);
            }
            if let Some((record_key, _)) = scanned.records.into_iter().next_back() {
                after = Some(record_key);
            }
            if let Some(common) = page.inside(after.as_deref()) {
                after = Some(keys::heads_past(bucket.id, &common));
            }
        }
    }
}

/// A page while it fills.
struct Page {
    grouping: Grouping,
    max: usize,
    owner: Owner,
    output: ListObjectsOutput,
}

impl Page {
    fn room(&self) -> usize {
        self.max - self.output.objects.len() - self.output.common_prefixes.len()
    }

    /// Adds a key, or the common prefix it is under. False when there is no room for it.
    fn add(&mut self, key: &str, object: impl FnOnce(Owner) -> ListedObject) -> bool {
        match self.grouping.common_prefix(key) {
            Some(common)
                if self
                    .output
                    .common_prefixes
                    .last()
                    .is_some_and(|l| l == common) => {}
            _ if self.room() == 0 => return false,
            Some(common) => self.output.common_prefixes.push(common.to_owned()),
            None => self.output.objects.push(object(self.owner.clone())),
        }
        true
    }

    /// The common prefix listed last, if the record under `key` is inside it.
    fn inside(&self, key: Option<&[u8]>) -> Option<String> {
        let (key, _) = keys::object_key_of(key?)?;
        let common = self.grouping.common_prefix(key.as_str())?;
        let last = self.output.common_prefixes.last()?;
        (last == common).then(|| common.to_owned())
    }

    /// The page, with where the next one starts: after the larger of the last key and the last
    /// common prefix.
    fn truncated(mut self) -> ListObjectsOutput {
        let key = self.output.objects.last().map(|object| object.key.as_str());
        let common = self.output.common_prefixes.last().map(String::as_str);
        let last = key.max(common).unwrap_or_default().to_owned();
        self.output.continuation_token = Some(token::write(&last));
        self.output.next_marker = Some(last);
        self.output
    }
}
