"""Book levels in rows of CSV: Tardis snapshots, and depth as Binance offers it for download.

::

    exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount,bids[0].price,...       a snapshot a row
    symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu                  a level a row

Tardis stamps are microseconds, Binance's milliseconds, both UTC.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from nautilus.adapters.formats.batch import LAST, BatchRecording
from nautilus.adapters.formats.delimited import Rows, steps_of
from nautilus.adapters.formats.head import split_symbol
from nautilus.adapters.formats.inference import Layout, read_layout
from nautilus.adapters.formats.recording import Block, FormatError, InstrumentHint, Records, UpdateKind
from nautilus.adapters.formats.sync import FuturesSync, SpotSync, Verdict
from nautilus.adapters.formats.validation import RowCheck, ValidationReport
from nautilus.core.delimited import MISSING, TEXT, DelimitedBatch
from nautilus.core.ticks import GAP_FLAG
from nautilus.core.types import BOOK_DELTA, BookAction, RecordFlag, Side

TARDIS = re.compile(rb'"?exchange"?,"?symbol"?,"?timestamp"?,"?local_timestamp"?,"?(asks|bids)\[0\]')
TARDIS_LEVEL = re.compile(r"(asks|bids)\[(\d+)\]\.(price|amount)")
BINANCE_DEPTH = b"symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty"
SNAPSHOT = int(RecordFlag.SNAPSHOT)
NOTES = 10
SET, CLEAR = int(BookAction.SET), int(BookAction.CLEAR)
SIDES = {"bids": int(Side.BUY), "asks": int(Side.SELL), "b": int(Side.BUY), "a": int(Side.SELL)}


def is_depth_rows(first: bytes) -> str:
    """``tardis`` or ``binance-depth`` by the head of a file, else ""."""
    if TARDIS.match(first):
        return "tardis"
    return "binance-depth" if first.startswith(BINANCE_DEPTH) else ""


class DepthRows(BatchRecording):
    """What both have in common: one symbol, levels in rows.

    Raises
    ------
    FormatError
        Several symbols, a level without number, or a row that does not fit.
    """

    prices: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()

    def __init__(self, path: Path, layout: Layout, venue: str, product: str, instrument_id: int) -> None:
        report = ValidationReport(refusals=[], notes=[], columns={}, settings={})
        price_places = steps_of(layout, list(self.prices), report, "prices")
        size_places = steps_of(layout, list(self.sizes), report, "quantities")
        decimals = dict.fromkeys(self.prices, price_places) | dict.fromkeys(self.sizes, size_places)
        self._rows = Rows(path, layout, "UTC", decimals, None, report)
        probe = Rows(
            path, layout, "UTC", decimals, None, ValidationReport(refusals=[], notes=[], columns={}, settings={})
        )
        first = next((batch for batch in probe.batches() if len(batch)), None)
        if first is None:
            raise FormatError("has no rows that can be read", where=str(path), expected="a level or snapshot a row")
        self._symbol = first.texts(layout.names.index("symbol"))[0]
        steps = f"{10**-price_places:.{price_places}f}", f"{10**-size_places:.{size_places}f}"
        base, quote = split_symbol(self._symbol)
        hint = InstrumentHint(
            self._symbol, venue, product, base, quote, steps[0], steps[1], (("0", steps[0]),), inferred=True
        )
        super().__init__(path, (hint,), instrument_id)
        self.report = report
        self.start_ns = int(probe.times(first)[0])
        self.layout = layout
        self.counts = {"book_snapshots": 0, "book_diffs": 0, "book_levels": 0}
        self._checks = RowCheck(report)

    @property
    def progress(self) -> float:
        """Part of the stored bytes that was read, 0 to 1."""
        return self._rows.reader.progress

    def _own(self, batch: DelimitedBatch) -> None:
        symbols = batch.texts(self.layout.names.index("symbol"))
        for line, symbol in zip(batch.lines.tolist(), symbols, strict=True):
            if symbol != self._symbol:
                raise FormatError(
                    f"symbol {symbol!r} after {self._symbol!r}",
                    where=f"{self.path}:{line}",
                    expected="one symbol a file",
                )

    def _deltas(self, count: int) -> Records:
        records = np.zeros(count, BOOK_DELTA)
        records["instrument_id"] = self.instrument_id
        records["action"] = SET
        return records


class TardisRecording(DepthRows):
    """Snapshots of a book, one a row; `now_ns` is Tardis' own receive stamp."""

    format = "tardis"

    def __init__(self, path: Path, *, symbol: str = "", instrument_id: int = 1) -> None:
        layout = read_layout(path)
        self._levels: dict[str, list[tuple[int, int]]] = {"bids": [], "asks": []}
        for side, levels in self._levels.items():
            while f"{side}[{len(levels)}].price" in layout.names:
                at = len(levels)
                levels.append((layout.names.index(f"{side}[{at}].price"), layout.names.index(f"{side}[{at}].amount")))
        every = [each for levels in self._levels.values() for each in levels]
        self.prices = tuple(price for price, _ in every)
        self.sizes = tuple(size for _, size in every)
        layout.time = layout.names.index("local_timestamp")
        layout.unit, layout.unit_ns = "us", 1000
        exchange = _first_field(path)
        super().__init__(
            path, layout, exchange.upper(), "perpetual" if "futures" in exchange else "spot", instrument_id
        )
        if symbol and symbol != self._symbol:
            raise FormatError(f"holds {self._symbol}", where=str(path), expected=symbol)

    def _read(self) -> Iterator[Block]:
        venue = self.layout.names.index("timestamp")
        for batch in self._rows.batches():
            if not len(batch):
                continue
            self._own(batch)
            now_ns = self._rising(self._rows.times(batch))
            self._checks.add(self._rows.times(batch), batch.lines, batch.values[self._levels["bids"][0][0]])
            width = 2 + sum(len(levels) for levels in self._levels.values())
            records = self._deltas(len(batch) * width).reshape(len(batch), width)
            records["now_ns"] = now_ns[:, None]
            records["venue_ns"] = batch.values[venue][:, None] * 1000
            records["update_id"] = batch.lines[:, None]
            records["flags"] = SNAPSHOT
            keep = np.ones((len(batch), width), bool)
            place = 0
            for side, levels in self._levels.items():
                records["side"][:, place : place + 1 + len(levels)] = SIDES[side]
                records["action"][:, place] = CLEAR
                for price, size in levels:
                    place += 1
                    records["price_ticks"][:, place] = batch.values[price]
                    records["quantity"][:, place] = batch.values[size]
                    keep[:, place] = (batch.values[price] != MISSING) & (batch.values[size] > 0)
                place += 1
            last = width - 1 - np.argmax(keep[:, ::-1], axis=1)
            records["flags"][np.arange(len(batch)), last] |= LAST
            self.counts["book_snapshots"] += len(batch)
            yield Block(UpdateKind.BOOK, records[keep])


