"""Change of hardware in a server that runs: a dead disk replaced, a disk added, wrong flags and folders."""

import json
import shutil
import subprocess
import time

from harness.content import KIB, MIB, fill, read_all
from harness.server import binary, clean_environment

SIZES = [1000, 100 * KIB, 3 * MIB]
DISK_ERRORS = (r"zone", r"disk", r"shard", r"log", r"view")


def strongroom(server, *words, code=0):
    environment = clean_environment()
    environment["STRONGROOM_ACCESS_KEY"], environment["STRONGROOM_SECRET_KEY"] = server.credentials
    command = [str(binary()), *map(str, words), "--admin-address", f"127.0.0.1:{server.admin_port}"]
    done = subprocess.run(
        command, env=environment, cwd=server.folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stderr if code else json.loads(done.stdout) if "--json" in words else done.stdout


def wait_until(what, is_so):
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.1)
    raise AssertionError(f"never came: {what}")


def zones_in_service(server):
    return {zone["name"] for zone in strongroom(server, "zones", "--json")["zones"] if zone["in_service"]}


def disk(server, folder):
    disks = strongroom(server, "disks", "--json")["disks"]
    return next(entry for entry in disks if entry["folder"] == str(folder))


def store(new_server, tmp_path):
    zones = {name: [tmp_path / name] for name in "abc"}
    server = new_server(zones=zones)
    server.expect_errors(*DISK_ERRORS)
    server.start()
    client = server.client()
    client.create_bucket(Bucket="objects")
    return server, zones, fill(client, "objects", SIZES)


def start_refused(server):
    done = subprocess.run(
        server.command(), env=clean_environment() | {
            "STRONGROOM_ACCESS_KEY": server.credentials[0], "STRONGROOM_SECRET_KEY": server.credentials[1]
        }, cwd=server.folder, capture_output=True, text=True, timeout=60, check=False,
    )
    assert done.returncode != 0
    return done.stderr


# AZ07, AZ21
def test_a_dead_disk_is_replaced_while_the_server_runs(new_server, tmp_path):
    server, zones, expected = store(new_server, tmp_path)
    dead, blank = tmp_path / "c", tmp_path / "new"
    in_service = strongroom(server, "disk", "replace", dead, "--folder", tmp_path, code=1)
    assert "in service" in in_service
    dead.rename(tmp_path / "kept")
    wait_until("the disk is out", lambda: not disk(server, dead)["in_service"])
    missing = strongroom(server, "disk", "replace", dead, "--folder", blank, code=1)
    assert "mount the new disk" in missing
    blank.mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "photo.jpg").write_bytes(b"mine")
    full = strongroom(server, "disk", "replace", dead, "--folder", tmp_path / "full", code=1)
    assert "photo.jpg" in full
    told = strongroom(server, "disk", "replace", dead, "--folder", blank, "--wait")
    assert "everything is full" in told, told
    assert str(blank) in told and "zone c" in told
    wait_until("zone c is back", lambda: zones_in_service(server) == {"a", "b", "c"})
    client = server.client()
    assert read_all(client, "objects") == expected
    expected |= fill(client, "objects", SIZES, prefix="later")
    server.stop()

    # The flags of before: nothing in the folder of the dead disk, then the dead disk itself.
    refused = start_refused(server)
    assert str(blank) in refused and "put into zone c" in refused, refused
    (tmp_path / "kept").rename(dead)
    refused = start_refused(server)
    assert f"was replaced by the disk at {blank}" in refused, refused
    zones["c"] = [blank]
    server.start()
    assert zones_in_service(server) == {"a", "b", "c"}
    assert read_all(server.client(), "objects") == expected


def test_a_blank_disk_mounted_where_the_dead_one_was_takes_its_place(new_server, tmp_path):
    server, _, expected = store(new_server, tmp_path)
    folder = tmp_path / "b"
    shutil.rmtree(folder)
    folder.mkdir()
    wait_until("the disk is out", lambda: not disk(server, folder)["in_service"])
    strongroom(server, "disk", "replace", folder, "--folder", folder)
    wait_until("zone b is back", lambda: zones_in_service(server) == {"a", "b", "c"})
    expected |= fill(server.client(), "objects", SIZES, prefix="later")
    server.restart()
    assert zones_in_service(server) == {"a", "b", "c"}
    assert read_all(server.client(), "objects") == expected


