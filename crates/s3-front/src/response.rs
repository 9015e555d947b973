//! Answers: bodies that are counted, errors as documents, ids on all of them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use http_body::{Body, Frame, SizeHint};

use crate::error::FrontError;
use crate::observe::Report;

/// The body of an answer.
pub struct FrontBody {
    inner: s3s::Body,
    report: Option<Report>,
}

impl FrontBody {
    pub(crate) fn new(inner: s3s::Body) -> Self {
        Self {
            inner,
            report: None,
        }
    }

    /// Hands over the report, to be made when the body ends.
    pub(crate) fn set_report(&mut self, report: Report) {
        self.report = Some(report);
    }
}

impl Body for FrontBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let (Some(Ok(frame)), Some(report)) = (&frame, &mut self.report) {
            report.sent_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pub(crate) fn text_body(text: impl Into<String>) -> FrontBody {
    FrontBody::new(s3s::Body::from(text.into()))
}

/// The ids of a request.
#[derive(Clone, Debug)]
pub struct RequestIds {
    pub request_id: String,
    pub host_id: String,
}

impl RequestIds {
    /// Ids from sixteen random bytes.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self {
            request_id: hex::encode_upper(&random[..8]),
            host_id: hex::encode(random),
        }
    }

    /// Puts them on an answer (PR03).
    pub fn put_on(&self, headers: &mut HeaderMap) {
        for (name, value) in [
            ("x-amz-request-id", &self.request_id),
            ("x-amz-id-2", &self.host_id),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        headers.insert(header::SERVER, HeaderValue::from_static("Strongroom"));
    }
}

/// `error` as an answer to a request with this method and path. An answer to HEAD has no body.
pub(crate) fn error_response(
    error: &FrontError,
    method: &Method,
    resource: &str,
    ids: &RequestIds,
) -> Response<FrontBody> {
    let bare = method == Method::HEAD || !error.has_body();
    let document = if bare {
        String::new()
    } else {
        error.document(resource, &ids.request_id, &ids.host_id)
    };
    let mut response = Response::new(text_body(document));
    *response.status_mut() = error.status;
    response.headers_mut().extend(error.headers.iter().cloned());
    if !bare {
        let xml = HeaderValue::from_static("application/xml");
        response.headers_mut().insert(header::CONTENT_TYPE, xml);
    }
    response
}
