//! Uploads that are refused before their body was read, or whose body stops coming.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{Call, World};
use futures::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::StreamBody;

const PUT: &str = "/bucket/key";
const LONG: Duration = Duration::from_secs(60);

/// A world where `PUT` exists, and an upload to it that its condition refuses.
async fn refused_upload(size: usize) -> (World, Call) {
    let world = World::with_bucket().await;
    let first = Call::new("PUT", PUT).body("first").signed();
    world.send(first).await.expect(200);
    let call = Call::new("PUT", PUT).header("if-none-match", "*");
    (world, call.body(vec![7; size]))
}

#[tokio::test]
async fn a_refused_upload_keeps_its_connection_once_its_body_was_read() {
    let (world, call) = refused_upload(50_000).await;
    let answer = world.send(call.signed()).await;
    let answer = answer.expect_error(412, "PreconditionFailed");
    assert_eq!(answer.header("connection"), None);
}

#[tokio::test]
async fn an_upload_refused_before_it_is_told_to_continue_is_not_read() {
    let (world, call) = refused_upload(50_000).await;
    let call = call.header("expect", "100-continue").signed();
    let read = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&read);
    let pieces = call.pieces.clone();
    let pieces = stream::iter(pieces).map(move |piece| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(Frame::data(piece))
    });
    let answer = world.send_body(call, StreamBody::new(pieces), LONG).await;
    let answer = answer.expect_error(412, "PreconditionFailed");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(read.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_anonymous_upload_without_end_is_answered_after_a_bounded_part_of_it() {
    let world = World::with_bucket().await;
    let read = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&read);
    let endless = stream::repeat_with(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(&[7; 64 * 1024])))
    });
    let call = Call::new("PUT", PUT).header("transfer-encoding", "chunked");
    let answer = world.send_body(call, StreamBody::new(endless), LONG).await;
    let answer = answer.expect_error(403, "AccessDenied");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(
        read.load(Ordering::Relaxed),
        17,
        "one MiB and the piece after"
    );
}

#[tokio::test]
async fn a_body_that_stops_coming_is_answered_request_timeout() {
    let world = World::with_bucket().await;
    for kept in [0, 1, 40] {
        let call = Call::new("PUT", PUT).body(vec![7; 50_000]).signed();
        let pieces = call.pieces[..kept].to_vec();
        let pieces = stream::iter(pieces).map(|piece| Ok::<_, std::io::Error>(Frame::data(piece)));
        let stalled = StreamBody::new(pieces.chain(stream::pending()));
        let answer = world
            .send_body(call, stalled, Duration::from_millis(5))
            .await;
        let answer = answer.expect_error(400, "RequestTimeout");
        assert_eq!(answer.header("connection"), Some("close"));
        world.expect_no_object(PUT).await;
    }
    // Also one that is read whole.
    let call = Call::new("POST", "/bucket?delete").body("<Delete/>");
    let call = call.signed();
    let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
    let answer = world.send_body(call, body, Duration::from_millis(5)).await;
    answer.expect_error(400, "RequestTimeout");
}
