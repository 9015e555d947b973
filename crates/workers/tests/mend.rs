//! Repair and scrub over stores in memory, with a blob store that knows levels of redundancy.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use strongroom_base::{ManualClock, SeededRandom, Timestamp, tasks};
use strongroom_blob::memory::MemoryBlobs;
use strongroom_blob::{
    BlobMark, BlobStore, ByteStream, Error, Filling, Freed, Health, Level, Location, Place,
    PutOptions, Redundancy, Survey, Written,
};
use strongroom_meta::memory::MemoryMeta;
use strongroom_objects::{
    Content, CreateBucket, DeleteObject, GetObject, Job, ObjectHeaders, Objects, PutObject,
    Settings, UserMetadata, WriteConditions,
};
use strongroom_types::{BucketName, ObjectKey, Owner};
use strongroom_workers::{
    Clients, LogCheck, LogChecked, MendSettings, Mender, Phase, ScrubSettings, Scrubber, Upkeep,
    Worker,
};

const SIZE_BYTES: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// What is wrong with blobs.
#[derive(Default)]
struct Wrong {
    /// Further losses survived by blobs with missing shards.
    margins: BTreeMap<Bytes, u32>,
    /// Damaged within their segments: nobody knows before they are read.
    rotten: BTreeSet<Bytes>,
    /// Not to be mended.
    stubborn: BTreeSet<Bytes>,
    lost: BTreeSet<Bytes>,
    /// Mended, and not verified since.
    filling: BTreeSet<Bytes>,
    /// In the order in which they were repaired.
    order: Vec<Bytes>,
    looked_at: u64,
    losses: u64,
}

struct Levels {
    inner: Arc<MemoryBlobs>,
    wrong: Mutex<Wrong>,
}

fn filling(place: &Bytes) -> Filling {
    Filling {
        disk: [0; 16],
        segment: hex(place),
        refill: 1,
    }
}

fn hex(bytes: &Bytes) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[async_trait]
impl BlobStore for Levels {
    async fn put(&self, options: PutOptions, content: ByteStream) -> Result<Written, Error> {
        self.inner.put(options, content).await
    }
    async fn read(&self, place: &Place, range: Range<u64>) -> Result<ByteStream, Error> {
        self.inner.read(place, range).await
    }
    async fn verify(&self, place: &Place) -> Result<Health, Error> {
        self.inner.verify(place).await
    }
    async fn repair(&self, place: &Place) -> Result<Health, Error> {
        self.inner.repair(place).await
    }
    async fn rewrite(&self, place: &Place) -> Result<Written, Error> {
        self.inner.rewrite(place).await
    }
    async fn locate(&self, place: &Place, verify: bool) -> Result<Location, Error> {
        self.inner.locate(place, verify).await
    }
    async fn free(&self, place: &Place) -> Result<Freed, Error> {
        self.inner.free(place).await
    }
    async fn begin_mark(&self) -> Result<Box<dyn BlobMark>, Error> {
        self.inner.begin_mark().await
    }
    fn is_reduced(&self, place: &Place) -> bool {
        self.inner.is_reduced(place)
    }
    async fn inspect(&self, places: &[Place], repair: bool) -> Vec<Result<Health, Error>> {
        assert!(repair);
        tasks::sleep(Duration::from_millis(1)).await;
        let mut wrong = self.wrong.lock().unwrap();
        let mut found = Vec::new();
        for place in places.iter().map(|place| &place.0) {
            wrong.looked_at += 1;
            let mut health = Health {
                shards_good: 3,
                ..Health::default()
            };
            if wrong.lost.contains(place) {
                health.stripes_lost = 1;
                health.shards_bad = 2;
            } else if wrong.stubborn.contains(place) {
                health.shards_bad = 1;
            } else if wrong.margins.remove(place).is_some() {
                health.shards_repaired = 1;
                wrong.filling.insert(place.clone());
                wrong.order.push(place.clone());
            } else if wrong.rotten.remove(place) {
                health.shards_repaired = 1;
            }
            found.push(Ok(health));
        }
        found
    }
    async fn survey(&self) -> Survey {
        let wrong = self.wrong.lock().unwrap();
        Survey {
            change: wrong.losses,
            losses: wrong.losses,
            filling: wrong.filling.iter().map(filling).collect(),
        }
    }
    async fn redundancy(&self, places: &[Place]) -> Vec<Redundancy> {
        let wrong = self.wrong.lock().unwrap();
        let one = |place: &Place| {
            let margin = wrong.margins.get(&place.0).copied();
            let is_filling = wrong.filling.contains(&place.0);
            match margin.or(is_filling.then_some(0)) {
                None => Redundancy::full(),
                Some(margin) => Redundancy {
                    level: if margin == 0 {
                        Level::Critical
                    } else {
                        Level::Reduced
                    },
                    margin,
                    mendable: true,
                    zones: vec![Arc::from("a")],
                    filling: is_filling.then(|| filling(&place.0)).into_iter().collect(),
                    ..Redundancy::full()
                },
            }
        };
        places.iter().map(one).collect()
    }
    async fn filled(&self, segments: &[Filling]) {
        let mut wrong = self.wrong.lock().unwrap();
        wrong
            .filling
            .retain(|place| !segments.contains(&filling(place)));
    }
}

