//! The simulated disk as a program sees it while the power is on: contents, names, faults.

use std::io::ErrorKind;
use std::time::Duration;

use strongroom_base::{AlignedBuf, CreateOptions, DiskRef, FileRef, tasks};
use strongroom_sim::{Fault, FaultKind, OpKind, SimWorld};

fn create(disk: &DiskRef, path: &str) -> FileRef {
    disk.create(path, CreateOptions::default()).unwrap()
}

fn read(file: &FileRef) -> Vec<u8> {
    let mut out = vec![0; file.len().unwrap() as usize + 10];
    let size = file.read_at(0, &mut out).unwrap();
    out.truncate(size);
    out
}

fn sorted(disk: &DiskRef, dir: &str) -> Vec<String> {
    let mut names = disk.list(dir).unwrap();
    names.sort();
    names
}

fn wait_for_frozen_call(world: &SimWorld) {
    while world.frozen_count() == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn files_read_back_what_was_written_without_a_sync() {
    let disk = SimWorld::new(1).disk(0);
    disk.create_dir("a/b").unwrap();
    let file = create(&disk, "a/b/f");
    file.write_at(5, b"hello").unwrap();
    assert_eq!(read(&file), b"\0\0\0\0\0hello");
    assert_eq!(
        read(&disk.open("a/b/f", false).unwrap()),
        b"\0\0\0\0\0hello"
    );
    file.set_len(7).unwrap();
    file.set_len(9).unwrap();
    assert_eq!(read(&file), b"\0\0\0\0\0he\0\0");
}

#[test]
fn names_behave_as_in_a_folder() {
    let disk = SimWorld::new(1).disk(0);
    let kind = |result: std::io::Result<FileRef>| result.err().map(|error| error.kind());
    let absent = disk.create("a/f", CreateOptions::default());
    assert_eq!(kind(absent), Some(ErrorKind::NotFound));
    assert_eq!(disk.list("a").unwrap_err().kind(), ErrorKind::NotFound);
    disk.create_dir("a/b").unwrap();
    disk.create_dir("a/b").unwrap();
    create(&disk, "a/f").write_at(0, b"f").unwrap();
    let again = disk.create("a/f", CreateOptions::default());
    assert_eq!(kind(again), Some(ErrorKind::AlreadyExists));
    assert_eq!(sorted(&disk, "a"), ["b", "f"]);
    create(&disk, "a/g").write_at(0, b"g").unwrap();
    disk.rename("a/g", "a/f").unwrap();
    assert_eq!(sorted(&disk, "a"), ["b", "f"]);
    assert_eq!(read(&disk.open("a/f", false).unwrap()), b"g");
    disk.rename("a/b", "c").unwrap();
    assert_eq!(sorted(&disk, ""), ["a", "c"]);
    assert!(disk.remove("c").is_err(), "a folder is no file");
    disk.remove("a/f").unwrap();
    assert_eq!(disk.remove("a/f").unwrap_err().kind(), ErrorKind::NotFound);
    disk.remove_dir_all("a").unwrap();
    disk.remove_dir_all("a").unwrap();
    assert_eq!(sorted(&disk, ""), ["c"]);
    assert_eq!(disk.sync_dir("a").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn an_open_file_outlives_its_name_and_follows_a_rename() {
    let world = SimWorld::new(1);
    let disk = world.disk(0);
    let file = create(&disk, "f");
    disk.rename("f", "g").unwrap();
    file.write_at(0, b"x").unwrap();
    assert_eq!(world.read_file(0, "g").unwrap(), b"x");
    disk.remove("g").unwrap();
    file.write_at(1, b"y").unwrap();
    assert_eq!(read(&file), b"xy");
}

#[test]
fn direct_files_refuse_what_a_drive_would_refuse() {
    let disk = SimWorld::new(1).disk(0);
    let options = CreateOptions {
        direct: true,
        reserve: 0,
    };
    let file = disk.create("f", options).unwrap();
    let buf = AlignedBuf::zeroed(4096);
    file.write_at(4096, &buf).unwrap();
    let refused = |result: std::io::Result<()>| result.unwrap_err().kind();
    assert_eq!(refused(file.write_at(1, &buf)), ErrorKind::InvalidInput);
    assert_eq!(
        refused(file.write_at(0, &buf[..512])),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        refused(file.write_at(0, &AlignedBuf::zeroed(8192)[512..4608])),
        ErrorKind::InvalidInput
    );
}

#[test]
fn a_fault_strikes_the_named_calls_only_and_ends_by_its_count() {
    let world = SimWorld::new(1);
    let (disk, other) = (world.disk(0), world.disk(1));
    let (log, data) = (create(&disk, "log"), create(&disk, "data"));
    let elsewhere = create(&other, "log");
    world.fault(Fault {
        disk: Some(0),
        path_contains: "lo".into(),
        op: OpKind::Write,
        after: 1,
        count: 2,
        ..Fault::default()
    });
    let answers: Vec<bool> = (0..5).map(|_| log.write_at(0, b"x").is_ok()).collect();
    assert_eq!(answers, [true, false, false, true, true]);
    assert!(data.write_at(0, b"x").is_ok());
    assert!(elsewhere.write_at(0, b"x").is_ok());
    assert!(log.sync().is_ok());
}

#[test]
fn errors_have_the_kinds_the_system_gives() {
    let world = SimWorld::new(1);
    let disk = world.disk(0);
    let file = create(&disk, "f");
    let strike = |kind, op| {
        world.lift_all();
        world.fault(Fault {
            kind,
            op,
            ..Fault::default()
        });
    };
    strike(FaultKind::NoSpace, OpKind::Any);
    let error = file.write_at(0, b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert!(file.len().is_ok() && disk.list("").is_ok());
    strike(FaultKind::ReadOnly, OpKind::Any);
    let error = file.write_at(0, b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
    assert!(disk.open("f", false).is_ok());
    strike(FaultKind::Vanished, OpKind::Any);
    assert_eq!(disk.list("").unwrap_err().kind(), ErrorKind::NotFound);
    let error = file.write_at(0, b"x").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5));
    world.lift_all();
    assert!(file.is_empty().unwrap(), "a failed write stores nothing");
}

#[test]
fn a_full_disk_refuses_growth_and_takes_overwrites() {
    let world = SimWorld::new(1);
    let disk = world.disk(0);
    world.set_capacity(0, 10_000);
    let file = create(&disk, "f");
    file.write_at(0, &[1; 8000]).unwrap();
    let error = file.write_at(8000, &[1; 4000]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    file.write_at(0, &[2; 8000]).unwrap();
    assert_eq!(disk.space().unwrap(), (2000, 10_000));
    disk.remove("f").unwrap();
    assert_eq!(disk.space().unwrap(), (10_000, 10_000));
}

#[test]
fn reads_can_be_spoiled_while_the_stored_bytes_stay_good() {
    let world = SimWorld::new(1);
    let file = create(&world.disk(0), "f");
    let bytes = vec![7u8; 12_288];
    file.write_at(0, &bytes).unwrap();
    for kind in [FaultKind::BitFlip, FaultKind::Garbage] {
        world.fault(Fault {
            kind,
            count: 1,
            ..Fault::default()
        });
        let bad = read(&file);
        let differing = bad.iter().zip(&bytes).filter(|(a, b)| a != b).count();
        match kind {
            FaultKind::BitFlip => assert_eq!(differing, 1),
            _ => assert!((3000..=4096).contains(&differing), "{differing}"),
        }
        assert_eq!(read(&file), bytes);
    }
}

#[test]
fn lost_and_misdirected_writes_report_success() {
    let world = SimWorld::new(1);
    let file = create(&world.disk(0), "f");
    file.write_at(0, &[1; 8192]).unwrap();
    world.fault(Fault {
        kind: FaultKind::LostWrite,
        count: 1,
        ..Fault::default()
    });
    file.write_at(0, &[2; 4096]).unwrap();
    assert_eq!(read(&file), [1; 8192]);
    world.fault(Fault {
        kind: FaultKind::Misdirected(4096),
        count: 1,
        ..Fault::default()
    });
    file.write_at(0, &[3; 4096]).unwrap();
    assert_eq!(read(&file)[..4096], [1; 4096]);
    assert_eq!(read(&file)[4096..], [3; 4096]);
}

/// H8, H33: a hung write lands when the drive comes back, whatever happened meanwhile.
#[test]
fn a_frozen_disk_holds_calls_until_released_and_others_go_on() {
    let world = SimWorld::new(1);
    let (frozen, free) = (create(&world.disk(0), "f"), create(&world.disk(1), "f"));
    let fault = world.fault(Fault {
        disk: Some(0),
        kind: FaultKind::Frozen,
        ..Fault::default()
    });
    let writer = tasks::spawn_thread("frozen", move || frozen.write_at(0, b"late"));
    wait_for_frozen_call(&world);
    free.write_at(0, b"x").unwrap();
    assert_eq!(world.read_file(0, "f").unwrap(), b"");
    world.lift(fault);
    writer.join().unwrap().unwrap();
    assert_eq!(world.read_file(0, "f").unwrap(), b"late");
}

#[test]
fn power_off_fails_every_call_and_frees_frozen_ones() {
    let world = SimWorld::new(1);
    let file = create(&world.disk(0), "f");
    world.fault(Fault {
        op: OpKind::Sync,
        kind: FaultKind::Frozen,
        ..Fault::default()
    });
    let copy = file.clone();
    let writer = tasks::spawn_thread("frozen", move || copy.sync());
    wait_for_frozen_call(&world);
    world.power_off();
    assert!(writer.join().unwrap().is_err());
    assert!(file.write_at(0, b"x").is_err());
    assert!(file.read_at(0, &mut [0]).is_err());
    assert!(world.disk(0).list("").is_err());
}

#[test]
fn power_can_go_after_a_number_of_changes() {
    let world = SimWorld::new(1);
    let file = create(&world.disk(0), "f");
    world.power_off_after(2);
    assert!(file.write_at(0, b"a").is_ok());
    assert!(!world.is_off());
    assert!(file.write_at(1, b"b").is_ok());
    assert!(world.is_off());
    assert!(file.write_at(2, b"c").is_err());
    assert_eq!(world.read_file(0, "f").unwrap(), b"ab");
}

#[test]
fn slow_calls_are_late_and_right() {
    let world = SimWorld::new(1);
    let file = create(&world.disk(0), "f");
    world.fault(Fault {
        kind: FaultKind::Slow(Duration::from_millis(1)),
        ..Fault::default()
    });
    file.write_at(0, b"x").unwrap();
    assert_eq!(read(&file), b"x");
}

#[test]
fn people_and_rot_can_change_a_disk() {
    let world = SimWorld::new(1);
    let disk = world.disk(0);
    disk.create_dir("d").unwrap();
    world.write_file(0, "d/a", b"aaaa").unwrap();
    world.write_file(0, "d/b", b"bb").unwrap();
    world.swap_files((0, "d/a"), (0, "d/b")).unwrap();
    assert_eq!(world.read_file(0, "d/a").unwrap(), b"bb");
    world.flip_bit(0, "d/a", 1).unwrap();
    let flipped = world.read_file(0, "d/a").unwrap();
    assert_eq!((flipped[1] ^ b'b').count_ones(), 1);
    assert!(world.flip_bit(0, "d/a", 2).is_err());
    world.zero_range(0, "d/b", 1, 99).unwrap();
    assert_eq!(world.read_file(0, "d/b").unwrap(), b"a\0\0\0");
    world.truncate(0, "d/b", 1).unwrap();
    world.overwrite(0, "d/b", 1, b"zz").unwrap();
    assert_eq!(world.read_file(0, "d/b").unwrap(), b"azz");
    world.remove_file(0, "d/a").unwrap();
    assert_eq!(world.list_files(0), [("d/b".to_owned(), 3)]);
    assert!(world.remove_file(0, "d/a").is_err());
}

/// H5, H7: a wiped disk is blank, an old image is what it was, and old handles reach neither.
#[test]
fn disks_can_be_wiped_restored_and_swapped() {
    let world = SimWorld::new(1);
    let disk = world.disk(0);
    let file = create(&disk, "f");
    file.write_at(0, b"old").unwrap();
    let image = world.snapshot(0);
    file.write_at(0, b"new").unwrap();
    world.wipe_disk(0);
    assert_eq!(disk.list("").unwrap(), Vec::<String>::new());
    assert!(file.write_at(0, b"x").is_err());
    world.restore(0, &image);
    assert_eq!(world.read_file(0, "f").unwrap(), b"old");
    world.write_file(1, "g", b"second").unwrap();
    world.swap_disks(0, 1);
    assert_eq!(world.read_file(1, "f").unwrap(), b"old");
    assert_eq!(world.read_file(0, "g").unwrap(), b"second");
}
