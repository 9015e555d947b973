//! What the admission limits do, as metrics: read when the page is.

use std::sync::{Arc, Mutex};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use strongroom_s3_front::Admission;

/// The metrics.
pub struct AdmissionMetrics {
    admission: Arc<Admission>,
    in_flight: IntGaugeVec,
    upload_memory: IntGauge,
    refused: IntCounterVec,
    /// Held while the counters catch up: two pages at once would count twice.
    collecting: Mutex<()>,
}

impl AdmissionMetrics {
    /// Shows the figures of `admission` on the page of `registry`.
    pub fn register(registry: &Registry, admission: Arc<Admission>) {
        let help = "Requests that hold a place, by class; an answer that is being sent is one.";
        let in_flight = Opts::new("strongroom_requests_in_flight", help);
        let help = "Memory set aside for uploads in progress.";
        let upload_memory = IntGauge::new("strongroom_upload_memory_bytes", help);
        let help = "Requests answered 503 SlowDown because a limit was reached, by limit.";
        let refused = Opts::new("strongroom_requests_slowed_total", help);
        let metrics = Self {
            admission,
            in_flight: IntGaugeVec::new(in_flight, &["class"])
                .expect("a constant metric name is valid"),
            upload_memory: upload_memory.expect("a constant metric name is valid"),
            refused: IntCounterVec::new(refused, &["limit"])
                .expect("a constant metric name is valid"),
            collecting: Mutex::new(()),
        };
        registry
            .register(Box::new(metrics))
            .expect("each metric is registered once");
    }
}

impl Collector for AdmissionMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.in_flight.desc();
        all.extend(self.upload_memory.desc());
        all.extend(self.refused.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _collecting = self.collecting.lock().expect("no holder panics");
        let figures = self.admission.figures();
        let shown = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for (class, count) in figures.in_flight {
            self.in_flight.with_label_values(&[class]).set(shown(count));
        }
        self.upload_memory.set(shown(figures.upload_memory_bytes));
        for (limit, count) in figures.refused {
            let counter = self.refused.with_label_values(&[limit]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        let mut all = self.in_flight.collect();
        all.extend(self.upload_memory.collect());
        all.extend(self.refused.collect());
        all
    }
}
