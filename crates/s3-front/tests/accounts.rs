//! Accounts: each reaches its own buckets and no other, and owns what it makes.

mod common;

use common::{
    ACCESS_KEY, Answer, Call, OTHER_ACCOUNT_ID, OTHER_OWNER_ID, World, subresources, two_accounts,
};
use strongroom_s3_front::route::Operation;
use strongroom_s3_front::{Credentials, ROOT_ACCOUNT_ID, ROOT_OWNER_ID};

/// A bucket of root's with the object `k`, an upload of `big` with one part, and a bucket of the
/// other account's with the object `k`.
struct Neighbours {
    world: World,
    upload: String,
    part: String,
}

impl Neighbours {
    async fn new() -> Self {
        let world = World::with_bucket().await;
        let put = Call::new("PUT", "/bucket/k").body("of root");
        world.send(put.signed()).await.expect(200);
        let created = world.send(Call::new("POST", "/bucket/big?uploads").signed());
        let upload = created.await.expect(200).element("UploadId").unwrap();
        let part = Call::new(
            "PUT",
            &format!("/bucket/big?partNumber=1&uploadId={upload}"),
        );
        let part = world.send(part.body("part").signed()).await.expect(200);
        let part = part.header("etag").unwrap().to_owned();
        let made = Call::new("PUT", "/others").by_other();
        world.send(made.signed()).await.expect(200);
        let put = Call::new("PUT", "/others/k").by_other().body("of other");
        world.send(put.signed()).await.expect(200);
        Self {
            world,
            upload,
            part,
        }
    }

    /// A request of this operation on root's bucket that its owner could make.
    fn request(&self, operation: Operation) -> Call {
        let upload = &self.upload;
        let delete = "<Delete><Object><Key>k</Key></Object></Delete>";
        let complete = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>\
             </CompleteMultipartUpload>",
            self.part
        );
        let of_upload = |method: &str| Call::new(method, &format!("/bucket/big?uploadId={upload}"));
        let part = || {
            Call::new(
                "PUT",
                &format!("/bucket/big?partNumber=2&uploadId={upload}"),
            )
        };
        let copies = |call: Call| call.header("x-amz-copy-source", "/bucket/k");
        match operation.name() {
            "ListBuckets" => Call::new("GET", "/"),
            "CreateBucket" => Call::new("PUT", "/bucket"),
            "HeadBucket" => Call::new("HEAD", "/bucket"),
            "DeleteBucket" => Call::new("DELETE", "/bucket"),
            "GetBucketAcl" => Call::new("GET", "/bucket?acl"),
            "PutBucketAcl" => Call::new("PUT", "/bucket?acl").header("x-amz-acl", "private"),
            "GetObjectAcl" => Call::new("GET", "/bucket/k?acl"),
            "PutObjectAcl" => Call::new("PUT", "/bucket/k?acl").header("x-amz-acl", "private"),
            "GetBucketLocation" => Call::new("GET", "/bucket?location"),
            "GetBucketVersioning" => Call::new("GET", "/bucket?versioning"),
            "ListObjects" => Call::new("GET", "/bucket"),
            "ListObjectsV2" => Call::new("GET", "/bucket?list-type=2"),
            "ListObjectVersions" => Call::new("GET", "/bucket?versions"),
            "GetObjectAttributes" => {
                Call::new("GET", "/bucket/k?attributes").header("x-amz-object-attributes", "ETag")
            }
            "ListMultipartUploads" => Call::new("GET", "/bucket?uploads"),
            "DeleteObjects" => Call::new("POST", "/bucket?delete")
                .body(delete)
                .header("x-amz-checksum-crc32", &common::crc32(delete.as_bytes())),
            "PutObject" => Call::new("PUT", "/bucket/k").body("changed"),
            "PostObject" => Call::new("POST", "/bucket")
                .header("content-type", "multipart/form-data; boundary=b")
                .body("--b--"),
            "CopyObject" => copies(Call::new("PUT", "/bucket/copy")),
            "GetObject" => Call::new("GET", "/bucket/k"),
            "HeadObject" => Call::new("HEAD", "/bucket/k"),
            "DeleteObject" => Call::new("DELETE", "/bucket/k"),
            "CreateMultipartUpload" => Call::new("POST", "/bucket/big?uploads"),
            "UploadPart" => part().body("second"),
            "UploadPartCopy" => copies(part()),
            "CompleteMultipartUpload" => of_upload("POST").body(complete),
            "AbortMultipartUpload" => of_upload("DELETE"),
            "ListParts" => of_upload("GET"),
            name => subresources::request(operation).unwrap_or_else(|| {
                panic!("{name} is a new route: say here how it is requested on /bucket")
            }),
        }
    }

    /// All that root's bucket shows its owner.
    async fn state(&self) -> Vec<String> {
        let mut shown = Vec::new();
        for uri in [
            "/",
            "/bucket?list-type=2&fetch-owner=true",
            "/bucket?uploads",
            &format!("/bucket/big?uploadId={}", self.upload),
            "/bucket/k",
            "/bucket/k?tagging",
            "/bucket?tagging",
            "/bucket?cors",
            "/bucket?website",
        ] {
            let answer = self.world.send(Call::new("GET", uri).signed()).await;
            // Ids differ from request to request.
            let text = answer.text();
            shown.push(text.split("<RequestId>").next().unwrap().to_owned());
        }
        shown
    }
}

