//! What the doctor looks at, one function for each check.

use std::collections::BTreeMap;

use strongroom_admin_api::{DiskStatus, EngineStatus, Topology};

use super::{Facts, Finding, Level, overdue};
use crate::show::{size, span};

/// Free share of a disk below which the operator should make room: weeks, mostly, to buy disks.
const FREE_SHARE_WARNING: f64 = 0.15;
/// And below which writes are about to be refused.
const FREE_SHARE_CRITICAL: f64 = 0.05;
/// Difference of clocks that is odd between machines that are kept on time.
const CLOCK_WARNING_SECONDS: u64 = 5;
/// A third of what signatures allow (15 minutes).
const CLOCK_CRITICAL_SECONDS: u64 = 300;
/// How far the clock may be behind what it was: a correction of a time service is smaller.
const LOCK_CLOCK_BEHIND_SECONDS: u64 = 60;
/// Zones from which the loss of one neither loses data nor stops writes.
const ZONES_FOR_LOSS: usize = 3;

/// Every check.
pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings = service(facts);
    if let Some(store) = &facts.status.store {
        findings.extend(zones(store));
        findings.extend(redundancy(store));
        findings.extend(space(store));
        findings.extend(lock_clock(store));
    }
    if let Some(topology) = &facts.topology {
        findings.extend(survival(topology, &facts.status.survives));
        findings.extend(devices(topology));
        findings.extend(spares(topology));
        findings.extend(clock(topology, facts.own_time_seconds));
    }
    findings.extend(overdue::all(facts));
    findings
}

fn service(facts: &Facts) -> Vec<Finding> {
    let status = &facts.status;
    let reason = status.reason.as_deref().unwrap_or("no reason was given");
    let next = "see the log of the server, and docs/operations/README.md";
    let critical = |what: &str| {
        vec![Finding::at(
            Level::Critical,
            "service",
            format!("{what}: {reason}"),
            next,
        )]
    };
    match (status.readable, status.writable) {
        (false, _) => critical("neither reads nor writes are served"),
        (true, false) => critical("writes are refused, reads are served"),
        (true, true) => vec![Finding::ok("service", "reads and writes are served")],
    }
}

fn zones(store: &EngineStatus) -> Vec<Finding> {
    let mut findings = Vec::new();
    for zone in &store.zones {
        let out: Vec<&DiskStatus> = zone.disks.iter().filter(|disk| !disk.in_service).collect();
        let reason = |reason: &Option<String>| reason.clone().unwrap_or("no reason".to_owned());
        if !zone.in_service {
            findings.push(Finding::at(
                Level::Critical,
                "zones",
                format!(
                    "zone {} is out of service: {}",
                    zone.name,
                    reason(&zone.reason)
                ),
                "bring its disks back: docs/operations/zone-dies.md",
            ));
        }
        for disk in out {
            findings.push(Finding::at(
                Level::Warning,
                "disks",
                format!(
                    "disk {} of zone {} is out of service: {}",
                    disk.folder,
                    zone.name,
                    reason(&disk.reason)
                ),
                "bring it back or replace it: docs/operations/disk-dies.md",
            ));
        }
    }
    if findings.is_empty() {
        let disks: usize = store.zones.iter().map(|zone| zone.disks.len()).sum();
        let zones = store.zones.len();
        findings.push(Finding::ok(
            "zones",
            format!("all in service: {zones} zones, {disks} disks"),
        ));
    }
    findings
}

fn redundancy(store: &EngineStatus) -> Vec<Finding> {
    vec![match store.blobs_reduced {
        None => Finding::at(
            Level::Warning,
            "redundancy",
            "the index did not say how many blobs are reduced",
            "ask again; if it stays so, a disk hangs: strongroom disks",
        ),
        Some(0) => Finding::ok("redundancy", "no blob was left with less than asked for"),
        Some(blobs) => Finding::at(
            Level::Warning,
            "redundancy",
            format!("{blobs} blobs were written while disks were out and have less redundancy"),
            "bring every disk back: they are spread again by themselves, strongroom status counts \
             down",
        ),
    }]
}

#[allow(clippy::cast_precision_loss)]
fn space(store: &EngineStatus) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut least: Option<(f64, u64)> = None;
    for disk in store.zones.iter().flat_map(|zone| &zone.disks) {
        let (Some(free), Some(total)) = (disk.bytes_free, disk.bytes_total) else {
            if disk.in_service {
                findings.push(Finding::at(
                    Level::Warning,
                    "space",
                    format!("disk {} does not say how much space it has", disk.folder),
                    "ask again; if it stays so, the disk hangs",
                ));
            }
            continue;
        };
        let share = free as f64 / total.max(1) as f64;
        least = Some(least.map_or((share, free), |least| {
            if share < least.0 {
                (share, free)
            } else {
                least
            }
        }));
        let level = match share {
            share if share < FREE_SHARE_CRITICAL => Level::Critical,
            share if share < FREE_SHARE_WARNING => Level::Warning,
            _ => continue,
        };
        let (free, total) = (size(free), size(total));
        findings.push(Finding::at(
            level,
            "space",
            format!("disk {} has {free} of {total} free", disk.folder),
            "delete what is not needed, or add space: docs/operations/store-full.md",
        ));
    }
    if let (true, Some((share, free))) = (findings.is_empty(), least) {
        let percent = share * 100.0;
        let free = size(free);
        findings.push(Finding::ok(
            "space",
            format!("at least {percent:.0} % free on each disk ({free} on the fullest)"),
        ));
    }
    findings
}

