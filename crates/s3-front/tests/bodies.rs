//! Bodies that are not what was declared: each is refused, and nothing becomes visible.

mod common;

use common::{Call, World, crc32, sha256};

const PUT: &str = "/bucket/key";

fn content() -> Vec<u8> {
    (0..70_000_u32)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect()
}

/// Sends a PutObject that must fail, and checks that there is no object.
async fn refused(world: &World, call: Call, status: u16, code: &str) {
    world.send(call).await.expect_error(status, code);
    world.expect_no_object(PUT).await;
}

#[tokio::test]
async fn every_kind_of_payload_is_stored() {
    // PR12
    let world = World::with_bucket().await;
    let content = content();
    let checksum = crc32(&content);
    let trailer = [("x-amz-checksum-crc32", checksum.as_str())];
    let put = || Call::new("PUT", PUT);
    for (name, call) in [
        ("signed", put().body(&content).signed()),
        (
            "unsigned",
            put().body(&content).signed_as("UNSIGNED-PAYLOAD"),
        ),
        ("signed chunks", put().chunked(&content, 8192, &[], true)),
        (
            "signed chunks and trailer",
            put().chunked(&content, 65_536, &trailer, true),
        ),
        ("trailer", put().chunked(&content, 65_536, &trailer, false)),
        (
            "one chunk",
            put().chunked(&content, 1 << 20, &trailer, false),
        ),
        ("small chunks", put().chunked(&content, 100, &[], false)),
    ] {
        let answer = world.send(call).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let got = world.send(Call::new("GET", PUT).signed()).await.expect(200);
        assert_eq!(got.body, content, "{name}");
        assert_eq!(got.header("content-encoding"), None, "{name}");
        world
            .send(Call::new("DELETE", PUT).signed())
            .await
            .expect(204);
    }
}

#[tokio::test]
async fn an_empty_object_is_stored_by_every_kind_of_payload() {
    let world = World::with_bucket().await;
    let checksum = crc32(b"");
    let trailer = [("x-amz-checksum-crc32", checksum.as_str())];
    for call in [
        Call::new("PUT", PUT).body("").signed(),
        Call::new("PUT", PUT).chunked(b"", 1, &[], true),
        Call::new("PUT", PUT).chunked(b"", 1, &trailer, true),
        Call::new("PUT", PUT).chunked(b"", 1, &trailer, false),
    ] {
        world.send(call).await.expect(200);
        let got = world.send(Call::new("GET", PUT).signed()).await.expect(200);
        assert!(got.body.is_empty());
        world
            .send(Call::new("DELETE", PUT).signed())
            .await
            .expect(204);
    }
}

#[tokio::test]
async fn an_empty_body_is_verified_although_it_has_no_bytes() {
    let world = World::with_bucket().await;
    let cut = Call::new("PUT", PUT)
        .chunked(b"", 1, &[], true)
        .with_body_changed(Vec::clear);
    refused(&world, cut, 400, "IncompleteBody").await;
    let wrong = [("x-amz-checksum-crc32", "AAAAAQ==")];
    let trailer = Call::new("PUT", PUT).chunked(b"", 1, &wrong, false);
    refused(&world, trailer, 400, "BadDigest").await;
    let hash = Call::new("PUT", PUT).body("").signed_as(&sha256(b"x"));
    refused(&world, hash, 400, "XAmzContentSHA256Mismatch").await;
}

#[tokio::test]
async fn a_missing_terminal_chunk_is_refused() {
    // attack 12
    let world = World::with_bucket().await;
    for signed in [true, false] {
        let call = Call::new("PUT", PUT).chunked(&content(), 8192, &[], signed);
        let cut = call.with_body_changed(|body| {
            let end = body
                .windows(3)
                .rposition(|window| window == b"\r\n0")
                .unwrap()
                + 2;
            body.truncate(end);
        });
        refused(&world, cut, 400, "IncompleteBody").await;
    }
}

#[tokio::test]
async fn every_cut_of_a_chunked_body_is_refused() {
    let world = World::with_bucket().await;
    let checksum = crc32(b"hello world");
    let trailer = [("x-amz-checksum-crc32", checksum.as_str())];
    let call = Call::new("PUT", PUT).chunked(b"hello world", 5, &trailer, true);
    let size = call.pieces.concat().len();
    for end in 0..size {
        let cut = call.clone().with_body_changed(|body| body.truncate(end));
        let answer = world.send(cut).await;
        assert_eq!(answer.status, 400, "cut at {end}");
    }
    world.expect_no_object(PUT).await;
    world.send(call).await.expect(200);
}

