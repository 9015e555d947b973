//! The whole visible state against the reference.

use futures::TryStreamExt;
use strongroom_types::{BucketName, ETag, ObjectKey};

use super::Stats;
use super::op::BUCKETS;
use super::reference::{RefBucket, RefObject, RefPage, Reference};
use crate::api::{
    GetObject, ListBuckets, ListObjects, ListObjectsOutput, ListParts, ListStart, ListUploads,
    ObjectVersion,
};
use crate::error::Error;
use crate::hash::md5_of;
use crate::objects::Objects;
use crate::tags::Tags;

/// Small, so that lists have several pages.
const PAGE: u32 = 3;

pub(super) fn bucket_name(name: &str) -> BucketName {
    BucketName::new(name).expect("a name of the model")
}

pub(super) fn object_key(key: &str) -> ObjectKey {
    ObjectKey::new(key).expect("a key of the model")
}

pub(super) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &T,
    expected: &T,
) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: found {found:?}, expected {expected:?}"))
}

pub(super) fn page_of(output: &ListObjectsOutput) -> RefPage {
    RefPage {
        keys: output
            .objects
            .iter()
            .map(|object| object.key.as_str().to_owned())
            .collect(),
        common_prefixes: output.common_prefixes.clone(),
        next: output.next_marker.clone(),
    }
}

pub(super) async fn all(
    objects: &Objects,
    reference: &Reference,
    stats: &mut Stats,
) -> Result<(), String> {
    let request = ListBuckets {
        buckets_max: 10,
        ..ListBuckets::default()
    };
    let listed = objects
        .list_buckets(request)
        .await
        .map_err(|e| format!("list buckets: {e}"))?;
    let names: Vec<_> = listed
        .buckets
        .iter()
        .map(|bucket| bucket.name.to_string())
        .collect();
    same(
        "buckets",
        &names,
        &reference.buckets.keys().cloned().collect(),
    )?;
    for name in BUCKETS {
        match reference.buckets.get(name) {
            Some(bucket) => compare_bucket(objects, name, bucket, stats).await?,
            None => {
                let head = objects.head_bucket(&bucket_name(name)).await;
                same("head of no bucket", &head.is_err(), &true)?;
            }
        }
    }
    Ok(())
}

async fn compare_bucket(
    objects: &Objects,
    name: &str,
    bucket: &RefBucket,
    stats: &mut Stats,
) -> Result<(), String> {
    for delimiter in [None, Some("/")] {
        let mut start = ListStart::Beginning;
        let mut marker: Option<String> = None;
        loop {
            let request = ListObjects {
                bucket: bucket_name(name),
                prefix: String::new(),
                delimiter: delimiter.map(str::to_owned),
                start: start.clone(),
                keys_max: PAGE,
            };
            let listed = objects
                .list_objects(request)
                .await
                .map_err(|e| format!("list: {e}"))?;
            let expected = bucket.list("", delimiter, marker.as_deref(), PAGE as usize);
            same(
                &format!("list of {name} after {marker:?}"),
                &page_of(&listed),
                &expected,
            )?;
            for entry in &listed.objects {
                let object = &bucket.objects[entry.key.as_str()];
                same("listed tag", &entry.etag, &object.etag)?;
                same("listed size", &entry.size, &(object.content.len() as u64))?;
            }
            let Some(token) = listed.continuation_token else {
                break;
            };
            start = ListStart::Token(token);
            marker = listed.next_marker;
        }
    }
    for (key, object) in &bucket.objects {
        compare_object(objects, name, key, object).await?;
        stats.objects_compared += 1;
        stats.bytes_compared += object.content.len() as u64;
    }
    let tags = match objects.bucket_config::<Tags>(&bucket_name(name)).await {
        Ok(tags) => Some(tags),
        Err(Error::NoSuchConfiguration { .. }) => None,
        Err(error) => return Err(format!("tags of {name}: {error}")),
    };
    same(&format!("tags of {name}"), &tags, &bucket.tags)?;
    compare_uploads(objects, name, bucket).await?;
    compare_usage(objects, name, bucket).await
}

