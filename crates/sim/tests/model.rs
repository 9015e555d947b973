//! T1: random S3 operations on the real engine match a tiny S3 in memory, through restarts, power
//! cuts and zones that go and come back.
//!
//! After each operation the whole visible state is compared, and all records are checked against
//! each other. Never is more away than the topology promises to survive.

mod machine;

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use strongroom_base::{Random, SeededRandom};
use strongroom_objects::Objects;
use strongroom_objects::testing::{Harness, Op, OpKind, Stats, run_ops};
use strongroom_sim::{Topology, print_figure, scaled};

use machine::{End, Loss, Machine};

/// Operations of one sequence.
const STEPS: usize = 120;
/// So many operations have a fault among them that the model did not draw.
const FAULT_ONE_IN: u64 = 10;
const FAULTS: [OpKind; 4] = [
    OpKind::CleanReboot,
    OpKind::DirtyReboot,
    OpKind::LoseZone,
    OpKind::ReturnZone,
];
/// Rounds after which everything must have been re-spread.
const RESPREAD_ROUNDS_MAX: usize = 20;

/// What happened to a machine.
type Events = BTreeMap<String, u64>;

/// The engine on a machine that things happen to.
struct EngineHarness {
    machine: Machine,
    random: SeededRandom,
    /// Blobs may be there that were written while something was away.
    is_reduced: bool,
    /// Besides a zone, so much more is away.
    zones_away: Vec<usize>,
    is_more_away: bool,
    events: Events,
}

impl EngineHarness {
    async fn new(topology: Topology, seed: u64) -> Self {
        Self {
            machine: Machine::new(topology, seed).await,
            random: SeededRandom::new(seed.wrapping_mul(77)),
            is_reduced: false,
            zones_away: Vec::new(),
            is_more_away: false,
            events: Events::new(),
        }
    }

    fn below(&self, limit: usize) -> usize {
        (self.random.next_u64() % limit as u64) as usize
    }

    fn end(&self) -> End {
        match self.below(3) {
            0 => End::Stop,
            1 => End::Kill,
            _ => End::PowerCut(self.random.next_u64()),
        }
    }

    fn loss(&self) -> Loss {
        [Loss::Vanish, Loss::Wipe, Loss::SyncFails][self.below(3)]
    }

    fn count(&mut self, event: impl Into<String>) {
        *self.events.entry(event.into()).or_default() += 1;
    }

    async fn lose_first_zone(&mut self) {
        let topology = self.machine.topology;
        let (zone, loss) = (self.below(topology.zones), self.loss());
        let disks = topology.member_disks(zone);
        match self.below(3) {
            0 => {
                let end = self.end();
                self.count(format!("{loss:?} at a restart"));
                self.machine.lose_over_restart(vec![disks], loss, end).await;
            }
            how => {
                self.count(format!("{loss:?} while running"));
                self.machine.lose(disks.clone(), loss);
                if how == 1 && loss != Loss::SyncFails {
                    self.machine.wait_out(disks).await;
                }
            }
        }
        self.zones_away.push(zone);
    }

    /// A second zone of six, or a disk of another zone where the code carries it.
    async fn lose_more(&mut self) -> bool {
        let topology = self.machine.topology;
        let others: Vec<usize> = (0..topology.zones)
            .filter(|zone| !self.zones_away.contains(zone))
            .collect();
        let zone = others[self.below(others.len())];
        let disks = topology.member_disks(zone);
        let (what, disks) = match (topology.zones, topology.disks) {
            (6, _) => ("zone", disks),
            (3, 2..) => {
                let disk = disks.start + self.below(topology.disks);
                ("disk", disk..disk + 1)
            }
            _ => return false,
        };
        let loss = self.loss();
        self.count(format!("one more {what}"));
        self.machine.lose(disks, loss);
        // The log may have been on that disk: then it stalls until it is on another.
        self.machine.wait_commits().await;
        self.is_more_away = true;
        true
    }

    async fn respread(&mut self) {
        for _ in 0..RESPREAD_ROUNDS_MAX {
            let done = self.machine.objects().respread_once(100).await;
            if done.expect("all zones are there").remaining == 0 {
                self.is_reduced = false;
                self.count("all re-spread");
                return;
            }
        }
        panic!("blobs stay reduced although every zone is back");
    }
}

#[async_trait]
impl Harness for EngineHarness {
    fn objects(&self) -> Objects {
        self.machine.objects()
    }

    async fn reboot(&mut self, dirty: bool) -> bool {
        let end = match (dirty, self.below(2)) {
            (true, _) => End::PowerCut(self.random.next_u64()),
            (false, 0) => End::Stop,
            (false, _) => End::Kill,
        };
        let what = match end {
            End::PowerCut(_) => "power cuts",
            End::Kill => "kills",
            End::Stop => "stops",
        };
        self.count(what);
        self.machine.restart(end).await;
        true
    }

