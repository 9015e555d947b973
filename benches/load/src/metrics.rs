//! The server's own figures.

use std::collections::HashMap;

use anyhow::{Result, bail};
use base64::Engine as _;

use crate::wire::Connection;
use strongroom_load::sign::Signer;

/// The figures at one instant.
pub struct Figures(HashMap<String, f64>);

impl Figures {
    /// Reads `/metrics`.
    pub async fn read(address: &str, signer: &Signer) -> Result<Self> {
        let pair = format!("{}:{}", signer.access_key, signer.secret_key);
        let pair = base64::engine::general_purpose::STANDARD.encode(pair);
        let head = format!(
            "GET /metrics HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic {pair}\r\n\r\n"
        );
        let mut text = Vec::new();
        let sink = &mut |_, bytes: &[u8]| {
            text.extend_from_slice(bytes);
            Ok(())
        };
        let mut connection = Connection::connect(address).await?;
        let answer = connection.exchange(&head, [b"", b""], 200, sink).await?;
        if answer.status != 200 {
            bail!("the metrics page answers {}", answer.status);
        }
        let text = String::from_utf8_lossy(&text);
        let figures = text.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(Self(figures.collect()))
    }

    /// Syncs of files, of the commit log and of segments.
    pub fn syncs(&self) -> f64 {
        [
            "strongroom_log_syncs_total",
            "strongroom_segment_syncs_total",
        ]
        .iter()
        .map(|name| self.0.get(*name).copied().unwrap_or(f64::NAN))
        .sum()
    }
}
