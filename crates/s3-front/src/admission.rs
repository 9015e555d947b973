//! How much is done at once, and what is said beyond it.
//!
//! A store that takes every request it is sent becomes slow for all and then runs out of memory. So
//! reads, writes and lists each have a number of places, and uploads share a budget of memory: slow
//! uploads stop no read, and however many clients come, what they hold is known. A request that finds
//! no place waits a moment, which evens out bursts, and is then answered `503 SlowDown`: before its
//! body is read, so that saying so costs next to nothing.
//!
//! Invariants
//! - Only requests whose signature holds take places; a stranger takes none.
//! - A place is held until the answer's body has ended or its client is gone.
//! - Health routes need no place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method};
use strongroom_base::tasks;
use strongroom_objects::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::body::WHOLE_SIZE_BYTES_MAX;
use crate::error::{FrontError, Result};
use crate::route::Operation;

/// How long a request waits for its place: a few times what a write takes, and shorter than any
/// client's patience.
pub const ADMISSION_WAIT: Duration = Duration::from_secs(2);
/// What an upload of any size holds at most: three stripes of 2 MiB and their parity.
pub const UPLOAD_MEMORY_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A body that is read whole is held as text and as what was read from it.
const WHOLE_MEMORY_FACTOR: u64 = 4;
/// What memory is counted in.
const MEMORY_UNIT_BYTES: u64 = 1024;

/// Which places a request needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    Read,
    Write,
    List,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::List];

    /// A word for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "reads",
            Self::Write => "writes",
            Self::List => "lists",
        }
    }

    fn of(operation: Operation, method: &Method) -> Self {
        if operation.name().starts_with("List") {
            Self::List
        } else if method == Method::GET || method == Method::HEAD {
            Self::Read
        } else {
            Self::Write
        }
    }
}

/// What an operator may choose.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionLimits {
    pub reads_max: usize,
    pub writes_max: usize,
    pub lists_max: usize,
    pub upload_memory_bytes_max: u64,
}

impl AdmissionLimits {
    /// No limit anyone reaches.
    pub const NONE: Self = Self {
        reads_max: 1 << 20,
        writes_max: 1 << 20,
        lists_max: 1 << 20,
        upload_memory_bytes_max: 1 << 40,
    };
}

/// Places and budget of one server.
pub struct Admission {
    places: [Places; 3],
    memory: Places,
}

/// Some number of places.
struct Places {
    free: Arc<Semaphore>,
    count: usize,
    refused: AtomicU64,
}

impl Places {
    fn new(count: usize) -> Self {
        let count = count.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(count)),
            count,
            refused: AtomicU64::new(0),
        }
    }

    fn taken(&self) -> u64 {
        self.count.saturating_sub(self.free.available_permits()) as u64
    }

    /// Takes `wanted` places, waiting for them a moment.
    async fn take(&self, wanted: u64) -> Result<OwnedSemaphorePermit> {
        // What can never be had would wait in vain: all there is must do.
        let wanted = u32::try_from(wanted.min(self.count as u64)).unwrap_or(u32::MAX);
        let free = Arc::clone(&self.free);
        match tasks::timeout(ADMISSION_WAIT, free.acquire_many_owned(wanted)).await {
            Ok(taken) => Ok(taken.expect("the semaphore is never closed")),
            Err(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(FrontError::from(Error::SlowDown))
            }
        }
    }
}

