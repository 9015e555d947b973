"""Object Lock with boto3 against the real binary: what is locked stays, whoever asks and whichever way."""

import datetime
import time
import uuid

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from harness.attack import Attack
from harness.content import content
from harness.raw import answers, error_code, exchange

UTC = datetime.timezone.utc
LOCKED_BODY = content(7, 200_000)


def later(**period):
    """A time from now, in whole seconds: that is what a lock keeps."""
    return (datetime.datetime.now(UTC) + datetime.timedelta(**period)).replace(microsecond=0)


def refused(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


DENIED = (403, "AccessDenied")
INVALID = (400, "InvalidArgument")
NO_LOCKS = (400, "InvalidRequest")


@pytest.fixture
def locked(s3):
    """A bucket with Object Lock."""
    name = f"locked-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def put(s3, bucket, key="k", body=LOCKED_BODY, **lock):
    return s3.put_object(Bucket=bucket, Key=key, Body=body, **lock)["VersionId"]


def compliance(**period):
    return {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": later(**period)}


def governance(**period):
    return {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": later(**period)}


def body_of(s3, bucket, version, key="k"):
    return s3.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read()


def default_retention(mode, **period):
    retention = {"Mode": mode, **period}
    return {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}}


# BK02, IX01, OL02, OL10
def test_a_bucket_with_locks_is_made_in_one_step_and_keeps_versions_for_good(s3, locked, bucket):
    assert s3.get_bucket_versioning(Bucket=locked)["Status"] == "Enabled"
    configuration = s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"]
    assert configuration == {"ObjectLockEnabled": "Enabled"}
    suspend = {"Status": "Suspended"}
    assert refused(s3.put_bucket_versioning, Bucket=locked, VersioningConfiguration=suspend) \
        == (409, "InvalidBucketState")
    assert refused(s3.get_object_lock_configuration, Bucket=bucket) \
        == (404, "ObjectLockConfigurationNotFoundError")
    # A bucket that is there is not the one with locks that was asked for.
    assert refused(s3.create_bucket, Bucket=bucket, ObjectLockEnabledForBucket=True)[0] == 409


# OL01, OL03, OL04, OL05, OL06
def test_a_configuration_is_kept_as_it_was_put_and_a_wrong_one_changes_nothing(s3, bucket):
    def configure(configuration):
        return s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=configuration)

    enabled = {"ObjectLockEnabled": "Enabled"}
    for status in (None, "Suspended"):
        if status:
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        assert refused(lambda: configure(enabled)) == (409, "InvalidBucketState")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    years = default_retention("COMPLIANCE", Years=100)
    configure(years)
    for wrong, answer in (
        ({}, (400, "MalformedXML")),
        ({"ObjectLockEnabled": "Disabled"}, (400, "MalformedXML")),
        ({**enabled, "Rule": {}}, (400, "MalformedXML")),
        (default_retention("COMPLIANCE"), (400, "MalformedXML")),
        (default_retention("compliance", Days=1), (400, "MalformedXML")),
        (default_retention("COMPLIANCE", Days=1, Years=1), (400, "MalformedXML")),
        (default_retention("COMPLIANCE", Days=0), INVALID),
        (default_retention("COMPLIANCE", Days=36_501), INVALID),
        (default_retention("COMPLIANCE", Years=-1), INVALID),
    ):
        assert refused(lambda: configure(wrong)) == answer, wrong
        found = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
        assert found == years, wrong
    configure(enabled)
    found = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    assert found == enabled


# OL07, OL08, OL09, OL17, OL18, IX05
def test_a_default_locks_every_kind_of_write_and_an_explicit_lock_comes_first(s3, locked):
    before = put(s3, locked, "before")
    s3.put_object_lock_configuration(
        Bucket=locked, ObjectLockConfiguration=default_retention("GOVERNANCE", Days=3))
    low = later(days=3)
    put(s3, locked, "put")
    s3.copy_object(Bucket=locked, Key="copy", CopySource={"Bucket": locked, "Key": "put"})
    multipart(s3, locked, "parts")
    high = later(days=3, seconds=2)
    for key in ("put", "copy", "parts"):
        head = s3.head_object(Bucket=locked, Key=key)
        assert head["ObjectLockMode"] == "GOVERNANCE", key
        assert low <= head["ObjectLockRetainUntilDate"] <= high, key
    assert "ObjectLockMode" not in s3.head_object(Bucket=locked, Key="before", VersionId=before)
    until = later(hours=1)
    explicit = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
    put(s3, locked, "put", **explicit)
    s3.copy_object(Bucket=locked, Key="copy", CopySource={"Bucket": locked, "Key": "put"}, **explicit)
    multipart(s3, locked, "parts", **explicit)
    for key in ("put", "copy", "parts"):
        head = s3.head_object(Bucket=locked, Key=key)
        assert head["ObjectLockMode"] == "COMPLIANCE" and head["ObjectLockRetainUntilDate"] == until
        assert s3.get_object(Bucket=locked, Key=key)["ObjectLockMode"] == "COMPLIANCE"


def multipart(s3, bucket, key, **lock):
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, **lock)["UploadId"]
    named = {"Bucket": bucket, "Key": key, "UploadId": upload}
    part = s3.upload_part(**named, PartNumber=1, Body=LOCKED_BODY)
    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    return s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})["VersionId"]


