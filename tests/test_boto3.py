"""The AWS SDK for Python with its default settings, which send checksums in trailers."""

import itertools
import socket
import urllib.error
import urllib.request

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from harness.content import KIB, MIB, content, digest
from harness.server import ACCESS_KEY, REGION, SECRET_KEY

PART_SIZE = 5 * MIB


def refused(code, call, **arguments):
    """Calls and demands the error; returns its HTTP status."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == code
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def complete_upload(s3, bucket, key, parts, **options):
    """A multipart upload of the given parts; returns the answer of its completion."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, **options)["UploadId"]
    done = []
    for number, data in enumerate(parts, 1):
        answer = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=data)
        part = {"PartNumber": number, "ETag": answer["ETag"]}
        part.update({name: value for name, value in answer.items() if name.startswith("Checksum")})
        done.append({k: v for k, v in part.items() if k != "ChecksumType"})
    return s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": done}
    )


# -- buckets


def test_a_bucket_is_created_found_listed_and_deleted(s3):
    s3.create_bucket(Bucket="first-bucket")
    s3.head_bucket(Bucket="first-bucket")
    assert "first-bucket" in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    s3.delete_bucket(Bucket="first-bucket")
    assert refused("404", s3.head_bucket, Bucket="first-bucket") == 404
    assert "first-bucket" not in [b["Name"] for b in s3.list_buckets()["Buckets"]]


def test_operations_on_a_missing_bucket_say_so(s3):
    assert refused("NoSuchBucket", s3.list_objects_v2, Bucket="no-such-bucket") == 404
    assert refused("NoSuchBucket", s3.put_object, Bucket="no-such-bucket", Key="k", Body=b"x") == 404
    assert refused("NoSuchBucket", s3.get_object, Bucket="no-such-bucket", Key="k") == 404
    assert refused("NoSuchBucket", s3.delete_bucket, Bucket="no-such-bucket") == 404


def test_names_of_health_routes_are_no_bucket_names(s3):
    for name in ("healthz", "readyz", "minio"):
        with pytest.raises(ClientError) as caught:
            s3.create_bucket(Bucket=name)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 409)


# -- objects


@pytest.mark.parametrize(
    "size",
    [0, 1, 100, 4 * KIB, 16 * KIB, 16 * KIB + 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 128 * KIB,
     1 * MIB, 1 * MIB + 1, 3 * MIB + 17, 8 * MIB, 20 * MIB],
)
def test_an_object_of_any_size_comes_back(s3, bucket, size):
    data = content(size, size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=data)
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ContentLength"], head["ETag"]) == (size, put["ETag"])
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["ETag"] == put["ETag"]
    assert digest(got["Body"].read()) == digest(data)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_a_checksum_sent_in_a_trailer_is_verified_and_returned(s3, bucket, algorithm):
    try:
        put = s3.put_object(Bucket=bucket, Key="k", Body=content(1, 300 * KIB), ChecksumAlgorithm=algorithm)
    except Exception as error:  # the SDK needs its optional C library for some algorithms
        if "MissingDependency" in type(error).__name__:
            pytest.skip(f"this SDK can not compute {algorithm}")
        raise
    field = f"Checksum{algorithm}"
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert put[field] == head[field]


def test_a_wrong_checksum_is_refused_and_nothing_is_stored(s3, bucket):
    code = refused("BadDigest", s3.put_object, Bucket=bucket, Key="k", Body=b"abc", ChecksumCRC32="AAAAAA==")
    assert code == 400
    assert refused("404", s3.head_object, Bucket=bucket, Key="k") == 404


def test_a_wrong_content_md5_is_refused_and_nothing_is_stored(s3, bucket):
    md5 = "1B2M2Y8AsgTpgAmY7PhCfg=="
    assert refused("BadDigest", s3.put_object, Bucket=bucket, Key="k", Body=b"abc", ContentMD5=md5) == 400
    assert refused("404", s3.head_object, Bucket=bucket, Key="k") == 404


