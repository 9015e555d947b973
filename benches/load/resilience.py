"""How fast a store scrubs, repairs, reads without a zone and starts again, each beside its raw limit.

    cargo xtask bench resilience [--gib 4] [--small 1000000] [--folder /mnt/disk]

A rate says little without what the machine could have done: so the disk is measured first, by the
same bytes in the same folder, and every figure carries the ratio to its limit. One server on three
zones of one machine; clients are idle while it scrubs and repairs. Everything goes to standard
output as one JSON document and, by `cargo xtask bench`, to `target/resilience.json`.

Invariants
- Every byte that is read is compared with what was stored; a wrong one ends the run.
- A figure is of this run: nothing is taken from an earlier one.
"""

import argparse
import datetime
import hashlib
import hmac
import http.client
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from harness.server import REGION, Server  # noqa: E402
from harness.content import MIB, content, digest  # noqa: E402

BUCKET = "bench"
LARGE_BYTES = 8 * MIB
# Below the size that stays in the commit log: a restart reads those.
SMALL_BYTES = 1000
# Enough to keep two cores busy; more would measure the client.
READERS = 4
WRITERS = 4
# Each process of the fill keeps so many connections busy, so that commits share syncs.
CONNECTIONS = 16
# Passes over the large objects in a measurement of reads.
READ_PASSES = 3
# Longer than any phase may take: a store that never gets there ends the run.
PATIENCE_SECONDS = 6 * 3600
ASK_SECONDS = 0.1


def say(text):
    print(text, file=sys.stderr, flush=True)


class Signer:
    """Signs a request without a body hash: a library would cost more than the request."""

    def __init__(self, server):
        self.access, self.secret = server.credentials
        self.host = f"127.0.0.1:{server.port}"

    def headers(self, method, path):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{now[:8]}/{REGION}/s3/aws4_request"
        names = "host;x-amz-content-sha256;x-amz-date"
        request = (f"{method}\n{path}\n\nhost:{self.host}\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n"
                   f"x-amz-date:{now}\n\n{names}\nUNSIGNED-PAYLOAD")
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = ("AWS4" + self.secret).encode()
        for word in (now[:8], REGION, "s3", "aws4_request", text):
            key = hmac.new(key, word.encode(), "sha256").digest()
        return {
            "Host": self.host, "x-amz-date": now, "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={self.access}/{scope}, SignedHeaders={names}, "
                             f"Signature={key.hex()}",
        }


def exchange(connection, signer, method, path, body=None):
    connection.request(method, path, body=body, headers=signer.headers(method, path))
    answer = connection.getresponse()
    data = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{method} {path}: {answer.status} {data[:300]!r}")
    return data


