//! Versions as clients see them: headers, documents, and the errors of delete markers.

mod common;

use common::{Answer, Call, World, crc32};

async fn send(world: &World, method: &str, uri: &str) -> Answer {
    world.send(Call::new(method, uri).signed()).await
}

async fn set_versioning(world: &World, document: &str) -> Answer {
    let call = Call::new("PUT", "/bucket?versioning")
        .header("x-amz-checksum-crc32", &crc32(document.as_bytes()))
        .body(document);
    world.send(call.signed()).await
}

async fn set(world: &World, status: &str) {
    let document = format!(
        "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Status>{status}</Status></VersioningConfiguration>"
    );
    set_versioning(world, &document).await.expect(200);
}

async fn put(world: &World, uri: &str, content: &str) -> Answer {
    let call = Call::new("PUT", uri).body(content);
    world.send(call.signed()).await.expect(200)
}

fn id_of(answer: &Answer) -> String {
    answer.header("x-amz-version-id").unwrap().to_owned()
}

async fn versioned() -> World {
    let world = World::with_bucket().await;
    set(&world, "Enabled").await;
    world
}

#[tokio::test]
async fn a_versioning_configuration_is_read_strictly_and_given_back() {
    // VE01, VE02, VE03, MF01
    let world = World::with_bucket().await;
    let status = async || {
        let got = send(&world, "GET", "/bucket?versioning").await.expect(200);
        got.element("Status")
    };
    assert_eq!(status().await, None);
    let of =
        |content: &str| format!("<VersioningConfiguration>{content}</VersioningConfiguration>");
    for (content, status, code) in [
        ("", 400, "IllegalVersioningConfigurationException"),
        (
            "<MfaDelete>Disabled</MfaDelete>",
            400,
            "IllegalVersioningConfigurationException",
        ),
        ("<Status>Disabled</Status>", 400, "MalformedXML"),
        ("<Status>enabled</Status>", 400, "MalformedXML"),
        (
            "<Status>Enabled</Status><Status>Enabled</Status>",
            400,
            "MalformedXML",
        ),
        ("<Status>Enabled</Status><More/>", 400, "MalformedXML"),
        (
            "<Status>Enabled</Status><MfaDelete>x</MfaDelete>",
            400,
            "MalformedXML",
        ),
        (
            "<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>",
            403,
            "AccessDenied",
        ),
    ] {
        let answer = set_versioning(&world, &of(content)).await;
        answer.expect_error(status, code);
    }
    set_versioning(&world, "<Versioning/>")
        .await
        .expect_error(400, "MalformedXML");
    let bare = Call::new("PUT", "/bucket?versioning").body(of("<Status>Enabled</Status>"));
    world
        .send(bare.signed())
        .await
        .expect_error(400, "InvalidRequest");
    assert_eq!(status().await, None);
    set(&world, "Suspended").await;
    assert_eq!(status().await.as_deref(), Some("Suspended"));
    let disabled = "<MfaDelete>Disabled</MfaDelete><Status>Enabled</Status>";
    set_versioning(&world, &of(disabled)).await.expect(200);
    assert_eq!(status().await.as_deref(), Some("Enabled"));
}

