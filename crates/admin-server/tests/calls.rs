//! The administration port from outside, over stores in memory: who may call what, what the calls
//! answer, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use http_body_util::BodyExt;
use prometheus::Registry;
use serde_json::{Value, json};
use strongroom_admin_api::CALLS;
use strongroom_admin_server::{
    Admin, AdminService, DiskStatus, EngineStatus, Health, MetricSource, RepairStatus,
    RootCredentials, Sample, SampleKind, ScrubStatus, Status, StoreSource, Topology, UpkeepSource,
    ZoneStatus, basic_authorization, router,
};
use strongroom_base::{ManualClock, SeededRandom, Timestamp};
use strongroom_blob::memory::MemoryBlobs;
use strongroom_meta::memory::MemoryMeta;
use strongroom_objects::{
    Content, CreateBucket, CreateUpload, ObjectHeaders, Objects, PutObject, Settings, UploadPart,
    UserMetadata, WriteConditions,
};
use strongroom_types::{BucketName, ObjectKey, Owner, PartNumber, UploadId};
use tower::ServiceExt;

/// Scrub and repair that did nothing yet.
struct Workers;

impl UpkeepSource for Workers {
    fn repair(&self) -> RepairStatus {
        RepairStatus::default()
    }
    fn scrub(&self) -> ScrubStatus {
        ScrubStatus::default()
    }
    fn start_scrub(&self) {}
    fn set_repair_rate(&self, _: u64) {}
}

/// The process: open or not.
struct Process(Option<Objects>);

impl Health for Process {
    fn readable(&self) -> Result<(), String> {
        let opening = || "the store is being opened".to_owned();
        self.0.as_ref().map(|_| ()).ok_or_else(opening)
    }
    fn writable(&self) -> Result<(), String> {
        self.readable()
    }
}

impl StoreSource for Process {
    fn upkeep(&self) -> Option<Arc<dyn UpkeepSource>> {
        self.0.as_ref().map(|_| Arc::new(Workers) as _)
    }

    fn status(&self) -> Status {
        let disk = |free: Option<u64>| DiskStatus {
            folder: "/mnt/a".to_owned(),
            in_service: free.is_some(),
            bytes_free: free,
            bytes_total: free.map(|_| 100),
            ..DiskStatus::default()
        };
        let zone = ZoneStatus {
            name: "a".to_owned(),
            in_service: true,
            disks: vec![disk(Some(40)), disk(None)],
            ..ZoneStatus::default()
        };
        let store = EngineStatus {
            zones: vec![zone],
            ..EngineStatus::default()
        };
        Status {
            version: "1.2.3".to_owned(),
            store: self.0.as_ref().map(|_| store),
            ..Status::default()
        }
    }

    fn topology(&self) -> Option<Topology> {
        self.0.as_ref().map(|_| Topology::default())
    }

    fn objects(&self) -> Option<Objects> {
        self.0.clone()
    }
}

impl MetricSource for Process {
    fn samples(&self) -> Vec<Sample> {
        vec![Sample {
            name: "strongroom_commits_total",
            help: "Commits.",
            kind: SampleKind::Counter,
            labels: Vec::new(),
            value: 7.0,
        }]
    }
}

struct World {
    clock: Arc<ManualClock>,
    objects: Objects,
    router: Router,
}

fn credentials(access_key: &str, secret_key: &str) -> RootCredentials {
    RootCredentials {
        access_key: access_key.to_owned(),
        secret_key: secret_key.to_owned(),
    }
}

fn root() -> RootCredentials {
    credentials("root", "0123456789")
}

fn admin(process: Process, clock: Arc<ManualClock>, metrics_open: bool) -> Router {
    let process = Arc::new(process);
    router(Admin {
        health: Arc::clone(&process) as _,
        api: Arc::new(AdminService::new(Arc::clone(&process) as _, clock)),
        registry: Registry::new(),
        metrics: process,
        root: root(),
        metrics_open,
    })
}

fn bucket() -> BucketName {
    BucketName::new("bucket").unwrap()
}

