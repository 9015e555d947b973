//! Authentication: Signature Version 4, in headers or in the query.
//!
//! Every request that reaches an operation passed here; there is no anonymous access and no older
//! signature. What is checked is exactly what is used: the decoded [`Target`], the headers, and the
//! payload hash that the body is later held to.
//!
//! Invariants
//! - Every `x-amz-*` header of an accepted request is signed, and so is `Host`.
//! - The scope's day is that of the date, its region is ours, its service is `s3`.
//! - A request is accepted at most [`CLOCK_SKEW_SECONDS_MAX`] away from our clock; a presigned one
//!   until it expires, at most [`PRESIGNED_EXPIRY_SECONDS_MAX`] after it was signed.

pub mod canonical;
pub mod credentials;
pub mod form;
pub mod key_cache;
pub mod scope;
pub mod signing;

use http::{HeaderMap, Method};
use strongroom_base::{Timestamp, planted};

use self::canonical::Canonical;
use self::credentials::{Caller, CredentialSource};
use self::key_cache::KeyCache;
use self::scope::{AmzDate, Scope};
use self::signing::{ALGORITHM, ChunkSigning, Signature, SigningKey};
use crate::error::{FrontError, Result};
use crate::target::Target;

/// How far a client's clock may be off: S3's fifteen minutes, which bounds how long a captured
/// request can be repeated.
pub const CLOCK_SKEW_SECONDS_MAX: i64 = 15 * 60;
/// How long a presigned request may be valid: S3's seven days.
pub const PRESIGNED_EXPIRY_SECONDS_MAX: i64 = 7 * 24 * 60 * 60;
/// Most headers one signature may cover; hyper takes no more than 100 headers.
const SIGNED_HEADERS_MAX: usize = 128;

/// Query parameters that carry a signature: each at most once, none reaches an operation.
pub const QUERY_AUTH_PARAMETERS: [&str; 6] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
];

/// The request line and headers, as authentication sees them.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    pub method: &'a Method,
    pub target: &'a Target,
    pub headers: &'a HeaderMap,
    /// `Host`, or HTTP/2's `:authority`.
    pub host: &'a str,
}

/// A request whose signature holds.
#[derive(Clone)]
pub struct Authenticated {
    pub caller: Caller,
    pub payload: Payload,
}

/// What the signature says about the body.
#[derive(Clone)]
pub enum Payload {
    /// Nothing.
    Unsigned,
    /// Its SHA-256.
    Sha256([u8; 32]),
    /// It is aws-chunked.
    Chunked {
        /// Each chunk is signed, beginning with the request's signature.
        signed: Option<Box<ChunkSigning>>,
        /// Trailers follow the last chunk.
        trailers: bool,
    },
}

/// Checks signatures for one region.
pub struct Authenticator<'a> {
    pub region: &'a str,
    pub credentials: &'a dyn CredentialSource,
    pub keys: &'a KeyCache,
    pub now: Timestamp,
}

/// What a signature consists of, wherever it was found.
struct Claim {
    scope: Scope,
    date: AmzDate,
    signed_headers: Vec<String>,
    signature: Signature,
    payload_hash: String,
    presigned: bool,
}