#[tokio::test]
async fn a_delete_marker_answers_404_when_current_and_405_by_its_id() {
    // VE05, VE09, VE13, VE18, VE19, VE20, VE21
    let world = versioned().await;
    let version = id_of(&put(&world, "/bucket/k", "data").await);
    let deleted = send(&world, "DELETE", "/bucket/k").await.expect(204);
    assert_eq!(deleted.header("x-amz-delete-marker"), Some("true"));
    let marker = id_of(&deleted);
    for method in ["GET", "HEAD"] {
        let current = send(&world, method, "/bucket/k").await.expect(404);
        assert_eq!(current.header("x-amz-delete-marker"), Some("true"));
        assert_eq!(current.header("x-amz-version-id"), Some(&*marker));
        let uri = format!("/bucket/k?versionId={marker}");
        let by_id = send(&world, method, &uri).await.expect(405);
        assert_eq!(by_id.header("x-amz-delete-marker"), Some("true"));
        assert_eq!(by_id.header("x-amz-version-id"), Some(&*marker));
        assert_eq!(by_id.header("allow"), Some("DELETE"));
        assert!(by_id.header("last-modified").is_some());
        let uri = format!("/bucket/k?versionId={version}");
        let kept = send(&world, method, &uri).await.expect(200);
        assert_eq!(kept.header("x-amz-version-id"), Some(&*version));
        assert_eq!(kept.header("x-amz-delete-marker"), None);
    }
    for id in ["", &format!("&versionId={marker}")] {
        for uri in ["/bucket/k?tagging", "/bucket/k?acl"] {
            let answer = send(&world, "GET", &format!("{uri}{id}")).await;
            let answer = answer.expect_error(405, "MethodNotAllowed");
            let kind = answer.element("ResourceType");
            assert_eq!(kind.as_deref(), Some("DeleteMarker"), "{uri}{id}");
        }
    }
    let gone = send(&world, "DELETE", &format!("/bucket/k?versionId={marker}")).await;
    let gone = gone.expect(204);
    assert_eq!(gone.header("x-amz-delete-marker"), Some("true"));
    assert_eq!(gone.header("x-amz-version-id"), Some(&*marker));
    assert_eq!(
        send(&world, "GET", "/bucket/k").await.expect(200).text(),
        "data"
    );
    let unknown = send(&world, "GET", &format!("/bucket/k?versionId={marker}")).await;
    let unknown = unknown.expect_error(404, "NoSuchVersion");
    assert_eq!(unknown.element("VersionId"), Some(marker));
}

#[tokio::test]
async fn versions_and_markers_are_listed_in_one_order() {
    // VE25, VE26, VE27
    let world = versioned().await;
    let first = id_of(&put(&world, "/bucket/a", "1").await);
    let marker = id_of(&send(&world, "DELETE", "/bucket/a").await.expect(204));
    let last = id_of(&put(&world, "/bucket/a", "22").await);
    put(&world, "/bucket/b%0D%01%26", "x").await;
    let list = send(&world, "GET", "/bucket?versions").await.expect(200);
    let text = list.text();
    let at = |what: &str| {
        text.find(what)
            .unwrap_or_else(|| panic!("{what} in {text}"))
    };
    assert!(at(&last) < at(&marker) && at(&marker) < at(&first));
    assert!(at("<DeleteMarker>") > at(&last) && at("</DeleteMarker>") < at(&first));
    assert_eq!(text.matches("<Version>").count(), 3);
    assert_eq!(text.matches("<IsLatest>true</IsLatest>").count(), 2);
    assert!(text.contains("<Key>b&#13;&#1;&amp;</Key>"), "{text}");
    let entry = &text[at("<DeleteMarker>")..at("</DeleteMarker>")];
    assert!(
        !entry.contains("<ETag>") && !entry.contains("<Size>"),
        "{entry}"
    );
    let encoded = send(
        &world,
        "GET",
        "/bucket?encoding-type=url&prefix=b&versions=",
    )
    .await;
    assert!(encoded.text().contains("<Key>b%0D%01%26</Key>"));
    let mut seen = Vec::new();
    let mut uri = "/bucket?max-keys=1&versions=".to_owned();
    loop {
        let page = send(&world, "GET", &uri).await.expect(200);
        seen.push(page.element("VersionId").unwrap());
        if page.element("IsTruncated").as_deref() == Some("false") {
            assert_eq!(page.element("NextKeyMarker"), None);
            break;
        }
        let key = page.element("NextKeyMarker").unwrap();
        let version = page.element("NextVersionIdMarker").unwrap();
        uri = format!("/bucket?key-marker={key}&max-keys=1&version-id-marker={version}&versions=");
    }
    assert_eq!(seen[..3], [last, marker, first]);
    assert_eq!(seen.len(), 4);
    for query in [
        "key-marker=a&version-id-marker=x&versions=",
        "version-id-marker=null&versions=",
        "max-keys=-1&versions=",
        "max-keys=x&versions=",
        "encoding-type=x&versions=",
    ] {
        let answer = send(&world, "GET", &format!("/bucket?{query}")).await;
        answer.expect_error(400, "InvalidArgument");
    }
    let none = send(&world, "GET", "/bucket?max-keys=0&versions=").await;
    assert_eq!(none.expect(200).element("Key"), None);
}

