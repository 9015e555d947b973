//! The contract suite: what every blob store promises, as cases that every backend runs.
//!
//! The cases use nothing but the [`BlobStore`] trait and fail by assertion. A backend calls
//! [`run_all`] from its tests, on a runtime with several threads so that tasks really run at once.
//! They say nothing of crashes, lost disks and damage: those need a backend's own means.

use std::collections::HashSet;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use strongroom_base::tasks;

use crate::{
    BlobStore, ByteStream, Error, ErrorKind, Place, PutOptions, Result, ShardState, Written,
};

/// Tasks that write at once.
const TASK_COUNT: u64 = 16;

/// Sizes around checksummed blocks, inline limits and stripes, of one and of several stripes.
const SIZES: [usize; 16] = [
    0,
    1,
    2,
    4095,
    4096,
    4097,
    16 * 1024 - 1,
    16 * 1024,
    16 * 1024 + 1,
    64 * 1024 - 1,
    64 * 1024 + 1,
    777_777,
    1024 * 1024,
    1024 * 1024 + 1,
    4 * 1024 * 1024 - 3,
    9 * 1024 * 1024 + 12_345,
];

/// Reads a blob's owner back from where the store keeps it.
pub type OwnerOf = Arc<dyn Fn(&Place) -> Option<Bytes> + Send + Sync>;

/// The store under test.
#[derive(Clone)]
pub struct Subject {
    pub store: Arc<dyn BlobStore>,
    /// Given by backends that can read the owner back, which the trait can not.
    pub owner_of: Option<OwnerOf>,
}

impl From<Arc<dyn BlobStore>> for Subject {
    fn from(store: Arc<dyn BlobStore>) -> Self {
        Self {
            store,
            owner_of: None,
        }
    }
}

macro_rules! run_cases {
    ($make:ident: $($case:path),+ $(,)?) => {$(
        println!("contract case {}", stringify!($case));
        $case(&$make().await).await;
    )+};
}

/// Runs every case, each on a subject that `make` gives. Subjects may share one store.
///
/// # Panics
/// When a case fails.
pub async fn run_all<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Subject>,
{
    run_cases!(make:
        blobs_of_every_size_are_read_back,
        blobs_do_not_depend_on_how_the_stream_is_cut,
        ranges_give_exactly_their_bytes,
        ranges_out_of_bounds_are_refused,
        size_mismatch_is_refused_and_harms_nothing,
        stream_error_is_handed_on_and_harms_nothing,
        owner_is_kept_by_put_and_rewrite,
        verify_and_repair_find_a_new_blob_whole,
        locate_finds_every_shard_of_a_new_blob,
        rewrite_gives_equal_bytes_at_a_new_place,
        concurrent_puts_and_reads_do_not_mix,
        dropped_put_and_dropped_read_harm_nothing,
        place_that_does_not_parse_is_corrupt,
        place_stays_small,
    );
}

/// Content that differs between seeds, and has no period that divides a block.
fn content(seed: u64, size: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = BytesMut::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes.freeze()
}

/// A stream of `content` in items of at most `item_size` bytes.
fn in_items(mut content: Bytes, item_size: usize) -> ByteStream {
    let items = std::iter::from_fn(move || {
        let size = content.len().min(item_size);
        (size > 0).then(|| Ok(content.split_to(size)))
    });
    Box::pin(stream::iter(items))
}

fn options(size: usize) -> PutOptions {
    PutOptions {
        size: size as u64,
        owner: Bytes::from_static(b"owner"),
    }
}

async fn put(subject: &Subject, content: &Bytes) -> Written {
    let stream = in_items(content.clone(), 100_000);
    subject
        .store
        .put(options(content.len()), stream)
        .await
        .expect("put")
}

async fn collect(mut stream: ByteStream) -> Result<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(item) = stream.next().await {
        bytes.extend_from_slice(&item?);
    }
    Ok(bytes.freeze())
}

async fn read(subject: &Subject, place: &Place, range: Range<u64>) -> Bytes {
    let stream = subject.store.read(place, range).await.expect("read");
    collect(stream).await.expect("content")
}

async fn assert_holds(subject: &Subject, place: &Place, content: &Bytes) {
    let read = read(subject, place, 0..content.len() as u64).await;
    assert!(
        read == *content,
        "{} bytes came back as {} others",
        content.len(),
        read.len()
    );
}

