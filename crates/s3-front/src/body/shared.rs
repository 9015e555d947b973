//! The body as it comes from the connection, shared by the operation and by what comes after it.
//!
//! An operation may refuse without reading its body to the end: a condition that does not hold, a
//! bucket that is not there. A server that then just closes loses the answer, because the kernel
//! resets a connection that is closed over unread bytes, and a reset throws away what the client had
//! not read yet. So whoever answers keeps a hand on the body and sees it off.
//!
//! Invariants
//! - A client is waited for only while somebody wants bytes, and for at most the idle limit at a time.
//! - A client that waits for `100 Continue` is not told to go on by us once it was refused.
//! - What is read after a refusal is bounded by [`DRAIN_SIZE_BYTES_MAX`] and [`DRAIN_WAIT_MAX`].

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http_body_util::BodyExt as _;
use strongroom_base::tasks;

use super::RawBody;

/// How long a body may send nothing before its request is given up. It outlasts the retransmissions
/// of a bad link, and an upload that nobody feeds holds a connection and some stripes of memory.
pub const BODY_IDLE_MAX: Duration = Duration::from_secs(60);
/// Less than this in the idle limit counts as nothing: a client that sends a byte now and then holds as
/// much as one that sends none.
pub const PROGRESS_SIZE_BYTES_MIN: u64 = 16 * 1024;
/// Most bytes of a refused body that are read so that the connection can be used again: about what
/// a connection carries in the time that a new one needs to be opened and to become fast.
pub const DRAIN_SIZE_BYTES_MAX: u64 = 1024 * 1024;
/// Longest wait for them: the answer is held back that long.
pub const DRAIN_WAIT_MAX: Duration = Duration::from_secs(2);

/// The body of one request. Clones read the same bytes: each byte is given out once.
#[derive(Clone)]
pub struct SharedBody(Arc<Mutex<State>>);

struct State {
    raw: RawBody,
    idle_max: Duration,
    /// Runs out when the client has sent next to nothing for the idle limit.
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Bytes that came since `waiting` was set.
    trickled: u64,
    /// Whether the last look found nothing. What was there already when it was wanted is no trickle:
    /// then the client waits for us.
    was_pending: bool,
    progress: Progress,
    /// The request announced that no byte comes.
    is_empty: bool,
    /// Bytes that are certainly still to come.
    remaining_min: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Progress {
    /// Nobody has asked for bytes: `100 Continue` was not sent.
    Untouched,
    Begun,
    Ended,
    Failed,
}

impl SharedBody {
    /// Wraps `body`.
    pub fn new<B>(body: B, idle_max: Duration) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let is_empty = body.is_end_stream();
        let progress = if is_empty {
            Progress::Ended
        } else {
            Progress::Untouched
        };
        let remaining_min = body.size_hint().lower();
        Self(Arc::new(Mutex::new(State {
            raw: Box::pin(body.into_data_stream().map_err(io::Error::other)),
            idle_max,
            waiting: None,
            trickled: 0,
            was_pending: false,
            progress,
            is_empty,
            remaining_min,
        })))
    }

    /// The body for whoever reads it.
    #[must_use]
    pub fn reader(&self) -> RawBody {
        Box::pin(self.clone())
    }

    /// Reads what the operation left, within bounds. Whether the connection can take another request;
    /// when it cannot, the answer must say so.
    pub async fn see_off(mut self, waits_for_continue: bool) -> bool {
        let (progress, is_empty, remaining_min) = {
            let state = self.0.lock().expect("no holder panics");
            (state.progress, state.is_empty, state.remaining_min)
        };
        // No `100 Continue` is ever sent for an empty body: the client that waits for one gets the
        // answer instead and, like botocore, may misread the next one on this connection.
        if is_empty && waits_for_continue {
            return false;
        }
        match progress {
            Progress::Ended => true,
            Progress::Failed => false,
            Progress::Untouched if waits_for_continue => false,
            Progress::Untouched | Progress::Begun if remaining_min > DRAIN_SIZE_BYTES_MAX => false,
            Progress::Untouched | Progress::Begun => {
                let drained = tasks::timeout(DRAIN_WAIT_MAX, self.drain()).await;
                drained.unwrap_or(false)
            }
        }
    }

    /// Whether the end came within [`DRAIN_SIZE_BYTES_MAX`].
    async fn drain(&mut self) -> bool {
        let mut drained: u64 = 0;
        while drained <= DRAIN_SIZE_BYTES_MAX {
            match self.next().await {
                Some(Ok(bytes)) => drained += bytes.len() as u64,
                Some(Err(_)) => return false,
                None => return true,
            }
        }
        false
    }
}

impl Stream for SharedBody {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.lock().expect("no holder panics");
        state.poll_next(context)
    }
}

