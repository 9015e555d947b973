"""The JavaScript clients: the AWS SDK (version 3) and the minio client.

`cargo xtask test` installs them as tests/js/package-lock.json pins them, with `npm ci`.
"""

from pathlib import Path

import pytest

from harness.tools import aws_environment, installed, run

JS = Path(__file__).with_name("js")
NODE_MIN = 20


@pytest.fixture
def script(server, tmp_path):
    """Runs one script against a bucket of its own; returns the steps it passed."""
    node = installed("node", "nodejs")
    version = run([node, "--version"], aws_environment(server), tmp_path).strip()
    if int(version.removeprefix("v").split(".")[0]) < NODE_MIN:
        pytest.skip(f"the JavaScript clients want Node.js {NODE_MIN} or newer, this is {version}")
    if not (JS / "node_modules").exists():
        pytest.skip("the JavaScript clients are not installed (`cargo xtask test` does, with npm)")
    environment = aws_environment(server)

    def call(name, bucket):
        lines = run([node, JS / name, server.endpoint, bucket], environment, tmp_path).splitlines()
        return [line.removeprefix("passed: ") for line in lines if line.startswith("passed: ")]

    return call


def test_the_aws_sdk_for_javascript_finds_what_it_stored(script, s3):
    steps = script("aws_sdk.mjs", "js-sdk")
    assert steps == [
        "buckets", "objects", "checksums", "a streamed upload in parts and its copy", "conditions",
        "links", "pages and deletes",
    ]
    assert "js-sdk" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


def test_the_minio_client_for_javascript_finds_what_it_stored(script, s3):
    steps = script("minio.mjs", "js-minio")
    assert steps == [
        "buckets", "a file in parts", "streams and ranges", "copies and errors", "links",
        "lists and removal",
    ]
    assert "js-minio" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
