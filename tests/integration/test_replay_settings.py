"""Settings that reach a recording, the core and the engines."""

from __future__ import annotations

import pytest

from nautilus.engines.portfolio import PortfolioConfig
from nautilus.model.errors import NautilusError
from nautilus.runtime.matching import MatchingConfig
from nautilus.runtime.replay import run
from nautilus.simulation import SimulatedSource
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


def test_a_lot_size_that_is_named_replaces_the_inferred_one() -> None:
    path = recording(BTCUSDT_SPOT)
    settings = {"recording": RecordingConfig(lot_size="0.00000001", price_increment="0.01")}
    inferred, named = (run(path, [], sections=sections, market_seconds=5) for sections in ({}, settings))
    assert inferred.journal_hash != named.journal_hash
    assert inferred.records == named.records
    assert inferred.book_checks == named.book_checks


def test_a_lot_size_that_is_no_number_is_refused_by_name() -> None:
    with pytest.raises(NautilusError, match="lot"):
        run(recording(BTCUSDT_SPOT), [], sections={"recording": RecordingConfig(lot_size="x")})


def test_method_of_positions_and_matching_reach_engine_and_core_alike() -> None:
    usual = run(SimulatedSource(seed=7), ["quoting"], market_seconds=20)
    sections = {
        "portfolio": PortfolioConfig("fifo"),
        "matching": MatchingConfig("pro-rata", "decrement", volatility_band_bps=500, volatility_ms=100),
    }
    changed = run(SimulatedSource(seed=7), ["quoting"], sections=sections, market_seconds=20)
    assert changed.fills > 10
    assert (usual.positions_equal, changed.positions_equal) == (True, True)
    assert usual.journal_hash != changed.journal_hash
