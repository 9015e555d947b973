//! Where the figures of the whole store come from.

use std::sync::Arc;

use strongroom_admin_api::{Status, Topology};
use strongroom_objects::Objects;

use crate::upkeep::UpkeepSource;

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
}
