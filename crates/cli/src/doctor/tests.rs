use super::*;
use crate::doctor::flags::share;
use clap::Parser;
use strongroom_admin_api::{
    DiskStatus, DiskTopology, EngineStatus, LockClock, ZoneStatus, ZoneTopology,
};

const TIME: u64 = 1_800_000_000;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    doctor: Doctor,
}

fn flags(words: &[&str]) -> Doctor {
    let words = ["doctor"].iter().chain(words);
    Line::try_parse_from(words).unwrap().doctor
}

/// Three zones of two disks, everything in service, each disk a device of its own.
fn well() -> Facts {
    let mut status = Status {
        readable: true,
        writable: true,
        survives: "This configuration survives.".to_owned(),
        ..Status::default()
    };
    let mut topology = Topology {
        time_unix_seconds: TIME,
        clock_synchronized: Some(true),
        data_shards: 3,
        parity_shards: 3,
        shards_per_zone: 2,
        zones: Vec::new(),
    };
    let mut store = EngineStatus {
        blobs_reduced: Some(0),
        ..EngineStatus::default()
    };
    for zone in ["a", "b", "c"] {
        let folder = |disk: u32| format!("/mnt/{zone}{disk}");
        let disk = |number| DiskStatus {
            folder: folder(number),
            in_service: true,
            bytes_free: Some(50),
            bytes_total: Some(100),
            ..DiskStatus::default()
        };
        let device = |number| DiskTopology {
            folder: folder(number),
            file_system: Some(format!("8:{number}")),
            devices: vec![format!("sd{zone}{number}")],
        };
        store.zones.push(ZoneStatus {
            name: zone.to_owned(),
            in_service: true,
            disks: vec![disk(1), disk(2)],
            ..ZoneStatus::default()
        });
        topology.zones.push(ZoneTopology {
            name: zone.to_owned(),
            disks: vec![device(1), device(2)],
        });
    }
    status.store = Some(store);
    Facts {
        scrub: Some(ScrubStatus {
            period_seconds: 14 * 86_400,
            ..ScrubStatus::default()
        }),
        repair: Some(RepairStatus {
            walked: Some("2026-01-01T00:00:00Z".to_owned()),
            whole: true,
            ..RepairStatus::default()
        }),
        status,
        topology: Some(topology),
        own_time_seconds: TIME,
    }
}

fn store(facts: &mut Facts) -> &mut EngineStatus {
    facts.status.store.as_mut().unwrap()
}

fn topology(facts: &mut Facts) -> &mut Topology {
    facts.topology.as_mut().unwrap()
}

fn report(change: impl FnOnce(&mut Facts)) -> Report {
    let mut facts = well();
    change(&mut facts);
    examine(facts, &flags(&[])).unwrap()
}

/// The worst finding, which must be of this level and check, and say this.
fn worst(report: &Report, level: Level, check: &str, says: &str) {
    let first = &report.findings[0];
    assert_eq!((report.level, first.check), (level, check), "{first:?}");
    assert!(first.message.contains(says), "{first:?}");
    assert!(
        first.next.is_some(),
        "a finding without next step: {first:?}"
    );
}

#[test]
fn a_store_that_is_well_has_nothing_to_do() {
    let report = report(|_| {});
    assert_eq!(report.level, Level::Ok, "{report:?}");
    assert!(text(&report).starts_with("OK: nothing to do\n"));
    // What is not known is said.
    assert!(text(&report).contains("never verified"));
    for line in text(&report)
        .lines()
        .filter(|line| line.starts_with("OK  "))
    {
        assert!(line.len() > 30, "{line}");
    }
}

#[test]
fn a_store_that_does_not_serve_is_critical() {
    let stopped = report(|facts| {
        facts.status.writable = false;
        facts.status.reason = Some("1 of 3 zones".to_owned());
    });
    worst(
        &stopped,
        Level::Critical,
        "service",
        "writes are refused, reads are served: 1 of 3",
    );
    let opening = report(|facts| {
        facts.status.readable = false;
        facts.status.store = None;
        facts.topology = None;
    });
    worst(
        &opening,
        Level::Critical,
        "service",
        "neither reads nor writes",
    );
    assert_eq!(opening.durability, None);
}

