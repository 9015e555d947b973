//! Packing (RFC 0008): small contents move into packs and out of the log, and nobody notices (H25);
//! a pack lives as long as one of its contents (H37).

mod common;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common::{World, bucket, content, key};
use futures::future::BoxFuture;
use strongroom_base::SeededRandom;
use strongroom_meta::{
    ErrorKind, InlinePlace, LogExtent, MetaStore, Page, Record, Stamp, Transaction, Trimmed, Write,
};
use strongroom_objects::records::{
    BlobId, BlobOwner, BlobRecord, GraveyardRecord, RecordFormat, keys,
};
use strongroom_objects::*;
use strongroom_types::{PartNumber, UploadId};

type Hook = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// Where a hook runs, once.
#[derive(Clone, PartialEq, Eq, Debug)]
enum At {
    /// Between looking up a record and reading its inline content.
    InlineRead,
    /// Right before a transaction: a pack is written, and nothing points to it yet.
    Transaction,
    /// After this record was read.
    Got(Vec<u8>),
}

/// A metadata store in which something happens in the middle of an operation.
struct Hooked {
    inner: Arc<dyn MetaStore>,
    hook: Mutex<Option<(At, Hook)>>,
    /// So many more transactions succeed.
    transactions_left: AtomicI64,
    /// The batch whose content has no good copy left.
    rotten: Mutex<Option<u64>>,
    rotten_as: Mutex<ErrorKind>,
}

impl Hooked {
    async fn reach(&self, at: &At) {
        let hook = {
            let mut hook = self.hook.lock().unwrap();
            match &*hook {
                Some((wanted, _)) if wanted == at => hook.take(),
                _ => None,
            }
        };
        if let Some((_, hook)) = hook {
            hook().await;
        }
    }
}

#[async_trait]
impl MetaStore for Hooked {
    async fn get(&self, key: &[u8]) -> strongroom_meta::Result<Option<Record>> {
        let record = self.inner.get(key).await;
        self.reach(&At::Got(key.to_vec())).await;
        record
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
        self.reach(&At::InlineRead).await;
        if *self.rotten.lock().unwrap() == Some(place.batch) {
            let kind = *self.rotten_as.lock().unwrap();
            return Err(strongroom_meta::Error::new(kind, "no good copy"));
        }
        self.inner.inline_bytes(place).await
    }

    async fn transact(&self, transaction: Transaction) -> strongroom_meta::Result<()> {
        self.reach(&At::Transaction).await;
        if self.transactions_left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            let error = strongroom_meta::Error::new(ErrorKind::Unavailable, "the power went");
            return Err(error);
        }
        self.inner.transact(transaction).await
    }

    async fn log_extent(&self) -> strongroom_meta::Result<LogExtent> {
        self.inner.log_extent().await
    }

    async fn trim(&self, through: u64) -> strongroom_meta::Result<Trimmed> {
        self.inner.trim(through).await
    }
}

/// A world with a second handle, in the middle of whose operations something happens.
struct Packs {
    world: Arc<World>,
    meta: Arc<Hooked>,
    hooked: Objects,
    limits: PackLimits,
}

impl Packs {
    async fn new() -> Self {
        let world = Arc::new(World::with_bucket().await);
        let meta = Arc::new(Hooked {
            inner: world.meta.clone(),
            hook: Mutex::default(),
            transactions_left: AtomicI64::new(i64::MAX),
            rotten: Mutex::default(),
            rotten_as: Mutex::new(ErrorKind::Corrupt),
        });
        let hooked = Objects::new(
            meta.clone(),
            world.blobs.clone(),
            world.clock.clone(),
            Arc::new(SeededRandom::new(2)),
            Settings {
                part_size_bytes_min: 1,
            },
        );
        let limits = PackLimits {
            content_bytes_max: 1 << 20,
            content_count_max: 1000,
            moves_max: 2,
        };
        Self {
            world,
            meta,
            hooked,
            limits,
        }
    }

    fn hook<F>(&self, at: At, hook: impl FnOnce(Arc<World>) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let world = Arc::clone(&self.world);
        let hook: Hook = Box::new(move || Box::pin(hook(world)));
        *self.meta.hook.lock().unwrap() = Some((at, hook));
    }

    async fn pack(&self) -> Result<Packing> {
        pack(&self.hooked, self.limits).await
    }

    async fn compact(&self) -> PackTally {
        compact(&self.world, self.limits).await
    }

