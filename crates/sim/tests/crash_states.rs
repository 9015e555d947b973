//! The judge judged: what a simulated power cut may and may not leave.

use std::collections::BTreeSet;

use strongroom_base::{CreateOptions, DiskRef, FileRef};
use strongroom_sim::{CrashStates, Fault, FaultKind, OpKind, Replay, SimWorld, Variant};

fn create(disk: &DiskRef, path: &str) -> FileRef {
    disk.create(path, CreateOptions::default()).unwrap()
}

/// The file's bytes in each crash state; `None` where it has no name.
fn outcomes(states: &CrashStates, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    states
        .iter()
        .map(|(_, world)| world.read_file(0, path).ok())
        .collect()
}

fn bytes(states: &CrashStates, variant: Variant, path: &str) -> Option<Vec<u8>> {
    states.build(variant).read_file(0, path).ok()
}

/// A file whose name and first content are durable.
fn durable_file(world: &SimWorld, path: &str, content: &[u8]) -> FileRef {
    let disk = world.disk(0);
    let file = create(&disk, path);
    file.write_at(0, content).unwrap();
    file.sync().unwrap();
    disk.sync_dir("").unwrap();
    file
}

#[test]
fn synced_bytes_under_a_synced_name_are_in_every_state() {
    let world = SimWorld::new(1);
    durable_file(&world, "f", b"safe");
    let states = world.crash_states(1);
    assert_eq!(states.variants(), [Variant::Prefix]);
    assert_eq!(outcomes(&states, "f"), [Some(b"safe".to_vec())].into());
}

#[test]
fn writes_without_a_sync_can_be_absent_and_can_be_present() {
    let world = SimWorld::new(1);
    let file = durable_file(&world, "f", b"safe");
    file.write_at(0, b"lost").unwrap();
    let states = world.crash_states(1);
    let expected = [Some(b"safe".to_vec()), Some(b"lost".to_vec())];
    assert_eq!(outcomes(&states, "f"), expected.into());
    assert_eq!(bytes(&states, Variant::OnlySynced, "f").unwrap(), b"safe");
    assert_eq!(bytes(&states, Variant::Prefix, "f").unwrap(), b"lost");
}

#[test]
fn a_synced_file_without_a_synced_name_can_be_missing() {
    let world = SimWorld::new(1);
    let disk = world.disk(0);
    let file = create(&disk, "f");
    file.write_at(0, b"x").unwrap();
    file.sync().unwrap();
    let states = world.crash_states(1);
    assert_eq!(outcomes(&states, "f"), [None, Some(b"x".to_vec())].into());
    disk.sync_dir("").unwrap();
    assert_eq!(outcomes(&world.crash_states(1), "f").len(), 1);
}

#[test]
fn a_synced_name_without_a_synced_file_can_be_empty_or_zeros() {
    let world = SimWorld::new(1);
    let disk = world.disk(0);
    let file = create(&disk, "f");
    disk.sync_dir("").unwrap();
    file.write_at(0, b"xyz").unwrap();
    let states = world.crash_states(1);
    assert_eq!(bytes(&states, Variant::OnlySynced, "f").unwrap(), b"");
    assert_eq!(bytes(&states, Variant::ZeroExtended, "f").unwrap(), [0; 3]);
    assert_eq!(bytes(&states, Variant::Prefix, "f").unwrap(), b"xyz");
}

#[test]
fn syncing_a_folder_does_not_make_its_parent_durable() {
    let world = SimWorld::new(1);
    let disk = world.disk(0);
    disk.create_dir("a/b").unwrap();
    let file = create(&disk, "a/b/f");
    file.write_at(0, b"x").unwrap();
    file.sync().unwrap();
    disk.sync_dir("a/b").unwrap();
    disk.sync_dir("a").unwrap();
    let states = world.crash_states(1);
    assert_eq!(bytes(&states, Variant::OnlySynced, "a/b/f"), None);
    disk.sync_dir("").unwrap();
    let states = world.crash_states(1);
    assert_eq!(bytes(&states, Variant::OnlySynced, "a/b/f").unwrap(), b"x");
}

