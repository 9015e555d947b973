//! Which operation a request is, and whether we have it.
//!
//! S3 tells operations apart by sub-resources in the query. One we do not know must not be taken for
//! the plain operation on the same path (`PUT /b/k?renameObject` is not PutObject), so each
//! operation lists the parameters it takes and everything else is refused (PR13).

use http::{HeaderMap, Method, StatusCode};

use crate::error::{FrontError, Result};
use crate::subresources;
use crate::target::Target;

macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        /// The operations we have.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Operation { $($name),* }

        impl Operation {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name S3 gives it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

operations! {
    ListBuckets, CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation,
    GetBucketVersioning, PutBucketVersioning,
    GetBucketAcl, PutBucketAcl, GetObjectAcl, PutObjectAcl,
    ListObjects, ListObjectsV2, ListObjectVersions, ListMultipartUploads, DeleteObjects,
    PutObject, CopyObject, GetObject, HeadObject, GetObjectAttributes, DeleteObject,
    CreateMultipartUpload, UploadPart, CompleteMultipartUpload,
    AbortMultipartUpload, ListParts, UploadPartCopy, PostObject,
    GetObjectTagging, PutObjectTagging, DeleteObjectTagging,
    GetBucketTagging, PutBucketTagging, DeleteBucketTagging,
    GetBucketCors, PutBucketCors, DeleteBucketCors,
    GetBucketWebsite, PutBucketWebsite, DeleteBucketWebsite,
    GetBucketPolicy, DeleteBucketPolicy, GetBucketPolicyStatus,
    GetBucketLifecycleConfiguration, DeleteBucketLifecycle,
    GetBucketReplication, DeleteBucketReplication, GetBucketEncryption, DeleteBucketEncryption,
    GetObjectLockConfiguration, PutObjectLockConfiguration, GetObjectRetention,
    PutObjectRetention, GetObjectLegalHold, PutObjectLegalHold, GetBucketLogging, PutBucketLogging,
    GetBucketRequestPayment, PutBucketRequestPayment, GetBucketAccelerateConfiguration,
    GetBucketNotificationConfiguration, PutBucketNotificationConfiguration,
    GetBucketOwnershipControls, PutBucketOwnershipControls,
    GetPublicAccessBlock, PutPublicAccessBlock, GetBucketAbac, PutBucketAbac,
    GetBucketMetadataConfiguration,
    GetBucketAnalyticsConfiguration, ListBucketAnalyticsConfigurations,
    DeleteBucketAnalyticsConfiguration,
    GetBucketMetricsConfiguration, ListBucketMetricsConfigurations,
    DeleteBucketMetricsConfiguration,
    GetBucketInventoryConfiguration, ListBucketInventoryConfigurations,
    DeleteBucketInventoryConfiguration,
    GetBucketIntelligentTieringConfiguration, ListBucketIntelligentTieringConfigurations,
    DeleteBucketIntelligentTieringConfiguration,
}

impl Operation {
    /// Whether it is not about a bucket that must be there and be the caller's. Whatever is not named
    /// here passes the gate of `access`.
    #[must_use]
    pub const fn needs_no_bucket(self) -> bool {
        matches!(self, Self::ListBuckets | Self::CreateBucket)
    }

    /// Whether the body is content to be stored, and so is streamed.
    #[must_use]
    pub const fn streams_body(self) -> bool {
        matches!(self, Self::PutObject | Self::UploadPart)
    }

    /// Parameters it takes.
    #[must_use]
    pub const fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::CreateBucket | Self::HeadBucket | Self::DeleteBucket => &[],
            // PostObject is found by its form before there is an operation to resolve.
            Self::PutObject | Self::CopyObject | Self::PostObject => &[],
            Self::ListBuckets => &[
                "max-buckets",
                "continuation-token",
                "prefix",
                "bucket-region",
            ],
            Self::GetBucketAcl | Self::PutBucketAcl => &["acl"],
            Self::GetObjectAcl | Self::PutObjectAcl => &["acl", "versionId"],
            Self::GetBucketLocation => &["location"],
            Self::ListObjects => &["prefix", "delimiter", "encoding-type", "max-keys", "marker"],
            Self::ListObjectsV2 => &[
                "list-type",
                "prefix",
                "delimiter",
                "encoding-type",
                "max-keys",
                "continuation-token",
                "start-after",
                "fetch-owner",
            ],
            Self::GetObjectAttributes => &["attributes", "versionId"],
            Self::ListMultipartUploads => &[
                "uploads",
                "prefix",
                "delimiter",
                "encoding-type",
                "max-uploads",
                "key-marker",
                "upload-id-marker",
            ],
            Self::DeleteObjects => &["delete"],
            Self::GetObject | Self::HeadObject => &[
                "versionId",
                "partNumber",
                "response-cache-control",
                "response-content-disposition",
                "response-content-encoding",
                "response-content-language",
                "response-content-type",
                "response-expires",
            ],
            Self::DeleteObject => &["versionId"],
            Self::CreateMultipartUpload => &["uploads"],
            Self::UploadPart | Self::UploadPartCopy => &["partNumber", "uploadId"],
            Self::CompleteMultipartUpload | Self::AbortMultipartUpload => &["uploadId"],
            Self::ListParts => &["uploadId", "max-parts", "part-number-marker"],
            // The table of sub-resources has those of its own operations.
            _ => &[],
        }
    }

    /// Whether the parameter `name` is one of the operation's own.
    #[must_use]
    pub fn takes(self, name: &str) -> bool {
        self.parameters().contains(&name) || subresources::takes(self, name)
    }
}

