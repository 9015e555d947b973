//! Trimming the log and copying views: what may go, what must stay, and what comes back afterwards.
//! Zones are a, b, c: disks 0, 1, 2.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use strongroom_base::{ManualClock, SeededRandom, Timestamp, tasks};
use strongroom_meta::{Error, ErrorKind, MetaStore, Trimmed, Write, transact};
use strongroom_meta_lsm::{LsmMeta, LsmSettings};
use strongroom_sim::{
    CrashPoint, Event, Fault, FaultKind, SimViews, SimWorld, Topology, scaled, second_view_of,
    sweep,
};
use strongroom_zones::{DiskId, OpenOptions, Store, Superblock, open};

const THREE: Topology = Topology::new(3, 1);
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
/// How long anything is waited for: far beyond what it takes.
const LIMIT: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(5);
const START: Timestamp = Timestamp(1_700_000_000_000_000_000);

/// A store that runs on simulated disks.
struct Machine {
    topology: Topology,
    world: SimWorld,
    views: Arc<SimViews>,
    meta: Arc<LsmMeta>,
}

impl Machine {
    fn start(world: &SimWorld, views: Arc<SimViews>, draw: u64) -> Self {
        Self::start_on(THREE, world, views, draw)
    }

    fn start_on(topology: Topology, world: &SimWorld, views: Arc<SimViews>, draw: u64) -> Self {
        let options = OpenOptions {
            member_wait: Duration::ZERO,
            // Small: a file holds some ten batches.
            log_file_size: 64 * 1024,
            ..OpenOptions::default()
        };
        let random = Arc::new(SeededRandom::new(world.seed() ^ draw));
        let store = Store::new(open(&topology.specs(world), options, random).unwrap());
        let settings = LsmSettings {
            health_interval: Duration::from_millis(10),
            ..LsmSettings::default()
        };
        let clock = Arc::new(ManualClock::new(START));
        let factory = Arc::clone(&views) as _;
        let meta = LsmMeta::start(&store, factory, clock, &settings, Arc::new(|_| {}));
        let world = world.clone();
        Self {
            topology,
            world,
            views,
            meta,
        }
    }

    fn new(seed: u64) -> Self {
        Self::new_on(THREE, seed)
    }

    fn new_on(topology: Topology, seed: u64) -> Self {
        let world = SimWorld::new(seed);
        let views = Arc::new(SimViews::new(&world));
        let machine = Self::start_on(topology, &world, views, 0);
        machine.meta.wait_ready(LIMIT).unwrap();
        machine
    }

    /// The views there are.
    fn views(&self) -> Vec<DiskId> {
        let disks = 0..self.topology.disk_count();
        let ids = disks.map(|disk| disk_id(&self.world, disk));
        let views = ids.flat_map(|id| [id, second_view_of(id)]);
        let is_there = |view: &DiskId| self.views.mark_of(*view).is_some();
        views.filter(is_there).collect()
    }

    /// The disks and views as a kill leaves them; nothing runs.
    fn killed(self) -> (SimWorld, SimViews) {
        let world = self.world.after_kill();
        let views = self.views.carried_to(&world);
        self.world.power_off();
        self.meta.stop();
        (world, views)
    }

    async fn put(&self, key: &str, value: &str) {
        self.write(plain(key, value)).await.unwrap();
    }

    async fn write(&self, write: Write) -> Result<(), Error> {
        let done: Result<(), ()> = transact(&*self.meta, Vec::new(), move |_| {
            Ok(Ok((vec![write.clone()], ())))
        })
        .await?;
        done.expect("it refuses nothing");
        Ok(())
    }

    /// Some forty batches: several log files.
    async fn fill(&self, round: u64) {
        for n in 0..40 {
            self.put(&format!("fill {n:02}"), &format!("round {round}"))
                .await;
        }
    }

    async fn trim(&self) -> Result<Trimmed, Error> {
        let newest = self.meta.log_extent().await?.newest;
        self.meta.trim(newest).await
    }

    /// Trims until something went.
    async fn trim_for_sure(&self) -> Trimmed {
        let mut last = String::new();
        let trimmed = wait_for("the log is trimmed", async || match self.trim().await {
            Ok(trimmed) if trimmed.bytes > 0 => Some(trimmed),
            other => {
                last = format!("{other:?}");
                None
            }
        });
        trimmed
            .await
            .unwrap_or_else(|| panic!("not trimmed: {last}"))
    }

