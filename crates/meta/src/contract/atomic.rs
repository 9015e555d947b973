//! All or nothing, and seen by all once acknowledged.

use std::sync::Arc;

use bytes::Bytes;
use strongroom_base::ManualClock;

use super::{
    Store, TASK_COUNT, all, at_once, commit, commit_if, decide, delete, kind, put, record, value,
};
use crate::resolve::counters;
use crate::{
    Durability, Error, ErrorKind, INLINE_SIZE_BYTES_MAX, KEY_SIZE_BYTES_MAX,
    TRANSACTION_SIZE_BYTES_MAX, TRANSACTION_WRITES_MAX, VALUE_SIZE_BYTES_MAX, Write, transact,
};

fn durable(answer: bool) -> Durability {
    Arc::new(move || answer)
}

pub async fn writes_of_a_transaction_happen_together(store: &Store, _: &Arc<ManualClock>) {
    commit(store, vec![put("a", "1"), put("b", "2"), put("c", "3")])
        .await
        .expect("commit");
    commit(store, vec![delete("a"), put("b", "4"), put("d", "")])
        .await
        .expect("commit");
    assert_eq!(value(store, "a").await, None);
    assert_eq!(value(store, "b").await.as_deref(), Some(&b"4"[..]));
    assert_eq!(value(store, "c").await.as_deref(), Some(&b"3"[..]));
    assert_eq!(
        value(store, "d").await.as_deref(),
        Some(&b""[..]),
        "an empty value is a record"
    );
    commit(store, vec![delete("never")])
        .await
        .expect("delete of what is not there");
    assert_eq!(all(store, b"").await.len(), 3);
}

pub async fn acknowledged_writes_are_seen_by_every_read(store: &Store, _: &Arc<ManualClock>) {
    for round in 0..32u8 {
        commit(store, vec![put("k", [round])])
            .await
            .expect("commit");
        assert_eq!(value(store, "k").await.as_deref(), Some(&[round][..]));
        assert_eq!(all(store, b"k").await[0].1.value[..], [round]);
        let seen = decide(store, |reads| Ok((Vec::new(), reads.get(b"k")?))).await;
        assert_eq!(seen.expect("a record").value[..], [round]);
    }
}

pub async fn last_write_of_a_key_wins(store: &Store, _: &Arc<ManualClock>) {
    commit(
        store,
        vec![put("a", "1"), put("a", "2"), delete("b"), put("b", "3")],
    )
    .await
    .expect("commit");
    assert_eq!(value(store, "a").await.as_deref(), Some(&b"2"[..]));
    assert_eq!(value(store, "b").await.as_deref(), Some(&b"3"[..]));
    commit(store, vec![put("a", "4"), delete("a")])
        .await
        .expect("commit");
    assert_eq!(value(store, "a").await, None);
}

pub async fn revisions_grow_with_each_write_of_a_record(store: &Store, _: &Arc<ManualClock>) {
    commit(store, vec![put("still", "")]).await.expect("commit");
    let still = record(store, "still").await.expect("a record").revision;
    let mut last = still;
    for _ in 0..8 {
        commit(store, vec![put("k", "same value")])
            .await
            .expect("commit");
        let revision = record(store, "k").await.expect("a record").revision;
        assert!(revision > last, "{revision:?} after {last:?}");
        last = revision;
        commit(store, vec![delete("k")]).await.expect("commit");
    }
    assert_eq!(
        record(store, "still").await.expect("a record").revision,
        still
    );
    let seen = decide(store, |reads| Ok((Vec::new(), reads.get(b"still")?))).await;
    assert_eq!(
        seen.expect("a record").revision,
        still,
        "a decision sees the same revision"
    );
}

pub async fn refused_decision_leaves_nothing(store: &Store, _: &Arc<ManualClock>) {
    let refused = transact(&**store, Vec::new(), |_| {
        Ok(Err::<(Vec<Write>, ()), _>("refused"))
    });
    assert_eq!(
        refused.await.expect("a refusal is no failure"),
        Err("refused")
    );
    let failed = transact(&**store, Vec::new(), |reads| {
        reads.get(b"k")?;
        Err::<std::result::Result<(Vec<Write>, ()), ()>, _>(Error::new(ErrorKind::Corrupt, "bad"))
    });
    assert_eq!(kind(failed.await), Some(ErrorKind::Corrupt));
    let empty = transact(&**store, Vec::new(), |_| Ok(Ok::<_, ()>((Vec::new(), 7))));
    assert_eq!(empty.await.expect("no write is a success"), Ok(7));
    assert!(all(store, b"").await.is_empty());
}

