//! From S3's headers and types to the domain's, and back.

use futures::StreamExt as _;
use http::HeaderMap;
use s3s::dto::{ETag as WireETag, Metadata, StreamingBlob};
use strongroom_objects::{
    ByteRange, ByteStream, Content, ContentError, ContentErrorKind, DeclaredChecksum, Digests,
    ETagMatch, Error, ObjectHeaders, ReadConditions, Tags, TrailerChecksum, UserMetadata,
    WriteConditions,
};
use strongroom_types::{BucketName, Checksum, ETag, ObjectKey, PartNumber, UploadId, VersionId};

use crate::body::Trailer;
use crate::context::{RequestContext, StreamedBody};
use crate::digests::{Declared, parse_algorithm};
use crate::error::{FrontError, Result};
use crate::target::parse_query;
use crate::time_format::parse_http_date;

pub fn bucket_name(text: String) -> Result<BucketName> {
    BucketName::new(text).map_err(|error| {
        FrontError::bad_request(
            "InvalidBucketName",
            format!("the specified bucket is not valid: {error}"),
        )
    })
}

pub fn object_key(text: String) -> Result<ObjectKey> {
    ObjectKey::new(text).map_err(|error| Error::from(error).into())
}

pub fn version_id(text: Option<&str>) -> Result<Option<VersionId>> {
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            FrontError::invalid_argument("versionId", text, "invalid version id specified")
        })
    };
    text.map(parse).transpose()
}

/// An id of another form than ours is one of an upload that is not there.
pub fn upload_id(text: &str) -> Result<UploadId> {
    text.parse().map_err(|_| Error::NoSuchUpload.into())
}

pub fn part_number(number: i32) -> Result<PartNumber> {
    PartNumber::new(i64::from(number)).map_err(|error| {
        FrontError::invalid_argument("partNumber", number.to_string(), error.to_string())
    })
}

/// A page size; the default is S3's thousand.
pub fn page_size(name: &str, number: Option<i32>) -> Result<u32> {
    let number = number.unwrap_or(1000);
    u32::try_from(number).map_err(|_| {
        let message = "provided value is not an integer or not within integer range";
        FrontError::invalid_argument(name, number.to_string(), message)
    })
}

pub fn wire_etag(etag: ETag) -> WireETag {
    WireETag::Strong(etag.to_string())
}

/// Lengths fit: the largest object has 2^46 bytes.
pub fn wire_size(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

// ------------------------------------------------------------------------------- conditions

fn etag_match(context: &RequestContext, name: &str) -> Option<ETagMatch> {
    let mut tags = Vec::new();
    for value in context.headers.get_all(name) {
        let text = value.to_str().unwrap_or("");
        tags.extend(text.split(',').map(str::trim).filter(|tag| !tag.is_empty()));
    }
    match tags.as_slice() {
        [] => None,
        ["*"] => Some(ETagMatch::Any),
        tags => Some(ETagMatch::OneOf(
            tags.iter().map(|tag| weakened(tag)).collect(),
        )),
    }
}

/// The tag without the mark of weak comparison, which S3's tags never have.
fn weakened(tag: &str) -> String {
    tag.strip_prefix("W/").unwrap_or(tag).to_owned()
}

pub fn write_conditions(context: &RequestContext) -> WriteConditions {
    WriteConditions {
        if_match: etag_match(context, "if-match"),
        if_none_match: etag_match(context, "if-none-match"),
    }
}

pub fn if_match(context: &RequestContext) -> Option<ETagMatch> {
    etag_match(context, "if-match")
}

/// Conditions on what is read; `prefix` is empty, or that of a copy's source.
pub fn read_conditions(context: &RequestContext, prefix: &str) -> ReadConditions {
    let name = |suffix: &str| format!("{prefix}{suffix}");
    let time = |suffix: &str| context.header(&name(suffix)).and_then(parse_http_date);
    ReadConditions {
        if_match: etag_match(context, &name("if-match")),
        if_none_match: etag_match(context, &name("if-none-match")),
        if_modified_since: time("if-modified-since"),
        if_unmodified_since: time("if-unmodified-since"),
    }
}

/// The one range of a `Range` header; a header of another form is ignored, as S3 does.
pub fn byte_range(context: &RequestContext) -> Option<ByteRange> {
    let spec = context.header("range")?.trim().strip_prefix("bytes=")?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match spec.trim().split_once('-')? {
        ("", size) => Some(ByteRange::Suffix {
            size: number(size)?,
        }),
        (first, "") => Some(ByteRange::From {
            first: number(first)?,
            last: None,
        }),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(ByteRange::From {
                first,
                last: Some(last),
            })
        }
    }
}

