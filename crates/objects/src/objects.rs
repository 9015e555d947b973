//! The handle every operation is a method of.

use std::sync::Arc;

use strongroom_base::{Clock, Random};
use strongroom_blob::BlobStore;
use strongroom_meta::MetaStore;
use strongroom_types::Owner;

use crate::api::PART_SIZE_BYTES_MIN;
use crate::lock_record::LockCounters;
use crate::md5_lanes::Hasher;

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
    /// Whose buckets are reached; everybody's when none.
    pub(crate) acting_for: Option<Owner>,
    pub(crate) lock_counters: Arc<LockCounters>,
    pub(crate) hasher: Arc<Hasher>,
    /// Whose second factor came with the request.
    pub(crate) second_factor_of: Option<Owner>,
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
            acting_for: None,
            lock_counters: Arc::default(),
            hasher: Arc::default(),
            second_factor_of: None,
        }
    }

    /// The domain as `owner` reaches it: every operation on a bucket of another is refused with
    /// [`crate::Error::AccessDenied`], and lists of buckets show those of `owner` alone.
    ///
    /// Names become buckets in one function, so that no operation can forget it, and the bucket that
    /// was allowed is the one that is used, whatever happens to its name meanwhile.
    #[must_use]
    pub fn acting_for(&self, owner: Owner) -> Self {
        Self {
            acting_for: Some(owner),
            ..self.clone()
        }
    }
}
