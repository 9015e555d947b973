"""The rules of zones on a file system that fails on command: one disk, or two, and what a client then sees.

Each zone is a disk behind a file system of our own (tests/fault-fs), which fails calls by their path
and their kind. With redundancy left no operation may fail and no byte may be wrong; without it a write
is refused by 503, never acknowledged and lost. Times are printed, not asserted.
"""

import contextlib
import itertools
import shutil
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from harness.content import KIB, MIB, content, digest, fill, read_all
from harness.fault_fs import FaultStore
from harness.figures import figure
from harness.server import StartError
from test_fault_cells import RETRIES, SIZES, Cells
from test_repair import ask, wait_until as wait_asked
from test_respread import gone, in_service, wait_until

# What a disk does, as rules of the file system. Whether the store is to put it out of service: one
# that only reads badly, or is late now and then, may stay.
FAULTS = {
    "every call fails": [("*", "all", "eio")],
    "reads fail": [("*", "read", "eio")],
    "reads of segments fail": [("disk/segments/*", "read", "eio")],
    "writes of segments fail": [("disk/segments/*", "write,allocate,create", "eio")],
    "syncs fail": [("*", "sync", "eio")],
    "refused syncs lose what was written": [("*", "sync", "lose")],
    # Full segments are another matter: the fullest zone decides, and 507 says so.
    "no space for the log": [("disk/log*", "write,allocate,create", "enospc")],
    "read-only": [("*", "write,allocate,create,remove,rename,sync", "erofs")],
    "everything hangs": [("*", "all", "hang")],
    "every call takes a second": [("*", "read,write,sync", "slow 1000")],
    "short reads": [("disk/segments/*", "read", "short")],
    "flipped bits": [("disk/segments/*", "read", "flip")],
    "writes of segments are dropped": [("disk/segments/*", "write", "drop")],
}
# Clients of a zone's outage are to be served again within this: printed beside what was measured.
FIRST_SUCCESS_SECONDS_GOAL = 5
# Objects go round the zones, so far fewer do.
MORE_OBJECTS_MAX = 60


@pytest.fixture
def fault_store(new_server, tmp_path):
    with contextlib.ExitStack() as stack:
        yield FaultStore(stack, new_server, tmp_path)


def break_disk(store, name, rules):
    for rule in rules:
        store.disks[name].add(*rule)


def first_success(store):
    """Seconds until a client that asks again at once has written and read."""
    started = time.monotonic()
    client = store.server.client(retries=RETRIES)
    data = content("first", 60 * KIB)
    client.put_object(Bucket="objects", Key="first", Body=data)
    assert client.get_object(Bucket="objects", Key="first")["Body"].read() == data
    client.delete_object(Bucket="objects", Key="first")
    return time.monotonic() - started


def make_whole(store, scrub=False):
    """Waits until every zone is back and everything is full; what nobody saw, only a scrub finds."""
    server = store.server
    wait_until(server, "every zone is back", lambda found: all(in_service(found, name) for name in "abc")
               and found["blobs_reduced"] == 0)
    if scrub:
        scrub_all(server)
    wait_asked(server, "whole", lambda status: status["whole"])


def scrub_all(server):
    before = ask(server, "scrub", "status").get("ended")
    wait_asked(server, "no scrub is under way", lambda scrub: not scrub["running"], ("scrub", "status"))
    ask(server, "scrub", "start")
    wait_asked(server, "scrubbed", lambda scrub: not scrub["running"] and scrub.get("ended") not in (None, before),
               ("scrub", "status"))


def read_until_met(store, cells):
    """A shard of zone b is not part of every read: objects are added until one that is read has one."""
    for number in range(MORE_OBJECTS_MAX):
        if store.disks["b"].met() > 0:
            return
        cells.put(f"more-{number}", 60 * KIB)
        cells.get(f"more-{number}")
    raise AssertionError("the fault was never met: this proves nothing")


