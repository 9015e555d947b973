//! The whole store over simulated disks: the real log, the real segments, the real domain.

use std::sync::Arc;
use std::time::Duration;

use strongroom_base::{Clock, Random};
use strongroom_blob_zones::ZoneBlobs;
use strongroom_meta_lsm::{LsmMeta, LsmSettings, ViewFactory};
use strongroom_objects::Objects;
use strongroom_zones::{DiskHandle, OpenOptions, Store};

use crate::topology::Topology;
use crate::world::SimWorld;

/// Sizes small enough that files fill, rotate and begin anew within a short test.
const LOG_FILE_SIZE_BYTES: u64 = 256 * 1024;
const SEGMENT_SIZE_BYTES: u64 = 1024 * 1024;
const STRIPE_SIZE_BYTES: usize = 256 * 1024;
/// How often a disk is looked at.
const HEALTH_INTERVAL: Duration = Duration::from_millis(50);

/// What an engine is made of besides its disks.
#[derive(Clone)]
pub struct EngineParts {
    pub views: Arc<dyn ViewFactory>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// How long a disk may take for one call before it goes out. A sweep with no hung disk in it takes one
    /// beyond what a loaded machine makes of it.
    pub hang_limit: Duration,
}

/// How long a disk of a store may take for one call unless told otherwise.
#[must_use]
pub fn hang_limit() -> Duration {
    OpenOptions::default().hang_limit
}

/// A store that runs. Methods of its parts need a tokio runtime.
pub struct Engine {
    pub store: Store,
    pub meta: Arc<LsmMeta>,
    pub blobs: Arc<ZoneBlobs>,
    pub objects: Objects,
}

impl Engine {
    /// Opens or formats the store and starts it. Does not wait for recovery.
    ///
    /// # Errors
    /// The sentence an operator would read.
    pub fn start(
        world: &SimWorld,
        topology: Topology,
        parts: &EngineParts,
    ) -> Result<Self, String> {
        let options = OpenOptions {
            member_wait: Duration::ZERO,
            log_file_size: LOG_FILE_SIZE_BYTES,
            hang_limit: parts.hang_limit,
            ..OpenOptions::default()
        };
        let opened =
            strongroom_zones::open(&topology.specs(world), options, Arc::clone(&parts.random))
                .map_err(|error| error.to_string())?;
        let (id, run, disks) = (opened.store, opened.run, Arc::clone(&opened.disks));
        let store = Store::new(opened);
        let blobs = ZoneBlobs::open(
            disks,
            id,
            run,
            blob_settings(),
            Arc::clone(&parts.random),
            Arc::clone(&parts.clock),
        )
        .map_err(|error| error.to_string())?;
        let rescan = Arc::clone(&blobs);
        let meta = LsmMeta::start(
            &store,
            Arc::clone(&parts.views),
            Arc::clone(&parts.clock),
            &LsmSettings {
                health_interval: HEALTH_INTERVAL,
                ..LsmSettings::default()
            },
            Arc::new(move |disk: &DiskHandle| rescan.rescan(disk.id)),
        );
        let objects = Objects::new(
            Arc::clone(&meta) as _,
            Arc::clone(&blobs) as _,
            Arc::clone(&parts.clock),
            Arc::clone(&parts.random),
            strongroom_objects::Settings {
                part_size_bytes_min: 1,
            },
        );
        Ok(Self {
            store,
            meta,
            blobs,
            objects,
        })
    }

    /// Starts, and waits until reads are served.
    ///
    /// # Errors
    /// Why the store does not serve.
    pub fn serve(
        world: &SimWorld,
        topology: Topology,
        parts: &EngineParts,
        limit: Duration,
    ) -> Result<Self, String> {
        let engine = Self::start(world, topology, parts)?;
        engine.meta.wait_ready(limit)?;
        Ok(engine)
    }
}

fn blob_settings() -> strongroom_blob_zones::Settings {
    strongroom_blob_zones::Settings {
        segment_size: SEGMENT_SIZE_BYTES,
        stripe_size: STRIPE_SIZE_BYTES,
        reserve_step: SEGMENT_SIZE_BYTES / 4,
        free_space_min: 0,
        // The second search for what no record names removes files: a search of a test is quick.
        unlink_after: Duration::ZERO,
        ..strongroom_blob_zones::Settings::default()
    }
}
