//! Threads, tasks and waiting.

use std::future::Future;
use std::time::Duration;

#[cfg(not(feature = "shuttle"))]
pub use std::thread::JoinHandle;

#[cfg(feature = "shuttle")]
pub use shuttle::thread::JoinHandle;

/// Starts a named operating-system thread.
///
/// # Panics
/// When the system gives no thread.
#[cfg(not(feature = "shuttle"))]
#[allow(clippy::disallowed_methods)]
pub fn spawn_thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .expect("the system gives a thread")
}

/// Starts a thread of the scheduler.
///
/// # Panics
/// When there are too many.
#[cfg(feature = "shuttle")]
pub fn spawn_thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    shuttle::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .expect("the scheduler gives a thread")
}

/// Starts an async task on the current runtime.
#[allow(clippy::disallowed_methods)]
pub fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future)
}

/// Runs blocking code on the runtime's blocking threads and waits for its answer.
///
/// # Panics
/// When `body` panics: the panic is carried on.
#[cfg(not(feature = "shuttle"))]
#[allow(clippy::disallowed_methods)]
pub async fn blocking<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(body).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => panic!("the runtime is shutting down"),
        },
    }
}

/// Runs blocking code in the thread of the scheduler that waits for it.
#[cfg(feature = "shuttle")]
pub async fn blocking<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    body()
}

/// Waits in async code.
#[cfg(not(feature = "shuttle"))]
#[allow(clippy::disallowed_methods)]
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Gives the others a turn.
#[cfg(feature = "shuttle")]
pub async fn sleep(_: Duration) {
    shuttle::future::yield_now().await;
}

/// Waits in a thread.
#[cfg(not(feature = "shuttle"))]
#[allow(clippy::disallowed_methods)]
pub fn sleep_thread(duration: Duration) {
    std::thread::sleep(duration);
}

/// Gives the others a turn.
#[cfg(feature = "shuttle")]
pub fn sleep_thread(_: Duration) {
    shuttle::thread::yield_now();
}

/// Gives up on `future` after `limit`.
///
/// # Errors
/// When the limit passed first.
#[cfg(not(feature = "shuttle"))]
#[allow(clippy::disallowed_methods)]
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    tokio::time::timeout(limit, future)
        .await
        .map_err(|_| Elapsed)
}

/// Never gives up: no schedule takes long.
///
/// # Errors
/// None.
#[cfg(feature = "shuttle")]
pub async fn timeout<F: Future>(_: Duration, future: F) -> Result<F::Output, Elapsed> {
    Ok(future.await)
}

/// The limit of [`timeout`] passed.
#[derive(Debug)]
pub struct Elapsed;
