//! The Debian package, built by `dpkg-deb` from a staged tree.
//!
//! A tree that is put together here can be read in one screen, and started by a test without
//! installing anything.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::metadata::metadata;
use crate::run::{Echo, cargo, command, have, job, minutes, must, output, root};

/// What goes where: the file in the repository, its place in the package, its mode.
const FILES: &[(&str, &str, u32)] = &[
    (
        "packaging/strongroom.service",
        "lib/systemd/system/strongroom.service",
        0o644,
    ),
    (
        "packaging/strongroom.toml",
        "etc/strongroom/strongroom.toml",
        0o644,
    ),
    ("README.md", "usr/share/doc/strongroom/README.md", 0o644),
    (
        "CHANGELOG.md",
        "usr/share/doc/strongroom/CHANGELOG.md",
        0o644,
    ),
    ("LICENSE", "usr/share/doc/strongroom/copyright", 0o644),
    ("packaging/debian/conffiles", "DEBIAN/conffiles", 0o644),
    ("packaging/debian/postinst", "DEBIAN/postinst", 0o755),
    ("packaging/debian/prerm", "DEBIAN/prerm", 0o755),
    ("packaging/debian/postrm", "DEBIAN/postrm", 0o755),
];

/// Builds the release binary and packs it.
pub fn release() -> Result<()> {
    job("release binary", || {
        let words = [
            "build",
            "--release",
            "--locked",
            "--package",
            "strongroom-server",
        ];
        must("cargo build", &mut cargo(&words), minutes(60)).map(drop)
    })?;
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| root().join("target"), PathBuf::from);
    pack(
        &target.join("release/strongroom"),
        &target.join("package"),
        Compression::Best,
    )
}

/// How the package is packed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As small as dpkg makes it.
    Best,
    /// For a test, which unpacks it at once.
    None,
}

/// Packs `binary`; the package is the one `.deb` in `folder`.
pub fn pack(binary: &Path, folder: &Path, compression: Compression) -> Result<()> {
    if !have("dpkg-deb") {
        bail!("dpkg-deb is missing: a Debian package is built on Debian or with its tools");
    }
    let tree = folder.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).context("empty the staged tree")?;
    }
    place(binary, &tree.join("usr/bin/strongroom"), 0o755)?;
    for (from, to, mode) in FILES {
        place(&root().join(from), &tree.join(to), *mode)?;
    }
    let version = version()?;
    let architecture = architecture()?;
    let control = fs::read_to_string(root().join("packaging/debian/control"))
        .context("read packaging/debian/control")?
        .replace("@VERSION@", &version)
        .replace("@ARCHITECTURE@", &architecture)
        .replace("@INSTALLED_SIZE@", &installed_kib(&tree)?.to_string());
    fs::write(tree.join("DEBIAN/control"), control).context("write the control file")?;
    let package = folder.join(format!("strongroom_{version}_{architecture}.deb"));
    let words = [
        "dpkg-deb",
        "--root-owner-group",
        match compression {
            Compression::Best => "-Zxz",
            Compression::None => "-Znone",
        },
        "--build",
        &tree.to_string_lossy(),
        &package.to_string_lossy(),
    ];
    must("dpkg-deb", &mut command(&words), minutes(5)).map(drop)
}

fn place(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let folder = to.parent().expect("a file of the package lies in a folder");
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    fs::copy(from, to).with_context(|| format!("copy {} into the package", from.display()))?;
    let readable = fs::Permissions::from_mode(mode);
    fs::set_permissions(to, readable).with_context(|| format!("set the mode of {}", to.display()))
}

fn version() -> Result<String> {
    let packages = metadata(false)?.packages;
    let server = packages
        .into_iter()
        .find(|package| package.name == "strongroom-server");
    Ok(server
        .context("the workspace has no strongroom-server")?
        .version)
}

fn architecture() -> Result<String> {
    let words = ["dpkg", "--print-architecture"];
    let said = output("dpkg", &mut command(&words), minutes(1), Echo::Keep)?;
    said.lines
        .into_iter()
        .next()
        .context("dpkg names no architecture")
}

fn installed_kib(tree: &Path) -> Result<u64> {
    let mut bytes = 0;
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).context("read the staged tree")? {
            let entry = entry.context("read the staged tree")?;
            let about = entry.metadata().context("read the staged tree")?;
            if about.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += about.len();
            }
        }
    }
    Ok(bytes.div_ceil(1024))
}
