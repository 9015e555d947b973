//! The contract suite is worth something: stores that break a promise fail the case that names it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};

use async_trait::async_trait;
use bytes::Bytes;
use strongroom_base::{ManualClock, Timestamp, tasks};
use strongroom_meta::contract::{CLOCK_START, Store, atomic, concurrent, inline, scan, stamps};
use strongroom_meta::memory::MemoryMeta;
use strongroom_meta::{
    Decision, Error, ErrorKind, InlinePlace, MetaStore, Page, Reads, Record, Result, Stamp,
    Transaction, Write,
};

/// What a store does wrong.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    /// Commits what was decided on a state that has changed since.
    SkipsGuards,
    /// Answers before the commit.
    AcknowledgesEarly,
    /// Does not ask whether blobs are durable.
    SkipsDurability,
    /// Says that a blob is lost, and commits.
    CommitsWhatItRefuses,
    /// Reads a page in two looks.
    TearsPages,
    /// Leaves out that more follows.
    EndsScansEarly,
    /// Takes stamps from the clock alone.
    StampsFromClock,
    /// Numbers appends when they are decided, not when they are acknowledged.
    NumbersAppendsEarly,
    /// Commits only the first write.
    TearsTransactions,
    /// Forgets inline content when its record moves.
    ForgetsMovedContent,
    /// Gives inline content without checking it.
    FlipsContent,
}

struct Faulty {
    inner: Arc<MemoryMeta>,
    fault: Fault,
    append_count: AtomicU64,
}

async fn give_way() {
    tokio::task::yield_now().await;
}

struct ClockStamps<'a>(&'a mut dyn Reads);

impl Reads for ClockStamps<'_> {
    fn get(&mut self, key: &[u8]) -> Result<Option<Record>> {
        self.0.get(key)
    }
    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Record)>> {
        self.0.scan(prefix, after, limit)
    }
    fn issue_stamp(&mut self, floor: Stamp) -> Stamp {
        Stamp(CLOCK_START.0).max(Stamp(floor.0 + 1))
    }
    fn lock_clock(&mut self) -> Timestamp {
        self.0.lock_clock()
    }
}

impl Faulty {
    /// Runs the decision and keeps its writes instead of committing them.
    async fn decide_only(&self, mut decide: Decision) -> Result<Option<Vec<Write>>> {
        let writes: Arc<Mutex<Option<Vec<Write>>>> = Arc::default();
        let kept = Arc::clone(&writes);
        let decide: Decision = Box::new(move |reads| {
            *kept.lock().unwrap() = decide(reads)?;
            Ok(None)
        });
        self.inner
            .transact(Transaction {
                decide,
                durable: Vec::new(),
            })
            .await?;
        Ok(writes.lock().unwrap().take())
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<()> {
        let decide: Decision = Box::new(move |_| Ok(Some(writes.clone())));
        self.inner
            .transact(Transaction {
                decide,
                durable: Vec::new(),
            })
            .await
    }

    fn number_appends(&self, writes: &mut [Write]) {
        for write in writes {
            if let Write::Append { queue, value } = write {
                let number = self.append_count.fetch_add(1, Ordering::SeqCst);
                let key = [&queue[..], &number.to_be_bytes()].concat();
                *write = Write::Put {
                    key,
                    value: value.clone(),
                };
            }
        }
    }
}

/// Replaces the writes of a decision.
fn with_writes(mut decide: Decision, change: fn(&mut Vec<Write>)) -> Decision {
    Box::new(move |reads| {
        let mut writes = decide(reads)?;
        writes.iter_mut().for_each(change);
        Ok(writes)
    })
}

#[async_trait]
impl MetaStore for Faulty {
    async fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        self.inner.get(key).await
    }

    async fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Page> {
        match self.fault {
            Fault::EndsScansEarly => {
                let page = self.inner.scan(prefix, after, limit).await?;
                Ok(Page {
                    more: false,
                    ..page
                })
            }
            Fault::TearsPages => {
                let mut page = self.inner.scan(prefix, after, limit.min(20)).await?;
                give_way().await;
                let last = page.records.last().map(|(key, _)| key.clone());
                let rest = self
                    .inner
                    .scan(prefix, last.as_deref().or(after), limit)
                    .await?;
                page.records.extend(rest.records);
                Ok(Page {
                    more: rest.more,
                    ..page
                })
            }
            _ => self.inner.scan(prefix, after, limit).await,
        }
    }

    async fn inline_bytes(&self, place: InlinePlace) -> Result<Bytes> {
        let content = self.inner.inline_bytes(place).await?;
        if self.fault == Fault::FlipsContent && !content.is_empty() {
            let mut content = content.to_vec();
            content[0] ^= 1;
            return Ok(content.into());
        }
        Ok(content)
    }

