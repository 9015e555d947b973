//! Conditions of completions, and what is known of the parts of an object.

mod common;

use common::{World, bucket, content, key};
use strongroom_objects::{
    ByteRange, CompleteUpload, CompletedPart, Condition, CreateUpload, DeleteObject, ETagMatch,
    Error, GetAttributes, GetObject, ObjectHeaders, UploadPart, UserMetadata, WriteConditions,
};
use strongroom_types::{Checksum, ChecksumAlgorithm, ChecksumType, PartNumber, UploadId};

/// Larger than the smallest part that is not the last.
const PART_SIZE: usize = 64 * 1024;

async fn start(world: &World, checksum: Option<ChecksumAlgorithm>) -> UploadId {
    let request = CreateUpload {
        lock: Default::default(),
        bucket: bucket("bucket"),
        key: key("k"),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        checksum_algorithm: checksum,
        checksum_type: None,
    };
    let created = world.objects.create_upload(request).await.unwrap();
    created.upload_id
}

async fn upload(world: &World, id: UploadId, number: i64, bytes: &[u8]) -> CompletedPart {
    let part_number = PartNumber::new(number).unwrap();
    let request = UploadPart {
        bucket: bucket("bucket"),
        key: key("k"),
        upload_id: id,
        part_number,
        content: content(bytes),
    };
    let part = world.objects.upload_part(request).await.unwrap();
    CompletedPart {
        part_number,
        etag: part.etag.quoted(),
        checksum: Some(part.checksum),
    }
}

async fn complete(
    world: &World,
    id: UploadId,
    parts: Vec<CompletedPart>,
    conditions: WriteConditions,
) -> Result<(), Error> {
    let request = CompleteUpload {
        bucket: bucket("bucket"),
        key: key("k"),
        upload_id: id,
        parts,
        conditions,
        checksum: None,
        checksum_type: None,
        object_size: None,
    };
    world.objects.complete_upload(request).await.map(|_| ())
}

fn absent() -> WriteConditions {
    WriteConditions {
        if_match: None,
        if_none_match: Some(ETagMatch::Any),
    }
}

async fn put(world: &World, bytes: &[u8]) -> WriteConditions {
    let request = common::put_request("k", bytes);
    let etag = world.objects.put_object(request).await.unwrap().etag;
    WriteConditions {
        if_match: Some(ETagMatch::OneOf(vec![etag.quoted()])),
        if_none_match: None,
    }
}

