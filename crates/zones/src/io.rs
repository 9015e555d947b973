//! One writing thread per disk.
//!
//! Many uploads append to the segments of a disk at once. Their writes go through one thread,
//! which takes everything that is waiting, does the writes, and syncs each file once for all who
//! asked: so a sync is shared by whoever came in time, and a slow disk holds up only itself.
//! A failed write or sync is reported to every request of that round on that file; the caller
//! takes the disk out and writes elsewhere. Nothing is retried (hazard H35).

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use strongroom_base::sync::mpsc::{Receiver, SyncSender, sync_channel};

use futures::channel::oneshot;
use strongroom_base::{AlignedBuf, FileRef, tasks};

use crate::counters::Counters;

/// Most requests waiting for one disk. Each holds at most one shard (1 MiB), so a disk queue holds
/// at most 64 MiB; the 65th writer waits.
pub const QUEUE_LEN_MAX: usize = 64;

/// A failed write or sync. Cloned to all who shared it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct IoError {
    pub message: String,
    /// The disk has no space: the request failed, the disk is fine.
    pub full: bool,
}

impl From<&io::Error> for IoError {
    fn from(error: &io::Error) -> Self {
        Self {
            message: error.to_string(),
            full: error.kind() == io::ErrorKind::StorageFull,
        }
    }
}

/// The answer to one request: a future, or waited for in a thread.
pub struct Pending(oneshot::Receiver<Result<(), IoError>>);

impl Pending {
    /// Blocks until the answer is there.
    ///
    /// # Errors
    /// When the write or the sync failed.
    pub fn wait(self) -> Result<(), IoError> {
        futures::executor::block_on(self)
    }
}

impl Future for Pending {
    type Output = Result<(), IoError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| {
            let stopped = || IoError {
                message: "the disk's thread stopped".into(),
                full: false,
            };
            answer.unwrap_or_else(|_| Err(stopped()))
        })
    }
}

type Answer = oneshot::Sender<Result<(), IoError>>;

enum Request {
    Write {
        file: FileRef,
        offset: u64,
        data: Arc<AlignedBuf>,
        answer: Answer,
    },
    Sync {
        file: FileRef,
        answer: Answer,
    },
}

/// The queue in front of one disk's writing thread. Dropping it stops the thread once the queue
/// is empty.
pub struct DiskWriter {
    queue: SyncSender<Request>,
}

impl DiskWriter {
    pub(crate) fn start(name: &str, counters: Arc<Counters>) -> Self {
        let (queue, requests) = sync_channel(QUEUE_LEN_MAX);
        tasks::spawn_thread(&format!("disk {name}"), move || run(&requests, &counters));
        Self { queue }
    }

    /// Queues a write of `data` (aligned, and so is `offset`). Blocks while the queue is full.
    #[must_use]
    pub fn write(&self, file: &FileRef, offset: u64, data: Arc<AlignedBuf>) -> Pending {
        let (answer, pending) = pair();
        self.send(Request::Write {
            file: Arc::clone(file),
            offset,
            data,
            answer,
        });
        pending
    }

    /// Queues a sync of `file`: covers every write of it queued before.
    #[must_use]
    pub fn sync(&self, file: &FileRef) -> Pending {
        let (answer, pending) = pair();
        self.send(Request::Sync {
            file: Arc::clone(file),
            answer,
        });
        pending
    }

    fn send(&self, request: Request) {
        // A closed queue drops the request, and with it the answer, which reports the error.
        let _ = self.queue.send(request);
    }
}

fn pair() -> (Answer, Pending) {
    let (answer, pending) = oneshot::channel();
    (answer, Pending(pending))
}

fn run(requests: &Receiver<Request>, counters: &Counters) {
    while let Ok(first) = requests.recv() {
        let mut round = vec![first];
        round.extend(requests.try_iter().take(QUEUE_LEN_MAX));
        run_round(round, counters);
    }
}

/// Does the writes of a round in order, then one sync per file.
fn run_round(round: Vec<Request>, counters: &Counters) {
    let mut syncs: HashMap<usize, (FileRef, Vec<Answer>)> = HashMap::new();
    for request in round {
        match request {
            Request::Write {
                file,
                offset,
                data,
                answer,
            } => {
                let result = file.write_at(offset, &data);
                Counters::add(&counters.segment_bytes, data.len() as u64);
                let _ = answer.send(result.map_err(|error| IoError::from(&error)));
            }
            Request::Sync { file, answer } => {
                let key = Arc::as_ptr(&file).cast::<()>() as usize;
                syncs
                    .entry(key)
                    .or_insert_with(|| (file, Vec::new()))
                    .1
                    .push(answer);
            }
        }
    }
    for (file, answers) in syncs.into_values() {
        let result = file.sync().map_err(|error| IoError::from(&error));
        Counters::add(&counters.segment_syncs, 1);
        for answer in answers {
            let _ = answer.send(result.clone());
        }
    }
}
