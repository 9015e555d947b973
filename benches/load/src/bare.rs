//! Bare hyper with one answer from memory: what HTTP itself costs on this machine.

use std::convert::Infallible;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use strongroom_base::tasks;
use tokio::net::TcpListener;

use strongroom_load::bodies::Bodies;

/// Serves the body with number 0 of `size` bytes, whatever is asked, and prints its address.
pub async fn serve(size: usize, seed: u64) -> Result<()> {
    let bodies = Bodies::new(size, seed);
    let body = bodies.body(0);
    let bytes = Bytes::from([body.piece, body.tail()].concat());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let bytes = bytes.clone();
        tasks::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let bytes = bytes.clone();
                async move {
                    // A body that was sent is taken, so that the connection stays.
                    let _ = request.into_body().collect().await;
                    Ok::<_, Infallible>(Response::new(Full::new(bytes)))
                }
            });
            // A client that goes away is no matter.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Such a server in a process of its own, so that its processor time can be told from ours.
pub struct Bare {
    pub address: String,
    pub pid: u32,
    child: Child,
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bare {
    pub fn start(size: usize, seed: u64) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([
                "bare",
                "--size",
                &size.to_string(),
                "--seed",
                &seed.to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start bare hyper")?;
        let pid = child.id();
        let pipe = child.stdout.take().context("standard output is piped")?;
        let mut bare = Self {
            address: String::new(),
            pid,
            child,
        };
        let mut reader = std::io::BufReader::new(pipe);
        std::io::BufRead::read_line(&mut reader, &mut bare.address)?;
        bare.address = bare.address.trim().to_owned();
        anyhow::ensure!(!bare.address.is_empty(), "bare hyper did not start");
        Ok(bare)
    }
}
