"""A ledger of what the store acknowledged, and the check that it still holds.

Each key has one writer, so that its history is a sequence. An operation that was answered fixes
what the key holds; one whose answer never came leaves two possibilities, and the next check must
find exactly one of them, whole.
"""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from harness.content import KIB, MIB, content, digest

ABSENT = None
# Inline, one stripe, several stripes, several groups of stripes.
SIZES = [0, 10, 1000, 16 * KIB, 16 * KIB + 1, 70 * KIB, 300 * KIB, 1 * MIB + 7]
PART_SIZE = 5 * MIB


@dataclass
class Entry:
    """What one key may hold: digests, or absent."""

    possible: set = field(default_factory=lambda: {ABSENT})
    # Operations acknowledged since the last check.
    acknowledged: int = 0


class Ledger:
    def __init__(self, bucket):
        self.bucket = bucket
        self.entries = {}
        self.lock = threading.Lock()
        self.acknowledged = 0
        self.checked = 0
        self.unknown = 0
        # Errors the store answered, as opposed to connections that broke.
        self.refusals = []

    def refuse(self, error):
        with self.lock:
            self.unknown += 1
            if isinstance(error, ClientError):
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                self.refusals.append((status, error.response["Error"]["Code"], str(error)))

    def check_refusals(self, *allowed):
        """Every error answered so far has one of the allowed statuses."""
        surprises = [refusal for refusal in self.refusals if refusal[0] not in allowed]
        assert not surprises, f"{len(surprises)} operations were refused: {surprises[:3]}"

    def entry(self, key):
        with self.lock:
            return self.entries.setdefault(key, Entry())

    def attempt(self, key, value, call):
        """Runs `call`, which gives `key` the value; returns whether it was acknowledged."""
        entry = self.entry(key)
        before = set(entry.possible)
        entry.possible = before | {value}
        try:
            call()
        except (ClientError, BotoCoreError, OSError) as error:
            self.refuse(error)
            return False
        entry.possible = {value}
        entry.acknowledged += 1
        with self.lock:
            self.acknowledged += 1
        return True

    def check(self, client, everything=True):
        """Reads what the ledger holds; raises on a lost, torn or resurrected object."""
        listed = {}
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for item in page.get("Contents", []):
                listed[item["Key"]] = item
        keys = [key for key, entry in self.entries.items() if everything or entry.acknowledged
                or len(entry.possible) > 1]
        with ThreadPoolExecutor(8) as pool:
            found = dict(zip(keys, pool.map(lambda key: read(client, self.bucket, key), keys)))
        for key in keys:
            entry, (value, size, etag) = self.entries[key], found[key]
            assert value in entry.possible, (
                f"{key}: {'lost' if value is ABSENT else 'wrong or resurrected'}; found {value}, "
                f"possible {entry.possible}"
            )
            # I3: the list and the content agree.
            assert (key in listed) == (value is not ABSENT), f"{key}: list and content disagree"
            if value is not ABSENT:
                assert (listed[key]["Size"], listed[key]["ETag"]) == (size, etag), f"{key}: list is stale"
            self.checked += entry.acknowledged
            entry.acknowledged = 0
            # What was found is the truth now: it must not change by itself.
            entry.possible = {value}
        strangers = set(listed) - set(self.entries)
        assert not strangers, f"the list shows keys nobody wrote: {sorted(strangers)[:5]}"


def read(client, bucket, key):
    try:
        answer = client.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "NoSuchKey", f"{key}: {error}"
        return ABSENT, None, None
    data = answer["Body"].read()
    return digest(data), len(data), answer["ETag"]


class Writer(threading.Thread):
    """One client: writes, replaces, copies and deletes keys of its own until told to stop, or
    until the store does not answer any more."""

    def __init__(self, server, ledger, name, seed, keep_on=False):
        super().__init__(name=name, daemon=True)
        self.client = server.client()
        self.ledger = ledger
        self.random = random.Random(seed)
        self.keep_on = keep_on
        self.stopped = threading.Event()
        self.keys = []
        self.count = 0
        self.failed = 0

    def run(self):
        while not self.stopped.is_set():
            if not self.step():
                self.failed += 1
                if not self.keep_on:
                    return
                self.stopped.wait(0.05)

    def stop(self):
        self.stopped.set()
        self.join(120)
        assert not self.is_alive(), "a client hangs"

    def step(self):
        choice = self.random.random()
        if choice < 0.55 or not self.keys:
            return self.put(self.new_key())
        if choice < 0.70:
            return self.put(self.random.choice(self.keys))
        if choice < 0.80:
            return self.delete(self.random.choice(self.keys))
        if choice < 0.90:
            return self.copy(self.random.choice(self.keys), self.new_key())
        if choice < 0.97:
            return self.delete_several()
        return self.multipart(self.new_key())

    def new_key(self):
        self.count += 1
        key = f"{self.name}/{self.count:06}"
        self.keys.append(key)
        return key

    def data(self, size):
        return content(self.random.random(), size)

    def put(self, key):
        data = self.data(self.random.choice(SIZES))
        call = lambda: self.client.put_object(Bucket=self.ledger.bucket, Key=key, Body=data)  # noqa: E731
        return self.ledger.attempt(key, digest(data), call)

    def delete(self, key):
        call = lambda: self.client.delete_object(Bucket=self.ledger.bucket, Key=key)  # noqa: E731
        return self.ledger.attempt(key, ABSENT, call)

    def copy(self, source, key):
        possible = self.ledger.entry(source).possible
        if len(possible) != 1 or ABSENT in possible:
            return self.put(key)
        where = {"Bucket": self.ledger.bucket, "Key": source}
        call = lambda: self.client.copy_object(Bucket=self.ledger.bucket, Key=key, CopySource=where)  # noqa: E731
        return self.ledger.attempt(key, next(iter(possible)), call)

    def delete_several(self):
        keys = self.random.sample(self.keys, min(len(self.keys), 5))
        entries = [self.ledger.entry(key) for key in keys]
        for entry in entries:
            entry.possible = entry.possible | {ABSENT}
        try:
            answer = self.client.delete_objects(
                Bucket=self.ledger.bucket, Delete={"Objects": [{"Key": key} for key in keys]}
            )
        except (ClientError, BotoCoreError, OSError) as error:
            self.ledger.refuse(error)
            return False
        deleted = {item["Key"] for item in answer.get("Deleted", [])}
        for key, entry in zip(keys, entries):
            if key in deleted:
                entry.possible = {ABSENT}
                entry.acknowledged += 1
        with self.ledger.lock:
            self.ledger.acknowledged += len(deleted)
        return len(deleted) == len(keys)

    def multipart(self, key):
        parts = [self.data(PART_SIZE), self.data(1000)]
        target = {"Bucket": self.ledger.bucket, "Key": key}
        try:
            upload = self.client.create_multipart_upload(**target)["UploadId"]
            etags = [
                self.client.upload_part(**target, UploadId=upload, PartNumber=number, Body=data)["ETag"]
                for number, data in enumerate(parts, 1)
            ]
        except (ClientError, BotoCoreError, OSError) as error:
            self.ledger.refuse(error)
            return False
        done = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]}
        call = lambda: self.client.complete_multipart_upload(  # noqa: E731
            **target, UploadId=upload, MultipartUpload=done
        )
        return self.ledger.attempt(key, digest(b"".join(parts)), call)


def bound(losses, trials):
    """What a count of losses says: with none in N trials the rate is below 3/N at 95 %."""
    assert losses == 0
    return f"lost 0 (95 % bound {3 / max(trials, 1):.2g})"
