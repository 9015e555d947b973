//! The headers of Object Lock: what a write asks for, what a read shows, and who passes by.

use http::{HeaderMap, HeaderValue};
use strongroom_base::Timestamp;
use strongroom_objects::{Bypass, LegalHold, Lock, LockMode, Retention};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::context::RequestContext;
use crate::error::{FrontError, Result};
use crate::time_format::document_date;

const MODE: &str = "x-amz-object-lock-mode";
const RETAIN_UNTIL: &str = "x-amz-object-lock-retain-until-date";
const LEGAL_HOLD: &str = "x-amz-object-lock-legal-hold";
const BYPASS: &str = "x-amz-bypass-governance-retention";
/// Asks for a bucket with locks.
pub const BUCKET_LOCK: &str = "x-amz-bucket-object-lock-enabled";

/// The lock a write asks for (OL12, OL13, OL14).
///
/// # Errors
/// `InvalidArgument`.
pub fn lock_asked(context: &RequestContext) -> Result<Lock> {
    let retention = match (value(context, MODE)?, value(context, RETAIN_UNTIL)?) {
        (None, None) => None,
        (Some(mode), Some(until)) => Some(Retention {
            mode: parse_mode(&mode).ok_or_else(|| {
                FrontError::invalid_argument(MODE, mode, "Unknown wormMode directive.")
            })?,
            until: parse_until(&until)?,
        }),
        (mode, _) => {
            let absent = if mode.is_none() { MODE } else { RETAIN_UNTIL };
            let message = format!("{RETAIN_UNTIL} and {MODE} must both be supplied");
            return Err(FrontError::invalid_argument(absent, "", message));
        }
    };
    let hold = |text: String| {
        parse_hold(&text).ok_or_else(|| {
            let message = "Legal Hold must be either of 'ON' or 'OFF'";
            FrontError::invalid_argument(LEGAL_HOLD, text, message)
        })
    };
    Ok(Lock {
        retention,
        legal_hold: value(context, LEGAL_HOLD)?.map(hold).transpose()?,
    })
}

/// What the request says about governance locks. Who reaches a bucket owns it, and may.
///
/// # Errors
/// `InvalidArgument`.
pub fn bypass(context: &RequestContext) -> Result<Bypass> {
    Ok(match flag(context, BYPASS)? {
        None => Bypass::default(),
        Some(is_granted) => Bypass {
            is_named: true,
            is_granted,
        },
    })
}

/// A header that is `true` or `false`.
///
/// # Errors
/// `InvalidArgument`.
pub fn flag(context: &RequestContext, name: &'static str) -> Result<Option<bool>> {
    let Some(text) = value(context, name)? else {
        return Ok(None);
    };
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(FrontError::invalid_argument(
            name,
            text,
            "must be true or false",
        )),
    }
}

/// A header's text. One that protects data and can not be read is refused and not passed over.
fn value(context: &RequestContext, name: &'static str) -> Result<Option<String>> {
    let mut values = context.headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text.to_owned())),
        _ => Err(FrontError::invalid_argument(
            name,
            "",
            "must be given once, as text",
        )),
    }
}

/// `GOVERNANCE` or `COMPLIANCE`.
pub fn parse_mode(text: &str) -> Option<LockMode> {
    match text {
        "GOVERNANCE" => Some(LockMode::Governance),
        "COMPLIANCE" => Some(LockMode::Compliance),
        _ => None,
    }
}

/// As S3 writes it.
pub const fn mode_name(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Governance => "GOVERNANCE",
        LockMode::Compliance => "COMPLIANCE",
    }
}

/// `ON` or `OFF`.
pub fn parse_hold(text: &str) -> Option<LegalHold> {
    match text {
        "ON" => Some(LegalHold::On),
        "OFF" => Some(LegalHold::Off),
        _ => None,
    }
}

/// As S3 writes it.
pub const fn hold_name(hold: LegalHold) -> &'static str {
    match hold {
        LegalHold::On => "ON",
        LegalHold::Off => "OFF",
    }
}

/// A date of ISO 8601 with its offset, rounded up to a second (OL14).
///
/// # Errors
/// `InvalidArgument`, also for a date before 1970.
pub fn parse_until(text: &str) -> Result<u64> {
    let seconds = OffsetDateTime::parse(text.trim(), &Rfc3339)
        .ok()
        .map(|date| {
            let has_fraction = date.nanosecond() > 0;
            date.unix_timestamp()
                .saturating_add(i64::from(has_fraction))
        });
    let refused = || FrontError::invalid_argument(RETAIN_UNTIL, text, "invalid retain until date");
    let seconds = seconds.ok_or_else(refused)?;
    u64::try_from(seconds).map_err(|_| {
        let message = "The retain until date must be in the future!";
        FrontError::invalid_argument(RETAIN_UNTIL, text, message)
    })
}

/// As documents and headers have it.
#[must_use]
pub fn until_text(until: u64) -> String {
    document_date(Timestamp(until.saturating_mul(1_000_000_000)))
}

