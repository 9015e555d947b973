//! Packing: small contents move into packs, and packs end with the last content that lives in them.
//!
//! A move is guarded by the record that has the content and by nothing else: it takes no part in
//! the order of the bucket. A pack's counters change in the commit that makes one of its contents
//! live or ends one, so the commit that ends the last one knows it, and buries the pack (H37).

use std::collections::{BTreeMap, BTreeSet};

use strongroom_base::planted;
use strongroom_blob::Place;
use strongroom_meta::{InlinePlace, Reads, Record, Stamp, resolve};

use super::bury::bury_blob;
use super::{Decided, Halt, Writes};
use crate::error::Error;
use crate::records::pack::{ALL_BYTES, ALL_CONTENTS, LIVE_BYTES, LIVE_CONTENTS};
use crate::records::{
    BlobId, BlobOwner, BlobRecord, BucketId, GraveyardRecord, Packed, RecordFormat, STANDARD, keys,
};

/// Which record has the content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    /// That of the blob.
    Blob,
    /// A grave, since then.
    Grave(Stamp),
}

/// Where the content is until it moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PackedFrom {
    Inline(InlinePlace),
    Pack(Packed),
}

/// One content on its way into a pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackMove {
    pub blob: BlobId,
    pub holder: Holder,
    pub size: u64,
    pub from: PackedFrom,
    pub to: Packed,
}

impl PackMove {
    fn key(&self) -> Vec<u8> {
        match self.holder {
            Holder::Blob => keys::blob(self.blob),
            Holder::Grave(when) => keys::graveyard(when, self.blob),
        }
    }
}

/// A pack, once its bytes are durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewPack {
    pub pack: BlobId,
    pub place: Place,
    pub reduced: bool,
    /// Bytes of its blob: contents and directory.
    pub size: u64,
    pub content_bytes: u64,
    pub content_count: u64,
}

/// Some of the moves into a pack.
#[derive(Clone, Debug)]
pub struct PackCommit {
    pub new: NewPack,
    /// Whether an earlier commit made the pack's records.
    pub made: bool,
    pub moves: Vec<PackMove>,
}

/// What became of moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PackMoved {
    /// Contents that live in the pack now.
    pub moved: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The pack ended meanwhile: nothing may move into it any more.
    pub gone: bool,
}

/// Moves contents into a pack: each whose record still has it where it was.
///
/// # Errors
/// `Corrupt`; `Internal` when the pack's id was given before.
pub fn move_into_pack(reads: &mut dyn Reads, commit: &PackCommit) -> Decided<PackMoved> {
    let new = &commit.new;
    let counter = keys::pack(new.pack);
    let there = reads.get(&counter)?.is_some();
    if there != commit.made {
        if commit.made {
            let gone = PackMoved {
                gone: true,
                ..PackMoved::default()
            };
            return Ok((Vec::new(), gone));
        }
        let message = format!("pack id {} was given before", new.pack);
        return Err(Error::Internal { message }.into());
    }
    let mut writes = Writes::default();
    let mut releases = Releases::default();
    let mut done = PackMoved::default();
    let mut seen = BTreeSet::new();
    for content in &commit.moves {
        // The records are read as they were before this decision: a second move would count twice.
        if !seen.insert(content.key()) {
            continue;
        }
        if move_one(reads, &mut writes, &mut releases, content)? {
            done.moved += 1;
            done.bytes += content.size;
        }
    }
    if done.moved == 0 {
        return Ok((Vec::new(), done));
    }
    let mut deltas = [0; 4];
    (deltas[LIVE_BYTES], deltas[LIVE_CONTENTS]) = (signed(done.bytes), signed(done.moved));
    if !commit.made {
        deltas[ALL_BYTES] = signed(new.content_bytes);
        deltas[ALL_CONTENTS] = signed(new.content_count);
        make_pack(reads, &mut writes, new)?;
    }
    writes.count_pack(new.pack, i64::from(!commit.made), deltas);
    releases.finish(reads, &mut writes)?;
    Ok((finish(writes), done))
}

fn make_pack(reads: &mut dyn Reads, writes: &mut Writes, new: &NewPack) -> Result<(), Halt> {
    let key = keys::blob(new.pack);
    if reads.get(&key)?.is_some() {
        let message = format!("blob id {} was given before", new.pack);
        return Err(Error::Internal { message }.into());
    }
    let record = BlobRecord {
        owner: BlobOwner::Pack,
        size: new.size,
        place: Some(new.place.clone()),
        reduced: new.reduced,
        packed: None,
    };
    writes.put(key, &record);
    if new.reduced {
        writes.mark_reduced(new.pack);
    }
    Ok(())
}

/// Whether the content moved.
fn move_one(
    reads: &mut dyn Reads,
    writes: &mut Writes,
    releases: &mut Releases,
    content: &PackMove,
) -> Result<bool, Halt> {
    let key = content.key();
    let Some(found) = reads.get(&key)? else {
        return Ok(false);
    };
    match content.holder {
        Holder::Blob => {
            let mut record = BlobRecord::decode(&found.value).map_err(Error::from)?;
            if !is_still_there(content, &found, record.packed, record.size) {
                return Ok(false);
            }
            record.packed = Some(content.to);
            writes.put(key, &record);
        }
        Holder::Grave(_) => {
            let grave = GraveyardRecord::decode(&found.value).map_err(Error::from)?;
            let GraveyardRecord::Blob { size, packed, .. } = grave else {
                return Ok(false);
            };
            if !is_still_there(content, &found, packed, size) {
                return Ok(false);
            }
            let (place, packed) = (None, Some(content.to));
            let grave = GraveyardRecord::Blob {
                size,
                place,
                packed,
            };
            writes.put(key, &grave);
        }
    }
    if let PackedFrom::Pack(old) = content.from {
        releases.add(&old, content.size);
    }
    Ok(true)
}

