//! The loops that apply rules over time.
//!
//! Each worker walks records that commits left for it, so that a crash, a stop or an error loses
//! no work: what was not done is still written down. Workers go through `objects` like everyone
//! else, at a bounded rate, and stop between any two steps.
//!
//! Not here yet: lifecycle. Replication and inventory come with their rules.

pub mod mend;
pub mod pack;
pub mod relocate;
pub mod respread;
pub mod scrub;
pub mod sweep;
pub mod upkeep;
mod worker;

pub use mend::{Mender, Settings as MendSettings};
pub use pack::{Packer, PackerCounters, Settings as PackSettings};
pub use relocate::{Relocator, Settings as RelocateSettings};
pub use respread::{Redundancy, Respreader, Settings as RespreadSettings};
pub use scrub::{LogCheck, LogChecked, Scrubber, Settings as ScrubSettings};
pub use sweep::{Settings as SweepSettings, Space, SpaceNow, Sweeper};
pub use upkeep::{Clients, Count, Phase, RepairState, ScrubState, Standing, Upkeep};
pub use worker::Worker;
