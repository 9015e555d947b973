"""The Rust clients: the AWS SDK, `object_store` with its own integration suite, and OpenDAL.

`cargo xtask test` builds them from tests/rust-clients.
"""

import os
import urllib.request
from pathlib import Path

import pytest

from harness.tools import aws_environment, no_uploads, run

DEFAULT = Path(__file__).resolve().parents[1] / "target/rust-clients/debug/rust-clients"


@pytest.fixture
def client(server, tmp_path):
    """Runs one client against a bucket and returns the lines it printed."""
    program = Path(os.environ.get("STRONGROOM_TEST_RUST_CLIENTS", DEFAULT))
    if not program.exists():
        pytest.skip("the Rust clients are not built (`cargo xtask test` builds them)")
    environment = aws_environment(server) | {"RUST_BACKTRACE": "1"}
    return lambda name, bucket: run(
        [program, name, server.endpoint, bucket], environment, tmp_path).splitlines()


def fetch_link(lines):
    """What the link a client presigned gives to somebody without credentials."""
    [link] = [line.removeprefix("link: ") for line in lines if line.startswith("link: ")]
    with urllib.request.urlopen(link, timeout=10) as answer:
        return answer.read()


def test_the_aws_sdk_for_rust_finds_what_it_stored(client, s3):
    lines = client("aws-sdk-s3", "rust-sdk")
    assert len([line for line in lines if line.startswith("passed: ")]) == 12
    assert "rust-sdk" not in [b["Name"] for b in s3.list_buckets()["Buckets"]]


def test_the_integration_suite_of_object_store_passes(client, s3, bucket):
    lines = client("object_store", bucket)
    assert len([line for line in lines if line.startswith("passed: ")]) == 5
    s3.head_bucket(Bucket=bucket)


def test_opendal_finds_what_it_stored(client, s3, bucket):
    lines = client("opendal", bucket)
    assert len([line for line in lines if line.startswith("passed: ")]) == 4
    assert fetch_link(lines) == b"linked"
    no_uploads(s3, bucket)
