"""The administration commands and calls, the metrics page and what is drawn and warned from it."""

import json
import re
import time
import subprocess
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

import pytest

from harness.server import binary, clean_environment, free_port

DOCS = Path(__file__).resolve().parents[1] / "docs"
OPERATIONS = DOCS / "operations"
SMALL, LARGE = b"s" * 1000, bytes(range(256)) * 4096
PART = b"p" * (5 << 20)


def strongroom(server, *words, code=0, credentials=None):
    """Runs a command against the server; gives what it printed, as data with --json."""
    environment = clean_environment()
    environment["STRONGROOM_ACCESS_KEY"], environment["STRONGROOM_SECRET_KEY"] = credentials or server.credentials
    done = subprocess.run(
        [str(binary()), *map(str, words), "--admin-address", f"127.0.0.1:{server.admin_port}"],
        env=environment, cwd=server.folder, capture_output=True, text=True, timeout=120, check=False,
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert "panicked" not in done.stderr
    if code:
        assert done.stderr.startswith("strongroom: ") and done.stderr.count("\n") == 1, done.stderr
        return done.stderr
    return json.loads(done.stdout) if "--json" in words else done.stdout


def begin_upload(s3, bucket, key, parts=()):
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    for number, body in enumerate(parts, 1):
        s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)
    return upload


