//! What the tests ask of a machine's domain, in one bucket.

use bytes::Bytes;
use futures::TryStreamExt;
use strongroom_base::{Random, SeededRandom};
use strongroom_objects::*;
use strongroom_types::{BucketName, ObjectKey, Owner, PartNumber};

pub fn bucket() -> BucketName {
    BucketName::new("machine").unwrap()
}

/// Bytes that do not repeat, so that no block can be taken for another.
pub fn bytes(seed: u64, size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    SeededRandom::new(seed).fill(&mut bytes);
    bytes.into()
}

pub fn content(bytes: &Bytes) -> Content {
    let stream = futures::stream::iter([Ok(bytes.clone())]);
    Content::new(Box::pin(stream), bytes.len() as u64)
}

pub async fn make_bucket(objects: &Objects) -> Result<()> {
    let owner = Owner::new("somebody").unwrap();
    let (bucket, tags) = (bucket(), Default::default());
    let request = CreateBucket {
        lock_enabled: false,
        bucket,
        owner,
        tags,
    };
    objects.create_bucket(request).await
}

pub async fn put(objects: &Objects, key: &str, bytes: &Bytes) -> Result<PutObjectOutput> {
    put_if(objects, key, bytes, WriteConditions::default()).await
}

pub async fn put_if(
    objects: &Objects,
    key: &str,
    bytes: &Bytes,
    conditions: WriteConditions,
) -> Result<PutObjectOutput> {
    let request = PutObject {
        lock: Default::default(),
        bucket: bucket(),
        key: ObjectKey::new(key).unwrap(),
        content: content(bytes),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        conditions,
    };
    objects.put_object(request).await
}

pub async fn get(objects: &Objects, key: &str) -> Result<Bytes> {
    let request = GetObject::new(bucket(), ObjectKey::new(key).unwrap());
    let answer = objects.get_object(request).await?;
    let pieces: Vec<Bytes> = answer.content.try_collect().await.map_err(|error| {
        let message = error.message;
        match error.kind {
            ContentErrorKind::Unavailable => Error::Unavailable { message },
            ContentErrorKind::Corrupt => Error::Corrupt { message },
            _ => Error::ContentFailed { message },
        }
    })?;
    Ok(pieces.concat().into())
}

pub async fn delete(objects: &Objects, key: &str) -> Result<()> {
    let request = DeleteObject {
        bypass: Default::default(),
        bucket: bucket(),
        key: ObjectKey::new(key).unwrap(),
        version_id: None,
        if_match: None,
    };
    objects.delete_object(request).await.map(drop)
}

/// An object sent in parts.
pub async fn put_parts(objects: &Objects, key: &str, parts: &[Bytes]) -> Result<()> {
    let key = ObjectKey::new(key).unwrap();
    let request = CreateUpload {
        lock: Default::default(),
        bucket: bucket(),
        key: key.clone(),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        checksum_algorithm: None,
        checksum_type: None,
    };
    let upload_id = objects.create_upload(request).await?.upload_id;
    let mut completed = Vec::new();
    for (index, bytes) in parts.iter().enumerate() {
        let part_number = PartNumber::new(index as i64 + 1).unwrap();
        let request = UploadPart {
            bucket: bucket(),
            key: key.clone(),
            upload_id,
            part_number,
            content: content(bytes),
        };
        let etag = objects.upload_part(request).await?.etag.quoted();
        completed.push(CompletedPart {
            part_number,
            etag,
            checksum: None,
        });
    }
    let request = CompleteUpload {
        bucket: bucket(),
        key,
        upload_id,
        parts: completed,
        conditions: WriteConditions::default(),
        checksum: None,
        checksum_type: None,
        object_size: None,
    };
    objects.complete_upload(request).await.map(drop)
}

/// Keys and sizes, in pages of a few.
pub async fn list(objects: &Objects) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    let mut start = ListStart::Beginning;
    loop {
        let request = ListObjects {
            bucket: bucket(),
            prefix: String::new(),
            delimiter: None,
            start,
            keys_max: 4,
        };
        let page = objects.list_objects(request).await?;
        let entry = |object: ListedObject| (object.key.as_str().to_owned(), object.size);
        found.extend(page.objects.into_iter().map(entry));
        match page.continuation_token {
            Some(token) => start = ListStart::Token(token),
            None => return Ok(found),
        }
    }
}
