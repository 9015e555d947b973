//! `disk`: change of hardware.

use strongroom_admin_api::{
    AddDiskRequest, DiskChanged, DiskJoined, DiskRequest, ReplaceDiskRequest,
};

use crate::command::{Disk, DiskAdd, DiskReplace};
use crate::show::escaped;
use crate::upkeep::repair_wait;
use crate::{Admin, CliError, drain, json_text};

/// A disk that came in is empty: people should know where to see that it no longer is.
const REBUILT: &str = "The shards of the old disk are made anew on it: `strongroom repair status` \
                       shows how far that is.\n";
/// The same after waiting for it.
const WHOLE: &str = "The shards of the old disk were made anew, and everything is full.\n";

pub(crate) async fn disk(admin: &Admin, flags: &Disk) -> Result<String, CliError> {
    let json = flags.connect().json;
    match flags {
        Disk::Replace(flags) => {
            let joined = replace(admin, flags).await?;
            if flags.wait {
                repair_wait(admin).await?;
            }
            let told = if flags.wait { WHOLE } else { REBUILT };
            Ok(shown(json, &joined, || {
                joined_text(&joined, &replaced_next(flags, &joined)) + told
            }))
        }
        Disk::Add(flags) => {
            let joined = add(admin, flags).await?;
            Ok(shown(json, &joined, || {
                joined_text(&joined, &added_next(&joined))
            }))
        }
        Disk::Drain(flags) => drain::drain(admin, flags).await,
        Disk::Keep(one) => {
            let changed = admin.keep_disk(&request(&one.disk)).await?;
            Ok(shown(json, &changed, || {
                format!("{} takes new shards again.\n", escaped(&changed.folder))
            }))
        }
        Disk::Remove(one) => {
            let changed = admin.remove_disk(&request(&one.disk)).await?;
            Ok(shown(json, &changed, || removed_text(&changed)))
        }
    }
}

pub(crate) fn request(disk: &str) -> DiskRequest {
    DiskRequest {
        disk: disk.to_owned(),
    }
}

pub(crate) fn shown<T: serde::Serialize>(
    json: bool,
    answer: &T,
    text: impl FnOnce() -> String,
) -> String {
    if json { json_text(answer) } else { text() }
}

async fn replace(admin: &Admin, flags: &DiskReplace) -> Result<DiskJoined, CliError> {
    let request = ReplaceDiskRequest {
        disk: flags.disk.clone(),
        folder: flags.folder.clone(),
        force: flags.force.then_some(true),
    };
    admin.replace_disk(&request).await
}

async fn add(admin: &Admin, flags: &DiskAdd) -> Result<DiskJoined, CliError> {
    let request = AddDiskRequest {
        zone: flags.zone.clone(),
        folder: flags.folder.clone(),
    };
    admin.add_disk(&request).await
}

fn joined_text(joined: &DiskJoined, next: &str) -> String {
    let (zone, folder) = (escaped(&joined.zone), escaped(&joined.folder));
    format!(
        "{folder} is a disk of zone {zone} now, with the id {}.\n{next}\n",
        joined.id
    )
}

fn replaced_next(flags: &DiskReplace, joined: &DiskJoined) -> String {
    let (zone, folder) = (escaped(&joined.zone), escaped(&joined.folder));
    match flags.disk == joined.folder {
        true => format!("The next start needs no other flags for zone {zone}."),
        false => {
            format!(
                "From the next start on give {folder} in place of the old folder of zone {zone}."
            )
        }
    }
}

fn added_next(joined: &DiskJoined) -> String {
    let (zone, folder) = (escaped(&joined.zone), escaped(&joined.folder));
    format!("From the next start on give {folder} to zone {zone} as well.")
}

fn removed_text(changed: &DiskChanged) -> String {
    let (zone, folder) = (escaped(&changed.zone), escaped(&changed.folder));
    format!(
        "{folder} is no disk of the store any more. From the next start on leave it out of zone \
         {zone}.\n"
    )
}
