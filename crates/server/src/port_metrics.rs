//! What a port counts: connections, what was refused before it was a request, and bytes.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::count_stream::ByteCounters;
use crate::http_port::Refusal;

/// The metrics of all ports, by the label `port`.
#[derive(Clone)]
pub struct PortMetrics {
    open: IntGaugeVec,
    accepted: IntCounterVec,
    handshakes_failed: IntCounterVec,
    heads_refused: IntCounterVec,
}

/// The metrics of one port.
#[derive(Clone)]
pub struct PortCounters {
    pub open: IntGauge,
    pub accepted: IntCounter,
    pub handshakes_failed: IntCounter,
    pub bytes: ByteCounters,
    heads_refused: IntCounterVec,
    port: &'static str,
}

impl PortMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
                .expect("a constant metric name is valid")
        };
        let help = "Connections held now, by port.";
        let open = IntGaugeVec::new(Opts::new("strongroom_connections", help), &["port"]);
        let metrics = Self {
            open: open.expect("a constant metric name is valid"),
            accepted: counter(
                "strongroom_connections_accepted_total",
                "Connections accepted, by port.",
                &["port"],
            ),
            handshakes_failed: counter(
                "strongroom_tls_handshakes_failed_total",
                "Connections that ended before their TLS handshake did, by port.",
                &["port"],
            ),
            heads_refused: counter(
                "strongroom_heads_refused_total",
                "Connections ended because what came was no proper request head, by port and reason.",
                &["port", "reason"],
            ),
        };
        let collectors: [Box<dyn Collector>; 4] = [
            Box::new(metrics.open.clone()),
            Box::new(metrics.accepted.clone()),
            Box::new(metrics.handshakes_failed.clone()),
            Box::new(metrics.heads_refused.clone()),
        ];
        for collector in collectors {
            registry
                .register(collector)
                .expect("each metric is registered once");
        }
        metrics
    }

    /// Those of the port with this name.
    #[must_use]
    pub fn port(&self, port: &'static str, bytes: ByteCounters) -> PortCounters {
        for reason in Refusal::REASONS {
            // A counter that is there from the start can be alerted on.
            let _ = self.heads_refused.with_label_values(&[port, reason]);
        }
        PortCounters {
            open: self.open.with_label_values(&[port]),
            accepted: self.accepted.with_label_values(&[port]),
            handshakes_failed: self.handshakes_failed.with_label_values(&[port]),
            bytes,
            heads_refused: self.heads_refused.clone(),
            port,
        }
    }
}

impl PortCounters {
    /// Counts a connection that is refused for this reason.
    pub fn refused(&self, refusal: Refusal) {
        self.heads_refused
            .with_label_values(&[self.port, refusal.reason()])
            .inc();
    }

    /// Counts a connection as open until the guard is dropped.
    #[must_use]
    pub fn open(&self) -> OpenConnection {
        self.accepted.inc();
        self.open.inc();
        OpenConnection(self.open.clone())
    }
}

/// An open connection.
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
