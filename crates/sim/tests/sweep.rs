//! A sweep must find what is wrong: a toy log with and without its syncs.

use std::sync::atomic::{AtomicU64, Ordering};

use strongroom_base::CreateOptions;
use strongroom_sim::{CrashPoint, SimWorld, Trace, sweep};

#[derive(Debug)]
struct Acknowledged(u8);

/// Which sync the toy forgets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Forgotten {
    Nothing,
    FileSync,
    FolderSync,
}

/// Ten bytes, acknowledged one by one.
fn toy(forgotten: Forgotten) -> Trace {
    let world = SimWorld::new(3);
    let disk = world.disk(0);
    let file = disk.create("toy", CreateOptions::default()).unwrap();
    if forgotten != Forgotten::FolderSync {
        disk.sync_dir("").unwrap();
    }
    for n in 0..10 {
        file.write_at(u64::from(n), &[n + 1]).unwrap();
        if forgotten != Forgotten::FileSync {
            file.sync().unwrap();
        }
        world.mark(Acknowledged(n));
    }
    world.take_trace()
}

fn check(point: &CrashPoint) -> Result<(), String> {
    let content = point.world().read_file(0, "toy").unwrap_or_default();
    for event in point.events() {
        if let Some(Acknowledged(n)) = event.mark()
            && content.get(usize::from(*n)) != Some(&(n + 1))
        {
            return Err(format!("byte {n} is lost"));
        }
    }
    Ok(())
}

#[test]
fn a_sweep_passes_a_toy_that_syncs_and_visits_every_event() {
    let trace = toy(Forgotten::Nothing);
    let report = sweep(&trace, u64::MAX, check);
    assert_eq!(report.failures, Vec::<String>::new());
    assert!(report.points > trace.events().len() as u64);
}

#[test]
fn a_sweep_finds_a_missing_sync_of_the_file_and_of_the_folder() {
    for forgotten in [Forgotten::FileSync, Forgotten::FolderSync] {
        let trace = toy(forgotten);
        for limit in [1, 1000] {
            let report = sweep(&trace, limit, check);
            let first = report.failures.first().expect("it loses bytes");
            assert!(
                first.contains("is lost") && first.contains("events"),
                "{first}"
            );
        }
    }
}

#[test]
fn a_panic_of_the_check_is_a_bad_point_with_its_text() {
    let report = sweep(&toy(Forgotten::Nothing), u64::MAX, |point| {
        assert!(point.event_count < 20, "the check broke");
        Ok(())
    });
    assert!(!report.failures.is_empty());
    assert!(
        report
            .failures
            .iter()
            .all(|text| text.contains("the check broke"))
    );
}

#[test]
fn a_limit_samples_evenly_and_keeps_one_point_of_each_event() {
    let trace = toy(Forgotten::FileSync);
    let seen: Vec<AtomicU64> = trace.events().iter().map(|_| AtomicU64::new(0)).collect();
    let report = sweep(&trace, 50, |point| {
        seen[point.event_count - 1].fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) > 0));
    let events = trace.events().len() as u64;
    assert!(
        (events..events + 100).contains(&report.points),
        "{}",
        report.points
    );
}
