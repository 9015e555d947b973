//! Answers, for each request on standard input, whether its signature is accepted.
//!
//! One JSON object a line: `method`, `uri`, `headers` (pairs), `now` (seconds). One letter a line
//! back: `a` accepted, `s` refused for its signature, `r` refused before that was looked at. `tests/sigv4/run.py` writes the requests.

use std::io::{BufRead, Write};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde::Deserialize;
use strongroom_base::Timestamp;
use strongroom_s3_front::Credentials;
use strongroom_s3_front::auth::key_cache::KeyCache;
use strongroom_s3_front::auth::{Authenticator, Presented};
use strongroom_s3_front::target::Target;

#[derive(Deserialize)]
struct Line {
    method: String,
    uri: String,
    headers: Vec<(String, String)>,
    now: u64,
}

/// The verdict; none for what is no HTTP request.
fn verdict(line: &Line, credentials: &Credentials, region: &str) -> Option<char> {
    let method: Method = line.method.parse().ok()?;
    let uri: Uri = line.uri.parse().ok()?;
    let target = Target::parse(&uri, None).ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in &line.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    let host = headers.get("host")?.to_str().ok()?.to_owned();
    let authenticator = Authenticator {
        region,
        credentials,
        keys: &KeyCache::default(),
        now: Timestamp(line.now * 1_000_000_000),
    };
    let presented = Presented {
        method: &method,
        target: &target,
        headers: &headers,
        host: &host,
    };
    match authenticator.verify(&presented) {
        Ok(_) => Some('a'),
        Err(error) if error.code == "SignatureDoesNotMatch" => Some('s'),
        Err(_) => None,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, access_key, secret_key, region] = arguments.as_slice() else {
        return Err("usage: sigv4_check ACCESS_KEY SECRET_KEY REGION < requests".into());
    };
    let credentials = Credentials::root(access_key, secret_key);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line: Line = serde_json::from_str(&line?)?;
        let verdict = verdict(&line, &credentials, region).unwrap_or('r');
        writeln!(out, "{verdict}")?;
    }
    out.flush()?;
    Ok(())
}
