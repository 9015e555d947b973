//! One connection: HTTP/1.1 as far as a load needs it.
//!
//! A general client spends more on a small request than some servers do. This one writes head and
//! small body at once, reads into one buffer and hands the body on piece by piece.

use std::io::{Error, ErrorKind};

use anyhow::{Context, Result, bail};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Read at once: large bodies should cost few calls, and the buffer should stay in the cache.
const READ_BYTES: usize = 256 * 1024;
/// Bodies up to here travel in the same write as the head.
const JOINED_BYTES_MAX: usize = 64 * 1024;
/// The longest head of an answer that is read.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A connection that is used for one request after another.
pub struct Connection {
    address: String,
    stream: TcpStream,
    input: Vec<u8>,
    /// What of `input` has been read and not used.
    from: usize,
    to: usize,
    output: Vec<u8>,
    /// The ETag of the last answer, and the body of the last one with another status than expected.
    etag: String,
    said: Vec<u8>,
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    length: Option<usize>,
    chunked: bool,
    close: bool,
}

impl Connection {
    pub async fn connect(address: &str) -> Result<Self> {
        Ok(Self {
            address: address.to_owned(),
            stream: open(address).await?,
            input: vec![0; READ_BYTES],
            from: 0,
            to: 0,
            output: Vec::new(),
            etag: String::new(),
            said: Vec::new(),
        })
    }

    /// The ETag of the last answer.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// What the last answer with another status than expected said.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said).into_owned()
    }

    /// Sends a request and reads the answer; `sink` gets the offset and the bytes of its body when it
    /// has the status that is expected.
    pub async fn exchange(
        &mut self,
        head: &str,
        body: [&[u8]; 2],
        expected: u16,
        sink: &mut (dyn FnMut(usize, &[u8]) -> Result<()> + Send),
    ) -> Result<Answer> {
        // A server that refuses a body may answer before it took all of it.
        let sent = self.send(head, body).await;
        let answer = match (self.head().await, sent) {
            (Ok(answer), _) => answer,
            (Err(_), Err(error)) => return Err(error).context("send the request"),
            (Err(error), Ok(())) => return Err(error),
        };
        if !head.starts_with("HEAD ") && answer.status != 204 {
            if answer.status == expected {
                self.body(answer, sink).await?;
            } else {
                let mut said = Vec::new();
                let keep = &mut |_, bytes: &[u8]| {
                    said.extend_from_slice(bytes);
                    Ok(())
                };
                self.body(answer, keep).await?;
                self.said = said;
            }
        }
        if answer.close {
            self.stream = open(&self.address).await?;
            (self.from, self.to) = (0, 0);
        }
        Ok(answer)
    }

    async fn send(&mut self, head: &str, body: [&[u8]; 2]) -> std::io::Result<()> {
        self.output.clear();
        self.output.extend_from_slice(head.as_bytes());
        if body[0].len() + body[1].len() <= JOINED_BYTES_MAX {
            self.output.extend_from_slice(body[0]);
            self.output.extend_from_slice(body[1]);
            return self.stream.write_all(&self.output).await;
        }
        self.stream.write_all(&self.output).await?;
        self.stream.write_all(body[0]).await?;
        self.stream.write_all(body[1]).await
    }

    async fn head(&mut self) -> Result<Answer> {
        loop {
            if let Some(end) = memmem::find(&self.input[self.from..self.to], b"\r\n\r\n") {
                let answer = parse(&self.input[self.from..self.from + end + 2], &mut self.etag)?;
                self.from += end + 4;
                return Ok(answer);
            }
            if self.to - self.from > HEAD_BYTES_MAX {
                bail!("the answer's head is longer than {HEAD_BYTES_MAX} bytes");
            }
            self.more().await?;
        }
    }

    /// Reads more behind what there is.
    async fn more(&mut self) -> Result<()> {
        if self.from > 0 {
            self.input.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        let count = self.stream.read(&mut self.input[self.to..]).await?;
        if count == 0 {
            bail!(Error::new(
                ErrorKind::UnexpectedEof,
                "the server closed the connection"
            ));
        }
        self.to += count;
        Ok(())
    }

    async fn body(
        &mut self,
        answer: Answer,
        sink: &mut (dyn FnMut(usize, &[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        if !answer.chunked {
            let length = answer
                .length
                .context("the answer does not say its length")?;
            return self.take(0, length, sink).await;
        }
        let mut offset = 0;
        loop {
            let line = self.line().await?;
            let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(size).unwrap_or("");
            let size = usize::from_str_radix(size.trim(), 16).context("the size of a chunk")?;
            self.take(offset, size, sink).await?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(());
            }
            offset += size;
            self.line().await?;
        }
    }

    /// The next line, without its end.
    async fn line(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(end) = memmem::find(&self.input[self.from..self.to], b"\r\n") {
                let line = self.input[self.from..self.from + end].to_vec();
                self.from += end + 2;
                return Ok(line);
            }
            self.more().await?;
        }
    }

    /// Hands on the next `length` bytes.
    async fn take(
        &mut self,
        mut offset: usize,
        length: usize,
        sink: &mut (dyn FnMut(usize, &[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        let end = offset + length;
        while offset < end {
            if self.from == self.to {
                self.more().await?;
            }
            let count = (self.to - self.from).min(end - offset);
            sink(offset, &self.input[self.from..self.from + count])?;
            self.from += count;
            offset += count;
        }
        Ok(())
    }
}

async fn open(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn parse(head: &[u8], etag: &mut String) -> Result<Answer> {
    let text = std::str::from_utf8(head).context("the answer's head is not text")?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1."))
        .and_then(|line| line.get(2..5)?.parse().ok())
        .context("the answer has no status")?;
    let mut answer = Answer {
        status,
        length: None,
        chunked: false,
        close: false,
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            answer.length = Some(value.parse().context("the answer's length")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            answer.chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            answer.close = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("etag") {
            etag.clear();
            etag.push_str(value);
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_base::tasks;
    use tokio::net::TcpListener;

    /// What a client makes of `answer`, sent in pieces of `step` bytes.
    async fn ask(answer: &'static [u8], step: usize) -> Result<(u16, Vec<u8>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        tasks::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut request = [0; 100];
            let _ = stream.read(&mut request).await.unwrap();
            for piece in answer.chunks(step) {
                stream.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let mut body = Vec::new();
        let mut connection = Connection::connect(&address).await?;
        let sink = &mut |offset: usize, bytes: &[u8]| {
            assert_eq!(offset, body.len());
            body.extend_from_slice(bytes);
            Ok(())
        };
        let answer = connection
            .exchange("GET / HTTP/1.1\r\n\r\n", [b"", b""], 200, sink)
            .await?;
        Ok((answer.status, body))
    }

    #[tokio::test]
    async fn bodies_with_a_length_and_in_chunks_are_read_however_they_are_cut() {
        for step in [1, 2, 7, 1000] {
            let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
            assert_eq!(ask(sized, step).await.unwrap(), (200, b"hello".to_vec()));
            let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                            2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n";
            assert_eq!(ask(chunked, step).await.unwrap(), (200, b"hello".to_vec()));
        }
    }

    #[tokio::test]
    async fn an_answer_that_ends_early_or_has_no_length_is_an_error() {
        let short = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello";
        assert!(ask(short, 100).await.is_err());
        assert!(ask(b"HTTP/1.1 200 OK\r\n\r\n", 100).await.is_err());
        assert!(ask(b"nonsense\r\n\r\n", 100).await.is_err());
    }
}
