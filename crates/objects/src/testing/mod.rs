//! The model test: random operations against the domain and against a tiny S3 in memory.
//!
//! The domain's promises hold over any pair of stores, so the runner is a library: a test crate
//! brings a [`Harness`] that builds the domain over its stores and can reboot them, lose a zone and
//! bring it back. After every operation the whole visible state is compared: buckets, lists, every
//! byte of every object, uploads and their parts.

mod compare;
mod op;
mod records;
mod reference;
mod run;
mod run_locks;
mod run_versions;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;

use crate::objects::{Objects, Settings};

pub use op::{Op, OpKind};
pub use records::check_records;

/// Smallest part of the model's uploads, so that they are small.
pub const MODEL_PART_SIZE_BYTES_MIN: u64 = 1000;

/// Settings the harness must build its [`Objects`] with.
#[must_use]
pub const fn model_settings() -> Settings {
    Settings {
        part_size_bytes_min: MODEL_PART_SIZE_BYTES_MIN,
    }
}

/// Stores that can be hurt.
#[async_trait]
pub trait Harness: Send {
    /// The domain as it is now, built with [`model_settings`]. Asked again after each fault.
    fn objects(&self) -> Objects;

    /// Stops and starts the stores; `dirty` loses what was not synced. False when it can not.
    async fn reboot(&mut self, dirty: bool) -> bool;

    /// Takes a zone away, so that reads and writes still work when this returns. False when it can
    /// not.
    async fn lose_zone(&mut self) -> bool;

    /// Brings the zone back, and returns when it is caught up. False when none is away.
    async fn return_zone(&mut self) -> bool;

    /// Lets this time pass by the clock. False when it can not.
    async fn pass_time(&mut self, _by: Duration) -> bool {
        false
    }
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Operations run.
    pub steps: u64,
    /// How many of each kind.
    pub kinds: BTreeMap<OpKind, u64>,
    /// Which kinds followed which.
    pub pairs: BTreeSet<(OpKind, OpKind)>,
    /// Operations that succeeded.
    pub succeeded: u64,
    /// Objects read and compared.
    pub objects_compared: u64,
    /// Their bytes.
    pub bytes_compared: u64,
}

impl Stats {
    /// Share of all pairs of kinds that were seen, in percent.
    #[must_use]
    pub fn pair_coverage_percent(&self) -> u64 {
        let all = OpKind::ALL.len() * OpKind::ALL.len();
        (self.pairs.len() * 100 / all) as u64
    }

    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.succeeded += other.succeeded;
        self.objects_compared += other.objects_compared;
        self.bytes_compared += other.bytes_compared;
        self.pairs.extend(&other.pairs);
        for (kind, count) in &other.kinds {
            *self.kinds.entry(*kind).or_default() += count;
        }
    }
}

/// Runs `steps` operations drawn from `seed`.
///
/// # Errors
/// The first divergence from the model, in words, with the operations that led to it.
pub async fn run_model(
    seed: u64,
    steps: usize,
    harness: &mut dyn Harness,
) -> Result<Stats, String> {
    let random = strongroom_base::SeededRandom::new(seed);
    let seeds: Vec<u64> = (0..steps)
        .map(|_| strongroom_base::Random::next_u64(&random))
        .collect();
    run_ops(&seeds, harness)
        .await
        .map_err(|message| format!("seed {seed}: {message}"))
}

/// Runs one operation per number, so that a shrinking test can leave some out.
///
/// # Errors
/// As [`run_model`].
pub async fn run_ops(seeds: &[u64], harness: &mut dyn Harness) -> Result<Stats, String> {
    run::run(seeds, harness).await
}