    async fn value(&self, key: &str) -> Option<String> {
        let found = wait_for("a read is answered", async || {
            match self.meta.get(key.as_bytes()).await {
                Ok(found) => Some(found),
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
                    None
                }
            }
        });
        let found = found.await.expect("a read is answered");
        found.map(|record| String::from_utf8_lossy(&record.value).into_owned())
    }

    async fn check_fill(&self, round: u64) {
        for n in 0..40 {
            let expected = Some(format!("round {round}"));
            assert_eq!(self.value(&format!("fill {n:02}")).await, expected, "{n}");
        }
    }

    async fn first(&self) -> u64 {
        self.meta.log_extent().await.unwrap().first
    }

    /// Waits until every member is in service and the view on every disk reaches the log.
    async fn wait_whole(&self, disks: &[DiskId]) {
        let whole = wait_for("all is whole", async || {
            let first = self.meta.log_extent().await.ok()?.first;
            let status = self.meta.status();
            let in_service = status.members.iter().all(|member| member.in_service);
            let reaches = |id: &DiskId| self.views.mark_of(*id).is_some_and(|m| m + 1 >= first);
            (in_service && disks.iter().all(reaches)).then_some(())
        });
        whole.await.expect("all is whole");
    }
}

fn plain(key: &str, value: &str) -> Write {
    Write::Put {
        key: key.as_bytes().to_vec(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

fn inline(key: &str, content: &'static [u8]) -> Write {
    Write::PutInline {
        key: key.as_bytes().to_vec(),
        value: Bytes::new(),
        content: Bytes::from_static(content),
    }
}

async fn wait_for<T>(_what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let mut waited = Duration::ZERO;
    while waited < LIMIT {
        if let Some(found) = check().await {
            return Some(found);
        }
        tasks::sleep(STEP).await;
        waited += STEP;
    }
    None
}

fn disk_id(world: &SimWorld, disk: usize) -> DiskId {
    Superblock::read(&*world.disk(disk)).unwrap().disk
}

fn log_files(world: &SimWorld, disk: usize) -> Vec<String> {
    let files = world.list_files(disk).into_iter().map(|(name, _)| name);
    files.filter(|name| name.starts_with("log/")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trimmed_log_is_short_on_every_member_and_the_store_restarts_on_it() {
    let machine = Machine::new(1);
    machine.fill(1).await;
    machine.fill(2).await;
    let before = [A, B, C].map(|disk| log_files(&machine.world, disk).len());
    assert!(before.iter().all(|count| *count > 5), "{before:?}");
    let trimmed = machine.trim_for_sure().await;
    assert!(trimmed.first > 60, "{trimmed:?}");
    for disk in [A, B, C] {
        assert!(log_files(&machine.world, disk).len() < 4);
    }
    machine.check_fill(2).await;
    machine.fill(3).await;
    let (world, views) = machine.killed();
    let machine = Machine::start(&world, Arc::new(views), 1);
    machine.meta.wait_ready(LIMIT).unwrap();
    machine.check_fill(3).await;
    assert_eq!(machine.first().await, trimmed.first);
    machine.trim_for_sure().await;
    machine.fill(4).await;
    machine.check_fill(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h23_the_log_stays_while_a_view_differs_from_the_others_and_goes_when_it_was_made_anew() {
    for disk in [A, B, C] {
        let machine = Machine::new(2);
        machine.fill(1).await;
        machine.put("quiet", "here").await;
        machine.fill(2).await;
        // No checksum shows that a record is missing.
        let id = disk_id(&machine.world, disk);
        wait_for("the view has it", async || {
            (machine.views.mark_of(id)? > 60).then_some(())
        })
        .await
        .unwrap();
        machine.views.lose_record(id, b"quiet");
        let refused = machine.trim().await;
        assert!(refused.is_err(), "{refused:?}");
        assert_eq!(machine.first().await, 1);
        machine.trim_for_sure().await;
        assert_eq!(machine.value("quiet").await.as_deref(), Some("here"));
        machine.check_fill(2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h23_after_a_trim_a_zone_lost_and_a_view_that_rots_lose_nothing() {
    for (lost, rotten) in [(A, B), (A, C), (B, A), (B, C), (C, A), (C, B)] {
        let machine = Machine::new(3);
        machine.fill(1).await;
        machine.fill(2).await;
        machine.trim_for_sure().await;
        machine.put("after", "the trim").await;
        let (world, views) = machine.killed();
        let good = (0..3).find(|disk| ![lost, rotten].contains(disk)).unwrap();
        let ids = [rotten, good].map(|disk| disk_id(&world, disk));
        views.spoil(ids[0]);
        world.wipe_disk(lost);
        let machine = Machine::start(&world, Arc::new(views), 1);
        machine.meta.wait_ready(LIMIT).unwrap();
        machine.check_fill(2).await;
        assert_eq!(machine.value("after").await.as_deref(), Some("the trim"));
        machine.fill(3).await;
        // What rotted is found at the latest when the log is to be trimmed again; a copy of the
        // good one takes its place, and it is proven as every other.
        machine.trim_for_sure().await;
        let (world, views) = machine.killed();
        views.spoil(ids[1]);
        let machine = Machine::start(&world, Arc::new(views), 2);
        machine.meta.wait_ready(LIMIT).unwrap();
        machine.check_fill(3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h23_without_any_index_that_reaches_a_trimmed_log_the_store_refuses_and_removes_nothing() {
    let machine = Machine::new(4);
    machine.fill(1).await;
    let trimmed = machine.trim_for_sure().await;
    let (world, views) = machine.killed();
    let before: Vec<_> = (0..3).map(|disk| world.list_files(disk)).collect();
    let none = Arc::new(SimViews::new(&world));
    let without = Machine::start(&world, none, 1);
    let refused = wait_for("it refuses", async || {
        let why = without.meta.ready().expect_err("it must not serve");
        why.contains("begins at batch").then_some(why)
    });
    let refused = refused.await.expect("it says why");
    assert!(refused.contains(&trimmed.first.to_string()), "{refused}");
    without.meta.stop();
    drop(without);
    let logs = |files: &Vec<(String, u64)>| -> Vec<_> {
        let logs = files.iter().filter(|(name, _)| name.starts_with("log/"));
        logs.cloned().collect()
    };
    for (disk, before) in before.iter().enumerate() {
        assert_eq!(logs(&world.list_files(disk)), logs(before), "disk {disk}");
    }
    // The index comes back, and all is there.
    let machine = Machine::start(&world, Arc::new(views), 2);
    machine.meta.wait_ready(LIMIT).unwrap();
    machine.check_fill(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h24_the_log_is_trimmed_while_a_zone_is_away_and_the_zone_comes_back_by_copies() {
    let machine = Machine::new(5);
    machine.fill(1).await;
    let ids = [A, B, C].map(|disk| disk_id(&machine.world, disk));
    let away = machine.world.fault(Fault {
        disk: Some(C),
        kind: FaultKind::Vanished,
        ..Fault::default()
    });
    machine.fill(2).await;
    machine.fill(3).await;
    let trimmed = machine.trim_for_sure().await;
    assert!(trimmed.first > 80, "{trimmed:?}");
    machine.world.lift(away);
    machine.wait_whole(&ids).await;
    assert!(
        log_files(&machine.world, C).len() < 8,
        "its old log is gone"
    );
    machine.put("after", "it came back").await;
    // The zone that was away and one more are enough, and its view alone is.
    let (world, views) = machine.killed();
    world.wipe_disk(A);
    views.spoil(ids[B]);
    let machine = Machine::start(&world, Arc::new(views), 1);
    machine.meta.wait_ready(LIMIT).unwrap();
    machine.check_fill(3).await;
    assert_eq!(
        machine.value("after").await.as_deref(),
        Some("it came back")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn h24_a_blank_disk_in_place_of_a_lost_one_is_given_a_copied_view_and_the_retained_log() {
    let machine = Machine::new(6);
    machine.fill(1).await;
    machine.fill(2).await;
    machine.trim_for_sure().await;
    let (world, views) = machine.killed();
    // The disk is there and formatted, its view and its log are not.
    let id = disk_id(&world, B);
    for name in log_files(&world, B) {
        world.remove_file(B, &name).unwrap();
    }
    views.spoil(id);
    let machine = Machine::start(&world, Arc::new(views), 1);
    machine.meta.wait_ready(LIMIT).unwrap();
    machine.fill(3).await;
    machine.trim_for_sure().await;
    machine
        .wait_whole(&[A, B, C].map(|disk| disk_id(&machine.world, disk)))
        .await;
    machine.check_fill(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h25_inline_content_keeps_its_log_and_a_reader_that_comes_late_finds_it_gone() {
    let machine = Machine::new(7);
    machine.fill(1).await;
    let kept = inline("held", b"still needed");
    machine.write(kept).await.unwrap();
    let place = machine.meta.get(b"held").await.unwrap().unwrap().inline;
    let place = place.expect("it is inline");
    machine.fill(2).await;
    machine.fill(3).await;
    for _ in 0..3 {
        // What lies before it may go.
        let refused = machine.trim().await.expect_err("a record holds it");
        assert_eq!(refused.kind, ErrorKind::Unavailable);
        assert_eq!(machine.first().await, 1, "{refused}");
    }
    let before = wait_for("a trim below it", async || {
        machine.meta.trim(place.batch - 1).await.ok()
    });
    let before = before.await.expect("what lies before it may go");
    assert!(
        before.first > 1 && before.first <= place.batch,
        "{before:?}"
    );
    let content = machine.meta.inline_bytes(place).await.unwrap();
    assert_eq!(&content[..], b"still needed");
    machine.put("held", "moved elsewhere").await;
    let trimmed = machine.trim_for_sure().await;
    assert!(trimmed.first > place.batch, "{trimmed:?}");
    let late = machine.meta.inline_bytes(place).await;
    assert_eq!(late.expect_err("it is gone").kind, ErrorKind::NotFound);
    assert_eq!(
        machine.value("held").await.as_deref(),
        Some("moved elsewhere")
    );
}

/// One or two failure domains: each keeps two views.
const FEW: [Topology; 4] = [
    Topology::new(1, 1),
    Topology::new(1, 2),
    Topology::new(2, 1),
    Topology::new(2, 2),
];

#[tokio::test(flavor = "multi_thread")]
async fn h23_one_or_two_members_trim_their_log_and_any_one_view_of_theirs_may_rot() {
    for topology in FEW {
        let members = topology.member_count();
        for rotten in 0..2 * members {
            let machine = Machine::new_on(topology, 8);
            machine.fill(1).await;
            machine.fill(2).await;
            let trimmed = machine.trim_for_sure().await;
            assert!(trimmed.first > 60, "{trimmed:?}");
            machine.put("after", "the trim").await;
            let all = machine.views();
            assert_eq!(all.len(), 2 * members, "{topology:?}");
            let (world, views) = machine.killed();
            views.spoil(all[rotten]);
            let machine = Machine::start_on(topology, &world, Arc::new(views), 1);
            machine.meta.wait_ready(LIMIT).unwrap();
            machine.check_fill(2).await;
            assert_eq!(machine.value("after").await.as_deref(), Some("the trim"));
            machine.fill(3).await;
            // It is made anew before the log goes any further; then another may rot.
            machine.trim_for_sure().await;
            let (world, views) = machine.killed();
            views.spoil(all[(rotten + 1) % all.len()]);
            let machine = Machine::start_on(topology, &world, Arc::new(views), 2);
            machine.meta.wait_ready(LIMIT).unwrap();
            machine.check_fill(3).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h23_the_log_of_one_member_stays_while_its_two_views_differ() {
    let machine = Machine::new_on(FEW[0], 10);
    machine.fill(1).await;
    machine.put("quiet", "here").await;
    machine.fill(2).await;
    let view = machine.views()[1];
    let caught_up = wait_for("the view has it", async || {
        (machine.views.mark_of(view)? > 60).then_some(())
    });
    caught_up.await.unwrap();
    machine.views.lose_record(view, b"quiet");
    for _ in 0..3 {
        let refused = machine.trim().await.expect_err("they differ");
        assert_eq!(machine.first().await, 1, "{refused}");
    }
    let (world, views) = machine.killed();
    let machine = Machine::start_on(FEW[0], &world, Arc::new(views), 1);
    machine.meta.wait_ready(LIMIT).unwrap();
    assert!(machine.trim().await.is_err());
    assert_eq!(machine.first().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn h23_two_zones_trimmed_their_log_and_a_blank_disk_is_given_both_views() {
    let two = FEW[2];
    let machine = Machine::new_on(two, 11);
    machine.fill(1).await;
    machine.fill(2).await;
    machine.trim_for_sure().await;
    let (world, views) = machine.killed();
    let id = disk_id(&world, B);
    for name in log_files(&world, B) {
        world.remove_file(B, &name).unwrap();
    }
    views.spoil(id);
    views.spoil(second_view_of(id));
    let machine = Machine::start_on(two, &world, Arc::new(views), 1);
    machine.meta.wait_ready(LIMIT).unwrap();
    machine.check_fill(2).await;
    machine.fill(3).await;
    machine.trim_for_sure().await;
    machine.check_fill(3).await;
}

/// The key is about to be given the value; the key begun last has it.
#[derive(Debug)]
enum Told {
    Begun(String, String),
    Acknowledged,
    Serving,
}

async fn told(machine: &Machine, key: &str, value: &str) {
    let (key, value) = (key.to_owned(), value.to_owned());
    machine.world.mark(Told::Begun(key.clone(), value.clone()));
    machine.put(&key, &value).await;
    machine.world.mark(Told::Acknowledged);
}

async fn workload(topology: Topology) -> strongroom_sim::Trace {
    let machine = Machine::new_on(topology, 9);
    machine.world.mark(Told::Serving);
    for round in 0..3 {
        for n in 0..24 {
            told(
                &machine,
                &format!("k{:02}", n % 20),
                &format!("{round} {n}"),
            )
            .await;
        }
        machine.trim_for_sure().await;
    }
    for n in 0..5 {
        told(&machine, &format!("last {n}"), "value").await;
    }
    machine.meta.stop();
    machine.world.take_trace()
}

/// What each key may hold: the acknowledged value, or one that was begun after it.
fn expected(events: &[Event]) -> BTreeMap<String, Vec<Option<String>>> {
    let mut keys: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    let mut last = None;
    for told in events.iter().filter_map(Event::mark::<Told>) {
        match told {
            Told::Begun(key, value) => {
                let values = keys.entry(key.clone()).or_insert_with(|| vec![None]);
                values.push(Some(value.clone()));
                last = Some(key);
            }
            Told::Acknowledged => {
                let values = last.and_then(|key| keys.get_mut(key)).expect("begun");
                values.drain(..values.len() - 1);
            }
            Told::Serving => {}
        }
    }
    keys
}

/// After the power cut a zone may be gone too, and with it one more view rotten.
async fn check(topology: Topology, point: &CrashPoint) -> Result<(), String> {
    let world = point.world();
    let views = SimViews::after_power_cut(&world, point.events(), point.draw);
    let serving = point
        .events()
        .iter()
        .any(|event| event.mark::<Told>().is_some());
    if serving && topology.zones < 3 && point.draw % 4 < 3 {
        // One view of those that there may be.
        let disk = (point.draw >> 8) as usize % topology.disk_count();
        let view = disk_id(&world, disk);
        let second = (point.draw >> 16) & 1 == 1;
        views.spoil(if second { second_view_of(view) } else { view });
    }
    let zone = (point.draw >> 8) as usize % 3;
    if serving && topology.zones == 3 && !point.draw.is_multiple_of(4) {
        world.wipe_disk(zone);
        if point.draw % 4 == 1 {
            let other = (zone + 1 + (point.draw >> 16) as usize % 2) % 3;
            views.spoil(disk_id(&world, other));
        }
    }
    let machine = Machine::start_on(topology, &world, Arc::new(views), point.draw);
    (machine.meta.wait_ready(LIMIT)).map_err(|why| format!("does not serve: {why}"))?;
    for (key, values) in expected(point.events()) {
        let found = machine.value(&key).await;
        if !values.contains(&found) {
            return Err(format!("{key} is {found:?}, expected one of {values:?}"));
        }
    }
    machine.put("goes on", "yes").await;
    machine.meta.stop();
    Ok(())
}

fn replay(topology: Topology, points: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let trace = runtime.block_on(workload(topology));
    let report = sweep(&trace, scaled(points), |point| {
        runtime.block_on(check(topology, point))
    });
    println!(
        "trims of {} zones with {} disks: events {}, crash points {}, bad points {}",
        topology.zones,
        topology.disks,
        trace.events().len(),
        report.points,
        report.failures.len()
    );
    for failure in &report.failures {
        println!("  {failure}");
    }
    assert!(report.failures.is_empty());
}

#[test]
fn h23_h24_nothing_acknowledged_is_lost_when_the_power_goes_at_any_event_around_trims() {
    replay(THREE, 1500);
}

/// With one view spoiled at most of the points.
#[test]
fn h23_nothing_is_lost_when_the_power_goes_around_trims_of_one_or_two_members() {
    for topology in [FEW[0], FEW[1], FEW[2]] {
        replay(topology, 400);
    }
}
