//! Schedules: the commit engine under a scheduler that picks which thread goes on (T9).
//!
//! Its locks, channels and threads are others than in every other build, so it is built apart; and as an
//! exploration that never failed proves little, bugs are planted that it must find.

use anyhow::{Result, bail};

use crate::run::{Echo, command, minutes, must_echo, output, root, test_programs};

const BUILD_MINUTES: u64 = 20;
const RUN_MINUTES: u64 = 15;
/// Bugs of `tests/planted.toml` that some schedule must turn red.
const PLANTED: [&str; 5] = [
    "commit_guard_skips_batch",
    "log_ack_after_one",
    "log_ack_without_generation",
    "meta_hot_record_kept",
    "view_mark_in_another_tree",
];

/// Explores schedules, `scale` times as many as a change does, and finds the planted bugs. What it
/// printed.
pub fn schedules(scale: u64) -> Result<Vec<String>> {
    let words = [
        "-p",
        "strongroom-sim",
        "--features",
        "shuttle,planted",
        "--test",
        "schedules",
    ];
    let programs = test_programs(&words, minutes(BUILD_MINUTES))?;
    let [program] = &programs[..] else {
        bail!("cargo built {programs:?}, not one program");
    };
    let run = |planted: &str| {
        let mut run = command(&[program, "--show-output"]);
        run.current_dir(root().join("crates/sim"));
        run.env("STRONGROOM_PLANTED", planted);
        run.env("SHUTTLE_SILENCE_WARNINGS", "1");
        run
    };
    let mut explore = run("");
    if std::env::var_os("STRONGROOM_TEST_SCALE").is_none() {
        explore.env("STRONGROOM_TEST_SCALE", scale.to_string());
    }
    let limit = minutes(RUN_MINUTES * scale);
    let lines = must_echo("schedules", &mut explore, limit, Echo::Brief)?;
    for bug in PLANTED {
        let found = output(bug, &mut run(bug), minutes(RUN_MINUTES), Echo::Hide)?;
        let is_red = |line: &String| line.starts_with("test result: FAILED");
        if !found.lines.iter().any(is_red) {
            bail!("no schedule finds the planted bug {bug}");
        }
    }
    println!("planted bugs found {0}/{0}", PLANTED.len());
    Ok(lines)
}
