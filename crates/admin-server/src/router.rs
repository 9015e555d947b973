//! The routes of the administration port: health and metrics here, the calls in `calls.rs`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::Registry;
use strongroom_admin_api::{AdminApi, ApiError, ErrorCode};
use strongroom_base::tasks;

use crate::auth::RootCredentials;
use crate::calls;
use crate::health::{Health, health_answer};
use crate::metrics::{MetricSource, render};

/// What the port shows, and to whom.
pub struct Admin {
    /// Answers the health routes.
    pub health: Arc<dyn Health>,
    /// Answers the calls below `/v1/`.
    pub api: Arc<dyn AdminApi>,
    /// Metrics kept in Prometheus form: requests.
    pub registry: Registry,
    /// Metrics asked for at each read of the page: the engine's.
    pub metrics: Arc<dyn MetricSource>,
    /// Who may read status and metrics.
    pub root: RootCredentials,
    /// Whether `/metrics` is open to all.
    pub metrics_open: bool,
}

/// The routes. Anything else is 404, and below `/v1/` 401 for whoever is not root.
pub fn router(admin: Admin) -> Router {
    let mut router = Router::new();
    for path in [
        "/healthz",
        "/readyz",
        "/readyz/write",
        "/minio/health/live",
        "/minio/health/ready",
        "/minio/health/cluster",
    ] {
        router = router.route(path, get(health));
    }
    router
        .route("/metrics", get(metrics))
        .fallback(other)
        .with_state(Arc::new(admin))
}

async fn health(State(admin): State<Arc<Admin>>, uri: Uri) -> Response {
    match health_answer(admin.health.as_ref(), uri.path()) {
        Some(answer) => {
            let status = StatusCode::from_u16(answer.status)
                .expect("a health answer has a valid status code");
            (status, answer.text).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn metrics(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    if !admin.metrics_open && !is_root(&admin, &headers) {
        return unauthorized();
    }
    let page = tasks::blocking(move || render(&admin.registry, admin.metrics.samples())).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page).into_response()
}

/// Everything that has no route of its own: the calls, and what is not there.
async fn other(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    if !uri.path().starts_with(calls::PREFIX) {
        let message = "nothing is here: health, /metrics, and the calls below /v1/";
        return calls::error(&ApiError::new(ErrorCode::NoSuchCall, message));
    }
    if !is_root(&admin, headers) {
        return unauthorized();
    }
    calls::answer(&*admin.api, method.as_str(), uri, headers).await
}

fn is_root(admin: &Admin, headers: &HeaderMap) -> bool {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    admin.root.accepts(given)
}

fn unauthorized() -> Response {
    let message = "this needs the root credentials, as HTTP basic authentication";
    calls::error(&ApiError::new(ErrorCode::Unauthorized, message))
}
