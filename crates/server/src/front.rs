//! What stands before the S3 service on its port: health routes, request ids, spans, metrics, and an
//! answer while the store is not open yet.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use strongroom_admin_server::{Health, HealthAnswer, health_answer};
use strongroom_base::{Clock, Random};
use tracing::Instrument;

use crate::app::App;
use crate::http_port::Body;
use crate::request_metrics::RequestMetrics;

/// The header that carries the request id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// A request's id, drawn here and handed on as an extension of the request.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// An answer of the S3 service.
pub struct Answered {
    pub response: Response<Body>,
    /// Name of the operation, for the metrics: one of a fixed set.
    pub operation: &'static str,
}

/// A future of [`S3::call`].
pub type Answering = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// The S3 service behind this front.
pub trait S3: Send + Sync + 'static {
    /// Answers a request. Dropping the future abandons it.
    fn call(&self, request: Request<Incoming>) -> Answering;
}

/// The service of the S3 port. Cheap to clone: one clone for each connection.
#[derive(Clone)]
pub struct Front {
    app: Arc<App>,
    metrics: RequestMetrics,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Front {
    #[must_use]
    pub fn new(
        app: Arc<App>,
        metrics: RequestMetrics,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            app,
            metrics,
            clock,
            random,
        }
    }

    async fn answer(self, mut request: Request<Incoming>) -> Response<Body> {
        if let Some(answer) = health(&*self.app, request.method(), request.uri().path()) {
            return answer;
        }
        let id = format!("{:016X}", self.random.next_u64());
        request.extensions_mut().insert(RequestId(id.clone()));
        let span = tracing::info_span!(
            "request", request_id = %id, method = %request.method(), path = request.uri().path()
        );
        self.answer_s3(request, id).instrument(span).await
    }

    async fn answer_s3(self, request: Request<Incoming>, id: String) -> Response<Body> {
        let _in_progress = self.metrics.begin();
        let begun = self.clock.monotonic();
        let mut answered = match self.app.s3() {
            Some(s3) => s3.call(request).await,
            None => Answered {
                response: not_open_yet(&id),
                operation: "none",
            },
        };
        let headers = answered.response.headers_mut();
        if !headers.contains_key(&REQUEST_ID)
            && let Ok(value) = HeaderValue::from_str(&id)
        {
            headers.insert(REQUEST_ID, value);
        }
        let status = answered.response.status().as_u16();
        let took = self.clock.monotonic().saturating_sub(begun);
        self.metrics.answered(answered.operation, status, took);
        log_answer(answered.operation, status, took);
        answered.response
    }
}

impl hyper::service::Service<Request<Incoming>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let front = self.clone();
        Box::pin(async move { Ok(front.answer(request).await) })
    }
}

fn log_answer(operation: &str, status: u16, took: Duration) {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    // 501 and 503 are answers we mean to give; other failures of ours are odd.
    if matches!(status, 500 | 502 | 504..) {
        tracing::warn!(operation, status, millis, "request failed");
    } else {
        tracing::debug!(operation, status, millis, "request answered");
    }
}

fn health(health: &dyn Health, method: &Method, path: &str) -> Option<Response<Body>> {
    if method != Method::GET && method != Method::HEAD {
        return None;
    }
    let HealthAnswer { status, text } = health_answer(health, path)?;
    let body = if method == Method::HEAD {
        empty()
    } else {
        full(text)
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).expect("a health answer has a valid status code");
    Some(response)
}

fn not_open_yet(id: &str) -> Response<Body> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>ServiceUnavailable</Code>\
         <Message>the store is being opened, retry in a moment</Message>\
         <RequestId>{id}</RequestId></Error>"
    );
    Response::builder()
        .status(StatusCode::SERVICE_UNAVAILABLE)
        .header(http::header::CONTENT_TYPE, "application/xml")
        .header(http::header::RETRY_AFTER, "1")
        .body(full(text))
        .expect("constant headers are valid")
}

fn full(text: String) -> Body {
    Full::new(Bytes::from(text))
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}
