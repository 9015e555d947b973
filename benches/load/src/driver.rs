//! A target and what has been stored on it: runs one step after another and tells each as a row.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use strongroom_base::Clock;

use crate::bare::Bare;
use crate::client::{Client, PARTS};
use crate::phase::{Kind, Outcome, Phase, Range};
use crate::process::Usage;
use crate::report::{Row, Use};
use crate::target::{Target, Used};
use strongroom_load::bodies::Bodies;
use strongroom_load::sign::Signer;

/// Objects that lists want: two pages and more, so that a page may begin somewhere.
const LIST_OBJECTS_MIN: u64 = 3000;
/// The least that a put counts against the bytes a phase may put: records take space as well.
const PUT_COST_MIN: u64 = 4096;

/// One measurement to take.
#[derive(Clone, Copy)]
pub struct Step {
    pub kind: Kind,
    pub size: usize,
    pub connections: usize,
}

/// What all steps of a run share.
pub struct Terms {
    pub clock: Arc<dyn Clock>,
    pub time: Duration,
    /// Most bytes that one phase puts.
    pub put_bytes_max: u64,
    pub seed: u64,
}

/// A target with a bucket of its own.
pub struct Driver {
    pub target: Target,
    bucket: String,
    /// What exists of each size; multipart uploads apart.
    ranges: BTreeMap<(usize, bool), Range>,
}

impl Driver {
    pub async fn new(target: Target, terms: &Terms) -> Result<Self> {
        let bucket = format!("load-{}", terms.clock.now().millis());
        let signing = target.signer.at(terms.clock.now(), &target.address);
        Client::create_bucket(&target.address, &signing, &bucket)
            .await
            .with_context(|| format!("create a bucket on {}", target.name))?;
        Ok(Self {
            target,
            bucket,
            ranges: BTreeMap::new(),
        })
    }

    /// Runs the step, after it put what the step reads.
    pub async fn step(&mut self, step: Step, bodies: &Arc<Bodies>, terms: &Terms) -> Result<Row> {
        self.fill(step, bodies, terms).await?;
        let before = self.target.used().await?;
        let mut outcome = self.phase(step, bodies, terms, None).await?;
        let after = self.target.used().await?;
        let used = Use::between(&before, &after, stored(step, &outcome));
        Ok(Row::new(name(step.kind), step, &mut outcome, used))
    }

    /// Puts objects that are not measured when the step has too few.
    async fn fill(&mut self, step: Step, bodies: &Arc<Bodies>, terms: &Terms) -> Result<()> {
        let wanted = match step.kind {
            Kind::Put | Kind::Multipart => return Ok(()),
            Kind::List => LIST_OBJECTS_MIN,
            Kind::Get | Kind::Head | Kind::Delete => step.connections as u64,
        };
        let range = self.ranges.entry((step.size, false)).or_default();
        let there = range.next - range.first;
        if there < wanted {
            let put = Step {
                kind: Kind::Put,
                connections: step.connections.max(8),
                ..step
            };
            self.phase(put, bodies, terms, Some(wanted - there)).await?;
        }
        Ok(())
    }

    async fn phase(
        &mut self,
        step: Step,
        bodies: &Arc<Bodies>,
        terms: &Terms,
        fill: Option<u64>,
    ) -> Result<Outcome> {
        let key = (step.size, step.kind == Kind::Multipart);
        let range = self.ranges.entry(key).or_default();
        let parts = if step.kind == Kind::Multipart {
            PARTS
        } else {
            1
        };
        let cost = (step.size as u64 * parts).max(PUT_COST_MIN);
        let most = (terms.put_bytes_max / cost).max(step.connections as u64);
        let phase = Phase {
            kind: step.kind,
            address: self.target.address.clone(),
            bucket: self.bucket.clone(),
            signing: self
                .target
                .signer
                .at(terms.clock.now(), &self.target.address),
            bodies: Arc::clone(bodies),
            connections: step.connections,
            // What is put for others is put whole, however long it takes.
            time: if fill.is_some() {
                Duration::from_secs(3600)
            } else {
                terms.time
            },
            range: *range,
            puts_max: fill.unwrap_or(most),
            clock: Arc::clone(&terms.clock),
        };
        let outcome = phase.run().await?;
        match step.kind {
            Kind::Put | Kind::Multipart => range.next = outcome.next,
            Kind::Delete => range.first = outcome.next,
            Kind::Get | Kind::Head | Kind::List => {}
        }
        Ok(outcome)
    }
}

/// GETs of one object from bare hyper, by the same client over as many connections.
pub async fn bare(step: Step, bodies: &Arc<Bodies>, terms: &Terms) -> Result<Row> {
    let server = Bare::start(step.size, terms.seed)?;
    let signer = Signer {
        access_key: "none".to_owned(),
        secret_key: "none".to_owned(),
        region: "us-east-1".to_owned(),
    };
    let phase = Phase {
        kind: Kind::Get,
        address: server.address.clone(),
        bucket: "bare".to_owned(),
        signing: signer.at(terms.clock.now(), &server.address),
        bodies: Arc::clone(bodies),
        connections: step.connections,
        time: terms.time,
        range: Range { first: 0, next: 1 },
        puts_max: 0,
        clock: Arc::clone(&terms.clock),
    };
    let usage = || -> Result<Used> {
        Ok(Used {
            process: Some(Usage::of(server.pid)?),
            syncs: None,
        })
    };
    let before = usage()?;
    let mut outcome = phase.run().await?;
    let used = Use::between(&before, &usage()?, 0);
    Ok(Row::new("bare hyper", step, &mut outcome, used))
}

/// Bytes of clients that the step stored.
fn stored(step: Step, outcome: &Outcome) -> u64 {
    let bytes = (step.size * outcome.latencies.count()) as u64;
    match step.kind {
        Kind::Put => bytes,
        Kind::Multipart => bytes * PARTS,
        Kind::Get | Kind::Head | Kind::List | Kind::Delete => 0,
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Put => "put",
        Kind::Get => "get",
        Kind::Head => "head",
        Kind::List => "list",
        Kind::Delete => "delete",
        Kind::Multipart => "multipart",
    }
}
