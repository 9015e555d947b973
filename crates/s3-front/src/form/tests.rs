use super::*;
use crate::body::Failure;

const BOUNDARY: &str = "xYzZY";

fn raw(body: &[u8], piece: usize) -> RawBody {
    let pieces: Vec<_> = body
        .chunks(piece)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    Box::pin(futures::stream::iter(pieces))
}

/// A form with these fields and this file, ending with `ending`.
fn form(fields: &[(&str, &str)], file: &[u8], ending: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let head =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(format!("{value}\r\n").as_bytes());
    }
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"C:\\\\x\\\\a.txt\"\r\n\
         Content-Type: text/plain\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(file);
    body.extend_from_slice(ending.as_bytes());
    body
}

/// Fields and file, or the code of the error.
async fn read(body: &[u8], piece: usize) -> std::result::Result<(Fields, Vec<u8>), String> {
    let code = |error: FrontError| error.code.into_owned();
    let form = Form::read(raw(body, piece), BOUNDARY, body.len() as u64)
        .await
        .map_err(code)?;
    let (fields, size) = (form.fields.clone(), form.file_size);
    let failure = Failure::default();
    let mut stream = form.into_file(failure.clone());
    let mut file = Vec::new();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => file.extend_from_slice(&piece),
            Err(_) => return Err(code(failure.take().unwrap())),
        }
    }
    assert_eq!(file.len() as u64, size);
    Ok((fields, file))
}

#[tokio::test]
async fn a_form_is_read_however_it_arrives() {
    let content = b"some\r\n--xYzZ text\r\n\r\n--".repeat(5);
    let body = form(
        &[("key", "a/${filename}"), ("ACL", "private")],
        &content,
        "\r\n--xYzZY--\r\n",
    );
    for piece in [1, 2, 3, 7, 64, 100_000] {
        let (fields, file) = read(&body, piece).await.unwrap();
        assert_eq!(file, content, "pieces of {piece}");
        let pairs: Vec<_> = fields.iter().collect();
        assert_eq!(pairs, [("key", "a/${filename}"), ("acl", "private")]);
    }
}

#[tokio::test]
async fn a_large_file_streams_and_its_end_is_checked() {
    let content = b"0123456789\r\n--xYzZ\r".repeat(10_000);
    let good = form(&[("key", "k")], &content, "\r\n--xYzZY--\r\n");
    assert_eq!(read(&good, 4096).await.unwrap().1, content);
    for ending in [
        "\r\n--xYzZY--",
        "\r\n--xYzZY\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\ngo\r\n--xYzZY--\r\n",
        "\r\n--xYzZY--\r\nepilogue",
        "\r\n--xYzZ--\r\n",
        "",
    ] {
        let body = form(&[("key", "k")], &content, ending);
        let refused = read(&body, 4096).await.map(|(_, file)| file.len());
        assert_eq!(
            refused,
            Err("MalformedPOSTRequest".to_owned()),
            "{ending:?}"
        );
    }
    // A boundary inside of the file would end it for another reader.
    let mut inside = content.clone();
    inside.extend_from_slice(b"\r\n--xYzZY--\r\n");
    inside.extend_from_slice(&content);
    let body = form(&[("key", "k")], &inside, "\r\n--xYzZY--\r\n");
    assert_eq!(read(&body, 4096).await.unwrap_err(), "MalformedPOSTRequest");
}

#[tokio::test]
async fn a_small_file_may_end_without_the_last_line_end() {
    for ending in ["\r\n--xYzZY--\r\n", "\r\n--xYzZY--"] {
        let body = form(&[("key", "k")], b"text", ending);
        assert_eq!(read(&body, 10).await.unwrap().1, b"text", "{ending:?}");
    }
}