// ----------------------------------------------------------------------- headers and content

/// The headers that are kept with an object. An empty one is none.
///
/// # Errors
/// `InvalidArgument` for text that is not UTF-8, `InvalidRedirectLocation`.
pub fn object_headers(context: &RequestContext) -> Result<ObjectHeaders> {
    // Names of files in other alphabets come as they are, in UTF-8.
    let text = |name: &str| {
        let value = context.headers.get(name);
        let text = value.map(|value| std::str::from_utf8(value.as_bytes()));
        let text = text.transpose().map_err(|_| {
            FrontError::invalid_argument(name, "", "the header must be text in UTF-8")
        })?;
        Ok::<_, FrontError>(text.filter(|text| !text.is_empty()).map(str::to_owned))
    };
    let codings = text("content-encoding")?.unwrap_or_default();
    let codings: Vec<&str> = codings
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    Ok(ObjectHeaders {
        content_type: text("content-type")?,
        content_encoding: (!codings.is_empty()).then(|| codings.join(",")),
        content_language: text("content-language")?,
        content_disposition: text("content-disposition")?,
        cache_control: text("cache-control")?,
        expires: text("expires")?,
        website_redirect_location: redirect_location(context)?,
    })
}

/// Longest `x-amz-website-redirect-location`, as S3 has it.
const REDIRECT_LOCATION_SIZE_BYTES_MAX: usize = 2 * 1024;

fn redirect_location(context: &RequestContext) -> Result<Option<String>> {
    let name = "x-amz-website-redirect-location";
    if !context.headers.contains_key(name) {
        return Ok(None);
    }
    let refused = |message| FrontError::bad_request("InvalidRedirectLocation", message);
    let text = context.header(name).unwrap_or_default();
    let starts = ["/", "http://", "https://"];
    if !starts.iter().any(|start| text.starts_with(start)) {
        return Err(refused(
            "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
        ));
    }
    if text.len() > REDIRECT_LOCATION_SIZE_BYTES_MAX {
        return Err(refused(
            "The length of website redirect location cannot exceed 2,048 characters.",
        ));
    }
    Ok(Some(text.to_owned()))
}

