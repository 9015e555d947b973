"""What is written while a zone is away gets full redundancy when it is back, without an operator."""

import json
import shutil
import subprocess
import time

import pytest

from harness.content import KIB, MIB, content, digest, fill, read_all
from harness.server import binary, clean_environment
from test_zones import ZONE_ERRORS, zones_of

# One stripe, several.
SIZES = [60 * KIB, 5 * MIB]
# Zones are looked at every few hundred milliseconds; the rest is for slow machines.
PATIENCE_SECONDS = 90


def status(server):
    return json.loads(server.fetch("/v1/status"))["store"]


def wait_until(server, what, holds):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if holds(status(server)):
            return
        time.sleep(0.1)
    raise AssertionError(f"{what}: not after {PATIENCE_SECONDS} s: {json.dumps(status(server))}")


def in_service(store, name):
    zone = next(zone for zone in store["zones"] if zone["name"] == name)
    return zone["in_service"] and all(disk["in_service"] for disk in zone["disks"])


def gone(store, name):
    zone = next(zone for zone in store["zones"] if zone["name"] == name)
    return not any(disk["in_service"] for disk in zone["disks"])


def take_away(zones, name, aside):
    aside.mkdir()
    for folder in zones[name]:
        shutil.move(folder, aside / folder.name)


def bring_back(zones, name, aside):
    for folder in zones[name]:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(aside / folder.name, folder)


def metric(server, name):
    lines = [line for line in server.fetch("/metrics").splitlines() if line.startswith(f"{name} ")]
    return float(lines[0].split()[1])


def complete_upload(client, key):
    target = {"Bucket": "objects", "Key": key}
    upload = client.create_multipart_upload(**target)["UploadId"]
    parts = [content(f"{key}-1", 5 * MIB), content(f"{key}-2", 60 * KIB)]
    done = [
        {"PartNumber": n, "ETag": client.upload_part(**target, UploadId=upload, PartNumber=n, Body=p)["ETag"]}
        for n, p in enumerate(parts, 1)
    ]
    client.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": done})
    return {key: digest(b"".join(parts))}


@pytest.fixture(params=[(3, 1), (3, 2)], ids=lambda p: f"{p[0]}x{p[1]}")
def store(request, new_server, tmp_path):
    zones = zones_of(tmp_path / "zones", *request.param)
    server = new_server(zones=zones)
    server.expect_errors(*ZONE_ERRORS)
    server.start()
    server.client().create_bucket(Bucket="objects")
    return server, zones


def write_without(server, zones, name, aside):
    """Writes objects while a zone is away; returns them and how many blobs they are."""
    expected = fill(server.client(), "objects", SIZES, prefix="whole")
    take_away(zones, name, aside)
    wait_until(server, f"zone {name} is out", lambda store: gone(store, name))
    client = server.client()
    expected |= fill(client, "objects", SIZES * 3, prefix="reduced")
    expected |= complete_upload(client, "reduced-multipart")
    client.put_object(Bucket="objects", Key="deleted", Body=content("deleted", 60 * KIB))
    client.delete_object(Bucket="objects", Key="deleted")
    return expected, len(SIZES) * 3 + 2


# AZ20, H30
@pytest.mark.parametrize("restart", ["running", "restarted", "killed"])
@pytest.mark.parametrize("other", ["b", "c"])
def test_objects_written_without_a_zone_survive_the_next_loss_after_it_is_back(store, tmp_path, restart, other):
    server, zones = store
    expected, reduced = write_without(server, zones, "a", tmp_path / "aside")
    assert status(server)["blobs_reduced"] == reduced
    assert metric(server, "strongroom_blobs_reduced") == reduced
    if restart == "restarted":
        server.restart()
    elif restart == "killed":
        server.kill()
        server.start()
    # The figure is of the records, not of the process.
    assert status(server)["blobs_reduced"] == reduced
    bring_back(zones, "a", tmp_path / "aside")
    wait_until(server, "zone a is back", lambda store: in_service(store, "a"))
    wait_until(server, "nothing is reduced", lambda store: store["blobs_reduced"] == 0)
    assert metric(server, "strongroom_blobs_reduced") == 0
    assert read_all(server.client(), "objects") == expected
    for folder in zones[other]:
        shutil.rmtree(folder)
    assert read_all(server.client(), "objects") == expected
    if restart != "running":
        server.restart()
        assert read_all(server.client(), "objects") == expected


def test_a_start_with_every_zone_back_finishes_what_an_earlier_one_left(store, tmp_path):
    server, zones = store
    expected, reduced = write_without(server, zones, "b", tmp_path / "aside")
    server.kill()
    bring_back(zones, "b", tmp_path / "aside")
    server.start()
    wait_until(server, "nothing is reduced", lambda store: store["blobs_reduced"] == 0)
    server.stop()
    for folder in zones["a"]:
        shutil.rmtree(folder)
    server.start()
    assert read_all(server.client(), "objects") == expected
    assert reduced > 0


def test_status_command_shows_what_is_reduced(store, tmp_path):
    server, zones = store
    _, reduced = write_without(server, zones, "c", tmp_path / "aside")
    environment = clean_environment()
    environment["STRONGROOM_ACCESS_KEY"], environment["STRONGROOM_SECRET_KEY"] = server.credentials
    words = [str(binary()), "status", "--admin-address", f"127.0.0.1:{server.admin_port}"]
    shown = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    assert any(line.split() == ["reduced", str(reduced), "blobs"] for line in shown.splitlines()), shown
