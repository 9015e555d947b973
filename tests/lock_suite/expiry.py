"""When a lock ends: at its second by the endpoint's clock, with nothing having to run before.

The versions of all checks are made first and one wait serves them.
"""

from .checks import Group
from .suite import BYPASS, CLOCK_SECONDS_MAX, COMPLIANCE, DENIED, GOVERNANCE, demand

GROUP = Group("expiry")
BUCKET = "ending"
MADE = "versions that end"


def ending(s):
    """The versions whose locks end in some seconds, made once."""
    if MADE in s.kept:
        return s.kept[MADE]
    bucket, until = s.bucket(BUCKET), s.soon(s.short)
    made = {
        "governance": s.put(bucket, s.key("governance"), GOVERNANCE, until),
        "compliance": s.put(bucket, s.key("compliance"), COMPLIANCE, until),
        "compliance in bulk": s.put(bucket, s.key("bulk"), COMPLIANCE, until),
        "compliance to change": s.put(bucket, s.key("change"), COMPLIANCE, until),
        "compliance to hold": s.put(bucket, s.key("held"), COMPLIANCE, until, "ON"),
        "compliance extended": s.put(bucket, s.key("extended"), COMPLIANCE, until),
    }
    demand(until - s.wire.now() > 2, f"the endpoint is too slow for locks of {s.short} s: --lock-seconds")
    # While it holds: refused, and one is extended beyond the wait.
    for name in ("governance", "compliance", "compliance in bulk"):
        s.delete(made[name]).expect(DENIED)
        s.intact(made[name])
    extended = made["compliance extended"]
    s.retain(extended, COMPLIANCE, until + s.seconds).expect(200)
    extended.until = until + s.seconds
    s.kept[MADE] = made
    return made


def ended(s, name):
    version = ending(s)[name]
    s.wait_until(version.until)
    return version


@GROUP.check("OL43", "the endpoint's clock agrees with ours to a minute")
def the_clock_agrees(s):
    s.send("HEAD", f"/{s.bucket('a')}").expect(200)
    demand(abs(s.wire.ahead) < CLOCK_SECONDS_MAX, f"the endpoint's clock is {s.wire.ahead:.0f} s from ours")


@GROUP.check("OL26", "a lock that is over is still shown")
def still_shown(s):
    for name in ("governance", "compliance"):
        s.intact(ended(s, name))


@GROUP.check("OL21 OL26", "a lock that was extended holds beyond its first end")
def extended_holds(s):
    ended(s, "compliance")
    version = ending(s)["compliance extended"]
    s.delete(version, BYPASS).expect(DENIED)
    s.intact(version)


@GROUP.check("OL27", "a hold outlives the retention beside it")
def hold_outlives(s):
    version = ended(s, "compliance to hold")
    for headers in ({}, BYPASS):
        s.delete(version, headers).expect(DENIED)
        s.intact(version)
    s.set_hold(version, "OFF").expect(200)
    s.delete(version).expect(204)
    s.gone(version)


@GROUP.check("OL26", "a lock that is over can be changed in any way")
def over_is_changed(s):
    version = ended(s, "compliance to change")
    until = s.soon()
    s.retain(version, GOVERNANCE, until).expect(200)
    version.mode, version.until = GOVERNANCE, until
    s.intact(version)
    s.delete(version).expect(DENIED)
    s.intact(version)


for name in ("governance", "compliance"):
    def deleted(s, name=name):
        version = ended(s, name)
        s.delete(version).expect(204)
        s.gone(version)
    GROUP.add("OL26", f"{name} that is over is deleted at once and without bypass", deleted)


@GROUP.check("OL26", "compliance that is over is deleted in bulk")
def bulk(s):
    version = ended(s, "compliance in bulk")
    answer = s.delete_many(version.bucket, (version.key, version.version)).expect(200)
    demand(answer.xml.find("Error") is None, "a bulk delete refuses a lock that is over")
    s.gone(version)
