//! What locks refused, as metrics.

use strongroom_admin_server::{Sample, SampleKind};
use strongroom_objects::LockCounts;

/// Samples for the metrics page.
#[allow(clippy::cast_precision_loss)]
#[must_use]
pub fn samples(counts: LockCounts) -> Vec<Sample> {
    let refused = |lock: &str, count: u64| Sample {
        name: "strongroom_lock_refusals_total",
        help: "Deletes and changes that Object Lock refused, by what held.",
        kind: SampleKind::Counter,
        labels: vec![("lock", lock.to_owned())],
        value: count as f64,
    };
    vec![
        refused("compliance", counts.refused_by_compliance),
        refused("governance", counts.refused_by_governance),
        refused("legal_hold", counts.refused_by_legal_hold),
        Sample {
            name: "strongroom_lock_bypasses_total",
            help: "Deletes and changes that passed by a governance lock.",
            kind: SampleKind::Counter,
            labels: Vec::new(),
            value: counts.bypassed as f64,
        },
    ]
}
