"""What a run makes, and the words checks are written in.

Every bucket of a run has a random name and is entered here before it is asked for; a request to any
other is a fault of the suite and stops it. A locked version is kept with its bytes and its lock as
they must be, so that they can be compared after anything was tried.
"""

import secrets
import time
from xml.sax.saxutils import escape

from .wire import Wrong, date_seconds, date_text, md5

MODE = "x-amz-object-lock-mode"
UNTIL = "x-amz-object-lock-retain-until-date"
HOLD = "x-amz-object-lock-legal-hold"
BYPASS = {"x-amz-bypass-governance-retention": "true"}
GOVERNANCE, COMPLIANCE = "GOVERNANCE", "COMPLIANCE"
DENIED = (403, "AccessDenied")
INVALID = (400, "InvalidArgument")
MALFORMED = (400, "MalformedXML")
NO_LOCKS = (400, "InvalidRequest")
BAD_STATE = (409, "InvalidBucketState")
# A lock that has less than this left is extended before something is tried on it.
LEFT_SECONDS_MIN = 5
# Signatures are refused at fifteen minutes; a clock a minute off is worth a word long before.
CLOCK_SECONDS_MAX = 60
BUCKET_BEGINS = "lock-suite-"


class Skip(Exception):
    """A check that can not be made here; the message says why."""


def demand(condition, text):
    if not condition:
        raise Wrong(text)


def element(name, *children):
    """An XML element of text or of elements."""
    inner = "".join(str(child) for child in children)
    return f"<{name}>{inner}</{name}>"


def value(name, text):
    return element(name, escape(str(text)))


def retention_document(mode=None, until=None):
    parts = []
    if mode is not None:
        parts.append(value("Mode", mode))
    if until is not None:
        parts.append(value("RetainUntilDate", until if isinstance(until, str) else date_text(until)))
    return element("Retention", *parts)


def default_document(mode, **period):
    periods = [value(name, count) for name, count in period.items()]
    rule = element("Rule", element("DefaultRetention", value("Mode", mode), *periods))
    return element("ObjectLockConfiguration", value("ObjectLockEnabled", "Enabled"), rule)


def deletion(*entries, quiet=False):
    """A bulk delete of (key, version id or nothing)."""
    objects = [
        element("Object", value("Key", key), *([value("VersionId", version)] if version else []))
        for key, version in entries
    ]
    return element("Delete", *([value("Quiet", "true")] if quiet else []), *objects)


class Version:
    """A version as it must be."""

    def __init__(self, bucket, key, version, body, mode, until, hold):
        self.bucket, self.key, self.version, self.body = bucket, key, version, body
        self.mode, self.until, self.hold = mode, until, hold
        self.etag = self.modified = None

    @property
    def path(self):
        return f"/{self.bucket}/{self.key}"

    @property
    def id(self):
        return {"versionId": self.version}