impl State {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if matches!(self.progress, Progress::Ended | Progress::Failed) {
            return Poll::Ready(None);
        }
        self.progress = Progress::Begun;
        let polled = self.raw.as_mut().poll_next(context);
        match &polled {
            Poll::Pending => return self.poll_patience(context),
            Poll::Ready(Some(Ok(bytes))) => {
                let size = bytes.len() as u64;
                self.remaining_min = self.remaining_min.saturating_sub(size);
                self.trickled += size;
            }
            Poll::Ready(Some(Err(_))) => self.progress = Progress::Failed,
            Poll::Ready(None) => self.progress = Progress::Ended,
        }
        let trickles = self.was_pending && self.trickled < PROGRESS_SIZE_BYTES_MIN;
        if !trickles || polled_end(&polled) {
            (self.waiting, self.trickled) = (None, 0);
        }
        self.was_pending = false;
        polled
    }

    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.was_pending = true;
        let idle_max = self.idle_max;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(tasks::sleep(idle_max)));
        if waiting.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.waiting = None;
        self.progress = Progress::Failed;
        Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())))
    }
}

/// Whether no more bytes come.
fn polled_end(polled: &Poll<Option<io::Result<Bytes>>>) -> bool {
    !matches!(polled, Poll::Ready(Some(Ok(_))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body_util::{Full, StreamBody};

    /// Gives `pieces`, then nothing more, and no end.
    fn stalled(pieces: Vec<Bytes>) -> impl http_body::Body<Data = Bytes, Error = io::Error> + Send {
        let pieces = pieces
            .into_iter()
            .map(|piece| Ok(http_body::Frame::data(piece)));
        StreamBody::new(stream::iter(pieces).chain(stream::pending()))
    }

    #[tokio::test]
    async fn a_body_that_sends_nothing_fails_after_the_idle_limit() {
        let body = SharedBody::new(stalled(vec!["some".into()]), Duration::from_millis(5));
        let mut reader = body.reader();
        assert_eq!(reader.next().await.unwrap().unwrap(), "some");
        let error = reader.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(reader.next().await.is_none());
        assert!(!body.see_off(false).await);
    }

    /// A body that gives `piece` after each `pause`.
    fn trickling(
        piece: Bytes,
        pause: Duration,
        count: usize,
    ) -> impl http_body::Body<Data = Bytes, Error = io::Error> + Send {
        StreamBody::new(stream::iter(0..count).then(move |_| {
            let piece = piece.clone();
            async move {
                tasks::sleep(pause).await;
                Ok(http_body::Frame::data(piece))
            }
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn attack_31_a_body_that_trickles_fails_after_the_idle_limit() {
        let second = Duration::from_secs(1);
        let slow = trickling(Bytes::from_static(b"x"), second, 1000);
        let mut reader = SharedBody::new(slow, 10 * second).reader();
        let mut count = 0;
        let error = loop {
            match reader.next().await.unwrap() {
                Ok(_) => count += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(count < 15, "{count}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_that_gets_on_is_read_to_its_end() {
        let second = Duration::from_secs(1);
        let slow = trickling(Bytes::from_static(&[7; 4096]), second, 100);
        let reader = SharedBody::new(slow, 10 * second).reader();
        let read: Result<Vec<Bytes>, io::Error> = reader.try_collect().await;
        assert_eq!(read.unwrap().len(), 100);
    }

    #[tokio::test]
    async fn what_was_left_is_read_unless_the_client_waits_to_send_it() {
        let whole = || {
            SharedBody::new(
                Full::new(Bytes::from_static(&[7; 70_000])),
                Duration::from_secs(60),
            )
        };
        assert!(whole().see_off(false).await);
        assert!(!whole().see_off(true).await);
        let begun = whole();
        begun.reader().next().await.unwrap().unwrap();
        assert!(begun.see_off(true).await, "it was told to go on");
    }

    #[tokio::test]
    async fn no_more_than_the_bound_is_read() {
        let piece = Bytes::from_static(&[7; 64 * 1024]);
        let endless = StreamBody::new(stream::repeat_with(move || {
            Ok::<_, io::Error>(http_body::Frame::data(piece.clone()))
        }));
        assert!(
            !SharedBody::new(endless, Duration::from_secs(60))
                .see_off(false)
                .await
        );
        // Not even tried when the declared length is over it.
        let big = Bytes::from(vec![7; 2 * 1024 * 1024]);
        let body = SharedBody::new(Full::new(big), Duration::from_secs(60));
        assert!(!body.clone().see_off(false).await);
        assert_eq!(
            body.0.lock().unwrap().progress,
            Progress::Untouched,
            "nothing was read"
        );
    }

    #[tokio::test]
    async fn a_request_without_body_leaves_nothing() {
        let body = SharedBody::new(Full::new(Bytes::new()), Duration::from_secs(60));
        assert!(body.see_off(false).await);
    }

    #[tokio::test]
    async fn a_client_that_waits_to_send_nothing_gets_a_new_connection() {
        let body = SharedBody::new(Full::new(Bytes::new()), Duration::from_secs(60));
        assert!(!body.see_off(true).await);
    }
}
