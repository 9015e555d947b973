"""`simulate` says before a loss what the loss then shows; `where`, `doctor` and `top` tell of it afterwards."""

import pytest

from harness.content import KIB, MIB, fill, read_all
from test_doctor import findings, report, run
from test_repair import ask, levels, wait_until
from test_zones import ZONE_ERRORS, lose, zones_of

LOST = ("unreachable", "lost")


@pytest.fixture
def store(new_server, tmp_path):
    zones = zones_of(tmp_path / "zones", 3, 2)
    server = new_server(zones=zones)
    server.expect_errors(*ZONE_ERRORS)
    server.start()
    server.client().create_bucket(Bucket="objects")
    return server, zones


def simulate(server, lose, code=0):
    done = run(server, "simulate", "--lose", lose)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout


# AZ01, AZ03, AZ28
def test_what_is_told_before_the_loss_of_a_zone_is_what_the_loss_shows(store):
    server, zones = store
    client = server.client()
    expected = fill(client, "objects", [1000, 60 * KIB, 3 * MIB] * 3)
    text = simulate(server, f"zone=a,disk={zones['b'][1]}")
    assert "reads go on, writes go on" in text and "Nothing would be lost" in text, text
    assert "writes STOP" in simulate(server, "zone=a,zone=b", code=1)
    assert "reads STOP" in simulate(server, "zone=a,zone=b,zone=c", code=1)
    told = ask(server, "simulate", "--lose", "zone=a")
    assert sum(levels(told).values()) == len(expected), told
    assert not any(levels(told)[level] for level in LOST), told
    assert (told["members_left"], told["members_needed"]) == (2, 2)
    lose(zones, "a")
    seen = wait_until(
        server, "zone a is out", lambda status: status.get("walked") and not levels(status)["full"]
    )
    shards = {level: blobs for level, blobs in levels(told).items() if blobs}
    small = sum(1 for key in expected if client.head_object(Bucket="objects", Key=key)["ContentLength"] < 16 * KIB)
    for level, blobs in levels(seen).items():
        in_log = small if level == "reduced" else 0
        assert blobs == shards.get(level, 0) - in_log, (level, told, seen)
    # What is left by now carries less.
    assert "writes STOP" in simulate(server, "zone=b", code=1)
    oldest = seen["oldest"]
    assert oldest["bucket"] == "objects" and oldest["key"] in expected, seen
    assert [zone["zone"] for zone in seen["zones"]] == ["a"]
    frame = run(server, "top", "--once").stdout
    assert "repair  " in frame and "scrub   " in frame, frame
    _, told = report(server)
    assert findings(told, "standing"), told
    assert read_all(client, "objects") == expected


def test_a_loss_of_what_is_not_there_is_refused_by_name(store):
    server, _ = store
    for word in ("zone=q", "disk=/nowhere", "a", ""):
        done = run(server, "simulate", "--lose", word)
        assert done.returncode == 1 and f"lose `{word}`" in done.stderr, done


# AZ25
def test_a_scrub_that_is_waited_for_has_ended(store):
    server, _ = store
    fill(server.client(), "objects", [60 * KIB] * 3)
    wait_until(server, "first pass", lambda scrub: "ended" in scrub, ("scrub", "status"))
    done = ask(server, "scrub", "start", "--wait")
    assert not done["asked"] and not done["running"] and done["blobs"] == 3, done
    assert ask(server, "repair", "status", "--wait")["whole"]
