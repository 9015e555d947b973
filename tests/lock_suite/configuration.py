"""What a bucket says about its locks."""

from .checks import Group
from .suite import (
    BAD_STATE, COMPLIANCE, GOVERNANCE, INVALID, MALFORMED, default_document, demand, element, value,
)

GROUP = Group("configuration")
# Nothing is ever written here: a default of a hundred years that was not cleared would lock it.
BUCKET = "configured"
ENABLED = value("ObjectLockEnabled", "Enabled")
LOCKS_ON = element("ObjectLockConfiguration", ENABLED)
NONE_CONFIGURED = (404, "ObjectLockConfigurationNotFoundError")


def rule(*parts):
    retention = element("DefaultRetention", *parts)
    return element("ObjectLockConfiguration", ENABLED, element("Rule", retention))


@GROUP.check("OL01 IX01", "a bucket made with locks says so and keeps versions")
def made_with_locks(s):
    bucket = s.bucket(BUCKET)
    demand(s.configuration(bucket) == ("Enabled", None, None, None), "the configuration is not empty but enabled")
    demand(s.versioning(bucket) == "Enabled", "versioning is not enabled in a bucket with locks")


@GROUP.check("OL02", "a bucket without locks has no configuration of them")
def made_without_locks(s):
    s.send("GET", f"/{s.bucket('plain', lock=False)}", {"object-lock": None}).expect(NONE_CONFIGURED)


@GROUP.check("OL03", "locks are turned on in a bucket that is there, once it is versioned")
def turned_on_later(s):
    bucket = s.bucket("later", lock=False)
    s.configure(bucket, LOCKS_ON).expect(BAD_STATE)
    s.set_versioning(bucket, "Suspended").expect(200)
    s.configure(bucket, LOCKS_ON).expect(BAD_STATE)
    s.send("GET", f"/{bucket}", {"object-lock": None}).expect(NONE_CONFIGURED)
    s.set_versioning(bucket, "Enabled").expect(200)
    before = s.put(bucket, s.key("before"))
    s.configure(bucket, LOCKS_ON).expect(200)
    demand(s.configuration(bucket)[0] == "Enabled", "the bucket does not say that locks are on")
    s.intact(before)
    s.set_versioning(bucket, "Suspended").expect(BAD_STATE)


@GROUP.check("OL01", "a default retention is read back as it was put")
def default_is_read_back(s):
    bucket = s.bucket(BUCKET)
    for mode, period in ((GOVERNANCE, {"Days": 1}), (COMPLIANCE, {"Days": 36500}), (GOVERNANCE, {"Years": 100})):
        s.configure(bucket, default_document(mode, **period)).expect(200)
        days, years = (str(period[unit]) if unit in period else None for unit in ("Days", "Years"))
        found = s.configuration(bucket)
        demand(found == ("Enabled", mode, days, years), f"{mode} {period} is read back as {found}")


@GROUP.check("OL04", "a configuration without a rule clears the default and leaves locks on")
def default_is_cleared(s):
    bucket = s.bucket(BUCKET)
    s.configure(bucket, default_document(GOVERNANCE, Days=1)).expect(200)
    s.configure(bucket, LOCKS_ON).expect(200)
    found = s.configuration(bucket)
    demand(found == ("Enabled", None, None, None), f"after a configuration without a rule it is {found}")


@GROUP.check("OL04", "locks are not turned off")
def never_turned_off(s):
    bucket = s.bucket(BUCKET)
    s.configure(bucket, element("ObjectLockConfiguration", value("ObjectLockEnabled", "Disabled"))).expect(MALFORMED)
    s.send("DELETE", f"/{bucket}", {"object-lock": None}).expect_refusal()
    demand(s.configuration(bucket)[0] == "Enabled", "locks are off")


def refuses(documents, answers):
    """A check that a bucket refuses documents and stays as it is."""
    def run(s):
        bucket = s.bucket(BUCKET)
        s.configure(bucket, default_document(GOVERNANCE, Days=2)).expect(200)
        for document in documents:
            s.configure(bucket, document).expect(*answers)
            found = s.configuration(bucket)
            demand(found == ("Enabled", GOVERNANCE, "2", None), f"a refused document left {found}")
        s.configure(bucket, LOCKS_ON).expect(200)
    return run


GOVERNED = value("Mode", GOVERNANCE)
for what, document in (
    ("that is empty", element("ObjectLockConfiguration")),
    ("without ObjectLockEnabled", default_document(GOVERNANCE, Days=1).replace(ENABLED, "")),
    ("with an empty rule", element("ObjectLockConfiguration", ENABLED, element("Rule"))),
    ("with an empty default retention", rule()),
    ("with a mode and no period", rule(GOVERNED)),
    ("with a period and no mode", rule(value("Days", 1))),
    ("with an unknown mode", rule(value("Mode", "governance"), value("Days", 1))),
    ("with days and years", rule(GOVERNED, value("Days", 1), value("Years", 1))),
    ("that is no XML", "<ObjectLockConfiguration>"),
):
    GROUP.add("OL05", f"a configuration {what} is refused", refuses([document], [MALFORMED]))

# AWS and others name the error differently: both are taken.
PERIOD_REFUSED = (INVALID, (400, "InvalidRetentionPeriod"))
GROUP.add("OL06", "a period of no days, or beyond a hundred years, is refused", refuses(
    [default_document(GOVERNANCE, **period) for period in (
        {"Days": 0}, {"Days": -1}, {"Days": 36501}, {"Years": 0}, {"Years": 101})],
    PERIOD_REFUSED))


@GROUP.check("OL10 IX01", "versioning is not suspended where there are locks")
def versioning_stays(s):
    bucket = s.bucket(BUCKET)
    s.set_versioning(bucket, "Suspended").expect(BAD_STATE)
    demand(s.versioning(bucket) == "Enabled", "versioning was suspended")
    s.set_versioning(bucket, "Enabled").expect(200)
