//! A front over stores in memory, and requests that are signed before they are counted.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use strongroom_base::{Clock, ManualClock, Random, SeededRandom, Timestamp};
use strongroom_blob::memory::MemoryBlobs;
use strongroom_load::bodies::Bodies;
use strongroom_load::sign::{EMPTY, Head, Signer, Signing, escape};
use strongroom_meta::memory::MemoryMeta;
use strongroom_objects::{Objects, Settings, Versioning};
use strongroom_s3_front::{
    Credentials, FrontParts, FrontService, FrontSettings, Health, NoObserver, SharedCredentials,
};
use strongroom_types::BucketName;
use tokio::runtime::Runtime;

const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const HOST: &str = "127.0.0.1:9000";
/// The day of S3's published examples.
const NOW: Timestamp = Timestamp(1_369_353_600 * 1_000_000_000);
const SEED: u64 = 1;

/// A front, and who signs for it.
pub struct World {
    objects: Arc<Objects>,
    service: FrontService,
    runtime: Runtime,
    signing: Signing,
}

/// A request that is ready, and what its answer must be.
pub struct Call {
    method: Method,
    uri: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    status: u16,
    answer_size_min: usize,
}

struct Ready;

impl Health for Ready {
    fn ready(&self) -> bool {
        true
    }

    fn ready_write(&self) -> bool {
        true
    }
}

impl World {
    /// A front with one bucket.
    pub fn new() -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW));
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(SEED));
        let objects = Objects::new(
            MemoryMeta::new(Arc::clone(&clock)),
            MemoryBlobs::new(),
            Arc::clone(&clock),
            Arc::clone(&random),
            Settings::default(),
        );
        let objects = Arc::new(objects);
        let credentials = SharedCredentials::new(Credentials::root(ACCESS_KEY, SECRET_KEY));
        let parts = FrontParts {
            objects: Arc::clone(&objects),
            credentials: Arc::new(credentials),
            health: Arc::new(Ready),
            observer: Arc::new(NoObserver),
            clock,
            random,
        };
        let settings = FrontSettings {
            region: "us-east-1".to_owned(),
            base_domain: None,
            website_domain: None,
        };
        let signer = Signer {
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            region: "us-east-1".to_owned(),
        };
        let mut world = Self {
            objects,
            service: FrontService::new(settings, parts),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            signing: signer.at(NOW, HOST),
        };
        let bucket = world.call("PUT", "/bucket", "", Bytes::new(), EMPTY, 200);
        world.exchange(&bucket)?;
        Ok(world)
    }

    /// From here on the bucket keeps versions.
    pub fn keep_versions(&mut self) -> Result<()> {
        let bucket = BucketName::new("bucket".to_owned())?;
        let done = self
            .objects
            .put_bucket_versioning(&bucket, Versioning::Enabled);
        Ok(self.runtime.block_on(done)?)
    }

    pub fn put(&self, number: usize, size: usize) -> Call {
        let bodies = Bodies::new(size, SEED + number as u64);
        let body = bodies.body(0);
        let bytes = Bytes::from([body.piece, body.tail()].concat());
        let hash = body.sha256();
        let hash = std::str::from_utf8(&hash).expect("digits are text");
        self.call("PUT", &path(number), "", bytes, hash, 200)
    }

    pub fn get(&self, number: usize, size: usize) -> Call {
        let call = self.call("GET", &path(number), "", Bytes::new(), EMPTY, 200);
        Call {
            answer_size_min: size,
            ..call
        }
    }

    pub fn head(&self, number: usize) -> Call {
        self.call("HEAD", &path(number), "", Bytes::new(), EMPTY, 200)
    }

    pub fn delete(&self, number: usize) -> Call {
        self.call("DELETE", &path(number), "", Bytes::new(), EMPTY, 204)
    }

    /// A page of `keys` keys that begins behind the object with this number.
    pub fn list(&self, number: usize, keys: usize) -> Call {
        let after = escape(&key(number));
        let query = format!("list-type=2&max-keys={keys}&start-after={after}");
        let call = self.call("GET", "/bucket", &query, Bytes::new(), EMPTY, 200);
        Call {
            // A key with its date, ETag and size has more bytes than that.
            answer_size_min: keys * 100,
            ..call
        }
    }

    fn call(
        &self,
        method: &str,
        path: &str,
        query: &str,
        body: Bytes,
        payload: &str,
        status: u16,
    ) -> Call {
        let head = Head {
            method,
            path,
            query,
            payload,
            size: body.len(),
        };
        let mut text = String::new();
        self.signing.write(head, &mut text);
        let headers = text.lines().skip(1).filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.to_owned()))
        });
        let question = if query.is_empty() { "" } else { "?" };
        Call {
            method: method.parse().expect("a method of HTTP"),
            uri: format!("{path}{question}{query}"),
            headers: headers.collect(),
            body,
            status,
            answer_size_min: 0,
        }
    }

    /// Sends a request and reads its answer.
    pub fn exchange(&mut self, call: &Call) -> Result<()> {
        let mut request = Request::builder().method(&call.method).uri(&call.uri);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(call.body.clone()))?;
        self.runtime.block_on(async {
            let answer = self.service.answer(request).await;
            let status = answer.status().as_u16();
            let Ok(body) = answer.into_body().collect().await else {
                bail!("{} {}: the answer breaks off", call.method, call.uri);
            };
            let body = body.to_bytes();
            ensure!(
                status == call.status && body.len() >= call.answer_size_min,
                "{} {} is answered {status} with {} bytes: {}",
                call.method,
                call.uri,
                body.len(),
                String::from_utf8_lossy(&body[..body.len().min(500)]),
            );
            Ok(())
        })
    }
}

fn key(number: usize) -> String {
    format!("o/{number:012}")
}

fn path(number: usize) -> String {
    format!("/bucket/{}", key(number))
}