fn content(size: usize) -> Content {
    let bytes = Bytes::from(vec![7; size]);
    Content::new(Box::pin(futures::stream::iter([Ok(bytes)])), size as u64)
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000_000_000)));
        let objects = Objects::new(
            MemoryMeta::new(clock.clone()),
            MemoryBlobs::new(),
            clock.clone(),
            Arc::new(SeededRandom::new(1)),
            Settings::default(),
        );
        let owner = Owner::new("owner").unwrap();
        let create = CreateBucket {
            lock_enabled: false,
            bucket: bucket(),
            owner,
            tags: Default::default(),
        };
        objects.create_bucket(create).await.unwrap();
        let router = admin(Process(Some(objects.clone())), clock.clone(), false);
        Self {
            clock,
            objects,
            router,
        }
    }

    async fn put(&self, key: &str, size: usize) {
        let put = PutObject {
            lock: Default::default(),
            bucket: bucket(),
            key: ObjectKey::new(key).unwrap(),
            content: content(size),
            headers: ObjectHeaders::default(),
            metadata: UserMetadata::default(),
            tags: Default::default(),
            conditions: WriteConditions::default(),
        };
        self.objects.put_object(put).await.unwrap();
    }

    async fn upload(&self, key: &str, size: usize) -> UploadId {
        let key = ObjectKey::new(key).unwrap();
        let create = CreateUpload {
            lock: Default::default(),
            bucket: bucket(),
            key: key.clone(),
            headers: ObjectHeaders::default(),
            metadata: UserMetadata::default(),
            tags: Default::default(),
            checksum_algorithm: None,
            checksum_type: None,
        };
        let upload_id = self.objects.create_upload(create).await.unwrap().upload_id;
        let part = UploadPart {
            bucket: bucket(),
            key,
            upload_id,
            part_number: PartNumber::new(1).unwrap(),
            content: content(size),
        };
        self.objects.upload_part(part).await.unwrap();
        upload_id
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call("GET", path).await;
        assert_eq!(status, 200, "{path} {answer}");
        answer
    }

    async fn call(&self, method: &str, path: &str) -> (u16, Value) {
        let (status, body, _) = send(&self.router, method, path, Some(&root()), &[]).await;
        (status, serde_json::from_str(&body).unwrap())
    }
}

