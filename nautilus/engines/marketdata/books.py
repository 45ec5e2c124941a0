"""The hub's books: one followed through the core's order events, one through a venue's recorded records."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Any

import numpy as np

from nautilus.core import DEPTH
from nautilus.core.depth import DepthBook
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.model.enums import BookAction, EventKind, RecordFlag, Side
from nautilus.model.records import Records
from nautilus.model.topics import QUOTES, TRADES, Topic

# Plain numbers: they are compared, or put into a record, for every event.
BUY, SELL = int(Side.BUY), int(Side.SELL)
ACCEPTED, FILLED, CANCELLED, REPLACED, EXPIRED = (
    int(kind)
    for kind in (EventKind.ACCEPTED, EventKind.FILLED, EventKind.CANCELLED, EventKind.REPLACED, EventKind.EXPIRED)
)
BOOK_EVENTS = frozenset((ACCEPTED, FILLED, CANCELLED, REPLACED, EXPIRED))
SET, ADD, REDUCE, DELETE, EXECUTE, EXECUTE_HIDDEN, CLEAR = (int(action) for action in BookAction)
LEVEL_ACTIONS = frozenset((SET, CLEAR))
SYNTHETIC, SNAPSHOT, LAST = int(RecordFlag.SYNTHETIC), int(RecordFlag.SNAPSHOT), int(RecordFlag.LAST)
Levels = list[tuple[int, int]]
"""(price_ticks, quantity), best first."""


class _Levels:
    """Levels of one side: lots and number of orders at each price; `prices` ascends."""

    __slots__ = ("_sells", "at", "prices")

    def __init__(self, sells: bool) -> None:
        self._sells = sells
        self.at: dict[int, list[int]] = {}
        self.prices: list[int] = []

    def change(self, price: int, lots: int, orders: int) -> int:
        """Add to a level; the lots that it had."""
        level = self.at.get(price)
        if level is None:
            self.at[price] = [lots, orders]
            insort(self.prices, price)
            return 0
        before = level[0]
        if level[1] + orders:
            level[0] = before + lots
            level[1] += orders
        else:
            del self.at[price]
            del self.prices[bisect_left(self.prices, price)]
        return before

    def first(self, count: int) -> list[int]:
        """The best prices, best first."""
        if count <= 0:
            return []
        return self.prices[:count] if self._sells else self.prices[: -count - 1 : -1]

    def best(self) -> tuple[int, int]:
        """Best price and its lots; (0, 0) where the side is empty."""
        if not self.prices:
            return 0, 0
        price = self.prices[0 if self._sells else -1]
        return price, self.at[price][0]


class DerivedBook:
    """One instrument's book, followed through order events.

    Between batches the levels are what was published; `_before` holds the old quantity of each level that a batch
    touched, so that a level that ends as it was makes no delta.
    """

    def __init__(self, instrument_id: int) -> None:
        self.instrument_id = instrument_id
        self.updates = 0
        self.changed_ns = 0
        self.last_price: int | None = None
        self.last_quote: tuple[int, int, int, int] | None = None
        self._orders: dict[tuple[int, int], tuple[int, int, int]] = {}  # (account, order) -> side, price, leaves
        self._sides = (_Levels(False), _Levels(False), _Levels(True))  # by Side; the first is no side
        self._before: dict[tuple[int, int], int] = {}  # (side, price) -> lots
        self._prints: list[tuple[int, ...]] = []

    def apply(self, row: tuple[int, ...]) -> bool:
        """Follow one event; whether it concerns the book."""
        (
            _, _, now_ns, order_id, price, quantity, leaves, kind, side, _, _, _, counter_order_id,
            match_id, counter_leaves, _, _, _, instrument_id, account_id, counter_account_id, _, _,
        ) = row  # fmt: skip
        if kind == ACCEPTED:
            self._enter((account_id, order_id), side, price, leaves)
        elif kind == FILLED:
            self._leave((account_id, order_id), leaves)
            self._leave((counter_account_id, counter_order_id), counter_leaves)
            self.last_price = price
            self._prints.append((now_ns, now_ns, match_id, price, quantity, instrument_id, side, 0, LAST | SYNTHETIC))
        elif kind in (CANCELLED, EXPIRED):
            self._leave((account_id, order_id), 0)
        elif kind == REPLACED:
            self._leave((account_id, order_id), 0)
            self._enter((account_id, order_id), side, price, leaves)
        else:
            return False
        return True

    def take_deltas(self, now_ns: int) -> Records | None:
        """SET deltas of the levels that differ from what was published; None where none does."""
        sides = self._sides
        changed = []
        for (side, price), old in self._before.items():
            level = sides[side].at.get(price)
            lots = level[0] if level is not None else 0
            if lots != old:
                changed.append((side, price, lots))
        self._before.clear()
        if not changed:
            return None
        return self._deltas(now_ns, [(side, price, lots, SET, SYNTHETIC) for side, price, lots in changed])

    def take_trades(self) -> Records | None:
        """TRADE records of the batch; None where there was none."""
        if not self._prints:
            return None
        records = np.array(self._prints, TRADE)
        self._prints = []
        return records

    def quote(self, now_ns: int) -> Records | None:
        """A QUOTE record where best bid or ask changed; None where neither did."""
        _, bids, asks = self._sides
        best = (*bids.best(), *asks.best())
        if best == self.last_quote:
            return None
        self.last_quote = best
        return np.array([(now_ns, now_ns, self.updates, *best, self.instrument_id, LAST | SYNTHETIC, 0)], QUOTE)

    def settle(self) -> None:
        """Take what was applied for published: it was of before this publisher's time."""
        self._before.clear()
        self._prints = []
        self.last_quote = None

    def snapshot(self, now_ns: int) -> Records:
        """The whole book as deltas: both sides cleared, then every level."""
        rows = [(side, 0, 0, CLEAR, SYNTHETIC | SNAPSHOT) for side in (BUY, SELL)]
        for side in (BUY, SELL):
            levels = self._sides[side]
            rows += [
                (side, price, levels.at[price][0], SET, SYNTHETIC | SNAPSHOT)
                for price in levels.first(len(levels.prices))
            ]
        return self._deltas(now_ns, rows)

    def depth(self, levels: int) -> tuple[Records, Records]:
        """Bids and asks, best first, as DEPTH arrays: what the core's own book gives."""
        _, bids, asks = self._sides
        found = ([(price, *side.at[price]) for price in side.first(levels)] for side in (bids, asks))
        bid_levels, ask_levels = (np.array(rows, DEPTH) for rows in found)
        return bid_levels, ask_levels

    def levels(self, count: int) -> tuple[Levels, Levels]:
        """Bids and asks, best first."""
        bids, asks = ([(price, side.at[price][0]) for price in side.first(count)] for side in self._sides[1:])
        return bids, asks

    def best(self) -> tuple[int, int, int, int]:
        """(bid price, bid quantity, ask price, ask quantity); quantity 0: that side is empty."""
        _, bids, asks = self._sides
        return *bids.best(), *asks.best()

    def state(self) -> dict[str, Any]:
        """Open orders in the order in which they came, and what was said last."""
        return {
            "instrument_id": self.instrument_id,
            "updates": self.updates,
            "changed_ns": self.changed_ns,
            "last_price": self.last_price,
            "orders": [[*key, *order] for key, order in self._orders.items()],
            "last_quote": list(self.last_quote) if self.last_quote else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        for account_id, order_id, side, price, leaves in state["orders"]:
            self._enter((account_id, order_id), side, price, leaves)
        self._before.clear()
        self.updates = state["updates"]
        self.changed_ns = state["changed_ns"]
        self.last_price = state["last_price"]
        self.last_quote = tuple(state["last_quote"]) if state["last_quote"] else None

    def _deltas(self, now_ns: int, rows: list[tuple[int, int, int, int, int]]) -> Records:
        self.updates += 1
        self.changed_ns = now_ns
        instrument_id, update_id = self.instrument_id, self.updates
        deltas = [
            (now_ns, now_ns, update_id, 0, price, lots, instrument_id, side, action, flags)
            for side, price, lots, action, flags in rows
        ]
        deltas[-1] = (*deltas[-1][:-1], deltas[-1][-1] | LAST)
        return np.array(deltas, BOOK_DELTA)

    def _enter(self, key: tuple[int, int], side: int, price: int, leaves: int) -> None:
        self._orders[key] = (side, price, leaves)
        before = self._sides[side].change(price, leaves, 1)
        self._before.setdefault((side, price), before)

    def _leave(self, key: tuple[int, int], leaves: int) -> None:
        """The order has this many lots left; 0 takes it out."""
        order = self._orders.get(key)
        if order is None:
            return
        side, price, old = order
        if leaves:
            self._orders[key] = (side, price, leaves)
            before = self._sides[side].change(price, leaves - old, 0)
        else:
            del self._orders[key]
            before = self._sides[side].change(price, -old, -1)
        self._before.setdefault((side, price), before)


class RecordedBook:
    """One instrument's recorded book, last quote and last trade, as the venue shows them: without our orders."""

    def __init__(self, instrument_id: int) -> None:
        self.instrument_id = instrument_id
        self.updates = 0
        self.changed_ns = 0
        self.last_price: int | None = None
        self.last_quote: tuple[int, int, int, int] | None = None
        self._book = DepthBook()

    def take(self, kind: Topic, records: Records) -> None:
        """Take in records of the instrument, in their order."""
        if kind is QUOTES:
            now_ns, _, _, *best = records[-1].item()[:7]
            self.last_quote = tuple(best)
        elif kind is TRADES:
            now_ns = int(records["now_ns"][-1])
            self.last_price = int(records["price_ticks"][-1])
        else:
            now_ns = int(records["now_ns"][-1])
            self.updates += int(np.count_nonzero(records["flags"] & LAST))
            self._apply(records)
        self.changed_ns = max(self.changed_ns, now_ns)

    def levels(self, count: int) -> tuple[Levels, Levels]:
        """Bids and asks, best first."""
        bids, asks = (
            list(zip(side["price_ticks"].tolist(), side["quantity"].tolist(), strict=True))
            for side in self._book.depth(count)
        )
        return bids, asks

    def best(self) -> tuple[int, int, int, int]:
        """Of the last quote, else of the book; quantity 0: that side is empty."""
        return self.last_quote or self._book.best()

    def _apply(self, deltas: Records) -> None:
        if set(deltas["action"].tobytes()) <= LEVEL_ACTIONS:
            self._book.apply(deltas)
            return
        # Order by order: each action as the quantity that its level then has.
        for i, row in enumerate(deltas.tolist()):
            *_, price, quantity, _, side, action, _ = row
            levels = deltas[i : i + 1]
            if action == EXECUTE_HIDDEN:
                continue
            if action not in LEVEL_ACTIONS:
                levels = levels.copy()
                there = self._book.quantity(side, price)
                levels["quantity"] = there + quantity if action == ADD else max(0, there - quantity)
                levels["action"] = SET
            self._book.apply(levels)


__all__ = ["BOOK_EVENTS", "DerivedBook", "RecordedBook"]
