//! What an operator asks: what buckets hold, which uploads were forgotten, where an object lies.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{START, World, bucket, content, key, sizes};
use strongroom_base::Timestamp;
use strongroom_objects::{
    CreateUpload, Error, ListBucketUsage, ListUploadUsage, LocateObject, LocatedContent,
    ObjectHeaders, ShardState, UploadPart, UserMetadata,
};
use strongroom_types::{PartNumber, UploadId};

async fn upload(world: &World, name: &str, parts: &[&[u8]]) -> UploadId {
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
    let id = world
        .objects
        .create_upload(request)
        .await
        .unwrap()
        .upload_id;
    for (index, bytes) in parts.iter().enumerate() {
        let request = UploadPart {
            bucket: bucket("bucket"),
            key: key(name),
            upload_id: id,
            part_number: PartNumber::new(index as i64 + 1).unwrap(),
            content: content(bytes),
        };
        world.objects.upload_part(request).await.unwrap();
    }
    id
}

fn uploads(uploads_max: u32) -> ListUploadUsage {
    ListUploadUsage {
        bucket: bucket("bucket"),
        prefix: String::new(),
        after: None,
        uploads_max,
    }
}

fn locate(name: &str) -> LocateObject {
    LocateObject {
        bucket: bucket("bucket"),
        key: key(name),
        version_id: None,
        part_number_marker: 0,
        parts_max: 100,
        verify: true,
    }
}

#[tokio::test]
async fn usage_is_exact_and_asking_does_not_cost_by_what_is_stored() {
    let world = World::with_bucket().await;
    for index in 0..50 {
        world.put(&format!("k{index}"), &[1; 30]).await.unwrap();
    }
    // Overwritten, and made shorter.
    world.put("k0", &[1; 10]).await.unwrap();
    upload(&world, "u", &[&[1; 7], &[1; 8]]).await;
    let scanned = world.meta.scanned.load(Ordering::SeqCst);
    let usage = world.objects.bucket_usage(&bucket("bucket")).await.unwrap();
    assert_eq!((usage.objects, usage.bytes), (50, 49 * 30 + 10));
    assert_eq!(
        (usage.uploads, usage.upload_parts, usage.upload_bytes),
        (1, 2, 15)
    );
    assert_eq!(
        world.meta.scanned.load(Ordering::SeqCst),
        scanned,
        "no record is walked"
    );
    let page = world.objects.list_bucket_usage(ListBucketUsage {
        buckets_max: 10,
        ..ListBucketUsage::default()
    });
    assert_eq!(page.await.unwrap().buckets, [usage]);
    let scanned = world.meta.scanned.load(Ordering::SeqCst) - scanned;
    assert_eq!(scanned, 1, "one record for each bucket of the page");
    world.check().await;
}

#[tokio::test]
async fn buckets_are_told_of_page_by_page_without_one_twice() {
    let world = World::new();
    for name in ["aaa", "bbb", "ccc", "ddd", "eee"] {
        world.create(name).await.unwrap();
    }
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let request = ListBucketUsage {
            after: after.clone(),
            buckets_max: 2,
            ..ListBucketUsage::default()
        };
        let page = world.objects.list_bucket_usage(request).await.unwrap();
        found.extend(page.buckets.iter().map(|b| b.info.name.as_str().to_owned()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, ["aaa", "bbb", "ccc", "ddd", "eee"]);
    let gone = world.objects.bucket_usage(&bucket("zzz")).await;
    assert_eq!(gone, Err(Error::NoSuchBucket));
}

#[tokio::test]
async fn uploads_are_told_with_what_their_parts_hold() {
    let world = World::with_bucket().await;
    let first = upload(&world, "a", &[&[1; 7], &[1; 8]]).await;
    let second = upload(&world, "b", &[]).await;
    let page = world.objects.list_upload_usage(uploads(1)).await.unwrap();
    assert_eq!(page.uploads.len(), 1);
    assert_eq!((page.uploads[0].parts, page.uploads[0].bytes), (2, 15));
    assert_eq!(page.next, Some((key("a"), first)));
    let rest = ListUploadUsage {
        after: page.next,
        ..uploads(10)
    };
    let page = world.objects.list_upload_usage(rest).await.unwrap();
    assert_eq!(page.uploads[0].upload_id, second);
    assert_eq!((page.uploads.len(), page.next), (1, None));
}

#[tokio::test]
async fn only_uploads_started_before_the_time_are_aborted() {
    let world = World::with_bucket().await;
    upload(&world, "old", &[&[1; 100_000]]).await;
    upload(&world, "older", &[&[1; 7]]).await;
    world.clock.advance(Duration::from_secs(100));
    let young = upload(&world, "young", &[&[1; 9]]).await;
    let before = Timestamp(START.0 + 50_000_000_000);
    let mut request = uploads(1);
    let (mut aborted, mut bytes, mut calls) = (0, 0, 0);
    loop {
        let done = world
            .objects
            .abort_uploads_older(request.clone(), before)
            .await
            .unwrap();
        assert!(done.examined <= 1, "a call looks at no more than its page");
        (aborted, bytes, calls) = (aborted + done.aborted, bytes + done.bytes, calls + 1);
        match done.next {
            Some(next) => request.after = Some(next),
            None => break,
        }
    }
    assert_eq!((aborted, bytes, calls), (2, 100_007, 3));
    let left = world.objects.list_upload_usage(uploads(10)).await.unwrap();
    assert_eq!(left.uploads.len(), 1);
    assert_eq!(left.uploads[0].upload_id, young);
    world.check().await;
}

#[tokio::test]
async fn an_object_is_located_in_the_log_or_in_its_shards() {
    let world = World::with_bucket().await;
    let [small, large] = sizes();
    world.put("small", &small).await.unwrap();
    world.put("large", &large).await.unwrap();
    world.put("empty", &[]).await.unwrap();
    let found = world.objects.locate_object(locate("small")).await.unwrap();
    assert!(
        matches!(found.parts[0].content, LocatedContent::Log { .. }),
        "{found:?}"
    );
    let found = world.objects.locate_object(locate("empty")).await.unwrap();
    assert_eq!(found.parts[0].content, LocatedContent::Empty);
    let found = world.objects.locate_object(locate("large")).await.unwrap();
    let LocatedContent::Shards { location, .. } = &found.parts[0].content else {
        panic!("{found:?}")
    };
    assert_eq!(location.size, large.len() as u64);
    assert_eq!(location.runs[0].shards[0].state, ShardState::Verified);
    let gone = world.objects.locate_object(locate("gone")).await;
    assert!(matches!(gone, Err(Error::NoSuchKey { .. })), "{gone:?}");
}
