//! T6, the fault matrix: each kind of fault, in each structure, under each operation.
//!
//! Disks do not only stop. They answer with an error, with other bytes, with the bytes of elsewhere,
//! or with success for what they never did; they fill, hang, crawl, come back old or in another
//! slot. A store that was tried with the two or three of these that come to mind is a store that
//! was not tried. Here every kind meets every structure while every operation runs, on the real
//! engine; always in one zone of three, so that redundancy is left, and then every answer must be
//! right: no wrong bytes, no request that fails for good, and everything whole again afterwards.
//!
//! A cell ends with a proof that what was repaired is repaired: all shards of all blobs verify, a
//! restart finds nothing in the log to mend, and *another* zone may go without a loss.

mod machine;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use strongroom_base::tasks;
use strongroom_blob::{BlobStore, Place};
use strongroom_meta::MetaStore;
use strongroom_objects::records::{BlobId, BlobRecord, RecordFormat, keys};
use strongroom_objects::{Error, Objects, Result};
use strongroom_sim::{Fault, FaultKind, OpKind, SimWorld, Topology, scaled};

use machine::client::{bytes, delete, get, list, make_bucket, put, put_parts};
use machine::{End, Loss, Machine};

/// Three zones of two disks: survives a zone and a disk.
const TOPOLOGY: Topology = Topology::new(3, 2);
/// Cells of a run of scale 1.
const CELL_COUNT: u64 = 240;
/// Cells at once: most of a cell is waiting.
const CELLS_AT_ONCE: usize = 12;
/// How long a request is repeated that may be repeated, and how long a cell may take at all.
const RETRY_LIMIT: Duration = Duration::from_secs(60);
const CELL_LIMIT: Duration = Duration::from_secs(240);
const RETRY_EVERY: Duration = Duration::from_millis(20);
/// A block of a file, and how far a misdirected write lands from where it belongs.
const BLOCK_SIZE_BYTES: u64 = 4096;
const ASTRAY_BYTES: u64 = 8192;
/// Each call of a slow disk takes so much longer.
const CRAWL: Duration = Duration::from_millis(10);

const SIZES: [usize; 6] = [0, 700, 16_384, 16_385, 150_000, 600_000];

type Expected = BTreeMap<String, Bytes>;
type Told = std::result::Result<(), String>;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    // While the store runs.
    ReadError,
    WriteError,
    SyncError,
    TornSync,
    NoSpace,
    ReadOnly,
    ReadsFlipped,
    ReadsGarbage,
    Misdirected,
    LostWrite,
    Slow,
    Hang,
    // To what is stored.
    BitFlip,
    Garbage,
    Zeroed,
    Truncated,
    FileGone,
    FileOfAnother,
    // To whole disks.
    ZoneVanished,
    ZoneBlank,
    DisksSwapped,
    StaleDisk,
    // To the index.
    ViewsGone,
}

const LIVE: [Kind; 12] = [
    Kind::ReadError,
    Kind::WriteError,
    Kind::SyncError,
    Kind::TornSync,
    Kind::NoSpace,
    Kind::ReadOnly,
    Kind::ReadsFlipped,
    Kind::ReadsGarbage,
    Kind::Misdirected,
    Kind::LostWrite,
    Kind::Slow,
    Kind::Hang,
];
const STORED: [Kind; 6] = [
    Kind::BitFlip,
    Kind::Garbage,
    Kind::Zeroed,
    Kind::Truncated,
    Kind::FileGone,
    Kind::FileOfAnother,
];
const OF_DISKS: [Kind; 8] = [
    Kind::ZoneVanished,
    Kind::ZoneBlank,
    Kind::DisksSwapped,
    Kind::StaleDisk,
    Kind::NoSpace,
    Kind::ReadOnly,
    Kind::Slow,
    Kind::Hang,
];

/// Where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Structure {
    Log,
    Segments,
    Superblock,
    Disk,
    Index,
}

impl Structure {
    fn path(self) -> &'static str {
        match self {
            Self::Log => "log/",
            Self::Segments => "segments/",
            Self::Superblock => "superblock",
            Self::Disk | Self::Index => "",
        }
    }
}

/// Under what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Get,
    Put,
    List,
    Delete,
    Parts,
    Scrub,
    Recovery,
}

const OPERATIONS: [Operation; 7] = [
    Operation::Get,
    Operation::Put,
    Operation::List,
    Operation::Delete,
    Operation::Parts,
    Operation::Scrub,
    Operation::Recovery,
];

