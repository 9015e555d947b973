//! H10 on the real engine: a disk goes out after the shards of a blob were synced and before the
//! commit that refers to it. The client has its 200, and the bytes are where the next loss leaves
//! them readable.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use strongroom_base::{ManualClock, Random, SeededRandom, Timestamp};
use strongroom_meta::{InlinePlace, MetaStore, Page, Record, Transaction};
use strongroom_objects::*;
use strongroom_sim::{Engine, EngineParts, Fault, FaultKind, OpKind, SimViews, SimWorld, Topology};
use strongroom_types::{BucketName, ObjectKey, Owner, PartNumber};
use strongroom_zones::OutReason;

/// One stripe, and several.
const SIZES: [usize; 2] = [60_000, 1_500_000];
const START_LIMIT: Duration = Duration::from_secs(60);
const TOPOLOGIES: [Topology; 3] = [
    Topology::new(3, 1),
    Topology::new(3, 2),
    Topology::new(3, 4),
];

/// Something that happens between the sync of the shards and the commit.
type Between = Box<dyn FnOnce() + Send>;

/// The real metadata store, with something happening before the next commit that refers to bytes.
struct Interrupted {
    inner: Arc<dyn MetaStore>,
    between: Mutex<Option<Between>>,
    /// Commits tried that refer to bytes.
    tried: AtomicU64,
}

#[async_trait]
impl MetaStore for Interrupted {
    async fn get(&self, key: &[u8]) -> strongroom_meta::Result<Option<Record>> {
        self.inner.get(key).await
    }

    async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> strongroom_meta::Result<Page> {
        self.inner.scan(prefix, after, limit).await
    }

    async fn inline_bytes(&self, place: InlinePlace) -> strongroom_meta::Result<Bytes> {
        self.inner.inline_bytes(place).await
    }

    async fn transact(&self, transaction: Transaction) -> strongroom_meta::Result<()> {
        if !transaction.durable.is_empty() {
            self.tried.fetch_add(1, Ordering::SeqCst);
            let between = self.between.lock().unwrap().take();
            if let Some(between) = between {
                between();
            }
        }
        self.inner.transact(transaction).await
    }
    async fn log_extent(&self) -> strongroom_meta::Result<strongroom_meta::LogExtent> {
        self.inner.log_extent().await
    }
    async fn trim(&self, through: u64) -> strongroom_meta::Result<strongroom_meta::Trimmed> {
        self.inner.trim(through).await
    }
}

struct Store {
    world: SimWorld,
    topology: Topology,
    engine: Engine,
    meta: Arc<Interrupted>,
    objects: Objects,
}

impl Store {
    async fn new(topology: Topology) -> Self {
        let world = SimWorld::new(10);
        let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000_000_000)));
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(10));
        let parts = EngineParts {
            hang_limit: strongroom_sim::hang_limit(),
            views: Arc::new(SimViews::new(&world)),
            clock: clock.clone(),
            random: Arc::clone(&random),
        };
        let engine = Engine::serve(&world, topology, &parts, START_LIMIT).unwrap();
        let meta = Arc::new(Interrupted {
            inner: Arc::clone(&engine.meta) as _,
            between: Mutex::default(),
            tried: AtomicU64::default(),
        });
        let blobs = Arc::clone(&engine.blobs) as _;
        let settings = Settings {
            part_size_bytes_min: 1,
        };
        let objects = Objects::new(Arc::clone(&meta) as _, blobs, clock, random, settings);
        let create = CreateBucket {
            lock_enabled: false,
            bucket: bucket(),
            owner: Owner::new("owner").unwrap(),
            tags: Default::default(),
        };
        objects.create_bucket(create).await.unwrap();
        Self {
            world,
            topology,
            engine,
            meta,
            objects,
        }
    }

    /// Before the next commit that refers to bytes the disks of zone `zone` are gone and known to be.
    fn lose_zone_between(&self, zone: usize) {
        let (world, disks) = (self.world.clone(), self.topology.member_disks(zone));
        let all = Arc::clone(&self.engine.store.opened().disks);
        self.between(move || {
            for disk in disks {
                vanish(&world, disk);
                let id = all.all()[disk].id;
                all.take_out(id, OutReason::Failed("the test took it".into()));
            }
        });
    }

    /// Before that commit every disk of the zone is out and in again, as after a hiccup: what was
    /// written last may not be there.
    fn bounce_zone_between(&self, zone: usize) {
        let disks = self.topology.member_disks(zone);
        let all = Arc::clone(&self.engine.store.opened().disks);
        self.between(move || {
            for disk in disks {
                let id = all.all()[disk].id;
                all.take_out(id, OutReason::Failed("the test took it".into()));
                all.admit(id);
            }
        });
    }

    fn between(&self, act: impl FnOnce() + Send + 'static) {
        *self.meta.between.lock().unwrap() = Some(Box::new(act));
        self.meta.tried.store(0, Ordering::SeqCst);
    }

    fn tried(&self) -> u64 {
        self.meta.tried.load(Ordering::SeqCst)
    }

    async fn get(&self, name: &str) -> Vec<u8> {
        let answer = self.objects.get_object(GetObject::new(bucket(), key(name)));
        let pieces: Vec<Bytes> = answer.await.unwrap().content.try_collect().await.unwrap();
        pieces.concat()
    }
}

