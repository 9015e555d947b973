//! The body of a batch of commits, and the stored form of a record.
//!
//! A body is a list of transactions, each a list of resolved changes. The revision of every record
//! a transaction writes is made of the batch number and the transaction's index; inline content
//! stays in the body, and the record stored in the index holds only its place.

use bytes::Bytes;
use strongroom_meta::resolve::Change;
use strongroom_meta::{InlinePlace, Record, Revision};
use strongroom_zones::{DecodeError, Reader, Writer, checksum64};

use crate::view::ViewChange;

/// Version of the body and of stored records, first byte of each.
pub const BODY_FORMAT: u8 = 1;
/// Most transactions in a batch: their index is the low 16 bits of a revision.
pub const TRANSACTION_COUNT_MAX: usize = 4096;

const PUT: u8 = 1;
const PUT_INLINE: u8 = 2;
const MOVE_INLINE: u8 = 3;
const DELETE: u8 = 4;

/// The revision of transaction `index` of batch `number`.
#[must_use]
pub const fn revision(number: u64, index: usize) -> Revision {
    Revision((number << 16) | index as u64)
}

/// Builds a body, and gives each change its stored form.
pub struct BodyWriter {
    number: u64,
    bytes: Writer,
    transactions: usize,
}

impl BodyWriter {
    /// A body for batch `number`.
    #[must_use]
    pub fn new(number: u64) -> Self {
        let mut bytes = Writer::new();
        bytes.u8(BODY_FORMAT);
        Self {
            number,
            bytes,
            transactions: 0,
        }
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.0.len()
    }

    /// Transactions so far.
    #[must_use]
    pub const fn transactions(&self) -> usize {
        self.transactions
    }

    /// The revision the next transaction's records get.
    #[must_use]
    pub const fn next_revision(&self) -> Revision {
        revision(self.number, self.transactions)
    }

    /// Adds a transaction; returns what it does to the index.
    pub fn add(&mut self, changes: &[Change]) -> Vec<ViewChange> {
        let revision = self.next_revision();
        self.transactions += 1;
        self.bytes
            .u32(u32::try_from(changes.len()).expect("bounded by the transaction's limit"));
        changes
            .iter()
            .map(|change| self.add_change(change, revision))
            .collect()
    }

    fn add_change(&mut self, change: &Change, revision: Revision) -> ViewChange {
        let w = &mut self.bytes;
        match change {
            Change::Put { key, value } => {
                w.u8(PUT).short(key).long(value);
                ViewChange::put(
                    key,
                    &Record {
                        value: value.clone(),
                        revision,
                        inline: None,
                    },
                )
            }
            Change::PutInline {
                key,
                value,
                content,
            } => {
                w.u8(PUT_INLINE).short(key).long(value).long(content);
                let offset = w.0.len() - content.len();
                let inline = Some(place(self.number, offset, content));
                ViewChange::put(
                    key,
                    &Record {
                        value: value.clone(),
                        revision,
                        inline,
                    },
                )
            }
            Change::MoveInline {
                key, value, inline, ..
            } => {
                w.u8(MOVE_INLINE).short(key).long(value);
                w.u64(inline.batch)
                    .u32(inline.offset)
                    .u32(inline.size)
                    .u64(inline.checksum);
                let inline = Some(*inline);
                ViewChange::put(
                    key,
                    &Record {
                        value: value.clone(),
                        revision,
                        inline,
                    },
                )
            }
            Change::Delete { key } => {
                w.u8(DELETE).short(key);
                ViewChange::delete(key)
            }
        }
    }

    /// The finished body.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.bytes.0.into()
    }
}

fn place(batch: u64, offset: usize, content: &[u8]) -> InlinePlace {
    InlinePlace {
        batch,
        offset: u32::try_from(offset).expect("a body is below 4 GiB"),
        size: u32::try_from(content.len()).expect("inline content is small"),
        checksum: checksum64(batch, content),
    }
}

/// What the body of batch `number` does to the index.
///
/// # Errors
/// When the bytes are not a body of a format this build knows.
pub fn decode_body(number: u64, body: &[u8]) -> Result<Vec<ViewChange>, DecodeError> {
    let mut changes = Vec::new();
    let mut r = Reader::new(body);
    if r.u8()? != BODY_FORMAT {
        return Err(DecodeError);
    }
    let mut index = 0;
    while !r.0.is_empty() {
        let revision = revision(number, index);
        index += 1;
        for _ in 0..r.u32()? {
            changes.push(decode_change(number, body.len(), &mut r, revision)?);
        }
    }
    Ok(changes)
}

