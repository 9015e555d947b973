//! A connection whose requests are well framed, sent in time, and whose answers are taken.
//!
//! It stands between the connection and the HTTP library. A request that may not go on is replaced
//! by one of our own making that ends the connection: the library hands it to the service in its
//! turn, after the answers of earlier requests, and the service refuses it with a proper document.
//! So there is one place that writes answers, and no byte of a refused request is ever interpreted.
//!
//! Invariants
//! - A head that has begun ends within its deadline, or is refused.
//! - A connection that owes no answer and gets no request is closed after the idle limit.
//! - A client that takes nothing of an answer for the idle limit is cut off.
//! - At most one head and what one read brings are held here.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use strongroom_base::tasks;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answering::Owed;
use super::framing::{BodyFraming, HEAD_SIZE_BYTES_MAX, HeadScan, Refusal, Scanned};

/// What is read at a time where framing is looked for.
const READ_SIZE_BYTES: usize = 8 * 1024;
/// Less than this in the idle limit counts as nothing taken: a client that takes a byte now and then
/// holds as much as one that takes none.
const PROGRESS_SIZE_BYTES_MIN: usize = 16 * 1024;
/// What stands for a refused request.
const REFUSED_HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// How patient a connection is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long a connection may be idle between requests.
    pub idle: Duration,
    /// From the first byte of a head to its end.
    pub head: Duration,
    /// How long a client may take nothing of what is sent to it.
    pub send_idle: Duration,
}

/// What the connection tells the service: which request, counted from one, is a refused one.
#[derive(Clone, Default)]
pub struct Verdict(Arc<Mutex<Numbers>>);

#[derive(Default)]
struct Numbers {
    handed_on: u64,
    called: u64,
    refused: Option<(u64, Refusal)>,
}

impl Verdict {
    fn hand_on(&self) {
        self.0.lock().expect("no holder panics").handed_on += 1;
    }

    fn refuse(&self, refusal: Refusal) {
        let mut numbers = self.0.lock().expect("no holder panics");
        numbers.handed_on += 1;
        numbers.refused = Some((numbers.handed_on, refusal));
    }

    /// Called once for each request that reaches the service: why it is refused, if it is.
    #[must_use]
    pub fn next(&self) -> Option<Refusal> {
        let mut numbers = self.0.lock().expect("no holder panics");
        numbers.called += 1;
        let (number, refusal) = numbers.refused?;
        (number == numbers.called).then_some(refusal)
    }
}

/// Runs out some time after it was set.
type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The connection.
pub struct GuardStream<S> {
    stream: S,
    patience: Patience,
    verdict: Verdict,
    owed: Owed,
    /// Read and not handed on yet.
    input: BytesMut,
    /// So many bytes of it may be handed on.
    pass: usize,
    state: State,
    idle_timer: Option<Timer>,
    head_timer: Option<Timer>,
    /// Runs while what is sent waits for the client.
    send_timer: Option<Timer>,
    /// Bytes taken since it was set.
    taken: usize,
    /// Whether the last write had to wait.
    was_waiting: bool,
}

enum State {
    Head(HeadScan),
    Body(BodyFraming),
    Refused,
}

impl<S> GuardStream<S> {
    #[must_use]
    pub fn new(stream: S, patience: Patience, verdict: Verdict, owed: Owed) -> Self {
        Self {
            stream,
            patience,
            verdict,
            owed,
            input: BytesMut::new(),
            pass: 0,
            state: State::Head(HeadScan::default()),
            idle_timer: None,
            head_timer: None,
            send_timer: None,
            taken: 0,
            was_waiting: false,
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.verdict.refuse(refusal);
        self.head_timer = None;
        self.input.clear();
        self.input.extend_from_slice(REFUSED_HEAD);
        self.pass = self.input.len();
        self.state = State::Refused;
    }

    /// Hands on what may be handed on.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let size = self.pass.min(buf.remaining());
        buf.put_slice(&self.input[..size]);
        self.input.advance(size);
        self.pass -= size;
    }

    /// Looks at the input for the end of the head. Whether there is something to hand on.
    fn look_for_head(&mut self) -> bool {
        let State::Head(scan) = &mut self.state else {
            return false;
        };
        match scan.scan(&self.input) {
            Ok(Scanned::Partial) => return false,
            Ok(Scanned::Head(size, framing)) => {
                self.verdict.hand_on();
                (self.head_timer, self.idle_timer) = (None, None);
                self.pass = size;
                self.state = match framing {
                    BodyFraming::Length(0) => State::Head(HeadScan::default()),
                    framing => State::Body(framing),
                };
            }
            Err(refusal) => self.refuse(refusal),
        }
        true
    }

