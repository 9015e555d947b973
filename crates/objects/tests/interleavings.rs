//! T9: clients beside packing, compaction, repair, sweep and mark scans, in schedules that a scheduler
//! picks, cut short by a crash, while disks go out and come back.
//!
//! Every call of a store is a point at which another task may go on (Shuttle with PCT: few changes of
//! priority at random moments, which is how rare interleavings are found). A crash stops every task where
//! it is, before or after the call it is in; a new domain over the same stores then settles. Commits are
//! the units here: what a crash leaves of one is crash replay's matter.
//!
//! Invariants that are checked
//! - Whatever is read is the whole content of a write that was begun, and not older than what was
//!   acknowledged before the read began.
//! - After crash and settling the same holds of what is stored.
//! - Once settled, every blob has the redundancy asked for, and the counter of those without agrees.
//! - When everything is deleted and swept, nothing is left.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::channel::oneshot;
use shuttle::Runner;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::atomic::AtomicU64;
use strongroom_base::{ManualClock, SeededRandom, Timestamp};
use strongroom_blob::memory::MemoryBlobs;
use strongroom_blob::{
    BlobMark, BlobStore, ByteStream, Freed, Health, Location, Place, PutOptions, Written,
};
use strongroom_meta::memory::MemoryMeta;
use strongroom_meta::{InlinePlace, LogExtent, MetaStore, Page, Record, Transaction, Trimmed};
use strongroom_objects::{
    Compaction, Content, CreateBucket, DeleteObject, Error, GetObject, ObjectHeaders, Objects,
    PackLimits, Packing, PutObject, Settings, SweepLimits, UserMetadata, WriteConditions,
};
use strongroom_types::{BucketName, ObjectKey, Owner};

/// Calls of stores before the crash at most: beyond what all tasks make together.
const CRASH_AT_MAX: u64 = 500;
/// Keys: the first has two writers, the others one each.
const KEYS: usize = 3;
/// Futures of operations lie on the stack of their task.
const STACK_SIZE_BYTES: usize = 512 * 1024;

/// Where tasks may change, and where they all stop.
struct Switch {
    calls: AtomicU64,
    crash_at: u64,
    crashed: Mutex<Option<oneshot::Sender<()>>>,
}

impl Switch {
    async fn point(&self) {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if call >= self.crash_at {
            if let Some(crashed) = self.crashed.lock().unwrap().take() {
                let _ = crashed.send(());
            }
            std::future::pending::<()>().await;
        }
    }

    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        self.point().await;
        let answer = call.await;
        self.point().await;
        answer
    }
}

struct Meta(Arc<MemoryMeta>, Arc<Switch>);

#[async_trait]
impl MetaStore for Meta {
    async fn get(&self, key: &[u8]) -> strongroom_meta::Result<Option<Record>> {
        self.1.call(self.0.get(key)).await
    }
    async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> strongroom_meta::Result<Page> {
        self.1.call(self.0.scan(prefix, after, limit)).await
    }
    async fn inline_bytes(&self, place: InlinePlace) -> strongroom_meta::Result<Bytes> {
        self.1.call(self.0.inline_bytes(place)).await
    }
    async fn transact(&self, transaction: Transaction) -> strongroom_meta::Result<()> {
        self.1.call(self.0.transact(transaction)).await
    }
    async fn log_extent(&self) -> strongroom_meta::Result<LogExtent> {
        self.1.call(self.0.log_extent()).await
    }
    async fn trim(&self, through: u64) -> strongroom_meta::Result<Trimmed> {
        self.1.call(self.0.trim(through)).await
    }
}

struct Blobs(Arc<MemoryBlobs>, Arc<Switch>);

