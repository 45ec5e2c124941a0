"""Settings that reach a recording."""

from __future__ import annotations

from nautilus.runtime.replay import run
from nautilus.simulation.config import RecordingConfig
from tests.kit.data import BTCUSDT_SPOT, recording


def test_cancellation_in_proportion_plays_another_queue_and_the_same_book() -> None:
    path = recording(BTCUSDT_SPOT)
    back, proportion = (
        run(path, [], sections={"recording": RecordingConfig(cancel=cancel)}, market_seconds=60)
        for cancel in ("back", "proportion")
    )
    assert back.journal_hash != proportion.journal_hash
    assert back.book_checks == proportion.book_checks
    assert back.book_checks["equal"] == back.book_checks["compared"] > 0
