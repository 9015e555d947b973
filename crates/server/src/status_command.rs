//! `strongroom status`: ask a running server how it is.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use strongroom_admin_server::{EngineStatus, RootCredentials, Status, basic_authorization};
use strongroom_base::tasks;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Failure;
use crate::cli::StatusFlags;
use crate::credentials;
use crate::screen::reachable;
use crate::settings::{Settings, process_environment};
use crate::tls;

/// How long the server may take to answer: its disks may be slow, a person waits.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);
/// Largest answer: 64 zones of 64 disks fit several times.
const ANSWER_SIZE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Runs the command.
///
/// # Errors
/// Wrong settings, no server, wrong credentials.
pub fn run(flags: &StatusFlags) -> Result<(), Failure> {
    let environment = process_environment();
    let settings = Settings::resolve(flags.layer(), flags.config.as_deref(), &environment)?;
    let (root, _) = credentials::load(&settings, &environment, None)?;
    let address = reachable(settings.admin_address);
    let own = settings.tls.admin_certificate();
    let certificate = flags.tls_certificate.clone().or(own);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Run(format!("cannot start: {error}")))?;
    let body = runtime.block_on(async {
        tasks::timeout(
            ANSWER_DEADLINE,
            fetch(address, certificate.as_deref(), &root),
        )
        .await
        .unwrap_or_else(|_| {
            let seconds = ANSWER_DEADLINE.as_secs();
            Err(Failure::Run(format!(
                "{address} gave no answer in {seconds} s: is it Strongroom?"
            )))
        })
    })?;
    let status: Status = serde_json::from_slice(&body).map_err(|error| {
        Failure::Run(format!(
            "{address} answered something else ({error}): check --admin-address"
        ))
    })?;
    let text = if flags.json {
        serde_json::to_string_pretty(&status).expect("a status is plain data") + "\n"
    } else {
        table(&status)
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

async fn fetch(
    address: SocketAddr,
    certificate: Option<&Path>,
    root: &RootCredentials,
) -> Result<Bytes, Failure> {
    let lost = |error: &dyn std::fmt::Display| {
        Failure::Run(format!(
            "no answer from {address} ({error}): start the server, or name its administration \
             port with --admin-address and its certificate with --tls-certificate"
        ))
    };
    let stream = tokio::net::TcpStream::connect(address)
        .await
        .map_err(|error| lost(&error))?;
    let sender = match certificate {
        None => shake_hands(stream).await,
        Some(certificate) => {
            let stream = tls::connect(stream, certificate);
            shake_hands(stream.await.map_err(|error| lost(&error))?).await
        }
    };
    let mut sender = sender.map_err(|error| lost(&error))?;
    let request = Request::get("/v1/status")
        .header(http::header::HOST, address.to_string())
        .header(http::header::AUTHORIZATION, basic_authorization(root))
        .body(Empty::<Bytes>::new())
        .map_err(|error| lost(&error))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| lost(&error))?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => {
            return Err(Failure::Run(format!(
                "{address} refuses the credentials: use those the server was started with"
            )));
        }
        other => {
            return Err(Failure::Run(format!(
                "{address} answered {other}: check --admin-address"
            )));
        }
    }
    let body = Limited::new(response.into_body(), ANSWER_SIZE_BYTES_MAX)
        .collect()
        .await;
    Ok(body.map_err(|error| lost(&error))?.to_bytes())
}

async fn shake_hands(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> hyper::Result<SendRequest<Empty<Bytes>>> {
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tasks::spawn(connection);
    Ok(sender)
}

fn table(status: &Status) -> String {
    let mut text = String::new();
    let yes = |on: bool| if on { "yes" } else { "no" };
    let _ = writeln!(text, "version    {}", status.version);
    let _ = writeln!(text, "up         {} s", status.uptime_seconds);
    let _ = writeln!(text, "reads      {}", yes(status.readable));
    let _ = writeln!(text, "writes     {}", yes(status.writable));
    if let Some(reason) = &status.reason {
        let _ = writeln!(text, "reason     {reason}");
    }
    if let Some(store) = &status.store {
        table_store(&mut text, store);
    }
    let _ = writeln!(text, "\n{}", status.survives);
    text
}

fn table_store(text: &mut String, store: &EngineStatus) {
    let _ = writeln!(text, "store      {}", store.store_id);
    let _ = writeln!(text, "generation {}", store.generation);
    let _ = writeln!(text, "position   {}", store.log_position);
    let _ = writeln!(
        text,
        "commits    {} in {} batches, {} log syncs, {} segment syncs",
        store.commits, store.batches, store.log_syncs, store.segment_syncs
    );
    if let Some(reduced) = store.blobs_reduced {
        let _ = writeln!(text, "reduced    {reduced} blobs");
    }
    let _ = writeln!(
        text,
        "\n{:<12} {:<8} {:>10} {:>10}  FOLDER",
        "ZONE", "SERVICE", "FREE", "SIZE"
    );
    for zone in &store.zones {
        let why = zone
            .reason
            .as_deref()
            .map(|why| format!("{:>25}{why}", ""))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "{:<12} {:<8}{why}",
            zone.name,
            service(zone.in_service)
        );
        for disk in &zone.disks {
            let why = disk
                .reason
                .as_ref()
                .map(|why| format!(" ({why})"))
                .unwrap_or_default();
            let _ = writeln!(
                text,
                "{:<12} {:<8} {:>10} {:>10}  {}{why}",
                "",
                service(disk.in_service),
                size(disk.bytes_free),
                size(disk.bytes_total),
                disk.folder,
            );
        }
    }
}

fn service(on: bool) -> &'static str {
    if on { "in" } else { "out" }
}

#[allow(clippy::cast_precision_loss)]
fn size(bytes: Option<u64>) -> String {
    let Some(bytes) = bytes else {
        return "?".to_owned();
    };
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            return format!("{value:.1} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} PiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_admin_server::{DiskStatus, ZoneStatus};

    #[test]
    fn the_table_shows_what_is_out_and_why() {
        let disk = DiskStatus {
            folder: "/mnt/b".to_owned(),
            reason: Some("failed: sync".to_owned()),
            bytes_free: Some(3 << 30),
            ..DiskStatus::default()
        };
        let zone = ZoneStatus {
            name: "b".to_owned(),
            disks: vec![disk],
            ..ZoneStatus::default()
        };
        let store = EngineStatus {
            zones: vec![zone],
            ..EngineStatus::default()
        };
        let text = table(&Status {
            store: Some(store),
            ..Status::default()
        });
        assert!(text.contains("b            out"), "{text}");
        assert!(
            text.contains("3.0 GiB          ?  /mnt/b (failed: sync)"),
            "{text}"
        );
    }
}