    async fn lose_zone(&mut self) -> bool {
        if self.machine.topology.zones < 3 {
            return false;
        }
        if self.zones_away.is_empty() {
            self.lose_first_zone().await;
            return true;
        }
        // What was written with less redundancy bears one zone, and no more.
        !self.is_reduced && !self.is_more_away && self.lose_more().await
    }

    async fn return_zone(&mut self) -> bool {
        if !self.machine.is_anything_away() {
            return false;
        }
        match self.below(3) {
            0 => {
                let end = self.end();
                self.count("returns at a restart");
                self.machine.return_all_over_restart(end).await;
            }
            _ => {
                self.count("returns while running");
                self.machine.return_all().await;
            }
        }
        self.zones_away.clear();
        self.is_more_away = false;
        self.is_reduced = true;
        if self.below(2) == 0 {
            self.respread().await;
        }
        true
    }
}

/// All sequences of this process.
static TOTAL: Mutex<(u64, u64, Option<Stats>, Events)> = Mutex::new((0, 0, None, Events::new()));
/// Tests that add to it.
const TOPOLOGY_COUNT: u64 = 6;

fn add_up(sequences: u64, stats: &Stats, events: &Events) {
    let mut total = TOTAL.lock().unwrap();
    total.0 += 1;
    total.1 += sequences;
    total.2.get_or_insert_default().add(stats);
    for (what, count) in events {
        *total.3.entry(what.clone()).or_default() += count;
    }
    if total.0 == TOPOLOGY_COUNT {
        let all = total.2.as_ref().unwrap();
        println!(
            "model, all topologies: {}",
            sentence(total.1, all, &total.3)
        );
    }
}

fn sentence(sequences: u64, stats: &Stats, events: &Events) -> String {
    let sum = |words: &[&str]| -> u64 {
        let has = |what: &&String| words.iter().any(|word| what.contains(word));
        events.keys().filter(has).map(|what| events[what]).sum()
    };
    format!(
        "sequences {sequences}, operations {}, operation pairs {} %, objects compared {}, \
         reboots {} (power cuts {}), zone losses {}, zone returns {}, divergences 0; {events:?}",
        stats.steps,
        stats.pair_coverage_percent(),
        stats.objects_compared,
        sum(&["power cuts", "kills", "stops"]),
        sum(&["power cuts"]),
        sum(&["at a restart", "while running"]) - sum(&["returns"]),
        sum(&["returns"]),
    )
}

/// Operations in which faults are more frequent than the model draws them by itself.
fn operations(seed: u64) -> Vec<u64> {
    let random = SeededRandom::new(seed);
    let mut draw = |_| {
        let is_fault = random.next_u64().is_multiple_of(FAULT_ONE_IN);
        loop {
            let number = random.next_u64();
            if !is_fault || FAULTS.contains(&Op::from_seed(number).kind) {
                return number;
            }
        }
    };
    (0..STEPS).map(&mut draw).collect()
}

fn run(topology: Topology, sequences: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let sequences = scaled(sequences);
    let (mut total, mut events) = (Stats::default(), Events::new());
    let first = (topology.zones * 100 + topology.disks) as u64 * 1000;
    for seed in first..first + sequences {
        let outcome = runtime.block_on(async {
            let mut harness = EngineHarness::new(topology, seed).await;
            let stats = run_ops(&operations(seed), &mut harness).await;
            (stats, harness.events)
        });
        let (stats, happened) = outcome;
        match stats {
            Ok(stats) => total.add(&stats),
            Err(why) => panic!("model {topology}, seed {seed}: {why}; {happened:?}"),
        }
        for (what, count) in happened {
            *events.entry(what).or_default() += count;
        }
    }
    println!(
        "model {topology}, seeds {first}..{}: {}",
        first + sequences,
        sentence(sequences, &total, &events)
    );
    add_up(sequences, &total, &events);
    print_figure(
        "T1 model of S3 on the real engine",
        "operations",
        total.steps,
        0,
        &[
            ("sequences", sequences),
            ("objects compared", total.objects_compared),
        ],
    );
}

#[test]
fn random_operations_match_a_tiny_s3_on_one_disk() {
    run(Topology::new(1, 1), 16);
}

#[test]
fn random_operations_match_a_tiny_s3_on_two_zones() {
    run(Topology::new(2, 1), 16);
}

#[test]
fn random_operations_match_a_tiny_s3_on_three_zones() {
    run(Topology::new(3, 1), 48);
}

#[test]
fn random_operations_match_a_tiny_s3_on_three_zones_of_two_disks() {
    run(Topology::new(3, 2), 48);
}

#[test]
fn random_operations_match_a_tiny_s3_on_three_zones_of_four_disks() {
    run(Topology::new(3, 4), 32);
}

#[test]
fn random_operations_match_a_tiny_s3_on_six_zones_of_two_disks() {
    run(Topology::new(6, 2), 32);
}
