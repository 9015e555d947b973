//! Signature Version 4 for requests whose parts need no escaping.

use aws_lc_rs::{digest, hmac};
use http::Request;
use http::header::HOST;
use strongroom_base::Timestamp;
use time::OffsetDateTime;
use time::macros::format_description;

/// Who signs, and for what.
#[derive(Clone)]
pub struct Signer {
    pub access_key: String,
    pub secret_key: String,
    pub region: String,
}

impl Signer {
    /// Signs `request`, whose body has the hexadecimal SHA-256 `payload`. The path must need no
    /// escaping and there is no query.
    pub fn sign<B>(&self, request: &mut Request<B>, payload: &str, now: Timestamp) {
        let date = amz_date(now);
        let host = request.headers()[HOST].to_str().unwrap_or("").to_owned();
        let scope = format!("{}/{}/s3/aws4_request", &date[..8], self.region);
        let names = "host;x-amz-content-sha256;x-amz-date";
        let canonical = format!(
            "{}\n{}\n\nhost:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{date}\n\n{names}\n\
             {payload}",
            request.method(),
            request.uri().path()
        );
        let text = format!(
            "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
            sha256(canonical.as_bytes())
        );
        let signature = hex::encode(hmac::sign(&self.key(&date[..8]), text.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.access_key
        );
        for (name, value) in [
            ("x-amz-content-sha256", payload),
            ("x-amz-date", &date),
            ("authorization", &authorization),
        ] {
            let value = value.parse().expect("text of letters and digits");
            request.headers_mut().insert(name, value);
        }
    }

    fn key(&self, day: &str) -> hmac::Key {
        let seed = format!("AWS4{}", self.secret_key);
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, seed.as_bytes());
        for text in [day, &self.region, "s3", "aws4_request"] {
            let tag = hmac::sign(&key, text.as_bytes());
            key = hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref());
        }
        key
    }
}

/// Hexadecimal SHA-256.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

fn amz_date(now: Timestamp) -> String {
    let seconds = i64::try_from(now.seconds()).unwrap_or(0);
    let date = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    date.format(form).expect("every date has this form")
}
