//! The store in memory keeps the contract.

use std::sync::Arc;

use bytes::Bytes;
use strongroom_base::{Clock, ManualClock, tasks};
use strongroom_meta::contract::{self, CLOCK_START, Store};
use strongroom_meta::memory::MemoryMeta;
use strongroom_meta::{MetaStore, Stamp, Transaction, Write};

async fn make(clock: Arc<ManualClock>) -> Store {
    MemoryMeta::new(clock)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_store_keeps_the_contract_on_several_threads() {
    contract::run_all(make).await;
}

#[tokio::test]
async fn memory_store_keeps_the_contract_on_one_thread() {
    contract::run_all(make).await;
}

fn writes(writes: Vec<Write>) -> Transaction {
    Transaction {
        decide: Box::new(move |_| Ok(Some(writes.clone()))),
        durable: Vec::new(),
    }
}

fn put_inline(key: &[u8]) -> Write {
    let content = Bytes::from_static(b"content");
    Write::PutInline {
        key: key.to_vec(),
        value: Bytes::new(),
        content,
    }
}

#[tokio::test]
async fn inline_content_is_kept_exactly_while_a_record_holds_it() {
    let store = MemoryMeta::new(Arc::new(ManualClock::new(CLOCK_START)));
    store
        .transact(writes(vec![put_inline(b"a"), put_inline(b"b")]))
        .await
        .unwrap();
    assert_eq!((store.record_count(), store.inline_count()), (2, 2));
    let move_a = Write::MoveInline {
        from: b"a".to_vec(),
        key: b"c".to_vec(),
        value: Bytes::new(),
    };
    store
        .transact(writes(vec![move_a, Write::Delete { key: b"a".to_vec() }]))
        .await
        .unwrap();
    assert_eq!((store.record_count(), store.inline_count()), (2, 2));
    let delete = |key: &[u8]| Write::Delete { key: key.to_vec() };
    store
        .transact(writes(vec![delete(b"c"), put_inline(b"b")]))
        .await
        .unwrap();
    assert_eq!((store.record_count(), store.inline_count()), (1, 1));
}

#[tokio::test]
async fn decision_that_panics_leaves_nothing_and_the_store_goes_on() {
    let store = MemoryMeta::new(Arc::new(ManualClock::new(CLOCK_START)));
    let panicking = Arc::clone(&store);
    let task = tasks::spawn(async move {
        let decide = Box::new(|_: &mut dyn strongroom_meta::Reads| panic!("a planted panic"));
        panicking
            .transact(Transaction {
                decide,
                durable: Vec::new(),
            })
            .await
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(store.record_count(), 0);
    let put = Write::Put {
        key: b"k".to_vec(),
        value: Bytes::new(),
    };
    store.transact(writes(vec![put])).await.unwrap();
    assert_eq!(store.record_count(), 1);
}

#[tokio::test]
async fn clock_far_ahead_is_reported() {
    let clock = Arc::new(ManualClock::new(CLOCK_START));
    let store = MemoryMeta::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let issue = || Transaction {
        decide: Box::new(|reads| {
            reads.issue_stamp(Stamp(0));
            Ok(None)
        }),
        durable: Vec::new(),
    };
    store.transact(issue()).await.unwrap();
    assert!(!store.is_clock_ahead());
    clock.advance(std::time::Duration::from_secs(365 * 24 * 3600));
    store.transact(issue()).await.unwrap();
    assert!(store.is_clock_ahead());
}
