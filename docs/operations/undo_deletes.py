"""Takes back deletes of a bucket with versioning, made between two moments.

    python undo_deletes.py --endpoint-url http://127.0.0.1:8333 --bucket B [--prefix P]
                           --since 2026-11-22T03:00:00Z --until 2026-11-22T03:10:00Z [--do-it]

Without `--do-it` it says what it would do. Credentials come from the environment, as with any AWS client.

A delete without a version id only lays a delete marker on top. What is taken back are markers on top
of their key and from that time: a key that somebody wrote again since stays as it is now, and so does
one that was deleted before or after. Running it twice is the same as once.
"""

import argparse
import datetime

import boto3

# S3 takes no more in one request.
BATCH = 1000


def markers(client, bucket, prefix, since, until):
    """Delete markers of that time that are on top of their key."""
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for marker in page.get("DeleteMarkers", []):
            if marker["IsLatest"] and since <= marker["LastModified"] <= until:
                yield {"Key": marker["Key"], "VersionId": marker["VersionId"]}


def undo(client, bucket, prefix, since, until, do_it):
    """The keys that are back, or would be."""
    back, batch = [], []

    def take_back():
        if do_it and batch:
            answer = client.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
            if answer.get("Errors"):
                raise SystemExit(f"not taken back: {answer['Errors'][:3]}; run it again")
        back.extend(entry["Key"] for entry in batch)
        batch.clear()

    for entry in markers(client, bucket, prefix, since, until):
        batch.append(entry)
        if len(batch) == BATCH:
            take_back()
    take_back()
    return back


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--endpoint-url", required=True)
    parse.add_argument("--region", default="us-east-1")
    parse.add_argument("--bucket", required=True)
    parse.add_argument("--prefix", default="")
    moment = datetime.datetime.fromisoformat
    parse.add_argument("--since", required=True, type=moment, help="with a time zone: 2026-11-22T03:00:00Z")
    parse.add_argument("--until", required=True, type=moment)
    parse.add_argument("--do-it", action="store_true")
    asked = parse.parse_args()
    client = boto3.client("s3", endpoint_url=asked.endpoint_url, region_name=asked.region)
    back = undo(client, asked.bucket, asked.prefix, asked.since, asked.until, asked.do_it)
    for key in back:
        print(key)
    print(f"{len(back)} deletes {'taken back' if asked.do_it else 'would be taken back: add --do-it'}")


if __name__ == "__main__":
    main()
