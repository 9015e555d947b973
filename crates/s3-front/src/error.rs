//! Errors on the wire: S3's code, status, message and the fields clients look at.
//!
//! [`FrontError::from`] a domain error is the one place where the domain's words become S3's. The
//! document is written here and not by `s3s`, because it has fields (PR02) and ids (PR03) that
//! `s3s` does not write.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use strongroom_objects::Error;
use strongroom_types::{KEY_SIZE_BYTES_MAX, VersionId};

use crate::config::not_configured;
use crate::target::Target;
use crate::time_format::http_date;

/// An error as the client sees it.
#[derive(Clone, Debug)]
pub struct FrontError {
    pub status: StatusCode,
    pub code: Cow<'static, str>,
    pub message: String,
    /// Further children of the error document (PR02).
    pub fields: Vec<(&'static str, String)>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// What is said of XML that is none or not what it should be.
pub const MALFORMED_XML: &str =
    "the XML you provided was not well-formed or did not validate against our schema";

/// Result of the wire layer.
pub type Result<T> = std::result::Result<T, FrontError>;

impl FrontError {
    /// An error with this code and nothing else.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: Cow::Borrowed(code),
            message: message.into(),
            fields: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// Adds a child to the document.
    #[must_use]
    pub fn with(mut self, field: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((field, value.into()));
        self
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    pub(crate) fn invalid_uri() -> Self {
        Self::bad_request("InvalidURI", "couldn't parse the specified URI")
    }

    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::bad_request("InvalidRequest", message)
    }

    pub(crate) fn invalid_argument(
        name: &str,
        value: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self::bad_request("InvalidArgument", message)
            .with("ArgumentName", name)
            .with("ArgumentValue", value)
    }

    pub(crate) fn malformed_xml() -> Self {
        Self::bad_request("MalformedXML", MALFORMED_XML)
    }

    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::forbidden("AccessDenied", message)
    }

    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    pub(crate) fn not_implemented(header: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            format!("{header} implies functionality that is not implemented"),
        )
        .with("Header", header)
    }

    pub(crate) fn incomplete_body(message: impl Into<String>) -> Self {
        Self::bad_request("IncompleteBody", message)
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "we encountered an internal error, please try again",
        )
    }

    /// Names the resource the error is about, where S3 does.
    #[must_use]
    pub fn about(mut self, bucket: Option<&str>, key: Option<&str>, version: Option<&str>) -> Self {
        let (wants_bucket, wants_key, wants_version) = match self.code.as_ref() {
            "NoSuchBucket"
            | "BucketNotEmpty"
            | "BucketAlreadyExists"
            | "BucketAlreadyOwnedByYou"
            | "InvalidBucketName"
            | "NoSuchLifecycleConfiguration"
            | "ReplicationConfigurationNotFoundError"
            | "ObjectLockConfigurationNotFoundError"
            | "ServerSideEncryptionConfigurationNotFoundError"
            | "MetadataConfigurationNotFound"
            | "NoSuchBucketPolicy"
            | "NoSuchConfiguration"
            | "NoSuchTagSet"
            | "NoSuchCORSConfiguration"
            | "NoSuchWebsiteConfiguration" => (true, false, false),
            "NoSuchKey" => (false, true, false),
            "NoSuchVersion" => (false, true, true),
            _ => (false, false, false),
        };
        let wanted = [
            (wants_bucket, "BucketName", bucket),
            (wants_key, "Key", key),
            (wants_version, "VersionId", version),
        ];
        for (wants, field, value) in wanted {
            let missing = !self.fields.iter().any(|(name, _)| *name == field);
            if let (true, true, Some(value)) = (wants, missing, value) {
                self.fields.push((field, value.to_owned()));
            }
        }
        self
    }

    /// Adds what the request said of the thing the error is about (PR02).
    #[must_use]
    pub fn about_request(self, target: Option<&Target>, headers: Option<&HeaderMap>) -> Self {
        let (field, value) = match self.code.as_ref() {
            "NoSuchUpload" | "InvalidPart" | "InvalidPartOrder" => {
                let id = target.and_then(|target| target.parameter("uploadId"));
                ("UploadId", id.map(str::to_owned))
            }
            "InvalidPartNumber" => {
                let number = target.and_then(|target| target.parameter("partNumber"));
                ("PartNumberRequested", number.map(str::to_owned))
            }
            "InvalidRange" => ("RangeRequested", text_of(headers, "range")),
            _ => return self,
        };
        match value {
            Some(value) => self.with(field, value),
            None => self,
        }
    }

    /// Whether a response with this status has a body at all.
    #[must_use]
    pub fn has_body(&self) -> bool {
        self.status != StatusCode::NOT_MODIFIED
    }

    /// The error document.
    #[must_use]
    pub fn document(&self, resource: &str, request_id: &str, host_id: &str) -> String {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
        let fixed = [
            ("Code", self.code.as_ref()),
            ("Message", self.message.as_str()),
        ];
        let fields = self
            .fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        let ids = [
            ("Resource", resource),
            ("RequestId", request_id),
            ("HostId", host_id),
        ];
        for (name, value) in fixed.into_iter().chain(fields).chain(ids) {
            let _ = write!(text, "<{name}>{}</{name}>", escaped(value));
        }
        text.push_str("</Error>");
        text
    }
}

