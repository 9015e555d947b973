//! Conformance: the public S3 suite against a server of ours.
//!
//! Our own tests say what we think S3 does; a suite others wrote says what clients met. It is of
//! 2022, so some of it AWS itself no longer does: `tests/conformance` lists what may fail and why,
//! and its runner fails when the run and the lists differ in either direction.
//!
//! The suite of Object Lock is our own, since no public one walks every way to destroy what is
//! locked. It runs against any endpoint.

use anyhow::Result;

use crate::python;
use crate::run::{command, job, minutes, must, root};

/// A run takes one minute on an idle machine; the runner has a limit of its own below this one.
const LIMIT_MINUTES: u64 = 9;

/// The lock suite bounds itself: 20 minutes at most, and clean-up.
const LOCK_LIMIT_MINUTES: u64 = 30;

/// Runs the suite of Object Lock, at `--endpoint` or at a server that is built for it.
pub fn lock(arguments: &[&str]) -> Result<()> {
    let is_elsewhere = arguments
        .iter()
        .any(|word| *word == "--endpoint" || word.starts_with("--endpoint="));
    if !is_elsewhere {
        job("server binary", crate::test::build_server)?;
    }
    let python = job("lock suite tools", python::python_of_lock_suite)?;
    let python = python.to_string_lossy().into_owned();
    job("lock conformance", || {
        let mut words = vec![python.as_str(), "tests/lock_suite"];
        words.extend(arguments);
        let mut run = command(&words);
        run.env("STRONGROOM_BIN", root().join("target/debug/strongroom"));
        must("tests/lock_suite", &mut run, minutes(LOCK_LIMIT_MINUTES)).map(drop)
    })
}

/// Builds the server, then runs the suite.
pub fn conformance(arguments: &[&str]) -> Result<()> {
    job("server binary", crate::test::build_server)?;
    run(arguments)
}

/// Runs the suite against the server that was built.
pub fn run(arguments: &[&str]) -> Result<()> {
    let python = job("conformance tools", python::python_of_conformance)?;
    let python = python.to_string_lossy().into_owned();
    job("conformance", || {
        let mut words = vec![python.as_str(), "tests/conformance/run.py"];
        words.extend(arguments);
        let mut run = command(&words);
        run.env("STRONGROOM_BIN", root().join("target/debug/strongroom"));
        must("tests/conformance/run.py", &mut run, minutes(LIMIT_MINUTES)).map(drop)
    })
}