/// The tags of `x-amz-tagging`: written as a query.
///
/// # Errors
/// `InvalidArgument` when it is none, or names a key twice; `InvalidTag`, `BadRequest` (LI01).
pub fn tags_header(context: &RequestContext) -> Result<Tags> {
    let name = "x-amz-tagging";
    let Some(value) = context.headers.get(name) else {
        return Ok(Tags::default());
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let refused = || {
        FrontError::invalid_argument(
            name,
            text.as_ref(),
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query \
             parameters without tag name duplicates.",
        )
    };
    let pairs = parse_query(&text).map_err(|_| refused())?;
    let is_twice = |key: &String| pairs.iter().filter(|(other, _)| other == key).count() > 1;
    if pairs.iter().any(|(key, _)| is_twice(key)) {
        return Err(refused());
    }
    Ok(Tags::of_object(pairs)?)
}

pub fn user_metadata(metadata: Option<Metadata>) -> UserMetadata {
    metadata.into_iter().flatten().collect()
}

pub fn wire_metadata(metadata: UserMetadata) -> Option<Metadata> {
    (!metadata.is_empty()).then(|| metadata.into_iter().collect())
}

/// `Expires` as it was sent, which is not always a date.
pub fn expires_header(headers: &ObjectHeaders) -> HeaderMap {
    let mut map = HeaderMap::new();
    let value = headers
        .expires
        .as_deref()
        .and_then(|text| text.parse().ok());
    if let Some(value) = value {
        map.insert(http::header::EXPIRES, value);
    }
    map
}

/// The content of a PutObject or UploadPart, with all that was declared about it.
pub fn content(context: &RequestContext, stream: Option<StreamingBlob>) -> Result<Content> {
    let (Some(body), Some(stream)) = (&context.body, stream) else {
        return Err(FrontError::internal());
    };
    let stream: ByteStream = Box::pin(stream.map(|piece| {
        piece.map_err(|error| ContentError::new(ContentErrorKind::Content, error.to_string()))
    }));
    Ok(Content {
        stream,
        size: body.plan.size,
        digests: Digests {
            md5: body.plan.digests.md5,
            sha256: body.plan.sha256,
            checksum: declared_checksum(context, body)?,
        },
    })
}

/// Without a value `x-amz-checksum-algorithm` still asks for one to be kept.
fn declared_checksum(context: &RequestContext, body: &StreamedBody) -> Result<DeclaredChecksum> {
    let name = "x-amz-checksum-algorithm";
    let asked = context.header(name).map(|text| parse_algorithm(name, text));
    let asked = asked.transpose()?;
    let declared = body.plan.digests.checksum;
    let given = match declared {
        Declared::None => asked,
        Declared::Value(value) => Some(value.algorithm()),
        Declared::Trailer(algorithm) => Some(algorithm),
    };
    if asked.is_some() && asked != given {
        return Err(FrontError::invalid_request(
            "x-amz-checksum-algorithm names another algorithm than the checksum that was sent",
        ));
    }
    Ok(match declared {
        Declared::None => given.map_or(DeclaredChecksum::None, DeclaredChecksum::Compute),
        Declared::Value(value) => DeclaredChecksum::Value(value),
        Declared::Trailer(algorithm) => {
            let trailer = body.trailer.lock().expect("no holder panics").take();
            DeclaredChecksum::Trailer {
                algorithm,
                value: trailer_checksum(trailer),
            }
        }
    })
}

fn trailer_checksum(trailer: Option<Trailer>) -> TrailerChecksum {
    Box::pin(async move {
        let missing = || Error::ContentFailed {
            message: "the checksum trailer is missing".to_owned(),
        };
        match trailer {
            Some(trailer) => trailer.await.map_err(|_| missing()),
            None => Err(missing()),
        }
    })
}

/// Sets the one checksum field of an answer that belongs to the checksum's algorithm.
macro_rules! set_checksum {
    ($output:expr, $checksum:expr) => {{
        let checksum: &strongroom_types::Checksum = $checksum;
        let text = Some(checksum.to_string());
        match checksum.algorithm() {
            strongroom_types::ChecksumAlgorithm::Crc32 => $output.checksum_crc32 = text,
            strongroom_types::ChecksumAlgorithm::Crc32c => $output.checksum_crc32c = text,
            strongroom_types::ChecksumAlgorithm::Crc64Nvme => $output.checksum_crc64nvme = text,
            strongroom_types::ChecksumAlgorithm::Sha1 => $output.checksum_sha1 = text,
            strongroom_types::ChecksumAlgorithm::Sha256 => $output.checksum_sha256 = text,
        }
    }};
}
pub(crate) use set_checksum;

pub fn wire_checksum_type(checksum: &Checksum) -> s3s::dto::ChecksumType {
    s3s::dto::ChecksumType::from_static(checksum.kind().name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::credentials::{Caller, root_account};

    fn context(name: &'static str, value: &str) -> RequestContext {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        let caller = Caller {
            account: root_account().into(),
            access_key: "root".to_owned(),
        };
        RequestContext::new(caller, headers, None)
    }

    #[test]
    fn a_range_of_one_range_is_read_and_others_are_ignored() {
        let from = |first, last| Some(ByteRange::From { first, last });
        for (text, range) in [
            ("bytes=0-0", from(0, Some(0))),
            ("bytes=5-", from(5, None)),
            ("bytes=-3", Some(ByteRange::Suffix { size: 3 })),
            ("bytes=5-4", None),
            ("bytes=0-1,3-4", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("items=0-1", None),
            ("bytes=+1-2", None),
        ] {
            assert_eq!(byte_range(&context("range", text)), range, "{text}");
        }
    }

    #[test]
    fn entity_tags_are_read_with_and_without_quotes_and_in_lists() {
        // CO03
        let one_of = |tags: &[&str]| {
            Some(ETagMatch::OneOf(
                tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ))
        };
        for (text, condition) in [
            ("*", Some(ETagMatch::Any)),
            ("\"a\"", one_of(&["\"a\""])),
            ("a", one_of(&["a"])),
            ("\"a\", W/\"b\"", one_of(&["\"a\"", "\"b\""])),
        ] {
            let conditions = write_conditions(&context("if-match", text));
            assert_eq!(conditions.if_match, condition, "{text}");
        }
    }
}