/// Parameters any request may carry: SDKs name the operation for the logs.
const ANY_OPERATION: [&str; 1] = ["x-id"];

/// The operation that method, path and query name.
///
/// # Errors
/// `NotImplemented` for a sub-resource, parameter or method we do not have, `InvalidArgument` for a
/// parameter that is given twice.
pub fn resolve(method: &Method, target: &Target, headers: &HeaderMap) -> Result<Operation> {
    let level = match (&target.bucket, &target.key) {
        (None, _) => Level::Service,
        (Some(_), None) => Level::Bucket,
        (Some(_), Some(_)) => Level::Object,
    };
    let operation = candidate(method, level, target, headers)?;
    for (index, (name, _)) in target.query.iter().enumerate() {
        if ANY_OPERATION.contains(&name.as_str()) || is_header_or_signature(name) {
            continue;
        }
        if !operation.takes(name) {
            return Err(unknown_parameter(name));
        }
        if target.query[..index].iter().any(|(other, _)| other == name) {
            return Err(FrontError::invalid_argument(
                name,
                "",
                "the parameter is given twice",
            ));
        }
    }
    Ok(operation)
}

/// Whether a parameter is a signature's, or a header in the query; both are dealt with elsewhere.
#[must_use]
pub fn is_header_or_signature(name: &str) -> bool {
    name.get(..6)
        .is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"))
}

/// What a request is aimed at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    Service,
    Bucket,
    Object,
}

fn candidate(
    method: &Method,
    level: Level,
    target: &Target,
    headers: &HeaderMap,
) -> Result<Operation> {
    use Operation as O;
    if let Some(operation) = subresources::resolve(method, level, target) {
        return Ok(operation);
    }
    let has = |name| target.has(name);
    let copies = headers.contains_key("x-amz-copy-source");
    let operation = match (method.as_str(), level) {
        ("GET", Level::Service) => O::ListBuckets,
        ("GET", Level::Bucket) if has("acl") => O::GetBucketAcl,
        ("PUT", Level::Bucket) if has("acl") => O::PutBucketAcl,
        ("GET", Level::Object) if has("acl") => O::GetObjectAcl,
        ("PUT", Level::Object) if has("acl") => O::PutObjectAcl,
        ("GET", Level::Bucket) if has("location") => O::GetBucketLocation,
        ("GET", Level::Bucket) if has("uploads") => O::ListMultipartUploads,
        ("GET", Level::Bucket) => match target.parameter("list-type") {
            Some("2") => O::ListObjectsV2,
            Some(value) => {
                let message = "the only list-type is 2";
                return Err(FrontError::invalid_argument("list-type", value, message));
            }
            None => O::ListObjects,
        },
        ("HEAD", Level::Bucket) => O::HeadBucket,
        ("PUT", Level::Bucket) => O::CreateBucket,
        ("DELETE", Level::Bucket) => O::DeleteBucket,
        ("POST", Level::Bucket) if has("delete") => O::DeleteObjects,
        ("GET", Level::Object) if has("uploadId") => O::ListParts,
        ("GET", Level::Object) if has("attributes") => O::GetObjectAttributes,
        ("GET", Level::Object) => O::GetObject,
        ("HEAD", Level::Object) => O::HeadObject,
        ("PUT", Level::Object) if has("uploadId") || has("partNumber") => {
            return upload_part(target, copies);
        }
        ("PUT", Level::Object) if copies => O::CopyObject,
        ("PUT", Level::Object) => O::PutObject,
        ("POST", Level::Object) if has("uploads") => O::CreateMultipartUpload,
        ("POST", Level::Object) if has("uploadId") => O::CompleteMultipartUpload,
        ("DELETE", Level::Object) if has("uploadId") => O::AbortMultipartUpload,
        ("DELETE", Level::Object) => O::DeleteObject,
        ("HEAD" | "PUT" | "POST" | "DELETE", _) => {
            return Err(target.query.first().map_or_else(
                || FrontError::not_implemented(method.as_str()),
                |(name, _)| unknown_parameter(name),
            ));
        }
        _ => {
            return Err(FrontError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "the specified method is not allowed against this resource",
            )
            .with("Method", method.as_str()));
        }
    };
    Ok(operation)
}