#[async_trait]
impl BlobStore for Blobs {
    async fn put(
        &self,
        options: PutOptions,
        content: ByteStream,
    ) -> strongroom_blob::Result<Written> {
        self.1.call(self.0.put(options, content)).await
    }
    async fn read(
        &self,
        place: &Place,
        range: std::ops::Range<u64>,
    ) -> strongroom_blob::Result<ByteStream> {
        self.1.call(self.0.read(place, range)).await
    }
    async fn verify(&self, place: &Place) -> strongroom_blob::Result<Health> {
        self.1.call(self.0.verify(place)).await
    }
    async fn repair(&self, place: &Place) -> strongroom_blob::Result<Health> {
        self.1.call(self.0.repair(place)).await
    }
    async fn rewrite(&self, place: &Place) -> strongroom_blob::Result<Written> {
        self.1.call(self.0.rewrite(place)).await
    }
    async fn locate(&self, place: &Place, verify: bool) -> strongroom_blob::Result<Location> {
        self.1.call(self.0.locate(place, verify)).await
    }
    async fn free(&self, place: &Place) -> strongroom_blob::Result<Freed> {
        self.1.call(self.0.free(place)).await
    }
    async fn begin_mark(&self) -> strongroom_blob::Result<Box<dyn BlobMark>> {
        self.1.call(self.0.begin_mark()).await
    }
    fn is_reduced(&self, place: &Place) -> bool {
        self.0.is_reduced(place)
    }
}

/// What was done to a key: writes are numbered from 1 in the order in which they began.
#[derive(Default, Clone)]
struct Story {
    /// Whether each write leaves an object there.
    puts: Vec<bool>,
    acknowledged: u64,
}

impl Story {
    /// Whether what is there may be the result of write `number` or, for none, of a delete.
    fn allows(&self, acknowledged: u64, found: Option<u64>) -> bool {
        let possible = acknowledged..=self.puts.len() as u64;
        match found {
            Some(number) => possible.contains(&number) && self.puts[number as usize - 1],
            None => possible
                .into_iter()
                .any(|number| number == 0 || !self.puts[number as usize - 1]),
        }
    }
}

#[derive(Clone)]
struct World {
    meta: Arc<MemoryMeta>,
    blobs: Arc<MemoryBlobs>,
    clock: Arc<ManualClock>,
    stories: Arc<Mutex<[Story; KEYS]>>,
}

fn bucket() -> BucketName {
    BucketName::new("bucket").unwrap()
}

fn key(index: usize) -> ObjectKey {
    ObjectKey::new(format!("k{index}")).unwrap()
}

/// The content of a write: it tells which, and is of another size than the others.
fn content(key: usize, number: u64) -> Bytes {
    let word = format!("{key}:{number};");
    word.repeat(40 + 30 * number as usize).into()
}

fn number_of(key: usize, bytes: &Bytes) -> u64 {
    let text = std::str::from_utf8(bytes).unwrap();
    let first = text.split(';').next().unwrap();
    let number = first.split_once(':').unwrap().1.parse().unwrap();
    assert_eq!(
        *bytes,
        content(key, number),
        "not the whole content of a write"
    );
    number
}

const LIMITS: PackLimits = PackLimits {
    content_bytes_max: 4096,
    content_count_max: 2,
    moves_max: 1,
};

