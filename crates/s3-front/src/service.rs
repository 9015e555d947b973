//! The service a server mounts on its S3 port: from an HTTP request to an HTTP answer.
//!
//! The order matters. Health is open; then the request line is decoded, the signature checked, what
//! we do not do refused, the body brought under its limits; only then `s3s` turns the request into
//! an operation's input. What `s3s` gets has no signature any more, is in path style, and is written
//! anew from what was verified: there is nothing left for it to read differently.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, request};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use s3s::service::{S3Service, S3ServiceBuilder};
use strongroom_base::{Clock, Random};
use strongroom_objects::Objects;
use tracing::Instrument as _;

use crate::access;
use crate::acl;
use crate::admission::{Admission, AdmissionLimits};
use crate::auth::credentials::CredentialSource;
use crate::auth::key_cache::KeyCache;
use crate::auth::{Authenticator, Presented};
use crate::body::shared::{BODY_IDLE_MAX, SharedBody};
use crate::body::{BodyPlan, Failure, RawBody};
use crate::config;
use crate::context::{ContextRef, KEPT_FROM_S3S, RequestContext, StreamedBody};
use crate::cors;
use crate::digests;
use crate::error::{FrontError, MALFORMED_XML, Result};
use crate::form;
use crate::front::S3Front;
use crate::headers;
use crate::health::{self, Health};
use crate::noted::Noted;
use crate::observe::{Observer, Report};
use crate::ops::overrides;
use crate::ops::post_object::{FormUpload, is_form_upload};
use crate::parameters;
use crate::response::{FrontBody, RequestIds, error_response};
use crate::route::{self, Operation};
use crate::second_factor::Encrypted;
use crate::target::{Target, bucket_of_host};
use crate::website::{self, Site};
use crate::xml;
use crate::xml_answer;

/// What an operator may choose.
#[derive(Clone, Debug)]
pub struct FrontSettings {
    /// The region requests must be signed for.
    pub region: String,
    /// The domain below which host names are buckets; path style only when none.
    pub base_domain: Option<String>,
    /// The domain below which host names are buckets served as websites; no websites when none.
    pub website_domain: Option<String>,
}

/// What the service is made of.
#[derive(Clone)]
pub struct FrontParts {
    pub objects: Arc<Objects>,
    pub credentials: Arc<dyn CredentialSource>,
    pub health: Arc<dyn Health>,
    pub observer: Arc<dyn Observer>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
}

/// A request id drawn by whoever stands before the service: as an extension of the request it takes
/// the place of one drawn here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

/// How long this request's body may send nothing, as an extension of the request set by whoever
/// stands before the service; [`BODY_IDLE_MAX`] without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyIdleMax(pub Duration);

/// An extension of every answer: S3's name of the operation, `Health`, or `Unknown` when the request
/// was refused before that was known; `Preflight` and `Website` for what browsers ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationName(pub &'static str);

const UNKNOWN: &str = "Unknown";
/// Names of what is no operation of S3.
const PREFLIGHT: &str = "Preflight";
const WEBSITE: &str = "Website";

/// S3 over HTTP. Cheap to clone: one clone for each connection.
#[derive(Clone)]
pub struct FrontService {
    inner: Arc<Inner>,
}

struct Inner {
    settings: FrontSettings,
    parts: FrontParts,
    front: S3Front,
    s3: S3Service,
    keys: KeyCache,
    admission: Arc<Admission>,
}

/// A request on its way.
struct InProgress {
    operation: &'static str,
    context: Option<ContextRef>,
    target: Option<Target>,
    ids: RequestIds,
    noted: Noted,
}

impl FrontService {
    /// The service over `parts`, which takes as many requests as come.
    #[must_use]
    pub fn new(settings: FrontSettings, parts: FrontParts) -> Self {
        Self::with_admission(settings, parts, Admission::new(AdmissionLimits::NONE))
    }

