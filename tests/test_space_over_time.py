"""Years of writing and deleting in minutes: space comes back, restarts stay short, nobody stalls.

Small disks are written many times over, in objects of 4 KiB and in objects of 8 MiB, and a few objects
stay for good. After each fifth: the log and the space in use are below a bound that is stated here,
the server is killed and started again, and all that must be there is. Times are recorded and printed,
never asserted. In a change as much is written as minutes allow; `STRONGROOM_TEST_SCALE` of 54 and
more writes twenty times the disk.
"""

import contextlib
import http.client
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from harness.content import KIB, MIB, content, digest, read_all
from harness.figures import figure
from test_faults import small_disk
from test_respread import metric

BUCKET = "objects"
FIFTHS = 5
TIMES_MAX = 20
# What an operator would notice.
STALL_SECONDS = 0.25
PATIENCE_SECONDS = 90
# What packing is told to keep the log at. It goes as whole files of 64 MiB: the one in use stays, and
# what was begun since the last round.
PACK_LOG_SIZE = 64 * MIB
LOG_BYTES_MAX = 2 * PACK_LOG_SIZE + 64 * MIB
# A disk has room for that log, what is kept free for deletes, the index, and some segments.
SMALL_DISK_MIB, LARGE_DISK_MIB = 640, 560
# What stays beside the log when all is deleted: the index, packs that are not swept yet, headers of
# segments, and what is reserved ahead.
REST_BYTES_MAX = 128 * MIB
ARGUMENTS = ["--hold-back", "1s", "--pack-log-size", "64MiB"]


