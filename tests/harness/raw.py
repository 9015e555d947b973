"""Requests as bytes: what a client library would refuse to send, or sends too fast."""

import re
import socket
from pathlib import Path

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from harness.server import REGION

# Longer than any deadline a test sets: a socket that waits this long waits for ever.
PATIENCE_SECONDS = 40


def connect(server, secure=False):
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS)
    return server.trust().wrap_socket(plain, server_hostname="127.0.0.1") if secure else plain


def read_all(connection):
    """Everything until the server closes. A reset counts as closed, and loses nothing that was read."""
    parts = []
    while True:
        try:
            part = connection.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            part = b""
        if not part:
            return b"".join(parts)
        parts.append(part)


def exchange(server, data):
    """Sends bytes on a connection of their own and reads until it is closed."""
    with connect(server) as connection:
        try:
            connection.sendall(data)
        except (ConnectionResetError, BrokenPipeError):
            pass
        return read_all(connection)


def answers(data):
    """The status codes in what was read from a connection."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def error_code(data):
    found = re.search(rb"<Code>([^<]*)</Code>", data)
    return found.group(1).decode() if found else None


def signed_head(server, method, path, length=0, payload="UNSIGNED-PAYLOAD", signed=(), unsigned=()):
    """The head of a signed request. A length of none gives no Content-Length."""
    request = AWSRequest(method, f"{server.endpoint}{path}", headers=dict(signed))
    request.headers["Host"] = f"127.0.0.1:{server.port}"
    request.headers["x-amz-content-sha256"] = payload
    signer = S3SigV4Auth(Credentials(*server.credentials), "s3", REGION)
    # The signer would set a hash of the body, which is not here.
    signer._should_sha256_sign_payload = lambda _: False
    signer.payload = lambda _: payload
    signer.add_auth(request)
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    lines += [f"{name}: {value}" for name, value in dict(unsigned).items()]
    if length or (length == 0 and method in ("PUT", "POST")):
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def resident_bytes(server):
    """Memory of the server's process."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text).group(1)) * 1024


def metric(server, name, **labels):
    """The sum of a metric's samples that have these labels."""
    total = 0.0
    for line in server.fetch("/metrics").splitlines():
        sample = re.match(r"([a-z_]+)(?:\{([^}]*)\})? (\S+)$", line)
        if sample and sample.group(1) == name:
            have = dict(re.findall(r'(\w+)="([^"]*)"', sample.group(2) or ""))
            if all(have.get(key) == value for key, value in labels.items()):
                total += float(sample.group(3))
    return total
