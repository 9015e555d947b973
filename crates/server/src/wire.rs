//! Chooses the backends and puts the store together: the one place that names them.
//!
//! Real disks and the real index only. Clock, randomness and disks are made here or by the caller
//! and handed down; nothing below makes its own.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use strongroom_admin_server::{
    AddDiskRequest, AddZoneRequest, ApiError, DiskChanged, DiskJoined, DiskOrder, DiskRequest,
    ReplaceDiskRequest, ZoneChanged, ZoneOrder, ZoneRequest,
};
use strongroom_admin_server::{
    DiskStatus, DrainStatus, EngineStatus, Health, LockClock, Sample, SampleKind, ZoneStatus,
};
use strongroom_base::{Clock, Random, RealDisk, Timestamp};

use strongroom_blob_zones::ZoneBlobs;
use strongroom_meta_lsm::{FjallViews, LockTime, LsmMeta, LsmSettings};
use strongroom_objects::{Moves, Objects};
use strongroom_s3_front::{
    Admission, FrontParts, FrontService, FrontSettings, Observed, Observer, SharedCredentials,
};
use strongroom_workers::{
    Redundancy, RespreadSettings, Respreader, SweepSettings, Sweeper, Worker,
};
use strongroom_zones::{
    DiskChange, DiskHandle, DiskSpec, MemberIndex, OpenOptions, OpenStore, Store,
};

use crate::app::{App, Engine, Opened};
use crate::devices::{self, System};
use crate::disk_changes::{self, DiskChanges};
use crate::figure::Figure;
use crate::front::{Answering, S3};
use crate::http_port::Body;
use crate::lock_metrics;
use crate::packing::Packing;
use crate::request_metrics::RequestMetrics;
use crate::settings::Settings;
use crate::space::{DiskSpace, SweepFigures};
use crate::store_metrics::UsageFigure;
use crate::survives::{Topology, ZoneTopology, survives};
use crate::upkeep::ServerUpkeep;

/// Block cache of one index. Each zone keeps an index; one of them answers reads at a time.
const INDEX_CACHE_SIZE_BYTES: u64 = 64 * 1024 * 1024;

/// What a store is made of besides its settings.
pub struct Parts {
    pub credentials: Arc<SharedCredentials>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub app: Arc<App>,
    pub metrics: RequestMetrics,
    pub admission: Arc<Admission>,
}

/// Opens the store: formats or recognises the disks, starts recovery and returns. Whether reads and
/// writes are served yet is for the engine to say. Blocks, at least as long as `member_wait` when a
/// disk is absent. Called inside a runtime.
///
/// # Errors
/// One sentence for the operator.
pub fn open(settings: &Settings, parts: Parts) -> Result<Opened, String> {
    let opened = open_disks(settings, &parts)?;
    let (store_id, run) = (opened.store, opened.run);
    let disks = Arc::clone(&opened.disks);
    let store = Store::new(opened);
    let blobs = ZoneBlobs::open(
        disks,
        store_id,
        run,
        strongroom_blob_zones::Settings::default(),
        Arc::clone(&parts.random),
        Arc::clone(&parts.clock),
    )
    .map_err(|error| format!("cannot open the blobs: {error}"))?;
    let rescan = Arc::clone(&blobs);
    let meta = LsmMeta::start(
        &store,
        Arc::new(FjallViews::new(INDEX_CACHE_SIZE_BYTES)),
        Arc::clone(&parts.clock),
        &LsmSettings {
            transaction_deadline: settings.commit_deadline,
            ..LsmSettings::default()
        },
        Arc::new(move |disk: &DiskHandle| rescan.rescan(disk.id)),
    );
    let survives = survives(&topology(settings, store.opened(), &blobs));
    let objects = Objects::new(
        Arc::clone(&meta) as _,
        Arc::clone(&blobs) as _,
        Arc::clone(&parts.clock),
        Arc::clone(&parts.random),
        strongroom_objects::Settings::default(),
    );
    let respreader = Respreader::new(
        objects.clone(),
        Arc::new(ZoneRedundancy {
            meta: Arc::clone(&meta),
            blobs: Arc::clone(&blobs),
        }),
        Arc::clone(&parts.clock),
        RespreadSettings::default(),
    );
    let (upkeep, upkeep_workers) = ServerUpkeep::start(
        &objects,
        &parts.clock,
        &parts.metrics,
        store.reader(),
        Arc::clone(&store.opened().disks),
        settings.scrub_period,
    );
    let packing = Packing::start(
        &objects,
        &parts.clock,
        store.reader(),
        settings.pack_log_size_bytes,
    );
    let spaces = Arc::new(DiskSpace::new(Arc::clone(&store.opened().disks)));
    let sweeper = Sweeper::new(
        objects.clone(),
        Arc::clone(&spaces) as _,
        Arc::clone(&parts.clock),
        SweepSettings {
            hold_back: settings.hold_back,
            hold_back_bytes_max: settings.hold_back_size,
            ..SweepSettings::default()
        },
    );
    let mut workers = vec![Worker::start("respread", respreader.run())];
    workers.extend(upkeep_workers);
    let swept = SweepFigures::new(objects.clone(), sweeper.figures());
    workers.push(Worker::start("sweep", sweeper.run()));
    let engine = ZoneEngine {
        store,
        meta,
        blobs,
        objects: objects.clone(),
        spaces,
        changes: DiskChanges::default(),
        reduced: reduced(objects.clone()),
        swept,
        workers: Mutex::new(workers),
        packing,
        clock: Arc::clone(&parts.clock),
        hold_back: settings.hold_back,
    };
    let usage = UsageFigure::new(objects.clone(), settings.metrics_buckets_max);
    let s3 = front(settings, parts, objects.clone());
    Ok(Opened {
        engine: Arc::new(engine),
        s3,
        objects,
        usage,
        upkeep,
        survives,
    })
}

