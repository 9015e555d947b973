//! From a method and a path to a call of the table.

use percent_encoding::percent_decode_str;

use crate::calls::{CALLS, Call};

/// What a call does to the store, in HTTP's words.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    GET,
    POST,
    DELETE,
}

impl Method {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GET => "GET",
            Self::POST => "POST",
            Self::DELETE => "DELETE",
        }
    }
}

/// Where a request goes.
pub enum Routed {
    /// To this call, with these parameters, form-encoded.
    Call(&'static Call, String),
    /// The path has calls, by other methods: these.
    OtherMethods(Vec<&'static str>),
    /// No call has the path.
    Nowhere,
}

/// Finds the call for a method, a path and a query as they were received.
#[must_use]
pub fn route(method: &str, path: &str, query: &str) -> Routed {
    let mut others = Vec::new();
    // A word in the path wins over a parameter: templates with fewer parameters come first.
    let mut matching: Vec<_> = CALLS
        .iter()
        .filter_map(|call| Some((call, matched(call.path, path)?)))
        .collect();
    matching.sort_by_key(|(_, values)| values.len());
    for (call, values) in matching {
        if call.method.name() == method {
            return Routed::Call(call, with_query(&values, query));
        }
        others.push(call.method.name());
    }
    if others.is_empty() {
        Routed::Nowhere
    } else {
        Routed::OtherMethods(others)
    }
}

/// The parameters that stand in `path`, when it has the form of `template`.
fn matched(template: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut values = Vec::new();
    let mut segments = path.split('/');
    for word in template.split('/') {
        let segment = segments.next()?;
        match parameter(word) {
            Some(name) => {
                let value = percent_decode_str(segment).decode_utf8().ok()?;
                if value.is_empty() {
                    return None;
                }
                values.push((name, value.into_owned()));
            }
            None if word == segment => {}
            None => return None,
        }
    }
    segments.next().is_none().then_some(values)
}

/// The parameter that a word of a template stands for.
pub(crate) fn parameter(word: &str) -> Option<&str> {
    word.strip_prefix('{')?.strip_suffix('}')
}

fn with_query(values: &[(&'static str, String)], query: &str) -> String {
    let mut all = form_urlencoded::Serializer::new(String::new());
    for (name, value) in values {
        all.append_pair(name, value);
    }
    let path = all.finish();
    match (path.is_empty(), query.is_empty()) {
        (true, _) => query.to_owned(),
        (false, true) => path,
        (false, false) => format!("{path}&{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(method: &str, path: &str, query: &str) -> String {
        match route(method, path, query) {
            Routed::Call(call, parameters) => format!("{} {parameters}", call.name),
            Routed::OtherMethods(others) => format!("use {}", others.join(" ")),
            Routed::Nowhere => "nowhere".to_owned(),
        }
    }

    #[test]
    fn a_path_finds_its_call_and_gives_its_parameters() {
        assert_eq!(routed("GET", "/v1/status", ""), "status ");
        assert_eq!(
            routed("GET", "/v1/buckets/a%2Bb", ""),
            "bucket bucket=a%2Bb"
        );
        assert_eq!(
            routed("GET", "/v1/buckets/b/uploads", "limit=3"),
            "uploads bucket=b&limit=3"
        );
        assert_eq!(
            routed("POST", "/v1/buckets/b/uploads/abort", ""),
            "abort_uploads bucket=b"
        );
        assert_eq!(
            routed("DELETE", "/v1/buckets/b/uploads/abort", "key=k"),
            "abort_upload bucket=b&upload_id=abort&key=k"
        );
    }

    #[test]
    fn what_is_no_call_goes_nowhere() {
        for path in [
            "/v1",
            "/v1/",
            "/v1/status/",
            "/v1/statuses",
            "/v2/status",
            "/v1/buckets/",
            "/v1/buckets//uploads",
            "/v1/buckets/%FF",
            "/v1/../v1/status",
            "//v1/status",
        ] {
            assert_eq!(routed("GET", path, ""), "nowhere", "{path}");
        }
        assert_eq!(routed("POST", "/v1/status", ""), "use GET");
        assert_eq!(routed("get", "/v1/status", ""), "use GET");
    }
}
