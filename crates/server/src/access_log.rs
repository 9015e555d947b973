//! The access log: a line for every request of the S3 port that is not about its health.
//!
//! A record is begun when a request comes and handed over when its answer's body is dropped, which
//! is when it was sent or its client is gone. So each request has one line, however it ends.

mod line;
mod writer;

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName};
use http::{Request, Response, Version};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Bytes;
use prometheus::{IntCounter, Registry};
use strongroom_base::{Clock, tasks};
use strongroom_s3_front::{AccessNotes, OperationName};
use tokio::sync::watch;

use crate::http_port::{Body, BoxError, Peer, Refusal};
use line::{AuthType, Record};
use writer::{LogCounters, LogTarget, Writer};

/// Longest target that is logged: the longest key, encoded, with a presigned query.
const TARGET_SIZE_BYTES_MAX: usize = 8 * 1024;
/// Longest of the other texts a client sends.
const TEXT_SIZE_BYTES_MAX: usize = 1024;

/// The log.
pub struct AccessLog {
    writer: Writer,
    clock: Arc<dyn Clock>,
}

impl AccessLog {
    /// Opens the log in the file `path`, or on standard output when that is `-`.
    ///
    /// # Errors
    /// Why it cannot be written, as a sentence.
    pub fn open(
        path: &Path,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Arc<Self>, String> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("a constant metric name is valid");
            registry
                .register(Box::new(counter.clone()))
                .expect("each metric is registered once");
            counter
        };
        let counters = LogCounters {
            written: counter(
                "strongroom_access_log_lines_total",
                "Lines written to the access log.",
            ),
            dropped: counter(
                "strongroom_access_log_dropped_total",
                "Lines of the access log that were lost: too many waited, or a write failed.",
            ),
        };
        let writer = Writer::start(LogTarget::named(path), counters).map_err(|error| {
            format!(
                "cannot write the access log {}: {error}; set access_log to a file that can be \
                 written",
                path.display()
            )
        })?;
        Ok(Arc::new(Self { writer, clock }))
    }

    /// Opens the file anew. May wait for the disk.
    pub fn reopen(&self) {
        self.writer.reopen();
    }

    /// Waits, within bounds, until everything is written.
    pub fn close(&self) {
        self.writer.close();
    }

    /// Begins the record of a request.
    #[must_use]
    pub fn begin<B>(self: &Arc<Self>, request: &Request<B>) -> Pending {
        let peer = request.extensions().get::<Peer>();
        let mut record = Record {
            time: self.clock.now(),
            remote: peer.map(|peer| peer.address.ip()),
            tls: peer.and_then(|peer| peer.tls.clone()),
            ..Record::default()
        };
        if request.extensions().get::<Refusal>().is_none() {
            describe(&mut record, request);
        }
        Pending {
            log: Arc::clone(self),
            started: self.clock.monotonic(),
            record: Some(Box::new(record)),
        }
    }
}

/// Opens the file anew whenever `hang_up` changes. Runs until the sender of `hang_up` is gone.
pub async fn reopen_for_ever(log: Arc<AccessLog>, mut hang_up: watch::Receiver<u64>) {
    while hang_up.changed().await.is_ok() {
        let log = Arc::clone(&log);
        tasks::blocking(move || log.reopen()).await;
    }
}

fn describe<B>(record: &mut Record, request: &Request<B>) {
    let headers = request.headers();
    let target = request
        .uri()
        .path_and_query()
        .map_or("", |text| text.as_str());
    request.method().as_str().clone_into(&mut record.method);
    record.target = cut(target.as_bytes(), TARGET_SIZE_BYTES_MAX);
    record.protocol = match request.version() {
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    record.host = text_of(headers, &header::HOST);
    record.referer = text_of(headers, &header::REFERER);
    record.user_agent = text_of(headers, &header::USER_AGENT);
    record.auth = if headers.contains_key(header::AUTHORIZATION) {
        Some(AuthType::Header)
    } else {
        target
            .contains("X-Amz-Algorithm=")
            .then_some(AuthType::Query)
    };
    let decoded = HeaderName::from_static("x-amz-decoded-content-length");
    record.object_size =
        number_of(headers, &decoded).or_else(|| number_of(headers, &header::CONTENT_LENGTH));
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> String {
    let value = headers.get(name).map_or(&b""[..], |value| value.as_bytes());
    cut(value, TEXT_SIZE_BYTES_MAX)
}

fn number_of(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

fn cut(bytes: &[u8], size_max: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(size_max)]).into_owned()
}

/// A record whose request goes on. Handed over when dropped.
pub struct Pending {
    log: Arc<AccessLog>,
    started: Duration,
    record: Option<Box<Record>>,
}

impl Pending {
    /// Completes the record from the answer, whose body carries it on.
    #[must_use]
    pub fn answered(mut self, response: Response<Body>) -> Response<Body> {
        let operation = response.extensions().get::<OperationName>();
        let operation = operation.map(|operation| operation.0);
        let headers = response.headers();
        let request_id = text_of(headers, &HeaderName::from_static("x-amz-request-id"));
        if operation == Some("Health") || request_id.is_empty() {
            self.record = None;
            return response;
        }
        let took = self.took();
        if let Some(record) = &mut self.record {
            record.status = Some(response.status().as_u16());
            record.request_id = request_id;
            record.host_id = text_of(headers, &HeaderName::from_static("x-amz-id-2"));
            record.version_id = text_of(headers, &HeaderName::from_static("x-amz-version-id"));
            record.notes = response
                .extensions()
                .get::<AccessNotes>()
                .cloned()
                .unwrap_or_default();
            record.object_size = object_size(operation, headers, record.object_size);
            record.operation = operation;
            record.turn_around_millis = Some(took);
        }
        response.map(|body| {
            let pending = self;
            LoggedBody { body, pending }.boxed_unsync()
        })
    }

    fn took(&self) -> u64 {
        let took = self.log.clock.monotonic().saturating_sub(self.started);
        u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The size of the object an operation is about: what was sent of it, or all of what was read in part.
fn object_size(operation: Option<&str>, answer: &HeaderMap, sent: Option<u64>) -> Option<u64> {
    match operation? {
        "PutObject" | "UploadPart" => sent,
        "GetObject" | "HeadObject" => {
            let range = answer.get(header::CONTENT_RANGE);
            let range = range.and_then(|value| value.to_str().ok());
            let whole = range.and_then(|text| text.rsplit('/').next()?.parse().ok());
            whole.or_else(|| number_of(answer, &header::CONTENT_LENGTH))
        }
        _ => None,
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let took = self.took();
        if let Some(mut record) = self.record.take() {
            record.total_millis = took;
            self.log.writer.write(record);
        }
    }
}

/// The body of an answer that is logged when it ends.
struct LoggedBody {
    body: Body,
    pending: Pending,
}

impl http_body::Body for LoggedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let (Some(Ok(frame)), Some(record)) = (&frame, &mut self.pending.record) {
            record.bytes_sent += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
