//! Order, bounds and pages of scans.

use std::sync::Arc;

use strongroom_base::ManualClock;

use super::{Store, commit, decide, delete, put};
use crate::{Record, SCAN_LIMIT_MAX, Write};

fn keys(records: &[(Vec<u8>, Record)]) -> Vec<&[u8]> {
    records.iter().map(|(key, _)| key.as_slice()).collect()
}

/// Whatever a backend keeps for itself, a scan does not show it.
pub async fn new_store_is_empty(store: &Store, _: &Arc<ManualClock>) {
    let page = store.scan(b"", None, 10).await.expect("scan");
    assert_eq!(keys(&page.records), Vec::<&[u8]>::new());
    assert!(!page.more);
    assert_eq!(store.get(b"k").await.expect("get"), None);
}

pub async fn records_come_in_key_order_below_the_prefix(store: &Store, _: &Arc<ManualClock>) {
    let stored: [&[u8]; 8] = [
        b"p",
        b"q",
        b"p/b",
        b"p/a/z",
        b"p/a",
        b"p\xFF",
        b"p/\xFF\xFF",
        b"o\xFF",
    ];
    for key in stored {
        commit(store, vec![put(key, key)]).await.expect("commit");
    }
    let page = store.scan(b"p/", None, 10).await.expect("scan");
    let expected: [&[u8]; 4] = [b"p/a", b"p/a/z", b"p/b", b"p/\xFF\xFF"];
    assert_eq!(keys(&page.records), expected);
    assert!(
        page.records
            .iter()
            .all(|(key, record)| record.value == key[..])
    );
    let page = store.scan(b"", None, 10).await.expect("scan");
    assert_eq!(page.records.len(), stored.len());
    assert!(keys(&page.records).is_sorted());
    commit(store, vec![delete("p/a/z")]).await.expect("commit");
    let page = store.scan(b"p/a", None, 10).await.expect("scan");
    assert_eq!(keys(&page.records), [b"p/a"]);
}

pub async fn pages_follow_each_other_without_loss_or_repeat(store: &Store, _: &Arc<ManualClock>) {
    let stored: Vec<Vec<u8>> = (0..100u8).map(|index| vec![b'p', index]).collect();
    let mut writes: Vec<Write> = stored.iter().map(|key| put(key, "")).collect();
    writes.extend([put("o", ""), put("q", "")]);
    commit(store, writes).await.expect("commit");
    for limit in [1, 3, 10, 99, 100, 101] {
        let mut walked: Vec<Vec<u8>> = Vec::new();
        loop {
            let after = walked.last().cloned();
            let page = store
                .scan(b"p", after.as_deref(), limit)
                .await
                .expect("scan");
            assert!(page.records.len() <= limit);
            assert!(
                !page.more || page.records.len() == limit,
                "a short page that is not the last"
            );
            let more = page.more;
            walked.extend(page.records.into_iter().map(|(key, _)| key));
            assert!(
                more || walked.len() == stored.len(),
                "`more` was false too early"
            );
            if !more {
                break;
            }
        }
        assert_eq!(walked, stored, "pages of {limit}");
    }
}

pub async fn bounds_at_the_edges_of_the_prefix(store: &Store, _: &Arc<ManualClock>) {
    let writes = ["a", "b", "b1", "b2", "c"].map(|key| put(key, "")).to_vec();
    commit(store, writes).await.expect("commit");
    let scan = async |after: Option<&str>| {
        let page = store
            .scan(b"b", after.map(str::as_bytes), 10)
            .await
            .expect("scan");
        page.records
            .into_iter()
            .map(|(key, _)| key)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        scan(None).await,
        [&b"b"[..], b"b1", b"b2"],
        "the prefix itself is included"
    );
    assert_eq!(
        scan(Some("a")).await,
        [&b"b"[..], b"b1", b"b2"],
        "after below the prefix"
    );
    assert_eq!(scan(Some("b")).await, [b"b1", b"b2"], "after is exclusive");
    assert_eq!(scan(Some("b10")).await, [b"b2"], "after need not exist");
    assert!(scan(Some("b2")).await.is_empty());
    assert!(scan(Some("c")).await.is_empty(), "after beyond the prefix");
    commit(store, vec![put([0xFF], ""), put([0xFF, 0xFF], "")])
        .await
        .expect("commit");
    let page = store.scan(&[0xFF], None, 10).await.expect("scan");
    assert_eq!(page.records.len(), 2, "a prefix that has no successor");
}

pub async fn limit_is_capped(store: &Store, _: &Arc<ManualClock>) {
    let count = u32::try_from(SCAN_LIMIT_MAX).expect("small") + 1;
    let writes = (0..count)
        .map(|index| put(index.to_be_bytes(), ""))
        .collect();
    commit(store, writes).await.expect("commit");
    let page = store.scan(b"", None, usize::MAX).await.expect("scan");
    assert_eq!(page.records.len(), SCAN_LIMIT_MAX);
    assert!(page.more);
    let after = (count - 2).to_be_bytes();
    let page = store
        .scan(b"", Some(&after), SCAN_LIMIT_MAX)
        .await
        .expect("scan");
    assert_eq!((page.records.len(), page.more), (1, false));
}

pub async fn decision_scans_the_head(store: &Store, _: &Arc<ManualClock>) {
    for index in 0..10u8 {
        commit(store, vec![put([b'p', index], "")])
            .await
            .expect("commit");
        let scanned = decide(store, |reads| {
            let all = reads.scan(b"p", None, 100)?;
            let rest = reads.scan(b"p", Some(b"p\x02"), 3)?;
            Ok((Vec::new(), (all, rest)))
        });
        let (all, rest) = scanned.await;
        assert_eq!(all.len(), usize::from(index) + 1);
        assert!(keys(&all).is_sorted());
        assert_eq!(rest.len(), usize::from(index).saturating_sub(2).min(3));
    }
    commit(store, vec![delete(b"p\x00")]).await.expect("commit");
    let all = decide(store, |reads| {
        Ok((Vec::new(), reads.scan(b"p", None, 100)?))
    })
    .await;
    assert_eq!(keys(&all)[0], b"p\x01");
}
