//! All tests, from the smallest to the real clients.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run::{Echo, cargo, command, have, job, minutes, must, must_echo, root};
use crate::{client_tools, conformance, package, planted, python, reliability, schedules};

/// How large the tests are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Fits into every change.
    Change,
    /// The sizes of the goals.
    Slow,
}

impl Size {
    /// What the tests multiply their counts by.
    const fn scale(self) -> u64 {
        match self {
            Self::Change => 1,
            Self::Slow => 25,
        }
    }

    /// The limit of a step that takes at most `count` minutes in a change.
    const fn limit(self, count: u64) -> std::time::Duration {
        minutes(match self {
            Self::Change => count,
            Self::Slow => count * 12,
        })
    }
}

/// Tests run and tests skipped, and what the proofs among them counted.
#[derive(Default)]
struct Count {
    passed: u64,
    skipped: u64,
    figures: Vec<String>,
}

/// Runs everything.
pub fn test(size: Size) -> Result<()> {
    let mut count = Count::default();
    let python = job("tools", python::python)?;
    let python = python.to_string_lossy().into_owned();
    job("JavaScript clients", client_tools::install_javascript)?;
    job("Rust clients", client_tools::build_rust)?;
    job("fault file system", client_tools::build_fault_fs)?;
    job("cargo test", || {
        // The proofs print what they counted; a figure nobody sees proves nothing.
        let words = [
            "test",
            "--workspace",
            "--locked",
            "--no-fail-fast",
            "--",
            "--show-output",
        ];
        let mut run = cargo(&words);
        let run = with_scale(&mut run, size);
        let lines = must_echo("cargo test", run, size.limit(40), Echo::Brief)?;
        count_cargo(&lines, &mut count);
        count.figures.extend(reliability::figures(&lines));
        Ok(())
    })?;
    job("schedules", || {
        let lines = schedules::schedules(size.scale())?;
        count_cargo(&lines, &mut count);
        count.figures.extend(reliability::figures(&lines));
        Ok(())
    })?;
    job("planted bugs", planted::planted)?;
    job("server binary", build_server)?;
    if have("dpkg-deb") {
        let binary = root().join("target/debug/strongroom");
        let pack = || package::pack(&binary, &packages(), package::Compression::None);
        job("package", pack)?;
    } else {
        println!("dpkg-deb is missing: the tests of the Debian package are skipped");
    }
    job("clients", || {
        let words = [
            &python,
            "-m",
            "pytest",
            "tests",
            "-ra",
            "--strict-markers",
            "--color=no",
        ];
        let mut run = command(&words);
        run.env("STRONGROOM_BIN", root().join("target/debug/strongroom"));
        run.env("STRONGROOM_TEST_RUST_CLIENTS", client_tools::rust_program());
        if have("dpkg-deb") {
            run.env("STRONGROOM_TEST_PACKAGE", packages());
        }
        let lines = must("pytest", with_scale(&mut run, size), size.limit(40))?;
        count_pytest(&lines, &mut count);
        count.figures.extend(reliability::figures(&lines));
        Ok(())
    })?;
    signatures(&python, size)?;
    conformance::run(&[])?;
    reliability::keep(&count.figures)?;
    // Who asked for smaller tests has fewer.
    if std::env::var_os("STRONGROOM_TEST_SCALE").is_none() {
        reliability::demand_crash_points(&count.figures)?;
    }
    println!("tests passed {}, skipped {}", count.passed, count.skipped);
    Ok(())
}

/// Signatures against the SDK's own signer.
fn signatures(python: &str, size: Size) -> Result<()> {
    if root().join("tests/sigv4/run.py").exists() {
        job("signatures", || {
            let mut run = command(&[python, "tests/sigv4/run.py"]);
            must(
                "tests/sigv4/run.py",
                with_scale(&mut run, size),
                size.limit(10),
            )
            .map(drop)
        })?;
    }
    Ok(())
}

/// Builds the server the black-box tests start.
pub fn build_server() -> Result<()> {
    let mut build = cargo(&["build", "--package", "strongroom-server", "--locked"]);
    must("cargo build", &mut build, minutes(20)).map(drop)
}

/// Where the package of the binary under test is.
fn packages() -> PathBuf {
    root().join("target/package-test")
}

/// The one knob the tests look at for their sizes.
fn with_scale(command: &mut Command, size: Size) -> &mut Command {
    if std::env::var_os("STRONGROOM_TEST_SCALE").is_none() {
        command.env("STRONGROOM_TEST_SCALE", size.scale().to_string());
    }
    command
}

/// Adds up lines such as `test result: ok. 12 passed; 0 failed; 1 ignored; …`.
fn count_cargo(lines: &[String], count: &mut Count) {
    for line in lines.iter().filter(|line| line.starts_with("test result:")) {
        count.passed += number_before(line, " passed").unwrap_or(0);
        count.skipped += number_before(line, " ignored").unwrap_or(0);
    }
}

/// Reads the last line, such as `==== 30 passed, 1 skipped in 60.12s ====`.
fn count_pytest(lines: &[String], count: &mut Count) {
    if let Some(line) = lines.iter().rev().find(|line| line.contains(" passed")) {
        count.passed += number_before(line, " passed").unwrap_or(0);
        count.skipped += number_before(line, " skipped").unwrap_or(0);
    }
}

fn number_before(line: &str, word: &str) -> Option<u64> {
    let end = line.find(word)?;
    line[..end]
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .context("a count")
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_and_skipped_tests_are_counted() {
        let mut count = Count::default();
        let cargo = ["test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured".to_owned()];
        count_cargo(&cargo, &mut count);
        let pytest = [
            "a b passed".to_owned(),
            "==== 30 passed, 1 skipped in 6.1s ====".to_owned(),
        ];
        count_pytest(&pytest, &mut count);
        assert_eq!((count.passed, count.skipped), (42, 4));
    }
}
