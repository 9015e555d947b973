//! The packer in the process: its worker, and what the metrics page says of packs and the log.

use std::sync::{Arc, Mutex};

use strongroom_admin_server::{Sample, SampleKind};
use strongroom_base::Clock;
use strongroom_objects::{Objects, PackCounts};
use strongroom_workers::{PackSettings, Packer, PackerCounters, Worker};
use strongroom_zones::LogReader;

use crate::figure::Figure;

/// A packer that runs.
pub struct Packing {
    worker: Mutex<Option<Worker>>,
    counters: Arc<PackerCounters>,
    figures: Figure<(PackCounts, u64)>,
    log_size_bytes: u64,
}

impl Packing {
    /// Starts the worker: it packs when the log is larger than `log_size_bytes`. Called inside a
    /// runtime.
    #[must_use]
    pub fn start(
        objects: &Objects,
        clock: &Arc<dyn Clock>,
        log: LogReader,
        log_size_bytes: u64,
    ) -> Self {
        let settings = PackSettings {
            log_size_bytes,
            ..PackSettings::default()
        };
        let packer = Packer::new(objects.clone(), Arc::clone(clock), settings);
        let counters = packer.counters();
        let objects = objects.clone();
        let figures = Figure::new("pack figures", move || {
            let counts = futures::executor::block_on(objects.pack_counts()).ok()?;
            Some((counts, log.size_bytes()))
        });
        Self {
            worker: Mutex::new(Some(Worker::start("packer", packer.run()))),
            counters,
            figures,
            log_size_bytes,
        }
    }

    /// Stops the worker and waits until it has ended.
    pub fn stop(&self) {
        let worker = self.worker.lock().expect("no holder panics").take();
        if let Some(worker) = worker {
            futures::executor::block_on(worker.stop());
        }
    }

    /// From how many bytes of log on small objects are packed.
    #[must_use]
    pub const fn log_size_wanted(&self) -> u64 {
        self.log_size_bytes
    }

    /// Bytes of log that are kept. May wait for the index, for a bounded time.
    #[must_use]
    pub fn log_size(&self) -> Option<u64> {
        self.figures.read().map(|(_, bytes)| bytes)
    }

    /// What was done, and how much there is. May wait for the index, for a bounded time.
    #[allow(clippy::cast_precision_loss)]
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let sample = |name, help, kind, value: u64| Sample {
            name,
            help,
            kind,
            labels: Vec::new(),
            value: value as f64,
        };
        let counters = self.counters.samples().into_iter();
        let mut samples: Vec<Sample> = counters
            .map(|(name, help, value)| sample(name, help, SampleKind::Counter, value))
            .collect();
        if let Some((counts, log_bytes)) = self.figures.read() {
            let gauge = |name, help, value| sample(name, help, SampleKind::Gauge, value);
            samples.extend([
                gauge(
                    "strongroom_log_size_bytes",
                    "Bytes of the commit log that are kept, of the largest member.",
                    log_bytes,
                ),
                gauge("strongroom_packs", "Packs of small objects.", counts.packs),
                gauge(
                    "strongroom_pack_bytes",
                    "Bytes of the contents that packs were written with.",
                    counts.all_bytes,
                ),
                gauge(
                    "strongroom_pack_live_bytes",
                    "Bytes of contents in packs that an object or the hold-back still needs.",
                    counts.live_bytes,
                ),
            ]);
        }
        samples
    }
}