/// The kind of error of a read, whether it comes at once or from the stream.
async fn read_kind(subject: &Subject, place: &Place, range: Range<u64>) -> Option<ErrorKind> {
    let outcome = match subject.store.read(place, range).await {
        Ok(stream) => collect(stream).await,
        Err(error) => Err(error),
    };
    outcome.err().map(|error| error.kind)
}

pub async fn blobs_of_every_size_are_read_back(subject: &Subject) {
    let mut written = Vec::new();
    for (seed, size) in SIZES.into_iter().enumerate() {
        let content = content(seed as u64, size);
        let blob = put(subject, &content).await;
        assert!((blob.durable)(), "a blob is durable once put returns");
        assert_eq!(blob.reduced, subject.store.is_reduced(&blob.place));
        assert_holds(subject, &blob.place, &content).await;
        written.push((blob.place, content));
    }
    for (place, content) in &written {
        assert_holds(subject, place, content).await;
    }
}

pub async fn blobs_do_not_depend_on_how_the_stream_is_cut(subject: &Subject) {
    let content = content(40, 300_001);
    for item_size in [997, 4096, 65_536, 300_000, 300_001] {
        let stream = in_items(content.clone(), item_size);
        let blob = subject
            .store
            .put(options(content.len()), stream)
            .await
            .expect("put");
        assert_holds(subject, &blob.place, &content).await;
    }
    let empty_items = stream::iter([Bytes::new(), content.clone(), Bytes::new()].map(Ok));
    let blob = subject
        .store
        .put(options(content.len()), Box::pin(empty_items))
        .await;
    assert_holds(subject, &blob.expect("put").place, &content).await;
}

pub async fn ranges_give_exactly_their_bytes(subject: &Subject) {
    for size in [1, 70_000, 3 * 1024 * 1024 + 11] {
        let content = content(50, size);
        let place = put(subject, &content).await.place;
        let edges = [
            0,
            1,
            4095,
            4096,
            65_535,
            65_536,
            65_537,
            1 << 20,
            (1 << 20) + 1,
            2_500_000,
        ];
        let mut edges: Vec<usize> = edges.into_iter().filter(|edge| *edge < size).collect();
        edges.extend([size - 1, size]);
        for (index, start) in edges.iter().copied().enumerate() {
            for end in edges[index..].iter().copied() {
                let part = read(subject, &place, start as u64..end as u64).await;
                assert!(
                    part == content[start..end],
                    "range {start}..{end} of {size} bytes"
                );
            }
        }
    }
}

pub async fn ranges_out_of_bounds_are_refused(subject: &Subject) {
    for size in [0u64, 5, 100_000] {
        let place = put(subject, &content(60, size as usize)).await.place;
        for range in [
            0..size + 1,
            size..size + 1,
            size + 1..size + 1,
            u64::MAX - 1..u64::MAX,
        ] {
            let kind = read_kind(subject, &place, range.clone()).await;
            assert_eq!(
                kind,
                Some(ErrorKind::Invalid),
                "range {range:?} of {size} bytes"
            );
        }
        assert_holds(subject, &place, &content(60, size as usize)).await;
    }
    let place = put(subject, &content(60, 10)).await.place;
    #[allow(clippy::reversed_empty_ranges)]
    let backward = read_kind(subject, &place, 6..5).await;
    assert_eq!(backward, Some(ErrorKind::Invalid));
}

pub async fn size_mismatch_is_refused_and_harms_nothing(subject: &Subject) {
    let kept = content(70, 50_000);
    let place = put(subject, &kept).await.place;
    for (announced, given) in [
        (0, 1),
        (1, 0),
        (10, 9),
        (10, 11),
        (2_000_000, 1_999_999),
        (2_000_000, 2_000_001),
    ] {
        let stream = in_items(content(71, given), 65_536);
        let outcome = subject.store.put(options(announced), stream).await;
        let kind = outcome.err().map(|error| error.kind);
        assert_eq!(
            kind,
            Some(ErrorKind::Invalid),
            "{given} bytes for {announced} announced"
        );
    }
    let endless = stream::repeat_with(|| Ok(Bytes::from_static(&[7; 4096])));
    let outcome = subject.store.put(options(10_000), Box::pin(endless)).await;
    assert_eq!(
        outcome.err().map(|error| error.kind),
        Some(ErrorKind::Invalid)
    );
    assert_holds(subject, &place, &kept).await;
    let after = put(subject, &content(72, 50_000)).await;
    assert_holds(subject, &after.place, &content(72, 50_000)).await;
}

