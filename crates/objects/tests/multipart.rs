//! Multipart checksums (IN05, IN06, IN07), sizes, and copies (VE24, CO11, IN09).

mod common;

use common::{START, World, bucket, content, key};
use strongroom_objects::decide::{self, Assembled, CompleteCommit};
use strongroom_objects::{
    CompleteUpload, CompleteUploadOutput, CompletedPart, CopyObject, CreateUpload,
    DeclaredChecksum, ETagMatch, Error, GetObject, MetadataDirective, ObjectHeaders,
    ReadConditions, Result, Settings, UploadPart, UploadPartOutput, UserMetadata, WriteConditions,
};
use strongroom_types::{Checksum, ChecksumAlgorithm, ChecksumType, ETag, PartNumber, UploadId};

async fn create(
    world: &World,
    checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
) -> Result<UploadId> {
    let request = CreateUpload {
        lock: Default::default(),
        bucket: bucket("bucket"),
        key: key("k"),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        checksum_algorithm: checksum.map(|(algorithm, _)| algorithm),
        checksum_type: checksum.map(|(_, kind)| kind),
    };
    Ok(world.objects.create_upload(request).await?.upload_id)
}

async fn part(world: &World, id: UploadId, number: i64, bytes: &[u8]) -> UploadPartOutput {
    let request = UploadPart {
        bucket: bucket("bucket"),
        key: key("k"),
        upload_id: id,
        part_number: PartNumber::new(number).unwrap(),
        content: content(bytes),
    };
    world.objects.upload_part(request).await.unwrap()
}

fn listed(number: i64, part: &UploadPartOutput, checksum: bool) -> CompletedPart {
    CompletedPart {
        part_number: PartNumber::new(number).unwrap(),
        etag: part.etag.quoted(),
        checksum: checksum.then_some(part.checksum),
    }
}

fn request(id: UploadId, parts: Vec<CompletedPart>) -> CompleteUpload {
    CompleteUpload {
        bucket: bucket("bucket"),
        key: key("k"),
        upload_id: id,
        parts,
        conditions: WriteConditions::default(),
        checksum: None,
        checksum_type: None,
        object_size: None,
    }
}

async fn complete(world: &World, request: CompleteUpload) -> Result<CompleteUploadOutput> {
    world.objects.complete_upload(request).await
}

