//! The Python environment of the black-box tests, and the Debian packages they use.
//!
//! Real clients are half the proof, so the tests bring the versions of them they were written
//! against: `tests/requirements.txt`, installed into `.venv` once and again when it changes. The
//! public suite of the conformance run has an environment of its own. Some clients come from Debian;
//! where we may not install them their tests are skipped and counted.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::run::{command, have, minutes, must, root};

/// Debian packages the tests use, by the program that shows they are there.
const DEBIAN: &[(&str, &str)] = &[
    ("python3", "python3-venv"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mount", "mount"),
    ("losetup", "mount"),
    ("rclone", "rclone"),
    ("restic", "restic"),
    ("duplicity", "duplicity"),
    ("s3fs", "s3fs"),
    ("faketime", "faketime"),
    ("linux.uml", "user-mode-linux"),
    ("insmod", "kmod"),
    ("dmsetup", "dmsetup"),
];

/// What a package needs beside it to speak S3.
const BESIDE: &[(&str, &str)] = &[("duplicity", "python3-boto3")];

/// Makes the environment of the tests with real clients and returns its `python`.
pub fn python() -> Result<PathBuf> {
    install_debian_packages()?;
    environment(".venv", "tests/requirements.txt")
}

/// Makes the environment of the conformance suite. It has one of its own, so that what the suite
/// needs never chooses the clients of the other tests.
pub fn python_of_conformance() -> Result<PathBuf> {
    install_debian_packages()?;
    environment(".venv-conformance", "tests/conformance/requirements.txt")
}

/// Makes the environment of the lock suite: an auditor needs nothing else for it.
pub fn python_of_lock_suite() -> Result<PathBuf> {
    environment(".venv-lock", "tests/lock_suite/requirements.txt")
}

/// Makes the environment in `folder` with what the file `requirements` pins.
fn environment(folder: &str, requirements: &str) -> Result<PathBuf> {
    let folder = root().join(folder);
    let python = folder.join("bin/python");
    let wanted = fs::read_to_string(root().join(requirements))
        .with_context(|| format!("read {requirements}"))?;
    let stamp = folder.join("requirements.installed");
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    create(&folder)?;
    let python_text = python.to_string_lossy().into_owned();
    let words = [
        &python_text,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
        requirements,
    ];
    must("pip install", &mut command(&words), minutes(10)).with_context(|| {
        format!(
            "the Python packages of {requirements} could not be installed: the tests need them \
             and a package index to get them from"
        )
    })?;
    fs::write(&stamp, wanted).context("note what is installed")?;
    Ok(python)
}

fn create(folder: &std::path::Path) -> Result<()> {
    if folder.join("bin/python").exists() {
        return Ok(());
    }
    let folder = folder.to_string_lossy().into_owned();
    let words = ["python3", "-m", "venv", &folder];
    if must("python3 -m venv", &mut command(&words), minutes(3)).is_ok() {
        return Ok(());
    }
    if is_root() && have("apt-get") {
        apt_install(&["python3-venv"])?;
        must("python3 -m venv", &mut command(&words), minutes(3))?;
        return Ok(());
    }
    bail!("the tests need Python 3 with its venv module (Debian package python3-venv)")
}

/// Installs what is missing when we may; says what is missing when we may not. Only Python is
/// indispensable: the tests that need another program are counted as skipped without it.
fn install_debian_packages() -> Result<()> {
    let mut missing: Vec<&str> = DEBIAN
        .iter()
        .filter(|(program, _)| !anywhere(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    for (package, beside) in BESIDE {
        if missing.contains(package) {
            missing.push(beside);
        }
    }
    if is_root() && have("apt-get") {
        return apt_install(&missing);
    }
    println!(
        "missing Debian packages (tests that need them are skipped): {}",
        missing.join(" ")
    );
    if have("python3") {
        Ok(())
    } else {
        bail!("the tests need python3")
    }
}

/// Installs one Debian package when we may.
pub fn install_debian_package(package: &str) -> Result<()> {
    if is_root() && have("apt-get") {
        return apt_install(&[package]);
    }
    bail!("only root installs packages, on a system with apt-get")
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let mut words = vec![
        "apt-get",
        "install",
        "--yes",
        "--quiet",
        "--no-install-recommends",
    ];
    words.extend(packages);
    let mut update = command(&["apt-get", "update", "--quiet"]);
    must("apt-get update", &mut update, minutes(5))?;
    let mut install = command(&words);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    must("apt-get install", &mut install, minutes(10)).with_context(|| {
        format!(
            "the Debian packages {} could not be installed",
            packages.join(" ")
        )
    })?;
    Ok(())
}

/// Whether a program is installed, also where only root's path looks.
fn anywhere(program: &str) -> bool {
    have(program)
        || ["/sbin", "/usr/sbin"]
            .iter()
            .any(|folder| PathBuf::from(folder).join(program).is_file())
}

fn is_root() -> bool {
    // The owner of our own process folder, so that no foreign call is needed.
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
