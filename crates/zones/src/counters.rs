//! What the engine counts, for the metrics page and the tests.

use std::sync::atomic::{AtomicU64, Ordering};

/// Whether a sample only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SampleKind {
    Counter,
    Gauge,
}

/// One figure of the engine.
#[derive(Clone, Debug)]
pub struct Sample {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: SampleKind,
    pub value: f64,
}

macro_rules! counters {
    ($($name:ident: $kind:ident, $metric:literal, $help:literal;)*) => {
        /// Figures of the engine since the process started.
        #[derive(Default)]
        pub struct Counters { $(#[doc = $help] pub $name: AtomicU64,)* }

        impl Counters {
            /// All figures, as they are now.
            pub fn samples(&self) -> Vec<Sample> {
                vec![$(Sample {
                    name: $metric,
                    help: $help,
                    kind: SampleKind::$kind,
                    #[allow(clippy::cast_precision_loss)]
                    value: self.$name.load(Ordering::Relaxed) as f64,
                },)*]
            }
        }
    };
}

counters! {
    commits: Counter, "strongroom_commits_total", "Metadata transactions committed.";
    batches: Counter, "strongroom_log_batches_total", "Batches appended to the commit log.";
    log_syncs: Counter, "strongroom_log_syncs_total", "Syncs of commit log files, over all members.";
    log_bytes: Counter, "strongroom_log_bytes_total", "Bytes written to commit log files, over all members.";
    slow_batches: Counter, "strongroom_slow_batches_total", "Batches of commits that took 250 ms or longer.";
    slow_batches_disks: Counter, "strongroom_slow_batches_disks_total", "Of those, the ones in which writes and syncs of the log took longest.";
    segment_syncs: Counter, "strongroom_segment_syncs_total", "Syncs of segment files, over all disks.";
    segment_bytes: Counter, "strongroom_segment_bytes_total", "Bytes written to segment files, over all disks.";
    generations: Counter, "strongroom_generations_total", "Changes of generation by this process.";
    disks_taken_out: Counter, "strongroom_disks_taken_out_total", "Times a disk was taken out of service.";
    disks_admitted: Counter, "strongroom_disks_admitted_total", "Times a disk or zone came back into service.";
    log_repairs: Counter, "strongroom_log_repairs_total", "Damaged log batches rewritten from another member.";
    degraded_reads: Counter, "strongroom_degraded_reads_total", "Stripe reads that had to decode around missing or damaged shards.";
    reads_hedged: Counter, "strongroom_reads_hedged_total", "Stripe reads that asked other disks because one kept them waiting.";
    shards_bad: Counter, "strongroom_shards_bad_total", "Shards that failed their checksum when read.";
    shards_repaired: Counter, "strongroom_shards_repaired_total", "Damaged or missing shards rewritten.";
    view_applied: Gauge, "strongroom_view_applied_batch", "Number of the last batch applied to the index view in use.";
    log_position: Gauge, "strongroom_log_position", "Number of the last acknowledged batch.";
    overlay_bytes: Gauge, "strongroom_overlay_bytes", "Memory held by records not yet in the index view.";
}

impl Counters {
    /// Adds `n` to a counter.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// Sets a gauge.
    pub fn set(gauge: &AtomicU64, n: u64) {
        gauge.store(n, Ordering::Relaxed);
    }
}