#[test]
fn a_rename_without_a_sync_can_vanish_and_is_never_half_done() {
    let world = SimWorld::new(1);
    let disk = world.disk(0);
    durable_file(&world, "current", b"old");
    durable_file(&world, "new", b"new");
    disk.rename("new", "current").unwrap();
    let states = world.crash_states(1);
    let pairs: BTreeSet<_> = states
        .iter()
        .map(|(_, world)| {
            let read = |path| world.read_file(0, path).ok();
            (read("current"), read("new"))
        })
        .collect();
    let old = (Some(b"old".to_vec()), Some(b"new".to_vec()));
    let new = (Some(b"new".to_vec()), None);
    assert_eq!(pairs, [old, new].into());
    disk.sync_dir("").unwrap();
    let states = world.crash_states(1);
    assert_eq!(outcomes(&states, "current"), [Some(b"new".to_vec())].into());
}

/// The classic: a new content written, renamed over the old, the folder synced, the file not.
#[test]
fn a_renamed_file_that_was_not_synced_can_be_empty() {
    let world = SimWorld::new(1);
    let disk = world.disk(0);
    durable_file(&world, "current", b"old");
    let file = create(&disk, "new");
    file.write_at(0, b"new").unwrap();
    disk.rename("new", "current").unwrap();
    disk.sync_dir("").unwrap();
    let states = world.crash_states(1);
    assert_eq!(bytes(&states, Variant::OnlySynced, "current").unwrap(), b"");
    assert!(!outcomes(&states, "current").contains(&Some(b"old".to_vec())));
}

#[test]
fn a_rename_to_another_folder_is_durable_with_either_folder() {
    for synced in ["a", "b"] {
        let world = SimWorld::new(1);
        let disk = world.disk(0);
        disk.create_dir("a").unwrap();
        disk.create_dir("b").unwrap();
        disk.sync_dir("").unwrap();
        create(&disk, "a/f");
        disk.sync_dir("a").unwrap();
        disk.rename("a/f", "b/f").unwrap();
        for (variant, world) in world.crash_states(1).iter() {
            let count = world.list_files(0).len();
            assert_eq!(count, 1, "{variant}: a rename lost or doubled the file");
        }
        disk.sync_dir(synced).unwrap();
        let states = world.crash_states(1);
        assert_eq!(states.variants(), [Variant::Prefix]);
        assert_eq!(states.build(Variant::Prefix).list_files(0)[0].0, "b/f");
    }
}

#[test]
fn a_removal_without_a_sync_can_be_undone_with_the_content() {
    let world = SimWorld::new(1);
    let disk = world.disk(0);
    durable_file(&world, "f", b"back");
    disk.remove("f").unwrap();
    let expected = [None, Some(b"back".to_vec())];
    assert_eq!(outcomes(&world.crash_states(1), "f"), expected.into());
    disk.sync_dir("").unwrap();
    assert_eq!(outcomes(&world.crash_states(1), "f"), [None].into());
}

#[test]
fn a_folder_removed_with_its_files_can_come_back_in_part() {
    let world = SimWorld::new(1);
    let disk = world.disk(0);
    disk.create_dir("d").unwrap();
    create(&disk, "d/a");
    create(&disk, "d/b");
    disk.sync_dir("d").unwrap();
    disk.sync_dir("").unwrap();
    disk.remove_dir_all("d").unwrap();
    let states = world.crash_states(1);
    let counts: BTreeSet<usize> = states
        .iter()
        .map(|(_, world)| world.list_files(0).len())
        .collect();
    assert_eq!(counts, [0, 1, 2].into());
}

#[test]
fn changes_of_names_survive_independently_and_as_prefixes() {
    let world = SimWorld::new(1);
    let disk = world.disk(0);
    for name in ["a", "b", "c"] {
        create(&disk, name);
    }
    let states = world.crash_states(1);
    let names = |world: SimWorld| -> String {
        world
            .list_files(0)
            .into_iter()
            .map(|(path, _)| path)
            .collect()
    };
    assert_eq!(names(states.build(Variant::NamesUpTo(1))), "a");
    assert_eq!(names(states.build(Variant::NamesUpTo(2))), "ab");
    assert_eq!(names(states.build(Variant::Without(0))), "bc");
    assert_eq!(names(states.build(Variant::NamesGone)), "");
    let seen: BTreeSet<String> = states.iter().map(|(_, world)| names(world)).collect();
    assert!(seen.len() >= 6, "{seen:?}");
}