    /// The service over `parts`, which takes as many requests as `admission` lets in.
    #[must_use]
    pub fn with_admission(
        settings: FrontSettings,
        parts: FrontParts,
        admission: Arc<Admission>,
    ) -> Self {
        let front = S3Front::new(
            Arc::clone(&parts.objects),
            settings.region.clone(),
            Arc::clone(&parts.clock),
        );
        let s3 = S3ServiceBuilder::new(front.clone()).build();
        Self {
            inner: Arc::new(Inner {
                settings,
                parts,
                front,
                s3,
                keys: KeyCache::default(),
                admission,
            }),
        }
    }

    /// Answers one request. Never fails: what goes wrong is an answer.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<FrontBody>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let parts = &self.inner.parts;
        let started = parts.clock.monotonic();
        let mut ids = RequestIds::new(parts.random.next_16());
        if let Some(RequestId(id)) = request.extensions().get() {
            ids.request_id.clone_from(id);
        }
        let span = tracing::info_span!(
            "request",
            request_id = %ids.request_id,
            operation = tracing::field::Empty,
            bucket = tracing::field::Empty,
            status = tracing::field::Empty,
        );
        let (head, body) = request.into_parts();
        let body = SharedBody::new(body, body_idle_max(&head));
        let waits_for_continue = expects_continue(&head.headers);
        let mut progress = InProgress {
            operation: UNKNOWN,
            context: None,
            target: None,
            ids: ids.clone(),
            noted: Noted::default(),
        };
        let asked = cors::Asked::of(&head);
        let method = head.method.clone();
        let path = head.uri.path().to_owned();
        let work = self
            .inner
            .handle(head, body.reader(), &mut progress)
            .instrument(span.clone());
        let mut error_code = None;
        let mut response = match Box::pin(work).await {
            Ok(response) => response,
            Err(error) => {
                if let Some(name) = progress.noted.operation.get() {
                    progress.operation = name;
                    span.record("operation", name);
                }
                let error = self.explained(error, &mut progress, &method);
                error_code = Some(error.code.to_string());
                error_response(&error, &method, &path, &ids)
            }
        };
        if !body.see_off(waits_for_continue).await {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        if let (Some(asked), Some(target)) = (&asked, &progress.target)
            && progress.operation != PREFLIGHT
        {
            cors::annotate(&parts.objects, target, asked, response.headers_mut()).await;
        }
        ids.put_on(response.headers_mut());
        response
            .extensions_mut()
            .insert(OperationName(progress.operation));
        let noted = progress.noted;
        let notes = noted.for_access_log(progress.target, error_code);
        response.extensions_mut().insert(notes);
        let status = response.status();
        span.record("status", status.as_u16());
        response.body_mut().set_report(Report {
            observer: Arc::clone(&parts.observer),
            clock: Arc::clone(&parts.clock),
            started,
            operation: progress.operation,
            status,
            received: noted.received,
            sent_bytes: 0,
            _admitted: noted.admitted.into_inner(),
        });
        response
    }

    /// What the client is told of an error, with what is known of its request.
    fn explained(
        &self,
        error: FrontError,
        progress: &mut InProgress,
        method: &Method,
    ) -> FrontError {
        // What was refused needs no place to be seen off.
        progress.noted.admitted.take();
        let target = progress.target.as_ref();
        let bucket = target.and_then(|target| target.bucket.as_deref());
        let key = target.and_then(|target| target.key.as_deref());
        let version = target.and_then(|target| target.parameter("versionId"));
        let headers = progress.context.as_ref().map(|context| &context.headers);
        let error = error
            .about(bucket, key, version)
            .about_request(target, headers);
        with_region(error, method, target, &self.inner.settings.region)
    }
}

impl hyper::service::Service<Request<Incoming>> for FrontService {
    type Response = Response<FrontBody>;
    type Error = Infallible;
    type Future =
        Pin<Box<dyn Future<Output = std::result::Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}

