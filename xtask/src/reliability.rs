//! Reliability: what the proofs counted, in one committed file and a page made from it.
//!
//! A proof that is not counted is a claim. So each prints, once it has passed, a line
//! `RELIABILITY {json}` with what one trial is, how many there were and how many went wrong; a run
//! of all tests gathers them, and `cargo xtask reliability` writes them to `RELIABILITY.json` and
//! `docs/reliability.md`, with the commit they were counted at and what a zero of so many says.
//!
//! Invariants
//! - Figures come from steps that passed: one that failed leaves none.
//! - A figure keeps its commit: an old one is never shown as if it were of today.
//! - The page is made from the file and from nothing else; a test compares them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::run::{Echo, command, minutes, output, root};

const FILE: &str = "RELIABILITY.json";
const PAGE: &str = "docs/reliability.md";
/// Where a run of the tests leaves its figures.
const RUN: &str = "target/reliability-figures.txt";
/// What a line with a figure begins with.
const WORD: &str = "RELIABILITY {";

/// What a proof prints.
#[derive(Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Line {
    proof: String,
    unit: String,
    trials: u64,
    bad: u64,
    #[serde(default)]
    counts: BTreeMap<String, u64>,
}

/// What one run of a proof counted.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(deny_unknown_fields)]
struct Figure {
    trials: u64,
    bad: u64,
    #[serde(default)]
    counts: BTreeMap<String, u64>,
    commit: String,
    date: String,
}

/// A proof: its last run, and the one with the most trials.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Proof {
    unit: String,
    latest: Figure,
    largest: Figure,
}

/// The committed file: proofs by name.
type Ledger = BTreeMap<String, Proof>;

/// The lines with figures among the lines of a step that passed.
pub fn figures(lines: &[String]) -> impl Iterator<Item = String> {
    lines
        .iter()
        .filter_map(|line| line.find(WORD).map(|start| line[start..].to_owned()))
}

/// What all crash replays of a run together must have checked.
const CRASH_POINTS_MIN: u64 = 50_000;
/// The unit of a crash replay, and what it calls those at which a recovery was under way.
const CRASH_POINTS: &str = "crash points";
const IN_RECOVERY: &str = "in recovery";

/// Adds up the crash points of a run, those during recoveries too, and demands enough of them.
pub fn demand_crash_points(figures: &[String]) -> Result<()> {
    let (mut points, mut in_recovery) = (0, 0);
    for text in figures {
        let line: Line = serde_json::from_str(&text[WORD.len() - 1..])
            .with_context(|| format!("read '{text}'"))?;
        if line.unit == CRASH_POINTS {
            points += line.trials;
            in_recovery += line.counts.get(IN_RECOVERY).copied().unwrap_or(0);
        }
    }
    println!("crash points {points}, and during recoveries {in_recovery}");
    if points + in_recovery < CRASH_POINTS_MIN {
        bail!("fewer than {CRASH_POINTS_MIN} crash points were checked");
    }
    Ok(())
}

/// Leaves the figures of a whole run where [`reliability`] finds them.
pub fn keep(figures: &[String]) -> Result<()> {
    let text = figures
        .iter()
        .fold(String::new(), |text, line| text + line + "\n");
    fs::write(root().join(RUN), text).with_context(|| format!("write {RUN}"))
}

/// Takes the figures of the last run, or of the given logs, into the file and makes the page.
pub fn reliability(logs: &[&str]) -> Result<()> {
    let paths: Vec<PathBuf> = if logs.is_empty() {
        vec![root().join(RUN)]
    } else {
        logs.iter().map(PathBuf::from).collect()
    };
    let mut lines = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).with_context(|| {
            format!(
                "read {}: run `cargo xtask test` first, or name a log",
                path.display()
            )
        })?;
        lines.extend(text.lines().map(str::to_owned));
    }
    let file = root().join(FILE);
    let mut ledger: Ledger = match fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("read {FILE}"))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ledger::new(),
        Err(error) => return Err(error).with_context(|| format!("read {FILE}")),
    };
    let count = enter(&mut ledger, &lines, &commit()?, &date()?)?;
    fs::write(&file, serde_json::to_string_pretty(&ledger)? + "\n").context(FILE)?;
    fs::write(root().join(PAGE), page(&ledger)?).context(PAGE)?;
    println!(
        "reliability: {count} proofs of this run, {} in all",
        ledger.len()
    );
    Ok(())
}

/// Enters what a run printed; the figures of one proof are added up. Returns how many proofs.
fn enter(ledger: &mut Ledger, lines: &[String], commit: &str, date: &str) -> Result<usize> {
    let mut run: BTreeMap<String, (String, Figure)> = BTreeMap::new();
    for text in figures(lines) {
        let json = &text[WORD.len() - 1..];
        let line: Line = serde_json::from_str(json).with_context(|| format!("read '{text}'"))?;
        let (unit, figure) = run.entry(line.proof.clone()).or_insert_with(|| {
            let figure = Figure {
                commit: commit.to_owned(),
                date: date.to_owned(),
                ..Figure::default()
            };
            (line.unit.clone(), figure)
        });
        if *unit != line.unit {
            bail!("{} counts both {unit} and {}", line.proof, line.unit);
        }
        figure.trials += line.trials;
        figure.bad += line.bad;
        for (what, count) in line.counts {
            *figure.counts.entry(what).or_default() += count;
        }
    }
    let count = run.len();
    for (name, (unit, latest)) in run {
        let earlier = ledger.remove(&name).filter(|proof| proof.unit == unit);
        let largest = match earlier {
            Some(proof) if proof.largest.trials > latest.trials => proof.largest,
            _ => latest.clone(),
        };
        let proof = Proof {
            unit,
            latest,
            largest,
        };
        ledger.insert(name, proof);
    }
    Ok(count)
}

