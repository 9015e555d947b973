//! What does an operation cost? Drives a running server and tells, beside what its disk can do.
//!
//! Each phase is one kind of operation, one size, some connections, some seconds. Next to speed stand
//! the server's own figures, which do not depend on the machine: syncs for each operation, commits
//! in each batch. The last line is the machine's limit, measured in the same run: appends of 4 KiB,
//! each synced, to three files at once.
//!
//! `docs/performance.md` has the command and what came of it.

mod client;
mod disk_limit;
mod metrics;
mod phase;
mod sign;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use strongroom_base::{Clock, SystemClock};

use client::{Client, Content, Target};
use metrics::Figures;
use phase::{Kind, Latencies, Outcome, Phase};
use sign::Signer;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Most bytes one phase puts: deleted bytes stay on the disk for the hold-back.
const PUT_BYTES_MAX: usize = 1024 * MIB;

/// Sizes, connections and operations, in the order they run.
const PLAN: [(usize, &[usize], &[Kind]); 4] = [
    (4 * KIB, &[1, 16, 64], &[Kind::Put, Kind::Get, Kind::Delete]),
    (64 * KIB, &[1, 16], &[Kind::Put, Kind::Get]),
    (MIB, &[1, 16], &[Kind::Put, Kind::Get]),
    (8 * MIB, &[1, 8], &[Kind::Put, Kind::Get]),
];

/// Drives a running Strongroom and tells what an operation costs.
#[derive(Parser)]
struct Flags {
    /// The folder the server was started with as --data: its credentials are read, and the limit of
    /// its disk is measured in it.
    #[arg(long, default_value = "strongroom-data")]
    data: PathBuf,
    /// Address of the S3 port.
    #[arg(long, default_value = "127.0.0.1:9000")]
    address: String,
    /// Address of the administration port.
    #[arg(long, default_value = "127.0.0.1:9001")]
    admin_address: String,
    /// Region of the server.
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// Seconds of each phase.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only objects of this many KiB.
    #[arg(long)]
    kib: Option<usize>,
    /// Only this many connections.
    #[arg(long)]
    connections: Option<usize>,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(&flags))
}

async fn run(flags: &Flags) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let target = Target {
        address: flags.address.clone(),
        bucket: format!("load-{}", clock.now().millis()),
        signer: signer(flags)?,
        clock: Arc::clone(&clock),
    };
    Client::connect(&target).await?.create_bucket().await?;
    println!(
        "| operation | size | connections | op/s | MB/s | p50 ms | p99 ms | log syncs/op | \
         commits/batch | segment syncs/op |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let time = Duration::from_secs(flags.seconds);
    let mut next = 0;
    for (size, connections, kinds) in PLAN {
        if flags.kib.is_some_and(|kib| kib * KIB != size) {
            continue;
        }
        let content = Content::new(size);
        for count in connections.iter().copied() {
            if flags.connections.is_some_and(|only| only != count) {
                continue;
            }
            let (first, mut objects) = (next, next + PUT_BYTES_MAX / size);
            for kind in kinds.iter().copied() {
                let phase = Phase {
                    kind,
                    target: &target,
                    content: &content,
                    connections: count,
                    time,
                    objects,
                    first,
                };
                let before = Figures::read(&flags.admin_address, &target.signer).await?;
                let mut outcome = phase.run().await?;
                let after = Figures::read(&flags.admin_address, &target.signer).await?;
                show(&phase, &mut outcome, &before, &after);
                if kind == Kind::Put {
                    objects = outcome.next;
                    next = outcome.next;
                }
            }
        }
    }
    let mut limit = disk_limit::measure(&flags.data, time, &clock)?;
    show_limit(&mut limit, time);
    Ok(())
}

fn show(phase: &Phase<'_>, outcome: &mut Outcome, before: &Figures, after: &Figures) {
    let count = outcome.latencies.count();
    let rate = per(count as f64, outcome.took.as_secs_f64());
    let size = phase.content.bytes.len();
    let speed = match phase.kind {
        Kind::Put | Kind::Get => format!("{:.1}", rate * size as f64 / 1e6),
        Kind::Delete => "–".to_owned(),
    };
    let since = |name: &str| after.since(before, name);
    let (syncs, batches) = (
        since("strongroom_log_syncs_total"),
        since("strongroom_log_batches_total"),
    );
    let commits = since("strongroom_commits_total");
    let segment_syncs = since("strongroom_segment_syncs_total");
    println!(
        "| {:?} | {} KiB | {} | {rate:.0} | {speed} | {:.2} | {:.2} | {:.2} | {:.1} | {:.2} |",
        phase.kind,
        size / KIB,
        phase.connections,
        milliseconds(outcome.latencies.percentile(50)),
        milliseconds(outcome.latencies.percentile(99)),
        per(syncs, count as f64),
        per(commits, batches),
        per(segment_syncs, count as f64),
    );
}

fn show_limit(limit: &mut Latencies, time: Duration) {
    println!(
        "\nThe disk: appends of 4 KiB to three files, one thread each, each with fdatasync: \
         {:.0} syncs/s in all, p50 {:.2} ms, p99 {:.2} ms.",
        limit.count() as f64 / time.as_secs_f64(),
        milliseconds(limit.percentile(50)),
        milliseconds(limit.percentile(99)),
    );
}

/// `amount` for each of `count`; nothing for each of none.
fn per(amount: f64, count: f64) -> f64 {
    if count > 0.0 { amount / count } else { 0.0 }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The root credentials, from the file in the data folder.
fn signer(flags: &Flags) -> Result<Signer> {
    let path: &Path = &flags.data.join("credentials");
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='))
            .map(|value| value.trim().to_owned())
            .ok_or_else(|| anyhow!("{} has no {name}", path.display()))
    };
    Ok(Signer {
        access_key: value("aws_access_key_id")?,
        secret_key: value("aws_secret_access_key")?,
        region: flags.region.clone(),
    })
}
