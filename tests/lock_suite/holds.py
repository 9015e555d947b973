"""Legal holds: independent of retention, without an end, lifted only by switching them off."""

from .checks import Group
from .suite import BYPASS, COMPLIANCE, DENIED, GOVERNANCE, HOLD, MALFORMED, demand, element, value
from .changes import NONE_SET

GROUP = Group("holds")


def hold_of(s, version):
    answer = s.send("GET", version.path, {"legal-hold": None, **version.id}).expect(200)
    return answer.text("Status")


@GROUP.check("OL28", "a hold that was never set is told from one that is off")
def never_set(s):
    version = s.put(s.bucket("a"), s.key("hold"))
    s.send("GET", version.path, {"legal-hold": None, **version.id}).expect(NONE_SET)
    demand(s.head(version).headers.get(HOLD) is None, "HEAD shows a hold that was never set")
    for status in ("ON", "OFF"):
        s.set_hold(version, status).expect(200)
        version.hold = status
        demand(hold_of(s, version) == status, f"a hold set to {status} reads {hold_of(s, version)}")
        s.intact(version)


@GROUP.check("OL27 OL29", "a hold without retention holds, with bypass too, until it is off")
def holds_alone(s):
    version = s.put(s.bucket("a"), s.key("hold"), hold="ON")
    for headers in ({}, BYPASS):
        s.delete(version, headers).expect(DENIED)
        s.intact(version)
    s.set_hold(version, "OFF").expect(200)
    s.delete(version).expect(204)
    s.gone(version)


@GROUP.check("OL27 OL29", "a hold over governance is not passed by")
def holds_over_governance(s):
    version = s.put(s.bucket("a"), s.key("hold"), GOVERNANCE, s.soon(60), "ON")
    s.delete(version, BYPASS).expect(DENIED)
    s.intact(version)
    s.retain(version, headers=BYPASS).expect(200)
    version.mode = version.until = None
    s.intact(version)
    s.delete(version, BYPASS).expect(DENIED)
    s.intact(version)
    s.set_hold(version, "OFF").expect(200)


@GROUP.check("OL27", "a hold that is off leaves the retention as it was")
def retention_stays(s):
    version = s.put(s.bucket("a"), s.key("hold"), COMPLIANCE, s.soon(), "ON")
    s.set_hold(version, "OFF").expect(200)
    version.hold = "OFF"
    s.intact(version)
    s.delete(version, BYPASS).expect(DENIED)
    s.intact(version)


@GROUP.check("OL30", "a hold is set and cleared again without any bypass")
def set_and_cleared(s):
    version = s.put(s.bucket("a"), s.key("hold"))
    for status in ("ON", "ON", "OFF", "OFF", "ON"):
        s.set_hold(version, status).expect(200)
        version.hold = status
        s.intact(version)
    s.delete(version).expect(DENIED)
    s.set_hold(version, "OFF").expect(200)


def refused(document):
    def run(s):
        version = s.put(s.bucket("a"), s.key("hold"), hold="ON")
        s.document(version.path, {"legal-hold": None, **version.id}, document).expect(MALFORMED)
        s.intact(version)
        s.delete(version).expect(DENIED)
        s.intact(version)
        s.set_hold(version, "OFF").expect(200)
    return run


for what, document in (
    ("an unknown status", element("LegalHold", value("Status", "off"))),
    ("no status", element("LegalHold")),
    ("no XML", "OFF"),
):
    GROUP.add("OL13", f"a hold with {what} is refused", refused(document))
