//! No route goes without authentication (attacks 1 and 7): every operation, and every combination of
//! method, path and parameter we know a name for, so that a new route cannot be forgotten.

mod common;

use common::{Answer, Call, World};
use strongroom_s3_front::route::Operation;

const METHODS: [&str; 8] = [
    "GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "TRACE", "REPORT",
];
const PATHS: [&str; 6] = [
    "/",
    "/bucket",
    "/bucket/",
    "/bucket/key",
    "/bucket/a/b",
    "//bucket/key",
];
/// Parameters that no operation of ours takes, but some of another store or another year.
const STRANGE: [&str; 16] = [
    "renameObject",
    "append",
    "select",
    "restore",
    "torrent",
    "retention",
    "legal-hold",
    "session",
    "metadataTable",
    "intelligent-tiering",
    "policyStatus",
    "replication-metrics",
    "events",
    "lambdaArn",
    "x-id",
    "unknown",
];

async fn state(world: &World) -> Vec<String> {
    let mut shown = Vec::new();
    for uri in ["/", "/bucket?list-type=2", "/bucket?uploads", "/bucket/key"] {
        let answer = world.send(Call::new("GET", uri).signed()).await.expect(200);
        shown.push(answer.text());
    }
    shown
}

/// Every request of the combinations, not signed.
fn calls() -> Vec<Call> {
    let mut parameters: Vec<&str> = STRANGE.to_vec();
    for operation in Operation::ALL {
        parameters.extend(operation.parameters());
    }
    parameters.sort_unstable();
    parameters.dedup();
    let queries = parameters.iter().map(|name| format!("?{name}=1"));
    let queries: Vec<String> = queries.chain([String::new()]).collect();
    let mut calls = Vec::new();
    for method in METHODS {
        for path in PATHS {
            for query in &queries {
                calls.push(Call::new(method, &format!("{path}{query}")));
            }
        }
    }
    calls
}

#[track_caller]
fn refused(answer: &Answer, call: &Call, codes: &[&str]) {
    let (method, uri) = (&call.method, &call.uri);
    assert_eq!(answer.status, 403, "{method} {uri}: {}", answer.text());
    assert_eq!(
        answer.operation, "Unknown",
        "{method} {uri} got as far as its operation"
    );
    if *method != "HEAD" {
        let code = answer.element("Code").unwrap();
        assert!(codes.contains(&code.as_str()), "{method} {uri}: {code}");
    }
}

#[tokio::test]
async fn no_route_can_skip_authentication() {
    let world = World::with_bucket().await;
    world
        .send(Call::new("PUT", "/bucket/key").body("kept").signed())
        .await
        .expect(200);
    let before = state(&world).await;
    let calls = calls();
    let chunks = "1\r\nx\r\n0\r\nx-amz-checksum-crc32:jNAwYw==\r\n\r\n";
    for call in &calls {
        let answer = world.send(call.clone()).await;
        refused(&answer, call, &["AccessDenied"]);
        let mut wrong = call.clone();
        wrong.secret_key = "wrong".to_owned();
        let answer = world.send(wrong.clone().signed()).await;
        refused(&answer, call, &["SignatureDoesNotMatch"]);
        let answer = world.send(wrong.clone().presigned("60")).await;
        refused(&answer, call, &["SignatureDoesNotMatch"]);
        // Forged streaming payloads: signed wrongly, and not signed at all.
        for payload in [
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        ] {
            let forged = wrong
                .clone()
                .header("content-encoding", "aws-chunked")
                .header("x-amz-decoded-content-length", "1")
                .header("x-amz-trailer", "x-amz-checksum-crc32")
                .body(chunks);
            let answer = world.send(forged.clone().signed_as(payload)).await;
            refused(&answer, call, &["SignatureDoesNotMatch"]);
            let answer = world
                .send(forged.header("x-amz-content-sha256", payload))
                .await;
            refused(&answer, call, &["AccessDenied"]);
        }
    }
    assert_eq!(state(&world).await, before, "something was changed");
    println!(
        "{} routes, each refused to seven kinds of strangers",
        calls.len()
    );
}
