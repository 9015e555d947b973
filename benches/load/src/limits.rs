//! What the machine can do at best, measured in the same run and the same folder.
//!
//! A figure of another day says nothing about this one: disks and neighbours change. Each limit is
//! the least that an operation needs, without anything that a store adds.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use fjall::{Database, KeyspaceCreateOptions};
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use strongroom_base::{Clock, tasks};
use subtle::ConstantTimeEq as _;

use crate::phase::Latencies;
use crate::process::thread_cpu;
use strongroom_load::bodies::{Bodies, mix};
use strongroom_load::sign::{EMPTY, Head, Signer};

/// Folders appended to at once: as many as a commit is synced to in a store of three zones.
const FOLDERS: usize = 3;
/// Who waits for the batched syncs.
const WRITERS: usize = 64;
/// Bytes of one record.
const RECORD_BYTES: usize = 4096;
/// Signatures checked, and lines of the index read, in one measurement.
const CHECKS: u32 = 20_000;
/// Lines of the index that is read, of about the size of an object's record.
const INDEX_LINES: u64 = 100_000;
const INDEX_VALUE_BYTES: usize = 250;
/// Bytes hashed at once: what uploads hand on.
const MD5_PIECE_BYTES: usize = 1024 * 1024;

/// The limits of one run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    /// One append of 4 KiB and fdatasync, to three folders at once, by one writer.
    pub sync_p50_milliseconds: f64,
    /// Records made durable in a second, by 64 writers that share syncs.
    pub batched_records_per_second: f64,
    pub batched_p50_milliseconds: f64,
    pub batched_p99_milliseconds: f64,
    pub md5_megabytes_per_second: f64,
    /// Processor time of one signature over a GET of a small object.
    pub signature_microseconds: f64,
    /// Processor time of one point read among a hundred thousand lines.
    pub index_read_microseconds: f64,
}

/// Measures all of them below `folder`, each for `time` at most.
pub fn measure(folder: &Path, time: Duration, clock: &Arc<dyn Clock>) -> Result<Limits> {
    let folder = tempfile::Builder::new()
        .prefix("strongroom-limits-")
        .tempdir_in(folder)
        .with_context(|| format!("make a folder in {}", folder.display()))?;
    let mut alone = batched_syncs(folder.path(), 1, time, clock)?;
    let mut batched = batched_syncs(folder.path(), WRITERS, time, clock)?;
    Ok(Limits {
        sync_p50_milliseconds: milliseconds(alone.percentile(50)),
        batched_records_per_second: batched.count() as f64 / time.as_secs_f64(),
        batched_p50_milliseconds: milliseconds(batched.percentile(50)),
        batched_p99_milliseconds: milliseconds(batched.percentile(99)),
        md5_megabytes_per_second: md5(time / 4)?,
        signature_microseconds: signature()?,
        index_read_microseconds: index_read(&folder.path().join("index"))?,
    })
}

pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Writers that wait for a batch, and batches that are durable.
#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
    synced: Condvar,
}

#[derive(Default)]
struct QueueState {
    waiting: usize,
    /// The batch that a writer who comes now belongs to; all before `durable` are synced.
    open: u64,
    durable: u64,
    stopped: bool,
}

/// `writers` append records for `time`; what waits together is synced together.
fn batched_syncs(
    folder: &Path,
    writers: usize,
    time: Duration,
    clock: &Arc<dyn Clock>,
) -> Result<Latencies> {
    let queue = Arc::new(Queue::default());
    let (synced, answers) = channel();
    let mut folders = Vec::new();
    for index in 0..FOLDERS {
        let path = folder.join(format!("z{index}"));
        std::fs::create_dir_all(&path)?;
        let options = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path.join("log"));
        let file = options.context("open a file for the limit")?;
        let (sender, receiver) = channel();
        let synced = synced.clone();
        tasks::spawn_thread("limit-folder", move || append(&file, &receiver, &synced));
        folders.push(sender);
    }
    let end = clock.monotonic() + time;
    let threads: Vec<_> = (0..writers)
        .map(|_| {
            let (queue, clock) = (Arc::clone(&queue), Arc::clone(clock));
            tasks::spawn_thread("limit-writer", move || write(&queue, &*clock, end))
        })
        .collect();
    let committer = {
        let queue = Arc::clone(&queue);
        tasks::spawn_thread("limit-committer", move || {
            commit(&queue, &folders, &answers)
        })
    };
    let mut all = Latencies::default();
    for thread in threads {
        all.merge(thread.join().map_err(|_| anyhow!("a writer panicked"))?);
    }
    lock(&queue).stopped = true;
    queue.filled.notify_all();
    committer
        .join()
        .map_err(|_| anyhow!("the committer panicked"))??;
    Ok(all)
}

