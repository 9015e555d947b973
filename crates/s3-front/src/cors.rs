//! What browsers ask: preflights, and the headers that let a page read an answer.
//!
//! A preflight carries no signature, because browsers send none; it is answered from the rules of the
//! bucket alone, and tells nothing else. On any other request with an `Origin` the rules decide what
//! the answer says besides, also when it is an error, or a page could not read the reason. They never
//! decide who may do what.

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode, request};
use strongroom_objects::config::{CorsConfig, CorsRule};
use strongroom_objects::{Error, Objects};

use crate::convert::bucket_name;
use crate::error::{FrontError, Result};
use crate::response::{FrontBody, text_body};
use crate::target::Target;

/// Most names of `Access-Control-Request-Headers` that are looked at: no request has more headers.
const REQUEST_HEADERS_MAX: usize = 100;

/// What a page asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    origin: String,
    /// Of the request that a preflight announces, or of the request itself.
    method: String,
    headers: Vec<String>,
}

impl Asked {
    /// What a request asks for, if it comes from a page of another origin.
    #[must_use]
    pub fn of(head: &request::Parts) -> Option<Self> {
        let announced = text(&head.headers, "access-control-request-method");
        Some(Self {
            origin: text(&head.headers, "origin")?.to_owned(),
            method: announced.unwrap_or(head.method.as_str()).to_owned(),
            headers: requested_headers(&head.headers),
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().ok()?;
    (!text.is_empty()).then_some(text)
}

fn requested_headers(headers: &HeaderMap) -> Vec<String> {
    text(headers, "access-control-request-headers")
        .unwrap_or("")
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .take(REQUEST_HEADERS_MAX + 1)
        .collect()
}

async fn rules(objects: &Objects, target: &Target) -> Result<Option<CorsConfig>> {
    let bucket = bucket_name(target.bucket.clone().unwrap_or_default())?;
    match objects.bucket_config::<CorsConfig>(&bucket).await {
        Ok(config) => Ok(Some(config)),
        Err(Error::NoSuchConfiguration { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Answers a preflight; `objects` acts for nobody in particular.
///
/// # Errors
/// `BadRequest` when it is none, `AccessForbidden` when no rule is for it.
pub async fn preflight(
    objects: &Objects,
    target: &Target,
    headers: &HeaderMap,
    asked: Option<&Asked>,
) -> Result<Response<FrontBody>> {
    let bad = |message: &str| FrontError::bad_request("BadRequest", message);
    let Some(asked) = asked else {
        return Err(bad(
            "Insufficient information. Origin request header needed.",
        ));
    };
    if text(headers, "access-control-request-method").is_none() {
        return Err(bad("Invalid Access-Control-Request-Method: null"));
    }
    let config = match rules(objects, target).await {
        Ok(config) => config,
        Err(error) if error.status.is_client_error() => {
            let message = "CORSResponse: Bucket not found";
            return Err(forbidden(asked, "BUCKET", message));
        }
        Err(error) => return Err(error),
    };
    let Some(config) = config else {
        let message = "CORSResponse: CORS is not enabled for this bucket.";
        return Err(forbidden(asked, "BUCKET", message));
    };
    let Some(rule) = rule_for(&config, asked) else {
        return Err(forbidden(asked, "OBJECT", NOT_ALLOWED));
    };
    let mut response = Response::new(text_body(""));
    *response.status_mut() = StatusCode::OK;
    allow(asked, rule, response.headers_mut());
    Ok(response)
}

const NOT_ALLOWED: &str = "CORSResponse: This CORS request is not allowed. This is usually because \
    the evalution of Origin, request method / Access-Control-Request-Method or \
    Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.";

fn forbidden(asked: &Asked, resource: &str, message: &str) -> FrontError {
    FrontError::forbidden("AccessForbidden", message)
        .with("Method", asked.method.as_str())
        .with("ResourceType", resource)
}

fn rule_for<'a>(config: &'a CorsConfig, asked: &Asked) -> Option<&'a CorsRule> {
    if asked.headers.len() > REQUEST_HEADERS_MAX {
        return None;
    }
    config.rule_for(&asked.origin, &asked.method, &asked.headers)
}

/// Says on the answer to any other request what a page may read of it.
pub async fn annotate(objects: &Objects, target: &Target, asked: &Asked, headers: &mut HeaderMap) {
    if target.bucket.is_none() {
        return;
    }
    let config = match rules(objects, target).await {
        Ok(Some(config)) => config,
        Ok(None) => return,
        Err(error) => {
            tracing::debug!(code = %error.code, "no CORS rules could be read for an answer");
            return;
        }
    };
    match rule_for(&config, asked) {
        Some(rule) => allow(asked, rule, headers),
        // Still another answer than to a page that is allowed.
        None => _ = headers.insert(header::VARY, HeaderValue::from_static(VARY)),
    }
}

/// What an answer depends on.
const VARY: &str = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";

fn allow(asked: &Asked, rule: &CorsRule, headers: &mut HeaderMap) {
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    if rule.allows_any_origin() {
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    } else {
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, &asked.origin);
        set(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
    let methods = rule.allowed_methods.join(", ");
    set(header::ACCESS_CONTROL_ALLOW_METHODS, &methods);
    if !asked.headers.is_empty() {
        let names = asked.headers.join(", ");
        set(header::ACCESS_CONTROL_ALLOW_HEADERS, &names);
    }
    if !rule.expose_headers.is_empty() {
        let names = rule.expose_headers.join(", ");
        set(header::ACCESS_CONTROL_EXPOSE_HEADERS, &names);
    }
    if let Some(seconds) = rule.max_age_seconds {
        set(header::ACCESS_CONTROL_MAX_AGE, &seconds.to_string());
    }
    set(header::VARY, VARY);
}