#[test]
fn a_later_write_can_survive_an_earlier_one() {
    let world = SimWorld::new(1);
    let file = durable_file(&world, "f", b"");
    file.write_at(0, b"aa").unwrap();
    file.write_at(2, b"bb").unwrap();
    let states = world.crash_states(1);
    let seen = outcomes(&states, "f");
    assert!(seen.contains(&Some(b"\0\0bb".to_vec())));
    assert!(seen.contains(&Some(b"aa".to_vec())));
    assert_eq!(bytes(&states, Variant::Without(0), "f").unwrap(), b"\0\0bb");
}

#[test]
fn a_cut_and_a_growth_without_a_sync_can_be_undone() {
    let world = SimWorld::new(1);
    let file = durable_file(&world, "f", b"abcd");
    file.set_len(1).unwrap();
    file.set_len(3).unwrap();
    let seen = outcomes(&world.crash_states(1), "f");
    assert!(seen.contains(&Some(b"abcd".to_vec())));
    assert!(seen.contains(&Some(b"a\0\0".to_vec())));
    file.sync().unwrap();
    let seen = outcomes(&world.crash_states(1), "f");
    assert_eq!(seen, [Some(b"a\0\0".to_vec())].into());
}

#[test]
fn a_write_is_torn_at_sectors_of_the_disk_and_nowhere_else() {
    let world = SimWorld::new(1);
    let file = durable_file(&world, "f", &[0; 8192]);
    file.write_at(100, &[1; 3000]).unwrap();
    let trace = world.take_trace();
    let states = CrashStates::new(&trace, trace.events().len());
    let mut tears = 0;
    for (variant, world) in states.iter() {
        let content = world.read_file(0, "f").unwrap();
        let whole_sectors = content.chunks(512).enumerate().all(|(index, sector)| {
            let is_new = |at: usize| (100..3100).contains(&at);
            let meant = sector
                .iter()
                .enumerate()
                .filter(|(at, _)| is_new(index * 512 + at));
            let values: BTreeSet<u8> = meant.map(|(_, byte)| *byte).collect();
            values.len() <= 1
        });
        assert!(whole_sectors, "{variant} tears within a sector");
        tears += usize::from(matches!(variant, Variant::Torn(..)));
    }
    // Borders at 512, 1024, ... 3072.
    assert_eq!(tears, 6);
}

#[test]
fn a_long_write_is_torn_in_its_first_sectors_its_last_and_between() {
    let world = SimWorld::new(1);
    let file = durable_file(&world, "f", b"");
    file.write_at(0, &vec![1; 1 << 20]).unwrap();
    let trace = world.take_trace();
    let states = CrashStates::new(&trace, trace.events().len());
    let tears: Vec<u64> = states
        .variants()
        .into_iter()
        .filter_map(|variant| match variant {
            Variant::Torn(0, at) => Some(at),
            _ => None,
        })
        .collect();
    assert!((1..=8).all(|n| tears.contains(&(n * 512))), "{tears:?}");
    assert!(tears.contains(&((1 << 20) - 512)));
    assert!(tears.iter().all(|at| at % 512 == 0) && tears.len() > 9);
}

/// H35: after a failed sync the next one reports success and saves nothing of what came before.
#[test]
fn a_torn_sync_loses_its_writes_although_the_next_sync_succeeds() {
    let world = SimWorld::new(1);
    let file = durable_file(&world, "f", b"....");
    file.write_at(0, b"aa").unwrap();
    world.fault(Fault {
        op: OpKind::Sync,
        kind: FaultKind::TornSync,
        count: 1,
        ..Fault::default()
    });
    assert!(file.sync().is_err());
    file.write_at(2, b"bb").unwrap();
    assert!(file.sync().is_ok());
    assert_eq!(world.read_file(0, "f").unwrap(), b"aabb");
    let seen = outcomes(&world.crash_states(1), "f");
    assert_eq!(seen, [Some(b"..bb".to_vec())].into());
}

