//! `simulate`: what would be left if zones or disks were lost.
//!
//! What it ends with, for scripts that ask before they act: 0 when reads and writes would go on and
//! nothing would be lost or out of reach, 1 otherwise.

use std::fmt::Write;

use strongroom_admin_api::{LevelCount, NoParameters, SimulateRequest, Simulated};

use crate::command::Simulate;
use crate::progress::{Progress, bar};
use crate::show::{Table, escaped, size};
use crate::{Admin, Answer, CliError, json_text};

/// Levels at which content can be read.
const READABLE: [&str; 3] = ["full", "reduced", "critical"];

pub(crate) async fn simulate(admin: &Admin, flags: &Simulate) -> Result<Answer, CliError> {
    let mut request = SimulateRequest {
        lose: flags.lose.join(","),
        ..SimulateRequest::default()
    };
    let known = admin.repair_status(&NoParameters {}).await?;
    let blobs: u64 = known.levels.iter().map(|level| level.blobs).sum();
    let mut progress = Progress::new();
    let mut found = admin.simulate(&request).await?;
    while found.next.is_some() {
        let seen: u64 = found.levels.iter().map(|level| level.blobs).sum();
        progress.draw("looking", &bar(seen, (blobs + known.small).max(seen)));
        request.after = found.next.take();
        let page = admin.simulate(&request).await?;
        found = added(found, page);
    }
    drop(progress);
    let text = match flags.connect.json {
        true => json_text(&found),
        false => text(&found),
    };
    Ok(Answer {
        text,
        exit_code: u8::from(!is_survived(&found)),
    })
}

/// The later page with the counts of both: of the service the newer word counts, unless the older was worse.
fn added(before: Simulated, page: Simulated) -> Simulated {
    let levels = before.levels.iter().map(|level| {
        let more = page.levels.iter().find(|more| more.level == level.level);
        LevelCount {
            level: level.level.clone(),
            blobs: level.blobs + more.map_or(0, |more| more.blobs),
            bytes: level.bytes + more.map_or(0, |more| more.bytes),
        }
    });
    Simulated {
        levels: levels.collect(),
        readable: before.readable && page.readable,
        writable: before.writable && page.writable,
        reason: page.reason.or(before.reason),
        ..page
    }
}

fn is_survived(found: &Simulated) -> bool {
    let gone = found.levels.iter();
    let mut gone = gone.filter(|level| !READABLE.contains(&&*level.level));
    found.readable && found.writable && gone.all(|level| level.blobs == 0)
}

fn text(found: &Simulated) -> String {
    let mut text = String::from("without\n");
    for disk in &found.disks {
        let (folder, zone) = (escaped(&disk.folder), escaped(&disk.zone));
        let _ = writeln!(text, "  {folder} of zone {zone}");
    }
    let goes = |on: bool| if on { "go on" } else { "STOP" };
    let _ = writeln!(
        text,
        "\nreads {}, writes {}: {} members left, writes need {}; {} of {} copies of the log left",
        goes(found.readable),
        goes(found.writable),
        found.members_left,
        found.members_needed,
        found.log_copies_left,
        found.log_copies
    );
    if let Some(reason) = &found.reason {
        let _ = writeln!(text, "{}", escaped(reason));
    }
    let mut table = Table::new(&["LEVEL", "CONTENTS", "BYTES", ""], &[1, 2]);
    for level in &found.levels {
        table.row([
            level.level.clone(),
            level.blobs.to_string(),
            size(level.bytes),
            meaning(&level.level).to_owned(),
        ]);
    }
    let _ = write!(text, "\n{}", table.text());
    text.push_str(match is_survived(found) {
        true => "\nNothing would be lost.\n",
        false => "\nThis is more than the store survives without harm.\n",
    });
    text
}

fn meaning(level: &str) -> &'static str {
    match level {
        "full" => "as asked for",
        "reduced" => "readable; survives another disk",
        "critical" => "readable; the next disk may take it",
        "unreachable" => "not readable until disks that are out now come back",
        "lost" => "gone for ever",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(levels: &[(&str, u64)]) -> Simulated {
        let level = |(level, blobs): &(&str, u64)| LevelCount {
            level: (*level).to_owned(),
            blobs: *blobs,
            bytes: blobs * 10,
        };
        Simulated {
            readable: true,
            writable: true,
            levels: levels.iter().map(level).collect(),
            ..Simulated::default()
        }
    }

    #[test]
    fn pages_add_up_and_the_worse_word_counts() {
        let mut second = found(&[("full", 2), ("lost", 0)]);
        second.writable = false;
        let both = added(found(&[("full", 1), ("lost", 4)]), second);
        assert_eq!((both.levels[0].blobs, both.levels[0].bytes), (3, 30));
        assert_eq!(both.levels[1].blobs, 4);
        assert!(both.readable && !both.writable);
    }

    #[test]
    fn only_what_can_be_read_and_written_is_survived() {
        assert!(is_survived(&found(&[
            ("full", 1),
            ("critical", 3),
            ("lost", 0)
        ])));
        assert!(!is_survived(&found(&[("full", 1), ("unreachable", 1)])));
        assert!(!is_survived(&found(&[("a level to come", 1)])));
        let stopped = Simulated {
            writable: false,
            ..found(&[("full", 1)])
        };
        assert!(!is_survived(&stopped) && text(&stopped).contains("writes STOP"));
    }
}
