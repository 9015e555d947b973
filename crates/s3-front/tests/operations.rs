//! Each operation over the wire: what comes back in headers and documents.

mod common;

use common::{Answer, Call, World, crc32};

async fn send(world: &World, method: &str, uri: &str) -> Answer {
    world.send(Call::new(method, uri).signed()).await
}

async fn put(world: &World, uri: &str, content: &str) -> Answer {
    world
        .send(Call::new("PUT", uri).body(content).signed())
        .await
        .expect(200)
}

#[tokio::test]
async fn a_bucket_is_made_found_listed_and_deleted() {
    // BK03, BK04, BK07, BK08, VE01
    let world = World::new();
    assert_eq!(send(&world, "HEAD", "/bucket").await.status, 404);
    let made = send(&world, "PUT", "/bucket").await.expect(200);
    assert_eq!(made.header("location"), Some("/bucket"));
    // The first region never told the owner (BK03); the others do.
    send(&world, "PUT", "/bucket").await.expect(200);
    let elsewhere = World::in_region("eu-west-1", None);
    for told in [None, Some("BucketAlreadyOwnedByYou")] {
        let mut call = Call::new("PUT", "/bucket");
        call.region = "eu-west-1".to_owned();
        let answer = elsewhere.send(call.signed()).await;
        assert_eq!(answer.element("Code").as_deref(), told, "{}", answer.text());
    }
    send(&world, "PUT", "/Bad")
        .await
        .expect_error(400, "InvalidBucketName");
    let head = send(&world, "HEAD", "/bucket").await.expect(200);
    assert_eq!(head.header("x-amz-bucket-region"), Some("us-east-1"));
    assert_eq!(head.header("x-amz-bucket-arn"), Some("arn:aws:s3:::bucket"));
    let location = send(&world, "GET", "/bucket?location").await.expect(200);
    assert!(
        location.text().contains("<LocationConstraint"),
        "{}",
        location.text()
    );
    let versioning = send(&world, "GET", "/bucket?versioning").await.expect(200);
    assert!(
        versioning.text().contains("<VersioningConfiguration"),
        "{}",
        versioning.text()
    );
    assert_eq!(versioning.element("Status"), None);
    send(&world, "PUT", "/another").await.expect(200);
    let page = send(&world, "GET", "/?max-buckets=1").await.expect(200);
    assert_eq!(page.element("Name").as_deref(), Some("another"));
    assert_eq!(page.element("BucketRegion").as_deref(), Some("us-east-1"));
    let token = page.element("ContinuationToken").unwrap();
    let uri = format!("/?continuation-token={token}");
    let rest = send(&world, "GET", &uri).await.expect(200);
    assert_eq!(rest.element("Name").as_deref(), Some("bucket"));
    send(&world, "GET", "/?max-buckets=0")
        .await
        .expect_error(400, "InvalidArgument");
    let all = send(&world, "GET", "/").await.expect(200);
    assert_eq!(all.element("BucketRegion"), None);
    put(&world, "/bucket/k", "x").await;
    let full = send(&world, "DELETE", "/bucket")
        .await
        .expect_error(409, "BucketNotEmpty");
    assert_eq!(full.element("BucketName").as_deref(), Some("bucket"));
    send(&world, "DELETE", "/bucket/k").await.expect(204);
    send(&world, "DELETE", "/bucket").await.expect(204);
    let gone = send(&world, "GET", "/bucket")
        .await
        .expect_error(404, "NoSuchBucket");
    assert_eq!(gone.element("BucketName").as_deref(), Some("bucket"));
}

#[tokio::test]
async fn a_bucket_elsewhere_is_refused() {
    // BK04
    let world = World::new();
    let body = |region: &str| {
        format!(
            "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint>\
             </CreateBucketConfiguration>"
        )
    };
    let elsewhere = Call::new("PUT", "/bucket").body(body("eu-west-1"));
    world
        .send(elsewhere.signed())
        .await
        .expect_error(400, "IllegalLocationConstraintException");
    let malformed = Call::new("PUT", "/bucket").body("<CreateBucketConfiguration>");
    world
        .send(malformed.signed())
        .await
        .expect_error(400, "MalformedXML");
    let here = Call::new("PUT", "/bucket").body(body("us-east-1"));
    world.send(here.signed()).await.expect(200);
}