#[tokio::test(flavor = "current_thread")]
async fn a_full_object_checksum_of_parts_is_that_of_the_whole_content() {
    // IN05
    let world = World::with_bucket().await;
    let whole: Vec<u8> = (0..60_000u32).map(|index| (index * 13) as u8).collect();
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32c,
        ChecksumAlgorithm::Crc64Nvme,
    ] {
        let mut put = common::put_request("whole", &whole);
        put.content.digests.checksum = DeclaredChecksum::Compute(algorithm);
        let expected = world.objects.put_object(put).await.unwrap().checksum;
        let id = create(&world, Some((algorithm, ChecksumType::FullObject)))
            .await
            .unwrap();
        let first = part(&world, id, 1, &whole[..40_000]).await;
        let second = part(&world, id, 2, &whole[40_000..]).await;
        let parts = vec![listed(1, &first, true), listed(2, &second, false)];
        let mut wrong = request(id, parts.clone());
        let zeros = vec![0; algorithm.size()];
        wrong.checksum = Some(Checksum::full_object(algorithm, &zeros).unwrap());
        let refused = complete(&world, wrong).await;
        assert!(
            matches!(refused, Err(Error::BadDigest { .. })),
            "{refused:?}"
        );
        let mut right = request(id, parts);
        right.checksum = Some(expected);
        assert_eq!(complete(&world, right).await.unwrap().checksum, expected);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_composite_upload_lists_the_right_checksum_of_every_part_in_a_row() {
    // IN06, IN07
    let world = World::with_bucket().await;
    let kind = (ChecksumAlgorithm::Sha256, ChecksumType::Composite);
    let id = create(&world, Some(kind)).await.unwrap();
    let first = part(&world, id, 1, b"first").await;
    let second = part(&world, id, 2, b"second").await;
    let missing = request(id, vec![listed(1, &first, false), listed(2, &second, true)]);
    let refused = complete(&world, missing).await;
    assert!(
        matches!(refused, Err(Error::InvalidRequest { .. })),
        "{refused:?}"
    );
    let mut swapped = listed(1, &first, true);
    swapped.checksum = Some(second.checksum);
    let refused = complete(&world, request(id, vec![swapped])).await;
    assert_eq!(refused, Err(Error::InvalidPart { part_number: 1 }));
    let gap = complete(&world, request(id, vec![listed(2, &second, true)])).await;
    assert_eq!(gap, Err(Error::InvalidPartOrder));
    let all = vec![listed(1, &first, true), listed(2, &second, true)];
    let mut other_type = request(id, all.clone());
    other_type.checksum_type = Some(ChecksumType::FullObject);
    let refused = complete(&world, other_type).await;
    assert!(
        matches!(refused, Err(Error::InvalidRequest { .. })),
        "{refused:?}"
    );
    let mut other_size = request(id, all.clone());
    other_size.object_size = Some(12);
    let refused = complete(&world, other_size).await;
    assert!(
        matches!(refused, Err(Error::InvalidRequest { .. })),
        "{refused:?}"
    );
    let made = complete(&world, request(id, all)).await.unwrap();
    assert!(made.checksum.to_string().ends_with("-2"));
    assert!(made.etag.to_string().ends_with("-2"));
    assert_eq!(world.get("k").await.unwrap(), b"firstsecond");
}

#[tokio::test(flavor = "current_thread")]
async fn a_part_with_another_algorithm_than_the_upload_is_refused() {
    let world = World::with_bucket().await;
    let kind = (ChecksumAlgorithm::Crc32, ChecksumType::Composite);
    let id = create(&world, Some(kind)).await.unwrap();
    let mut body = content(b"x");
    body.digests.checksum = DeclaredChecksum::Compute(ChecksumAlgorithm::Sha1);
    let request = UploadPart {
        bucket: bucket("bucket"),
        key: key("k"),
        upload_id: id,
        part_number: PartNumber::new(1).unwrap(),
        content: body,
    };
    let refused = world.objects.upload_part(request).await;
    assert!(
        matches!(refused, Err(Error::InvalidRequest { .. })),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn only_the_last_part_may_be_smaller_than_5_mib() {
    // BK12
    let world = World::with_settings(Settings::default());
    world.create("bucket").await.unwrap();
    let id = create(&world, None).await.unwrap();
    let small = part(&world, id, 1, b"small").await;
    let large = part(&world, id, 2, &vec![1; 5 << 20]).await;
    let both = vec![listed(1, &small, false), listed(2, &large, false)];
    let refused = complete(&world, request(id, both)).await;
    let size_min = 5 << 20;
    assert_eq!(
        refused,
        Err(Error::EntityTooSmall {
            part_number: 1,
            size: 5,
            size_min
        })
    );
    complete(&world, request(id, vec![listed(1, &small, false)]))
        .await
        .unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn h27_a_finish_with_a_token_that_no_longer_closes_the_upload_makes_nothing() {
    let world = World::with_bucket().await;
    let id = create(&world, None).await.unwrap();
    let commit = CompleteCommit {
        bucket: world.bucket_ref().await,
        key: key("k"),
        upload: id,
        token: strongroom_meta::Stamp(1),
        assembled: Assembled {
            etag: ETag::Multipart {
                md5: [0; 16],
                part_count: 1,
            },
            checksum: Checksum::full_object(ChecksumAlgorithm::Crc32, &[0; 4]).unwrap(),
            size: 0,
            parts: Vec::new(),
        },
        stored: Vec::new(),
        conditions: WriteConditions::default(),
        now: START,
    };
    let finished = world
        .decide(move |reads| decide::finish_complete(reads, &commit))
        .await;
    assert_eq!(finished, Err(Error::OperationAborted));
    assert!(world.get("k").await.is_err());
}

fn copy(from: &str, to: &str) -> CopyObject {
    CopyObject {
        lock: Default::default(),
        source_bucket: bucket("bucket"),
        source_key: key(from),
        source_version_id: None,
        source_conditions: ReadConditions::default(),
        bucket: bucket("bucket"),
        key: key(to),
        metadata: MetadataDirective::Copy {
            website_redirect_location: None,
        },
        tags: Default::default(),
        checksum_algorithm: None,
        conditions: WriteConditions::default(),
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_copy_onto_itself_must_change_something() {
    // VE24
    let world = World::with_bucket().await;
    for bytes in common::sizes() {
        world.put("k", &bytes).await.unwrap();
        let refused = world.objects.copy_object(copy("k", "k")).await;
        assert!(
            matches!(refused, Err(Error::InvalidRequest { .. })),
            "{refused:?}"
        );
        let metadata = UserMetadata::from([("a".to_owned(), "b".to_owned())]);
        let headers = ObjectHeaders::default();
        let replace = MetadataDirective::Replace {
            headers,
            metadata: metadata.clone(),
        };
        let request = CopyObject {
            lock: Default::default(),
            metadata: replace,
            ..copy("k", "k")
        };
        world.objects.copy_object(request).await.unwrap();
        assert_eq!(world.get("k").await.unwrap(), bytes);
        let head = GetObject::new(bucket("bucket"), key("k"));
        assert_eq!(
            world.objects.head_object(head).await.unwrap().info.metadata,
            metadata
        );
        world.check().await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_copy_keeps_the_algorithm_of_its_source_and_heeds_its_conditions() {
    // IN09, CO11
    let world = World::with_bucket().await;
    let mut put = common::put_request("k", b"content");
    put.content.digests.checksum = DeclaredChecksum::Compute(ChecksumAlgorithm::Sha1);
    let source = world.objects.put_object(put).await.unwrap();
    let copied = world.objects.copy_object(copy("k", "c")).await.unwrap();
    assert_eq!(
        (copied.checksum, copied.etag),
        (source.checksum, source.etag)
    );
    let mut stale = copy("k", "d");
    stale.source_conditions.if_none_match = Some(ETagMatch::OneOf(vec![source.etag.quoted()]));
    let refused = world.objects.copy_object(stale).await;
    assert!(
        matches!(refused, Err(Error::PreconditionFailed { .. })),
        "{refused:?}"
    );
    let missing = world.objects.copy_object(copy("none", "d")).await;
    assert!(
        matches!(missing, Err(Error::NoSuchKey { .. })),
        "{missing:?}"
    );
}
