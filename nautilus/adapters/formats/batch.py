"""Recordings that are decoded many rows at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nautilus.adapters.formats.recording import (
    BLOCK_RECORDS,
    Block,
    FormatError,
    InstrumentHint,
    Recording,
    Records,
    Update,
    UpdateKind,
)
from nautilus.adapters.formats.validation import ValidationReport
from nautilus.core.ticks import BAR, BarKind
from nautilus.core.types import QUOTE, TRADE, RecordFlag

LAST, SYNTHETIC = int(RecordFlag.LAST), int(RecordFlag.SYNTHETIC)
UNSIZED = "quotes tell no size: one lot is taken, flagged SYNTHETIC"
FAR_NS = 1_000_000_000
"""A row so far before one above it is out of place: it keeps its time, by which it is refused where it is checked."""
MOST_TURNED = 1 << 21
"""Rows of a file that is turned round, which are all held until its end."""
MOSTLY = 10
"""So many falling steps for each that rises, and the times of a file fall."""
TURNED = "rows go from the newest to the oldest: they are read in order of time"
NAMES: dict[int, str] = {
    UpdateKind.QUOTE: "quotes",
    UpdateKind.TRADE: "trades",
    UpdateKind.BOOK: "book_levels",
    UpdateKind.BAR: "bars",
}
Numbers = npt.NDArray[np.int64]
NO_ROWS: Numbers = np.zeros(0, np.int64)
Run = list[tuple[Block, Numbers]]
"""Blocks that come of the same rows of a file, with the row of each record; of one block alone its order is enough."""


class BatchRecording(Recording):
    """A recording whose reader gives blocks; updates are their rows.

    Attributes
    ----------
    report : what was found in the rows; complete once all were read.
    rows_tell_times : each record is one row with its time alone, so that a file of falling times can be turned round.
    """

    rows_tell_times: ClassVar[bool] = False

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
        for block in self._in_order():
            if len(block.records):
                self._count(block.kind, block.records)
                yield block

    def updates(self, until_ns: int | None = None) -> Iterator[Update]:
        """Give the records one by one, book changes as a whole; see `Recording.updates`."""
        self._begin()
        for kind, piece in self._pieces():
            now_ns = max(self.last_ns, int(piece["now_ns"][-1]))
            if until_ns is not None and now_ns > until_ns:
                return
            yield Update(now_ns, kind, piece)
            self._count(kind, piece)

    def _runs(self) -> Iterator[Run]:
        """The same blocks, those together whose records come of the same rows."""
        for block in self._in_order():
            yield [(block, NO_ROWS)]

    def _in_order(self) -> Iterator[Block]:
        """The blocks in file order; of a file that goes from the newest row to the oldest, in order of time."""
        if not self.rows_tell_times:
            yield from self._read()
            return
        held: list[Block] = []
        order, count, fault = FileOrder(), 0, None
        blocks = self._read()
        try:
            for block in blocks:
                held.append(block)
                count += len(block.records)
                if not order.may_fall(block.records) or count > MOST_TURNED:
                    break
        except FormatError as error:
            fault = error
        if order.falls:
            if count > MOST_TURNED:
                expected = f"the oldest row first, in a file of more than {MOST_TURNED} rows"
                raise FormatError("its rows go from the newest to the oldest", where=str(self.path), expected=expected)
            self.skipped.pop("times_raised", None)
            self.report.note(TURNED)
            kind = held[0].kind
            records = turned(kind, [each.records for each in held], self._numbers_made_up)
            held = [Block(kind, records[at : at + BLOCK_RECORDS]) for at in range(0, len(records), BLOCK_RECORDS)]
        yield from held
        if fault is not None:
            raise fault
        yield from blocks

    @property
    def _numbers_made_up(self) -> bool:
        """Records are numbered by their lines."""
        return True

    def _pieces(self) -> Iterator[tuple[int, Records]]:
        """What updates are made of, in file order; a book change that no record closes ends with the file."""
        held: list[Records] = []  # of a book change whose last record is still to come
        fault: FormatError | None = None
        runs = self._runs()
        while True:
            try:
                run = next(runs, None)
            except FormatError as error:
                run, fault = None, error
            if run is None:
                break
            if len(run) == 1:
                kind, records = run[0][0]
                for piece in self._cut(kind, records, held)[0]:
                    yield kind, piece
                continue
            rows: list[int] = []
            pieces: list[tuple[int, Records]] = []
            for (kind, records), places in run:
                cut, ends = self._cut(kind, records, held)
                rows += places[ends - 1].tolist()
                pieces += [(kind, piece) for piece in cut]
            for at in np.argsort(np.array(rows, np.int64), kind="stable").tolist():
                yield pieces[at]
        if held:
            yield int(UpdateKind.BOOK), np.concatenate(held)
        if fault is not None:
            raise fault

    @staticmethod
    def _cut(kind: int, records: Records, held: list[Records]) -> tuple[list[Records], Numbers]:
        """Records as the pieces that are updates, and where each ends; `held` keeps what is not closed yet."""
        if kind != UpdateKind.BOOK:
            return [records[i : i + 1] for i in range(len(records))], np.arange(1, len(records) + 1)
        ends: Numbers = np.flatnonzero(records["flags"] & LAST) + 1
        starts = [0, *ends.tolist()]
        pieces = [records[begin:end] for begin, end in pairwise(starts)]
        if pieces and held:
            pieces[0] = np.concatenate((*held, pieces[0]))
            held.clear()
        if starts[-1] < len(records):
            held.append(records[starts[-1] :])
        return pieces, ends

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


class FileOrder:
    """Whether times of rows, of each instrument, fall from the first row to the last.

    Attributes
    ----------
    falls : they do, for all rows so far; rows of one time alone neither fall nor rise.
    """

    def __init__(self) -> None:
        self.falls = False
        self._last: dict[int, int] = {}

    def may_fall(self, records: Records) -> bool:
        """Take in the next rows; False: the file is not one of falling times, and need not be looked at any more."""
        times, ids = row_times(records), records["instrument_id"]
        for number in np.unique(ids).tolist():
            own = times[ids == number]
            steps = np.diff(own, prepend=self._last.get(number, int(own[0])))
            self._last[number] = int(own[-1])
            falling, rising = np.count_nonzero(steps < 0), np.count_nonzero(steps > 0)
            if rising * MOSTLY > falling:
                self.falls = False
                return False
            self.falls |= bool(falling)
        return True


def row_times(records: Records) -> Numbers:
    """What rows tell as their times: those of venues, and the beginnings of bars."""
    times: Numbers = records["begin_ns" if "begin_ns" in (records.dtype.names or ()) else "venue_ns"]
    return times


def turned(kind: int, parts: list[Records], numbered_by_lines: bool) -> Records:
    """Records of a file of falling times in order of time, as if its last row were the first."""
    records: Records = np.concatenate(parts)[::-1]
    records = records[np.argsort(row_times(records), kind="stable")]
    if kind == UpdateKind.BAR:
        return records
    name = "update_id" if kind == UpdateKind.QUOTE else "trade_id"
    records["now_ns"] = row_times(records)
    if numbered_by_lines:
        records[name] = np.sort(records[name])
        return records
    # Of one time those with lower numbers came before.
    return records[np.lexsort((records[name], row_times(records)))]


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


def mark_unsized(records: Records, told: tuple[Any, Any]) -> int:
    """Give one lot, flagged SYNTHETIC, to sides of quotes that have a price and no size; how many quotes.

    Without a lot a side would be empty, and its price gone. `told`: which rows tell the size of the bid, of the ask.
    """
    made = np.zeros(len(records), bool)
    for side, sized in zip(("bid", "ask"), told, strict=True):
        unsized = ~np.broadcast_to(sized, made.shape) & (records[f"{side}_ticks"] != 0)
        records[f"{side}_quantity"][unsized] = 1
        made |= unsized
    records["flags"][made] |= SYNTHETIC
    return int(np.count_nonzero(made))


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