#[derive(Clone, Copy, Debug)]
struct Cell {
    number: u64,
    kind: Kind,
    structure: Structure,
    operation: Operation,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, structure) = (self.kind, self.structure);
        write!(f, "{kind:?} x {structure:?} x {:?}", self.operation)
    }
}

fn cells() -> Vec<Cell> {
    let files = [Structure::Log, Structure::Segments, Structure::Superblock];
    let of_files = LIVE.iter().chain(&STORED);
    let of_files = of_files.flat_map(|kind| files.map(|structure| (*kind, structure)));
    let of_disks = OF_DISKS.map(|kind| (kind, Structure::Disk));
    let of_index = [(Kind::ViewsGone, Structure::Index)];
    let pairs = of_files.chain(of_disks).chain(of_index);
    let all = pairs.flat_map(|pair| OPERATIONS.map(|operation| (pair, operation)));
    let cell = |(number, ((kind, structure), operation))| Cell {
        number: number as u64,
        kind,
        structure,
        operation,
    };
    all.enumerate().map(cell).collect()
}

/// Cells that fail today, and why: told, counted and not run, for each would wait for its limit.
const OPEN: [(Kind, Structure, Operation, &str); 0] = [];

impl Cell {
    /// Why the cell is known to fail.
    fn open(&self) -> Option<&'static str> {
        let is_this = |(kind, structure, operation, _): &&(Kind, Structure, Operation, &str)| {
            (*kind, *structure, *operation) == (self.kind, self.structure, self.operation)
        };
        OPEN.iter().find(is_this).map(|(.., why)| *why)
    }
}

/// What was found in all.
#[derive(Default)]
struct Tally {
    wrong_bytes: AtomicU64,
    /// Requests that failed for good.
    requests_failed: AtomicU64,
    requests: AtomicU64,
    /// Cells whose fault met a call.
    struck: AtomicU64,
    shards_found_bad: AtomicU64,
    repaired: AtomicU64,
    /// Cells that end only when somebody gives a disk its identity back.
    operator_needed: AtomicU64,
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// A cell being told.
struct Story<'a> {
    cell: Cell,
    machine: Machine,
    expected: Expected,
    tally: &'a Tally,
    /// The zone in which it happens.
    zone: usize,
}

/// A store with objects, and a disk image of each of its disks from before the last of them.
struct Filled {
    machine: Machine,
    expected: Expected,
    old: Vec<strongroom_sim::DiskImage>,
}

async fn filled() -> Filled {
    let machine = Machine::new(TOPOLOGY, 31).await;
    let objects = machine.objects();
    make_bucket(&objects).await.unwrap();
    let (mut expected, mut old) = (Expected::new(), Vec::new());
    for (index, size) in SIZES.into_iter().enumerate() {
        if index == SIZES.len() / 2 {
            old = (0..TOPOLOGY.disk_count())
                .map(|disk| machine.world.snapshot(disk))
                .collect();
        }
        let (key, content) = (format!("of-{size}"), bytes(index as u64, size));
        put(&objects, &key, &content).await.unwrap();
        expected.insert(key, content);
    }
    put(&objects, "replaced", &bytes(50, 90_000)).await.unwrap();
    let content = bytes(51, 40_000);
    put(&objects, "replaced", &content).await.unwrap();
    expected.insert("replaced".into(), content);
    Filled {
        machine,
        expected,
        old,
    }
}

/// Repeats what a client would repeat.
async fn retried<T>(
    tally: &Tally,
    what: &str,
    ask: impl AsyncFn() -> Result<T>,
) -> std::result::Result<T, String> {
    let mut waited = Duration::ZERO;
    add(&tally.requests, 1);
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(Error::Unavailable { .. } | Error::SlowDown | Error::OperationAborted)
                if waited < RETRY_LIMIT => {}
            Err(error) => {
                add(&tally.requests_failed, 1);
                return Err(format!("{what}: {error}"));
            }
        }
        tasks::sleep(RETRY_EVERY).await;
        waited += RETRY_EVERY;
    }
}