const SWEEP: SweepLimits = SweepLimits {
    hold_back: std::time::Duration::ZERO,
    bytes_max: 0,
    pressed: false,
};

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000_000_000)));
        Self {
            meta: MemoryMeta::new(clock.clone()),
            blobs: MemoryBlobs::new(),
            clock,
            stories: Arc::default(),
        }
    }

    /// A domain over the stores, and what stops it.
    fn domain(&self, run: u64, crash_at: u64) -> (Objects, oneshot::Receiver<()>) {
        let (crashed, signal) = oneshot::channel();
        let switch = Arc::new(Switch {
            calls: AtomicU64::new(0),
            crash_at,
            crashed: Mutex::new(Some(crashed)),
        });
        let objects = Objects::new(
            Arc::new(Meta(self.meta.clone(), switch.clone())),
            Arc::new(Blobs(self.blobs.clone(), switch)),
            self.clock.clone(),
            Arc::new(SeededRandom::new(run)),
            Settings::default(),
        );
        (objects, signal)
    }

    fn story<T>(&self, key: usize, with: impl FnOnce(&mut Story) -> T) -> T {
        with(&mut self.stories.lock().unwrap()[key])
    }

    async fn write(&self, objects: &Objects, index: usize, put: bool) {
        let number = self.story(index, |story| {
            story.puts.push(put);
            story.puts.len() as u64
        });
        if put {
            let bytes = content(index, number);
            let size = bytes.len() as u64;
            let stream = futures::stream::once(async move { Ok(bytes) });
            let put = PutObject {
                lock: Default::default(),
                bucket: bucket(),
                key: key(index),
                content: Content::new(Box::pin(stream), size),
                headers: ObjectHeaders::default(),
                metadata: UserMetadata::default(),
                tags: Default::default(),
                conditions: WriteConditions::default(),
            };
            objects.put_object(put).await.unwrap();
        } else {
            let delete = DeleteObject {
                bypass: Default::default(),
                bucket: bucket(),
                key: key(index),
                version_id: None,
                if_match: None,
            };
            objects.delete_object(delete).await.unwrap();
        }
        self.story(index, |story| {
            story.acknowledged = story.acknowledged.max(number)
        });
    }

    /// What is there is allowed by the writes so far. Of the key with two writers nothing is known of
    /// their order, only that it is the whole of one of theirs.
    async fn read(&self, objects: &Objects, index: usize) {
        let before = match index {
            0 => 0,
            _ => self.story(index, |story| story.acknowledged),
        };
        let get = GetObject::new(bucket(), key(index));
        let found = match objects.get_object(get).await {
            Ok(found) => {
                let parts: Vec<Bytes> = found.content.try_collect().await.unwrap();
                Some(number_of(index, &parts.concat().into()))
            }
            Err(Error::NoSuchKey { .. }) => None,
            Err(error) => panic!("key {index}: {error}"),
        };
        let story = self.story(index, |story| story.clone());
        assert!(
            story.allows(before, found),
            "key {index}: {found:?} was read; {before} was acknowledged, begun {:?}",
            story.puts
        );
    }

    async fn pack(&self, objects: &Objects) {
        let extent = objects.log_extent().await.unwrap();
        let mut packing = Packing::new(extent.newest, LIMITS);
        while objects.pack_step(&mut packing).await.unwrap() {}
        // It may be refused: something was written or moved meanwhile.
        let _ = objects.trim_log(packing.trimmable()).await;
    }

    async fn compact(&self, objects: &Objects, steps: usize) {
        let mut compaction = Compaction::default();
        for _ in 0..steps {
            objects
                .compact_step(&mut compaction, &LIMITS)
                .await
                .unwrap();
        }
    }

    async fn sweep(&self, objects: &Objects) {
        self.clock.advance(std::time::Duration::from_secs(60));
        let page = objects.sweep_page(&SWEEP, None, 100).await.unwrap();
        assert_eq!(page.error, None);
    }

    /// Looks for blobs written while disks were out and writes them anew.
    async fn repair(&self, objects: &Objects) {
        let page = objects.blobs_page(None, 100).await.unwrap();
        objects.mark_reduced(&page.blobs).await.unwrap();
        // A blob that was freed meanwhile can not be read: the next look finds it gone.
        objects.respread_page(None, 100).await.unwrap();
    }

    /// Everything that is put off is done.
    async fn settle(&self, objects: &Objects) {
        self.blobs.mark_reduced(false);
        let repaired = objects.respread_page(None, 100).await.unwrap();
        assert!(repaired.error.is_none(), "{:?}", repaired.error);
        assert_eq!(objects.blobs_reduced().await.unwrap(), 0);
        assert_eq!(objects.count_reduced().await.unwrap(), 0);
        for _ in 0..3 {
            self.pack(objects).await;
            self.compact(objects, 4).await;
            self.sweep(objects).await;
        }
        objects.mark_scan().await.unwrap();
    }
}

