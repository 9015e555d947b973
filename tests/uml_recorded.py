"""In the guest: a store on three file systems of one recorded disk, and clients that say what was answered.

    python uml_recorded.py FOLDER SECONDS SEED

The disk /dev/ubda is recorded to /dev/ubdb by dm-log-writes, with a mark after every few answers: what was
answered before a mark must be there whenever the power goes after it. The story goes to FOLDER/story.json.
"""

import hashlib
import json
import random
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness.server import Server  # noqa: E402
from harness.uml_guest import create, loopback_up, run, sectors  # noqa: E402

BUCKET = "ledger"
ZONES = "abc"
CLIENTS = 4
KEYS_EACH = 6
SIZES = [0, 700, 5000, 15_000, 20_000, 150_000]


def disks(folder):
    """Three file systems in a row on the recorded disk: by zone."""
    size = sectors("/dev/ubda")
    recorded = create("recorded", f"0 {size} log-writes /dev/ubda /dev/ubdb")
    zones = {}
    for number, name in enumerate(ZONES):
        part = size // len(ZONES) // 8 * 8
        device = create(name, f"0 {part} linear {recorded} {number * part}")
        run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard", device)
        mount = folder / f"mount-{name}"
        mount.mkdir()
        run("mount", device, str(mount))
        (mount / "disk").mkdir()
        zones[name] = [mount / "disk"]
    return zones


class Story:
    """What was asked and what was answered, in order."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.asked, self.answered = [], []

    def ask(self, key, digest):
        with self.lock:
            self.asked.append({"key": key, "digest": digest})
            return len(self.asked) - 1

    def answer(self, number):
        with self.lock:
            self.answered.append(number)

    def write(self):
        self.path.write_text(json.dumps({"asked": self.asked, "answered": self.answered}))


def client(server, story, name, seed, until):
    chance = random.Random(f"{seed} {name}")
    s3 = server.client(retries=0)
    while time.monotonic() < until:
        key = f"{name}/{chance.randrange(KEYS_EACH)}"
        if chance.random() < 0.2:
            number = story.ask(key, None)
            s3.delete_object(Bucket=BUCKET, Key=key)
        else:
            body = chance.randbytes(chance.choice(SIZES))
            number = story.ask(key, hashlib.sha256(body).hexdigest())
            s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        story.answer(number)


def main():
    folder, seconds, seed = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    loopback_up()
    zones = disks(folder)
    # Packing and trimming belong to what is recorded.
    server = Server(folder / "server", zones=zones, arguments=["--pack-log-size", "1MiB"])
    server.start()
    server.client().create_bucket(Bucket=BUCKET)
    story = Story(folder / "story.json")
    run("dmsetup", "message", "recorded", "0", "mark", "answered-0")
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=client, args=(server, story, f"c{n}", seed, until)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    marks = 0
    while any(thread.is_alive() for thread in threads):
        with story.lock:
            count = len(story.answered)
        run("dmsetup", "message", "recorded", "0", "mark", f"answered-{count}")
        marks += 1
        time.sleep(0.05)
    server.kill()
    story.write()
    for name in ZONES:
        run("umount", str(folder / f"mount-{name}"))
    for name in [*ZONES, "recorded"]:
        run("dmsetup", "--noudevsync", "remove", name)
    print(f"answered {len(story.answered)}, marks {marks}")


main()