def recount(s3, bucket):
    """What the counters must say, counted through S3."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    sizes = [entry["Size"] for page in pages for entry in page.get("Contents", [])]
    parts = []
    uploads = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    for upload in uploads:
        listed = s3.list_parts(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        parts += [part["Size"] for part in listed.get("Parts", [])]
    return {
        "objects": len(sizes), "bytes": sum(sizes), "uploads": len(uploads),
        "upload_parts": len(parts), "upload_bytes": sum(parts),
    }


def assert_counted(server, s3, bucket):
    told = strongroom(server, "bucket", bucket, "--json")
    counted = recount(s3, bucket)
    assert {name: told[name] for name in counted} == counted


def test_buckets_are_told_with_what_a_recount_gives(server, s3, bucket):
    for index in range(20):
        s3.put_object(Bucket=bucket, Key=f"k{index}", Body=SMALL)
    s3.put_object(Bucket=bucket, Key="k0", Body=LARGE)
    s3.delete_object(Bucket=bucket, Key="k1")
    begin_upload(s3, bucket, "u", [PART, SMALL])
    assert_counted(server, s3, bucket)
    listed = strongroom(server, "buckets", "--prefix", bucket, "--json")["buckets"]
    assert [entry["name"] for entry in listed] == [bucket]
    text = strongroom(server, "buckets")
    assert bucket in text and "OBJECTS" in text


def test_counts_are_exact_after_a_crash(new_server):
    server = new_server()
    server.start()
    s3 = server.client()
    s3.create_bucket(Bucket="counted")
    for index in range(30):
        s3.put_object(Bucket="counted", Key=f"k{index % 20}", Body=b"x" * (index * 37))
        if index % 3 == 0:
            s3.delete_object(Bucket="counted", Key=f"k{index % 20}")
    done = begin_upload(s3, "counted", "done", [SMALL])
    part = s3.list_parts(Bucket="counted", Key="done", UploadId=done)["Parts"][0]
    s3.complete_multipart_upload(
        Bucket="counted", Key="done", UploadId=done,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    begin_upload(s3, "counted", "open", [SMALL])
    server.kill()
    server.start()
    assert_counted(server, s3, "counted")


def test_zones_and_disks_are_told_with_their_space(server):
    zones = strongroom(server, "zones", "--json")["zones"]
    assert [zone["name"] for zone in zones] == ["z1", "z2", "z3"]
    assert all(zone["in_service"] and 0 < zone["bytes_free"] <= zone["bytes_total"] for zone in zones)
    disks = strongroom(server, "disks", "--json")["disks"]
    assert {Path(disk["folder"]).name for disk in disks} == {"z1", "z2", "z3"}
    for command in ("zones", "disks"):
        assert "z2" in strongroom(server, command)


def test_uploads_are_summed_up_listed_and_aborted(server, s3, bucket):
    first = begin_upload(s3, bucket, "a b/\u00e9%2F", [SMALL])
    begin_upload(s3, bucket, "b", [PART, SMALL])
    sums = strongroom(server, "uploads", "--json")["buckets"]
    mine = next(entry for entry in sums if entry["bucket"] == bucket)
    assert (mine["uploads"], mine["parts"], mine["bytes"]) == (2, 3, len(PART) + 2 * len(SMALL))
    listed = strongroom(server, "uploads", "--bucket", bucket, "--json")["uploads"]
    assert [(entry["key"], entry["parts"]) for entry in listed] == [("a b/\u00e9%2F", 1), ("b", 2)]
    assert first in strongroom(server, "uploads", "--bucket", bucket)
    done = strongroom(server, "uploads", "--bucket", bucket, "--abort", first, "--json")
    assert (done["aborted"], done["bytes"]) == (1, len(SMALL))
    left = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [entry["Key"] for entry in left] == ["b"]
    again = strongroom(server, "uploads", "--bucket", bucket, "--abort", first, code=3)
    assert first in again


def test_only_uploads_of_the_age_are_aborted(server, s3, bucket):
    begin_upload(s3, bucket, "young", [SMALL])
    done = strongroom(server, "uploads", "--abort-older-than", "1d", "--json")
    assert done["aborted"] == 0 and done["examined"] >= 1
    text = strongroom(server, "uploads", "--bucket", bucket, "--abort-older-than", "0s")
    assert text.startswith("1 of 1 uploads aborted")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert_counted(server, s3, bucket)


def test_where_names_the_files_and_finds_damage_and_loss(new_server):
    server = new_server()
    server.start()
    s3 = server.client()
    s3.create_bucket(Bucket="placed")
    s3.put_object(Bucket="placed", Key="small", Body=SMALL)
    s3.put_object(Bucket="placed", Key="large", Body=LARGE)
    found = strongroom(server, "where", "s3://placed/small", "--json")
    assert found["parts"][0]["stored"] == "log"
    found = strongroom(server, "where", "s3://placed/large", "--verify", "--json")
    run = found["parts"][0]["runs"][0]
    assert (run["data_shards"], run["parity_shards"]) == (2, 1)
    assert {shard["zone"] for shard in run["shards"]} == {"z1", "z2", "z3"}
    assert all(shard["state"] == "verified" for shard in run["shards"])
    files = [Path(server.folder, shard["disk"], shard["segment"]) for shard in run["shards"]]
    with open(files[0], "r+b") as segment:
        segment.seek(run["offset"] + 500)
        segment.write(b"\xff\x00\xff")
    files[1].rename(files[1].with_suffix(".gone"))
    states = lambda *words: [  # noqa: E731
        shard["state"]
        for shard in strongroom(server, "where", "s3://placed/large", *words, "--json")["parts"][0]["runs"][0]["shards"]
    ]
    assert states() == ["present", "missing", "present"]
    assert states("--verify") == ["damaged", "missing", "verified"]
    files[1].with_suffix(".gone").rename(files[1])
    text = strongroom(server, "where", "s3://placed/large")
    assert "2+1 shards" in text and str(run["shards"][2]["segment"]) in text
    assert s3.get_object(Bucket="placed", Key="large")["Body"].read() == LARGE
    s3.delete_object(Bucket="placed", Key="large")
    strongroom(server, "where", "s3://placed/large", code=3)


def test_where_goes_part_by_part(server, s3, bucket):
    upload = begin_upload(s3, bucket, "parts", [PART, SMALL])
    parts = s3.list_parts(Bucket=bucket, Key="parts", UploadId=upload)["Parts"]
    parts = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    for words in ((), ("--verify",)):
        found = strongroom(server, "where", f"s3://{bucket}/parts", *words, "--json")
        assert [(part["number"], part["stored"]) for part in found["parts"]] == [(1, "shards"), (2, "log")]
        assert "next" not in found


def test_exit_codes_tell_what_went_wrong(server, bucket):
    assert "does not exist" in strongroom(server, "bucket", "no-such-bucket", code=3)
    strongroom(server, "where", f"s3://{bucket}/absent", code=3)
    strongroom(server, "uploads", "--bucket", "no-such-bucket", code=3)
    refused = strongroom(server, "status", code=1, credentials=(server.credentials[0], "another-secret-000"))
    assert "credentials" in refused and "another-secret" not in refused
    for words in (
        ("where", "bucket/key"), ("uploads", "--abort", "x"), ("uploads", "--abort-older-than", "soon"),
        ("bucket",), ("zones", "--endpoint", "http://x:1"), ("buckets", "--limt", "3"),
    ):
        strongroom(server, *words, code=2)
    environment = clean_environment() | dict(
        zip(("STRONGROOM_ACCESS_KEY", "STRONGROOM_SECRET_KEY"), server.credentials)
    )
    nobody = subprocess.run(
        [str(binary()), "zones", "--endpoint", f"http://127.0.0.1:{free_port()}"],
        env=environment, cwd=server.folder, capture_output=True, text=True, timeout=60, check=False,
    )
    assert nobody.returncode == 4, nobody.stderr


def test_text_that_clients_chose_does_not_move_a_terminal(server, s3, bucket):
    begin_upload(s3, bucket, "evil\u009b2J\u202e")
    text = strongroom(server, "uploads", "--bucket", bucket)
    assert "\u009b" not in text and "\u202e" not in text and "evil\\u{9b}2J\\u{202e}" in text


def ask(server, path, method="GET", credentials=True):
    import base64

    request = urllib.request.Request(server.admin_endpoint + path, method=method)
    if credentials:
        token = base64.b64encode(":".join(server.credentials).encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_every_described_call_needs_the_root_account_and_answers_it(server, s3, bucket):
    description = json.loads((DOCS / "openapi.json").read_text())
    s3.put_object(Bucket=bucket, Key="k", Body=SMALL)
    upload = begin_upload(s3, bucket, "u")
    values = {"bucket": bucket, "key": "k", "upload_id": upload, "older_than_seconds": "86400"}
    values["bytes_per_second_max"] = "0"
    values["lose"] = "zone=" + ask(server, "/v1/zones")[1]["zones"][0]["name"]
    # The disks of this store stay as they are: these are asked for a disk that is not there.
    values |= {"disk": "nowhere", "folder": "/nowhere", "zone": "nowhere"}
    values["folders"] = "/nowhere"
    values["time"] = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    # A device that is enrolled and removed; before that there is none to confirm.
    values |= {"owner": s3.list_buckets()["Owner"]["ID"], "serial": "device", "code": "000000"}
    refused = {"replace_disk", "add_disk", "drain_disk", "keep_disk", "remove_disk"}
    refused |= {"add_zone", "drain_zone", "keep_zone", "remove_zone", "mfa_confirm"}
    count = 0
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            parameters = operation.get("parameters", [])
            filled = path
            for parameter in parameters:
                if parameter["in"] == "path":
                    filled = filled.replace("{%s}" % parameter["name"], values[parameter["name"]])
            chosen = dict(values, key="u") if operation["operationId"] == "abort_upload" else values
            query = "&".join(
                f"{p['name']}={chosen[p['name']]}" for p in parameters if p["in"] == "query" and p["required"]
            )
            filled += f"?{query}" if query else ""
            status, answer = ask(server, filled, method.upper(), credentials=False)
            assert (status, answer["code"]) == (401, "Unauthorized"), filled
            status, answer = ask(server, filled, method.upper())
            if operation["operationId"] in refused:
                assert (status, answer["code"]) == (400, "InvalidArgument"), (filled, answer)
                count += 1
                continue
            assert status == 200, f"{method} {filled}: {answer}"
            name = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
            schema = description["components"]["schemas"][name]
            assert set(answer) <= set(schema["properties"]) and set(schema.get("required", [])) <= set(answer)
            count += 1
    assert count >= 9
    assert ask(server, "/v1/nowhere")[1]["code"] == "NoSuchCall"
    assert ask(server, "/v1/buckets?limit=1001") [0] == 400


# -- metrics

SERIES = re.compile(r"strongroom_[a-z0-9_]+")


def families(page):
    """Kind and help of each metric of a page."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", page, re.MULTILINE))
    assert set(kinds) == set(helps)
    return {name: (kinds[name], helps[name]) for name in kinds}


