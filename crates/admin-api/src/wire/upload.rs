//! Incomplete multipart uploads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most uploads of one page.
pub const UPLOADS_PAGE_MAX: u32 = 1000;
/// Uploads of a page when none are asked for by number.
pub const UPLOADS_PAGE_DEFAULT: u32 = 100;

/// Which uploads.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadsRequest {
    /// Of this bucket.
    pub bucket: String,
    /// Only uploads to keys that start with this.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Only what follows this place: `next` of the page before.
    #[serde(default)]
    pub after: Option<String>,
    /// Most uploads of the page.
    #[serde(default)]
    #[schemars(range(min = 1, max = UPLOADS_PAGE_MAX))]
    pub limit: Option<u32>,
}

/// A page of uploads.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct UploadPage {
    pub uploads: Vec<Upload>,
    /// Where the next page starts; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An incomplete upload.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Upload {
    pub key: String,
    pub upload_id: String,
    /// When it was started.
    pub initiated: String,
    /// Seconds since then.
    pub age_seconds: u64,
    pub parts: u64,
    /// Bytes of its parts.
    pub bytes: u64,
}

/// Which upload to abort.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AbortUploadRequest {
    /// Of this bucket.
    pub bucket: String,
    pub upload_id: String,
    /// The key it would have made.
    pub key: String,
}

/// Which uploads to abort.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AbortUploadsRequest {
    /// Of this bucket.
    pub bucket: String,
    /// Those started at least this many seconds ago.
    pub older_than_seconds: u64,
    /// Only uploads to keys that start with this.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Only what follows this place: `next` of the answer before.
    #[serde(default)]
    pub after: Option<String>,
    /// Most uploads to look at.
    #[serde(default)]
    #[schemars(range(min = 1, max = UPLOADS_PAGE_MAX))]
    pub limit: Option<u32>,
}

/// What was aborted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Aborted {
    /// Uploads looked at.
    pub examined: u64,
    /// Uploads aborted.
    pub aborted: u64,
    /// Their parts.
    pub parts: u64,
    /// Bytes of their parts.
    pub bytes: u64,
    /// Where to go on; absent when all were looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
