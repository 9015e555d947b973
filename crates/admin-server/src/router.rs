//! The routes of the administration port.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::Registry;
use strongroom_base::tasks;

use crate::auth::RootCredentials;
use crate::health::{Health, health_answer};
use crate::metrics::{MetricSource, render};
use crate::status::StatusSource;

/// What the port shows, and to whom.
pub struct Admin {
    /// Answers the health routes.
    pub health: Arc<dyn Health>,
    /// Answers `/v1/status`.
    pub status: Arc<dyn StatusSource>,
    /// Metrics kept in Prometheus form: requests.
    pub registry: Registry,
    /// Metrics asked for at each read of the page: the engine's.
    pub metrics: Arc<dyn MetricSource>,
    /// Who may read status and metrics.
    pub root: RootCredentials,
    /// Whether `/metrics` is open to all.
    pub metrics_open: bool,
}

/// The routes. Anything else is 404.
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
        .route("/v1/status", get(status))
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

async fn status(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    if !is_root(&admin, &headers) {
        return unauthorized();
    }
    let status = tasks::blocking(move || admin.status.status()).await;
    axum::Json(status).into_response()
}

fn is_root(admin: &Admin, headers: &HeaderMap) -> bool {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    admin.root.accepts(given)
}

fn unauthorized() -> Response {
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"strongroom\"")];
    (
        StatusCode::UNAUTHORIZED,
        challenge,
        "this page needs the root credentials\n",
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::basic_authorization;
    use crate::metrics::{Sample, SampleKind};
    use crate::status::Status;
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    struct Fixture;

    impl Health for Fixture {
        fn readable(&self) -> Result<(), String> {
            Err("the store is being opened".to_owned())
        }
        fn writable(&self) -> Result<(), String> {
            Err("the store is being opened".to_owned())
        }
    }

    impl StatusSource for Fixture {
        fn status(&self) -> Status {
            Status {
                version: "1.2.3".to_owned(),
                ..Status::default()
            }
        }
    }

    impl MetricSource for Fixture {
        fn samples(&self) -> Vec<Sample> {
            let kind = SampleKind::Counter;
            let name = "strongroom_commits_total";
            vec![Sample {
                name,
                help: "Commits.",
                kind,
                labels: Vec::new(),
                value: 7.0,
            }]
        }
    }

    fn root() -> RootCredentials {
        RootCredentials {
            access_key: "root".to_owned(),
            secret_key: "0123456789".to_owned(),
        }
    }

    fn fixture(metrics_open: bool) -> Router {
        router(Admin {
            health: Arc::new(Fixture),
            status: Arc::new(Fixture),
            registry: Registry::new(),
            metrics: Arc::new(Fixture),
            root: root(),
            metrics_open,
        })
    }

    async fn call(router: Router, path: &str, authorization: Option<&str>) -> (u16, String) {
        let mut request = Request::get(path);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let response = router
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn status_and_metrics_are_refused_without_the_root_credentials() {
        let wrong = basic_authorization(&RootCredentials {
            secret_key: "012345678X".to_owned(),
            ..root()
        });
        for path in ["/metrics", "/v1/status"] {
            assert_eq!(call(fixture(false), path, None).await.0, 401, "{path}");
            assert_eq!(
                call(fixture(false), path, Some(&wrong)).await.0,
                401,
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn root_reads_status_and_metrics() {
        let header = basic_authorization(&root());
        let (status, page) = call(fixture(false), "/metrics", Some(&header)).await;
        assert_eq!(status, 200);
        assert!(page.contains("strongroom_commits_total 7"), "{page}");
        let (status, body) = call(fixture(false), "/v1/status", Some(&header)).await;
        assert_eq!(status, 200);
        let status: Status = serde_json::from_str(&body).unwrap();
        assert_eq!(status.version, "1.2.3");
    }

    #[tokio::test]
    async fn opening_metrics_opens_nothing_else() {
        assert_eq!(call(fixture(true), "/metrics", None).await.0, 200);
        assert_eq!(call(fixture(true), "/v1/status", None).await.0, 401);
    }

    #[tokio::test]
    async fn health_routes_are_open_and_answer_while_the_store_is_being_opened() {
        assert_eq!(call(fixture(false), "/healthz", None).await.0, 200);
        assert_eq!(
            call(fixture(false), "/minio/health/live", None).await.0,
            200
        );
        let (status, reason) = call(fixture(false), "/readyz", None).await;
        assert_eq!(
            (status, reason.as_str()),
            (503, "the store is being opened\n")
        );
        assert_eq!(call(fixture(false), "/readyz/write", None).await.0, 503);
        assert_eq!(
            call(fixture(false), "/minio/health/cluster", None).await.0,
            503
        );
        assert_eq!(call(fixture(false), "/elsewhere", None).await.0, 404);
    }
}
