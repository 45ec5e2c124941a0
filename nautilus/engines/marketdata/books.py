"""The hub's books that are followed through the core's order events."""

from __future__ import annotations

from typing import Any

import numpy as np

from nautilus.core import DEPTH
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.engines.marketdata.orders import BUY, DISPLAYED, FILLED, ORDER_EVENTS, SELL, Orders
from nautilus.model.enums import BookAction, EventFlag, EventKind, RecordFlag
from nautilus.model.instrument import Instrument
from nautilus.model.marketdata import AUCTION
from nautilus.model.records import Records

# Plain numbers: they are compared, or put into a record, for every event.
INDICATIVE, PHASE = int(EventKind.INDICATIVE), int(EventKind.PHASE)
BOOK_EVENTS = ORDER_EVENTS | {FILLED, INDICATIVE, PHASE}
AUCTION_FILL = int(EventFlag.AUCTION)
SET, CLEAR = int(BookAction.SET), int(BookAction.CLEAR)
SYNTHETIC, SNAPSHOT, LAST = int(RecordFlag.SYNTHETIC), int(RecordFlag.SNAPSHOT), int(RecordFlag.LAST)
Levels = list[tuple[int, int]]
"""(price_ticks, quantity), best first."""


class DerivedBook:
    """One instrument's book, followed through order events.

    Between batches the levels are what was published; `_before` holds the old quantity of each level that a batch
    touched, so that a level that ends as it was makes no delta.
    """

    def __init__(self, instrument_id: int, instrument: Instrument | None = None) -> None:
        self.instrument_id = instrument_id
        self.updates = 0
        self.changed_ns = 0
        self.last_price: int | None = None
        self.last_quote: tuple[int, int, int, int] | None = None
        self._orders = Orders(instrument)
        self._prints: list[tuple[int, ...]] = []
        self._auctions: list[tuple[int, ...]] = []

    def begin(self, phase: int) -> None:
        """The phase in which the instrument is before its first event."""
        self._orders.phase = phase

    def apply(self, row: tuple[int, ...]) -> bool:
        """Follow one event; whether it concerns the book."""
        now_ns, price, quantity, kind, side = row[2], row[4], row[5], row[7], row[8]
        if kind == FILLED:
            self.last_price = price
            if self._orders.fill(row):
                # In an auction nobody is the aggressor; what an external venue filled, that venue prints.
                aggressor = 0 if row[11] & AUCTION_FILL else side
                self._prints.append((now_ns, now_ns, row[13], price, quantity, row[18], aggressor, 0, LAST | SYNTHETIC))
        elif kind in ORDER_EVENTS:
            self._orders.follow(row)
        elif kind == INDICATIVE:
            self._auctions.append((now_ns, now_ns, row[0], price, quantity, row[6], row[18], side, 0, SYNTHETIC))
        elif kind == PHASE:
            self.enter_phase(row, quantity, price)
        else:
            return False
        return True

    def enter_phase(self, row: tuple[int, ...], phase: int, price: int = 0) -> None:
        """The event says that this phase begins, or goes on; `price`: where the instrument stopped."""
        if phase == self._orders.phase:
            return
        self._orders.enter_phase(phase, price, row[1])
        self._auctions.append((row[2], row[2], row[0], price, 0, 0, self.instrument_id, 0, phase, SYNTHETIC))

    def take_deltas(self, now_ns: int) -> Records | None:
        """SET deltas of the levels that differ from what was published; None where none does."""
        sides, before = self._orders.sides, self._orders.before
        changed = []
        for (side, price), old in before.items():
            level = sides[side].at.get(price)
            lots = level[0] if level is not None else 0
            if lots != old:
                changed.append((side, price, lots))
        before.clear()
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

    def take_auctions(self) -> Records | None:
        """AUCTION records of the batch; None where there was none."""
        if not self._auctions:
            return None
        records = np.array(self._auctions, AUCTION)
        records["flags"][-1] |= LAST
        self._auctions = []
        return records

    def quote(self, now_ns: int) -> Records | None:
        """A QUOTE record where best bid or ask changed; None where neither did."""
        best = self.best()
        if best == self.last_quote:
            return None
        self.last_quote = best
        return np.array([(now_ns, now_ns, self.updates, *best, self.instrument_id, LAST | SYNTHETIC, 0)], QUOTE)

    def settle(self) -> None:
        """Take what was applied for published: it was of before this publisher's time."""
        self._orders.before.clear()
        self._prints = []
        self._auctions = []
        self.last_quote = None

    def snapshot(self, now_ns: int) -> Records:
        """The whole book as deltas: both sides cleared, then every level."""
        rows = [(side, 0, 0, CLEAR, SYNTHETIC | SNAPSHOT) for side in (BUY, SELL)]
        for side in (BUY, SELL):
            levels = self._orders.sides[side]
            rows += [
                (side, price, levels.at[price][0], SET, SYNTHETIC | SNAPSHOT)
                for price in levels.first(len(levels.prices))
            ]
        return self._deltas(now_ns, rows)

    def depth(self, levels: int) -> tuple[Records, Records]:
        """Bids and asks, best first, as DEPTH arrays: what the core's own book gives."""
        _, bids, asks = self._orders.sides
        found = ([(price, *side.at[price]) for price in side.first(levels)] for side in (bids, asks))
        bid_levels, ask_levels = (np.array(rows, DEPTH) for rows in found)
        return bid_levels, ask_levels

    def orders(self, levels: int) -> list[tuple[int, int, int, int, int]]:
        """Displayed orders of the best levels, bids first, in priority order: id, account, side, price, shown lots."""
        found = []
        for side in (BUY, SELL):
            prices = self._orders.sides[side].first(levels)
            if prices:
                found += [
                    (order_id, account_id, side, order.price, order.shown)
                    for (account_id, order_id), order in self._orders.displayed(side, prices[-1])
                ]
        return found

    def place(self, account_id: int, order_id: int) -> tuple[int, int, int, bool, int, int] | None:
        """Side, price, shown lots of an open order, whether it is displayed, orders and lots ahead; None: not known."""
        found = self._orders.place((account_id, order_id))
        if found is None:
            return None
        order, orders, lots = found
        displayed = order.stands == DISPLAYED
        return order.side, order.price, order.shown if displayed else 0, displayed, orders, lots

    def levels(self, count: int) -> tuple[Levels, Levels]:
        """Bids and asks, best first."""
        bids, asks = ([(price, side.at[price][0]) for price in side.first(count)] for side in self._orders.sides[1:])
        return bids, asks

    def best(self) -> tuple[int, int, int, int]:
        """(bid price, bid quantity, ask price, ask quantity); quantity 0: that side is empty."""
        _, bids, asks = self._orders.sides
        return *bids.best(), *asks.best()

    def state(self) -> dict[str, Any]:
        """Open orders in the order in which they came, and what was said last."""
        return {
            "instrument_id": self.instrument_id,
            "updates": self.updates,
            "changed_ns": self.changed_ns,
            "last_price": self.last_price,
            "last_quote": list(self.last_quote) if self.last_quote else None,
            **self._orders.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._orders.restore(state)
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


__all__ = ["BOOK_EVENTS", "DerivedBook", "Levels"]
