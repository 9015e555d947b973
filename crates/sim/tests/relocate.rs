//! T2 for moves of segments (RFC 0011): a disk is drained and removed; the power is cut at every
//! event. Afterwards every blob reads whole, the drain goes on by itself to its end, and then a zone
//! may go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use strongroom_base::{Clock, ManualClock, Random, SeededRandom, Timestamp};
use strongroom_blob::{BlobStore, NoRest, Place, PutOptions};
use strongroom_blob_zones::{Settings, ZoneBlobs};
use strongroom_sim::{CrashPoint, SimWorld, Trace, print_figure, scaled, sweep};
use strongroom_zones::{
    CommitLog, DiskChange, DiskSpec, NewDisk, OpenOptions, OutReason, Recovered, Store, open,
};

/// The disks by zone: before one is added, while it is drained, and after.
const FORMAT: &[(&str, usize)] = &[("a", 0), ("b", 1), ("c", 2)];
const WITH_BOTH: &[(&str, usize)] = &[("a", 0), ("a", 3), ("b", 1), ("c", 2)];
const REMOVED: &[(&str, usize)] = &[("a", 3), ("b", 1), ("c", 2)];
const SIZES: [usize; 4] = [700_000, 90_000, 400_000, 5_000];

static STARTS: AtomicU64 = AtomicU64::new(100);

/// The removal was answered.
#[derive(Debug)]
struct Removed;

struct Served {
    store: Store,
    log: CommitLog,
    blobs: Arc<ZoneBlobs>,
}

fn serve(world: &SimWorld, disks: &[(&str, usize)]) -> Result<Served, String> {
    let spec = |(zone, disk): &(&str, usize)| DiskSpec {
        zone: (*zone).to_owned(),
        name: format!("disk{disk}"),
        disk: world.disk(*disk),
    };
    let specs: Vec<DiskSpec> = disks.iter().map(spec).collect();
    let options = OpenOptions {
        member_wait: Duration::ZERO,
        log_file_size: 64 * 1024,
        ..OpenOptions::default()
    };
    // No two starts may draw the same ids.
    let seed = STARTS.fetch_add(1, Ordering::Relaxed);
    let random: Arc<dyn Random> = Arc::new(SeededRandom::new(seed));
    let opened = open(&specs, options, Arc::clone(&random)).map_err(|e| format!("open: {e}"))?;
    let store = Store::new(opened);
    let log = match store.recover(0).map_err(|e| format!("recover: {e}"))? {
        Recovered::Serving(log) => log,
        Recovered::ReadOnly(_, _, why) => return Err(format!("read only: {why}")),
    };
    let opened = store.opened();
    let settings = Settings {
        segment_size: 512 * 1024,
        stripe_size: 128 * 1024,
        reserve_step: 128 * 1024,
        free_space_min: 0,
        ..Settings::default()
    };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(1)));
    let blobs = ZoneBlobs::open(
        Arc::clone(&opened.disks),
        opened.store,
        opened.run,
        settings,
        random,
        clock,
    );
    let blobs = blobs.map_err(|error| error.to_string())?;
    Ok(Served { store, log, blobs })
}

impl Served {
    fn change(&mut self, change: DiskChange) -> Result<(), String> {
        let change = self.store.prepare_change(change)?;
        self.log.change_disks(change).map_err(|stalled| stalled.0)?
    }

    fn id(&self, name: &str) -> Option<strongroom_zones::DiskId> {
        let mut disks = self.store.opened().disks.all().iter();
        disks.find(|disk| disk.name == name).map(|disk| disk.id)
    }

    async fn relocate(&self) -> Result<(), String> {
        for _ in 0..100 {
            if !self.blobs.relocate(&NoRest).await {
                return Ok(());
            }
        }
        Err("the moves never end".to_owned())
    }
}

fn content(index: usize) -> Vec<u8> {
    let mut bytes = vec![0; SIZES[index]];
    SeededRandom::new(index as u64 + 1).fill(&mut bytes);
    bytes
}

async fn put(served: &Served, index: usize) -> Place {
    let bytes = Bytes::from(content(index));
    let options = PutOptions {
        size: bytes.len() as u64,
        owner: Bytes::from_static(b"me"),
    };
    let stream = Box::pin(futures::stream::iter([Ok(bytes)]));
    served.blobs.put(options, stream).await.unwrap().place
}

