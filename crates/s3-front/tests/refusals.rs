//! What we do not do is refused and not ignored (PR13); and what every answer carries.

mod common;

use common::{Call, World};

#[tokio::test]
async fn an_unknown_subresource_changes_nothing() {
    // PR13
    let world = World::with_bucket().await;
    for query in [
        "renameObject",
        "event-hold",
        "annotation",
        "encryption",
        "x=1",
    ] {
        let uri = format!("/bucket/key?{query}");
        let answer = world.send(Call::new("PUT", &uri).body("x").signed()).await;
        answer.expect_error(501, "NotImplemented");
        world.expect_no_object("/bucket/key").await;
    }
    for query in ["replication", "policy", "lifecycle", "anything"] {
        let answer = world
            .send(Call::new("PUT", &format!("/other?{query}")).signed())
            .await;
        answer.expect_error(501, "NotImplemented");
        let head = world.send(Call::new("HEAD", "/other").signed()).await;
        assert_eq!(head.status, 404, "{query}");
    }
}

#[tokio::test]
async fn a_header_that_asks_for_protection_stores_nothing() {
    // PR13
    let world = World::with_bucket().await;
    for (name, value) in [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-object-lock-event-hold", "ON"),
        ("x-amz-storage-class", "GLACIER"),
    ] {
        let put = Call::new("PUT", "/bucket/key")
            .header(name, value)
            .body("x");
        let answer = world
            .send(put.signed())
            .await
            .expect_error(501, "NotImplemented");
        assert_eq!(answer.element("Header").as_deref(), Some(name));
        world.expect_no_object("/bucket/key").await;
    }
    let class = Call::new("PUT", "/bucket/key").header("x-amz-storage-class", "nonsense");
    let answer = world
        .send(class.signed())
        .await
        .expect_error(400, "InvalidStorageClass");
    assert_eq!(
        answer.element("StorageClassRequested").as_deref(),
        Some("nonsense")
    );
}

#[tokio::test]
async fn a_header_that_is_hidden_in_a_presigned_query_is_refused_too() {
    // PR13
    let world = World::with_bucket().await;
    let uri = "/bucket/key?x-amz-object-lock-event-hold=ON";
    let put = Call::new("PUT", uri).presigned("60").body("x");
    world.send(put).await.expect_error(501, "NotImplemented");
    // OL15: nor is a lock passed over because it is asked for there.
    let uri = "/bucket/key?x-amz-object-lock-legal-hold=ON";
    let put = Call::new("PUT", uri).presigned("60").body("x");
    world.send(put).await.expect_error(400, "InvalidRequest");
    world.expect_no_object("/bucket/key").await;
    let put = Call::new("PUT", "/bucket/key?x-amz-acl=public-read").presigned("60");
    world
        .send(put.body("x"))
        .await
        .expect_error(400, "AccessControlListNotSupported");
    let put = Call::new("PUT", "/bucket/key?x-amz-meta-a=b")
        .presigned("60")
        .body("x");
    world.send(put).await.expect(200);
    let head = world.send(Call::new("HEAD", "/bucket/key").signed()).await;
    assert_eq!(head.expect(200).header("x-amz-meta-a"), Some("b"));
}

#[tokio::test]
async fn a_bucket_with_object_lock_is_not_made_without_it() {
    // PR13, BK02
    let world = World::new();
    let make = |value: &str| {
        let call = Call::new("PUT", "/bucket").header("x-amz-bucket-object-lock-enabled", value);
        call.signed()
    };
    let unclear = world.send(make("yes")).await;
    unclear.expect_error(400, "InvalidArgument");
    let head = world.send(Call::new("HEAD", "/bucket").signed()).await;
    assert_eq!(head.status, 404);
    world.send(make("true")).await.expect(200);
    let get = Call::new("GET", "/bucket?object-lock").signed();
    let found = world.send(get).await.expect(200);
    assert!(found.text().contains("<ObjectLockEnabled>Enabled<"));
    // The header is of that operation only: elsewhere it would be ignored.
    let put = Call::new("PUT", "/bucket/key").header("x-amz-bucket-object-lock-enabled", "true");
    let put = world.send(put.body("x").signed()).await;
    put.expect_error(501, "NotImplemented");
}

