//! The place of a blob: what its record holds, and from which every block of it is computed.
//!
//! Invariants
//! - A decoded place is sound: its runs add up, codes and offsets are within bounds. Arithmetic on
//!   it does not overflow, whatever the bytes were.
//! - The bytes are the same for the same blob; a newer format is refused by number.

use std::ops::Range;

use bytes::Bytes;
use strongroom_base::ALIGNMENT;
use strongroom_blob::{Error, ErrorKind, Place, Result};
use strongroom_erasure::{DATA_COUNT_MAX, PARITY_COUNT_MAX};
use strongroom_zones::{DecodeError, Reader, Writer};

use crate::block::{BLOCK_PAYLOAD_BYTES_MAX, BLOCK_SIZE_BYTES, BlockIdentity};
use crate::geometry::{Geometry, block_count, block_payload, shard_size};
use crate::segment::{GroupId, SEGMENT_HEADER_SIZE_BYTES};
use crate::settings::SHARD_BLOCK_COUNT_MAX;

/// Newest format of a place this build writes and reads.
pub const PLACE_FORMAT: u8 = 1;
/// Tells a place from other bytes, so that a newer format is not taken for damage.
const MAGIC: u8 = b'P';
/// Bytes of a segment no offset can be beyond.
const SEGMENT_SIZE_BYTES_MAX: u64 = u32::MAX as u64;

/// Where a blob is, decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BlobPlace {
    pub size: u64,
    pub footer_size: u32,
    pub nonce: u64,
    pub run: u64,
    pub runs: Vec<PlaceRun>,
}

/// Stripes that follow each other in one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PlaceRun {
    pub group: GroupId,
    /// Of the first stripe in the segment.
    pub offset: u64,
    pub data_count: u8,
    pub parity_count: u8,
    pub shard_block_count: u16,
    /// Bytes of the blob's stream in this run.
    pub bytes: u64,
}

/// One stripe of a blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stripe {
    pub group: GroupId,
    pub data_count: usize,
    pub parity_count: usize,
    /// In the segment.
    pub offset: u64,
    /// In the blob, counted in stripes.
    pub index: u32,
    /// In the blob's stream, in bytes.
    pub start: u64,
    /// Bytes of the blob's stream it holds.
    pub bytes: u64,
    /// Bytes of the stream in each data shard, the last ones padded with zeros.
    pub shard_payload: usize,
    pub run: u64,
    pub nonce: u64,
}

impl PlaceRun {
    pub(crate) fn geometry(&self) -> Geometry {
        Geometry::new(
            usize::from(self.data_count),
            usize::from(self.shard_block_count),
        )
    }

    /// Stripe `i` of the run, whose first byte and stripe in the blob are given.
    fn stripe(&self, ids: (u64, u64), run_start: u64, run_index: u64, i: u64) -> Stripe {
        let geometry = self.geometry();
        let start = i * geometry.stripe_bytes();
        let bytes = (self.bytes - start).min(geometry.stripe_bytes());
        Stripe {
            group: self.group,
            data_count: usize::from(self.data_count),
            parity_count: usize::from(self.parity_count),
            offset: self.offset + i * geometry.shard_size_full(),
            index: u32::try_from(run_index + i).expect("checked when decoded and when written"),
            start: run_start + start,
            bytes,
            shard_payload: geometry.shard_payload(bytes),
            run: ids.0,
            nonce: ids.1,
        }
    }

    fn is_sound(&self) -> bool {
        let counts = (1..=DATA_COUNT_MAX).contains(&usize::from(self.data_count))
            && usize::from(self.parity_count) <= PARITY_COUNT_MAX
            && (1..=SHARD_BLOCK_COUNT_MAX).contains(&usize::from(self.shard_block_count));
        counts
            && self.bytes > 0
            && self.offset >= SEGMENT_HEADER_SIZE_BYTES
            && self.offset.is_multiple_of(ALIGNMENT as u64)
            && self
                .offset
                .saturating_add(self.geometry().run_size(self.bytes))
                <= SEGMENT_SIZE_BYTES_MAX
    }
}

impl BlobPlace {
    pub(crate) fn encode(&self) -> Place {
        let mut w = Writer::new();
        w.u8(MAGIC)
            .u8(PLACE_FORMAT)
            .u64(self.size)
            .u32(self.footer_size);
        w.u64(self.nonce).u64(self.run);
        w.u16(u16::try_from(self.runs.len()).expect("runs are counted when they are added"));
        for run in &self.runs {
            w.bytes(&run.group.0).u64(run.offset);
            w.u8(run.data_count)
                .u8(run.parity_count)
                .u16(run.shard_block_count)
                .u64(run.bytes);
        }
        Place(Bytes::from(w.0))
    }

