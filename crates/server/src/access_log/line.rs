//! One line of the access log: the fields of S3's server access logs, in their order (AU11).
//!
//! What clients send may hold anything: quotes that end a field early, line breaks that begin a line
//! of their own, signatures that let whoever reads the log repeat the request. So every byte that is
//! no plain text is escaped, and the values of parameters that carry a secret are masked.

use std::fmt::Write as _;
use std::net::IpAddr;

use strongroom_base::Timestamp;
use strongroom_s3_front::AccessNotes;
use strongroom_s3_front::target::percent_encode_into;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::http_port::TlsFacts;

/// What is written in place of a secret.
const MASK: &str = "REDACTED";
/// Query parameters whose values let their holder act in someone's name. In lower case.
const SECRET_PARAMETERS: [&str; 5] = [
    "x-amz-signature",
    "x-amz-security-token",
    "signature",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-key",
];
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");

/// How a request was signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthType {
    Header,
    Query,
}

/// One request and its answer.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub time: Timestamp,
    pub remote: Option<IpAddr>,
    pub tls: Option<TlsFacts>,
    /// Method, target and protocol, as sent; nothing when there was no proper request.
    pub method: String,
    pub target: String,
    pub protocol: &'static str,
    pub host: String,
    pub referer: String,
    pub user_agent: String,
    pub auth: Option<AuthType>,
    /// S3's name of the operation, when it was known.
    pub operation: Option<&'static str>,
    pub notes: AccessNotes,
    /// Nothing when the client was gone before its answer.
    pub status: Option<u16>,
    pub request_id: String,
    pub host_id: String,
    pub version_id: String,
    pub bytes_sent: u64,
    pub object_size: Option<u64>,
    pub total_millis: u64,
    pub turn_around_millis: Option<u64>,
}

impl Record {
    /// The line, with its end.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = Line(String::with_capacity(512));
        let notes = &self.notes;
        // An account reaches its own buckets only, so who was let in owns the bucket.
        let allowed = self.status.is_some_and(|status| status < 400) && notes.bucket.is_some();
        line.word(notes.requester.as_deref().filter(|_| allowed));
        line.encoded(notes.bucket.as_deref());
        line.push(&format!("[{}]", time_text(self.time)));
        line.number(self.remote);
        line.word(notes.requester.as_deref());
        line.word(Some(&self.request_id));
        line.word(Some(&self.operation_text()));
        line.encoded(notes.key.as_deref());
        line.quoted(&self.request_text());
        line.number(self.status);
        line.word(notes.error_code.as_deref());
        line.number(Some(self.bytes_sent).filter(|bytes| *bytes > 0));
        line.number(self.object_size);
        line.number(Some(self.total_millis));
        line.number(self.turn_around_millis);
        line.quoted(&masked(&self.referer));
        line.quoted(&self.user_agent);
        line.word(Some(&self.version_id));
        line.word(Some(&self.host_id));
        line.word(notes.requester.as_ref().map(|_| "SigV4"));
        line.word(self.tls.as_ref().map(|tls| tls.cipher.as_str()));
        line.word(self.auth.map(|auth| match auth {
            AuthType::Header => "AuthHeader",
            AuthType::Query => "QueryString",
        }));
        line.word(Some(&self.host));
        line.word(self.tls.as_ref().map(|tls| tls.version));
        // There are no access points, and no access lists that grant anything.
        line.word(None);
        line.word(None);
        line.0.push('\n');
        line.0
    }

    fn request_text(&self) -> String {
        if self.method.is_empty() {
            return String::new();
        }
        let target = masked(&self.target);
        format!("{} {target} {}", self.method, self.protocol)
    }

    /// `REST.GET.OBJECT` and the like.
    fn operation_text(&self) -> String {
        let known = OPERATIONS
            .iter()
            .find(|(name, _)| self.operation == Some(*name));
        if let Some((_, text)) = known {
            return (*text).to_owned();
        }
        if self.method.is_empty() {
            return String::new();
        }
        let resource = match (&self.notes.bucket, &self.notes.key) {
            (_, Some(_)) => "OBJECT",
            (Some(_), None) => "BUCKET",
            (None, None) => "SERVICE",
        };
        format!("REST.{}.{resource}", self.method)
    }
}

