//! What a change must pass, cheapest first.

use anyhow::Result;

use crate::run::{cargo, job, minutes, must};
use crate::test::{Size, test};
use crate::{counts, layers, licences, ratchet, spec};

/// Runs every job; the first that fails ends it.
pub fn ci() -> Result<()> {
    job("fmt", || {
        must(
            "cargo fmt",
            &mut cargo(&["fmt", "--all", "--check"]),
            minutes(2),
        )
        .map(drop)
    })?;
    job("layers", layers::layers)?;
    job("ratchet", ratchet::check)?;
    job("spec", spec::spec)?;
    job("licences", licences::licences)?;
    job("clippy", || {
        let words = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ];
        must("cargo clippy", &mut cargo(&words), minutes(30)).map(drop)
    })?;
    job("docs", || {
        let mut command = cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        must("cargo doc", &mut command, minutes(20)).map(drop)
    })?;
    job("counts", counts::check)?;
    test(Size::Change)?;
    println!("ci: all green");
    Ok(())
}
