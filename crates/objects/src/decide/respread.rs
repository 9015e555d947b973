//! Moving a blob that was written anew. Guarded on the blob's record alone: background moves take
//! no part in the bucket's order.

use strongroom_blob::Place;
use strongroom_meta::{Reads, Stamp};

use super::{Decided, Halt, Writes, load};
use crate::records::{BlobId, BlobRecord, BucketId, GraveyardRecord, STANDARD, keys};

/// What became of a move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RespreadOutcome {
    Moved,
    /// The blob was deleted or moved by another in the meantime; the new bytes are garbage.
    Superseded,
}

/// Points the blob's record at `new`, if it still points at `old`, and buries `old`.
///
/// # Errors
/// `Corrupt`.
pub fn respread(
    reads: &mut dyn Reads,
    blob: BlobId,
    old: &Place,
    new: &Place,
    reduced: bool,
) -> Decided<RespreadOutcome> {
    let key = keys::blob(blob);
    let Some(mut record) = load::<BlobRecord>(reads, &key)? else {
        let mut writes = Writes::default();
        clear_mark(reads, &mut writes, blob)?;
        return Ok((finish(writes), RespreadOutcome::Superseded));
    };
    if record.place.as_ref() != Some(old) {
        return Ok((Vec::new(), RespreadOutcome::Superseded));
    }
    let when = reads.issue_stamp(Stamp(0));
    let mut writes = Writes::default();
    let grave = GraveyardRecord::Blob {
        size: record.size,
        place: Some(old.clone()),
        packed: None,
    };
    writes.put(keys::graveyard(when, blob), &grave);
    writes.count_buried(1, record.size, 1);
    record.place = Some(new.clone());
    record.reduced = reduced;
    writes.put(key, &record);
    if !reduced {
        clear_mark(reads, &mut writes, blob)?;
    }
    Ok((finish(writes), RespreadOutcome::Moved))
}

/// Marks blobs that have less than is asked for now, those that are still at the same place and have
/// no mark. How many.
///
/// # Errors
/// `Corrupt`.
pub fn mark_reduced(reads: &mut dyn Reads, blobs: &[(BlobId, Place)]) -> Decided<u64> {
    let mut writes = Writes::default();
    let mut marked = 0;
    for (blob, place) in blobs {
        let Some(mut record) = load::<BlobRecord>(reads, &keys::blob(*blob))? else {
            continue;
        };
        if record.place.as_ref() != Some(place) || reads.get(&keys::reduced(*blob))?.is_some() {
            continue;
        }
        record.reduced = true;
        writes.put(keys::blob(*blob), &record);
        writes.mark_reduced(*blob);
        marked += 1;
    }
    Ok((finish(writes), marked))
}

/// Takes the mark from a blob that is gone or, at `place`, has what is asked for.
///
/// # Errors
/// `Corrupt`.
pub fn clear_reduced(reads: &mut dyn Reads, blob: BlobId, place: Option<&Place>) -> Decided<()> {
    let key = keys::blob(blob);
    let mut writes = Writes::default();
    match load::<BlobRecord>(reads, &key)? {
        None => clear_mark(reads, &mut writes, blob)?,
        Some(mut record) if place.is_some() && record.place.as_ref() == place => {
            record.reduced = false;
            writes.put(key, &record);
            clear_mark(reads, &mut writes, blob)?;
        }
        Some(_) => {}
    }
    Ok((finish(writes), ()))
}

/// Takes the mark away if it is there: it is counted, so it must not be taken away twice.
fn clear_mark(reads: &mut dyn Reads, writes: &mut Writes, blob: BlobId) -> Result<(), Halt> {
    if reads.get(&keys::reduced(blob))?.is_some() {
        writes.clear_reduced(blob);
    }
    Ok(())
}

/// No bucket's counters change.
fn finish(writes: Writes) -> Vec<strongroom_meta::Write> {
    writes.finish(BucketId(0), STANDARD)
}
