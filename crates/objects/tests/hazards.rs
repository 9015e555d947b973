//! The hazards a decision answers, by number.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use futures::TryStreamExt;

use common::{START, World, bucket, content, key, put_request};
use strongroom_base::Timestamp;
use strongroom_meta::{MetaStore, Reads, Record, Stamp};
use strongroom_objects::decide::{
    self, BucketRef, CLOSING_BELIEVED_NANOS, ClosedUpload, Decided, PutCommit,
};
use strongroom_objects::records::{
    BlobOwner, BlobRecord, GraveyardRecord, HeadRecord, VersionRecord, Versioning, keys,
};
use strongroom_objects::{
    BLOB_REWRITES_MAX, CompleteUpload, CompletedPart, CreateUpload, DeleteKey, DeleteObject,
    ETagMatch, Error, GetObject, ObjectHeaders, UploadPart, UserMetadata, WriteConditions,
};
use strongroom_types::{Checksum, ChecksumAlgorithm, ETag, PartNumber, UploadId, VersionId};

fn put_commit(bucket: BucketRef, name: &str, bytes: &'static [u8]) -> PutCommit {
    let mut blob = [9; 16];
    blob[..name.len().min(16)].copy_from_slice(&name.as_bytes()[..name.len().min(16)]);
    blob[15] = bytes[0];
    PutCommit {
        lock: Default::default(),
        bucket,
        key: key(name),
        content: decide::NewContent {
            blob: strongroom_objects::records::BlobId(blob),
            body: decide::Body::Inline(bytes.into()),
            size: bytes.len() as u64,
            md5: [bytes[0]; 16],
            checksum: Checksum::full_object(ChecksumAlgorithm::Crc32, &[0; 4]).unwrap(),
        },
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        conditions: WriteConditions::default(),
        now: START,
    }
}

/// Notes what a decision reads with `get`: that is what it is guarded by.
struct Guards<'a> {
    inner: &'a mut dyn Reads,
    keys: BTreeSet<Vec<u8>>,
}

impl Reads for Guards<'_> {
    fn get(&mut self, key: &[u8]) -> strongroom_meta::Result<Option<Record>> {
        self.keys.insert(key.to_vec());
        self.inner.get(key)
    }

    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> strongroom_meta::Result<Vec<(Vec<u8>, Record)>> {
        self.inner.scan(prefix, after, limit)
    }

    fn issue_stamp(&mut self, floor: Stamp) -> Stamp {
        self.inner.issue_stamp(floor)
    }

    fn lock_clock(&mut self) -> Timestamp {
        self.inner.lock_clock()
    }
}

async fn guards_of<T, F>(world: &World, mut decide: F) -> BTreeSet<Vec<u8>>
where
    T: Send + 'static,
    F: FnMut(&mut dyn Reads) -> Decided<T> + Send + 'static,
{
    world
        .decide(move |reads| {
            let mut guards = Guards {
                inner: reads,
                keys: BTreeSet::new(),
            };
            decide(&mut guards)?;
            Ok((Vec::new(), guards.keys))
        })
        .await
        .unwrap()
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
) -> Result<ETag, Error> {
    let request = UploadPart {
        bucket: bucket("bucket"),
        key: key(name),
        upload_id: id,
        part_number: PartNumber::new(number).unwrap(),
        content: content(bytes),
    };
    world
        .objects
        .upload_part(request)
        .await
        .map(|output| output.etag)
}

async fn complete(
    world: &World,
    name: &str,
    id: UploadId,
    parts: &[(i64, ETag)],
) -> Result<ETag, Error> {
    let parts = parts.iter().map(|(number, etag)| CompletedPart {
        part_number: PartNumber::new(*number).unwrap(),
        etag: etag.to_string(),
        checksum: None,
    });
    let request = CompleteUpload {
        bucket: bucket("bucket"),
        key: key(name),
        upload_id: id,
        parts: parts.collect(),
        conditions: WriteConditions::default(),
        checksum: None,
        checksum_type: None,
        object_size: None,
    };
    world
        .objects
        .complete_upload(request)
        .await
        .map(|output| output.etag)
}

#[tokio::test(flavor = "current_thread")]
async fn h12_a_put_that_began_unversioned_does_not_overwrite_once_versioning_is_on() {
    let world = World::with_bucket().await;
    world.put("k", b"old").await.unwrap();
    let commit = put_commit(world.bucket_ref().await, "k", b"new");
    let bucket = world.bucket_ref().await.name;
    let enable = world
        .objects
        .put_bucket_versioning(&bucket, Versioning::Enabled);
    enable.await.unwrap();
    let put = world.decide(move |reads| decide::put(reads, &commit)).await;
    assert!(put.unwrap().version_id.is_some());
    assert_eq!(world.get("k").await.unwrap(), b"new");
    let mut old = GetObject::new(bucket, key("k"));
    old.version_id = Some(VersionId::Null);
    let old = world.objects.get_object(old).await.unwrap();
    let pieces: Vec<_> = old.content.try_collect().await.unwrap();
    assert_eq!(pieces.concat(), b"old");
}

