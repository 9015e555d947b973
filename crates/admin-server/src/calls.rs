//! The administration calls over HTTP: everything below `/v1/`.
//!
//! Invariants
//! - Nothing below `/v1/` is answered without the root credentials, not even whether it exists.
//! - A call that changes something is not taken from a web page of another origin, whose browser
//!   would add the credentials by itself.
//! - Every answer that is no success has a code and a message, as JSON.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use strongroom_admin_api::{AdminApi, ApiError, Call, ErrorCode, Method, Routed, dispatch, route};
use strongroom_base::tasks;

/// Where the calls are.
pub(crate) const PREFIX: &str = "/v1/";
/// How long a call may take: its page is bounded, so a longer one waits for a disk.
const CALL_DEADLINE: Duration = Duration::from_secs(60);
/// How long `where` may take: it may read and check a part of 5 GiB on disks that are busy.
const WHERE_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Answers a request of the root account.
pub(crate) async fn answer(
    api: &dyn AdminApi,
    method: &str,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    let (call, parameters) = match route(method, uri.path(), uri.query().unwrap_or_default()) {
        Routed::Call(call, parameters) => (call, parameters),
        Routed::OtherMethods(methods) => return other_methods(&methods),
        Routed::Nowhere => {
            let message = "no call has this path: docs/openapi.json lists what there is";
            return error(&ApiError::new(ErrorCode::NoSuchCall, message));
        }
    };
    if call.method != Method::GET && is_from_elsewhere(headers) {
        let message = "a web page of another origin may not change anything here";
        return error(&ApiError::new(ErrorCode::Unauthorized, message));
    }
    match tasks::timeout(deadline(call), dispatch(api, call, &parameters)).await {
        Ok(Ok(body)) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Ok(Err(refused)) => error(&refused),
        Err(_) => {
            let message = "no answer in time: a disk or the index may hang";
            error(&ApiError::new(ErrorCode::Unavailable, message))
        }
    }
}

fn deadline(call: &Call) -> Duration {
    match call.name {
        "where_is" => WHERE_DEADLINE,
        _ => CALL_DEADLINE,
    }
}

fn other_methods(methods: &[&str]) -> Response {
    let methods = methods.join(", ");
    let message = format!("this path is for {methods}");
    let mut response = error(&ApiError::new(ErrorCode::MethodNotAllowed, message));
    if let Ok(allow) = HeaderValue::from_str(&methods) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// Whether a browser says that the request comes from a page that is not ours. Programs say nothing.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let site = headers.get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return true;
    }
    let own_host = text(header::HOST);
    headers.contains_key(header::ORIGIN)
        && text(header::ORIGIN)
            .and_then(|origin| origin.split_once("://"))
            .is_none_or(|(_, host)| Some(host) != own_host)
}

/// An answer that is no success.
pub(crate) fn error(error: &ApiError) -> Response {
    let status = StatusCode::from_u16(error.code.status()).expect("codes have valid statuses");
    let mut response = (status, axum::Json(error)).into_response();
    if error.code == ErrorCode::Unauthorized {
        let challenge = HeaderValue::from_static("Basic realm=\"strongroom\"");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}
