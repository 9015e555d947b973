//! Any zone may go: every object stays readable, and the store goes on (AZ01, AZ02, AZ11, AZ13,
//! AZ14); where the code carries it, any disk of another zone as well (AZ03).

mod machine;

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::TryStreamExt;
use strongroom_base::{Random, SeededRandom};
use strongroom_objects::*;
use strongroom_sim::{Topology, print_figure};
use strongroom_types::{BucketName, ObjectKey, Owner, PartNumber, UploadId};

use machine::{End, Loss, Machine};

/// Nothing, inline, the last size that is, one stripe, whole stripes, many stripes.
const SIZES: [usize; 10] = [
    0, 1, 1000, 16_384, 16_385, 65_000, 262_144, 262_145, 524_288, 1_500_000,
];
const PART_SIZES: [usize; 3] = [300_000, 20_000, 1000];

type Expected = BTreeMap<String, Bytes>;

fn bucket() -> BucketName {
    BucketName::new("zone-loss").unwrap()
}

fn object_key(key: &str) -> ObjectKey {
    ObjectKey::new(key).unwrap()
}

fn bytes(seed: u64, size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    SeededRandom::new(seed).fill(&mut bytes);
    bytes.into()
}

fn content(bytes: &Bytes) -> Content {
    let stream = futures::stream::iter([Ok(bytes.clone())]);
    Content::new(Box::pin(stream), bytes.len() as u64)
}

async fn put(objects: &Objects, key: &str, bytes: &Bytes) -> Result<()> {
    let request = PutObject {
        lock: Default::default(),
        bucket: bucket(),
        key: object_key(key),
        content: content(bytes),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        conditions: WriteConditions::default(),
    };
    objects.put_object(request).await.map(drop)
}

async fn get(objects: &Objects, key: &str, range: Option<ByteRange>) -> Result<Bytes> {
    let mut request = GetObject::new(bucket(), object_key(key));
    request.range = range;
    let answer = objects.get_object(request).await?;
    let pieces: Vec<Bytes> = answer.content.try_collect().await.map_err(|error| {
        let message = error.message;
        Error::ContentFailed { message }
    })?;
    Ok(pieces.concat().into())
}

async fn delete(objects: &Objects, key: &str) -> Result<()> {
    let request = DeleteObject {
        bypass: Default::default(),
        bucket: bucket(),
        key: object_key(key),
        version_id: None,
        if_match: None,
    };
    objects.delete_object(request).await.map(drop)
}

async fn begin_upload(objects: &Objects, key: &str) -> Result<UploadId> {
    let request = CreateUpload {
        lock: Default::default(),
        bucket: bucket(),
        key: object_key(key),
        headers: ObjectHeaders::default(),
        metadata: UserMetadata::default(),
        tags: Default::default(),
        checksum_algorithm: None,
        checksum_type: None,
    };
    Ok(objects.create_upload(request).await?.upload_id)
}

/// Sends a part and gives its tag.
async fn part(
    objects: &Objects,
    key: &str,
    upload_id: UploadId,
    number: usize,
    bytes: &Bytes,
) -> Result<String> {
    let request = UploadPart {
        bucket: bucket(),
        key: object_key(key),
        upload_id,
        part_number: PartNumber::new(number as i64).unwrap(),
        content: content(bytes),
    };
    Ok(objects.upload_part(request).await?.etag.quoted())
}

async fn complete(
    objects: &Objects,
    key: &str,
    upload_id: UploadId,
    tags: &[String],
) -> Result<()> {
    let part = |(index, etag): (usize, &String)| CompletedPart {
        part_number: PartNumber::new(index as i64 + 1).unwrap(),
        etag: etag.clone(),
        checksum: None,
    };
    let request = CompleteUpload {
        bucket: bucket(),
        key: object_key(key),
        upload_id,
        parts: tags.iter().enumerate().map(part).collect(),
        conditions: WriteConditions::default(),
        checksum: None,
        checksum_type: None,
        object_size: None,
    };
    objects.complete_upload(request).await.map(drop)
}