def test_metadata_and_headers_come_back(s3, bucket):
    options = {
        "ContentType": "text/x-test", "CacheControl": "max-age=7", "ContentLanguage": "en",
        "ContentDisposition": "attachment", "ContentEncoding": "identity",
        "Metadata": {"colour": "blue", "empty": "", "with-dash": "a b  c"},
    }
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **options)
    for answer in (s3.head_object(Bucket=bucket, Key="k"), s3.get_object(Bucket=bucket, Key="k")):
        for name in ("ContentType", "CacheControl", "ContentLanguage", "ContentDisposition"):
            assert answer[name] == options[name]
        assert answer["Metadata"]["colour"] == "blue"
        assert answer["Metadata"]["with-dash"] == "a b  c"


@pytest.mark.parametrize(
    "key",
    ["päth/ünïcode/日本語/😀", "a b+c&d=e?f#g%h", "../../etc/passwd", "/leading", "trailing/", "double//slash",
     "dot/./dot", ".", "..", "back\\slash", "k" * 1024, "quote'\"<>", "%2e%2e%2f", "new\nline\ttab"],
)
# attack 27
def test_a_key_is_opaque(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    s3.delete_object(Bucket=bucket, Key=key)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_key_over_1024_bytes_is_refused(s3, bucket):
    assert refused("KeyTooLongError", s3.put_object, Bucket=bucket, Key="k" * 1025, Body=b"x") == 400


@pytest.mark.parametrize("size", [1000, 300 * KIB, 6 * MIB + 5])
def test_every_kind_of_range_gives_its_bytes(s3, bucket, size):
    data = content("range", size)
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    middle = size // 2
    ranges = [(0, 0), (0, size - 1), (middle, middle + 100), (size - 1, size - 1), (1, size - 2)]
    for edge in (64 * KIB, 1 * MIB, 4 * MIB):
        if edge + 1 < size:
            ranges += [(edge - 1, edge), (edge, edge), (edge - 1, edge - 1)]
    for first, last in ranges:
        got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={first}-{last}")
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert got["ContentRange"] == f"bytes {first}-{last}/{size}"
        assert got["Body"].read() == data[first : last + 1]
    assert s3.get_object(Bucket=bucket, Key="k", Range="bytes=-7")["Body"].read() == data[-7:]
    assert s3.get_object(Bucket=bucket, Key="k", Range="bytes=900-")["Body"].read() == data[900:]
    assert s3.get_object(Bucket=bucket, Key="k", Range=f"bytes=5-{size * 2}")["Body"].read() == data[5:]
    assert refused("InvalidRange", s3.get_object, Bucket=bucket, Key="k", Range=f"bytes={size}-") == 416


def test_a_copy_has_the_bytes_and_the_metadata_of_its_source(s3, bucket):
    for size in (10, 200 * KIB, 6 * MIB):
        data = content("copy", size)
        s3.put_object(Bucket=bucket, Key="from", Body=data, Metadata={"a": "1"}, ContentType="text/x-a")
        s3.copy_object(Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "from"})
        s3.delete_object(Bucket=bucket, Key="from")
        got = s3.get_object(Bucket=bucket, Key="to")
        assert digest(got["Body"].read()) == digest(data)
        assert (got["Metadata"], got["ContentType"]) == ({"a": "1"}, "text/x-a")


def test_a_copy_of_a_key_with_odd_characters(s3, bucket):
    s3.put_object(Bucket=bucket, Key="from ü+&?", Body=b"x")
    s3.copy_object(Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "from ü+&?"})
    assert s3.get_object(Bucket=bucket, Key="to")["Body"].read() == b"x"


def test_a_thousand_keys_are_deleted_in_one_request(s3, bucket):
    keys = [f"k/{number:04}" for number in range(1000)]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert sorted(entry["Key"] for entry in answer["Deleted"]) == keys
    assert "Errors" not in answer
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_quiet_bulk_delete_reports_errors_only(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "b"}], "Quiet": True})
    assert "Deleted" not in answer and "Errors" not in answer


def test_more_than_a_thousand_deletes_are_refused(s3, bucket):
    objects = [{"Key": f"{number}"} for number in range(1001)]
    assert refused("MalformedXML", s3.delete_objects, Bucket=bucket, Delete={"Objects": objects}) == 400


