//! The whole visible state against the reference.

use futures::TryStreamExt;
use strongroom_types::{BucketName, ETag, ObjectKey, VersionId};

use super::Stats;
use super::op::BUCKETS;
use super::reference::{RefBucket, RefEntry, RefObject, RefPage, Reference};
use super::run_locks::same_lock;
use crate::api::{
    GetObject, ListBuckets, ListObjects, ListObjectsOutput, ListParts, ListStart, ListUploads,
    ListVersions, ListVersionsOutput, ListedVersion, ObjectVersion,
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
                let object = bucket.current(entry.key.as_str());
                let object = object.ok_or("a deleted key is listed")?;
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
    for (key, versions) in &bucket.versions {
        // All of a key would be read again and again: the current one, and another each time.
        let other = usize::try_from(stats.steps).unwrap_or(0) % versions.len();
        for at in [0, other] {
            let id = (at > 0).then(|| versions[at].id);
            let Some(object) = &versions[at].object else {
                let request = version_request(name, key, id);
                let read = objects.head_object(request).await.map(drop);
                same("a marker is read", &read.is_err(), &true)?;
                continue;
            };
            compare_object(objects, name, key, id, object).await?;
            stats.objects_compared += 1;
            stats.bytes_compared += object.content.len() as u64;
        }
    }
    let delimiters: &[_] = match stats.steps % 4 {
        0 => &[None, Some("/")],
        _ => &[None],
    };
    compare_versions(objects, name, bucket, delimiters).await?;
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
    let all: Vec<_> = bucket.versions.values().flatten().collect();
    let sizes: Vec<u64> = all
        .iter()
        .filter_map(|version| Some(version.object.as_ref()?.content.len() as u64))
        .collect();
    let found = [
        usage.objects,
        usage.bytes,
        usage.delete_markers,
        usage.uploads,
        usage.upload_parts,
        usage.upload_bytes,
    ];
    let recount = [
        sizes.len() as u64,
        sizes.iter().sum(),
        all.len() as u64 - sizes.len() as u64,
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
    version_id: Option<VersionId>,
    object: &RefObject,
) -> Result<(), String> {
    let what = format!("{bucket}/{key:?} {version_id:?}");
    let request = version_request(bucket, key, version_id);
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
    same_lock(&what, info.lock, object.lock)?;
    let tags = objects.object_tags(ObjectVersion {
        bucket: bucket_name(bucket),
        key: object_key(key),
        version_id,
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

fn version_request(bucket: &str, key: &str, version_id: Option<VersionId>) -> GetObject {
    let mut request = GetObject::new(bucket_name(bucket), object_key(key));
    request.version_id = version_id;
    request
}

/// The entries of a page in one order.
pub(super) fn entries_of(page: &ListVersionsOutput) -> Vec<RefEntry> {
    let version = |version: &ListedVersion| RefEntry::Version {
        key: version.key.as_str().to_owned(),
        id: version.version_id,
        is_latest: version.is_latest,
        content: version
            .object
            .as_ref()
            .map(|object| (object.etag, object.size)),
    };
    let groups = page.common_prefixes.iter().cloned().map(RefEntry::Group);
    let mut entries: Vec<_> = page.versions.iter().map(version).chain(groups).collect();
    // No group is a key, so this leaves the versions of a key as they are.
    entries.sort_by(|one, other| text_of(one).cmp(text_of(other)));
    entries
}

fn text_of(entry: &RefEntry) -> &str {
    match entry {
        RefEntry::Version { key, .. } => key,
        RefEntry::Group(group) => group,
    }
}

/// Every version and delete marker, through pages.
async fn compare_versions(
    objects: &Objects,
    name: &str,
    bucket: &RefBucket,
    delimiters: &[Option<&str>],
) -> Result<(), String> {
    let versioning = objects.bucket_versioning(&bucket_name(name)).await;
    let versioning = versioning.map_err(|e| format!("versioning: {e}"))?;
    same(
        &format!("versioning of {name}"),
        &versioning,
        &bucket.versioning,
    )?;
    for delimiter in delimiters.iter().copied() {
        let mut found = Vec::new();
        let mut next = Some((String::new(), None));
        while let Some((key_marker, version_id_marker)) = next {
            let request = ListVersions {
                bucket: bucket_name(name),
                prefix: String::new(),
                delimiter: delimiter.map(str::to_owned),
                key_marker,
                version_id_marker,
                keys_max: PAGE,
            };
            let page = objects.list_versions(request).await;
            let page = page.map_err(|e| format!("list versions: {e}"))?;
            let entries = entries_of(&page);
            let is_full = entries.len() == PAGE as usize;
            same("a page is full", &(is_full || page.next.is_none()), &true)?;
            found.extend(entries);
            next = page.next;
        }
        let expected = bucket.list_versions("", delimiter, ("", None));
        same(&format!("versions of {name}"), &found, &expected)?;
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
