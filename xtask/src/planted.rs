//! Planted bugs: each one must turn its test red.
//!
//! A suite that has never failed may be asleep. `tests/planted.toml` lists bugs that the code
//! carries behind `strongroom_base::planted`, compiled out of every ordinary build, each with the
//! test that must notice it. First the tests run with nothing planted and must be green; then each
//! bug is planted alone and its test must fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::metadata::metadata;
use crate::ratchet;
use crate::run::{Echo, cargo, command, minutes, output, root};

/// Compiles the test binaries with the switches in.
const BUILD_MINUTES_MAX: u64 = 30;
/// One run of one named test.
const TEST_MINUTES_MAX: u64 = 10;

#[derive(Deserialize)]
struct List {
    bug: Vec<Bug>,
}

/// One planted bug and the test that must notice it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bug {
    /// The name given to `strongroom_base::planted`.
    name: String,
    /// What it breaks, as a sentence.
    breaks: String,
    /// The package whose test notices, with its whole name.
    package: String,
    /// `lib`, `bin`, or the name of a file in `tests/` without its ending.
    target: String,
    /// The test's whole path.
    test: String,
    /// Smaller or larger sizes for this run, given to the test's environment.
    #[serde(default)]
    env: BTreeMap<String, String>,
}

/// A line of `cargo test --no-run --message-format=json`, as far as we use it.
#[derive(Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    target: Option<Target>,
    executable: Option<String>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Test binaries by package and target.
type Binaries = BTreeMap<(String, String), Binary>;

/// A test binary and the folder its tests expect to run in.
struct Binary {
    path: String,
    folder: PathBuf,
}

/// Runs the whole list.
pub fn planted() -> Result<()> {
    let text =
        fs::read_to_string(root().join("tests/planted.toml")).context("read tests/planted.toml")?;
    let list: List = toml::from_str(&text).context("read tests/planted.toml")?;
    let names: BTreeSet<&str> = list.bug.iter().map(|bug| bug.name.as_str()).collect();
    if names.len() != list.bug.len() {
        bail!("tests/planted.toml names a bug twice");
    }
    check_switches(&names)?;
    let binaries = build(&list.bug)?;
    let mut green = BTreeSet::new();
    for bug in &list.bug {
        if green.insert((&bug.package, &bug.target, &bug.test, &bug.env))
            && !passes(bug, &binaries, "")?
        {
            bail!("{} fails with no bug planted", bug.test);
        }
    }
    println!(
        "planted: {} tests are green with no bug planted",
        green.len()
    );
    let mut missed = Vec::new();
    for bug in &list.bug {
        let caught = !passes(bug, &binaries, &bug.name)?;
        println!(
            "planted: {} - {}",
            bug.name,
            if caught { "caught" } else { "MISSED" }
        );
        if !caught {
            missed.push(format!(
                "{} ({}) is not noticed by {}",
                bug.name, bug.breaks, bug.test
            ));
        }
    }
    println!(
        "planted bugs caught {}/{}",
        list.bug.len() - missed.len(),
        list.bug.len()
    );
    if !missed.is_empty() {
        bail!(
            "{} planted bug(s) missed:\n  {}",
            missed.len(),
            missed.join("\n  ")
        );
    }
    Ok(())
}

/// Every switch in the code has a row, and every row a switch.
fn check_switches(names: &BTreeSet<&str>) -> Result<()> {
    let mut switches = BTreeSet::new();
    for path in ratchet::source_files()? {
        if path.extension().is_some_and(|ending| ending == "rs")
            && path.starts_with(root().join("crates"))
        {
            let text =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            switches.extend(switch_names(&text));
        }
    }
    let without_row = switches
        .iter()
        .filter(|name| !names.contains(name.as_str()));
    let without_switch = names.iter().filter(|name| !switches.contains(**name));
    let faults: Vec<String> = without_row
        .map(|name| format!("{name} is in the code and not in the list"))
        .chain(without_switch.map(|name| format!("{name} is in the list and not in the code")))
        .collect();
    if !faults.is_empty() {
        bail!(
            "the code and tests/planted.toml disagree:\n  {}",
            faults.join("\n  ")
        );
    }
    Ok(())
}

