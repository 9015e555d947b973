//! What is known of redundancy without reading, and the refill of segments that are gone (RFC 0009).

mod common;

use common::{Opened, Rig, content};
use strongroom_blob::{BlobStore, Filling, Level, Place, Redundancy};

async fn standing(open: &Opened, places: &[Place]) -> Vec<Redundancy> {
    open.blobs.survey().await;
    open.blobs.redundancy(places).await
}

/// Puts blobs of sizes that cross blocks, stripes and groups.
async fn put_some(open: &Opened) -> (Vec<Place>, Vec<Vec<u8>>) {
    let (mut places, mut contents) = (Vec::new(), Vec::new());
    for (seed, size) in [20_000, 65_472, 300_001, 1_200_000, 40_000, 900_000]
        .into_iter()
        .enumerate()
    {
        let bytes = content(seed as u64, size);
        places.push(open.put(&bytes).await.place);
        contents.push(bytes);
    }
    (places, contents)
}

fn remove_segments(rig: &Rig, disk: usize) -> usize {
    let segments = rig.disks[disk].segments();
    for path in segments.keys() {
        rig.disks[disk].tamper(path, None);
    }
    segments.len()
}

async fn inspect_all(open: &Opened, places: &[Place], repair: bool) -> (u64, u64) {
    let found = open.blobs.inspect(places, repair).await;
    let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        found.iter().map(|health| health.stripes_lost).sum::<u64>(),
        0
    );
    let sum = |of: fn(&strongroom_blob::Health) -> u64| found.iter().map(of).sum();
    (
        sum(|health| health.shards_bad),
        sum(|health| health.shards_repaired),
    )
}

/// AZ28: full, critical, unreachable and lost are told apart, and nothing is read for it.
#[tokio::test]
async fn az28_redundancy_is_told_from_names_alone() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let (places, _) = put_some(&open).await;
    let levels =
        |found: Vec<Redundancy>| -> Vec<Level> { found.iter().map(|one| one.level).collect() };
    let all = |level| vec![level; places.len()];
    let reads = rig.disks.iter().map(|disk| disk.reads()).sum::<usize>();
    assert_eq!(levels(standing(&open, &places).await), all(Level::Full));
    open.take_out(0);
    let found = standing(&open, &places).await;
    assert_eq!(
        rig.disks.iter().map(|disk| disk.reads()).sum::<usize>(),
        reads
    );
    assert!(
        found
            .iter()
            .all(|one| one.zones.len() == 1 && &*one.zones[0] == "z0")
    );
    assert!(
        found
            .iter()
            .all(|one| one.away && !one.mendable && one.margin == 0)
    );
    assert_eq!(levels(found), all(Level::Critical));
    open.take_out(1);
    assert_eq!(
        levels(standing(&open, &places).await),
        all(Level::Unreachable)
    );
    open.admit(0);
    open.admit(1);
    assert_eq!(levels(standing(&open, &places).await), all(Level::Full));
    remove_segments(&rig, 1);
    let found = standing(&open, &places).await;
    assert!(
        found
            .iter()
            .all(|one| one.mendable && !one.away && &*one.zones[0] == "z1")
    );
    assert_eq!(levels(found), all(Level::Critical));
    remove_segments(&rig, 2);
    assert_eq!(levels(standing(&open, &places).await), all(Level::Lost));
}

/// AZ28 with disks: what survives two losses and lost one is reduced, not critical.
#[tokio::test]
async fn az28_what_survives_another_loss_is_reduced() {
    let rig = Rig::new(3, 2);
    let open = rig.open();
    let (places, _) = put_some(&open).await;
    open.take_out(0);
    let found = standing(&open, &places).await;
    assert!(
        found
            .iter()
            .all(|one| (one.level, one.margin) == (Level::Reduced, 2))
    );
}

