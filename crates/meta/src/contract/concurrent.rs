//! Many tasks at once: nothing is lost, doubled, reordered or half seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use strongroom_base::{ManualClock, tasks};

use super::{
    Collected, Store, TASK_COUNT, all, at_once, commit, decide, give_way, number, number_in, put,
    value,
};
use crate::resolve::counters;
use crate::{Write, transact};

/// Transactions of each task of a case.
const ROUND_COUNT: u64 = 8;

/// Hazard H36.
pub async fn no_update_is_lost_among_64_writers_of_one_record(store: &Store, _: &Arc<ManualClock>) {
    let answers = at_once(|_| {
        let store = Arc::clone(store);
        async move {
            let mut counts = Vec::new();
            for _ in 0..ROUND_COUNT {
                let count = decide(&store, |reads| {
                    let before = reads.get(b"count")?;
                    let count = number_in(before.as_ref().map(|record| &record.value[..])) + 1;
                    Ok((vec![put("count", number(count))], count))
                });
                counts.push(count.await);
            }
            counts
        }
    })
    .await;
    let count = number_in(value(store, "count").await.as_deref());
    assert_eq!(count, TASK_COUNT * ROUND_COUNT, "updates lost");
    let mut counts: Vec<u64> = answers.into_iter().flatten().collect();
    counts.sort_unstable();
    let expected: Vec<u64> = (1..=TASK_COUNT * ROUND_COUNT).collect();
    assert_eq!(
        counts, expected,
        "each answer is of a state that was committed"
    );
}

/// Hazard H36: counters are added, not guarded.
pub async fn counters_add_up_among_64_writers(store: &Store, _: &Arc<ManualClock>) {
    at_once(|index| {
        let store = Arc::clone(store);
        async move {
            for _ in 0..ROUND_COUNT {
                let deltas = vec![1, i64::try_from(index).expect("small")];
                let add = Write::Add {
                    key: b"usage".to_vec(),
                    deltas,
                };
                commit(&store, vec![add]).await.expect("commit");
            }
        }
    })
    .await;
    let sums = counters(&value(store, "usage").await.expect("a record")).expect("counters");
    let weights = TASK_COUNT * (TASK_COUNT - 1) / 2;
    let expected = [TASK_COUNT * ROUND_COUNT, weights * ROUND_COUNT];
    assert_eq!(sums, expected.map(|sum| i64::try_from(sum).expect("small")));
}

/// Hazard H19: the second check must see the first write although no view has it yet.
pub async fn exactly_one_of_several_absent_checks_wins(store: &Store, _: &Arc<ManualClock>) {
    for round in 0..ROUND_COUNT {
        let key = number(round);
        let outcomes = at_once(|index| {
            let store = Arc::clone(store);
            async move {
                let outcome = transact(&*store, Vec::new(), move |reads| {
                    Ok(match reads.get(&key)? {
                        Some(_) => Err("exists"),
                        None => Ok((vec![put(key, number(index))], index)),
                    })
                });
                outcome.await.expect("transact")
            }
        })
        .await;
        let winners: Vec<u64> = outcomes.into_iter().filter_map(Result::ok).collect();
        assert_eq!(winners.len(), 1, "winners of round {round}: {winners:?}");
        assert_eq!(number_in(value(store, key).await.as_deref()), winners[0]);
    }
}

/// Each task closes the gate or passes it and leaves a mark: a mark made after the gate was closed
/// is a write whose guard was on a record it did not write (hazards H12, H13).
pub async fn writes_guarded_by_another_record_keep_their_invariant(
    store: &Store,
    _: &Arc<ManualClock>,
) {
    at_once(|index| {
        let store = Arc::clone(store);
        async move {
            decide(&store, move |reads| {
                let is_closed = reads.get(b"gate")?.is_some();
                let writes = match (index == TASK_COUNT / 2, is_closed) {
                    (true, _) => {
                        let marks = reads.scan(b"mark/", None, usize::MAX)?.len() as u64;
                        vec![put("gate", number(marks))]
                    }
                    (false, false) => vec![put([b"mark/", &number(index)[..]].concat(), "")],
                    (false, true) => Vec::new(),
                };
                Ok((writes, ()))
            })
            .await;
        }
    })
    .await;
    let marks_at_close = number_in(value(store, "gate").await.as_deref());
    assert_eq!(all(store, b"mark/").await.len() as u64, marks_at_close);
}

