//! Space that is given back: of blobs that were freed, and of bytes that no record names.

mod common;

use std::time::Duration;

use common::{Opened, Rig, content};
use strongroom_blob::{BlobStore, ErrorKind, Freed, Place, Written};

const SIZE: usize = 300_000;

/// Bytes of all segments that are not zero.
fn used(rig: &Rig) -> usize {
    let segments = rig.disks.iter().flat_map(|disk| disk.segments());
    segments
        .map(|(_, bytes)| bytes.iter().filter(|byte| **byte != 0).count())
        .sum()
}

fn file_count(rig: &Rig) -> usize {
    rig.disks.iter().map(|disk| disk.segments().len()).sum()
}

/// Scans with `kept` as all there is.
async fn mark(open: &Opened, kept: &[&Place]) -> Freed {
    let mut mark = open.blobs.begin_mark().await.unwrap();
    for place in kept {
        mark.keep(place).unwrap();
    }
    mark.sweep().await.unwrap()
}

/// Ends every open group: a disk leaves service and comes back.
fn end_groups(open: &Opened) {
    open.take_out(0);
    open.admit(0);
}

#[tokio::test]
async fn a_freed_blob_gives_its_space_back_and_its_neighbours_stay_whole() {
    for (zones, per_zone) in [(1, 1), (3, 1), (3, 2)] {
        let rig = Rig::new(zones, per_zone);
        let open = rig.open();
        let bytes: Vec<Vec<u8>> = (0..3).map(|seed| content(seed, SIZE)).collect();
        let mut places = Vec::new();
        for bytes in &bytes {
            places.push(open.put(bytes).await.place);
        }
        let before = used(&rig);
        let freed = open.blobs.free(&places[1]).await.unwrap();
        assert_eq!(freed.skipped, 0);
        assert!(freed.bytes >= SIZE as u64, "{freed:?}");
        let given_back = before - used(&rig);
        assert!(given_back > SIZE * 9 / 10, "{given_back} of {before}");
        for index in [0, 2] {
            open.assert_reads(&places[index], &bytes[index]).await;
            let health = open.blobs.verify(&places[index]).await.unwrap();
            assert_eq!((health.shards_bad, health.stripes_lost), (0, 0));
        }
        let error = open.read(&places[1], SIZE).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
        // Again, as after a crash in between, and in a later process.
        open.blobs.free(&places[1]).await.unwrap();
        drop(open);
        let open = rig.open();
        open.blobs.free(&places[1]).await.unwrap();
        open.assert_reads(&places[0], &bytes[0]).await;
        let after = open.put(&bytes[1]).await.place;
        open.assert_reads(&after, &bytes[1]).await;
    }
}

// H9
#[tokio::test]
async fn a_disk_that_was_out_keeps_what_was_freed_until_a_mark_scan_finds_it() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let bytes = [content(1, SIZE), content(2, SIZE)];
    let live = open.put(&bytes[0]).await.place;
    let dead = open.put(&bytes[1]).await.place;
    open.take_out(0);
    let freed = open.blobs.free(&dead).await.unwrap();
    assert!(freed.skipped > 0, "{freed:?}");
    open.admit(0);
    let left = used(&rig);
    mark(&open, &[&live]).await;
    assert!(used(&rig) < left - SIZE / 3, "{} of {left}", used(&rig));
    open.assert_reads(&live, &bytes[0]).await;
    let health = open.blobs.verify(&live).await.unwrap();
    assert_eq!((health.shards_bad, health.stripes_lost), (0, 0));
}

// H28
#[tokio::test]
async fn bytes_that_wait_for_their_commit_are_left_alone_by_a_mark_scan() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let bytes = content(1, SIZE);
    let Written { place, durable, .. } = open.put(&bytes).await;
    mark(&open, &[]).await;
    open.assert_reads(&place, &bytes).await;
    // The group takes nothing more, and somebody still may commit the place.
    end_groups(&open);
    for _ in 0..3 {
        mark(&open, &[]).await;
        rig.clock.advance(Duration::from_secs(3600));
    }
    open.assert_reads(&place, &bytes).await;
    // A scan that began while it was held does not look at it either.
    let scan = open.blobs.begin_mark().await.unwrap();
    drop(durable);
    scan.sweep().await.unwrap();
    open.assert_reads(&place, &bytes).await;
}

#[tokio::test]
async fn a_group_without_live_bytes_is_removed_by_the_second_of_two_scans_that_are_apart() {
    let rig = Rig::new(3, 1);
    let bytes = [content(1, SIZE), content(2, SIZE)];
    let open = rig.open();
    let place = open.put(&bytes[0]).await.place;
    drop(open);
    let open = rig.open();
    let files = file_count(&rig);
    mark(&open, &[]).await;
    mark(&open, &[]).await;
    open.assert_reads(&place, &bytes[0]).await;
    // Seen again meanwhile: the time begins anew.
    rig.clock.advance(Duration::from_secs(3600));
    mark(&open, &[&place]).await;
    mark(&open, &[]).await;
    assert_eq!(file_count(&rig), files);
    rig.clock.advance(Duration::from_secs(3600));
    let freed = mark(&open, &[]).await;
    assert!(freed.bytes > 0 && file_count(&rig) == 0, "{freed:?}");
    assert!(open.read(&place, SIZE).await.is_err());
    let later = open.put(&bytes[1]).await.place;
    open.assert_reads(&later, &bytes[1]).await;
}

#[tokio::test]
async fn what_a_dropped_upload_left_is_found_by_a_mark_scan() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let bytes = content(1, SIZE);
    let live = open.put(&bytes).await.place;
    drop(open.put(&content(2, SIZE)).await);
    end_groups(&open);
    let before = used(&rig);
    mark(&open, &[&live]).await;
    assert!(before - used(&rig) > SIZE, "{} of {before}", used(&rig));
    open.assert_reads(&live, &bytes).await;
}

#[tokio::test]
async fn a_place_that_does_not_parse_ends_a_scan_and_frees_nothing() {
    let rig = Rig::new(1, 1);
    let open = rig.open();
    let place = open.put(&content(1, SIZE)).await.place;
    let broken = Place(place.0.slice(..place.0.len() - 1));
    let mut scan = open.blobs.begin_mark().await.unwrap();
    assert_eq!(scan.keep(&broken).unwrap_err().kind, ErrorKind::Corrupt);
    let error = open.blobs.free(&broken).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_disk_that_fails_while_space_is_given_back_goes_out_and_the_free_is_repeated() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let place = open.put(&content(1, SIZE)).await.place;
    rig.disks[1].set_faults(|faults| faults.punches_fail = true);
    let error = open.blobs.free(&place).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(open.handle(1).in_service().is_none());
    let freed = open.blobs.free(&place).await.unwrap();
    assert!(freed.skipped > 0 && freed.bytes > 0, "{freed:?}");
}
