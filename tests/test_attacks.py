"""Every stranger refused: known attacks on S3 stores, over a raw socket.

The numbers are those of SECURITY.md's table. Each test sends what a client library would not, and
holds the server to the documented error, unchanged contents, and being alive; bombs also to flat
memory. Rows 30 and 31, framing and slow clients, are in test_ports.py.
"""

import base64
import concurrent.futures
import hashlib
import json
import re
import zlib

import pytest

from harness.attack import SIGNED_CHUNKS, UNSIGNED, UNSIGNED_TRAILER, Attack, Memory
from harness.raw import answers, error_code, exchange
from harness.server import ACCESS_KEY, REGION, SECRET_KEY, Server, StartError

MIB = 1024 * 1024
DENIED = (403, "AccessDenied")
MISMATCH = (403, "SignatureDoesNotMatch")
MALFORMED = (400, "AuthorizationHeaderMalformed")
QUERY = (400, "AuthorizationQueryParametersError")
CONTENT = bytes(range(256)) * 2


@pytest.fixture(scope="module")
def attack(server):
    """One bucket with some objects and an upload, which no attack may change."""
    client = server.client()
    client.create_bucket(Bucket="guarded")
    for key in ("kept", "folder/kept", "secret.txt"):
        client.put_object(Bucket="guarded", Key=key, Body=f"content of {key}".encode())
    client.create_multipart_upload(Bucket="guarded", Key="unfinished")
    yield Attack(server, "guarded")
    # Whatever was sent, nobody's secret is in what the server said (attack 44).
    assert SECRET_KEY not in server.log()


READS = [("GET", "/"), ("GET", "/guarded"), ("HEAD", "/guarded"), ("GET", "/guarded/kept"), ("HEAD", "/guarded/kept"),
         ("GET", "/guarded?uploads"), ("GET", "/guarded?location"), ("GET", "/guarded?acl")]
WRITES = [("PUT", "/guarded/k"), ("PUT", "/stranger"), ("DELETE", "/guarded"), ("DELETE", "/guarded/kept"),
          ("POST", "/guarded?delete"), ("POST", "/guarded/k?uploads"), ("PUT", "/guarded/k?partNumber=1&uploadId=u"),
          ("POST", "/guarded/k?uploadId=u"), ("DELETE", "/guarded/k?uploadId=u"), ("POST", "/guarded"),
          ("PUT", "/guarded?tagging"), ("PUT", "/guarded/kept?tagging"), ("POST", "/guarded/kept?select&select-type=2")]


@pytest.mark.parametrize("method, path", READS + WRITES)
def test_attack_1_no_credentials(attack, method, path):
    attack.refused(attack.plain(method, path, b"<x/>" if method in ("PUT", "POST") else b""), DENIED)


def test_attack_2_unknown_key_and_wrong_secret(attack):
    for method, path in [("GET", "/guarded/kept"), ("PUT", "/guarded/k")]:
        attack.accepted(attack.signed("GET", "/guarded/kept"))
        attack.refused(attack.signed(method, path, access="nobody"), (403, "InvalidAccessKeyId"))
        attack.refused(attack.signed(method, path, secret=SECRET_KEY + "x"), MISMATCH)
        attack.refused(attack.signed(method, path, access=ACCESS_KEY.upper()), (403, "InvalidAccessKeyId"))


def test_attack_3_a_clock_that_is_off_and_no_date(attack):
    for late in (-16 * 60, 16 * 60, -10 * 365 * 86400):
        attack.refused(attack.signed("GET", "/guarded/kept", late=late), (403, "RequestTimeTooSkewed"))
    attack.accepted(attack.signed("GET", "/guarded/kept", late=-14 * 60))
    whole = attack.signed("GET", "/guarded/kept")
    attack.refused(re.sub(rb"X-Amz-Date: [^\r]*\r\n", b"", whole), DENIED)
    attack.refused(re.sub(rb"X-Amz-Date: [^\r]*", b"X-Amz-Date: yesterday", whole), DENIED)