/// A consumer that read up to some element never finds a new one below it.
pub async fn appends_are_read_in_order_of_acknowledgement_without_gaps(
    store: &Store,
    _: &Arc<ManualClock>,
) {
    let done = Arc::new(AtomicBool::new(false));
    let consumer = tasks::spawn(consume(Arc::clone(store), Arc::clone(&done)));
    at_once(|index| {
        let store = Arc::clone(store);
        async move {
            for round in 0..ROUND_COUNT {
                let append = |half: u64| Write::Append {
                    queue: b"queue/".to_vec(),
                    value: Bytes::from([number(index), number(round * 2 + half)].concat()),
                };
                commit(&store, vec![append(0), append(1)])
                    .await
                    .expect("commit");
            }
        }
    })
    .await;
    done.store(true, Ordering::SeqCst);
    let consumed = consumer.await.expect("consumer");
    let stored: Vec<Bytes> = all(store, b"queue/")
        .await
        .into_iter()
        .map(|(_, record)| record.value)
        .collect();
    assert_eq!(
        consumed.len() as u64,
        TASK_COUNT * ROUND_COUNT * 2,
        "elements consumed"
    );
    assert!(
        consumed == stored,
        "a consumer missed an element below its cursor"
    );
    for index in 0..TASK_COUNT {
        let of_task = consumed.iter().filter(|value| value[..8] == number(index));
        let sequence: Vec<u64> = of_task.map(|value| number_in(Some(&value[8..]))).collect();
        let expected: Vec<u64> = (0..ROUND_COUNT * 2).collect();
        assert_eq!(
            sequence, expected,
            "order of what task {index} had acknowledged"
        );
    }
}

/// Reads the queue page by page from a cursor, until one look after `done` finds nothing.
async fn consume(store: Store, done: Arc<AtomicBool>) -> Vec<Bytes> {
    let mut consumed = Vec::new();
    let mut cursor: Option<Vec<u8>> = None;
    loop {
        let is_last = done.load(Ordering::SeqCst);
        let page = store
            .scan(b"queue/", cursor.as_deref(), 7)
            .await
            .expect("scan");
        if is_last && page.records.is_empty() {
            return consumed;
        }
        for (key, record) in page.records {
            cursor = Some(key);
            consumed.push(record.value);
        }
        give_way().await;
    }
}

pub async fn reads_see_everything_acknowledged_before_them(store: &Store, _: &Arc<ManualClock>) {
    let acknowledged = Arc::new(AtomicU64::new(0));
    let seen: Collected<u64> = Arc::default();
    let writer = {
        let (store, acknowledged) = (Arc::clone(store), Arc::clone(&acknowledged));
        tasks::spawn(async move {
            for count in 1..=TASK_COUNT * ROUND_COUNT {
                let marker = put([b"k/", &number(count)[..]].concat(), "");
                commit(&store, vec![put("k", number(count)), marker])
                    .await
                    .expect("commit");
                acknowledged.store(count, Ordering::SeqCst);
                give_way().await;
            }
        })
    };
    while !writer.is_finished() {
        let floor = acknowledged.load(Ordering::SeqCst);
        let count = number_in(value(store, "k").await.as_deref());
        assert!(
            count >= floor,
            "read {count} after {floor} was acknowledged"
        );
        let floor = acknowledged.load(Ordering::SeqCst);
        let markers = all(store, b"k/").await.len() as u64;
        assert!(
            markers >= floor,
            "scan of {markers} after {floor} was acknowledged"
        );
        seen.lock().expect("no holder panics").push(count);
        give_way().await;
    }
    writer.await.expect("writer");
    let seen = seen.lock().expect("no holder panics");
    assert!(seen.is_sorted(), "a later read saw less");
}

pub async fn scan_page_is_one_snapshot(store: &Store, _: &Arc<ManualClock>) {
    let keys: Vec<Vec<u8>> = (0..TASK_COUNT)
        .map(|index| [b"s/", &number(index)[..]].concat())
        .collect();
    let round_of = |round: u64| -> Vec<Write> {
        // Also records come and go, so that pages differ in length.
        let end = |key: &Vec<u8>| match round.is_multiple_of(2) {
            true => put([key, &b"+"[..]].concat(), number(round)),
            false => super::delete([key, &b"+"[..]].concat()),
        };
        let puts = keys.iter().map(|key| put(key, number(round)));
        puts.chain(keys.iter().map(end)).collect()
    };
    commit(store, round_of(0)).await.expect("commit");
    let rounds: Vec<Vec<Write>> = (1..=TASK_COUNT).map(round_of).collect();
    let writer = {
        let store = Arc::clone(store);
        tasks::spawn(async move {
            for writes in rounds {
                commit(&store, writes).await.expect("commit");
                give_way().await;
            }
        })
    };
    loop {
        let is_last = writer.is_finished();
        let page = all(store, b"s/").await;
        let rounds: Vec<u64> = page
            .iter()
            .map(|(_, record)| number_in(Some(&record.value)))
            .collect();
        assert!(
            rounds.iter().all(|round| *round == rounds[0]),
            "a page of rounds {rounds:?}"
        );
        let expected = if rounds[0].is_multiple_of(2) {
            TASK_COUNT * 2
        } else {
            TASK_COUNT
        };
        assert_eq!(
            page.len() as u64,
            expected,
            "records of round {}",
            rounds[0]
        );
        if is_last {
            break;
        }
        give_way().await;
    }
    writer.await.expect("writer");
}
