//! What a call answers when it does not do what was asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a caller can act on. Codes are added, never renamed; a client takes one it does not know
/// for `Internal`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub enum ErrorCode {
    /// The credentials are missing or not those of the root account.
    Unauthorized,
    /// No call has this path.
    NoSuchCall,
    /// The path has calls, by other methods.
    MethodNotAllowed,
    /// A parameter is unknown, missing, or has no meaning.
    InvalidArgument,
    /// The bucket does not exist.
    NoSuchBucket,
    /// The key has no object.
    NoSuchKey,
    /// The upload does not exist; it may have been completed or aborted.
    NoSuchUpload,
    /// The version does not exist, or is a delete marker.
    NoSuchVersion,
    /// Another operation on the same thing is under way: try again.
    Conflict,
    /// The store is being opened, or disks do not answer: try again later.
    Unavailable,
    /// Stored data failed verification.
    Corrupt,
    /// A fault of the program.
    #[serde(other)]
    Internal,
}

impl ErrorCode {
    /// The HTTP status it travels with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidArgument => 400,
            Self::Unauthorized => 401,
            Self::NoSuchCall
            | Self::NoSuchBucket
            | Self::NoSuchKey
            | Self::NoSuchUpload
            | Self::NoSuchVersion => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict => 409,
            Self::Corrupt | Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// Whether what was named does not exist.
    #[must_use]
    pub const fn is_missing(self) -> bool {
        matches!(
            self,
            Self::NoSuchBucket | Self::NoSuchKey | Self::NoSuchUpload | Self::NoSuchVersion
        )
    }
}

/// The body of every answer that is no success.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    pub code: ErrorCode,
    /// One sentence for people: lowercase, no full stop.
    pub message: String,
}

impl ApiError {
    /// An error of this code.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }

    /// A parameter that has no meaning.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    /// A fault of the program.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }
}

/// Result of a call.
pub type Result<T> = std::result::Result<T, ApiError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_of_a_later_server_is_read_as_internal() {
        let text = r#"{"code":"NoSuchGalaxy","message":"m","detail":1}"#;
        let error: ApiError = serde_json::from_str(text).unwrap();
        assert_eq!(error, ApiError::internal("m"));
    }
}
