//! The way to a server: plain and in TLS, and what is said when nobody, or somebody else, answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use rustls::pki_types::PrivateKeyDer;
use strongroom_base::tasks;
use strongroom_cli::{CliError, Command, Endpoint, Target, Trust, run};

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

fn command(words: &[&str]) -> Command {
    let words = ["strongroom"].iter().chain(words);
    Line::try_parse_from(words).unwrap().command
}

fn target(address: SocketAddr, tls: bool) -> Target {
    Target {
        endpoint: Endpoint::at(address, tls),
        trust: Trust::Machine,
        access_key: "root".to_owned(),
        secret_key: "secret-secret".to_owned(),
    }
}

/// Answers one request with this, and gives what was asked.
fn answer(stream: &mut (impl Read + Write), body: &str) -> String {
    let mut asked = Vec::new();
    let mut bytes = [0; 1024];
    while !asked.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut bytes).unwrap_or(0);
        if count == 0 {
            return String::from_utf8(asked).unwrap();
        }
        asked.extend_from_slice(&bytes[..count]);
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all((head + body).as_bytes());
    String::from_utf8(asked).unwrap()
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn a_command_sends_its_call_with_the_credentials_and_shows_the_answer() {
    let (listener, address) = listen();
    let server = tasks::spawn_thread("server", move || {
        let mut stream = listener.accept().unwrap().0;
        answer(
            &mut stream,
            r#"{"buckets":[{"name":"b\u001b","owner":"o","created":"c","objects":3,
            "bytes":2048,"delete_markers":0,"uploads":0,"upload_parts":0,"upload_bytes":0}]}"#,
        )
    });
    let command = command(&["buckets", "--prefix", "b c"]);
    let text = run(&command, &target(address, false)).unwrap().text;
    let asked = server.join().unwrap();
    assert!(
        asked.starts_with("GET /v1/buckets?prefix=b+c&limit=1000 HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(
        asked.contains("authorization: Basic cm9vdDpzZWNyZXQtc2VjcmV0\r\n"),
        "{asked}"
    );
    assert!(
        text.contains("b\\u{1b}") && text.contains("2.0 KiB"),
        "{text}"
    );
}

#[test]
fn nobody_and_somebody_else_are_told_apart_and_neither_message_has_the_secret() {
    let (listener, address) = listen();
    drop(listener);
    let nobody = run(&command(&["status"]), &target(address, false)).unwrap_err();
    assert_eq!(nobody.exit_code(), 4);
    assert!(
        nobody.to_string().contains(&address.to_string()),
        "{nobody}"
    );
    let (listener, address) = listen();
    let server = tasks::spawn_thread("server", move || {
        answer(&mut listener.accept().unwrap().0, "<html>")
    });
    let other = run(&command(&["status"]), &target(address, false)).unwrap_err();
    server.join().unwrap();
    assert_eq!(other.exit_code(), 1);
    assert!(other.to_string().contains("is it Strongroom"), "{other}");
    assert!(!format!("{nobody}{other}").contains("secret-secret"));
}

struct Tls {
    address: SocketAddr,
    ca: PathBuf,
    _folder: tempfile::TempDir,
}

/// A server with a certificate of its own for 127.0.0.1, which answers `connections` times.
fn tls_server(connections: usize) -> Tls {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let (listener, address) = listen();
    tasks::spawn_thread("server", move || {
        for _ in 0..connections {
            let stream = listener.accept().unwrap().0;
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream);
            answer(&mut stream, r#"{"zones":[]}"#);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    Tls {
        address,
        ca,
        _folder: folder,
    }
}

#[test]
fn a_server_behind_tls_is_asked_when_its_certificate_is_named() {
    let server = tls_server(2);
    let trusting = Target {
        trust: Trust::Authorities(server.ca.clone()),
        ..target(server.address, true)
    };
    let text = run(&command(&["zones", "--json"]), &trusting).unwrap().text;
    assert_eq!(text, "{\n  \"zones\": []\n}\n");
    // The very certificate is as good, whatever the server is called.
    let mut pinning = Target {
        trust: Trust::Certificate(server.ca.clone()),
        ..target(server.address, true)
    };
    pinning.endpoint.host = "localhost".to_owned();
    assert!(run(&command(&["zones", "--json"]), &pinning).is_ok());
}

#[test]
fn a_server_that_does_not_prove_who_it_is_gets_no_credentials() {
    let server = tls_server(3);
    let other = tls_server(0);
    let deceived = Target {
        trust: Trust::Authorities(other.ca.clone()),
        ..target(server.address, true)
    };
    let error = run(&command(&["zones"]), &deceived).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("--ca"), "{error}");
    let pinned = Target {
        trust: Trust::Certificate(other.ca.clone()),
        ..target(server.address, true)
    };
    assert_eq!(
        run(&command(&["zones"]), &pinned).unwrap_err().exit_code(),
        4
    );
    // The right certificate, another name.
    let mut misnamed = Target {
        trust: Trust::Authorities(server.ca.clone()),
        ..target(server.address, true)
    };
    misnamed.endpoint.host = "localhost".to_owned();
    let error = run(&command(&["zones"]), &misnamed).unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
}

#[test]
fn certificates_that_are_none_or_not_asked_for_are_refused() {
    let server = tls_server(0);
    let with = |trust: Trust, tls| Target {
        trust,
        ..target(server.address, tls)
    };
    let empty = server.ca.with_file_name("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let absent = PathBuf::from("/no/such/file");
    for target in [
        with(Trust::Authorities(empty.clone()), true),
        with(Trust::Certificate(empty), true),
        with(Trust::Authorities(absent.clone()), true),
        with(Trust::Certificate(absent), true),
        with(Trust::Authorities(server.ca.clone()), false),
    ] {
        let error = run(&command(&["zones"]), &target).unwrap_err();
        assert!(matches!(error, CliError::Usage(_)), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
