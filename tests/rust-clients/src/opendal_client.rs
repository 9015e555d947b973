//! OpenDAL: a file-like layer over stores, with concurrent parts and bulk deletes.

use std::time::Duration;

use anyhow::{Result, ensure};
use opendal::services::S3;
use opendal::{ErrorKind, Operator};

use crate::{MIB, REGION, Target, content, passed};

pub async fn run(target: &Target) -> Result<()> {
    opendal_http_transport_reqwest::install_default();
    let service = S3::default()
        .endpoint(&target.endpoint)
        .region(REGION)
        .bucket(&target.bucket)
        .access_key_id(&target.access_key)
        .secret_access_key(&target.secret_key)
        .root("/dal root")
        .disable_config_load()
        .disable_ec2_metadata();
    let store = Operator::new(service)?;
    store.check().await?;
    files(&store).await?;
    conditions(&store).await?;
    large(&store).await?;
    tree(&store).await?;
    let link = store
        .presign_read("a file", Duration::from_secs(60))
        .await?;
    println!("link: {}", link.uri());
    Ok(())
}

async fn files(store: &Operator) -> Result<()> {
    for size in [0, 1, 100_000, 2 * MIB] {
        let data = content(size as u64, size);
        store.write("a file", data.clone()).await?;
        let about = store.stat("a file").await?;
        ensure!(about.content_length() == size as u64, "wrong length");
        ensure!(store.read("a file").await?.to_vec() == data, "wrong bytes");
    }
    let part = store.read_with("a file").range(5..25).await?.to_vec();
    ensure!(
        part == content(2 * MIB as u64, 2 * MIB)[5..25],
        "wrong range"
    );
    store.copy("a file", "a copy").await?;
    ensure!(
        store.read("a copy").await?.len() == 2 * MIB,
        "a copy has another length"
    );
    store.delete("a copy").await?;
    let gone = store.stat("a copy").await;
    ensure!(
        gone.is_err_and(|e| e.kind() == ErrorKind::NotFound),
        "a deleted file is there"
    );
    store.write("a file", "linked").await?;
    passed("write, stat, read, copy, delete");
    Ok(())
}

async fn conditions(store: &Operator) -> Result<()> {
    store.write_with("once", "one").if_not_exists(true).await?;
    let again = store.write_with("once", "two").if_not_exists(true).await;
    ensure!(
        again.is_err_and(|e| e.kind() == ErrorKind::ConditionNotMatch),
        "written twice"
    );
    ensure!(
        store.read("once").await?.to_vec() == b"one",
        "the first write is gone"
    );
    passed("if_not_exists");
    Ok(())
}

async fn large(store: &Operator) -> Result<()> {
    let data = content(5, 42 * MIB + 3);
    let mut writer = store
        .writer_with("large")
        .chunk(8 * MIB)
        .concurrent(4)
        .await?;
    for piece in data.chunks(3 * MIB) {
        writer.write(piece.to_vec()).await?;
    }
    writer.close().await?;
    let got = store
        .read_with("large")
        .chunk(4 * MIB)
        .concurrent(4)
        .await?;
    ensure!(got.to_vec() == data, "a large upload has wrong bytes");
    let mut dropped = store.writer_with("dropped").chunk(5 * MIB).await?;
    dropped.write(content(6, 11 * MIB)).await?;
    dropped.abort().await?;
    ensure!(!store.exists("dropped").await?, "an aborted upload shows");
    passed("42 MiB in concurrent parts, an aborted upload");
    Ok(())
}

async fn tree(store: &Operator) -> Result<()> {
    for number in 0..25 {
        store
            .write(
                &format!("tree/{}/{number}", number % 3),
                vec![number as u8; 10],
            )
            .await?;
    }
    store.create_dir("tree/empty/").await?;
    let top = store.list("tree/").await?;
    let mut names: Vec<&str> = top.iter().map(|entry| entry.path()).collect();
    names.retain(|name| *name != "tree/");
    ensure!(
        names == ["tree/0/", "tree/1/", "tree/2/", "tree/empty/"],
        "listed {names:?}"
    );
    let all = store.list_with("tree/").recursive(true).limit(10).await?;
    let files = all
        .iter()
        .filter(|entry| entry.metadata().is_file())
        .count();
    ensure!(files == 25, "a recursive list shows {files} of 25 files");
    store.delete_with("tree/").recursive(true).await?;
    ensure!(store.list("tree/").await?.is_empty(), "files are left");
    passed("lists, recursive delete");
    Ok(())
}
