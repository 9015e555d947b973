//! What is recorded of locks that did their work: every refusal, and every lock that was passed by.
//!
//! An operator sees in the log who tried to remove what, and in the metrics that somebody tries.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::api::ObjectVersion;
use crate::decide::Passage;
use crate::error::Error;
use crate::lock::LockedBy;
use crate::objects::Objects;

/// Since the start of the process.
#[derive(Debug, Default)]
pub(crate) struct LockCounters {
    legal_hold: AtomicU64,
    compliance: AtomicU64,
    governance: AtomicU64,
    bypassed: AtomicU64,
}

/// How often locks refused, by what held, and how often one was passed by, since the start of the
/// process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LockCounts {
    pub refused_by_legal_hold: u64,
    pub refused_by_compliance: u64,
    pub refused_by_governance: u64,
    pub bypassed: u64,
}

impl LockCounters {
    fn refused(&self, by: LockedBy) -> &AtomicU64 {
        match by {
            LockedBy::LegalHold => &self.legal_hold,
            LockedBy::Compliance => &self.compliance,
            LockedBy::Governance => &self.governance,
        }
    }
}

impl Objects {
    /// What locks refused and what passed them by.
    #[must_use]
    pub fn lock_counts(&self) -> LockCounts {
        let counters = &self.lock_counters;
        LockCounts {
            refused_by_legal_hold: counters.legal_hold.load(Ordering::Relaxed),
            refused_by_compliance: counters.compliance.load(Ordering::Relaxed),
            refused_by_governance: counters.governance.load(Ordering::Relaxed),
            bypassed: counters.bypassed.load(Ordering::Relaxed),
        }
    }

    /// Notes it when a lock refused the operation or was passed by; everything else is not of locks.
    pub(crate) fn record_lock(
        &self,
        operation: &'static str,
        of: &ObjectVersion,
        outcome: Result<Passage, &Error>,
    ) {
        let ObjectVersion {
            bucket,
            key,
            version_id,
        } = of;
        let version = version_id.map(|id| id.to_string());
        let account = self.acting_for.as_ref().map(ToString::to_string);
        match outcome {
            Err(Error::ObjectLocked { by }) => {
                self.lock_counters
                    .refused(*by)
                    .fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    operation, %bucket, %key, version, account, lock = by.name(),
                    "a lock refused to let a version go"
                );
            }
            Ok(Passage::Bypassed) => {
                self.lock_counters.bypassed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    operation, %bucket, %key, version, account,
                    "a governance lock was passed by"
                );
            }
            Ok(Passage::Unlocked) | Err(_) => {}
        }
    }
}