async fn delete(world: &World) {
    let request = DeleteObject {
        bypass: Default::default(),
        bucket: bucket("bucket"),
        key: key("k"),
        version_id: None,
        if_match: None,
    };
    world.objects.delete_object(request).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_conditional_completion_conflicts_with_what_changed_the_key_since_the_start() {
    // CO05
    let world = World::with_bucket().await;
    put(&world, b"old").await;
    let id = start(&world, None).await;
    let parts = vec![upload(&world, id, 1, b"part").await];
    delete(&world).await;
    let conflict = |condition| Err(Error::ConditionalRequestConflict { condition });
    assert_eq!(
        complete(&world, id, parts.clone(), absent()).await,
        conflict(Condition::IfNoneMatch),
        "deleted since"
    );
    let same = put(&world, b"old").await;
    assert_eq!(
        complete(&world, id, parts.clone(), same).await,
        conflict(Condition::IfMatch),
        "put again since, with the same bytes"
    );
    assert!(matches!(
        complete(&world, id, parts.clone(), absent()).await,
        Err(Error::PreconditionFailed { .. })
    ));
    assert_eq!(world.get("k").await.unwrap(), b"old", "nothing was changed");
    let none = WriteConditions::default();
    assert_eq!(complete(&world, id, parts, none).await, Ok(()));
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_conditional_completion_succeeds_when_nothing_changed_the_key() {
    // CO01, CO03
    let world = World::with_bucket().await;
    let id = start(&world, None).await;
    let parts = vec![upload(&world, id, 1, b"part").await];
    assert_eq!(complete(&world, id, parts, absent()).await, Ok(()));
    let current = put(&world, b"next").await;
    let id = start(&world, None).await;
    let parts = vec![upload(&world, id, 1, b"more").await];
    assert_eq!(complete(&world, id, parts, current).await, Ok(()));
    assert_eq!(world.get("k").await.unwrap(), b"more");
}

fn attributes(marker: u32, parts_max: u32) -> GetAttributes {
    GetAttributes {
        bucket: bucket("bucket"),
        key: key("k"),
        version_id: None,
        part_number_marker: marker,
        parts_max,
    }
}

#[tokio::test(flavor = "current_thread")]
async fn attributes_page_through_the_parts_of_an_object() {
    // IN08
    let world = World::with_bucket().await;
    put(&world, b"plain").await;
    let plain = world.objects.object_attributes(attributes(0, 10)).await;
    assert_eq!(plain.unwrap().parts, None);
    let id = start(&world, Some(ChecksumAlgorithm::Sha256)).await;
    let mut parts = Vec::new();
    for number in 1..=3 {
        parts.push(upload(&world, id, number, &[number as u8; PART_SIZE]).await);
    }
    let checksums: Vec<Option<Checksum>> = parts.iter().map(|part| part.checksum).collect();
    let none = WriteConditions::default();
    assert_eq!(complete(&world, id, parts, none).await, Ok(()));
    let page = |marker, max| {
        let request = attributes(marker, max);
        async { world.objects.object_attributes(request).await.unwrap() }
    };
    let first = page(0, 2).await;
    assert_eq!(first.info.checksum_type, Some(ChecksumType::Composite));
    assert_eq!(first.info.size, 3 * PART_SIZE as u64);
    let first = first.parts.unwrap();
    assert_eq!((first.count, first.next_part_number_marker), (3, Some(2)));
    let rest = page(2, 2).await.parts.unwrap();
    assert_eq!((rest.count, rest.next_part_number_marker), (3, None));
    let listed: Vec<_> = first.parts.iter().chain(&rest.parts).collect();
    let found: Vec<_> = listed.iter().map(|part| Some(part.checksum)).collect();
    assert_eq!(found, checksums);
    assert!(listed.iter().all(|part| part.size == PART_SIZE as u64));
    let empty = page(0, 0).await.parts.unwrap();
    assert_eq!(
        (empty.parts.len(), empty.next_part_number_marker),
        (0, None)
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_range_has_a_checksum_when_it_is_all_or_exactly_a_part() {
    // IN04
    let world = World::with_bucket().await;
    let id = start(&world, Some(ChecksumAlgorithm::Crc32c)).await;
    let first = upload(&world, id, 1, &[1; PART_SIZE]).await;
    let second = upload(&world, id, 2, b"last").await;
    let parts = vec![first.clone(), second.clone()];
    let none = WriteConditions::default();
    assert_eq!(complete(&world, id, parts, none).await, Ok(()));
    let head = |range: Option<(u64, u64)>, part: Option<i64>| {
        let mut request = GetObject::new(bucket("bucket"), key("k"));
        request.range = range.map(|(first, last)| ByteRange::From {
            first,
            last: Some(last),
        });
        request.part_number = part.map(|number| PartNumber::new(number).unwrap());
        async { world.objects.head_object(request).await.unwrap().info }
    };
    let size = PART_SIZE as u64;
    let whole = head(None, None).await.checksum;
    assert_eq!(whole.unwrap().kind(), ChecksumType::Composite);
    assert_eq!(head(Some((0, size + 3)), None).await.checksum, whole);
    assert_eq!(
        head(Some((0, size - 1)), None).await.checksum,
        first.checksum
    );
    assert_eq!(
        head(Some((size, size + 3)), None).await.checksum,
        second.checksum
    );
    assert_eq!(head(Some((0, size)), None).await.checksum, None);
    assert_eq!(head(Some((1, size - 1)), None).await.checksum, None);
    let part = head(None, Some(2)).await;
    assert_eq!((part.checksum, part.part_count), (second.checksum, Some(2)));
    assert_eq!(part.checksum_type, Some(ChecksumType::Composite));
}
