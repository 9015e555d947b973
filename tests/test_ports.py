"""Connections that attack: badly framed, slow, idle, many. Others are served meanwhile."""

import concurrent.futures
import signal
import socket
import time

import pytest

from harness.raw import (
    answers, connect, error_code, exchange, metric, read_all, resident_bytes, signed_head,
)

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    """A server that waits for nobody longer than a second."""
    from harness.server import Server

    arguments = []
    for name in ("head-deadline", "idle-max", "send-idle-max", "body-idle-max"):
        arguments += [f"--{name}", "1s"]
    server = Server(tmp_path_factory.mktemp("impatient"), arguments=arguments).start()
    yield server
    server.stop()
    server.check_log()


def is_served(server):
    """Whether a client with manners is served."""
    client = server.client()
    client.list_buckets()
    return server.health() == 200


HEAD = "PUT /smuggled/key HTTP/1.1\r\nHost: x\r\n"
SECOND = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

TWO_WAYS = {
    "length and encoding": HEAD + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "encoding and length": HEAD + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + "Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
    "the same length twice": HEAD + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": HEAD + "Content-Length: 5, 5\r\n\r\nhello",
    "a signed length": HEAD + "Content-Length: +5\r\n\r\nhello",
    "a huge length": HEAD + "Content-Length: 18446744073709551616\r\n\r\n",
    "another encoding": HEAD + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two encodings": HEAD + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": HEAD + "Content-Length : 5\r\n\r\nhello",
    "a folded line": HEAD + "X-A: b\r\n Content-Length: 5\r\n\r\n",
    "a bare line feed": HEAD + "X-A: b\nContent-Length: 5\r\n\r\n",
    "a bare carriage return": HEAD + "X-A: b\rContent-Length: 5\r\n\r\n",
    "a zero byte": HEAD + "X-A: \0\r\n\r\n",
    "a header without a colon": HEAD + "nothing\r\n\r\n",
    "a tunnel": "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/0.9": "GET /healthz\r\n",
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version that is none": "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "HTTP/1.0 in chunks": "PUT /b/k HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", TWO_WAYS)
def test_attack_30_a_request_that_can_be_read_in_two_ways_is_refused_and_nothing_behind_it_runs(server, name):
    data = exchange(server, (TWO_WAYS[name] + SECOND).encode())
    assert answers(data) == [400], data
    assert error_code(data) == "BadRequest"
    assert b"connection: close" in data.lower()
    assert b"x-amz-request-id: " in data.lower()
    assert is_served(server)


def test_attack_30_the_answer_of_an_earlier_request_comes_before_the_refusal(server):
    first = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    data = exchange(server, (first + TWO_WAYS["length and encoding"] + SECOND).encode())
    assert answers(data) == [200, 400], data


def test_pipelined_requests_are_answered_in_their_order(server):
    one = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    two = "GET /nobody HTTP/1.1\r\nHost: x\r\n\r\n"
    data = exchange(server, (one + two + one + SECOND).encode())
    assert answers(data) == [200, 403, 200, 200], data


@pytest.mark.parametrize("body", [
    b"5;name=value\r\nhello\r\n0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n",
    b"ffffffffffffffffff\r\nhello", b"-5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nx: y\n\r\n",
])
def test_attack_13_and_30_chunks_that_are_none_store_nothing(server, s3, bucket, body):
    # The inner framing of S3 is not looked at before the outer one holds.
    head = signed_head(
        server, "PUT", f"/{bucket}/key", length=None, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        signed={"x-amz-decoded-content-length": "5"}, unsigned={"Transfer-Encoding": "chunked"},
    )
    data = exchange(server, head + body + SECOND.encode())
    assert (answers(data), error_code(data)) == ([400], "IncompleteBody"), data
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("junk", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200, b"\0" * 1000, b"\xff" * 1000,
    b"SSH-2.0-OpenSSH_9.9\r\n", b"\r\n\r\nhello\r\n\r\n", b"{}\n", b"GET / HTTP/1.1\r\n\n",
], ids=["tls", "zeros", "ones", "ssh", "hello", "json", "bare"])
def test_what_is_no_http_is_refused_at_once(server, junk):
    data = exchange(server, junk)
    assert answers(data) == [400], data
    assert is_served(server)


