"""Tags and bucket configurations with boto3, over restarts, and what a plain bucket answers."""

import http.client
import json

import pytest
from botocore.exceptions import ClientError

# What Terraform's AWS provider reads of a bucket it made, and the answer of a plain one.
PLAIN_ERRORS = {
    "get_bucket_policy": "NoSuchBucketPolicy",
    "get_bucket_policy_status": "NoSuchBucketPolicy",
    "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
    "get_bucket_replication": "ReplicationConfigurationNotFoundError",
    "get_bucket_encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
    "get_bucket_tagging": "NoSuchTagSet",
    "get_bucket_cors": "NoSuchCORSConfiguration",
    "get_bucket_website": "NoSuchWebsiteConfiguration",
}
PLAIN_ANSWERS = {
    "get_bucket_logging": {},
    "get_bucket_request_payment": {"Payer": "BucketOwner"},
    "get_bucket_accelerate_configuration": {},
    "get_bucket_notification_configuration": {},
    "get_bucket_versioning": {},
    "get_bucket_ownership_controls": {
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    },
    "get_public_access_block": {
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        }
    },
    "list_bucket_analytics_configurations": {"IsTruncated": False},
    "list_bucket_metrics_configurations": {"IsTruncated": False},
    "list_bucket_inventory_configurations": {"IsTruncated": False},
    "list_bucket_intelligent_tiering_configurations": {"IsTruncated": False},
}
RULES = {
    "CORSRules": [
        {
            "AllowedMethods": ["GET", "PUT"],
            "AllowedOrigins": ["http://*.example.com"],
            "AllowedHeaders": ["x-amz-*"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": 60,
        }
    ]
}
SITE = {
    "IndexDocument": {"Suffix": "index.html"},
    "ErrorDocument": {"Key": "error.html"},
    "RoutingRules": [
        {
            "Condition": {"KeyPrefixEquals": "docs/"},
            "Redirect": {"ReplaceKeyPrefixWith": "documents/"},
        }
    ],
}


def refused(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]


def answer(response):
    return {name: value for name, value in response.items() if name != "ResponseMetadata"}


def tag_set(**tags):
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def test_a_plain_bucket_answers_everything_terraform_reads(s3, bucket):
    # PR02, BK01, OP23
    for name, code in PLAIN_ERRORS.items():
        status, error = refused(getattr(s3, name), Bucket=bucket)
        assert (status, error["Code"]) == (404, code), name
        assert error["BucketName"] == bucket, name
    for name, expected in PLAIN_ANSWERS.items():
        assert answer(getattr(s3, name)(Bucket=bucket)) == expected, name


def test_tags_are_put_replaced_copied_and_deleted(s3, bucket):
    # VE30, HD06, LI01
    s3.put_object(Bucket=bucket, Key="key", Body=b"x", Tagging="a=1&b%20c=%C3%A9")
    head = s3.head_object(Bucket=bucket, Key="key")
    assert head["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"] == "2"
    found = s3.get_object_tagging(Bucket=bucket, Key="key")
    assert found["TagSet"] == [{"Key": "a", "Value": "1"}, {"Key": "b c", "Value": "é"}]
    s3.put_object_tagging(Bucket=bucket, Key="key", Tagging={"TagSet": tag_set(c="3")})
    after = s3.get_object(Bucket=bucket, Key="key")
    assert after["TagCount"] == 1
    assert (after["ETag"], after["LastModified"]) == (head["ETag"], head["LastModified"])
    source = {"Bucket": bucket, "Key": "key"}
    s3.copy_object(Bucket=bucket, Key="same", CopySource=source)
    s3.copy_object(
        Bucket=bucket, Key="other", CopySource=source, TaggingDirective="REPLACE", Tagging="d=4"
    )
    assert s3.get_object_tagging(Bucket=bucket, Key="same")["TagSet"] == tag_set(c="3")
    assert s3.get_object_tagging(Bucket=bucket, Key="other")["TagSet"] == tag_set(d="4")
    s3.delete_object_tagging(Bucket=bucket, Key="key")
    assert s3.get_object_tagging(Bucket=bucket, Key="key")["TagSet"] == []


def test_tags_that_break_the_limits_are_refused(s3, bucket):
    # LI01, BK10
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    put = {"Bucket": bucket, "Key": "key"}
    eleven = tag_set(**{f"k{number}": "v" for number in range(11)})
    for tags, code in [
        (eleven, "BadRequest"),
        (tag_set(k="v") * 2, "InvalidTag"),
        ([{"Key": "aws:k", "Value": "v"}], "InvalidTag"),
        ([{"Key": "k" * 129, "Value": "v"}], "InvalidTag"),
        ([{"Key": "k", "Value": "v" * 257}], "InvalidTag"),
    ]:
        status, error = refused(s3.put_object_tagging, **put, Tagging={"TagSet": tags})
        assert (status, error["Code"]) == (400, code)
    assert s3.get_object_tagging(**put)["TagSet"] == []
    most = tag_set(**{f"{number}" * 128: "v" * 256 for number in range(10)})
    s3.put_object_tagging(**put, Tagging={"TagSet": most})
    assert s3.get_object_tagging(**put)["TagSet"] == most


def test_a_bucket_is_made_with_tags_and_loses_them_with_its_life(s3):
    # BK06, BK10
    name = "bucket-made-with-tags"
    options = {"Bucket": name, "CreateBucketConfiguration": {"Tags": tag_set(team="a")}}
    s3.create_bucket(**options)
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == tag_set(team="a")
    s3.put_bucket_cors(Bucket=name, CORSConfiguration=RULES)
    s3.delete_bucket(Bucket=name)
    s3.create_bucket(Bucket=name)
    assert refused(s3.get_bucket_tagging, Bucket=name)[1]["Code"] == "NoSuchTagSet"
    assert refused(s3.get_bucket_cors, Bucket=name)[1]["Code"] == "NoSuchCORSConfiguration"
    # BK03
    assert refused(s3.create_bucket, **options)[0] == 409


def test_configurations_survive_a_restart(new_server):
    # BK06, PR08
    server = new_server().start()
    s3 = server.client()
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="key", Body=b"x", Tagging="a=1")
    s3.put_bucket_cors(Bucket="bucket", CORSConfiguration=RULES)
    s3.put_bucket_website(Bucket="bucket", WebsiteConfiguration=SITE)
    s3.put_bucket_tagging(Bucket="bucket", Tagging={"TagSet": tag_set(team="a")})
    server.kill()
    server.start()
    assert answer(s3.get_bucket_cors(Bucket="bucket")) == RULES
    assert answer(s3.get_bucket_website(Bucket="bucket")) == SITE
    assert s3.get_bucket_tagging(Bucket="bucket")["TagSet"] == tag_set(team="a")
    assert s3.get_object_tagging(Bucket="bucket", Key="key")["TagSet"] == tag_set(a="1")


