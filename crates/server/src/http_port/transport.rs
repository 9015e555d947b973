//! What carries a connection's bytes: TCP, or TLS over it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use strongroom_base::tasks;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::count_stream::CountStream;

/// How long a client may take for its handshake: some round trips on the worst of links.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// The connection's bytes, in the clear.
pub enum Transport {
    Plain(CountStream),
    Tls(Box<TlsStream<CountStream>>),
}

/// What a handshake agreed on, as OpenSSL and the access log name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFacts {
    pub version: &'static str,
    pub cipher: String,
}

impl Transport {
    /// Takes a connection over, with a handshake when `tls` is given.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn accept(
        stream: CountStream,
        tls: Option<Arc<ServerConfig>>,
    ) -> io::Result<(Self, Option<TlsFacts>)> {
        let Some(config) = tls else {
            return Ok((Self::Plain(stream), None));
        };
        let accepting = TlsAcceptor::from(config).accept(stream);
        let stream = tasks::timeout(HANDSHAKE_DEADLINE, accepting)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let facts = facts(stream.get_ref().1);
        Ok((Self::Tls(Box::new(stream)), Some(facts)))
    }
}

fn facts(connection: &rustls::ServerConnection) -> TlsFacts {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "-",
    };
    let suite = connection.negotiated_cipher_suite();
    let name = suite.map_or_else(String::new, |suite| format!("{:?}", suite.suite()));
    TlsFacts {
        version,
        cipher: name.replacen("TLS13_", "TLS_", 1),
    }
}

macro_rules! either {
    ($this:expr, $stream:ident => $call:expr) => {
        match &mut *$this {
            Transport::Plain($stream) => $call,
            Transport::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