impl Inner {
    async fn handle(
        &self,
        head: request::Parts,
        raw: RawBody,
        progress: &mut InProgress,
    ) -> Result<Response<FrontBody>> {
        if head.extensions.get::<Encrypted>().is_some() {
            let _ = progress.noted.encrypted.set(());
        }
        let host = host_of(&head)?;
        if let Some(response) = self.website(&head, &host, progress).await? {
            return Ok(response);
        }
        let base_domain = self.settings.base_domain.as_deref();
        let bucket = base_domain.and_then(|domain| bucket_of_host(&host, domain));
        let target = Target::parse(&head.uri, bucket)?;
        if let Some(response) = health::answer(&head.method, &target, &*self.parts.health) {
            progress.operation = "Health";
            return Ok(response);
        }
        let target = &*progress.target.insert(target);
        if is_form_upload(&head.method, target, &head.headers) {
            progress.operation = Operation::PostObject.name();
            let upload = self.form_upload(&head, target, &host, &progress.noted);
            return Box::pin(upload.answer(raw)).await;
        }
        if let Some(bucket) = &target.bucket {
            tracing::Span::current().record("bucket", bucket.as_str());
        }
        if head.method == Method::OPTIONS {
            progress.operation = PREFLIGHT;
            let asked = cors::Asked::of(&head);
            return cors::preflight(&self.parts.objects, target, &head.headers, asked.as_ref())
                .await;
        }
        let (operation, context, body) = self
            .admit(
                &head.method,
                target,
                head.headers,
                &host,
                raw,
                &progress.noted,
            )
            .await
            .inspect_err(|error| tracing::debug!(code = %error.code, "request refused"))?;
        progress.operation = operation.name();
        tracing::Span::current().record("operation", operation.name());
        progress.context = Some(Arc::clone(&context));
        self.run(&head.method, target, operation, &context, body)
            .await
    }

    /// Runs an operation that was admitted.
    async fn run(
        &self,
        method: &Method,
        target: &Target,
        operation: Operation,
        context: &ContextRef,
        body: s3s::Body,
    ) -> Result<Response<FrontBody>> {
        let call = config::Call {
            front: &self.front.acting_for(&context.caller),
            context,
            target,
            operation,
        };
        if let Some(answer) = config::answer(&call).await {
            return answer;
        }
        let overrides = overrides::of_query(&target.query)?;
        let request = s3s_request(method, target, operation, context, body)?;
        let response = self.s3.call(request).await.map_err(|error| {
            tracing::error!(?error, "the operation gave no answer");
            FrontError::internal()
        })?;
        let answer = finish(response, operation, context).await;
        let mut response = answer.map_err(|error| acl::name_malformed(operation, error))?;
        response.headers_mut().extend(overrides);
        Ok(response)
    }

    /// Serves the page, when the host name is a website's.
    async fn website(
        &self,
        head: &request::Parts,
        host: &str,
        progress: &mut InProgress,
    ) -> Result<Option<Response<FrontBody>>> {
        let domain = self.settings.website_domain.as_deref();
        let Some(bucket) = domain.and_then(|domain| bucket_of_host(host, domain)) else {
            return Ok(None);
        };
        progress.operation = WEBSITE;
        let target = &*progress
            .target
            .insert(Target::parse(&head.uri, Some(bucket))?);
        let site = Site {
            objects: &self.parts.objects,
            may_read: website::nobody,
            method: &head.method,
            host,
            target,
            query: head.uri.query(),
            headers: &head.headers,
            ids: &progress.ids,
        };
        Ok(Some(site.serve().await))
    }

