//! Disks that neither answer nor fail in time: readers ask others, and then ask others first (AZ17).

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{Opened, Rig, content};
use strongroom_blob::Place;
use strongroom_blob_zones::Settings;

/// Reads of an object before anything happens: enough for the store to know its disks.
const WARM_READS: usize = 20;

fn settings() -> Settings {
    Settings {
        // Far above what a busy machine takes to read memory.
        hedge_after_min: Duration::from_millis(300),
        hedge_after: Duration::from_millis(600),
        ..common::small()
    }
}

async fn read_some(open: &Opened, place: &Place, bytes: &[u8], count: usize) {
    for _ in 0..count {
        open.assert_reads(place, bytes).await;
    }
}

fn hedged(open: &Opened) -> u64 {
    open.disks.counters.reads_hedged.load(Ordering::Relaxed)
}

/// AZ17: one read in a while pays for a slow disk, not each.
#[tokio::test(flavor = "multi_thread")]
async fn az17_a_disk_that_keeps_readers_waiting_is_set_aside_for_ever_longer_times() {
    let rig = Rig::new(3, 2);
    let open = rig.open_with(settings());
    let bytes = content(1, 300_000);
    let place = open.put(&bytes).await.place;
    read_some(&open, &place, &bytes, WARM_READS).await;
    // The disks that these reads ask: one of them begins to hang.
    let asked = (0..6).find(|disk| rig.disks[*disk].reads() >= WARM_READS);
    let slow = &rig.disks[asked.expect("a disk with a data shard")];
    slow.set_faults(|faults| faults.reads_hang = true);
    read_some(&open, &place, &bytes, 5).await;
    assert!(hedged(&open) > 0, "somebody waited, and asked others");
    let before = slow.reads();
    read_some(&open, &place, &bytes, 10).await;
    assert_eq!(slow.reads(), before, "it is set aside");
    let mut asked_again = Vec::new();
    for _ in 0..7 {
        rig.clock.advance(Duration::from_secs(11));
        let before = slow.reads();
        read_some(&open, &place, &bytes, 1).await;
        asked_again.push(slow.reads() > before);
    }
    // After 10 seconds it is asked, then after 20 more, then after 40 more.
    assert_eq!(
        asked_again,
        [true, false, true, false, false, false, true],
        "each time it is left alone for longer"
    );
    slow.set_faults(|faults| faults.reads_hang = false);
}

/// H32: when all are slow alike, none is set aside for it and reads still end.
#[tokio::test(flavor = "multi_thread")]
async fn h32_reads_end_when_every_disk_was_slow_for_a_while() {
    let rig = Rig::new(3, 1);
    let open = rig.open_with(settings());
    let bytes = content(2, 400_000);
    let place = open.put(&bytes).await.place;
    read_some(&open, &place, &bytes, WARM_READS).await;
    for disk in &rig.disks {
        disk.set_faults(|faults| faults.reads_hang = true);
    }
    let lift = async {
        strongroom_base::tasks::sleep(Duration::from_millis(1500)).await;
        for disk in &rig.disks {
            disk.set_faults(|faults| faults.reads_hang = false);
        }
    };
    let (read, ()) = futures::join!(open.read(&place, bytes.len()), lift);
    assert!(read.unwrap() == bytes, "other bytes");
    read_some(&open, &place, &bytes, 3).await;
}