#[tokio::test]
async fn many_deletes_name_the_markers_they_made_and_the_versions_they_took() {
    // VE09, VE13, VE15
    let world = versioned().await;
    let version = id_of(&put(&world, "/bucket/k", "1").await);
    let delete = async |list: String| {
        let call = Call::new("POST", "/bucket?delete")
            .header("x-amz-checksum-crc32", &crc32(list.as_bytes()))
            .body(list);
        world.send(call.signed()).await.expect(200)
    };
    let list = "<Delete><Object><Key>k</Key></Object></Delete>";
    let answer = delete(list.to_owned()).await;
    assert_eq!(answer.element("DeleteMarker").as_deref(), Some("true"));
    assert_eq!(answer.element("VersionId"), None);
    let marker = answer.element("DeleteMarkerVersionId").unwrap();
    let object = |id: &str| format!("<Object><Key>k</Key><VersionId>{id}</VersionId></Object>");
    let ids = [&*marker, &version, &version, "x"].map(object);
    let answer = delete(format!("<Delete>{}</Delete>", ids.concat())).await;
    let text = answer.text();
    assert_eq!(text.matches("<Deleted>").count(), 2, "{text}");
    assert_eq!(
        text.matches("<Code>NoSuchVersion</Code>").count(),
        2,
        "{text}"
    );
    assert_eq!(text.matches("<DeleteMarker>true</DeleteMarker>").count(), 1);
    let list = send(&world, "GET", "/bucket?versions").await.expect(200);
    assert_eq!(list.element("Key"), None);
}

#[tokio::test]
async fn a_copy_names_the_version_it_made_and_the_one_it_read() {
    // VE05, VE07, VE22
    let world = versioned().await;
    let old = id_of(&put(&world, "/bucket/k", "old").await);
    put(&world, "/bucket/k", "new").await;
    let copy = async |source: &str| {
        let call = Call::new("PUT", "/bucket/copy").header("x-amz-copy-source", source);
        world.send(call.signed()).await
    };
    let copied = copy(&format!("/bucket/k?versionId={old}"))
        .await
        .expect(200);
    assert_eq!(copied.header("x-amz-copy-source-version-id"), Some(&*old));
    assert_ne!(id_of(&copied), old);
    assert_eq!(send(&world, "GET", "/bucket/copy").await.text(), "old");
    let marker = id_of(&send(&world, "DELETE", "/bucket/k").await.expect(204));
    copy("/bucket/k").await.expect_error(404, "NoSuchKey");
    let by_id = copy(&format!("/bucket/k?versionId={marker}")).await;
    by_id.expect_error(400, "InvalidRequest");
    set(&world, "Suspended").await;
    let suspended = put(&world, "/bucket/copy", "null").await;
    assert_eq!(suspended.header("x-amz-version-id"), None);
    let head = send(&world, "HEAD", "/bucket/copy").await.expect(200);
    assert_eq!(head.header("x-amz-version-id"), Some("null"));
    let deleted = send(&world, "DELETE", "/bucket/copy").await.expect(204);
    assert_eq!(deleted.header("x-amz-version-id"), Some("null"));
    assert_eq!(deleted.header("x-amz-delete-marker"), Some("true"));
}