    /// Marks how much of the input belongs to the body.
    fn take_body_input(&mut self) -> io::Result<()> {
        let State::Body(framing) = &mut self.state else {
            return Ok(());
        };
        self.pass = feed(framing, &self.input)?;
        self.end_body();
        Ok(())
    }

    fn end_body(&mut self) {
        let ended = match &self.state {
            State::Body(BodyFraming::Length(remaining)) => *remaining == 0,
            State::Body(BodyFraming::Chunked(chunks)) => chunks.is_ended(),
            State::Head(_) | State::Refused => false,
        };
        if ended {
            self.state = State::Head(HeadScan::default());
        }
    }

    /// Ready once a head took too long, or none came for too long.
    fn poll_head_timers(&mut self, cx: &mut Context<'_>) -> Poll<TimeUp> {
        if !self.input.is_empty() {
            self.idle_timer = None;
            ready!(poll_timer(&mut self.head_timer, self.patience.head, cx));
            return Poll::Ready(TimeUp::Head);
        }
        while poll_timer(&mut self.idle_timer, self.patience.idle, cx).is_ready() {
            self.idle_timer = None;
            if self.owed.is_none() && self.send_timer.is_none() {
                return Poll::Ready(TimeUp::Idle);
            }
        }
        Poll::Pending
    }