fn open_disks(settings: &Settings, parts: &Parts) -> Result<OpenStore, String> {
    let mut specs = Vec::new();
    for zone in &settings.zones {
        for folder in &zone.folders {
            specs.push(DiskSpec {
                zone: zone.name.clone(),
                name: folder.display().to_string(),
                disk: Arc::new(RealDisk::new(folder)),
            });
        }
    }
    let options = OpenOptions {
        member_wait: settings.member_wait,
        commit_deadline: settings.commit_deadline,
        ..OpenOptions::default()
    };
    let opened = strongroom_zones::open(&specs, options, Arc::clone(&parts.random));
    let opened = opened.map_err(|error| error.to_string())?;
    disk_changes::check_flags(settings, &opened)?;
    Ok(opened)
}

fn front(settings: &Settings, parts: Parts, objects: Objects) -> Arc<dyn S3> {
    let front = FrontSettings {
        region: settings.region.clone(),
        base_domain: settings.domain.clone(),
        website_domain: settings.website_domain.clone(),
    };
    Arc::new(Front(FrontService::with_admission(
        front,
        FrontParts {
            objects: Arc::new(objects),
            credentials: parts.credentials,
            health: Arc::new(FrontHealth(parts.app)),
            observer: Arc::new(parts.metrics),
            clock: parts.clock,
            random: parts.random,
        },
        parts.admission,
    )))
}

/// The S3 service, with its body as the port wants it.
struct Front(FrontService);

impl S3 for Front {
    fn call(&self, request: Request<Incoming>) -> Answering {
        let service = self.0.clone();
        Box::pin(async move {
            let response: Response<_> = service.answer(request).await;
            response.map(|body| -> Body { body.map_err(Into::into).boxed_unsync() })
        })
    }
}

/// Whether the process is ready, for the S3 service.
struct FrontHealth(Arc<App>);

impl strongroom_s3_front::Health for FrontHealth {
    fn ready(&self) -> bool {
        self.0.readable().is_ok()
    }

    fn ready_write(&self) -> bool {
        self.0.writable().is_ok()
    }
}

impl Observer for RequestMetrics {
    fn observed(&self, request: Observed) {
        self.answered(request.operation, request.status.as_u16(), request.duration);
    }
}

/// What the sentence about survival is made from: the zones that the superblocks list, the file
/// systems their folders are on, and the code of new blobs.
fn topology(settings: &Settings, store: &OpenStore, blobs: &ZoneBlobs) -> Topology {
    let code = blobs.code();
    let folders: Vec<(&str, &PathBuf)> = settings
        .zones
        .iter()
        .flat_map(|zone| {
            zone.folders
                .iter()
                .map(move |folder| (zone.name.as_str(), folder))
        })
        .collect();
    let known = folders
        .iter()
        .filter_map(|(_, folder)| device(folder))
        .max()
        .unwrap_or(0);
    // A disk that is not there now counts as one of its own, as it will be when it is.
    let mut unknown = known;
    let zones = store.zones.iter().map(|zone| {
        let mut devices: Vec<u64> = folders
            .iter()
            .filter(|(name, _)| *name == zone.name)
            .filter_map(|(_, folder)| device(folder))
            .collect();
        while devices.len() < zone.disks.len() {
            unknown = unknown.wrapping_add(1);
            devices.push(unknown);
        }
        ZoneTopology {
            name: zone.name.clone(),
            devices,
            shards_max: code.map_or(0, |code| code.shards_per_member),
        }
    });
    Topology {
        zones: zones.collect(),
        parity_shards: code.map_or(0, |code| code.parity_count),
    }
}

/// The file system a folder is on, as the kernel numbers it.
fn device(folder: &Path) -> Option<u64> {
    std::fs::metadata(folder)
        .ok()
        .map(|metadata| metadata.dev())
}

