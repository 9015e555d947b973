//! Measurements that want a quiet machine: never part of what a change must pass.

use anyhow::Result;

use crate::python;
use crate::run::{cargo, command, job, minutes, must, root};

/// Where the figures are left.
const RESILIENCE: &str = "target/resilience.json";

/// Rates of scrub and repair, reads without a zone and the restart, each beside its raw limit.
pub fn resilience(arguments: &[&str]) -> Result<()> {
    let python = job("tools", python::python)?.to_string_lossy().into_owned();
    job("release binary", || {
        let words = [
            "build",
            "--release",
            "--package",
            "strongroom-server",
            "--locked",
        ];
        must("cargo build", &mut cargo(&words), minutes(60)).map(drop)
    })?;
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