def together(count, work, kind=threading.Thread):
    """Runs `work(number)` so many times at once; the first failure is raised."""
    failed = []

    def guarded(number):
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            failed.append(error)

    threads = [kind(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def put_range(server, first, step, count, size):
    """One process of a fill: small objects with numbers of its own, over several connections."""
    signer = Signer(server)

    def one(number):
        connection = http.client.HTTPConnection(signer.host, timeout=60)
        for index in range(first + step * number, count, step * CONNECTIONS):
            exchange(connection, signer, "PUT", f"/{BUCKET}/small/{index:08}", bytes(size))

    together(CONNECTIONS, one)


def fill_small(server, count):
    started = time.monotonic()
    processes = [multiprocessing.Process(target=put_range, args=(server, n, WRITERS, count, SMALL_BYTES))
                 for n in range(WRITERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode != 0:
            raise SystemExit("a process that filled the store failed")
    return time.monotonic() - started


def fill_large(server, count):
    """Stores the large objects; returns their digests in order."""
    digests = [None] * count
    signer = Signer(server)

    def one(number):
        connection = http.client.HTTPConnection(signer.host, timeout=60)
        for index in range(number, count, READERS):
            data = content(f"large-{index}", LARGE_BYTES)
            digests[index] = digest(data)
            exchange(connection, signer, "PUT", f"/{BUCKET}/large/{index:06}", data)

    together(READERS, one)
    return digests


def read_large(server, digests, compare):
    """Seconds to read every large object so many times; `compare` hashes them, which costs time."""
    signer = Signer(server)

    def one(number):
        connection = http.client.HTTPConnection(signer.host, timeout=60)
        for index in range(number, len(digests) * (1 if compare else READ_PASSES), READERS):
            index %= len(digests)
            data = exchange(connection, signer, "GET", f"/{BUCKET}/large/{index:06}")
            if len(data) != LARGE_BYTES or (compare and digest(data) != digests[index]):
                raise SystemExit(f"large/{index:06}: wrong bytes")

    started = time.monotonic()
    together(READERS, one)
    return time.monotonic() - started


def read_rate(server, digests):
    """Bytes in a second of reads that are not compared, after one round that is."""
    read_large(server, digests, compare=True)
    return READ_PASSES * len(digests) * LARGE_BYTES / read_large(server, digests, compare=False)


def raw_rates(folder, size_mib):
    """What the disk does: one stream each for three files at once, past the page cache."""
    paths = [folder / f"raw-{number}" for number in range(3)]

    def dd(*words):
        done = subprocess.run(["dd", "bs=1M", "status=none", *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"dd: {done.stderr}")

    def rate(words_of):
        started = time.monotonic()
        together(3, lambda number: dd(*words_of(paths[number])))
        return 3 * size_mib * MIB / (time.monotonic() - started)

    write = rate(lambda path: ("if=/dev/zero", f"of={path}", f"count={size_mib}", "oflag=direct", "conv=fsync"))
    read = rate(lambda path: (f"if={path}", "of=/dev/null", "iflag=direct"))
    for path in paths:
        path.unlink()
    return {"write_bytes_per_second": round(write), "read_bytes_per_second": round(read)}


def ask(server, method, path):
    """An administration call by its path."""
    import base64
    import urllib.request

    request = urllib.request.Request(server.admin_endpoint + path, method=method,
                                     data=b"{}" if method == "POST" else None)
    token = base64.b64encode(":".join(server.credentials).encode()).decode()
    request.add_header("Authorization", f"Basic {token}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def wait(what, holds):
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(ASK_SECONDS)
    raise SystemExit(f"{what}: not after {PATIENCE_SECONDS} s")


def segments(folder):
    return sorted((folder / "segments").glob("*.seg"))


def allocated(paths):
    return sum(path.stat().st_blocks * 512 for path in paths)


def zone_is(server, name, in_service):
    zones = ask(server, "GET", "/v1/status")["store"]["zones"]
    return next(zone for zone in zones if zone["name"] == name)["in_service"] == in_service


def whole(server):
    status = ask(server, "GET", REPAIR)
    return status if status["whole"] and not status["zones"] else None


REPAIR, SCRUB, SCRUB_START = "/v1/repair", "/v1/scrub", "/v1/scrub/start"


def scrub(server, stored):
    """One pass over everything: bytes of the disks in a second."""
    wait("the first pass", lambda: not ask(server, "GET", SCRUB)["running"])
    before = ask(server, "GET", SCRUB).get("ended")
    started = time.monotonic()
    ask(server, "POST", SCRUB_START)
    wait("a pass", lambda: ask(server, "GET", SCRUB).get("ended") not in (None, before))
    seconds = time.monotonic() - started
    return {"seconds": round(seconds, 2), "disk_bytes_per_second": round(stored / seconds)}


def repair(server, zone, stored):
    """The shards of one zone are removed under the running store and made anew: the bytes that are
    read from the others and those that are written, in a second."""
    gone = segments(zone)
    lost = allocated(gone)
    started = time.monotonic()
    for path in gone:
        path.unlink()
    wait("the loss is seen", lambda: not ask(server, "GET", REPAIR)["whole"])
    seen = time.monotonic()
    wait("everything is full", lambda: whole(server))
    seconds = time.monotonic() - seen
    return {
        "seconds_until_seen": round(seen - started, 2), "seconds": round(seconds, 2), "bytes_lost": lost,
        "bytes_made_per_second": round(lost / seconds), "disk_bytes_per_second": round(stored / seconds),
    }


def degraded(server, zone, digests):
    """Reads while a zone is away."""
    aside = zone.with_name(zone.name + "-away")
    zone.rename(aside)
    wait("the zone is out", lambda: zone_is(server, zone.name, False))
    rate = read_rate(server, digests)
    server.stop()
    shutil.rmtree(zone, ignore_errors=True)
    aside.rename(zone)
    server.start()
    wait("the zone is back", lambda: zone_is(server, zone.name, True))
    return rate


def restart(server):
    """Seconds from the start of a process after kill -9 to the first answer that it is ready."""
    server.kill()
    server.start()
    return round(server.recovery_seconds, 3)


def ratio(part, limit):
    return round(part / limit, 2) if limit else None


def measure(folder, arguments):
    zones = {name: [folder / name] for name in "abc"}
    server = Server(folder / "server", zones=zones, arguments=arguments.server)
    found = {"large_objects": arguments.large_count, "small_objects": arguments.small}
    try:
        say("the disk alone")
        found["raw"] = raw = raw_rates(folder, arguments.raw_mib)
        server.start()
        found["restart_empty_seconds"] = restart(server)
        server.client().create_bucket(Bucket=BUCKET)
        say(f"store {arguments.large_count} objects of 8 MiB")
        digests = fill_large(server, arguments.large_count)
        stored = sum(allocated(segments(folders[0])) for folders in zones.values())
        found["bytes_in_segments"] = stored

        say("read them")
        healthy = read_rate(server, digests)
        found["get_8_mib"] = {"bytes_per_second": round(healthy), "of_raw_read": ratio(healthy, raw["read_bytes_per_second"])}
        say("scrub")
        found["scrub"] = scrub(server, stored)
        found["scrub"]["of_raw_read"] = ratio(found["scrub"]["disk_bytes_per_second"], raw["read_bytes_per_second"])
        say("repair one zone")
        found["repair"] = repair(server, zones["b"][0], stored)
        found["repair"]["of_raw"] = ratio(
            found["repair"]["disk_bytes_per_second"], min(raw["read_bytes_per_second"], raw["write_bytes_per_second"]))
        say("read with a zone away")
        rate = degraded(server, zones["c"][0], digests)
        found["get_8_mib_degraded"] = {"bytes_per_second": round(rate), "of_healthy": ratio(rate, healthy)}

        say(f"store {arguments.small} objects of {SMALL_BYTES} bytes")
        seconds = fill_small(server, arguments.small)
        found["fill_per_second"] = round(arguments.small / seconds) if arguments.small else None
        found["restart_after_kill_seconds"] = [restart(server) for _ in range(3)]
    finally:
        server.kill()
    return found


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--gib", type=float, default=2, help="content in objects of 8 MiB")
    parse.add_argument("--small", type=int, default=100_000, help="small objects before the restart")
    parse.add_argument("--folder", type=Path, help="a folder on the disk to measure; default: a temporary one")
    parse.add_argument("--output", type=Path, help="a file for the figures, beside standard output")
    parse.add_argument("--server", nargs="*", default=[], help="more flags for the server")
    arguments = parse.parse_args()
    if arguments.gib <= 0 or arguments.small < 0:
        parse.error("--gib must be above 0 and --small not below it")
    arguments.large_count = max(READERS, int(arguments.gib * 1024 * MIB / LARGE_BYTES))
    arguments.raw_mib = max(64, int(arguments.gib * 1024 / 3))
    folder = Path(tempfile.mkdtemp(prefix="resilience-", dir=arguments.folder))
    try:
        found = measure(folder, arguments)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found["load_average"] = os.getloadavg()[0]
    text = json.dumps(found, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
