//! A store on disks in memory.
#![allow(dead_code, unused_imports)]

mod ram_disk;
pub mod served;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use strongroom_base::{Clock, DiskRef, ManualClock, Random, SeededRandom, Timestamp};
use strongroom_blob::{BlobStore, ByteStream, Place, PutOptions, Result, Written};
use strongroom_blob_zones::{Settings, ZoneBlobs};
use strongroom_zones::{DiskHandle, DiskSpec, Disks, OpenOptions, OutReason};

pub use ram_disk::{Faults, RamDisk};

/// Disks in memory that outlive the stores opened on them.
pub struct Rig {
    /// Zone by zone.
    pub disks: Vec<Arc<RamDisk>>,
    pub per_zone: usize,
    /// Stands still until a test moves it.
    pub clock: Arc<ManualClock>,
    random: Arc<dyn Random>,
}

/// A store opened on a rig.
pub struct Opened {
    pub blobs: Arc<ZoneBlobs>,
    pub disks: Arc<Disks>,
}

/// Sizes small enough that a megabyte crosses stripes, segments and groups.
pub fn small() -> Settings {
    Settings {
        segment_size: 1024 * 1024,
        stripe_size: 256 * 1024,
        reserve_step: 128 * 1024,
        free_space_min: 0,
        hedge_after: Duration::from_millis(50),
        ..Settings::default()
    }
}

impl Rig {
    pub fn new(zones: usize, per_zone: usize) -> Self {
        let disks = (0..zones * per_zone).map(|_| RamDisk::new()).collect();
        Self {
            disks,
            per_zone,
            clock: Arc::new(ManualClock::new(Timestamp(1))),
            random: Arc::new(SeededRandom::new(7)),
        }
    }

    pub fn open(&self) -> Opened {
        self.open_with(small())
    }

    pub fn open_with(&self, settings: Settings) -> Opened {
        let specs: Vec<DiskSpec> = self
            .disks
            .iter()
            .enumerate()
            .map(|(i, disk)| DiskSpec {
                zone: format!("z{}", i / self.per_zone),
                name: format!("disk{i}"),
                disk: Arc::clone(disk) as DiskRef,
            })
            .collect();
        let options = OpenOptions {
            member_wait: Duration::ZERO,
            ..OpenOptions::default()
        };
        let open = strongroom_zones::open(&specs, options, Arc::clone(&self.random)).unwrap();
        let blobs = ZoneBlobs::open(
            Arc::clone(&open.disks),
            open.store,
            open.run,
            settings,
            Arc::clone(&self.random),
            Arc::clone(&self.clock) as Arc<dyn Clock>,
        );
        Opened {
            blobs: blobs.unwrap(),
            disks: open.disks,
        }
    }

    /// The rig's disks of a zone.
    pub fn zone(&self, zone: usize) -> std::ops::Range<usize> {
        zone * self.per_zone..(zone + 1) * self.per_zone
    }

    pub fn power_cut(&self) {
        self.disks.iter().for_each(|disk| disk.power_cut());
    }
}

/// A test that fails while disks hang must end all the same: threads wait in them.
impl Drop for Rig {
    fn drop(&mut self) {
        for disk in &self.disks {
            disk.set_faults(|faults| (faults.reads_hang, faults.writes_hang) = (false, false));
        }
    }
}

impl Opened {
    /// The handle of the rig's disk `index`.
    pub fn handle(&self, index: usize) -> &Arc<DiskHandle> {
        let name = format!("disk{index}");
        self.disks
            .all()
            .iter()
            .find(|disk| disk.name == name)
            .unwrap()
    }

    pub fn take_out(&self, index: usize) {
        self.disks
            .take_out(self.handle(index).id, OutReason::Absent("test".into()));
    }

    pub fn admit(&self, index: usize) {
        self.disks.admit(self.handle(index).id);
    }

    pub async fn try_put(&self, content: &[u8]) -> Result<Written> {
        let options = PutOptions {
            size: content.len() as u64,
            owner: Bytes::from_static(b"me"),
        };
        self.blobs.put(options, stream_of(content)).await
    }

    pub async fn put(&self, content: &[u8]) -> Written {
        self.try_put(content).await.unwrap()
    }

    pub async fn read(&self, place: &Place, size: usize) -> Result<Vec<u8>> {
        collect(self.blobs.read(place, 0..size as u64).await?).await
    }

    pub async fn assert_reads(&self, place: &Place, content: &[u8]) {
        assert!(
            self.read(place, content.len()).await.unwrap() == content,
            "other bytes"
        );
    }
}

pub fn stream_of(content: &[u8]) -> ByteStream {
    let parts: Vec<_> = content
        .chunks(50_000)
        .map(|part| Ok(Bytes::copy_from_slice(part)))
        .collect();
    Box::pin(futures::stream::iter(parts))
}

pub async fn collect(mut stream: ByteStream) -> Result<Vec<u8>> {
    let mut out = BytesMut::new();
    while let Some(bytes) = stream.next().await {
        out.extend_from_slice(&bytes?);
    }
    Ok(out.to_vec())
}

/// Bytes that do not repeat.
pub fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut out = vec![0; size];
    SeededRandom::new(seed).fill(&mut out);
    out
}

/// Waits until `is_so`: for what another task does in its own time.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        strongroom_base::tasks::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came: {what}");
}
