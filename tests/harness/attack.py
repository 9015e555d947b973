"""Hostile requests: signed well by the SDK's own signer and then bent, and sent as bytes.

A client library refuses to send most of what an attacker sends, so requests are made here as bytes.
What must hold after each is in one place too: the answer, the state, the server, its memory.
"""

import base64
import datetime
import hashlib
import hmac
import json

import botocore.auth
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from harness.raw import answers, error_code, exchange, resident_bytes
from harness.server import REGION

UNSIGNED = "UNSIGNED-PAYLOAD"
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
# What the server may keep of a storm of bad requests: buffers of connections and arenas of the
# allocator, far below what any of the bombs would cost if it were held.
GROWTH_BYTES_MAX = 48 * 1024 * 1024


class _Header(S3SigV4Auth):
    """The SDK's signer, with the payload hash given and headers that may be left out."""

    payload_hash, leave_out = UNSIGNED, ()

    def payload(self, request):
        return self.payload_hash

    def headers_to_sign(self, request):
        headers = super().headers_to_sign(request)
        for name in self.leave_out:
            del headers[name]
        return headers


class Attack:
    """Makes requests for one server, and checks what they did."""

    def __init__(self, server, bucket):
        self.server, self.bucket = server, bucket
        self.client = server.client()
        self.access, self.secret = server.credentials

    # -- requests

    def signed(self, method, path, body=b"", headers=(), unsigned=(), payload=None, late=0, region=REGION,
               service="s3", access=None, secret=None, leave_out=(), length=True):
        """A request signed in its headers. `unsigned` is added after that; `late` shifts its date."""
        if payload is None:
            payload = hashlib.sha256(body).hexdigest()
        request = AWSRequest(method, self.server.endpoint + path, headers=dict(headers))
        request.headers["Host"] = f"127.0.0.1:{self.server.port}"
        request.headers["x-amz-content-sha256"] = payload
        signer = _Header(Credentials(access or self.access, secret or self.secret), service, region)
        signer.payload_hash, signer.leave_out = payload, leave_out
        signer._should_sha256_sign_payload = lambda _: False
        _at(late, lambda: signer.add_auth(request))
        return self._bytes(method, path, list(request.headers.items()) + list(dict(unsigned).items()), body, length)

    def presigned(self, method, path, body=b"", expires=60, late=0, headers=(), change=lambda uri: uri, unsigned=(),
                  as_method=None):
        """A presigned request; `change` edits its address after it was signed."""
        request = AWSRequest(method, self.server.endpoint + path, headers=dict(headers))
        signer = S3SigV4QueryAuth(Credentials(self.access, self.secret), "s3", REGION, expires=expires)
        _at(late, lambda: signer.add_auth(request))
        uri = change(request.url.split(str(self.server.port), 1)[1])
        lines = [("Host", f"127.0.0.1:{self.server.port}")] + list(dict(headers).items()) + list(dict(unsigned).items())
        return self._bytes(as_method or method, uri, lines, body)

    def plain(self, method, path, body=b"", headers=()):
        """A request without any signature."""
        lines = [("Host", f"127.0.0.1:{self.server.port}")] + list(dict(headers).items())
        return self._bytes(method, path, lines, body)

    def _bytes(self, method, path, headers, body, length=True):
        lines = [f"{method} {path} HTTP/1.1"] + [f"{name}: {value}" for name, value in headers]
        if length and (body or method in ("PUT", "POST")):
            lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines + ["Connection: close"]) + "\r\n\r\n").encode("latin-1") + body

    def signing_key(self, date):
        key = ("AWS4" + self.secret).encode()
        for text in (date[:8], REGION, "s3", "aws4_request"):
            key = hmac.new(key, text.encode(), "sha256").digest()
        return key

    def chunked(self, path, content, chunk=16, bend=lambda chunks: chunks, decoded=None):
        """An upload in signed chunks; `bend` gets the list of (size line, data) and gives what is sent."""
        # The body is framed by its length, so the head is made for the body that will be sent.
        chunks = [content[i:i + chunk] for i in range(0, len(content), chunk)] + [b""]
        headers = {"x-amz-decoded-content-length": str(len(content) if decoded is None else decoded),
                   "content-encoding": "aws-chunked"}
        head = self.signed("PUT", path, headers=headers, payload=SIGNED_CHUNKS, length=False)
        text = head.decode("latin-1")
        date = text.split("X-Amz-Date: ")[1][:16]
        previous = text.split("Signature=")[1][:64]
        scope = f"{date[:8]}/{REGION}/s3/aws4_request"
        signed = []
        for data in chunks:
            words = ["AWS4-HMAC-SHA256-PAYLOAD", date, scope, previous, hashlib.sha256(b"").hexdigest(),
                     hashlib.sha256(data).hexdigest()]
            previous = hmac.new(self.signing_key(date), "\n".join(words).encode(), "sha256").hexdigest()
            signed.append((f"{len(data):x};chunk-signature={previous}\r\n".encode(), data))
        body = b"".join(line + data + b"\r\n" for line, data in bend(signed))
        return head[:-2] + f"Content-Length: {len(body)}\r\n\r\n".encode() + body

    def trailing(self, path, content, trailers, announce=None, decoded=None, size_lines=None):
        """An upload in unsigned chunks with trailers."""
        names = announce if announce is not None else ",".join(name for name, _ in trailers)
        headers = {"x-amz-decoded-content-length": str(len(content) if decoded is None else decoded),
                   "content-encoding": "aws-chunked"}
        if names:
            headers["x-amz-trailer"] = names
        lines = size_lines or f"{len(content):x}\r\n".encode() + content + b"\r\n0\r\n"
        body = lines + "".join(f"{name}:{value}\r\n" for name, value in trailers).encode() + b"\r\n"
        return self.signed("PUT", path, body, headers=headers, payload=UNSIGNED_TRAILER)

    def form(self, fields, file=b"content of the file", policy=None, conditions=(), expires=3600, secret=None,
             ending="\r\n--{b}--\r\n", sign=True, bucket=None):
        """An upload by form. `policy` is the document's text, or made from `conditions`."""
        now = datetime.datetime.now(datetime.timezone.utc)
        date = now.strftime("%Y%m%dT%H%M%SZ")
        credential = f"{self.access}/{date[:8]}/{REGION}/s3/aws4_request"
        bound = {"x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-credential": credential, "x-amz-date": date}
        if policy is None:
            until = (now + datetime.timedelta(seconds=expires)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            exact = [{name: value} for name, value in {"bucket": self.bucket, **bound}.items()]
            policy = json.dumps({"expiration": until, "conditions": exact + list(conditions)})
        encoded = base64.b64encode(policy.encode()).decode()
        key = self.signing_key(date) if secret is None else hmac.new(secret.encode(), b"", "sha256").digest()
        signature = hmac.new(key, encoded.encode(), "sha256").hexdigest()
        if sign:
            fields = {**fields, **bound, "policy": encoded, "x-amz-signature": signature}
        boundary = "boundary0123456789"
        parts = "".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                        for name, value in fields.items())
        parts += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="../f.txt"\r\n\r\n'
        body = parts.encode() + file + ending.format(b=boundary).encode()
        return self.plain("POST", f"/{bucket or self.bucket}", body,
                          {"Content-Type": f"multipart/form-data; boundary={boundary}"})

    # -- what must hold

    def state(self):
        """Everything a client can see: buckets, keys, bytes, uploads."""
        seen = {}
        for bucket in self.client.list_buckets()["Buckets"]:
            name = bucket["Name"]
            listed = self.client.list_objects_v2(Bucket=name).get("Contents", [])
            uploads = self.client.list_multipart_uploads(Bucket=name).get("Uploads", [])
            contents = {}
            for entry in listed:
                body = self.client.get_object(Bucket=name, Key=entry["Key"])["Body"].read()
                contents[entry["Key"]] = (entry["ETag"], hashlib.sha256(body).hexdigest())
            seen[name] = (contents, sorted(upload["UploadId"] for upload in uploads))
        return seen

    def refused(self, request, *expected):
        """The request is answered with one of the expected (status, code), and nothing has changed."""
        before = self.state()
        answer = exchange(self.server, request)
        got = (answers(answer)[:1] or [None])[0], error_code(answer)
        if request.startswith(b"HEAD"):
            got = (got[0], expected[0][1])
        assert got in expected, f"{request[:300]!r} was answered {answer[:600]!r}"
        assert len(answers(answer)) == 1, f"a second answer in {answer!r}"
        assert self.state() == before, f"{request[:300]!r} changed what is stored"
        return answer

    def accepted(self, request, *statuses):
        """The request is answered with success: what is bent in the others is all that is wrong with them."""
        answer = exchange(self.server, request)
        assert answers(answer)[0] in (statuses or (200,)), answer[:600]
        return answer


class Memory:
    """Holds a block to `GROWTH_BYTES_MAX` of the server's memory."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self.before = resident_bytes(self.server)

    def __exit__(self, kind, *_):
        if kind is None:
            grown = resident_bytes(self.server) - self.before
            assert grown <= GROWTH_BYTES_MAX, f"the server grew by {grown} bytes"


def _at(late, act):
    """Acts with the signer's clock shifted."""
    real = botocore.auth.get_current_datetime
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) + datetime.timedelta(seconds=late)
    botocore.auth.get_current_datetime = lambda *_args, **_kwargs: now
    try:
        act()
    finally:
        botocore.auth.get_current_datetime = real
