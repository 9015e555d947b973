//! What would be left after losses, and what was lost with a pack.

mod common;

use std::collections::BTreeSet;

use common::{World, bucket, key};
use strongroom_meta::MetaStore;
use strongroom_objects::records::{BlobOwner, BlobRecord, RecordFormat, keys};
use strongroom_objects::*;

async fn pack(objects: &Objects) {
    let through = objects.log_extent().await.unwrap().newest;
    let limits = PackLimits {
        content_bytes_max: 1 << 20,
        content_count_max: 1000,
        moves_max: 2,
    };
    let mut packing = Packing::new(through, limits);
    while objects.pack_step(&mut packing).await.unwrap() {}
}

/// All pages of `limit`, added up: in shards, in the log, and how many pages.
async fn simulate(objects: &Objects, limit: usize) -> (Contents, Contents, usize) {
    let (mut shards, mut log, mut pages, mut after) =
        (Contents::default(), Contents::default(), 0, None);
    loop {
        let page = objects.simulate(after, limit, &BTreeSet::new()).await;
        let page = page.unwrap();
        pages += 1;
        for (level, count) in page.levels {
            assert_eq!(level, Level::Full);
            shards.count += count.count;
            shards.bytes += count.bytes;
        }
        log.count += page.in_log.count;
        log.bytes += page.in_log.bytes;
        after = page.next;
        if after.is_none() {
            return (shards, log, pages);
        }
    }
}

/// AZ28: each content is counted once, where it is; a pack is not counted beside what is in it.
#[tokio::test(flavor = "current_thread")]
async fn az28_every_content_is_counted_once_wherever_it_is() {
    let world = World::with_bucket().await;
    for name in ["a", "b", "c"] {
        world.put(name, &[7; 1000]).await.unwrap();
    }
    world.put("large", &[8; 40_000]).await.unwrap();
    let large = Contents {
        count: 1,
        bytes: 40_000,
    };
    let small = Contents {
        count: 3,
        bytes: 3000,
    };
    assert_eq!(simulate(&world.objects, 1000).await, (large, small, 1));
    pack(&world.objects).await;
    let all = Contents {
        count: 4,
        bytes: 43_000,
    };
    let none = Contents::default();
    assert_eq!(simulate(&world.objects, 1000).await, (all, none, 1));
    // Four contents and a pack, one by one.
    assert_eq!(simulate(&world.objects, 1).await, (all, none, 5));
}

/// AZ27: the objects in a lost pack are listed by name, as long as they are there.
#[tokio::test(flavor = "current_thread")]
async fn az27_what_is_lost_with_a_pack_is_listed_by_name() {
    let world = World::with_bucket().await;
    for name in ["a", "b"] {
        world.put(name, &[7; 1000]).await.unwrap();
    }
    pack(&world.objects).await;
    world.put("c", &[9; 1000]).await.unwrap();
    assert_eq!(
        world.objects.list_lost_packed(None).await.unwrap(),
        LostPackedPage::default()
    );
    let page = world.objects.blobs_page(None, 1000).await.unwrap();
    let [stored] = &page.blobs[..] else {
        panic!("{page:?}")
    };
    let record = world.meta.get(&keys::blob(stored.blob)).await.unwrap();
    let record = BlobRecord::decode(&record.unwrap().value).unwrap();
    assert_eq!(record.owner, BlobOwner::Pack);
    // Called lost, but what is in it can be read.
    world.objects.set_lost(stored, true).await.unwrap();
    let found = world.objects.list_lost_packed(None).await.unwrap();
    assert_eq!((found.lost.len(), found.readable), (0, 2));
    world.blobs.lose(&stored.place);
    let names = async || {
        let found = world.objects.list_lost_packed(None).await.unwrap();
        assert_eq!((found.readable, found.next), (0, None));
        let mut names = Vec::new();
        for lost in found.lost {
            assert_eq!(lost.pack, stored.blob);
            assert_eq!(lost.object.bucket, Some(bucket("bucket")));
            names.push(lost.object.key.unwrap().as_str().to_owned());
        }
        names.sort();
        names
    };
    assert_eq!(names().await, ["a", "b"]);
    let delete = DeleteObject {
        bypass: Default::default(),
        bucket: bucket("bucket"),
        key: key("a"),
        version_id: None,
        if_match: None,
    };
    world.objects.delete_object(delete).await.unwrap();
    assert_eq!(names().await, ["b"]);
}
