//! The rows of `docs/hazards.md` that concern the commit log, each a story told on simulated disks.
//! Zones are a, b, c: disks 0, 1, 2 where each has one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use strongroom_base::SeededRandom;
use strongroom_sim::{Fault, FaultKind, OpKind, SimWorld, Topology, Variant};
use strongroom_zones::{
    Append, BatchKind, CommitLog, LogReader, OpenOptions, Recovered, Store, open,
};

const THREE: Topology = Topology::new(3, 1);
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// Starts with only these disks configured.
fn start_with(
    world: &SimWorld,
    topology: Topology,
    disks: &[usize],
) -> Result<(Store, Recovered), String> {
    let options = OpenOptions {
        member_wait: Duration::ZERO,
        hang_limit: Duration::from_millis(100),
        commit_deadline: Duration::from_secs(5),
        log_file_size: 64 * 1024,
    };
    let specs = topology.specs(world);
    let chosen: Vec<_> = disks.iter().map(|disk| specs[*disk].clone()).collect();
    let random = Arc::new(SeededRandom::new(world.seed()));
    let store = Store::new(open(&chosen, options, random).map_err(|error| error.to_string())?);
    let recovered = store.recover(0).map_err(|error| error.to_string())?;
    Ok((store, recovered))
}

fn serving(world: &SimWorld, topology: Topology, disks: &[usize]) -> (Store, CommitLog) {
    match start_with(world, topology, disks).unwrap() {
        (store, Recovered::Serving(log)) => (store, log),
        (_, Recovered::ReadOnly(_, _, why)) => panic!("read only: {why}"),
    }
}

/// The sentence with which a start stops.
fn refusal(world: &SimWorld, topology: Topology, disks: &[usize]) -> String {
    match start_with(world, topology, disks) {
        Err(text) => text,
        Ok(_) => panic!("it must not serve"),
    }
}

fn append(log: &mut CommitLog, text: &str) {
    try_append(log, text).unwrap();
}

fn try_append(log: &mut CommitLog, text: &str) -> Result<(), String> {
    let body = Bytes::copy_from_slice(text.as_bytes());
    let append = Append {
        kind: BatchKind::Commits,
        body,
        stamp_mark: 0,
        lock_clock: 0,
    };
    log.settle()
        .and_then(|()| log.append(append))
        .map(drop)
        .map_err(|stalled| stalled.0)
}

fn texts(reader: &LogReader, last: u64) -> Vec<String> {
    let batches = (1..=last).map(|number| reader.read(number).expect("a good copy"));
    let commits = batches.filter(|batch| batch.header.kind == BatchKind::Commits);
    commits
        .map(|batch| String::from_utf8_lossy(&batch.body).into_owned())
        .collect()
}

fn found(world: &SimWorld, topology: Topology, disks: &[usize]) -> Vec<String> {
    let (_, log) = serving(world, topology, disks);
    texts(&log.reader(), log.acknowledged())
}

/// The log file of a disk that was written last.
fn last_log(world: &SimWorld, disk: usize) -> String {
    let files = world.list_files(disk).into_iter().map(|(name, _)| name);
    files
        .filter(|name| name.starts_with("log/"))
        .max()
        .expect("a log file")
}

#[test]
fn h01_a_batch_acknowledged_on_a_and_b_survives_the_loss_of_a() {
    for (burned, left) in [(A, [B, C]), (B, [A, C])] {
        let world = SimWorld::new(1);
        append(&mut serving(&world, THREE, &[A, B, C]).1, "all");
        append(&mut serving(&world, THREE, &[A, B]).1, "two of three");
        world.wipe_disk(burned);
        assert_eq!(found(&world, THREE, &left), ["all", "two of three"]);
    }
}