fn text_of(headers: Option<&HeaderMap>, name: &str) -> Option<String> {
    let value = headers?.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// `text` as XML content; characters XML cannot hold are replaced.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(character));
            }
            '\u{0}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => out.push('\u{FFFD}'),
            character => out.push(character),
        }
    }
    out
}

impl From<Error> for FrontError {
    fn from(error: Error) -> Self {
        let (status, code) = code_of(&error);
        if let Error::ObjectLost { message } = &error {
            tracing::warn!(message, "a lost object was asked for");
            let text = "the bytes of the object are lost: it can be deleted or overwritten";
            return Self::new(status, code, text);
        }
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            // The client can do nothing with the reason; a person should look.
            tracing::error!(%error, "request failed inside the store");
            return Self::internal();
        }
        detailed(Self::new(status, code, error.to_string()), error)
    }
}

/// S3's code and status of a domain error: the one place that says so.
const fn code_of(error: &Error) -> (StatusCode, &'static str) {
    use StatusCode as S;
    match error {
        Error::NoSuchBucket => (S::NOT_FOUND, "NoSuchBucket"),
        Error::AccessDenied | Error::ObjectLocked { .. } => (S::FORBIDDEN, "AccessDenied"),
        Error::NoSuchObjectLock => (S::NOT_FOUND, "NoSuchObjectLockConfiguration"),
        Error::NoSuchKey { .. } => (S::NOT_FOUND, "NoSuchKey"),
        Error::NoSuchUpload => (S::NOT_FOUND, "NoSuchUpload"),
        Error::NoSuchVersion => (S::NOT_FOUND, "NoSuchVersion"),
        Error::MethodNotAllowed { .. } => (S::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        Error::BucketAlreadyExists => (S::CONFLICT, "BucketAlreadyExists"),
        Error::BucketAlreadyOwnedByYou => (S::CONFLICT, "BucketAlreadyOwnedByYou"),
        Error::BucketNotEmpty => (S::CONFLICT, "BucketNotEmpty"),
        Error::OperationAborted => (S::CONFLICT, "OperationAborted"),
        Error::InvalidBucketState { .. } => (S::CONFLICT, "InvalidBucketState"),
        Error::PreconditionFailed { .. } => (S::PRECONDITION_FAILED, "PreconditionFailed"),
        Error::ConditionalRequestConflict { .. } => (S::CONFLICT, "ConditionalRequestConflict"),
        Error::NotModified { .. } => (S::NOT_MODIFIED, "NotModified"),
        Error::InvalidRange { .. } => (S::RANGE_NOT_SATISFIABLE, "InvalidRange"),
        Error::InvalidPartNumber => (S::RANGE_NOT_SATISFIABLE, "InvalidPartNumber"),
        Error::InvalidPart { .. } => (S::BAD_REQUEST, "InvalidPart"),
        Error::InvalidPartOrder => (S::BAD_REQUEST, "InvalidPartOrder"),
        Error::EntityTooSmall { .. } => (S::BAD_REQUEST, "EntityTooSmall"),
        Error::EntityTooLarge { .. } => (S::BAD_REQUEST, "EntityTooLarge"),
        Error::BadDigest { .. } => (S::BAD_REQUEST, "BadDigest"),
        Error::ContentSha256Mismatch => (S::BAD_REQUEST, "XAmzContentSHA256Mismatch"),
        Error::IncompleteBody { .. } => (S::BAD_REQUEST, "IncompleteBody"),
        Error::ContentFailed { .. } => (S::BAD_REQUEST, "IncompleteBody"),
        Error::InvalidArgument { .. } => (S::BAD_REQUEST, "InvalidArgument"),
        Error::InvalidRequest { .. } => (S::BAD_REQUEST, "InvalidRequest"),
        Error::NotImplemented { .. } => (S::NOT_IMPLEMENTED, "NotImplemented"),
        Error::KeyTooLong { .. } => (S::BAD_REQUEST, "KeyTooLongError"),
        Error::MetadataTooLarge { .. } => (S::BAD_REQUEST, "MetadataTooLarge"),
        Error::InvalidTag { .. } => (S::BAD_REQUEST, "InvalidTag"),
        Error::TooManyTags { .. } => (S::BAD_REQUEST, "BadRequest"),
        Error::NoSuchConfiguration { kind } => (S::NOT_FOUND, not_configured(*kind).0),
        Error::Unavailable { .. } => (S::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        Error::SlowDown => (S::SERVICE_UNAVAILABLE, "SlowDown"),
        Error::StorageFull => (S::INSUFFICIENT_STORAGE, "XStorageFull"),
        Error::ObjectLost { .. } => (S::INTERNAL_SERVER_ERROR, "XObjectLost"),
        Error::Corrupt { .. } => (S::INTERNAL_SERVER_ERROR, "InternalError"),
        Error::Internal { .. } => (S::INTERNAL_SERVER_ERROR, "InternalError"),
    }
}

/// The fields and headers that some errors carry besides (PR02).
fn detailed(front: FrontError, error: Error) -> FrontError {
    match error {
        Error::NoSuchKey { delete_marker } => with_marker(front, delete_marker),
        Error::MethodNotAllowed {
            version_id,
            last_modified,
        } => with_marker(front, Some(version_id))
            .with("ResourceType", "DeleteMarker")
            .with_header("allow", "DELETE")
            .with_header("last-modified", &http_date(last_modified)),
        Error::PreconditionFailed { condition }
        | Error::ConditionalRequestConflict { condition } => {
            front.with("Condition", condition.header())
        }
        Error::NotModified {
            etag,
            last_modified,
            version_id,
        } => with_version(front, version_id)
            .with_header("etag", &etag.quoted())
            .with_header("last-modified", &http_date(last_modified)),
        Error::InvalidRange { size } => front
            .with("ActualObjectSize", size.to_string())
            .with_header("content-range", &format!("bytes */{size}")),
        Error::InvalidPart { part_number } => front.with("PartNumber", part_number.to_string()),
        Error::EntityTooSmall {
            part_number,
            size,
            size_min,
        } => front
            .with("ProposedSize", size.to_string())
            .with("MinSizeAllowed", size_min.to_string())
            .with("PartNumber", part_number.to_string()),
        Error::EntityTooLarge { size, size_max } => front
            .with("ProposedSize", size.to_string())
            .with("MaxSizeAllowed", size_max.to_string()),
        Error::InvalidArgument { name, value, .. } => front
            .with("ArgumentName", name)
            .with("ArgumentValue", value),
        Error::NotImplemented { header } => front.with("Header", header),
        Error::InvalidTag { key, .. } => front.with("TagKey", key),
        Error::NoSuchConfiguration { kind } => FrontError {
            message: not_configured(kind).1.to_owned(),
            ..front
        },
        Error::KeyTooLong { size } => front
            .with("Size", size.to_string())
            .with("MaxSizeAllowed", KEY_SIZE_BYTES_MAX.to_string()),
        Error::MetadataTooLarge { size, size_max } => front
            .with("Size", size.to_string())
            .with("MaxSizeAllowed", size_max.to_string()),
        Error::Unavailable { .. } | Error::SlowDown => {
            front.with_header("retry-after", RETRY_AFTER_SECONDS)
        }
        _ => front,
    }
}

/// When a client that was answered 503 should come back: about the time a zone is given up in.
const RETRY_AFTER_SECONDS: &str = "1";

fn with_marker(error: FrontError, marker: Option<VersionId>) -> FrontError {
    match marker {
        Some(_) => with_version(error, marker).with_header("x-amz-delete-marker", "true"),
        None => error,
    }
}

fn with_version(error: FrontError, version_id: Option<VersionId>) -> FrontError {
    match version_id {
        Some(id) => error.with_header("x-amz-version-id", &id.to_string()),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_base::Timestamp;
    use strongroom_objects::Condition;
    use strongroom_types::ETag;

    #[test]
    fn every_domain_error_has_its_code_and_status() {
        // PR01, PR02, ER01
        let cases = [
            (Error::AccessDenied, 403, "AccessDenied"),
            (
                Error::ObjectLocked {
                    by: strongroom_objects::LockedBy::Compliance,
                },
                403,
                "AccessDenied",
            ),
            (
                Error::NoSuchObjectLock,
                404,
                "NoSuchObjectLockConfiguration",
            ),
            (Error::NoSuchBucket, 404, "NoSuchBucket"),
            (
                Error::NoSuchKey {
                    delete_marker: None,
                },
                404,
                "NoSuchKey",
            ),
            (Error::NoSuchUpload, 404, "NoSuchUpload"),
            (Error::NoSuchVersion, 404, "NoSuchVersion"),
            (Error::BucketAlreadyExists, 409, "BucketAlreadyExists"),
            (
                Error::BucketAlreadyOwnedByYou,
                409,
                "BucketAlreadyOwnedByYou",
            ),
            (Error::BucketNotEmpty, 409, "BucketNotEmpty"),
            (Error::OperationAborted, 409, "OperationAborted"),
            (Error::InvalidRange { size: 1 }, 416, "InvalidRange"),
            (Error::InvalidPartNumber, 416, "InvalidPartNumber"),
            (Error::InvalidPart { part_number: 1 }, 400, "InvalidPart"),
            (Error::InvalidPartOrder, 400, "InvalidPartOrder"),
            (Error::BadDigest { digest: "MD5" }, 400, "BadDigest"),
            (
                Error::ContentSha256Mismatch,
                400,
                "XAmzContentSHA256Mismatch",
            ),
            (Error::KeyTooLong { size: 2000 }, 400, "KeyTooLongError"),
            (Error::SlowDown, 503, "SlowDown"),
            (Error::StorageFull, 507, "XStorageFull"),
            (
                Error::ObjectLost {
                    message: "stripe 1".into(),
                },
                500,
                "XObjectLost",
            ),
            (Error::NotImplemented { header: "x" }, 501, "NotImplemented"),
            (
                Error::PreconditionFailed {
                    condition: Condition::IfMatch,
                },
                412,
                "PreconditionFailed",
            ),
            (
                Error::NotModified {
                    etag: ETag::Md5([0; 16]),
                    last_modified: Timestamp(0),
                    version_id: None,
                },
                304,
                "NotModified",
            ),
            (
                Error::MethodNotAllowed {
                    version_id: VersionId::Stamp(1),
                    last_modified: Timestamp(0),
                },
                405,
                "MethodNotAllowed",
            ),
            (
                Error::Unavailable {
                    message: "two zones are out".into(),
                },
                503,
                "ServiceUnavailable",
            ),
        ];
        for (error, status, code) in cases {
            let front = FrontError::from(error);
            assert_eq!((front.status.as_u16(), front.code.as_ref()), (status, code));
        }
    }

    #[test]
    fn the_document_names_the_resource_and_the_request() {
        let error = FrontError::from(Error::NoSuchKey {
            delete_marker: None,
        });
        let error = error.about(Some("b"), Some("a<&>\u{1}"), None);
        let text = error.document("/b/a", "ID", "HOST");
        assert!(text.contains("<Code>NoSuchKey</Code>"), "{text}");
        assert!(text.contains("<Key>a&lt;&amp;&gt;\u{FFFD}</Key>"), "{text}");
        assert!(text.ends_with("<RequestId>ID</RequestId><HostId>HOST</HostId></Error>"));
    }
}
