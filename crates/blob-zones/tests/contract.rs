//! The contract of blob stores, on real folders, for each topology.

use std::sync::Arc;

use strongroom_base::{DiskRef, RealDisk, SystemClock, SystemRandom};
use strongroom_blob::contract::{Subject, run_all};
use strongroom_blob_zones::{Settings, ZoneBlobs};
use strongroom_zones::{DiskSpec, OpenOptions};

async fn run(zones: usize, per_zone: usize) {
    let folder = tempfile::tempdir().unwrap();
    let specs: Vec<DiskSpec> = (0..zones * per_zone)
        .map(|i| DiskSpec {
            zone: format!("z{}", i / per_zone),
            name: format!("disk{i}"),
            disk: Arc::new(RealDisk::new(folder.path().join(i.to_string()))) as DiskRef,
        })
        .collect();
    let open =
        strongroom_zones::open(&specs, OpenOptions::default(), Arc::new(SystemRandom)).unwrap();
    let settings = Settings {
        segment_size: 4 * 1024 * 1024,
        stripe_size: 512 * 1024,
        reserve_step: 1024 * 1024,
        free_space_min: 0,
        ..Settings::default()
    };
    let blobs = ZoneBlobs::open(
        open.disks,
        open.store,
        open.run,
        settings,
        Arc::new(SystemRandom),
        Arc::new(SystemClock::new()),
    )
    .unwrap();
    run_all(|| {
        let (store, owners) = (blobs.clone(), blobs.clone());
        let owner_of = move |place: &_| {
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current()
                    .block_on(owners.owner(place))
                    .ok()
            })
        };
        async move {
            Subject {
                store,
                owner_of: Some(Arc::new(owner_of)),
            }
        }
    })
    .await;
}

macro_rules! topologies {
    ($($name:ident: $zones:literal x $per_zone:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            run($zones, $per_zone).await;
        }
    )*};
}

topologies! {
    contract_holds_on_one_disk: 1 x 1;
    contract_holds_on_one_zone_of_three_disks: 1 x 3;
    contract_holds_on_two_zones: 2 x 1;
    contract_holds_on_three_zones: 3 x 1;
    contract_holds_on_three_zones_of_two_disks: 3 x 2;
    contract_holds_on_three_zones_of_four_disks: 3 x 4;
    contract_holds_on_six_zones_of_two_disks: 6 x 2;
}
