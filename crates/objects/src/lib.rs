//! The domain: buckets, objects and multipart uploads over the two stores.
//!
//! Each operation streams what bytes it has to the blob store, then commits one *decision* (a pure
//! function of the records it reads, in [`decide`]) to the metadata store. Bytes are durable before
//! the commit that makes them visible; a delete removes records first and leaves the bytes to the
//! sweep. No HTTP, no XML: a test drives it without a socket.
//!
//! Invariants
//! - A record never points at a blob that is not there; a blob has exactly one owner.
//! - Every commit of an object reads the bucket's name and state, and every change of a key reads
//!   its head: what a decision reads guards it.
//! - Nothing is visible until every declared digest was verified.

pub mod api;
mod commit;
mod compaction;
pub mod config;
pub mod decide;
mod error;
mod hash;
mod ingest;
mod listing;
mod lock;
mod lock_record;
mod lock_report;
mod md5_lanes;
mod mfa;
mod objects;
mod packing;
mod read;
pub mod records;
mod tags;
#[cfg(feature = "testing")]
pub mod testing;
mod token;
pub mod totp;

// One operation, one file.
mod abort_upload;
mod bucket_config;
mod bucket_usage;
mod complete_upload;
mod copy_object;
mod create_bucket;
mod create_upload;
mod delete_bucket;
mod delete_object;
mod delete_objects;
mod get_object;
mod head_bucket;
mod head_object;
mod list_buckets;
mod list_objects;
mod list_parts;
mod list_upload_usage;
mod list_uploads;
mod list_versions;
mod locate_object;
mod lost_packed;
mod object_attributes;
mod object_lock;
mod object_tagging;
mod put_object;
mod respread;
mod simulate;
mod sweep;
mod upkeep;
mod upload_part;
mod versioning;

pub use api::*;
pub use bucket_usage::{BucketUsage, ListBucketUsage, ListBucketUsageOutput};
pub use commit::BLOB_REWRITES_MAX;
pub use compaction::Compaction;
pub use decide::{Bypass, VersioningChange};
pub use error::{Condition, Error, Result};
pub use ingest::INLINE_CONTENT_SIZE_BYTES_MAX;
pub use list_upload_usage::{AbortedUploads, ListUploadUsage, ListUploadUsageOutput, UploadUsage};
pub use locate_object::{
    LOCATE_PARTS_MAX, LocateObject, LocateObjectOutput, LocatedContent, LocatedPart,
};
pub use lock::{
    DEFAULT_RETENTION_DAYS_MAX, DEFAULT_RETENTION_YEARS_MAX, DefaultRetention, LegalHold, Lock,
    LockMode, LockedBy, Retention, RetentionPeriod,
};
pub use lock_record::LockCounts;
pub use lock_report::{LOCKS_PAGE_MAX, LockedCount, LockedPage, LockedUntil};
pub use lost_packed::{LOST_PACKED_SCAN_MAX, LostContent, LostPackedPage};
pub use mfa::{
    EnrolledDevice, MFA_DEVICES_PAGE_MAX, MFA_SERIAL_SIZE_BYTES_MAX, MfaDevice, MfaDevicesPage,
    MfaSerial, SecondFactor,
};
pub use objects::{Objects, Settings};
pub use packing::{PackCounts, PackLimits, PackTally, Packing};
pub use records::{BucketConfig, ConfigKind, Versioning};
pub use simulate::{Contents, DiskIds, SIMULATE_PAGE_MAX, SimulatedPage};
/// What disks gave back, for callers that do not know the blob store.
pub use strongroom_blob::Freed;
/// A stream of content and its error, for callers that do not know the blob store.
pub use strongroom_blob::{ByteStream, Error as ContentError, ErrorKind as ContentErrorKind};
/// What is moved between disks, for callers that do not know the blob store.
pub use strongroom_blob::{Drain, Moves, Rest};
/// How blobs stand, for callers that do not know the blob store.
pub use strongroom_blob::{Filling, Health, Level, Redundancy, Survey};
/// Where a blob lies, for callers that do not know the blob store.
pub use strongroom_blob::{Location, RunLocation, ShardLocation, ShardState};
/// The extent of the commit log, for callers that do not know the metadata store.
pub use strongroom_meta::{LogExtent, Trimmed};
pub use sweep::{Buried, HOLD_BACK_MIN, MarkScan, SweepLimits, SweepPage};
pub use tags::{
    BUCKET_TAGS_MAX, OBJECT_TAGS_MAX, TAG_KEY_CHARACTERS_MAX, TAG_VALUE_CHARACTERS_MAX, Tags,
};
pub use upkeep::{BLOBS_PAGE_MAX, BlobsPage, Job, LOST_PAGE_MAX, LostObject, LostPage, StoredBlob};