/// The places of one request, given back when dropped.
#[derive(Debug)]
pub struct Admitted {
    _place: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

/// What is going on now, for metrics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdmissionFigures {
    /// Requests that hold a place, by class.
    pub in_flight: [(&'static str, u64); 3],
    /// Memory set aside for uploads.
    pub upload_memory_bytes: u64,
    /// Requests answered `SlowDown`, by what there was too little of.
    pub refused: [(&'static str, u64); 4],
}

impl Admission {
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> Arc<Self> {
        let memory = limits.upload_memory_bytes_max / MEMORY_UNIT_BYTES;
        let counts = [limits.reads_max, limits.writes_max, limits.lists_max];
        Arc::new(Self {
            places: counts.map(Places::new),
            memory: Places::new(usize::try_from(memory).unwrap_or(usize::MAX)),
        })
    }

    /// Takes the places that a request needs.
    ///
    /// # Errors
    /// `SlowDown` when they are not free within [`ADMISSION_WAIT`].
    pub async fn enter(
        &self,
        operation: Operation,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Admitted> {
        let class = Class::of(operation, method);
        let memory = memory_of(operation, declared_size(headers));
        Ok(Admitted {
            _place: self.places[class as usize].take(1).await?,
            _memory: self.memory.take(memory.div_ceil(MEMORY_UNIT_BYTES)).await?,
        })
    }

    /// What is going on now.
    #[must_use]
    pub fn figures(&self) -> AdmissionFigures {
        let of = |class: Class| &self.places[class as usize];
        let refused = |places: &Places| places.refused.load(Ordering::Relaxed);
        let [reads, writes, lists] = Class::ALL.map(|class| (class.name(), refused(of(class))));
        AdmissionFigures {
            in_flight: Class::ALL.map(|class| (class.name(), of(class).taken())),
            upload_memory_bytes: self.memory.taken() * MEMORY_UNIT_BYTES,
            refused: [
                reads,
                writes,
                lists,
                ("upload_memory", refused(&self.memory)),
            ],
        }
    }
}

/// What a request holds in memory at most, answers not counted: those are made as they are taken.
fn memory_of(operation: Operation, size: u64) -> u64 {
    if operation.streams_body() || operation == Operation::PostObject {
        size.saturating_mul(2).min(UPLOAD_MEMORY_BYTES_MAX)
    } else if matches!(operation, Operation::CopyObject | Operation::UploadPartCopy) {
        UPLOAD_MEMORY_BYTES_MAX
    } else {
        size.min(WHOLE_SIZE_BYTES_MAX) * WHOLE_MEMORY_FACTOR
    }
}

/// The size the request gives its body. One that lies is refused when its body is read.
fn declared_size(headers: &HeaderMap) -> u64 {
    let number = |name| headers.get(name)?.to_str().ok()?.parse().ok();
    number("x-amz-decoded-content-length")
        .or_else(|| number("content-length"))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> AdmissionLimits {
        AdmissionLimits {
            reads_max: 1,
            writes_max: 2,
            lists_max: 1,
            upload_memory_bytes_max: 10 * 1024 * 1024,
        }
    }

    fn sized(size: u64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("content-length", size.into());
        headers
    }

    async fn enter(
        admission: &Admission,
        operation: Operation,
        method: Method,
    ) -> Result<Admitted> {
        admission.enter(operation, &method, &sized(10)).await
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_places_it_is_slow_down_and_other_classes_go_on() {
        // LI08
        let admission = Admission::new(limits());
        let read = enter(&admission, Operation::GetObject, Method::GET)
            .await
            .unwrap();
        let error = enter(&admission, Operation::HeadObject, Method::HEAD)
            .await
            .unwrap_err();
        assert_eq!(
            (error.status.as_u16(), error.code.as_ref()),
            (503, "SlowDown")
        );
        assert!(error.headers.iter().any(|(name, _)| name == "retry-after"));
        let _write = enter(&admission, Operation::PutObject, Method::PUT)
            .await
            .unwrap();
        let _list = enter(&admission, Operation::ListObjectsV2, Method::GET)
            .await
            .unwrap();
        let figures = admission.figures();
        assert_eq!(
            figures.in_flight,
            [("reads", 1), ("writes", 1), ("lists", 1)]
        );
        assert_eq!(figures.refused[0], ("reads", 1));
        drop(read);
        enter(&admission, Operation::GetObject, Method::GET)
            .await
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_a_moment_for_a_place() {
        let admission = Admission::new(limits());
        let read = enter(&admission, Operation::GetObject, Method::GET)
            .await
            .unwrap();
        let waiting = enter(&admission, Operation::GetObject, Method::GET);
        let letting_go = async {
            tasks::sleep(ADMISSION_WAIT / 2).await;
            drop(read);
        };
        let (entered, ()) = futures::join!(waiting, letting_go);
        assert!(entered.is_ok());
        assert_eq!(admission.figures().refused[0], ("reads", 0));
    }

    #[tokio::test(start_paused = true)]
    async fn uploads_share_a_budget_of_memory_which_is_given_back() {
        let admission = Admission::new(limits());
        let put = |size| {
            let admission = Arc::clone(&admission);
            async move {
                let headers = sized(size);
                admission
                    .enter(Operation::PutObject, &Method::PUT, &headers)
                    .await
            }
        };
        let large = put(1 << 40).await.unwrap();
        assert_eq!(
            admission.figures().upload_memory_bytes,
            UPLOAD_MEMORY_BYTES_MAX
        );
        assert_eq!(put(1 << 40).await.unwrap_err().code, "SlowDown");
        assert_eq!(admission.figures().refused[3], ("upload_memory", 1));
        let small = put(1024).await.unwrap();
        drop((large, small));
        assert_eq!(admission.figures().upload_memory_bytes, 0);
        assert_eq!(admission.figures().in_flight[1], ("writes", 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_needs_more_than_the_whole_budget_takes_all_of_it() {
        let small = AdmissionLimits {
            upload_memory_bytes_max: 1024 * 1024,
            ..limits()
        };
        let admission = Admission::new(small);
        let headers = sized(1 << 30);
        let put = admission
            .enter(Operation::PutObject, &Method::PUT, &headers)
            .await;
        assert!(put.is_ok());
        assert_eq!(admission.figures().upload_memory_bytes, 1024 * 1024);
    }
}
