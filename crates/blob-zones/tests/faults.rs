//! Disks that fail, fill up, hang or lose power while blobs are written.

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::{Rig, content, until};
use strongroom_base::tasks;
use strongroom_blob::{BlobStore, ErrorKind};
use strongroom_zones::OutReason;

/// H10, H11, H35: whichever disk fails, after however many writes, the put succeeds without the client
/// sending again, and what it gave out is whole without that disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_in_the_middle_of_a_put_costs_the_client_nothing() {
    for per_zone in [1, 2] {
        for writes in [0, 1, 2, 4, 9] {
            let rig = Rig::new(3, per_zone);
            let open = rig.open();
            let bytes = content(writes as u64, 3_000_000);
            rig.disks[1].set_faults(|faults| faults.writes_good = Some(writes));
            let written = open.put(&bytes).await;
            assert!((written.durable)());
            assert!(written.reduced);
            assert!(matches!(
                open.handle(1).out_reason(),
                Some(OutReason::Failed(_))
            ));
            rig.disks[1].wipe();
            open.take_out(0);
            rig.disks[0].wipe();
            open.assert_reads(&written.place, &bytes).await;
        }
    }
}

/// H35: the second sync of this disk would say yes.
#[tokio::test(flavor = "multi_thread")]
async fn h35_a_failed_sync_takes_the_disk_out_and_the_blob_is_written_elsewhere() {
    let rig = Rig::new(3, 2);
    let open = rig.open();
    open.put(b"a group is open").await;
    rig.disks[4].set_faults(|faults| faults.syncs_fail = true);
    let bytes = content(1, 300_000);
    let written = open.put(&bytes).await;
    assert!(matches!(
        open.handle(4).out_reason(),
        Some(OutReason::Failed(_))
    ));
    assert!((written.durable)());
    rig.power_cut();
    let again = rig.open();
    again.take_out(4);
    let health = again.blobs.verify(&written.place).await.unwrap();
    assert_eq!(
        (health.shards_bad, health.stripes_lost),
        (0, 0),
        "no shard is on the bad disk"
    );
    again.assert_reads(&written.place, &bytes).await;
}

/// H10, AZ08: acknowledged means that a power cut at that instant takes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn h10_every_shard_of_a_blob_put_survives_a_power_cut_of_all_disks() {
    for (zones, per_zone) in [(1, 1), (1, 3), (2, 1), (3, 1), (3, 2)] {
        let rig = Rig::new(zones, per_zone);
        let open = rig.open();
        let mut blobs = Vec::new();
        for (seed, size) in [30_000, 1_500_000, 1].into_iter().enumerate() {
            let bytes = content(seed as u64, size);
            blobs.push((open.put(&bytes).await.place, bytes));
        }
        rig.power_cut();
        let again = rig.open();
        for (place, bytes) in blobs {
            let health = again.blobs.verify(&place).await.unwrap();
            assert_eq!(health.shards_bad, 0);
            again.assert_reads(&place, &bytes).await;
        }
    }
}

