//! Object Lock: what is locked stays, whoever asks and whichever way.

mod common;

use std::time::Duration;

use common::{World, bucket, content, key, put_request};
use futures::TryStreamExt;
use strongroom_objects::{
    AbortUpload, Bypass, Compaction, CompleteUpload, CompletedPart, ConfigKind, CopyObject,
    CreateBucket, CreateUpload, DefaultRetention, DeleteKey, DeleteObject, DeleteObjectOutput,
    DeleteObjects, ETagMatch, Error, GetObject, LegalHold, Lock, LockMode, LockedBy, LockedUntil,
    MetadataDirective, ObjectHeaders, ObjectVersion, PackLimits, Packing, ReadConditions, Result,
    Retention, RetentionPeriod, SweepLimits, TaggingDirective, Tags, UploadPart, UserMetadata,
    Versioning, WriteConditions,
};
use strongroom_types::{Owner, PartNumber, VersionId};

const DAY: u64 = 86_400;
const GRANTED: Bypass = Bypass {
    is_named: true,
    is_granted: true,
};
const NOT_GRANTED: Bypass = Bypass {
    is_named: true,
    is_granted: false,
};
const UNASKED: Bypass = Bypass {
    is_named: false,
    is_granted: false,
};

fn now() -> u64 {
    common::START.seconds()
}

fn retained(mode: LockMode, until: u64) -> Option<Retention> {
    Some(Retention { mode, until })
}

fn lock(mode: LockMode) -> Lock {
    Lock {
        retention: retained(mode, now() + DAY),
        legal_hold: None,
    }
}

const HELD: Lock = Lock {
    retention: None,
    legal_hold: Some(LegalHold::On),
};

/// A bucket that was made with Object Lock.
async fn locked_bucket() -> World {
    let world = World::new();
    let request = CreateBucket {
        bucket: bucket("bucket"),
        owner: Owner::new("owner").unwrap(),
        tags: Tags::default(),
        lock_enabled: true,
    };
    world.objects.create_bucket(request).await.unwrap();
    world
}

async fn put(world: &World, name: &str, bytes: &[u8], lock: Lock) -> Result<Option<VersionId>> {
    let request = strongroom_objects::PutObject {
        lock,
        ..put_request(name, bytes)
    };
    Ok(world.objects.put_object(request).await?.version_id)
}

fn version(name: &str, version_id: Option<VersionId>) -> ObjectVersion {
    ObjectVersion {
        bucket: bucket("bucket"),
        key: key(name),
        version_id,
    }
}

async fn retain(
    world: &World,
    id: Option<VersionId>,
    retention: Option<Retention>,
    bypass: Bypass,
) -> Result<()> {
    let of = version("k", id);
    world
        .objects
        .put_object_retention(of, retention, bypass)
        .await
}

async fn hold(world: &World, id: Option<VersionId>, hold: LegalHold) -> Result<()> {
    world
        .objects
        .put_object_legal_hold(version("k", id), hold)
        .await
}

async fn delete(
    world: &World,
    id: Option<VersionId>,
    bypass: Bypass,
) -> Result<DeleteObjectOutput> {
    let request = DeleteObject {
        bucket: bucket("bucket"),
        key: key("k"),
        version_id: id,
        if_match: None,
        bypass,
    };
    world.objects.delete_object(request).await
}

async fn bytes_of(world: &World, id: Option<VersionId>) -> Vec<u8> {
    let request = GetObject {
        version_id: id,
        ..GetObject::new(bucket("bucket"), key("k"))
    };
    let got = world.objects.get_object(request).await.unwrap();
    got.content.try_collect::<Vec<_>>().await.unwrap().concat()
}

async fn shown(world: &World, name: &str, id: Option<VersionId>) -> Option<Lock> {
    let request = GetObject {
        version_id: id,
        ..GetObject::new(bucket("bucket"), key(name))
    };
    world.objects.head_object(request).await.unwrap().info.lock
}

fn locked<T>(by: LockedBy) -> Result<T> {
    Err(Error::ObjectLocked { by })
}

