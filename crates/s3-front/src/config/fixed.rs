//! Configurations a bucket does not have yet, or has unchangeably: one table of what S3 answers.
//!
//! Reading one gives the document or the error of a bucket without it, so that tools which read
//! everything (Terraform does) find a plain bucket. Putting is accepted only for what is so anyway,
//! and refused for all else. Deleting is answered as S3 does where nothing can be lost by it; asking
//! for less protection than there is, is refused.

use http::{Response, StatusCode};

use super::{Answer, Call, document, empty};
use crate::error::{FrontError, Result};
use crate::response::FrontBody;
use crate::route::Operation;
use crate::xml::{Children, Document, Element, malformed};

/// What an operation answers for every bucket.
enum Fixed {
    /// 404 with this code and message.
    Missing(&'static str, &'static str),
    /// This document.
    Document(fn() -> Document),
    /// The document must say what is so anyway: its root, and whether it does.
    Same(&'static str, fn(Element) -> Result<bool>),
    /// There is nothing to delete.
    Gone,
}

const NO_CONFIGURATION: Fixed = Fixed::Missing(
    "NoSuchConfiguration",
    "The specified configuration does not exist.",
);
const NO_POLICY: Fixed = Fixed::Missing("NoSuchBucketPolicy", "The bucket policy does not exist");

/// Answers the request from the table. None when the operation is not in it.
pub async fn answer(call: &Call<'_>) -> Option<Answer> {
    let fixed = fixed(call.operation)?;
    Some(run(call, fixed).await)
}

async fn run(call: &Call<'_>, fixed: Fixed) -> Answer {
    let same = match &fixed {
        Fixed::Same(root, same) => same(call.document(root)?)?,
        _ => true,
    };
    call.front.objects.head_bucket(&call.bucket()?).await?;
    if !same {
        return Err(FrontError::not_implemented(subresource(call)));
    }
    done(fixed)
}

fn done(fixed: Fixed) -> Result<Response<FrontBody>> {
    match fixed {
        Fixed::Missing(code, message) => Err(FrontError::new(StatusCode::NOT_FOUND, code, message)),
        Fixed::Document(make) => Ok(document(make())),
        Fixed::Same(..) => Ok(empty(StatusCode::OK)),
        Fixed::Gone => Ok(empty(StatusCode::NO_CONTENT)),
    }
}

fn subresource<'a>(call: &'a Call<'_>) -> &'a str {
    let first = call.target.query.iter().find(|(name, _)| name != "x-id");
    first.map_or("", |(name, _)| name.as_str())
}

fn fixed(operation: Operation) -> Option<Fixed> {
    missing(operation)
        .or_else(|| documents(operation))
        .or_else(|| puts(operation))
}

/// What no bucket has.
fn missing(operation: Operation) -> Option<Fixed> {
    use Fixed::{Gone, Missing};
    use Operation as O;
    Some(match operation {
        O::GetBucketPolicy | O::GetBucketPolicyStatus => NO_POLICY,
        O::GetBucketLifecycleConfiguration => Missing(
            "NoSuchLifecycleConfiguration",
            "The lifecycle configuration does not exist",
        ),
        O::GetBucketReplication => Missing(
            "ReplicationConfigurationNotFoundError",
            "The replication configuration was not found",
        ),
        O::GetBucketEncryption => Missing(
            "ServerSideEncryptionConfigurationNotFoundError",
            "The server side encryption configuration was not found",
        ),
        O::GetBucketMetadataConfiguration => Missing(
            "MetadataConfigurationNotFound",
            "The metadata configuration was not found",
        ),
        O::GetBucketAnalyticsConfiguration
        | O::GetBucketMetricsConfiguration
        | O::GetBucketInventoryConfiguration
        | O::GetBucketIntelligentTieringConfiguration
        | O::DeleteBucketAnalyticsConfiguration
        | O::DeleteBucketMetricsConfiguration
        | O::DeleteBucketInventoryConfiguration
        | O::DeleteBucketIntelligentTieringConfiguration => NO_CONFIGURATION,
        O::DeleteBucketPolicy
        | O::DeleteBucketLifecycle
        | O::DeleteBucketReplication
        | O::DeleteBucketEncryption => Gone,
        _ => return None,
    })
}

/// What every bucket has.
fn documents(operation: Operation) -> Option<Fixed> {
    use Fixed::Document as Doc;
    use Operation as O;
    Some(match operation {
        O::GetBucketLogging => Doc(|| Document::new("BucketLoggingStatus")),
        O::GetBucketNotificationConfiguration => Doc(|| Document::new("NotificationConfiguration")),
        O::GetBucketAccelerateConfiguration => Doc(|| Document::new("AccelerateConfiguration")),
        O::GetBucketRequestPayment => {
            Doc(|| Document::new("RequestPaymentConfiguration").element("Payer", "BucketOwner"))
        }
        O::GetBucketOwnershipControls => Doc(|| {
            Document::new("OwnershipControls")
                .open("Rule")
                .element("ObjectOwnership", "BucketOwnerEnforced")
        }),
        O::GetPublicAccessBlock => Doc(public_access_block),
        O::GetBucketAbac => Doc(|| Document::new("AbacStatus").element("Status", "Disabled")),
        O::ListBucketAnalyticsConfigurations => {
            Doc(|| empty_list("ListBucketAnalyticsConfigurationResult"))
        }
        O::ListBucketMetricsConfigurations => Doc(|| empty_list("ListMetricsConfigurationsResult")),
        O::ListBucketInventoryConfigurations => {
            Doc(|| empty_list("ListInventoryConfigurationsResult"))
        }
        O::ListBucketIntelligentTieringConfigurations => {
            Doc(|| empty_list("ListBucketIntelligentTieringConfigurationsOutput"))
        }
        _ => return None,
    })
}

/// What may be put again.
fn puts(operation: Operation) -> Option<Fixed> {
    use Fixed::Same;
    use Operation as O;
    Some(match operation {
        O::PutBucketLogging => Same("BucketLoggingStatus", is_empty),
        O::PutBucketNotificationConfiguration => Same("NotificationConfiguration", is_empty),
        O::PutBucketRequestPayment => Same("RequestPaymentConfiguration", |document| {
            one_of(
                document.into_children()?,
                "Payer",
                "BucketOwner",
                &["Requester"],
            )
        }),
        O::PutBucketOwnershipControls => Same("OwnershipControls", |document| {
            let mut children = document.into_children()?;
            let rule = children.one("Rule")?.into_children()?;
            children.end()?;
            let others = ["ObjectWriter", "BucketOwnerPreferred"];
            one_of(rule, "ObjectOwnership", "BucketOwnerEnforced", &others)
        }),
        O::PutPublicAccessBlock => Same("PublicAccessBlockConfiguration", blocks_everything),
        O::PutBucketAbac => Same("AbacStatus", |document| {
            one_of(
                document.into_children()?,
                "Status",
                "Disabled",
                &["Enabled"],
            )
        }),
        _ => return None,
    })
}

const PUBLIC_ACCESS_FLAGS: [&str; 4] = [
    "BlockPublicAcls",
    "IgnorePublicAcls",
    "BlockPublicPolicy",
    "RestrictPublicBuckets",
];

/// BK01: nothing in a bucket is public.
fn public_access_block() -> Document {
    PUBLIC_ACCESS_FLAGS.iter().fold(
        Document::new("PublicAccessBlockConfiguration"),
        |out, flag| out.element(flag, "true"),
    )
}

fn blocks_everything(document: Element) -> Result<bool> {
    let mut children = document.into_children()?;
    let mut all = true;
    for flag in PUBLIC_ACCESS_FLAGS {
        all &= match children.text(flag)?.as_deref() {
            Some("true" | "TRUE" | "1") => true,
            None | Some("false" | "FALSE" | "0") => false,
            Some(_) => return Err(malformed()),
        };
    }
    children.end()?;
    Ok(all)
}

/// A document without elements turns off what is off.
fn is_empty(document: Element) -> Result<bool> {
    Ok(document.children.is_empty() && document.text.trim().is_empty())
}

/// Whether the one child says `same`; another of S3's words is not.
fn one_of(mut children: Children, name: &str, same: &str, others: &[&str]) -> Result<bool> {
    let text = children.one(name)?.into_text()?;
    children.end()?;
    match text.as_str() {
        text if text == same => Ok(true),
        text if others.contains(&text) => Ok(false),
        _ => Err(malformed()),
    }
}

fn empty_list(root: &'static str) -> Document {
    Document::new(root).element("IsTruncated", "false")
}