# OL12, OL13, OL14, OL24
def test_half_a_lock_a_wrong_one_and_one_that_is_over_are_refused_and_store_nothing(s3, locked):
    until = later(days=1)
    for wrong in (
        {"ObjectLockMode": "GOVERNANCE"},
        {"ObjectLockRetainUntilDate": until},
        {"ObjectLockMode": "governance", "ObjectLockRetainUntilDate": until},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": later(seconds=-5)},
        {"ObjectLockLegalHoldStatus": "on"},
    ):
        assert refused(s3.put_object, Bucket=locked, Key="k", Body=b"x", **wrong) == INVALID, wrong
        assert refused(s3.create_multipart_upload, Bucket=locked, Key="k", **wrong) == INVALID
    assert "Versions" not in s3.list_object_versions(Bucket=locked)
    put(s3, locked)
    for wrong, code in (
        ({"Mode": "GOVERNANCE"}, "MalformedXML"),
        ({"RetainUntilDate": until}, "MalformedXML"),
        ({"Mode": "governance", "RetainUntilDate": until}, "MalformedXML"),
        ({"Mode": "GOVERNANCE", "RetainUntilDate": later(days=-1)}, "InvalidArgument"),
    ):
        answer = refused(s3.put_object_retention, Bucket=locked, Key="k", Retention=wrong)
        assert answer == (400, code), wrong
    assert refused(s3.put_object_legal_hold, Bucket=locked, Key="k", LegalHold={"Status": "on"}) \
        == (400, "MalformedXML")
    assert "ObjectLockMode" not in s3.head_object(Bucket=locked, Key="k")


