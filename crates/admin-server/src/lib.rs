//! The administration port: is it alive, what does it count, how is it.
//!
//! Operators, load balancers and scrapers ask a store different questions than its clients do, and
//! must get an answer while the store itself is waiting for a zone. So this port has a listener of
//! its own, takes what it shows through small traits, and never waits for the engine.
//!
//! Invariants
//! - Health routes are open and cheap: they read flags and touch no disk.
//! - Everything below `/v1/` needs the root credentials, always; `/metrics` does unless it was
//!   opened by a setting. Secrets are compared in constant time.
//! - The calls are those of `strongroom-admin-api`: nothing here names a path of its own below
//!   `/v1/`.

mod auth;
mod calls;
mod health;
mod locks;
mod metrics;
mod mfa;
mod places;
mod router;
mod service;
mod simulate;
mod status;
mod upkeep;

pub use auth::{RootCredentials, basic_authorization};
pub use health::{Health, HealthAnswer, health_answer};
pub use metrics::{MetricSource, Sample, SampleKind, render};
pub use places::rfc3339;
pub use router::{Admin, router};
pub use service::AdminService;
pub use status::{DiskOrder, StoreSource, ZoneOrder};
pub use strongroom_admin_api::{
    AddDiskRequest, AddZoneRequest, ApiError, DiskChanged, DiskJoined, DiskRequest, DiskStatus,
    DiskTopology, DrainStatus, EngineStatus, ErrorCode, LevelCount, LockClock, RepairPhase,
    RepairStatus, ReplaceDiskRequest, ScrubStatus, Status, Topology, Unprotected, ZoneChanged,
    ZoneMissing, ZoneRequest, ZoneStatus, ZoneTopology,
};
pub use upkeep::UpkeepSource;
