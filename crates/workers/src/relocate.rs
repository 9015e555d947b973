//! Moves of segments: rounds for as long as there is something to move, at a pace that clients bear.
//!
//! Invariant
//! - Nothing is remembered here: a restart begins a round, and the disks say how far the moves are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use strongroom_base::tasks;
use strongroom_objects::{Objects, Rest};

use crate::upkeep::{Clients, Upkeep};

/// Longest rest for clients: a disk that hung for a minute must not stop the moves for another.
const REST_MAX: Duration = Duration::from_secs(10);
/// How often a bound on the rate is looked at again while it makes a move wait.
const RATE_POLL: Duration = Duration::from_millis(200);

/// Times of the loop.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long it waits when there was nothing to move.
    pub interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
        }
    }
}

/// The worker.
pub struct Relocator {
    objects: Objects,
    resting: Resting,
    settings: Settings,
}

/// The bound set for repair holds for moves too.
struct Resting {
    upkeep: Arc<Upkeep>,
    clients: Arc<dyn Clients>,
    requests: AtomicU64,
}

#[async_trait]
impl Rest for Resting {
    async fn after(&self, bytes: u64, took: Duration) {
        let requests = self.clients.requests();
        if self.requests.swap(requests, Ordering::Relaxed) != requests {
            tasks::sleep(took.min(REST_MAX)).await;
        }
        let mut rested = took;
        loop {
            let rate = self.upkeep.rate_max();
            if rate == 0 {
                return;
            }
            #[allow(clippy::cast_precision_loss)]
            let due = Duration::from_secs_f64(bytes as f64 / rate as f64);
            let Some(left) = due.checked_sub(rested).filter(|left| !left.is_zero()) else {
                return;
            };
            let step = left.min(RATE_POLL);
            tasks::sleep(step).await;
            rested += step;
        }
    }
}

impl Relocator {
    /// A worker over `objects`.
    #[must_use]
    pub fn new(
        objects: Objects,
        upkeep: Arc<Upkeep>,
        clients: Arc<dyn Clients>,
        settings: Settings,
    ) -> Self {
        let requests = AtomicU64::new(clients.requests());
        let resting = Resting {
            upkeep,
            clients,
            requests,
        };
        Self {
            objects,
            resting,
            settings,
        }
    }

    /// Runs until dropped.
    pub async fn run(self) {
        loop {
            if !self.objects.relocate(&self.resting).await {
                tasks::sleep(self.settings.interval).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Busy;
    impl Clients for Busy {
        fn requests(&self) -> u64 {
            1
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bound_on_the_rate_holds_and_is_lifted_in_the_middle_of_a_rest() {
        let upkeep: Arc<Upkeep> = Arc::default();
        let resting = Resting {
            upkeep: Arc::clone(&upkeep),
            clients: Arc::new(Busy),
            requests: AtomicU64::new(1),
        };
        upkeep.set_rate_max(1 << 20);
        let begun = tokio::time::Instant::now();
        resting.after(4 << 20, Duration::from_secs(1)).await;
        assert_eq!(begun.elapsed().as_secs(), 3);
        let lifted = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            upkeep.set_rate_max(0);
        };
        let begun = tokio::time::Instant::now();
        tokio::join!(resting.after(400 << 20, Duration::ZERO), lifted);
        assert!(begun.elapsed() < Duration::from_secs(3));
    }
}