    async fn transact(&self, mut transaction: Transaction) -> Result<()> {
        match self.fault {
            Fault::SkipsGuards | Fault::NumbersAppendsEarly => {
                let Some(mut writes) = self.decide_only(transaction.decide).await? else {
                    return Ok(());
                };
                if self.fault == Fault::NumbersAppendsEarly {
                    self.number_appends(&mut writes);
                    // Some take longer than others to be committed.
                    for _ in 0..self.append_count.load(Ordering::SeqCst) % 5 {
                        give_way().await;
                    }
                }
                give_way().await;
                return self.commit(writes).await;
            }
            Fault::AcknowledgesEarly => {
                let inner = Arc::clone(&self.inner);
                let writes = self.decide_only(transaction.decide).await?;
                tasks::spawn(async move {
                    give_way().await;
                    let decide: Decision = Box::new(move |_| Ok(writes.clone()));
                    inner
                        .transact(Transaction {
                            decide,
                            durable: Vec::new(),
                        })
                        .await
                });
                return Ok(());
            }
            Fault::CommitsWhatItRefuses => {
                let is_lost = !transaction.durable.iter().all(|is_durable| is_durable());
                transaction.durable.clear();
                self.inner.transact(transaction).await?;
                let lost = Error::new(ErrorKind::BlobLost, "a blob is lost");
                return if is_lost { Err(lost) } else { Ok(()) };
            }
            Fault::SkipsDurability => transaction.durable.clear(),
            Fault::StampsFromClock => {
                let mut decide = transaction.decide;
                transaction.decide = Box::new(move |reads| decide(&mut ClockStamps(reads)));
            }
            Fault::TearsTransactions => {
                transaction.decide = with_writes(transaction.decide, |writes| writes.truncate(1));
            }
            Fault::ForgetsMovedContent => {
                transaction.decide = with_writes(transaction.decide, |writes| {
                    for write in writes {
                        if let Write::MoveInline { key, value, .. } = write {
                            *write = Write::Put {
                                key: key.clone(),
                                value: value.clone(),
                            };
                        }
                    }
                });
            }
            _ => {}
        }
        self.inner.transact(transaction).await
    }
    async fn log_extent(&self) -> Result<strongroom_meta::LogExtent> {
        self.inner.log_extent().await
    }
    async fn trim(&self, through: u64) -> Result<strongroom_meta::Trimmed> {
        self.inner.trim(through).await
    }
}

/// Says nothing of a panic in a thread of a case: it is what the test asks for, and its trace would
/// pass for a failure in the log of a run.
fn silence_the_case() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() != Some("case") {
                loud(panic);
            }
        }));
    });
}

/// Whether `case` fails on a store with `fault`, and passes on the same store without one.
macro_rules! assert_caught {
    ($fault:expr, $case:path) => {{
        let run = |fault: Option<Fault>| {
            silence_the_case();
            tasks::spawn_thread("case", move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let clock = Arc::new(ManualClock::new(CLOCK_START));
                    let inner = MemoryMeta::new(clock.clone());
                    let store: Store = match fault {
                        Some(fault) => Arc::new(Faulty {
                            inner,
                            fault,
                            append_count: AtomicU64::new(0),
                        }),
                        None => inner,
                    };
                    $case(&store, &clock).await;
                });
            })
            .join()
        };
        assert!(
            run(None).is_ok(),
            "{} fails on a good store",
            stringify!($case)
        );
        let name = stringify!($case);
        assert!(
            run(Some($fault)).is_err(),
            "{name} passes on a store that {:?}",
            $fault
        );
    }};
}

#[test]
fn skipped_guards_are_caught_h12_h13_h19_h36() {
    let fault = Fault::SkipsGuards;
    assert_caught!(
        fault,
        concurrent::no_update_is_lost_among_64_writers_of_one_record
    );
    assert_caught!(fault, concurrent::exactly_one_of_several_absent_checks_wins);
    assert_caught!(
        fault,
        concurrent::writes_guarded_by_another_record_keep_their_invariant
    );
}

#[test]
fn early_acknowledgement_is_caught() {
    let fault = Fault::AcknowledgesEarly;
    assert_caught!(fault, atomic::acknowledged_writes_are_seen_by_every_read);
    assert_caught!(
        fault,
        concurrent::reads_see_everything_acknowledged_before_them
    );
}

#[test]
fn ignored_loss_of_a_blob_is_caught_h10() {
    let case = atomic::lost_blob_fails_the_transaction_and_leaves_nothing;
    assert_caught!(Fault::SkipsDurability, case);
    assert_caught!(Fault::CommitsWhatItRefuses, case);
    assert_caught!(
        Fault::CommitsWhatItRefuses,
        atomic::failed_transactions_do_not_touch_their_neighbours
    );
}

#[test]
fn torn_transactions_and_pages_are_caught() {
    assert_caught!(
        Fault::TearsTransactions,
        atomic::writes_of_a_transaction_happen_together
    );
    assert_caught!(Fault::TearsPages, concurrent::scan_page_is_one_snapshot);
    assert_caught!(
        Fault::EndsScansEarly,
        scan::pages_follow_each_other_without_loss_or_repeat
    );
}

#[test]
fn stamps_from_the_clock_alone_are_caught_h16_h17() {
    let fault = Fault::StampsFromClock;
    assert_caught!(fault, stamps::stamps_grow_within_and_across_transactions);
    assert_caught!(fault, stamps::stamps_follow_the_clock_but_never_back);
    assert_caught!(fault, stamps::stamps_of_concurrent_transactions_differ);
}

#[test]
fn appends_that_become_visible_out_of_order_are_caught() {
    assert_caught!(
        Fault::NumbersAppendsEarly,
        concurrent::appends_are_read_in_order_of_acknowledgement_without_gaps
    );
}

#[test]
fn forgotten_and_damaged_inline_content_is_caught_h25() {
    assert_caught!(
        Fault::ForgetsMovedContent,
        inline::content_follows_its_record_when_moved
    );
    assert_caught!(Fault::FlipsContent, inline::content_is_read_back_as_written);
    assert_caught!(Fault::FlipsContent, inline::reader_never_gets_other_content);
}