impl Authenticator<'_> {
    /// Who sent the request.
    ///
    /// # Errors
    /// `AccessDenied` for an anonymous, expired or partly signed request, `InvalidAccessKeyId`,
    /// `SignatureDoesNotMatch`, `RequestTimeTooSkewed`, or what is malformed.
    pub fn verify(&self, presented: &Presented<'_>) -> Result<Authenticated> {
        let claim = match find(presented)? {
            Place::Header(text) => header_claim(presented, &text)?,
            Place::Query => self.query_claim(presented)?,
        };
        self.check_scope(&claim)?;
        check_signed_headers(presented, &claim)?;
        if !claim.presigned {
            self.check_skew(claim.date.seconds)?;
        }
        let changes = self.credentials.changes();
        self.keys.follow(changes);
        let access_key = claim.scope.access_key.clone();
        let Some(credential) = self.credentials.look_up(&access_key) else {
            return Err(self.refuse_unknown_key(presented, &claim));
        };
        let scope_key = self.keys.key(&credential.secret_key, &claim.scope);
        let key = SigningKey::new(scope_key.key.clone(), &claim.scope, &claim.date);
        check_signature(presented, &claim, &key)?;
        self.keys
            .keep(&scope_key, &credential.secret_key, &claim.scope, changes);
        let payload = payload_of(&claim, &key)?;
        let caller = Caller {
            account: credential.account,
            access_key,
        };
        Ok(Authenticated { caller, payload })
    }

    /// Does for an access key we do not know what is done for one we know, and refuses it whatever
    /// comes out.
    fn refuse_unknown_key(&self, presented: &Presented<'_>, claim: &Claim) -> FrontError {
        let key = SigningKey::new(self.keys.decoy(&claim.scope), &claim.scope, &claim.date);
        let _ = check_signature(presented, claim, &key);
        unknown_key(&claim.scope.access_key)
    }

    fn query_claim(&self, presented: &Presented<'_>) -> Result<Claim> {
        let [
            algorithm,
            credential,
            date,
            expires,
            signed_headers,
            signature,
        ] = query_auth_values(presented.target)?;
        if algorithm != ALGORITHM {
            return Err(query_error(
                "X-Amz-Algorithm only supports AWS4-HMAC-SHA256",
            ));
        }
        let date = AmzDate::parse(date)
            .ok_or_else(|| query_error("X-Amz-Date must be in the form yyyyMMdd'T'HHmmss'Z'"))?;
        self.check_expiry(&date, expires)?;
        let scope =
            Scope::parse(credential).ok_or_else(|| query_error("X-Amz-Credential is malformed"))?;
        Ok(Claim {
            scope,
            date,
            signed_headers: parse_signed_headers(signed_headers)
                .ok_or_else(|| query_error("X-Amz-SignedHeaders is malformed"))?,
            signature: Signature::parse(signature).ok_or_else(does_not_match)?,
            payload_hash: presigned_payload_hash(presented)?,
            presigned: true,
        })
    }

    fn check_expiry(&self, date: &AmzDate, expires: &str) -> Result<()> {
        let valid = !expires.is_empty() && expires.bytes().all(|byte| byte.is_ascii_digit());
        let seconds: i64 = if valid {
            expires.parse().unwrap_or(i64::MAX)
        } else {
            return Err(query_error("X-Amz-Expires should be a number"));
        };
        if !(1..=PRESIGNED_EXPIRY_SECONDS_MAX).contains(&seconds) {
            return Err(query_error(
                "X-Amz-Expires must be between one second and one week (604800)",
            ));
        }
        let now = self.now_seconds();
        if date.seconds > now + CLOCK_SKEW_SECONDS_MAX {
            return Err(FrontError::denied("request is not valid yet"));
        }
        if now > date.seconds + seconds {
            return Err(FrontError::denied("request has expired")
                .with("X-Amz-Expires", seconds.to_string()));
        }
        Ok(())
    }

    fn check_skew(&self, date_seconds: i64) -> Result<()> {
        let now = self.now_seconds();
        if (now - date_seconds).abs() <= CLOCK_SKEW_SECONDS_MAX {
            return Ok(());
        }
        Err(FrontError::forbidden(
            "RequestTimeTooSkewed",
            "the difference between the request time and the current time is too large",
        )
        .with(
            "MaxAllowedSkewMilliseconds",
            (CLOCK_SKEW_SECONDS_MAX * 1000).to_string(),
        ))
    }

    fn check_scope(&self, claim: &Claim) -> Result<()> {
        let malformed = |message: String| {
            if claim.presigned {
                query_error(message)
            } else {
                FrontError::bad_request("AuthorizationHeaderMalformed", message)
            }
        };
        if claim.scope.service != "s3" {
            return Err(malformed(
                "the service in the credential scope must be s3".into(),
            ));
        }
        if claim.scope.region != self.region {
            return Err(malformed(format!(
                "the region in the credential scope is wrong; expecting '{}'",
                self.region
            ))
            .with("Region", self.region));
        }
        if claim.scope.day != claim.date.day() {
            return Err(malformed(
                "the day in the credential scope is not that of the date".into(),
            ));
        }
        Ok(())
    }

    fn now_seconds(&self) -> i64 {
        i64::try_from(self.now.seconds()).unwrap_or(i64::MAX / 2)
    }
}

