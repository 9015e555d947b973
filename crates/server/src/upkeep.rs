//! Scrub and repair of this server: the workers, what the administration port sees of them, and their
//! metrics.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use strongroom_admin_server::{
    LevelCount, RepairPhase, RepairStatus, Sample, SampleKind, ScrubStatus, Unprotected,
    UpkeepSource, ZoneMissing, rfc3339,
};
use strongroom_base::{Clock, Timestamp};
use strongroom_objects::records::{BlobId, STANDARD as STORAGE_CLASS};
use strongroom_objects::{Level, Objects};
use strongroom_workers::{
    Clients, Count, LogCheck, LogChecked, MendSettings, Mender, Phase, RelocateSettings, Relocator,
    ScrubSettings, Scrubber, Standing, Upkeep, Worker,
};
use strongroom_zones::{Disks, Layout, LogReader, LogScrubbed};

use crate::request_metrics::RequestMetrics;

/// The workers' state, as others see it.
pub struct ServerUpkeep {
    upkeep: Arc<Upkeep>,
    clock: Arc<dyn Clock>,
    disks: Arc<Disks>,
}

/// A number that changes when a disk goes out of service, comes back, comes in or leaves, or is drained.
fn disks_number(disks: &Disks) -> u64 {
    let mut hasher = DefaultHasher::new();
    disks.layout().changes.number.hash(&mut hasher);
    for disk in disks.all() {
        (disk.id.0, disk.in_service()).hash(&mut hasher);
    }
    hasher.finish()
}

/// The names of the zones there are now: one may have come since the start.
fn zone_names(layout: &Layout) -> Vec<String> {
    let there = layout.zones.iter().filter(|zone| !zone.disks.is_empty());
    there.map(|zone| zone.name.clone()).collect()
}

/// The commit log, for scrub.
struct ZoneLog(LogReader);

fn checked(found: LogScrubbed) -> LogChecked {
    LogChecked {
        bad: found.bad,
        repaired: found.repaired,
        lost: found.lost,
    }
}

impl LogCheck for ZoneLog {
    fn kept(&self) -> Range<u64> {
        self.0.kept()
    }
    fn check(&self, batches: Range<u64>) -> LogChecked {
        checked(self.0.scrub(batches))
    }
    fn check_superblocks(&self) -> LogChecked {
        checked(self.0.scrub_superblocks())
    }
}

/// Requests of the S3 port, for the pace of the workers.
struct S3Clients(RequestMetrics);

impl Clients for S3Clients {
    fn requests(&self) -> u64 {
        self.0.begun()
    }
}

impl ServerUpkeep {
    /// Starts the workers.
    #[must_use]
    pub fn start(
        objects: &Objects,
        clock: &Arc<dyn Clock>,
        metrics: &RequestMetrics,
        log: LogReader,
        disks: Arc<Disks>,
        scrub_period: Duration,
    ) -> (Arc<Self>, Vec<Worker>) {
        let probed = Arc::clone(&disks);
        let upkeep = Arc::new(Upkeep::new(move || disks_number(&probed)));
        let clients: Arc<dyn Clients> = Arc::new(S3Clients(metrics.clone()));
        let mender = Mender::new(
            objects.clone(),
            Arc::clone(&upkeep),
            Arc::clone(&clients),
            Arc::clone(clock),
            MendSettings::default(),
        );
        let relocator = Relocator::new(
            objects.clone(),
            Arc::clone(&upkeep),
            Arc::clone(&clients),
            RelocateSettings::default(),
        );
        let scrubber = Scrubber::new(
            objects.clone(),
            Arc::clone(&upkeep),
            Arc::new(ZoneLog(log)),
            clients,
            Arc::clone(clock),
            ScrubSettings {
                period: scrub_period,
                ..ScrubSettings::default()
            },
        );
        let workers = vec![
            Worker::start("repair", mender.run()),
            Worker::start("scrub", scrubber.run()),
            Worker::start("moves", relocator.run()),
        ];
        let clock = Arc::clone(clock);
        let shared = Self {
            upkeep,
            clock,
            disks,
        };
        (Arc::new(shared), workers)
    }

