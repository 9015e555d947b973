//! Verify and repair: every shard of a blob, where it belongs.
//!
//! Invariants
//! - Only blocks that verify against the place are decoded from (hazard H40).
//! - What repair writes is what was there: a repair twice, or beside a late write, changes nothing.
//! - A missing file is created only on the disk whose superblock says it is that disk (hazard H41).

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use strongroom_base::{AlignedBuf, CreateOptions, DiskRef, FileRef, tasks};
use strongroom_blob::{Health, Result};
use strongroom_zones::{Counters, DiskHandle, OutReason};

use crate::block::BLOCK_HEADER_SIZE_BYTES;
use crate::groups::{check_identity, sync_segment_dir};
use crate::home::Home;
use crate::lane::Lane;
use crate::place::{BlobPlace, Stripe};
use crate::read::{Payloads, ShardRead, decode};
use crate::segment::{GroupId, SegmentFile, SegmentHeader, segment_path};
use crate::settings::{REPAIR_JOBS_MAX, SERVICE_POLL};
use crate::standing::mark_filling;
use crate::store::{Source, Store};

/// A stripe, looked at shard by shard.
pub(crate) struct Checked {
    pub payloads: Payloads,
    /// Shards that are not wholly good where they belong.
    pub bad: Vec<usize>,
    pub decodable: bool,
}

impl Store {
    /// Looks at all shards of a blob and, with `repair`, rewrites the bad ones.
    pub(crate) async fn inspect(
        self: &Arc<Self>,
        place: &BlobPlace,
        repair: bool,
    ) -> Result<Health> {
        let _inside = repair.then(|| self.gate.enter());
        let mut health = Health::default();
        let mut homes: HashMap<GroupId, Home> = HashMap::new();
        for stripe in place.stripes(0..place.stream_size()) {
            if let std::collections::hash_map::Entry::Vacant(home) = homes.entry(stripe.group) {
                let home = home.insert(self.home(&stripe).await?);
                health.shards_bad += home.headers_bad.len() as u64;
                if repair {
                    let repaired = self.repair_headers(&stripe, home).await;
                    health.shards_bad -= repaired;
                    health.shards_repaired += repaired;
                }
            }
            self.inspect_stripe(&stripe, &homes[&stripe.group], repair, &mut health)
                .await?;
        }
        Ok(health)
    }

    pub(crate) async fn inspect_stripe(
        self: &Arc<Self>,
        stripe: &Stripe,
        home: &Home,
        repair: bool,
        health: &mut Health,
    ) -> Result<()> {
        let checked = self.check_stripe(stripe, home).await;
        let mut bad = checked.bad.len() as u64;
        if !checked.decodable {
            health.stripes_lost += 1;
        } else if repair && bad > 0 {
            let repaired = self.repair_stripe(stripe, home, checked).await?;
            health.shards_repaired += repaired;
            bad -= repaired;
        }
        health.shards_bad += bad;
        health.shards_good += stripe.shard_count() as u64 - bad;
        Ok(())
    }

    /// Reads all shards of a stripe, those found elsewhere than where they belong as well.
    pub(crate) async fn check_stripe(self: &Arc<Self>, stripe: &Stripe, home: &Home) -> Checked {
        let mut sources: Vec<Source> = Vec::new();
        for (shard, disk) in home.disks.iter().enumerate() {
            sources.extend(disk.iter().map(|disk| Source {
                shard,
                disk: Arc::clone(disk),
            }));
        }
        for source in self
            .sources(stripe.group, stripe.shard_count())
            .await
            .into_iter()
            .flatten()
        {
            let is_home =
                |known: &Source| known.shard == source.shard && known.disk.id == source.disk.id;
            if !sources.iter().any(is_home) {
                sources.push(source);
            }
        }
        let blocks = 0..stripe.block_count();
        let reads = sources.into_iter().map(|source| {
            let disk = Arc::clone(&source.disk);
            let read = Arc::clone(self).read_shard(*stripe, source, blocks.clone(), true);
            async move { self.while_it_may_answer(&disk, read).await }
        });
        let reads = futures::future::join_all(reads).await;
        check(stripe, home, reads.into_iter().flatten().collect())
    }