    async fn get(&self, name: &str) -> Result<Vec<u8>> {
        read(&self.hooked, GetObject::new(bucket("bucket"), key(name))).await
    }

    async fn packs(&self) -> Vec<BlobId> {
        let page = self.world.meta.scan(&keys::packs(), None, 1000).await;
        let records = page.unwrap().records;
        let id = |(key, _): &(Vec<u8>, Record)| keys::pack_of(key).unwrap();
        records.iter().map(id).collect()
    }

    async fn record_of_pack(&self, pack: BlobId) -> Option<BlobRecord> {
        let record = self.world.meta.get(&keys::blob(pack)).await.unwrap()?;
        Some(BlobRecord::decode(&record.value).unwrap())
    }
}

async fn pack(objects: &Objects, limits: PackLimits) -> Result<Packing> {
    let through = objects.log_extent().await?.newest;
    let mut packing = Packing::new(through, limits);
    while objects.pack_step(&mut packing).await? {}
    Ok(packing)
}

async fn compact(world: &World, limits: PackLimits) -> PackTally {
    let mut compaction = Compaction::default();
    let step = async |compaction: &mut Compaction| {
        world
            .objects
            .compact_step(compaction, &limits)
            .await
            .unwrap()
    };
    while step(&mut compaction).await {}
    compaction.tally
}

async fn read(objects: &Objects, request: GetObject) -> Result<Vec<u8>> {
    use futures::TryStreamExt;
    let output = objects.get_object(request).await?;
    let chunks: Vec<Bytes> = output.content.try_collect().await?;
    Ok(chunks.concat())
}

async fn delete(world: &World, name: &str) {
    let request = DeleteObject {
        bypass: Default::default(),
        bucket: bucket("bucket"),
        key: key(name),
        version_id: None,
        if_match: None,
    };
    world.objects.delete_object(request).await.unwrap();
}

fn bytes_of(seed: u8) -> Vec<u8> {
    (0..1000u32 + u32::from(seed) * 7)
        .map(|index| (index * 31) as u8 ^ seed)
        .collect()
}

/// Sweeps the oldest `count` graves, without holding them back.
async fn sweep(world: &World, count: usize) {
    let limits = SweepLimits {
        hold_back: Duration::ZERO,
        bytes_max: u64::MAX,
        pressed: false,
    };
    let page = world
        .objects
        .sweep_page(&limits, None, count)
        .await
        .unwrap();
    assert_eq!((page.kept, page.error), (0, None));
}

async fn create_upload(world: &World, name: &str) -> UploadId {
    let request = CreateUpload {
        lock: Default::default(),
        bucket: bucket("bucket"),
        key: key(name),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        checksum_algorithm: None,
        checksum_type: None,
    };
    world
        .objects
        .create_upload(request)
        .await
        .unwrap()
        .upload_id
}

async fn put_part(
    world: &World,
    name: &str,
    id: UploadId,
    number: i64,
    bytes: &[u8],
) -> CompletedPart {
    let part_number = PartNumber::new(number).unwrap();
    let request = UploadPart {
        bucket: bucket("bucket"),
        key: key(name),
        upload_id: id,
        part_number,
        content: content(bytes),
    };
    let part = world.objects.upload_part(request).await.unwrap();
    CompletedPart {
        part_number,
        etag: part.etag.quoted(),
        checksum: None,
    }
}

