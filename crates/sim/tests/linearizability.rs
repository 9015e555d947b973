//! T10: what clients of the real engine saw, through kills, power cuts and zones that go and come
//! back, could have come from one store that does one thing at a time (AZ10, AZ14, AZ15).

mod machine;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use bytes::Bytes;
use strongroom_base::{Random, SeededRandom, tasks};
use strongroom_objects::{ETagMatch, Error, Objects, Result, WriteConditions};
use strongroom_sim::{Action, Outcome, Request, Topology, check_history, reads_of_list, scaled};

use machine::client::{bytes, delete, get, list, make_bucket, put_if};
use machine::{End, Loss, Machine};

const CLIENT_COUNT: u64 = 8;
const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
/// What the nemesis does in one history.
const BLOWS: u64 = 6;
/// How long clients work between two blows.
const PEACE: Duration = Duration::from_millis(250);
/// How long a zone that came back is waited for before the next may go.
const RETURN_PATIENCE: Duration = Duration::from_secs(5);
/// A client's time between two requests.
const THINKING: Duration = Duration::from_millis(4);
/// Histories of a topology in a run of scale 1.
const HISTORY_COUNT: u64 = 3;
/// A value's size is its number above one of these: so a list tells values apart too.
const SMALL_BYTES: usize = 1000;
const LARGE_BYTES: usize = 40_000;
const VALUE_COUNT_MAX: u64 = 39_000;

/// What the clients of one history share.
struct Shared {
    ticks: AtomicU64,
    values: AtomicU64,
    /// Grows when a run of the store ends and when the next begins: odd in between. An answer that
    /// comes after its run ended was never given.
    run: AtomicU64,
    objects: RwLock<Objects>,
    history: Mutex<Vec<Request>>,
    tags: Mutex<BTreeMap<u64, String>>,
    is_over: AtomicU64,
}

fn value_bytes(value: u64) -> Bytes {
    let base = if value.is_multiple_of(3) {
        LARGE_BYTES
    } else {
        SMALL_BYTES
    };
    bytes(value, base + value as usize)
}

/// The value whose bytes have this size.
fn value_of(size: usize) -> u64 {
    let base = if size >= LARGE_BYTES {
        LARGE_BYTES
    } else {
        SMALL_BYTES
    };
    (size - base) as u64
}

impl Shared {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    fn new_value(&self) -> u64 {
        let value = self.values.fetch_add(1, Ordering::SeqCst);
        assert!(value < VALUE_COUNT_MAX, "sizes of values would meet");
        value
    }

    fn is_run(&self, run: u64) -> bool {
        self.run.load(Ordering::SeqCst) == run
    }

    fn note(&self, requests: Vec<Request>) {
        self.history.lock().unwrap().extend(requests);
    }
}

/// One client.
async fn client(shared: Arc<Shared>, seed: u64) {
    let random = SeededRandom::new(seed);
    while shared.is_over.load(Ordering::SeqCst) == 0 {
        let run = shared.run.load(Ordering::SeqCst);
        if run % 2 == 1 {
            tasks::sleep(THINKING).await;
            continue;
        }
        let objects = shared.objects.read().unwrap().clone();
        let key = KEYS[random.next_u64() as usize % KEYS.len()];
        match random.next_u64() % 10 {
            0 => list_all(&shared, &objects, run).await,
            choice => one(&shared, &objects, run, key, choice).await,
        }
        // As far apart as clients on a network are; and a stopped store refuses at once.
        tasks::sleep(THINKING).await;
    }
}

/// A list, as one read of each key.
async fn list_all(shared: &Shared, objects: &Objects, run: u64) {
    let called = shared.tick();
    let listed = list(objects).await;
    let returned = shared.tick();
    if let (Ok(listed), true) = (listed, shared.is_run(run)) {
        let keys = KEYS.map(str::to_owned);
        let listed = listed
            .into_iter()
            .map(|(key, size)| (key, value_of(size as usize)))
            .collect();
        shared.note(reads_of_list(&keys, &listed, called, returned));
    }
}

/// A request about one key.
async fn one(shared: &Shared, objects: &Objects, run: u64, key: &str, choice: u64) {
    let action = action(shared, choice);
    let called = shared.tick();
    let answer = ask(shared, objects, key, action).await;
    let returned = shared.tick();
    let outcome = match answer {
        _ if !shared.is_run(run) => Outcome::Unknown,
        Ok(outcome) => outcome,
        Err(Error::PreconditionFailed { .. } | Error::NoSuchKey { .. }) => Outcome::Refused,
        Err(Error::Unavailable { .. } | Error::SlowDown | Error::OperationAborted) => {
            tasks::sleep(Duration::from_millis(5)).await;
            Outcome::Unknown
        }
        Err(error) => panic!("{action:?} of {key}: {error}"),
    };
    shared.note(vec![Request {
        key: key.into(),
        action,
        outcome,
        called,
        returned,
    }]);
}

fn action(shared: &Shared, choice: u64) -> Action {
    match choice {
        1..=3 => Action::Get,
        4 | 5 => Action::Put(shared.new_value()),
        6 => Action::PutIfAbsent(shared.new_value()),
        7 | 8 => {
            let tags = shared.tags.lock().unwrap();
            match tags.keys().next_back() {
                Some(seen) => Action::PutIfMatch {
                    seen: *seen,
                    value: shared.new_value(),
                },
                None => Action::Get,
            }
        }
        _ => Action::Delete,
    }
}

