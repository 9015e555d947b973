//! The server's own figures, before and after.

use std::collections::HashMap;

use anyhow::{Result, bail};
use base64::Engine as _;
use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, HOST};
use http_body_util::{BodyExt, Full};

use crate::client::connect;
use crate::sign::Signer;

/// The figures at one instant.
pub struct Figures(HashMap<String, f64>);

impl Figures {
    /// Reads `/metrics`.
    pub async fn read(address: &str, signer: &Signer) -> Result<Self> {
        let mut sender = connect(address).await?;
        let pair = format!("{}:{}", signer.access_key, signer.secret_key);
        let pair = base64::engine::general_purpose::STANDARD.encode(pair);
        let request = Request::get("/metrics")
            .header(HOST, address)
            .header(AUTHORIZATION, format!("Basic {pair}"))
            .body(Full::new(Bytes::new()))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let text = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("the metrics page answers {status}");
        }
        let text = String::from_utf8_lossy(&text);
        let figures = text.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(Self(figures.collect()))
    }

    /// How much `name` has grown since `before`.
    pub fn since(&self, before: &Self, name: &str) -> f64 {
        let value = |figures: &Self| figures.0.get(name).copied().unwrap_or(f64::NAN);
        value(self) - value(before)
    }
}
