"""Disks without space, filled by small objects or by someone else: refused in time, and unharmed."""

import contextlib
import os
import time

import pytest
from botocore.exceptions import ClientError

from harness.content import KIB, MIB, content, digest, read_all
from test_faults import small_disk, zones_in
from test_respread import gone, in_service, metric, status, wait_until

# Inline in the log; above it, in segments.
SMALL, LARGE = 15 * KIB, 60 * KIB
# More than what is kept for the log and for deletes.
DISK_SIZE_MIB = 700


def occupy(folder, keep_mib):
    """Takes all but `keep_mib` of the space of a file system, as another program would."""
    space = os.statvfs(folder)
    # What the file system needs for the file itself is left, and taken block by block.
    taken = space.f_bavail * space.f_frsize - max(keep_mib, 2) * MIB
    filler = folder.parent / "filler"
    with open(filler, "wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, taken)
        file.seek(taken)
        with contextlib.suppress(OSError):
            while keep_mib == 0:
                file.write(bytes(4 * KIB))
        os.fsync(file.fileno())
    return filler


def put(client, key, size):
    data = content(key, size)
    client.put_object(Bucket="objects", Key=key, Body=data)
    return {key: digest(data)}


def fill_small(client, count_max, prefix="small"):
    """Stores small objects until some are refused; returns what was acknowledged, and a refusal."""
    expected, refused = {}, None
    for number in range(count_max):
        try:
            expected |= put(client, f"{prefix}-{number:05}", SMALL)
        except ClientError as error:
            refused = error.response
            break
    return expected, refused


@contextlib.contextmanager
def three_small_disks(new_server, tmp_path):
    with contextlib.ExitStack() as stack:
        zones = {name: [stack.enter_context(small_disk(tmp_path / name, DISK_SIZE_MIB))] for name in "abc"}
        server = new_server(zones=zones)
        stack.callback(server.kill)
        server.expect_errors()
        server.start()
        server.client().create_bucket(Bucket="objects")
        yield server, zones


@pytest.mark.root
def test_small_objects_leave_room_for_deletes(new_server, tmp_path):
    """H34: the log has a reserve that new content may not use."""
    with three_small_disks(new_server, tmp_path) as (server, zones):
        client = server.client()
        expected = put(client, "large", LARGE)
        for folders in zones.values():
            occupy(folders[0], 132)
        time.sleep(2)
        more, refused = fill_small(client, 2000)
        expected |= more
        assert refused is not None, "the disks never filled"
        assert refused["ResponseMetadata"]["HTTPStatusCode"] == 507, refused
        with pytest.raises(ClientError) as error:
            # More than what is reserved for segments already.
            put(client, "large-2", 40 * MIB)
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 507
        generations = metric(server, "strongroom_generations_total")
        assert all(in_service(status(server), name) for name in "abc")
        for key in sorted(more)[:100]:
            client.delete_object(Bucket="objects", Key=key)
            del expected[key]
        assert read_all(client, "objects") == expected
        assert metric(server, "strongroom_generations_total") == generations
        server.restart()
        client = server.client()
        assert read_all(client, "objects") == expected
        key = next(key for key in sorted(expected) if key.startswith("small"))
        client.delete_object(Bucket="objects", Key=key)
        del expected[key]
        for folders in zones.values():
            (folders[0].parent / "filler").unlink()
        time.sleep(2)
        expected |= put(client, "later-small", SMALL) | put(client, "later-large", LARGE)
        assert read_all(client, "objects") == expected


@pytest.mark.root
def test_a_disk_that_another_program_fills_is_left_alone_until_it_has_space(new_server, tmp_path):
    with small_disk(tmp_path / "c", DISK_SIZE_MIB) as small:
        zones = zones_in(tmp_path / "zones", "ab") | {"c": [small]}
        server = new_server(zones=zones)
        try:
            server.expect_errors()
            server.start()
            client = server.client(retries=3)
            client.create_bucket(Bucket="objects")
            expected = put(client, "before", LARGE)
            filler = occupy(small, 0)
            # Small ones are never refused for it.
            for number in range(10):
                expected |= put(client, f"while-{number}", SMALL)
                time.sleep(0.1)
            wait_until(server, "the disk is out", lambda store: gone(store, "c"))
            generations = metric(server, "strongroom_generations_total")
            for number in range(20):
                expected |= put(client, f"without-{number}", [SMALL, LARGE][number % 2])
                time.sleep(0.2)
            # Out once, and not in and out with a generation each time.
            assert metric(server, "strongroom_generations_total") <= generations + 1
            assert gone(status(server), "c")
            assert read_all(client, "objects") == expected
            server.restart()
            client = server.client(retries=3)
            assert read_all(client, "objects") == expected
            wait_until(server, "the disk is out", lambda store: gone(store, "c"))
            expected |= put(client, "after-restart", LARGE)
            filler.unlink()
            wait_until(server, "the disk is back", lambda store: in_service(store, "c"))
            wait_until(server, "nothing is reduced", lambda store: store["blobs_reduced"] == 0)
            assert read_all(client, "objects") == expected
        finally:
            server.kill()


@pytest.mark.root
def test_a_store_that_another_program_fills_reads_on_and_goes_on_when_there_is_space(new_server, tmp_path):
    with three_small_disks(new_server, tmp_path) as (server, zones):
        client = server.client()
        expected = put(client, "small", SMALL) | put(client, "large", LARGE)
        fillers = [occupy(folders[0], 0) for folders in zones.values()]
        time.sleep(2)
        for size in (SMALL, LARGE, 0):
            with pytest.raises(ClientError) as error:
                put(client, f"refused-{size}", size)
            assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] in (503, 507), error.value
        assert read_all(client, "objects") == expected
        for filler in fillers:
            filler.unlink()
        wait_until(server, "every disk is in service", lambda store: all(in_service(store, n) for n in "abc"))
        time.sleep(2)
        expected |= put(client, "later-small", SMALL) | put(client, "later-large", LARGE)
        found = read_all(client, "objects")
        # What was refused with an unknown outcome may be there, whole.
        assert {key: found.get(key) for key in expected} == expected
        server.restart()
        found = read_all(server.client(), "objects")
        assert {key: found.get(key) for key in expected} == expected
