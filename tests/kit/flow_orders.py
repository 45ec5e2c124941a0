"""Random orders for the flows over everything: each type with what may go with it, brackets and groups."""

from __future__ import annotations

from random import Random
from typing import Any

from nautilus.core.types import (
    CommandKind,
    OrderFlag,
    OrderType,
    SessionPhase,
    Side,
    TimeInForce,
)
from tests.kit.flow_setting import (
    ALLOWED,
    BOOK,
    BOTH,
    EXTREMES,
    FIFO,
    INTERNAL,
    LIMIT_PRICED,
    MILLISECOND,
    OLDEST,
    ORDINARY,
    TAPE,
    TRADERS,
    TRAILING,
    WAITING,
    WIDTHS,
    Fields,
)
from tests.kit.twin import TwinKernel
from tests.kit.twin_state import Order


class FlowOrders:
    """Draws commands about orders; `flow_full.FullFlow` draws the rest."""

    def __init__(self, seed: int | Random) -> None:
        self._random = seed if isinstance(seed, Random) else Random(seed)
        self._next_id = 1
        self._next_group = 1
        self._next_execution = 1
        self._now_ns = 1
        self._queue: list[Fields] = []  # the rest of a bracket or of a day
        self._undo: list[tuple[int, Fields]] = []  # (at which command, what takes back a limit or a kill switch)
        self._drawn = 0
        self._date = 20_240_101

    # -- small draws ---------------------------------------------------------------------------------------------

    def _chance(self, chance: float) -> bool:
        return self._random.random() < chance

    def _pick(self, weights: dict[Any, float]) -> Any:
        return self._random.choices(list(weights), list(weights.values()))[0]

    def _stamp(self, fields: Fields) -> None:
        """Time, source and deadline."""
        step = self._pick({0: 5, 1: 4, 3: 2, 20: 0.5, MILLISECOND: 0.3, 60 * MILLISECOND: 0.3, 150 * MILLISECOND: 0.2})
        self._now_ns += step
        fields.setdefault("now_ns", self._now_ns - (2 if self._chance(0.05) else 0))
        if self._chance(0.1):
            fields["source_id"] = self._random.choice((1, 2, 60_000))
            fields["source_sequence"] = self._drawn - (40 if self._chance(0.1) else 0)
        if self._chance(0.01):
            fields.setdefault("deadline_ns", max(0, self._now_ns + self._random.randint(-3, 5)))
        fields["now_ns"] = max(0, fields["now_ns"])
        if "source_sequence" in fields:
            fields["source_sequence"] = max(0, fields["source_sequence"])

    def _spoil(self, fields: Fields) -> None:
        """One field becomes something odd."""
        name = self._random.choice(list(WIDTHS))
        bits, signed = WIDTHS[name]
        value = self._random.choice((*EXTREMES, *range(12), self._random.getrandbits(64)))
        value &= (1 << bits) - 1
        fields[name] = value - (1 << bits) if signed and value >> (bits - 1) else value

    def _price(self, instrument_id: int, side: int = 0, away: int = 0) -> int:
        """Near the middle, on tick mostly; `away` to the passive side."""
        if instrument_id == 2:
            ladder = [90, 92, 94, 96, 98, 100, 105, 110, 115, 120, 130]
            index = self._random.randint(3, 7) + (-away if side == Side.BUY else away)
            return ladder[max(0, min(len(ladder) - 1, index))]
        middle = 1 if instrument_id == 3 else 100
        return middle + self._random.randint(-3, 3) + (-away if side == Side.BUY else away)

    def _quantity(self, instrument_id: int) -> int:
        if instrument_id == 2:
            return 5 * self._random.randint(2, 8)
        if instrument_id == 3 and self._chance(0.01):
            return 1 << self._random.randint(20, 40)
        return self._random.randint(1, 9)

    def _fresh_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _account(self) -> int:
        return int(self._pick({ORDINARY: 5, OLDEST: 3, FIFO: 3, BOTH: 2, ALLOWED: 2, TAPE: 1, BOOK: 2}))

    def _instrument(self) -> int:
        return int(self._pick({1: 6, 2: 2, 3: 2, 5: 2.5, 4: 1.6, 6: 0.4}))

    def _open_order(self, twin: TwinKernel, wanted: Any = None) -> Order | None:
        orders = [order for order in twin.orders.values() if wanted is None or wanted(order)]
        return self._random.choice(orders) if orders else None

    # -- orders --------------------------------------------------------------------------------------------------

    def _new(self, twin: TwinKernel) -> Fields:
        instrument_id = self._instrument()
        account_id = self._account()
        if account_id == TAPE and instrument_id in INTERNAL and self._chance(0.6):
            return self._tape(instrument_id)
        order_type = self._pick(
            {
                OrderType.LIMIT: 12,
                OrderType.MARKET: 1.5,
                OrderType.STOP: 0.7,
                OrderType.STOP_LIMIT: 0.7,
                OrderType.TRAILING_STOP: 0.7,
                OrderType.TRAILING_STOP_LIMIT: 0.6,
                OrderType.MARKET_IF_TOUCHED: 0.5,
                OrderType.LIMIT_IF_TOUCHED: 0.5,
                OrderType.MARKET_TO_LIMIT: 0.7,
                OrderType.PEGGED: 1.2,
            }
        )
        fields = self._order(twin, order_type, instrument_id, account_id)
        if self._chance(0.02):
            fields["order_id"] = self._random.randint(0, self._next_id)
        if self._chance(0.03):
            self._mix(fields)
        return fields

    def _order(self, twin: TwinKernel, order_type: int, instrument_id: int, account_id: int) -> Fields:
        """A sound order of the type, with what may go with it."""
        side = self._random.choice((Side.BUY, Side.SELL))
        fields: Fields = {
            "kind": CommandKind.NEW,
            "order_id": self._fresh_id(),
            "account_id": account_id,
            "instrument_id": instrument_id,
            "side": side,
            "order_type": order_type,
            "quantity": self._quantity(instrument_id),
            "strategy_id": self._random.randint(0, 2),
        }
        phase = twin.instruments[instrument_id].phase
        self._tif(fields, phase)
        if order_type in LIMIT_PRICED:
            fields["price_ticks"] = self._price(instrument_id, side, self._pick({0: 5, 1: 3, 2: 2}))
        if order_type in WAITING:
            self._make_waiting(fields)
        if order_type == OrderType.PEGGED:
            fields["offset"] = self._pick({0: 3, -1: 3, 1: 1, -2: 1})
            fields["flags"] = self._pick({0: 2, OrderFlag.PEG_MID: 1.5, OrderFlag.PEG_OPPOSITE: 1.5})
            if self._chance(0.3):
                fields["price_ticks"] = self._price(instrument_id)
        if order_type == OrderType.LIMIT:
            self._dress_limit(fields)
        if self._chance(0.08):
            position = twin.book_positions.get((account_id, instrument_id))
            if position and position.quantity:
                fields["side"] = Side.SELL if position.quantity > 0 else Side.BUY
            fields["flags"] = fields.get("flags", 0) | OrderFlag.REDUCE_ONLY
        single = fields["time_in_force"] in (TimeInForce.IOC, TimeInForce.FOK)
        if order_type in (OrderType.LIMIT, OrderType.MARKET) and single and self._chance(0.15):
            fields["min_quantity"] = self._random.randint(1, fields["quantity"])
        return fields

    def _tif(self, fields: Fields, phase: int) -> None:
        order_type = fields["order_type"]
        resting: dict[Any, float] = {TimeInForce.GTC: 4, TimeInForce.DAY: 2, TimeInForce.GTD: 2}
        auction = {TimeInForce.AT_OPEN: 0.15, TimeInForce.AT_CLOSE: 0.25}
        if phase in (SessionPhase.PRE_OPEN, SessionPhase.OPENING_AUCTION, SessionPhase.VOLATILITY_AUCTION):
            auction = {TimeInForce.AT_OPEN: 3, TimeInForce.AT_CLOSE: 0.7}
        at_once = {TimeInForce.IOC: 1.5, TimeInForce.FOK: 1}
        if order_type == OrderType.LIMIT:
            tif = self._pick({**resting, **auction, **at_once})
        elif order_type == OrderType.MARKET:
            tif = self._pick({**auction, **at_once})
        else:
            tif = self._pick(resting)
        fields["time_in_force"] = tif
        if tif == TimeInForce.GTD:
            life = self._pick({4: 2, 40: 4, 400: 2, 80 * MILLISECOND: 2, 0: 0.3})
            fields["expire_ns"] = self._now_ns + self._random.randint(0, life) + 2

    def _make_waiting(self, fields: Fields) -> None:
        instrument_id, order_type = fields["instrument_id"], fields["order_type"]
        fields["flags"] = self._pick({0: 4, OrderFlag.TRIGGER_MARK: 1.5, OrderFlag.TRIGGER_QUOTE: 1.5})
        if order_type in TRAILING:
            fields["offset"] = self._random.randint(1, 4)
            if self._chance(0.3):
                fields["offset"] = self._random.choice((50, 100, 250))
                fields["flags"] |= OrderFlag.TRAIL_BPS
            if order_type == OrderType.TRAILING_STOP_LIMIT:
                fields["price_ticks"] = self._random.randint(0, 3)
            if self._chance(0.3):
                fields["trigger_ticks"] = self._price(instrument_id)
        else:
            fields["trigger_ticks"] = self._price(instrument_id)

    def _dress_limit(self, fields: Fields) -> None:
        """Flags and quantities that go with a LIMIT."""
        tif = fields["time_in_force"]
        resting = tif in (TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD)
        flags = 0
        if resting:
            flags = self._pick(
                {
                    0: 10,
                    OrderFlag.POST_ONLY: 1.5,
                    OrderFlag.POST_ONLY | OrderFlag.SLIDE: 1.5,
                    OrderFlag.HIDDEN: 1.5,
                    OrderFlag.HIDDEN | OrderFlag.POST_ONLY: 0.3,
                    OrderFlag.ALL_OR_NONE: 1.8,
                }
            )
            if flags == 0 and self._chance(0.06):
                fields["min_quantity"] = self._random.randint(1, fields["quantity"])
        elif tif == TimeInForce.IOC:
            flags = self._pick({0: 6, OrderFlag.ALL_OR_NONE: 1})
        fields["flags"] = flags
        plain = not flags & (OrderFlag.HIDDEN | OrderFlag.ALL_OR_NONE)
        if plain and tif not in (TimeInForce.IOC, TimeInForce.FOK) and self._chance(0.2):
            if fields["instrument_id"] == 2:
                fields["quantity"] += 30
                fields["display_quantity"] = 10
            else:
                fields["quantity"] += self._random.randint(3, 12)
                fields["display_quantity"] = self._random.randint(1, 3)
            fields.pop("min_quantity", None)

    def _mix(self, fields: Fields) -> None:
        """Flags and fields that mostly do not go together."""
        fields["flags"] = self._random.getrandbits(14) & self._random.getrandbits(14)
        fields["group_id"] = self._random.choice((0, 0, 1, 2))
        fields["offset"] = self._random.choice((0, 0, 1, -1))
        fields["display_quantity"] = self._random.choice((0, 0, 1, 5, -1))
        fields["min_quantity"] = self._random.choice((0, 0, 1, 50, -1))
        fields["time_in_force"] = self._random.randint(1, 7)

    def _wrong(self, twin: TwinKernel) -> Fields:
        """A plain order with one thing wrong, or the same order twice."""
        fields = self._order(twin, OrderType.LIMIT, 2 if self._chance(0.6) else 1, self._random.choice(TRADERS))
        fields.update(time_in_force=TimeInForce.GTC, flags=0, display_quantity=0, min_quantity=0, expire_ns=0)
        wrong = self._random.randint(0, 7)
        if wrong == 0:
            fields["price_ticks"] += 1
        elif wrong == 1:
            fields["quantity"] += 1
        elif wrong == 2:
            fields["quantity"] = 5
        elif wrong == 3:
            fields["order_id"] = self._random.randint(0, 2)
        elif wrong == 4:
            fields["price_ticks"] = 0
        elif wrong == 5:
            fields["quantity"] = 0
        else:
            self._queue.append({**fields, "order_id": self._fresh_id()})
        return fields

    def _tape(self, instrument_id: int) -> Fields:
        flags = OrderFlag.TAPE | (OrderFlag.TAPE_BOOKED if self._chance(0.5) else 0)
        return {
            "kind": CommandKind.NEW,
            "order_id": self._fresh_id(),
            "account_id": TAPE,
            "instrument_id": instrument_id,
            "side": self._random.choice((Side.BUY, Side.SELL)),
            "order_type": OrderType.LIMIT,
            "time_in_force": TimeInForce.IOC,
            "price_ticks": self._price(instrument_id),
            "quantity": self._quantity(instrument_id),
            "flags": flags,
        }

    def _bracket(self, twin: TwinKernel) -> Fields:
        """An entry and its children: take-profit and stop, with or without a group, sometimes elsewhere."""
        instrument_id, account_id = self._random.choice(INTERNAL), self._random.choice(TRADERS)
        entry = self._order(twin, OrderType.LIMIT, instrument_id, account_id)
        entry.update(time_in_force=TimeInForce.GTC, price_ticks=self._price(instrument_id, entry["side"], 2))
        for name in ("expire_ns", "min_quantity"):
            entry.pop(name, None)
        if self._chance(0.25):
            entry = self._order(twin, self._random.choice(list(OrderType)), instrument_id, account_id)
        other_side = Side.SELL if entry["side"] == Side.BUY else Side.BUY
        group = self._next_group = self._next_group % 60_000 + 1
        kind = self._pick({OrderFlag.GROUP_OCO: 2, OrderFlag.GROUP_OUO: 2, 0: 0.7})
        for child_type in (
            self._pick({OrderType.LIMIT: 5, OrderType.LIMIT_IF_TOUCHED: 1, OrderType.MARKET_TO_LIMIT: 0.5}),
            self._pick(
                {OrderType.STOP: 3, OrderType.STOP_LIMIT: 1, OrderType.TRAILING_STOP: 1.5, OrderType.MARKET: 0.5}
            ),
        ):
            elsewhere = self._random.choice(INTERNAL) if self._chance(0.15) else instrument_id
            child = self._order(twin, child_type, elsewhere, account_id)
            child["side"] = other_side if self._chance(0.9) else entry["side"]
            child.pop("min_quantity", None)
            if child["time_in_force"] in (TimeInForce.AT_OPEN, TimeInForce.AT_CLOSE):
                child["time_in_force"] = TimeInForce.IOC if child_type == OrderType.MARKET else TimeInForce.GTC
                child.pop("display_quantity", None)
            child["quantity"] = entry["quantity"] if elsewhere == instrument_id else child["quantity"]
            child["display_quantity"] = 0
            child["parent_order_id"] = entry["order_id"]
            if kind:
                child["group_id"] = group
                child["flags"] = child.get("flags", 0) | kind
            if self._chance(0.4):
                child["flags"] = child.get("flags", 0) | OrderFlag.REDUCE_ONLY
            self._queue.append(child)
        if self._chance(0.05):  # a child of a child
            wrong = dict(self._queue[-1])
            wrong["order_id"], wrong["parent_order_id"] = self._fresh_id(), self._queue[-1]["order_id"]
            self._queue.append(wrong)
        return entry

    def _group(self, twin: TwinKernel) -> Fields:
        """Two to four orders of one group; rarely one too many or of another kind."""
        account_id = self._random.choice(TRADERS)
        group = self._next_group = self._next_group % 60_000 + 1
        kind = self._random.choice((OrderFlag.GROUP_OCO, OrderFlag.GROUP_OUO))
        count = self._pick({2: 6, 3: 3, 4: 1, 10: 0.2})
        for _ in range(count):
            instrument_id = self._random.choice(INTERNAL) if self._chance(0.2) else 1
            order_type = self._pick({OrderType.LIMIT: 5, OrderType.STOP: 1, OrderType.PEGGED: 1, OrderType.MARKET: 0.3})
            order = self._order(twin, order_type, instrument_id, account_id)
            order["group_id"] = group
            order["flags"] = order.get("flags", 0) | kind
            if self._chance(0.02):
                order["flags"] ^= OrderFlag.GROUP_OCO | OrderFlag.GROUP_OUO
            self._queue.append(order)
        return self._queue.pop(0)

    def _cancel(self, twin: TwinKernel) -> Fields:
        order = self._open_order(twin)
        if order is None or self._chance(0.08):
            order_id, account_id = self._random.randint(0, self._next_id), self._account()
        else:
            account_id, order_id = order.key
        return {"kind": CommandKind.CANCEL, "order_id": order_id, "account_id": account_id}

    def _replace(self, twin: TwinKernel) -> Fields:
        order = self._open_order(twin)
        if order is None or self._chance(0.05):
            fields = self._cancel(twin)
            return fields | {"kind": CommandKind.REPLACE, "price_ticks": 100, "quantity": 5}
        fields = {"kind": CommandKind.REPLACE, "order_id": order.order_id, "account_id": order.account_id}
        step = 5 if order.instrument_id == 2 else 1
        change = self._pick({0: 3, -step: 3, step: 2, 2 * step: 1, -2 * step: 1})
        fields["quantity"] = max(order.filled + order.leaves + change, 0)
        price = order.price if self._chance(0.4) else self._price(order.instrument_id, order.side)
        if order.order_type in LIMIT_PRICED:
            fields["price_ticks"] = price
        elif order.order_type == OrderType.PEGGED:
            fields["price_ticks"] = order.distance if self._chance(0.5) else self._price(order.instrument_id)
        if order.order_type in WAITING and order.order_type not in TRAILING and not order.state and self._chance(0.5):
            fields["trigger_ticks"] = self._price(order.instrument_id)
        if self._chance(0.03):
            fields[self._random.choice(("flags", "offset", "group_id", "expire_ns", "trigger_ticks"))] = 1
        return fields