fn lock(queue: &Queue) -> std::sync::MutexGuard<'_, QueueState> {
    queue.state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(queue: &Queue, clock: &dyn Clock, end: Duration) -> Latencies {
    let mut latencies = Latencies::default();
    loop {
        let started = clock.monotonic();
        let mut state = lock(queue);
        if started >= end || state.stopped {
            return latencies;
        }
        let batch = state.open;
        state.waiting += 1;
        queue.filled.notify_one();
        while state.durable <= batch && !state.stopped {
            state = queue
                .synced
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        latencies.add(clock.monotonic() - started);
    }
}

/// Takes what waits, has every folder sync it, lets its writers go on.
fn commit(queue: &Queue, folders: &[Sender<usize>], answers: &Receiver<Result<()>>) -> Result<()> {
    loop {
        let mut state = lock(queue);
        while state.waiting == 0 {
            if state.stopped {
                return Ok(());
            }
            state = queue
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let count = std::mem::take(&mut state.waiting);
        state.open += 1;
        drop(state);
        for folder in folders {
            folder
                .send(count)
                .map_err(|_| anyhow!("a folder's thread is gone"))?;
        }
        let outcome: Result<()> = folders
            .iter()
            .try_for_each(|_| answers.recv().context("a folder's thread is gone")?);
        let mut state = lock(queue);
        state.durable = state.open;
        state.stopped |= outcome.is_err();
        drop(state);
        queue.synced.notify_all();
        outcome?;
    }
}

fn append(mut file: &File, batches: &Receiver<usize>, synced: &Sender<Result<()>>) {
    let bytes = vec![7; WRITERS * RECORD_BYTES];
    while let Ok(count) = batches.recv() {
        let outcome = file
            .write_all(&bytes[..count * RECORD_BYTES])
            .and_then(|()| file.sync_data())
            .context("append to a file for the limit");
        if synced.send(outcome).is_err() {
            return;
        }
    }
}

/// Megabytes in a second of one stream, of processor time.
fn md5(time: Duration) -> Result<f64> {
    let bodies = Bodies::new(MD5_PIECE_BYTES, 1);
    let body = bodies.body(0);
    let before = thread_cpu()?;
    let mut hash = Md5::new();
    let mut bytes = 0;
    while thread_cpu()? - before < time {
        hash.update(body.piece);
        bytes += body.piece.len();
    }
    std::hint::black_box(hash.finalize());
    Ok(bytes as f64 / (thread_cpu()? - before).as_secs_f64() / 1e6)
}

fn signature() -> Result<f64> {
    let signer = Signer {
        access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        region: "us-east-1".to_owned(),
    };
    let now = strongroom_base::Timestamp(1_369_353_600 * 1_000_000_000);
    let signing = signer.at(now, "127.0.0.1:9000");
    let head = Head {
        method: "GET",
        path: "/load-1369353600000/o/4096/000000001234",
        query: "",
        payload: EMPTY,
        size: 0,
    };
    let mut scratch = String::new();
    let expected = signing.signature(head, &mut scratch);
    let before = thread_cpu()?;
    for _ in 0..CHECKS {
        let signature = signing.signature(std::hint::black_box(head), &mut scratch);
        assert!(
            bool::from(signature.ct_eq(&expected)),
            "a signature changed"
        );
    }
    microseconds(before)
}

fn index_read(folder: &Path) -> Result<f64> {
    let index = Database::builder(folder).open()?;
    let lines = index.keyspace("lines", KeyspaceCreateOptions::default)?;
    let key = |number: u64| format!("bucket/o/4096/{number:012}");
    for number in 0..INDEX_LINES {
        lines.insert(key(number), [number as u8; INDEX_VALUE_BYTES])?;
    }
    lines.rotate_memtable_and_wait()?;
    let mut state = 1;
    let before = thread_cpu()?;
    for _ in 0..CHECKS {
        let number = mix(&mut state) % INDEX_LINES;
        lines
            .get(key(number))?
            .context("a line of the index is gone")?;
    }
    microseconds(before)
}

/// Processor time since `before`, of one of [`CHECKS`].
fn microseconds(before: Duration) -> Result<f64> {
    Ok((thread_cpu()? - before).as_secs_f64() * 1e6 / f64::from(CHECKS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_base::SystemClock;

    #[test]
    fn every_limit_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let limits = measure(folder.path(), Duration::from_millis(200), &clock).unwrap();
        let figures = serde_json::to_value(&limits).unwrap();
        for (name, value) in figures.as_object().unwrap() {
            assert!(value.as_f64().unwrap() > 0.0, "{name} is {value}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
