"""T8: the operator's worst days, while clients write, replace, copy and delete.

A zone and a disk are lost at once, a disk is replaced, a whole zone is replaced, the disks move to
another machine. Whatever was acknowledged is read back, byte by byte, and redundancy is full again at
the end, which the loss of another zone then shows. Times are printed, not asserted.
"""

import contextlib
import datetime
import importlib.util
import random
import shutil
import time
from pathlib import Path

import pytest

from harness.figures import figure
from harness.ledger import Ledger, Writer
from test_disk_changes import strongroom
from test_repair import ask, wait_until as wait_asked
from test_respread import in_service, wait_until
from test_zones import zones_of

CLIENTS = 4
# Keys of the prefix that is deleted by mistake: more than one page of a list.
PRECIOUS = 1200
UNDO = Path(__file__).resolve().parents[1] / "docs" / "operations" / "undo_deletes.py"
# Long enough for hundreds of operations on each side of what happens.
LOAD_SECONDS = 1.0
# An application asks again; nothing else is done for it.
RETRIES = 8


@contextlib.contextmanager
def load(server, ledger, name):
    """Clients that go on, also while an operation is refused."""
    chance = random.Random(name)
    writers = [Writer(server, ledger, f"{name}w{n}", chance.random(), keep_on=True) for n in range(CLIENTS)]
    for writer in writers:
        writer.start()
    try:
        time.sleep(LOAD_SECONDS)
        yield
        time.sleep(LOAD_SECONDS)
    finally:
        for writer in writers:
            writer.stop()


@pytest.fixture
def drill(new_server, tmp_path):
    """Three zones of two disks, and what clients did to them."""
    zones = zones_of(tmp_path / "zones", 3, 2)
    server = new_server(zones=zones)
    server.expect_errors()
    server.start()
    server.client().create_bucket(Bucket="ledger")
    return server, zones, Ledger("ledger")


def wait_full(server):
    """Seconds until every disk is in service and every blob is full and verified."""
    started = time.monotonic()
    wait_until(server, "every zone is back", lambda store: all(in_service(store, name) for name in "abc")
               and store["blobs_reduced"] == 0)
    wait_asked(server, "whole", lambda status: status["whole"] and not status["zones"])
    return time.monotonic() - started


def out(server, folder):
    def holds(store):
        disks = [disk for zone in store["zones"] for disk in zone["disks"]]
        return not next(disk for disk in disks if disk["folder"] == str(folder))["in_service"]

    wait_until(server, f"{folder} is out", holds)


def report(capsys, drill, ledger, seconds):
    """After the last assertion: what was tried, and how long the store took."""
    with capsys.disabled():
        print(f"\ndrill {drill}: acknowledged ops checked {ledger.checked}, full again after {seconds:.1f} s")
        figure("T8 drills under load", "acknowledged operations", ledger.checked, drills=1)


# AZ03, AZ12, AZ13, AZ20
def test_a_zone_and_a_disk_of_another_are_lost_at_once_under_load(drill, tmp_path, capsys):
    server, zones, ledger = drill
    lost = [*zones["a"], zones["b"][1]]
    with load(server, ledger, "lost"):
        for folder in lost:
            folder.rename(tmp_path / folder.name)
        for folder in lost:
            out(server, folder)
    ledger.check_refusals(503)
    ledger.check(server.client(retries=RETRIES))
    server.stop()
    for folder in lost:
        shutil.rmtree(folder, ignore_errors=True)
        (tmp_path / folder.name).rename(folder)
    with load(server.start(), ledger, "back"):
        seconds = wait_full(server)
    for folder in zones["c"]:
        shutil.rmtree(folder)
    ledger.check(server.client(retries=RETRIES))
    report(capsys, "zone and disk lost", ledger, seconds)


