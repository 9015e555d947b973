//! Tags of versions, and configurations of buckets: what they follow, and what they vanish with.

mod common;

use common::{World, bucket, key, put_request};
use strongroom_meta::{MetaStore as _, Stamp};
use strongroom_objects::config::{CorsConfig, CorsRule};
use strongroom_objects::decide;
use strongroom_objects::records::{HeadRecord, STANDARD, VersionRecord, keys};
use strongroom_objects::{
    ConfigKind, CopyObject, CreateBucket, DeleteObject, Error, GetObject, MetadataDirective,
    ObjectVersion, ReadConditions, TaggingDirective, Tags, WriteConditions,
};
use strongroom_types::{Owner, VersionId};

fn tags(pairs: &[(&str, &str)]) -> Tags {
    let pairs = pairs
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()));
    Tags::of_object(pairs).unwrap()
}

fn of(name: &str) -> ObjectVersion {
    ObjectVersion {
        bucket: bucket("bucket"),
        key: key(name),
        version_id: None,
    }
}

fn copy(from: &str, to: &str) -> CopyObject {
    CopyObject {
        lock: Default::default(),
        source_bucket: bucket("bucket"),
        source_key: key(from),
        source_version_id: None,
        source_conditions: ReadConditions::default(),
        bucket: bucket("bucket"),
        key: key(to),
        metadata: MetadataDirective::Copy {
            website_redirect_location: None,
        },
        tags: TaggingDirective::Copy,
        checksum_algorithm: None,
        conditions: WriteConditions::default(),
    }
}

#[tokio::test]
async fn changing_tags_changes_nothing_else_of_a_version() {
    // VE30
    let world = World::with_bucket().await;
    let mut request = put_request("key", b"content");
    request.tags = tags(&[("a", "1")]);
    world.objects.put_object(request).await.unwrap();
    let head = || {
        world
            .objects
            .head_object(GetObject::new(bucket("bucket"), key("key")))
    };
    let before = head().await.unwrap().info;
    assert_eq!(before.tag_count, 1);
    world.clock.advance(std::time::Duration::from_secs(60));
    let two = tags(&[("b", "2"), ("c", "3")]);
    let put = world.objects.put_object_tags(of("key"), two.clone());
    assert_eq!(put.await.unwrap(), None);
    let mut after = head().await.unwrap().info;
    assert_eq!(
        world.objects.object_tags(of("key")).await.unwrap().tags,
        two
    );
    after.tag_count = before.tag_count;
    assert_eq!(after, before);
    assert_eq!(world.get("key").await.unwrap(), b"content");
    world.check().await;
}

#[tokio::test]
async fn a_new_version_has_its_own_tags() {
    // VE30
    let world = World::with_bucket().await;
    let mut request = put_request("key", b"one");
    request.tags = tags(&[("a", "1")]);
    world.objects.put_object(request).await.unwrap();
    world.put("key", b"two").await.unwrap();
    let found = world.objects.object_tags(of("key")).await.unwrap();
    assert!(found.tags.is_empty());
}

#[tokio::test]
async fn a_copy_has_the_tags_of_its_source_unless_it_brings_its_own() {
    // HD06
    let world = World::with_bucket().await;
    let mut request = put_request("from", b"content");
    request.tags = tags(&[("a", "1")]);
    request.headers.website_redirect_location = Some("/x".into());
    world.objects.put_object(request).await.unwrap();
    world
        .objects
        .copy_object(copy("from", "same"))
        .await
        .unwrap();
    let same = world.objects.object_tags(of("same")).await.unwrap();
    assert_eq!(same.tags, tags(&[("a", "1")]));
    let head = GetObject::new(bucket("bucket"), key("same"));
    let head = world.objects.head_object(head).await.unwrap();
    assert_eq!(head.info.headers.website_redirect_location, None);
    let mut other = copy("from", "other");
    other.tags = TaggingDirective::Replace(tags(&[("b", "2")]));
    other.metadata = MetadataDirective::Copy {
        website_redirect_location: Some("/y".into()),
    };
    world.objects.copy_object(other).await.unwrap();
    let other = world.objects.object_tags(of("other")).await.unwrap();
    assert_eq!(other.tags, tags(&[("b", "2")]));
    let head = GetObject::new(bucket("bucket"), key("other"));
    let head = world.objects.head_object(head).await.unwrap();
    let location = head.info.headers.website_redirect_location;
    assert_eq!(location.as_deref(), Some("/y"));
}

#[tokio::test]
async fn tags_of_what_is_not_there_say_so() {
    // VE16, VE17
    let world = World::with_bucket().await;
    let missing = world
        .objects
        .put_object_tags(of("key"), Tags::default())
        .await;
    assert!(matches!(missing, Err(Error::NoSuchKey { .. })));
    world.put("key", b"content").await.unwrap();
    let by = |version_id| ObjectVersion {
        version_id: Some(version_id),
        ..of("key")
    };
    let stamped = world
        .objects
        .put_object_tags(by(VersionId::Stamp(1)), Tags::default());
    assert!(matches!(
        stamped.await,
        Err(Error::InvalidArgument {
            name: "versionId",
            ..
        })
    ));
    let null = world
        .objects
        .put_object_tags(by(VersionId::Null), tags(&[("a", "1")]));
    assert_eq!(null.await.unwrap(), Some(VersionId::Null));
    let null = world
        .objects
        .object_tags(by(VersionId::Null))
        .await
        .unwrap();
    assert_eq!(null.tags, tags(&[("a", "1")]));
}