    fn form_upload<'a>(
        &'a self,
        head: &'a request::Parts,
        target: &'a Target,
        host: &'a str,
        noted: &'a Noted,
    ) -> FormUpload<'a> {
        FormUpload {
            authenticator: self.authenticator(),
            objects: &self.parts.objects,
            target,
            headers: &head.headers,
            host,
            admission: &self.admission,
            noted,
        }
    }

    fn authenticator(&self) -> Authenticator<'_> {
        Authenticator {
            region: &self.settings.region,
            credentials: &*self.parts.credentials,
            keys: &self.keys,
            now: self.parts.clock.now(),
        }
    }

    /// Authenticates the request, refuses what we do not do, and prepares the body.
    async fn admit(
        &self,
        method: &Method,
        target: &Target,
        mut headers: HeaderMap,
        host: &str,
        raw: RawBody,
        noted: &Noted,
    ) -> Result<(Operation, ContextRef, s3s::Body)> {
        let authenticated = self.authenticator().verify(&Presented {
            method,
            target,
            headers: &headers,
            host,
        })?;
        let _ = noted.requester.set(authenticated.caller.owner());
        headers::take_from_query(target, &mut headers)?;
        headers::refuse_unknown(&headers)?;
        refuse_forms(method, &headers)?;
        let operation = route::resolve(method, target, &headers)?;
        let _ = noted.operation.set(operation.name());
        headers::refuse_misplaced(operation, &headers)?;
        parameters::check(target, &headers)?;
        parameters::refuse_conditions(operation, method, &headers)?;
        let admitted = self.admission.enter(operation, method, &headers).await?;
        let _ = noted.admitted.set(admitted);
        let caller = authenticated.caller;
        let objects = self.parts.objects.acting_for(caller.owner());
        access::check(&objects, &caller, operation, target, &headers).await?;
        acl::check_headers(operation, &headers, &caller.owner())?;
        let plan = if operation == Operation::CompleteMultipartUpload {
            // Its checksum headers are about the object and not about the list of its parts.
            BodyPlan::new(
                &digests::without_checksums(&headers),
                &authenticated.payload,
            )?
        } else {
            BodyPlan::new(&headers, &authenticated.payload)?
        };
        if operation.streams_body() {
            let failure = Failure::default();
            let (mut stream, trailer) =
                plan.clone()
                    .stream(raw, failure.clone(), noted.received.clone());
            if plan.size == 0
                && let Some(Err(error)) = stream.next().await
            {
                // Whoever wants no bytes might never ask whether the body ended well.
                return Err(error);
            }
            let body = StreamedBody {
                plan,
                failure,
                trailer: Mutex::new(trailer),
            };
            // The context keeps the reason; the error in the stream only says that there is one.
            let frames = stream
                .map_ok(http_body::Frame::data)
                .map_err(|error| std::io::Error::other(error.message));
            let context = RequestContext::new(caller, headers, Some(body));
            let body = s3s::Body::http_body_unsync(StreamBody::new(frames));
            return Ok((operation, Arc::new(context), body));
        }
        let content = plan.read_whole(raw, noted.received.clone()).await?;
        xml::refuse_doctype(&content)?;
        let mut context = RequestContext::new(caller, headers, None);
        context.encrypted = noted.encrypted.get().is_some();
        context.content = content.clone();
        Ok((operation, Arc::new(context), s3s::Body::from(content)))
    }
}

/// A form that is no upload to a bucket, or was signed in another way, is nothing we know; `s3s` would
/// take its fields for a signature.
fn refuse_forms(method: &Method, headers: &HeaderMap) -> Result<()> {
    if method == Method::POST && form::boundary(headers).is_some() {
        return Err(FrontError::not_implemented("multipart/form-data"));
    }
    Ok(())
}

/// SDKs look for a bucket's region with HeadBucket, also where they may not read it (BK08). There is
/// one region here, which a wrong signature is told as well.
fn with_region(
    error: FrontError,
    method: &Method,
    target: Option<&Target>,
    region: &str,
) -> FrontError {
    let names_bucket = target.is_some_and(|target| target.bucket.is_some() && target.key.is_none());
    if method == Method::HEAD && names_bucket && error.status == StatusCode::FORBIDDEN {
        return error.with_header("x-amz-bucket-region", region);
    }
    error
}

fn body_idle_max(head: &request::Parts) -> Duration {
    let max = head.extensions.get::<BodyIdleMax>();
    max.map_or(BODY_IDLE_MAX, |max| max.0)
}

