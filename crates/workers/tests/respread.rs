//! Re-spread over the stores in memory.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use strongroom_base::{ManualClock, SeededRandom, Timestamp, tasks};
use strongroom_blob::memory::MemoryBlobs;
use strongroom_blob::{
    BlobMark, BlobStore, ByteStream, Error, ErrorKind, Freed, Health, Location, Place, PutOptions,
    Written,
};
use strongroom_meta::MetaStore;
use strongroom_meta::memory::MemoryMeta;
use strongroom_objects::records::{BlobId, BlobRecord, RecordFormat, keys};
use strongroom_objects::{
    Content, CreateBucket, GetObject, ObjectHeaders, Objects, PutObject, Settings, UserMetadata,
    WriteConditions,
};
use strongroom_types::{BucketName, ObjectKey, Owner};
use strongroom_workers::{Redundancy, RespreadSettings, Respreader, Worker};

/// Above what goes inline.
const SIZE_BYTES: usize = 20_000;
/// How long a test waits for a worker before it fails; a worker that works is far quicker.
const PATIENCE: Duration = Duration::from_secs(30);

struct Whole(AtomicBool);

impl Redundancy for Whole {
    fn is_whole(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Blobs in memory, one of which can not be written anew: too many of its shards are gone.
struct Stubborn {
    inner: Arc<MemoryBlobs>,
    lost: Mutex<Option<Place>>,
}

#[async_trait]
impl BlobStore for Stubborn {
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
        if self.lost.lock().unwrap().as_ref() == Some(place) {
            return Err(Error::new(ErrorKind::Unavailable, "shards are gone"));
        }
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
}

struct World {
    clock: Arc<ManualClock>,
    meta: Arc<MemoryMeta>,
    blobs: Arc<MemoryBlobs>,
    stubborn: Arc<Stubborn>,
    objects: Objects,
    whole: Arc<Whole>,
}

impl World {
    async fn with_reduced(count: usize) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000_000_000)));
        let meta = MemoryMeta::new(clock.clone());
        let blobs = MemoryBlobs::new();
        let stubborn = Arc::new(Stubborn {
            inner: blobs.clone(),
            lost: Mutex::default(),
        });
        let objects = Objects::new(
            meta.clone(),
            stubborn.clone(),
            clock.clone(),
            Arc::new(SeededRandom::new(1)),
            Settings::default(),
        );
        let create = CreateBucket {
            lock_enabled: false,
            bucket: bucket(),
            owner: Owner::new("owner").unwrap(),
            tags: Default::default(),
        };
        objects.create_bucket(create).await.unwrap();
        blobs.mark_reduced(true);
        for index in 0..count {
            objects.put_object(put(index)).await.unwrap();
        }
        let whole = Arc::new(Whole(AtomicBool::new(false)));
        assert_eq!(objects.blobs_reduced().await, Ok(count as u64));
        Self {
            clock,
            meta,
            blobs,
            stubborn,
            objects,
            whole,
        }
    }

    fn start(&self) -> Worker {
        let settings = RespreadSettings {
            poll_interval: Duration::from_millis(1),
            retry_after: Duration::from_millis(1),
            retry_after_max: Duration::from_millis(4),
            ..RespreadSettings::default()
        };
        let whole = Arc::clone(&self.whole) as Arc<dyn Redundancy>;
        let clock = Arc::clone(&self.clock) as _;
        let worker = Respreader::new(self.objects.clone(), whole, clock, settings);
        Worker::start("respread", worker.run())
    }

    /// Disks are back.
    fn heal(&self) {
        self.blobs.mark_reduced(false);
        self.whole.0.store(true, Ordering::SeqCst);
    }

    async fn wait_for_reduced(&self, wanted: u64) {
        let wait = async {
            while self.objects.blobs_reduced().await != Ok(wanted) {
                tasks::sleep(Duration::from_millis(1)).await;
            }
        };
        let reached = tasks::timeout(PATIENCE, wait).await;
        let now = self.objects.blobs_reduced().await;
        reached.unwrap_or_else(|_| panic!("{now:?} reduced, waited for {wanted}"));
    }

    async fn get(&self, index: usize) -> Vec<u8> {
        let output = self
            .objects
            .get_object(GetObject::new(bucket(), key(index)));
        let chunks: Vec<Bytes> = output.await.unwrap().content.try_collect().await.unwrap();
        chunks.concat()
    }
}

