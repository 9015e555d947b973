"""s5cmd, s3cmd and s4cmd: trees both ways, large files in parts, sync, removal."""

import urllib.request

import pytest

from harness.server import ACCESS_KEY, REGION, SECRET_KEY
from harness.tools import (
    LARGE, aws_environment, installed, make_tree, no_uploads, run, stored, tree,
)


@pytest.fixture
def s5cmd(server, tmp_path):
    words = [installed("s5cmd"), "--endpoint-url", server.endpoint, "--retry-count", "0"]
    environment = aws_environment(server)
    return lambda *more, **options: run([*words, *more], environment, tmp_path, **options)


@pytest.fixture
def s3cmd(server, tmp_path):
    (tmp_path / "s3cfg").write_text(
        f"[default]\naccess_key = {ACCESS_KEY}\nsecret_key = {SECRET_KEY}\n"
        f"host_base = 127.0.0.1:{server.port}\nhost_bucket = 127.0.0.1:{server.port}\n"
        f"use_https = False\nbucket_location = {REGION}\nmultipart_chunk_size_mb = 8\n"
        "max_retries = 1\n"
    )
    words = [installed("s3cmd"), "-c", tmp_path / "s3cfg", "--no-progress"]
    environment = aws_environment(server)
    return lambda *more, **options: run([*words, *more], environment, tmp_path, **options)


@pytest.fixture
def s4cmd(server, tmp_path):
    words = [installed("s4cmd.py"), "--endpoint-url", server.endpoint, "--retry", "1"]
    environment = aws_environment(server) | {
        "S3_ACCESS_KEY": ACCESS_KEY, "S3_SECRET_KEY": SECRET_KEY,
    }
    return lambda *more, **options: run([*words, *more], environment, tmp_path, **options)


def test_s5cmd_copies_syncs_and_removes_a_tree(s5cmd, s3, tmp_path):
    expected = make_tree(tmp_path / "tree", large=LARGE)
    s5cmd("mb", "s3://five")
    s5cmd("cp", "--part-size", "8", "tree/", "s3://five/up/")
    assert stored(s3, "five", "up/") == expected
    no_uploads(s3, "five")
    s5cmd("cp", "--part-size", "8", "s3://five/up/*", "down/")
    assert tree(tmp_path / "down") == expected
    (tmp_path / "tree/large.bin").unlink()
    (tmp_path / "tree/new").write_bytes(b"new")
    s5cmd("sync", "--delete", "tree/", "s3://five/up/")
    assert stored(s3, "five", "up/") == tree(tmp_path / "tree")
    # Names with spaces travel as `+` in the source of a copy.
    s5cmd("sync", "s3://five/up/*", "s3://five/copied/")
    assert stored(s3, "five", "copied/") == tree(tmp_path / "tree")
    # A file of commands, many at once.
    lines = "".join(f"cp tree/new s3://five/batch/{number}\n" for number in range(300))
    (tmp_path / "commands").write_text(lines)
    s5cmd("run", "commands")
    assert len(s5cmd("ls", "s3://five/batch/").splitlines()) == 300
    assert s5cmd("cat", "s3://five/batch/7") == "new"
    s5cmd("sync", "s3://five/batch/*", "s3://five/copy/")
    assert stored(s3, "five", "copy/") == stored(s3, "five", "batch/")
    link = s5cmd("presign", "--expire", "1m", "s3://five/batch/8").strip()
    with urllib.request.urlopen(link, timeout=10) as answer:
        assert answer.read() == b"new"
    s5cmd("rm", "s3://five/*")
    s5cmd("rb", "s3://five")
    assert "s3://five" not in s5cmd("ls")


def test_s3cmd_puts_gets_syncs_and_removes_a_tree(s3cmd, s3, tmp_path):
    expected = make_tree(tmp_path / "tree", large=LARGE)
    s3cmd("mb", "s3://three")
    s3cmd("sync", "tree/", "s3://three/up/")
    assert stored(s3, "three", "up/") == expected
    no_uploads(s3, "three")
    assert s3cmd("sync", "tree/", "s3://three/up/").strip() == ""
    (tmp_path / "down").mkdir()
    s3cmd("get", "--recursive", "s3://three/up/", "down/")
    assert tree(tmp_path / "down") == expected
    (tmp_path / "tree/large.bin").unlink()
    (tmp_path / "tree/new").write_bytes(b"new")
    s3cmd("sync", "--delete-removed", "tree/", "s3://three/up/")
    s3cmd("sync", "--delete-removed", "s3://three/up/", "down/")
    assert stored(s3, "three", "up/") == tree(tmp_path / "tree") == tree(tmp_path / "down")
    s3cmd("cp", "s3://three/up/new", "s3://three/copied")
    s3cmd("mv", "s3://three/copied", "s3://three/moved")
    assert "MD5 sum" in s3cmd("info", "s3://three/moved")
    assert sorted(line.split()[-1] for line in s3cmd("ls", "s3://three").splitlines()) == [
        "s3://three/moved", "s3://three/up/"]
    s3cmd("del", "--recursive", "--force", "s3://three")
    s3cmd("rb", "s3://three")
    assert "s3://three" not in s3cmd("ls")


def test_s4cmd_puts_gets_syncs_and_removes_a_tree(s4cmd, s3, bucket, tmp_path):
    expected = make_tree(tmp_path / "tree", large=LARGE)
    parts = ("--multipart-split-size", "8388608", "--max-singlepart-upload-size", "8388608")
    s4cmd("put", "--recursive", *parts, "tree", f"s3://{bucket}/up/")
    assert stored(s3, bucket, "up/tree/") == expected
    no_uploads(s3, bucket)
    s4cmd("get", "--recursive", *parts, f"s3://{bucket}/up/tree/", "down/")
    assert tree(tmp_path / "down") in (
        expected, {f"tree/{name}": value for name, value in expected.items()})
    s4cmd("dsync", *parts, "tree", f"s3://{bucket}/sync")
    assert stored(s3, bucket, "sync/") == expected
    assert str(sum(path.stat().st_size for path in (tmp_path / "tree").rglob("*") if path.is_file())
               ) in s4cmd("du", "--recursive", f"s3://{bucket}/sync/")
    s4cmd("del", "--recursive", f"s3://{bucket}/up/")
    assert stored(s3, bucket, "up/") == {}
    assert stored(s3, bucket, "sync/") == expected
