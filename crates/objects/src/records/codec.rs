//! How a record becomes bytes: a version byte, then tagged fields with explicit lengths.
//!
//! Records outlive the program that wrote them. So every record begins with the version of its
//! format, fields say their own length, and a reader that meets a version or a field it does not
//! know refuses the record: a field may be what keeps a version from being deleted.
//!
//! Invariants
//! - Decoding never panics and never allocates more than the bytes it was given call for.
//! - Tags ascend, so one record has one encoding.

use strongroom_base::Timestamp;
use strongroom_meta::Stamp;

/// Why bytes are no record we can read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    #[error("record ends too early")]
    Truncated,
    #[error("record of format {found} was written by a newer release, this one reads {known}")]
    NewerFormat { found: u8, known: u8 },
    #[error("record has field {0}, which this release does not know")]
    UnknownField(u8),
    #[error("record lacks field {0}")]
    MissingField(u8),
    #[error("record has a bad {0}")]
    Invalid(&'static str),
}

/// Result of decoding.
pub type Decoded<T> = Result<T, RecordError>;

/// Something kept under one metadata key.
pub trait RecordFormat: Sized {
    /// The record as bytes.
    fn encode(&self) -> Vec<u8>;

    /// The record from bytes.
    ///
    /// # Errors
    /// When they are not a record of a known format.
    fn decode(bytes: &[u8]) -> Decoded<Self>;
}

/// Appends values.
#[derive(Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.out.push(value);
        self
    }

    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// A length of one to five bytes, seven bits each, least significant first.
    pub fn length(&mut self, length: usize) -> &mut Self {
        let mut rest = u32::try_from(length).expect("a field is smaller than a record");
        while rest >= 0x80 {
            self.out.push((rest & 0x7F) as u8 | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
        self
    }

    /// Bytes behind their length.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len());
        self.raw(bytes)
    }

    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// Takes values from the front of bytes.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn raw(&mut self, size: usize) -> Decoded<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(size)
            .ok_or(RecordError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(RecordError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Decoded<u8> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub fn u16(&mut self) -> Decoded<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Decoded<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Decoded<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub fn id(&mut self) -> Decoded<[u8; 16]> {
        self.array()
    }

    pub fn length(&mut self) -> Decoded<usize> {
        let mut length = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            length |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(length).map_err(|_| RecordError::Invalid("length"));
            }
        }
        Err(RecordError::Invalid("length"))
    }

    pub fn bytes(&mut self) -> Decoded<&'a [u8]> {
        let length = self.length()?;
        self.raw(length)
    }

    pub fn text(&mut self) -> Decoded<String> {
        text(self.bytes()?)
    }

    /// That nothing is left.
    pub fn end(&self) -> Decoded<()> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(RecordError::Invalid("length"))
        }
    }
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> Decoded<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| RecordError::Invalid("text"))
}

/// Writes a record: its version, then fields in ascending order of their tags.
pub struct FieldsWriter {
    out: Writer,
    tag_last: Option<u8>,
}

impl FieldsWriter {
    pub fn new(version: u8) -> Self {
        let mut out = Writer::default();
        out.u8(version);
        Self {
            out,
            tag_last: None,
        }
    }

    pub fn bytes(&mut self, tag: u8, bytes: &[u8]) -> &mut Self {
        assert!(
            self.tag_last < Some(tag),
            "fields are written in order of their tags"
        );
        self.tag_last = Some(tag);
        self.out.u8(tag).bytes(bytes);
        self
    }

    pub fn u8(&mut self, tag: u8, value: u8) -> &mut Self {
        self.bytes(tag, &[value])
    }

    pub fn u64(&mut self, tag: u8, value: u64) -> &mut Self {
        self.bytes(tag, &value.to_be_bytes())
    }

    /// A field that is left out when there is no value.
    pub fn optional<T>(
        &mut self,
        tag: u8,
        value: Option<T>,
        write: impl FnOnce(&mut Writer, T),
    ) -> &mut Self {
        if let Some(value) = value {
            self.nested(tag, |out| write(out, value));
        }
        self
    }

    pub fn nested(&mut self, tag: u8, write: impl FnOnce(&mut Writer)) -> &mut Self {
        let mut inner = Writer::default();
        write(&mut inner);
        self.bytes(tag, &inner.finish())
    }