class Times:
    """How long each operation took, and what was refused."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seconds, self.refused = {}, 0

    def add(self, name, seconds):
        with self.lock:
            self.seconds.setdefault(name, []).append(seconds)

    def refuse(self):
        with self.lock:
            self.refused += 1

    def count(self):
        return sum(map(len, self.seconds.values()))

    def stalls(self):
        return sum(1 for times in self.seconds.values() for one in times if one > STALL_SECONDS)

    def __str__(self):
        lines = []
        for name, times in sorted(self.seconds.items()):
            times = sorted(times)
            late = sum(1 for one in times if one > STALL_SECONDS)
            middle, last = times[len(times) // 2], times[len(times) * 99 // 100]
            lines.append(
                f"{name}: {len(times)}, p50 {middle * 1000:.1f} ms, p99 {last * 1000:.1f} ms, "
                f"longest {times[-1] * 1000:.0f} ms, {late} over {STALL_SECONDS * 1000:.0f} ms"
            )
        return "\n".join(lines)


class Fast:
    """Requests that were signed beforehand, each thread on a connection of its own."""

    def __init__(self, server):
        self.server, self.local = server, threading.local()

    def request(self, method, url, body, times):
        parts = urlsplit(url)
        while True:
            connection = getattr(self.local, "connection", None)
            if connection is None or self.local.port != parts.netloc:
                connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE_SECONDS)
                self.local.connection, self.local.port = connection, parts.netloc
            begun = time.monotonic()
            connection.request(method, f"{parts.path}?{parts.query}", body)
            answer = connection.getresponse()
            text = answer.read()
            times.add(f"{method} {len(body or text) // KIB} KiB", time.monotonic() - begun)
            if answer.status in (200, 204):
                return text
            # Full for a moment, which the store says by name; anything else is a failure.
            assert answer.status == 507, (answer.status, text)
            times.refuse()
            time.sleep(0.2)


def used_bytes(folders):
    spaces = [os.statvfs(folder) for folder in folders]
    return max((space.f_blocks - space.f_bfree) * space.f_frsize for space in spaces)


def wait_for(what, found, holds):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds(value := found()):
        assert time.monotonic() < deadline, f"{what}: {value} after {PATIENCE_SECONDS} s"
        time.sleep(0.2)
    return value


@contextlib.contextmanager
def store(new_server, tmp_path, disk_mib, zone_names="abc"):
    with contextlib.ExitStack() as stack:
        zones = {name: [stack.enter_context(small_disk(tmp_path / name, disk_mib))] for name in zone_names}
        server = new_server(zones=zones, arguments=ARGUMENTS)
        stack.callback(server.kill)
        server.start()
        server.client().create_bucket(Bucket=BUCKET)
        yield server, [folders[0] for folders in zones.values()]


def write_over(server, folders, size, live, bytes_all, threads):
    """Writes `bytes_all` in objects of `size`, of which `live` are there at once, and deletes them."""
    client, fast, times = server.client(), Fast(server), Times()
    kept = {}
    for number, kept_size in enumerate((100, size, 3 * MIB)):
        data = content(number, kept_size)
        client.put_object(Bucket=BUCKET, Key=f"kept-{number}", Body=data)
        kept[f"kept-{number}"] = digest(data)
    at_first, restarts = used_bytes(folders), []
    names = [f"object-{number:06}" for number in range(live)]
    signer = server.client(signature_version="s3v4", request_checksum_calculation="when_required")
    sign = lambda verb, key: signer.generate_presigned_url(  # noqa: E731
        verb, Params={"Bucket": BUCKET, "Key": key}, ExpiresIn=6 * 3600
    )
    puts, gets = ([sign(verb, key) for key in names] for verb in ("put_object", "get_object"))
    rounds = max(bytes_all // (size * live), FIFTHS)
    written, peak = 0, 0
    with ThreadPoolExecutor(threads) as pool:
        for number in range(rounds):
            body = content(number, size)
            request = fast.request
            list(pool.map(lambda url: request("PUT", url, body, times), puts))  # noqa: B023
            written += size * live
            peak = max(peak, used_bytes(folders))
            found = list(pool.map(lambda url: request("GET", url, None, times), gets[number % 7 :: 7]))  # noqa: B023
            assert all(one == body for one in found)
            for index in range(0, live, 1000):
                begun = time.monotonic()
                gone = client.delete_objects(
                    Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in names[index : index + 1000]]}
                )
                times.add("DELETE of many", time.monotonic() - begun)
                assert not gone.get("Errors"), gone["Errors"][:3]
            if number * FIFTHS // rounds < (number + 1) * FIFTHS // rounds:
                wait_for("what was deleted is swept", lambda: metric(server, "strongroom_buried_bytes"), lambda n: n == 0)
                log = wait_for(
                    "the log is below its bound", lambda: metric(server, "strongroom_log_size_bytes"),
                    lambda n: n <= LOG_BYTES_MAX,
                )
                used = wait_for(
                    "the space is back", lambda: used_bytes(folders),
                    lambda n: n <= at_first + log + REST_BYTES_MAX,
                )
                server.kill()
                server.start()
                fast = Fast(server)
                restarts.append(server.recovery_seconds)
                print(
                    f"\nwritten {written // MIB} MiB, log {log // MIB} MiB, in use {used // MIB} MiB "
                    f"(at first {at_first // MIB}, most {peak // MIB}), restart {restarts[-1]:.2f} s, "
                    f"refused {times.refused}, stalls {times.stalls()}"
                )
                assert read_all(server.client(), BUCKET) == kept
    print(times)
    return written, restarts, times


def report(name, folders, written, restarts, times):
    disk = min(os.statvfs(folder).f_blocks * os.statvfs(folder).f_frsize for folder in folders)
    print(f"{name}: {written / disk:.1f} times the disk; restarts", " ".join(f"{one:.2f}" for one in restarts))
    figure(
        f"space over time, {name}", "operations", times.count(), 0, written_mib=written // MIB,
        disk_mib=disk // MIB, refused_full=times.refused, stalls_over_250_ms=times.stalls(),
        restart_ms_first=round(restarts[0] * 1000), restart_ms_last=round(restarts[-1] * 1000),
    )


@pytest.mark.root
def test_the_disk_written_over_in_objects_of_4_kib_gives_its_space_back(new_server, tmp_path, scale):
    """H34."""
    bytes_all = min(TIMES_MAX * SMALL_DISK_MIB, 240 * scale) * MIB
    with store(new_server, tmp_path, SMALL_DISK_MIB) as (server, folders):
        report("4 KiB", folders, *write_over(server, folders, 4 * KIB, 4000, bytes_all, 16))


@pytest.mark.root
def test_the_disk_written_over_in_objects_of_8_mib_gives_its_space_back(new_server, tmp_path, scale):
    """H34."""
    bytes_all = min(TIMES_MAX * LARGE_DISK_MIB, 1400 * scale) * MIB
    with store(new_server, tmp_path, LARGE_DISK_MIB) as (server, folders):
        report("8 MiB", folders, *write_over(server, folders, 8 * MIB, 14, bytes_all, 4))


@pytest.mark.root
@pytest.mark.parametrize("zone_names", ["a", "ab"])
def test_stores_of_one_and_of_two_zones_give_their_log_back(new_server, tmp_path, scale, zone_names):
    """H23, H34: their index is kept twice in each zone, so that the log may go."""
    bytes_all = min(TIMES_MAX * SMALL_DISK_MIB, 220 * scale) * MIB
    with store(new_server, tmp_path, SMALL_DISK_MIB, zone_names) as (server, folders):
        report(f"{len(zone_names)} zones, 16 KiB", folders,
               *write_over(server, folders, 15 * KIB, 3000, bytes_all, 16))
