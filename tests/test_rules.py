"""Rules that no other test names: one test a rule, over a raw socket where a client would refuse."""

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ResponseStreamingError

from harness.raw import answers, error_code, exchange, signed_head

MIB = 1024 * 1024
GIB = 1024 * MIB


def refused(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def ask(server, method, path, body=b"", **headers):
    """A signed request of these bytes; answers status and error code."""
    signed = {name.replace("_", "-"): value for name, value in headers.items()}
    payload = hashlib.sha256(body).hexdigest()
    head = signed_head(server, method, path, len(body), payload, signed | {"Connection": "close"})
    answer = exchange(server, head + body)
    return answers(answer)[0], error_code(answer)


def digest(body):
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def delete_document(server, bucket, body, **headers):
    return ask(server, "POST", f"/{bucket}?delete=", body, content_md5=digest(body), **headers)


def keys(s3, bucket):
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


# -- documents


# PR05
@pytest.mark.parametrize("body", [
    b"<Delete><Object><Key>k</Key></Object>",
    b"<Delete><Object><Key>k</Key></Objects></Delete>",
    b"<Remove><Object><Key>k</Key></Object></Remove>",
    b"<Delete><Object><Name>k</Name></Object></Delete>",
    b"<Delete></Delete>",
    b"<Delete><Object><Key>k</Key></Object></Delete><Delete/>",
    b"<Delete><Object><Key>k\xff</Key></Object></Delete>",
    b"k",
    b"",
], ids=["cut", "crossed", "other root", "no key", "empty", "two roots", "no UTF-8", "text", "nothing"])
def test_a_document_that_breaks_its_schema_deletes_nothing(server, s3, bucket, body):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    status, code = delete_document(server, bucket, body)
    # A document that is not there at all has a code of its own on AWS.
    assert (status, code) in [(400, "MalformedXML"), (400, "MissingRequestBodyError")], code
    assert keys(s3, bucket) == ["k"]


# PR05
@pytest.mark.parametrize("header, value, code", [
    ("x-amz-metadata-directive", "replace", "InvalidArgument"),
    ("x-amz-tagging-directive", "Copy", "InvalidArgument"),
    ("x-amz-storage-class", "standard", "InvalidStorageClass"),
])
def test_the_values_of_headers_are_told_apart_by_case(server, s3, bucket, header, value, code):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    headers = {header: value, "x-amz-copy-source": f"/{bucket}/k"}
    assert ask(server, "PUT", f"/{bucket}/copy", **headers) == (400, code)
    assert keys(s3, bucket) == ["k"]


# -- writes


# PR09
@pytest.mark.parametrize("size", [1000, 300_000])
def test_of_writes_at_once_one_is_left_whole(server, bucket, size):
    s3 = server.client()
    bodies = [bytes([65 + number]) * (size + number) for number in range(12)]
    with ThreadPoolExecutor(len(bodies)) as pool:
        for _ in range(4):
            puts = pool.map(lambda body: s3.put_object(Bucket=bucket, Key="k", Body=body), bodies)
            tags = [put["ETag"] for put in puts]
            found = s3.get_object(Bucket=bucket, Key="k")
            body = found["Body"].read()
            assert tags[bodies.index(body)] == found["ETag"]
    assert keys(s3, bucket) == ["k"]


# LI05, BK12
def test_a_write_of_more_than_five_gibibytes_is_refused_before_it_is_read(server, s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    for path in (f"/{bucket}/k", f"/{bucket}/k?partNumber=1&uploadId={upload}"):
        head = signed_head(server, "PUT", path, 5 * GIB + 1, signed={"Connection": "close"})
        answer = exchange(server, head)
        assert (answers(answer)[0], error_code(answer)) == (400, "EntityTooLarge"), path
    assert keys(s3, bucket) == []


# CO08, HD04
def test_a_conditional_delete_names_what_it_deletes(s3, bucket):
    tag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    for condition in (tag, "*"):
        assert refused(s3.delete_object, Bucket=bucket, Key="absent", IfMatch=condition) == (404, "NoSuchKey")
    other = '"d41d8cd98f00b204e9800998ecf8427e"'
    assert refused(s3.delete_object, Bucket=bucket, Key="k", IfMatch=other) == (412, "PreconditionFailed")
    assert keys(s3, bucket) == ["k"]
    answer = s3.delete_object(Bucket=bucket, Key="k", IfMatch=tag)["ResponseMetadata"]
    assert answer["HTTPStatusCode"] == 204
    assert not {"x-amz-delete-marker", "x-amz-version-id"} & set(answer["HTTPHeaders"])
    assert keys(s3, bucket) == []


# HD04, PR13
@pytest.mark.parametrize("header", ["x-amz-object-lock-event-hold"])
def test_a_delete_that_asks_for_protection_we_do_not_have_deletes_nothing(server, s3, bucket, header):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert ask(server, "DELETE", f"/{bucket}/k", **{header: "1 2"}) == (501, "NotImplemented")
    assert keys(s3, bucket) == ["k"]


# -- buckets


# BK06
def test_a_bucket_made_again_has_nothing_of_the_one_before(s3):
    s3.create_bucket(Bucket="again-clean")
    s3.put_bucket_tagging(Bucket="again-clean", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}
    s3.put_bucket_cors(Bucket="again-clean", CORSConfiguration={"CORSRules": [rule]})
    s3.put_bucket_website(
        Bucket="again-clean", WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}},
    )
    upload = s3.create_multipart_upload(Bucket="again-clean", Key="k")["UploadId"]
    s3.upload_part(Bucket="again-clean", Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    s3.delete_bucket(Bucket="again-clean")
    s3.create_bucket(Bucket="again-clean")
    assert keys(s3, "again-clean") == []
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="again-clean")
    assert refused(s3.list_parts, Bucket="again-clean", Key="k", UploadId=upload) == (404, "NoSuchUpload")
    assert refused(s3.get_bucket_tagging, Bucket="again-clean") == (404, "NoSuchTagSet")
    assert refused(s3.get_bucket_cors, Bucket="again-clean") == (404, "NoSuchCORSConfiguration")
    assert refused(s3.get_bucket_website, Bucket="again-clean") == (404, "NoSuchWebsiteConfiguration")