/// One schedule, with a crash before call `crash_at` of the stores, if there are so many.
async fn schedule(crash_at: u64) -> bool {
    let world = World::new();
    let (setup, _signal) = world.domain(1, u64::MAX);
    let create = CreateBucket {
        lock_enabled: false,
        bucket: bucket(),
        owner: Owner::new("owner").unwrap(),
        tags: Default::default(),
    };
    setup.create_bucket(create).await.unwrap();
    // Some contents lie in packs, some in the log; some packs are half dead, and they were written while
    // disks were out.
    for index in [0, 1, 2, 1] {
        world.write(&setup, index, true).await;
    }
    world.blobs.mark_reduced(true);
    world.pack(&setup).await;
    world.write(&setup, 2, true).await;

    let (objects, crashed) = world.domain(2, crash_at);
    let mut tasks = Vec::new();
    macro_rules! task {
        (|$world:ident, $objects:ident| $body:block) => {{
            let ($world, $objects) = (world.clone(), objects.clone());
            tasks.push(shuttle::future::spawn(async move { $body }));
        }};
    }
    task!(|world, objects| {
        for (index, put) in [(0, true), (1, true), (1, false), (1, true)] {
            world.write(&objects, index, put).await;
        }
    });
    task!(|world, objects| {
        for (index, put) in [(2, false), (0, true), (2, true), (0, false)] {
            world.write(&objects, index, put).await;
        }
    });
    task!(|world, objects| {
        for index in [1, 2, 0, 1, 2] {
            world.read(&objects, index).await;
        }
    });
    // Two at once: what one moved the other must leave where it is.
    task!(|world, objects| {
        world.pack(&objects).await;
    });
    task!(|world, objects| {
        world.pack(&objects).await;
    });
    task!(|world, objects| {
        world.compact(&objects, 4).await;
    });
    // Disks come back, go out and come back.
    task!(|world, objects| {
        for is_out in [false, true, false] {
            world.blobs.mark_reduced(is_out);
            world.repair(&objects).await;
        }
    });
    task!(|world, objects| {
        world.sweep(&objects).await;
        objects.mark_scan().await.unwrap();
        world.sweep(&objects).await;
    });
    let aborts: Vec<_> = tasks.iter().map(|task| task.abort_handle()).collect();
    let all = futures::future::join_all(tasks);
    let ended = futures::future::select(crashed, all).await;
    let is_crashed = matches!(ended, futures::future::Either::Left(_));
    if let futures::future::Either::Left((_, rest)) = ended {
        aborts.iter().for_each(|task| task.abort());
        // They let go of what they hold, as a process does that ends.
        rest.await;
    }

    let (objects, _signal) = world.domain(3, u64::MAX);
    for index in 0..KEYS {
        world.read(&objects, index).await;
    }
    world.settle(&objects).await;
    for index in 0..KEYS {
        world.read(&objects, index).await;
        world.write(&objects, index, false).await;
    }
    world.settle(&objects).await;
    assert_eq!(
        world.blobs.blob_count(),
        0,
        "bytes that nobody names are left"
    );
    assert_eq!(objects.bucket_usage(&bucket()).await.unwrap().objects, 0);
    is_crashed
}

/// Runs `iterations` schedules, the crash of each drawn as the schedule is. How many crashed.
fn explore(scheduler: impl Scheduler + 'static, iterations: usize) -> u64 {
    let crashes = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = Arc::clone(&crashes);
    let mut config = shuttle::Config::new();
    config.stack_size = STACK_SIZE_BYTES;
    let runs = Runner::new(scheduler, config).run(move || {
        use shuttle::rand::Rng;
        let crash_at = shuttle::rand::thread_rng().gen_range(0..CRASH_AT_MAX);
        let is_crashed = shuttle::future::block_on(schedule(crash_at));
        count.fetch_add(u64::from(is_crashed), Ordering::SeqCst);
    });
    assert_eq!(runs, iterations);
    crashes.load(Ordering::SeqCst)
}

fn seed() -> u64 {
    let seed = std::env::var("STRONGROOM_TEST_SEED").ok();
    seed.map_or(20, |seed| {
        seed.parse().expect("STRONGROOM_TEST_SEED is a number")
    })
}

fn scaled(iterations: usize) -> usize {
    let scale = std::env::var("STRONGROOM_TEST_SCALE").ok();
    let scale = scale.map_or(1, |scale| scale.parse::<usize>().expect("a whole number"));
    iterations * scale
}

/// T9. The seed is in the name of what failed: `STRONGROOM_TEST_SEED` repeats a run.
#[test]
fn t9_no_schedule_and_no_crash_loses_resurrects_or_leaks() {
    let seed = seed();
    let (mut schedules, mut crashes) = (0, 0);
    for depth in 1..=4 {
        let iterations = scaled(2000);
        println!("seed {seed}, depth {depth}");
        let scheduler = PctScheduler::new_from_seed(seed + depth as u64, depth, iterations);
        crashes += explore(scheduler, iterations);
        schedules += iterations;
    }
    let iterations = scaled(2000);
    println!("seed {seed}, at random");
    crashes += explore(RandomScheduler::new_from_seed(seed, iterations), iterations);
    schedules += iterations;
    println!(
        r#"RELIABILITY {{"proof": "T9 schedules of clients, packing, compaction, repair and sweep", "unit": "schedules", "trials": {schedules}, "bad": 0, "counts": {{"crashes": {crashes}}}}}"#
    );
    assert!(
        crashes > 0 && crashes < schedules as u64,
        "some crash, some do not"
    );
}
