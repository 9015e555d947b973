//! Configurations of buckets: one record per bucket and kind (RFC 0005).
//!
//! They hold what a configuration says and not the document it came in, so that the domain can act
//! on it without knowing XML, and a document reads back the same whoever wrote it.

use std::collections::BTreeMap;

use super::codec::{
    Decoded, FieldsReader, FieldsWriter, Reader, RecordError, RecordFormat, Writer,
};
use super::fields::{mode_number, read_mode, read_pairs, write_pairs};
use crate::config::{CorsConfig, CorsRule, RedirectAll, RoutingRule, WebsiteConfig, WebsiteMode};
use crate::error::Result;
use crate::lock::{DefaultRetention, RetentionPeriod};
use crate::tags::Tags;

const FORMAT: u8 = 1;

/// What a configuration is about. The number is part of its key: never given to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum ConfigKind {
    Tagging = 1,
    Cors = 2,
    Website = 3,
    /// What new versions are locked by. That locks are on is in the bucket's record.
    ObjectLock = 4,
}

/// A configuration that is kept as a record.
pub trait BucketConfig: RecordFormat {
    /// Where it is kept.
    const KIND: ConfigKind;

    /// What S3 refuses before it stores one.
    ///
    /// # Errors
    /// `InvalidRequest`, `InvalidArgument`.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

fn write_texts(out: &mut Writer, texts: &[String]) {
    for text in texts {
        out.bytes(text.as_bytes());
    }
}

fn read_texts(reader: &mut Reader<'_>) -> Decoded<Vec<String>> {
    let mut texts = Vec::new();
    while !reader.is_empty() {
        texts.push(reader.text()?);
    }
    Ok(texts)
}

/// Texts by the number of their field: how the parts of a configuration are written.
type Texts = BTreeMap<u8, String>;

fn write_numbered<'a>(out: &mut Writer, texts: impl IntoIterator<Item = (u8, Option<&'a String>)>) {
    for (number, text) in texts {
        if let Some(text) = text {
            out.u8(number).bytes(text.as_bytes());
        }
    }
}

fn read_numbered(reader: &mut Reader<'_>) -> Decoded<Texts> {
    let mut texts = Texts::new();
    while !reader.is_empty() {
        let number = reader.u8()?;
        if texts.insert(number, reader.text()?).is_some() {
            return Err(RecordError::Invalid("repeated field"));
        }
    }
    Ok(texts)
}

fn none_left(texts: &Texts) -> Decoded<()> {
    match texts.keys().next() {
        None => Ok(()),
        Some(number) => Err(RecordError::UnknownField(*number)),
    }
}

impl BucketConfig for Tags {
    const KIND: ConfigKind = ConfigKind::Tagging;
}

impl RecordFormat for Tags {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        fields.nested(1, |out| write_pairs(out, self.as_map()));
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let pairs = fields.nested(1, read_pairs)?;
        fields.finish()?;
        pairs.map(Self::stored).ok_or(RecordError::MissingField(1))
    }
}

impl BucketConfig for CorsConfig {
    const KIND: ConfigKind = ConfigKind::Cors;

    fn check(&self) -> Result<()> {
        Self::check(self)
    }
}

impl RecordFormat for CorsConfig {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        fields.nested(1, |out| {
            for rule in &self.rules {
                out.bytes(&write_cors_rule(rule));
            }
        });
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let rules = fields.nested(1, |reader| {
            let mut rules = Vec::new();
            while !reader.is_empty() {
                rules.push(read_cors_rule(reader.bytes()?)?);
            }
            Ok(rules)
        })?;
        fields.finish()?;
        let rules = rules.ok_or(RecordError::MissingField(1))?;
        Ok(Self { rules })
    }
}

fn write_cors_rule(rule: &CorsRule) -> Vec<u8> {
    let mut fields = FieldsWriter::new(FORMAT);
    fields
        .optional(1, rule.id.as_ref(), |out, id| {
            _ = out.raw(id.as_bytes());
        })
        .nested(2, |out| write_texts(out, &rule.allowed_methods))
        .nested(3, |out| write_texts(out, &rule.allowed_origins))
        .nested(4, |out| write_texts(out, &rule.allowed_headers))
        .nested(5, |out| write_texts(out, &rule.expose_headers))
        .optional(6, rule.max_age_seconds, |out, seconds| {
            _ = out.u32(seconds);
        });
    fields.finish()
}

