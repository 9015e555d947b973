//! A store whose log runs, so that its disks can be changed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use strongroom_base::{Clock, DiskRef, ManualClock, Random, SeededRandom, Timestamp};
use strongroom_blob::{BlobStore, Place, PutOptions};
use strongroom_blob_zones::ZoneBlobs;
use strongroom_zones::{
    CommitLog, DiskChange, DiskId, DiskSpec, NewDisk, OpenOptions, Recovered, Store, open,
};

use super::{RamDisk, collect, content, small, stream_of};

pub const SIZE: usize = 900_000;

pub struct Served {
    pub store: Store,
    pub log: CommitLog,
    pub blobs: Arc<ZoneBlobs>,
}

/// A store on `disks`, each with the name of its zone.
pub fn serve_zones(disks: &[(&str, Arc<RamDisk>)], seed: u64) -> Served {
    let spec = |(index, (zone, disk)): (usize, &(&str, Arc<RamDisk>))| DiskSpec {
        zone: (*zone).to_owned(),
        name: format!("disk{index}"),
        disk: Arc::clone(disk) as DiskRef,
    };
    let specs: Vec<DiskSpec> = disks.iter().enumerate().map(spec).collect();
    let options = OpenOptions {
        member_wait: Duration::ZERO,
        ..OpenOptions::default()
    };
    let random: Arc<dyn Random> = Arc::new(SeededRandom::new(seed));
    let store = Store::new(open(&specs, options, Arc::clone(&random)).unwrap());
    let Recovered::Serving(log) = store.recover(0).unwrap() else {
        panic!("read only");
    };
    let opened = store.opened();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(1)));
    let disks = Arc::clone(&opened.disks);
    let blobs = ZoneBlobs::open(disks, opened.store, opened.run, small(), random, clock).unwrap();
    Served { store, log, blobs }
}

/// A store of zones of one disk.
pub fn serve(disks: &[Arc<RamDisk>], seed: u64) -> Served {
    let names = ["z0", "z1", "z2"];
    let named = names.into_iter().zip(disks.iter().cloned());
    serve_zones(&named.collect::<Vec<_>>(), seed)
}

impl Served {
    pub async fn put(&self, seed: u64) -> Place {
        let bytes = content(seed, SIZE);
        let options = PutOptions {
            size: SIZE as u64,
            owner: Bytes::from_static(b"me"),
        };
        let written = self.blobs.put(options, stream_of(&bytes)).await;
        written.unwrap().place
    }

    pub async fn assert_reads(&self, place: &Place, seed: u64) {
        let stream = self.blobs.read(place, 0..SIZE as u64).await.unwrap();
        let found = collect(stream).await.unwrap();
        assert!(found == content(seed, SIZE), "other bytes");
    }

    /// The blob store as another process would find it.
    pub fn reopen_blobs(&mut self) {
        let opened = self.store.opened();
        let (disks, run) = (Arc::clone(&opened.disks), opened.run + 1);
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(1)));
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(99));
        let blobs = ZoneBlobs::open(disks, opened.store, run, small(), random, clock);
        self.blobs = blobs.unwrap();
    }

    pub fn change(&mut self, change: DiskChange) -> Result<(), String> {
        let change = self.store.prepare_change(change)?;
        self.log.settle().unwrap();
        self.log.change_disks(change).unwrap()
    }

    pub fn add(&mut self, zone: &str, folder: &str, disk: &Arc<RamDisk>) -> DiskId {
        let new = NewDisk {
            folder: folder.to_owned(),
            disk: Arc::clone(disk) as DiskRef,
        };
        let zone = zone.to_owned();
        self.change(DiskChange::Add { zone, new }).unwrap();
        self.id(folder)
    }

    pub fn id(&self, name: &str) -> DiskId {
        let mut disks = self.store.opened().disks.all().iter();
        disks.find(|disk| disk.name == name).unwrap().id
    }
}
