//! The store in memory keeps the contract, and fails when a test asks it to.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use strongroom_blob::contract::{self, Subject};
use strongroom_blob::memory::MemoryBlobs;
use strongroom_blob::{BlobStore, ErrorKind, Health, PutOptions, Written};

async fn make() -> Subject {
    let store = MemoryBlobs::new();
    let owners = Arc::clone(&store);
    Subject {
        store,
        owner_of: Some(Arc::new(move |place| owners.owner_of(place))),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_store_keeps_the_contract() {
    contract::run_all(make).await;
}

async fn put(store: &MemoryBlobs) -> Written {
    let content = Box::pin(stream::iter([Ok(Bytes::from_static(b"content"))]));
    store
        .put(
            PutOptions {
                size: 7,
                owner: Bytes::new(),
            },
            content,
        )
        .await
        .unwrap()
}

#[tokio::test]
async fn lost_durability_is_of_the_next_blob_only_and_helped_by_a_rewrite() {
    let store = MemoryBlobs::new();
    store.lose_next_durability();
    let lost = put(&store).await;
    assert!(!(lost.durable)());
    assert!((put(&store).await.durable)());
    assert!((store.rewrite(&lost.place).await.unwrap().durable)());
    assert!(!(lost.durable)());
    assert_eq!(store.blob_count(), 3);
}

#[tokio::test]
async fn durability_can_be_lost_after_it_was_handed_out() {
    let store = MemoryBlobs::new();
    let written = put(&store).await;
    assert!((written.durable)());
    store.lose_durability(&written.place);
    assert!(!(written.durable)());
}

#[tokio::test]
async fn blobs_stay_reduced_until_they_are_rewritten() {
    let store = MemoryBlobs::new();
    store.mark_reduced(true);
    let written = put(&store).await;
    assert!(written.reduced && store.is_reduced(&written.place));
    store.mark_reduced(false);
    assert!(store.is_reduced(&written.place));
    assert!(!store.is_reduced(&store.rewrite(&written.place).await.unwrap().place));
}

#[tokio::test]
async fn lost_blob_is_corrupt_and_counted() {
    let store = MemoryBlobs::new();
    let place = put(&store).await.place;
    store.lose(&place);
    assert_eq!(store.blob_count(), 0);
    let read = store.read(&place, 0..7).await;
    assert_eq!(read.err().unwrap().kind, ErrorKind::Corrupt);
    let health = store.verify(&place).await.unwrap();
    assert_eq!(
        health,
        Health {
            shards_good: 0,
            shards_bad: 1,
            stripes_lost: 1,
            shards_repaired: 0,
        }
    );
    assert_eq!(
        store.repair(&place).await.unwrap_err().kind,
        ErrorKind::Corrupt
    );
}
