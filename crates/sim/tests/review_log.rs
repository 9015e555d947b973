//! Stories about copies into returning members, hung disks and recoveries that meet: each was a way
//! to lose redundancy, or the service, before it became a test. Zones are a, b, c: disks 0, 1, 2
//! where each has one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use strongroom_base::{SeededRandom, tasks};
use strongroom_sim::{Fault, FaultId, FaultKind, OpKind, SimWorld, Topology};
use strongroom_zones::{
    Append, BatchKind, CommitLog, LogReader, OpenOptions, OutReason, Recovered, Store, Superblock,
    open,
};

const THREE: Topology = Topology::new(3, 1);
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

fn opened(world: &SimWorld, topology: Topology, disks: &[usize]) -> Store {
    let options = OpenOptions {
        member_wait: Duration::ZERO,
        hang_limit: Duration::from_millis(100),
        commit_deadline: Duration::from_secs(5),
        log_file_size: 64 * 1024,
    };
    let specs = topology.specs(world);
    let chosen: Vec<_> = disks.iter().map(|disk| specs[*disk].clone()).collect();
    Store::new(open(&chosen, options, Arc::new(SeededRandom::new(world.seed()))).unwrap())
}

fn recovered(store: &Store) -> CommitLog {
    match store.recover(0).unwrap() {
        Recovered::Serving(log) => log,
        Recovered::ReadOnly(_, _, why) => panic!("read only: {why}"),
    }
}

fn serving(world: &SimWorld, topology: Topology, disks: &[usize]) -> (Store, CommitLog) {
    let store = opened(world, topology, disks);
    let log = recovered(&store);
    (store, log)
}

fn append(log: &mut CommitLog, text: &str) {
    let append = Append {
        kind: BatchKind::Commits,
        body: Bytes::copy_from_slice(text.as_bytes()),
        stamp_mark: 0,
        lock_clock: 0,
    };
    log.settle().unwrap();
    log.append(append).unwrap();
}

fn texts(reader: &LogReader, last: u64) -> Vec<String> {
    let batches = (1..=last).map(|number| reader.read(number).expect("a good copy"));
    let commits = batches.filter(|batch| batch.header.kind == BatchKind::Commits);
    commits
        .map(|batch| String::from_utf8_lossy(&batch.body).into_owned())
        .collect()
}

fn out(store: &Store, disk: usize) {
    let disks = &store.opened().disks;
    disks.take_out(disks.all()[disk].id, OutReason::Failed("test".into()));
}

fn back(store: &Store, disk: usize) {
    let disks = &store.opened().disks;
    disks.admit(disks.all()[disk].id);
}

fn in_service(store: &Store, member: usize) -> bool {
    store.reader().status().members[member].in_service
}

fn freeze(world: &SimWorld, disk: usize, path: &str, op: OpKind) -> FaultId {
    world.fault(Fault {
        disk: Some(disk),
        path_contains: path.into(),
        op,
        kind: FaultKind::Frozen,
        ..Fault::default()
    })
}

/// Waits until a call is held by a fault.
fn until_frozen(world: &SimWorld) {
    while world.frozen_count() == 0 {
        tasks::sleep_thread(Duration::from_millis(1));
    }
}

#[test]
fn a_member_whose_copy_waits_for_admission_gets_no_second_one() {
    let world = SimWorld::new(1);
    let (store, mut log) = serving(&world, THREE, &[A, B, C]);
    append(&mut log, "all");
    out(&store, C);
    append(&mut log, "without c");
    back(&store, C);
    let first = store.catch_up(C).unwrap();
    append(&mut log, "between");
    assert!(store.returning().is_empty());
    assert!(
        store.catch_up(C).is_err(),
        "two copies supersede each other"
    );
    append(&mut log, "behind both");
    log.admit(first).unwrap();
    assert!(in_service(&store, C));
    append(&mut log, "with c");
    let acknowledged = log.acknowledged();
    drop((store, log));
    // c alone holds every batch, also after its log was opened anew.
    for burned in [A, B] {
        let path: Vec<String> = world
            .list_files(burned)
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| name.starts_with("log/"))
            .collect();
        for name in path {
            let len = world.read_file(burned, &name).unwrap().len() as u64;
            // Every body rots; the headers of 144 bytes stay.
            for at in (144..len).step_by(4096) {
                world.zero_range(burned, &name, at, 8).unwrap();
            }
        }
    }
    let (_, log) = serving(&world, THREE, &[A, B, C]);
    let expected = ["all", "without c", "between", "behind both", "with c"];
    assert_eq!(texts(&log.reader(), acknowledged), expected);
}

#[test]
fn a_copy_from_before_a_recovery_is_not_admitted_after_it() {
    let world = SimWorld::new(2);
    let (store, mut log) = serving(&world, THREE, &[A, B, C]);
    append(&mut log, "all");
    out(&store, C);
    append(&mut log, "without c");
    back(&store, C);
    let stale = store.catch_up(C).unwrap();
    // The majority is lost, and found again without c.
    out(&store, C);
    out(&store, B);
    assert!(log.settle().is_err());
    back(&store, B);
    let mut log = recovered(&store);
    append(&mut log, "after the recovery");
    back(&store, C);
    log.admit(stale).unwrap();
    assert!(!in_service(&store, C));
    log.admit(store.catch_up(C).unwrap()).unwrap();
    assert!(in_service(&store, C));
    let expected = ["all", "without c", "after the recovery"];
    assert_eq!(texts(&log.reader(), log.acknowledged()), expected);
}

