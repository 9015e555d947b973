//! The lock clock on the real engine: kept over restarts, bounded, and confirmed for good.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strongroom_base::{Clock, RealDisk, SystemRandom, Timestamp, tasks};
use strongroom_meta::{Write, transact};
use strongroom_meta_lsm::{FjallViews, LsmMeta, LsmSettings};
use strongroom_zones::{DiskSpec, OpenOptions, Store, open};

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 24 * 60 * 60 * SECOND;
const START: u64 = 20_000 * DAY;
/// Without a write.
const HOURS: u64 = 30;
const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(10);

/// A clock that a test sets without time passing.
struct Jumping {
    now: AtomicU64,
    passed: AtomicU64,
}

impl Jumping {
    fn new(now: u64) -> Arc<Self> {
        Arc::new(Self {
            now: AtomicU64::new(now),
            passed: AtomicU64::new(0),
        })
    }

    fn jump(&self, to: u64) {
        self.now.store(to, Ordering::SeqCst);
    }

    fn pass(&self, by: u64) {
        self.now.fetch_add(by, Ordering::SeqCst);
        self.passed.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.passed.load(Ordering::SeqCst))
    }
}

fn start(root: &Path, clock: &Arc<Jumping>) -> Arc<LsmMeta> {
    let spec = |zone: &str| DiskSpec {
        zone: zone.to_owned(),
        name: zone.to_owned(),
        disk: Arc::new(RealDisk::new(root.join(zone))),
    };
    let options = OpenOptions {
        member_wait: Duration::ZERO,
        ..OpenOptions::default()
    };
    let opened = open(&["a", "b", "c"].map(spec), options, Arc::new(SystemRandom)).unwrap();
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    let meta = LsmMeta::start(
        &Store::new(opened),
        Arc::new(FjallViews::new(8 << 20)),
        clock,
        &LsmSettings::default(),
        Arc::new(|_| {}),
    );
    meta.wait_ready(LIMIT).unwrap();
    meta
}

/// Commits a write, and gives the lock clock that its decision saw.
async fn commit(meta: &LsmMeta) -> u64 {
    let seen: Result<Result<u64, ()>, _> = transact(meta, Vec::new(), move |reads| {
        let write = Write::Put {
            key: b"k".to_vec(),
            value: "v".into(),
        };
        Ok(Ok((vec![write], reads.lock_clock().0)))
    })
    .await;
    seen.unwrap().expect("it refuses nothing")
}

#[tokio::test]
async fn a_clock_that_jumps_ends_no_lock_neither_running_nor_after_a_restart() {
    // H60, OL43
    let root = tempfile::tempdir().unwrap();
    let clock = Jumping::new(START);
    let meta = start(root.path(), &clock);
    assert_eq!(commit(&meta).await, START);
    clock.pass(10 * SECOND);
    assert_eq!(commit(&meta).await, START + 10 * SECOND);
    clock.jump(START + 365 * DAY);
    clock.pass(SECOND);
    assert_eq!(commit(&meta).await, START + 11 * SECOND);
    assert!(meta.lock_time().unwrap().is_held);
    drop(meta);
    let clock = Jumping::new(START + 365 * DAY);
    let meta = start(root.path(), &clock);
    assert_eq!(commit(&meta).await, START + 11 * SECOND);
    assert!(meta.lock_time().unwrap().is_held);
    drop(meta);
    // The clock was set right: nothing was kept of the jump, and time goes on.
    let clock = Jumping::new(START + 60 * SECOND);
    let meta = start(root.path(), &clock);
    assert_eq!(commit(&meta).await, START + 60 * SECOND);
    assert!(!meta.lock_time().unwrap().is_held);
    clock.jump(START - 60 * SECOND);
    assert_eq!(commit(&meta).await, START + 60 * SECOND);
    let behind = meta.confirm_clock(Timestamp(START - 60 * SECOND));
    let why = behind.unwrap_err().to_string();
    assert!(
        why.contains("120 s behind the time that locks expire by"),
        "{why}"
    );
}

#[tokio::test]
async fn a_confirmed_clock_is_believed_after_a_restart_too() {
    let root = tempfile::tempdir().unwrap();
    let clock = Jumping::new(START);
    let meta = start(root.path(), &clock);
    commit(&meta).await;
    drop(meta);
    let clock = Jumping::new(START + 30 * DAY);
    let meta = start(root.path(), &clock);
    assert_eq!(commit(&meta).await, START);
    let wrong = meta.confirm_clock(Timestamp(START + 31 * DAY)).unwrap_err();
    assert!(
        wrong.to_string().contains("86400 s from that time"),
        "{wrong}"
    );
    assert!(meta.lock_time().unwrap().is_held);
    let time = meta.confirm_clock(Timestamp(START + 30 * DAY + 59 * SECOND));
    assert_eq!(time.unwrap().time.0, START + 30 * DAY);
    drop(meta);
    let clock = Jumping::new(START + 30 * DAY);
    let meta = start(root.path(), &clock);
    assert!(!meta.lock_time().unwrap().is_held);
    assert_eq!(commit(&meta).await, START + 30 * DAY);
}

#[tokio::test]
async fn a_store_without_writes_keeps_its_mark_near_the_time() {
    let root = tempfile::tempdir().unwrap();
    let clock = Jumping::new(START);
    let meta = start(root.path(), &clock);
    commit(&meta).await;
    // More than a day without a write, an hour at a time.
    for hour in 1..=HOURS {
        let position = meta.status().acknowledged;
        clock.pass(DAY / 24);
        let mut waited = Duration::ZERO;
        while meta.status().acknowledged == position {
            assert!(waited < LIMIT, "no batch in hour {hour}");
            tasks::sleep(STEP).await;
            waited += STEP;
        }
    }
    drop(meta);
    let clock = Jumping::new(START + HOURS * DAY / 24 + DAY / 2);
    let meta = start(root.path(), &clock);
    assert!(!meta.lock_time().unwrap().is_held);
    assert_eq!(commit(&meta).await, START + HOURS * DAY / 24 + DAY / 2);
}
