"""The peer under a differential run: nautilus_trader's OrderMatchingEngine, with an L3 book, in its own interpreter.

    python -I peer_process.py < steps.jsonl > trace.jsonl

`{"do": "begin"}` makes a new engine; `{"do": "final"}` asks for every own order's end. Anything else is a step.

The peer matches own orders against a book that is made of market data and that its own fills leave as it was. So this
file is the feed of a venue, and no more than that: it answers each own fill, at once, with the deltas that take the
quantity off the book; it sets somebody else's order against the others in the book; and where an own order is the first
in price and time that such an order meets, it shows that order's quantity at that price, and it is the peer
that says who fills, how much and at which price. Before every step it lets the clock run to the step's time.
"""

from __future__ import annotations

import json
import sys
from bisect import bisect_left, insort
from decimal import Decimal
from typing import Any

from nautilus_trader.accounting.factory import AccountFactory
from nautilus_trader.backtest.engine import OrderMatchingEngine
from nautilus_trader.backtest.models import FillModel, MakerTakerFeeModel
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.execution.messages import CancelOrder, ModifyOrder
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import BookOrder, OrderBookDelta
from nautilus_trader.model.enums import AccountType, BookAction, BookType, OmsType, OrderSide, TimeInForce, TriggerType
from nautilus_trader.model.events import AccountState, OrderSubmitted
from nautilus_trader.model.identifiers import AccountId, ClientOrderId, InstrumentId, StrategyId, Symbol, TraderId
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import AccountBalance, Money, Price, Quantity
from nautilus_trader.model.orders import LimitOrder, MarketOrder, StopLimitOrder, StopMarketOrder

BUY, SELL = 1, 2
SIDES = {BUY: OrderSide.BUY, SELL: OrderSide.SELL}
TRADER, STRATEGY, ACCOUNT = TraderId("DIFFERENTIAL-1"), StrategyId("FLOW-1"), AccountId("SIM-1")
INSTRUMENT = InstrumentId.from_str("ANY.SIM")
SETTLE = 100  # looks at the market after a step until nothing happens any more; more than this is a fault


class Others:
    """The orders of all others by side, price and time; every change goes to the peer's book as a delta."""

    def __init__(self, book: Any) -> None:
        self._book = book
        self._now = 0
        self.orders: dict[int, list[int]] = {}  # id: side, price, quantity, stamp
        self._levels: dict[int, dict[int, dict[int, None]]] = {BUY: {}, SELL: {}}
        self._prices: dict[int, list[int]] = {BUY: [], SELL: []}

    def at(self, now: int) -> None:
        """Time of the deltas from here on."""
        self._now = now

    def add(self, order: int, side: int, price: int, quantity: int, stamp: int) -> None:
        """Behind all others at its price."""
        self.orders[order] = [side, price, quantity, stamp]
        levels = self._levels[side]
        if price not in levels:
            levels[price] = {}
            insort(self._prices[side], price)
        levels[price][order] = None
        self._delta(BookAction.ADD, order, side, price, quantity)

    def put(self, order: int, quantity: int) -> None:
        """New quantity, the place stays; 0 removes the order."""
        entry = self.orders[order]
        side, price, _, _ = entry
        if quantity:
            entry[2] = quantity
            self._delta(BookAction.UPDATE, order, side, price, quantity)
            return
        self._delta(BookAction.DELETE, order, side, price, entry[2])
        del self.orders[order]
        level = self._levels[side][price]
        del level[order]
        if not level:
            del self._levels[side][price]
            del self._prices[side][bisect_left(self._prices[side], price)]

    def first(self, side: int) -> int | None:
        """The order of this side that is first in price and time."""
        prices = self._prices[side]
        if not prices:
            return None
        return next(iter(self._levels[side][prices[-1] if side == BUY else prices[0]]))

    def _delta(self, action: BookAction, order: int, side: int, price: int, quantity: int) -> None:
        entry = BookOrder(SIDES[side], Price(price, 0), Quantity(quantity, 0), order)
        self._book.apply_delta(OrderBookDelta(INSTRUMENT, action, entry, 0, 0, self._now, self._now))


