//! Inline content: read back as written, owned by one record, never another's.
//!
//! A place that a record holds can be read. A place that none holds any more may be gone
//! (`NotFound`) or may still be readable for a while, as the log file that has it still exists:
//! it must then give what was written there and nothing else.

use std::sync::Arc;

use bytes::Bytes;
use strongroom_base::{ManualClock, tasks};

use super::{Store, TASK_COUNT, commit, delete, give_way, kind, number, put, record};
use crate::{ErrorKind, INLINE_SIZE_BYTES_MAX, InlinePage, InlinePlace, Write};

/// Content that differs in every byte position from that of another seed.
fn content(seed: u64, size: usize) -> Bytes {
    (0..size)
        .map(|at| (seed.wrapping_mul(31).wrapping_add(at as u64) % 251) as u8)
        .collect()
}

fn put_inline(key: impl AsRef<[u8]>, content: Bytes) -> Write {
    Write::PutInline {
        key: key.as_ref().to_vec(),
        value: Bytes::from_static(b"v"),
        content,
    }
}

fn move_inline(from: &str, key: &str) -> Write {
    let (from, key) = (from.as_bytes().to_vec(), key.as_bytes().to_vec());
    Write::MoveInline {
        from,
        key,
        value: Bytes::from_static(b"moved"),
    }
}

async fn place(store: &Store, key: impl AsRef<[u8]>) -> Option<InlinePlace> {
    record(store, key).await.expect("a record").inline
}

async fn read(store: &Store, key: impl AsRef<[u8]>) -> Bytes {
    let place = place(store, key).await.expect("inline content");
    store
        .inline_bytes(place)
        .await
        .expect("content of a record")
}

/// What an abandoned place may answer.
async fn assert_gone_or_unchanged(store: &Store, place: InlinePlace, content: &Bytes) {
    match store.inline_bytes(place).await {
        Ok(read) => assert!(read == content, "an abandoned place gives other bytes"),
        Err(error) => assert_eq!(error.kind, ErrorKind::NotFound, "{error}"),
    }
}

pub async fn content_is_read_back_as_written(store: &Store, _: &Arc<ManualClock>) {
    let sizes = [0, 1, 13, 4095, 4096, 4097, 16 * 1024, INLINE_SIZE_BYTES_MAX];
    for (seed, size) in sizes.into_iter().enumerate() {
        let content = content(seed as u64, size);
        commit(store, vec![put_inline("one", content.clone())])
            .await
            .expect("commit");
        let stored = record(store, "one").await.expect("a record");
        assert_eq!(stored.value[..], *b"v");
        assert_eq!(stored.inline.expect("a place").size as usize, size);
        assert!(read(store, "one").await == content, "{size} bytes");
    }
    let many: Vec<Write> = sizes
        .iter()
        .map(|size| put_inline(size.to_be_bytes(), content(9, *size)))
        .collect();
    commit(store, many).await.expect("commit");
    for size in sizes {
        assert!(
            read(store, size.to_be_bytes()).await == content(9, size),
            "{size} bytes of many"
        );
    }
    commit(store, vec![put("plain", "")]).await.expect("commit");
    assert_eq!(place(store, "plain").await, None);
}

pub async fn content_follows_its_record_when_moved(store: &Store, _: &Arc<ManualClock>) {
    let content = content(1, 5000);
    commit(store, vec![put_inline("part", content.clone())])
        .await
        .expect("commit");
    commit(store, vec![move_inline("part", "version"), delete("part")])
        .await
        .expect("commit");
    assert_eq!(record(store, "part").await, None);
    assert_eq!(
        record(store, "version").await.expect("a record").value[..],
        *b"moved"
    );
    assert!(read(store, "version").await == content);
    commit(
        store,
        vec![delete("version"), move_inline("version", "again")],
    )
    .await
    .expect("commit");
    assert!(
        read(store, "again").await == content,
        "deleted before moved"
    );
    commit(store, vec![move_inline("again", "again")])
        .await
        .expect("commit");
    assert!(read(store, "again").await == content, "moved onto itself");
    let none = commit(store, vec![put("first", ""), move_inline("part", "x")]).await;
    assert_eq!(kind(none), Some(ErrorKind::Internal), "nothing to move");
    assert_eq!(record(store, "first").await, None);
}

pub async fn moved_content_leaves_a_record_that_stays(store: &Store, _: &Arc<ManualClock>) {
    let content = content(2, 700);
    commit(store, vec![put_inline("from", content.clone())])
        .await
        .expect("commit");
    commit(store, vec![move_inline("from", "to")])
        .await
        .expect("commit");
    let from = record(store, "from").await.expect("a record");
    assert_eq!((&from.value[..], from.inline), (&b"v"[..], None));
    commit(store, vec![delete("from")]).await.expect("commit");
    assert!(
        read(store, "to").await == content,
        "content has one owner, the new one"
    );
    let twice = commit(store, vec![move_inline("to", "a"), move_inline("to", "b")]).await;
    assert_eq!(
        kind(twice),
        Some(ErrorKind::Internal),
        "content moved to two records"
    );
    assert!(read(store, "to").await == content);
}

