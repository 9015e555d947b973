//! What operations cost: lists skip, deletes are grouped, an object may have 10,000 parts.

mod common;

use std::sync::atomic::Ordering;

use common::{World, bucket, content, key};
use strongroom_objects::{
    ByteRange, CompleteUpload, CompletedPart, CreateUpload, DeleteKey, DeleteObjects, GetObject,
    ListObjects, ListStart, ObjectHeaders, UploadPart, UserMetadata, WriteConditions,
};
use strongroom_types::PartNumber;

fn list(delimiter: Option<&str>, start: ListStart, keys_max: u32) -> ListObjects {
    ListObjects {
        bucket: bucket("bucket"),
        prefix: String::new(),
        delimiter: delimiter.map(str::to_owned),
        start,
        keys_max,
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_list_under_a_delimiter_skips_what_a_common_prefix_holds() {
    let world = World::with_bucket().await;
    for index in 0..3000 {
        world.put(&format!("big/{index:05}"), b"").await.unwrap();
    }
    world.put("z", b"").await.unwrap();
    world.meta.scanned.store(0, Ordering::SeqCst);
    let output = world
        .objects
        .list_objects(list(Some("/"), ListStart::Beginning, 1000))
        .await
        .unwrap();
    assert_eq!(output.common_prefixes, ["big/"]);
    assert_eq!(output.objects.len(), 1);
    assert!(!output.truncated());
    let scanned = world.meta.scanned.load(Ordering::SeqCst);
    assert!(scanned <= 2 * 256, "{scanned} records were read");
}

#[tokio::test(flavor = "current_thread")]
async fn a_page_has_at_most_1000_entries_and_a_token_for_the_rest() {
    // LI03
    let world = World::with_bucket().await;
    for index in 0..1001 {
        world.put(&format!("{index:05}"), b"").await.unwrap();
    }
    let first = world
        .objects
        .list_objects(list(None, ListStart::Beginning, 5000))
        .await
        .unwrap();
    assert_eq!(first.objects.len(), 1000);
    let token = ListStart::Token(first.continuation_token.clone().unwrap());
    let rest = world
        .objects
        .list_objects(list(None, token, 5000))
        .await
        .unwrap();
    assert_eq!(rest.objects.len(), 1);
    assert!(!rest.truncated());
    let marker = ListStart::After(first.next_marker.unwrap());
    assert_eq!(
        world
            .objects
            .list_objects(list(None, marker, 5000))
            .await
            .unwrap(),
        rest
    );
    let none = world
        .objects
        .list_objects(list(None, ListStart::Beginning, 0))
        .await
        .unwrap();
    assert!(none.objects.is_empty() && !none.truncated());
    let mut hopeless = list(None, ListStart::Beginning, 10);
    hopeless.prefix = "0".repeat(1025);
    assert!(
        world
            .objects
            .list_objects(hopeless)
            .await
            .unwrap()
            .objects
            .is_empty()
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_thousand_keys_are_deleted_in_ten_transactions_five_at_once() {
    let world = World::with_bucket().await;
    for index in 0..1000 {
        world.put(&index.to_string(), b"x").await.unwrap();
    }
    world.meta.transactions.store(0, Ordering::SeqCst);
    world.meta.running_max.store(0, Ordering::SeqCst);
    let keys = (0..1000)
        .map(|index: u32| DeleteKey {
            key: key(&index.to_string()),
            version_id: None,
            if_match: None,
        })
        .collect();
    let request = DeleteObjects {
        bypass: Default::default(),
        bucket: bucket("bucket"),
        keys,
    };
    let answers = world.objects.delete_objects(request).await.unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1000);
    assert_eq!(world.meta.transactions.load(Ordering::SeqCst), 10);
    assert_eq!(world.meta.running_max.load(Ordering::SeqCst), 5);
    world.check().await;
    world
        .objects
        .delete_bucket(&bucket("bucket"))
        .await
        .unwrap();
}

/// The largest Complete, on the longest key and one that doubles when it is escaped.
#[tokio::test(flavor = "current_thread")]
async fn an_object_of_10_000_parts_is_completed_read_by_range_and_overwritten() {
    let world = World::with_bucket().await;
    let name = "\0".repeat(1024);
    for round in 0..2u8 {
        let request = CreateUpload {
            lock: Default::default(),
            bucket: bucket("bucket"),
            key: key(&name),
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
        let mut parts = Vec::new();
        for number in 1..=10_000 {
            let part_number = PartNumber::new(number).unwrap();
            let bytes = [(number % 251) as u8 ^ round; 2];
            let request = UploadPart {
                bucket: bucket("bucket"),
                key: key(&name),
                upload_id,
                part_number,
                content: content(&bytes),
            };
            let etag = world
                .objects
                .upload_part(request)
                .await
                .unwrap()
                .etag
                .quoted();
            parts.push(CompletedPart {
                part_number,
                etag,
                checksum: None,
            });
        }
        let request = CompleteUpload {
            bucket: bucket("bucket"),
            key: key(&name),
            upload_id,
            parts,
            conditions: WriteConditions::default(),
            checksum: None,
            checksum_type: None,
            object_size: Some(20_000),
        };
        world.objects.complete_upload(request).await.unwrap();
        let expected: Vec<u8> = (1..=10_000)
            .flat_map(|number| [(number % 251) as u8 ^ round; 2])
            .collect();
        assert_eq!(world.get(&name).await.unwrap(), expected);
        let mut request = GetObject::new(bucket("bucket"), key(&name));
        request.range = Some(ByteRange::From {
            first: 1999,
            last: Some(4001),
        });
        let output = world.objects.get_object(request).await.unwrap();
        assert_eq!(output.head.range, 1999..4002);
        let chunks: Vec<bytes::Bytes> = futures::TryStreamExt::try_collect(output.content)
            .await
            .unwrap();
        assert_eq!(chunks.concat(), expected[1999..4002]);
        let mut request = GetObject::new(bucket("bucket"), key(&name));
        request.part_number = Some(PartNumber::new(10_000).unwrap());
        let head = world.objects.head_object(request).await.unwrap();
        assert_eq!(
            (head.range, head.info.part_count),
            (19_998..20_000, Some(10_000))
        );
    }
    world.check().await;
}
