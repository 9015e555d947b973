//! A simulated machine whose store runs, and whose power, disks and zones go away and come back.

// Each test uses a part of it.
#![allow(dead_code)]

pub mod client;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use strongroom_base::{ManualClock, SeededRandom, Timestamp, tasks};
use strongroom_meta::{MetaStore, Transaction, Write};
use strongroom_objects::Objects;
use strongroom_objects::testing::model_settings;
use strongroom_sim::{
    DiskImage, Engine, EngineParts, Fault, FaultId, FaultKind, OpKind, SimViews, SimWorld,
    Topology, Variant,
};

/// How long anything is waited for. Far beyond what it takes: a busy machine must not fail a test.
const LIMIT: Duration = Duration::from_secs(60);
/// How long a disk that failed is waited for before a restart brings it back: it is looked at again
/// ever more rarely.
const PATIENCE: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(5);
/// When it all begins: some day.
const START: Timestamp = Timestamp(1_700_000_000_000_000_000);
/// No record has this key.
const NO_KEY: &[u8] = &[0xff, 0xff];

/// How a run of the store ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Asked to stop.
    Stop,
    /// As by `kill -9`: what was written is there, synced or not.
    Kill,
    /// What was not synced may be lost, torn or there. The number picks how.
    PowerCut(u64),
}

/// How disks go away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// Their folders are gone; nobody waits for the store to notice.
    Vanish,
    /// Blank ones are in their place until they return.
    Wipe,
    /// Whatever is written to them cannot be synced.
    SyncFails,
}

/// Disks that are away.
struct Away {
    disks: Range<usize>,
    how: How,
}

enum How {
    Fault(FaultKind, OpKind, Vec<FaultId>),
    Wiped(Vec<DiskImage>),
    /// One rule of a test's own.
    Rule(Fault, FaultId),
}

pub struct Machine {
    pub topology: Topology,
    pub world: SimWorld,
    seed: u64,
    starts: u64,
    clock: Arc<ManualClock>,
    views: Arc<SimViews>,
    engine: Option<Engine>,
    away: Vec<Away>,
}

impl Machine {
    /// A new store that serves.
    pub async fn new(topology: Topology, seed: u64) -> Self {
        Self::on(SimWorld::new(seed), topology, seed).await
    }

    /// The store that is on the disks of `world`, or a new one when they are blank.
    pub async fn on(world: SimWorld, topology: Topology, seed: u64) -> Self {
        let mut machine = Self::stopped(world, topology, seed);
        machine.start().await;
        machine
    }

    /// As [`Self::on`], when the power may go meanwhile: an engine that was started, if it was.
    pub async fn try_on(world: SimWorld, topology: Topology, seed: u64) -> Option<Engine> {
        let mut machine = Self::stopped(world, topology, seed);
        let parts = machine.parts();
        let engine = Engine::start(&machine.world, topology, &parts).ok()?;
        let mut waited = Duration::ZERO;
        while engine.meta.ready_write().is_err() && !machine.world.is_off() && waited < LIMIT {
            machine.pause().await;
            waited += STEP;
        }
        Some(engine)
    }

    fn stopped(world: SimWorld, topology: Topology, seed: u64) -> Self {
        Self {
            topology,
            views: Arc::new(SimViews::new(&world)),
            world,
            seed,
            starts: 0,
            clock: Arc::new(ManualClock::new(START)),
            engine: None,
            away: Vec::new(),
        }
    }

