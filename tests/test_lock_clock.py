"""A clock that jumps ends no lock: the real binary under a clock that is shifted, over restarts."""

import datetime
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from harness.attack import Attack
from harness.raw import answers, error_code, exchange, metric
from test_admin import strongroom
from test_doctor import findings, report

DAY = 24 * 60 * 60
LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
UTC = datetime.timezone.utc

pytestmark = pytest.mark.skipif(
    not LIBRARY.exists(), reason="libfaketime (Debian package faketime) is not installed")


def shifted(seconds):
    """The environment of a server whose clock is off, and whose time passes as it does."""
    return {
        "LD_PRELOAD": str(LIBRARY), "FAKETIME": f"+{seconds}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    } if seconds else {}


def utc(seconds=0):
    return datetime.datetime.now(UTC).replace(microsecond=0) + datetime.timedelta(seconds=seconds)


def rfc3339(seconds=0):
    return utc(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def delete(server, version, shift):
    """Deletes the version by its id, signed by the server's clock; gives status and code."""
    attack = Attack(server, "locked")
    answer = exchange(server, attack.signed("DELETE", f"/locked/k?versionId={version}", late=shift))
    return answers(answer)[0], error_code(answer)


# H60, OL43
def test_a_clock_that_jumped_ends_a_lock_only_once_it_is_confirmed(new_server):
    server = new_server().start()
    s3 = server.client()
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    put = s3.put_object(
        Bucket="locked", Key="k", Body=b"locked", ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=utc(10 * DAY))
    version = put["VersionId"]
    denied = (403, "AccessDenied")
    assert delete(server, version, 0) == denied
    server.stop()

    far = 30 * DAY
    server.start(environment=shifted(far))
    assert delete(server, version, far) == denied
    assert metric(server, "strongroom_lock_expiry_held") == 1
    clock = strongroom(server, "status", "--json")["store"]["lock_clock"]
    assert clock["held"] and clock["clock_unix_seconds"] - clock["time_unix_seconds"] > 29 * DAY
    server.wait_for_log("locks do not expire by it until it is confirmed")
    refusal = strongroom(server, "lock", "confirm-clock", rfc3339(), code=1)
    assert "s from that time" in refusal
    assert strongroom(server, "lock", "confirm-clock", "tomorrow", code=1)
    assert delete(server, version, far) == denied
    server.stop()

    # The clock was wrong and is set right: nothing is left of the jump.
    server.start()
    assert metric(server, "strongroom_lock_expiry_held") == 0
    assert delete(server, version, 0) == denied
    server.kill()

    # It is right after all, and an operator says so; that holds over a kill.
    server.start(environment=shifted(far))
    assert delete(server, version, far) == denied
    said = strongroom(server, "lock", "confirm-clock", rfc3339(far))
    assert "Locks expire by the server's clock again" in said
    server.kill()
    server.start(environment=shifted(far))
    assert metric(server, "strongroom_lock_expiry_held") == 0
    assert delete(server, version, far) == (204, None)
    server.expect_errors("clock")
    server.stop()


# OL14, OL43
def test_a_clock_that_went_back_takes_no_lock_that_would_hold_nothing_and_is_told(new_server):
    server = new_server().start(environment=shifted(DAY // 2))
    s3 = server.client()
    attack = Attack(server, "locked")
    made = attack.signed("PUT", "/locked", headers={"x-amz-bucket-object-lock-enabled": "true"}, late=DAY // 2)
    assert answers(exchange(server, made)) == [200]
    server.stop()
    server.start()
    # By the lock clock it is over: that time was there before.
    with pytest.raises(ClientError) as refused:
        s3.put_object(
            Bucket="locked", Key="k", Body=b"x", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=utc(DAY // 4))
    assert refused.value.response["Error"]["Code"] == "InvalidArgument"
    _, told = report(server)
    assert "behind the time that locks expire by" in findings(told, "locks")[0]["message"]
    server.stop()


# OP10
def test_the_report_adds_up_what_is_locked_until_when(new_server):
    server = new_server().start()
    s3 = server.client()
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    s3.create_bucket(Bucket="plain")
    s3.put_object(Bucket="plain", Key="k", Body=b"x")
    until = datetime.datetime(2033, 5, 31, 23, 59, 59, tzinfo=UTC)
    for body in (b"12345", b"123"):
        s3.put_object(Bucket="locked", Key="k", Body=body, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
    s3.put_object(
        Bucket="locked", Key="g", Body=b"1", ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until + datetime.timedelta(seconds=1), ObjectLockLegalHoldStatus="ON")
    over = utc(2)
    s3.put_object(Bucket="locked", Key="o", Body=b"1", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=over)
    s3.put_object(Bucket="locked", Key="free", Body=b"1")
    s3.delete_object(Bucket="locked", Key="k")
    while utc() <= over:
        time.sleep(0.1)
    told = strongroom(server, "lock", "report", "--json")
    assert told["versions_examined"] == 7
    rows = [(r["bucket"], r["mode"], r.get("month"), r["versions"], r["bytes"]) for r in told["locks"]]
    assert rows == [
        ("locked", "compliance", "2033-05", 2, 8),
        ("locked", "governance", "2033-06", 1, 1),
        ("locked", "legal hold", None, 1, 1),
    ]
    text = strongroom(server, "lock", "report", "--bucket", "locked")
    assert "2033-06" in text and "no end" in text and "6 versions were looked at" in text
    strongroom(server, "lock", "report", "--bucket", "absent", code=3)
    server.stop()
