"""A normaliser beside its naive twin on the same ticks."""

from __future__ import annotations

from typing import Any

import numpy as np

from nautilus.core.normalise import Normaliser
from nautilus.core.ticks import TICK, TickReason
from nautilus.model.records import Records
from tests.kit.naive_normalise import NaiveNormaliser

LIMIT = 1 << 63
INSTRUMENTS = {1: ("0.0001", "0.01", False), 2: ("0.05", "1", False), 70_000: ("25", "0.00000001", True)}
"""Increment, lot, and whether prices may be negative."""


def made(**rules: Any) -> Normaliser:
    """A normaliser that knows them."""
    normaliser = Normaliser(**rules)
    for number, (increment, lot, negative) in INSTRUMENTS.items():
        normaliser.add(number, price_increment=increment, lot_size=lot, negative_prices=negative)
    return normaliser


def agrees(ticks: Records, cut: int, rules: dict[str, Any]) -> list[Records]:
    """Process ticks in two parts and hold everything against the twin; quotes, trades, levels, quarantine."""
    normaliser, twin = made(**rules), NaiveNormaliser(INSTRUMENTS, **rules)
    twin.process([dict(zip(TICK.names or (), row, strict=True)) for row in ticks.tolist()])
    parts = [normaliser.process(part) for part in (ticks[:cut], ticks[cut:])]
    out = [np.concatenate(each) for each in zip(*parts, strict=True)]
    quotes, trades, levels, refused = out
    assert quotes.tolist() == twin.quotes
    assert trades.tolist() == twin.trades
    assert levels.tolist() == twin.levels
    shown = [(dict(zip(TICK.names or (), row[:12], strict=True)), row[13], row[12]) for row in refused.tolist()]
    assert shown == [
        (row, int(reason), reference if reference < LIMIT else reference - 2 * LIMIT)
        for row, reason, reference in twin.quarantine
    ]
    counts = normaliser.counts()
    assert counts.pop(TickReason.GAP) == twin.gaps
    assert sum(counts.values()) == len(twin.quarantine) == normaliser.refused
    assert normaliser.passed + normaliser.refused == len(ticks)
    for instrument in INSTRUMENTS:
        assert normaliser.refused_of(instrument) == sum(
            row["instrument_id"] == instrument for row, *_ in twin.quarantine
        )
    return out
