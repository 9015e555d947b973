//! Access control lists, as S3 has them where they are disabled: every bucket is owned by one account,
//! which has full control of all in it, and no list can say otherwise (BK01, BK09).
//!
//! A list that says what is so anyway is accepted in whichever form it comes: no list, the canned
//! `bucket-owner-full-control`, the canned `private`, a grant of full control to the owner and to
//! nobody else. Every other is refused, because one that is accepted and ignored would be believed.
//! (S3 refuses `private` too. Clients send it always, and it asks for nothing else.)

use http::{HeaderMap, StatusCode};
use s3s::dto::{AccessControlPolicy, Grant, Grantee};
use strongroom_types::Owner;

use crate::error::{FrontError, Result};
use crate::route::Operation;

/// Canned lists that say what is so anyway.
const CANNED_ACCEPTED: [&str; 2] = ["private", "bucket-owner-full-control"];
/// The other canned lists there are.
const CANNED_REFUSED: [&str; 6] = [
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "log-delivery-write",
];
const CANNED_HEADER: &str = "x-amz-acl";
const FULL_CONTROL_HEADER: &str = "x-amz-grant-full-control";
const GRANT_HEADERS: [&str; 5] = [
    FULL_CONTROL_HEADER,
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
];
const FULL_CONTROL: &str = "FULL_CONTROL";
const PERMISSIONS: [&str; 5] = [FULL_CONTROL, "READ", "READ_ACP", "WRITE", "WRITE_ACP"];
/// Most grants of a list: S3's.
const GRANTS_MAX: usize = 100;

/// Checks the list that the headers of a request describe, if they describe one; `owner` is the
/// bucket's, and the caller.
///
/// # Errors
/// `AccessControlListNotSupported` (at CreateBucket `InvalidBucketAclWithObjectOwnership`) for a list
/// we cannot keep, `MethodNotAllowed` for a grant by e-mail, `InvalidArgument` or `InvalidRequest`
/// for headers that describe none.
pub fn check_headers(operation: Operation, headers: &HeaderMap, owner: &Owner) -> Result<()> {
    let canned = headers.contains_key(CANNED_HEADER);
    if canned && describes_grants(headers) {
        return Err(FrontError::invalid_request(
            "specifying both Canned ACLs and Header Grants is not allowed",
        ));
    }
    for value in headers.get_all(CANNED_HEADER) {
        check_canned(operation, value.to_str().unwrap_or(""))?;
    }
    for name in GRANT_HEADERS {
        for value in headers.get_all(name) {
            check_grant_header(operation, name, value.to_str().unwrap_or(""), owner)?;
        }
    }
    Ok(())
}

/// Whether the headers describe a list.
pub fn in_headers(headers: &HeaderMap) -> bool {
    headers.contains_key(CANNED_HEADER) || describes_grants(headers)
}

fn describes_grants(headers: &HeaderMap) -> bool {
    GRANT_HEADERS.iter().any(|name| headers.contains_key(*name))
}

fn check_canned(operation: Operation, text: &str) -> Result<()> {
    if CANNED_ACCEPTED.contains(&text) {
        return Ok(());
    }
    if CANNED_REFUSED.contains(&text) {
        return Err(refused(operation));
    }
    Err(FrontError::invalid_argument(CANNED_HEADER, text, ""))
}

/// `id="…", uri="…", emailAddress="…"`.
fn check_grant_header(operation: Operation, name: &str, text: &str, owner: &Owner) -> Result<()> {
    let malformed = || FrontError::invalid_argument(name, text, "argument format not recognized");
    let mut says_what_is_so = name == FULL_CONTROL_HEADER;
    for grantee in text.split(',') {
        let (kind, value) = grantee.trim().split_once('=').ok_or_else(malformed)?;
        let value = match value.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"').ok_or_else(malformed)?,
            None => value,
        };
        match kind {
            _ if value.is_empty() => return Err(malformed()),
            "id" => says_what_is_so &= value == owner.as_str(),
            "uri" => says_what_is_so = false,
            "emailAddress" => return Err(by_email()),
            _ => return Err(malformed()),
        }
    }
    if says_what_is_so {
        Ok(())
    } else {
        Err(refused(operation))
    }
}

/// Checks a list that came as a document.
///
/// # Errors
/// `MalformedACLError`, and those of [`check_headers`].
pub fn check_document(
    operation: Operation,
    policy: &AccessControlPolicy,
    owner: &Owner,
) -> Result<()> {
    let named = policy.owner.as_ref().and_then(|owner| owner.id.as_deref());
    let named = named.ok_or_else(malformed)?;
    let grants = policy.grants.as_deref().ok_or_else(malformed)?;
    if grants.len() > GRANTS_MAX {
        return Err(malformed());
    }
    let mut says_what_is_so = named == owner.as_str() && !grants.is_empty();
    for grant in grants {
        says_what_is_so &= is_full_control_of(grant, owner)?;
    }
    if says_what_is_so {
        Ok(())
    } else {
        Err(refused(operation))
    }
}