#[tokio::test]
async fn a_decoded_length_that_is_too_short_or_too_long_is_refused() {
    // attack 14
    let world = World::with_bucket().await;
    for declared in ["10", "12"] {
        let call = Call::new("PUT", PUT)
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", declared)
            .raw_body("b\r\nhello world\r\n0\r\n\r\n")
            .signed_as("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        refused(&world, call, 400, "IncompleteBody").await;
    }
    let none = Call::new("PUT", PUT)
        .raw_body("b\r\nhello world\r\n0\r\n\r\n")
        .signed_as("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    refused(&world, none, 411, "MissingContentLength").await;
}

#[tokio::test]
async fn bytes_after_the_end_of_a_chunked_body_are_refused() {
    let world = World::with_bucket().await;
    let call = Call::new("PUT", PUT).chunked(b"hello", 5, &[], true);
    let longer = call.with_body_changed(|body| body.extend_from_slice(b"0\r\n\r\n"));
    refused(&world, longer, 400, "InvalidRequest").await;
}

#[tokio::test]
async fn a_wrong_chunk_signature_is_refused_in_every_chunk() {
    // attack 12
    let world = World::with_bucket().await;
    let call = Call::new("PUT", PUT).chunked(b"hello world", 5, &[], true);
    let body = call.pieces.concat();
    let marks: Vec<usize> = (0..body.len() - 16)
        .filter(|at| &body[*at..*at + 16] == b"chunk-signature=")
        .collect();
    assert_eq!(marks.len(), 4);
    for mark in marks {
        let at = mark + 20;
        let digit = if body[at] == b'0' { b'1' } else { b'0' };
        let changed = call.clone().with_body_changed(|body| body[at] = digit);
        refused(&world, changed, 403, "SignatureDoesNotMatch").await;
    }
}

#[tokio::test]
async fn a_changed_byte_of_a_signed_chunk_is_refused() {
    let world = World::with_bucket().await;
    let content = content();
    for at in [200, 40_000, 69_000] {
        let call = Call::new("PUT", PUT).chunked(&content, 8192, &[], true);
        let changed = call.with_body_changed(|body| body[at] ^= 1);
        let answer = world.send(changed).await;
        assert!(answer.status.is_client_error(), "{at}: {}", answer.text());
        world.expect_no_object(PUT).await;
    }
}

#[tokio::test]
async fn an_unsigned_chunk_in_a_signed_body_is_refused() {
    let world = World::with_bucket().await;
    let call = Call::new("PUT", PUT).chunked(b"hello", 5, &[], true);
    let stripped = call.with_body_changed(|body| {
        *body = b"5\r\nhello\r\n0\r\n\r\n".to_vec();
    });
    refused(&world, stripped, 403, "SignatureDoesNotMatch").await;
}

#[tokio::test]
async fn a_wrong_trailer_checksum_or_trailer_signature_is_refused() {
    let world = World::with_bucket().await;
    let wrong = [("x-amz-checksum-crc32", "AAAAAA==")];
    for signed in [true, false] {
        let call = Call::new("PUT", PUT).chunked(&content(), 8192, &wrong, signed);
        refused(&world, call, 400, "BadDigest").await;
    }
    let checksum = crc32(b"hello");
    let trailer = [("x-amz-checksum-crc32", checksum.as_str())];
    let call = Call::new("PUT", PUT).chunked(b"hello", 5, &trailer, true);
    let changed = call.with_body_changed(|body| {
        let at = body.len() - 6;
        body[at] = if body[at] == b'0' { b'1' } else { b'0' };
    });
    refused(&world, changed, 403, "SignatureDoesNotMatch").await;
}

#[tokio::test]
async fn an_announced_trailer_must_come_and_no_other_may() {
    // attack 15
    let world = World::with_bucket().await;
    let announced = |body: &str| {
        Call::new("PUT", PUT)
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", "5")
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .raw_body(body)
            .signed_as("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    };
    let missing = announced("5\r\nhello\r\n0\r\n\r\n");
    refused(&world, missing, 400, "MalformedTrailerError").await;
    let other = announced("5\r\nhello\r\n0\r\nx-amz-checksum-sha1:AA\r\n\r\n");
    refused(&world, other, 400, "MalformedTrailerError").await;
    let malformed = announced("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AA\r\n\r\n");
    refused(&world, malformed, 400, "InvalidRequest").await;
}

#[tokio::test]
async fn a_wrong_content_md5_is_refused() {
    // IN02, attack 11
    let world = World::with_bucket().await;
    let wrong = "1B2M2Y8AsgTpgAmY7PhCfg==";
    let call = Call::new("PUT", PUT)
        .header("content-md5", wrong)
        .body("hello")
        .signed();
    refused(&world, call, 400, "BadDigest").await;
    let call = Call::new("PUT", PUT)
        .header("content-md5", "AAAA")
        .body("hello")
        .signed();
    refused(&world, call, 400, "InvalidDigest").await;
    let right = "XUFAKrxLKna5cZ2REBfFkg==";
    let call = Call::new("PUT", PUT)
        .header("content-md5", right)
        .body("hello")
        .signed();
    world.send(call).await.expect(200);
}

#[tokio::test]
async fn a_wrong_payload_hash_is_refused() {
    // attack 11
    let world = World::with_bucket().await;
    let call = Call::new("PUT", PUT).body(content()).signed();
    let changed = call.with_body_changed(|body| body[0] ^= 1);
    refused(&world, changed, 400, "XAmzContentSHA256Mismatch").await;
    // Also where the body is not an object.
    let list = "<Delete><Object><Key>k</Key></Object></Delete>";
    let checksum = crc32(list.as_bytes());
    let delete = Call::new("POST", "/bucket?delete")
        .header("x-amz-checksum-crc32", &checksum)
        .body(list)
        .signed_as(&sha256(b"other"));
    world
        .send(delete)
        .await
        .expect_error(400, "XAmzContentSHA256Mismatch");
    let get = Call::new("GET", "/bucket").signed_as(&sha256(b"other"));
    world
        .send(get)
        .await
        .expect_error(400, "XAmzContentSHA256Mismatch");
}

#[tokio::test]
async fn a_wrong_checksum_header_is_refused() {
    // IN02
    let world = World::with_bucket().await;
    let call = Call::new("PUT", PUT).header("x-amz-checksum-crc32", "AAAAAA==");
    refused(&world, call.body("hello").signed(), 400, "BadDigest").await;
    let two = Call::new("PUT", PUT)
        .header("x-amz-checksum-crc32", &crc32(b"hello"))
        .header("x-amz-checksum-crc32c", "AAAAAA==");
    refused(&world, two.body("hello").signed(), 400, "InvalidRequest").await;
    let announced = Call::new("PUT", PUT).header("x-amz-sdk-checksum-algorithm", "CRC32");
    refused(
        &world,
        announced.body("hello").signed(),
        400,
        "InvalidRequest",
    )
    .await;
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_nothing() {
    let world = World::with_bucket().await;
    let mut call = Call::new("PUT", PUT)
        .body(content())
        .signed_as("UNSIGNED-PAYLOAD");
    call.pieces.truncate(50);
    refused(&world, call.clone(), 400, "IncompleteBody").await;
    call.cut = true;
    refused(&world, call, 400, "IncompleteBody").await;
    // Also when every byte came but the end did not.
    let mut call = Call::new("PUT", PUT)
        .body(content())
        .signed_as("UNSIGNED-PAYLOAD");
    call.cut = true;
    refused(&world, call, 400, "IncompleteBody").await;
}

#[tokio::test]
async fn a_body_without_a_length_is_refused() {
    // attack 14
    let world = World::with_bucket().await;
    let call = Call::new("PUT", PUT)
        .header("transfer-encoding", "chunked")
        .raw_body("hello");
    refused(&world, call.signed(), 411, "MissingContentLength").await;
}

#[tokio::test]
async fn a_body_that_is_only_called_chunked_is_refused() {
    let world = World::with_bucket().await;
    let call = Call::new("PUT", PUT)
        .header("content-encoding", "aws-chunked")
        .body("hello");
    refused(
        &world,
        call.signed_as("UNSIGNED-PAYLOAD"),
        400,
        "InvalidRequest",
    )
    .await;
}

#[tokio::test]
async fn a_body_that_is_read_whole_is_bounded() {
    let world = World::with_bucket().await;
    let call = Call::new("POST", "/bucket?delete").header("content-length", "8388609");
    let answer = world.send(call.signed_as("UNSIGNED-PAYLOAD")).await;
    answer.expect_error(400, "MaxMessageLengthExceeded");
}

#[tokio::test]
async fn a_coding_besides_chunks_stays_with_the_object() {
    let world = World::with_bucket().await;
    let call = Call::new("PUT", PUT)
        .header("content-encoding", "aws-chunked,gzip")
        .header("x-amz-decoded-content-length", "5")
        .raw_body("5\r\nhello\r\n0\r\n\r\n")
        .signed_as("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    world.send(call).await.expect(200);
    let got = world.send(Call::new("GET", PUT).signed()).await.expect(200);
    assert_eq!(got.header("content-encoding"), Some("gzip"));
}
