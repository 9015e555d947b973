//! Buckets that keep versions.

mod common;

use std::sync::atomic::Ordering;

use common::{World, bucket, key, put_request};
use futures::TryStreamExt;
use strongroom_objects::records::{BucketRecord, RecordFormat, VersionRecord, keys};
use strongroom_objects::{
    CompleteUpload, CompletedPart, CopyObject, CreateUpload, DeleteKey, DeleteObject,
    DeleteObjectOutput, DeleteObjects, ETagMatch, Error, GetObject, ListObjects, ListStart,
    ListVersions, ListVersionsOutput, LocateObject, MetadataDirective, ObjectHeaders,
    ObjectVersion, ReadConditions, Result, TaggingDirective, Tags, UploadPart, UserMetadata,
    Versioning, WriteConditions, decide,
};
use strongroom_objects::{Lock, LockMode, LockedBy, Retention};
use strongroom_types::{PartNumber, VersionId};

async fn set(world: &World, versioning: Versioning) {
    let name = bucket("bucket");
    let done = world.objects.put_bucket_versioning(&name, versioning);
    done.await.unwrap();
}

async fn versioned() -> World {
    let world = World::with_bucket().await;
    set(&world, Versioning::Enabled).await;
    world
}

async fn put(world: &World, name: &str, bytes: &[u8]) -> Option<VersionId> {
    world.put(name, bytes).await.unwrap().version_id
}

async fn get(world: &World, name: &str, id: Option<VersionId>) -> Result<Vec<u8>> {
    let mut request = GetObject::new(bucket("bucket"), key(name));
    request.version_id = id;
    let chunks: Vec<_> = world
        .objects
        .get_object(request)
        .await?
        .content
        .try_collect()
        .await?;
    Ok(chunks.concat())
}

async fn shown(world: &World, name: &str) -> Option<VersionId> {
    let request = GetObject::new(bucket("bucket"), key(name));
    let head = world.objects.head_object(request).await.unwrap();
    head.info.version_id
}

async fn delete(world: &World, name: &str, id: Option<VersionId>) -> Result<DeleteObjectOutput> {
    let request = DeleteObject {
        bypass: Default::default(),
        bucket: bucket("bucket"),
        key: key(name),
        version_id: id,
        if_match: None,
    };
    world.objects.delete_object(request).await
}

fn list_request() -> ListVersions {
    ListVersions {
        bucket: bucket("bucket"),
        prefix: String::new(),
        delimiter: None,
        key_marker: String::new(),
        version_id_marker: None,
        keys_max: 1000,
    }
}

async fn list(world: &World) -> ListVersionsOutput {
    world.objects.list_versions(list_request()).await.unwrap()
}

/// Ids, whether current, and whether a delete marker, in the order of the list.
async fn listed(world: &World) -> Vec<(VersionId, bool, bool)> {
    let versions = list(world).await.versions.into_iter();
    let entry = |version: strongroom_objects::ListedVersion| {
        let is_marker = version.object.is_none();
        (version.version_id, version.is_latest, is_marker)
    };
    versions.map(entry).collect()
}

const NULL: VersionId = VersionId::Null;