/// Whether blobs can be given full redundancy now, for the workers.
struct ZoneRedundancy {
    meta: Arc<LsmMeta>,
    blobs: Arc<ZoneBlobs>,
}

impl Redundancy for ZoneRedundancy {
    fn is_whole(&self) -> bool {
        self.meta.ready_write().is_ok() && self.blobs.is_whole()
    }
}

/// How many blobs have less redundancy than asked for.
fn reduced(objects: Objects) -> Figure<u64> {
    Figure::new("reduced figure", move || {
        futures::executor::block_on(objects.blobs_reduced()).ok()
    })
}

/// The store as the ports see it.
struct ZoneEngine {
    store: Store,
    meta: Arc<LsmMeta>,
    blobs: Arc<ZoneBlobs>,
    objects: Objects,
    spaces: Arc<DiskSpace>,
    changes: DiskChanges,
    reduced: Figure<u64>,
    swept: SweepFigures,
    workers: Mutex<Vec<Worker>>,
    packing: Packing,
    clock: Arc<dyn Clock>,
    hold_back: Duration,
}

impl ZoneEngine {
    fn disks(&self) -> &[Arc<DiskHandle>] {
        self.store.opened().disks.all()
    }

    fn zones(&self) -> Vec<ZoneStatus> {
        let members = self.meta.status().members;
        let in_log = |index: MemberIndex| {
            members
                .get(usize::from(index.0))
                .is_some_and(|m| m.in_service)
        };
        let mut zones: BTreeMap<usize, ZoneStatus> = BTreeMap::new();
        let layout = self.store.opened().disks.layout();
        let listed = layout.zones.iter().enumerate();
        let order: HashMap<&str, usize> = listed
            .map(|(index, zone)| (zone.name.as_str(), index))
            .collect();
        let moves = self.objects.moves();
        let logs = self.store.reader().log_disks();
        for disk in self.disks() {
            let index = order
                .get(disk.zone.as_str())
                .copied()
                .unwrap_or(order.len());
            let zone = zones.entry(index).or_insert_with(|| ZoneStatus {
                name: disk.zone.clone(),
                draining: (layout.zones.get(index))
                    .is_some_and(|zone| layout.is_zone_drained(zone)),
                ..ZoneStatus::default()
            });
            zone.in_service |= in_log(disk.member);
            zone.disks.push(DiskStatus {
                folder: disk.name.clone(),
                id: disk.id.to_string(),
                in_service: disk.in_service().is_some(),
                log: logs.contains(&disk.id),
                reason: disk.out_reason().map(|reason| reason.to_string()),
                bytes_free: None,
                bytes_total: None,
                drain: self.drain_of(disk, &moves),
            });
        }
        let mut zones: Vec<ZoneStatus> = zones.into_values().collect();
        for zone in zones.iter_mut().filter(|zone| !zone.in_service) {
            let disk = zone.disks.iter().find_map(|disk| disk.reason.clone());
            let waiting = || "its log is not caught up, or the store is not in service".to_owned();
            zone.reason = Some(disk.unwrap_or_else(waiting));
        }
        zones
    }
}

impl ZoneEngine {
    fn drain_of(&self, disk: &DiskHandle, moves: &Moves) -> Option<DrainStatus> {
        if !self.store.opened().disks.is_drained(disk.id) {
            return None;
        }
        let found = moves.drains.iter().find(|drain| drain.disk == disk.id.0);
        Some(
            found.map_or_else(DrainStatus::default, |drain| DrainStatus {
                segments_left: Some(drain.segments_left),
                bytes_left: Some(drain.bytes_left),
                bytes_moved: drain.bytes_moved,
                waits_for: (!drain.waits_for.is_empty()).then(|| drain.waits_for.clone()),
            }),
        )
    }

    /// What is moved between disks.
    #[allow(clippy::cast_precision_loss)]
    fn move_samples(&self) -> [Sample; 2] {
        let moves = self.objects.moves();
        let left: u64 = moves.drains.iter().map(|drain| drain.bytes_left).sum();
        let sample = |name, help, kind, value: u64| Sample {
            name,
            help,
            kind,
            labels: Vec::new(),
            value: value as f64,
        };
        [
            sample(
                "strongroom_drain_bytes_left",
                "Bytes of segments on disks that are drained.",
                SampleKind::Gauge,
                left,
            ),
            sample(
                "strongroom_moved_bytes_total",
                "Bytes of shards moved from one disk of a zone to another.",
                SampleKind::Counter,
                moves.bytes_moved,
            ),
        ]
    }
}

impl Engine for ZoneEngine {
    fn readable(&self) -> Result<(), String> {
        self.meta.ready()
    }

    fn writable(&self) -> Result<(), String> {
        self.meta.ready_write()
    }

