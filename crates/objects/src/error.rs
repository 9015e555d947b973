//! Errors of the domain: what the caller should know and do, in S3's words but not its XML.
//!
//! The wire layer maps each variant to a code and a status in one exhaustive match. A variant that
//! carries values carries those that S3 puts into the error document.

use strongroom_base::Timestamp;
use strongroom_types::{ETag, VersionId};

use crate::lock::LockedBy;
use crate::records::ConfigKind;

/// Which condition of a request was false.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    IfMatch,
    IfNoneMatch,
    IfModifiedSince,
    IfUnmodifiedSince,
    CopySourceIfMatch,
    CopySourceIfNoneMatch,
    CopySourceIfModifiedSince,
    CopySourceIfUnmodifiedSince,
}

impl Condition {
    /// The header that carries it.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::IfMatch => "If-Match",
            Self::IfNoneMatch => "If-None-Match",
            Self::IfModifiedSince => "If-Modified-Since",
            Self::IfUnmodifiedSince => "If-Unmodified-Since",
            Self::CopySourceIfMatch => "x-amz-copy-source-If-Match",
            Self::CopySourceIfNoneMatch => "x-amz-copy-source-If-None-Match",
            Self::CopySourceIfModifiedSince => "x-amz-copy-source-If-Modified-Since",
            Self::CopySourceIfUnmodifiedSince => "x-amz-copy-source-If-Unmodified-Since",
        }
    }
}

