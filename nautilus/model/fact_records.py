"""What providers tell as records of the star: facts of one kind, their text cut to fixed columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np

from nautilus.model.datasets import BarFact, DataKind, EconomicFact, Fact, FundamentalFact
from nautilus.model.marketdata import ECONOMIC_FACT, FUNDAMENTAL_FACT, HISTORICAL_BAR, FactFlag
from nautilus.model.records import Records

RECORD_OF: Mapping[DataKind, np.dtype[np.void]] = {
    DataKind.BAR: HISTORICAL_BAR,
    DataKind.FUNDAMENTAL: FUNDAMENTAL_FACT,
    DataKind.ECONOMIC: ECONOMIC_FACT,
}
"""Kinds that the star carries; quotes there are of instruments, in ticks, and others are no series."""


def fact_records(kind: DataKind, facts: Sequence[Fact], instruments: Mapping[str, int]) -> Records:
    """Facts of one kind as records, `now_ns` still 0.

    Parameters
    ----------
    instruments
        Instrument id by symbol.
    """
    rows: list[tuple[object, ...]] = []
    for fact in facts:
        where = fact.provenance
        flags = int(FactFlag.SYNTHETIC) if where.synthetic else 0
        source = _text(where.source, 16)
        if isinstance(fact, BarFact):
            rows.append(
                (
                    *(0, where.fetched_ns, fact.begin_ns, fact.end_ns, fact.open, fact.high, fact.low, fact.close),
                    *(_number(fact.volume), _number(fact.adjusted_close), instruments.get(fact.symbol, 0), flags),
                    *(_text(fact.symbol, 64), _text(fact.interval, 8), _text(fact.currency, 8), source),
                )
            )
        elif isinstance(fact, FundamentalFact):
            rows.append(
                (
                    *(0, where.fetched_ns, fact.begin_ns, fact.end_ns, fact.filed_ns, _number(fact.value)),
                    *(instruments.get(fact.symbol, 0), flags, _text(fact.symbol, 64), _text(fact.concept, 96)),
                    *(_text(fact.unit, 24), _text(fact.form, 16), source),
                )
            )
        elif isinstance(fact, EconomicFact):
            rows.append(
                (
                    *(0, where.fetched_ns, fact.begin_ns, fact.end_ns, fact.vintage_ns, _number(fact.value)),
                    *(instruments.get(fact.series, 0), flags, _text(fact.series, 64), _text(fact.unit, 64)),
                    *(_text(fact.frequency, 16), source),
                )
            )
    return np.array(rows, RECORD_OF[kind])


def _number(value: float | None) -> float:
    return nan if value is None else value


def _text(text: str, width: int) -> bytes:
    """UTF-8, cut between characters."""
    data = text.encode()
    return data if len(data) <= width else data[:width].decode(errors="ignore").encode()


__all__ = ["RECORD_OF", "fact_records"]