/// The guard: the record has the content where it was when it was read.
fn is_still_there(content: &PackMove, found: &Record, packed: Option<Packed>, size: u64) -> bool {
    if planted("objects-pack-guard-not-checked") {
        return true;
    }
    size == content.size
        && match content.from {
            PackedFrom::Inline(place) => found.inline == Some(place),
            PackedFrom::Pack(old) => packed == Some(old),
        }
}

/// Buries a pack that was written and into which nothing moved: nothing names it.
///
/// # Errors
/// `Internal` when something does.
pub fn bury_unused_pack(reads: &mut dyn Reads, new: &NewPack) -> Decided<()> {
    if reads.get(&keys::blob(new.pack))?.is_some() {
        let message = format!("pack {} is in use", new.pack);
        return Err(Error::Internal { message }.into());
    }
    let when = reads.issue_stamp(Stamp(0));
    let mut writes = Writes::default();
    let grave = GraveyardRecord::Blob {
        size: new.size,
        place: Some(new.place.clone()),
        packed: None,
    };
    writes.put(keys::graveyard(when, new.pack), &grave);
    writes.count_buried(1, new.size, 1);
    Ok((finish(writes), ()))
}

/// Buries a pack without contents that is still there.
///
/// # Errors
/// `Corrupt`.
pub fn bury_empty_pack(reads: &mut dyn Reads, pack: BlobId) -> Decided<bool> {
    let Some(counters) = pack_counters(reads, pack)? else {
        return Ok((Vec::new(), false));
    };
    if counters[LIVE_CONTENTS] > 0 {
        return Ok((Vec::new(), false));
    }
    let mut writes = Writes::default();
    end_pack(reads, &mut writes, pack, counters)?;
    Ok((finish(writes), true))
}

/// Packed contents that a decision ends. All of one decision go through one of these: each counts
/// on what is left when the others have gone (H80).
#[derive(Default)]
pub struct Releases(BTreeMap<BlobId, (i64, i64)>);

impl Releases {
    /// A content of `size` bytes lives no longer: its record goes in this decision.
    pub fn add(&mut self, packed: &Packed, size: u64) {
        let (bytes, contents) = self.0.entry(packed.pack).or_default();
        *bytes += signed(size);
        *contents += 1;
    }

    /// Takes over everything from `other`.
    pub fn append(&mut self, other: Self) {
        for (pack, (bytes, contents)) in other.0 {
            let sums = self.0.entry(pack).or_default();
            sums.0 += bytes;
            sums.1 += contents;
        }
    }

    /// Lowers the counters, and buries the packs of which nothing is left (H37).
    ///
    /// # Errors
    /// `Corrupt` when a pack is gone before its contents, or has fewer than end here.
    pub fn finish(self, reads: &mut dyn Reads, writes: &mut Writes) -> Result<(), Halt> {
        if planted("objects-pack-not-counted") {
            return Ok(());
        }
        for (pack, (bytes, contents)) in self.0 {
            let before = pack_counters(reads, pack)?;
            let before = before
                .filter(|before| before[LIVE_BYTES] >= bytes && before[LIVE_CONTENTS] >= contents);
            let Some(before) = before else {
                let message = format!("pack {pack} has fewer contents than end in it");
                return Err(Error::Corrupt { message }.into());
            };
            let last = before[LIVE_CONTENTS] == contents || planted("objects-pack-freed-early");
            if last {
                end_pack(reads, writes, pack, before)?;
            } else {
                writes.count_pack(pack, 0, [-bytes, -contents, 0, 0]);
            }
        }
        Ok(())
    }
}

/// Buries the pack and forgets its counters.
fn end_pack(
    reads: &mut dyn Reads,
    writes: &mut Writes,
    pack: BlobId,
    counters: [i64; 4],
) -> Result<(), Halt> {
    let when = reads.issue_stamp(Stamp(0));
    bury_blob(reads, writes, pack, when)?;
    writes.end_pack(pack, counters);
    Ok(())
}

/// The counters of a pack; none when it is gone.
fn pack_counters(reads: &mut dyn Reads, pack: BlobId) -> Result<Option<[i64; 4]>, Halt> {
    match reads.get(&keys::pack(pack))? {
        None => Ok(None),
        Some(record) => Ok(Some(decode_counters(&record.value)?)),
    }
}

/// The counters in a pack's record.
///
/// # Errors
/// `Corrupt`.
pub fn decode_counters(value: &[u8]) -> Result<[i64; 4], Error> {
    let counters = resolve::counters(value)?;
    counters.try_into().map_err(|_| Error::Corrupt {
        message: "bad counters of a pack".to_owned(),
    })
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// No bucket's counters change.
fn finish(writes: Writes) -> Vec<strongroom_meta::Write> {
    writes.finish(BucketId(0), STANDARD)
}
