//! T2 for the commit log alone: format, appends, a member that fails and returns, restarts; the
//! power cut at every event; recovery; nothing acknowledged is missing, altered or out of order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use strongroom_base::SeededRandom;
use strongroom_sim::{
    CrashPoint, Event, Fault, OpKind, SimWorld, SweepReport, Topology, Trace, print_figure, seeds,
    sweep,
};
use strongroom_zones::{
    Append, BatchKind, CommitLog, LogReader, OpenOptions, Recovered, Store, open,
};

/// As the server has it: thousands of stores start and end in a sweep.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The store exists: from here on it opens, whatever the power does.
#[derive(Debug)]
struct Formatted;
/// The text is about to be appended.
#[derive(Debug)]
struct Begun(String);
/// The text begun last was acknowledged.
#[derive(Debug)]
struct Acknowledged;

/// No disk hangs here, and none shall seem to on a machine that does other work.
const HANG_LIMIT: Duration = Duration::from_secs(300);
/// One in so many points of the second sweep is crashed again at every event of its recovery.
const TWICE_ONE_IN: u64 = 4;

fn options() -> OpenOptions {
    OpenOptions {
        member_wait: Duration::ZERO,
        // Small, so that files rotate.
        log_file_size: 64 * 1024,
        hang_limit: HANG_LIMIT,
        ..OpenOptions::default()
    }
}

fn recover(world: &SimWorld, topology: Topology) -> Result<(Store, Recovered), String> {
    let random = Arc::new(SeededRandom::new(world.seed()));
    let specs = topology.specs(world);
    let opened = open(&specs, options(), random).map_err(|error| format!("open: {error}"))?;
    let store = Store::new(opened);
    let recovered = store
        .recover(0)
        .map_err(|error| format!("recover: {error}"))?;
    Ok((store, recovered))
}

fn serving(world: &SimWorld, topology: Topology) -> (Store, CommitLog) {
    match recover(world, topology).unwrap() {
        (store, Recovered::Serving(log)) => (store, log),
        (_, Recovered::ReadOnly(_, _, why)) => panic!("read only: {why}"),
    }
}

/// Appends a text between its two marks. Bodies of many sizes: most fit one block, some take more.
fn append(world: &SimWorld, log: &mut CommitLog, text: &str, size: usize) {
    world.mark(Begun(text.to_owned()));
    try_append(log, text, size).unwrap();
    world.mark(Acknowledged);
}

fn try_append(log: &mut CommitLog, text: &str, size: usize) -> Result<(), String> {
    let mut body = format!("{text};").into_bytes();
    body.resize(body.len().max(size), b'.');
    let append = Append {
        kind: BatchKind::Commits,
        body: Bytes::from(body),
        stamp_mark: 0,
        lock_clock: 0,
    };
    log.settle()
        .and_then(|()| log.append(append))
        .map(drop)
        .map_err(|stalled| stalled.0)
}

/// The texts of all commits up to `last`, in order; an error when a batch can not be read.
fn texts(reader: &LogReader, last: u64) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    for number in 1..=last {
        let batch = reader
            .read(number)
            .ok_or_else(|| format!("batch {number} of {last} can not be read"))?;
        if batch.header.kind == BatchKind::Commits {
            let body = String::from_utf8_lossy(&batch.body).into_owned();
            let text = body.split(';').next().unwrap_or_default();
            texts.push(text.to_owned());
        }
    }
    Ok(texts)
}

/// Two runs; in the first the log disk of the last member fails and comes back.
fn workload(topology: Topology, seed: u64) -> Trace {
    let world = SimWorld::new(seed);
    let (store, mut log) = serving(&world, topology);
    world.mark(Formatted);
    let mut sizes = [10, 3000, 5000, 20_000];
    sizes.rotate_left((seed % 4) as usize);
    for n in 0..8 {
        append(&world, &mut log, &format!("first {n}"), sizes[n % 4]);
    }
    log.note_idle().unwrap();
    if topology.member_count() > 2 {
        fail_and_return(&world, topology, &store, &mut log);
    }
    drop((store, log));
    let (_, mut log) = serving(&world, topology);
    for n in 0..6 {
        append(&world, &mut log, &format!("second {n}"), sizes[n % 4]);
    }
    world.take_trace()
}

fn fail_and_return(world: &SimWorld, topology: Topology, store: &Store, log: &mut CommitLog) {
    let last = topology.member_count() - 1;
    let disk = topology.member_disks(last).start;
    let fault = world.fault(Fault {
        disk: Some(disk),
        op: OpKind::Sync,
        ..Fault::default()
    });
    for n in 0..4 {
        append(world, log, &format!("without {n}"), 10);
    }
    world.lift(fault);
    let disks = &store.opened().disks;
    for handle in disks.all() {
        disks.admit(handle.id);
    }
    let returning = store.returning();
    assert_eq!(returning, [last], "it went out");
    let prepared = store.catch_up(last).unwrap();
    append(world, log, "meanwhile", 10);
    log.admit(prepared).unwrap();
    for n in 0..4 {
        append(world, log, &format!("again {n}"), 3000);
    }
}

struct Ledger<'a> {
    is_formatted: bool,
    begun: Vec<&'a str>,
    acknowledged: usize,
}

fn ledger(events: &[Event]) -> Ledger<'_> {
    Ledger {
        is_formatted: events.iter().any(|e| e.mark::<Formatted>().is_some()),
        begun: events
            .iter()
            .filter_map(|event| event.mark::<Begun>().map(|begun| begun.0.as_str()))
            .collect(),
        acknowledged: events
            .iter()
            .filter(|e| e.mark::<Acknowledged>().is_some())
            .count(),
    }
}

