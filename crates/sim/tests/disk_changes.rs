//! T2 for a change of disks (RFC 0010): a dead log disk is replaced while the log goes on; the power
//! is cut at every event. Afterwards the old or the new flags open the store with everything that
//! was acknowledged, and once the change was answered only the new ones do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use strongroom_base::SeededRandom;
use strongroom_sim::{CrashPoint, Event, SimWorld, Trace, scaled, sweep};
use strongroom_zones::{
    Append, BatchKind, CommitLog, DiskChange, DiskSpec, NewDisk, OpenOptions, OutReason, Recovered,
    Store, open,
};

/// The disks of the flags before and after the change, by zone.
const BEFORE: [usize; 3] = [0, 1, 2];
const AFTER: [usize; 3] = [0, 1, 3];

static STARTS: AtomicU64 = AtomicU64::new(100);

#[derive(Debug)]
struct Begun(String);
#[derive(Debug)]
struct Acknowledged;
/// The change was answered.
#[derive(Debug)]
struct Changed;
/// The zone of the new disk is in service again.
#[derive(Debug)]
struct Returned;

fn recover(world: &SimWorld, disks: [usize; 3]) -> Result<(Store, Recovered), String> {
    let spec = |(zone, disk): (&str, usize)| DiskSpec {
        zone: zone.to_owned(),
        name: format!("disk{disk}"),
        disk: world.disk(disk),
    };
    let specs: Vec<DiskSpec> = ["a", "b", "c"].into_iter().zip(disks).map(spec).collect();
    let options = OpenOptions {
        member_wait: Duration::ZERO,
        log_file_size: 64 * 1024,
        ..OpenOptions::default()
    };
    // No two starts may draw the same ids.
    let random = Arc::new(SeededRandom::new(STARTS.fetch_add(1, Ordering::Relaxed)));
    let opened = open(&specs, options, random).map_err(|error| format!("open: {error}"))?;
    let store = Store::new(opened);
    let recovered = store
        .recover(0)
        .map_err(|error| format!("recover: {error}"))?;
    Ok((store, recovered))
}

fn serving(world: &SimWorld, disks: [usize; 3]) -> Result<(Store, CommitLog), String> {
    match recover(world, disks)? {
        (store, Recovered::Serving(log)) => Ok((store, log)),
        (_, Recovered::ReadOnly(_, _, why)) => Err(format!("read only: {why}")),
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

fn workload() -> Trace {
    let world = SimWorld::new(23);
    drop(serving(&world, BEFORE).unwrap());
    // Formatting is swept elsewhere.
    let world = world.after_kill();
    world.start_trace();
    let (store, mut log) = serving(&world, BEFORE).unwrap();
    append(&world, &mut log, "three zones");
    let disks = &store.opened().disks;
    let old = disks.all()[2].id;
    disks.take_out(old, OutReason::Failed("test".into()));
    append(&world, &mut log, "two zones");
    let new = NewDisk {
        folder: "disk3".to_owned(),
        disk: world.disk(3),
    };
    let force = false;
    let prepared = store
        .prepare_change(DiskChange::Replace { old, new, force })
        .unwrap();
    let gone = prepared.gone().remove(0);
    append(&world, &mut log, "prepared");
    log.change_disks(prepared).unwrap().unwrap();
    world.mark(Changed);
    store.retire(&gone).unwrap();
    append(&world, &mut log, "changed");
    let copied = store.catch_up(2).unwrap();
    append(&world, &mut log, "copied");
    log.admit(copied).unwrap();
    world.mark(Returned);
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
            "found {found:?}, acknowledged {acknowledged} of {begun:?}"
        )),
    }
}

/// What opens with `disks` is whole, goes on, and opens again.
fn check_flags(point: &CrashPoint, world: &SimWorld, disks: [usize; 3]) -> Result<(), String> {
    let (store, log) = serving(world, disks)?;
    check_log(point.events(), &log)?;
    let layout = store.opened().disks.layout();
    drop((store, log));
    let (store, log) = serving(world, disks)?;
    check_log(point.events(), &log)?;
    match store.opened().disks.layout() == layout {
        true => Ok(()),
        false => Err("a second start found another layout".to_owned()),
    }
}

fn check_point(point: &CrashPoint) -> Result<(), String> {
    let before = check_flags(point, &point.world(), BEFORE);
    let after = check_flags(point, &point.world(), AFTER);
    let is_sentence = |outcome: &Result<(), String>| match outcome {
        Ok(()) => true,
        Err(why) => ["was replaced by", "was about to join"]
            .iter()
            .any(|text| why.contains(text)),
    };
    if !is_sentence(&before) || !is_sentence(&after) || (before.is_err() && after.is_err()) {
        return Err(format!("old flags: {before:?}, new flags: {after:?}"));
    }
    if has::<Changed>(point.events()) && (before.is_ok() || after.is_err()) {
        return Err(format!(
            "answered; old flags: {before:?}, new flags: {after:?}"
        ));
    }
    if has::<Returned>(point.events()) {
        let world = point.world();
        world.wipe_disk(usize::try_from(point.draw % 2).expect("0 or 1"));
        check_flags(point, &world, AFTER).map_err(|why| format!("one more lost: {why}"))?;
    }
    Ok(())
}

#[test]
fn az21_a_power_cut_at_every_event_of_a_replacement_loses_nothing_and_leaves_one_layout() {
    let report = sweep(&workload(), scaled(3000), check_point);
    let (points, bad) = (report.points, report.failures.len());
    println!("disk change: crash points {points}, bad points {bad}");
    for failure in &report.failures {
        println!("  {failure}");
    }
    assert!(report.failures.is_empty());
    assert!(points > 100, "{points} points");
}
