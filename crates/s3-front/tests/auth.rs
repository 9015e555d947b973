//! What is let in and what is not, through the whole service.

mod common;

use std::time::Duration;

use common::{ACCESS_KEY, Call, DATE, World};

/// One request of every operation, and some that are none.
const ROUTES: [(&str, &str); 25] = [
    ("GET", "/"),
    ("PUT", "/bucket"),
    ("HEAD", "/bucket"),
    ("DELETE", "/bucket"),
    ("GET", "/bucket?location"),
    ("GET", "/bucket?versioning"),
    ("GET", "/bucket?uploads"),
    ("GET", "/bucket"),
    ("GET", "/bucket?list-type=2"),
    ("POST", "/bucket?delete"),
    ("POST", "/bucket"),
    ("PUT", "/bucket/key"),
    ("GET", "/bucket/key"),
    ("HEAD", "/bucket/key"),
    ("DELETE", "/bucket/key"),
    ("POST", "/bucket/key?uploads"),
    ("PUT", "/bucket/key?partNumber=1&uploadId=u"),
    ("POST", "/bucket/key?uploadId=u"),
    ("DELETE", "/bucket/key?uploadId=u"),
    ("GET", "/bucket/key?uploadId=u"),
    ("GET", "/bucket?policy"),
    ("PUT", "/bucket/key?retention"),
    ("PATCH", "/"),
    ("GET", "/healthz/x"),
    ("POST", "/healthz"),
];

#[tokio::test]
async fn an_anonymous_request_is_refused_on_every_route() {
    // attack 1
    let world = World::new();
    for (method, uri) in ROUTES {
        let answer = world.send(Call::new(method, uri)).await;
        assert_eq!(answer.status, 403, "{method} {uri}");
        assert_eq!(answer.body.is_empty(), method == "HEAD", "{method} {uri}");
    }
}

#[tokio::test]
async fn a_form_that_is_not_signed_or_signed_as_a_request_is_refused() {
    let world = World::with_bucket().await;
    let form =
        Call::new("POST", "/bucket").header("content-type", "multipart/form-data; boundary=x");
    let body = "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n\
                --x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nf\r\n--x--\r\n";
    let form = form.body(body);
    world
        .send(form.clone())
        .await
        .expect_error(403, "AccessDenied");
    world
        .send(form.signed())
        .await
        .expect_error(501, "NotImplemented");
}

#[tokio::test]
async fn a_signed_request_is_let_in_and_a_wrong_secret_is_not() {
    // attack 2
    let world = World::with_bucket().await;
    let good = Call::new("GET", "/bucket?list-type=2&prefix=a%20b");
    world.send(good.clone().signed()).await.expect(200);
    let mut wrong = good.clone();
    wrong.secret_key.push('x');
    world
        .send(wrong.signed())
        .await
        .expect_error(403, "SignatureDoesNotMatch");
    let mut unknown = good;
    unknown.access_key = "nobody".to_owned();
    world
        .send(unknown.signed())
        .await
        .expect_error(403, "InvalidAccessKeyId");
}