enum Place {
    Header(String),
    Query,
}

fn find(presented: &Presented<'_>) -> Result<Place> {
    let target = presented.target;
    let in_query = QUERY_AUTH_PARAMETERS.iter().any(|name| target.has(name));
    let mut headers = presented
        .headers
        .get_all(http::header::AUTHORIZATION)
        .iter();
    let header = headers.next();
    let twice = headers.next().is_some() || (header.is_some() && in_query);
    if twice {
        return Err(FrontError::invalid_argument(
            "Authorization",
            "",
            "only one authentication mechanism is allowed",
        ));
    }
    if presented.headers.contains_key("x-amz-security-token") || target.has("X-Amz-Security-Token")
    {
        return Err(FrontError::bad_request(
            "InvalidToken",
            "the provided token is malformed or otherwise invalid",
        ));
    }
    if target.has("AWSAccessKeyId") || target.has("Signature") {
        return Err(old_signature());
    }
    let Some(header) = header else {
        return if in_query {
            Ok(Place::Query)
        } else {
            Err(FrontError::denied(
                "access denied: the request is not signed",
            ))
        };
    };
    let text = header.to_str().map_err(|_| header_malformed())?;
    if text.starts_with("AWS ") {
        return Err(old_signature());
    }
    let rest = text.strip_prefix(ALGORITHM).ok_or_else(|| {
        FrontError::invalid_argument("Authorization", "", "unsupported authorization type")
    })?;
    match rest.strip_prefix(' ') {
        Some(rest) => Ok(Place::Header(rest.to_owned())),
        None => Err(header_malformed()),
    }
}

fn header_claim(presented: &Presented<'_>, text: &str) -> Result<Claim> {
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for field in text.split(',') {
        let (name, value) = field.trim().split_once('=').ok_or_else(header_malformed)?;
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => return Err(header_malformed()),
        };
        if slot.replace(value).is_some() {
            return Err(header_malformed());
        }
    }
    let scope = credential
        .and_then(Scope::parse)
        .ok_or_else(header_malformed)?;
    let signed_headers = signed_headers
        .and_then(parse_signed_headers)
        .ok_or_else(header_malformed)?;
    let signature = signature.ok_or_else(header_malformed)?;
    let date = match single_header(presented.headers, "x-amz-date")? {
        Some(text) => AmzDate::parse(text),
        None => single_header(presented.headers, "date")?.and_then(AmzDate::parse_date_header),
    }
    .ok_or_else(|| FrontError::denied("a valid x-amz-date or Date header is required"))?;
    let payload_hash =
        single_header(presented.headers, "x-amz-content-sha256")?.ok_or_else(|| {
            FrontError::invalid_request("missing required header: x-amz-content-sha256")
        })?;
    Ok(Claim {
        scope,
        date,
        signed_headers,
        signature: Signature::parse(signature).ok_or_else(does_not_match)?,
        payload_hash: payload_hash.to_owned(),
        presigned: false,
    })
}

/// What a presigned request says of its body: nothing, unless a signed header or parameter does.
fn presigned_payload_hash(presented: &Presented<'_>) -> Result<String> {
    let header = single_header(presented.headers, "x-amz-content-sha256")?;
    let hash = header.or_else(|| presented.target.parameter("X-Amz-Content-Sha256"));
    Ok(hash.unwrap_or(UNSIGNED).to_owned())
}

fn query_auth_values(target: &Target) -> Result<[&str; 6]> {
    let mut values = [""; 6];
    for (slot, name) in values.iter_mut().zip(QUERY_AUTH_PARAMETERS) {
        let mut found = target.query.iter().filter(|(other, _)| other == name);
        let value = found.next();
        match (value, found.next()) {
            (Some((_, value)), None) => *slot = value,
            _ => {
                return Err(query_error(format!(
                    "query-string authentication requires {name} exactly once"
                )));
            }
        }
    }
    Ok(values)
}

/// The names of a `SignedHeaders` list: lower case, sorted, no name twice.
fn parse_signed_headers(text: &str) -> Option<Vec<String>> {
    let names: Vec<String> = text.split(';').map(str::to_owned).collect();
    let lower = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b':';
    let well_formed = |name: &String| !name.is_empty() && name.bytes().all(lower);
    let sorted = names.windows(2).all(|pair| pair[0] < pair[1]);
    let fits = names.len() <= SIGNED_HEADERS_MAX && names.iter().all(well_formed) && sorted;
    fits.then_some(names)
}

