"""A run: the checks in order, what each came to, and the clean-up."""

import time

from . import attacks, changes, configuration, enforcement, expiry, holds, writing
from .cleanup import clean_up
from .suite import Skip, Suite
from .wire import Budget, Missing, Spent, Wire, Wrong

GROUPS = [each.GROUP for each in (configuration, writing, changes, holds, enforcement, attacks, expiry)]
# A run sends about 1400; over an ocean at 200 ms each that is five minutes.
REQUESTS_MAX = 4000
SECONDS_MAX = 900
# Versions and uploads left by a run are some hundreds, each deleted with up to two requests.
CLEANUP_REQUESTS = 2000
CLEANUP_SECONDS = 180
# Long enough to try something, short enough to wait for.
LOCK_SECONDS = 12


class CannotBegin(Exception):
    """Not even a plain bucket can be made: nothing is known about locks."""


class Result:
    """What a check came to: `ok`, `FAILED` or `skipped`."""

    def __init__(self, group, check, outcome, reason=None):
        self.group, self.rules, self.what = group, check.rules, check.what
        self.outcome, self.reason = outcome, reason

    def line(self):
        if self.outcome == "skipped":
            return f"skipped({self.reason}) {self.rules} {self.what}"
        return f"{self.outcome} {self.rules} {self.what}" + (f": {self.reason}" if self.reason else "")

    def entry(self):
        return {"group": self.group, "rules": self.rules.split(), "what": self.what, "outcome": self.outcome,
                "reason": self.reason}


class Report:
    """What a run found, and what it left."""

    def __init__(self, suite, results, left, seconds):
        self.suite, self.results, self.left, self.seconds = suite, results, left, seconds

    def count(self, outcome):
        return sum(each.outcome == outcome for each in self.results)

    @property
    def passed(self):
        return bool(self.results) and not self.count("FAILED")

    def failed(self):
        return [each for each in self.results if each.outcome == "FAILED"]

    def summary(self):
        counts = ", ".join(f"{self.count(each)} {each}" for each in ("ok", "FAILED", "skipped"))
        return (f"object lock at {self.suite.wire.endpoint}: {counts}; {self.suite.wire.budget.sent} requests, "
                f"{self.seconds:.0f} s")

    def document(self):
        return {
            "endpoint": self.suite.wire.endpoint, "passed": self.passed, "seconds": round(self.seconds, 1),
            "requests": self.suite.wire.budget.sent, "buckets": self.suite.buckets, "left": self.left,
            "checks": [each.entry() for each in self.results],
        }


def judge(suite, group, check, allow_missing):
    """Makes one check. What it throws is its result; what is no result stops the run."""
    try:
        check.run(suite)
    except Skip as reason:
        return Result(group.name, check, "skipped", str(reason))
    except Missing as reason:
        return Result(group.name, check, "skipped" if allow_missing else "FAILED", str(reason))
    except (Wrong, Spent) as reason:
        return Result(group.name, check, "FAILED", str(reason))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return Result(group.name, check, "FAILED", f"an answer lacks what it must have: {error!r}")
    return Result(group.name, check, "ok")


def begin(suite):
    """Makes a bucket without locks: one sentence then says what hundreds of failed checks would not."""
    try:
        suite.bucket("plain", lock=False)
    except (Wrong, Missing) as reason:
        raise CannotBegin(f"no bucket can be made: {reason}") from None


def run(endpoint, region, credentials, authority=None, allow_missing=False, leave_a_day=False, groups=None,
        requests_max=REQUESTS_MAX, seconds_max=SECONDS_MAX, lock_seconds=LOCK_SECONDS, matching="", say=print,
        clean=True):
    """Runs the groups, all when none is named, and cleans up whatever happens."""
    started = time.monotonic()
    wire = Wire(endpoint, region, credentials, authority, Budget(requests_max, seconds_max))
    suite = Suite(wire, lock_seconds, leave_a_day)
    say(f"buckets of this run begin with {suite.name}")
    results = []
    try:
        begin(suite)
        for group in GROUPS:
            if groups and group.name not in groups:
                continue
            for check in (each for each in group.checks if matching in each.what):
                result = judge(suite, group, check, allow_missing)
                say(result.line())
                results.append(result)
    finally:
        wire.budget.extend(CLEANUP_REQUESTS, CLEANUP_SECONDS)
        left = clean_up(suite, say) if clean else []
    return Report(suite, results, left, time.monotonic() - started)
