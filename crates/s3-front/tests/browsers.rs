//! What browsers see: CORS with its preflights, and websites.

mod common;

use common::{Answer, Call, HOST, World, crc32};
use http::{HeaderMap, Method};
use http_body_util::BodyExt as _;
use strongroom_s3_front::RequestIds;
use strongroom_s3_front::target::Target;
use strongroom_s3_front::website::Site;

const RULES: &str = "<CORSConfiguration>\
    <CORSRule><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod>\
    <AllowedOrigin>http://*.example.com</AllowedOrigin><AllowedHeader>x-amz-*</AllowedHeader>\
    <ExposeHeader>etag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule>\
    <CORSRule><AllowedMethod>HEAD</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule>\
    </CORSConfiguration>";
const PAGE: &str = "http://a.example.com";

async fn configure(world: &World, query: &str, document: &str) {
    let call = Call::new("PUT", &format!("/bucket?{query}"))
        .header("x-amz-checksum-crc32", &crc32(document.as_bytes()))
        .body(document);
    world.send(call.signed()).await.expect(200);
}

fn preflight(uri: &str, origin: &str, method: &str) -> Call {
    Call::new("OPTIONS", uri)
        .header("origin", origin)
        .header("access-control-request-method", method)
}

#[tokio::test]
async fn a_preflight_is_answered_by_the_rules_without_a_signature() {
    let world = World::with_bucket().await;
    configure(&world, "cors", RULES).await;
    let call = preflight("/bucket/key", PAGE, "PUT")
        .header("access-control-request-headers", "X-Amz-Date, x-amz-acl");
    let answer = world.send(call).await.expect(200);
    assert_eq!(answer.operation, "Preflight");
    for (name, value) in [
        ("access-control-allow-origin", PAGE),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "x-amz-date, x-amz-acl"),
        ("access-control-expose-headers", "etag"),
        ("access-control-max-age", "60"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.header("vary").unwrap().starts_with("Origin"));
    let any = world
        .send(preflight("/bucket", "https://other", "HEAD"))
        .await;
    let any = any.expect(200);
    assert_eq!(any.header("access-control-allow-origin"), Some("*"));
    assert_eq!(any.header("access-control-allow-credentials"), None);
}

#[tokio::test]
async fn a_preflight_no_rule_is_for_is_refused() {
    let world = World::with_bucket().await;
    let refused = |answer: Answer, resource: &str| {
        let answer = answer.expect_error(403, "AccessForbidden");
        assert_eq!(answer.element("ResourceType").as_deref(), Some(resource));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    };
    refused(
        world.send(preflight("/bucket/key", PAGE, "GET")).await,
        "BUCKET",
    );
    refused(
        world.send(preflight("/missing/key", PAGE, "GET")).await,
        "BUCKET",
    );
    configure(&world, "cors", RULES).await;
    for (origin, method, header) in [
        ("http://other.com", "GET", "x-amz-date"),
        (PAGE, "DELETE", "x-amz-date"),
        (PAGE, "GET", "content-type"),
    ] {
        let call = preflight("/bucket/key", origin, method)
            .header("access-control-request-headers", header);
        refused(world.send(call).await, "OBJECT");
    }
    let many = "x-amz-a,".repeat(101);
    let call =
        preflight("/bucket/key", PAGE, "GET").header("access-control-request-headers", &many);
    refused(world.send(call).await, "OBJECT");
    let bare = Call::new("OPTIONS", "/bucket/key");
    world
        .send(bare.clone())
        .await
        .expect_error(400, "BadRequest");
    let half = bare.header("origin", PAGE);
    world.send(half).await.expect_error(400, "BadRequest");
}

