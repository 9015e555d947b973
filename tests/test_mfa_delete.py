"""MFA delete with boto3 over TLS: versions go only with a code, and a code works once."""

import base64
import concurrent.futures
import hmac
import json
import struct
import subprocess
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from harness.server import binary, clean_environment

DENIED = (403, "AccessDenied")
STEP_SECONDS = 30


def refused(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def mfa(server, *words, code=0):
    command = [str(binary()), "mfa", *words, "--data", str(server.data)]
    command += ["--admin-address", f"127.0.0.1:{server.admin_port}", "--tls-development", "--json"]
    environment = clean_environment()
    environment["STRONGROOM_ACCESS_KEY"], environment["STRONGROOM_SECRET_KEY"] = server.credentials
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == code, run.stderr
    return json.loads(run.stdout) if code == 0 else run.stderr


class Device:
    """What a telephone does: RFC 6238."""

    def __init__(self, server, owner, serial):
        self.server, self.owner, self.serial = server, owner, serial
        enrolled = mfa(server, "enroll", serial, "--owner", owner)
        assert enrolled["uri"].startswith("otpauth://totp/") and enrolled["secret"] in enrolled["uri"]
        self.secret = base64.b32decode(enrolled["secret"])
        self.used = 0

    def code(self, step):
        tag = hmac.digest(self.secret, struct.pack(">Q", step), "sha1")
        number = struct.unpack_from(">I", tag, tag[-1] & 15)[0] & 0x7FFFFFFF
        return f"{number % 1_000_000:06}"

    def fresh(self):
        """A code that was never used; the next step's is good already, so one of two needs no waiting."""
        while int(time.time()) // STEP_SECONDS + 1 <= self.used:
            time.sleep(0.2)
        # A step that is nearly over may be one too old when the request is there.
        while time.time() % STEP_SECONDS > STEP_SECONDS - 5:
            time.sleep(0.2)
        self.used = max(self.used + 1, int(time.time()) // STEP_SECONDS - 1)
        return self.code(self.used)

    def header(self):
        return f"{self.serial} {self.fresh()}"


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    from harness.server import Server

    server = Server(tmp_path_factory.mktemp("secure"), arguments=["--tls-development"])
    server.authority = server.data / "tls-development/ca.pem"
    server.start()
    yield server
    server.stop()
    server.check_log()


@pytest.fixture
def s3(secure):
    return secure.client()


@pytest.fixture
def device(secure, s3):
    """A device of one test, confirmed by a code; codes of different devices do not wait for each other."""
    owner = s3.list_buckets()["Owner"]["ID"]
    device = Device(secure, owner, f"phone-{uuid.uuid4().hex[:8]}")
    mfa(secure, "confirm", device.serial, device.fresh(), "--owner", owner)
    yield device
    mfa(secure, "remove", device.serial, "--owner", owner)


def enable(s3, bucket, device, status="Enabled", mfa_delete="Enabled"):
    configuration = {"Status": status, "MFADelete": mfa_delete}
    s3.put_bucket_versioning(Bucket=bucket, MFA=device.header(), VersioningConfiguration=configuration)


@pytest.fixture
def plain(s3):
    """A bucket that never heard of it."""
    name = f"mfa-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def bucket(s3, plain, device):
    enable(s3, plain, device)
    return plain


def put(s3, bucket, key="k"):
    return s3.put_object(Bucket=bucket, Key=key, Body=b"data")["VersionId"]


def versions(s3, bucket):
    return {version["VersionId"] for version in s3.list_object_versions(Bucket=bucket).get("Versions", [])}


# MF01, MF02
def test_it_is_turned_on_and_off_by_a_code_only_and_shown_once_it_was_set(s3, plain, device):
    on = {"Status": "Enabled", "MFADelete": "Enabled"}
    put_versioning = s3.put_bucket_versioning
    assert refused(put_versioning, Bucket=plain, VersioningConfiguration=on) == DENIED
    assert "Status" not in s3.get_bucket_versioning(Bucket=plain)
    put_versioning(Bucket=plain, VersioningConfiguration={"Status": "Enabled", "MFADelete": "Disabled"})
    assert "MFADelete" not in s3.get_bucket_versioning(Bucket=plain)
    enable(s3, plain, device)
    answer = s3.get_bucket_versioning(Bucket=plain)
    assert (answer["Status"], answer["MFADelete"]) == ("Enabled", "Enabled")
    for configuration in ({"Status": "Suspended"}, {"Status": "Enabled", "MFADelete": "Disabled"}):
        assert refused(put_versioning, Bucket=plain, VersioningConfiguration=configuration) == DENIED
    enable(s3, plain, device, mfa_delete="Disabled")
    assert s3.get_bucket_versioning(Bucket=plain)["MFADelete"] == "Disabled"
    put_versioning(Bucket=plain, VersioningConfiguration={"Status": "Suspended"})


# MF02
def test_a_version_goes_with_a_code_and_all_else_needs_none(s3, bucket, device):
    first, second = put(s3, bucket), put(s3, bucket)
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    for version in (first, second, marker, "null"):
        assert refused(s3.delete_object, Bucket=bucket, Key="k", VersionId=version) == DENIED
    for wrong in ("", "phone", "phone 123", f"{device.serial} 000000x", f"other {device.code(1)}", "a b c"):
        call = {"Bucket": bucket, "Key": "k", "VersionId": first, "MFA": wrong}
        if wrong:
            assert refused(s3.delete_object, **call) == DENIED
    assert versions(s3, bucket) == {first, second}
    s3.delete_object(Bucket=bucket, Key="k", VersionId=first, MFA=device.header())
    assert versions(s3, bucket) == {second}


# MF03
def test_deletes_of_many_fail_as_a_whole_without_a_good_code(s3, bucket, device):
    version = put(s3, bucket)
    put(s3, bucket, "simple")
    both = {"Objects": [{"Key": "simple"}, {"Key": "k", "VersionId": version}]}
    simple = {"Objects": [{"Key": "simple"}]}
    assert refused(s3.delete_objects, Bucket=bucket, Delete=both) == DENIED
    wrong = f"{device.serial} wrong"
    assert refused(s3.delete_objects, Bucket=bucket, Delete=simple, MFA=wrong) == DENIED
    s3.head_object(Bucket=bucket, Key="simple")
    answer = s3.delete_objects(Bucket=bucket, Delete=both, MFA=device.header())
    assert len(answer["Deleted"]) == 2 and "Errors" not in answer
    put(s3, bucket, "simple")
    assert len(s3.delete_objects(Bucket=bucket, Delete=simple)["Deleted"]) == 1


# MF05
def test_a_code_works_once_for_two_at_once_and_over_a_kill(secure, s3, bucket, device):
    ids = [put(s3, bucket) for _ in range(4)]
    header = device.header()

    def delete(version):
        try:
            s3.delete_object(Bucket=bucket, Key="k", VersionId=version, MFA=header)
            return True
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied"
            return False

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(delete, ids)) == 1
    left = versions(s3, bucket)
    assert len(left) == 3
    secure.kill()
    secure.start()
    assert not any(delete(version) for version in left)
    before = f"{device.serial} {device.code(device.used - 1)}"
    assert refused(s3.delete_object, Bucket=bucket, Key="k", VersionId=ids[0], MFA=before) == DENIED
    assert versions(s3, bucket) == left


# MF05
def test_a_code_of_two_steps_ago_or_ahead_is_refused(s3, bucket, device):
    version = put(s3, bucket)
    now = int(time.time()) // STEP_SECONDS
    # Far enough that no step that begins meanwhile makes it good.
    for step in (now - 3, now + 4):
        header = f"{device.serial} {device.code(step)}"
        assert refused(s3.delete_object, Bucket=bucket, Key="k", VersionId=version, MFA=header) == DENIED


# MF05
def test_wrong_codes_silence_a_device_and_the_administrator_sees_it(secure, s3, plain, device):
    call = {"Bucket": plain, "VersioningConfiguration": {"Status": "Enabled", "MFADelete": "Enabled"}}
    for _ in range(5):
        assert refused(s3.put_bucket_versioning, MFA=f"{device.serial} nothing", **call) == DENIED
    assert refused(s3.put_bucket_versioning, MFA=device.header(), **call) == DENIED
    found = [entry for entry in mfa(secure, "list") if entry["serial"] == device.serial]
    assert found[0]["wrong_codes"] == 5 and found[0]["silent_until"] and "secret" not in found[0]
    assert "Status" not in s3.get_bucket_versioning(Bucket=plain)


# MF05
def test_a_device_that_was_not_confirmed_counts_for_nothing(secure, s3, plain, device):
    other = Device(secure, device.owner, f"new-{uuid.uuid4().hex[:8]}")
    call = {"Bucket": plain, "VersioningConfiguration": {"Status": "Enabled", "MFADelete": "Enabled"}}
    assert refused(s3.put_bucket_versioning, MFA=other.header(), **call) == DENIED
    assert "wrong" in mfa(secure, "confirm", other.serial, "12", "--owner", other.owner, code=1)
    assert "remove it first" in mfa(secure, "enroll", other.serial, "--owner", other.owner, code=1)
    mfa(secure, "remove", other.serial, "--owner", other.owner)
    assert "no device" in mfa(secure, "remove", other.serial, "--owner", other.owner, code=1)


# MF01
def test_a_code_over_plain_http_is_refused_before_it_is_looked_at(new_server):
    server = new_server()
    server.start()
    s3 = server.client()
    s3.create_bucket(Bucket="plain-http")
    call = {"Bucket": "plain-http", "VersioningConfiguration": {"Status": "Enabled", "MFADelete": "Enabled"}}
    with pytest.raises(ClientError, match="over HTTPS") as caught:
        s3.put_bucket_versioning(MFA="phone 123456", **call)
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert "Status" not in s3.get_bucket_versioning(Bucket="plain-http")
