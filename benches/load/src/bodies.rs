//! Bodies that no two objects share, at the price of none.
//!
//! A client that makes and hashes a fresh body for each request measures itself. So a body is a long
//! piece of random bytes, hashed once, and a tail of its own: its SHA-256 costs one block. Several
//! pieces, cut at different offsets from one pool, keep blocks of different objects different.

use aws_lc_rs::digest::{Context, SHA256};

/// Bytes that belong to one body alone: one block of SHA-256.
const TAIL_BYTES: usize = 64;
/// Pieces of the pool: enough that neighbours differ everywhere, few enough to hash at the start.
const PIECES: usize = 16;
/// Distance of two pieces: not a multiple of any block size that a store could use.
const PIECE_STEP: usize = 72;

/// All bodies of one size.
pub struct Bodies {
    size: usize,
    pool: Vec<u8>,
    hashes: Vec<Context>,
    seed: u64,
}

/// One body: the piece, then the tail.
pub struct Body<'a> {
    pub piece: &'a [u8],
    tail: [u8; TAIL_BYTES],
    tail_size: usize,
    hash: &'a Context,
}

impl Bodies {
    /// Bodies of `size` bytes, others for another `seed`.
    pub fn new(size: usize, seed: u64) -> Self {
        let piece_size = size - TAIL_BYTES.min(size);
        let mut state = seed;
        let mut pool = Vec::with_capacity(piece_size + PIECES * PIECE_STEP + 8);
        while pool.len() < piece_size + PIECES * PIECE_STEP {
            pool.extend_from_slice(&mix(&mut state).to_le_bytes());
        }
        let hashes = (0..PIECES)
            .map(|index| {
                let mut hash = Context::new(&SHA256);
                hash.update(&pool[index * PIECE_STEP..][..piece_size]);
                hash
            })
            .collect();
        Self {
            size,
            pool,
            hashes,
            seed,
        }
    }

    /// Bytes of each.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The body with this number.
    pub fn body(&self, number: u64) -> Body<'_> {
        let index = number as usize % PIECES;
        let tail_size = TAIL_BYTES.min(self.size);
        let mut state = self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut tail = [0; TAIL_BYTES];
        for word in tail.chunks_exact_mut(8) {
            word.copy_from_slice(&mix(&mut state).to_le_bytes());
        }
        Body {
            piece: &self.pool[index * PIECE_STEP..][..self.size - tail_size],
            tail,
            tail_size,
            hash: &self.hashes[index],
        }
    }
}

impl Body<'_> {
    pub fn tail(&self) -> &[u8] {
        &self.tail[..self.tail_size]
    }

    /// Bytes of both.
    pub fn size(&self) -> usize {
        self.piece.len() + self.tail_size
    }

    /// Hexadecimal SHA-256.
    pub fn sha256(&self) -> [u8; 64] {
        let mut hash = self.hash.clone();
        hash.update(self.tail());
        let mut text = [0; 64];
        hex::encode_to_slice(hash.finish().as_ref(), &mut text).expect("32 bytes make 64 digits");
        text
    }

    /// Whether `bytes` are those of the body from `offset` on.
    pub fn has_at(&self, offset: usize, bytes: &[u8]) -> bool {
        let in_piece = self.piece.len().saturating_sub(offset).min(bytes.len());
        let (first, second) = bytes.split_at(in_piece);
        let tail_offset = (offset + in_piece).saturating_sub(self.piece.len());
        let rest = self.tail().get(tail_offset..).unwrap_or_default();
        (first.is_empty() || first == &self.piece[offset..offset + in_piece])
            && rest.get(..second.len()) == Some(second)
    }
}

/// splitmix64: the next of a row of numbers that look random.
pub fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::digest;

    fn whole(body: &Body<'_>) -> Vec<u8> {
        [body.piece, body.tail()].concat()
    }

    #[test]
    fn each_body_is_its_own_and_its_hash_is_right() {
        let bodies = Bodies::new(4096, 7);
        let mut seen = std::collections::HashSet::new();
        for number in 0..100 {
            let body = bodies.body(number);
            let bytes = whole(&body);
            assert_eq!(bytes.len(), 4096);
            assert_eq!(
                hex::encode(digest(&SHA256, &bytes)).as_bytes(),
                body.sha256()
            );
            assert!(seen.insert(bytes));
        }
    }

    #[test]
    fn an_empty_body_is_empty() {
        let bodies = Bodies::new(0, 7);
        let body = bodies.body(3);
        assert_eq!((body.size(), whole(&body).len()), (0, 0));
        assert_eq!(hex::encode(digest(&SHA256, b"")).as_bytes(), body.sha256());
        assert!(!body.has_at(0, b"x"));
    }

    #[test]
    fn a_wrong_byte_and_a_byte_too_many_are_seen_wherever_they_are() {
        let bodies = Bodies::new(4096, 7);
        let body = bodies.body(5);
        let bytes = whole(&body);
        for (from, to) in [
            (0, 4096),
            (1, 100),
            (4000, 4096),
            (4032, 4040),
            (4095, 4096),
        ] {
            let mut part = bytes[from..to].to_vec();
            assert!(body.has_at(from, &part), "{from}..{to}");
            *part.last_mut().unwrap() ^= 1;
            assert!(!body.has_at(from, &part), "{from}..{to}");
        }
        assert!(!body.has_at(4090, &[bytes[4090..].to_vec(), vec![0]].concat()));
        assert!(!body.has_at(5000, &[0]));
    }
}