impl Story<'_> {
    fn objects(&self) -> Objects {
        self.machine.objects()
    }

    /// Everything is there, whole, and nothing else.
    async fn check_all(&self) -> Told {
        let objects = self.objects();
        for (key, content) in &self.expected {
            let read = retried(self.tally, key, || get(&objects, key)).await?;
            if read != content {
                add(&self.tally.wrong_bytes, 1);
                return Err(format!("{key}: wrong bytes"));
            }
        }
        self.check_list().await
    }

    async fn check_list(&self) -> Told {
        let objects = self.objects();
        let listed = retried(self.tally, "list", || list(&objects)).await?;
        let sizes = self.expected.iter();
        let sizes: Vec<_> = sizes
            .map(|(key, bytes)| (key.clone(), bytes.len() as u64))
            .collect();
        match listed == sizes {
            true => Ok(()),
            false => Err(format!("listed {listed:?}, there should be {sizes:?}")),
        }
    }

    async fn put(&mut self, key: &str, size: usize) -> Told {
        let objects = self.objects();
        let content = bytes(self.cell.number << 8 | self.expected.len() as u64, size);
        retried(self.tally, key, || put(&objects, key, &content)).await?;
        self.expected.insert(key.into(), content);
        Ok(())
    }

    /// A disk of the zone that has files of the structure.
    fn disk(&self) -> usize {
        let mut disks = TOPOLOGY.member_disks(self.zone);
        let path = self.cell.structure.path();
        let has = |disk: &usize| {
            let files = self.machine.world.list_files(*disk);
            files.iter().any(|(name, _)| name.starts_with(path))
        };
        let found = match self.cell.number % 2 {
            0 => disks.clone().find(has),
            _ => disks.clone().rfind(has),
        };
        found.unwrap_or(disks.start.max(disks.next().unwrap_or(0)))
    }

    async fn begin(&mut self, old: &[strongroom_sim::DiskImage]) -> Told {
        let Cell {
            kind, structure, ..
        } = self.cell;
        let disk = self.disk();
        if structure == Structure::Disk {
            self.begin_on_disks(kind, disk, old);
        } else if structure == Structure::Index {
            self.machine.restart_without_views(End::Kill).await;
        } else if STORED.contains(&kind) {
            let before = self.machine.world.snapshot(disk);
            damage(&self.machine.world, kind, structure, disk).map_err(|e| e.to_string())?;
            if structure == Structure::Superblock {
                // A disk without identity is nobody's until an operator says whose it is.
                self.machine.comes_back_as(disk, before);
                add(&self.tally.operator_needed, 1);
            }
        } else {
            self.machine.misbehave(rule(kind, disk, structure.path()));
        }
        Ok(())
    }

    fn begin_on_disks(&mut self, kind: Kind, disk: usize, old: &[strongroom_sim::DiskImage]) {
        let disks = TOPOLOGY.member_disks(self.zone);
        match kind {
            Kind::ZoneVanished => self.machine.lose(disks, Loss::Vanish),
            Kind::ZoneBlank => self.machine.lose(disks, Loss::Wipe),
            Kind::DisksSwapped => {
                let (a, b) = (disks.start, disks.end - 1);
                let images = [a, b].map(|disk| self.machine.world.snapshot(disk));
                self.machine.exchange(a, &images[1]);
                self.machine.exchange(b, &images[0]);
            }
            // For good: nobody gives it its newer bytes back.
            Kind::StaleDisk => self.machine.world.restore(disk, &old[disk]),
            kind => self.machine.misbehave(rule(kind, disk, "")),
        }
    }

    async fn operate(&mut self) -> Told {
        match self.cell.operation {
            Operation::Get => self.check_all().await,
            Operation::Put => {
                for (key, size) in [("new-none", 0), ("new", 3000), ("new-large", 300_000)] {
                    self.put(key, size).await?;
                }
                self.put("of-150000", 20_000).await
            }
            Operation::List => self.check_list().await,
            Operation::Delete => {
                let objects = self.objects();
                for key in ["of-700", "of-150000"] {
                    retried(self.tally, key, || delete(&objects, key)).await?;
                    self.expected.remove(key);
                }
                Ok(())
            }
            Operation::Parts => {
                let parts = [bytes(61, 200_000), bytes(62, 5000)];
                let objects = self.objects();
                let all = || put_parts(&objects, "parts", &parts);
                retried(self.tally, "parts", all).await?;
                self.expected.insert("parts".into(), parts.concat().into());
                Ok(())
            }
            // That it can not finish now is no failure; that it calls something lost is.
            Operation::Scrub => self.scrub(true).await.map(drop),
            Operation::Recovery => {
                self.machine.restart(End::Kill).await;
                Ok(())
            }
        }
    }

    /// Verifies and repairs every blob there is a record of; how many shards are bad afterwards.
    async fn scrub(&self, faults_remain: bool) -> std::result::Result<u64, String> {
        let engine = self.machine.engine();
        let mut bad = 0;
        for place in self.places().await? {
            let found = engine.blobs.verify(&place).await;
            add(
                &self.tally.shards_found_bad,
                found.map_or(0, |health| health.shards_bad),
            );
            match engine.blobs.repair(&place).await {
                Ok(health) => bad += health.shards_bad,
                Err(error)
                    if error.kind == strongroom_blob::ErrorKind::Unavailable && faults_remain => {}
                Err(error) => return Err(format!("repair: {error}")),
            }
        }
        Ok(bad)
    }

    async fn places(&self) -> std::result::Result<Vec<Place>, String> {
        let meta = &self.machine.engine().meta;
        let scan = || async {
            let page = meta
                .scan(&keys::blob(BlobId([0; 16]))[..1], None, 1000)
                .await;
            page.map_err(Error::from)
        };
        let page = retried(self.tally, "blob records", scan).await?;
        let record = |value: &[u8]| BlobRecord::decode(value).map_err(|error| error.to_string());
        let mut places = Vec::new();
        for (_, found) in &page.records {
            places.extend(record(&found.value)?.place);
        }
        Ok(places)
    }

    /// The fault is over; everything must become whole, and be able to lose another zone.
    async fn recover(&mut self) -> Told {
        // Started with its disks in each other's folders, the store serves from there. Put back
        // beneath it they go out at the next look, which a test must not race, until a restart.
        let is_swapped_in_service =
            self.cell.kind == Kind::DisksSwapped && self.cell.operation == Operation::Recovery;
        match self.cell.number % 4 {
            turn if turn == 0 || is_swapped_in_service => {
                self.machine.return_all_over_restart(End::Kill).await;
            }
            _ => self.machine.return_all().await,
        }
        self.check_all().await?;
        self.scrub(false).await?;
        let bad = self.scrub(false).await?;
        if bad > 0 {
            let disks = self.machine.engine().store.opened().disks.all().iter();
            let out = disks.filter_map(|disk| Some((&disk.name, disk.out_reason()?)));
            let out: Vec<_> = out.collect();
            return Err(format!("{bad} shards are not repaired; out: {out:?}"));
        }
        self.machine.restart(End::Kill).await;
        self.machine.wait_whole().await;
        self.machine.restart(End::Kill).await;
        let engine = self.machine.engine();
        let counters = &engine.store.opened().disks.counters;
        let mended = counters.log_repairs.load(Ordering::Relaxed);
        if mended > 0 {
            return Err(format!("{mended} batches of the log were still damaged"));
        }
        let other = TOPOLOGY.member_disks((self.zone + 1) % TOPOLOGY.zones);
        self.machine
            .lose_over_restart(vec![other], Loss::Vanish, End::Kill)
            .await;
        self.check_all().await?;
        add(&self.tally.repaired, 1);
        Ok(())
    }

    async fn tell(mut self, old: &[strongroom_sim::DiskImage]) -> Told {
        self.begin(old).await?;
        self.put("stir", 2000).await?;
        self.put("stir-large", 250_000).await?;
        self.operate().await?;
        self.check_all().await?;
        if self.machine.struck() {
            add(&self.tally.struck, 1);
        }
        let over = self.recover().await;
        self.machine.world.power_off();
        over.map_err(|why| format!("afterwards: {why}"))
    }
}