    /// Waits for a read of the disk as long as a read may take, or, while the disk is out because it
    /// hung, only for a moment: a look at every stripe would else wait that long for each of them.
    pub(crate) async fn while_it_may_answer<T>(
        &self,
        disk: &DiskHandle,
        read: impl Future<Output = T>,
    ) -> Option<T> {
        let mut read = std::pin::pin!(read);
        let mut waited = Duration::ZERO;
        loop {
            if let Ok(answer) = tasks::timeout(SERVICE_POLL, &mut read).await {
                return Some(answer);
            }
            waited += SERVICE_POLL;
            let limit = match disk.out_reason() {
                Some(OutReason::Hung) => self.settings.hedge_after,
                _ => self.settings.read_limit,
            };
            if waited >= limit {
                return None;
            }
        }
    }

    /// Rewrites bad shards; returns how many. Those whose disk is out stay bad.
    async fn repair_stripe(
        self: &Arc<Self>,
        stripe: &Stripe,
        home: &Home,
        checked: Checked,
    ) -> Result<u64> {
        let wanted: Vec<(usize, usize)> = checked
            .bad
            .iter()
            .flat_map(|shard| (0..stripe.block_count()).map(|block| (*shard, block)))
            .filter(|key| !checked.payloads.contains_key(key))
            .collect();
        let (copy, payloads) = (*stripe, checked.payloads);
        let payloads = tasks::blocking(move || decode(&copy, payloads, &wanted)).await?;
        let mut repaired = 0;
        for shard in checked.bad {
            if self.repair_shard(stripe, home, shard, &payloads).await {
                Counters::add(&self.disks.counters.shards_repaired, 1);
                repaired += 1;
            }
        }
        Ok(repaired)
    }

    async fn repair_shard(
        self: &Arc<Self>,
        stripe: &Stripe,
        home: &Home,
        shard: usize,
        payloads: &Payloads,
    ) -> bool {
        let Some((disk, header)) = home.disks[shard].as_ref().zip(home.header.as_ref()) else {
            return false;
        };
        let Some(lane) = self.lanes.lane(disk) else {
            return false;
        };
        let mut bytes = AlignedBuf::zeroed(stripe.shard_size());
        for block in 0..stripe.block_count() {
            let payload = &payloads[&(shard, block)];
            let target = &mut bytes[stripe.block_bytes(&(block..block + 1))];
            target[BLOCK_HEADER_SIZE_BYTES..][..payload.len()].copy_from_slice(payload);
            stripe.identity(shard, block).seal(target, disk.id);
        }
        let Some(file) = self.segment_for_repair(&lane, header.of_shard(shard)).await else {
            return false;
        };
        let written = self.write_synced(&lane, &file, stripe.offset, bytes).await;
        if written {
            self.map.add(stripe.group, shard, disk.id);
            tracing::info!(disk = %disk.name, stripe = stripe.index, shard, "shard repaired");
        }
        written
    }

    /// The segment where it belongs, created if it is missing.
    pub(crate) async fn segment_for_repair(
        &self,
        lane: &Arc<Lane>,
        header: SegmentHeader,
    ) -> Option<FileRef> {
        let _one_at_a_time = self.repairing.lock().await;
        let disk = lane.disk.disk.clone()?;
        let (direct, group) = (self.settings.direct, header.group);
        let shard = usize::from(header.shard_index);
        let open = move || open_or_create(&disk, &header, direct);
        let (file, created) = self.on_disk(lane, open).await?;
        if created {
            self.standing.add_filling((group, shard, lane.disk.id));
            self.fail_group(group);
        }
        Some(Arc::new(SegmentFile::new(file)))
    }

