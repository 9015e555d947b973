//! Measurements that want a quiet machine: never part of what a change must pass.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::python;
use crate::run::{cargo, command, job, minutes, must, root};

/// Where the figures of the last runs are left.
const RESILIENCE: &str = "target/resilience.json";
const BENCH: &str = "target/bench.json";
const COMPARE: &str = "target/bench-compare.json";
/// Where those of releases are kept.
const RESULTS: &str = "benches/results";
/// Below here lie the stores while they are measured, unless another folder is named.
const FOLDER: &str = "target/bench";
/// The whole plan takes some ten minutes; phases may be asked to be longer.
const LIMIT_MINUTES: u64 = 4 * 60;
/// The word that keeps the figures as those of this release.
const KEEP: &str = "--keep";

/// One server beside the limits of its machine.
pub fn bench(arguments: &[&str]) -> Result<()> {
    let keep = arguments.contains(&KEEP);
    let arguments: Vec<&str> = arguments
        .iter()
        .copied()
        .filter(|word| *word != KEEP)
        .collect();
    let output = if keep {
        let version = env!("CARGO_PKG_VERSION");
        Path::new(RESULTS).join(format!("{version}.json"))
    } else {
        PathBuf::from(BENCH)
    };
    job("release binaries", || {
        release(&["strongroom-server", "strongroom-load"])
    })?;
    let mut words = vec!["run", "target/release/strongroom"];
    words.extend(arguments);
    job("bench", || load(&words, &output))?;
    println!("bench: figures in {}", output.display());
    Ok(())
}

/// Two servers in turn: programs, or endpoints.
pub fn compare(arguments: &[&str]) -> Result<()> {
    job("release binary", || release(&["strongroom-load"]))?;
    let mut words = vec!["compare"];
    words.extend(arguments);
    job("compare", || load(&words, Path::new(COMPARE)))?;
    println!("bench: figures in {COMPARE}");
    Ok(())
}

/// Rates of scrub and repair, reads without a zone and the restart, each beside its raw limit.
pub fn resilience(arguments: &[&str]) -> Result<()> {
    let python = job("tools", python::python)?.to_string_lossy().into_owned();
    job("release binary", || release(&["strongroom-server"]))?;
    job("resilience", || {
        let mut words = vec![
            python.as_str(),
            "benches/load/resilience.py",
            "--output",
            RESILIENCE,
        ];
        words.extend(arguments);
        let mut run = command(&words);
        run.env("STRONGROOM_BIN", root().join("target/release/strongroom"));
        must("resilience.py", &mut run, minutes(8 * 60)).map(drop)
    })
}

fn release(packages: &[&str]) -> Result<()> {
    let mut words = vec!["build", "--release", "--locked"];
    for package in packages {
        words.extend(["--package", package]);
    }
    must("cargo build", &mut cargo(&words), minutes(60)).map(drop)
}

/// Runs the load program with `words`; figures go to `output`.
fn load(words: &[&str], output: &Path) -> Result<()> {
    let folder = root().join(FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let mut run = command(&["target/release/strongroom-load"]);
    run.args(words).arg("--output").arg(output);
    if !words.iter().any(|word| word.starts_with("--folder")) {
        run.arg("--folder").arg(FOLDER);
    }
    must("strongroom-load", &mut run, minutes(LIMIT_MINUTES)).map(drop)
}