fn rule(kind: Kind, disk: usize, path: &str) -> Fault {
    let (kind, op) = match kind {
        Kind::ReadError => (FaultKind::Eio, OpKind::Read),
        Kind::WriteError => (FaultKind::Eio, OpKind::Write),
        Kind::SyncError => (FaultKind::Eio, OpKind::Sync),
        Kind::TornSync => (FaultKind::TornSync, OpKind::Sync),
        Kind::NoSpace => (FaultKind::NoSpace, OpKind::Any),
        Kind::ReadOnly => (FaultKind::ReadOnly, OpKind::Any),
        Kind::ReadsFlipped => (FaultKind::BitFlip, OpKind::Read),
        Kind::ReadsGarbage => (FaultKind::Garbage, OpKind::Read),
        Kind::Misdirected => (FaultKind::Misdirected(ASTRAY_BYTES), OpKind::Write),
        Kind::LostWrite => (FaultKind::LostWrite, OpKind::Write),
        Kind::Slow => (FaultKind::Slow(CRAWL), OpKind::Any),
        Kind::Hang => (FaultKind::Frozen, OpKind::Any),
        other => unreachable!("{other:?} is no rule"),
    };
    Fault {
        disk: Some(disk),
        path_contains: path.into(),
        op,
        kind,
        ..Fault::default()
    }
}

