//! What cargo knows of the workspace and its dependencies.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::run::{Echo, cargo, minutes, output};

/// The answer of `cargo metadata`, as far as we use it.
#[derive(Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
    pub workspace_members: Vec<String>,
}

/// One package.
#[derive(Deserialize)]
pub struct Package {
    pub name: String,
    pub id: String,
    pub version: String,
    pub license: Option<String>,
    /// Where it came from; nothing for a package of the workspace.
    pub source: Option<String>,
    pub manifest_path: PathBuf,
    pub dependencies: Vec<Dependency>,
    pub features: BTreeMap<String, Vec<String>>,
}

/// One line of a `[dependencies]` table.
#[derive(Deserialize)]
pub struct Dependency {
    pub name: String,
    /// `dev`, `build`, or nothing for an ordinary one.
    pub kind: Option<String>,
}

impl Metadata {
    /// The packages of the workspace itself.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }
}

/// Asks cargo; with the dependencies of the whole graph when `deep`.
pub fn metadata(deep: bool) -> Result<Metadata> {
    let mut words = vec!["metadata", "--format-version", "1"];
    words.push(if deep { "--locked" } else { "--no-deps" });
    let output = output(
        "cargo metadata",
        &mut cargo(&words),
        minutes(10),
        Echo::Hide,
    )?;
    if !output.status.success() {
        bail!(
            "cargo metadata failed; run `cargo {}` to see why",
            words.join(" ")
        );
    }
    serde_json::from_str(&output.lines.join("\n")).context("read the answer of cargo metadata")
}
