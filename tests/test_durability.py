"""Acknowledged means durable: the process is killed at random instants, again and again.

Invariants checked after each kill: every acknowledged operation is visible and byte-identical
(I1); an operation that was not acknowledged happened wholly or not at all (I2); the list and the
content agree (I3). A killed process keeps what the kernel holds, so this covers ordering and
recovery; real power cuts are in test_power_cuts.py, and each of their instants in the simulation.
"""

import json
import os
import random
import shutil
import statistics
import time
from pathlib import Path

from harness.figures import figure
from harness.ledger import Ledger, Writer, bound

KILLS = 8
RECOVERIES = 4
KILLS_OF_A_RECOVERY = 3
WRITERS = 6


def seed():
    value = int(os.environ.get("STRONGROOM_TEST_SEED", random.SystemRandom().randrange(2**32)))
    print(f"seed {value} (repeat with STRONGROOM_TEST_SEED={value})")
    return value


# AZ08, AZ10
def test_acknowledged_operations_survive_kill_9(new_server, scale, capsys):
    with capsys.disabled():
        print()
        chance = random.Random(seed())
    server = new_server()
    server.start()
    server.client().create_bucket(Bucket="ledger")
    ledger = Ledger("ledger")
    recoveries, kills, kills_in_recovery = [], KILLS * scale, 0
    for round_number in range(kills):
        writers = [
            Writer(server, ledger, f"r{round_number}w{number}", chance.random()) for number in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        time.sleep(chance.uniform(0.2, 2.0))
        server.kill()
        for writer in writers:
            writer.stop()
        if round_number % 3 == 2:
            # Twice: the second kill hits the recovery from the first.
            server.start(ready=False)
            time.sleep(chance.uniform(0.0, 0.3))
            server.kill()
            kills_in_recovery += 1
        server.start()
        recoveries.append(server.recovery_seconds)
        ledger.check(server.client(), everything=round_number == kills - 1)
    server.restart()
    ledger.check(server.client())
    # A killed server breaks connections; it never answers an error before.
    ledger.check_refusals()
    assert ledger.checked > 20 * kills, "too few operations to say anything"
    record(recoveries)
    with capsys.disabled():
        print(
            f"kills {kills} (+{kills_in_recovery} during recovery), acknowledged ops checked "
            f"{ledger.checked}, unknown outcomes {ledger.unknown}, {bound(0, ledger.checked)}; "
            f"seconds to serving p50 {statistics.median(recoveries):.2f} max {max(recoveries):.2f}"
        )
        counts = {"kills": kills, "kills during recovery": kills_in_recovery}
        figure("T4 kill -9 under load", "acknowledged operations", ledger.checked, **counts)


# AZ08, AZ10, AZ19
def test_acknowledged_operations_survive_kill_9_of_one_recovery_after_another(new_server, scale, capsys):
    """Each recovery is killed three times, anywhere in the time the last one took; every second
    has a view to make anew."""
    with capsys.disabled():
        print()
        chance = random.Random(seed())
    server = new_server()
    server.expect_errors(r"view", r"zone")
    server.start()
    server.client().create_bucket(Bucket="ledger")
    ledger, kills = Ledger("ledger"), 0
    for round_number in range(RECOVERIES * scale):
        writers = [Writer(server, ledger, f"r{round_number}w{n}", chance.random()) for n in range(WRITERS)]
        for writer in writers:
            writer.start()
        time.sleep(chance.uniform(0.2, 0.8))
        server.kill()
        for writer in writers:
            writer.stop()
        longest = server.recovery_seconds
        if round_number % 2 == 1:
            views = [path for path in server.data.rglob("*") if path.is_dir() and "view" in path.name]
            shutil.rmtree(chance.choice(views))
        for _ in range(KILLS_OF_A_RECOVERY):
            server.start(ready=False)
            time.sleep(chance.uniform(0.0, longest))
            server.kill()
            kills += 1
        server.start()
        ledger.check(server.client(), everything=round_number == RECOVERIES * scale - 1)
    ledger.check_refusals()
    assert ledger.checked > 20, "too few operations to say anything"
    with capsys.disabled():
        print(f"kills of a recovery {kills}, acknowledged ops checked {ledger.checked}, {bound(0, ledger.checked)}")
        figure("T4 kill -9 during recovery", "acknowledged operations", ledger.checked, **{"kills": kills})


def test_a_stop_by_sigterm_loses_nothing_and_refuses_nothing_acknowledged(new_server):
    server = new_server()
    server.start()
    server.client().create_bucket(Bucket="ledger")
    ledger = Ledger("ledger")
    for round_number in range(2):
        writers = [Writer(server, ledger, f"r{round_number}w{n}", n) for n in range(3)]
        for writer in writers:
            writer.start()
        time.sleep(0.7)
        server.stop()
        for writer in writers:
            writer.stop()
        server.start()
        ledger.check(server.client())
    ledger.check_refusals(503)
    assert ledger.checked > 0


def test_two_restarts_in_a_row_change_nothing(new_server):
    """I4: recovering twice gives the same state."""
    server = new_server()
    server.start()
    server.client().create_bucket(Bucket="ledger")
    ledger = Ledger("ledger")
    writer = Writer(server, ledger, "w", 7)
    writer.start()
    time.sleep(0.7)
    server.kill()
    writer.stop()
    for _ in range(3):
        server.start()
        ledger.check(server.client())
        server.kill()


def record(recoveries):
    """Keeps the measured recovery times beside the build; they are recorded, never asserted."""
    folder = Path(__file__).resolve().parents[1] / "target/strongroom-tests"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recovery-seconds.json").write_text(json.dumps([round(r, 3) for r in recoveries]))
