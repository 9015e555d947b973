"""The calls Terraform's AWS provider makes for `resource "aws_s3_bucket"`, replayed with an SDK.

The provider creates a bucket, then reads every sub-resource it has an attribute for, in this order,
and takes the documented «not configured» error of each for an absence. Any other error ends the
plan: so each answer here is exact. With path style and `skip_…` checks, as one sets it up for a store
that is not AWS.
"""

import pytest
from botocore.exceptions import ClientError

# The call, and the documented answer of a bucket nobody configured: an error code, or what of the
# answer the provider reads.
READS = [
    ("get_bucket_policy", "NoSuchBucketPolicy"),
    ("get_bucket_acl", lambda a: [g["Permission"] for g in a["Grants"]] == ["FULL_CONTROL"]),
    ("get_bucket_cors", "NoSuchCORSConfiguration"),
    ("get_bucket_website", "NoSuchWebsiteConfiguration"),
    ("get_bucket_versioning", lambda a: "Status" not in a and "MFADelete" not in a),
    ("get_bucket_accelerate_configuration", lambda a: "Status" not in a),
    ("get_bucket_request_payment", lambda a: a["Payer"] == "BucketOwner"),
    ("get_bucket_logging", lambda a: "LoggingEnabled" not in a),
    ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
    ("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
    ("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError"),
    ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"),
    ("get_bucket_location", lambda a: a["LocationConstraint"] is None),
    ("get_bucket_tagging", "NoSuchTagSet"),
    # Resources of their own that stand beside a plain bucket in most configurations.
    ("get_bucket_ownership_controls",
     lambda a: a["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]),
    ("get_public_access_block", None),
    ("get_bucket_notification_configuration",
     lambda a: set(a) == {"ResponseMetadata"}),
    ("get_bucket_policy_status", "NoSuchBucketPolicy"),
]


def refresh(s3, bucket, tags=None):
    """What `terraform plan` reads; returns the answers that are not as documented."""
    s3.head_bucket(Bucket=bucket)
    surprises = {}
    for name, expected in READS:
        try:
            answer = getattr(s3, name)(Bucket=bucket)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            allowed = [expected]
            if expected is None:
                # AWS blocks public access of new buckets; a store without that setting has none.
                allowed = ["NoSuchPublicAccessBlockConfiguration"]
            if code not in allowed:
                surprises[name] = code
            continue
        if name == "get_bucket_tagging" and tags is not None:
            if {tag["Key"]: tag["Value"] for tag in answer["TagSet"]} != tags:
                surprises[name] = answer["TagSet"]
        elif expected is None:
            if not all(answer["PublicAccessBlockConfiguration"].values()):
                surprises[name] = answer["PublicAccessBlockConfiguration"]
        elif isinstance(expected, str) or not expected(answer):
            surprises[name] = {key: answer[key] for key in answer if key != "ResponseMetadata"}
    return surprises


def test_a_plain_bucket_is_planned_created_tagged_refreshed_and_destroyed(s3):
    """BK: a create, two refreshes, a change of tags, and a destroy, as one `apply` after another."""
    bucket = "terraform-plain"
    # Before it creates, the provider asks whether the name is its own.
    with pytest.raises(ClientError) as caught:
        s3.head_bucket(Bucket=bucket)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    s3.create_bucket(Bucket=bucket, ObjectOwnership="BucketOwnerEnforced")
    s3.get_waiter("bucket_exists").wait(Bucket=bucket)
    assert refresh(s3, bucket) == {}
    tags = {"Name": "plain", "cost centre": "a+b = c/d@e"}
    s3.put_bucket_tagging(
        Bucket=bucket, Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in tags.items()]})
    assert refresh(s3, bucket, tags) == {}
    s3.delete_bucket_tagging(Bucket=bucket)
    assert refresh(s3, bucket) == {}
    # A destroy deletes the bucket and nothing in it.
    s3.put_object(Bucket=bucket, Key="left behind", Body=b"x")
    with pytest.raises(ClientError) as caught:
        s3.delete_bucket(Bucket=bucket)
    assert caught.value.response["Error"]["Code"] == "BucketNotEmpty"
    s3.delete_object(Bucket=bucket, Key="left behind")
    s3.delete_bucket(Bucket=bucket)
    s3.get_waiter("bucket_not_exists").wait(Bucket=bucket)


def test_force_destroy_empties_the_bucket_by_its_versions(s3, bucket):
    """With `force_destroy` the provider lists versions page by page and deletes each by its id (VE28)."""
    keys = ["a/b", "c d+e", "\u00fc"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    found = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2}):
        versions = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in page.get("Versions", [])]
        found += versions
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": versions, "Quiet": True})
        assert "Errors" not in answer
    assert [(v["Key"], v["VersionId"]) for v in found] == [(key, "null") for key in keys]
    s3.delete_bucket(Bucket=bucket)


def test_a_bucket_that_went_away_is_seen_as_gone_by_every_read(s3):
    """`terraform refresh` drops a resource from its state on NoSuchBucket and on nothing else."""
    wrong = {}
    for name, _ in READS:
        try:
            wrong[name] = getattr(s3, name)(Bucket="terraform-gone")
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                wrong[name] = error.response["Error"]["Code"]
    assert wrong == {}
