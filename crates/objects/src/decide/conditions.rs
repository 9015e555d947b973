//! Conditional requests (section CO of the specification).

use strongroom_base::Timestamp;
use strongroom_types::{ETag, VersionId};

use crate::api::{ETagMatch, ReadConditions, WriteConditions};
use crate::error::{Condition, Error};
use crate::records::HeadRecord;

/// Whether one of the texts is this tag. Quotes and a weak mark do not matter.
fn is_one_of(texts: &[String], etag: &ETag) -> bool {
    texts.iter().any(|text| {
        let text = text.trim();
        let strong = text.strip_prefix("W/").unwrap_or(text);
        strong.parse() == Ok(*etag)
    })
}

fn matches(condition: &ETagMatch, etag: &ETag) -> bool {
    match condition {
        ETagMatch::Any => true,
        ETagMatch::OneOf(texts) => is_one_of(texts, etag),
    }
}

/// Conditions of a write, against the current object (none when it is absent or a delete marker).
///
/// # Errors
/// `NotImplemented` for forms S3 does not take either (CO02, CO03, CO04), `NoSuchKey` and
/// `PreconditionFailed`.
pub fn check_write(conditions: &WriteConditions, current: Option<&ETag>) -> Result<(), Error> {
    match (&conditions.if_match, &conditions.if_none_match) {
        (None, None) => Ok(()),
        (Some(_), Some(_)) | (None, Some(ETagMatch::OneOf(_))) => Err(Error::NotImplemented {
            header: "If-None-Match",
        }),
        (Some(ETagMatch::Any), None) => Err(Error::NotImplemented { header: "If-Match" }),
        (None, Some(ETagMatch::Any)) => match current {
            None => Ok(()),
            Some(_) => Err(Error::PreconditionFailed {
                condition: Condition::IfNoneMatch,
            }),
        },
        (Some(condition), None) => check_match(condition, current),
    }
}

/// `If-Match` of a write or delete: the object must be there and be this one (CO03, CO08).
///
/// # Errors
/// `NoSuchKey`, `PreconditionFailed`.
pub fn check_match(condition: &ETagMatch, current: Option<&ETag>) -> Result<(), Error> {
    let current = current.ok_or_else(Error::no_such_key)?;
    if matches(condition, current) {
        Ok(())
    } else {
        Err(Error::PreconditionFailed {
            condition: Condition::IfMatch,
        })
    }
}

/// `If-Match` of a delete, whatever version it is of: against the current one (CO07). A delete marker
/// that is current is no object that matches, and yet not an absent key (CO08).
///
/// # Errors
/// `NoSuchKey`, `PreconditionFailed`.
pub fn check_delete(condition: &ETagMatch, head: Option<&HeadRecord>) -> Result<(), Error> {
    let head = head.ok_or_else(Error::no_such_key)?;
    match &head.listed {
        Some(listed) => check_match(condition, Some(&listed.etag)),
        None => Err(Error::PreconditionFailed {
            condition: Condition::IfMatch,
        }),
    }
}

/// Which condition of a read is false, with S3's precedence (CO10): a true `If-Match` makes
/// `If-Unmodified-Since` moot, and a false `If-None-Match` wins over `If-Modified-Since`.
fn false_condition(
    conditions: &ReadConditions,
    etag: &ETag,
    last_modified: Timestamp,
) -> Option<Condition> {
    let modified_after = |since: Timestamp| last_modified.seconds() > since.seconds();
    match (&conditions.if_match, conditions.if_unmodified_since) {
        (Some(condition), _) if !matches(condition, etag) => return Some(Condition::IfMatch),
        (None, Some(since)) if modified_after(since) => return Some(Condition::IfUnmodifiedSince),
        _ => {}
    }
    match (&conditions.if_none_match, conditions.if_modified_since) {
        (Some(condition), _) if matches(condition, etag) => Some(Condition::IfNoneMatch),
        (None, Some(since)) if !modified_after(since) => Some(Condition::IfModifiedSince),
        _ => None,
    }
}

/// Conditions of a read.
///
/// # Errors
/// `PreconditionFailed` or `NotModified`.
pub fn check_read(
    conditions: &ReadConditions,
    etag: ETag,
    last_modified: Timestamp,
    version_id: Option<VersionId>,
) -> Result<(), Error> {
    match false_condition(conditions, &etag, last_modified) {
        None => Ok(()),
        Some(Condition::IfNoneMatch | Condition::IfModifiedSince) => Err(Error::NotModified {
            etag,
            last_modified,
            version_id,
        }),
        Some(condition) => Err(Error::PreconditionFailed { condition }),
    }
}