pub async fn content_goes_with_its_record(store: &Store, _: &Arc<ManualClock>) {
    let first = content(3, 900);
    commit(store, vec![put_inline("k", first.clone())])
        .await
        .expect("commit");
    let first_place = place(store, "k").await.expect("a place");
    let second = content(4, 900);
    commit(store, vec![put_inline("k", second.clone())])
        .await
        .expect("commit");
    assert!(read(store, "k").await == second);
    assert_gone_or_unchanged(store, first_place, &first).await;
    let second_place = place(store, "k").await.expect("a place");
    commit(store, vec![put("k", "plain")])
        .await
        .expect("commit");
    assert_eq!(
        place(store, "k").await,
        None,
        "a plain put replaces the content too"
    );
    assert_gone_or_unchanged(store, second_place, &second).await;
    commit(store, vec![put_inline("k", first.clone())])
        .await
        .expect("commit");
    let third_place = place(store, "k").await.expect("a place");
    assert_ne!(third_place, first_place, "a place is never used again");
    commit(store, vec![delete("k")]).await.expect("commit");
    assert_eq!(record(store, "k").await, None);
    assert_gone_or_unchanged(store, third_place, &first).await;
}

/// A reader that looked up a record before it changed finds what it looked up, or finds it gone
/// and looks again (hazard H25).
pub async fn reader_never_gets_other_content(store: &Store, _: &Arc<ManualClock>) {
    let of_round = |round: u64| Write::PutInline {
        key: b"k".to_vec(),
        value: Bytes::copy_from_slice(&number(round)),
        content: content(round, 3000),
    };
    commit(store, vec![of_round(0)]).await.expect("commit");
    let rounds: Vec<Write> = (1..=TASK_COUNT).map(of_round).collect();
    let writer = {
        let store = Arc::clone(store);
        tasks::spawn(async move {
            for write in rounds {
                commit(&store, vec![write]).await.expect("commit");
                give_way().await;
            }
        })
    };
    loop {
        let is_last = writer.is_finished();
        let found = record(store, "k").await.expect("a record");
        give_way().await;
        let round = super::number_in(Some(&found.value));
        let place = found.inline.expect("a place");
        assert_gone_or_unchanged(store, place, &content(round, 3000)).await;
        if is_last {
            break;
        }
    }
    writer.await.expect("writer");
    assert!(read(store, "k").await == content(TASK_COUNT, 3000));
}

/// All pages of the records with inline content up to `through`, `limit` at a time.
async fn walk_inline(store: &Store, through: u64, limit: usize) -> Vec<Vec<u8>> {
    let (mut found, mut after) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let page = store.inline_records(b"i/", through, after.as_deref(), limit);
        let InlinePage { records, next } = page.await.expect("a page");
        assert!(records.len() <= limit, "{} of {limit}", records.len());
        found.extend(records.into_iter().map(|(key, _)| key));
        match next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

pub async fn records_with_inline_content_are_found_up_to_a_batch(
    store: &Store,
    _: &Arc<ManualClock>,
) {
    assert!(walk_inline(store, u64::MAX, 3).await.is_empty());
    for index in 0..10u64 {
        let key = [b"i/", &number(index)[..]].concat();
        commit(store, vec![put_inline(&key, content(index, 100))])
            .await
            .expect("commit");
        let key = [b"i/", &number(index)[..], b"plain"].concat();
        commit(store, vec![put(key, "")]).await.expect("commit");
    }
    commit(store, vec![put_inline("j", content(1, 10))])
        .await
        .expect("commit");
    let key = |index: u64| [b"i/", &number(index)[..]].concat();
    let sixth = place(store, key(5)).await.expect("a place").batch;
    for limit in [1, 2, 5, 6, 7, 100] {
        let expected: Vec<Vec<u8>> = (0..6).map(key).collect();
        assert_eq!(walk_inline(store, sixth, limit).await, expected);
        assert_eq!(walk_inline(store, u64::MAX, limit).await.len(), 10);
    }
    commit(store, vec![put(key(0), "plain now"), delete(key(1))])
        .await
        .expect("commit");
    assert_eq!(walk_inline(store, sixth, 3).await.len(), 4);
}

/// H25: what a record still holds is never given back, wherever the record is.
pub async fn trim_refuses_while_a_record_holds_inline_content_there(
    store: &Store,
    _: &Arc<ManualClock>,
) {
    let kept = content(7, 3000);
    commit(store, vec![put_inline("k", kept.clone())])
        .await
        .expect("commit");
    commit(store, vec![move_inline("k", "moved"), delete("k")])
        .await
        .expect("commit");
    for index in 0..5u64 {
        commit(store, vec![put(number(index), "")])
            .await
            .expect("commit");
    }
    let before = store.log_extent().await.expect("an extent");
    assert!(
        before.first <= before.newest && before.newest >= 7,
        "{before:?}"
    );
    let batch = place(store, "moved").await.expect("a place").batch;
    for through in [batch, batch + 1, before.newest, u64::MAX] {
        let refused = store.trim(through).await;
        assert_eq!(kind(refused), Some(ErrorKind::Unavailable), "{through}");
    }
    let after = store.log_extent().await.expect("an extent");
    assert_eq!(
        after.first, before.first,
        "a refused trim gives nothing back"
    );
    assert!(read(store, "moved").await == kept);
}
