//! Counts: what fixed loads cost in instructions may not grow unnoticed.
//!
//! Times differ by half between two minutes of a shared machine; instructions on one thread differ
//! by less than a hundredth. `benches/counts` runs the loads, callgrind counts, and
//! `benches/counts/counts.toml` holds what an operation may cost. A change that makes one dearer by
//! more than a tenth changes that file as well, where review sees it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::python;
use crate::run::{Echo, cargo, command, have, minutes, must_echo, root};

/// What an operation may cost.
const LIST: &str = "benches/counts/counts.toml";
/// Growth and shrinkage in hundredths that are told: libraries of the system and their choice of
/// instructions differ by less.
const CHANGE_MAX_PERCENT: u64 = 10;
/// One load below callgrind takes seconds.
const LOAD_MINUTES: u64 = 3;
const BUILD_MINUTES: u64 = 15;
const PROGRAM: &str = "target/debug/strongroom-counts";
/// The function that is counted; `benches/counts` has the only one of this name.
const COUNTED: &str = "*strongroom_counts*counted*";

/// Instructions of one operation, by load.
/// Loads that may cost little more than their plain twin: who keeps versions shall not pay for it.
const TWINS: [(&str, &str); 2] = [
    ("get-4kib-versioned", "get-4kib"),
    ("put-4kib-versioned", "put-4kib"),
];
/// How much more.
const TWIN_MORE_MAX_PERCENT: u64 = 5;

type Counts = BTreeMap<String, u64>;

/// Compares what the loads cost with the list. Says what is skipped when they can not be counted.
pub fn check() -> Result<()> {
    let Some(found) = counts()? else {
        return Ok(());
    };
    let path = root().join(LIST);
    let text = fs::read_to_string(&path).with_context(|| format!("read {LIST}"))?;
    let listed: Counts = toml::from_str(&text).with_context(|| format!("read {LIST}"))?;
    let (faults, remarks) = compare(&listed, &found);
    for remark in remarks {
        println!("{remark}");
    }
    if !faults.is_empty() {
        bail!(
            "{} load(s) out of line:\n  {}\nMake them cheaper, or accept their price in the same \
             change: cargo xtask counts --write",
            faults.len(),
            faults.join("\n  ")
        );
    }
    println!(
        "counts: {} loads, none grew by more than {CHANGE_MAX_PERCENT} %",
        found.len()
    );
    Ok(())
}

/// Writes the list anew.
pub fn write() -> Result<()> {
    let Some(found) = counts()? else {
        bail!("without callgrind there is nothing to write");
    };
    let mut text = String::from(
        "# Instructions of one operation in a build for tests, as callgrind counts them: a guard\n\
         # against growth, not a price. `cargo xtask counts` compares, `--write` accepts.\n",
    );
    for (load, count) in &found {
        println!("{load}: {count}");
        text.push_str(&format!("{load} = {count}\n"));
    }
    fs::write(root().join(LIST), text).with_context(|| format!("write {LIST}"))
}

/// What grew or has no line, and what is only worth a word.
fn compare(listed: &Counts, found: &Counts) -> (Vec<String>, Vec<String>) {
    let (mut faults, mut remarks) = (Vec::new(), Vec::new());
    for (load, count) in found {
        let Some(limit) = listed.get(load) else {
            faults.push(format!(
                "{load} costs {count} instructions and has no line in {LIST}"
            ));
            continue;
        };
        let line = format!("{load}: {count} instructions for each operation, listed {limit}");
        if count * 100 > limit * (100 + CHANGE_MAX_PERCENT) {
            faults.push(line);
        } else if count * 100 < limit * (100 - CHANGE_MAX_PERCENT) {
            remarks.push(format!("{line}; keep the gain: cargo xtask counts --write"));
        } else {
            remarks.push(line);
        }
    }
    for (load, plain) in TWINS {
        if let (Some(count), Some(plain_count)) = (found.get(load), found.get(plain)) {
            let line = format!("{load}: {count} instructions, {plain}: {plain_count}");
            if count * 100 > plain_count * (100 + TWIN_MORE_MAX_PERCENT) {
                faults.push(format!(
                    "{line}; that is more than {TWIN_MORE_MAX_PERCENT} % dearer"
                ));
            }
        }
    }
    for load in listed.keys().filter(|load| !found.contains_key(*load)) {
        faults.push(format!(
            "{load} is listed in {LIST} and no load has this name"
        ));
    }
    (faults, remarks)
}

