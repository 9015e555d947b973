//! What fuzzing drives: one function for each kind of bytes that strangers send.
//!
//! Each takes any bytes, must not panic, and holds what was accepted to a property: the same outcome
//! however the bytes arrive, and, where a body has a simple meaning, that of a reader which is slow,
//! holds everything, and is too short to be wrong in the same way. `tests/fuzz_targets.rs` runs them
//! on a corpus and mutations of it in every test run, `fuzz/` under libFuzzer.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::executor::block_on;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use s3s::dto::{AccessControlPolicy, CompletedMultipartUpload, CreateBucketConfiguration, Delete};
use s3s::xml::{Deserialize, Deserializer};
use strongroom_base::Timestamp;

use crate::auth::credentials::Credentials;
use crate::auth::key_cache::KeyCache;
use crate::auth::{Authenticator, Presented};
use crate::body::chunked::{Decoder, Expected};
use crate::body::{Failure, RawBody};
use crate::form::Form;
use crate::form::policy::Policy;
use crate::target::Target;
use crate::xml;

/// A target, by the name of its corpus.
pub type FuzzTarget = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [FuzzTarget; 6] = [
    ("signed_request", signed_request),
    ("target", target),
    ("chunked", chunked),
    ("xml", xml),
    ("form", form),
    ("policy", policy),
];

/// 2013-05-24, the day of the corpus.
const NOW: Timestamp = Timestamp(1_369_353_600_000_000_000);
const KEY: (&str, &str) = (
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
);

/// The head of a request, signed in its headers or its query, as it travels.
///
/// # Panics
/// When a request is accepted that is not accepted again, or has a header that is not signed.
pub fn signed_request(bytes: &[u8]) {
    let Some((method, uri, headers)) = head(bytes) else {
        return;
    };
    let host = headers.get("host").and_then(|value| value.to_str().ok());
    let (Ok(target), Some(host)) = (Target::parse(&uri, None), host) else {
        return;
    };
    let credentials = Credentials::root(KEY.0, KEY.1);
    let authenticator = Authenticator {
        region: "us-east-1",
        credentials: &credentials,
        keys: &KeyCache::default(),
        now: NOW,
    };
    let presented = Presented {
        method: &method,
        target: &target,
        headers: &headers,
        host,
    };
    if authenticator.verify(&presented).is_err() {
        return;
    }
    assert!(
        authenticator.verify(&presented).is_ok(),
        "accepted once and not again"
    );
    let mut more = headers.clone();
    more.insert("x-amz-not-signed", HeaderValue::from_static("1"));
    let unsigned = Presented {
        headers: &more,
        ..presented
    };
    assert!(
        authenticator.verify(&unsigned).is_err(),
        "a header that is not signed is accepted"
    );
}

/// Request line and headers; none when the HTTP library would not hand them on.
fn head(bytes: &[u8]) -> Option<(Method, Uri, HeaderMap)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split('\n');
    let (method, uri) = lines.next()?.split_once(' ')?;
    let mut headers = HeaderMap::new();
    for line in lines.filter(|line| !line.is_empty()).take(100) {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(value.trim().as_bytes()).ok()?);
    }
    Some((method.parse().ok()?, uri.parse().ok()?, headers))
}

/// A path and query.
///
/// # Panics
/// When what is handed on reads differently.
pub fn target(bytes: &[u8]) {
    let uri = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.parse::<Uri>().ok());
    let Some(Ok(first)) = uri.map(|uri| Target::parse(&uri, None)) else {
        return;
    };
    let rewritten = first.rewritten(|_| true);
    let uri = rewritten.parse().expect("what is written anew is a target");
    let second = Target::parse(&uri, None).expect("and is read");
    assert_eq!((&first.bucket, &first.key), (&second.bucket, &second.key));
    assert_eq!(first.query, second.query);
}

/// Of an aws-chunked body: two bytes of declared length, then the body; a trailer is expected when
/// the first byte is odd.
///
/// # Panics
/// When the outcome depends on how the body arrives, or is not that of the slow reader.
pub fn chunked(bytes: &[u8]) {
    let [low, high, body @ ..] = bytes else {
        return;
    };
    let size = u64::from(u16::from_le_bytes([*low, *high]));
    let trailers: &[&str] = if low & 1 == 1 {
        &["x-amz-checksum-crc32"]
    } else {
        &[]
    };
    let whole = decode(body, size, trailers, usize::MAX);
    for piece in [1, 7] {
        assert_eq!(whole, decode(body, size, trailers, piece), "in pieces");
    }
    assert_eq!(whole, decode_slowly(body, size, trailers), "read slowly");
}

