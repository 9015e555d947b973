//! The AWS SDK for Rust: objects, streams with trailing checksums, multipart, pages, conditions,
//! presigned requests, bulk deletes.

use std::time::Duration;

use anyhow::{Result, ensure};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, Delete,
    ObjectIdentifier,
};

use crate::{MIB, REGION, Target, content, passed};

const PART_COUNT: usize = 9;
const PART_SIZE: usize = 5 * MIB;

fn client(target: &Target) -> Client {
    let credentials = Credentials::new(&target.access_key, &target.secret_key, None, None, "tests");
    let config = aws_sdk_s3::config::Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(&target.endpoint)
        .force_path_style(true)
        .credentials_provider(credentials)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

pub async fn run(target: &Target) -> Result<()> {
    let s3 = client(target);
    let bucket = target.bucket.as_str();
    s3.create_bucket().bucket(bucket).send().await?;
    s3.head_bucket().bucket(bucket).send().await?;
    passed("create_bucket, head_bucket");
    objects(&s3, bucket).await?;
    checksums(&s3, bucket).await?;
    conditions(&s3, bucket).await?;
    multipart(&s3, bucket).await?;
    presigned(&s3, bucket).await?;
    pages_and_deletes(&s3, bucket).await?;
    s3.delete_bucket().bucket(bucket).send().await?;
    let gone = s3.head_bucket().bucket(bucket).send().await;
    ensure!(
        gone.is_err_and(|e| e.into_service_error().is_not_found()),
        "the bucket is still there"
    );
    passed("delete_bucket");
    Ok(())
}

async fn get(s3: &Client, bucket: &str, key: &str) -> Result<Vec<u8>> {
    let answer = s3
        .get_object()
        .bucket(bucket)
        .key(key)
        .checksum_mode(ChecksumMode::Enabled);
    Ok(answer.send().await?.body.collect().await?.to_vec())
}

async fn objects(s3: &Client, bucket: &str) -> Result<()> {
    for size in [0, 1, 16 * 1024, 16 * 1024 + 1, 3 * MIB + 17] {
        let data = content(size as u64, size);
        let key = format!("objects/of {size} bytes+ü");
        let put = s3
            .put_object()
            .bucket(bucket)
            .key(&key)
            .metadata("colour", "blue");
        let put = put.body(ByteStream::from(data.clone())).send().await?;
        let head = s3.head_object().bucket(bucket).key(&key).send().await?;
        ensure!(
            head.content_length() == Some(size as i64),
            "{key}: wrong length"
        );
        ensure!(head.e_tag() == put.e_tag(), "{key}: wrong ETag");
        ensure!(
            head.metadata()
                .and_then(|m| m.get("colour"))
                .is_some_and(|c| c == "blue")
        );
        ensure!(get(s3, bucket, &key).await? == data, "{key}: wrong bytes");
    }
    let range = s3
        .get_object()
        .bucket(bucket)
        .key("objects/of 16384 bytes+ü")
        .range("bytes=10-19");
    let range = range.send().await?.body.collect().await?.to_vec();
    ensure!(range == content(16384, 16384)[10..20], "wrong range");
    let missing = s3.get_object().bucket(bucket).key("none").send().await;
    ensure!(
        missing.is_err_and(|e| e.into_service_error().is_no_such_key()),
        "a key nobody wrote"
    );
    passed("put_object, get_object, head_object");
    Ok(())
}

async fn checksums(s3: &Client, bucket: &str) -> Result<()> {
    let path = std::env::temp_dir().join(format!("strongroom-rust-client-{}", std::process::id()));
    let data = content(7, 2 * MIB);
    tokio::fs::write(&path, &data).await?;
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ] {
        // A stream: the checksum travels in a trailer behind the body.
        let body = ByteStream::from_path(&path).await?;
        let put = s3
            .put_object()
            .bucket(bucket)
            .key("summed")
            .checksum_algorithm(algorithm.clone());
        put.body(body).send().await?;
        ensure!(
            get(s3, bucket, "summed").await? == data,
            "{algorithm}: wrong bytes"
        );
        passed(&format!("a stream with {algorithm}"));
    }
    tokio::fs::remove_file(&path).await?;
    let wrong = s3
        .put_object()
        .bucket(bucket)
        .key("wrong")
        .checksum_crc32("AAAAAA==");
    let refused = wrong.body(ByteStream::from_static(b"abc")).send().await;
    ensure!(
        refused.is_err_and(|e| e.code() == Some("BadDigest")),
        "a wrong checksum is taken"
    );
    passed("a wrong checksum is refused");
    Ok(())
}

