"""What is gone or damaged on disks in service is made whole without an operator, and the state is true."""

import json
import os
import subprocess
import threading
import time

import pytest
from botocore.exceptions import ClientError

from harness.content import KIB, MIB, content, digest, fill, read_all
from harness.server import binary, clean_environment
from test_zones import zones_of

# One stripe, several.
SIZES = [60 * KIB, 3 * MIB]
# Disks are listed every few seconds; the rest is for slow machines.
PATIENCE_SECONDS = 120


def ask(server, *words, code=0):
    """The answer of a command of the program."""
    environment = clean_environment()
    environment["STRONGROOM_ACCESS_KEY"], environment["STRONGROOM_SECRET_KEY"] = server.credentials
    words = [str(binary()), *words, "--json", "--admin-address", f"127.0.0.1:{server.admin_port}"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def levels(status):
    return {level["level"]: level["blobs"] for level in status["levels"]}


def wait_until(server, what, holds, command=("repair", "status")):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = ask(server, *command)
        if holds(found):
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not after {PATIENCE_SECONDS} s: {json.dumps(found)}")


def metric(server, name):
    lines = [line for line in server.fetch("/metrics").splitlines() if line.startswith(f"{name} ")]
    return float(lines[0].split()[1])


def segments(folder):
    return sorted((folder / "segments").glob("*.seg"))


def whole(blobs):
    return lambda status: status["whole"] and levels(status)["full"] == blobs


@pytest.fixture
def store(new_server, tmp_path):
    zones = zones_of(tmp_path / "zones", 3, 1)
    server = new_server(zones=zones)
    server.start()
    server.client().create_bucket(Bucket="objects")
    return server, {name: folders[0] for name, folders in zones.items()}


# AZ21, AZ22, AZ28
def test_segments_that_are_gone_are_made_anew_under_load_and_read_back(store):
    server, zones = store
    client = server.client()
    expected = fill(client, "objects", SIZES * 6)
    wait_until(server, "walked", lambda status: status.get("walked") is not None)
    stop, refused, written = threading.Event(), [], {}

    def load():
        number = 0
        while not stop.is_set():
            key, data = f"load-{number:04}", content(f"load-{number}", 60 * KIB)
            try:
                client.put_object(Bucket="objects", Key=key, Body=data)
                written[key] = digest(data)
                answer = client.get_object(Bucket="objects", Key=f"object-{number % 12:04}")
                assert digest(answer["Body"].read()) == expected[f"object-{number % 12:04}"]
            except (ClientError, AssertionError) as error:
                refused.append(error)
            number += 1
            time.sleep(0.02)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        gone = segments(zones["b"])
        assert gone
        done = ask(server, "repair", "status")["blobs_done"]
        for segment in gone:
            segment.unlink()
        # Between two looks it may have been seen and mended.
        wait_until(server, "seen", lambda status: status["phase"] != "idle" or not status["whole"]
                   or status["blobs_done"] != done)
    finally:
        stop.set()
        thread.join()
    assert not refused, refused
    least = len(expected)
    expected |= written
    # What was written while it repaired is counted by the next walk, which needs no reason to come soon.
    wait_until(server, "whole again", lambda status: status["whole"] and levels(status)["full"] >= least)
    assert not list((zones["b"] / "segments").glob("*.filling"))
    # Each of the other zones may go now.
    server.stop()
    for segment in segments(zones["a"]):
        os.truncate(segment, 0)
    server.start()
    assert read_all(server.client(), "objects") == expected


# AZ22: killed in the middle, again and again
def test_repair_goes_on_after_kills_and_says_full_only_when_it_is(store):
    server, zones = store
    expected = fill(server.client(), "objects", SIZES * 10)
    wait_until(server, "walked", lambda status: status.get("walked") is not None)
    ask(server, "repair", "set", "--rate", "1", code=1)
    ask(server, "repair", "set", "--rate", "16MiB")
    for segment in segments(zones["c"]):
        segment.unlink()
    for _ in range(3):
        wait_until(server, "begun", lambda status: status["phase"] != "idle")
        server.kill()
        server.start()
        assert ask(server, "repair", "status")["bytes_per_second_max"] in (0, 16 * MIB)
    wait_until(server, "bound", lambda status: status["bytes_per_second_max"] == 16 * MIB)
    ask(server, "repair", "set", "--rate", "0")
    wait_until(server, "whole again", whole(len(expected)))
    assert read_all(server.client(), "objects") == expected


# AZ25, AZ26
def test_scrub_finds_flipped_bits_and_mends_them_before_the_next_fault(store):
    server, zones = store
    expected = fill(server.client(), "objects", SIZES * 4)
    first = wait_until(server, "first pass", lambda scrub: "ended" in scrub, ("scrub", "status"))
    flipped = 0
    for segment in segments(zones["a"]):
        with open(segment, "r+b") as file:
            for at in (4096 + 100, 4096 + 70_000):
                file.seek(at)
                byte = file.read(1)
                file.seek(at)
                file.write(bytes([byte[0] ^ 1]))
                flipped += 1
    assert flipped
    ask(server, "scrub", "start")
    found = wait_until(
        server,
        "a pass that found them",
        lambda scrub: not scrub["running"] and scrub["shards_bad"] > 0,
        ("scrub", "status"),
    )
    assert found["shards_repaired"] == found["shards_bad"] >= 1
    assert found["blobs"] == len(expected)
    assert found["ended"] >= first["ended"]
    assert found["age_seconds"] < 60
    assert metric(server, "strongroom_scrub_age_seconds") < 60
    server.stop()
    for segment in segments(zones["b"]):
        os.truncate(segment, 0)
    server.start()
    assert read_all(server.client(), "objects") == expected


# AZ27
def test_a_lost_object_is_listed_answers_its_error_and_can_be_overwritten_and_deleted(store):
    server, zones = store
    server.expect_errors("is lost")
    client = server.client(retries=1)
    fill(client, "objects", [60 * KIB], prefix="lost")
    client.put_object(Bucket="objects", Key="lost-0001", Body=content("other", 70 * KIB))
    client.put_object(Bucket="objects", Key="small", Body=b"in the log")
    for name in "ab":
        for segment in segments(zones[name]):
            segment.unlink()
    wait_until(server, "lost", lambda status: levels(status)["lost"] == 2 if status.get("levels") else False)
    lost = ask(server, "repair", "lost")
    assert sorted((entry["bucket"], entry["key"]) for entry in lost) == [
        ("objects", "lost-0000"),
        ("objects", "lost-0001"),
    ]
    for key in ("lost-0000", "lost-0001"):
        with pytest.raises(ClientError) as error:
            client.get_object(Bucket="objects", Key=key)["Body"].read()
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
        assert error.value.response["Error"]["Code"] == "XObjectLost"
    assert client.head_object(Bucket="objects", Key="lost-0000")["ContentLength"] == 60 * KIB
    assert client.get_object(Bucket="objects", Key="small")["Body"].read() == b"in the log"
    data = content("new", 60 * KIB)
    client.put_object(Bucket="objects", Key="lost-0000", Body=data)
    client.delete_object(Bucket="objects", Key="lost-0001")
    assert client.get_object(Bucket="objects", Key="lost-0000")["Body"].read() == data
    server.restart()
    status = wait_until(server, "none is lost", lambda status: status["whole"])
    assert levels(status)["lost"] == 0
    assert ask(server, "repair", "lost") == []
    assert server.client().get_object(Bucket="objects", Key="lost-0000")["Body"].read() == data
