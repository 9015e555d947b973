//! Segments that move to another disk of their zone (RFC 0011).

mod common;

use std::sync::Arc;

use common::RamDisk;
use common::served::{Served, serve_zones};
use strongroom_base::tasks;
use strongroom_blob::{BlobStore, Level, NoRest, Place};
use strongroom_zones::{DiskChange, OutReason};

/// Three zones of one disk and one more disk in the first, with blobs written before it came.
struct Rig {
    disks: Vec<(&'static str, Arc<RamDisk>)>,
    served: Served,
    places: Vec<(Place, u64)>,
}

impl Rig {
    async fn new() -> Self {
        Self::with_blobs(3).await
    }

    async fn with_blobs(count: u64) -> Self {
        let zones = ["a", "b", "c"];
        let mut disks: Vec<_> = zones.map(|zone| (zone, RamDisk::new())).into();
        let mut served = serve_zones(&disks, 1);
        let mut places = Vec::new();
        for seed in 1..=count {
            places.push((served.put(seed).await, seed));
        }
        let more = RamDisk::new();
        served.add("a", "disk3", &more);
        disks.push(("a", more));
        Self {
            disks,
            served,
            places,
        }
    }

    fn drain(&mut self, name: &str) {
        let disk = self.served.id(name);
        self.served.change(DiskChange::Drain { disk }).unwrap();
    }

    async fn relocate(&self) -> usize {
        let mut rounds = 0;
        while self.served.blobs.relocate(&NoRest).await {
            rounds += 1;
            assert!(rounds < 1000, "it never ends");
        }
        rounds
    }

    async fn check(&self) {
        for (place, seed) in &self.places {
            let health = self.served.blobs.verify(place).await.unwrap();
            assert_eq!((health.shards_bad, health.stripes_lost), (0, 0));
            self.served.assert_reads(place, *seed).await;
        }
    }