# -- listing


@pytest.fixture(scope="module")
def listed(server):
    """A bucket with a tree of keys, for the tests that only read it."""
    s3 = server.client()
    s3.create_bucket(Bucket="listed")
    keys = sorted(
        [f"flat-{number:03}" for number in range(60)]
        + [f"tree/{a}/{b}" for a, b in itertools.product("abcde", "1234")]
        + ["tree/direct", "tree.sibling", "ünïcode", "z z"]
    , key=lambda key: key.encode())
    for key in keys:
        s3.put_object(Bucket="listed", Key=key, Body=key.encode())
    return s3, keys


@pytest.mark.parametrize("page_size", [1, 7, 59, 1000])
@pytest.mark.parametrize("version", ["list_objects", "list_objects_v2"])
def test_pages_of_any_size_join_into_the_whole_list(listed, version, page_size):
    s3, keys = listed
    found = []
    for page in s3.get_paginator(version).paginate(Bucket="listed", PaginationConfig={"PageSize": page_size}):
        entries = page.get("Contents", [])
        assert len(entries) <= page_size
        found += [entry["Key"] for entry in entries]
    assert found == keys


@pytest.mark.parametrize("page_size", [1, 2, 3, 1000])
@pytest.mark.parametrize("prefix", ["", "tree", "tree/", "tree/a", "flat-", "nothing"])
@pytest.mark.parametrize("delimiter", ["/", "-", "e/"])
def test_a_delimiter_rolls_keys_up_once(listed, prefix, delimiter, page_size):
    if page_size == 1 and not prefix:
        pytest.skip("covered by the larger pages")
    s3, keys = listed
    plain, rolled = [], []
    for key in keys:
        if key.startswith(prefix):
            end = key.find(delimiter, len(prefix))
            if end < 0:
                plain.append(key)
            elif key[: end + len(delimiter)] not in rolled:
                rolled.append(key[: end + len(delimiter)])
    options = {"Bucket": "listed", "Prefix": prefix, "Delimiter": delimiter}
    for version in ("list_objects", "list_objects_v2"):
        found, prefixes = [], []
        for page in s3.get_paginator(version).paginate(**options, PaginationConfig={"PageSize": page_size}):
            found += [entry["Key"] for entry in page.get("Contents", [])]
            prefixes += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        assert (found, prefixes) == (plain, rolled), version


def test_start_after_and_marker_begin_behind_the_key(listed):
    s3, keys = listed
    got = s3.list_objects_v2(Bucket="listed", StartAfter="flat-010", MaxKeys=3)["Contents"]
    assert [entry["Key"] for entry in got] == ["flat-011", "flat-012", "flat-013"]
    got = s3.list_objects(Bucket="listed", Marker="flat-0105", MaxKeys=1)["Contents"]
    assert [entry["Key"] for entry in got] == ["flat-011"]


def test_a_list_shows_size_and_etag(listed):
    s3, keys = listed
    entry = s3.list_objects_v2(Bucket="listed", Prefix="tree/direct")["Contents"][0]
    head = s3.head_object(Bucket="listed", Key="tree/direct")
    assert (entry["Size"], entry["ETag"]) == (head["ContentLength"], head["ETag"])
    assert entry["StorageClass"] == "STANDARD"
    assert abs((entry["LastModified"] - head["LastModified"]).total_seconds()) <= 1


# -- multipart


def test_three_parts_of_five_mebibytes_become_one_object(s3, bucket):
    parts = [content(f"part-{n}", PART_SIZE) for n in range(2)] + [content("last", 123_457)]
    answer = complete_upload(s3, bucket, "k", parts, Metadata={"a": "1"}, ContentType="text/x-a")
    assert answer["ETag"].endswith('-3"')
    got = s3.get_object(Bucket=bucket, Key="k")
    assert digest(got["Body"].read()) == digest(b"".join(parts))
    assert (got["Metadata"], got["ContentType"], got["ETag"]) == ({"a": "1"}, "text/x-a", answer["ETag"])
    whole = b"".join(parts)
    for first, last in [(PART_SIZE - 3, PART_SIZE + 3), (2 * PART_SIZE - 1, 2 * PART_SIZE), (0, len(whole) - 1)]:
        got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={first}-{last}")["Body"].read()
        assert got == whole[first : last + 1]
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["Size"] == len(whole)


