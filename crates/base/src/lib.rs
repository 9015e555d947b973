//! The only door to time, randomness, tasks and files.
//!
//! Everything above this crate receives a [`Clock`], a [`Random`] and a [`Disk`] as parameters, so
//! that a test can fail, stop or replay them. Nothing else in the workspace may read a clock, draw
//! randomness, sleep, spawn or open a data file; `clippy.toml` holds the list of banned calls.

mod buffer;
mod cached;
mod clock;
mod descriptors;
mod disk;
mod lock;
mod planted;
mod random;
mod real_disk;
pub mod sync;
pub mod tasks;

pub use buffer::{ALIGNMENT, AlignedBuf, align_up};
pub use cached::forget_cached;
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use descriptors::{is_process_limit, raise_descriptor_limit};
pub use disk::{CreateOptions, Disk, DiskFile, DiskRef, FileRef, read_exact_at};
pub use lock::{DiskLock, LockError};
pub use planted::planted;
pub use random::{Random, SeededRandom, SystemRandom};
pub use real_disk::RealDisk;