fn vanish(world: &SimWorld, disk: usize) {
    world.fault(Fault {
        disk: Some(disk),
        op: OpKind::Any,
        kind: FaultKind::Vanished,
        ..Fault::default()
    });
}

fn bucket() -> BucketName {
    BucketName::new("bucket").unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).unwrap()
}

fn bytes(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    SeededRandom::new(size as u64).fill(&mut bytes);
    bytes
}

fn content(bytes: Vec<u8>) -> Content {
    let size = bytes.len() as u64;
    let stream = futures::stream::once(async move { Ok(Bytes::from(bytes)) });
    Content::new(Box::pin(stream), size)
}

fn put(name: &str, bytes: Vec<u8>) -> PutObject {
    PutObject {
        lock: Default::default(),
        bucket: bucket(),
        key: key(name),
        content: content(bytes),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        conditions: WriteConditions::default(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h10_a_put_whose_zone_goes_out_before_the_commit_is_written_to_the_zones_left() {
    for topology in TOPOLOGIES {
        for (zone, size) in [(0, SIZES[0]), (1, SIZES[1]), (2, SIZES[0])] {
            let store = Store::new(topology).await;
            store.lose_zone_between(zone);
            let done = store.objects.put_object(put("object", bytes(size))).await;
            done.unwrap_or_else(|error| panic!("{topology} zone {zone}: {error}"));
            assert_eq!(store.tried(), 2, "{topology}: refused once, then committed");
            assert_eq!(store.objects.blobs_reduced().await, Ok(1));
            assert!(store.get("object").await == bytes(size), "{topology}");
            // One more zone: acknowledged records stay readable, and so must these bytes.
            for disk in topology.member_disks((zone + 1) % 3) {
                vanish(&store.world, disk);
            }
            assert!(store.get("object").await == bytes(size), "{topology}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h10_a_put_whose_disks_bounced_before_the_commit_is_written_anew() {
    for topology in TOPOLOGIES {
        let store = Store::new(topology).await;
        store.bounce_zone_between(1);
        let done = store.objects.put_object(put("object", bytes(SIZES[1])));
        done.await.unwrap();
        assert_eq!(store.tried(), 2, "{topology}: refused once, then committed");
        assert_eq!(store.objects.blobs_reduced().await, Ok(0));
        assert!(store.get("object").await == bytes(SIZES[1]), "{topology}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h10_a_part_whose_zone_goes_out_before_the_commit_is_in_the_completed_object() {
    let store = Store::new(Topology::new(3, 2)).await;
    let upload = CreateUpload {
        lock: Default::default(),
        bucket: bucket(),
        key: key("object"),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        checksum_algorithm: None,
        checksum_type: None,
    };
    let upload_id = store.objects.create_upload(upload).await.unwrap().upload_id;
    store.lose_zone_between(2);
    let part = UploadPart {
        bucket: bucket(),
        key: key("object"),
        upload_id,
        part_number: PartNumber::new(1).unwrap(),
        content: content(bytes(SIZES[1])),
    };
    let part = store.objects.upload_part(part).await.unwrap();
    assert_eq!(store.tried(), 2);
    let complete = CompleteUpload {
        bucket: bucket(),
        key: key("object"),
        upload_id,
        parts: vec![CompletedPart {
            part_number: PartNumber::new(1).unwrap(),
            etag: part.etag.to_string(),
            checksum: None,
        }],
        checksum: None,
        checksum_type: None,
        object_size: None,
        conditions: WriteConditions::default(),
    };
    store.objects.complete_upload(complete).await.unwrap();
    for disk in store.topology.member_disks(0) {
        vanish(&store.world, disk);
    }
    assert!(store.get("object").await == bytes(SIZES[1]));
}
