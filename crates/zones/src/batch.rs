//! A batch: one numbered, checksummed, synced write of the commit log.
//!
//! A batch is a header and an opaque body, padded to 4 KiB. Headers are chained: each carries the
//! checksum of the one before, so a log can be compared and cut exactly. The header also carries
//! what recovery needs to know about the others: the generation, the members in service, and how
//! far acknowledgements had come when it was written.

use strongroom_base::{AlignedBuf, align_up};

use crate::checksum::checksum128;
use crate::codec::{DecodeError, Reader, Writer};
use crate::superblock::StoreId;

/// Newest batch format this build writes and reads.
pub const BATCH_FORMAT: u16 = 1;
/// Largest body of a batch: one metadata transaction of its largest size (32 MiB) beside a full
/// round of small ones. A Complete of 10,000 parts is about 3 MiB; 64 writers with
/// 16 KiB of inline content each are 1 MiB.
pub const BATCH_BODY_SIZE_BYTES_MAX: usize = 48 * 1024 * 1024;
/// Encoded length of a header.
pub const BATCH_HEADER_SIZE_BYTES: usize = 8 + 2 + 1 + 1 + 4 + 16 + 16 + 8 + 16 + 8 * 5 + 16 + 16;
const MAGIC: &[u8; 8] = b"STRGRMLB";
const HEADER_SEED: u64 = 0x4241_5443_4848_4452;
const BODY_SEED: u64 = 0x4241_5443_4842_4459;

/// Fences off a stale owner: a counter that only grows, and a random tag, so that two attempts at
/// one counter can be told apart (hazard H2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Generation {
    pub counter: u64,
    pub tag: u64,
}

/// What a batch is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchKind {
    /// Metadata commits.
    Commits,
    /// Begins a generation: names the members in service from here on. No body.
    Membership,
    /// Records the acknowledged position when nothing else would (hazard H4). No body.
    Idle,
}

/// Everything about a batch but its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchHeader {
    pub kind: BatchKind,
    pub store: StoreId,
    pub generation: Generation,
    /// Counts from 1, without gaps.
    pub number: u64,
    /// Checksum of the header of batch `number - 1`; zeros for the first.
    pub previous: [u8; 16],
    /// Every batch up to this number had been acknowledged when this one was written.
    pub acknowledged: u64,
    /// Members in service in this generation: bit i is member i.
    pub service: u64,
    /// Highest stamp issued up to and including this batch.
    pub stamp_mark: u64,
    /// High-water mark of the lock clock.
    pub lock_clock: u64,
    /// The process start that wrote it.
    pub run: u64,
    pub body_len: u32,
    pub body_checksum: [u8; 16],
}

/// A header and its body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    pub header: BatchHeader,
    pub body: bytes::Bytes,
}

impl BatchHeader {
    /// The header for `body`, with its length and checksum filled in.
    #[must_use]
    pub fn seal(mut self, body: &[u8]) -> Self {
        assert!(
            body.len() <= BATCH_BODY_SIZE_BYTES_MAX,
            "the committer bounds a batch"
        );
        self.body_len = u32::try_from(body.len()).expect("bounded above");
        self.body_checksum = body_checksum(self.number, body);
        self
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer(Vec::with_capacity(BATCH_HEADER_SIZE_BYTES));
        w.bytes(MAGIC).u16(BATCH_FORMAT);
        w.u8(match self.kind {
            BatchKind::Commits => 1,
            BatchKind::Membership => 2,
            BatchKind::Idle => 3,
        });
        w.u8(0).u32(self.body_len).bytes(&self.store.0);
        w.u64(self.generation.counter).u64(self.generation.tag);
        w.u64(self.number).bytes(&self.previous);
        w.u64(self.acknowledged)
            .u64(self.service)
            .u64(self.stamp_mark);
        w.u64(self.lock_clock)
            .u64(self.run)
            .bytes(&self.body_checksum);
        let sum = checksum128(HEADER_SEED, &[&w.0]);
        w.bytes(&sum);
        debug_assert_eq!(w.0.len(), BATCH_HEADER_SIZE_BYTES);
        w.0
    }