#[tokio::test(flavor = "current_thread")]
async fn h12_h14_h15_every_change_of_a_key_is_guarded_by_bucket_name_state_and_head() {
    let world = World::with_bucket().await;
    world.put("k", b"old").await.unwrap();
    let at = world.bucket_ref().await;
    let expected = BTreeSet::from([
        keys::bucket_name(&at.name),
        keys::bucket(at.id),
        keys::head(at.id, &key("k")),
    ]);
    let commit = put_commit(at.clone(), "k", b"new");
    let put = guards_of(&world, move |reads| decide::put(reads, &commit)).await;
    assert!(put.is_superset(&expected));
    let (bucket, keys) = (
        at.clone(),
        [DeleteKey {
            key: key("k"),
            version_id: None,
            if_match: None,
        }],
    );
    let delete = guards_of(&world, move |reads| {
        decide::delete(reads, &bucket, &keys, decide::Bypass::default(), START)
    })
    .await;
    assert!(delete.is_superset(&expected));
}

#[tokio::test(flavor = "current_thread")]
async fn h13_while_a_bucket_is_closed_no_write_commits_and_an_early_reopen_stops_the_delete() {
    let world = World::with_bucket().await;
    let at = world.bucket_ref().await;
    let closing = at.clone();
    let token = world
        .decide(move |reads| decide::close_bucket(reads, &closing, START))
        .await
        .unwrap();
    assert_eq!(
        world.put("k", b"x").await.unwrap_err(),
        Error::OperationAborted
    );
    let delete = DeleteObject {
        bypass: Default::default(),
        bucket: bucket("bucket"),
        key: key("k"),
        version_id: None,
        if_match: None,
    };
    assert_eq!(
        world.objects.delete_object(delete).await,
        Err(Error::OperationAborted)
    );
    assert_eq!(world.create("bucket").await, Err(Error::OperationAborted));
    let again = world.objects.delete_bucket(&bucket("bucket")).await;
    assert_eq!(again, Err(Error::OperationAborted));

    // Whoever closed it is gone. A writer opens it, and the old token removes nothing any more.
    world
        .clock
        .advance(Duration::from_nanos(CLOSING_BELIEVED_NANOS));
    world.put("k", b"x").await.unwrap();
    let removed = world
        .decide(move |reads| decide::remove_bucket(reads, &at, token))
        .await;
    assert_eq!(removed, Err(Error::OperationAborted));
    assert_eq!(world.get("k").await.unwrap(), b"x");
}

