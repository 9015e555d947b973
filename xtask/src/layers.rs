//! Layers: which room may use which.
//!
//! The arrows are what lets a simulation replay from one seed and a backend be replaced: they are
//! checked rather than remembered. `ARCHITECTURE.md` explains them; this table decides.
//!
//! Tests may look across rooms, so only ordinary and build dependencies count.

use anyhow::{Result, bail};

use crate::metadata::{Package, metadata};

/// Prefix of the crates that are rooms.
const PREFIX: &str = "strongroom-";

/// Each room, and the rooms it may use. `types` is open to all; `base` to all but the pure ones.
const ROOMS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("types", &[]),
    ("durability", &[]),
    ("erasure", &["types"]),
    ("crypto", &["types", "base"]),
    ("authz", &["types"]),
    ("identity", &["types", "base", "meta", "authz"]),
    ("meta", &["types", "base"]),
    ("meta-lsm", &["types", "base", "meta", "zones"]),
    ("blob", &["types", "base"]),
    ("zones", &["types", "base"]),
    ("blob-zones", &["types", "base", "blob", "erasure", "zones"]),
    ("objects", &["types", "base", "meta", "blob", "crypto"]),
    ("workers", &["types", "base", "objects", "meta", "blob"]),
    (
        "s3-front",
        &["types", "base", "objects", "identity", "authz"],
    ),
    ("admin-api", &["types"]),
    (
        "admin-server",
        &[
            "types",
            "base",
            "admin-api",
            "objects",
            "workers",
            "identity",
        ],
    ),
    ("cli", &["types", "base", "admin-api", "durability"]),
    ("console", &["types", "base", "admin-api"]),
];

/// Rooms that put the others together and may use any of them, except the ones named.
const COMPOSING: &[(&str, &[&str])] = &[("server", &["sim"]), ("sim", &["server", "s3-front"])];

/// Libraries that belong to one room (or few), because they would carry its idea elsewhere.
const OWNED: &[(&str, &[&str])] = &[
    ("s3s", &["s3-front"]),
    ("fjall", &["meta-lsm"]),
    ("reed-solomon-erasure", &["erasure"]),
    ("getrandom", &["base"]),
    ("nix", &["base"]),
    ("rustix", &["base"]),
    ("rustls", &["server", "cli"]),
    ("rcgen", &["server"]),
    ("axum", &["admin-server", "server"]),
    ("clap", &["server", "cli"]),
];

/// Libraries the pure rooms never use: with one of them they could wait, or fail for I/O reasons.
const IMPURE: &[&str] = &["tokio", "futures", "async-trait", "hyper", "rand"];
const PURE_ROOMS: &[&str] = &["types", "durability", "erasure", "authz"];

/// Checks every package of the workspace.
pub fn layers() -> Result<()> {
    let metadata = metadata(false)?;
    let mut faults = Vec::new();
    let mut room_count = 0;
    for package in metadata.members() {
        // Models of protocols in `specs/` are no rooms: nothing may depend on them.
        let in_crates = package.manifest_path.parent().and_then(|p| p.parent());
        if !in_crates.is_some_and(|folder| folder.ends_with("crates")) {
            continue;
        }
        if let Some(room) = package.name.strip_prefix(PREFIX) {
            room_count += 1;
            faults.extend(room_faults(room, package));
        }
    }
    if !faults.is_empty() {
        bail!(
            "{} arrow(s) point the wrong way:\n  {}",
            faults.len(),
            faults.join("\n  ")
        );
    }
    println!("layers: {room_count} rooms, every arrow as drawn");
    Ok(())
}

fn room_faults(room: &str, package: &Package) -> Vec<String> {
    let mut faults = Vec::new();
    let allowed = ROOMS
        .iter()
        .find(|(name, _)| *name == room)
        .map(|(_, rooms)| *rooms);
    let refused = COMPOSING
        .iter()
        .find(|(name, _)| *name == room)
        .map(|(_, rooms)| *rooms);
    if allowed.is_none() && refused.is_none() {
        faults.push(format!(
            "room '{room}' is not in the table of xtask/src/layers.rs"
        ));
    }
    for dependency in &package.dependencies {
        if dependency.kind.as_deref() == Some("dev") {
            continue;
        }
        let name = dependency.name.as_str();
        if let Some(other) = name.strip_prefix(PREFIX) {
            let fine = match (allowed, refused) {
                (Some(rooms), _) => rooms.contains(&other),
                (None, Some(rooms)) => !rooms.contains(&other),
                (None, None) => true,
            };
            if !fine {
                faults.push(format!("{room} may not use {other}"));
            }
        }
        if let Some((_, owners)) = OWNED.iter().find(|(library, _)| *library == name)
            && !owners.contains(&room)
        {
            faults.push(format!(
                "{room} may not use {name}: it belongs to {}",
                owners.join(", ")
            ));
        }
        if PURE_ROOMS.contains(&room) && IMPURE.contains(&name) {
            faults.push(format!("{room} is pure and may not use {name}"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;
    use std::collections::BTreeMap;

    fn package(name: &str, uses: &[(&str, Option<&str>)]) -> Package {
        Package {
            name: format!("{PREFIX}{name}"),
            id: String::new(),
            version: String::new(),
            license: None,
            source: None,
            manifest_path: "Cargo.toml".into(),
            dependencies: uses
                .iter()
                .map(|(name, kind)| Dependency {
                    name: (*name).to_owned(),
                    kind: kind.map(str::to_owned),
                })
                .collect(),
            features: BTreeMap::new(),
        }
    }

    #[test]
    fn a_domain_that_names_a_backend_is_refused() {
        let faults = room_faults(
            "objects",
            &package("objects", &[("strongroom-zones", None)]),
        );
        assert_eq!(faults, ["objects may not use zones"]);
    }

    #[test]
    fn a_test_may_look_across_rooms() {
        let uses = [("strongroom-zones", Some("dev"))];
        assert!(room_faults("objects", &package("objects", &uses)).is_empty());
    }

    #[test]
    fn s3s_outside_the_front_is_refused() {
        assert_eq!(
            room_faults("server", &package("server", &[("s3s", None)])).len(),
            1
        );
        assert!(room_faults("s3-front", &package("s3-front", &[("s3s", None)])).is_empty());
    }

    #[test]
    fn a_pure_room_may_not_wait() {
        assert_eq!(
            room_faults("erasure", &package("erasure", &[("tokio", None)])).len(),
            1
        );
    }

    #[test]
    fn an_unknown_room_is_refused() {
        assert_eq!(room_faults("attic", &package("attic", &[])).len(), 1);
    }
}
