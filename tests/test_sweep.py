"""Space comes back: of what is deleted, after it was held back, and at once when disks are full."""

import contextlib
import os
import time

import pytest
from botocore.exceptions import ClientError

from harness.content import MIB, content, digest, read_all
from test_faults import small_disk
from test_respread import metric

SIZE = 8 * MIB
# The sweeper looks every few seconds; the rest is for slow machines.
PATIENCE_SECONDS = 90


def put(client, key, size=SIZE):
    data = content(key, size)
    client.put_object(Bucket="objects", Key=key, Body=data)
    return {key: digest(data)}


def delete(client, keys):
    for key in keys:
        client.delete_object(Bucket="objects", Key=key)


def allocated(folder):
    """Bytes that the segments below a folder take on their disks."""
    return sum(os.stat(path).st_blocks * 512 for path in folder.rglob("*.seg"))


def wait_for(what, holds):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not after {PATIENCE_SECONDS} s"
        time.sleep(0.2)


def test_deleted_objects_give_their_space_back_after_the_hold_back(new_server, tmp_path):
    server = new_server(arguments=["--hold-back", "1s"])
    server.start()
    client = server.client()
    client.create_bucket(Bucket="objects")
    expected = {}
    for number in range(6):
        expected |= put(client, f"object-{number}")
    before = allocated(tmp_path)
    gone = [f"object-{number}" for number in range(0, 6, 2)]
    delete(client, gone)
    for key in gone:
        del expected[key]
    # Two data shards and one of parity.
    wanted = before - len(gone) * SIZE * 3 // 2 * 9 // 10
    wait_for("the space is back", lambda: allocated(tmp_path) < wanted)
    wait_for("the graveyard is empty", lambda: metric(server, "strongroom_buried_bytes") == 0)
    assert metric(server, "strongroom_swept_blobs_total") == len(gone)
    assert metric(server, "strongroom_sweep_kept_total") == 0
    assert read_all(client, "objects") == expected
    server.restart()
    client = server.client()
    assert read_all(client, "objects") == expected
    expected |= put(client, "object-0")
    assert read_all(client, "objects") == expected


def test_deleted_objects_are_held_back_for_a_day(new_server, tmp_path):
    server = new_server()
    server.start()
    client = server.client()
    client.create_bucket(Bucket="objects")
    put(client, "object")
    before = allocated(tmp_path)
    delete(client, ["object"])
    wait_for("it is counted", lambda: metric(server, "strongroom_buried_bytes") == SIZE)
    assert metric(server, "strongroom_buried_blobs") == 1
    # Longer than the sweeper sleeps, and shorter than what is kept however full disks are.
    time.sleep(7)
    assert allocated(tmp_path) >= before
    assert metric(server, "strongroom_swept_blobs_total") == 0


@contextlib.contextmanager
def store_on_small_disks(new_server, tmp_path, arguments=()):
    with contextlib.ExitStack() as stack:
        zones = {name: [stack.enter_context(small_disk(tmp_path / name, 800))] for name in "abc"}
        server = new_server(zones=zones, arguments=arguments)
        stack.callback(server.kill)
        server.expect_errors()
        server.start()
        server.client().create_bucket(Bucket="objects")
        yield server, [folders[0] for folders in zones.values()]


def free_mib(folders):
    spaces = [os.statvfs(folder) for folder in folders]
    return min(space.f_bavail * space.f_frsize for space in spaces) // MIB


@pytest.mark.root
def test_several_times_the_disk_is_written_and_deleted_and_the_space_returns(new_server, tmp_path):
    """H34. A disk of 800 MiB takes some 500 MiB of shards: this writes three times that."""
    rounds, per_round = 25, 16
    with store_on_small_disks(new_server, tmp_path, ["--hold-back", "1s"]) as (server, folders):
        client = server.client()
        expected = put(client, "kept")
        at_first = free_mib(folders)
        refused = 0
        for number in range(rounds):
            keys = [f"round-{number}-{index}" for index in range(per_round)]
            for key in keys:
                deadline = time.monotonic() + PATIENCE_SECONDS
                while True:
                    try:
                        put(client, key)
                        break
                    except ClientError as error:
                        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 507, error
                        assert time.monotonic() < deadline, "no space comes back"
                        refused += 1
                        time.sleep(0.5)
            delete(client, keys)
        wait_for("the graveyard is empty", lambda: metric(server, "strongroom_buried_bytes") == 0)
        written = rounds * per_round * SIZE // MIB
        # What stays is the log, the index, headers of segments and what is reserved ahead.
        wait_for("the space is back", lambda: free_mib(folders) > at_first - 96)
        print(f"written {written} MiB, refused {refused}, free at first {at_first} MiB, at last {free_mib(folders)} MiB")
        assert read_all(client, "objects") == expected
        server.restart()
        assert read_all(server.client(), "objects") == expected


@pytest.mark.root
def test_a_full_store_takes_deletes_and_gives_their_space_back(new_server, tmp_path):
    """H34, with the hold-back as it is by default: full disks release what was deleted."""
    with store_on_small_disks(new_server, tmp_path) as (server, _):
        client = server.client(retries=1)
        expected = {}
        with pytest.raises(ClientError) as error:
            for number in range(300):
                expected |= put(client, f"fill-{number:03}")
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 507
        assert len(expected) > 40, "the disks were full too soon"
        wait_for("it is said", lambda: metric(server, "strongroom_space_pressed") == 1)
        gone = sorted(expected)[::2]
        delete(client, gone)
        for key in gone:
            del expected[key]
        wait_for("the graveyard is empty", lambda: metric(server, "strongroom_buried_bytes") == 0)
        for number in range(len(gone) // 2):
            expected |= put(client, f"again-{number:03}")
        assert read_all(client, "objects") == expected
        server.restart()
        assert read_all(server.client(), "objects") == expected
