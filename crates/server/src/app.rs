//! What the ports share: the store once it is open, and whether we are stopping.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use strongroom_admin_server::{
    AddDiskRequest, AddZoneRequest, ApiError, DiskChanged, DiskJoined, DiskOrder, DiskRequest,
    EngineStatus, ErrorCode, Health, LockClock, MetricSource, ReplaceDiskRequest, Sample, Status,
    StoreSource, Topology, UpkeepSource, ZoneChanged, ZoneOrder, ZoneRequest,
};
use strongroom_base::{Clock, Timestamp};
use strongroom_objects::Objects;

use crate::front::S3;
use crate::store_metrics::{UsageFigure, engine_samples, process_samples};
use crate::upkeep::ServerUpkeep;

/// The store as the ports see it.
pub trait Engine: Send + Sync + 'static {
    /// Whether reads are served, or why not. Must not block.
    ///
    /// # Errors
    /// The reason.
    fn readable(&self) -> Result<(), String>;
    /// Whether writes are acknowledged, or why not. Must not block.
    ///
    /// # Errors
    /// The reason.
    fn writable(&self) -> Result<(), String>;
    /// Its state without free space. May read the index, for a bounded time.
    fn status(&self) -> EngineStatus;
    /// Adds free space to `status`. May wait for disks, for a bounded time.
    fn measure_space(&self, status: &mut EngineStatus);
    /// Puts a blank disk in the place of a dead one. May wait for disks.
    ///
    /// # Errors
    /// What stands against it.
    fn replace_disk(&self, request: &ReplaceDiskRequest) -> Result<DiskJoined, ApiError>;
    /// Adds a blank disk to a zone. May wait for disks.
    ///
    /// # Errors
    /// What stands against it.
    fn add_disk(&self, request: &AddDiskRequest) -> Result<DiskJoined, ApiError>;
    /// Changes what a disk of the store is for. May wait for disks.
    ///
    /// # Errors
    /// What stands against it.
    fn change_disk(&self, order: DiskOrder, request: &DiskRequest)
    -> Result<DiskChanged, ApiError>;
    /// Adds a zone of blank disks. May wait for disks.
    ///
    /// # Errors
    /// What stands against it.
    fn add_zone(&self, request: &AddZoneRequest) -> Result<ZoneChanged, ApiError>;
    /// Changes what a zone of the store is for. May wait for disks.
    ///
    /// # Errors
    /// What stands against it.
    fn change_zone(&self, order: ZoneOrder, request: &ZoneRequest)
    -> Result<ZoneChanged, ApiError>;
    /// Believes the clock, for the time that an operator read. May wait for disks.
    ///
    /// # Errors
    /// What stands against it.
    fn confirm_clock(&self, read: Timestamp) -> Result<LockClock, ApiError>;
    /// What it stands on. Touches disks.
    fn topology(&self) -> Topology;
    /// Its figures. May wait for the index, for a bounded time.
    fn samples(&self) -> Vec<Sample>;
    /// Ends background work and records the acknowledged position. Called once, after the last
    /// request; may wait for disks.
    fn stop(&self);
}

/// A store in service.
pub struct Opened {
    pub engine: Arc<dyn Engine>,
    pub s3: Arc<dyn S3>,
    /// The domain, for the administration calls.
    pub objects: Objects,
    /// What buckets hold, for the metrics.
    pub usage: UsageFigure,
    /// Scrub and repair.
    pub upkeep: Arc<ServerUpkeep>,
    /// What the configuration survives, as a sentence.
    pub survives: String,
}

/// The process.
pub struct App {
    opened: OnceLock<Opened>,
    stopping: AtomicBool,
    clock: Arc<dyn Clock>,
}

