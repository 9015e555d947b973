//! The sweep: what goes, when, and what never does.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use common::{World, bucket, content, key, sizes};
use strongroom_blob::{BlobStore, PutOptions};
use strongroom_meta::{MetaStore, Stamp, Write};
use strongroom_objects::records::{BlobId, BlobRecord, GraveyardRecord, RecordFormat, keys};
use strongroom_objects::*;
use strongroom_types::{PartNumber, UploadId};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn held() -> SweepLimits {
    SweepLimits {
        hold_back: DAY,
        bytes_max: u64::MAX,
        pressed: false,
    }
}

fn at_once() -> SweepLimits {
    SweepLimits {
        hold_back: Duration::ZERO,
        ..held()
    }
}

/// Sweeps all that `limits` release.
async fn sweep(world: &World, limits: &SweepLimits) -> SweepPage {
    let mut sum = SweepPage::default();
    loop {
        let page = world.objects.sweep_page(limits, sum.last.take(), 2).await;
        let page = page.unwrap();
        sum.blobs += page.blobs;
        sum.freed += page.freed;
        sum.kept += page.kept;
        sum.last = page.last;
        sum.error = sum.error.or(page.error);
        if sum.last.is_none() {
            return sum;
        }
    }
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

async fn graves(world: &World) -> usize {
    world.family::<GraveyardRecord>(b"G").await.len()
}

async fn blob_records(world: &World) -> Vec<(Vec<u8>, Bytes)> {
    let page = world.meta.inner.scan(b"b", None, 100).await.unwrap();
    let records = page.records.into_iter();
    records.map(|(key, record)| (key, record.value)).collect()
}

async fn upload(world: &World, parts: &[(i64, &[u8])]) -> (UploadId, Vec<CompletedPart>) {
    let request = CreateUpload {
        lock: Default::default(),
        bucket: bucket("bucket"),
        key: key("big"),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        checksum_algorithm: None,
        checksum_type: None,
    };
    let upload_id = world
        .objects
        .create_upload(request)
        .await
        .unwrap()
        .upload_id;
    let mut listed = Vec::new();
    for (number, bytes) in parts {
        let part_number = PartNumber::new(*number).unwrap();
        let request = UploadPart {
            bucket: bucket("bucket"),
            key: key("big"),
            upload_id,
            part_number,
            content: content(bytes),
        };
        let part = world.objects.upload_part(request).await.unwrap();
        listed.push(CompletedPart {
            part_number,
            etag: part.etag.quoted(),
            checksum: None,
        });
    }
    (upload_id, listed)
}

async fn complete(world: &World, upload_id: UploadId, parts: Vec<CompletedPart>) {
    let request = CompleteUpload {
        bucket: bucket("bucket"),
        key: key("big"),
        upload_id,
        parts,
        conditions: WriteConditions::default(),
        checksum: None,
        checksum_type: None,
        object_size: None,
    };
    world.objects.complete_upload(request).await.unwrap();
}

// H34
#[tokio::test]
async fn deleted_bytes_are_held_back_for_a_day_and_then_go() {
    let world = World::with_bucket().await;
    let [small, large] = sizes();
    for (name, bytes) in [("small", &small), ("large", &large), ("kept", &large)] {
        world.put(name, bytes).await.unwrap();
    }
    delete(&world, "small").await;
    delete(&world, "large").await;
    let buried = world.objects.buried().await.unwrap();
    let bytes = (small.len() + large.len()) as u64;
    assert_eq!(buried, Buried { blobs: 2, bytes });
    world.clock.advance(DAY - Duration::from_secs(1));
    assert_eq!(sweep(&world, &held()).await, SweepPage::default());
    assert_eq!(world.blobs.blob_count(), 2);
    world.clock.advance(Duration::from_secs(2));
    let swept = sweep(&world, &held()).await;
    assert_eq!((swept.blobs, swept.kept), (2, 0));
    assert_eq!(world.blobs.blob_count(), 1);
    assert_eq!(graves(&world).await, 0);
    assert_eq!(world.objects.buried().await.unwrap(), Buried::default());
    assert_eq!(world.get("kept").await.unwrap(), large);
    world.check().await;
}

// H18, H60
#[tokio::test]
async fn a_clock_that_jumps_a_year_releases_nothing() {
    let world = World::with_bucket().await;
    world.put("k", &sizes()[1]).await.unwrap();
    delete(&world, "k").await;
    world.clock.advance(365 * DAY);
    assert_eq!(sweep(&world, &held()).await.blobs, 0);
    assert_eq!(world.blobs.blob_count(), 1);
}

// H34
#[tokio::test]
async fn full_disks_and_too_many_bytes_release_the_oldest_early_but_not_what_is_seconds_old() {
    let world = World::with_bucket().await;
    let large = &sizes()[1];
    for name in ["a", "b", "c", "d"] {
        world.put(name, large).await.unwrap();
    }
    for name in ["a", "b", "c"] {
        delete(&world, name).await;
    }
    let bounded = SweepLimits {
        bytes_max: 2 * large.len() as u64,
        ..held()
    };
    let pressed = SweepLimits {
        pressed: true,
        ..held()
    };
    assert_eq!(sweep(&world, &bounded).await.blobs, 0);
    assert_eq!(sweep(&world, &pressed).await.blobs, 0);
    world.clock.advance(HOLD_BACK_MIN + Duration::from_secs(1));
    delete(&world, "d").await;
    // Four are buried, two may stay: the oldest go.
    assert_eq!(sweep(&world, &bounded).await.blobs, 2);
    assert_eq!(sweep(&world, &bounded).await.blobs, 0);
    assert_eq!(sweep(&world, &pressed).await.blobs, 1);
    assert_eq!(world.blobs.blob_count(), 1);
    world.check().await;
}

// H34
#[tokio::test]
async fn bytes_come_back_even_when_there_is_no_space_for_the_commit_that_says_so() {
    let world = World::with_bucket().await;
    let large = sizes()[1].clone();
    for name in ["a", "b", "c", "d", "e"] {
        world.put(name, &large).await.unwrap();
        delete(&world, name).await;
    }
    world.put("kept", &large).await.unwrap();
    world.meta.full.store(true, Ordering::SeqCst);
    let swept = sweep(&world, &at_once()).await;
    assert_eq!((swept.blobs, swept.error), (0, Some(Error::StorageFull)));
    assert_eq!(world.blobs.blob_count(), 1);
    assert_eq!(graves(&world).await, 5);
    world.meta.full.store(false, Ordering::SeqCst);
    assert_eq!(sweep(&world, &at_once()).await.blobs, 5);
    assert_eq!(world.get("kept").await.unwrap(), large);
    world.check().await;
}

// H26
#[tokio::test]
async fn parts_that_are_replaced_left_over_aborted_or_deleted_go_and_their_records_too() {
    let world = World::with_bucket().await;
    let large = sizes()[1].clone();
    let parts = [(1, &large[..]), (1, &large[..]), (2, &large[..]), (3, b"x")];
    let (id, listed) = upload(&world, &parts).await;
    complete(&world, id, listed[1..3].to_vec()).await;
    let (aborted, _) = upload(&world, &parts[1..]).await;
    let request = AbortUpload {
        bucket: bucket("bucket"),
        key: key("big"),
        upload_id: aborted,
    };
    world.objects.abort_upload(request).await.unwrap();
    world.check().await;
    assert_eq!(world.blobs.blob_count(), 5);
    let swept = sweep(&world, &at_once()).await;
    assert_eq!((swept.blobs, swept.kept), (5, 0));
    world.check().await;
    assert_eq!(world.blobs.blob_count(), 2);
    assert_eq!(world.family::<BlobRecord>(b"b").await.len(), 2);
    // They were written for an upload that is gone, and belong to the object now.
    world.objects.mark_scan().await.unwrap();
    assert_eq!(
        world.get("big").await.unwrap(),
        [&large[..], &large].concat()
    );
    delete(&world, "big").await;
    assert_eq!(sweep(&world, &at_once()).await.blobs, 2);
    world.check().await;
    assert_eq!(world.blobs.blob_count(), 0);
    assert!(world.family::<BlobRecord>(b"b").await.is_empty());
}

// H26
#[tokio::test]
async fn a_blob_that_something_owns_is_not_freed_even_when_it_is_buried() {
    let world = World::with_bucket().await;
    let large = sizes()[1].clone();
    let (id, listed) = upload(&world, &[(1, &large)]).await;
    complete(&world, id, listed).await;
    world.put("other", &large).await.unwrap();
    let page = blob_records(&world).await;
    for (blob_key, record) in page {
        let blob = BlobId(blob_key[1..].try_into().unwrap());
        let record = BlobRecord::decode(&record).unwrap();
        let place = record.place;
        world
            .decide(move |reads| {
                let mut writes = Vec::new();
                let lies = [
                    GraveyardRecord::Parts { blobs: vec![blob] },
                    GraveyardRecord::Blob {
                        size: 1,
                        place: place.clone(),
                        packed: None,
                    },
                ];
                for lie in lies {
                    let when = reads.issue_stamp(Stamp(0));
                    let (key, value) = (keys::graveyard(when, blob), lie.encode().into());
                    writes.push(Write::Put { key, value });
                }
                Ok((writes, ()))
            })
            .await
            .unwrap();
    }
    let swept = sweep(&world, &at_once()).await;
    assert_eq!((swept.blobs, swept.kept), (0, 4));
    assert_eq!(world.blobs.blob_count(), 2);
    assert_eq!(world.get("big").await.unwrap(), large);
    assert_eq!(world.get("other").await.unwrap(), large);
}

// H28
#[tokio::test]
async fn a_mark_scan_frees_what_never_committed_and_keeps_what_lives_waits_or_is_held_back() {
    let world = World::with_bucket().await;
    let large = sizes()[1].clone();
    world.put("live", &large).await.unwrap();
    world.put("deleted", &large).await.unwrap();
    delete(&world, "deleted").await;
    let put = async || {
        let stream = futures::stream::iter([Ok(Bytes::from_static(b"lost"))]);
        let options = PutOptions {
            size: 4,
            owner: Bytes::new(),
        };
        world.blobs.put(options, Box::pin(stream)).await.unwrap()
    };
    drop(put().await);
    let waiting = put().await;
    assert_eq!(world.blobs.blob_count(), 4);
    assert_eq!(world.objects.mark_scan().await.unwrap().freed.bytes, 4);
    assert_eq!(world.blobs.blob_count(), 3);
    drop(waiting);
    world.objects.mark_scan().await.unwrap();
    assert_eq!(world.blobs.blob_count(), 2);
    assert_eq!(world.get("live").await.unwrap(), large);
    assert_eq!(
        sweep(&world, &at_once()).await.freed.bytes,
        large.len() as u64
    );
}

// H29
#[tokio::test]
async fn a_mark_scan_over_records_that_lost_some_frees_nothing() {
    let world = World::with_bucket().await;
    let large = sizes()[1].clone();
    world.put("one", &large).await.unwrap();
    let (id, listed) = upload(&world, &[(1, &large)]).await;
    let lose_all = async || {
        for (key, _) in blob_records(&world).await {
            let lose = move |_: &mut dyn strongroom_meta::Reads| {
                let key = key.clone();
                Ok((vec![Write::Delete { key }], ()))
            };
            world.decide(lose).await.unwrap();
        }
    };
    complete(&world, id, listed).await;
    lose_all().await;
    let error = world.objects.mark_scan().await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert_eq!(world.blobs.blob_count(), 2);
}

// H29
#[tokio::test]
async fn a_mark_scan_that_meets_a_record_it_can_not_read_frees_nothing() {
    let world = World::with_bucket().await;
    world.put("one", &sizes()[1]).await.unwrap();
    let (key, _) = blob_records(&world).await.remove(0);
    let break_it = move |_: &mut dyn strongroom_meta::Reads| {
        let (key, value) = (key.clone(), Bytes::from_static(b"\xFFnewer"));
        Ok((vec![Write::Put { key, value }], ()))
    };
    world.decide(break_it).await.unwrap();
    assert!(world.objects.mark_scan().await.is_err());
    assert_eq!(world.blobs.blob_count(), 1);
}

#[tokio::test]
async fn a_count_from_before_it_was_kept_is_settled_when_the_graveyard_is_empty() {
    let world = World::with_bucket().await;
    let key = keys::buried_count();
    world.put("k", &sizes()[1]).await.unwrap();
    delete(&world, "k").await;
    let forget = move |_: &mut dyn strongroom_meta::Reads| {
        let key = key.clone();
        Ok((vec![Write::Delete { key }], ()))
    };
    world.decide(forget).await.unwrap();
    assert_eq!(sweep(&world, &at_once()).await.blobs, 1);
    assert_eq!(world.objects.buried().await.unwrap(), Buried::default());
    world.put("k", &sizes()[1]).await.unwrap();
    assert_eq!(sweep(&world, &at_once()).await, SweepPage::default());
    delete(&world, "k").await;
    assert_eq!(world.objects.buried().await.unwrap().blobs, 1);
    world.check().await;
}