fn copy_to(name: &str, lock: Lock) -> CopyObject {
    CopyObject {
        source_bucket: bucket("bucket"),
        source_key: key("k"),
        source_version_id: None,
        source_conditions: ReadConditions::default(),
        bucket: bucket("bucket"),
        key: key(name),
        metadata: MetadataDirective::Copy {
            website_redirect_location: None,
        },
        tags: TaggingDirective::Copy,
        checksum_algorithm: None,
        conditions: WriteConditions::default(),
        lock,
    }
}

/// Completes an upload of one part.
async fn multipart(world: &World, name: &str, lock: Lock) -> Option<VersionId> {
    let request = CreateUpload {
        bucket: bucket("bucket"),
        key: key(name),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Tags::default(),
        checksum_algorithm: None,
        checksum_type: None,
        lock,
    };
    let upload_id = world
        .objects
        .create_upload(request)
        .await
        .unwrap()
        .upload_id;
    let part_number = PartNumber::new(1).unwrap();
    let part = UploadPart {
        bucket: bucket("bucket"),
        key: key(name),
        upload_id,
        part_number,
        content: content(b"of a part"),
    };
    let etag = world.objects.upload_part(part).await.unwrap().etag.quoted();
    let complete = CompleteUpload {
        bucket: bucket("bucket"),
        key: key(name),
        upload_id,
        parts: vec![CompletedPart {
            part_number,
            etag,
            checksum: None,
        }],
        conditions: WriteConditions::default(),
        checksum: None,
        checksum_type: None,
        object_size: None,
    };
    world
        .objects
        .complete_upload(complete)
        .await
        .unwrap()
        .version_id
}