#[test]
fn a_sync_that_failed_plainly_keeps_its_writes_pending() {
    let world = SimWorld::new(1);
    let file = durable_file(&world, "f", b"old");
    file.write_at(0, b"new").unwrap();
    world.fault(Fault {
        op: OpKind::Sync,
        count: 1,
        ..Fault::default()
    });
    assert!(file.sync().is_err());
    assert_eq!(outcomes(&world.crash_states(1), "f").len(), 2);
    assert!(file.sync().is_ok());
    assert_eq!(outcomes(&world.crash_states(1), "f").len(), 1);
}

#[test]
fn lost_writes_are_in_no_state_even_after_a_sync() {
    let world = SimWorld::new(1);
    let file = durable_file(&world, "f", b"old");
    world.fault(Fault {
        kind: FaultKind::LostWrite,
        count: 1,
        ..Fault::default()
    });
    file.write_at(0, b"new").unwrap();
    file.sync().unwrap();
    let seen = outcomes(&world.crash_states(1), "f");
    assert_eq!(seen, [Some(b"old".to_vec())].into());
}

#[test]
fn disks_lose_power_together_and_may_differ_in_what_they_kept() {
    let world = SimWorld::new(1);
    let files: Vec<FileRef> = (0..3)
        .map(|index| create(&world.disk(index), "f"))
        .collect();
    for file in &files {
        file.write_at(0, b"x").unwrap();
    }
    let states = world.crash_states(1);
    let kept = |variant| -> Vec<bool> {
        let world = states.build(variant);
        (0..3)
            .map(|disk| world.read_file(disk, "f").is_ok_and(|b| b == b"x"))
            .collect()
    };
    assert_eq!(kept(Variant::Prefix), [true, true, true]);
    assert_eq!(kept(Variant::Behind(1)), [true, false, true]);
    assert_eq!(kept(Variant::Ahead(1)), [false, true, false]);
    assert!(states.variants().contains(&Variant::Ahead(2)));
}

#[test]
fn a_replay_stops_at_each_event_with_the_disks_of_that_moment() {
    let world = SimWorld::new(1);
    let file = create(&world.disk(0), "f");
    world.disk(0).sync_dir("").unwrap();
    for n in 0..5u8 {
        file.write_at(u64::from(n), &[n]).unwrap();
        file.sync().unwrap();
        world.mark(n);
    }
    let trace = world.take_trace();
    assert_eq!(trace.events().len(), 2 + 15);
    let mut replay = Replay::new(&trace);
    let mut acknowledged = 0;
    let mut points = 0;
    while let Some(event) = replay.advance() {
        if let Some(n) = event.mark::<u8>() {
            acknowledged = usize::from(*n) + 1;
        }
        for (variant, world) in replay.crash_states().iter() {
            let position = replay.position();
            let content = world.read_file(0, "f").unwrap_or_default();
            assert!(content.len() >= acknowledged, "{position} {variant}");
            points += 1;
        }
    }
    assert!(points > 17);
    assert_eq!(acknowledged, 5);
    let again = CrashStates::new(&trace, 9).variants();
    assert_eq!(again, CrashStates::new(&trace, 9).variants());
}

#[test]
fn the_running_disks_and_the_replay_of_their_trace_agree() {
    use strongroom_base::{Random, SeededRandom};
    for seed in 0..20 {
        let world = SimWorld::new(seed);
        let random = SeededRandom::new(seed);
        random_changes(&world, &|n| random.next_u64() % n);
        let live = world.crash_states(5);
        let trace = world.take_trace();
        let replayed = CrashStates::new(&trace, trace.events().len());
        assert_eq!(live.pending_count(), replayed.pending_count());
        for variant in [Variant::Prefix, Variant::OnlySynced, Variant::NamesGone] {
            let (a, b) = (live.build(variant), replayed.build(variant));
            assert_eq!(a.list_files(0), b.list_files(0), "seed {seed} {variant}");
            for (path, _) in a.list_files(0) {
                assert_eq!(
                    a.read_file(0, &path).unwrap(),
                    b.read_file(0, &path).unwrap()
                );
            }
        }
        // All completed changes kept is what the program saw.
        let prefix = replayed.build(Variant::Prefix);
        assert_eq!(prefix.list_files(0), world.list_files(0), "seed {seed}");
    }
}