/// What access logs of S3 call operations whose name does not follow from method and resource.
const OPERATIONS: &[(&str, &str)] = &[
    ("DeleteObjects", "REST.POST.MULTI_OBJECT_DELETE"),
    ("CopyObject", "REST.COPY.OBJECT"),
    ("UploadPart", "REST.PUT.PART"),
    ("UploadPartCopy", "REST.COPY.PART"),
    ("CreateMultipartUpload", "REST.POST.UPLOADS"),
    ("CompleteMultipartUpload", "REST.POST.UPLOAD"),
    ("AbortMultipartUpload", "REST.DELETE.UPLOAD"),
    ("ListParts", "REST.GET.UPLOAD"),
    ("ListMultipartUploads", "REST.GET.UPLOADS"),
    ("GetBucketLocation", "REST.GET.LOCATION"),
    ("GetBucketVersioning", "REST.GET.VERSIONING"),
    ("GetBucketAcl", "REST.GET.ACL"),
    ("PutBucketAcl", "REST.PUT.ACL"),
    ("GetObjectAcl", "REST.GET.ACL"),
    ("PutObjectAcl", "REST.PUT.ACL"),
    ("GetBucketTagging", "REST.GET.TAGGING"),
    ("PutBucketTagging", "REST.PUT.TAGGING"),
    ("DeleteBucketTagging", "REST.DELETE.TAGGING"),
    ("GetObjectTagging", "REST.GET.OBJECT_TAGGING"),
    ("PutObjectTagging", "REST.PUT.OBJECT_TAGGING"),
    ("DeleteObjectTagging", "REST.DELETE.OBJECT_TAGGING"),
    ("GetBucketCors", "REST.GET.CORS"),
    ("PutBucketCors", "REST.PUT.CORS"),
    ("DeleteBucketCors", "REST.DELETE.CORS"),
    ("GetBucketWebsite", "REST.GET.WEBSITE"),
    ("PutBucketWebsite", "REST.PUT.WEBSITE"),
    ("DeleteBucketWebsite", "REST.DELETE.WEBSITE"),
    (
        "GetObjectLockConfiguration",
        "REST.GET.OBJECT_LOCK_CONFIGURATION",
    ),
    (
        "PutObjectLockConfiguration",
        "REST.PUT.OBJECT_LOCK_CONFIGURATION",
    ),
    ("GetObjectRetention", "REST.GET.OBJECT_LOCK_RETENTION"),
    ("PutObjectRetention", "REST.PUT.OBJECT_LOCK_RETENTION"),
    ("GetObjectLegalHold", "REST.GET.OBJECT_LOCK_LEGALHOLD"),
    ("PutObjectLegalHold", "REST.PUT.OBJECT_LOCK_LEGALHOLD"),
    ("GetObjectAttributes", "REST.GET.OBJECT_ATTRIBUTES"),
];

fn time_text(time: Timestamp) -> String {
    let seconds = i64::try_from(time.seconds()).unwrap_or(0);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(TIME).ok())
        .unwrap_or_else(|| "-".to_owned())
}

/// `text` with the values of secret parameters masked, wherever a query may be in it.
fn masked(text: &str) -> String {
    let Some((before, query)) = text.split_once('?') else {
        return text.to_owned();
    };
    let mut out = format!("{before}?");
    for (index, pair) in query.split('&').enumerate() {
        if index > 0 {
            out.push('&');
        }
        match pair.split_once('=') {
            Some((name, _)) if is_secret(name) => {
                let _ = write!(out, "{name}={MASK}");
            }
            _ => out.push_str(pair),
        }
    }
    out
}

/// Whether a parameter of this name, however it is written, carries a secret.
fn is_secret(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut plain = String::with_capacity(name.len());
    let mut index = 0;
    while index < bytes.len() {
        let escape = (bytes[index] == b'%')
            .then(|| name.get(index + 1..index + 3))
            .flatten();
        let decoded = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(char::from(decoded.unwrap_or(bytes[index])));
        index += if decoded.is_some() { 3 } else { 1 };
    }
    let plain = plain.to_ascii_lowercase();
    SECRET_PARAMETERS.contains(&plain.trim())
}

/// A line being written: fields apart by spaces, `-` for what is not known.
struct Line(String);

impl Line {
    fn push(&mut self, text: &str) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(text);
    }

    fn word(&mut self, text: Option<&str>) {
        let text = text.filter(|text| !text.is_empty()).unwrap_or("-");
        let text = escaped(text).replace(' ', "\\x20");
        self.push(&text);
    }

    fn encoded(&mut self, text: Option<&str>) {
        let mut out = String::new();
        percent_encode_into(text.unwrap_or(""), true, &mut out);
        self.word(Some(&out));
    }

    fn quoted(&mut self, text: &str) {
        let text = if text.is_empty() { "-" } else { text };
        let text = format!("\"{}\"", escaped(text));
        self.push(&text);
    }

    fn number(&mut self, number: Option<impl std::fmt::Display>) {
        let text = number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        self.push(&text);
    }
}

