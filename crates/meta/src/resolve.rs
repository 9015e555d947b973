//! From the writes of a decision to the changes of records, the same in every backend.
//!
//! `Add` and `Append` leave to the store what only the store knows: the counters at the head of the
//! log and the next sequence of a queue. Resolving turns them into plain puts, checks the named
//! limits, and folds several writes of one record into the last, so that a backend only ever
//! applies changes that no longer depend on anything.
//!
//! Invariants
//! - One change per key at most, in the order in which keys were first written.
//! - The keys of a queue grow with the revision and, within one transaction, with the append.
//! - Resolving has no effect: an error leaves nothing behind.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use crate::{
    Error, ErrorKind, INLINE_SIZE_BYTES_MAX, InlinePlace, KEY_SIZE_BYTES_MAX, Reads, Result,
    Revision, TRANSACTION_SIZE_BYTES_MAX, TRANSACTION_WRITES_MAX, VALUE_SIZE_BYTES_MAX, Write,
};

/// Bytes that [`append_key`] puts behind the queue: the revision and the index.
pub const APPEND_SUFFIX_BYTES: usize = 12;
/// Size of one counter of [`Write::Add`].
pub const COUNTER_BYTES: usize = 8;

/// One change of one record that depends on nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put {
        key: Vec<u8>,
        value: Bytes,
    },
    PutInline {
        key: Vec<u8>,
        value: Bytes,
        content: Bytes,
    },
    /// The record under `key` takes over `inline`, the content that the record under `from` had
    /// before the transaction. If `from` stays, it keeps its value and loses the content.
    MoveInline {
        from: Vec<u8>,
        key: Vec<u8>,
        value: Bytes,
        inline: InlinePlace,
    },
    Delete {
        key: Vec<u8>,
    },
}

impl Change {
    /// The key of the record that changes.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. }
            | Self::PutInline { key, .. }
            | Self::MoveInline { key, .. }
            | Self::Delete { key } => key,
        }
    }
}

/// The key of the `index`-th append of the transaction with `revision`: the queue, then both as
/// big-endian numbers, so that key order is the order of acknowledgement.
#[must_use]
pub fn append_key(queue: &[u8], revision: Revision, index: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(queue.len() + APPEND_SUFFIX_BYTES);
    key.extend_from_slice(queue);
    key.extend_from_slice(&revision.0.to_be_bytes());
    key.extend_from_slice(&index.to_be_bytes());
    key
}

