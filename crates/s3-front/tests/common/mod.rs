//! A front over stores in memory, and a signer that shares no code with the one under test.
#![allow(dead_code)]

pub mod subresources;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use strongroom_base::{Clock, ManualClock, SeededRandom, Timestamp};
use strongroom_blob::memory::MemoryBlobs;
use strongroom_meta::memory::MemoryMeta;
use strongroom_objects::{Objects, Settings};
use strongroom_s3_front::{
    BodyIdleMax, Credential, Credentials, FrontBody, FrontParts, FrontService, FrontSettings,
    Health, Observed, Observer, OperationName, SecretKey, SharedCredentials,
};
use strongroom_types::{Account, AccountId, CanonicalId, DisplayName};

pub const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
pub const OTHER_ACCESS_KEY: &str = "AKIAI44QH8DHBEXAMPLE";
pub const OTHER_SECRET_KEY: &str = "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY";
pub const OTHER_ACCOUNT_ID: &str = "444455556666";
pub const OTHER_OWNER_ID: &str = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be";
pub const HOST: &str = "s3.example.com";
/// 2013-05-24T00:00:00Z, the day of S3's published examples.
pub const NOW_SECONDS: u64 = 1_369_353_600;
pub const DATE: &str = "20130524T000000Z";

/// Root, and one account more.
pub fn two_accounts() -> Credentials {
    let mut credentials = Credentials::root(ACCESS_KEY, SECRET_KEY);
    let account = Account {
        id: AccountId::new(OTHER_ACCOUNT_ID).unwrap(),
        canonical_id: CanonicalId::new(OTHER_OWNER_ID).unwrap(),
        display_name: Some(DisplayName::new("Other & Co").unwrap()),
        email: None,
    };
    let credential = Credential {
        secret_key: SecretKey::new(OTHER_SECRET_KEY),
        account: Arc::new(account),
    };
    credentials.insert(OTHER_ACCESS_KEY, credential);
    credentials
}

pub struct World {
    pub service: FrontService,
    pub objects: Arc<Objects>,
    pub clock: Arc<ManualClock>,
    pub blobs: Arc<MemoryBlobs>,
    pub observed: Arc<Watcher>,
    pub credentials: Arc<SharedCredentials>,
}

#[derive(Default)]
pub struct Watcher(pub Mutex<Vec<Observed>>);

impl Observer for Watcher {
    fn observed(&self, request: Observed) {
        self.0.lock().unwrap().push(request);
    }
}

struct ReadOnly;

impl Health for ReadOnly {
    fn ready(&self) -> bool {
        true
    }
    fn ready_write(&self) -> bool {
        false
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub operation: &'static str,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The text of the first element with this name.
    pub fn element(&self, name: &str) -> Option<String> {
        let text = self.text();
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> Self {
        let found = self.element("Code");
        assert_eq!(
            (self.status.as_u16(), found.as_deref()),
            (status, Some(code)),
            "{}",
            self.text()
        );
        self
    }
}

impl World {
    pub fn new() -> Self {
        Self::with_domain(None)
    }

    pub fn with_domain(base_domain: Option<&str>) -> Self {
        Self::in_region("us-east-1", base_domain)
    }

    pub fn in_region(region: &str, base_domain: Option<&str>) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(NOW_SECONDS * 1_000_000_000)));
        let random = Arc::new(SeededRandom::new(1));
        let blobs = MemoryBlobs::new();
        let settings = Settings {
            part_size_bytes_min: 16,
        };
        let objects = Objects::new(
            MemoryMeta::new(Arc::clone(&clock) as Arc<dyn Clock>),
            Arc::clone(&blobs) as _,
            Arc::clone(&clock) as _,
            Arc::clone(&random) as _,
            settings,
        );
        let objects = Arc::new(objects);
        let observed = Arc::new(Watcher::default());
        let credentials = Arc::new(SharedCredentials::new(two_accounts()));
        let parts = FrontParts {
            objects: Arc::clone(&objects),
            credentials: Arc::clone(&credentials) as _,
            health: Arc::new(ReadOnly),
            observer: Arc::clone(&observed) as _,
            clock: Arc::clone(&clock) as _,
            random,
        };
        let settings = FrontSettings {
            region: region.to_owned(),
            base_domain: base_domain.map(str::to_owned),
            website_domain: Some("web.example.com".to_owned()),
        };
        Self {
            service: FrontService::new(settings, parts),
            objects,
            clock,
            blobs,
            observed,
            credentials,
        }
    }

    /// A world with the bucket `bucket`.
    pub async fn with_bucket() -> Self {
        let world = Self::new();
        world
            .send(Call::new("PUT", "/bucket").signed())
            .await
            .expect(200);
        world
    }

    pub async fn send(&self, call: Call) -> Answer {
        let pieces: Vec<_> = call
            .pieces
            .iter()
            .map(|piece| Ok::<_, std::io::Error>(http_body::Frame::data(piece.clone())))
            .chain(
                call.cut
                    .then(|| Err(std::io::Error::other("the connection was cut"))),
            )
            .collect();
        let body = StreamBody::new(stream::iter(pieces));
        read(self.service.answer(call.request(body)).await).await
    }

    /// Sends the head of `call` with another body.
    pub async fn send_body<B>(&self, call: Call, body: B, idle_max: Duration) -> Answer
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let mut request = call.request(body);
        request.extensions_mut().insert(BodyIdleMax(idle_max));
        read(self.service.answer(request).await).await
    }

    #[track_caller]
    pub fn assert_absent(&self, answer: &Answer) {
        assert_eq!(answer.status, 404, "{}", answer.text());
    }

    /// Fails when the object can be read.
    pub async fn expect_no_object(&self, path: &str) {
        let call = Call::new("GET", path).signed();
        self.send(call).await.expect_error(404, "NoSuchKey");
    }
}