/// `text` in printable ASCII without quotes, everything else as `\xHH`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            time: Timestamp(1_549_411_238_000_000_000),
            remote: Some("192.0.2.3".parse().unwrap()),
            method: "GET".to_owned(),
            target: "/photos/a%20b?x=y".to_owned(),
            protocol: "HTTP/1.1",
            host: "s3.example.com".to_owned(),
            user_agent: "tool/1.0 (x)".to_owned(),
            auth: Some(AuthType::Header),
            operation: Some("GetObject"),
            notes: AccessNotes {
                requester: Some("owner1".to_owned()),
                bucket: Some("photos".to_owned()),
                key: Some("a b".to_owned()),
                error_code: None,
            },
            status: Some(200),
            request_id: "ID".to_owned(),
            host_id: "HOST".to_owned(),
            bytes_sent: 12,
            object_size: Some(12),
            total_millis: 7,
            turn_around_millis: Some(5),
            ..Record::default()
        }
    }

    #[test]
    fn au11_the_fields_are_those_of_s3_in_their_order() {
        assert_eq!(
            record().line(),
            "owner1 photos [06/Feb/2019:00:00:38 +0000] 192.0.2.3 owner1 ID REST.GET.OBJECT a%20b \
             \"GET /photos/a%20b?x=y HTTP/1.1\" 200 - 12 12 7 5 \"-\" \"tool/1.0 (x)\" - HOST SigV4 \
             - AuthHeader s3.example.com - - -\n"
        );
        let nothing = Record {
            time: Timestamp(0),
            ..Record::default()
        };
        assert_eq!(
            nothing.line(),
            "- - [01/Jan/1970:00:00:00 +0000] - - - - - \"-\" - - - - 0 - \"-\" \"-\" - - - - - - - - \
             -\n"
        );
    }

    #[test]
    fn attack_44_secrets_of_the_query_are_masked_however_their_names_are_written() {
        let secret = "0123456789abcdef";
        for name in [
            "X-Amz-Signature",
            "x-amz-signature",
            "X-Amz-Signat%75re",
            "%58-Amz-Security-Token",
            "Signature",
            "x-amz-server-side-encryption-customer-key",
        ] {
            let mut shown = record();
            shown.target = format!("/b/k?a=b&{name}={secret}&c=d");
            shown.referer = format!("http://x/?{name}={secret}");
            let line = shown.line();
            assert!(!line.contains(secret), "{line}");
            assert!(
                line.contains("a=b&") && line.contains("=REDACTED&c=d"),
                "{line}"
            );
        }
    }

    #[test]
    fn hostile_bytes_end_no_field_and_begin_no_line() {
        let hostile = "\"\r\n- - [x] \\ \u{e9}\0\t";
        let shown = Record {
            target: hostile.to_owned(),
            host: hostile.to_owned(),
            referer: hostile.to_owned(),
            user_agent: hostile.to_owned(),
            version_id: hostile.to_owned(),
            notes: AccessNotes {
                requester: Some("owner1".to_owned()),
                bucket: Some(hostile.to_owned()),
                key: Some(hostile.to_owned()),
                error_code: None,
            },
            ..record()
        };
        let line = shown.line();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(
            line.trim_end()
                .bytes()
                .all(|byte| matches!(byte, b' '..=b'~'))
        );
        assert_eq!(line.matches('"').count(), 6, "{line}");
        // Outside of quotes and brackets there are as many fields as ever.
        let outside: String = line.split('"').step_by(2).collect();
        let plain: String = record()
            .line()
            .split('"')
            .step_by(2)
            .map(str::to_owned)
            .collect();
        assert_eq!(
            outside.split(' ').count(),
            plain.split(' ').count(),
            "{line}"
        );
    }

    #[test]
    fn operations_without_a_name_of_their_own_are_method_and_resource() {
        let named = |method: &str, operation, notes: AccessNotes| {
            let method = method.to_owned();
            Record {
                method,
                operation,
                notes,
                ..Record::default()
            }
            .operation_text()
        };
        let bucket = AccessNotes {
            bucket: Some("b".to_owned()),
            ..AccessNotes::default()
        };
        assert_eq!(
            named("GET", Some("ListBuckets"), AccessNotes::default()),
            "REST.GET.SERVICE"
        );
        assert_eq!(
            named("GET", Some("ListObjectsV2"), bucket.clone()),
            "REST.GET.BUCKET"
        );
        assert_eq!(
            named("POST", Some("DeleteObjects"), bucket.clone()),
            "REST.POST.MULTI_OBJECT_DELETE"
        );
        assert_eq!(named("PUT", None, bucket), "REST.PUT.BUCKET");
    }
}
