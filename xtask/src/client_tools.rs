//! The clients that are not Python packages: JavaScript ones from npm, Rust ones from source.
//!
//! Both are pinned by a lock file beside their tests. The Rust ones are a workspace of their own,
//! so that what a client depends on is no dependency of the store; so is the file system that fails
//! on command.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::run::{cargo, command, have, minutes, must, root};

const JAVASCRIPT: &str = "tests/js";
const RUST: &str = "tests/rust-clients";
const FAULT_FS: &str = "tests/fault-fs";

/// Installs what `package-lock.json` names, once and again when it changes. Without npm the tests
/// of these clients are skipped, which is counted: the Node.js they want (20 or newer) is newer than
/// what every Debian has, so it is not installed here.
pub fn install_javascript() -> Result<()> {
    if !(have("npm") && have("node")) {
        println!("npm and node are missing: the tests of the JavaScript clients are skipped");
        return Ok(());
    }
    let folder = root().join(JAVASCRIPT);
    let wanted = fs::read_to_string(folder.join("package-lock.json"))
        .context("read tests/js/package-lock.json")?;
    let stamp = folder.join("node_modules/lock.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let words = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"];
    let mut install = command(&words);
    install.current_dir(&folder);
    must("npm ci", &mut install, minutes(5)).context(
        "the packages of tests/js/package-lock.json could not be installed: the tests need them \
         and a package registry to get them from",
    )?;
    fs::write(&stamp, wanted).context("note what is installed")
}

/// Builds the Rust clients.
pub fn build_rust() -> Result<()> {
    build(&["build"], RUST, rust_target())
}

/// Tests and builds the file system that fails on command.
pub fn build_fault_fs() -> Result<()> {
    let target = root().join("target/fault-fs");
    build(&["test"], FAULT_FS, target.clone())?;
    build(&["build"], FAULT_FS, target)
}

fn build(words: &[&str], folder: &str, target: PathBuf) -> Result<()> {
    let mut build = cargo(&[words, &["--locked", "--quiet"]].concat());
    build
        .current_dir(root().join(folder))
        .env("CARGO_TARGET_DIR", target);
    must(&format!("cargo in {folder}"), &mut build, minutes(15)).map(drop)
}

/// The program that drives the Rust clients.
pub fn rust_program() -> PathBuf {
    rust_target().join("debug/rust-clients")
}

fn rust_target() -> PathBuf {
    root().join("target/rust-clients")
}
