//! How many blobs have less redundancy than asked for: one record, read for status and metrics.
//!
//! The index may be on a disk that hangs. Status and metrics are what a person looks at then, so
//! they wait a bounded time, and one read that hangs is not joined by others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_base::tasks;
use strongroom_objects::Objects;

/// How long the index may take: far above a read from a disk that works.
const READ_DEADLINE: Duration = Duration::from_millis(500);

/// The figure, and the last one known.
pub struct ReducedFigure {
    objects: Objects,
    last: Arc<Mutex<Option<u64>>>,
    reading: Arc<AtomicBool>,
}

impl ReducedFigure {
    #[must_use]
    pub fn new(objects: Objects) -> Self {
        Self {
            objects,
            last: Arc::default(),
            reading: Arc::default(),
        }
    }

    /// The figure now. `None` when the index does not answer. While another call reads, what was
    /// known last. Blocks for a bounded time.
    #[must_use]
    pub fn read(&self) -> Option<u64> {
        let known = || *self.last.lock().expect("no holder panics");
        if self.reading.swap(true, Ordering::AcqRel) {
            return known();
        }
        let (objects, last) = (self.objects.clone(), Arc::clone(&self.last));
        let reading = Arc::clone(&self.reading);
        let (done, finished) = channel();
        tasks::spawn_thread("reduced figure", move || {
            let figure = futures::executor::block_on(objects.blobs_reduced()).ok();
            *last.lock().expect("no holder panics") = figure;
            reading.store(false, Ordering::Release);
            let _ = done.send(());
        });
        match finished.recv_timeout(READ_DEADLINE) {
            Ok(()) => known(),
            Err(_) => None,
        }
    }
}