#[test]
fn h02_a_recovery_killed_half_way_does_not_supersede_what_another_acknowledged() {
    let mut stories = 0;
    for events in 0..60 {
        let world = SimWorld::new(events);
        append(&mut serving(&world, THREE, &[A, B, C]).1, "first");
        // {a, b} begin a generation and the power goes after some event of it.
        world.power_off_after(events);
        let finished = start_with(&world, THREE, &[A, B]).is_ok();
        let world = world.after_kill();
        // {b, c} begin theirs and acknowledge, then {a, c}, {a, b}, and all of them meet.
        append(&mut serving(&world, THREE, &[B, C]).1, "second");
        append(&mut serving(&world, THREE, &[A, C]).1, "third");
        append(&mut serving(&world, THREE, &[A, B]).1, "fourth");
        let expected = ["first", "second", "third", "fourth"];
        assert_eq!(
            found(&world, THREE, &[A, B, C]),
            expected,
            "cut after {events} events"
        );
        for lost in [A, B, C] {
            let image = world.snapshot(lost);
            world.wipe_disk(lost);
            assert_eq!(found(&world, THREE, &[A, B, C]), expected, "without {lost}");
            world.restore(lost, &image);
        }
        stories += 1;
        if finished {
            break;
        }
    }
    assert!(
        stories > 10,
        "the recovery has events to be killed at: {stories}"
    );
}

#[test]
fn h03_a_blank_and_a_stale_zone_are_no_majority() {
    let world = SimWorld::new(3);
    append(&mut serving(&world, THREE, &[A, B, C]).1, "all");
    append(&mut serving(&world, THREE, &[A, B]).1, "without c");
    world.wipe_disk(A);
    assert!(refusal(&world, THREE, &[A, C]).contains("are needed"));
    assert_eq!(found(&world, THREE, &[A, B, C]), ["all", "without c"]);
}

#[test]
fn h04_a_rotten_acknowledged_tail_is_not_cut_as_torn() {
    let world = SimWorld::new(4);
    append(&mut serving(&world, THREE, &[A, B, C]).1, "all");
    let (store, mut log) = serving(&world, THREE, &[A, B]);
    append(&mut log, "without c");
    log.note_idle().unwrap();
    drop((store, log));
    // The batch before the idle record rots on b: its body starts behind the 144-byte header.
    let path = last_log(&world, B);
    let bytes = world.read_file(B, &path).unwrap();
    let at = bytes
        .windows(9)
        .position(|part| part == b"without c")
        .expect("the body") as u64;
    world.flip_bit(B, &path, at).unwrap();
    assert!(refusal(&world, THREE, &[B, C]).contains("damaged"));
    assert_eq!(found(&world, THREE, &[A, B, C]), ["all", "without c"]);
    assert_eq!(
        found(&world, THREE, &[B, C]),
        ["all", "without c"],
        "b was mended"
    );
}

#[test]
fn h06_a_format_killed_at_any_event_is_resumed() {
    let mut events = 0;
    loop {
        let world = SimWorld::new(events);
        world.power_off_after(events);
        let finished = start_with(&world, THREE, &[A, B, C]).is_ok();
        let world = world.after_kill();
        append(&mut serving(&world, THREE, &[A, B, C]).1, "works");
        assert_eq!(found(&world, THREE, &[A, B]), ["works"]);
        if finished {
            break;
        }
        events += 1;
    }
    assert!(events > 20, "a format has events to be killed at: {events}");
}

#[test]
fn h07_a_zone_restored_from_an_old_image_has_no_vote_and_is_copied_anew() {
    let world = SimWorld::new(7);
    append(
        &mut serving(&world, THREE, &[A, B, C]).1,
        "before the image",
    );
    let image = world.snapshot(C);
    // c is in service again and acknowledges; b is away for all of it.
    let (store, mut log) = serving(&world, THREE, &[A, C]);
    append(&mut log, "forgotten by c");
    log.note_idle().unwrap();
    drop((store, log));
    world.restore(C, &image);
    // a remembers that c had it: a alone is no majority.
    assert!(refusal(&world, THREE, &[A, C]).contains("are needed"));
    let (store, mut log) = serving(&world, THREE, &[A, B, C]);
    let expected = ["before the image", "forgotten by c"];
    assert_eq!(texts(&log.reader(), log.acknowledged()), expected);
    assert_eq!(store.returning(), [C]);
    log.admit(store.catch_up(C).unwrap()).unwrap();
    drop((store, log));
    assert_eq!(found(&world, THREE, &[B, C]), expected);
}