# OL15, OL38
def test_where_there_are_no_locks_none_are_asked_set_or_passed_by(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    named = {"Bucket": bucket, "Key": "k"}
    assert refused(s3.put_object, **named, Body=b"y", **governance(days=1)) == NO_LOCKS
    assert refused(s3.put_object, **named, Body=b"y", ObjectLockLegalHoldStatus="OFF") == NO_LOCKS
    assert refused(s3.create_multipart_upload, **named, **governance(days=1)) == NO_LOCKS
    assert refused(s3.get_object_retention, **named) == NO_LOCKS
    assert refused(s3.get_object_legal_hold, **named) == NO_LOCKS
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": later(days=1)}
    assert refused(s3.put_object_retention, **named, Retention=retention) == NO_LOCKS
    assert refused(s3.put_object_legal_hold, **named, LegalHold={"Status": "ON"}) == NO_LOCKS
    for bypass in (True, False):
        assert refused(s3.delete_object, **named, BypassGovernanceRetention=bypass) == INVALID
        assert refused(s3.delete_objects, Bucket=bucket, Delete={"Objects": [{"Key": "k"}]},
                       BypassGovernanceRetention=bypass) == INVALID
    assert s3.get_object(**named)["Body"].read() == b"x"


# OL16
def test_what_is_locked_at_once_must_come_with_a_digest(server, locked):
    bare = server.client(request_checksum_calculation="when_required")
    named = {"Bucket": locked, "Key": "k", "Body": b"x"}
    bare.put_object(**named)
    assert refused(bare.put_object, **named, **governance(days=1)) == NO_LOCKS
    assert refused(bare.put_object, **named, ObjectLockLegalHoldStatus="ON") == NO_LOCKS
    bare.put_object_lock_configuration(
        Bucket=locked, ObjectLockConfiguration=default_retention("GOVERNANCE", Days=1))
    assert refused(bare.put_object, **named) == NO_LOCKS
    bare.put_object(**named, ChecksumAlgorithm="CRC32")


# OL20, OL21, OL22, OL23, OL24, OL25
def test_a_retention_changes_only_as_its_mode_allows(s3, locked):
    version = put(s3, locked)
    named = {"Bucket": locked, "Key": "k", "VersionId": version}
    before = s3.head_object(**named)
    assert refused(s3.get_object_retention, **named) == (404, "NoSuchObjectLockConfiguration")
    short, long = later(days=1), later(days=2)

    def retain(mode, until, **options):
        retention = {"Mode": mode, "RetainUntilDate": until} if mode else {}
        return s3.put_object_retention(**named, Retention=retention, **options)

    bypass = {"BypassGovernanceRetention": True}
    retain("GOVERNANCE", short)
    retain("GOVERNANCE", long)
    for change in (("GOVERNANCE", short), ("COMPLIANCE", long), (None, None)):
        assert refused(lambda: retain(*change)) == DENIED, change
        assert refused(lambda: retain(*change, BypassGovernanceRetention=False)) == DENIED, change
    retain("GOVERNANCE", short, **bypass)
    retain(None, None, **bypass)
    assert refused(s3.get_object_retention, **named)[0] == 404
    retain("COMPLIANCE", short)
    retain("COMPLIANCE", long)
    for change in (("COMPLIANCE", short), ("GOVERNANCE", later(days=9)), (None, None)):
        assert refused(lambda: retain(*change)) == DENIED, change
        assert refused(lambda: retain(*change, **bypass)) == DENIED, change
    found = s3.get_object_retention(**named)["Retention"]
    assert found == {"Mode": "COMPLIANCE", "RetainUntilDate": long}
    after = s3.head_object(**named)
    for name in ("ETag", "LastModified", "VersionId"):
        assert after[name] == before[name]


# OL27, OL28, OL29, OL30
def test_a_legal_hold_has_no_end_and_no_way_around(s3, locked):
    version = put(s3, locked)
    named = {"Bucket": locked, "Key": "k", "VersionId": version}
    assert refused(s3.get_object_legal_hold, **named) == (404, "NoSuchObjectLockConfiguration")
    assert "ObjectLockLegalHoldStatus" not in s3.head_object(**named)
    s3.put_object_legal_hold(**named, LegalHold={"Status": "ON"})
    assert s3.get_object_legal_hold(**named)["LegalHold"] == {"Status": "ON"}
    assert refused(s3.delete_object, **named) == DENIED
    assert refused(s3.delete_object, **named, BypassGovernanceRetention=True) == DENIED
    s3.put_object_legal_hold(**named, LegalHold={"Status": "OFF"})
    assert s3.head_object(**named)["ObjectLockLegalHoldStatus"] == "OFF"
    assert body_of(s3, locked, version) == LOCKED_BODY
    s3.delete_object(**named)


# OL26
def test_a_lock_is_over_at_its_second_without_anything_having_run(s3, locked):
    until = later(seconds=3)
    version = put(s3, locked, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
    named = {"Bucket": locked, "Key": "k", "VersionId": version}
    assert refused(s3.delete_object, **named) == DENIED
    while datetime.datetime.now(UTC) < until:
        time.sleep(0.1)
    head = s3.head_object(**named)
    assert head["ObjectLockMode"] == "COMPLIANCE" and head["ObjectLockRetainUntilDate"] == until
    s3.delete_object(**named)
    assert refused(s3.head_object, **named)[0] == 404


LOCKS = {
    "governance": lambda: governance(days=1),
    "compliance": lambda: compliance(days=1),
    "legal hold": lambda: {"ObjectLockLegalHoldStatus": "ON"},
}

# Every operation that could remove, replace or shorten what is locked: what it is called with, and
# whether it is refused or adds a version beside. `crates/s3-front` holds this table complete: an
# operation that is added there must be judged, and one that could do harm must be named here.
WALK = {
    "DeleteObject": lambda s3, n, v: refused(s3.delete_object, **n, VersionId=v) == DENIED,
    "DeleteObjects": lambda s3, n, v: bulk(s3, n, v),
    "PutObject": lambda s3, n, v: s3.put_object(**n, Body=b"over")["VersionId"] != v,
    "CopyObject": lambda s3, n, v: s3.copy_object(
        **n, CopySource={**n, "VersionId": v}, MetadataDirective="REPLACE")["VersionId"] != v,
    "CompleteMultipartUpload": lambda s3, n, v: multipart(s3, n["Bucket"], n["Key"]) != v,
    "AbortMultipartUpload": lambda s3, n, v: abort(s3, n),
    "PostObject": lambda s3, n, v: post_over(s3, n) == 204,
    "DeleteBucket": lambda s3, n, v: refused(
        s3.delete_bucket, Bucket=n["Bucket"]) == (409, "BucketNotEmpty"),
    "PutBucketVersioning": lambda s3, n, v: refused(
        s3.put_bucket_versioning, Bucket=n["Bucket"],
        VersioningConfiguration={"Status": "Suspended"}) == (409, "InvalidBucketState"),
    "PutObjectLockConfiguration": lambda s3, n, v: s3.put_object_lock_configuration(
        Bucket=n["Bucket"], ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}),
    "PutObjectTagging": lambda s3, n, v: s3.put_object_tagging(
        **n, VersionId=v, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}),
    "DeleteObjectTagging": lambda s3, n, v: s3.delete_object_tagging(**n, VersionId=v),
    "PutObjectRetention": lambda s3, n, v: shorten(s3, n, v),
    "PutObjectLegalHold": lambda s3, n, v: s3.put_object_legal_hold(
        **n, VersionId=v, LegalHold={"Status": "ON"}),
}


