//! aws-chunked: content in chunks, each signed or not, with trailers after the last.
//!
//! ```text
//! 10000;chunk-signature=<64 hex>\r\n <65536 bytes> \r\n
//! 0;chunk-signature=<64 hex>\r\n
//! x-amz-checksum-crc32c:<base64>\r\n
//! x-amz-trailer-signature:<64 hex>\r\n
//! \r\n
//! ```
//!
//! A decoder that trusts the chunks it has seen makes a cut connection look like a short object. This
//! one is done only when the terminal chunk, the trailers and their signature have been read and the
//! bytes are as many as were declared.
//!
//! Invariants
//! - Memory does not depend on the size of a chunk: content goes through as it comes, hashed on the
//!   way, and the signature is checked when the chunk ends.
//! - Nothing may follow the end, and [`Decoder::finish`] fails before it.

use aws_lc_rs::digest;
use bytes::{Buf, Bytes};
use strongroom_base::planted;

use crate::auth::signing::{ChunkSigning, SHA256_OF_NOTHING, Signature};
use crate::error::{FrontError, Result};

/// Longest chunk header or trailer line. A header has a size of at most 16 digits and a signature
/// of 64; a trailer a name of 24 characters and a value of at most 88.
const LINE_SIZE_BYTES_MAX: usize = 1024;
/// Most trailers of one body: one checksum and a signature, and room for another checksum.
const TRAILERS_MAX: usize = 4;

/// What the request said about its chunks.
pub struct Expected {
    /// `x-amz-decoded-content-length`.
    pub size: u64,
    /// The names `x-amz-trailer` announced, in lower case.
    pub trailers: Vec<String>,
    /// The payload is one that has trailers.
    pub trailers_allowed: bool,
    pub signed: Option<Box<ChunkSigning>>,
}

/// Reads one body.
pub struct Decoder {
    state: State,
    line: Vec<u8>,
    received: u64,
    expected: Expected,
    trailers: Vec<(String, String)>,
    trailer_signature: Option<Signature>,
    /// Of the chunk being read, when chunks are signed.
    hash: Option<digest::Context>,
    chunk_signature: Option<Signature>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Header,
    Content { remaining: u64 },
    ContentEnd,
    Trailers,
    Done,
}

impl Decoder {
    /// A decoder at the start of a body.
    #[must_use]
    pub fn new(expected: Expected) -> Self {
        Self {
            state: State::Header,
            line: Vec::new(),
            received: 0,
            expected,
            trailers: Vec::new(),
            trailer_signature: None,
            hash: None,
            chunk_signature: None,
        }
    }

    /// Takes what it can from `input` and gives back the content that was in it, if any. To be
    /// called until `input` is empty.
    ///
    /// # Errors
    /// `InvalidRequest` for a malformed chunk, `IncompleteBody` for more bytes than declared,
    /// `SignatureDoesNotMatch`, `MalformedTrailerError`.
    pub fn feed(&mut self, input: &mut Bytes) -> Result<Option<Bytes>> {
        while !input.is_empty() {
            match self.state {
                State::Content { remaining } => return Ok(Some(self.content(input, remaining))),
                State::Done => return Err(malformed("bytes after the end of the last chunk")),
                State::Header | State::ContentEnd | State::Trailers => {
                    if self.take_line(input)? {
                        let line = std::mem::take(&mut self.line);
                        self.line_read(&line)?;
                    }
                }
            }
        }
        Ok(None)
    }

    /// The trailers, once the body has ended.
    ///
    /// # Errors
    /// `IncompleteBody` when the end was not reached or bytes are missing.
    pub fn finish(&mut self) -> Result<Vec<(String, String)>> {
        if self.state != State::Done && !planted("front-final-chunk-not-checked") {
            return Err(FrontError::incomplete_body(
                "the body ended before its terminal chunk was complete",
            ));
        }
        if self.received != self.expected.size {
            return Err(FrontError::incomplete_body(format!(
                "received {} bytes of {} that x-amz-decoded-content-length declared",
                self.received, self.expected.size
            )));
        }
        Ok(std::mem::take(&mut self.trailers))
    }

    fn content(&mut self, input: &mut Bytes, remaining: u64) -> Bytes {
        let available = usize::try_from(remaining).unwrap_or(usize::MAX);
        let content = input.split_to(available.min(input.len()));
        if let Some(hash) = &mut self.hash {
            hash.update(&content);
        }
        let remaining = remaining - content.len() as u64;
        self.state = if remaining == 0 {
            State::ContentEnd
        } else {
            State::Content { remaining }
        };
        content
    }