async fn ask(shared: &Shared, objects: &Objects, key: &str, action: Action) -> Result<Outcome> {
    let (value, conditions) = match action {
        Action::Get => return read(objects, key).await,
        Action::Delete => return delete(objects, key).await.map(|()| Outcome::Done),
        Action::Put(value) => (value, WriteConditions::default()),
        Action::PutIfAbsent(value) => (
            value,
            WriteConditions {
                if_none_match: Some(ETagMatch::Any),
                ..WriteConditions::default()
            },
        ),
        Action::PutIfMatch { seen, value } => (
            value,
            WriteConditions {
                if_match: Some(ETagMatch::OneOf(vec![
                    shared.tags.lock().unwrap()[&seen].clone(),
                ])),
                ..WriteConditions::default()
            },
        ),
    };
    let done = put_if(objects, key, &value_bytes(value), conditions).await?;
    let mut tags = shared.tags.lock().unwrap();
    tags.insert(value, done.etag.quoted());
    Ok(Outcome::Done)
}

async fn read(objects: &Objects, key: &str) -> Result<Outcome> {
    match get(objects, key).await {
        Ok(found) => {
            let value = value_of(found.len());
            assert!(found == value_bytes(value), "{key}: wrong bytes");
            Ok(Outcome::Found(Some(value)))
        }
        Err(Error::NoSuchKey { .. }) => Ok(Outcome::Found(None)),
        // The run ended, or too few disks, in the middle of the answer.
        Err(Error::ContentFailed { .. }) => Err(Error::Unavailable {
            message: "cut short".into(),
        }),
        Err(error) => Err(error),
    }
}

/// What happens to the store while clients work.
async fn blow(machine: &mut Machine, shared: &Shared, draw: u64) {
    let topology = machine.topology;
    if draw % 4 < 2 {
        // By itself, while clients work; a disk that takes its time is helped by a restart.
        if machine.is_anything_away() {
            machine.bring_back();
            return;
        }
        if machine.is_whole_within(RETURN_PATIENCE).await {
            let zone = (draw >> 8) as usize % topology.zones;
            let loss = [Loss::Vanish, Loss::SyncFails][(draw >> 16) as usize % 2];
            machine.lose(topology.member_disks(zone), loss);
            return;
        }
    }
    // The run is over before the power goes: what is answered afterwards reached nobody.
    shared.run.fetch_add(1, Ordering::SeqCst);
    machine.world.power_off();
    let end = match draw % 2 {
        0 => End::Kill,
        _ => End::PowerCut(draw >> 4),
    };
    machine.restart(end).await;
    *shared.objects.write().unwrap() = machine.objects();
    shared.run.fetch_add(1, Ordering::SeqCst);
}

async fn history(topology: Topology, seed: u64) -> Vec<Request> {
    let mut machine = Machine::new(topology, seed).await;
    make_bucket(&machine.objects()).await.unwrap();
    let shared = Arc::new(Shared {
        ticks: AtomicU64::new(1),
        values: AtomicU64::new(1),
        run: AtomicU64::new(0),
        objects: RwLock::new(machine.objects()),
        history: Mutex::default(),
        tags: Mutex::default(),
        is_over: AtomicU64::new(0),
    });
    let random = SeededRandom::new(seed);
    let clients: Vec<_> = (0..CLIENT_COUNT)
        .map(|number| tasks::spawn(client(Arc::clone(&shared), seed << 8 | number)))
        .collect();
    for _ in 0..BLOWS {
        tasks::sleep(PEACE).await;
        blow(&mut machine, &shared, random.next_u64()).await;
    }
    tasks::sleep(PEACE).await;
    shared.is_over.store(1, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    // Whatever is there at the end is read once more.
    let run = shared.run.load(Ordering::SeqCst);
    let objects = machine.objects();
    for key in KEYS {
        one(&shared, &objects, run, key, 1).await;
    }
    list_all(&shared, &objects, run).await;
    machine.world.power_off();
    std::mem::take(&mut *shared.history.lock().unwrap())
}

fn run(topology: Topology) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let (mut requests, mut unanswered, mut violations) = (0, 0, Vec::new());
    let histories = scaled(HISTORY_COUNT);
    for seed in 1..=histories {
        let history = runtime.block_on(history(topology, seed));
        requests += history.len();
        let is_unknown = |request: &&Request| request.outcome == Outcome::Unknown;
        unanswered += history.iter().filter(is_unknown).count();
        if let Err(violation) = check_history(&history) {
            violations.push(format!("{topology} seed {seed}: {violation}"));
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    assert!(requests > unanswered * 2, "the nemesis left too little");
    strongroom_sim::print_figure(
        "T10 linearizability, simulated",
        "requests",
        requests as u64,
        violations.len() as u64,
        &[
            ("histories", histories),
            ("unanswered", unanswered as u64),
            ("blows", histories * BLOWS),
        ],
    );
}

#[test]
fn three_zones_answer_as_one_through_kills_power_cuts_and_zone_loss() {
    run(Topology::new(3, 1));
}

#[test]
fn three_zones_of_two_disks_answer_as_one_through_kills_power_cuts_and_zone_loss() {
    run(Topology::new(3, 2));
}