/// Hazard H10: bytes synced before the commit may be on a disk that was taken out since.
pub async fn lost_blob_fails_the_transaction_and_leaves_nothing(
    store: &Store,
    _: &Arc<ManualClock>,
) {
    for answers in [vec![false], vec![true, false], vec![false, true]] {
        let closures = answers.into_iter().map(durable).collect();
        let lost = commit_if(store, closures, vec![put("k", "1"), put("l", "2")]).await;
        assert_eq!(kind(lost), Some(ErrorKind::BlobLost));
        assert!(all(store, b"").await.is_empty());
    }
    let closures = vec![durable(true), durable(true)];
    commit_if(store, closures, vec![put("k", "1")])
        .await
        .expect("commit");
    assert_eq!(value(store, "k").await.as_deref(), Some(&b"1"[..]));
}

pub async fn limits_are_kept_and_leave_nothing(store: &Store, _: &Arc<ManualClock>) {
    let inline = |size| Write::PutInline {
        key: b"inline".to_vec(),
        value: Bytes::new(),
        content: vec![1; size].into(),
    };
    let many = |count: usize| {
        (0..count)
            .map(|index| put(index.to_be_bytes(), ""))
            .collect()
    };
    let value_max = vec![2; VALUE_SIZE_BYTES_MAX];
    let whole_count = TRANSACTION_SIZE_BYTES_MAX / VALUE_SIZE_BYTES_MAX + 1;
    let too_large: [Vec<Write>; 5] = [
        vec![
            put("first", ""),
            put("value", vec![2; VALUE_SIZE_BYTES_MAX + 1]),
        ],
        vec![put("first", ""), inline(INLINE_SIZE_BYTES_MAX + 1)],
        vec![
            put("first", ""),
            put(vec![b'k'; KEY_SIZE_BYTES_MAX + 1], ""),
        ],
        many(TRANSACTION_WRITES_MAX + 1),
        (0..whole_count)
            .map(|index| put(index.to_be_bytes(), &value_max))
            .collect(),
    ];
    for writes in too_large {
        assert_eq!(kind(commit(store, writes).await), Some(ErrorKind::TooLarge));
        assert!(all(store, b"").await.is_empty());
    }
    let key_max = vec![b'k'; KEY_SIZE_BYTES_MAX];
    let fits = vec![
        put("value", &value_max),
        inline(INLINE_SIZE_BYTES_MAX),
        put(&key_max, "v"),
    ];
    commit(store, fits)
        .await
        .expect("a transaction at its limits");
    assert_eq!(value(store, "value").await.as_deref(), Some(&value_max[..]));
    assert_eq!(value(store, &key_max).await.as_deref(), Some(&b"v"[..]));
    commit(store, many(TRANSACTION_WRITES_MAX))
        .await
        .expect("as many writes as allowed");
    let last = (TRANSACTION_WRITES_MAX - 1).to_be_bytes();
    assert!(record(store, last).await.is_some());
}

pub async fn counters_start_at_zero_and_extend(store: &Store, _: &Arc<ManualClock>) {
    let add = |deltas: &[i64]| Write::Add {
        key: b"usage".to_vec(),
        deltas: deltas.to_vec(),
    };
    commit(store, vec![add(&[5])]).await.expect("commit");
    commit(store, vec![add(&[-7, 1]), add(&[0, 1])])
        .await
        .expect("commit");
    let sums = value(store, "usage").await.expect("a record");
    assert_eq!(counters(&sums).expect("counters"), [-2, 2]);
    let seen = decide(store, |reads| Ok((Vec::new(), reads.get(b"usage")?))).await;
    assert_eq!(seen.expect("a record").value, sums);
}

/// Transactions that share a batch with failing ones are committed all the same.
pub async fn failed_transactions_do_not_touch_their_neighbours(
    store: &Store,
    _: &Arc<ManualClock>,
) {
    let outcomes = at_once(|index| {
        let store = Arc::clone(store);
        async move {
            let key = index.to_be_bytes();
            let writes = match index % 4 {
                1 => vec![
                    put(key, "bad"),
                    put("large", vec![0; VALUE_SIZE_BYTES_MAX + 1]),
                ],
                _ => vec![put(key, "good")],
            };
            let closures = vec![durable(index % 4 != 2)];
            let outcome = commit_if(&store, closures, writes).await;
            (index, kind(outcome))
        }
    })
    .await;
    for (index, outcome) in outcomes {
        let expected = match index % 4 {
            1 => Some(ErrorKind::TooLarge),
            2 => Some(ErrorKind::BlobLost),
            _ => None,
        };
        assert_eq!(outcome, expected, "transaction {index}");
        let stored = value(store, index.to_be_bytes()).await;
        assert_eq!(stored.is_some(), expected.is_none(), "transaction {index}");
    }
    assert_eq!(all(store, b"").await.len() as u64, TASK_COUNT / 2);
}