#[test]
fn h08_a_hung_write_that_lands_after_its_zone_was_fenced_changes_nothing() {
    let world = SimWorld::new(8);
    let (store, mut log) = serving(&world, THREE, &[A, B, C]);
    append(&mut log, "all");
    let frozen = world.fault(Fault {
        disk: Some(C),
        path_contains: "log/".into(),
        op: OpKind::Write,
        kind: FaultKind::Frozen,
        count: 1,
        ..Fault::default()
    });
    append(&mut log, "without c");
    append(&mut log, "still without c");
    let disks = &store.opened().disks;
    let c = disks.all()[C].id;
    assert!(
        disks.find(c).unwrap().in_service().is_none(),
        "c was fenced"
    );
    disks.admit(c);
    log.admit(store.catch_up(C).unwrap()).unwrap();
    append(&mut log, "with c");
    world.lift(frozen);
    while world.frozen_count() > 0 {
        strongroom_base::tasks::sleep_thread(Duration::from_millis(1));
    }
    append(&mut log, "after it landed");
    drop((store, log));
    let expected = [
        "all",
        "without c",
        "still without c",
        "with c",
        "after it landed",
    ];
    assert_eq!(found(&world, THREE, &[B, C]), expected);
    assert_eq!(found(&world, THREE, &[A, B, C]), expected);
}

#[test]
fn h09_a_zone_that_forgot_keeps_every_byte_outside_its_log() {
    let world = SimWorld::new(9);
    append(
        &mut serving(&world, THREE, &[A, B, C]).1,
        "before the image",
    );
    world.disk(C).create_dir("segments").unwrap();
    world
        .write_file(C, "segments/last-copy.seg", b"shards")
        .unwrap();
    let image = world.snapshot(C);
    let (store, mut log) = serving(&world, THREE, &[A, B, C]);
    append(&mut log, "later");
    log.note_idle().unwrap();
    drop((store, log));
    world.restore(C, &image);
    let (store, mut log) = serving(&world, THREE, &[A, B, C]);
    log.admit(store.catch_up(C).unwrap()).unwrap();
    assert_eq!(
        world.read_file(C, "segments/last-copy.seg").unwrap(),
        b"shards"
    );
}

#[test]
fn h24_h30_a_zone_away_for_many_log_files_counts_as_soon_as_its_log_is_copied() {
    let world = SimWorld::new(24);
    append(&mut serving(&world, THREE, &[A, B, C]).1, "all");
    let mut expected = vec!["all".to_owned()];
    let (store, mut log) = serving(&world, THREE, &[A, B]);
    for n in 0..40 {
        let text = format!("{n} {}", "x".repeat(8000));
        append(&mut log, &text);
        expected.push(text);
    }
    drop((store, log));
    // c is back and a is lost for good: two zones have the log, writes go on.
    let (store, mut log) = serving(&world, THREE, &[A, B, C]);
    assert!(store.returning().is_empty(), "c was caught up by recovery");
    world.wipe_disk(A);
    store.opened().disks.take_out(
        store.opened().disks.all()[A].id,
        strongroom_zones::OutReason::Hung,
    );
    append(&mut log, "with b and c");
    expected.push("with b and c".to_owned());
    drop((store, log));
    assert_eq!(found(&world, THREE, &[B, C]), expected);
}

#[test]
fn h31_one_bad_log_disk_in_two_zones_puts_disks_out_and_no_zone() {
    let topology = Topology::new(3, 2);
    let world = SimWorld::new(31);
    let all: Vec<usize> = (0..6).collect();
    let (store, mut log) = serving(&world, topology, &all);
    append(&mut log, "all");
    for disk in [0, 2] {
        world.fault(Fault {
            disk: Some(disk),
            op: OpKind::Sync,
            ..Fault::default()
        });
        append(&mut log, "a log disk fails");
        for member in store.returning() {
            log.admit(store.catch_up(member).unwrap()).unwrap();
        }
    }
    append(&mut log, "on the other disks");
    let status = store.reader().status();
    assert!(
        status.members.iter().all(|member| member.in_service),
        "{status:?}"
    );
    drop((store, log));
    // The bad disks are gone for good, and with them the third zone: zone plus disks.
    let kept = found(&world, topology, &[1, 3]);
    assert_eq!(
        kept,
        [
            "all",
            "a log disk fails",
            "a log disk fails",
            "on the other disks"
        ]
    );
}

