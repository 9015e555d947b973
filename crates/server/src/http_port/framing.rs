//! Where a request begins and ends, read strictly.
//!
//! Two parsers that disagree on where a request ends let a client hide a second request in the body
//! of the first (request smuggling): what a proxy took for content is run here. So before a byte
//! reaches the HTTP library its framing is read by this one, which accepts the one way in which every
//! client writes it and refuses everything on which implementations differ: bare line feeds, folded
//! lines, a length given twice or beside a transfer encoding, encodings other than `chunked`, chunk
//! extensions.
//!
//! Invariants
//! - Bytes of a head are handed on only when the whole head was seen and is within its bounds.
//! - After a refusal nothing of the connection is read as a request again.

use http::{HeaderName, HeaderValue, Uri};

/// Largest head: request line and headers. S3 allows 8 KiB of headers of which 2 KiB are metadata;
/// session tokens and presigned links of other tools are longer. What all connections together may
/// hold while they send heads is this times `connections_max`.
pub const HEAD_SIZE_BYTES_MAX: usize = 64 * 1024;
/// Most headers of a request, as many as the HTTP library takes.
pub const HEADER_COUNT_MAX: usize = 100;
/// Longest size line of a chunk: sixteen hexadecimal digits count every byte there can be.
const CHUNK_SIZE_DIGITS_MAX: u32 = 16;
/// Most bytes of trailers after the last chunk: no client of S3 sends any there.
const TRAILER_SIZE_BYTES_MAX: usize = 16 * 1024;

/// Why a connection's bytes are not read as a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It is not HTTP/1, or its framing can be read in two ways.
    Malformed(&'static str),
    /// The request's target is no path and query.
    BadTarget,
    /// The head is longer than [`HEAD_SIZE_BYTES_MAX`] or has too many headers.
    HeadTooLarge,
    /// The head did not end within its deadline.
    HeadSlow,
}

impl Refusal {
    /// A word for metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::BadTarget => "target",
            Self::HeadTooLarge => "head_too_large",
            Self::HeadSlow => "head_slow",
        }
    }

    /// All words of [`Refusal::reason`].
    pub const REASONS: [&str; 4] = ["malformed", "target", "head_too_large", "head_slow"];
}

/// How the end of a request's body is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BodyFraming {
    /// So many bytes, which may be none.
    Length(u64),
    Chunked(Chunks),
}

/// A search for the end of a head in bytes that come piece by piece.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeadScan {
    /// Bytes that were looked at.
    scanned: usize,
    /// Where the line being read begins.
    line: usize,
    /// Whether the request line was seen.
    begun: bool,
}

/// What a scan found.
#[derive(PartialEq, Eq, Debug)]
pub enum Scanned {
    /// The head goes on.
    Partial,
    /// The first so many bytes are a head, with a body framed so.
    Head(usize, BodyFraming),
}

impl HeadScan {
    /// Looks at `input`, which grows from call to call until a head is found.
    ///
    /// # Errors
    /// When it can be no head.
    pub fn scan(&mut self, input: &[u8]) -> Result<Scanned, Refusal> {
        while let Some(offset) = input[self.scanned..].iter().position(|byte| *byte == b'\n') {
            let end = self.scanned + offset;
            if end == 0 || input[end - 1] != b'\r' {
                return Err(Refusal::Malformed("a line does not end in CR LF"));
            }
            let line = &input[self.line..end - 1];
            (self.scanned, self.line) = (end + 1, end + 1);
            match (line.is_empty(), self.begun) {
                (true, true) => return check_head(&input[..end + 1]),
                // Empty lines before a request are to be ignored.
                (true, false) => {}
                (false, true) => check_not_folded(line)?,
                (false, false) => {
                    check_request_line(line)?;
                    self.begun = true;
                }
            }
            if self.scanned > HEAD_SIZE_BYTES_MAX {
                return Err(Refusal::HeadTooLarge);
            }
        }
        self.scanned = input.len();
        if input.len() > HEAD_SIZE_BYTES_MAX {
            return Err(Refusal::HeadTooLarge);
        }
        // What can be no method is refused at its first byte: the handshake of another protocol.
        match input.get(self.line) {
            Some(byte) if !self.begun && !is_token(*byte) && *byte != b'\r' => {
                Err(Refusal::Malformed("the bytes are no HTTP request"))
            }
            _ => Ok(Scanned::Partial),
        }
    }
}