/// Keys and sizes in pages of a few.
async fn list(objects: &Objects) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    let mut start = ListStart::Beginning;
    loop {
        let request = ListObjects {
            bucket: bucket(),
            prefix: String::new(),
            delimiter: None,
            start,
            keys_max: 4,
        };
        let page = objects.list_objects(request).await?;
        let entry = |object: ListedObject| (object.key.as_str().to_owned(), object.size);
        found.extend(page.objects.into_iter().map(entry));
        match page.continuation_token {
            Some(token) => start = ListStart::Token(token),
            None => return Ok(found),
        }
    }
}

/// A store with objects, and an upload that has two of its three parts.
struct Filled {
    machine: Machine,
    expected: Expected,
    upload: UploadId,
    tags: Vec<String>,
}

fn parts(seed: u64) -> Vec<Bytes> {
    let sized = |(index, size): (usize, &usize)| bytes(seed + index as u64, *size);
    PART_SIZES.iter().enumerate().map(sized).collect()
}

async fn filled(topology: Topology, seed: u64) -> Result<Filled> {
    let machine = Machine::new(topology, seed).await;
    let objects = machine.objects();
    let owner = Owner::new("losing").unwrap();
    let bucket = bucket();
    objects
        .create_bucket(CreateBucket {
            lock_enabled: false,
            bucket,
            owner,
            tags: Default::default(),
        })
        .await?;
    let mut expected = Expected::new();
    for (index, size) in SIZES.into_iter().enumerate() {
        let (key, content) = (format!("of-{size}"), bytes(index as u64, size));
        put(&objects, &key, &content).await?;
        expected.insert(key, content);
    }
    for key in ["deleted-small", "deleted-large"] {
        let size = if key.ends_with("small") { 10 } else { 50_000 };
        put(&objects, key, &bytes(99, size)).await?;
        delete(&objects, key).await?;
    }
    let upload = begin_upload(&objects, "in-parts").await?;
    let mut tags = Vec::new();
    for (index, bytes) in parts(100).iter().enumerate() {
        tags.push(part(&objects, "in-parts", upload, index + 1, bytes).await?);
    }
    complete(&objects, "in-parts", upload, &tags).await?;
    expected.insert("in-parts".into(), parts(100).concat().into());
    let upload = begin_upload(&objects, "half-sent").await?;
    let mut tags = Vec::new();
    for (index, bytes) in parts(200)[..2].iter().enumerate() {
        tags.push(part(&objects, "half-sent", upload, index + 1, bytes).await?);
    }
    Ok(Filled {
        machine,
        expected,
        upload,
        tags,
    })
}

/// Everything is there, whole, and nothing else.
async fn check_all(objects: &Objects, expected: &Expected) -> std::result::Result<(), String> {
    for (key, bytes) in expected {
        let read = get(objects, key, None).await;
        let read = read.map_err(|error| format!("read {key}: {error}"))?;
        if read != bytes {
            return Err(format!("{key} has other bytes"));
        }
    }
    let middle = ByteRange::From {
        first: 700_000,
        last: Some(800_000),
    };
    let read = get(objects, "of-1500000", Some(middle)).await;
    let read = read.map_err(|error| format!("read a range: {error}"))?;
    if read != expected["of-1500000"].slice(700_000..800_001) {
        return Err("a range has other bytes".into());
    }
    for key in ["deleted-small", "deleted-large"] {
        if !matches!(get(objects, key, None).await, Err(Error::NoSuchKey { .. })) {
            return Err(format!("{key} is back"));
        }
    }
    let listed = list(objects)
        .await
        .map_err(|error| format!("list: {error}"))?;
    let sizes = expected.iter();
    let sizes: Vec<_> = sizes
        .map(|(key, bytes)| (key.clone(), bytes.len() as u64))
        .collect();
    if listed != sizes {
        return Err(format!("listed {listed:?}, there should be {sizes:?}"));
    }
    Ok(())
}

/// New objects, new content for old ones, deletes, and the rest of an upload.
async fn go_on(
    objects: &Objects,
    expected: &mut Expected,
    upload: UploadId,
    mut tags: Vec<String>,
) -> Result<()> {
    for (key, size) in [
        ("new-small", 500),
        ("new-large", 400_000),
        ("of-16385", 90_000),
    ] {
        let content = bytes(7, size);
        put(objects, key, &content).await?;
        expected.insert(key.into(), content);
    }
    for key in ["of-0", "of-65000"] {
        delete(objects, key).await?;
        expected.remove(key);
    }
    let parts = parts(200);
    tags.push(part(objects, "half-sent", upload, 3, &parts[2]).await?);
    complete(objects, "half-sent", upload, &tags).await?;
    expected.insert("half-sent".into(), parts.concat().into());
    Ok(())
}