#[tokio::test]
async fn a_change_of_any_signed_part_is_refused() {
    let world = World::with_bucket().await;
    let good = Call::new("GET", "/bucket?prefix=a&marker=b")
        .header("x-amz-expected-bucket-owner", "000000000000");
    let good = good.signed();
    world.send(good.clone()).await.expect(200);
    let mut other = good.clone();
    other.uri = "/bucket?prefix=b&marker=b".to_owned();
    world
        .send(other)
        .await
        .expect_error(403, "SignatureDoesNotMatch");
    let mut other = good.clone();
    other.uri = "/bucket?prefix=a&marker=b&max-keys=1".to_owned();
    world
        .send(other)
        .await
        .expect_error(403, "SignatureDoesNotMatch");
    let mut other = good.clone();
    other.uri = "/buckets?prefix=a&marker=b".to_owned();
    world
        .send(other)
        .await
        .expect_error(403, "SignatureDoesNotMatch");
    let mut other = good.clone();
    other.method = http::Method::DELETE;
    world
        .send(other)
        .await
        .expect_error(403, "SignatureDoesNotMatch");
    let other = good
        .clone()
        .header("x-amz-expected-bucket-owner", "111111111111");
    world
        .send(other)
        .await
        .expect_error(403, "SignatureDoesNotMatch");
    let other = good.header("host", "elsewhere.example.com");
    world
        .send(other)
        .await
        .expect_error(403, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn an_amz_header_that_is_not_signed_is_refused() {
    // attack 6
    let world = World::with_bucket().await;
    let added = Call::new("GET", "/bucket")
        .signed()
        .header("x-amz-acl", "private");
    let answer = world.send(added).await.expect_error(403, "AccessDenied");
    assert_eq!(
        answer.element("HeadersNotSigned").as_deref(),
        Some("x-amz-acl")
    );
    let added = Call::new("PUT", "/bucket/k")
        .presigned("60")
        .header("x-amz-meta-a", "b");
    world
        .send(added.body("x"))
        .await
        .expect_error(403, "AccessDenied");
    world.expect_no_object("/bucket/k").await;
}

#[tokio::test]
async fn a_signed_header_that_is_missing_is_refused() {
    let world = World::with_bucket().await;
    let mut call = Call::new("GET", "/bucket").header("x-custom", "1").signed();
    call.headers.remove("x-custom");
    world
        .send(call)
        .await
        .expect_error(403, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn the_older_signature_is_refused_in_headers_and_in_the_query() {
    let world = World::with_bucket().await;
    let header = format!("AWS {ACCESS_KEY}:frJIUN8DYpKDtOLCwo//yllqDzg=");
    let call = Call::new("GET", "/bucket").header("authorization", &header);
    world.send(call).await.expect_error(400, "InvalidRequest");
    let uri = format!("/bucket/k?AWSAccessKeyId={ACCESS_KEY}&Signature=x&Expires=9999999999");
    world
        .send(Call::new("GET", &uri))
        .await
        .expect_error(400, "InvalidRequest");
}

#[tokio::test]
async fn the_scope_must_be_ours() {
    // attack 4
    let world = World::with_bucket().await;
    let mut region = Call::new("GET", "/bucket");
    region.region = "eu-west-1".to_owned();
    let answer = world.send(region.clone().signed()).await;
    let answer = answer.expect_error(400, "AuthorizationHeaderMalformed");
    assert_eq!(answer.element("Region").as_deref(), Some("us-east-1"));
    let answer = world.send(region.presigned("60")).await;
    answer.expect_error(400, "AuthorizationQueryParametersError");
    let good = Call::new("GET", "/bucket").signed();
    for (from, to) in [
        ("/s3/", "/sts/"),
        ("20130524/", "20130523/"),
        ("aws4_request", "aws5_request"),
    ] {
        let text = good.headers["authorization"]
            .to_str()
            .unwrap()
            .replace(from, to);
        let answer = world
            .send(good.clone().header("authorization", &text))
            .await;
        answer.expect_error(400, "AuthorizationHeaderMalformed");
    }
}

#[tokio::test]
async fn a_request_is_valid_for_fifteen_minutes_in_either_direction() {
    // attack 3
    let world = World::with_bucket().await;
    for (date, good) in [
        ("20130524T001500Z", true),
        ("20130524T001501Z", false),
        ("20130523T234500Z", true),
        ("20130523T234459Z", false),
    ] {
        let mut call = Call::new("GET", "/bucket");
        call.date = date.to_owned();
        let answer = world.send(call.signed()).await;
        if good {
            answer.expect(200);
        } else {
            answer.expect_error(403, "RequestTimeTooSkewed");
        }
    }
}

#[tokio::test]
async fn a_presigned_request_works_until_it_expires() {
    // attack 8
    let world = World::with_bucket().await;
    let put = Call::new("PUT", "/bucket/a%20b")
        .presigned("60")
        .body("hello");
    world.send(put).await.expect(200);
    let get = Call::new("GET", "/bucket/a%20b").presigned("60");
    assert_eq!(world.send(get.clone()).await.expect(200).text(), "hello");
    world.clock.advance(Duration::from_secs(60));
    world.send(get.clone()).await.expect(200);
    world.clock.advance(Duration::from_secs(1));
    world.send(get).await.expect_error(403, "AccessDenied");
}

#[tokio::test]
async fn a_date_header_stands_in_for_an_absent_amz_date() {
    let world = World::with_bucket().await;
    for value in [DATE, "Fri, 24 May 2013 00:00:00 GMT"] {
        let call = Call::new("GET", "/bucket").signed_with_date_header(value);
        world.send(call.clone()).await.expect(200);
        let other = call.header("date", "Fri, 24 May 2013 00:00:01 GMT");
        let answer = world.send(other).await;
        answer.expect_error(403, "SignatureDoesNotMatch");
    }
    let call = Call::new("GET", "/bucket").signed_with_date_header("yesterday");
    world.send(call).await.expect_error(403, "AccessDenied");
    // attack 3
    let late = Call::new("GET", "/bucket").signed_with_date_header("Fri, 24 May 2013 00:15:01 GMT");
    let answer = world.send(late).await;
    answer.expect_error(403, "RequestTimeTooSkewed");
}

#[tokio::test]
async fn a_presigned_request_lives_a_week_at_most() {
    // attack 9
    let world = World::with_bucket().await;
    for (expires, status) in [
        ("604800", 200),
        ("604801", 400),
        ("0", 400),
        ("-1", 400),
        ("%2B60", 400),
        ("60.5", 400),
        ("", 400),
        ("99999999999999999999", 400),
    ] {
        let answer = world
            .send(Call::new("GET", "/bucket").presigned(expires))
            .await;
        assert_eq!(answer.status, status, "{expires}");
    }
    let mut early = Call::new("GET", "/bucket");
    early.date = "20130524T001501Z".to_owned();
    world
        .send(early.presigned("60"))
        .await
        .expect_error(403, "AccessDenied");
}

#[tokio::test]
async fn a_presigned_request_that_was_changed_is_refused() {
    // attack 9, 10
    let world = World::with_bucket().await;
    let good = Call::new("GET", "/bucket").presigned("60");
    for (from, to) in [
        ("Expires=60", "Expires=61"),
        ("/bucket", "/bucket/k"),
        (DATE, "20130524T000001Z"),
    ] {
        let mut call = good.clone();
        call.uri = call.uri.replace(from, to);
        world
            .send(call)
            .await
            .expect_error(403, "SignatureDoesNotMatch");
    }
    let mut twice = good.clone();
    twice.uri.push_str("&X-Amz-Expires=60");
    let answer = world.send(twice).await;
    answer.expect_error(400, "AuthorizationQueryParametersError");
    let mut cut = good;
    cut.uri = cut.uri.replace("&X-Amz-Expires=60", "");
    let answer = world.send(cut).await;
    answer.expect_error(400, "AuthorizationQueryParametersError");
}

#[tokio::test]
async fn two_mechanisms_in_one_request_are_refused() {
    // attack 5
    let world = World::with_bucket().await;
    let mut both = Call::new("GET", "/bucket").signed();
    both.uri.push_str("?X-Amz-Signature=00");
    world.send(both).await.expect_error(400, "InvalidArgument");
    let mut twice = Call::new("GET", "/bucket").signed();
    let value = twice.headers["authorization"].clone();
    twice.headers.append("authorization", value);
    world.send(twice).await.expect_error(400, "InvalidArgument");
}

#[tokio::test]
async fn a_session_token_is_refused_since_there_are_no_sessions() {
    let world = World::with_bucket().await;
    let call = Call::new("GET", "/bucket").header("x-amz-security-token", "t");
    world
        .send(call.signed())
        .await
        .expect_error(400, "InvalidToken");
}

#[tokio::test]
async fn malformed_authorization_never_does_more_than_an_error() {
    let world = World::with_bucket().await;
    let good = Call::new("GET", "/bucket").signed();
    let text = good.headers["authorization"].to_str().unwrap().to_owned();
    for end in 0..text.len() {
        let answer = world
            .send(good.clone().header("authorization", &text[..end]))
            .await;
        assert!(answer.status.is_client_error(), "{}", &text[..end]);
    }
    for header in ["x-amz-date", "x-amz-content-sha256"] {
        let mut call = good.clone();
        call.headers.remove(header);
        assert!(world.send(call).await.status.is_client_error(), "{header}");
    }
}

#[tokio::test]
async fn a_path_signed_as_it_was_sent_is_accepted() {
    // Clients differ in what they escape; the key is the same.
    let world = World::with_bucket().await;
    for uri in ["/bucket/a$b+c@d", "/bucket/a%24b%2Bc%40d"] {
        let put = Call::new("PUT", uri).body(uri);
        world.send(put.signed()).await.expect(200);
        let get = Call::new("GET", "/bucket/a%24b%2Bc%40d").signed();
        assert_eq!(world.send(get).await.expect(200).text(), uri);
    }
}

#[tokio::test]
async fn a_host_below_the_base_domain_names_the_bucket() {
    let world = World::with_domain(Some("s3.example.com"));
    world
        .send(Call::new("PUT", "/bucket").signed())
        .await
        .expect(200);
    let host = "bucket.s3.example.com";
    let put = Call::new("PUT", "/healthz").header("host", host).body("x");
    world.send(put.signed()).await.expect(200);
    let get = Call::new("GET", "/healthz").header("host", host);
    assert_eq!(world.send(get.signed()).await.expect(200).text(), "x");
    let get = Call::new("GET", "/bucket/healthz").signed();
    assert_eq!(world.send(get).await.expect(200).text(), "x");
    let list = Call::new("GET", "/?list-type=2")
        .header("host", host)
        .signed();
    assert_eq!(
        world.send(list).await.expect(200).element("Key").as_deref(),
        Some("healthz")
    );
}
