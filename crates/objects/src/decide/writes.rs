//! The writes of a decision while it makes them.

use bytes::Bytes;
use strongroom_meta::Write;

use crate::records::usage::Usage;
use crate::records::{BlobId, BucketId, RecordFormat, ReducedRecord, keys};

/// Collects writes and what they change in the bucket's counters.
#[derive(Default)]
pub struct Writes {
    list: Vec<Write>,
    pub usage: Usage,
    /// Marks of reduced blobs set less those taken away.
    reduced: i64,
    /// Blobs buried less those swept, and their bytes.
    buried: [i64; 2],
    /// What changes in the sums over all packs: packs, then as in a pack's counters.
    packs: [i64; 5],
}

impl Writes {
    /// Puts a record.
    pub fn put(&mut self, key: Vec<u8>, record: &impl RecordFormat) {
        self.list.push(Write::Put {
            key,
            value: record.encode().into(),
        });
    }

    /// Puts a record with inline content.
    pub fn put_inline(&mut self, key: Vec<u8>, record: &impl RecordFormat, content: Bytes) {
        self.list.push(Write::PutInline {
            key,
            value: record.encode().into(),
            content,
        });
    }

    /// Puts a record that takes over the inline content of the record under `from`.
    pub fn move_inline(&mut self, from: Vec<u8>, key: Vec<u8>, record: &impl RecordFormat) {
        self.list.push(Write::MoveInline {
            from,
            key,
            value: record.encode().into(),
        });
    }

    /// Deletes a record.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.list.push(Write::Delete { key });
    }

    /// Marks a new blob as one with less redundancy than asked for.
    pub fn mark_reduced(&mut self, blob: BlobId) {
        self.put(keys::reduced(blob), &ReducedRecord);
        self.reduced += 1;
    }

    /// Takes the mark from a blob that has it.
    pub fn clear_reduced(&mut self, blob: BlobId) {
        self.delete(keys::reduced(blob));
        self.reduced -= 1;
    }

    /// Counts `blobs` of `bytes` into the graveyard (`sign` 1) or out (-1).
    pub fn count_buried(&mut self, blobs: usize, bytes: u64, sign: i64) {
        self.buried[0] += sign * i64::try_from(blobs).unwrap_or(i64::MAX);
        self.buried[1] += sign * i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    /// Changes the counters of a pack, and with them the sums over all packs.
    pub fn count_pack(&mut self, pack: BlobId, packs: i64, deltas: [i64; 4]) {
        self.list.push(Write::Add {
            key: keys::pack(pack),
            deltas: deltas.to_vec(),
        });
        self.sum_packs(packs, deltas);
    }

    /// Forgets a pack that had these counters.
    pub fn end_pack(&mut self, pack: BlobId, counters: [i64; 4]) {
        self.delete(keys::pack(pack));
        self.sum_packs(-1, counters.map(|count| -count));
    }

    fn sum_packs(&mut self, packs: i64, deltas: [i64; 4]) {
        self.packs[0] += packs;
        for (sum, delta) in self.packs[1..].iter_mut().zip(deltas) {
            *sum += delta;
        }
    }

    /// Takes over everything from `other`.
    pub fn append(&mut self, mut other: Self) {
        self.list.append(&mut other.list);
        for (sum, more) in self.usage.0.iter_mut().zip(other.usage.0) {
            *sum += more;
        }
        self.reduced += other.reduced;
        for (sum, more) in self.buried.iter_mut().zip(other.buried) {
            *sum += more;
        }
        for (sum, more) in self.packs.iter_mut().zip(other.packs) {
            *sum += more;
        }
    }

    /// The writes, with one for the counters of the bucket and class, and one each for the counts of
    /// reduced blobs, of buried blobs and of what packs hold.
    #[must_use]
    pub fn finish(mut self, bucket: BucketId, class: &str) -> Vec<Write> {
        if !self.usage.is_zero() {
            let key = keys::usage(bucket, class);
            self.list.push(Write::Add {
                key,
                deltas: self.usage.0.to_vec(),
            });
        }
        if self.reduced != 0 {
            self.list.push(Write::Add {
                key: keys::reduced_count(),
                deltas: vec![self.reduced],
            });
        }
        if self.buried != [0, 0] {
            self.list.push(Write::Add {
                key: keys::buried_count(),
                deltas: self.buried.to_vec(),
            });
        }
        if self.packs != [0; 5] {
            self.list.push(Write::Add {
                key: keys::packs_count(),
                deltas: self.packs.to_vec(),
            });
        }
        self.list
    }
}
