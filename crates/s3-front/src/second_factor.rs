//! `x-amz-mfa`: the second factor of a request (RFC 0015).
//!
//! Invariants
//! - A code is used up or refused wherever the header is looked at; it is never ignored (MF03).
//! - A code that came unencrypted is not looked at: whoever listens would have it as soon as we do
//!   (MF01).

use strongroom_objects::{Objects, SecondFactor};
use strongroom_types::BucketName;

use crate::context::RequestContext;
use crate::error::{FrontError, Result};
use crate::front::S3Front;

/// The header.
pub const HEADER: &str = "x-amz-mfa";

/// The connection of a request is encrypted and ends in this process: an extension of the request set
/// by whoever stands before the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encrypted;

/// The domain with the second factor of this request, if it came with one. To be asked for last: the
/// code can not be used again.
///
/// # Errors
/// `AccessDenied`, and those of reaching the bucket.
pub async fn presented(
    front: &S3Front,
    context: &RequestContext,
    bucket: &BucketName,
) -> Result<Objects> {
    let mut given = context.headers.get_all(HEADER).iter();
    let Some(value) = given.next() else {
        return Ok(front.objects.clone());
    };
    if !context.encrypted {
        let message = "x-amz-mfa is taken over HTTPS to this server only";
        return Err(FrontError::forbidden("AccessDenied", message));
    }
    let factor = value.to_str().ok().and_then(SecondFactor::parse);
    let Some(factor) = factor.filter(|_| given.next().is_none()) else {
        return Err(FrontError::forbidden("AccessDenied", "Access Denied"));
    };
    Ok(front.objects.with_second_factor(bucket, &factor).await?)
}
