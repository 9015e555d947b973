"""The AWS CLI against a store of three zones."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from harness.content import MIB, content, digest
from harness.tools import make_tree, stored, tree
from harness.server import ACCESS_KEY, REGION, SECRET_KEY, clean_environment

AWS = Path(sys.executable).with_name("aws")


@pytest.fixture
def aws(server, tmp_path):
    """Runs `aws` and returns what it printed; a failure fails the test unless it is asked for."""
    # Left to itself this version makes presigned links of signature version 2.
    (tmp_path / "config").write_text("[default]\ns3 =\n  signature_version = s3v4\n")
    environment = clean_environment() | {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_MAX_ATTEMPTS": "1", "AWS_EC2_METADATA_DISABLED": "true",
    }

    def run(*words, fails=False):
        done = subprocess.run(
            [str(AWS), *map(str, words)], env=environment, cwd=tmp_path, capture_output=True,
            text=True, timeout=120, check=False,
        )
        assert (done.returncode != 0) == fails, f"aws {words}: {done.returncode}\n{done.stderr}"
        return done.stdout + done.stderr

    return run


def test_a_bucket_is_made_and_removed(aws):
    aws("s3", "mb", "s3://cli-made")
    assert "cli-made" in aws("s3", "ls")
    aws("s3", "rb", "s3://cli-made")
    assert "cli-made" not in aws("s3", "ls")


def test_twenty_mebibytes_go_up_and_come_down(aws, bucket, tmp_path):
    data = content("cli", 20 * MIB)
    (tmp_path / "up").write_bytes(data)
    aws("s3", "cp", "up", f"s3://{bucket}/folder/big", "--no-progress")
    assert "20971520" in aws("s3", "ls", f"s3://{bucket}/folder/")
    aws("s3", "cp", f"s3://{bucket}/folder/big", "down", "--no-progress")
    assert digest((tmp_path / "down").read_bytes()) == digest(data)


def test_a_stream_is_copied_up_and_down(aws, bucket, tmp_path):
    (tmp_path / "up").write_bytes(b"hello")
    aws("s3", "cp", "up", f"s3://{bucket}/small", "--no-progress")
    assert "hello" in aws("s3", "cp", f"s3://{bucket}/small", "-")


def test_sync_up_changes_only_what_differs_and_sync_down_restores_it(aws, bucket, tmp_path):
    tree = tmp_path / "tree"
    for number in range(12):
        path = tree / f"d{number % 3}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(number, number * 3000))
        # The list shows whole seconds: a file of this second would look newer than its object.
        os.utime(path, (1_700_000_000, 1_700_000_000))
    aws("s3", "sync", "tree", f"s3://{bucket}/t", "--no-progress")
    assert aws("s3", "sync", "tree", f"s3://{bucket}/t", "--no-progress").strip() == ""
    (tree / "d0" / "f0").write_bytes(b"changed now")
    (tree / "d1" / "f1").unlink()
    out = aws("s3", "sync", "tree", f"s3://{bucket}/t", "--delete", "--no-progress")
    assert sorted(line.split(":")[0] for line in out.splitlines()) == ["delete", "upload"]
    aws("s3", "sync", f"s3://{bucket}/t", "copy", "--no-progress")
    files = lambda root: {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}  # noqa: E731
    assert files(tmp_path / "copy") == files(tree)


def test_rm_recursive_empties_a_bucket_so_that_rb_removes_it(aws, tmp_path):
    aws("s3", "mb", "s3://cli-full")
    (tmp_path / "f").write_bytes(b"x")
    for number in range(5):
        aws("s3", "cp", "f", f"s3://cli-full/a/{number}", "--no-progress")
    assert "BucketNotEmpty" in aws("s3", "rb", "s3://cli-full", fails=True)
    aws("s3", "rm", "s3://cli-full", "--recursive")
    aws("s3", "rb", "s3://cli-full")


def test_a_presigned_link_is_read_without_credentials(aws, bucket, tmp_path):
    (tmp_path / "f").write_bytes(b"linked")
    aws("s3", "cp", "f", f"s3://{bucket}/f", "--no-progress")
    url = aws("s3", "presign", f"s3://{bucket}/f", "--expires-in", "60").strip()
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"linked"


def test_a_copy_and_a_move_inside_the_store(aws, bucket, tmp_path):
    (tmp_path / "f").write_bytes(b"x" * 100_000)
    aws("s3", "cp", "f", f"s3://{bucket}/a", "--no-progress")
    aws("s3", "cp", f"s3://{bucket}/a", f"s3://{bucket}/b", "--no-progress")
    aws("s3", "mv", f"s3://{bucket}/b", f"s3://{bucket}/c", "--no-progress")
    listed = [line.split()[-1] for line in aws("s3", "ls", f"s3://{bucket}/").splitlines()]
    assert listed == ["a", "c"]


def test_s3api_speaks_of_one_object(aws, bucket, tmp_path):
    (tmp_path / "f").write_bytes(b"0123456789")
    aws("s3api", "put-object", "--bucket", bucket, "--key", "k", "--body", "f")
    assert '"ContentLength": 10' in aws("s3api", "head-object", "--bucket", bucket, "--key", "k")
    aws("s3api", "get-object", "--bucket", bucket, "--key", "k", "--range", "bytes=2-4", "out")
    assert (tmp_path / "out").read_bytes() == b"234"
    assert "404" in aws("s3api", "head-object", "--bucket", bucket, "--key", "none", fails=True)


def test_forty_mebibytes_go_up_in_parts_are_copied_and_come_down(aws, s3, bucket, tmp_path):
    settings = "[default]\ns3 =\n  signature_version = s3v4\n  multipart_threshold = 8MB\n"
    (tmp_path / "config").write_text(settings + "  multipart_chunksize = 8MB\n")
    data = content("cli parts", 42 * MIB + 11)
    (tmp_path / "up").write_bytes(data)
    aws("s3", "cp", "up", f"s3://{bucket}/large", "--no-progress", "--metadata", "colour=blue")
    head = s3.head_object(Bucket=bucket, Key="large")
    assert (head["Metadata"], head["ETag"][-3:]) == ({"colour": "blue"}, '-6"')
    aws("s3", "cp", f"s3://{bucket}/large", f"s3://{bucket}/copy", "--no-progress")
    aws("s3", "cp", f"s3://{bucket}/copy", "down", "--no-progress")
    assert digest((tmp_path / "down").read_bytes()) == digest(data)
    assert s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_sync_both_ways_between_a_folder_and_two_buckets(aws, s3, bucket, tmp_path):
    expected = make_tree(tmp_path / "tree", large=9 * MIB)
    aws("s3", "mb", "s3://cli-second")
    aws("s3", "sync", "tree", f"s3://{bucket}", "--no-progress")
    aws("s3", "sync", f"s3://{bucket}", "s3://cli-second", "--no-progress")
    assert stored(s3, "cli-second") == expected
    (tmp_path / "tree/large.bin").unlink()
    s3.put_object(Bucket="cli-second", Key="d1/from the store", Body=b"there")
    aws("s3", "sync", "s3://cli-second", "tree", "--no-progress", "--exclude", "large.bin")
    assert (tmp_path / "tree/d1/from the store").read_bytes() == b"there"
    aws("s3", "sync", "tree", "s3://cli-second", "--delete", "--no-progress")
    assert stored(s3, "cli-second") == tree(tmp_path / "tree")
    aws("s3", "rb", "s3://cli-second", "--force")
