//! Whether a connection owes an answer: one that does is not idle, however long the answer takes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

/// The answers that a connection owes.
#[derive(Clone, Default)]
pub struct Owed(Arc<AtomicU64>);

impl Owed {
    /// Owes one more until the value is dropped.
    #[must_use]
    pub fn one(&self) -> OwedOne {
        self.0.fetch_add(1, Ordering::Relaxed);
        OwedOne(self.clone())
    }

    /// Whether none is owed.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// An answer that is owed.
pub struct OwedOne(Owed);

impl Drop for OwedOne {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer, which is owed until it was handed over.
pub struct OwedBody<B> {
    body: Pin<Box<B>>,
    _owed: OwedOne,
}

impl<B> OwedBody<B> {
    pub fn new(body: B, owed: OwedOne) -> Self {
        Self {
            body: Box::pin(body),
            _owed: owed,
        }
    }
}

impl<B: Body> Body for OwedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.body.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
