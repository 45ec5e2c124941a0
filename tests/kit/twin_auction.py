"""Phases of the naive twin and the uncrossing of its books.

Written from docs/kernel-orders.md, "Phases and auctions"; see `twin.py` for the kernel made of it.
"""

from __future__ import annotations

from nautilus.core.types import EventFlag, EventKind, OrderType, Reason, SessionPhase, Side, Standing, TimeInForce
from tests.kit.twin_matching import TwinMatching
from tests.kit.twin_state import AT_AUCTION, AUCTIONS, CALL, PHASES_OF, Instrument, Order


class TwinAuction(TwinMatching):
    """From one phase to the next."""

    def _change_phase(self, instrument: Instrument, phase: int) -> None:
        """Everything that a new phase does but DAY orders, APPLIED or PHASE, and settling."""
        old = instrument.phase
        self._disarm(instrument.volatility)
        instrument.volatility = None
        if instrument.venue or old == phase:
            instrument.phase = phase
            return
        uncrossed = phase == SessionPhase.CONTINUOUS or (
            (old in CALL and phase == SessionPhase.CLOSED) or (old in AUCTIONS and phase in CALL)
        )
        if uncrossed:
            if old in CALL:
                self._indicate(instrument)
            self._forget_indicative(instrument)
            self._uncross(instrument)
        self._forget_indicative(instrument)
        for order in self._auction_orders(instrument):
            takes_part = PHASES_OF[TimeInForce(order.time_in_force)]
            if old in takes_part and phase not in takes_part and order.open:
                self._end(order, Reason.UNFILLED)
        instrument.phase = phase
        if phase == SessionPhase.CONTINUOUS:
            self._park_pegs(instrument)
        for order in self._auction_orders(instrument):
            takes_part = PHASES_OF[TimeInForce(order.time_in_force)]
            if phase in takes_part and old not in takes_part:
                self._join_auction(order)
        if phase in AUCTIONS:
            self._begin_auction(instrument)

    def _auction_orders(self, instrument: Instrument) -> list[Order]:
        """AT_OPEN and AT_CLOSE orders, oldest first."""
        orders = self._oldest_first(instrument.instrument_id)
        return [order for order in orders if order.time_in_force in AT_AUCTION]

    def _join_auction(self, order: Order) -> None:
        """From where it is parked to where it takes part."""
        self._leave(order)
        market = order.order_type == OrderType.MARKET
        self._stand(order, Standing.AUCTION if market else Standing.DISPLAYED)

    def _park_pegs(self, instrument: Instrument) -> None:
        """In settling they enter at the prices of the uncrossed book."""
        for order in self._oldest_first(instrument.instrument_id):
            if order.order_type == OrderType.PEGGED and order.standing == Standing.DARK:
                self._leave(order)
                order.price = 0
                self._stand(order, Standing.PARKED)

    # -- uncrossing ----------------------------------------------------------------------------------------------

    def _uncross(self, instrument: Instrument) -> None:
        """Until nothing crosses: what self-match prevention and groups take out may leave another auction price."""
        filled: set[Order] = set()
        while True:
            found = self._auction_price(instrument)
            if found is None:
                break
            self._uncross_at(instrument, found[0], filled)
        for side in (Side.BUY, Side.SELL):
            for order in self._in_priority(instrument.instrument_id, side):
                if order in filled and order.display:
                    self._leave(order)
                    self._stand(order, Standing.DISPLAYED)

    def _uncross_at(self, instrument: Instrument, price: int, filled: set[Order]) -> None:
        while True:
            firsts = []
            for side in (Side.BUY, Side.SELL):
                meeting = [
                    order for order in self._at_auction(instrument.instrument_id, side) if self._meets(order, price)
                ]
                firsts += meeting[:1]
            if len(firsts) < 2:
                return
            newer, older = sorted(firsts, key=lambda order: -order.arming)
            if self._prevented(newer, older):
                self._self_match(newer, older)
            elif not self._reduced(newer, older):
                self._fill_at_auction(instrument, firsts[0], firsts[1], price)
                filled.update(firsts)

    def _fill_at_auction(self, instrument: Instrument, buy: Order, sell: Order, price: int) -> None:
        quantity = min(buy.leaves, sell.leaves)
        newer, older = sorted((buy, sell), key=lambda order: -order.arming)
        for order in (buy, sell):
            order.leaves -= quantity
            order.filled += quantity
            order.shown = min(order.shown, order.leaves)
        fees = {order: self._book_fill(order, quantity, price, maker=True) for order in (newer, older)}
        instrument.last, instrument.last_ns = price, self.now_ns
        self.last_match_id += 1
        self._tell(
            EventKind.FILLED,
            buy,
            counter_order_id=sell.order_id,
            price_ticks=price,
            quantity=quantity,
            leaves_quantity=buy.leaves,
            counter_leaves_quantity=sell.leaves,
            counter_account_id=sell.account_id,
            match_id=self.last_match_id,
            fee=fees[buy],
            venue_reference=fees[sell] & ((1 << 64) - 1),
            flags=EventFlag.AUCTION,
        )
        for order in (buy, sell):
            self._changed(order)
            if order.leaves == 0:
                self._close(order)
        self._groups_after_fill(newer, older, quantity)