/// The page of the figures.
fn page(ledger: &Ledger) -> Result<String> {
    let mut page = String::from(
        "# What was tried, and what went wrong\n\n\
         Made by `cargo xtask reliability` from `RELIABILITY.json`; do not edit. Every proof prints what\n\
         it counted, a run of all tests gathers it. *Wrong* is an acknowledged write that was lost, a\n\
         wrong byte, or whatever else the proof forbids.\n\n\
         None in N trials does not mean never: with 95 % confidence the true rate is then below 3/N,\n\
         which is printed beside each zero. It says so for what the trials were drawn from, not for\n\
         faults nobody thought of.\n\n\
         | proof | one trial | last run: trials | wrong | rate below | made of | at | most in one run | rate below | at |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (name, proof) in ledger {
        let (latest, largest) = (&proof.latest, &proof.largest);
        writeln!(
            page,
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            proof.unit,
            latest.trials,
            latest.bad,
            bound(latest),
            made_of(latest),
            at(latest),
            largest.trials,
            bound(largest),
            at(largest),
        )?;
    }
    Ok(page)
}

/// What a zero says: the rate is below 3/N with 95 % confidence.
fn bound(figure: &Figure) -> String {
    if figure.bad > 0 || figure.trials == 0 {
        return "not bounded".to_owned();
    }
    #[allow(clippy::cast_precision_loss)] // shown with two digits
    let rate = 3.0 / figure.trials as f64;
    format!("{rate:.1e}")
}

fn made_of(figure: &Figure) -> String {
    let words: Vec<String> = figure
        .counts
        .iter()
        .map(|(what, count)| format!("{what} {count}"))
        .collect();
    words.join(", ")
}

fn at(figure: &Figure) -> String {
    format!("{}, {}", figure.commit, figure.date)
}

/// The commit the figures are of; it says when the tree had changes beyond it.
fn commit() -> Result<String> {
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?
        .lines()
        .any(|line| !line.ends_with(FILE) && !line.ends_with(PAGE));
    Ok(if changed {
        commit + " with changes"
    } else {
        commit
    })
}

/// The day of that commit, so that the same run gives the same file.
fn date() -> Result<String> {
    git(&["log", "-1", "--format=%cs"])
}

fn git(words: &[&str]) -> Result<String> {
    let mut all = vec!["git"];
    all.extend(words);
    let said = output("git", &mut command(&all), minutes(1), Echo::Keep)?;
    if !said.status.success() {
        bail!("git {} failed: the figures need their commit", words[0]);
    }
    Ok(said.lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(trials: u64, bad: u64) -> String {
        format!(
            r#".. RELIABILITY {{"proof": "cuts", "unit": "cut", "trials": {trials}, "bad": {bad}, "counts": {{"x": 2}}}}"#
        )
    }

    #[test]
    fn lines_of_one_proof_are_added_up() {
        let mut ledger = Ledger::new();
        let lines = [line(3, 0), "RELIABILITY is a word".to_owned(), line(4, 0)];
        assert_eq!(enter(&mut ledger, &lines, "abc", "2026-01-02").unwrap(), 1);
        let figure = &ledger["cuts"].latest;
        assert_eq!((figure.trials, figure.counts["x"]), (7, 4));
        assert_eq!(bound(figure), "4.3e-1");
    }

    #[test]
    fn the_largest_run_is_kept_with_its_commit() {
        let mut ledger = Ledger::new();
        enter(&mut ledger, &[line(9, 0)], "old", "2026-01-01").unwrap();
        enter(&mut ledger, &[line(4, 0)], "new", "2026-01-02").unwrap();
        let proof = &ledger["cuts"];
        assert_eq!(
            (proof.largest.trials, at(&proof.largest)),
            (9, "old, 2026-01-01".into())
        );
        assert_eq!(
            (proof.latest.trials, at(&proof.latest)),
            (4, "new, 2026-01-02".into())
        );
    }

    #[test]
    fn what_went_wrong_has_no_bound() {
        let mut ledger = Ledger::new();
        enter(&mut ledger, &[line(9, 1)], "old", "2026-01-01").unwrap();
        assert_eq!(bound(&ledger["cuts"].latest), "not bounded");
    }

    #[test]
    fn a_line_that_is_no_figure_is_refused() {
        let lines = [r#"RELIABILITY {"proof": "cuts"}"#.to_owned()];
        assert!(enter(&mut Ledger::new(), &lines, "c", "d").is_err());
    }

    #[test]
    fn the_page_is_made_from_the_file() {
        let text = fs::read_to_string(root().join(FILE)).unwrap();
        let ledger: Ledger = serde_json::from_str(&text).unwrap();
        let shown = fs::read_to_string(root().join(PAGE)).unwrap();
        assert_eq!(
            shown,
            page(&ledger).unwrap(),
            "run `cargo xtask reliability`"
        );
    }
}
