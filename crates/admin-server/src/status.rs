//! Where the figures of the whole store come from.

use std::sync::Arc;

use strongroom_admin_api::{
    AddDiskRequest, AddZoneRequest, ApiError, DiskChanged, DiskJoined, DiskRequest, LockClock,
    ReplaceDiskRequest, Result, Status, Topology, ZoneChanged, ZoneRequest,
};
use strongroom_base::Timestamp;
use strongroom_objects::Objects;

use crate::upkeep::UpkeepSource;

/// What a disk of the store is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskOrder {
    Drain,
    Keep,
    Remove,
}

/// What a zone of the store is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ZoneOrder {
    Drain,
    Keep,
    /// Nothing that is being written counts on its disks any more: what still has shards in it can be
    /// counted. They come back by themselves unless it is removed.
    Leave,
    /// The caller has counted, and found nothing.
    Remove,
}

/// The process, as the administration calls see it.
pub trait StoreSource: Send + Sync + 'static {
    /// The status as it is now. May touch disks (free space): called off the request threads.
    fn status(&self) -> Status;

    /// What the store stands on, once it is open. Touches disks: called off the request threads.
    fn topology(&self) -> Option<Topology>;

    /// The domain, once the store is open.
    fn objects(&self) -> Option<Objects>;

    /// Scrub and repair, once the store is open.
    fn upkeep(&self) -> Option<Arc<dyn UpkeepSource>>;

    /// Puts a blank disk in the place of a dead one. May wait for disks: called off the request
    /// threads.
    ///
    /// # Errors
    /// What stands against it.
    fn replace_disk(&self, _: &ReplaceDiskRequest) -> Result<DiskJoined> {
        Err(ApiError::invalid(NO_DISKS))
    }

    /// Adds a blank disk to a zone, like [`StoreSource::replace_disk`].
    ///
    /// # Errors
    /// What stands against it.
    fn add_disk(&self, _: &AddDiskRequest) -> Result<DiskJoined> {
        Err(ApiError::invalid(NO_DISKS))
    }

    /// Changes what a disk of the store is for, like [`StoreSource::replace_disk`].
    ///
    /// # Errors
    /// What stands against it.
    fn change_disk(&self, _: DiskOrder, _: &DiskRequest) -> Result<DiskChanged> {
        Err(ApiError::invalid(NO_DISKS))
    }

    /// Adds a zone of blank disks, like [`StoreSource::replace_disk`].
    ///
    /// # Errors
    /// What stands against it.
    fn add_zone(&self, _: &AddZoneRequest) -> Result<ZoneChanged> {
        Err(ApiError::invalid(NO_DISKS))
    }

    /// Changes what a zone of the store is for, like [`StoreSource::replace_disk`].
    ///
    /// # Errors
    /// What stands against it.
    fn change_zone(&self, _: ZoneOrder, _: &ZoneRequest) -> Result<ZoneChanged> {
        Err(ApiError::invalid(NO_DISKS))
    }

    /// Believes the clock, for the time that an operator read. May wait for disks.
    ///
    /// # Errors
    /// What stands against it.
    fn confirm_clock(&self, _: Timestamp) -> Result<LockClock> {
        Err(ApiError::invalid(NO_CLOCK))
    }
}

const NO_CLOCK: &str = "the clock of this store is not one to confirm";
const NO_DISKS: &str = "the disks of this store can not be changed";