/// Spoils the fullest file of the structure.
fn damage(world: &SimWorld, kind: Kind, structure: Structure, disk: usize) -> std::io::Result<()> {
    let files_of = |disk: usize| {
        let mut files = world.list_files(disk);
        files.retain(|(name, _)| name.starts_with(structure.path()));
        files.sort_by_key(|(name, _)| std::cmp::Reverse(used(world, disk, name)));
        files
    };
    let files = files_of(disk);
    let (path, len) = &files[0];
    // A byte that means something, in the middle of what is written.
    let at = used(world, disk, path) / 2;
    let block = at / BLOCK_SIZE_BYTES * BLOCK_SIZE_BYTES;
    match kind {
        Kind::BitFlip => world.flip_bit(disk, path, at),
        Kind::Garbage => {
            let size = BLOCK_SIZE_BYTES.min(len - block) as usize;
            world.overwrite(disk, path, block, &bytes(at, size))
        }
        Kind::Zeroed => world.zero_range(disk, path, block, BLOCK_SIZE_BYTES),
        Kind::Truncated => world.truncate(disk, path, at),
        Kind::FileGone => world.remove_file(disk, path),
        _ => {
            let another = (disk + TOPOLOGY.disks) % TOPOLOGY.disk_count();
            let foreign = match files.get(1) {
                Some((other, _)) => world.read_file(disk, other)?,
                None => world.read_file(another, &files_of(another)[0].0)?,
            };
            world.write_file(disk, path, &foreign)
        }
    }
}

/// How far a file is written: past its last byte that is not zero.
fn used(world: &SimWorld, disk: usize, path: &str) -> u64 {
    let bytes = world.read_file(disk, path).unwrap_or_default();
    bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last as u64 + 1)
}

async fn run_cell(filled: Arc<Filled>, cell: Cell, tally: Arc<Tally>) -> Told {
    let machine = filled.machine.fork(cell.number + 1).await;
    let story = Story {
        cell,
        machine,
        expected: filled.expected.clone(),
        tally: &tally,
        zone: cell.number as usize % TOPOLOGY.zones,
    };
    story.tell(&filled.old).await
}

/// AZ08, AZ12, AZ13, AZ20, AZ26 in each cell.
#[test]
fn every_fault_in_every_structure_under_every_operation_is_survived_and_repaired() {
    let all = cells();
    let limit = scaled(CELL_COUNT).min(all.len() as u64) as usize;
    let only = std::env::var("STRONGROOM_TEST_CELL").ok();
    // Spread evenly over the matrix, whatever their number.
    let chosen = (0..limit).map(|index| all[index * all.len() / limit]);
    let chosen: Vec<Cell> = match &only {
        Some(only) => all
            .iter()
            .copied()
            .filter(|cell| cell.to_string().contains(only.as_str()))
            .collect(),
        None => chosen.collect(),
    };
    let (open, chosen): (Vec<Cell>, Vec<Cell>) = chosen
        .into_iter()
        .partition(|cell| only.is_none() && cell.open().is_some());
    for cell in &open {
        println!("{cell}: not run: {}", cell.open().unwrap_or_default());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CELLS_AT_ONCE + 2)
        .enable_all()
        .build()
        .unwrap();
    let tally = Arc::new(Tally::default());
    let failures: Vec<String> = runtime.block_on(async {
        let filled = Arc::new(filled().await);
        let runs = futures::stream::iter(chosen.clone()).map(|cell| {
            // In a thread of its own: a start blocks, and a disk may hang it.
            let (filled, tally) = (Arc::clone(&filled), Arc::clone(&tally));
            let handle = tokio::runtime::Handle::current();
            let run = move || handle.block_on(run_cell(filled, cell, tally));
            let run = tasks::spawn(tasks::blocking(run));
            async move {
                let why = match tasks::timeout(CELL_LIMIT, run).await {
                    Ok(Ok(Ok(()))) => return None,
                    Ok(Ok(Err(why))) => why,
                    Ok(Err(panic)) => panic.to_string(),
                    Err(_) => "does not end".to_owned(),
                };
                println!("{cell}: {why}");
                Some(format!("{cell}: {why}"))
            }
        });
        runs.buffer_unordered(CELLS_AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await
    });
    runtime.shutdown_background();
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    assert!(only.is_some() || all.len() >= 200, "{} cells", all.len());
    assert!(failures.is_empty(), "{failures:#?}");
    strongroom_sim::print_figure(
        "T6 fault matrix, simulated",
        "cells: fault x structure x operation",
        chosen.len() as u64,
        count(&tally.wrong_bytes) + count(&tally.requests_failed),
        &[
            ("cells struck", count(&tally.struck)),
            ("cells repaired", count(&tally.repaired)),
            ("cells that need an operator", count(&tally.operator_needed)),
            ("cells known to fail", open.len() as u64),
            ("requests", count(&tally.requests)),
            ("shards found bad", count(&tally.shards_found_bad)),
        ],
    );
}
