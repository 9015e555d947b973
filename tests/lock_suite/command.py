"""The command line of the suite."""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import boto3
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError

from .run import CannotBegin, GROUPS, LOCK_SECONDS, REQUESTS_MAX, SECONDS_MAX, run

OWN_REGION = "us-east-1"
# With clean-up below the half hour after which `cargo xtask` kills a run.
SECONDS_LONGEST = 1200


def arguments(words=None):
    parser = argparse.ArgumentParser(
        prog="cargo xtask conformance lock",
        description="Checks Object Lock at an S3 endpoint, in buckets of its own. Without --endpoint: at a server "
                    "started for it.")
    parser.add_argument("--endpoint", help="where S3 is, as https://HOST[:PORT]; buckets go into the path")
    parser.add_argument("--access-key", help="with --secret-key; else the environment or profile of the AWS tools")
    parser.add_argument("--secret-key", help="seen by who lists processes: the environment is the better place")
    parser.add_argument("--region", help=f"else that of the AWS tools, else {OWN_REGION}")
    parser.add_argument("--ca", type=Path, help="a file of the authorities to trust instead of the public ones")
    parser.add_argument("--json", type=Path, help="a file to write the result to")
    parser.add_argument("--only", action="append", choices=[group.name for group in GROUPS],
                        help="only this group of checks; may be given again")
    parser.add_argument("--matching", default="", metavar="TEXT", help="only checks with this in their words")
    parser.add_argument("--allow-missing", action="store_true", help="what is answered with 501 is skipped, not FAILED")
    parser.add_argument("--leave-a-day", action="store_true",
                        help="also check default compliance: a version of two kilobytes is left for a day")
    parser.add_argument("--lock-seconds", type=int, default=LOCK_SECONDS,
                        help="how long locks are (default %(default)s); more for an endpoint with slow answers")
    parser.add_argument("--requests", type=int, default=REQUESTS_MAX, help="at most (default %(default)s)")
    parser.add_argument("--seconds", type=int, default=SECONDS_MAX, help="at most, before clean-up (default %(default)s)")
    options = parser.parse_args(words)
    if bool(options.access_key) != bool(options.secret_key):
        parser.error("--access-key and --secret-key go together")
    if options.ca and not options.ca.is_file():
        parser.error(f"--ca {options.ca} is no file")
    # A default is at least a day and locks here are to be waited for: between them lies nothing useful.
    if not 10 <= options.lock_seconds <= 60:
        parser.error("--lock-seconds is from 10 to 60")
    if not 1 <= options.seconds <= SECONDS_LONGEST:
        parser.error(f"--seconds is at most {SECONDS_LONGEST}")
    if options.endpoint and not options.endpoint.startswith(("http://", "https://")):
        parser.error("--endpoint begins with http:// or https://")
    return options


class NoCredentials(BotoCoreError):
    """None were given and the AWS tools have none."""

    fmt = ("no credentials: give --access-key and --secret-key, or set AWS_ACCESS_KEY_ID and "
           "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")


def credentials_of(options):
    if options.access_key:
        return Credentials(options.access_key, options.secret_key, os.environ.get("AWS_SESSION_TOKEN"))
    found = boto3.Session().get_credentials()
    if found is None:
        raise NoCredentials()
    return found


def settings(options):
    return {
        "authority": str(options.ca) if options.ca else None, "allow_missing": options.allow_missing,
        "leave_a_day": options.leave_a_day, "groups": options.only, "requests_max": options.requests,
        "seconds_max": options.seconds, "lock_seconds": options.lock_seconds, "matching": options.matching,
    }


def run_at(options):
    region = options.region or boto3.Session().region_name or OWN_REGION
    return run(options.endpoint, region, credentials_of(options), **settings(options))


def run_at_own_server(options):
    """A server of this run in a folder of this run; what is locked goes with the folder."""
    from harness.server import REGION, Server

    options.leave_a_day = True
    with tempfile.TemporaryDirectory(prefix="lock-suite-") as folder:
        server = Server(folder).start()
        try:
            report = run(server.endpoint, REGION, Credentials(*server.credentials), **settings(options))
        finally:
            server.kill()
        server.check_log()
    return report


def main(words=None):
    options = arguments(words)
    try:
        report = run_at(options) if options.endpoint else run_at_own_server(options)
    except (BotoCoreError, CannotBegin) as error:
        print(error, file=sys.stderr)
        return 2
    print(report.summary())
    if options.json:
        options.json.write_text(json.dumps(report.document(), indent=2) + "\n")
    return 0 if report.passed else 1
