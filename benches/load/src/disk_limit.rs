//! What the machine can do: small appends, each synced, to three files at once.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use strongroom_base::{Clock, tasks};

use crate::phase::Latencies;

/// Files written at once: as many as a commit is synced to in a store of three zones.
const FILE_COUNT: usize = 3;
/// Bytes of one append: the alignment of a log batch, so the least that one can have.
const APPEND_SIZE_BYTES: usize = 4096;

/// Appends and syncs for `time`. Answers the latencies of all threads.
pub fn measure(folder: &Path, time: Duration, clock: &Arc<dyn Clock>) -> Result<Latencies> {
    let mut threads = Vec::new();
    for index in 0..FILE_COUNT {
        let path = folder.join(format!("strongroom-load-{index}"));
        let clock = Arc::clone(clock);
        threads.push(tasks::spawn_thread("disk-limit", move || {
            let outcome = append(&path, time, &*clock);
            let _ = std::fs::remove_file(&path);
            outcome
        }));
    }
    let mut all = Latencies::default();
    for thread in threads {
        let one = thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        all.merge(one);
    }
    Ok(all)
}

fn append(path: &PathBuf, time: Duration, clock: &dyn Clock) -> Result<Latencies> {
    let mut file: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    let bytes = [7; APPEND_SIZE_BYTES];
    let mut latencies = Latencies::default();
    let end = clock.monotonic() + time;
    loop {
        let started = clock.monotonic();
        if started >= end {
            return Ok(latencies);
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        latencies.add(clock.monotonic() - started);
    }
}
