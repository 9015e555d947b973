//! Websites: a bucket as browsers see it, under a host name of its own.
//!
//! Nobody signs here, so what is served is what everyone may read. Until there are policies that is
//! nothing: every page answers 403, whether it exists or not, and only redirects that look at no
//! object work. The rest is ready for the day something is public: [`Site::may_read`] decides, in one
//! place.

use futures::TryStreamExt as _;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::StreamBody;
use strongroom_objects::config::{RedirectAll, RoutingRule, WebsiteConfig, WebsiteMode};
use strongroom_objects::{
    ByteStream, ETagMatch, Error, GetObject, GetObjectOutput, Objects, ReadConditions,
};
use strongroom_types::{BucketName, ObjectKey};

use crate::convert::{bucket_name, object_key};
use crate::error::{FrontError, Result, escaped};
use crate::response::{FrontBody, RequestIds, text_body};
use crate::target::{Target, percent_encode};
use crate::time_format::{http_date, parse_http_date};

/// Who may read an object without being known.
pub type MayRead = fn(&BucketName, &ObjectKey) -> bool;

/// Nobody, as long as there are no policies.
#[must_use]
pub const fn nobody(_bucket: &BucketName, _key: &ObjectKey) -> bool {
    false
}

/// A request for a page.
pub struct Site<'a> {
    /// Acting for nobody in particular: [`Self::may_read`] stands before it.
    pub objects: &'a Objects,
    pub may_read: MayRead,
    pub method: &'a Method,
    pub host: &'a str,
    pub target: &'a Target,
    /// The query as it was sent.
    pub query: Option<&'a str>,
    pub headers: &'a HeaderMap,
    pub ids: &'a RequestIds,
}

/// Why there is no page.
struct Refusal {
    error: FrontError,
    /// The key that was looked for.
    key: String,
}

