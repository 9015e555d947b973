//! Where scrub goes on after a stop, and what ends its rests.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use strongroom_base::{ManualClock, SeededRandom, Timestamp, tasks};
use strongroom_blob::memory::MemoryBlobs;
use strongroom_meta::memory::MemoryMeta;
use strongroom_objects::{
    Content, CreateBucket, Job, ObjectHeaders, Objects, PutObject, Settings, UserMetadata,
    WriteConditions,
};
use strongroom_types::{BucketName, ObjectKey, Owner};
use strongroom_workers::{Clients, LogCheck, LogChecked, ScrubSettings, Scrubber, Upkeep, Worker};

const PATIENCE: Duration = Duration::from_secs(30);

struct Nobody;

impl Clients for Nobody {
    fn requests(&self) -> u64 {
        0
    }
}

/// A log of 3,500 batches with one bad copy, which may hang at a batch.
#[derive(Default)]
struct Log {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    hangs_at: Option<u64>,
    asked: Vec<Range<u64>>,
    superblocks: u64,
}

impl Log {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }
}

impl LogCheck for Log {
    fn kept(&self) -> Range<u64> {
        7..3507
    }
    fn check(&self, batches: Range<u64>) -> LogChecked {
        self.change(|state| state.asked.push(batches.clone()));
        // Not for ever: a test that failed must end.
        for _ in 0..2 * PATIENCE.as_millis() {
            if !self.change(|state| state.hangs_at.is_some_and(|at| batches.contains(&at))) {
                break;
            }
            tasks::sleep_thread(Duration::from_millis(1));
        }
        let bad = u64::from(batches.contains(&10));
        LogChecked {
            bad,
            repaired: bad,
            lost: 0,
        }
    }
    fn check_superblocks(&self) -> LogChecked {
        self.change(|state| state.superblocks += 1);
        LogChecked::default()
    }
}

struct World {
    clock: Arc<ManualClock>,
    objects: Objects,
    upkeep: Arc<Upkeep>,
    log: Arc<Log>,
}

impl World {
    async fn with(sizes: &[usize]) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000_000_000)));
        let objects = Objects::new(
            MemoryMeta::new(Arc::clone(&clock) as _),
            MemoryBlobs::new() as _,
            Arc::clone(&clock) as _,
            Arc::new(SeededRandom::new(5)),
            Settings::default(),
        );
        let bucket = BucketName::new("bucket").unwrap();
        let create = CreateBucket {
            lock_enabled: false,
            bucket: bucket.clone(),
            owner: Owner::new("0123456789abcdef").unwrap(),
            tags: Default::default(),
        };
        objects.create_bucket(create).await.unwrap();
        let world = Self {
            clock,
            objects,
            upkeep: Arc::default(),
            log: Arc::default(),
        };
        for (index, size) in sizes.iter().enumerate() {
            world.put(&format!("{index:04}"), *size).await;
        }
        world
    }

    async fn put(&self, key: &str, size: usize) {
        let bytes = Bytes::from(vec![7; size]);
        let stream = Box::pin(futures::stream::iter([Ok(bytes)]));
        // Ids of blobs begin with the time: scrub meets the newer ones later.
        self.clock.advance(Duration::from_secs(1));
        let put = PutObject {
            lock: Default::default(),
            bucket: BucketName::new("bucket").unwrap(),
            key: ObjectKey::new(key).unwrap(),
            content: Content::new(stream, size as u64),
            headers: ObjectHeaders::default(),
            metadata: UserMetadata::default(),
            tags: Default::default(),
            conditions: WriteConditions::default(),
        };
        self.objects.put_object(put).await.unwrap();
    }

    fn scrub(&self) -> Worker {
        let settings = ScrubSettings {
            poll_interval: Duration::from_millis(2),
            ..ScrubSettings::default()
        };
        let scrubber = Scrubber::new(
            self.objects.clone(),
            Arc::clone(&self.upkeep),
            Arc::clone(&self.log) as _,
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
}

fn has_ended(world: &World) -> bool {
    world.upkeep.scrub().job.ended > Timestamp(0)
}

/// AZ25: where scrub of the log is, is durable, and so is what it found: a restart repeats at most what was under way, and
/// counts nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn az25_scrub_of_the_log_goes_on_after_a_restart_where_it_was() {
    let mut world = World::with(&[]).await;
    world.log.change(|state| state.hangs_at = Some(2100));
    let worker = world.scrub();
    let is_hung = |world: &World| {
        world
            .log
            .change(|state| state.asked.last() == Some(&(2007..3007)))
    };
    world.until("the third part of the log", is_hung).await;
    worker.stop().await;
    let job = world.objects.job(Job::Scrub).await.unwrap();
    world.log.change(|state| state.hangs_at = None);
    assert_eq!((job.level, job.bad, job.repaired), (2007, 1, 1));
    assert_eq!(job.ended, Timestamp(0));

    (world.log, world.upkeep) = (Arc::default(), Arc::default());
    let worker = world.scrub();
    world.until("a pass ended", has_ended).await;
    worker.stop().await;
    let asked = world.log.change(|state| state.asked.clone());
    assert_eq!(asked, [2007..3007, 3007..3507]);
    assert_eq!(
        world.log.change(|state| state.superblocks),
        0,
        "read before"
    );
    let job = world.objects.job(Job::Scrub).await.unwrap();
    assert_eq!((job.level, job.bad, job.repaired), (0, 1, 1));

    // The next pass reads the log from its begin.
    world.clock.advance(Duration::from_secs(14 * 24 * 60 * 60));
    world.log.change(|state| state.asked.clear());
    let worker = world.scrub();
    let is_read = |world: &World| world.log.change(|state| state.asked.len() == 4);
    world.until("the log is read again", is_read).await;
    worker.stop().await;
    assert_eq!(world.log.change(|state| state.asked[0].clone()), 7..1007);
}