fn check_not_folded(line: &[u8]) -> Result<(), Refusal> {
    if line[0] == b' ' || line[0] == b'\t' {
        return Err(Refusal::Malformed("a header goes on in a second line"));
    }
    Ok(())
}

fn check_request_line(line: &[u8]) -> Result<(), Refusal> {
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some(version), None) = (method, target, version, words.next())
    else {
        return Err(Refusal::Malformed("the first line is no request line"));
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) || method == b"CONNECT" {
        return Err(Refusal::Malformed("the method is none of HTTP's"));
    }
    if version != b"HTTP/1.1" && version != b"HTTP/1.0" {
        return Err(Refusal::Malformed("the protocol is not HTTP/1.1"));
    }
    if !target.iter().all(u8::is_ascii_graphic) || Uri::try_from(target).is_err() {
        return Err(Refusal::BadTarget);
    }
    Ok(())
}

/// Reads a whole head, which ends in an empty line.
fn check_head(head: &[u8]) -> Result<Scanned, Refusal> {
    let (mut length, mut chunked) = (None, false);
    let mut header_count = 0;
    let mut lines = head.split(|byte| *byte == b'\n').map(without_cr);
    let request_line = lines.find(|line| !line.is_empty()).unwrap_or_default();
    for line in lines.filter(|line| !line.is_empty()) {
        header_count += 1;
        let malformed = Refusal::Malformed("a header is no name, colon and value");
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .ok_or(malformed)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if HeaderName::from_bytes(name).is_err() || HeaderValue::from_bytes(value).is_err() {
            return Err(malformed);
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            if length.replace(parse_length(value)?).is_some() {
                return Err(Refusal::Malformed("the length is given twice"));
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::Malformed("the transfer encoding is not `chunked`"));
            }
            chunked = true;
        }
    }
    if header_count > HEADER_COUNT_MAX {
        return Err(Refusal::HeadTooLarge);
    }
    let framing = match (length, chunked) {
        (Some(_), true) => {
            return Err(Refusal::Malformed(
                "a length and a transfer encoding are given",
            ));
        }
        (None, true) if request_line.ends_with(b"HTTP/1.0") => {
            return Err(Refusal::Malformed("HTTP/1.0 has no transfer encoding"));
        }
        (None, true) => BodyFraming::Chunked(Chunks::default()),
        (length, false) => BodyFraming::Length(length.unwrap_or(0)),
    };
    Ok(Scanned::Head(head.len(), framing))
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok())
        // The two greatest values mean other things to the HTTP library.
        .filter(|length| *length < u64::MAX - 1)
        .ok_or(Refusal::Malformed("the length is not a number"))
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// A body in chunks, read as far as is needed to know where it ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunks {
    state: ChunkState,
    /// Bytes of trailers.
    trailer_size: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ChunkState {
    /// Digits of a size, so many of them.
    Size {
        size: u64,
        digits: u32,
    },
    SizeEnd {
        size: u64,
    },
    Data {
        remaining: u64,
    },
    DataEnd {
        cr_seen: bool,
    },
    /// A line after the last chunk; an empty one ends the body.
    Trailer {
        is_empty: bool,
        cr_seen: bool,
    },
    Ended,
}

const SIZE_BEGIN: ChunkState = ChunkState::Size { size: 0, digits: 0 };

impl Default for Chunks {
    fn default() -> Self {
        Self {
            state: SIZE_BEGIN,
            trailer_size: 0,
        }
    }
}

