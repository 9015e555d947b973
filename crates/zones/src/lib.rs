//! The disks of one machine, and the commit log they carry.
//!
//! A *member* is a failure domain: a zone, or in a store of one zone, a disk. Each member in
//! service holds the whole commit log; a batch is acknowledged when every member in service has
//! synced it. `docs/rfcs/0001` argues why that, and nothing less, survives what it claims to.

mod batch;
mod calls;
mod change;
mod checksum;
mod codec;
mod counters;
mod disks;
mod io;
mod layout;
mod log;
mod member_log;
mod open;
mod recover;
mod recovery;
mod scrub;
mod superblock;
mod trim;
mod work;

pub use batch::{BATCH_BODY_SIZE_BYTES_MAX, Batch, BatchHeader, BatchKind, Generation};
pub use change::{DiskChange, NewDisk, PreparedChange};
pub use checksum::{checksum64, checksum128};
pub use codec::{DecodeError, Reader, Writer};
pub use counters::{Counters, Sample, SampleKind};
pub use disks::{DiskHandle, DiskId, Disks, Incarnation, MEMBER_COUNT_MAX, MemberIndex, OutReason};
pub use io::{DiskWriter, IoError, Pending};
pub use layout::{Changes, DiskNote, Drained, FOLDER_SIZE_BYTES_MAX, Layout};
pub use log::{Append, CommitLog, LogReader, LogStatus, MemberStatus, Stalled};
pub use open::{DiskSpec, OpenError, OpenOptions, OpenStore, open};
pub use recover::{Prepared, RecoverError, Recovered, Store};
pub use scrub::LogScrubbed;
pub use superblock::{
    DiskState, Promise, SUPERBLOCK_FORMAT, StoreId, Superblock, SuperblockError, ZoneMember,
};
pub use trim::TrimError;