#[tokio::test]
async fn answers_and_errors_say_which_page_may_read_them() {
    let world = World::with_bucket().await;
    configure(&world, "cors", RULES).await;
    let get = |uri: &str, origin: &str| Call::new("GET", uri).header("origin", origin);
    world
        .send(Call::new("PUT", "/bucket/key").body("x").signed())
        .await
        .expect(200);
    let calls = [
        (get("/bucket/key", PAGE).signed(), 200),
        (get("/bucket/none", PAGE).signed(), 404),
        (get("/bucket/key", PAGE), 403),
        (get("/bucket?policy", PAGE).signed(), 404),
    ];
    for (call, status) in calls {
        let answer = world.send(call).await.expect(status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
        assert_eq!(answer.header("access-control-expose-headers"), Some("etag"));
    }
    let other = world
        .send(get("/bucket/key", "http://other.com").signed())
        .await;
    let other = other.expect(200);
    assert_eq!(other.header("access-control-allow-origin"), None);
    assert!(other.header("vary").is_some());
    let plain = world
        .send(Call::new("GET", "/bucket/key").signed())
        .await
        .expect(200);
    assert_eq!(plain.header("vary"), None);
    let deleted = Call::new("DELETE", "/bucket?cors");
    world.send(deleted.signed()).await.expect(204);
    let after = world
        .send(get("/bucket/key", PAGE).signed())
        .await
        .expect(200);
    assert_eq!(after.header("access-control-allow-origin"), None);
}

// --------------------------------------------------------------------------------- websites

const SITE: &str = "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument>\
    <ErrorDocument><Key>error.html</Key></ErrorDocument><RoutingRules>\
    <RoutingRule><Condition><KeyPrefixEquals>docs/</KeyPrefixEquals></Condition><Redirect>\
    <ReplaceKeyPrefixWith>documents/</ReplaceKeyPrefixWith><HttpRedirectCode>302</HttpRedirectCode>\
    </Redirect></RoutingRule>\
    <RoutingRule><Condition><KeyPrefixEquals>old/</KeyPrefixEquals>\
    <HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition><Redirect>\
    <HostName>old.example.org</HostName><Protocol>https</Protocol><ReplaceKeyWith>gone</ReplaceKeyWith>\
    </Redirect></RoutingRule></RoutingRules></WebsiteConfiguration>";

async fn put(world: &World, key: &str, content: &str) {
    let call = Call::new("PUT", &format!("/bucket/{key}"))
        .header("content-type", "text/html")
        .body(content);
    world.send(call.signed()).await.expect(200);
}

/// A request to the website's host.
async fn visit(world: &World, method: &str, uri: &str) -> Answer {
    let mut call = Call::new(method, uri);
    call.headers.remove("host");
    world
        .send(call.header("host", "bucket.web.example.com:9000"))
        .await
}

#[tokio::test]
async fn a_website_shows_nothing_because_nothing_is_public() {
    // BK01
    let world = World::with_bucket().await;
    let none = visit(&world, "GET", "/").await.expect(404);
    assert!(
        none.text()
            .contains("<li>Code: NoSuchWebsiteConfiguration</li>"),
        "{}",
        none.text()
    );
    configure(&world, "website", SITE).await;
    put(&world, "index.html", "secret").await;
    for path in ["/", "/index.html", "/missing", "/error.html"] {
        let page = visit(&world, "GET", path).await.expect(403);
        assert_eq!(page.operation, "Website");
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert_eq!(page.header("x-amz-error-code"), Some("AccessDenied"));
        let text = page.text();
        assert!(text.contains("<title>403 Forbidden</title>"), "{text}");
        let id = page.header("x-amz-request-id").unwrap();
        assert!(
            text.contains(&format!("<li>RequestId: {id}</li>")),
            "{text}"
        );
        assert!(
            text.contains("Attempting to Retrieve a Custom Error Document"),
            "{text}"
        );
        assert!(!text.contains("secret"));
    }
    let put = visit(&world, "PUT", "/index.html").await.expect(405);
    assert!(put.text().contains("<li>Code: MethodNotAllowed</li>"));
    assert!(visit(&world, "HEAD", "/").await.expect(403).body.is_empty());
    // The same object under the host of the API needs a signature, and has one answer with it.
    let api = Call::new("GET", "/bucket/index.html").signed();
    assert_eq!(world.send(api).await.expect(200).text(), "secret");
    assert_ne!(HOST, "web.example.com");
}

#[tokio::test]
async fn redirects_that_look_at_no_object_work() {
    let world = World::with_bucket().await;
    configure(&world, "website", SITE).await;
    let page = visit(&world, "GET", "/docs/a%20b?x=1").await.expect(302);
    assert_eq!(page.header("location"), Some("/documents/a%20b?x=1"));
    let all = "<WebsiteConfiguration><RedirectAllRequestsTo><HostName>example.org</HostName>\
               <Protocol>https</Protocol></RedirectAllRequestsTo></WebsiteConfiguration>";
    configure(&world, "website", all).await;
    let page = visit(&world, "GET", "/a/b?c=d").await.expect(301);
    assert_eq!(page.header("location"), Some("https://example.org/a/b?c=d"));
}

/// The same, where everyone may read everything: what policies will allow.
async fn open(world: &World, path: &str, condition: Option<&str>) -> (u16, HeaderMap, String) {
    let uri = path.parse().unwrap();
    let target = Target::parse(&uri, Some("bucket".to_owned())).unwrap();
    let mut headers = HeaderMap::new();
    if let Some(etag) = condition {
        headers.insert("if-none-match", etag.parse().unwrap());
    }
    let site = Site {
        objects: &world.objects,
        may_read: |_, _| true,
        method: &Method::GET,
        host: "bucket.web.example.com",
        target: &target,
        query: uri.query(),
        headers: &headers,
        ids: &RequestIds::new([7; 16]),
    };
    let (head, body) = site.serve().await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (head.status.as_u16(), head.headers, text)
}

#[tokio::test]
async fn an_open_website_serves_pages_index_documents_and_error_documents() {
    let world = World::with_bucket().await;
    configure(&world, "website", SITE).await;
    let (status, headers, text) = open(&world, "/missing", None).await;
    assert_eq!(
        (status, &headers["x-amz-error-code"]),
        (404, &"NoSuchKey".parse().unwrap())
    );
    assert!(text.contains("<li>Key: missing</li>") && text.contains("<li>Key: error.html</li>"));
    for (key, content) in [
        ("index.html", "home"),
        ("folder/index.html", "folder"),
        ("error.html", "oops"),
        ("page", "page"),
    ] {
        put(&world, key, content).await;
    }
    for (path, status, text) in [
        ("/", 200, "home"),
        ("/folder/", 200, "folder"),
        ("/page", 200, "page"),
        ("/missing", 404, "oops"),
        ("/missing/", 404, "oops"),
        ("/page?versionId=1", 200, "page"),
    ] {
        let found = open(&world, path, None).await;
        assert_eq!((found.0, found.2.as_str()), (status, text), "{path}");
        assert_eq!(found.1["content-type"], "text/html", "{path}");
    }
    let (status, headers, _) = open(&world, "/folder", None).await;
    assert_eq!(
        (status, &headers["location"]),
        (302, &"/folder/".parse().unwrap())
    );
    let (status, headers, _) = open(&world, "/old/page", None).await;
    let there = "https://old.example.org/gone".parse().unwrap();
    assert_eq!((status, &headers["location"]), (301, &there));
    let (_, headers, _) = open(&world, "/page", None).await;
    let (status, _, text) = open(&world, "/page", headers["etag"].to_str().ok()).await;
    assert_eq!((status, text.as_str()), (304, ""));
    let moved =
        Call::new("PUT", "/bucket/moved").header("x-amz-website-redirect-location", "/page");
    world.send(moved.signed()).await.expect(200);
    let (status, headers, _) = open(&world, "/moved", None).await;
    assert_eq!(
        (status, &headers["location"]),
        (301, &"/page".parse().unwrap())
    );
}
