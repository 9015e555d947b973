//! What stands before the S3 service on its port: health routes, the refusal of what is no proper
//! request, and an answer while the store is not open yet.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use strongroom_admin_server::{Health, HealthAnswer, health_answer};
use strongroom_base::Random;
use strongroom_s3_front::{BodyIdleMax, Encrypted, RequestIds};

use crate::access_log::AccessLog;
use crate::app::App;
use crate::http_port::{Body, Peer, Refusal};
use crate::refusal::{not_open_yet, refused};
use crate::request_metrics::RequestMetrics;

/// A future of [`S3::call`].
pub type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// The S3 service behind this front. It draws request ids and observes what it answers.
pub trait S3: Send + Sync + 'static {
    /// Answers a request. Dropping the future abandons it.
    fn call(&self, request: Request<Incoming>) -> Answering;
}

/// The service of the S3 port. Cheap to clone: one clone for each connection.
#[derive(Clone)]
pub struct Front {
    app: Arc<App>,
    metrics: RequestMetrics,
    random: Arc<dyn Random>,
    access_log: Option<Arc<AccessLog>>,
    body_idle_max: BodyIdleMax,
}

impl Front {
    #[must_use]
    pub fn new(
        app: Arc<App>,
        metrics: RequestMetrics,
        random: Arc<dyn Random>,
        access_log: Option<Arc<AccessLog>>,
        body_idle_max: Duration,
    ) -> Self {
        Self {
            app,
            metrics,
            random,
            access_log,
            body_idle_max: BodyIdleMax(body_idle_max),
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        let pending = self.access_log.as_ref().map(|log| log.begin(&request));
        let answer = self.answer_unlogged(request).await;
        match pending {
            Some(pending) => pending.answered(answer),
            None => answer,
        }
    }

    async fn answer_unlogged(self, mut request: Request<Incoming>) -> Response<Body> {
        let ids = RequestIds::new(self.random.next_16());
        if let Some(refusal) = request.extensions().get::<Refusal>() {
            let peer = request.extensions().get::<Peer>();
            let address = peer.map(|peer| peer.address);
            let tls = peer.and_then(|peer| peer.tls.as_ref().map(|tls| tls.version));
            tracing::debug!(
                reason = refusal.reason(),
                ?address,
                ?tls,
                "no proper request"
            );
            return refused(*refusal, &ids);
        }
        if let Some(answer) = health(&*self.app, request.method(), request.uri().path()) {
            return answer;
        }
        let _in_progress = self.metrics.begin();
        request.extensions_mut().insert(self.body_idle_max);
        let peer = request.extensions().get::<Peer>();
        if peer.is_some_and(|peer| peer.tls.is_some()) {
            request.extensions_mut().insert(Encrypted);
        }
        match self.app.s3() {
            Some(s3) => s3.call(request).await,
            None => not_open_yet(&ids),
        }
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

fn full(text: String) -> Body {
    Full::new(Bytes::from(text))
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}
