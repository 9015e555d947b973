"""Small objects leave the commit log: it stays below a bound, and everything is served.

Objects of 16 KB are written, overwritten and deleted for several times the size of log that starts
packing. Every byte is read back before and after a restart and a kill.
"""

import random
import shutil
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

BUCKET = "packed"
MIB = 1 << 20
PACK_LOG_SIZE = 64 * MIB
# Files of the log go as a whole: the one in use stays, and what was begun since the last round.
LOG_BYTES_MAX = 2 * PACK_LOG_SIZE + 64 * MIB
KEYS = 2_000
SIZE = 16_000
ROUNDS = 7


def body(number):
    return random.Random(number).randbytes(SIZE)


def metrics(server):
    with urllib.request.urlopen(f"{server.admin_endpoint}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def wait_for(server, what, seconds=60):
    end = time.monotonic() + seconds
    while True:
        found = metrics(server)
        if what(found):
            return found
        assert time.monotonic() < end, {name: found[name] for name in found if "pack" in name or "log_" in name}
        time.sleep(0.2)


def check(client, expected):
    def read(entry):
        key, number = entry
        assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == body(number), key

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, expected.items()))
    listed = set()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        listed |= {entry["Key"] for entry in page.get("Contents", ())}
    assert listed == set(expected)


# H25
def test_small_objects_are_packed_and_served_from_packs_through_restarts(new_server):
    chance = random.Random(8)
    server = new_server(arguments=["--pack-log-size", "64MiB", "--metrics-open"])
    server.start()
    client = server.client()
    client.create_bucket(Bucket=BUCKET)
    expected, number = {}, 0
    for _ in range(ROUNDS):
        work = []
        for index in range(KEYS):
            number += 1
            key = f"k{index}"
            if chance.random() < 0.2 and key in expected:
                work.append((client.delete_object, {"Bucket": BUCKET, "Key": key}))
                del expected[key]
            else:
                work.append((client.put_object, {"Bucket": BUCKET, "Key": key, "Body": body(number)}))
                expected[key] = number
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda call: call[0](**call[1]), work))
    written = number * SIZE
    assert written > 3 * PACK_LOG_SIZE, "too little was written to say anything"
    found = wait_for(server, lambda m: m.get("strongroom_log_size_bytes", LOG_BYTES_MAX + 1) <= LOG_BYTES_MAX
                     and m["strongroom_log_trimmed_bytes_total"] > 0, seconds=180)
    assert found["strongroom_packed_contents_total"] > 0
    print("written", written, "log", found["strongroom_log_size_bytes"], "given back",
          found["strongroom_log_trimmed_bytes_total"], "packs", found["strongroom_packs"])
    assert found["strongroom_pack_rounds_failed_total"] == 0
    assert found["strongroom_pack_contents_unreadable_total"] == 0
    check(client, expected)
    server.restart()
    check(server.client(), expected)
    assert metrics(server)["strongroom_packs"] > 0
    server.kill()
    server.start()
    check(server.client(), expected)
    # An index is lost after the log was trimmed: it is copied from another zone.
    server.kill()
    shutil.rmtree(list(server.zone_folders().values())[1][0] / "view")
    server.start()
    check(server.client(), expected)
