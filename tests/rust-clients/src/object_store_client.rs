//! `object_store`, the storage layer of DataFusion, Delta and others: its own integration suite,
//! which says what it demands of a store, and a large upload.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum, S3ConditionalPut};
use object_store::buffered::BufWriter;
use object_store::integration as suite;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::io::AsyncWriteExt;

use crate::{MIB, REGION, Target, content, passed};

fn builder(target: &Target) -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_endpoint(&target.endpoint)
        .with_allow_http(true)
        .with_region(REGION)
        .with_bucket_name(&target.bucket)
        .with_access_key_id(&target.access_key)
        .with_secret_access_key(&target.secret_key)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
}

pub async fn run(target: &Target) -> Result<()> {
    let store = builder(target).build()?;
    suite::put_get_delete_list(&store).await;
    suite::list_with_offset_exclusivity(&store).await;
    suite::get_opts(&store).await;
    suite::list_uses_directories_correctly(&store).await;
    suite::list_with_delimiter(&store).await;
    passed("the suite's reads and lists");
    suite::rename_and_copy(&store).await;
    suite::stream_get(&store).await;
    suite::put_get_attributes(&store).await;
    suite::put_opts(&store, true).await;
    passed("the suite's writes, copies and conditional puts");
    suite::multipart(&store, &store).await;
    suite::multipart_with_opts(&store, &store).await;
    suite::multipart_put_part_out_of_order(&store, &store).await;
    suite::multipart_race_condition(&store, true).await;
    suite::multipart_out_of_order(&store).await;
    suite::list_paginated(&store, &store).await;
    passed("the suite's multipart uploads and pages");
    let unsigned = builder(target).with_unsigned_payload(true).build()?;
    suite::put_get_delete_list(&unsigned).await;
    let summed = builder(target)
        .with_checksum_algorithm(Checksum::SHA256)
        .build()?;
    suite::put_get_delete_list(&summed).await;
    let summed = builder(target)
        .with_checksum_algorithm(Checksum::CRC64NVME)
        .build()?;
    suite::put_get_delete_list(&summed).await;
    passed("the suite with unsigned payloads, SHA256 and CRC64NVME");
    large(store).await
}

/// The part of the suite that writes with tags.
pub async fn tagging(target: &Target) -> Result<()> {
    let store = builder(target).build()?;
    let path = Path::from("tagged");
    let mut tags = object_store::TagSet::default();
    tags.push("colour", "blue & green");
    let options = object_store::PutOptions::from(tags);
    store.put_opts(&path, "x".into(), options).await?;
    passed("a put with tags");
    Ok(())
}

async fn large(store: AmazonS3) -> Result<()> {
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    let path = Path::from("large/streamed");
    let data = content(3, 41 * MIB + 5);
    let mut writer = BufWriter::new(Arc::clone(&store), path.clone());
    writer.write_all(&data).await.context("stream up")?;
    writer.shutdown().await.context("complete")?;
    let got = store.get(&path).await?.bytes().await?;
    ensure!(got == data, "a large upload has wrong bytes");
    let ranges = [
        0..10,
        20 * MIB as u64..20 * MIB as u64 + 100,
        41 * MIB as u64..41 * MIB as u64 + 5,
    ];
    for (range, bytes) in ranges.iter().zip(store.get_ranges(&path, &ranges).await?) {
        ensure!(
            bytes == data[range.start as usize..range.end as usize],
            "wrong bytes at {range:?}"
        );
    }
    store.delete(&path).await?;
    passed("a streamed upload of 41 MiB and ranges of it");
    Ok(())
}
