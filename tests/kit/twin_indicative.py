"""The auction price of the naive twin, and the indicative price that is told while an auction is under way.

Written from docs/kernel-orders.md, "Phases and auctions"; see `twin.py` for the kernel made of it.
"""

from __future__ import annotations

from nautilus.core.types import EventKind, OrderFlag, OrderType, Side, Standing
from tests.kit.twin_money import TwinMoney
from tests.kit.twin_state import SIDES, Indicative, Instrument, Order


class TwinIndicative(TwinMoney):
    """Looks at the book only."""

    def _at_auction(self, instrument_id: int, side: int) -> list[Order]:
        """Orders of a side that take part in an uncrossing, first first."""
        markets = [
            order
            for order in self._oldest_first(instrument_id)
            if order.side == side and order.standing == Standing.AUCTION
        ]
        return markets + [
            order
            for order in self._in_priority(instrument_id, side)
            if order.standing == Standing.DISPLAYED or order.has(OrderFlag.HIDDEN)
        ]

    @staticmethod
    def _meets(order: Order, price: int) -> bool:
        """Whether an order at auction may trade at this price."""
        if order.order_type == OrderType.MARKET:
            return True
        return order.price >= price if order.side == Side.BUY else order.price <= price

    def _auction_price(self, instrument: Instrument) -> tuple[int, int, int] | None:
        """(price, volume, bought - sold) of an uncrossing now; None: no auction price."""
        sides = {side: self._at_auction(instrument.instrument_id, side) for side in SIDES}
        candidates = {
            order.price for orders in sides.values() for order in orders if order.standing != Standing.AUCTION
        }
        reference = instrument.reference
        if reference is not None and instrument.allows(reference) and instrument.on_tick(reference):
            candidates.add(reference)
        found = []
        for price in candidates:
            bought, sold = (sum(order.leaves for order in sides[side] if self._meets(order, price)) for side in SIDES)
            away = abs(price - reference) if reference is not None else 0
            found.append((-min(bought, sold), abs(bought - sold), away, price, bought - sold))
        if not found:
            return None
        best = min(found)
        return (best[3], -best[0], best[4]) if best[0] else None

    def _indicate(self, instrument: Instrument) -> None:
        """Work the indicative price out; told where it is another than the last."""
        told = instrument.indicative
        now = self._auction_price(instrument) or (0, 0, 0)
        self._disarm(told.timer)
        if not told.told or now != (told.price, told.volume, told.surplus):
            price, volume, surplus = now
            side = Side.BUY if surplus > 0 else Side.SELL if surplus < 0 else 0
            self._emit(
                EventKind.INDICATIVE,
                instrument_id=instrument.instrument_id,
                price_ticks=price,
                quantity=volume,
                leaves_quantity=abs(surplus),
                side=side,
            )
        instrument.indicative = Indicative(True, *now, time_ns=self.now_ns)

    def _begin_auction(self, instrument: Instrument) -> None:
        self._forget_indicative(instrument)
        self._indicate(instrument)

    def _forget_indicative(self, instrument: Instrument) -> None:
        self._disarm(instrument.indicative.timer)
        instrument.indicative = Indicative()