struct Nobody;

impl Clients for Nobody {
    fn requests(&self) -> u64 {
        0
    }
}

/// A log of 2,500 batches, one of which is bad in one copy, and a bad superblock.
struct Log;

impl LogCheck for Log {
    fn kept(&self) -> Range<u64> {
        7..2507
    }
    fn check(&self, batches: Range<u64>) -> LogChecked {
        assert!(!batches.is_empty() && batches.end <= 2507);
        let bad = u64::from(batches.contains(&2506));
        LogChecked {
            bad,
            repaired: bad,
            lost: 0,
        }
    }
    fn check_superblocks(&self) -> LogChecked {
        LogChecked {
            bad: 1,
            repaired: 1,
            lost: 0,
        }
    }
}

struct World {
    clock: Arc<ManualClock>,
    levels: Arc<Levels>,
    objects: Objects,
    upkeep: Arc<Upkeep>,
    places: Vec<Bytes>,
}

fn bucket() -> BucketName {
    BucketName::new("bucket").unwrap()
}

fn key(index: usize) -> ObjectKey {
    ObjectKey::new(format!("{index:04}")).unwrap()
}

fn put(index: usize) -> PutObject {
    let bytes = Bytes::from(vec![index as u8; SIZE_BYTES]);
    PutObject {
        lock: Default::default(),
        bucket: bucket(),
        key: key(index),
        content: Content::new(
            Box::pin(futures::stream::iter([Ok(bytes)])),
            SIZE_BYTES as u64,
        ),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        conditions: WriteConditions::default(),
    }
}

impl World {
    async fn with(count: usize) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000_000_000)));
        let inner = MemoryBlobs::new();
        let levels = Arc::new(Levels {
            inner,
            wrong: Mutex::default(),
        });
        let objects = Objects::new(
            MemoryMeta::new(Arc::clone(&clock) as _),
            Arc::clone(&levels) as _,
            Arc::clone(&clock) as _,
            Arc::new(SeededRandom::new(5)),
            Settings::default(),
        );
        let owner = Owner::new("0123456789abcdef").unwrap();
        let create = CreateBucket {
            lock_enabled: false,
            bucket: bucket(),
            owner,
            tags: Default::default(),
        };
        objects.create_bucket(create).await.unwrap();
        for index in 0..count {
            objects.put_object(put(index)).await.unwrap();
        }
        let page = objects.blobs_page(None, 1000).await.unwrap();
        assert_eq!(page.blobs.len(), count);
        let places = page.blobs.into_iter().map(|blob| blob.place.0).collect();
        Self {
            clock,
            levels,
            objects,
            upkeep: Arc::default(),
            places,
        }
    }

    fn wrong<T>(&self, change: impl FnOnce(&mut Wrong) -> T) -> T {
        let mut wrong = self.levels.wrong.lock().unwrap();
        change(&mut wrong)
    }

    fn mend(&self) -> Worker {
        let settings = MendSettings {
            survey_interval: Duration::from_millis(2),
            retry_after: Duration::from_millis(2),
            retry_after_max: Duration::from_millis(4),
            ..MendSettings::default()
        };
        let mender = Mender::new(
            self.objects.clone(),
            Arc::clone(&self.upkeep),
            Arc::new(Nobody),
            Arc::clone(&self.clock) as _,
            settings,
        );
        Worker::start("repair", mender.run())
    }

    fn scrub(&self) -> Worker {
        let settings = ScrubSettings {
            poll_interval: Duration::from_millis(2),
            ..ScrubSettings::default()
        };
        let scrubber = Scrubber::new(
            self.objects.clone(),
            Arc::clone(&self.upkeep),
            Arc::new(Log),
            Arc::new(Nobody),
            Arc::clone(&self.clock) as _,
            settings,
        );
        Worker::start("scrub", scrubber.run())
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is_so(self) {
                tasks::sleep(Duration::from_millis(1)).await;
            }
        };
        tasks::timeout(PATIENCE, wait).await.expect(what);
    }

    fn is_whole(&self) -> bool {
        let standing = self.upkeep.standing();
        standing.is_some_and(|all| all.is_full() && !all.filling)
            && self.upkeep.repair().phase == Phase::Idle
    }
}

