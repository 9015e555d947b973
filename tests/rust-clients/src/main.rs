//! Drives the Rust S3 clients against a store, one per word of the command line.
//!
//! `rust-clients CLIENT ENDPOINT BUCKET`, with the credentials in `AWS_ACCESS_KEY_ID` and
//! `AWS_SECRET_ACCESS_KEY`. A scenario that does not find what it wrote ends with a panic or an
//! error, and so with a status other than zero; each step it passed is a line of the output.

mod aws_sdk;
mod object_store_client;
mod opendal_client;

use anyhow::{Context, Result, anyhow, bail};

/// Where the store is and who asks.
struct Target {
    endpoint: String,
    bucket: String,
    access_key: String,
    secret_key: String,
}

const REGION: &str = "us-east-1";
const MIB: usize = 1024 * 1024;

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [client, endpoint, bucket] = words.as_slice() else {
        bail!("usage: rust-clients CLIENT ENDPOINT BUCKET");
    };
    let target = Target {
        endpoint: endpoint.clone(),
        bucket: bucket.clone(),
        access_key: std::env::var("AWS_ACCESS_KEY_ID").context("AWS_ACCESS_KEY_ID")?,
        secret_key: std::env::var("AWS_SECRET_ACCESS_KEY").context("AWS_SECRET_ACCESS_KEY")?,
    };
    // The tests speak plain HTTP, but the HTTP library of two clients wants this choice made.
    let provider = rustls::crypto::ring::default_provider();
    provider
        .install_default()
        .map_err(|_| anyhow!("a provider is installed already"))?;
    match client.as_str() {
        "aws-sdk-s3" => aws_sdk::run(&target).await,
        "object_store" => object_store_client::run(&target).await,
        "object_store-tagging" => object_store_client::tagging(&target).await,
        "opendal" => opendal_client::run(&target).await,
        _ => bail!("unknown client {client}"),
    }
}

/// Says that a step went well.
fn passed(step: &str) {
    println!("passed: {step}");
}

/// `size` bytes that depend on `seed` alone and do not repeat with a short period.
fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
