//! Uploads by HTML form: who may, and what (attacks 16 and 17). The signer here is not ours.

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Call, DATE, World, crc32};

const BOUNDARY: &str = "----formboundary7MA4YWxkTrZu0gW";
/// After the clock of the tests.
const EXPIRES: &str = "2013-05-25T00:00:00.000Z";
const CREDENTIAL: &str = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";

/// A form in the making.
#[derive(Clone)]
struct Form {
    fields: Vec<(String, String)>,
    conditions: Vec<String>,
    expiration: String,
    file: Vec<u8>,
    policy: Option<String>,
    credential: String,
    date: String,
    secret_key: String,
}

impl Form {
    fn new(key: &str) -> Self {
        Self {
            fields: vec![("key".into(), key.into())],
            conditions: vec![
                r#"{"bucket": "bucket"}"#.into(),
                r#"["starts-with", "$key", "user/"]"#.into(),
            ],
            expiration: EXPIRES.into(),
            file: b"content of the file".to_vec(),
            policy: None,
            credential: CREDENTIAL.into(),
            date: DATE.into(),
            secret_key: common::SECRET_KEY.into(),
        }
    }

    fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// A field that the policy covers.
    fn covered(self, name: &str, value: &str) -> Self {
        let text = format!("[\"eq\", \"${name}\", {value:?}]");
        self.condition(&text).field(name, value)
    }

    fn condition(mut self, text: &str) -> Self {
        self.conditions.push(text.into());
        self
    }

    fn file(mut self, file: impl Into<Vec<u8>>) -> Self {
        self.file = file.into();
        self
    }

    fn policy_text(&self) -> String {
        let conditions = self.conditions.join(", ");
        format!(
            "{{\"expiration\": \"{}\", \"conditions\": [{conditions}, \
             {{\"x-amz-algorithm\": \"AWS4-HMAC-SHA256\"}}, {{\"x-amz-credential\": \"{}\"}}, \
             {{\"x-amz-date\": \"{}\"}}]}}",
            self.expiration, self.credential, self.date
        )
    }

    /// The fields of a signature, over the policy.
    fn signed(mut self) -> Self {
        let text = self.policy.clone().unwrap_or_else(|| self.policy_text());
        let policy = STANDARD.encode(text);
        let mut signer = Call::new("POST", "/bucket");
        signer.secret_key = self.secret_key.clone();
        let signature = signer.sign_text(&policy);
        for (name, value) in [
            ("policy", policy.as_str()),
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &self.credential.clone()),
            ("X-Amz-Date", &self.date.clone()),
            ("X-Amz-Signature", &signature),
        ] {
            self.fields.push((name.into(), value.into()));
        }
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(other, _)| other != name);
        self
    }

    fn call(&self) -> Call {
        let mut body = Vec::new();
        for (name, value) in &self.fields {
            let part = format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
            body.extend_from_slice(part.as_bytes());
        }
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../my file.txt\"\r\n\
             Content-Type: image/png\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&self.file);
        body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        Call::new("POST", "/bucket")
            .header(
                "content-type",
                &format!("multipart/form-data; boundary={BOUNDARY}"),
            )
            .body(body)
    }
}

async fn refused(form: Form, status: u16, code: &str) {
    let world = World::with_bucket().await;
    world.send(form.call()).await.expect_error(status, code);
    let list = world
        .send(Call::new("GET", "/bucket").signed())
        .await
        .expect(200);
    assert!(!list.text().contains("<Contents>"), "{}", list.text());
    assert_eq!(world.blobs.blob_count(), 0, "nothing was stored");
}

#[tokio::test]
async fn a_signed_form_stores_its_file() {
    let world = World::with_bucket().await;
    let form = Form::new("user/${filename}")
        .covered("Content-Type", "text/plain")
        .covered("x-amz-meta-colour", "blue")
        .covered("acl", "private")
        .field("x-ignore-me", "whatever");
    let answer = world.send(form.signed().call()).await.expect(204);
    assert_eq!(answer.operation, "PostObject");
    assert!(
        answer
            .header("location")
            .unwrap()
            .ends_with("/bucket/user/my%20file.txt")
    );
    let get = Call::new("GET", "/bucket/user/my%20file.txt").signed();
    let got = world.send(get).await.expect(200);
    assert_eq!(got.body, "content of the file");
    assert_eq!(got.header("etag"), answer.header("etag"));
    assert_eq!(got.header("content-type"), Some("text/plain"));
    assert_eq!(got.header("x-amz-meta-colour"), Some("blue"));
}

