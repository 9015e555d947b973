//! PostObject: an upload by HTML form (the browser's way to put an object).
//!
//! `s3s` holds a form in memory and believes its fields, so this operation does without it: the form
//! is read by [`crate::form`], its signature by our own authentication, and what its fields ask for is
//! then held to the same rules as the headers of a PutObject.
//!
//! Invariants
//! - Nothing is stored before signature, policy and size were checked, and nothing is visible before
//!   the form ended as it must.
//! - No header of the request itself has any effect but those that describe the body.

use std::sync::{Arc, Mutex};

use futures::TryStreamExt as _;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::StreamBody;
use s3s::dto::StreamingBlob;
use strongroom_objects::{Objects, PutObject, PutObjectOutput, Tags};

use crate::admission::Admission;
use crate::auth::credentials::Caller;
use crate::auth::form::FORM_AUTH_FIELDS;
use crate::auth::{Authenticator, Payload, not_signed};
use crate::body::{BodyPlan, Failure, RawBody, number};
use crate::config::tags_of;
use crate::context::{RequestContext, StreamedBody};
use crate::convert::{
    bucket_name, content, object_headers, object_key, tags_header, write_conditions,
};
use crate::error::{FrontError, Result, escaped};
use crate::form::fields::Fields;
use crate::form::policy::Policy;
use crate::form::{self, Form};
use crate::lock_headers::lock_asked;
use crate::noted::Noted;
use crate::response::{FrontBody, text_body};
use crate::route::Operation;
use crate::target::{Target, percent_encode};
use crate::{access, acl, headers, xml};

/// Fields that are headers of the object under their own name. Others that are headers begin with
/// `x-amz-`.
const HEADER_FIELDS: [&str; 7] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "expires",
];

/// A form on its way.
pub struct FormUpload<'a> {
    pub authenticator: Authenticator<'a>,
    pub objects: &'a Objects,
    pub target: &'a Target,
    pub headers: &'a HeaderMap,
    pub host: &'a str,
    pub admission: &'a Admission,
    pub(crate) noted: &'a Noted,
}

/// Whether a request is an upload by form: one to a bucket that is not signed in another way. A form
/// sent to anything else is a request like any other, and is refused once its signature was checked.
#[must_use]
pub fn is_form_upload(method: &Method, target: &Target, headers: &HeaderMap) -> bool {
    let to_bucket = target.bucket.is_some() && target.key.is_none() && target.query.is_empty();
    method == Method::POST
        && to_bucket
        && !headers.contains_key(header::AUTHORIZATION)
        && form::boundary(headers).is_some()
}

impl FormUpload<'_> {
    /// Reads the form, checks it, and stores its file.
    ///
    /// # Errors
    /// `MalformedPOSTRequest`, `AccessDenied`, `InvalidPolicyDocument`, `EntityTooLarge`,
    /// `EntityTooSmall`, those of authentication and those of PutObject.
    pub async fn answer(&self, raw: RawBody) -> Result<Response<FrontBody>> {
        refuse_amz_headers(self.headers)?;
        let boundary = form::boundary(self.headers).ok_or_else(FrontError::internal)??;
        let size = number(self.headers, "content-length")?.ok_or_else(crate::body::no_length)?;
        let bucket = self.target.bucket.as_deref().unwrap_or_default();
        let mut form = Form::read(raw, &boundary, size).await?;
        let caller = self.authenticator.verify_form(&form.fields)?;
        let _ = self.noted.requester.set(caller.owner());
        // Only now: a place is for those who may be served.
        let admitted = self
            .admission
            .enter(Operation::PostObject, &Method::POST, self.headers)
            .await?;
        let _ = self.noted.admitted.set(admitted);
        form.fields
            .set_file_name(&form.file_name, &FORM_AUTH_FIELDS);
        let policy = Policy::parse(form.fields.get("policy").unwrap_or(""))?;
        let sizes = policy.check(self.authenticator.now, bucket, &form.fields)?;
        for range in sizes {
            range.check(form.file_size)?;
        }
        let fields = form.fields.clone();
        let key = fields.get("key").unwrap_or("").to_owned();
        if key.is_empty() {
            let message = "Bucket POST must contain a field named 'key'";
            return Err(FrontError::invalid_argument("key", "", message));
        }
        if key.contains('\0') {
            return Err(FrontError::invalid_uri());
        }
        let stored = self.store(form, bucket, &key, caller).await?;
        Ok(answer_of(&fields, bucket, &key, self.host, &stored))
    }

    async fn store(
        &self,
        form: Form,
        bucket: &str,
        key: &str,
        caller: Caller,
    ) -> Result<PutObjectOutput> {
        let mut headers = headers_of(&form.fields)?;
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(form.file_size));
        headers::refuse_unknown(&headers)?;
        let owner = caller.owner();
        let objects = self.objects.acting_for(owner.clone());
        let operation = Operation::PostObject;
        access::check(&objects, &caller, operation, self.target, &headers).await?;
        acl::check_headers(operation, &headers, &owner)?;
        let plan = BodyPlan::new(&headers, &Payload::Unsigned)?;
        let failure = Failure::default();
        let metadata = metadata_of(&form.fields);
        let tagging = form.fields.get("tagging").map(str::to_owned);
        let raw = form.into_file(failure.clone());
        let (stream, trailer) =
            plan.clone()
                .stream(raw, failure.clone(), self.noted.received.clone());
        let body = StreamedBody {
            plan,
            failure: failure.clone(),
            trailer: Mutex::new(trailer),
        };
        let context = Arc::new(RequestContext::new(caller, headers, Some(body)));
        let frames = stream
            .map_ok(http_body::Frame::data)
            .map_err(|error| std::io::Error::other(error.message));
        let stream = s3s::Body::http_body_unsync(StreamBody::new(frames));
        let tags = match tagging {
            Some(text) => Tags::of_object(tags_of(xml::parse(text.as_bytes(), "Tagging")?)?)?,
            None => tags_header(&context)?,
        };
        let request = PutObject {
            bucket: bucket_name(bucket.to_owned())?,
            key: object_key(key.to_owned())?,
            content: content(&context, Some(StreamingBlob::from(stream)))?,
            headers: object_headers(&context)?,
            metadata,
            tags,
            conditions: write_conditions(&context),
            lock: lock_asked(&context)?,
        };
        let put = objects.put_object(request).await;
        put.map_err(|error| failure.take().unwrap_or_else(|| error.into()))
    }
}