fn bucket() -> BucketName {
    BucketName::new("bucket").unwrap()
}

fn key(index: usize) -> ObjectKey {
    ObjectKey::new(format!("object-{index}")).unwrap()
}

fn bytes(index: usize) -> Vec<u8> {
    (0..SIZE_BYTES).map(|at| (at * 7 + index) as u8).collect()
}

fn content(bytes: Vec<u8>) -> Content {
    let size = bytes.len() as u64;
    let stream = futures::stream::once(async move { Ok(Bytes::from(bytes)) });
    Content::new(Box::pin(stream), size)
}

fn put(index: usize) -> PutObject {
    PutObject {
        lock: Default::default(),
        bucket: bucket(),
        key: key(index),
        content: content(bytes(index)),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        conditions: WriteConditions::default(),
    }
}

// AZ20, H30
#[tokio::test]
async fn blobs_written_with_a_zone_out_are_made_whole_when_it_is_back() {
    let world = World::with_reduced(11).await;
    let worker = world.start();
    tasks::sleep(Duration::from_millis(20)).await;
    assert_eq!(world.objects.blobs_reduced().await, Ok(11), "too early");
    assert_eq!(world.blobs.blob_count(), 11, "nothing is written in vain");
    world.heal();
    world.wait_for_reduced(0).await;
    for index in 0..11 {
        assert_eq!(world.get(index).await, bytes(index));
    }
    // And again, without another start.
    world.whole.0.store(false, Ordering::SeqCst);
    world.blobs.mark_reduced(true);
    world.objects.put_object(put(11)).await.unwrap();
    world.heal();
    world.wait_for_reduced(0).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_blob_that_fails_does_not_keep_the_others_from_their_redundancy() {
    let world = World::with_reduced(9).await;
    let page = world.meta.scan(b"b", None, 9).await.unwrap();
    let (key, record) = &page.records[0];
    let first = BlobRecord::decode(&record.value).unwrap();
    let id = key[1..].try_into().unwrap();
    *world.stubborn.lost.lock().unwrap() = first.place;
    world.heal();
    let worker = world.start();
    world.wait_for_reduced(1).await;
    // Tried again and again, and given up never.
    tasks::sleep(Duration::from_millis(50)).await;
    let left = world.meta.scan(&keys::reduceds(), None, 9).await.unwrap();
    assert_eq!(left.records.len(), 1);
    assert_eq!(left.records[0].0, keys::reduced(BlobId(id)));
    *world.stubborn.lost.lock().unwrap() = None;
    world.wait_for_reduced(0).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_was_stopped_goes_on_where_the_records_say() {
    let world = World::with_reduced(200).await;
    world.heal();
    let worker = world.start();
    let some_done = async {
        while world.objects.blobs_reduced().await == Ok(200) {
            tasks::sleep(Duration::from_micros(50)).await;
        }
    };
    tasks::timeout(PATIENCE, some_done).await.unwrap();
    worker.stop().await;
    let left = world.objects.blobs_reduced().await.unwrap();
    tasks::sleep(Duration::from_millis(20)).await;
    assert_eq!(world.objects.blobs_reduced().await, Ok(left), "it stopped");
    let worker = world.start();
    world.wait_for_reduced(0).await;
    worker.stop().await;
    for index in 0..200 {
        assert_eq!(world.get(index).await, bytes(index));
    }
}
