//! Trimming the log and copying views on real folders: the LSM as the view, files that really go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use strongroom_base::{RealDisk, SystemClock, SystemRandom, tasks};
use strongroom_meta::{MetaStore, Write, transact};
use strongroom_meta_lsm::{FjallViews, LsmMeta, LsmSettings};
use strongroom_zones::{DiskSpec, OpenOptions, Store, open};

const ZONES: [&str; 3] = ["a", "b", "c"];
const LIMIT: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);

fn start(root: &Path) -> Arc<LsmMeta> {
    let spec = |zone: &str| DiskSpec {
        zone: zone.to_owned(),
        name: zone.to_owned(),
        disk: Arc::new(RealDisk::new(root.join(zone))),
    };
    let options = OpenOptions {
        member_wait: Duration::ZERO,
        log_file_size: 256 * 1024,
        ..OpenOptions::default()
    };
    let opened = open(&ZONES.map(spec), options, Arc::new(SystemRandom)).unwrap();
    let settings = LsmSettings {
        health_interval: Duration::from_millis(50),
        ..LsmSettings::default()
    };
    let meta = LsmMeta::start(
        &Store::new(opened),
        Arc::new(FjallViews::new(8 << 20)),
        Arc::new(SystemClock::new()),
        &settings,
        Arc::new(|_| {}),
    );
    meta.wait_ready(LIMIT).unwrap();
    meta
}

async fn put(meta: &LsmMeta, key: String, value: String) {
    let done: Result<Result<(), ()>, _> = transact(meta, Vec::new(), move |_| {
        let write = Write::Put {
            key: key.clone().into_bytes(),
            value: value.clone().into(),
        };
        Ok(Ok((vec![write], ())))
    })
    .await;
    done.unwrap().expect("it refuses nothing");
}

async fn fill(meta: &LsmMeta, round: usize) {
    for n in 0..200 {
        let filler = "x".repeat(n * 10);
        put(meta, format!("k{n:03}"), format!("{round} {filler}")).await;
    }
}

async fn check(meta: &LsmMeta, round: usize) {
    let page = meta.scan(b"k", None, 1000).await.unwrap();
    assert_eq!(page.records.len(), 200);
    for (n, (_, record)) in page.records.iter().enumerate() {
        let expected = format!("{round} {}", "x".repeat(n * 10));
        assert_eq!(record.value, expected.as_bytes());
    }
}

/// Trims until something went.
async fn trim(meta: &LsmMeta) {
    let (mut waited, mut last) = (Duration::ZERO, String::new());
    while waited < LIMIT {
        let newest = meta.log_extent().await.unwrap().newest;
        match meta.trim(newest).await {
            Ok(trimmed) if trimmed.bytes > 0 => return,
            other => last = format!("{other:?}"),
        }
        tasks::sleep(STEP).await;
        waited += STEP;
    }
    panic!("not trimmed: {last}");
}

fn log_bytes(root: &Path, zone: &str) -> u64 {
    let files = std::fs::read_dir(root.join(zone).join("log")).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trimmed_store_restarts_and_makes_a_lost_view_from_another() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let meta = start(root);
    fill(&meta, 1).await;
    fill(&meta, 2).await;
    let before = ZONES.map(|zone| log_bytes(root, zone));
    trim(&meta).await;
    for (zone, before) in ZONES.iter().zip(before) {
        let now = log_bytes(root, zone);
        assert!(now * 2 < before, "{zone}: {now} of {before} bytes are left");
    }
    check(&meta, 2).await;
    drop(meta);
    // One view is gone, and the log can not make it any more.
    std::fs::remove_dir_all(root.join("b/view")).unwrap();
    let meta = start(root);
    check(&meta, 2).await;
    fill(&meta, 3).await;
    // Nothing more goes before every zone has a view again.
    trim(&meta).await;
    drop(meta);
    std::fs::remove_dir_all(root.join("a")).unwrap();
    std::fs::remove_dir_all(root.join("c/view")).unwrap();
    let meta = start(root);
    check(&meta, 3).await;
    fill(&meta, 4).await;
    trim(&meta).await;
    check(&meta, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn views_that_do_not_open_stay_where_they_are_once_the_log_was_trimmed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let meta = start(root);
    fill(&meta, 1).await;
    trim(&meta).await;
    drop(meta);
    // All of them do not open: something in the way of their folders.
    for zone in ZONES {
        std::fs::rename(root.join(zone).join("view"), root.join(zone).join("aside")).unwrap();
        std::fs::create_dir(root.join(zone).join("view")).unwrap();
        std::fs::write(root.join(zone).join("view/1"), b"no folder").unwrap();
    }
    let spec = |zone: &str| DiskSpec {
        zone: zone.to_owned(),
        name: zone.to_owned(),
        disk: Arc::new(RealDisk::new(root.join(zone))),
    };
    let options = OpenOptions {
        member_wait: Duration::ZERO,
        ..OpenOptions::default()
    };
    let opened = open(&ZONES.map(spec), options, Arc::new(SystemRandom)).unwrap();
    let meta = LsmMeta::start(
        &Store::new(opened),
        Arc::new(FjallViews::new(8 << 20)),
        Arc::new(SystemClock::new()),
        &LsmSettings::default(),
        Arc::new(|_| {}),
    );
    let mut waited = Duration::ZERO;
    while !meta
        .ready()
        .expect_err("no index")
        .contains("begins at batch")
    {
        assert!(waited < LIMIT, "{:?}", meta.ready());
        tasks::sleep(STEP).await;
        waited += STEP;
    }
    drop(meta);
    for zone in ZONES {
        let kept = std::fs::read(root.join(zone).join("view/1")).unwrap();
        assert_eq!(kept, b"no folder", "nothing was removed");
        std::fs::remove_dir_all(root.join(zone).join("view")).unwrap();
        std::fs::rename(root.join(zone).join("aside"), root.join(zone).join("view")).unwrap();
    }
    check(&start(root), 1).await;
}
