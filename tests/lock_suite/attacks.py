"""Every way a client could destroy, replace or unlock a version, tried on each kind of lock.

After each the version is read back: its bytes, its ETag and its lock are as before. An attack whose
answer S3 leaves open demands only that.
"""

from .checks import Group
from .suite import (
    BAD_STATE, BYPASS, COMPLIANCE, DENIED, GOVERNANCE, HOLD, INVALID, MALFORMED, default_document, demand, element,
    value,
)
from .wire import md5

GROUP = Group("attacks")
BUCKET = "attacked"
# A clock of the client this far ahead is still accepted by S3, which allows fifteen minutes.
DATED_AHEAD_SECONDS = 600

KINDS = {
    "governance": lambda s: s.put(s.bucket(BUCKET), s.key("governance"), GOVERNANCE, s.soon()),
    "compliance": lambda s: s.put(s.bucket(BUCKET), s.key("compliance"), COMPLIANCE, s.soon()),
    "a legal hold": lambda s: s.put(s.bucket(BUCKET), s.key("hold"), hold="ON"),
    "governance and a legal hold": lambda s: s.put(s.bucket(BUCKET), s.key("both"), GOVERNANCE, s.soon(), "ON"),
    "compliance of a multipart upload": lambda s: uploaded(s),
}
# Who passes by governance may do these: they are attacks on the other kinds only.
PASSED_BY = {"governance"}
RETAINED = set(KINDS) - {"a legal hold"}


def uploaded(s):
    bucket, key, until = s.bucket(BUCKET), s.key("parts"), s.soon()
    body = s.content(key)
    answer = s.upload(bucket, key, body, s.lock_headers(COMPLIANCE, until)).expect(200)
    return s.made(answer, bucket, key, body, COMPLIANCE, until)


# -- deletes

def delete(s, v):
    s.delete(v).expect(DENIED)


def delete_with_bypass(s, v):
    s.delete(v, BYPASS).expect(DENIED)


def delete_with_bypass_false(s, v):
    s.delete(v, {"x-amz-bypass-governance-retention": "false"}).expect(DENIED)


def delete_with_bypass_unsigned(s, v):
    s.delete(v, {}, after_signing=BYPASS).expect_refusal()


def delete_unsigned(s, v):
    s.delete(v, {}, signed=False).expect_refusal()


def delete_by_a_link_to_read(s, v):
    link = s.wire.presigned("GET", v.path, v.id)
    s.send("DELETE", v.path, url=link, signed=False).expect((403, "SignatureDoesNotMatch"))


def delete_with_headers_of_servers(s, v):
    """What servers say to each other when they replicate or purge is not for clients."""
    s.delete(v, {
        "x-minio-force-delete": "true", "x-minio-source-replication-request": "true",
        "x-minio-source-deletemarker-delete": "true", "x-rgw-force-delete": "true",
        "x-seaweedfs-force-delete": "true", "x-strongroom-force-delete": "true",
    }).expect_refusal()


def delete_dated_ahead(s, v):
    s.delete(v, {}, dated_ahead=DATED_AHEAD_SECONDS).expect(DENIED)


def delete_if_match(s, v):
    s.delete(v, {"If-Match": v.etag}).expect(DENIED)


def delete_if_other(s, v):
    # Which of lock and condition answers first is open in S3.
    s.delete(v, {"If-Match": '"00000000000000000000000000000000"'}).expect(DENIED, (412, "PreconditionFailed"))


def delete_the_null_version(s, v):
    s.send("DELETE", v.path, {"versionId": "null"})


def refused_entry(answer, v):
    """The entry of a bulk delete that refuses the version."""
    answer.expect(200)
    for entry in answer.xml.iter("Error"):
        if entry.findtext("VersionId") == v.version and entry.findtext("Code") == "AccessDenied":
            return
    demand(False, "the bulk delete has no AccessDenied entry of the locked version")


def bulk(s, v):
    refused_entry(s.delete_many(v.bucket, (v.key, v.version)), v)


def bulk_quiet(s, v):
    refused_entry(s.delete_many(v.bucket, (v.key, v.version), quiet=True), v)


def bulk_with_bypass(s, v):
    refused_entry(s.delete_many(v.bucket, (v.key, v.version), headers=BYPASS), v)


def bulk_of_several(s, v):
    """Versions of the same key and of another go, the locked one between them stays."""
    free = [s.put(v.bucket, v.key), s.put(v.bucket, v.key), s.put(v.bucket, s.key("free"))]
    entries = [(free[0].key, free[0].version), (v.key, v.version)]
    entries += [(each.key, each.version) for each in free[1:]]
    answer = s.delete_many(v.bucket, *entries)
    refused_entry(answer, v)
    deleted = {entry.findtext("VersionId") for entry in answer.xml.iter("Deleted")}
    demand(deleted == {each.version for each in free}, "the other versions of the bulk delete are not all deleted")
    for each in free:
        s.gone(each)