pub async fn stream_error_is_handed_on_and_harms_nothing(subject: &Subject) {
    let kept = content(80, 50_000);
    let place = put(subject, &kept).await.place;
    for good in [0, 1, 100_000, 3_000_000] {
        let error = || Error::new(ErrorKind::Content, "checksum of the client differs");
        let failing = in_items(content(81, good), 65_536).chain(stream::iter([Err(error())]));
        let outcome = subject
            .store
            .put(options(4_000_000), Box::pin(failing))
            .await;
        let error = outcome.expect_err("a stream that fails");
        assert_eq!(error.kind, ErrorKind::Content);
        assert!(
            error.message.contains("checksum of the client differs"),
            "{error}"
        );
        // Also when all bytes came before the error: it may be about them.
        let failing = in_items(content(81, good), 65_536)
            .chain(stream::iter([Err(Error::new(ErrorKind::Content, "late"))]));
        let outcome = subject.store.put(options(good), Box::pin(failing)).await;
        let kind = outcome.err().map(|error| error.kind);
        assert_eq!(
            kind,
            Some(ErrorKind::Content),
            "error after all of {good} bytes"
        );
    }
    assert_holds(subject, &place, &kept).await;
}

pub async fn owner_is_kept_by_put_and_rewrite(subject: &Subject) {
    let Some(owner_of) = &subject.owner_of else {
        println!("skipped: this store gives no way to read the owner back");
        return;
    };
    for (size, owner_size) in [(0, 0), (1, 1), (100_000, 16), (3_000_000, 400)] {
        let (bytes, owner) = (content(90, size), content(91, owner_size));
        let options = PutOptions {
            size: size as u64,
            owner: owner.clone(),
        };
        let stream = in_items(bytes.clone(), 65_536);
        let first = subject.store.put(options, stream).await.expect("put").place;
        assert_eq!(owner_of(&first), Some(owner.clone()));
        let second = subject.store.rewrite(&first).await.expect("rewrite").place;
        assert_eq!(owner_of(&second), Some(owner));
    }
}

pub async fn verify_and_repair_find_a_new_blob_whole(subject: &Subject) {
    for size in [0, 1, 100_000, 5_000_000] {
        let bytes = content(100, size);
        let place = put(subject, &bytes).await.place;
        let health = subject.store.verify(&place).await.expect("verify");
        assert_eq!(
            (health.shards_bad, health.stripes_lost),
            (0, 0),
            "{size} bytes"
        );
        assert!(
            size == 0 || health.shards_good > 0,
            "{size} bytes in no shard"
        );
        let repaired = subject.store.repair(&place).await.expect("repair");
        assert_eq!(
            repaired, health,
            "nothing to repair, and again the same shards"
        );
        assert_eq!(subject.store.verify(&place).await.expect("verify"), health);
        assert_holds(subject, &place, &bytes).await;
    }
}

/// What a person is told about a new blob: every shard is somewhere and good, and the shards that
/// are told of are those that verify counts.
pub async fn locate_finds_every_shard_of_a_new_blob(subject: &Subject) {
    for size in [0, 1, 100_000, 5_000_000] {
        let place = put(subject, &content(105, size)).await.place;
        let health = subject.store.verify(&place).await.expect("verify");
        for verify in [false, true] {
            let location = subject.store.locate(&place, verify).await.expect("locate");
            assert_eq!(location.size, size as u64);
            let mut shards = 0;
            for run in &location.runs {
                let count = (run.data_shards + run.parity_shards) as usize;
                assert_eq!(
                    run.shards.len(),
                    count,
                    "one entry for each shard of {run:?}"
                );
                shards += run.stripes * count as u64;
                for shard in &run.shards {
                    let told = if verify {
                        ShardState::Verified
                    } else {
                        ShardState::Present
                    };
                    assert_eq!(shard.state, told, "{shard:?}");
                    assert!(shard.zone.is_some() && shard.disk.is_some(), "{shard:?}");
                }
                let places: HashSet<_> = run.shards.iter().map(|s| (&s.disk, &s.segment)).collect();
                assert_eq!(places.len(), count, "two shards at one place: {run:?}");
            }
            assert_eq!(shards, health.shards_good, "shards of {size} bytes");
        }
    }
}