/// What is taken away, and when.
#[derive(Clone, Copy, Debug)]
struct Story {
    zone: usize,
    /// A disk of another zone as well.
    disk: Option<usize>,
    loss: Loss,
    /// Between two runs; otherwise while the store runs.
    at_restart: bool,
}

async fn tell(filled: &Filled, story: Story, number: u64) -> std::result::Result<(), String> {
    let mut machine = filled.machine.fork(number).await;
    let zone = machine.topology.member_disks(story.zone);
    if story.at_restart {
        // Both at once, before the start.
        let disk = story.disk.map(|disk| disk..disk + 1);
        let lost = [Some(zone), disk].into_iter().flatten().collect();
        machine.lose_over_restart(lost, story.loss, End::Stop).await;
    } else {
        machine.lose(zone, story.loss);
        if let Some(disk) = story.disk {
            machine.lose(disk..disk + 1, story.loss);
            machine.wait_commits().await;
        }
    }
    let mut expected = filled.expected.clone();
    let objects = machine.objects();
    check_all(&objects, &expected).await?;
    go_on(&objects, &mut expected, filled.upload, filled.tags.clone())
        .await
        .map_err(|error| format!("the store does not go on: {error}"))?;
    check_all(&objects, &expected).await?;
    // Whatever the way it goes: the power fails before the zone is back.
    machine.restart(End::PowerCut(number)).await;
    let after = check_all(&machine.objects(), &expected).await;
    after.map_err(|why| format!("after a power cut: {why}"))?;
    machine.return_all().await;
    let after = check_all(&machine.objects(), &expected).await;
    after.map_err(|why| format!("after the return: {why}"))
}

fn stories(topology: Topology) -> Vec<Story> {
    let mut stories = Vec::new();
    for zone in 0..topology.zones {
        for at_restart in [false, true] {
            for loss in [Loss::Vanish, Loss::Wipe] {
                let none = Story {
                    zone,
                    disk: None,
                    loss,
                    at_restart,
                };
                stories.push(none);
                // Where the code has one shard more of parity than a zone holds.
                if topology.zones == 3 && topology.disks > 1 {
                    let others =
                        (0..topology.disk_count()).filter(|disk| disk / topology.disks != zone);
                    // Two of them: the first of a zone, with its log, and another.
                    for disk in others.step_by(topology.disks + 1) {
                        let disk = Some(disk);
                        stories.push(Story { disk, ..none });
                    }
                }
            }
        }
    }
    stories
}

fn run(topology: Topology) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let stories = stories(topology);
    let failures = runtime.block_on(async {
        let filled = filled(topology, 5).await.unwrap();
        let mut failures = Vec::new();
        for (number, story) in stories.iter().enumerate() {
            if let Err(why) = tell(&filled, *story, number as u64 + 1).await {
                failures.push(format!("{topology} {story:?}: {why}"));
            }
        }
        failures
    });
    let with_disk = stories.iter().filter(|story| story.disk.is_some()).count();
    println!(
        "zone loss {topology}: losses {}, of them with one more disk {with_disk}, failures {}",
        stories.len(),
        failures.len()
    );
    assert!(failures.is_empty(), "{failures:#?}");
    print_figure(
        "loss of a zone, in simulation",
        "losses",
        stories.len() as u64,
        0,
        &[("with one more disk", with_disk as u64)],
    );
}

#[test]
fn any_zone_of_three_may_go_az01_az02_az13() {
    run(Topology::new(3, 1));
}

#[test]
fn any_zone_of_three_and_a_disk_of_another_may_go_with_two_disks_az03() {
    run(Topology::new(3, 2));
}

#[test]
fn any_zone_of_three_and_a_disk_of_another_may_go_with_four_disks_az03() {
    run(Topology::new(3, 4));
}

#[test]
fn any_zone_of_six_may_go_az01_az02_az13() {
    run(Topology::new(6, 2));
}