/// AZ21, H70: a segment made anew counts as missing until every blob in it was verified, also after a
/// restart.
#[tokio::test]
async fn h70_a_refilled_segment_counts_only_after_verification() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let (places, contents) = put_some(&open).await;
    let whole = rig.disks[1].segments();
    assert!(remove_segments(&rig, 1) > 1);
    // As a read that finds damage does: one blob alone.
    open.blobs.repair(&places[0]).await.unwrap();
    let found = standing(&open, &places).await;
    assert!(
        found
            .iter()
            .all(|one| one.level == Level::Critical && one.mendable)
    );
    let open = rig.open();
    let found = standing(&open, &places).await;
    assert!(
        found
            .iter()
            .all(|one| one.level == Level::Critical && one.mendable)
    );
    let (bad, repaired) = inspect_all(&open, &places, true).await;
    assert_eq!(bad, 0);
    assert!(repaired > 0);
    let survey = open.blobs.survey().await;
    assert!(!survey.filling.is_empty());
    let found = open.blobs.redundancy(&places).await;
    assert!(found.iter().all(|one| one.level == Level::Critical));
    assert_eq!(inspect_all(&open, &places, false).await, (0, 0));
    open.blobs.filled(&survey.filling).await;
    let found = standing(&open, &places).await;
    assert!(found.iter().all(|one| one.level == Level::Full));
    // Byte for byte what was there, where blobs are.
    for (path, bytes) in rig.disks[1].segments() {
        assert!(whole[&path].starts_with(&bytes), "{path}");
    }
    let open = rig.open();
    assert!(open.blobs.survey().await.filling.is_empty());
    for (place, content) in places.iter().zip(&contents) {
        open.assert_reads(place, content).await;
    }
}

/// A mark goes with the refill that was verified, not with a later one.
#[tokio::test]
async fn h70_a_mark_of_a_later_refill_stays() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let (places, _) = put_some(&open).await;
    remove_segments(&rig, 1);
    inspect_all(&open, &places, true).await;
    let before = open.blobs.survey().await.filling;
    remove_segments(&rig, 1);
    open.blobs.survey().await;
    inspect_all(&open, &places[..1], true).await;
    open.blobs.filled(&before).await;
    let found = standing(&open, &places).await;
    assert_eq!(found[0].level, Level::Critical);
    // A mark that does not exist, or of a disk that does not, changes nothing.
    let strange = Filling {
        disk: [9; 16],
        segment: "segments/x".to_owned(),
        refill: 1,
    };
    open.blobs.filled(&[strange]).await;
}

/// H71: what is written while the disks are listed again and again is never taken for gone.
#[tokio::test(flavor = "multi_thread")]
async fn h71_blobs_written_during_surveys_stay_full() {
    let rig = Rig::new(3, 1);
    let open = std::sync::Arc::new(rig.open());
    let looking = std::sync::Arc::clone(&open);
    let looks = strongroom_base::tasks::spawn(async move {
        for _ in 0..200 {
            looking.blobs.survey().await;
        }
    });
    let mut places = Vec::new();
    for seed in 0..40 {
        places.push(open.put(&content(seed, 200_000)).await.place);
        let known = open.blobs.redundancy(&places).await;
        assert!(known.iter().all(|one| one.level == Level::Full));
    }
    looks.await.unwrap();
    let found = standing(&open, &places).await;
    assert!(found.iter().all(|one| one.level == Level::Full));
}

/// A power cut in the middle of a refill: on every start the segments that are not whole are known.
#[tokio::test]
async fn h70_marks_survive_a_power_cut() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let (places, contents) = put_some(&open).await;
    remove_segments(&rig, 2);
    inspect_all(&open, &places[..2], true).await;
    drop(open);
    rig.power_cut();
    let open = rig.open();
    let found = standing(&open, &places).await;
    assert!(
        found
            .iter()
            .all(|one| one.level == Level::Critical && one.mendable)
    );
    assert_eq!(inspect_all(&open, &places, true).await.0, 0);
    for (place, content) in places.iter().zip(&contents) {
        open.assert_reads(place, content).await;
    }
}