# HD05, BK08
def test_a_bucket_says_where_it_is_and_what_it_is_called(s3, bucket):
    answer = s3.head_bucket(Bucket=bucket)
    assert answer["BucketRegion"] == "us-east-1"
    assert answer["BucketArn"] == f"arn:aws:s3:::{bucket}"


# -- multipart uploads


# HD07
def test_a_completion_holds_the_upload_to_its_declared_size(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"five!")
    named = {
        "Bucket": bucket, "Key": "k", "UploadId": upload,
        "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    }
    assert refused(s3.complete_multipart_upload, MpuObjectSize=6, **named) == (400, "InvalidRequest")
    assert keys(s3, bucket) == []
    s3.complete_multipart_upload(MpuObjectSize=5, **named)
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 5


# attack 45
def test_of_two_completions_and_an_abort_at_once_there_is_one_outcome(server, bucket):
    s3 = server.client()

    def outcome(call):
        try:
            call()
            return "done"
        except ClientError as error:
            return error.response["Error"]["Code"]

    for number in range(12):
        key = f"k{number}"
        upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        mine = {"Bucket": bucket, "Key": key, "UploadId": upload}
        tag = s3.upload_part(PartNumber=1, Body=b"x", **mine)["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
        calls = [
            lambda: s3.complete_multipart_upload(MultipartUpload=parts, **mine),
            lambda: s3.abort_multipart_upload(**mine),
            lambda: s3.complete_multipart_upload(MultipartUpload=parts, **mine),
        ]
        with ThreadPoolExecutor(3) as pool:
            first, abort, second = pool.map(outcome, calls)
        assert {first, abort, second} <= {"done", "NoSuchUpload"}
        completed = "done" in (first, second)
        # A repeated completion of the same upload may be told of the first one's success.
        assert completed != (abort == "done"), (first, abort, second)
        assert (key in keys(s3, bucket)) == completed


# -- what is lost


# AZ27
def test_an_object_that_is_damaged_beyond_repair_says_so_and_can_be_replaced(new_server, tmp_path):
    zones = {"only": [tmp_path / "disk"]}
    zones["only"][0].mkdir()
    server = new_server(zones=zones).start()
    # Said of the damage, which is the test.
    server.expect_errors()
    s3 = server.client()
    s3.create_bucket(Bucket="damaged")
    body = bytes(range(256)) * 4096
    for key in ("deleted", "replaced"):
        s3.put_object(Bucket="damaged", Key=key, Body=body)
    server.stop()
    for path in zones["only"][0].rglob("*"):
        if path.is_file() and path.stat().st_size >= len(body) and spoil(path, body[:256]):
            break
    else:
        raise AssertionError("the content is in no file")
    server.start()
    s3 = server.client()
    for key in ("deleted", "replaced"):
        with pytest.raises((ClientError, ResponseStreamingError, ConnectionClosedError)) as caught:
            s3.get_object(Bucket="damaged", Key=key)["Body"].read()
        if isinstance(caught.value, ClientError):
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    assert keys(s3, "damaged") == ["deleted", "replaced"]
    s3.delete_object(Bucket="damaged", Key="deleted")
    s3.put_object(Bucket="damaged", Key="replaced", Body=b"new")
    assert s3.get_object(Bucket="damaged", Key="replaced")["Body"].read() == b"new"
    assert keys(s3, "damaged") == ["replaced"]


def spoil(path, piece):
    """Zeroes every occurrence of a piece of content, in place; answers whether there was one."""
    data = path.read_bytes()
    offset = data.find(piece)
    found = offset >= 0
    with open(path, "r+b") as file:
        while offset >= 0:
            file.seek(offset)
            file.write(bytes(len(piece)))
            offset = data.find(piece, offset + len(piece))
    return found
