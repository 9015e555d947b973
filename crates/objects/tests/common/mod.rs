//! The domain over the stores in memory, and a store that counts.
#![allow(dead_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use strongroom_base::{ManualClock, SeededRandom, Timestamp};
use strongroom_blob::memory::MemoryBlobs;
use strongroom_meta::memory::MemoryMeta;
use strongroom_meta::{InlinePlace, MetaStore, Page, Reads, Record, Transaction};
use strongroom_objects::decide::{BucketRef, Decided, Halt};
use strongroom_objects::records::{BucketNameRecord, RecordFormat, keys};
use strongroom_objects::{
    Content, CreateBucket, GetObject, ObjectHeaders, Objects, PutObject, Result, Settings,
    UserMetadata, WriteConditions,
};
use strongroom_types::{BucketName, ObjectKey, Owner};

/// A metadata store that counts what is asked of it.
pub struct Counting {
    pub inner: Arc<MemoryMeta>,
    pub transactions: AtomicU64,
    pub scanned: AtomicU64,
    /// Transactions under way, and the most there were at once.
    pub running: AtomicU64,
    pub running_max: AtomicU64,
    /// Whether there is no space for any write.
    pub full: AtomicBool,
}

#[async_trait]
impl MetaStore for Counting {
    async fn get(&self, key: &[u8]) -> strongroom_meta::Result<Option<Record>> {
        self.inner.get(key).await
    }

    async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> strongroom_meta::Result<Page> {
        let page = self.inner.scan(prefix, after, limit).await?;
        self.scanned
            .fetch_add(page.records.len() as u64, Ordering::SeqCst);
        Ok(page)
    }

    async fn inline_bytes(&self, place: InlinePlace) -> strongroom_meta::Result<Bytes> {
        self.inner.inline_bytes(place).await
    }

    async fn transact(&self, transaction: Transaction) -> strongroom_meta::Result<()> {
        self.transactions.fetch_add(1, Ordering::SeqCst);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.running_max.fetch_max(running, Ordering::SeqCst);
        // Others come in while a commit is synced.
        tokio::task::yield_now().await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        if !self.full.load(Ordering::SeqCst) {
            return self.inner.transact(transaction).await;
        }
        let Transaction {
            mut decide,
            durable,
        } = transaction;
        let refuse = move |reads: &mut dyn Reads| match decide(reads)? {
            Some(writes) if !writes.is_empty() => Err(strongroom_meta::Error::new(
                strongroom_meta::ErrorKind::Full,
                "no space",
            )),
            nothing => Ok(nothing),
        };
        let decide = Box::new(refuse);
        self.inner.transact(Transaction { decide, durable }).await
    }
    async fn log_extent(&self) -> strongroom_meta::Result<strongroom_meta::LogExtent> {
        self.inner.log_extent().await
    }
    async fn trim(&self, through: u64) -> strongroom_meta::Result<strongroom_meta::Trimmed> {
        self.inner.trim(through).await
    }
}

pub struct World {
    pub clock: Arc<ManualClock>,
    pub meta: Arc<Counting>,
    pub blobs: Arc<MemoryBlobs>,
    pub objects: Objects,
}

pub const START: Timestamp = Timestamp(1_700_000_000_000_000_000);

impl World {
    pub fn new() -> Self {
        Self::with_settings(Settings {
            part_size_bytes_min: 1,
        })
    }

    pub fn with_settings(settings: Settings) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let inner = MemoryMeta::new(clock.clone());
        let (transactions, scanned) = (AtomicU64::new(0), AtomicU64::new(0));
        let full = AtomicBool::new(false);
        let meta = Arc::new(Counting {
            inner,
            transactions,
            scanned,
            running: AtomicU64::new(0),
            running_max: AtomicU64::new(0),
            full,
        });
        let blobs = MemoryBlobs::new();
        let random = Arc::new(SeededRandom::new(1));
        let objects = Objects::new(meta.clone(), blobs.clone(), clock.clone(), random, settings);
        Self {
            clock,
            meta,
            blobs,
            objects,
        }
    }

    pub async fn with_bucket() -> Self {
        let world = Self::new();
        world.create("bucket").await.unwrap();
        world
    }

    pub async fn create(&self, name: &str) -> Result<()> {
        let owner = Owner::new("owner").unwrap();
        self.objects
            .create_bucket(CreateBucket {
                lock_enabled: false,
                bucket: bucket(name),
                owner,
                tags: Default::default(),
            })
            .await
    }

    pub async fn put(
        &self,
        name: &str,
        bytes: &[u8],
    ) -> Result<strongroom_objects::PutObjectOutput> {
        self.objects.put_object(put_request(name, bytes)).await
    }

    pub async fn get(&self, name: &str) -> Result<Vec<u8>> {
        let output = self
            .objects
            .get_object(GetObject::new(bucket("bucket"), key(name)))
            .await?;
        let chunks: Vec<Bytes> = output.content.try_collect().await?;
        Ok(chunks.concat())
    }

    pub async fn bucket_ref(&self) -> BucketRef {
        let name = bucket("bucket");
        let record = self
            .meta
            .get(&keys::bucket_name(&name))
            .await
            .unwrap()
            .unwrap();
        let record = BucketNameRecord::decode(&record.value).unwrap();
        BucketRef {
            name,
            id: record.id,
        }
    }

    /// Runs a decision and commits it, as the domain does.
    pub async fn decide<T, F>(&self, mut decide: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Reads) -> Decided<T> + Send + 'static,
    {
        strongroom_meta::transact(&*self.meta, Vec::new(), move |reads| match decide(reads) {
            Ok(decided) => Ok(Ok(decided)),
            Err(Halt::Refused(error)) => Ok(Err(error)),
            Err(Halt::Store(error)) => Err(error),
        })
        .await?
    }

    /// Every record of a family.
    pub async fn family<R: RecordFormat>(&self, prefix: &[u8]) -> Vec<R> {
        let page = self.meta.inner.scan(prefix, None, 10_000).await.unwrap();
        page.records
            .iter()
            .map(|(_, record)| R::decode(&record.value).unwrap())
            .collect()
    }

    pub async fn check(&self) {
        strongroom_objects::testing::check_records(&self.objects)
            .await
            .unwrap();
    }
}

pub fn bucket(name: &str) -> BucketName {
    BucketName::new(name).unwrap()
}

pub fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).unwrap()
}

pub fn content(bytes: &[u8]) -> Content {
    let chunks: Vec<_> = bytes
        .chunks(7000)
        .map(|c| Ok(Bytes::copy_from_slice(c)))
        .collect();
    Content::new(Box::pin(futures::stream::iter(chunks)), bytes.len() as u64)
}

pub fn put_request(name: &str, bytes: &[u8]) -> PutObject {
    PutObject {
        lock: Default::default(),
        bucket: bucket("bucket"),
        key: key(name),
        content: content(bytes),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        conditions: WriteConditions::default(),
    }
}

/// Bytes that are stored inline, and bytes that are not.
pub fn sizes() -> [Vec<u8>; 2] {
    [
        vec![7; 100],
        (0..100_000u32).map(|index| (index * 31) as u8).collect(),
    ]
}
