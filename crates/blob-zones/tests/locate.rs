//! Where shards lie: what an operator is told when disks are out, files gone and bytes damaged.

mod common;

use common::{Rig, content};
use strongroom_blob::{BlobStore, RunLocation, ShardState};

/// The shard of the run whose disk has this name.
fn state_on(run: &RunLocation, disk: &str) -> ShardState {
    let shard = run
        .shards
        .iter()
        .find(|shard| shard.disk.as_deref() == Some(disk));
    shard.expect("a shard on the disk").state
}

#[tokio::test(flavor = "multi_thread")]
async fn locate_tells_of_disks_that_are_out_and_segments_that_are_gone() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let place = open.put(&content(1, 500_000)).await.place;
    let whole = open.blobs.locate(&place, false).await.unwrap();
    let names: Vec<String> = (0..3)
        .map(|index| open.handle(index).name.clone())
        .collect();
    for name in &names {
        assert_eq!(state_on(&whole.runs[0], name), ShardState::Present);
    }
    for shard in &whole.runs[0].shards {
        assert!(shard.zone.is_some());
        let segments = names
            .iter()
            .position(|name| Some(name) == shard.disk.as_ref())
            .map(|index| rig.disks[index].segments());
        assert!(segments.unwrap().contains_key(&shard.segment), "{shard:?}");
    }
    open.take_out(0);
    for path in rig.disks[1].segments().into_keys() {
        rig.disks[1].tamper(&path, None);
    }
    for verify in [false, true] {
        let found = open.blobs.locate(&place, verify).await.unwrap();
        assert_eq!(state_on(&found.runs[0], &names[0]), ShardState::Out);
        assert_eq!(state_on(&found.runs[0], &names[1]), ShardState::Missing);
        assert!(state_on(&found.runs[0], &names[2]).is_good());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_verifying_finds_damaged_bytes() {
    let rig = Rig::new(3, 1);
    let open = rig.open();
    let place = open.put(&content(1, 500_000)).await.place;
    let found = open.blobs.locate(&place, false).await.unwrap();
    let run = &found.runs[0];
    let (path, bytes) = rig.disks[1].segments().into_iter().next().unwrap();
    let mut bytes = bytes;
    bytes[usize::try_from(run.offset).unwrap() + 300] ^= 1;
    rig.disks[1].tamper(&path, Some(bytes));
    let name = open.handle(1).name.clone();
    let present = open.blobs.locate(&place, false).await.unwrap();
    assert_eq!(state_on(&present.runs[0], &name), ShardState::Present);
    let verified = open.blobs.locate(&place, true).await.unwrap();
    assert_eq!(state_on(&verified.runs[0], &name), ShardState::Damaged);
    let others = verified.runs[0]
        .shards
        .iter()
        .filter(|shard| shard.disk.as_ref() != Some(&name));
    assert!(
        others
            .into_iter()
            .all(|shard| shard.state == ShardState::Verified)
    );
    // Nothing was repaired by looking.
    let again = open.blobs.locate(&place, true).await.unwrap();
    assert_eq!(state_on(&again.runs[0], &name), ShardState::Damaged);
}
