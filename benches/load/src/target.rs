//! What is driven: a server that we start on three folders, or an endpoint that somebody else runs.
//!
//! A server of ours lies in a folder of its own that goes with it, is ended however the run ends, and
//! tells its figures. Of an endpoint only what a client sees is known, and with a process id what the
//! kernel tells.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use strongroom_base::tasks;
use tempfile::TempDir;

use crate::metrics::Figures;
use crate::process::Usage;
use crate::wire::Connection;
use strongroom_load::sign::Signer;

/// How long a new server may take to answer: it formats three folders.
const START_WAIT: Duration = Duration::from_secs(30);
const ASK_INTERVAL: Duration = Duration::from_millis(50);
/// Bytes of deleted objects go at once: a run would fill its disk otherwise.
const HOLD_BACK: &str = "1s";

/// Something that answers S3 requests.
pub struct Target {
    /// How the tables call it.
    pub name: String,
    pub address: String,
    pub signer: Signer,
    admin_address: Option<String>,
    pid: Option<u32>,
    /// The server and its folder, when they are ours.
    _server: Option<Server>,
}

struct Server {
    child: Child,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a target has used so far; what can not be known is absent.
pub struct Used {
    pub process: Option<Usage>,
    pub syncs: Option<f64>,
}

impl Target {
    /// `what` is a program to start below `folder`, or `http://HOST:PORT` with `@PID` after it.
    pub async fn open(what: &str, folder: &Path, keys: Option<&Signer>) -> Result<Self> {
        match what.strip_prefix("http://") {
            Some(rest) => Self::endpoint(rest, keys),
            None => Self::start(what, folder).await,
        }
    }

    fn endpoint(what: &str, keys: Option<&Signer>) -> Result<Self> {
        let (address, pid) = match what.split_once('@') {
            Some((address, pid)) => (address, Some(pid.parse().context("the id after @")?)),
            None => (what, None),
        };
        let signer = keys.context("an endpoint needs --access-key and --secret-key")?;
        Ok(Self {
            name: format!("http://{address}"),
            address: address.trim_end_matches('/').to_owned(),
            signer: signer.clone(),
            admin_address: None,
            pid,
            _server: None,
        })
    }

    async fn start(program: &str, folder: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("strongroom-load-")
            .tempdir_in(folder)
            .with_context(|| format!("make a folder in {}", folder.display()))?;
        let data = folder.path().join("data");
        let (address, admin_address) = (free_address()?, free_address()?);
        let log = folder.path().join("log");
        let child = Command::new(program)
            .args(["server", "--log", "warn", "--hold-back", HOLD_BACK])
            .args(["--address", &address, "--admin-address", &admin_address])
            .arg("--data")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("start {program}"))?;
        let pid = child.id();
        let mut server = Server {
            child,
            _folder: folder,
        };
        wait(&mut server.child, &admin_address, &log).await?;
        Ok(Self {
            name: program.to_owned(),
            address,
            signer: read_signer(&data.join("credentials"))?,
            admin_address: Some(admin_address),
            pid: Some(pid),
            _server: Some(server),
        })
    }

    /// What it has used so far.
    pub async fn used(&self) -> Result<Used> {
        let syncs = match &self.admin_address {
            Some(address) => Some(Figures::read(address, &self.signer).await?.syncs()),
            None => None,
        };
        Ok(Used {
            process: self.pid.map(Usage::of).transpose()?,
            syncs,
        })
    }
}

/// An address nobody listens on now.
fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?.to_string())
}

/// Waits until the server takes writes.
async fn wait(child: &mut Child, admin_address: &str, log: &PathBuf) -> Result<()> {
    let head = format!("GET /readyz/write HTTP/1.1\r\nhost: {admin_address}\r\n\r\n");
    let rounds = START_WAIT.as_millis() / ASK_INTERVAL.as_millis();
    for _ in 0..rounds {
        if let Ok(mut connection) = Connection::connect(admin_address).await {
            let answer = connection
                .exchange(&head, [b"", b""], 200, &mut |_, _| Ok(()))
                .await;
            if answer.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
        }
        if let Some(status) = child.try_wait()? {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            bail!("the server ended ({status}): {}", said.trim());
        }
        tasks::sleep(ASK_INTERVAL).await;
    }
    bail!(
        "the server takes no writes after {} s",
        START_WAIT.as_secs()
    )
}

/// The root credentials that a server left in its folder.
fn read_signer(path: &Path) -> Result<Signer> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='))
            .map(|value| value.trim().to_owned())
            .ok_or_else(|| anyhow!("{} has no {name}", path.display()))
    };
    Ok(Signer {
        access_key: value("aws_access_key_id")?,
        secret_key: value("aws_secret_access_key")?,
        region: "us-east-1".to_owned(),
    })
}