@pytest.fixture
def page(server, s3, bucket):
    """The metrics page of a server that has done a little of everything."""
    s3.put_object(Bucket=bucket, Key="k", Body=LARGE)
    s3.get_object(Bucket=bucket, Key="k")["Body"].read()
    begin_upload(s3, bucket, "u", [SMALL])
    # The first walk and the first scrub begin with the server.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        page = server.fetch("/metrics")
        if "strongroom_scrub_age_seconds" in page and "strongroom_redundancy_blobs" in page:
            break
        time.sleep(0.2)
    return page


def documented():
    rows = re.findall(r"^\| `(strongroom_\w+)`[^|]*\| (\w+) \|[^|]*\| (.+) \|$", (OPERATIONS / "metrics.md").read_text(), re.MULTILINE)
    return {name: (kind, help) for name, kind, help in rows}


def test_the_table_of_metrics_is_what_the_page_shows(page):
    shown, told = families(page), documented()
    assert set(shown) - set(told) == set(), "not in docs/operations/metrics.md"
    assert set(told) - set(shown) == set(), "in docs/operations/metrics.md and not on the page"
    for name, (kind, help) in told.items():
        assert shown[name] == (kind, help), name


def test_the_page_counts_what_buckets_hold_and_what_disks_have(page, bucket):
    assert f'strongroom_bucket_bytes{{bucket="{bucket}"}} {len(LARGE)}' in page
    assert f'strongroom_bucket_uploads{{bucket="{bucket}"}} 1' in page
    assert "strongroom_buckets_left_out 0" in page
    assert len(re.findall(r"^strongroom_disk_free_bytes\{.*\} [0-9.e+]+$", page, re.MULTILINE)) == 3


