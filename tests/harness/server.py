"""A server under test: started on free ports, watched, stopped or killed.

The server is the real binary on real folders; only loopback is used. Its log is kept beside the
data and read at the end: a panic or an error it was not expected to report fails the test.
"""

import base64
import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

ACCESS_KEY = "tests-access-key"
SECRET_KEY = "tests-secret-key-0123456789abcdef"
REGION = "us-east-1"
# A start reads the log; tests keep little data, so this is far above what it takes.
READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 45
MEMBER_WAIT = "500ms"

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ERROR_TEXT = re.compile(r'\bERROR\b')
_ERROR_JSON = re.compile(r'"level":\s*"ERROR"', re.IGNORECASE)
_PANIC = re.compile(r"panicked at|stack overflow|SIGSEGV")


class StartError(Exception):
    """The server ended before it was ready; the message is what it said."""


def binary():
    default = Path(__file__).resolve().parents[2] / "target/debug/strongroom"
    return Path(os.environ.get("STRONGROOM_BIN", default))


def free_port():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def clean_environment():
    """The environment without settings of the person who runs the tests."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("STRONGROOM_", "AWS_", "MINIO_"))
    }


class Server:
    """One store: its folders stay over restarts, its ports too."""

    def __init__(self, folder, zones=None, credentials=(ACCESS_KEY, SECRET_KEY), arguments=()):
        """`zones` maps names to lists of folders; without it the server makes three of its own."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.zones = zones
        self.credentials = credentials
        self.arguments = list(arguments)
        # The certificate of the authority to trust, for a server that speaks TLS.
        self.authority = None
        self.port = free_port()
        self.admin_port = free_port()
        self.log_path = self.folder / "server.log"
        self.process = None
        self.expected_errors = []
        self.recovery_seconds = None

    # -- where things are

    @property
    def scheme(self):
        return "https" if self.authority else "http"

    @property
    def endpoint(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def admin_endpoint(self):
        return f"{self.scheme}://127.0.0.1:{self.admin_port}"

    def trust(self):
        """What a TLS client of this server trusts: nothing is sent in plain when it is set."""
        if not self.authority or not Path(self.authority).exists():
            return None
        return ssl.create_default_context(cafile=str(self.authority))

    def zone_folders(self):
        """Folders of each zone, by name."""
        if self.zones is not None:
            return {name: [Path(f) for f in folders] for name, folders in self.zones.items()}
        # Three zones made by the server: the folders that hold a superblock, grouped below `data`.
        marks = sorted(self.data.rglob("superblock*"))
        assert marks, f"no superblock below {self.data}"
        folders = sorted({mark.parent for mark in marks})
        return {folder.relative_to(self.data).parts[0]: [folder] for folder in folders}

    def command(self):
        words = [str(binary()), "server"]
        if self.zones is None:
            words += ["--data", str(self.data)]
        else:
            for name, folders in self.zones.items():
                words += ["--zone", f"{name}={','.join(map(str, folders))}"]
        # A zone that a test took away does not come back: waiting for it proves nothing.
        words += ["--member-wait", MEMBER_WAIT]
        words += ["--address", f"127.0.0.1:{self.port}"]
        words += ["--admin-address", f"127.0.0.1:{self.admin_port}"]
        return words + self.arguments

    # -- life

    def start(self, ready=True, environment=()):
        assert self.process is None, "the server runs already"
        environment = clean_environment() | dict(environment)
        environment["RUST_BACKTRACE"] = "1"
        if self.credentials:
            environment["STRONGROOM_ACCESS_KEY"], environment["STRONGROOM_SECRET_KEY"] = self.credentials
        started = time.monotonic()
        with open(self.log_path, "ab") as log:
            log.write(b"---- start\n")
            log.flush()
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment, cwd=self.folder,
            )
        if ready:
            self.wait_ready()
            self.recovery_seconds = time.monotonic() - started
        return self

    def wait_ready(self, path="/readyz"):
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                code = self.process.returncode
                self.process = None
                raise StartError(f"ended with {code}: {self.log_since_start()}")
            if self.health(path) == 200:
                return
            time.sleep(0.01)
        text = self.log_since_start()
        self.kill()
        raise StartError(f"not ready after {READY_SECONDS_MAX} s: {text}")

    def health(self, path="/readyz"):
        """The status of a health route, or nothing when nobody answers."""
        try:
            with urllib.request.urlopen(self.admin_endpoint + path, timeout=5, context=self.trust()) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def fetch(self, path):
        """The text of a route of the administration port."""
        request = urllib.request.Request(self.admin_endpoint + path)
        token = base64.b64encode(":".join(self.credentials).encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request, timeout=10, context=self.trust()) as answer:
            return answer.read().decode()

    def stop(self):
        """Stops as a service manager does; the server must leave with success."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the server did not stop after SIGTERM") from None
        self.process = None
        assert code == 0, f"stopped with {code}: {self.log_since_start()[-2000:]}"

    def kill(self):
        """Kills the process as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self):
        self.stop()
        return self.start()

    # -- what it said

    def log(self):
        if not self.log_path.exists():
            return ""
        return _ANSI.sub("", self.log_path.read_text(errors="replace"))

    def wait_for_log(self, text):
        """Waits until the output has this text: what is printed once the server is ready may come
        after its first answers."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while text not in self.log():
            assert time.monotonic() < deadline, f"no {text!r} in {self.log_since_start()}"
            time.sleep(0.05)

    def log_since_start(self):
        return self.log().rsplit("---- start\n", 1)[-1]

    def expect_errors(self, *patterns):
        """Error lines that match one of the patterns are part of the test. None means any."""
        self.expected_errors += patterns or [""]

    def check_log(self):
        """No panic ever; no error that was not expected."""
        lines = self.log().splitlines()
        panics = [line for line in lines if _PANIC.search(line)]
        assert not panics, f"the server panicked: {panics[:3]}"
        errors = [line for line in lines if _ERROR_TEXT.search(line) or _ERROR_JSON.search(line)]
        surprises = [
            line for line in errors
            if not any(re.search(pattern, line) for pattern in self.expected_errors)
        ]
        assert not surprises, f"{len(surprises)} unexpected error lines: {surprises[:5]}"

    # -- clients

    def client(self, credentials=None, retries=0, **options):
        """An S3 client as an application makes one: default integrity settings, no retries."""
        access, secret = credentials or self.credentials
        config = Config(
            retries={"total_max_attempts": retries + 1}, connect_timeout=10, read_timeout=60,
            max_pool_connections=32, **options,
        )
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name=REGION, aws_access_key_id=access,
            aws_secret_access_key=secret, config=config,
            verify=str(self.authority) if self.authority else None,
        )

    def discard(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
