//! `scrub` and `repair`.

use std::fmt::Write;

use strongroom_admin_api::{
    LostRequest, NoParameters, RepairPhase, RepairSetRequest, RepairStatus, ScrubStatus,
};

use crate::command::{Repair, RepairAction, Scrub, ScrubAction};
use crate::show::{Table, escaped, size, span};
use crate::{Admin, CliError, json_text};

const NO_PARAMETERS: NoParameters = NoParameters {};

pub(crate) async fn scrub(admin: &Admin, flags: &Scrub) -> Result<String, CliError> {
    let status = match &flags.action {
        ScrubAction::Status(_) => admin.scrub_status(&NO_PARAMETERS).await?,
        ScrubAction::Start(_) => admin.scrub_start(&NO_PARAMETERS).await?,
    };
    Ok(if flags.connect().json {
        json_text(&status)
    } else {
        scrub_text(&status)
    })
}

fn scrub_text(status: &ScrubStatus) -> String {
    let mut text = String::new();
    let line = |text: &mut String, name: &str, value: String| {
        let _ = writeln!(text, "{name:<10} {value}");
    };
    let ended = match (&status.ended, status.age_seconds) {
        (Some(ended), Some(age)) => format!("{ended}, {} ago", span(age)),
        _ => "never".to_owned(),
    };
    line(&mut text, "last pass", ended);
    line(&mut text, "period", span(status.period_seconds));
    let now = match (&status.begun, status.bytes_total) {
        (Some(begun), Some(total)) => format!(
            "since {begun}: {} of {}, {}/s",
            size(status.bytes.min(total)),
            size(total),
            size(status.bytes_per_second)
        ),
        (Some(begun), None) => format!("since {begun}: {}", size(status.bytes)),
        (None, _) => "no pass is under way".to_owned(),
    };
    line(&mut text, "now", now);
    line(
        &mut text,
        "found",
        format!(
            "{} bad shards of {} blobs, {} of them written anew, {} blobs lost",
            status.shards_bad, status.blobs, status.shards_repaired, status.blobs_lost
        ),
    );
    text
}

pub(crate) async fn repair(admin: &Admin, flags: &Repair) -> Result<String, CliError> {
    let status = match &flags.action {
        RepairAction::Status(_) => admin.repair_status(&NO_PARAMETERS).await?,
        RepairAction::Lost(_) => return lost(admin, flags.connect().json).await,
        RepairAction::Set(set) => {
            let request = RepairSetRequest {
                bytes_per_second_max: set.rate,
            };
            admin.repair_set(&request).await?
        }
    };
    Ok(if flags.connect().json {
        json_text(&status)
    } else {
        repair_text(&status)
    })
}

fn repair_text(status: &RepairStatus) -> String {
    let mut text = String::new();
    let Some(walked) = &status.walked else {
        return "the blobs were not walked over yet: ask again in a moment\n".to_owned();
    };
    let _ = writeln!(text, "as of {walked}\n");
    let mut table = Table::new(&["LEVEL", "BLOBS", "BYTES"], &[1, 2]);
    for level in &status.levels {
        table.row([
            level.level.clone(),
            level.blobs.to_string(),
            size(level.bytes),
        ]);
    }
    text.push_str(&table.text());
    for zone in &status.zones {
        let (name, blobs) = (escaped(&zone.zone), zone.blobs);
        let _ = writeln!(
            text,
            "zone {name}: shards of {blobs} blobs are missing, {}",
            size(zone.bytes)
        );
    }
    if let Some(since) = &status.since {
        let _ = writeln!(text, "not everything is full since {since}");
    }
    let done = format!(
        "{} of {} blobs, {} of {}, {}/s",
        status.blobs_done,
        status.blobs_total,
        size(status.bytes_done.min(status.bytes_total)),
        size(status.bytes_total),
        size(status.bytes_per_second)
    );
    let left = status
        .seconds_left
        .map(|seconds| format!(", {} left", span(seconds)))
        .unwrap_or_default();
    let _ = match status.phase {
        RepairPhase::Idle if status.whole => writeln!(text, "\neverything is full"),
        RepairPhase::Idle => writeln!(text, "\nno repair is under way"),
        RepairPhase::Repairing => writeln!(text, "\nrepairing: {done}{left}"),
        RepairPhase::Verifying => writeln!(text, "\nverifying: {done}{left}"),
    };
    if status.bytes_per_second_max > 0 {
        let _ = writeln!(text, "bound to {}/s", size(status.bytes_per_second_max));
    }
    for blob in &status.failed {
        let _ = writeln!(text, "could not be made whole: blob {}", escaped(blob));
    }
    text
}

async fn lost(admin: &Admin, json: bool) -> Result<String, CliError> {
    let mut request = LostRequest::default();
    let mut all = Vec::new();
    loop {
        let page = admin.repair_lost(&request).await?;
        all.extend(page.lost);
        request.after = page.next;
        if request.after.is_none() {
            break;
        }
    }
    if json {
        return Ok(json_text(&all));
    }
    let mut table = Table::new(
        &["BUCKET", "KEY", "VERSION", "BYTES", "SINCE", "BLOB"],
        &[3],
    );
    for lost in all {
        let version = lost.version_id.or(lost.upload_id);
        table.row([
            lost.bucket.unwrap_or_else(|| "-".to_owned()),
            lost.key.unwrap_or_else(|| "-".to_owned()),
            version.unwrap_or_else(|| "-".to_owned()),
            lost.bytes.to_string(),
            lost.since,
            lost.blob,
        ]);
    }
    Ok(table.text_or("nothing is lost"))
}

#[cfg(test)]
mod tests {
    use strongroom_admin_api::LevelCount;

    use super::*;

    #[test]
    fn repair_is_told_with_its_rate_and_what_is_left() {
        let mut status = RepairStatus {
            walked: Some("2026-01-01T00:00:00Z".to_owned()),
            levels: vec![LevelCount {
                level: "critical".to_owned(),
                blobs: 3,
                bytes: 2048,
            }],
            phase: RepairPhase::Verifying,
            blobs_done: 4,
            blobs_total: 6,
            bytes_done: 3072,
            bytes_total: 4096,
            bytes_per_second: 1024,
            seconds_left: Some(1),
            ..RepairStatus::default()
        };
        let text = repair_text(&status);
        assert!(text.contains("critical      3  2.0 KiB"), "{text}");
        let line = "verifying: 4 of 6 blobs, 3.0 KiB of 4.0 KiB, 1.0 KiB/s, 1 s left";
        assert!(text.contains(line), "{text}");
        status.phase = RepairPhase::Idle;
        assert!(repair_text(&status).contains("no repair is under way"));
        status.whole = true;
        assert!(repair_text(&status).contains("everything is full"));
    }

    #[test]
    fn a_scrub_that_never_ended_says_so() {
        let text = scrub_text(&ScrubStatus::default());
        assert!(text.starts_with("last pass  never\n"), "{text}");
    }
}