fn upload_part(target: &Target, copies: bool) -> Result<Operation> {
    for name in ["uploadId", "partNumber"] {
        if !target.has(name) {
            let message = "an upload of a part needs uploadId and partNumber";
            return Err(FrontError::invalid_argument(name, "", message));
        }
    }
    Ok(if copies {
        Operation::UploadPartCopy
    } else {
        Operation::UploadPart
    })
}

fn unknown_parameter(name: &str) -> FrontError {
    FrontError::not_implemented(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, uri: &str, copies: bool) -> std::result::Result<&'static str, String> {
        let target = Target::parse(&uri.parse().unwrap(), None).unwrap();
        let mut headers = HeaderMap::new();
        if copies {
            headers.insert("x-amz-copy-source", "b/k".parse().unwrap());
        }
        resolve(&method.parse().unwrap(), &target, &headers)
            .map(Operation::name)
            .map_err(|error| error.code.into_owned())
    }

    #[test]
    fn each_operation_is_found() {
        for (method, uri, copies, name) in [
            ("GET", "/?max-buckets=2", false, "ListBuckets"),
            ("PUT", "/b", false, "CreateBucket"),
            ("HEAD", "/b/", false, "HeadBucket"),
            ("DELETE", "/b", false, "DeleteBucket"),
            ("GET", "/b?location", false, "GetBucketLocation"),
            ("GET", "/b?versioning", false, "GetBucketVersioning"),
            ("PUT", "/b?versioning", false, "PutBucketVersioning"),
            ("GET", "/b?acl", false, "GetBucketAcl"),
            ("PUT", "/b?acl", false, "PutBucketAcl"),
            ("GET", "/b/k?acl", false, "GetObjectAcl"),
            ("PUT", "/b/k?acl&versionId=null", false, "PutObjectAcl"),
            ("GET", "/b?prefix=a&max-keys=3", false, "ListObjects"),
            (
                "GET",
                "/b?list-type=2&x-id=ListObjectsV2",
                false,
                "ListObjectsV2",
            ),
            ("GET", "/b?uploads", false, "ListMultipartUploads"),
            ("GET", "/b?versions", false, "ListObjectVersions"),
            ("GET", "/b/k?attributes", false, "GetObjectAttributes"),
            ("POST", "/b?delete", false, "DeleteObjects"),
            ("PUT", "/b/k?x-id=PutObject", false, "PutObject"),
            ("PUT", "/b/k", true, "CopyObject"),
            ("GET", "/b/k?versionId=null", false, "GetObject"),
            ("HEAD", "/b/k", false, "HeadObject"),
            ("DELETE", "/b/k", false, "DeleteObject"),
            ("POST", "/b/k?uploads", false, "CreateMultipartUpload"),
            ("PUT", "/b/k?partNumber=1&uploadId=u", false, "UploadPart"),
            (
                "PUT",
                "/b/k?partNumber=1&uploadId=u",
                true,
                "UploadPartCopy",
            ),
            ("POST", "/b/k?uploadId=u", false, "CompleteMultipartUpload"),
            ("DELETE", "/b/k?uploadId=u", false, "AbortMultipartUpload"),
            ("GET", "/b/k?uploadId=u", false, "ListParts"),
        ] {
            assert_eq!(route(method, uri, copies), Ok(name), "{method} {uri}");
        }
    }

    #[test]
    fn an_unknown_subresource_is_refused_and_not_taken_for_the_plain_operation() {
        // PR13
        for (method, uri, code) in [
            ("PUT", "/b/k?renameObject", "NotImplemented"),
            ("DELETE", "/b/k?retention", "NotImplemented"),
            ("DELETE", "/b?object-lock", "NotImplemented"),
            ("PUT", "/b?policy", "NotImplemented"),
            ("DELETE", "/b/k?acl", "NotImplemented"),
            ("PUT", "/b/k?acl&tagging", "NotImplemented"),
            ("GET", "/b?anything=1", "NotImplemented"),
            ("POST", "/b/k?restore", "NotImplemented"),
            ("POST", "/b", "NotImplemented"),
            ("DELETE", "/b/k?uploadId=u&versionId=null", "NotImplemented"),
            ("PUT", "/b/k?uploadId=u", "InvalidArgument"),
            ("PUT", "/b/k?partNumber=1", "InvalidArgument"),
            ("GET", "/b?prefix=a&prefix=b", "InvalidArgument"),
            ("GET", "/b?list-type=3", "InvalidArgument"),
            ("PATCH", "/b/k", "MethodNotAllowed"),
        ] {
            assert_eq!(
                route(method, uri, false),
                Err(code.to_owned()),
                "{method} {uri}"
            );
        }
    }
}
