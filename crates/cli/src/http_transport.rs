//! Requests over HTTP, plain or in TLS: one connection each.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use http::header::{AUTHORIZATION, HOST, USER_AGENT};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use strongroom_admin_api::{Method, Transport};
use strongroom_base::tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::CliError;
use crate::target::{Endpoint, Target, Trust};

/// How long a connection may take, TLS included.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long an answer may take: somewhat longer than the server itself waits for its disks, which
/// is longest for `where --verify`.
const ANSWER_DEADLINE: Duration = Duration::from_secs(16 * 60);
/// Largest answer: a page of 1000 uploads with keys of 1024 bytes fits several times.
const ANSWER_SIZE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The way to one server.
pub(crate) struct HttpTransport {
    endpoint: Endpoint,
    authorization: String,
    tls: Option<Arc<ClientConfig>>,
}

impl HttpTransport {
    /// A way to `target`. Connects at each request.
    ///
    /// # Errors
    /// When the certificates to trust can not be read.
    pub fn new(target: &Target) -> Result<Self, CliError> {
        let endpoint = target.endpoint.clone();
        let tls = match (endpoint.tls, &target.trust) {
            (true, trust) => Some(crate::tls::client_config(trust)?),
            (false, Trust::Machine) => None,
            (false, _) => {
                let message =
                    "a certificate is named and the endpoint speaks no TLS: write https://";
                return Err(CliError::Usage(message.to_owned()));
            }
        };
        let pair = format!("{}:{}", target.access_key, target.secret_key);
        Ok(Self {
            endpoint,
            authorization: format!("Basic {}", STANDARD.encode(pair)),
            tls,
        })
    }

    fn lost(&self, why: &dyn std::fmt::Display) -> CliError {
        CliError::NoAnswer(format!(
            "no answer from {} ({why}): start the server, or name its administration port with \
             --admin-address or --endpoint",
            self.endpoint
        ))
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, CliError> {
        let address = (self.endpoint.host.as_str(), self.endpoint.port);
        let stream = TcpStream::connect(address)
            .await
            .map_err(|e| self.lost(&e))?;
        let Some(config) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(self.endpoint.host.clone()).map_err(|e| self.lost(&e))?;
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name, stream).await.map_err(|error| {
            CliError::NoAnswer(format!(
                "{} does not prove who it is ({error}): name its certificate with \
                 --tls-certificate or its authority with --ca, or use http:// if it speaks no TLS",
                self.endpoint
            ))
        })?;
        Ok(Box::new(stream))
    }

    async fn exchange(
        &self,
        method: Method,
        path_and_query: &str,
    ) -> Result<(u16, Vec<u8>), CliError> {
        let late = |_| self.lost(&"it takes too long");
        let connection = tasks::timeout(CONNECT_DEADLINE, self.connect());
        let stream = TokioIo::new(connection.await.map_err(late)??);
        let handshake = hyper::client::conn::http1::handshake(stream).await;
        let (mut sender, connection) = handshake.map_err(|e| self.lost(&e))?;
        tasks::spawn(connection);
        let request = Request::builder()
            .method(method.name())
            .uri(path_and_query)
            .header(HOST, self.endpoint.authority())
            .header(
                USER_AGENT,
                concat!("strongroom/", env!("CARGO_PKG_VERSION")),
            )
            .header(AUTHORIZATION, &self.authorization)
            .body(Empty::<Bytes>::new())
            .map_err(|error| CliError::Usage(format!("this can not be asked: {error}")))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|e| self.lost(&e))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_SIZE_BYTES_MAX);
        let body = body.collect().await.map_err(|e| self.lost(&e))?;
        Ok((status, body.to_bytes().to_vec()))
    }
}

#[async_trait]
impl Transport for HttpTransport {
    type Error = CliError;

    async fn send(&self, method: Method, path_and_query: &str) -> Result<(u16, Vec<u8>), CliError> {
        let exchange = self.exchange(method, path_and_query);
        let exchanged = tasks::timeout(ANSWER_DEADLINE, exchange).await;
        exchanged.unwrap_or_else(|_| Err(self.lost(&"it takes too long")))
    }
}

/// A stream of bytes both ways.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}
