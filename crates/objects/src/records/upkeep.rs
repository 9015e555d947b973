//! Records of scrub and repair: where a job is, and what is lost.

use strongroom_base::Timestamp;

use super::codec::{Decoded, FieldsReader, FieldsWriter, RecordError, RecordFormat};
use super::keys::BlobId;

const FORMAT: u8 = 1;

/// That a blob can not be read although no disk is out. The key says which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LostRecord {
    /// When it was found.
    pub since: Timestamp,
    pub size: u64,
}

impl RecordFormat for LostRecord {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        fields.u64(1, self.since.0).u64(2, self.size);
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let record = Self {
            since: fields.timestamp(1)?,
            size: fields.u64(2)?,
        };
        fields.finish()?;
        Ok(record)
    }
}

/// How far a job over all blobs is. Of scrub and of repair.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JobRecord {
    /// The last blob done; none at the begin of a pass.
    pub cursor: Option<BlobId>,
    /// Of repair: blobs that survive so many more losses are repaired now. Of scrub: the batch of the
    /// commit log that is read next; 0 while blobs are read.
    pub level: u64,
    /// When the pass that is under way began; 0 when none is.
    pub begun: Timestamp,
    /// When the last whole pass ended; 0 before the first.
    pub ended: Timestamp,
    /// Blobs looked at in this pass.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Shards found missing or damaged in this pass.
    pub bad: u64,
    /// Of them, those written anew.
    pub repaired: u64,
    /// Blobs found lost in this pass.
    pub lost: u64,
    /// Most bytes of content in a second; 0 for no bound.
    pub rate: u64,
}

impl RecordFormat for JobRecord {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        fields.optional(1, self.cursor, |out, cursor| _ = out.raw(&cursor.0));
        fields
            .u64(2, self.level)
            .u64(3, self.begun.0)
            .u64(4, self.ended.0)
            .u64(5, self.blobs)
            .u64(6, self.bytes)
            .u64(7, self.bad)
            .u64(8, self.repaired)
            .u64(9, self.lost)
            .u64(10, self.rate);
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let cursor = fields.optional(1).map(|bytes| {
            let id = bytes.try_into();
            id.map(BlobId).map_err(|_| RecordError::Invalid("cursor"))
        });
        let record = Self {
            cursor: cursor.transpose()?,
            level: fields.u64(2)?,
            begun: fields.timestamp(3)?,
            ended: fields.timestamp(4)?,
            blobs: fields.u64(5)?,
            bytes: fields.u64(6)?,
            bad: fields.u64(7)?,
            repaired: fields.u64(8)?,
            lost: fields.u64(9)?,
            rate: fields.u64(10)?,
        };
        fields.finish()?;
        Ok(record)
    }
}