    /// Collects bytes up to a line feed; whether the line (now in `self.line`) is complete.
    fn take_line(&mut self, input: &mut Bytes) -> Result<bool> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let take = end.map_or(input.len(), |index| index + 1);
        if self.line.len() + take > LINE_SIZE_BYTES_MAX {
            return Err(malformed("a chunk header or trailer is too long"));
        }
        self.line.extend_from_slice(&input[..take]);
        input.advance(take);
        Ok(end.is_some())
    }

    fn line_read(&mut self, line: &[u8]) -> Result<()> {
        let text = line
            .strip_suffix(b"\n")
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .and_then(|line| std::str::from_utf8(line).ok())
            .ok_or_else(|| malformed("a chunk header or trailer is not text"))?;
        match self.state {
            State::Header => self.header(text),
            State::ContentEnd => {
                if !text.is_empty() {
                    return Err(malformed("a chunk is longer than its size"));
                }
                self.chunk_ended()?;
                self.state = State::Header;
                Ok(())
            }
            State::Trailers if text.is_empty() => {
                self.check_trailers()?;
                self.state = State::Done;
                Ok(())
            }
            State::Trailers => self.trailer(text),
            State::Content { .. } | State::Done => Err(malformed("an unexpected line")),
        }
    }

    fn header(&mut self, text: &str) -> Result<()> {
        let (size_text, extension) = match text.split_once(';') {
            Some((size, extension)) => (size, Some(extension)),
            None => (text, None),
        };
        let digits = !size_text.is_empty() && size_text.bytes().all(|b| b.is_ascii_hexdigit());
        let size = u64::from_str_radix(size_text, 16).ok().filter(|_| digits);
        let size = size.ok_or_else(|| malformed("a chunk size is not a hexadecimal number"))?;
        self.received = self.received.saturating_add(size);
        if self.received > self.expected.size {
            return Err(FrontError::incomplete_body(format!(
                "the chunks have more than the {} bytes that x-amz-decoded-content-length declared",
                self.expected.size
            )));
        }
        let signature = extension.map(|text| {
            text.strip_prefix("chunk-signature=")
                .and_then(Signature::parse)
        });
        self.chunk_signature = match (&self.expected.signed, signature) {
            (Some(_), Some(Some(signature))) => {
                self.hash = Some(digest::Context::new(&digest::SHA256));
                Some(signature)
            }
            (Some(_), _) => return Err(chunk_does_not_match()),
            (None, None) => None,
            (None, Some(_)) => return Err(malformed("an unsigned chunk has an extension")),
        };
        if size > 0 {
            self.state = State::Content { remaining: size };
        } else {
            self.chunk_ended()?;
            self.state = State::Trailers;
        }
        Ok(())
    }

    fn chunk_ended(&mut self) -> Result<()> {
        let Some(signing) = &mut self.expected.signed else {
            return Ok(());
        };
        let hash = self.hash.take().map(digest::Context::finish);
        let hash = hash.map_or_else(|| SHA256_OF_NOTHING.to_owned(), hex::encode);
        let signature = self
            .chunk_signature
            .take()
            .ok_or_else(chunk_does_not_match)?;
        if !signing
            .key
            .verifies_chunk(signing.previous, &hash, signature)
        {
            return Err(chunk_does_not_match());
        }
        signing.previous = signature;
        Ok(())
    }

    fn trailer(&mut self, text: &str) -> Result<()> {
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| malformed_trailer("a trailer has no colon"))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if name == "x-amz-trailer-signature" && self.expected.signed.is_some() {
            let signature = Signature::parse(value).ok_or_else(chunk_does_not_match)?;
            if self.trailer_signature.replace(signature).is_some() {
                return Err(malformed_trailer("two trailer signatures"));
            }
            return Ok(());
        }
        let announced = self.expected.trailers.contains(&name);
        let again = self.trailers.iter().any(|(other, _)| *other == name);
        if !announced || again || self.trailers.len() == TRAILERS_MAX {
            return Err(malformed_trailer(
                "a trailer was not announced, or is given twice",
            ));
        }
        self.trailers.push((name, value.to_owned()));
        Ok(())
    }

    fn check_trailers(&mut self) -> Result<()> {
        if self.trailers.len() != self.expected.trailers.len() {
            return Err(malformed_trailer("an announced trailer is missing"));
        }
        let Some(signing) = &self.expected.signed else {
            return Ok(());
        };
        if !self.expected.trailers_allowed {
            let extra = self.trailer_signature.is_some();
            return if extra {
                Err(malformed_trailer("an unexpected trailer signature"))
            } else {
                Ok(())
            };
        }
        let mut text = String::new();
        for (name, value) in &self.trailers {
            text.push_str(name);
            text.push(':');
            text.push_str(value);
            text.push('\n');
        }
        let signature = self.trailer_signature.ok_or_else(chunk_does_not_match)?;
        if !signing
            .key
            .verifies_trailers(signing.previous, &text, signature)
        {
            return Err(chunk_does_not_match());
        }
        Ok(())
    }
}