class Suite:
    """A run: the endpoint, what was made there, and what a check may do."""

    def __init__(self, wire, seconds, leave_a_day=False):
        self.wire = wire
        # How long locks are, and those that are waited for.
        self.seconds = seconds
        self.short = seconds // 3
        self.leave_a_day = leave_a_day
        self.name = BUCKET_BEGINS + secrets.token_hex(8)
        self.buckets = []
        # Buckets by their words, and what checks of a kind share.
        self.named = {}
        self.kept = {}
        self.keys = 0

    # -- requests

    def send(self, method, path, query=None, headers=None, body=b"", **options):
        bucket = path.split("/")[1]
        assert bucket in self.buckets, f"the suite did not make the bucket of {path}"
        if isinstance(body, str):
            body = body.encode()
        if body and method in ("PUT", "POST") and headers is None:
            headers = {"Content-MD5": md5(body)}
        return self.wire.send(method, path, query, headers, body, **options)

    def document(self, path, query, document, headers=None, method="PUT"):
        """Sends a document with its digest."""
        body = document.encode()
        named = {"Content-MD5": md5(body), "Content-Type": "application/xml", **(headers or {})}
        return self.send(method, path, query, named, body)

    # -- buckets

    def bucket(self, name, lock=True):
        """A bucket of this run, made when it is first asked for."""
        if name in self.named:
            return self.named[name]
        bucket = f"{self.name}-{name}"
        if bucket not in self.buckets:
            self.buckets.append(bucket)
        headers = {"x-amz-bucket-object-lock-enabled": "true"} if lock else {}
        document = ""
        if self.wire.region != "us-east-1":
            document = element("CreateBucketConfiguration", value("LocationConstraint", self.wire.region))
        answer = self.send("PUT", f"/{bucket}", None, headers, document)
        if 400 <= answer.status < 500:
            # Refused, so not ours to clean up; after any other failure it may be there.
            self.buckets.remove(bucket)
        answer.expect(200)
        listed = self.send("GET", f"/{bucket}", {"versions": None}).expect(200)
        if listed.xml.find("Version") is not None or listed.xml.find("DeleteMarker") is not None:
            self.buckets.remove(bucket)
            raise Wrong(f"bucket {bucket} is not new: nothing in it is touched")
        self.named[name] = bucket
        return bucket

    def key(self, word):
        self.keys += 1
        return f"{word.replace(' ', '-')}-{self.keys}"

    # -- versions

    def trust_dates(self, mode):
        """Nobody can undo a wrong date in compliance mode, so none is sent before one of governance
        was kept to the second, by a clock that agrees with ours."""
        if mode != COMPLIANCE or "dates" in self.kept:
            return
        self.put(self.bucket("a"), self.key("dates"), GOVERNANCE, self.soon())
        demand(abs(self.wire.ahead) < CLOCK_SECONDS_MAX,
               f"the endpoint's clock is {self.wire.ahead:.0f} s from ours: compliance is not tried")
        self.kept["dates"] = True

    def soon(self, seconds=None):
        """A date some seconds ahead by the endpoint's clock, in whole seconds."""
        return int(self.wire.now()) + 1 + (seconds or self.seconds)

    def lock_headers(self, mode=None, until=None, hold=None):
        self.trust_dates(mode)
        named = {MODE: mode, UNTIL: until if until is None or isinstance(until, str) else date_text(until),
                 HOLD: hold}
        return {name: text for name, text in named.items() if text is not None}

    def put(self, bucket, key, mode=None, until=None, hold=None, body=None):
        """Writes a version with a lock, or with none."""
        body = body if body is not None else self.content(key)
        headers = {"Content-MD5": md5(body), **self.lock_headers(mode, until, hold)}
        answer = self.send("PUT", f"/{bucket}/{key}", None, headers, body).expect(200)
        return self.made(answer, bucket, key, body, mode, until, hold)

    def content(self, key):
        """Bytes that no other version has."""
        return (f"{key} {secrets.token_hex(16)} " * 40).encode()

    def made(self, answer, bucket, key, body, mode=None, until=None, hold=None):
        """The version an answer names, as it must be from now on."""
        identity = answer.headers.get("x-amz-version-id")
        demand(identity and identity != "null", f"{answer.asked} names no version: versioning is not on")
        version = Version(bucket, key, identity, body, mode, until, hold)
        head = self.head(version)
        version.etag, version.modified = head.headers.get("ETag"), head.headers.get("Last-Modified")
        self.check_lock(version, head)
        return version

    def head(self, version):
        return self.send("HEAD", version.path, version.id).expect(200)

    def check_lock(self, version, answer):
        shown = tuple(answer.headers.get(name) for name in (MODE, UNTIL, HOLD))
        seen = (shown[0], date_seconds(shown[1]), shown[2])
        wanted = (version.mode, version.until, version.hold)
        demand(seen == wanted, f"{answer.asked} shows the lock {seen}, not {wanted}")

    def intact(self, version):
        """The version is there, byte for byte, with the lock it must have."""
        answer = self.send("GET", version.path, version.id)
        demand(answer.status == 200, f"the locked version is gone: GET by its id says {answer}")
        demand(answer.body == version.body, "the bytes of the locked version are others now")
        demand(answer.headers.get("ETag") == version.etag, "the ETag of the locked version is another now")
        self.check_lock(version, answer)

    def gone(self, version):
        answer = self.send("GET", version.path, version.id)
        demand(answer.status == 404, f"the version is still there: GET by its id says {answer}")

    def stay_locked(self, version):
        """Extends a retention that is nearly over, which both modes allow to anyone."""
        if version.until is None or version.until - self.wire.now() > LEFT_SECONDS_MIN:
            return
        until = max(self.soon(), version.until + 1)
        self.retain(version, version.mode, until).expect(200)
        version.until = until

    def subject(self, kind, make):
        """A locked version that the attacks of a kind share; a new one when one was lost."""
        if kind not in self.kept:
            self.kept[kind] = make(self)
        self.stay_locked(self.kept[kind])
        return self.kept[kind]

    def forget(self, kind):
        self.kept.pop(kind, None)

    # -- operations

    def delete(self, version, headers=None, **options):
        return self.send("DELETE", version.path, version.id, headers, **options)

    def delete_many(self, bucket, *entries, headers=None, quiet=False):
        return self.document(f"/{bucket}", {"delete": None}, deletion(*entries, quiet=quiet), headers, "POST")

    def retain(self, version, mode=None, until=None, headers=None):
        self.trust_dates(mode)
        document = retention_document(mode, until)
        return self.document(version.path, {"retention": None, **version.id}, document, headers)

    def set_hold(self, version, status, headers=None):
        document = element("LegalHold", value("Status", status))
        return self.document(version.path, {"legal-hold": None, **version.id}, document, headers)

    def configure(self, bucket, document):
        return self.document(f"/{bucket}", {"object-lock": None}, document)

    def configuration(self, bucket):
        """(enabled, mode, days, years) of a bucket."""
        answer = self.send("GET", f"/{bucket}", {"object-lock": None}).expect(200)
        rule = "Rule/DefaultRetention/"
        return tuple(answer.text(path) for path in (
            "ObjectLockEnabled", rule + "Mode", rule + "Days", rule + "Years"))

    def set_versioning(self, bucket, status):
        document = element("VersioningConfiguration", value("Status", status))
        return self.document(f"/{bucket}", {"versioning": None}, document)

    def versioning(self, bucket):
        return self.send("GET", f"/{bucket}", {"versioning": None}).expect(200).text("Status")

    def copy(self, source, bucket, key, headers=None):
        named = {"x-amz-copy-source": f"/{source.bucket}/{source.key}?versionId={source.version}",
                 **(headers or {})}
        answer = self.send("PUT", f"/{bucket}/{key}", None, named)
        demand(answer.status != 200 or answer.xml.tag == "CopyObjectResult", "a copy ended in an error")
        return answer

    def begin_upload(self, bucket, key, headers=None):
        answer = self.send("POST", f"/{bucket}/{key}", {"uploads": None}, headers or {}).expect(200)
        return answer.text("UploadId")

    def upload(self, bucket, key, body, headers=None):
        """A whole upload of one part; the answer to its completion."""
        upload = self.begin_upload(bucket, key, headers)
        part = {"partNumber": 1, "uploadId": upload}
        etag = self.send("PUT", f"/{bucket}/{key}", part, None, body).expect(200).headers["ETag"]
        parts = element("CompleteMultipartUpload",
                        element("Part", value("PartNumber", 1), value("ETag", etag)))
        answer = self.document(f"/{bucket}/{key}", {"uploadId": upload}, parts, method="POST")
        demand(answer.status != 200 or answer.code is None and answer.xml.tag != "Error",
               "an upload's completion ended in an error")
        return answer

    def post_form(self, bucket, key, body, fields=None):
        """A browser's form with a signed policy."""
        form = self.form_fields(bucket, key, fields or {})
        edge = secrets.token_hex(16)
        lines = [
            f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
            for name, text in form.items()
        ]
        lines.append(f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode())
        lines += [body, f"\r\n--{edge}--\r\n".encode()]
        headers = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        return self.send("POST", f"/{bucket}", None, headers, b"".join(lines), signed=False)

    def form_fields(self, bucket, key, fields):
        from botocore.auth import S3SigV4PostAuth
        from botocore.awsrequest import AWSRequest

        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 300))
        named = {"key": key, **fields}
        conditions = [{"bucket": bucket}, *({name: text} for name, text in named.items())]
        request = AWSRequest(method="POST", url=self.wire.url(f"/{bucket}", None))
        request.context["s3-presign-post-fields"] = named
        request.context["s3-presign-post-policy"] = {"expiration": expires, "conditions": conditions}
        frozen = self.wire.credentials.get_frozen_credentials()
        S3SigV4PostAuth(frozen, "s3", self.wire.region).add_auth(request)
        return request.context["s3-presign-post-fields"]

    def wait_until(self, seconds):
        """Waits until the endpoint's clock has reached a time, by its own answers."""
        while self.wire.now() < seconds:
            time.sleep(min(1.0, max(0.05, seconds - self.wire.now())))
            self.send("HEAD", f"/{self.buckets[0]}")
            if self.wire.now() < seconds:
                time.sleep(0.1)