/// What is found is a prefix of what was begun, and holds all that was acknowledged.
fn check_texts(ledger: &Ledger<'_>, found: &[String]) -> Result<(), String> {
    let expected = ledger.begun.get(..found.len());
    if expected.is_none_or(|expected| expected != found) {
        return Err(format!("found {found:?}, begun was {:?}", ledger.begun));
    }
    if found.len() < ledger.acknowledged {
        let lost = &ledger.begun[found.len()..ledger.acknowledged];
        return Err(format!("lost acknowledged {lost:?}"));
    }
    Ok(())
}

/// Recovers, compares, appends, and recovers once more (I1, I2, I4).
fn check_world(
    world: &SimWorld,
    topology: Topology,
    ledger: &Ledger<'_>,
    may_be_read_only: bool,
) -> Result<(), String> {
    let (_, mut log) = match recover(world, topology)? {
        (store, Recovered::Serving(log)) => (store, log),
        (_, Recovered::ReadOnly(reader, last, _)) if may_be_read_only => {
            return check_texts(ledger, &texts(&reader, last)?);
        }
        (_, Recovered::ReadOnly(_, _, why)) => return Err(why),
    };
    let found = texts(&log.reader(), log.acknowledged())?;
    check_texts(ledger, &found)?;
    try_append(&mut log, "after", 10)?;
    drop(log);
    let (_, Recovered::Serving(log)) = recover(world, topology)? else {
        return Err("read only after it served".into());
    };
    let again = texts(&log.reader(), log.acknowledged())?;
    if again[..again.len() - 1] != found[..] || again.last().is_none_or(|text| text != "after") {
        return Err(format!("a second recovery found {again:?} after {found:?}"));
    }
    Ok(())
}

fn check_point(point: &CrashPoint, topology: Topology) -> Result<(), String> {
    let ledger = ledger(point.events());
    check_world(&point.world(), topology, &ledger, false)?;
    if ledger.is_formatted && topology.member_count() > 1 {
        let world = point.world();
        let member = point.draw as usize % topology.member_count();
        for disk in topology.member_disks(member) {
            world.wipe_disk(disk);
        }
        check_world(&world, topology, &ledger, topology.member_count() == 2)
            .map_err(|text| format!("with member {member} wiped: {text}"))?;
    }
    Ok(())
}

/// The power goes again while the first recovery runs.
fn check_double_crash(point: &CrashPoint, topology: Topology) -> Result<u64, String> {
    let ledger = ledger(point.events());
    let world = point.world();
    world.start_trace();
    drop(recover(&world, topology)?);
    let trace = world.take_trace();
    let mut replay = strongroom_sim::Replay::new(&trace);
    let mut points = 0;
    while replay.advance().is_some() {
        let states = replay.crash_states();
        let variants = states.variants();
        let drawn = variants[(point.draw % variants.len() as u64) as usize];
        for variant in [strongroom_sim::Variant::OnlySynced, drawn] {
            points += 1;
            check_world(&states.build(variant), topology, &ledger, false)
                .map_err(|text| format!("then {variant}: {text}"))?;
        }
    }
    Ok(points)
}

fn run(topology: Topology, limit: u64) {
    for seed in seeds() {
        run_seed(topology, limit, seed);
    }
}

fn run_seed(topology: Topology, limit: u64, seed: u64) {
    let trace = workload(topology, seed);
    let report = sweep(&trace, limit, |point| check_point(point, topology));
    print_report(&format!("log {topology}"), &report);
    let doubles = std::sync::atomic::AtomicU64::new(0);
    let double = sweep(&trace, limit / 100, |point| {
        if !point.draw.is_multiple_of(TWICE_ONE_IN) {
            return Ok(());
        }
        let points = check_double_crash(point, topology)?;
        doubles.fetch_add(points, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    });
    let doubles = doubles.into_inner();
    println!("log {topology}: crash points in recovery {doubles}");
    print_report(&format!("log {topology} twice"), &double);
    assert!(
        report.failures.is_empty() && double.failures.is_empty(),
        "again with STRONGROOM_TEST_SEED={seed}"
    );
    let points = report.points + double.points;
    print_figure(
        "T2 crash replay of the commit log",
        "crash points",
        points,
        0,
        &[("in recovery", doubles)],
    );
}

fn print_report(what: &str, report: &SweepReport) {
    println!(
        "{what}: crash points {}, bad points {}",
        report.points,
        report.failures.len()
    );
    for failure in &report.failures {
        println!("  {failure}");
    }
}

#[test]
fn acknowledged_batches_survive_a_power_cut_at_every_event_on_one_disk() {
    run(Topology::new(1, 1), 2000);
}

#[test]
fn acknowledged_batches_survive_a_power_cut_at_every_event_on_one_zone_of_three_disks() {
    run(Topology::new(1, 3), 3000);
}

#[test]
fn acknowledged_batches_survive_a_power_cut_at_every_event_on_two_zones() {
    run(Topology::new(2, 1), 3000);
}

#[test]
fn acknowledged_batches_survive_a_power_cut_at_every_event_on_three_zones() {
    run(Topology::new(3, 1), 6000);
}

#[test]
fn acknowledged_batches_survive_a_power_cut_at_every_event_on_three_zones_of_two_disks() {
    run(Topology::new(3, 2), 3000);
}
