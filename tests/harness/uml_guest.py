"""What scripts in the guest share: they are root there, and nobody else is."""

import fcntl
import socket
import struct
import subprocess

SECTOR = 512


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr}")
    return done.stdout.strip()


def loopback_up():
    """There is no ifconfig in every guest."""
    with socket.socket() as any_socket:
        request = struct.pack("16sH14s", b"lo", 0x1 | 0x40, b"")
        fcntl.ioctl(any_socket, 0x8914, request)


def sectors(device):
    with open(device, "rb") as file:
        return file.seek(0, 2) // SECTOR


def create(name, table):
    """A device of the mapper: its node, as the kernel names it."""
    run("dmsetup", "--noudevsync", "create", name, "--table", table)
    minor = run("dmsetup", "info", "--columns", "--noheadings", "--options", "minor", name)
    return f"/dev/dm-{minor}"