/// No header of the request is covered by the signature, which covers the policy alone.
fn refuse_amz_headers(headers: &HeaderMap) -> Result<()> {
    let mut names = headers.keys().map(HeaderName::as_str);
    match names.find(|name| name.starts_with("x-amz-")) {
        Some(name) => Err(not_signed(name)),
        None => Ok(()),
    }
}

/// The headers that the fields stand for.
fn headers_of(fields: &Fields) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (field, value) in fields.iter() {
        let is_header = HEADER_FIELDS.contains(&field)
            || (field.starts_with("x-amz-") && !FORM_AUTH_FIELDS.contains(&field));
        let name = match field {
            "acl" => "x-amz-acl",
            field if is_header => field,
            _ => continue,
        };
        let refused = || FrontError::invalid_argument(field, value, "the value is no header's");
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
        let content = HeaderValue::from_str(value).map_err(|_| refused())?;
        if headers.insert(header, content).is_some() {
            return Err(refused());
        }
    }
    Ok(headers)
}

fn metadata_of(fields: &Fields) -> strongroom_objects::UserMetadata {
    fields
        .iter()
        .filter_map(|(name, value)| {
            let name = name.strip_prefix("x-amz-meta-")?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// What the form asked to be answered: nothing (204), an empty page, a document, or where to go next.
fn answer_of(
    fields: &Fields,
    bucket: &str,
    key: &str,
    host: &str,
    stored: &PutObjectOutput,
) -> Response<FrontBody> {
    let etag = format!("\"{}\"", stored.etag);
    let location = format!("http://{host}/{bucket}/{}", percent_encode(key, true));
    let mut response = Response::new(text_body(""));
    let head = response.headers_mut();
    for (name, value) in [("etag", &etag), ("location", &location)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            head.insert(name, value);
        }
    }
    if let Some(id) = &stored.version_id
        && let Ok(value) = HeaderValue::from_str(&id.to_string())
    {
        head.insert("x-amz-version-id", value);
    }
    if let Some(page) = redirect_of(fields, bucket, key, &etag) {
        head.insert(header::LOCATION, page);
        *response.status_mut() = StatusCode::SEE_OTHER;
        return response;
    }
    *response.status_mut() = match fields.get("success_action_status") {
        Some("200") => StatusCode::OK,
        Some("201") => {
            let xml = HeaderValue::from_static("application/xml");
            head.insert(header::CONTENT_TYPE, xml);
            *response.body_mut() = text_body(document(&location, bucket, key, &etag));
            StatusCode::CREATED
        }
        _ => StatusCode::NO_CONTENT,
    };
    response
}

/// The page to go to. One that is no address is ignored, as S3 does.
fn redirect_of(fields: &Fields, bucket: &str, key: &str, etag: &str) -> Option<HeaderValue> {
    let text = fields
        .get("success_action_redirect")
        .or_else(|| fields.get("redirect"))?;
    let (page, _fragment) = text.split_once('#').unwrap_or((text, ""));
    let uri: http::Uri = page.parse().ok()?;
    let known = matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some();
    let separator = if uri.query().is_some() { '&' } else { '?' };
    let (key, etag) = (percent_encode(key, false), percent_encode(etag, false));
    let text = format!("{page}{separator}bucket={bucket}&key={key}&etag={etag}");
    HeaderValue::from_str(&text).ok().filter(|_| known)
}

fn document(location: &str, bucket: &str, key: &str, etag: &str) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse>");
    for (name, value) in [
        ("Location", location),
        ("Bucket", bucket),
        ("Key", key),
        ("ETag", etag),
    ] {
        text.push_str(&format!("<{name}>{}</{name}>", escaped(value)));
    }
    text + "</PostResponse>"
}
