//! Shards that go from one disk to another of the same zone: draining and rebalance.

use std::time::Duration;

use async_trait::async_trait;

/// Rests between pieces of background work, so that clients feel little of it.
#[async_trait]
pub trait Rest: Send + Sync {
    /// `bytes` were moved and that took `took`: waits as long as is fair.
    async fn after(&self, bytes: u64, took: Duration);
}

/// Never rests: for tests and models.
pub struct NoRest;

#[async_trait]
impl Rest for NoRest {
    async fn after(&self, _: u64, _: Duration) {}
}

/// What is moved now, and what still has to be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Moves {
    /// Every disk that is drained, as the last round saw it.
    pub drains: Vec<Drain>,
    /// Zones whose disks are being made even.
    pub rebalancing: Vec<String>,
    /// Bytes moved since the process started.
    pub bytes_moved: u64,
    /// Segments moved since the process started.
    pub segments_moved: u64,
}

/// A disk that gives its shards away.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Drain {
    pub disk: [u8; 16],
    /// Segments still on it, and the bytes they take.
    pub segments_left: u64,
    pub bytes_left: u64,
    /// Moved from it since the process started.
    pub segments_moved: u64,
    pub bytes_moved: u64,
    /// Why what is left can not be moved now; empty when it can.
    pub waits_for: String,
}

impl Drain {
    /// Whether nothing is on it any more, so that it can be removed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.segments_left == 0
    }
}
