//! CreateBucket.

use s3s::S3Response;
use s3s::dto::{CreateBucketInput, CreateBucketOutput};
use strongroom_objects::{CreateBucket, Error, Tags};

use super::Answer;
use crate::config::read_tags;
use crate::context::ContextRef;
use crate::convert::bucket_name;
use crate::error::{FrontError, Result};
use crate::front::S3Front;
use crate::lock_headers::{BUCKET_LOCK, flag};
use crate::xml;

/// The region in which S3 answers 200 to the owner who makes a bucket again.
const FIRST_REGION: &str = "us-east-1";

/// CreateBucket: in our region only (BK04).
pub async fn run(
    front: &S3Front,
    context: &ContextRef,
    input: CreateBucketInput,
) -> Answer<CreateBucketOutput> {
    let bucket = bucket_name(input.bucket)?;
    let tags = if context.content.is_empty() {
        Tags::default()
    } else {
        read_configuration(&context.content, &front.region)?
    };
    let lock_enabled = flag(context, BUCKET_LOCK)? == Some(true);
    let asks_more = lock_enabled || !tags.is_empty();
    let location = format!("/{bucket}");
    let request = CreateBucket {
        bucket,
        owner: context.caller.owner(),
        tags,
        lock_enabled,
    };
    match front.objects.create_bucket(request).await {
        // BK03: where clients were never told otherwise, making a bucket again is no error; but one
        // with tags or locks is not the one there is.
        Err(Error::BucketAlreadyOwnedByYou) if front.region == FIRST_REGION && !asks_more => {}
        made => made?,
    }
    Ok(S3Response::new(CreateBucketOutput {
        location: Some(location),
    }))
}

/// The tags of the document, once the rest of it is found to be as we are. Read here and not by
/// `s3s`, which skips what it does not know.
fn read_configuration(content: &[u8], region: &str) -> Result<Tags> {
    let mut children = xml::parse(content, "CreateBucketConfiguration")?.into_children()?;
    for name in ["Bucket", "Location"] {
        if children.optional(name)?.is_some() {
            return Err(FrontError::not_implemented(name));
        }
    }
    let constraint = children.text("LocationConstraint")?;
    let tags = children.optional("Tags")?.map(read_tags).transpose()?;
    children.end()?;
    match constraint.as_deref() {
        None | Some("") => {}
        Some(constraint) if constraint == region => {}
        Some(constraint) => {
            return Err(FrontError::bad_request(
                "IllegalLocationConstraintException",
                format!(
                    "the {constraint} location constraint is incompatible for the region \
                     specific endpoint this request was sent to"
                ),
            ));
        }
    }
    Ok(Tags::of_bucket(tags.unwrap_or_default())?)
}
