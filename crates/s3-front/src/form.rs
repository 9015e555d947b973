//! `multipart/form-data`, as far as an upload by HTML form needs it: fields, then one file.
//!
//! A form comes from a browser that holds no key, so until its signature was checked nothing in it is
//! anyone's word, and after that only what the policy covers is. The fields are kept in memory within
//! bounds; the file never is: it goes on as a stream that ends where the closing boundary begins.
//!
//! The store wants the size of content before its first byte, and a form says only how long it is as
//! a whole. So the file must be the last field, as S3 asks too, and what follows it must be the
//! closing boundary and a line end, as every browser writes it; a form whose file part is at most
//! [`WHOLE_SIZE_BYTES_MAX`] may leave that line end out.
//!
//! Invariants
//! - Before the file at most [`FIELDS_SIZE_BYTES_MAX`] bytes and [`FIELDS_MAX`] fields are read.
//! - Each field is given once. Names are in lower case.
//! - A stream that ends without error gave exactly [`Form::file_size`] bytes, and after them came the
//!   closing boundary and nothing else.

pub mod fields;
pub mod policy;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode, header};
use memchr::memmem;

use self::fields::{Fields, PartHead};
use crate::body::{Failure, RawBody};
use crate::error::{FrontError, Result};

/// Most bytes before the file: S3's 20 KB for all fields, and room for the lines around them.
pub const FIELDS_SIZE_BYTES_MAX: usize = 32 * 1024;
/// Most fields before the file: S3 knows about thirty, and metadata has 2 KB.
pub const FIELDS_MAX: usize = 128;
/// Largest rest of a form that is read whole to find its end, so that a small upload may end with or
/// without a line end. As large as a read from a connection.
pub const WHOLE_SIZE_BYTES_MAX: u64 = 64 * 1024;
/// Longest boundary, by RFC 2046.
const BOUNDARY_SIZE_BYTES_MAX: usize = 70;
/// What comes after the last boundary.
const CLOSING: &[u8] = b"--\r\n";

/// The boundary of a form, when the headers say that the body is one.
#[must_use]
pub fn boundary(headers: &HeaderMap) -> Option<Result<String>> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let found = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then_some(value)
    });
    let boundary = found.map(|text| {
        let inner = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        inner.unwrap_or(text)
    });
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    let valid = boundary.filter(|text| {
        let fits = (1..=BOUNDARY_SIZE_BYTES_MAX).contains(&text.len());
        fits && text.bytes().all(allowed) && !text.ends_with(' ')
    });
    Some(
        valid
            .map(str::to_owned)
            .ok_or_else(|| malformed("the boundary is missing or no boundary")),
    )
}

/// A form whose fields were read. The file is still to come.
pub struct Form {
    pub fields: Fields,
    /// The last part of the path that the client gave.
    pub file_name: String,
    pub file_size: u64,
    input: Input,
}

/// The bytes of a form as they come.
struct Input {
    raw: RawBody,
    buffer: BytesMut,
    /// Bytes that came in so far.
    received: u64,
    /// `\r\n--boundary`.
    delimiter: Vec<u8>,
    ended: bool,
}

impl Form {
    /// Reads the fields of a form of `size` bytes, up to where its file begins.
    ///
    /// # Errors
    /// `MalformedPOSTRequest`, `MaxPostPreDataLengthExceeded`, `InvalidArgument` for a field that is
    /// given twice or a form without file, and what reading the body gives.
    pub async fn read(raw: RawBody, boundary: &str, size: u64) -> Result<Self> {
        let mut input = Input {
            raw,
            buffer: BytesMut::new(),
            received: 0,
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            ended: false,
        };
        let mut reader = FieldReader::default();
        let file = loop {
            if let Some(file) = reader.advance(&input.buffer, &input.delimiter)? {
                break file;
            }
            if input.buffer.len() > FIELDS_SIZE_BYTES_MAX {
                return Err(fields_too_large());
            }
            if !input.more().await? {
                return Err(malformed("the form ends before its file"));
            }
        };
        let _ = input.buffer.split_to(reader.at);
        let rest = size
            .checked_sub(reader.at as u64)
            .ok_or_else(|| malformed("the form is longer than its Content-Length"))?;
        let file_size = input.file_size(rest).await?;
        Ok(Self {
            fields: reader.fields,
            file_name: file,
            file_size,
            input,
        })
    }

    /// The file's bytes. `failure` is set before the stream gives an error.
    #[must_use]
    pub fn into_file(self, failure: Failure) -> RawBody {
        let file = FileReader {
            input: self.input,
            left: self.file_size,
            failure,
            ended: false,
        };
        Box::pin(futures::stream::unfold(file, FileReader::step).fuse())
    }
}

impl Input {
    /// Reads on; whether anything came.
    async fn more(&mut self) -> Result<bool> {
        match self.raw.next().await {
            Some(Ok(bytes)) => {
                self.received += bytes.len() as u64;
                self.buffer.extend_from_slice(&bytes);
                Ok(true)
            }
            Some(Err(error)) => Err(crate::body::unreadable(&error)),
            None => {
                self.ended = true;
                Ok(false)
            }
        }
    }

    /// How many of the `rest` bytes of the form are the file's.
    async fn file_size(&mut self, rest: u64) -> Result<u64> {
        if rest <= WHOLE_SIZE_BYTES_MAX {
            while (self.buffer.len() as u64) < rest && self.more().await? {}
            let end = memmem::find(&self.buffer, &self.delimiter);
            return end
                .map(|index| index as u64)
                .ok_or_else(|| malformed("the closing boundary is missing"));
        }
        let after = (self.delimiter.len() + CLOSING.len()) as u64;
        Ok(rest.saturating_sub(after))
    }
}

