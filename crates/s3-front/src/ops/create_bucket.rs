//! CreateBucket.

use s3s::S3Response;
use s3s::dto::{CreateBucketConfiguration, CreateBucketInput, CreateBucketOutput};
use strongroom_objects::{CreateBucket, Error};

use super::Answer;
use crate::context::ContextRef;
use crate::convert::bucket_name;
use crate::error::{FrontError, Result};
use crate::front::S3Front;

/// The region in which S3 answers 200 to the owner who makes a bucket again.
const FIRST_REGION: &str = "us-east-1";

/// CreateBucket: in our region only (BK04).
pub async fn run(
    front: &S3Front,
    context: &ContextRef,
    input: CreateBucketInput,
) -> Answer<CreateBucketOutput> {
    let bucket = bucket_name(input.bucket)?;
    if let Some(configuration) = &input.create_bucket_configuration {
        check_configuration(configuration, &front.region)?;
    }
    let location = format!("/{bucket}");
    let request = CreateBucket {
        bucket,
        owner: context.caller.owner(),
    };
    match front.objects.create_bucket(request).await {
        // BK03: where clients were never told otherwise, making a bucket again is no error.
        Err(Error::BucketAlreadyOwnedByYou) if front.region == FIRST_REGION => {}
        made => made?,
    }
    Ok(S3Response::new(CreateBucketOutput {
        location: Some(location),
    }))
}

fn check_configuration(configuration: &CreateBucketConfiguration, region: &str) -> Result<()> {
    for (given, name) in [
        (configuration.bucket.is_some(), "Bucket"),
        (configuration.location.is_some(), "Location"),
    ] {
        if given {
            return Err(FrontError::not_implemented(name));
        }
    }
    let constraint = configuration.location_constraint.as_ref();
    match constraint.map(s3s::dto::BucketLocationConstraint::as_str) {
        None | Some("") => Ok(()),
        Some(constraint) if constraint == region => Ok(()),
        Some(constraint) => Err(FrontError::bad_request(
            "IllegalLocationConstraintException",
            format!(
                "the {constraint} location constraint is incompatible for the region specific \
                 endpoint this request was sent to"
            ),
        )),
    }
}
