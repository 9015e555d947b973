//! What all parts of the store share.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_base::{Clock, Random, tasks};
use strongroom_zones::{DiskHandle, DiskId, Disks, StoreId};

use crate::gate::Gate;
use crate::groups::Groups;
use crate::lane::Lanes;
use crate::map::SegmentMap;
use crate::mark::Marking;
use crate::place::Stripe;
use crate::relocate::Relocation;
use crate::segment::GroupId;
use crate::settings::Settings;
use crate::standing::Standing;

/// The shared state behind [`crate::ZoneBlobs`].
pub(crate) struct Store {
    pub id: StoreId,
    pub run: u64,
    pub disks: Arc<Disks>,
    pub lanes: Lanes,
    pub groups: Groups,
    pub map: SegmentMap,
    pub standing: Standing,
    pub settings: Settings,
    pub random: Arc<dyn Random>,
    pub clock: Arc<dyn Clock>,
    pub repairs: Mutex<Repairs>,
    /// Held while a segment is opened for repair, so that two do not create one file.
    pub repairing: tokio::sync::Mutex<()>,
    /// Whoever writes shards where they belong is inside.
    pub gate: Arc<Gate>,
    pub relocation: Relocation,
    /// What mark scans remember from one to the next.
    pub marking: Mutex<Marking>,
    /// Whether it was said that a file system makes no holes.
    pub holes_missing: AtomicBool,
}

/// Stripes waiting for repair.
#[derive(Default)]
pub(crate) struct Repairs {
    pub waiting: VecDeque<Stripe>,
    /// Group and offset of each stripe waiting or being repaired.
    pub known: HashSet<(GroupId, u64)>,
    pub running: bool,
}

/// How long a start waits for the next disk to list its segments: as long as a disk may take for a
/// write before it counts as hung.
const SCAN_WAIT: Duration = Duration::from_secs(3);

/// A disk on which a shard was seen.
#[derive(Clone)]
pub(crate) struct Source {
    pub shard: usize,
    pub disk: Arc<DiskHandle>,
}

impl Source {
    pub(crate) fn is_in_service(&self) -> bool {
        self.disk.in_service().is_some()
    }
}

impl Store {
    /// Lists the segments of all disks that can be listed, at once. One that hangs is not waited for
    /// once nobody has answered for [`SCAN_WAIT`]: its thread adds what it finds when it finds it.
    pub(crate) fn scan_all(self: &Arc<Self>) {
        let (done, answers) = channel();
        let mut waiting = 0;
        for disk in self.disks.all() {
            let (store, disk, done) = (Arc::clone(self), Arc::clone(disk), done.clone());
            let name = format!("segments of {}", disk.name);
            tasks::spawn_thread(&name, move || {
                store.scan_disk(&disk);
                let _ = done.send(());
            });
            waiting += 1;
        }
        while waiting > 0 && answers.recv_timeout(SCAN_WAIT).is_ok() {
            waiting -= 1;
        }
    }

    /// Lists the segments of one disk. A failure leaves its shards to be decoded around.
    pub(crate) fn scan_disk(&self, disk: &DiskHandle) {
        if let Err(error) = self.map.scan(disk) {
            tracing::warn!(disk = %disk.name, %error, "segments can not be listed");
        }
    }

    /// The disks of each shard, those in service first. Lists disks again when a shard is unknown.
    pub(crate) async fn sources(
        self: &Arc<Self>,
        group: GroupId,
        shards: usize,
    ) -> Vec<Vec<Source>> {
        let mut found = self.map.disks_of(group, shards);
        if found.iter().any(Vec::is_empty) {
            let unknown = found.iter().all(Vec::is_empty);
            self.scan_again(unknown).await;
            found = self.map.disks_of(group, shards);
        }
        let sources = found.into_iter().enumerate();
        sources
            .map(|(shard, disks)| self.sources_of(shard, &disks))
            .collect()
    }

    fn sources_of(&self, shard: usize, disks: &[DiskId]) -> Vec<Source> {
        let handles = disks.iter().filter_map(|id| self.disks.find(*id));
        let mut sources: Vec<Source> = handles
            .map(|disk| Source {
                shard,
                disk: Arc::clone(disk),
            })
            .collect();
        sources.sort_by_key(|source| !source.is_in_service());
        sources
    }

    async fn scan_again(self: &Arc<Self>, unknown: bool) {
        let all = unknown && self.map.may_scan_all(self.clock.monotonic());
        for disk in self.disks.all() {
            let Some(incarnation) = disk.in_service() else {
                continue;
            };
            if all || self.map.is_stale(disk) {
                let (store, handle) = (Arc::clone(self), Arc::clone(disk));
                let scan = tasks::blocking(move || store.scan_disk(&handle));
                let served = self.lanes.while_served((disk.id, incarnation), scan);
                let _ = tasks::timeout(self.settings.hedge_after, served).await;
            }
        }
    }

    /// Whether every disk of the store is in service.
    pub(crate) fn all_in_service(&self) -> bool {
        self.disks
            .all()
            .iter()
            .all(|disk| disk.in_service().is_some())
    }
}