#[tokio::test]
async fn every_cut_of_a_form_is_refused() {
    for file in [&b"text"[..], &b"t".repeat(70_000)] {
        let body = form(&[("key", "k"), ("policy", "p")], file, "\r\n--xYzZY--\r\n");
        let whole = body.len();
        for end in (0..300).chain(whole - 15..whole - 2) {
            // The length was that of the whole form.
            let cut =
                Form::read(raw(&body[..end.min(whole - 3)], 50), BOUNDARY, whole as u64).await;
            let Ok(form) = cut else { continue };
            let mut stream = form.into_file(Failure::default());
            let mut failed = false;
            while let Some(piece) = stream.next().await {
                failed |= piece.is_err();
            }
            assert!(failed, "cut at {end} of {whole}");
        }
    }
}

#[tokio::test]
async fn what_is_no_form_is_refused() {
    let part = |head: &str| format!("--xYzZY\r\n{head}\r\n\r\nv\r\n--xYzZY--\r\n");
    let many: String = (0..200)
        .map(|n| format!("--xYzZY\r\nContent-Disposition: form-data; name=\"f{n}\"\r\n\r\nv\r\n"))
        .collect();
    for (body, code) in [
        (String::new(), "MalformedPOSTRequest"),
        (
            "no form at all, but some text".into(),
            "MalformedPOSTRequest",
        ),
        (
            part("Content-Disposition: attachment; name=\"a\""),
            "MalformedPOSTRequest",
        ),
        (
            part("Content-Disposition: form-data"),
            "MalformedPOSTRequest",
        ),
        (
            part("Content-Disposition: form-data; name=\"a"),
            "MalformedPOSTRequest",
        ),
        (
            part("Content-Disposition: form-data; name=a; name=b"),
            "MalformedPOSTRequest",
        ),
        (
            part("Content-Disposition: form-data; name=\"\""),
            "MalformedPOSTRequest",
        ),
        (part("Content-Type: text/plain"), "MalformedPOSTRequest"),
        (
            part("Content-Disposition: form-data; name=\"é\" x"),
            "MalformedPOSTRequest",
        ),
        (
            part("Content-Disposition: form-data; name=\"a\""),
            "InvalidArgument",
        ),
        (many, "MalformedPOSTRequest"),
        (
            format!(
                "--xYzZY\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{}",
                "x".repeat(40_000)
            ),
            "MaxPostPreDataLengthExceeded",
        ),
        (
            format!("--xYzZY\r\nX: {}", "x".repeat(40_000)),
            "MaxPostPreDataLengthExceeded",
        ),
    ] {
        assert_eq!(
            read(body.as_bytes(), 999).await.unwrap_err(),
            code,
            "{body:.80}"
        );
    }
    let twice = form(&[("key", "a"), ("Key", "b")], b"x", "\r\n--xYzZY--\r\n");
    assert_eq!(read(&twice, 99).await.unwrap_err(), "InvalidArgument");
}

#[test]
fn a_file_has_the_name_without_its_path() {
    for (path, name) in [
        ("a.txt", "a.txt"),
        ("C:\\dir\\a.txt", "a.txt"),
        ("/etc/../passwd", "passwd"),
        ("dir/..", ".."),
        ("a\\\"b", "a\"b"),
        ("", ""),
    ] {
        let line = format!("Content-Disposition: form-data; name=\"file\"; filename=\"{path}\"");
        let head = PartHead::parse(line.as_bytes()).unwrap();
        assert_eq!(head.file_name(), name, "{path}");
    }
}

#[test]
fn a_boundary_is_read_from_the_content_type() {
    let of = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", text.parse().unwrap());
        boundary(&headers).map(std::result::Result::ok)
    };
    assert_eq!(of("text/plain; boundary=a"), None);
    assert_eq!(
        of("Multipart/Form-Data; charset=x; Boundary=a-b"),
        Some(Some("a-b".into()))
    );
    assert_eq!(
        of("multipart/form-data; boundary=\"a b\""),
        Some(Some("a b".into()))
    );
    for text in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"a",
    ] {
        assert_eq!(of(text), Some(None), "{text}");
    }
    let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
    assert_eq!(of(&long), Some(None));
}