    /// Its figures.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let (repair, scrub) = (self.repair(), self.scrub());
        let mut samples = redundancy_samples(&repair, &zone_names(&self.disks.layout()));
        samples.extend(work_samples(&repair, &scrub));
        samples
    }
}

fn time(at: Timestamp) -> Option<String> {
    (at.0 > 0).then(|| rfc3339(at))
}

impl UpkeepSource for ServerUpkeep {
    fn repair(&self) -> RepairStatus {
        // Asked before the rest: a walk that ends meanwhile makes it worse, not better, than the truth.
        let current = self.upkeep.is_current();
        let (standing, repair) = (self.upkeep.standing(), self.upkeep.repair());
        let mut status = RepairStatus {
            since: time(repair.since),
            since_seconds: (repair.since.0 > 0).then(|| {
                let now = self.clock.now().seconds();
                now.saturating_sub(repair.since.seconds())
            }),
            storage_class: STORAGE_CLASS.to_owned(),
            phase: match repair.phase {
                Phase::Idle => RepairPhase::Idle,
                Phase::Repairing => RepairPhase::Repairing,
                Phase::Verifying => RepairPhase::Verifying,
            },
            blobs_done: repair.done.blobs,
            bytes_done: repair.done.bytes,
            blobs_total: repair.total.blobs,
            bytes_total: repair.total.bytes,
            bytes_per_second: repair.rate,
            bytes_per_second_max: repair.rate_max,
            seconds_left: repair.seconds_left(),
            failed: repair.failed.iter().map(ToString::to_string).collect(),
            ..RepairStatus::default()
        };
        let Some(standing) = standing else {
            return status;
        };
        status.walked = time(standing.walked);
        status.current = current;
        let is_idle = repair.phase == Phase::Idle;
        status.whole = current && is_idle && standing.is_full() && !standing.filling;
        status.levels = wire_levels(&standing.levels);
        status.oldest = standing.oldest.map(|oldest| unprotected(oldest, &standing));
        let zones = standing.zones.iter();
        let zones = zones.map(|(zone, count)| ZoneMissing {
            zone: zone.clone(),
            blobs: count.blobs,
            bytes: count.bytes,
            levels: wire_levels(&standing.zone_levels[zone]),
        });
        status.zones = zones.collect();
        status.small = standing.elsewhere.blobs;
        status.small_bytes = standing.elsewhere.bytes;
        status
    }

    fn scrub(&self) -> ScrubStatus {
        // In this order: who waits for a pass sees its end when it is no longer asked for.
        let asked = self.upkeep.is_scrub_asked();
        let scrub = self.upkeep.scrub();
        let job = scrub.job;
        let age = self
            .clock
            .now()
            .seconds()
            .saturating_sub(job.ended.seconds());
        ScrubStatus {
            running: job.begun.0 > 0,
            asked,
            begun: time(job.begun),
            ended: time(job.ended),
            age_seconds: (job.ended.0 > 0).then_some(age),
            period_seconds: scrub.period.as_secs(),
            blobs: job.blobs,
            bytes: job.bytes,
            shards_bad: job.bad,
            shards_repaired: job.repaired,
            blobs_lost: job.lost,
            bytes_total: self.upkeep.standing().map(|all| all.total().bytes),
            bytes_per_second: scrub.rate,
        }
    }

    fn start_scrub(&self) {
        self.upkeep.start_scrub();
    }

    fn set_repair_rate(&self, rate: u64) {
        self.upkeep.set_rate_max(rate);
    }
}

fn wire_levels(levels: &BTreeMap<Level, Count>) -> Vec<LevelCount> {
    let level = |level: Level| {
        let count = levels.get(&level).copied().unwrap_or_default();
        LevelCount {
            level: level.name().to_owned(),
            blobs: count.blobs,
            bytes: count.bytes,
        }
    };
    Level::ALL.map(level).into()
}

fn unprotected((written, blob): (Timestamp, BlobId), standing: &Standing) -> Unprotected {
    let object = standing.oldest_object.as_ref();
    Unprotected {
        written: rfc3339(written),
        bucket: object.and_then(|o| Some(o.bucket.as_ref()?.as_str().to_owned())),
        key: object.and_then(|o| Some(o.key.as_ref()?.as_str().to_owned())),
        version_id: object.and_then(|o| Some(o.version_id.as_ref()?.to_string())),
        blob: blob.to_string(),
    }
}