fn decode_change(
    number: u64,
    body_len: usize,
    r: &mut Reader<'_>,
    revision: Revision,
) -> Result<ViewChange, DecodeError> {
    let kind = r.u8()?;
    let key = r.short()?;
    if kind == DELETE {
        return Ok(ViewChange::delete(key));
    }
    let value = Bytes::copy_from_slice(r.long()?);
    let inline = match kind {
        PUT => None,
        PUT_INLINE => {
            let content = r.long()?;
            let offset = body_len - r.0.len() - content.len();
            Some(place(number, offset, content))
        }
        MOVE_INLINE => Some(decode_place(r)?),
        _ => return Err(DecodeError),
    };
    Ok(ViewChange::put(
        key,
        &Record {
            value,
            revision,
            inline,
        },
    ))
}

fn decode_place(r: &mut Reader<'_>) -> Result<InlinePlace, DecodeError> {
    Ok(InlinePlace {
        batch: r.u64()?,
        offset: r.u32()?,
        size: r.u32()?,
        checksum: r.u64()?,
    })
}

/// The stored form of a record: checksummed with its key, so that a view that hands back the wrong
/// bytes, or the right bytes for another key, is found out.
#[must_use]
pub fn encode_record(key: &[u8], record: &Record) -> Bytes {
    let mut w = Writer(Vec::with_capacity(record.value.len() + 50));
    w.u64(0)
        .u8(BODY_FORMAT)
        .u64(record.revision.0)
        .u8(u8::from(record.inline.is_some()));
    if let Some(place) = record.inline {
        w.u64(place.batch)
            .u32(place.offset)
            .u32(place.size)
            .u64(place.checksum);
    }
    w.bytes(&record.value);
    let sum = checksum64(checksum64(0, key), &w.0[8..]);
    w.0[..8].copy_from_slice(&sum.to_le_bytes());
    w.0.into()
}

/// Reads a stored record.
///
/// # Errors
/// When the bytes are not what was stored under `key`.
pub fn decode_record(key: &[u8], stored: &Bytes) -> Result<Record, DecodeError> {
    let mut r = Reader::new(stored);
    let sum = r.u64()?;
    if checksum64(checksum64(0, key), r.0) != sum || r.u8()? != BODY_FORMAT {
        return Err(DecodeError);
    }
    let revision = Revision(r.u64()?);
    let inline = if r.u8()? == 1 {
        Some(decode_place(&mut r)?)
    } else {
        None
    };
    let value = stored.slice(stored.len() - r.0.len()..);
    Ok(Record {
        value,
        revision,
        inline,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes() -> Vec<Change> {
        let b = Bytes::from_static;
        let inline = InlinePlace {
            batch: 3,
            offset: 4,
            size: 5,
            checksum: 6,
        };
        vec![
            Change::Put {
                key: b"a".to_vec(),
                value: b(b"one"),
            },
            Change::PutInline {
                key: b"b".to_vec(),
                value: b(b"two"),
                content: b(b"content"),
            },
            Change::MoveInline {
                from: b"x".to_vec(),
                key: b"c".to_vec(),
                value: b(b""),
                inline,
            },
            Change::Delete { key: b"d".to_vec() },
        ]
    }

    #[test]
    fn replay_of_a_body_gives_the_changes_that_its_writer_gave() {
        let mut writer = BodyWriter::new(9);
        let mut given = writer.add(&changes());
        given.extend(writer.add(&changes()[..2]));
        let body = writer.finish();
        assert_eq!(decode_body(9, &body).unwrap(), given);
        let record = decode_record(b"b", given[1].value.as_ref().unwrap()).unwrap();
        let place = record.inline.unwrap();
        let at = place.offset as usize;
        assert_eq!(&body[at..at + place.size as usize], b"content");
        for len in 1..body.len() {
            let _ = decode_body(9, &body[..len]);
        }
    }

    #[test]
    fn stored_record_is_refused_under_another_key_and_with_any_flipped_bit() {
        let value = Bytes::from_static(b"value");
        let record = Record {
            value,
            revision: Revision(77),
            inline: None,
        };
        let stored = encode_record(b"key", &record);
        assert_eq!(decode_record(b"key", &stored).unwrap(), record);
        assert!(decode_record(b"kez", &stored).is_err());
        for bit in 0..stored.len() * 8 {
            let mut bad = stored.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_record(b"key", &bad.into()).is_err());
        }
    }

    #[test]
    fn body_of_format_1_in_testdata_stays_readable() {
        let golden = include_bytes!("../testdata/body-1.bin");
        let mut writer = BodyWriter::new(9);
        let given = writer.add(&changes());
        assert_eq!(decode_body(9, golden).unwrap(), given);
        assert_eq!(&writer.finish()[..], golden);
    }
}
