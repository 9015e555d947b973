"""The lock conformance suite: green at our server, red at every server that is wrong.

A suite that can not fail proves nothing, so a proxy in front of our server does what wrong servers
do, one fault at a time, and the suite must name it.
"""

import http.client
import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from harness.server import ACCESS_KEY, REGION, SECRET_KEY, free_port
from lock_suite import command
from lock_suite.run import run
from lock_suite.suite import Suite
from lock_suite.wire import Budget, Spent, Wire

CREDENTIALS = Credentials(ACCESS_KEY, SECRET_KEY)
LOCK_HEADERS = ("x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold")
# What a connection has and a request has not.
HOP_HEADERS = {"connection", "content-length", "transfer-encoding", "keep-alive", "expect", "accept-encoding"}


class Request:
    """A request on its way, as a fault may change it."""

    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.query = dict(parse_qsl(urlsplit(target).query, keep_blank_values=True))
        self.key = urlsplit(target).path.partition("/")[2].partition("/")[2]


class WrongServer:
    """A proxy that breaks one promise: `asked` may answer or change a request, `answered` an answer."""

    def __init__(self, upstream, asked=None, answered=None):
        self.asked, self.answered = asked, answered
        fault = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {n.lower(): v for n, v in self.headers.items() if n.lower() not in HOP_HEADERS}
                status, headers, body = fault.serve(upstream, Request(self.command, self.path, headers, body))
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "content-length" not in headers or self.command != "HEAD":
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self.http.server_address[1]}"

    def serve(self, upstream, request):
        before = (dict(request.headers), request.body)
        answer = self.asked(request) if self.asked else None
        if answer is None:
            if (request.headers, request.body) != before:
                sign_again(self.endpoint, request)
            answer = forward(upstream, request)
        return self.answered(request, *answer) if self.answered else answer

    def close(self):
        self.http.shutdown()
        self.http.server_close()


def sign_again(endpoint, request):
    """A changed request is signed as the server itself would do what was not asked of it."""
    gone = ("authorization", "x-amz-date", "x-amz-content-sha256", "content-md5", "user-agent", "host")
    headers = {name: value for name, value in request.headers.items() if name not in gone}
    signed = AWSRequest(method=request.method, url=endpoint + request.target, headers=headers, data=request.body)
    S3SigV4Auth(CREDENTIALS, "s3", REGION).add_auth(signed)
    request.headers = dict(signed.headers.items()) | {"Host": urlsplit(endpoint).netloc}


def forward(upstream, request):
    host, port = urlsplit(upstream).netloc.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
        answer = connection.getresponse()
        body = answer.read()
        hop = HOP_HEADERS - {"content-length"} if request.method == "HEAD" else HOP_HEADERS
        return answer.status, {n.lower(): v for n, v in answer.getheaders() if n.lower() not in hop}, body
    finally:
        connection.close()


@pytest.fixture
def wrong(server):
    """Makes wrong servers in front of the right one."""
    made = []

    def make(**fault):
        made.append(WrongServer(server.endpoint, **fault))
        return made[-1]

    yield make
    for each in made:
        each.close()


def run_quietly(endpoint, *groups, **options):
    """A run of some groups that leaves its buckets to the server that is thrown away."""
    lines = []
    report = run(endpoint, REGION, CREDENTIALS, groups=groups, say=lines.append, clean=False, **options)
    report.lines = lines
    return report


def failures(report):
    return {each.what for each in report.failed()}


# OL01-OL10, OL12-OL30, OL35-OL40, OL43, IX01, IX05, IX06, attack 10, attack 25, attack 32
def test_the_suite_is_green_at_our_server_and_leaves_only_the_lock_of_a_day(server, s3):
    lines = []
    report = run(server.endpoint, REGION, CREDENTIALS, leave_a_day=True, lock_seconds=10, say=lines.append)
    assert [each.line() for each in report.failed()] == []
    assert report.count("skipped") == 0 and report.count("ok") == len(report.results) > 250
    assert len(report.left) == 1 and re.search(r"compliance until 20\d\d-\d\d-\d\dT", report.left[0]), report.left
    made = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    assert made == {bucket for bucket in report.suite.buckets if bucket.endswith("-default-com")}
    rules = {rule for each in report.results for rule in each.rules.split()}
    wanted = {f"OL{number:02}" for number in (*range(1, 11), *range(12, 31), *range(35, 41), 43)}
    assert wanted | {"IX01", "IX05", "IX06"} == rules


def test_a_check_that_would_leave_a_lock_of_a_day_is_skipped_with_its_reason_unless_asked(server):
    report = run_quietly(server.endpoint, "writing", matching="a default retention")
    assert report.passed and report.count("skipped") == 1 and report.count("ok") == 4
    assert any(line.startswith("skipped(it would leave a version for a day") for line in report.lines)


def test_the_proxy_without_a_fault_is_green(wrong):
    report = run_quietly(wrong().endpoint, "holds")
    assert failures(report) == set() and report.count("ok") > 5


# -- faults of servers; each with the groups that must notice and a check that must be red

