"""Raw Binance WebSocket logs: a receive stamp in nanoseconds and one JSON message a line, a snapshot among them.

::

    1723161255088176367 {"stream":"btcusdt@trade","data":{"e":"trade",...,"p":"61800.30","q":"0.006","m":false}}
    1723161255319702566 {"lastUpdateId":5123107852948,"bids":[["61800.20","2.909"],...],"asks":[...]}

Order is file order and time is the receive stamp; the venue's own times run ahead and back.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nautilus.adapters.formats.blocks import BlockReader
from nautilus.adapters.formats.head import describe, read_head
from nautilus.adapters.formats.recording import FormatError, Recording, Records, Update, UpdateKind
from nautilus.adapters.formats.sync import DiffSync, FuturesSync, SpotSync, Verdict
from nautilus.core.binance import (
    LINE_DIFF,
    LINE_QUOTE,
    LINE_SNAPSHOT,
    LINE_TRADE,
    MARK_PREVIOUS,
    BinanceBatch,
    BinanceDecoder,
)
from nautilus.core.depth import DepthBook
from nautilus.core.types import RecordFlag

HELD = 4096  # diffs held at most before a snapshot
NOTES = 10
BOOKED = int(RecordFlag.BOOKED)
QUOTE, TRADE, BOOK = UpdateKind.QUOTE, UpdateKind.TRADE, UpdateKind.BOOK
# A named tuple without the call of its Python constructor: this happens for every line.
update = partial(tuple.__new__, Update)


class HeldDiff(NamedTuple):
    """A diff that waits for the snapshot."""

    first_id: int
    last_id: int
    previous_id: int
    venue_ns: int
    line: int
    records: Records


class Judged(NamedTuple):
    """What became of a diff or snapshot, with the place of the line in its batch."""

    place: int
    verdict: Verdict
    lost: int
    update_id: int  # -1: not to be compared, as it is a snapshot
    records: Records


class BinanceRecording(Recording):
    """One symbol of a raw Binance log, futures (USD-M) or spot, told apart by its content.

    Diffs before the snapshot are held and applied right after it, at its receive stamp. A trade whose venue time is
    not after that of the last diff applied is flagged BOOKED: the book shows it already.

    Parameters
    ----------
    path
        gzip or plain.
    price_increment, lot_size
        Decimal strings; left out, they are inferred from the head of the file.
    symbol
        Left out: the first one met. Lines of other symbols are counted and passed over.

    Raises
    ------
    FormatError
        The head holds no quote, trade or diff that can be read.
    """

    format = "binance"

    def __init__(
        self,
        path: Path,
        *,
        price_increment: str = "",
        lot_size: str = "",
        symbol: str = "",
        instrument_id: int = 1,
    ) -> None:
        head = read_head(path, symbol)
        hint = describe(path, head, price_increment, lot_size)
        super().__init__(path, hint, instrument_id)
        self.start_ns = head.start_ns
        self.counts = {"quotes": 0, "trades": 0, "book_diffs": 0, "book_snapshots": 0, "book_levels": 0}
        self.book = DepthBook()
        self.sync: DiffSync = SpotSync() if hint.product == "spot" else FuturesSync()
        self.diffs_applied = 0
        self.diffs_dropped = 0
        self.booked_trades = 0
        self._reader = BlockReader(path)
        self._decoder = BinanceDecoder(hint.price_increment, hint.lot_size, hint.symbol, instrument_id)
        self._held: list[HeldDiff] = []
        self._held_dropped = 0
        self._book_venue_ns = 0
        self._batch: BinanceBatch | None = None
        self._lines: Records = np.zeros(0, np.void)
        self._passed = 0  # lines of the batch after which another update was asked for
        self._settled = 0  # lines of the batch in the counters and checks
        self._judged: list[Judged] = []

    @property
    def progress(self) -> float:
        """Part of the stored bytes that was read, 0 to 1."""
        return self._reader.progress

    def updates(self, until_ns: int | None = None) -> Iterator[Update]:
        """Give quotes, trades and book changes in file order; see `Recording.updates`."""
        self._begin()
        stopped = False
        for block in self._reader:
            batch = self._decoder.decode(block)
            lines = batch.lines
            if until_ns is not None and len(lines) and lines["now_ns"][-1] > until_ns:
                lines = lines[: int(np.searchsorted(lines["now_ns"], until_ns, side="right"))]
                stopped = True
            yield from self._given(batch, lines)
            if stopped:
                return
            if batch.fault is not None:
                where = f"{self.path}:{batch.fault.line}"
                raise FormatError(batch.fault.what, where=where, expected=batch.fault.expected)
        self.check.finish()
        if self.sync.waiting and self._held:
            self._note("", f"no snapshot: {len(self._held) + self._held_dropped} depth diffs were never applied")

    def _given(self, batch: BinanceBatch, lines: Records) -> Iterator[Update]:
        """The updates of one batch. Counters and checks are settled for what was taken, also on an early close."""
        quotes, trades = batch.quotes, batch.trades
        trade_flags = trades["flags"]
        self._batch, self._lines = batch, lines
        self._settled = taken = 0
        columns = (lines[name].tolist() for name in ("kind", "now_ns", "venue_ns", "first"))
        try:
            for kind, now_ns, venue_ns, first in zip(*columns, strict=True):
                self._passed = taken
                taken += 1
                if kind == LINE_QUOTE:
                    yield update((now_ns, QUOTE, quotes[first : first + 1]))
                elif kind == LINE_TRADE:
                    if 0 < venue_ns <= self._book_venue_ns:
                        trade_flags[first] |= BOOKED
                    yield update((now_ns, TRADE, trades[first : first + 1]))
                else:
                    for records in self._book_line(batch, taken - 1):
                        yield update((now_ns, BOOK, records))
        finally:
            self._passed = taken
            self._settle()

    def _book_line(self, batch: BinanceBatch, place: int) -> list[Records]:
        """What a diff or snapshot line does to the book: BOOK_DELTA arrays, in order."""
        line = self._lines[place].tolist()
        now_ns, venue_ns, first_id, last_id, previous_id, number, first, count, kind, marks = line
        records = batch.deltas[first : first + count]
        if kind == LINE_DIFF:
            if isinstance(self.sync, FuturesSync) and not marks & MARK_PREVIOUS:
                raise FormatError("field pu is missing", where=f"{self.path}:{number}", expected="pu, as before")
            return self._judge(place, HeldDiff(first_id, last_id, previous_id, venue_ns, number, records))
        if not self.sync.on_snapshot(last_id):
            self._note(number, f"snapshot {last_id} is older than the book {self.sync.last_id}, passed over")
            return []
        self._book_venue_ns = max(self._book_venue_ns, venue_ns)
        out = [records]
        self._judged.append(Judged(place, Verdict.APPLY, 0, -1, records))
        held, self._held = self._held, []
        for diff in held:
            diff.records["now_ns"] = now_ns
            out += self._judge(place, diff)
        return out

    def _judge(self, place: int, diff: HeldDiff) -> list[Records]:
        before = self.sync.last_id
        lost = self.sync.lost
        verdict = self.sync.on_diff(diff.first_id, diff.last_id, diff.previous_id)
        if verdict is Verdict.HOLD:
            # A copy, so that the whole batch is not kept for it.
            self._held.append(diff._replace(records=diff.records.copy()))
            if len(self._held) > HELD:
                del self._held[0]
                self._held_dropped += 1
            return []
        lost = self.sync.lost - lost
        self._judged.append(Judged(place, verdict, lost, diff.last_id, diff.records))
        if verdict is Verdict.DROP:
            return []
        if verdict is Verdict.GAP:
            self._note(diff.line, f"gap in the book's update ids after {before}: {lost} missing")
        self._book_venue_ns = diff.venue_ns
        return [diff.records] if len(diff.records) else []

    def _settle(self) -> None:
        """Count the lines passed, carry the recorded book on, and offer both it and the tickers to the check."""
        self.skipped = self._skipped()
        lines = self._lines[self._settled : self._passed]
        if self._batch is None or not len(lines):
            return
        kinds = lines["kind"]
        numbers = np.bincount(kinds, minlength=LINE_SNAPSHOT + 1).tolist()
        before = np.bincount(self._lines["kind"][: self._settled], minlength=LINE_SNAPSHOT + 1).tolist()
        quotes, trades = (slice(before[kind], before[kind] + numbers[kind]) for kind in (LINE_QUOTE, LINE_TRADE))
        self._settled = self._passed
        self.counts["quotes"] += numbers[LINE_QUOTE]
        self.counts["trades"] += numbers[LINE_TRADE]
        self.counts["book_diffs"] += numbers[LINE_DIFF]
        self.counts["book_snapshots"] += numbers[LINE_SNAPSHOT]
        self.counts["book_levels"] += int(lines["count"][kinds == LINE_DIFF].sum())
        self.booked_trades += int(np.count_nonzero(self._batch.trades["flags"][trades] & BOOKED))
        self.first_ns = self.first_ns or int(lines["now_ns"][0])
        self.last_ns = int(lines["now_ns"][-1])
        self.check.add(self._settle_book(), self._batch.quotes[quotes])

    def _settle_book(self) -> Records:
        """Apply what the lines passed do to the book; QUOTE array of its best after each diff."""
        count = bisect_left(self._judged, self._passed, key=attrgetter("place"))
        judged, self._judged = self._judged[:count], self._judged[count:]
        applied = [each for each in judged if each.verdict is not Verdict.DROP]
        self.diffs_dropped += len(judged) - len(applied)
        self.gaps += sum(each.verdict is Verdict.GAP for each in applied)
        self.lost += sum(each.lost for each in applied)
        ids = np.array([each.update_id for each in applied], np.int64)
        compared = ids >= 0
        self.diffs_applied += int(np.count_nonzero(compared))
        books: Records = self.book.apply_each([each.records for each in applied])[compared]
        books["update_id"] = ids[compared]
        return books

    def _skipped(self) -> dict[str, int]:
        decoder = self._decoder
        return {
            "other_streams": decoder.streams_skipped,
            "other_symbols": decoder.symbols_skipped,
            "void_trades": decoder.void_trades,
            "stamps_raised": decoder.stamps_raised,
            "held_diffs": self._held_dropped,
            "stale_snapshots": self.sync.stale_snapshots,
        }

    def _note(self, line: int | str, text: str) -> None:
        if len(self.notes) < NOTES:
            self.notes.append(f"{self.path}:{line}: {text}" if line else f"{self.path}: {text}")

    def summary(self) -> dict[str, Any]:
        """`Recording.summary` and what became of the diffs and trades."""
        self._settle()
        return super().summary() | {
            "diffs_applied": self.diffs_applied,
            "diffs_dropped": self.diffs_dropped,
            "booked_trades": self.booked_trades,
        }
