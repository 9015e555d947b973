"""A pytest plugin: writes down how each test of the suite ended, and leaves cleaning up to us.

The suite empties its buckets by listing versions before and after the run. Our server is thrown
away instead, so that what the suite tests is not also what it needs to begin.
"""

import json
import os

import pytest

_REASON_CHARACTERS_MAX = 2000


class ReportHooks:
    """The hooks of an HTML report that the suite decorates and we do not make."""

    def pytest_html_report_title(self, report):
        """Never called."""

    def pytest_html_results_summary(self, prefix, summary, postfix):
        """Never called."""

    def pytest_html_results_table_header(self, cells):
        """Never called."""

    def pytest_html_results_table_row(self, report, cells):
        """Never called."""

    def pytest_html_results_table_html(self, report, data):
        """Never called."""


def pytest_addhooks(pluginmanager):
    pluginmanager.add_hookspecs(ReportHooks)


def _nothing(*_arguments, **_options):
    """Instead of emptying buckets."""


def pytest_collection_finish(session):
    modules = {item.module for item in session.items}
    for owner in modules | set(session.config.pluginmanager.get_plugins()):
        if hasattr(owner, "nuke_prefixed_buckets"):
            owner.nuke_prefixed_buckets = _nothing


def _name(nodeid):
    """`test_s3_acl_v.py::test_x`: the class says nothing the file does not."""
    words = nodeid.split("/")[-1].split("::")
    return f"{words[0]}::{words[-1]}"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    ended = report.when == "call" or (report.when == "setup" and not report.passed)
    if not ended:
        return
    record = {
        "test": _name(report.nodeid),
        "outcome": report.outcome,
        "seconds": round(report.duration, 3),
        "reason": "" if report.passed else str(report.longrepr)[-_REASON_CHARACTERS_MAX:],
    }
    with open(os.environ["CONFORMANCE_RESULTS"], "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