def test_an_added_disk_is_used_and_a_start_without_it_is_refused(new_server, tmp_path):
    server, zones, expected = store(new_server, tmp_path)
    more = {name: tmp_path / f"{name}1" for name in "abc"}
    for name, folder in more.items():
        folder.mkdir()
        added = strongroom(server, "disk", "add", "--zone", name, "--folder", folder, "--json")
        assert (added["zone"], added["folder"]) == (name, str(folder))
        assert disk(server, folder)["id"] == added["id"]
    wait_until("they are measured", lambda: all(disk(server, f).get("bytes_free") for f in more.values()))
    expected |= fill(server.client(), "objects", SIZES, prefix="later")
    assert all(list((folder / "segments").iterdir()) for folder in more.values())
    server.stop()
    refused = start_refused(server)
    assert "was running" in refused or str(more["a"]) in refused, refused
    for name, folder in more.items():
        zones[name].append(folder)
    server.start()
    assert read_all(server.client(), "objects") == expected


# AZ21
def test_a_disk_is_drained_and_removed_under_traffic(new_server, tmp_path):
    server, zones, expected = store(new_server, tmp_path)
    old, new = tmp_path / "a", tmp_path / "a1"
    alone = strongroom(server, "disk", "drain", old, code=1)
    assert "add a disk to the zone first" in alone, alone
    new.mkdir()
    strongroom(server, "disk", "add", "--zone", "a", "--folder", new)
    early = strongroom(server, "disk", "remove", old, code=1)
    assert "drain it first" in early, early
    told = strongroom(server, "disk", "drain", old)
    assert "disk remove" in told
    client = server.client()
    expected |= fill(client, "objects", SIZES, prefix="during")
    # Nothing takes new shards there: what is there moves away.
    wait_until("it is empty", lambda: disk(server, old)["drain"].get("segments_left") == 0)
    assert not list((old / "segments").glob("*.seg"))
    assert "it can be removed" in strongroom(server, "disks")
    assert read_all(client, "objects") == expected
    strongroom(server, "disk", "remove", old)
    wait_until("zone a is in service", lambda: zones_in_service(server) == {"a", "b", "c"})
    expected |= fill(client, "objects", SIZES, prefix="later")
    assert read_all(client, "objects") == expected
    server.stop()
    refused = start_refused(server)
    assert "was drained and removed from the store" in refused, refused
    zones["a"] = [new]
    server.start()
    assert zones_in_service(server) == {"a", "b", "c"}
    # What moved carries its content: another zone may go.
    server.stop()
    shutil.rmtree(tmp_path / "b")
    (tmp_path / "b").mkdir()
    server.start()
    assert read_all(server.client(), "objects") == expected


def test_a_drain_goes_on_after_a_kill_and_can_be_taken_back(new_server, tmp_path):
    server, zones, expected = store(new_server, tmp_path)
    new = tmp_path / "c1"
    new.mkdir()
    strongroom(server, "disk", "add", "--zone", "c", "--folder", new)
    zones["c"].append(new)
    strongroom(server, "disk", "drain", tmp_path / "c")
    server.kill()
    server.start()
    wait_until("it is empty", lambda: disk(server, tmp_path / "c")["drain"].get("segments_left") == 0)
    assert read_all(server.client(), "objects") == expected
    strongroom(server, "disk", "keep", tmp_path / "c")
    assert "drain" not in disk(server, tmp_path / "c")
    for _ in range(2):  # One that is under way is waited for.
        told = strongroom(server, "disk", "drain", tmp_path / "c", "--wait")
        assert "Nothing is on" in told and disk(server, tmp_path / "c")["drain"]["segments_left"] == 0
    strongroom(server, "disk", "keep", tmp_path / "c")
    kept = strongroom(server, "disk", "remove", tmp_path / "c", code=1)
    assert "drain it first" in kept, kept
