"""The object protocol, rule by rule, as an unmodified SDK sees it. Names carry the rules' ids."""

import base64
import hashlib
import http.client
import zlib
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from harness.content import MIB, content
from harness.server import ACCESS_KEY, REGION, SECRET_KEY

PART_SIZE = 5 * MIB
# As many as the specification names (CO06, attack 46).
WRITERS = 100


def base64_of(data):
    return base64.b64encode(data).decode()


def crc32(data):
    return base64_of(zlib.crc32(data).to_bytes(4, "big"))


def refused(call, **arguments):
    """Calls and demands an error; returns its status, its code and its document."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    error = response["Error"]
    return response["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error


def raw(server, method, path, body=b"", headers=(), sign=True, host=None):
    """One signed request over a connection of its own; returns status, headers and body."""
    headers = dict(headers)
    if host:
        headers["Host"] = host
    request = AWSRequest(method, f"{server.endpoint}{path}", headers, body)
    if sign:
        S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", REGION).add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(method, path, body, dict(request.prepare().headers))
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data


def upload(s3, bucket, key, parts, **options):
    """Starts an upload and sends its parts; returns its target and what a completion lists."""
    target = {"Bucket": bucket, "Key": key}
    target["UploadId"] = s3.create_multipart_upload(**target, **options)["UploadId"]
    algorithm = {k: v for k, v in options.items() if k == "ChecksumAlgorithm"}
    listed = []
    for number, data in enumerate(parts, 1):
        answer = s3.upload_part(**target, PartNumber=number, Body=data, **algorithm)
        part = {"PartNumber": number, "ETag": answer["ETag"]}
        part.update((n, v) for n, v in answer.items() if n.startswith("Checksum") and n != "ChecksumType")
        listed.append(part)
    return target, {"Parts": listed}


# -- integrity


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_in01_in04_a_checksum_is_verified_kept_and_given_back(s3, bucket, algorithm):
    data = content(1, 100_000)
    name = f"Checksum{algorithm}"
    put = s3.put_object(Bucket=bucket, Key="k", Body=data, ChecksumAlgorithm=algorithm)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[name] == put[name] and head["ChecksumType"] == "FULL_OBJECT"
    assert name not in s3.head_object(Bucket=bucket, Key="k")
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    assert copied["CopyObjectResult"][name] == put[name], "IN09"
    entry = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert entry["ChecksumAlgorithm"] == [algorithm]


def test_in02_a_wrong_or_malformed_checksum_changes_nothing(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    for options, code in [
        ({"ChecksumCRC32": crc32(b"other")}, "BadDigest"),
        ({"ChecksumSHA256": base64_of(hashlib.sha256(b"other").digest())}, "BadDigest"),
        ({"ChecksumCRC32": "AAAA"}, "InvalidRequest"),
        ({"ContentMD5": base64_of(hashlib.md5(b"other").digest())}, "BadDigest"),
        ({"ContentMD5": "AAAA"}, "InvalidDigest"),
    ]:
        status, found, _ = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"new", **options)
        assert (status, found) == (400, code), options
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"


def test_in03_an_object_without_a_checksum_gets_crc64nvme(server, s3, bucket):
    assert raw(server, "PUT", f"/{bucket}/k", b"hello")[0] == 200
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == "M3eFcAZSQlc="
    assert head["ChecksumType"] == "FULL_OBJECT"


def test_in05_in06_a_full_object_checksum_is_that_of_the_whole(s3, bucket):
    parts = [content(1, PART_SIZE), content(2, 1000)]
    options = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}
    target, listed = upload(s3, bucket, "k", parts, **options)
    complete = {**target, "MultipartUpload": listed, "ChecksumType": "FULL_OBJECT"}
    whole = crc32(b"".join(parts))
    wrong = refused(s3.complete_multipart_upload, **complete, ChecksumCRC32=crc32(b"x"))
    assert wrong[:2] == (400, "BadDigest")
    size = refused(s3.complete_multipart_upload, **complete, MpuObjectSize=1)
    assert size[:2] == (400, "InvalidRequest"), "IN07"
    size = sum(map(len, parts))
    done = s3.complete_multipart_upload(**complete, ChecksumCRC32=whole, MpuObjectSize=size)
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (whole, "FULL_OBJECT")
    attributes = s3.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts", "Checksum"]
    )
    assert attributes["ObjectParts"] == {"TotalPartsCount": 2}
    assert attributes["Checksum"] == {"ChecksumCRC32": whole, "ChecksumType": "FULL_OBJECT"}


def test_in05_in06_a_composite_upload_lists_the_checksums_of_its_parts(s3, bucket):
    parts = [content(1, PART_SIZE), content(2, 1000)]
    target, listed = upload(s3, bucket, "k", parts, ChecksumAlgorithm="SHA256")
    bare = {"Parts": [{k: v for k, v in p.items() if k != "ChecksumSHA256"} for p in listed["Parts"]]}
    missing = refused(s3.complete_multipart_upload, **target, MultipartUpload=bare)
    assert missing[:2] == (400, "InvalidRequest")
    swapped = {"Parts": [{**p, "ChecksumSHA256": listed["Parts"][0]["ChecksumSHA256"]} for p in listed["Parts"]]}
    wrong = refused(s3.complete_multipart_upload, **target, MultipartUpload=swapped)
    assert wrong[:2] == (400, "InvalidPart") and wrong[2]["UploadId"] == target["UploadId"]
    s3.complete_multipart_upload(**target, MultipartUpload=listed)
    for algorithm, kind in [("SHA1", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE")]:
        illegal = refused(
            s3.create_multipart_upload, Bucket=bucket, Key="k",
            ChecksumAlgorithm=algorithm, ChecksumType=kind,
        )
        assert illegal[:2] == (400, "InvalidRequest")


def test_in08_attributes_page_through_the_parts(s3, bucket):
    parts = [content(1, PART_SIZE), content(2, PART_SIZE), content(3, 7)]
    target, listed = upload(s3, bucket, "k", parts, ChecksumAlgorithm="SHA1")
    etag = s3.complete_multipart_upload(**target, MultipartUpload=listed)["ETag"]
    ask = {"Bucket": bucket, "Key": "k"}
    everything = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    all_of_it = s3.get_object_attributes(**ask, ObjectAttributes=everything)
    assert all_of_it["ETag"] == etag.strip('"')
    assert all_of_it["ObjectSize"] == 2 * PART_SIZE + 7
    assert all_of_it["StorageClass"] == "STANDARD"
    assert all_of_it["Checksum"]["ChecksumType"] == "COMPOSITE"
    page = s3.get_object_attributes(**ask, ObjectAttributes=["ObjectParts"], MaxParts=2)["ObjectParts"]
    assert (page["TotalPartsCount"], page["IsTruncated"], page["NextPartNumberMarker"]) == (3, True, 2)
    rest = s3.get_object_attributes(**ask, ObjectAttributes=["ObjectParts"], PartNumberMarker=2)
    sizes = [part["Size"] for part in page["Parts"] + rest["ObjectParts"]["Parts"]]
    assert sizes == [PART_SIZE, PART_SIZE, 7]
    assert rest["ObjectParts"]["IsTruncated"] is False


def test_hd03_a_part_is_read_by_its_number(s3, bucket):
    parts = [content(1, PART_SIZE), content(2, 9)]
    target, listed = upload(s3, bucket, "k", parts)
    s3.complete_multipart_upload(**target, MultipartUpload=listed)
    part = s3.get_object(Bucket=bucket, Key="k", PartNumber=2)
    assert part["Body"].read() == parts[1] and part["PartsCount"] == 2
    assert part["ContentRange"] == f"bytes {PART_SIZE}-{PART_SIZE + 8}/{PART_SIZE + 9}"
    head = s3.head_object(Bucket=bucket, Key="k", PartNumber=1)
    assert (head["ContentLength"], head["PartsCount"]) == (PART_SIZE, 2)
    status, code, error = refused(s3.get_object, Bucket=bucket, Key="k", PartNumber=3)
    assert (status, code) == (416, "InvalidPartNumber")


# -- conditions


def outcomes(call):
    """Runs `call` for each of WRITERS at once; counts what came out."""
    def attempt(index):
        try:
            call(index)
            return 200
        except ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"]

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(attempt, range(WRITERS)))


@pytest.fixture
def many(server):
    """A client with a connection for each writer."""
    return boto3.client(
        "s3", endpoint_url=server.endpoint, region_name=REGION,
        aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
        config=Config(max_pool_connections=WRITERS, retries={"max_attempts": 0}),
    )


def test_co06_one_of_a_hundred_parallel_puts_wins(many, s3, bucket):
    # Attack 46.
    put = lambda i: many.put_object(Bucket=bucket, Key="k", Body=b"%d" % i, IfNoneMatch="*")  # noqa: E731
    found = outcomes(put)
    assert found.count(200) == 1 and set(found) <= {200, 409, 412}
    assert int(s3.get_object(Bucket=bucket, Key="k")["Body"].read()) == found.index(200)


def test_co06_one_of_a_hundred_parallel_replacements_wins(many, s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"first")["ETag"]
    put = lambda i: many.put_object(Bucket=bucket, Key="k", Body=b"%d" % i, IfMatch=etag)  # noqa: E731
    found = outcomes(put)
    assert found.count(200) == 1 and set(found) <= {200, 409, 412}
    assert int(s3.get_object(Bucket=bucket, Key="k")["Body"].read()) == found.index(200)


def test_co06_one_of_a_hundred_parallel_conditional_deletes_wins(many, s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"first")["ETag"]
    found = outcomes(lambda i: many.delete_object(Bucket=bucket, Key="k", IfMatch=etag))
    assert found.count(200) == 1 and set(found) <= {200, 404, 409, 412}


def test_co06_one_of_many_parallel_conditional_completions_wins(many, s3, bucket):
    uploads = [upload(s3, bucket, "k", [b"%d" % index]) for index in range(WRITERS)]

    def complete(index):
        target, listed = uploads[index]
        many.complete_multipart_upload(**target, MultipartUpload=listed, IfNoneMatch="*")

    found = outcomes(complete)
    assert found.count(200) == 1 and set(found) <= {200, 409, 412}
    assert int(s3.get_object(Bucket=bucket, Key="k")["Body"].read()) == found.index(200)


def test_co01_to_co04_conditions_of_puts_and_copies(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    put = {"Bucket": bucket, "Key": "k", "Body": b"y"}
    copy = {"Bucket": bucket, "Key": "k", "CopySource": f"{bucket}/source"}
    s3.put_object(Bucket=bucket, Key="source", Body=b"z")
    for call, arguments in [(s3.put_object, put), (s3.copy_object, copy)]:
        exists = refused(call, **arguments, IfNoneMatch="*")
        assert exists[:2] == (412, "PreconditionFailed") and exists[2]["Condition"] == "If-None-Match"
        assert refused(call, **arguments, IfMatch='"other"')[:2] == (412, "PreconditionFailed")
        assert refused(call, **arguments, IfNoneMatch='"other"')[:2] == (501, "NotImplemented")
        assert refused(call, **arguments, IfMatch="*")[:2] == (501, "NotImplemented")
        both = refused(call, **arguments, IfMatch=etag, IfNoneMatch="*")
        assert both[:2] == (501, "NotImplemented")
        absent = refused(call, **{**arguments, "Key": "none"}, IfMatch=etag)
        assert absent[:2] == (404, "NoSuchKey")
    s3.put_object(**put, IfMatch=etag.strip('"'))


def test_co05_a_conditional_completion_conflicts_with_a_delete_in_between(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    target, listed = upload(s3, bucket, "k", [b"part"])
    s3.delete_object(Bucket=bucket, Key="k")
    conflict = refused(s3.complete_multipart_upload, **target, MultipartUpload=listed, IfNoneMatch="*")
    assert conflict[:2] == (409, "ConditionalRequestConflict")
    assert conflict[2]["Condition"] == "If-None-Match"
    s3.complete_multipart_upload(**target, MultipartUpload=listed)


def test_co07_co08_co09_conditional_deletes(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    assert refused(s3.delete_object, Bucket=bucket, Key="k", IfMatch='"other"')[:2] == (412, "PreconditionFailed")
    assert refused(s3.delete_object, Bucket=bucket, Key="none", IfMatch="*")[:2] == (404, "NoSuchKey")
    assert refused(s3.delete_object, Bucket=bucket, Key="k", IfMatchSize=1)[:2] == (501, "NotImplemented")
    objects = [
        {"Key": "k", "ETag": '"other"'}, {"Key": "none", "ETag": etag},
        {"Key": "k", "Size": 1}, {"Key": "k", "ETag": etag},
    ]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    codes = [error["Code"] for error in answer["Errors"]]
    assert codes == ["PreconditionFailed", "NoSuchKey", "NotImplemented"]
    assert [entry["Key"] for entry in answer["Deleted"]] == ["k"]


# -- deletes of many


def test_pr04_li03_a_delete_of_many_is_held_to_its_digest_and_size(server, s3, bucket):
    document = b"<Delete><Object><Key>k</Key></Object></Delete>"
    md5 = base64_of(hashlib.md5(document).digest())
    path = f"/{bucket}?delete"
    assert raw(server, "POST", path, document)[0] == 400
    assert raw(server, "POST", path, document, {"Content-MD5": md5})[0] == 200
    status, _, answer = raw(server, "POST", path, document, {"x-amz-checksum-crc32": "AAAAAA=="})
    assert status == 400 and b"BadDigest" in answer
    quiet = {"Quiet": True, "Objects": [{"Key": f"k{i}"} for i in range(1000)]}
    assert "Deleted" not in s3.delete_objects(Bucket=bucket, Delete=quiet)
    too_many = {"Objects": [{"Key": f"k{i}"} for i in range(1001)]}
    assert refused(s3.delete_objects, Bucket=bucket, Delete=too_many)[:2] == (400, "MalformedXML")


# -- lists


def test_ve28_a_bucket_never_versioned_lists_null_versions(s3, bucket):
    for key in ("a", "b/1", "b/2"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
    versions = [version for page in pages for version in page["Versions"]]
    assert [version["Key"] for version in versions] == ["a", "b/1", "b/2"]
    assert all(version["VersionId"] == "null" and version["IsLatest"] for version in versions)
    rolled = s3.list_object_versions(Bucket=bucket, Delimiter="/")
    assert [prefix["Prefix"] for prefix in rolled["CommonPrefixes"]] == ["b/"]


def test_li03_every_list_pages_and_refuses_what_is_no_number(server, s3, bucket):
    for key in ("a", "b", "c--1", "c--2", "d"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
        s3.create_multipart_upload(Bucket=bucket, Key=key)
    keys = [o["Key"] for p in s3.get_paginator("list_objects").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2}) for o in p["Contents"]]
    assert keys == ["a", "b", "c--1", "c--2", "d"]
    uploads = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    assert [u["Key"] for p in uploads for u in p["Uploads"]] == keys
    rolled = s3.list_objects_v2(Bucket=bucket, Delimiter="--", StartAfter="b")
    assert [p["Prefix"] for p in rolled["CommonPrefixes"]] == ["c--"]
    assert [o["Key"] for o in rolled["Contents"]] == ["d"]
    first = s3.list_objects(Bucket=bucket, MaxKeys=2)
    assert first["IsTruncated"] and "NextMarker" not in first
    first = s3.list_objects(Bucket=bucket, MaxKeys=3, Delimiter="--")
    assert first["NextMarker"] == "c--"
    for query in ("max-keys=-1", "max-keys=x", "max-keys=2147483648", "encoding-type=x", "list-type=3"):
        status, _, answer = raw(server, "GET", f"/{bucket}?{query}")
        name, value = query.split("=")
        assert status == 400 and b"<Code>InvalidArgument</Code>" in answer, query
        assert f"<ArgumentName>{name}</ArgumentName><ArgumentValue>{value}<".encode() in answer


# -- headers


def test_hd01_metadata_in_any_script_comes_back_encoded(server, s3, bucket):
    encoded = "=?UTF-8?B?" + base64_of("grün".encode()) + "?="
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"colour": encoded, "empty": ""})
    found = s3.head_object(Bucket=bucket, Key="k")["Metadata"]
    assert found == {"colour": encoded, "empty": ""}
    status, code, _ = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x", Metadata={"a": "x" * 2048})
    assert (status, code) == (400, "MetadataTooLarge"), "LI01"


def test_hd08_response_headers_are_chosen_by_who_signed_them(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="text/plain", Expires="0")
    got = s3.get_object(
        Bucket=bucket, Key="k", ResponseContentType="text/html", ResponseCacheControl="no-cache",
        ResponseContentDisposition="attachment", ResponseContentLanguage="de",
        ResponseContentEncoding="identity",
    )
    assert (got["ContentType"], got["CacheControl"]) == ("text/html", "no-cache")
    assert (got["ContentDisposition"], got["ContentLanguage"]) == ("attachment", "de")
    assert got["ContentEncoding"] == "identity"
    unsigned = raw(server, "GET", f"/{bucket}/k?response-content-type=text%2Fhtml", sign=False)
    assert unsigned[0] == 403
    smuggled = raw(server, "GET", f"/{bucket}/k?response-content-type=a%0D%0Ab%3A%20c")
    assert smuggled[0] == 400 and b"InvalidArgument" in smuggled[2]


def test_hd06_a_copy_source_is_decoded_once(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a b+c%41", Body=b"x")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b+c%41"})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"x"
    status, code, error = refused(s3.copy_object, Bucket=bucket, Key="copy", CopySource=f"{bucket}/none")
    assert (status, code, error["Key"]) == (404, "NoSuchKey", "none"), "PR02"


# -- addresses and signatures


def test_a_bucket_below_the_domain_is_reached_by_its_host_name(new_server):
    server = new_server(arguments=["--domain", "s3.example.test"]).start()
    server.client().create_bucket(Bucket="photos")
    host = f"photos.s3.example.test:{server.port}"
    assert raw(server, "PUT", "/a/b", b"x", host=host)[0] == 200
    assert raw(server, "GET", "/a/b", host=host)[2] == b"x"
    assert server.client().get_object(Bucket="photos", Key="a/b")["Body"].read() == b"x"
    assert b"<Key>a/b</Key>" in raw(server, "GET", "/?list-type=2", host=host)[2]
    other = raw(server, "GET", "/photos/a/b", host=f"example.test:{server.port}")
    assert other[2] == b"x", "another name is path style"


def test_signature_version_2_is_refused_with_what_to_use(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    config = Config(signature_version="s3", s3={"addressing_style": "path"})
    old = boto3.client(
        "s3", endpoint_url=server.endpoint, region_name=REGION, config=config,
        aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
    )
    status, code, error = refused(old.get_object, Bucket=bucket, Key="k")
    assert (status, code) == (400, "InvalidRequest") and "s3v4" in error["Message"]
    query = "AWSAccessKeyId=a&Signature=b&Expires=9999999999"
    status, _, answer = raw(server, "GET", f"/{bucket}/k?{query}", sign=False)
    assert status == 400 and b"s3v4" in answer


def test_pr03_every_answer_has_request_ids(server, s3, bucket):
    seen = set()
    for method, path, sign in [
        ("GET", f"/{bucket}", True), ("GET", f"/{bucket}/none", True), ("HEAD", f"/{bucket}/none", True),
        ("GET", f"/{bucket}", False), ("PATCH", f"/{bucket}/k", True), ("GET", "/%zz", True),
    ]:
        _, headers, _ = raw(server, method, path, sign=sign)
        assert headers["x-amz-id-2"], path
        seen.add(headers["x-amz-request-id"])
    assert len(seen) == 6