#[tokio::test]
async fn no_route_reaches_the_bucket_of_another_account() {
    // PR07, attack 18
    // A form is not signed as a request is: `forms` has the same for it.
    let by_request = |operation: &&Operation| **operation != Operation::PostObject;
    for operation in Operation::ALL.iter().filter(by_request) {
        let neighbours = Neighbours::new().await;
        let before = neighbours.state().await;
        let call = neighbours.request(*operation);
        let is_head = call.method == "HEAD";
        let answer = neighbours
            .world
            .send(call.clone().by_other().signed())
            .await;
        match operation {
            Operation::ListBuckets => {
                let text = answer.expect(200).text();
                assert!(!text.contains("<Name>bucket</Name>"), "{text}");
            }
            Operation::CreateBucket => drop(answer.expect_error(409, "BucketAlreadyExists")),
            _ if is_head => drop(answer.expect(403)),
            _ => drop(answer.expect_error(403, "AccessDenied")),
        }
        assert_eq!(
            neighbours.state().await,
            before,
            "{operation:?} changed something"
        );
        // The owner's request is one that works, so the refusal was for who asked.
        let owners = neighbours.world.send(call.signed()).await;
        assert_eq!(
            owners.operation,
            operation.name(),
            "the request is another's"
        );
        let fails = match operation {
            Operation::DeleteBucket => 409,
            // OL03: the bucket keeps no versions.
            Operation::PutObjectLockConfiguration => 409,
            // A configuration that is not there has an error of its own.
            operation if subresources::request(*operation).is_some() => 404,
            _ => 299,
        };
        assert!(
            owners.status.as_u16() <= fails,
            "{operation:?}: {}",
            owners.text()
        );
    }
}

#[tokio::test]
async fn a_stranger_is_not_told_which_keys_and_uploads_exist() {
    // PR07
    let neighbours = Neighbours::new().await;
    let upload = &neighbours.upload;
    for (method, there, missing) in [
        ("GET", "/bucket/k".to_owned(), "/bucket/none".to_owned()),
        (
            "GET",
            "/bucket/k?acl".to_owned(),
            "/bucket/none?acl".to_owned(),
        ),
        (
            "GET",
            format!("/bucket/big?uploadId={upload}"),
            "/bucket/big?uploadId=none".to_owned(),
        ),
        ("DELETE", "/bucket/k".to_owned(), "/bucket/none".to_owned()),
    ] {
        let mut told = Vec::new();
        for uri in [&there, &missing] {
            let call = Call::new(method, uri).by_other().header("if-match", "*");
            let answer = neighbours.world.send(call.signed()).await;
            let answer = answer.expect_error(403, "AccessDenied");
            let resource = answer.element("Resource").unwrap();
            let ids = [
                answer.element("RequestId").unwrap(),
                answer.element("HostId").unwrap(),
            ];
            let mut text = answer.text().replace(&resource, "");
            for id in ids {
                text = text.replace(&id, "");
            }
            told.push(text);
        }
        assert_eq!(told[0], told[1], "{method} {there}");
    }
    let absent = Call::new("GET", "/never-made/k").by_other();
    neighbours
        .world
        .send(absent.signed())
        .await
        .expect_error(404, "NoSuchBucket");
}

