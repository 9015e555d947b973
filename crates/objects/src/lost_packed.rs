//! What is in packs that are lost: the objects behind an entry of the list of what is lost.
//!
//! A pack that can not be read as a whole may still give most of its contents, and its directory may be
//! what is gone. So the objects are found by their own records, and each is read to see.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::records::{BlobId, BlobOwner, BlobRecord, LostRecord, Packed, RecordFormat, keys};
use crate::upkeep::{LOST_PAGE_MAX, LostObject, blob_of};

/// Most records of blobs that one page looks at: a second or so of reading the index.
pub const LOST_PACKED_SCAN_MAX: usize = 10_000;

/// A content of a lost pack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LostContent {
    pub object: LostObject,
    pub pack: BlobId,
}

/// A page of what is lost with packs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LostPackedPage {
    pub lost: Vec<LostContent>,
    /// Contents of lost packs that can still be read.
    pub readable: u64,
    /// Where the next page begins; none at the end.
    pub next: Option<BlobId>,
}

impl Objects {
    /// Objects whose content is in a pack that is lost and can not be read, of the blobs after `after`.
    /// A page may be empty and not the last: at most [`LOST_PACKED_SCAN_MAX`] records are looked at.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn list_lost_packed(&self, after: Option<BlobId>) -> Result<LostPackedPage> {
        let packs = self.lost_packs().await?;
        let mut page = LostPackedPage::default();
        if packs.is_empty() {
            return Ok(page);
        }
        let from = after.map(keys::blob);
        let found = self
            .meta
            .scan(&keys::blobs(), from.as_deref(), LOST_PACKED_SCAN_MAX)
            .await?;
        let mut last = None;
        for (key, record) in &found.records {
            let blob = blob_of(key)?;
            last = Some(blob);
            let record = BlobRecord::decode(&record.value)?;
            let Some(packed) = record.packed else {
                continue;
            };
            let Some((_, known)) = packs.iter().find(|(pack, _)| *pack == packed.pack) else {
                continue;
            };
            if self.is_content_readable(blob, packed, record.size).await? {
                page.readable += 1;
                continue;
            }
            let known = LostRecord {
                since: known.since,
                size: record.size,
            };
            let object = self.lost_object(blob, known, record.owner).await?;
            page.lost.extend(object.map(|object| LostContent {
                object,
                pack: packed.pack,
            }));
        }
        page.next = last.filter(|_| found.more);
        Ok(page)
    }

    async fn lost_packs(&self) -> Result<Vec<(BlobId, LostRecord)>> {
        let (mut after, mut packs, mut seen) = (None, Vec::new(), HashSet::new());
        loop {
            let (records, next) = self.lost_page(after, LOST_PAGE_MAX).await?;
            for (blob, known) in records {
                let record: Option<BlobRecord> = self.record(&keys::blob(blob)).await?;
                let is_pack = record.is_some_and(|record| record.owner == BlobOwner::Pack);
                if is_pack && seen.insert(blob) {
                    packs.push((blob, known));
                }
            }
            after = next;
            if after.is_none() {
                return Ok(packs);
            }
        }
    }

    /// Whether a content in a pack can be read, or is not there any more.
    async fn is_content_readable(&self, blob: BlobId, packed: Packed, size: u64) -> Result<bool> {
        let place = self.place_of_pack(packed).await?;
        let content = self.packed_content(blob, packed, place.as_ref(), size);
        match content.await {
            Ok(_) => Ok(true),
            Err(Error::Corrupt { .. } | Error::ObjectLost { .. }) => {
                // It may have moved to another pack, been deleted, or its pack moved, meanwhile.
                let now: Option<BlobRecord> = self.record(&keys::blob(blob)).await?;
                let is_there = now.and_then(|now| now.packed) == Some(packed);
                Ok(!is_there || self.place_of_pack(packed).await? != place)
            }
            Err(error) => Err(error),
        }
    }
}