def claims_success(request, status, headers, body):
    """The version stays, and the answer says it was deleted."""
    if request.method == "DELETE" and status == 403:
        return 204, {}, b""
    return status, headers, body


def always_bypasses(request):
    if request.method == "DELETE" and "versionId" in request.query and request.headers.get("authorization"):
        request.headers["x-amz-bypass-governance-retention"] = "true"


def forgets_locks_of(kind):
    def asked(request):
        is_begin = request.method == "POST" and "uploads" in request.query
        is_copy = "x-amz-copy-source" in request.headers
        is_put = request.method == "PUT" and request.key and not request.query and not is_copy
        if {"upload": is_begin, "copy": is_copy, "put": is_put}[kind]:
            for name in LOCK_HEADERS:
                request.headers.pop(name, None)
    return asked


def answers(method, parameter, status, body=b""):
    """Answers by itself and does nothing."""
    def asked(request):
        if request.method == method and parameter in request.query:
            return status, {"content-type": "application/xml"} if body else {}, body
        return None
    return asked


def hides_refusals(request, status, headers, body):
    if "delete" in request.query and status == 200:
        body = re.sub(rb"<Error>.*?</Error>", b"", body, flags=re.DOTALL)
    return status, headers, body


def refuses_writes_over():
    """What breaks backup programs: a key with a locked version takes no other."""
    locked = set()

    def asked(request):
        if request.method == "PUT" and request.key and not request.query:
            path = urlsplit(request.target).path
            if path in locked:
                return 403, {"content-type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>"
            if "x-amz-object-lock-mode" in request.headers:
                locked.add(path)
        return None
    return asked


def replaces_bytes(request, status, headers, body):
    if request.method == "GET" and status == 200 and "versionId" in request.query and len(request.query) == 1:
        body = body[:-1] + bytes([body[-1] ^ 1]) if body else body
    return status, headers, body


def shows_no_lock(request, status, headers, body):
    return status, {name: value for name, value in headers.items() if name not in LOCK_HEADERS}, body


def never_ends(request, status, headers, body):
    """A lock that waits for a job which is late."""
    if request.method == "DELETE" and request.key.startswith("compliance-") and status == 204:
        return 403, {"content-type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>"
    return status, headers, body


FAULTS = {
    "a locked delete is answered with success": (
        {"answered": claims_success}, "enforcement", "governance is deleted with bypass, and not without"),
    "every delete bypasses governance": (
        {"asked": always_bypasses}, "enforcement", "governance is deleted with bypass, and not without"),
    "the lock of a put is dropped": (
        {"asked": forgets_locks_of("put")}, "writing", "a lock asked for by PUT holds"),
    "the lock of an upload is dropped": (
        {"asked": forgets_locks_of("upload")}, "writing", "a lock asked for by a multipart upload holds"),
    "the lock of a copy is dropped": (
        {"asked": forgets_locks_of("copy")}, "writing", "a lock asked for by COPY holds"),
    "a default is accepted and not stored": (
        {"asked": answers("PUT", "object-lock", 200)}, "configuration", "a default retention is read back as it was put"),
    "a change of retention is accepted and ignored": (
        {"asked": answers("PUT", "retention", 200)}, "changes", "compliance is not shortened with bypass"),
    "a hold is accepted and ignored": (
        {"asked": answers("PUT", "legal-hold", 200)}, "holds", "a hold is set and cleared again without any bypass"),
    "versioning can be suspended": (
        {"asked": answers("PUT", "versioning", 200)}, "configuration", "versioning is not suspended where there are locks"),
    "refusals of a bulk delete are left out": (
        {"answered": hides_refusals}, "enforcement",
        "governance is deleted in bulk with bypass, compliance and holds beside it stay"),
    "a key with a locked version takes no writes": (
        {"asked": refuses_writes_over()}, "enforcement", "writes without end over a locked version, each a version"),
    "a locked version has other bytes": (
        {"answered": replaces_bytes}, "enforcement", "the lock of the named version is asked, not that of the current one"),
    "locks are not shown": ({"answered": shows_no_lock}, "enforcement", "each version of a key has its own lock"),
    "a lock that is over holds on": (
        {"answered": never_ends}, "expiry", "compliance that is over is deleted at once and without bypass"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_server_is_red(wrong, fault):
    hooks, group, check = FAULTS[fault]
    report = run_quietly(wrong(**hooks).endpoint, group, matching=check)
    assert check in failures(report), report.lines
    assert not report.passed


def test_every_attack_is_red_where_the_locked_version_can_not_be_read_back(wrong):
    def lost(request, status, headers, body):
        if request.method == "GET" and "versionId" in request.query and len(request.query) == 1:
            return 404, {"content-type": "application/xml"}, b"<Error><Code>NoSuchVersion</Code></Error>"
        return status, headers, body

    report = run_quietly(wrong(answered=lost).endpoint, "attacks", matching="governance withstands")
    assert report.count("ok") == 0 and report.count("FAILED") > 30
    assert sum("the locked version is gone" in each.reason for each in report.failed()) > 25, report.lines


def test_every_check_of_expiry_is_red_where_no_lock_held_before_and_says_so(wrong):
    report = run_quietly(wrong(answered=claims_success).endpoint, "expiry", matching="over")
    assert report.count("ok") == 0 and report.count("FAILED") == 5
    assert all("was answered with 204, not 403 AccessDenied" in each.reason for each in report.failed()), report.lines


def test_what_is_not_implemented_is_red_and_skipped_only_when_that_is_allowed(wrong):
    body = b"<Error><Code>NotImplemented</Code></Error>"

    def no_holds(request):
        if "legal-hold" in request.query:
            return 501, {"content-type": "application/xml"}, body
        return None

    endpoint = wrong(asked=no_holds).endpoint
    strict = run_quietly(endpoint, "holds")
    assert not strict.passed and "501" in strict.failed()[0].reason
    lenient = run_quietly(endpoint, "holds", allow_missing=True)
    assert lenient.passed and lenient.count("skipped") == strict.count("FAILED") > 0
    assert any(line.startswith("skipped(") and "says 501 NotImplemented" in line for line in lenient.lines)


def test_no_compliance_is_tried_where_a_date_is_not_kept(wrong):
    """Nobody could undo a lock whose date the server misread."""
    asked_for = []

    def misread(request, status, headers, body):
        if "COMPLIANCE" in request.headers.get("x-amz-object-lock-mode", ""):
            asked_for.append(request.target)
        if "x-amz-object-lock-retain-until-date" in headers:
            headers["x-amz-object-lock-retain-until-date"] = "2999-01-01T00:00:00Z"
        return status, headers, body

    report = run_quietly(wrong(answered=misread).endpoint, "enforcement")
    assert not report.passed and asked_for == []


def test_a_run_ends_with_its_requests_and_touches_no_bucket_it_did_not_make(server, s3, bucket):
    report = run_quietly(server.endpoint, "configuration", requests_max=20)
    assert not report.passed and report.suite.wire.budget.sent <= 20
    assert any("the limit of 20 requests is reached" in each.reason for each in report.failed())
    suite = Suite(Wire(server.endpoint, REGION, CREDENTIALS, None, Budget(5, 60)), 12)
    with pytest.raises(AssertionError, match="did not make"):
        suite.send("GET", f"/{bucket}")
    with pytest.raises(Spent):
        Budget(0, 60).take()


def test_the_command_line_says_what_it_found_in_lines_json_and_exit_code(server, wrong, tmp_path, capsys):
    words = ["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY, "--region", REGION, "--only", "configuration"]
    out = tmp_path / "result.json"
    assert command.main([*words, "--endpoint", server.endpoint, "--json", str(out)]) == 0
    said = capsys.readouterr().out
    assert "ok OL02 a bucket without locks has no configuration of them" in said and " 0 FAILED" in said
    assert SECRET_KEY not in said + out.read_text()
    found = json.loads(out.read_text())
    assert found["passed"] and found["left"] == [] and {"OL03"} <= {r for c in found["checks"] for r in c["rules"]}
    broken = wrong(asked=answers("PUT", "object-lock", 200)).endpoint
    assert command.main([*words, "--endpoint", broken]) == 1
    assert "FAILED OL03" in capsys.readouterr().out


def test_a_run_that_can_not_begin_says_why_and_ends_with_2(server, capsys, monkeypatch, tmp_path):
    keys = ["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY]
    nobody = f"http://127.0.0.1:{free_port()}"
    assert command.main([*keys, "--region", REGION, "--endpoint", nobody]) == 2
    assert "no bucket can be made" in capsys.readouterr().err
    assert command.main([*keys, "--region", "xx-west-9", "--endpoint", server.endpoint]) == 2
    said = capsys.readouterr()
    assert "AuthorizationHeaderMalformed" in said.err and "left:" not in said.out
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert command.main(["--endpoint", server.endpoint]) == 2
    assert "no credentials: give --access-key" in capsys.readouterr().err


def test_the_key_comes_from_the_environment_and_the_authority_from_a_file(new_server, capsys, monkeypatch):
    server = new_server("tls", arguments=["--tls-development"])
    server.authority = server.data / "tls-development/ca.pem"
    server.start()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    words = ["--endpoint", server.endpoint, "--region", REGION, "--only", "configuration"]
    assert command.main(words) == 2
    assert "certificate" in capsys.readouterr().err
    assert command.main([*words, "--ca", str(server.authority)]) == 0
    assert " 0 FAILED" in capsys.readouterr().out


@pytest.mark.parametrize("words", (
    ["--endpoint", "ftp://x"], ["--access-key", "a"], ["--lock-seconds", "5"], ["--lock-seconds", "9999"],
    ["--seconds", "99999"], ["--only", "nothing"], ["--ca", "/no/such/file"],
))
def test_a_wrong_command_line_is_refused_before_anything_is_sent(words, capsys):
    with pytest.raises(SystemExit) as caught:
        command.arguments(words)
    assert caught.value.code == 2 and "error:" in capsys.readouterr().err
