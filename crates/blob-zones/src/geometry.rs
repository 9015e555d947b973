//! How many bytes lie where: the arithmetic of stripes, shards and blocks, in one place.

use crate::block::{BLOCK_PAYLOAD_BYTES_MAX, BLOCK_SIZE_BYTES, block_size};

/// The shape of the stripes of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Geometry {
    data_count: usize,
    shard_block_count: usize,
}

impl Geometry {
    pub(crate) const fn new(data_count: usize, shard_block_count: usize) -> Self {
        Self {
            data_count,
            shard_block_count,
        }
    }

    /// Bytes of the stream in a full stripe.
    pub(crate) const fn stripe_bytes(self) -> u64 {
        (self.data_count * self.shard_block_count * BLOCK_PAYLOAD_BYTES_MAX) as u64
    }

    /// Bytes on disk of a shard of a full stripe.
    pub(crate) const fn shard_size_full(self) -> u64 {
        (self.shard_block_count * BLOCK_SIZE_BYTES) as u64
    }

    /// Bytes of the stream in each shard of a stripe that holds `bytes`.
    pub(crate) fn shard_payload(self, bytes: u64) -> usize {
        let bytes = usize::try_from(bytes).expect("a stripe is in memory");
        bytes.div_ceil(self.data_count)
    }

    /// Bytes in the segment that `bytes` of the stream need.
    pub(crate) fn run_size(self, bytes: u64) -> u64 {
        let (full, rest) = (bytes / self.stripe_bytes(), bytes % self.stripe_bytes());
        let last = if rest == 0 {
            0
        } else {
            shard_size(self.shard_payload(rest)) as u64
        };
        full.saturating_mul(self.shard_size_full())
            .saturating_add(last)
    }

    /// Stripes that `bytes` of the stream need.
    pub(crate) const fn stripe_count(self, bytes: u64) -> u64 {
        bytes.div_ceil(self.stripe_bytes())
    }
}

/// Bytes on disk of a shard with `payload` bytes.
pub(crate) fn shard_size(payload: usize) -> usize {
    let (full, rest) = (
        payload / BLOCK_PAYLOAD_BYTES_MAX,
        payload % BLOCK_PAYLOAD_BYTES_MAX,
    );
    full * BLOCK_SIZE_BYTES + if rest == 0 { 0 } else { block_size(rest) }
}

/// Payload bytes of block `index` of a shard with `payload` bytes.
pub(crate) fn block_payload(payload: usize, index: usize) -> usize {
    payload
        .saturating_sub(index * BLOCK_PAYLOAD_BYTES_MAX)
        .min(BLOCK_PAYLOAD_BYTES_MAX)
}

/// Blocks of a shard with `payload` bytes.
pub(crate) const fn block_count(payload: usize) -> usize {
    payload.div_ceil(BLOCK_PAYLOAD_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_parts_add_up_to_the_size_of_the_run() {
        for (k, blocks) in [(1, 1), (2, 16), (7, 4), (9, 3)] {
            let geometry = Geometry::new(k, blocks);
            for bytes in [0, 1, 100, 65_472, 65_473, 300_000, 5_000_000] {
                let mut size = 0;
                let mut left: u64 = bytes;
                while left > 0 {
                    let stripe = left.min(geometry.stripe_bytes());
                    let payload = geometry.shard_payload(stripe);
                    let blocks = (0..block_count(payload)).map(|i| block_payload(payload, i));
                    assert_eq!(blocks.clone().sum::<usize>(), payload);
                    assert_eq!(blocks.map(block_size).sum::<usize>(), shard_size(payload));
                    size += shard_size(payload) as u64;
                    left -= stripe;
                }
                assert_eq!(size, geometry.run_size(bytes), "{k} {blocks} {bytes}");
            }
        }
    }
}
