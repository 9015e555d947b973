//! T2 for a change of zones (RFC 0012): a fourth zone joins while the log goes on, another is drained
//! and leaves; the power is cut at every event, and at each of them one zone may be lost for ever as
//! well. Afterwards the flags of before or after a change open the store with everything that was
//! acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use strongroom_base::SeededRandom;
use strongroom_sim::{CrashPoint, Event, SimWorld, Trace, print_figure, scaled, sweep};
use strongroom_zones::{
    Append, BatchKind, CommitLog, DiskChange, DiskSpec, NewDisk, OpenOptions, Recovered, Store,
    open,
};

/// Zones of the flags, each on the disk of its number.
type Flags = &'static [(&'static str, usize)];

const BEFORE: Flags = &[("a", 0), ("b", 1), ("c", 2)];
const WITH_FOUR: Flags = &[("a", 0), ("b", 1), ("c", 2), ("d", 3)];
const AFTER: Flags = &[("a", 0), ("c", 2), ("d", 3)];

static STARTS: AtomicU64 = AtomicU64::new(100);

#[derive(Debug)]
struct Begun(String);
#[derive(Debug)]
struct Acknowledged;
/// The new zone is in the list.
#[derive(Debug)]
struct Added;
/// The drained zone is out of it.
#[derive(Debug)]
struct Removed;

fn serving(world: &SimWorld, flags: Flags) -> Result<(Store, CommitLog), String> {
    let spec = |(zone, disk): &(&str, usize)| DiskSpec {
        zone: (*zone).to_owned(),
        name: format!("disk{disk}"),
        disk: world.disk(*disk),
    };
    let specs: Vec<DiskSpec> = flags.iter().map(spec).collect();
    let options = OpenOptions {
        member_wait: Duration::ZERO,
        log_file_size: 64 * 1024,
        ..OpenOptions::default()
    };
    // No two starts may draw the same ids.
    let random = Arc::new(SeededRandom::new(STARTS.fetch_add(1, Ordering::Relaxed)));
    let opened = open(&specs, options, random).map_err(|error| format!("open: {error}"))?;
    let store = Store::new(opened);
    match store
        .recover(0)
        .map_err(|error| format!("recover: {error}"))?
    {
        Recovered::Serving(log) => Ok((store, log)),
        Recovered::ReadOnly(_, _, why) => Err(format!("read only: {why}")),
    }
}

fn append(world: &SimWorld, log: &mut CommitLog, text: &str) {
    world.mark(Begun(text.to_owned()));
    log.settle().unwrap();
    let append = Append {
        kind: BatchKind::Commits,
        body: Bytes::copy_from_slice(text.as_bytes()),
        stamp_mark: 0,
        lock_clock: 0,
    };
    log.append(append).unwrap();
    world.mark(Acknowledged);
}

fn texts(log: &CommitLog) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    for number in 1..=log.acknowledged() {
        let batch = log.reader().read(number);
        let batch = batch.ok_or_else(|| format!("batch {number} can not be read"))?;
        if batch.header.kind == BatchKind::Commits {
            texts.push(String::from_utf8_lossy(&batch.body).into_owned());
        }
    }
    Ok(texts)
}

fn change(store: &Store, log: &mut CommitLog, change: DiskChange) {
    let prepared = store.prepare_change(change).unwrap();
    let gone = prepared.gone();
    log.change_disks(prepared).unwrap().unwrap();
    for gone in gone {
        store.retire(&gone).unwrap();
    }
}

fn workload() -> Trace {
    let world = SimWorld::new(29);
    drop(serving(&world, BEFORE).unwrap());
    // Formatting is swept elsewhere.
    let world = world.after_kill();
    world.start_trace();
    let (store, mut log) = serving(&world, BEFORE).unwrap();
    append(&world, &mut log, "three zones");
    let new = NewDisk {
        folder: "disk3".to_owned(),
        disk: world.disk(3),
    };
    let zone = "d".to_owned();
    let new = vec![new];
    change(&store, &mut log, DiskChange::AddZone { zone, new });
    world.mark(Added);
    append(&world, &mut log, "one of four has no log");
    let copied = store.catch_up(3).unwrap();
    append(&world, &mut log, "copied");
    log.admit(copied).unwrap();
    append(&world, &mut log, "four zones");
    let zone = "b".to_owned();
    change(
        &store,
        &mut log,
        DiskChange::DrainZone { zone: zone.clone() },
    );
    append(&world, &mut log, "drained");
    change(&store, &mut log, DiskChange::RemoveZone { zone });
    world.mark(Removed);
    append(&world, &mut log, "three zones again");
    log.note_idle().unwrap();
    world.take_trace()
}

