"""Who passes by a lock, and which version is asked."""

from .checks import Group
from .suite import BYPASS, COMPLIANCE, DENIED, GOVERNANCE, INVALID, demand

GROUP = Group("enforcement")
LONG_SECONDS = 120
NO_BYPASS = {"x-amz-bypass-governance-retention": "false"}


@GROUP.check("OL37", "governance is deleted with bypass, and not without")
def governance_is_passed_by(s):
    version = s.put(s.bucket("a"), s.key("passed"), GOVERNANCE, s.soon(LONG_SECONDS))
    s.delete(version).expect(DENIED)
    s.intact(version)
    s.delete(version, BYPASS).expect(204)
    s.gone(version)


@GROUP.check("OL37", "governance is deleted in bulk with bypass, compliance and holds beside it stay")
def bulk_with_bypass(s):
    bucket = s.bucket("a")
    governed = s.put(bucket, s.key("governed"), GOVERNANCE, s.soon(LONG_SECONDS))
    kept = [s.put(bucket, s.key("complied"), COMPLIANCE, s.soon()), s.put(bucket, s.key("held"), hold="ON")]
    versions = [kept[0], governed, kept[1]]
    answer = s.delete_many(bucket, *((v.key, v.version) for v in versions), headers=BYPASS).expect(200)
    refused = {e.findtext("VersionId") for e in answer.xml.iter("Error") if e.findtext("Code") == "AccessDenied"}
    deleted = {e.findtext("VersionId") for e in answer.xml.iter("Deleted")}
    demand(refused == {v.version for v in kept}, "compliance and hold are not both refused")
    demand(deleted == {governed.version}, "governance was not deleted with bypass")
    for version in kept:
        s.intact(version)
    s.gone(governed)
    s.set_hold(kept[1], "OFF").expect(200)


@GROUP.check("OL38", "a bypass in a bucket without locks is refused, be it false")
def bypass_where_there_are_no_locks(s):
    bucket, key = s.bucket("plain", lock=False), s.key("plain")
    s.send("PUT", f"/{bucket}/{key}", None, None, b"plain").expect(200)
    for headers in (BYPASS, NO_BYPASS):
        s.send("DELETE", f"/{bucket}/{key}", None, headers).expect(INVALID)
        s.delete_many(bucket, (key, None), headers=headers).expect(INVALID)
    demand(s.send("GET", f"/{bucket}/{key}").expect(200).body == b"plain", "the object changed")


@GROUP.check("OL36", "markers over a locked version are deleted in any order")
def markers_are_never_locked(s):
    version = s.put(s.bucket("a"), s.key("marked"), COMPLIANCE, s.soon())
    path = f"/{version.bucket}/{version.key}"
    markers = [s.send("DELETE", path).expect(204).headers["x-amz-version-id"] for _ in range(2)]
    s.send("DELETE", path, {"versionId": markers[0]}).expect(204)
    s.send("GET", path).expect((404, "NoSuchKey"))
    s.delete(version).expect(DENIED)
    s.delete_many(version.bucket, (version.key, markers[1])).expect(200)
    demand(s.send("GET", path).expect(200).body == version.body, "the locked version is not current again")
    s.intact(version)


@GROUP.check("OL40", "the lock of the named version is asked, not that of the current one")
def the_named_version_is_asked(s):
    bucket, key = s.bucket("a"), s.key("several")
    old = s.put(bucket, key)
    locked = s.put(bucket, key, COMPLIANCE, s.soon())
    new = s.put(bucket, key)
    s.delete(locked).expect(DENIED)
    s.delete(new).expect(204)
    s.delete(locked).expect(DENIED)
    s.delete(old).expect(204)
    s.intact(locked)
    s.gone(old)
    s.gone(new)


@GROUP.check("OL40", "each version of a key has its own lock")
def each_version_has_its_own(s):
    bucket, key = s.bucket("a"), s.key("own")
    until = s.soon(LONG_SECONDS)
    versions = [s.put(bucket, key, GOVERNANCE, until), s.put(bucket, key, hold="ON"), s.put(bucket, key)]
    for version in versions:
        s.intact(version)
    s.retain(versions[0], GOVERNANCE, until + 1).expect(200)
    versions[0].until = until + 1
    s.set_hold(versions[1], "OFF").expect(200)
    versions[1].hold = "OFF"
    for version in versions:
        s.intact(version)
    s.delete(versions[0]).expect(DENIED)
    s.delete(versions[1]).expect(204)
    s.intact(versions[0])


@GROUP.check("OL19", "writes without end over a locked version, each a version")
def many_writes_over(s):
    bucket, key = s.bucket("a"), s.key("many")
    locked = s.put(bucket, key, COMPLIANCE, s.soon())
    made = {s.put(bucket, key).version for _ in range(5)}
    demand(len(made) == 5 and locked.version not in made, "five writes did not make five versions")
    s.intact(locked)


@GROUP.check("IX06", "a conditional simple delete adds a marker over a locked version")
def conditional_marker(s):
    version = s.put(s.bucket("a"), s.key("conditional"), COMPLIANCE, s.soon())
    path = f"/{version.bucket}/{version.key}"
    s.send("DELETE", path, None, {"If-Match": '"00000000000000000000000000000000"'}).expect(
        (412, "PreconditionFailed"))
    s.intact(version)
    s.send("DELETE", path, None, {"If-Match": version.etag}).expect(204)
    s.intact(version)