#[tokio::test(flavor = "current_thread")]
async fn enabling_keeps_old_objects_as_null_versions_that_stay_current() {
    // VE01, VE04, VE05, VE06, VE17, VE33
    let world = World::with_bucket().await;
    let name = bucket("bucket");
    let state = world.objects.bucket_versioning(&name).await.unwrap();
    assert_eq!(state, Versioning::Never);
    assert_eq!(put(&world, "k", b"old").await, None);
    assert_eq!(shown(&world, "k").await, None);
    set(&world, Versioning::Enabled).await;
    assert_eq!(shown(&world, "k").await, Some(NULL));
    assert_eq!(get(&world, "k", None).await.unwrap(), b"old");
    let new = put(&world, "k", b"new").await.unwrap();
    assert_ne!(new, NULL);
    assert_eq!(get(&world, "k", None).await.unwrap(), b"new");
    assert_eq!(get(&world, "k", Some(new)).await.unwrap(), b"new");
    assert_eq!(get(&world, "k", Some(NULL)).await.unwrap(), b"old");
    assert_eq!(
        listed(&world).await,
        [(new, true, false), (NULL, false, false)]
    );
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn versioning_is_never_taken_back_and_may_be_suspended_at_once() {
    // VE02, VE33
    let world = World::with_bucket().await;
    let name = bucket("bucket");
    set(&world, Versioning::Suspended).await;
    let state = world.objects.bucket_versioning(&name).await;
    assert_eq!(state, Ok(Versioning::Suspended));
    let never = world
        .objects
        .put_bucket_versioning(&name, Versioning::Never);
    assert!(matches!(never.await, Err(Error::InvalidRequest { .. })));
    let other = bucket("other");
    let none = world
        .objects
        .put_bucket_versioning(&other, Versioning::Enabled);
    assert_eq!(none.await, Err(Error::NoSuchBucket));
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_bucket_with_lock_is_not_suspended_and_may_be_enabled_again() {
    // VE32
    let world = versioned().await;
    let at = world.bucket_ref().await;
    let locked = BucketRecord {
        name: at.name.clone(),
        owner: strongroom_types::Owner::new("owner").unwrap(),
        created: common::START,
        versioning: Versioning::Enabled,
        lock_enabled: true,
        closing: None,
        mfa_delete: None,
    };
    let lock = move |_: &mut dyn strongroom_meta::Reads| {
        let mut writes = decide::Writes::default();
        writes.put(keys::bucket(at.id), &locked);
        Ok((writes.finish(at.id, "STANDARD"), ()))
    };
    world.decide(lock).await.unwrap();
    let name = bucket("bucket");
    let suspend = world
        .objects
        .put_bucket_versioning(&name, Versioning::Suspended);
    assert!(matches!(
        suspend.await,
        Err(Error::InvalidBucketState { .. })
    ));
    set(&world, Versioning::Enabled).await;
}

#[tokio::test(flavor = "current_thread")]
async fn suspended_writes_replace_the_null_version_only_and_make_it_current() {
    // VE07, VE08
    let world = World::with_bucket().await;
    put(&world, "k", b"null 1").await;
    set(&world, Versioning::Enabled).await;
    let first = put(&world, "k", b"first").await.unwrap();
    let second = put(&world, "k", b"second").await.unwrap();
    set(&world, Versioning::Suspended).await;
    assert_eq!(put(&world, "k", b"null 2").await, None);
    assert_eq!(shown(&world, "k").await, Some(NULL));
    let expected = [
        (NULL, true, false),
        (second, false, false),
        (first, false, false),
    ];
    assert_eq!(listed(&world).await, expected);
    assert_eq!(get(&world, "k", Some(NULL)).await.unwrap(), b"null 2");
    assert_eq!(get(&world, "k", Some(first)).await.unwrap(), b"first");
    put(&world, "k", b"null 3").await;
    assert_eq!(listed(&world).await, expected);
    assert_eq!(get(&world, "k", None).await.unwrap(), b"null 3");
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn delete_without_version_id_adds_delete_markers_and_keeps_the_data() {
    // VE09, VE10, VE18, VE19, VE26, VE29
    let world = versioned().await;
    let version = put(&world, "k", b"data").await.unwrap();
    let marker = |output: DeleteObjectOutput| {
        assert!(output.delete_marker);
        output.version_id.unwrap()
    };
    let first = marker(delete(&world, "k", None).await.unwrap());
    let second = marker(delete(&world, "k", None).await.unwrap());
    let other = marker(delete(&world, "none", None).await.unwrap());
    assert_eq!(
        listed(&world).await,
        [
            (second, true, true),
            (first, false, true),
            (version, false, false),
            (other, true, true)
        ]
    );
    assert_eq!(
        get(&world, "k", None).await,
        Err(Error::NoSuchKey {
            delete_marker: Some(second)
        })
    );
    let by_id = get(&world, "k", Some(first)).await;
    assert!(
        matches!(by_id, Err(Error::MethodNotAllowed { version_id, .. }) if version_id == first)
    );
    assert_eq!(get(&world, "k", Some(version)).await.unwrap(), b"data");
    let request = ListObjects {
        bucket: bucket("bucket"),
        prefix: String::new(),
        delimiter: None,
        start: ListStart::Beginning,
        keys_max: 10,
    };
    let current = world.objects.list_objects(request).await.unwrap();
    assert!(current.objects.is_empty());
    let usage = world.objects.bucket_usage(&bucket("bucket")).await.unwrap();
    assert_eq!(
        (usage.objects, usage.bytes, usage.delete_markers),
        (1, 4, 3)
    );
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_suspended_delete_removes_the_null_version_and_leaves_a_null_marker() {
    // VE11, IX21
    let world = World::with_bucket().await;
    put(&world, "k", b"null").await;
    set(&world, Versioning::Enabled).await;
    let kept = put(&world, "k", b"kept").await.unwrap();
    set(&world, Versioning::Suspended).await;
    for _ in 0..2 {
        let output = delete(&world, "k", None).await.unwrap();
        assert_eq!(
            (output.version_id, output.delete_marker),
            (Some(NULL), true)
        );
        assert_eq!(
            listed(&world).await,
            [(NULL, true, true), (kept, false, false)]
        );
    }
    assert!(matches!(
        get(&world, "k", Some(NULL)).await,
        Err(Error::MethodNotAllowed { .. })
    ));
    assert_eq!(get(&world, "k", Some(kept)).await.unwrap(), b"kept");
    let output = delete(&world, "k", Some(NULL)).await.unwrap();
    assert!(output.delete_marker);
    assert_eq!(get(&world, "k", None).await.unwrap(), b"kept");
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn deleting_the_current_version_makes_the_next_newest_current() {
    // VE12, VE13, VE14, VE15, VE16, VE20
    let world = versioned().await;
    let first = put(&world, "k", b"first").await.unwrap();
    let second = put(&world, "k", b"second").await.unwrap();
    let marker = delete(&world, "k", None).await.unwrap().version_id.unwrap();
    let third = put(&world, "k", b"third").await.unwrap();
    let gone = delete(&world, "k", Some(third)).await.unwrap();
    assert_eq!((gone.version_id, gone.delete_marker), (Some(third), false));
    assert!(matches!(
        get(&world, "k", None).await,
        Err(Error::NoSuchKey { delete_marker: Some(id) }) if id == marker
    ));
    let gone = delete(&world, "k", Some(marker)).await.unwrap();
    assert_eq!((gone.version_id, gone.delete_marker), (Some(marker), true));
    assert_eq!(get(&world, "k", None).await.unwrap(), b"second");
    delete(&world, "k", Some(first)).await.unwrap();
    assert_eq!(get(&world, "k", None).await.unwrap(), b"second");
    assert_eq!(
        get(&world, "k", Some(first)).await,
        Err(Error::NoSuchVersion)
    );
    let again = delete(&world, "k", Some(first)).await.unwrap();
    assert_eq!(
        (again.version_id, again.delete_marker),
        (Some(first), false)
    );
    world.check().await;
    delete(&world, "k", Some(second)).await.unwrap();
    assert_eq!(
        get(&world, "k", None).await,
        Err(Error::NoSuchKey {
            delete_marker: None
        })
    );
    assert!(listed(&world).await.is_empty());
    world
        .objects
        .delete_bucket(&bucket("bucket"))
        .await
        .unwrap();
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_bucket_with_a_noncurrent_version_or_a_marker_is_not_empty() {
    // BK05
    let world = versioned().await;
    let version = put(&world, "k", b"x").await;
    let marker = delete(&world, "k", None).await.unwrap().version_id;
    for id in [version, marker] {
        let refused = world.objects.delete_bucket(&bucket("bucket")).await;
        assert_eq!(refused, Err(Error::BucketNotEmpty));
        delete(&world, "k", id).await.unwrap();
    }
    world
        .objects
        .delete_bucket(&bucket("bucket"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn the_stamp_of_a_null_version_is_no_id() {
    // VE17, VE20
    let world = World::with_bucket().await;
    put(&world, "k", b"null").await;
    set(&world, Versioning::Enabled).await;
    let at = world.bucket_ref().await;
    let record = keys::versions_of(at.id, &key("k"));
    let found = strongroom_meta::MetaStore::scan(&*world.meta, &record, None, 1)
        .await
        .unwrap();
    let stamp = keys::version_stamp_of(&found.records[0].0).unwrap();
    let id = Some(VersionId::Stamp(stamp.0));
    assert_eq!(get(&world, "k", id).await, Err(Error::NoSuchVersion));
    delete(&world, "k", id).await.unwrap();
    let of = ObjectVersion {
        bucket: bucket("bucket"),
        key: key("k"),
        version_id: id,
    };
    let tagged = world.objects.put_object_tags(of, Tags::default()).await;
    assert_eq!(tagged, Err(Error::NoSuchVersion));
    assert_eq!(get(&world, "k", Some(NULL)).await.unwrap(), b"null");
}

#[tokio::test(flavor = "current_thread")]
async fn many_versions_of_one_key_are_deleted_in_one_commit_each_with_its_answer() {
    // VE13, VE14, VE15
    let world = versioned().await;
    let mut ids = Vec::new();
    for index in 0..20_u8 {
        ids.push(put(&world, "k", &[index]).await);
    }
    let unknown = Some(VersionId::Stamp(5));
    // Newest first, one twice, one that never was; the two oldest stay.
    let mut named: Vec<_> = ids[2..].iter().rev().copied().collect();
    named.extend([ids[10], unknown]);
    let name = |version_id: Option<VersionId>| DeleteKey {
        key: key("k"),
        version_id,
        if_match: None,
    };
    let request = DeleteObjects {
        bypass: Default::default(),
        bucket: bucket("bucket"),
        keys: named.into_iter().map(name).collect(),
    };
    let before = world.meta.transactions.load(Ordering::SeqCst);
    let answers = world.objects.delete_objects(request).await.unwrap();
    assert_eq!(world.meta.transactions.load(Ordering::SeqCst) - before, 1);
    assert!(answers[..18].iter().all(Result::is_ok));
    assert_eq!(answers[18], Err(Error::NoSuchVersion));
    assert_eq!(answers[19], Err(Error::NoSuchVersion));
    assert_eq!(get(&world, "k", None).await.unwrap(), [1]);
    world.check().await;
    let request = DeleteObjects {
        bypass: Default::default(),
        bucket: bucket("bucket"),
        keys: vec![name(ids[0]), name(ids[1]), name(None), name(None)],
    };
    let answers = world.objects.delete_objects(request).await.unwrap();
    assert!(
        answers[2..]
            .iter()
            .all(|answer| answer.as_ref().unwrap().delete_marker)
    );
    assert_eq!(listed(&world).await.len(), 2);
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_conditional_delete_looks_at_the_current_version_only() {
    // CO01, CO03, CO07, CO08
    let world = versioned().await;
    let old = world.put("k", b"old").await.unwrap();
    let new = world.put("k", b"new").await.unwrap();
    let delete = |id, etag: Option<strongroom_types::ETag>| {
        let request = DeleteObject {
            bypass: Default::default(),
            bucket: bucket("bucket"),
            key: key("k"),
            version_id: id,
            if_match: Some(match etag {
                Some(etag) => ETagMatch::OneOf(vec![etag.quoted()]),
                None => ETagMatch::Any,
            }),
        };
        world.objects.delete_object(request)
    };
    let failed = |result| matches!(result, Err(Error::PreconditionFailed { .. }));
    assert!(failed(delete(None, Some(old.etag)).await));
    assert!(failed(delete(old.version_id, Some(old.etag)).await));
    assert!(delete(None, Some(new.etag)).await.unwrap().delete_marker);
    assert!(
        failed(delete(None, None).await),
        "the current one is a marker"
    );
    let conditional = |if_match, if_none_match| {
        let mut request = put_request("k", b"third");
        request.conditions = WriteConditions {
            if_match,
            if_none_match,
        };
        world.objects.put_object(request)
    };
    let tag = Some(ETagMatch::OneOf(vec![new.etag.quoted()]));
    assert!(matches!(
        conditional(tag, None).await,
        Err(Error::NoSuchKey { .. })
    ));
    let absent = Some(ETagMatch::Any);
    conditional(None, absent.clone()).await.unwrap();
    assert!(failed(
        conditional(None, absent)
            .await
            .map(|_| DeleteObjectOutput::default())
    ));
    assert_eq!(listed(&world).await.len(), 4);
}

#[tokio::test(flavor = "current_thread")]
async fn a_read_by_version_id_holds_its_conditions_against_that_version() {
    // CO10
    let world = versioned().await;
    let old = world.put("k", b"old").await.unwrap();
    let new = world.put("k", b"new").await.unwrap();
    let mut request = GetObject::new(bucket("bucket"), key("k"));
    request.version_id = old.version_id;
    request.conditions.if_match = Some(ETagMatch::OneOf(vec![new.etag.quoted()]));
    let failed = world.objects.head_object(request.clone()).await;
    assert!(matches!(failed, Err(Error::PreconditionFailed { .. })));
    request.conditions.if_match = None;
    request.conditions.if_none_match = Some(ETagMatch::OneOf(vec![old.etag.quoted()]));
    let same = world.objects.head_object(request).await;
    assert!(
        matches!(same, Err(Error::NotModified { version_id, .. }) if version_id == old.version_id)
    );
}

#[tokio::test(flavor = "current_thread")]
async fn tags_belong_to_a_version_and_a_marker_has_none() {
    // VE21, VE30
    let world = versioned().await;
    let first = put(&world, "k", b"1").await;
    let second = put(&world, "k", b"2").await;
    let of = |version_id| ObjectVersion {
        bucket: bucket("bucket"),
        key: key("k"),
        version_id,
    };
    let tags = Tags::of_object([("a".to_owned(), "b".to_owned())]).unwrap();
    let done = world.objects.put_object_tags(of(first), tags.clone()).await;
    assert_eq!(done, Ok(first));
    let read = |id| world.objects.object_tags(of(id));
    assert_eq!(read(first).await.unwrap().tags, tags);
    let current = read(None).await.unwrap();
    assert_eq!(
        (current.tags, current.version_id),
        (Tags::default(), second)
    );
    let marker = delete(&world, "k", None).await.unwrap().version_id;
    for id in [None, marker] {
        let put = world.objects.put_object_tags(of(id), tags.clone()).await;
        assert!(matches!(put, Err(Error::MethodNotAllowed { .. })));
        assert!(matches!(
            read(id).await,
            Err(Error::MethodNotAllowed { .. })
        ));
    }
    assert_eq!(read(first).await.unwrap().tags, tags);
}

#[tokio::test(flavor = "current_thread")]
async fn a_copy_of_an_old_version_onto_its_key_restores_it() {
    // VE22, VE23, VE24
    let world = versioned().await;
    let old = put(&world, "k", b"old").await;
    let new = put(&world, "k", b"new").await;
    let copy = |source_version_id| {
        world.objects.copy_object(CopyObject {
            lock: Default::default(),
            source_bucket: bucket("bucket"),
            source_key: key("k"),
            source_version_id,
            source_conditions: ReadConditions::default(),
            bucket: bucket("bucket"),
            key: key("k"),
            metadata: MetadataDirective::Copy {
                website_redirect_location: None,
            },
            tags: TaggingDirective::Copy,
            checksum_algorithm: None,
            conditions: WriteConditions::default(),
        })
    };
    for current in [None, new] {
        let refused = copy(current).await;
        assert!(matches!(refused, Err(Error::InvalidRequest { .. })));
    }
    let restored = copy(old).await.unwrap();
    assert_eq!(restored.source_version_id, old);
    assert!(restored.version_id.is_some() && restored.version_id != old);
    assert_eq!(get(&world, "k", None).await.unwrap(), b"old");
    assert_eq!(listed(&world).await.len(), 3);
    let marker = delete(&world, "k", None).await.unwrap().version_id;
    assert!(matches!(copy(None).await, Err(Error::NoSuchKey { .. })));
    assert!(matches!(
        copy(marker).await,
        Err(Error::InvalidRequest { .. })
    ));
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_upload_gets_the_id_rules_of_when_it_is_completed() {
    // VE34, VE05
    let world = World::with_bucket().await;
    for (before, after) in [
        (Versioning::Suspended, Versioning::Enabled),
        (Versioning::Enabled, Versioning::Suspended),
    ] {
        set(&world, before).await;
        let created = world.objects.create_upload(CreateUpload {
            lock: Default::default(),
            bucket: bucket("bucket"),
            key: key("k"),
            headers: ObjectHeaders::default(),
            metadata: UserMetadata::default(),
            tags: Tags::default(),
            checksum_algorithm: None,
            checksum_type: None,
        });
        let upload_id = created.await.unwrap().upload_id;
        let part_number = PartNumber::new(1).unwrap();
        let part = world.objects.upload_part(UploadPart {
            bucket: bucket("bucket"),
            key: key("k"),
            upload_id,
            part_number,
            content: common::content(b"part"),
        });
        let etag = part.await.unwrap().etag.quoted();
        set(&world, after).await;
        let complete = || {
            world.objects.complete_upload(CompleteUpload {
                bucket: bucket("bucket"),
                key: key("k"),
                upload_id,
                parts: vec![CompletedPart {
                    part_number,
                    etag: etag.clone(),
                    checksum: None,
                }],
                conditions: WriteConditions::default(),
                checksum: None,
                checksum_type: None,
                object_size: None,
            })
        };
        let completed = complete().await.unwrap();
        assert_eq!(completed.version_id.is_some(), after == Versioning::Enabled);
        // Asked again after another change, it answers what it did.
        set(&world, before).await;
        assert_eq!(complete().await.unwrap(), completed);
        world.check().await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_list_of_current_keys_reads_no_noncurrent_version() {
    // The price of a list is what it shows.
    let world = versioned().await;
    let scanned = |world: &World| world.meta.scanned.load(Ordering::SeqCst);
    let list = || {
        world.objects.list_objects(ListObjects {
            bucket: bucket("bucket"),
            prefix: String::new(),
            delimiter: None,
            start: ListStart::Beginning,
            keys_max: 1000,
        })
    };
    for name in ["a", "b", "c"] {
        put(&world, name, b"x").await;
    }
    let before = scanned(&world);
    list().await.unwrap();
    let once = scanned(&world) - before;
    for _ in 0..50 {
        for name in ["a", "b", "c"] {
            put(&world, name, b"x").await;
        }
    }
    let before = scanned(&world);
    assert_eq!(list().await.unwrap().objects.len(), 3);
    assert_eq!(scanned(&world) - before, once);
}

#[tokio::test(flavor = "current_thread")]
async fn a_page_of_versions_costs_what_it_shows_however_many_there_are() {
    // VE25, VE26, VE27, VE35
    let world = versioned().await;
    let mut ids = Vec::new();
    for _ in 0..300 {
        ids.push(put(&world, "k", b"x").await.unwrap());
    }
    put(&world, "l", b"x").await;
    ids.reverse();
    let mut request = list_request();
    request.keys_max = 7;
    let mut seen = Vec::new();
    loop {
        let before = world.meta.scanned.load(Ordering::SeqCst);
        let page = world.objects.list_versions(request.clone()).await.unwrap();
        assert!(world.meta.scanned.load(Ordering::SeqCst) - before <= 8);
        seen.extend(page.versions);
        let Some((key, version)) = page.next else {
            break;
        };
        request.key_marker = key;
        request.version_id_marker = version;
    }
    let last = seen.pop().unwrap();
    assert!(last.is_latest && last.key == key("l"));
    assert_eq!(seen.iter().map(|v| v.version_id).collect::<Vec<_>>(), ids);
    assert!(
        seen.iter()
            .enumerate()
            .all(|(at, v)| v.is_latest == (at == 0))
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_list_of_versions_goes_on_where_its_last_version_was_though_that_is_gone() {
    // VE27
    let world = World::with_bucket().await;
    set(&world, Versioning::Suspended).await;
    put(&world, "k", b"null").await;
    set(&world, Versioning::Enabled).await;
    let first = put(&world, "k", b"1").await.unwrap();
    let second = put(&world, "k", b"2").await.unwrap();
    set(&world, Versioning::Suspended).await;
    put(&world, "k", b"new null").await;
    let mut request = list_request();
    request.keys_max = 1;
    let page = world.objects.list_versions(request.clone()).await.unwrap();
    assert_eq!(page.versions[0].version_id, NULL);
    let (key_marker, version_id_marker) = page.next.unwrap();
    // Its place is above the ids, and the one that takes its name comes before it.
    put(&world, "k", b"newest null").await;
    request.key_marker = key_marker;
    request.version_id_marker = version_id_marker;
    request.keys_max = 10;
    let rest = world.objects.list_versions(request.clone()).await.unwrap();
    let ids: Vec<_> = rest.versions.iter().map(|v| v.version_id).collect();
    assert_eq!(ids, [second, first]);
    // The one above the marker goes away: then the next is the current one.
    delete(&world, "k", Some(NULL)).await.unwrap();
    let rest = world.objects.list_versions(request.clone()).await.unwrap();
    assert!(rest.versions[0].is_latest && !rest.versions[1].is_latest);
    // A marker a client wrote by hand.
    request.version_id_marker = Some(second);
    let rest = world.objects.list_versions(request.clone()).await.unwrap();
    assert_eq!(rest.versions.len(), 1);
    assert!(!rest.versions[0].is_latest);
    request.version_id_marker = Some(NULL);
    let all = world.objects.list_versions(request).await.unwrap();
    assert_eq!(all.versions.len(), 2);
}

#[tokio::test(flavor = "current_thread")]
async fn markers_count_as_keys_of_a_common_prefix_of_versions() {
    // VE25, VE27
    let world = versioned().await;
    for _ in 0..300 {
        delete(&world, "a/1", None).await.unwrap();
    }
    for name in ["a/2", "b", "c/1"] {
        put(&world, name, b"x").await;
    }
    let mut request = list_request();
    request.delimiter = Some("/".to_owned());
    request.keys_max = 2;
    let before = world.meta.scanned.load(Ordering::SeqCst);
    let page = world.objects.list_versions(request.clone()).await.unwrap();
    assert!(world.meta.scanned.load(Ordering::SeqCst) - before < 300);
    assert_eq!(page.common_prefixes, ["a/"]);
    assert_eq!(page.versions[0].key, key("b"));
    let (key_marker, version_id_marker) = page.next.unwrap();
    assert_eq!(key_marker, "b");
    request.key_marker = key_marker;
    request.version_id_marker = version_id_marker;
    let page = world.objects.list_versions(request.clone()).await.unwrap();
    assert_eq!(page.common_prefixes, ["c/"]);
    assert_eq!(page.next, None);
    request.key_marker = "a/".to_owned();
    request.version_id_marker = None;
    let page = world.objects.list_versions(request.clone()).await.unwrap();
    assert_eq!(page.versions[0].key, key("b"));
    request.keys_max = 0;
    let none = world.objects.list_versions(request).await.unwrap();
    assert_eq!(none, ListVersionsOutput::default());
}

#[tokio::test(flavor = "current_thread")]
async fn a_version_with_a_lock_is_removed_by_nothing() {
    // OL35, OL39: written by hand into a bucket without locks, which is no way around.
    let world = World::with_bucket().await;
    put(&world, "k", b"locked").await;
    let at = world.bucket_ref().await;
    let prefix = keys::versions_of(at.id, &key("k"));
    let found = strongroom_meta::MetaStore::scan(&*world.meta, &prefix, None, 1).await;
    let (record_key, record) = found.unwrap().records.remove(0);
    let mut version = VersionRecord::decode(&record.value).unwrap();
    version.object.as_mut().unwrap().lock = Some(Lock {
        retention: Some(Retention {
            mode: LockMode::Compliance,
            until: u64::MAX,
        }),
        legal_hold: None,
    });
    let lock = move |_: &mut dyn strongroom_meta::Reads| {
        let mut writes = decide::Writes::default();
        writes.put(record_key.clone(), &version);
        Ok((writes.finish(at.id, "STANDARD"), ()))
    };
    world.decide(lock).await.unwrap();
    let denied = Err(Error::ObjectLocked {
        by: LockedBy::Compliance,
    });
    let overwritten = world.put("k", b"new").await.map(drop);
    assert_eq!(overwritten, denied);
    for id in [None, Some(NULL)] {
        let removed = delete(&world, "k", id).await.map(drop);
        assert_eq!(removed, denied);
    }
    set(&world, Versioning::Suspended).await;
    assert_eq!(world.put("k", b"new").await.map(drop), denied);
    set(&world, Versioning::Enabled).await;
    put(&world, "k", b"new").await;
    let request = DeleteObjects {
        bypass: Default::default(),
        bucket: bucket("bucket"),
        keys: [Some(NULL), None]
            .map(|version_id| DeleteKey {
                key: key("k"),
                version_id,
                if_match: None,
            })
            .into(),
    };
    let answers = world.objects.delete_objects(request).await.unwrap();
    assert_eq!(answers[0].as_ref().map(drop), denied.as_ref().map(drop));
    assert!(answers[1].as_ref().unwrap().delete_marker);
    assert_eq!(get(&world, "k", Some(NULL)).await.unwrap(), b"locked");
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn the_bytes_of_a_removed_version_are_buried_and_those_of_others_are_not() {
    let world = versioned().await;
    let mut ids = Vec::new();
    for size in common::sizes() {
        ids.push(put(&world, "k", &size).await);
        ids.push(put(&world, "k", &size).await);
    }
    let buried = |world: &World| {
        let objects = world.objects.clone();
        async move { objects.buried().await.unwrap().blobs }
    };
    delete(&world, "k", None).await.unwrap();
    assert_eq!(buried(&world).await, 0);
    delete(&world, "k", ids[0]).await.unwrap();
    delete(&world, "k", ids[3]).await.unwrap();
    assert_eq!(buried(&world).await, 2);
    for at in [1, 2] {
        let size = &common::sizes()[at / 2];
        assert_eq!(get(&world, "k", ids[at]).await.unwrap(), *size);
        let request = LocateObject {
            bucket: bucket("bucket"),
            key: key("k"),
            version_id: ids[at],
            part_number_marker: 0,
            parts_max: 10,
            verify: false,
        };
        let located = world.objects.locate_object(request).await.unwrap();
        assert_eq!(located.version_id, ids[at]);
    }
    let versions: Vec<VersionRecord> = world.family(b"V").await;
    assert_eq!(versions.len(), 3);
    world.check().await;
}