# AZ09, AZ12, AZ13, AZ14, AZ17, AZ20
@pytest.mark.root
@pytest.mark.parametrize("fault", FAULTS)
def test_every_operation_goes_on_while_one_disk_fails(fault_store, fault, capsys):
    store = fault_store
    cells = Cells(store.server, fill(store.client, "objects", SIZES, prefix="before"))
    break_disk(store, "b", FAULTS[fault])
    seconds = first_success(store)
    cells.everything()
    read_until_met(store, cells)
    assert read_all(store.server.client(retries=RETRIES), "objects") == cells.expected
    store.lift()
    make_whole(store, scrub=any(rule[2] == "drop" for rule in FAULTS[fault]))
    assert read_all(store.server.client(), "objects") == cells.expected
    # What was written meanwhile does not depend on a zone that was well all the time.
    shutil.rmtree(store.disks["c"].behind / "disk")
    assert read_all(store.server.client(retries=RETRIES), "objects") == cells.expected
    with capsys.disabled():
        print(f"\n{fault}: first success after {seconds:.2f} s (goal {FIRST_SUCCESS_SECONDS_GOAL} s), "
              f"{cells.passed} operations right, slowest {cells.slowest_seconds:.1f} s")
        figure("T6 one bad disk, fault file system", "cells: fault x operation", cells.passed, faults=1)


# AZ08
@pytest.mark.root
@pytest.mark.parametrize("lost", "abc")
def test_az08_what_was_acknowledged_survives_a_zone_that_fails_at_that_instant(fault_store, lost):
    store = fault_store
    expected = fill(store.client, "objects", SIZES * 2)
    store.client.delete_object(Bucket="objects", Key="object-0000")
    del expected["object-0000"]
    store.disks[lost].add("*", "all", "eio")
    store.server.kill()
    store.server.start()
    assert read_all(store.server.client(retries=RETRIES), "objects") == expected


# AZ09, AZ10, AZ18
@pytest.mark.root
@pytest.mark.parametrize("fault", ["eio", "enospc", "hang"])
def test_az09_without_a_majority_a_write_is_503_and_never_half_there(fault_store, fault):
    store = fault_store
    expected = fill(store.client, "objects", SIZES)
    for name in "ab":
        store.disks[name].add("*", "write,sync,allocate,create", fault)
    client = store.server.client()
    possible = {}
    # Segments of disks that hang, and of most disks at once, are waited for: late is no failure (H32).
    sizes = [100] * 3 if fault == "hang" else [100, 60 * KIB, 100]
    for number, size in enumerate(sizes):
        key, data = f"refused-{number}", content(f"refused-{number}", size)
        possible[key] = digest(data)
        with pytest.raises(ClientError) as refused:
            client.put_object(Bucket="objects", Key=key, Body=data)
        # A full disk has its own word.
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in (503, 507), refused.value.response
    wait_health(store.server, "/readyz/write", 503)
    assert store.server.health("/healthz") == 200
    store.lift()
    wait_health(store.server, "/readyz/write", 200)
    found = read_all(store.server.client(retries=RETRIES), "objects")
    for key, value in possible.items():
        assert found.pop(key, value) == value, f"{key} is torn"
    assert found == expected
    # A newer write or delete wins over one that was refused, also over a restart.
    client = store.server.client(retries=RETRIES)
    for number, size in enumerate([100, 60 * KIB]):
        key, data = f"refused-{number}", content(f"newer-{number}", size)
        client.put_object(Bucket="objects", Key=key, Body=data)
        expected[key] = digest(data)
    client.delete_object(Bucket="objects", Key="refused-2")
    store.server.kill()
    store.server.start()
    assert read_all(store.server.client(retries=RETRIES), "objects") == expected


def wait_health(server, path, code):
    deadline = time.monotonic() + 90
    while (found := server.health(path)) != code:
        assert time.monotonic() < deadline, f"{path} stays {found}, not {code}"
        time.sleep(0.05)


# AZ11
@pytest.mark.root
def test_az11_parts_and_completions_survive_zones_that_fail_one_after_another(fault_store):
    store = fault_store
    target = {"Bucket": "objects", "Key": "upload"}
    client = store.server.client(retries=RETRIES)
    upload = client.create_multipart_upload(**target)["UploadId"]
    parts, done = [content("one", 5 * MIB), content("two", 60 * KIB)], []
    for number, data in enumerate(parts, 1):
        answer = client.upload_part(**target, UploadId=upload, PartNumber=number, Body=data)
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    store.disks["a"].add("*", "all", "eio")
    client.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": done})
    assert read_all(client, "objects") == {"upload": digest(b"".join(parts))}
    store.lift()
    make_whole(store)
    store.disks["c"].add("*", "all", "eio")
    store.server.kill()
    store.server.start()
    assert read_all(store.server.client(retries=RETRIES), "objects") == {"upload": digest(b"".join(parts))}


