//! What travels: requests and answers of every call, as plain data.
//!
//! Times are RFC 3339 in UTC with second precision. Sizes are bytes.

mod bucket;
mod disk;
mod lock;
mod mfa;
mod place;
mod simulate;
mod status;
mod topology;
mod upkeep;
mod upload;

pub use bucket::{
    BUCKETS_PAGE_DEFAULT, BUCKETS_PAGE_MAX, Bucket, BucketPage, BucketRequest, BucketsRequest,
};
pub use disk::{
    AddDiskRequest, AddZoneRequest, DiskChanged, DiskJoined, DiskRequest, ReplaceDiskRequest,
    ZoneChanged, ZoneRequest,
};
pub use lock::{
    ConfirmClockRequest, LOCKS_PAGE_DEFAULT, LOCKS_PAGE_MAX, LockClock, LockedVersions, LocksPage,
    LocksRequest,
};
pub use mfa::{
    MFA_PAGE_DEFAULT, MFA_PAGE_MAX, MfaChanged, MfaConfirmRequest, MfaDevice, MfaDevicePage,
    MfaDeviceRequest, MfaDevicesRequest, MfaEnrolled,
};
pub use place::{
    ObjectPlaces, PARTS_PAGE_MAX, PartPlaces, RunPlaces, ShardPlace, ShardRole, ShardState, Stored,
    VERIFY_PARTS_MAX, WhereRequest,
};
pub use simulate::{LostDisk, SIMULATE_PAGE_MAX, SimulateRequest, Simulated};
pub use status::{
    DiskInZone, DiskStatus, Disks, DrainStatus, EngineStatus, NoParameters, Status, ZoneStatus,
    ZoneSummary, Zones,
};
pub use topology::{DiskTopology, Topology, ZoneTopology};
pub use upkeep::{
    LOST_PAGE_DEFAULT, LOST_PAGE_MAX, LevelCount, Lost, LostPackedPage, LostPackedRequest,
    LostPage, LostRequest, REPAIR_RATE_MIN, RepairPhase, RepairSetRequest, RepairStatus,
    ScrubStatus, Unprotected, ZoneMissing,
};
pub use upload::{
    AbortUploadRequest, AbortUploadsRequest, Aborted, UPLOADS_PAGE_DEFAULT, UPLOADS_PAGE_MAX,
    Upload, UploadPage, UploadsRequest,
};
