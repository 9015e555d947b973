//! GetBucketAcl, PutBucketAcl, GetObjectAcl, PutObjectAcl: of lists that are disabled.

use s3s::S3Response;
use s3s::dto::*;
use strongroom_objects::{Error, GetObject};

use super::{Answer, display_name, wire_owner};
use crate::acl;
use crate::context::{ContextRef, RequestContext};
use crate::convert::{bucket_name, object_key, version_id};
use crate::error::{FrontError, Result};
use crate::front::S3Front;
use crate::route::Operation;

/// GetBucketAcl: the owner has full control, and nobody else anything.
pub async fn get_bucket(
    front: &S3Front,
    context: &ContextRef,
    input: GetBucketAclInput,
) -> Answer<GetBucketAclOutput> {
    let bucket = bucket_name(input.bucket)?;
    front.objects.head_bucket(&bucket).await?;
    Ok(S3Response::new(GetBucketAclOutput {
        grants: Some(grants(context)),
        owner: Some(wire_owner(context, &context.caller.owner())),
    }))
}

/// PutBucketAcl: accepted when it changes nothing.
pub async fn put_bucket(
    front: &S3Front,
    context: &ContextRef,
    input: PutBucketAclInput,
) -> Answer<PutBucketAclOutput> {
    let policy = input.access_control_policy.as_ref();
    check_put(Operation::PutBucketAcl, context, policy)?;
    let bucket = bucket_name(input.bucket)?;
    front.objects.head_bucket(&bucket).await?;
    Ok(S3Response::new(PutBucketAclOutput::default()))
}

/// GetObjectAcl: the bucket's owner has full control of every version.
pub async fn get_object(
    front: &S3Front,
    context: &ContextRef,
    input: GetObjectAclInput,
) -> Answer<GetObjectAclOutput> {
    let version = input.version_id.as_deref();
    find(front, input.bucket, input.key, version).await?;
    Ok(S3Response::new(GetObjectAclOutput {
        grants: Some(grants(context)),
        owner: Some(wire_owner(context, &context.caller.owner())),
        ..GetObjectAclOutput::default()
    }))
}

/// PutObjectAcl: accepted when it changes nothing.
pub async fn put_object(
    front: &S3Front,
    context: &ContextRef,
    input: PutObjectAclInput,
) -> Answer<PutObjectAclOutput> {
    let policy = input.access_control_policy.as_ref();
    check_put(Operation::PutObjectAcl, context, policy)?;
    let version = input.version_id.as_deref();
    find(front, input.bucket, input.key, version).await?;
    Ok(S3Response::new(PutObjectAclOutput::default()))
}

/// Whether the version is there; a delete marker has no list (VE21).
async fn find(front: &S3Front, bucket: String, key: String, version: Option<&str>) -> Result<()> {
    let mut request = GetObject::new(bucket_name(bucket)?, object_key(key)?);
    request.version_id = version_id(version)?;
    match front.objects.head_object(request.clone()).await {
        // By its id a marker is answered as VE21 wants it; a read of it says NoSuchKey.
        Err(Error::NoSuchKey {
            delete_marker: Some(marker),
        }) => {
            request.version_id = Some(marker);
            front.objects.head_object(request).await?;
            Ok(())
        }
        found => Ok(found.map(drop)?),
    }
}

/// The list comes in headers, which were checked before, or as a document.
fn check_put(
    operation: Operation,
    context: &RequestContext,
    policy: Option<&AccessControlPolicy>,
) -> Result<()> {
    match (policy, acl::in_headers(&context.headers)) {
        (Some(policy), false) => acl::check_document(operation, policy, &context.caller.owner()),
        (None, true) => Ok(()),
        (Some(_), true) => Err(FrontError::bad_request(
            "UnexpectedContent",
            "this request does not support content",
        )),
        (None, false) => Err(FrontError::bad_request(
            "MissingSecurityHeader",
            "your request was missing a required header",
        )),
    }
}

fn grants(context: &RequestContext) -> Vec<Grant> {
    let owner = context.caller.owner();
    vec![Grant {
        grantee: Some(Grantee {
            display_name: display_name(context, &owner),
            email_address: None,
            id: Some(owner.to_string()),
            type_: Type::from_static(Type::CANONICAL_USER),
            uri: None,
        }),
        permission: Some(Permission::from_static(Permission::FULL_CONTROL)),
    }]
}
