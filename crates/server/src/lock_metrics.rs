//! What locks refused, and what they expire by, as metrics.

use strongroom_admin_server::{Sample, SampleKind};
use strongroom_meta_lsm::LockTime;
use strongroom_objects::LockCounts;

/// Samples for the metrics page.
#[allow(clippy::cast_precision_loss)]
#[must_use]
pub fn samples(counts: LockCounts, time: Option<LockTime>) -> Vec<Sample> {
    let refused = |lock: &str, count: u64| Sample {
        name: "strongroom_lock_refusals_total",
        help: "Deletes and changes that Object Lock refused, by what held.",
        kind: SampleKind::Counter,
        labels: vec![("lock", lock.to_owned())],
        value: count as f64,
    };
    let clock = time.map(|time| {
        let gauge = |name, help, value: f64| Sample {
            name,
            help,
            kind: SampleKind::Gauge,
            labels: Vec::new(),
            value,
        };
        [
            gauge(
                "strongroom_lock_clock_seconds",
                "The time that locks expire by, in seconds since 1970.",
                time.time.seconds() as f64,
            ),
            gauge(
                "strongroom_lock_expiry_held",
                "Whether locks wait for a confirmation of the clock before they expire by it.",
                f64::from(u8::from(time.is_held)),
            ),
        ]
    });
    let counters = [
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
    ];
    counters
        .into_iter()
        .chain(clock.into_iter().flatten())
        .collect()
}