async fn read(response: Response<FrontBody>) -> Answer {
    let operation = response.extensions().get::<OperationName>().unwrap().0;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status,
        headers: head.headers,
        body,
        operation,
    }
}

/// A request in the making.
#[derive(Clone)]
pub struct Call {
    pub method: Method,
    pub uri: String,
    pub headers: HeaderMap,
    pub pieces: Vec<Bytes>,
    /// Whether the connection breaks after the pieces.
    pub cut: bool,
    pub date: String,
    pub region: String,
    pub access_key: String,
    pub secret_key: String,
}

impl Call {
    pub fn new(method: &str, uri: &str) -> Self {
        let call = Self {
            method: method.parse().unwrap(),
            uri: uri.to_owned(),
            headers: HeaderMap::new(),
            pieces: Vec::new(),
            cut: false,
            date: DATE.to_owned(),
            region: "us-east-1".to_owned(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
        };
        call.header("host", HOST)
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    /// As the second account.
    pub fn by_other(mut self) -> Self {
        self.access_key = OTHER_ACCESS_KEY.to_owned();
        self.secret_key = OTHER_SECRET_KEY.to_owned();
        self
    }

    /// The body with its length, in pieces of a thousand bytes.
    pub fn body(self, body: impl AsRef<[u8]>) -> Self {
        let length = body.as_ref().len().to_string();
        self.raw_body(body).header("content-length", &length)
    }

    pub fn raw_body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.pieces = body
            .as_ref()
            .chunks(1000)
            .map(Bytes::copy_from_slice)
            .collect();
        self
    }

    /// The head as it travels.
    pub fn head(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.uri);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        text + "\r\n"
    }

    fn request<B>(&self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.parse().unwrap();
        *request.headers_mut() = self.headers.clone();
        request
    }

    fn content(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// Signs the body's hash.
    pub fn signed(self) -> Self {
        let hash = sha256(&self.content());
        self.signed_as(&hash)
    }

    /// Signs with this payload hash, whatever the body is.
    pub fn signed_as(self, payload: &str) -> Self {
        let date = self.date.clone();
        let call = self
            .header("x-amz-content-sha256", payload)
            .header("x-amz-date", &date);
        call.authorized(payload)
    }

    fn authorized(self, payload: &str) -> Self {
        let names = self.header_names();
        let signature = self.signature(&names, payload, &self.uri);
        let scope = self.scope();
        let access_key = self.access_key.clone();
        let text = format!(
            "AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={}, Signature={signature}",
            names.join(";")
        );
        self.header("authorization", &text)
    }

    /// Signs as a client does that sends `Date` and no `x-amz-date`; `value` says the same second.
    pub fn signed_with_date_header(self, value: &str) -> Self {
        let payload = sha256(&self.content());
        let call = self
            .header("x-amz-content-sha256", &payload)
            .header("date", value);
        call.authorized(&payload)
    }

    /// Presigns; headers that are set are signed.
    pub fn presigned(mut self, expires: &str) -> Self {
        let names = self.header_names();
        let credential = format!("{}/{}", self.access_key, self.scope()).replace('/', "%2F");
        let separator = if self.uri.contains('?') { '&' } else { '?' };
        let uri = format!(
            "{}{separator}X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}\
             &X-Amz-Date={}&X-Amz-Expires={expires}&X-Amz-SignedHeaders={}",
            self.uri,
            self.date,
            names.join("%3B")
        );
        let signature = self.signature(&names, "UNSIGNED-PAYLOAD", &uri);
        self.uri = format!("{uri}&X-Amz-Signature={signature}");
        self
    }

    pub fn signature_of_request(&self) -> String {
        let text = self.headers["authorization"].to_str().unwrap();
        text.rsplit_once('=').unwrap().1.to_owned()
    }

    fn header_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.headers.keys().map(|name| name.to_string()).collect();
        names.sort();
        names
    }

