//! Dates of headers, and the domain's times as `s3s` wants them.

use strongroom_base::Timestamp;
use time::OffsetDateTime;
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const HTTP_DATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

const DATE_TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

fn calendar(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// RFC 1123, second precision (PR11).
#[must_use]
pub fn http_date(at: Timestamp) -> String {
    calendar(at).format(HTTP_DATE).unwrap_or_default()
}

/// As documents have it, to the millisecond.
#[must_use]
pub fn document_date(at: Timestamp) -> String {
    calendar(at).format(DATE_TIME).unwrap_or_default()
}

/// Reads RFC 1123; `None` for anything else, which HTTP says to ignore, and for times before 1970.
#[must_use]
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    let date = PrimitiveDateTime::parse(text.trim(), HTTP_DATE).ok()?;
    let nanos = date.assume_utc().unix_timestamp_nanos();
    u64::try_from(nanos).ok().map(Timestamp)
}

/// For `s3s`.
#[must_use]
pub fn wire(at: Timestamp) -> s3s::dto::Timestamp {
    calendar(at).into()
}

/// For `s3s` where it writes a header: whole seconds.
#[must_use]
pub fn wire_seconds(at: Timestamp) -> s3s::dto::Timestamp {
    wire(Timestamp(at.seconds() * 1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_back_and_another_form_is_ignored() {
        let at = Timestamp(1_369_353_600_000_000_000);
        assert_eq!(http_date(at), "Fri, 24 May 2013 00:00:00 GMT");
        assert_eq!(document_date(at), "2013-05-24T00:00:00.000Z");
        assert_eq!(parse_http_date(&http_date(at)), Some(at));
        assert_eq!(parse_http_date("2013-05-24T00:00:00Z"), None);
    }
}
