//! DeleteObject and DeleteObjects.

use s3s::S3Response;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    Error as WireError, ObjectIdentifier,
};
use strongroom_objects::{
    DELETE_KEYS_MAX, DeleteKey, DeleteObject, DeleteObjectOutput as Deleted, DeleteObjects,
    ETagMatch, Error,
};

use super::Answer;
use crate::context::ContextRef;
use crate::convert::{bucket_name, if_match, object_key, version_id};
use crate::digests;
use crate::error::{FrontError, Result};
use crate::front::S3Front;
use crate::lock_headers::bypass;
use crate::second_factor;

/// DeleteObject.
pub async fn one(
    front: &S3Front,
    context: &ContextRef,
    input: DeleteObjectInput,
) -> Answer<DeleteObjectOutput> {
    let request = DeleteObject {
        bucket: bucket_name(input.bucket)?,
        key: object_key(input.key)?,
        version_id: version_id(input.version_id.as_deref())?,
        if_match: if_match(context),
        bypass: bypass(context)?,
    };
    let objects = second_factor::presented(front, context, &request.bucket).await?;
    let deleted = objects.delete_object(request).await?;
    Ok(S3Response::new(DeleteObjectOutput {
        delete_marker: deleted.delete_marker.then_some(true),
        version_id: deleted.version_id.map(|id| id.to_string()),
        ..DeleteObjectOutput::default()
    }))
}

/// DeleteObjects: a few commits for up to a thousand keys; each key has its own answer.
pub async fn many(
    front: &S3Front,
    context: &ContextRef,
    input: DeleteObjectsInput,
) -> Answer<DeleteObjectsOutput> {
    // A list of what to delete must not be damaged on its way.
    digests::demand(&context.headers)?;
    let named = input.delete.objects;
    if named.is_empty() || named.len() > DELETE_KEYS_MAX {
        return Err(FrontError::malformed_xml());
    }
    // A key that is wrong by its form has its own answer and does not spoil the others.
    let keys: Vec<Result<DeleteKey>> = named.iter().map(delete_key).collect();
    let request = DeleteObjects {
        bucket: bucket_name(input.bucket)?,
        keys: keys.iter().flatten().cloned().collect(),
        bypass: bypass(context)?,
    };
    let objects = second_factor::presented(front, context, &request.bucket).await?;
    let mut answers = objects.delete_objects(request).await?.into_iter();
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for (identifier, key) in named.iter().zip(keys) {
        let answer = match key {
            Ok(_) => match answers.next() {
                Some(answer) => answer.map_err(FrontError::from),
                None => Err(FrontError::internal()),
            },
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => deleted.push(wire_deleted(identifier, &answer)),
            Err(error) => errors.push(wire_error(identifier, error)),
        }
    }
    if input.delete.quiet == Some(true) {
        deleted.clear();
    }
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted: Some(deleted),
        errors: Some(errors),
        ..DeleteObjectsOutput::default()
    }))
}

fn delete_key(identifier: &ObjectIdentifier) -> Result<DeleteKey> {
    for (given, name) in [
        (identifier.last_modified_time.is_some(), "LastModifiedTime"),
        (identifier.size.is_some(), "Size"),
    ] {
        if given {
            return Err(FrontError::not_implemented(name));
        }
    }
    let if_match = identifier.e_tag.as_ref().map(|etag| match etag.value() {
        "*" => ETagMatch::Any,
        tag => ETagMatch::OneOf(vec![tag.to_owned()]),
    });
    Ok(DeleteKey {
        key: object_key(identifier.key.clone())?,
        // VE15: a malformed id is that of no version.
        version_id: version_id(identifier.version_id.as_deref())
            .map_err(|_| Error::NoSuchVersion)?,
        if_match,
    })
}

fn wire_deleted(identifier: &ObjectIdentifier, deleted: &Deleted) -> DeletedObject {
    let id = deleted.version_id.map(|id| id.to_string());
    DeletedObject {
        delete_marker: deleted.delete_marker.then_some(true),
        delete_marker_version_id: id.filter(|_| deleted.delete_marker),
        key: Some(identifier.key.clone()),
        version_id: identifier.version_id.clone(),
    }
}

fn wire_error(identifier: &ObjectIdentifier, error: FrontError) -> WireError {
    WireError {
        code: Some(error.code.into_owned()),
        key: Some(identifier.key.clone()),
        message: Some(error.message),
        version_id: identifier.version_id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3s::dto::ETag;

    #[test]
    fn a_condition_on_size_is_refused_for_that_key() {
        // CO09
        let identifier = ObjectIdentifier {
            e_tag: Some(ETag::Strong("*".to_owned())),
            key: "k".to_owned(),
            last_modified_time: None,
            size: Some(1),
            version_id: None,
        };
        assert_eq!(delete_key(&identifier).unwrap_err().code, "NotImplemented");
    }
}
