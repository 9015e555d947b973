//! The end of buried blobs: after their bytes are gone, their graves and what they name go.
//!
//! Invariants
//! - A grave goes only if it is what was looked at before the bytes were freed, and so is every blob
//!   record it names: what moved meanwhile has bytes elsewhere, which nobody freed.
//! - What commits counted in when they buried is counted out here, and packs of which a content ends
//!   are counted down (H37).

use strongroom_base::planted;
use strongroom_meta::{Reads, Write};

use super::{Decided, Halt, Releases, Writes, load};
use crate::records::{BlobId, BlobRecord, BucketId, GraveyardRecord, STANDARD, keys};

/// A grave whose bytes were freed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grave {
    pub key: Vec<u8>,
    pub record: GraveyardRecord,
    /// The records of the parts it names, as they were when their bytes were freed.
    pub parts: Vec<(BlobId, BlobRecord)>,
}

/// Removes each grave that is still what it was. Answers how many blobs that ended.
///
/// # Errors
/// `Corrupt`.
pub fn end_graves(reads: &mut dyn Reads, graves: &[Grave]) -> Decided<u64> {
    let mut writes = Writes::default();
    let mut releases = Releases::default();
    let mut ended = 0;
    for grave in graves {
        let (mut of_grave, mut packed) = (Writes::default(), Releases::default());
        if let Some(blobs) = end_grave(reads, &mut of_grave, &mut packed, grave)? {
            writes.append(of_grave);
            releases.append(packed);
            ended += blobs;
        }
    }
    releases.finish(reads, &mut writes)?;
    Ok((finish(writes), ended))
}

/// `None` when something is not what it was.
fn end_grave(
    reads: &mut dyn Reads,
    writes: &mut Writes,
    releases: &mut Releases,
    grave: &Grave,
) -> Result<Option<u64>, Halt> {
    let found: Option<GraveyardRecord> = load(reads, &grave.key)?;
    if found.as_ref() != Some(&grave.record) {
        return Ok(None);
    }
    writes.delete(grave.key.clone());
    let named = match &grave.record {
        GraveyardRecord::Blob { size, packed, .. } => {
            writes.count_buried(1, *size, -1);
            if let Some(packed) = packed {
                releases.add(packed, *size);
            }
            return Ok(Some(1));
        }
        GraveyardRecord::Parts { blobs } => blobs,
    };
    let mut bytes = 0;
    for blob in named {
        let key = keys::blob(*blob);
        let seen = grave.parts.iter().find(|(id, _)| id == blob);
        let found: Option<BlobRecord> = load(reads, &key)?;
        if found.as_ref() != seen.map(|(_, record)| record) {
            return Ok(None);
        }
        let Some(record) = found else { continue };
        bytes += record.size;
        if planted("sweep-forgets-parts") {
            continue;
        }
        writes.delete(key);
        if let Some(packed) = &record.packed {
            releases.add(packed, record.size);
        }
        if reads.get(&keys::reduced(*blob))?.is_some() {
            writes.clear_reduced(*blob);
        }
    }
    writes.count_buried(named.len(), bytes, -1);
    Ok(Some(named.len() as u64))
}

/// Sets the count of buried blobs to zero when there is none: graves from before it was kept are
/// counted out and never were counted in.
///
/// # Errors
/// `Corrupt`.
pub fn settle_buried(reads: &mut dyn Reads) -> Decided<()> {
    let key = keys::buried_count();
    let found = reads.get(&key)?;
    let is_empty = reads.scan(&keys::graveyards(), None, 1)?.is_empty();
    let writes = match (found, is_empty) {
        (Some(_), true) => vec![Write::Delete { key }],
        _ => Vec::new(),
    };
    Ok((writes, ()))
}

/// A commit that changes nothing: what was in flight before it is decided after it.
#[must_use]
pub fn touch_buried() -> Vec<Write> {
    let (key, deltas) = (keys::buried_count(), vec![0, 0]);
    vec![Write::Add { key, deltas }]
}

/// No bucket's counters change.
fn finish(writes: Writes) -> Vec<Write> {
    writes.finish(BucketId(0), STANDARD)
}
