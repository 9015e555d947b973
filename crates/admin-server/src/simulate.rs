//! What would be left if disks were lost: reads the question, and judges the members.
//!
//! The rules are those of the acknowledgement (RFC 0001): writes need a majority of the members, each in
//! service with a disk; what a member keeps in its log is lost with the disk that its log is on.
//!
//! Invariants
//! - The answer is the truth or worse, never better: a disk that is out now is not counted on.

use std::collections::BTreeSet;

use strongroom_admin_api::{
    ApiError, EngineStatus, LevelCount, LostDisk, Result, SIMULATE_PAGE_MAX, SimulateRequest,
    Simulated, ZoneStatus,
};
use strongroom_objects::{Contents, DiskIds, Level, Objects, SimulatedPage};

use crate::service::{limit, refusal};
use crate::upkeep::blob_id;

/// Answers for one page.
pub(crate) async fn simulate(
    objects: &Objects,
    store: &EngineStatus,
    request: SimulateRequest,
) -> Result<Simulated> {
    let lost = lost_disks(&request.lose, &store.zones)?;
    let after = request.after.as_deref().map(blob_id).transpose()?;
    let limit = limit(request.limit, SIMULATE_PAGE_MAX, SIMULATE_PAGE_MAX)?;
    let mut ids = DiskIds::new();
    for disk in &lost {
        ids.insert(blob_id(&disk.id)?.0);
    }
    let page = objects.simulate(after, limit as usize, &ids).await;
    let page = page.map_err(refusal)?;
    let mut answer = judged(lost, &store.zones);
    answer.levels = levels(&page, &answer);
    answer.next = page.next.map(|blob| blob.to_string());
    Ok(answer)
}

/// The disks that are named, each once.
fn lost_disks(lose: &str, zones: &[ZoneStatus]) -> Result<Vec<LostDisk>> {
    let mut ids = BTreeSet::new();
    for word in lose.split(',') {
        let named = match word.split_once('=') {
            Some(("zone", name)) => zones
                .iter()
                .find(|zone| zone.name == name)
                .map(|zone| zone.disks.iter().map(|disk| disk.id.as_str()).collect()),
            Some(("disk", name)) => one_disk(name, zones).map(|id| vec![id]),
            _ => {
                let message =
                    format!("lose `{word}`: write zone=NAME or disk=FOLDER, apart by commas");
                return Err(ApiError::invalid(message));
            }
        };
        let named: Option<Vec<&str>> = named;
        let Some(named) = named else {
            let message =
                format!("lose `{word}`: the store has none of that name, see strongroom disks");
            return Err(ApiError::invalid(message));
        };
        ids.extend(named);
    }
    let disks = zones
        .iter()
        .flat_map(|zone| zone.disks.iter().map(move |disk| (zone, disk)));
    let lost = disks.filter(|(_, disk)| ids.contains(disk.id.as_str()));
    Ok(lost
        .map(|(zone, disk)| LostDisk {
            zone: zone.name.clone(),
            folder: disk.folder.clone(),
            id: disk.id.clone(),
        })
        .collect())
}

fn one_disk<'a>(name: &str, zones: &'a [ZoneStatus]) -> Option<&'a str> {
    let mut disks = zones.iter().flat_map(|zone| &zone.disks);
    let disk = disks.find(|disk| disk.folder == name || disk.id == name)?;
    Some(&disk.id)
}

/// What is left of the members and their logs.
fn judged(lost: Vec<LostDisk>, zones: &[ZoneStatus]) -> Simulated {
    let is_left = |id: &str| lost.iter().all(|disk| disk.id != id);
    let disks = || zones.iter().flat_map(|zone| &zone.disks);
    let (members, left) = match zones {
        [zone] => {
            let left = zone.disks.iter().filter(|d| d.in_service && is_left(&d.id));
            (zone.disks.len(), left.count())
        }
        _ => {
            let has_disk = |zone: &&ZoneStatus| {
                let mut disks = zone.disks.iter();
                zone.in_service && disks.any(|disk| disk.in_service && is_left(&disk.id))
            };
            (zones.len(), zones.iter().filter(has_disk).count())
        }
    };
    let needed = members / 2 + 1;
    let logs = disks().filter(|disk| disk.log).count();
    let logs_left = disks().filter(|disk| disk.log && is_left(&disk.id)).count();
    let readable = logs_left > 0;
    let writable = readable && left >= needed;
    let reason = match (readable, writable) {
        (true, true) => None,
        (true, false) => Some(format!(
            "{left} of {members} members would be left, and writes need {needed}"
        )),
        (false, _) => Some("no copy of the commit log would be left".to_owned()),
    };
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Simulated {
        disks: lost,
        readable,
        writable,
        reason,
        members_left: count(left),
        members_needed: count(needed),
        log_copies_left: count(logs_left),
        log_copies: count(logs),
        levels: Vec::new(),
        next: None,
    }
}

