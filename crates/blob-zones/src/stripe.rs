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
        for (index, shard) in self.shards.iter_mut().enumerate() {
            for block in 0..stripe.block_count() {
                let bytes = &mut shard[stripe.block_bytes(&(block..block + 1))];
                stripe.identity(index, block).seal(bytes, disks[index]);
            }
        }
        self.shards.into_iter().map(Arc::new).collect()
    }
}
