//! Parameters of a call, as they travel in path and query.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, Result};
use crate::route::parameter;

/// What stands in a path segment as itself.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// Reads form-encoded parameters.
///
/// # Errors
/// `InvalidArgument`: an unknown name, one that stands twice or is missing, a value of another kind.
pub(crate) fn read<R: DeserializeOwned>(query: &str) -> Result<R> {
    serde_urlencoded::from_str(query)
        .map_err(|error| ApiError::invalid(format!("the parameters do not fit: {error}")))
}

/// The path and query of a call with these parameters.
pub(crate) fn path_and_query<R: Serialize>(template: &str, request: &R) -> Result<String> {
    let encoded = serde_urlencoded::to_string(request)
        .map_err(|error| ApiError::internal(format!("the parameters do not encode: {error}")))?;
    let mut path = String::new();
    let mut in_path = Vec::new();
    for word in template.split('/').skip(1) {
        path.push('/');
        let Some(name) = parameter(word) else {
            path.push_str(word);
            continue;
        };
        let value = form_urlencoded::parse(encoded.as_bytes()).find(|(key, _)| key == name);
        let (_, value) =
            value.ok_or_else(|| ApiError::internal(format!("the call has no {name}")))?;
        // No client and no server along the way may take it for a step in the tree of paths.
        if matches!(&*value, "" | "." | "..") {
            return Err(ApiError::invalid(format!("{name} is `{value}`")));
        }
        path.extend(utf8_percent_encode(&value, SEGMENT));
        in_path.push(name);
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(encoded.as_bytes()) {
        if !in_path.contains(&&*name) {
            query.append_pair(&name, &value);
        }
    }
    let query = query.finish();
    if !query.is_empty() {
        path.push('?');
        path.push_str(&query);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Routed, route};
    use crate::wire::{AbortUploadRequest, BucketsRequest, WhereRequest};

    #[test]
    fn what_a_client_sends_is_what_a_server_reads() {
        let request = AbortUploadRequest {
            bucket: "a.b-c".to_owned(),
            upload_id: "x/y?z #%+\u{e9}".to_owned(),
            key: " a+b&c=d/\u{1F600}\u{1}%41".to_owned(),
        };
        let sent = path_and_query("/v1/buckets/{bucket}/uploads/{upload_id}", &request).unwrap();
        assert!(sent.is_ascii() && !sent.contains([' ', '#']), "{sent}");
        let (path, query) = sent.split_once('?').unwrap();
        let Routed::Call(call, parameters) = route("DELETE", path, query) else {
            panic!("{sent} finds no call")
        };
        assert_eq!(call.name, "abort_upload");
        assert_eq!(read::<AbortUploadRequest>(&parameters).unwrap(), request);
    }

    #[test]
    fn steps_are_no_path_segments() {
        for name in ["", ".", ".."] {
            let request = crate::wire::BucketRequest {
                bucket: name.to_owned(),
            };
            assert!(path_and_query("/v1/buckets/{bucket}", &request).is_err());
        }
    }

    #[test]
    fn parameters_that_do_not_fit_are_refused_by_name() {
        for (query, word) in [
            ("limt=3", "limt"),
            ("limit=three", "invalid digit"),
            ("limit=-1", "invalid digit"),
            ("limit=1&limit=2", "limit"),
        ] {
            let error = read::<BucketsRequest>(query).unwrap_err();
            assert!(error.message.contains(word), "{query}: {error}");
        }
        let missing = read::<WhereRequest>("bucket=b").unwrap_err();
        assert!(missing.message.contains("key"), "{missing}");
    }
}
