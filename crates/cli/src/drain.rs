//! `disk drain`: what a disk has moves to others, and a person may wait until nothing is left.

use std::time::Duration;

use strongroom_admin_api::{ApiError, DiskChanged, Disks, DrainStatus, NoParameters};
use strongroom_base::tasks;

use crate::command::DiskDrain;
use crate::disk::{request, shown};
use crate::progress::Progress;
use crate::show::{escaped, size};
use crate::{Admin, CliError};

/// Time between two looks at a drain that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) async fn drain(admin: &Admin, flags: &DiskDrain) -> Result<String, CliError> {
    let under_way = match flags.wait {
        true => under_way(&admin.disks(&NoParameters {}).await?, &flags.disk),
        false => None,
    };
    let changed = match under_way {
        Some(changed) => changed,
        None => admin.drain_disk(&request(&flags.disk)).await?,
    };
    if flags.wait {
        wait(admin, &changed).await?;
    }
    Ok(shown(flags.connect.json, &changed, || {
        if flags.wait {
            emptied_text(&changed)
        } else {
            drained_text(&changed)
        }
    }))
}

/// The disk with this id or folder, when it is being drained already. `None` too when several have
/// the folder: the server says so.
fn under_way(disks: &Disks, disk: &str) -> Option<DiskChanged> {
    let mut found = disks
        .disks
        .iter()
        .filter(|entry| entry.disk.id == disk || entry.disk.folder == disk);
    let (entry, None) = (found.next()?, found.next()) else {
        return None;
    };
    entry.disk.drain.as_ref().map(|_| DiskChanged {
        id: entry.disk.id.clone(),
        zone: entry.zone.clone(),
        folder: entry.disk.folder.clone(),
    })
}

/// Until nothing is on the disk.
async fn wait(admin: &Admin, disk: &DiskChanged) -> Result<(), CliError> {
    let mut progress = Progress::new();
    loop {
        let disks = admin.disks(&NoParameters {}).await?;
        let mut found = disks.disks.into_iter().map(|entry| entry.disk);
        let drain = found
            .find(|found| found.id == disk.id)
            .and_then(|found| found.drain);
        let Some(drain) = drain else {
            let message = format!("{} is not being drained any more", disk.folder);
            return Err(ApiError::invalid(message).into());
        };
        progress.draw("drain", &step(&drain));
        if drain.segments_left == Some(0) {
            return Ok(());
        }
        tasks::sleep(LOOK_INTERVAL).await;
    }
}

/// One line of how far a drain is.
fn step(drain: &DrainStatus) -> String {
    let Some(left) = drain.bytes_left else {
        return "looking at what is on the disk".to_owned();
    };
    let waits = match &drain.waits_for {
        Some(reason) => format!(", waits: {}", escaped(reason)),
        None => String::new(),
    };
    format!(
        "{} moved, {} left in {} segments{waits}",
        size(drain.bytes_moved),
        size(left),
        drain.segments_left.unwrap_or_default()
    )
}

fn drained_text(changed: &DiskChanged) -> String {
    let (zone, folder) = (escaped(&changed.zone), escaped(&changed.folder));
    format!(
        "{folder} gets no new shards; those it has move to other disks of zone {zone}.\n\
         `strongroom disks` shows what is left; then `strongroom disk remove {folder}` takes it \
         out of the store.\n"
    )
}

fn emptied_text(changed: &DiskChanged) -> String {
    let folder = escaped(&changed.folder);
    format!("Nothing is on {folder} any more: `strongroom disk remove {folder}` takes it out.\n")
}

#[cfg(test)]
mod tests {
    use strongroom_admin_api::{DiskInZone, DiskStatus};

    use super::*;

    #[test]
    fn a_drain_is_told_with_what_is_left_and_what_it_waits_for() {
        let mut drain = DrainStatus {
            bytes_moved: 1024,
            ..DrainStatus::default()
        };
        assert_eq!(step(&drain), "looking at what is on the disk");
        drain.segments_left = Some(3);
        drain.bytes_left = Some(2048);
        assert_eq!(step(&drain), "1.0 KiB moved, 2.0 KiB left in 3 segments");
        drain.waits_for = Some("no\u{1b}space".to_owned());
        assert!(step(&drain).ends_with("waits: no\\u{1b}space"));
    }

    #[test]
    fn a_drain_that_is_under_way_is_waited_for_and_not_ordered_again() {
        let entry = |id: &str, folder: &str, is_drained: bool| DiskInZone {
            zone: "a".to_owned(),
            disk: DiskStatus {
                id: id.to_owned(),
                folder: folder.to_owned(),
                drain: is_drained.then(DrainStatus::default),
                ..DiskStatus::default()
            },
        };
        let disks = Disks {
            disks: vec![
                entry("1", "/mnt/a", true),
                entry("2", "/mnt/b", false),
                entry("3", "/mnt/c", true),
                entry("4", "/mnt/c", true),
            ],
        };
        assert_eq!(under_way(&disks, "/mnt/a").unwrap().id, "1");
        assert_eq!(under_way(&disks, "1").unwrap().folder, "/mnt/a");
        assert_eq!(under_way(&disks, "/mnt/b"), None);
        assert_eq!(under_way(&disks, "/mnt/c"), None);
        assert_eq!(under_way(&disks, "/mnt/d"), None);
    }
}
