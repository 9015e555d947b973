//! A disk that neither answers nor fails is set aside, and uploads that waited for it go on (AZ12).

mod machine;

use bytes::Bytes;
use futures::TryStreamExt;
use strongroom_base::{Random, SeededRandom};
use strongroom_objects::*;
use strongroom_sim::{Fault, FaultKind, OpKind, Topology};
use strongroom_types::{BucketName, ObjectKey, Owner};
use strongroom_zones::OutReason;

use machine::Machine;

fn bucket() -> BucketName {
    BucketName::new("hung").unwrap()
}

fn bytes(size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    SeededRandom::new(1).fill(&mut bytes);
    bytes.into()
}

async fn put(objects: &Objects, key: &str, bytes: &Bytes) -> Result<()> {
    let stream = futures::stream::iter([Ok(bytes.clone())]);
    let request = PutObject {
        lock: Default::default(),
        bucket: bucket(),
        key: ObjectKey::new(key).unwrap(),
        content: Content::new(Box::pin(stream), bytes.len() as u64),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        conditions: WriteConditions::default(),
    };
    objects.put_object(request).await.map(drop)
}

async fn get(objects: &Objects, key: &str) -> Bytes {
    let request = GetObject::new(bucket(), ObjectKey::new(key).unwrap());
    let answer = objects.get_object(request).await.unwrap();
    let pieces: Vec<Bytes> = answer.content.try_collect().await.unwrap();
    pieces.concat().into()
}

async fn a_hung_disk_is_set_aside(op: OpKind, path: &str) {
    // The second disk of a zone: it holds shards and no log, so no commit ever waits for it.
    const HUNG: usize = 1;
    let machine = Machine::new(Topology::new(3, 2), 9).await;
    let objects = machine.objects();
    let owner = Owner::new("somebody").unwrap();
    let create = CreateBucket {
        lock_enabled: false,
        bucket: bucket(),
        owner,
        tags: Default::default(),
    };
    objects.create_bucket(create).await.unwrap();
    let content = bytes(600_000);
    put(&objects, "before", &content).await.unwrap();
    let frozen = machine.world.fault(Fault {
        disk: Some(HUNG),
        op,
        path_contains: path.into(),
        kind: FaultKind::Frozen,
        ..Fault::default()
    });
    for n in 0..4 {
        put(&objects, &format!("during {n}"), &content)
            .await
            .unwrap();
    }
    assert_eq!(get(&objects, "before").await, content);
    let disks = machine.engine().store.opened().disks.all();
    while disks[HUNG].out_reason() != Some(OutReason::Hung) {
        strongroom_base::tasks::sleep(std::time::Duration::from_millis(20)).await;
    }
    for (index, disk) in disks.iter().enumerate() {
        assert_eq!(disk.in_service().is_none(), index == HUNG, "disk {index}");
    }
    for n in 0..4 {
        assert_eq!(get(&objects, &format!("during {n}")).await, content);
    }
    machine.world.lift(frozen);
    while disks[HUNG].in_service().is_none() {
        strongroom_base::tasks::sleep(std::time::Duration::from_millis(20)).await;
    }
    put(&objects, "after", &content).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_on_everything_is_set_aside_and_comes_back() {
    a_hung_disk_is_set_aside(OpKind::Any, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_on_syncs_alone_is_set_aside_and_comes_back() {
    a_hung_disk_is_set_aside(OpKind::Sync, "").await;
}

/// H63: the looks at the disk, which go to other files of it, all go well.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_whose_segments_alone_hang_is_set_aside_and_comes_back() {
    a_hung_disk_is_set_aside(OpKind::Any, "segments/").await;
}
