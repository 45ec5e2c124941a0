"""Orders as the core's events tell them, and the levels that those displayed among them make.

What `Kernel.depth` shows follows from the events alone (docs/kernel-orders.md): displayed orders, of an iceberg the
part that it shows. Orders that wait, are parked or dark are kept here for the moment when they come to be displayed.
Where a PEGGED order stands no event tells, and nobody sees it. Where a TRAILING_STOP_LIMIT and a MARKET_TO_LIMIT come
to rest, events of an explicit instrument tell (reason RESTATED). Of another, trigger, distance and tick table give the
one; the best opposite price, or that of the first order which it met, gives the other.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Any

from nautilus.model.enums import EventFlag, EventKind, OrderFlag, OrderType, Reason, SessionPhase, Side, TimeInForce
from nautilus.model.instrument import Instrument

# Plain numbers: they are compared for every event.
BUY, SELL = int(Side.BUY), int(Side.SELL)
ACCEPTED, FILLED, CANCELLED, REPLACED, TRIGGERED, EXPIRED, ROUTED, REPLENISHED = (
    int(kind)
    for kind in (
        EventKind.ACCEPTED,
        EventKind.FILLED,
        EventKind.CANCELLED,
        EventKind.REPLACED,
        EventKind.TRIGGERED,
        EventKind.EXPIRED,
        EventKind.ROUTED,
        EventKind.REPLENISHED,
    )
)
ORDER_EVENTS = frozenset((ACCEPTED, CANCELLED, REPLACED, TRIGGERED, EXPIRED, ROUTED, REPLENISHED))
LIMIT, STOP_LIMIT, TOUCHED_LIMIT, TRAILING_LIMIT, TO_LIMIT, PEGGED = (
    int(kind)
    for kind in (
        OrderType.LIMIT,
        OrderType.STOP_LIMIT,
        OrderType.LIMIT_IF_TOUCHED,
        OrderType.TRAILING_STOP_LIMIT,
        OrderType.MARKET_TO_LIMIT,
        OrderType.PEGGED,
    )
)
_PRICED = frozenset((LIMIT, STOP_LIMIT, TOUCHED_LIMIT))
_KEPT = _PRICED | {TRAILING_LIMIT, TO_LIMIT, PEGGED}
"""Types that can come to rest; the others trade at once or are gone."""
_AT_ONCE = frozenset((int(TimeInForce.IOC), int(TimeInForce.FOK)))
_PHASES = {
    int(TimeInForce.AT_OPEN): frozenset((int(SessionPhase.PRE_OPEN), int(SessionPhase.OPENING_AUCTION))),
    int(TimeInForce.AT_CLOSE): frozenset((int(SessionPhase.CLOSING_AUCTION),)),
}
_FIRST_AUCTION = int(TimeInForce.AT_OPEN)
_UNSEEN = int(OrderFlag.HIDDEN | OrderFlag.ALL_OR_NONE)
_PLAIN = LIMIT << 16
_CONTINGENT, _RESTATED = int(Reason.CONTINGENT), int(Reason.RESTATED)
_BEFORE_A_MATCH = frozenset((int(Reason.SELF_MATCH), int(Reason.REDUCE_ONLY)))
_AUCTION = int(EventFlag.AUCTION)
CONTINUOUS, VOLATILITY = int(SessionPhase.CONTINUOUS), int(SessionPhase.VOLATILITY_AUCTION)
ELSEWHERE, DISPLAYED, DARK = 0, 1, 2
"""Where an order stands, as far as the levels are concerned."""
Key = tuple[int, int]
"""(account, order id)."""


class Levels:
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


class _Order:
    """One open order. `display`: what an iceberg shows at most, 0: all; `shown`: what it shows now.

    `joined`: counts up with each order that joins the back of a queue.
    """

    __slots__ = ("display", "distance", "joined", "leaves", "price", "shown", "side", "stands", "told", "type")

    def __init__(self, side: int, price: int, leaves: int, display: int, told: int) -> None:
        self.side = side
        self.price = price
        self.leaves = leaves
        self.display = display
        self.shown = 0
        self.told = told
        self.type = told >> 16 & 0xFF
        self.stands = ELSEWHERE
        self.joined = 0
        self.distance = 0
        """Of the limit from the trigger, before a TRAILING_STOP_LIMIT has triggered."""

    def state(self) -> list[int]:
        told = self.told & ~0xFF0000 | self.type << 16
        return [
            self.side,
            self.price,
            self.leaves,
            self.display,
            told,
            self.shown,
            self.stands,
            self.distance,
            self.joined,
        ]


class Orders:
    """Open orders of one instrument that rest, or may come to rest.

    Attributes
    ----------
    sides : levels by Side; the first is no side.
    before : lots that each (side, price) had before the first change since this was cleared.
    phase : the instrument's, as far as the events told it.
    external : matched at an external venue; there is no book of it here.
    """

    def __init__(self, instrument: Instrument | None) -> None:
        self.sides = (Levels(False), Levels(False), Levels(True))
        self.before: dict[tuple[int, int], int] = {}
        self.phase = CONTINUOUS
        self.external = False
        self._instrument = instrument
        self._orders: dict[Key, _Order] = {}
        self._dark: dict[Key, _Order] = {}
        self._joined = 0
        # A MARKET_TO_LIMIT whose price is not settled yet, and the command that entered it.
        self._pricing: tuple[_Order, int] | None = None

    def follow(self, row: tuple[int, ...]) -> None:
        """Follow an event of `ORDER_EVENTS`."""
        kind, key, leaves = row[7], (row[19], row[3]), row[6]
        if kind == ACCEPTED:
            self._accept(key, row)
            return
        if kind == ROUTED:
            self.external = True
            return
        order = self._orders.get(key)
        if order is None:
            return
        if kind in (CANCELLED, EXPIRED):
            if order.type == PEGGED and row[9] in _BEFORE_A_MATCH:
                self._met(order, row)
            if leaves:
                order.leaves = leaves
                self._show(order, min(order.shown, leaves))
            else:
                self._remove(key, order)
        elif kind == REPLACED:
            if row[9] == _RESTATED and self._pricing is not None and self._pricing[0] is order:
                self._settle_price(row[4])
            else:
                self._replace(order, row[4], leaves)
        elif kind == REPLENISHED:
            self._show(order, row[5])
            self._join(order)
        elif row[9] == _CONTINGENT:
            self._enter_child(key, order, row)
        else:
            self._trigger(order, row[4])

    def fill(self, row: tuple[int, ...]) -> bool:
        """Follow FILLED; whether both sides of the match were here."""
        if not row[12]:
            self.external = True
            return False
        in_auction = row[11] & _AUCTION
        order = self._orders.get((row[19], row[3]))
        if order is not None:
            if self._pricing is not None and self._pricing == (order, row[1]):
                self._settle_price(row[4])
            self._fill((row[19], row[3]), order, row[6], 0)
        order = self._orders.get((row[20], row[12]))
        if order is not None:
            self._fill((row[20], row[12]), order, row[14], 0 if in_auction else row[5])
        return True

    def enter_phase(self, phase: int, price: int, command: int) -> None:
        """A phase begins; `price`: of a volatility interruption, where it stopped the command's order."""
        self.phase = phase
        stopped = phase == VOLATILITY and self._pricing is not None and self._pricing[1] == command
        if stopped:
            self._settle_price(price)
        for order in self._orders.values():
            if order.stands == ELSEWHERE and phase in _PHASES.get(order.told >> 24, ()):
                self._stand(order)

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "orders": [[*key, *order.state()] for key, order in self._orders.items()],
            "phase": self.phase,
            "external": self.external,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self.phase, self.external = state.get("phase", CONTINUOUS), state.get("external", False)
        for account_id, order_id, side, price, leaves, *more in state["orders"]:
            display, told, shown, stands, distance, *joined = more or (0, _PLAIN, leaves, DISPLAYED, 0)
            order = self._orders[account_id, order_id] = _Order(side, price, leaves, display, told)
            order.distance = distance
            if stands == DARK:
                self._hide((account_id, order_id), order)
            elif stands == DISPLAYED:
                self._stand(order)
                self._show(order, shown)
            order.joined = joined[0] if joined else order.joined
            self._joined = max(self._joined, order.joined)
        self.before.clear()

    def displayed(self, side: int, worst: int) -> list[tuple[Key, _Order]]:
        """Displayed orders of a side at this price and better, in priority order."""
        found = [
            (key, order)
            for key, order in self._orders.items()
            if order.side == side and order.stands == DISPLAYED
            and (order.price >= worst if side == BUY else order.price <= worst)
        ]  # fmt: skip
        sign = -1 if side == BUY else 1
        return sorted(found, key=lambda item: (sign * item[1].price, item[1].joined))

    def place(self, key: Key) -> tuple[_Order, int, int] | None:
        """An open order, and the number and shown lots of those ahead of it; None: it is not known."""
        order = self._orders.get(key)
        if order is None:
            return None
        ahead = [
            other.shown
            for other in self._orders.values()
            if order.stands == other.stands == DISPLAYED
            and (other.side, other.price) == (order.side, order.price)
            and other.joined < order.joined
        ]  # fmt: skip
        return order, len(ahead), sum(ahead)

    # From event to standing.

    def _accept(self, key: Key, row: tuple[int, ...]) -> None:
        side, price, leaves, told, display = row[8], row[4], row[6], row[11], row[14]
        kind, time_in_force = told >> 16 & 0xFF, told >> 24
        if kind not in _KEPT or time_in_force in _AT_ONCE or self.external:
            return
        order = self._orders[key] = _Order(side, price, leaves, display, told)
        if kind == TRAILING_LIMIT:
            order.price, order.distance = 0, price
        if row[12]:
            return  # parked until its parent is filled
        if kind == LIMIT and time_in_force < _FIRST_AUCTION and not told & _UNSEEN:
            self._stand(order)  # nearly all of them
            return
        if kind == PEGGED:
            self._hide(key, order)
        elif kind == TO_LIMIT:
            self._enter_to_limit(order, row[1])
        elif kind == LIMIT and self.phase in _PHASES.get(time_in_force, (self.phase,)):
            self._rest(key, order)

    def _enter_child(self, key: Key, order: _Order, row: tuple[int, ...]) -> None:
        order.leaves = row[6]
        if order.type in _PRICED:
            order.price = row[4]
        if order.type == LIMIT:
            self._rest(key, order)
        elif order.type == TO_LIMIT:
            self._enter_to_limit(order, row[1])

    def _trigger(self, order: _Order, trigger: int) -> None:
        if order.type == TRAILING_LIMIT:
            price = trigger + order.distance if order.side == BUY else trigger - order.distance
            if self._instrument is not None:
                price = self._instrument.round_ticks(price, up=order.side == SELL)
            order.price, order.distance = price, 0
        order.type = LIMIT
        self._stand(order)

    def _replace(self, order: _Order, price: int, leaves: int) -> None:
        if order.stands != DISPLAYED:
            order.leaves = leaves
            if order.type in _PRICED:
                order.price = price
        elif price == order.price and leaves <= order.leaves:
            order.leaves = leaves
            self._show(order, min(order.shown, leaves))
        else:
            self._leave(order)
            order.price, order.leaves = price, leaves
            self._stand(order)

    def _fill(self, key: Key, order: _Order, leaves: int, taken: int) -> None:
        """`taken`: of the part that an iceberg showed; 0: it traded with all it had."""
        if not leaves:
            self._remove(key, order)
            return
        order.leaves = leaves
        if order.display:
            self._show(order, order.shown - taken if taken else self._part(order))
            if not taken and order.stands == DISPLAYED:
                self._join(order)  # at the end of an uncrossing
        else:
            self._show(order, leaves)

    # MARKET_TO_LIMIT.

    def _enter_to_limit(self, order: _Order, command: int) -> None:
        order.type = LIMIT
        self._pricing = (order, command)
        levels = self.sides[3 - order.side]
        prices = [levels.best()[0]] if levels.prices else []
        prices += [other.price for other in self._dark.values() if other.side != order.side and other.type == LIMIT]
        if prices:
            order.price = min(prices) if order.side == BUY else max(prices)
            self._stand(order)

    def _met(self, pegged: _Order, row: tuple[int, ...]) -> None:
        """A PEGGED order went out before its match: was it the best that a MARKET_TO_LIMIT order met first?"""
        if self._pricing is None or self._pricing[1] != row[1]:
            return
        order, price = self._pricing[0], row[4]
        ahead = price < order.price if order.side == BUY else price > order.price
        if pegged.side != order.side and (ahead or order.stands == ELSEWHERE):
            self._settle_price(price)

    def _settle_price(self, price: int) -> None:
        assert self._pricing is not None
        order, self._pricing = self._pricing[0], None
        if order.stands == DISPLAYED:
            self._leave(order)
        order.price = price
        self._stand(order)

    # Standing.

    @staticmethod
    def _part(order: _Order) -> int:
        return min(order.display, order.leaves) if order.display else order.leaves

    def _rest(self, key: Key, order: _Order) -> None:
        if order.told & _UNSEEN:
            self._hide(key, order)
        else:
            self._stand(order)

    def _hide(self, key: Key, order: _Order) -> None:
        order.stands = DARK
        self._dark[key] = order

    def _join(self, order: _Order) -> None:
        self._joined += 1
        order.joined = self._joined

    def _stand(self, order: _Order) -> None:
        order.stands = DISPLAYED
        self._join(order)
        lots = order.shown = self._part(order) if order.display else order.leaves
        side, price = order.side, order.price
        self.before.setdefault((side, price), self.sides[side].change(price, lots, 1))

    def _leave(self, order: _Order) -> None:
        self._change(order, -order.shown, -1)

    def _show(self, order: _Order, lots: int) -> None:
        """It shows so much now."""
        if order.stands == DISPLAYED and lots != order.shown:
            self._change(order, lots - order.shown, 0)
            order.shown = lots

    def _remove(self, key: Key, order: _Order) -> None:
        del self._orders[key]
        self._dark.pop(key, None)
        if order.stands == DISPLAYED:
            self._leave(order)
        if self._pricing is not None and self._pricing[0] is order:
            self._pricing = None

    def _change(self, order: _Order, lots: int, orders: int) -> None:
        before = self.sides[order.side].change(order.price, lots, orders)
        self.before.setdefault((order.side, order.price), before)
