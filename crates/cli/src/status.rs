//! `status`, `zones` and `disks`.

use std::fmt::Write;

use strongroom_admin_api::{
    DiskStatus, DrainStatus, EngineStatus, NoParameters, Status, ZoneSummary,
};

use crate::show::{Table, escaped, service, size, size_or_unknown, span};
use crate::{Admin, CliError, json_text};

const NO_PARAMETERS: NoParameters = NoParameters {};

pub(crate) async fn status(admin: &Admin, json: bool) -> Result<String, CliError> {
    let status = admin.status(&NO_PARAMETERS).await?;
    Ok(if json {
        json_text(&status)
    } else {
        status_text(&status)
    })
}

pub(crate) async fn zones(admin: &Admin, json: bool) -> Result<String, CliError> {
    let answer = admin.zones(&NO_PARAMETERS).await?;
    if json {
        return Ok(json_text(&answer));
    }
    let mut table = Table::new(
        &["ZONE", "SERVICE", "DISKS", "FREE", "SIZE", "REASON"],
        &[2, 3, 4],
    );
    for zone in answer.zones {
        table.row([
            zone.name.clone(),
            service(zone.in_service).to_owned(),
            format!("{}/{}", zone.disks_in_service, zone.disks),
            size(zone.bytes_free),
            size(zone.bytes_total),
            zone_note(&zone),
        ]);
    }
    Ok(table.text())
}

/// Why a zone is out, or how far it is emptied.
fn zone_note(zone: &ZoneSummary) -> String {
    let drain = zone.draining.then(|| match zone.blobs_left {
        Some(0) => "draining: nothing is known to be left, `zone remove` looks".to_owned(),
        Some(blobs) => format!("draining: {blobs} blobs left"),
        None => "draining".to_owned(),
    });
    let notes: Vec<String> = zone.reason.clone().into_iter().chain(drain).collect();
    notes.join("; ")
}

pub(crate) async fn disks(admin: &Admin, json: bool) -> Result<String, CliError> {
    let answer = admin.disks(&NO_PARAMETERS).await?;
    if json {
        return Ok(json_text(&answer));
    }
    let heading = ["ZONE", "FOLDER", "SERVICE", "FREE", "SIZE", "ID", "REASON"];
    let mut table = Table::new(&heading, &[3, 4]);
    for entry in answer.disks {
        let disk = entry.disk;
        let note = disk_note(&disk);
        table.row([
            entry.zone,
            disk.folder,
            service(disk.in_service).to_owned(),
            size_or_unknown(disk.bytes_free),
            size_or_unknown(disk.bytes_total),
            disk.id,
            note,
        ]);
    }
    Ok(table.text())
}

/// Why a disk is out, or how far it is emptied.
pub(crate) fn disk_note(disk: &DiskStatus) -> String {
    let drain = disk.drain.as_ref().map(drain_note);
    let notes: Vec<String> = disk.reason.clone().into_iter().chain(drain).collect();
    notes.join("; ")
}

fn drain_note(drain: &DrainStatus) -> String {
    let mut note = match (drain.segments_left, drain.bytes_left) {
        (Some(0), _) => "drained: it can be removed".to_owned(),
        (Some(_), Some(bytes)) => format!("draining: {} left", size_or_unknown(Some(bytes))),
        _ => "draining".to_owned(),
    };
    if let Some(why) = &drain.waits_for {
        let _ = write!(note, ", waits: {why}");
    }
    note
}

fn status_text(status: &Status) -> String {
    let mut text = String::new();
    let yes = |on: bool| if on { "yes" } else { "no" };
    let _ = writeln!(text, "version    {}", status.version);
    let _ = writeln!(text, "up         {}", span(status.uptime_seconds));
    let _ = writeln!(text, "reads      {}", yes(status.readable));
    let _ = writeln!(text, "writes     {}", yes(status.writable));
    if let Some(reason) = &status.reason {
        let _ = writeln!(text, "reason     {}", escaped(reason));
    }
    if let Some(store) = &status.store {
        store_text(&mut text, store);
    }
    let _ = writeln!(text, "\n{}", escaped(&status.survives));
    text
}

fn store_text(text: &mut String, store: &EngineStatus) {
    let _ = writeln!(text, "store      {}", store.store_id);
    let _ = writeln!(text, "generation {}", store.generation);
    let _ = writeln!(text, "position   {}", store.log_position);
    let _ = writeln!(
        text,
        "commits    {} in {} batches, {} log syncs, {} segment syncs",
        store.commits, store.batches, store.log_syncs, store.segment_syncs
    );
    if let Some(reduced) = store.blobs_reduced {
        let _ = writeln!(text, "reduced    {reduced} blobs");
    }
    let mut table = Table::new(
        &["ZONE", "SERVICE", "FREE", "SIZE", "FOLDER", "REASON"],
        &[2, 3],
    );
    for zone in &store.zones {
        table.row([
            zone.name.clone(),
            service(zone.in_service).to_owned(),
            String::new(),
            String::new(),
            String::new(),
            zone.reason.clone().unwrap_or_default(),
        ]);
        for disk in &zone.disks {
            table.row([
                String::new(),
                service(disk.in_service).to_owned(),
                size_or_unknown(disk.bytes_free),
                size_or_unknown(disk.bytes_total),
                disk.folder.clone(),
                disk_note(disk),
            ]);
        }
    }
    let _ = write!(text, "\n{}", table.text());
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_admin_api::ZoneStatus;

    #[test]
    fn the_table_shows_what_is_out_and_why() {
        let disk = DiskStatus {
            folder: "/mnt/b".to_owned(),
            reason: Some("failed: sync".to_owned()),
            bytes_free: Some(3 << 30),
            ..DiskStatus::default()
        };
        let zone = ZoneStatus {
            name: "b".to_owned(),
            disks: vec![disk],
            ..ZoneStatus::default()
        };
        let store = EngineStatus {
            zones: vec![zone],
            ..EngineStatus::default()
        };
        let text = status_text(&Status {
            store: Some(store),
            ..Status::default()
        });
        assert!(text.contains("b     out"), "{text}");
        assert!(
            text.contains("out      3.0 GiB     ?  /mnt/b  failed: sync"),
            "{text}"
        );
    }
}
