//! T9: the commit engine in schedules that a scheduler picks: clients, the committer, its log writers,
//! followers of views, looks at disks, a zone that fails and comes back; cut short by a power cut, and
//! then recovery, in schedules as well.
//!
//! All threads are Shuttle's (feature `shuttle` of strongroom-base): one runs at a time, and at each lock,
//! channel or atomic another may go on. A schedule in which nothing can go on is a deadlock and fails.
//!
//! Invariants that are checked
//! - Whoever reads sees all of each transaction or nothing, nothing older than what was acknowledged before
//!   the read began, and nothing that was not begun.
//! - After the power cut the same holds of what recovery finds, inline content too, and the store goes on.

#![cfg(feature = "shuttle")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use shuttle::Runner;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use strongroom_base::{ManualClock, SeededRandom, Timestamp, tasks};
use strongroom_meta::{Error, ErrorKind, MetaStore, Record, Transaction, Write};
use strongroom_meta_lsm::{LsmMeta, LsmSettings};
use strongroom_sim::{Fault, OpKind, SimViews, SimWorld, Topology, print_figure};
use strongroom_zones::{OpenOptions, Store, open};

const START: Timestamp = Timestamp(1_700_000_000_000_000_000);
const ZONES: usize = 3;
/// Counters: each is two records that change together.
const COUNTERS: usize = 2;
const WRITERS: usize = 3;
const WRITES: usize = 3;
const READS: usize = 4;
/// Changes of disks before the power goes at most: beyond what all writers make.
const CHANGES_MAX: u64 = 120;
/// Turns a zone keeps well, or ill, at most.
const TURNS_MAX: usize = 60;
/// In turns of the scheduler, not in time: far beyond what a start takes.
const READY_LIMIT: Duration = Duration::from_secs(3600);
/// Turns between two requests of a client at most.
const PAUSE_MAX: usize = 30;
/// Never: time passes by turns here, and a disk that waits for many of them does not hang.
const HANG_LIMIT: Duration = Duration::from_secs(1_000_000);
/// Decisions and recoveries lie on the stack of their thread.
const STACK_SIZE_BYTES: usize = 512 * 1024;

/// What clients know of a counter.
#[derive(Clone, Copy, Default, Debug)]
struct Known {
    begun: u64,
    acknowledged: u64,
}

type Ledger = Arc<Mutex<[Known; COUNTERS]>>;

fn known(ledger: &Ledger, counter: usize) -> Known {
    ledger.lock().unwrap()[counter]
}

fn content(counter: usize, number: u64) -> Bytes {
    format!("{counter}:{number};").repeat(20).into()
}

fn prefix(counter: usize) -> Vec<u8> {
    format!("counter {counter}/").into_bytes()
}

fn key(counter: usize, half: &str) -> Vec<u8> {
    [prefix(counter), half.into()].concat()
}

fn number(record: &Record) -> u64 {
    u64::from_be_bytes(record.value[..].try_into().unwrap())
}

/// Raises a counter by one: both records, one of them with content in the log.
fn raise(counter: usize) -> Transaction {
    let decide = move |reads: &mut dyn strongroom_meta::Reads| {
        let before = reads.get(&key(counter, "a"))?;
        let next = before.as_ref().map_or(0, number) + 1;
        let value = Bytes::copy_from_slice(&next.to_be_bytes());
        Ok(Some(vec![
            Write::Put {
                key: key(counter, "a"),
                value: value.clone(),
            },
            Write::PutInline {
                key: key(counter, "b"),
                value,
                content: content(counter, next),
            },
        ]))
    };
    Transaction {
        decide: Box::new(decide),
        durable: Vec::new(),
    }
}

fn is_unavailable(error: &Error) -> bool {
    error.kind == ErrorKind::Unavailable
}

struct Machine {
    world: SimWorld,
    meta: Arc<LsmMeta>,
}

