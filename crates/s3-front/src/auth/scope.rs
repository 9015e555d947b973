//! The credential scope and the date of a signature.

use strongroom_base::Timestamp;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

use crate::time_format::parse_http_date;

const AMZ_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// `X-Amz-Date`: `YYYYMMDD'T'HHMMSS'Z'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmzDate {
    text: String,
    /// Seconds since the Unix epoch.
    pub seconds: i64,
}

impl AmzDate {
    /// Reads exactly that form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let shape = bytes.len() == 16 && bytes[8] == b'T' && bytes[15] == b'Z';
        let digits = |mut range: std::ops::Range<usize>| range.all(|i| bytes[i].is_ascii_digit());
        if !shape || !digits(0..8) || !digits(9..15) {
            return None;
        }
        let number = |from: usize, to: usize| text[from..to].parse::<u16>().ok();
        let small = |from, to| number(from, to).and_then(|n| u8::try_from(n).ok());
        let month = Month::try_from(small(4, 6)?).ok()?;
        let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, small(6, 8)?).ok()?;
        let time = Time::from_hms(small(9, 11)?, small(11, 13)?, small(13, 15)?).ok()?;
        Some(Self {
            text: text.to_owned(),
            seconds: PrimitiveDateTime::new(date, time)
                .assume_utc()
                .unix_timestamp(),
        })
    }

    /// Reads a `Date` header, which stands in where `X-Amz-Date` is absent: the same form, or
    /// RFC 1123 as HTTP has it, or with the zone in digits as botocore writes it. What is signed
    /// is the first form of the same second.
    #[must_use]
    pub fn parse_date_header(text: &str) -> Option<Self> {
        if let Some(date) = Self::parse(text) {
            return Some(date);
        }
        let digits = text
            .strip_suffix(" -0000")
            .or_else(|| text.strip_suffix(" +0000"));
        match digits {
            Some(local) => Self::at(parse_http_date(&format!("{local} GMT"))?),
            None => Self::at(parse_http_date(text)?),
        }
    }

    fn at(second: Timestamp) -> Option<Self> {
        let seconds = i64::try_from(second.seconds()).ok()?;
        let calendar = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
        let text = calendar.format(AMZ_DATE).ok()?;
        Some(Self { text, seconds })
    }

    /// As it is signed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The day, `YYYYMMDD`.
    #[must_use]
    pub fn day(&self) -> &str {
        &self.text[..8]
    }
}

/// `ACCESS_KEY/YYYYMMDD/REGION/SERVICE/aws4_request`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub access_key: String,
    pub day: String,
    pub region: String,
    pub service: String,
}

impl Scope {
    /// Reads a credential. An access key may contain slashes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut from_end = text.rsplitn(5, '/');
        let terminator = from_end.next()?;
        let (service, region) = (from_end.next()?, from_end.next()?);
        let (day, access_key) = (from_end.next()?, from_end.next()?);
        let complete = terminator == "aws4_request" && !access_key.is_empty();
        complete.then(|| Self {
            access_key: access_key.to_owned(),
            day: day.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
        })
    }

    /// The part that is signed: without the access key.
    #[must_use]
    pub fn signed(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.day, self.region, self.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_and_other_forms_are_refused() {
        let date = AmzDate::parse("20130524T000000Z").unwrap();
        assert_eq!((date.seconds, date.day()), (1_369_353_600, "20130524"));
        for text in [
            "",
            "20130524T000000",
            "20130524 000000Z",
            "20131324T000000Z",
            "20130230T000000Z",
            "20130524T246060Z",
            "2013052éT00000Z",
            "+0130524T000000Z",
        ] {
            assert!(AmzDate::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_date_header_is_read_in_both_forms_and_signed_in_one() {
        let form = "20130524T000000Z";
        for text in [
            form,
            "Fri, 24 May 2013 00:00:00 GMT",
            "Fri, 24 May 2013 00:00:00 -0000",
        ] {
            assert_eq!(AmzDate::parse_date_header(text), AmzDate::parse(form));
        }
        for text in ["2013-05-24T00:00:00Z", "Fri, 24 May 2013 00:00:00 +0100"] {
            assert_eq!(AmzDate::parse_date_header(text), None);
        }
    }

    #[test]
    fn a_scope_is_read_from_its_end() {
        let scope = Scope::parse("a/b/20130524/us-east-1/s3/aws4_request").unwrap();
        assert_eq!(scope.access_key, "a/b");
        assert_eq!(scope.signed(), "20130524/us-east-1/s3/aws4_request");
        for text in [
            "",
            "a/us-east-1/s3/aws4_request",
            "a/d/r/s3/aws4_requests",
            "/d/r/s/aws4_request",
        ] {
            assert!(Scope::parse(text).is_none(), "{text}");
        }
    }
}
