//! What travels beside a request through `s3s`: who sent it, and what `s3s` would lose.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::HeaderMap;
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::auth::credentials::Caller;
use crate::body::{BodyPlan, Failure, Trailer};
use crate::error::{FrontError, Result};

/// Headers whose grammar `s3s` reads more narrowly than S3 does. They are kept from it and read here.
pub const KEPT_FROM_S3S: [&str; 19] = [
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "range",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-copy-source-range",
    "x-amz-checksum-algorithm",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-checksum-type",
    "x-amz-trailer",
];

/// One request's own.
pub struct RequestContext {
    pub caller: Caller,
    /// All headers, as they were signed.
    pub headers: HeaderMap,
    /// Whether nobody on the way could read the request.
    pub encrypted: bool,
    /// The whole body of all other operations.
    pub content: Bytes,
    /// Set for operations that stream their body.
    pub body: Option<StreamedBody>,
    /// Why the operation failed; what `s3s` is told is only that it did.
    error: Mutex<Option<FrontError>>,
}

/// What is known of a streamed body besides its bytes.
pub struct StreamedBody {
    pub plan: BodyPlan,
    pub failure: Failure,
    pub trailer: Mutex<Option<Trailer>>,
}

/// Shared with the operation.
pub type ContextRef = Arc<RequestContext>;

impl RequestContext {
    /// A context for a request that has not failed.
    #[must_use]
    pub fn new(caller: Caller, headers: HeaderMap, body: Option<StreamedBody>) -> Self {
        Self {
            caller,
            headers,
            encrypted: false,
            content: Bytes::new(),
            body,
            error: Mutex::new(None),
        }
    }

    /// Hands an operation's result to `s3s`, keeping the error for [`RequestContext::take_error`].
    ///
    /// # Errors
    /// A stand-in, when the operation failed.
    pub fn answer<T>(&self, result: Result<T>) -> S3Result<T> {
        result.map_err(|error| {
            let stand_in = S3Error::new(S3ErrorCode::InternalError);
            // A body that failed is the cause of whatever the operation made of it.
            let error = self.body_failure().unwrap_or(error);
            *self.error.lock().expect("no holder panics") = Some(error);
            stand_in
        })
    }

    /// Why the operation failed, if it did.
    #[must_use]
    pub fn take_error(&self) -> Option<FrontError> {
        self.error.lock().expect("no holder panics").take()
    }

    fn body_failure(&self) -> Option<FrontError> {
        self.body.as_ref().and_then(|body| body.failure.take())
    }

    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
