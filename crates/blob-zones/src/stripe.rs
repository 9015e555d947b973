//! A stripe in memory: filled from the stream, encoded column by column, sealed into blocks.
//!
//! Content is copied once, from the stream into the blocks that go to disk; parity is computed from
//! there and each block is hashed once.

use std::ops::Range;
use std::sync::Arc;

use strongroom_base::AlignedBuf;
use strongroom_erasure::Codec;
use strongroom_zones::DiskId;

use crate::block::{BLOCK_HEADER_SIZE_BYTES, BLOCK_PAYLOAD_BYTES_MAX, BLOCK_SIZE_BYTES};
use crate::place::Stripe;

/// Of the stripes of a blob, one in this many is decoded again before it is written. The first always.
const CHECKED_EVERY: u32 = 64;

/// The shards of one stripe, being filled.
pub(crate) struct StripeBuf {
    stripe: Stripe,
    shards: Vec<AlignedBuf>,
    filled: usize,
}

/// Bytes of the payload of `block` in the shard's buffer.
pub(crate) fn payload_range(stripe: &Stripe, block: usize) -> Range<usize> {
    let start = block * BLOCK_SIZE_BYTES + BLOCK_HEADER_SIZE_BYTES;
    start..start + stripe.column_payload(block)
}

impl StripeBuf {
    pub(crate) fn new(stripe: Stripe) -> Self {
        let size = stripe.shard_size();
        let shards = (0..stripe.shard_count())
            .map(|_| AlignedBuf::zeroed(size))
            .collect();
        Self {
            stripe,
            shards,
            filled: 0,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.filled as u64 == self.stripe.bytes
    }

    /// Copies the beginning of `bytes` into the stripe; returns how many it took.
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> usize {
        let room = usize::try_from(self.stripe.bytes).expect("in memory") - self.filled;
        let bytes = &bytes[..bytes.len().min(room)];
        let mut done = 0;
        while done < bytes.len() {
            let at = self.filled + done;
            let (shard, in_shard) = (
                at / self.stripe.shard_payload,
                at % self.stripe.shard_payload,
            );
            let block = in_shard / BLOCK_PAYLOAD_BYTES_MAX;
            let mut target = payload_range(&self.stripe, block);
            target.start += in_shard % BLOCK_PAYLOAD_BYTES_MAX;
            let size = target.len().min(bytes.len() - done);
            target.end = target.start + size;
            self.shards[shard][target].copy_from_slice(&bytes[done..done + size]);
            done += size;
        }
        self.filled += done;
        done
    }

    /// Computes parity and writes the block headers. Heavy: not for a thread of the runtime.
    pub(crate) fn seal(mut self, disks: &[DiskId]) -> Vec<Arc<AlignedBuf>> {
        debug_assert!(self.is_full());
        let stripe = self.stripe;
        let codec = Codec::new(stripe.data_count, stripe.parity_count)
            .expect("codes are chosen within the codec's bounds");
        let (data, parity) = self.shards.split_at_mut(stripe.data_count);
        for block in 0..stripe.block_count() {
            let range = payload_range(&stripe, block);
            let data: Vec<&[u8]> = data.iter().map(|shard| &shard[range.clone()]).collect();
            let mut parity: Vec<&mut [u8]> = parity
                .iter_mut()
                .map(|shard| &mut shard[range.clone()])
                .collect();
            codec
                .encode(&data, &mut parity)
                .expect("columns have one length");
        }
        if stripe.index.is_multiple_of(CHECKED_EVERY) {
            check_decodes(&stripe, &codec, &self.shards);
        }
        for (index, shard) in self.shards.iter_mut().enumerate() {
            for block in 0..stripe.block_count() {
                let bytes = &mut shard[stripe.block_bytes(&(block..block + 1))];
                stripe.identity(index, block).seal(bytes, disks[index]);
            }
        }
        self.shards.into_iter().map(Arc::new).collect()
    }
}

/// Stops before parity that does not give the data back is written: a fault of memory, processor or
/// codec would else be found when the data is gone.
fn check_decodes(stripe: &Stripe, codec: &Codec, shards: &[AlignedBuf]) {
    let lost = stripe.data_count.min(stripe.parity_count);
    for block in 0..stripe.block_count() {
        let range = payload_range(stripe, block);
        let present: Vec<Option<&[u8]>> = shards
            .iter()
            .enumerate()
            .map(|(index, shard)| (index >= lost).then(|| &shard[range.clone()]))
            .collect();
        let mut rebuilt = vec![vec![0; range.len()]; lost];
        let mut wanted: Vec<(usize, &mut [u8])> = rebuilt
            .iter_mut()
            .map(|bytes| &mut bytes[..])
            .enumerate()
            .collect();
        codec
            .rebuild(&present, &mut wanted)
            .expect("k shards are present");
        for (shard, bytes) in shards.iter().zip(&rebuilt) {
            assert!(
                shard[range.clone()] == bytes[..],
                "a stripe just encoded does not decode"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::GroupId;

    fn filled(data_count: usize, parity_count: usize, bytes: u64) -> StripeBuf {
        let shard_payload = (bytes as usize).div_ceil(data_count);
        let stripe = Stripe {
            group: GroupId([1; 16]),
            data_count,
            parity_count,
            offset: 4096,
            index: 0,
            start: 0,
            bytes,
            shard_payload,
            run: 1,
            nonce: 2,
        };
        let mut buf = StripeBuf::new(stripe);
        let content: Vec<u8> = (0..bytes).map(|i| (i % 251) as u8).collect();
        for part in content.chunks(777) {
            assert_eq!(buf.fill(part), part.len());
        }
        assert!(buf.is_full());
        assert_eq!(buf.fill(b"more"), 0);
        buf
    }

    /// Every shard of every shape verifies, and data shards hold the stream in order.
    #[test]
    fn sealed_shards_verify_and_hold_the_stream_in_order() {
        for (k, m) in [(1, 0), (1, 1), (2, 1), (7, 5)] {
            for bytes in [1, 5, 4096, 65_472, 65_473, 300_001] {
                let buf = filled(k, m, bytes);
                let stripe = buf.stripe;
                let disks: Vec<DiskId> = (0..k + m).map(|i| DiskId([i as u8; 16])).collect();
                let mut stream = Vec::new();
                for (shard, sealed) in buf.seal(&disks).iter().enumerate() {
                    for block in 0..stripe.block_count() {
                        let bytes = &sealed[stripe.block_bytes(&(block..block + 1))];
                        assert!(stripe.identity(shard, block).verify(bytes, disks[shard]));
                        if shard < k {
                            stream.extend_from_slice(&sealed[payload_range(&stripe, block)]);
                        }
                    }
                }
                stream.truncate(bytes as usize);
                assert!(
                    stream
                        .iter()
                        .enumerate()
                        .all(|(i, byte)| *byte == (i % 251) as u8)
                );
            }
        }
    }

    #[test]
    #[should_panic(expected = "does not decode")]
    fn parity_that_does_not_give_the_data_back_is_not_written() {
        let mut buf = filled(2, 1, 100_000);
        let codec = Codec::new(2, 1).unwrap();
        // No parity was computed: it is zeros.
        buf.shards[2].fill(0);
        check_decodes(&buf.stripe, &codec, &buf.shards);
    }
}