/// What a read shows: locks in force and locks that are over (OL26, OL28).
pub fn show(lock: Option<Lock>, headers: &mut HeaderMap) {
    let lock = lock.unwrap_or_default();
    if let Some(retention) = lock.retention {
        headers.insert(MODE, HeaderValue::from_static(mode_name(retention.mode)));
        if let Ok(until) = HeaderValue::from_str(&until_text(retention.until)) {
            headers.insert(RETAIN_UNTIL, until);
        }
    }
    if let Some(hold) = lock.legal_hold {
        headers.insert(LEGAL_HOLD, HeaderValue::from_static(hold_name(hold)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Operation;

    #[test]
    fn a_date_is_read_with_any_offset_and_never_shortened() {
        assert_eq!(parse_until("2030-01-01T00:00:00Z").unwrap(), 1_893_456_000);
        assert_eq!(
            parse_until("2030-01-01T01:00:00.000+01:00").unwrap(),
            1_893_456_000
        );
        assert_eq!(
            parse_until("2030-01-01T00:00:00.001Z").unwrap(),
            1_893_456_001
        );
        for text in [
            "",
            "2030-01-01",
            "tomorrow",
            "2030-01-01T00:00:00",
            "1960-01-01T00:00:00Z",
        ] {
            assert_eq!(
                parse_until(text).unwrap_err().code,
                "InvalidArgument",
                "{text}"
            );
        }
    }

    #[test]
    fn a_date_is_shown_as_it_was_given() {
        assert_eq!(until_text(1_893_456_000), "2030-01-01T00:00:00.000Z");
    }

    /// What an operation could do to a locked version.
    enum Harm {
        /// It changes nothing, or nothing that a version has.
        None,
        /// `tests/test_object_lock.py` shows for each kind of lock that it does none.
        Shown,
    }

    /// Without a wildcard: who adds an operation judges it here.
    const fn harm(operation: Operation) -> Harm {
        use Operation as O;
        match operation {
            O::DeleteObject
            | O::DeleteObjects
            | O::PutObject
            | O::CopyObject
            | O::CompleteMultipartUpload
            | O::AbortMultipartUpload
            | O::PostObject
            | O::DeleteBucket
            | O::PutBucketVersioning
            | O::PutObjectLockConfiguration
            | O::PutObjectTagging
            | O::DeleteObjectTagging
            | O::PutObjectRetention
            | O::PutObjectLegalHold => Harm::Shown,
            // Reads.
            O::ListBuckets
            | O::HeadBucket
            | O::GetBucketLocation
            | O::GetBucketVersioning
            | O::GetBucketAcl
            | O::GetObjectAcl
            | O::ListObjects
            | O::ListObjectsV2
            | O::ListObjectVersions
            | O::ListMultipartUploads
            | O::GetObject
            | O::HeadObject
            | O::GetObjectAttributes
            | O::ListParts
            | O::GetObjectTagging
            | O::GetBucketTagging
            | O::GetBucketCors
            | O::GetBucketWebsite
            | O::GetBucketPolicy
            | O::GetBucketPolicyStatus
            | O::GetBucketLifecycleConfiguration
            | O::GetBucketReplication
            | O::GetBucketEncryption
            | O::GetObjectLockConfiguration
            | O::GetObjectRetention
            | O::GetObjectLegalHold
            | O::GetBucketLogging
            | O::GetBucketRequestPayment
            | O::GetBucketAccelerateConfiguration
            | O::GetBucketNotificationConfiguration
            | O::GetBucketOwnershipControls
            | O::GetPublicAccessBlock
            | O::GetBucketAbac
            | O::GetBucketMetadataConfiguration
            | O::GetBucketAnalyticsConfiguration
            | O::ListBucketAnalyticsConfigurations
            | O::GetBucketMetricsConfiguration
            | O::ListBucketMetricsConfigurations
            | O::GetBucketInventoryConfiguration
            | O::ListBucketInventoryConfigurations
            | O::GetBucketIntelligentTieringConfiguration
            | O::ListBucketIntelligentTieringConfigurations => Harm::None,
            // Uploads that are not completed, and what a bucket has besides versions.
            O::CreateBucket
            | O::CreateMultipartUpload
            | O::UploadPart
            | O::UploadPartCopy
            | O::PutBucketAcl
            | O::PutObjectAcl
            | O::PutBucketTagging
            | O::DeleteBucketTagging
            | O::PutBucketCors
            | O::DeleteBucketCors
            | O::PutBucketWebsite
            | O::DeleteBucketWebsite
            | O::DeleteBucketPolicy
            | O::DeleteBucketLifecycle
            | O::DeleteBucketReplication
            | O::DeleteBucketEncryption
            | O::PutBucketLogging
            | O::PutBucketRequestPayment
            | O::PutBucketNotificationConfiguration
            | O::PutBucketOwnershipControls
            | O::PutPublicAccessBlock
            | O::PutBucketAbac
            | O::DeleteBucketAnalyticsConfiguration
            | O::DeleteBucketMetricsConfiguration
            | O::DeleteBucketInventoryConfiguration
            | O::DeleteBucketIntelligentTieringConfiguration => Harm::None,
        }
    }

    #[test]
    fn every_operation_that_could_harm_a_locked_version_is_walked() {
        // OL39
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/test_object_lock.py"
        );
        let text = std::fs::read_to_string(path).unwrap();
        for operation in Operation::ALL {
            let row = format!("\n    \"{}\": lambda", operation.name());
            let is_shown = matches!(harm(*operation), Harm::Shown);
            assert_eq!(text.contains(&row), is_shown, "{}", operation.name());
        }
    }
}
