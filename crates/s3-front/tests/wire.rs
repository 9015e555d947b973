//! Uploads over a real connection: what is answered when, and what becomes of the connection.

mod common;

use std::time::Duration;

use common::{Call, World};
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use strongroom_base::tasks;
use strongroom_s3_front::BodyIdleMax;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PUT: &str = "/bucket/key";
static BODY: [u8; 50_000] = [7; 50_000];

/// A connection to a server that has `PUT`.
async fn connect(idle_max: Duration) -> TcpStream {
    let world = World::with_bucket().await;
    let first = Call::new("PUT", PUT).body("first").signed();
    world.send(first).await.expect(200);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let service = world.service.clone();
            async move {
                request.extensions_mut().insert(BodyIdleMax(idle_max));
                Ok::<_, std::convert::Infallible>(service.answer(request).await)
            }
        });
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    });
    TcpStream::connect(address).await.unwrap()
}

fn refused() -> Call {
    let call = Call::new("PUT", PUT).header("if-none-match", "*");
    call.body(BODY)
}

/// Reads one answer's head and body.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(text).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    head + &String::from_utf8(body).unwrap()
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_refused_upload_is_answered_and_its_connection_serves_the_next_request() {
    let mut stream = connect(LONG).await;
    for _ in 0..3 {
        let call = refused().signed();
        stream.write_all(call.head().as_bytes()).await.unwrap();
        stream.write_all(&BODY).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 412"), "{answer}");
        assert!(answer.contains("PreconditionFailed"), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_waits_to_send_is_refused_without_100_continue() {
    let mut stream = connect(LONG).await;
    let call = refused().header("expect", "100-continue").signed();
    stream.write_all(call.head().as_bytes()).await.unwrap();
    let text = answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 412"), "{text}");
    assert!(text.contains("connection: close\r\n"), "{text}");
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "it is closed");
}

#[tokio::test]
async fn a_client_that_waits_to_send_is_told_to_go_on_when_its_upload_is_taken() {
    let mut stream = connect(LONG).await;
    let call = Call::new("PUT", PUT).header("expect", "100-continue");
    let call = call.body(BODY).signed();
    stream.write_all(call.head().as_bytes()).await.unwrap();
    let text = answer(&mut stream).await;
    assert_eq!(text, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&BODY).await.unwrap();
    let text = answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(!text.contains("connection: close"), "{text}");
}

#[tokio::test]
async fn a_client_that_stops_sending_is_told_so_and_closed() {
    let mut stream = connect(Duration::from_millis(10)).await;
    let call = Call::new("PUT", PUT).body(BODY).signed();
    stream.write_all(call.head().as_bytes()).await.unwrap();
    stream.write_all(&BODY[..49_999]).await.unwrap();
    let text = answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    assert!(text.contains("<Code>RequestTimeout</Code>"), "{text}");
    assert!(text.contains("connection: close\r\n"), "{text}");
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "it is closed");
}