    pub(crate) async fn write_synced(
        &self,
        lane: &Lane,
        file: &FileRef,
        at: u64,
        bytes: AlignedBuf,
    ) -> bool {
        let work = async {
            lane.write(file, at, Arc::new(bytes)).await.answer().await?;
            lane.sync(file).await.answer().await
        };
        match self.lanes.while_served(lane.served(), work).await {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                self.disk_failed(lane.served(), &error.message, error.full);
                false
            }
            None => false,
        }
    }

    /// Rewrites damaged headers from a good one of the group; returns how many.
    pub(crate) async fn repair_headers(&self, stripe: &Stripe, home: &Home) -> u64 {
        let mut repaired = 0;
        let Some(header) = &home.header else { return 0 };
        for shard in &home.headers_bad {
            let lane = home.disks[*shard]
                .as_ref()
                .and_then(|disk| self.lanes.lane(disk));
            let Some(lane) = lane else { continue };
            let header = header.of_shard(*shard);
            let Some(file) = self.segment_for_repair(&lane, header.clone()).await else {
                continue;
            };
            if self.write_synced(&lane, &file, 0, header.encode()).await {
                tracing::info!(group = %stripe.group, shard, "segment header repaired");
                repaired += 1;
            }
        }
        repaired
    }

    /// Queues a stripe for repair in the background. When the queue is full it is left to a scrub.
    pub(crate) fn queue_repair(self: &Arc<Self>, stripe: Stripe) {
        let mut repairs = self.repairs.lock().expect("no holder panics");
        let key = (stripe.group, stripe.offset);
        if repairs.waiting.len() >= REPAIR_JOBS_MAX || !repairs.known.insert(key) {
            return;
        }
        repairs.waiting.push_back(stripe);
        if !std::mem::replace(&mut repairs.running, true) {
            let store = Arc::clone(self);
            tasks::spawn(async move { store.run_repairs().await });
        }
    }

    async fn run_repairs(self: Arc<Self>) {
        while let Some(stripe) = self.next_repair() {
            if let Err(error) = self.repair_found(&stripe).await {
                tracing::warn!(%error, group = %stripe.group, "repair put off until the next read or scrub");
            }
            let mut repairs = self.repairs.lock().expect("no holder panics");
            repairs.known.remove(&(stripe.group, stripe.offset));
        }
    }

    fn next_repair(&self) -> Option<Stripe> {
        let mut repairs = self.repairs.lock().expect("no holder panics");
        let next = repairs.waiting.pop_front();
        repairs.running = next.is_some();
        next
    }

    async fn repair_found(self: &Arc<Self>, stripe: &Stripe) -> Result<()> {
        let _inside = self.gate.enter();
        let home = self.home(stripe).await?;
        self.repair_headers(stripe, &home).await;
        self.inspect_stripe(stripe, &home, true, &mut Health::default())
            .await
    }
}

pub(crate) fn check(stripe: &Stripe, home: &Home, reads: Vec<ShardRead>) -> Checked {
    let mut payloads = Payloads::new();
    let mut good = HashSet::new();
    for read in reads {
        let shard = read.source.shard;
        let is_home = home.disks[shard]
            .as_ref()
            .is_some_and(|disk| disk.id == read.source.disk.id);
        if is_home && read.is_good() && read.source.is_in_service() {
            good.insert(shard);
        }
        let Some(blocks) = read.blocks else { continue };
        for block in 0..stripe.block_count() {
            if let Some(payload) = blocks.payload(stripe, block) {
                payloads.insert((shard, block), payload);
            }
        }
    }
    let column_good = |block: usize| {
        let shards = 0..stripe.shard_count();
        shards
            .filter(|shard| payloads.contains_key(&(*shard, block)))
            .count()
    };
    let decodable = (0..stripe.block_count()).all(|block| column_good(block) >= stripe.data_count);
    let bad = (0..stripe.shard_count())
        .filter(|shard| !good.contains(shard))
        .collect();
    Checked {
        payloads,
        bad,
        decodable,
    }
}

/// The file, and whether it had to be created.
fn open_or_create(
    disk: &DiskRef,
    header: &SegmentHeader,
    direct: bool,
) -> io::Result<(FileRef, bool)> {
    let path = segment_path(header.group, usize::from(header.shard_index));
    check_identity(disk, header.store, header)?;
    match disk.open(&path, direct) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return Ok((other?, false)),
    }
    disk.create_dir(crate::segment::SEGMENT_DIR)?;
    mark_filling(disk, header.group, usize::from(header.shard_index))?;
    let file = disk.create(&path, CreateOptions { direct, reserve: 0 })?;
    file.write_at(0, &header.encode())?;
    file.sync()?;
    sync_segment_dir(disk)?;
    Ok((file, true))
}