    fn scope(&self) -> String {
        format!("{}/{}/s3/aws4_request", &self.date[..8], self.region)
    }

    pub fn signing_key(&self) -> hmac::Key {
        let mut key = format!("AWS4{}", self.secret_key).into_bytes();
        for text in [&self.date[..8], &self.region, "s3", "aws4_request"] {
            key = hmac_of(&key, text.as_bytes());
        }
        hmac::Key::new(hmac::HMAC_SHA256, &key)
    }

    pub fn sign_text(&self, text: &str) -> String {
        hex::encode(hmac::sign(&self.signing_key(), text.as_bytes()))
    }

    fn signature(&self, names: &[String], payload: &str, uri: &str) -> String {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let mut pairs: Vec<String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                if pair.contains('=') {
                    pair.to_owned()
                } else {
                    format!("{pair}=")
                }
            })
            .collect();
        pairs.sort();
        let headers: String = names
            .iter()
            .map(|name| {
                let value = self.headers[name.as_str()].as_bytes();
                format!("{name}:{}\n", std::str::from_utf8(value).unwrap().trim())
            })
            .collect();
        let canonical = format!(
            "{}\n{path}\n{}\n{headers}\n{}\n{payload}",
            self.method,
            pairs.join("&"),
            names.join(";")
        );
        self.sign_text(&format!(
            "AWS4-HMAC-SHA256\n{}\n{}\n{}",
            self.date,
            self.scope(),
            sha256(canonical.as_bytes())
        ))
    }

    /// Puts `content` into chunks of these sizes, signed or not, with trailers, and signs all of it.
    pub fn chunked(
        self,
        content: &[u8],
        chunk_size: usize,
        trailers: &[(&str, &str)],
        signed: bool,
    ) -> Self {
        let payload = match (signed, trailers.is_empty()) {
            (true, true) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            (true, false) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            (false, _) => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        };
        let mut call = self
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", &content.len().to_string());
        if !trailers.is_empty() {
            let names: Vec<&str> = trailers.iter().map(|(name, _)| *name).collect();
            call = call.header("x-amz-trailer", &names.join(","));
        }
        let call = call.signed_as(payload);
        let body = call.chunks(content, chunk_size, trailers, signed);
        call.raw_body(body)
    }

    fn chunks(
        &self,
        content: &[u8],
        chunk_size: usize,
        trailers: &[(&str, &str)],
        signed: bool,
    ) -> Vec<u8> {
        let mut previous = self.signature_of_request();
        let mut body = Vec::new();
        for chunk in content.chunks(chunk_size).chain([&[][..]]) {
            body.extend_from_slice(format!("{:x}", chunk.len()).as_bytes());
            if signed {
                previous = self.sign_text(&format!(
                    "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{previous}\n{}\n{}",
                    self.date,
                    self.scope(),
                    sha256(b""),
                    sha256(chunk)
                ));
                body.extend_from_slice(format!(";chunk-signature={previous}").as_bytes());
            }
            body.extend_from_slice(b"\r\n");
            body.extend_from_slice(chunk);
            if !chunk.is_empty() {
                body.extend_from_slice(b"\r\n");
            }
        }
        let mut text = String::new();
        for (name, value) in trailers {
            text.push_str(&format!("{name}:{value}\n"));
            body.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
        }
        if signed && !trailers.is_empty() {
            let signature = self.sign_text(&format!(
                "AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{previous}\n{}",
                self.date,
                self.scope(),
                sha256(text.as_bytes())
            ));
            body.extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n").as_bytes());
        }
        body.extend_from_slice(b"\r\n");
        body
    }

    /// Changes the body after it was signed.
    pub fn with_body_changed(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut body = self.content();
        change(&mut body);
        self.pieces = vec![Bytes::from(body)];
        self
    }
}

pub fn hmac_of(key: &[u8], data: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, data).as_ref().to_vec()
}

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

pub fn crc32(bytes: &[u8]) -> String {
    use base64::Engine as _;
    let value = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes);
    base64::engine::general_purpose::STANDARD.encode(&value.to_be_bytes()[4..])
}