#[tokio::test]
async fn the_source_of_a_copy_must_be_ones_own() {
    // attack 18, PR07
    let neighbours = Neighbours::new().await;
    let world = &neighbours.world;
    let created = Call::new("POST", "/others/big?uploads").by_other();
    let created = world.send(created.signed()).await.expect(200);
    let upload = created.element("UploadId").unwrap();
    let part = format!("/others/big?partNumber=1&uploadId={upload}");
    for uri in ["/others/stolen", &part] {
        for source in ["/bucket/k", "bucket/none", "/bucket/k?versionId=null"] {
            let call = Call::new("PUT", uri)
                .by_other()
                .header("x-amz-copy-source", source);
            let answer = world.send(call.signed()).await;
            answer.expect_error(403, "AccessDenied");
        }
        let own = Call::new("PUT", uri)
            .by_other()
            .header("x-amz-copy-source", "/others/k");
        world.send(own.signed()).await.expect(200);
    }
    let parts = Call::new("GET", &format!("/others/big?uploadId={upload}")).by_other();
    let parts = world.send(parts.signed()).await.expect(200);
    assert_eq!(
        parts.element("Size").as_deref(),
        Some("8"),
        "of its own object alone"
    );
}

#[tokio::test]
async fn head_bucket_names_the_region_also_to_a_stranger() {
    // BK08
    let neighbours = Neighbours::new().await;
    let call = Call::new("HEAD", "/bucket").by_other().signed();
    let answer = neighbours.world.send(call).await.expect(403);
    assert_eq!(answer.header("x-amz-bucket-region"), Some("us-east-1"));
    assert_eq!(answer.header("x-amz-bucket-arn"), None);
    let key = Call::new("HEAD", "/bucket/k").by_other().signed();
    let answer = neighbours.world.send(key).await.expect(403);
    assert_eq!(answer.header("x-amz-bucket-region"), None);
}

#[tokio::test]
async fn a_bucket_name_has_one_owner_and_lists_show_ones_own() {
    // BK03, BK07
    let neighbours = Neighbours::new().await;
    let world = &neighbours.world;
    for name in ["a1", "a2", "a3"] {
        for (prefix, other) in [("root-", false), ("other-", true)] {
            let call = Call::new("PUT", &format!("/{prefix}{name}"));
            let call = if other { call.by_other() } else { call };
            world.send(call.signed()).await.expect(200);
        }
    }
    let again = Call::new("PUT", "/others").by_other();
    world.send(again.signed()).await.expect(200);
    let objects = Call::new("GET", "/others?list-type=2").by_other();
    let objects = world.send(objects.signed()).await.expect(200);
    assert_eq!(
        objects.element("KeyCount").as_deref(),
        Some("1"),
        "nothing was lost"
    );
    let mut names = Vec::new();
    let mut uri = "/?max-buckets=2".to_owned();
    loop {
        let page = world
            .send(Call::new("GET", &uri).by_other().signed())
            .await
            .expect(200);
        assert_eq!(page.element("ID").as_deref(), Some(OTHER_OWNER_ID));
        names.push(names_of(&page));
        match page.element("ContinuationToken") {
            Some(token) => uri = format!("/?max-buckets=2&continuation-token={token}"),
            None => break,
        }
    }
    let expected = [vec!["other-a1", "other-a2"], vec!["other-a3", "others"]];
    assert_eq!(names, expected);
    let root = world
        .send(Call::new("GET", "/?prefix=root-").signed())
        .await
        .expect(200);
    assert_eq!(names_of(&root), ["root-a1", "root-a2", "root-a3"]);
    assert_eq!(root.element("ID").as_deref(), Some(ROOT_OWNER_ID));
}

fn names_of(page: &Answer) -> Vec<String> {
    let text = page.text();
    let names = text.split("<Name>").skip(1);
    names
        .map(|rest| rest.split_once('<').unwrap().0.to_owned())
        .collect()
}