async fn complete(world: &World, name: &str, id: UploadId, parts: Vec<CompletedPart>) {
    let request = CompleteUpload {
        bucket: bucket("bucket"),
        key: key(name),
        upload_id: id,
        parts,
        conditions: WriteConditions::default(),
        checksum: None,
        checksum_type: None,
        object_size: None,
    };
    world.objects.complete_upload(request).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn h25_a_reader_in_the_middle_of_a_move_reads_the_right_bytes() {
    let packs = Packs::new().await;
    packs.world.put("k", &bytes_of(1)).await.unwrap();
    packs.world.put("other", &bytes_of(2)).await.unwrap();
    let limits = packs.limits;
    packs.hook(At::InlineRead, move |world| async move {
        let packing = pack(&world.objects, limits).await.unwrap();
        world.objects.trim_log(packing.trimmable()).await.unwrap();
        assert_eq!(
            world.meta.inner.inline_count(),
            0,
            "the place it has is gone"
        );
    });
    assert_eq!(packs.get("k").await.unwrap(), bytes_of(1));
    assert!(
        packs.meta.hook.lock().unwrap().is_none(),
        "it was in the middle"
    );
    packs.world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn h25_a_reader_in_the_middle_of_a_compaction_reads_the_right_bytes() {
    let packs = Packs::new().await;
    for seed in 0..5 {
        let name = format!("k{seed}");
        packs.world.put(&name, &bytes_of(seed)).await.unwrap();
    }
    packs.pack().await.unwrap();
    for seed in 1..5 {
        delete(&packs.world, &format!("k{seed}")).await;
    }
    sweep(&packs.world, 4).await;
    let old = packs.packs().await[0];
    let place = packs.record_of_pack(old).await.unwrap().place.unwrap();
    let limits = packs.limits;
    // The reader holds the place of the old pack while that is written anew, buried and freed.
    packs.hook(At::Got(keys::blob(old)), move |world| async move {
        assert_eq!(compact(&world, limits).await.contents, 1);
        world.blobs.lose(&place);
    });
    assert_eq!(packs.get("k0").await.unwrap(), bytes_of(0));
    assert!(
        packs.meta.hook.lock().unwrap().is_none(),
        "it was in the middle"
    );
    assert!(packs.record_of_pack(old).await.is_none());
    packs.world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn h25_what_is_held_back_is_packed_and_the_log_can_go() {
    let packs = Packs::new().await;
    let world = &packs.world;
    for name in ["kept", "overwritten", "deleted"] {
        world.put(name, &bytes_of(1)).await.unwrap();
    }
    world.put("overwritten", &bytes_of(2)).await.unwrap();
    delete(world, "deleted").await;
    // Parts: one kept in an upload, one replaced, one not chosen, two buried by name.
    let open = create_upload(world, "open").await;
    put_part(world, "open", open, 1, &bytes_of(3)).await;
    put_part(world, "open", open, 1, &bytes_of(4)).await;
    let done = create_upload(world, "done").await;
    let first = put_part(world, "done", done, 1, &bytes_of(5)).await;
    put_part(world, "done", done, 2, &bytes_of(6)).await;
    complete(world, "done", done, vec![first]).await;
    let gone = create_upload(world, "gone").await;
    put_part(world, "gone", gone, 1, &bytes_of(7)).await;
    let abort = AbortUpload {
        bucket: bucket("bucket"),
        key: key("gone"),
        upload_id: gone,
    };
    world.objects.abort_upload(abort).await.unwrap();

    let newest = world.objects.log_extent().await.unwrap().newest;
    assert!(
        world.objects.trim_log(newest).await.is_err(),
        "content keeps it"
    );
    let packing = packs.pack().await.unwrap();
    assert_eq!(packing.tally.contents, 9);
    assert_eq!(world.meta.inner.inline_count(), 0);
    let trimmed = world.objects.trim_log(newest).await.unwrap();
    assert_eq!(trimmed.first, newest + 1);
    world.check().await;

    let last = put_part(world, "open", open, 2, &bytes_of(8)).await;
    let request = ListParts {
        bucket: bucket("bucket"),
        key: key("open"),
        upload_id: open,
        part_number_marker: 0,
        parts_max: 10,
    };
    let parts = world.objects.list_parts(request).await.unwrap().parts;
    let packed = CompletedPart {
        part_number: parts[0].part_number,
        etag: parts[0].etag.quoted(),
        checksum: None,
    };
    complete(world, "open", open, vec![packed, last]).await;
    assert_eq!(
        world.get("open").await.unwrap(),
        [bytes_of(4), bytes_of(8)].concat()
    );
    assert_eq!(world.get("done").await.unwrap(), bytes_of(5));
    assert_eq!(world.get("kept").await.unwrap(), bytes_of(1));
    assert_eq!(world.get("overwritten").await.unwrap(), bytes_of(2));
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn h25_what_changes_while_a_pack_is_written_is_left_alone() {
    let packs = Packs::new().await;
    for (name, seed) in [("kept", 1), ("overwritten", 2), ("deleted", 3)] {
        packs.world.put(name, &bytes_of(seed)).await.unwrap();
    }
    let id = create_upload(&packs.world, "completed").await;
    let part = put_part(&packs.world, "completed", id, 1, &bytes_of(4)).await;
    packs.hook(At::Transaction, move |world| async move {
        world.put("overwritten", &bytes_of(5)).await.unwrap();
        delete(&world, "deleted").await;
        complete(&world, "completed", id, vec![part]).await;
    });
    let packing = packs.pack().await.unwrap();
    packs.world.check().await;
    // The completed part has another owner and the same place: it moved, and its owner stays.
    assert_eq!((packing.tally.contents, packing.tally.superseded), (2, 2));
    assert_eq!(packs.get("kept").await.unwrap(), bytes_of(1));
    assert_eq!(packs.get("overwritten").await.unwrap(), bytes_of(5));
    assert_eq!(packs.get("completed").await.unwrap(), bytes_of(4));
    assert!(packs.get("deleted").await.is_err());
    // The next round takes what this one left.
    packs.pack().await.unwrap();
    assert_eq!(packs.world.meta.inner.inline_count(), 0);
    packs.world.check().await;
}

/// The record is there all the time: only where its content lies tells that it moved.
#[tokio::test(flavor = "current_thread")]
async fn h25_what_another_round_packed_meanwhile_stays_in_that_pack() {
    let packs = Packs::new().await;
    for (name, seed) in [("kept", 1), ("held back", 2)] {
        packs.world.put(name, &bytes_of(seed)).await.unwrap();
    }
    delete(&packs.world, "held back").await;
    let limits = packs.limits;
    packs.hook(At::Transaction, move |world| async move {
        let other = pack(&world.objects, limits).await.unwrap();
        assert_eq!(other.tally.contents, 2);
    });
    let packing = packs.pack().await.unwrap();
    packs.world.check().await;
    assert_eq!((packing.tally.contents, packing.tally.superseded), (0, 2));
    assert_eq!(packs.packs().await.len(), 1, "the late pack is not used");
    let counts = packs.world.objects.pack_counts().await.unwrap();
    assert_eq!((counts.packs, counts.live_contents), (1, 2));
    assert_eq!(packs.get("kept").await.unwrap(), bytes_of(1));
}

#[tokio::test(flavor = "current_thread")]
async fn h37_a_pack_ends_with_its_last_content_and_not_before() {
    let packs = Packs::new().await;
    for name in ["a", "b", "c"] {
        packs.world.put(name, &bytes_of(1)).await.unwrap();
    }
    packs.pack().await.unwrap();
    let pack = packs.packs().await[0];
    let place = packs.record_of_pack(pack).await.unwrap().place;
    for (name, left) in [("a", 2), ("b", 1), ("c", 0)] {
        delete(&packs.world, name).await;
        let counts = packs.world.objects.pack_counts().await.unwrap();
        assert_eq!(counts.live_contents, left + 1, "what is held back lives");
        sweep(&packs.world, 1).await;
        let counts = packs.world.objects.pack_counts().await.unwrap();
        assert_eq!(counts.live_contents, left);
        assert_eq!(packs.record_of_pack(pack).await.is_some(), left > 0);
        for name in ["b", "c"].iter().rev().take(usize::try_from(left).unwrap()) {
            assert_eq!(packs.get(name).await.unwrap(), bytes_of(1));
        }
        packs.world.check().await;
    }
    let graves: Vec<GraveyardRecord> = packs.world.family(b"G").await;
    let is_pack = |grave: &GraveyardRecord| matches!(grave, GraveyardRecord::Blob { place: at, .. } if *at == place);
    assert!(graves.len() == 1 && is_pack(&graves[0]), "{graves:?}");
}

/// H80
#[tokio::test(flavor = "current_thread")]
async fn h37_contents_that_end_in_one_commit_end_their_pack() {
    let packs = Packs::new().await;
    let id = create_upload(&packs.world, "k").await;
    for number in 1..=3 {
        put_part(&packs.world, "k", id, number, &bytes_of(9)).await;
    }
    packs.pack().await.unwrap();
    assert_eq!(packs.packs().await.len(), 1);
    let abort = AbortUpload {
        bucket: bucket("bucket"),
        key: key("k"),
        upload_id: id,
    };
    packs.world.objects.abort_upload(abort).await.unwrap();
    sweep(&packs.world, 1).await;
    packs.world.check().await;
    assert!(packs.packs().await.is_empty());
    assert_eq!(
        packs.world.objects.pack_counts().await.unwrap(),
        PackCounts::default()
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_round_that_stops_between_two_commits_leaves_every_content_in_one_place() {
    for commits in 0..4 {
        let packs = Packs::new().await;
        for seed in 0..6 {
            packs
                .world
                .put(&format!("k{seed}"), &bytes_of(seed))
                .await
                .unwrap();
        }
        packs
            .meta
            .transactions_left
            .store(commits, Ordering::SeqCst);
        let stopped = packs.pack().await;
        assert_eq!(stopped.is_err(), commits < 3);
        packs.world.check().await;
        packs
            .meta
            .transactions_left
            .store(i64::MAX, Ordering::SeqCst);
        packs.pack().await.unwrap();
        assert_eq!(packs.world.meta.inner.inline_count(), 0);
        for seed in 0..6 {
            assert_eq!(
                packs.get(&format!("k{seed}")).await.unwrap(),
                bytes_of(seed)
            );
        }
        packs.world.check().await;
        // A pack that got a part of what it has is written anew like any sparse one.
        let sparse = packs.compact().await.contents > 0;
        assert_eq!(sparse, commits == 1, "a third lives");
        packs.world.check().await;
    }
}

/// H10
#[tokio::test(flavor = "current_thread")]
async fn h10_nothing_moves_into_a_pack_whose_disks_went_out() {
    let packs = Packs::new().await;
    packs.world.put("k", &bytes_of(1)).await.unwrap();
    packs.world.blobs.lose_next_durability();
    assert_eq!(packs.pack().await.unwrap().tally.contents, 0);
    assert_eq!(packs.world.meta.inner.inline_count(), 1);
    let graves: Vec<GraveyardRecord> = packs.world.family(b"G").await;
    assert_eq!(graves.len(), 1, "the pack is buried: nothing moved into it");
    assert_eq!(packs.pack().await.unwrap().tally.contents, 1);
    assert_eq!(packs.get("k").await.unwrap(), bytes_of(1));
    packs.world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_pack_written_while_disks_are_out_is_re_spread_as_one_blob() {
    let packs = Packs::new().await;
    packs.world.put("a", &bytes_of(1)).await.unwrap();
    packs.world.put("b", &bytes_of(2)).await.unwrap();
    packs.world.blobs.mark_reduced(true);
    packs.pack().await.unwrap();
    assert_eq!(packs.world.objects.blobs_reduced().await, Ok(1));
    packs.world.check().await;
    packs.world.blobs.mark_reduced(false);
    let done = packs.world.objects.respread_once(10).await.unwrap();
    assert_eq!((done.moved, done.remaining), (1, 0));
    assert_eq!(packs.get("a").await.unwrap(), bytes_of(1));
    assert_eq!(packs.get("b").await.unwrap(), bytes_of(2));
    packs.world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn the_content_of_another_blob_at_a_packed_place_is_never_served() {
    let packs = Packs::new().await;
    packs.world.put("a", &bytes_of(1)).await.unwrap();
    packs.pack().await.unwrap();
    packs.world.put("b", &[7; 1007]).await.unwrap();
    packs.pack().await.unwrap();
    let [first, second] = packs.packs().await.try_into().unwrap();
    let mut record = packs.record_of_pack(first).await.unwrap();
    record.place = packs.record_of_pack(second).await.unwrap().place;
    let write = Write::Put {
        key: keys::blob(first),
        value: record.encode().into(),
    };
    packs
        .world
        .decide(move |_| Ok((vec![write.clone()], ())))
        .await
        .unwrap();
    assert!(matches!(packs.get("a").await, Err(Error::Corrupt { .. })));
    assert_eq!(packs.get("b").await.unwrap(), [7; 1007]);
}

#[tokio::test(flavor = "current_thread")]
async fn content_without_a_good_copy_keeps_the_log_from_its_batch_on_and_nothing_else() {
    unreadable_content_keeps_only_the_log(ErrorKind::Corrupt).await;
}

#[tokio::test(flavor = "current_thread")]
async fn content_that_disks_can_not_read_now_keeps_nothing_else_from_being_packed() {
    unreadable_content_keeps_only_the_log(ErrorKind::Unavailable).await;
}

async fn unreadable_content_keeps_only_the_log(kind: ErrorKind) {
    let packs = Packs::new().await;
    *packs.meta.rotten_as.lock().unwrap() = kind;
    for name in ["a", "b", "c"] {
        packs.world.put(name, &bytes_of(1)).await.unwrap();
    }
    let inline = |records: Vec<(Vec<u8>, Record)>| -> Vec<u64> {
        let place = |(_, record): &(Vec<u8>, Record)| record.inline.map(|place| place.batch);
        let mut batches: Vec<_> = records.iter().filter_map(place).collect();
        batches.sort_unstable();
        batches
    };
    let page = packs
        .world
        .meta
        .scan(&keys::blobs(), None, 10)
        .await
        .unwrap();
    let batches = inline(page.records);
    *packs.meta.rotten.lock().unwrap() = Some(batches[1]);
    let packing = packs.pack().await.unwrap();
    assert_eq!((packing.tally.contents, packing.tally.unreadable), (2, 1));
    assert_eq!(packing.trimmable(), batches[1] - 1);
    packs
        .world
        .objects
        .trim_log(packing.trimmable())
        .await
        .unwrap();
    // Deleted and swept, it keeps nothing any more.
    for name in ["a", "b", "c"] {
        delete(&packs.world, name).await;
    }
    sweep(&packs.world, 3).await;
    let newest = packs.world.objects.log_extent().await.unwrap().newest;
    packs.world.objects.trim_log(newest).await.unwrap();
    packs.world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn sparse_packs_are_merged_and_held_back_contents_stay_where_they_are() {
    let packs = Packs::new().await;
    for round in 0..3 {
        for seed in 0..5 {
            packs
                .world
                .put(&format!("{round}/{seed}"), &bytes_of(seed))
                .await
                .unwrap();
        }
        packs.pack().await.unwrap();
    }
    for round in 0..3 {
        for seed in 1..5 {
            delete(&packs.world, &format!("{round}/{seed}")).await;
        }
    }
    assert_eq!(
        packs.compact().await,
        PackTally::default(),
        "all lives: it is held back"
    );
    // Of each pack one content is owned and one held back.
    let when = |(key, _): &(Vec<u8>, Record)| keys::graveyard_of(key);
    let graves = packs
        .world
        .meta
        .scan(&keys::graveyards(), None, 100)
        .await
        .unwrap();
    assert!(
        graves
            .records
            .iter()
            .map(when)
            .all(|grave| grave.is_some_and(|(at, _)| at > Stamp(0)))
    );
    sweep(&packs.world, 11).await;
    let tally = packs.compact().await;
    assert_eq!((tally.packs, tally.contents, tally.superseded), (1, 3, 0));
    packs.world.check().await;
    assert_eq!(
        packs.packs().await.len(),
        2,
        "the new one, and one with a held-back content"
    );
    assert_eq!(packs.compact().await, PackTally::default());
    sweep(&packs.world, 1).await;
    packs.world.check().await;
    assert_eq!(packs.packs().await.len(), 1);
    for round in 0..3 {
        assert_eq!(packs.get(&format!("{round}/0")).await.unwrap(), bytes_of(0));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn packed_objects_are_read_in_ranges_copied_tagged_and_located() {
    let packs = Packs::new().await;
    let world = &packs.world;
    world.put("a", &bytes_of(1)).await.unwrap();
    world.put("k", &bytes_of(2)).await.unwrap();
    packs.pack().await.unwrap();
    let mut request = GetObject::new(bucket("bucket"), key("k"));
    request.range = Some(ByteRange::From {
        first: 10,
        last: Some(499),
    });
    assert_eq!(
        read(&world.objects, request).await.unwrap(),
        bytes_of(2)[10..500]
    );
    let copy = CopyObject {
        lock: Default::default(),
        source_bucket: bucket("bucket"),
        source_key: key("k"),
        source_version_id: None,
        source_conditions: ReadConditions::default(),
        bucket: bucket("bucket"),
        key: key("copy"),
        metadata: MetadataDirective::Copy {
            website_redirect_location: None,
        },
        tags: TaggingDirective::Copy,
        conditions: WriteConditions::default(),
        checksum_algorithm: None,
    };
    world.objects.copy_object(copy).await.unwrap();
    assert_eq!(world.get("copy").await.unwrap(), bytes_of(2));
    let located = LocateObject {
        bucket: bucket("bucket"),
        key: key("k"),
        version_id: None,
        part_number_marker: 0,
        parts_max: 10,
        verify: true,
    };
    let located = world.objects.locate_object(located).await.unwrap();
    let LocatedContent::Pack { pack, offset, .. } = &located.parts[0].content else {
        panic!("{located:?}");
    };
    assert_eq!((*pack, *offset), (packs.packs().await[0], 1007));
    let owner = packs.record_of_pack(*pack).await.unwrap().owner;
    assert_eq!(owner, BlobOwner::Pack);
    world.check().await;
}