/// Finds fields in what has come so far. Nothing is looked at twice.
#[derive(Default)]
struct FieldReader {
    fields: Fields,
    /// Where what was not understood yet begins.
    at: usize,
    /// Up to where the end of it was searched.
    searched: usize,
    state: FieldState,
}

#[derive(Default)]
enum FieldState {
    #[default]
    Start,
    Head,
    Value(PartHead),
}

impl FieldReader {
    /// The file's name once its part begins, at `self.at`.
    fn advance(&mut self, buffer: &[u8], delimiter: &[u8]) -> Result<Option<String>> {
        loop {
            if self.at > FIELDS_SIZE_BYTES_MAX {
                return Err(fields_too_large());
            }
            match std::mem::take(&mut self.state) {
                FieldState::Start => {
                    // The line end before the first boundary is there only after a preamble.
                    let first = &delimiter[2..];
                    let start = usize::from(buffer.starts_with(b"\r\n")) * 2;
                    let needed = start + first.len() + 2;
                    if buffer.len() < needed {
                        return Ok(None);
                    }
                    if !buffer[start..].starts_with(first) || &buffer[needed - 2..needed] != b"\r\n"
                    {
                        return Err(malformed("the form does not begin with its boundary"));
                    }
                    self.enter(FieldState::Head, needed);
                }
                FieldState::Head => {
                    let Some(end) = self.find(buffer, b"\r\n\r\n") else {
                        return Ok(None);
                    };
                    let head = PartHead::parse(&buffer[self.at..end])?;
                    self.enter(FieldState::Start, end + 4);
                    if head.name == "file" {
                        return Ok(Some(head.file_name()));
                    }
                    self.state = FieldState::Value(head);
                }
                FieldState::Value(head) => {
                    let end = self
                        .find(buffer, delimiter)
                        .filter(|end| buffer.len() >= end + delimiter.len() + 2);
                    let Some(end) = end else {
                        self.state = FieldState::Value(head);
                        return Ok(None);
                    };
                    let after = end + delimiter.len();
                    self.fields.add(head, &buffer[self.at..end], FIELDS_MAX)?;
                    match &buffer[after..after + 2] {
                        b"\r\n" => self.enter(FieldState::Head, after + 2),
                        b"--" => return Err(no_file()),
                        _ => return Err(malformed("a boundary is followed by other bytes")),
                    }
                }
            }
        }
    }

    fn enter(&mut self, state: FieldState, at: usize) {
        self.state = state;
        self.at = at;
        self.searched = at;
    }

    /// Where `needle` is, at or after `self.at`. The state is put back when it is not there yet.
    fn find(&mut self, buffer: &[u8], needle: &[u8]) -> Option<usize> {
        let found = memmem::find(&buffer[self.searched..], needle);
        let found = found.map(|index| self.searched + index);
        if found.is_none() {
            let overlap = needle.len() - 1;
            self.searched = self.searched.max(buffer.len().saturating_sub(overlap));
            self.state = FieldState::Head;
        }
        found.inspect(|index| self.searched = *index)
    }
}

/// Gives the file's bytes, and fails when the form does not end after them.
struct FileReader {
    input: Input,
    left: u64,
    failure: Failure,
    ended: bool,
}

impl FileReader {
    async fn step(mut self) -> Option<(std::io::Result<Bytes>, Self)> {
        if self.ended {
            return None;
        }
        let item = match self.next_piece().await {
            Ok(Some(piece)) => Ok(piece),
            Ok(None) => return None,
            Err(error) => {
                self.ended = true;
                let text = error.message.clone();
                self.failure.set(error);
                Err(std::io::Error::other(text))
            }
        };
        Some((item, self))
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>> {
        loop {
            let input = &mut self.input;
            let end = memmem::find(&input.buffer, &input.delimiter);
            // Without a delimiter, its beginning may be what the buffer ends with.
            let overlap = input.delimiter.len() - 1;
            let ready = end.unwrap_or_else(|| input.buffer.len().saturating_sub(overlap));
            if ready > 0 {
                let piece = input.buffer.split_to(ready).freeze();
                let left = self.left.checked_sub(piece.len() as u64);
                self.left = left.ok_or_else(wrong_end)?;
                return Ok(Some(piece));
            }
            if end.is_some() {
                self.see_end().await?;
                self.ended = true;
                return Ok(None);
            }
            if !input.more().await? {
                return Err(malformed("the closing boundary is missing"));
            }
        }
    }

    /// Checks what comes from the boundary after the file on.
    async fn see_end(&mut self) -> Result<()> {
        let longest = self.input.delimiter.len() + CLOSING.len();
        while self.input.buffer.len() <= longest && self.input.more().await? {}
        let rest = &self.input.buffer[self.input.delimiter.len()..];
        if rest.starts_with(b"\r\n") {
            return Err(malformed("the file must be the last field of the form"));
        }
        let closed = self.input.ended && (rest == CLOSING || rest == b"--");
        if closed && self.left == 0 {
            Ok(())
        } else {
            Err(wrong_end())
        }
    }
}

fn wrong_end() -> FrontError {
    malformed("after the file, the form must end with its closing boundary and a line end")
}

pub(crate) fn malformed(message: &str) -> FrontError {
    FrontError::bad_request(
        "MalformedPOSTRequest",
        format!("the body of your POST request is not well-formed multipart/form-data: {message}"),
    )
}

fn fields_too_large() -> FrontError {
    FrontError::bad_request(
        "MaxPostPreDataLengthExceeded",
        "your POST request fields preceding the upload file were too large",
    )
}

fn no_file() -> FrontError {
    FrontError::new(
        StatusCode::BAD_REQUEST,
        "InvalidArgument",
        "POST requires exactly one file upload per request",
    )
    .with("ArgumentName", "file")
}

#[cfg(test)]
mod tests;
