//! The metadata contract on the real engine: log over real folders, fjall as the view.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strongroom_base::{Clock, ManualClock, RealDisk, SystemClock, SystemRandom};
use strongroom_meta::{Error, MetaStore, Write, contract, transact};
use strongroom_meta_lsm::{FjallViews, LsmMeta, LsmSettings};
use strongroom_zones::{DiskSpec, OpenOptions, Store, open};

fn start(root: &Path, zones: &[&str], clock: Arc<dyn Clock>) -> Arc<LsmMeta> {
    let specs: Vec<DiskSpec> = zones
        .iter()
        .map(|zone| DiskSpec {
            zone: (*zone).to_owned(),
            name: (*zone).to_owned(),
            disk: Arc::new(RealDisk::new(root.join(zone))),
        })
        .collect();
    let options = OpenOptions {
        member_wait: Duration::ZERO,
        ..OpenOptions::default()
    };
    let store = Store::new(open(&specs, options, Arc::new(SystemRandom)).unwrap());
    let views = Arc::new(FjallViews::new(8 << 20));
    let settings = LsmSettings {
        health_interval: Duration::from_millis(50),
        ..LsmSettings::default()
    };
    let meta = LsmMeta::start(&store, views, clock, &settings, Arc::new(|_| {}));
    meta.wait_ready(Duration::from_secs(20)).unwrap();
    meta
}

/// A store whose folders live as long as it does.
struct InFolder {
    meta: Arc<LsmMeta>,
    _root: tempfile::TempDir,
}