#[allow(clippy::cast_precision_loss)]
fn redundancy_samples(repair: &RepairStatus, zones: &[String]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for level in &repair.levels {
        let labels = || vec![("level", level.level.clone())];
        samples.push(Sample {
            labels: labels(),
            ..gauge(
                "strongroom_redundancy_blobs",
                "Blobs by how they stood at the last walk over them.",
                level.blobs as f64,
            )
        });
        samples.push(Sample {
            labels: labels(),
            ..gauge(
                "strongroom_redundancy_bytes",
                "Bytes of those blobs.",
                level.bytes as f64,
            )
        });
    }
    for zone in zones.iter().filter(|_| repair.walked.is_some()) {
        let missing = repair.zones.iter().find(|missing| missing.zone == *zone);
        samples.push(Sample {
            labels: vec![("zone", zone.clone())],
            ..gauge(
                "strongroom_redundancy_missing_blobs",
                "Blobs with shards missing in the zone.",
                missing.map_or(0, |missing| missing.blobs) as f64,
            )
        });
    }
    samples
}

#[allow(clippy::cast_precision_loss)]
fn work_samples(repair: &RepairStatus, scrub: &ScrubStatus) -> Vec<Sample> {
    let mut samples = vec![
        gauge(
            "strongroom_repair_left_bytes",
            "Bytes of blobs still to be repaired or verified in this round.",
            if repair.phase == RepairPhase::Idle {
                0.0
            } else {
                repair.bytes_total.saturating_sub(repair.bytes_done) as f64
            },
        ),
        gauge(
            "strongroom_repair_failed_blobs",
            "Blobs that the last round of repair could not make whole; at most 100 are counted.",
            repair.failed.len() as f64,
        ),
        gauge(
            "strongroom_scrub_running",
            "Whether a pass of scrub is under way.",
            f64::from(u8::from(scrub.running)),
        ),
        gauge(
            "strongroom_scrub_bytes",
            "Bytes of blobs read by the pass of scrub that is under way, or by the last.",
            scrub.bytes as f64,
        ),
        gauge(
            "strongroom_scrub_bad_shards",
            "Missing or damaged shards that this pass of scrub found.",
            scrub.shards_bad as f64,
        ),
        gauge(
            "strongroom_scrub_lost_blobs",
            "Blobs that this pass of scrub found lost.",
            scrub.blobs_lost as f64,
        ),
    ];
    if let Some(age) = scrub.age_seconds {
        samples.push(gauge(
            "strongroom_scrub_age_seconds",
            "Seconds since the last full pass of scrub ended; absent before the first.",
            age as f64,
        ));
    }
    samples
}

fn gauge(name: &'static str, help: &'static str, value: f64) -> Sample {
    Sample {
        name,
        help,
        kind: SampleKind::Gauge,
        labels: Vec::new(),
        value,
    }
}

#[cfg(test)]
mod tests {
    use strongroom_zones::{DiskId, ZoneMember};

    use super::*;

    #[test]
    fn a_zone_that_was_added_has_its_figure_at_once_and_one_that_was_removed_has_none() {
        let zone = |name: &str, disks: &[u8]| ZoneMember {
            name: name.to_owned(),
            disks: disks.iter().map(|disk| DiskId([*disk; 16])).collect(),
        };
        let mut layout = Layout {
            zones: vec![zone("a", &[1]), zone("b", &[2])],
            ..Layout::default()
        };
        assert_eq!(zone_names(&layout), ["a", "b"]);
        layout.zones.push(zone("c", &[3]));
        layout.zones[1].disks.clear();
        let names = zone_names(&layout);
        assert_eq!(names, ["a", "c"]);
        let repair = RepairStatus {
            walked: Some("2026-01-01T00:00:00Z".to_owned()),
            ..RepairStatus::default()
        };
        let samples = redundancy_samples(&repair, &names);
        let labels: Vec<&str> = samples.iter().map(|s| s.labels[0].1.as_str()).collect();
        assert_eq!(labels, ["a", "c"]);
    }
}
