//! `top`: the store, live in a terminal.
//!
//! A frame is text like any answer, drawn over the one before it. Rates are differences of two
//! looks at the counters. Nothing of the terminal is changed that an interrupt would leave behind:
//! no raw mode, no hidden cursor.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use strongroom_admin_api::{
    EngineStatus, NoParameters, RepairPhase, RepairStatus, ScrubStatus, Status,
};
use strongroom_base::{Clock, SystemClock, tasks};

use crate::command::{Connect, age};
use crate::show::{Table, escaped, service, size_or_unknown, span};
use crate::upkeep::{repair_step, scrub_step};
use crate::{Admin, CliError, json_text};

/// Width of the bar of used space.
const BAR_CELLS: u64 = 20;
/// Longest interval: a frame older than that shows nothing live.
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// What `top` takes.
#[derive(Debug, Args)]
pub struct Top {
    /// Print one frame and end
    #[arg(long)]
    pub once: bool,
    /// Time between frames, over which rates are counted
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    #[command(flatten)]
    pub connect: Connect,
}

fn interval(text: &str) -> Result<Duration, String> {
    match age(text)? {
        time if time.is_zero() || time > INTERVAL_MAX => Err("use a time from 1s to 1h".to_owned()),
        time => Ok(time),
    }
}

/// What happened in a second.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
struct Rates {
    commits: f64,
    batches: f64,
    log_syncs: f64,
    segment_syncs: f64,
}

#[derive(Serialize)]
struct Frame<'a> {
    per_second: Option<Rates>,
    status: &'a Status,
    repair: Option<&'a RepairStatus>,
    scrub: Option<&'a ScrubStatus>,
}

/// One look.
struct Look {
    status: Status,
    /// None while the store is being opened.
    upkeep: Option<(RepairStatus, ScrubStatus)>,
    at: Duration,
}

pub(crate) async fn top(admin: &Admin, flags: &Top) -> Result<String, CliError> {
    let mut out = std::io::stdout();
    if !flags.once && !flags.connect.json && !out.is_terminal() {
        let message = "top draws on a terminal: print one frame with --once";
        return Err(CliError::Usage(message.to_owned()));
    }
    let clock = SystemClock::new();
    let mut before = look(admin, &clock).await?;
    loop {
        tasks::sleep(flags.interval).await;
        let after = look(admin, &clock).await;
        if flags.once || flags.connect.json {
            return Ok(frame(&before, &after?, flags.connect.json));
        }
        match after {
            Ok(after) => {
                draw(&mut out, &frame(&before, &after, false));
                before = after;
            }
            // A server that restarts is a thing to watch, not a reason to end.
            Err(CliError::NoAnswer(reason)) => {
                draw(&mut out, &format!("no answer: {}\n", escaped(&reason)));
            }
            Err(error) => return Err(error),
        }
    }
}

async fn look(admin: &Admin, clock: &SystemClock) -> Result<Look, CliError> {
    let status = admin.status(&NoParameters {}).await?;
    let upkeep = match status.store {
        Some(_) => Some((
            admin.repair_status(&NoParameters {}).await?,
            admin.scrub_status(&NoParameters {}).await?,
        )),
        None => None,
    };
    let at = clock.monotonic();
    Ok(Look { status, upkeep, at })
}

/// Draws over the last frame: to the upper left, each line to its end, then what is left below.
fn draw(out: &mut impl std::io::Write, frame: &str) {
    let lines = frame.replace('\n', "\u{1b}[K\n");
    let _ = write!(out, "\u{1b}[H{lines}\u{1b}[J");
    let _ = out.flush();
}

fn frame(before: &Look, after: &Look, json: bool) -> String {
    let rates = rates(before, after);
    if json {
        return json_text(&Frame {
            per_second: rates,
            status: &after.status,
            repair: after.upkeep.as_ref().map(|(repair, _)| repair),
            scrub: after.upkeep.as_ref().map(|(_, scrub)| scrub),
        });
    }
    let status = &after.status;
    let mut text = format!(
        "strongroom {}  up {}  reads {}  writes {}\n",
        escaped(&status.version),
        span(status.uptime_seconds),
        if status.readable { "yes" } else { "NO" },
        if status.writable { "yes" } else { "NO" },
    );
    if let Some(reason) = &status.reason {
        let _ = writeln!(text, "{}", escaped(reason));
    }
    let Some(store) = &status.store else {
        text.push_str("the store is being opened\n");
        return text;
    };
    if let Some(rates) = rates {
        let _ = writeln!(
            text,
            "commits {:.0}/s  batches {:.0}/s  log syncs {:.0}/s  segment syncs {:.0}/s",
            rates.commits, rates.batches, rates.log_syncs, rates.segment_syncs
        );
    }
    let reduced = store
        .blobs_reduced
        .map_or("?".to_owned(), |blobs| blobs.to_string());
    let _ = writeln!(
        text,
        "log position {}  generation {}  reduced blobs {reduced}\n",
        store.log_position, store.generation
    );
    if let Some((repair, scrub)) = &after.upkeep {
        text.push_str(&upkeep(repair, scrub));
    }
    text.push_str(&disks(store));
    text
}

