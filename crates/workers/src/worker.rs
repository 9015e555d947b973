//! A worker that runs, and its end.

use std::future::Future;

use strongroom_base::tasks;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A loop that runs until it is stopped. Dropping the handle stops it too, without waiting.
pub struct Worker {
    name: &'static str,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Worker {
    /// Starts `work` on the current runtime. It is dropped at the await it is at when stopped, so
    /// it must be safe to end there.
    pub fn start(name: &'static str, work: impl Future<Output = ()> + Send + 'static) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let task = tasks::spawn(async move {
            tokio::select! {
                () = work => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        });
        Self { name, stop, task }
    }

    /// Stops the loop and waits until it has ended.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        if let Err(error) = self.task.await {
            tracing::error!(worker = self.name, %error, "a worker ended badly");
        }
    }
}