/// The counters of a record written by [`Write::Add`].
///
/// # Errors
/// `Corrupt` when the value is not a whole number of counters.
pub fn counters(value: &[u8]) -> Result<Vec<i64>> {
    let (counters, rest) = value.as_chunks::<COUNTER_BYTES>();
    if !rest.is_empty() {
        let message = format!("counter record of {} bytes", value.len());
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    Ok(counters
        .iter()
        .map(|bytes| i64::from_le_bytes(*bytes))
        .collect())
}

/// Turns the writes of the transaction with `revision` into changes. `reads` is what the decision
/// read from: the state at the head of the log, without these writes.
///
/// # Errors
/// `TooLarge` when a named limit is exceeded; `Corrupt` when a counter record is none; `Internal`
/// when a write makes no sense; what `reads` gives.
pub fn resolve(
    writes: Vec<Write>,
    revision: Revision,
    reads: &mut dyn Reads,
) -> Result<Vec<Change>> {
    check_limit("writes", writes.len(), TRANSACTION_WRITES_MAX)?;
    let mut changes = Changes::default();
    let mut append_count = 0u32;
    for write in writes {
        let change = match write {
            Write::Put { key, value } => Change::Put { key, value },
            Write::PutInline {
                key,
                value,
                content,
            } => Change::PutInline {
                key,
                value,
                content,
            },
            Write::Delete { key } => Change::Delete { key },
            Write::MoveInline { from, key, value } => {
                let inline = inline_of(&from, reads)?;
                Change::MoveInline {
                    from,
                    key,
                    value,
                    inline,
                }
            }
            Write::Add { key, deltas } => add(key, &deltas, &changes, reads)?,
            Write::Append { queue, value } => {
                let key = append_key(&queue, revision, append_count);
                append_count += 1;
                Change::Put { key, value }
            }
        };
        changes.set(change)?;
    }
    check_limit(
        "bytes in a transaction",
        changes.size()?,
        TRANSACTION_SIZE_BYTES_MAX,
    )?;
    check_content_moves_once(&changes.list)?;
    Ok(changes.list)
}

/// Content has one owner, so that it can be dropped with the record that holds it.
fn check_content_moves_once(changes: &[Change]) -> Result<()> {
    let mut seen = HashSet::new();
    for change in changes {
        if let Change::MoveInline { from, .. } = change
            && !seen.insert(from)
        {
            return Err(Error::new(
                ErrorKind::Internal,
                "inline content moved to two records",
            ));
        }
    }
    Ok(())
}

/// The changes so far, one per key.
#[derive(Default)]
struct Changes {
    list: Vec<Change>,
    index_by_key: HashMap<Vec<u8>, usize>,
}

impl Changes {
    fn get(&self, key: &[u8]) -> Option<&Change> {
        self.index_by_key.get(key).map(|index| &self.list[*index])
    }

    fn set(&mut self, change: Change) -> Result<()> {
        check_change(&change)?;
        match self.index_by_key.entry(change.key().to_vec()) {
            Entry::Occupied(entry) => self.list[*entry.get()] = change,
            Entry::Vacant(entry) => {
                entry.insert(self.list.len());
                self.list.push(change);
            }
        }
        Ok(())
    }

    fn size(&self) -> Result<usize> {
        self.list.iter().try_fold(0usize, |sum, change| {
            let (value, content) = payload(change);
            sum.checked_add(change.key().len() + value + content)
                .ok_or_else(|| Error::new(ErrorKind::TooLarge, "transaction of too many bytes"))
        })
    }
}

/// The sizes of value and inline content.
fn payload(change: &Change) -> (usize, usize) {
    match change {
        Change::Put { value, .. } | Change::MoveInline { value, .. } => (value.len(), 0),
        Change::PutInline { value, content, .. } => (value.len(), content.len()),
        Change::Delete { .. } => (0, 0),
    }
}

fn check_change(change: &Change) -> Result<()> {
    if change.key().is_empty() {
        return Err(Error::new(ErrorKind::Internal, "write under an empty key"));
    }
    let (value, content) = payload(change);
    check_limit("bytes in a key", change.key().len(), KEY_SIZE_BYTES_MAX)?;
    check_limit("bytes in a value", value, VALUE_SIZE_BYTES_MAX)?;
    check_limit("bytes of inline content", content, INLINE_SIZE_BYTES_MAX)
}

fn check_limit(what: &str, count: usize, max: usize) -> Result<()> {
    if count <= max {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::TooLarge,
        format!("{count} {what}, at most {max}"),
    ))
}

fn inline_of(from: &[u8], reads: &mut dyn Reads) -> Result<InlinePlace> {
    let inline = reads.get(from)?.and_then(|record| record.inline);
    inline.ok_or_else(|| {
        Error::new(
            ErrorKind::Internal,
            "inline content moved from a record that has none",
        )
    })
}

