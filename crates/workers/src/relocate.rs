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
        while let Some(step) = rest_of_rate(bytes, self.upkeep.rate_max(), rested) {
            tasks::sleep(step).await;
            rested += step;
        }
    }
}

/// How long to wait until the bound is looked at again, when `bytes` took `passed` so far; none when
/// they took long enough. A `rate` of 0 is no bound.
fn rest_of_rate(bytes: u64, rate: u64, passed: Duration) -> Option<Duration> {
    if rate == 0 {
        return None;
    }
    #[allow(clippy::cast_precision_loss)]
    let due = Duration::from_secs_f64(bytes as f64 / rate as f64);
    let left = due.saturating_sub(passed);
    (!left.is_zero()).then(|| left.min(RATE_POLL))
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

    #[test]
    fn moves_rest_until_the_bound_on_the_rate_holds_and_see_when_it_is_lifted() {
        const MIB: u64 = 1 << 20;
        let second = Duration::from_secs(1);
        assert_eq!(rest_of_rate(4 * MIB, 0, Duration::ZERO), None);
        assert_eq!(rest_of_rate(4 * MIB, MIB, second), Some(RATE_POLL));
        assert_eq!(rest_of_rate(4 * MIB, MIB, second * 4), None);
        let nearly = second * 4 - Duration::from_millis(50);
        let last = rest_of_rate(4 * MIB, MIB, nearly);
        assert_eq!(last, Some(Duration::from_millis(50)));
    }
}
