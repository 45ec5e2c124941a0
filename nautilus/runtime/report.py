"""What came of a run: one object, for a person's table and for ``--json``."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from nautilus.core import Kernel
from nautilus.runtime.errorlog import DistinctError

PERCENTILES = {"p50": 500, "p90": 900, "p99": 990, "p99.9": 999}


class PositionLine(msgspec.Struct, frozen=True):
    """A position at the end; decimals as text, in the instrument's units and its quote currency."""

    strategy: str
    account_id: int
    symbol: str
    quantity: str
    realised: str
    unrealised: str
    currency: str


class StrategyLine(msgspec.Struct, frozen=True):
    """What one strategy did. `refused`: orders, replacements and cancels that the core refused."""

    name: str
    strategy_id: int
    account_id: int
    orders: int
    fills: int
    refused: int
    stopped: bool


class Report(msgspec.Struct, frozen=True):
    """The result of a run.

    Parameters
    ----------
    records
        Market data records played or made, by kind.
    book_checks
        ``compared`` and ``equal``, both 0 where there is nothing to compare with; None where a source has no checks.
    orders, fills
        Orders that strategies sent; fills that they had.
    order_events
        Execution reports by type, and refusals by reason under ``reasons``.
    pnl
        For each currency ``realised``, ``unrealised`` (at the price at which it could be closed) and ``total``.
    latency_us
        ``modelled``: virtual time from order to acknowledgement; ``measured``: time of the core for each command,
        called from Python (a call's time is shared evenly among its commands). Each with p50, p90, p99, p99.9, max
        and count, in microseconds.
    gaps, lost
        Holes in the recording, and update ids known to be missing.
    journal_hash, state_hash, event_hash
        Of the core at the end, as hexadecimal; the same input and seed give the same.
    positions_equal
        The portfolio engine's positions are the core's, to the last money unit.
    complete, broken
        The market was played to its end; what ended it before, where the recording cannot be read on.
    seconds, market_seconds, speed
        Wall time, virtual time, and how many times faster than the market it went.
    """

    source: str
    instruments: list[str]
    records: dict[str, int]
    book_checks: dict[str, Any] | None
    orders: int
    fills: int
    order_events: dict[str, Any]
    pnl: dict[str, dict[str, str]]
    positions: list[PositionLine]
    positions_equal: bool
    strategies: list[StrategyLine]
    alerts: list[dict[str, Any]]
    latency_us: dict[str, dict[str, float]]
    gaps: int
    lost: int
    market: dict[str, Any]
    commands: int
    events: int
    journal_hash: str
    state_hash: str
    event_hash: str
    journal: str | None
    seconds: float
    market_seconds: float
    speed: float
    seed: int
    latency: str
    complete: bool
    broken: str | None
    errors: list[DistinctError]
    versions: dict[str, str]

    @property
    def exit_code(self) -> int:
        """1 where a handler raised, the recording broke off or the positions differ, else 0."""
        return 1 if self.errors or self.broken or not self.positions_equal else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


class Progress(msgspec.Struct, frozen=True):
    """How far a run is. `fraction` is 0 to 1, None where there is no end; `pnl` by currency, as text."""

    seconds: float
    market_seconds: float
    fraction: float | None
    orders: int
    fills: int
    pnl: dict[str, str]


def percentiles(nanoseconds: npt.NDArray[Any]) -> dict[str, float]:
    """p50, p90, p99, p99.9 and max in microseconds, and the count; empty: zeros."""
    if not len(nanoseconds):
        return {**dict.fromkeys(PERCENTILES, 0.0), "max": 0.0, "count": 0}
    ordered = np.sort(nanoseconds)
    count = len(ordered)
    # The smallest recorded value that at least so many do not exceed: never an interpolated one.
    result = {
        name: round(float(ordered[-(-count * per_mille // 1000) - 1]) / 1000, 3)
        for name, per_mille in PERCENTILES.items()
    }
    result["max"] = round(float(ordered[-1]) / 1000, 3)
    result["count"] = count
    return result


def core_positions(kernel: Kernel, accounts: Sequence[int]) -> dict[tuple[int, int], tuple[int, ...]]:
    """Quantity, cost, realised profit and fees of each (account, instrument) that ever traded, as the core has them."""
    names = ("quantity", "cost", "realised", "fees")
    return {
        (account_id, int(row["instrument_id"])): tuple(int(row[name]) for name in names)
        for account_id in accounts
        for row in kernel.positions(account_id)
        if any(row[name] for name in names)
    }


def decimal_text(value: Decimal) -> str:
    """A decimal without exponent or trailing zeros."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