# AZ15
@pytest.mark.root
def test_az15_exactly_one_conditional_write_wins_across_the_failover(fault_store):
    store = fault_store
    rounds, writers = 12, 6
    outcomes = [[] for _ in range(rounds)]

    def race(number):
        client = store.server.client()
        for index in range(rounds):
            outcomes[index].append(create_once(client, f"once-{index}", f"{number}".encode()))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    store.disks["b"].add("*", "all", "hang")
    for thread in threads:
        thread.join()
    store.lift()
    client = store.server.client(retries=RETRIES)
    for index, found in enumerate(outcomes):
        winners = [value for kind, value in found if kind == "won"]
        assert len(winners) <= 1, f"round {index}: {found}"
        value = client.get_object(Bucket="objects", Key=f"once-{index}")["Body"].read()
        unknown = [value for kind, value in found if kind == "unknown"]
        assert value in (winners or unknown), f"round {index}: {value} of {found}"


def create_once(client, key, data):
    """Whether this write made the key; one whose answer is an error may have."""
    while True:
        try:
            client.put_object(Bucket="objects", Key=key, Body=data, IfNoneMatch="*")
            return "won", data
        except ClientError as error:
            code = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if code == 409:
                continue
            assert code in (412, 503), error
            return ("lost" if code == 412 else "unknown"), data
        except BotoCoreError:
            return "unknown", data


# AZ15, AZ18
@pytest.mark.root
def test_az15_a_minority_never_says_that_an_object_is_not_there(fault_store):
    store = fault_store
    expected = fill(store.client, "objects", SIZES)
    for name in "ab":
        store.disks[name].add("*", "all", "eio")
    client = store.server.client()
    # Until the store knows, a sector that can not be read looks like one that is lost.
    wait_health(store.server, "/readyz/write", 503)
    for key, value in itertools.chain(expected.items(), expected.items()):
        try:
            assert digest(client.get_object(Bucket="objects", Key=key)["Body"].read()) == value
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503, error
        with pytest.raises(ClientError) as refused:
            client.put_object(Bucket="objects", Key=key, Body=b"other", IfNoneMatch="*")
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in (412, 503)
    store.lift()
    wait_health(store.server, "/readyz/write", 200)
    assert read_all(store.server.client(retries=RETRIES), "objects") == expected


# AZ17
@pytest.mark.root
def test_az17_a_disk_that_takes_five_seconds_is_read_around(fault_store, capsys):
    store = fault_store
    expected = fill(store.client, "objects", SIZES * 4)
    keys = sorted(expected)
    store.disks["b"].add("*", "read,write,sync", "slow 5000")
    client = store.server.client(retries=RETRIES)
    times = []
    for number in range(60):
        key = keys[number % len(keys)]
        started = time.monotonic()
        assert digest(client.get_object(Bucket="objects", Key=key)["Body"].read()) == expected[key]
        times.append(time.monotonic() - started)
        started = time.monotonic()
        expected |= fill(client, "objects", [SIZES[number % 2]], prefix=f"later-{number}")
        times.append(time.monotonic() - started)
    store.lift()
    assert read_all(store.server.client(retries=RETRIES), "objects") == expected
    times.sort()
    with capsys.disabled():
        print(f"\na disk 5 s late: p50 {times[len(times) // 2]:.3f} s, p99 {times[-2]:.3f} s, "
              f"longest {times[-1]:.2f} s of {len(times)} operations")


# AZ19
@pytest.mark.root
@pytest.mark.parametrize("order", ["abc", "bca", "cba"])
def test_az19_after_a_loss_of_power_everywhere_zones_may_return_in_any_order(fault_store, order):
    store = fault_store
    server = store.server
    expected = fill(store.client, "objects", SIZES * 2)
    server.kill()
    for name in order[1:]:
        store.disks[name].add("*", "all", "eio")
    for name in order:
        store.disks[name].clear()
        start_if_down(server)
    wait_until(server, "every zone is back", lambda found: all(in_service(found, name) for name in "abc"))
    assert read_all(server.client(retries=RETRIES), "objects") == expected
    server.client(retries=RETRIES).put_object(Bucket="objects", Key="more", Body=b"x")


def start_if_down(server):
    """What a service manager does: a start that ended is tried again, once for each zone here."""
    if server.process is not None and server.process.poll() is not None:
        server.process = None
    if server.process is None:
        with contextlib.suppress(StartError):
            server.start(ready=False)
    time.sleep(1)