    fn status(&self) -> EngineStatus {
        use std::sync::atomic::Ordering::Relaxed;
        let log = self.meta.status();
        let counters = &self.store.opened().disks.counters;
        EngineStatus {
            store_id: self.store.opened().store.to_string(),
            generation: log.generation,
            run: self.store.opened().run,
            log_position: log.acknowledged,
            commits: counters.commits.load(Relaxed),
            batches: counters.batches.load(Relaxed),
            log_syncs: counters.log_syncs.load(Relaxed),
            segment_syncs: counters.segment_syncs.load(Relaxed),
            blobs_reduced: self.reduced.read(),
            log_bytes: self.packing.log_size(),
            log_bytes_wanted: self.packing.log_size_wanted(),
            buried_seconds: self.swept.first().map(|first| {
                let now = self.clock.now().seconds();
                now.saturating_sub(first.seconds())
            }),
            hold_back_seconds: self.hold_back.as_secs(),
            lock_clock: self.meta.lock_time().map(lock_clock),
            zones: self.zones(),
        }
    }

    fn measure_space(&self, status: &mut EngineStatus) {
        for zone in &mut status.zones {
            for shown in zone.disks.iter_mut().filter(|disk| disk.in_service) {
                let found = self
                    .disks()
                    .iter()
                    .find(|disk| disk.id.to_string() == shown.id);
                let space = found.and_then(|disk| self.spaces.of(disk).read());
                (shown.bytes_free, shown.bytes_total) = space.unzip();
            }
        }
    }

    fn topology(&self) -> strongroom_admin_server::Topology {
        let disks = self
            .disks()
            .iter()
            .map(|disk| (disk.zone.as_str(), disk.name.as_str()));
        let layout = self.store.opened().disks.layout();
        let there = layout.zones.iter().filter(|zone| !zone.disks.is_empty());
        let zones = there.map(|zone| zone.name.as_str());
        devices::topology(&System::default(), self.blobs.code(), zones, disks)
    }

    fn replace_disk(&self, request: &ReplaceDiskRequest) -> Result<DiskJoined, ApiError> {
        let disks = &self.store.opened().disks;
        self.changes.replace(&self.meta, disks, request)
    }

    fn add_disk(&self, request: &AddDiskRequest) -> Result<DiskJoined, ApiError> {
        let disks = &self.store.opened().disks;
        self.changes.add(&self.meta, disks, request)
    }

    fn change_disk(
        &self,
        order: DiskOrder,
        request: &DiskRequest,
    ) -> Result<DiskChanged, ApiError> {
        let disks = &self.store.opened().disks;
        let change = |disk| match order {
            DiskOrder::Drain => DiskChange::Drain { disk },
            DiskOrder::Keep => DiskChange::Keep { disk },
            DiskOrder::Remove => DiskChange::Remove { disk },
        };
        self.changes
            .change(&self.meta, disks, &request.disk, change)
    }

    fn add_zone(&self, request: &AddZoneRequest) -> Result<ZoneChanged, ApiError> {
        let disks = &self.store.opened().disks;
        self.changes.add_zone(&self.meta, disks, request)
    }

    fn change_zone(
        &self,
        order: ZoneOrder,
        request: &ZoneRequest,
    ) -> Result<ZoneChanged, ApiError> {
        self.changes
            .change_zone(&self.meta, &self.store, order, &request.zone)
    }

    fn confirm_clock(&self, read: Timestamp) -> Result<LockClock, ApiError> {
        let time = self.meta.confirm_clock(read);
        time.map(lock_clock).map_err(disk_changes::refusal)
    }

    fn samples(&self) -> Vec<Sample> {
        let samples = self.store.opened().disks.counters.samples().into_iter();
        let samples = samples.map(|sample| Sample {
            name: sample.name,
            help: sample.help,
            kind: match sample.kind {
                strongroom_zones::SampleKind::Counter => SampleKind::Counter,
                strongroom_zones::SampleKind::Gauge => SampleKind::Gauge,
            },
            labels: Vec::new(),
            value: sample.value,
        });
        let samples = samples
            .chain(self.swept.samples())
            .chain(self.move_samples())
            .chain(lock_metrics::samples(
                self.objects.lock_counts(),
                self.meta.lock_time(),
            ));
        samples.chain(self.packing.samples()).collect()
    }

    fn stop(&self) {
        let workers = std::mem::take(&mut *self.workers.lock().expect("no holder panics"));
        for worker in workers {
            futures::executor::block_on(worker.stop());
        }
        self.packing.stop();
        self.meta.stop();
    }
}

fn lock_clock(time: LockTime) -> LockClock {
    LockClock {
        time_unix_seconds: time.time.seconds(),
        clock_unix_seconds: time.clock.seconds(),
        held: time.is_held,
    }
}
