"""Accounts of the settings file: each has its own buckets, and the file is read again on SIGHUP."""

import signal
import time

import pytest
from botocore.exceptions import ClientError

from harness.server import ACCESS_KEY, SECRET_KEY, StartError

ONE = ("account-one-key", "secret-of-account-one")
TWO = ("account-two-key", "secret-of-account-two")
ROOT_ID = "0" * 64
READ_AGAIN_SECONDS_MAX = 20


def table(number, key, more=""):
    return (
        f'[[account]]\nid = "{number}"\n{more}\n[[account.key]]\naccess_key = "{key[0]}"\n'
        f'secret_key = "{key[1]}"\n'
    )


BOTH = table("111122223333", ONE, 'display_name = "One & Only"') + table("444455556666", TWO)


def write(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def config(tmp_path):
    return write(tmp_path / "settings.toml", BOTH)


@pytest.fixture
def server(new_server, config):
    server = new_server(arguments=["--config", str(config)]).start()
    yield server
    server.stop()


def error_of(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


DENIED = (403, "AccessDenied")


def test_two_accounts_and_root_see_and_reach_their_own_buckets(server):
    root, one, two = server.client(), server.client(ONE), server.client(TWO)
    for client, name in ((root, "of-root"), (one, "of-one"), (two, "of-two")):
        client.create_bucket(Bucket=name)
        client.put_object(Bucket=name, Key="k", Body=name.encode())
    owners = set()
    for client, own in ((root, "of-root"), (one, "of-one"), (two, "of-two")):
        listed = client.list_buckets()
        assert [bucket["Name"] for bucket in listed["Buckets"]] == [own]
        owners.add(listed["Owner"]["ID"])
        for other in {"of-root", "of-one", "of-two"} - {own}:
            assert error_of(client.get_object, Bucket=other, Key="k") == DENIED
            assert error_of(client.get_object, Bucket=other, Key="missing") == DENIED
            assert error_of(client.put_object, Bucket=other, Key="k", Body=b"x") == DENIED
            assert error_of(client.list_objects_v2, Bucket=other) == DENIED
            assert error_of(client.delete_bucket, Bucket=other) == DENIED
            assert error_of(client.create_bucket, Bucket=other) == (409, "BucketAlreadyExists")
            keys = {"Objects": [{"Key": "k"}]}
            assert error_of(client.delete_objects, Bucket=other, Delete=keys) == DENIED
            source = {"Bucket": other, "Key": "k"}
            assert error_of(client.copy_object, Bucket=own, Key="copy", CopySource=source) == DENIED
    assert len(owners) == 3 and ROOT_ID in owners
    for client, name in ((root, "of-root"), (one, "of-one"), (two, "of-two")):
        assert client.get_object(Bucket=name, Key="k")["Body"].read() == name.encode()
        assert client.list_objects_v2(Bucket=name)["KeyCount"] == 1


def test_a_multipart_upload_belongs_to_its_account(server):
    one, two = server.client(ONE), server.client(TWO)
    one.create_bucket(Bucket="uploads")
    upload = one.create_multipart_upload(Bucket="uploads", Key="big")["UploadId"]
    what = {"Bucket": "uploads", "Key": "big", "UploadId": upload}
    part = one.upload_part(**what, PartNumber=1, Body=b"part")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    assert error_of(two.upload_part, **what, PartNumber=1, Body=b"other") == DENIED
    assert error_of(two.list_parts, **what) == DENIED
    assert error_of(two.list_multipart_uploads, Bucket="uploads") == DENIED
    assert error_of(two.complete_multipart_upload, **what, MultipartUpload=parts) == DENIED
    assert error_of(two.abort_multipart_upload, **what) == DENIED
    listed = one.list_parts(**what)
    owner = one.list_buckets()["Owner"]["ID"]
    assert listed["Owner"]["ID"] == listed["Initiator"]["ID"] == owner
    one.complete_multipart_upload(**what, MultipartUpload=parts)
    assert one.get_object(Bucket="uploads", Key="big")["Body"].read() == b"part"


def test_owners_lists_and_regions_are_exact(server):
    one, two = server.client(ONE), server.client(TWO)
    one.create_bucket(Bucket="exact", ACL="private")
    one.put_object(Bucket="exact", Key="k", Body=b"x", ACL="bucket-owner-full-control")
    owner = one.list_buckets()["Owner"]
    assert len(owner["ID"]) == 64 and owner["DisplayName"] == "One & Only"
    assert one.list_objects(Bucket="exact")["Contents"][0]["Owner"] == owner
    assert "Owner" not in one.list_objects_v2(Bucket="exact")["Contents"][0]
    assert one.list_objects_v2(Bucket="exact", FetchOwner=True)["Contents"][0]["Owner"] == owner
    for acl in (one.get_bucket_acl(Bucket="exact"), one.get_object_acl(Bucket="exact", Key="k")):
        assert acl["Owner"] == owner
        grant, = acl["Grants"]
        assert grant["Permission"] == "FULL_CONTROL"
        assert grant["Grantee"] == {**owner, "Type": "CanonicalUser"}
    policy = {"Owner": owner, "Grants": one.get_bucket_acl(Bucket="exact")["Grants"]}
    one.put_bucket_acl(Bucket="exact", AccessControlPolicy=policy)
    one.put_object_acl(Bucket="exact", Key="k", AccessControlPolicy=policy)
    refused = (400, "AccessControlListNotSupported")
    assert error_of(one.put_object, Bucket="exact", Key="k", Body=b"y", ACL="public-read") == refused
    assert error_of(one.put_bucket_acl, Bucket="exact", ACL="public-read") == refused
    assert error_of(one.put_object_acl, Bucket="exact", Key="k", GrantRead='id="1"') == refused
    code = "InvalidBucketAclWithObjectOwnership"
    assert error_of(one.create_bucket, Bucket="not-made", ACL="public-read") == (400, code)
    assert one.get_object(Bucket="exact", Key="k", ExpectedBucketOwner="111122223333")["Body"].read() == b"x"
    wrong = {"Bucket": "exact", "Key": "k", "ExpectedBucketOwner": "444455556666"}
    assert error_of(one.get_object, **wrong) == DENIED
    with pytest.raises(ClientError) as caught:
        two.head_bucket(Bucket="exact")
    answer = caught.value.response["ResponseMetadata"]
    assert answer["HTTPStatusCode"] == 403
    assert answer["HTTPHeaders"]["x-amz-bucket-region"] == "us-east-1"


def hang_up(server, expected):
    """Sends SIGHUP and waits until the log says what it did."""
    before = server.log_since_start().count(expected)
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + READ_AGAIN_SECONDS_MAX
    while server.log_since_start().count(expected) == before:
        assert time.monotonic() < deadline, server.log_since_start()[-2000:]
        assert server.process.poll() is None, "SIGHUP ended the server"
        time.sleep(0.01)


def test_accounts_are_read_again_on_sighup(server, config):
    one, two = server.client(ONE), server.client(TWO)
    one.create_bucket(Bucket="kept")
    one.put_object(Bucket="kept", Key="k", Body=b"x")
    two.list_buckets()
    # Another secret for one, a third account, and two is gone.
    again, three = (ONE[0], "changed-secret-of-one"), ("account-three-key", "secret-of-account-three")
    write(config, table("111122223333", again) + table("777788889999", three))
    hang_up(server, "accounts were read again")
    assert error_of(one.list_buckets) == (403, "SignatureDoesNotMatch")
    assert error_of(two.list_buckets) == (403, "InvalidAccessKeyId")
    assert server.client(again).get_object(Bucket="kept", Key="k")["Body"].read() == b"x"
    assert error_of(server.client(three).get_object, Bucket="kept", Key="k") == DENIED
    server.client().list_buckets()
    # A file that is wrong changes nothing.
    server.expect_errors("accounts were not read again")
    write(config, table("111122223333", (ONE[0], "short")))
    hang_up(server, "accounts were not read again")
    assert server.client(again).get_object(Bucket="kept", Key="k")["Body"].read() == b"x"
    assert "changed-secret-of-one" not in server.log() and SECRET_KEY not in server.log()


def test_an_account_without_a_table_keeps_its_buckets_and_has_them_back(server, config):
    server.client(ONE).create_bucket(Bucket="waits")
    server.stop()
    write(config, table("444455556666", TWO))
    server.start()
    assert error_of(server.client(ONE).list_buckets) == (403, "InvalidAccessKeyId")
    for client in (server.client(TWO), server.client()):
        assert error_of(client.head_bucket, Bucket="waits") == (403, "403")
        assert error_of(client.create_bucket, Bucket="waits") == (409, "BucketAlreadyExists")
    write(config, BOTH)
    server.restart()
    assert [bucket["Name"] for bucket in server.client(ONE).list_buckets()["Buckets"]] == ["waits"]


@pytest.mark.parametrize(
    "text, mode, expected",
    [
        (BOTH, 0o644, "can be read by others"),
        (table("111122223333", ONE) * 2, 0o600, "another account's too"),
        (table("111122223333", ONE) + table("444455556666", ONE), 0o600, "is there twice"),
        (table("111122223333", (ACCESS_KEY, ONE[1])), 0o600, "is there twice"),
        (table("111122223333", (ONE[0], "minioadmin")), 0o600, "everybody knows"),
        (table("111122223333", (ONE[0], "short")), 0o600, "shorter than 8"),
        (table("11112222333", ONE), 0o600, "exactly 12 digits"),
        (table("111122223333", ONE, "nickname = 'one'"), 0o600, "unknown field"),
    ],
)
def test_accounts_that_are_wrong_stop_the_start_with_one_sentence(new_server, tmp_path, text, mode, expected):
    config = write(tmp_path / "wrong.toml", text, mode)
    server = new_server(arguments=["--config", str(config)])
    with pytest.raises(StartError) as caught:
        server.start()
    said = str(caught.value)
    assert expected in said, said
    assert ONE[1] not in said and not server.data.exists(), "nothing was written"
    server.expect_errors()


def test_a_server_without_a_settings_file_serves_on_after_sighup(new_server):
    server = new_server().start()
    server.process.send_signal(signal.SIGHUP)
    server.client().create_bucket(Bucket="after-hangup")
    server.stop()
