//! The canonical request: the one text that client and server both derive from a request.

use http::{HeaderMap, Method};

use crate::target::{Target, percent_encode, percent_encode_into};

/// Everything of a request that is signed.
pub struct Canonical<'a> {
    pub method: &'a Method,
    pub target: &'a Target,
    pub headers: &'a HeaderMap,
    /// The host, which HTTP/2 keeps outside of the headers.
    pub host: &'a str,
    /// In lower case, sorted, each once, all present.
    pub signed_headers: &'a [String],
    pub payload_hash: &'a str,
    /// The parameter that carries the signature itself, and so is not signed.
    pub query_without: Option<&'static str>,
}

impl Canonical<'_> {
    /// The texts whose signature is accepted: with the path encoded the one right way, and as it
    /// was sent, since some clients sign that. Both decode to the same key.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let path = percent_encode(&self.target.path, true);
        let mut texts = vec![self.text(&path)];
        if path != self.target.path_raw {
            texts.push(self.text(&self.target.path_raw));
        }
        texts
    }

    fn text(&self, path: &str) -> String {
        let mut text = String::with_capacity(512);
        for line in [self.method.as_str(), path, &self.query()] {
            text.push_str(line);
            text.push('\n');
        }
        for name in self.signed_headers {
            text.push_str(name);
            text.push(':');
            text.push_str(&self.header(name));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.signed_headers.join(";"));
        text.push('\n');
        text.push_str(self.payload_hash);
        text
    }

    fn query(&self) -> String {
        let mut pairs: Vec<(String, String)> = self
            .target
            .query
            .iter()
            .filter(|(name, _)| Some(name.as_str()) != self.query_without)
            .map(|(name, value)| (percent_encode(name, false), percent_encode(value, false)))
            .collect();
        pairs.sort_unstable();
        let mut text = String::new();
        for (name, value) in pairs {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(&name);
            text.push('=');
            text.push_str(&value);
        }
        text
    }

    fn header(&self, name: &str) -> String {
        if name == "host" {
            return self.host.trim().to_owned();
        }
        let mut text = String::new();
        for (index, value) in self.headers.get_all(name).iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            push_collapsed(value.as_bytes(), &mut text);
        }
        text
    }
}

/// Appends `value` without white space around it and with single spaces inside.
///
/// A byte that is no UTF-8 is escaped, so that two values never become one text.
fn push_collapsed(value: &[u8], out: &mut String) {
    let words = value
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            out.push(' ');
        }
        match std::str::from_utf8(word) {
            Ok(word) => out.push_str(word),
            Err(_) => {
                for byte in word {
                    out.push('\u{0}');
                    percent_encode_into(&format!("{byte:02X}"), false, out);
                }
            }
        }
    }
}