def test_the_number_of_buckets_on_the_page_is_bounded(new_server):
    server = new_server(arguments=["--metrics-buckets-max", "2"])
    server.start()
    for name in ("aaa", "bbb", "ccc"):
        server.client().create_bucket(Bucket=name)
    page = server.fetch("/metrics")
    assert re.findall(r'strongroom_bucket_bytes\{bucket="(\w+)"\}', page) == ["aaa", "bbb"]
    assert "strongroom_buckets_left_out 1" in page
    server.stop()
    none = new_server("none", arguments=["--metrics-buckets-max", "0"])
    none.start()
    assert "strongroom_bucket" not in none.fetch("/metrics")


def unknown(text, shown):
    """The metrics that `text` names and the page does not show."""
    names = {re.sub(r"_(bucket|sum|count)$", "", name) if name not in shown else name for name in SERIES.findall(text)}
    assert len(names) > 5
    return names - set(shown)


def test_the_alerts_name_metrics_that_exist(page):
    text = (OPERATIONS / "alerts.yml").read_text()
    expressions = re.findall(r"^\s+expr: (.+)$", text, re.MULTILINE)
    alerts = re.findall(r"^\s+- alert: (\w+)$", text, re.MULTILINE)
    assert len(alerts) == len(set(alerts)) == len(expressions) == text.count("summary:") == text.count("severity:")
    assert unknown("\n".join(expressions), families(page)) == set()
    for runbook in re.findall(r"docs/operations/([\w-]+\.md)", text):
        assert (OPERATIONS / runbook).exists(), runbook


def test_the_dashboard_draws_metrics_that_exist(page):
    dashboard = json.loads((OPERATIONS / "grafana-dashboard.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 10
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    assert unknown("\n".join(expressions), families(page)) == set()