#[tokio::test]
async fn an_object_comes_back_with_what_was_stored_beside_it() {
    // HD01-HD03, PR11
    let world = World::with_bucket().await;
    let call = Call::new("PUT", "/bucket/a%20b%2Fc")
        .header("content-type", "text/plain")
        .header("content-language", "de")
        .header("content-disposition", "inline")
        .header("cache-control", "no-cache")
        .header("expires", "0")
        .header("x-amz-meta-color", "blue")
        .header("x-amz-storage-class", "STANDARD")
        .header("x-amz-acl", "private")
        .body("hello");
    let stored = world.send(call.signed()).await.expect(200);
    let etag = "\"5d41402abc4b2a76b9719d911017c592\"";
    assert_eq!(stored.header("etag"), Some(etag));
    assert!(stored.header("x-amz-checksum-crc64nvme").is_some());
    for method in ["GET", "HEAD"] {
        let got = send(&world, method, "/bucket/a%20b/c").await.expect(200);
        for (name, value) in [
            ("etag", etag),
            ("content-type", "text/plain"),
            ("content-language", "de"),
            ("content-disposition", "inline"),
            ("cache-control", "no-cache"),
            ("expires", "0"),
            ("x-amz-meta-color", "blue"),
            ("content-length", "5"),
            ("accept-ranges", "bytes"),
            ("last-modified", "Fri, 24 May 2013 00:00:00 GMT"),
        ] {
            assert_eq!(got.header(name), Some(value), "{method} {name}");
        }
        assert_eq!(got.header("x-amz-checksum-crc64nvme"), None);
        assert_eq!(got.header("x-amz-version-id"), None);
        assert_eq!(got.header("x-amz-storage-class"), None);
        assert_eq!(got.text(), if method == "GET" { "hello" } else { "" });
    }
    let mode = Call::new("GET", "/bucket/a%20b/c").header("x-amz-checksum-mode", "ENABLED");
    let got = world.send(mode.signed()).await.expect(200);
    assert_eq!(got.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    assert!(got.header("x-amz-checksum-crc64nvme").is_some());
}

#[tokio::test]
async fn ranges_and_overrides_are_answered() {
    // HD08
    let world = World::with_bucket().await;
    put(&world, "/bucket/k", "0123456789").await;
    for (range, status, body, content_range) in [
        ("bytes=2-4", 206, "234", Some("bytes 2-4/10")),
        ("bytes=8-", 206, "89", Some("bytes 8-9/10")),
        ("bytes=-3", 206, "789", Some("bytes 7-9/10")),
        ("bytes=5-100", 206, "56789", Some("bytes 5-9/10")),
        ("bytes=0-1,4-5", 200, "0123456789", None),
        ("nonsense", 200, "0123456789", None),
    ] {
        let call = Call::new("GET", "/bucket/k").header("range", range);
        let got = world.send(call.signed()).await.expect(status);
        assert_eq!(
            (got.text().as_str(), got.header("content-range")),
            (body, content_range)
        );
        assert_eq!(
            got.header("content-length"),
            Some(body.len().to_string().as_str())
        );
        let call = Call::new("HEAD", "/bucket/k").header("range", range);
        world.send(call.signed()).await.expect(status);
    }
    let call = Call::new("GET", "/bucket/k").header("range", "bytes=10-");
    let refused = world
        .send(call.signed())
        .await
        .expect_error(416, "InvalidRange");
    assert_eq!(refused.header("content-range"), Some("bytes */10"));
    let uri = "/bucket/k?response-content-type=text%2Fx&response-cache-control=no-store";
    let got = send(&world, "GET", uri).await.expect(200);
    assert_eq!(got.header("content-type"), Some("text/x"));
    assert_eq!(got.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn conditions_of_reads_are_answered() {
    // CO10
    let world = World::with_bucket().await;
    put(&world, "/bucket/k", "hello").await;
    let etag = "\"5d41402abc4b2a76b9719d911017c592\"";
    let (early, late) = (
        "Thu, 23 May 2013 00:00:00 GMT",
        "Sat, 25 May 2013 00:00:00 GMT",
    );
    for (headers, status) in [
        (&[("if-match", etag)][..], 200),
        (&[("if-match", "5d41402abc4b2a76b9719d911017c592")], 200),
        (&[("if-match", "\"other\"")], 412),
        (
            &[(
                "if-match",
                "\"other\", \"5d41402abc4b2a76b9719d911017c592\"",
            )],
            200,
        ),
        (&[("if-none-match", etag)], 304),
        (&[("if-none-match", "\"other\"")], 200),
        (&[("if-modified-since", late)], 304),
        (&[("if-modified-since", early)], 200),
        (&[("if-modified-since", "yesterday")], 200),
        (&[("if-unmodified-since", early)], 412),
        (&[("if-match", etag), ("if-unmodified-since", early)], 200),
        (
            &[("if-none-match", etag), ("if-modified-since", early)],
            304,
        ),
    ] {
        for method in ["GET", "HEAD"] {
            let mut call = Call::new(method, "/bucket/k");
            for (name, value) in headers {
                call = call.header(name, value);
            }
            let got = world.send(call.signed()).await.expect(status);
            if status == 304 {
                assert_eq!(got.header("etag"), Some(etag));
                assert!(got.body.is_empty());
            }
        }
    }
    let call = Call::new("GET", "/bucket/k")
        .header("if-match", "\"other\"")
        .signed();
    let refused = world
        .send(call)
        .await
        .expect_error(412, "PreconditionFailed");
    assert_eq!(refused.element("Condition").as_deref(), Some("If-Match"));
}

#[tokio::test]
async fn conditions_of_writes_are_answered() {
    // CO01-CO04, CO07
    let world = World::with_bucket().await;
    let conditional = |name: &'static str, value: &str| {
        Call::new("PUT", "/bucket/k")
            .header(name, value)
            .body("hello")
            .signed()
    };
    let etag = "\"5d41402abc4b2a76b9719d911017c592\"";
    world
        .send(conditional("if-match", etag))
        .await
        .expect_error(404, "NoSuchKey");
    world
        .send(conditional("if-none-match", "*"))
        .await
        .expect(200);
    world
        .send(conditional("if-none-match", "*"))
        .await
        .expect_error(412, "PreconditionFailed");
    world
        .send(conditional("if-none-match", etag))
        .await
        .expect_error(501, "NotImplemented");
    world
        .send(conditional("if-match", "*"))
        .await
        .expect_error(501, "NotImplemented");
    world
        .send(conditional("if-match", "\"x\""))
        .await
        .expect_error(412, "PreconditionFailed");
    world.send(conditional("if-match", etag)).await.expect(200);
    let delete = |value: &str| {
        Call::new("DELETE", "/bucket/k")
            .header("if-match", value)
            .signed()
    };
    world
        .send(delete("\"x\""))
        .await
        .expect_error(412, "PreconditionFailed");
    world.send(delete(etag)).await.expect(204);
}

#[tokio::test]
async fn many_objects_are_deleted_with_an_answer_for_each() {
    // LI03, PR04
    let world = World::with_bucket().await;
    put(&world, "/bucket/a", "1").await;
    put(&world, "/bucket/b%26", "2").await;
    let list = "<Delete><Object><Key>a</Key></Object><Object><Key>b&amp;</Key></Object>\
                <Object><Key>none</Key></Object>\
                <Object><Key>v</Key><VersionId>nonsense</VersionId></Object></Delete>";
    let bare = Call::new("POST", "/bucket?delete").body(list);
    world
        .send(bare.clone().signed())
        .await
        .expect_error(400, "InvalidRequest");
    let call = bare.header("x-amz-checksum-crc32", &crc32(list.as_bytes()));
    let answer = world.send(call.signed()).await.expect(200);
    let text = answer.text();
    assert_eq!(text.matches("<Deleted>").count(), 3, "{text}");
    assert_eq!(text.matches("<Error>").count(), 1, "{text}");
    // VE15
    assert_eq!(answer.element("Code").as_deref(), Some("NoSuchVersion"));
    world.expect_no_object("/bucket/a").await;
    world.expect_no_object("/bucket/b%26").await;
    for body in [
        "<Delete></Delete>",
        "<Delete><Object></Object></Delete>",
        "nonsense",
    ] {
        let call = Call::new("POST", "/bucket?delete")
            .header("x-amz-checksum-crc32", &crc32(body.as_bytes()))
            .body(body);
        world
            .send(call.signed())
            .await
            .expect_error(400, "MalformedXML");
    }
}

#[tokio::test]
async fn a_copy_keeps_or_replaces_what_is_beside_the_bytes() {
    // HD06, CO11
    let world = World::with_bucket().await;
    let call = Call::new("PUT", "/bucket/a")
        .header("x-amz-meta-a", "1")
        .body("hello");
    world.send(call.signed()).await.expect(200);
    let copy = |uri: &str| Call::new("PUT", uri).header("x-amz-copy-source", "/bucket/a");
    let copied = world.send(copy("/bucket/b").signed()).await.expect(200);
    assert_eq!(
        copied.element("ETag").as_deref(),
        Some("\"5d41402abc4b2a76b9719d911017c592\"")
    );
    let got = send(&world, "GET", "/bucket/b").await.expect(200);
    assert_eq!(
        (got.text().as_str(), got.header("x-amz-meta-a")),
        ("hello", Some("1"))
    );
    let replace = copy("/bucket/b")
        .header("x-amz-metadata-directive", "REPLACE")
        .header("x-amz-meta-b", "2");
    world.send(replace.signed()).await.expect(200);
    let got = send(&world, "HEAD", "/bucket/b").await.expect(200);
    assert_eq!(
        (got.header("x-amz-meta-a"), got.header("x-amz-meta-b")),
        (None, Some("2"))
    );
    let failing = copy("/bucket/b").header("x-amz-copy-source-if-match", "\"x\"");
    world
        .send(failing.signed())
        .await
        .expect_error(412, "PreconditionFailed");
    let taken = copy("/bucket/b").header("if-none-match", "*");
    world
        .send(taken.signed())
        .await
        .expect_error(412, "PreconditionFailed");
    let missing = Call::new("PUT", "/bucket/b").header("x-amz-copy-source", "/bucket/none");
    world
        .send(missing.signed())
        .await
        .expect_error(404, "NoSuchKey");
}

#[tokio::test]
async fn an_empty_delimiter_is_none_and_is_not_shown() {
    let world = World::with_bucket().await;
    put(&world, "/bucket/b/1", "x").await;
    for query in ["delimiter=", "list-type=2&delimiter=", "uploads&delimiter="] {
        let answer = send(&world, "GET", &format!("/bucket?{query}")).await;
        assert_eq!(answer.expect(200).element("Delimiter"), None, "{query}");
    }
    let list = send(&world, "GET", "/bucket?delimiter=").await;
    assert_eq!(list.element("Key").as_deref(), Some("b/1"));
}

#[tokio::test]
async fn lists_page_through_keys_and_prefixes() {
    let world = World::with_bucket().await;
    for key in ["a", "b/1", "b/2", "c%20d", "e%3C"] {
        put(&world, &format!("/bucket/{key}"), "x").await;
    }
    let uri = "/bucket?list-type=2&delimiter=%2F&max-keys=2";
    let first = send(&world, "GET", uri).await.expect(200);
    let text = first.text();
    assert!(
        text.contains("<Key>a</Key>") && text.contains("<Prefix>b/</Prefix>"),
        "{text}"
    );
    assert_eq!(first.element("KeyCount").as_deref(), Some("2"));
    assert_eq!(first.element("IsTruncated").as_deref(), Some("true"));
    assert!(!text.contains("<Owner>"));
    let token = first.element("NextContinuationToken").unwrap();
    let uri = format!(
        "/bucket?list-type=2&delimiter=%2F&encoding-type=url&fetch-owner=true&continuation-token={}",
        token
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D")
    );
    let rest = send(&world, "GET", &uri).await.expect(200);
    let text = rest.text();
    assert!(
        text.contains("<Key>c%20d</Key>") && text.contains("<Key>e%3C</Key>"),
        "{text}"
    );
    assert!(text.contains("<Owner>"), "{text}");
    assert_eq!(rest.element("IsTruncated").as_deref(), Some("false"));
    let v1 = send(&world, "GET", "/bucket?max-keys=1&marker=a")
        .await
        .expect(200);
    assert_eq!(v1.element("Key").as_deref(), Some("b/1"));
    assert_eq!(v1.element("Marker").as_deref(), Some("a"));
    assert_eq!(v1.element("NextMarker"), None);
    for uri in [
        "/bucket?max-keys=-1",
        "/bucket?max-keys=x",
        "/bucket?encoding-type=base64",
        "/bucket?list-type=2&continuation-token=nonsense",
    ] {
        send(&world, "GET", uri)
            .await
            .expect_error(400, "InvalidArgument");
    }
}

#[tokio::test]
async fn a_multipart_upload_is_made_filled_listed_and_completed() {
    let world = World::with_bucket().await;
    let call = Call::new("POST", "/bucket/big?uploads").header("x-amz-meta-a", "1");
    let made = world.send(call.signed()).await.expect(200);
    let id = made.element("UploadId").unwrap();
    let content = "0123456789abcdef";
    let mut etags = Vec::new();
    for number in 1..=2 {
        let uri = format!("/bucket/big?partNumber={number}&uploadId={id}");
        let checksum = crc32(content.as_bytes());
        let trailer = [("x-amz-checksum-crc32", checksum.as_str())];
        let call = Call::new("PUT", &uri).chunked(content.as_bytes(), 10, &trailer, true);
        let part = world.send(call).await.expect(200);
        assert_eq!(part.header("x-amz-checksum-crc32"), Some(checksum.as_str()));
        etags.push(part.header("etag").unwrap().to_owned());
    }
    let wrong = Call::new("PUT", &format!("/bucket/big?partNumber=3&uploadId={id}")).chunked(
        b"x",
        1,
        &[("x-amz-checksum-crc32", "AAAAAA==")],
        false,
    );
    world.send(wrong).await.expect_error(400, "BadDigest");
    let parts = send(&world, "GET", &format!("/bucket/big?uploadId={id}"))
        .await
        .expect(200);
    assert_eq!(
        parts.text().matches("<Part>").count(),
        2,
        "{}",
        parts.text()
    );
    let uploads = send(&world, "GET", "/bucket?uploads").await.expect(200);
    assert_eq!(uploads.element("UploadId").as_deref(), Some(id.as_str()));
    let list: String = etags
        .iter()
        .enumerate()
        .map(|(index, etag)| {
            format!(
                "<Part><PartNumber>{}</PartNumber><ETag>{etag}</ETag></Part>",
                index + 1
            )
        })
        .collect();
    let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let uri = format!("/bucket/big?uploadId={id}");
    let completed = world
        .send(Call::new("POST", &uri).body(&body).signed())
        .await
        .expect(200);
    assert!(
        completed.element("ETag").unwrap().contains("-2"),
        "{}",
        completed.text()
    );
    let got = send(&world, "GET", "/bucket/big").await.expect(200);
    assert_eq!(got.text(), content.repeat(2));
    assert_eq!(got.header("x-amz-meta-a"), Some("1"));
    let part = send(&world, "GET", "/bucket/big?partNumber=2")
        .await
        .expect(206);
    assert_eq!(
        (part.text().as_str(), part.header("x-amz-mp-parts-count")),
        (content, Some("2"))
    );
    let empty = Call::new("POST", &uri)
        .body("<CompleteMultipartUpload/>")
        .signed();
    world.send(empty).await.expect_error(400, "MalformedXML");
}

#[tokio::test]
async fn an_upload_is_aborted_and_then_unknown() {
    let world = World::with_bucket().await;
    let id = send(&world, "POST", "/bucket/k?uploads")
        .await
        .expect(200)
        .element("UploadId");
    let uri = format!("/bucket/k?uploadId={}", id.unwrap());
    send(&world, "DELETE", &uri).await.expect(204);
    send(&world, "GET", &uri)
        .await
        .expect_error(404, "NoSuchUpload");
    send(&world, "DELETE", "/bucket/k?uploadId=nonsense")
        .await
        .expect_error(404, "NoSuchUpload");
    let part = Call::new("PUT", "/bucket/k?partNumber=0&uploadId=x")
        .body("x")
        .signed();
    world.send(part).await.expect_error(400, "InvalidArgument");
}

#[tokio::test]
async fn a_part_is_copied_from_a_range_of_another_object() {
    // CO11
    let world = World::with_bucket().await;
    put(&world, "/bucket/a", "0123456789").await;
    let id = send(&world, "POST", "/bucket/k?uploads")
        .await
        .expect(200)
        .element("UploadId");
    let id = id.unwrap();
    let copy = |range: &str| {
        Call::new("PUT", &format!("/bucket/k?partNumber=1&uploadId={id}"))
            .header("x-amz-copy-source", "bucket/a")
            .header("x-amz-copy-source-range", range)
    };
    let copied = world.send(copy("bytes=2-4").signed()).await.expect(200);
    let etag = copied.element("ETag").unwrap();
    for range in [
        "bytes=2-",
        "bytes=-2",
        "2-4",
        "bytes=4-2",
        "bytes=2-10",
        "bytes=0-1,3-4",
    ] {
        world
            .send(copy(range).signed())
            .await
            .expect_error(400, "InvalidArgument");
    }
    for (name, value) in [
        ("x-amz-copy-source-if-match", "\"other\""),
        (
            "x-amz-copy-source-if-none-match",
            "\"781e5e245d69b566979b86e28d23f2c7\"",
        ),
    ] {
        let call = copy("bytes=2-4").header(name, value).signed();
        world
            .send(call)
            .await
            .expect_error(412, "PreconditionFailed");
    }
    let body = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    let complete = Call::new("POST", &format!("/bucket/k?uploadId={id}")).body(body);
    world.send(complete.signed()).await.expect(200);
    assert_eq!(
        send(&world, "GET", "/bucket/k").await.expect(200).text(),
        "234"
    );
}
