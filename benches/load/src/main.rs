//! What does an operation cost, and how far is that from what the machine can do?
//!
//! `run` starts a release server on three folders of one disk and drives it over loopback with signed
//! requests; beside every figure stands the limit of the same machine, measured in the same run.
//! `compare` drives two servers or endpoints in turn and tells their ratios. `cargo xtask bench` builds
//! and calls both; `docs/performance.md` says how to read what they print.
//!
//! Invariants
//! - The client is one thread and tells its own processor time: it must not be what gets measured.
//! - No two bodies are the same, none can be compressed, every body that is read is compared.
//! - A wrong answer ends the run with an error; 503 is counted and tried again.

mod bare;
mod client;
mod compare;
mod driver;
mod limits;
mod metrics;
mod phase;
mod process;
mod report;
mod target;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use serde::Serialize;
use strongroom_base::{Clock, SystemClock};
use strongroom_load::bodies::Bodies;
use strongroom_load::sign::Signer;

use compare::Pair;
use driver::{Driver, Step, Terms};
use phase::Kind;
use report::{Report, Row};

use target::Target;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// The size whose keys are listed: a page does not depend on what objects hold.
const LIST_SIZE: usize = 4 * KIB;
/// The size of parts: the least that S3 takes is 5 MiB.
const PART_SIZE: usize = 8 * MIB;
/// Connections that the goals name beside those of `--connections`.
const MORE_CONNECTIONS: [(usize, usize); 2] = [(MIB, 8), (64 * MIB, 2)];
const KINDS: [Kind; 6] = [
    Kind::Put,
    Kind::Get,
    Kind::Head,
    Kind::List,
    Kind::Multipart,
    Kind::Delete,
];

/// Tells what an operation costs, beside what the machine can do.
#[derive(Parser)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures one server beside the limits of its machine.
    Run {
        /// The server: a program, or http://HOST:PORT with @PID after it to tell its processor time.
        server: String,
        #[command(flatten)]
        terms: TermsFlags,
    },
    /// Measures two servers in turn, A B A B, and tells the ratios of B to A.
    Compare {
        /// A program, or http://HOST:PORT[@PID].
        a: String,
        /// The same.
        b: String,
        /// Times that each step runs on both.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        #[command(flatten)]
        terms: TermsFlags,
    },
    /// Serves one answer from memory; what `run` measures beside the server.
    #[command(hide = true)]
    Bare {
        #[arg(long)]
        size: usize,
        #[arg(long)]
        seed: u64,
    },
}

#[derive(clap::Args)]
struct TermsFlags {
    /// Seconds of each phase.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Sizes of objects in KiB.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 4, 64, 1024, 8192, 65536])]
    kib: Vec<usize>,
    /// Numbers of connections; without this flag those of the goals as well.
    #[arg(long, value_delimiter = ',')]
    connections: Vec<usize>,
    /// Only these operations.
    #[arg(long, value_delimiter = ',')]
    operations: Vec<Kind>,
    /// Most MiB that one phase puts, unless there are more connections than that has objects.
    #[arg(long, default_value_t = 1024)]
    put_mib: u64,
    /// Folder on the disk to measure; stores lie in it while they run.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Write the figures to this file as JSON.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Access key of endpoints.
    #[arg(long, env = "STRONGROOM_LOAD_ACCESS_KEY")]
    access_key: Option<String>,
    /// Secret key of endpoints.
    #[arg(long, env = "STRONGROOM_LOAD_SECRET_KEY", hide_env_values = true)]
    secret_key: Option<String>,
    /// Region that endpoints expect.
    #[arg(long, default_value = "us-east-1")]
    region: String,
}

