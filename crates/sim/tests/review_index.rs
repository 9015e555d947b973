//! Stories about index views that fail, hang or stand still.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use strongroom_base::{SeededRandom, SystemClock, tasks};
use strongroom_meta::{Error, ErrorKind, MetaStore, Record, Write, transact};
use strongroom_meta_lsm::{
    IndexView, LsmMeta, LsmSettings, Mark, MemoryViews, ViewChange, ViewError, ViewFactory,
    ViewSnapshot,
};
use strongroom_sim::{Fault, FaultKind, OpKind, SimWorld, Topology};
use strongroom_zones::{DiskHandle, OpenOptions, Store, open};

/// How views behave: those of all disks alike.
#[derive(Default)]
struct Mood {
    /// Reads fail until the view is discarded.
    damaged: AtomicBool,
    /// Batches are not applied.
    still: Mutex<bool>,
    moves: Condvar,
    open: AtomicUsize,
    /// Whether two views were ever open at once.
    overlapped: AtomicBool,
    discarded: AtomicUsize,
}

struct Moody(Arc<Mood>);

struct View {
    mood: Arc<Mood>,
    inner: Box<dyn IndexView>,
}

struct Look {
    mood: Arc<Mood>,
    inner: Box<dyn ViewSnapshot>,
}

impl ViewFactory for Moody {
    fn open(&self, disk: &DiskHandle) -> Result<Box<dyn IndexView>, ViewError> {
        if self.0.open.fetch_add(1, Ordering::SeqCst) > 0 {
            self.0.overlapped.store(true, Ordering::SeqCst);
        }
        let (mood, inner) = (Arc::clone(&self.0), MemoryViews.open(disk)?);
        Ok(Box::new(View { mood, inner }))
    }

