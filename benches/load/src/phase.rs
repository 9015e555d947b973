//! One measurement: one kind of operation, one size, some connections, some seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use strongroom_base::{Clock, tasks};

use crate::client::Client;
use crate::process::thread_cpu;
use strongroom_load::bodies::Bodies;
use strongroom_load::sign::Signing;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Put,
    Get,
    Head,
    List,
    Delete,
    Multipart,
}

/// How long each operation took.
#[derive(Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn add(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The latency that `percent` of a hundred operations did not exceed; the longest for 100.
    pub fn percentile(&mut self, percent: usize) -> Duration {
        self.0.sort_unstable();
        let index = self.0.len() * percent / 100;
        let last = self.0.len().saturating_sub(1);
        self.0.get(index.min(last)).copied().unwrap_or_default()
    }
}

/// Which objects a phase may use: those before `next` exist, those before `first` are gone again.
#[derive(Clone, Copy, Default)]
pub struct Range {
    pub first: u64,
    pub next: u64,
}

/// A phase.
pub struct Phase {
    pub kind: Kind,
    pub address: String,
    pub bucket: String,
    pub signing: Signing,
    pub bodies: Arc<Bodies>,
    pub connections: usize,
    pub time: Duration,
    pub range: Range,
    /// Most objects that are put.
    pub puts_max: u64,
    pub clock: Arc<dyn Clock>,
}

/// What came of it.
pub struct Outcome {
    pub latencies: Latencies,
    /// Requests answered 503, tried again and not counted otherwise.
    pub refused: u64,
    pub took: Duration,
    pub client_cpu: Duration,
    /// The first object number that was not used.
    pub next: u64,
}

impl Phase {
    /// Runs it. All connections are open before the first request.
    pub async fn run(self) -> Result<Outcome> {
        let next = Arc::new(AtomicU64::new(match self.kind {
            Kind::Put | Kind::Multipart => self.range.next,
            _ => self.range.first,
        }));
        let phase = Arc::new(self);
        let mut clients = Vec::new();
        for _ in 0..phase.connections {
            clients.push(Client::connect(&phase).await?);
        }
        let cpu = thread_cpu()?;
        let started = phase.clock.monotonic();
        let end = started + phase.time;
        let running: Vec<_> = clients
            .into_iter()
            .map(|client| tasks::spawn(drive(Arc::clone(&phase), client, Arc::clone(&next), end)))
            .collect();
        let (mut latencies, mut refused) = (Latencies::default(), 0);
        for one in running {
            let (some, count) = one
                .await
                .map_err(|error| anyhow!("a client died: {error}"))??;
            latencies.merge(some);
            refused += count;
        }
        Ok(Outcome {
            latencies,
            refused,
            took: phase.clock.monotonic() - started,
            client_cpu: thread_cpu()?.saturating_sub(cpu),
            next: next.load(Ordering::Relaxed).min(phase.end()),
        })
    }

    /// The first object number that this phase does not use.
    fn end(&self) -> u64 {
        match self.kind {
            Kind::Put | Kind::Multipart => self.range.next + self.puts_max,
            Kind::Delete => self.range.next,
            Kind::Get | Kind::Head | Kind::List => u64::MAX,
        }
    }
}

/// One connection's part: requests until the time is over, or the objects.
async fn drive(
    phase: Arc<Phase>,
    mut client: Client,
    next: Arc<AtomicU64>,
    end: Duration,
) -> Result<(Latencies, u64)> {
    let mut latencies = Latencies::default();
    let mut refused = 0;
    loop {
        let started = phase.clock.monotonic();
        if started >= end {
            return Ok((latencies, refused));
        }
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= phase.end() {
            return Ok((latencies, refused));
        }
        refused += client.run(&phase, number).await?;
        latencies.add(phase.clock.monotonic() - started);
    }
}
