//! Threads, tasks and waiting.

use std::future::Future;
use std::time::Duration;

/// Starts a named operating-system thread.
///
/// # Panics
/// When the system gives no thread.
#[allow(clippy::disallowed_methods)]
pub fn spawn_thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .expect("the system gives a thread")
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

/// Waits in async code.
#[allow(clippy::disallowed_methods)]
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Waits in a thread.
#[allow(clippy::disallowed_methods)]
pub fn sleep_thread(duration: Duration) {
    std::thread::sleep(duration);
}

/// Gives up on `future` after `limit`.
///
/// # Errors
/// When the limit passed first.
#[allow(clippy::disallowed_methods)]
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    tokio::time::timeout(limit, future)
        .await
        .map_err(|_| Elapsed)
}

/// The limit of [`timeout`] passed.
#[derive(Debug)]
pub struct Elapsed;