/// The counters kept by commits against a recount of the model.
async fn compare_usage(objects: &Objects, name: &str, bucket: &RefBucket) -> Result<(), String> {
    let usage = objects
        .bucket_usage(&bucket_name(name))
        .await
        .map_err(|e| format!("usage: {e}"))?;
    let bytes = |content: &Vec<u8>| content.len() as u64;
    let parts: Vec<u64> = bucket
        .uploads
        .values()
        .flat_map(|upload| upload.parts.values().map(bytes))
        .collect();
    let found = [
        usage.objects,
        usage.bytes,
        usage.uploads,
        usage.upload_parts,
        usage.upload_bytes,
    ];
    let recount = [
        bucket.objects.len() as u64,
        bucket
            .objects
            .values()
            .map(|o| o.content.len() as u64)
            .sum(),
        bucket.uploads.len() as u64,
        parts.len() as u64,
        parts.iter().sum(),
    ];
    same(&format!("usage of {name}"), &found, &recount)
}

async fn compare_object(
    objects: &Objects,
    bucket: &str,
    key: &str,
    object: &RefObject,
) -> Result<(), String> {
    let what = format!("{bucket}/{key:?}");
    let request = GetObject::new(bucket_name(bucket), object_key(key));
    let got = objects
        .get_object(request)
        .await
        .map_err(|e| format!("get {what}: {e}"))?;
    let info = &got.head.info;
    same(&format!("tag of {what}"), &info.etag, &object.etag)?;
    same(
        &format!("size of {what}"),
        &info.size,
        &(object.content.len() as u64),
    )?;
    same(
        &format!("metadata of {what}"),
        &info.metadata,
        &object.metadata,
    )?;
    let tags = objects.object_tags(ObjectVersion {
        bucket: bucket_name(bucket),
        key: object_key(key),
        version_id: None,
    });
    let tags = tags.await.map_err(|e| format!("tags of {what}: {e}"))?;
    same(&format!("tags of {what}"), &tags.tags, &object.tags)?;
    same(
        &format!("number of tags of {what}"),
        &info.tag_count,
        &object.tags.len(),
    )?;
    let chunks: Vec<_> = got
        .content
        .try_collect()
        .await
        .map_err(|e| format!("read {what}: {e}"))?;
    if chunks.concat() != object.content {
        return Err(format!("content of {what} differs"));
    }
    Ok(())
}

async fn compare_uploads(objects: &Objects, name: &str, bucket: &RefBucket) -> Result<(), String> {
    let mut found = Vec::new();
    let mut marker = (String::new(), None);
    loop {
        let request = ListUploads {
            bucket: bucket_name(name),
            prefix: String::new(),
            delimiter: None,
            key_marker: marker.0.clone(),
            upload_id_marker: marker.1,
            uploads_max: PAGE,
        };
        let page = objects
            .list_uploads(request)
            .await
            .map_err(|e| format!("list uploads: {e}"))?;
        found.extend(
            page.uploads
                .iter()
                .map(|u| (u.key.as_str().to_owned(), u.upload_id)),
        );
        match page.next {
            Some(next) => marker = next,
            None => break,
        }
    }
    same(
        &format!("uploads of {name}"),
        &found,
        &bucket.uploads.keys().cloned().collect(),
    )?;
    for ((key, id), upload) in &bucket.uploads {
        let request = ListParts {
            bucket: bucket_name(name),
            key: object_key(key),
            upload_id: *id,
            part_number_marker: 0,
            parts_max: 1000,
        };
        let listed = objects
            .list_parts(request)
            .await
            .map_err(|e| format!("list parts: {e}"))?;
        let found: Vec<_> = listed
            .parts
            .iter()
            .map(|part| (part.part_number.get(), part.etag, part.size))
            .collect();
        let expected: Vec<_> = upload
            .parts
            .iter()
            .map(|(number, part)| (*number, ETag::Md5(md5_of(part)), part.len() as u64))
            .collect();
        same(&format!("parts of {key:?}"), &found, &expected)?;
    }
    Ok(())
}