/// AZ26, AZ25: damage anywhere in any shard is found and repaired by the look at many blobs at once.
#[tokio::test]
async fn az26_damage_in_any_shard_is_found_and_repaired_in_bulk() {
    for per_zone in [1, 2] {
        let rig = Rig::new(3, per_zone);
        let open = rig.open();
        let (places, contents) = put_some(&open).await;
        for disk in &rig.disks {
            let whole = disk.segments();
            for (number, (path, bytes)) in whole.iter().enumerate() {
                let mut bad = bytes.clone();
                match number % 4 {
                    0 => bad[5000] ^= 1,
                    1 => bad.truncate(5000),
                    2 => bad[4096..].fill(0),
                    _ => bad[100] ^= 4,
                }
                disk.tamper(path, Some(bad));
            }
            assert!(inspect_all(&open, &places, false).await.0 > 0);
            let (bad, repaired) = inspect_all(&open, &places, true).await;
            assert_eq!(bad, 0);
            assert!(repaired > 0);
            assert_eq!(inspect_all(&open, &places, false).await, (0, 0));
        }
        for (place, content) in places.iter().zip(&contents) {
            open.assert_reads(place, content).await;
        }
    }
}

/// AZ24: a disk that takes no write does not keep another from being refilled.
#[tokio::test]
async fn az24_a_failing_target_does_not_keep_others_from_being_refilled() {
    let rig = Rig::new(3, 2);
    let open = rig.open();
    let (places, _) = put_some(&open).await;
    remove_segments(&rig, 0);
    remove_segments(&rig, 2);
    open.blobs.survey().await;
    rig.disks[0].set_faults(|faults| faults.writes_good = Some(0));
    for health in open.blobs.inspect(&places, true).await {
        health.unwrap();
    }
    let holds = |disk: usize| {
        rig.disks[disk]
            .segments()
            .values()
            .any(|bytes| bytes.len() > 4096)
    };
    assert!(!holds(0) && holds(2));
    let found = standing(&open, &places).await;
    let (bad, _) = inspect_all(&open, &places, false).await;
    assert!(bad > 0 && found.iter().all(|one| one.level == Level::Reduced));
    // The disk is given up by the store, and the other is whole.
    assert!(open.handle(0).in_service().is_none());
    let zones: Vec<_> = found.iter().flat_map(|one| one.zones.clone()).collect();
    assert!(zones.iter().any(|zone| &**zone == "z0"));
}

/// AZ28: what a loss would leave is told before it happens, as the loss then shows it, and asking changes
/// nothing.
#[tokio::test]
async fn az28_what_would_be_left_is_told_before_the_loss() {
    let rig = Rig::new(3, 2);
    let open = rig.open();
    let (places, _) = put_some(&open).await;
    open.blobs.survey().await;
    let id = |disk: usize| open.handle(disk).id.0;
    let without = async |disks: &[usize]| {
        let lost = disks.iter().map(|disk| id(*disk)).collect();
        let found = open.blobs.redundancy_without(&places, &lost).await;
        found
            .iter()
            .map(|one| (one.level, one.margin))
            .collect::<Vec<_>>()
    };
    let all = |level, margin| vec![(level, margin); places.len()];
    assert_eq!(without(&[0]).await, all(Level::Reduced, 2));
    assert_eq!(without(&[0, 1, 2]).await, all(Level::Critical, 0));
    // Beyond the parity: gone for ever.
    assert_eq!(without(&[0, 1, 2, 3]).await, all(Level::Lost, 0));
    let now = standing(&open, &places).await;
    assert!(now.iter().all(|one| one.level == Level::Full));
    // A disk that is out may come back; one that is thought lost does not.
    open.take_out(0);
    open.take_out(1);
    open.blobs.survey().await;
    assert_eq!(without(&[2, 3]).await, all(Level::Unreachable, 0));
    assert_eq!(without(&[0, 1, 2, 3]).await, all(Level::Lost, 0));
    // As it then is.
    open.take_out(2);
    let before = without(&[]).await;
    assert_eq!(before, all(Level::Critical, 0));
}