def test_a_target_that_is_no_path_is_refused(server):
    data = exchange(server, b"GET /\xc3\x28 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (answers(data), error_code(data)) == ([400], "InvalidURI")


BOMBS = {
    "one long header": "GET / HTTP/1.1\r\nHost: x\r\nX-A: " + "a" * MIB + "\r\n\r\n",
    "a long target": "GET /" + "a" * MIB + " HTTP/1.1\r\nHost: x\r\n\r\n",
    "many headers": "GET / HTTP/1.1\r\nHost: x\r\n" + "X-A: b\r\n" * 5000 + "\r\n",
    "a few too many headers": "GET / HTTP/1.1\r\nHost: x\r\n" + "X-A: b\r\n" * 100 + "\r\n",
    "empty lines": "\r\n" * 100_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_attack_31_a_head_beyond_its_bounds_is_refused(server, name):
    data = exchange(server, BOMBS[name].encode())
    assert (answers(data), error_code(data)) == ([400], "RequestHeaderSectionTooLarge"), data


def test_attack_31_header_bombs_do_not_grow_the_server(server):
    bomb = BOMBS["one long header"].encode()
    exchange(server, bomb)
    before = resident_bytes(server)
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        all_answers = list(pool.map(lambda _: answers(exchange(server, bomb)), range(400)))
    assert all_answers == [[400]] * 400
    # 400 MiB were sent. Allocators keep some of what they had.
    assert resident_bytes(server) - before < 64 * MIB
    assert metric(server, "strongroom_heads_refused_total", port="s3", reason="head_too_large") >= 400


def test_attack_31_a_head_that_comes_byte_by_byte_is_given_up(impatient):
    slow = [connect(impatient) for _ in range(50)]
    for connection in slow:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
    started = time.monotonic()
    while time.monotonic() - started < 0.5:
        for connection in slow:
            connection.sendall(b"a")
        assert is_served(impatient)
    for connection in slow:
        data = read_all(connection)
        assert (answers(data), error_code(data)) == ([400], "RequestTimeout"), data
        connection.close()


def test_attack_31_idle_connections_are_closed_and_their_places_are_free_again(new_server):
    server = new_server(arguments=["--connections-max", "8", "--idle-max", "1s"]).start()
    idle = [connect(server) for _ in range(8)]
    # A ninth waits for a place, which idle clients do not keep.
    server.client().list_buckets()
    for connection in idle:
        assert read_all(connection) == b""
    server.stop()


def test_attack_31_two_thousand_idle_connections_cost_little_and_others_are_served(server):
    assert is_served(server)
    before = resident_bytes(server)
    idle = []
    try:
        for _ in range(2000):
            connection = connect(server)
            connection.sendall(b"GET / HTTP/1.1\r\n")
            idle.append(connection)
        assert is_served(server)
        assert metric(server, "strongroom_connections", port="s3") >= 2000
        assert resident_bytes(server) - before < 2000 * 48 * 1024
    finally:
        for connection in idle:
            connection.close()
    assert is_served(server)


def test_attack_31_a_body_that_stops_is_given_up_and_stores_nothing(impatient):
    client = impatient.client()
    client.create_bucket(Bucket="stopped")
    uploads = []
    for number in range(20):
        connection = connect(impatient)
        connection.sendall(signed_head(impatient, "PUT", f"/stopped/{number}", 1000) + b"x" * 10)
        uploads.append(connection)
    assert is_served(impatient)
    for connection in uploads:
        data = read_all(connection)
        assert (answers(data), error_code(data)) == ([400], "RequestTimeout"), data
        connection.close()
    assert client.list_objects_v2(Bucket="stopped")["KeyCount"] == 0


def test_a_client_that_does_not_read_its_download_holds_little_memory_and_is_cut_off(impatient):
    client = impatient.client()
    client.create_bucket(Bucket="large")
    client.put_object(Bucket="large", Key="key", Body=b"x" * (64 * MIB))
    client.get_object(Bucket="large", Key="key")["Body"].read()
    before = resident_bytes(impatient)
    readers = []
    for _ in range(20):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(40)
        connection.connect(("127.0.0.1", impatient.port))
        connection.sendall(signed_head(impatient, "GET", "/large/key"))
        readers.append(connection)
    for connection in readers:
        connection.recv(1000)
    assert is_served(impatient)
    assert resident_bytes(impatient) - before < 20 * 16 * MIB
    deadline = time.monotonic() + 30
    while metric(impatient, "strongroom_connections", port="s3") > 5 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert metric(impatient, "strongroom_connections", port="s3") <= 5
    for connection in readers:
        assert len(read_all(connection)) < 64 * MIB
        connection.close()


# -- overload


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A server with few places."""
    from harness.server import Server

    arguments = ["--reads-max", "2", "--writes-max", "3", "--lists-max", "1", "--upload-memory-max", "24MiB"]
    server = Server(tmp_path_factory.mktemp("small"), arguments=arguments).start()
    client = server.client()
    client.create_bucket(Bucket="small")
    client.put_object(Bucket="small", Key="large", Body=b"x" * (64 * MIB))
    yield server
    server.stop()
    server.check_log()


def held(server, count, head, body=b""):
    """Requests that hold their places until their connections are closed."""
    connections = []
    for _ in range(count):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(40)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(head() + body)
        connections.append(connection)
    return connections


def in_flight(server, name):
    return metric(server, "strongroom_requests_in_flight", **{"class": name})


def refused_with_slow_down(call, **arguments):
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    return response["Error"]["Code"] in ("SlowDown", "503")


def test_reads_beyond_their_places_are_slowed_down_while_writes_and_lists_go_on(small):
    # LI08
    client = small.client()
    slowed = metric(small, "strongroom_requests_slowed_total", limit="reads")
    readers = held(small, 2, lambda: signed_head(small, "GET", "/small/large"))
    wait_for(lambda: in_flight(small, "reads") == 2)
    assert refused_with_slow_down(client.get_object, Bucket="small", Key="large")
    assert metric(small, "strongroom_requests_slowed_total", limit="reads") == slowed + 1
    client.put_object(Bucket="small", Key="other", Body=b"x")
    assert client.list_objects_v2(Bucket="small")["KeyCount"] == 2
    assert small.health() == 200
    for connection in readers:
        connection.close()
    wait_for(lambda: in_flight(small, "reads") == 0)
    assert client.get_object(Bucket="small", Key="other")["Body"].read() == b"x"


def test_slow_uploads_stop_no_read_and_what_is_beyond_them_is_refused_before_its_body(small):
    client = small.client()
    writers = held(small, 3, lambda: signed_head(small, "PUT", "/small/slow", 1000), b"x" * 10)
    wait_for(lambda: in_flight(small, "writes") == 3)
    with connect(small) as refused:
        refused.sendall(signed_head(small, "PUT", "/small/refused", 100 * MIB, unsigned={"Expect": "100-continue"}))
        data = read_all(refused)
    assert (answers(data), error_code(data)) == ([503], "SlowDown"), data
    assert client.head_object(Bucket="small", Key="large")["ContentLength"] == 64 * MIB
    assert client.list_objects_v2(Bucket="small", Prefix="slow")["KeyCount"] == 0
    for connection in writers:
        connection.close()
    wait_for(lambda: in_flight(small, "writes") == 0)
    client.put_object(Bucket="small", Key="other", Body=b"x")


def test_uploads_share_their_memory(small):
    client = small.client()
    writers = held(small, 2, lambda: signed_head(small, "PUT", "/small/slow", 100 * MIB), b"x" * MIB)
    wait_for(lambda: metric(small, "strongroom_upload_memory_bytes") == 16 * MIB)
    client.put_object(Bucket="small", Key="fits", Body=b"x" * (4 * MIB))
    more = held(small, 1, lambda: signed_head(small, "PUT", "/small/slow", 3 * MIB), b"x")
    wait_for(lambda: metric(small, "strongroom_upload_memory_bytes") == 22 * MIB)
    for connection in more:
        connection.close()
    wait_for(lambda: metric(small, "strongroom_upload_memory_bytes") == 16 * MIB)
    more = held(small, 1, lambda: signed_head(small, "PUT", "/small/slow", 4 * MIB), b"x")
    wait_for(lambda: metric(small, "strongroom_upload_memory_bytes") == 24 * MIB)
    for connection in writers + more:
        connection.close()
    wait_for(lambda: metric(small, "strongroom_upload_memory_bytes") == 0)


def test_a_stranger_takes_no_place(small):
    head = b"GET /small/large HTTP/1.1\r\nHost: x\r\n\r\n"
    strangers = held(small, 20, lambda: head)
    assert [answers(connection.recv(100)) for connection in strangers] == [[403]] * 20
    assert in_flight(small, "reads") == 0
    for connection in strangers:
        connection.close()


def test_attack_31_a_body_that_trickles_is_given_up(impatient):
    client = impatient.client()
    client.create_bucket(Bucket="trickle")
    connection = connect(impatient)
    connection.sendall(signed_head(impatient, "PUT", "/trickle/key", 10_000))
    try:
        for _ in range(200):
            connection.sendall(b"x")
            time.sleep(0.05)
    except (BrokenPipeError, ConnectionResetError):
        pass
    data = read_all(connection)
    assert (answers(data), error_code(data)) == ([400], "RequestTimeout"), data
    assert client.list_objects_v2(Bucket="trickle")["KeyCount"] == 0


# -- TLS


def secure_server(new_server, name="store", arguments=()):
    server = new_server(name, arguments=["--tls-development", *arguments])
    server.authority = server.data / "tls-development/ca.pem"
    return server


@pytest.fixture
def secure(new_server):
    return secure_server(new_server).start()


def test_tls_on_request_serves_both_ports_with_a_certificate_clients_can_verify(secure):
    secure.wait_for_log(str(secure.authority))
    client = secure.client()
    client.create_bucket(Bucket="secure")
    client.put_object(Bucket="secure", Key="key", Body=b"x" * (9 * MIB))
    assert client.get_object(Bucket="secure", Key="key")["Body"].read() == b"x" * (9 * MIB)
    assert "strongroom_connections" in secure.fetch("/metrics")
    key = secure.authority.parent / "key.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    secure.restart()
    # The authority is the same after a restart: clients need not be told again.
    assert client.list_buckets()["Buckets"][0]["Name"] == "secure"
    secure.stop()


def test_status_speaks_tls_to_the_server_it_was_told_of(secure):
    import subprocess

    from harness.server import binary, clean_environment

    environment = clean_environment()
    environment["STRONGROOM_ACCESS_KEY"], environment["STRONGROOM_SECRET_KEY"] = secure.credentials
    command = [str(binary()), "status", "--data", str(secure.data)]
    command += ["--admin-address", f"127.0.0.1:{secure.admin_port}"]
    run = subprocess.run([*command, "--tls-development"], capture_output=True, text=True, env=environment)
    assert run.returncode == 0 and "writes     yes" in run.stdout, run.stderr
    other = secure.authority
    run = subprocess.run([*command, "--tls-certificate", str(other)], capture_output=True, text=True, env=environment)
    assert run.returncode == 4 and "does not prove who it is" in run.stderr


def test_what_is_no_handshake_ends_and_is_counted(secure):
    failed = metric(secure, "strongroom_tls_handshakes_failed_total", port="s3")
    for junk in (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"\0" * 100):
        data = exchange(secure, junk)
        assert b"HTTP/1.1" not in data
    connect(secure).close()
    assert metric(secure, "strongroom_tls_handshakes_failed_total", port="s3") >= failed + 3
    assert is_served(secure)


def test_attack_30_and_31_refusals_are_the_same_over_tls(secure):
    for text, code in [(TWO_WAYS["two lengths"], "BadRequest"), (BOMBS["many headers"], "RequestHeaderSectionTooLarge")]:
        with connect(secure, secure=True) as connection:
            connection.sendall((text + SECOND).encode())
            data = read_all(connection)
        assert (answers(data), error_code(data)) == ([400], code), data


def certificate_of(server):
    with connect(server, secure=True) as connection:
        return connection.getpeercert()["serialNumber"]


def test_a_certificate_is_replaced_without_a_restart_and_a_bad_one_leaves_it(new_server, tmp_path):
    # Two certificates of one authority, from two starts of another server.
    maker = secure_server(new_server, "maker")
    pairs = []
    for _ in range(2):
        maker.start()
        folder = maker.authority.parent
        pairs.append(tuple((folder / name).read_bytes() for name in ("certificate.pem", "key.pem")))
        maker.stop()
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"

    def install(pair):
        certificate.write_bytes(pair[0])
        key.write_bytes(pair[1])

    install(pairs[0])
    server = new_server(arguments=["--tls-certificate", str(certificate), "--tls-key", str(key)])
    server.authority = maker.authority
    server.start()
    first = certificate_of(server)
    open_before = connect(server, secure=True)

    install((pairs[1][0], pairs[0][1]))
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "the TLS certificate in use stays, because" in server.log())
    assert certificate_of(server) == first

    install(pairs[1])
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: certificate_of(server) != first)
    open_before.sendall(SECOND.encode())
    assert answers(read_all(open_before)) == [200], "an open connection stays"

    # Also without a signal, when the files change.
    install(pairs[0])
    wait_for(lambda: certificate_of(server) == first)
    server.stop()


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
def test_a_drain_lets_an_upload_end_and_closes_idle_connections(new_server, is_secure):
    server = secure_server(new_server) if is_secure else new_server()
    server.start()
    client = server.client()
    client.create_bucket(Bucket="drained")
    idle, busy = connect(server, secure=is_secure), connect(server, secure=is_secure)
    shaking = connect(server)
    body = b"x" * (4 * MIB)
    busy.sendall(signed_head(server, "PUT", "/drained/key", len(body)) + body[:MIB])
    wait_for(lambda: metric(server, "strongroom_requests_in_progress") >= 1)
    server.process.send_signal(signal.SIGTERM)
    assert read_all(idle) == b""
    assert read_all(shaking) == b""
    busy.sendall(body[MIB:])
    assert answers(read_all(busy)) == [200]
    assert server.process.wait(30) == 0
    server.process = None
    server.start()
    assert client.head_object(Bucket="drained", Key="key")["ContentLength"] == len(body)
    server.stop()


def test_a_drain_cuts_an_upload_that_does_not_end_at_its_deadline(new_server):
    server = secure_server(new_server, arguments=["--drain-deadline", "1s"]).start()
    server.client().create_bucket(Bucket="cut")
    busy = connect(server, secure=True)
    busy.sendall(signed_head(server, "PUT", "/cut/key", MIB) + b"x" * 1000)
    wait_for(lambda: metric(server, "strongroom_requests_in_progress") >= 1)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    server.process = None
    assert "requests were cut at the drain deadline" in server.log()
    server.start()
    assert server.client().list_objects_v2(Bucket="cut")["KeyCount"] == 0
    server.stop()