#[test]
fn a_recovery_beside_a_copy_that_hangs_goes_on_without_that_member() {
    let world = SimWorld::new(3);
    let (store, mut log) = serving(&world, THREE, &[A, B, C]);
    append(&mut log, "all");
    out(&store, C);
    append(&mut log, "without c");
    back(&store, C);
    let frozen = freeze(&world, C, "log/", OpKind::Write);
    let copying = store.clone();
    let copy = tasks::spawn_thread("copy", move || copying.catch_up(C).is_ok());
    until_frozen(&world);
    out(&store, B);
    assert!(log.settle().is_err());
    back(&store, B);
    let mut log = recovered(&store);
    assert!(!in_service(&store, C), "its log is being written to");
    append(&mut log, "after the recovery");
    world.lift(frozen);
    assert!(!copy.join().unwrap(), "a recovery made the copy worthless");
    log.admit(store.catch_up(C).unwrap()).unwrap();
    append(&mut log, "with c");
    drop((store, log));
    let (_, log) = serving(&world, THREE, &[B, C]);
    let expected = ["all", "without c", "after the recovery", "with c"];
    assert_eq!(texts(&log.reader(), log.acknowledged()), expected);
}

#[test]
fn a_disk_that_hangs_while_a_log_file_is_begun_is_fenced() {
    let world = SimWorld::new(4);
    let (store, mut log) = serving(&world, THREE, &[A, B, C]);
    let frozen = freeze(&world, C, "log/", OpKind::Create);
    for n in 0..20 {
        append(&mut log, &format!("{n} {}", "x".repeat(8000)));
    }
    assert!(!in_service(&store, C));
    world.lift(frozen);
    assert_eq!(texts(&log.reader(), log.acknowledged()).len(), 20);
}

#[test]
fn a_disk_that_hangs_during_admission_does_not_stop_the_store() {
    let world = SimWorld::new(5);
    let (store, mut log) = serving(&world, THREE, &[A, B, C]);
    out(&store, C);
    append(&mut log, "without c");
    back(&store, C);
    let prepared = store.catch_up(C).unwrap();
    append(&mut log, "left for the admission");
    let frozen = freeze(&world, C, "log/", OpKind::Create);
    log.admit(prepared).unwrap();
    assert!(!in_service(&store, C));
    append(&mut log, "goes on");
    world.lift(frozen);
    let expected = ["without c", "left for the admission", "goes on"];
    assert_eq!(texts(&log.reader(), log.acknowledged()), expected);
}

#[test]
fn a_zone_stays_when_a_disk_beside_its_log_disk_hangs() {
    let topology = Topology::new(3, 2);
    let world = SimWorld::new(6);
    let (store, mut log) = serving(&world, topology, &[0, 1, 2, 3, 4, 5]);
    append(&mut log, "all");
    // The second disk of a hangs; c fails, so that there is something to promise.
    let frozen = freeze(&world, 1, "superblock", OpKind::Any);
    out(&store, 4);
    append(&mut log, "without c");
    let disks = store.opened().disks.all();
    assert!(in_service(&store, A), "its log disk is well");
    assert!(disks[0].in_service().is_some());
    assert_eq!(disks[1].out_reason(), Some(OutReason::Hung));
    world.lift(frozen);
}

#[test]
fn a_disk_that_hangs_does_not_hold_up_a_recovery_of_the_others() {
    for (path, op) in [("superblock", OpKind::Read), ("log/", OpKind::Read)] {
        let world = SimWorld::new(7);
        let (store, mut log) = serving(&world, THREE, &[A, B, C]);
        append(&mut log, "all");
        drop((store, log));
        let store = opened(&world, THREE, &[A, B, C]);
        let frozen = freeze(&world, C, path, op);
        let mut log = recovered(&store);
        append(&mut log, "without c");
        assert_eq!(
            texts(&log.reader(), log.acknowledged()),
            ["all", "without c"]
        );
        assert!(!in_service(&store, C), "{path}");
        world.lift(frozen);
    }
}

#[test]
fn a_disk_that_missed_the_promise_gets_it_and_an_old_image_of_a_log_disk_does_not() {
    let topology = Topology::new(3, 2);
    let world = SimWorld::new(8);
    let (store, mut log) = serving(&world, topology, &[0, 1, 2, 3, 4, 5]);
    let image = world.snapshot(0);
    out(&store, 1);
    out(&store, 4);
    append(&mut log, "a generation that disk 1 does not know");
    let promise = |disk: usize| Superblock::read(&*world.disk(disk)).unwrap().promise;
    assert!(promise(1).generation < promise(0).generation);
    back(&store, 1);
    for disk in store.opened().disks.all() {
        store.renew_promise(disk).unwrap();
    }
    assert_eq!(promise(1), promise(0));
    assert!(
        promise(4).generation < promise(0).generation,
        "c is not in it"
    );
    let in_force = promise(0);
    world.restore(0, &image);
    for disk in store.opened().disks.all() {
        store.renew_promise(disk).unwrap();
    }
    assert!(promise(0).generation < in_force.generation);
}
