"""Versions with boto3 against the real binary: every rule a client can see, and what a crash leaves."""

import threading

import pytest
from botocore.exceptions import ClientError

from test_admin import strongroom

from harness.content import MIB, content, digest

PART_SIZE = 5 * MIB


def refused(call, **arguments):
    """Calls and demands an error; returns its answer."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response


def status_and_code(answer):
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def headers(answer):
    return answer["ResponseMetadata"]["HTTPHeaders"]


def set_versioning(s3, bucket, status="Enabled"):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


@pytest.fixture
def versioned(s3, bucket):
    set_versioning(s3, bucket)
    return bucket


def listed(s3, bucket, **options):
    """(key, id, latest, marker) of all versions, through pages, in the order of the ids' places."""
    versions, markers = [], []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, **options):
        versions += [(e["Key"], e["VersionId"], e["IsLatest"]) for e in page.get("Versions", [])]
        markers += [(e["Key"], e["VersionId"], e["IsLatest"]) for e in page.get("DeleteMarkers", [])]
    return versions, markers


# VE01, VE02, VE33
def test_the_state_of_versioning_is_what_was_put_last(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    for status in ("Suspended", "Enabled", "Enabled", "Suspended"):
        set_versioning(s3, bucket, status)
        answer = s3.get_bucket_versioning(Bucket=bucket)
        assert answer["Status"] == status and "MFADelete" not in answer


# VE03, MF01
def test_a_wrong_versioning_configuration_changes_nothing(s3, bucket):
    for configuration, answer in (
        ({"Status": "Disabled"}, (400, "MalformedXML")),
        ({"Status": "enabled"}, (400, "MalformedXML")),
        ({}, (400, "IllegalVersioningConfigurationException")),
        ({"Status": "Enabled", "MFADelete": "Enabled"}, (403, "AccessDenied")),
    ):
        call = refused(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=configuration)
        assert status_and_code(call) == answer
    unknown = {"Bucket": "no-such-bucket", "VersioningConfiguration": {"Status": "Enabled"}}
    assert status_and_code(refused(s3.put_bucket_versioning, **unknown)) == (404, "NoSuchBucket")
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)


# VE05, VE06, VE07, VE34
def test_every_way_to_write_names_its_version(s3, bucket):
    def upload(key):
        target = {"Bucket": bucket, "Key": key}
        target["UploadId"] = s3.create_multipart_upload(**target)["UploadId"]
        parts = [
            {"PartNumber": number, "ETag": s3.upload_part(**target, PartNumber=number, Body=data)["ETag"]}
            for number, data in ((1, content(1, PART_SIZE)), (2, b"end"))
        ]
        return lambda: s3.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})

    def write(status):
        complete = upload("parts")
        if status:
            set_versioning(s3, bucket, status)
        source = {"Bucket": bucket, "Key": "k"}
        return [
            answer.get("VersionId")
            for answer in (
                s3.put_object(Bucket=bucket, Key="k", Body=b"x"),
                s3.copy_object(Bucket=bucket, Key="copy", CopySource=source),
                complete(),
            )
        ]

    assert write(None) == [None] * 3
    assert "VersionId" not in s3.head_object(Bucket=bucket, Key="k")
    ids = write("Enabled") + write("Enabled")
    assert len(set(ids)) == 6 and None not in ids
    assert all(version.isalnum() and len(version) < 100 for version in ids)
    assert write("Suspended") == [None] * 3
    for key in ("k", "copy", "parts"):
        assert s3.head_object(Bucket=bucket, Key=key)["VersionId"] == "null"
    assert digest(s3.get_object(Bucket=bucket, Key="parts", VersionId=ids[2])["Body"].read()) == digest(
        content(1, PART_SIZE) + b"end"
    )


