//! What a client declared about its bytes: `Content-MD5`, `x-amz-checksum-*`, trailers.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use http::{HeaderMap, StatusCode};
use md5::{Digest as _, Md5};
use strongroom_types::{Checksum, ChecksumAlgorithm, ChecksumType};

use crate::error::{FrontError, Result};

/// Headers of the checksum family that are no checksum's value.
const NOT_VALUES: [&str; 3] = ["algorithm", "type", "mode"];

/// The header of an algorithm.
#[must_use]
pub const fn header_of(algorithm: ChecksumAlgorithm) -> &'static str {
    match algorithm {
        ChecksumAlgorithm::Crc32 => "x-amz-checksum-crc32",
        ChecksumAlgorithm::Crc32c => "x-amz-checksum-crc32c",
        ChecksumAlgorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
        ChecksumAlgorithm::Sha1 => "x-amz-checksum-sha1",
        ChecksumAlgorithm::Sha256 => "x-amz-checksum-sha256",
    }
}

fn algorithm_of(header: &str) -> Option<ChecksumAlgorithm> {
    ChecksumAlgorithm::ALL
        .into_iter()
        .find(|algorithm| header_of(*algorithm) == header)
}

/// The checksum a request declares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Declared {
    #[default]
    None,
    Value(Checksum),
    /// The trailer will give it.
    Trailer(ChecksumAlgorithm),
}

/// All that a request declares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DeclaredDigests {
    pub md5: Option<[u8; 16]>,
    pub checksum: Declared,
}

/// Reads the declarations (IN02): `trailers` are the names that `x-amz-trailer` announced.
///
/// # Errors
/// `InvalidDigest` for a malformed `Content-MD5`, `InvalidRequest` for a malformed checksum or two
/// of them, `NotImplemented` for an algorithm we do not have.
pub fn declared(headers: &HeaderMap, trailers: &[String]) -> Result<DeclaredDigests> {
    let mut checksum = Declared::None;
    for (name, value) in headers {
        let Some(suffix) = name.as_str().strip_prefix("x-amz-checksum-") else {
            continue;
        };
        if NOT_VALUES.contains(&suffix) {
            continue;
        }
        let algorithm = algorithm_of(name.as_str())
            .ok_or_else(|| FrontError::not_implemented(name.as_str()))?;
        let parsed = value
            .to_str()
            .ok()
            .map(|text| Checksum::parse(algorithm, text));
        // A value of the form of a multipart object's is none of these bytes.
        let Some(Ok(value)) = parsed.filter(|parsed| parsed.is_ok_and(is_of_bytes)) else {
            return Err(invalid_value(name.as_str()));
        };
        take_one(&mut checksum, Declared::Value(value))?;
    }
    for name in trailers {
        let algorithm = algorithm_of(name).ok_or_else(|| FrontError::not_implemented(name))?;
        take_one(&mut checksum, Declared::Trailer(algorithm))?;
    }
    check_sdk_algorithm(headers, checksum)?;
    Ok(DeclaredDigests {
        md5: content_md5(headers)?,
        checksum,
    })
}

/// That a body which must not be damaged on its way has a digest (PR04).
///
/// # Errors
/// `InvalidRequest`.
pub fn demand(headers: &HeaderMap) -> Result<()> {
    let has = |name: &http::HeaderName| {
        let name = name.as_str();
        name == "content-md5"
            || name
                .strip_prefix("x-amz-checksum-")
                .is_some_and(|suffix| !NOT_VALUES.contains(&suffix))
    };
    if headers.contains_key("x-amz-trailer") || headers.keys().any(has) {
        return Ok(());
    }
    Err(FrontError::invalid_request(
        "missing required header for this request: Content-MD5 OR x-amz-checksum-*",
    ))
}

