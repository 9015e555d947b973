//! Uploads that are refused while their client still sends: the client reads the refusal, not a reset.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};

/// Far more than the server reads before it answers, and than two sockets hold.
const BODY_SIZE_BYTES: usize = 24 * 1024 * 1024;

/// A server on ports of the system's choice.
struct Server {
    child: Child,
    address: String,
    _data: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.arg("server").arg("--data").arg(data.path());
        let any = "127.0.0.1:0";
        command.args(["--address", any, "--admin-address", any, "--log", "error"]);
        let mut child = command.env_clear().stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .map(|line| line.unwrap())
            .find(|line| line.trim_start().starts_with("S3"))
            .and_then(|line| line.split("http://").nth(1).map(str::to_owned))
            .unwrap();
        Self {
            child,
            address: address.trim().to_owned(),
            _data: data,
        }
    }

    /// Sends the head of an anonymous upload, which is refused.
    fn upload(&self, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "PUT /bucket/key HTTP/1.1\r\nhost: {}\r\ncontent-length: {BODY_SIZE_BYTES}\r\n\
             {headers}\r\n",
            self.address
        )
        .unwrap();
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_to_end(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_client_that_sends_all_before_it_reads_gets_the_refusal() {
    let server = Server::start();
    for _ in 0..3 {
        let mut stream = server.upload("");
        stream.write_all(&vec![7; BODY_SIZE_BYTES]).unwrap();
        let answer = read_to_end(stream);
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(answer.contains("<Code>AccessDenied</Code>"), "{answer}");
    }
}

#[test]
fn a_client_that_waits_for_continue_is_refused_and_closed() {
    let server = Server::start();
    let stream = server.upload("expect: 100-continue\r\n");
    let answer = read_to_end(stream);
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[test]
fn a_client_that_gives_up_half_way_harms_nobody() {
    let server = Server::start();
    let mut stream = server.upload("");
    stream.write_all(&[7; 100_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = read_to_end(stream);
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let stream = server.upload("expect: 100-continue\r\n");
    assert!(read_to_end(stream).starts_with("HTTP/1.1 403"));
}
