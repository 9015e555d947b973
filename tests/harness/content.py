"""Content that can be recomputed from its name, so that a test remembers hashes, not bytes."""

import hashlib
import random

KIB = 1024
MIB = 1024 * KIB


def content(seed, size):
    """`size` bytes that depend on `seed` alone."""
    return random.Random(f"{seed}/{size}").randbytes(size)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def fill(client, bucket, sizes, prefix="object"):
    """Stores one object of each size; returns what they hold by key."""
    expected = {}
    for index, size in enumerate(sizes):
        key = f"{prefix}-{index:04}"
        data = content(f"{bucket}/{key}", size)
        client.put_object(Bucket=bucket, Key=key, Body=data)
        expected[key] = digest(data)
    return expected


def read_all(client, bucket):
    """Every object of a bucket as the store lists and serves it, by key."""
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", []):
            answer = client.get_object(Bucket=bucket, Key=entry["Key"])
            data = answer["Body"].read()
            assert len(data) == entry["Size"], f"{entry['Key']}: list and content disagree on size"
            assert answer["ETag"] == entry["ETag"], f"{entry['Key']}: list and content disagree on ETag"
            found[entry["Key"]] = digest(data)
    return found