# VE09, VE10, VE13, VE18, VE19, VE20, VE26, VE29
def test_markers_stack_and_are_removed_by_their_ids(s3, versioned):
    target = {"Bucket": versioned, "Key": "k"}
    version = s3.put_object(**target, Body=b"data")["VersionId"]
    markers = [s3.delete_object(**target)["VersionId"] for _ in range(3)]
    assert len(set(markers)) == 3
    answer = refused(s3.get_object, **target)
    assert status_and_code(answer) == (404, "NoSuchKey")
    assert headers(answer)["x-amz-delete-marker"] == "true"
    assert headers(answer)["x-amz-version-id"] == markers[-1]
    for call in (s3.get_object, s3.head_object):
        answer = refused(call, **target, VersionId=markers[0])
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 405
        assert headers(answer)["x-amz-delete-marker"] == "true"
        assert headers(answer)["allow"] == "DELETE"
        assert "GMT" in headers(answer)["last-modified"]
    versions, found = listed(s3, versioned)
    assert versions == [("k", version, False)]
    assert found == [("k", marker, marker == markers[-1]) for marker in reversed(markers)]
    for marker in markers:
        gone = s3.delete_object(**target, VersionId=marker)
        assert (gone["VersionId"], gone["DeleteMarker"]) == (marker, True)
    assert s3.get_object(**target)["Body"].read() == b"data"
    assert status_and_code(refused(s3.get_object, **target, VersionId=markers[0])) == (404, "NoSuchVersion")


# VE15, VE16, VE17
def test_ids_that_are_none_are_refused_and_unknown_ones_are_a_success(s3, bucket):
    target = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**target, Body=b"null")
    other = f"{bucket}-other"
    s3.create_bucket(Bucket=other)
    set_versioning(s3, other)
    version = s3.put_object(Bucket=other, Key="k", Body=b"x")["VersionId"]
    for call in (s3.get_object, s3.delete_object):
        for wrong in (version, "nonsense"):
            assert status_and_code(refused(call, **target, VersionId=wrong)) == (400, "InvalidArgument")
    assert s3.get_object(**target, VersionId="null")["Body"].read() == b"null"
    set_versioning(s3, bucket)
    assert s3.delete_object(**target, VersionId=version)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert s3.get_object(**target)["Body"].read() == b"null"
    s3.delete_object(**target, VersionId="null")
    assert listed(s3, bucket) == ([], [])


# VE21, VE30
def test_metadata_tags_and_attributes_belong_to_a_version(s3, versioned):
    target = {"Bucket": versioned, "Key": "k"}
    first = s3.put_object(**target, Body=b"1", Metadata={"n": "1"}, Tagging="n=1")["VersionId"]
    second = s3.put_object(**target, Body=b"22", Metadata={"n": "2"})["VersionId"]
    assert s3.head_object(**target, VersionId=first)["Metadata"] == {"n": "1"}
    assert s3.head_object(**target)["Metadata"] == {"n": "2"}
    tags = {"TagSet": [{"Key": "n", "Value": "two"}]}
    assert s3.put_object_tagging(**target, Tagging=tags)["VersionId"] == second
    got = s3.get_object_tagging(**target, VersionId=first)
    assert (got["VersionId"], got["TagSet"]) == (first, [{"Key": "n", "Value": "1"}])
    s3.delete_object_tagging(**target, VersionId=first)
    assert s3.get_object_tagging(**target, VersionId=first)["TagSet"] == []
    assert s3.get_object_tagging(**target)["TagSet"] == tags["TagSet"]
    wanted = {"ObjectAttributes": ["ObjectSize"]}
    got = s3.get_object_attributes(**target, **wanted, VersionId=first)
    assert (got["ObjectSize"], got["VersionId"]) == (1, first)
    marker = s3.delete_object(**target)["VersionId"]
    for options in ({}, {"VersionId": marker}):
        for call in (s3.get_object_tagging, s3.get_object_acl):
            answer = refused(call, **target, **options)
            assert status_and_code(answer) == (405, "MethodNotAllowed")
            assert answer["Error"]["ResourceType"] == "DeleteMarker"
    assert status_and_code(refused(s3.get_object_attributes, **target, **wanted))[0] == 404


