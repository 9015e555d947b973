//! Crash points by the million: the crash replays again and again, with other schedules each time.
//!
//! A recovery starts and ends some thirty threads, and what that costs the kernel grows when the
//! threads of one process run on several processors. So each processor gets a process of its own,
//! kept on it: three times the points of one process on two.

use anyhow::{Context, Result, bail};

use crate::reliability;
use crate::run::{Echo, command, have, job, minutes, must_echo, root, test_programs};

/// Rounds unless told otherwise: a million crash points and some.
const ROUNDS: u64 = 12;
/// Recovery is killed and looked at in these.
const REPLAYS: [&str; 2] = ["log_replay", "crash_replay"];
const BUILD_MINUTES: u64 = 30;
/// What a round may take on one processor.
const ROUND_MINUTES: u64 = 60;
/// Tests one process runs at a time: a starting store also waits.
const TEST_THREADS: &str = "2";

/// Each processor takes the next seeds one after the other; the first bad point ends its turn.
const SCRIPT: &str = r#"
cpu=0; workers=
while [ $cpu -lt $CPUS ]; do
    ( seed=$((FIRST + cpu))
      while [ $seed -lt $((FIRST + ROUNDS)) ]; do
        for program in "$@"; do
            STRONGROOM_TEST_SCALE=1 STRONGROOM_TEST_SEED=$seed \
                taskset -c $cpu "$program" --show-output --test-threads "$THREADS" || exit 1
        done
        echo "seed $seed is done"
        seed=$((seed + CPUS))
      done ) &
    workers="$workers $!"; cpu=$((cpu + 1))
done
bad=0
for worker in $workers; do wait "$worker" || bad=1; done
exit $bad
"#;

/// Runs `[--rounds N] [--seed FIRST]` and keeps the figures for `cargo xtask reliability`.
pub fn crash_points(arguments: &[&str]) -> Result<()> {
    let (mut rounds, mut first) = (ROUNDS, None);
    for pair in arguments.chunks(2) {
        match pair {
            ["--rounds", count] => rounds = count.parse().context("--rounds takes a number")?,
            ["--seed", seed] => first = Some(seed.parse::<u64>().context("--seed takes a number")?),
            other => bail!("crash-points takes --rounds N and --seed N, not {other:?}"),
        }
    }
    if !have("taskset") {
        bail!("taskset is missing: install the package util-linux");
    }
    let programs = job("build", build)?;
    // Another run is of other schedules; one that failed is repeated with what it printed.
    let first = first.unwrap_or_else(|| u64::from(std::process::id()) * 1000);
    let cpus = std::thread::available_parallelism()?.get() as u64;
    println!("seeds {first} to {}, {cpus} at a time", first + rounds - 1);
    let mut run = command(&["sh", "-c", SCRIPT, "crash-points"]);
    run.args(&programs)
        .current_dir(root().join("crates/sim"))
        .env("CPUS", cpus.to_string())
        .env("FIRST", first.to_string())
        .env("ROUNDS", rounds.to_string())
        .env("THREADS", TEST_THREADS);
    let limit = minutes(ROUND_MINUTES * rounds.div_ceil(cpus));
    let lines = must_echo("crash replay", &mut run, limit, Echo::Brief)?;
    let figures: Vec<String> = reliability::figures(&lines).collect();
    reliability::keep(&figures)?;
    reliability::demand_crash_points(&figures)
}

/// Builds the replays as fast programs with every assertion; returns their paths.
fn build() -> Result<Vec<String>> {
    let mut words = vec!["--profile", "slow", "-p", "strongroom-sim"];
    for replay in REPLAYS {
        words.extend(["--test", replay]);
    }
    let programs = test_programs(&words, minutes(BUILD_MINUTES))?;
    if programs.len() != REPLAYS.len() {
        bail!("cargo built {programs:?}, not one program each of {REPLAYS:?}");
    }
    Ok(programs)
}
