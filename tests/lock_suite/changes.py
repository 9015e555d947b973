"""Which change of a retention is allowed, and to whom."""

from .checks import Group
from .suite import (
    BYPASS, COMPLIANCE, DENIED, GOVERNANCE, INVALID, MALFORMED, demand, element, retention_document, value,
)
from .wire import date_seconds, date_text

GROUP = Group("changes")
NONE_SET = (404, "NoSuchObjectLockConfiguration")
LONG_SECONDS = 120


def retention_of(s, version):
    """(mode, seconds until), from the document."""
    answer = s.send("GET", version.path, {"retention": None, **version.id}).expect(200)
    return answer.text("Mode"), date_seconds(answer.text("RetainUntilDate"))


@GROUP.check("OL20", "a version without retention says so, and one with it shows mode and date")
def retention_is_shown(s):
    version = s.put(s.bucket("a"), s.key("shown"))
    s.send("GET", version.path, {"retention": None, **version.id}).expect(NONE_SET)
    until = s.soon(LONG_SECONDS)
    s.retain(version, GOVERNANCE, until).expect(200)
    version.mode, version.until = GOVERNANCE, until
    demand(retention_of(s, version) == (GOVERNANCE, until), "the retention is not the one that was put")
    s.intact(version)


@GROUP.check("OL20", "without a version id the current version is meant")
def the_current_version_is_meant(s):
    bucket, key = s.bucket("a"), s.key("current")
    old, new = s.put(bucket, key), s.put(bucket, key)
    until = s.soon(LONG_SECONDS)
    s.document(f"/{bucket}/{key}", {"retention": None}, retention_document(GOVERNANCE, until)).expect(200)
    new.mode, new.until = GOVERNANCE, until
    s.intact(new)
    s.intact(old)
    s.delete(old).expect(204)


def extended(mode):
    def run(s):
        version = s.put(s.bucket("a"), s.key("extended"), mode, s.soon())
        until = version.until + 2
        s.retain(version, mode, until).expect(200)
        version.until = until
        s.intact(version)
        s.retain(version, mode, until).expect(200)
        s.intact(version)
    return run


for mode in (GOVERNANCE, COMPLIANCE):
    GROUP.add("OL21", f"{mode.lower()} is extended without bypass", extended(mode))

# What a lock may not become: (what, mode, seconds from the end it has).
SHORTER, REMOVED, LATER = -5, None, 30


def refused(mode, new_mode, seconds, headers):
    def run(s):
        version = s.put(s.bucket("a"), s.key("kept"), mode, s.soon(s.seconds + 6))
        until = None if new_mode is None else version.until + seconds
        s.retain(version, new_mode, until, headers).expect(DENIED)
        s.intact(version)
        s.delete(version).expect(DENIED)
    return run


for rule, mode, other in (("OL22", GOVERNANCE, COMPLIANCE), ("OL23", COMPLIANCE, GOVERNANCE)):
    for act, new_mode, seconds in (
        ("shortened", mode, SHORTER), ("taken away", None, 0), (f"made {other.lower()}", other, 0),
        (f"made {other.lower()} for longer", other, LATER),
    ):
        if new_mode == COMPLIANCE and seconds == LATER:
            continue  # what is wrong here would leave a longer lock than the run has time for
        GROUP.add(rule, f"{mode.lower()} is not {act} without bypass", refused(mode, new_mode, seconds, {}))
        if mode == COMPLIANCE:
            GROUP.add(rule, f"compliance is not {act} with bypass", refused(mode, new_mode, seconds, BYPASS))
no_bypass = {"x-amz-bypass-governance-retention": "false"}
GROUP.add("OL22", "governance is not shortened with a bypass of false", refused(GOVERNANCE, GOVERNANCE, SHORTER, no_bypass))