def test_what_protects_is_refused_and_not_forgotten(s3, bucket):
    # PR13
    policy = {"Version": "2012-10-17", "Statement": []}
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    expire = {"ID": "a", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}
    block = dict.fromkeys(
        ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"], False
    )
    for call, arguments in [
        (s3.put_bucket_policy, {"Policy": json.dumps(policy)}),
        (s3.put_bucket_encryption, {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}),
        (s3.put_bucket_lifecycle_configuration, {"LifecycleConfiguration": {"Rules": [expire]}}),
        (s3.put_public_access_block, {"PublicAccessBlockConfiguration": block}),
        (s3.delete_public_access_block, {}),
        (s3.put_object, {"Key": "key", "Body": b"x", "ServerSideEncryption": "AES256"}),
        (s3.get_object_torrent, {"Key": "key"}),
    ]:
        status, error = refused(call, Bucket=bucket, **arguments)
        assert (status, error["Code"]) == (501, "NotImplemented"), call
        assert error["Header"], call
    # OL15: a lock is there, and not in this bucket.
    status, error = refused(s3.put_object, Bucket=bucket, Key="key", Body=b"x", ObjectLockLegalHoldStatus="ON")
    assert (status, error["Code"]) == (400, "InvalidRequest")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    block = dict.fromkeys(block, True)
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})


def visit(server, method, path, **headers):
    """A request without signature, as a browser sends it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=names)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, text


def test_a_browser_is_told_which_pages_may_use_a_bucket(server, s3, bucket):
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=RULES)
    page = "http://a.example.com"
    asks = {"Origin": page, "Access_Control_Request_Method": "PUT"}
    status, headers, _ = visit(server, "OPTIONS", f"/{bucket}/key", **asks)
    assert status == 200 and headers["access-control-allow-origin"] == page
    asks["Access_Control_Request_Method"] = "DELETE"
    status, _, text = visit(server, "OPTIONS", f"/{bucket}/key", **asks)
    assert status == 403 and "<Code>AccessForbidden</Code>" in text
    status, headers, _ = visit(server, "GET", f"/{bucket}/key", Origin=page)
    assert status == 403 and headers["access-control-allow-origin"] == page
    assert headers["access-control-expose-headers"] == "ETag"
    status, headers, _ = visit(server, "GET", f"/{bucket}/key", Origin="http://other.com")
    assert status == 403 and "access-control-allow-origin" not in headers


def test_a_website_redirects_and_shows_nothing_else(new_server):
    # BK01
    server = new_server(arguments=["--website-domain", "web.example.com"]).start()
    s3 = server.client()
    s3.create_bucket(Bucket="bucket")
    s3.put_bucket_website(Bucket="bucket", WebsiteConfiguration=SITE)
    s3.put_object(Bucket="bucket", Key="index.html", Body=b"secret")
    host = {"Host": "bucket.web.example.com"}
    status, headers, text = visit(server, "GET", "/", **host)
    assert (status, headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert "<li>Code: AccessDenied</li>" in text and "secret" not in text
    status, headers, _ = visit(server, "GET", "/docs/page?a=b", **host)
    assert (status, headers["location"]) == (301, "/documents/page?a=b")
    status, _, text = visit(server, "GET", "/", Host="other.web.example.com")
    assert status == 404 and "NoSuchBucket" in text
    assert visit(server, "POST", "/", **host)[0] == 405