#[test]
fn zones_and_disks_that_are_out_are_named_with_their_reason() {
    let zone = report(|facts| {
        let zone = &mut store(facts).zones[1];
        zone.in_service = false;
        zone.reason = Some("unplugged".to_owned());
    });
    worst(
        &zone,
        Level::Critical,
        "zones",
        "zone b is out of service: unplugged",
    );
    let disk = report(|facts| store(facts).zones[2].disks[0].in_service = false);
    worst(
        &disk,
        Level::Warning,
        "disks",
        "disk /mnt/c1 of zone c is out of service",
    );
}

#[test]
fn zones_on_one_device_are_told_apart_from_folders_of_one_zone() {
    let zones = report(|facts| {
        let shared = vec!["sda".to_owned()];
        topology(facts).zones[0].disks[0]
            .devices
            .clone_from(&shared);
        topology(facts).zones[2].disks[1].devices = shared;
    });
    worst(
        &zones,
        Level::Warning,
        "devices",
        "zones a, c share the device sda and are lost together",
    );
    let folders = report(|facts| {
        for disk in &mut topology(facts).zones[0].disks {
            disk.devices = vec!["sda".to_owned()];
        }
    });
    worst(
        &folders,
        Level::Warning,
        "devices",
        "in zone a, /mnt/a1, /mnt/a2 share",
    );
    let absent = report(|facts| topology(facts).zones[0].disks[0].devices.clear());
    worst(
        &absent,
        Level::Warning,
        "devices",
        "folder /mnt/a1 of zone a is not there",
    );
}

#[test]
fn space_warns_before_it_ends() {
    let free = |bytes| report(move |facts| store(facts).zones[0].disks[0].bytes_free = Some(bytes));
    worst(
        &free(14),
        Level::Warning,
        "space",
        "disk /mnt/a1 has 14 B of 100 B free",
    );
    worst(&free(4), Level::Critical, "space", "4 B of 100 B");
    assert_eq!(free(15).level, Level::Ok);
    let silent = report(|facts| store(facts).zones[0].disks[0].bytes_free = None);
    worst(&silent, Level::Warning, "space", "does not say");
}

#[test]
fn clocks_apart_are_told_before_clients_are_refused() {
    let apart = |seconds: u64| report(move |facts| facts.own_time_seconds = TIME + seconds);
    assert_eq!(apart(5).level, Level::Ok);
    worst(
        &apart(6),
        Level::Warning,
        "clock",
        "6 s from the clock here",
    );
    worst(&apart(301), Level::Critical, "clock", "5 m 1 s");
    let lost = report(|facts| topology(facts).clock_synchronized = Some(false));
    worst(&lost, Level::Warning, "clock", "has not reached its source");
}

// OL43, H60
#[test]
fn a_clock_that_locks_do_not_expire_by_is_told_with_what_to_do() {
    let with = |time_unix_seconds, clock_unix_seconds, held| {
        report(move |facts| {
            store(facts).lock_clock = Some(LockClock {
                time_unix_seconds,
                clock_unix_seconds,
                held,
            });
        })
    };
    assert_eq!(with(TIME, TIME, false).level, Level::Ok);
    assert_eq!(with(TIME + 59, TIME, false).level, Level::Ok);
    let behind = with(TIME + 60, TIME, false);
    worst(
        &behind,
        Level::Warning,
        "locks",
        "behind the time that locks expire by",
    );
    let held = with(TIME, TIME + 90_000, true);
    worst(
        &held,
        Level::Warning,
        "locks",
        "ahead of the time that can have passed",
    );
}

// AZ04
#[test]
fn fewer_than_three_zones_have_no_zone_loss_protection() {
    let two = report(|facts| {
        store(facts).zones.pop();
        let topology = topology(facts);
        topology.zones.pop();
        (topology.data_shards, topology.parity_shards) = (2, 2);
    });
    worst(
        &two,
        Level::Warning,
        "survives",
        "zone-loss protection: none",
    );
}

#[test]
fn blobs_with_less_redundancy_and_unknown_counts_are_warnings() {
    let reduced = report(|facts| store(facts).blobs_reduced = Some(7));
    worst(&reduced, Level::Warning, "redundancy", "7 blobs");
    let unknown = report(|facts| store(facts).blobs_reduced = None);
    worst(&unknown, Level::Warning, "redundancy", "did not say");
}