fn take_one(slot: &mut Declared, value: Declared) -> Result<()> {
    if *slot != Declared::None {
        return Err(FrontError::invalid_request(
            "expecting a single x-amz-checksum- header, multiple checksum types are not allowed",
        ));
    }
    *slot = value;
    Ok(())
}

/// `x-amz-sdk-checksum-algorithm` announces a checksum, so there must be that one.
fn check_sdk_algorithm(headers: &HeaderMap, checksum: Declared) -> Result<()> {
    let Some(value) = headers.get("x-amz-sdk-checksum-algorithm") else {
        return Ok(());
    };
    let announced = parse_algorithm("x-amz-sdk-checksum-algorithm", value.to_str().unwrap_or(""))?;
    let given = match checksum {
        Declared::None => None,
        Declared::Value(value) => Some(value.algorithm()),
        Declared::Trailer(algorithm) => Some(algorithm),
    };
    if given == Some(announced) {
        return Ok(());
    }
    Err(FrontError::invalid_request(
        "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or \
         x-amz-trailer headers were found",
    ))
}

fn content_md5(headers: &HeaderMap) -> Result<Option<[u8; 16]>> {
    let Some(value) = headers.get("content-md5") else {
        return Ok(None);
    };
    STANDARD
        .decode(value.as_bytes())
        .ok()
        .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
        .map(Some)
        .ok_or_else(|| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            FrontError::bad_request(
                "InvalidDigest",
                "the Content-MD5 you specified is not valid",
            )
            .with("Content-MD5", text)
        })
}

/// Reads the name of an algorithm given in the header or element `name`.
///
/// # Errors
/// `InvalidArgument`, or `NotImplemented` for one S3 has and we do not.
pub fn parse_algorithm(name: &str, text: &str) -> Result<ChecksumAlgorithm> {
    const NOT_IMPLEMENTED: [&str; 5] = ["SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"];
    // SDKs write it in either case; elements of XML are exact, but never get here misspelt.
    let upper = text.to_ascii_uppercase();
    if NOT_IMPLEMENTED.contains(&upper.as_str()) {
        return Err(FrontError::not_implemented(name));
    }
    upper.parse().map_err(|_| {
        FrontError::invalid_argument(name, text, "checksum algorithm provided is unsupported")
    })
}

/// Reads `FULL_OBJECT` or `COMPOSITE`.
///
/// # Errors
/// `InvalidArgument`.
pub fn parse_type(text: &str) -> Result<ChecksumType> {
    text.parse().map_err(|_| {
        FrontError::invalid_argument("x-amz-checksum-type", text, "unknown checksum type")
    })
}

/// Reads a checksum that a trailer gave.
///
/// # Errors
/// `InvalidRequest`.
pub fn parse_trailer(algorithm: ChecksumAlgorithm, text: &str) -> Result<Checksum> {
    Checksum::parse(algorithm, text)
        .ok()
        .filter(|checksum| is_of_bytes(*checksum))
        .ok_or_else(|| invalid_value(header_of(algorithm)))
}

fn is_of_bytes(checksum: Checksum) -> bool {
    checksum.kind() == ChecksumType::FullObject
}

/// The headers without those that give a checksum's value or announce one.
#[must_use]
pub fn without_checksums(headers: &HeaderMap) -> HeaderMap {
    let mut rest = headers.clone();
    for algorithm in ChecksumAlgorithm::ALL {
        rest.remove(header_of(algorithm));
    }
    rest.remove("x-amz-sdk-checksum-algorithm");
    rest
}

fn invalid_value(header: &str) -> FrontError {
    FrontError::invalid_request(format!("value for {header} header is invalid"))
}

