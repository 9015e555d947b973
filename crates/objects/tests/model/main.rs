//! The model test over the stores in memory: random operations match a tiny in-memory S3.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use strongroom_base::{ManualClock, Random, SeededRandom, Timestamp};
use strongroom_blob::memory::MemoryBlobs;
use strongroom_meta::memory::MemoryMeta;
use strongroom_objects::testing::{Harness, Stats, model_settings, run_model, run_ops};
use strongroom_objects::{LockCounts, Objects};

/// Stores in memory: a lost zone is less redundancy for new blobs, a reboot is nothing.
struct MemoryHarness {
    objects: Objects,
    blobs: Arc<MemoryBlobs>,
    clock: Arc<ManualClock>,
    lost: bool,
}

impl MemoryHarness {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000_000_000)));
        let meta = MemoryMeta::new(clock.clone());
        let blobs = MemoryBlobs::new();
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(1));
        let objects = Objects::new(meta, blobs.clone(), clock.clone(), random, model_settings());
        Self {
            objects,
            blobs,
            clock,
            lost: false,
        }
    }
}

#[async_trait]
impl Harness for MemoryHarness {
    fn objects(&self) -> Objects {
        self.objects.clone()
    }

    /// The next blob's disks go out before its commit: the domain must write it anew.
    async fn reboot(&mut self, _dirty: bool) -> bool {
        self.blobs.lose_next_durability();
        true
    }

    async fn lose_zone(&mut self) -> bool {
        self.blobs.mark_reduced(true);
        !std::mem::replace(&mut self.lost, true)
    }

    async fn return_zone(&mut self) -> bool {
        self.blobs.mark_reduced(false);
        std::mem::replace(&mut self.lost, false)
    }

    async fn pass_time(&mut self, by: Duration) -> bool {
        self.clock.advance(by);
        true
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_match_a_tiny_s3(seeds in prop::collection::vec(any::<u64>(), 1..80)) {
        let result = block_on(run_ops(&seeds, &mut MemoryHarness::new()));
        prop_assert!(result.is_ok(), "{}", result.unwrap_err());
    }
}

#[test]
fn long_runs_match_a_tiny_s3_and_cover_most_pairs_of_operations() {
    let mut total = Stats::default();
    let mut locks = LockCounts::default();
    for seed in 1..=8 {
        let mut harness = MemoryHarness::new();
        let stats = block_on(run_model(seed, 300, &mut harness)).unwrap();
        total.add(&stats);
        let counts = harness.objects.lock_counts();
        locks.refused_by_legal_hold += counts.refused_by_legal_hold;
        locks.refused_by_compliance += counts.refused_by_compliance;
        locks.refused_by_governance += counts.refused_by_governance;
        locks.bypassed += counts.bypassed;
    }
    println!("{locks:?}");
    assert!(
        locks.refused_by_legal_hold > 0
            && locks.refused_by_compliance > 0
            && locks.refused_by_governance > 0
            && locks.bypassed > 0,
        "every kind of lock was met: {locks:?}"
    );
    println!(
        "sequences 8, operations {}, succeeded {}, objects compared {}, bytes compared {}, \
         operation pairs {} %, divergences 0; {:?}",
        total.steps,
        total.succeeded,
        total.objects_compared,
        total.bytes_compared,
        total.pair_coverage_percent(),
        total.kinds,
    );
    assert!(
        total.pair_coverage_percent() >= 60,
        "{} %",
        total.pair_coverage_percent()
    );
    assert!(
        total.succeeded * 2 > total.steps,
        "most operations do something"
    );
}
