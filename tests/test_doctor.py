"""`doctor` and `top` as a stranger meets them: exit codes, a pipe, JSON, a server that is away."""

import json
import shutil
import subprocess

import pytest

from harness.server import binary, clean_environment, free_port

REPORT_KEYS = {"level", "findings", "durability", "topology"}
FINDING_KEYS = {"level", "check", "message"}


def run(server, *words, port=None, credentials=None):
    environment = clean_environment()
    environment["STRONGROOM_ACCESS_KEY"], environment["STRONGROOM_SECRET_KEY"] = credentials or server.credentials
    return subprocess.run(
        [str(binary()), *map(str, words), "--admin-address", f"127.0.0.1:{port or server.admin_port}"],
        env=environment, cwd=server.folder, capture_output=True, text=True, timeout=60, check=False,
    )


def report(server, *words):
    done = run(server, "doctor", "--json", *words)
    assert done.stderr == "", done.stderr
    return done.returncode, json.loads(done.stdout)


def findings(told, check):
    return [finding for finding in told["findings"] if finding["check"] == check]


# AZ30, AZ04
def test_zones_that_share_a_device_are_a_warning_with_a_next_step(server):
    code, told = report(server)
    # The folders of a test are on one file system: a store should hear that.
    shared = [f for f in findings(told, "devices") if "lost together" in f["message"]]
    assert shared and shared[0]["level"] == "warning" and shared[0]["next"], told
    assert code in (1, 2) and told["level"] == ("warning" if code == 1 else "critical"), told
    devices = {device for zone in told["topology"]["zones"] for disk in zone["disks"] for device in disk["devices"]}
    assert devices, told["topology"]


def test_the_report_is_stable_data_worst_first(server):
    _, told = report(server)
    assert set(told) == REPORT_KEYS
    order = ["critical", "warning", "ok"]
    levels = [order.index(finding["level"]) for finding in told["findings"]]
    assert levels == sorted(levels)
    for finding in told["findings"]:
        assert FINDING_KEYS <= set(finding) <= FINDING_KEYS | {"next"}
        if finding["level"] != "ok":
            assert finding["next"], finding
    assert {"service", "zones", "redundancy", "survives", "devices", "clock", "verified", "durability"} <= {
        finding["check"] for finding in told["findings"]
    }
    figures = told["durability"]
    assert figures["data_shards"] + figures["parity_shards"] == figures["zones"] * figures["shards_per_zone"]
    assert 0 < figures["loss_per_year"] < 1e-3
    assert figures["verified_age_seconds"] is None
    assert "never verified" in findings(told, "verified")[0]["message"]


def test_assumptions_are_given_by_flags(server):
    _, usual = report(server)
    _, worse = report(server, "--afr", "10%", "--repair-time", "14d")
    _, better = report(server, "--zone-loss", "0")
    losses = [told["durability"]["loss_per_year"] for told in (better, usual, worse)]
    assert losses == sorted(losses) and losses[0] < losses[2]


def test_the_text_starts_with_a_whole_answer_and_has_no_colour_on_a_pipe(server):
    done = run(server, "doctor")
    first = done.stdout.splitlines()[0]
    assert first.startswith(("WARNING: ", "CRITICAL: ")) and done.returncode in (1, 2)
    assert "\x1b" not in done.stdout and done.stderr == ""
    assert "nines" in done.stdout


@pytest.mark.parametrize("words", [
    ["--afr", "100%"], ["--afr", "-1"], ["--afr", "nan"], ["--afr", ""], ["--repair-time", "0h"],
    ["--repair-time", "24"], ["--zone-loss", "2"], ["--zone-repair-time", "1000000d"], ["--colour"], ["extra"],
])
def test_a_wrong_flag_is_one_sentence_and_2(server, words):
    done = run(server, "doctor", *words)
    assert done.returncode == 2 and done.stdout == "", done
    assert done.stderr.startswith("strongroom: ") and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("command", [["doctor"], ["doctor", "--json"], ["top", "--once"]])
def test_a_server_that_is_away_is_4(server, command):
    done = run(server, *command, port=free_port())
    assert done.returncode == 4 and done.stdout == "", done
    assert done.stderr.startswith("strongroom: ") and done.stderr.count("\n") == 1, done.stderr


def test_wrong_credentials_are_refused(server):
    done = run(server, "doctor", credentials=("nobody", "0123456789abcdef"))
    assert done.returncode == 1 and done.stdout == "" and "credentials" in done.stderr


def test_a_zone_that_is_gone_is_critical(new_server, tmp_path):
    zones = {name: [tmp_path / "zones" / name] for name in "abc"}
    server = new_server(zones=zones)
    server.expect_errors("zone", "disk", "log", "shard")
    server.start()
    server.stop()
    shutil.rmtree(zones["b"][0])
    server.start()
    code, told = report(server)
    assert code == 2 and told["level"] == "critical", told
    out = [f for f in findings(told, "zones") if f["level"] == "critical"]
    assert out and "zone b" in out[0]["message"] and out[0]["next"]
    done = run(server, "top", "--once")
    assert done.returncode == 0 and " out " in done.stdout, done.stdout


def test_top_prints_one_frame(server):
    done = run(server, "top", "--once")
    assert done.returncode == 0 and done.stderr == "", done
    assert "reads yes  writes yes" in done.stdout and "commits" in done.stdout and "\x1b" not in done.stdout
    frame = json.loads(run(server, "top", "--once", "--json").stdout)
    assert set(frame) == {"per_second", "status", "repair", "scrub"} and frame["per_second"]["commits"] >= 0


def test_top_needs_a_terminal(server):
    done = run(server, "top")
    assert done.returncode == 2 and done.stdout == "" and "--once" in done.stderr
    done = run(server, "top", "--once", "--interval", "0s")
    assert done.returncode == 2 and done.stdout == ""
