"""What an operator meets first: the start, its screen, settings, status, and the README."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from harness.server import ACCESS_KEY, SECRET_KEY, StartError, binary, clean_environment, free_port

README = Path(__file__).resolve().parents[1] / "README.md"


def run(*words, environment=None, folder=None, fails=False):
    done = subprocess.run(
        [str(binary()), *map(str, words)], env=clean_environment() | (environment or {}), cwd=folder,
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert (done.returncode != 0) == fails, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def screen(server):
    """What a start shows; it may come a moment after the port is ready."""
    deadline = time.monotonic() + 10
    while "--endpoint-url" not in server.log() and time.monotonic() < deadline:
        time.sleep(0.02)
    return server.log()


def test_the_screen_says_where_who_and_what_it_survives(new_server):
    server = new_server(credentials=None)
    server.start()
    text = screen(server)
    assert server.endpoint in text
    assert "credentials" in text.lower()
    assert re.search(r"\baws\b.*--endpoint-url", text)
    assert re.search(r"survives .* but not", text)
    assert sorted(p.name for p in server.data.iterdir() if p.is_dir()) == ["z1", "z2", "z3"]
    assert not list(server.data.glob("z*/*credential*"))


def test_the_aws_line_of_the_screen_works(new_server, tmp_path):
    import sys

    server = new_server(credentials=None)
    server.start()
    line = next(line for line in screen(server).splitlines() if "--endpoint-url" in line).strip()
    environment = clean_environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(line, shell=True, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_status_speaks_of_every_zone(new_server):
    server = new_server()
    server.start()
    keys = {"STRONGROOM_ACCESS_KEY": ACCESS_KEY, "STRONGROOM_SECRET_KEY": SECRET_KEY}
    address = f"127.0.0.1:{server.admin_port}"
    text = run("status", "--admin-address", address, environment=keys)
    assert all(name in text for name in ("z1", "z2", "z3")), text
    server.stop()
    gone = run("status", "--admin-address", address, environment=keys, fails=True)
    assert address in gone or str(server.admin_port) in gone


def test_version_and_help():
    assert re.search(r"\d+\.\d+\.\d+", run("version"))
    assert "server" in run("--help")
    assert "--zone" in run("server", "--help")


@pytest.mark.parametrize("names", [("STRONGROOM_ACCESS_KEY", "STRONGROOM_SECRET_KEY"),
                                   ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD")])
def test_credentials_come_from_the_environment(new_server, monkeypatch, names):
    monkeypatch.setattr(
        "harness.server.clean_environment",
        lambda: clean_environment() | dict(zip(names, ("my-access-key", "my-secret-key-000000000"))),
    )
    server = new_server(credentials=None)
    server.start()
    server.client(credentials=("my-access-key", "my-secret-key-000000000")).create_bucket(Bucket="mine")
    assert not [path for path in server.folder.rglob("*credential*")]


def test_credentials_come_from_files(new_server, tmp_path):
    (tmp_path / "access").write_text("file-access-key\n")
    (tmp_path / "secret").write_text("file-secret-key-000000000\n")
    arguments = ["--access-key-file", str(tmp_path / "access"), "--secret-key-file", str(tmp_path / "secret")]
    server = new_server(credentials=None, arguments=arguments)
    server.start()
    server.client(credentials=("file-access-key", "file-secret-key-000000000")).create_bucket(Bucket="mine")


# attack 41
@pytest.mark.parametrize("secret", ["", "short", "minioadmin"])
def test_a_secret_everyone_knows_is_refused(new_server, secret):
    server = new_server(credentials=("some-access-key", secret))
    with pytest.raises(StartError) as caught:
        server.start()
    assert "secret" in str(caught.value).lower()
    server.expect_errors()


def test_an_unknown_variable_stops_the_start_by_name(tmp_path):
    text = run("server", environment={"STRONGROOM_NO_SUCH": "1"}, folder=tmp_path, fails=True)
    assert "STRONGROOM_NO_SUCH" in text or "no_such" in text
    assert not list(tmp_path.iterdir())


def test_an_unknown_flag_stops_the_start_by_name(tmp_path):
    assert "--no-such" in run("server", "--no-such", folder=tmp_path, fails=True)
    assert not list(tmp_path.iterdir())


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(new_server, monkeypatch, tmp_path):
    ports = [free_port() for _ in range(3)]
    config = tmp_path / "strongroom.toml"
    config.write_text(f'address = "127.0.0.1:{ports[0]}"\nregion = "eu-test-1"\n')
    monkeypatch.setattr(
        "harness.server.clean_environment",
        lambda: clean_environment() | {"STRONGROOM_REGION": "eu-test-2", "STRONGROOM_ADDRESS": f"127.0.0.1:{ports[1]}"},
    )
    server = new_server(arguments=["--config", str(config)])
    server.start()
    # The harness names the address by flag; the region stands in the environment and the file.
    import boto3

    client = boto3.client("s3", endpoint_url=server.endpoint, region_name="eu-test-2",
                          aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY)
    client.list_buckets()


def test_the_readme_names_every_setting_with_its_default():
    help_text = run("server", "--help")
    flags = set(re.findall(r"^\s+(--[a-z-]+)", help_text, re.MULTILINE)) - {"--help", "--version"}
    table = {
        match[1] for match in re.finditer(r"^\| `(--[a-z-]+)[^|]*\|", README.read_text(), re.MULTILINE)
    }
    assert flags == table
