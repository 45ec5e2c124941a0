"""NASDAQ TotalView-ITCH 5.0 files: messages with a length of two bytes before each, gzip-compressed or plain.

::

    00 24 'A' 0001 0000 0a2d68a1f3c0 0000000000000001 'S' 00000064 'AAPL    ' 0016e428

A file holds every instrument of a day. `read_itch` gives all its messages in batches; `ItchRecording` is the day of one
instrument. Times are of the exchange in New York and since midnight: the day comes from the file's name
(``12302019.NASDAQ_ITCH50.gz``, ``S122025-v50.txt.gz``) or from the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from nautilus.adapters.formats.blocks import ByteReader
from nautilus.adapters.formats.pairs import midnight_ns
from nautilus.adapters.formats.recording import FormatError, InstrumentHint, Recording, Records, Update, UpdateKind
from nautilus.core.itch import ItchBatch, ItchDecoder
from nautilus.core.itch_book import ItchBookBuilder
from nautilus.core.order_book import OrderBooks
from nautilus.core.types import QUOTE, RecordFlag

EXPECTED = "a file of length-prefixed ITCH 5.0 messages"
NAMES = (
    (re.compile(r"(?P<month>\d\d)(?P<day>\d\d)(?P<year>\d{4})\."), ""),
    (re.compile(r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)\."), ""),
    (re.compile(r"S(?P<month>\d\d)(?P<day>\d\d)(?P<year>\d\d)-v50"), "20"),
)
EDGE, STEP = 10_000, 100  # prices from one dollar on are whole cents
LAST = int(RecordFlag.LAST)


def day_of(path: Path) -> date | None:
    """The day that a file's name tells, None where it tells none."""
    for pattern, century in NAMES:
        found = pattern.match(path.name)
        if found:
            try:
                return date(int(century + found["year"]), int(found["month"]), int(found["day"]))
            except ValueError:
                continue
    return None


def read_itch(path: Path, decoder: ItchDecoder | None = None) -> Iterator[ItchBatch]:
    """All messages of a file, in batches of some hundred kilobytes.

    Raises
    ------
    FormatError
        After everything before the fault has been given: not readable, damaged, cut, or not ITCH 5.0.
    """
    yield from _batches(ByteReader(path), decoder or ItchDecoder())


def _batches(reader: ByteReader, decoder: ItchDecoder) -> Iterator[ItchBatch]:
    rest = b""
    for piece in reader:
        block = rest + piece
        batch = decoder.decode(block)
        yield batch
        fault = batch.fault
        if fault is not None:
            raise FormatError(fault.what, where=f"{reader.path}:{fault.offset}", expected=fault.expected)
        if batch.ended:
            return
        rest = block[batch.consumed :]
    if rest:
        fault = decoder.cut(rest)
        raise FormatError(fault.what, where=f"{reader.path}:{fault.offset}", expected=fault.expected)