/// How all stands, and how far repair and scrub are.
fn upkeep(repair: &RepairStatus, scrub: &ScrubStatus) -> String {
    let some = repair.levels.iter().filter(|level| level.blobs > 0);
    let levels: Vec<String> = some
        .map(|level| format!("{} {}", level.level, level.blobs))
        .collect();
    let levels = match (&repair.walked, levels.is_empty()) {
        (None, _) => "not walked over yet".to_owned(),
        (_, true) => "none".to_owned(),
        _ => levels.join("  "),
    };
    let repairing = match repair.phase {
        RepairPhase::Idle if repair.whole => "everything is full".to_owned(),
        RepairPhase::Idle => "idle".to_owned(),
        RepairPhase::Repairing => format!("repairing {}", repair_step(repair)),
        RepairPhase::Verifying => format!("verifying {}", repair_step(repair)),
    };
    let last = match scrub.age_seconds {
        Some(age) => format!("last pass {} ago", span(age)),
        None => "no pass ended yet".to_owned(),
    };
    let scrubbing = match scrub.running {
        true => format!("{}; {last}", scrub_step(scrub)),
        false => last,
    };
    format!(
        "blobs   {}\nrepair  {repairing}\nscrub   {scrubbing}\n\n",
        escaped(&levels)
    )
}

fn disks(store: &EngineStatus) -> String {
    let heading = ["ZONE", "LOG", "DISK", "SERVICE", "USED", "FREE", "REASON"];
    let mut table = Table::new(&heading, &[5]);
    for zone in &store.zones {
        for (index, disk) in zone.disks.iter().enumerate() {
            let first = index == 0;
            let shown = |text: &str| {
                if first {
                    text.to_owned()
                } else {
                    String::new()
                }
            };
            table.row([
                shown(&zone.name),
                shown(service(zone.in_service)),
                disk.folder.clone(),
                service(disk.in_service).to_owned(),
                bar(disk.bytes_free, disk.bytes_total),
                size_or_unknown(disk.bytes_free),
                crate::status::disk_note(disk),
            ]);
        }
    }
    table.text()
}

/// `[#####...............] 25 %`
fn bar(free: Option<u64>, total: Option<u64>) -> String {
    let (Some(free), Some(total)) = (free, total) else {
        return "?".to_owned();
    };
    let used = u128::from(total.saturating_sub(free));
    let share = |of: u64| {
        let cells = used * u128::from(of) / u128::from(total.max(1));
        usize::try_from(cells).unwrap_or(usize::MAX)
    };
    let (full, percent) = (share(BAR_CELLS), share(100));
    let cells = usize::try_from(BAR_CELLS).unwrap_or(full);
    let empty = cells.saturating_sub(full);
    format!("[{}{}] {percent} %", "#".repeat(full), ".".repeat(empty))
}

/// None when there is no store, or when the process was started anew in between.
#[allow(clippy::cast_precision_loss)]
fn rates(before: &Look, after: &Look) -> Option<Rates> {
    let (old, new) = (before.status.store.as_ref()?, after.status.store.as_ref()?);
    if old.run != new.run {
        return None;
    }
    let seconds = after.at.checked_sub(before.at)?.as_secs_f64();
    if seconds <= 0.0 {
        return None;
    }
    let rate = |old: u64, new: u64| new.saturating_sub(old) as f64 / seconds;
    Some(Rates {
        commits: rate(old.commits, new.commits),
        batches: rate(old.batches, new.batches),
        log_syncs: rate(old.log_syncs, new.log_syncs),
        segment_syncs: rate(old.segment_syncs, new.segment_syncs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(commits: u64, run: u64, seconds: u64) -> Look {
        let store = EngineStatus {
            commits,
            run,
            ..EngineStatus::default()
        };
        Look {
            status: Status {
                store: Some(store),
                ..Status::default()
            },
            upkeep: None,
            at: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn rates_are_differences_of_one_run() {
        let found = rates(&look(10, 1, 5), &look(30, 1, 9)).unwrap();
        assert!((found.commits - 5.0).abs() < 1e-9);
        assert_eq!(rates(&look(10, 1, 5), &look(3, 2, 9)), None);
        assert_eq!(rates(&look(10, 1, 5), &look(30, 1, 5)), None);
    }

    #[test]
    fn a_bar_shows_what_is_used() {
        assert_eq!(bar(Some(75), Some(100)), "[#####...............] 25 %");
        assert_eq!(bar(Some(0), Some(7)), "[####################] 100 %");
        assert_eq!(bar(Some(9), Some(0)), "[....................] 0 %");
        assert_eq!(bar(None, Some(7)), "?");
    }

    #[test]
    fn a_frame_is_drawn_over_the_one_before() {
        let mut out = Vec::new();
        draw(&mut out, "a\nb\n");
        assert_eq!(out, b"\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }

    #[test]
    fn a_frame_tells_how_far_repair_and_scrub_are() {
        let repair = RepairStatus {
            walked: Some("now".to_owned()),
            levels: vec![strongroom_admin_api::LevelCount {
                level: "critical".to_owned(),
                blobs: 3,
                bytes: 9,
            }],
            phase: RepairPhase::Repairing,
            bytes_done: 1024,
            bytes_total: 2048,
            ..RepairStatus::default()
        };
        let scrub = ScrubStatus {
            running: true,
            bytes: 1024,
            bytes_total: Some(4096),
            ..ScrubStatus::default()
        };
        let text = upkeep(&repair, &scrub);
        assert!(text.starts_with("blobs   critical 3\n"), "{text}");
        assert!(
            text.contains("repair  repairing [############............] 50 %"),
            "{text}"
        );
        assert!(
            text.contains("25 % 1.0 KiB of 4.0 KiB; no pass ended yet"),
            "{text}"
        );
    }

    #[test]
    fn a_store_that_is_being_opened_has_a_frame() {
        let empty = Look {
            status: Status::default(),
            upkeep: None,
            at: Duration::ZERO,
        };
        let text = frame(&empty, &empty, false);
        assert!(
            text.contains("writes NO") && text.contains("being opened"),
            "{text}"
        );
    }
}