def bulk(s3, named, version):
    """Several versions of one key at once: the locked one stays, the others go (OL35, OL40)."""
    other = s3.put_object(**named, Body=b"other")["VersionId"]
    objects = [{"Key": named["Key"], "VersionId": id} for id in (version, other, version)]
    answer = s3.delete_objects(Bucket=named["Bucket"], Delete={"Objects": objects})
    denied = [(e["Key"], e["VersionId"], e["Code"]) for e in answer["Errors"]]
    assert denied == [(named["Key"], version, "AccessDenied")] * 2
    return [d["VersionId"] for d in answer["Deleted"]] == [other]


def abort(s3, named):
    upload = s3.create_multipart_upload(**named, **compliance(days=1))["UploadId"]
    s3.upload_part(**named, UploadId=upload, PartNumber=1, Body=b"x")
    return s3.abort_multipart_upload(**named, UploadId=upload)


def post_over(s3, named):
    """A form over the key, signed by what the client signs with."""
    credentials = s3._request_signer._credentials
    signer = boto3.client(
        "s3", endpoint_url=s3.meta.endpoint_url, region_name=s3.meta.region_name,
        aws_access_key_id=credentials.access_key, aws_secret_access_key=credentials.secret_key,
        config=Config(signature_version="s3v4"),
    )
    form = signer.generate_presigned_post(named["Bucket"], named["Key"])
    return requests.post(form["url"], data=form["fields"], files={"file": b"by form"}, timeout=30).status_code


def shorten(s3, named, version):
    """With every bypass, unless the lock is one that may be passed by."""
    head = s3.head_object(**named, VersionId=version)
    if "ObjectLockMode" not in head:
        return True
    retention = {"Mode": head["ObjectLockMode"], "RetainUntilDate": later(seconds=30)}
    bypass = head["ObjectLockMode"] == "COMPLIANCE"
    for change in (retention, {}):
        assert refused(s3.put_object_retention, **named, VersionId=version, Retention=change,
                       BypassGovernanceRetention=bypass) == DENIED
    return True


