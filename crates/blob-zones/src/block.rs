//! The block: 64 KiB of a shard with two checksums, and the only judge of what a disk gives back.
//!
//! A disk may return what was written, something else, or something older. The *content* checksum
//! is over the payload and everything that identifies it: group, stripe, shard, block, run and the
//! nonce of the blob. The *address* checksum is over the content checksum and where the block lies:
//! disk, file and offset. A reader computes the header it must see from the blob's place, so nothing
//! a disk says about itself is believed (RFC 0002).
//!
//! Invariants
//! - Moving a shard to another disk changes the address checksum and nothing else.
//! - The bytes of a block follow from its identity, payload and disk: writing it again is idempotent.

use strongroom_base::{ALIGNMENT, align_up};
use strongroom_zones::{DiskId, checksum64, checksum128};

use crate::segment::GroupId;

/// Bytes of a full block on disk.
pub const BLOCK_SIZE_BYTES: usize = 64 * 1024;
/// Bytes of a block's header.
pub const BLOCK_HEADER_SIZE_BYTES: usize = 64;
/// Payload bytes of a full block.
pub const BLOCK_PAYLOAD_BYTES_MAX: usize = BLOCK_SIZE_BYTES - BLOCK_HEADER_SIZE_BYTES;
/// Newest block format this build writes and reads.
pub const BLOCK_FORMAT: u8 = 1;

const MAGIC: &[u8; 4] = b"SRBK";
/// Header bytes that identify the block: all before the checksums.
const IDENTITY_SIZE_BYTES: usize = 40;
const CONTENT_SEED: u64 = 0x424c_4f43_4b43_4f4e;
const ADDRESS_SEED: u64 = 0x424c_4f43_4b41_4444;

const _: () = assert!(BLOCK_SIZE_BYTES.is_multiple_of(ALIGNMENT));

/// Which block of which blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BlockIdentity {
    pub group: GroupId,
    pub shard_index: u8,
    pub block_index: u16,
    pub payload_size: u32,
    /// Of the stripe in the blob.
    pub stripe_index: u32,
    /// Of the stripe in the segment.
    pub stripe_offset: u64,
    pub run: u64,
    pub nonce: u64,
}

/// What a block says of itself, and whether that is so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Proof {
    Good(BlockIdentity),
    /// It is of a format that this program does not know.
    Newer,
    None,
}

/// Bytes on disk of a block with `payload` bytes.
pub(crate) const fn block_size(payload: usize) -> usize {
    align_up(BLOCK_HEADER_SIZE_BYTES + payload)
}

impl BlockIdentity {
    fn identity_bytes(&self) -> [u8; IDENTITY_SIZE_BYTES] {
        let mut out = [0; IDENTITY_SIZE_BYTES];
        out[..4].copy_from_slice(MAGIC);
        out[4] = BLOCK_FORMAT;
        out[5] = self.shard_index;
        out[6..8].copy_from_slice(&self.block_index.to_le_bytes());
        out[8..12].copy_from_slice(&self.payload_size.to_le_bytes());
        out[12..16].copy_from_slice(&self.stripe_index.to_le_bytes());
        out[16..24].copy_from_slice(&self.stripe_offset.to_le_bytes());
        out[24..32].copy_from_slice(&self.run.to_le_bytes());
        out[32..40].copy_from_slice(&self.nonce.to_le_bytes());
        out
    }

    /// Offset of the block in its file.
    fn offset(&self) -> u64 {
        self.stripe_offset + u64::from(self.block_index) * BLOCK_SIZE_BYTES as u64
    }

    fn content_checksum(&self, payload: &[u8]) -> [u8; 16] {
        checksum128(
            CONTENT_SEED,
            &[&self.identity_bytes(), &self.group.0, payload],
        )
    }

