//! The form of what the request line and headers give, checked before anything is done with it.
//!
//! `s3s` would refuse most of this too, but without saying which argument is wrong (PR02).

use http::{HeaderMap, Method};
use strongroom_objects::Error;
use strongroom_types::ObjectKey;

use crate::error::{FrontError, Result};
use crate::route::Operation;
use crate::target::Target;

/// Query parameters that are numbers of 32 bits.
const NUMBERS: [&str; 6] = [
    "max-buckets",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "partNumber",
];
/// Query parameters that are `true` or `false`.
const FLAGS: [&str; 1] = ["fetch-owner"];
/// Headers whose value is one of a few words, or a list of them (PR05).
const WORDS: [(&str, &[&str]); 2] = [
    // In lower case from the AWS SDK for C++.
    ("x-amz-checksum-mode", &["ENABLED", "enabled"]),
    ("x-amz-optional-object-attributes", &["RestoreStatus"]),
];

/// Checks the parameters, the words of headers and the key's size.
///
/// # Errors
/// `InvalidArgument` naming the argument, `KeyTooLongError`.
pub fn check(target: &Target, headers: &HeaderMap) -> Result<()> {
    for (name, value) in &target.query {
        let name = name.as_str();
        if NUMBERS.contains(&name) && value.parse::<i32>().is_err() {
            let message = format!("provided {name} is not an integer or not within integer range");
            return Err(FrontError::invalid_argument(name, value.as_str(), message));
        }
        if FLAGS.contains(&name) && value != "true" && value != "false" {
            let message = format!("{name} must be true or false");
            return Err(FrontError::invalid_argument(name, value.as_str(), message));
        }
    }
    for (name, words) in WORDS {
        for value in headers.get_all(name) {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let known = |word: &str| words.contains(&word.trim());
            if !text.split(',').all(known) {
                return Err(FrontError::invalid_argument(
                    name,
                    text,
                    "the value is none of those there are",
                ));
            }
        }
    }
    if let Some(key) = &target.key {
        ObjectKey::new(key.clone()).map_err(|error| FrontError::from(Error::from(error)))?;
    }
    Ok(())
}

const IF_MATCH: &str = "if-match";
const IF_NONE_MATCH: &str = "if-none-match";
/// All headers that make a request conditional.
const CONDITIONS: [&str; 4] = [
    IF_MATCH,
    IF_NONE_MATCH,
    "if-modified-since",
    "if-unmodified-since",
];

/// Refuses conditions on a write that the operation would not look at: a client that sends one
/// relies on it (PR13). A read that has none answers as if it had not been asked, as HTTP allows.
///
/// # Errors
/// `NotImplemented` naming the header.
pub fn refuse_conditions(operation: Operation, method: &Method, headers: &HeaderMap) -> Result<()> {
    use Operation as O;
    let of_copy = matches!(operation, O::CopyObject | O::UploadPartCopy);
    for name in headers.keys() {
        let name = name.as_str();
        let range = name == "x-amz-copy-source-range" && operation == O::CopyObject;
        if range || (name.starts_with("x-amz-copy-source") && !of_copy) {
            return Err(FrontError::not_implemented(name));
        }
    }
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    let taken: &[&str] = match operation {
        O::PutObject | O::CopyObject | O::CompleteMultipartUpload => &[IF_MATCH, IF_NONE_MATCH],
        O::DeleteObject => &[IF_MATCH],
        _ => &[],
    };
    for name in CONDITIONS {
        if headers.contains_key(name) && !taken.contains(&name) {
            return Err(FrontError::not_implemented(name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Target {
        Target::parse(&uri.parse().unwrap(), None).unwrap()
    }

    #[test]
    fn a_number_that_is_none_is_refused_by_name() {
        // PR02, LI03
        for (uri, name, value) in [
            ("/b?max-keys=abc", "max-keys", "abc"),
            ("/b?max-keys=", "max-keys", ""),
            ("/b?max-keys=99999999999", "max-keys", "99999999999"),
            ("/b?uploads&max-uploads=1.5", "max-uploads", "1.5"),
            ("/b/k?uploadId=u&max-parts=x", "max-parts", "x"),
            ("/b/k?partNumber=x", "partNumber", "x"),
            ("/b?list-type=2&fetch-owner=yes", "fetch-owner", "yes"),
        ] {
            let error = check(&target(uri), &HeaderMap::new()).unwrap_err();
            assert_eq!(error.code, "InvalidArgument", "{uri}");
            assert!(error.fields.contains(&("ArgumentName", name.to_owned())));
            assert!(error.fields.contains(&("ArgumentValue", value.to_owned())));
        }
        assert!(check(&target("/b?max-keys=-1"), &HeaderMap::new()).is_ok());
    }

    #[test]
    fn an_unknown_word_in_a_header_is_refused_by_name() {
        // PR05
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-checksum-mode", "DISABLED".parse().unwrap());
        let error = check(&target("/b/k"), &headers).unwrap_err();
        assert_eq!(error.code, "InvalidArgument");
        assert_eq!(error.fields[0].1, "x-amz-checksum-mode");
        headers.insert("x-amz-checksum-mode", "ENABLED".parse().unwrap());
        headers.insert(
            "x-amz-optional-object-attributes",
            "RestoreStatus".parse().unwrap(),
        );
        assert!(check(&target("/b/k"), &headers).is_ok());
    }

    #[test]
    fn a_key_has_at_most_1024_bytes_of_utf8() {
        // LI01
        let long = format!("/b/{}", "%C3%A9".repeat(512));
        assert!(check(&target(&long), &HeaderMap::new()).is_ok());
        let error = check(&target(&format!("{long}x")), &HeaderMap::new()).unwrap_err();
        assert_eq!(error.code, "KeyTooLongError");
        assert!(error.fields.contains(&("Size", "1025".to_owned())));
        assert!(
            error
                .fields
                .contains(&("MaxSizeAllowed", "1024".to_owned()))
        );
    }

    #[test]
    fn a_condition_that_would_not_be_looked_at_is_refused() {
        // PR13, CO04
        use Operation as O;
        let refused = |operation, method: Method, name: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, "x".parse().unwrap());
            refuse_conditions(operation, &method, &headers).is_err()
        };
        for (operation, name) in [
            (O::PutObject, "if-modified-since"),
            (O::PutObject, "if-unmodified-since"),
            (O::PutObject, "x-amz-copy-source-if-match"),
            (O::CopyObject, "x-amz-copy-source-range"),
            (O::DeleteObject, "if-none-match"),
            (O::UploadPart, "if-match"),
            (O::CreateMultipartUpload, "if-none-match"),
            (O::AbortMultipartUpload, "if-match"),
            (O::CreateBucket, "if-none-match"),
        ] {
            assert!(
                refused(operation, Method::PUT, name),
                "{operation:?} {name}"
            );
        }
        for (operation, name) in [
            (O::PutObject, "if-none-match"),
            (O::CopyObject, "if-match"),
            (O::CopyObject, "x-amz-copy-source-if-match"),
            (O::CompleteMultipartUpload, "if-none-match"),
            (O::DeleteObject, "if-match"),
        ] {
            assert!(
                !refused(operation, Method::PUT, name),
                "{operation:?} {name}"
            );
        }
        assert!(!refused(O::ListObjects, Method::GET, "if-none-match"));
    }
}
