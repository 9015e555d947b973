//! How full the disks are, for the sweeper; and what it did, for metrics.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use strongroom_admin_server::{Sample, SampleKind};
use strongroom_base::Timestamp;
use strongroom_objects::{Buried, Objects};
use strongroom_workers::sweep::Figures;
use strongroom_workers::{Space, SpaceNow};
use strongroom_zones::{DiskHandle, DiskId, Disks};

use crate::figure::Figure;

/// Free bytes of a disk below which nothing deleted is held back, however large the disk: twice
/// what is kept free for the log and for deletes, so that space comes back before puts are refused.
const FREE_BYTES_MIN: u64 = 512 * 1024 * 1024;
/// The same as a part of the disk: a twentieth.
const FREE_PART_MIN: u64 = 20;

/// The space of each disk, asked on a thread of its own: a disk that hangs is passed over.
pub struct DiskSpace {
    disks: Arc<Disks>,
    /// Of each disk that was asked for; one that came in while the server runs too.
    figures: Mutex<HashMap<DiskId, SpaceFigure>>,
}

/// Bytes free on a disk, and in all.
type FreeAndTotal = (u64, u64);

type SpaceFigure = Arc<Figure<FreeAndTotal>>;

impl DiskSpace {
    /// The space of `disks`, those in service.
    #[must_use]
    pub fn new(disks: Arc<Disks>) -> Self {
        let figures = Mutex::default();
        Self { disks, figures }
    }

    /// The figure of one disk.
    #[must_use]
    pub fn of(&self, disk: &DiskHandle) -> SpaceFigure {
        let figure = || {
            let folder = disk.disk.clone();
            let read = move || folder.as_ref()?.space().ok();
            Arc::new(Figure::new("disk space", read))
        };
        let mut figures = self.figures.lock().expect("no holder panics");
        Arc::clone(figures.entry(disk.id).or_insert_with(figure))
    }
}

impl Space for DiskSpace {
    fn look(&self) -> SpaceNow {
        let disks = self.disks.all().iter();
        let in_service = disks.filter(|disk| disk.in_service().is_some());
        let spaces: Vec<(u64, u64)> = in_service.filter_map(|disk| self.of(disk).read()).collect();
        SpaceNow {
            pressed: spaces.iter().any(|(free, total)| is_pressed(*free, *total)),
            disk_bytes_min: spaces.iter().map(|(_, total)| *total).min().unwrap_or(0),
        }
    }
}

fn is_pressed(free: u64, total: u64) -> bool {
    free < FREE_BYTES_MIN.max(total / FREE_PART_MIN)
}

/// The figures of the sweep.
pub struct SweepFigures {
    buried: Figure<Buried>,
    first: Figure<Option<Timestamp>>,
    done: Arc<Figures>,
}

impl SweepFigures {
    /// What is buried in `objects`, and what the sweeper with these figures did.
    #[must_use]
    pub fn new(objects: Objects, done: Arc<Figures>) -> Self {
        let all = objects.clone();
        let read = move || futures::executor::block_on(objects.buried()).ok();
        let first = move || futures::executor::block_on(all.buried_first()).ok();
        Self {
            first: Figure::new("oldest buried", first),
            buried: Figure::new("buried figure", read),
            done,
        }
    }

    /// When what is held back longest was buried. May wait for the index, for a bounded time.
    #[must_use]
    pub fn first(&self) -> Option<Timestamp> {
        self.first.read().flatten()
    }

    /// Samples for the metrics page.
    #[allow(clippy::cast_precision_loss)]
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let done = &self.done;
        let count = |of: &std::sync::atomic::AtomicU64| of.load(Ordering::Relaxed) as f64;
        let mut samples = vec![
            counter(
                "strongroom_swept_blobs_total",
                "Deleted blobs whose space was given back.",
                count(&done.blobs_swept),
            ),
            counter(
                "strongroom_swept_bytes_total",
                "Bytes that disks gave back for deleted blobs, over all shards.",
                count(&done.bytes_swept),
            ),
            counter(
                "strongroom_sweep_kept_total",
                "Times a deleted blob could not be swept and kept its space.",
                count(&done.kept),
            ),
            counter(
                "strongroom_mark_scans_total",
                "Searches for bytes that no record names that were done.",
                count(&done.marks_done),
            ),
            counter(
                "strongroom_mark_scans_failed_total",
                "Searches for bytes that no record names that were given up.",
                count(&done.marks_failed),
            ),
            gauge(
                "strongroom_space_pressed",
                "Whether a disk is so full that deleted bytes are not held back.",
                f64::from(u8::from(done.pressed.load(Ordering::Relaxed))),
            ),
        ];
        if let Some(buried) = self.buried.read() {
            samples.push(gauge(
                "strongroom_buried_blobs",
                "Deleted blobs whose bytes are held back.",
                buried.blobs as f64,
            ));
            samples.push(gauge(
                "strongroom_buried_bytes",
                "Bytes of deleted content that is held back, as clients saw it.",
                buried.bytes as f64,
            ));
        }
        samples
    }
}

fn counter(name: &'static str, help: &'static str, value: f64) -> Sample {
    sample(SampleKind::Counter, name, help, value)
}

fn gauge(name: &'static str, help: &'static str, value: f64) -> Sample {
    sample(SampleKind::Gauge, name, help, value)
}

fn sample(kind: SampleKind, name: &'static str, help: &'static str, value: f64) -> Sample {
    Sample {
        name,
        help,
        kind,
        labels: Vec::new(),
        value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_nearly_full_before_puts_are_refused_whatever_its_size() {
        const GIB: u64 = 1 << 30;
        assert!(is_pressed(FREE_BYTES_MIN - 1, GIB));
        assert!(!is_pressed(FREE_BYTES_MIN, GIB));
        assert!(is_pressed(49 * GIB, 1000 * GIB));
        assert!(!is_pressed(50 * GIB, 1000 * GIB));
    }
}
