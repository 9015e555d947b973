//! The object protocol over the wire, rule by rule: checksums, conditions, attributes, lists,
//! and the fields of errors.

mod common;

use common::{Answer, Call, World, crc32};

async fn send(world: &World, method: &str, uri: &str) -> Answer {
    world.send(Call::new(method, uri).signed()).await
}

async fn put(world: &World, uri: &str, content: &str) -> Answer {
    let call = Call::new("PUT", uri).body(content);
    world.send(call.signed()).await.expect(200)
}

/// Starts an upload of `/bucket/big` with these headers; gives its id.
async fn start(world: &World, headers: &[(&'static str, &str)]) -> String {
    let call = Call::new("POST", "/bucket/big?uploads");
    let call = headers
        .iter()
        .fold(call, |call, (name, value)| call.header(name, value));
    let started = world.send(call.signed()).await.expect(200);
    started.element("UploadId").unwrap()
}

const PARTS: [&str; 2] = ["0123456789abcdef", "the end"];

/// Uploads [`PARTS`] with CRC32 checksums; gives the list a completion sends.
async fn upload(world: &World, id: &str) -> String {
    let mut list = String::new();
    for (index, content) in PARTS.iter().enumerate() {
        let number = index + 1;
        let checksum = crc32(content.as_bytes());
        let uri = format!("/bucket/big?partNumber={number}&uploadId={id}");
        let call = Call::new("PUT", &uri)
            .header("x-amz-checksum-crc32", &checksum)
            .body(content);
        let part = world.send(call.signed()).await.expect(200);
        let etag = part.header("etag").unwrap();
        list += &format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>\
             <ChecksumCRC32>{checksum}</ChecksumCRC32></Part>"
        );
    }
    format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>")
}

fn completion(id: &str, list: &str) -> Call {
    Call::new("POST", &format!("/bucket/big?uploadId={id}")).body(list)
}

#[tokio::test]
async fn the_checksum_of_a_completion_is_the_objects_and_not_the_lists() {
    // IN06, IN07
    let world = World::with_bucket().await;
    let id = start(
        &world,
        &[
            ("x-amz-checksum-algorithm", "CRC32"),
            ("x-amz-checksum-type", "FULL_OBJECT"),
        ],
    )
    .await;
    let list = upload(&world, &id).await;
    let whole = PARTS.concat();
    for (name, value, code) in [
        ("x-amz-checksum-crc32", "AAAAAA==", "BadDigest"),
        ("x-amz-checksum-crc32", "AAAA", "InvalidRequest"),
        ("x-amz-checksum-type", "COMPOSITE", "InvalidRequest"),
        ("x-amz-checksum-type", "OTHER", "InvalidArgument"),
        ("x-amz-mp-object-size", "7", "InvalidRequest"),
        ("x-amz-mp-object-size", "x", "InvalidArgument"),
    ] {
        let call = completion(&id, &list).header(name, value);
        let answer = world.send(call.signed()).await;
        answer.expect_error(400, code);
    }
    world.expect_no_object("/bucket/big").await;
    let call = completion(&id, &list)
        .header("x-amz-checksum-crc32", &crc32(whole.as_bytes()))
        .header("x-amz-checksum-type", "FULL_OBJECT")
        .header("x-amz-mp-object-size", &whole.len().to_string());
    let done = world.send(call.signed()).await.expect(200);
    assert_eq!(done.element("ChecksumCRC32"), Some(crc32(whole.as_bytes())));
    assert_eq!(done.element("ChecksumType").as_deref(), Some("FULL_OBJECT"));
}

#[tokio::test]
async fn attributes_are_those_asked_for() {
    // IN08
    let world = World::with_bucket().await;
    let id = start(&world, &[("x-amz-checksum-algorithm", "CRC32")]).await;
    let list = upload(&world, &id).await;
    world
        .send(completion(&id, &list).signed())
        .await
        .expect(200);
    let get = |attributes: &str, more: &[(&'static str, &str)]| {
        let call = Call::new("GET", "/bucket/big?attributes")
            .header("x-amz-object-attributes", attributes);
        let call = more
            .iter()
            .fold(call, |call, (name, value)| call.header(name, value));
        world.send(call.signed())
    };
    let all = get("ETag,Checksum, ObjectParts,StorageClass,ObjectSize", &[])
        .await
        .expect(200);
    let etag = all.element("ETag").unwrap();
    assert!(etag.ends_with("-2") && !etag.contains("quot") && !etag.contains('"'));
    assert_eq!(all.element("ChecksumType").as_deref(), Some("COMPOSITE"));
    assert!(!all.element("ChecksumCRC32").unwrap().contains('-'));
    assert_eq!(all.element("PartsCount").as_deref(), Some("2"));
    assert_eq!(all.text().matches("<Part>").count(), 2);
    assert_eq!(all.element("StorageClass").as_deref(), Some("STANDARD"));
    let size = PARTS.concat().len().to_string();
    assert_eq!(all.element("ObjectSize"), Some(size));
    assert!(all.header("last-modified").is_some());
    let page = get("ObjectParts", &[("x-amz-max-parts", "1")])
        .await
        .expect(200);
    assert_eq!(page.element("IsTruncated").as_deref(), Some("true"));
    assert_eq!(page.element("NextPartNumberMarker").as_deref(), Some("1"));
    assert_eq!(page.element("ETag"), None);
    let rest = get("ObjectParts", &[("x-amz-part-number-marker", "1")]).await;
    assert_eq!(rest.element("PartNumber").as_deref(), Some("2"));
    get("Etag", &[]).await.expect_error(400, "InvalidArgument");
    get("", &[]).await.expect_error(400, "InvalidRequest");
    let negative = get("ObjectParts", &[("x-amz-max-parts", "-1")]).await;
    negative.expect_error(400, "InvalidArgument");
    put(&world, "/bucket/plain", "x").await;
    let plain = Call::new("GET", "/bucket/plain?attributes")
        .header("x-amz-object-attributes", "ObjectParts,ObjectSize");
    let plain = world.send(plain.signed()).await.expect(200);
    assert_eq!(plain.element("ObjectParts"), None);
    let missing =
        Call::new("GET", "/bucket/none?attributes").header("x-amz-object-attributes", "ETag");
    world
        .send(missing.signed())
        .await
        .expect_error(404, "NoSuchKey");
}

#[tokio::test]
async fn checksums_are_read_back_only_when_asked_for() {
    // IN03, IN04, IN05
    let world = World::with_bucket().await;
    put(&world, "/bucket/plain", "hello").await;
    let id = start(&world, &[("x-amz-checksum-algorithm", "CRC32")]).await;
    let list = upload(&world, &id).await;
    world
        .send(completion(&id, &list).signed())
        .await
        .expect(200);
    let read = |method: &str, uri: &str, range: Option<&str>, enabled: bool| {
        let call = Call::new(method, uri);
        let call = range
            .into_iter()
            .fold(call, |call, r| call.header("range", r));
        let call = if enabled {
            call.header("x-amz-checksum-mode", "ENABLED")
        } else {
            call
        };
        world.send(call.signed())
    };
    for method in ["GET", "HEAD"] {
        let bare = read(method, "/bucket/plain", None, false).await.expect(200);
        assert_eq!(bare.header("x-amz-checksum-crc64nvme"), None);
        let asked = read(method, "/bucket/plain", None, true).await.expect(200);
        assert_eq!(
            asked.header("x-amz-checksum-crc64nvme"),
            Some("M3eFcAZSQlc=")
        );
        assert_eq!(asked.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
        let part = read(method, "/bucket/plain?partNumber=1", None, true).await;
        let part = part.expect(206);
        assert_eq!(
            part.header("x-amz-checksum-crc64nvme"),
            Some("M3eFcAZSQlc=")
        );
        assert_eq!(part.header("x-amz-mp-parts-count"), None);
        let some = read(method, "/bucket/plain", Some("bytes=1-2"), true).await;
        assert_eq!(some.expect(206).header("x-amz-checksum-crc64nvme"), None);
        let whole = read(method, "/bucket/big", None, true).await.expect(200);
        assert!(
            whole
                .header("x-amz-checksum-crc32")
                .unwrap()
                .ends_with("-2")
        );
        assert_eq!(whole.header("x-amz-checksum-type"), Some("COMPOSITE"));
        for (uri, range) in [
            ("/bucket/big?partNumber=2", None),
            ("/bucket/big", Some("bytes=16-22")),
        ] {
            let part = read(method, uri, range, true).await.expect(206);
            let expected = crc32(PARTS[1].as_bytes());
            assert_eq!(part.header("x-amz-checksum-crc32"), Some(&*expected));
            assert_eq!(part.header("x-amz-checksum-type"), Some("COMPOSITE"));
        }
    }
}

#[tokio::test]
async fn a_put_keeps_the_checksum_it_names_and_no_other_kind() {
    // IN02, IN05
    let world = World::with_bucket().await;
    let call = |headers: &[(&'static str, &str)]| {
        let call = Call::new("PUT", "/bucket/k");
        let call = headers
            .iter()
            .fold(call, |call, (name, value)| call.header(name, value));
        world.send(call.body("hello").signed())
    };
    let named = call(&[("x-amz-checksum-algorithm", "SHA1")])
        .await
        .expect(200);
    assert!(named.header("x-amz-checksum-sha1").is_some());
    let crc = crc32(b"hello");
    for (headers, status, code) in [
        (
            &[("x-amz-checksum-type", "COMPOSITE")][..],
            400,
            "InvalidRequest",
        ),
        (
            &[
                ("x-amz-checksum-crc32", &*crc),
                ("x-amz-checksum-algorithm", "SHA1"),
            ],
            400,
            "InvalidRequest",
        ),
        (
            &[("x-amz-checksum-crc32", &*format!("{crc}-1"))],
            400,
            "InvalidRequest",
        ),
        (&[("x-amz-checksum-sha512", "AAAA")], 501, "NotImplemented"),
        (&[("x-amz-checksum-md5", "AAAA")], 501, "NotImplemented"),
        (
            &[("x-amz-checksum-xxhash64", "AAAA")],
            501,
            "NotImplemented",
        ),
        (&[("x-amz-checksum-xxhash3", "AAAA")], 501, "NotImplemented"),
        (
            &[("x-amz-checksum-xxhash128", "AAAA")],
            501,
            "NotImplemented",
        ),
        (
            &[("x-amz-checksum-algorithm", "SHA512")],
            501,
            "NotImplemented",
        ),
        (
            &[("x-amz-checksum-algorithm", "FOO")],
            400,
            "InvalidArgument",
        ),
    ] {
        call(headers).await.expect_error(status, code);
    }
}

#[tokio::test]
async fn a_condition_that_a_write_does_not_look_at_is_refused() {
    // PR13, CO09
    let world = World::with_bucket().await;
    put(&world, "/bucket/k", "x").await;
    for (method, name, value) in [
        ("DELETE", "if-none-match", "*"),
        ("DELETE", "x-amz-if-match-size", "1"),
        (
            "DELETE",
            "x-amz-if-match-last-modified-time",
            "Thu, 01 Dec 1994 16:00:00 GMT",
        ),
        (
            "PUT",
            "if-unmodified-since",
            "Thu, 01 Dec 1994 16:00:00 GMT",
        ),
        ("PUT", "x-amz-copy-source-if-match", "x"),
    ] {
        let call = Call::new(method, "/bucket/k").header(name, value);
        let answer = world.send(call.signed()).await;
        let answer = answer.expect_error(501, "NotImplemented");
        assert_eq!(answer.element("Header").as_deref(), Some(name));
    }
    assert_eq!(
        send(&world, "GET", "/bucket/k").await.expect(200).text(),
        "x"
    );
}

#[tokio::test]
async fn a_copy_names_what_was_missing() {
    // PR02, CO01, CO03, CO11
    let world = World::with_bucket().await;
    put(&world, "/bucket/k", "x").await;
    let copy = |source: &str, headers: &[(&'static str, &str)]| {
        let call = Call::new("PUT", "/bucket/copy").header("x-amz-copy-source", source);
        let call = headers
            .iter()
            .fold(call, |call, (name, value)| call.header(name, value));
        world.send(call.signed())
    };
    let missing = copy("/bucket/none", &[])
        .await
        .expect_error(404, "NoSuchKey");
    assert_eq!(missing.element("Key").as_deref(), Some("none"));
    let elsewhere = copy("absent/k", &[])
        .await
        .expect_error(404, "NoSuchBucket");
    assert_eq!(elsewhere.element("BucketName").as_deref(), Some("absent"));
    let target = copy("bucket/k", &[("if-match", "\"x\"")]).await;
    let target = target.expect_error(404, "NoSuchKey");
    assert_eq!(target.element("Key").as_deref(), Some("copy"));
    let ranged = copy("bucket/k", &[("x-amz-copy-source-range", "bytes=0-0")]).await;
    ranged.expect_error(501, "NotImplemented");
    copy("", &[]).await.expect_error(400, "InvalidArgument");
    copy("bucket/%zz", &[])
        .await
        .expect_error(400, "InvalidArgument");
    copy("bucket/k", &[("if-none-match", "*")])
        .await
        .expect(200);
    let again = copy("bucket/k", &[("if-none-match", "*")]).await;
    let again = again.expect_error(412, "PreconditionFailed");
    assert_eq!(again.element("Condition").as_deref(), Some("If-None-Match"));
    let stale = copy("bucket/k", &[("x-amz-copy-source-if-match", "\"x\"")]).await;
    stale.expect_error(412, "PreconditionFailed");
}

#[tokio::test]
async fn errors_carry_what_they_are_about() {
    // PR01, PR02, PR03, LI01, ER01
    let world = World::with_bucket().await;
    put(&world, "/bucket/k", "hello").await;
    let upload = start(&world, &[]).await;
    let long = format!("/bucket/{}", "k".repeat(1025));
    for (method, uri, header, status, code, field, value) in [
        ("GET", "/bucket/none", None, 404, "NoSuchKey", "Key", "none"),
        (
            "GET",
            "/absent/k",
            None,
            404,
            "NoSuchBucket",
            "BucketName",
            "absent",
        ),
        (
            "GET",
            &*long,
            None,
            400,
            "KeyTooLongError",
            "MaxSizeAllowed",
            "1024",
        ),
        (
            "GET",
            "/bucket/k",
            Some(("range", "bytes=9-")),
            416,
            "InvalidRange",
            "RangeRequested",
            "bytes=9-",
        ),
        (
            "GET",
            "/bucket/k?partNumber=2",
            None,
            416,
            "InvalidPartNumber",
            "PartNumberRequested",
            "2",
        ),
        (
            "GET",
            "/bucket/k?uploadId=none",
            None,
            404,
            "NoSuchUpload",
            "UploadId",
            "none",
        ),
        (
            "GET",
            "/bucket?max-keys=x",
            None,
            400,
            "InvalidArgument",
            "ArgumentName",
            "max-keys",
        ),
        (
            "PUT",
            "/bucket/k",
            Some(("content-md5", "AAAA")),
            400,
            "InvalidDigest",
            "Content-MD5",
            "AAAA",
        ),
        (
            "GET",
            "/bucket/k?versionId=x",
            None,
            400,
            "InvalidArgument",
            "ArgumentName",
            "versionId",
        ),
    ] {
        let call = Call::new(method, uri);
        let call = header
            .into_iter()
            .fold(call, |call, (name, value)| call.header(name, value));
        let answer = world.send(call.signed()).await.expect_error(status, code);
        assert_eq!(answer.element(field).as_deref(), Some(value), "{uri}");
        assert!(answer.element("Resource").is_some());
        let id = answer.header("x-amz-request-id").map(str::to_owned);
        assert_eq!(answer.element("RequestId"), id);
        let host = answer.header("x-amz-id-2").map(str::to_owned);
        assert_eq!(answer.element("HostId"), host);
    }
    let part = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>\
                </CompleteMultipartUpload>";
    let answer = world.send(completion(&upload, part).signed()).await;
    let answer = answer.expect_error(400, "InvalidPart");
    assert_eq!(answer.element("UploadId"), Some(upload));
    let head = send(&world, "HEAD", "/bucket/none").await.expect(404);
    assert!(head.text().is_empty());
}

#[tokio::test]
async fn versions_of_a_bucket_that_was_never_versioned_are_null() {
    // VE25, VE27, VE28
    let world = World::with_bucket().await;
    for key in ["a", "b/1", "b/2", "c"] {
        put(&world, &format!("/bucket/{key}"), "x").await;
    }
    let all = send(&world, "GET", "/bucket?versions").await.expect(200);
    assert_eq!(all.text().matches("<VersionId>null</VersionId>").count(), 4);
    assert_eq!(all.text().matches("<IsLatest>true</IsLatest>").count(), 4);
    assert_eq!(all.text().matches("<ID>").count(), 4);
    let page = send(&world, "GET", "/bucket?versions=&max-keys=1").await;
    let page = page.expect(200);
    assert_eq!(page.element("IsTruncated").as_deref(), Some("true"));
    assert_eq!(page.element("NextKeyMarker").as_deref(), Some("a"));
    assert_eq!(page.element("NextVersionIdMarker").as_deref(), Some("null"));
    let uri = "/bucket?delimiter=%2F&key-marker=a&max-keys=1&version-id-marker=null&versions=";
    let next = send(&world, "GET", uri).await.expect(200);
    assert_eq!(next.element("NextKeyMarker").as_deref(), Some("b/"));
    assert_eq!(next.element("NextVersionIdMarker"), None);
    let uri = "/bucket?delimiter=%2F&key-marker=b%2F&versions=";
    let last = send(&world, "GET", uri).await.expect(200);
    assert_eq!(last.element("Key").as_deref(), Some("c"));
    assert_eq!(last.element("IsTruncated").as_deref(), Some("false"));
    let alone = send(&world, "GET", "/bucket?version-id-marker=null&versions=").await;
    alone.expect_error(400, "InvalidArgument");
}

#[tokio::test]
async fn a_key_is_listed_as_it_is() {
    // LI01
    let world = World::with_bucket().await;
    put(&world, "/bucket/a%0D%01%26b", "x").await;
    let list = send(&world, "GET", "/bucket").await.expect(200);
    assert_eq!(list.element("Key").as_deref(), Some("a&#13;&#1;&amp;b"));
    let list = send(&world, "GET", "/bucket?encoding-type=url").await;
    assert_eq!(
        list.expect(200).element("Key").as_deref(),
        Some("a%0D%01%26b")
    );
}

#[tokio::test]
async fn headers_of_an_object_are_text_and_an_empty_one_is_none() {
    // HD01
    let world = World::with_bucket().await;
    let stored = |name: &'static str, value: &[u8]| {
        let mut call = Call::new("PUT", "/bucket/k").body("x");
        let value = http::HeaderValue::from_bytes(value).unwrap();
        call.headers.insert(name, value);
        call
    };
    let disposition = "attachment; filename=\"é.txt\"";
    let call = stored("content-disposition", disposition.as_bytes()).signed();
    world.send(call).await.expect(200);
    let got = send(&world, "HEAD", "/bucket/k").await.expect(200);
    let found = got.headers.get("content-disposition").unwrap();
    assert_eq!(found.as_bytes(), disposition.as_bytes());
    let call = stored("content-type", b"").signed();
    world.send(call).await.expect(200);
    let got = send(&world, "HEAD", "/bucket/k").await.expect(200);
    assert_eq!(got.header("content-type"), Some("binary/octet-stream"));
}