impl Chunks {
    /// Whether the body has ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.state == ChunkState::Ended
    }

    /// How many bytes of `input` belong to the body; fewer than all only at its end.
    ///
    /// # Errors
    /// When they are no chunks.
    pub fn feed(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let mut index = 0;
        while index < input.len() && !self.is_ended() {
            if let ChunkState::Data { remaining } = &mut self.state {
                let here = (*remaining).min((input.len() - index) as u64);
                *remaining -= here;
                index += usize::try_from(here).expect("no more than the input has");
                if *remaining == 0 {
                    self.state = ChunkState::DataEnd { cr_seen: false };
                }
                continue;
            }
            self.state = self.step(input[index])?;
            index += 1;
        }
        Ok(index)
    }

    /// The state after one byte that is not content.
    fn step(&mut self, byte: u8) -> Result<ChunkState, Refusal> {
        use ChunkState as S;
        Ok(match (self.state, byte) {
            (S::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                if digits < CHUNK_SIZE_DIGITS_MAX =>
            {
                let digit = char::from(byte).to_digit(16).expect("it is a digit");
                let (size, digits) = (size << 4 | u64::from(digit), digits + 1);
                S::Size { size, digits }
            }
            (S::Size { size, digits: 1.. }, b'\r') => S::SizeEnd { size },
            (S::SizeEnd { size: 0 }, b'\n') => S::Trailer {
                is_empty: true,
                cr_seen: false,
            },
            (S::SizeEnd { size }, b'\n') => S::Data { remaining: size },
            (S::DataEnd { cr_seen: false }, b'\r') => S::DataEnd { cr_seen: true },
            (S::DataEnd { cr_seen: true }, b'\n') => SIZE_BEGIN,
            (S::Trailer { is_empty, cr_seen }, byte) => {
                self.trailer_size += 1;
                if self.trailer_size > TRAILER_SIZE_BYTES_MAX {
                    return Err(Refusal::Malformed("the trailers are too long"));
                }
                trailer_step(is_empty, cr_seen, byte)?
            }
            _ => return Err(Refusal::Malformed("the body is not in chunks")),
        })
    }
}

