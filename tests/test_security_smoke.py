"""Who may not come in, and what is not there."""

import configparser
import http.client
import stat
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from harness.server import ACCESS_KEY, SECRET_KEY


def error_of(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def plain(server, method, path, body=None, headers=None):
    """A request without a signature."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode(errors="replace")


@pytest.mark.parametrize(
    "method, path",
    [("GET", "/"), ("GET", "/{b}"), ("GET", "/{b}/k"), ("HEAD", "/{b}/k"), ("PUT", "/{b}/k"), ("DELETE", "/{b}/k"),
     ("PUT", "/anonymous-made"), ("DELETE", "/{b}"), ("POST", "/{b}?delete"), ("POST", "/{b}/k?uploads")],
)
# attack 1
def test_anonymous_requests_are_refused_and_change_nothing(server, s3, bucket, method, path):
    s3.put_object(Bucket=bucket, Key="k", Body=b"kept")
    status, body = plain(server, method, path.format(b=bucket), b"changed" if method in ("PUT", "POST") else None)
    assert status == 403
    if method != "HEAD":
        assert "AccessDenied" in body
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"kept"
    assert "anonymous-made" not in [b["Name"] for b in s3.list_buckets()["Buckets"]]


# attack 2
def test_a_wrong_secret_and_an_unknown_key_are_refused(server, s3, bucket):
    wrong = server.client(credentials=(ACCESS_KEY, SECRET_KEY + "x"))
    assert error_of(wrong.list_buckets) == (403, "SignatureDoesNotMatch")
    assert error_of(wrong.put_object, Bucket=bucket, Key="k", Body=b"x") == (403, "SignatureDoesNotMatch")
    unknown = server.client(credentials=("nobody", SECRET_KEY))
    assert error_of(unknown.list_buckets) == (403, "InvalidAccessKeyId")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_forged_signature_on_an_unsigned_trailer_body_stores_nothing(server, s3, bucket):
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-date": "20260101T000000Z",
        "x-amz-trailer": "x-amz-checksum-crc32", "x-amz-decoded-content-length": "1",
        "content-encoding": "aws-chunked",
        "authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=" + "0" * 64,
    }
    status, _ = plain(server, "PUT", f"/{bucket}/k", b"1\r\nx\r\n0\r\n\r\n", headers)
    assert status == 403
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_presigned_link_of_signature_version_2_is_refused(s3, bucket):
    """Some tools still make them by default; they are weaker and not accepted."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    assert "Signature=" in url and "X-Amz-Signature" not in url
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url, timeout=10)
    assert caught.value.code in (400, 403)


def test_a_presigned_link_that_has_expired_or_was_changed_is_refused(server, s3, bucket):
    client = server.client(signature_version="s3v4")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    for changed in (
        url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"), url + "&versionId=null", url[:-1] + "z",
        url.replace(f"/{bucket}/k", f"/{bucket}/l"),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(changed, timeout=10)
        assert caught.value.code == 403


@pytest.mark.parametrize(
    "call, arguments",
    [
        ("put_bucket_lifecycle_configuration", {"LifecycleConfiguration": {"Rules": [
            {"ID": "a", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]}}),
        ("put_bucket_encryption", {"ServerSideEncryptionConfiguration": {"Rules": [
            {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}}),
        ("put_bucket_policy", {"Policy": "{}"}),
        ("put_bucket_replication", {"ReplicationConfiguration": {"Role": "r", "Rules": [
            {"Status": "Enabled", "Priority": 1, "Filter": {"Prefix": ""},
             "DeleteMarkerReplication": {"Status": "Disabled"}, "Destination": {"Bucket": "arn:aws:s3:::x"}}]}}),
        ("put_bucket_notification_configuration", {"NotificationConfiguration": {
            "EventBridgeConfiguration": {}}}),
        ("put_bucket_request_payment", {"RequestPaymentConfiguration": {"Payer": "Requester"}}),
    ],
)
def test_what_is_not_there_answers_501(s3, bucket, call, arguments):
    assert error_of(getattr(s3, call), Bucket=bucket, **arguments) == (501, "NotImplemented")


@pytest.mark.parametrize(
    "options",
    [
        {"ServerSideEncryption": "aws:kms"},
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": "2099-01-01T00:00:00Z"},
        {"ObjectLockLegalHoldStatus": "ON"},
    ],
)
def test_protection_that_can_not_be_given_is_refused_not_ignored(server, s3, bucket, options):
    """A header that asks for encryption or a lock must never be accepted and dropped."""
    if "SSECustomerKey" in options:
        # The SDK sends customer keys over TLS only, so the header is signed by hand.
        assert sse_customer_status(s3, bucket) in (400, 501)
    else:
        status, _ = error_of(s3.put_object, Bucket=bucket, Key="k", Body=b"x", **options)
        assert status in (400, 501)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def sse_customer_status(s3, bucket):
    def add(request, **_):
        request.headers["x-amz-server-side-encryption-customer-algorithm"] = "AES256"
        request.headers["x-amz-server-side-encryption-customer-key"] = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
        request.headers["x-amz-server-side-encryption-customer-key-MD5"] = "AAAAAAAAAAAAAAAAAAAAAA=="

    s3.meta.events.register("before-sign.s3.PutObject", add)
    return error_of(s3.put_object, Bucket=bucket, Key="k", Body=b"x")[0]


# attack 40
def test_health_is_open_on_both_ports_and_the_rest_is_not(server):
    for path in ("/healthz", "/readyz", "/readyz/write", "/minio/health/live", "/minio/health/ready",
                 "/minio/health/cluster"):
        assert plain(server, "GET", path)[0] == 200, path
        assert server.health(path) == 200, path
    assert plain(server, "GET", "/metrics")[0] == 403


def test_metrics_count_syncs(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    text = server.fetch("/metrics")
    assert "# TYPE" in text and "sync" in text


def test_generated_credentials_are_private_and_survive_a_restart(new_server):
    server = new_server(credentials=None)
    server.start()
    files = [
        path for path in server.folder.rglob("*")
        if path.is_file() and path.stat().st_size < 4096 and "credential" in path.name
    ]
    assert len(files) == 1, f"one credentials file, found {files}"
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    first = files[0].read_text()
    # In the form the AWS tools read. The secret is shown on a terminal only; this is none.
    parser = configparser.ConfigParser()
    parser.read_string(first)
    section = parser[parser.sections()[0]]
    access, secret = section["aws_access_key_id"], section["aws_secret_access_key"]
    assert len(secret) >= 32
    server.client(credentials=(access, secret)).create_bucket(Bucket="mine")
    server.restart()
    assert files[0].read_text() == first
    assert secret not in server.log()


# attack 44
def test_secrets_never_reach_the_log(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    signer = server.client(signature_version="s3v4")
    url = signer.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    urllib.request.urlopen(url, timeout=10).read()
    assert SECRET_KEY not in server.log()
    assert url.rsplit("=", 1)[-1] not in server.log()


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Big: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nHost: a\r\nx-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n"
        b"x-amz-decoded-content-length: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nffffffffffffffff\r\n0\r\n\r\n",
    ],
)
def test_malformed_requests_are_refused_and_the_server_lives(server, s3, raw):
    import socket

    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        try:
            connection.sendall(raw)
            answer = connection.recv(64)
        except ConnectionError:
            answer = b""
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    s3.list_buckets()
