//! Zones and disks that go, and come back: every blob stays readable and new ones are accepted.

mod common;

use common::{Opened, Rig, content};
use strongroom_blob::{BlobStore, ErrorKind, Place};

const SIZES: [usize; 7] = [0, 1, 20_000, 65_472, 200_001, 900_000, 3_500_000];

async fn put_all(open: &Opened, seed: u64) -> Vec<(Place, Vec<u8>)> {
    let mut blobs = Vec::new();
    for (i, size) in SIZES.into_iter().enumerate() {
        let bytes = content(seed + i as u64, size);
        blobs.push((open.put(&bytes).await.place, bytes));
    }
    blobs
}

async fn assert_all(open: &Opened, blobs: &[(Place, Vec<u8>)]) {
    for (place, bytes) in blobs {
        open.assert_reads(place, bytes).await;
        assert_eq!(&open.blobs.owner(place).await.unwrap()[..], b"me");
        if bytes.len() > 70_000 {
            let range = 65_000..70_000;
            let part = open
                .blobs
                .read(place, range.start as u64..range.end as u64)
                .await
                .unwrap();
            assert!(common::collect(part).await.unwrap() == bytes[range]);
        }
    }
}

/// AZ01, AZ02, AZ13: any one zone is destroyed; all is read, and writing goes on with a code that
/// survives the loss of another zone of what is left.
async fn each_zone_destroyed(zones: usize, per_zone: usize, one_more_disk: bool) {
    for lost in 0..zones {
        let rig = Rig::new(zones, per_zone);
        let open = rig.open();
        let before = put_all(&open, 100).await;
        for disk in rig.zone(lost) {
            open.take_out(disk);
            rig.disks[disk].wipe();
        }
        assert_all(&open, &before).await;
        let written = open.put(b"reduced").await;
        assert!(written.reduced && open.blobs.is_reduced(&written.place));
        assert!((written.durable)());
        let after = put_all(&open, 200).await;
        assert_all(&open, &after).await;
        if one_more_disk {
            // AZ03: blobs of before survive the zone and one more disk.
            let disk = rig.zone((lost + 1) % zones).start;
            open.take_out(disk);
            rig.disks[disk].wipe();
            assert_all(&open, &before).await;
            assert_all(&open, &after).await;
            open.admit(disk);
        }
        if zones > 2 {
            let next = (lost + 1) % zones;
            for disk in rig.zone(next) {
                open.take_out(disk);
                rig.disks[disk].wipe();
            }
            assert_all(&open, &after).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_blob_survives_any_zone_of_two() {
    each_zone_destroyed(2, 1, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_blob_survives_any_zone_of_three() {
    each_zone_destroyed(3, 1, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_blob_survives_any_zone_of_three_with_two_disks_and_a_disk_more() {
    each_zone_destroyed(3, 2, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_blob_survives_any_zone_of_three_with_four_disks_and_a_disk_more() {
    each_zone_destroyed(3, 4, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_blob_survives_any_zone_of_six_with_two_disks_and_a_disk_more() {
    each_zone_destroyed(6, 2, true).await;
}

/// In a store of one zone each disk is a member.
#[tokio::test(flavor = "multi_thread")]
async fn every_blob_of_one_zone_of_three_disks_survives_any_disk() {
    for lost in 0..3 {
        let rig = Rig::new(1, 3);
        let open = rig.open();
        let blobs = put_all(&open, 1).await;
        open.take_out(lost);
        rig.disks[lost].wipe();
        assert_all(&open, &blobs).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_are_read_by_a_later_process_that_writes_to_new_groups_only() {
    let rig = Rig::new(3, 2);
    let first = rig.open();
    let blobs = put_all(&first, 1).await;
    drop(first);
    let before: Vec<_> = rig.disks.iter().map(|disk| disk.segments()).collect();
    let second = rig.open();
    assert_all(&second, &blobs).await;
    put_all(&second, 50).await;
    // H8: no file of the earlier process is appended to.
    for (disk, before) in rig.disks.iter().zip(before) {
        let after = disk.segments();
        assert!(after.len() > before.len());
        assert!(before.iter().all(|(path, bytes)| after[path] == *bytes));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_comes_back_is_listed_again_and_takes_new_blobs() {
    let rig = Rig::new(3, 1);
    let first = rig.open();
    let old = content(1, 700_000);
    let old_place = first.put(&old).await.place;
    drop(first);
    rig.disks[1].set_faults(|faults| faults.offline = true);
    let open = rig.open();
    open.assert_reads(&old_place, &old).await;
    let reduced = open.put(&content(2, 100_000)).await;
    assert!(reduced.reduced);

    rig.disks[1].set_faults(|faults| faults.offline = false);
    open.admit(1);
    // Its shards count again: another zone may go.
    open.take_out(0);
    open.assert_reads(&old_place, &old).await;
    open.admit(0);
    let full = open.put(&content(3, 100_000)).await;
    assert!(!full.reduced && !open.blobs.is_reduced(&full.place));
    assert!(open.blobs.is_reduced(&reduced.place));
    let again = open.blobs.rewrite(&reduced.place).await.unwrap();
    assert!(!again.reduced);
    open.assert_reads(&again.place, &content(2, 100_000)).await;
    assert_eq!(&open.blobs.owner(&again.place).await.unwrap()[..], b"me");
}

/// H9: a disk that was put out for failing writes may hold a last copy, and is read.
#[tokio::test(flavor = "multi_thread")]
async fn h9_disks_that_are_out_are_still_read_when_nothing_else_is_left() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let bytes = content(1, 500_000);
    let place = open.put(&bytes).await.place;
    open.take_out(0);
    open.take_out(1);
    open.assert_reads(&place, &bytes).await;
    rig.disks[0].wipe();
    rig.disks[1].wipe();
    let error = open
        .read(&place, bytes.len())
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let repair = open.blobs.repair(&place).await.unwrap_err();
    assert_eq!(repair.kind, ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupt_is_answered_only_when_every_disk_answered() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let bytes = content(1, 500_000);
    let place = open.put(&bytes).await.place;
    drop(open);
    for disk in 0..2 {
        for path in rig.disks[disk].segments().into_keys() {
            rig.disks[disk].tamper(&path, None);
        }
    }
    let open = rig.open();
    let error = open
        .read(&place, bytes.len())
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    let health = open.blobs.verify(&place).await.unwrap();
    assert!(health.stripes_lost > 0);
    assert_eq!(
        open.blobs.repair(&place).await.unwrap_err().kind,
        ErrorKind::Corrupt
    );
    open.take_out(0);
    let error = open
        .read(&place, bytes.len())
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

/// H31: bad disks in two zones narrow the code, and cost no zone.
#[tokio::test(flavor = "multi_thread")]
async fn h31_writes_go_on_in_three_zones_with_a_bad_disk_in_two_of_them() {
    let rig = Rig::new(3, 4);
    let open = rig.open();
    open.take_out(0);
    open.take_out(5);
    let bytes = content(1, 800_000);
    let place = open.put(&bytes).await.place;
    for zone in 0..3 {
        for disk in rig.zone(zone) {
            open.take_out(disk);
        }
        open.assert_reads(&place, &bytes).await;
        rig.zone(zone).for_each(|disk| open.admit(disk));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_disk_a_put_is_unavailable() {
    let rig = Rig::new(2, 1);
    let open = rig.open();
    open.take_out(0);
    open.take_out(1);
    assert_eq!(
        open.try_put(b"x").await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
}

/// T7: every pattern of lost disks up to the parity is read, and one more is `Unavailable`.
#[tokio::test(flavor = "multi_thread")]
async fn every_pattern_of_lost_disks_up_to_the_parity_is_read() {
    for (per_zone, parity) in [(1, 1), (2, 3), (4, 5)] {
        let rig = Rig::new(3, per_zone);
        let open = rig.open();
        let bytes = content(1, 100_000);
        let place = open.put(&bytes).await.place;
        let (mut read, mut refused) = (0, 0);
        for pattern in 0u32..1 << rig.disks.len() {
            let lost = |disk: usize| pattern >> disk & 1 == 1;
            if pattern.count_ones() > parity + 1 {
                continue;
            }
            for disk in (0..rig.disks.len()).filter(|disk| lost(*disk)) {
                rig.disks[disk].set_faults(|faults| faults.offline = true);
                open.take_out(disk);
            }
            if pattern.count_ones() <= parity {
                open.assert_reads(&place, &bytes).await;
                read += 1;
            } else {
                let answer = open.read(&place, bytes.len()).await;
                assert_eq!(answer.map(|_| ()).unwrap_err().kind, ErrorKind::Unavailable);
                refused += 1;
            }
            for disk in (0..rig.disks.len()).filter(|disk| lost(*disk)) {
                rig.disks[disk].set_faults(|faults| faults.offline = false);
                open.admit(disk);
            }
        }
        println!("3x{per_zone}: {read} patterns read, {refused} refused");
        assert!(read > 0 && refused > 0);
    }
}