async fn conditions(s3: &Client, bucket: &str) -> Result<()> {
    let put = || {
        s3.put_object()
            .bucket(bucket)
            .key("once")
            .body(ByteStream::from_static(b"one"))
    };
    let first = put().if_none_match("*").send().await?;
    let second = put().if_none_match("*").send().await;
    ensure!(
        second.is_err_and(|e| e.code() == Some("PreconditionFailed")),
        "written twice"
    );
    put()
        .if_match(first.e_tag().unwrap_or_default())
        .send()
        .await?;
    let other = put()
        .if_match("\"00000000000000000000000000000000\"")
        .send()
        .await;
    ensure!(
        other.is_err_and(|e| e.code() == Some("PreconditionFailed")),
        "if-match is ignored"
    );
    passed("conditional puts");
    Ok(())
}

async fn multipart(s3: &Client, bucket: &str) -> Result<()> {
    let data = content(11, PART_COUNT * PART_SIZE + 1);
    let key = "multipart";
    let upload = s3.create_multipart_upload().bucket(bucket).key(key);
    let upload = upload
        .checksum_algorithm(ChecksumAlgorithm::Crc32)
        .send()
        .await?;
    let id = upload.upload_id().unwrap_or_default();
    let mut parts = Vec::new();
    for (number, bytes) in (1..).zip(data.chunks(PART_SIZE)) {
        let part = s3
            .upload_part()
            .bucket(bucket)
            .key(key)
            .upload_id(id)
            .part_number(number);
        let part = part.checksum_algorithm(ChecksumAlgorithm::Crc32);
        let part = part.body(ByteStream::from(bytes.to_vec())).send().await?;
        let done = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(part.e_tag.clone());
        parts.push(done.set_checksum_crc32(part.checksum_crc32.clone()).build());
    }
    let listed = s3
        .list_parts()
        .bucket(bucket)
        .key(key)
        .upload_id(id)
        .send()
        .await?;
    ensure!(
        listed.parts().len() == PART_COUNT + 1,
        "parts are missing from the list"
    );
    let parts = CompletedMultipartUpload::builder()
        .set_parts(Some(parts))
        .build();
    let complete = s3
        .complete_multipart_upload()
        .bucket(bucket)
        .key(key)
        .upload_id(id);
    complete.multipart_upload(parts).send().await?;
    ensure!(
        get(s3, bucket, key).await? == data,
        "a multipart upload has wrong bytes"
    );
    let copy = s3
        .copy_object()
        .bucket(bucket)
        .key("copy")
        .copy_source(format!("{bucket}/{key}"));
    copy.send().await?;
    ensure!(
        get(s3, bucket, "copy").await? == data,
        "a copy has wrong bytes"
    );
    passed("a multipart upload and its copy");
    Ok(())
}

/// The store checks a presigned request as this SDK signs it; a plain client sends it.
async fn presigned(s3: &Client, bucket: &str) -> Result<()> {
    let valid = PresigningConfig::expires_in(Duration::from_secs(60))?;
    let get = s3
        .get_object()
        .bucket(bucket)
        .key("once")
        .presigned(valid)
        .await?;
    // The test that runs us fetches it without credentials.
    println!("link: {}", get.uri());
    Ok(())
}

async fn pages_and_deletes(s3: &Client, bucket: &str) -> Result<()> {
    for number in 0..30 {
        let put = s3
            .put_object()
            .bucket(bucket)
            .key(format!("page/{number:02}"));
        put.body(ByteStream::from_static(b"x")).send().await?;
    }
    let mut pages = s3
        .list_objects_v2()
        .bucket(bucket)
        .prefix("page/")
        .max_keys(7);
    pages = pages.delimiter("|");
    let mut pages = pages.into_paginator().send();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        count += page?.contents().len();
    }
    ensure!(count == 30, "pages hold {count} of 30 keys");
    let listed = s3.list_objects_v2().bucket(bucket).send().await?;
    let keep = |key: &str| key == "once";
    let mut delete = Delete::builder();
    for object in listed
        .contents()
        .iter()
        .filter_map(|o| o.key())
        .filter(|key| !keep(key))
    {
        delete = delete.objects(ObjectIdentifier::builder().key(object).build()?);
    }
    let done = s3
        .delete_objects()
        .bucket(bucket)
        .delete(delete.build()?)
        .send()
        .await?;
    ensure!(
        done.errors().is_empty(),
        "deletes failed: {:?}",
        done.errors()
    );
    let left = s3.list_objects_v2().bucket(bucket).send().await?;
    ensure!(
        left.key_count() == Some(1),
        "bulk delete left {:?}",
        left.key_count()
    );
    s3.delete_object().bucket(bucket).key("once").send().await?;
    passed("pages, delete_objects");
    Ok(())
}