fn random_changes(world: &SimWorld, below: &dyn Fn(u64) -> u64) {
    let disk = world.disk(0);
    disk.create_dir("d").unwrap();
    let path = || {
        let folder = ["", "d/"][below(2) as usize];
        format!("{folder}{}", below(4))
    };
    for _ in 0..200 {
        let (a, b) = (path(), path());
        // Refusals (absent, exists) are part of the game.
        match below(7) {
            0 => drop(disk.create(&a, CreateOptions::default())),
            1 => drop(disk.rename(&a, &b)),
            2 => drop(disk.remove(&a)),
            3 => drop(disk.sync_dir(["", "d"][below(2) as usize])),
            4 => drop(disk.open(&a, false).map(|file| file.sync())),
            5 => drop(disk.open(&a, false).map(|file| file.set_len(below(5000)))),
            _ => drop(disk.open(&a, false).map(|file| {
                let data = vec![below(256) as u8; below(3000) as usize];
                file.write_at(below(9000), &data)
            })),
        }
    }
}

#[test]
fn a_crash_state_runs_on_is_traced_and_crashes_again() {
    let world = SimWorld::new(1);
    durable_file(&world, "f", b"one");
    let crashed = world.crash_states(1).build(Variant::OnlySynced);
    crashed.start_trace();
    let file = crashed.disk(0).open("f", false).unwrap();
    file.write_at(0, b"two").unwrap();
    let trace = crashed.take_trace();
    assert_eq!(trace.events().len(), 1);
    assert_eq!(trace.events()[0].to_string(), "0 disk 0 f write 0+3");
    let seen = outcomes(&CrashStates::new(&trace, 1), "f");
    assert_eq!(seen, [Some(b"one".to_vec()), Some(b"two".to_vec())].into());
    // The world it came from did not notice.
    assert_eq!(world.read_file(0, "f").unwrap(), b"one");
}

#[test]
fn a_killed_process_loses_nothing_that_a_later_power_cut_may_not_take() {
    let world = SimWorld::new(1);
    let file = durable_file(&world, "f", b"one");
    file.write_at(0, b"two").unwrap();
    let after = world.after_kill();
    assert_eq!(after.read_file(0, "f").unwrap(), b"two");
    assert_eq!(outcomes(&after.crash_states(1), "f").len(), 2);
    after.disk(0).open("f", false).unwrap().sync().unwrap();
    assert_eq!(outcomes(&after.crash_states(1), "f").len(), 1);
}

#[test]
fn acts_of_people_are_in_the_trace() {
    let world = SimWorld::new(1);
    durable_file(&world, "f", b"one");
    world.flip_bit(0, "f", 0).unwrap();
    world.wipe_disk(0);
    world.write_file(0, "g", b"two").unwrap();
    let trace = world.take_trace();
    let states = CrashStates::new(&trace, trace.events().len());
    for (variant, world) in states.iter() {
        assert_eq!(world.read_file(0, "g").unwrap(), b"two", "{variant}");
        assert!(world.read_file(0, "f").is_err(), "{variant}");
    }
}

/// A sync covers what was written before it began: a write during a slow sync is not covered.
#[test]
fn a_write_during_a_sync_is_not_covered_by_it() {
    let world = SimWorld::new(1);
    let file = durable_file(&world, "f", b"..");
    file.write_at(0, b"a").unwrap();
    let fault = world.fault(Fault {
        op: OpKind::Sync,
        kind: FaultKind::Frozen,
        ..Fault::default()
    });
    let syncing = file.clone();
    let thread = strongroom_base::tasks::spawn_thread("sync", move || syncing.sync());
    while world.frozen_count() == 0 {
        std::thread::yield_now();
    }
    file.write_at(1, b"b").unwrap();
    world.lift(fault);
    thread.join().unwrap().unwrap();
    let states = world.crash_states(1);
    assert_eq!(bytes(&states, Variant::OnlySynced, "f").unwrap(), b"a.");
    assert_eq!(bytes(&states, Variant::Prefix, "f").unwrap(), b"ab");
}
