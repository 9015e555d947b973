//! The packer over the stores in memory, with a log whose size the test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use strongroom_base::{ManualClock, SeededRandom, Timestamp, tasks};
use strongroom_blob::memory::MemoryBlobs;
use strongroom_meta::memory::MemoryMeta;
use strongroom_meta::{
    Error, ErrorKind, InlinePlace, LogExtent, MetaStore, Page, Record, Transaction, Trimmed,
};
use strongroom_objects::{
    Content, CreateBucket, GetObject, ObjectHeaders, Objects, PutObject, Settings, UserMetadata,
    WriteConditions,
};
use strongroom_types::{BucketName, ObjectKey, Owner};
use strongroom_workers::{PackSettings, Packer, PackerCounters, Worker};

/// How long a test waits for a worker before it fails; a worker that works is far quicker.
const PATIENCE: Duration = Duration::from_secs(30);
const LOG_SIZE: u64 = 1 << 20;

/// A store in memory whose log is as large as the test says, and becomes empty when it is trimmed.
struct Sized {
    inner: Arc<MemoryMeta>,
    log_bytes: AtomicU64,
    refuses: AtomicBool,
    asked: AtomicU64,
}

#[async_trait]
impl MetaStore for Sized {
    async fn get(&self, key: &[u8]) -> Result<Option<Record>, Error> {
        self.inner.get(key).await
    }
    async fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Page, Error> {
        self.inner.scan(prefix, after, limit).await
    }
    async fn inline_bytes(&self, place: InlinePlace) -> Result<Bytes, Error> {
        self.inner.inline_bytes(place).await
    }
    async fn transact(&self, transaction: Transaction) -> Result<(), Error> {
        self.inner.transact(transaction).await
    }
    async fn log_extent(&self) -> Result<LogExtent, Error> {
        let mut extent = self.inner.log_extent().await?;
        extent.bytes = self.log_bytes.load(Ordering::SeqCst);
        Ok(extent)
    }
    async fn trim(&self, through: u64) -> Result<Trimmed, Error> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "a view is missing"));
        }
        let trimmed = self.inner.trim(through).await?;
        let bytes = self.log_bytes.swap(0, Ordering::SeqCst);
        Ok(Trimmed { bytes, ..trimmed })
    }
}

struct World {
    meta: Arc<Sized>,
    objects: Objects,
    counters: Arc<PackerCounters>,
    worker: Worker,
}

fn bucket() -> BucketName {
    BucketName::new("bucket").unwrap()
}

fn key(index: usize) -> ObjectKey {
    ObjectKey::new(format!("k{index}")).unwrap()
}

fn bytes_of(index: usize) -> Bytes {
    vec![index as u8; 1000 + index].into()
}

impl World {
    async fn new(count: usize) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000_000_000)));
        let meta = Arc::new(Sized {
            inner: MemoryMeta::new(clock.clone()),
            log_bytes: AtomicU64::new(0),
            refuses: AtomicBool::new(false),
            asked: AtomicU64::new(0),
        });
        let random = Arc::new(SeededRandom::new(1));
        let blobs = MemoryBlobs::new();
        let objects = Objects::new(
            meta.clone(),
            blobs,
            clock.clone(),
            random,
            Settings::default(),
        );
        let create = CreateBucket {
            lock_enabled: false,
            bucket: bucket(),
            owner: Owner::new("owner").unwrap(),
            tags: Default::default(),
        };
        objects.create_bucket(create).await.unwrap();
        for index in 0..count {
            let bytes = bytes_of(index);
            let size = bytes.len() as u64;
            let stream = futures::stream::once(async move { Ok(bytes) });
            let request = PutObject {
                lock: Default::default(),
                bucket: bucket(),
                key: key(index),
                content: Content::new(Box::pin(stream), size),
                headers: ObjectHeaders::default(),
                metadata: UserMetadata::default(),
                tags: Default::default(),
                conditions: WriteConditions::default(),
            };
            objects.put_object(request).await.unwrap();
        }
        let settings = PackSettings {
            log_size_bytes: LOG_SIZE,
            poll_interval: Duration::from_millis(1),
            compact_interval: Duration::ZERO,
            retry_after: Duration::from_millis(1),
            ..PackSettings::default()
        };
        let packer = Packer::new(objects.clone(), clock, settings);
        let counters = packer.counters();
        let worker = Worker::start("packer", packer.run());
        Self {
            meta,
            objects,
            counters,
            worker,
        }
    }

    fn counted(&self, name: &str) -> u64 {
        let mut samples = self.counters.samples().into_iter();
        samples.find(|sample| sample.0 == name).unwrap().2
    }

    async fn wait_for(&self, what: impl Fn(&Self) -> bool) {
        let wait = async {
            while !what(self) {
                tasks::sleep(Duration::from_millis(1)).await;
            }
        };
        tasks::timeout(PATIENCE, wait)
            .await
            .expect("it comes to that");
    }

    async fn check_all(&self, count: usize) {
        for index in 0..count {
            let request = GetObject::new(bucket(), key(index));
            let output = self.objects.get_object(request).await.unwrap();
            let chunks: Vec<Bytes> = output.content.try_collect().await.unwrap();
            assert_eq!(chunks.concat(), bytes_of(index));
        }
    }
}

#[tokio::test]
async fn a_log_past_its_size_is_packed_and_given_back_and_a_smaller_one_is_not() {
    let world = World::new(20).await;
    world.meta.log_bytes.store(LOG_SIZE - 1, Ordering::SeqCst);
    tasks::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.meta.asked.load(Ordering::SeqCst), 0);
    assert_eq!(world.meta.inner.inline_count(), 20);
    world.meta.log_bytes.store(LOG_SIZE, Ordering::SeqCst);
    world
        .wait_for(|world| world.counted("strongroom_log_trims_total") == 1)
        .await;
    assert_eq!(world.meta.inner.inline_count(), 0);
    assert_eq!(world.counted("strongroom_packed_contents_total"), 20);
    assert_eq!(
        world.counted("strongroom_log_trimmed_bytes_total"),
        LOG_SIZE
    );
    world.check_all(20).await;
    world.worker.stop().await;
}

#[tokio::test]
async fn a_refused_trim_is_not_asked_again_before_the_log_has_grown() {
    let world = World::new(3).await;
    world.meta.refuses.store(true, Ordering::SeqCst);
    world.meta.log_bytes.store(LOG_SIZE * 2, Ordering::SeqCst);
    let refused =
        |count| move |world: &World| world.counted("strongroom_log_trims_refused_total") == count;
    world.wait_for(refused(1)).await;
    tasks::sleep(Duration::from_millis(50)).await;
    assert!(refused(1)(&world), "the log has not grown");
    world.meta.log_bytes.fetch_add(LOG_SIZE, Ordering::SeqCst);
    world.wait_for(refused(2)).await;
    world.meta.refuses.store(false, Ordering::SeqCst);
    world
        .meta
        .log_bytes
        .fetch_add(LOG_SIZE * 2, Ordering::SeqCst);
    world
        .wait_for(|world| world.counted("strongroom_log_trims_total") == 1)
        .await;
    world.check_all(3).await;
    world.worker.stop().await;
}