// AZ30
#[test]
fn the_figures_are_those_of_the_model_for_this_layout() {
    let found = report(|_| {}).durability.unwrap();
    assert_eq!((found.survives_zones, found.survives_disks), (1, 1));
    // 3+3 over three zones of two; the record adds what three copies lose, never verified.
    assert!(
        (found.bytes_loss_per_year / 4.96e-8 - 1.0).abs() < 0.01,
        "{found:?}"
    );
    assert!(
        (found.log_loss_per_year / 1.72e-10 - 1.0).abs() < 0.01,
        "{found:?}"
    );
    let better = examine(well(), &flags(&["--zone-loss", "0", "--repair-time", "4h"])).unwrap();
    assert!(better.durability.unwrap().bytes_loss_per_year < 1e-14);
    let plain = report(|facts| {
        let topology = topology(facts);
        topology.zones.truncate(1);
        topology.zones[0].disks.truncate(1);
        (
            topology.data_shards,
            topology.parity_shards,
            topology.shards_per_zone,
        ) = (1, 0, 1);
    });
    let message = plain
        .findings
        .iter()
        .find(|f| f.check == "durability")
        .unwrap();
    assert_eq!(message.level, Level::Warning, "{message:?}");
    let none = report(|facts| topology(facts).data_shards = 0);
    assert_eq!(none.durability, None);
}

#[test]
fn a_scrub_that_is_overdue_is_a_warning_and_its_age_goes_into_the_figures() {
    let aged = |days: u64| {
        report(move |facts| facts.scrub.as_mut().unwrap().age_seconds = Some(days * 86_400))
    };
    worst(&aged(29), Level::Warning, "verified", "ended 29 d 0 h ago");
    let fresh = aged(1);
    assert_eq!(fresh.level, Level::Ok);
    let (never, fresh) = (
        report(|_| {}).durability.unwrap(),
        fresh.durability.unwrap(),
    );
    assert!(fresh.loss_per_year < never.loss_per_year);
}

#[test]
fn shares_are_written_with_or_without_per_cent() {
    assert_eq!(share("1.5%"), Ok(0.015));
    assert_eq!(share("0.015"), Ok(0.015));
    assert_eq!(share("0"), Ok(0.0));
    for text in [
        "", "%", "100%", "1", "-1%", "nan", "inf", "1,5%", "+1%", "1.5 %",
    ] {
        assert!(share(text).is_err(), "{text}");
    }
}

#[test]
fn what_the_server_says_can_not_move_the_terminal() {
    let report = report(|facts| {
        store(facts).zones[0].disks[0].in_service = false;
        store(facts).zones[0].disks[0].reason = Some("\u{1b}[2Jgone".to_owned());
    });
    assert!(!text(&report).contains('\u{1b}'), "{}", text(&report));
}

#[test]
fn the_time_of_repair_is_the_wait_and_the_measured_rate() {
    let hours = |words: &[&str], rate: u64| {
        let mut facts = well();
        let repair = facts.repair.as_mut().unwrap();
        repair.bytes_per_second = rate;
        repair.levels = vec![strongroom_admin_api::LevelCount {
            level: "full".to_owned(),
            blobs: 1,
            bytes: 3600 * 1000,
        }];
        let report = examine(facts, &flags(words)).unwrap();
        let found = report.durability.unwrap();
        (found.disk_repair_hours, found.repair_bytes_per_second)
    };
    // Nothing was repaired yet: a day is assumed.
    assert_eq!(hours(&[], 0), (24.0, None));
    // Six shards on six disks: all content is read for one disk, and again to verify it.
    assert_eq!(hours(&[], 1000), (12.0 + 2.0, Some(1000)));
    assert_eq!(hours(&["--disk-wait", "1h"], 2000), (1.0 + 1.0, Some(2000)));
    assert_eq!(hours(&["--repair-time", "5h"], 1000), (5.0, None));
    let told = report(|facts| facts.repair.as_mut().unwrap().bytes_per_second = 1024);
    assert!(
        text(&told).contains("1.0 KiB/s as measured"),
        "{}",
        text(&told)
    );
}

#[test]
fn lost_objects_end_with_critical() {
    let found = report(|facts| {
        facts.repair.as_mut().unwrap().levels = vec![strongroom_admin_api::LevelCount {
            level: "lost".to_owned(),
            blobs: 4,
            bytes: 9,
        }];
    });
    worst(&found, Level::Critical, "standing", "4 objects or parts");
}