impl TermsFlags {
    fn terms(&self) -> Result<Terms> {
        if self.seconds == 0 || self.connections.contains(&0) {
            bail!("--seconds and --connections want 1 or more");
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Ok(Terms {
            seed: clock.now().millis(),
            clock,
            time: Duration::from_secs(self.seconds),
            put_bytes_max: self.put_mib * MIB as u64,
        })
    }

    fn keys(&self) -> Option<Signer> {
        Some(Signer {
            access_key: self.access_key.clone()?,
            secret_key: self.secret_key.clone()?,
            region: self.region.clone(),
        })
    }

    /// The steps of one size, in the order they run.
    fn steps(&self, size: usize) -> Vec<Step> {
        let mut counts = self.connections.clone();
        if counts.is_empty() {
            counts.extend([1, 16, 64]);
            let more = MORE_CONNECTIONS.iter().filter(|(other, _)| *other == size);
            counts.extend(more.map(|(_, count)| *count));
            counts.sort_unstable();
        }
        let mut steps = Vec::new();
        for connections in counts {
            for kind in KINDS {
                let asked = self.operations.is_empty() || self.operations.contains(&kind);
                let fits = match kind {
                    Kind::List => size == LIST_SIZE,
                    Kind::Multipart => size == PART_SIZE,
                    _ => true,
                };
                if asked && fits {
                    steps.push(Step {
                        kind,
                        size,
                        connections,
                    });
                }
            }
        }
        steps
    }
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    if let Command::Bare { size, seed } = flags.command {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        return runtime.block_on(bare::serve(size, seed));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match flags.command {
            Command::Run { server, terms } => run(&server, &terms).await,
            Command::Compare {
                a,
                b,
                rounds,
                terms,
            } => compare(&a, &b, rounds, &terms).await,
            Command::Bare { .. } => bail!("bare was served above"),
        }
    })
}

async fn run(server: &str, flags: &TermsFlags) -> Result<()> {
    let terms = flags.terms()?;
    println!("{}", Row::HEADINGS);
    let target = Target::open(server, &flags.folder, flags.keys().as_ref()).await?;
    let mut driver = Driver::new(target, &terms).await?;
    let mut rows = Vec::new();
    for kib in &flags.kib {
        let bodies = Arc::new(Bodies::new(kib * KIB, terms.seed));
        for step in flags.steps(kib * KIB) {
            let row = driver.step(step, &bodies, &terms).await?;
            println!("{}", row.line());
            rows.push(row);
            if step.kind == Kind::Get {
                let row = driver::bare(step, &bodies, &terms).await?;
                println!("{}", row.line());
                rows.push(row);
            }
        }
    }
    drop(driver);
    let limits = limits::measure(&flags.folder, terms.time, &terms.clock)?;
    println!("\nThe machine: {}", serde_json::to_string_pretty(&limits)?);
    let ratios = report::ratios(&rows, &limits);
    println!("\n| ratio to the machine's limit | found | goal | met |\n|---|---|---|---|");
    for ratio in &ratios {
        println!("{}", ratio.line());
    }
    let report = Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at: terms.clock.now().seconds(),
        machine: machine(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        seconds_per_phase: flags.seconds,
        limits,
        rows,
        ratios,
    };
    write(flags.output.as_deref(), &report)
}

async fn compare(a: &str, b: &str, rounds: usize, flags: &TermsFlags) -> Result<()> {
    let terms = flags.terms()?;
    if rounds == 0 {
        bail!("--rounds wants 1 or more");
    }
    let keys = flags.keys();
    let mut drivers = Vec::new();
    for what in [a, b] {
        let target = Target::open(what, &flags.folder, keys.as_ref()).await?;
        drivers.push(Driver::new(target, &terms).await?);
    }
    println!(
        "A is {}\nB is {}\n\n{}",
        drivers[0].target.name,
        drivers[1].target.name,
        Pair::HEADINGS
    );
    let mut pairs = Vec::new();
    for kib in &flags.kib {
        let bodies = Arc::new(Bodies::new(kib * KIB, terms.seed));
        for step in flags.steps(kib * KIB) {
            let mut pair = Pair {
                a: Vec::new(),
                b: Vec::new(),
            };
            for _ in 0..rounds {
                pair.a.push(drivers[0].step(step, &bodies, &terms).await?);
                pair.b.push(drivers[1].step(step, &bodies, &terms).await?);
            }
            println!("{}", pair.line());
            pairs.push(pair);
        }
    }
    write(flags.output.as_deref(), &pairs)
}

/// The processor's name, as the kernel tells it.
fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned())
}

fn write(path: Option<&Path>, figures: &impl Serialize) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(figures)? + "\n";
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
