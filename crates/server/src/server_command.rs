//! `strongroom server`: start, serve, drain, stop.
//!
//! The folders are locked first, then the ports are bound, so that a wrong address is told before
//! any disk is written, and so that health routes answer while recovery waits for a zone. The S3 port answers 503 until the
//! store is open. A stop drains the S3 port, then stops the store, then closes the administration
//! port: what is going on can be watched to the end. SIGHUP reads again what may be replaced
//! meanwhile.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::service::TowerToHyperService;
use prometheus::Registry;
use strongroom_admin_server::{Admin, AdminService, Health, RootCredentials, router};
use strongroom_base::{Clock, Random, SystemClock, SystemRandom, tasks};
use strongroom_s3_front::{Admission, SharedCredentials};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::Failure;
use crate::access_log::{self, AccessLog};
use crate::admission_metrics::AdmissionMetrics;
use crate::app::App;
use crate::cli::ServerFlags;
use crate::credentials::{self, Source};
use crate::front::Front;
use crate::logging;
use crate::ports::{Ports, fit_connections};
use crate::reload;
use crate::request_metrics::RequestMetrics;
use crate::screen::{Place, Screen};
use crate::settings::{Accounts, Settings, process_environment};
use crate::tls::{self, Development};
use crate::wire::{self, Parts};
use crate::zone_locks;

/// How often a start looks whether reads are served.
const READY_POLL: Duration = Duration::from_millis(5);
/// After this long a start says what it waits for.
const READY_PATIENCE: Duration = Duration::from_secs(2);
/// How long the administration port may take to close, once all else has stopped.
const ADMIN_DRAIN_DEADLINE: Duration = Duration::from_secs(1);

/// Runs the command until the process is told to stop.
///
/// # Errors
/// Wrong settings, an address in use, a store that cannot be opened.
pub fn run(flags: ServerFlags) -> Result<(), Failure> {
    let environment = process_environment();
    let mut settings = Settings::resolve(flags.settings, flags.config.as_deref(), &environment)?;
    logging::start(&settings);
    let given = credentials::check_given(&settings, &environment)?;
    let accounts = Accounts::of(settings.config.as_deref())?;
    if let Some(root) = given {
        accounts.credentials(&root)?;
    }
    fit_connections(&mut settings, strongroom_base::raise_descriptor_limit());
    let locks = zone_locks::lock(&settings.zones).map_err(Failure::Run)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Run(format!("cannot start threads: {error}")))?;
    let outcome = runtime.block_on(Server::start_and_serve(settings, accounts, &environment));
    // Threads that wait for a hung disk must not keep the process: what was acknowledged is durable.
    runtime.shutdown_background();
    drop(locks);
    outcome
}

/// What the parts of a start share.
struct Server {
    settings: Settings,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    app: Arc<App>,
    root: RootCredentials,
    source: Source,
    credentials: Arc<SharedCredentials>,
    admission: Arc<Admission>,
    access_log: Option<Arc<AccessLog>>,
}

impl Server {
    async fn start_and_serve(
        settings: Settings,
        accounts: Accounts,
        environment: &crate::settings::Environment,
    ) -> Result<(), Failure> {
        let mut signals = Signals::new()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let registry = Registry::new();
        let metrics = RequestMetrics::new(&registry);
        let ports = Ports::bind(&settings, &registry, &metrics, &*clock).await?;
        let (root, source) = credentials::load(&settings, environment, Some(&*random))?;
        let credentials = Arc::new(SharedCredentials::new(accounts.credentials(&root)?));
        let app = Arc::new(App::new(Arc::clone(&clock)));
        let admission = Admission::new(settings.limits);
        AdmissionMetrics::register(&registry, Arc::clone(&admission));
        let access_log = settings.access_log.as_deref();
        let access_log = access_log
            .map(|path| AccessLog::open(path, Arc::clone(&clock), &registry))
            .transpose()
            .map_err(Failure::Run)?;
        let server = Self {
            settings,
            clock,
            random,
            app,
            root,
            source,
            credentials,
            admission,
            access_log,
        };
        server.serve(ports, registry, metrics, &mut signals).await
    }

