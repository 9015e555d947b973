//! A listening port: accept, shake hands, serve HTTP/1.1, drain.
//!
//! Connections are bounded: when the limit is reached, new ones wait in the kernel's queue, which is
//! back-pressure a client understands. What a connection sends is framed strictly and in time before
//! the HTTP library reads it ([`guard`]). Draining stops accepting, lets each connection finish the
//! request it is in, closes idle ones at once, and gives up at a deadline, so that a stop ends.

mod answering;
mod framing;
mod guard;
mod linger;
mod transport;

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
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use strongroom_base::tasks;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::count_stream::CountStream;
use crate::port_metrics::PortCounters;
use answering::{Owed, OwedBody};
use guard::{GuardStream, Verdict};
use linger::{LingerFlag, LingerStream};
use transport::Transport;

pub use framing::{HEAD_SIZE_BYTES_MAX, Refusal};
pub use guard::Patience;
pub use transport::TlsFacts;

/// An error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// Body of an answer. It may fail half-way, which cuts the connection.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Most bytes the HTTP library keeps of one connection in each direction: a whole head and a little
/// more. What a client does not take of its answer is not read from disk either.
const BUFFER_SIZE_BYTES_MAX: usize = 2 * HEAD_SIZE_BYTES_MAX;
/// Wait after a failed accept. The usual cause is too many open files, which passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a port obeys.
#[derive(Clone)]
pub struct PortRules {
    pub connections_max: usize,
    pub patience: Patience,
    /// TLS, with a certificate that may be replaced meanwhile; plain HTTP when none.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Who is at the other end of a connection: an extension of each of its requests.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    pub tls: Option<TlsFacts>,
}

/// A bound port.
pub struct Port {
    listener: TcpListener,
    address: SocketAddr,
    rules: PortRules,
    counters: PortCounters,
}

impl Port {
    /// Binds `address`.
    ///
    /// # Errors
    /// What the system says.
    pub async fn bind(
        address: SocketAddr,
        rules: PortRules,
        counters: PortCounters,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            rules,
            counters,
        })
    }

    /// The address in use, with the real port where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether clients must speak TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.rules.tls.is_some()
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
        let connections_max = self.rules.connections_max;
        let slots = Arc::new(Semaphore::new(connections_max));
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = accept(&self.listener, &slots) => accepted,
            };
            match accepted {
                Ok((stream, address, permit)) => {
                    let connection = Connection {
                        rules: self.rules.clone(),
                        counters: self.counters.clone(),
                        service: service.clone(),
                    };
                    let serving =
                        connection.serve(stream, address, graceful.watcher(), stop.clone());
                    tasks::spawn(async move {
                        serving.await;
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
        connections_max - slots.available_permits()
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(slots)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let (stream, address) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, address, permit))
}

/// What serves one connection.
struct Connection<S> {
    rules: PortRules,
    counters: PortCounters,
    service: S,
}

impl<S, B> Connection<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
{
    async fn serve(
        self,
        stream: TcpStream,
        address: SocketAddr,
        watcher: Watcher,
        mut stop: watch::Receiver<bool>,
    ) {
        let _open = self.counters.open();
        let stream = CountStream::new(stream, self.counters.bytes.clone());
        let accepted = tokio::select! {
            biased;
            accepted = Transport::accept(stream, self.rules.tls.clone()) => accepted,
            // Nothing was asked for yet: a drain does not wait for it.
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (transport, tls) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                self.counters.handshakes_failed.inc();
                tracing::debug!(%error, %address, "no TLS handshake");
                return;
            }
        };
        let (flag, verdict, owed) = Default::default();
        let stream = LingerStream::new(transport, LingerFlag::clone(&flag));
        let patience = self.rules.patience;
        let stream = GuardStream::new(
            stream,
            patience,
            Verdict::clone(&verdict),
            Owed::clone(&owed),
        );
        let service = PortService {
            service: self.service,
            flag,
            verdict,
            owed,
            counters: self.counters.clone(),
            peer: Peer { address, tls },
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // What stands before it is stricter; this one is here for the time it might not be.
            .header_read_timeout(patience.idle + patience.head)
            .max_buf_size(BUFFER_SIZE_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "connection ended early");
        }
    }
}

/// A service that is told what its connection knows: who the client is, which request is refused. Its
/// answers tell the connection whether to linger.
struct PortService<S> {
    service: S,
    flag: LingerFlag,
    verdict: Verdict,
    owed: Owed,
    counters: PortCounters,
    peer: Peer,
}

impl<S, B> Service<Request<Incoming>> for PortService<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: http_body::Body,
{
    type Response = Response<OwedBody<B>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(refusal) = self.verdict.next() {
            self.counters.refused(refusal);
            request.extensions_mut().insert(refusal);
        }
        request.extensions_mut().insert(self.peer.clone());
        let (answering, flag) = (self.service.call(request), self.flag.clone());
        let owed = self.owed.one();
        Box::pin(async move {
            let answer = answering.await?;
            flag.observe(answer.headers());
            Ok(answer.map(|body| OwedBody::new(body, owed)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port_metrics::PortMetrics;
    use crate::request_metrics::bytes_unshown;
    use http_body_util::Full;
    use hyper::service::service_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    const LONG: Duration = Duration::from_secs(60);

    async fn local_port(connections_max: usize) -> Port {
        let address = "127.0.0.1:0".parse().unwrap();
        let rules = PortRules {
            connections_max,
            patience: Patience {
                idle: LONG,
                head: LONG,
                send_idle: LONG,
            },
            tls: None,
        };
        let metrics = PortMetrics::new(&prometheus::Registry::new());
        let counters = metrics.port("s3", bytes_unshown());
        Port::bind(address, rules, counters).await.unwrap()
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
