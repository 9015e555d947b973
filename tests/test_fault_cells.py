"""T6 on real file systems: one disk goes bad under a running store, and every operation goes on.

Each zone is an ext4 file system on a loop device, and one of them loses its power, turns read-only
after an error, hangs, fills up or is unmounted. That is five faults by nine operations. With redundancy left no operation may fail, and no
byte may be wrong; once the fault is lifted the store makes itself whole, which the loss of another
zone then shows.
"""

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness.content import KIB, MIB, content, digest, fill, read_all
from harness.figures import figure
from test_full_disks import occupy
from test_power_cuts import Machine
from test_respread import complete_upload, gone, wait_until

# Inline, one stripe, several.
SIZES = [1000, 60 * KIB, 5 * MIB]
# What an application's client does: an operation may be asked to come again.
RETRIES = 8


def run(*words):
    subprocess.run(words, check=True, capture_output=True, text=True)


class Power:
    """The file system fails every call; it is back after a restart of the machine."""

    def __init__(self, machine, zone):
        self.machine, self.zone = machine, zone
        self.mount = machine.mounts[zone]

    def inject(self):
        self.machine.cut(self.zone)

    def lift(self):
        self.machine.power_on(self.zone)
        self.machine.server.start()


class ReadOnly(Power):
    """The file system finds an error in itself and takes no more writes."""

    def inject(self):
        run("mount", "-o", "remount,errors=remount-ro", str(self.mount))
        device = os.stat(self.mount).st_dev
        name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
        trigger = Path(f"/sys/fs/ext4/{name}/trigger_fs_error")
        if not trigger.exists():
            pytest.skip("this kernel can not put an error into ext4")
        trigger.write_text("planted by a test")
        with pytest.raises(OSError):
            (self.mount / "probe").write_bytes(b"x")


class Hang(Power):
    """Every write waits and does not come back."""

    def inject(self):
        run("fsfreeze", "--freeze", str(self.mount))

    def lift(self):
        run("fsfreeze", "--unfreeze", str(self.mount))


class Full(Power):
    """Another program takes the last byte."""

    def inject(self):
        self.filler = occupy(self.mount / "disk", 0)

    def lift(self):
        self.filler.unlink()


class Unmounted(Power):
    """The folder is there and empty."""

    def inject(self):
        run("umount", "--lazy", str(self.mount))

    def lift(self):
        run("mount", "-o", "loop", str(self.mount.with_suffix(".image")), str(self.mount))


class Cells:
    """Runs operations on a store with a fault in it and counts those that were right."""

    def __init__(self, server, expected):
        self.server, self.expected = server, expected
        self.passed, self.slowest_seconds = 0, 0.0

    def cell(self, operation):
        started = time.monotonic()
        operation(self.server.client(retries=RETRIES))
        self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - started)
        self.passed += 1

    def put(self, key, size):
        def operation(client):
            data = content(key, size)
            client.put_object(Bucket="objects", Key=key, Body=data)
            self.expected[key] = digest(data)

        self.cell(operation)

    def get(self, key):
        def operation(client):
            found = client.get_object(Bucket="objects", Key=key)["Body"].read()
            assert digest(found) == self.expected[key], f"{key}: wrong bytes"

        self.cell(operation)

    def list(self):
        def operation(client):
            listed = client.list_objects_v2(Bucket="objects").get("Contents", [])
            assert {entry["Key"] for entry in listed} == set(self.expected)

        self.cell(operation)

    def delete(self, key):
        def operation(client):
            client.delete_object(Bucket="objects", Key=key)
            del self.expected[key]

        self.cell(operation)

    def upload(self, key):
        self.cell(lambda client: self.expected.update(complete_upload(client, key)))

    def everything(self):
        """The cells: each operation once, on content of before the fault and of during it."""
        self.put("small", SIZES[0])
        self.get("before-0000")
        self.put("large", SIZES[2])
        self.get("before-0002")
        self.delete("before-0001")
        self.upload("upload")
        self.put("before-0000", SIZES[1])
        self.list()
        self.get("large")


# AZ09, AZ12, AZ13, AZ14, AZ20, H31
@pytest.mark.root
@pytest.mark.parametrize("kind", [Power, ReadOnly, Hang, Full, Unmounted])
def test_every_operation_goes_on_while_a_disk_is_bad(new_server, tmp_path, kind, capsys):
    with contextlib.ExitStack() as stack:
        machine = Machine(stack, new_server, tmp_path, disk_size_mib=700)
        server = machine.server
        client = server.client()
        client.create_bucket(Bucket="objects")
        cells = Cells(server, fill(client, "objects", SIZES, prefix="before"))
        fault = kind(machine, "b")
        fault.inject()
        try:
            cells.everything()
            wait_until(server, "the disk is out", lambda store: gone(store, "b"))
            # Once more, now that the store knows.
            assert read_all(server.client(), "objects") == cells.expected
        finally:
            fault.lift()
        machine.wait_whole()
        assert read_all(server.client(), "objects") == cells.expected
        shutil.rmtree(machine.mounts["c"] / "disk")
        assert read_all(server.client(retries=RETRIES), "objects") == cells.expected
    with capsys.disabled():
        print(f"\n{kind.__name__}: {cells.passed} operations right, slowest {cells.slowest_seconds:.1f} s")
        figure("T6 one bad disk, real file systems", "cells: fault x operation", cells.passed, faults=1)
