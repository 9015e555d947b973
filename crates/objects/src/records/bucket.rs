//! Records of buckets.

use strongroom_base::Timestamp;
use strongroom_meta::Stamp;
use strongroom_types::{BucketName, Owner};

use super::codec::{Decoded, FieldsReader, FieldsWriter, RecordError, RecordFormat, text};
use super::keys::BucketId;

const FORMAT: u8 = 1;

fn owner(text: String) -> Decoded<Owner> {
    Owner::new(text).map_err(|_| RecordError::Invalid("owner"))
}

/// Under the bucket's name: which bucket that is, and what a list of buckets shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BucketNameRecord {
    pub id: BucketId,
    pub owner: Owner,
    pub created: Timestamp,
    /// Whether the bucket's versioning was ever set; it never returns to false. Kept here because
    /// every request reads this record, and a read must know whether to show ids (VE06, VE07).
    pub versioned: bool,
}

impl RecordFormat for BucketNameRecord {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        fields
            .u64(1, self.id.0)
            .bytes(2, self.owner.as_str().as_bytes())
            .u64(3, self.created.0)
            .optional(4, self.versioned.then_some(1), |out, flag| _ = out.u8(flag));
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let record = Self {
            id: BucketId(fields.u64(1)?),
            owner: owner(fields.text(2)?)?,
            created: fields.timestamp(3)?,
            versioned: fields.flag(4)?,
        };
        fields.finish()?;
        Ok(record)
    }
}

/// Versioning of a bucket; never back to `Never`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Versioning {
    Never,
    Enabled,
    Suspended,
}

/// A bucket or an upload that one operation has closed against writers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closing {
    /// Of the operation that closed it: its last step holds only if this is still so.
    pub token: Stamp,
    pub since: Timestamp,
}

/// Under the bucket's id: what every commit in the bucket is guarded by (H12).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BucketRecord {
    pub name: BucketName,
    pub owner: Owner,
    pub created: Timestamp,
    pub versioning: Versioning,
    pub lock_enabled: bool,
    /// DeleteBucket is under way (H13).
    pub closing: Option<Closing>,
    /// Whether MFA delete is on; none when it was never set (MF01).
    pub mfa_delete: Option<bool>,
}

impl RecordFormat for BucketRecord {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        fields
            .bytes(1, self.name.as_str().as_bytes())
            .bytes(2, self.owner.as_str().as_bytes())
            .u64(3, self.created.0)
            .u8(
                4,
                match self.versioning {
                    Versioning::Never => 0,
                    Versioning::Enabled => 1,
                    Versioning::Suspended => 2,
                },
            )
            .optional(5, self.lock_enabled.then_some(1), |out, flag| {
                _ = out.u8(flag)
            })
            .optional(6, self.closing, |out, closing| {
                out.u64(closing.token.0).u64(closing.since.0);
            })
            .optional(7, self.mfa_delete, |out, is_on| _ = out.u8(u8::from(is_on)));
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let name = text(fields.bytes(1)?)?;
        let record = Self {
            name: BucketName::new(name).map_err(|_| RecordError::Invalid("bucket name"))?,
            owner: owner(fields.text(2)?)?,
            created: fields.timestamp(3)?,
            versioning: match fields.u8(4)? {
                0 => Versioning::Never,
                1 => Versioning::Enabled,
                2 => Versioning::Suspended,
                _ => return Err(RecordError::Invalid("versioning")),
            },
            lock_enabled: fields.flag(5)?,
            closing: fields.nested(6, |reader| {
                Ok(Closing {
                    token: Stamp(reader.u64()?),
                    since: Timestamp(reader.u64()?),
                })
            })?,
            mfa_delete: fields.nested(7, |reader| match reader.u8()? {
                0 => Ok(false),
                1 => Ok(true),
                _ => Err(RecordError::Invalid("MFA delete")),
            })?,
        };
        fields.finish()?;
        Ok(record)
    }
}