def test_attack_4_a_scope_that_is_not_ours(attack):
    answer = attack.refused(attack.signed("GET", "/guarded/kept", region="eu-central-9"), MALFORMED)
    assert f"<Region>{REGION}</Region>".encode() in answer
    attack.refused(attack.signed("GET", "/guarded/kept", service="iam"), MALFORMED)
    whole = attack.signed("GET", "/guarded/kept")
    for old, new in [(b"aws4_request", b"aws4_requests"), (b"/s3/aws4_request", b"/aws4_request"),
                     (b"/aws4_request", b""), (REGION.encode() + b"/s3", b"s3")]:
        attack.refused(whole.replace(old, new, 1), MALFORMED)
    day = re.search(rb"Credential=[^/]*/(\d{8})/", whole).group(1)
    attack.refused(whole.replace(b"/" + day + b"/", b"/20200101/", 1), MALFORMED)


def test_attack_5_two_mechanisms_and_a_streaming_payload_in_the_query(attack):
    presigned = attack.presigned("GET", "/guarded/kept")
    uri = presigned.split(b" ")[1].decode()
    both = attack.signed("GET", "/guarded/kept").replace(b"/guarded/kept", uri.encode(), 1)
    attack.refused(both, (400, "InvalidArgument"))
    for payload in (UNSIGNED_TRAILER, SIGNED_CHUNKS):
        headers = {"x-amz-content-sha256": payload, "x-amz-decoded-content-length": "1"}
        # Named but not signed, signed, and in the query.
        attack.refused(attack.presigned("PUT", "/guarded/k", b"1\r\nx\r\n0\r\n\r\n", unsigned=headers), DENIED)
        attack.refused(attack.presigned("PUT", "/guarded/k", b"1\r\nx\r\n0\r\n\r\n", headers=headers),
                       (400, "InvalidArgument"))


def test_attack_6_a_header_that_is_not_signed(attack):
    for name, value in [("x-amz-acl", "private"), ("x-amz-meta-a", "b"), ("x-amz-copy-source", "guarded/secret.txt"),
                        ("x-amz-checksum-crc32", "AAAAAA=="), ("X-Amz-Expected-Bucket-Owner", "000000000000")]:
        answer = attack.refused(attack.signed("PUT", "/guarded/k", unsigned={name: value}), DENIED)
        assert b"HeadersNotSigned" in answer and name.lower().encode() in answer
        attack.refused(attack.presigned("PUT", "/guarded/k", unsigned={name: value}), DENIED)
    attack.refused(attack.signed("GET", "/guarded/kept", leave_out=["host"]), DENIED)


@pytest.mark.parametrize("method, path", [write for write in WRITES if write[0] in ("PUT", "POST")])
def test_attack_7_a_forged_signature_on_a_streaming_payload(attack, method, path):
    for payload in (UNSIGNED_TRAILER, SIGNED_CHUNKS, SIGNED_CHUNKS + "-TRAILER"):
        headers = {"x-amz-decoded-content-length": "1", "content-encoding": "aws-chunked"}
        if payload.endswith("TRAILER"):
            headers["x-amz-trailer"] = "x-amz-checksum-crc32"
        body = b"1\r\nx\r\n0\r\nx-amz-checksum-crc32:jNAwYw==\r\n\r\n"
        whole = attack.signed(method, path, body, headers=headers, payload=payload)
        for forged in (b"0" * 64, b"f" * 64):
            attack.refused(re.sub(rb"Signature=[0-9a-f]{64}", b"Signature=" + forged, whole), MISMATCH)
        attack.refused(attack.plain(method, path, body, {**headers, "x-amz-content-sha256": payload}), DENIED)


def test_attack_8_a_presigned_link_at_the_wrong_time(attack):
    attack.accepted(attack.presigned("GET", "/guarded/kept", expires=60, late=-50))
    attack.refused(attack.presigned("GET", "/guarded/kept", expires=60, late=-70), DENIED)
    attack.refused(attack.presigned("GET", "/guarded/kept", late=16 * 60), DENIED)


@pytest.mark.parametrize("expires", ["604801", "-1", "abc", "", "0", "1e3", "99999999999999999999", "+60"])
def test_attack_9_an_expiry_that_is_none(attack, expires):
    attack.refused(attack.presigned("GET", "/guarded/kept", expires=expires), QUERY)


def test_attack_9_a_parameter_missing_or_given_twice(attack):
    for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"):
        found = re.compile(f"[?&](X-Amz-{name}=[^& ]*)")
        drop = lambda uri: "/guarded/kept?" + "&".join(  # noqa: E731
            p for p in uri.split("?", 1)[1].split("&") if not p.startswith(f"X-Amz-{name}="))
        twice = lambda uri: uri + "&" + found.search(uri).group(1)  # noqa: E731
        attack.refused(attack.presigned("GET", "/guarded/kept", change=drop), QUERY)
        attack.refused(attack.presigned("GET", "/guarded/kept", change=twice), QUERY)