# AZ21, AZ24
@pytest.mark.parametrize("count", [1, 2], ids=["a disk", "a zone"])
def test_what_died_is_replaced_under_load(drill, tmp_path, count, capsys):
    server, zones, ledger = drill
    with load(server, ledger, "before"):
        pass
    dead = zones["b"][:count]
    with load(server, ledger, "replaced"):
        for folder in dead:
            shutil.rmtree(folder)
        for folder in dead:
            out(server, folder)
        for number, folder in enumerate(dead):
            blank = tmp_path / f"blank-{number}"
            blank.mkdir()
            strongroom(server, "disk", "replace", folder, "--folder", blank)
            zones["b"][number] = blank
        seconds = wait_full(server)
    ledger.check_refusals(503)
    ledger.check(server.client(retries=RETRIES))
    # The new disks carry their share: another zone may go.
    for folder in zones["c"]:
        shutil.rmtree(folder)
    ledger.check(server.client(retries=RETRIES))
    report(capsys, f"{count} of 2 disks of a zone replaced", ledger, seconds)


# AZ07, AZ19
def test_the_disks_move_to_another_machine(drill, new_server, tmp_path, capsys):
    """Other folders, another order of them, other ports: the disks say who they are."""
    server, zones, ledger = drill
    with load(server, ledger, "before"):
        pass
    server.kill()
    moved = {}
    for name in reversed(zones):
        moved[name] = [tmp_path / "elsewhere" / folder.name for folder in reversed(zones[name])]
        for folder in zones[name]:
            (tmp_path / "elsewhere").mkdir(exist_ok=True)
            folder.rename(tmp_path / "elsewhere" / folder.name)
    other = new_server("other", zones=moved)
    other.expect_errors()
    other.start()
    ledger.check(other.client())
    with load(other, ledger, "after"):
        pass
    seconds = wait_full(other)
    assert not ask(other, "repair", "lost")
    for folder in moved["a"]:
        shutil.rmtree(folder)
    ledger.check(other.client(retries=RETRIES))
    report(capsys, "disks moved", ledger, seconds)


def script(path):
    """A script of the documentation as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def server_time(client):
    """The time by which the store dates its versions."""
    date = client.list_buckets()["ResponseMetadata"]["HTTPHeaders"]["date"]
    return datetime.datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=datetime.timezone.utc)


# VE09, VE13, VE14
def test_a_bad_delete_is_taken_back_under_load(drill, capsys):
    """A script with a wrong prefix deletes what it should not; nobody notices for a while."""
    server, _, ledger = drill
    client = server.client()
    client.create_bucket(Bucket="precious")
    client.put_bucket_versioning(Bucket="precious", VersioningConfiguration={"Status": "Enabled"})
    expected = {}

    def put(key, body):
        client.put_object(Bucket="precious", Key=key, Body=body)
        expected[key] = body

    def delete(keys):
        for start in range(0, len(keys), 1000):
            batch = [{"Key": key} for key in keys[start:start + 1000]]
            answer = client.delete_objects(Bucket="precious", Delete={"Objects": batch})
            assert not answer.get("Errors") and len(answer["Deleted"]) == len(batch)

    keys = [f"photos/{number:05}" for number in range(PRECIOUS)]
    for key in keys:
        put(key, f"first {key}".encode())
    put(keys[7], b"second")
    meant = keys[:10]
    delete(meant[:5])
    # Dates of versions are whole seconds.
    time.sleep(1.1)
    since = server_time(client)
    with load(server, ledger, "deleted"):
        delete(keys[5:])
    until = server_time(client)
    time.sleep(1.1)
    delete(meant[5:6])
    for key in meant[:6]:
        del expected[key]
    put(meant[4], b"made anew")
    put(keys[20], b"written again")
    assert len(expected) == PRECIOUS - 5
    undo = script(UNDO).undo
    before = undo(client, "precious", "photos/", since, until, do_it=False)
    started = time.monotonic()
    with load(server, ledger, "taken back"):
        back = undo(client, "precious", "photos/", since, until, do_it=True)
    seconds = time.monotonic() - started
    assert before == back == [key for key in keys[6:] if key != keys[20]]
    assert undo(client, "precious", "photos/", since, until, do_it=True) == []
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="precious", Prefix="photos/"):
        for item in page["Contents"]:
            found[item["Key"]] = client.get_object(Bucket="precious", Key=item["Key"])["Body"].read()
    assert found == expected
    ledger.check_refusals()
    ledger.check(client)
    report(capsys, "a bad delete taken back", ledger, seconds)
