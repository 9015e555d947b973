"""In the guest: a store of three zones, one of whose disks the kernel makes bad while clients go on.

    python uml_bad_disk.py FOLDER CELL

Whatever was answered is read back, byte by byte, while the disk is bad, after it is well and the store has
healed, and after a power cycle. What was found goes to FOLDER/found.json.
"""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from botocore.exceptions import BotoCoreError, ClientError  # noqa: E402

from harness.server import Server  # noqa: E402
from harness.uml_guest import create, loopback_up, run, sectors  # noqa: E402
from test_disk_changes import strongroom  # noqa: E402

BUCKET = "ledger"
ZONES = "abc"
BAD = "b"
SIZES = [700, 15_000, 40_000, 300_000]
OBJECTS = 60
# Of the bad disk: one block in so many can not be read.
BAD_BLOCK_EVERY = 7
DELAY_MILLISECONDS = 300
PATIENCE_SECONDS = 120


def tables(size):
    """How the disk is made bad, by cell."""
    plain = f"0 {size} linear /dev/ubdb 0"
    flakey = f"0 {size} flakey /dev/ubdb 0 0 3600"
    return plain, {
        "bad-sectors": f"0 {size} dust /dev/ubdb 0 512",
        "dropped-writes": f"{flakey} 1 drop_writes",
        "failing-writes": f"{flakey} 1 error_writes",
        "failing-calls": flakey,
        "slow": f"0 {size} delay /dev/ubdb 0 {DELAY_MILLISECONDS}",
    }


def switch(table):
    """Another table under the mounted file system; what is on its way is not waited for."""
    run("dmsetup", "--noudevsync", "suspend", "--nolockfs", BAD)
    run("dmsetup", "--noudevsync", "load", BAD, "--table", table)
    run("dmsetup", "--noudevsync", "resume", BAD)


def forget_cached():
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


class Store:
    def __init__(self, folder):
        self.server, self.expected, self.reads, self.refused = None, {}, 0, 0
        self.chance = random.Random(7)
        self.folder = folder

    def start(self, zones):
        self.server = Server(self.folder / "server", zones=zones, arguments=["--pack-log-size", "1MiB"])
        self.server.expect_errors()
        self.server.start()

    def put(self, count, prefix):
        client = self.server.client(retries=8)
        for number in range(count):
            key, body = f"{prefix}/{number}", self.chance.randbytes(self.chance.choice(SIZES))
            try:
                client.put_object(Bucket=BUCKET, Key=key, Body=body)
                self.expected[key] = body
            except (ClientError, BotoCoreError):
                self.refused += 1

    def check(self):
        client = self.server.client(retries=8)
        for key, body in self.expected.items():
            found = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            if found != body:
                raise SystemExit(f"{key}: wrong bytes")
            self.reads += 1


def mount(zones):
    for name, device in zones.items():
        run("mount", device, str(Path(sys.argv[1]) / f"mount-{name}"))


def main():
    folder, cell = Path(sys.argv[1]), sys.argv[2]
    loopback_up()
    plain, bad = tables(sectors("/dev/ubdb"))
    devices = {"a": "/dev/ubda", "b": create(BAD, plain), "c": "/dev/ubdc"}
    for name, device in devices.items():
        run("mkfs.ext4", "-q", "-F", "-m", "0", device)
        (folder / f"mount-{name}").mkdir()
    mount(devices)
    zones = {name: [folder / f"mount-{name}" / "disk"] for name in ZONES}
    for folders in zones.values():
        folders[0].mkdir()
    store = Store(folder)
    store.start(zones)
    store.server.client().create_bucket(Bucket=BUCKET)
    store.put(OBJECTS, "before")

    switch(bad[cell])
    if cell == "bad-sectors":
        blocks = sectors("/dev/ubdb")
        # The file system's own first blocks stay good: a disk without them is not mounted again.
        for block in range(blocks // 4, blocks, BAD_BLOCK_EVERY * 2048):
            run("dmsetup", "message", BAD, "0", "addbadblock", str(block))
        run("dmsetup", "message", BAD, "0", "enable")
    forget_cached()
    store.check()
    store.put(OBJECTS, "bad")
    forget_cached()
    store.check()

    switch(plain)
    # The power goes: what the disk was told and did not do is gone for good.
    store.server.kill()
    for name in ZONES:
        subprocess.run(["umount", str(folder / f"mount-{name}")], check=False)
    forget_cached()
    for device in devices.values():
        # Dropped writes leave a file system that has to be mended first.
        subprocess.run(["e2fsck", "-f", "-y", device], capture_output=True)
    mount(devices)
    store.start(zones)
    store.check()
    store.put(OBJECTS, "after")
    store.check()
    status, give_up = {}, time.monotonic() + PATIENCE_SECONDS
    while not status.get("whole") and time.monotonic() < give_up:
        status = strongroom(store.server, "repair", "status", "--json")
        time.sleep(0.5)
    store.check()
    store.server.kill()
    if store.refused > OBJECTS // 2:
        raise SystemExit(f"{store.refused} puts were refused although two zones were well")
    found = {"reads": store.reads, "puts_refused": store.refused, "objects": len(store.expected),
             "whole": status["whole"]}
    if not status["whole"]:
        raise SystemExit(f"not whole after {PATIENCE_SECONDS} s: {status}")
    (folder / "found.json").write_text(json.dumps(found))
    print(found)


main()
