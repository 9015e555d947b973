"""s3fs: a bucket mounted as a folder, with an ordinary program's reads, writes and renames."""

import os
import shutil
import subprocess
import threading

import pytest

from harness.content import MIB, content, digest
from harness.server import ACCESS_KEY, SECRET_KEY
from harness.tools import aws_environment, installed, make_tree, no_uploads, stored, tree

MOUNT_SECONDS_MAX = 20


@pytest.fixture
def mount(server, bucket, tmp_path):
    """Mounts the bucket of the test; a second call mounts it anew, with nothing cached."""
    program = installed("s3fs")
    if not os.path.exists("/dev/fuse"):
        pytest.skip("there is no /dev/fuse: s3fs can not mount")
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    (tmp_path / "passwd").write_text(f"{ACCESS_KEY}:{SECRET_KEY}\n")
    (tmp_path / "passwd").chmod(0o600)
    running = []

    def call(name):
        folder = tmp_path / name
        folder.mkdir()
        log = open(tmp_path / f"{name}.log", "wb")
        options = f"passwd_file={tmp_path}/passwd,url={server.endpoint},use_path_request_style"
        options += ",multipart_size=10,retries=1"
        process = subprocess.Popen(
            [program, bucket, str(folder), "-f", "-o", options], env=aws_environment(server),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )
        running.append((folder, process))
        waited = threading.Event()
        for _ in range(MOUNT_SECONDS_MAX * 20):
            if os.path.ismount(folder):
                return folder
            if process.poll() is not None:
                break
            waited.wait(0.05)
        said = (tmp_path / f"{name}.log").read_text()
        if "fuse: " in said or "Operation not permitted" in said:
            pytest.skip(f"this machine does not let s3fs mount: {said.splitlines()[-1]}")
        raise AssertionError(f"s3fs did not mount: {said[-2000:]}")

    yield call
    for folder, process in running:
        subprocess.run(["umount", "--lazy", folder], check=False, capture_output=True)
        process.terminate()
        process.wait(30)


def test_a_mounted_bucket_is_written_read_renamed_and_removed(mount, s3, bucket, tmp_path):
    expected = make_tree(tmp_path / "tree", count=12, large=25 * MIB)
    first = mount("first")
    shutil.copytree(tmp_path / "tree", first / "up")
    assert tree(first / "up") == expected
    in_store = {key: value for key, value in stored(s3, bucket, "up/").items()
                if key and not key.endswith("/")}
    assert in_store == expected
    # What a fresh mount shows comes from the store and not from a cache.
    second = mount("second")
    assert tree(second / "up") == expected
    os.rename(second / "up/large.bin", second / "renamed.bin")
    data = content("tree/large", 25 * MIB)
    with open(second / "renamed.bin", "r+b") as file:
        file.seek(12 * MIB)
        file.write(b"written in the middle")
    changed = data[:12 * MIB] + b"written in the middle" + data[12 * MIB + 21:]
    got = s3.get_object(Bucket=bucket, Key="renamed.bin")["Body"].read()
    assert digest(got) == digest(changed)
    shutil.rmtree(second / "up")
    assert [key for key in stored(s3, bucket) if key] == ["renamed.bin"]
    no_uploads(s3, bucket)