# VE22, VE23, VE24
def test_versions_are_sources_of_copies_and_of_parts_and_markers_are_not(s3, versioned):
    target = {"Bucket": versioned, "Key": "k"}
    old = s3.put_object(**target, Body=b"old")["VersionId"]
    new = s3.put_object(**target, Body=b"new")["VersionId"]
    part = {"Bucket": versioned, "Key": "parts"}
    upload = s3.create_multipart_upload(**part)["UploadId"]
    copied = s3.upload_part_copy(
        **part, UploadId=upload, PartNumber=1, CopySource={**target, "VersionId": old}
    )
    assert copied["CopySourceVersionId"] == old
    parts = [{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}]
    s3.complete_multipart_upload(**part, UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.get_object(**part)["Body"].read() == b"old"
    answer = refused(s3.copy_object, **target, CopySource={**target, "VersionId": new})
    assert status_and_code(answer) == (400, "InvalidRequest")
    marker = s3.delete_object(**target)["VersionId"]
    onto = {"Bucket": versioned, "Key": "copy"}
    assert status_and_code(refused(s3.copy_object, **onto, CopySource=target)) == (404, "NoSuchKey")
    by_id = refused(s3.copy_object, **onto, CopySource={**target, "VersionId": marker})
    assert status_and_code(by_id) == (400, "InvalidRequest")
    assert s3.copy_object(**onto, CopySource={**target, "VersionId": old})["CopySourceVersionId"] == old


# VE25, VE27
def test_lists_of_versions_page_in_every_form(s3, versioned):
    names = ["a/1", "a/2", "b", "c/1", "d é+&"]
    for name in names:
        for number in range(3):
            s3.put_object(Bucket=versioned, Key=name, Body=b"%d" % number)
        s3.delete_object(Bucket=versioned, Key=name)
    everything = listed(s3, versioned)
    assert [len(kind) for kind in everything] == [15, 5]
    for size in (1, 2, 3, 7):
        assert listed(s3, versioned, PaginationConfig={"PageSize": size}) == everything
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=versioned, Delimiter="/", PaginationConfig={"PageSize": 2}
    )
    groups, found = [], []
    for page in pages:
        groups += [prefix["Prefix"] for prefix in page.get("CommonPrefixes", [])]
        found += [entry["Key"] for entry in page.get("Versions", [])]
    assert (groups, found) == (["a/", "c/"], ["b"] * 3 + ["d é+&"] * 3)
    versions, markers = listed(s3, versioned, Prefix="a/")
    assert {entry[0] for entry in versions + markers} == {"a/1", "a/2"}
    page = s3.list_object_versions(Bucket=versioned, MaxKeys=3)
    assert page["IsTruncated"] and page["NextKeyMarker"] == "a/1"
    after = s3.list_object_versions(Bucket=versioned, KeyMarker="a/1", MaxKeys=1)
    assert after["DeleteMarkers"][0]["Key"] == "a/2"
    wrong = refused(s3.list_object_versions, Bucket=versioned, VersionIdMarker=markers[0][1])
    assert status_and_code(wrong) == (400, "InvalidArgument")


# VE08, VE11, VE14, VE33
def test_a_null_version_between_others_is_replaced_and_the_others_stay(s3, bucket):
    target = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**target, Body=b"null")
    set_versioning(s3, bucket)
    ids = [s3.put_object(**target, Body=b"%d" % number)["VersionId"] for number in range(2)]
    set_versioning(s3, bucket, "Suspended")
    s3.put_object(**target, Body=b"null again")
    versions, _ = listed(s3, bucket)
    assert [entry[1] for entry in versions] == ["null", ids[1], ids[0]]
    set_versioning(s3, bucket)
    ids.append(s3.put_object(**target, Body=b"2")["VersionId"])
    set_versioning(s3, bucket, "Suspended")
    deleted = s3.delete_object(**target)
    assert (deleted["VersionId"], deleted["DeleteMarker"]) == ("null", True)
    versions, markers = listed(s3, bucket)
    assert [entry[1] for entry in versions] == list(reversed(ids))
    assert markers == [("k", "null", True)]
    s3.delete_object(**target, VersionId="null")
    assert s3.get_object(**target)["VersionId"] == ids[-1]