async fn workload() -> (Trace, Vec<Place>) {
    let world = SimWorld::new(41);
    let mut served = serve(&world, FORMAT).unwrap();
    let mut places = Vec::new();
    for index in 0..SIZES.len() {
        places.push(put(&served, index).await);
    }
    let new = NewDisk {
        folder: "disk3".to_owned(),
        disk: world.disk(3),
    };
    let zone = "a".to_owned();
    served.change(DiskChange::Add { zone, new }).unwrap();
    drop(served);
    let world = world.after_kill();
    let mut served = serve(&world, WITH_BOTH).unwrap();
    world.start_trace();
    let disk = served.id("disk0").unwrap();
    served.change(DiskChange::Drain { disk }).unwrap();
    served.relocate().await.unwrap();
    served.change(DiskChange::Remove { disk }).unwrap();
    world.mark(Removed);
    (world.take_trace(), places)
}

async fn check_reads(served: &Served, places: &[Place]) -> Result<(), String> {
    for (index, place) in places.iter().enumerate() {
        let size = SIZES[index] as u64;
        let stream = served.blobs.read(place, 0..size).await;
        let mut stream = stream.map_err(|error| format!("blob {index}: {error}"))?;
        let mut found = Vec::new();
        while let Some(bytes) = stream.next().await {
            found.extend_from_slice(&bytes.map_err(|error| format!("blob {index}: {error}"))?);
        }
        if found != content(index) {
            return Err(format!("blob {index}: other bytes"));
        }
    }
    Ok(())
}

/// `headers_bad`: so many headers may be damaged, which costs no content.
async fn check_whole(
    served: &Served,
    places: &[Place],
    when: &str,
    headers_bad: u64,
) -> Result<(), String> {
    check_reads(served, places).await?;
    for (index, place) in places.iter().enumerate() {
        let health = served.blobs.verify(place).await;
        let health = health.map_err(|error| format!("{when}: blob {index}: {error}"))?;
        if health.shards_bad > headers_bad || health.stripes_lost > 0 {
            return Err(format!("{when}: blob {index}: {health:?}"));
        }
    }
    Ok(())
}

/// The store with the disk that is drained, or without it when it was removed.
fn reopen(point: &CrashPoint) -> Result<(SimWorld, Served), String> {
    let was_removed = point
        .events()
        .iter()
        .any(|event| event.mark::<Removed>().is_some());
    let world = point.world();
    match serve(&world, WITH_BOTH) {
        Ok(_) if was_removed => Err("the disk that was removed is taken again".to_owned()),
        Ok(served) => Ok((world, served)),
        Err(why) if why.contains("was drained and removed") => {
            let world = point.world();
            serve(&world, REMOVED).map(|served| (world, served))
        }
        Err(why) => Err(why),
    }
}

async fn check(point: &CrashPoint, places: &[Place]) -> Result<(), String> {
    let (world, served) = reopen(point)?;
    // The power may go while a header is written over.
    check_whole(&served, places, "at once", 1).await?;
    served.relocate().await?;
    check_whole(&served, places, "moved", 0).await?;
    let disks = &served.store.opened().disks;
    let old = served.id("disk0").filter(|id| disks.is_drained(*id));
    let left = world.list_files(0).into_iter();
    let left: Vec<_> = left.filter(|(name, _)| name.ends_with(".seg")).collect();
    if old.is_some() && !left.is_empty() {
        return Err(format!("left on the drained disk: {left:?}"));
    }
    // The drained disk dies, and a zone with it.
    let gone = old.into_iter().chain(served.id("disk1"));
    for id in gone {
        disks.take_out(id, OutReason::Failed("test".to_owned()));
    }
    world.wipe_disk(1);
    if old.is_some() {
        world.wipe_disk(0);
    }
    let reads = check_reads(&served, places).await;
    reads.map_err(|why| format!("a zone and the drained disk lost: {why}"))
}

#[test]
fn az21_a_power_cut_at_every_event_of_a_drain_loses_no_shard_and_it_goes_on_to_its_end() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (trace, places) = runtime.block_on(workload());
    let check = |point: &CrashPoint| runtime.block_on(check(point, &places));
    let report = sweep(&trace, scaled(1500), check);
    let bad = report.failures.len() as u64;
    let proof = "T2 power cut while a disk is drained and removed";
    print_figure(proof, "crash points", report.points, bad, &[]);
    for failure in &report.failures {
        println!("  {failure}");
    }
    assert!(report.failures.is_empty());
    assert!(report.points > 100, "{} points", report.points);
}
