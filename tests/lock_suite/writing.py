"""Which lock a new version gets: what the write asks for, what the bucket says, or none."""

from .checks import Group
from .suite import (
    COMPLIANCE, DENIED, GOVERNANCE, HOLD, INVALID, MODE, NO_LOCKS, UNTIL, Skip, default_document, demand, element,
    retention_document, value,
)
from .wire import date_seconds, date_text, md5

GROUP = Group("writing")
DAY_SECONDS = 24 * 60 * 60
# Between our look at the endpoint's clock and its commit lie a request and a rounding.
SLACK_SECONDS = 60


def lock_shown(s, bucket, key):
    """(mode, seconds until, hold) of a key's current version."""
    head = s.send("HEAD", f"/{bucket}/{key}").expect(200)
    return head.headers.get(MODE), date_seconds(head.headers.get(UNTIL)), head.headers.get(HOLD)


def default_bucket(s, mode=GOVERNANCE):
    """A bucket that locks for a day, which is the shortest default there is."""
    bucket = s.bucket("default-" + mode.lower()[:3])
    s.configure(bucket, default_document(mode, Days=1)).expect(200)
    return bucket


WAYS = {
    "PUT": lambda s, bucket, key, body, headers: s.send(
        "PUT", f"/{bucket}/{key}", None, {"Content-MD5": md5(body), **headers}, body),
    "COPY": lambda s, bucket, key, body, headers: s.copy(
        s.put(s.bucket("source"), s.key("source"), body=body), bucket, key, headers),
    "a multipart upload": lambda s, bucket, key, body, headers: s.upload(bucket, key, body, headers),
    "a POST form": lambda s, bucket, key, body, headers: s.post_form(bucket, key, body, headers),
}


def write(s, way, bucket, headers):
    """Writes a version in one of the ways; its key and bytes."""
    key = s.key(way)
    body = s.content(key)
    WAYS[way](s, bucket, key, body, headers).expect(200, 204)
    return key, body


def default_locks(way, mode=GOVERNANCE):
    def run(s):
        if mode == COMPLIANCE and not s.leave_a_day:
            raise Skip("it would leave a version for a day: --leave-a-day allows it")
        bucket = default_bucket(s, mode)
        low = s.wire.now() + DAY_SECONDS - SLACK_SECONDS
        key, body = write(s, way, bucket, {})
        high = s.wire.now() + DAY_SECONDS + SLACK_SECONDS
        found, until, hold = lock_shown(s, bucket, key)
        demand(found == mode and hold is None, f"a version written by {way} has the lock {found}, {hold}")
        demand(low <= until <= high, f"a default of a day ends {date_text(until)}")
        head = s.send("HEAD", f"/{bucket}/{key}").expect(200)
        version = s.made(head, bucket, key, body, mode, until, None)
        s.delete(version).expect(DENIED)
        s.intact(version)
    return run


def explicit_comes_first(way):
    def run(s):
        bucket = default_bucket(s)
        until = s.soon(2 * DAY_SECONDS)
        key, _ = write(s, way, bucket, s.lock_headers(GOVERNANCE, until, "ON"))
        found = lock_shown(s, bucket, key)
        demand(found == (GOVERNANCE, until, "ON"), f"a lock asked for by {way} became {found}")
    return run


def explicit_where_no_default(way):
    def run(s):
        bucket = s.bucket("a")
        until = s.soon()
        key, body = write(s, way, bucket, s.lock_headers(COMPLIANCE, until))
        head = s.send("HEAD", f"/{bucket}/{key}").expect(200)
        version = s.made(head, bucket, key, body, COMPLIANCE, until)
        s.delete(version).expect(DENIED)
        s.intact(version)
    return run


for way in WAYS:
    GROUP.add("OL07", f"a default retention locks what {way} writes", default_locks(way))
GROUP.add("OL07", "a default retention in compliance mode locks what PUT writes", default_locks("PUT", COMPLIANCE))
for way in WAYS:
    GROUP.add("OL09 IX05", f"a lock asked for by {way} comes before the default", explicit_comes_first(way))
for way in WAYS:
    rules = "OL17 OL40" if way == "a multipart upload" else "OL35"
    GROUP.add(rules, f"a lock asked for by {way} holds", explicit_where_no_default(way))