impl Site<'_> {
    /// The page, a redirect, or an error as a page.
    pub async fn serve(&self) -> Response<FrontBody> {
        match self.answer().await {
            Ok(response) => response,
            Err(error) => self.page_of(&error, None),
        }
    }

    async fn answer(&self) -> Result<Response<FrontBody>> {
        let bucket = bucket_name(self.target.bucket.clone().unwrap_or_default())
            .map_err(|_| FrontError::from(Error::NoSuchBucket))?;
        let about = |error: Error| FrontError::from(error).about(Some(bucket.as_str()), None, None);
        let config = self.objects.bucket_config::<WebsiteConfig>(&bucket).await;
        let config = config.map_err(about)?;
        let (suffix, error_key, rules) = match &config.mode {
            WebsiteMode::RedirectAll(to) => return Ok(self.redirect_all(to)),
            WebsiteMode::Serve {
                index_suffix,
                error_key,
                rules,
            } => (index_suffix, error_key, rules),
        };
        if *self.method != Method::GET && *self.method != Method::HEAD {
            return Err(not_allowed(self.method));
        }
        let asked = self.target.key.as_deref().unwrap_or("");
        if let Some(rule) = rules.iter().find(|rule| rule.is_for(asked, None)) {
            return Ok(self.redirect(rule, asked));
        }
        let refusal = match self.page(&bucket, asked, suffix).await {
            Ok(response) => return Ok(response),
            Err(refusal) => refusal,
        };
        let status = refusal.error.status;
        let rule = rules
            .iter()
            .find(|rule| rule.is_for(asked, Some(status.as_u16())));
        if let Some(rule) = rule {
            return Ok(self.redirect(rule, asked));
        }
        let error = refusal.error.about(None, Some(&refusal.key), None);
        match error_key {
            Some(key) if status.is_client_error() => {
                Ok(self.error_document(&bucket, key, &error).await)
            }
            _ => Err(error),
        }
    }

    /// The object for the path, or its index document.
    async fn page(
        &self,
        bucket: &BucketName,
        asked: &str,
        suffix: &str,
    ) -> std::result::Result<Response<FrontBody>, Refusal> {
        let is_folder = asked.is_empty() || asked.ends_with('/');
        let key = if is_folder {
            format!("{asked}{suffix}")
        } else {
            asked.to_owned()
        };
        match self.read(bucket, &key, true).await {
            Ok(found) => Ok(self.object(StatusCode::OK, found)),
            Err(error) if error.code == "NoSuchKey" && !is_folder => {
                let index = format!("{asked}/{suffix}");
                match self.read(bucket, &index, false).await {
                    Ok(_) => {
                        let to = format!("/{}/", percent_encode(asked, true));
                        Ok(redirect_to(StatusCode::FOUND, &to))
                    }
                    Err(_) => Err(Refusal { error, key }),
                }
            }
            Err(error) => Err(Refusal { error, key }),
        }
    }

    /// Reads an object everyone may read. `asked_for` obeys the request's conditions.
    async fn read(
        &self,
        bucket: &BucketName,
        key: &str,
        asked_for: bool,
    ) -> Result<GetObjectOutput> {
        let key = object_key(key.to_owned())?;
        if !(self.may_read)(bucket, &key) {
            return Err(FrontError::denied("Access Denied"));
        }
        let mut request = GetObject::new(bucket.clone(), key);
        if asked_for {
            request.conditions = conditions(self.headers);
        }
        Ok(self.objects.get_object(request).await?)
    }

    fn object(&self, status: StatusCode, found: GetObjectOutput) -> Response<FrontBody> {
        let info = &found.head.info;
        if let Some(location) = &info.headers.website_redirect_location {
            return redirect_to(StatusCode::MOVED_PERMANENTLY, location);
        }
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        let kept = &info.headers;
        let kind = kept.content_type.as_deref();
        set(header::CONTENT_TYPE, kind.unwrap_or("binary/octet-stream"));
        for (name, value) in [
            (header::CONTENT_ENCODING, &kept.content_encoding),
            (header::CONTENT_LANGUAGE, &kept.content_language),
            (header::CONTENT_DISPOSITION, &kept.content_disposition),
            (header::CACHE_CONTROL, &kept.cache_control),
            (header::EXPIRES, &kept.expires),
        ] {
            if let Some(value) = value {
                set(name, value);
            }
        }
        set(header::ETAG, &info.etag.quoted());
        set(header::LAST_MODIFIED, &http_date(info.last_modified));
        set(header::CONTENT_LENGTH, &info.size.to_string());
        for (name, value) in &info.metadata {
            if let Ok(name) = HeaderName::try_from(format!("x-amz-meta-{name}")) {
                set(name, value);
            }
        }
        let body = if *self.method == Method::HEAD {
            text_body("")
        } else {
            content(found.content)
        };
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        *response.status_mut() = status;
        response
    }

    /// The document that explains errors, with the error's status.
    async fn error_document(
        &self,
        bucket: &BucketName,
        key: &str,
        error: &FrontError,
    ) -> Response<FrontBody> {
        match self.read(bucket, key, false).await {
            Ok(found) => self.object(error.status, found),
            Err(second) => {
                let second = second.about(None, Some(key), None);
                self.page_of(error, Some(&second))
            }
        }
    }

    fn redirect_all(&self, to: &RedirectAll) -> Response<FrontBody> {
        let path = percent_encode(self.target.key.as_deref().unwrap_or(""), true);
        let to = self.location(to.protocol.as_deref(), Some(&to.host), &path);
        redirect_to(StatusCode::MOVED_PERMANENTLY, &to)
    }

    fn redirect(&self, rule: &RoutingRule, asked: &str) -> Response<FrontBody> {
        let prefix = rule.key_prefix.as_deref().unwrap_or("");
        let key = match (&rule.replace_key, &rule.replace_prefix) {
            (Some(key), _) => key.clone(),
            (None, Some(with)) => {
                format!("{with}{}", asked.strip_prefix(prefix).unwrap_or(asked))
            }
            (None, None) => asked.to_owned(),
        };
        let path = percent_encode(&key, true);
        let code = rule.redirect_code.as_deref().and_then(|code| {
            let code: u16 = code.parse().ok()?;
            StatusCode::from_u16(code).ok()
        });
        let to = self.location(rule.protocol.as_deref(), rule.host.as_deref(), &path);
        redirect_to(code.unwrap_or(StatusCode::MOVED_PERMANENTLY), &to)
    }

    /// Where `path` is. What the configuration leaves open stays as it was in the request, which may
    /// have come through a proxy that speaks another protocol than we do.
    fn location(&self, protocol: Option<&str>, host: Option<&str>, path: &str) -> String {
        let query = self
            .query
            .map_or(String::new(), |query| format!("?{query}"));
        let place = format!("/{path}{query}");
        match (protocol, host) {
            (None, None) => place,
            (None, Some(host)) => format!("//{host}{place}"),
            (Some(protocol), host) => {
                format!("{protocol}://{}{place}", host.unwrap_or(self.host))
            }
        }
    }

    /// An error as browsers can show it.
    fn page_of(&self, error: &FrontError, second: Option<&FrontError>) -> Response<FrontBody> {
        let status = error.status;
        let title = format!(
            "{} {}",
            status.as_u16(),
            status.canonical_reason().unwrap_or("Error")
        );
        let mut page = format!(
            "<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<ul>\n{}",
            items(error)
        );
        for (name, value) in [
            ("RequestId", &self.ids.request_id),
            ("HostId", &self.ids.host_id),
        ] {
            page += &item(name, value);
        }
        page += "</ul>\n";
        if let Some(second) = second {
            page += "<h3>An Error Occurred While Attempting to Retrieve a Custom Error \
                     Document</h3>\n<ul>\n";
            page += &items(second);
            page += "</ul>\n";
        }
        page += "<hr/>\n</body>\n</html>\n";
        let body = if *self.method == Method::HEAD || !error.has_body() {
            String::new()
        } else {
            page
        };
        let mut response = Response::new(text_body(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.extend(error.headers.iter().cloned());
        if error.has_body() {
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            headers.insert(header::CONTENT_TYPE, html);
            for (name, value) in [
                ("x-amz-error-code", error.code.as_ref()),
                ("x-amz-error-message", error.message.as_str()),
            ] {
                if let Ok(value) = HeaderValue::from_str(value) {
                    headers.insert(name, value);
                }
            }
        }
        response
    }
}

/// The conditions browsers and caches send.
fn conditions(headers: &HeaderMap) -> ReadConditions {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let tags = |name: HeaderName| {
        let tags: Vec<String> = text(name)?
            .split(',')
            .map(|tag| tag.trim().trim_start_matches("W/").to_owned())
            .collect();
        Some(match tags.as_slice() {
            [any] if any == "*" => ETagMatch::Any,
            _ => ETagMatch::OneOf(tags),
        })
    };
    ReadConditions {
        if_match: tags(header::IF_MATCH),
        if_none_match: tags(header::IF_NONE_MATCH),
        if_modified_since: text(header::IF_MODIFIED_SINCE).and_then(parse_http_date),
        if_unmodified_since: text(header::IF_UNMODIFIED_SINCE).and_then(parse_http_date),
    }
}

fn content(content: ByteStream) -> FrontBody {
    let frames = content.map_ok(http_body::Frame::data).inspect_err(|error| {
        tracing::warn!(%error, "a page was cut short");
    });
    FrontBody::new(s3s::Body::http_body_unsync(StreamBody::new(frames)))
}

fn items(error: &FrontError) -> String {
    let mut text = item("Code", &error.code) + &item("Message", &error.message);
    for (name, value) in &error.fields {
        text += &item(name, value);
    }
    text
}

fn item(name: &str, value: &str) -> String {
    format!("<li>{name}: {}</li>\n", escaped(value))
}

fn not_allowed(method: &Method) -> FrontError {
    FrontError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
    )
    .with("Method", method.as_str())
    .with("ResourceType", "OBJECT")
}

fn redirect_to(status: StatusCode, location: &str) -> Response<FrontBody> {
    let mut response = Response::new(text_body(""));
    *response.status_mut() = status;
    if let Ok(value) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}