/// Counts every load; nothing when valgrind is missing and can not be installed.
fn counts() -> Result<Option<Counts>> {
    if !have("valgrind")
        && let Err(error) = python::install_debian_package("valgrind")
    {
        println!(
            "counts: SKIPPED, because valgrind (Debian package valgrind) is missing and could not \
             be installed: {error:#}"
        );
        return Ok(None);
    }
    // Together with the server, so that both have the same libraries and those are built once.
    let words = [
        "build",
        "--package",
        "strongroom-server",
        "--package",
        "strongroom-counts",
        "--locked",
        "--quiet",
    ];
    must_echo(
        "cargo build",
        &mut cargo(&words),
        minutes(BUILD_MINUTES),
        Echo::Show,
    )?;
    let mut list = command(&[PROGRAM, "--loads"]);
    let loads = must_echo("strongroom-counts", &mut list, minutes(1), Echo::Keep)?;
    let mut counts = Counts::new();
    for line in &loads {
        let (load, operations) = line.split_once(' ').context("a load and its operations")?;
        let operations: u64 = operations.parse().context("the operations of a load")?;
        counts.insert(load.to_owned(), count(load)? / operations);
    }
    Ok(Some(counts))
}

/// Instructions of all operations of one load.
fn count(load: &str) -> Result<u64> {
    let file = root().join(format!("target/callgrind.{load}"));
    let mut run = command(&["valgrind", "--quiet", "--tool=callgrind"]);
    run.arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--callgrind-out-file={}", file.display()))
        .args([PROGRAM, load]);
    must_echo(
        &format!("callgrind of {load}"),
        &mut run,
        minutes(LOAD_MINUTES),
        Echo::Show,
    )?;
    total(&file)
}

/// The sum that callgrind wrote.
fn total(file: &PathBuf) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let sum = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))
        .and_then(|count| count.trim().parse().ok())
        .with_context(|| format!("{} has no sum", file.display()))?;
    if sum == 0 {
        bail!("callgrind counted nothing: it did not find the function {COUNTED}");
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(lines: &[(&str, u64)]) -> Counts {
        lines
            .iter()
            .map(|(load, count)| ((*load).to_owned(), *count))
            .collect()
    }

    #[test]
    fn a_load_that_grew_by_more_than_a_tenth_is_a_fault_and_one_that_shrank_is_not() {
        let listed = counts(&[("get", 1000), ("list", 1000), ("put", 1000)]);
        let found = counts(&[("get", 1100), ("list", 100), ("put", 1101)]);
        let (faults, remarks) = compare(&listed, &found);
        assert_eq!(
            faults,
            ["put: 1101 instructions for each operation, listed 1000"]
        );
        assert_eq!(remarks.len(), 2);
        assert!(remarks[1].contains("keep the gain"), "{}", remarks[1]);
    }

    #[test]
    fn a_load_without_a_line_and_a_line_without_a_load_are_faults() {
        let (faults, _) = compare(&counts(&[("old", 1)]), &counts(&[("new", 1)]));
        assert_eq!(faults.len(), 2);
        assert!(faults[0].starts_with("new ") && faults[1].starts_with("old "));
    }

    #[test]
    fn a_versioned_load_that_is_much_dearer_than_the_plain_one_is_a_fault() {
        let lines = |put, get| {
            counts(&[
                ("put-4kib", 1000),
                ("put-4kib-versioned", put),
                ("get-4kib", 1000),
                ("get-4kib-versioned", get),
            ])
        };
        let found = lines(1050, 1051);
        let (faults, _) = compare(&found, &found);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("get-4kib-versioned"), "{faults:?}");
    }
}