class BinanceDepthRows(DepthRows):
    """Levels of snapshots (``snap``) and diffs (``set``); rows of one update id are one change of the book.

    Diffs are chained as the venue says (`sync`): the first record behind a gap, or where no snapshot came before, has
    the flag of one; diffs that the snapshot has already are passed over.
    """

    format = "binance-depth"

    def __init__(self, path: Path, *, symbol: str = "", instrument_id: int = 1) -> None:
        layout = read_layout(path)
        self.prices, self.sizes = (layout.names.index("price"),), (layout.names.index("qty"),)
        layout.time = layout.names.index("timestamp")
        layout.unit, layout.unit_ns = "ms", 1_000_000
        for name in ("symbol", "side", "update_type"):
            layout.types[layout.names.index(name)] = TEXT
        product = "perpetual" if "pu" in layout.names else "spot"
        super().__init__(path, layout, "BINANCE", product, instrument_id)
        if symbol and symbol != self._symbol:
            raise FormatError(f"holds {self._symbol}", where=str(path), expected=symbol)
        self._sync = FuturesSync() if product == "perpetual" else SpotSync()

    def _read(self) -> Iterator[Block]:
        names = self.layout.names
        held: list[Records] = []
        open_id = first_id = previous_id = line = 0
        for batch in self._rows.batches():
            if not len(batch):
                continue
            self._own(batch)
            sides, kinds = batch.texts(names.index("side")), batch.texts(names.index("update_type"))
            for line, side, kind in zip(batch.lines.tolist(), sides, kinds, strict=True):
                if side not in ("a", "b") or kind not in ("snap", "set"):
                    raise FormatError(
                        f"side {side!r} of {kind!r}", where=f"{self.path}:{line}", expected="a or b of snap or set"
                    )
            records = self._deltas(len(batch))
            times = self._rows.times(batch)
            records["venue_ns"] = times
            records["now_ns"] = self._rising(times)
            records["update_id"] = batch.values[names.index("last_update_id")]
            records["price_ticks"] = batch.values[self.prices[0]]
            records["quantity"] = batch.values[self.sizes[0]]
            records["side"] = [SIDES[side] for side in sides]
            records["flags"] = [SNAPSHOT if kind == "snap" else 0 for kind in kinds]
            self._checks.add(times, batch.lines)
            firsts = batch.values[names.index("first_update_id")]
            before = batch.values[names.index("pu")] if "pu" in names else firsts - 1
            cuts = [0, *(np.flatnonzero(np.diff(records["update_id"].astype(np.int64))) + 1).tolist(), len(records)]
            for begin, end in pairwise(cuts):
                change = records[begin:end]
                if held and open_id != int(change["update_id"][0]):
                    yield from self._closed(held, first_id, previous_id, line)
                    held = []
                if not held:
                    first_id, previous_id, line = (int(each[begin]) for each in (firsts, before, batch.lines))
                open_id = int(change["update_id"][0])
                held.append(change)
        if held:
            yield from self._closed(held, first_id, previous_id, line)

    def _closed(self, held: list[Records], first_id: int, previous_id: int, line: int) -> Iterator[Block]:
        """The change, unless the book has it already."""
        change = np.concatenate(held)
        if not self._follow(change, first_id, previous_id, line):
            self.skipped["old_diffs"] = self.skipped.get("old_diffs", 0) + 1
            return
        if change["flags"][0] & SNAPSHOT:
            clear = np.repeat(change[:1], 2)
            clear["action"], clear["side"] = CLEAR, (SIDES["b"], SIDES["a"])
            clear["price_ticks"] = clear["quantity"] = 0
            change = np.concatenate((clear, change))
            self.counts["book_snapshots"] += 1
        else:
            self.counts["book_diffs"] += 1
        change["flags"][-1] |= LAST
        yield Block(UpdateKind.BOOK, change)

    def _follow(self, change: Records, first_id: int, previous_id: int, line: int) -> bool:
        """Check the chain of update ids and mark a gap; False where the book has the change already."""
        sync, last_id = self._sync, int(change["update_id"][0])
        if change["flags"][0] & SNAPSHOT:
            sync.lose()
            return sync.on_snapshot(last_id)
        before, lost = sync.last_id, sync.lost
        text = f"update {last_id} after {before}"
        if sync.waiting:
            sync.on_snapshot(previous_id)
            sync.on_diff(first_id, last_id, previous_id)
            text = f"no snapshot before update {last_id}"
        else:
            verdict = sync.on_diff(first_id, last_id, previous_id)
            if verdict is not Verdict.GAP:
                return verdict is not Verdict.DROP
        change["flags"][0] |= GAP_FLAG
        self.gaps += 1
        self.report.gaps += 1
        self.lost += sync.lost - lost
        if len(self.notes) < NOTES:
            self.notes.append(f"{self.path}:{line}: {text}")
        self.report.note(f"{self.path}:{line}: {text}")
        return True


def _first_field(path: Path) -> str:
    from nautilus.adapters.formats.blocks import BlockReader

    block = next(iter(BlockReader(path, 1 << 14)), b"").decode("utf-8", "replace").splitlines()
    rows = list(csv.reader(block[1:2]))
    return rows[0][0] if rows and rows[0] else "tardis"