/// H10: a disk that left service between the sync and the commit, even if it is back.
#[tokio::test(flavor = "multi_thread")]
async fn h10_a_blob_is_no_longer_durable_once_one_of_its_disks_left_service() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let written = open.put(&content(1, 100_000)).await;
    assert!((written.durable)());
    open.take_out(2);
    assert!(!(written.durable)());
    open.admit(2);
    assert!(!(written.durable)());
    let again = open.blobs.rewrite(&written.place).await.unwrap();
    assert!((again.durable)());
    assert!(!(written.durable)());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_left_out_and_stays_in_service() {
    let rig = Rig::new(3, 2);
    let open = rig.open();
    rig.disks[3].set_faults(|faults| faults.writes_full = true);
    let bytes = content(1, 900_000);
    let written = open.put(&bytes).await;
    assert!(written.reduced);
    assert_eq!(open.handle(3).out_reason(), None);
    open.assert_reads(&written.place, &bytes).await;
    assert_eq!(
        open.blobs.verify(&written.place).await.unwrap().shards_bad,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_a_member_that_is_full_answers_full_and_reads_on() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let bytes = content(1, 100_000);
    let place = open.put(&bytes).await.place;
    let faults: [fn(&mut common::Faults); 2] = [
        |faults| faults.writes_full = true,
        |faults| faults.space_free = Some(1000),
    ];
    for fault in faults {
        rig.disks[1].set_faults(fault);
        let big = content(2, 3_000_000);
        assert_eq!(open.try_put(&big).await.unwrap_err().kind, ErrorKind::Full);
        open.assert_reads(&place, &bytes).await;
        assert_eq!(open.handle(1).out_reason(), None);
        rig.disks[1].set_faults(|faults| *faults = common::Faults::default());
        open.assert_reads(&open.put(&big).await.place, &big).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_is_unavailable_when_more_disks_fail_than_the_code_can_lose() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    for disk in &rig.disks {
        disk.set_faults(|faults| faults.writes_good = Some(3));
    }
    let error = open.try_put(&content(1, 2_000_000)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

/// AZ17: the read decodes around a disk that does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_does_not_wait_for_a_disk_that_hangs() {
    let rig = Rig::new(3, 2);
    let open = rig.open();
    let bytes = content(1, 900_000);
    let place = open.put(&bytes).await.place;
    rig.disks[0].set_faults(|faults| faults.reads_hang = true);
    rig.disks[3].set_faults(|faults| faults.reads_hang = true);
    open.assert_reads(&place, &bytes).await;
    assert_eq!(
        open.handle(0).out_reason(),
        None,
        "H32: slowness is not judged here"
    );
    for disk in [0, 3] {
        rig.disks[disk].set_faults(|faults| faults.reads_hang = false);
    }
}

/// H8: the hung write lands after its disk was put out and admitted again.
#[tokio::test(flavor = "multi_thread")]
async fn h8_a_put_goes_on_when_a_hung_disk_is_put_out_and_the_late_write_harms_nothing() {
    let rig = Rig::new(3, 1);
    let open = Arc::new(rig.open());
    let first = content(1, 400_000);
    let first_place = open.put(&first).await.place;
    rig.disks[2].set_faults(|faults| faults.writes_hang = true);
    let bytes = content(2, 1_200_000);
    let put = tasks::spawn({
        let (open, bytes) = (Arc::clone(&open), bytes.clone());
        async move { open.put(&bytes).await }
    });
    tasks::sleep(std::time::Duration::from_millis(50)).await;
    assert!(
        !put.is_finished(),
        "H11: no put succeeds with fewer shards than its code has"
    );
    open.disks.take_out(open.handle(2).id, OutReason::Hung);
    let written = put.await.unwrap();
    assert!(written.reduced && (written.durable)());

    open.admit(2);
    let later = content(3, 1_200_000);
    let put = tasks::spawn({
        let (open, later) = (Arc::clone(&open), later.clone());
        async move { open.put(&later).await }
    });
    rig.disks[2].set_faults(|faults| faults.writes_hang = false);
    let later_place = put.await.unwrap().place;
    for (place, bytes) in [
        (first_place, first),
        (written.place, bytes),
        (later_place, later),
    ] {
        open.assert_reads(&place, &bytes).await;
        assert_eq!(open.blobs.verify(&place).await.unwrap().stripes_lost, 0);
    }
}

/// H41: the folder of an unmounted disk is an empty folder of another file system.
#[tokio::test(flavor = "multi_thread")]
async fn h41_nothing_is_created_in_the_empty_folder_of_an_unmounted_disk() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let bytes = content(1, 200_000);
    let place = open.put(&bytes).await.place;
    drop(open);
    let open = rig.open();
    rig.disks[0].wipe();
    open.assert_reads(&place, &bytes).await;
    open.blobs.repairs_settled().await;
    let written = open.put(&content(2, 200_000)).await;
    assert!(written.reduced);
    assert!(rig.disks[0].segments().is_empty());
    assert_eq!(rig.disks[0].created(), 0);
    assert!(open.handle(0).out_reason().is_some());
}

/// One sync of each file is shared by uploads that wait for it at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_at_once_share_groups_and_all_are_read_back() {
    let rig = Rig::new(3, 2);
    let open = Arc::new(rig.open());
    let puts = (0..40u64).map(|seed| {
        let open = Arc::clone(&open);
        tasks::spawn(async move {
            let bytes = content(seed, 30_000 + seed as usize * 3000);
            (open.put(&bytes).await.place, bytes)
        })
    });
    let puts: Vec<_> = puts.collect();
    for put in puts {
        let (place, bytes) = put.await.unwrap();
        open.assert_reads(&place, &bytes).await;
    }
    let syncs = open.disks.counters.segment_syncs.load(Ordering::Relaxed);
    assert!(syncs <= 40 * 6, "{syncs} syncs for 40 blobs on 6 disks");
}

/// Uploads that wait for room in the queue of a disk hold none of it: else all would wait for ever.
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_uploads_of_several_stripes_and_segments_end() {
    let rig = Rig::new(3, 1);
    let open = Arc::new(rig.open());
    let bytes = Arc::new(content(1, 1_600_000));
    let puts: Vec<_> = (0..200)
        .map(|_| {
            let (open, bytes) = (Arc::clone(&open), Arc::clone(&bytes));
            tasks::spawn(async move { open.put(&bytes).await.place })
        })
        .collect();
    for put in puts {
        let place = put.await.unwrap();
        open.assert_reads(&place, &bytes).await;
    }
    let long = content(2, 40_000_000);
    let settings = strongroom_blob_zones::Settings {
        segment_size: 300_000 / 4096 * 4096,
        ..common::small()
    };
    let narrow = rig.open_with(settings);
    let place = narrow.put(&long).await.place;
    narrow.assert_reads(&place, &long).await;
}

/// What a failed upload leaves is garbage, and the room it did not use is given to the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_fails_leaves_the_store_as_it_was() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let bytes = content(1, 50_000);
    let place = open.put(&bytes).await.place;
    let files: usize = rig.disks.iter().map(|disk| disk.segments().len()).sum();
    for _ in 0..20 {
        let options = strongroom_blob::PutOptions {
            size: 900_000,
            owner: Default::default(),
        };
        let failing = futures::stream::iter([
            Ok(bytes::Bytes::from(content(2, 1000))),
            Err(strongroom_blob::Error::new(
                ErrorKind::Content,
                "client went away",
            )),
        ]);
        let error = open
            .blobs
            .put(options, Box::pin(failing))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::Content, "client went away")
        );
    }
    open.assert_reads(&place, &bytes).await;
    until("one more group at most", || {
        rig.disks
            .iter()
            .map(|disk| disk.segments().len())
            .sum::<usize>()
            <= files + 3
    })
    .await;
}