#[tokio::test(flavor = "current_thread")]
async fn a_bucket_with_locks_is_versioned_for_good() {
    // BK02, IX01, OL10
    let world = locked_bucket().await;
    let name = bucket("bucket");
    let versioning = world.objects.bucket_versioning(&name).await;
    assert_eq!(versioning, Ok(Versioning::Enabled));
    let suspended = world
        .objects
        .put_bucket_versioning(&name, Versioning::Suspended);
    assert!(matches!(
        suspended.await,
        Err(Error::InvalidBucketState { .. })
    ));
    let enabled = world
        .objects
        .put_bucket_versioning(&name, Versioning::Enabled);
    assert_eq!(enabled.await, Ok(()));
    assert_eq!(world.objects.lock_config(&name).await, Ok(None));
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn locks_are_turned_on_in_a_versioned_bucket_and_never_off() {
    // OL02, OL03, OL04, OL08
    let world = World::with_bucket().await;
    let name = bucket("bucket");
    let kind = ConfigKind::ObjectLock;
    let none = Err(Error::NoSuchConfiguration { kind });
    assert_eq!(world.objects.lock_config(&name).await, none);
    let default = DefaultRetention {
        mode: LockMode::Compliance,
        period: RetentionPeriod::Days(2),
    };
    for versioning in [None, Some(Versioning::Suspended)] {
        if let Some(versioning) = versioning {
            let set = world.objects.put_bucket_versioning(&name, versioning);
            set.await.unwrap();
        }
        let refused = world.objects.put_lock_config(&name, Some(default)).await;
        assert!(matches!(refused, Err(Error::InvalidBucketState { .. })));
    }
    let enable = world
        .objects
        .put_bucket_versioning(&name, Versioning::Enabled);
    enable.await.unwrap();
    let before = put(&world, "k", b"before", Lock::default()).await.unwrap();
    world
        .objects
        .put_lock_config(&name, Some(default))
        .await
        .unwrap();
    assert_eq!(world.objects.lock_config(&name).await, Ok(Some(default)));
    assert_eq!(shown(&world, "k", before).await, None);
    let locked_version = put(&world, "k", b"after", Lock::default()).await.unwrap();
    world.objects.put_lock_config(&name, None).await.unwrap();
    assert_eq!(world.objects.lock_config(&name).await, Ok(None));
    let found = shown(&world, "k", locked_version).await.unwrap();
    assert_eq!(
        found.retention,
        retained(LockMode::Compliance, now() + 2 * DAY)
    );
    let unlocked = put(&world, "k", b"later", Lock::default()).await.unwrap();
    assert_eq!(shown(&world, "k", unlocked).await, None);
    let suspended = world
        .objects
        .put_bucket_versioning(&name, Versioning::Suspended);
    assert!(matches!(
        suspended.await,
        Err(Error::InvalidBucketState { .. })
    ));
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_lock_asked_for_where_there_are_none_is_refused_on_every_path() {
    // OL15, OL38
    let world = World::with_bucket().await;
    put(&world, "k", b"free", Lock::default()).await.unwrap();
    let is_refused = |result: Result<()>| matches!(result, Err(Error::InvalidRequest { .. }));
    let asked = lock(LockMode::Governance);
    assert!(is_refused(put(&world, "k", b"x", asked).await.map(drop)));
    assert!(is_refused(put(&world, "k", b"x", HELD).await.map(drop)));
    assert!(is_refused(
        world
            .objects
            .copy_object(copy_to("l", asked))
            .await
            .map(drop)
    ));
    let upload = CreateUpload {
        bucket: bucket("bucket"),
        key: key("k"),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Tags::default(),
        checksum_algorithm: None,
        checksum_type: None,
        lock: HELD,
    };
    assert!(is_refused(
        world.objects.create_upload(upload).await.map(drop)
    ));
    let of = || version("k", None);
    assert!(is_refused(
        retain(&world, None, asked.retention, UNASKED).await
    ));
    assert!(is_refused(hold(&world, None, LegalHold::On).await));
    assert!(is_refused(
        world.objects.object_retention(of()).await.map(drop)
    ));
    assert!(is_refused(
        world.objects.object_legal_hold(of()).await.map(drop)
    ));
    for bypass in [GRANTED, NOT_GRANTED] {
        let deleted = delete(&world, None, bypass).await;
        assert!(matches!(deleted, Err(Error::InvalidArgument { .. })));
    }
    assert_eq!(bytes_of(&world, None).await, b"free");
}

#[tokio::test(flavor = "current_thread")]
async fn a_locked_version_is_removed_by_no_path_and_read_as_it_was() {
    // OL19, OL29, OL35, OL36, OL37, OL39, OL40, IX05
    for (asked, by) in [
        (lock(LockMode::Governance), LockedBy::Governance),
        (lock(LockMode::Compliance), LockedBy::Compliance),
        (HELD, LockedBy::LegalHold),
    ] {
        let world = locked_bucket().await;
        let id = put(&world, "k", b"locked", asked).await.unwrap();
        let refused = |bypass: Bypass| by != LockedBy::Governance || bypass != GRANTED;
        for bypass in [UNASKED, NOT_GRANTED, GRANTED] {
            if refused(bypass) {
                assert_eq!(delete(&world, id, bypass).await, locked(by));
            }
        }
        // A put, a copy and an upload over it add versions, and so does a simple delete.
        put(&world, "k", b"newer", Lock::default()).await.unwrap();
        let source = CopyObject {
            metadata: MetadataDirective::Replace {
                headers: ObjectHeaders::default(),
                metadata: UserMetadata::default(),
            },
            ..copy_to("k", Lock::default())
        };
        world.objects.copy_object(source).await.unwrap();
        multipart(&world, "k", Lock::default()).await;
        let marker = delete(&world, None, UNASKED).await.unwrap();
        assert!(marker.delete_marker);
        // Markers are never locked, and going they uncover what was there.
        delete(&world, marker.version_id, UNASKED).await.unwrap();
        let keys = [id, None, id].map(|version_id| DeleteKey {
            key: key("k"),
            version_id,
            if_match: None,
        });
        let request = DeleteObjects {
            bucket: bucket("bucket"),
            keys: keys.into(),
            bypass: NOT_GRANTED,
        };
        let answers = world.objects.delete_objects(request).await.unwrap();
        assert_eq!(answers[0], locked(by));
        assert!(answers[1].as_ref().unwrap().delete_marker);
        assert_eq!(answers[2], locked(by));
        assert_eq!(
            world.objects.delete_bucket(&bucket("bucket")).await,
            Err(Error::BucketNotEmpty)
        );
        assert_eq!(bytes_of(&world, id).await, b"locked");
        assert_eq!(shown(&world, "k", id).await, Some(asked));
        world.check().await;
        if by == LockedBy::Governance {
            delete(&world, id, GRANTED).await.unwrap();
            assert_eq!(world.objects.lock_counts().bypassed, 1);
        }
        world.check().await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn every_refusal_and_every_passage_is_counted() {
    // OP10
    let world = locked_bucket().await;
    let id = put(&world, "k", b"x", lock(LockMode::Governance))
        .await
        .unwrap();
    _ = delete(&world, id, UNASKED).await;
    _ = retain(&world, id, None, UNASKED).await;
    hold(&world, id, LegalHold::On).await.unwrap();
    _ = delete(&world, id, GRANTED).await;
    hold(&world, id, LegalHold::Off).await.unwrap();
    retain(
        &world,
        id,
        retained(LockMode::Compliance, now() + DAY),
        GRANTED,
    )
    .await
    .unwrap();
    _ = delete(&world, id, GRANTED).await;
    let counts = world.objects.lock_counts();
    assert_eq!(counts.refused_by_governance, 2);
    assert_eq!(counts.refused_by_legal_hold, 1);
    assert_eq!(counts.refused_by_compliance, 1);
    assert_eq!(counts.bypassed, 1);
}

#[tokio::test(flavor = "current_thread")]
async fn a_lock_ends_at_its_second_and_stays_to_be_seen() {
    // OL26
    let world = locked_bucket().await;
    let asked = lock(LockMode::Compliance);
    let id = put(&world, "k", b"x", asked).await.unwrap();
    world.clock.advance(Duration::from_secs(DAY - 1));
    assert_eq!(
        delete(&world, id, UNASKED).await,
        locked(LockedBy::Compliance)
    );
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(shown(&world, "k", id).await, Some(asked));
    assert_eq!(retain(&world, id, None, UNASKED).await, Ok(()));
    delete(&world, id, UNASKED).await.unwrap();
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_clock_that_goes_back_ends_no_lock_sooner_and_none_later_than_it_was() {
    // OL43
    let world = locked_bucket().await;
    let id = put(&world, "k", b"x", lock(LockMode::Compliance))
        .await
        .unwrap();
    world.clock.set(strongroom_base::Timestamp(
        common::START.0 - DAY * 1_000_000_000,
    ));
    assert_eq!(
        delete(&world, id, UNASKED).await,
        locked(LockedBy::Compliance)
    );
    world.clock.set(common::START);
    world.clock.advance(Duration::from_secs(2 * DAY));
    let other = put(&world, "other", b"y", Lock::default()).await;
    other.unwrap();
    // What was over stays over.
    let of = version("other", None);
    let moved = retained(LockMode::Compliance, now() + 3 * DAY);
    world
        .objects
        .put_object_retention(of, moved, UNASKED)
        .await
        .unwrap();
    world.clock.set(common::START);
    delete(&world, id, UNASKED).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_lock_is_never_copied_and_a_default_is_given_on_every_path() {
    // OL07, OL09, OL17, OL18, IX05
    let world = locked_bucket().await;
    let asked = lock(LockMode::Compliance);
    put(&world, "k", b"x", asked).await.unwrap();
    world
        .objects
        .copy_object(copy_to("copied", Lock::default()))
        .await
        .unwrap();
    assert_eq!(shown(&world, "copied", None).await, None);
    world
        .objects
        .copy_object(copy_to("copied", HELD))
        .await
        .unwrap();
    assert_eq!(shown(&world, "copied", None).await, Some(HELD));
    multipart(&world, "parts", asked).await;
    assert_eq!(shown(&world, "parts", None).await, Some(asked));

    let default = DefaultRetention {
        mode: LockMode::Governance,
        period: RetentionPeriod::Years(1),
    };
    let name = bucket("bucket");
    world
        .objects
        .put_lock_config(&name, Some(default))
        .await
        .unwrap();
    let until = RetentionPeriod::Years(1).end(common::START);
    let by_default = retained(LockMode::Governance, until);
    put(&world, "put", b"x", HELD).await.unwrap();
    let found = shown(&world, "put", None).await.unwrap();
    assert_eq!(
        (found.retention, found.legal_hold),
        (by_default, HELD.legal_hold)
    );
    world
        .objects
        .copy_object(copy_to("copied", Lock::default()))
        .await
        .unwrap();
    assert_eq!(
        shown(&world, "copied", None).await.unwrap().retention,
        by_default
    );
    multipart(&world, "parts", Lock::default()).await;
    assert_eq!(
        shown(&world, "parts", None).await.unwrap().retention,
        by_default
    );
    multipart(&world, "parts", asked).await;
    assert_eq!(shown(&world, "parts", None).await, Some(asked));
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_default_counts_from_the_commit_and_not_from_the_request() {
    // OL07: of an upload it is what the bucket says when it is completed.
    let world = locked_bucket().await;
    let default = DefaultRetention {
        mode: LockMode::Governance,
        period: RetentionPeriod::Days(1),
    };
    world
        .objects
        .put_lock_config(&bucket("bucket"), Some(default))
        .await
        .unwrap();
    world.clock.advance(Duration::from_secs(DAY));
    multipart(&world, "k", Lock::default()).await;
    let found = shown(&world, "k", None).await.unwrap();
    assert_eq!(
        found.retention,
        retained(LockMode::Governance, now() + 2 * DAY)
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_retention_grows_and_shrinks_only_as_its_mode_allows() {
    // OL20, OL21, OL22, OL23, OL24, OL25
    let world = locked_bucket().await;
    let id = put(&world, "k", b"x", Lock::default()).await.unwrap();
    let before = GetObject::new(bucket("bucket"), key("k"));
    let before = world.objects.head_object(before).await.unwrap().info;
    let of = || version("k", id);
    assert_eq!(
        world.objects.object_retention(of()).await,
        Err(Error::NoSuchObjectLock)
    );
    let (governance, compliance) = (LockMode::Governance, LockMode::Compliance);
    let (short, long) = (now() + DAY, now() + 2 * DAY);
    let refused = locked(LockedBy::Governance);
    retain(&world, id, retained(governance, short), UNASKED)
        .await
        .unwrap();
    retain(&world, id, retained(governance, long), UNASKED)
        .await
        .unwrap();
    for shorter in [
        retained(governance, short),
        retained(compliance, long),
        None,
    ] {
        for bypass in [UNASKED, NOT_GRANTED] {
            assert_eq!(retain(&world, id, shorter, bypass).await, refused);
        }
    }
    retain(&world, id, None, GRANTED).await.unwrap();
    assert_eq!(shown(&world, "k", id).await, None);
    retain(&world, id, retained(governance, long), UNASKED)
        .await
        .unwrap();
    retain(&world, id, retained(compliance, short), GRANTED)
        .await
        .unwrap();
    retain(&world, id, retained(compliance, long), UNASKED)
        .await
        .unwrap();
    for shorter in [
        retained(compliance, short),
        retained(governance, long + DAY),
        None,
    ] {
        for bypass in [UNASKED, NOT_GRANTED, GRANTED] {
            let refused = locked(LockedBy::Compliance);
            assert_eq!(retain(&world, id, shorter, bypass).await, refused);
        }
    }
    let found = world.objects.object_retention(of()).await.unwrap();
    assert_eq!(Some(found), retained(compliance, long));
    let after = GetObject::new(bucket("bucket"), key("k"));
    let after = world.objects.head_object(after).await.unwrap().info;
    assert_eq!(after.etag, before.etag);
    assert_eq!(after.last_modified, before.last_modified);
    assert_eq!(after.version_id, before.version_id);
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_retention_that_is_over_is_refused() {
    // OL14
    let world = locked_bucket().await;
    let asked = Lock {
        retention: retained(LockMode::Compliance, now()),
        legal_hold: None,
    };
    let is_refused = |result: Result<()>| matches!(result, Err(Error::InvalidArgument { .. }));
    assert!(is_refused(put(&world, "k", b"x", asked).await.map(drop)));
    put(&world, "k", b"x", Lock::default()).await.unwrap();
    assert!(is_refused(
        retain(&world, None, asked.retention, GRANTED).await
    ));
    assert_eq!(shown(&world, "k", None).await, None);
}

#[tokio::test(flavor = "current_thread")]
async fn a_lock_that_is_over_by_the_lock_clock_alone_is_refused_and_not_taken_for_one() {
    // OL14, OL43
    let world = locked_bucket().await;
    put(&world, "k", b"x", Lock::default()).await.unwrap();
    world.clock.advance(Duration::from_secs(2 * DAY));
    let later = retained(LockMode::Governance, now() + 3 * DAY);
    retain(&world, None, later, UNASKED).await.unwrap();
    world.clock.set(common::START);
    let is_refused = |result: Result<()>| matches!(result, Err(Error::InvalidArgument { .. }));
    let asked = lock(LockMode::Compliance);
    assert!(is_refused(put(&world, "new", b"x", asked).await.map(drop)));
    let copied = world.objects.copy_object(copy_to("new", asked)).await;
    assert!(is_refused(copied.map(drop)));
    let upload = CreateUpload {
        bucket: bucket("bucket"),
        key: key("new"),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Tags::default(),
        checksum_algorithm: None,
        checksum_type: None,
        lock: asked,
    };
    assert!(is_refused(
        world.objects.create_upload(upload).await.map(drop)
    ));
    assert!(is_refused(
        retain(&world, None, asked.retention, GRANTED).await
    ));
    let beyond = Lock {
        retention: retained(LockMode::Compliance, now() + 2 * DAY + 1),
        legal_hold: None,
    };
    let id = put(&world, "k", b"y", beyond).await.unwrap();
    assert_eq!(
        delete(&world, id, UNASKED).await,
        locked(LockedBy::Compliance)
    );
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_legal_hold_is_of_its_own_and_is_remembered_when_off() {
    // OL27, OL28, OL29
    let world = locked_bucket().await;
    let id = put(&world, "k", b"x", lock(LockMode::Governance))
        .await
        .unwrap();
    let of = || version("k", id);
    let never = world.objects.object_legal_hold(of()).await;
    assert_eq!(never, Err(Error::NoSuchObjectLock));
    hold(&world, id, LegalHold::On).await.unwrap();
    assert_eq!(
        delete(&world, id, GRANTED).await,
        locked(LockedBy::LegalHold)
    );
    world.clock.advance(Duration::from_secs(2 * DAY));
    assert_eq!(
        delete(&world, id, GRANTED).await,
        locked(LockedBy::LegalHold)
    );
    hold(&world, id, LegalHold::Off).await.unwrap();
    assert_eq!(
        world.objects.object_legal_hold(of()).await,
        Ok(LegalHold::Off)
    );
    assert_eq!(
        shown(&world, "k", id).await.unwrap().legal_hold,
        Some(LegalHold::Off)
    );
    delete(&world, id, UNASKED).await.unwrap();
    world.check().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_marker_has_no_lock_and_takes_none() {
    // OL36
    let world = locked_bucket().await;
    put(&world, "k", b"x", Lock::default()).await.unwrap();
    let marker = delete(&world, None, UNASKED).await.unwrap().version_id;
    for id in [marker, None] {
        let of = version("k", id);
        let retained = retain(&world, id, lock(LockMode::Governance).retention, UNASKED).await;
        assert!(matches!(retained, Err(Error::MethodNotAllowed { .. })));
        let held = hold(&world, id, LegalHold::On).await;
        assert!(matches!(held, Err(Error::MethodNotAllowed { .. })));
        let read = world.objects.object_retention(of).await;
        assert!(matches!(read, Err(Error::MethodNotAllowed { .. })));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_lock_answers_before_a_condition() {
    // IX06
    let world = locked_bucket().await;
    let id = put(&world, "k", b"x", lock(LockMode::Compliance))
        .await
        .unwrap();
    let request = |version_id| DeleteObject {
        bucket: bucket("bucket"),
        key: key("k"),
        version_id,
        if_match: Some(ETagMatch::OneOf(vec!["no tag of it".into()])),
        bypass: UNASKED,
    };
    let deleted = world.objects.delete_object(request(id)).await;
    assert_eq!(deleted, locked(LockedBy::Compliance));
    let marked = world.objects.delete_object(request(None)).await;
    assert!(matches!(marked, Err(Error::PreconditionFailed { .. })));
}

#[tokio::test(flavor = "current_thread")]
async fn parts_are_not_locked_and_an_upload_with_a_lock_can_be_aborted() {
    // OL17
    let world = locked_bucket().await;
    let request = CreateUpload {
        bucket: bucket("bucket"),
        key: key("k"),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Tags::default(),
        checksum_algorithm: None,
        checksum_type: None,
        lock: lock(LockMode::Compliance),
    };
    let upload_id = world
        .objects
        .create_upload(request)
        .await
        .unwrap()
        .upload_id;
    let abort = AbortUpload {
        bucket: bucket("bucket"),
        key: key("k"),
        upload_id,
    };
    world.objects.abort_upload(abort).await.unwrap();
    world
        .objects
        .delete_bucket(&bucket("bucket"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn the_report_counts_what_is_in_force_in_pages() {
    // OP10
    let world = locked_bucket().await;
    for _ in 0..3 {
        put(&world, "a", b"12", lock(LockMode::Compliance))
            .await
            .unwrap();
    }
    put(&world, "b", b"1", HELD).await.unwrap();
    put(&world, "c", b"1", Lock::default()).await.unwrap();
    let (name, mut after) = (bucket("bucket"), None);
    let (mut locked, mut pages) = (std::collections::BTreeMap::new(), 0);
    loop {
        let page = world
            .objects
            .locked_page(&name, after.as_deref(), 2)
            .await
            .unwrap();
        for (until, count) in page.locked {
            let sum: &mut u64 = locked.entry(until).or_default();
            *sum += count.bytes;
        }
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, 3);
    let month = LockedUntil::Month(LockMode::Compliance, 2023, 11);
    assert_eq!(locked, [(month, 6), (LockedUntil::LegalHold, 1)].into());
    let strange = world
        .objects
        .locked_page(&name, Some(b"elsewhere"), 2)
        .await;
    assert!(matches!(strange, Err(Error::InvalidArgument { .. })));
    world.clock.advance(Duration::from_secs(2 * DAY));
    let page = world.objects.locked_page(&name, None, 100).await.unwrap();
    assert_eq!(page.locked.len(), 1, "what is over is not counted");
}

#[tokio::test(flavor = "current_thread")]
async fn background_work_leaves_locked_versions_as_they_are() {
    // OL39: sweep, mark scan, packing, compaction and re-spread move and free bytes; none of a lock's.
    let world = locked_bucket().await;
    let mut kept = Vec::new();
    for size in common::sizes() {
        for asked in [lock(LockMode::Governance), lock(LockMode::Compliance), HELD] {
            let id = put(&world, "k", &size, asked).await.unwrap();
            kept.push((id, size.clone(), asked));
            let free = put(&world, "k", &size, Lock::default()).await.unwrap();
            delete(&world, free, UNASKED).await.unwrap();
        }
    }
    multipart(&world, "k", lock(LockMode::Compliance)).await;
    let limits = PackLimits {
        content_bytes_max: 1000,
        content_count_max: 3,
        moves_max: 2,
    };
    for _ in 0..3 {
        for (id, ..) in &kept {
            assert!(delete(&world, *id, UNASKED).await.is_err());
        }
        let objects = &world.objects;
        let through = objects.log_extent().await.unwrap().newest;
        let mut packing = Packing::new(through, limits);
        while objects.pack_step(&mut packing).await.unwrap() {}
        let mut compaction = Compaction::default();
        while objects
            .compact_step(&mut compaction, &limits)
            .await
            .unwrap()
        {}
        objects.respread_once(100).await.unwrap();
        let at_once = SweepLimits {
            hold_back: Duration::ZERO,
            bytes_max: u64::MAX,
            pressed: true,
        };
        let mut after = None;
        loop {
            after = objects.sweep_page(&at_once, after, 10).await.unwrap().last;
            if after.is_none() {
                break;
            }
        }
        objects.mark_scan().await.unwrap();
        for (id, bytes, asked) in &kept {
            assert_eq!(bytes_of(&world, *id).await, *bytes);
            assert_eq!(shown(&world, "k", *id).await, Some(*asked));
        }
    }
    assert_eq!(bytes_of(&world, None).await, b"of a part");
    world.check().await;
}
