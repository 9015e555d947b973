//! Damaged segments never give wrong bytes, never panic, and are repaired byte for byte.

mod common;

use std::collections::BTreeMap;

use common::{Opened, Rig, content};
use strongroom_blob::{BlobStore, ErrorKind, Place};

const SIZE: usize = 700_000;

struct Scene {
    rig: Rig,
    place: Place,
    bytes: Vec<u8>,
    /// Segments of each disk as they should be.
    whole: Vec<BTreeMap<String, Vec<u8>>>,
}

async fn scene(zones: usize, per_zone: usize) -> Scene {
    let rig = Rig::new(zones, per_zone);
    let open = rig.open();
    let bytes = content(9, SIZE);
    let place = open.put(&bytes).await.place;
    let whole = rig.disks.iter().map(|disk| disk.segments()).collect();
    Scene {
        rig,
        place,
        bytes,
        whole,
    }
}

type Damage = (&'static str, fn(&mut Vec<u8>, usize));

/// Classes of damage, each at a position.
const DAMAGES: [Damage; 7] = [
    ("bit flipped", |file, at| file[at] ^= 0x10),
    ("byte zeroed", |file, at| file[at] = !file[at]),
    ("4 KiB of zeros", |file, at| {
        let (start, end) = (at / 4096 * 4096, (at / 4096 * 4096 + 4096).min(file.len()));
        file[start..end].fill(0);
    }),
    ("4 KiB of garbage", |file, at| {
        let (start, end) = (at / 4096 * 4096, (at / 4096 * 4096 + 4096).min(file.len()));
        file[start..end].copy_from_slice(&content(5, end - start));
    }),
    ("truncated", |file, at| file.truncate(at)),
    ("block moved", |file, at| {
        let (from, to) = (4096, at / 4096 * 4096);
        let size = (file.len() - to).min(65_536).min(file.len() - from);
        file.copy_within(from..from + size, to);
    }),
    ("all zeros", |file, _| file.fill(0)),
];

fn positions(len: usize) -> Vec<usize> {
    let inner = [
        0,
        8,
        100,
        4095,
        4096,
        4100,
        4136,
        4152,
        4160,
        5000,
        4096 + 65_536 + 64,
    ];
    let mut positions: Vec<usize> = inner.into_iter().filter(|at| *at < len).collect();
    positions.extend([len / 2, len - 1]);
    positions
}

impl Scene {
    fn restore(&self) {
        for (disk, files) in self.rig.disks.iter().zip(&self.whole) {
            for path in disk
                .segments()
                .into_keys()
                .filter(|path| !files.contains_key(path))
            {
                disk.tamper(&path, None);
            }
            for (path, bytes) in files {
                disk.tamper(path, Some(bytes.clone()));
            }
        }
    }

    fn assert_whole(&self, what: &str) {
        for (index, (disk, files)) in self.rig.disks.iter().zip(&self.whole).enumerate() {
            assert!(
                disk.segments() == *files,
                "disk {index} is not as it was: {what}"
            );
        }
    }

    async fn assert_right_and_repaired(&self, open: &Opened, what: &str) {
        let read = open.read(&self.place, SIZE).await;
        assert!(read.is_ok_and(|read| read == self.bytes), "{what}");
        open.blobs.repairs_settled().await;
        let health = open.blobs.repair(&self.place).await.unwrap();
        assert_eq!((health.shards_bad, health.stripes_lost), (0, 0), "{what}");
        self.assert_whole(what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_any_class_at_any_place_of_any_shard_is_read_around_and_repaired() {
    for (zones, per_zone) in [(3, 1), (3, 2)] {
        let scene = scene(zones, per_zone).await;
        for (disk, files) in scene.rig.disks.iter().zip(&scene.whole) {
            for (path, whole) in files {
                for (name, damage) in DAMAGES {
                    for at in positions(whole.len()) {
                        let mut bad = whole.clone();
                        damage(&mut bad, at);
                        disk.tamper(path, Some(bad));
                        let what = format!("{name} at {at} of {path}");
                        scene
                            .assert_right_and_repaired(&scene.rig.open(), &what)
                            .await;
                    }
                }
            }
        }
    }
}

/// What the page cache holds costs no disk anything, and is believed no more than what a disk says.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_memory_is_read_without_a_disk_and_verified_like_all_else() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let bytes = content(7, 100_000);
    let place = open.put(&bytes).await.place;
    open.assert_reads(&place, &bytes).await;
    let reads = || -> usize { rig.disks.iter().map(|disk| disk.reads()).sum() };
    for disk in &rig.disks {
        disk.set_faults(|faults| (faults.in_memory, faults.reads_hang) = (true, true));
    }
    let before = reads();
    open.assert_reads(&place, &bytes).await;
    assert_eq!(reads(), before, "no disk was asked");
    for disk in &rig.disks {
        disk.set_faults(|faults| faults.reads_hang = false);
    }
    for disk in &rig.disks {
        for (path, whole) in disk.segments() {
            let mut bad = whole.clone();
            bad[4096..]
                .iter_mut()
                .step_by(1000)
                .for_each(|byte| *byte ^= 1);
            disk.tamper(&path, Some(bad));
            open.assert_reads(&place, &bytes).await;
            open.blobs.repairs_settled().await;
            disk.tamper(&path, Some(whole));
        }
    }
    assert!(
        reads() > before,
        "what does not verify is asked of the disks"
    );
}

/// A file that was removed below the store and made anew is what clients read from then on, not the one
/// that was open.
#[tokio::test(flavor = "multi_thread")]
async fn readers_follow_a_segment_that_was_made_anew() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let bytes = content(8, 100_000);
    let place = open.put(&bytes).await.place;
    open.assert_reads(&place, &bytes).await;
    let bad = || {
        let counters = &open.disks.counters;
        counters
            .shards_bad
            .load(std::sync::atomic::Ordering::Relaxed)
    };
    let mut seen = 0;
    for disk in &rig.disks {
        let paths: Vec<String> = disk.segments().into_keys().collect();
        for path in &paths {
            disk.tamper(path, None);
        }
        open.blobs.repair(&place).await.unwrap();
        // What is damaged in the new file is met by reads.
        for path in &paths {
            let mut file = disk.segments()[path].clone();
            file[4096..].iter_mut().for_each(|byte| *byte ^= 1);
            disk.tamper(path, Some(file));
        }
        let before = bad();
        open.assert_reads(&place, &bytes).await;
        seen += usize::from(bad() > before);
        open.blobs.repairs_settled().await;
        open.blobs.repair(&place).await.unwrap();
    }
    assert_eq!(seen, 2, "the disks that hold the two data shards");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_segment_is_read_around_and_recreated_byte_for_byte() {
    let scene = scene(3, 2).await;
    for (disk, files) in scene.rig.disks.iter().zip(&scene.whole) {
        for path in files.keys() {
            disk.tamper(path, None);
            let open = scene.rig.open();
            open.assert_reads(&scene.place, &scene.bytes).await;
            open.blobs.repairs_settled().await;
            assert!(disk.segments().contains_key(path), "the read recreated it");
            // Stripes read after that found the file, and no reason to look at its parity.
            open.blobs.repair(&scene.place).await.unwrap();
            scene.assert_whole(path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_repairs_a_damaged_data_shard_without_being_asked() {
    let scene = scene(3, 1).await;
    for (disk, files) in scene.rig.disks.iter().zip(&scene.whole) {
        for (path, whole) in files {
            let mut bad = whole.clone();
            bad[5000] ^= 1;
            disk.tamper(path, Some(bad));
        }
        let open = scene.rig.open();
        open.assert_reads(&scene.place, &scene.bytes).await;
        open.blobs.repairs_settled().await;
        // A read that needed no parity did not look at it.
        let is_parity = files.keys().all(|path| path.ends_with(".2.seg"));
        if is_parity {
            scene.restore();
        }
        scene.assert_whole("after the read");
    }
}

/// The columns of a stripe are decoded each for itself, so one bad block in every shard is no loss.
#[tokio::test(flavor = "multi_thread")]
async fn bad_blocks_in_different_columns_of_every_shard_are_decoded() {
    let scene = scene(3, 1).await;
    for (index, (disk, files)) in scene.rig.disks.iter().zip(&scene.whole).enumerate() {
        for (path, whole) in files
            .iter()
            .filter(|(_, whole)| whole.len() > 4096 + 2 * 65_536)
        {
            let mut bad = whole.clone();
            // Two blocks a shard at this stripe size: the third shard is left whole.
            if index < 2 {
                bad[4096 + index * 65_536 + 100] ^= 1;
            }
            disk.tamper(path, Some(bad));
        }
    }
    scene
        .assert_right_and_repaired(&scene.rig.open(), "one block in two shards")
        .await;
}

/// H39: a file of another disk is damage, not data; and nothing wrong is read.
#[tokio::test(flavor = "multi_thread")]
async fn h39_segments_swapped_between_disks_are_read_around_and_put_right() {
    let scene = scene(3, 2).await;
    let (first, second) = (&scene.rig.disks[0], &scene.rig.disks[2]);
    for (path_a, a) in first.segments() {
        for (path_b, b) in second.segments() {
            first.tamper(&path_a, Some(b.clone()));
            second.tamper(&path_b, Some(a.clone()));
            scene
                .assert_right_and_repaired(&scene.rig.open(), "contents swapped")
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_of_another_store_are_damage() {
    let scene = scene(3, 1).await;
    let other = Rig::new(3, 1);
    let open = other.open();
    open.put(&content(77, SIZE)).await;
    let foreign = other.disks[0].segments().into_values().next().unwrap();
    let disk = &scene.rig.disks[1];
    for path in disk.segments().into_keys() {
        disk.tamper(&path, Some(foreign.clone()));
    }
    let open = scene.rig.open();
    open.assert_reads(&scene.place, &scene.bytes).await;
    let health = open.blobs.repair(&scene.place).await.unwrap();
    assert_eq!(health.shards_bad, 0);
    open.assert_reads(&scene.place, &scene.bytes).await;
}

/// H40: more bad shards than the code can lose are a loss, said so, and nothing is written.
#[tokio::test(flavor = "multi_thread")]
async fn h40_a_stripe_that_can_not_be_decoded_is_reported_and_not_touched() {
    let scene = scene(3, 1).await;
    for disk in &scene.rig.disks[..2] {
        for (path, mut bytes) in disk.segments() {
            bytes[5000] ^= 1;
            disk.tamper(&path, Some(bytes));
        }
    }
    let before: Vec<_> = scene.rig.disks.iter().map(|disk| disk.segments()).collect();
    let open = scene.rig.open();
    let read = open.read(&scene.place, SIZE).await.map(|_| ());
    assert_eq!(read.unwrap_err().kind, ErrorKind::Corrupt);
    assert_eq!(
        open.blobs.repair(&scene.place).await.unwrap_err().kind,
        ErrorKind::Corrupt
    );
    open.blobs.repairs_settled().await;
    let after: Vec<_> = scene.rig.disks.iter().map(|disk| disk.segments()).collect();
    assert!(before == after);
}

/// A lost write: the disk said yes and kept what was there before, zeros or older blocks.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_write_is_noticed_because_the_nonce_of_the_blob_is_not_there() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    open.put(&content(1, 30_000)).await;
    let before = rig.disks[1].segments();
    let bytes = content(2, 30_000);
    let place = open.put(&bytes).await.place;
    for (path, old) in before {
        // The older blob's blocks, at the younger one's offset.
        let mut stale = old.clone();
        stale.extend_from_slice(&old[4096..]);
        rig.disks[1].tamper(&path, Some(stale));
    }
    let open = rig.open();
    open.assert_reads(&place, &bytes).await;
    assert_eq!(open.blobs.verify(&place).await.unwrap().shards_bad, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_can_not_be_read_is_decoded_around() {
    let scene = scene(3, 2).await;
    for disk in [0, 3] {
        scene.rig.disks[disk].set_faults(|faults| faults.reads_fail = true);
    }
    let open = scene.rig.open();
    open.assert_reads(&scene.place, &scene.bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_are_damaged_give_errors_and_no_bytes_of_others() {
    let scene = scene(3, 1).await;
    let open = scene.rig.open();
    for at in 0..scene.place.0.len() {
        let mut bytes = scene.place.0.to_vec();
        bytes[at] ^= 0x04;
        let place = Place(bytes.into());
        if let Ok(read) = open.read(&place, SIZE).await {
            assert!(read == scene.bytes, "byte {at}");
        }
    }
}