def bulk_of_the_same(s, v):
    answer = s.delete_many(v.bucket, (v.key, v.version), (v.key, v.version)).expect(200)
    demand(answer.xml.find("Deleted") is None, "a version named twice is reported deleted")


def simple_delete(s, v):
    """A marker is added; it is deleted by its id and uncovers what was there."""
    path = f"/{v.bucket}/{v.key}"
    before = s.send("HEAD", path).expect(200).headers.get("x-amz-version-id")
    answer = s.send("DELETE", path).expect(204)
    marker = answer.headers.get("x-amz-version-id")
    demand(answer.headers.get("x-amz-delete-marker") == "true" and marker, "the delete made no marker")
    s.send("GET", path).expect((404, "NoSuchKey"))
    s.intact(v)
    s.send("DELETE", path, {"versionId": marker}).expect(204)
    after = s.send("HEAD", path).expect(200).headers.get("x-amz-version-id")
    demand(before == after, "without the marker another version is current")


# -- writes over it

def new_version(s, v, answer):
    made = answer.expect(200, 204).headers.get("x-amz-version-id")
    demand(made and made != v.version, "the write over a locked key made no version of its own")
    listed = s.send("GET", f"/{v.bucket}", {"versions": None, "prefix": v.key}).expect(200)
    found = {each.findtext("VersionId") for each in listed.xml.iter("Version") if each.findtext("Key") == v.key}
    demand({made, v.version} <= found, "the list has not both the locked version and the new one")
    path = f"/{v.bucket}/{v.key}"
    s.send("DELETE", path, {"versionId": made}).expect(204)


def put_over(s, v):
    new_version(s, v, s.send("PUT", f"/{v.bucket}/{v.key}", None, None, b"over"))


def put_over_with_a_lock(s, v):
    body = b"a weaker lock"
    headers = {"Content-MD5": md5(body), HOLD: "OFF"}
    new_version(s, v, s.send("PUT", f"/{v.bucket}/{v.key}", None, headers, body))


def copy_over(s, v):
    new_version(s, v, s.copy(s.put(s.bucket("source"), s.key("source")), v.bucket, v.key))


def copy_onto_itself(s, v):
    headers = {"x-amz-metadata-directive": "REPLACE", "x-amz-meta-a": "b"}
    new_version(s, v, s.copy(v, v.bucket, v.key, headers))


def complete_over(s, v):
    new_version(s, v, s.upload(v.bucket, v.key, b"an upload over it"))


def form_over(s, v):
    new_version(s, v, s.post_form(v.bucket, v.key, b"a form over it"))


def abort_over(s, v):
    upload = {"uploadId": s.begin_upload(v.bucket, v.key)}
    path = f"/{v.bucket}/{v.key}"
    s.send("PUT", path, {"partNumber": 1, **upload}, None, b"a part").expect(200)
    s.send("DELETE", path, upload).expect(204)


def abort_of_an_id(s, v):
    """The version's id is no upload's."""
    s.send("DELETE", v.path, {"uploadId": v.version}).expect_refusal()


def tags(s, v):
    document = element("Tagging", element("TagSet", element("Tag", value("Key", "a"), value("Value", "b"))))
    s.document(v.path, {"tagging": None, **v.id}, document).expect(200)
    s.send("DELETE", v.path, {"tagging": None, **v.id}).expect(204)


# -- the lock itself

def shorten(s, v):
    s.retain(v, v.mode, v.until - 2).expect(DENIED)


def shorten_with_bypass(s, v):
    s.retain(v, v.mode, v.until - 2, BYPASS).expect(DENIED)


def end_in_the_past(s, v):
    s.retain(v, v.mode, int(s.wire.now()) - 60).expect(DENIED, INVALID)


def take_away(s, v):
    s.retain(v).expect(DENIED)


def take_away_with_bypass(s, v):
    s.retain(v, headers=BYPASS).expect(DENIED)


def other_mode(s, v):
    s.retain(v, GOVERNANCE if v.mode == COMPLIANCE else COMPLIANCE, v.until).expect(DENIED)


def delete_the_retention(s, v):
    s.send("DELETE", v.path, {"retention": None, **v.id}).expect_refusal()


def delete_the_hold(s, v):
    s.send("DELETE", v.path, {"legal-hold": None, **v.id}).expect_refusal()


# -- the bucket

def delete_the_bucket(s, v):
    for headers in ({}, BYPASS, {"x-minio-force-delete": "true"}):
        s.send("DELETE", f"/{v.bucket}", None, headers).expect_refusal()


def suspend_versioning(s, v):
    s.set_versioning(v.bucket, "Suspended").expect(BAD_STATE)
    demand(s.versioning(v.bucket) == "Enabled", "versioning was suspended")


