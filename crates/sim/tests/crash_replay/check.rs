//! Starts a store on what a power cut left and compares it with the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strongroom_base::SeededRandom;
use strongroom_objects::Error;
use strongroom_sim::{
    CrashPoint, Engine, EngineParts, Replay, SimViews, SimWorld, Topology, Variant,
};

use crate::client::{complete, get, list, make_bucket, parts, put, sweep_all};
use crate::ledger::{KeyLedger, Ledger, Piece, content};
use crate::{HANG_LIMIT, clock_at};

/// One in so many points is also checked with a failure domain wiped, with the power going again
/// during recovery, and by a second start.
const WIPE_ONE_IN: u64 = 4;
const SWEEP_ONE_IN: u64 = 3;
const RESTART_ONE_IN: u64 = 8;
const TWICE_ONE_IN: u64 = 200;

/// What was found in all.
#[derive(Default)]
pub struct Tally {
    pub recoveries: AtomicU64,
    pub lost: AtomicU64,
    pub torn: AtomicU64,
    pub resurrected: AtomicU64,
}

pub struct Checker {
    topology: Topology,
    ready_limit: Duration,
    pub tally: Tally,
}

/// Bytes and ETag under each key.
type Found = BTreeMap<String, (Vec<u8>, String)>;

impl Checker {
    pub fn new(topology: Topology, ready_limit: Duration) -> Self {
        Self {
            topology,
            ready_limit,
            tally: Tally::default(),
        }
    }

    pub async fn check(&self, point: &CrashPoint) -> Result<(), String> {
        let ledger = Ledger::of(point.events());
        let world = point.world();
        if point.draw.is_multiple_of(TWICE_ONE_IN) {
            return self.check_twice(point, &ledger).await;
        }
        let found = self.check_world(point, &world, &ledger).await?;
        if point.draw.is_multiple_of(RESTART_ONE_IN) {
            self.check_same_again(point, &world, &ledger, &found)
                .await?;
        }
        let can_lose_one = self.topology.member_count() > 1;
        if point.draw % WIPE_ONE_IN == 1 && ledger.bucket_made && can_lose_one {
            let world = point.world();
            let member = (point.draw >> 16) as usize % self.topology.member_count();
            for disk in self.topology.member_disks(member) {
                world.wipe_disk(disk);
            }
            let checked = self.check_world(point, &world, &ledger).await;
            checked.map_err(|text| format!("with member {member} wiped: {text}"))?;
        }
        Ok(())
    }

    async fn serve(&self, point: &CrashPoint, world: &SimWorld) -> Result<Engine, String> {
        // Each start draws its own names, as a real one does.
        let start = self.tally.recoveries.fetch_add(1, Ordering::Relaxed);
        let seed = point.draw.wrapping_add(start << 20);
        let views = SimViews::after_power_cut(world, point.events(), point.draw);
        let parts = EngineParts {
            hang_limit: HANG_LIMIT,
            views: Arc::new(views),
            clock: clock_at(point.event_count + 1_000_000),
            random: Arc::new(SeededRandom::new(seed)),
        };
        Engine::serve(world, self.topology, &parts, self.ready_limit)
            .map_err(|why| format!("does not serve: {why}"))
    }

    /// I1, I2, I3; then the store goes on working, when it can.
    async fn check_world(
        &self,
        point: &CrashPoint,
        world: &SimWorld,
        ledger: &Ledger,
    ) -> Result<Found, String> {
        let engine = self.serve(point, world).await?;
        let found = self.check_objects(&engine, ledger).await?;
        if engine.meta.ready_write().is_ok() && point.draw.is_multiple_of(SWEEP_ONE_IN) {
            self.check_sweep(&engine, ledger, &found).await?;
        }
        if engine.meta.ready_write().is_ok() {
            check_uploads(&engine, ledger).await?;
            check_goes_on(&engine, ledger).await?;
        } else if self.topology.member_count() != 2 {
            return Err(format!("no writes: {:?}", engine.meta.ready_write()));
        }
        Ok(found)
    }

    /// Twice everything that a sweep may free goes, and nothing that can be read changes.
    async fn check_sweep(
        &self,
        engine: &Engine,
        ledger: &Ledger,
        found: &Found,
    ) -> Result<(), String> {
        for _ in 0..2 {
            let swept = sweep_all(&engine.objects).await;
            swept.map_err(|error| format!("sweep: {error}"))?;
        }
        let again = self.check_objects(engine, ledger).await;
        match again.map_err(|text| format!("after a sweep: {text}"))? == *found {
            true => Ok(()),
            false => Err("objects differ after a sweep".to_owned()),
        }
    }

    async fn check_objects(&self, engine: &Engine, ledger: &Ledger) -> Result<Found, String> {
        let mut found = Found::new();
        for (key, expected) in &ledger.keys {
            let object = match get(&engine.objects, key).await {
                Ok(object) => object,
                Err(Error::NoSuchBucket) if !ledger.bucket_made => None,
                Err(error) => {
                    self.tally.torn.fetch_add(1, Ordering::Relaxed);
                    return Err(format!("{key} can not be read: {error}"));
                }
            };
            self.check_object(key, expected, object.as_ref().map(|(bytes, _)| &bytes[..]))?;
            found.extend(object.map(|object| (key.clone(), object)));
        }
        let listed = match list(&engine.objects).await {
            Err(Error::NoSuchBucket) if !ledger.bucket_made => Vec::new(),
            other => other.map_err(|error| format!("list: {error}"))?,
        };
        let expected = found.iter().map(|(key, (bytes, etag))| {
            let size = bytes.len() as u64;
            (key.clone(), size, etag.clone())
        });
        if !listed.iter().cloned().eq(expected) {
            let read: Vec<_> = found.keys().collect();
            return Err(format!(
                "the list is {listed:?}, what can be read is {read:?}"
            ));
        }
        Ok(found)
    }