/// AZ25: a pass asked for by hand does not wait for the end of a rest.
#[tokio::test]
async fn az25_a_pass_asked_for_ends_the_rest_of_the_one_under_way() {
    // At the slowest pace its rest lasts longer than this test has patience.
    let world = World::with(&[40 * 1024 * 1024, 20_000]).await;
    let worker = world.scrub();
    let batch_done = async {
        while world
            .objects
            .job(Job::Scrub)
            .await
            .unwrap()
            .cursor
            .is_none()
        {
            tasks::sleep(Duration::from_millis(1)).await;
        }
    };
    tasks::timeout(PATIENCE, batch_done).await.expect("a batch");
    assert!(!has_ended(&world));
    world.upkeep.start_scrub();
    assert!(world.upkeep.is_scrub_asked());
    world.until("a pass ended", has_ended).await;
    worker.stop().await;
    assert!(!world.upkeep.is_scrub_asked());
}

/// AZ25: who asks for a pass means what is stored now, however old the pass under way is. A pass that began on
/// an empty store ended at once although it had read nothing of what came since.
#[tokio::test]
async fn az25_a_pass_asked_for_reads_what_was_stored_while_the_one_under_way_rested() {
    let world = World::with(&[40 * 1024 * 1024]).await;
    let worker = world.scrub();
    let has_begun = async {
        while world.objects.job(Job::Scrub).await.unwrap().blobs == 0 {
            tasks::sleep(Duration::from_millis(1)).await;
        }
    };
    tasks::timeout(PATIENCE, has_begun).await.expect("a batch");
    for key in ["later", "later still"] {
        world.put(key, 20_000).await;
    }
    world.upkeep.start_scrub();
    world.until("a pass ended", has_ended).await;
    worker.stop().await;
    assert_eq!(world.objects.job(Job::Scrub).await.unwrap().blobs, 3);
    assert!(!world.upkeep.is_scrub_asked());
}

/// AZ25: each ask is answered by a pass that began after it, whether the one under way answers another or
/// nobody asked for it.
#[tokio::test(flavor = "multi_thread")]
async fn az25_a_pass_asked_for_while_the_log_is_read_is_followed_by_another() {
    for is_asked_before in [false, true] {
        let world = World::with(&[20_000]).await;
        world.log.change(|state| state.hangs_at = Some(10));
        if is_asked_before {
            world.upkeep.start_scrub();
        }
        let worker = world.scrub();
        let is_hung = |world: &World| world.log.change(|state| !state.asked.is_empty());
        world.until("the log", is_hung).await;
        world.put("later", 20_000).await;
        world.upkeep.start_scrub();
        world.log.change(|state| state.hangs_at = None);
        world
            .until("an answer", |world| !world.upkeep.is_scrub_asked())
            .await;
        worker.stop().await;
        let superblocks = world.log.change(|state| state.superblocks);
        let blobs = world.objects.job(Job::Scrub).await.unwrap().blobs;
        assert_eq!((superblocks, blobs), (2, 2));
    }
}