/// `Host` and every `x-amz-*` header must be signed, and every signed header must be there.
fn check_signed_headers(presented: &Presented<'_>, claim: &Claim) -> Result<()> {
    let is_signed = |name: &str| claim.signed_headers.iter().any(|signed| signed == name);
    let unsigned = presented
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .find(|name| name.starts_with("x-amz-") && !is_signed(name));
    if let Some(name) = unsigned.filter(|_| !planted("front-unsigned-header-accepted")) {
        return Err(not_signed(name));
    }
    if !is_signed("host") {
        return Err(not_signed("host"));
    }
    let present = |name: &String| name == "host" || presented.headers.contains_key(name.as_str());
    if !claim.signed_headers.iter().all(present) {
        return Err(does_not_match());
    }
    Ok(())
}

fn check_signature(presented: &Presented<'_>, claim: &Claim, key: &SigningKey) -> Result<()> {
    let canonical = Canonical {
        method: presented.method,
        target: presented.target,
        headers: presented.headers,
        host: presented.host,
        signed_headers: &claim.signed_headers,
        payload_hash: &claim.payload_hash,
        query_without: claim.presigned.then_some("X-Amz-Signature"),
    };
    let matches = canonical
        .texts()
        .iter()
        .any(|text| key.verifies_request(text, claim.signature));
    if matches {
        Ok(())
    } else {
        Err(does_not_match())
    }
}

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

fn payload_of(claim: &Claim, key: &SigningKey) -> Result<Payload> {
    let signed = || {
        Some(Box::new(ChunkSigning {
            key: key.clone(),
            previous: claim.signature,
        }))
    };
    let payload = match claim.payload_hash.as_str() {
        UNSIGNED => Payload::Unsigned,
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Payload::Chunked {
            signed: None,
            trailers: true,
        },
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Payload::Chunked {
            signed: signed(),
            trailers: false,
        },
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Payload::Chunked {
            signed: signed(),
            trailers: true,
        },
        text => {
            let mut bytes = [0; 32];
            hex::decode_to_slice(text, &mut bytes).map_err(|_| {
                FrontError::invalid_argument(
                    "x-amz-content-sha256",
                    text,
                    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING- value or a valid \
                     SHA-256",
                )
            })?;
            Payload::Sha256(bytes)
        }
    };
    if claim.presigned && matches!(payload, Payload::Chunked { .. }) {
        let message = "a presigned request cannot have an aws-chunked body";
        return Err(FrontError::invalid_argument(
            "x-amz-content-sha256",
            claim.payload_hash.as_str(),
            message,
        ));
    }
    Ok(payload)
}

/// The value of a header that may be given once.
fn single_header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(FrontError::invalid_argument(
            name,
            "",
            "the header is given twice",
        ));
    }
    value
        .map(|value| value.to_str())
        .transpose()
        .map_err(|_| FrontError::invalid_argument(name, "", "the header is not text"))
}

fn header_malformed() -> FrontError {
    FrontError::bad_request(
        "AuthorizationHeaderMalformed",
        "the authorization header is malformed",
    )
}

fn query_error(message: impl Into<String>) -> FrontError {
    FrontError::bad_request("AuthorizationQueryParametersError", message)
}

fn old_signature() -> FrontError {
    FrontError::invalid_request(
        "signature version 2 is not supported, please use AWS4-HMAC-SHA256 (in many clients the \
         signature version s3v4)",
    )
}

fn unknown_key(access_key: &str) -> FrontError {
    FrontError::forbidden(
        "InvalidAccessKeyId",
        "the access key id you provided does not exist in our records",
    )
    .with("AWSAccessKeyId", access_key)
}

pub(crate) fn not_signed(name: &str) -> FrontError {
    FrontError::denied("there were headers present in the request which were not signed")
        .with("HeadersNotSigned", name)
}

fn does_not_match() -> FrontError {
    FrontError::forbidden(
        "SignatureDoesNotMatch",
        "the request signature we calculated does not match the signature you provided",
    )
}
