//! The commit log on real folders: format, append, lose a zone, bring it back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use strongroom_base::{RealDisk, SystemRandom};
use strongroom_zones::{
    Append, BatchKind, CommitLog, DiskSpec, OpenError, OpenOptions, OutReason, Recovered, Store,
    open,
};

fn specs(root: &Path, zones: &[(&str, usize)]) -> Vec<DiskSpec> {
    let mut specs = Vec::new();
    for (zone, disks) in zones {
        for disk in 0..*disks {
            let folder = root.join(format!("{zone}{disk}"));
            specs.push(DiskSpec {
                zone: (*zone).to_owned(),
                name: folder.display().to_string(),
                disk: Arc::new(RealDisk::new(folder)),
            });
        }
    }
    specs
}

fn options() -> OpenOptions {
    OpenOptions {
        member_wait: Duration::ZERO,
        log_file_size: 64 * 1024,
        ..OpenOptions::default()
    }
}

fn opened(specs: &[DiskSpec]) -> Store {
    Store::new(open(specs, options(), Arc::new(SystemRandom)).unwrap())
}

fn serving(store: &Store) -> CommitLog {
    match store.recover(0).unwrap() {
        Recovered::Serving(log) => log,
        Recovered::ReadOnly(_, _, why) => panic!("read only: {why}"),
    }
}

fn append(log: &mut CommitLog, text: &str) -> u64 {
    let body = Bytes::copy_from_slice(text.as_bytes());
    log.settle().unwrap();
    log.append(Append {
        kind: BatchKind::Commits,
        body,
        stamp_mark: 0,
        lock_clock: 0,
    })
    .unwrap()
    .number
}

fn texts(store: &Store, upto: u64) -> Vec<String> {
    let reader = store.reader();
    (1..=upto)
        .filter_map(|number| {
            let batch = reader
                .read(number)
                .unwrap_or_else(|| panic!("batch {number} is there"));
            (batch.header.kind == BatchKind::Commits)
                .then(|| String::from_utf8(batch.body.to_vec()).unwrap())
        })
        .collect()
}

const THREE: [(&str, usize); 3] = [("a", 1), ("b", 1), ("c", 1)];

#[test]
fn acknowledged_batches_are_there_after_each_restart_with_any_one_zone_removed() {
    for lost in ["a0", "b0", "c0"] {
        let root = tempfile::tempdir().unwrap();
        let specs = specs(root.path(), &THREE);
        let mut written = Vec::new();
        for run in 0..3 {
            let store = opened(&specs);
            let mut log = serving(&store);
            for i in 0..40 {
                let text = format!("run {run} batch {i} {}", "x".repeat(5000));
                append(&mut log, &text);
                written.push(text);
            }
        }
        std::fs::remove_dir_all(root.path().join(lost)).unwrap();
        let store = opened(&specs);
        let mut log = serving(&store);
        assert_eq!(texts(&store, log.acknowledged()), written);
        append(&mut log, "goes on");
    }
}

#[test]
fn a_zone_taken_out_is_fenced_and_catches_up_when_it_is_back() {
    let root = tempfile::tempdir().unwrap();
    let specs = specs(root.path(), &THREE);
    let store = opened(&specs);
    let mut log = serving(&store);
    append(&mut log, "all three");
    let disk = store.opened().disks.all()[1].id;
    store
        .opened()
        .disks
        .take_out(disk, OutReason::Failed("test".into()));
    append(&mut log, "two of three");
    assert_eq!(
        store
            .reader()
            .status()
            .members
            .iter()
            .filter(|m| m.in_service)
            .count(),
        2
    );
    store.opened().disks.admit(disk);
    assert_eq!(store.returning(), vec![1]);
    let prepared = store.catch_up(1).unwrap();
    append(&mut log, "meanwhile");
    log.admit(prepared).unwrap();
    append(&mut log, "three again");
    assert!(store.reader().status().members.iter().all(|m| m.in_service));
    drop(log);
    // Only the zone that was away and one other are left: everything is there.
    std::fs::remove_dir_all(root.path().join("a0")).unwrap();
    let store = opened(&specs);
    let log = serving(&store);
    let expected = ["all three", "two of three", "meanwhile", "three again"];
    assert_eq!(texts(&store, log.acknowledged()), expected);
}

#[test]
fn h5_a_blank_folder_beside_formatted_ones_is_not_formatted_and_two_flags_do_not_redefine_the_majority()
 {
    let root = tempfile::tempdir().unwrap();
    let all = specs(root.path(), &THREE);
    append(&mut serving(&opened(&all)), "kept");
    // One flag of three: no majority, whatever the command line says.
    let store = opened(&all[..1]);
    assert!(
        store
            .recover(0)
            .is_err_and(|error| error.0.contains("are needed"))
    );
    std::fs::remove_dir_all(root.path().join("c0")).unwrap();
    std::fs::create_dir(root.path().join("c0")).unwrap();
    let store = opened(&all);
    let log = serving(&store);
    assert_eq!(texts(&store, log.acknowledged()), ["kept"]);
    assert!(!root.path().join("c0/superblock").exists());
}

#[test]
fn wrong_label_foreign_folder_and_unknown_zone_stop_the_start_with_a_sentence() {
    let root = tempfile::tempdir().unwrap();
    let all = specs(root.path(), &THREE);
    drop(serving(&opened(&all)));
    let start = |specs: &[DiskSpec]| match open(specs, options(), Arc::new(SystemRandom)) {
        Err(OpenError::Refused(text)) => text,
        other => panic!("not refused: {other:?}"),
    };
    let mut swapped = all.clone();
    swapped[0].zone = "b".into();
    swapped[1].zone = "a".into();
    assert!(start(&swapped).contains("correct the label"));
    let mut more = all.clone();
    more.extend(specs(root.path(), &[("d", 1)]));
    assert!(start(&more).contains("member list"));
    let other = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(other.path().join("a0/photos")).unwrap();
    assert!(start(&specs(other.path(), &[("a", 1)])).contains("not empty"));
}