    /// # Errors
    /// `Corrupt` when the bytes are no place, `Unavailable` when they are of a newer format.
    pub(crate) fn decode(place: &Place) -> Result<Self> {
        let damaged = || {
            let text = format!("place of {} bytes does not decode", place.0.len());
            Error::new(ErrorKind::Corrupt, text)
        };
        let mut r = Reader::new(&place.0);
        if r.u8() != Ok(MAGIC) {
            return Err(damaged());
        }
        match r.u8() {
            Ok(PLACE_FORMAT) => {}
            Ok(format) if format > PLACE_FORMAT => {
                let text = format!("place of format {format} is newer than this program reads");
                return Err(Error::new(ErrorKind::Unavailable, text));
            }
            _ => return Err(damaged()),
        }
        let decoded = Self::decode_body(&mut r).map_err(|_| damaged())?;
        if r.0.is_empty() && decoded.is_sound() {
            Ok(decoded)
        } else {
            Err(damaged())
        }
    }

    fn decode_body(r: &mut Reader<'_>) -> std::result::Result<Self, DecodeError> {
        let mut place = Self {
            size: r.u64()?,
            footer_size: r.u32()?,
            nonce: r.u64()?,
            run: r.u64()?,
            runs: Vec::new(),
        };
        for _ in 0..r.u16()? {
            place.runs.push(PlaceRun {
                group: GroupId(r.array()?),
                offset: r.u64()?,
                data_count: r.u8()?,
                parity_count: r.u8()?,
                shard_block_count: r.u16()?,
                bytes: r.u64()?,
            });
        }
        Ok(place)
    }

    fn is_sound(&self) -> bool {
        let mut bytes = 0u64;
        let mut stripes = 0u64;
        for run in &self.runs {
            // A bound on the run's bytes first: the sums below can then not overflow.
            if run.bytes > SEGMENT_SIZE_BYTES_MAX * DATA_COUNT_MAX as u64 || !run.is_sound() {
                return false;
            }
            bytes += run.bytes;
            stripes += run.geometry().stripe_count(run.bytes);
        }
        self.size.checked_add(u64::from(self.footer_size)) == Some(bytes)
            && u32::try_from(stripes).is_ok()
    }

    /// Bytes of the stream: content and footer.
    pub(crate) fn stream_size(&self) -> u64 {
        self.size + u64::from(self.footer_size)
    }

    /// The stripes that hold any byte of `range` of the stream, in order.
    pub(crate) fn stripes(&self, range: Range<u64>) -> impl Iterator<Item = Stripe> + Send + use<> {
        let (mut start, mut index) = (0, 0);
        let mut spans = Vec::new();
        let runs = if range.is_empty() {
            &[]
        } else {
            &self.runs[..]
        };
        for run in runs {
            let geometry = run.geometry();
            let count = geometry.stripe_count(run.bytes);
            let size = geometry.stripe_bytes();
            let first = range.start.saturating_sub(start) / size;
            let end = range.end.saturating_sub(start).div_ceil(size).min(count);
            spans.push((*run, start, index, first..end));
            start += run.bytes;
            index += count;
        }
        let ids = (self.run, self.nonce);
        spans
            .into_iter()
            .flat_map(move |(run, start, index, span)| {
                span.map(move |i| run.stripe(ids, start, index, i))
            })
    }
}

impl Stripe {
    pub(crate) const fn shard_count(&self) -> usize {
        self.data_count + self.parity_count
    }

    /// Blocks of each shard.
    pub(crate) const fn block_count(&self) -> usize {
        block_count(self.shard_payload)
    }

    /// Payload bytes of the blocks of column `block`.
    pub(crate) fn column_payload(&self, block: usize) -> usize {
        block_payload(self.shard_payload, block)
    }

    /// Bytes of each shard on disk.
    pub(crate) fn shard_size(&self) -> usize {
        shard_size(self.shard_payload)
    }

    /// The bytes in the shard on disk that hold `blocks`.
    pub(crate) fn block_bytes(&self, blocks: &Range<usize>) -> Range<usize> {
        let end = (blocks.end * BLOCK_SIZE_BYTES).min(self.shard_size());
        blocks.start * BLOCK_SIZE_BYTES..end
    }

