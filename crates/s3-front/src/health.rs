//! Health, answered before authentication: whoever balances load has no keys.

use http::{HeaderValue, Method, Response, StatusCode, header};

use crate::response::{FrontBody, text_body};
use crate::target::Target;

/// What the server knows about itself.
pub trait Health: Send + Sync + 'static {
    /// Whether reads are served.
    fn ready(&self) -> bool;
    /// Whether writes are accepted.
    fn ready_write(&self) -> bool;
}

/// The answer, when the request asks for health.
#[must_use]
pub fn answer(
    method: &Method,
    target: &Target,
    health: &dyn Health,
) -> Option<Response<FrontBody>> {
    if target.virtual_hosted || !(method == Method::GET || method == Method::HEAD) {
        return None;
    }
    let well = match target.path.as_str() {
        "/healthz" | "/minio/health/live" => true,
        "/readyz" | "/minio/health/ready" => health.ready(),
        "/readyz/write" | "/minio/health/cluster" => health.ready_write(),
        _ => return None,
    };
    let (status, text) = if well {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable\n")
    };
    let mut response = Response::new(text_body(if method == Method::HEAD { "" } else { text }));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    Some(response)
}