#[async_trait::async_trait]
impl MetaStore for InFolder {
    async fn get(&self, key: &[u8]) -> Result<Option<strongroom_meta::Record>, Error> {
        self.meta.get(key).await
    }
    async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<strongroom_meta::Page, Error> {
        self.meta.scan(prefix, after, limit).await
    }
    async fn inline_bytes(
        &self,
        place: strongroom_meta::InlinePlace,
    ) -> Result<bytes::Bytes, Error> {
        self.meta.inline_bytes(place).await
    }
    async fn transact(&self, transaction: strongroom_meta::Transaction) -> Result<(), Error> {
        self.meta.transact(transaction).await
    }
    async fn log_extent(&self) -> Result<strongroom_meta::LogExtent, Error> {
        self.meta.log_extent().await
    }
    async fn trim(&self, through: u64) -> Result<strongroom_meta::Trimmed, Error> {
        self.meta.trim(through).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contract_holds_on_three_zones() {
    contract::run_all(|clock: Arc<ManualClock>| async move {
        let root = tempfile::tempdir().unwrap();
        let meta = start(root.path(), &["a", "b", "c"], clock);
        Arc::new(InFolder { meta, _root: root }) as Arc<dyn MetaStore>
    })
    .await;
}

async fn put(meta: &dyn MetaStore, key: &str, value: &str) -> Result<(), Error> {
    let (key, value) = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    let done: Result<(), ()> = transact(meta, Vec::new(), move |_| {
        let write = Write::Put {
            key: key.clone(),
            value: value.clone().into(),
        };
        Ok(Ok((vec![write], ())))
    })
    .await?;
    done.map_err(|()| unreachable!("the decision never refuses"))
}

async fn check(meta: &dyn MetaStore, count: usize) {
    for i in 0..count {
        let found = meta.get(format!("k{i:05}").as_bytes()).await.unwrap();
        assert_eq!(found.unwrap().value, format!("v{i}").as_bytes(), "key {i}");
    }
    assert_eq!(
        meta.scan(b"k", None, 10_000).await.unwrap().records.len(),
        count
    );
}

/// The number under `key`; 0 while there is none.
async fn number(meta: &dyn MetaStore, key: &str) -> u64 {
    let record = meta.get(key.as_bytes()).await.unwrap();
    record.map_or(0, |record| {
        let text = std::str::from_utf8(&record.value).unwrap();
        text.parse().unwrap()
    })
}

/// Long enough for the views to apply a batch, after which the overlay lets go of it.
async fn let_views_follow() {
    strongroom_base::tasks::sleep(Duration::from_millis(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_kept_in_memory_gives_way_to_the_next_that_is_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let meta = start(root.path(), &["a", "b", "c"], Arc::new(SystemClock::new()));
    for value in 1..4 {
        put(&*meta, "k", &value.to_string()).await.unwrap();
        for _ in 0..3 {
            assert_eq!(number(&*meta, "k").await, value);
            let_views_follow().await;
        }
    }
    let gone: Result<(), ()> = transact(&*meta, Vec::new(), |_| {
        let delete = Write::Delete { key: b"k".to_vec() };
        Ok(Ok((vec![delete], ())))
    })
    .await
    .unwrap();
    gone.unwrap();
    for _ in 0..2 {
        assert_eq!(number(&*meta, "k").await, 0);
        let_views_follow().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_begins_after_an_answer_sees_what_was_answered() {
    const KEYS: [&str; 3] = ["x", "y", "z"];
    const WRITES: u64 = 1500;
    let root = tempfile::tempdir().unwrap();
    let meta = start(root.path(), &["a"], Arc::new(SystemClock::new()));
    let answered: Arc<[AtomicU64; 3]> = Arc::default();
    let mut readers = Vec::new();
    for reader in 0..4 {
        let (meta, answered) = (Arc::clone(&meta), Arc::clone(&answered));
        readers.push(strongroom_base::tasks::spawn(async move {
            let mut reads = 0;
            for turn in reader.. {
                let key = turn % KEYS.len();
                let before = answered[key].load(Ordering::SeqCst);
                let found = number(&*meta, KEYS[key]).await;
                assert!(found >= before, "{found} was read, {before} was answered");
                reads += 1;
                // A read that needs no disk never waits: the writer is to have its turn.
                tokio::task::yield_now().await;
                if before + 3 >= WRITES {
                    return reads;
                }
            }
            unreachable!("turns do not end")
        }));
    }
    for value in 1..=WRITES {
        let key = (value % 3) as usize;
        put(&*meta, KEYS[key], &value.to_string()).await.unwrap();
        answered[key].store(value, Ordering::SeqCst);
        // Readers meet keys whose last write the views have applied, too.
        if value % 50 == 0 {
            strongroom_base::tasks::sleep(Duration::from_millis(5)).await;
        }
    }
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_survive_restarts_lost_views_and_a_lost_zone() {
    let root = tempfile::tempdir().unwrap();
    let zones = ["a", "b", "c"];
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut count = 0;
    for round in 0..5 {
        let meta = start(root.path(), &zones, Arc::clone(&clock));
        check(&*meta, count).await;
        for _ in 0..50 {
            put(&*meta, &format!("k{count:05}"), &format!("v{count}"))
                .await
                .unwrap();
            count += 1;
        }
        check(&*meta, count).await;
        drop(meta);
        match round {
            1 => std::fs::remove_dir_all(root.path().join("a/view")).unwrap(),
            2 => zones.iter().for_each(|zone| {
                std::fs::remove_dir_all(root.path().join(zone).join("view")).unwrap();
            }),
            3 => std::fs::remove_dir_all(root.path().join("a")).unwrap(),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_and_writes_go_on_when_a_zone_vanishes_under_a_running_store() {
    for lost in ["a", "b", "c"] {
        let root = tempfile::tempdir().unwrap();
        let meta = start(root.path(), &["a", "b", "c"], Arc::new(SystemClock::new()));
        for i in 0..100 {
            put(&*meta, &format!("k{i:05}"), &format!("v{i}"))
                .await
                .unwrap();
        }
        std::fs::rename(root.path().join(lost), root.path().join("away")).unwrap();
        for i in 100..200 {
            put(&*meta, &format!("k{i:05}"), &format!("v{i}"))
                .await
                .unwrap();
            strongroom_base::tasks::sleep(Duration::from_millis(2)).await;
        }
        check(&*meta, 200).await;
        let in_service = |meta: &LsmMeta| {
            meta.status()
                .members
                .iter()
                .filter(|m| m.in_service)
                .count()
        };
        while in_service(&meta) != 2 {
            strongroom_base::tasks::sleep(Duration::from_millis(10)).await;
        }
        std::fs::rename(root.path().join("away"), root.path().join(lost)).unwrap();
        while in_service(&meta) != 3 {
            strongroom_base::tasks::sleep(Duration::from_millis(10)).await;
        }
        put(&*meta, "k00200", "v200").await.unwrap();
        drop(meta);
        // The zone that came back and one more are enough.
        let other = if lost == "a" { "b" } else { "a" };
        std::fs::remove_dir_all(root.path().join(other)).unwrap();
        let meta = start(root.path(), &["a", "b", "c"], Arc::new(SystemClock::new()));
        check(&*meta, 201).await;
    }
}

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found.sort();
    found
}

/// Flips a bit, zeroes a stretch, or cuts the file, at a place chosen by `seed`.
fn damage(path: &Path, seed: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    if bytes.is_empty() {
        return;
    }
    let at = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) % bytes.len();
    match seed % 3 {
        0 => bytes[at] ^= 1 << (seed % 8),
        1 => bytes[at..].iter_mut().take(512).for_each(|byte| *byte = 0),
        _ => bytes.truncate(at),
    }
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_view_files_never_give_wrong_records_and_never_stop_the_store() {
    let root = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let meta = start(root.path(), &["a"], Arc::clone(&clock));
    let filler = "x".repeat(20_000);
    let mut count = 0;
    for _ in 0..300 {
        put(&*meta, &format!("k{count:05}"), &format!("v{count}"))
            .await
            .unwrap();
        put(&*meta, &format!("f{count:05}"), &filler).await.unwrap();
        count += 1;
    }
    drop(meta);
    for seed in 0..24 {
        let files = files(&root.path().join("a/view"));
        damage(&files[seed % files.len()], seed);
        let meta = start(root.path(), &["a"], Arc::clone(&clock));
        check(&*meta, count).await;
        put(&*meta, &format!("k{count:05}"), &format!("v{count}"))
            .await
            .unwrap();
        count += 1;
        check(&*meta, count).await;
        drop(meta);
    }
}
