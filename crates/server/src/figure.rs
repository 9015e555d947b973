//! A figure that may take long to get, for status and metrics.
//!
//! The index or a folder may be on a disk that hangs. Status and metrics are what a person looks at
//! then, so they wait a bounded time, and one read that hangs is not joined by others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_base::tasks;

/// How long a read may take: far above one from a disk that works.
const READ_DEADLINE: Duration = Duration::from_millis(500);

/// The figure, and the last one known.
pub struct Figure<T> {
    name: &'static str,
    read: Arc<dyn Fn() -> Option<T> + Send + Sync>,
    last: Arc<Mutex<Option<T>>>,
    reading: Arc<AtomicBool>,
}

impl<T: Clone + Send + 'static> Figure<T> {
    /// A figure that `read` gets, on a thread of its own with this name. May block; `None` when
    /// there is none to get.
    #[must_use]
    pub fn new(name: &'static str, read: impl Fn() -> Option<T> + Send + Sync + 'static) -> Self {
        Self {
            name,
            read: Arc::new(read),
            last: Arc::default(),
            reading: Arc::default(),
        }
    }

    /// The figure now. `None` when it can not be read in time. While another call reads, what was
    /// known last. Blocks for a bounded time.
    #[must_use]
    pub fn read(&self) -> Option<T> {
        let known = || self.last.lock().expect("no holder panics").clone();
        if self.reading.swap(true, Ordering::AcqRel) {
            return known();
        }
        let (read, last) = (Arc::clone(&self.read), Arc::clone(&self.last));
        let reading = Arc::clone(&self.reading);
        let (done, finished) = channel();
        tasks::spawn_thread(self.name, move || {
            let figure = read();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_hangs_is_absent_and_holds_up_nobody_else() {
        let (go, wait) = channel::<()>();
        let wait = Mutex::new(wait);
        let figure = Figure::new("figure", move || {
            // The first read ends when the test lets it, the next ones at once.
            let _ = wait.lock().unwrap().recv();
            Some(7)
        });
        assert_eq!(figure.read(), None);
        assert_eq!(figure.read(), None, "it does not wait behind the first");
        drop(go);
        while figure.reading.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        assert_eq!(figure.read(), Some(7));
    }
}
