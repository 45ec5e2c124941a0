"""Databento files of all schemas of records that are kept: market by order, depth, trades, bars, definitions.

The package `databento-dbn` (extra ``databento``) decompresses and upgrades; prices are 1/1,000,000,000. A file may hold
several instruments: `hints` names them, and records of the one at place k have `instrument_id` + k.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nautilus.adapters.formats.batch import (
    LAST,
    NO_ROWS,
    BatchRecording,
    Numbers,
    Run,
    bad_bars,
    bar_records,
    quote_records,
    trade_records,
)
from nautilus.adapters.formats.databento import EXPECTED, decoded_pieces
from nautilus.adapters.formats.recording import Block, FormatError, InstrumentHint, Recording, Records, UpdateKind
from nautilus.adapters.formats.table import Table
from nautilus.adapters.formats.validation import RowCheck
from nautilus.core.dbn import MBO, UNDEFINED_PRICE, MboBookBuilder
from nautilus.core.order_book import OrderBooks
from nautilus.core.types import BOOK_DELTA, BookAction, RecordFlag, Side

if TYPE_CHECKING:
    pass

HEADER = [("length", "u1"), ("rtype", "u1"), ("publisher_id", "<u2"), ("instrument_id", "<u4"), ("ts_event", "<u8")]
MESSAGE = [("price", "<i8"), ("size", "<u4"), ("action", "S1"), ("side", "S1"), ("flags", "u1"), ("depth", "u1"),
           ("ts_recv", "<u8"), ("ts_in_delta", "<i4"), ("sequence", "<u4")]  # fmt: skip
SIDES = "bid", "ask"
PARTS = ("px", "<i8"), ("sz", "<u4"), ("ct", "<u4")
LEVEL = np.dtype([(f"{side}_{name}", kind) for name, kind in PARTS for side in SIDES])
TRADES = np.dtype(HEADER + MESSAGE)
MBP_10 = np.dtype([*HEADER, *MESSAGE, ("levels", LEVEL, 10)])
MBP_1 = np.dtype([*HEADER, *MESSAGE, ("levels", LEVEL, 1)])
OHLCV = np.dtype([*HEADER, ("open", "<i8"), ("high", "<i8"), ("low", "<i8"), ("close", "<i8"), ("volume", "<u8")])
RTYPES = {0: TRADES, 1: MBP_1, 10: MBP_10, 160: MBO, 32: OHLCV, 33: OHLCV, 34: OHLCV, 35: OHLCV}
BAR_NS = {32: 1_000_000_000, 33: 60_000_000_000, 34: 3_600_000_000_000, 35: 86_400_000_000_000}
DEFINITION = 19
# Steps of prices, in 1/1,000,000,000, the largest first: few prices have a common divisor that is no step.
STEPS = sorted(
    {
        digit * 10**power // 100
        for power in range(12)
        for digit in (100, 50, 25)
        if digit * 10**power <= 10**11 and digit * 10**power % 100 == 0
    },
    reverse=True,
)
UNIT_DECIMALS = 9
BUY, SELL = int(Side.BUY), int(Side.SELL)
CLOSES = 128  # flag of the last record of an event
SNAPSHOT = int(RecordFlag.SNAPSHOT)
SET, CLEAR = int(BookAction.SET), int(BookAction.CLEAR)


class Scan(NamedTuple):
    """What a first pass over a file finds; an increment of 0: the instrument has no price."""

    rtypes: dict[int, int]
    increments: dict[int, int]
    symbols: dict[int, str]
    dataset: str
    start_ns: int
    negative: frozenset[int] = frozenset()
    """Instruments with negative prices."""


def open_dbn(path: Path, *, kind: str = "", symbol: str = "", instrument_id: int = 1) -> Recording | Table:
    """A DBN file as the recording, or the table, of what it holds."""
    found = scan(path)
    if set(found.rtypes) == {DEFINITION}:
        if kind not in ("", "table"):
            raise FormatError("holds instrument definitions", where=str(path), expected=f"{kind} rows")
        from nautilus.adapters.formats.dbn_definitions import DbnDefinitions

        return DbnDefinitions(path, found, symbol)
    known = {rtype for rtype in found.rtypes if rtype in RTYPES}
    if not known:
        raise FormatError(
            f"holds records of type {', '.join(map(str, found.rtypes))} alone", where=str(path), expected=EXPECTED
        )
    return DbnRecording(path, found, symbol=symbol, instrument_id=instrument_id)


def scan(path: Path) -> Scan:
    """Types of records, price steps and symbols of a file."""
    rtypes: dict[int, int] = {}
    steps: dict[int, int] = {}
    symbols: dict[int, str] = {}
    negative: set[int] = set()
    dataset, start_ns = "", 0
    for metadata, groups in pieces(path):
        if metadata is not None:
            dataset = str(metadata.dataset)
            symbols |= {
                int(interval["symbol"]): name
                for name, intervals in metadata.mappings.items()
                for interval in intervals
                if interval["symbol"].isdigit()
            }
        for rtype, records in groups:
            rtypes[rtype] = rtypes.get(rtype, 0) + len(records)
            if rtype not in RTYPES:
                continue
            if not start_ns and len(records):
                stamp = "ts_recv" if "ts_recv" in (records.dtype.names or ()) else "ts_event"
                start_ns = int(records[stamp][0])
            for each in np.unique(records["instrument_id"]).tolist():
                mine = records[records["instrument_id"] == each]
                values = np.concatenate(_prices(mine))
                values = np.unique(values[values != UNDEFINED_PRICE])
                steps[each] = math.gcd(steps.get(each, 0), *values.tolist())
                if len(values) and values[0] < 0:
                    negative.add(each)
    if not rtypes:
        raise FormatError("holds no records", where=str(path), expected=EXPECTED)
    return Scan(rtypes, steps, symbols, dataset, start_ns, frozenset(negative))


def _prices(records: Records) -> list[Any]:
    names = records.dtype.names or ()
    columns = [records[name] for name in ("price", "open", "high", "low", "close") if name in names]
    if "levels" in names:
        columns += [records["levels"][side].ravel() for side in ("bid_px", "ask_px")]
    return columns


def pieces(path: Path) -> Iterator[tuple[Any, list[tuple[int, Any]]]]:
    """The metadata where they come, and runs of records of one type, in file order."""
    for dbn, decoded in decoded_pieces(path):
        metadata = None
        runs: list[tuple[int, list[Any]]] = []
        for each in decoded:
            if isinstance(each, dbn.Metadata):
                metadata = each
                continue
            rtype = int(each.rtype)
            if not runs or runs[-1][0] != rtype:
                runs.append((rtype, []))
            runs[-1][1].append(each)
        groups: list[tuple[int, Any]] = []
        for rtype, run in runs:
            dtype = RTYPES.get(rtype)
            if dtype is None:
                groups.append((rtype, run))
            else:
                # A record with the time of sending has 8 bytes more.
                data = b"".join(bytes(each)[: dtype.itemsize] for each in run)
                groups.append((rtype, np.frombuffer(data, dtype)))
        yield metadata, groups


class DbnRecording(BatchRecording):
    """Market by order, depth, trades and bars of a DBN file.

    Market by order gives every order as BOOK deltas, and its trades; depth gives the ten levels as snapshots, and the
    best of them as quotes.
    """

    format = "dbn"

    def __init__(self, path: Path, found: Scan, *, symbol: str = "", instrument_id: int = 1) -> None:
        hints = []
        numbers = []
        without = []
        for each, step in found.increments.items():
            name = found.symbols.get(each, str(each))
            if symbol and name != symbol:
                continue
            if not step:
                without.append(name)
                continue
            places = UNIT_DECIMALS
            step = next(each for each in STEPS if step % each == 0)
            found.increments[each] = step
            while places and step % 10 == 0:
                step, places = step // 10, places - 1
            increment = f"{step / 10**places:.{places}f}"
            hints.append(
                InstrumentHint(
                    name,
                    found.dataset or "DATABENTO",
                    "future" if found.dataset.startswith("GLBX") else "unknown",
                    name,
                    "USD",
                    increment,
                    "1",
                    (("0", increment),),
                    inferred=True,
                    negative_prices=each in found.negative,
                )
            )
            numbers.append(each)
        if without and not hints:
            raise FormatError(f"holds no price of {', '.join(without[:12])}", where=str(path), expected=EXPECTED)
        if not hints:
            held = ", ".join(sorted(found.symbols.values())[:12])
            raise FormatError(f"holds no {symbol}, but {held}", where=str(path), expected="one of these")
        super().__init__(path, tuple(hints), instrument_id)
        self.holds_bars = bool(BAR_NS.keys() & found.rtypes.keys())
        self.start_ns = found.start_ns
        self.order_by_order = 160 in found.rtypes
        self._ids = {each: instrument_id + i for i, each in enumerate(numbers)}
        self._steps = {each: found.increments[each] for each in numbers}
        self._all = sum(found.rtypes.values())
        self._done = 0
        self._checks = RowCheck(self.report)
        self.report.settings = {"rows": ", ".join(str(each) for each in found.rtypes), "dataset": found.dataset}
        self.books = OrderBooks()
        self._builder: MboBookBuilder | None = None
        self._open: list[Records] = []  # deltas of an event that no record has closed yet
        for name in without:
            self.notes.append(f"{name} has no price and is left out")
            self.report.note(self.notes[-1])

    @property
    def progress(self) -> float:
        """Part of the records that was read, 0 to 1."""
        return self._done / self._all

    def _read(self) -> Iterator[Block]:
        for run in self._runs():
            yield from (block for block, _ in run)

    def _runs(self) -> Iterator[Run]:
        """One of each run of records of a type: stamps never fall from row to row, so its rows are its order."""
        for _, groups in pieces(self.path):
            for rtype, records in groups:
                self._done += len(records)
                self.report.rows += len(records)
                if rtype not in RTYPES:
                    self.skipped[f"type_{rtype}"] = self.skipped.get(f"type_{rtype}", 0) + len(records)
                    continue
                mine = records[np.isin(records["instrument_id"], list(self._ids))]
                self.skipped["other_symbols"] = self.skipped.get("other_symbols", 0) + len(records) - len(mine)
                if not len(mine):
                    continue
                if rtype == 160:
                    run = self._orders(mine)
                elif rtype in BAR_NS:
                    run = [(self._bars(mine, BAR_NS[rtype]), NO_ROWS)]
                else:
                    run = self._messages(mine)
                if run:
                    yield run
        if self._open:
            yield [(Block(UpdateKind.BOOK, np.concatenate(self._open)), NO_ROWS)]

    def _orders(self, records: Records) -> Run:
        if self._builder is None:
            self._builder = MboBookBuilder(self.books, self._steps)
        stamps = records["ts_recv"].astype(np.int64)
        raised = self._rising(stamps)
        if (raised != stamps).any():
            records["ts_recv"] = raised
        before = self._builder.records
        try:
            deltas, trades = self._builder.build(records)
        except ValueError as error:
            raise FormatError(str(error), where=str(self.path), expected=EXPECTED) from error
        self._checks.add(stamps, np.arange(len(records)))
        rows = deltas["update_id"].astype(np.int64) - 1 - before
        for made in (deltas, trades):
            made["instrument_id"] = self._own(made["instrument_id"])
        deltas, rows = self._whole(records, deltas, rows)
        run: Run = []
        if len(trades):
            told = (records["action"] == b"T") & ((records["side"] == b"B") | (records["side"] == b"A"))
            run.append((Block(UpdateKind.TRADE, trades), np.flatnonzero(told)))
        if len(deltas):
            run.append((Block(UpdateKind.BOOK, deltas), rows))
        return run

    def _whole(self, records: Records, deltas: Records, rows: Numbers) -> tuple[Records, Numbers]:
        """The deltas of events that are closed, those before these records first; `_open` keeps the others.

        The record that closes an event may say nothing of the book, and stand in the piece behind the one that does.
        """
        first = 0
        if self._open:
            ahead = records[: rows[0] if len(rows) else len(records)]
            last = self._open[-1][-1:]
            closing = np.flatnonzero(
                (ahead["flags"] & CLOSES != 0) & (self._own(ahead["instrument_id"]) == last["instrument_id"])
            )
            if len(closing):
                last["flags"] |= LAST
                first = int(closing[0])
        ends = np.flatnonzero(deltas["flags"] & LAST) + 1
        end = int(ends[-1]) if len(ends) else 0
        rest = deltas[end:].copy()
        deltas, rows = deltas[:end], rows[:end]
        if self._open and (end or self._open[-1]["flags"][-1] & LAST):
            rows = np.concatenate((np.full(sum(map(len, self._open)), first), rows))
            deltas = np.concatenate((*self._open, deltas))
            self._open = []
        if len(rest):
            self._open.append(rest)
        return deltas, rows

    def _own(self, ids: Any) -> Any:
        several, places = np.unique(ids, return_inverse=True)
        return np.array([self._ids[int(each)] for each in several], np.uint32)[places]

    def _ticks(self, records: Records, prices: Any) -> Any:
        steps = np.array([self._steps[int(each)] for each in records["instrument_id"]], np.int64)
        if prices.ndim == 2:
            steps = steps[:, None]
        return np.where(prices == UNDEFINED_PRICE, 0, prices // steps)

    def _bars(self, records: Records, size_ns: int) -> Block:
        begin = records["ts_event"].astype(np.int64)
        prices = [self._ticks(records, records[name]) for name in ("open", "high", "low", "close")]
        bars = bar_records(
            begin, begin + size_ns, prices, records["volume"].astype(np.int64), self._own(records["instrument_id"])
        )
        self.report.outliers += int(np.count_nonzero(bad_bars(bars)))
        self._checks.bar_ns = size_ns
        self._checks.add(begin, np.arange(1, len(bars) + 1), bars["close_ticks"], bars)
        return Block(UpdateKind.BAR, bars)

    def _messages(self, records: Records) -> Run:
        run: Run = []
        venue_ns = records["ts_event"].astype(np.int64)
        now_ns = self._rising(records["ts_recv"].astype(np.int64))
        ids = self._own(records["instrument_id"])
        self._checks.add(now_ns, np.arange(1, len(records) + 1))
        is_trade = records["action"] == b"T"
        if is_trade.any():
            part = records[is_trade]
            side = np.select([part["side"] == b"B", part["side"] == b"A"], [BUY, SELL], 0)
            price = self._ticks(part, part["price"])
            size = part["size"].astype(np.int64)
            trades = trade_records(
                now_ns[is_trade], venue_ns[is_trade], part["sequence"], price, size, side, ids[is_trade]
            )
            run.append((Block(UpdateKind.TRADE, trades), np.flatnonzero(is_trade)))
        if "levels" not in (records.dtype.names or ()):
            return run
        levels = records["levels"]
        bid, ask = (self._ticks(records, levels[name]) for name in ("bid_px", "ask_px"))
        bid_size, ask_size = (
            np.where(levels[price] == UNDEFINED_PRICE, 0, levels[name]).astype(np.int64)
            for price, name in (("bid_px", "bid_sz"), ("ask_px", "ask_sz"))
        )
        best = (bid[:, 0], bid_size[:, 0]), (ask[:, 0], ask_size[:, 0])
        quotes = quote_records(now_ns, venue_ns, records["sequence"], *best, ids)
        run.append((Block(UpdateKind.QUOTE, quotes), np.arange(len(records))))
        count = levels.shape[1]
        if count < 2:
            return run
        book = np.zeros((len(records), 2 * count + 2), BOOK_DELTA)
        for name, values in (("now_ns", now_ns), ("venue_ns", venue_ns), ("update_id", records["sequence"])):
            book[name] = values[:, None]
        book["instrument_id"] = ids[:, None]
        book["flags"], book["action"] = SNAPSHOT, SET
        keep = np.ones(book.shape, bool)
        for first, which, prices, sizes in ((0, BUY, bid, bid_size), (count + 1, SELL, ask, ask_size)):
            book["side"][:, first : first + count + 1] = which
            book["action"][:, first] = CLEAR
            book["price_ticks"][:, first + 1 : first + count + 1] = prices
            book["quantity"][:, first + 1 : first + count + 1] = sizes
            keep[:, first + 1 : first + count + 1] = sizes > 0
        last = book.shape[1] - 1 - np.argmax(keep[:, ::-1], axis=1)
        book["flags"][np.arange(len(book)), last] |= LAST
        run.append((Block(UpdateKind.BOOK, book[keep]), np.nonzero(keep)[0]))
        return run

    def summary(self) -> dict[str, Any]:
        """`BatchRecording.summary`, and what did not fit the books."""
        return super().summary() | {"misfits": self.books.unknown + self.books.duplicates + self.books.excess}
