//! The body of a request: decoded, counted, and held to what the signature says of it.
//!
//! Operations that store bytes get a stream; all others get their (small) body whole, verified
//! before they run. The last piece of a stream is held back until the body has ended as it must, so
//! an operation that has seen every byte has seen a valid body, and one that failed has not.

pub mod chunked;
pub mod shared;

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use futures::channel::oneshot;
use futures::{Stream, StreamExt as _};
use http::{HeaderMap, StatusCode};
use strongroom_types::Checksum;

use self::chunked::{Decoder, Expected};
use crate::auth::Payload;
use crate::auth::signing::ChunkSigning;
use crate::digests::{self, Declared, DeclaredDigests};
use crate::error::{FrontError, Result};

/// Largest body that is read whole: DeleteObjects of 1000 keys of 1024 bytes, each of which may be
/// six times as long as an XML reference, and CompleteMultipartUpload of 10,000 parts with checksums.
pub const WHOLE_SIZE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Most names `x-amz-trailer` may announce.
const TRAILERS_ANNOUNCED_MAX: usize = 2;

/// A body as it comes from the connection.
pub type RawBody = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;
/// A decoded body.
pub type DecodedBody = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// What is known of a body before it is read.
#[derive(Clone)]
pub struct BodyPlan {
    /// Bytes after decoding.
    pub size: u64,
    pub digests: DeclaredDigests,
    /// Digest of the whole payload that was signed.
    pub sha256: Option<[u8; 32]>,
    chunked: Option<ChunkedPlan>,
}

#[derive(Clone)]
struct ChunkedPlan {
    trailers: Vec<String>,
    trailers_allowed: bool,
    signed: Option<Box<ChunkSigning>>,
}

impl BodyPlan {
    /// Reads the headers that describe the body.
    ///
    /// # Errors
    /// `MissingContentLength`, `InvalidRequest`, and what [`digests::declared`] says.
    pub fn new(headers: &HeaderMap, payload: &Payload) -> Result<Self> {
        let trailers = announced_trailers(headers)?;
        let coded = content_codings(headers).any(|coding| coding == "aws-chunked");
        let (sha256, chunked) = match payload {
            Payload::Unsigned => (None, None),
            Payload::Sha256(hash) => (Some(*hash), None),
            Payload::Chunked {
                signed,
                trailers: allowed,
            } => {
                let plan = ChunkedPlan {
                    trailers: trailers.clone(),
                    trailers_allowed: *allowed,
                    signed: signed.clone(),
                };
                (None, Some(plan))
            }
        };
        let allowed = chunked.as_ref().is_some_and(|plan| plan.trailers_allowed);
        if !trailers.is_empty() && !allowed {
            return Err(FrontError::invalid_request(
                "x-amz-trailer needs a payload with trailers",
            ));
        }
        // The coding alone is no framing: a body whose digest was signed is what that says. With a
        // decoded length, or nothing to hold against it, there may be framing, which would be stored
        // as content.
        let framed = sha256.is_none() || headers.contains_key("x-amz-decoded-content-length");
        if coded && framed && chunked.is_none() {
            return Err(FrontError::invalid_request(
                "an aws-chunked body needs a STREAMING- value of x-amz-content-sha256",
            ));
        }
        let size = match &chunked {
            Some(_) => {
                Some(number(headers, "x-amz-decoded-content-length")?.ok_or_else(no_length)?)
            }
            None => number(headers, "content-length")?,
        };
        let unknown = size.is_none() && headers.contains_key("transfer-encoding");
        if unknown {
            return Err(no_length());
        }
        Ok(Self {
            size: size.unwrap_or(0),
            digests: digests::declared(headers, &trailers)?,
            sha256,
            chunked,
        })
    }

    /// The decoded body as a stream, and what its end will tell. `failure` is set before the stream
    /// gives an error, so that whoever turns that into an answer knows why.
    pub fn stream(
        self,
        raw: RawBody,
        failure: Failure,
        received: Received,
    ) -> (DecodedBody, Option<Trailer>) {
        let (sender, receiver) = match self.digests.checksum {
            Declared::Trailer(_) => {
                let (sender, receiver) = oneshot::channel();
                (Some(sender), Some(receiver))
            }
            Declared::None | Declared::Value(_) => (None, None),
        };
        let reader = Reader {
            raw,
            input: Bytes::new(),
            decoder: self.chunked.map(|plan| {
                Decoder::new(Expected {
                    size: self.size,
                    trailers: plan.trailers,
                    trailers_allowed: plan.trailers_allowed,
                    signed: plan.signed,
                })
            }),
            size: self.size,
            counted: 0,
            checksum: self.digests.checksum,
            trailer: sender,
            failure,
            received,
            held: None,
            ended: false,
        };
        (
            Box::pin(futures::stream::unfold(reader, Reader::step).fuse()),
            receiver,
        )
    }

    /// Reads the body whole and verifies everything that was declared about it.
    ///
    /// # Errors
    /// `MaxMessageLengthExceeded`, `BadDigest`, `XAmzContentSHA256Mismatch`, or what is wrong with it.
    pub async fn read_whole(self, raw: RawBody, received: Received) -> Result<Bytes> {
        if self.size > WHOLE_SIZE_BYTES_MAX {
            return Err(FrontError::bad_request(
                "MaxMessageLengthExceeded",
                "your request was too big",
            ));
        }
        let (sha256, digests) = (self.sha256, self.digests);
        let size = usize::try_from(self.size).unwrap_or(0);
        let (mut stream, trailer) = self.stream(raw, Failure::default(), received);
        let mut content = BytesMut::with_capacity(size);
        while let Some(piece) = stream.next().await {
            content.extend_from_slice(&piece?);
        }
        let checksum = match (digests.checksum, trailer) {
            (Declared::Value(value), _) => Some(value),
            (_, Some(trailer)) => trailer.await.ok(),
            _ => None,
        };
        digests::verify_whole(&content, sha256, digests.md5, checksum)?;
        Ok(content.freeze())
    }
}

