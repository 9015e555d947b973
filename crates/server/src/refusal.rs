//! Answers that are made before a request reaches the S3 service: what came was no proper request,
//! or the store is not open yet.

use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use strongroom_s3_front::{AccessNotes, RequestIds};

use crate::http_port::{Body, Refusal};

/// Code, status and message of a refused head.
fn refusal_text(refusal: Refusal) -> (&'static str, &'static str) {
    match refusal {
        Refusal::Malformed(message) => ("BadRequest", message),
        Refusal::BadTarget => ("InvalidURI", "couldn't parse the specified URI"),
        Refusal::HeadTooLarge => (
            "RequestHeaderSectionTooLarge",
            "the request header and query parameters exceed the maximum allowed size",
        ),
        Refusal::HeadSlow => (
            "RequestTimeout",
            "your request was not sent to its end within the timeout period",
        ),
    }
}

/// The answer to what is no request. It ends the connection.
#[must_use]
pub fn refused(refusal: Refusal, ids: &RequestIds) -> Response<Body> {
    let (code, message) = refusal_text(refusal);
    answer(StatusCode::BAD_REQUEST, code, message, ids)
}

/// The answer while the store is being opened.
#[must_use]
pub fn not_open_yet(ids: &RequestIds) -> Response<Body> {
    let message = "the store is being opened, retry in a moment";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut response = answer(status, "ServiceUnavailable", message, ids);
    let second = HeaderValue::from_static("1");
    response.headers_mut().insert(header::RETRY_AFTER, second);
    response
}

fn answer(status: StatusCode, code: &str, message: &str, ids: &RequestIds) -> Response<Body> {
    // Codes and messages are ours and need no escaping.
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>{message}</Message><RequestId>{}</RequestId><HostId>{}</HostId></Error>",
        ids.request_id, ids.host_id
    );
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let xml = HeaderValue::from_static("application/xml");
    headers.insert(header::CONTENT_TYPE, xml);
    // A body is not read: the connection cannot be used again.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    ids.put_on(headers);
    response.extensions_mut().insert(AccessNotes {
        error_code: Some(code.to_owned()),
        ..AccessNotes::default()
    });
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pr01_pr03_a_refused_head_is_answered_as_s3_answers_with_ids_and_a_close() {
        let ids = RequestIds::new([7; 16]);
        let cases = [
            (Refusal::Malformed("text"), "BadRequest"),
            (Refusal::BadTarget, "InvalidURI"),
            (Refusal::HeadTooLarge, "RequestHeaderSectionTooLarge"),
            (Refusal::HeadSlow, "RequestTimeout"),
        ];
        for (refusal, code) in cases {
            let answer = refused(refusal, &ids);
            assert_eq!(answer.status(), 400);
            assert_eq!(answer.headers()["connection"], "close");
            assert_eq!(
                answer.headers()["x-amz-request-id"],
                ids.request_id.as_str()
            );
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let text = String::from_utf8(body.to_vec()).unwrap();
            assert!(text.contains(&format!("<Code>{code}</Code>")), "{text}");
            assert!(text.contains(&ids.request_id), "{text}");
        }
    }
}
