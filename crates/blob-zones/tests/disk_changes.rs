//! Blobs across a change of disks (RFC 0010): their shards belong to the disk that has the place of
//! the dead one.

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{RamDisk, collect, content, small, stream_of};
use strongroom_base::{Clock, DiskRef, ManualClock, Random, SeededRandom, Timestamp};
use strongroom_blob::{BlobStore, Place, PutOptions};
use strongroom_blob_zones::ZoneBlobs;
use strongroom_zones::{
    CommitLog, DiskChange, DiskSpec, NewDisk, OpenOptions, OutReason, Recovered, Store, open,
};

const SIZE: usize = 900_000;

struct Served {
    store: Store,
    log: CommitLog,
    blobs: Arc<ZoneBlobs>,
}

fn serve(disks: &[Arc<RamDisk>], seed: u64) -> Served {
    let spec = |(index, disk): (usize, &Arc<RamDisk>)| DiskSpec {
        zone: format!("z{index}"),
        name: format!("disk{index}"),
        disk: Arc::clone(disk) as DiskRef,
    };
    let specs: Vec<DiskSpec> = disks.iter().enumerate().map(spec).collect();
    let options = OpenOptions {
        member_wait: Duration::ZERO,
        ..OpenOptions::default()
    };
    let random: Arc<dyn Random> = Arc::new(SeededRandom::new(seed));
    let store = Store::new(open(&specs, options, Arc::clone(&random)).unwrap());
    let Recovered::Serving(log) = store.recover(0).unwrap() else {
        panic!("read only");
    };
    let opened = store.opened();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(1)));
    let disks = Arc::clone(&opened.disks);
    let blobs = ZoneBlobs::open(disks, opened.store, opened.run, small(), random, clock).unwrap();
    Served { store, log, blobs }
}

async fn put(served: &Served, seed: u64) -> Place {
    let bytes = content(seed, SIZE);
    let options = PutOptions {
        size: SIZE as u64,
        owner: Bytes::from_static(b"me"),
    };
    let written = served.blobs.put(options, stream_of(&bytes)).await;
    written.unwrap().place
}

async fn assert_reads(served: &Served, place: &Place, seed: u64) {
    let stream = served.blobs.read(place, 0..SIZE as u64).await.unwrap();
    assert!(
        collect(stream).await.unwrap() == content(seed, SIZE),
        "other bytes"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn az21_shards_of_a_replaced_disk_are_rebuilt_on_its_successor_also_after_a_restart() {
    let mut disks: Vec<Arc<RamDisk>> = (0..3).map(|_| RamDisk::new()).collect();
    let mut served = serve(&disks, 1);
    let before = put(&served, 7).await;
    let old = served.store.opened().disks.all()[2].id;
    let reason = OutReason::Failed("test".into());
    served.store.opened().disks.take_out(old, reason);
    let new = RamDisk::new();
    let change = served.store.prepare_change(DiskChange::Replace {
        old,
        new: NewDisk {
            folder: "disk3".to_owned(),
            disk: Arc::clone(&new) as DiskRef,
        },
        force: false,
    });
    served.log.change_disks(change.unwrap()).unwrap().unwrap();
    let during = put(&served, 8).await;
    assert!(served.blobs.verify(&during).await.unwrap().shards_bad == 0);
    let health = served.blobs.verify(&before).await.unwrap();
    assert!(
        health.shards_bad > 0 && health.stripes_lost == 0,
        "{health:?}"
    );
    let health = served.blobs.repair(&before).await.unwrap();
    assert_eq!(health.shards_bad, 0, "{health:?}");
    assert_eq!(served.blobs.verify(&before).await.unwrap().shards_bad, 0);
    assert_reads(&served, &before, 7).await;
    drop(served);

    disks[2] = new;
    let served = serve(&disks, 2);
    assert_eq!(served.blobs.verify(&before).await.unwrap().shards_bad, 0);
    // Another disk may be lost now: the rebuilt shards carry the content.
    let other = served.store.opened().disks.all()[0].id;
    disks[0].wipe();
    let reason = OutReason::Absent("test".into());
    served.store.opened().disks.take_out(other, reason);
    assert_reads(&served, &before, 7).await;
    assert_reads(&served, &during, 8).await;
}
