//! The operations on one connection, each checked: a wrong answer ends the run.

use anyhow::{Context, Result, bail};
use memchr::memmem;
use std::time::Duration;
use strongroom_base::tasks;

use crate::phase::{Kind, Phase};
use crate::wire::{Answer, Connection};
use strongroom_load::bodies::{Body, mix};
use strongroom_load::sign::{EMPTY, Head, Signing, escape};

/// Keys of a page.
const PAGE_KEYS: u64 = 1000;
/// Parts of a multipart upload.
pub const PARTS: u64 = 4;
/// How long after 503 the same request is sent again.
const REFUSED_WAIT: Duration = Duration::from_millis(20);
/// Times a request is sent before a server that says 503 is taken at its word.
const TRIES_MAX: u64 = 500;

/// A connection that is used for one operation after another.
pub struct Client {
    connection: Connection,
    head: String,
    path: String,
    body: Vec<u8>,
    refused: u64,
}

impl Client {
    pub async fn connect(phase: &Phase) -> Result<Self> {
        Self::open(&phase.address).await
    }

    async fn open(address: &str) -> Result<Self> {
        Ok(Self {
            connection: Connection::connect(address).await?,
            head: String::new(),
            path: String::new(),
            body: Vec::new(),
            refused: 0,
        })
    }

    /// CreateBucket.
    pub async fn create_bucket(address: &str, signing: &Signing, bucket: &str) -> Result<()> {
        let mut client = Self::open(address).await?;
        client.path = format!("/{bucket}");
        client.collect(signing, "PUT", "", b"", 200).await
    }

    /// One operation on the object with this number. Answers how often it was refused before.
    pub async fn run(&mut self, phase: &Phase, number: u64) -> Result<u64> {
        self.refused = 0;
        match phase.kind {
            Kind::Put => self.put(phase, number).await,
            Kind::Get => self.get(phase, any(phase, number)).await,
            Kind::Head => self.head(phase, any(phase, number)).await,
            Kind::List => self.list(phase, number).await,
            Kind::Delete => self.delete(phase, number).await,
            Kind::Multipart => self.multipart(phase, number).await,
        }
        .with_context(|| format!("{:?} of object {number}", phase.kind))?;
        Ok(self.refused)
    }

    async fn put(&mut self, phase: &Phase, number: u64) -> Result<()> {
        self.key(phase, number);
        self.send_body(&phase.signing, "", &phase.bodies.body(number))
            .await
    }

    async fn get(&mut self, phase: &Phase, number: u64) -> Result<()> {
        self.key(phase, number);
        let body = phase.bodies.body(number);
        let mut end = 0;
        let mut right = true;
        let mut sink = |offset: usize, bytes: &[u8]| {
            right = right && body.has_at(offset, bytes);
            end = offset + bytes.len();
            Ok(())
        };
        self.ask(&phase.signing, "GET", "", 200, &mut sink).await?;
        if !right || end != body.size() {
            bail!("the server answers wrong bytes for {}", self.path);
        }
        Ok(())
    }

    async fn head(&mut self, phase: &Phase, number: u64) -> Result<()> {
        self.key(phase, number);
        self.ask(&phase.signing, "HEAD", "", 200, &mut |_, _| Ok(()))
            .await
    }

    async fn delete(&mut self, phase: &Phase, number: u64) -> Result<()> {
        self.key(phase, number);
        self.ask(&phase.signing, "DELETE", "", 204, &mut |_, _| Ok(()))
            .await
    }

    /// One page that begins somewhere among the objects.
    async fn list(&mut self, phase: &Phase, number: u64) -> Result<()> {
        let (first, count) = (phase.range.first, phase.range.next - phase.range.first);
        let skip = draw(number) % count.saturating_sub(PAGE_KEYS).max(1);
        let after = format!("{}{:012}", prefix(phase), first + skip);
        let query = format!(
            "list-type=2&max-keys={PAGE_KEYS}&prefix={}&start-after={}",
            escape(&prefix(phase)),
            escape(&after)
        );
        self.path.clear();
        self.path.push('/');
        self.path.push_str(&phase.bucket);
        self.collect(&phase.signing, "GET", &query, b"", 200)
            .await?;
        let keys = memmem::find_iter(&self.body, b"<Key>").count() as u64;
        let expected = PAGE_KEYS.min(count - skip - 1);
        if keys != expected {
            bail!("a page has {keys} keys and not {expected}");
        }
        Ok(())
    }