    pub(crate) fn identity(&self, shard: usize, block: usize) -> BlockIdentity {
        let small = "a stripe is bounded";
        BlockIdentity {
            group: self.group,
            shard_index: u8::try_from(shard).expect(small),
            block_index: u16::try_from(block).expect(small),
            payload_size: u32::try_from(self.column_payload(block)).expect(small),
            stripe_index: self.index,
            stripe_offset: self.offset,
            run: self.run,
            nonce: self.nonce,
        }
    }

    /// The pieces of `range` (of this stripe's bytes) in order: data shard, and bytes in it.
    pub(crate) fn pieces(&self, range: Range<u64>) -> Vec<(usize, Range<usize>)> {
        let small = "a stripe is in memory";
        let start = usize::try_from(range.start).expect(small);
        let end = usize::try_from(range.end.min(self.bytes)).expect(small);
        let size = self.shard_payload;
        let mut pieces = Vec::new();
        let mut at = start;
        while at < end {
            let shard = at / size;
            let stop = ((shard + 1) * size).min(end);
            pieces.push((shard, at - shard * size..stop - shard * size));
            at = stop;
        }
        pieces
    }
}

/// The blocks that hold `bytes` of a shard.
pub(crate) const fn blocks_of(bytes: &Range<usize>) -> Range<usize> {
    bytes.start / BLOCK_PAYLOAD_BYTES_MAX..bytes.end.div_ceil(BLOCK_PAYLOAD_BYTES_MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> BlobPlace {
        let run = |group: u8, bytes| PlaceRun {
            group: GroupId([group; 16]),
            offset: 8192,
            data_count: 2,
            parity_count: 1,
            shard_block_count: 16,
            bytes,
        };
        let runs = vec![run(1, 2 * 16 * 65_472 * 3), run(2, 1_000_100)];
        let size = runs.iter().map(|run| run.bytes).sum::<u64>() - 100;
        BlobPlace {
            size,
            footer_size: 100,
            nonce: 77,
            run: 4,
            runs,
        }
    }

    #[test]
    fn place_decodes_to_what_was_encoded_and_cut_or_longer_ones_are_refused() {
        let place = sample().encode();
        assert_eq!(BlobPlace::decode(&place).unwrap(), sample());
        for len in 0..place.0.len() {
            assert!(BlobPlace::decode(&Place(place.0.slice(..len))).is_err());
        }
        let longer = [&place.0[..], &[0]].concat();
        assert!(BlobPlace::decode(&Place(longer.into())).is_err());
    }

    #[test]
    fn place_of_a_newer_format_is_refused_by_number_and_not_called_corrupt() {
        let mut bytes = sample().encode().0.to_vec();
        bytes[1] = 2;
        let error = BlobPlace::decode(&Place(bytes.into())).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.contains("format 2"));
    }

    #[test]
    fn place_of_format_1_in_testdata_stays_readable() {
        let golden = include_bytes!("../testdata/place-1.bin");
        assert_eq!(
            BlobPlace::decode(&Place(Bytes::from_static(golden))).unwrap(),
            sample()
        );
        assert_eq!(&sample().encode().0[..], golden);
    }

    #[test]
    fn stripes_of_any_range_cover_it_and_nothing_else() {
        let place = sample();
        let stripes = |range| place.stripes(range).collect::<Vec<_>>();
        let all = stripes(0..place.stream_size());
        assert_eq!(all.len(), 4);
        assert_eq!(
            all.iter().map(|s| s.bytes).sum::<u64>(),
            place.stream_size()
        );
        for (i, stripe) in all.iter().enumerate() {
            assert_eq!(stripe.index as usize, i);
            let one = stripes(stripe.start..stripe.start + 1);
            assert_eq!(one, vec![*stripe]);
            let end = stripe.start + stripe.bytes;
            assert_eq!(stripes(end - 1..end), vec![*stripe]);
        }
        assert_eq!(stripes(5..5), vec![]);
    }

    proptest::proptest! {
        /// No bytes make a place that panics, however they were damaged.
        #[test]
        fn damaged_places_are_refused_or_sound(at in 0usize..200, value: u8, at2 in 0usize..200, value2: u8) {
            let mut bytes = sample().encode().0.to_vec();
            let len = bytes.len();
            bytes[at % len] = value;
            bytes[at2 % len] = value2;
            if let Ok(place) = BlobPlace::decode(&Place(bytes.into())) {
                let size = place.stream_size();
                for stripe in place.stripes(size.saturating_sub(1)..size) {
                    let _ = stripe.identity(0, stripe.block_count() - 1);
                }
            }
        }
    }
}
