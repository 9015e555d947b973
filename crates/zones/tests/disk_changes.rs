//! Change of disks on real folders (RFC 0010): a dead disk replaced, a disk added, what is refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use strongroom_base::{RealDisk, SystemRandom};
use strongroom_zones::{
    Append, BatchKind, CommitLog, DiskChange, DiskId, DiskSpec, DiskState, NewDisk, OpenError,
    OpenOptions, OutReason, Recovered, Store, Superblock, open,
};

/// Folders of zones, as flags would give them.
type Flags = Vec<(&'static str, PathBuf)>;

fn flags(root: &Path, disks: &[(&'static str, &str)]) -> Flags {
    let flag = |(zone, name): &(&'static str, &str)| (*zone, root.join(name));
    disks.iter().map(flag).collect()
}

fn three(root: &Path) -> Flags {
    flags(root, &[("a", "a0"), ("b", "b0"), ("c", "c0")])
}

fn try_open(flags: &Flags) -> Result<Store, OpenError> {
    let spec = |(zone, folder): &(&str, PathBuf)| DiskSpec {
        zone: (*zone).to_owned(),
        name: folder.display().to_string(),
        disk: Arc::new(RealDisk::new(folder)),
    };
    let specs: Vec<DiskSpec> = flags.iter().map(spec).collect();
    let options = OpenOptions {
        member_wait: Duration::ZERO,
        ..OpenOptions::default()
    };
    open(&specs, options, Arc::new(SystemRandom)).map(Store::new)
}

fn serving(flags: &Flags) -> (Store, CommitLog) {
    let store = try_open(flags).unwrap();
    match store.recover(0).unwrap() {
        Recovered::Serving(log) => (store, log),
        Recovered::ReadOnly(_, _, why) => panic!("read only: {why}"),
    }
}

fn append(log: &mut CommitLog, text: &str) {
    log.settle().unwrap();
    let append = Append {
        kind: BatchKind::Commits,
        body: Bytes::copy_from_slice(text.as_bytes()),
        stamp_mark: 0,
        lock_clock: 0,
    };
    log.append(append).unwrap();
}

fn texts(store: &Store, log: &CommitLog) -> Vec<String> {
    let batches = (1..=log.acknowledged()).map(|number| store.reader().read(number).unwrap());
    let commits = batches.filter(|batch| batch.header.kind == BatchKind::Commits);
    commits
        .map(|batch| String::from_utf8(batch.body.to_vec()).unwrap())
        .collect()
}

fn in_service(store: &Store) -> usize {
    let members = store.reader().status().members;
    members.iter().filter(|member| member.in_service).count()
}

fn disk_at(store: &Store, index: usize) -> DiskId {
    store.opened().disks.all()[index].id
}

fn take_out(store: &Store, disk: DiskId) {
    let reason = OutReason::Failed("test".into());
    store.opened().disks.take_out(disk, reason);
}

fn new_disk(folder: &Path) -> NewDisk {
    NewDisk {
        folder: folder.display().to_string(),
        disk: Arc::new(RealDisk::new(folder)),
    }
}

fn replace(old: DiskId, folder: &Path) -> DiskChange {
    DiskChange::Replace {
        old,
        new: new_disk(folder),
        force: false,
    }
}

fn change(store: &Store, log: &mut CommitLog, change: DiskChange) -> Result<(), String> {
    let prepared = store.prepare_change(change)?;
    log.change_disks(prepared).unwrap()
}

fn refused(store: &Store, log: &mut CommitLog, wanted: DiskChange, with: &str) {
    let before = store.opened().disks.layout();
    let why = change(store, log, wanted).unwrap_err();
    assert!(why.contains(with), "{why}");
    assert_eq!(store.opened().disks.layout(), before);
}

fn return_all(store: &Store, log: &mut CommitLog) {
    for member in store.returning() {
        let prepared = store.catch_up(member).unwrap();
        log.admit(prepared).unwrap();
    }
}

#[test]
fn az21_a_dead_disk_with_the_log_of_its_zone_is_replaced_by_a_blank_one() {
    let root = tempfile::tempdir().unwrap();
    let (store, mut log) = serving(&three(root.path()));
    append(&mut log, "with the old disk");
    let (old, new) = (disk_at(&store, 2), root.path().join("new"));
    take_out(&store, old);
    std::fs::rename(root.path().join("c0"), root.path().join("gone")).unwrap();
    append(&mut log, "without");
    change(&store, &mut log, replace(old, &new)).unwrap();
    append(&mut log, "with a blank one");
    assert_eq!(in_service(&store), 2, "it has no log yet");
    return_all(&store, &mut log);
    append(&mut log, "with the new one");
    assert_eq!(in_service(&store), 3);
    assert!(store.opened().disks.find(old).is_none());
    let joined = disk_at(&store, 2);
    assert_eq!(store.opened().disks.find_home(old).unwrap().id, joined);
    drop((store, log));

    let now = flags(root.path(), &[("a", "a0"), ("b", "b0"), ("c", "new")]);
    let (store, log) = serving(&now);
    let all = [
        "with the old disk",
        "without",
        "with a blank one",
        "with the new one",
    ];
    assert_eq!(texts(&store, &log), all);
    assert_eq!(in_service(&store), 3);
    assert_eq!(store.opened().disks.layout().changes.number, 1);
    drop((store, log));
    // What the new disk has is whole: another zone may be lost.
    std::fs::remove_dir_all(root.path().join("a0")).unwrap();
    let (store, log) = serving(&now);
    assert_eq!(texts(&store, &log), all);
}

#[test]
fn az07_a_start_with_a_disk_that_was_replaced_stops_with_a_sentence() {
    let root = tempfile::tempdir().unwrap();
    let (store, mut log) = serving(&three(root.path()));
    let (old, new) = (disk_at(&store, 2), root.path().join("new"));
    take_out(&store, old);
    change(&store, &mut log, replace(old, &new)).unwrap();
    drop((store, log));
    let error = try_open(&three(root.path())).err().unwrap().to_string();
    let wanted = format!("was replaced by the disk at {}", new.display());
    assert!(error.contains(&wanted), "{error}");
}

#[test]
fn az07_a_new_disk_configured_under_another_zone_stops_with_a_sentence() {
    let root = tempfile::tempdir().unwrap();
    let (store, mut log) = serving(&three(root.path()));
    let (old, new) = (disk_at(&store, 2), root.path().join("new"));
    take_out(&store, old);
    change(&store, &mut log, replace(old, &new)).unwrap();
    drop((store, log));
    let wrong = flags(root.path(), &[("a", "a0"), ("b", "new"), ("c", "b0")]);
    let error = try_open(&wrong).err().unwrap().to_string();
    assert!(error.contains("correct the label"), "{error}");
}

#[test]
fn only_a_blank_folder_of_a_dead_disk_is_taken_and_a_refusal_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    drop(serving(&three(other.path())));
    let (store, mut log) = serving(&three(root.path()));
    let (b, c) = (disk_at(&store, 1), disk_at(&store, 2));
    let new = root.path().join("new");
    refused(&store, &mut log, replace(c, &new), "is in service");
    take_out(&store, c);
    let full = root.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("photo.jpg"), b"mine").unwrap();
    let foreign = other.path().join("a0");
    let own = root.path().join("a0");
    refused(&store, &mut log, replace(c, &full), "photo.jpg");
    refused(&store, &mut log, replace(c, &foreign), "another store");
    refused(
        &store,
        &mut log,
        replace(c, &own),
        "is a disk of zone a already",
    );
    refused(
        &store,
        &mut log,
        replace(DiskId([9; 16]), &new),
        "no disk of the store",
    );
    let zone = "x".to_owned();
    let new_disk = new_disk(&new);
    refused(
        &store,
        &mut log,
        DiskChange::Add {
            zone,
            new: new_disk,
        },
        "no zone x",
    );
    assert_eq!(std::fs::read(full.join("photo.jpg")).unwrap(), b"mine");
    assert!(!new.exists(), "nothing was made for what was refused");
    // H9: with a disk of another zone out, the dead one may hold the only copy of something.
    take_out(&store, b);
    let why = store.prepare_change(replace(c, &new)).err().unwrap();
    assert!(why.contains("only copy"), "{why}");
}

#[test]
fn a_change_cut_short_before_it_was_promised_is_refused_at_the_start_and_can_be_repeated() {
    let root = tempfile::tempdir().unwrap();
    let (store, mut log) = serving(&three(root.path()));
    append(&mut log, "before");
    let new = root.path().join("new");
    take_out(&store, disk_at(&store, 2));
    let prepared = store
        .prepare_change(replace(disk_at(&store, 2), &new))
        .unwrap();
    drop((prepared, store, log));
    let now = flags(root.path(), &[("a", "a0"), ("b", "b0"), ("c", "new")]);
    let error = try_open(&now).err().unwrap().to_string();
    assert!(error.contains("give the command again"), "{error}");
    // H3: alone it says nothing about the store.
    let alone = flags(root.path(), &[("c", "new")]);
    let error = try_open(&alone).err().unwrap().to_string();
    assert!(
        error.contains("add the folders of the other disks"),
        "{error}"
    );
    let (store, mut log) = serving(&three(root.path()));
    take_out(&store, disk_at(&store, 2));
    let old = disk_at(&store, 2);
    change(&store, &mut log, replace(old, &new)).unwrap();
    drop((store, log));
    let (store, log) = serving(&now);
    assert_eq!(texts(&store, &log), ["before"]);
}

#[test]
fn an_added_disk_takes_over_the_log_of_its_zone_when_the_first_one_dies() {
    let root = tempfile::tempdir().unwrap();
    let (store, mut log) = serving(&three(root.path()));
    append(&mut log, "three disks");
    let (zone, new) = ("a".to_owned(), new_disk(&root.path().join("a1")));
    change(&store, &mut log, DiskChange::Add { zone, new }).unwrap();
    assert_eq!(in_service(&store), 3);
    let block = Superblock::read(&RealDisk::new(root.path().join("a1"))).unwrap();
    assert_eq!(
        block.state,
        DiskState::Formed,
        "it got the promise of its zone"
    );
    append(&mut log, "four disks");
    take_out(&store, disk_at(&store, 0));
    append(&mut log, "without the log of a");
    return_all(&store, &mut log);
    append(&mut log, "with it on the added disk");
    assert_eq!(in_service(&store), 3);
    drop((store, log));
    std::fs::remove_dir_all(root.path().join("a0")).unwrap();
    let now = [("a", "a0"), ("a", "a1"), ("b", "b0"), ("c", "c0")];
    let (store, log) = serving(&flags(root.path(), &now));
    assert_eq!(in_service(&store), 3);
    assert_eq!(texts(&store, &log).len(), 4);
}

#[test]
fn two_changes_from_one_layout_are_not_both_made() {
    let root = tempfile::tempdir().unwrap();
    let (store, mut log) = serving(&three(root.path()));
    let add = |name: &str| DiskChange::Add {
        zone: "a".to_owned(),
        new: new_disk(&root.path().join(name)),
    };
    let first = store.prepare_change(add("a1")).unwrap();
    let second = store.prepare_change(add("a2")).unwrap();
    log.change_disks(first).unwrap().unwrap();
    let why = log.change_disks(second).unwrap().unwrap_err();
    assert!(why.contains("repeat"), "{why}");
    assert_eq!(store.opened().disks.all().len(), 4);
}

#[test]
fn disks_moved_to_other_paths_are_known_by_their_ids_also_after_a_change() {
    let root = tempfile::tempdir().unwrap();
    let (store, mut log) = serving(&three(root.path()));
    append(&mut log, "here");
    let (zone, new) = ("b".to_owned(), new_disk(&root.path().join("b1")));
    change(&store, &mut log, DiskChange::Add { zone, new }).unwrap();
    drop((store, log));
    let host = tempfile::tempdir().unwrap();
    let moved = [("a0", "x"), ("b0", "y"), ("b1", "z"), ("c0", "w")];
    for (old, new) in moved {
        std::fs::rename(root.path().join(old), host.path().join(new)).unwrap();
    }
    let now = [("c", "w"), ("b", "z"), ("b", "y"), ("a", "x")];
    let (store, log) = serving(&flags(host.path(), &now));
    assert_eq!(texts(&store, &log), ["here"]);
    let out = store
        .opened()
        .disks
        .all()
        .iter()
        .filter(|disk| disk.in_service().is_none());
    assert_eq!(out.count(), 0);
}

#[test]
fn a_store_of_one_zone_refuses_a_change_with_a_sentence() {
    let root = tempfile::tempdir().unwrap();
    let one = flags(root.path(), &[("a", "0"), ("a", "1"), ("a", "2")]);
    let (store, mut log) = serving(&one);
    let old = disk_at(&store, 2);
    take_out(&store, old);
    let new = root.path().join("new");
    refused(
        &store,
        &mut log,
        replace(old, &new),
        "members can not be changed",
    );
    assert!(!new.exists());
}

/// AZ21 with a disk that works: it gives its place up without a moment in which a zone is missing
/// that needs to be there.
#[test]
fn az21_a_drained_disk_with_the_log_is_removed_and_the_log_goes_to_another_disk() {
    let root = tempfile::tempdir().unwrap();
    let (store, mut log) = serving(&three(root.path()));
    append(&mut log, "three disks");
    let old = disk_at(&store, 0);
    refused(
        &store,
        &mut log,
        DiskChange::Drain { disk: old },
        "add a disk to the zone",
    );
    let (zone, new) = ("a".to_owned(), new_disk(&root.path().join("a1")));
    change(&store, &mut log, DiskChange::Add { zone, new }).unwrap();
    refused(
        &store,
        &mut log,
        DiskChange::Remove { disk: old },
        "drain it first",
    );
    change(&store, &mut log, DiskChange::Drain { disk: old }).unwrap();
    assert!(store.opened().disks.is_drained(old));
    assert_eq!(in_service(&store), 3, "it serves while it is drained");
    drop((store, log));

    let both = [("a", "a0"), ("a", "a1"), ("b", "b0"), ("c", "c0")];
    let (store, mut log) = serving(&flags(root.path(), &both));
    assert!(
        store.opened().disks.is_drained(old),
        "a start forgets nothing"
    );
    let segments = root.path().join("a0/segments");
    std::fs::create_dir_all(&segments).unwrap();
    let segment = segments.join("00000000000000000000000000000000.0.seg");
    std::fs::write(&segment, b"").unwrap();
    refused(
        &store,
        &mut log,
        DiskChange::Remove { disk: old },
        "still holds 1 segment",
    );
    std::fs::remove_file(&segment).unwrap();
    change(&store, &mut log, DiskChange::Remove { disk: old }).unwrap();
    append(&mut log, "without the log of a");
    return_all(&store, &mut log);
    append(&mut log, "with it on the other disk");
    assert_eq!(in_service(&store), 3);
    drop((store, log));

    let error = try_open(&flags(root.path(), &both))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("removed from the store"), "{error}");
    let now = [("a", "a1"), ("b", "b0"), ("c", "c0")];
    let (store, log) = serving(&flags(root.path(), &now));
    assert_eq!(in_service(&store), 3);
    assert_eq!(texts(&store, &log).len(), 3);
}

#[test]
fn a_drain_that_is_taken_back_leaves_the_disk_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let (store, mut log) = serving(&three(root.path()));
    let (zone, new) = ("a".to_owned(), new_disk(&root.path().join("a1")));
    change(&store, &mut log, DiskChange::Add { zone, new }).unwrap();
    let disk = disk_at(&store, 0);
    refused(
        &store,
        &mut log,
        DiskChange::Keep { disk },
        "not being drained",
    );
    change(&store, &mut log, DiskChange::Drain { disk }).unwrap();
    let other = disk_at(&store, 1);
    refused(
        &store,
        &mut log,
        DiskChange::Drain { disk: other },
        "no other disk",
    );
    change(&store, &mut log, DiskChange::Keep { disk }).unwrap();
    assert!(!store.opened().disks.is_drained(disk));
    // With the other one out, nobody could take what is on it.
    take_out(&store, other);
    refused(&store, &mut log, DiskChange::Drain { disk }, "in service");
}
