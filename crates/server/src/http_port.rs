//! A listening port: accept, serve HTTP/1.1, drain.
//!
//! Connections are bounded: when the limit is reached, new ones wait in the kernel's queue, which is
//! back-pressure a client understands. Draining stops accepting, lets each connection finish the
//! request it is in, closes idle ones at once, and gives up at a deadline, so that a stop ends.

mod linger;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use strongroom_base::tasks;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::count_stream::{ByteCounters, CountStream};
use linger::{LingerFlag, LingerStream};

/// An error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// Body of an answer. It may fail half-way, which cuts the connection.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// How long a client may take to send a request's head, or stay idle between requests. Longer than
/// the pools of common clients keep a connection idle would only hold descriptors.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Wait after a failed accept. The usual cause is too many open files, which passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound port.
pub struct Port {
    listener: TcpListener,
    address: SocketAddr,
    connections_max: usize,
    counters: ByteCounters,
}

impl Port {
    /// Binds `address`.
    ///
    /// # Errors
    /// What the system says.
    pub async fn bind(
        address: SocketAddr,
        connections_max: usize,
        counters: ByteCounters,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            connections_max,
            counters,
        })
    }

    /// The address in use, with the real port where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` turns true, then drains for at most `drain_deadline`. Answers how many
    /// connections were cut at the deadline.
    pub async fn serve<S, B>(
        self,
        service: S,
        mut stop: watch::Receiver<bool>,
        drain_deadline: Duration,
    ) -> usize
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let slots = Arc::new(Semaphore::new(self.connections_max));
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = accept(&self.listener, &slots) => accepted,
            };
            match accepted {
                Ok((stream, permit)) => {
                    let connection = serve_connection(stream, service.clone(), &self.counters);
                    let connection = graceful.watch(connection);
                    tasks::spawn(async move {
                        if let Err(error) = connection.await {
                            tracing::debug!(%error, "connection ended early");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tasks::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        let _ = tasks::timeout(drain_deadline, graceful.shutdown()).await;
        self.connections_max - slots.available_permits()
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(slots)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

/// One connection and what serves it.
type Connection<S> = http1::Connection<TokioIo<LingerStream<CountStream>>, Lingering<S>>;

fn serve_connection<S, B>(stream: TcpStream, service: S, counters: &ByteCounters) -> Connection<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
{
    let flag = LingerFlag::default();
    let stream = CountStream::new(stream, counters.clone());
    let io = TokioIo::new(LingerStream::new(stream, flag.clone()));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .serve_connection(io, Lingering { service, flag })
}

/// A service whose answers tell the connection whether to linger.
struct Lingering<S> {
    service: S,
    flag: LingerFlag,
}

impl<S, B> Service<Request<Incoming>> for Lingering<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (answering, flag) = (self.service.call(request), self.flag.clone());
        Box::pin(async move {
            let answer = answering.await;
            if let Ok(answer) = &answer {
                flag.observe(answer.headers());
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request_metrics::bytes_unshown;
    use http_body_util::Full;
    use hyper::service::service_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    const LONG: Duration = Duration::from_secs(60);

    async fn local_port(connections_max: usize) -> Port {
        let address = "127.0.0.1:0".parse().unwrap();
        Port::bind(address, connections_max, bytes_unshown())
            .await
            .unwrap()
    }

    async fn ask(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        stream
    }

    async fn answer(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    type Gates = (Arc<Notify>, Arc<Notify>);

    /// Serves requests that say when they began and wait until they are let go.
    async fn gated(
        port: Port,
        gates: Gates,
        stop: watch::Receiver<bool>,
        limit: Duration,
    ) -> usize {
        let service = service_fn(move |_: Request<Incoming>| {
            let (begun, let_go) = gates.clone();
            async move {
                begun.notify_one();
                let_go.notified().await;
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("done"))))
            }
        });
        port.serve(service, stop, limit).await
    }

    #[tokio::test]
    async fn a_drain_lets_the_request_in_progress_end_and_closes_idle_connections() {
        let port = local_port(8).await;
        let address = port.address();
        let gates = Gates::default();
        let (stop, stopped) = watch::channel(false);
        let serving = tasks::spawn(gated(port, gates.clone(), stopped, LONG));
        let idle = TcpStream::connect(address).await.unwrap();
        let busy = ask(address).await;
        gates.0.notified().await;
        stop.send(true).unwrap();
        assert_eq!(answer(idle).await, "");
        gates.1.notify_one();
        assert!(answer(busy).await.ends_with("done"));
        assert_eq!(serving.await.unwrap(), 0);
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_drain_ends_at_its_deadline_and_counts_what_it_cut() {
        let port = local_port(8).await;
        let address = port.address();
        let gates = Gates::default();
        let (stop, stopped) = watch::channel(false);
        let serving = tasks::spawn(gated(
            port,
            gates.clone(),
            stopped,
            Duration::from_millis(10),
        ));
        let _busy = ask(address).await;
        gates.0.notified().await;
        stop.send(true).unwrap();
        assert_eq!(serving.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn connections_over_the_limit_wait_for_a_slot() {
        let port = local_port(1).await;
        let address = port.address();
        let gates = Gates::default();
        let (_stop, stopped) = watch::channel(false);
        tasks::spawn(gated(port, gates.clone(), stopped, LONG));
        let mut first = ask(address).await;
        gates.0.notified().await;
        let mut second = ask(address).await;
        // Many turns of this single-threaded runtime: a server without the limit would begin.
        let begun = gates.0.notified();
        tokio::pin!(begun);
        for _ in 0..10_000 {
            assert!(
                poll_once(begun.as_mut()).await.is_none(),
                "the limit is one connection"
            );
            tokio::task::yield_now().await;
        }
        gates.1.notify_one();
        let mut byte = [0];
        first.read_exact(&mut byte).await.unwrap();
        drop(first);
        begun.await;
        gates.1.notify_one();
        second.read_exact(&mut byte).await.unwrap();
    }

    /// Polls once.
    async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match future.as_mut().poll(cx) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