    /// Lets a write that waits fail once its time is up. `size` tells how much was taken.
    fn watch_send<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        size: impl Fn(&T) -> usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = &polled {
            self.idle_timer = None;
            self.taken += result.as_ref().map_or(0, size);
            if !self.was_waiting || self.taken >= PROGRESS_SIZE_BYTES_MIN {
                (self.send_timer, self.taken) = (None, 0);
            }
            self.was_waiting = false;
            return polled;
        }
        self.was_waiting = true;
        ready!(poll_timer(
            &mut self.send_timer,
            self.patience.send_idle,
            cx
        ));
        let text = "the client took next to nothing of its answer within the idle limit";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

/// Which patience is at its end.
enum TimeUp {
    Head,
    Idle,
}

/// Sets the timer unless it runs, and asks it.
fn poll_timer(timer: &mut Option<Timer>, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
    let timer = timer.get_or_insert_with(|| Box::pin(tasks::sleep(limit)));
    timer.as_mut().poll(cx)
}

/// How many bytes of `input` belong to the body.
fn feed(framing: &mut BodyFraming, input: &[u8]) -> io::Result<usize> {
    match framing {
        BodyFraming::Length(remaining) => {
            let size = usize::try_from(*remaining).unwrap_or(usize::MAX);
            let size = size.min(input.len());
            *remaining -= size as u64;
            Ok(size)
        }
        BodyFraming::Chunked(chunks) => chunks.feed(input).map_err(|refusal| {
            let text = match refusal {
                Refusal::Malformed(text) => text,
                _ => "the body cannot be read",
            };
            io::Error::new(io::ErrorKind::InvalidData, text)
        }),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> GuardStream<S> {
    /// Reads more of a head. Ready with the number of bytes, or nothing when the head was refused.
    fn poll_more_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        let mut scratch = [0; READ_SIZE_BYTES];
        let mut read = ReadBuf::new(&mut scratch);
        match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) => {
                self.input.extend_from_slice(read.filled());
                Poll::Ready(Ok(Some(read.filled().len())))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match ready!(self.poll_head_timers(cx)) {
                TimeUp::Idle => Poll::Ready(Ok(Some(0))),
                TimeUp::Head => {
                    self.refuse(Refusal::HeadSlow);
                    Poll::Ready(Ok(None))
                }
            },
        }
    }

    /// Reads content straight into the reader's buffer; what belongs to the next request is kept.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        let State::Body(framing) = &mut self.state else {
            return Poll::Ready(Ok(()));
        };
        let size = feed(framing, read)?;
        self.input.extend_from_slice(&read[size..]);
        buf.set_filled(before + size);
        self.end_body();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for GuardStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.pass > 0 {
                this.give(buf);
                return Poll::Ready(Ok(()));
            }
            match this.state {
                // The answer to what stands for the refused request ends the connection.
                State::Refused => return Poll::Pending,
                State::Body(_) if !this.input.is_empty() => this.take_body_input()?,
                State::Body(_) => return this.poll_body(cx, buf),
                State::Head(_) => {
                    if this.look_for_head() {
                        continue;
                    }
                    debug_assert!(this.input.len() <= HEAD_SIZE_BYTES_MAX);
                    if ready!(this.poll_more_head(cx))? == Some(0) {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch_send(polled, |size| *size, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch_send(polled, |size| *size, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch_send(polled, |()| PROGRESS_SIZE_BYTES_MIN, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const LONG: Duration = Duration::from_secs(600);
    const SHORT: Duration = Duration::from_millis(20);

    fn guarded(
        head: Duration,
        send_idle: Duration,
    ) -> (DuplexStream, GuardStream<DuplexStream>, Verdict) {
        let (client, server) = duplex(1024);
        let verdict = Verdict::default();
        let patience = Patience {
            idle: LONG,
            head,
            send_idle,
        };
        let guard = GuardStream::new(server, patience, verdict.clone(), Owed::default());
        (client, guard, verdict)
    }

    /// What the HTTP library is given of `sent`, which the client ends by closing.
    async fn given(sent: String) -> (String, Verdict) {
        let (mut client, mut server, verdict) = guarded(LONG, LONG);
        tasks::spawn(async move { client.write_all(sent.as_bytes()).await });
        let (mut given, mut buf) = (Vec::new(), [0; 100]);
        // A refused connection gives nothing more and does not end.
        while verdict.0.lock().unwrap().refused.is_none() || server.pass > 0 {
            match server.read(&mut buf).await.unwrap() {
                0 => break,
                size => given.extend_from_slice(&buf[..size]),
            }
        }
        (String::from_utf8(given).unwrap(), verdict)
    }

    #[tokio::test]
    async fn well_framed_requests_pass_unchanged() {
        let body = "x".repeat(5000);
        let text = format!(
            "PUT /a HTTP/1.1\r\ncontent-length: 5000\r\n\r\n{body}\
             PUT /b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1388\r\n{body}\r\n0\r\n\r\n\
             GET /c HTTP/1.1\r\n\r\nGET /d HTTP/1.1\r\n\r\n"
        );
        let (given, verdict) = given(text.clone()).await;
        assert_eq!(given, text);
        assert_eq!(verdict.0.lock().unwrap().handed_on, 4);
        assert_eq!(verdict.next(), None);
    }

    #[tokio::test]
    async fn attack_30_nothing_of_a_refused_request_or_behind_it_is_handed_on() {
        let good = "GET /c HTTP/1.1\r\n\r\n";
        let bad = "PUT /a HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n";
        let (given, verdict) =
            given(format!("{good}{bad}0\r\n\r\nGET /secret HTTP/1.1\r\n\r\n")).await;
        assert_eq!(given.as_bytes(), [good.as_bytes(), REFUSED_HEAD].concat());
        assert_eq!(verdict.next(), None, "the first request is answered");
        assert!(matches!(verdict.next(), Some(Refusal::Malformed(_))));
    }

    #[tokio::test]
    async fn attack_31_a_head_that_does_not_end_is_refused_at_its_deadline() {
        let (mut client, mut server, verdict) = guarded(SHORT, LONG);
        client.write_all(b"GET / HTT").await.unwrap();
        let mut buf = [0; 100];
        let size = server.read(&mut buf).await.unwrap();
        assert_eq!(&buf[..size], REFUSED_HEAD);
        assert_eq!(verdict.next(), Some(Refusal::HeadSlow));
    }

    #[tokio::test]
    async fn an_idle_connection_ends_unless_it_owes_an_answer() {
        let (_client, mut server, _) = guarded(LONG, LONG);
        server.patience.idle = SHORT;
        let owed = server.owed.clone();
        let answer = owed.one();
        let mut buf = [0; 100];
        let waiting = tasks::timeout(10 * SHORT, server.read(&mut buf)).await;
        assert!(waiting.is_err(), "it owes an answer");
        drop(answer);
        assert_eq!(server.read(&mut buf).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn attack_31_a_client_that_takes_nothing_of_its_answer_is_cut_off() {
        let (_client, mut server, _) = guarded(LONG, SHORT);
        let error = server.write_all(&[7; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn attack_31_a_client_that_takes_a_byte_now_and_then_is_cut_off() {
        let (mut client, mut server, _) = guarded(LONG, LONG);
        tasks::spawn(async move {
            let mut byte = [0];
            while client.read_exact(&mut byte).await.is_ok() {
                tasks::sleep(LONG / 60).await;
            }
        });
        let error = server.write_all(&[7; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_chunk_that_is_none_fails_the_body() {
        let (mut client, mut server, _) = guarded(LONG, LONG);
        let text = b"PUT /b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;x\r\nhello";
        client.write_all(text).await.unwrap();
        let mut all = Vec::new();
        let error = server.read_to_end(&mut all).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