async fn send(
    router: &Router,
    method: &str,
    path: &str,
    credentials: Option<&RootCredentials>,
    headers: &[(&str, &str)],
) -> (u16, String, HeaderMap) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(credentials) = credentials {
        request = request.header("authorization", basic_authorization(credentials));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let (head, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    (head.status.as_u16(), body, head.headers)
}

#[tokio::test]
async fn no_call_is_answered_without_the_root_credentials_not_even_one_that_is_none() {
    let world = World::new().await;
    let calls = CALLS.iter();
    let mut asked: Vec<(&str, String)> = calls
        .map(|call| (call.method.name(), call.path.replace(['{', '}'], "x")))
        .collect();
    for path in ["/metrics", "/v1/", "/v1/nowhere", "/v1/buckets/no/such"] {
        asked.push(("GET", path.to_owned()));
    }
    let strangers = [
        None,
        Some(credentials("root", "012345678X")),
        Some(credentials("root", "")),
        Some(credentials("nobody", "0123456789")),
        Some(credentials("", "")),
    ];
    let mut answers = Vec::new();
    for (method, path) in &asked {
        for stranger in &strangers {
            let answer = send(&world.router, method, path, stranger.as_ref(), &[]).await;
            assert_eq!(answer.0, 401, "{method} {path} {stranger:?}");
            assert!(answer.2.contains_key("www-authenticate"));
            answers.push(answer.1);
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "one answer for all: {answers:?}");
    assert!(answers[0].contains("\"code\":\"Unauthorized\""));
}

#[tokio::test]
async fn what_is_no_call_is_refused_with_a_code_and_a_message() {
    let world = World::new().await;
    for line in [
        "GET /v1/ 404 NoSuchCall",
        "GET /v1/nowhere 404 NoSuchCall",
        "GET /v2/status 404 NoSuchCall",
        "GET / 404 NoSuchCall",
        "POST /v1/status 405 MethodNotAllowed",
        "PATCH /v1/buckets/bucket 405 MethodNotAllowed",
        "GET /v1/status?x=1 400 InvalidArgument",
        "GET /v1/buckets?limit=0 400 InvalidArgument",
        "GET /v1/buckets?limit=1001 400 InvalidArgument",
        "GET /v1/buckets?limit=99999999999 400 InvalidArgument",
        "GET /v1/buckets?limit=1&limit=2 400 InvalidArgument",
        "GET /v1/buckets?after=UPPER 400 InvalidArgument",
        "GET /v1/buckets/B_D 400 InvalidArgument",
        "GET /v1/buckets/absent 404 NoSuchBucket",
        "GET /v1/buckets/absent/uploads 404 NoSuchBucket",
        "GET /v1/buckets/bucket/uploads?after=x 400 InvalidArgument",
        "GET /v1/buckets/bucket/uploads?bucket=other 400 InvalidArgument",
        "POST /v1/buckets/bucket/uploads/abort 400 InvalidArgument",
        "DELETE /v1/buckets/bucket/uploads/zz?key=k 400 InvalidArgument",
        "DELETE /v1/buckets/bucket/uploads/00000000000000000000000000000000?key=k 404 NoSuchUpload",
        "GET /v1/where?bucket=bucket 400 InvalidArgument",
        "GET /v1/where?bucket=bucket&key= 400 InvalidArgument",
        "GET /v1/where?bucket=bucket&key=absent 404 NoSuchKey",
        "GET /v1/where?bucket=absent&key=k 404 NoSuchBucket",
        "GET /v1/where?bucket=bucket&key=k&verify=yes 400 InvalidArgument",
        "GET /v1/where?bucket=bucket&key=k&verify=true&limit=2 400 InvalidArgument",
        "GET /v1/where?bucket=bucket&key=k&version_id=zz 400 InvalidArgument",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let (status, body) = world.call(words[0], words[1]).await;
        assert_eq!(status.to_string(), words[2], "{line}: {body}");
        assert_eq!(body["code"], words[3], "{line}: {body}");
        assert!(body["message"].as_str().unwrap().len() > 5, "{body}");
    }
    let (_, _, headers) = send(&world.router, "POST", "/v1/status", Some(&root()), &[]).await;
    assert_eq!(headers["allow"], "GET");
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_change_anything() {
    let world = World::new().await;
    world.upload("k", 10).await;
    let path = "/v1/buckets/bucket/uploads/abort?older_than_seconds=0";
    for header in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://elsewhere.example"),
        ("origin", "null"),
    ] {
        let headers = [("host", "127.0.0.1:9001"), header];
        let (status, _, _) = send(&world.router, "POST", path, Some(&root()), &headers).await;
        assert_eq!(status, 401, "{header:?}");
    }
    let page = world.get("/v1/buckets/bucket/uploads").await;
    assert_eq!(page["uploads"].as_array().unwrap().len(), 1);
    let own = [
        ("host", "127.0.0.1:9001"),
        ("origin", "http://127.0.0.1:9001"),
        ("sec-fetch-site", "same-origin"),
    ];
    let (status, body, _) = send(&world.router, "POST", path, Some(&root()), &own).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn health_status_and_metrics_answer_while_the_store_is_being_opened() {
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let router = admin(Process(None), clock, true);
    for (path, status) in [
        ("/healthz", 200),
        ("/minio/health/live", 200),
        ("/readyz", 503),
        ("/readyz/write", 503),
        ("/minio/health/cluster", 503),
        // Open by its setting, which opens nothing else.
        ("/metrics", 200),
        ("/v1/status", 401),
        ("/elsewhere", 404),
    ] {
        let answer = send(&router, "GET", path, None, &[]).await;
        assert_eq!(answer.0, status, "{path}");
    }
    let (_, page, _) = send(&router, "GET", "/metrics", None, &[]).await;
    assert!(page.contains("strongroom_commits_total 7"), "{page}");
    let (status, body, _) = send(&router, "GET", "/v1/status", Some(&root()), &[]).await;
    assert!(status == 200 && body.contains("1.2.3"), "{body}");
    for path in ["/v1/zones", "/v1/disks", "/v1/buckets", "/v1/buckets/b-1"] {
        let (status, body, _) = send(&router, "GET", path, Some(&root()), &[]).await;
        assert_eq!(status, 503, "{path}");
        assert!(body.contains("\"code\":\"Unavailable\""), "{body}");
    }
}

#[tokio::test]
async fn zones_add_up_the_disks_that_answer() {
    let world = World::new().await;
    let zones = world.get("/v1/zones").await;
    let expected = json!({"zones": [{
        "name": "a", "in_service": true, "disks": 2, "disks_in_service": 1,
        "bytes_free": 40, "bytes_total": 100, "draining": false,
    }]});
    assert_eq!(zones, expected);
    let disks = world.get("/v1/disks").await;
    assert_eq!(disks["disks"][1]["zone"], "a");
    assert_eq!(disks["disks"][1]["bytes_free"], Value::Null);
}

#[tokio::test]
async fn buckets_are_told_with_exact_counts() {
    let world = World::new().await;
    world.put("small", 30).await;
    world.put("large", 100_000).await;
    world.put("large", 50_000).await;
    world.upload("u", 10).await;
    let bucket = world.get("/v1/buckets/bucket").await;
    let expected = json!({
        "name": "bucket", "owner": "owner", "created": "2023-11-14T22:13:20Z",
        "objects": 2, "bytes": 50_030, "delete_markers": 0,
        "uploads": 1, "upload_parts": 1, "upload_bytes": 10,
    });
    assert_eq!(bucket, expected);
    let page = world.get("/v1/buckets?prefix=buck").await;
    assert_eq!(page, json!({"buckets": [expected]}));
    let page = world.get("/v1/buckets?prefix=other").await;
    assert_eq!(page, json!({"buckets": []}));
}

#[tokio::test]
async fn uploads_are_listed_page_by_page_and_aborted_by_id_and_by_age() {
    let world = World::new().await;
    // Keys that must survive the way through a query.
    world.upload("a b&c=d", 10).await;
    let middle = world.upload("m/%2F\u{e9}", 20).await;
    world.clock.advance(Duration::from_secs(3600));
    world.upload("z", 30).await;
    let first = world.get("/v1/buckets/bucket/uploads?limit=1").await;
    assert_eq!(first["uploads"][0]["key"], "a b&c=d");
    assert_eq!(first["uploads"][0]["age_seconds"], 3600);
    let next = first["next"].as_str().unwrap().bytes();
    let after: String = next.map(|byte| format!("%{byte:02X}")).collect();
    let rest = world
        .get(&format!("/v1/buckets/bucket/uploads?after={after}"))
        .await;
    let keys: Vec<&Value> = rest["uploads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| &u["key"])
        .collect();
    assert_eq!(keys, ["m/%2F\u{e9}", "z"]);
    let path = format!("/v1/buckets/bucket/uploads/{middle}?key=m%2F%252F%C3%A9");
    let (status, done) = world.call("DELETE", &path).await;
    assert_eq!(status, 200);
    assert_eq!(
        done,
        json!({"examined": 1, "aborted": 1, "parts": 1, "bytes": 20})
    );
    assert_eq!(world.call("DELETE", &path).await.0, 404);
    let path = "/v1/buckets/bucket/uploads/abort?older_than_seconds=1800";
    let (_, done) = world.call("POST", path).await;
    assert_eq!(
        done,
        json!({"examined": 2, "aborted": 1, "parts": 1, "bytes": 10})
    );
    let left = world.get("/v1/buckets/bucket/uploads").await;
    assert_eq!(left["uploads"].as_array().unwrap().len(), 1);
    assert_eq!(left["uploads"][0]["key"], "z");
}

#[tokio::test]
async fn where_tells_of_the_log_and_of_shards() {
    let world = World::new().await;
    world.put("small", 30).await;
    world.put("large", 100_000).await;
    let found = world.get("/v1/where?bucket=bucket&key=small").await;
    assert_eq!(found["parts"][0]["stored"], "log");
    let found = world
        .get("/v1/where?bucket=bucket&key=large&verify=true")
        .await;
    assert_eq!(found["parts"][0]["stored"], "shards");
    assert_eq!(found["parts"][0]["bytes"], 100_000);
    let shard = &found["parts"][0]["runs"][0]["shards"][0];
    assert_eq!(shard["state"], "verified");
    assert_eq!(shard["role"], "data");
}
