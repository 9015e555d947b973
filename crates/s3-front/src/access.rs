//! Who reaches which bucket: the gate every request passes before its operation.
//!
//! An account reaches its own buckets and no other. The gate is here so that a stranger learns
//! nothing and sends nothing; what makes it exact is the domain, which the operation reaches only as
//! the caller ([`strongroom_objects::Objects::acting_for`]) and which refuses there again, also the
//! source of a copy, and also a bucket that changed hands since.
//!
//! Invariants
//! - Past the gate the bucket of the request is the caller's, unless the operation is one of
//!   [`Operation::needs_no_bucket`].
//! - The answer to a stranger depends on the bucket alone: never on keys, uploads or bodies.

use http::HeaderMap;
use strongroom_objects::Objects;

use crate::auth::credentials::Caller;
use crate::convert::bucket_name;
use crate::error::{FrontError, Result};
use crate::headers::check_expected_owner;
use crate::route::Operation;
use crate::target::Target;

/// Refuses an operation on a bucket that is not the caller's; `objects` acts for the caller.
///
/// # Errors
/// `AccessDenied`, `NoSuchBucket`, `InvalidBucketName`, and those of a wrong expected owner (PR06).
pub async fn check(
    objects: &Objects,
    caller: &Caller,
    operation: Operation,
    target: &Target,
    headers: &HeaderMap,
) -> Result<()> {
    if !operation.needs_no_bucket() {
        let bucket = target.bucket.clone().ok_or_else(FrontError::internal)?;
        objects.head_bucket(&bucket_name(bucket)?).await?;
    }
    check_expected_owner(headers, caller.account.id.as_str())
}