fn is_full_control_of(grant: &Grant, owner: &Owner) -> Result<bool> {
    let permission = grant.permission.as_ref().ok_or_else(malformed)?.as_str();
    let grantee = grant.grantee.as_ref().ok_or_else(malformed)?;
    if !PERMISSIONS.contains(&permission) {
        return Err(malformed());
    }
    let Grantee {
        id,
        uri,
        email_address,
        type_,
        ..
    } = grantee;
    match (type_.as_str(), id, uri, email_address) {
        ("CanonicalUser", Some(id), None, None) => {
            Ok(id == owner.as_str() && permission == FULL_CONTROL)
        }
        ("Group", None, Some(_), None) => Ok(false),
        ("AmazonCustomerByEmail", None, None, Some(_)) => Err(by_email()),
        _ => Err(malformed()),
    }
}

/// Gives a document that could not be read the code it has for lists.
pub fn name_malformed(operation: Operation, error: FrontError) -> FrontError {
    let is_list = matches!(operation, Operation::PutBucketAcl | Operation::PutObjectAcl);
    if is_list && error.code == "MalformedXML" {
        malformed()
    } else {
        error
    }
}

fn malformed() -> FrontError {
    FrontError::bad_request(
        "MalformedACLError",
        "the ACL that you provided was not well formed or did not validate against our published \
         schema",
    )
}

/// Since October 2025 an e-mail address names no grantee.
fn by_email() -> FrontError {
    FrontError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "a grantee is not named by an e-mail address any more, use the canonical id",
    )
}

fn refused(operation: Operation) -> FrontError {
    if operation == Operation::CreateBucket {
        return FrontError::bad_request(
            "InvalidBucketAclWithObjectOwnership",
            "bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        );
    }
    FrontError::bad_request(
        "AccessControlListNotSupported",
        "the bucket does not allow ACLs",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: &str = "00ff";

    fn owner() -> Owner {
        Owner::new(OWNER).unwrap()
    }

    fn code(operation: Operation, given: &[(&'static str, &str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.insert(*name, value.parse().unwrap());
        }
        check_headers(operation, &headers, &owner())
            .err()
            .map(|error| format!("{} {}", error.status.as_u16(), error.code))
    }

    #[test]
    fn a_list_that_says_what_is_so_anyway_is_accepted_and_no_other() {
        // BK01, BK09
        let refused = Some("400 AccessControlListNotSupported");
        let invalid = Some("400 InvalidArgument");
        for (name, value, expected) in [
            ("x-amz-acl", "private", None),
            ("x-amz-acl", "bucket-owner-full-control", None),
            ("x-amz-acl", "public-read", refused),
            ("x-amz-acl", "public-read-write", refused),
            ("x-amz-acl", "authenticated-read", refused),
            ("x-amz-acl", "bucket-owner-read", refused),
            ("x-amz-acl", "log-delivery-write", refused),
            ("x-amz-acl", "Private", invalid),
            ("x-amz-acl", "", invalid),
            ("x-amz-acl", "private,private", invalid),
            ("x-amz-grant-full-control", "id=00ff", None),
            ("x-amz-grant-full-control", "id=\"00ff\"", None),
            (
                "x-amz-grant-full-control",
                "id=\"00ff\", id=\"00fe\"",
                refused,
            ),
            ("x-amz-grant-full-control", "id=00ff, uri=x", refused),
            ("x-amz-grant-read", "id=00ff", refused),
            ("x-amz-grant-write-acp", "id=1", refused),
            ("x-amz-grant-read", "00ff", invalid),
            ("x-amz-grant-read", "", invalid),
            ("x-amz-grant-read", "id=", invalid),
            ("x-amz-grant-read", "id=\"1", invalid),
            ("x-amz-grant-read", "name=1", invalid),
            (
                "x-amz-grant-read",
                "emailAddress=a@example.com",
                Some("405 MethodNotAllowed"),
            ),
        ] {
            let found = code(Operation::PutObject, &[(name, value)]);
            assert_eq!(found.as_deref(), expected, "{name}: {value}");
        }
        let both = [("x-amz-acl", "private"), ("x-amz-grant-read", "id=00ff")];
        assert_eq!(
            code(Operation::PutObject, &both).as_deref(),
            Some("400 InvalidRequest")
        );
        let made = code(Operation::CreateBucket, &[("x-amz-acl", "public-read")]);
        assert_eq!(
            made.as_deref(),
            Some("400 InvalidBucketAclWithObjectOwnership")
        );
    }
}
