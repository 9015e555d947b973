"""A file system that fails on command, from tests/fault-fs, mounted for one test.

A rule says which calls fail and how: a path below the mount with `*`, operations joined by commas or
`all`, and one of `eio`, `enospc`, `erofs`, `hang`, `slow MS`, `short`, `flip`, `drop` (a write is
acknowledged and not done), `lose` (a sync fails and what was written since the last is gone).
"""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

DEFAULT = Path(__file__).resolve().parents[2] / "target/fault-fs/debug/fault-fs"


class FaultDisk:
    """A folder that a store uses as a disk."""

    def __init__(self, folder, name):
        self.behind, self.mount = folder / f"{name}-behind", folder / name
        self.behind.mkdir(parents=True)
        self.mount.mkdir()
        (self.behind / "disk").mkdir()
        program = Path(os.environ.get("STRONGROOM_TEST_FAULT_FS", DEFAULT))
        if not program.exists():
            pytest.skip("the file system that fails is not built (`cargo xtask test` builds it)")
        self.process = subprocess.Popen(
            [program, self.behind, self.mount], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )
        if self.process.stdout.readline() != "ready\n":
            pytest.skip(f"no file system can be mounted here: {self.process.communicate()[1].strip()}")

    @property
    def disk(self):
        return self.mount / "disk"

    def _say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer.startswith("ok"), f"{command}: {answer}"
        return answer[2:].strip()

    def add(self, pattern, operations, fault):
        """In force when this returns."""
        self._say(f"add {pattern} {operations} {fault}")

    def clear(self):
        """No call fails any more, and those that hang go on."""
        self._say("clear")

    def met(self):
        """How many calls a rule fitted."""
        return int(self._say("met"))

    def close(self):
        """Lets go of what hangs and unmounts."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        code = self.process.wait(30)
        self.process.stdout.close()
        self.process.stderr.close()
        assert code == 0, f"the file system that fails ended with {code}"


class FaultStore:
    """A store of three zones, each one disk on such a file system."""

    def __init__(self, stack, new_server, folder, **options):
        self.disks = {}
        for name in "abc":
            self.disks[name] = FaultDisk(folder, name)
            stack.callback(self.disks[name].close)
        self.server = new_server(zones={name: [disk.disk] for name, disk in self.disks.items()}, **options)
        # A disk that fails is something a person should look at.
        self.server.expect_errors()
        stack.callback(self.server.kill)
        # First of all: a process does not end while one of its calls hangs.
        stack.callback(self.lift)
        self.server.start()
        self.client = self.server.client()
        self.client.create_bucket(Bucket="objects")

    def lift(self):
        for disk in self.disks.values():
            disk.clear()
