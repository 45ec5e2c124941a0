"""LOBSTER pairs: a message file and an order-book file, line by line the book after each message.

::

    34200.004241176,1,16113575,18,5853300,1      seconds after midnight, type, order id, size, price, direction
    5859400,200,5853300,18,5859800,200,...       ask price, ask size, bid price, bid size, level by level

The recorded rows show the first levels only. So a book rebuilt from the messages knows each level of row 0 as one
order, learns a level that newly enters the recorded ones from the row, and forgets what lies beyond the row's last.
Source: LOBSTER, "Output structure"; prices are 1/10,000 dollar, times are of the exchange in New York.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nautilus.adapters.formats.blocks import BlockReader
from nautilus.adapters.formats.orderdepth import BUY, SELL, OrderDepth
from nautilus.adapters.formats.pairs import midnight_ns
from nautilus.adapters.formats.recording import FormatError, InstrumentHint, Recording, Records, Update, UpdateKind
from nautilus.core.lobster import (
    MESSAGE_ADD,
    MESSAGE_CROSS,
    MESSAGE_DELETE,
    MESSAGE_EXECUTE,
    MESSAGE_EXECUTE_HIDDEN,
    MESSAGE_REDUCE,
    decode_messages,
    decode_rows,
)
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE, BookAction, RecordFlag

DEPTHS = (1, 3, 5)
LAST = int(RecordFlag.LAST)
SNAPSHOT = int(RecordFlag.SNAPSHOT)
SET = int(BookAction.SET)
CLEAR = int(BookAction.CLEAR)
ACTIONS = {
    MESSAGE_ADD: int(BookAction.ADD),
    MESSAGE_REDUCE: int(BookAction.REDUCE),
    MESSAGE_DELETE: int(BookAction.DELETE),
    MESSAGE_EXECUTE: int(BookAction.EXECUTE),
    MESSAGE_EXECUTE_HIDDEN: int(BookAction.EXECUTE_HIDDEN),
}

COUNTED: dict[int, str] = {UpdateKind.QUOTE: "quotes", UpdateKind.TRADE: "trades", UpdateKind.BOOK: "book_levels"}

Sided = tuple[int, list[tuple[int, int]]]
# Message, whether each depth is equal, the rebuilt levels of both sides, and the venue's.
Compared = tuple[int, dict[int, bool], list[list[tuple[int, int]]], list[list[tuple[int, int]]]]


class LobsterRecording(Recording):
    """One symbol and day of LOBSTER data, order by order.

    Each message gives a book change (the message's own record first, then SET records for levels that entered or left
    the recorded ones), a trade where it is an execution, and the quote after it. Row 0 is a snapshot. The book before
    the levels of the row are taken over is compared with the row at 1, 3 and 5 levels.

    Raises
    ------
    FormatError
        The first message or row cannot be read.
    """

    format = "lobster"
    order_by_order = True

    def __init__(
        self, messages: Path, rows: Path, symbol: str, day: date, levels: int, *, instrument_id: int = 1
    ) -> None:
        hint = InstrumentHint(
            symbol=symbol,
            venue="NASDAQ",
            product="equity",
            base_currency=symbol,
            quote_currency="USD",
            price_increment="0.0001",
            lot_size="1",
            tick_table=(("0", "0.0001"), ("1", "0.01")),
        )
        super().__init__(messages, hint, instrument_id)
        self.counts = {"quotes": 0, "trades": 0, "book_messages": 0, "book_snapshots": 0, "book_levels": 0}
        self.skipped = {"crosses": 0, "halts": 0, "times_raised": 0}
        self.book = OrderDepth()
        self.levels = levels
        self._rows_path = rows
        self._message_reader = BlockReader(messages)
        self._row_reader = BlockReader(rows)
        self._midnight_ns = midnight_ns(day)
        self._compared: Compared | None = None  # of the message at hand; None for row 0
        first = next(self._messages(BlockReader(messages)), None)
        self.start_ns = 0 if first is None else self._midnight_ns + int(first["time_ns"][0])
        next(self._rows(BlockReader(rows)), None)

    @property
    def progress(self) -> float:
        """Part of the message file that was read, 0 to 1."""
        return self._message_reader.progress

    def updates(self, until_ns: int | None = None) -> Iterator[Update]:
        """Give the effects of each message in file order; see `Recording.updates`."""
        self._begin()
        number = 0
        for messages, rows in self._aligned():
            columns = (
                messages[name].tolist() for name in ("time_ns", "kind", "order_id", "quantity", "price", "direction")
            )
            for message, row in zip(zip(*columns, strict=True), rows.tolist(), strict=True):
                now_ns = max(self.last_ns, self._midnight_ns + message[0])
                if until_ns is not None and now_ns > until_ns:
                    return
                number += 1
                updates = self._step(number, now_ns, message, row)
                try:
                    yield from updates
                finally:  # the message was played, or closed with some of it given
                    self._settle(now_ns, message, updates)

    def _settle(self, now_ns: int, message: tuple[int, ...], updates: list[Update]) -> None:
        """Count a message that was played, with its comparison."""
        self.skipped["times_raised"] += now_ns > self._midnight_ns + message[0]
        self.first_ns = self.first_ns or now_ns
        self.last_ns = now_ns
        self.counts["book_messages"] += 1
        for update in updates:
            self.counts[COUNTED[update.kind]] += len(update.records)
        if self._compared is None:
            self.counts["book_snapshots"] += 1
            return
        self.check.add_levels(*self._compared)
        if message[1] not in ACTIONS:
            self.skipped["crosses" if message[1] == MESSAGE_CROSS else "halts"] += 1

    def _step(self, number: int, now_ns: int, message: tuple[int, ...], row: list[int]) -> list[Update]:
        """The updates of message `number`, counted from 1."""
        updates: list[Update] = []
        _, kind, order_id, quantity, price, direction = message
        recorded = [(BUY, levels_of(row, 2)), (SELL, levels_of(row, 0))]
        changes: list[tuple[int, ...]] = []
        side = BUY if direction == 1 else SELL
        action = ACTIONS.get(kind)
        if number == 1:
            # Row 0 is the book after the first message, so the message itself is in it already.
            for row_side, levels in recorded:
                changes.append((row_side, CLEAR, 0, 0, 0, SNAPSHOT))
                changes += [(row_side, SET, 0, level, size, SNAPSHOT) for level, size in levels]
            self._change(changes)
        elif action is not None:
            changes.append((side, action, order_id, price, quantity, 0))
            misfits = self.book.misfits
            self._change(changes)
            if self.book.misfits > misfits:
                self._note(number, f"message names order {order_id}, price {price}, size {quantity}, not in the book")
        if number > 1:
            self._compared = self._compare(number, recorded)
            corrections = self._corrections(recorded)
            self._change(corrections)
            changes += corrections
        if changes:
            updates.append(Update(now_ns, UpdateKind.BOOK, self._deltas(now_ns, number, changes)))
        if number > 1 and kind in (MESSAGE_EXECUTE, MESSAGE_EXECUTE_HIDDEN):
            aggressor = SELL if side == BUY else BUY
            trade = (now_ns, now_ns, number, price, quantity, self.instrument_id, aggressor, 0, LAST)
            updates.append(Update(now_ns, UpdateKind.TRADE, np.array([trade], TRADE)))
        best = (*self.book.best(BUY), *self.book.best(SELL))
        quote = np.array([(now_ns, now_ns, number, *best, self.instrument_id, LAST, 0)], QUOTE)
        updates.append(Update(now_ns, UpdateKind.QUOTE, quote))
        return updates

    def _change(self, changes: list[tuple[int, ...]]) -> None:
        for side, action, order_id, price, quantity, _ in changes:
            self.book.change(side, action, order_id, price, quantity)

    def _compare(self, number: int, recorded: list[Sided]) -> Compared:
        deepest = max(DEPTHS)
        rebuilt = [self.book.levels(side, deepest) for side, _ in recorded]
        venue = [levels[:deepest] for _, levels in recorded]
        equal = {
            depth: all(mine[:depth] == theirs[:depth] for mine, theirs in zip(rebuilt, venue, strict=True))
            for depth in DEPTHS
            if depth <= self.levels
        }
        return number, equal, rebuilt, venue

    def _corrections(self, recorded: list[Sided]) -> list[tuple[int, ...]]:
        """Levels that newly entered the recorded ones, and those that left them."""
        out: list[tuple[int, ...]] = []
        for side, levels in recorded:
            # A row that is not full shows the whole side: nothing lies beyond it.
            if len(levels) == self.levels:
                out += [(side, SET, 0, price, 0, 0) for price in self.book.beyond(side, levels[-1][0])]
            out += [(side, SET, 0, price, size, 0) for price, size in levels if not self.book.has(side, price)]
        return out

    def _deltas(self, now_ns: int, number: int, changes: list[tuple[int, ...]]) -> Records:
        deltas = np.array(
            [
                (now_ns, now_ns, number, order_id, price, quantity, self.instrument_id, side, action, flags)
                for side, action, order_id, price, quantity, flags in changes
            ],
            BOOK_DELTA,
        )
        deltas["flags"][-1] |= LAST
        return deltas

    def _aligned(self) -> Iterator[tuple[Records, npt.NDArray[np.int64]]]:
        """Messages with their rows, in pieces of equal length."""
        message_blocks, row_blocks = self._messages(self._message_reader), self._rows(self._row_reader)
        messages, rows = next(message_blocks, None), next(row_blocks, None)
        number = 0
        while messages is not None and rows is not None:
            count = min(len(messages), len(rows))
            yield messages[:count], rows[:count]
            number += count
            messages = messages[count:] if len(messages) > count else next(message_blocks, None)
            rows = rows[count:] if len(rows) > count else next(row_blocks, None)
        if (messages is None) != (rows is None):
            short = self.path if messages is None else self._rows_path
            raise FormatError(f"ends after {number} lines", where=str(short), expected="as many as its partner has")

    def _messages(self, reader: BlockReader) -> Iterator[Records]:
        for block in reader:
            messages, fault = decode_messages(block)
            if len(messages):
                yield messages
            if fault is not None:
                where = f"{reader.path}:{reader.lines + fault.line}"
                raise FormatError(fault.what, where=where, expected=fault.expected)

    def _rows(self, reader: BlockReader) -> Iterator[npt.NDArray[np.int64]]:
        for block in reader:
            rows, fault = decode_rows(block, self.levels)
            if len(rows):
                yield rows
            if fault is not None:
                where = f"{reader.path}:{reader.lines + fault.line}"
                raise FormatError(fault.what, where=where, expected=fault.expected)

    def _note(self, line: int, text: str) -> None:
        if len(self.notes) < 10:
            self.notes.append(f"{self.path}:{line}: {text}")

    def summary(self) -> dict[str, Any]:
        """`Recording.summary` and the messages that did not fit the book."""
        return super().summary() | {"misfits": self.book.misfits}


def levels_of(row: list[int], first: int) -> list[tuple[int, int]]:
    """(price, size) of one side of a row, best first, without empty levels; `first` is 0 for asks and 2 for bids."""
    return [(price, size) for price, size in zip(row[first::4], row[first + 1 :: 4], strict=True) if size]