impl Machine {
    fn start(world: &SimWorld, views: SimViews, draw: u64) -> Self {
        let options = OpenOptions {
            member_wait: Duration::ZERO,
            log_file_size: 64 * 1024,
            hang_limit: HANG_LIMIT,
            ..OpenOptions::default()
        };
        let random = Arc::new(SeededRandom::new(draw));
        let specs = Topology::new(ZONES, 1).specs(world);
        let store = Store::new(open(&specs, options, random).unwrap());
        let meta = LsmMeta::start(
            &store,
            Arc::new(views),
            Arc::new(ManualClock::new(START)),
            &LsmSettings::default(),
            Arc::new(|_| {}),
        );
        meta.wait_ready(READY_LIMIT).unwrap();
        Self {
            world: world.clone(),
            meta,
        }
    }

    async fn write(&self, ledger: &Ledger, counter: usize) -> Result<(), Error> {
        ledger.lock().unwrap()[counter].begun += 1;
        self.meta.transact(raise(counter)).await?;
        ledger.lock().unwrap()[counter].acknowledged += 1;
        Ok(())
    }

    /// Reads a counter in one of three ways; what is there fits what is known.
    async fn read(&self, ledger: &Ledger, counter: usize, way: usize) -> Result<(), Error> {
        let before = known(ledger, counter).acknowledged;
        let found = match way {
            0 => {
                let record = self.meta.get(&key(counter, "a")).await?;
                record.as_ref().map_or(0, number)
            }
            1 => {
                let page = self.meta.scan(&prefix(counter), None, 10).await?;
                let numbers: Vec<u64> = page
                    .records
                    .iter()
                    .map(|(_, record)| number(record))
                    .collect();
                match numbers[..] {
                    [] => 0,
                    [a, b] if a == b => a,
                    _ => panic!("half a transaction: {numbers:?}"),
                }
            }
            _ => match self.meta.get(&key(counter, "b")).await? {
                None => 0,
                Some(record) => {
                    let bytes = self.meta.inline_bytes(record.inline.unwrap()).await?;
                    assert_eq!(bytes, content(counter, number(&record)));
                    number(&record)
                }
            },
        };
        let after = known(ledger, counter).begun;
        assert!(
            (before..=after).contains(&found),
            "counter {counter} is {found}, {before} were acknowledged and {after} begun"
        );
        Ok(())
    }
}

/// Lets the others go on for a while, or not at all.
fn turns(max: usize) {
    let count = thread_rng().gen_range(0..max);
    (0..count).for_each(|_| tasks::sleep_thread(Duration::ZERO));
}

/// A zone's syncs fail for a while.
fn ail(world: &SimWorld) {
    turns(TURNS_MAX);
    let fault = world.fault(Fault {
        disk: Some(thread_rng().gen_range(0..ZONES)),
        op: OpKind::Sync,
        ..Fault::default()
    });
    turns(TURNS_MAX);
    world.lift(fault);
}

/// What schedules came to.
#[derive(Clone, Copy, Default)]
struct Done {
    schedules: u64,
    /// The power went while clients worked.
    cuts: u64,
    begun: u64,
    acknowledged: u64,
}

