//! Tags, and the configurations of buckets, on the wire.

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Answer, Call, World, sha256};

fn put(uri: &str, body: &str) -> Call {
    let digest = STANDARD.encode(hex::decode(sha256(body.as_bytes())).unwrap());
    Call::new("PUT", uri)
        .header("x-amz-checksum-sha256", &digest)
        .body(body)
}

async fn send(world: &World, method: &str, uri: &str) -> Answer {
    world.send(Call::new(method, uri).signed()).await
}

fn tagging(pairs: &[(&str, &str)]) -> String {
    let tags: String = pairs
        .iter()
        .map(|(key, value)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"))
        .collect();
    format!("<Tagging><TagSet>{tags}</TagSet></Tagging>")
}

#[tokio::test]
async fn tags_of_an_object_are_put_counted_and_deleted() {
    // LI01, HD03, VE30
    let world = World::with_bucket().await;
    let object = Call::new("PUT", "/bucket/key")
        .header("x-amz-tagging", "a=1&b%20c=%C3%A9")
        .body("x");
    world.send(object.signed()).await.expect(200);
    let found = send(&world, "GET", "/bucket/key?tagging").await.expect(200);
    let expected = "<TagSet><Tag><Key>a</Key><Value>1</Value></Tag>\
                    <Tag><Key>b c</Key><Value>é</Value></Tag></TagSet>";
    assert!(found.text().contains(expected), "{}", found.text());
    let before = send(&world, "HEAD", "/bucket/key").await.expect(200);
    assert_eq!(before.header("x-amz-tagging-count"), Some("2"));
    world.clock.advance(std::time::Duration::from_secs(5));
    let call = put("/bucket/key?tagging", &tagging(&[("c", "3")]));
    world.send(call.signed()).await.expect(200);
    let after = send(&world, "GET", "/bucket/key").await.expect(200);
    assert_eq!(after.header("x-amz-tagging-count"), Some("1"));
    for name in ["etag", "last-modified"] {
        assert_eq!(after.header(name), before.header(name), "{name}");
    }
    let deleted = send(&world, "DELETE", "/bucket/key?tagging").await;
    assert!(deleted.expect(204).body.is_empty());
    let after = send(&world, "HEAD", "/bucket/key").await.expect(200);
    assert_eq!(after.header("x-amz-tagging-count"), None);
    let found = send(&world, "GET", "/bucket/key?tagging").await.expect(200);
    assert!(
        found.text().contains("<TagSet></TagSet>"),
        "{}",
        found.text()
    );
    let missing = send(&world, "GET", "/bucket/none?tagging").await;
    missing.expect_error(404, "NoSuchKey");
}

#[tokio::test]
async fn wrong_tags_are_refused_and_change_nothing() {
    // LI01, BK10, PR05
    let world = World::with_bucket().await;
    let object = Call::new("PUT", "/bucket/key").header("x-amz-tagging", "a=1");
    world.send(object.body("x").signed()).await.expect(200);
    let many: Vec<(String, String)> = (0..11).map(|n| (format!("k{n}"), "v".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let long = "k".repeat(129);
    for (document, code) in [
        (tagging(&many), "BadRequest"),
        (tagging(&[("a", "1"), ("a", "2")]), "InvalidTag"),
        (tagging(&[("aws:a", "1")]), "InvalidTag"),
        (tagging(&[(&long, "1")]), "InvalidTag"),
        (tagging(&[("a", &"v".repeat(257))]), "InvalidTag"),
        ("<Tagging/>".to_owned(), "MalformedXML"),
        (
            "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>".to_owned(),
            "MalformedXML",
        ),
        (
            "<Tagging><TagSet/><Other/></Tagging>".to_owned(),
            "MalformedXML",
        ),
        ("<Tagging><TagSet>".to_owned(), "MalformedXML"),
        (String::new(), "MalformedXML"),
    ] {
        for uri in ["/bucket/key?tagging", "/bucket?tagging"] {
            if document.contains("k10") && uri.starts_with("/bucket?") {
                continue;
            }
            let answer = world.send(put(uri, &document).signed()).await;
            answer.expect_error(400, code);
        }
    }
    let found = send(&world, "GET", "/bucket/key?tagging").await.expect(200);
    assert!(found.text().contains("<Key>a</Key><Value>1</Value>"));
    send(&world, "GET", "/bucket?tagging")
        .await
        .expect_error(404, "NoSuchTagSet");
    for header in ["a=1&a=2", "%zz=1", "aws:a=1", "a=%00"] {
        let object = Call::new("PUT", "/bucket/other").header("x-amz-tagging", header);
        let answer = world.send(object.body("x").signed()).await;
        assert_eq!(answer.status, 400, "{header}");
        world.expect_no_object("/bucket/other").await;
    }
}

#[tokio::test]
async fn a_configuration_without_a_digest_is_refused() {
    // PR04
    let world = World::with_bucket().await;
    world
        .send(Call::new("PUT", "/bucket/key").body("x").signed())
        .await
        .expect(200);
    for (uri, document) in [
        ("/bucket/key?tagging", tagging(&[("a", "1")])),
        ("/bucket?tagging", tagging(&[("a", "1")])),
        ("/bucket?cors", CORS.to_owned()),
        ("/bucket?website", WEBSITE.to_owned()),
        ("/bucket?logging", "<BucketLoggingStatus/>".to_owned()),
    ] {
        let call = Call::new("PUT", uri).body(&document);
        world
            .send(call.signed())
            .await
            .expect_error(400, "InvalidRequest");
        let wrong = Call::new("PUT", uri).header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==");
        world
            .send(wrong.body(&document).signed())
            .await
            .expect_error(400, "BadDigest");
    }
    let found = send(&world, "GET", "/bucket/key?tagging").await.expect(200);
    assert!(found.text().contains("<TagSet></TagSet>"));
    send(&world, "GET", "/bucket?cors")
        .await
        .expect_error(404, "NoSuchCORSConfiguration");
}

#[tokio::test]
async fn tags_follow_uploads_and_copies() {
    // HD06
    let world = World::with_bucket().await;
    let create = Call::new("POST", "/bucket/big?uploads").header("x-amz-tagging", "part=yes");
    let created = world.send(create.signed()).await.expect(200);
    let id = created.element("UploadId").unwrap();
    let part = format!("/bucket/big?partNumber=1&uploadId={id}");
    let misplaced = Call::new("PUT", &part)
        .header("x-amz-tagging", "a=1")
        .body("x");
    world
        .send(misplaced.signed())
        .await
        .expect_error(501, "NotImplemented");
    let etag = world
        .send(Call::new("PUT", &part).body("x").signed())
        .await
        .expect(200);
    let etag = etag.header("etag").unwrap().replace('"', "");
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    let complete = Call::new("POST", &format!("/bucket/big?uploadId={id}")).body(&document);
    world.send(complete.signed()).await.expect(200);
    let copy = |to: &str| Call::new("PUT", to).header("x-amz-copy-source", "/bucket/big");
    world.send(copy("/bucket/same").signed()).await.expect(200);
    let replace = copy("/bucket/other")
        .header("x-amz-tagging-directive", "REPLACE")
        .header("x-amz-tagging", "new=1");
    world.send(replace.signed()).await.expect(200);
    for (uri, key) in [("big", "part"), ("same", "part"), ("other", "new")] {
        let found = send(&world, "GET", &format!("/bucket/{uri}?tagging")).await;
        assert_eq!(found.expect(200).element("Key").as_deref(), Some(key));
    }
    let wrong = copy("/bucket/wrong").header("x-amz-tagging-directive", "replace");
    let answer = world
        .send(wrong.signed())
        .await
        .expect_error(400, "InvalidArgument");
    assert_eq!(
        answer.element("ArgumentName").as_deref(),
        Some("x-amz-tagging-directive")
    );
}

#[tokio::test]
async fn a_bucket_is_made_with_tags_or_not_at_all() {
    // BK10, BK06
    let world = World::new();
    let create = |tags: &str| {
        let document =
            format!("<CreateBucketConfiguration><Tags>{tags}</Tags></CreateBucketConfiguration>");
        Call::new("PUT", "/bucket").body(document).signed()
    };
    for tags in [
        "<Tag><Key>aws:a</Key><Value>1</Value></Tag>",
        "<Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>a</Key><Value>2</Value></Tag>",
    ] {
        world
            .send(create(tags))
            .await
            .expect_error(400, "InvalidTag");
        assert_eq!(send(&world, "HEAD", "/bucket").await.status, 404);
    }
    let unknown = "<CreateBucketConfiguration><Locked>1</Locked></CreateBucketConfiguration>";
    let unknown = Call::new("PUT", "/bucket").body(unknown).signed();
    world.send(unknown).await.expect_error(400, "MalformedXML");
    world
        .send(create("<Tag><Key>a</Key><Value>1</Value></Tag>"))
        .await
        .expect(200);
    let found = send(&world, "GET", "/bucket?tagging").await.expect(200);
    assert_eq!(found.element("Key").as_deref(), Some("a"));
    send(&world, "DELETE", "/bucket").await.expect(204);
    send(&world, "GET", "/bucket?tagging")
        .await
        .expect_error(404, "NoSuchBucket");
    world
        .send(Call::new("PUT", "/bucket").signed())
        .await
        .expect(200);
    let none = send(&world, "GET", "/bucket?tagging").await;
    let none = none.expect_error(404, "NoSuchTagSet");
    assert_eq!(none.element("BucketName").as_deref(), Some("bucket"));
}

const CORS: &str = "<CORSConfiguration><CORSRule><ID>one</ID><AllowedHeader>x-*</AllowedHeader>\
    <AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod>\
    <AllowedOrigin>http://*.example.com</AllowedOrigin><ExposeHeader>etag</ExposeHeader>\
    <MaxAgeSeconds>3000</MaxAgeSeconds></CORSRule></CORSConfiguration>";

const WEBSITE: &str = "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix>\
    </IndexDocument><ErrorDocument><Key>error.html</Key></ErrorDocument><RoutingRules><RoutingRule>\
    <Condition><KeyPrefixEquals>docs/</KeyPrefixEquals></Condition><Redirect>\
    <ReplaceKeyPrefixWith>documents/</ReplaceKeyPrefixWith></Redirect></RoutingRule></RoutingRules>\
    </WebsiteConfiguration>";

#[tokio::test]
async fn a_configuration_reads_back_as_it_was_put_and_is_deleted() {
    // PR08, BK06
    let world = World::with_bucket().await;
    for (query, document, code) in [
        ("cors", CORS, "NoSuchCORSConfiguration"),
        ("website", WEBSITE, "NoSuchWebsiteConfiguration"),
    ] {
        let uri = format!("/bucket?{query}");
        let none = send(&world, "GET", &uri).await.expect_error(404, code);
        assert_eq!(none.element("BucketName").as_deref(), Some("bucket"));
        world.send(put(&uri, document).signed()).await.expect(200);
        let found = send(&world, "GET", &uri).await.expect(200).text();
        let (_, inner) = document.split_once('>').unwrap();
        assert!(found.ends_with(inner), "{found}");
        send(&world, "DELETE", &uri).await.expect(204);
        send(&world, "DELETE", &uri).await.expect(204);
        send(&world, "GET", &uri).await.expect_error(404, code);
        let missing = send(&world, "GET", &format!("/missing?{query}")).await;
        missing.expect_error(404, "NoSuchBucket");
    }
}

#[tokio::test]
async fn a_configuration_that_s3_refuses_is_refused_and_the_one_before_stays() {
    // PR05
    let world = World::with_bucket().await;
    world
        .send(put("/bucket?cors", CORS).signed())
        .await
        .expect(200);
    world
        .send(put("/bucket?website", WEBSITE).signed())
        .await
        .expect(200);
    for (query, from, to, code) in [
        (
            "cors",
            "<AllowedMethod>GET",
            "<AllowedMethod>PATCH",
            "InvalidRequest",
        ),
        ("cors", "http://*.", "http://*.*.", "InvalidRequest"),
        ("cors", "x-*", "*x-*", "InvalidRequest"),
        ("cors", "etag", "e*", "InvalidRequest"),
        ("cors", "3000", "long", "MalformedXML"),
        ("cors", "3000", "-1", "MalformedXML"),
        ("cors", "ID>", "Id>", "MalformedXML"),
        ("website", "index.html", "a/b", "InvalidArgument"),
        ("website", "error.html", "", "MalformedXML"),
        (
            "website",
            "<KeyPrefixEquals>docs/</KeyPrefixEquals>",
            "",
            "InvalidRequest",
        ),
        (
            "website",
            "<Redirect>",
            "<Redirect><Protocol>ftp</Protocol>",
            "InvalidRequest",
        ),
        (
            "website",
            "<Redirect>",
            "<Redirect><HttpRedirectCode>200</HttpRedirectCode>",
            "InvalidRequest",
        ),
        (
            "website",
            "<Redirect>",
            "<Redirect><ReplaceKeyWith>a</ReplaceKeyWith>",
            "InvalidRequest",
        ),
        (
            "website",
            "<ErrorDocument>",
            "<RedirectAllRequestsTo><HostName>h</HostName></RedirectAllRequestsTo><ErrorDocument>",
            "InvalidArgument",
        ),
        (
            "website",
            "<IndexDocument><Suffix>index.html</Suffix></IndexDocument>",
            "",
            "InvalidArgument",
        ),
    ] {
        let document = if query == "cors" { CORS } else { WEBSITE };
        let uri = format!("/bucket?{query}");
        let wrong = document.replace(from, to);
        assert_ne!(wrong, document, "{from}");
        world
            .send(put(&uri, &wrong).signed())
            .await
            .expect_error(400, code);
        let found = send(&world, "GET", &uri).await.expect(200).text();
        assert!(
            found.ends_with(document.split_once('>').unwrap().1),
            "{found}"
        );
    }
    let many = format!(
        "<CORSConfiguration>{}</CORSConfiguration>",
        &CORS["<CORSConfiguration>".len()..CORS.len() - "</CORSConfiguration>".len()].repeat(101)
    );
    world
        .send(put("/bucket?cors", &many).signed())
        .await
        .expect_error(400, "MalformedXML");
    let large = format!(
        "<CORSConfiguration>{}</CORSConfiguration>",
        " ".repeat(200_000)
    );
    world
        .send(put("/bucket?cors", &large).signed())
        .await
        .expect_error(400, "MaxMessageLengthExceeded");
}

#[tokio::test]
async fn what_is_not_configured_reads_as_in_a_plain_bucket() {
    // PR02, BK01
    let world = World::with_bucket().await;
    for (query, code) in [
        ("policy", "NoSuchBucketPolicy"),
        ("policyStatus", "NoSuchBucketPolicy"),
        ("lifecycle", "NoSuchLifecycleConfiguration"),
        ("replication", "ReplicationConfigurationNotFoundError"),
        (
            "encryption",
            "ServerSideEncryptionConfigurationNotFoundError",
        ),
        ("object-lock", "ObjectLockConfigurationNotFoundError"),
        ("tagging", "NoSuchTagSet"),
        ("analytics&id=a", "NoSuchConfiguration"),
        ("metrics&id=a", "NoSuchConfiguration"),
        ("inventory&id=a", "NoSuchConfiguration"),
        ("intelligent-tiering&id=a", "NoSuchConfiguration"),
        ("metadataConfiguration", "MetadataConfigurationNotFound"),
    ] {
        let found = send(&world, "GET", &format!("/bucket?{query}")).await;
        let found = found.expect_error(404, code);
        assert_eq!(
            found.element("BucketName").as_deref(),
            Some("bucket"),
            "{query}"
        );
        let missing = send(&world, "GET", &format!("/missing?{query}")).await;
        missing.expect_error(404, "NoSuchBucket");
    }
    for (query, inner) in [
        ("logging", "/\"></BucketLoggingStatus>"),
        ("notification", "/\"></NotificationConfiguration>"),
        ("accelerate", "/\"></AccelerateConfiguration>"),
        ("requestPayment", "<Payer>BucketOwner</Payer>"),
        (
            "ownershipControls",
            "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>",
        ),
        (
            "publicAccessBlock",
            "<BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>",
        ),
        ("abac", "<Status>Disabled</Status>"),
        ("analytics", "<IsTruncated>false</IsTruncated>"),
        ("metrics", "<IsTruncated>false</IsTruncated>"),
        ("inventory", "<IsTruncated>false</IsTruncated>"),
        ("intelligent-tiering", "<IsTruncated>false</IsTruncated>"),
    ] {
        let found = send(&world, "GET", &format!("/bucket?{query}"))
            .await
            .expect(200);
        assert!(found.text().contains(inner), "{}", found.text());
        send(&world, "GET", &format!("/missing?{query}"))
            .await
            .expect_error(404, "NoSuchBucket");
    }
    for query in [
        "policy",
        "lifecycle",
        "replication",
        "encryption",
        "tagging",
        "cors",
        "website",
    ] {
        send(&world, "DELETE", &format!("/bucket?{query}"))
            .await
            .expect(204);
    }
}

#[tokio::test]
async fn putting_what_is_so_anyway_succeeds_and_all_else_is_not_implemented() {
    // PR13, BK01
    let world = World::with_bucket().await;
    let block = |flag: &str| {
        format!(
            "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>\
             <IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>{flag}</BlockPublicPolicy>\
             <RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>"
        )
    };
    let owner = |rule: &str| {
        format!(
            "<OwnershipControls><Rule><ObjectOwnership>{rule}</ObjectOwnership></Rule></OwnershipControls>"
        )
    };
    let payer = |payer: &str| {
        format!("<RequestPaymentConfiguration><Payer>{payer}</Payer></RequestPaymentConfiguration>")
    };
    let logging = "<BucketLoggingStatus><LoggingEnabled><TargetBucket>b</TargetBucket></LoggingEnabled></BucketLoggingStatus>";
    let topic = "<NotificationConfiguration><TopicConfiguration/></NotificationConfiguration>";
    for (query, document, status) in [
        ("publicAccessBlock", block("true"), 200),
        ("publicAccessBlock", block("TRUE"), 200),
        ("publicAccessBlock", block("false"), 501),
        (
            "publicAccessBlock",
            "<PublicAccessBlockConfiguration/>".to_owned(),
            501,
        ),
        ("publicAccessBlock", block("maybe"), 400),
        ("ownershipControls", owner("BucketOwnerEnforced"), 200),
        ("ownershipControls", owner("ObjectWriter"), 501),
        ("ownershipControls", owner("Nobody"), 400),
        ("requestPayment", payer("BucketOwner"), 200),
        ("requestPayment", payer("Requester"), 501),
        ("requestPayment", payer("bucketowner"), 400),
        ("logging", "<BucketLoggingStatus/>".to_owned(), 200),
        ("logging", logging.to_owned(), 501),
        (
            "notification",
            "<NotificationConfiguration/>".to_owned(),
            200,
        ),
        ("notification", topic.to_owned(), 501),
    ] {
        let answer = world
            .send(put(&format!("/bucket?{query}"), &document).signed())
            .await;
        match status {
            200 => _ = answer.expect(200),
            501 => {
                let answer = answer.expect_error(501, "NotImplemented");
                assert_eq!(answer.element("Header").as_deref(), Some(query));
            }
            _ => _ = answer.expect_error(400, "MalformedXML"),
        }
    }
}

#[tokio::test]
async fn what_protects_is_never_accepted_and_ignored() {
    // PR13
    let world = World::with_bucket().await;
    for query in ["policy", "lifecycle", "replication", "encryption"] {
        let answer = world
            .send(put(&format!("/bucket?{query}"), "<A/>").signed())
            .await;
        let answer = answer.expect_error(501, "NotImplemented");
        assert_eq!(answer.element("Header").as_deref(), Some(query));
    }
    for query in ["publicAccessBlock", "ownershipControls"] {
        let answer = send(&world, "DELETE", &format!("/bucket?{query}")).await;
        answer.expect_error(501, "NotImplemented");
    }
}

#[tokio::test]
async fn a_redirect_location_is_kept_and_not_copied() {
    // HD01
    let world = World::with_bucket().await;
    let object = |uri: &str, location: &str| {
        Call::new("PUT", uri).header("x-amz-website-redirect-location", location)
    };
    world
        .send(object("/bucket/key", "/other").body("x").signed())
        .await
        .expect(200);
    let head = send(&world, "HEAD", "/bucket/key").await.expect(200);
    assert_eq!(
        head.header("x-amz-website-redirect-location"),
        Some("/other")
    );
    let copy = Call::new("PUT", "/bucket/copy").header("x-amz-copy-source", "/bucket/key");
    world.send(copy.signed()).await.expect(200);
    let head = send(&world, "HEAD", "/bucket/copy").await.expect(200);
    assert_eq!(head.header("x-amz-website-redirect-location"), None);
    let wrong = object("/bucket/wrong", "other").body("x").signed();
    world
        .send(wrong)
        .await
        .expect_error(400, "InvalidRedirectLocation");
    world.expect_no_object("/bucket/wrong").await;
}

#[tokio::test]
async fn a_configuration_needs_a_signature_like_everything_else() {
    let world = World::with_bucket().await;
    for uri in [
        "/bucket?tagging",
        "/bucket?cors",
        "/bucket?policy",
        "/bucket/key?tagging",
    ] {
        let answer = world.send(Call::new("GET", uri)).await;
        answer.expect_error(403, "AccessDenied");
    }
}
