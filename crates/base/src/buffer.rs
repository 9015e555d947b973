//! Memory that direct I/O accepts: starts on a 4 KiB boundary, length a multiple of it.

use std::ops::{Deref, DerefMut};

/// Alignment in bytes of every buffer, offset and length handed to a data file. 4 KiB is the
/// largest logical block size of disks in use, and the smallest write that does not make the disk
/// read before it writes.
pub const ALIGNMENT: usize = 4096;

/// Rounds `n` up to a multiple of [`ALIGNMENT`].
#[must_use]
pub const fn align_up(n: usize) -> usize {
    n.div_ceil(ALIGNMENT) * ALIGNMENT
}

/// A zeroed buffer whose memory address is a multiple of [`ALIGNMENT`].
///
/// Its length is what the caller asked for; callers that hand it to a disk ask for an aligned one.
pub struct AlignedBuf {
    storage: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// A zeroed buffer of `len` bytes.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let storage = vec![0u8; len + ALIGNMENT];
        let start = storage.as_ptr().align_offset(ALIGNMENT);
        assert!(start < ALIGNMENT, "a byte pointer can always be aligned");
        Self {
            storage,
            start,
            len,
        }
    }

    /// A buffer that holds `bytes`, zero-padded to a multiple of [`ALIGNMENT`].
    #[must_use]
    pub fn padded(bytes: &[u8]) -> Self {
        let mut buf = Self::zeroed(align_up(bytes.len()));
        buf[..bytes.len()].copy_from_slice(bytes);
        buf
    }

    /// Shortens the buffer to `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_start_on_the_alignment_whatever_their_length() {
        for len in [0, 1, 4095, 4096, 70_000] {
            let buf = AlignedBuf::zeroed(len);
            assert_eq!(buf.len(), len);
            assert_eq!(buf.as_ptr() as usize % ALIGNMENT, 0);
        }
        assert_eq!(AlignedBuf::padded(b"abc").len(), ALIGNMENT);
    }
}