/// How contents in the log would stand.
const fn log_level(answer: &Simulated) -> Level {
    match (answer.log_copies_left, answer.log_copies) {
        (0, _) => Level::Lost,
        (left, all) if left == all => Level::Full,
        (1, _) => Level::Critical,
        _ => Level::Reduced,
    }
}

fn levels(page: &SimulatedPage, answer: &Simulated) -> Vec<LevelCount> {
    let in_log = log_level(answer);
    let level = |level: Level| {
        let mut count = page.levels.get(&level).copied().unwrap_or_default();
        if level == in_log {
            let Contents { count: more, bytes } = page.in_log;
            count.count += more;
            count.bytes += bytes;
        }
        LevelCount {
            level: level.name().to_owned(),
            blobs: count.count,
            bytes: count.bytes,
        }
    };
    Level::ALL.map(level).into()
}

#[cfg(test)]
mod tests {
    use strongroom_admin_api::DiskStatus;

    use super::*;

    fn zones(zones: usize, disks: usize) -> Vec<ZoneStatus> {
        let zone = |z: usize| ZoneStatus {
            name: format!("z{z}"),
            in_service: true,
            disks: (0..disks)
                .map(|d| DiskStatus {
                    folder: format!("/mnt/{z}{d}"),
                    id: format!("{z:016x}{d:016x}"),
                    in_service: true,
                    log: d == 0 || zones == 1,
                    ..DiskStatus::default()
                })
                .collect(),
            ..ZoneStatus::default()
        };
        (0..zones).map(zone).collect()
    }

    fn without(lose: &str, zones: &[ZoneStatus]) -> Simulated {
        judged(lost_disks(lose, zones).unwrap(), zones)
    }

    #[test]
    fn a_zone_and_a_disk_of_three_zones_leave_reads_and_writes() {
        let three = zones(3, 2);
        let found = without("zone=z0,disk=/mnt/11", &three);
        assert!(found.readable && found.writable, "{found:?}");
        assert_eq!((found.members_left, found.log_copies_left), (2, 2));
        assert_eq!(found.disks.len(), 3);
        // The disk with the log: its member goes on with the other, the copy is gone.
        let found = without("zone=z0,disk=/mnt/10", &three);
        assert!(found.writable, "{found:?}");
        assert_eq!((found.members_left, found.log_copies_left), (2, 1));
        assert_eq!(log_level(&found), Level::Critical);
    }

    #[test]
    fn two_of_three_zones_leave_reads_alone() {
        let found = without("zone=z0,zone=z2", &zones(3, 1));
        assert!(found.readable && !found.writable);
        assert!(found.reason.unwrap().contains("1 of 3 members"));
        let found = without("zone=z0", &zones(2, 1));
        assert!(found.readable && !found.writable);
        let found = without("zone=z0,zone=z1,zone=z2", &zones(3, 1));
        assert!(!found.readable && log_level(&found) == Level::Lost);
    }

    #[test]
    fn disks_that_are_out_now_are_not_counted_on() {
        let mut three = zones(3, 1);
        three[1].in_service = false;
        three[1].disks[0].in_service = false;
        three[1].disks[0].log = false;
        assert!(!without("zone=z0", &three).writable);
        assert_eq!(without("zone=z1", &three).log_copies_left, 2);
    }

    #[test]
    fn a_store_of_one_zone_counts_disks() {
        let one = zones(1, 3);
        assert!(without("disk=/mnt/00", &one).writable);
        assert!(!without("disk=/mnt/00,disk=/mnt/01", &one).writable);
        assert!(!without("zone=z0", &one).readable);
    }

    #[test]
    fn what_is_not_there_can_not_be_lost() {
        for lose in [
            "",
            "z0",
            "zone=",
            "zone=q",
            "disk=/mnt/99",
            "zone=z0,",
            "node=z0",
        ] {
            let error = lost_disks(lose, &zones(3, 1)).unwrap_err();
            assert!(error.message.starts_with("lose `"), "{lose}: {error}");
        }
    }
}