class Peer:
    """One matching engine with its cache and execution engine, and the feed."""

    def __init__(self) -> None:
        self._clock = TestClock()
        bus = MessageBus(TRADER, self._clock)
        self._cache = Cache()
        nothing = Decimal(0)
        instrument = Equity(
            INSTRUMENT, Symbol("ANY"), USD, 0, Price(1, 0), Quantity(1, 0), 0, 0, maker_fee=nothing, taker_fee=nothing
        )
        self._cache.add_instrument(instrument)
        money = Money(1_000_000_000, USD)
        balances = [AccountBalance(money, Money(0, USD), money)]
        state = AccountState(ACCOUNT, AccountType.MARGIN, USD, True, balances, [], {}, UUID4(), 0, 0)
        self._cache.add_account(AccountFactory.create(state))
        self._execution = ExecutionEngine(bus, self._cache, self._clock)
        bus.subscribe("events.order.*", self._take)
        self._engine = OrderMatchingEngine(
            instrument,
            0,
            FillModel(),
            MakerTakerFeeModel(),
            BookType.L3_MBO,
            OmsType.NETTING,
            AccountType.MARGIN,
            bus,
            self._cache,
            self._clock,
            reject_stop_orders=False,
            use_position_ids=False,
        )
        self._others = Others(self._engine.get_book())
        self._stamp = 0
        self._joined: dict[int, int] = {}  # own order: when it came to where it stands
        self._entered: dict[int, tuple[int, int]] = {}  # own order: price and total quantity as last told
        self._orders: dict[int, Any] = {}
        self._words: list[list[Any]] = []

    def step(self, step: dict[str, Any]) -> dict[str, Any]:
        """Carry one step out; the line of the trace for it."""
        self._words = []
        now = step["now"]
        self._others.at(now)
        self._engine.iterate(now)
        if step["do"] == "book":
            return {**self._state(), "book": self._book(step["levels"])}
        getattr(self, "_" + step["do"])(step)
        for _ in range(SETTLE):
            before = len(self._words)
            self._engine.iterate(now)
            if len(self._words) == before:
                return self._state()
        raise AssertionError(f"the peer does not come to rest after {step}: {self._words[-4:]}")

    def final(self) -> dict[str, Any]:
        """Every own order's end, and what is held and what it cost."""
        words = {"CANCELED": "cancelled", "ACCEPTED": "open", "PARTIALLY_FILLED": "open", "TRIGGERED": "open"}
        orders = {}
        for name, order in self._orders.items():
            state = order.status_string() if hasattr(order, "status_string") else order.status.name
            orders[str(name)] = {"state": words.get(state, state.lower()), "filled": int(order.filled_qty)}
        held = self._cache.positions_open()
        cost = sum(-float(position.avg_px_open) * float(position.signed_qty) for position in held)
        return {"orders": orders, "position": self._position(), "cost": cost}

    def _state(self) -> dict[str, Any]:
        leaves = {
            str(_number(order)): [int(order.price) if order.has_price else 0, int(order.leaves_qty)]
            for order in self._engine.get_open_orders()
        }
        return {"events": self._words, "position": self._position(), "open": leaves}

    def _position(self) -> int:
        return sum(int(position.signed_qty) for position in self._cache.positions_open())

    def _book(self, levels: int) -> list[list[list[int]]]:
        book = self._engine.get_book()
        sides = (book.bids()[:levels], book.asks()[:levels])
        return [
            [[int(level.price), sum(int(order.size) for order in level.orders())] for level in side] for side in sides
        ]

    # The feed.

    def _time(self, step: dict[str, Any]) -> None:
        pass

    def _add(self, step: dict[str, Any]) -> None:
        self._enter(step["id"], step["side"], step["price"], step["quantity"], rest=step["rest"])

    def _set(self, step: dict[str, Any]) -> None:
        entry = self._others.orders.get(step["id"])
        if entry is not None and step["quantity"] < entry[2]:
            self._others.put(step["id"], step["quantity"])

    def _move(self, step: dict[str, Any]) -> None:
        entry = self._others.orders.get(step["id"])
        if entry is None:
            return
        side, price, quantity, _ = entry
        if step["price"] == price and step["quantity"] <= quantity:
            self._others.put(step["id"], step["quantity"])
            return
        self._others.put(step["id"], 0)
        self._enter(step["id"], side, step["price"], step["quantity"], rest=True)

    def _enter(self, order: int, side: int, price: int, quantity: int, *, rest: bool) -> None:
        others, against = self._others, 3 - side
        while quantity:
            first = others.first(against)
            theirs = None if first is None else others.orders[first]
            if theirs is not None and not _meets(side, price, theirs[1]):
                theirs = None
            own = self._first_own(against, price, theirs)
            if own:
                shown = min(quantity, sum(int(mine.leaves_qty) for mine in own))
                self._next_stamp()
                others.add(order, side, int(own[0].price), shown, self._stamp)
                before = len(self._words)
                self._engine.iterate(self._clock.timestamp_ns())
                left = others.orders.get(order)
                left = 0 if left is None else left[2]
                if left:
                    others.put(order, 0)
                quantity -= shown - left
                if len(self._words) == before:
                    raise AssertionError(f"the peer's own orders {own} do not answer {shown} at their price")
            elif theirs is not None:
                taken = min(quantity, theirs[2])
                quantity -= taken
                others.put(first, theirs[2] - taken)
            else:
                break
        if quantity and rest:
            others.add(order, side, price, quantity, self._next_stamp())

    def _first_own(self, side: int, price: int, theirs: list[int] | None) -> list[Any]:
        """Own limit orders at the best price that come before `theirs`, those that nobody else stands between."""
        resting = [
            order
            for order in self._engine.get_open_orders()
            if order.side == SIDES[side]
            and order.has_price
            and _meets(3 - side, price, int(order.price))
            and (order.order_type.name != "STOP_LIMIT" or order.is_triggered)
        ]
        if not resting:
            return []
        best = (max if side == BUY else min)(int(order.price) for order in resting)
        if theirs is not None and best != theirs[1] and _meets(side, theirs[1], best + (1 if side == BUY else -1)):
            return []
        if theirs is not None and best == theirs[1]:
            resting = [order for order in resting if self._joined[_number(order)] < theirs[3]]
        resting = [order for order in resting if int(order.price) == best]
        return sorted(resting, key=lambda order: self._joined[_number(order)])

    # Own orders.

    def _new(self, step: dict[str, Any]) -> None:
        name = ClientOrderId(str(step["id"]))
        quantity, side = Quantity(step["quantity"], 0), SIDES[step["side"]]
        tif = TimeInForce[step["tif"]]
        head = (TRADER, STRATEGY, INSTRUMENT, name, side, quantity)
        price, trigger = Price(step["price"], 0), Price(step["trigger"], 0)
        life = {"time_in_force": tif, "reduce_only": step["reduce_only"]}
        if step["type"] == "market":
            order = MarketOrder(*head, UUID4(), step["now"], **life)
        elif step["type"] == "limit":
            life |= {"expire_time_ns": step["expire"], "post_only": step["post_only"]}
            order = LimitOrder(*head, price, UUID4(), step["now"], **life)
        elif step["type"] == "stop":
            life |= {"expire_time_ns": step["expire"]}
            order = StopMarketOrder(*head, trigger, TriggerType.BID_ASK, UUID4(), step["now"], **life)
        else:
            life |= {"expire_time_ns": step["expire"], "post_only": step["post_only"]}
            order = StopLimitOrder(*head, price, trigger, TriggerType.BID_ASK, UUID4(), step["now"], **life)
        self._orders[step["id"]] = order
        self._joined[step["id"]] = self._next_stamp()
        self._entered[step["id"]] = (step["price"], step["quantity"])
        self._cache.add_order(order, None)
        order.apply(OrderSubmitted(TRADER, STRATEGY, INSTRUMENT, name, ACCOUNT, UUID4(), step["now"], step["now"]))
        self._cache.update_order(order)
        self._engine.process_order(order, ACCOUNT)

    def _cancel(self, step: dict[str, Any]) -> None:
        name = ClientOrderId(str(step["id"]))
        command = CancelOrder(TRADER, STRATEGY, INSTRUMENT, name, None, UUID4(), step["now"])
        self._engine.process_cancel(command, ACCOUNT)

    def _replace(self, step: dict[str, Any]) -> None:
        price = Price(step["price"], 0) if step["price"] else None
        trigger = Price(step["trigger"], 0) if step["trigger"] else None
        name = ClientOrderId(str(step["id"]))
        quantity = Quantity(step["quantity"], 0)
        command = ModifyOrder(TRADER, STRATEGY, INSTRUMENT, name, None, quantity, price, trigger, UUID4(), step["now"])
        self._engine.process_modify(command, ACCOUNT)

    def _next_stamp(self) -> int:
        self._stamp += 1
        return self._stamp

    # What the peer says.

    def _take(self, event: Any) -> None:
        order, word = _number(event), type(event).__name__
        words = self._words
        if word == "OrderFilled":
            words.append(["filled", order, int(event.last_px), int(event.last_qty)])
            self._consume(BUY if event.order_side == OrderSide.SELL else SELL, int(event.last_qty))
        elif word == "OrderAccepted":
            words.append(["accepted", order])
        elif word == "OrderTriggered":
            self._joined[order] = self._next_stamp()
            words.append(["triggered", order])
        elif word == "OrderRejected":
            words.append(["rejected", order, event.reason])
        elif word in ("OrderCanceled", "OrderExpired"):
            leaves = int(self._orders[order].leaves_qty)
            words.append(["cancelled" if word == "OrderCanceled" else "expired", order, leaves])
        elif word == "OrderUpdated":
            mine = self._orders[order]
            price = event.price if event.price is not None else (mine.price if mine.has_price else None)
            price, quantity = 0 if price is None else int(price), int(event.quantity)
            words.append(["replaced", order, price, quantity])
            before = self._entered[order]
            if price != before[0] or quantity > before[1]:
                self._joined[order] = self._next_stamp()
            self._entered[order] = (price, quantity)
        elif word in ("OrderModifyRejected", "OrderCancelRejected"):
            words.append(["refused", order, event.reason])
        else:
            raise AssertionError(f"a word of the peer that no step causes: {event}")

    def _consume(self, side: int, quantity: int) -> None:
        while quantity:
            first = self._others.first(side)
            if first is None:
                raise AssertionError(f"the peer filled {quantity} more than its book held")
            taken = min(quantity, self._others.orders[first][2])
            self._others.put(first, self._others.orders[first][2] - taken)
            quantity -= taken


def _number(thing: Any) -> int:
    return int(thing.client_order_id.value)


def _meets(side: int, price: int, other: int) -> bool:
    return price >= other if side == BUY else price <= other


def main() -> None:
    """Steps in, trace out, a line for a line."""
    peer = Peer()
    for line in sys.stdin:
        step = json.loads(line)
        if step["do"] == "begin":
            peer, answer = Peer(), {}
        elif step["do"] == "final":
            answer = peer.final()
        else:
            answer = peer.step(step)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
