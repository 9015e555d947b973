"""T5: what the block device saw, replayed to the moments at which the power may have gone; and disks that
the kernel makes bad: sectors that can not be read, writes that are dropped or fail, calls that take long.

A store and its clients run below a guest kernel (User-Mode Linux), whose device-mapper records every
write, flush and mark of the one disk that all zones lie on, in the order in which the disk completed
them. Replaying the record up to any flush gives the disk as a power cut leaves it there. Each is
mounted, which replays the journals of the file systems, checked, and a store started on it: whatever
was answered before the last mark must be there, and nothing may be there that nobody wrote.
"""

import contextlib
import hashlib
import json
import os
import random
import struct
import subprocess
from pathlib import Path

import pytest

from botocore.exceptions import ClientError

from harness import uml
from harness.figures import figure
from harness.server import Server
from test_power_cuts import seed

ZONES = "abc"
DISK_MIB, RECORD_MIB = 3 * 1024, 8 * 1024
WRITE_SECONDS = 6
GUEST_SECONDS_MAX = 300
# Moments that are tried in a change; the slow lane tries more.
MOMENTS = 10
SECTOR = 512
# linux/drivers/md/dm-log-writes.c
MAGIC = 0x6A736677736872
SUPER, ENTRY = struct.Struct("<QQQI"), struct.Struct("<QQQQ")
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8


class Record:
    """The record of a disk, and the disk made from it step by step."""

    def __init__(self, record, disk):
        self.file, self.disk = open(record, "rb"), open(disk, "r+b")
        magic, _, self.count, self.sector = SUPER.unpack(self.file.read(SUPER.size))
        assert magic == MAGIC, "the guest recorded nothing"
        self.at, self.done = self.sector, 0
        self.answered = None

    def close(self):
        self.file.close()
        self.disk.close()

    def step(self):
        """Applies one entry; its flags."""
        self.file.seek(self.at)
        sector, sectors, flags, size = ENTRY.unpack(self.file.read(ENTRY.size))
        self.at += self.sector
        self.done += 1
        if flags & MARK:
            self.file.seek(self.at - self.sector + ENTRY.size)
            name = self.file.read(size).rstrip(b"\0").decode()
            if name.startswith("answered-"):
                self.answered = int(name.removeprefix("answered-"))
        elif flags & DISCARD:
            # Whether a discarded sector keeps what it had is up to the disk: it keeps it here.
            pass
        elif sectors:
            self.file.seek(self.at)
            data = self.file.read(sectors * self.sector)
            assert len(data) == sectors * self.sector, "the record ends early"
            self.disk.seek(sector * self.sector)
            self.disk.write(data)
            self.at += len(data)
        return flags


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stdout} {done.stderr}"
    return done.stdout.strip()


@contextlib.contextmanager
def mounted(disk, folder):
    """The zones on a copy of the disk as the power cut left it."""
    copy = folder / "cut.img"
    run("cp", "--sparse=always", str(disk), str(copy))
    size = copy.stat().st_size // SECTOR // len(ZONES) // 8 * 8 * SECTOR
    zones = {}
    with contextlib.ExitStack() as stack:
        stack.callback(copy.unlink)
        for number, name in enumerate(ZONES):
            device = run("losetup", "--find", "--show", "--offset", str(number * size), "--sizelimit", str(size),
                         str(copy))
            stack.callback(run, "losetup", "--detach", device)
            # After the journal was replayed: 1 is "errors corrected", which -n never does.
            stack.callback(run, "e2fsck", "-f", "-n", device)
            mount = folder / f"mount-{name}"
            mount.mkdir(exist_ok=True)
            run("mount", device, str(mount))
            stack.callback(run, "umount", str(mount))
            zones[name] = [mount / "disk"]
        yield zones


