//! What the S3 port counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use crate::count_stream::ByteCounters;

/// Upper bounds of the latency histogram in seconds: from a cached small read to a stalled zone.
const SECONDS_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Metrics of requests.
#[derive(Clone)]
pub struct RequestMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    in_progress: IntGauge,
    begun: Arc<AtomicU64>,
    bytes: ByteCounters,
}

impl RequestMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let help = "S3 requests answered, by operation and status code.";
        let requests = IntCounterVec::new(
            Opts::new("strongroom_requests_total", help),
            &["operation", "status"],
        );
        let help = "Seconds from a request's head to its answer's head, by operation.";
        let seconds = HistogramVec::new(
            HistogramOpts::new("strongroom_request_seconds", help)
                .buckets(SECONDS_BUCKETS.to_vec()),
            &["operation"],
        );
        let help = "S3 requests whose answer has not begun.";
        let in_progress = IntGauge::new("strongroom_requests_in_progress", help);
        let counter = |name: &str, help: &str| {
            IntCounter::new(name, help).expect("a constant metric name is valid")
        };
        let metrics = Self {
            requests: requests.expect("a constant metric name is valid"),
            seconds: seconds.expect("a constant metric name is valid"),
            in_progress: in_progress.expect("a constant metric name is valid"),
            begun: Arc::default(),
            bytes: ByteCounters {
                received: counter(
                    "strongroom_received_bytes_total",
                    "Bytes received on the S3 port, heads included.",
                ),
                sent: counter(
                    "strongroom_sent_bytes_total",
                    "Bytes sent on the S3 port, heads included.",
                ),
            },
        };
        let collectors: [Box<dyn prometheus::core::Collector>; 5] = [
            Box::new(metrics.requests.clone()),
            Box::new(metrics.seconds.clone()),
            Box::new(metrics.in_progress.clone()),
            Box::new(metrics.bytes.received.clone()),
            Box::new(metrics.bytes.sent.clone()),
        ];
        for collector in collectors {
            registry
                .register(collector)
                .expect("each metric is registered once");
        }
        metrics
    }

    /// Byte counters of the S3 port.
    #[must_use]
    pub fn bytes(&self) -> ByteCounters {
        self.bytes.clone()
    }

    /// Counts a request as in progress until the guard is dropped, also when its client goes away.
    #[must_use]
    pub fn begin(&self) -> InProgress {
        self.in_progress.inc();
        self.begun.fetch_add(1, Ordering::Relaxed);
        InProgress(self.in_progress.clone())
    }

    /// How many requests began so far.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Counts an answer.
    pub fn answered(&self, operation: &str, status: u16, took: Duration) {
        self.requests
            .with_label_values(&[operation, status_text(status).as_str()])
            .inc();
        self.seconds
            .with_label_values(&[operation])
            .observe(took.as_secs_f64());
    }
}

/// A request in progress.
pub struct InProgress(IntGauge);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn status_text(status: u16) -> String {
    status.to_string()
}

/// Byte counters that no page shows: those of the administration port.
#[must_use]
pub fn bytes_unshown() -> ByteCounters {
    let counter = || IntCounter::new("unshown", "unshown").expect("a constant name is valid");
    ByteCounters {
        received: counter(),
        sent: counter(),
    }
}
