//! What does an operation cost in instructions? The same each time, where times never are.
//!
//! Signed requests go through the front and the domain to stores in memory, on one thread, with a
//! clock that stands and randomness from a seed: no disk, no socket, no kernel that switches threads.
//! `cargo xtask counts` runs each load below callgrind, which counts only inside [`counted`], and
//! holds the figures against `counts.toml`. Stores on disks are measured by `benches/load`.
//!
//! The figures are of a build for tests: they tell that an operation grew, not what it costs in a
//! release.

mod world;

use anyhow::{Context, Result, bail};

use world::World;

const KIB: usize = 1024;
/// Operations that are counted: enough that what happens once in a while is spread.
const OPERATIONS: usize = 20;
/// Operations before, which fill caches and pay for what happens once.
const WARM_OPERATIONS: usize = 3;
/// Keys of a page of a list.
const PAGE_KEYS: usize = 1000;

/// Each load, as `counts.toml` calls it.
const LOADS: [&str; 9] = [
    "put-4kib",
    "put-4kib-versioned",
    "put-1mib",
    "get-4kib",
    "get-4kib-versioned",
    "get-1mib",
    "head",
    "list-1000",
    "delete",
];

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    match (words.next().as_deref(), words.next()) {
        (Some("--loads"), None) => {
            for load in LOADS {
                println!("{load} {OPERATIONS}");
            }
            Ok(())
        }
        (Some(load), None) if LOADS.contains(&load) => run(load),
        _ => bail!("usage: strongroom-counts --loads | LOAD"),
    }
}

fn run(load: &str) -> Result<()> {
    let mut world = World::new()?;
    let size = if load.ends_with("1mib") {
        1024 * KIB
    } else {
        4 * KIB
    };
    if load.ends_with("-versioned") {
        world.keep_versions()?;
    }
    let puts = match load {
        "list-1000" => 2 * PAGE_KEYS,
        "put-4kib" | "put-4kib-versioned" | "put-1mib" => 0,
        _ => WARM_OPERATIONS + OPERATIONS,
    };
    for number in 0..puts {
        let size = if load == "list-1000" { 0 } else { size };
        world.exchange(&world.put(number, size))?;
    }
    let requests: Vec<_> = (0..WARM_OPERATIONS + OPERATIONS)
        .map(|number| match load {
            "put-4kib" | "put-4kib-versioned" | "put-1mib" => world.put(number, size),
            "get-4kib" | "get-4kib-versioned" | "get-1mib" => world.get(number, size),
            "head" => world.head(number),
            "list-1000" => world.list(number, PAGE_KEYS),
            _ => world.delete(number),
        })
        .collect();
    let (warm, rest) = requests.split_at(WARM_OPERATIONS);
    for request in warm {
        world.exchange(request)?;
    }
    let mut outcome = Ok(());
    counted(&mut || {
        outcome = rest.iter().try_for_each(|request| world.exchange(request));
    });
    outcome.context(load.to_owned())
}

/// What callgrind counts: it starts and stops where this function does.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
    std::hint::black_box(());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_load_runs_and_checks_its_answers() {
        for load in LOADS {
            run(load).unwrap();
        }
    }
}
