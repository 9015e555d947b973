//! The way to one disk: bounded writes through its writing thread, bounded reads beside it.
//!
//! A disk that hangs answers nothing, for minutes. Waiting for room in its queue must then not block
//! a thread of the runtime, and waiting for its answer must end when the disk is put out of service.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use strongroom_base::{AlignedBuf, FileRef, tasks};
use strongroom_zones::{DiskHandle, DiskId, DiskWriter, Disks, Incarnation, IoError, Pending};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinHandle};

use crate::pace::Pace;
use crate::settings::{READS_PER_DISK_MAX, SERVICE_POLL, WRITES_PER_DISK_MAX};

/// A disk and the time it has been in service since.
pub(crate) type Served = (DiskId, Incarnation);

/// The queue of one disk, for as long as the disk stays in service.
pub(crate) struct Lane {
    pub disk: Arc<DiskHandle>,
    pub incarnation: Incarnation,
    writer: Arc<DiskWriter>,
    permits: Arc<Semaphore>,
}

/// A request queued. Its place in the queue is free again once the disk answered, whether or not
/// anybody waits for that: uploads that wait for room must not hold room.
pub(crate) struct Queued(JoinHandle<Result<(), IoError>>);

impl Lane {
    async fn permit(&self) -> OwnedSemaphorePermit {
        let permits = Arc::clone(&self.permits);
        permits.acquire_owned().await.expect("never closed")
    }

    /// Queues a write. Waits while the disk has too much to do.
    pub(crate) async fn write(&self, file: &FileRef, at: u64, data: Arc<AlignedBuf>) -> Queued {
        let permit = self.permit().await;
        Queued::new(self.writer.write(file, at, data), permit)
    }

    /// Queues a sync that covers every write queued before.
    pub(crate) async fn sync(&self, file: &FileRef) -> Queued {
        let permit = self.permit().await;
        Queued::new(self.writer.sync(file), permit)
    }

    pub(crate) fn served(&self) -> Served {
        (self.disk.id, self.incarnation)
    }
}

impl Queued {
    fn new(pending: Pending, permit: OwnedSemaphorePermit) -> Self {
        Self(tasks::spawn(async move {
            let answer = pending.await;
            drop(permit);
            answer
        }))
    }

    pub(crate) async fn answer(self) -> Result<(), IoError> {
        let stopped = |error: JoinError| IoError {
            message: error.to_string(),
            full: false,
        };
        self.0.await.map_err(stopped)?
    }
}

/// The lanes of all disks.
pub(crate) struct Lanes {
    pub disks: Arc<Disks>,
    writers: Mutex<HashMap<DiskId, Arc<Lane>>>,
    readers: Mutex<HashMap<DiskId, Arc<Semaphore>>>,
    /// How long reads take, and which disks are set aside.
    pub pace: Pace,
}

impl Lanes {
    pub(crate) fn new(disks: Arc<Disks>) -> Self {
        Self {
            disks,
            writers: Mutex::default(),
            readers: Mutex::default(),
            pace: Pace::default(),
        }
    }

    /// The lane of a disk; `None` while it is out.
    pub(crate) fn lane(&self, disk: &Arc<DiskHandle>) -> Option<Arc<Lane>> {
        // The incarnation first: a disk that goes out and comes back between the two lines gives a
        // writer of the new one, and a lane that is stale and says so.
        let incarnation = disk.in_service()?;
        let mut writers = self.writers.lock().expect("no holder panics");
        if let Some(lane) = writers
            .get(&disk.id)
            .filter(|lane| lane.incarnation == incarnation)
        {
            return Some(Arc::clone(lane));
        }
        let lane = Arc::new(Lane {
            disk: Arc::clone(disk),
            incarnation,
            writer: disk.writer(&self.disks.counters)?,
            permits: Arc::new(Semaphore::new(WRITES_PER_DISK_MAX)),
        });
        writers.insert(disk.id, Arc::clone(&lane));
        Some(lane)
    }

    /// Room for one read of the disk.
    pub(crate) async fn read_permit(&self, disk: DiskId) -> Option<OwnedSemaphorePermit> {
        let permits = {
            let mut readers = self.readers.lock().expect("no holder panics");
            let new = || Arc::new(Semaphore::new(READS_PER_DISK_MAX));
            Arc::clone(readers.entry(disk).or_insert_with(new))
        };
        permits.acquire_owned().await.ok()
    }

    /// Waits for `future`, but not beyond the service of the disk it depends on.
    pub(crate) async fn while_served<F: Future>(
        &self,
        served: Served,
        future: F,
    ) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        loop {
            match tasks::timeout(SERVICE_POLL, &mut future).await {
                Ok(output) => return Some(output),
                Err(_) if self.disks.unbroken(&[served]) => {}
                Err(_) => return None,
            }
        }
    }
}