    fn address_checksum(&self, content: &[u8; 16], disk: DiskId) -> [u8; 8] {
        let mut bytes = [0; IDENTITY_SIZE_BYTES + 16 + 16 + 16 + 8];
        bytes[..40].copy_from_slice(&self.identity_bytes());
        bytes[40..56].copy_from_slice(content);
        bytes[56..72].copy_from_slice(&self.group.0);
        bytes[72..88].copy_from_slice(&disk.0);
        bytes[88..].copy_from_slice(&self.offset().to_le_bytes());
        checksum64(ADDRESS_SEED, &bytes).to_le_bytes()
    }

    /// Whether a block begins at `bytes`, read at `offset` of a segment on `disk`, that proves itself by
    /// its checksums. For moving it, where no place is at hand: never for believing its content.
    pub(crate) fn prove(
        bytes: &[u8],
        group: GroupId,
        shard_index: u8,
        offset: u64,
        disk: DiskId,
    ) -> Proof {
        let Some(header) = bytes.get(..BLOCK_HEADER_SIZE_BYTES) else {
            return Proof::None;
        };
        if header[..4] != *MAGIC {
            return Proof::None;
        }
        if header[4] > BLOCK_FORMAT {
            return Proof::Newer;
        }
        let number = |from: usize, len: usize| {
            let mut bytes = [0; 8];
            bytes[..len].copy_from_slice(&header[from..from + len]);
            u64::from_le_bytes(bytes)
        };
        let small = |from: usize| u32::try_from(number(from, 4)).expect("four bytes");
        let identity = Self {
            group,
            shard_index,
            block_index: u16::try_from(number(6, 2)).expect("two bytes"),
            payload_size: small(8),
            stripe_index: small(12),
            stripe_offset: number(16, 8),
            run: number(24, 8),
            nonce: number(32, 8),
        };
        let skipped = u64::from(identity.block_index) * BLOCK_SIZE_BYTES as u64;
        let is_here = identity.stripe_offset.checked_add(skipped) == Some(offset)
            && identity.payload_size as usize <= BLOCK_PAYLOAD_BYTES_MAX;
        let block = bytes.get(..block_size((identity.payload_size as usize).min(BLOCK_SIZE_BYTES)));
        match block {
            Some(block) if is_here && identity.verify(block, disk) => Proof::Good(identity),
            _ => Proof::None,
        }
    }

    /// Writes the header of the block at the start of `block`, whose payload is in place.
    pub(crate) fn seal(&self, block: &mut [u8], disk: DiskId) {
        let payload_end = BLOCK_HEADER_SIZE_BYTES + self.payload_size as usize;
        let content = self.content_checksum(&block[BLOCK_HEADER_SIZE_BYTES..payload_end]);
        let address = self.address_checksum(&content, disk);
        block[..40].copy_from_slice(&self.identity_bytes());
        block[40..56].copy_from_slice(&content);
        block[56..64].copy_from_slice(&address);
    }

