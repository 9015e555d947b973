//! The contract suite: what every metadata store promises, as cases that every backend runs.
//!
//! A promise that only one backend was tested for is not one. The cases use nothing but the
//! [`MetaStore`] trait and a clock that the suite moves, and fail by assertion. A backend calls
//! [`run_all`] from its tests, on a runtime with several threads so that tasks really run at once.
//!
//! The cases say nothing of crashes, lost zones and damage: those need a backend's own means.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use strongroom_base::{ManualClock, Timestamp};

use crate::{Durability, ErrorKind, MetaStore, Reads, Record, Result, Write, transact};

pub mod atomic;
pub mod concurrent;
pub mod inline;
pub mod scan;
pub mod stamps;

/// Tasks that act at once in a case: more than any batch is likely to be split at, and the number
/// that hazard H36 names.
pub const TASK_COUNT: u64 = 64;

/// Where the clock of each case starts: some day in 2026.
pub const CLOCK_START: Timestamp = Timestamp(1_790_000_000_000_000_000);

/// The store under test.
pub type Store = Arc<dyn MetaStore>;

macro_rules! run_cases {
    ($make:ident: $($case:path),+ $(,)?) => {$({
        println!("contract case {}", stringify!($case));
        let clock = Arc::new(ManualClock::new(CLOCK_START));
        let store = $make(Arc::clone(&clock)).await;
        $case(&store, &clock).await;
    })+};
}

/// Runs every case, each on an empty store that `make` opens with the given clock.
///
/// # Panics
/// When a case fails.
pub async fn run_all<F, Fut>(make: F)
where
    F: Fn(Arc<ManualClock>) -> Fut,
    Fut: Future<Output = Store>,
{
    run_cases!(make:
        atomic::writes_of_a_transaction_happen_together,
        atomic::acknowledged_writes_are_seen_by_every_read,
        atomic::last_write_of_a_key_wins,
        atomic::revisions_grow_with_each_write_of_a_record,
        atomic::refused_decision_leaves_nothing,
        atomic::lost_blob_fails_the_transaction_and_leaves_nothing,
        atomic::limits_are_kept_and_leave_nothing,
        atomic::counters_start_at_zero_and_extend,
        atomic::failed_transactions_do_not_touch_their_neighbours,
        concurrent::no_update_is_lost_among_64_writers_of_one_record,
        concurrent::counters_add_up_among_64_writers,
        concurrent::exactly_one_of_several_absent_checks_wins,
        concurrent::writes_guarded_by_another_record_keep_their_invariant,
        concurrent::appends_are_read_in_order_of_acknowledgement_without_gaps,
        concurrent::reads_see_everything_acknowledged_before_them,
        concurrent::scan_page_is_one_snapshot,
    );
    run_cases!(make:
        scan::new_store_is_empty,
        scan::records_come_in_key_order_below_the_prefix,
        scan::pages_follow_each_other_without_loss_or_repeat,
        scan::bounds_at_the_edges_of_the_prefix,
        scan::limit_is_capped,
        scan::decision_scans_the_head,
        inline::content_is_read_back_as_written,
        inline::content_follows_its_record_when_moved,
        inline::moved_content_leaves_a_record_that_stays,
        inline::content_goes_with_its_record,
        inline::reader_never_gets_other_content,
        inline::records_with_inline_content_are_found_up_to_a_batch,
        inline::trim_refuses_while_a_record_holds_inline_content_there,
        stamps::stamps_grow_within_and_across_transactions,
        stamps::stamps_follow_the_clock_but_never_back,
        stamps::clock_far_ahead_does_not_latch_stamps,
        stamps::stamps_of_concurrent_transactions_differ,
    );
}

/// A `Put`.
fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Write {
    Write::Put {
        key: key.as_ref().to_vec(),
        value: Bytes::copy_from_slice(value.as_ref()),
    }
}

/// A `Delete`.
fn delete(key: impl AsRef<[u8]>) -> Write {
    Write::Delete {
        key: key.as_ref().to_vec(),
    }
}

/// Commits `writes` whatever is stored.
async fn commit(store: &Store, writes: Vec<Write>) -> Result<()> {
    commit_if(store, Vec::new(), writes).await
}

/// Commits `writes` if the blobs are durable.
async fn commit_if(store: &Store, durable: Vec<Durability>, writes: Vec<Write>) -> Result<()> {
    let decided = transact(&**store, durable, move |_| {
        Ok(Ok::<_, ()>((writes.clone(), ())))
    });
    decided
        .await
        .map(|answer| answer.expect("the decision never refuses"))
}

/// Runs a decision that is expected to succeed and hands back its answer.
async fn decide<T: Send + 'static>(
    store: &Store,
    mut decision: impl FnMut(&mut dyn Reads) -> Result<(Vec<Write>, T)> + Send + 'static,
) -> T {
    let decided = transact(&**store, Vec::new(), move |reads| {
        decision(reads).map(Ok::<_, ()>)
    });
    decided
        .await
        .expect("commit")
        .expect("the decision never refuses")
}

/// The value under `key`.
async fn value(store: &Store, key: impl AsRef<[u8]>) -> Option<Bytes> {
    record(store, key).await.map(|record| record.value)
}

/// The record under `key`.
async fn record(store: &Store, key: impl AsRef<[u8]>) -> Option<Record> {
    store.get(key.as_ref()).await.expect("get")
}

/// Everything below `prefix`.
async fn all(store: &Store, prefix: &[u8]) -> Vec<(Vec<u8>, Record)> {
    let page = store
        .scan(prefix, None, crate::SCAN_LIMIT_MAX)
        .await
        .expect("scan");
    assert!(!page.more, "cases write less than a page");
    page.records
}

/// The kind of error of what is expected to fail.
fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind)
}

/// A number as a value.
fn number(value: u64) -> [u8; 8] {
    value.to_be_bytes()
}

/// The number in a value, zero when there is none.
fn number_in(value: Option<&[u8]>) -> u64 {
    value.map_or(0, |value| {
        u64::from_be_bytes(value.try_into().expect("a value of eight bytes"))
    })
}

/// Runs `body` in [`TASK_COUNT`] tasks at once, with their index, and collects their answers.
async fn at_once<T, Fut>(body: impl Fn(u64) -> Fut) -> Vec<T>
where
    T: Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..TASK_COUNT)
        .map(|index| strongroom_base::tasks::spawn(body(index)))
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("task of the case"));
    }
    answers
}

/// Lets other tasks run, so that a loop over a store that never waits does not keep them out.
async fn give_way() {
    let mut waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What several tasks of a case collect.
type Collected<T> = Arc<Mutex<Vec<T>>>;