    /// Another machine with the same disks, started as after `kill -9`. `number` makes it draw
    /// ids of its own.
    pub async fn fork(&self, number: u64) -> Self {
        let views = self.views.carried_to(&SimWorld::new(0));
        let world = self.world.after_kill();
        world.start_trace();
        let mut fork = Self {
            topology: self.topology,
            views: Arc::new(views.carried_to(&world)),
            world,
            seed: self.seed,
            starts: number << 16,
            clock: Arc::clone(&self.clock),
            engine: None,
            away: Vec::new(),
        };
        fork.start().await;
        fork
    }

    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it runs")
    }

    /// The domain, with small parts allowed. Time moves a little whenever it is asked for.
    pub fn objects(&self) -> Objects {
        self.clock.advance(Duration::from_millis(20));
        let engine = self.engine();
        Objects::new(
            Arc::clone(&engine.meta) as _,
            Arc::clone(&engine.blobs) as _,
            Arc::clone(&self.clock) as _,
            self.random(1),
            model_settings(),
        )
    }

    /// Never the same twice: ids drawn before a restart must not be drawn again.
    fn random(&self, use_number: u64) -> Arc<SeededRandom> {
        let start = self.starts << 8 | use_number;
        Arc::new(SeededRandom::new(
            self.seed ^ start.wrapping_mul(0x9E37_79B9),
        ))
    }

    pub fn is_anything_away(&self) -> bool {
        !self.away.is_empty()
    }

    /// What the next start is made of.
    fn parts(&mut self) -> EngineParts {
        self.starts += 1;
        EngineParts {
            hang_limit: strongroom_sim::hang_limit(),
            views: Arc::clone(&self.views) as _,
            clock: Arc::clone(&self.clock) as _,
            random: self.random(0),
        }
    }

    /// Starts the store and waits until it takes writes.
    async fn start(&mut self) {
        let parts = self.parts();
        let engine = Engine::start(&self.world, self.topology, &parts);
        self.engine = Some(engine.expect("the store opens"));
        self.wait_for("writes are taken after a start", |engine| {
            engine.meta.ready_write()
        })
        .await;
    }

    /// Ends the run and starts again on what it left; what is away stays away.
    pub async fn restart(&mut self, end: End) {
        self.end(end);
        self.start().await;
    }

    fn end(&mut self, end: End) {
        let engine = self.engine.take().expect("it runs");
        let world = match end {
            End::Stop => {
                engine.meta.stop();
                self.world.after_kill()
            }
            End::Kill => self.world.after_kill(),
            End::PowerCut(draw) => {
                self.world.power_off();
                let states = self.world.crash_states(draw);
                let variants = states.variants();
                // The harshest every third time.
                let variant = match draw % 3 {
                    0 => Variant::OnlySynced,
                    _ => variants[(draw >> 8) as usize % variants.len()],
                };
                states.build(variant)
            }
        };
        world.start_trace();
        let views = match end {
            End::PowerCut(draw) => {
                let trace = self.world.take_trace();
                SimViews::after_power_cut(&world, trace.events(), draw).carried_to(&world)
            }
            _ => self.views.carried_to(&world),
        };
        // The old run may go on for a moment: on the old disks.
        self.world.power_off();
        drop(engine);
        self.world = world;
        self.views = Arc::new(views);
        for away in &mut self.away {
            match &mut away.how {
                How::Fault(kind, op, ids) => {
                    *ids = fault(&self.world, &away.disks, *kind, *op);
                }
                How::Rule(rule, id) => *id = self.world.fault(rule.clone()),
                How::Wiped(_) => {}
            }
        }
    }

    /// As [`Self::restart`], with every index view gone.
    pub async fn restart_without_views(&mut self, end: End) {
        self.end(end);
        self.views = Arc::new(SimViews::new(&self.world));
        self.start().await;
    }

    /// Makes one disk misbehave, over restarts too, until [`Self::return_all`].
    pub fn misbehave(&mut self, rule: Fault) {
        let disk = rule.disk.expect("one disk");
        let how = How::Rule(rule.clone(), self.world.fault(rule));
        let disks = disk..disk + 1;
        self.away.push(Away { disks, how });
    }

    /// Whether a rule of [`Self::misbehave`] met a call; true when there is none.
    pub fn struck(&self) -> bool {
        let mut rules = self.away.iter().filter_map(|away| match &away.how {
            How::Rule(_, id) => Some(*id),
            _ => None,
        });
        rules.all(|id| self.world.strike_count(id) > 0)
    }

    /// Has [`Self::return_all`] put `image` on the disk.
    pub fn comes_back_as(&mut self, disk: usize, image: DiskImage) {
        let (disks, how) = (disk..disk + 1, How::Wiped(vec![image]));
        self.away.push(Away { disks, how });
    }

    /// Swaps the disk for what `image` holds until [`Self::return_all`].
    pub fn exchange(&mut self, disk: usize, image: &DiskImage) {
        let how = How::Wiped(vec![self.world.snapshot(disk)]);
        self.world.restore(disk, image);
        let disks = disk..disk + 1;
        self.away.push(Away { disks, how });
    }

    /// Takes disks away while the store runs. The next request is the first to notice.
    pub fn lose(&mut self, disks: Range<usize>, loss: Loss) {
        let world = &self.world;
        let by_fault = |kind, op| How::Fault(kind, op, fault(world, &disks, kind, op));
        let how = match loss {
            Loss::Vanish => by_fault(FaultKind::Vanished, OpKind::Any),
            Loss::SyncFails => by_fault(FaultKind::Eio, OpKind::Sync),
            Loss::Wipe => How::Wiped(
                disks
                    .clone()
                    .map(|disk| {
                        let image = world.snapshot(disk);
                        world.wipe_disk(disk);
                        image
                    })
                    .collect(),
            ),
        };
        self.away.push(Away { disks, how });
    }

    /// Takes disks away between two runs.
    pub async fn lose_over_restart(&mut self, all: Vec<Range<usize>>, loss: Loss, end: End) {
        self.end(end);
        for disks in all {
            self.lose(disks, loss);
        }
        self.start().await;
    }

    /// Waits until disks are seen to be out.
    pub async fn wait_out(&mut self, disks: Range<usize>) {
        let names: Vec<String> = disks.map(|disk| self.name_of(disk)).collect();
        self.wait_for("the loss is noticed", move |engine| {
            let all = engine.store.opened().disks.all();
            let seen = all.iter().filter(|disk| names.contains(&disk.name));
            match seen.filter(|disk| disk.in_service().is_some()).count() {
                0 => Ok(()),
                count => Err(format!("{count} disks are still in service")),
            }
        })
        .await;
    }

    fn name_of(&self, disk: usize) -> String {
        let spec = self.topology.specs(&self.world).swap_remove(disk);
        spec.name
    }

    fn restore(&mut self) {
        for away in self.away.drain(..) {
            match away.how {
                How::Fault(_, _, ids) => ids.into_iter().for_each(|id| self.world.lift(id)),
                How::Rule(_, id) => self.world.lift(id),
                How::Wiped(images) => {
                    for (disk, image) in away.disks.zip(&images) {
                        self.world.restore(disk, image);
                    }
                }
            }
        }
    }

    /// Brings everything back that is away, and waits for nothing.
    pub fn bring_back(&mut self) {
        self.restore();
    }

    /// Brings everything back that is away, and waits until it is caught up.
    pub async fn return_all(&mut self) {
        self.restore();
        if !self.is_whole_within(PATIENCE).await {
            self.restart(End::Stop).await;
        }
        self.wait_whole().await;
    }

    /// As [`Self::return_all`], between two runs.
    pub async fn return_all_over_restart(&mut self, end: End) {
        self.end(end);
        self.restore();
        self.start().await;
        self.wait_whole().await;
    }

    /// Waits until every disk and member is in service.
    pub async fn wait_whole(&self) {
        self.wait_for("everything is in service", whole).await;
    }

    /// Whether every disk and member is in service before `limit` passes.
    pub async fn is_whole_within(&self, limit: Duration) -> bool {
        let mut waited = Duration::ZERO;
        while whole(self.engine()).is_err() && waited < limit {
            self.pause().await;
            waited += STEP;
        }
        whole(self.engine()).is_ok()
    }

    async fn pause(&self) {
        tasks::sleep(STEP).await;
        self.clock.advance(STEP);
    }

    async fn wait_for(&self, what: &str, check: impl Fn(&Engine) -> Result<(), String>) {
        let mut waited = Duration::ZERO;
        while let Err(why) = check(self.engine()) {
            assert!(
                waited < LIMIT,
                "waiting until {what}: {why}; {}",
                self.state()
            );
            self.pause().await;
            waited += STEP;
        }
    }

    /// For messages: what is away, and what the store thinks of it.
    fn state(&self) -> String {
        let away = self.away.iter().map(|away| {
            let how = match &away.how {
                How::Fault(kind, op, _) => format!("{kind:?} {op:?}"),
                How::Wiped(_) => "wiped".to_owned(),
                How::Rule(rule, _) => format!("{rule:?}"),
            };
            format!("{:?} {how}", away.disks)
        });
        let engine = self.engine();
        let disks = engine.store.opened().disks.all();
        let out = disks.iter().filter_map(|disk| {
            let reason = disk.out_reason()?;
            Some(format!("{} {reason}", disk.name))
        });
        format!(
            "{} seed {}; away: {:?}; out: {:?}; {:?}",
            self.topology,
            self.seed,
            away.collect::<Vec<_>>(),
            out.collect::<Vec<_>>(),
            engine.meta.status()
        )
    }

    /// Commits until a commit succeeds: after losses that stall the log for a moment.
    pub async fn wait_commits(&self) {
        let mut waited = Duration::ZERO;
        while let Err(why) = self.commit_nothing().await {
            assert!(
                waited < LIMIT,
                "waiting until commits succeed: {why}; {}",
                self.state()
            );
            self.pause().await;
            waited += STEP;
        }
    }

    /// A commit that changes nothing.
    async fn commit_nothing(&self) -> Result<(), String> {
        let transaction = Transaction {
            decide: Box::new(|_| {
                let key = NO_KEY.to_vec();
                Ok(Some(vec![Write::Delete { key }]))
            }),
            durable: Vec::new(),
        };
        let done = self.engine().meta.transact(transaction).await;
        done.map_err(|error| error.to_string())
    }
}

fn fault(world: &SimWorld, disks: &Range<usize>, kind: FaultKind, op: OpKind) -> Vec<FaultId> {
    let rule = |disk| Fault {
        disk: Some(disk),
        kind,
        op,
        ..Fault::default()
    };
    disks.clone().map(|disk| world.fault(rule(disk))).collect()
}

fn whole(engine: &Engine) -> Result<(), String> {
    let disks = engine.store.opened().disks.all();
    for disk in disks {
        if let Some(reason) = disk.out_reason() {
            return Err(format!("{} is {reason}", disk.name));
        }
    }
    let status = engine.meta.status();
    match status.members.iter().find(|member| !member.in_service) {
        Some(member) => Err(format!("member {} is out", member.name)),
        None => engine.meta.ready_write(),
    }
}