#[tokio::test]
async fn the_expected_owner_is_checked() {
    // PR06
    let world = World::with_bucket().await;
    for (owner, status, code) in [
        ("111111111111", 403, "AccessDenied"),
        ("1", 400, "InvalidBucketOwnerAWSAccountID"),
    ] {
        let call = Call::new("GET", "/bucket").header("x-amz-expected-bucket-owner", owner);
        world.send(call.signed()).await.expect_error(status, code);
    }
}

#[tokio::test]
async fn health_needs_no_signature_and_its_names_are_no_buckets() {
    let world = World::new();
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/readyz/write", 503),
        ("/minio/health/live", 200),
        ("/minio/health/ready", 200),
        ("/minio/health/cluster", 503),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = world.send(Call::new(method, path)).await;
            assert_eq!(answer.status, status, "{method} {path}");
            assert_eq!(answer.operation, "Health");
        }
    }
    for name in ["/healthz", "/readyz", "/minio"] {
        let answer = world.send(Call::new("PUT", name).signed()).await;
        answer.expect_error(400, "InvalidBucketName");
    }
}

#[tokio::test]
async fn every_answer_has_ids_and_an_error_names_them() {
    // PR01, PR03
    let world = World::with_bucket().await;
    let ok = world
        .send(Call::new("GET", "/bucket").signed())
        .await
        .expect(200);
    let anonymous = world.send(Call::new("GET", "/bucket")).await;
    let missing = world.send(Call::new("GET", "/bucket/a%26b").signed()).await;
    assert_eq!(missing.element("Key").as_deref(), Some("a&amp;b"));
    let malformed = world
        .send(Call::new("GET", "/bucket?max-keys=x").signed())
        .await;
    let malformed = malformed.expect_error(400, "InvalidArgument");
    for answer in [&ok, &anonymous, &missing, &malformed] {
        let id = answer.header("x-amz-request-id").unwrap();
        assert_eq!(id.len(), 16);
        assert!(answer.header("x-amz-id-2").is_some());
        if answer.status != 200 {
            assert_eq!(answer.element("RequestId").as_deref(), Some(id));
        }
    }
    assert_ne!(
        ok.header("x-amz-request-id"),
        missing.header("x-amz-request-id")
    );
}

#[tokio::test]
async fn an_error_of_head_has_no_body() {
    // PR01
    let world = World::with_bucket().await;
    for (uri, status) in [
        ("/bucket/none", 404),
        ("/nobucket", 404),
        ("/bucket/k?versionId=x", 400),
    ] {
        let answer = world.send(Call::new("HEAD", uri).signed()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.len()),
            (status, 0),
            "{uri}"
        );
    }
}

#[tokio::test]
async fn every_request_is_observed_with_its_bytes() {
    let world = World::with_bucket().await;
    let put = Call::new("PUT", "/bucket/key").body("hello");
    assert_eq!(
        world.send(put.signed()).await.expect(200).operation,
        "PutObject"
    );
    world
        .send(Call::new("GET", "/bucket/key").signed())
        .await
        .expect(200);
    world
        .send(Call::new("GET", "/bucket/key"))
        .await
        .expect(403);
    let observed = world.observed.0.lock().unwrap();
    let seen: Vec<_> = observed
        .iter()
        .map(|request| {
            (
                request.operation,
                request.status.as_u16(),
                request.received_bytes,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("CreateBucket", 200, 0),
            ("PutObject", 200, 5),
            ("GetObject", 200, 0),
            ("Unknown", 403, 0)
        ]
    );
    assert_eq!(observed[2].sent_bytes, 5);
    assert!(observed[3].sent_bytes > 100);
}