# BK05, VE13
def test_hundreds_of_versions_of_one_key_are_deleted_at_once_and_the_bucket_after_them(s3, versioned):
    for _ in range(300):
        s3.put_object(Bucket=versioned, Key="k", Body=b"x")
    s3.delete_object(Bucket=versioned, Key="k")
    assert status_and_code(refused(s3.delete_bucket, Bucket=versioned)) == (409, "BucketNotEmpty")
    versions, markers = listed(s3, versioned)
    named = [{"Key": key, "VersionId": version} for key, version, _ in versions + markers]
    answer = s3.delete_objects(Bucket=versioned, Delete={"Objects": named})
    assert len(answer["Deleted"]) == 301 and "Errors" not in answer
    assert [e["DeleteMarkerVersionId"] for e in answer["Deleted"] if e.get("DeleteMarker")] == [markers[0][1]]
    s3.delete_bucket(Bucket=versioned)


# IX22
def test_the_place_of_a_version_is_told_by_its_id(server, s3, versioned):
    sizes = [10, 100_000]
    ids = [s3.put_object(Bucket=versioned, Key="k", Body=b"x" * size)["VersionId"] for size in sizes]
    s3.delete_object(Bucket=versioned, Key="k")
    for version, size in zip(ids, sizes):
        found = strongroom(server, "where", f"s3://{versioned}/k", "--version-id", version, "--json")
        assert (found["version_id"], found["bytes"]) == (version, size)
    told = strongroom(server, "bucket", versioned, "--json")
    assert (told["objects"], told["bytes"], told["delete_markers"]) == (2, sum(sizes), 1)


# CO06, PR09
def test_concurrent_writers_of_one_key_lose_no_version(server, versioned):
    made, lock = {}, threading.Lock()

    def write(writer):
        s3 = server.client()
        for number in range(20):
            data = f"{writer}/{number}".encode()
            answer = s3.put_object(Bucket=versioned, Key="k", Body=data)
            with lock:
                made[answer["VersionId"]] = data

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    s3 = server.client()
    versions, _ = listed(s3, versioned)
    assert {version for _, version, _ in versions} == made.keys() and len(made) == 160
    assert [latest for *_, latest in versions] == [True] + [False] * 159
    for version, data in made.items():
        assert s3.get_object(Bucket=versioned, Key="k", VersionId=version)["Body"].read() == data


# VE05, VE14
def test_versions_and_markers_survive_a_kill(new_server):
    server = new_server()
    server.start()
    s3 = server.client()
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=b"null")
    set_versioning(s3, "kept")
    made = {"null": b"null"}
    for number, size in enumerate((10, 100_000, 10, 1 * MIB)):
        data = content(number, size)
        made[s3.put_object(Bucket="kept", Key="k", Body=data)["VersionId"]] = data
    marker = s3.delete_object(Bucket="kept", Key="k")["VersionId"]
    before = listed(s3, "kept")
    server.kill()
    server.start()
    s3 = server.client(retries=3)
    assert listed(s3, "kept") == before
    assert s3.get_bucket_versioning(Bucket="kept")["Status"] == "Enabled"
    for version, data in made.items():
        assert s3.get_object(Bucket="kept", Key="k", VersionId=version)["Body"].read() == data
    s3.delete_object(Bucket="kept", Key="k", VersionId=marker)
    newest = [version for _, version, _ in before[0]][0]
    assert s3.get_object(Bucket="kept", Key="k")["VersionId"] == newest
    after = s3.put_object(Bucket="kept", Key="k", Body=b"after")["VersionId"]
    assert after > max(made.keys() - {"null"}) and after > marker