fn malformed(message: &str) -> FrontError {
    FrontError::invalid_request(format!("malformed aws-chunked body: {message}"))
}

fn malformed_trailer(message: &str) -> FrontError {
    FrontError::bad_request("MalformedTrailerError", message)
}

fn chunk_does_not_match() -> FrontError {
    FrontError::forbidden(
        "SignatureDoesNotMatch",
        "the chunk or trailer signature we calculated does not match the one you provided",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder(size: u64, trailers: &[&str]) -> Decoder {
        Decoder::new(Expected {
            size,
            trailers: trailers.iter().map(|name| (*name).to_owned()).collect(),
            trailers_allowed: true,
            signed: None,
        })
    }

    /// Content, trailers, or the code of the error; the body arrives in pieces of `piece` bytes.
    fn decode(
        mut decoder: Decoder,
        body: &[u8],
        piece: usize,
    ) -> std::result::Result<Vec<u8>, String> {
        let mut content = Vec::new();
        for piece in body.chunks(piece) {
            let mut input = Bytes::copy_from_slice(piece);
            while !input.is_empty() {
                match decoder.feed(&mut input) {
                    Ok(Some(bytes)) => content.extend_from_slice(&bytes),
                    Ok(None) => {}
                    Err(error) => return Err(error.code.into_owned()),
                }
            }
        }
        match decoder.finish() {
            Ok(trailers) => {
                for (name, value) in trailers {
                    content.extend_from_slice(format!("|{name}={value}").as_bytes());
                }
                Ok(content)
            }
            Err(error) => Err(error.code.into_owned()),
        }
    }

    #[test]
    fn chunks_are_joined_however_they_arrive() {
        let body = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        for piece in 1..body.len() {
            let decoded = decode(decoder(11, &["x-amz-checksum-crc32"]), body, piece);
            assert_eq!(
                decoded.unwrap(),
                b"hello world|x-amz-checksum-crc32=AAAAAA=="
            );
        }
    }

    #[test]
    fn every_cut_of_a_body_is_incomplete() {
        let body = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        for end in 0..body.len() {
            let decoded = decode(decoder(11, &["x-amz-checksum-crc32"]), &body[..end], 7);
            assert_eq!(decoded.unwrap_err(), "IncompleteBody", "cut at {end}");
        }
    }

    #[test]
    fn a_body_that_is_not_what_was_declared_is_refused() {
        for (size, trailers, body, code) in [
            (6, &[][..], "5\r\nhello\r\n0\r\n\r\n", "IncompleteBody"),
            (4, &[], "5\r\nhello\r\n0\r\n\r\n", "IncompleteBody"),
            (5, &[], "5\r\nhello!\r\n0\r\n\r\n", "InvalidRequest"),
            (5, &[], "5\r\nhello\r\n0\r\n\r\nmore", "InvalidRequest"),
            (
                5,
                &[],
                "5;chunk-signature=00\r\nhello\r\n0\r\n\r\n",
                "InvalidRequest",
            ),
            (5, &[], "+5\r\nhello\r\n0\r\n\r\n", "InvalidRequest"),
            (5, &[], "\r\nhello\r\n0\r\n\r\n", "InvalidRequest"),
            (u64::MAX, &[], "ffffffffffffffffff\r\n", "InvalidRequest"),
            (
                5,
                &[],
                "5\r\nhello\r\n0\r\nx:1\r\n\r\n",
                "MalformedTrailerError",
            ),
            (
                5,
                &["x"],
                "5\r\nhello\r\n0\r\n\r\n",
                "MalformedTrailerError",
            ),
            (
                5,
                &["x"],
                "5\r\nhello\r\n0\r\nx:1\r\nx:1\r\n\r\n",
                "MalformedTrailerError",
            ),
        ] {
            let decoded = decode(decoder(size, trailers), body.as_bytes(), 3);
            assert_eq!(decoded.unwrap_err(), code, "{body:?}");
        }
    }

    #[test]
    fn a_header_that_never_ends_is_refused_before_it_fills_memory() {
        let decoded = decode(decoder(5, &[]), &[b'0'; 5000], 100);
        assert_eq!(decoded.unwrap_err(), "InvalidRequest");
    }
}