    fn check_object(
        &self,
        key: &str,
        expected: &KeyLedger,
        found: Option<&[u8]>,
    ) -> Result<(), String> {
        let is = |state: &Option<Vec<Piece>>| match (state, found) {
            (None, None) => true,
            (Some(pieces), Some(bytes)) => {
                pieces.iter().map(|piece| piece.size).sum::<usize>() == bytes.len()
                    && content(pieces) == bytes
            }
            _ => false,
        };
        if expected.possible.iter().any(is) {
            return Ok(());
        }
        let (what, count) = match (expected.ever.iter().any(is), found) {
            (true, Some(_)) if expected.possible == [None] => {
                ("a deleted object is back", &self.tally.resurrected)
            }
            (true, _) => ("an older state is back", &self.tally.lost),
            (false, _) => ("its bytes were never written so", &self.tally.torn),
        };
        count.fetch_add(1, Ordering::Relaxed);
        Err(format!(
            "{key}: {what}: found {:?} bytes, possible {:?}",
            found.map(<[u8]>::len),
            expected.possible
        ))
    }

    /// I4: a start after a stop finds the same objects.
    async fn check_same_again(
        &self,
        point: &CrashPoint,
        world: &SimWorld,
        ledger: &Ledger,
        found: &Found,
    ) -> Result<(), String> {
        let engine = self.serve(point, &world.after_kill()).await?;
        for key in ledger.keys.keys() {
            let again = match get(&engine.objects, key).await {
                Err(Error::NoSuchBucket) if !ledger.bucket_made => None,
                other => other.map_err(|error| format!("second start: {key}: {error}"))?,
            };
            let completed = ledger.uploads.iter().any(|upload| upload.key == *key);
            if again.as_ref() != found.get(key) && !completed {
                return Err(format!("{key} differs at the second start"));
            }
        }
        Ok(())
    }

    /// The power goes again, at every event of the recovery.
    async fn check_twice(&self, point: &CrashPoint, ledger: &Ledger) -> Result<(), String> {
        let world = point.world();
        world.start_trace();
        drop(self.serve(point, &world).await?);
        let trace = world.take_trace();
        let mut replay = Replay::new(&trace);
        while replay.advance().is_some() {
            let states = replay.crash_states();
            let variants = states.variants();
            let drawn = variants[point.draw as usize / 7 % variants.len()];
            for variant in [Variant::OnlySynced, drawn] {
                let world = states.build(variant);
                let checked = self.check_world(point, &world, ledger).await;
                checked.map_err(|text| {
                    let count = replay.position();
                    format!("then after {count} events of recovery, {variant}: {text}")
                })?;
            }
        }
        Ok(())
    }
}

/// Parts that were acknowledged are listed, and the upload can be completed from them.
async fn check_uploads(engine: &Engine, ledger: &Ledger) -> Result<(), String> {
    for upload in &ledger.uploads {
        let listed = parts(&engine.objects, &upload.key, &upload.id).await;
        let listed = listed.map_err(|error| format!("upload {}: {error}", upload.id))?;
        let is_listed = |(number, (_, etag)): &(&u16, &(Piece, String))| {
            listed.iter().any(|(n, e)| n == *number && e == etag)
        };
        // A part that was being sent again when the power went may be either.
        let missing = upload.parts.iter().filter(|part| !is_listed(part)).count();
        if missing > 1 {
            return Err(format!(
                "upload {}: parts are missing: {listed:?}",
                upload.id
            ));
        }
        if missing == 1 || upload.parts.is_empty() {
            continue;
        }
        let chosen = upload.parts.iter();
        let chosen = chosen.map(|(number, (_, etag))| (*number, etag.clone()));
        complete(&engine.objects, &upload.key, &upload.id, chosen)
            .await
            .map_err(|error| format!("upload {} can not be completed: {error}", upload.id))?;
        let pieces: Vec<Piece> = upload.parts.values().map(|(piece, _)| *piece).collect();
        let read = get(&engine.objects, &upload.key).await;
        let read = read.map_err(|error| format!("completed {}: {error}", upload.key))?;
        if read.is_none_or(|(bytes, _)| bytes != content(&pieces)) {
            return Err(format!("completed {} has other bytes", upload.key));
        }
    }
    Ok(())
}

/// A new object can be written and read.
async fn check_goes_on(engine: &Engine, ledger: &Ledger) -> Result<(), String> {
    if !ledger.bucket_made {
        match make_bucket(&engine.objects).await {
            Ok(()) | Err(Error::BucketAlreadyOwnedByYou) => {}
            Err(error) => return Err(format!("new bucket: {error}")),
        }
    }
    for (id, size) in [(1, 100), (2, 20_000)] {
        let piece = Piece { id, size };
        put(&engine.objects, "after", piece)
            .await
            .map_err(|error| format!("new object of {size} bytes: {error}"))?;
        let read = get(&engine.objects, "after").await;
        let read = read.map_err(|error| format!("new object of {size} bytes: {error}"))?;
        if read.is_none_or(|(bytes, _)| bytes != piece.bytes()) {
            return Err(format!("new object of {size} bytes reads back otherwise"));
        }
    }
    Ok(())
}
