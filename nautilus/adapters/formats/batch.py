"""Recordings that are decoded many rows at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nautilus.adapters.formats.recording import (
    BLOCK_RECORDS,
    Block,
    InstrumentHint,
    Recording,
    Records,
    Update,
    UpdateKind,
)
from nautilus.adapters.formats.validation import ValidationReport
from nautilus.core.ticks import BAR, BarKind
from nautilus.core.types import QUOTE, TRADE, RecordFlag

LAST = int(RecordFlag.LAST)
FAR_NS = 1_000_000_000
"""A row so far before one above it is out of place: it keeps its time, by which it is refused where it is checked."""
NAMES: dict[int, str] = {
    UpdateKind.QUOTE: "quotes",
    UpdateKind.TRADE: "trades",
    UpdateKind.BOOK: "book_levels",
    UpdateKind.BAR: "bars",
}
Numbers = npt.NDArray[np.int64]


class BatchRecording(Recording):
    """A recording whose reader gives blocks; updates are their rows.

    Attributes
    ----------
    report : what was found in the rows; complete once all were read.
    """

    def __init__(self, path: Path, hints: tuple[InstrumentHint, ...], instrument_id: int) -> None:
        super().__init__(path, hints[0], instrument_id)
        self.hints = hints
        self.report = ValidationReport(refusals=[], notes=[], columns={}, settings={})
        self._latest = 0
        self._latest_of: dict[int, int] = {}

    @abstractmethod
    def _read(self) -> Iterator[Block]:
        """The blocks in file order."""

    def blocks(self, size: int = BLOCK_RECORDS) -> Iterator[Block]:
        """The records as they were read; see `Recording.blocks`."""
        self._begin()
        for block in self._read():
            if len(block.records):
                self._count(block.kind, block.records)
                yield block

    def updates(self, until_ns: int | None = None) -> Iterator[Update]:
        """Give the records one by one, book changes as a whole; see `Recording.updates`."""
        self._begin()
        for kind, records in self._read():
            if kind == UpdateKind.BOOK:
                ends = np.flatnonzero(records["flags"] & LAST) + 1
                starts = [0, *ends[:-1].tolist()]
                pieces = [records[a:b] for a, b in zip(starts, ends.tolist(), strict=True)]
            else:
                pieces = [records[i : i + 1] for i in range(len(records))]
            for piece in pieces:
                now_ns = max(self.last_ns, int(piece["now_ns"][-1]))
                if until_ns is not None and now_ns > until_ns:
                    return
                yield Update(now_ns, kind, piece)
                self._count(kind, piece)

    def _count(self, kind: int, records: Records) -> None:
        name = NAMES[kind]
        self.counts[name] = self.counts.get(name, 0) + len(records)
        self.first_ns = self.first_ns or int(records["now_ns"][0])
        self.last_ns = max(self.last_ns, int(records["now_ns"].max()))

    def _rising(self, times: Numbers) -> Numbers:
        """Receive stamps: a time that goes back is raised to the one before it, and counted."""
        if not len(times):
            return times
        raised: Numbers = np.maximum.accumulate(np.maximum(times, self._latest))
        count = int(np.count_nonzero(raised != times))
        if count:
            self.skipped["times_raised"] = self.skipped.get("times_raised", 0) + count
        self._latest = int(raised[-1])
        return raised

    def _received(self, times: Numbers, instrument: Any) -> Numbers:
        """The same for each instrument, but for a time that goes far back: that row is out of place, and says so."""
        stamps: Numbers = np.array(times)
        ids = np.broadcast_to(np.asarray(instrument), times.shape)
        count = 0
        for number in np.unique(ids).tolist():
            mine = ids == number
            own = stamps[mine]
            raised = np.maximum.accumulate(np.maximum(own, self._latest_of.get(number, 0)))
            near = raised - own <= FAR_NS
            count += int(np.count_nonzero(near & (raised != own)))
            stamps[mine] = np.where(near, raised, own)
            self._latest_of[number] = int(raised[-1])
        if count:
            self.skipped["times_raised"] = self.skipped.get("times_raised", 0) + count
        return stamps

    def summary(self) -> dict[str, Any]:
        """`Recording.summary`, with the `report` of the rows."""
        return super().summary() | {"report": self.report.plain()}


def trade_records(
    now_ns: Numbers, venue_ns: Numbers, ids: Any, price: Numbers, quantity: Numbers, side: Any, instrument: Any
) -> Records:
    """TRADE array of columns."""
    records = np.zeros(len(now_ns), TRADE)
    columns = now_ns, venue_ns, ids, price, quantity, side, instrument
    names = "now_ns", "venue_ns", "trade_id", "price_ticks", "quantity", "side", "instrument_id"
    for name, values in zip(names, columns, strict=True):
        records[name] = values
    records["flags"] = LAST
    return records


def quote_records(
    now_ns: Numbers,
    venue_ns: Numbers,
    ids: Any,
    bid: tuple[Numbers, Numbers],
    ask: tuple[Numbers, Numbers],
    instrument: Any,
) -> Records:
    """QUOTE array of columns; a side is (price, quantity)."""
    records = np.zeros(len(now_ns), QUOTE)
    columns = now_ns, venue_ns, ids, *bid, *ask, instrument
    names = (
        "now_ns",
        "venue_ns",
        "update_id",
        "bid_ticks",
        "bid_quantity",
        "ask_ticks",
        "ask_quantity",
        "instrument_id",
    )
    for name, values in zip(names, columns, strict=True):
        records[name] = values
    records["flags"] = LAST
    return records


def bar_records(begin_ns: Numbers, end_ns: Numbers, prices: Any, volume: Numbers, instrument: Any) -> Records:
    """BAR array of time bars; `prices` are open, high, low, close. What rows do not tell (trades, buyers) is 0."""
    records = np.zeros(len(begin_ns), BAR)
    records["now_ns"] = records["end_ns"] = end_ns
    records["begin_ns"] = begin_ns
    for name, values in zip(("open_ticks", "high_ticks", "low_ticks", "close_ticks"), prices, strict=True):
        records[name] = values
    records["volume"] = volume
    records["size"] = end_ns - begin_ns
    records["kind"] = int(BarKind.TIME)
    records["instrument_id"] = instrument
    return records


def bad_bars(records: Records) -> npt.NDArray[np.bool_]:
    """Bars whose high or low does not hold the open and the close."""
    high, low = records["high_ticks"], records["low_ticks"]
    bad = high < low
    for name in ("open_ticks", "close_ticks"):
        bad |= (records[name] > high) | (records[name] < low)
    result: npt.NDArray[np.bool_] = bad
    return result
