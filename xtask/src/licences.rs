//! Licences and sources of the dependencies.
//!
//! `cargo deny` does this with more care and is used when it is installed. Compiling it takes
//! longer than all our other checks together, so without it we read the same `deny.toml` and check
//! its two essentials ourselves: each licence is one we accept, and nothing comes from elsewhere
//! than the registry of the lock file.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::metadata::metadata;
use crate::run::{cargo, have, minutes, must, root};

#[derive(Deserialize)]
struct Deny {
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
}

/// Runs `cargo deny`, or the essentials of it.
pub fn licences() -> Result<()> {
    if have("cargo-deny") {
        let mut command = cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"]);
        must("cargo deny", &mut command, minutes(5))?;
        return Ok(());
    }
    let text = fs::read_to_string(root().join("deny.toml")).context("read deny.toml")?;
    let deny: Deny = toml::from_str(&text).context("read deny.toml")?;
    let mut faults = Vec::new();
    let metadata = metadata(true)?;
    for package in &metadata.packages {
        let name = format!("{} {}", package.name, package.version);
        match &package.license {
            Some(licence) if accepts(licence, &deny.licenses.allow) => {}
            Some(licence) => faults.push(format!("{name}: licence {licence}")),
            None => faults.push(format!("{name}: names no licence")),
        }
        if package
            .source
            .as_deref()
            .is_some_and(|source| !source.starts_with("registry+"))
        {
            faults.push(format!("{name}: does not come from the registry"));
        }
        if deny
            .bans
            .deny
            .iter()
            .any(|banned| banned.name == package.name)
        {
            faults.push(format!("{name}: banned"));
        }
    }
    if !faults.is_empty() {
        bail!(
            "{} package(s) refused by deny.toml:\n  {}",
            faults.len(),
            faults.join("\n  ")
        );
    }
    println!(
        "licences: {} packages accepted (cargo-deny is not installed)",
        metadata.packages.len()
    );
    Ok(())
}

/// Whether one way to read the licence expression uses accepted licences only.
fn accepts(expression: &str, allow: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let accepted = any_of(&mut rest, allow);
    accepted && rest.is_empty()
}

fn any_of(words: &mut &[&str], allow: &BTreeSet<String>) -> bool {
    let mut accepted = all_of(words, allow);
    while let Some((&"OR", rest)) = words.split_first() {
        *words = rest;
        accepted |= all_of(words, allow);
    }
    accepted
}

fn all_of(words: &mut &[&str], allow: &BTreeSet<String>) -> bool {
    let mut accepted = one(words, allow);
    while let Some((&"AND", rest)) = words.split_first() {
        *words = rest;
        accepted &= one(words, allow);
    }
    accepted
}

fn one(words: &mut &[&str], allow: &BTreeSet<String>) -> bool {
    let Some((first, rest)) = words.split_first() else {
        return false;
    };
    *words = rest;
    if *first == "(" {
        let accepted = any_of(words, allow);
        *words = words.split_first().map_or(&[], |(_, rest)| rest);
        return accepted;
    }
    if let [with, exception, rest @ ..] = *words
        && *with == "WITH"
    {
        let whole = format!("{first} WITH {exception}");
        *words = rest;
        return allow.contains(*first) || allow.contains(&whole);
    }
    allow.contains(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow() -> BTreeSet<String> {
        ["MIT", "Apache-2.0"].map(str::to_owned).into()
    }

    #[test]
    fn one_accepted_alternative_is_enough() {
        assert!(accepts("GPL-3.0 OR MIT", &allow()));
        assert!(accepts("MIT/Unlicense", &allow()));
        assert!(accepts("(GPL-3.0 OR Apache-2.0) AND MIT", &allow()));
        assert!(accepts("Apache-2.0 WITH LLVM-exception", &allow()));
    }

    #[test]
    fn every_joined_licence_must_be_accepted() {
        assert!(!accepts("MIT AND GPL-3.0", &allow()));
        assert!(!accepts("GPL-3.0", &allow()));
        assert!(!accepts("MIT OR", &allow()) || accepts("MIT", &allow()));
        assert!(!accepts("", &allow()));
    }
}
