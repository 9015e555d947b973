"""minio-py: whole files, streams of unknown length, parts, copies, compositions, bulk removal."""

import io
import urllib.request
from datetime import timedelta

import pytest

minio = pytest.importorskip("minio", reason="the Python package minio is not installed")

from minio.commonconfig import ComposeSource, CopySource  # noqa: E402
from minio.deleteobjects import DeleteObject  # noqa: E402
from minio.error import S3Error  # noqa: E402

from harness.content import MIB, content, digest  # noqa: E402
from harness.server import ACCESS_KEY, REGION, SECRET_KEY  # noqa: E402
from harness.tools import LARGE, no_uploads  # noqa: E402


@pytest.fixture
def client(server):
    return minio.Minio(
        endpoint=f"127.0.0.1:{server.port}", access_key=ACCESS_KEY, secret_key=SECRET_KEY,
        region=REGION, secure=False,
    )


def get(client, bucket, key, **options):
    answer = client.get_object(bucket_name=bucket, object_name=key, **options)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


def test_buckets_are_made_found_and_removed(client):
    client.make_bucket(bucket_name="minio-made")
    assert client.bucket_exists(bucket_name="minio-made")
    assert "minio-made" in [b.name for b in client.list_buckets()]
    client.remove_bucket(bucket_name="minio-made")
    assert not client.bucket_exists(bucket_name="minio-made")


def test_files_and_streams_go_up_in_parts_and_come_down(client, s3, bucket, tmp_path):
    data = content("minio", LARGE)
    (tmp_path / "up").write_bytes(data)
    client.fput_object(
        bucket_name=bucket, object_name="a b/+ü", file_path=str(tmp_path / "up"),
        content_type="text/x-test", metadata={"colour": "blue"}, part_size=8 * MIB)
    client.fget_object(
        bucket_name=bucket, object_name="a b/+ü", file_path=str(tmp_path / "down"))
    assert digest((tmp_path / "down").read_bytes()) == digest(data)
    about = client.stat_object(bucket_name=bucket, object_name="a b/+ü")
    assert (about.size, about.content_type) == (LARGE, "text/x-test")
    assert about.metadata["x-amz-meta-colour"] == "blue"
    # A stream whose length nobody knows.
    client.put_object(bucket_name=bucket, object_name="stream", data=io.BytesIO(data), length=-1,
                      part_size=10 * MIB)
    assert digest(get(client, bucket, "stream")) == digest(data)
    assert get(client, bucket, "stream", offset=20 * MIB, length=100) == data[20 * MIB:][:100]
    no_uploads(s3, bucket)


def test_objects_are_copied_composed_and_removed_in_bulk(client, bucket):
    first, second = content("one", 6 * MIB), content("two", 7 * MIB)
    for key, data in (("one", first), ("two", second)):
        client.put_object(bucket_name=bucket, object_name=key, data=io.BytesIO(data), length=len(data))
    client.copy_object(bucket_name=bucket, object_name="copy",
                       source=CopySource(bucket_name=bucket, object_name="one"))
    assert get(client, bucket, "copy") == first
    sources = [ComposeSource(bucket_name=bucket, object_name=key) for key in ("one", "two")]
    client.compose_object(bucket_name=bucket, object_name="both", sources=sources)
    assert digest(get(client, bucket, "both")) == digest(first + second)
    for number in range(25):
        client.put_object(bucket_name=bucket, object_name=f"many/{number}", data=io.BytesIO(b"x"),
                          length=1)
    top = [o.object_name for o in client.list_objects(bucket_name=bucket)]
    assert sorted(top) == ["both", "copy", "many/", "one", "two"]
    every = [o.object_name for o in client.list_objects(bucket_name=bucket, recursive=True)]
    assert len(every) == 29
    errors = client.remove_objects(
        bucket_name=bucket, delete_object_list=[DeleteObject(key) for key in every])
    assert list(errors) == []
    assert list(client.list_objects(bucket_name=bucket, recursive=True)) == []


def test_links_serve_without_credentials_and_a_missing_key_is_told(client, bucket):
    put = client.presigned_put_object(
        bucket_name=bucket, object_name="k", expires=timedelta(minutes=1))
    request = urllib.request.Request(put, data=b"linked", method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    link = client.presigned_get_object(
        bucket_name=bucket, object_name="k", expires=timedelta(minutes=1))
    with urllib.request.urlopen(link, timeout=10) as answer:
        assert answer.read() == b"linked"
    with pytest.raises(S3Error) as caught:
        client.stat_object(bucket_name=bucket, object_name="none")
    assert caught.value.code == "NoSuchKey"
