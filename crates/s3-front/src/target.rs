//! What a request is aimed at: bucket, key and query parameters, decoded exactly once.
//!
//! A path or query that two parsers read differently is how a signature comes to cover something
//! else than what is done. So the request line is decoded here, the signature is computed over this
//! reading, and what is handed on is written anew from it ([`Target::rewritten`]).

use crate::error::FrontError;

/// Most parameters of one query: S3's operations have fewer than twenty.
const QUERY_PARAMETERS_MAX: usize = 128;

/// A request's path and query, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The path as it was sent: what some clients sign.
    pub path_raw: String,
    /// The path as it was sent, decoded. In a virtual-hosted request it has no bucket.
    pub path: String,
    /// The parameters in the order they were sent.
    pub query: Vec<(String, String)>,
    pub bucket: Option<String>,
    /// Never empty.
    pub key: Option<String>,
    /// Whether the bucket came from the `Host` header.
    pub virtual_hosted: bool,
}

impl Target {
    /// Reads path and query of `uri`; `bucket_of_host` is the bucket that the host name gave.
    ///
    /// # Errors
    /// `InvalidURI` when it does not decode to UTF-8, or a name has a zero byte.
    pub fn parse(uri: &http::Uri, bucket_of_host: Option<String>) -> Result<Self, FrontError> {
        let path_raw = uri.path().to_owned();
        let path = percent_decode(&path_raw, false)?;
        if path.contains('\0') {
            return Err(FrontError::invalid_uri());
        }
        let query = parse_query(uri.query().unwrap_or_default())?;
        let without_slash = path.strip_prefix('/').ok_or_else(FrontError::invalid_uri)?;
        let virtual_hosted = bucket_of_host.is_some();
        let (bucket, key) = match bucket_of_host {
            Some(bucket) => (Some(bucket), without_slash),
            None => match without_slash.split_once('/') {
                Some((bucket, key)) => (Some(bucket.to_owned()), key),
                None if without_slash.is_empty() => (None, ""),
                None => (Some(without_slash.to_owned()), ""),
            },
        };
        let key = (!key.is_empty()).then(|| key.to_owned());
        Ok(Self {
            path_raw,
            path,
            query,
            bucket,
            key,
            virtual_hosted,
        })
    }

    /// The first value of the parameter `name`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the parameter `name` was given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.parameter(name).is_some()
    }

    /// The same target in path style, with the parameters `keep` accepts, freshly encoded.
    #[must_use]
    pub fn rewritten(&self, keep: impl Fn(&str) -> bool) -> String {
        let mut text = String::from("/");
        if let Some(bucket) = &self.bucket {
            percent_encode_into(bucket, false, &mut text);
            // A bucket without a name is not no bucket.
            if bucket.is_empty() && self.key.is_none() {
                text.push('/');
            }
        }
        if let Some(key) = &self.key {
            text.push('/');
            percent_encode_into(key, true, &mut text);
        }
        let mut separator = '?';
        for (name, value) in self.query.iter().filter(|(name, _)| keep(name)) {
            text.push(separator);
            percent_encode_into(name, false, &mut text);
            text.push('=');
            percent_encode_into(value, false, &mut text);
            separator = '&';
        }
        text
    }
}

/// The bucket that `host` names under `base_domain`, if it is a name below it.
#[must_use]
pub fn bucket_of_host(host: &str, base_domain: &str) -> Option<String> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.to_ascii_lowercase();
    let bucket = name.strip_suffix(&base_domain.to_ascii_lowercase())?;
    let bucket = bucket.strip_suffix('.')?;
    (!bucket.is_empty()).then(|| bucket.to_owned())
}

/// The pairs of a query, decoded, in their order.
pub(crate) fn parse_query(query: &str) -> Result<Vec<(String, String)>, FrontError> {
    let mut parameters = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if parameters.len() == QUERY_PARAMETERS_MAX {
            return Err(FrontError::invalid_uri());
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        parameters.push((percent_decode(name, true)?, percent_decode(value, true)?));
    }
    Ok(parameters)
}

/// Decodes `%XX`, and a plus sign as a space where asked.
///
/// # Errors
/// `InvalidURI` when an escape is none, or the text is not UTF-8.
pub fn percent_decode(text: &str, plus_is_space: bool) -> Result<String, FrontError> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let high = bytes.next().and_then(hex_digit);
                let low = bytes.next().and_then(hex_digit);
                let (Some(high), Some(low)) = (high, low) else {
                    return Err(FrontError::invalid_uri());
                };
                out.push(high << 4 | low);
            }
            b'+' if plus_is_space => out.push(b' '),
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).map_err(|_| FrontError::invalid_uri())
}

const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Appends `text` with everything but unreserved characters (and slashes, where asked) escaped.
pub fn percent_encode_into(text: &str, keep_slash: bool, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b'~')
            || (keep_slash && byte == b'/');
        if plain {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// `text` with everything but unreserved characters (and slashes, where asked) escaped.
#[must_use]
pub fn percent_encode(text: &str, keep_slash: bool) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    percent_encode_into(text, keep_slash, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Target {
        Target::parse(&uri.parse().unwrap(), None).unwrap()
    }

    #[test]
    fn bucket_and_key_are_split_at_the_second_slash() {
        for (uri, bucket, key) in [
            ("/", None, None),
            ("/b", Some("b"), None),
            ("/b/", Some("b"), None),
            ("/b/k", Some("b"), Some("k")),
            ("/b/k/", Some("b"), Some("k/")),
            ("/b//k", Some("b"), Some("/k")),
            ("/b/%C3%A9%2F+", Some("b"), Some("é/+")),
        ] {
            let target = target(uri);
            assert_eq!(target.bucket.as_deref(), bucket, "{uri}");
            assert_eq!(target.key.as_deref(), key, "{uri}");
        }
    }

    #[test]
    fn what_is_handed_on_reads_the_same() {
        let first = target("/b/a%20b/%2B+?x=1&prefix=a+b%2B&x=2&drop");
        let second = target(&first.rewritten(|name| name != "drop"));
        assert_eq!((&first.bucket, &first.key), (&second.bucket, &second.key));
        assert_eq!(first.query[..3], second.query);
        assert_eq!(first.parameter("prefix"), Some("a b+"));
    }

    #[test]
    fn bad_escapes_are_refused() {
        for uri in ["/b/%", "/b/%4", "/b/%zz", "/b/a%00b", "/b/%FF", "/b?x=%C3"] {
            assert!(Target::parse(&uri.parse().unwrap(), None).is_err(), "{uri}");
        }
    }

    #[test]
    fn a_host_below_the_base_domain_names_a_bucket() {
        for (host, bucket) in [
            ("photos.s3.example.com", Some("photos")),
            ("photos.S3.example.com:9000", Some("photos")),
            ("a.b.s3.example.com", Some("a.b")),
            ("s3.example.com", None),
            ("xs3.example.com", None),
            ("127.0.0.1:9000", None),
        ] {
            let found = bucket_of_host(host, "s3.example.com");
            assert_eq!(found.as_deref(), bucket, "{host}");
        }
    }
}
