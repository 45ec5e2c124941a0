"""Market data: the hub, the only publisher of ``marketdata.*``.

Under replay it publishes recorded records as they are. Otherwise its source is the core: quotes, trades and book
deltas are derived from the core's order events and depth. A quote without bids or without asks has quantity 0 there.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.engines.base import Context, DepthView, Engine
from nautilus.model.enums import BookAction, EventKind, RecordFlag
from nautilus.model.records import EVENT_FIELDS, Records
from nautilus.model.topics import BOOK_DELTAS, CORE_EVENTS, QUOTES, TRADES, Topic

_INSTRUMENT = EVENT_FIELDS["instrument_id"]
# Plain numbers: a record is made of them for each level of each batch.
_SET = int(BookAction.SET)
_SYNTHETIC = int(RecordFlag.SYNTHETIC)
_LAST = int(RecordFlag.SYNTHETIC | RecordFlag.LAST)


class MarketDataConfig(msgspec.Struct, frozen=True):
    """Settings of the hub.

    Parameters
    ----------
    derive
        Derive market data from the core's events: for a simulated market or the internal venue.
    """

    derive: bool = False


class MarketDataEngine(Engine):
    """Publishes market data, recorded or derived."""

    name = "marketdata"
    subscribes: tuple[Topic, ...] = (CORE_EVENTS,)
    publishes = (QUOTES, TRADES, BOOK_DELTAS)

    def __init__(self, config: MarketDataConfig, core: DepthView) -> None:
        self._core = core
        if not config.derive:
            self.subscribes = ()
        self._books: dict[int, _DerivedBook] = {}

    def on_records(self, records: Records, ctx: Context) -> None:
        """Publish recorded QUOTE, TRADE or BOOK_DELTA records."""
        ctx.publish(records)

    def on_events(self, events: Records, ctx: Context) -> None:
        """Derive what a batch of the core's events did to the book: deltas, trades, then the quote."""
        touched: list[_DerivedBook] = []
        for row in events.tolist():
            instrument_id = row[_INSTRUMENT]
            book = self._books.get(instrument_id)
            if book is None:
                book = self._books[instrument_id] = _DerivedBook(instrument_id)
            if book.apply(row) and book not in touched:
                touched.append(book)
        for book in touched:
            deltas = book.take_deltas(ctx.now_ns)
            if deltas is not None:
                ctx.publish(deltas)
            prints = book.take_trades()
            if prints is not None:
                ctx.publish(prints)
            if deltas is not None:
                quote = book.quote(ctx.now_ns, self._core)
                if quote is not None:
                    ctx.publish(quote)

    def state(self) -> dict[str, Any]:
        """The derived books."""
        return {"books": [book.state() for book in self._books.values()]}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`."""
        for book_state in state["books"]:
            book = _DerivedBook(book_state["instrument_id"])
            book.restore(book_state)
            self._books[book.instrument_id] = book


class _DerivedBook:
    """Levels of one instrument, followed through order events.

    Between batches, `levels` is what was published; `before` holds the old quantity of each level that a batch
    touched, so that a level that ends as it was makes no delta.
    """

    def __init__(self, instrument_id: int) -> None:
        self.instrument_id = instrument_id
        self.updates = 0
        self.orders: dict[tuple[int, int], tuple[int, int, int]] = {}  # (account, order) -> side, price, leaves
        self.levels: dict[tuple[int, int], int] = {}  # (side, price) -> lots
        self.before: dict[tuple[int, int], int] = {}
        self.prints: list[tuple[int, ...]] = []
        self.last_quote: tuple[int, int, int, int] | None = None

    def apply(self, row: tuple[int, ...]) -> bool:
        """Follow one event; whether it concerns the book."""
        (
            _, _, now_ns, order_id, price, quantity, leaves, kind, side, _, _, _, counter_order_id,
            match_id, counter_leaves, _, _, _, instrument_id, account_id, counter_account_id, _, _,
        ) = row  # fmt: skip
        if kind == EventKind.ACCEPTED:
            self._set((account_id, order_id), side, price, leaves)
        elif kind == EventKind.FILLED:
            self._leave((account_id, order_id), leaves)
            self._leave((counter_account_id, counter_order_id), counter_leaves)
            self.prints.append((now_ns, now_ns, match_id, price, quantity, instrument_id, side, 0, _LAST))
        elif kind in (EventKind.CANCELLED, EventKind.EXPIRED):
            self._leave((account_id, order_id), 0)
        elif kind == EventKind.REPLACED:
            self._leave((account_id, order_id), 0)
            self._set((account_id, order_id), side, price, leaves)
        else:
            return False
        return True

    def take_deltas(self, now_ns: int) -> Records | None:
        """SET deltas of the levels that differ from what was published; None where none does."""
        changed = [(key, self.levels.get(key, 0)) for key, old in self.before.items() if self.levels.get(key, 0) != old]
        self.before.clear()
        if not changed:
            return None
        self.updates += 1
        instrument_id, update_id, last = self.instrument_id, self.updates, len(changed) - 1
        rows = [
            (now_ns, now_ns, update_id, 0, price, lots, instrument_id, side, _SET, _SYNTHETIC if row < last else _LAST)
            for row, ((side, price), lots) in enumerate(changed)
        ]
        return np.array(rows, BOOK_DELTA)

    def take_trades(self) -> Records | None:
        """TRADE records of the batch; None where there was none."""
        if not self.prints:
            return None
        records = np.array(self.prints, TRADE)
        self.prints = []
        return records

    def quote(self, now_ns: int, core: DepthView) -> Records | None:
        """A QUOTE record where best bid or ask changed; None where neither did."""
        bids, asks = core.depth(self.instrument_id, 1)
        bid = bids.tolist()[0][:2] if len(bids) else (0, 0)  # price_ticks, quantity
        ask = asks.tolist()[0][:2] if len(asks) else (0, 0)
        best = (*bid, *ask)
        if best == self.last_quote:
            return None
        self.last_quote = best
        return np.array([(now_ns, now_ns, self.updates, *best, self.instrument_id, _LAST, 0)], QUOTE)

    def state(self) -> dict[str, Any]:
        return {
            "instrument_id": self.instrument_id,
            "updates": self.updates,
            "orders": [[*key, *order] for key, order in self.orders.items()],
            "last_quote": list(self.last_quote) if self.last_quote else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        for account_id, order_id, side, price, leaves in state["orders"]:
            self._set((account_id, order_id), side, price, leaves)
        self.before.clear()
        self.updates = state["updates"]
        self.last_quote = tuple(state["last_quote"]) if state["last_quote"] else None

    def _set(self, key: tuple[int, int], side: int, price: int, leaves: int) -> None:
        self.orders[key] = (side, price, leaves)
        self._move((side, price), leaves)

    def _leave(self, key: tuple[int, int], leaves: int) -> None:
        """The order has this many lots left; 0 takes it out."""
        order = self.orders.get(key)
        if order is None:
            return
        side, price, old = order
        if leaves:
            self.orders[key] = (side, price, leaves)
        else:
            del self.orders[key]
        self._move((side, price), leaves - old)

    def _move(self, level: tuple[int, int], change: int) -> None:
        lots = self.levels.get(level, 0)
        self.before.setdefault(level, lots)
        if lots + change:
            self.levels[level] = lots + change
        else:
            self.levels.pop(level, None)