/// Conditions on the source of a copy: any that is false fails it (CO11).
///
/// # Errors
/// `PreconditionFailed`.
pub fn check_copy_source(
    conditions: &ReadConditions,
    etag: ETag,
    last_modified: Timestamp,
) -> Result<(), Error> {
    let condition = match false_condition(conditions, &etag, last_modified) {
        None => return Ok(()),
        Some(Condition::IfMatch) => Condition::CopySourceIfMatch,
        Some(Condition::IfNoneMatch) => Condition::CopySourceIfNoneMatch,
        Some(Condition::IfModifiedSince) => Condition::CopySourceIfModifiedSince,
        Some(_) => Condition::CopySourceIfUnmodifiedSince,
    };
    Err(Error::PreconditionFailed { condition })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: ETag = ETag::Md5([7; 16]);
    const OTHER: ETag = ETag::Md5([8; 16]);
    const SECOND: u64 = 1_000_000_000;

    fn one_of(etag: ETag) -> Option<ETagMatch> {
        Some(ETagMatch::OneOf(vec!["x".into(), etag.quoted()]))
    }

    fn failed(condition: Condition) -> Result<(), Error> {
        Err(Error::PreconditionFailed { condition })
    }

    #[test]
    fn a_write_if_none_match_any_needs_the_key_to_be_absent() {
        // CO01
        let conditions = WriteConditions {
            if_match: None,
            if_none_match: Some(ETagMatch::Any),
        };
        assert_eq!(check_write(&conditions, None), Ok(()));
        assert_eq!(
            check_write(&conditions, Some(&ETAG)),
            failed(Condition::IfNoneMatch)
        );
    }

    #[test]
    fn a_write_if_match_needs_that_object() {
        // CO03
        let conditions = WriteConditions {
            if_match: one_of(ETAG),
            if_none_match: None,
        };
        assert_eq!(check_write(&conditions, Some(&ETAG)), Ok(()));
        assert_eq!(
            check_write(&conditions, Some(&OTHER)),
            failed(Condition::IfMatch)
        );
        assert_eq!(check_write(&conditions, None), Err(Error::no_such_key()));
        let bare = ETagMatch::OneOf(vec![ETAG.to_string()]);
        assert_eq!(check_match(&bare, Some(&ETAG)), Ok(()));
    }

    #[test]
    fn write_conditions_s3_does_not_take_are_not_implemented() {
        // CO02, CO03, CO04
        for (if_match, if_none_match) in [
            (None, one_of(ETAG)),
            (Some(ETagMatch::Any), None),
            (one_of(ETAG), Some(ETagMatch::Any)),
        ] {
            let conditions = WriteConditions {
                if_match,
                if_none_match,
            };
            let checked = check_write(&conditions, None);
            assert!(
                matches!(checked, Err(Error::NotImplemented { .. })),
                "{conditions:?}"
            );
        }
    }

    #[test]
    fn read_conditions_follow_the_precedence_of_their_pairs() {
        // CO10
        let modified = Timestamp(10 * SECOND + 5);
        let read =
            |if_match, if_none_match, modified_since: Option<u64>, unmodified: Option<u64>| {
                let conditions = ReadConditions {
                    if_match,
                    if_none_match,
                    if_modified_since: modified_since.map(|at| Timestamp(at * SECOND)),
                    if_unmodified_since: unmodified.map(|at| Timestamp(at * SECOND)),
                };
                check_read(&conditions, ETAG, modified, None)
            };
        let not_modified = Err(Error::NotModified {
            etag: ETAG,
            last_modified: modified,
            version_id: None,
        });
        assert_eq!(
            read(one_of(OTHER), None, None, None),
            failed(Condition::IfMatch)
        );
        assert_eq!(
            read(one_of(ETAG), None, None, Some(9)),
            Ok(()),
            "If-Match wins"
        );
        assert_eq!(
            read(None, None, None, Some(9)),
            failed(Condition::IfUnmodifiedSince)
        );
        assert_eq!(read(None, None, None, Some(10)), Ok(()));
        assert_eq!(read(None, one_of(ETAG), None, None), not_modified);
        assert_eq!(
            read(None, one_of(ETAG), Some(1), None),
            not_modified,
            "If-None-Match wins"
        );
        assert_eq!(
            read(None, one_of(OTHER), Some(11), None),
            Ok(()),
            "If-None-Match wins"
        );
        assert_eq!(read(None, None, Some(10), None), not_modified);
        assert_eq!(read(None, None, Some(9), None), Ok(()));
        assert_eq!(read(Some(ETagMatch::Any), None, None, None), Ok(()));
    }

    #[test]
    fn any_false_condition_on_a_copy_source_fails_the_copy() {
        // CO11
        let conditions = ReadConditions {
            if_none_match: one_of(ETAG),
            ..Default::default()
        };
        let checked = check_copy_source(&conditions, ETAG, Timestamp(0));
        assert_eq!(checked, failed(Condition::CopySourceIfNoneMatch));
    }
}
