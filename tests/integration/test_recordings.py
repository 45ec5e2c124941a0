"""Real recordings from front to back: counts, order of time, book checks, memory."""

import subprocess
import sys

import pytest

from nautilus.adapters.formats import UpdateKind, open_recording
from tests.kit.data import BTCUSDT_PERPETUAL, BTCUSDT_SPOT, LOBSTER, ROOT, recording

EXPECTED = {
    BTCUSDT_PERPETUAL: {
        "records": {"quotes": 66089, "trades": 21313, "book_diffs": 6551, "book_snapshots": 1, "book_levels": 443521},
        "checks": 6547,
        "product": "perpetual",
        "increment": "0.1",
        "dropped": 4,
    },
    BTCUSDT_SPOT: {
        "records": {"quotes": 28040, "trades": 9757, "book_diffs": 3451, "book_snapshots": 1, "book_levels": 124090},
        "checks": 3449,
        "product": "spot",
        "increment": "0.01",
        "dropped": 2,
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_binance_log_rebuilds_the_book_that_the_venue_says(name):
    log = open_recording(recording(name))
    expected = EXPECTED[name]
    assert (log.hint.product, log.hint.price_increment) == (expected["product"], expected["increment"])
    last_ns = books_after_snapshot = 0
    for update in log.updates():
        assert update.now_ns >= last_ns
        last_ns = update.now_ns
        if update.kind == UpdateKind.BOOK:
            books_after_snapshot += 1
    summary = log.summary()
    assert summary["records"] == expected["records"]
    assert (summary["gaps"], summary["lost"], summary["notes"]) == (0, 0, [])
    assert not any(summary["skipped"].values())
    checks = summary["book_checks"]
    assert (checks["compared"], checks["equal"]) == (expected["checks"], expected["checks"])
    assert (checks["pending"], checks["without_ticker"], checks["unordered"]) == (0, 0, 0)
    assert (summary["diffs_applied"], summary["diffs_dropped"]) == (expected["checks"], expected["dropped"])
    assert books_after_snapshot == expected["checks"] + 1
    assert log.progress == 1.0


def test_two_of_the_perpetual_diffs_were_held_before_the_snapshot():
    log = open_recording(recording(BTCUSDT_PERPETUAL))
    stamps = [u.now_ns for u in log.updates(until_ns=1723161255319702566) if u.kind == UpdateKind.BOOK]
    assert stamps == [1723161255319702566] * 3  # the snapshot and two diffs, so 6,545 diffs come after it
    assert log.check.compared <= 2


@pytest.mark.parametrize("name", EXPECTED)
def test_early_stop_compares_only_what_is_decided(name):
    log = open_recording(recording(name))
    first = next(iter(open_recording(recording(name)).updates())).now_ns
    for _ in log.updates(until_ns=first + 60 * 10**9):
        pass
    assert 0 < log.check.equal == log.check.compared < EXPECTED[name]["checks"]
    assert log.last_ns <= first + 60 * 10**9
    assert 0 < log.progress < 0.5


def test_lobster_pair_rebuilds_every_row():
    pair = open_recording(recording(LOBSTER))
    kinds = [update.kind for update in pair.updates()]
    checks = pair.summary()["book_checks"]
    assert (checks["compared"], checks["equal"]) == (998, 998)
    assert checks["by_depth"] == {"1": 998, "3": 998, "5": 998}
    assert pair.counts["book_messages"] == 999
    assert kinds.count(UpdateKind.TRADE) == 98 + 61
    assert pair.summary()["misfits"] == 0


def test_memory_stays_small_while_reading():
    path = recording(BTCUSDT_PERPETUAL)
    script = (
        "import resource, sys\n"
        "from nautilus.adapters.formats import open_recording\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for _ in open_recording(sys.argv[1]).updates(): pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 32 << 20
