//! The counters of a bucket and storage class.

/// Versions that are objects.
pub const OBJECTS: usize = 0;
/// Their bytes.
pub const BYTES: usize = 1;
/// Versions that are delete markers.
pub const MARKERS: usize = 2;
/// Parts of uploads in progress.
pub const PARTS: usize = 3;
/// Their bytes.
pub const PART_BYTES: usize = 4;
/// Uploads in progress.
pub const UPLOADS: usize = 5;
/// How many counters there are.
pub const COUNT: usize = 6;

/// What a commit changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage(pub [i64; COUNT]);

impl Usage {
    /// Counts one thing of `size` bytes in (`sign` 1) or out (-1).
    pub fn count(&mut self, things: usize, bytes: usize, size: u64, sign: i64) {
        self.0[things] += sign;
        self.0[bytes] += sign * i64::try_from(size).unwrap_or(i64::MAX);
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0 == [0; COUNT]
    }
}