#[test]
fn h32_slow_disks_are_not_put_out_when_that_would_leave_no_majority() {
    let world = SimWorld::new(32);
    let (store, mut log) = serving(&world, THREE, &[A, B, C]);
    world.fault(Fault {
        op: OpKind::Sync,
        kind: FaultKind::Slow(Duration::from_millis(300)),
        count: 6,
        ..Fault::default()
    });
    append(&mut log, "all are slow together");
    append(&mut log, "again");
    assert!(
        store
            .opened()
            .disks
            .all()
            .iter()
            .all(|disk| disk.in_service().is_some())
    );
}

#[test]
fn h35_a_failed_sync_is_not_retried_as_if_it_had_worked() {
    let world = SimWorld::new(35);
    let (store, mut log) = serving(&world, THREE, &[A, B, C]);
    append(&mut log, "all");
    world.fault(Fault {
        disk: Some(B),
        path_contains: "log/".into(),
        op: OpKind::Sync,
        kind: FaultKind::TornSync,
        count: 1,
        ..Fault::default()
    });
    append(&mut log, "b failed its sync");
    assert!(store.opened().disks.all()[B].in_service().is_none());
    drop((store, log));
    world.wipe_disk(A);
    assert_eq!(found(&world, THREE, &[B, C]), ["all", "b failed its sync"]);
}

#[test]
fn every_pair_of_zones_has_everything_whatever_zone_was_away_when() {
    let mut seen = BTreeSet::new();
    for story in 0..27 {
        let world = SimWorld::new(100 + story);
        append(&mut serving(&world, THREE, &[A, B, C]).1, "0");
        let mut expected = vec!["0".to_owned()];
        let mut code = story;
        for round in 1..=3 {
            let away = code % 3;
            code /= 3;
            let present: Vec<usize> = (0..3).filter(|zone| *zone as u64 != away).collect();
            append(&mut serving(&world, THREE, &present).1, &round.to_string());
            expected.push(round.to_string());
        }
        for pair in [[A, B], [A, C], [B, C]] {
            let copy = world.after_kill();
            assert_eq!(
                found(&copy, THREE, &pair),
                expected,
                "story {story}, pair {pair:?}"
            );
            seen.insert((story, pair));
        }
    }
    assert_eq!(seen.len(), 81);
}

/// The disks after `kill -9` while "b" was written everywhere and synced nowhere, a start that
/// found it, an append after it, and then a power cut.
fn killed_before_a_sync_then_cut(unsynced: &[usize]) -> SimWorld {
    let world = SimWorld::new(48);
    let (store, mut log) = serving(&world, THREE, &[A, B, C]);
    append(&mut log, "a");
    for disk in unsynced {
        world.fault(Fault {
            disk: Some(*disk),
            path_contains: "log/".into(),
            op: OpKind::Sync,
            ..Fault::default()
        });
    }
    let is_acknowledged = try_append(&mut log, "b").is_ok();
    assert_eq!(is_acknowledged, unsynced.len() < 2);
    let world = world.after_kill();
    drop((store, log));
    let (store, mut log) = serving(&world, THREE, &[A, B, C]);
    let seen = texts(&log.reader(), log.acknowledged());
    assert_eq!(seen, ["a", "b"], "what it finds it shows");
    append(&mut log, "c");
    drop((store, log));
    let states = world.crash_states(1);
    states.build(Variant::OnlySynced)
}

#[test]
fn a_batch_found_after_a_kill_is_durable_before_anything_follows_it() {
    let world = killed_before_a_sync_then_cut(&[A, B, C]);
    assert_eq!(found(&world, THREE, &[A, B, C]), ["a", "b", "c"]);
}
