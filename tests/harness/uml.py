"""A guest kernel in a process: User-Mode Linux from Debian, with device-mapper targets that this kernel lacks.

The guest sees the files of the host (hostfs), so it runs a script of the tests with the interpreter of
the tests. It ends by itself; a guest that hangs is killed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MEMORY = "1536M"
MODULES = Path("/usr/lib/uml/modules")
MIB = 1 << 20

INIT = """#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /run
mount -t tmpfs tmp /dev/shm 2>/dev/null || true
echo "guest begins" > {out}
for module in dm-mod {modules}; do
    insmod {folder}/kernel/drivers/md/$module.ko || echo "no $module" >> {out}
done
cd {cwd}
{environment} {python} {script} {arguments} >> {out} 2>&1
code=$?
echo "guest exit $code" >> {out}
# A script that failed may have left a disk that never answers.
[ $code = 0 ] && sync
echo o > /proc/sysrq-trigger
sleep 60
"""


def modules():
    """The folder with the modules of the installed guest kernel."""
    found = sorted(MODULES.glob("*")) if MODULES.is_dir() else []
    if not found or not shutil.which("linux.uml") or not shutil.which("insmod"):
        pytest.skip("user-mode-linux or kmod is not installed")
    return found[-1]


def sparse(path, size_mib):
    """A disk of the guest."""
    with open(path, "wb") as file:
        file.truncate(size_mib * MIB)
    return path


def run(folder, script, arguments, disks, targets, seconds):
    """Runs `script` in a guest with `disks` as /dev/ubda and so on; what it said."""
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "guest.log"
    init = folder / "init.sh"
    kept = {name: value for name, value in os.environ.items() if name.startswith("STRONGROOM_")}
    init.write_text(INIT.format(
        modules=" ".join(targets), folder=modules(), out=out, cwd=folder, python=sys.executable, script=script,
        arguments=" ".join(map(str, arguments)),
        environment=" ".join(f"{name}={value}" for name, value in kept.items()),
    ))
    init.chmod(0o755)
    words = ["linux.uml", f"mem={MEMORY}", "rootfstype=hostfs", "rw", f"init={init}", "con=null", "quiet"]
    words += [f"ubd{number}={disk}" for number, disk in enumerate(disks)]
    with open(folder / "console.log", "wb") as console:
        guest = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=console, stderr=console, cwd=folder,
                                 start_new_session=True, env=os.environ | {"TMPDIR": str(folder)})
        try:
            guest.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(guest.pid, 9)
            guest.wait()
    if not out.exists():
        # Some machines forbid what a kernel in a process needs.
        console = (folder / "console.log").read_text(errors="replace")
        pytest.skip(f"a guest kernel does not start here: {console[-300:]}")
    said = out.read_text()
    if "guest exit" not in said:
        said += "\nthe guest did not end by itself:\n" + (folder / "console.log").read_text(errors="replace")[-2000:]
    return said
