//! The sweeper over the stores in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use strongroom_base::{ManualClock, SeededRandom, Timestamp, tasks};
use strongroom_blob::memory::MemoryBlobs;
use strongroom_blob::{BlobStore, PutOptions};
use strongroom_meta::memory::MemoryMeta;
use strongroom_objects::{
    Content, CreateBucket, DeleteObject, ObjectHeaders, Objects, PutObject, Settings, UserMetadata,
    WriteConditions,
};
use strongroom_types::{BucketName, ObjectKey, Owner};
use strongroom_workers::{Space, SpaceNow, SweepSettings, Sweeper, Worker};

/// Above what goes inline.
const SIZE_BYTES: usize = 20_000;
/// How long a test waits for the worker before it fails; one that works is far quicker.
const PATIENCE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Default)]
struct Disks(AtomicBool);

impl Space for Disks {
    fn look(&self) -> SpaceNow {
        SpaceNow {
            pressed: self.0.load(Ordering::SeqCst),
            disk_bytes_min: 1 << 30,
        }
    }
}

struct World {
    clock: Arc<ManualClock>,
    blobs: Arc<MemoryBlobs>,
    objects: Objects,
    disks: Arc<Disks>,
}

fn bucket() -> BucketName {
    BucketName::new("bucket").unwrap()
}

fn key(index: usize) -> ObjectKey {
    ObjectKey::new(format!("object-{index}")).unwrap()
}

impl World {
    /// A store of `count` objects, of which the first half is deleted.
    async fn with_objects(count: usize) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000_000_000)));
        let blobs = MemoryBlobs::new();
        let objects = Objects::new(
            MemoryMeta::new(clock.clone()),
            blobs.clone(),
            clock.clone(),
            Arc::new(SeededRandom::new(1)),
            Settings::default(),
        );
        let world = Self {
            clock,
            blobs,
            objects,
            disks: Arc::default(),
        };
        world.create("bucket").await;
        let objects = &world.objects;
        for index in 0..count {
            let bytes = Bytes::from(vec![index as u8; SIZE_BYTES]);
            let stream = futures::stream::once(async move { Ok(bytes) });
            let put = PutObject {
                lock: Default::default(),
                bucket: bucket(),
                key: key(index),
                content: Content::new(Box::pin(stream), SIZE_BYTES as u64),
                headers: ObjectHeaders::default(),
                metadata: UserMetadata::default(),
                tags: Default::default(),
                conditions: WriteConditions::default(),
            };
            objects.put_object(put).await.unwrap();
        }
        for index in 0..count / 2 {
            let delete = DeleteObject {
                bypass: Default::default(),
                bucket: bucket(),
                key: key(index),
                version_id: None,
                if_match: None,
            };
            objects.delete_object(delete).await.unwrap();
        }
        world
    }

    async fn create(&self, name: &str) {
        let create = CreateBucket {
            lock_enabled: false,
            bucket: BucketName::new(name).unwrap(),
            owner: Owner::new("owner").unwrap(),
            tags: Default::default(),
        };
        self.objects.create_bucket(create).await.unwrap();
    }

    fn start(&self) -> Worker {
        let settings = SweepSettings {
            poll_interval: Duration::from_millis(1),
            mark_after: HOUR,
            ..SweepSettings::default()
        };
        let space = Arc::clone(&self.disks) as _;
        let clock = Arc::clone(&self.clock) as _;
        let sweeper = Sweeper::new(self.objects.clone(), space, clock, settings);
        Worker::start("sweep", sweeper.run())
    }

    async fn wait_for_blobs(&self, wanted: usize) {
        let wait = async {
            while self.blobs.blob_count() != wanted {
                tasks::sleep(Duration::from_millis(1)).await;
            }
        };
        let reached = tasks::timeout(PATIENCE, wait).await;
        let now = self.blobs.blob_count();
        reached.unwrap_or_else(|_| panic!("{now} blobs, waited for {wanted}"));
    }
}

// H34
#[tokio::test]
async fn deleted_objects_are_swept_when_their_day_is_over_and_the_worker_goes_on() {
    let world = World::with_objects(200).await;
    let worker = world.start();
    tasks::sleep(Duration::from_millis(20)).await;
    assert_eq!(world.blobs.blob_count(), 200, "too early");
    world.clock.advance(23 * HOUR);
    // Somebody uses the store: a clock that jumped by more than a day would not be believed.
    world.create("other").await;
    tasks::sleep(Duration::from_millis(20)).await;
    assert_eq!(world.blobs.blob_count(), 200, "too early");
    world.clock.advance(2 * HOUR);
    world.wait_for_blobs(100).await;
    worker.stop().await;
}

// H34
#[tokio::test]
async fn full_disks_end_the_hold_back() {
    let world = World::with_objects(10).await;
    let worker = world.start();
    world.clock.advance(Duration::from_secs(60));
    tasks::sleep(Duration::from_millis(20)).await;
    assert_eq!(world.blobs.blob_count(), 10, "nothing is full");
    world.disks.0.store(true, Ordering::SeqCst);
    world.wait_for_blobs(5).await;
    worker.stop().await;
}

// H28
#[tokio::test]
async fn what_no_record_names_is_searched_for_after_a_while() {
    let world = World::with_objects(2).await;
    let stream = futures::stream::iter([Ok(Bytes::from_static(b"lost"))]);
    let options = PutOptions {
        size: 4,
        owner: Bytes::new(),
    };
    drop(world.blobs.put(options, Box::pin(stream)).await.unwrap());
    let worker = world.start();
    tasks::sleep(Duration::from_millis(20)).await;
    assert_eq!(world.blobs.blob_count(), 3);
    world.clock.advance(HOUR);
    world.wait_for_blobs(2).await;
    worker.stop().await;
}