/// Whether the client sends its body only once it is told to go on, or has an answer.
fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn host_of(head: &request::Parts) -> Result<String> {
    let mut values = head.headers.get_all(header::HOST).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(FrontError::invalid_request(
            "the Host header is given twice",
        ));
    }
    let host = match first {
        Some(value) => value.to_str().ok(),
        None => head.uri.authority().map(http::uri::Authority::as_str),
    };
    host.map(str::to_owned)
        .ok_or_else(|| FrontError::invalid_request("a Host header is required"))
}

/// The request as `s3s` shall see it.
fn s3s_request(
    method: &Method,
    target: &Target,
    operation: Operation,
    context: &ContextRef,
    body: s3s::Body,
) -> Result<s3s::HttpRequest> {
    let uri = target.rewritten(|name| operation.takes(name) && !name.starts_with("response-"));
    let mut request = Request::new(body);
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri.parse().map_err(|_| FrontError::invalid_uri())?;
    *request.headers_mut() = s3s_headers(context, &request);
    request.extensions_mut().insert(Arc::clone(context));
    Ok(request)
}

fn s3s_headers(context: &RequestContext, request: &Request<s3s::Body>) -> HeaderMap {
    let mut headers = context.headers.clone();
    let signature = [
        "authorization",
        "x-amz-date",
        "x-amz-content-sha256",
        "x-amz-decoded-content-length",
        "transfer-encoding",
    ];
    for name in KEPT_FROM_S3S.iter().chain(&signature) {
        headers.remove(*name);
    }
    if headers.contains_key(COPY_SOURCE) {
        headers.insert(COPY_SOURCE, HeaderValue::from_static("read/elsewhere"));
    }
    let size = match &context.body {
        Some(body) => body.plan.size,
        None => http_body::Body::size_hint(request.body())
            .exact()
            .unwrap_or(0),
    };
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    headers
}

/// Read by the operations themselves; `s3s` only needs to see that there is one.
const COPY_SOURCE: &str = "x-amz-copy-source";
/// Longest error document of `s3s` that is read for its code and message.
const ERROR_DOCUMENT_SIZE_BYTES_MAX: usize = 64 * 1024;

/// Turns the answer of `s3s` into ours: errors get the reason that was kept for them.
async fn finish(
    response: s3s::HttpResponse,
    operation: Operation,
    context: &RequestContext,
) -> Result<Response<FrontBody>> {
    if let Some(error) = context.take_error() {
        return Err(error);
    }
    let (mut head, body) = response.into_parts();
    if !(head.status.is_client_error() || head.status.is_server_error()) {
        if head.headers.contains_key(header::CONTENT_RANGE) {
            // `s3s` says so of GetObject but not of HeadObject.
            head.status = StatusCode::PARTIAL_CONTENT;
        }
        let document = body
            .bytes()
            .filter(|document| operation != Operation::GetObject && !document.is_empty());
        let body = match document {
            Some(document) => {
                head.headers.remove(header::CONTENT_LENGTH);
                xml_answer::as_s3_has_it(operation, document).into()
            }
            None => body,
        };
        return Ok(Response::from_parts(head, FrontBody::new(body)));
    }
    // Refused by `s3s` itself, while it read the input.
    let limited = http_body_util::Limited::new(body, ERROR_DOCUMENT_SIZE_BYTES_MAX);
    let document = limited
        .collect()
        .await
        .map_err(|_| FrontError::internal())?
        .to_bytes();
    let text = String::from_utf8_lossy(&document);
    let code = element(&text, "Code").unwrap_or("InternalError").to_owned();
    let message = element(&text, "Message").map_or_else(
        || match code.as_str() {
            "MalformedXML" => MALFORMED_XML.to_owned(),
            "MissingRequestBodyError" => "request body is empty".to_owned(),
            _ => "the request could not be read".to_owned(),
        },
        |message| {
            message
                .replace("&quot;", "\"")
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&amp;", "&")
        },
    );
    tracing::debug!(%code, "the request could not be read");
    let mut error = FrontError::new(head.status, "", message);
    error.code = code.into();
    Err(error)
}

fn element<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}