/// Verifies a small body that was read whole.
///
/// # Errors
/// `BadDigest`, `XAmzContentSHA256Mismatch`.
pub fn verify_whole(
    content: &[u8],
    sha256: Option<[u8; 32]>,
    md5: Option<[u8; 16]>,
    checksum: Option<Checksum>,
) -> Result<()> {
    if sha256.is_some_and(|declared| compute_sha256(content) != declared) {
        return Err(FrontError::new(
            StatusCode::BAD_REQUEST,
            "XAmzContentSHA256Mismatch",
            "the provided x-amz-content-sha256 header does not match what was computed",
        ));
    }
    if md5.is_some_and(|declared| <[u8; 16]>::from(Md5::digest(content)) != declared) {
        return Err(bad_digest("Content-MD5"));
    }
    match checksum {
        Some(declared) if compute(declared.algorithm(), content) != declared.value() => {
            Err(bad_digest(declared.algorithm().name()))
        }
        _ => Ok(()),
    }
}

fn bad_digest(name: &str) -> FrontError {
    FrontError::bad_request(
        "BadDigest",
        format!("the {name} you specified did not match what we received"),
    )
}

/// The SHA-256 of `content` as text.
#[must_use]
pub fn sha256_hex(content: &[u8]) -> String {
    hex::encode(compute_sha256(content))
}

fn compute_sha256(content: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, content).as_ref());
    bytes
}

fn compute(algorithm: ChecksumAlgorithm, content: &[u8]) -> Vec<u8> {
    let crc = |kind| crc_fast::checksum(kind, content);
    let low_four = |value: u64| value.to_be_bytes()[4..].to_vec();
    match algorithm {
        ChecksumAlgorithm::Crc32 => low_four(crc(CrcAlgorithm::Crc32IsoHdlc)),
        ChecksumAlgorithm::Crc32c => low_four(crc(CrcAlgorithm::Crc32Iscsi)),
        ChecksumAlgorithm::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme).to_be_bytes().to_vec(),
        ChecksumAlgorithm::Sha1 => digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, content)
            .as_ref()
            .to_vec(),
        ChecksumAlgorithm::Sha256 => compute_sha256(content).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computed_checksums_are_the_published_ones() {
        // Check values of the algorithms for the text 123456789, and FIPS 180 for the hashes.
        let text = b"123456789";
        for (algorithm, expected) in [
            (ChecksumAlgorithm::Crc32, "cbf43926"),
            (ChecksumAlgorithm::Crc32c, "e3069283"),
            (ChecksumAlgorithm::Crc64Nvme, "ae8b14860a799888"),
            (
                ChecksumAlgorithm::Sha1,
                "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
            ),
            (
                ChecksumAlgorithm::Sha256,
                "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            ),
        ] {
            assert_eq!(hex::encode(compute(algorithm, text)), expected);
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn one_checksum_may_be_declared_and_it_must_be_well_formed() {
        // IN02
        let crc32 = ("x-amz-checksum-crc32", "AAAAAA==");
        let sha1 = ("x-amz-checksum-sha1", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        assert!(declared(&headers(&[crc32]), &[]).is_ok());
        for (pairs, trailers, code) in [
            (&[crc32, sha1][..], vec![], "InvalidRequest"),
            (
                &[crc32],
                vec!["x-amz-checksum-sha1".to_owned()],
                "InvalidRequest",
            ),
            (
                &[("x-amz-checksum-crc32", "AAAAAA==-1")],
                vec![],
                "InvalidRequest",
            ),
            (
                &[("x-amz-checksum-crc32", "AAAA")],
                vec![],
                "InvalidRequest",
            ),
            (
                &[("x-amz-checksum-sha512", "AAAA")],
                vec![],
                "NotImplemented",
            ),
            (&[("content-md5", "AAAA")], vec![], "InvalidDigest"),
            (
                &[("x-amz-sdk-checksum-algorithm", "CRC32")],
                vec![],
                "InvalidRequest",
            ),
            (
                &[crc32, ("x-amz-sdk-checksum-algorithm", "SHA1")],
                vec![],
                "InvalidRequest",
            ),
        ] {
            let error = declared(&headers(pairs), &trailers).unwrap_err();
            assert_eq!(error.code, code, "{pairs:?}");
        }
    }
}
