//! One measurement: one kind of operation, one size, some connections, some seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow};
use strongroom_base::tasks;

use crate::client::{Client, Content, Target};

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Put,
    Get,
    Delete,
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

    /// The latency that `percent` of a hundred operations did not exceed.
    pub fn percentile(&mut self, percent: usize) -> Duration {
        self.0.sort_unstable();
        let index = self.0.len() * percent / 100;
        let last = self.0.len().saturating_sub(1);
        self.0.get(index.min(last)).copied().unwrap_or_default()
    }
}

/// A phase.
pub struct Phase<'a> {
    pub kind: Kind,
    pub target: &'a Target,
    pub content: &'a Content,
    pub connections: usize,
    pub time: Duration,
    /// Objects to read or delete are those before this number; puts end there.
    pub objects: usize,
    /// Puts begin here.
    pub first: usize,
}

/// What came of it.
pub struct Outcome {
    pub latencies: Latencies,
    pub took: Duration,
    /// The first object number that was not used.
    pub next: usize,
}

impl Phase<'_> {
    /// Runs it.
    pub async fn run(&self) -> Result<Outcome> {
        let next = Arc::new(AtomicUsize::new(self.first));
        let mut clients = Vec::new();
        for _ in 0..self.connections {
            clients.push(Client::connect(self.target).await?);
        }
        let clock = &self.target.clock;
        let started = clock.monotonic();
        let end = started + self.time;
        let mut running = Vec::new();
        for client in clients {
            running.push(tasks::spawn(self.drive(client, Arc::clone(&next), end)));
        }
        let mut latencies = Latencies::default();
        for one in running {
            latencies.merge(
                one.await
                    .map_err(|error| anyhow!("a task failed: {error}"))??,
            );
        }
        Ok(Outcome {
            latencies,
            took: clock.monotonic() - started,
            next: next.load(Ordering::Relaxed).min(self.objects),
        })
    }

    fn drive(
        &self,
        mut client: Client,
        next: Arc<AtomicUsize>,
        end: Duration,
    ) -> impl Future<Output = Result<Latencies>> + Send + 'static {
        let clock = Arc::clone(&self.target.clock);
        let (kind, content) = (self.kind, self.content.clone());
        let (first, objects) = (self.first, self.objects);
        async move {
            let mut latencies = Latencies::default();
            loop {
                let started = clock.monotonic();
                if started >= end {
                    return Ok(latencies);
                }
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= objects && kind != Kind::Get {
                    return Ok(latencies);
                }
                match kind {
                    Kind::Put => client.put(&key(number), &content).await?,
                    Kind::Get => {
                        // Scattered over all objects, the same way in each run.
                        let scattered = number.wrapping_mul(7_368_787) % (objects - first);
                        client.get(&key(first + scattered), &content).await?;
                    }
                    Kind::Delete => client.delete(&key(number)).await?,
                }
                latencies.add(clock.monotonic() - started);
            }
        }
    }
}

/// Keys in two levels of folders, as people have them.
fn key(number: usize) -> String {
    format!("load/{:02x}/{number:08}", number % 256)
}
