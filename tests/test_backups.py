"""Backup programs: what they stored is whole after a server was killed under them.

restic and duplicity check their own hashes, so that a byte the store changed would show.
"""

import os
import subprocess
import threading

import pytest

from harness.content import MIB, content
from harness.tools import aws_environment, installed, make_tree, run, stored, tree


def bucket_of(server, name):
    server.client().create_bucket(Bucket=name)
    return name


@pytest.fixture
def restic(new_server, tmp_path):
    """A server of one's own, since it is killed, and restic with a repository in it."""
    program = installed("restic")
    server = new_server().start()
    environment = aws_environment(server) | {
        "RESTIC_REPOSITORY": f"s3:{server.endpoint}/{bucket_of(server, 'restic')}/repository",
        "RESTIC_PASSWORD": "tests", "RESTIC_CACHE_DIR": str(tmp_path / "cache"),
    }

    def call(*words, **options):
        return run([program, *words], environment, tmp_path, **options)

    call.server, call.words, call.environment = server, program, environment
    call("init")
    return call


def test_restic_backs_up_restores_checks_forgets_and_prunes(restic, tmp_path):
    first = make_tree(tmp_path / "tree", large=24 * MIB)
    restic("backup", "tree")
    (tmp_path / "tree/new").write_bytes(content("new", 3 * MIB))
    (tmp_path / "tree/large.bin").unlink()
    second = tree(tmp_path / "tree")
    restic("backup", "tree")
    restic("check", "--read-data")
    restic("restore", "latest", "--target", "restored")
    assert tree(tmp_path / "restored/tree") == second
    snapshots = [line.split()[0] for line in restic("snapshots", "--compact").splitlines()
                 if len(line.split()) > 3 and len(line.split()[0]) == 8]
    restic("restore", snapshots[0], "--target", "older")
    assert tree(tmp_path / "older/tree") == first
    before = sum(size(restic.server))
    restic("forget", "--keep-last", "1", "--prune")
    # The large file was only in the snapshot that is forgotten.
    assert before - sum(size(restic.server)) > 20 * MIB
    restic("check", "--read-data")
    restic("restore", "latest", "--target", "again")
    assert tree(tmp_path / "again/tree") == second


def size(server):
    pages = server.client().get_paginator("list_objects_v2").paginate(Bucket="restic")
    return [entry["Size"] for page in pages for entry in page.get("Contents", [])]


def test_a_restic_repository_is_whole_after_the_server_was_killed_during_a_backup(restic, tmp_path):
    """I1 and I2 as a backup program sees them: each pack it was told is stored is there, whole."""
    kept = make_tree(tmp_path / "tree", large=8 * MIB)
    restic("backup", "tree")
    server = restic.server
    for number in range(12):
        (tmp_path / f"tree/more{number}").write_bytes(content(f"more/{number}", 6 * MIB))
    count = len(size(server))
    backup = subprocess.Popen(
        [restic.words, "backup", "tree", "--quiet"], env=restic.environment, cwd=tmp_path,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    # Killed once packs of the second backup are stored and others are on their way.
    waited = threading.Event()
    while len(size(server)) < count + 3 and backup.poll() is None:
        waited.wait(0.01)
    server.kill()
    backup.kill()
    backup.wait()
    server.start()
    restic("unlock")
    restic("check", "--read-data")
    restic("restore", "latest", "--target", "restored")
    assert tree(tmp_path / "restored/tree") == kept
    restic("backup", "tree")
    restic("check", "--read-data")
    restic("restore", "latest", "--target", "later")
    assert tree(tmp_path / "later/tree") == tree(tmp_path / "tree")


def test_duplicity_backs_up_in_increments_verifies_and_restores(server, s3, bucket, tmp_path):
    words = [installed("duplicity"), "--no-encryption", "--s3-endpoint-url", server.endpoint]
    words += ["--archive-dir", tmp_path / "archive", "--volsize", "5"]
    environment = aws_environment(server) | {"HOME": str(tmp_path)}
    # The package's own Python, not the one the tests run in.
    environment["PATH"] = "/usr/bin:/bin"
    environment.pop("VIRTUAL_ENV", None)
    url = f"boto3+s3://{bucket}/duplicity"

    def duplicity(action, *more):
        return run([words[0], action, *words[1:], *more], environment, tmp_path)

    make_tree(tmp_path / "tree", large=12 * MIB)
    duplicity("full", "tree", url)
    assert len(stored(s3, bucket, "duplicity/")) >= 5
    (tmp_path / "tree/new").write_bytes(b"new")
    next((tmp_path / "tree/d0").iterdir()).unlink()
    duplicity("incr", "tree", url)
    duplicity("verify", "--compare-data", url, "tree")
    # Without the local archive, as on a new machine.
    os.rename(tmp_path / "archive", tmp_path / "lost")
    duplicity("restore", url, "restored")
    assert tree(tmp_path / "restored") == tree(tmp_path / "tree")
    duplicity("remove-all-but-n-full", "1", "--force", url)
    assert "Number of contained backup sets: 2" in duplicity("collection-status", url)