    async fn multipart(&mut self, phase: &Phase, number: u64) -> Result<()> {
        let signing = &phase.signing;
        self.key(phase, number);
        self.collect(signing, "POST", "uploads=", b"", 200).await?;
        let answer = String::from_utf8_lossy(&self.body).into_owned();
        let upload = element(&answer, "UploadId").context("the answer has no upload id")?;
        let upload = escape(upload);
        let mut list = String::from("<CompleteMultipartUpload>");
        for part in 1..=PARTS {
            let query = format!("partNumber={part}&uploadId={upload}");
            let body = phase.bodies.body(number * PARTS + part);
            self.send_body(signing, &query, &body).await?;
            let etag = self.connection.etag().to_owned();
            list += &format!("<Part><PartNumber>{part}</PartNumber><ETag>{etag}</ETag></Part>");
        }
        list += "</CompleteMultipartUpload>";
        let query = format!("uploadId={upload}");
        self.collect(signing, "POST", &query, list.as_bytes(), 200)
            .await?;
        if memmem::find(&self.body, b"<Error>").is_some() {
            bail!("{}", String::from_utf8_lossy(&self.body));
        }
        Ok(())
    }

    /// Sets the path to that of the object.
    fn key(&mut self, phase: &Phase, number: u64) {
        use std::fmt::Write as _;
        self.path.clear();
        write!(self.path, "/{}/{}{number:012}", phase.bucket, prefix(phase))
            .expect("text can be written to");
    }

    /// PUT of a body.
    async fn send_body(&mut self, signing: &Signing, query: &str, body: &Body<'_>) -> Result<()> {
        let hash = body.sha256();
        let head = Head {
            method: "PUT",
            path: &self.path,
            query,
            payload: std::str::from_utf8(&hash).expect("digits are text"),
            size: body.size(),
        };
        signing.write(head, &mut self.head);
        self.exchange([body.piece, body.tail()], 200, &mut |_, _| Ok(()))
            .await
    }

    /// A request without a body.
    async fn ask(
        &mut self,
        signing: &Signing,
        method: &str,
        query: &str,
        status: u16,
        sink: &mut (dyn FnMut(usize, &[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        let (path, payload) = (&self.path, EMPTY);
        let head = Head {
            method,
            path,
            query,
            payload,
            size: 0,
        };
        signing.write(head, &mut self.head);
        self.exchange([b"", b""], status, sink).await
    }

    /// A request with a body of text, whose answer is kept in `self.body`.
    async fn collect(
        &mut self,
        signing: &Signing,
        method: &str,
        query: &str,
        text: &[u8],
        status: u16,
    ) -> Result<()> {
        let hash = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text));
        let (path, payload) = (&self.path, hash.as_str());
        let head = Head {
            method,
            path,
            query,
            payload,
            size: text.len(),
        };
        signing.write(head, &mut self.head);
        let mut body = std::mem::take(&mut self.body);
        let sink = &mut |offset: usize, bytes: &[u8]| {
            body.truncate(offset);
            body.extend_from_slice(bytes);
            Ok(())
        };
        self.exchange([text, b""], status, sink).await?;
        self.body = body;
        Ok(())
    }

    /// Sends what `self.head` and `body` hold until it is not refused; fails on another status.
    async fn exchange(
        &mut self,
        body: [&[u8]; 2],
        status: u16,
        sink: &mut (dyn FnMut(usize, &[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let answer: Answer = self
                .connection
                .exchange(&self.head, body, status, sink)
                .await?;
            if answer.status == status {
                return Ok(());
            }
            if answer.status != 503 {
                let said = self.connection.said();
                bail!("the server answers {}: {said}", answer.status);
            }
            self.refused += 1;
            tasks::sleep(REFUSED_WAIT).await;
        }
        bail!("the server answers 503 for ever")
    }
}

/// What the keys of a phase begin with: sizes do not mix in a page.
fn prefix(phase: &Phase) -> String {
    let kind = if phase.kind == Kind::Multipart {
        'm'
    } else {
        'o'
    };
    format!("{kind}/{}/", phase.bodies.size())
}

/// One of the objects that exist.
fn any(phase: &Phase, number: u64) -> u64 {
    let count = (phase.range.next - phase.range.first).max(1);
    phase.range.first + draw(number) % count
}

fn draw(number: u64) -> u64 {
    let mut state = number;
    mix(&mut state)
}

/// The text of the first element with this name.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}
