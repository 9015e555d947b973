//! One connection to the server.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use strongroom_base::{Clock, tasks};
use tokio::net::TcpStream;

use crate::sign::{Signer, sha256};

/// The body of all objects of one size.
#[derive(Clone)]
pub struct Content {
    pub bytes: Bytes,
    pub sha256: Arc<str>,
}

impl Content {
    /// Bytes that do not compress, the same in each run.
    pub fn new(size: usize) -> Self {
        let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
        let words = (0..size.div_ceil(8)).flat_map(|_| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        let mut bytes: Vec<u8> = words.collect();
        bytes.truncate(size);
        Self {
            sha256: sha256(&bytes).into(),
            bytes: bytes.into(),
        }
    }
}

/// What connections share.
#[derive(Clone)]
pub struct Target {
    pub address: String,
    pub bucket: String,
    pub signer: Signer,
    pub clock: Arc<dyn Clock>,
}

/// A connection that is used for one request after another.
pub struct Client {
    target: Target,
    sender: SendRequest<Full<Bytes>>,
    empty: Content,
}

impl Client {
    /// Connects.
    pub async fn connect(target: &Target) -> Result<Self> {
        let sender = connect(&target.address).await?;
        Ok(Self {
            target: target.clone(),
            sender,
            empty: Content::new(0),
        })
    }

    /// CreateBucket.
    pub async fn create_bucket(&mut self) -> Result<()> {
        let body = self.empty.clone();
        self.send(Method::PUT, "", &body, StatusCode::OK, None)
            .await
    }

    /// PutObject.
    pub async fn put(&mut self, key: &str, content: &Content) -> Result<()> {
        self.send(Method::PUT, key, content, StatusCode::OK, None)
            .await
    }

    /// GetObject; the bytes are compared.
    pub async fn get(&mut self, key: &str, content: &Content) -> Result<()> {
        let body = self.empty.clone();
        let expected = Some(content.bytes.clone());
        self.send(Method::GET, key, &body, StatusCode::OK, expected)
            .await
    }

    /// DeleteObject.
    pub async fn delete(&mut self, key: &str) -> Result<()> {
        let body = self.empty.clone();
        self.send(Method::DELETE, key, &body, StatusCode::NO_CONTENT, None)
            .await
    }

    async fn send(
        &mut self,
        method: Method,
        key: &str,
        body: &Content,
        status: StatusCode,
        expected: Option<Bytes>,
    ) -> Result<()> {
        let path = match key {
            "" => format!("/{}", self.target.bucket),
            key => format!("/{}/{key}", self.target.bucket),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.target.address)
            .header(CONTENT_LENGTH, body.bytes.len())
            .body(Full::new(body.bytes.clone()))?;
        let now = self.target.clock.now();
        self.target.signer.sign(&mut request, &body.sha256, now);
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let found = response.status();
        let mut body = response.into_body();
        let mut rest = expected;
        let mut refusal = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            match &mut rest {
                Some(rest) if found == status => {
                    if data.len() > rest.len() || rest.split_to(data.len()) != data {
                        bail!("{key} has other bytes than were put");
                    }
                }
                _ => refusal.extend_from_slice(&data),
            }
        }
        if found != status {
            bail!("{key}: {found}: {}", String::from_utf8_lossy(&refusal));
        }
        if rest.is_some_and(|rest| !rest.is_empty()) {
            bail!("{key} has fewer bytes than were put");
        }
        Ok(())
    }
}

/// Opens a connection and drives it.
pub async fn connect(address: &str) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tasks::spawn(async move {
        // Whoever waits for the answer sees the error.
        let _ = connection.await;
    });
    Ok(sender)
}
