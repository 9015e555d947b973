//! The metrics page: Prometheus text from the request metrics and from whatever else has figures.
//!
//! The engine keeps plain counters and knows nothing of Prometheus; it is asked for its figures when
//! the page is read. Samples of one name must have one help text and one kind.

use std::fmt::Write;

use prometheus::{Encoder, Registry, TextEncoder};

/// Whether a sample only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SampleKind {
    /// Only grows while the process lives.
    Counter,
    /// Goes both ways.
    Gauge,
}

/// One figure.
#[derive(Clone, Debug)]
pub struct Sample {
    /// `strongroom_...`; counters end in `_total`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: SampleKind,
    /// Label names and values. Values may hold any text.
    pub labels: Vec<(&'static str, String)>,
    /// The figure.
    pub value: f64,
}

/// Something that has figures. Asked at each read of the page, off the request threads: may read the
/// index, for a bounded time.
pub trait MetricSource: Send + Sync + 'static {
    /// The figures as they are now.
    fn samples(&self) -> Vec<Sample>;
}

/// The page: the registry's families, then the samples, families together.
#[must_use]
pub fn render(registry: &Registry, mut samples: Vec<Sample>) -> String {
    let mut page = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&registry.gather(), &mut page) {
        tracing::error!(%error, "metrics could not be encoded");
    }
    let mut page = String::from_utf8_lossy(&page).into_owned();
    samples.sort_by_key(|sample| sample.name);
    let mut family = "";
    for sample in &samples {
        if sample.name != family {
            family = sample.name;
            let kind = match sample.kind {
                SampleKind::Counter => "counter",
                SampleKind::Gauge => "gauge",
            };
            let _ = writeln!(
                page,
                "# HELP {family} {}\n# TYPE {family} {kind}",
                sample.help
            );
        }
        let _ = writeln!(
            page,
            "{family}{} {}",
            labels_text(&sample.labels),
            sample.value
        );
    }
    page
}

fn labels_text(labels: &[(&'static str, String)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escape = |value: &str| {
        value
            .replace('\\', r"\\")
            .replace('"', "\\\"")
            .replace('\n', r"\n")
    };
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge(name: &'static str, zone: &str, value: f64) -> Sample {
        Sample {
            name,
            help: "Help.",
            kind: SampleKind::Gauge,
            labels: vec![("zone", zone.to_owned())],
            value,
        }
    }

    #[test]
    fn samples_of_one_family_stand_together_under_one_help_line() {
        let registry = Registry::new();
        let samples = vec![
            gauge("b", "z1", 1.0),
            gauge("a", "z1", 2.5),
            gauge("b", "z\"2", 0.0),
        ];
        let page = render(&registry, samples);
        let expected = "# HELP a Help.\n# TYPE a gauge\na{zone=\"z1\"} 2.5\n\
                        # HELP b Help.\n# TYPE b gauge\nb{zone=\"z1\"} 1\nb{zone=\"z\\\"2\"} 0\n";
        assert_eq!(page, expected);
    }
}
