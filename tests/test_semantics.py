"""The examples of docs/semantics.md, each a test of the same words."""

import hashlib
import http.client
import re
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import requests
from botocore.exceptions import ClientError

from harness.content import KIB, MIB, content, digest
from harness.server import Server

DOCUMENT = Path(__file__).resolve().parents[1] / "docs/semantics.md"
PART_SIZE = 5 * MIB


def slug(sentence):
    return "test_" + re.sub(r"[^a-z0-9]+", "_", sentence.lower()).strip("_")


def test_every_example_is_a_test_and_every_test_an_example():
    examples = {slug(line[4:]) for line in DOCUMENT.read_text().splitlines() if line.startswith("### ")}
    tests = {name for name in globals() if name.startswith("test_")}
    tests.remove("test_every_example_is_a_test_and_every_test_an_example")
    assert examples == tests


def refused(call, **arguments):
    """Calls and demands an error; returns its status and code."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def body(s3, bucket, key, **options):
    return s3.get_object(Bucket=bucket, Key=key, **options)["Body"].read()


def keys(s3, bucket, **options):
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, **options).get("Contents", [])]


def upload_parts(s3, bucket, key, parts):
    """Starts an upload; `parts` maps numbers to bytes. Returns its target and ETags."""
    target = {"Bucket": bucket, "Key": key}
    target["UploadId"] = s3.create_multipart_upload(**target)["UploadId"]
    etags = {n: s3.upload_part(**target, PartNumber=n, Body=data)["ETag"] for n, data in parts.items()}
    return target, etags


def complete(s3, target, etags):
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in etags.items()]
    return s3.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})


# -- reading and writing


# PR08
def test_a_put_is_visible_to_the_next_read_and_the_next_list(s3, bucket):
    for number in range(30):
        s3.put_object(Bucket=bucket, Key=f"{number:02}", Body=b"%d" % number)
        assert body(s3, bucket, f"{number:02}") == b"%d" % number
        assert keys(s3, bucket)[-1] == f"{number:02}"


def test_a_second_put_replaces_the_first(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"one" * 100_000, Metadata={"a": "1"}, ContentType="text/one")
    s3.put_object(Bucket=bucket, Key="k", Body=b"two")
    got = s3.get_object(Bucket=bucket, Key="k")
    assert (got["Body"].read(), got["Metadata"], got["ContentLength"]) == (b"two", {}, 3)
    assert got["ContentType"] != "text/one"


def test_a_failed_put_leaves_the_old_object(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"new", ChecksumCRC32="AAAAAA==")[0] == 400
    assert body(s3, bucket, "k") == b"old"
    signer = server.client(signature_version="s3v4")
    url = signer.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    parts = urllib.parse.urlsplit(url)
    for size in (100, 1 * MIB):
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        connection.putrequest("PUT", f"{parts.path}?{parts.query}")
        connection.putheader("Content-Length", str(size))
        connection.endheaders()
        connection.send(b"x" * (size // 2))
        connection.close()
    time.sleep(0.3)
    assert body(s3, bucket, "k") == b"old"


# PR08
def test_a_delete_is_visible_to_the_next_read_and_the_next_list(s3, bucket):
    for size in (1, 100 * KIB):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x" * size)
        s3.delete_object(Bucket=bucket, Key="k")
        assert refused(s3.get_object, Bucket=bucket, Key="k") == (404, "NoSuchKey")
        assert keys(s3, bucket) == []


def test_deleting_a_missing_key_succeeds(s3, bucket):
    for _ in range(2):
        answer = s3.delete_object(Bucket=bucket, Key="none")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.delete_object, Bucket="no-such-bucket", Key="none") == (404, "NoSuchBucket")


def test_a_read_of_a_missing_key_says_nosuchkey(s3, bucket):
    assert refused(s3.get_object, Bucket=bucket, Key="none") == (404, "NoSuchKey")
    assert refused(s3.head_object, Bucket=bucket, Key="none") == (404, "404")


def test_the_etag_of_a_simple_put_is_the_md5_of_its_bytes(s3, bucket):
    for size in (0, 5, 1 * MIB):
        data = content("etag", size)
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        assert s3.put_object(Bucket=bucket, Key="k", Body=data)["ETag"] == etag
        assert s3.head_object(Bucket=bucket, Key="k")["ETag"] == etag


def test_the_etag_of_a_multipart_object_ends_in_its_number_of_parts(s3, bucket):
    parts = {1: content(1, PART_SIZE), 2: content(2, PART_SIZE), 3: b"end"}
    target, etags = upload_parts(s3, bucket, "k", parts)
    complete(s3, target, etags)
    joined = b"".join(hashlib.md5(data).digest() for data in parts.values())
    assert s3.head_object(Bucket=bucket, Key="k")["ETag"] == f'"{hashlib.md5(joined).hexdigest()}-3"'


def test_an_object_keeps_the_metadata_it_was_put_with(s3, bucket):
    options = {
        "ContentType": "text/x-a", "CacheControl": "no-cache", "ContentDisposition": "inline",
        "ContentEncoding": "gzip", "ContentLanguage": "de",
    }
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"Mixed-Case": "Value"}, **options)
    for call in (s3.head_object, s3.get_object):
        got = call(Bucket=bucket, Key="k")
        assert {name: got[name] for name in options} == options
        assert got["Metadata"] == {"mixed-case": "Value"}


def test_an_object_without_a_content_type_is_served_as_binary(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.head_object(Bucket=bucket, Key="k")["ContentType"] == "binary/octet-stream"


def test_last_modified_has_whole_seconds_and_does_not_run_ahead(s3, bucket):
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    got = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert got.microsecond == 0
    assert before <= got <= datetime.now(timezone.utc)


def test_an_empty_object_is_an_object(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert body(s3, bucket, "k") == b""
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["Size"] == 0


# -- conditions


def test_if_none_match_star_puts_an_object_only_if_there_is_none(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    again = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*")
    assert again == (412, "PreconditionFailed")
    assert body(s3, bucket, "k") == b"first"
    s3.delete_object(Bucket=bucket, Key="k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"third", IfNoneMatch="*")


# H19, CO06, attack 46
@pytest.mark.parametrize("size", [10, 50 * KIB])
def test_of_many_puts_with_if_none_match_star_exactly_one_wins(server, bucket, size):
    s3 = server.client()

    def put(number):
        try:
            s3.put_object(Bucket=bucket, Key="k", Body=content(number, size), IfNoneMatch="*")
            return number
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            assert status in (409, 412), error
            return None

    with ThreadPoolExecutor(32) as pool:
        winners = [number for number in pool.map(put, range(100)) if number is not None]
    assert len(winners) == 1
    assert body(s3, bucket, "k") == content(winners[0], size)


def test_if_match_puts_an_object_only_over_the_one_it_names(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["ETag"]
    other = '"00000000000000000000000000000000"'
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x", IfMatch=other) == (412, "PreconditionFailed")
    s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfMatch=etag)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x", IfMatch=etag) == (412, "PreconditionFailed")
    assert refused(s3.put_object, Bucket=bucket, Key="none", Body=b"x", IfMatch=etag) == (404, "NoSuchKey")
    assert body(s3, bucket, "k") == b"two"


def test_a_read_with_if_match_of_another_etag_is_refused(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    other = '"00000000000000000000000000000000"'
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfMatch=other) == (412, "PreconditionFailed")
    assert body(s3, bucket, "k", IfMatch=etag) == b"x"


def test_a_read_with_if_none_match_of_the_same_etag_says_not_modified(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=etag)[0] == 304
    assert refused(s3.head_object, Bucket=bucket, Key="k", IfNoneMatch=etag)[0] == 304
    assert body(s3, bucket, "k", IfNoneMatch='"00000000000000000000000000000000"') == b"x"


def test_a_read_with_if_modified_since_of_a_later_time_says_not_modified(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    written = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    before, after = written - timedelta(hours=1), written
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfModifiedSince=after)[0] == 304
    assert body(s3, bucket, "k", IfModifiedSince=before) == b"x"
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfUnmodifiedSince=before)[0] == 412
    assert body(s3, bucket, "k", IfUnmodifiedSince=after) == b"x"


# -- ranges


def test_a_range_gives_exactly_its_bytes(s3, bucket):
    data = content("range", 200 * KIB)
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    got = s3.get_object(Bucket=bucket, Key="k", Range="bytes=65535-65537")
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes 65535-65537/{len(data)}"
    assert got["Body"].read() == data[65535:65538]
    assert body(s3, bucket, "k", Range="bytes=1000-99999999") == data[1000:]


def test_a_suffix_range_gives_the_last_bytes(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    assert body(s3, bucket, "k", Range="bytes=-3") == b"789"
    assert body(s3, bucket, "k", Range="bytes=-30") == b"0123456789"


def test_a_range_behind_the_end_is_refused(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    assert refused(s3.get_object, Bucket=bucket, Key="k", Range="bytes=10-") == (416, "InvalidRange")
    assert refused(s3.get_object, Bucket=bucket, Key="empty", Range="bytes=0-0") == (416, "InvalidRange")


@pytest.mark.parametrize("value", ["bytes=a-b", "lines=0-1", "bytes=5-2"])
def test_a_range_that_does_not_parse_is_ignored(s3, bucket, value):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    got = s3.get_object(Bucket=bucket, Key="k", Range=value)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert got["Body"].read() == b"0123456789"


# -- lists


def test_keys_are_listed_in_the_order_of_their_utf_8_bytes(s3, bucket):
    names = ["b", "a", "B", "ä", "z", "a/b", "a-b", "a b", "\uffee", "\U0001f600", "aa"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=b"")
    assert keys(s3, bucket) == sorted(names, key=str.encode)


def test_a_page_shows_at_most_a_thousand_keys(server, bucket):
    s3 = server.client()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: s3.put_object(Bucket=bucket, Key=f"{n:04}", Body=b""), range(1003)))
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=5000)
    assert (len(page["Contents"]), page["IsTruncated"], page["KeyCount"]) == (1000, True, 1000)
    rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=page["NextContinuationToken"])
    assert [entry["Key"] for entry in rest["Contents"]] == ["1000", "1001", "1002"]
    assert rest["IsTruncated"] is False


def test_a_page_of_zero_keys_is_empty_and_not_truncated(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert (page["KeyCount"], page["IsTruncated"], "Contents" in page) == (0, False, False)


def test_a_rolled_up_prefix_counts_as_one_entry_of_a_page(s3, bucket):
    for name in ("a/1", "a/2", "a/3", "b", "c/1", "c/2", "d"):
        s3.put_object(Bucket=bucket, Key=name, Body=b"")
    page = s3.list_objects_v2(Bucket=bucket, Delimiter="/", MaxKeys=2)
    assert [entry["Prefix"] for entry in page["CommonPrefixes"]] == ["a/"]
    assert [entry["Key"] for entry in page["Contents"]] == ["b"]
    assert (page["KeyCount"], page["IsTruncated"]) == (2, True)
    page = s3.list_objects_v2(Bucket=bucket, Delimiter="/", ContinuationToken=page["NextContinuationToken"])
    assert [entry["Prefix"] for entry in page["CommonPrefixes"]] == ["c/"]
    assert [entry["Key"] for entry in page["Contents"]] == ["d"]


def test_a_list_continues_after_its_token_even_when_that_key_was_deleted(s3, bucket):
    for name in "abcdef":
        s3.put_object(Bucket=bucket, Key=name, Body=b"")
    token = s3.list_objects_v2(Bucket=bucket, MaxKeys=3)["NextContinuationToken"]
    for name in "cd":
        s3.delete_object(Bucket=bucket, Key=name)
    assert keys(s3, bucket, ContinuationToken=token) == ["e", "f"]


def test_a_wrong_continuation_token_is_refused(s3, bucket):
    assert refused(s3.list_objects_v2, Bucket=bucket, ContinuationToken="\x01!") == (400, "InvalidArgument")


def test_a_list_can_encode_its_keys_for_the_url(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a b/ü\x07", Body=b"")
    # The SDK asks for the encoding by itself and decodes; asked for by name, it does not.
    assert keys(s3, bucket) == ["a b/ü\x07"]
    raw = s3.list_objects_v2(Bucket=bucket, EncodingType="url")
    assert urllib.parse.unquote_plus(raw["Contents"][0]["Key"]) == "a b/ü\x07"
    assert raw["EncodingType"] == "url"


# -- copies


@pytest.mark.parametrize("size", [10, 300 * KIB])
def test_a_copy_keeps_its_own_bytes_when_the_source_is_deleted(s3, bucket, size):
    data = content("copy", size)
    s3.put_object(Bucket=bucket, Key="from", Body=data)
    s3.copy_object(Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "from"})
    s3.delete_object(Bucket=bucket, Key="from")
    assert digest(body(s3, bucket, "to")) == digest(data)


def test_a_copy_with_the_directive_replace_has_new_metadata(s3, bucket):
    s3.put_object(Bucket=bucket, Key="from", Body=b"x", Metadata={"a": "1"}, ContentType="text/a")
    source = {"Bucket": bucket, "Key": "from"}
    s3.copy_object(Bucket=bucket, Key="kept", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="new", CopySource=source, Metadata={"b": "2"}, MetadataDirective="REPLACE")
    assert s3.head_object(Bucket=bucket, Key="kept")["Metadata"] == {"a": "1"}
    assert s3.head_object(Bucket=bucket, Key="new")["Metadata"] == {"b": "2"}


def test_a_copy_onto_itself_needs_new_metadata(s3, bucket):
    for size in (1, 300 * KIB):
        data = content("self", size)
        s3.put_object(Bucket=bucket, Key="k", Body=data, Metadata={"a": "1"})
        own = {"Bucket": bucket, "Key": "k", "CopySource": {"Bucket": bucket, "Key": "k"}}
        assert refused(s3.copy_object, **own) == (400, "InvalidRequest")
        s3.copy_object(**own, Metadata={"b": "2"}, MetadataDirective="REPLACE")
        got = s3.get_object(Bucket=bucket, Key="k")
        assert (got["Metadata"], got["Body"].read()) == ({"b": "2"}, data)


def test_a_copy_of_a_missing_source_says_nosuchkey(s3, bucket):
    s3.put_object(Bucket=bucket, Key="to", Body=b"kept")
    missing = {"Bucket": bucket, "Key": "none"}
    assert refused(s3.copy_object, Bucket=bucket, Key="to", CopySource=missing) == (404, "NoSuchKey")
    assert body(s3, bucket, "to") == b"kept"


# -- multipart uploads


def test_an_upload_is_not_an_object_until_it_completes(s3, bucket):
    target, etags = upload_parts(s3, bucket, "k", {1: b"x"})
    assert refused(s3.get_object, Bucket=bucket, Key="k") == (404, "NoSuchKey")
    assert keys(s3, bucket) == []
    assert [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [target["UploadId"]]
    assert [p["PartNumber"] for p in s3.list_parts(**target)["Parts"]] == [1]
    complete(s3, target, etags)
    assert body(s3, bucket, "k") == b"x"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_a_part_uploaded_again_replaces_the_first(s3, bucket):
    target, old = upload_parts(s3, bucket, "k", {1: b"old"})
    new = {1: s3.upload_part(**target, PartNumber=1, Body=b"new")["ETag"]}
    assert refused(complete, s3=s3, target=target, etags=old) == (400, "InvalidPart")
    complete(s3, target, new)
    assert body(s3, bucket, "k") == b"new"


def test_parts_of_an_upload_may_be_named_with_gaps(s3, bucket):
    parts = {1: content(1, PART_SIZE), 5: content(5, PART_SIZE), 7: b"dropped", 9: b"end"}
    target, etags = upload_parts(s3, bucket, "k", parts)
    del etags[7]
    complete(s3, target, etags)
    assert digest(body(s3, bucket, "k")) == digest(parts[1] + parts[5] + parts[9])


def test_every_part_but_the_last_has_at_least_five_mebibytes(s3, bucket):
    target, etags = upload_parts(s3, bucket, "k", {1: b"x" * (PART_SIZE - 1), 2: b"end"})
    assert refused(complete, s3=s3, target=target, etags=etags) == (400, "EntityTooSmall")
    assert len(s3.list_parts(**target)["Parts"]) == 2


def test_a_completed_upload_is_gone(s3, bucket):
    target, etags = upload_parts(s3, bucket, "k", {1: b"x"})
    first = complete(s3, target, etags)
    assert refused(s3.upload_part, **target, PartNumber=2, Body=b"y") == (404, "NoSuchUpload")
    try:
        assert complete(s3, target, etags)["ETag"] == first["ETag"]
    except ClientError as error:
        assert error.response["Error"]["Code"] == "NoSuchUpload"
    assert body(s3, bucket, "k") == b"x"


def test_an_upload_survives_a_restart(new_server):
    server = new_server()
    server.start()
    server.client().create_bucket(Bucket="objects")
    first = content(1, PART_SIZE)
    target, etags = upload_parts(server.client(), "objects", "k", {1: first})
    for stop in (server.stop, server.kill):
        stop()
        server.start()
    s3 = server.client()
    etags[2] = s3.upload_part(**target, PartNumber=2, Body=b"end")["ETag"]
    complete(s3, target, etags)
    assert digest(body(s3, "objects", "k")) == digest(first + b"end")


# -- tags and configurations


def tags(s3, bucket, key):
    return {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}


def tag_set(**values):
    return {"TagSet": [{"Key": key, "Value": value} for key, value in values.items()]}


# VE30
def test_tags_belong_to_one_version_and_changing_them_changes_nothing_else_of_it(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x", Tagging="a=1")
    before = s3.head_object(Bucket=bucket, Key="key")
    time.sleep(1.1)
    s3.put_object_tagging(Bucket=bucket, Key="key", Tagging=tag_set(b="2"))
    after = s3.head_object(Bucket=bucket, Key="key")
    assert (after["ETag"], after["LastModified"]) == (before["ETag"], before["LastModified"])
    assert tags(s3, bucket, "key") == {"b": "2"}
    eleven = tag_set(**{f"k{number}": "" for number in range(11)})
    put = {"Bucket": bucket, "Key": "key", "Tagging": eleven}
    assert refused(s3.put_object_tagging, **put) == (400, "BadRequest")
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    assert tags(s3, bucket, "key") == {}


# HD06
def test_a_copy_has_the_tags_of_its_source_unless_it_brings_its_own(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x", Tagging="a=1")
    copy = {"Bucket": bucket, "CopySource": {"Bucket": bucket, "Key": "key"}}
    s3.copy_object(Key="same", **copy)
    s3.copy_object(Key="other", TaggingDirective="REPLACE", Tagging="b=2", **copy)
    assert tags(s3, bucket, "same") == {"a": "1"}
    assert tags(s3, bucket, "other") == {"b": "2"}


def cors(origin):
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": [origin]}
    return {"CORSConfiguration": {"CORSRules": [rule]}}


# BK06
def test_a_bucket_made_again_has_no_configuration_of_the_one_before(s3, bucket):
    s3.put_bucket_cors(Bucket=bucket, **cors("*"))
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set(a="1"))
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert refused(s3.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")
    assert refused(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")


# PR05
def test_a_configuration_is_stored_whole_or_refused(s3, bucket):
    s3.put_bucket_cors(Bucket=bucket, **cors("http://a"))
    assert refused(s3.put_bucket_cors, Bucket=bucket, **cors("*.*")) == (400, "InvalidRequest")
    found = s3.get_bucket_cors(Bucket=bucket)
    assert found["CORSRules"][0]["AllowedOrigins"] == ["http://a"]


def visit(server, method, path, headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def test_a_browser_is_answered_by_the_cors_rules_of_the_bucket(server, s3, bucket):
    s3.put_bucket_cors(Bucket=bucket, **cors("http://a"))
    for origin, status, allowed in [("http://a", 200, "http://a"), ("http://b", 403, None)]:
        asks = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        answer = visit(server, "OPTIONS", f"/{bucket}/key", asks)
        assert (answer.status, answer.getheader("access-control-allow-origin")) == (status, allowed)
        answer = visit(server, "GET", f"/{bucket}/key", {"Origin": origin})
        assert (answer.status, answer.getheader("access-control-allow-origin")) == (403, allowed)


# BK01
def test_a_website_shows_what_everyone_may_read_and_that_is_nothing_yet(new_server):
    server = new_server(arguments=["--website-domain", "web.test"]).start()
    s3 = server.client()
    s3.create_bucket(Bucket="site")
    rule = {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "new/"}}
    website = {"IndexDocument": {"Suffix": "index.html"}, "RoutingRules": [rule]}
    s3.put_bucket_website(Bucket="site", WebsiteConfiguration=website)
    s3.put_object(Bucket="site", Key="index.html", Body=b"x")
    host = {"Host": "site.web.test"}
    assert [visit(server, "GET", path, host).status for path in ["/", "/none"]] == [403, 403]
    moved = visit(server, "GET", "/old/page", host)
    assert (moved.status, moved.getheader("location")) == (301, "/new/page")


# -- versions


def versioned(s3, bucket, status="Enabled"):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def put_version(s3, bucket, data):
    return s3.put_object(Bucket=bucket, Key="k", Body=data).get("VersionId")


def versions(s3, bucket, **options):
    """Id, whether latest, whether a marker: as boto3 gives them, versions before markers."""
    page = s3.list_object_versions(Bucket=bucket, **options)
    entries = [(e["VersionId"], e["IsLatest"], False) for e in page.get("Versions", [])]
    return entries + [(e["VersionId"], e["IsLatest"], True) for e in page.get("DeleteMarkers", [])]


def test_a_versioned_bucket_keeps_what_was_overwritten(s3, bucket):
    versioned(s3, bucket)
    data = {put_version(s3, bucket, text): text for text in (b"one", b"two" * 100_000, b"three")}
    assert len(data) == 3
    for version, text in data.items():
        assert body(s3, bucket, "k", VersionId=version) == text
    assert body(s3, bucket, "k") == b"three"


def test_an_object_from_before_versioning_is_the_version_null(s3, bucket):
    assert put_version(s3, bucket, b"old") is None
    versioned(s3, bucket)
    assert s3.head_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    put_version(s3, bucket, b"new")
    assert body(s3, bucket, "k", VersionId="null") == b"old"


def test_a_delete_in_a_versioned_bucket_leaves_a_marker_and_keeps_the_data(s3, bucket):
    versioned(s3, bucket)
    version = put_version(s3, bucket, b"data")
    deleted = s3.delete_object(Bucket=bucket, Key="k")
    assert deleted["DeleteMarker"] is True
    assert refused(s3.get_object, Bucket=bucket, Key="k") == (404, "NoSuchKey")
    marker = {"Bucket": bucket, "Key": "k", "VersionId": deleted["VersionId"]}
    assert refused(s3.get_object, **marker) == (405, "MethodNotAllowed")
    assert keys(s3, bucket) == []
    assert body(s3, bucket, "k", VersionId=version) == b"data"
    s3.delete_object(**marker)
    assert body(s3, bucket, "k") == b"data"


def test_a_delete_by_version_id_is_for_good(s3, bucket):
    versioned(s3, bucket)
    first, second = (put_version(s3, bucket, text) for text in (b"1", b"2"))
    s3.delete_object(Bucket=bucket, Key="k", VersionId=second)
    assert body(s3, bucket, "k") == b"1"
    gone = {"Key": "k", "VersionId": second}
    assert refused(s3.get_object, Bucket=bucket, **gone) == (404, "NoSuchVersion")
    s3.delete_object(Bucket=bucket, **gone)
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [gone, {"Key": "k", "VersionId": first}]})
    assert [error["Code"] for error in answer["Errors"]] == ["NoSuchVersion"]
    assert versions(s3, bucket) == []


def test_suspended_versioning_writes_and_deletes_the_version_null_only(s3, bucket):
    versioned(s3, bucket)
    kept = put_version(s3, bucket, b"kept")
    versioned(s3, bucket, "Suspended")
    for text in (b"null", b"null again"):
        assert put_version(s3, bucket, text) is None
    assert versions(s3, bucket) == [("null", True, False), (kept, False, False)]
    deleted = s3.delete_object(Bucket=bucket, Key="k")
    assert (deleted["VersionId"], deleted["DeleteMarker"]) == ("null", True)
    assert versions(s3, bucket) == [(kept, False, False), ("null", True, True)]
    assert body(s3, bucket, "k", VersionId=kept) == b"kept"


def test_an_old_version_is_restored_by_a_copy_onto_its_key(s3, bucket):
    versioned(s3, bucket)
    old = put_version(s3, bucket, b"old")
    put_version(s3, bucket, b"new")
    source = {"Bucket": bucket, "Key": "k", "VersionId": old}
    copied = s3.copy_object(Bucket=bucket, Key="k", CopySource=source)
    assert copied["CopySourceVersionId"] == old
    assert body(s3, bucket, "k") == b"old"
    assert len(versions(s3, bucket)) == 3


def test_versions_are_listed_by_key_and_the_newest_first(s3, bucket):
    versioned(s3, bucket)
    ids = [put_version(s3, bucket, b"%d" % number) for number in range(5)]
    s3.put_object(Bucket=bucket, Key="l", Body=b"x")
    listed = []
    for page in s3.get_paginator("list_object_versions").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 2}
    ):
        listed += [(e["Key"], e["VersionId"], e["IsLatest"]) for e in page["Versions"]]
    assert listed[:5] == [("k", version, version == ids[-1]) for version in reversed(ids)]
    assert listed[5][0] == "l" and listed[5][2]


def test_a_conditional_delete_looks_at_the_current_version(s3, bucket):
    versioned(s3, bucket)
    old = s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    new = s3.put_object(Bucket=bucket, Key="k", Body=b"new")
    target = {"Bucket": bucket, "Key": "k"}
    for options in ({}, {"VersionId": old["VersionId"]}):
        answer = refused(s3.delete_object, **target, **options, IfMatch=old["ETag"])
        assert answer == (412, "PreconditionFailed")
    assert s3.delete_object(**target, IfMatch=new["ETag"])["DeleteMarker"]
    assert refused(s3.delete_object, **target, IfMatch="*")[0] == 412


# -- buckets


def test_a_bucket_with_an_object_can_not_be_deleted(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert refused(s3.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")
    assert body(s3, bucket, "k") == b"x"
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)


# H13, H14
def test_a_bucket_made_again_is_empty(server):
    s3 = server.client()

    def put(number):
        try:
            s3.put_object(Bucket="again", Key=f"{number}", Body=b"x")
            return number
        except ClientError as error:
            assert error.response["Error"]["Code"] in ("NoSuchBucket", "OperationAborted"), error
            return None

    for _ in range(5):
        s3.create_bucket(Bucket="again")
        with ThreadPoolExecutor(8) as pool:
            puts = [pool.submit(put, number) for number in range(20)]
            try:
                s3.delete_bucket(Bucket="again")
                deleted = True
            except ClientError as error:
                assert error.response["Error"]["Code"] == "BucketNotEmpty", error
                deleted = False
            stored = {f"{n}" for n in (future.result() for future in puts) if n is not None}
        if deleted:
            # No put was acknowledged into a bucket that then went away.
            assert stored == set()
            s3.create_bucket(Bucket="again")
        assert set(keys(s3, "again")) == stored
        for key in stored:
            s3.delete_object(Bucket="again", Key=key)
        s3.delete_bucket(Bucket="again")


def test_making_a_bucket_that_is_already_yours_succeeds_or_says_so(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    try:
        s3.create_bucket(Bucket=bucket)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "BucketAlreadyOwnedByYou"
    assert body(s3, bucket, "k") == b"x"


# BK04, attack 28
@pytest.mark.parametrize("name", ["Upper", "ab", "a" * 64, "under_score", "192.168.0.1", "a..b", "-a", "a-", "xn--a"])
def test_a_bucket_name_that_breaks_the_rules_is_refused(server, name):
    s3 = server.client()
    from botocore.handlers import validate_bucket_name

    s3.meta.events.unregister("before-parameter-build.s3", validate_bucket_name)
    assert refused(s3.create_bucket, Bucket=name) == (400, "InvalidBucketName")


# -- what is not there


# -- accounts


SECOND = ("second-account-key", "secret-of-the-second-account")
SECOND_ID = "111122223333"


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """A server with a second account, a client of root's and one of the account's."""
    folder = tmp_path_factory.mktemp("accounts")
    config = folder / "settings.toml"
    config.touch(0o600)
    config.write_text(
        f'[[account]]\nid = "{SECOND_ID}"\n[[account.key]]\naccess_key = "{SECOND[0]}"\n'
        f'secret_key = "{SECOND[1]}"\n'
    )
    server = Server(folder / "store", arguments=["--config", str(config)]).start()
    root, other = server.client(), server.client(SECOND)
    root.create_bucket(Bucket="of-root")
    root.put_object(Bucket="of-root", Key="k", Body=b"x")
    other.create_bucket(Bucket="of-second")
    other.put_object(Bucket="of-second", Key="k", Body=b"y")
    yield root, other
    server.stop()
    server.check_log()


def test_an_account_reaches_its_own_buckets_and_no_other(second):
    root, other = second
    for key in ("k", "missing"):
        assert refused(other.get_object, Bucket="of-root", Key=key) == (403, "AccessDenied")
    assert refused(other.put_object, Bucket="of-root", Key="k", Body=b"z") == (403, "AccessDenied")
    assert refused(root.list_objects_v2, Bucket="of-second") == (403, "AccessDenied")
    assert root.get_object(Bucket="of-root", Key="k")["Body"].read() == b"x"


def test_a_list_of_buckets_shows_those_of_the_account_that_asks(second):
    owners = set()
    for client, name in zip(second, ("of-root", "of-second"), strict=True):
        listed = client.list_buckets()
        assert [bucket["Name"] for bucket in listed["Buckets"]] == [name]
        owners.add(listed["Owner"]["ID"])
    assert len(owners) == 2


def test_the_source_of_a_copy_must_belong_to_the_account_that_copies(second):
    _, other = second
    source = {"Bucket": "of-root", "Key": "k"}
    assert refused(other.copy_object, Bucket="of-second", Key="k", CopySource=source) == (403, "AccessDenied")
    upload = other.create_multipart_upload(Bucket="of-second", Key="big")["UploadId"]
    part = {"Bucket": "of-second", "Key": "big", "UploadId": upload, "PartNumber": 1}
    assert refused(other.upload_part_copy, **part, CopySource=source) == (403, "AccessDenied")
    assert other.get_object(Bucket="of-second", Key="k")["Body"].read() == b"y"


def test_the_expected_bucket_owner_is_held_against_the_owning_account(second):
    _, other = second
    what = {"Bucket": "of-second", "Key": "k"}
    assert other.get_object(**what, ExpectedBucketOwner=SECOND_ID)["Body"].read() == b"y"
    assert refused(other.get_object, **what, ExpectedBucketOwner="000000000000") == (403, "AccessDenied")
    malformed = (400, "InvalidBucketOwnerAWSAccountID")
    assert refused(other.get_object, **what, ExpectedBucketOwner="11112222333") == malformed


def test_the_access_control_list_says_that_the_owner_has_full_control(second):
    _, other = second
    owner = other.list_buckets()["Owner"]["ID"]
    for acl in (other.get_bucket_acl(Bucket="of-second"), other.get_object_acl(Bucket="of-second", Key="k")):
        assert acl["Owner"]["ID"] == owner
        grants = [(grant["Grantee"]["ID"], grant["Permission"]) for grant in acl["Grants"]]
        assert grants == [(owner, "FULL_CONTROL")]


def test_a_request_that_sets_another_access_control_list_is_refused(s3, bucket):
    unsupported = (400, "AccessControlListNotSupported")
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x", ACL="public-read") == unsupported
    assert refused(s3.put_bucket_acl, Bucket=bucket, ACL="public-read") == unsupported
    made = refused(s3.create_bucket, Bucket="not-made-public", ACL="public-read")
    assert made == (400, "InvalidBucketAclWithObjectOwnership")
    by_email = refused(s3.put_bucket_acl, Bucket=bucket, GrantRead='emailAddress="a@example.com"')
    assert by_email == (405, "MethodNotAllowed")
    for acl in ("private", "bucket-owner-full-control"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL=acl)
        s3.put_object_acl(Bucket=bucket, Key="k", ACL=acl)


def test_a_form_stores_its_file_when_its_policy_allows_it(server, bucket):
    signer = server.client(signature_version="s3v4")
    post = signer.generate_presigned_post(bucket, "user/${filename}", Conditions=[["content-length-range", 1, 10]])
    assert requests.post(post["url"], post["fields"], files={"file": ("a.txt", b"content")}).status_code == 204
    assert signer.get_object(Bucket=bucket, Key="user/a.txt")["Body"].read() == b"content"
    large = requests.post(post["url"], post["fields"], files={"file": ("b.txt", b"x" * 100_000)})
    assert large.status_code == 400 and "EntityTooLarge" in large.text
    more = requests.post(post["url"], {**post["fields"], "acl": "private"}, files={"file": ("b.txt", b"x")})
    assert more.status_code == 403 and "AccessDenied" in more.text
    assert signer.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_an_operation_that_is_not_there_says_notimplemented(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    policy = {"Bucket": bucket, "Policy": "{}"}
    assert refused(s3.put_bucket_policy, **policy) == (501, "NotImplemented")
    assert refused(s3.get_object_torrent, Bucket=bucket, Key="k") == (501, "NotImplemented")


# -- Object Lock


def locked_bucket(s3, bucket):
    name = f"{bucket}-locked"[-63:]
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def in_future(**period):
    return (datetime.now(timezone.utc) + timedelta(**period)).replace(microsecond=0)


def put_locked(s3, name, mode, until, key="k"):
    put = s3.put_object(Bucket=name, Key=key, Body=b"locked", ObjectLockMode=mode, ObjectLockRetainUntilDate=until)
    return {"Bucket": name, "Key": key, "VersionId": put["VersionId"]}


def test_a_bucket_made_with_object_lock_keeps_its_versions_for_good(s3, bucket):
    name = locked_bucket(s3, bucket)
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    suspend = {"Bucket": name, "VersioningConfiguration": {"Status": "Suspended"}}
    assert refused(s3.put_bucket_versioning, **suspend) == (409, "InvalidBucketState")
    again = {"Bucket": bucket, "ObjectLockEnabledForBucket": True}
    assert refused(s3.create_bucket, **again) == (409, "BucketAlreadyOwnedByYou")


def test_a_locked_version_can_not_be_deleted_and_the_key_takes_new_ones(s3, bucket):
    name = locked_bucket(s3, bucket)
    version = put_locked(s3, name, "COMPLIANCE", in_future(days=1))
    assert refused(s3.delete_object, **version) == (403, "AccessDenied")
    assert refused(s3.delete_object, **version, IfMatch="x") == (403, "AccessDenied")
    s3.put_object(Bucket=name, Key="k", Body=b"new")
    assert s3.delete_object(Bucket=name, Key="k")["DeleteMarker"]
    assert s3.get_object(**version)["Body"].read() == b"locked"


def test_governance_is_passed_by_with_a_header_and_compliance_by_nobody(s3, bucket):
    name = locked_bucket(s3, bucket)
    kept = put_locked(s3, name, "COMPLIANCE", in_future(days=1), "kept")
    gone = put_locked(s3, name, "GOVERNANCE", in_future(days=1), "gone")
    assert refused(s3.delete_object, **gone) == (403, "AccessDenied")
    s3.delete_object(**gone, BypassGovernanceRetention=True)
    assert refused(s3.delete_object, **kept, BypassGovernanceRetention=True) == (403, "AccessDenied")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    named = {"Bucket": bucket, "Key": "k", "BypassGovernanceRetention": False}
    assert refused(s3.delete_object, **named) == (400, "InvalidArgument")


def test_a_retention_can_be_extended_and_not_shortened(s3, bucket):
    name = locked_bucket(s3, bucket)
    for mode in ("COMPLIANCE", "GOVERNANCE"):
        version = put_locked(s3, name, mode, in_future(days=2))
        shorter = {"Mode": mode, "RetainUntilDate": in_future(days=1)}
        assert refused(s3.put_object_retention, **version, Retention=shorter) == (403, "AccessDenied")
        longer = {"Mode": mode, "RetainUntilDate": in_future(days=3)}
        s3.put_object_retention(**version, Retention=longer)
        assert s3.get_object_retention(**version)["Retention"] == longer


def test_a_legal_hold_has_no_end_and_is_lifted_by_who_set_it(s3, bucket):
    name = locked_bucket(s3, bucket)
    put = s3.put_object(Bucket=name, Key="k", Body=b"x", ObjectLockLegalHoldStatus="ON")
    version = {"Bucket": name, "Key": "k", "VersionId": put["VersionId"]}
    assert refused(s3.delete_object, **version) == (403, "AccessDenied")
    s3.put_object_legal_hold(**version, LegalHold={"Status": "OFF"})
    assert s3.head_object(**version)["ObjectLockLegalHoldStatus"] == "OFF"
    s3.delete_object(**version)


def test_a_default_retention_is_given_at_the_commit(s3, bucket):
    name = locked_bucket(s3, bucket)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=configuration)
    low = in_future(days=1)
    s3.put_object(Bucket=name, Key="k", Body=b"x")
    head = s3.head_object(Bucket=name, Key="k")
    assert low <= head["ObjectLockRetainUntilDate"] <= in_future(days=1, seconds=2)
    assert head["ObjectLockMode"] == "GOVERNANCE"


def test_a_lock_ends_at_its_second(s3, bucket):
    name = locked_bucket(s3, bucket)
    until = in_future(seconds=3)
    version = put_locked(s3, name, "COMPLIANCE", until)
    assert refused(s3.delete_object, **version) == (403, "AccessDenied")
    while in_future() < until:
        time.sleep(0.1)
    assert s3.head_object(**version)["ObjectLockRetainUntilDate"] == until
    s3.delete_object(**version)
