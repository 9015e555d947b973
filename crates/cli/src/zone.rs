//! `zone`: change of zones.

use strongroom_admin_api::{AddZoneRequest, ZoneChanged, ZoneRequest};

use crate::command::{Zone, ZoneAdd};
use crate::show::escaped;
use crate::{Admin, CliError, json_text, zone_drain};

pub(crate) async fn zone(admin: &Admin, flags: &Zone) -> Result<String, CliError> {
    let (changed, text): (_, fn(&ZoneChanged) -> String) = match flags {
        Zone::Add(flags) => (admin.add_zone(&added(flags)?).await?, added_text),
        Zone::Drain(flags) => (
            zone_drain::drain(admin, flags).await?,
            match flags.wait {
                true => zone_drain::emptied_text,
                false => drained_text,
            },
        ),
        Zone::Keep(one) => (admin.keep_zone(&request(&one.zone)).await?, kept_text),
        Zone::Remove(one) => (admin.remove_zone(&request(&one.zone)).await?, removed_text),
    };
    Ok(match flags.connect().json {
        true => json_text(&changed),
        false => text(&changed),
    })
}

pub(crate) fn request(zone: &str) -> ZoneRequest {
    ZoneRequest {
        zone: zone.to_owned(),
    }
}

/// The request for `NAME=DIR[,DIR...]`, written as for the server.
fn added(flags: &ZoneAdd) -> Result<AddZoneRequest, CliError> {
    let parts = flags.zone.split_once('=');
    let parts = parts.filter(|(name, folders)| !name.is_empty() && !folders.is_empty());
    let (name, folders) = parts.ok_or_else(|| {
        CliError::Usage(format!(
            "{} does not name a zone and its folders: write NAME=DIR or NAME=DIR,DIR",
            flags.zone
        ))
    })?;
    Ok(AddZoneRequest {
        zone: name.to_owned(),
        folders: folders.to_owned(),
    })
}

fn added_text(changed: &ZoneChanged) -> String {
    let (zone, folders) = (escaped(&changed.zone), escaped(&changed.folders.join(",")));
    format!(
        "{zone} is a zone of the store now. What is stored is spread over it in the background: \
         `strongroom repair status` shows how far that is.\n\
         From the next start on give --zone {zone}={folders} as well.\n"
    )
}

fn drained_text(changed: &ZoneChanged) -> String {
    let zone = escaped(&changed.zone);
    format!(
        "{zone} gets no new shards; what has some in it is written anew in the other zones.\n\
         `strongroom zones` shows how much is left; then `strongroom zone remove {zone}`.\n"
    )
}

fn kept_text(changed: &ZoneChanged) -> String {
    format!("{} takes new shards again.\n", escaped(&changed.zone))
}

fn removed_text(changed: &ZoneChanged) -> String {
    let zone = escaped(&changed.zone);
    format!("{zone} is no zone of the store any more. From the next start on leave it out.\n")
}
