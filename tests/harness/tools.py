"""Client programs under test: found, run, and what they move compared byte by byte."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.content import KIB, MIB, content
from harness.server import ACCESS_KEY, REGION, SECRET_KEY, clean_environment

RUN_SECONDS_MAX = 180


def installed(name, package=None):
    """The path of a client; without it the test is skipped, which is counted and shown."""
    beside = Path(sys.executable).with_name(name)
    if beside.exists():
        return str(beside)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian package {package or name})")
    return found


def aws_environment(server):
    """What the clients that follow the AWS conventions read."""
    return clean_environment() | {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def run(words, environment, folder, fails=False, data=None):
    """Runs a client and returns what it printed; a failure fails the test unless asked for."""
    done = subprocess.run(
        [str(word) for word in words], env=environment, cwd=folder, input=data,
        stdin=subprocess.DEVNULL if data is None else None, capture_output=True,
        timeout=RUN_SECONDS_MAX, check=False,
    )
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert (done.returncode != 0) == fails, f"{words}: {done.returncode}\n{said[-4000:]}"
    return said


def make_tree(folder, count=40, large=0):
    """A tree of `count` files, empty to 200 KB, odd names among them, and one of `large` bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"d{number % 4}" / f"file {number:03} +ü.bin"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content(f"tree/{number}", (number * 5003) % (200 * KIB)))
    if large:
        (folder / "large.bin").write_bytes(content("tree/large", large))
    return tree(folder)


def tree(folder):
    """The files below a folder and the digest of each."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*")) if path.is_file()
    }


def stored(client, bucket, prefix=""):
    """The objects of a bucket below a prefix and the digest of each, read with another client."""
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            body = client.get_object(Bucket=bucket, Key=entry["Key"])["Body"]
            found[entry["Key"].removeprefix(prefix)] = hashlib.sha256(body.read()).hexdigest()
    return found


def no_uploads(client, bucket):
    """No client leaves an upload behind that it completed or gave up."""
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


# Above every client's threshold: it goes up in parts.
LARGE = 41 * MIB + 7