fn has<T: 'static>(events: &[Event]) -> bool {
    events.iter().any(|event| event.mark::<T>().is_some())
}

fn check_log(events: &[Event], log: &CommitLog) -> Result<(), String> {
    let begun = events.iter().filter_map(|event| event.mark::<Begun>());
    let begun: Vec<&str> = begun.map(|begun| begun.0.as_str()).collect();
    let acknowledged = events
        .iter()
        .filter(|event| event.mark::<Acknowledged>().is_some());
    let (acknowledged, found) = (acknowledged.count(), texts(log)?);
    let is_prefix = begun.get(..found.len()).is_some_and(|begun| begun == found);
    match is_prefix && found.len() >= acknowledged {
        true => Ok(()),
        false => Err(format!(
            "LOST: found {found:?}, acknowledged {acknowledged} of {begun:?}"
        )),
    }
}

/// What opens is whole, goes on, and opens again with what was acknowledged since.
fn check_flags(point: &CrashPoint, world: &SimWorld, flags: Flags) -> Result<(), String> {
    let (store, log) = serving(world, flags)?;
    check_log(point.events(), &log)?;
    let layout = store.opened().disks.layout();
    drop((store, log));
    let (store, mut log) = serving(world, flags).map_err(|why| format!("LOST: again: {why}"))?;
    check_log(point.events(), &log)?;
    if store.opened().disks.layout() != layout {
        return Err("LOST: a second start found another layout".to_owned());
    }
    let count = texts(&log)?.len();
    let append = Append {
        kind: BatchKind::Commits,
        body: Bytes::from_static(b"after"),
        stamp_mark: 0,
        lock_clock: 0,
    };
    log.append(append)
        .map_err(|why| format!("LOST: append: {why}"))?;
    match texts(&log)?.len() == count + 1 {
        true => Ok(()),
        false => Err("LOST: what was appended is not there".to_owned()),
    }
}

/// Some flags open the store, and none open another one.
fn check_world(point: &CrashPoint, victim: Option<usize>) -> Result<(), String> {
    let outcomes: Vec<_> = [BEFORE, WITH_FOUR, AFTER]
        .into_iter()
        .map(|flags| {
            let world = point.world();
            if let Some(victim) = victim {
                world.wipe_disk(victim);
            }
            check_flags(point, &world, flags)
        })
        .collect();
    let lost =
        |outcome: &Result<(), String>| matches!(outcome, Err(why) if why.starts_with("LOST"));
    if outcomes.iter().any(lost) || outcomes.iter().all(Result::is_err) {
        return Err(format!("lost zone {victim:?}: {outcomes:?}"));
    }
    let (added, removed) = (has::<Added>(point.events()), has::<Removed>(point.events()));
    if added && !removed && outcomes[1].is_err() && !begins_to_leave(&outcomes[1]) {
        return Err(format!("it was added; lost zone {victim:?}: {outcomes:?}"));
    }
    if removed && outcomes[2].is_err() {
        return Err(format!(
            "one was removed; lost zone {victim:?}: {outcomes:?}"
        ));
    }
    Ok(())
}

/// Whether it is refused because the zone that is being removed left.
fn begins_to_leave(outcome: &Result<(), String>) -> bool {
    matches!(outcome, Err(why) if why.contains("removed from the store"))
}

fn check_point(point: &CrashPoint) -> Result<(), String> {
    check_world(point, None)?;
    check_world(
        point,
        Some(usize::try_from(point.draw % 4).expect("below 4")),
    )
}

/// AZ06, H85, H86, H88.
#[test]
fn az06_a_power_cut_at_every_event_of_a_change_of_zones_loses_nothing_even_with_a_zone_lost() {
    let report = sweep(&workload(), scaled(3000), check_point);
    let (points, bad) = (report.points, report.failures.len());
    let proof = "T2 power cut while a zone joins and another leaves";
    print_figure(proof, "crash points", points, bad as u64, &[]);
    for failure in report.failures.iter().take(20) {
        println!("  {failure}");
    }
    assert!(report.failures.is_empty());
    assert!(points > 100, "{points} points");
}