class ItchRecording(Recording):
    """One instrument of a day of ITCH, order by order.

    Each message that changes the book gives its BOOK_DELTA records, an execution also a trade, and each the quote after
    it. Messages of other instruments are counted and passed over.

    Parameters
    ----------
    path
        gzip or plain.
    symbol
        Left out: the first one that the stock directory names.
    day
        Left out: as the file's name tells.

    Raises
    ------
    FormatError
        No such symbol, no day, or no message that can be read.
    """

    format = "itch"
    order_by_order = True

    def __init__(self, path: Path, symbol: str = "", day: date | None = None, *, instrument_id: int = 1) -> None:
        day = day or day_of(path)
        if day is None:
            raise FormatError("its name tells no day", where=str(path), expected="one like 12302019.NASDAQ_ITCH50.gz")
        self.locate, found, start_ns = _find(path, symbol)
        hint = InstrumentHint(
            symbol=found,
            venue="NASDAQ",
            product="equity",
            base_currency=found,
            quote_currency="USD",
            price_increment="0.0001",
            lot_size="1",
            tick_table=(("0", "0.0001"), ("1", "0.01")),
        )
        super().__init__(path, hint, instrument_id)
        self._midnight_ns = midnight_ns(day)
        self.start_ns = self._midnight_ns + start_ns
        self.counts = {"quotes": 0, "trades": 0, "book_messages": 0, "book_levels": 0}
        self.books = OrderBooks(instruments=1, orders=1 << 22, edge=EDGE, step=STEP)
        self.books.add_instrument(self.locate, edge=EDGE, step=STEP)
        self._reader = ByteReader(path)
        self._decoder = ItchDecoder()
        self._builder = ItchBookBuilder(self.books, midnight_ns=self._midnight_ns)
        self._others = 0
        self._raised = 0

    @property
    def progress(self) -> float:
        """Part of the stored bytes that was read, 0 to 1."""
        return self._reader.progress

    def updates(self, until_ns: int | None = None) -> Iterator[Update]:
        """Give the effects of each message in file order; see `Recording.updates`."""
        self._begin()
        for batch in _batches(self._reader, self._decoder):
            mine = batch.orders[batch.orders["locate"] == self.locate]
            self._others += len(batch.kinds) - len(mine)
            # One message at a time: the quote is that of the book after it, and a caller may stop at each.
            for place in range(len(mine)):
                now_ns = max(self.last_ns, self._midnight_ns + int(mine["time_ns"][place]))
                if until_ns is not None and now_ns > until_ns:
                    return
                updates = self._step(now_ns, mine[place : place + 1])
                try:
                    yield from updates
                finally:
                    self._settle(now_ns, self._midnight_ns + int(mine["time_ns"][place]), updates)

    def _step(self, now_ns: int, message: Records) -> list[Update]:
        deltas, trades = self._builder.build(message)
        updates = []
        for kind, records in ((UpdateKind.BOOK, deltas), (UpdateKind.TRADE, trades)):
            if len(records):
                records["now_ns"] = now_ns
                records["instrument_id"] = self.instrument_id
                updates.append(Update(now_ns, kind, records))
        if len(deltas):
            best = self.books.best(self.locate)
            stamps = now_ns, int(deltas["venue_ns"][-1]), int(deltas["update_id"][-1])
            quote = np.array([(*stamps, *best, self.instrument_id, LAST, 0)], QUOTE)
            updates.append(Update(now_ns, UpdateKind.QUOTE, quote))
        return updates

    def _settle(self, now_ns: int, venue_ns: int, updates: list[Update]) -> None:
        """Count a message that was played."""
        self._raised += now_ns > venue_ns
        self.first_ns = self.first_ns or now_ns
        self.last_ns = now_ns
        self.counts["book_messages"] += 1
        for update in updates:
            name = {UpdateKind.QUOTE: "quotes", UpdateKind.TRADE: "trades"}.get(UpdateKind(update.kind), "book_levels")
            self.counts[name] += len(update.records)

    def summary(self) -> dict[str, Any]:
        """`Recording.summary`, and what did not fit the book."""
        self.skipped = {
            "other_messages": self._others,
            "unknown_types": self._decoder.unknown,
            "crosses": self._builder.crosses,
            "broken_trades": self._builder.broken_trades,
            "unprinted": self._builder.unprinted,
            "void_orders": self._builder.void_orders,
            "times_raised": self._raised,
        }
        misfits = self.books.unknown + self.books.duplicates + self.books.excess
        return super().summary() | {"misfits": misfits}


def _find(path: Path, symbol: str) -> tuple[int, str, int]:
    """Stock locate and name of a symbol, and nanoseconds since midnight of the first message of the file."""
    wanted = symbol.encode("ascii", "replace").ljust(8)
    first_ns = None
    for batch in read_itch(path):
        if first_ns is None and len(batch.kinds):
            stamps = [array["time_ns"][0] for array in (batch.orders, *batch.notices.values()) if len(array)]
            first_ns = int(min(stamps))
        directory = batch.notices.get(b"R")
        if directory is not None:
            places = np.flatnonzero(directory["stock"] == wanted) if symbol else np.arange(len(directory))
            if len(places):
                row = directory[places[0]]
                return int(row["locate"]), bytes(row["stock"]).decode("ascii", "replace").strip(), first_ns or 0
        named = batch.orders[batch.orders["stock"] == wanted] if symbol else batch.orders[batch.orders["stock"] != b""]
        if len(named):
            row = named[0]
            return int(row["locate"]), bytes(row["stock"]).decode("ascii", "replace").strip(), first_ns or 0
    raise FormatError(f"names no symbol {symbol}".rstrip(), where=str(path), expected="a stock directory message of it")
