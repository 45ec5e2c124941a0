"""A venue for the tests: a kernel, a recorded market that plays into it, and a strategy's account."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from nautilus.core.types import BOOK_DELTA, TRADE, BookAction, EventKind, RecordFlag, Side
from nautilus.model.instrument import Instrument
from nautilus.simulation.recording import BOOK_ACCOUNT, TAPE_ACCOUNT, RecordedMarket
from tests.kit import builders
from tests.kit.twin import TwinKernel

try:
    from nautilus.core import Kernel
except ImportError:
    Kernel = TwinKernel

BUY, SELL = Side.BUY, Side.SELL
OWN = 1
INSTRUMENT = Instrument(
    instrument_id=1,
    symbol="TEST",
    venue="VENUE",
    base_currency="BTC",
    quote_currency="USD",
    tick_table=(("0", "0.01"),),
    lot_size="1",
    currency_decimals=2,
)


def deltas(rows: Iterable[tuple[Any, ...]], now_ns: int = 0) -> np.ndarray:
    """BOOK_DELTA records from `(action, side, price, quantity[, order id])`; the last carries LAST."""
    rows = list(rows)
    array = np.zeros(len(rows), BOOK_DELTA)
    for i, (action, side, price, quantity, *order_id) in enumerate(rows):
        array[i]["action"], array[i]["side"], array[i]["price_ticks"], array[i]["quantity"] = (
            action,
            side,
            price,
            quantity,
        )
        array[i]["order_id"] = order_id[0] if order_id else 0
    array["now_ns"] = now_ns
    array["instrument_id"] = 1
    if len(array):
        array["flags"][-1] = RecordFlag.LAST
    return array


class Venue:
    """Plays a recording and a strategy's orders into one core; keeps every event."""

    def __init__(self, instrument: Instrument = INSTRUMENT, kernel: type = Kernel, **settings: Any) -> None:
        self.market = RecordedMarket(instrument, **settings)
        self.kernel = kernel([instrument], accounts=[OWN])
        self.events: list[dict[str, Any]] = []
        self.own_id = 0
        self.now_ns = 0
        self.send(self.market.setup())

    def send(self, commands: np.ndarray) -> list[dict[str, Any]]:
        """Commands into the core, its events to the market; the events of the commands."""
        if not len(commands):
            return []
        events = self.kernel.process(commands)
        self.market.on_events(events)
        got = [dict(zip(events.dtype.names, row, strict=True)) for row in events.tolist()]
        self.events += got
        return got

    def update(self, *rows: tuple[Any, ...]) -> list[dict[str, Any]]:
        """One update of the recorded book; `(side, price, quantity)` is short for SET."""
        whole = [row if len(row) > 3 else (BookAction.SET, *row) for row in rows]
        self.now_ns += 1
        got = self.send(self.market.book_update(deltas(whole, self.now_ns)))
        while (more := self.market.follow_up()) is not None:
            got += self.send(more)
        return got

    def trade(self, side: Side, price: int, quantity: int, *, booked: bool = False) -> list[dict[str, Any]]:
        """One recorded trade of an aggressor on `side`."""
        self.now_ns += 1
        trades = np.zeros(1, TRADE)
        trades["now_ns"], trades["side"], trades["price_ticks"], trades["quantity"] = self.now_ns, side, price, quantity
        trades["flags"] = RecordFlag.BOOKED if booked else 0
        return self.send(self.market.trade(trades))

    def order(self, side: Side, price: int, quantity: int, **fields: Any) -> int:
        """A strategy's limit order; its id."""
        self.own_id += 1
        self.now_ns += 1
        self.send(builders.new(self.own_id, side, price, quantity, account_id=OWN, now_ns=self.now_ns, **fields))
        return self.own_id

    def own_filled(self, order_id: int) -> int:
        """Lots that a strategy's order got so far."""
        return sum(
            event["quantity"]
            for event in self.events
            if event["kind"] == EventKind.FILLED
            and order_id
            in (
                event["order_id"] if event["account_id"] == OWN else 0,
                event["counter_order_id"] if event["counter_account_id"] == OWN else 0,
            )
        )

    def depth(self, side: Side) -> dict[int, int]:
        """`{price: quantity}` of one side of the core's book."""
        bids, asks = self.kernel.depth(1, 1_000)
        return {int(level["price_ticks"]): int(level["quantity"]) for level in (bids if side == BUY else asks)}

    def quantity(self, side: Side, price: int) -> int:
        """Quantity at one price of the core's book."""
        return self.depth(side).get(price, 0)


__all__ = ["BOOK_ACCOUNT", "BUY", "INSTRUMENT", "OWN", "SELL", "TAPE_ACCOUNT", "Venue", "deltas"]
