//! Locks, atomics and channels: the standard library's, or a scheduler's.
//!
//! With the feature `shuttle` all of them, and the threads of [`crate::tasks`], are those of Shuttle: one
//! thread runs at a time, and each use of something shared is a point at which the scheduler may let
//! another go on. So a test explores thousands of schedules of the real code, and repeats the one that
//! failed. Code whose schedules are explored takes its locks from here; a lock of the standard library is
//! right only where nothing from here is used while it is held.

#[cfg(not(feature = "shuttle"))]
pub use std::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock, atomic, mpsc};

#[cfg(feature = "shuttle")]
pub use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock, atomic};

/// Never waits for anything from here.
pub use std::sync::OnceLock;

/// Channels whose short timeouts pass when the others had a few turns, and whose long ones never do: a
/// schedule without faults has no hung disk.
#[cfg(feature = "shuttle")]
pub mod mpsc {
    use std::time::Duration;

    pub use shuttle::sync::mpsc::{
        RecvError, RecvTimeoutError, SendError, Sender, SyncSender, TryRecvError,
    };

    /// Timeouts up to this pass.
    const SHORT: Duration = Duration::from_secs(1);
    /// Turns of the others in a short timeout.
    const TURNS: usize = 20;

    /// The receiving end.
    pub struct Receiver<T>(shuttle::sync::mpsc::Receiver<T>);

    /// As in the standard library.
    #[must_use]
    pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = shuttle::sync::mpsc::channel();
        (sender, Receiver(receiver))
    }

    /// As in the standard library.
    #[must_use]
    pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
        let (sender, receiver) = shuttle::sync::mpsc::sync_channel(bound);
        (sender, Receiver(receiver))
    }

    impl<T> Receiver<T> {
        /// As in the standard library.
        ///
        /// # Errors
        /// When nobody can send any more.
        pub fn recv(&self) -> Result<T, RecvError> {
            self.0.recv()
        }

        /// As in the standard library.
        ///
        /// # Errors
        /// When nothing is there.
        pub fn try_recv(&self) -> Result<T, TryRecvError> {
            self.0.try_recv()
        }

        /// As in the standard library.
        pub fn try_iter(&self) -> impl Iterator<Item = T> {
            std::iter::from_fn(|| self.try_recv().ok())
        }

        /// Waits for a message, for a few turns of the others when `limit` is short.
        ///
        /// # Errors
        /// When none came, or nobody can send any more.
        pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
            if limit > SHORT {
                return self.recv().map_err(|_| RecvTimeoutError::Disconnected);
            }
            for _ in 0..TURNS {
                match self.try_recv() {
                    Ok(message) => return Ok(message),
                    Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                    Err(TryRecvError::Empty) => shuttle::thread::yield_now(),
                }
            }
            Err(RecvTimeoutError::Timeout)
        }
    }
}
