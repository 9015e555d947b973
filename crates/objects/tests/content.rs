//! What was declared of content is verified before anything is visible (IN02).

mod common;

use common::{World, content, key, put_request, sizes};
use strongroom_objects::{Content, DeclaredChecksum, Error, UploadPart};
use strongroom_types::{Checksum, ChecksumAlgorithm, PartNumber, UploadId};

async fn assert_refused(world: &World, content: Content, is_right: impl Fn(&Error) -> bool) {
    let request = strongroom_objects::PutObject {
        lock: Default::default(),
        content,
        ..put_request("k", b"")
    };
    let error = world.objects.put_object(request).await.unwrap_err();
    assert!(is_right(&error), "{error:?}");
    assert!(
        matches!(world.get("k").await, Err(Error::NoSuchKey { .. })),
        "nothing is visible"
    );
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn content_that_differs_from_a_declared_digest_is_refused() {
    // IN02
    let world = World::with_bucket().await;
    for bytes in sizes() {
        let mut wrong = content(&bytes);
        wrong.digests.md5 = Some([1; 16]);
        assert_refused(&world, wrong, |error| {
            matches!(error, Error::BadDigest { .. })
        })
        .await;
        let mut wrong = content(&bytes);
        wrong.digests.sha256 = Some([1; 32]);
        assert_refused(&world, wrong, |error| {
            *error == Error::ContentSha256Mismatch
        })
        .await;
        for algorithm in ChecksumAlgorithm::ALL {
            let value = Checksum::full_object(algorithm, &vec![1; algorithm.size()]).unwrap();
            let mut wrong = content(&bytes);
            wrong.digests.checksum = DeclaredChecksum::Value(value);
            assert_refused(&world, wrong, |error| {
                matches!(error, Error::BadDigest { .. })
            })
            .await;
            let mut wrong = content(&bytes);
            let value = Box::pin(async move { Ok(value) });
            wrong.digests.checksum = DeclaredChecksum::Trailer { algorithm, value };
            assert_refused(&world, wrong, |error| {
                matches!(error, Error::BadDigest { .. })
            })
            .await;
        }
        let mut wrong = content(&bytes);
        let error = Error::InvalidRequest {
            message: "malformed trailer".into(),
        };
        let failed = error.clone();
        wrong.digests.checksum = DeclaredChecksum::Trailer {
            algorithm: ChecksumAlgorithm::Crc32,
            value: Box::pin(async move { Err(failed) }),
        };
        assert_refused(&world, wrong, |found| *found == error).await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn content_of_another_size_than_declared_is_refused() {
    let world = World::with_bucket().await;
    for bytes in sizes() {
        let short = Content {
            size: bytes.len() as u64 + 1,
            ..content(&bytes)
        };
        assert_refused(&world, short, |error| {
            matches!(error, Error::IncompleteBody { .. })
        })
        .await;
        let long = Content {
            size: bytes.len() as u64 - 1,
            ..content(&bytes)
        };
        assert_refused(&world, long, |error| {
            matches!(error, Error::InvalidRequest { .. })
        })
        .await;
        let huge = Content {
            size: (5 << 30) + 1,
            ..content(&bytes)
        };
        assert_refused(&world, huge, |error| {
            matches!(error, Error::EntityTooLarge { .. })
        })
        .await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_stream_that_fails_fails_the_put() {
    let world = World::with_bucket().await;
    for size in [100u64, 100_000] {
        let failed = strongroom_blob::Error::new(strongroom_blob::ErrorKind::Content, "cut off");
        let items = [Ok(bytes::Bytes::from_static(b"begin")), Err(failed)];
        let broken = Content::new(Box::pin(futures::stream::iter(items)), size);
        assert_refused(&world, broken, |error| {
            matches!(error, Error::ContentFailed { .. })
        })
        .await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn right_digests_are_accepted_and_kept() {
    // IN03
    let world = World::with_bucket().await;
    for bytes in sizes() {
        let plain = world.put("k", &bytes).await.unwrap();
        assert_eq!(plain.checksum.algorithm(), ChecksumAlgorithm::Crc64Nvme);
        for algorithm in ChecksumAlgorithm::ALL {
            let mut request = put_request("k", &bytes);
            request.content.digests.checksum = DeclaredChecksum::Compute(algorithm);
            let computed = world.objects.put_object(request).await.unwrap();
            let mut request = put_request("k", &bytes);
            request.content.digests.md5 = Some(*plain.etag.md5());
            let value = computed.checksum;
            let trailer = Box::pin(async move { Ok(value) });
            request.content.digests.checksum = DeclaredChecksum::Trailer {
                algorithm,
                value: trailer,
            };
            let declared = world.objects.put_object(request).await.unwrap();
            assert_eq!(declared.checksum, computed.checksum);
            assert_eq!(world.get("k").await.unwrap(), bytes);
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn metadata_of_more_than_2_kib_is_refused() {
    // LI01
    let world = World::with_bucket().await;
    let mut request = put_request("k", b"");
    request.metadata.insert("name".into(), "v".repeat(2045));
    let error = world.objects.put_object(request).await.unwrap_err();
    assert!(
        matches!(error, Error::MetadataTooLarge { size: 2049, .. }),
        "{error:?}"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_part_of_no_upload_is_refused_before_its_content_is_read() {
    let world = World::with_bucket().await;
    let stream = futures::stream::poll_fn(|_| panic!("the content was read"));
    let request = UploadPart {
        bucket: common::bucket("bucket"),
        key: key("k"),
        upload_id: UploadId([1; 16]),
        part_number: PartNumber::new(1).unwrap(),
        content: Content::new(Box::pin(stream), 1),
    };
    assert_eq!(
        world.objects.upload_part(request).await,
        Err(Error::NoSuchUpload)
    );
}