impl App {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            opened: OnceLock::new(),
            stopping: AtomicBool::new(false),
            clock,
        }
    }

    /// Puts the store into service. Later calls do nothing.
    pub fn open(&self, opened: Opened) {
        let _ = self.opened.set(opened);
    }

    /// From now on the process is not ready, so that load balancers send requests elsewhere.
    pub fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// The store, once it is open.
    #[must_use]
    pub fn opened(&self) -> Option<&Opened> {
        self.opened.get()
    }

    /// The S3 service, once the store is open.
    #[must_use]
    pub fn s3(&self) -> Option<&Arc<dyn S3>> {
        self.opened.get().map(|opened| &opened.s3)
    }

    fn engine(&self) -> Result<&dyn Engine, ApiError> {
        let opening = || ApiError::new(ErrorCode::Unavailable, "the store is being opened");
        self.opened()
            .map(|opened| &*opened.engine)
            .ok_or_else(opening)
    }

    fn ask(&self, ask: impl Fn(&dyn Engine) -> Result<(), String>) -> Result<(), String> {
        if self.stopping.load(Ordering::Acquire) {
            return Err("the server is stopping".to_owned());
        }
        match self.opened.get() {
            Some(opened) => ask(&*opened.engine),
            None => Err("the store is being opened".to_owned()),
        }
    }
}

impl Health for App {
    fn readable(&self) -> Result<(), String> {
        self.ask(Engine::readable)
    }

    fn writable(&self) -> Result<(), String> {
        self.ask(Engine::writable)
    }
}

impl StoreSource for App {
    fn objects(&self) -> Option<Objects> {
        self.opened.get().map(|opened| opened.objects.clone())
    }

    fn upkeep(&self) -> Option<Arc<dyn UpkeepSource>> {
        self.opened
            .get()
            .map(|opened| Arc::clone(&opened.upkeep) as _)
    }

    fn topology(&self) -> Option<Topology> {
        let opened = self.opened.get()?;
        Some(Topology {
            time_unix_seconds: self.clock.now().seconds(),
            ..opened.engine.topology()
        })
    }

    fn replace_disk(&self, request: &ReplaceDiskRequest) -> Result<DiskJoined, ApiError> {
        self.engine()?.replace_disk(request)
    }

    fn add_disk(&self, request: &AddDiskRequest) -> Result<DiskJoined, ApiError> {
        self.engine()?.add_disk(request)
    }

    fn change_disk(
        &self,
        order: DiskOrder,
        request: &DiskRequest,
    ) -> Result<DiskChanged, ApiError> {
        self.engine()?.change_disk(order, request)
    }

    fn add_zone(&self, request: &AddZoneRequest) -> Result<ZoneChanged, ApiError> {
        self.engine()?.add_zone(request)
    }

    fn change_zone(
        &self,
        order: ZoneOrder,
        request: &ZoneRequest,
    ) -> Result<ZoneChanged, ApiError> {
        self.engine()?.change_zone(order, request)
    }

    fn confirm_clock(&self, read: Timestamp) -> Result<LockClock, ApiError> {
        self.engine()?.confirm_clock(read)
    }

    fn status(&self) -> Status {
        let (readable, writable) = (self.readable(), self.writable());
        let opened = self.opened.get();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.clock.monotonic().as_secs(),
            readable: readable.is_ok(),
            writable: writable.is_ok(),
            reason: readable.err().or(writable.err()),
            survives: opened
                .map(|opened| opened.survives.clone())
                .unwrap_or_default(),
            store: opened.map(|opened| {
                let mut status = opened.engine.status();
                opened.engine.measure_space(&mut status);
                status
            }),
        }
    }
}

impl MetricSource for App {
    fn samples(&self) -> Vec<Sample> {
        let status = self.status();
        let mut samples = process_samples(&status);
        if let Some(store) = &status.store {
            samples.extend(engine_samples(store));
        }
        if let Some(opened) = self.opened.get() {
            samples.extend(opened.engine.samples());
            samples.extend(opened.usage.samples());
            samples.extend(opened.upkeep.samples());
        }
        samples
    }
}