fn decode(body: &[u8], size: u64, trailers: &[&str], piece: usize) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new(Expected {
        size,
        trailers: trailers.iter().map(|name| (*name).to_owned()).collect(),
        trailers_allowed: true,
        signed: None,
    });
    let mut content = Vec::new();
    for piece in body.chunks(piece) {
        let mut input = Bytes::copy_from_slice(piece);
        while !input.is_empty() {
            let decoded = decoder.feed(&mut input).ok()?;
            content.extend_from_slice(&decoded.unwrap_or_default());
        }
    }
    decoder.finish().ok().map(|_| content)
}

/// The same from the definition: chunks, a chunk of nothing, the trailers announced, an empty line.
fn decode_slowly(body: &[u8], size: u64, trailers: &[&str]) -> Option<Vec<u8>> {
    let mut rest = body;
    let mut content = Vec::new();
    loop {
        let text = take_line(&mut rest)?;
        let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit()) && !text.is_empty();
        let count = u64::from_str_radix(text, 16).ok().filter(|_| digits)?;
        if count == 0 {
            break;
        }
        let count = usize::try_from(count).ok()?;
        content.extend_from_slice(rest.get(..count)?);
        rest = &rest[count..];
        take_line(&mut rest).filter(|end| end.is_empty())?;
    }
    let mut found = Vec::new();
    loop {
        let text = take_line(&mut rest)?;
        if text.is_empty() {
            break;
        }
        let (name, _) = text.split_once(':')?;
        found.push(name.trim().to_ascii_lowercase());
    }
    let exact = rest.is_empty() && content.len() as u64 == size && found == trailers;
    exact.then_some(content)
}

/// A line without its end, of at most a kibibyte with it.
fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let bytes = *rest;
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    *rest = &bytes[end + 1..];
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    (end < 1024).then(|| text.strip_suffix('\r').unwrap_or(text))
}

/// A document of any kind that is read from a body.
pub fn xml(bytes: &[u8]) {
    for root in [
        "Tagging",
        "CORSConfiguration",
        "WebsiteConfiguration",
        "OwnershipControls",
    ] {
        let _ = xml::parse(bytes, root);
    }
    read_by_s3s::<Delete>(bytes);
    read_by_s3s::<CompletedMultipartUpload>(bytes);
    read_by_s3s::<CreateBucketConfiguration>(bytes);
    read_by_s3s::<AccessControlPolicy>(bytes);
}

fn read_by_s3s<'a, T: Deserialize<'a>>(bytes: &'a [u8]) {
    let mut reader = Deserializer::new(bytes);
    let _ = T::deserialize(&mut reader);
}

/// A form whose boundary is `b`.
///
/// # Panics
/// When the outcome depends on how the form arrives, or the file has another size than announced.
pub fn form(bytes: &[u8]) {
    let whole = block_on(read_form(bytes, usize::MAX));
    for piece in [1, 7] {
        assert_eq!(whole, block_on(read_form(bytes, piece)), "in pieces");
    }
}

async fn read_form(bytes: &[u8], piece: usize) -> Option<(Vec<(String, String)>, Vec<u8>)> {
    let pieces: Vec<_> = bytes
        .chunks(piece)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    let raw: RawBody = Box::pin(futures::stream::iter(pieces));
    let form = Form::read(raw, "b", bytes.len() as u64).await.ok()?;
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let fields = form.fields.iter().map(owned).collect();
    let size = form.file_size;
    let mut stream = form.into_file(Failure::default());
    let mut file = Vec::new();
    while let Some(piece) = stream.next().await {
        file.extend_from_slice(&piece.ok()?);
    }
    assert_eq!(
        file.len() as u64,
        size,
        "the file has another size than announced"
    );
    Some((fields, file))
}

/// The text of a policy, before it is encoded.
///
/// # Panics
/// Never: a policy that is accepted has no other property than to be one.
pub fn policy(bytes: &[u8]) {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
    if let Ok(policy) = Policy::parse(&encoded) {
        let fields = crate::form::fields::Fields::default();
        let _ = policy.check(NOW, "bucket", &fields);
    }
}
