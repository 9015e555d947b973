//! Object Lock: the configuration of a bucket, and retention and legal hold of a version.

use http::StatusCode;
use strongroom_objects::{
    DEFAULT_RETENTION_DAYS_MAX, DEFAULT_RETENTION_YEARS_MAX, DefaultRetention, LegalHold,
    ObjectVersion, Retention, RetentionPeriod,
};

use super::{Answer, Call, document, empty};
use crate::convert::{object_key, version_id};
use crate::error::{FrontError, Result};
use crate::lock_headers::{
    bypass, hold_name, mode_name, parse_hold, parse_mode, parse_until, until_text,
};
use crate::xml::{Children, Document, Element, malformed};

const CONFIGURATION: &str = "ObjectLockConfiguration";
const RETENTION: &str = "Retention";
const HOLD: &str = "LegalHold";

/// GetObjectLockConfiguration (OL02).
pub async fn get_configuration(call: &Call<'_>) -> Answer {
    let default = call.front.objects.lock_config(&call.bucket()?).await?;
    let mut out = Document::new(CONFIGURATION).element("ObjectLockEnabled", "Enabled");
    if let Some(default) = default {
        let (unit, count) = match default.period {
            RetentionPeriod::Days(days) => ("Days", days),
            RetentionPeriod::Years(years) => ("Years", years),
        };
        out = out
            .open("Rule")
            .open("DefaultRetention")
            .element("Mode", mode_name(default.mode))
            .element(unit, &count.to_string());
    }
    Ok(document(out))
}

/// PutObjectLockConfiguration (OL03, OL04).
pub async fn put_configuration(call: &Call<'_>) -> Answer {
    let bucket = call.bucket()?;
    let default = read_configuration(call.document(CONFIGURATION)?)?;
    call.front.objects.put_lock_config(&bucket, default).await?;
    Ok(empty(StatusCode::OK))
}

/// OL01, OL05.
fn read_configuration(root: Element) -> Result<Option<DefaultRetention>> {
    let mut children = root.into_children()?;
    let enabled = children.text("ObjectLockEnabled")?;
    let rule = children.optional("Rule")?;
    children.end()?;
    if enabled.as_deref() != Some("Enabled") {
        return Err(malformed());
    }
    let Some(rule) = rule else { return Ok(None) };
    let mut rule = rule.into_children()?;
    let retention = rule.one("DefaultRetention")?;
    rule.end()?;
    read_default(retention.into_children()?).map(Some)
}

fn read_default(mut children: Children) -> Result<DefaultRetention> {
    refuse_event_holds(&mut children, "DefaultEventHold")?;
    let mode = children.text("Mode")?.as_deref().and_then(parse_mode);
    let days = children.text("Days")?;
    let years = children.text("Years")?;
    children.end()?;
    let mode = mode.ok_or_else(malformed)?;
    let period = match (days, years) {
        (Some(days), None) => {
            RetentionPeriod::Days(period("Days", &days, DEFAULT_RETENTION_DAYS_MAX)?)
        }
        (None, Some(years)) => {
            RetentionPeriod::Years(period("Years", &years, DEFAULT_RETENTION_YEARS_MAX)?)
        }
        (None, None) | (Some(_), Some(_)) => return Err(malformed()),
    };
    Ok(DefaultRetention { mode, period })
}

/// OL06.
fn period(name: &'static str, text: &str, max: u32) -> Result<u32> {
    let count: i64 = text.trim().parse().map_err(|_| malformed())?;
    let count = u32::try_from(count).ok();
    count
        .filter(|count| (1..=max).contains(count))
        .ok_or_else(|| {
            let message =
                format!("Default retention period must be a positive integer of at most {max}");
            FrontError::invalid_argument(name, text, message)
        })
}

/// OL34: what is held by events is never dropped silently.
fn refuse_event_holds(children: &mut Children, name: &'static str) -> Result<()> {
    match children.optional(name)? {
        None => Ok(()),
        Some(_) => Err(FrontError::not_implemented(name)),
    }
}

fn version(call: &Call<'_>) -> Result<ObjectVersion> {
    Ok(ObjectVersion {
        bucket: call.bucket()?,
        key: object_key(call.target.key.clone().unwrap_or_default())?,
        version_id: version_id(call.target.parameter("versionId"))?,
    })
}

/// GetObjectRetention (OL20).
pub async fn get_retention(call: &Call<'_>) -> Answer {
    let retention = call.front.objects.object_retention(version(call)?).await?;
    let out = Document::new(RETENTION)
        .element("Mode", mode_name(retention.mode))
        .element("RetainUntilDate", &until_text(retention.until));
    Ok(document(out))
}

/// PutObjectRetention (OL21, OL22, OL23).
pub async fn put_retention(call: &Call<'_>) -> Answer {
    let of = version(call)?;
    let bypass = bypass(call.context)?;
    let retention = read_retention(call.document(RETENTION)?)?;
    call.front
        .objects
        .put_object_retention(of, retention, bypass)
        .await?;
    Ok(empty(StatusCode::OK))
}

