//! `response-*` parameters: what the answer of a read says instead of what is stored (HD08).
//!
//! They are part of what was signed, so only whoever may read the object can choose them. A value
//! that would end the header and begin another is refused (attack 35).

use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{FrontError, Result};

/// Each parameter and the header it is about.
pub const OVERRIDES: [(&str, HeaderName); 6] = [
    ("response-cache-control", CACHE_CONTROL),
    ("response-content-disposition", CONTENT_DISPOSITION),
    ("response-content-encoding", CONTENT_ENCODING),
    ("response-content-language", CONTENT_LANGUAGE),
    ("response-content-type", CONTENT_TYPE),
    ("response-expires", EXPIRES),
];

/// The headers that the query of a read asks for.
///
/// # Errors
/// `InvalidArgument` when a value can be no header's.
pub fn of_query(query: &[(String, String)]) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in query {
        let Some((_, header)) = OVERRIDES.iter().find(|(known, _)| known == name) else {
            continue;
        };
        let content = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
            let message = "the value can not be sent in a header";
            FrontError::invalid_argument(name, value.as_str(), message)
        })?;
        headers.insert(header.clone(), content);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_is_sent_as_it_is_and_can_not_end_its_header() {
        // HD08, attack 35
        let of = |name: &str, value: &str| of_query(&[(name.to_owned(), value.to_owned())]);
        let headers = of("response-content-disposition", "attachment; filename=\"é\"").unwrap();
        assert_eq!(
            headers[CONTENT_DISPOSITION].as_bytes(),
            "attachment; filename=\"é\"".as_bytes()
        );
        assert_eq!(of("response-expires", "never").unwrap()[EXPIRES], "never");
        for value in ["a\r\nset-cookie: x", "a\nb", "a\0"] {
            let error = of("response-content-type", value).unwrap_err();
            assert_eq!(error.code, "InvalidArgument");
        }
        assert!(of("prefix", "a\nb").unwrap().is_empty());
    }
}
