//! The examples that AWS publishes for Signature Version 4 in S3, with their published signatures.

use http::{HeaderMap, HeaderName, Method};
use strongroom_base::Timestamp;
use strongroom_s3_front::Credentials;
use strongroom_s3_front::auth::key_cache::KeyCache;
use strongroom_s3_front::auth::{Authenticator, Payload, Presented};
use strongroom_s3_front::body::chunked::{Decoder, Expected};
use strongroom_s3_front::target::Target;

const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NOW: Timestamp = Timestamp(1_369_353_600_000_000_000);
const HOST: &str = "examplebucket.s3.amazonaws.com";
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn verify(
    method: &str,
    uri: &str,
    host: &str,
    headers: &[(&'static str, &str)],
) -> Option<Payload> {
    let target = Target::parse(&uri.parse().unwrap(), None).unwrap();
    let mut map: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    map.insert("host", host.parse().unwrap());
    let credentials = Credentials::root(ACCESS_KEY, SECRET_KEY);
    let authenticator = Authenticator {
        region: "us-east-1",
        credentials: &credentials,
        keys: &KeyCache::default(),
        now: NOW,
    };
    let presented = Presented {
        method: &method.parse::<Method>().unwrap(),
        target: &target,
        headers: &map,
        host,
    };
    authenticator
        .verify(&presented)
        .ok()
        .map(|done| done.payload)
}

fn authorization(signed_headers: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20130524/us-east-1/s3/aws4_request,\
         SignedHeaders={signed_headers},Signature={signature}"
    )
}

#[test]
fn the_published_get_of_a_range_is_accepted() {
    let text = authorization(
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
    let headers = [
        ("range", "bytes=0-9"),
        ("x-amz-content-sha256", NOTHING),
        ("x-amz-date", "20130524T000000Z"),
        ("authorization", text.as_str()),
    ];
    assert!(verify("GET", "/test.txt", HOST, &headers).is_some());
    assert!(verify("GET", "/test.txu", HOST, &headers).is_none());
}

#[test]
fn the_published_put_of_an_object_is_accepted() {
    let text = authorization(
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    );
    let headers = [
        ("date", "Fri, 24 May 2013 00:00:00 GMT"),
        (
            "x-amz-content-sha256",
            "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        ),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("authorization", text.as_str()),
    ];
    assert!(verify("PUT", "/test$file.text", HOST, &headers).is_some());
}

#[test]
fn the_published_subresource_and_list_are_accepted() {
    for (uri, signature) in [
        (
            "/?lifecycle",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "/?max-keys=2&prefix=J",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ] {
        let text = authorization("host;x-amz-content-sha256;x-amz-date", signature);
        let headers = [
            ("x-amz-content-sha256", NOTHING),
            ("x-amz-date", "20130524T000000Z"),
            ("authorization", text.as_str()),
        ];
        assert!(verify("GET", uri, HOST, &headers).is_some(), "{uri}");
    }
}

#[test]
fn the_published_presigned_url_is_accepted() {
    let uri = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
               &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
               &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
               &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    assert!(verify("GET", uri, HOST, &[]).is_some());
}

#[test]
fn the_published_upload_in_chunks_is_accepted() {
    let text = authorization(
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;\
         x-amz-decoded-content-length;x-amz-storage-class",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    );
    let headers = [
        ("content-encoding", "aws-chunked"),
        ("content-length", "66824"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-decoded-content-length", "66560"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("authorization", text.as_str()),
    ];
    let uri = "/examplebucket/chunkObject.txt";
    let payload = verify("PUT", uri, "s3.amazonaws.com", &headers);
    let Some(Payload::Chunked { signed, trailers }) = payload else {
        panic!("the request was refused");
    };
    let mut decoder = Decoder::new(Expected {
        size: 66_560,
        trailers: Vec::new(),
        trailers_allowed: trailers,
        signed,
    });
    let mut body = Vec::new();
    for (size, signature) in [
        (
            65_536,
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        ),
        (
            1024,
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        ),
        (
            0,
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ),
    ] {
        body.extend_from_slice(format!("{size:x};chunk-signature={signature}\r\n").as_bytes());
        body.extend(std::iter::repeat_n(b'a', size));
        body.extend_from_slice(b"\r\n");
    }
    assert_eq!(body.len(), 66_824);
    let mut input = bytes::Bytes::from(body);
    let mut size = 0;
    while !input.is_empty() {
        size += decoder
            .feed(&mut input)
            .unwrap()
            .map_or(0, |piece| piece.len());
    }
    assert!(decoder.finish().is_ok());
    assert_eq!(size, 66_560);
}
