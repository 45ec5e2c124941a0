"""Records of the star that features are computed of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nautilus.core.ticks import BAR, BarKind
from nautilus.core.types import QUOTE, TRADE
from nautilus.model.records import Records
from tests.kit.context import SECOND

MINUTE = 60 * SECOND
BASE = 1_700_000_040 * SECOND // MINUTE * MINUTE


def trade_rows(count: int, instrument: int = 1, seed: int = 1, step_ns: int = 7 * SECOND) -> Records:
    """Trades on a walk."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(count, TRADE)
    rows["now_ns"] = BASE + np.arange(count) * step_ns
    rows["venue_ns"] = rows["now_ns"] - 1_000
    rows["trade_id"] = np.arange(count) + 1
    rows["price_ticks"] = 600_000 + np.cumsum(rng.integers(-5, 6, count))
    rows["quantity"] = rng.integers(1, 2_000, count)
    rows["instrument_id"] = instrument
    rows["side"] = rng.integers(0, 3, count)
    return rows


def quote_rows(
    count: int, instrument: int = 1, seed: int = 2, step_ns: int = 7 * SECOND, first_ns: int = BASE - SECOND
) -> Records:
    """Touches on a walk."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(count, QUOTE)
    rows["now_ns"] = first_ns + np.arange(count) * step_ns
    rows["bid_ticks"] = 600_000 + np.cumsum(rng.integers(-3, 4, count))
    rows["ask_ticks"] = rows["bid_ticks"] + rng.integers(1, 5, count)
    rows["bid_quantity"], rows["ask_quantity"] = rng.integers(1, 900, (2, count))
    rows["instrument_id"] = instrument
    return rows


def bar_rows(closes: Sequence[int], instrument: int = 1, begin_ns: int = BASE) -> Records:
    """Bars of a minute with these closes."""
    rows = np.zeros(len(closes), BAR)
    rows["begin_ns"] = begin_ns + np.arange(len(closes)) * MINUTE
    rows["end_ns"] = rows["now_ns"] = rows["begin_ns"] + MINUTE
    for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks"):
        rows[name] = closes
    rows["high_ticks"] += 3
    rows["low_ticks"] -= 2
    rows["volume"], rows["trades"], rows["kind"], rows["size"] = 700, 7, BarKind.TIME, MINUTE
    rows["instrument_id"] = instrument
    return rows
