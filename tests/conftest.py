"""Fixtures of the black-box tests: a shared server, servers of one's own, a bucket."""

import itertools
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.server import Server, binary  # noqa: E402

_NUMBERS = itertools.count(1)


def pytest_configure(config):
    config.addinivalue_line("markers", "root: needs root; skipped, and counted, without")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="session", autouse=True)
def _binary_is_built():
    if not binary().exists():
        pytest.exit(f"{binary()} is not built: run `cargo build --package strongroom-server`", 2)


@pytest.fixture(scope="session")
def scale():
    """What counts are multiplied by: 1 in a change, more in the slow lane."""
    return int(os.environ.get("STRONGROOM_TEST_SCALE", "1"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for the tests of a file: three zones of its own making."""
    server = Server(tmp_path_factory.mktemp("store"))
    server.start()
    yield server
    server.stop()
    server.check_log()
    # A run of all tests would leave tens of gigabytes; what failed stays.
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def new_server(tmp_path):
    """Makes servers of one's own. All are killed at the end and their logs are read."""
    servers = []

    def make(name="store", **options):
        server = Server(tmp_path / name, **options)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.kill()
    for server in servers:
        server.check_log()


@pytest.fixture
def s3(server):
    return server.client()


@pytest.fixture
def bucket(s3, request):
    """A fresh bucket with a name of its own."""
    name = f"bucket-{next(_NUMBERS)}-{abs(hash(request.node.name)) % 10**6}"
    s3.create_bucket(Bucket=name)
    return name
