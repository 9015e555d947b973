//! Which request headers are acted on, and the refusal of all other `x-amz-*` headers.
//!
//! A header that asks for protection (a lock, encryption, a grant) and is ignored is worse than an
//! error (PR13), so the list names what we know and not what we refuse.

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::auth::QUERY_AUTH_PARAMETERS;
use crate::error::{FrontError, Result};
use crate::route::{Operation, is_header_or_signature};
use crate::second_factor;
use crate::target::Target;

/// Headers we act on, or that ask for nothing.
const KNOWN: [&str; 46] = [
    "x-amz-acl",
    "x-amz-bucket-object-lock-enabled",
    // OL03: no longer asked for, and ignored.
    "x-amz-bucket-object-lock-token",
    "x-amz-bypass-governance-retention",
    "x-amz-checksum-algorithm",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-mode",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-checksum-type",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-copy-source-range",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-expected-bucket-owner",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-max-parts",
    "x-amz-metadata-directive",
    "x-amz-mfa",
    "x-amz-mp-object-size",
    "x-amz-object-attributes",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-optional-object-attributes",
    "x-amz-part-number-marker",
    "x-amz-request-payer",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-source-expected-bucket-owner",
    "x-amz-tagging",
    "x-amz-tagging-directive",
    "x-amz-te",
    "x-amz-trailer",
    "x-amz-user-agent",
    "x-amz-website-redirect-location",
];

/// Headers that ask for what is so anyway when they have one of these values.
const KNOWN_VALUES: [(&str, &[&str]); 3] = [
    // The only version of the API there is; the AWS SDK for C++, and so pyarrow, names it.
    ("x-amz-api-version", &["2006-03-01"]),
    ("x-amz-storage-class", &["STANDARD"]),
    ("x-amz-object-ownership", &["BucketOwnerEnforced"]),
];

/// Refuses what we would otherwise ignore.
///
/// # Errors
/// `NotImplemented` naming the header, `InvalidStorageClass`.
pub fn refuse_unknown(headers: &HeaderMap) -> Result<()> {
    if headers
        .get("x-amz-copy-source")
        .is_some_and(HeaderValue::is_empty)
    {
        let message = "the source of a copy is missing";
        return Err(FrontError::invalid_argument(
            "x-amz-copy-source",
            "",
            message,
        ));
    }
    for (name, value) in headers {
        let name = name.as_str();
        if !name.starts_with("x-amz-") || KNOWN.contains(&name) || name.starts_with("x-amz-meta-") {
            continue;
        }
        let values = KNOWN_VALUES.iter().find(|(known, _)| *known == name);
        let text = value.to_str().unwrap_or("");
        match values {
            Some((_, values)) if values.contains(&text) => {}
            Some(("x-amz-storage-class", _)) => check_storage_class(text)?,
            _ => return Err(FrontError::not_implemented(name)),
        }
    }
    Ok(())
}

/// Headers of operations that make a version, which ask for something there only.
const OF_NEW_VERSIONS: [&str; 6] = [
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-tagging",
    "x-amz-tagging-directive",
    "x-amz-website-redirect-location",
];

/// Asks to pass by locks.
const OF_REMOVALS: [&str; 1] = ["x-amz-bypass-governance-retention"];

/// Proves that a person asks.
const OF_SECOND_FACTOR: [&str; 1] = [second_factor::HEADER];

/// Asks for a bucket with locks.
const OF_NEW_BUCKETS: [&str; 1] = ["x-amz-bucket-object-lock-enabled"];