def check(server, story, answered):
    """Every key has the content of the last write that was answered, or of a later one; how many were read."""
    asked = story["asked"]
    last = {}
    for number in story["answered"][:answered]:
        key = asked[number]["key"]
        last[key] = max(number, last.get(key, -1))
    client = server.client()
    keys = {entry["key"] for entry in asked}
    for key in sorted(keys):
        since = last.get(key, -1)
        possible = {entry["digest"] for number, entry in enumerate(asked) if entry["key"] == key and number >= since}
        if since < 0:
            possible.add(None)
        try:
            body = client.get_object(Bucket="ledger", Key=key)["Body"].read()
            found = hashlib.sha256(body).hexdigest()
        except ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchKey", f"{key}: {error}"
            found = None
        assert found in possible, f"{key}: {'lost' if found is None else 'wrong, torn or of another time'}"
    return len(last)


# AZ08, AZ11
@pytest.mark.root
def test_a_power_cut_after_any_flush_of_the_disk_loses_nothing_answered(new_server, tmp_path, scale, capsys):
    chance = seed()
    disks = [uml.sparse(tmp_path / "disk.img", DISK_MIB), uml.sparse(tmp_path / "record.img", RECORD_MIB)]
    script = Path(__file__).with_name("uml_recorded.py")
    guest = tmp_path / "guest"
    said = uml.run(guest, script, [guest, WRITE_SECONDS * min(scale, 10), chance], disks, ["dm-log-writes"],
                   GUEST_SECONDS_MAX)
    assert "guest exit 0" in said, said
    story = json.loads((guest / "story.json").read_text())
    base = uml.sparse(tmp_path / "base.img", DISK_MIB)

    # Once through, to know the moments; and again, to stop at some of them.
    record = Record(disks[1], base)
    moments = [number for number in range(record.count)
               if record.step() & (FLUSH | FUA | MARK) and record.answered is not None]
    flushes = len(moments)
    record.close()
    base.unlink()
    wanted = set(random.Random(chance).sample(moments, min(MOMENTS * scale, flushes)))
    record = Record(disks[1], uml.sparse(base, DISK_MIB))
    tried = checked = 0
    for number in range(record.count):
        record.step()
        if number not in wanted:
            continue
        record.disk.flush()
        with mounted(base, tmp_path) as zones:
            server = Server(tmp_path / f"server-{number}", zones=zones)
            server.expect_errors()
            try:
                server.start()
                checked += check(server, story, record.answered)
            finally:
                server.kill()
        tried += 1
    record.close()
    for path in [*disks, base]:
        os.unlink(path)
    assert tried == len(wanted) and checked > tried, f"{tried} moments, {checked} answers: too few to say anything"
    with capsys.disabled():
        print(f"\n{flushes} flushes and marks recorded, {tried} replayed, {len(story['answered'])} operations answered")
        figure("T5 power cuts of a recorded disk", "moments", tried, **{
            "flushes and marks recorded": flushes, "operations answered": len(story["answered"]),
            "keys compared": checked})


# AZ08, AZ12, AZ17, AZ25, H9
@pytest.mark.root
@pytest.mark.parametrize("cell", ["bad sectors", "dropped writes", "failing writes", "failing calls", "slow"])
def test_a_disk_that_the_kernel_makes_bad_costs_nothing_answered(tmp_path, scale, capsys, cell):
    if scale == 1:
        pytest.skip("slow lane: cargo xtask slow")
    disks = [uml.sparse(tmp_path / f"{name}.img", DISK_MIB // 3) for name in ZONES]
    script = Path(__file__).with_name("uml_bad_disk.py")
    guest = tmp_path / "guest"
    said = uml.run(guest, script, [guest, cell.replace(" ", "-")], disks, ["dm-dust", "dm-flakey", "dm-delay"],
                   GUEST_SECONDS_MAX)
    assert "guest exit 0" in said, said
    found = json.loads((guest / "found.json").read_text())
    for path in disks:
        os.unlink(path)
    with capsys.disabled():
        print(f"\n{cell}: {found}")
        figure("T5 disks made bad by device-mapper", "reads", found["reads"], cells=1)
