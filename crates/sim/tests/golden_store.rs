//! T19: stores that older versions wrote are opened, read, written to, and survive a power cut while
//! they are taken over.
//!
//! Each `testdata/store-N` is what a whole small store of three zones looked like on its disks, log,
//! segments, superblocks and all, kept for ever. It has no index views: a view is made from the log.
//! `STRONGROOM_WRITE_GOLDEN=N` writes the folder `store-N` by the version that runs, once, when a
//! format changed.

mod machine;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use strongroom_objects::{Error, Objects};
use strongroom_sim::{SimWorld, Topology};

use machine::client::{bytes, delete, get, list, make_bucket, put, put_parts};
use machine::{End, Loss, Machine};

const TOPOLOGY: Topology = Topology::new(3, 1);

type Expected = BTreeMap<String, Bytes>;

/// What every golden store holds, whichever version wrote it.
fn expected() -> Expected {
    let objects = [
        ("empty", bytes(0, 0)),
        ("inline", bytes(1, 900)),
        ("in-shards", bytes(2, 30_000)),
        ("replaced", bytes(4, 18_000)),
        ("parts", [bytes(5, 20_000), bytes(6, 1200)].concat().into()),
    ];
    let owned = objects.into_iter();
    owned
        .map(|(key, content)| (key.to_owned(), content))
        .collect()
}

async fn fill(objects: &Objects) {
    make_bucket(objects).await.unwrap();
    for (key, content) in [
        ("empty", bytes(0, 0)),
        ("inline", bytes(1, 900)),
        ("in-shards", bytes(2, 30_000)),
        ("replaced", bytes(3, 500)),
        ("replaced", bytes(4, 18_000)),
        ("deleted", bytes(7, 17_000)),
    ] {
        put(objects, key, &content).await.unwrap();
    }
    let parts = [bytes(5, 20_000), bytes(6, 1200)];
    put_parts(objects, "parts", &parts).await.unwrap();
    delete(objects, "deleted").await.unwrap();
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// The folder of a disk within a golden store.
fn disk_folder(store: &Path, disk: usize) -> PathBuf {
    store.join(format!("disk-{disk}"))
}

fn write_golden(world: &SimWorld, store: &Path) {
    for disk in 0..TOPOLOGY.disk_count() {
        for (path, _) in world.list_files(disk) {
            let to = disk_folder(store, disk).join(&path);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            let mut bytes = world.read_file(disk, &path).unwrap();
            // Room reserved ahead is zeros, and as good as absent to every reader.
            let end = bytes.iter().rposition(|byte| *byte != 0);
            bytes.truncate(end.map_or(0, |last| (last + 1).next_multiple_of(4096)));
            fs::write(to, bytes).unwrap();
        }
    }
}

fn load(store: &Path, seed: u64) -> SimWorld {
    let world = SimWorld::new(seed);
    for disk in 0..TOPOLOGY.disk_count() {
        load_folder(&world, disk, &disk_folder(store, disk), "");
    }
    world
}

fn load_folder(world: &SimWorld, disk: usize, folder: &Path, below: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = match below {
            "" => name,
            below => format!("{below}/{name}"),
        };
        if entry.file_type().unwrap().is_dir() {
            world.disk(disk).create_dir(&path).unwrap();
            load_folder(world, disk, &entry.path(), &path);
        } else {
            let bytes = fs::read(entry.path()).unwrap();
            world.write_file(disk, &path, &bytes).unwrap();
        }
    }
}

async fn check(objects: &Objects, expected: &Expected) {
    for (key, content) in expected {
        let read = get(objects, key).await;
        assert!(read.unwrap() == content, "{key} has other bytes");
    }
    let deleted = get(objects, "deleted").await;
    assert!(
        matches!(deleted, Err(Error::NoSuchKey { .. })),
        "a deleted key is back"
    );
    let sizes = expected.iter();
    let sizes: Vec<_> = sizes
        .map(|(key, content)| (key.clone(), content.len() as u64))
        .collect();
    assert_eq!(list(objects).await.unwrap(), sizes);
}

/// Opens the store, uses it, cuts its power, and loses each zone in turn.
async fn take_over(store: &Path) {
    let mut expected = expected();
    let world = load(store, 77);
    let mut machine = Machine::on(world, TOPOLOGY, 77).await;
    check(&machine.objects(), &expected).await;
    for (key, content) in [("inline", bytes(8, 25_000)), ("new", bytes(9, 700))] {
        put(&machine.objects(), key, &content).await.unwrap();
        expected.insert(key.to_owned(), content);
    }
    delete(&machine.objects(), "empty").await.unwrap();
    expected.remove("empty");
    machine.restart(End::PowerCut(3)).await;
    check(&machine.objects(), &expected).await;
    for zone in 0..TOPOLOGY.zones {
        machine.wait_whole().await;
        let lost = vec![TOPOLOGY.member_disks(zone)];
        machine
            .lose_over_restart(lost, Loss::Vanish, End::Kill)
            .await;
        check(&machine.objects(), &expected).await;
        machine.return_all_over_restart(End::Kill).await;
    }
}

/// The power goes after each of the first changes this version makes to the old store.
async fn cut_while_taken_over(store: &Path) -> u64 {
    let mut cuts = 0;
    for changes in 0..40 {
        let world = load(store, 78);
        world.start_trace();
        world.power_off_after(changes);
        let begun = Machine::try_on(world.clone(), TOPOLOGY, 78).await;
        drop(begun);
        world.power_off();
        let states = world.crash_states(changes);
        let variants = states.variants();
        for variant in [variants[0], variants[variants.len() - 1]] {
            let machine = Machine::on(states.build(variant), TOPOLOGY, 79 + changes).await;
            check(&machine.objects(), &expected()).await;
            machine.world.power_off();
            cuts += 1;
        }
    }
    cuts
}

#[test]
fn stores_that_older_versions_wrote_are_opened_and_taken_over() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        if let Ok(number) = std::env::var("STRONGROOM_WRITE_GOLDEN") {
            let machine = Machine::new(TOPOLOGY, 19).await;
            fill(&machine.objects()).await;
            check(&machine.objects(), &expected()).await;
            machine.engine().meta.stop();
            write_golden(&machine.world, &testdata().join(format!("store-{number}")));
        }
        let stores = fs::read_dir(testdata()).unwrap();
        let stores: Vec<PathBuf> = stores.map(|entry| entry.unwrap().path()).collect();
        assert!(!stores.is_empty(), "no golden store");
        let mut cuts = 0;
        for store in &stores {
            take_over(store).await;
            cuts += cut_while_taken_over(store).await;
        }
        let objects = stores.len() * expected().len();
        let counts = [
            ("stores", stores.len() as u64),
            ("power cuts during the takeover", cuts),
        ];
        strongroom_sim::print_figure(
            "T19 stores of earlier formats",
            "objects",
            objects as u64,
            0,
            &counts,
        );
    });
    runtime.shutdown_background();
}