    pub fn finish(self) -> Vec<u8> {
        self.out.finish()
    }
}

/// Reads a record's fields; each is taken once, and none may be left.
pub struct FieldsReader<'a> {
    fields: Vec<(u8, &'a [u8])>,
}

impl<'a> FieldsReader<'a> {
    /// Splits `bytes` into fields.
    pub fn new(bytes: &'a [u8], known: u8) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let found = reader.u8()?;
        match found {
            0 => return Err(RecordError::Invalid("format")),
            found if found > known => return Err(RecordError::NewerFormat { found, known }),
            _ => {}
        }
        let mut fields: Vec<(u8, &[u8])> = Vec::new();
        while !reader.is_empty() {
            let tag = reader.u8()?;
            if fields.last().is_some_and(|(last, _)| *last >= tag) {
                return Err(RecordError::Invalid("order of fields"));
            }
            fields.push((tag, reader.bytes()?));
        }
        Ok(Self { fields })
    }

    pub fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        let index = self.fields.iter().position(|(found, _)| *found == tag)?;
        Some(self.fields.remove(index).1)
    }

    pub fn bytes(&mut self, tag: u8) -> Decoded<&'a [u8]> {
        self.optional(tag).ok_or(RecordError::MissingField(tag))
    }

    pub fn u8(&mut self, tag: u8) -> Decoded<u8> {
        let mut reader = Reader::new(self.bytes(tag)?);
        let value = reader.u8()?;
        reader.end()?;
        Ok(value)
    }

    pub fn u64(&mut self, tag: u8) -> Decoded<u64> {
        let mut reader = Reader::new(self.bytes(tag)?);
        let value = reader.u64()?;
        reader.end()?;
        Ok(value)
    }

    pub fn flag(&mut self, tag: u8) -> Decoded<bool> {
        match self.optional(tag) {
            None => Ok(false),
            Some([1]) => Ok(true),
            Some(_) => Err(RecordError::Invalid("flag")),
        }
    }

    pub fn stamp(&mut self, tag: u8) -> Decoded<Stamp> {
        self.u64(tag).map(Stamp)
    }

    pub fn timestamp(&mut self, tag: u8) -> Decoded<Timestamp> {
        self.u64(tag).map(Timestamp)
    }

    pub fn text(&mut self, tag: u8) -> Decoded<String> {
        text(self.bytes(tag)?)
    }

    /// An optional field read by `read`, which must use all of it.
    pub fn nested<T>(
        &mut self,
        tag: u8,
        read: impl FnOnce(&mut Reader<'a>) -> Decoded<T>,
    ) -> Decoded<Option<T>> {
        let Some(bytes) = self.optional(tag) else {
            return Ok(None);
        };
        let mut reader = Reader::new(bytes);
        let value = read(&mut reader)?;
        reader.end()?;
        Ok(Some(value))
    }

    /// That every field was known.
    pub fn finish(self) -> Decoded<()> {
        match self.fields.first() {
            None => Ok(()),
            Some((tag, _)) => Err(RecordError::UnknownField(*tag)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_and_an_unknown_field_are_refused() {
        let mut fields = FieldsWriter::new(2);
        fields.u8(1, 7);
        let bytes = fields.finish();
        let newer = FieldsReader::new(&bytes, 1).err();
        assert_eq!(newer, Some(RecordError::NewerFormat { found: 2, known: 1 }));
        let unread = FieldsReader::new(&bytes, 2).unwrap().finish();
        assert_eq!(unread, Err(RecordError::UnknownField(1)));
    }

    #[test]
    fn lengths_of_every_size_are_read_back() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_152, u32::MAX as usize] {
            let mut writer = Writer::default();
            writer.length(length);
            let bytes = writer.finish();
            assert_eq!(Reader::new(&bytes).length(), Ok(length));
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_refused_without_reading_it() {
        assert_eq!(
            Reader::new(&[0xFF, 0xFF, 0xFF, 0x7F, 1]).bytes(),
            Err(RecordError::Truncated)
        );
        assert_eq!(
            Reader::new(&[0x80; 9]).length(),
            Err(RecordError::Invalid("length"))
        );
    }
}