/// OL24: an empty element takes the retention away.
fn read_retention(root: Element) -> Result<Option<Retention>> {
    let mut children = root.into_children()?;
    for name in ["EventHold", "EventHoldDuration"] {
        refuse_event_holds(&mut children, name)?;
    }
    let mode = children.text("Mode")?;
    let until = children.text("RetainUntilDate")?;
    children.end()?;
    match (mode, until) {
        (None, None) => Ok(None),
        (Some(mode), Some(until)) => Ok(Some(Retention {
            mode: parse_mode(&mode).ok_or_else(malformed)?,
            until: parse_until(&until)?,
        })),
        _ => Err(malformed()),
    }
}

/// GetObjectLegalHold (OL28).
pub async fn get_legal_hold(call: &Call<'_>) -> Answer {
    let hold = call.front.objects.object_legal_hold(version(call)?).await?;
    let out = Document::new(HOLD).element("Status", hold_name(hold));
    Ok(document(out))
}

/// PutObjectLegalHold.
pub async fn put_legal_hold(call: &Call<'_>) -> Answer {
    let of = version(call)?;
    let hold = read_hold(call.document(HOLD)?)?;
    call.front.objects.put_object_legal_hold(of, hold).await?;
    Ok(empty(StatusCode::OK))
}

fn read_hold(root: Element) -> Result<LegalHold> {
    let mut children = root.into_children()?;
    let status = children.one("Status")?.into_text()?;
    children.end()?;
    parse_hold(&status).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use strongroom_objects::LockMode;

    use super::*;
    use crate::xml;

    fn configuration(inside: &str) -> Result<Option<DefaultRetention>> {
        let text = format!("<{CONFIGURATION}>{inside}</{CONFIGURATION}>");
        read_configuration(xml::parse(text.as_bytes(), CONFIGURATION)?)
    }

    fn rule(inside: &str) -> Result<Option<DefaultRetention>> {
        configuration(&format!(
            "<ObjectLockEnabled>Enabled</ObjectLockEnabled>\
             <Rule><DefaultRetention>{inside}</DefaultRetention></Rule>"
        ))
    }

    fn retention(inside: &str) -> Result<Option<Retention>> {
        let text = format!("<{RETENTION}>{inside}</{RETENTION}>");
        read_retention(xml::parse(text.as_bytes(), RETENTION)?)
    }

    #[test]
    fn a_configuration_says_what_new_versions_are_locked_by() {
        // OL01, OL04
        let enabled = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>";
        assert_eq!(configuration(enabled).unwrap(), None);
        let expected = DefaultRetention {
            mode: LockMode::Compliance,
            period: RetentionPeriod::Years(2),
        };
        let found = rule("<Mode>COMPLIANCE</Mode><Years>2</Years>");
        assert_eq!(found.unwrap(), Some(expected));
    }

    #[test]
    fn every_other_form_of_a_configuration_is_malformed() {
        // OL05
        let enabled = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>";
        for inside in [
            String::new(),
            "<ObjectLockEnabled>enabled</ObjectLockEnabled>".to_owned(),
            "<ObjectLockEnabled>Disabled</ObjectLockEnabled>".to_owned(),
            format!("{enabled}<Rule/>"),
            format!("{enabled}<Rule><Other/></Rule>"),
            format!("{enabled}<Other/>"),
        ] {
            let error = configuration(&inside).expect_err(&inside);
            assert_eq!(error.code, "MalformedXML", "{inside}");
        }
        for inside in [
            "",
            "<Mode>GOVERNANCE</Mode>",
            "<Days>1</Days>",
            "<Mode>governance</Mode><Days>1</Days>",
            "<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>",
            "<Mode>GOVERNANCE</Mode><Days>one</Days>",
        ] {
            let error = rule(inside).expect_err(inside);
            assert_eq!(error.code, "MalformedXML", "{inside}");
        }
    }

    #[test]
    fn a_period_out_of_bounds_is_an_invalid_argument() {
        // OL06
        for inside in [
            "<Days>0</Days>",
            "<Days>-1</Days>",
            "<Days>36501</Days>",
            "<Years>101</Years>",
        ] {
            let error = rule(&format!("<Mode>GOVERNANCE</Mode>{inside}")).expect_err(inside);
            assert_eq!(error.code, "InvalidArgument", "{inside}");
        }
    }

    #[test]
    fn a_retention_is_whole_or_empty() {
        // OL13, OL24
        assert_eq!(retention("").unwrap(), None);
        let date = "<RetainUntilDate>2030-01-01T00:00:00Z</RetainUntilDate>";
        let found = retention(&format!("<Mode>GOVERNANCE</Mode>{date}"));
        assert_eq!(found.unwrap().unwrap().until, 1_893_456_000);
        for inside in [
            "<Mode>GOVERNANCE</Mode>",
            date,
            &format!("<Mode>x</Mode>{date}"),
        ] {
            assert_eq!(
                retention(inside).expect_err(inside).code,
                "MalformedXML",
                "{inside}"
            );
        }
    }

    #[test]
    fn an_event_hold_is_refused_and_not_dropped() {
        // OL34
        let held = retention("<EventHold>ON</EventHold>").unwrap_err();
        assert_eq!(held.code, "NotImplemented");
        let default =
            rule("<Mode>GOVERNANCE</Mode><Days>1</Days><DefaultEventHold>ON</DefaultEventHold>");
        assert_eq!(default.unwrap_err().code, "NotImplemented");
    }
}