#[tokio::test]
async fn a_large_file_of_a_form_goes_to_the_store_as_it_comes() {
    let world = World::with_bucket().await;
    let content: Vec<u8> = (0..300_000_u32)
        .map(|n| n.wrapping_mul(7).to_le_bytes()[1])
        .collect();
    let form = Form::new("user/large").file(content.clone());
    world.send(form.signed().call()).await.expect(204);
    let got = world
        .send(Call::new("GET", "/bucket/user/large").signed())
        .await
        .expect(200);
    assert_eq!(got.body, content);
    assert_eq!(world.blobs.blob_count(), 1);
}

#[tokio::test]
async fn a_form_sets_tags() {
    let world = World::with_bucket().await;
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
    let form = Form::new("user/k").condition(r#"["starts-with", "$tagging", ""]"#);
    world
        .send(form.clone().field("tagging", tags).signed().call())
        .await
        .expect(204);
    let got = Call::new("GET", "/bucket/user/k?tagging").signed();
    assert_eq!(
        world
            .send(got)
            .await
            .expect(200)
            .element("Value")
            .as_deref(),
        Some("b")
    );
    for text in [
        "",
        "<Tagging/>",
        "a=b",
        "<!DOCTYPE a><Tagging><TagSet/></Tagging>",
    ] {
        refused(
            form.clone().field("tagging", text).signed(),
            400,
            "MalformedXML",
        )
        .await;
    }
}

#[tokio::test]
async fn a_form_of_another_account_is_refused() {
    // PR07
    let mut form = Form::new("user/k");
    let other = Call::new("POST", "/bucket").by_other();
    form.credential = form
        .credential
        .replace(common::ACCESS_KEY, &other.access_key);
    form.secret_key = other.secret_key;
    refused(form.signed(), 403, "AccessDenied").await;
}

#[tokio::test]
async fn the_form_says_what_is_answered() {
    let world = World::with_bucket().await;
    for (status, expected) in [("200", 200), ("201", 201), ("204", 204), ("404", 204)] {
        let form = Form::new("user/k").covered("success_action_status", status);
        let answer = world.send(form.signed().call()).await.expect(expected);
        if expected == 201 {
            assert_eq!(answer.element("Bucket").as_deref(), Some("bucket"));
            assert_eq!(answer.element("Key").as_deref(), Some("user/k"));
            assert!(
                answer
                    .element("ETag")
                    .unwrap()
                    .contains(answer.header("etag").unwrap().trim_matches('"'))
            );
        }
    }
    let form =
        Form::new("user/k").covered("success_action_redirect", "https://example.com/done?a=1");
    let answer = world.send(form.signed().call()).await.expect(303);
    let location = answer.header("location").unwrap();
    assert!(
        location.starts_with("https://example.com/done?a=1&bucket=bucket&key=user%2Fk&etag=%22"),
        "{location}"
    );
    for page in ["not a page", "/relative", "javascript:alert(1)"] {
        let form = Form::new("user/k").covered("success_action_redirect", page);
        world.send(form.signed().call()).await.expect(204);
    }
}

#[tokio::test]
async fn attack_16_a_policy_that_is_expired_or_none_is_refused() {
    let mut expired = Form::new("user/k");
    expired.expiration = "2013-05-24T00:00:00.000Z".into();
    refused(expired.signed(), 403, "AccessDenied").await;
    for text in [
        "",
        "no json",
        "[]",
        "{}",
        r#"{"expiration": "2013-05-25T00:00:00Z"}"#,
        r#"{"conditions": []}"#,
        r#"{"expiration": "2013-05-25T00:00:00Z", "CONDITIONS": []}"#,
        r#"{"expiration": "2013-05-25 00:00:00", "conditions": []}"#,
        r#"{"expiration": "2013-05-25T00:00:00+01:00", "conditions": []}"#,
        r#"{"expiration": "2013-05-25T00:00:00Z", "conditions": [{}]}"#,
        r#"{"expiration": "2013-05-25T00:00:00Z", "conditions": [{"key": "a", "acl": "b"}]}"#,
        r#"{"expiration": "2013-05-25T00:00:00Z", "conditions": [{"key": 1}]}"#,
        r#"{"expiration": "2013-05-25T00:00:00Z", "conditions": [["eq", "key", "a"]]}"#,
        r#"{"expiration": "2013-05-25T00:00:00Z", "conditions": [["ends-with", "$key", "a"]]}"#,
        r#"{"expiration": "2013-05-25T00:00:00Z", "conditions": [["content-length-range", 1]]}"#,
        r#"{"expiration": "2013-05-25T00:00:00Z", "conditions": [["content-length-range", -1, 1]]}"#,
        r#"{"expiration": "2013-05-25T00:00:00Z", "conditions": [], "more": 1}"#,
    ] {
        let mut form = Form::new("user/k");
        form.policy = Some(text.to_owned());
        refused(form.signed(), 400, "InvalidPolicyDocument").await;
    }
    let deep = format!("{}{}", "[".repeat(9000), "]".repeat(9000));
    let mut form = Form::new("user/k");
    form.policy = Some(deep);
    refused(form.signed(), 400, "InvalidPolicyDocument").await;
    // Nothing is allowed where nothing is said.
    let mut form = Form::new("user/k");
    form.policy = Some(r#"{"expiration": "2013-05-25T00:00:00Z", "conditions": []}"#.into());
    refused(form.signed(), 403, "AccessDenied").await;
}

#[tokio::test]
async fn attack_17_a_form_the_policy_does_not_allow_is_refused() {
    let denied = [
        // Another prefix, and one that a file name brings.
        Form::new("other/k"),
        Form::new("${filename}"),
        // A field no condition names.
        Form::new("user/k").field("x-amz-meta-colour", "blue"),
        Form::new("user/k").field("Content-Type", "text/html"),
        Form::new("user/k").field("tagging", "<Tagging/>"),
        Form::new("user/k").field("x-amz-object-lock-event-hold", "ON"),
        Form::new("user/k").field("submit", "go"),
        // A field that is not what the condition says, or is not there.
        Form::new("user/k").condition(r#"["eq", "$acl", "private"]"#),
        Form::new("user/k")
            .condition(r#"["eq", "$acl", "private"]"#)
            .field("acl", "public-read"),
        Form::new("user/k")
            .condition(r#"["starts-with", "$Content-Type", "image/"]"#)
            .field("Content-Type", "image/png,text/html"),
        Form::new("user/k").condition(r#"{"bucket": "other"}"#),
    ];
    for form in denied {
        refused(form.signed(), 403, "AccessDenied").await;
    }
    let mut no_bucket = Form::new("user/k");
    no_bucket.conditions.remove(0);
    refused(no_bucket.signed(), 403, "AccessDenied").await;
    for (range, code) in [("1, 18", "EntityTooLarge"), ("20, 30", "EntityTooSmall")] {
        let text = format!("[\"content-length-range\", {range}]");
        refused(Form::new("user/k").condition(&text).signed(), 400, code).await;
        let large = Form::new("user/k").condition(&text).file(vec![7; 200_000]);
        refused(large.signed(), 400, "EntityTooLarge").await;
    }
    let world = World::with_bucket().await;
    let exact = Form::new("user/k").condition(r#"["content-length-range", 19, "19"]"#);
    world.send(exact.signed().call()).await.expect(204);
    let cased = Form::new("user/k").condition(r#"["StArTs-WiTh", "$ACL", ""]"#);
    world
        .send(cased.field("aCl", "private").signed().call())
        .await
        .expect(204);
}

#[tokio::test]
async fn a_form_without_a_good_signature_is_refused() {
    refused(Form::new("user/k"), 403, "AccessDenied").await;
    for name in [
        "policy",
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Signature",
    ] {
        let form = Form::new("user/k").signed().without(name);
        refused(form, 400, "InvalidArgument").await;
    }
    let mut wrong = Form::new("user/k");
    wrong.secret_key = "another".into();
    refused(wrong.signed(), 403, "SignatureDoesNotMatch").await;
    for (credential, code, status) in [
        (
            "nobody/20130524/us-east-1/s3/aws4_request",
            "InvalidAccessKeyId",
            403,
        ),
        (
            "AKIAIOSFODNN7EXAMPLE/20130524/eu-west-9/s3/aws4_request",
            "AuthorizationQueryParametersError",
            400,
        ),
        (
            "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/iam/aws4_request",
            "AuthorizationQueryParametersError",
            400,
        ),
        (
            "AKIAIOSFODNN7EXAMPLE/20130523/us-east-1/s3/aws4_request",
            "AuthorizationQueryParametersError",
            400,
        ),
        (
            "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3",
            "AuthorizationQueryParametersError",
            400,
        ),
    ] {
        let mut form = Form::new("user/k");
        form.credential = credential.into();
        refused(form.signed(), status, code).await;
    }
    let mut changed = Form::new("user/k").signed();
    let policy = changed
        .fields
        .iter_mut()
        .find(|(name, _)| name == "policy")
        .unwrap();
    policy.1 = policy.1.replacen('e', "f", 1);
    refused(changed, 403, "SignatureDoesNotMatch").await;
    let older = Form::new("user/k")
        .field("AWSAccessKeyId", "x")
        .field("signature", "y");
    refused(older, 400, "InvalidRequest").await;
    refused(
        Form::new("user/k")
            .signed()
            .field("x-amz-security-token", "t"),
        400,
        "InvalidToken",
    )
    .await;
}

#[tokio::test]
async fn what_a_form_asks_for_is_held_to_the_rules_of_a_put() {
    refused(
        Form::new("user/k").covered("acl", "public-read").signed(),
        400,
        "AccessControlListNotSupported",
    )
    .await;
    for (name, value) in [
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-object-lock-event-hold", "ON"),
        ("x-amz-storage-class", "GLACIER"),
    ] {
        refused(
            Form::new("user/k").covered(name, value).signed(),
            501,
            "NotImplemented",
        )
        .await;
    }
    let key = format!("user/{}", "k".repeat(1020));
    refused(Form::new(&key).signed(), 400, "KeyTooLongError").await;
    refused(
        Form::new("user/k")
            .condition(r#"["starts-with", "$x-amz-meta-a", ""]"#)
            .field("x-amz-meta-a", "a\r\nx-amz-meta-b: c")
            .signed(),
        400,
        "InvalidArgument",
    )
    .await;
}

#[tokio::test]
async fn attack_11_the_checksums_of_a_form_are_verified() {
    let world = World::with_bucket().await;
    let good = Form::new("user/k").covered("x-amz-checksum-crc32", &crc32(b"content of the file"));
    world.send(good.signed().call()).await.expect(204);
    let bad = Form::new("user/k").covered("x-amz-checksum-crc32", &crc32(b"other"));
    refused(bad.signed(), 400, "BadDigest").await;
    let bad = Form::new("user/k").covered("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==");
    refused(bad.signed(), 400, "BadDigest").await;
}

#[tokio::test]
async fn attack_6_a_header_beside_a_form_is_refused() {
    let world = World::with_bucket().await;
    let call = Form::new("user/k").signed().call();
    for name in [
        "x-amz-meta-a",
        "x-amz-tagging",
        "x-amz-content-sha256",
        "x-amz-acl",
    ] {
        let call = call.clone().header(name, "x");
        world.send(call).await.expect_error(403, "AccessDenied");
    }
    world
        .send(call.header("authorization", "AWS4-HMAC-SHA256 x"))
        .await
        .expect_error(400, "AuthorizationHeaderMalformed");
    world.expect_no_object("/bucket/user/k").await;
}

#[tokio::test]
async fn a_form_without_a_length_or_with_a_wrong_end_stores_nothing() {
    let world = World::with_bucket().await;
    let mut call = Form::new("user/k").signed().call();
    call.headers.remove("content-length");
    world
        .send(call)
        .await
        .expect_error(411, "MissingContentLength");
    for file in [20, 200_000] {
        let call = Form::new("user/k").file(vec![7; file]).signed().call();
        let cut = call
            .clone()
            .with_body_changed(|body| body.truncate(body.len() - 10));
        world
            .send(cut)
            .await
            .expect_error(400, "MalformedPOSTRequest");
        let more = call.with_body_changed(|body| body.extend_from_slice(b"more"));
        world
            .send(more)
            .await
            .expect_error(400, "MalformedPOSTRequest");
        world.expect_no_object("/bucket/user/k").await;
    }
}