/// Refuses headers that the operation would ignore.
///
/// # Errors
/// `NotImplemented` naming the header.
pub fn refuse_misplaced(operation: Operation, headers: &HeaderMap) -> Result<()> {
    use Operation as O;
    let makes_version = matches!(
        operation,
        O::PutObject | O::CopyObject | O::CreateMultipartUpload
    );
    let passes_locks = matches!(
        operation,
        O::DeleteObject | O::DeleteObjects | O::PutObjectRetention
    );
    let makes_bucket = operation == O::CreateBucket;
    let takes_second_factor = matches!(
        operation,
        O::DeleteObject | O::DeleteObjects | O::PutBucketVersioning
    );
    let tables: [(bool, &[&'static str]); 4] = [
        (makes_version, &OF_NEW_VERSIONS),
        (passes_locks, &OF_REMOVALS),
        (makes_bucket, &OF_NEW_BUCKETS),
        (takes_second_factor, &OF_SECOND_FACTOR),
    ];
    let misplaced = tables
        .into_iter()
        .filter(|(is_place, _)| !is_place)
        .flat_map(|(_, names)| names)
        .find(|name| headers.contains_key(**name));
    match misplaced {
        None => Ok(()),
        Some(name) => Err(FrontError::not_implemented(name)),
    }
}

fn check_storage_class(class: &str) -> Result<()> {
    const NOT_IMPLEMENTED: [&str; 11] = [
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER",
        "GLACIER_IR",
        "DEEP_ARCHIVE",
        "OUTPOSTS",
        "SNOW",
        "EXPRESS_ONEZONE",
        "FSX_OPENZFS",
    ];
    if NOT_IMPLEMENTED.contains(&class) {
        return Err(FrontError::not_implemented("x-amz-storage-class"));
    }
    Err(FrontError::bad_request(
        "InvalidStorageClass",
        "the storage class you specified is not valid",
    )
    .with("StorageClassRequested", class))
}

/// Checks the expected bucket owners against the caller's account, which owns every bucket that the
/// request reaches (PR06).
///
/// # Errors
/// `InvalidBucketOwnerAWSAccountID`, `AccessDenied`.
pub fn check_expected_owner(headers: &HeaderMap, account_id: &str) -> Result<()> {
    for name in [
        "x-amz-expected-bucket-owner",
        "x-amz-source-expected-bucket-owner",
    ] {
        let Some(value) = headers.get(name) else {
            continue;
        };
        let text = value.to_str().unwrap_or("");
        if text.len() != 12 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(FrontError::new(
                StatusCode::BAD_REQUEST,
                "InvalidBucketOwnerAWSAccountID",
                "the value of the expected bucket owner parameter must be an AWS account ID",
            ));
        }
        if text != account_id {
            return Err(FrontError::denied("access denied"));
        }
    }
    Ok(())
}

/// Turns `x-amz-*` parameters of the query into the headers they stand for: SDKs that presign put
/// headers there, and one that asks for protection must not be lost.
///
/// # Errors
/// `InvalidArgument` when one is no header, or is also given as a header.
pub fn take_from_query(target: &Target, headers: &mut HeaderMap) -> Result<()> {
    for (name, value) in &target.query {
        let is_signature = QUERY_AUTH_PARAMETERS.contains(&name.as_str());
        if is_signature || !is_header_or_signature(name) {
            continue;
        }
        let refused = || FrontError::invalid_argument(name, value.as_str(), "not a valid header");
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
        let content = HeaderValue::from_str(value).map_err(|_| refused())?;
        let given = headers.get(&header).is_some_and(|other| other != content);
        if given {
            return Err(refused());
        }
        headers.insert(header, content);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &'static str, value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        refuse_unknown(&headers)
            .err()
            .map(|error| error.code.into_owned())
    }

    #[test]
    fn a_header_that_asks_for_protection_is_refused_and_not_ignored() {
        // PR13
        for (name, value) in [
            ("x-amz-server-side-encryption", "AES256"),
            ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
            ("x-amz-object-lock-event-hold", "ON"),
            ("x-amz-grant-everything", "id=1"),
            ("x-amz-storage-class", "GLACIER"),
            ("x-amz-api-version", "2030-01-01"),
            ("x-amz-if-match-size", "1"),
            ("x-amz-write-offset-bytes", "1"),
            ("x-amz-something-new", "1"),
        ] {
            assert_eq!(
                refused(name, value).as_deref(),
                Some("NotImplemented"),
                "{name}"
            );
        }
        let unknown = refused("x-amz-storage-class", "standard");
        assert_eq!(unknown.as_deref(), Some("InvalidStorageClass"));
    }

    #[test]
    fn headers_that_ask_for_what_is_so_anyway_are_accepted() {
        for (name, value) in [
            ("x-amz-acl", "private"),
            ("x-amz-storage-class", "STANDARD"),
            ("x-amz-api-version", "2006-03-01"),
            ("x-amz-meta-server-side-encryption", "x"),
        ] {
            assert_eq!(refused(name, value), None, "{name}");
        }
    }
}
