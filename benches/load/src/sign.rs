//! Signature Version 4 for requests whose parts need no escaping, cheap enough not to be measured.
//!
//! The day's key and the date are made once for each phase; a request costs one SHA-256 and one HMAC
//! of a few hundred bytes.

use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};
use strongroom_base::Timestamp;
use time::OffsetDateTime;
use time::macros::format_description;

const SIGNED: &str = "host;x-amz-content-sha256;x-amz-date";
/// SHA-256 of nothing.
pub const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Who signs, and for what.
#[derive(Clone)]
pub struct Signer {
    pub access_key: String,
    pub secret_key: String,
    pub region: String,
}

/// A signer at an instant, good for the minutes that servers allow clocks to differ.
pub struct Signing {
    access_key: String,
    host: String,
    date: String,
    scope: String,
    key: hmac::Key,
}

/// What of a request is signed. Path and query are as they travel, in canonical form.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    /// Hexadecimal SHA-256 of the body.
    pub payload: &'a str,
    pub size: usize,
}

impl Signer {
    pub fn at(&self, now: Timestamp, host: &str) -> Signing {
        let date = amz_date(now);
        let scope = format!("{}/{}/s3/aws4_request", &date[..8], self.region);
        let seed = format!("AWS4{}", self.secret_key);
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, seed.as_bytes());
        for text in [&date[..8], &self.region, "s3", "aws4_request"] {
            let tag = hmac::sign(&key, text.as_bytes());
            key = hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref());
        }
        Signing {
            access_key: self.access_key.clone(),
            host: host.to_owned(),
            date,
            scope,
            key,
        }
    }
}

impl Signing {
    /// Writes the signed head into `out`, which is emptied before.
    pub fn write(&self, head: Head<'_>, out: &mut String) {
        let signature = self.signature(head, out);
        out.clear();
        let question = if head.query.is_empty() { "" } else { "?" };
        let Self {
            access_key,
            host,
            date,
            scope,
            ..
        } = self;
        let Head {
            method,
            path,
            query,
            payload,
            size,
        } = head;
        let signature = std::str::from_utf8(&signature).expect("digits are text");
        write!(
            out,
            "{method} {path}{question}{query} HTTP/1.1\r\nhost: {host}\r\nx-amz-date: {date}\r\n\
             x-amz-content-sha256: {payload}\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential={access_key}/{scope}, SignedHeaders={SIGNED}, Signature={signature}\r\n",
        )
        .expect("text can be written to");
        if method == "PUT" || method == "POST" {
            write!(out, "content-length: {size}\r\n").expect("text can be written to");
        }
        out.push_str("\r\n");
    }

    /// The signature: what a server must compute as well. `scratch` is overwritten.
    pub fn signature(&self, head: Head<'_>, scratch: &mut String) -> [u8; 64] {
        let Self {
            host, date, scope, ..
        } = self;
        let Head {
            method,
            path,
            query,
            payload,
            ..
        } = head;
        scratch.clear();
        write!(
            scratch,
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{payload}\n\
             x-amz-date:{date}\n\n{SIGNED}\n{payload}"
        )
        .expect("text can be written to");
        let mut hash = [0; 64];
        hex::encode_to_slice(
            digest::digest(&digest::SHA256, scratch.as_bytes()),
            &mut hash,
        )
        .expect("32 bytes make 64 digits");
        scratch.clear();
        let hash = std::str::from_utf8(&hash).expect("digits are text");
        write!(scratch, "AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}")
            .expect("text can be written to");
        let mut signature = [0; 64];
        hex::encode_to_slice(hmac::sign(&self.key, scratch.as_bytes()), &mut signature)
            .expect("32 bytes make 64 digits");
        signature
    }
}

/// `text` as it stands in a canonical query.
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte as char);
            }
            other => write!(out, "%{other:02X}").expect("text can be written to"),
        }
    }
    out
}

fn amz_date(now: Timestamp) -> String {
    let seconds = i64::try_from(now.seconds()).unwrap_or(0);
    let date = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    date.format(form).expect("every date has this form")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_value_is_escaped_as_s3_signs_it() {
        assert_eq!(escape("o/4096/a b~"), "o%2F4096%2Fa%20b~");
    }

    /// The request of S3's documentation, "GET Bucket (List Objects)", signed over the same headers.
    #[test]
    fn the_published_example_has_the_published_signature() {
        let signer = Signer {
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            region: "us-east-1".to_owned(),
        };
        let now = Timestamp(1_369_353_600 * 1_000_000_000);
        let signing = signer.at(now, "examplebucket.s3.amazonaws.com");
        let head = Head {
            method: "GET",
            path: "/",
            query: "max-keys=2&prefix=J",
            payload: EMPTY,
            size: 0,
        };
        let signature = signing.signature(head, &mut String::new());
        assert_eq!(
            std::str::from_utf8(&signature).unwrap(),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }
}