#[tokio::test]
async fn owners_in_lists_are_exact() {
    let neighbours = Neighbours::new().await;
    let world = &neighbours.world;
    let created = Call::new("POST", "/others/big?uploads").by_other();
    let created = world.send(created.signed()).await.expect(200);
    let upload = created.element("UploadId").unwrap();
    let owner = format!("<ID>{OTHER_OWNER_ID}</ID>");
    let name = "<DisplayName>Other &amp; Co</DisplayName>";
    for (uri, count) in [
        ("/", 1),
        ("/others", 1),
        ("/others?list-type=2", 0),
        ("/others?list-type=2&fetch-owner=true", 1),
        ("/others?uploads", 2),
        (&format!("/others/big?uploadId={upload}"), 2),
        ("/others?acl", 2),
        ("/others/k?acl", 2),
    ] {
        let answer = world
            .send(Call::new("GET", uri).by_other().signed())
            .await
            .expect(200);
        let text = answer.text();
        let found = (text.matches(&owner).count(), text.matches(name).count());
        assert_eq!(found, (count, count), "{uri}: {text}");
    }
}

#[tokio::test]
async fn the_expected_owner_is_the_account_that_owns_the_bucket() {
    // PR06
    let neighbours = Neighbours::new().await;
    let world = &neighbours.world;
    let expect = |name, id: &str| {
        Call::new("PUT", "/others/copy")
            .by_other()
            .header("x-amz-copy-source", "/others/k")
            .header(name, id)
            .signed()
    };
    for name in [
        "x-amz-expected-bucket-owner",
        "x-amz-source-expected-bucket-owner",
    ] {
        world.send(expect(name, OTHER_ACCOUNT_ID)).await.expect(200);
        world
            .send(expect(name, ROOT_ACCOUNT_ID))
            .await
            .expect_error(403, "AccessDenied");
        for malformed in ["44445555666", "4444555566667", "44445555666x", ""] {
            world
                .send(expect(name, malformed))
                .await
                .expect_error(400, "InvalidBucketOwnerAWSAccountID");
        }
    }
    let of_root =
        Call::new("GET", "/bucket/k").header("x-amz-expected-bucket-owner", ROOT_ACCOUNT_ID);
    world.send(of_root.clone().signed()).await.expect(200);
    world
        .send(of_root.by_other().signed())
        .await
        .expect_error(403, "AccessDenied");
}

fn policy(owner: &str, grantee: &str, permission: &str) -> String {
    format!(
        "<AccessControlPolicy xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Owner><ID>{owner}</ID></Owner><AccessControlList><Grant>{grantee}\
         <Permission>{permission}</Permission></Grant></AccessControlList></AccessControlPolicy>"
    )
}

fn grantee(kind: &str, inner: &str) -> String {
    format!(
        "<Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"{kind}\">\
         {inner}</Grantee>"
    )
}

#[tokio::test]
async fn a_list_that_came_as_a_document_is_read_strictly_and_kept_only_if_it_is_so_anyway() {
    // BK09
    let world = World::with_bucket().await;
    world
        .send(Call::new("PUT", "/bucket/k").body("x").signed())
        .await
        .expect(200);
    let root = grantee("CanonicalUser", &format!("<ID>{ROOT_OWNER_ID}</ID>"));
    let other = grantee("CanonicalUser", &format!("<ID>{OTHER_OWNER_ID}</ID>"));
    let everyone = "<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>";
    let email = grantee(
        "AmazonCustomerByEmail",
        "<EmailAddress>a@example.com</EmailAddress>",
    );
    let refused = (400, "AccessControlListNotSupported");
    let malformed = (400, "MalformedACLError");
    for (document, expected) in [
        (policy(ROOT_OWNER_ID, &root, "FULL_CONTROL"), (200, "")),
        (policy(ROOT_OWNER_ID, &root, "READ"), refused),
        (policy(ROOT_OWNER_ID, &other, "FULL_CONTROL"), refused),
        (policy(OTHER_OWNER_ID, &root, "FULL_CONTROL"), refused),
        (
            policy(ROOT_OWNER_ID, &grantee("Group", everyone), "READ"),
            refused,
        ),
        (
            policy(ROOT_OWNER_ID, &email, "READ"),
            (405, "MethodNotAllowed"),
        ),
        (policy(ROOT_OWNER_ID, &root, "EVERYTHING"), malformed),
        (
            policy(ROOT_OWNER_ID, &grantee("Person", everyone), "READ"),
            malformed,
        ),
        (
            policy(ROOT_OWNER_ID, &grantee("CanonicalUser", ""), "READ"),
            malformed,
        ),
        (policy(ROOT_OWNER_ID, "", "READ"), malformed),
        ("<AccessControlPolicy>".to_owned(), malformed),
        ("<AccessControlPolicy/>".to_owned(), malformed),
        ("<Other/>".to_owned(), malformed),
    ] {
        for uri in ["/bucket?acl", "/bucket/k?acl"] {
            let answer = world
                .send(Call::new("PUT", uri).body(&document).signed())
                .await;
            match expected {
                (200, _) => drop(answer.expect(200)),
                (status, code) => drop(answer.expect_error(status, code)),
            }
        }
    }
}

