"""The Debian package: what is in it, that its settings start the server, that the unit is sound.

`cargo xtask test` packs the binary under test and says where the package is.
"""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from harness.server import Server, clean_environment

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def package():
    folder = os.environ.get("STRONGROOM_TEST_PACKAGE")
    if not folder:
        pytest.skip("no package was built (`cargo xtask test` builds one where dpkg-deb is)")
    [package] = Path(folder).glob("*.deb")
    return package


@pytest.fixture(scope="module")
def unpacked(package, tmp_path_factory):
    """The files of the package, and its control files in DEBIAN."""
    folder = tmp_path_factory.mktemp("unpacked") / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder], check=True)
    return folder


def test_the_package_holds_what_it_should_and_nothing_else(package):
    listing = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True).stdout
    (package.parent / "listing.tar").write_bytes(listing)
    with tarfile.open(package.parent / "listing.tar") as tar:
        members = {m.name.removeprefix("./"): m for m in tar.getmembers()}
    files = {name: m.mode for name, m in members.items() if m.isfile()}
    assert files == {
        "etc/strongroom/strongroom.toml": 0o644, "usr/bin/strongroom": 0o755,
        "lib/systemd/system/strongroom.service": 0o644,
        "usr/share/doc/strongroom/README.md": 0o644,
        "usr/share/doc/strongroom/CHANGELOG.md": 0o644, "usr/share/doc/strongroom/copyright": 0o644,
    }
    assert {(m.uid, m.gid) for m in members.values()} == {(0, 0)}
    assert all(m.mode == 0o755 for m in members.values() if m.isdir())
    said = subprocess.run(["dpkg-deb", "--info", package], check=True, capture_output=True, text=True)
    for line in (" Package: strongroom", " Depends: libc6"):
        assert line in said.stdout


def test_an_operators_settings_survive_an_upgrade(unpacked):
    """dpkg asks before it replaces a file named here."""
    conffiles = (unpacked / "DEBIAN/conffiles").read_text().split()
    assert conffiles == ["/etc/strongroom/strongroom.toml"]
    for name in ("postinst", "prerm", "postrm"):
        subprocess.run(["sh", "-n", unpacked / "DEBIAN" / name], check=True)
        assert os.access(unpacked / "DEBIAN" / name, os.X_OK)
    # Removing or purging the package never removes data.
    for name in ("prerm", "postrm"):
        assert "rm -" not in (unpacked / "DEBIAN" / name).read_text()


@pytest.mark.root
def test_dpkg_installs_and_removes_it_below_another_root(package, tmp_path):
    """Dependencies are not looked at: the folder holds no system. Scripts have their own test."""
    root = tmp_path / "root"
    (root / "var/lib/dpkg/updates").mkdir(parents=True)
    (root / "var/lib/dpkg/info").mkdir()
    (root / "var/lib/dpkg/status").touch()
    (root / "var/log").mkdir()
    words = ["dpkg", f"--root={root}", "--force-depends", "--force-not-root", "--log=/dev/null"]
    subprocess.run([*words, "--unpack", package], check=True, capture_output=True)
    listed = subprocess.run([*words, "--listfiles", "strongroom"], check=True, capture_output=True)
    assert b"/usr/bin/strongroom" in listed.stdout
    said = subprocess.run(
        [root / "usr/bin/strongroom", "version"], check=True, capture_output=True, text=True)
    assert said.stdout.startswith("strongroom ")


class Packaged(Server):
    """The server of the package, started as its unit says, below another root."""

    def __init__(self, folder, tree):
        super().__init__(folder, credentials=None)
        self.tree = tree
        settings = (tree / "etc/strongroom/strongroom.toml").read_text()
        settings = settings.replace("/var/lib/strongroom", str(self.folder))
        settings = settings.replace("127.0.0.1:9000", f"127.0.0.1:{self.port}")
        settings = settings.replace("127.0.0.1:9001", f"127.0.0.1:{self.admin_port}")
        (self.folder / "strongroom.toml").write_text(settings)

    def command(self):
        unit = (self.tree / "lib/systemd/system/strongroom.service").read_text()
        [line] = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
        words = line.removeprefix("ExecStart=").split()
        assert words[0] == "/usr/bin/strongroom"
        words[0] = str(self.tree / "usr/bin/strongroom")
        return [str(self.folder / "strongroom.toml") if word.startswith("/etc") else word
                for word in words]


def test_the_packaged_server_starts_with_the_packaged_settings(unpacked, tmp_path):
    server = Packaged(tmp_path / "state", unpacked)
    try:
        server.start()
        text = (server.folder / "credentials").read_text()
        keys = dict(line.split(" = ") for line in text.splitlines() if " = " in line)
        client = server.client(credentials=(keys["aws_access_key_id"], keys["aws_secret_access_key"]))
        client.create_bucket(Bucket="packaged")
        client.put_object(Bucket="packaged", Key="k", Body=b"kept")
        server.restart()
        assert client.get_object(Bucket="packaged", Key="k")["Body"].read() == b"kept"
        # What the container's health check runs.
        said = subprocess.run(
            [unpacked / "usr/bin/strongroom", "status", "--config", server.folder / "strongroom.toml"],
            env=clean_environment(), cwd=tmp_path, check=True, capture_output=True, text=True)
        assert "reads      yes" in said.stdout
        server.stop()
        done = subprocess.run(
            [unpacked / "usr/bin/strongroom", "status", "--config", server.folder / "strongroom.toml"],
            env=clean_environment(), cwd=tmp_path, check=False, capture_output=True)
        # Not 2: the settings are right, nobody answers.
        assert done.returncode not in (0, 2), done.stderr
    finally:
        server.kill()
    server.check_log()


def test_the_unit_is_sound_and_exposes_little(unpacked, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian package systemd)")
    unit = tmp_path / "strongroom.service"
    text = (unpacked / "lib/systemd/system/strongroom.service").read_text()
    unit.write_text(text.replace("/usr/bin/strongroom", str(unpacked / "usr/bin/strongroom")))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    # 2.5 of 10: what is left open is the network and the service's own folder.
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", unit],
        check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_container_file_runs_without_root_from_an_empty_image():
    """There is no container engine here: what the file must say is read, what it runs is a script
    of its own that the package's test machine runs too."""
    lines = (ROOT / "packaging/Containerfile").read_text().splitlines()
    last = lines[max(i for i, line in enumerate(lines) if line.startswith("FROM ")):]
    assert last[0] == "FROM scratch"
    assert "USER 65532:65532" in last
    assert 'VOLUME ["/data"]' in last
    assert any(line.startswith("HEALTHCHECK") and '"/strongroom", "status"' in line for line in last)
    subprocess.run(["sh", "-n", ROOT / "packaging/build-static.sh"], check=True)
