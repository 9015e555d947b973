//! Closing a connection without losing the answer just sent on it.
//!
//! The kernel answers bytes that nobody will read with a reset, and a reset makes the client's kernel
//! throw away what the client had not read yet. A client that is still sending the body of a refused
//! request would see a broken connection instead of the refusal. So after such an answer our side is
//! closed first, and what comes is read and thrown away until the client closes too, within bounds.
//!
//! An answer that itself says `Connection: close` is the sign for that. Idle connections, and those
//! hyper closes in a drain, are closed at once.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{CONNECTION, HeaderMap};
use strongroom_base::tasks;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes thrown away: a part of the size that clients use by default for large uploads fits
/// several times.
pub const LINGER_SIZE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest time a connection is held for it.
pub const LINGER_WAIT_MAX: Duration = Duration::from_secs(10);
/// What is read at a time.
const DISCARD_SIZE_BYTES: usize = 16 * 1024;

/// Whether a connection shall linger: set when an answer is made, read when it is closed.
#[derive(Clone, Default)]
pub struct LingerFlag(Arc<AtomicBool>);

impl LingerFlag {
    /// Sets the flag when an answer with these headers ends its connection.
    pub fn observe(&self, headers: &HeaderMap) {
        let closes = headers
            .get(CONNECTION)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
        if closes {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// A connection that lingers when its flag is set.
pub struct LingerStream<S> {
    stream: S,
    flag: LingerFlag,
    /// Once our side is closed.
    closing: Option<Closing>,
}

struct Closing {
    time_is_up: Pin<Box<dyn Future<Output = ()> + Send>>,
    discarded: usize,
}

impl<S> LingerStream<S> {
    #[must_use]
    pub fn new(stream: S, flag: LingerFlag) -> Self {
        Self {
            stream,
            flag,
            closing: None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for LingerStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingerStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let closing = match &mut this.closing {
            Some(closing) => closing,
            None => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
                if !this.flag.0.load(Ordering::Relaxed) {
                    return Poll::Ready(Ok(()));
                }
                this.closing.insert(Closing {
                    time_is_up: Box::pin(tasks::sleep(LINGER_WAIT_MAX)),
                    discarded: 0,
                })
            }
        };
        closing.poll(&mut this.stream, cx)
    }
}

impl Closing {
    /// Ready when the client has closed, or a bound is reached.
    fn poll<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut scratch = [0; DISCARD_SIZE_BYTES];
        while self.discarded < LINGER_SIZE_BYTES_MAX
            && self.time_is_up.as_mut().poll(cx).is_pending()
        {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.discarded += buf.filled().len(),
                // The client has closed, or is gone: the answer arrived or never will.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    fn flag(set: bool) -> LingerFlag {
        let flag = LingerFlag::default();
        let mut headers = HeaderMap::new();
        if set {
            headers.insert(CONNECTION, "close".parse().unwrap());
        }
        flag.observe(&headers);
        flag
    }

    #[tokio::test]
    async fn what_the_client_still_sends_is_read_until_it_closes() {
        let (mut client, server) = duplex(1024);
        let mut server = LingerStream::new(server, flag(true));
        let closing = tasks::spawn(async move { server.shutdown().await });
        let mut end = Vec::new();
        client.read_to_end(&mut end).await.unwrap();
        client.write_all(&[7; 100_000]).await.unwrap();
        assert!(!closing.is_finished());
        drop(client);
        closing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_never_ends_is_left_at_the_bound() {
        let (mut client, server) = duplex(1024 * 1024);
        let mut server = LingerStream::new(server, flag(true));
        let closing = tasks::spawn(async move { server.shutdown().await });
        let mut sent = 0;
        let piece = vec![7; 1024 * 1024];
        while client.write_all(&piece).await.is_ok() {
            sent += piece.len();
        }
        closing.await.unwrap().unwrap();
        assert!(sent >= LINGER_SIZE_BYTES_MAX && sent <= LINGER_SIZE_BYTES_MAX + 2 * piece.len());
    }

    #[tokio::test]
    async fn a_connection_without_the_sign_is_closed_at_once() {
        let (_client, server) = duplex(1024);
        LingerStream::new(server, flag(false))
            .shutdown()
            .await
            .unwrap();
    }
}