/// AZ23: least redundancy first; AZ28: the levels are counted before and after.
#[tokio::test]
async fn az23_blobs_that_survive_least_are_repaired_first() {
    let world = World::with(30).await;
    let places = world.places.clone();
    world.wrong(|wrong| {
        for (index, place) in places
            .iter()
            .enumerate()
            .filter(|(index, _)| index % 3 != 0)
        {
            wrong.margins.insert(place.clone(), [0, 2, 0, 1][index % 4]);
        }
    });
    let before = world.wrong(|wrong| wrong.margins.clone());
    let worker = world.mend();
    world.until("whole", World::is_whole).await;
    worker.stop().await;
    let order = world.wrong(|wrong| wrong.order.clone());
    assert_eq!(order.len(), 20);
    let margins: Vec<u32> = order.iter().map(|place| before[place]).collect();
    assert!(margins.is_sorted(), "{margins:?}");
    let standing = world.upkeep.standing().unwrap();
    assert_eq!(standing.levels[&Level::Full].blobs, 30);
    assert_eq!(standing.levels[&Level::Full].bytes, 30 * SIZE_BYTES as u64);
    assert_eq!(world.upkeep.repair().since, Timestamp(0));
}

/// AZ21: what was made anew is verified before it counts, and what fails is named; AZ24: it does not keep
/// the others from being whole.
#[tokio::test]
async fn az21_done_comes_after_verification_and_failures_are_listed() {
    let world = World::with(10).await;
    let places = world.places.clone();
    world.wrong(|wrong| {
        for place in &places {
            wrong.margins.insert(place.clone(), 0);
        }
        wrong.stubborn.insert(places[3].clone());
    });
    let worker = world.mend();
    world
        .until("one is left", |world| {
            let levels = world.upkeep.standing().map(|all| all.levels);
            levels.is_some_and(|levels| levels[&Level::Full].blobs == 9)
        })
        .await;
    let named = |world: &World| {
        let failed = world.upkeep.repair().failed;
        failed.len() == 1 && world.upkeep.repair().since > Timestamp(0)
    };
    world.until("it is named", named).await;
    assert!(!world.is_whole());
    world.wrong(|wrong| wrong.stubborn.clear());
    world.until("whole", World::is_whole).await;
    world
        .until("none is named", |world| {
            world.upkeep.repair().failed.is_empty()
        })
        .await;
    worker.stop().await;
}

/// AZ22: a stop repeats a batch at most.
#[tokio::test]
async fn az22_repair_goes_on_where_the_job_record_says() {
    let world = World::with(30).await;
    let places = world.places.clone();
    world.wrong(|wrong| {
        for place in &places {
            wrong.margins.insert(place.clone(), 0);
        }
    });
    let blobs = world.objects.blobs_page(None, 1000).await.unwrap().blobs;
    let cursor = blobs[19].blob;
    let change = world.objects.change_job(Job::Repair, move |job| {
        job.level = 0;
        job.cursor = Some(cursor);
        job.rate = 1 << 40;
    });
    change.await.unwrap();
    let worker = world.mend();
    world
        .until("the rest is repaired", |world| {
            world.wrong(|wrong| wrong.order.len() >= 10)
        })
        .await;
    let first = world.wrong(|wrong| wrong.order[..10].to_vec());
    assert_eq!(first, places[20..]);
    assert_eq!(world.upkeep.repair().rate_max, 1 << 40, "bounds last");
    // What lies before is found by the next walk: a cursor saves work, it decides nothing.
    world.until("whole", World::is_whole).await;
    worker.stop().await;
}