def test_attack_10_a_presigned_link_used_for_something_else(attack):
    for method in ("PUT", "DELETE", "HEAD"):
        attack.refused(attack.presigned("GET", "/guarded/kept", as_method=method), MISMATCH)
    for change in (lambda uri: uri.replace("kept", "secret.txt", 1), lambda uri: uri + "&versionId=null",
                   lambda uri: uri + "&response-content-type=text/html", lambda uri: uri + "&partNumber=1",
                   lambda uri: uri.replace("/guarded/kept", "/guarded/./kept", 1),
                   lambda uri: uri.replace("/guarded/", "/other/", 1)):
        attack.refused(attack.presigned("GET", "/guarded/kept", change=change), MISMATCH)


def test_attack_11_a_body_that_is_not_what_was_declared(attack):
    good = attack.signed("PUT", "/guarded/k", b"declared")
    attack.refused(good.replace(b"\r\n\r\ndeclared", b"\r\n\r\ndeclareD"), (400, "XAmzContentSHA256Mismatch"))
    for headers, code in [({"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"),
                          ({"Content-MD5": "AAAA"}, "InvalidDigest"), ({"Content-MD5": "no base64!"}, "InvalidDigest"),
                          ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
                          ({"x-amz-checksum-sha256": base64.b64encode(bytes(32)).decode()}, "BadDigest"),
                          ({"x-amz-checksum-crc32": "AAAA"}, "InvalidRequest")]:
        for payload in (None, UNSIGNED):
            attack.refused(attack.signed("PUT", "/guarded/k", b"x" * 20_000, headers=headers, payload=payload),
                           (400, code))
    delete = b"<Delete><Object><Key>kept</Key></Object></Delete>"
    attack.refused(attack.signed("POST", "/guarded?delete", delete, headers={"Content-MD5": "A" * 22 + "=="}),
                   (400, "BadDigest"))


def test_attack_12_signed_chunks_that_were_touched(attack):
    path = "/guarded/k"
    client = attack.client
    attack.accepted(attack.chunked(path, CONTENT))
    assert client.get_object(Bucket="guarded", Key="k")["Body"].read() == CONTENT
    client.delete_object(Bucket="guarded", Key="k")

    def altered(chunks):
        line, data = chunks[3]
        return chunks[:3] + [(line, data[:-1] + b"!")] + chunks[4:]

    incomplete = (400, "IncompleteBody")
    for bend, expected in [
        (altered, [MISMATCH]),
        (lambda chunks: chunks[:2] + [chunks[3], chunks[2]] + chunks[4:], [MISMATCH]),
        (lambda chunks: chunks[:2] + [chunks[1]] + chunks[2:], [MISMATCH]),
        (lambda chunks: chunks[:2] + chunks[3:], [MISMATCH]),
        (lambda chunks: chunks[:1] + chunks[-1:], [MISMATCH, incomplete]),
        (lambda chunks: chunks[:-1], [incomplete]),
        (lambda chunks: chunks + chunks[-1:], [(400, "InvalidRequest")]),
        (lambda chunks: [(re.sub(rb";.*\r\n", b"\r\n", line), data) for line, data in chunks], [MISMATCH]),
    ]:
        attack.refused(attack.chunked(path, CONTENT, bend=bend), *expected)


def test_attack_13_chunk_sizes_that_are_bombs(attack):
    none = (400, "InvalidRequest")
    with Memory(attack.server):
        for lines, expected in [
            (b"ffffffffffffffff\r\nx\r\n0\r\n", [(400, "IncompleteBody")]),
            (b"fffffffffffffffff\r\nx\r\n0\r\n", [none]),
            (b"xyz\r\nx\r\n0\r\n", [none]),
            (b"-1\r\nx\r\n0\r\n", [none]),
            (b"0x1\r\nx\r\n0\r\n", [none]),
            (b"\r\nx\r\n0\r\n", [none]),
            (b"0" * MIB + b"1\r\nx\r\n0\r\n", [none]),
            (b"1;" + b"a" * MIB + b"\r\nx\r\n0\r\n", [none, MISMATCH]),
            (b"2\r\nx\r\n0\r\n", [none, (400, "IncompleteBody")]),
        ]:
            checksum = [("x-amz-checksum-crc32", "jNAwYw==")]
            attack.refused(attack.trailing("/guarded/k", b"x", checksum, size_lines=lines), *expected)
        # A chunk of many mebibytes goes through without being held: it is not what was declared.
        big = f"{32 * MIB:x}\r\n".encode() + bytes(32 * MIB) + b"\r\n0\r\n"
        attack.refused(attack.trailing("/guarded/k", b"", [("x-amz-checksum-crc32", "AAAAAA==")], size_lines=big,
                                       decoded=32 * MIB), (400, "BadDigest"))


def test_attack_14_a_decoded_length_that_is_wrong_or_missing(attack):
    for decoded in (len(CONTENT) - 1, len(CONTENT) + 1, 0, 10**15):
        expected = [(400, "IncompleteBody"), (400, "EntityTooLarge")]
        attack.refused(attack.chunked("/guarded/k", CONTENT, decoded=decoded), *expected)
    headers = {"content-encoding": "aws-chunked"}
    attack.refused(attack.signed("PUT", "/guarded/k", b"0\r\n\r\n", headers=headers, payload=SIGNED_CHUNKS),
                   (411, "MissingContentLength"))
    for decoded in ("-1", "1,1", "abc", "", "99999999999999999999999"):
        headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": decoded}
        attack.refused(attack.signed("PUT", "/guarded/k", b"0\r\n\r\n", headers=headers, payload=SIGNED_CHUNKS),
                       (400, "InvalidArgument"))
    whole = attack.signed("PUT", "/guarded/k", b"x", payload=UNSIGNED, length=False)
    chunked = whole.replace(b"Connection: close", b"Transfer-Encoding: chunked\r\nConnection: close")
    attack.refused(chunked.replace(b"\r\n\r\nx", b"\r\n\r\n1\r\nx\r\n0\r\n\r\n"), (411, "MissingContentLength"))


def test_attack_15_trailers_that_are_not_what_was_announced(attack):
    crc, good = "x-amz-checksum-crc32", "jNAwYw=="
    right = base64.b64encode(zlib.crc32(b"x").to_bytes(4, "big")).decode()
    attack.accepted(attack.trailing("/guarded/k", b"x", [(crc, right)]))
    attack.client.delete_object(Bucket="guarded", Key="k")
    bad = (400, "MalformedTrailerError")
    attack.refused(attack.trailing("/guarded/k", b"x", [(crc, right)], announce=""), bad, (400, "InvalidRequest"))
    attack.refused(attack.trailing("/guarded/k", b"x", [], announce=crc), bad)
    attack.refused(attack.trailing("/guarded/k", b"x", [(crc, right), (crc, right)], announce=crc), bad)
    attack.refused(attack.trailing("/guarded/k", b"x", [("x-amz-meta-a", "b")], announce=crc), bad)
    attack.refused(attack.trailing("/guarded/k", b"y", [(crc, right)]), (400, "BadDigest"))
    attack.refused(attack.trailing("/guarded/k", b"x", [(crc, "AAAA")]), (400, "InvalidRequest"))
    for name in ("x-amz-checksum-sha512", "x-amz-checksum-crc16", "content-length", "x-amz-acl"):
        attack.refused(attack.trailing("/guarded/k", b"x", [(name, good)]), (501, "NotImplemented"),
                       (400, "InvalidRequest"))


KEY = ["starts-with", "$key", "user/"]


def test_attack_16_a_form_whose_policy_is_expired_or_none(attack):
    attack.accepted(attack.form({"key": "user/form"}, conditions=[KEY]), 204)
    attack.client.delete_object(Bucket="guarded", Key="user/form")
    attack.refused(attack.form({"key": "user/k"}, sign=False), DENIED)
    attack.refused(attack.form({"key": "user/k"}, conditions=[KEY], expires=-1), DENIED)
    attack.refused(attack.form({"key": "user/k"}, conditions=[KEY], secret="wrong"), MISMATCH)
    invalid = (400, "InvalidPolicyDocument")
    for policy in ("", "no json", "{}", "[]", json.dumps({"expiration": "2099-01-01T00:00:00Z"}),
                   json.dumps({"expiration": "soon", "conditions": []}), "[" * 5000,
                   json.dumps({"expiration": "2099-01-01T00:00:00Z", "conditions": [{}]})):
        attack.refused(attack.form({"key": "user/k"}, policy=policy), invalid)
    attack.refused(attack.form({"key": "user/k"}, policy='{"expiration":"2099-01-01T00:00:00Z","conditions":[]}'), DENIED)


def test_attack_17_a_form_outside_of_its_policy(attack):
    large = bytes(2 * MIB)
    for fields in ({"key": "other/k"}, {"key": "${filename}"}, {"key": "user/k", "Content-Type": "text/html"},
                   {"key": "user/k", "tagging": "<Tagging/>"}, {"key": "user/k", "x-amz-meta-a": "b"},
                   {"key": "user/k", "acl": "public-read"}, {"key": "user/k", "success_action_status": "201"}):
        attack.refused(attack.form(fields, conditions=[KEY]), DENIED)
    attack.refused(attack.form({"key": "user/k"}, conditions=[KEY], bucket="other"), DENIED)
    with Memory(attack.server):
        small = ["content-length-range", 1, 10]
        for file in (b"eleven byte", large):
            attack.refused(attack.form({"key": "user/k"}, file, conditions=[KEY, small]), (400, "EntityTooLarge"))
        few = ["content-length-range", 4 * MIB, 8 * MIB]
        attack.refused(attack.form({"key": "user/k"}, large, conditions=[KEY, few]), (400, "EntityTooSmall"))
        # A policy says what may be stored, so the form's own end decides; the file is not held meanwhile.
        whole = attack.form({"key": "user/k"}, bytes(32 * MIB), conditions=[KEY], ending="\r\n--{b}x--\r\n")
        attack.refused(whole, (400, "MalformedPOSTRequest"))
        bomb = {f"field{n}": "x" for n in range(1000)}
        attack.refused(attack.form({**bomb, "key": "user/k"}), (400, "MaxPostPreDataLengthExceeded"),
                       (400, "MalformedPOSTRequest"))


@pytest.mark.parametrize("source", ["", "/", "guarded", "/guarded", "guarded/", "%", "%zz/k", "guarded/%FF", "guarded/kept?versionId=",
                                    "guarded/kept?versionId=bad", "guarded/kept?x=y", "../guarded/kept"])
def test_attack_18_a_copy_source_that_is_none(attack, source):
    expected = [(400, "InvalidArgument"), (400, "InvalidBucketName"), (400, "InvalidRequest"), (404, "NoSuchVersion")]
    if source == "":
        expected = [(400, "InvalidArgument")]
    if "?x" in source:
        # What follows is no version, so it is part of the key.
        expected.append((404, "NoSuchKey"))
    for path in ("/guarded/k", "/guarded/unfinished?partNumber=1&uploadId=" + upload_of(attack)):
        headers = {"x-amz-copy-source": source}
        attack.refused(attack.signed("PUT", path, headers=headers), *expected)


def upload_of(attack):
    return attack.client.list_multipart_uploads(Bucket="guarded")["Uploads"][0]["UploadId"]


@pytest.mark.parametrize("key", ["..%2f..%2fetc%2fpasswd", "%252e%252e%252fx", "a%5C..%5Cb", "%2Fetc%2Fpasswd", "a//b", "%2e%2e",
                                 "a%2f%2e%2e%2f%2e%2e%2fb", "%7F", "%0D%0Ax", "%E2%80%AE", "C:%5Cx"])
def test_attack_27_keys_are_opaque(attack, key):
    before = attack.state()
    files = {path.name for path in attack.server.folder.rglob("*")}
    attack.accepted(attack.signed("PUT", f"/guarded/{key}", b"opaque"))
    answer = attack.accepted(attack.signed("GET", f"/guarded/{key}"))
    assert answer.endswith(b"opaque")
    assert not any("passwd" in name or ".." in name for name in {p.name for p in attack.server.folder.rglob("*")} - files)
    attack.accepted(attack.signed("DELETE", f"/guarded/{key}"), 204)
    assert attack.state() == before


def test_attack_27_keys_that_are_none(attack):
    for key in ("%FF", "%C0%AF", "%ED%A0%80", "%F4%90%80%80", "%", "%4", "%zz"):
        attack.refused(attack.signed("PUT", f"/guarded/{key}"), (400, "InvalidURI"))
    attack.refused(attack.signed("PUT", "/guarded/" + "k" * 1025), (400, "KeyTooLongError"))
    attack.refused(attack.signed("PUT", "/guarded/" + "%C3%A9" * 513), (400, "KeyTooLongError"))
    attack.refused(attack.signed("PUT", "/guarded/a%00b"), (400, "InvalidURI"))


@pytest.mark.parametrize("name", ["..", ".sys", "192.168.0.1", "Upper", "ab", "a" * 64, "a..b", "-a-", "a_b", "%2e%2e", "b%2f..", "xn--abc"])
def test_attack_28_bucket_names_that_are_none(attack, name):
    attack.refused(attack.signed("PUT", f"/{name}"), (400, "InvalidBucketName"))
    attack.refused(attack.signed("GET", f"/{name}"), (400, "InvalidBucketName"), (404, "NoSuchBucket"))


BOMB = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\">" + "".join(
    f'<!ENTITY {chr(98 + n)} "{("&" + chr(97 + n) + ";") * 10}">' for n in range(9)) + "]>"
DOCUMENTS = {
    "doctype": "<!DOCTYPE Delete><Delete><Object><Key>kept</Key></Object></Delete>",
    "entity bomb": BOMB + "<Delete><Object><Key>&j;</Key></Object></Delete>",
    "external entity": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&a;</Key></Object></Delete>',
    "unknown entity": "<Delete><Object><Key>&nope;</Key></Object></Delete>",
    "depth": "<Delete>" + "<a>" * 100_000,
    "depth that ends": "<Delete>" + "<a>" * 100_000 + "</a>" * 100_000 + "</Delete>",
    "not closed": "<Delete><Object><Key>kept</Key></Object>",
    "closed wrongly": "<Delete><Object><Key>kept</Object></Key></Delete>",
    "another root": "<CompleteMultipartUpload/>",
    "empty": "",
    "no document": "\0\0\0\0",
    "no UTF-8": b"<Delete><Object><Key>\xff\xfe</Key></Object></Delete>",
    "one too many": "<Delete>" + "<Object><Key>k</Key></Object>" * 1001 + "</Delete>",
}


def md5(body):
    """DeleteObjects wants a digest of its document."""
    return {"Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode()}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_attack_32_documents_that_are_bombs(attack, name):
    body = DOCUMENTS[name]
    body = body if isinstance(body, bytes) else body.encode()
    expected = [(400, "MalformedXML"), (400, "MissingRequestBodyError")]
    with Memory(attack.server):
        attack.refused(attack.signed("POST", "/guarded?delete", body, headers=md5(body)), *expected)
        path = "/guarded/unfinished?uploadId=" + upload_of(attack)
        document = body.replace(b"CompleteMultipartUpload", b"Other").replace(b"Delete>", b"CompleteMultipartUpload>")
        complete = expected + [(400, "InvalidPart"), (400, "InvalidRequest")]
        attack.refused(attack.signed("POST", path, document), *complete)
        if body:
            attack.refused(attack.signed("PUT", "/made-by-a-bomb", body), *expected)
            attack.refused(attack.signed("PUT", "/guarded?tagging", body, headers=md5(body)), *expected,
                           (400, "MaxMessageLengthExceeded"))


def test_attack_32_a_document_of_a_hundred_mebibytes(attack):
    head = attack.signed("POST", "/guarded?delete", payload=UNSIGNED, length=False)
    with Memory(attack.server):
        announced = head[:-2] + f"Content-Length: {100 * MIB}\r\n\r\n".encode() + b"<Delete>" * MIB
        attack.refused(announced, (400, "MaxMessageLengthExceeded"), (400, "MalformedXML"))


def test_attack_33_compressed_bodies_and_select(attack):
    bomb = zlib.compress(bytes(16 * MIB), 9)
    with Memory(attack.server):
        for coding in ("gzip", "deflate", "zstd", "br"):
            headers = {"Content-Encoding": coding, **md5(bomb)}
            attack.refused(attack.signed("POST", "/guarded?delete", bomb, headers=headers),
                           (400, "MalformedXML"), (501, "NotImplemented"))
        attack.refused(attack.signed("POST", "/guarded/kept?select&select-type=2", bomb), (501, "NotImplemented"))
        # As content it is kept as it came.
        attack.accepted(attack.signed("PUT", "/guarded/packed", bomb, headers={"Content-Encoding": "gzip"}))
        assert attack.client.get_object(Bucket="guarded", Key="packed")["Body"].read() == bomb
        attack.client.delete_object(Bucket="guarded", Key="packed")


def test_attack_35_line_ends_in_headers_to_be(attack):
    for name in ("content-type", "content-disposition", "cache-control", "expires", "content-language", "content-encoding"):
        for value in ("a%0D%0ASet-Cookie%3A%20x", "a%0Ab", "a%0D", "a%00"):
            attack.refused(attack.signed("GET", f"/guarded/kept?response-{name}={value}"),
                           (400, "InvalidArgument"), (400, "InvalidRequest"))
    attack.refused(attack.plain("GET", "/guarded/kept?response-content-type=text/html"), DENIED, (400, "InvalidRequest"))
    # In a presigned query, headers can hold what a header line can not.
    attack.refused(attack.presigned("PUT", "/guarded/k?x-amz-meta-a=b%0D%0Ax-amz-acl:%20private"), (400, "InvalidArgument"))


ADMIN = ["/metrics", "/status", "/api", "/admin", "/v1/status", "/debug/pprof", "/minio/admin/v3/info", "/console", "/bootstrap", "/config",
         "/..", "//", "/%2e%2e/metrics", "/healthz/../metrics", "/metrics/"]


@pytest.mark.parametrize("path", ADMIN)
def test_attack_40_the_administration_port_is_closed(server, path):
    class AdminPort:
        port = server.admin_port

    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
        for headers in ("", "Authorization: Basic bm9ib2R5Om5vdGhpbmc=\r\n", "Authorization: Bearer x\r\n"):
            request = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
            answer = exchange(AdminPort, request.encode())
            assert answers(answer)[0] in (400, 401, 403, 404, 405), answer
            assert SECRET_KEY.encode() not in answer and b"# HELP" not in answer
    assert server.health() == 200


@pytest.mark.parametrize("access, secret", [("", ""), ("minioadmin", "minioadmin"), ("admin", "password"), ("root", ""),
                                            ("rustfsadmin", "rustfsadmin"), ("some-access-key", "some-access-key")])
def test_attack_41_a_secret_everyone_knows_stops_the_start(new_server, access, secret):
    server = new_server(credentials=(access, secret))
    with pytest.raises(StartError) as caught:
        server.start()
    assert "secret" in str(caught.value).lower() or "access" in str(caught.value).lower()


def test_attack_44_nothing_secret_is_in_logs_metrics_or_errors(server, attack):
    """In the log of everything this file sent, which is more than any one test says."""
    link = attack.presigned("GET", "/guarded/kept?response-content-type=x%0Ay")
    signature = re.search(rb"X-Amz-Signature=([0-9a-f]{64})", link).group(1).decode()
    answer = exchange(server, link).decode(errors="replace")
    whole = attack.signed("GET", "/guarded/kept", secret="a-secret-that-is-wrong")
    forged = re.search(rb"Signature=([0-9a-f]{64})", whole).group(1).decode()
    wrong = exchange(server, whole).decode(errors="replace")
    texts = {"log": server.log(), "metrics": server.fetch("/metrics"), "answers": answer + wrong}
    for place, text in texts.items():
        for secret in (SECRET_KEY, signature, forged, "a-secret-that-is-wrong"):
            assert secret not in text, f"{secret} is in the {place}"
        assert not re.search(r"[Ss]ignature[=:]\s*\"?[0-9a-f]{64}", text), f"a signature is in the {place}"
        assert "AWS4-HMAC-SHA256 Credential" not in text, f"an authorization header is in the {place}"


def test_attack_45_uploads_of_others_and_parts_that_are_none(attack):
    upload = upload_of(attack)
    part = "<Part><PartNumber>{}</PartNumber><ETag>\"0123456789abcdef0123456789abcdef\"</ETag></Part>"
    for path in (f"/guarded/another?uploadId={upload}", "/guarded/unfinished?uploadId=nothing",
                 "/guarded/unfinished?uploadId=" + "0" * len(upload), "/guarded/unfinished?uploadId=..%2F..%2Fx"):
        body = f"<CompleteMultipartUpload>{part.format(1)}</CompleteMultipartUpload>".encode()
        gone = (404, "NoSuchUpload")
        attack.refused(attack.signed("POST", path, body), gone)
        attack.refused(attack.signed("DELETE", path), gone)
        attack.refused(attack.signed("GET", path), gone)
        attack.refused(attack.signed("PUT", path + "&partNumber=1", b"x"), gone)
    for number in ("0", "10001", "-1", "abc", "", "99999999999999999999", "1.5"):
        attack.refused(attack.signed("PUT", f"/guarded/unfinished?partNumber={number}&uploadId={upload}", b"x"),
                       (400, "InvalidArgument"))
    path = f"/guarded/unfinished?uploadId={upload}"
    for numbers, expected in [((1,), [(400, "InvalidPart")]),
                              ((0,), [(400, "InvalidArgument"), (400, "InvalidPart"), (400, "MalformedXML")]),
                              ((), [(400, "MalformedXML"), (400, "InvalidRequest")])]:
        body = "<CompleteMultipartUpload>" + "".join(map(part.format, numbers)) + "</CompleteMultipartUpload>"
        attack.refused(attack.signed("POST", path, body.encode()), *expected)


def test_attack_45_parts_in_another_order(attack):
    client = attack.client
    upload = client.create_multipart_upload(Bucket="guarded", Key="ordered")["UploadId"]
    etags = {number: client.upload_part(Bucket="guarded", Key="ordered", UploadId=upload, PartNumber=number,
                                        Body=b"part")["ETag"] for number in (1, 2)}
    for numbers in ((2, 1), (1, 1)):
        parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etags[n]}</ETag></Part>" for n in numbers)
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        attack.refused(attack.signed("POST", f"/guarded/ordered?uploadId={upload}", body), (400, "InvalidPartOrder"))
    client.abort_multipart_upload(Bucket="guarded", Key="ordered", UploadId=upload)


def test_attack_45_two_completes_and_an_abort_at_once_have_one_outcome(server, attack):
    client = attack.client
    for number in range(10):
        key = f"race-{number}"
        upload = client.create_multipart_upload(Bucket="guarded", Key=key)["UploadId"]
        etag = client.upload_part(Bucket="guarded", Key=key, UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
        body = (f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
                "</CompleteMultipartUpload>").encode()
        path = f"/guarded/{key}?uploadId={upload}"
        requests = [attack.signed("POST", path, body), attack.signed("DELETE", path), attack.signed("POST", path, body)]
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            first, abort, second = pool.map(lambda request: exchange(server, request), requests)
        completed = [answer for answer in (first, second) if answers(answer)[0] == 200 and not error_code(answer)]
        present = "Contents" in client.list_objects_v2(Bucket="guarded", Prefix=key)
        assert present == bool(completed), (first, abort, second)
        if present:
            assert client.get_object(Bucket="guarded", Key=key)["Body"].read() == b"part"
            # A repeated Complete may be told of the success of the first; the abort then did nothing.
            client.delete_object(Bucket="guarded", Key=key)
        left = client.list_multipart_uploads(Bucket="guarded", Prefix=key).get("Uploads", [])
        assert not left, f"the upload is still there: {first!r} {abort!r} {second!r}"


def test_attack_46_a_hundred_writers_of_one_new_key(server, attack):
    requests = [attack.signed("PUT", "/guarded/raced", b"%d" % n, headers={"If-None-Match": "*"}) for n in range(100)]
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        done = list(pool.map(lambda request: exchange(server, request), requests))
    statuses = [answers(answer)[0] for answer in done]
    assert statuses.count(200) == 1, sorted(statuses)
    assert {error_code(a) for a in done if answers(a)[0] != 200} <= {"PreconditionFailed", "ConditionalRequestConflict"}
    winner = statuses.index(200)
    assert attack.client.get_object(Bucket="guarded", Key="raced")["Body"].read() == b"%d" % winner
    attack.client.delete_object(Bucket="guarded", Key="raced")


def test_attack_47_ranges_amplify_nothing(attack):
    size = len(b"content of kept")
    get = lambda value: exchange(attack.server, attack.signed("GET", "/guarded/kept", headers={"Range": value}))  # noqa: E731
    for value in ("bytes=20-30", f"bytes={size}-", "bytes=99999999999999999999-", "bytes=-0",
                  "bytes=18446744073709551615-18446744073709551615"):
        attack.refused(attack.signed("GET", "/guarded/kept", headers={"Range": value}), (416, "InvalidRange"))
    for value in ("bytes=0-99999999999999999999", "bytes=-99999999999999999999", "bytes=5-4", "bytes=0-0,2-2",
                  "bytes=" + ",".join("0-" for _ in range(1000)), "bytes=-", "bytes=a-b", "lines=0-1"):
        answer = get(value)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert answers(answer)[0] in (200, 206) and body == b"content of kept", (value, answer)


def test_after_all_of_it_the_server_lives_and_reported_no_error(server, attack):
    assert sorted(attack.state()["guarded"][0]) == ["folder/kept", "kept", "secret.txt"]
    server.check_log()