fn read_cors_rule(bytes: &[u8]) -> Decoded<CorsRule> {
    let mut fields = FieldsReader::new(bytes, FORMAT)?;
    let id = match fields.optional(1) {
        Some(bytes) => Some(super::codec::text(bytes)?),
        None => None,
    };
    let mut texts = |tag| {
        let texts = fields.nested(tag, read_texts)?;
        texts.ok_or(RecordError::MissingField(tag))
    };
    let rule = CorsRule {
        id,
        allowed_methods: texts(2)?,
        allowed_origins: texts(3)?,
        allowed_headers: texts(4)?,
        expose_headers: texts(5)?,
        max_age_seconds: fields.nested(6, Reader::u32)?,
    };
    fields.finish()?;
    Ok(rule)
}

impl BucketConfig for WebsiteConfig {
    const KIND: ConfigKind = ConfigKind::Website;

    fn check(&self) -> Result<()> {
        Self::check(self)
    }
}

impl RecordFormat for WebsiteConfig {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldsWriter::new(FORMAT);
        match &self.mode {
            WebsiteMode::RedirectAll(to) => {
                fields.nested(1, |out| {
                    write_numbered(out, [(1, Some(&to.host)), (2, to.protocol.as_ref())]);
                });
            }
            WebsiteMode::Serve {
                index_suffix,
                error_key,
                rules,
            } => {
                fields
                    .bytes(2, index_suffix.as_bytes())
                    .optional(3, error_key.as_ref(), |out, key| {
                        _ = out.raw(key.as_bytes());
                    })
                    .nested(4, |out| {
                        for rule in rules {
                            out.bytes(&write_routing_rule(rule));
                        }
                    });
            }
        }
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let mode = match fields.nested(1, read_numbered)? {
            Some(mut texts) => {
                let to = RedirectAll {
                    host: texts.remove(&1).ok_or(RecordError::MissingField(1))?,
                    protocol: texts.remove(&2),
                };
                none_left(&texts)?;
                WebsiteMode::RedirectAll(to)
            }
            None => WebsiteMode::Serve {
                index_suffix: fields.text(2)?,
                error_key: match fields.optional(3) {
                    Some(bytes) => Some(super::codec::text(bytes)?),
                    None => None,
                },
                rules: fields
                    .nested(4, |reader| {
                        let mut rules = Vec::new();
                        while !reader.is_empty() {
                            rules.push(read_routing_rule(reader.bytes()?)?);
                        }
                        Ok(rules)
                    })?
                    .ok_or(RecordError::MissingField(4))?,
            },
        };
        fields.finish()?;
        Ok(Self { mode })
    }
}

fn write_routing_rule(rule: &RoutingRule) -> Vec<u8> {
    let mut out = Writer::default();
    write_numbered(
        &mut out,
        [
            (1, rule.key_prefix.as_ref()),
            (2, rule.error_code.as_ref()),
            (3, rule.host.as_ref()),
            (4, rule.redirect_code.as_ref()),
            (5, rule.protocol.as_ref()),
            (6, rule.replace_prefix.as_ref()),
            (7, rule.replace_key.as_ref()),
        ],
    );
    out.finish()
}

fn read_routing_rule(bytes: &[u8]) -> Decoded<RoutingRule> {
    let mut texts = read_numbered(&mut Reader::new(bytes))?;
    let rule = RoutingRule {
        key_prefix: texts.remove(&1),
        error_code: texts.remove(&2),
        host: texts.remove(&3),
        redirect_code: texts.remove(&4),
        protocol: texts.remove(&5),
        replace_prefix: texts.remove(&6),
        replace_key: texts.remove(&7),
    };
    none_left(&texts)?;
    Ok(rule)
}

/// What a bucket locks new versions by. It is put by a decision of its own, with the bucket's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LockDefaults {
    pub default: DefaultRetention,
}

impl RecordFormat for LockDefaults {
    fn encode(&self) -> Vec<u8> {
        let (unit, count) = match self.default.period {
            RetentionPeriod::Days(days) => (1, days),
            RetentionPeriod::Years(years) => (2, years),
        };
        let mut fields = FieldsWriter::new(FORMAT);
        fields.nested(1, |out| {
            out.u8(mode_number(self.default.mode)).u8(unit).u32(count);
        });
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut fields = FieldsReader::new(bytes, FORMAT)?;
        let default = fields.nested(1, |reader| {
            let mode = read_mode(reader.u8()?)?;
            let unit = reader.u8()?;
            let count = reader.u32()?;
            let period = match unit {
                1 => RetentionPeriod::Days(count),
                2 => RetentionPeriod::Years(count),
                _ => return Err(RecordError::Invalid("retention period")),
            };
            Ok(DefaultRetention { mode, period })
        })?;
        fields.finish()?;
        let default = default.ok_or(RecordError::MissingField(1))?;
        Ok(Self { default })
    }
}
