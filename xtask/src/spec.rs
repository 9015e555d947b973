//! Spec: every rule we hold ourselves to has a test that names it, or a reason why it has none.
//!
//! The rules have ids (`IN03`, `attack 11`), listed with one line each in `docs/spec-rules.toml`. A
//! test says which rules it checks by their ids, in its name or in the comment above or within it.
//! Rules nobody tests are where servers like this one go wrong, and no list kept by hand stays
//! true: so this reads the tests.
//!
//! Invariants
//! - An id counts only inside a test: a mention in the code that obeys a rule proves nothing.
//! - A rule with a reason for having no test may not have one: the reasons can only shrink.
//! - An id that looks like a rule and is in no section is a mistake, and named.

mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::run::root;

const LIST: &str = "docs/spec-rules.toml";

/// The list of rules.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    section: Vec<Section>,
}

/// Rules with a common beginning of their ids.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    id: String,
    title: String,
    /// Says with what the section will be needed; such a section lists no rules.
    later: Option<String>,
    #[serde(default)]
    rules: BTreeMap<String, String>,
    /// Reasons for rules that no test names.
    #[serde(default)]
    untested: BTreeMap<String, String>,
}

/// How a section stands.
#[derive(Default, PartialEq, Eq, Debug)]
struct Tally {
    tested: usize,
    excused: usize,
    faults: Vec<String>,
}

/// Reads the list and the tests, prints the counts, and fails when a rule has neither.
pub fn spec() -> Result<()> {
    let text = fs::read_to_string(root().join(LIST)).with_context(|| format!("read {LIST}"))?;
    let rules: Rules = toml::from_str(&text).with_context(|| format!("read {LIST}"))?;
    let found = scan::ids_in_tests(&root())?;
    let mut faults = unknown(&rules, &found);
    let (mut tested, mut excused) = (0, 0);
    for section in &rules.section {
        if let Some(feature) = &section.later {
            println!("{:8} later, with {feature}", section.id);
            continue;
        }
        let tally = tally(section, &found);
        println!(
            "{:8} {:3} rules, {:3} in tests, {:2} with a reason: {}",
            section.id,
            section.rules.len(),
            tally.tested,
            tally.excused,
            section.title
        );
        tested += tally.tested;
        excused += tally.excused;
        faults.extend(tally.faults);
    }
    if !faults.is_empty() {
        bail!(
            "{} rule(s) out of line:\n  {}",
            faults.len(),
            faults.join("\n  ")
        );
    }
    println!("spec: {tested} rules in tests, {excused} with a reason for having none");
    Ok(())
}

fn tally(section: &Section, found: &BTreeSet<String>) -> Tally {
    let mut tally = Tally::default();
    for (id, title) in &section.rules {
        match (found.contains(id), section.untested.get(id)) {
            (true, None) => tally.tested += 1,
            (false, Some(reason)) if !reason.is_empty() => tally.excused += 1,
            (false, _) => tally
                .faults
                .push(format!("{id} has no test and no reason: {title}")),
            (true, Some(_)) => tally
                .faults
                .push(format!("{id} has a test: take its reason out of {LIST}")),
        }
    }
    for id in section.untested.keys() {
        if !section.rules.contains_key(id) {
            tally
                .faults
                .push(format!("{id} has a reason and is no rule"));
        }
    }
    tally
}

/// Ids in tests that no section has.
fn unknown(rules: &Rules, found: &BTreeSet<String>) -> Vec<String> {
    let section_of = |id: &str| {
        let letters = id.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end();
        rules.section.iter().find(|section| section.id == letters)
    };
    let mut faults = Vec::new();
    for id in found {
        match section_of(id) {
            None => faults.push(format!("{id} is in a test and in no section of {LIST}")),
            Some(section) if section.later.is_none() && !section.rules.contains_key(id) => {
                faults.push(format!("{id} is in a test and no rule of {LIST}"));
            }
            Some(_) => {}
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> Section {
        toml::from_str(text).unwrap()
    }

    fn ids(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn a_rule_without_a_test_needs_a_reason_and_a_tested_one_must_not_have_one() {
        let section = section(
            "id = 'XX'\ntitle = 't'\n[rules]\nXX01 = 'a'\nXX02 = 'b'\nXX03 = 'c'\nXX04 = 'd'\n\
             [untested]\nXX02 = 'why'\nXX04 = 'why'\nXX05 = 'why'\n",
        );
        let tally = tally(&section, &ids(&["XX01", "XX04"]));
        assert_eq!((tally.tested, tally.excused), (1, 1));
        let starts: Vec<&str> = tally.faults.iter().map(|fault| &fault[..4]).collect();
        assert_eq!(starts, ["XX03", "XX04", "XX05"]);
    }

    #[test]
    fn an_id_that_no_section_has_is_a_mistake() {
        let rules = Rules {
            section: vec![
                section("id = 'XX'\ntitle = 't'\n[rules]\nXX01 = 'a'"),
                section("id = 'YY'\ntitle = 't'\nlater = 'more'"),
                section("id = 'attack'\ntitle = 't'\n[rules]\n'attack 1' = 'a'"),
            ],
        };
        let found = ids(&["XX01", "XX09", "YY07", "ZZ01", "attack 1", "attack 2"]);
        assert_eq!(unknown(&rules, &found).len(), 3);
    }
}
