//! `scrub` and `repair`.

use std::fmt::Write;
use std::time::Duration;

use strongroom_admin_api::{
    LevelCount, Lost, LostPackedRequest, LostRequest, NoParameters, RepairPhase, RepairSetRequest,
    RepairStatus, ScrubStatus, Unprotected,
};
use strongroom_base::{Clock, SystemClock, tasks};

use crate::command::{Repair, RepairAction, Scrub, ScrubAction};
use crate::progress::{Progress, Step, bytes};
use crate::show::{Table, escaped, size, span};
use crate::{Admin, CliError, json_text};

/// How often a command that waits asks again.
const WAIT_POLL: Duration = Duration::from_secs(1);
const NO_PARAMETERS: NoParameters = NoParameters {};

pub(crate) async fn scrub(admin: &Admin, flags: &Scrub) -> Result<String, CliError> {
    let status = match &flags.action {
        ScrubAction::Status(_) => admin.scrub_status(&NO_PARAMETERS).await?,
        ScrubAction::Start(start) if start.wait => scrub_wait(admin).await?,
        ScrubAction::Start(_) => admin.scrub_start(&NO_PARAMETERS).await?,
    };
    Ok(if flags.connect().json {
        json_text(&status)
    } else {
        scrub_text(&status)
    })
}

/// Starts a pass and waits for its end.
async fn scrub_wait(admin: &Admin) -> Result<ScrubStatus, CliError> {
    let clock = SystemClock::new();
    let begun = clock.monotonic();
    admin.scrub_start(&NO_PARAMETERS).await?;
    let mut progress = Progress::new();
    loop {
        let status = admin.scrub_status(&NO_PARAMETERS).await?;
        if !status.asked {
            let waited = clock.monotonic().saturating_sub(begun) + WAIT_POLL;
            // A server that was started anew knows of no order.
            return match status.age_seconds {
                Some(age) if age <= waited.as_secs() => Ok(status),
                _ => Err(CliError::NoAnswer(
                    "the server was started anew meanwhile: start the pass again".to_owned(),
                )),
            };
        }
        progress.draw("scrub", &scrub_step(&status));
        tasks::sleep(WAIT_POLL).await;
    }
}

/// How far scrub is, in a line.
pub(crate) fn scrub_step(status: &ScrubStatus) -> String {
    let total = status.bytes_total.unwrap_or(0);
    let left = total.saturating_sub(status.bytes);
    bytes(Step {
        done: status.bytes,
        total,
        per_second: status.bytes_per_second,
        seconds_left: left.checked_div(status.bytes_per_second),
    })
}

/// How far repair is, in a line.
pub(crate) fn repair_step(status: &RepairStatus) -> String {
    bytes(Step {
        done: status.bytes_done,
        total: status.bytes_total,
        per_second: status.bytes_per_second,
        seconds_left: status.seconds_left,
    })
}

/// Waits until everything is full, or nothing more can be done by itself.
pub(crate) async fn repair_wait(admin: &Admin) -> Result<RepairStatus, CliError> {
    let mut progress = Progress::new();
    loop {
        let status = admin.repair_status(&NO_PARAMETERS).await?;
        if status.whole {
            return Ok(status);
        }
        let what = match status.phase {
            RepairPhase::Idle if !status.current => "looking at what the disks hold",
            RepairPhase::Idle => "waiting: shards are missing whose disks are out",
            RepairPhase::Repairing => "repairing",
            RepairPhase::Verifying => "verifying",
        };
        progress.draw(what, &repair_step(&status));
        tasks::sleep(WAIT_POLL).await;
    }
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
        RepairAction::Status(look) if look.wait => repair_wait(admin).await?,
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
    let class = escaped(&status.storage_class);
    let _ = writeln!(text, "as of {walked}, storage class {class}\n");
    if !status.current {
        text.push_str("The disks changed since then: what they hold is looked at again.\n\n");
    }
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
            "zone {name}: shards of {blobs} blobs are missing, {}{}",
            size(zone.bytes),
            zone_levels(&zone.levels)
        );
    }
    if let Some(since) = &status.since {
        let _ = writeln!(text, "not everything is full since {since}");
    }
    if let Some(oldest) = &status.oldest {
        let _ = writeln!(text, "the oldest of them: {}", unprotected(oldest));
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

/// `: 3 critical, 1 lost`
fn zone_levels(levels: &[LevelCount]) -> String {
    let some = levels.iter().filter(|level| level.blobs > 0);
    let words: Vec<String> = some
        .map(|level| format!("{} {}", level.blobs, escaped(&level.level)))
        .collect();
    match words.is_empty() {
        true => String::new(),
        false => format!(": {}", words.join(", ")),
    }
}

pub(crate) fn unprotected(oldest: &Unprotected) -> String {
    let written = &oldest.written;
    match (&oldest.bucket, &oldest.key) {
        (Some(bucket), Some(key)) => {
            let (bucket, key) = (escaped(bucket), escaped(key));
            format!("s3://{bucket}/{key}, written {written}")
        }
        _ => format!("blob {}, written {written}", escaped(&oldest.blob)),
    }
}

/// What was lost with packs, when there are such.
async fn lost_packed(admin: &Admin) -> Result<(Vec<Lost>, u64), CliError> {
    let (mut request, mut all, mut readable) = (LostPackedRequest::default(), Vec::new(), 0);
    loop {
        let page = admin.repair_lost_packed(&request).await?;
        all.extend(page.lost);
        readable += page.readable;
        request.after = page.next;
        if request.after.is_none() {
            return Ok((all, readable));
        }
    }
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
    let has_packs = all.iter().any(|lost| lost.key.is_none());
    let mut readable = 0;
    if has_packs {
        let (packed, left) = lost_packed(admin).await?;
        all.extend(packed);
        readable = left;
    }
    if json {
        return Ok(json_text(&all));
    }
    let mut table = Table::new(
        &["BUCKET", "KEY", "VERSION", "BYTES", "SINCE", "BLOB", "PACK"],
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
            lost.pack.unwrap_or_default(),
        ]);
    }
    let mut text = table.text_or("nothing is lost");
    if has_packs {
        let _ = writeln!(
            text,
            "\nentries without a key are packs of small objects; {readable} objects in them can be read"
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repair_is_told_with_its_rate_and_what_is_left() {
        let mut status = RepairStatus {
            walked: Some("2026-01-01T00:00:00Z".to_owned()),
            current: true,
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
        assert!(!repair_text(&status).contains("changed since"));
        (status.current, status.whole) = (false, false);
        let text = repair_text(&status);
        assert!(text.contains("The disks changed since then"), "{text}");
    }

    #[test]
    fn a_scrub_that_never_ended_says_so() {
        let text = scrub_text(&ScrubStatus::default());
        assert!(text.starts_with("last pass  never\n"), "{text}");
    }
}