pub async fn rewrite_gives_equal_bytes_at_a_new_place(subject: &Subject) {
    for size in [0, 1, 65_537, 5_000_001] {
        let bytes = content(110, size);
        let old = put(subject, &bytes).await;
        let new = subject.store.rewrite(&old.place).await.expect("rewrite");
        assert!((new.durable)());
        assert_ne!(new.place, old.place);
        assert_holds(subject, &new.place, &bytes).await;
        assert_holds(subject, &old.place, &bytes).await;
    }
}

pub async fn concurrent_puts_and_reads_do_not_mix(subject: &Subject) {
    let kept = content(120, 1_500_000);
    let place = put(subject, &kept).await.place;
    let writers: Vec<_> = (0..TASK_COUNT)
        .map(|index| {
            let (subject, kept, place) = (subject.clone(), kept.clone(), place.clone());
            tasks::spawn(async move {
                let size = usize::try_from(index * index * 9_001).expect("small");
                let bytes = content(121 + index, size);
                let blob = put(&subject, &bytes).await;
                assert_holds(&subject, &place, &kept).await;
                assert_holds(&subject, &blob.place, &bytes).await;
                (blob.place, bytes)
            })
        })
        .collect();
    let mut places = Vec::new();
    for writer in writers {
        let (place, bytes) = writer.await.expect("writer");
        assert_holds(subject, &place, &bytes).await;
        assert!(!places.contains(&place), "two blobs at one place");
        places.push(place);
    }
}

pub async fn dropped_put_and_dropped_read_harm_nothing(subject: &Subject) {
    let kept = content(140, 2_000_000);
    let place = put(subject, &kept).await.place;
    for items in [0, 1, 40] {
        let given = in_items(content(141, items * 65_536), 65_536);
        let hanging = given.chain(stream::pending());
        let put = subject.store.put(options(4_000_000), Box::pin(hanging));
        // The stream never ends, so the put can not either: what it did by the time the other side
        // is ready stays half done.
        let other = Box::pin(assert_holds(subject, &place, &kept));
        match futures::future::select(put, other).await {
            futures::future::Either::Left((outcome, _)) => panic!("put ended with {outcome:?}"),
            futures::future::Either::Right(((), put)) => drop(put),
        }
    }
    let mut half = subject
        .store
        .read(&place, 0..2_000_000)
        .await
        .expect("read");
    half.next().await.expect("an item").expect("content");
    drop(half);
    assert_holds(subject, &place, &kept).await;
    let after = put(subject, &kept).await;
    assert_holds(subject, &after.place, &kept).await;
}

pub async fn place_that_does_not_parse_is_corrupt(subject: &Subject) {
    let place = put(subject, &content(150, 100)).await.place;
    let mut bad = vec![Bytes::new(), Bytes::from_static(&[0xFF; 3])];
    bad.push(place.0.slice(..place.0.len() - 1));
    bad.push([&place.0[..], b"x"].concat().into());
    for bytes in bad {
        let bad = Place(bytes);
        assert_eq!(
            read_kind(subject, &bad, 0..1).await,
            Some(ErrorKind::Corrupt),
            "{bad:?}"
        );
        let kind = |error: Error| error.kind;
        let verified = subject.store.verify(&bad).await.map_err(kind);
        assert_eq!(verified, Err(ErrorKind::Corrupt), "{bad:?}");
        let located = subject.store.locate(&bad, true).await.map_err(kind);
        assert_eq!(located.err(), Some(ErrorKind::Corrupt), "{bad:?}");
        let repaired = subject.store.repair(&bad).await.map_err(kind);
        assert_eq!(repaired, Err(ErrorKind::Corrupt), "{bad:?}");
        let rewritten = subject.store.rewrite(&bad).await.map_err(kind);
        assert_eq!(rewritten.err(), Some(ErrorKind::Corrupt), "{bad:?}");
        // No panic, whatever it answers.
        let _ = subject.store.is_reduced(&bad);
    }
}

/// A record holds the place: it must not grow with each stripe.
pub async fn place_stays_small(subject: &Subject) {
    let place = put(subject, &content(160, 20 * 1024 * 1024)).await.place;
    assert!(
        place.0.len() <= 1024,
        "a place of {} bytes for 20 MiB",
        place.0.len()
    );
}