@GROUP.check("OL22 OL24", "governance is shortened, made compliance and taken away with bypass")
def governance_is_passed_by(s):
    version = s.put(s.bucket("a"), s.key("passed"), GOVERNANCE, s.soon(LONG_SECONDS))
    until = s.soon(LONG_SECONDS // 2)
    s.retain(version, GOVERNANCE, until, BYPASS).expect(200)
    version.until = until
    s.intact(version)
    s.retain(version, headers=BYPASS).expect(200)
    version.mode = version.until = None
    s.intact(version)
    s.send("GET", version.path, {"retention": None, **version.id}).expect(NONE_SET)
    s.delete(version).expect(204)
    other = s.put(s.bucket("a"), s.key("passed"), GOVERNANCE, s.soon())
    s.retain(other, COMPLIANCE, other.until, BYPASS).expect(200)
    other.mode = COMPLIANCE
    s.intact(other)
    s.delete(other, BYPASS).expect(DENIED)
    s.intact(other)


def malformed(document, answers):
    def run(s):
        version = s.put(s.bucket("a"), s.key("whole"), GOVERNANCE, s.soon(LONG_SECONDS))
        query = {"retention": None, **version.id}
        # With the bypass, so that nothing but the document can be what is refused.
        s.document(version.path, query, document(s), BYPASS).expect(*answers)
        s.intact(version)
    return run


for rule, what, document, answer in (
    ("OL24", "only a mode", lambda s: retention_document(GOVERNANCE), MALFORMED),
    ("OL24", "only a date", lambda s: retention_document(until=s.soon(60)), MALFORMED),
    ("OL13", "an unknown mode", lambda s: retention_document("governance", s.soon(60)), MALFORMED),
    ("OL14", "a date in the past", lambda s: retention_document(GOVERNANCE, s.soon(-60)), INVALID),
    ("OL24", "an unknown element", lambda s: element(
        "Retention", value("Mode", GOVERNANCE), value("RetainUntilDate", date_text(s.soon(200))),
        value("Unlocked", "true")), MALFORMED),
    ("OL24", "no XML", lambda s: "Retention", MALFORMED),
    ("OL24", "a document type of its own", lambda s: '<!DOCTYPE r [<!ENTITY m "GOVERNANCE">]>' + element(
        "Retention", "<Mode>&m;</Mode>", value("RetainUntilDate", date_text(s.soon(200)))), MALFORMED),
):
    GROUP.add(rule, f"a retention with {what} is refused", malformed(document, [answer]))
# Unparsable: AWS says InvalidArgument, readers of a schema say MalformedXML.
GROUP.add("OL14", "a retention with a date that is none is refused", malformed(
    lambda s: retention_document(GOVERNANCE, "tomorrow"), [INVALID, MALFORMED]))


@GROUP.check("OL25", "a change of a lock changes neither time, nor ETag, nor version")
def nothing_else_changes(s):
    version = s.put(s.bucket("a"), s.key("same"), GOVERNANCE, s.soon(LONG_SECONDS))
    # Times have whole seconds: a change in the same one could not be seen.
    s.wait_until(s.wire.now() + 1)
    version.until += 1
    s.retain(version, GOVERNANCE, version.until).expect(200)
    s.set_hold(version, "ON").expect(200)
    s.set_hold(version, "OFF").expect(200)
    version.hold = "OFF"
    head = s.head(version)
    demand(head.headers.get("Last-Modified") == version.modified, "Last-Modified changed")
    s.intact(version)
    listed = s.send("GET", f"/{version.bucket}", {"versions": None, "prefix": version.key}).expect(200)
    demand([each.findtext("VersionId") for each in listed.xml.iter("Version")] == [version.version],
           "a change of a lock made a version")


@GROUP.check("OL20", "a delete marker and a version that is not there have no locks to set")
def markers_have_no_locks(s):
    bucket, key = s.bucket("a"), s.key("marked")
    version = s.put(bucket, key)
    marker = s.send("DELETE", f"/{bucket}/{key}").expect(204).headers["x-amz-version-id"]
    document = retention_document(GOVERNANCE, s.soon(60))
    for query in ({"retention": None, "versionId": marker}, {"retention": None}):
        s.document(f"/{bucket}/{key}", query, document).expect_refusal()
    s.document(f"/{bucket}/{s.key('none')}", {"retention": None}, document).expect((404, "NoSuchKey"))
    s.intact(version)
