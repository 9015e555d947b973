//! Removing versions, and burying the bytes nothing refers to any more.
//!
//! Bytes are never deleted by a commit: it leaves a graveyard record, and the sweep comes later. A
//! single blob gives its place (or inline content) to its graveyard record. The blobs of parts are
//! buried by name and keep their records until the sweep, so that no commit grows with the number
//! of parts times two.

use strongroom_base::planted;
use strongroom_meta::{Reads, Stamp};
use strongroom_types::ObjectKey;

use super::lock::{Bypass, Passage, check_unlocked};
use super::{Halt, Writes, load};
use crate::error::Error;
use crate::records::usage::{BYTES, MARKERS, OBJECTS};
use crate::records::{
    BlobId, BlobRecord, BucketId, GraveyardRecord, PARTS_IN_PAGE_MAX, PartEntry, PartPage,
    RecordFormat, VersionContent, VersionRecord, keys,
};

/// A version that was removed.
pub(super) struct Removed {
    pub version: VersionRecord,
    /// Whether a lock was passed by.
    pub passage: Passage,
}

/// Deletes the version with `stamp` and buries its bytes under `when`. Every path that removes a
/// version comes through here, so no other place asks whether it is locked.
///
/// # Errors
/// `ObjectLocked`, `Corrupt`.
pub(super) fn remove_version(
    reads: &mut dyn Reads,
    writes: &mut Writes,
    bucket: BucketId,
    key: &ObjectKey,
    stamp: Stamp,
    when: Stamp,
    bypass: Bypass,
) -> Result<Removed, Halt> {
    let record_key = keys::version(bucket, key, stamp);
    let Some(version) = load::<VersionRecord>(reads, &record_key)? else {
        let message = format!("head of {key} names version {} which is not there", stamp.0);
        return Err(Error::Corrupt { message }.into());
    };
    let mut passage = Passage::Unlocked;
    match &version.object {
        None => writes.usage.0[MARKERS] -= 1,
        Some(object) => {
            if let Some(lock) = object.lock.filter(|_| !planted("lock-not-asked")) {
                passage = check_unlocked(&lock, reads.lock_clock(), bypass)?;
            }
            writes.usage.count(OBJECTS, BYTES, object.size, -1);
            bury_content(reads, writes, bucket, stamp, &object.content, when)?;
        }
    }
    writes.delete(record_key);
    Ok(Removed { version, passage })
}

fn bury_content(
    reads: &mut dyn Reads,
    writes: &mut Writes,
    bucket: BucketId,
    stamp: Stamp,
    content: &VersionContent,
    when: Stamp,
) -> Result<(), Halt> {
    if planted("objects-old-content-not-buried") {
        return Ok(());
    }
    match content {
        VersionContent::Empty => Ok(()),
        VersionContent::Blob(blob) => bury_blob(reads, writes, *blob, when),
        VersionContent::Parts(parts) => {
            bury_parts(writes, blobs_of(parts), when);
            Ok(())
        }
        VersionContent::Pages(pages) => {
            for index in 0..pages.len() {
                let index = u16::try_from(index).unwrap_or(u16::MAX);
                let page_key = keys::part_page(bucket, stamp, index);
                let Some(page) = load::<PartPage>(reads, &page_key)? else {
                    let message = format!("page {index} of version {} is missing", stamp.0);
                    return Err(Error::Corrupt { message }.into());
                };
                bury_parts(writes, blobs_of(&page.parts), when);
                writes.delete(page_key);
            }
            Ok(())
        }
    }
}

fn blobs_of(parts: &[PartEntry]) -> Vec<(BlobId, u64)> {
    let sized = |part: &PartEntry| Some((part.blob?, part.size));
    parts.iter().filter_map(sized).collect()
}

/// Buries one blob: its place or inline content moves to a graveyard record.
pub(super) fn bury_blob(
    reads: &mut dyn Reads,
    writes: &mut Writes,
    blob: BlobId,
    when: Stamp,
) -> Result<(), Halt> {
    let blob_key = keys::blob(blob);
    let Some(found) = reads.get(&blob_key)? else {
        let message = format!("blob {} has an owner and no record", hex::encode(blob.0));
        return Err(Error::Corrupt { message }.into());
    };
    let record = BlobRecord::decode(&found.value).map_err(Error::from)?;
    let grave_key = keys::graveyard(when, blob);
    let grave = GraveyardRecord::Blob {
        size: record.size,
        place: record.place,
        packed: record.packed,
    };
    if found.inline.is_some() {
        writes.move_inline(blob_key.clone(), grave_key, &grave);
    } else {
        writes.put(grave_key, &grave);
    }
    writes.delete(blob_key);
    writes.count_buried(1, record.size, 1);
    if record.reduced {
        writes.clear_reduced(blob);
    }
    Ok(())
}

/// Buries the blobs of parts by name, each with its size, in lists of bounded size.
pub(super) fn bury_parts(writes: &mut Writes, blobs: Vec<(BlobId, u64)>, when: Stamp) {
    for list in blobs.chunks(PARTS_IN_PAGE_MAX) {
        let grave = GraveyardRecord::Parts {
            blobs: list.iter().map(|(blob, _)| *blob).collect(),
        };
        writes.put(keys::graveyard(when, list[0].0), &grave);
        writes.count_buried(list.len(), list.iter().map(|(_, size)| size).sum(), 1);
    }
}