    /// Starts again, without the disk `gone`.
    fn restart(self, gone: Option<usize>) -> Self {
        let Self {
            mut disks,
            served,
            places,
        } = self;
        drop(served);
        if let Some(gone) = gone {
            disks.remove(gone);
        }
        let served = serve_zones(&disks, 2);
        Self {
            disks,
            served,
            places,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn az21_a_drained_disk_gives_everything_away_and_can_be_removed() {
    let mut rig = Rig::new().await;
    let before = rig.disks[0].1.segments();
    assert!(before.len() > 1);
    rig.drain("disk0");
    let disk = rig.served.id("disk0");
    let remove = rig.served.change(DiskChange::Remove { disk });
    assert!(remove.unwrap_err().contains("wait until it is drained"));
    assert_eq!(rig.relocate().await, before.len());
    assert!(rig.disks[0].1.segments().is_empty());
    let moved = rig.disks[3].1.segments();
    assert!(before.keys().eq(moved.keys()));
    let drains = rig.served.blobs.moves().drains;
    assert!(drains.len() == 1 && drains[0].is_empty(), "{drains:?}");
    rig.check().await;
    rig.served.change(DiskChange::Remove { disk }).unwrap();
    rig.check().await;

    // What moved carries the content: another zone may go.
    let mut rig = rig.restart(Some(0));
    rig.check().await;
    rig.disks[0].1.wipe();
    let absent = OutReason::Absent("test".into());
    let other = rig.served.id("disk0");
    rig.served.store.opened().disks.take_out(other, absent);
    for (place, seed) in std::mem::take(&mut rig.places) {
        rig.served.assert_reads(&place, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_comes_to_a_drained_disk_until_it_is_kept() {
    let mut rig = Rig::new().await;
    rig.drain("disk0");
    let before = rig.disks[0].1.segments();
    rig.places.push((rig.served.put(7).await, 7));
    assert!(rig.disks[0].1.segments() == before, "written to");
    assert_eq!(rig.relocate().await, before.len());
    let disk = rig.served.id("disk0");
    rig.served.change(DiskChange::Keep { disk }).unwrap();
    for seed in 8..16 {
        rig.places.push((rig.served.put(seed).await, seed));
    }
    assert!(!rig.disks[0].1.segments().is_empty(), "it takes its turn");
    rig.check().await;
}

/// H39, H40: a block that does not prove itself is not carried along as if it were good.
#[tokio::test(flavor = "multi_thread")]
async fn h39_a_damaged_segment_stays_until_repair_has_verified_its_copy() {
    let mut rig = Rig::new().await;
    let segments = rig.disks[0].1.segments();
    let (name, bytes) = segments.iter().next().unwrap();
    let mut bytes = bytes.clone();
    bytes[5000] ^= 1;
    rig.disks[0].1.tamper(name, Some(bytes));
    rig.drain("disk0");
    rig.relocate().await;
    assert!(rig.disks[0].1.segments().keys().eq([name]));
    let drains = rig.served.blobs.moves().drains;
    assert!(drains[0].waits_for.contains("repair"), "{drains:?}");
    // A process that has not looked for marks yet knows it too.
    rig.served.reopen_blobs();
    rig.relocate().await;
    assert_eq!(rig.disks[0].1.segments().len(), 1);
    let blobs = &rig.served.blobs;
    let survey = blobs.survey().await;
    assert_eq!(survey.filling.len(), 1);
    for (place, _) in &rig.places {
        assert_eq!(blobs.repair(place).await.unwrap().stripes_lost, 0);
    }
    blobs.filled(&survey.filling).await;
    rig.relocate().await;
    assert!(rig.disks[0].1.segments().is_empty());
    rig.check().await;
}

/// H84
#[tokio::test(flavor = "multi_thread")]
async fn h84_what_was_written_to_the_old_file_after_the_copy_moves_before_it_goes() {
    let mut rig = Rig::new().await;
    let old = rig.disks[0].1.segments();
    rig.drain("disk0");
    rig.relocate().await;
    // As after a crash between the two files, with a copy that lacks what repair wrote to the old one.
    for (name, bytes) in &old {
        rig.disks[0].1.tamper(name, Some(bytes.clone()));
        let mut copy = rig.disks[3].1.segments()[name].clone();
        copy[4096..].fill(0);
        rig.disks[3].1.tamper(name, Some(copy));
    }
    let rig = rig.restart(None);
    rig.relocate().await;
    assert!(rig.disks[0].1.segments().is_empty());
    rig.check().await;
}

/// A repair that began before the move writes to the old file: the move waits for it, and takes what it
/// wrote along.
#[tokio::test(flavor = "multi_thread")]
async fn h83_what_a_repair_writes_beside_a_move_is_not_lost_with_the_old_file() {
    let mut rig = Rig::new().await;
    let old = &rig.disks[0].1;
    // Shards that are gone without a trace: holes in good files.
    for (name, mut bytes) in old.segments() {
        bytes[4096..].fill(0);
        old.tamper(&name, Some(bytes));
    }
    old.set_faults(|faults| faults.writes_hang = true);
    let (blobs, place) = (Arc::clone(&rig.served.blobs), rig.places[0].0.clone());
    let before = old.writes();
    let repair = tasks::spawn(async move { blobs.repair(&place).await.unwrap() });
    common::until("the repair writes", || old.writes() > before).await;
    rig.drain("disk0");
    let blobs = Arc::clone(&rig.served.blobs);
    let moves = tasks::spawn(async move { while blobs.relocate(&NoRest).await {} });
    let (old, new) = (&rig.disks[0].1, &rig.disks[3].1);
    common::until("the copy is there", || !new.segments().is_empty()).await;
    // Moves that do not wait take the old files now: they get the time to.
    for _ in 0..400 {
        if old.segments().is_empty() {
            break;
        }
        tasks::sleep(std::time::Duration::from_millis(5)).await;
    }
    old.set_faults(|faults| faults.writes_hang = false);
    let repaired = repair.await.unwrap();
    assert!(repaired.shards_repaired > 0 && repaired.shards_bad == 0);
    moves.await.unwrap();
    assert!(old.segments().is_empty());
    let health = rig.served.blobs.verify(&rig.places[0].0).await.unwrap();
    assert_eq!(health.shards_bad, 0, "{health:?}");
}

/// H84: the process died right after the copy got its name, which only the memory of the system has; the
/// next one finds the name, ends the move, and then the power goes.
#[tokio::test(flavor = "multi_thread")]
async fn h84_the_name_of_a_copy_is_durable_before_the_old_file_goes() {
    let mut rig = Rig::new().await;
    let old = rig.disks[0].1.segments();
    rig.drain("disk0");
    rig.relocate().await;
    for (name, bytes) in &old {
        rig.disks[0].1.tamper(name, Some(bytes.clone()));
        rig.disks[3].1.forget_durable(name);
    }
    let rig = rig.restart(None);
    rig.relocate().await;
    assert!(rig.disks[0].1.segments().is_empty());
    for (_, disk) in &rig.disks {
        disk.power_cut();
    }
    let rig = rig.restart(None);
    rig.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_without_another_place_says_what_it_waits_for() {
    let mut rig = Rig::new().await;
    let more = rig.served.id("disk3");
    rig.drain("disk0");
    let full = OutReason::Failed("test".into());
    rig.served.store.opened().disks.take_out(more, full);
    assert_eq!(rig.relocate().await, 0);
    let drains = rig.served.blobs.moves().drains;
    assert!(
        drains[0].waits_for.contains("no other disk of zone a"),
        "{drains:?}"
    );
    assert!(drains[0].bytes_left > 0 && drains[0].segments_left > 0);
    rig.check().await;
}

/// H9: the drained disk dies before it is empty; its shards are made anew on the others of its zone.
#[tokio::test(flavor = "multi_thread")]
async fn az21_a_drained_disk_that_dies_is_rebuilt_on_the_others_of_its_zone() {
    let mut rig = Rig::new().await;
    rig.drain("disk0");
    assert!(rig.served.blobs.relocate(&NoRest).await);
    rig.disks[0].1.wipe();
    let disk = rig.served.id("disk0");
    let dead = OutReason::Failed("test".into());
    rig.served.store.opened().disks.take_out(disk, dead);
    rig.served.reopen_blobs();
    for (place, _) in &rig.places {
        rig.served.blobs.repair(place).await.unwrap();
    }
    rig.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_go_from_the_fullest_disk_of_a_zone_to_the_emptiest() {
    let rig = Rig::with_blobs(12).await;
    for (_, disk) in &rig.disks {
        disk.set_faults(|faults| faults.space_total = Some(16 << 20));
    }
    let before = rig.disks[0].1.segments().len();
    assert!(rig.relocate().await > 0);
    let after = (
        rig.disks[0].1.segments().len(),
        rig.disks[3].1.segments().len(),
    );
    assert_eq!(after.0 + after.1, before);
    assert!(after.0 > 0 && after.1 > 0, "{after:?}");
    rig.check().await;
}

/// H84, AZ21: nobody has to say that a drained disk died, and what it brings back is taken over.
#[tokio::test(flavor = "multi_thread")]
async fn a_drained_disk_that_dies_is_mended_elsewhere_without_a_command_and_may_come_back() {
    let mut rig = Rig::new().await;
    rig.drain("disk0");
    let disk = rig.served.id("disk0");
    let dead = OutReason::Failed("test".into());
    rig.served.store.opened().disks.take_out(disk, dead);
    let places: Vec<Place> = rig.places.iter().map(|(place, _)| place.clone()).collect();
    rig.served.blobs.survey().await;
    let standing = rig.served.blobs.redundancy(&places).await;
    assert!(standing.iter().all(|one| one.mendable), "{standing:?}");
    for health in rig.served.blobs.inspect(&places, true).await {
        assert_eq!(health.unwrap().shards_bad, 0);
    }
    let survey = rig.served.blobs.survey().await;
    assert!(!survey.filling.is_empty());
    rig.served.blobs.filled(&survey.filling).await;
    rig.served.store.opened().disks.admit(disk);
    assert!(rig.relocate().await > 0);
    assert!(rig.disks[0].1.segments().is_empty());
    rig.check().await;
}

/// AZ28: blobs from before a drain have a wider code than disks allow now, and are not called reduced.
#[tokio::test(flavor = "multi_thread")]
async fn az28_a_code_wider_than_a_drain_leaves_disks_for_is_not_reduced() {
    let zones = ["a", "a", "b", "b", "c", "c"];
    let disks: Vec<_> = zones.map(|zone| (zone, RamDisk::new())).into();
    let mut served = serve_zones(&disks, 1);
    let before = served.put(1).await;
    let disk = served.id("disk0");
    served.change(DiskChange::Drain { disk }).unwrap();
    let during = served.put(2).await;
    served.blobs.survey().await;
    let standing = served.blobs.redundancy(&[before, during]).await;
    assert!(
        standing.iter().all(|one| one.level == Level::Full),
        "{standing:?}"
    );
}