#[tokio::test]
async fn a_bucket_made_again_has_none_of_the_configurations_of_the_one_before() {
    // BK06, H14
    let world = World::with_bucket().await;
    let name = bucket("bucket");
    let rules = vec![CorsRule {
        allowed_methods: vec!["GET".into()],
        allowed_origins: vec!["*".into()],
        ..CorsRule::default()
    }];
    let cors = CorsConfig { rules };
    world
        .objects
        .put_bucket_config(&name, cors.clone())
        .await
        .unwrap();
    world
        .objects
        .put_bucket_config(&name, tags(&[("a", "1")]))
        .await
        .unwrap();
    assert_eq!(
        world.objects.bucket_config::<CorsConfig>(&name).await,
        Ok(cors)
    );
    world.objects.delete_bucket(&name).await.unwrap();
    let left = world.meta.scan(b"C", None, 10).await.unwrap();
    assert_eq!(left.records.len(), 0, "records of a bucket that is gone");
    world.create("bucket").await.unwrap();
    for kind in [ConfigKind::Cors, ConfigKind::Tagging] {
        let found = match kind {
            ConfigKind::Cors => world.objects.bucket_config::<CorsConfig>(&name).await.err(),
            _ => world.objects.bucket_config::<Tags>(&name).await.err(),
        };
        assert_eq!(found, Some(Error::NoSuchConfiguration { kind }));
    }
    world.check().await;
}

#[tokio::test]
async fn a_bucket_is_made_with_its_tags_in_one_step() {
    // BK10
    let world = World::new();
    let request = CreateBucket {
        lock_enabled: false,
        bucket: bucket("bucket"),
        owner: Owner::new("owner").unwrap(),
        tags: tags(&[("a", "1")]),
    };
    world.objects.create_bucket(request).await.unwrap();
    let found = world.objects.bucket_config::<Tags>(&bucket("bucket")).await;
    assert_eq!(found, Ok(tags(&[("a", "1")])));
    let name = bucket("bucket");
    world
        .objects
        .delete_bucket_config::<Tags>(&name)
        .await
        .unwrap();
    let found = world.objects.bucket_config::<Tags>(&bucket("bucket")).await;
    assert!(matches!(found, Err(Error::NoSuchConfiguration { .. })));
}

#[tokio::test]
async fn no_configuration_and_no_tags_get_into_a_bucket_that_is_being_deleted() {
    // H13
    let world = World::with_bucket().await;
    world.put("key", b"content").await.unwrap();
    let reference = world.bucket_ref().await;
    let closed = reference.clone();
    world
        .decide(move |reads| decide::close_bucket(reads, &closed, common::START))
        .await
        .unwrap();
    let name = bucket("bucket");
    let put = world
        .objects
        .put_bucket_config(&name, Tags::default())
        .await;
    assert_eq!(put, Err(Error::OperationAborted));
    let put = world
        .objects
        .put_object_tags(of("key"), tags(&[("a", "1")]));
    assert_eq!(put.await, Err(Error::OperationAborted));
}

#[tokio::test]
async fn a_configuration_for_a_bucket_that_was_made_again_meanwhile_is_refused() {
    // H14
    let world = World::with_bucket().await;
    let old = world.bucket_ref().await;
    world
        .objects
        .delete_bucket(&bucket("bucket"))
        .await
        .unwrap();
    world.create("bucket").await.unwrap();
    let put = world
        .decide(move |reads| decide::put_config(reads, &old, &Tags::default(), common::START))
        .await;
    assert_eq!(put, Err(Error::NoSuchBucket));
    let left = world.meta.scan(b"C", None, 10).await.unwrap();
    assert_eq!(left.records.len(), 0);
}

#[tokio::test]
async fn tags_go_with_the_version_they_belong_to() {
    let world = World::with_bucket().await;
    let mut request = put_request("key", b"content");
    request.tags = tags(&[("a", "1")]);
    world.objects.put_object(request).await.unwrap();
    let delete = DeleteObject {
        bypass: Default::default(),
        bucket: bucket("bucket"),
        key: key("key"),
        version_id: None,
        if_match: None,
    };
    world.objects.delete_object(delete).await.unwrap();
    world.put("key", b"again").await.unwrap();
    assert!(
        world
            .objects
            .object_tags(of("key"))
            .await
            .unwrap()
            .tags
            .is_empty()
    );
}

#[tokio::test]
async fn tags_of_a_delete_marker_are_not_allowed() {
    // VE21
    let world = World::with_bucket().await;
    let reference = world.bucket_ref().await;
    let stamp = Stamp(1);
    world
        .decide(move |_| {
            let marker = VersionRecord {
                is_null: true,
                last_modified: common::START,
                object: None,
                replication: None,
            };
            let head = HeadRecord {
                current: stamp,
                newest: stamp,
                null: Some(stamp),
                listed: None,
            };
            let mut writes = decide::Writes::default();
            writes.put(keys::version(reference.id, &key("key"), stamp), &marker);
            writes.put(keys::head(reference.id, &key("key")), &head);
            Ok((writes.finish(reference.id, STANDARD), ()))
        })
        .await
        .unwrap();
    for version_id in [None, Some(VersionId::Null)] {
        let of = || ObjectVersion {
            version_id,
            ..of("key")
        };
        let put = world.objects.put_object_tags(of(), tags(&[("a", "1")]));
        assert!(matches!(put.await, Err(Error::MethodNotAllowed { .. })));
        let get = world.objects.object_tags(of()).await;
        assert!(matches!(get, Err(Error::MethodNotAllowed { .. })));
    }
}
