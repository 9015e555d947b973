"""T3: the power is cut, of every zone or of one, while sixteen clients write.

Each zone is an ext4 file system of its own on a loop device. A cut shuts the file system down
without its journal, as when the current goes: what was not synced is gone, whatever the process
believed. Then the server is killed, the file systems are mounted again, which replays their
journals, and everything that was ever acknowledged must be there.
"""

import contextlib
import fcntl
import os
import random
import struct
import subprocess
import time

import pytest

from harness.figures import figure
from harness.ledger import Ledger, Writer, bound
from test_faults import small_disk
from test_respread import in_service, wait_until

# EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH.
SHUTDOWN, NO_FLUSH = 0x8004587D, 2
CUTS = 20
CLIENTS = 16
# A store is made anew after so many cuts, so that the disks it needs stay small.
CUTS_PER_STORE = 10
DISK_SIZE_MIB = 1500


class Machine:
    """A store on three file systems whose power can be cut."""

    def __init__(self, stack, new_server, folder, disk_size_mib=DISK_SIZE_MIB):
        self.mounts = {name: folder / name for name in "abc"}
        zones = {name: [stack.enter_context(small_disk(path, disk_size_mib))]
                 for name, path in self.mounts.items()}
        self.server = new_server(folder.name, zones=zones)
        stack.callback(self.server.kill)
        # The last lines before a cut speak of disks that stopped answering.
        self.server.expect_errors()
        self.server.start()
        self.server.client().create_bucket(Bucket="ledger")

    def cut(self, names):
        for name in names:
            descriptor = os.open(self.mounts[name], os.O_RDONLY)
            try:
                fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", NO_FLUSH))
            except OSError as error:
                pytest.skip(f"this kernel can not cut a file system off: {error}")
            finally:
                os.close(descriptor)

    def power_on(self, names):
        """Takes the process away and mounts what was cut: the journals are replayed."""
        self.server.kill()
        for name in names:
            path = self.mounts[name]
            subprocess.run(["umount", str(path)], check=True)
            subprocess.run(["mount", "-o", "loop", str(path.with_suffix(".image")), str(path)], check=True)

    def wait_whole(self):
        """Waits until the loss of any one zone is survived again."""
        whole = lambda store: (  # noqa: E731
            all(in_service(store, name) for name in "abc") and store["blobs_reduced"] == 0
        )
        wait_until(self.server, "every zone is back", whole)


@contextlib.contextmanager
def clients(server, ledger, name, chance, keep_on=False):
    writers = [Writer(server, ledger, f"{name}w{n}", chance.random(), keep_on=keep_on) for n in range(CLIENTS)]
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        for writer in writers:
            writer.stop()


def seed():
    value = int(os.environ.get("STRONGROOM_TEST_SEED", random.SystemRandom().randrange(2**32)))
    print(f"seed {value} (repeat with STRONGROOM_TEST_SEED={value})")
    return value


def stores(new_server, tmp_path, cuts):
    """Machines, each with the numbers of the cuts it goes through."""
    for first in range(0, cuts, CUTS_PER_STORE):
        with contextlib.ExitStack() as stack:
            folder = tmp_path / f"machine-{first}"
            folder.mkdir()
            numbers = range(first, min(first + CUTS_PER_STORE, cuts))
            yield Machine(stack, new_server, folder), numbers


# AZ08, AZ10, AZ11, AZ19
@pytest.mark.root
def test_a_power_cut_of_every_zone_loses_nothing_acknowledged(new_server, tmp_path, scale, capsys):
    """Every third time the power goes again while the server recovers."""
    chance = random.Random(seed())
    cuts, cuts_in_recovery, checked = CUTS * scale, 0, 0
    for machine, numbers in stores(new_server, tmp_path, cuts):
        server, ledger = machine.server, Ledger("ledger")
        for number in numbers:
            with clients(server, ledger, f"c{number}", chance):
                time.sleep(chance.uniform(0.2, 0.8))
                machine.cut("abc")
                server.kill()
            machine.power_on("abc")
            if number % 3 == 2:
                server.start(ready=False)
                time.sleep(chance.uniform(0.0, 0.4))
                machine.cut("abc")
                machine.power_on("abc")
                cuts_in_recovery += 1
            server.start()
            ledger.check(server.client(), everything=number == numbers[-1])
        checked += ledger.checked
    assert checked > 5 * cuts, "too few operations to say anything"
    with capsys.disabled():
        print(f"\npower cuts {cuts} (+{cuts_in_recovery} during recovery), acknowledged ops checked {checked}, "
              f"{bound(0, checked)}")
        counts = {"cuts": cuts, "cuts during recovery": cuts_in_recovery}
        figure("T3 power cut of every zone", "acknowledged operations", checked, **counts)


# AZ08, AZ10, AZ11, AZ12, AZ20
@pytest.mark.root
def test_a_power_cut_of_one_zone_stops_nobody_and_loses_nothing(new_server, tmp_path, scale, capsys):
    """The others serve all that was acknowledged, at once and after the zone is back."""
    chance = random.Random(seed())
    cuts, checked = CUTS * scale, 0
    for machine, numbers in stores(new_server, tmp_path, cuts):
        server, ledger = machine.server, Ledger("ledger")
        for number in numbers:
            zone = chance.choice("abc")
            with clients(server, ledger, f"c{number}", chance, keep_on=True):
                time.sleep(chance.uniform(0.2, 0.6))
                machine.cut(zone)
                time.sleep(chance.uniform(0.1, 0.5))
            # An operation may be asked to come again while the zone goes out, nothing else.
            ledger.check_refusals(503)
            ledger.check(server.client(retries=5), everything=False)
            machine.power_on(zone)
            server.start()
            machine.wait_whole()
            ledger.check(server.client(), everything=number == numbers[-1])
        checked += ledger.checked
    assert checked > 5 * cuts, "too few operations to say anything"
    with capsys.disabled():
        print(f"\npower cuts of one zone {cuts}, acknowledged ops checked {checked}, {bound(0, checked)}")
        figure("T3 power cut of one zone", "acknowledged operations", checked, cuts=cuts)