    async fn serve(
        self,
        ports: Ports,
        registry: Registry,
        metrics: RequestMetrics,
        signals: &mut Signals,
    ) -> Result<(), Failure> {
        let (stop_s3, stopped_s3) = watch::channel(false);
        let (stop_admin, stopped_admin) = watch::channel(false);
        let hang_ups = hang_ups()?;
        tasks::spawn(self.reload_accounts(hang_ups.clone()));
        tasks::spawn(tls::reload_for_ever(ports.certificates, hang_ups.clone()));
        if let Some(log) = &self.access_log {
            tasks::spawn(access_log::reopen_for_ever(
                Arc::clone(log),
                hang_ups.clone(),
            ));
        }
        let (port, admin) = (ports.s3, ports.admin);
        let places = (Place::of(&port), Place::of(&admin));
        let admin_service = self.admin_service(registry);
        let admin = tasks::spawn(admin.serve(admin_service, stopped_admin, ADMIN_DRAIN_DEADLINE));
        let front = Front::new(
            Arc::clone(&self.app),
            metrics.clone(),
            Arc::clone(&self.random),
            self.access_log.clone(),
            self.settings.body_idle_max,
        );
        let s3 = tasks::spawn(port.serve(front, stopped_s3, self.settings.drain_deadline));

        tokio::select! {
            opened = self.open_store(metrics) => opened?,
            () = signals.next() => {
                tracing::info!("told to stop before the store was open");
                return Ok(());
            }
        }
        tokio::select! {
            () = self.wait_readable() => {
                self.show(places);
                signals.next().await;
            }
            () = signals.next() => {}
        }
        tracing::info!("told to stop, draining");
        self.app.begin_stop();
        let _ = stop_s3.send(true);
        tokio::select! {
            cut = s3 => match cut {
                Ok(0) => {}
                cut => {
                    let connections = cut.unwrap_or(0);
                    tracing::warn!(connections, "requests were cut at the drain deadline");
                }
            },
            () = signals.next() => tracing::warn!("told to stop again, requests are cut"),
        }
        if let Some(log) = self.access_log.clone() {
            tasks::blocking(move || log.close()).await;
        }
        self.stop_store().await;
        let _ = stop_admin.send(true);
        let _ = admin.await;
        tracing::info!("stopped");
        Ok(())
    }

    /// Follows SIGHUP, if there is a file that accounts can be read from.
    fn reload_accounts(
        &self,
        hang_ups: watch::Receiver<u64>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let file = self.settings.config.clone();
        let (root, credentials) = (self.root.clone(), Arc::clone(&self.credentials));
        reload::accounts_for_ever(file, root, credentials, hang_ups)
    }

    /// Opens the store on a thread that may block, and puts it into service.
    async fn open_store(&self, metrics: RequestMetrics) -> Result<(), Failure> {
        let settings = self.settings.clone();
        let parts = Parts {
            credentials: Arc::clone(&self.credentials),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            app: Arc::clone(&self.app),
            metrics,
            admission: Arc::clone(&self.admission),
        };
        let opened = tasks::blocking(move || wire::open(&settings, parts)).await;
        self.app.open(opened.map_err(Failure::Run)?);
        Ok(())
    }

    /// Waits until reads are served, and logs why they are not whenever that changes.
    async fn wait_readable(&self) {
        let mut shown = String::new();
        let mut waited = Duration::ZERO;
        while let Err(reason) = self.app.readable() {
            if waited >= READY_PATIENCE && reason != shown {
                tracing::warn!(%reason, "not ready yet");
                shown = reason;
            }
            tasks::sleep(READY_POLL).await;
            waited += READY_POLL;
        }
    }

    async fn stop_store(&self) {
        if let Some(opened) = self.app.opened() {
            let engine = Arc::clone(&opened.engine);
            let stop = tasks::blocking(move || engine.stop());
            if tasks::timeout(self.settings.drain_deadline, stop)
                .await
                .is_err()
            {
                tracing::warn!("the store did not stop in time; the next start recovers");
            }
        }
    }

    fn show(&self, (s3, admin): (Place, Place)) {
        let survives = self
            .app
            .opened()
            .map_or("", |opened| opened.survives.as_str());
        let is_new = matches!(self.source, Source::Generated(_));
        let secret = (is_new && std::io::stdout().is_terminal())
            .then_some((self.root.access_key.as_str(), self.root.secret_key.as_str()));
        let screen = Screen {
            s3,
            admin,
            authority: self
                .settings
                .tls
                .development
                .as_ref()
                .map(Development::authority),
            region: &self.settings.region,
            source: &self.source,
            secret,
            survives,
            reads_only: self.app.writable().err(),
        };
        let mut out = std::io::stdout();
        let _ = out.write_all(screen.text().as_bytes());
        let _ = out.flush();
        let (address, admin_address) = (s3.address, admin.address);
        tracing::info!(%address, %admin_address, tls = s3.tls, survives, "serving");
    }

    fn admin_service(&self, registry: Registry) -> TowerToHyperService<axum::Router> {
        let api = AdminService::new(Arc::clone(&self.app) as _, Arc::clone(&self.clock));
        TowerToHyperService::new(router(Admin {
            health: Arc::clone(&self.app) as _,
            api: Arc::new(api),
            registry,
            metrics: Arc::clone(&self.app) as _,
            root: self.root.clone(),
            metrics_open: self.settings.metrics_open,
        }))
    }
}

/// A number that grows with each SIGHUP, which would end the process if nobody waited for it.
fn hang_ups() -> Result<watch::Receiver<u64>, Failure> {
    let mut signals = signal_of(SignalKind::hangup())?;
    let (sender, receiver) = watch::channel(0);
    tasks::spawn(async move {
        while signals.recv().await.is_some() {
            sender.send_modify(|count| *count += 1);
        }
    });
    Ok(receiver)
}

fn signal_of(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::Run(format!("cannot wait for signals: {error}")))
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            terminate: signal_of(SignalKind::terminate())?,
            interrupt: signal_of(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
