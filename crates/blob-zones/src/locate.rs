//! Where the shards of a blob lie, and what is known of each.
//!
//! An operator who holds a failing disk in hand wants to know what was on it, and one who sees an
//! object reduced wants to know which disk is to blame. The answer comes from the headers of the
//! segments, one read for each shard of a run; the bytes are read only when asked for.
//!
//! Invariants
//! - Nothing is written, no repair is queued.
//! - A shard is called verified only when every block of every stripe of the run was read.

use std::collections::HashSet;
use std::sync::Arc;

use strongroom_blob::{Location, Result, RunLocation, ShardLocation, ShardState};

use crate::home::Home;
use crate::place::{BlobPlace, Stripe};
use crate::segment::segment_path;
use crate::store::Store;

impl Store {
    /// Looks where the shards of each run are; with `verify` reads them all.
    pub(crate) async fn locate(
        self: &Arc<Self>,
        place: &BlobPlace,
        verify: bool,
    ) -> Result<Location> {
        let mut location = Location {
            size: place.size,
            runs: Vec::new(),
        };
        let mut start = 0;
        for run in &place.runs {
            let stripes: Vec<Stripe> = place.stripes(start..start + run.bytes).collect();
            start += run.bytes;
            let Some(first) = stripes.first() else {
                continue;
            };
            let home = self.home(first).await?;
            let mut bad = HashSet::new();
            if verify {
                for stripe in &stripes {
                    bad.extend(self.check_stripe(stripe, &home).await.bad);
                }
            }
            let shards = 0..first.shard_count();
            location.runs.push(RunLocation {
                data_shards: u32::from(run.data_count),
                parity_shards: u32::from(run.parity_count),
                stripes: stripes.len() as u64,
                offset: run.offset,
                size: run.geometry().run_size(run.bytes),
                shards: shards
                    .map(|shard| locate_shard(first, &home, shard, verify, bad.contains(&shard)))
                    .collect(),
            });
        }
        Ok(location)
    }
}

fn locate_shard(
    stripe: &Stripe,
    home: &Home,
    shard: usize,
    verified: bool,
    bad: bool,
) -> ShardLocation {
    let disk = home.disks[shard].as_ref();
    let state = match disk {
        None => ShardState::Out,
        Some(disk) if disk.in_service().is_none() => ShardState::Out,
        Some(_) if home.headers_bad.contains(&shard) => ShardState::Damaged,
        Some(disk) if !home.headers_good.contains(&(shard, disk.id)) => ShardState::Missing,
        Some(_) if bad => ShardState::Damaged,
        Some(_) if verified => ShardState::Verified,
        Some(_) => ShardState::Present,
    };
    ShardLocation {
        zone: disk.map(|disk| disk.zone.clone()),
        disk: disk.map(|disk| disk.name.clone()),
        segment: segment_path(stripe.group, shard),
        state,
    }
}