def locks_off(s, v):
    s.send("DELETE", f"/{v.bucket}", {"object-lock": None}).expect_refusal()
    off = element("ObjectLockConfiguration", value("ObjectLockEnabled", "Disabled"))
    s.configure(v.bucket, off).expect(MALFORMED)
    demand(s.configuration(v.bucket)[0] == "Enabled", "locks are off")


def default_set_and_cleared(s, v):
    s.configure(v.bucket, default_document(GOVERNANCE, Days=1)).expect(200)
    s.intact(v)
    s.configure(v.bucket, element("ObjectLockConfiguration", value("ObjectLockEnabled", "Enabled"))).expect(200)


def make_the_bucket_again(s, v):
    document = ""
    if s.wire.region != "us-east-1":
        document = element("CreateBucketConfiguration", value("LocationConstraint", s.wire.region))
    s.send("PUT", f"/{v.bucket}", None, {}, document)
    demand(s.configuration(v.bucket)[0] == "Enabled", "locks are off")


# (rules, what, attack, the kinds it is one on; nothing for all)
ATTACKS = (
    ("OL35", "a delete by its id", delete, None),
    ("OL23 OL29 OL35", "a delete by its id with bypass", delete_with_bypass, set(KINDS) - PASSED_BY),
    ("OL35 OL37", "a delete with a bypass of false", delete_with_bypass_false, None),
    ("OL37", "a delete with a bypass that is not signed", delete_with_bypass_unsigned, None),
    ("OL35", "a delete that nobody signed", delete_unsigned, None),
    ("OL35", "a delete by a link that was made for reading", delete_by_a_link_to_read, None),
    ("OL39", "a delete with headers that servers use among themselves", delete_with_headers_of_servers, None),
    ("OL43", "a delete with a signature of ten minutes ahead", delete_dated_ahead, RETAINED),
    ("IX06", "a delete with a condition that holds", delete_if_match, None),
    ("IX06", "a delete with a condition that fails", delete_if_other, None),
    ("OL39", "a delete of the null version", delete_the_null_version, None),
    ("OL35", "a bulk delete", bulk, None),
    ("OL35", "a quiet bulk delete", bulk_quiet, None),
    ("OL35 OL29", "a bulk delete with bypass", bulk_with_bypass, set(KINDS) - PASSED_BY),
    ("OL35 OL40", "a bulk delete of several versions of the key", bulk_of_several, None),
    ("OL35", "a bulk delete that names it twice", bulk_of_the_same, None),
    ("OL36", "a simple delete, and the delete of its marker", simple_delete, None),
    ("OL19", "a write of its key", put_over, None),
    ("OL19", "a write of its key with a weaker lock", put_over_with_a_lock, None),
    ("OL19", "a copy over its key", copy_over, None),
    ("OL19", "a copy of it onto its key", copy_onto_itself, None),
    ("OL19", "a multipart upload over its key", complete_over, None),
    ("OL19", "a POST form over its key", form_over, None),
    ("OL39", "an upload of its key that is aborted", abort_over, None),
    ("OL39", "an abort that names its id", abort_of_an_id, None),
    ("OL39", "a change of its tags", tags, None),
    ("OL22 OL23", "an earlier end", shorten, RETAINED),
    ("OL23", "an earlier end with bypass", shorten_with_bypass, {
        "compliance", "compliance of a multipart upload"}),
    ("OL22 OL23", "an end in the past", end_in_the_past, RETAINED),
    ("OL22 OL23", "no retention", take_away, RETAINED),
    ("OL23", "no retention with bypass", take_away_with_bypass, {
        "compliance", "compliance of a multipart upload"}),
    ("OL22 OL23", "the other mode", other_mode, RETAINED),
    ("OL39", "a delete of its retention", delete_the_retention, None),
    ("OL39", "a delete of its legal hold", delete_the_hold, None),
    ("OL39", "a delete of the bucket", delete_the_bucket, None),
    ("OL10", "suspended versioning", suspend_versioning, None),
    ("OL04", "locks turned off", locks_off, None),
    ("OL08", "a default that is set and cleared", default_set_and_cleared, None),
    ("OL39", "a bucket of the same name made again", make_the_bucket_again, None),
)


def tried_on(kind, attack):
    def run(s):
        version = s.subject(kind, KINDS[kind])
        try:
            attack(s, version)
            s.intact(version)
        except Exception:
            # Whatever is left of it, the next attack is on a version that is whole.
            s.forget(kind)
            raise
    return run


for kind in KINDS:
    for rules, what, attack, kinds in ATTACKS:
        if kinds is None or kind in kinds:
            GROUP.add(rules, f"{kind} withstands {what}", tried_on(kind, attack))
