//! The policy of an upload by form: what its signer allows whoever holds it to upload.
//!
//! The signature covers the policy and nothing else, so whatever is in the form counts only where
//! the policy says something about it: a field no condition names is refused, and so is a policy we
//! do not understand whole (a restriction that is skipped is a restriction that is gone).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use strongroom_base::{Timestamp, planted};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::fields::Fields;
use crate::error::{FrontError, Result};

/// Fields no condition needs to name: the policy itself, its signature, and what S3 is to ignore.
const NEED_NO_CONDITION: [&str; 3] = ["policy", "x-amz-signature", "file"];
const IGNORED_PREFIX: &str = "x-ignore-";

/// A policy that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    expires: Timestamp,
    conditions: Vec<Condition>,
}

/// How large the file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeRange {
    pub min: u64,
    pub max: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Equal { field: String, value: String },
    StartsWith { field: String, prefix: String },
    Size(SizeRange),
}

impl Policy {
    /// Reads the field `policy`.
    ///
    /// # Errors
    /// `InvalidPolicyDocument`.
    pub fn parse(encoded: &str) -> Result<Self> {
        let bytes = STANDARD
            .decode(encoded.trim_ascii())
            .map_err(|_| invalid("it is not base64"))?;
        let document: Value =
            serde_json::from_slice(&bytes).map_err(|_| invalid("it is not JSON"))?;
        let Value::Object(members) = document else {
            return Err(invalid("it is not an object"));
        };
        if let Some(name) = members
            .keys()
            .find(|name| !["expiration", "conditions"].contains(&name.as_str()))
        {
            return Err(invalid(&format!("unexpected element {name:?}")));
        }
        let expiration = members
            .get("expiration")
            .ok_or_else(|| invalid("policy missing expiration"))?;
        let conditions = members
            .get("conditions")
            .and_then(Value::as_array)
            .ok_or_else(|| invalid("policy missing conditions"))?;
        Ok(Self {
            expires: expiration.as_str().and_then(parse_time).ok_or_else(|| {
                invalid("the expiration must be a time like 2007-12-01T12:00:00.000Z")
            })?,
            conditions: conditions.iter().map(condition).collect::<Result<_>>()?,
        })
    }

    /// Checks the fields of a form for `bucket` against the policy; gives the sizes it allows.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub fn check(&self, now: Timestamp, bucket: &str, fields: &Fields) -> Result<Vec<SizeRange>> {
        if now >= self.expires {
            return Err(denied("Policy expired."));
        }
        let value_of = |field: &str| match field {
            "bucket" => bucket,
            field => fields.get(field).unwrap_or(""),
        };
        if let Some(failed) = self.conditions.iter().find(|c| !c.holds(value_of)) {
            return Err(denied(&format!(
                "Policy Condition failed: {}",
                failed.text()
            )));
        }
        let named = |name: &str| self.conditions.iter().any(|c| c.names(name));
        let exempt = |name: &str| {
            NEED_NO_CONDITION.contains(&name)
                || name.starts_with(IGNORED_PREFIX)
                || planted("front-form-field-not-covered")
        };
        let mut names = fields.iter().map(|(name, _)| name).chain(["bucket"]);
        if let Some(name) = names.find(|name| !exempt(name) && !named(name)) {
            return Err(denied(&format!("Extra input fields: {name}")));
        }
        let sizes = self.conditions.iter().filter_map(|c| match c {
            Condition::Size(range) => Some(*range),
            _ => None,
        });
        Ok(sizes.collect())
    }
}

impl SizeRange {
    /// Refuses a file of `size` bytes outside of the range.
    ///
    /// # Errors
    /// `EntityTooSmall`, `EntityTooLarge`.
    pub fn check(self, size: u64) -> Result<()> {
        if size < self.min {
            return Err(FrontError::bad_request(
                "EntityTooSmall",
                "your proposed upload is smaller than the minimum allowed size",
            )
            .with("ProposedSize", size.to_string())
            .with("MinSizeAllowed", self.min.to_string()));
        }
        if size > self.max {
            return Err(FrontError::bad_request(
                "EntityTooLarge",
                "your proposed upload exceeds the maximum allowed size",
            )
            .with("ProposedSize", size.to_string())
            .with("MaxSizeAllowed", self.max.to_string()));
        }
        Ok(())
    }
}