fn trailer_step(is_empty: bool, cr_seen: bool, byte: u8) -> Result<ChunkState, Refusal> {
    match (cr_seen, byte) {
        (true, b'\n') if is_empty => Ok(ChunkState::Ended),
        (true, b'\n') => Ok(ChunkState::Trailer {
            is_empty: true,
            cr_seen: false,
        }),
        (true, _) | (false, b'\n') => Err(Refusal::Malformed("a trailer does not end in CR LF")),
        (false, b'\r') => Ok(ChunkState::Trailer {
            is_empty,
            cr_seen: true,
        }),
        (false, _) => Ok(ChunkState::Trailer {
            is_empty: false,
            cr_seen: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> Result<Scanned, Refusal> {
        HeadScan::default().scan(text.as_bytes())
    }

    fn head(headers: &str) -> String {
        format!("PUT /b/k HTTP/1.1\r\nhost: x\r\n{headers}\r\n")
    }

    #[test]
    fn a_head_ends_at_its_empty_line_and_says_how_its_body_ends() {
        let cases = [
            ("", BodyFraming::Length(0)),
            ("Content-Length: 12\r\n", BodyFraming::Length(12)),
            (
                "Transfer-Encoding: Chunked\r\n",
                BodyFraming::Chunked(Chunks::default()),
            ),
        ];
        for (headers, framing) in cases {
            let text = head(headers);
            let whole = format!("{text}more");
            assert_eq!(scan(&whole), Ok(Scanned::Head(text.len(), framing)));
        }
        let text = "\r\n\r\nGET / HTTP/1.0\r\n\r\n";
        assert_eq!(
            scan(text),
            Ok(Scanned::Head(text.len(), BodyFraming::Length(0)))
        );
    }

    #[test]
    fn a_head_is_found_the_same_however_it_is_cut() {
        let text = head("content-length: 5\r\nx-a: b\r\n");
        let mut scan = HeadScan::default();
        for end in 1..text.len() {
            let part = &text.as_bytes()[..end];
            assert_eq!(scan.scan(part), Ok(Scanned::Partial), "{end}");
        }
        let found = Scanned::Head(text.len(), BodyFraming::Length(5));
        assert_eq!(scan.scan(text.as_bytes()), Ok(found));
    }

    #[test]
    fn attack_30_heads_that_can_be_read_in_two_ways_are_refused() {
        let headers = [
            "content-length: 3\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
            "content-length: 3\r\ncontent-length: 3\r\n",
            "content-length: 3\r\ncontent-length: 4\r\n",
            "content-length: 3, 3\r\n",
            "content-length: +3\r\n",
            "content-length: -3\r\n",
            "content-length: 0x3\r\n",
            "content-length:\r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length : 3\r\n",
            "transfer-encoding: xchunked\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked, identity\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding:\u{b}chunked\r\n",
            "x-a: b\r\n c\r\n",
            "x-a: b\r\n\tc\r\n",
            "x-a: b\ncontent-length: 3\r\n",
            "x-a: b\rcontent-length: 3\r\n",
            "x-a: \0\r\n",
            " x-a: b\r\n",
            ": b\r\n",
            "no colon\r\n",
        ];
        for headers in headers {
            let refused = matches!(scan(&head(headers)), Err(Refusal::Malformed(_)));
            assert!(refused, "{headers:?} gives {:?}", scan(&head(headers)));
        }
    }

    #[test]
    fn attack_30_what_is_not_http_1_is_refused_at_once() {
        let texts = [
            "GET /\r\n",
            "GET / HTTP/2.0\r\n",
            "PRI * HTTP/2.0\r\n",
            "GET / HTTP/1.1 \r\n",
            "GET  / HTTP/1.1\r\n",
            "GET / / HTTP/1.1\r\n",
            "GET / http/1.1\r\n",
            "G(T / HTTP/1.1\r\n",
            "CONNECT x:1 HTTP/1.1\r\n",
            "GET / HTTP/1.1\n",
            "\n",
            "\u{16}\u{3}\u{1}",
            " GET / HTTP/1.1",
        ];
        for text in texts {
            assert!(matches!(scan(text), Err(Refusal::Malformed(_))), "{text:?}");
        }
        for text in ["GET /\u{e9} HTTP/1.1\r\n", "GET /a\tb HTTP/1.1\r\n"] {
            assert_eq!(scan(text), Err(Refusal::BadTarget), "{text:?}");
        }
        assert!(scan("PUT / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn attack_31_a_head_beyond_its_bounds_is_refused_before_it_ends() {
        let long = format!("GET /{} HTTP/1.1", "a".repeat(HEAD_SIZE_BYTES_MAX));
        assert_eq!(scan(&long), Err(Refusal::HeadTooLarge));
        let line = "x-a: b\r\n";
        let many = line.repeat(HEAD_SIZE_BYTES_MAX / line.len() + 1);
        assert_eq!(
            scan(&format!("GET / HTTP/1.1\r\n{many}")),
            Err(Refusal::HeadTooLarge)
        );
        assert_eq!(
            scan(&head(&line.repeat(HEADER_COUNT_MAX))),
            Err(Refusal::HeadTooLarge)
        );
        assert!(scan(&head(&line.repeat(HEADER_COUNT_MAX - 1))).is_ok());
        let blank = "\r\n".repeat(HEAD_SIZE_BYTES_MAX);
        assert_eq!(scan(&blank), Err(Refusal::HeadTooLarge));
    }

    #[test]
    fn chunks_end_where_they_say_however_they_are_cut() {
        let body = "5\r\nhello\r\n0A\r\n0123456789\r\n0\r\nx-t: v\r\n\r\n";
        let whole = format!("{body}GET /");
        let mut chunks = Chunks::default();
        assert_eq!(chunks.feed(whole.as_bytes()), Ok(body.len()));
        assert!(chunks.is_ended());
        let mut chunks = Chunks::default();
        for byte in body.as_bytes() {
            assert!(!chunks.is_ended());
            assert_eq!(chunks.feed(&[*byte]), Ok(1));
        }
        assert!(chunks.is_ended());
    }

    #[test]
    fn attack_30_chunks_that_can_be_read_in_two_ways_are_refused() {
        let bodies = [
            "5;name=value\r\nhello\r\n",
            "5 \r\nhello\r\n",
            " 5\r\nhello\r\n",
            "5\nhello\r\n",
            "5\r\nhello\n",
            "5\r\nhelloX",
            "\r\nhello",
            "0x5\r\nhello\r\n",
            "00000000000000005\r\nhello\r\n",
            "0\r\nx: y\n\r\n",
            "0\r\n\n",
        ];
        for body in bodies {
            assert!(Chunks::default().feed(body.as_bytes()).is_err(), "{body:?}");
        }
        let endless = format!("0\r\n{}", "x: y\r\n".repeat(TRAILER_SIZE_BYTES_MAX));
        assert!(Chunks::default().feed(endless.as_bytes()).is_err());
    }
}