    /// The checksum the next batch carries as `previous`.
    #[must_use]
    pub fn checksum(&self) -> [u8; 16] {
        let bytes = self.encode();
        bytes[BATCH_HEADER_SIZE_BYTES - 16..]
            .try_into()
            .expect("sixteen bytes")
    }

    /// Reads a header. Says nothing about the body.
    ///
    /// # Errors
    /// When the bytes are no header of a format this build knows.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let bytes = bytes.get(..BATCH_HEADER_SIZE_BYTES).ok_or(DecodeError)?;
        let (fields, sum) = bytes.split_at(BATCH_HEADER_SIZE_BYTES - 16);
        let mut r = Reader::new(fields);
        if r.bytes(8)? != MAGIC || checksum128(HEADER_SEED, &[fields]) != sum {
            return Err(DecodeError);
        }
        if r.u16()? > BATCH_FORMAT {
            return Err(DecodeError);
        }
        let kind = match r.u8()? {
            1 => BatchKind::Commits,
            2 => BatchKind::Membership,
            3 => BatchKind::Idle,
            _ => return Err(DecodeError),
        };
        r.u8()?;
        let body_len = r.u32()?;
        if body_len as usize > BATCH_BODY_SIZE_BYTES_MAX {
            return Err(DecodeError);
        }
        Ok(Self {
            kind,
            body_len,
            store: StoreId(r.array()?),
            generation: Generation {
                counter: r.u64()?,
                tag: r.u64()?,
            },
            number: r.u64()?,
            previous: r.array()?,
            acknowledged: r.u64()?,
            service: r.u64()?,
            stamp_mark: r.u64()?,
            lock_clock: r.u64()?,
            run: r.u64()?,
            body_checksum: r.array()?,
        })
    }

    /// Bytes the batch takes in a log file.
    #[must_use]
    pub const fn size_on_disk(&self) -> usize {
        align_up(BATCH_HEADER_SIZE_BYTES + self.body_len as usize)
    }

    /// Whether `body` is this batch's.
    #[must_use]
    pub fn matches(&self, body: &[u8]) -> bool {
        body.len() == self.body_len as usize
            && body_checksum(self.number, body) == self.body_checksum
    }
}

fn body_checksum(number: u64, body: &[u8]) -> [u8; 16] {
    checksum128(BODY_SEED ^ number, &[body])
}

impl Batch {
    /// The bytes in a log file.
    #[must_use]
    pub fn encode(&self) -> AlignedBuf {
        let header = self.header.encode();
        let mut out = AlignedBuf::zeroed(self.header.size_on_disk());
        out[..header.len()].copy_from_slice(&header);
        out[header.len()..header.len() + self.body.len()].copy_from_slice(&self.body);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn sample(body: &[u8]) -> Batch {
        let header = BatchHeader {
            kind: BatchKind::Commits,
            store: StoreId([7; 16]),
            generation: Generation {
                counter: 3,
                tag: 99,
            },
            number: 41,
            previous: [5; 16],
            acknowledged: 40,
            service: 0b111,
            stamp_mark: 1_000,
            lock_clock: 2_000,
            run: 4,
            body_len: 0,
            body_checksum: [0; 16],
        };
        Batch {
            header: header.seal(body),
            body: bytes::Bytes::copy_from_slice(body),
        }
    }

    #[test]
    fn header_decodes_to_what_was_encoded_and_any_flipped_bit_is_refused() {
        let batch = sample(b"body");
        let bytes = batch.encode();
        assert_eq!(BatchHeader::decode(&bytes).unwrap(), batch.header);
        assert!(batch.header.matches(b"body"));
        assert!(!batch.header.matches(b"bodz"));
        for bit in 0..BATCH_HEADER_SIZE_BYTES * 8 {
            let mut bad = bytes.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(BatchHeader::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn batch_of_format_1_in_testdata_stays_readable() {
        let golden = include_bytes!("../testdata/batch-1.bin");
        let batch = sample(b"golden body");
        assert_eq!(BatchHeader::decode(golden).unwrap(), batch.header);
        assert_eq!(&batch.encode()[..], golden);
    }
}
