//! The writes of a decision while it makes them.

use bytes::Bytes;
use strongroom_meta::Write;

use crate::records::usage::Usage;
use crate::records::{BucketId, RecordFormat, keys};

/// Collects writes and what they change in the bucket's counters.
#[derive(Default)]
pub struct Writes {
    list: Vec<Write>,
    pub usage: Usage,
}

impl Writes {
    /// Puts a record.
    pub fn put(&mut self, key: Vec<u8>, record: &impl RecordFormat) {
        self.list.push(Write::Put {
            key,
            value: record.encode().into(),
        });
    }

    /// Puts a record with inline content.
    pub fn put_inline(&mut self, key: Vec<u8>, record: &impl RecordFormat, content: Bytes) {
        self.list.push(Write::PutInline {
            key,
            value: record.encode().into(),
            content,
        });
    }

    /// Puts a record that takes over the inline content of the record under `from`.
    pub fn move_inline(&mut self, from: Vec<u8>, key: Vec<u8>, record: &impl RecordFormat) {
        self.list.push(Write::MoveInline {
            from,
            key,
            value: record.encode().into(),
        });
    }

    /// Deletes a record.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.list.push(Write::Delete { key });
    }

    /// Takes over everything from `other`.
    pub fn append(&mut self, mut other: Self) {
        self.list.append(&mut other.list);
        for (sum, more) in self.usage.0.iter_mut().zip(other.usage.0) {
            *sum += more;
        }
    }

    /// The writes, with one for the counters of the bucket and class.
    #[must_use]
    pub fn finish(mut self, bucket: BucketId, class: &str) -> Vec<Write> {
        if !self.usage.is_zero() {
            let key = keys::usage(bucket, class);
            self.list.push(Write::Add {
                key,
                deltas: self.usage.0.to_vec(),
            });
        }
        self.list
    }
}