@GROUP.check("OL08", "a change of the default changes no version")
def default_changes_nothing_old(s):
    bucket = s.bucket("changing")
    free = s.put(bucket, s.key("free"))
    s.configure(bucket, default_document(GOVERNANCE, Days=1)).expect(200)
    s.intact(free)
    body = s.content("default")
    key = s.key("default")
    answer = s.send("PUT", f"/{bucket}/{key}", None, {"Content-MD5": md5(body)}, body).expect(200)
    mode, until, _ = lock_shown(s, bucket, key)
    locked = s.made(answer, bucket, key, body, mode, until)
    for document in (default_document(GOVERNANCE, Days=2), default_document(COMPLIANCE, Years=1),
                     element("ObjectLockConfiguration", value("ObjectLockEnabled", "Enabled"))):
        s.configure(bucket, document).expect(200)
        s.intact(locked)
        s.intact(free)
    s.delete(locked).expect(DENIED)
    s.delete(free).expect(204)


@GROUP.check("OL18 IX05", "a copy of a locked version is not locked")
def a_lock_is_not_copied(s):
    bucket = s.bucket("a")
    source = s.put(bucket, s.key("source"), GOVERNANCE, s.soon(60), "ON")
    key = s.key("copy")
    s.copy(source, bucket, key).expect(200)
    demand(lock_shown(s, bucket, key) == (None, None, None), "the copy has a lock")
    s.intact(source)
    s.set_hold(source, "OFF").expect(200)


def refused_on_write(cases, answer, bucket_of=lambda s: s.bucket("a")):
    """Each header refuses the write, the copy and the begin of an upload, and nothing is stored."""
    def run(s):
        bucket = bucket_of(s)
        for headers in cases(s):
            key, body = s.key("refused"), s.content("refused")
            named = {"Content-MD5": md5(body), **headers}
            s.send("PUT", f"/{bucket}/{key}", None, named, body).expect(answer)
            s.send("POST", f"/{bucket}/{key}", {"uploads": None}, headers).expect(answer)
            s.copy(s.put(s.bucket("source"), s.key("source")), bucket, key, headers).expect(answer)
            found = s.send("GET", f"/{bucket}", {"versions": None, "prefix": key}).expect(200)
            demand(found.xml.find("Version") is None, "a refused write stored a version")
    return run


GROUP.add("OL12", "a mode without a date, and a date without a mode, are refused", refused_on_write(
    lambda s: ({MODE: GOVERNANCE}, {UNTIL: date_text(s.soon(60))}), INVALID))
GROUP.add("OL13", "an unknown mode is refused", refused_on_write(
    lambda s: (s.lock_headers("governance", s.soon(60)), s.lock_headers("NONE", s.soon(60))), INVALID))
GROUP.add("OL13", "an unknown legal hold is refused", refused_on_write(
    lambda s: ({HOLD: "on"}, {HOLD: "true"}), INVALID))
GROUP.add("OL14", "a date in the past is refused", refused_on_write(
    lambda s: (s.lock_headers(GOVERNANCE, s.soon(-60)), s.lock_headers(GOVERNANCE, "2001-01-01T00:00:00Z")), INVALID))
GROUP.add("OL14", "a date that is none is refused", refused_on_write(
    lambda s: (s.lock_headers(GOVERNANCE, "tomorrow"), s.lock_headers(GOVERNANCE, "9999999999999")), INVALID))
GROUP.add("OL15", "a lock is not asked for where there are none", refused_on_write(
    lambda s: (s.lock_headers(GOVERNANCE, s.soon(60)), {HOLD: "ON"}, {HOLD: "OFF"}), NO_LOCKS,
    lambda s: s.bucket("plain", lock=False)))


@GROUP.check("OL15", "a lock is neither set nor read where there are none")
def no_locks_in_a_plain_bucket(s):
    bucket = s.bucket("plain", lock=False)
    key, body = s.key("plain"), s.content("plain")
    s.send("PUT", f"/{bucket}/{key}", None, None, body).expect(200)
    path = f"/{bucket}/{key}"
    for query, document in (
        ({"retention": None}, retention_document(GOVERNANCE, s.soon(60))),
        ({"legal-hold": None}, element("LegalHold", value("Status", "ON"))),
    ):
        s.document(path, query, document).expect(NO_LOCKS)
        s.send("GET", path, query).expect(NO_LOCKS)
    demand(s.send("GET", path).expect(200).body == body, "the object changed")


@GROUP.check("OL16", "what is locked at once must come with a digest")
def a_digest_is_demanded(s):
    bucket, body = s.bucket("a"), s.content("bare")
    for headers in (s.lock_headers(GOVERNANCE, s.soon(60)), {HOLD: "ON"}):
        s.send("PUT", f"/{bucket}/{s.key('bare')}", None, headers, body).expect(400)
    s.send("PUT", f"/{default_bucket(s)}/{s.key('bare')}", None, {}, body).expect(400)
