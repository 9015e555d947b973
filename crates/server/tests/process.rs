//! The binary from outside, with a store: start screen, credentials, health, status, a second
//! process on the same folders, stop and start again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A server on ports of the system's choice.
struct Server {
    child: Child,
    screen: String,
    address: String,
    admin_address: String,
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.args(args).env_clear();
    command
}

fn start_args(data: &Path) -> Vec<String> {
    let args = [
        "server",
        "--data",
        data.to_str().unwrap(),
        "--address",
        "127.0.0.1:0",
        "--admin-address",
        "127.0.0.1:0",
        "--member-wait",
        "100ms",
        "--log",
        "error",
    ];
    args.map(str::to_owned).to_vec()
}

impl Server {
    /// Starts and waits for the screen, which ends with the line to paste.
    fn start(data: &Path) -> Self {
        let args = start_args(data);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut child = command(&args).stdout(Stdio::piped()).spawn().unwrap();
        let mut screen = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        while !screen.contains("s3 mb") {
            let read = lines.read_line(&mut screen).unwrap();
            assert!(read > 0, "the server ended before it was ready: {screen}");
        }
        let after = |name: &str| {
            let line = screen
                .lines()
                .find(|line| line.trim_start().starts_with(name))
                .unwrap();
            line.split("http://").nth(1).unwrap().trim().to_owned()
        };
        let (address, admin_address) = (after("S3"), after("Administration"));
        Self {
            child,
            screen,
            address,
            admin_address,
        }
    }

    fn terminate(mut self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status code and whole answer of a GET.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text)
}

fn status(server: &Server, data: &Path, json: bool) -> Output {
    let mut args = vec![
        "status",
        "--data",
        data.to_str().unwrap(),
        "--admin-address",
        &server.admin_address,
    ];
    if json {
        args.push("--json");
    }
    command(&args).output().unwrap()
}

#[test]
fn the_first_start_says_where_it_is_and_what_it_survives_and_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    let survives = "This configuration survives the loss or damage of any one of its three folders, \
                    but not of the one disk they are all on.";
    assert!(server.screen.contains(survives), "{}", server.screen);
    let credentials = std::fs::read_to_string(data.join("credentials")).unwrap();
    let secret = credentials
        .lines()
        .find_map(|l| l.strip_prefix("aws_secret_access_key = "));
    assert!(
        !server.screen.contains(secret.unwrap()),
        "standard output is no terminal"
    );
    server.terminate();
}

#[test]
fn health_answers_on_both_ports_and_status_needs_the_credentials() {
    // AZ18
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    let routes = [
        "/healthz",
        "/readyz",
        "/readyz/write",
        "/minio/health/live",
        "/minio/health/ready",
        "/minio/health/cluster",
    ];
    for route in routes {
        assert_eq!(get(&server.address, route).0, 200, "{route}");
        assert_eq!(get(&server.admin_address, route).0, 200, "{route}");
    }
    assert_eq!(get(&server.admin_address, "/v1/status").0, 401);
    assert_eq!(get(&server.admin_address, "/metrics").0, 401);
    // On the S3 port these are names of buckets, and nobody is let in without a signature.
    assert_eq!(get(&server.address, "/metrics").0, 403);

    let output = status(&server, &data, true);
    let text = String::from_utf8(output.stdout).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["writable"], true, "{text}");
    assert_eq!(
        json["store"]["zones"].as_array().unwrap().len(),
        3,
        "{text}"
    );
    assert!(
        json["store"]["zones"][0]["disks"][0]["bytes_total"]
            .as_u64()
            .unwrap()
            > 0,
        "{text}"
    );
    let text = String::from_utf8(status(&server, &data, false).stdout).unwrap();
    assert!(text.contains("writes     yes"), "{text}");
    server.terminate();
}

#[test]
fn a_second_process_on_the_same_folders_stops_with_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    let args = start_args(&data);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let second = command(&args).output().unwrap();
    let text = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("is in use by another process"), "{text}");
    assert_eq!(get(&server.address, "/readyz/write").0, 200);
    server.terminate();
}

#[test]
fn a_stopped_store_starts_again_with_the_same_identity_and_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store_id = |server: &Server| {
        let output = status(server, &data, true);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        json["store"]["store_id"].as_str().unwrap().to_owned()
    };
    let server = Server::start(&data);
    let first = store_id(&server);
    server.terminate();
    let credentials = std::fs::read(data.join("credentials")).unwrap();
    let server = Server::start(&data);
    assert_eq!(store_id(&server), first);
    assert_eq!(
        std::fs::read(data.join("credentials")).unwrap(),
        credentials
    );
    server.terminate();
}
