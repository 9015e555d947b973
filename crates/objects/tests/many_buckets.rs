//! An account may have as many buckets as on S3.

mod common;

use common::World;
use strongroom_objects::ListBuckets;

/// What S3 gives an account unless it asks for more.
const BUCKETS: usize = 10_000;

#[tokio::test]
async fn an_account_has_more_than_ten_thousand_buckets_and_lists_them_in_pages() {
    // BK11, BK07
    let world = World::new();
    for number in 0..=BUCKETS {
        world.create(&format!("bucket-{number:05}")).await.unwrap();
    }
    let mut request = ListBuckets {
        prefix: String::new(),
        continuation_token: None,
        buckets_max: 10_000,
    };
    let first = world.objects.list_buckets(request.clone()).await.unwrap();
    assert_eq!(first.buckets.len(), BUCKETS);
    request.continuation_token = first.continuation_token;
    assert!(request.continuation_token.is_some());
    let second = world.objects.list_buckets(request).await.unwrap();
    let names: Vec<&str> = second.buckets.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["bucket-10000"]);
    assert_eq!(second.continuation_token, None);
}
