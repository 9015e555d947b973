//! Blobs across a change of disks (RFC 0010): their shards belong to the disk that has the place of
//! the dead one.

mod common;

use std::sync::Arc;

use common::RamDisk;
use common::served::serve;
use strongroom_base::DiskRef;
use strongroom_blob::BlobStore;
use strongroom_zones::{DiskChange, NewDisk, OutReason};

#[tokio::test(flavor = "multi_thread")]
async fn az21_shards_of_a_replaced_disk_are_rebuilt_on_its_successor_also_after_a_restart() {
    let mut disks: Vec<Arc<RamDisk>> = (0..3).map(|_| RamDisk::new()).collect();
    let mut served = serve(&disks, 1);
    let before = served.put(7).await;
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
    let during = served.put(8).await;
    assert!(served.blobs.verify(&during).await.unwrap().shards_bad == 0);
    let health = served.blobs.verify(&before).await.unwrap();
    assert!(
        health.shards_bad > 0 && health.stripes_lost == 0,
        "{health:?}"
    );
    let health = served.blobs.repair(&before).await.unwrap();
    assert_eq!(health.shards_bad, 0, "{health:?}");
    assert_eq!(served.blobs.verify(&before).await.unwrap().shards_bad, 0);
    served.assert_reads(&before, 7).await;
    drop(served);

    disks[2] = new;
    let served = serve(&disks, 2);
    assert_eq!(served.blobs.verify(&before).await.unwrap().shards_bad, 0);
    // Another disk may be lost now: the rebuilt shards carry the content.
    let other = served.store.opened().disks.all()[0].id;
    disks[0].wipe();
    let reason = OutReason::Absent("test".into());
    served.store.opened().disks.take_out(other, reason);
    served.assert_reads(&before, 7).await;
    served.assert_reads(&during, 8).await;
}