/// The names in `planted("name")`, one that begins with `no-` excepted: those are never planted.
fn switch_names(text: &str) -> Vec<String> {
    text.split("planted(\"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"').map(|(name, _)| name.to_owned()))
        .filter(|name| !name.starts_with("no-") && !name.starts_with("name-"))
        .collect()
}

/// Builds the test binaries of the listed packages with the switches compiled in.
fn build(bugs: &[Bug]) -> Result<Binaries> {
    let metadata = metadata(false)?;
    let switched: BTreeSet<&str> = metadata
        .members()
        .filter(|package| package.features.contains_key("planted"))
        .map(|package| package.name.as_str())
        .collect();
    let packages: BTreeSet<&str> = bugs
        .iter()
        .map(|bug| bug.package.as_str())
        .chain(switched.iter().copied())
        .collect();
    let features: Vec<String> = switched
        .iter()
        .map(|name| format!("{name}/planted"))
        .collect();
    let features = features.join(",");
    let mut words = vec![
        "test",
        "--locked",
        "--no-run",
        "--message-format=json",
        "--features",
        &features,
    ];
    for package in packages {
        words.extend(["--package", package]);
    }
    for kind in ["--lib", "--bins", "--tests"] {
        words.push(kind);
    }
    let lines = quiet_must("build with planted bugs", &mut cargo(&words))?;
    let mut binaries = Binaries::new();
    for line in lines.iter().filter(|line| line.starts_with('{')) {
        let message: Message = serde_json::from_str(line).context("read a message of cargo")?;
        let (Some(target), Some(executable)) = (message.target, message.executable) else {
            continue;
        };
        let Some(package) = metadata
            .members()
            .find(|p| Some(&p.id) == message.package_id.as_ref())
        else {
            continue;
        };
        if message.reason == "compiler-artifact" {
            let kind = target.kind.first().map_or("", String::as_str);
            let target = if kind == "test" {
                target.name
            } else {
                kind.to_owned()
            };
            let folder = package
                .manifest_path
                .parent()
                .context("the folder of a package")?;
            let binary = Binary {
                path: executable,
                folder: folder.to_owned(),
            };
            binaries.insert((package.name.clone(), target), binary);
        }
    }
    Ok(binaries)
}

/// As `must`, but the messages of the build are for us; its errors still show.
fn quiet_must(name: &str, command: &mut std::process::Command) -> Result<Vec<String>> {
    let output = output(name, command, minutes(BUILD_MINUTES_MAX), Echo::Keep)?;
    if !output.status.success() {
        bail!("{name} failed ({})", output.status);
    }
    Ok(output.lines)
}

/// Whether the bug's test is green with `name` planted. A test that does not exist is an error, so
/// that a renamed test can not count as red or green.
fn passes(bug: &Bug, binaries: &Binaries, name: &str) -> Result<bool> {
    let Some(binary) = binaries.get(&(bug.package.clone(), bug.target.clone())) else {
        bail!("{} has no test target '{}'", bug.package, bug.target);
    };
    let mut run = command(&[&binary.path, &bug.test, "--exact", "--include-ignored"]);
    // As `cargo test` does: fixtures are found from the package's own folder.
    run.current_dir(&binary.folder);
    run.env("STRONGROOM_PLANTED", name).envs(&bug.env);
    let output = output(&bug.test, &mut run, minutes(TEST_MINUTES_MAX), Echo::Hide)?;
    if output.lines.iter().any(|line| line == "running 0 tests") {
        bail!(
            "{} of {} has no test named {}",
            bug.target,
            bug.package,
            bug.test
        );
    }
    let red = output
        .lines
        .iter()
        .any(|line| line.starts_with("test result: FAILED"));
    if !output.status.success() && !red && name.is_empty() {
        bail!("{} ended without a result ({})", bug.test, output.status);
    }
    if name.is_empty() && red {
        println!("{}", output.lines.join("\n"));
    }
    Ok(output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A renamed test is noticed here, in seconds, and not after the build with the switches.
    #[test]
    fn every_row_names_a_test_that_is_written_down() {
        let text = fs::read_to_string(root().join("tests/planted.toml")).unwrap();
        let list: List = toml::from_str(&text).unwrap();
        let sources: Vec<String> = ratchet::source_files()
            .unwrap()
            .iter()
            .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        let unknown: Vec<&str> = list
            .bug
            .iter()
            .map(|bug| bug.test.rsplit("::").next().unwrap())
            .filter(|name| {
                let call = format!("fn {name}(");
                !sources.iter().any(|source| source.contains(&call))
            })
            .collect();
        assert!(unknown.is_empty(), "tests/planted.toml names {unknown:?}");
    }

    #[test]
    fn switches_are_found_by_name() {
        // Written in two halves, so that this file names no switch.
        let call = "planted(";
        let text =
            format!("if {call}\"early_answer\") {{ }} else if !base::{call}\"no-such\") {{ }}");
        assert_eq!(switch_names(&text), ["early_answer"]);
    }
}