/// An error of an operation. Nothing became visible, except where a variant says so.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// 404.
    #[error("the bucket does not exist")]
    NoSuchBucket,
    /// 403: the bucket belongs to another account than the one that is acted for.
    #[error("access denied")]
    AccessDenied,
    /// 403: a lock is in force (OL35, OL22, OL23).
    #[error("access denied because the object is protected by object lock: {}", by.name())]
    ObjectLocked { by: LockedBy },
    /// 404: the version has no retention, or never had a legal hold (OL20, OL28).
    #[error("the specified object does not have a ObjectLock configuration")]
    NoSuchObjectLock,
    /// 404. `delete_marker` holds the marker's version when the current version is one (VE18).
    #[error("the key does not exist")]
    NoSuchKey { delete_marker: Option<VersionId> },
    /// 404.
    #[error("the upload does not exist; it may have been aborted or completed")]
    NoSuchUpload,
    /// 404.
    #[error("the version does not exist")]
    NoSuchVersion,
    /// 405: the version is a delete marker (VE19).
    #[error("the method is not allowed against a delete marker")]
    MethodNotAllowed {
        version_id: VersionId,
        last_modified: Timestamp,
    },
    /// 409: owned by another.
    #[error("the bucket name is taken")]
    BucketAlreadyExists,
    /// 409.
    #[error("the bucket exists and you own it")]
    BucketAlreadyOwnedByYou,
    /// 409.
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// 409, retry: a conflicting operation on the bucket or upload is under way.
    #[error("a conflicting operation is in progress")]
    OperationAborted,
    /// 409: what the bucket has forbids it.
    #[error("{message}")]
    InvalidBucketState { message: &'static str },
    /// 412.
    #[error("a precondition did not hold: {}", condition.header())]
    PreconditionFailed { condition: Condition },
    /// 409, retry the whole operation: the condition holds, but of another object than the one there
    /// was when the upload was started (CO05).
    #[error("the key was changed since the upload was started: {}", condition.header())]
    ConditionalRequestConflict { condition: Condition },
    /// 304, with the headers of the object that was not modified.
    #[error("not modified")]
    NotModified {
        etag: ETag,
        last_modified: Timestamp,
        version_id: Option<VersionId>,
    },
    /// 416.
    #[error("the range is not satisfiable for {size} bytes")]
    InvalidRange { size: u64 },
    /// 416: the object has fewer parts.
    #[error("the part number is not satisfiable")]
    InvalidPartNumber,
    /// 400.
    #[error("part {part_number} was not found or its entity tag or checksum differs")]
    InvalidPart { part_number: u16 },
    /// 400.
    #[error("the parts are not in ascending, or not in consecutive, order")]
    InvalidPartOrder,
    /// 400: a part other than the last is too small.
    #[error("part {part_number} of {size} bytes is smaller than the minimum of {size_min}")]
    EntityTooSmall {
        part_number: u16,
        size: u64,
        size_min: u64,
    },
    /// 400.
    #[error("{size} bytes exceed the maximum of {size_max}")]
    EntityTooLarge { size: u64, size_max: u64 },
    /// 400: a declared MD5 or checksum does not match the bytes.
    #[error("the {digest} you specified did not match what we received")]
    BadDigest { digest: &'static str },
    /// 400 (XAmzContentSHA256Mismatch).
    #[error("the content does not have the SHA-256 the request was signed with")]
    ContentSha256Mismatch,
    /// 400: fewer bytes than declared.
    #[error("received {received} bytes of {declared}")]
    IncompleteBody { declared: u64, received: u64 },
    /// The content stream failed; the wire layer knows why. 400 when it does not.
    #[error("the content could not be read: {message}")]
    ContentFailed { message: String },
    /// 400.
    #[error("invalid {name}: {message}")]
    InvalidArgument {
        name: &'static str,
        value: String,
        message: String,
    },
    /// 400.
    #[error("{message}")]
    InvalidRequest { message: String },
    /// 501, naming the header (or parameter) that implies what we do not do.
    #[error("{header} implies functionality that is not implemented")]
    NotImplemented { header: &'static str },
    /// 400.
    #[error("the key has {size} bytes, the most is 1024")]
    KeyTooLong { size: usize },
    /// 400.
    #[error("the metadata has {size} bytes, the most is {size_max}")]
    MetadataTooLarge { size: usize, size_max: usize },
    /// 400: a tag of a form S3 does not allow, or given twice.
    #[error("{message}")]
    InvalidTag { message: &'static str, key: String },
    /// 400 (BadRequest).
    #[error("{what} tags cannot be greater than {count_max}")]
    TooManyTags {
        what: &'static str,
        count_max: usize,
    },
    /// 404, with a code for each kind.
    #[error("the bucket does not have a {kind:?} configuration")]
    NoSuchConfiguration { kind: ConfigKind },
    /// 503: too few zones, or a deadline passed. The outcome of a write is unknown.
    #[error("service unavailable: {message}")]
    Unavailable { message: String },
    /// 503, back off.
    #[error("slow down")]
    SlowDown,
    /// 507 or 503: no space for new bytes. Deletes still work.
    #[error("no space left")]
    StorageFull,
    /// 500: stored data failed verification beyond repair. Never retried blindly.
    #[error("stored data is damaged: {message}")]
    Corrupt { message: String },
    /// 500, with a code of its own: more shards are gone than can be decoded around, and no disk is
    /// out that could hold them (AZ27). The object can be deleted and overwritten.
    #[error("the object's bytes are lost: {message}")]
    ObjectLost { message: String },
    /// 500: our bug.
    #[error("internal error: {message}")]
    Internal { message: String },
}

impl Error {
    pub(crate) fn invalid_argument(
        name: &'static str,
        value: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self::InvalidArgument {
            name,
            value: value.into(),
            message: message.into(),
        }
    }

    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::InvalidRequest {
            message: message.into(),
        }
    }

    /// OL14.
    pub(crate) fn retain_until_in_past() -> Self {
        let message = "The retain until date must be in the future!";
        Self::invalid_argument("x-amz-object-lock-retain-until-date", "", message)
    }

    /// VE16.
    pub(crate) fn only_null_versions(id: VersionId) -> Self {
        let message = "version ids of this bucket are null only";
        Self::invalid_argument("versionId", id.to_string(), message)
    }

    pub(crate) fn no_such_key() -> Self {
        Self::NoSuchKey {
            delete_marker: None,
        }
    }
}

impl From<strongroom_meta::Error> for Error {
    fn from(error: strongroom_meta::Error) -> Self {
        use strongroom_meta::ErrorKind;
        let message = error.message;
        match error.kind {
            ErrorKind::Unavailable => Self::Unavailable { message },
            ErrorKind::BlobLost => Self::Unavailable { message },
            ErrorKind::Full => Self::StorageFull,
            ErrorKind::NotFound | ErrorKind::Corrupt => Self::Corrupt { message },
            ErrorKind::TooLarge | ErrorKind::Internal => Self::Internal { message },
        }
    }
}

impl From<strongroom_blob::Error> for Error {
    fn from(error: strongroom_blob::Error) -> Self {
        use strongroom_blob::ErrorKind;
        let message = error.message;
        match error.kind {
            ErrorKind::Content => Self::ContentFailed { message },
            ErrorKind::Unavailable => Self::Unavailable { message },
            ErrorKind::Full => Self::StorageFull,
            ErrorKind::Corrupt => Self::ObjectLost { message },
            ErrorKind::Invalid | ErrorKind::Internal => Self::Internal { message },
        }
    }
}

/// Result of an operation.
pub type Result<T> = std::result::Result<T, Error>;