fn add(key: Vec<u8>, deltas: &[i64], changes: &Changes, reads: &mut dyn Reads) -> Result<Change> {
    let before = match changes.get(&key) {
        Some(Change::Put { value, .. }) => Some(value.clone()),
        Some(Change::Delete { .. }) => None,
        Some(_) => {
            return Err(Error::new(
                ErrorKind::Internal,
                "counters with inline content",
            ));
        }
        None => reads.get(&key)?.map(|record| record.value),
    };
    let mut sums = counters(before.as_deref().unwrap_or_default())?;
    sums.resize(sums.len().max(deltas.len()), 0);
    for (sum, delta) in sums.iter_mut().zip(deltas) {
        *sum = sum
            .checked_add(*delta)
            .ok_or_else(|| Error::new(ErrorKind::Internal, format!("counter {sum} + {delta}")))?;
    }
    let value = sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
    Ok(Change::Put { key, value })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use strongroom_base::Timestamp;

    use super::*;
    use crate::{Record, Stamp};

    #[derive(Default)]
    struct Fixed(BTreeMap<Vec<u8>, Record>);

    impl Fixed {
        fn with(key: &[u8], value: &[u8], inline: Option<InlinePlace>) -> Self {
            let value = Bytes::copy_from_slice(value);
            Self(BTreeMap::from([(
                key.to_vec(),
                Record {
                    value,
                    revision: Revision(1),
                    inline,
                },
            )]))
        }
    }

    impl Reads for Fixed {
        fn get(&mut self, key: &[u8]) -> Result<Option<Record>> {
            Ok(self.0.get(key).cloned())
        }
        fn scan(&mut self, _: &[u8], _: Option<&[u8]>, _: usize) -> Result<Vec<(Vec<u8>, Record)>> {
            Ok(Vec::new())
        }
        fn issue_stamp(&mut self, floor: Stamp) -> Stamp {
            floor
        }
        fn lock_clock(&mut self) -> Timestamp {
            Timestamp(0)
        }
    }

    fn put(key: &[u8], value: &[u8]) -> Write {
        Write::Put {
            key: key.to_vec(),
            value: Bytes::copy_from_slice(value),
        }
    }

    fn add(key: &[u8], deltas: &[i64]) -> Write {
        Write::Add {
            key: key.to_vec(),
            deltas: deltas.to_vec(),
        }
    }

    fn value_of(change: &Change) -> Bytes {
        match change {
            Change::Put { value, .. } => value.clone(),
            other => panic!("not a put: {other:?}"),
        }
    }

    #[test]
    fn adds_start_at_zero_extend_and_sum_up_within_one_transaction() {
        let mut reads = Fixed::with(b"c", &7i64.to_le_bytes(), None);
        let writes = vec![add(b"c", &[1, -2]), add(b"c", &[1]), add(b"d", &[i64::MIN])];
        let changes = resolve(writes, Revision(9), &mut reads).unwrap();
        assert_eq!(changes.len(), 2);
        assert_eq!(counters(&value_of(&changes[0])).unwrap(), [9, -2]);
        assert_eq!(counters(&value_of(&changes[1])).unwrap(), [i64::MIN]);
    }

    #[test]
    fn add_after_delete_in_one_transaction_starts_at_zero() {
        let mut reads = Fixed::with(b"c", &7i64.to_le_bytes(), None);
        let writes = vec![Write::Delete { key: b"c".to_vec() }, add(b"c", &[1])];
        let changes = resolve(writes, Revision(9), &mut reads).unwrap();
        assert_eq!(counters(&value_of(&changes[0])).unwrap(), [1]);
    }

    #[test]
    fn counter_record_of_odd_size_is_corrupt_and_overflow_is_refused() {
        let mut reads = Fixed::with(b"c", b"odd", None);
        let error = resolve(vec![add(b"c", &[1])], Revision(9), &mut reads).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
        let mut reads = Fixed::with(b"c", &i64::MAX.to_le_bytes(), None);
        let error = resolve(vec![add(b"c", &[1])], Revision(9), &mut reads).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
    }

    #[test]
    fn last_write_of_a_key_wins_and_keeps_the_place_of_the_first() {
        let writes = vec![
            put(b"a", b"1"),
            put(b"b", b"2"),
            Write::Delete { key: b"a".to_vec() },
        ];
        let changes = resolve(writes, Revision(9), &mut Fixed::default()).unwrap();
        assert_eq!(changes[0], Change::Delete { key: b"a".to_vec() });
        assert_eq!(changes[1].key(), b"b");
        assert_eq!(changes.len(), 2);
    }

    #[test]
    fn append_keys_grow_with_revision_and_index() {
        let append = |value: &'static [u8]| Write::Append {
            queue: b"q/".to_vec(),
            value: Bytes::from_static(value),
        };
        let writes = vec![append(b"1"), put(b"x", b""), append(b"2")];
        let changes = resolve(writes, Revision(255), &mut Fixed::default()).unwrap();
        assert_eq!(changes[0].key(), append_key(b"q/", Revision(255), 0));
        assert_eq!(changes[2].key(), append_key(b"q/", Revision(255), 1));
        assert!(changes[2].key() > changes[0].key());
        assert!(append_key(b"q/", Revision(256), 0).as_slice() > changes[2].key());
        assert_eq!(changes[0].key().len(), 2 + APPEND_SUFFIX_BYTES);
    }

    #[test]
    fn move_takes_the_content_from_had_before_even_when_from_is_deleted_first() {
        let place = InlinePlace::of(3, 4096, b"content");
        let mut reads = Fixed::with(b"from", b"v", Some(place));
        let writes = vec![
            Write::Delete {
                key: b"from".to_vec(),
            },
            Write::MoveInline {
                from: b"from".to_vec(),
                key: b"to".to_vec(),
                value: Bytes::new(),
            },
        ];
        let changes = resolve(writes, Revision(9), &mut reads).unwrap();
        assert!(matches!(&changes[1], Change::MoveInline { inline, .. } if *inline == place));
    }

    #[test]
    fn content_moved_to_two_records_is_refused() {
        let mut reads = Fixed::with(b"from", b"v", Some(InlinePlace::of(3, 0, b"content")));
        let to = |key: &[u8]| Write::MoveInline {
            from: b"from".to_vec(),
            key: key.to_vec(),
            value: Bytes::new(),
        };
        let error = resolve(vec![to(b"a"), to(b"b")], Revision(9), &mut reads).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
    }

    #[test]
    fn move_from_a_record_without_content_is_refused() {
        let write = Write::MoveInline {
            from: b"none".to_vec(),
            key: b"to".to_vec(),
            value: Bytes::new(),
        };
        let error = resolve(vec![write], Revision(9), &mut Fixed::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
    }

    #[test]
    fn every_limit_admits_its_size_and_refuses_one_more() {
        let kind = |writes| {
            resolve(writes, Revision(9), &mut Fixed::default())
                .map_err(|error| error.kind)
                .err()
        };
        let inline = |size| Write::PutInline {
            key: b"k".to_vec(),
            value: Bytes::new(),
            content: Bytes::from(vec![0; size]),
        };
        let large = Some(ErrorKind::TooLarge);
        assert_eq!(kind(vec![put(b"k", &vec![0; VALUE_SIZE_BYTES_MAX])]), None);
        assert_eq!(
            kind(vec![put(b"k", &vec![0; VALUE_SIZE_BYTES_MAX + 1])]),
            large
        );
        assert_eq!(kind(vec![inline(INLINE_SIZE_BYTES_MAX)]), None);
        assert_eq!(kind(vec![inline(INLINE_SIZE_BYTES_MAX + 1)]), large);
        assert_eq!(kind(vec![put(&vec![1; KEY_SIZE_BYTES_MAX], b"")]), None);
        assert_eq!(
            kind(vec![put(&vec![1; KEY_SIZE_BYTES_MAX + 1], b"")]),
            large
        );
        assert_eq!(kind(vec![put(b"k", b""); TRANSACTION_WRITES_MAX]), None);
        assert_eq!(
            kind(vec![put(b"k", b""); TRANSACTION_WRITES_MAX + 1]),
            large
        );
        assert_eq!(kind(vec![put(b"", b"")]), Some(ErrorKind::Internal));
        let whole = |count: u64| (0..count).map(|key| put(&key.to_be_bytes(), &vec![0; 1 << 18]));
        let fits = TRANSACTION_SIZE_BYTES_MAX as u64 / ((1 << 18) + 8);
        assert_eq!(kind(whole(fits).collect()), None);
        assert_eq!(kind(whole(fits + 1).collect()), large);
    }
}
