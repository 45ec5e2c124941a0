"""Builders of bars and of order flow beside their naive twins on the same records."""

from __future__ import annotations

from typing import Any

import numpy as np

from nautilus.core.bars import BarBuilder
from nautilus.core.book_set import BookSet
from nautilus.core.flow import FlowBuilder
from nautilus.core.ticks import BarKind
from nautilus.core.types import BOOK_DELTA
from nautilus.model.records import Records
from tests.kit.naive_book_set import STALE, NaiveBookSet
from tests.kit.naive_derived import NaiveBars, NaiveFlow


def _rows(records: Records, instrument: int) -> list[dict[str, int]]:
    names = records.dtype.names or ()
    return [dict(zip(names, row, strict=True)) for row in records[records["instrument_id"] == instrument].tolist()]


def _instruments(records: Records) -> list[int]:
    return sorted(set(records["instrument_id"].tolist()))


def bars_agree(
    trades: Records, cut: int, clock: int, *, kind: BarKind, size: int, weight: str, alpha: float, **rules: bool
) -> None:
    """Trades in two parts with the clock's word between: each instrument's bars are the twin's and hold every trade."""
    builder = BarBuilder(kind, size, weight=weight, alpha=alpha, **rules)
    parts = [builder.process(trades[:cut]), builder.advance(clock), builder.process(trades[cut:]), builder.flush()]
    bars = np.concatenate(parts)
    late = 0
    for instrument in _instruments(trades):
        twin = NaiveBars(kind, size, weight, alpha, **rules)
        twin.process(_rows(trades[:cut], instrument))
        twin.advance(clock)
        twin.process(_rows(trades[cut:], instrument))
        twin.flush()
        late += twin.late
        assert bars[bars["instrument_id"] == instrument].tolist() == twin.out
    assert builder.late == late
    bought = trades["quantity"][trades["side"] == 1]
    assert int(bars["volume"].sum()) == int(trades["quantity"].sum())
    assert int(bars["buy_volume"].sum()) == int(bought.sum())
    assert int(bars["trades"].sum()) == len(trades)


def flows_agree(records: Records, *, cut: int = 0, levels: int = 1, **every: Any) -> None:
    """Quotes, or changes of books, in two parts: each instrument's flow is the twin's."""
    builder, books = FlowBuilder(levels=levels, **every), BookSet(snapshots=False, numbered=False)
    of_books = records.dtype == BOOK_DELTA
    parts = [
        builder.process_books(books, part) if of_books else builder.process(part)
        for part in (records[:cut], records[cut:])
    ]
    flows = np.concatenate([*parts, builder.flush()])
    for instrument in _instruments(records):
        twin, book = NaiveFlow(instrument, levels=levels, **every), NaiveBookSet(snapshots=False, numbered=False)
        for row in _rows(records, instrument):
            if not of_books:
                twin.quote(row)
                continue
            book.apply([row])
            blind = book.books[instrument].since_ns is not None
            twin.delta(row | {"flags": row["flags"] | STALE * blind})
        twin.flush()
        assert flows[flows["instrument_id"] == instrument].tolist() == twin.out