    fn discard(&self, _: &DiskHandle) -> Result<(), ViewError> {
        self.0.damaged.store(false, Ordering::SeqCst);
        self.0.discarded.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.mood.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl IndexView for View {
    fn mark(&self) -> Result<Option<Mark>, ViewError> {
        self.inner.mark()
    }

    fn apply(&self, changes: &[ViewChange], mark: Mark) -> Result<(), ViewError> {
        let still = self.mood.still.lock().unwrap();
        drop(self.mood.moves.wait_while(still, |still| *still).unwrap());
        self.inner.apply(changes, mark)
    }

    fn snapshot(&self) -> Box<dyn ViewSnapshot> {
        let (mood, inner) = (Arc::clone(&self.mood), self.inner.snapshot());
        Box::new(Look { mood, inner })
    }
}

impl ViewSnapshot for Look {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        match self.mood.damaged.load(Ordering::SeqCst) {
            true => Err(ViewError("a block does not verify".into())),
            false => self.inner.get(key),
        }
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: &mut dyn FnMut(Bytes, Bytes) -> bool,
    ) -> Result<(), ViewError> {
        self.inner.scan(prefix, after, each)
    }
}

fn start(world: &SimWorld, topology: Topology, mood: &Arc<Mood>) -> (Store, Arc<LsmMeta>) {
    let options = OpenOptions {
        member_wait: Duration::ZERO,
        ..OpenOptions::default()
    };
    let random = Arc::new(SeededRandom::new(world.seed()));
    let store = Store::new(open(&topology.specs(world), options, random).unwrap());
    let settings = LsmSettings {
        health_interval: Duration::from_millis(20),
        ..LsmSettings::default()
    };
    let views = Arc::new(Moody(Arc::clone(mood)));
    let clock = Arc::new(SystemClock::default());
    let meta = LsmMeta::start(&store, views, clock, &settings, Arc::new(|_| {}));
    (store, meta)
}

async fn put(meta: &LsmMeta, key: &str, write: fn(Vec<u8>) -> Write) -> Result<(), Error> {
    let key = key.as_bytes().to_vec();
    let done: Result<(), ()> = transact(meta, Vec::new(), move |_| {
        Ok(Ok((vec![write(key.clone())], ())))
    })
    .await?;
    done.expect("it refuses nothing");
    Ok(())
}

fn plain(key: Vec<u8>) -> Write {
    let value = Bytes::from_static(b"value");
    Write::Put { key, value }
}

/// Reads until there is an answer: while there is none, the error says so.
async fn get(meta: &LsmMeta, key: &str) -> Option<Record> {
    loop {
        match meta.get(key.as_bytes()).await {
            Ok(found) => return found,
            Err(error) => assert_eq!(error.kind, ErrorKind::Unavailable),
        }
        tasks::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_view_of_a_store_is_made_anew_when_it_is_damaged() {
    let (world, mood) = (SimWorld::new(1), Arc::default());
    let (_store, meta) = start(&world, Topology::new(1, 1), &mood);
    meta.wait_ready(Duration::from_secs(20)).unwrap();
    put(&meta, "k", plain).await.unwrap();
    // Once the view has it, the overlay does not answer.
    while mood.discarded.load(Ordering::SeqCst) == 0 {
        mood.damaged.store(true, Ordering::SeqCst);
        let _ = meta.get(b"absent").await;
        tasks::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(
        &get(&meta, "k").await.expect("it is in the log").value[..],
        b"value"
    );
    put(&meta, "l", plain).await.unwrap();
    assert!(get(&meta, "l").await.is_some());
    assert!(
        !mood.overlapped.load(Ordering::SeqCst),
        "one view of a disk at a time"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_views_stand_still_stops_when_asked() {
    let (world, mood) = (SimWorld::new(2), Arc::<Mood>::default());
    *mood.still.lock().unwrap() = true;
    let (_store, meta) = start(&world, Topology::new(3, 1), &mood);
    assert!(meta.ready().is_err());
    let (done, stopped) = std::sync::mpsc::channel();
    tasks::spawn_thread("stop", move || {
        meta.stop();
        let _ = done.send(());
    });
    let stopped = stopped.recv_timeout(Duration::from_secs(20));
    *mood.still.lock().unwrap() = false;
    mood.moves.notify_all();
    assert!(stopped.is_ok(), "it waits for its views");
}

#[tokio::test(flavor = "multi_thread")]
async fn inline_content_is_read_beside_a_disk_that_hangs() {
    let (world, mood) = (SimWorld::new(3), Arc::default());
    let (_store, meta) = start(&world, Topology::new(3, 1), &mood);
    meta.wait_ready(Duration::from_secs(20)).unwrap();
    put(&meta, "k", |key| Write::PutInline {
        key,
        value: Bytes::new(),
        content: Bytes::from_static(b"content"),
    })
    .await
    .unwrap();
    let place = get(&meta, "k").await.and_then(|record| record.inline);
    let place = place.expect("it is inline");
    world.fault(Fault {
        disk: Some(0),
        path_contains: "log/".into(),
        op: OpKind::Read,
        kind: FaultKind::Frozen,
        ..Fault::default()
    });
    assert_eq!(&meta.inline_bytes(place).await.unwrap()[..], b"content");
    world.lift_all();
}

/// AZ28: only what every member answered for, and none has whole, is lost.
#[tokio::test(flavor = "multi_thread")]
async fn inline_content_that_no_disk_can_read_now_is_unavailable_and_only_damaged_copies_are_corrupt()
 {
    let (world, mood) = (SimWorld::new(4), Arc::default());
    let (_store, meta) = start(&world, Topology::new(3, 1), &mood);
    meta.wait_ready(Duration::from_secs(20)).unwrap();
    put(&meta, "k", |key| Write::PutInline {
        key,
        value: Bytes::new(),
        content: Bytes::from_static(b"content"),
    })
    .await
    .unwrap();
    let place = get(&meta, "k").await.and_then(|record| record.inline);
    let place = place.expect("it is inline");
    let reads = |disk, kind| Fault {
        disk,
        path_contains: "log/".into(),
        op: OpKind::Read,
        kind,
        ..Fault::default()
    };
    let kind = async || meta.inline_bytes(place).await.map_err(|error| error.kind);

    world.fault(reads(None, FaultKind::Eio));
    assert_eq!(kind().await, Err(ErrorKind::Unavailable));
    world.lift_all();
    assert_eq!(kind().await, Ok(Bytes::from_static(b"content")));

    world.fault(reads(Some(0), FaultKind::Eio));
    let damaged = [1, 2].map(|disk| world.fault(reads(Some(disk), FaultKind::Garbage)));
    assert_eq!(kind().await, Err(ErrorKind::Unavailable), "one may be good");
    for rule in damaged {
        world.lift(rule);
    }
    world.lift_all();
    world.fault(reads(None, FaultKind::Garbage));
    assert_eq!(kind().await, Err(ErrorKind::Corrupt));
    world.lift_all();
}