    /// Whether `block`, read from `disk`, is this block, bit for bit.
    pub(crate) fn verify(&self, block: &[u8], disk: DiskId) -> bool {
        let payload_end = BLOCK_HEADER_SIZE_BYTES + self.payload_size as usize;
        if block.len() != block_size(self.payload_size as usize) {
            return false;
        }
        let payload = &block[BLOCK_HEADER_SIZE_BYTES..payload_end];
        if strongroom_base::planted("blob_skip_checksum") {
            return true;
        }
        let content = self.content_checksum(payload);
        block[..40] == self.identity_bytes()
            && block[40..56] == content
            && block[56..64] == self.address_checksum(&content, disk)
            && block[payload_end..].iter().all(|byte| *byte == 0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> (BlockIdentity, Vec<u8>, DiskId) {
        let identity = BlockIdentity {
            group: GroupId([7; 16]),
            shard_index: 3,
            block_index: 2,
            payload_size: 5000,
            stripe_index: 11,
            stripe_offset: 4096 * 9,
            run: 5,
            nonce: 0x1122_3344_5566_7788,
        };
        let disk = DiskId([9; 16]);
        let mut block = vec![0; block_size(5000)];
        for (i, byte) in block[64..5064].iter_mut().enumerate() {
            *byte = (i % 253) as u8;
        }
        identity.seal(&mut block, disk);
        (identity, block, disk)
    }

    #[test]
    fn a_block_proves_itself_where_it_lies_and_nowhere_else() {
        let (identity, mut block, disk) = sample();
        let prove = |bytes: &[u8], shard, offset, disk| {
            BlockIdentity::prove(bytes, identity.group, shard, offset, disk)
        };
        let at = identity.offset();
        assert_eq!(prove(&block, 3, at, disk), Proof::Good(identity));
        let mut longer = block.clone();
        longer.resize(BLOCK_SIZE_BYTES, 7);
        assert_eq!(prove(&longer, 3, at, disk), Proof::Good(identity));
        assert_eq!(prove(&block, 2, at, disk), Proof::None);
        assert_eq!(prove(&block, 3, at + 4096, disk), Proof::None);
        assert_eq!(prove(&block, 3, at, DiskId([8; 16])), Proof::None);
        for len in [0, 63, 64, 4096] {
            assert_eq!(prove(&block[..len], 3, at, disk), Proof::None, "{len}");
        }
        for bit in (0..block.len() * 8).step_by(7) {
            block[bit / 8] ^= 1 << (bit % 8);
            let proof = prove(&block, 3, at, disk);
            assert!(!matches!(proof, Proof::Good(_)), "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
        block[4] = BLOCK_FORMAT + 1;
        assert_eq!(prove(&block, 3, at, disk), Proof::Newer);
    }

    #[test]
    fn any_flipped_bit_of_a_block_is_noticed() {
        let (identity, block, disk) = sample();
        assert!(identity.verify(&block, disk));
        for bit in (0..block.len() * 8).step_by(7) {
            let mut bad = block.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!identity.verify(&bad, disk), "bit {bit}");
        }
        for len in [0, 1, 63, 64, 5063, block.len() - 1] {
            assert!(!identity.verify(&block[..len], disk));
        }
    }

    /// H39: the right block on another disk, or at another place, is not the right block.
    #[test]
    fn h39_a_block_is_good_only_as_itself_and_only_where_it_belongs() {
        let (identity, block, disk) = sample();
        assert!(!identity.verify(&block, DiskId([8; 16])));
        let others = [
            BlockIdentity {
                group: GroupId([8; 16]),
                ..identity
            },
            BlockIdentity {
                shard_index: 4,
                ..identity
            },
            BlockIdentity {
                block_index: 1,
                ..identity
            },
            BlockIdentity {
                payload_size: 4999,
                ..identity
            },
            BlockIdentity {
                stripe_index: 12,
                ..identity
            },
            BlockIdentity {
                stripe_offset: 4096,
                ..identity
            },
            BlockIdentity { run: 6, ..identity },
            BlockIdentity {
                nonce: 1,
                ..identity
            },
        ];
        for other in others {
            assert!(!other.verify(&block, disk), "{other:?}");
        }
    }

    /// Rebuilding a shard elsewhere must change no record: only the address checksum differs.
    #[test]
    fn moving_a_block_to_another_disk_changes_the_address_checksum_alone() {
        let (identity, block, _) = sample();
        let mut moved = block.clone();
        identity.seal(&mut moved, DiskId([8; 16]));
        assert_eq!(moved[..56], block[..56]);
        assert_ne!(moved[56..64], block[56..64]);
        assert_eq!(moved[64..], block[64..]);
    }

    #[test]
    fn block_of_format_1_in_testdata_stays_readable() {
        let golden = include_bytes!("../testdata/block-1.bin");
        let (identity, block, disk) = sample();
        assert!(identity.verify(golden, disk));
        assert_eq!(block, golden);
    }
}