#[tokio::test(flavor = "current_thread")]
async fn h13_a_bucket_that_is_not_empty_is_open_again_after_the_refusal() {
    // BK05
    let world = World::with_bucket().await;
    world.put("k", b"x").await.unwrap();
    let refused = world.objects.delete_bucket(&bucket("bucket")).await;
    assert_eq!(refused, Err(Error::BucketNotEmpty));
    world.put("k", b"y").await.unwrap();
    let delete = DeleteObject {
        bypass: Default::default(),
        bucket: bucket("bucket"),
        key: key("k"),
        version_id: None,
        if_match: None,
    };
    world.objects.delete_object(delete).await.unwrap();
    create_upload(&world, "u").await;
    world
        .objects
        .delete_bucket(&bucket("bucket"))
        .await
        .unwrap();
    assert_eq!(world.put("k", b"x").await.unwrap_err(), Error::NoSuchBucket);
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn h14_a_put_that_began_in_a_bucket_since_re_created_does_not_land_in_the_new_one() {
    let world = World::with_bucket().await;
    let commit = put_commit(world.bucket_ref().await, "k", b"old");
    world
        .objects
        .delete_bucket(&bucket("bucket"))
        .await
        .unwrap();
    world.create("bucket").await.unwrap();
    assert_ne!(world.bucket_ref().await.id, commit.bucket.id);
    let landed = world.decide(move |reads| decide::put(reads, &commit)).await;
    assert_eq!(landed, Err(Error::NoSuchBucket));
    assert!(world.get("k").await.is_err());
}

#[tokio::test(flavor = "current_thread")]
async fn h16_a_decision_that_runs_again_takes_a_new_stamp() {
    let world = World::with_bucket().await;
    let commit = put_commit(world.bucket_ref().await, "k", b"x");
    let (first, second) = world
        .decide(move |reads| {
            let (_, lost) = decide::put(reads, &commit)?;
            let (writes, kept) = decide::put(reads, &commit)?;
            Ok((writes, (lost.stamp, kept.stamp)))
        })
        .await
        .unwrap();
    assert!(second > first);
    let heads: Vec<HeadRecord> = world.family(b"H").await;
    assert_eq!(heads[0].current, second);
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn h16_an_overwrite_leaves_one_version_and_buries_the_other() {
    let world = World::with_bucket().await;
    for bytes in common::sizes() {
        world.put("k", &bytes).await.unwrap();
        let other: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
        world.put("k", &other).await.unwrap();
        assert_eq!(world.family::<VersionRecord>(b"V").await.len(), 1);
        assert_eq!(world.get("k").await.unwrap(), other);
        world.check().await;
    }
    let graves: Vec<GraveyardRecord> = world.family(b"G").await;
    let inline =
        |grave: &&GraveyardRecord| matches!(grave, GraveyardRecord::Blob { place: None, .. });
    assert_eq!((graves.len(), graves.iter().filter(inline).count()), (3, 2));
    // Content that is buried is still there: one is current, two are buried, none is inline.
    assert_eq!(world.meta.inner.inline_count(), 2);
}

#[tokio::test(flavor = "current_thread")]
async fn h17_h18_stamps_grow_when_the_clock_steps_back_and_last_modified_follows_the_clock() {
    let world = World::with_bucket().await;
    world.put("k", b"x").await.unwrap();
    let before: Vec<HeadRecord> = world.family(b"H").await;
    let delete = DeleteObject {
        bypass: Default::default(),
        bucket: bucket("bucket"),
        key: key("k"),
        version_id: None,
        if_match: None,
    };
    world.objects.delete_object(delete).await.unwrap();
    let back = Timestamp(START.0 - 1_000_000_000_000);
    world.clock.set(back);
    let put = world.put("k", b"y").await.unwrap();
    let after: Vec<HeadRecord> = world.family(b"H").await;
    assert!(after[0].current > before[0].newest);
    assert_eq!(put.last_modified, back);
}

#[tokio::test(flavor = "current_thread")]
async fn h19_of_many_puts_that_need_the_key_absent_one_succeeds() {
    // CO06
    let world = World::with_bucket().await;
    let puts = (0..16u8).map(|index| {
        let mut request = put_request("k", &[index; 50]);
        request.conditions.if_none_match = Some(ETagMatch::Any);
        world.objects.put_object(request)
    });
    let outcomes = futures::future::join_all(puts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let refused = |error: &Error| matches!(error, Error::PreconditionFailed { .. });
    assert!(
        outcomes
            .iter()
            .filter_map(|outcome| outcome.as_ref().err())
            .all(refused)
    );
}

#[tokio::test(flavor = "current_thread")]
async fn h26_complete_moves_the_parts_blobs_to_the_version_in_its_commit() {
    let world = World::with_bucket().await;
    let id = create_upload(&world, "k").await;
    let [small, large] = common::sizes();
    let first = put_part(&world, "k", id, 1, &large).await.unwrap();
    put_part(&world, "k", id, 2, &large).await.unwrap();
    let third = put_part(&world, "k", id, 3, &small).await.unwrap();
    world.check().await;
    let transactions = world
        .meta
        .transactions
        .load(std::sync::atomic::Ordering::SeqCst);
    complete(&world, "k", id, &[(1, first), (3, third)])
        .await
        .unwrap();
    let spent = world
        .meta
        .transactions
        .load(std::sync::atomic::Ordering::SeqCst)
        - transactions;
    assert_eq!(spent, 2, "close and finish");
    world.check().await;
    let owners: Vec<BlobRecord> = world.family(b"b").await;
    let of_version = |blob: &&BlobRecord| matches!(blob.owner, BlobOwner::Version { .. });
    assert_eq!(owners.iter().filter(of_version).count(), 2);
    assert_eq!(
        world.family::<GraveyardRecord>(b"G").await.len(),
        1,
        "the part not chosen"
    );
    assert_eq!(world.get("k").await.unwrap(), [large, small].concat());
}

#[tokio::test(flavor = "current_thread")]
async fn h27_no_part_is_replaced_while_complete_reads_the_list() {
    let world = World::with_bucket().await;
    let id = create_upload(&world, "k").await;
    let etag = put_part(&world, "k", id, 1, b"part").await.unwrap();
    let at = world.bucket_ref().await;
    let closed = world
        .decide(move |reads| decide::close_upload(reads, &at, &key("k"), id, START))
        .await
        .unwrap();
    assert!(matches!(closed, ClosedUpload::Closed { .. }));
    let refused = put_part(&world, "k", id, 1, b"other").await;
    assert_eq!(refused, Err(Error::OperationAborted));
    // The one who closed it crashed: a repeated Complete goes on from there.
    complete(&world, "k", id, &[(1, etag)]).await.unwrap();
    assert_eq!(world.get("k").await.unwrap(), b"part");
}

#[tokio::test(flavor = "current_thread")]
async fn h27_a_complete_whose_upload_was_reopened_does_not_finish() {
    let world = World::with_bucket().await;
    let id = create_upload(&world, "k").await;
    put_part(&world, "k", id, 1, b"part").await.unwrap();
    let at = world.bucket_ref().await;
    let closing = at.clone();
    let closed = world
        .decide(move |reads| decide::close_upload(reads, &closing, &key("k"), id, START))
        .await
        .unwrap();
    let ClosedUpload::Closed { token, .. } = closed else {
        panic!("{closed:?}")
    };
    world
        .clock
        .advance(Duration::from_nanos(CLOSING_BELIEVED_NANOS));
    put_part(&world, "k", id, 1, b"other").await.unwrap();
    let aborted = world
        .decide(move |reads| decide::abort_upload(reads, &at, &key("k"), id, token, &[]))
        .await;
    assert_eq!(aborted, Err(Error::OperationAborted));
}

#[tokio::test(flavor = "current_thread")]
async fn h27_a_complete_that_fails_reopens_the_upload() {
    let world = World::with_bucket().await;
    let id = create_upload(&world, "k").await;
    let etag = put_part(&world, "k", id, 1, b"part").await.unwrap();
    let wrong = complete(&world, "k", id, &[(1, ETag::Md5([0; 16]))]).await;
    assert_eq!(wrong, Err(Error::InvalidPart { part_number: 1 }));
    let order = complete(&world, "k", id, &[(1, etag), (1, etag)]).await;
    assert_eq!(order, Err(Error::InvalidPartOrder));
    let other = put_part(&world, "k", id, 1, b"other").await.unwrap();
    let made = complete(&world, "k", id, &[(1, other)]).await.unwrap();
    // Repeated after it succeeded, it gives the same answer.
    assert_eq!(complete(&world, "k", id, &[(1, other)]).await, Ok(made));
    world.put("k", b"newer").await.unwrap();
    assert_eq!(
        complete(&world, "k", id, &[(1, other)]).await,
        Err(Error::NoSuchUpload)
    );
}

#[tokio::test(flavor = "current_thread")]
async fn h10_a_blob_whose_disk_went_out_before_the_commit_is_written_anew() {
    let world = World::with_bucket().await;
    let [_, large] = common::sizes();
    world.blobs.lose_next_durability();
    world.put("k", &large).await.unwrap();
    assert_eq!(world.get("k").await.unwrap(), large);
    assert_eq!(world.blobs.blob_count(), 2);
    let id = create_upload(&world, "u").await;
    world.blobs.lose_next_durability();
    put_part(&world, "u", id, 1, &large).await.unwrap();
    assert_eq!(world.blobs.blob_count(), 4);
    const { assert!(BLOB_REWRITES_MAX >= 1) };
}

#[tokio::test(flavor = "current_thread")]
async fn a_blob_with_less_redundancy_is_spread_again_once_disks_are_back() {
    // AZ20
    let world = World::with_bucket().await;
    let [_, large] = common::sizes();
    world.blobs.mark_reduced(true);
    world.put("k", &large).await.unwrap();
    world.put("gone", &large).await.unwrap();
    let delete = DeleteObject {
        bypass: Default::default(),
        bucket: bucket("bucket"),
        key: key("gone"),
        version_id: None,
        if_match: None,
    };
    world.objects.delete_object(delete).await.unwrap();
    assert_eq!(world.objects.blobs_reduced().await, Ok(1));
    let none = world.objects.respread_once(10).await.unwrap();
    assert_eq!((none.examined, none.moved, none.remaining), (1, 0, 1));
    world.blobs.mark_reduced(false);
    let done = world.objects.respread_once(10).await.unwrap();
    assert_eq!((done.examined, done.moved, done.remaining), (1, 1, 0));
    assert_eq!(world.objects.respread_once(10).await.unwrap().examined, 0);
    assert_eq!(world.objects.blobs_reduced().await, Ok(0));
    assert_eq!(world.get("k").await.unwrap(), large);
    world.check().await;
    let graves: Vec<GraveyardRecord> = world.family(b"G").await;
    assert_eq!(graves.len(), 2, "the deleted blob and the old place");
    assert!(world.meta.get(&keys::reduceds()).await.unwrap().is_none());
}