impl Condition {
    fn names(&self, name: &str) -> bool {
        match self {
            Self::Equal { field, .. } | Self::StartsWith { field, .. } => field == name,
            Self::Size(_) => false,
        }
    }

    fn holds<'a>(&self, value_of: impl Fn(&str) -> &'a str) -> bool {
        match self {
            Self::Equal { field, value } => value_of(field) == value,
            // A content type is a list, each member of which must meet the condition.
            Self::StartsWith { field, prefix } if field == "content-type" => value_of(field)
                .split(',')
                .all(|kind| kind.trim_start().starts_with(prefix.as_str())),
            Self::StartsWith { field, prefix } => value_of(field).starts_with(prefix.as_str()),
            Self::Size(_) => true,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Equal { field, value } => format!("[\"eq\", \"${field}\", {value:?}]"),
            Self::StartsWith { field, prefix } => {
                format!("[\"starts-with\", \"${field}\", {prefix:?}]")
            }
            Self::Size(range) => {
                format!("[\"content-length-range\", {}, {}]", range.min, range.max)
            }
        }
    }
}

fn condition(value: &Value) -> Result<Condition> {
    match value {
        Value::Object(members) => simple_condition(members),
        Value::Array(items) => {
            let [operator, first, second] = items.as_slice() else {
                return Err(invalid("a condition must have three elements"));
            };
            let operator = operator.as_str().map(str::to_ascii_lowercase);
            match operator.as_deref() {
                Some("eq") => Ok(Condition::Equal {
                    field: field(first)?,
                    value: text(second)?,
                }),
                Some("starts-with") => Ok(Condition::StartsWith {
                    field: field(first)?,
                    prefix: text(second)?,
                }),
                Some("content-length-range") => Ok(Condition::Size(SizeRange {
                    min: number(first)?,
                    max: number(second)?,
                })),
                _ => Err(invalid("a condition has an unknown operator")),
            }
        }
        _ => Err(invalid("a condition must be an object or a list")),
    }
}

fn simple_condition(members: &Map<String, Value>) -> Result<Condition> {
    let mut members = members.iter();
    match (members.next(), members.next()) {
        (Some((name, value)), None) => Ok(Condition::Equal {
            field: name.to_ascii_lowercase(),
            value: text(value)?,
        }),
        _ => Err(invalid(
            "Simple-Conditions must have exactly one property specified",
        )),
    }
}

fn field(value: &Value) -> Result<String> {
    let name = value.as_str().and_then(|text| text.strip_prefix('$'));
    name.map(str::to_ascii_lowercase)
        .ok_or_else(|| invalid("the field of a condition must be a name after a dollar sign"))
}

fn text(value: &Value) -> Result<String> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| invalid("the value of a condition must be a string"))
}

/// A size, as a number or, as some clients write it, as a string of digits.
fn number(value: &Value) -> Result<u64> {
    let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = match value {
        Value::String(text) => Some(text.as_str())
            .filter(digits)
            .and_then(|text| text.parse().ok()),
        value => value.as_u64(),
    };
    number.ok_or_else(|| invalid("content-length-range must have two sizes"))
}

fn parse_time(text: &str) -> Option<Timestamp> {
    let utc = text.as_bytes().get(10) == Some(&b'T') && text.ends_with('Z');
    let time = OffsetDateTime::parse(text, &Rfc3339).ok().filter(|_| utc)?;
    u64::try_from(time.unix_timestamp_nanos())
        .ok()
        .map(Timestamp)
}

fn invalid(message: &str) -> FrontError {
    FrontError::bad_request(
        "InvalidPolicyDocument",
        format!("invalid Policy: {message}"),
    )
}

fn denied(message: &str) -> FrontError {
    FrontError::denied(format!("Invalid according to Policy: {message}"))
}
