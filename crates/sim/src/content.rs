//! The bytes of one file, cheap to copy: chunks are shared until one side writes.
//!
//! A crash replay copies every file thousands of times and changes a few bytes in each copy, so
//! content is a list of shared chunks. An absent chunk reads as zeros.

use std::sync::Arc;

/// Bytes per chunk. The unit in which data files are written; a smaller chunk makes copying the
/// list of a large file slow, a larger one makes each changed byte copy more.
const CHUNK_SIZE_BYTES: usize = 4096;

type Chunk = Arc<[u8; CHUNK_SIZE_BYTES]>;

/// The content of a file.
#[derive(Clone, Default)]
pub(crate) struct Content {
    len: u64,
    /// May be shorter than `len` says: what is absent is zeros. Bytes past `len` are zeros.
    chunks: Vec<Option<Chunk>>,
}

impl Content {
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Reads up to `out.len()` bytes; fewer only at the end.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> usize {
        let available = self.len.saturating_sub(offset);
        let size = usize::try_from(available).map_or(out.len(), |n| n.min(out.len()));
        for (index, start, range) in pieces(offset, size) {
            let piece = &mut out[range];
            match self.chunks.get(index) {
                Some(Some(chunk)) => piece.copy_from_slice(&chunk[start..start + piece.len()]),
                _ => piece.fill(0),
            }
        }
        size
    }

    /// Writes `data`, growing the file over zeros where it has to.
    pub fn write_at(&mut self, offset: u64, data: &[u8]) {
        for (index, start, range) in pieces(offset, data.len()) {
            if self.chunks.len() <= index {
                self.chunks.resize(index + 1, None);
            }
            let chunk = self.chunks[index].get_or_insert_with(|| Arc::new([0; CHUNK_SIZE_BYTES]));
            let piece = &data[range];
            Arc::make_mut(chunk)[start..start + piece.len()].copy_from_slice(piece);
        }
        if !data.is_empty() {
            self.len = self.len.max(offset + data.len() as u64);
        }
    }

    /// Cuts the file, or grows it over zeros.
    pub fn set_len(&mut self, len: u64) {
        if len < self.len {
            let chunk_count = position(len.next_multiple_of(CHUNK_SIZE_BYTES as u64)).0;
            self.chunks.truncate(chunk_count);
            let (index, start) = position(len);
            if let Some(Some(chunk)) = self.chunks.get_mut(index) {
                Arc::make_mut(chunk)[start..].fill(0);
            }
        }
        self.len = len;
    }

    /// Makes a hole: zeros, and chunks that are wholly in it are given back. The length stays.
    pub fn punch(&mut self, offset: u64, len: u64) {
        let end = offset.saturating_add(len).min(self.len);
        let size = usize::try_from(end.saturating_sub(offset)).expect("a simulated file fits");
        for (index, start, range) in pieces(offset, size) {
            match self.chunks.get_mut(index) {
                Some(chunk) if range.len() == CHUNK_SIZE_BYTES => *chunk = None,
                Some(Some(chunk)) => Arc::make_mut(chunk)[start..start + range.len()].fill(0),
                _ => {}
            }
        }
    }

    /// Grows the file over zeros to at least `len`.
    pub fn grow(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    /// All bytes, for tests and tools.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = vec![0; usize::try_from(self.len).expect("a simulated file fits in memory")];
        self.read_at(0, &mut out);
        out
    }
}

/// The chunk of `offset` and where in it.
fn position(offset: u64) -> (usize, usize) {
    let size = CHUNK_SIZE_BYTES as u64;
    let index = usize::try_from(offset / size).expect("a simulated file fits in memory");
    (index, (offset % size) as usize)
}

/// Cuts `[offset, offset+size)` at chunk borders: chunk, start in it, range of the caller's buffer.
fn pieces(
    offset: u64,
    size: usize,
) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == size {
            return None;
        }
        let (index, start) = position(offset + done as u64);
        let take = (CHUNK_SIZE_BYTES - start).min(size - done);
        let range = done..done + take;
        done += take;
        Some((index, start, range))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_base::{Random, SeededRandom};

    #[test]
    fn content_behaves_as_a_plain_vector_would() {
        let random = SeededRandom::new(7);
        let below = |n: u64| random.next_u64() % n;
        let (mut content, mut plain) = (Content::default(), Vec::<u8>::new());
        for round in 0..2000u64 {
            let offset = below(20_000);
            if below(5) == 1 {
                let size = below(9000);
                content.punch(offset, size);
                let end = plain.len().min((offset + size) as usize);
                if let Some(hole) = plain.get_mut(offset as usize..end) {
                    hole.fill(0);
                }
            } else if below(5) == 0 {
                content.set_len(offset);
                plain.resize(offset as usize, 0);
            } else {
                let data = vec![round as u8 | 1; below(9000) as usize];
                content.write_at(offset, &data);
                let end = offset as usize + data.len();
                if !data.is_empty() {
                    plain.resize(plain.len().max(end), 0);
                    plain[offset as usize..end].copy_from_slice(&data);
                }
            }
            assert!(content.to_vec() == plain, "round {round}");
        }
    }

    #[test]
    fn a_copy_does_not_see_later_writes() {
        let mut content = Content::default();
        content.write_at(10, b"old");
        let copy = content.clone();
        content.write_at(10, b"new");
        let mut out = [0; 3];
        assert_eq!(copy.read_at(10, &mut out), 3);
        assert_eq!(&out, b"old");
    }
}