/// Resolves to the checksum of the trailer before the stream gives its last bytes; never when the
/// stream fails.
pub type Trailer = oneshot::Receiver<Checksum>;

/// Why a body failed, for whoever only sees that it did.
#[derive(Clone, Default)]
pub struct Failure(Arc<Mutex<Option<FrontError>>>);

impl Failure {
    pub(crate) fn set(&self, error: FrontError) {
        self.0
            .lock()
            .expect("no holder panics")
            .get_or_insert(error);
    }

    /// What it was.
    #[must_use]
    pub fn take(&self) -> Option<FrontError> {
        self.0.lock().expect("no holder panics").take()
    }
}

/// Counts the bytes that came in, framing included.
#[derive(Clone, Default)]
pub struct Received(Arc<AtomicU64>);

impl Received {
    /// So far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Reader {
    raw: RawBody,
    input: Bytes,
    decoder: Option<Decoder>,
    size: u64,
    counted: u64,
    checksum: Declared,
    trailer: Option<oneshot::Sender<Checksum>>,
    failure: Failure,
    received: Received,
    /// Decoded but not yet given out.
    held: Option<Bytes>,
    ended: bool,
}

impl Reader {
    async fn step(mut self) -> Option<(Result<Bytes>, Self)> {
        if self.ended {
            return None;
        }
        loop {
            match self.next_piece().await {
                Ok(Some(piece)) => {
                    if let Some(previous) = self.held.replace(piece) {
                        return Some((Ok(previous), self));
                    }
                }
                Ok(None) => {
                    self.ended = true;
                    return self.held.take().map(|last| (Ok(last), self));
                }
                Err(error) => {
                    self.ended = true;
                    self.failure.set(error.clone());
                    return Some((Err(error), self));
                }
            }
        }
    }

    /// The next decoded bytes, never empty; `None` once the body has ended as it must.
    async fn next_piece(&mut self) -> Result<Option<Bytes>> {
        loop {
            while !self.input.is_empty() {
                let piece = match &mut self.decoder {
                    Some(decoder) => decoder.feed(&mut self.input)?,
                    None => Some(std::mem::take(&mut self.input)),
                };
                if let Some(piece) = piece.filter(|piece| !piece.is_empty()) {
                    self.count(&piece)?;
                    return Ok(Some(piece));
                }
            }
            match self.raw.next().await {
                Some(Ok(bytes)) => {
                    self.received
                        .0
                        .fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    self.input = bytes;
                }
                Some(Err(error)) => return Err(unreadable(&error)),
                None => {
                    self.finish()?;
                    return Ok(None);
                }
            }
        }
    }

    fn count(&mut self, piece: &Bytes) -> Result<()> {
        self.counted += piece.len() as u64;
        if self.counted > self.size {
            return Err(FrontError::incomplete_body(
                "the body has more bytes than declared",
            ));
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let trailers = match &mut self.decoder {
            Some(decoder) => decoder.finish()?,
            None => Vec::new(),
        };
        if self.counted != self.size {
            return Err(FrontError::incomplete_body(format!(
                "received {} bytes of {}",
                self.counted, self.size
            )));
        }
        let Declared::Trailer(algorithm) = self.checksum else {
            return Ok(());
        };
        let name = digests::header_of(algorithm);
        let text = trailers.iter().find(|(other, _)| other == name);
        let (_, text) = text.ok_or_else(|| {
            FrontError::bad_request("MalformedTrailerError", "the checksum trailer is missing")
        })?;
        let checksum = digests::parse_trailer(algorithm, text)?;
        if let Some(sender) = self.trailer.take() {
            // A receiver that is gone does not want to know.
            let _ = sender.send(checksum);
        }
        Ok(())
    }
}

fn announced_trailers(headers: &HeaderMap) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for value in headers.get_all("x-amz-trailer") {
        let text = value.to_str().unwrap_or("");
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            names.push(name.to_ascii_lowercase());
        }
    }
    if names.len() > TRAILERS_ANNOUNCED_MAX {
        return Err(FrontError::invalid_request(
            "too many names in x-amz-trailer",
        ));
    }
    Ok(names)
}

/// The content codings, in lower case, in order.
fn content_codings(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers
        .get_all("content-encoding")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(|coding| coding.trim().to_ascii_lowercase())
        .filter(|coding| !coding.is_empty())
}

pub(crate) fn number(headers: &HeaderMap, name: &'static str) -> Result<Option<u64>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("");
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text
        .parse()
        .ok()
        .filter(|_| digits && values.next().is_none());
    number
        .map(Some)
        .ok_or_else(|| FrontError::invalid_argument(name, text, "the header must be one number"))
}

/// What an error of the connection is to the request.
pub(crate) fn unreadable(error: &std::io::Error) -> FrontError {
    if error.kind() == std::io::ErrorKind::TimedOut {
        return stalled();
    }
    tracing::debug!(%error, "the body could not be read");
    FrontError::incomplete_body("the body could not be read to its end")
}

fn stalled() -> FrontError {
    FrontError::bad_request(
        "RequestTimeout",
        "your connection to the server sent nothing of the body within the timeout period",
    )
}

pub(crate) fn no_length() -> FrontError {
    FrontError::new(
        StatusCode::LENGTH_REQUIRED,
        "MissingContentLength",
        "you must provide the length of the content",
    )
}