#[test]
fn one_zone_of_two_alone_serves_reads_only() {
    let root = tempfile::tempdir().unwrap();
    let specs = specs(root.path(), &[("a", 1), ("b", 1)]);
    append(&mut serving(&opened(&specs)), "kept");
    std::fs::remove_dir_all(root.path().join("a0")).unwrap();
    let store = opened(&specs);
    let Recovered::ReadOnly(_, tip, _) = store.recover(0).unwrap() else {
        panic!("it serves")
    };
    assert_eq!(texts(&store, tip), ["kept"]);
}

#[test]
fn h4_a_flipped_bit_in_one_log_is_read_around_and_rewritten() {
    let root = tempfile::tempdir().unwrap();
    let specs = specs(root.path(), &THREE);
    let store = opened(&specs);
    let mut log = serving(&store);
    for i in 0..20 {
        append(&mut log, &format!("batch {i}"));
    }
    drop((log, store));
    let mut damaged = 0;
    for entry in std::fs::read_dir(root.path().join("b0/log")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if bytes.len() > 40_960 {
            bytes[20_480 + 10] ^= 1;
            bytes[28_672 + 146] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1);
    let store = opened(&specs);
    let log = serving(&store);
    let expected: Vec<String> = (0..20).map(|i| format!("batch {i}")).collect();
    assert_eq!(texts(&store, log.acknowledged()), expected);
    let repairs = store
        .opened()
        .disks
        .counters
        .log_repairs
        .load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(repairs, 2, "both were rewritten from another member");
}

/// What is read without a wait is what a read that may wait gives, or nothing.
#[test]
fn a_part_that_is_in_memory_is_read_at_once_and_only_when_it_verifies() {
    let root = tempfile::tempdir().unwrap();
    let store = opened(&specs(root.path(), &THREE));
    let mut log = serving(&store);
    let number = append(&mut log, "some content of a batch");
    let reader = store.reader();
    let read = |verify: &dyn Fn(&[u8]) -> bool| reader.read_part(0, number, 5, 7, verify);
    let part = read(&|_| true).unwrap().unwrap();
    let at_once = |number, offset, len, verify: &dyn Fn(&[u8]) -> bool| {
        reader.read_part_at_once(0, number, offset, len, verify)
    };
    let Some(found) = at_once(number, 5, 7, &|_| true) else {
        println!("skipped: the file system of the temporary folder can not tell what is in memory");
        return;
    };
    assert_eq!(found, part);
    assert_eq!(
        at_once(number, 5, 7, &|_| false),
        None,
        "it does not verify"
    );
    assert_eq!(at_once(number + 1, 5, 7, &|_| true), None, "no such batch");
    assert_eq!(
        at_once(number, 5, 1 << 20, &|_| true),
        None,
        "it is shorter"
    );
}

/// AZ25, AZ26: a flipped bit in any member's copy of any batch, and a damaged superblock, are found past the
/// page cache and mended from what is good.
#[test]
fn az26_scrub_mends_batches_and_superblocks_of_each_member() {
    let root = tempfile::tempdir().unwrap();
    let specs = specs(root.path(), &[("a", 1), ("b", 1), ("c", 1)]);
    let store = opened(&specs);
    let mut log = serving(&store);
    for number in 0..40 {
        append(&mut log, &format!("batch {number} {}", "x".repeat(3000)));
    }
    log.settle().unwrap();
    let reader = log.reader();
    let kept = reader.kept();
    let clean = reader.scrub(kept.clone());
    assert_eq!((clean.bad, clean.lost), (0, 0));
    assert_eq!(clean.read, 3 * (kept.end - kept.start));
    for zone in ["a0", "b0", "c0"] {
        let folder = root.path().join(zone);
        let mut flipped = 0;
        for entry in std::fs::read_dir(folder.join("log")).unwrap() {
            let path = entry.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            if bytes.len() > 4096 {
                bytes[300] ^= 1;
                std::fs::write(&path, &bytes).unwrap();
                flipped += 1;
            }
        }
        assert!(flipped > 1);
        let superblock = folder.join("superblock");
        let whole = std::fs::read(&superblock).unwrap();
        let mut bad = whole.clone();
        bad[40] ^= 1;
        std::fs::write(&superblock, &bad).unwrap();
        let found = reader.scrub(kept.clone());
        // One begun for batches to come, or superseded, holds none of them.
        assert!((2..=flipped).contains(&found.bad), "{found:?} of {flipped}");
        assert_eq!((found.repaired, found.lost), (found.bad, 0));
        assert_eq!(reader.scrub(kept.clone()).bad, 0);
        let found = reader.scrub_superblocks();
        assert_eq!((found.read, found.bad, found.repaired), (3, 1, 1));
        assert_eq!(reader.scrub_superblocks().bad, 0);
        // An absent one may be another folder: nothing is written there.
        std::fs::remove_file(&superblock).unwrap();
        let found = reader.scrub_superblocks();
        assert_eq!((found.bad, found.repaired), (1, 0));
        assert!(!superblock.exists());
        std::fs::write(&superblock, &whole).unwrap();
    }
    drop(log);
    let store = opened(&specs);
    let _log = serving(&store);
}