# OL19, OL35, OL36, OL39, OL40, IX05
@pytest.mark.parametrize("lock", LOCKS)
def test_every_operation_leaves_a_locked_version_as_it_is(s3, locked, lock):
    named = {"Bucket": locked, "Key": "k"}
    for version in (put(s3, locked, **LOCKS[lock]()), multipart(s3, locked, "k", **LOCKS[lock]())):
        before = s3.head_object(**named, VersionId=version)
        for operation, act in WALK.items():
            assert act(s3, named, version), operation
            assert body_of(s3, locked, version) == LOCKED_BODY, operation
            after = s3.head_object(**named, VersionId=version)
            for name in ("ETag", "LastModified", "ObjectLockMode", "ObjectLockRetainUntilDate"):
                assert after.get(name) == before.get(name), (operation, name)
        marker = s3.delete_object(**named)
        assert marker["DeleteMarker"]
        s3.delete_object(**named, VersionId=marker["VersionId"])


# OL37
def test_governance_is_passed_by_with_the_header_only(s3, locked):
    for many in (False, True):
        version = put(s3, locked, **governance(days=1))
        named = {"Bucket": locked, "Key": "k", "VersionId": version}
        for options in ({}, {"BypassGovernanceRetention": False}):
            assert refused(s3.delete_object, **named, **options) == DENIED
        assert body_of(s3, locked, version) == LOCKED_BODY
        if many:
            objects = {"Objects": [{"Key": "k", "VersionId": version}]}
            answer = s3.delete_objects(Bucket=locked, Delete=objects, BypassGovernanceRetention=True)
            assert "Errors" not in answer
        else:
            s3.delete_object(**named, BypassGovernanceRetention=True)
        assert refused(s3.head_object, **named)[0] == 404


# IX06
def test_a_lock_answers_before_a_condition(s3, locked):
    version = put(s3, locked, **compliance(days=1))
    named = {"Bucket": locked, "Key": "k"}
    assert refused(s3.delete_object, **named, VersionId=version, IfMatch='"0"') == DENIED
    assert refused(s3.delete_object, **named, IfMatch='"0"') == (412, "PreconditionFailed")


# OL31, OL34
def test_an_event_hold_is_refused_and_not_dropped(server, s3, locked):
    attack = Attack(server, locked)
    headers = {"x-amz-object-lock-event-hold": "ON"}
    answer = exchange(server, attack.signed("PUT", f"/{locked}/k", b"x", headers=headers))
    assert answers(answer) == [501] and error_code(answer) == "NotImplemented"
    assert "Versions" not in s3.list_object_versions(Bucket=locked)


# OL44
def test_locks_are_there_after_a_kill(new_server):
    server = new_server().start()
    s3 = server.client()
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    s3.put_object_lock_configuration(
        Bucket="locked", ObjectLockConfiguration=default_retention("COMPLIANCE", Days=1))
    versions = {
        "default": put(s3, "locked", "default"),
        "held": put(s3, "locked", "held", **governance(days=1), ObjectLockLegalHoldStatus="ON"),
        "parts": multipart(s3, "locked", "parts"),
    }
    s3.put_object_retention(
        Bucket="locked", Key="default", Retention={"Mode": "COMPLIANCE", "RetainUntilDate": later(days=2)})
    before = {key: s3.head_object(Bucket="locked", Key=key) for key in versions}
    server.kill()
    server.start()
    for key, version in versions.items():
        named = {"Bucket": "locked", "Key": key, "VersionId": version}
        assert refused(s3.delete_object, **named, BypassGovernanceRetention=True) == DENIED, key
        after = s3.head_object(**named)
        for name in ("ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus"):
            assert after.get(name) == before[key].get(name), (key, name)
        assert body_of(s3, "locked", version, key) == LOCKED_BODY
    page = server.fetch("/metrics")
    assert 'strongroom_lock_refusals_total{lock="compliance"} 2' in page
    assert 'strongroom_lock_refusals_total{lock="legal_hold"} 1' in page
    assert "strongroom_lock_bypasses_total 0" in page
    text = server.log()
    assert text.count("a lock refused to let a version go") == 3 and "held" in text
    server.stop()
