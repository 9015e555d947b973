//! Buckets and what they hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most buckets of one page: each costs two look-ups.
pub const BUCKETS_PAGE_MAX: u32 = 1000;
/// Buckets of a page when none are asked for by number.
pub const BUCKETS_PAGE_DEFAULT: u32 = 100;

/// Which buckets.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketsRequest {
    /// Only buckets whose name starts with this.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Only what follows this place: `next` of the page before.
    #[serde(default)]
    pub after: Option<String>,
    /// Most buckets of the page.
    #[serde(default)]
    #[schemars(range(min = 1, max = BUCKETS_PAGE_MAX))]
    pub limit: Option<u32>,
}

/// A page of buckets.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct BucketPage {
    pub buckets: Vec<Bucket>,
    /// Where the next page starts; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which bucket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketRequest {
    /// Its name.
    pub bucket: String,
}

/// A bucket and what it holds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Bucket {
    pub name: String,
    /// Who it belongs to.
    pub owner: String,
    /// When it was created.
    pub created: String,
    /// Versions that are objects.
    pub objects: u64,
    /// Their bytes, as clients see them.
    pub bytes: u64,
    /// Versions that are delete markers.
    pub delete_markers: u64,
    /// Incomplete multipart uploads.
    pub uploads: u64,
    /// Their parts.
    pub upload_parts: u64,
    /// Bytes of their parts.
    pub upload_bytes: u64,
}
