//! How many further losses a blob survives, as the store knows it without reading the blob.

use std::sync::Arc;

/// How a blob stands, worst last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// Everything that placement asks for is there.
    Full,
    /// Less than asked for; survives the loss of one more disk.
    Reduced,
    /// The next loss of a disk that holds it loses it.
    Critical,
    /// Too few shards on disks in service; enough with those that are out.
    Unreachable,
    /// Too few shards anywhere.
    Lost,
}

impl Level {
    /// All of them, best first.
    pub const ALL: [Self; 5] = [
        Self::Full,
        Self::Reduced,
        Self::Critical,
        Self::Unreachable,
        Self::Lost,
    ];

    /// Its name in answers and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Reduced => "reduced",
            Self::Critical => "critical",
            Self::Unreachable => "unreachable",
            Self::Lost => "lost",
        }
    }
}

/// The redundancy of one blob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redundancy {
    pub level: Level,
    /// Disks that may still be lost; 0 as well when it is too late.
    pub margin: u32,
    /// Whether a shard is missing whose disk is in service: repair can bring it back.
    pub mendable: bool,
    /// Whether a shard is missing whose disk is out, or may be.
    pub away: bool,
    /// Zones in which shards are missing, each once.
    pub zones: Vec<Arc<str>>,
    /// Segments of it that are being refilled.
    pub filling: Vec<Filling>,
}

impl Redundancy {
    /// Nothing is missing.
    #[must_use]
    pub const fn full() -> Self {
        Self {
            level: Level::Full,
            margin: u32::MAX,
            mendable: false,
            away: false,
            zones: Vec::new(),
            filling: Vec::new(),
        }
    }
}

/// A segment that was made anew and is being refilled: opaque to the caller.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Filling {
    /// Identity of the disk.
    pub disk: [u8; 16],
    /// Path of the segment on it.
    pub segment: String,
    /// Which of its refills, since the process started.
    pub refill: u64,
}

/// What a look at the disks found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Survey {
    /// Another number than before when a disk went out or came back, or when shards went missing:
    /// then what was known of blobs is out of date.
    pub change: u64,
    /// As `change`, but not for refills.
    pub losses: u64,
    /// Segments that are being refilled.
    pub filling: Vec<Filling>,
}