/// One schedule.
fn schedule() -> Done {
    let seed: u64 = thread_rng().r#gen();
    let world = SimWorld::new(seed);
    let ledger = Ledger::default();
    let machine = Arc::new(Machine::start(&world, SimViews::new(&world), seed));
    world.power_off_after(thread_rng().gen_range(0..CHANGES_MAX));
    let mut threads = Vec::new();
    for writer in 0..WRITERS {
        let (machine, ledger) = (Arc::clone(&machine), Arc::clone(&ledger));
        threads.push(shuttle::thread::spawn(move || {
            shuttle::future::block_on(async {
                for n in 0..WRITES {
                    turns(PAUSE_MAX);
                    match machine.write(&ledger, (writer + n) % COUNTERS).await {
                        Ok(()) => {}
                        Err(error) => assert!(is_unavailable(&error), "{error}"),
                    }
                }
            });
        }));
    }
    {
        let (machine, ledger) = (Arc::clone(&machine), Arc::clone(&ledger));
        threads.push(shuttle::thread::spawn(move || {
            shuttle::future::block_on(async {
                for n in 0..READS {
                    turns(PAUSE_MAX);
                    match machine.read(&ledger, n % COUNTERS, n % 3).await {
                        Ok(()) => {}
                        Err(error) => assert!(is_unavailable(&error), "{error}"),
                    }
                }
            });
        }));
    }
    if thread_rng().gen_bool(0.5) {
        let world = world.clone();
        threads.push(shuttle::thread::spawn(move || ail(&world)));
    }
    for thread in threads {
        thread.join().unwrap();
    }
    let sum = |of: fn(&Known) -> u64| ledger.lock().unwrap().iter().map(of).sum::<u64>();
    let done = Done {
        schedules: 1,
        cuts: u64::from(world.is_off()),
        begun: sum(|known| known.begun),
        acknowledged: sum(|known| known.acknowledged),
    };
    world.power_off();
    machine.meta.stop();
    drop(machine);

    let draw: u64 = thread_rng().r#gen();
    let states = world.crash_states(draw);
    let variants = states.variants();
    let variant = variants[(draw % variants.len() as u64) as usize];
    let after = states.build(variant);
    let views = SimViews::after_power_cut(&after, world.take_trace().events(), draw);
    let machine = Machine::start(&after, views, draw);
    shuttle::future::block_on(async {
        for counter in 0..COUNTERS {
            for way in 0..3 {
                machine.read(&ledger, counter, way).await.unwrap();
            }
            machine.write(&ledger, counter).await.unwrap();
            machine.read(&ledger, counter, 1).await.unwrap();
        }
    });
    assert!(!machine.world.is_off());
    machine.meta.stop();
    done
}

/// Runs `count` schedules.
fn explore(scheduler: impl Scheduler + 'static, count: usize) -> Done {
    let sum = Arc::new(Mutex::new(Done::default()));
    let summed = Arc::clone(&sum);
    let mut config = shuttle::Config::new();
    config.stack_size = STACK_SIZE_BYTES;
    let runs = Runner::new(scheduler, config).run(move || {
        let done = schedule();
        summed.lock().unwrap().add(done);
    });
    assert_eq!(runs, count);
    *sum.lock().unwrap()
}

impl Done {
    fn add(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.cuts += other.cuts;
        self.begun += other.begun;
        self.acknowledged += other.acknowledged;
    }
}

/// Schedules of each scheduler.
const SCHEDULES: u64 = 1000;

/// T9. `STRONGROOM_TEST_SEED` repeats a run.
#[test]
fn t9_no_schedule_of_the_commit_engine_loses_tears_or_stalls() {
    let seed = strongroom_sim::seeds().start;
    let count = usize::try_from(strongroom_sim::scaled(SCHEDULES)).unwrap();
    let mut done = Done::default();
    for depth in 1..=4 {
        println!("seed {seed}, depth {depth}");
        let scheduler = PctScheduler::new_from_seed(seed + depth as u64, depth, count);
        done.add(explore(scheduler, count));
    }
    println!("seed {seed}, at random");
    done.add(explore(RandomScheduler::new_from_seed(seed, count), count));
    let Done {
        schedules,
        cuts,
        begun,
        acknowledged,
    } = done;
    // In some the power goes early, in some late, in some not at all.
    assert!(0 < cuts && cuts < schedules, "{cuts} of {schedules}");
    assert!(
        0 < acknowledged && acknowledged < begun,
        "{acknowledged} of {begun}"
    );
    print_figure(
        "T9 schedules of the commit engine and its recovery",
        "schedules",
        schedules,
        0,
        &[
            ("power cuts under load", cuts),
            ("transactions acknowledged", acknowledged),
        ],
    );
}
