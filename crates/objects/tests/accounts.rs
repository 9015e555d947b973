//! What a handle that acts for an account reaches.

mod common;

use common::{World, bucket, content, key};
use strongroom_objects::{
    CreateBucket, Error, GetObject, ListBuckets, ObjectHeaders, Objects, PutObject, UserMetadata,
    WriteConditions,
};
use strongroom_types::Owner;

fn owner(name: &str) -> Owner {
    Owner::new(name).unwrap()
}

async fn create(objects: &Objects, name: &str, by: &str) {
    let request = CreateBucket {
        lock_enabled: false,
        bucket: bucket(name),
        owner: owner(by),
        tags: Default::default(),
    };
    objects.create_bucket(request).await.unwrap();
}

fn put(name: &str) -> PutObject {
    PutObject {
        lock: Default::default(),
        bucket: bucket(name),
        key: key("k"),
        content: content(b"x"),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        conditions: WriteConditions::default(),
    }
}

#[tokio::test]
async fn a_bucket_that_changed_hands_is_not_reached_by_who_had_it() {
    // PR07
    let world = World::new();
    let one = world.objects.acting_for(owner("one"));
    create(&world.objects, "bucket", "one").await;
    one.head_bucket(&bucket("bucket")).await.unwrap();
    one.delete_bucket(&bucket("bucket")).await.unwrap();
    create(&world.objects, "bucket", "two").await;
    assert_eq!(
        one.put_object(put("bucket")).await.unwrap_err(),
        Error::AccessDenied
    );
    let get = GetObject::new(bucket("bucket"), key("k"));
    let answer = one.get_object(get.clone()).await;
    assert_eq!(answer.err(), Some(Error::AccessDenied));
    let answer = world.objects.get_object(get).await;
    assert!(
        matches!(answer.err(), Some(Error::NoSuchKey { .. })),
        "nothing was written"
    );
    let two = world.objects.acting_for(owner("two"));
    two.put_object(put("bucket")).await.unwrap();
}

#[tokio::test]
async fn a_list_finds_ones_own_among_thousands_of_others() {
    // BK07
    let world = World::new();
    for number in 0..1500 {
        create(&world.objects, &format!("others-{number:04}"), "one").await;
    }
    for name in ["a-first", "others-0700-between", "z-last"] {
        create(&world.objects, name, "two").await;
    }
    let two = world.objects.acting_for(owner("two"));
    let mut request = ListBuckets {
        prefix: String::new(),
        continuation_token: None,
        buckets_max: 2,
    };
    let first = two.list_buckets(request.clone()).await.unwrap();
    request
        .continuation_token
        .clone_from(&first.continuation_token);
    let second = two.list_buckets(request.clone()).await.unwrap();
    assert_eq!(second.continuation_token, None);
    let names: Vec<String> = first
        .buckets
        .iter()
        .chain(&second.buckets)
        .map(|found| found.name.to_string())
        .collect();
    assert_eq!(names, ["a-first", "others-0700-between", "z-last"]);
    request.continuation_token = None;
    request.buckets_max = 3;
    let whole = two.list_buckets(request).await.unwrap();
    assert_eq!(
        (whole.buckets.len(), whole.continuation_token),
        (3, None),
        "no empty page follows"
    );
}
