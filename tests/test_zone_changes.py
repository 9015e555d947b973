"""Zones that join and leave a server that runs: under load, with kills, and a zone lost afterwards."""

import shutil
import threading

import pytest

from harness.content import KIB, MIB, content, digest, fill, read_all
from test_disk_changes import DISK_ERRORS, start_refused, strongroom, wait_until, zones_in_service

SIZES = [1000, 100 * KIB, 3 * MIB]
ERRORS = (*DISK_ERRORS, r"generation", r"removed")


def store(new_server, tmp_path, names="abc"):
    zones = {name: [tmp_path / name] for name in names}
    server = new_server(arguments=["--hold-back", "0s"], zones=zones)
    server.expect_errors(*ERRORS)
    server.start()
    client = server.client()
    client.create_bucket(Bucket="objects")
    return server, zones, fill(client, "objects", SIZES)


def summary(server, name):
    zones = strongroom(server, "zones", "--json")["zones"]
    return next((zone for zone in zones if zone["name"] == name), None)


def add(server, zones, name, folder):
    folder.mkdir()
    text = strongroom(server, "zone", "add", f"{name}={folder}")
    assert f"--zone {name}={folder}" in text
    zones[name] = [folder]


def is_spread(server, name):
    status = strongroom(server, "repair", "status", "--json")
    levels = {level["level"]: level["blobs"] for level in status["levels"]}
    others = sum(count for level, count in levels.items() if level != "full")
    return name in zones_in_service(server) and levels.get("full", 0) > 0 and others == 0


def shards_in(server, key, name):
    found = strongroom(server, "where", f"s3://objects/{key}", "--json")
    runs = [run for part in found["parts"] for run in part.get("runs", [])]
    return [shard for run in runs for shard in run["shards"] if shard.get("zone") == name]


class Load(threading.Thread):
    """Puts objects until told to end; keeps those that were acknowledged."""

    def __init__(self, server):
        super().__init__()
        self.client = server.client()
        self.ended = threading.Event()
        self.kept = {}

    def run(self):
        number = 0
        while not self.ended.is_set():
            key, size = f"load-{number}", SIZES[number % len(SIZES)]
            body = content(key, size)
            try:
                self.client.put_object(Bucket="objects", Key=key, Body=body)
                self.kept[key] = digest(body)
            except Exception:  # noqa: BLE001: the server is killed in the middle
                self.ended.wait(0.2)
            number += 1
            self.ended.wait(0.02)

    def end(self):
        self.ended.set()
        self.join()
        return self.kept


def test_az06_a_zone_joins_under_load_is_filled_and_another_leaves(new_server, tmp_path):
    server, zones, before = store(new_server, tmp_path)
    load = Load(server)
    load.start()
    add(server, zones, "d", tmp_path / "d")
    server.kill()
    server.zones = zones
    server.start()
    wait_until("every object has shards in the new zone", lambda: is_spread(server, "d"))
    strongroom(server, "zone", "drain", "b")
    server.kill()
    server.start()
    kept = load.end()
    assert kept, "the load wrote nothing"
    text = removed(server, "b")
    for key in list(before)[:3] + list(kept)[:3]:
        if shards_in(server, key, "d"):
            assert not shards_in(server, key, "b"), key
    assert "leave it out" in text
    assert summary(server, "b") is None
    assert "removed" in start_refused_after_stop(server)
    del zones["b"]
    server.zones = zones
    shutil.rmtree(tmp_path / "b")
    server.start()
    everything = before | kept
    assert everything.items() <= read_all(server.client(), "objects").items()
    # What is left survives the loss of any one zone again.
    server.kill()
    shutil.rmtree(tmp_path / "c")
    server.start()
    assert everything.items() <= read_all(server.client(), "objects").items()
    server.client().put_object(Bucket="objects", Key="after", Body=b"x")


def removed(server, zone):
    """Removal looks at every record: what was put a moment before may be moved first."""
    answers = []

    def is_removed():
        answers.append(attempt(server, zone))
        return answers[-1] is not None

    wait_until("the zone is removed", is_removed)
    return answers[-1]


def attempt(server, zone):
    try:
        return strongroom(server, "zone", "remove", zone)
    except AssertionError as error:
        assert "written anew" in str(error) or "out of service" in str(error), error
        return None


def start_refused_after_stop(server):
    server.stop()
    return start_refused(server)


def test_az06_a_dead_zone_leaves_once_everything_was_written_anew(new_server, tmp_path):
    server, zones, before = store(new_server, tmp_path, "abcd")
    server.kill()
    shutil.rmtree(tmp_path / "d")
    server.start()
    assert "Nothing is known to have shards in d" in strongroom(server, "zone", "drain", "d", "--wait")
    assert summary(server, "d")["blobs_left"] == 0
    assert "leave it out" in removed(server, "d")
    del zones["d"]
    server.stop()
    server.zones = zones
    server.start()
    wait_until("all is full", lambda: is_spread(server, "a"))
    assert read_all(server.client(), "objects") == before


def test_a_drain_of_a_zone_is_taken_back(new_server, tmp_path):
    server, _, before = store(new_server, tmp_path, "abcd")
    strongroom(server, "zone", "drain", "b")
    assert summary(server, "b")["draining"]
    strongroom(server, "zone", "keep", "b")
    assert not summary(server, "b")["draining"]
    assert "not drained" in strongroom(server, "zone", "remove", "b", code=1)
    wait_until("all is full", lambda: is_spread(server, "b"))
    assert read_all(server.client(), "objects") == before


def test_az07_wrong_changes_of_zones_are_refused_with_a_sentence(new_server, tmp_path):
    server, _, _ = store(new_server, tmp_path)
    (tmp_path / "new").mkdir()
    full = tmp_path / "full"
    full.mkdir()
    (full / "something").write_text("x")

    def refused(*words):
        return strongroom(server, "zone", *words, code=1)

    assert "another name" in refused("add", f"a={tmp_path / 'new'}")
    assert "zone name" in refused("add", f"A b={tmp_path / 'new'}")
    assert "absolute path" in refused("add", "d=relative")
    assert "holds something" in refused("add", f"d={full}")
    assert "twice" in refused("add", f"d={tmp_path / 'new'},{tmp_path / 'new'}")
    assert "empty folder" in refused("add", f"d={tmp_path / 'a'}")
    assert "no zone x" in refused("drain", "x")
    assert "not being drained" in refused("keep", "a")
    assert "drain it first" in refused("remove", "a")
    assert strongroom(server, "zone", "add", "d", code=2)
    assert zones_in_service(server) == set("abc")


@pytest.mark.parametrize("names", ["ab"])
def test_a_store_keeps_two_zones(new_server, tmp_path, names):
    server, _, _ = store(new_server, tmp_path, names)
    assert "add a zone first" in strongroom(server, "zone", "drain", "b", code=1)