def test_the_transfer_manager_uploads_and_downloads(s3, bucket, tmp_path):
    data = content("transfer", 20 * MIB + 3)
    (tmp_path / "up").write_bytes(data)
    s3.upload_file(str(tmp_path / "up"), bucket, "k")
    s3.download_file(bucket, "k", str(tmp_path / "down"))
    assert digest((tmp_path / "down").read_bytes()) == digest(data)


def test_an_upload_is_invisible_until_it_completes(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    assert refused("404", s3.head_object, Bucket=bucket, Key="k") == 404
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    uploads = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [(u["Key"], u["UploadId"]) for u in uploads] == [("k", upload)]
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)


def test_parts_are_listed_and_a_repeated_part_replaces_the_first(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    for number, size in [(1, 10), (2, 20), (7, 30), (2, 25)]:
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=b"x" * size)
    parts = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)["Parts"]
    assert [(part["PartNumber"], part["Size"]) for part in parts] == [(1, 10), (2, 25), (7, 30)]
    first = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload, MaxParts=2)
    assert first["IsTruncated"] and len(first["Parts"]) == 2
    rest = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload, PartNumberMarker=first["NextPartNumberMarker"])
    assert [part["PartNumber"] for part in rest["Parts"]] == [7]
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)


def test_an_aborted_upload_is_gone(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
    assert refused("NoSuchUpload", s3.list_parts, Bucket=bucket, Key="k", UploadId=upload) == 404
    arguments = {"Bucket": bucket, "Key": "k", "UploadId": upload, "PartNumber": 1, "Body": b"x"}
    assert refused("NoSuchUpload", s3.upload_part, **arguments) == 404


def test_a_completion_that_names_wrong_parts_is_refused_and_can_be_repeated(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    target = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    etags = [
        s3.upload_part(**target, PartNumber=n, Body=content(n, size))["ETag"]
        for n, size in [(1, PART_SIZE), (2, 10), (3, 10)]
    ]
    part = lambda n: {"PartNumber": n, "ETag": etags[n - 1]}  # noqa: E731
    complete = lambda parts: {**target, "MultipartUpload": {"Parts": parts}}  # noqa: E731
    call = s3.complete_multipart_upload
    wrong = {"PartNumber": 1, "ETag": '"00000000000000000000000000000000"'}
    assert refused("InvalidPart", call, **complete([wrong])) == 400
    assert refused("InvalidPart", call, **complete([part(1), {"PartNumber": 9, "ETag": etags[0]}])) == 400
    assert refused("InvalidPartOrder", call, **complete([part(2), part(1)])) == 400
    assert refused("EntityTooSmall", call, **complete([part(1), part(2), part(3)])) == 400
    call(**complete([part(1), part(2)]))
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == PART_SIZE + 10


def test_part_numbers_outside_one_to_ten_thousand_are_refused(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    for number in (0, 10_001):
        arguments = {"Bucket": bucket, "Key": "k", "UploadId": upload, "PartNumber": number, "Body": b"x"}
        assert refused("InvalidArgument", s3.upload_part, **arguments) == 400


# -- presigned


def fetch(url, method="GET", data=None):
    request = urllib.request.Request(url, method=method, data=data)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_presigned_put_and_get(server, bucket):
    s3 = server.client(signature_version="s3v4")
    data = content("presigned", 100 * KIB)
    put = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a b/ü"}, ExpiresIn=60)
    assert fetch(put, "PUT", data)[0] == 200
    get = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b/ü"}, ExpiresIn=60)
    assert fetch(get) == (200, data)


# attack 10
def test_a_presigned_get_does_not_serve_another_key_or_method(server, bucket):
    s3 = server.client(signature_version="s3v4")
    s3.put_object(Bucket=bucket, Key="one", Body=b"1")
    s3.put_object(Bucket=bucket, Key="two", Body=b"2")
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "one"}, ExpiresIn=60)
    status, body = fetch(url.replace("/one?", "/two?"))
    assert status == 403 and b"SignatureDoesNotMatch" in body
    assert fetch(url, "DELETE")[0] == 403
    assert s3.get_object(Bucket=bucket, Key="one")["Body"].read() == b"1"


@pytest.mark.parametrize("setting", ["when_supported", "when_required"])
def test_both_integrity_settings_of_the_sdk_work(server, bucket, setting):
    s3 = server.client(request_checksum_calculation=setting, response_checksum_validation=setting)
    for size in (0, 10, 300 * KIB):
        data = content(setting, size)
        s3.put_object(Bucket=bucket, Key="k", Body=data)
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == data


def test_signed_payloads_work(server, bucket):
    s3 = server.client(s3={"payload_signing_enabled": True})
    for size in (0, 10, 300 * KIB):
        data = content("signed", size)
        s3.put_object(Bucket=bucket, Key="k", Body=data)
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == data


@pytest.mark.parametrize("size, signed", [(0, True), (50, True), (50, False)])
def test_an_answer_before_100_continue_ends_the_connection(server, bucket, size, signed):
    """A client that waits for 100 and gets the answer instead can not tell whether the server still
    reads the body; botocore then misreads the next answer on the connection and waits for a minute."""
    s3 = server.client(signature_version="s3v4")
    url = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    path = url.split(f":{server.port}", 1)[1] if signed else f"/{bucket}/k"
    head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nExpect: 100-continue\r\nContent-Length: {size}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(65536)
        if answer.startswith(b"HTTP/1.1 100"):
            connection.sendall(b"x" * size)
            answer = answer.split(b"\r\n\r\n", 1)[1] or connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")
        else:
            assert b"connection: close" in answer.lower(), answer[:200]


# -- the transfer manager, as applications use it


def test_forty_mebibytes_go_up_and_come_down_in_concurrent_parts(s3, bucket, tmp_path):
    data = content("transfer", 41 * MIB + 7)
    (tmp_path / "up").write_bytes(data)
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=6)
    sent = []
    s3.upload_file(
        str(tmp_path / "up"), bucket, "large", Config=config, Callback=sent.append,
        ExtraArgs={"ContentType": "text/x-test", "Metadata": {"colour": "blue"}})
    assert sum(sent) == len(data)
    head = s3.head_object(Bucket=bucket, Key="large")
    assert (head["ContentType"], head["Metadata"]) == ("text/x-test", {"colour": "blue"})
    assert head["ETag"].endswith('-6"')
    s3.download_file(bucket, "large", str(tmp_path / "down"), Config=config)
    assert digest((tmp_path / "down").read_bytes()) == digest(data)
    # A managed copy of this size copies part by part.
    s3.copy({"Bucket": bucket, "Key": "large"}, bucket, "copy", Config=config)
    assert s3.head_object(Bucket=bucket, Key="copy")["ETag"].endswith('-6"')
    with (tmp_path / "copy").open("wb") as file:
        s3.download_fileobj(bucket, "copy", file, Config=config)
    assert digest((tmp_path / "copy").read_bytes()) == digest(data)
    assert s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_a_resource_walks_and_empties_a_bucket(server):
    options = {"endpoint_url": server.endpoint, "region_name": REGION}
    keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
    bucket = boto3.resource("s3", **options, **keys).create_bucket(Bucket="walked")
    for number in range(25):
        bucket.put_object(Key=f"k/{number:02}", Body=content(number, number * 100))
    assert [item.key for item in bucket.objects.filter(Prefix="k/1")] == [f"k/{n}" for n in range(10, 20)]
    assert bucket.Object("k/07").get()["Body"].read() == content(7, 700)
    bucket.objects.limit(20).delete()
    assert len(list(bucket.objects.page_size(2))) == 5
    bucket.objects.all().delete()
    bucket.delete()
