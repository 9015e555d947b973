//! The handle every operation is a method of.

use std::sync::Arc;

use strongroom_base::{Clock, Random};
use strongroom_blob::BlobStore;
use strongroom_meta::MetaStore;

use crate::api::PART_SIZE_BYTES_MIN;

/// What a test may shrink.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Smallest part that is not the last.
    pub part_size_bytes_min: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            part_size_bytes_min: PART_SIZE_BYTES_MIN,
        }
    }
}

/// The domain over its stores. Cheap to clone.
#[derive(Clone)]
pub struct Objects {
    pub(crate) meta: Arc<dyn MetaStore>,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) settings: Settings,
}

impl Objects {
    /// The domain over these components.
    #[must_use]
    pub fn new(
        meta: Arc<dyn MetaStore>,
        blobs: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        settings: Settings,
    ) -> Self {
        Self {
            meta,
            blobs,
            clock,
            random,
            settings,
        }
    }
}
