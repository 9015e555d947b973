//! What the domain keeps in the metadata store: keys in [`keys`], values as records.
//!
//! Formats have room for what comes later (versions, lock, tags, replication, encryption), so that
//! enabling it changes rules and not what is on disk. `testdata/` holds one golden file per format.

mod blob;
mod bucket;
mod codec;
mod config;
mod fields;
pub mod keys;
mod mfa;
pub mod pack;
mod upkeep;
mod upload;
pub mod usage;
mod version;

#[cfg(test)]
mod golden;

pub use blob::{BlobOwner, BlobRecord, CreationRecord, GraveyardRecord, ReducedRecord};
pub use bucket::{BucketNameRecord, BucketRecord, Closing, Versioning};
pub use codec::{Decoded, RecordError, RecordFormat};
pub use config::{BucketConfig, ConfigKind, LockDefaults};
pub use fields::{Encryption, ReplicationStatus, STANDARD};
pub use keys::{BlobId, BucketId};
pub use mfa::MfaDeviceRecord;
pub use pack::Packed;
pub use upkeep::{JobRecord, LostRecord};
pub use upload::{PartRecord, UploadRecord};
pub use version::{
    HeadRecord, Listed, ObjectRecord, PARTS_IN_PAGE_MAX, PARTS_IN_VERSION_MAX, PageRef, PartEntry,
    PartPage, VersionContent, VersionRecord,
};