/// AZ22: a bound that is lifted is heeded at once, not after the rest it asked for.
#[tokio::test]
async fn az22_a_rest_for_a_bound_ends_when_the_bound_is_lifted() {
    let world = World::with(30).await;
    let places = world.places.clone();
    world.wrong(|wrong| {
        for place in &places {
            wrong.margins.insert(place.clone(), 0);
        }
    });
    // At a byte a second the rest lasts far longer than this test has patience.
    let change = world.objects.change_job(Job::Repair, |job| job.rate = 1);
    change.await.unwrap();
    let worker = world.mend();
    world
        .until("a batch was repaired", |world| {
            world.upkeep.repair().done.blobs > 0
        })
        .await;
    world.upkeep.set_rate_max(0);
    world.until("whole", World::is_whole).await;
    worker.stop().await;
}

/// AZ28: from the moment a disk changes nobody is told that what the last walk found still holds.
#[tokio::test]
async fn az28_what_a_walk_found_holds_until_a_disk_changes() {
    let disks = Arc::new(AtomicU64::new(1));
    let probe = Arc::clone(&disks);
    let mut world = World::with(3).await;
    world.upkeep = Arc::new(Upkeep::new(move || probe.load(Ordering::SeqCst)));
    assert!(!world.upkeep.is_current(), "nothing was walked over");
    let worker = world.mend();
    world
        .until("walked", |world| world.upkeep.is_current())
        .await;
    assert!(world.upkeep.standing().is_some());
    worker.stop().await;
    disks.store(2, Ordering::SeqCst);
    assert!(!world.upkeep.is_current());
    let worker = world.mend();
    world
        .until("walked again", |world| world.upkeep.is_current())
        .await;
    worker.stop().await;
}

/// AZ25, AZ26: what nobody knows to be damaged is found; counts and the time of the last pass are kept.
#[tokio::test]
async fn az25_scrub_finds_what_the_names_do_not_tell_and_remembers_when() {
    let world = World::with(20).await;
    let places = world.places.clone();
    world.wrong(|wrong| {
        wrong.rotten.insert(places[4].clone());
        wrong.rotten.insert(places[17].clone());
    });
    let worker = world.scrub();
    world.upkeep.start_scrub();
    let ended = |world: &World| world.upkeep.scrub().job.ended > Timestamp(0);
    world.until("a pass ended", ended).await;
    worker.stop().await;
    let job = world.upkeep.scrub().job;
    assert_eq!((job.blobs, job.bad, job.repaired, job.lost), (20, 4, 4, 0));
    assert_eq!(
        world.wrong(|wrong| (wrong.rotten.len(), wrong.looked_at)),
        (0, 20)
    );
    // Another process knows it too, and does not begin again before it is due.
    let worker = world.scrub();
    tasks::sleep(Duration::from_millis(20)).await;
    assert_eq!(world.wrong(|wrong| wrong.looked_at), 20);
    world.clock.advance(Duration::from_secs(14 * 24 * 60 * 60));
    world
        .until("the next pass", |world| {
            world.wrong(|wrong| wrong.looked_at == 40)
        })
        .await;
    worker.stop().await;
}

/// AZ27: what is lost is listed, and forgotten when it is deleted.
#[tokio::test]
async fn az27_what_is_lost_is_listed_until_it_is_deleted() {
    let world = World::with(5).await;
    let places = world.places.clone();
    world.wrong(|wrong| wrong.lost.insert(places[2].clone()));
    world.levels.inner.lose(&Place(places[2].clone()));
    let worker = world.scrub();
    world
        .until("a pass ended", |world| {
            world.upkeep.scrub().job.ended > Timestamp(0)
        })
        .await;
    worker.stop().await;
    let page = world.objects.list_lost(None, 10).await.unwrap();
    assert_eq!(page.lost.len(), 1);
    assert_eq!(page.lost[0].bucket, Some(bucket()));
    let lost = page.lost[0].key.clone().unwrap();
    let get = GetObject::new(bucket(), lost.clone());
    let error = world.objects.get_object(get).await.err().unwrap();
    assert!(
        matches!(error, strongroom_objects::Error::ObjectLost { .. }),
        "{error}"
    );
    assert_eq!(world.objects.review_lost().await, Ok(1));
    let delete = DeleteObject {
        bypass: Default::default(),
        bucket: bucket(),
        key: lost,
        version_id: None,
        if_match: None,
    };
    world.objects.delete_object(delete).await.unwrap();
    assert_eq!(world.objects.review_lost().await, Ok(0));
    assert!(
        world
            .objects
            .list_lost(None, 10)
            .await
            .unwrap()
            .lost
            .is_empty()
    );
}