#[tokio::test]
async fn lists_are_read_and_not_written_in_all_the_places_that_take_one() {
    // BK01, BK09
    let world = World::with_bucket().await;
    world
        .send(Call::new("PUT", "/bucket/k").body("x").signed())
        .await
        .expect(200);
    let calls = [
        Call::new("PUT", "/new-bucket"),
        Call::new("PUT", "/bucket?acl"),
        Call::new("PUT", "/bucket/k?acl"),
        Call::new("PUT", "/bucket/k").body("y"),
        Call::new("PUT", "/bucket/copy").header("x-amz-copy-source", "/bucket/k"),
        Call::new("POST", "/bucket/big?uploads"),
    ];
    for call in &calls {
        for acl in ["public-read", "authenticated-read"] {
            let answer = world
                .send(call.clone().header("x-amz-acl", acl).signed())
                .await;
            let code = if call.uri == "/new-bucket" {
                "InvalidBucketAclWithObjectOwnership"
            } else {
                "AccessControlListNotSupported"
            };
            answer.expect_error(400, code);
        }
        let email = call
            .clone()
            .header("x-amz-grant-read", "emailAddress=\"a@example.com\"");
        world
            .send(email.signed())
            .await
            .expect_error(405, "MethodNotAllowed");
        let unknown = call.clone().header("x-amz-acl", "secret");
        let unknown = world
            .send(unknown.signed())
            .await
            .expect_error(400, "InvalidArgument");
        assert_eq!(
            unknown.element("ArgumentName").as_deref(),
            Some("x-amz-acl")
        );
    }
    let before = world
        .send(Call::new("GET", "/bucket/k").signed())
        .await
        .expect(200);
    assert_eq!(before.text(), "x", "what was refused changed nothing");
    for call in calls {
        for acl in ["private", "bucket-owner-full-control"] {
            world
                .send(call.clone().header("x-amz-acl", acl).signed())
                .await
                .expect(200);
        }
    }
    for (call, status, code) in [
        (
            Call::new("PUT", "/bucket?acl"),
            400,
            "MissingSecurityHeader",
        ),
        (
            Call::new("PUT", "/bucket?acl")
                .header("x-amz-acl", "private")
                .body(policy(ROOT_OWNER_ID, "", "READ")),
            400,
            "UnexpectedContent",
        ),
        (Call::new("GET", "/bucket/none?acl"), 404, "NoSuchKey"),
        (
            Call::new("PUT", "/bucket/none?acl").header("x-amz-acl", "private"),
            404,
            "NoSuchKey",
        ),
        (Call::new("GET", "/none-such?acl"), 404, "NoSuchBucket"),
    ] {
        world.send(call.signed()).await.expect_error(status, code);
    }
    let acl = world
        .send(Call::new("GET", "/bucket/k?acl").signed())
        .await
        .expect(200);
    let text = acl.text();
    assert!(text.contains("xsi:type=\"CanonicalUser\""), "{text}");
    assert_eq!(acl.element("Permission").as_deref(), Some("FULL_CONTROL"));
    assert_eq!(text.matches("<Grant>").count(), 1);
}

#[tokio::test]
async fn changed_credentials_are_in_force_with_the_next_request() {
    // attack 2
    let world = World::with_bucket().await;
    let call = Call::new("GET", "/bucket").signed();
    world.send(call.clone()).await.expect(200);
    world
        .credentials
        .replace(Credentials::root(ACCESS_KEY, "another-secret"));
    world
        .send(call.clone())
        .await
        .expect_error(403, "SignatureDoesNotMatch");
    let other = Call::new("GET", "/").by_other();
    world
        .send(other.signed())
        .await
        .expect_error(403, "InvalidAccessKeyId");
    world.credentials.replace(two_accounts());
    world.send(call).await.expect(200);
}
