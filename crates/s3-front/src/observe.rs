//! What the server counts: one call per request, when its answer has been sent.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use strongroom_base::Clock;

use crate::admission::Admitted;
use crate::body::Received;

/// One finished request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// S3's name of the operation; `Health`, or `Unknown` when it was refused before it was known.
    pub operation: &'static str,
    pub status: StatusCode,
    /// Of the request's body, as it came over the connection.
    pub received_bytes: u64,
    /// Of the answer's body.
    pub sent_bytes: u64,
    /// From the request's head to the end of the answer.
    pub duration: Duration,
}

/// Told of every request.
pub trait Observer: Send + Sync + 'static {
    /// A request's answer has ended, or its client has gone.
    fn observed(&self, request: Observed);
}

/// Observes nothing.
pub struct NoObserver;

impl Observer for NoObserver {
    fn observed(&self, _request: Observed) {}
}

/// Reports a request when dropped, which is when its answer's body is.
pub(crate) struct Report {
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started: Duration,
    pub(crate) operation: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) received: Received,
    pub(crate) sent_bytes: u64,
    /// The request's places, which others may have now.
    pub(crate) _admitted: Option<Admitted>,
}

impl Drop for Report {
    fn drop(&mut self) {
        self.observer.observed(Observed {
            operation: self.operation,
            status: self.status,
            received_bytes: self.received.get(),
            sent_bytes: self.sent_bytes,
            duration: self.clock.monotonic().saturating_sub(self.started),
        });
    }
}