/// AZ04: fewer than three zones are never taken for three.
fn survival(topology: &Topology, survives: &str) -> Vec<Finding> {
    if topology.zones.len() < ZONES_FOR_LOSS {
        return vec![Finding::at(
            Level::Warning,
            "survives",
            format!("zone-loss protection: none. {survives}"),
            "give the store three zones or more, on disks of their own",
        )];
    }
    vec![Finding::ok("survives", survives)]
}

/// Devices that hold more than one folder.
fn devices(topology: &Topology) -> Vec<Finding> {
    let mut folders: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    let mut findings = Vec::new();
    for zone in &topology.zones {
        for disk in &zone.disks {
            if disk.devices.is_empty() {
                findings.push(Finding::at(
                    Level::Warning,
                    "devices",
                    format!("folder {} of zone {} is not there", disk.folder, zone.name),
                    "mount its disk; a folder that is not mounted is not formatted",
                ));
            }
            for device in &disk.devices {
                let found = folders.entry(device.as_str()).or_default();
                found.push((&zone.name, &disk.folder));
            }
        }
    }
    for (device, on) in folders.into_iter().filter(|(_, on)| on.len() > 1) {
        let mut zones: Vec<&str> = on.iter().map(|(zone, _)| *zone).collect();
        zones.dedup();
        let folders: Vec<&str> = on.iter().map(|(_, folder)| *folder).collect();
        let folders = folders.join(", ");
        let message = match &zones[..] {
            [zone] => {
                format!("in zone {zone}, {folders} share the device {device} and fail together")
            }
            zones => format!(
                "zones {} share the device {device} and are lost together: {folders}",
                zones.join(", ")
            ),
        };
        findings.push(Finding::at(
            Level::Warning,
            "devices",
            message,
            "give each folder a disk of its own, and each zone what fails alone",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            "devices",
            "each folder is on devices of its own",
        ));
    }
    findings
}

/// Whether a zone can rebuild a dead disk by itself.
fn spares(topology: &Topology) -> Vec<Finding> {
    let needed = usize::try_from(topology.shards_per_zone).unwrap_or(usize::MAX);
    let without: Vec<&str> = topology
        .zones
        .iter()
        .filter(|zone| zone.disks.len() <= needed)
        .map(|zone| zone.name.as_str())
        .collect();
    if without.is_empty() {
        return Vec::new();
    }
    vec![Finding {
        next: Some(
            "one disk more in each zone than shards makes repair independent of people".to_owned(),
        ),
        ..Finding::ok(
            "spares",
            format!(
                "a dead disk of zone {} can not be rebuilt until it is replaced: every disk there \
                 has a shard of each object",
                without.join(", ")
            ),
        )
    }]
}

/// OL43, H60.
fn lock_clock(store: &EngineStatus) -> Vec<Finding> {
    let Some(lock) = &store.lock_clock else {
        return Vec::new();
    };
    let (time, clock) = (lock.time_unix_seconds, lock.clock_unix_seconds);
    if lock.held {
        return vec![Finding::at(
            Level::Warning,
            "locks",
            format!(
                "the server's clock is {} ahead of the time that can have passed: locks do not expire \
                 by it",
                span(clock.saturating_sub(time))
            ),
            "compare the server's clock with one you trust; if it is right: strongroom lock confirm-clock \
             TIME; if not, set it",
        )];
    }
    let behind = time.saturating_sub(clock);
    if behind >= LOCK_CLOCK_BEHIND_SECONDS {
        return vec![Finding::at(
            Level::Warning,
            "locks",
            format!(
                "the server's clock is {} behind the time that locks expire by; they wait for it",
                span(behind)
            ),
            "set the server's clock",
        )];
    }
    vec![Finding::ok("locks", "locks expire by the server's clock")]
}

fn clock(topology: &Topology, own: u64) -> Vec<Finding> {
    let difference = topology.time_unix_seconds.abs_diff(own);
    let next = "keep both machines on time (chrony, systemd-timesyncd)";
    let message = format!(
        "the server's clock is {} from the clock here; clients beyond 15 minutes are refused",
        span(difference)
    );
    let level = match difference {
        0..=CLOCK_WARNING_SECONDS => Level::Ok,
        _ if difference > CLOCK_CRITICAL_SECONDS => Level::Critical,
        _ => Level::Warning,
    };
    if level > Level::Ok {
        return vec![Finding::at(level, "clock", message, next)];
    }
    vec![match topology.clock_synchronized {
        Some(true) => Finding::ok("clock", "a time service keeps the server's clock"),
        Some(false) => Finding::at(
            Level::Warning,
            "clock",
            "the time service of the server has not reached its source",
            "look at it: timedatectl timesync-status",
        ),
        None => Finding::ok(
            "clock",
            "as here; no time service that is known runs on the server",
        ),
    }]
}
